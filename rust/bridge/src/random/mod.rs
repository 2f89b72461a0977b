//! Random programs with random actions; each seed gives one case.
//!
//! Of four seeds, two give images assembled here, with matching automata and programs that walk
//! them. One gives an image compiled from a random text. One gives a valid image with random
//! changes, which reaches faults. The actions are chosen while the kernel runs, so most answers are
//! to outstanding effects, and a few are not.

mod altered;
mod assembled;
mod bent;

mod text;
mod values;
mod world;

pub use bent::bent;
pub(crate) use values::{any_value, of_sort as value_of};
pub use world::{case, opened, scenario};
