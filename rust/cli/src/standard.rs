//! The standard streams of this process, read and written directly at their descriptors.
//!
//! Another process that shares a pipe or a terminal may have made it non-blocking. Reads and writes
//! here then wait, as they would on a blocking descriptor. The handles of `std` return `WouldBlock`
//! instead. They also treat an input that is not open for reading as empty, and discard writes to
//! an output that is not open for writing.

use std::io::{self, BufRead, BufReader, Read, StderrLock, StdoutLock, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Standard input, without a buffer.
#[derive(Debug, Default)]
pub(crate) struct StandardInput;

impl Read for StandardInput {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        retry(stdin.as_fd(), PollFlags::IN, |fd| {
            rustix::io::read(fd, &mut *bytes)
        })
    }
}

/// Standard output or standard error, locked and without a buffer.
#[derive(Debug)]
pub(crate) struct StandardOutput<L>(L);

impl StandardOutput<StdoutLock<'static>> {
    /// Standard output, locked until this is dropped.
    pub(crate) fn stdout() -> Self {
        StandardOutput(io::stdout().lock())
    }
}

impl StandardOutput<StderrLock<'static>> {
    /// Standard error, locked until this is dropped.
    pub(crate) fn stderr() -> Self {
        StandardOutput(io::stderr().lock())
    }
}

impl<L: AsFd> Write for StandardOutput<L> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retry(self.0.as_fd(), PollFlags::OUT, |fd| {
            rustix::io::write(fd, bytes)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Calls `operation` until it is neither interrupted nor would block. Waits for the descriptor in
/// between.
fn retry(
    fd: BorrowedFd<'_>,
    flags: PollFlags,
    mut operation: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match operation(fd) {
            Err(Errno::AGAIN) => wait(fd, flags)?,
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Waits until the descriptor is ready or has failed.
pub(crate) fn wait(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The lines of standard input.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    input: Option<BufReader<StandardInput>>,
}

impl Lines {
    /// Reads the next line with its line end. Returns `None` at the end of the input, and an error
    /// for a line with more than `len_max` bytes.
    pub(crate) fn next(&mut self, len_max: u64) -> io::Result<Option<Vec<u8>>> {
        let input = self
            .input
            .get_or_insert_with(|| BufReader::new(StandardInput));
        let mut line = Vec::new();
        let len = input.take(len_max + 1).read_until(b'\n', &mut line)?;
        match len as u64 {
            0 => Ok(None),
            len if len > len_max => Err(io::Error::other(format!(
                "a line is longer than {len_max} bytes"
            ))),
            _ => Ok(Some(line)),
        }
    }
}
