//! The protocol language: text in, checked protocol, local automata, code image out.

pub mod global;
pub mod source;
