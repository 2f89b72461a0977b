//! The results as text: tables that are readable on a terminal and valid Markdown.

use crate::contest::{Contest, thousands};
use crate::ratio::{CROSSBEAM, Judged, TOKIO};
use crate::report::{Report, Row};
use crate::sides::Side;

/// The ratios, then one table per contest.
pub fn tables(report: &Report, judged: &[Judged]) -> String {
    let mut out = ratios(judged);
    let mut contests: Vec<&str> = Vec::new();
    for row in &report.rows {
        if !contests.contains(&&*row.contest) {
            contests.push(&row.contest);
        }
    }
    let level = |name: &&&str| name.parse::<Contest>().is_ok_and(|c| only_ours(report, &c));
    let (levels, others): (Vec<&str>, Vec<&str>) = contests.iter().partition(level);
    for name in others {
        let rows: Vec<&Row> = report
            .rows
            .iter()
            .filter(|row| row.contest == name)
            .collect();
        let title = name
            .parse::<Contest>()
            .map_or_else(|_| name.to_owned(), |c| c.title());
        out.push_str(&format!("\n{}:\n\n", capital(&title)));
        out.push_str(&contest(&better(&rows)));
    }
    if !levels.is_empty() {
        out.push_str("\nHow constant the cost is, Antiphon:\n\n");
        let rows = levels.iter().filter_map(|name| {
            let row = report.rows.iter().find(|row| row.contest == *name)?;
            let title = name.parse::<Contest>().ok()?.title();
            let (speed, spread) = (row.speed()?, row.spread()?);
            Some(vec![title, nanos(1e9 / speed), percent(spread)])
        });
        let head = ["run", "per message", "±"];
        out.push_str(&table(&head, &rows.collect::<Vec<_>>()));
    }
    out
}

fn only_ours(report: &Report, contest: &Contest) -> bool {
    let name = contest.to_string();
    report
        .rows
        .iter()
        .filter(|row| row.contest == name)
        .all(|row| row.side == Side::Ours)
}

/// The table of ratios.
pub fn ratios(judged: &[Judged]) -> String {
    let rows = judged.iter().map(|judged| {
        let value = match &judged.value {
            Ok(value) => ratio(*value),
            Err(_) => "missing".to_owned(),
        };
        let verdict = match (judged.reached(), judged.holds(), &judged.value) {
            (true, true, _) => "reached".to_owned(),
            (true, false, _) => "reached, but below its floor".to_owned(),
            (false, true, _) => "below the target".to_owned(),
            (false, false, Ok(_)) => "below its floor".to_owned(),
            (false, false, Err(why)) => why.clone(),
        };
        let (target, floor) = (ratio(judged.floor.target), ratio(judged.floor.floor));
        vec![judged.ratio.title.clone(), target, value, floor, verdict]
    });
    let head = ["speed", "target", "measured", "floor", ""];
    table(&head, &rows.collect::<Vec<_>>())
}

/// Keeps only the faster of two kinds of the same side.
fn better<'a>(rows: &[&'a Row]) -> Vec<&'a Row> {
    let speed = |row: &Row| row.speed().unwrap_or(0.0);
    let beaten = |row: &Row| {
        let kinds = [TOKIO, CROSSBEAM];
        let kind = kinds.iter().find(|kind| kind.contains(&row.side));
        kind.is_some_and(|kind| {
            let mut others = rows
                .iter()
                .filter(|o| o.side != row.side && kind.contains(&o.side));
            others.any(|other| speed(other) > speed(row))
        })
    };
    rows.iter().filter(|row| !beaten(row)).copied().collect()
}

fn contest(rows: &[&Row]) -> String {
    let none = || "—".to_owned();
    let sessions = rows.iter().any(|row| row.session_bytes.is_some());
    let mut head = vec![
        "side",
        "messages/s",
        "±",
        "per message",
        "instructions",
        "allocations",
    ];
    if sessions {
        head.push("bytes per session");
    }
    let rows = rows.iter().map(|row| {
        let mut name = row.side.title().to_owned();
        if let Some(why) = row.absent.as_ref().or(row.note.as_ref()) {
            name = format!("{name} ({why})");
        }
        let mut cells = vec![
            name,
            row.speed()
                .map_or_else(none, |speed| thousands(speed.round() as u64)),
            row.spread().map_or_else(none, percent),
            row.speed().map_or_else(none, |speed| nanos(1e9 / speed)),
            row.instructions
                .map_or_else(none, |n| thousands(n.round() as u64)),
            row.allocations.map_or_else(none, few),
        ];
        if sessions {
            cells.push(row.session_bytes.map_or_else(none, thousands));
        }
        cells
    });
    table(&head, &rows.collect::<Vec<_>>())
}

/// A Markdown table with aligned columns.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        let cells = cells.map(|cell| cell.chars().count());
        cells
            .chain([head[at].chars().count(), 3])
            .max()
            .unwrap_or(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, width))| {
                let fill = " ".repeat(width - cell.chars().count());
                match at {
                    0 => format!("{cell}{fill}"),
                    _ => format!("{fill}{cell}"),
                }
            });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rules = widths.iter().enumerate().map(|(at, width)| match at {
        0 => "-".repeat(*width),
        _ => format!("{}:", "-".repeat(width - 1)),
    });
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let mut out = line(&head) + &line(&rules.collect::<Vec<_>>());
    rows.iter().for_each(|row| out.push_str(&line(row)));
    out
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// A ratio with about three significant digits.
fn ratio(value: f64) -> String {
    match value {
        _ if value >= 100.0 => thousands(value.round() as u64),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn nanos(value: f64) -> String {
    match value {
        _ if value >= 100_000.0 => format!("{} µs", thousands((value / 1e3).round() as u64)),
        _ if value >= 1_000.0 => format!("{:.1} µs", value / 1e3),
        _ => format!("{value:.1} ns"),
    }
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

/// A small number; one below 0.01 that is not 0 is shown as such.
fn few(value: f64) -> String {
    match value {
        _ if value == 0.0 => "0".to_owned(),
        _ if value < 0.01 => "< 0.01".to_owned(),
        _ => ratio(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(side: Side, nanos: f64) -> Row {
        Row {
            rounds: vec![nanos],
            ..Row::new(&Contest::sessions(1), side)
        }
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["µs".to_owned(), "1".to_owned()],
            vec!["longer".to_owned(), "1,000".to_owned()],
        ];
        let expected = "\
| what   |     n |
| ------ | ----: |
| µs     |     1 |
| longer | 1,000 |
";
        assert_eq!(table(&["what", "n"], &rows), expected);
    }

    #[test]
    fn only_the_faster_kind_is_shown() {
        let rows = [
            row(Side::Ours, 5.0),
            row(Side::TokioCurrent, 3.0),
            row(Side::TokioMulti, 2.0),
            row(Side::CrossbeamSingle, 4.0),
        ];
        let shown = better(&rows.iter().collect::<Vec<_>>());
        let sides: Vec<Side> = shown.iter().map(|row| row.side).collect();
        assert_eq!(sides, [Side::Ours, Side::TokioMulti, Side::CrossbeamSingle]);
    }

    #[test]
    fn missing_figures_are_not_shown_as_zero() {
        let absent = Row {
            absent: Some("no valgrind".to_owned()),
            ..Row::new(&Contest::sessions(1), Side::Wasm)
        };
        let text = contest(&[&absent]);
        assert!(text.contains("WASM in Node (no valgrind)"), "{text}");
        assert!(!text.contains('0'), "{text}");
    }

    #[test]
    fn numbers_have_about_three_significant_digits() {
        for (value, text) in [
            (1234.4, "1,234"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.1667, "0.167"),
        ] {
            assert_eq!(ratio(value), text);
        }
        for (value, text) in [
            (12.34, "12.3 ns"),
            (1_234.0, "1.2 µs"),
            (2_500_000.0, "2,500 µs"),
        ] {
            assert_eq!(nanos(value), text);
        }
        for (value, text) in [(0.0, "0"), (0.001, "< 0.01"), (305.2, "305")] {
            assert_eq!(few(value), text);
        }
    }
}
