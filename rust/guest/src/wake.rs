//! Waking a thread that sits in `poll`: a pipe with at most one byte in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::pipe::{PipeFlags, pipe_with};

/// Makes a connected pair. Fails when the process is out of descriptors.
pub(crate) fn wake_pair() -> io::Result<(Waker, Sleeper)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let raised = Arc::new(AtomicBool::new(false));
    let waker = Waker {
        write: Arc::new(write),
        raised: raised.clone(),
    };
    Ok((waker, Sleeper { read, raised }))
}

/// The end that wakes. Cheap to clone; waking twice before the sleeper looks costs one write.
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
            // A full pipe is readable already, and a sleeper that is gone needs no waking.
            let _ = rustix::io::write(&*self.write, &[1]);
        }
    }
}

impl Sleeper {
    /// Takes the wake-up back. What it announced must be looked at after this call, never before.
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
