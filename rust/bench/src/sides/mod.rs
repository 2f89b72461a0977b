//! The sides of a contest. A side is prepared before the measurement and then exchanges messages.

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

/// A side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The same messages through the same bounded buffers, and nothing else.
    Bare,
    /// The cooperative machine without a sink.
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

/// A prepared side.
pub trait Ready {
    /// Exchanges about this number of messages. This is the part that is measured.
    fn exchange(&mut self, messages: u64);

    /// The total number of messages received.
    fn received(&self) -> u64;
}

/// A prepared side, and how it is measured.
pub struct Prepared {
    pub(crate) ready: Box<dyn Ready>,
    /// The fixed number of messages of each measurement, on a new machine each time. `None` for
    /// the number that fills the time of a measurement.
    pub(crate) fixed: Option<u64>,
    /// Whether several threads share the work. Such a side is timed by the clock, others by their
    /// processor time, which is less sensitive to other load.
    pub(crate) threads: bool,
    /// The number of sessions, when it differs from the contest's.
    pub(crate) sessions: Option<u32>,
    /// A remark for readers.
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

    /// The side's title in the tables.
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

    /// Prepares the side.
    ///
    /// # Errors
    /// [`Absent`] when the side does not take part in the contest.
    pub fn prepare(self, contest: &Contest) -> Result<Prepared, Absent> {
        match self {
            Side::Bare => bare::prepare(contest),
            Side::Ours | Side::Digest | Side::Recording => ours::cooperative(self, contest),
            Side::Workers1 => ours::threaded(1, contest),
            Side::Workers2 => ours::threaded(2, contest),
            Side::Wasm => Err(Absent("runs in a Node process".to_owned())),
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

    /// Every side must exchange the requested number of messages and hardly more: a side that does
    /// nothing or counts wrong would win every contest.
    #[test]
    fn sides_exchange_the_requested_number_of_messages() {
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
    fn a_fixed_number_of_steps_gives_a_fixed_number_of_messages() {
        let prepared = Side::Ours.prepare(&Contest::steps(1_000));
        assert_eq!(prepared.ok().and_then(|prepared| prepared.fixed), Some(250));
    }
}
