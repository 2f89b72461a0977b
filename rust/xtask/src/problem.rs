//! The errors of building and testing, with their facts and, if there is one, a hint on how to
//! continue.

use std::io;
use std::path::{Path, PathBuf};

use antiphon_build_support as support;
use antiphon_lean_driver as lean_driver;

use crate::mutants::{EditProblem, MutantProblem};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(transparent)]
    Tool(#[from] support::Problem),
    #[error(transparent)]
    Lean(#[from] lean_driver::Problem),
    #[error(transparent)]
    Edit(#[from] EditProblem),
    #[error(transparent)]
    Mutant(#[from] MutantProblem),
    #[error("`{}` is dynamically linked, but it must run without a loader", path.display())]
    Dynamic { path: PathBuf },
    #[error("`{}` contains the path `{place}` of this machine", module.display())]
    LeaksPath { module: PathBuf, place: String },
    #[error("could not install: {}", names.join("; "))]
    Missing { names: Vec<String> },
    #[error("cannot read the proofs back from Lean: {why}")]
    Environment { why: String },
    #[error("the virtual machine needs an x86-64 Linux host, this is {os} on {arch}")]
    Host {
        os: &'static str,
        arch: &'static str,
    },
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
