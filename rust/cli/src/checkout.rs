//! Finds the checkout that this program was built in.

use std::path::PathBuf;

use crate::problem::{Problem, SystemError};

/// How many folders above the program are searched. Cargo builds it as
/// `target/TRIPLE/PROFILE/antiphon`; the triple may be absent.
const FOLDERS_MAX: usize = 4;

/// Returns the folders above the program that may be the checkout or its `target` folder, innermost
/// first.
pub(crate) fn folders() -> Result<impl Iterator<Item = PathBuf>, Problem> {
    let program = std::env::current_exe().map_err(SystemError::NoProgram)?;
    let folders: Vec<PathBuf> = program
        .ancestors()
        .skip(1)
        .take(FOLDERS_MAX)
        .map(PathBuf::from)
        .collect();
    Ok(folders.into_iter())
}
