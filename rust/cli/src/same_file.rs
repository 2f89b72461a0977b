//! Whether paths lead to the same file, through links of any kind.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::replace::{self, Target};

/// Whether two paths lead to the same file.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((identity(one), identity(other)), (Some((one, _)), Some((other, _))) if one == other)
}

/// Whether two paths lead to the same regular file, or to the same place for a new file.
pub(crate) fn is_same_place(one: &Path, other: &Path) -> bool {
    match (identity(one), identity(other)) {
        (Some((one, is_regular)), Some((other, _))) => is_regular && one == other,
        (None, None) => {
            matches!((place(one), place(other)), (Some(one), Some(other)) if one == other)
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether a path leads to the regular file that standard output or standard error is written to.
pub(crate) fn is_standard_output(path: &Path) -> bool {
    let streams = [
        rustix::fs::fstat(io::stdout()),
        rustix::fs::fstat(io::stderr()),
    ];
    let mut streams = streams.into_iter().flatten();
    let Some((file, true)) = identity(path) else {
        return false;
    };
    streams.any(|stat| (stat.st_dev, stat.st_ino) == file)
}

/// Returns the device and inode of the file that a path leads to, and whether it is regular.
fn identity(path: &Path) -> Option<((u64, u64), bool)> {
    let metadata = fs::metadata(path).ok()?;
    Some(((metadata.dev(), metadata.ino()), metadata.is_file()))
}

/// Returns where a new file would be created under this path.
fn place(path: &Path) -> Option<PathBuf> {
    match replace::target(path).ok()? {
        Target::Regular(path) => {
            let directory = fs::canonicalize(replace::directory(&path)).ok()?;
            Some(directory.join(path.file_name()?))
        }
        Target::Special => None,
    }
}
