//! The errors of building and running Lean modules.

use std::io;
use std::path::{Path, PathBuf};

use antiphon_build_support as support;

/// Why Lean could not be installed, or why a module could not be built or run.
#[derive(Debug, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "the messages describe the variants and their fields"
)]
pub enum Problem {
    #[error(transparent)]
    Tool(#[from] support::Problem),
    #[error("wrong digest for {what}: expected `{expected}`, got `{found}`")]
    Digest {
        what: String,
        expected: &'static str,
        found: String,
    },
    #[error("cannot patch lean.js: `{text}` occurs {count} times, expected once")]
    Patch { text: &'static str, count: usize },
    #[error("Lean needs Node {major}, and npm has no package of it for {os} on {arch}")]
    Node {
        major: u32,
        os: &'static str,
        arch: &'static str,
    },
    #[error("no Lean found: {why}, and npm's is not installed; run `cargo xtask setup`")]
    NoLean { why: String },
    #[error("there is no module `{name}` under `lean/`")]
    NoModule { name: String },
    #[error("{file}:{line}: imports `{name}`, which does not exist")]
    Import {
        file: String,
        line: usize,
        name: String,
    },
    #[error("modules import each other: {}", modules.join(", "))]
    Cycle { modules: Vec<String> },
    #[error(
        "Lean's output differs from the one in the cache for the same input, `{key}`: \
         `cargo xtask cache --clear` removes it, and one of the two is wrong"
    )]
    TwoResults { key: String },
    #[error("the imports of `{}` do not build: {built}", file.display())]
    Imports { file: PathBuf, built: String },
}

impl Problem {
    /// A missing file, with a hint on how to get it.
    pub(crate) fn absent(path: &Path, hint: &str) -> Self {
        support::Problem::absent(path, hint).into()
    }

    /// For `map_err` after operations on one file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let convert = support::Problem::file(path);
        move |error| convert(error).into()
    }
}
