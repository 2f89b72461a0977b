//! What Antiphon's build tools share: running other programs, and showing their progress.
//!
//! The crate has few dependencies on purpose: it is compiled before anything else can run.

pub mod console;
mod problem;
pub mod process;

pub use problem::Problem;
