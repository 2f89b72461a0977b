//! The lock on the built modules, for readers and one writer. It belongs to an open file, so the
//! system releases it when the process ends in any way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use antiphon_build_support::console::Console;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::Problem;

#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Locks for reading; other processes may also read.
    pub(crate) fn shared(place: &Path, console: &mut Console) -> Result<Self, Problem> {
        Self::open(place)?.into_shared(console)
    }

    /// Locks for writing; no other process may read or write.
    pub(crate) fn exclusive(place: &Path, console: &mut Console) -> Result<Self, Problem> {
        Self::open(place)?.into_exclusive(console)
    }

    /// Converts the lock. Another process may hold it for writing in between.
    pub(crate) fn into_exclusive(self, console: &mut Console) -> Result<Self, Problem> {
        let operations = (
            FlockOperation::NonBlockingLockExclusive,
            FlockOperation::LockExclusive,
        );
        self.convert(operations, console)
    }

    pub(crate) fn into_shared(self, console: &mut Console) -> Result<Self, Problem> {
        let operations = (
            FlockOperation::NonBlockingLockShared,
            FlockOperation::LockShared,
        );
        self.convert(operations, console)
    }

    fn open(place: &Path) -> Result<Self, Problem> {
        fs::create_dir_all(place).map_err(Problem::file(place))?;
        let path = place.join("lock");
        let file = File::create(&path).map_err(Problem::file(&path))?;
        Ok(Self { file, path })
    }

    /// Locks without waiting if possible; otherwise prints a line and waits.
    fn convert(
        self,
        (try_now, waiting): (FlockOperation, FlockOperation),
        console: &mut Console,
    ) -> Result<Self, Problem> {
        let outcome = match flock(&self.file, try_now) {
            Err(Errno::WOULDBLOCK) => {
                console.line("  waiting for another process that uses the built Lean modules");
                flock(&self.file, waiting)
            }
            outcome => outcome,
        };
        outcome.map_err(|error| Problem::file(&self.path)(error.into()))?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_excludes_readers() {
        let place = std::env::temp_dir().join(format!("xtask-lock-{}", std::process::id()));
        let mut console = Console::stdout();
        let one = Lock::shared(&place, &mut console).expect("free");
        let two = Lock::shared(&place, &mut console).expect("shared");
        let try_now = |lock: &Lock| flock(&lock.file, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(try_now(&one), Err(Errno::WOULDBLOCK));
        drop(two);
        assert_eq!(try_now(&one), Ok(()));
        fs::remove_dir_all(&place).expect("it is ours");
    }
}
