//! An entry in use, and the locks on entries.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::Problem;

/// The directory of an entry's files.
pub(super) const CONTENT: &str = "content";

/// An entry of the cache. It is not removed while this value exists.
#[derive(Debug)]
pub struct Entry {
    content: PathBuf,
    _locked: Locked,
}

impl Entry {
    pub(super) fn new(path: &Path, locked: Locked) -> Self {
        Self {
            content: path.join(CONTENT),
            _locked: locked,
        }
    }

    /// The directory of the files. They must not be changed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.content
    }

    /// Copies the files into a directory, which is created if needed. Symbolic links stay links.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be copied.
    pub fn copy_to(&self, target: &Path) -> Result<(), Problem> {
        copy(&self.content, target)
    }
}

/// Copies all files below a directory. Symbolic links stay links.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Problem> {
    fs::create_dir_all(to).map_err(Problem::file(to))?;
    for path in super::children(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        let kind = fs::symlink_metadata(&path).map_err(Problem::file(&path))?;
        if kind.is_symlink() {
            let link = fs::read_link(&path).map_err(Problem::file(&path))?;
            std::os::unix::fs::symlink(link, &target).map_err(Problem::file(&target))?;
        } else if kind.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(Problem::file(&target))?;
        }
    }
    Ok(())
}

/// A lock on the directory of an entry. It belongs to an open file, so the system releases it when
/// the process ends in any way.
#[derive(Debug)]
pub(super) struct Locked(#[expect(dead_code, reason = "holds the lock")] File);

impl Locked {
    /// Locks an entry for use; `None` if it does not exist.
    pub(super) fn shared(path: &Path) -> Result<Option<Self>, Problem> {
        Self::lock(path, FlockOperation::LockShared)
    }

    /// Locks an entry for removal; `None` if it does not exist or is in use.
    pub(super) fn exclusive(path: &Path) -> Result<Option<Self>, Problem> {
        Self::lock(path, FlockOperation::NonBlockingLockExclusive)
    }

    fn lock(path: &Path, operation: FlockOperation) -> Result<Option<Self>, Problem> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Problem::file(path)(error)),
        };
        match flock(&file, operation) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(Problem::file(path)(error.into())),
        }
        // The entry may have been removed or replaced before the lock was taken.
        let locked = file.metadata().map_err(Problem::file(path))?;
        let is_same = fs::metadata(path)
            .is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino()));
        Ok(is_same.then_some(Self(file)))
    }
}
