//! Recordings of runs: writing, reading, replaying and comparing them.
//!
//! A *run* is everything that a machine of `antiphon_machine` does between its start and its end.
//! It depends only on its images (compiled protocols), its configuration and its inputs, so a
//! recording of these is enough to repeat it. An *entry* is one item of a recording, such as an
//! input or a request; a *record* is the unit of bytes in which entries are written and checked.
//!
//! [`Recorder`] is a sink that writes a recording. [`Reader`] reads a recording in bounded memory
//! and checks that its bytes are those that were written. [`Replay`] runs the kernel again with the
//! recorded inputs, compares every request and every checkpoint, and finds the first
//! [`Divergence`]. [`Timeline`] iterates over the entries and events. [`compare()`] compares the
//! conversations of two recordings, and [`diff()`] their entries. A replay can write a checkpoint
//! file, and a later replay can continue from it.
//!
//! The format is described byte by byte in `docs/recording.md`.

pub mod bounds;
mod checkpoint;
mod checks;
mod compare;
pub mod describe;
mod diff;
mod divergence;
mod entry;
mod error;
mod frame;
mod reader;
mod recorder;
mod registers;
mod replay;
mod report;
pub mod rows;
mod tail;
mod timeline;
mod writer;

pub use bounds::{CHECKPOINT_LEN_MAX, CHECKPOINT_MAGIC};
pub use compare::{
    CompareError, CompareOptions, Compared, Extent, Likeness, Parting, Place, compare,
};
pub use diff::{Comparison, Side, diff};
pub use divergence::{Difference, Divergence, Field, RecentEvent, Site};
pub use entry::{Checkpoint, End, Entry, Header, Request, Stop};
pub use error::{CheckpointError, ReplayError};
pub use reader::{OpenError, Reader};
pub use recorder::{CHECKPOINT_STEPS, Flush, Recorder};
pub use registers::RegisterSorts;
pub use replay::{Progress, Replay, replay, replay_twice};
pub use report::{Report, Verdict};
pub use tail::{Cause, Damage, Misplaced, Tail};
pub use timeline::{Moment, Timeline};
pub use writer::{RecordError, Store, Writer};
