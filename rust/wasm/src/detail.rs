//! The full values that a row's line shortens. They are not stored: the step is replayed again on
//! request.

use std::collections::BTreeMap;
use std::fmt::Write;

use antiphon_machine::{
    CodeImage, EffectId, Event, Ingress, LabelId, OperationId, Outcome, ProtocolMachineKernel,
    SessionId, Sort, SortId, Stamp, Value, VerifiedImage,
};
use antiphon_record::{Request, describe};
use serde::Serialize;

use crate::image::sort_text;

/// The maximum length of a value's text, in bytes. A longer value is cut and marked as cut.
const TEXT_LEN_MAX: usize = 1 << 20;

/// What a row is about.
#[derive(Clone, Debug)]
pub(crate) enum Captured {
    Event(Stamp, Event),
    Request(Request),
    Input(Ingress),
    Refused,
}

/// Captures one of the things that happen at a step.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    step: u64,
    /// How many of the step's rows come before it.
    before: usize,
    pub(crate) captured: Option<Captured>,
    /// The operations of outstanding effects, which determine the sorts of their results.
    pub(crate) operations: BTreeMap<EffectId, OperationId>,
}

impl Capture {
    pub(crate) fn new(step: u64, before: usize, kernel: &ProtocolMachineKernel) -> Capture {
        let mut operations = BTreeMap::new();
        for session in kernel.sessions() {
            for effect in session.effects() {
                let id = EffectId {
                    session: session.id(),
                    number: effect.number,
                };
                operations.insert(id, effect.operation);
            }
        }
        Capture {
            step,
            before,
            captured: None,
            operations,
        }
    }

    pub(crate) fn record(&mut self, step: u64, captured: impl FnOnce() -> Captured) {
        if step != self.step || self.captured.is_some() {
            return;
        }
        match self.before.checked_sub(1) {
            Some(before) => self.before = before,
            None => self.captured = Some(captured()),
        }
    }
}

/// A row in full.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Detail {
    /// The number of the row's effect.
    pub(crate) effect: Option<u64>,
    operation: Option<String>,
    attempt: Option<u8>,
    deadline: Option<u64>,
    /// What the values are: `arguments`, `payload` or `result`.
    what: Option<&'static str>,
    values: Vec<FullValue>,
    failure: Option<Failure>,
}

#[derive(Debug, Serialize)]
struct FullValue {
    sort: Option<String>,
    text: String,
    /// Whether the text was cut.
    cut: bool,
}

#[derive(Debug, Serialize)]
struct Failure {
    kind: String,
    detail: String,
}

/// The captured row in full.
pub(crate) fn of(capture: &Capture, kernel: &ProtocolMachineKernel) -> Detail {
    let image_of = |session| describe::image_of(kernel, session);
    match &capture.captured {
        Some(Captured::Event(stamp, event)) => {
            of_event(capture, stamp.session, event, image_of(stamp.session))
        }
        Some(Captured::Request(request)) => of_request(request, image_of(request.effect.session)),
        Some(Captured::Input(Ingress::Outcome { effect, outcome })) => {
            of_outcome(capture, *effect, outcome, image_of(effect.session))
        }
        Some(Captured::Input(_) | Captured::Refused) | None => Detail::default(),
    }
}

fn of_event(
    capture: &Capture,
    session: SessionId,
    event: &Event,
    image: Option<&VerifiedImage>,
) -> Detail {
    let effect = |number| EffectId { session, number };
    match event {
        Event::Sent(m) | Event::Offered(m) | Event::Received(m) | Event::Chose(m) => Detail {
            what: Some("payload"),
            values: vec![full(&m.payload, sort_of_label(image, m.label), image)],
            ..Detail::default()
        },
        Event::EffectIssued {
            number,
            operation,
            attempt,
            deadline,
            ..
        } => Detail {
            effect: Some(*number),
            operation: Some(describe::operation(image, *operation)),
            attempt: Some(*attempt),
            deadline: *deadline,
            ..Detail::default()
        },
        Event::EffectResolved { number, result } => {
            let outcome = Outcome::Success(result.clone());
            of_outcome(capture, effect(*number), &outcome, image)
        }
        Event::EffectFailed { number, failure } => {
            let outcome = Outcome::Failure(failure.clone());
            of_outcome(capture, effect(*number), &outcome, image)
        }
        Event::EffectInvalidated { number }
        | Event::WitnessIssued { number, .. }
        | Event::TimeoutIssued { number, .. } => Detail {
            effect: Some(*number),
            ..Detail::default()
        },
        _ => Detail::default(),
    }
}

fn of_request(request: &Request, image: Option<&VerifiedImage>) -> Detail {
    let operation = image.and_then(|i| i.image().operations.get(request.operation.index()));
    let sorts = operation.map_or(&[][..], |operation| &operation.args);
    let args = request.args.iter().enumerate();
    Detail {
        effect: Some(request.effect.number),
        operation: Some(describe::operation(image, request.operation)),
        attempt: Some(request.attempt),
        deadline: request.deadline,
        what: Some("arguments"),
        values: args
            .map(|(n, value)| full(value, sorts.get(n).copied(), image))
            .collect(),
        failure: None,
    }
}

fn of_outcome(
    capture: &Capture,
    effect: EffectId,
    outcome: &Outcome,
    image: Option<&VerifiedImage>,
) -> Detail {
    let operation_id = capture.operations.get(&effect).copied();
    let operation =
        operation_id.and_then(|id| image.and_then(|i| i.image().operations.get(id.index())));
    let mut detail = Detail {
        effect: Some(effect.number),
        operation: operation_id.map(|id| describe::operation(image, id)),
        what: Some("result"),
        ..Detail::default()
    };
    match outcome {
        Outcome::Success(value) => {
            let sort = operation.map(|operation| operation.result);
            detail.values = vec![full(value, sort, image)];
        }
        Outcome::Failure(failure) => {
            detail.failure = Some(Failure {
                kind: failure.kind.to_string(),
                detail: failure.detail.to_string(),
            });
        }
    }
    detail
}

/// The sort of a label's payload. A label has the same sort in all of an image's automata.
fn sort_of_label(image: Option<&VerifiedImage>, label: LabelId) -> Option<SortId> {
    let image = image?;
    let mut points = image.image().roles.iter().flat_map(|role| {
        let states = role.automaton.states.iter();
        states.flat_map(|state| match state {
            antiphon_machine::State::Send { branches, .. }
            | antiphon_machine::State::Recv { branches, .. } => &branches[..],
            antiphon_machine::State::End => &[],
        })
    });
    points
        .find(|branch| branch.label == label)
        .map(|branch| branch.sort)
}

fn full(value: &Value, sort: Option<SortId>, image: Option<&VerifiedImage>) -> FullValue {
    let code = image.map(VerifiedImage::image);
    let mut writer = Writer {
        text: String::new(),
        cut: false,
    };
    writer.value(value, sort.zip(code), 0);
    FullValue {
        sort: sort.zip(code).map(|(sort, code)| sort_text(sort, code)),
        text: writer.text,
        cut: writer.cut,
    }
}

type Of<'i> = Option<(SortId, &'i CodeImage)>;

struct Writer {
    text: String,
    cut: bool,
}

impl Writer {
    fn put(&mut self, text: &str) {
        if self.text.len() + text.len() > TEXT_LEN_MAX {
            self.cut = true;
        } else if !self.cut {
            self.text.push_str(text);
        }
    }

    fn line(&mut self, depth: usize) {
        self.put("\n");
        self.put(&"  ".repeat(depth));
    }

    fn value(&mut self, value: &Value, of: Of<'_>, depth: usize) {
        if self.cut {
            return;
        }
        let sort = of.and_then(|(sort, image)| image.sorts.get(sort.index()));
        let child = |sort: SortId| of.map(|(_, image)| (sort, image));
        match (value, sort) {
            (Value::Unit, _) => self.put("()"),
            (Value::Bool(b), _) => self.put(&b.to_string()),
            (Value::Nat(n), Some(Sort::Enum { variants, .. })) => {
                self.name(variants.get(*n as usize), *n);
            }
            (Value::Nat(n), Some(Sort::Arm(_))) => {
                let labels = of.map(|(_, image)| &image.labels);
                self.name(labels.and_then(|labels| labels.get(*n as usize)), *n);
            }
            (Value::Nat(n), _) => self.put(&n.to_string()),
            (Value::Int(i), _) => self.put(&i.to_string()),
            (Value::Text(text), _) => self.put(&format!("{text:?}")),
            (Value::Bytes(bytes), _) => self.bytes(bytes),
            (Value::List(items), sort) => {
                let item = match sort {
                    Some(Sort::List(item) | Sort::Option(item)) => child(*item),
                    Some(_) | None => None,
                };
                self.items(
                    ('[', ']'),
                    items.iter().map(|value| (None, value, item)),
                    depth,
                );
            }
            (Value::Record(items), Some(Sort::Record { fields, .. })) => {
                let fields = fields.iter().zip(items.iter());
                let fields =
                    fields.map(|((name, sort), value)| (Some(&name[..]), value, child(*sort)));
                self.items(('{', '}'), fields, depth);
            }
            (Value::Record(items), _) => {
                self.items(
                    ('{', '}'),
                    items.iter().map(|value| (None, value, None)),
                    depth,
                );
            }
            (Value::Endpoint(role), _) => self.put(&format!("endpoint {role}")),
            (Value::Evidence(number), _) => self.put(&format!("evidence {number}")),
        }
    }

    fn name(&mut self, name: Option<&String>, number: u64) {
        match name {
            Some(name) => self.put(name),
            None => self.put(&number.to_string()),
        }
    }

    /// Writes hexadecimal digits, followed by the text if the bytes are UTF-8.
    fn bytes(&mut self, bytes: &[u8]) {
        const SHOWN_MAX: usize = TEXT_LEN_MAX / 4;
        let shown = &bytes[..bytes.len().min(SHOWN_MAX)];
        let mut text = String::with_capacity(2 * shown.len() + 4);
        text.push_str("h'");
        for byte in shown {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\'');
        self.put(&text);
        match std::str::from_utf8(shown) {
            Ok(plain) if !plain.is_empty() => self.put(&format!(" {plain:?}")),
            Ok(_) | Err(_) => {}
        }
        self.cut |= shown.len() < bytes.len();
    }

    fn items<'v>(
        &mut self,
        (open, close): (char, char),
        items: impl ExactSizeIterator<Item = (Option<&'v str>, &'v Value, Of<'v>)>,
        depth: usize,
    ) {
        let len = items.len();
        self.put(&open.to_string());
        for (n, (name, value, of)) in items.enumerate() {
            if self.cut {
                return;
            }
            self.line(depth + 1);
            if let Some(name) = name {
                self.put(name);
                self.put(": ");
            }
            self.value(value, of, depth + 1);
            if n + 1 < len {
                self.put(",");
            }
        }
        if len > 0 {
            self.line(depth);
        }
        self.put(&close.to_string());
    }
}
