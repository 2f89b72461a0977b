//! The machine compiled to WebAssembly: a program of Node's that measures itself, where the package is built.

use crate::contest::Contest;
use crate::one::Measured;
use crate::run::Extent;

/// Where the program of Node's is, below the root of the project.
const SCRIPT: &str = "rust/wasm/bench/messages.mjs";

/// Measures.
///
/// # Errors
/// Why there is nothing to measure.
pub fn measure(_contest: &Contest, extent: &Extent) -> Result<Measured, String> {
    match extent.root.join(SCRIPT).is_file() {
        false => Err("not built: cargo xtask wasm".to_owned()),
        true => Err("not read yet".to_owned()),
    }
}
