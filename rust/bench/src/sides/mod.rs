//! Who takes part. A side is made ready outside of what is measured, and then exchanges messages.

mod bare;
mod channels;
mod host;
mod images;
mod ours;
mod peer;
mod tasks;

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::contest::Contest;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The same parcels through the same bounded buffers, and nothing else.
    Bare,
    /// The cooperative machine, unobserved.
    Ours,
    /// The same, with the digest of the trace.
    Digest,
    /// The same, recorded in full.
    Recording,
    /// The threaded driver with one worker.
    Workers1,
    /// The threaded driver with two workers.
    Workers2,
    /// The machine compiled to WebAssembly, in Node.
    Wasm,
    /// telltale-machine 22.
    Telltale,
    /// Tasks and bounded channels of tokio, on one thread.
    TokioCurrent,
    /// Tasks and bounded channels of tokio, on two threads.
    TokioMulti,
    /// Bounded channels of crossbeam, in one thread.
    CrossbeamSingle,
    /// Bounded channels of crossbeam, a thread for each role.
    CrossbeamThreads,
}

/// A side made ready.
pub trait Ready {
    /// Exchanges about so many messages; this is what is measured.
    fn exchange(&mut self, messages: u64);

    /// How many messages were received, ever.
    fn received(&self) -> u64;
}

/// A side made ready, and how it is to be measured.
pub struct Prepared {
    pub(crate) ready: Box<dyn Ready>,
    /// How many messages it is measured over, each time anew; as many as fill the time when `None`.
    pub(crate) fixed: Option<u64>,
    /// Whether threads share the work. Such a side is measured by the clock, any other by the time it had the
    /// processor: where nothing else runs that is the same, and elsewhere it is nearer to it.
    pub(crate) threads: bool,
    /// How many sessions it has, when they are not as many as asked for.
    pub(crate) sessions: Option<u32>,
    /// What a reader should know about it.
    pub(crate) note: Option<String>,
}

impl Prepared {
    fn of(ready: impl Ready + 'static) -> Result<Prepared, Absent> {
        Ok(Prepared {
            ready: Box::new(ready),
            fixed: None,
            threads: false,
            sessions: None,
            note: None,
        })
    }
}

/// Why a side does not take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent(pub String);

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Side {
    /// The side's name on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What a reader of the table is told.
    pub fn title(self) -> &'static str {
        match self {
            Side::Bare => "bare loop",
            Side::Ours => "Antiphon",
            Side::Digest => "Antiphon, digest of the trace",
            Side::Recording => "Antiphon, recorded in full",
            Side::Workers1 => "Antiphon, 1 worker",
            Side::Workers2 => "Antiphon, 2 workers",
            Side::Wasm => "Antiphon, WASM in Node",
            Side::Telltale => "telltale-machine",
            Side::TokioCurrent => "tokio tasks, one thread",
            Side::TokioMulti => "tokio tasks, two threads",
            Side::CrossbeamSingle => "crossbeam channels, one thread",
            Side::CrossbeamThreads => "crossbeam channels, a thread for each role",
        }
    }

    /// Makes the side ready.
    ///
    /// # Errors
    /// [`Absent`] when the side has no part in the contest.
    pub fn prepare(self, contest: &Contest) -> Result<Prepared, Absent> {
        match self {
            Side::Bare => bare::prepare(contest),
            Side::Ours | Side::Digest | Side::Recording => ours::cooperative(self, contest),
            Side::Workers1 => ours::threaded(1, contest),
            Side::Workers2 => ours::threaded(2, contest),
            Side::Wasm => Err(Absent("runs in a process of Node's".to_owned())),
            Side::Telltale => peer::prepare(contest),
            Side::TokioCurrent => tasks::prepare(false, contest),
            Side::TokioMulti => tasks::prepare(true, contest),
            Side::CrossbeamSingle => channels::single(contest),
            Side::CrossbeamThreads => channels::threads(contest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratio::plan;

    /// Whoever takes part exchanges what it is asked for, and hardly more: a side that stood still or counted wrong
    /// would win every contest.
    #[test]
    fn sides_exchange_what_they_are_asked_for() {
        const MESSAGES: u64 = 320;
        let mut seen = 0;
        for (contest, side) in plan() {
            if contest.sessions > 10 || contest.steps.is_some() {
                continue;
            }
            let Ok(mut prepared) = side.prepare(&contest) else {
                assert!(matches!(side, Side::Wasm), "{contest} {side:?}");
                continue;
            };
            prepared.ready.exchange(MESSAGES);
            let (first, most) = (prepared.ready.received(), MESSAGES + 32);
            assert!(
                (MESSAGES - 8..=most).contains(&first),
                "{contest} {side:?}: {first}"
            );
            prepared.ready.exchange(MESSAGES);
            let second = prepared.ready.received() - first;
            assert!(
                (MESSAGES - 8..=most).contains(&second),
                "{contest} {side:?}: {second}"
            );
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn a_run_of_so_many_steps_has_as_many_messages_as_they_make() {
        let prepared = Side::Ours.prepare(&Contest::steps(1_000));
        assert_eq!(prepared.ok().and_then(|prepared| prepared.fixed), Some(250));
    }
}
