//! The report of a replay as JSON.

use antiphon_record::{Checkpoint, Divergence, Report, Verdict};
use serde_json::{Value, json};

use crate::hex::hex;
use crate::tail;

/// Returns the report of a replay.
pub(crate) fn json(report: &Report) -> Value {
    let Report {
        records,
        entries,
        requests,
        inputs,
        checkpoints,
        sessions,
        from_step,
        ..
    } = report;
    let (verdict, up_to, divergence) = match &report.verdict {
        Verdict::Equal => ("equal", None, Value::Null),
        Verdict::EqualUpTo { step } => ("equal_up_to", Some(step), Value::Null),
        Verdict::Diverged(found) => ("diverged", None, divergence(found)),
    };
    let tail = report.tail.as_ref().map(tail::json);
    let Checkpoint {
        step,
        clock,
        state,
        trace,
    } = &report.last;
    json!({
        "verdict": verdict, "from_step": from_step, "up_to_step": up_to,
        "divergence": divergence, "tail": tail,
        "records": records, "entries": entries, "requests": requests, "inputs": inputs,
        "checkpoints": checkpoints, "sessions": sessions, "steps": step, "clock": clock,
        "state": digest(state), "trace": digest(trace),
    })
}

fn digest(digest: &Option<[u8; 32]>) -> Option<String> {
    digest.as_ref().map(|digest| hex(digest))
}

/// Returns the first difference between a recording and its replay.
pub(crate) fn divergence(divergence: &Divergence) -> Value {
    let site = divergence
        .instruction
        .as_ref()
        .map(|site| json!({ "program": site.program, "pc": site.pc.0, "text": site.text }));
    let recent = divergence
        .recent
        .iter()
        .map(|seen| json!({ "step": seen.event.stamp.step, "text": seen.text }));
    json!({
        "step": divergence.step,
        "entry": divergence.entry,
        "session": divergence.session.map(|session| session.0),
        "role": divergence.role,
        "instruction": site,
        "difference": divergence.difference.name(),
        "expected": divergence.expected,
        "got": divergence.got,
        "before": recent.collect::<Vec<_>>(),
    })
}
