//! Selects the Lean to use: the native one, with `lake`, or npm's.

use std::fs;
use std::path::Path;
use std::process::Command;

use antiphon_build_support::cache::Check;
use antiphon_build_support::console::Console;
use antiphon_build_support::{self as support, process};

use crate::npm::Npm;
use crate::{Problem, Project};

/// An installed Lean.
#[derive(Debug)]
pub enum Lean {
    /// `lake` and `lean` of the version in `lean/lean-toolchain`, installed by elan or otherwise.
    Native {
        /// The output of `lean --version`.
        version: String,
    },
    /// Lean compiled for Node.
    Npm(Npm),
}

impl Lean {
    /// The installed Lean; the native one is preferred. `check` sets how thoroughly the files of
    /// npm's Lean are verified.
    ///
    /// # Errors
    ///
    /// Fails if neither is installed.
    pub fn find(project: &Project, check: Check, console: &mut Console) -> Result<Self, Problem> {
        let native = native(project);
        match native {
            Ok(version) => Ok(Self::Native { version }),
            Err(why) => {
                let npm = Npm::find(project, check, console)?;
                npm.map(Self::Npm).ok_or(Problem::NoLean { why })
            }
        }
    }

    /// The installed Lean. If there is none, installs npm's. Also returns whether it was installed
    /// before.
    ///
    /// # Errors
    ///
    /// Fails if npm's Lean cannot be installed.
    pub fn set_up(project: &Project, console: &mut Console) -> Result<(Self, bool), Problem> {
        let found = Self::find(project, Check::Digests, console);
        if let Err(Problem::NoLean { why }) = found {
            console.line(&format!("  …          {why}: installing npm's Lean"));
            return Ok((Self::Npm(Npm::install(project, console)?), false));
        }
        found.map(|lean| (lean, true))
    }

    /// The version of Lean, without the program that runs it.
    #[must_use]
    pub fn version(&self) -> String {
        match self {
            Self::Native { version } => version.clone(),
            Self::Npm(npm) => npm.version(),
        }
    }

    /// The kind of Lean and its versions, for a person.
    #[must_use]
    pub fn description(&self) -> String {
        match self {
            Self::Native { version } => format!("native ({version})"),
            Self::Npm(npm) => npm.description(),
        }
    }
}

/// The output of `lean --version` if `lake` and `lean` are installed in the required version;
/// otherwise the reason why they cannot be used.
fn native(project: &Project) -> Result<String, String> {
    let place = &project.sources;
    match process::output(Command::new("lake").arg("--version").current_dir(place)) {
        Ok(_) => {}
        Err(support::Problem::Start { .. }) => return Err("`lake` is not installed".to_owned()),
        Err(problem) => return Err(format!("`lake` does not start: {problem}")),
    }
    let required = required_version(place).ok_or("`lean/lean-toolchain` has no version")?;
    let version = process::output(Command::new("lean").arg("--version").current_dir(place));
    match version {
        Ok(text) if has_version(&text, &required) => Ok(text.trim().to_owned()),
        Ok(text) => Err(format!(
            "`lean` has the wrong version: expected {required}, got `{}`",
            text.trim()
        )),
        Err(problem) => Err(format!("`lake` is installed, but `lean` is not: {problem}")),
    }
}

/// The version in `lean-toolchain`: `leanprover/lean4:v4.28.0` requires 4.28.0.
fn required_version(place: &Path) -> Option<String> {
    let text = fs::read_to_string(place.join("lean-toolchain")).ok()?;
    let (_, version) = text.trim().split_once(":v")?;
    Some(version.to_owned())
}

/// Whether the output of `lean --version` has this version. An example of such an output:
/// `Lean (version 4.28.0, x86_64-unknown-linux-gnu, commit …, Release)`.
fn has_version(text: &str, required: &str) -> bool {
    let version = text.split("version ").nth(1).unwrap_or_default();
    version.split([',', ' ', ')']).next() == Some(required)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_required_version_is_accepted() {
        let output = |version| format!("Lean (version {version}, x86_64, commit 0, Release)\n");
        assert!(has_version(&output("4.28.0"), "4.28.0"));
        assert!(!has_version(&output("4.28.0-rc1"), "4.28.0"));
        assert!(!has_version(&output("4.2"), "4.28.0"));
        assert!(!has_version("Lake version", "4.28.0"));
    }
}
