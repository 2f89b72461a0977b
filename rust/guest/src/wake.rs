//! Wakes a thread that waits in `poll`, with a pipe that holds at most one byte.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::pipe::{PipeFlags, pipe_with};

/// Makes a connected pair. Fails if the process is out of descriptors.
pub(crate) fn wake_pair() -> io::Result<(Waker, Sleeper)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let raised = Arc::new(AtomicBool::new(false));
    let waker = Waker {
        write: Arc::new(write),
        raised: raised.clone(),
    };
    Ok((waker, Sleeper { read, raised }))
}

/// The end that wakes the sleeper. Cheap to clone; waking twice before [`Sleeper::reset`] costs one
/// write.
#[derive(Clone, Debug)]
pub(crate) struct Waker {
    write: Arc<OwnedFd>,
    raised: Arc<AtomicBool>,
}

/// The end that `poll` watches.
#[derive(Debug)]
pub(crate) struct Sleeper {
    read: OwnedFd,
    raised: Arc<AtomicBool>,
}

impl Waker {
    /// Makes the sleeper's descriptor readable.
    pub(crate) fn wake(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            // A full pipe is readable already, and a dropped sleeper need not be woken.
            let _ = rustix::io::write(&*self.write, &[1]);
        }
    }
}

impl Sleeper {
    /// Clears the wake-up. Check for work after this call, not before, or a wake-up is lost.
    pub(crate) fn reset(&self) {
        let mut sink = [0; 8];
        let _ = rustix::io::read(&self.read, &mut sink);
        self.raised.store(false, Ordering::Release);
    }
}

impl AsFd for Sleeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}
