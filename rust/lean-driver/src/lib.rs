//! Builds and runs the modules of a Lean project with the Lean that the machine has: a native one,
//! or npm's, which is Lean compiled for Node. [`Lean`] selects it. Both build the same sources,
//! with warnings as errors.
//!
//! [`build()`] builds modules, [`run`] runs the `main` of a file, [`check`] and [`examine`]
//! elaborate a file, and [`publish`] writes a script with which other programs do the same.
//! [`Modules`] and [`Source`] read the sources.

mod build;
mod bundle;
mod elaborate;
mod kept;
mod lock;
mod modules;
mod native;
mod npm;
mod problem;
mod program;
mod source;
mod toolchain;

use std::path::{Path, PathBuf};

pub use build::Built;
pub use bundle::bundle;
pub use kept::SHARD_VARIABLE;
pub use modules::{Module, Modules};
pub use npm::{Node, Npm};
pub use problem::Problem;
pub use program::{Examined, check, digest, examine, publish, run};
pub use source::{Source, Token, tokens};
pub use toolchain::Lean;

use antiphon_build_support::cache::Cache;
use antiphon_build_support::console::Console;

/// A Lean project and the directories that the driver uses for it.
#[derive(Clone, Debug)]
pub struct Project {
    /// The directory of the sources, with `lean-toolchain` and, for a native Lean, `lakefile.toml`.
    pub sources: PathBuf,
    /// The directory of all output: `out/` (built modules), `programs/` (bundles), `lane` and
    /// `run`.
    pub output: PathBuf,
    /// The directory of the logs of programs that the driver runs.
    pub logs: PathBuf,
    /// The cache of npm's Lean and of built modules.
    pub cache: Cache,
}

impl Project {
    /// The directory of the built modules of npm's Lean.
    fn out(&self) -> PathBuf {
        self.output.join("out")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(name)
    }

    /// The path of a file that is given as absolute or below the sources.
    fn path(&self, file: &Path) -> PathBuf {
        self.sources.join(file)
    }
}

/// Builds the modules that are out of date. With `from_scratch`, builds all modules without reading
/// the cache. `order` lists the modules in the order of their imports.
///
/// # Errors
///
/// Fails if Lean cannot be run or a file cannot be read or written. A module with errors is part of
/// the result.
pub fn build(
    project: &Project,
    lean: &Lean,
    modules: &Modules,
    order: &[&str],
    from_scratch: bool,
    console: &mut Console,
) -> Result<Built, Problem> {
    match lean {
        Lean::Native { .. } => native::build(project, order, from_scratch, console),
        Lean::Npm(npm) => {
            let built = build::build(project, npm, modules, order, from_scratch, console);
            built.map(|(built, _lock)| built)
        }
    }
}
