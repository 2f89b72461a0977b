//! Selects the Lean to use: the native one, with `lake`, or npm's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lean::npm::Npm;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::run;
use crate::tree::Tree;

/// An installed Lean.
pub(crate) enum Lean {
    /// `lake` and `lean` of the version in `lean/lean-toolchain`, installed by elan or otherwise.
    Native { version: String },
    /// See [`crate::lean::npm`].
    Npm(Npm),
}

impl Lean {
    /// The installed Lean; the native one is preferred.
    pub(crate) fn find(tree: &Tree) -> Result<Self, Problem> {
        let native = native(tree);
        match native {
            Ok(version) => Ok(Self::Native { version }),
            Err(why) => Npm::find(tree)
                .map(Self::Npm)
                .ok_or(Problem::NoLean { why }),
        }
    }

    /// The installed Lean. If there is none, installs npm's. Also returns whether it was installed
    /// before.
    pub(crate) fn set_up(tree: &Tree, progress: &mut Progress) -> Result<(Self, bool), Problem> {
        if let Err(Problem::NoLean { why }) = Self::find(tree) {
            println!("  …          {why}: installing npm's Lean");
            return Ok((Self::Npm(Npm::install(tree, progress)?), false));
        }
        Self::find(tree).map(|found| (found, true))
    }

    /// The kind of Lean and its versions, for a person.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Native { version } => format!("native ({version})"),
            Self::Npm(npm) => npm.description(),
        }
    }
}

/// The directory of the Lean sources.
pub(crate) fn sources(tree: &Tree) -> PathBuf {
    tree.root.join("lean")
}

/// The output of `lean --version` if `lake` and `lean` are installed in the required version;
/// otherwise the reason why they cannot be used.
fn native(tree: &Tree) -> Result<String, String> {
    let place = sources(tree);
    match run::output(Command::new("lake").arg("--version").current_dir(&place)) {
        Ok(_) => {}
        Err(Problem::Start { .. }) => return Err("`lake` is not installed".to_owned()),
        Err(problem) => return Err(format!("`lake` does not start: {problem}")),
    }
    let required = required_version(&place).ok_or("`lean/lean-toolchain` has no version")?;
    let version = run::output(Command::new("lean").arg("--version").current_dir(&place));
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
