//! The tests of the crate's public interface.

mod agent;
mod attribution;
mod binding;
mod common;
mod driver;
mod ends;
mod file_limit;
mod protocols;
mod session;
mod shared_line;
mod waits;
