//! Locks on files. A lock belongs to an open file, so the system releases it when the process ends
//! in any way.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::Problem;

/// Creates the file if it does not exist, waits until no other process holds a lock on it, and
/// locks it. The lock is released when the returned file is closed.
///
/// # Errors
///
/// Fails if the file can be neither opened nor created, or if it cannot be locked.
pub fn exclusive(path: &Path) -> Result<File, Problem> {
    let mut options = File::options();
    // The content belongs to the program whose lock this is.
    options.write(true).create(true).truncate(false);
    let file = options.open(path).map_err(Problem::file(path))?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| Problem::file(path)(error.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_would_wait() {
        let path = std::env::temp_dir().join(format!("antiphon-lock-{}", std::process::id()));
        let first = exclusive(&path).expect("it is free");
        let second = File::open(&path).expect("it exists");
        let try_now = || flock(&second, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(try_now(), Err(rustix::io::Errno::WOULDBLOCK));
        drop(first);
        assert_eq!(try_now(), Ok(()));
        std::fs::remove_file(&path).expect("it is ours");
    }
}
