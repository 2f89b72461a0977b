//! The errors of running programs and of reading and writing files.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why a program or a file operation failed, with the facts and, if there is one, a hint on how to
/// continue.
#[derive(Debug, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "the messages describe the variants and their fields"
)]
pub enum Problem {
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("`{command}` ended with {status}{}", tail(output))]
    Failed {
        command: String,
        status: ExitStatus,
        output: String,
    },
    #[error("{status}; the whole output is in `{}`", log.display())]
    Exit { status: ExitStatus, log: PathBuf },
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
    #[error(
        "expected an absolute path in `{}`, got `{}`: \
         set it to the full path of the cache directory, or unset it",
        crate::cache::VARIABLE,
        path.display()
    )]
    RelativeCache { path: PathBuf },
    #[error("cannot cache `{}`: its name has a tab, a line end or no valid text", path.display())]
    CachePath { path: PathBuf },
    #[error("the cached table has {rows_max} rows, its maximum")]
    TableFull { rows_max: usize },
    #[error("the cached table has another value for row {row}: run `cargo xtask cache --clear`")]
    TableConflict { row: String },
}

impl Problem {
    /// A missing file, with a hint on how to get it.
    pub fn absent(path: &Path, hint: &str) -> Self {
        Self::Absent {
            path: path.to_owned(),
            hint: hint.to_owned(),
        }
    }

    /// For `map_err` after operations on one file.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
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
