//! The errors of building and testing, with their facts and, if there is one, a hint how to
//! continue.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("`{command}` ended with {status}{}", tail(output))]
    Failed {
        command: String,
        status: ExitStatus,
        output: String,
    },
    #[error("{status}; the whole output is in `{}`", log.display())]
    Lane { status: ExitStatus, log: PathBuf },
    #[error("`{command}` did not end within {} s and was killed", deadline.as_secs())]
    Timeout { command: String, deadline: Duration },
    #[error("`{}`: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("`{}` is missing: {hint}", path.display())]
    Absent { path: PathBuf, hint: String },
    #[error("cannot read the output of `{command}`: expected {expected}")]
    Output {
        command: &'static str,
        expected: &'static str,
    },
    #[error("`{}` is dynamically linked, but the guest has no loader", path.display())]
    Dynamic { path: PathBuf },
    #[error("`{}` contains the path `{place}` of this machine", module.display())]
    LeaksPath { module: PathBuf, place: String },
    #[error("could not install: {}", names.join("; "))]
    Missing { names: Vec<String> },
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
    #[error("cannot check the axioms of the proofs: {why}")]
    Axioms { why: String },
    #[error("the imports of `{}` do not build: {built}", file.display())]
    Imports { file: PathBuf, built: String },
    #[error("{file}:{line}: the statement of `{name}` has no end")]
    Statement {
        file: String,
        line: usize,
        name: String,
    },
    #[error("the virtual machine needs an x86-64 Linux host, this is {os} on {arch}")]
    Host {
        os: &'static str,
        arch: &'static str,
    },
}

impl Problem {
    pub(crate) fn absent(path: &Path, hint: &str) -> Self {
        Self::Absent {
            path: path.to_owned(),
            hint: hint.to_owned(),
        }
    }

    /// For `map_err` after operations on one file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// The last lines of a program's output, enough to see why it failed.
fn tail(output: &str) -> String {
    const LINES_MAX: usize = 12;
    let lines: Vec<&str> = output.trim_end().lines().collect();
    let skipped = lines.len().saturating_sub(LINES_MAX);
    lines[skipped..]
        .iter()
        .fold(String::new(), |text, line| text + "\n    " + line)
}
