//! Recordings of runs: written as they go, read in a window, replayed, compared.
//!
//! A run depends on nothing but its image, its configuration and what came in from outside, so a
//! recording of these is the run. [`Recorder`] is a sink that writes one; [`Reader`] reads it back
//! and says how far it can be trusted; [`Replay`] runs the same kernel on it, compares every
//! request in full and every checkpoint, and finds the first [`Divergence`]; [`Timeline`] walks
//! through it event by event; [`compare`] says whether two recordings hold the same conversation,
//! and [`diff`] where their entries part.
//!
//! The format is described byte by byte in `docs/recording.md`.

pub mod bounds;
mod checks;
mod compare;
pub mod describe;
mod diff;
mod divergence;
mod entry;
mod frame;
mod reader;
mod recorder;
mod registers;
mod replay;
mod report;
pub mod text;
mod timeline;
mod writer;

pub use compare::{
    CompareError, CompareOptions, Compared, Extent, Likeness, Parting, Place, compare,
};
pub use diff::{Comparison, Side, diff};
pub use divergence::{Difference, Divergence, Field, Seen, Site};
pub use entry::{Checkpoint, End, Entry, Header, Request, Stop};
pub use reader::{Cause, Damage, Misplaced, OpenError, Reader, Tail};
pub use recorder::{CHECKPOINT_STEPS, Flush, Recorder};
pub use registers::RegisterSorts;
pub use replay::{Progress, Replay, ReplayError, replay, replay_twice};
pub use report::{Report, Verdict};
pub use timeline::{Moment, Timeline};
pub use writer::{RecordError, Store, Writer};
