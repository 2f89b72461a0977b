//! How a recording ends: as an exit code, as text and as JSON.

use antiphon_record::Tail;

use crate::exit::Exit;

/// What the end of a recording means for the exit code.
pub(crate) fn exit(tail: Option<&Tail>) -> Exit {
    match tail {
        Some(Tail::Sealed) | None => Exit::Done,
        Some(Tail::Open | Tail::Torn { .. }) => Exit::Cut,
        Some(Tail::Damaged(_)) => Exit::Damaged,
    }
}

/// How a recording ends, as a word of JSON.
fn kind(tail: &Tail) -> &'static str {
    match tail {
        Tail::Sealed => "complete",
        Tail::Open => "open",
        Tail::Torn { .. } => "torn",
        Tail::Damaged(_) => "damaged",
    }
}

/// How a recording ends, as JSON.
pub(crate) fn json(tail: &Tail) -> serde_json::Value {
    serde_json::json!({ "kind": kind(tail), "text": tail.to_string() })
}

/// The line that is shown at the end of a recording that is not whole.
pub(crate) fn note(tail: &Tail) -> Option<String> {
    match tail {
        Tail::Sealed => None,
        Tail::Open | Tail::Torn { .. } => Some(format!("the recording ends here: {tail}")),
        Tail::Damaged(damage) => Some(format!("the recording is damaged here: {damage}")),
    }
}

/// What to say about the end of a recording that is not whole.
pub(crate) fn warning(tail: &Tail, records: u64) -> Option<String> {
    match tail {
        Tail::Sealed => None,
        Tail::Open => Some(format!(
            "the recording has no end: whoever wrote it was stopped; it is valid up to record {records}"
        )),
        Tail::Torn { record, offset, .. } => Some(format!(
            "the recording is torn at byte {offset}: whoever wrote it was stopped; \
             it is valid up to record {record}"
        )),
        Tail::Damaged(damage) => Some(format!(
            "{damage}; it is valid up to record {}",
            damage.record
        )),
    }
}
