//! The protocol language: text in, checked protocol, local automata, code image out.

pub mod ast;
pub mod automaton;
mod build;
mod check;
pub mod compile;
pub mod diagnostic;
pub mod export;
mod flow;
pub mod global;
mod hir;
mod lexer;
mod module;
mod parse;
mod print;
pub mod project;
mod resolve;
pub mod resources;
pub mod safety;
mod sorts;
pub mod source;

pub use build::{INLINE_DEPTH_MAX, NODES_MAX};
pub use check::{Checked, check};
pub use module::{LoadError, Loader, MODULES_MAX, Modules, NoModules, SOURCES_LEN_MAX, decode};
pub use parse::{DEPTH_MAX, Parsed, parse};
pub use print::format;
