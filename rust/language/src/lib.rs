//! The protocol language: text in, checked protocol, local automata, code image out.

pub mod ast;
pub mod automaton;
pub mod compile;
pub mod diagnostic;
pub mod global;
mod lexer;
mod parse;
mod print;
pub mod project;
pub mod resources;
pub mod safety;
pub mod source;

pub use parse::{DEPTH_MAX, Parsed, parse};
pub use print::format;
