//! Requests, outcomes, inputs, events and entries on one line each, with the names of an image if
//! there is one. [`Printer`] prints their parts.

use antiphon_machine::text::{self, Printer};
use antiphon_machine::{
    Ingress, Instruction, LabelId, Message, ObsEvent, Operation, OperationId, Outcome, Pick,
    ProtocolMachineKernel, RoleId, SessionId, SortId, Value, VerifiedImage,
};

use crate::entry::{Checkpoint, Entry, Header, Request};

pub use antiphon_machine::text::{digest, digests};

/// A number with a noun, in the singular for 1. For a noun with an irregular plural pass a pair.
pub fn count<'n>(number: u64, noun: impl Into<Noun<'n>>) -> String {
    let Noun { one, many } = noun.into();
    match (number, many) {
        (1, _) => format!("1 {one}"),
        (number, Some(many)) => format!("{number} {many}"),
        (number, None) => format!("{number} {one}s"),
    }
}

/// A noun in the singular and, if it is irregular, in the plural.
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

/// The image of a session; `None` if the kernel does not have the session.
pub fn image_of(kernel: &ProtocolMachineKernel, session: SessionId) -> Option<&VerifiedImage> {
    let session = kernel.session(session)?;
    Some(kernel.image(session).as_ref())
}

fn printer(image: Option<&VerifiedImage>) -> Printer<'_> {
    Printer::verified(image)
}

/// A value without names, cut at [`Printer::WIDTH`].
pub fn value(value: &Value) -> String {
    Printer::of(None).value(value, None)
}

/// A value, cut at [`Printer::WIDTH`], with the names of its sort: fields, variants and labels.
pub fn value_of(value: &Value, sort: Option<SortId>, image: Option<&VerifiedImage>) -> String {
    printer(image).value(value, sort)
}

/// A role's name, or its number.
pub fn role(image: Option<&VerifiedImage>, id: RoleId) -> String {
    printer(image).role(id)
}

/// A label's name, or its number.
pub fn label(image: Option<&VerifiedImage>, id: LabelId) -> String {
    printer(image).label(id)
}

/// An operation: `interface.name`, and for an operation of a role's host its labels and the peer.
pub fn operation(image: Option<&VerifiedImage>, id: OperationId) -> String {
    printer(image).operation(id)
}

/// The image's row of an operation, with the sorts of its arguments and its result.
pub fn operation_row(image: Option<&VerifiedImage>, id: OperationId) -> Option<&Operation> {
    image?.image().operations.get(id.index())
}

/// The sort that the sender's automaton gives a message's payload: the first sort of the message's
/// label that the payload is of.
pub fn payload_sort(
    image: &VerifiedImage,
    ends: (RoleId, RoleId),
    label: LabelId,
    payload: &Value,
) -> Option<SortId> {
    text::payload_sort(image.image(), ends, label, payload)
}

/// The sort of the payload of an event's message.
pub fn message_sort(image: &VerifiedImage, message: &Message) -> Option<SortId> {
    Printer::verified(Some(image)).message_sort(message)
}

/// An instruction with its operands.
pub fn instruction(image: &VerifiedImage, instruction: &Instruction) -> String {
    printer(Some(image)).instruction(instruction)
}

/// A request: its role, operation and arguments.
pub fn request(image: Option<&VerifiedImage>, request: &Request) -> String {
    let role = match request.role {
        Some(id) => role(image, id),
        None => "a spawned coroutine".to_owned(),
    };
    let sorts = operation_row(image, request.operation).map_or(&[][..], |row| &row.args);
    let args = request.args.iter().enumerate();
    let args = args.map(|(n, value)| value_of(value, sorts.get(n).copied(), image));
    let args: Vec<_> = args.collect();
    let name = operation(image, request.operation);
    let mut text = format!(
        "{} {role} asks {name} ({})",
        request.effect,
        args.join(", ")
    );
    if request.attempt > 0 {
        text.push_str(&format!(", attempt {}", request.attempt));
    }
    if let Some(deadline) = request.deadline {
        text.push_str(&format!(", until {deadline}"));
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
    printer(image).with_result(operation).outcome(outcome)
}

/// An input.
pub fn input(input: &Ingress) -> String {
    Printer::of(None).input(input)
}

/// An entry of a recording. `image` is that of the entry's session, if it concerns one.
pub fn entry(image: Option<&VerifiedImage>, entry: &Entry) -> String {
    entry_with(image, entry, digest)
}

/// An entry of a recording with its digests in full, to tell it from one with the same short text.
pub fn entry_in_full(entry: &Entry) -> String {
    entry_with(None, entry, text::whole_digest)
}

fn entry_with(
    image: Option<&VerifiedImage>,
    entry: &Entry,
    digest: fn(&[u8; 32]) -> String,
) -> String {
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
        Entry::Checkpoint(point) => checkpoint(point, digest),
        Entry::Wave { picks, .. } => wave(picks),
        Entry::End(end) => format!("end, {}: {}", end.stop, checkpoint(&end.last, digest)),
    }
}

/// The picks of a wave: their number, and the first ones.
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
        text.push_str(&format!(", and {more} more"));
    }
    text
}

fn checkpoint(point: &Checkpoint, digest: fn(&[u8; 32]) -> String) -> String {
    let or_none = |d: &Option<[u8; 32]>| d.as_ref().map_or_else(|| "-".to_owned(), digest);
    let (state, trace) = (or_none(&point.state), or_none(&point.trace));
    let Checkpoint { step, clock, .. } = point;
    format!("step {step}, clock {clock}, state {state}, trace {trace}")
}

/// The protocol sources of two headers: length and digest. The texts differ if the sources do.
pub(crate) fn sources(left: &Header, right: &Header) -> (String, String) {
    let hash = |header: &Header| {
        let source = header.source.as_deref()?;
        Some((source.len(), *blake3::hash(source.as_bytes()).as_bytes()))
    };
    let text = |len: usize, digest: &str| {
        let bytes = count(len as u64, "byte");
        format!("{bytes}, digest {digest}")
    };
    let one = |source: Option<(usize, [u8; 32])>| {
        source.map_or("none".to_owned(), |(len, hash)| text(len, &digest(&hash)))
    };
    match (hash(left), hash(right)) {
        (Some((a, left)), Some((b, right))) => {
            let (left, right) = digests(&left, &right);
            (text(a, &left), text(b, &right))
        }
        (left, right) => (one(left), one(right)),
    }
}

/// An event, without its stamp.
pub fn event(image: Option<&VerifiedImage>, event: &ObsEvent) -> String {
    event_of(image, event, None)
}

/// An event, without its stamp. If the event ends an effect, `operation_id` is the effect's
/// operation, which has the sort of the result.
pub fn event_of(
    image: Option<&VerifiedImage>,
    event: &ObsEvent,
    operation_id: Option<OperationId>,
) -> String {
    printer(image).with_result(operation_id).event(&event.event)
}
