//! The integration tests of the language, in one program.

mod accepted;
mod common;
mod equivalence;
mod exports;
mod fixtures;
mod formatting;
mod fuzz_regressions;
mod host;
mod hostile_input;
mod json;
mod language_page;
mod limits;
mod random;
mod sorts;
mod syntax_trees;
