//! Runs cases of the parity corpus. Only for tests, with the feature `parity`.

use antiphon_bridge::case::Case;
use antiphon_bridge::corpus::CorpusReader;
use antiphon_bridge::run;
use wasm_bindgen::prelude::*;

use crate::problem::{self, Problem, hex};

/// Runs every case of a corpus file. Returns a line for each: the BLAKE3 digest of the case's
/// output, and its name. The output contains every result, event, request and state after every
/// action (`docs/parity.md`).
#[wasm_bindgen(js_name = parityDigests)]
pub fn parity_digests(corpus: &JsValue) -> Result<Vec<String>, JsValue> {
    let bytes = problem::bytes(corpus, "corpus")?;
    Ok(digests(&bytes)?)
}

fn digests(corpus: &[u8]) -> Result<Vec<String>, Problem> {
    let unread = |error: antiphon_bridge::corpus::CorpusError| {
        Problem::new("bad_argument", error.to_string()).at("corpus")
    };
    let mut reader = CorpusReader::open(corpus).map_err(unread)?;
    let mut lines = Vec::new();
    while let Some(case) = reader.case().map_err(unread)? {
        lines.push(line(&case));
    }
    Ok(lines)
}

/// Runs a case. Returns the digest of its output and its name, in a line.
pub fn line(case: &Case) -> String {
    let shown = run::encode(&run::run(case));
    let digest = hex(blake3::hash(&shown).as_bytes());
    format!("{digest} {}", case.name)
}

/// Panics, to test how a panic appears in JavaScript.
#[wasm_bindgen(js_name = parityPanic)]
pub fn parity_panic() {
    panic!("asked to panic");
}
