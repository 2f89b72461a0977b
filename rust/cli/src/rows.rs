//! What happened in a run, as rows. Timelines, JSON and diagrams are made from them, both live and
//! from a recording.

use std::collections::BTreeMap;

use antiphon_machine::{
    Class, CoroutineId, EffectId, Event, Failure, Fault, Ingress, LabelId, Message, ObsEvent,
    OperationId, RoleId, SortId, Value, VerifiedImage,
};
use antiphon_record::{Request, describe};
use serde_json::{Map, json};

use crate::filter;
use crate::literal;

/// The kind of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Opened,
    Sent,
    Received,
    /// A role's host is asked for a choice or a payload, or is given one.
    HostAsked,
    HostAnswered,
    /// An operation of an interface is called.
    Called,
    Answered,
    Failed,
    TimedOut,
    Witness,
    Cancelled,
    FailureBranch,
    Faulted,
    Halted,
    Ended,
    Clock,
    Refused,
    Checkpoint,
    Diverged,
}

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) step: u64,
    pub(crate) clock: u64,
    pub(crate) session: Option<u32>,
    /// The role that acts.
    pub(crate) from: Option<String>,
    /// The role that it acts on.
    pub(crate) to: Option<String>,
    /// The label, the operation, or the kind of failure.
    pub(crate) what: String,
    /// The number of the message on its edge, or of the effect in its session.
    pub(crate) number: Option<u64>,
    /// Payload, arguments or result.
    pub(crate) values: Vec<(Value, Option<SortId>)>,
    /// Further details.
    pub(crate) note: String,
    /// Whether it is a message between two roles of the guest, which no frame carried.
    pub(crate) is_inside_guest: bool,
}

/// Makes rows from events, requests and inputs.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    asked: BTreeMap<EffectId, (Option<RoleId>, OperationId)>,
}

impl Kind {
    /// The name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Opened => "opened",
            Kind::Sent => "sent",
            Kind::Received => "received",
            Kind::HostAsked => "host_asked",
            Kind::HostAnswered => "host_answered",
            Kind::Called => "called",
            Kind::Answered => "answered",
            Kind::Failed => "failed",
            Kind::TimedOut => "timed_out",
            Kind::Witness => "witness",
            Kind::Cancelled => "cancelled",
            Kind::FailureBranch => "failure_branch",
            Kind::Faulted => "faulted",
            Kind::Halted => "halted",
            Kind::Ended => "ended",
            Kind::Clock => "clock",
            Kind::Refused => "refused",
            Kind::Checkpoint => "checkpoint",
            Kind::Diverged => "diverged",
        }
    }

    /// Whether something went wrong. The end of a session does not count: it is kept separately.
    pub(crate) const fn is_trouble(self) -> bool {
        match self {
            Kind::Failed
            | Kind::TimedOut
            | Kind::Cancelled
            | Kind::FailureBranch
            | Kind::Faulted
            | Kind::Refused
            | Kind::Diverged => true,
            Kind::Opened
            | Kind::Sent
            | Kind::Received
            | Kind::HostAsked
            | Kind::HostAnswered
            | Kind::Called
            | Kind::Answered
            | Kind::Witness
            | Kind::Halted
            | Kind::Ended
            | Kind::Clock
            | Kind::Checkpoint => false,
        }
    }

    /// Whether the row is printed without `--all`.
    pub(crate) const fn is_plain(self) -> bool {
        match self {
            Kind::Opened
            | Kind::Sent
            | Kind::Called
            | Kind::Answered
            | Kind::Failed
            | Kind::TimedOut
            | Kind::Cancelled
            | Kind::FailureBranch
            | Kind::Faulted
            | Kind::Ended
            | Kind::Refused
            | Kind::Diverged => true,
            Kind::Received
            | Kind::HostAsked
            | Kind::HostAnswered
            | Kind::Witness
            | Kind::Halted
            | Kind::Clock
            | Kind::Checkpoint => false,
        }
    }
}

impl Row {
    /// Makes a row of this kind without names and values.
    pub(crate) fn new(kind: Kind, step: u64, clock: u64, session: Option<u32>) -> Row {
        Row {
            kind,
            step,
            clock,
            session,
            from: None,
            to: None,
            what: String::new(),
            number: None,
            values: Vec::new(),
            note: String::new(),
            is_inside_guest: false,
        }
    }

    /// Marks the row if it is a message between two of these roles.
    pub(crate) fn mark_inside(&mut self, guest_roles: &[String]) {
        let is_message = matches!(self.kind, Kind::Sent | Kind::Received);
        let is_guest =
            |name: &Option<String>| name.as_ref().is_some_and(|n| guest_roles.contains(n));
        self.is_inside_guest = is_message && is_guest(&self.from) && is_guest(&self.to);
    }

    /// Returns the values on one line, each cut at about `width` characters.
    pub(crate) fn values_text(&self, image: Option<&VerifiedImage>, width: usize) -> String {
        let Some(image) = image else {
            return String::new();
        };
        let shown = self.values.iter();
        let shown = shown.map(|(value, sort)| literal::show(value, *sort, image.image(), width));
        shown.collect::<Vec<_>>().join(", ")
    }

    /// Returns the row as a JSON object with uncut values.
    pub(crate) fn document(&self, image: Option<&VerifiedImage>) -> Map<String, serde_json::Value> {
        let mut object = Map::new();
        let mut put = |key: &str, value: serde_json::Value| {
            object.insert(key.to_owned(), value);
        };
        put("event", json!(self.kind.name()));
        put("step", json!(self.step));
        put("clock", json!(self.clock));
        if let Some(session) = self.session {
            put("session", json!(session));
        }
        for (key, name) in [("from", &self.from), ("to", &self.to)] {
            if let Some(name) = name {
                put(key, json!(name));
            }
        }
        if !self.what.is_empty() {
            put("what", json!(self.what));
        }
        if let Some(number) = self.number {
            put("number", json!(number));
        }
        if !self.values.is_empty() {
            let code = image.map(VerifiedImage::image);
            let values = self.values.iter();
            let values = values.map(|(value, sort)| literal::json(value, *sort, code));
            put("values", values.collect());
        }
        if !self.note.is_empty() {
            put("note", json!(self.note));
        }
        if self.is_inside_guest {
            put("inside_guest", json!(true));
        }
        object
    }
}

impl Rows {
    /// Makes the row of a request.
    pub(crate) fn request(
        &mut self,
        request: &Request,
        clock: u64,
        image: Option<&VerifiedImage>,
    ) -> Row {
        self.asked
            .insert(request.effect, (request.role, request.operation));
        let session = Some(request.effect.session.0);
        let operation = Operation::of(image, request.operation);
        let mut row = Row::new(operation.request_kind(), request.step, clock, session);
        row.from = role(image, request.role);
        row.what = operation.what;
        row.to = operation.peer;
        row.number = Some(request.effect.number);
        let sorts = operation
            .args
            .into_iter()
            .map(Some)
            .chain(std::iter::repeat(None));
        row.values = request.args.iter().cloned().zip(sorts).collect();
        if request.attempt > 0 {
            row.note = format!("attempt {}", request.attempt + 1);
        }
        if let Some(deadline) = request.deadline {
            let comma = if row.note.is_empty() { "" } else { ", " };
            row.note.push_str(&format!("{comma}until {deadline}"));
        }
        row
    }

    /// Makes the row of an event. Returns `None` if another row already shows the event.
    pub(crate) fn event(&mut self, seen: &ObsEvent, image: Option<&VerifiedImage>) -> Option<Row> {
        let stamp = &seen.stamp;
        let session = stamp.session;
        let row = |kind| Row::new(kind, stamp.step, stamp.clock, Some(session.0));
        let noted = |kind, note: String| Row { note, ..row(kind) };
        let numbered = |kind, what: &str, number: u64| Row {
            number: Some(number),
            what: what.to_owned(),
            ..row(kind)
        };
        let acted = |kind, coroutine: CoroutineId, note| Row {
            from: role(image, Some(RoleId(coroutine.0))),
            ..noted(kind, note)
        };
        let effect = |number: u64| EffectId { session, number };
        Some(match &seen.event {
            Event::Opened { owner, .. } => Row {
                what: filter::line(image.map_or("", |image| &image.image().name)),
                note: format!("for {}", filter::line(owner)),
                ..row(Kind::Opened)
            },
            Event::Sent(message) | Event::Offered(message) => {
                message_row(row(Kind::Sent), message, image, false)
            }
            Event::Received(message) | Event::Chose(message) => {
                message_row(row(Kind::Received), message, image, true)
            }
            Event::EffectIssued { .. } | Event::Closed | Event::EpochAdvanced { .. } => {
                return None;
            }
            Event::EffectResolved { number, result } => {
                self.resolved(row(Kind::Answered), effect(*number), result, image)
            }
            Event::EffectFailed { number, failure } => {
                self.failed(row(Kind::Failed), effect(*number), failure, image)
            }
            Event::EffectInvalidated { number } => {
                self.asked.remove(&effect(*number));
                numbered(Kind::Failed, "invalidated", *number)
            }
            Event::WitnessIssued { witness, number } => Row {
                note: format!("for effect {number}"),
                ..numbered(Kind::Witness, "issued", *witness)
            },
            Event::WitnessExpired { witness } => numbered(Kind::Witness, "expired", *witness),
            Event::TimeoutIssued { number, .. } => Row {
                from: self.asking_role(effect(*number), image),
                ..numbered(Kind::TimedOut, "", *number)
            },
            Event::CancellationRequested { .. } => noted(Kind::Cancelled, "requested".to_owned()),
            Event::Cancelled { .. } => noted(Kind::Cancelled, "complete".to_owned()),
            Event::FailureBranchEntered { coroutine, cause } => {
                acted(Kind::FailureBranch, *coroutine, fault(cause, image))
            }
            Event::Spawned { coroutine, program } => Row {
                what: "spawned".to_owned(),
                note: format!("coroutine {coroutine} with program {program}"),
                ..row(Kind::Opened)
            },
            Event::Halted { coroutine } => acted(Kind::Halted, *coroutine, String::new()),
            Event::Faulted {
                coroutine,
                fault: why,
            } => acted(Kind::Faulted, *coroutine, fault(why, image)),
            Event::SessionTerminal { end } => Row {
                what: end.name().to_owned(),
                ..row(Kind::Ended)
            },
        })
    }

    /// The name of the role whose effect is outstanding.
    fn asking_role(&self, effect: EffectId, image: Option<&VerifiedImage>) -> Option<String> {
        let (asking, _) = self.asked.get(&effect)?;
        role(image, *asking)
    }

    /// Makes the row of an input. Returns `None` if the input's events show it.
    pub(crate) fn input(&mut self, step: u64, clock: u64, input: &Ingress) -> Option<Row> {
        match input {
            Ingress::AdvanceClock { ticks } => Some(Row {
                what: ticks.to_string(),
                ..Row::new(Kind::Clock, step, clock, None)
            }),
            Ingress::Open { .. } | Ingress::Outcome { .. } | Ingress::Cancel { .. } => None,
        }
    }

    fn resolved(
        &mut self,
        row: Row,
        effect: EffectId,
        result: &Value,
        image: Option<&VerifiedImage>,
    ) -> Row {
        let (asking, operation) = self.asked.remove(&effect).unzip();
        let operation = operation
            .map(|id| Operation::of(image, id))
            .unwrap_or_default();
        Row {
            kind: operation.answer_kind(),
            to: role(image, asking.flatten()),
            what: operation.what,
            number: Some(effect.number),
            values: vec![(result.clone(), operation.result)],
            ..row
        }
    }

    fn failed(
        &mut self,
        row: Row,
        effect: EffectId,
        failure: &Failure,
        image: Option<&VerifiedImage>,
    ) -> Row {
        let asked = self.asked.remove(&effect);
        let operation = asked
            .map(|(_, id)| Operation::of(image, id))
            .unwrap_or_default();
        let detail = filter::line(&failure.detail);
        let colon = if detail.is_empty() { "" } else { ": " };
        Row {
            to: role(image, asked.and_then(|(asking, _)| asking)),
            what: operation.what,
            number: Some(effect.number),
            note: format!("{}{colon}{detail}", failure.kind),
            ..row
        }
    }
}

/// What a row shows of an operation.
#[derive(Clone, Debug, Default)]
struct Operation {
    what: String,
    peer: Option<String>,
    is_host: bool,
    args: Vec<SortId>,
    result: Option<SortId>,
}

impl Operation {
    fn of(image: Option<&VerifiedImage>, id: OperationId) -> Operation {
        let row = image.and_then(|image| image.image().operations.get(id.index()));
        let Some((image, row)) = image.zip(row) else {
            return Operation {
                what: format!("operation {id}"),
                ..Operation::default()
            };
        };
        let label = |id: &LabelId| filter::line(image.label_name(*id));
        let (what, peer, is_host) = match &row.class {
            Class::Produce { label: id, peer } => {
                (format!("produce {}", label(id)), Some(peer), true)
            }
            Class::Deliver { label: id, peer } => {
                (format!("deliver {}", label(id)), Some(peer), true)
            }
            Class::Decide { labels, peer } => {
                let labels: Vec<String> = labels.iter().map(label).collect();
                (format!("decide {}", labels.join(" | ")), Some(peer), true)
            }
            Class::Command | Class::Observe | Class::Check => {
                let interface = image.image().interfaces.get(usize::from(row.interface));
                let interface = interface.map_or("", |interface| &interface.name);
                (
                    filter::line(&format!("{interface}.{}", row.name)),
                    None,
                    false,
                )
            }
        };
        Operation {
            what,
            peer: peer.and_then(|peer| role(Some(image), Some(*peer))),
            is_host,
            args: row.args.clone(),
            result: Some(row.result),
        }
    }

    fn request_kind(&self) -> Kind {
        if self.is_host {
            Kind::HostAsked
        } else {
            Kind::Called
        }
    }

    fn answer_kind(&self) -> Kind {
        if self.is_host {
            Kind::HostAnswered
        } else {
            Kind::Answered
        }
    }
}

/// Completes the row of a message that enters or leaves its buffer. `from` is always the sender and
/// `to` the receiver.
fn message_row(row: Row, message: &Message, image: Option<&VerifiedImage>, taken: bool) -> Row {
    let ends = image.and_then(|image| image.edges().get(message.edge.index()).copied());
    let sort = image.and_then(|image| describe::message_sort(image, message));
    let note = if taken { "taken" } else { "" };
    Row {
        from: ends.and_then(|(from, _)| role(image, Some(from))),
        to: ends.and_then(|(_, to)| role(image, Some(to))),
        what: filter::line(&describe::label(image, message.label)),
        number: Some(message.sequence),
        values: match &message.payload {
            Value::Unit => Vec::new(),
            payload => vec![(payload.clone(), sort)],
        },
        note: note.to_owned(),
        ..row
    }
}

fn role(image: Option<&VerifiedImage>, id: Option<RoleId>) -> Option<String> {
    id.map(|id| filter::line(&describe::role(image, id)))
}

/// Describes a fault with names in place of numbers, where there are names.
fn fault(fault: &Fault, image: Option<&VerifiedImage>) -> String {
    let role = |id: RoleId| describe::role(image, id);
    let text = match fault {
        Fault::WrongState {
            role: id,
            state,
            expected,
            got,
        } => format!(
            "{} is in state {state}, where it may {got}, and the instruction would {expected}",
            role(*id)
        ),
        Fault::WrongLabel {
            role: id,
            state,
            got,
        } => {
            let label = describe::label(image, *got);
            format!("{} in state {state} does not admit `{label}`", role(*id))
        }
        Fault::WrongSort { expected, got } => {
            let sort = image.map(|image| literal::sort_name(*expected, image.image()));
            let sort = sort.unwrap_or_else(|| format!("sort {expected}"));
            format!("a value of `{sort}` was expected, got one of form {got}")
        }
        Fault::EndpointOpen { role: id, state } => {
            format!("{} is in state {state}, which is not an end", role(*id))
        }
        Fault::OutOfRegisters { .. }
        | Fault::PcOutOfBounds { .. }
        | Fault::NoSuchRow { .. }
        | Fault::NotAnEndpoint { .. }
        | Fault::NotHolder { .. }
        | Fault::PayloadTooLarge { .. }
        | Fault::UnexpectedMessage { .. }
        | Fault::SelectorOutside { .. }
        | Fault::NoSuchBranch { .. }
        | Fault::NotANumber { .. }
        | Fault::WrongOperation
        | Fault::CoroutineBound { .. }
        | Fault::EffectFailed { .. }
        | Fault::EdgeNotEmpty { .. } => fault.to_string(),
    };
    filter::line(&text)
}
