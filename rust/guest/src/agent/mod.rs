//! The agent, which runs inside the guest and serves the requests of hosts.
//!
//! ```no_run
//! use antiphon_guest::agent::{AgentOptions, Place, serve};
//!
//! // Serves one host on standard input and output and returns when it is gone.
//! serve(&Place::Stdio, &AgentOptions::default())?;
//! # Ok::<(), antiphon_guest::agent::AgentError>(())
//! ```
//!
//! A host may run commands ([`antiphon_wire::ExecRequest`]) and work on files (`fs_*`). Every
//! request gets exactly one terminal message. When the host goes away, its commands are killed and
//! its files are closed. Then, except on standard input and output, the next host is served.

mod connection;
mod descendants;
mod exec;
mod files;
mod process;
mod program;
mod stop;

use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_wire::{Envelope, ErrorCode, ErrorReply, IDS_MAX, LINK_ID, Message};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;

pub use connection::HANDSHAKE_MAX;
use connection::{Ended, Line};
pub use exec::{KILL_GRACE, LINGER};
use process::ProcessTable;
pub use program::run;
pub use stop::Stop;

use crate::port::port;
use crate::wake::{Sleeper, wake_pair};

/// The default number of hosts that an agent on a socket serves at once.
pub const HOSTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// How long a stopped agent waits for its hosts' threads: longer than a killed command may take to
/// exit and its last messages to be written.
const STOP_GRACE: Duration = Duration::from_secs(6);

/// The directory with the names of virtio-serial ports.
const PORTS: &str = "/sys/class/virtio-ports";

/// The interval at which an agent on a port checks for a host. The kernel has no event for it.
const HOST_POLL: Duration = Duration::from_millis(20);

/// Where an agent serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Standard input and output. The agent ends with its host.
    Stdio,
    /// A Unix socket, created with mode 0600. A socket without a listener is replaced.
    Unix(PathBuf),
    /// A serial line or virtio-serial port by its path.
    Serial(PathBuf),
    /// A virtio-serial port by the name that the virtual machine gives it.
    PortName(String),
}

/// The limits of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentOptions {
    /// The most requests that one host may have open at once. One more is answered with `busy`.
    pub requests_max: NonZeroU32,
    /// The most hosts that an agent on a socket serves at once. One more is refused with `busy`.
    pub hosts_max: NonZeroUsize,
    /// Whether to reap orphans that the kernel hands to this process. Needed in process 1 and in a
    /// subreaper, and wrong elsewhere: it reaps every child that the agent did not start.
    pub reap_orphans: bool,
    /// Stops the agent from another thread.
    pub stop: Stop,
}

impl Default for AgentOptions {
    fn default() -> AgentOptions {
        AgentOptions {
            requests_max: NonZeroU32::MIN.saturating_add(IDS_MAX - 1),
            hosts_max: HOSTS_MAX,
            reap_orphans: false,
            stop: Stop::default(),
        }
    }
}

/// Why an agent cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The socket cannot be listened on.
    #[error("cannot listen on `{}`: {error}", .path.display())]
    Listen {
        /// The socket's path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The serial line cannot be opened.
    #[error("cannot open `{}`: {error}", .path.display())]
    Open {
        /// The line's path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No virtio-serial port has this name.
    #[error("no virtio-serial port is named `{name}`; the names are in {PORTS}/*/name")]
    NoPort {
        /// The name.
        name: String,
    },
    /// The process is out of threads or descriptors.
    #[error("cannot serve: {0}")]
    Resources(#[from] io::Error),
}

/// Serves hosts: one on [`Place::Stdio`], elsewhere any number until [`Stop::stop`] is called.
///
/// A program that is only an agent calls [`run`], which also handles signals.
///
/// # Errors
/// If the place cannot be used, or the process is out of resources at the start. A later shortage
/// only ends the connection of a host.
pub fn serve(place: &Place, options: &AgentOptions) -> Result<(), AgentError> {
    let processes = ProcessTable::default();
    if options.reap_orphans {
        processes.reap_orphans()?;
    }
    match place {
        Place::Stdio => {
            let input = io::stdin().as_fd().try_clone_to_owned()?;
            let output = io::stdout().as_fd().try_clone_to_owned()?;
            Ok(serve_pair(input, output, options, &processes)?)
        }
        Place::Unix(path) => serve_socket(path, options, &processes),
        Place::Serial(path) => serve_line(path, options, &processes),
        Place::PortName(name) => {
            let path = port_of(name).ok_or_else(|| AgentError::NoPort { name: name.clone() })?;
            serve_line(&path, options, &processes)
        }
    }
}

/// Serves one host on an open stream and returns when the host is gone. For a process that embeds
/// an agent.
///
/// # Errors
/// If the process is out of threads or descriptors.
pub fn serve_stream(stream: UnixStream, options: &AgentOptions) -> Result<(), AgentError> {
    let stream = Arc::new(OwnedFd::from(stream));
    Ok(serve_connected(&stream, options, &ProcessTable::default())?)
}

fn serve_connected(
    stream: &Arc<OwnedFd>,
    options: &AgentOptions,
    processes: &ProcessTable,
) -> io::Result<()> {
    rustix::io::ioctl_fionbio(stream, true)?;
    let (reader, writer) = (port(stream.clone())?, port(stream.clone())?);
    connection::serve(reader, writer, Line::Private, options, processes).map(|_| ())
}

fn serve_pair(
    input: OwnedFd,
    output: OwnedFd,
    options: &AgentOptions,
    processes: &ProcessTable,
) -> io::Result<()> {
    crate::port::enlarge_pipe(&input);
    crate::port::enlarge_pipe(&output);
    let (reader, writer) = (port(Arc::new(input))?, port(Arc::new(output))?);
    connection::serve(reader, writer, Line::Private, options, processes).map(|_| ())
}

fn serve_socket(
    path: &Path,
    options: &AgentOptions,
    processes: &ProcessTable,
) -> Result<(), AgentError> {
    let failed = |error| AgentError::Listen {
        path: path.to_owned(),
        error,
    };
    let (waker, sleeper) = wake_pair()?;
    let listener = listen(path).map_err(failed)?;
    // A host may be gone before it is accepted. Accepting must then not block.
    listener.set_nonblocking(true)?;
    let made = identity(path);
    let stopping = options.stop.on_stop(move || waker.wake());
    let hosts = Hosts::default();
    let mut spare = Spare::default();
    let mut ended = Ok(());
    while !options.stop.is_stopped() {
        if let Err(error) = wait_for_connection(&listener, &sleeper) {
            ended = Err(failed(error));
            break;
        }
        match listener.accept() {
            Ok((stream, _)) => hosts.serve(stream, options, processes),
            Err(error) => {
                spare.refuse(&listener, &error);
                // The host is gone already, or the process is out of resources. Retrying at once
                // would spin.
                thread::sleep(HOST_POLL);
            }
        }
    }
    drop(stopping);
    // Another agent may have replaced the socket since.
    if made.is_some() && identity(path) == made {
        let _ = std::fs::remove_file(path);
    }
    hosts.wait(STOP_GRACE);
    ended
}

/// Waits until a host connects or the agent is stopped.
fn wait_for_connection(listener: &UnixListener, sleeper: &Sleeper) -> io::Result<()> {
    let mut fds = [
        PollFd::new(listener, PollFlags::IN),
        PollFd::new(sleeper, PollFlags::IN),
    ];
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        // The kernel is out of memory for the moment.
        Err(Errno::NOMEM) => {
            thread::sleep(HOST_POLL);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// The device and inode of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::symlink_metadata(path).ok()?;
    Some((about.dev(), about.ino()))
}

/// The hosts of an agent on a socket.
#[derive(Clone, Default)]
struct Hosts(Arc<(Mutex<usize>, Condvar)>);

/// A host that is counted until this is dropped.
struct Counted(Hosts);

impl Hosts {
    /// Serves a host in its own thread, or refuses it.
    fn serve(&self, stream: UnixStream, options: &AgentOptions, processes: &ProcessTable) {
        let stream = Arc::new(OwnedFd::from(stream));
        let max = options.hosts_max.get();
        let Some(counted) = self.count(max) else {
            let reason = format!("the limit of {max} hosts (`--hosts-max`) is reached");
            return refuse(&stream, &reason);
        };
        let (options, processes, served) = (options.clone(), processes.clone(), stream.clone());
        let serving = thread::Builder::new().name("host".into()).spawn(move || {
            let _counted = counted;
            if let Err(error) = serve_connected(&served, &options, &processes) {
                refuse(
                    &served,
                    &format!("the agent is short of resources: {error}"),
                );
            }
        });
        if let Err(error) = serving {
            refuse(
                &stream,
                &format!("the agent has no thread for another host: {error}"),
            );
        }
    }

    fn count(&self, max: usize) -> Option<Counted> {
        let mut count = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Counted(self.clone()))
    }

    /// Waits until all hosts are gone, at most for `timeout`.
    fn wait(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        let (count, changed) = &*self.0;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = changed.wait_timeout(count, left);
            count = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let (count, changed) = &*self.0.0;
        *count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        changed.notify_all();
    }
}

/// A descriptor in reserve. When the process is out of descriptors, it is closed so that one more
/// connection can be accepted and refused. Without it the host would wait for an answer.
struct Spare(Option<OwnedFd>);

impl Default for Spare {
    fn default() -> Spare {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Spare(rustix::fs::open("/dev/null", flags, Mode::empty()).ok())
    }
}

impl Spare {
    /// Refuses a host that could not be accepted because the process is out of descriptors.
    fn refuse(&mut self, listener: &UnixListener, error: &io::Error) {
        if !matches!(
            Errno::from_io_error(error),
            Some(Errno::MFILE | Errno::NFILE)
        ) {
            return;
        }
        self.0 = None;
        if let Ok((stream, _)) = listener.accept() {
            let stream = OwnedFd::from(stream);
            refuse(
                &stream,
                &format!("the agent is short of resources: {error}"),
            );
        }
        *self = Spare::default();
    }
}

/// Sends a new host the reason why it is not served.
fn refuse(stream: &OwnedFd, reason: &str) {
    let reply = ErrorReply::new(ErrorCode::Busy, reason.to_owned());
    if let Ok(frame) = Envelope::new(LINK_ID, Message::Error(reply)).to_frame() {
        // The buffer of a new connection has room for it. If the host is gone, the error does not
        // matter.
        let _ = rustix::net::send(stream, &frame, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let stale = std::fs::symlink_metadata(path).is_ok_and(|meta| {
        use std::os::unix::fs::FileTypeExt;
        // A socket whose queue is full has a listener, although a slow one.
        let is_dead = |error: io::Error| error.kind() != io::ErrorKind::TimedOut;
        let asked = crate::transport::connect(path, Duration::ZERO);
        meta.file_type().is_socket() && asked.err().is_some_and(is_dead)
    });
    if stale {
        std::fs::remove_file(path)?;
    }
    // Created under a temporary name and then linked, so that it never has other permissions at its
    // path.
    let made = path.with_extension(format!("{}.new", std::process::id()));
    let listener = UnixListener::bind(&made)?;
    let moved = rustix::fs::chmod(&made, Mode::RUSR | Mode::WUSR)
        .map_err(io::Error::from)
        .and_then(|()| std::fs::hard_link(&made, path));
    std::fs::remove_file(&made)?;
    moved.map(|()| listener)
}

fn serve_line(
    path: &Path,
    options: &AgentOptions,
    processes: &ProcessTable,
) -> Result<(), AgentError> {
    let failed = |error: Errno| AgentError::Open {
        path: path.to_owned(),
        error: error.into(),
    };
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = Arc::new(rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?);
    crate::port::make_raw(&fd).map_err(failed)?;
    let (waker, sleeper) = wake_pair()?;
    let _stopping = options.stop.on_stop(move || waker.wake());
    let mut first = None;
    while !options.stop.is_stopped() {
        if first.is_none() {
            wait_for_host(&fd, &sleeper)?;
        }
        let line = Line::Shared(first);
        let serve = || {
            connection::serve(
                port(fd.clone())?,
                port(fd.clone())?,
                line,
                options,
                processes,
            )
        };
        first = match serve() {
            Ok(Ended::Next(next)) => Some(next),
            Ok(Ended::Gone) => None,
            // The process is out of threads or descriptors. The host repeats its `hello`.
            Err(_) => {
                thread::sleep(HOST_POLL);
                None
            }
            Ok(Ended::Broken) => {
                // The start of the next message is not known. What was received is dropped; a new
                // host repeats its `hello`.
                thread::sleep(HOST_POLL);
                discard(&fd);
                None
            }
        };
    }
    Ok(())
}

/// Waits until a host has sent something, or the agent is stopped. A port without a host is always
/// readable and empty.
fn wait_for_host(fd: &OwnedFd, sleeper: &Sleeper) -> io::Result<()> {
    loop {
        let mut fds = [
            PollFd::new(fd, PollFlags::IN),
            PollFd::new(sleeper, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) if fds[1].revents().contains(PollFlags::IN) => return Ok(()),
            Ok(_) if fds[0].revents() == PollFlags::IN => return Ok(()),
            Ok(_) | Err(Errno::NOMEM) => thread::sleep(HOST_POLL),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn discard(fd: &OwnedFd) {
    let mut sink = [0; 4096];
    // Bounded, so that a host that sends without pause cannot keep the agent here.
    for _ in 0..1024 {
        if !matches!(rustix::io::read(fd, &mut sink), Ok(1..)) {
            return;
        }
    }
}

fn port_of(name: &str) -> Option<PathBuf> {
    std::fs::read_dir(PORTS).ok()?.flatten().find_map(|entry| {
        let found = std::fs::read_to_string(entry.path().join("name")).ok()?;
        (found.trim_end() == name).then(|| Path::new("/dev").join(entry.file_name()))
    })
}
