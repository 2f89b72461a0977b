//! Who may read the built modules, and who may change them. The lock belongs to an open file, so it
//! ends with its process however that ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::problem::Problem;

#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// To read; others may read too.
    pub(crate) fn shared(place: &Path) -> Result<Self, Problem> {
        Self::open(place)?.into_shared()
    }

    /// To change; nobody else reads or changes.
    pub(crate) fn exclusive(place: &Path) -> Result<Self, Problem> {
        Self::open(place)?.into_exclusive()
    }

    /// Somebody else may hold it in between.
    pub(crate) fn into_exclusive(self) -> Result<Self, Problem> {
        let operations = (
            FlockOperation::NonBlockingLockExclusive,
            FlockOperation::LockExclusive,
        );
        self.turn(operations)
    }

    pub(crate) fn into_shared(self) -> Result<Self, Problem> {
        self.turn((
            FlockOperation::NonBlockingLockShared,
            FlockOperation::LockShared,
        ))
    }

    fn open(place: &Path) -> Result<Self, Problem> {
        fs::create_dir_all(place).map_err(Problem::file(place))?;
        let path = place.join("lock");
        let file = File::create(&path).map_err(Problem::file(&path))?;
        Ok(Self { file, path })
    }

    /// Tries, and says so when it has to wait.
    fn turn(self, (at_once, waiting): (FlockOperation, FlockOperation)) -> Result<Self, Problem> {
        let outcome = match flock(&self.file, at_once) {
            Err(Errno::WOULDBLOCK) => {
                println!("  waiting for another process that uses the built Lean modules");
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
    fn many_read_or_one_changes() {
        let place = std::env::temp_dir().join(format!("xtask-lock-{}", std::process::id()));
        let one = Lock::shared(&place).expect("free");
        let two = Lock::shared(&place).expect("shared");
        let try_now = |lock: &Lock| flock(&lock.file, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(try_now(&one), Err(Errno::WOULDBLOCK));
        drop(two);
        assert_eq!(try_now(&one), Ok(()));
        fs::remove_dir_all(&place).expect("it is ours");
    }
}
