//! The protocol language: text in, checked protocol, local automata, code image out.

pub mod ast;
pub mod diagnostic;
pub mod global;
mod lexer;
pub mod source;
