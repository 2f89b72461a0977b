//! Finds Lean, for the commands that run the model.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon_bridge::oracle::{LEAN_VARIABLE, Oracle};
use indicatif::{ProgressBar, ProgressStyle};

use crate::checkout;
use crate::output::Output;
use crate::problem::{LeanError, Problem};

/// A program that runs Lean.
pub(crate) struct Lean {
    /// Runs or checks a Lean file.
    pub(crate) program: PathBuf,
    /// The same program as the model's oracle.
    pub(crate) oracle: Oracle,
    /// Describes which Lean it is.
    pub(crate) description: String,
}

impl Lean {
    /// Finds the program that the environment names, or the one in the checkout that this program
    /// was built in.
    pub(crate) fn find() -> Result<Lean, Problem> {
        if let Some(program) = std::env::var_os(LEAN_VARIABLE).map(PathBuf::from) {
            let found = Lean::at(program.clone());
            return found.ok_or_else(|| LeanError::NoSuchProgram { program }.into());
        }
        checkout::folders()?
            .find_map(|folder| Lean::at(folder.join("lean/run")))
            .ok_or_else(|| LeanError::NotFound.into())
    }

    /// Returns the Lean at this path, if there is one.
    fn at(program: PathBuf) -> Option<Lean> {
        let oracle = Oracle::new(program.clone()).ok()?;
        let description = description(&program).unwrap_or_else(|| program.display().to_string());
        Some(Lean {
            program,
            oracle,
            description,
        })
    }
}

/// Reads the description that `cargo xtask setup` wrote beside the program.
fn description(program: &Path) -> Option<String> {
    let text = fs::read_to_string(program.with_file_name("lane")).ok()?;
    text.lines().next().map(str::to_owned)
}

/// Shows a spinner on a terminal until it is dropped.
pub(crate) struct Spinner(Option<ProgressBar>);

impl Spinner {
    pub(crate) fn begin(output: &Output, what: String) -> Spinner {
        if !output.terminal_stderr || output.json {
            return Spinner(None);
        }
        let bar = ProgressBar::new_spinner();
        // The template is a constant; if it were invalid, the default style would be used.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(250));
        Spinner(Some(bar))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
