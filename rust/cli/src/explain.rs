//! Reports on the waves of a run: as a table, and as JSON.

use std::fmt::Write as _;

use antiphon_machine::threaded::WaveReport;
use serde_json::{Value, json};

/// The width of the first column, in characters.
const NAME_WIDTH: usize = 18;

/// Returns the report as a table.
pub(crate) fn table(report: &WaveReport) -> String {
    let WaveReport {
        waves,
        picks,
        steps,
        turns,
        session_taken,
        width_reached,
        fallbacks: _,
        panics,
    } = *report;
    let mut text = String::new();
    let mut row = |name: &str, count: u64, note: &str| {
        let line = format!("{name:<NAME_WIDTH$}{count:>9}  {note}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    };
    row("waves", waves, "");
    row("  picks", picks, "sessions in waves");
    row("  steps", steps, "steps in waves");
    row("turns", turns, "steps one by one");
    row(
        "session taken",
        session_taken,
        "ready, but another role of the session was in the wave",
    );
    row(
        "width reached",
        width_reached,
        "ready, but the wave was full",
    );
    let fallbacks: Vec<(&str, u64)> = fallbacks(report).collect();
    row(
        "fallbacks",
        fallbacks.iter().map(|(_, count)| count).sum(),
        if fallbacks.is_empty() {
            "every wave passed its check"
        } else {
            "waves that failed their check"
        },
    );
    for (name, count) in fallbacks {
        row(&format!("  {name}"), count, "");
    }
    row("handler panics", panics, "");
    text
}

/// Returns the report as JSON.
pub(crate) fn document(report: &WaveReport) -> Value {
    let fallbacks: serde_json::Map<String, Value> = fallbacks(report)
        .map(|(name, count)| (name.to_owned(), json!(count)))
        .collect();
    json!({
        "waves": report.waves, "picks": report.picks, "steps": report.steps,
        "turns": report.turns, "session_taken": report.session_taken,
        "width_reached": report.width_reached, "fallbacks": fallbacks, "panics": report.panics,
    })
}

/// The reasons for which waves fell back to single steps, with their counts.
fn fallbacks(report: &WaveReport) -> impl Iterator<Item = (&'static str, u64)> {
    let counts = report.fallbacks.by_name().into_iter();
    counts.filter(|(_, count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_failed_waves_by_reason() {
        let mut report = WaveReport {
            waves: 7,
            panics: 2,
            ..WaveReport::default()
        };
        report.fallbacks.queue = 3;
        report.fallbacks.session_twice = 1;
        insta::assert_snapshot!(table(&report));
        let fallbacks = json!({ "queue": 3, "session_twice": 1 });
        assert_eq!(document(&report)["fallbacks"], fallbacks);
        assert_eq!(document(&WaveReport::default())["fallbacks"], json!({}));
    }
}
