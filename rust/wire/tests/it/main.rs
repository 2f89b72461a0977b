//! The tests of the crate's public interface.

mod common;
mod frames;
mod goldens;
mod link;
mod liveness;
