//! The names of the sides.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

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
}
