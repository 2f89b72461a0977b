//! What Antiphon's build tools share: running other programs, showing their progress, and a cache
//! of their results outside the checkout.
//!
//! The crate has few dependencies on purpose: it is compiled before anything else can run.

pub mod cache;
pub mod console;
pub mod lock;
mod problem;
pub mod process;

pub use problem::Problem;
