//! Parity: the model and the kernel run the same cases, and every byte of their outputs is
//! compared.
//!
//! The *kernel* is the part of `antiphon_machine` that executes steps. The *model* is a second
//! definition of the machine, written in Lean 4, about which theorems are proved.
//!
//! ```text
//! generators --> Case --> corpus file --> model (Lean) --> output file --+
//!                  |                                                     compare --> Divergence?
//!                  +----> Runner (the kernel) -----------> same bytes ---+
//! ```
//!
//! A [`Case`](case::Case) is images, a configuration and a list of actions. For each action, both
//! sides write its result, its events, its request, and the whole state of the machine afterwards.
//! Nothing is normalised, summarised or left out. Generators are deterministic: a seed gives the
//! same cases on every machine. `docs/parity.md` describes the comparison.

pub mod answers;
pub mod case;
pub mod certificates;
pub mod certify;
mod coins;
pub mod compare;
pub mod corpus;
pub mod coverage;
pub mod driven;
pub mod fixture;
pub mod hand;
mod items;
pub mod oracle;
pub mod output;
pub mod random;
pub mod recording;
pub mod replays;
pub mod run;
pub mod scope;
mod script;
mod shape;
pub mod shrink;
pub mod theorems;
pub mod types;
pub mod verification;
pub mod waves;
