//! Random typed programs, and random worlds for them; a seed gives one case.
//!
//! Of four seeds, two give images assembled here (automata that fit each other, programs that walk them), one an image
//! that the compiler made of a random text, and one an image that was verified and then bent, so that its faults are reached. The
//! actions are chosen while the real kernel runs: what is answered was asked, and now and then it was not.

mod assembled;
mod bent;
mod text;
mod values;
mod world;

pub(crate) use values::{any_value, of_sort as value_of};
pub use world::{case, opened, scenario};
