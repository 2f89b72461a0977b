//! Values, instructions, requests, events and entries as one line of text, with the image's names
//! where there is one.

use std::fmt::Write;

use antiphon_machine::{
    Class, CodeImage, EdgeId, Event, Ingress, Instruction, LabelId, Message, ObsEvent, Operation,
    OperationId, Outcome, Pick, ProtocolMachineKernel, RoleId, SessionId, Sort, SortId, State,
    Value, VerifiedImage,
};

use crate::entry::{Checkpoint, Entry, Request};
use crate::text;

/// Characters of a text, bytes of a byte string, and elements of a list that are shown of it.
const PREVIEW_LEN: usize = 24;

/// A number of things, in the singular where there is one. A noun whose plural is not made with
/// an `s` is given as a pair.
pub fn count<'n>(number: u64, noun: impl Into<Noun<'n>>) -> String {
    let Noun { one, many } = noun.into();
    match (number, many) {
        (1, _) => format!("1 {one}"),
        (number, Some(many)) => format!("{number} {many}"),
        (number, None) => format!("{number} {one}s"),
    }
}

/// A noun in the singular and, unless an `s` makes it, in the plural.
#[derive(Clone, Copy, Debug)]
pub struct Noun<'n> {
    one: &'n str,
    many: Option<&'n str>,
}

impl<'n> From<&'n str> for Noun<'n> {
    fn from(one: &'n str) -> Noun<'n> {
        Noun { one, many: None }
    }
}

impl<'n> From<(&'n str, &'n str)> for Noun<'n> {
    fn from((one, many): (&'n str, &'n str)) -> Noun<'n> {
        Noun {
            one,
            many: Some(many),
        }
    }
}

/// The image of a session, if the kernel has the session.
pub fn image_of(kernel: &ProtocolMachineKernel, session: SessionId) -> Option<&VerifiedImage> {
    let session = kernel.session(session)?;
    Some(kernel.image(session).as_ref())
}

/// A value, shortened.
pub fn value(value: &Value) -> String {
    value_of(value, None, None)
}

/// A value, shortened, with the names of its sort where the image has it: of fields, variants and
/// labels.
pub fn value_of(value: &Value, sort: Option<SortId>, image: Option<&VerifiedImage>) -> String {
    let mut text = String::new();
    write_value(&mut text, value, sort.zip(image.map(VerifiedImage::image)));
    text
}

/// A sort and the image that has it, where they are known.
type Of<'i> = Option<(SortId, &'i CodeImage)>;

fn write_value(out: &mut String, value: &Value, of: Of<'_>) {
    let sort = of.and_then(|(sort, image)| image.sorts.get(sort.index()));
    let inner = |sort: SortId| of.map(|(_, image)| (sort, image));
    match (value, sort) {
        (Value::Unit, _) => out.push_str("()"),
        (Value::Bool(b), _) => push(out, format_args!("{b}")),
        (Value::Nat(n), Some(Sort::Enum { variants, .. })) => {
            write_name(out, variants.get(*n as usize), *n);
        }
        (Value::Nat(n), Some(Sort::Arm(_))) => {
            let labels = of.map_or(&[][..], |(_, image)| &image.labels);
            write_name(out, labels.get(*n as usize), *n);
        }
        (Value::Nat(n), _) => push(out, format_args!("{n}")),
        (Value::Int(i), _) => push(out, format_args!("{i:+}")),
        (Value::Text(text), _) => write_text(out, text),
        (Value::Bytes(bytes), _) => {
            out.push_str("h'");
            for byte in bytes.iter().take(PREVIEW_LEN) {
                push(out, format_args!("{byte:02x}"));
            }
            out.push('\'');
            if bytes.len() > PREVIEW_LEN {
                push(out, format_args!("… ({} bytes)", bytes.len()));
            }
        }
        (Value::List(items), Some(Sort::Option(item))) => match items.first() {
            Some(value) => write_value(out, value, inner(*item)),
            None => out.push_str("none"),
        },
        (Value::List(items), sort) => {
            let item = match sort {
                Some(Sort::List(item)) => inner(*item),
                Some(_) | None => None,
            };
            write_items(
                out,
                ('[', ']'),
                items.iter().map(|value| (None, value, item)),
            );
        }
        (Value::Record(items), Some(Sort::Record { name, fields })) => {
            let fields = fields.iter().zip(items.iter());
            let items = fields.map(|((field, sort), value)| {
                let field = (!name.is_empty()).then_some(field.as_str());
                (field, value, inner(*sort))
            });
            write_items(out, ('{', '}'), items);
        }
        (Value::Record(items), _) => {
            write_items(
                out,
                ('{', '}'),
                items.iter().map(|value| (None, value, None)),
            );
        }
        (Value::Endpoint(role), _) => push(out, format_args!("endpoint {role}")),
        (Value::Evidence(number), _) => push(out, format_args!("evidence {number}")),
    }
}

fn write_name(out: &mut String, name: Option<&String>, number: u64) {
    match name {
        Some(name) => out.push_str(&text::line(name)),
        None => push(out, format_args!("{number}")),
    }
}

fn write_text(out: &mut String, text: &str) {
    let end = text.char_indices().nth(PREVIEW_LEN).map(|(at, _)| at);
    // The debug form escapes what would move a terminal's cursor.
    push(
        out,
        format_args!("{:?}", &text[..end.unwrap_or(text.len())]),
    );
    if end.is_some() {
        push(out, format_args!("… ({} bytes)", text.len()));
    }
}

fn write_items<'v>(
    out: &mut String,
    (open, close): (char, char),
    items: impl ExactSizeIterator<Item = (Option<&'v str>, &'v Value, Of<'v>)>,
) {
    let len = items.len();
    out.push(open);
    for (n, (name, item, of)) in items.take(PREVIEW_LEN).enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        // What is long gets cut rather than walked: a line is a line.
        if out.len() > 16 * PREVIEW_LEN {
            out.push('…');
            break;
        }
        if let Some(name) = name {
            push(out, format_args!("{}: ", text::line(name)));
        }
        write_value(out, item, of);
    }
    if len > PREVIEW_LEN {
        push(out, format_args!(", … ({len} items)"));
    }
    out.push(close);
}

/// Writing into a `String` cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// A role's name, or its number.
pub fn role(image: Option<&VerifiedImage>, id: RoleId) -> String {
    match image.and_then(|i| i.image().roles.get(id.index())) {
        Some(role) => role.name.clone(),
        None => format!("role {id}"),
    }
}

/// A label's name, or its number.
pub fn label(image: Option<&VerifiedImage>, id: LabelId) -> String {
    match image.and_then(|i| i.image().labels.get(id.index())) {
        Some(name) => name.clone(),
        None => format!("label {id}"),
    }
}

/// An operation: `interface.name`, and for those of the host what they are about.
pub fn operation(image: Option<&VerifiedImage>, id: OperationId) -> String {
    let Some((image, row)) = image.and_then(|i| Some((i, i.image().operations.get(id.index())?)))
    else {
        return format!("operation {id}");
    };
    let interface = image.image().interfaces.get(usize::from(row.interface));
    let mut text = interface.map_or_else(String::new, |i| format!("{}.", i.name));
    text.push_str(&row.name);
    let image = Some(image);
    match &row.class {
        Class::Produce { label: l, peer } => {
            push(
                &mut text,
                format_args!(" {} to {}", label(image, *l), role(image, *peer)),
            );
        }
        Class::Decide { labels, peer } => {
            let names: Vec<_> = labels.iter().map(|l| label(image, *l)).collect();
            let (names, peer) = (names.join("|"), role(image, *peer));
            push(&mut text, format_args!(" {names} to {peer}"));
        }
        Class::Deliver { label: l, peer } => {
            push(
                &mut text,
                format_args!(" {} from {}", label(image, *l), role(image, *peer)),
            );
        }
        Class::Command | Class::Observe | Class::Check => {}
    }
    text
}

/// The row of an operation, which has the sorts of its arguments and its result.
pub fn operation_row(image: Option<&VerifiedImage>, id: OperationId) -> Option<&Operation> {
    image?.image().operations.get(id.index())
}

/// The sort that the sender's automaton gives a message's payload: the first one of its label that
/// the payload fits.
pub fn payload_sort(
    image: &VerifiedImage,
    (from, receiver): (RoleId, RoleId),
    label: LabelId,
    payload: &Value,
) -> Option<SortId> {
    let states = &image.image().roles.get(from.index())?.automaton.states;
    let sends = states.iter().filter_map(|state| match state {
        State::Send { to, branches } if *to == receiver => Some(branches),
        State::Send { .. } | State::Recv { .. } | State::End => None,
    });
    let mut sorts = sends
        .flatten()
        .filter(|transition| transition.label == label)
        .map(|transition| transition.sort);
    sorts.find(|sort| payload.is_of(*sort, &image.image().sorts))
}

/// The sort of the payload of a message of an event.
pub fn message_sort(image: &VerifiedImage, message: &Message) -> Option<SortId> {
    let ends = *image.edges().get(message.edge.index())?;
    payload_sort(image, ends, message.label, &message.payload)
}

/// An instruction with its operands.
pub fn instruction(image: &VerifiedImage, instruction: &Instruction) -> String {
    let image = Some(image);
    let name = |l: &LabelId| label(image, *l);
    match instruction {
        Instruction::Send { chan, label, val } => format!("send r{chan} {} r{val}", name(label)),
        Instruction::Receive { chan, label, dst } => {
            format!("r{dst} := receive r{chan} {}", name(label))
        }
        Instruction::Offer {
            chan,
            selector,
            arms,
        } => {
            let arms = arms.iter();
            let arms: Vec<_> = arms
                .map(|a| format!("{} r{} -> {}", name(&a.label), a.val, a.target))
                .collect();
            format!("offer r{chan} by r{selector} {{ {} }}", arms.join(", "))
        }
        Instruction::Choose { chan, dst, table } => {
            let rows = table.iter();
            let rows: Vec<_> = rows.map(|(l, pc)| format!("{} -> {pc}", name(l))).collect();
            format!("r{dst} := choose r{chan} {{ {} }}", rows.join(", "))
        }
        Instruction::Invoke {
            operation: id,
            args,
            dst,
            on_failure,
        } => {
            let (name, args) = (operation(image, *id), registers(args));
            let failure = on_failure.map_or_else(String::new, |pc| format!(", on failure -> {pc}"));
            format!("r{dst} := invoke {name} ({args}){failure}")
        }
        Instruction::Check {
            operation: id,
            args,
            dst,
            witness,
            on_failure,
        } => {
            let (name, args) = (operation(image, *id), registers(args));
            let failure = on_failure.map_or_else(String::new, |pc| format!(", on failure -> {pc}"));
            format!("r{dst}, r{witness} := check {name} ({args}){failure}")
        }
        Instruction::Spawn { program, args, dst } => {
            format!("r{dst} := spawn program {program} ({})", registers(args))
        }
        Instruction::Set { dst, value: v } => format!("r{dst} := {}", value(v)),
        Instruction::Move { dst, src } => format!("r{dst} := r{src}"),
        Instruction::Jump { target } => format!("jump -> {target}"),
        Instruction::Branch { cond, table } => {
            let rows = table.iter();
            let rows: Vec<_> = rows.map(|(n, pc)| format!("{n} -> {pc}")).collect();
            format!("branch r{cond} {{ {} }}", rows.join(", "))
        }
        Instruction::Yield => "yield".to_owned(),
        Instruction::Close => "close".to_owned(),
        Instruction::Halt => "halt".to_owned(),
    }
}

fn registers(registers: &[antiphon_machine::Reg]) -> String {
    let names: Vec<_> = registers.iter().map(|r| format!("r{r}")).collect();
    names.join(", ")
}

/// A request: who asks what, with which arguments.
pub fn request(image: Option<&VerifiedImage>, request: &Request) -> String {
    let who = match request.role {
        Some(id) => role(image, id),
        None => "a spawned coroutine".to_owned(),
    };
    let sorts = operation_row(image, request.operation).map_or(&[][..], |row| &row.args);
    let args = request.args.iter().enumerate();
    let args = args.map(|(n, value)| value_of(value, sorts.get(n).copied(), image));
    let args: Vec<_> = args.collect();
    let name = operation(image, request.operation);
    let mut text = format!("{} {who} asks {name} ({})", request.effect, args.join(", "));
    if request.attempt > 0 {
        push(&mut text, format_args!(", attempt {}", request.attempt));
    }
    if let Some(deadline) = request.deadline {
        push(&mut text, format_args!(", until {deadline}"));
    }
    text
}

/// An outcome.
pub fn outcome(outcome: &Outcome) -> String {
    outcome_of(outcome, None, None)
}

/// An outcome of an operation, with the names of the result's sort.
pub fn outcome_of(
    outcome: &Outcome,
    image: Option<&VerifiedImage>,
    operation: Option<OperationId>,
) -> String {
    match outcome {
        Outcome::Success(v) => {
            let row = operation.and_then(|id| operation_row(image, id));
            value_of(v, row.map(|row| row.result), image)
        }
        Outcome::Failure(f) if f.detail.is_empty() => format!("failed: {}", f.kind),
        Outcome::Failure(f) => {
            let mut text = format!("failed: {}, ", f.kind);
            write_text(&mut text, &f.detail);
            text
        }
    }
}

/// An input.
pub fn input(input: &Ingress) -> String {
    match input {
        Ingress::Open { image, owner } => {
            let mut text = format!("open a session of {} for ", digest(image));
            write_text(&mut text, owner);
            text
        }
        Ingress::Outcome { effect, outcome: o } => format!("{effect} answered: {}", outcome(o)),
        Ingress::AdvanceClock { ticks } => passing(*ticks),
        Ingress::Cancel { session, owner } => {
            let mut text = format!("session {session} called off by ");
            write_text(&mut text, owner);
            text
        }
    }
}

/// An advance of the clock.
pub fn passing(ticks: u64) -> String {
    match ticks {
        1 => "1 tick passes".to_owned(),
        ticks => format!("{ticks} ticks pass"),
    }
}

/// The first bytes of a digest.
pub fn digest(digest: &[u8; 32]) -> String {
    let mut text = String::new();
    for byte in &digest[..6] {
        push(&mut text, format_args!("{byte:02x}"));
    }
    text.push('…');
    text
}

/// An entry of a recording. `image` is that of the entry's session, where it is about one.
pub fn entry(image: Option<&VerifiedImage>, entry: &Entry) -> String {
    match entry {
        Entry::Header(header) => format!("recorded by {}", header.tool),
        Entry::Image(bytes) => format!(
            "image {} ({} bytes)",
            digest(blake3::hash(bytes).as_bytes()),
            bytes.len()
        ),
        Entry::Request(r) => request(image, r),
        Entry::Answer(o) => format!("answered: {}", outcome(o)),
        Entry::Input { input: i, .. } => input(i),
        Entry::Refused(refusal) => format!("refused: {refusal}"),
        Entry::Checkpoint(point) => checkpoint(point),
        Entry::Wave { picks, .. } => wave(picks),
        Entry::End(end) => format!("end, {}: {}", end.stop, checkpoint(&end.last)),
    }
}

/// The picks of a wave: how many, and the first of them.
fn wave(picks: &[(Pick, u32)]) -> String {
    const SHOWN: usize = 4;
    let shown = picks.iter().take(SHOWN).map(|(pick, quantum)| {
        let Pick { session, coroutine } = pick;
        format!("session {session} from coroutine {coroutine} (at most {quantum})")
    });
    let mut text = format!(
        "wave of {}: {}",
        picks.len(),
        shown.collect::<Vec<_>>().join(", ")
    );
    if let Some(more) = picks.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        push(&mut text, format_args!(", and {more} more"));
    }
    text
}

fn checkpoint(point: &Checkpoint) -> String {
    let or_none = |d: &Option<[u8; 32]>| d.as_ref().map_or_else(|| "-".to_owned(), digest);
    let (state, trace) = (or_none(&point.state), or_none(&point.trace));
    let Checkpoint { step, clock, .. } = point;
    format!("step {step}, clock {clock}, state {state}, trace {trace}")
}

/// An event, without its stamp.
pub fn event(image: Option<&VerifiedImage>, event: &ObsEvent) -> String {
    event_of(image, event, None)
}

/// An event, without its stamp. The operation is that of the effect that the event is about, where
/// it is known: a result has its names then.
pub fn event_of(
    image: Option<&VerifiedImage>,
    event: &ObsEvent,
    asked: Option<OperationId>,
) -> String {
    let message = |verb: &str, m: &Message| {
        let (from, to) = edge(image, m.edge);
        let sort = image.and_then(|image| message_sort(image, m));
        let (l, payload) = (label(image, m.label), value_of(&m.payload, sort, image));
        format!("{verb} {from} -> {to} #{}: {l} {payload}", m.sequence)
    };
    match &event.event {
        Event::Opened { owner, .. } => format!("opened for {owner:?}"),
        Event::Sent(m) => message("sent", m),
        Event::Offered(m) => message("offered", m),
        Event::Received(m) => message("received", m),
        Event::Chose(m) => message("chose", m),
        Event::EffectIssued {
            number,
            coroutine,
            operation: id,
            ..
        } => {
            let name = operation(image, *id);
            format!("effect {number} of coroutine {coroutine}: {name}")
        }
        Event::EffectResolved { number, result } => {
            let outcome = Outcome::Success(result.clone());
            format!(
                "effect {number} resolved: {}",
                outcome_of(&outcome, image, asked)
            )
        }
        Event::EffectFailed { number, failure } => {
            format!(
                "effect {number} {}",
                outcome(&Outcome::Failure(failure.clone()))
            )
        }
        Event::EffectInvalidated { number } => format!("effect {number} invalidated"),
        Event::WitnessIssued { witness, number } => {
            format!("witness {witness} issued for effect {number}")
        }
        Event::WitnessExpired { witness } => format!("witness {witness} expired"),
        Event::TimeoutIssued { number, witness } => {
            format!("effect {number} timed out, witness {witness}")
        }
        Event::CancellationRequested { witness } => {
            format!("cancellation requested, witness {witness}")
        }
        Event::Cancelled { witness } => format!("cancelled, witness {witness}"),
        Event::FailureBranchEntered { coroutine, cause } => {
            format!("coroutine {coroutine} failed: {cause}")
        }
        Event::Spawned { coroutine, program } => {
            format!("coroutine {coroutine} started with program {program}")
        }
        Event::Halted { coroutine } => format!("coroutine {coroutine} halted"),
        Event::Faulted { coroutine, fault } => format!("coroutine {coroutine} faulted: {fault}"),
        Event::Closed => "closed".to_owned(),
        Event::SessionTerminal { end } => format!("session ended: {}", end.name()),
        Event::EpochAdvanced { epoch } => format!("epoch {epoch}"),
    }
}

fn edge(image: Option<&VerifiedImage>, id: EdgeId) -> (String, String) {
    match image.and_then(|i| i.edges().get(id.index())) {
        Some((from, to)) => (role(image, *from), role(image, *to)),
        None => (format!("edge {id}"), "?".to_owned()),
    }
}
