//! Pictures of protocols: automata as Graphviz and Mermaid, conversations as Mermaid sequence
//! diagrams, images as readable instructions.
//!
//! They are for people. What is read back is
//! [`LocalAutomaton::text`](crate::automaton::LocalAutomaton::text) and the protocol's own text.

mod assembly;
mod sequence;
mod states;

pub use assembly::disassemble;
pub use sequence::sequence_diagram;
pub use states::{dot, state_diagram};
