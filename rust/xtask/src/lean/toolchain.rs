//! Which Lean there is: the one of `lake`, or that of npm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lean::npm::Npm;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::run;
use crate::tree::Tree;

/// A Lean that works here.
pub(crate) enum Lean {
    /// `lake` and `lean` of the version that `lean/lean-toolchain` asks for, by elan or otherwise.
    Native { version: String },
    /// See [`crate::lean::npm`].
    Npm(Npm),
}

impl Lean {
    /// The Lean that is there, the native one first.
    pub(crate) fn find(tree: &Tree) -> Result<Self, Problem> {
        let native = native(tree);
        match native {
            Ok(version) => Ok(Self::Native { version }),
            Err(why) => Npm::find(tree)
                .map(Self::Npm)
                .ok_or(Problem::NoLean { why }),
        }
    }

    /// The Lean that is there, or else the npm lane, installed; true when it was there already.
    pub(crate) fn set_up(tree: &Tree, progress: &mut Progress) -> Result<(Self, bool), Problem> {
        if let Err(Problem::NoLean { why }) = Self::find(tree) {
            println!("  …      {why}, so Lean comes from npm");
            return Ok((Self::Npm(Npm::install(tree, progress)?), false));
        }
        Self::find(tree).map(|found| (found, true))
    }

    /// Name of the lane and what it consists of.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Native { version } => format!("native ({version})"),
            Self::Npm(npm) => npm.shown(),
        }
    }
}

/// Where Lean's sources are.
pub(crate) fn sources(tree: &Tree) -> PathBuf {
    tree.root.join("lean")
}

/// What `lean --version` says when `lake` and `lean` are there in the version asked for; else why
/// not.
fn native(tree: &Tree) -> Result<String, String> {
    let place = sources(tree);
    match run::output(Command::new("lake").arg("--version").current_dir(&place)) {
        Ok(_) => {}
        Err(Problem::Start { .. }) => return Err("`lake` is not here".to_owned()),
        Err(problem) => return Err(format!("`lake` does not start: {problem}")),
    }
    let asked = asked_version(&place).ok_or("`lean/lean-toolchain` names no version")?;
    let version = run::output(Command::new("lean").arg("--version").current_dir(&place));
    match version {
        Ok(text) if has_version(&text, &asked) => Ok(text.trim().to_owned()),
        Ok(text) => Err(format!("`lean` is not {asked} but says `{}`", text.trim())),
        Err(problem) => Err(format!("`lake` is here, but `lean` is not: {problem}")),
    }
}

/// `leanprover/lean4:v4.28.0` asks for 4.28.0.
fn asked_version(place: &Path) -> Option<String> {
    let text = fs::read_to_string(place.join("lean-toolchain")).ok()?;
    let (_, version) = text.trim().split_once(":v")?;
    Some(version.to_owned())
}

/// `Lean (version 4.28.0, x86_64-unknown-linux-gnu, commit …, Release)`.
fn has_version(text: &str, asked: &str) -> bool {
    let version = text.split("version ").nth(1).unwrap_or_default();
    version.split([',', ' ', ')']).next() == Some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_asked_for_will_do() {
        let says = |version| format!("Lean (version {version}, x86_64, commit 0, Release)\n");
        assert!(has_version(&says("4.28.0"), "4.28.0"));
        assert!(!has_version(&says("4.28.0-rc1"), "4.28.0"));
        assert!(!has_version(&says("4.2"), "4.28.0"));
        assert!(!has_version("Lake version", "4.28.0"));
    }
}
