//! The ratios of speeds within one run, with their targets and floors.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::contest::{Contest, Exchange};
use crate::report::{Report, Row, median};
use crate::sides::Side;

/// A ratio of speeds; higher is better.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    /// The name, as in the file of floors.
    pub name: String,
    /// The title in the table.
    pub title: String,
    /// The measurements that it compares.
    pub terms: Terms,
}

/// The measurements that a ratio compares.
#[derive(Clone, Debug, PartialEq)]
pub enum Terms {
    /// The speed of one side divided by the speed of the fastest of others.
    Sides(Contest, Side, Vec<Side>),
    /// The speed in the slowest of the contests divided by the speed in the fastest: how constant a
    /// side's cost is.
    Level(Side, Vec<Contest>),
}

/// The target of a ratio, and its floor.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// The value to reach.
    pub target: f64,
    /// The value below which `check` fails. It is below the measured value, because runs differ.
    pub floor: f64,
}

/// A ratio, measured and judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The ratio.
    pub ratio: Ratio,
    /// The floor and target.
    pub floor: Floor,
    /// The value, or the reason why a side is missing.
    pub value: Result<f64, String>,
}

impl Judged {
    /// Whether the value is at least the floor. A missing value is not.
    pub fn holds(&self) -> bool {
        matches!(self.value, Ok(value) if value >= self.floor.floor)
    }

    /// Whether the value is at least the target.
    pub fn reached(&self) -> bool {
        matches!(self.value, Ok(value) if value >= self.floor.target)
    }
}

/// The two runtimes of tokio. Ratios use the faster one.
pub const TOKIO: [Side; 2] = [Side::TokioCurrent, Side::TokioMulti];
/// The two ways to run crossbeam's channels. Ratios use the faster one.
pub const CROSSBEAM: [Side; 2] = [Side::CrossbeamSingle, Side::CrossbeamThreads];

/// The numbers of sessions over which the cost of a step should be constant.
const SESSIONS: [u32; 5] = [10, 100, 1_000, 10_000, 100_000];
/// The lengths of a run, in steps, over which the cost of a step should be constant.
const STEPS: [u64; 3] = [1_000, 100_000, 10_000_000];

/// A contest by its name. A test checks that the names exist.
fn named(name: &str) -> Contest {
    name.parse().unwrap_or(Contest::sessions(1))
}

/// All ratios.
pub fn ratios() -> Vec<Ratio> {
    let many = ["sessions-1000", "sessions-100000"];
    let mut all = Vec::new();
    all.extend(family(
        "telltale",
        "over telltale-machine",
        (Side::Ours, &[Side::Telltale]),
        &["ping-pong", "told", "ring", "choice", "sessions-1000"],
    ));
    all.extend(family(
        "tokio",
        "over tokio tasks",
        (Side::Ours, &TOKIO),
        &["ping-pong", "told", "ring", "chosen", "choice"],
    ));
    // Contests with enough sessions for two threads are compared at equal numbers of threads, and
    // also with one thread of Antiphon and two of tokio.
    all.extend(family(
        "tokio-alone",
        "one thread over tokio tasks on one",
        (Side::Ours, &[Side::TokioCurrent]),
        &many,
    ));
    all.extend(family(
        "tokio-workers",
        "two workers over tokio tasks",
        (Side::Workers2, &TOKIO),
        &many,
    ));
    all.extend(family(
        "tokio",
        "one thread over tokio tasks on two",
        (Side::Ours, &[Side::TokioMulti]),
        &many,
    ));
    all.push(sides(
        "bare-ping-pong".to_owned(),
        "over the bare loop: ping-pong".to_owned(),
        named("ping-pong"),
        Side::Ours,
        &[Side::Bare],
    ));
    all.push(sides(
        "workers-working".to_owned(),
        "two workers over one, 1,000 sessions, hosts that work for 1 µs".to_owned(),
        named("working"),
        Side::Workers2,
        &[Side::Workers1],
    ));
    all.extend(family(
        "workers",
        "two workers over the cooperative driver",
        (Side::Workers2, &[Side::Ours]),
        &many,
    ));
    all.push(sides(
        "wasm-ping-pong".to_owned(),
        "WASM in Node over native: ping-pong".to_owned(),
        named("ping-pong"),
        Side::Wasm,
        &[Side::Ours],
    ));
    all.push(Ratio {
        name: "level-sessions".to_owned(),
        title: "slowest over fastest, 10 to 100,000 sessions".to_owned(),
        terms: Terms::Level(Side::Ours, SESSIONS.map(Contest::sessions).into()),
    });
    all.push(Ratio {
        name: "level-steps".to_owned(),
        title: "slowest over fastest, 1,000 to 10,000,000 steps".to_owned(),
        terms: Terms::Level(Side::Ours, STEPS.map(Contest::steps).into()),
    });
    all
}

/// The same ratio in several contests.
fn family(
    prefix: &str,
    says: &str,
    (over, under): (Side, &[Side]),
    contests: &[&str],
) -> impl Iterator<Item = Ratio> {
    contests.iter().map(move |name| {
        let contest = named(name);
        let title = format!("{says}: {}", contest.title());
        sides(format!("{prefix}-{name}"), title, contest, over, under)
    })
}

fn sides(name: String, title: String, contest: Contest, over: Side, under: &[Side]) -> Ratio {
    Ratio {
        name,
        title,
        terms: Terms::Sides(contest, over, under.to_vec()),
    }
}

impl Ratio {
    /// The sides and contests that it needs.
    pub fn needs(&self) -> Vec<(Contest, Side)> {
        match &self.terms {
            Terms::Sides(contest, over, under) => std::iter::once(over)
                .chain(under)
                .map(|side| (*contest, *side))
                .collect(),
            Terms::Level(side, contests) => {
                contests.iter().map(|contest| (*contest, *side)).collect()
            }
        }
    }

    /// The value in a run: the median over rounds of the ratio within a round. Measurements of one
    /// round are made under similar conditions; those of different rounds are not.
    ///
    /// # Errors
    /// The side that is missing, and why it is missing.
    pub fn value(&self, report: &Report) -> Result<f64, String> {
        let row = |contest: &Contest, side: Side| {
            let row = report.row(contest, side);
            row.filter(|row| !row.rounds.is_empty()).ok_or_else(|| {
                let why = row.and_then(|row| row.absent.as_deref());
                format!(
                    "{} has no `{}`: {}",
                    contest,
                    side.name(),
                    why.unwrap_or("not run")
                )
            })
        };
        let none = || "no rounds were measured".to_owned();
        match &self.terms {
            Terms::Sides(contest, over, under) => {
                let under: Vec<_> = under.iter().map(|side| row(contest, *side)).collect();
                let best = under.iter().flatten().copied();
                let best = best.max_by(|one, other| f64::total_cmp(&speed(one), &speed(other)));
                let missing = under.iter().find_map(|row| row.as_ref().err().cloned());
                let best = best.ok_or_else(|| missing.unwrap_or_default())?;
                let rounds = best.rounds.iter().zip(&row(contest, *over)?.rounds);
                let ratios: Vec<f64> = rounds.map(|(under, over)| under / over).collect();
                median(&ratios).ok_or_else(none)
            }
            Terms::Level(side, contests) => {
                let rows: Result<Vec<&Row>, String> =
                    contests.iter().map(|contest| row(contest, *side)).collect();
                let rows = rows?;
                let rounds = rows.iter().map(|row| row.rounds.len()).min().unwrap_or(0);
                let whole = |round: usize| rows.iter().map(|row| row.rounds[round]).sum::<f64>();
                let share = |row: &&Row| {
                    let shares = (0..rounds).map(|round| row.rounds[round] / whole(round));
                    median(&shares.collect::<Vec<f64>>())
                };
                let shares: Vec<f64> = rows.iter().filter_map(share).collect();
                let least = shares.iter().copied().reduce(f64::min);
                let most = shares.iter().copied().reduce(f64::max);
                let level = least.zip(most).map(|(least, most)| least / most);
                level.ok_or_else(none)
            }
        }
    }
}

/// Messages per second; 0 when none were measured.
fn speed(row: &Row) -> f64 {
    row.speed().unwrap_or(0.0)
}

/// Parses the floors. Each ratio must have one, and there must be no others.
///
/// # Errors
/// The error in the text.
pub fn floors(text: &str, ratios: &[Ratio]) -> Result<Vec<Floor>, String> {
    let mut table: BTreeMap<String, Floor> =
        toml::from_str(text).map_err(|error| error.to_string())?;
    let mut floors = Vec::new();
    for ratio in ratios {
        let floor = table.remove(&ratio.name);
        floors.push(floor.ok_or_else(|| format!("no floor for `{}`", ratio.name))?);
    }
    match table.keys().next() {
        Some(name) => Err(format!("a floor for `{name}`, which is not a ratio")),
        None => Ok(floors),
    }
}

/// Every ratio of a run, with its floor.
///
/// # Errors
/// The error in the floors.
pub fn judge(report: &Report, text: &str) -> Result<Vec<Judged>, String> {
    let ratios = ratios();
    let floors = floors(text, &ratios)?;
    let judged = ratios.into_iter().zip(floors).map(|(ratio, floor)| Judged {
        value: ratio.value(report),
        ratio,
        floor,
    });
    Ok(judged.collect())
}

/// Everything that a full run measures: the sides that the ratios need, and the sides that the
/// tables show besides.
pub fn plan() -> Vec<(Contest, Side)> {
    let all = [
        Side::Bare,
        Side::Ours,
        Side::Digest,
        Side::Recording,
        Side::Workers1,
        Side::Workers2,
        Side::Wasm,
        Side::Telltale,
        Side::TokioCurrent,
        Side::TokioMulti,
        Side::CrossbeamSingle,
        Side::CrossbeamThreads,
    ];
    let shown = [
        "ping-pong",
        "told",
        "ring",
        "chosen",
        "choice",
        "sessions-1000",
        "sessions-100000",
    ];
    let mut plan: Vec<(Contest, Side)> = Vec::new();
    for contest in shown.map(named) {
        let takes_part = |side: &Side| match side {
            // The bare loop has no hosts to deliver to.
            Side::Bare => contest.exchange == Exchange::Choice || !contest.delivered,
            Side::CrossbeamThreads => contest.sessions == 1,
            // One session takes one step at a time, so workers cannot help.
            Side::Workers1 | Side::Workers2 => contest.sessions > 1,
            // Its own program measures only these.
            Side::Wasm => contest.exchange == Exchange::PingPong && contest.sessions == 1,
            // It asks the sender's host for every choice.
            Side::Telltale => contest.exchange != Exchange::Choice || contest.delivered,
            Side::TokioCurrent | Side::TokioMulti | Side::CrossbeamSingle => true,
            Side::Ours | Side::Digest | Side::Recording => true,
        };
        plan.extend(
            all.into_iter()
                .filter(takes_part)
                .map(|side| (contest, side)),
        );
    }
    for need in ratios().iter().flat_map(Ratio::needs) {
        if !plan.contains(&need) {
            plan.push(need);
        }
    }
    if let Some(working) = plan.iter().position(|(contest, _)| contest.work > 0) {
        plan.insert(working, (named("working"), Side::Ours));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOORS: &str = include_str!("../floors.toml");

    fn row(contest: Contest, side: Side, nanos: f64) -> Row {
        Row {
            rounds: vec![nanos],
            ..Row::new(&contest, side)
        }
    }

    fn ratio(name: &str) -> Ratio {
        let found = ratios().into_iter().find(|ratio| ratio.name == name);
        found.expect(name)
    }

    #[test]
    fn every_ratio_has_a_floor() {
        let ratios = ratios();
        let floors = floors(FLOORS, &ratios).expect("the committed floors");
        for (ratio, floor) in ratios.iter().zip(floors) {
            assert!(floor.floor > 0.0 && floor.target > 0.0, "{}", ratio.name);
        }
    }

    #[test]
    fn every_floor_belongs_to_a_ratio() {
        let two = &ratios()[..2];
        let line = |name: &str| format!("[{name}]\ntarget = 2.0\nfloor = 1.0\n");
        let (first, second) = (line(&two[0].name), line(&two[1].name));
        assert!(floors(&format!("{first}{second}"), two).is_ok());
        assert!(floors(&first, two).is_err());
        assert!(floors(&format!("{first}{second}{}", line("x")), two).is_err());
        assert!(floors(&format!("{first}{second}more = 1"), two).is_err());
    }

    #[test]
    fn ratios_compare_with_the_fastest_other_side() {
        let contest = Contest::sessions(1);
        let mut report = Report {
            rows: vec![
                row(contest, Side::Ours, 100.0),
                row(contest, Side::TokioCurrent, 200.0),
                row(contest, Side::TokioMulti, 400.0),
            ],
            ..Report::default()
        };
        let tokio = ratio("tokio-ping-pong");
        assert_eq!(tokio.value(&report), Ok(2.0));
        // One of the others may be missing, but ours may not.
        report.rows.remove(1);
        assert_eq!(tokio.value(&report), Ok(4.0));
        report.rows.remove(0);
        let missing = tokio.value(&report).expect_err("our side is missing");
        assert!(missing.contains("`ours`"), "{missing}");
    }

    #[test]
    fn a_missing_side_has_a_reason_and_fails() {
        let contest = Contest::sessions(1);
        let absent = Row {
            absent: Some("not built".to_owned()),
            ..Row::new(&contest, Side::Wasm)
        };
        let report = Report {
            rows: vec![row(contest, Side::Ours, 100.0), absent],
            ..Report::default()
        };
        let judged = Judged {
            ratio: ratio("wasm-ping-pong"),
            floor: Floor {
                target: 0.4,
                floor: 0.3,
            },
            value: ratio("wasm-ping-pong").value(&report),
        };
        assert!(!judged.holds() && !judged.reached());
        assert!(judged.value.is_err_and(|why| why.contains("not built")));
    }

    #[test]
    fn a_level_is_the_slowest_divided_by_the_fastest() {
        let nanos = [100.0, 90.0, 125.0, 100.0, 120.0];
        let rows = SESSIONS.iter().zip(nanos);
        let report = Report {
            rows: rows
                .map(|(n, nanos)| row(Contest::sessions(*n), Side::Ours, nanos))
                .collect(),
            ..Report::default()
        };
        let level = ratio("level-sessions").value(&report);
        assert!(level.is_ok_and(|level| (level - 0.72).abs() < 1e-9));
    }

    /// A slow phase of the computer must not change a ratio.
    #[test]
    fn a_slow_round_does_not_change_ratios() {
        let rounds = |row: Row, rounds: [f64; 3]| Row {
            rounds: rounds.into(),
            ..row
        };
        let contest = Contest::sessions(1);
        let report = Report {
            rows: vec![
                rounds(row(contest, Side::Ours, 0.0), [100.0, 200.0, 200.0]),
                rounds(row(contest, Side::Bare, 0.0), [50.0, 50.0, 100.0]),
            ],
            ..Report::default()
        };
        assert_eq!(ratio("bare-ping-pong").value(&report), Ok(0.5));
        let contests = SESSIONS.map(Contest::sessions);
        // The slow phase affects the first contest a round earlier than the others.
        let rows = contests.iter().enumerate().map(|(n, contest)| {
            let second = if n == 0 { 200.0 } else { 100.0 };
            let row = row(*contest, Side::Ours, 0.0);
            rounds(row, [100.0, second, 200.0])
        });
        let report = Report {
            rows: rows.collect(),
            ..Report::default()
        };
        let level = ratio("level-sessions").value(&report);
        assert!(level.is_ok_and(|level| (level - 1.0).abs() < 1e-9));
    }

    #[test]
    fn a_value_equal_to_the_floor_holds() {
        let judged = |value| Judged {
            ratio: ratio("bare-ping-pong"),
            floor: Floor {
                target: 0.2,
                floor: 0.1,
            },
            value: Ok(value),
        };
        assert!(judged(0.1).holds() && !judged(0.1).reached());
        assert!(judged(0.2).reached());
        assert!(!judged(0.099).holds());
    }

    #[test]
    fn all_contest_names_are_known() {
        for (contest, _) in plan() {
            assert_eq!(named(&contest.to_string()), contest);
        }
        for name in ["told", "ring", "chosen", "choice", "working"] {
            assert_ne!(named(name), Contest::sessions(1), "{name}");
        }
    }

    #[test]
    fn the_plan_contains_each_need_once() {
        let plan = plan();
        for need in ratios().iter().flat_map(Ratio::needs) {
            assert_eq!(
                plan.iter().filter(|row| **row == need).count(),
                1,
                "{need:?}"
            );
        }
    }
}
