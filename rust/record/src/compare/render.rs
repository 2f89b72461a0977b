//! Prints items and differences.

use antiphon_machine::text::{self, Excerpt, Printer};
use antiphon_machine::{Fault, Ingress, OperationId, SortId, Value, VerifiedImage};

use super::feed::{Content, Piece, Sent};
use crate::describe;

/// The number of bytes of a stream that are shown before a difference.
pub(super) const CONTEXT: usize = 16;
/// The number of bytes of a stream that are shown from a difference on.
pub(super) const AFTER: usize = 32;

/// The width in characters of a value in an item that is shown as a whole.
const WHOLE: usize = 72;

/// The width in characters of an argument that does not differ.
const BESIDE: usize = 16;

/// A difference of two items, rendered.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    /// The label or the operation, if both have the same.
    pub(super) name: String,
    pub(super) path: String,
    pub(super) offset: Option<u64>,
    pub(super) left: String,
    pub(super) right: String,
}

fn printer(image: Option<&VerifiedImage>) -> Printer<'_> {
    Printer::of(image.map(VerifiedImage::image))
}

fn show(
    image: Option<&VerifiedImage>,
    value: &Value,
    sort: Option<SortId>,
    width: usize,
) -> String {
    printer(image).with_width(width).value(value, sort)
}

fn excerpt(
    image: Option<&VerifiedImage>,
    left: &Value,
    right: &Value,
    sort: Option<SortId>,
) -> Excerpt {
    printer(image).excerpt(left, right, sort)
}

fn label(image: Option<&VerifiedImage>, sent: &Sent) -> String {
    printer(image).label(sent.label)
}

fn operation(image: Option<&VerifiedImage>, id: OperationId) -> String {
    printer(image).operation(id)
}

fn spaced(label: &str, payload: &str) -> String {
    match payload {
        "()" => label.to_owned(),
        payload => format!("{label} {payload}"),
    }
}

/// A message: its label and its payload.
pub(super) fn message(image: Option<&VerifiedImage>, sent: &Sent) -> String {
    let payload = show(image, &sent.payload, sent.sort, WHOLE);
    spaced(&label(image, sent), &payload)
}

fn args(
    image: Option<&VerifiedImage>,
    id: OperationId,
    args: &[Value],
    width: usize,
) -> Vec<String> {
    let sorts = describe::operation_row(image, id).map_or(&[][..], |row| &row.args);
    let args = args.iter().enumerate();
    args.map(|(n, value)| show(image, value, sorts.get(n).copied(), width))
        .collect()
}

fn result_sort(image: Option<&VerifiedImage>, id: OperationId) -> Option<SortId> {
    describe::operation_row(image, id).map(|row| row.result)
}

/// An item on one line.
pub(super) fn item(image: Option<&VerifiedImage>, content: &Content) -> String {
    match content {
        Content::Opened(image) => format!("opened {}", text::line(&image.image().name)),
        Content::Ended(end) => format!("ended: {}", end.name()),
        Content::Message(sent) | Content::Piece(Piece { sent, .. }) => message(image, sent),
        Content::Called {
            operation: id,
            args: values,
        } => {
            let args = args(image, *id, values, WHOLE).join(", ");
            format!("{}({args})", operation(image, *id))
        }
        Content::Answered {
            operation: id,
            result,
        } => {
            let result = show(image, result, result_sort(image, *id), WHOLE);
            format!("{} = {result}", operation(image, *id))
        }
        Content::Failed {
            operation: id,
            kind,
            detail,
        } => {
            let detail = match detail.is_empty() {
                true => String::new(),
                false => format!(": {}", show(image, &Value::text(detail), None, WHOLE)),
            };
            format!("{} failed: {kind}{detail}", operation(image, *id))
        }
        // The number of an effect depends on how the effects of the session interleave.
        Content::Faulted(Fault::EffectFailed { kind, .. }) => {
            format!("faulted: an effect failed: {kind}")
        }
        Content::Faulted(fault) => format!("faulted: {}", printer(image).fault(fault)),
        Content::Ticks(ticks) => describe::input(&Ingress::AdvanceClock { ticks: *ticks }),
    }
}

/// The difference of two items.
pub(super) fn difference(
    image: Option<&VerifiedImage>,
    left: &Content,
    right: &Content,
) -> Rendered {
    match (left, right) {
        (Content::Message(a), Content::Message(b)) if a.label == b.label => {
            let name = label(image, a);
            let found = excerpt(image, &a.payload, &b.payload, a.sort);
            Rendered {
                path: format!("{name}{}", found.path),
                offset: found.offset,
                left: spaced(&name, &found.left),
                right: spaced(&name, &found.right),
                name,
            }
        }
        (
            Content::Called {
                operation: id,
                args: a,
            },
            Content::Called {
                operation: other,
                args: b,
            },
        ) if id == other && a.len() == b.len() => called(image, *id, a, b),
        (
            Content::Answered {
                operation: id,
                result: a,
            },
            Content::Answered {
                operation: other,
                result: b,
            },
        ) if id == other => {
            let name = operation(image, *id);
            let found = excerpt(image, a, b, result_sort(image, *id));
            Rendered {
                path: format!("{name} result{}", found.path),
                offset: found.offset,
                left: format!("{name} = {}", found.left),
                right: format!("{name} = {}", found.right),
                name,
            }
        }
        (
            Content::Opened(_)
            | Content::Ended(_)
            | Content::Message(_)
            | Content::Piece(_)
            | Content::Called { .. }
            | Content::Answered { .. }
            | Content::Failed { .. }
            | Content::Faulted(_)
            | Content::Ticks(_),
            _,
        ) => whole_items(image, left, right),
    }
}

/// Different items as a whole.
fn whole_items(image: Option<&VerifiedImage>, left: &Content, right: &Content) -> Rendered {
    let (mut a, mut b) = (item(image, left), item(image, right));
    if a == b {
        // Only a failure's detail can be so long that the text is cut before the difference.
        (a, b) = details(image, left, right).unwrap_or((a, b));
    }
    Rendered {
        left: a,
        right: b,
        ..Rendered::default()
    }
}

fn called(image: Option<&VerifiedImage>, id: OperationId, a: &[Value], b: &[Value]) -> Rendered {
    let name = operation(image, id);
    let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (Some(left), Some(right)) = (a.get(at), b.get(at)) else {
        return Rendered::default();
    };
    let sorts = describe::operation_row(image, id).map_or(&[][..], |row| &row.args);
    let found = excerpt(image, left, right, sorts.get(at).copied());
    let line = |values: &[Value], cut: &str| {
        let mut texts = args(image, id, values, BESIDE);
        if let Some(text) = texts.get_mut(at) {
            cut.clone_into(text);
        }
        format!("{name}({})", texts.join(", "))
    };
    Rendered {
        path: format!("{name} argument {at}{}", found.path),
        offset: found.offset,
        left: line(a, &found.left),
        right: line(b, &found.right),
        name,
    }
}

fn details(
    image: Option<&VerifiedImage>,
    left: &Content,
    right: &Content,
) -> Option<(String, String)> {
    let (Content::Failed { detail: a, .. }, Content::Failed { detail: b, .. }) = (left, right)
    else {
        return None;
    };
    let found = excerpt(image, &Value::text(a), &Value::text(b), None);
    Some((found.left, found.right))
}

/// A piece of a stream with these bytes in place of its own.
pub(super) fn piece(image: Option<&VerifiedImage>, piece: &Piece, bytes: &str) -> String {
    let name = label(image, &piece.sent);
    match (&piece.sent.payload, piece.sent.sort) {
        (Value::Record(values), Some(_)) => {
            let sort = image.and_then(|image| stream_sort(image, piece.sent.sort?));
            let stream = values.first().map(|value| show(image, value, sort, BESIDE));
            let stream = stream.unwrap_or_default();
            format!("{name} {{stream: {stream}, data: {bytes}}}")
        }
        _ => format!("{name} {bytes}"),
    }
}

/// The label of a piece, and the path to its bytes.
pub(super) fn piece_path(image: Option<&VerifiedImage>, piece: &Piece) -> (String, String) {
    let name = label(image, &piece.sent);
    let path = match piece.stream {
        Some(_) => format!("{name}.data"),
        None => name.clone(),
    };
    (name, path)
}

fn stream_sort(image: &VerifiedImage, sort: SortId) -> Option<SortId> {
    match image.image().sorts.get(sort.index())? {
        antiphon_machine::Sort::Record { fields, .. } => fields.first().map(|(_, sort)| *sort),
        _ => None,
    }
}

/// The bytes of a run before a difference and from it on.
pub(super) fn run(before: &[u8], has_more_before: bool, rest: &[u8], has_more: bool) -> String {
    let start = if has_more_before { "…" } else { "" };
    let end = if has_more { "…" } else { "" };
    let bytes = [before, rest].concat();
    let shown = show(None, &Value::bytes(&bytes), None, usize::MAX);
    format!("{start}{shown}{end}")
}
