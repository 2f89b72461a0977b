//! The machine, replay and the language for browsers and Node.
//!
//! What JavaScript sees is said in `README.md` of this crate, which is the package's, and in the types that are made with
//! it. In here: [`compile`] and [`Image`] over the language, [`Machine`] over the cooperative machine with a recorder,
//! [`Replay`] over recordings. Everything that comes from JavaScript is hostile: it ends in an error with a code, never in
//! a panic.
//!
//! The crate is one room with the command line: above everything else, used by nobody.

mod detail;
mod image;
mod kinds;
mod machine;
#[cfg(feature = "parity")]
mod parity;
mod player;
mod problem;
mod replay;
mod rows;
mod values;
mod view;

pub use image::{Image, check, compile};
pub use machine::Machine;
#[cfg(feature = "parity")]
pub use parity::{line, parity_digests, parity_panic};
pub use replay::Replay;

use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.ts");

/// Runs when the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    problem::install_hook();
}

/// The version of the package.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Prints a text as the formatter does. Throws `diagnostics` for one that cannot be read.
#[wasm_bindgen]
pub fn format(
    #[wasm_bindgen(unchecked_param_type = "string")] source: &JsValue,
) -> Result<String, JsValue> {
    Ok(image::formatted(source)?)
}
