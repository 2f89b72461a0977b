//! The transports between a host and an agent: a child process, a Unix socket, a serial line.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use crate::port::{Port, Shutter, enlarge_pipe, port};

/// How long a started agent may take to exit after the end of its input before it is killed. It
/// kills its commands first.
pub const AGENT_GRACE: Duration = Duration::from_secs(4);

/// How long a killed agent may take to exit.
const KILLED_GRACE: Duration = Duration::from_secs(1);

/// How long a socket may take to have room for another connection. If its owner is stopped or busy,
/// its queue is full, and a blocking connect would never return.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The interval between two attempts to connect to a full queue.
const CONNECT_POLL: Duration = Duration::from_millis(20);

/// Connects to a Unix socket, waiting at most `timeout` for room in its queue.
pub(crate) fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let until = Instant::now() + timeout;
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => break,
            Err(Errno::AGAIN) if Instant::now() < until => thread::sleep(CONNECT_POLL),
            Err(Errno::AGAIN) => {
                let seconds = timeout.as_secs();
                let reason = format!("its queue of connections stayed full for {seconds} s");
                return Err(io::Error::new(ErrorKind::TimedOut, reason));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Why a transport could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The agent could not be started.
    #[error("cannot start the agent `{}`: {error}", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The socket or the line could not be opened.
    #[error("cannot reach the agent at `{}`: {error}", .path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A byte stream in both directions between a host and an agent.
#[derive(Debug)]
pub struct Transport {
    pub(crate) reader: Port,
    pub(crate) writer: Port,
    pub(crate) ending: Ending,
    /// Whether other hosts may have used the line before, and the line stays open when its agent
    /// ends. The port of a virtual machine is such a line, whether it is a socket or a device.
    pub(crate) shared: bool,
}

/// The handles that end a transport.
#[derive(Debug)]
pub(crate) struct Ending {
    reader: Shutter,
    writer: Shutter,
    child: Option<Child>,
}

impl Transport {
    /// Starts an agent and uses its standard input and output. Its standard error is that of the
    /// command, by default inherited.
    ///
    /// # Errors
    /// [`TransportError::Spawn`].
    pub fn spawn(mut command: Command) -> Result<Transport, TransportError> {
        let program = PathBuf::from(command.get_program());
        let failed = |error| TransportError::Spawn {
            program: program.clone(),
            error,
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| failed(ErrorKind::BrokenPipe.into()))?;
        let (input, output) = (OwnedFd::from(input), OwnedFd::from(output));
        enlarge_pipe(&input);
        enlarge_pipe(&output);
        match Transport::of(Arc::new(output), Arc::new(input)) {
            Ok(transport) => Ok(transport.with_child(child)),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(failed(error))
            }
        }
    }

    /// Connects to an agent, or a virtual machine's serial port, on a Unix socket.
    ///
    /// # Errors
    /// [`TransportError::Open`].
    pub fn unix(path: &Path) -> Result<Transport, TransportError> {
        let open = || Transport::stream(connect(path, CONNECT_MAX)?);
        open().map_err(|error| TransportError::Open {
            path: path.to_owned(),
            error,
        })
    }

    /// Opens a serial line, or connects to a socket if the path is one, as the port of a virtual
    /// machine can be.
    ///
    /// # Errors
    /// [`TransportError::Open`].
    pub fn serial(path: &Path) -> Result<Transport, TransportError> {
        let open = || {
            let kind = std::fs::metadata(path)?.file_type();
            if kind.is_socket() {
                return Transport::stream(connect(path, CONNECT_MAX)?);
            }
            // A regular file would receive the messages as its content.
            if !kind.is_char_device() {
                let reason = "it is neither a character device nor a socket";
                return Err(io::Error::new(ErrorKind::InvalidInput, reason));
            }
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let fd = Arc::new(rustix::fs::open(path, flags, Mode::empty())?);
            crate::port::make_raw(&fd)?;
            Transport::of(fd.clone(), fd)
        };
        let shared = |transport| Transport {
            shared: true,
            ..transport
        };
        open().map(shared).map_err(|error| TransportError::Open {
            path: path.to_owned(),
            error,
        })
    }

    /// Uses a connected stream.
    ///
    /// # Errors
    /// If the process is out of descriptors.
    pub fn stream(stream: UnixStream) -> io::Result<Transport> {
        let fd = Arc::new(OwnedFd::from(stream));
        Transport::of(fd.clone(), fd)
    }

    fn of(input: Arc<OwnedFd>, output: Arc<OwnedFd>) -> io::Result<Transport> {
        // Non-blocking, so that a stalled write can be abandoned when the link is closed.
        let flags = rustix::fs::fcntl_getfl(&*output)?;
        rustix::fs::fcntl_setfl(&*output, flags | OFlags::NONBLOCK)?;
        let (reader, shut_reader) = port(input)?;
        let (writer, shut_writer) = port(output)?;
        let ending = Ending {
            reader: shut_reader,
            writer: shut_writer,
            child: None,
        };
        Ok(Transport {
            reader,
            writer,
            ending,
            shared: false,
        })
    }

    fn with_child(mut self, child: Child) -> Transport {
        self.ending.child = Some(child);
        self
    }
}

impl Ending {
    /// Ends the output at once.
    pub(crate) fn shut_writer(&self) {
        self.writer.shut();
    }

    /// Ends the input at once.
    pub(crate) fn shut_reader(&self) {
        self.reader.shut();
    }

    /// Waits for an agent that was started here, and kills it if it does not exit within `grace`.
    pub(crate) fn reap(&mut self, grace: Duration) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        if let Some(status) = wait(&mut child, grace) {
            return Some(status);
        }
        let _ = child.kill();
        // A killed process that does not exit is stuck in the kernel. It is not waited for.
        wait(&mut child, KILLED_GRACE)
    }
}

/// Whether a child is stopped and so cannot exit by itself. Known on Linux only; elsewhere `false`.
fn is_stopped(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()));
    let state = |stat: &str| stat.rsplit_once(") ")?.1.chars().next();
    stat.is_ok_and(|stat| matches!(state(&stat), Some('T' | 't')))
}

/// Waits for the exit of a child that is not stopped, at most for `timeout`.
fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + timeout;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= until || is_stopped(child) {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shut_writer();
        self.shut_reader();
        self.reap(AGENT_GRACE);
    }
}
