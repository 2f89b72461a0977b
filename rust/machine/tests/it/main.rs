//! The machine's integration tests, in one program: a program for each file would link the machine
//! a dozen times.

mod allocation;
mod certain;
mod common;
mod edges;
mod envelope;
mod faults;
mod in_place;
mod oracle;
mod picks;
mod properties;
mod safety;
mod samples;
mod scheduling;
mod steps;
mod text;
#[cfg(feature = "threads")]
mod threaded_lane_runtime;
mod verify;
