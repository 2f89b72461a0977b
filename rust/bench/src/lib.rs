//! The same message exchanges by Antiphon, by a comparable machine, by channels and by a bare loop.
//!
//! Every measurement runs in a process of its own (`one`), so that no side inherits the heap or the
//! caches of another. `run` measures every side once per round, so that a temporary slowdown of the
//! computer affects one figure of each side.

pub mod contest;
pub mod one;
pub mod page;
pub mod ratio;
pub mod report;
pub mod run;
pub mod sides;
pub mod table;

mod callgrind;
mod command;
mod wasm;

pub use command::main;
