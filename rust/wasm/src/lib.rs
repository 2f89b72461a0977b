//! The machine, replay and the language for browsers and Node.
//!
//! The JavaScript API is described in this crate's `README.md`, which is the package's, and in the
//! types in `types.ts`. [`compile`] and [`Image`] wrap the language, [`Machine`] wraps the
//! cooperative machine with a recorder, and [`Replay`] wraps recordings. Input from JavaScript is
//! not trusted: invalid input results in an error with a code, never in a panic.
//!
//! Like the command line, this crate is at the top of the dependency order: no other crate uses it.

mod detail;
mod image;
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

/// Formats a text. Throws an error with the code `diagnostics` when the text cannot be parsed.
#[wasm_bindgen]
pub fn format(
    #[wasm_bindgen(unchecked_param_type = "string")] source: &JsValue,
) -> Result<String, JsValue> {
    Ok(image::formatted(source)?)
}

#[cfg(test)]
mod tests {
    use antiphon_record::rows::RowKind;

    const TYPES: &str = include_str!("types.ts");

    /// A replay makes no rows of the other two kinds: its checkpoints and its divergence are in the
    /// findings.
    #[test]
    fn the_declared_kinds_of_rows_are_those_that_a_replay_has() {
        let (_, rest) = TYPES
            .split_once("export type RowKind =")
            .expect("it is declared");
        let (union, _) = rest.split_once(';').expect("it ends");
        let declared: Vec<&str> = union
            .split('|')
            .map(|name| name.trim().trim_matches('"'))
            .filter(|name| !name.is_empty())
            .collect();
        let kinds: Vec<&str> = RowKind::ALL
            .iter()
            .filter(|kind| !matches!(kind, RowKind::Checkpoint | RowKind::Diverged))
            .map(|kind| kind.name())
            .collect();
        assert_eq!(declared, kinds);
    }
}
