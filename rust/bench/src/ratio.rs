//! What is promised, as ratios within one run, and where each of them has its floor.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::contest::{Contest, Exchange};
use crate::report::{Report, Row, median};
use crate::sides::Side;

/// A ratio of speeds; more is better.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    /// Its name, in the file of floors too.
    pub name: String,
    /// What a reader is told.
    pub title: String,
    /// Of what.
    pub of: Of,
}

/// What a ratio is of.
#[derive(Clone, Debug, PartialEq)]
pub enum Of {
    /// The speed of one side over that of the fastest of others.
    Sides(Contest, Side, Vec<Side>),
    /// The speed in the slowest of the contests over that in the fastest: how level a side's cost is.
    Level(Side, Vec<Contest>),
}

/// What is to be reached, and what no change may fall below.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// What is to be reached.
    pub target: f64,
    /// What `check` fails below: some way under what was measured, since runs differ.
    pub floor: f64,
}

/// What became of a ratio.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Which.
    pub ratio: Ratio,
    /// Its floor and target.
    pub floor: Floor,
    /// What it is; why there is none when a side is missing.
    pub value: Result<f64, String>,
}

impl Judged {
    /// Whether it stands on or above its floor. A ratio that is not there does not.
    pub fn holds(&self) -> bool {
        matches!(self.value, Ok(value) if value >= self.floor.floor)
    }

    /// Whether it is what is to be reached.
    pub fn reached(&self) -> bool {
        matches!(self.value, Ok(value) if value >= self.floor.target)
    }
}

/// The two kinds of tasks, of which the better one counts.
pub const TOKIO: [Side; 2] = [Side::TokioCurrent, Side::TokioMulti];
/// The two kinds of threads, of which the better one counts.
pub const CROSSBEAM: [Side; 2] = [Side::CrossbeamSingle, Side::CrossbeamThreads];

/// The numbers of sessions over which a step's cost is to be level.
const SESSIONS: [u32; 5] = [10, 100, 1_000, 10_000, 100_000];
/// The lengths of a run over which it is.
const STEPS: [u64; 3] = [1_000, 100_000, 10_000_000];

/// A contest that has a name: the file of names and this one are held together by a test.
fn named(name: &str) -> Contest {
    name.parse().unwrap_or(Contest::sessions(1))
}

/// Everything that is promised.
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
    // What has sessions for two threads is compared thread for thread, and one thread of ours with two of theirs as well.
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
        of: Of::Level(Side::Ours, SESSIONS.map(Contest::sessions).into()),
    });
    all.push(Ratio {
        name: "level-steps".to_owned(),
        title: "slowest over fastest, 1,000 to 10,000,000 steps".to_owned(),
        of: Of::Level(Side::Ours, STEPS.map(Contest::steps).into()),
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
        of: Of::Sides(contest, over, under.to_vec()),
    }
}

impl Ratio {
    /// Every side of every contest that it needs.
    pub fn needs(&self) -> Vec<(Contest, Side)> {
        match &self.of {
            Of::Sides(contest, over, under) => std::iter::once(over)
                .chain(under)
                .map(|side| (*contest, *side))
                .collect(),
            Of::Level(side, contests) => contests.iter().map(|contest| (*contest, *side)).collect(),
        }
    }

    /// What it is in a run: in the middle round, since what is measured in one round is measured in one phase of the machine, or
    /// nearly so, and what is measured in different rounds is not.
    ///
    /// # Errors
    /// Which side is missing, and why.
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
        let none = || "a ratio of nothing".to_owned();
        match &self.of {
            Of::Sides(contest, over, under) => {
                let under: Vec<_> = under.iter().map(|side| row(contest, *side)).collect();
                let best = under.iter().flatten().copied();
                let best = best.max_by(|one, other| f64::total_cmp(&speed(one), &speed(other)));
                let missing = under.iter().find_map(|row| row.as_ref().err().cloned());
                let best = best.ok_or_else(|| missing.unwrap_or_default())?;
                let rounds = best.rounds.iter().zip(&row(contest, *over)?.rounds);
                let ratios: Vec<f64> = rounds.map(|(under, over)| under / over).collect();
                median(&ratios).ok_or_else(none)
            }
            Of::Level(side, contests) => {
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

/// Messages a second; 0 where none were measured.
fn speed(row: &Row) -> f64 {
    row.speed().unwrap_or(0.0)
}

/// Reads the floors: each ratio has one, and there are no others.
///
/// # Errors
/// What is wrong with the text.
pub fn floors(text: &str, ratios: &[Ratio]) -> Result<Vec<Floor>, String> {
    let mut table: BTreeMap<String, Floor> =
        toml::from_str(text).map_err(|error| error.to_string())?;
    let mut floors = Vec::new();
    for ratio in ratios {
        let floor = table.remove(&ratio.name);
        floors.push(floor.ok_or_else(|| format!("no floor for `{}`", ratio.name))?);
    }
    match table.keys().next() {
        Some(name) => Err(format!("a floor for `{name}`, which is no ratio")),
        None => Ok(floors),
    }
}

/// Every ratio of a run, with its floor.
///
/// # Errors
/// What is wrong with the floors.
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

/// Everything that a whole run measures: what the ratios need, and what is only shown.
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
            // Nobody is told anything there.
            Side::Bare => contest.exchange == Exchange::Choice || !contest.told,
            Side::CrossbeamThreads => contest.sessions == 1,
            // One session is one step at a time, whoever drives.
            Side::Workers1 | Side::Workers2 => contest.sessions > 1,
            // What its own program measures.
            Side::Wasm => contest.exchange == Exchange::PingPong && contest.sessions == 1,
            // It asks the sender's host for every choice.
            Side::Telltale => contest.exchange != Exchange::Choice || contest.told,
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
    fn floors_are_those_of_the_ratios_and_no_others() {
        let two = &ratios()[..2];
        let line = |name: &str| format!("[{name}]\ntarget = 2.0\nfloor = 1.0\n");
        let (first, second) = (line(&two[0].name), line(&two[1].name));
        assert!(floors(&format!("{first}{second}"), two).is_ok());
        assert!(floors(&first, two).is_err());
        assert!(floors(&format!("{first}{second}{}", line("x")), two).is_err());
        assert!(floors(&format!("{first}{second}more = 1"), two).is_err());
    }

    #[test]
    fn the_fastest_of_the_others_counts() {
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
        // One of the others may be missing, but not ours.
        report.rows.remove(1);
        assert_eq!(tokio.value(&report), Ok(4.0));
        report.rows.remove(0);
        let missing = tokio.value(&report).expect_err("ours is missing");
        assert!(missing.contains("`ours`"), "{missing}");
    }

    #[test]
    fn a_missing_side_says_why_and_does_not_hold() {
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
    fn a_level_is_the_slowest_over_the_fastest() {
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

    /// A phase in which everything takes twice as long is no ratio's.
    #[test]
    fn a_slow_round_is_slow_for_both() {
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
        // The first is caught by the slow phase a round before the others.
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
    fn a_floor_is_held_on_it_and_not_below() {
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
    fn names_of_contests_are_those_that_are_meant() {
        for (contest, _) in plan() {
            assert_eq!(named(&contest.to_string()), contest);
        }
        for name in ["told", "ring", "chosen", "choice", "working"] {
            assert_ne!(named(name), Contest::sessions(1), "{name}");
        }
    }

    #[test]
    fn the_plan_has_what_the_ratios_need_once() {
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
