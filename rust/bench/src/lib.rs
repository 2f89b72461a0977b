//! The same exchanges by Antiphon, by a comparable machine, by channels and by a bare loop.
//!
//! Every measurement is a process of its own (`one`), so that no side finds the heap or the caches as another one left
//! them; `run` starts all of them once in each round, so that what slows the machine down for a while
//! spoils one figure of each.

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
