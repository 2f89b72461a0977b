//! What can go wrong while building and testing, with the facts and, where there is one, the way
//! out.

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
    Late { command: String, deadline: Duration },
    #[error("`{}`: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("`{}` is not there: {mend}", path.display())]
    Absent { path: PathBuf, mend: String },
    #[error("cannot read the output of `{command}`: expected {expected}")]
    Output {
        command: &'static str,
        expected: &'static str,
    },
    #[error("`{}` is linked dynamically; the guest has no loader", path.display())]
    Dynamic { path: PathBuf },
    #[error("`{}` has the path `{place}` of this machine in it", module.display())]
    Telling { module: PathBuf, place: String },
    #[error("missing: {}", facts.join("; "))]
    Missing { facts: Vec<String> },
    #[error("{what} is not what was expected: it has `{found}`, not `{expected}`")]
    Digest {
        what: String,
        expected: &'static str,
        found: String,
    },
    #[error("lean.js is not what was expected: `{text}` stands there {count} times")]
    Mend { text: &'static str, count: usize },
    #[error("Lean runs on Node {major}, and there is no package of it for {os} on {arch}")]
    Node {
        major: u32,
        os: &'static str,
        arch: &'static str,
    },
    #[error("there is no Lean: {why}, and npm's is not installed; `cargo xtask setup` does that")]
    NoLean { why: String },
    #[error("there is no module `{name}` under `lean/`")]
    NoModule { name: String },
    #[error("{file}:{line}: there is no module `{name}` to import")]
    Import {
        file: String,
        line: usize,
        name: String,
    },
    #[error("modules import each other: {}", modules.join(", "))]
    Cycle { modules: Vec<String> },
    #[error("the axioms of the proofs could not be looked through: {why}")]
    Axioms { why: String },
    #[error("what `{}` imports is not built: {built}", file.display())]
    Imports { file: PathBuf, built: String },
    #[error("{file}:{line}: the statement of `{name}` has no end")]
    Statement {
        file: String,
        line: usize,
        name: String,
    },
    #[error("the virtual machine lane needs an x86-64 Linux host, this is {os} on {arch}")]
    Host {
        os: &'static str,
        arch: &'static str,
    },
}

impl Problem {
    pub(crate) fn absent(path: &Path, mend: &str) -> Self {
        Self::Absent {
            path: path.to_owned(),
            mend: mend.to_owned(),
        }
    }

    /// For `map_err` over calls on one file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// Enough of a program's last words to see why it failed.
fn tail(output: &str) -> String {
    const LINES_MAX: usize = 12;
    let lines: Vec<&str> = output.trim_end().lines().collect();
    let skipped = lines.len().saturating_sub(LINES_MAX);
    lines[skipped..]
        .iter()
        .fold(String::new(), |text, line| text + "\n    " + line)
}
