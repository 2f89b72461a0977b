//! Exports for people: automata as Graphviz and Mermaid, conversations as Mermaid sequence
//! diagrams, images as listings of instructions.
//!
//! None of these formats is parsed back. The formats that are parsed back are
//! [`LocalAutomaton::text`](crate::automaton::LocalAutomaton::text) and the protocol's own text.

mod assembly;
mod sequence;
mod states;

pub use assembly::disassemble;
pub use sequence::sequence_diagram;
pub use states::{dot, state_diagram};
