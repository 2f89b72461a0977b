//! One end of a byte stream, over any kind of descriptor, that can be shut from another thread.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::wake::{Sleeper, Waker, wake_pair};

/// The requested capacity of a pipe, in bytes: the most that an unprivileged process can have.
const PIPE_LEN: usize = 1 << 20;

/// How long an unfinished message on a shared line may wait for its next bytes. Then the agent
/// assumes that the host is gone. It may have no other sign of that, because a virtual machine
/// closes and reopens its port too fast. Without this bound, the next host's `hello` would be read
/// as a part of the unfinished message.
pub(crate) const STALL_MAX: Duration = Duration::from_millis(500);

/// Makes an end of a stream and its shutter.
pub(crate) fn port(fd: Arc<OwnedFd>) -> io::Result<(Port, Shutter)> {
    let (waker, sleeper) = wake_pair()?;
    let shutter = Shutter {
        shut: Arc::new(AtomicBool::new(false)),
        waker,
    };
    Ok((
        Port {
            fd,
            sleeper,
            shutter: shutter.clone(),
        },
        shutter,
    ))
}

/// An end of a stream, which one thread reads or writes.
#[derive(Debug)]
pub(crate) struct Port {
    fd: Arc<OwnedFd>,
    sleeper: Sleeper,
    /// Kept alive here: if the last waker were dropped, the sleeper's pipe would always be
    /// readable.
    shutter: Shutter,
}

/// Shuts a [`Port`], so that a thread that waits in it returns.
#[derive(Clone, Debug)]
pub(crate) struct Shutter {
    shut: Arc<AtomicBool>,
    waker: Waker,
}

impl Shutter {
    /// Ends the port's reads and writes, now and later.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }
}

impl Port {
    /// Reads the available bytes, waiting for the first one. Returns 0 at the end of the stream and
    /// once the port is shut.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_within(buf, None)
    }

    /// As [`read`](Self::read), with an error of the kind `TimedOut` if nothing arrives within
    /// `timeout`.
    pub(crate) fn read_within(
        &mut self,
        buf: &mut [u8],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let is_ready = !self.wait_within(PollFlags::IN, left)?.is_empty();
            if self.shutter.is_shut() {
                return Ok(0);
            }
            let is_late = left.is_some_and(|left| left.is_zero());
            // The descriptor may be a blocking one, so it is read only when it is readable.
            match is_ready.then(|| rustix::io::read(&*self.fd, &mut *buf)) {
                None | Some(Err(Errno::AGAIN)) if is_late => {
                    return Err(ErrorKind::TimedOut.into());
                }
                None | Some(Err(Errno::INTR | Errno::AGAIN)) => {}
                Some(done) => return Ok(done?),
            }
        }
    }

    /// Writes all bytes. Fails once the port is shut.
    pub(crate) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.shutter.is_shut() {
                return Err(ErrorKind::BrokenPipe.into());
            }
            match rustix::io::write(&*self.fd, bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if self.wait(PollFlags::OUT)?.contains(PollFlags::HUP) {
                        return Err(ErrorKind::BrokenPipe.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn wait(&self, flags: PollFlags) -> io::Result<PollFlags> {
        self.wait_within(flags, None)
    }

    fn wait_within(&self, flags: PollFlags, left: Option<Duration>) -> io::Result<PollFlags> {
        let fd = self.fd.as_fd();
        let mut fds = [
            PollFd::from_borrowed_fd(fd, flags),
            PollFd::new(&self.sleeper, PollFlags::IN),
        ];
        // A time that does not fit a `Timespec` counts as unlimited.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, left.as_ref()) {
            Ok(_) => Ok(fds[0].revents()),
            Err(Errno::INTR) => Ok(PollFlags::empty()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Requests a larger pipe, so that a chunk fits. If the system refuses, the pipe stays as it is.
pub(crate) fn enlarge_pipe(pipe: &OwnedFd) {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_LEN);
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}

/// Puts a terminal into raw mode; otherwise it would change the bytes.
pub(crate) fn make_raw(fd: &OwnedFd) -> rustix::io::Result<()> {
    let stat = rustix::fs::fstat(fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
        || !rustix::termios::isatty(fd)
    {
        return Ok(());
    }
    let mut attributes = rustix::termios::tcgetattr(fd)?;
    attributes.make_raw();
    rustix::termios::tcsetattr(fd, rustix::termios::OptionalActions::Now, &attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::thread;

    #[test]
    fn a_port_without_other_shutters_sleeps() {
        let (read, _write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let (port, _) = port(Arc::new(read)).expect("a port");
        let mut fds = [PollFd::new(&port.sleeper, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        assert_eq!(poll(&mut fds, Some(&now)), Ok(0));
    }

    #[test]
    fn shutting_a_port_wakes_its_reader_and_writer() {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
        let (mut reader, shut_reader) = port(Arc::new(read)).expect("a port");
        let (mut writer, shut_writer) = port(Arc::new(write)).expect("a port");
        let writing = thread::spawn(move || writer.write_all(&vec![0; 4 << 20]));
        thread::sleep(Duration::from_millis(30));
        assert!(!writing.is_finished());
        shut_writer.shut();
        assert!(writing.join().expect("no panic").is_err());
        let mut buf = vec![0; 4 << 20];
        while reader.read(&mut buf).expect("the pipe is whole") != 0 {}
        let reading = thread::spawn(move || reader.read(&mut buf));
        shut_reader.shut();
        assert_eq!(reading.join().expect("no panic").expect("no error"), 0);
    }

    #[test]
    fn a_read_times_out() {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
        let (mut reader, _) = port(Arc::new(read)).expect("a port");
        let (mut buf, timeout) = ([0; 8], Some(Duration::from_millis(20)));
        let late = reader
            .read_within(&mut buf, timeout)
            .expect_err("nothing was written");
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        rustix::io::write(&write, b"late").expect("there is room");
        assert_eq!(
            reader.read_within(&mut buf, timeout).expect("it is there"),
            4
        );
    }
}
