//! The checkout that this program was built in.

use std::path::PathBuf;

use crate::problem::{Problem, SystemError};

/// The folders above the program that are looked at: it is built as `target/TRIPLE/PROFILE/antiphon`, where the
/// triple may be absent.
const FOLDERS_MAX: usize = 4;

/// The folders that may be the checkout or its `target` folder, the program's own folder first.
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
