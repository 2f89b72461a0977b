//! The end of a recording: as an exit code, as text and as JSON.

use antiphon_record::Tail;

use crate::exit::Exit;

/// The exit code of a command that used a recording with this end.
pub(crate) fn exit(tail: Option<&Tail>) -> Exit {
    match tail {
        Some(Tail::Sealed) | None => Exit::Done,
        Some(Tail::Open | Tail::Torn { .. }) => Exit::Cut,
        Some(Tail::Damaged(_)) => Exit::Damaged,
    }
}

/// The kind of end in JSON.
fn kind(tail: &Tail) -> &'static str {
    match tail {
        Tail::Sealed => "complete",
        Tail::Open => "open",
        Tail::Torn { .. } => "torn",
        Tail::Damaged(_) => "damaged",
    }
}

/// Returns the end of a recording as JSON.
pub(crate) fn json(tail: &Tail) -> serde_json::Value {
    serde_json::json!({ "kind": kind(tail), "text": tail.to_string() })
}

/// The last line of an incomplete recording's timeline.
pub(crate) fn note(tail: &Tail) -> Option<String> {
    match tail {
        Tail::Sealed => None,
        Tail::Open | Tail::Torn { .. } => Some(format!("the recording ends here: {tail}")),
        Tail::Damaged(damage) => Some(format!("the recording is damaged here: {damage}")),
    }
}

/// The warning about an incomplete recording.
pub(crate) fn warning(tail: &Tail, records: u64) -> Option<String> {
    match tail {
        Tail::Sealed => None,
        Tail::Open => Some(format!(
            "the recording has no end because its writer was stopped; it is valid up to record \
             {records}"
        )),
        Tail::Torn { record, offset, .. } => Some(format!(
            "the recording is torn at byte {offset} because its writer was stopped; it is valid up \
             to record {record}"
        )),
        Tail::Damaged(damage) => Some(format!(
            "{damage}; it is valid up to record {}",
            damage.record
        )),
    }
}
