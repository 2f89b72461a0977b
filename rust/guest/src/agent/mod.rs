//! The agent: what runs inside the guest and does what a host asks.
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
//! request gets exactly one terminal message. When the host goes away, what it started is killed,
//! its files are closed, and, except on standard input and output, the next host is served.

mod connection;
mod exec;
mod files;
mod process;

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use antiphon_wire::IDS_MAX;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use connection::{Ended, Line};
pub use exec::{KILL_GRACE, LINGER};
use process::Nursery;

use crate::port::port;

/// Hosts that an agent on a socket serves at once. Each may run as many commands as the options
/// say.
pub const HOSTS_MAX: usize = 16;

/// Where virtio-serial ports have their names.
const PORTS: &str = "/sys/class/virtio-ports";

/// How long an agent on a port waits before it looks again for a host that is not there: the kernel
/// offers nothing to wait for.
const HOST_POLL: Duration = Duration::from_millis(20);

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Standard input and output. The agent ends with its host.
    Stdio,
    /// A Unix socket, made with mode 0600. A socket that nobody listens on any more is replaced.
    Unix(PathBuf),
    /// A serial line or virtio-serial port by its path.
    Serial(PathBuf),
    /// A virtio-serial port by the name that the virtual machine gives it.
    PortName(String),
}

/// What an agent allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentOptions {
    /// Requests that one host may have open at once; with 1 a second one is answered `busy`.
    pub requests_max: NonZeroU32,
    /// Whether orphans that the kernel hands to this process are reaped. Needed for process 1 and
    /// for a subreaper, and wrong elsewhere: it takes the exit status of every child that the agent
    /// did not start.
    pub reap_orphans: bool,
}

impl Default for AgentOptions {
    fn default() -> AgentOptions {
        AgentOptions {
            requests_max: NonZeroU32::MIN.saturating_add(IDS_MAX - 1),
            reap_orphans: false,
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
    /// No virtio-serial port has that name.
    #[error("no virtio-serial port is named `{name}`; the names are in {PORTS}/*/name")]
    NoPort {
        /// The name.
        name: String,
    },
    /// The process is out of threads or descriptors.
    #[error("cannot serve: {0}")]
    Resources(#[from] io::Error),
}

/// Serves hosts at that place: on [`Place::Stdio`] one, elsewhere one after the other, for ever.
///
/// # Errors
/// When the place cannot be used, or the process is out of resources.
pub fn serve(place: &Place, options: &AgentOptions) -> Result<(), AgentError> {
    let nursery = Nursery::default();
    if options.reap_orphans {
        nursery.reap_orphans()?;
    }
    match place {
        Place::Stdio => {
            let input = io::stdin().as_fd().try_clone_to_owned()?;
            let output = io::stdout().as_fd().try_clone_to_owned()?;
            Ok(serve_pair(input, output, options, &nursery)?)
        }
        Place::Unix(path) => serve_socket(path, options, &nursery),
        Place::Serial(path) => serve_line(path, options, &nursery),
        Place::PortName(name) => {
            let path = port_of(name).ok_or_else(|| AgentError::NoPort { name: name.clone() })?;
            serve_line(&path, options, &nursery)
        }
    }
}

/// Serves one host on an open stream and returns when it is gone. For an agent inside another
/// process.
///
/// # Errors
/// When the process is out of threads or descriptors.
pub fn serve_stream(stream: UnixStream, options: &AgentOptions) -> Result<(), AgentError> {
    Ok(serve_connected(stream, options, &Nursery::default())?)
}

fn serve_connected(
    stream: UnixStream,
    options: &AgentOptions,
    nursery: &Nursery,
) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let fd = Arc::new(OwnedFd::from(stream));
    let (reader, _) = port(fd.clone())?;
    connection::serve(reader, port(fd)?, Line::Private, options, nursery).map(|_| ())
}

fn serve_pair(
    input: OwnedFd,
    output: OwnedFd,
    options: &AgentOptions,
    nursery: &Nursery,
) -> io::Result<()> {
    crate::port::widen(&input);
    crate::port::widen(&output);
    let (reader, _) = port(Arc::new(input))?;
    let ended = connection::serve(
        reader,
        port(Arc::new(output))?,
        Line::Private,
        options,
        nursery,
    );
    ended.map(|_| ())
}

fn serve_socket(path: &Path, options: &AgentOptions, nursery: &Nursery) -> Result<(), AgentError> {
    let listener = listen(path).map_err(|error| AgentError::Listen {
        path: path.to_owned(),
        error,
    })?;
    let hosts = Arc::new(AtomicUsize::new(0));
    loop {
        let (stream, _) = match listener.accept() {
            Ok(accepted) => accepted,
            // Out of descriptors, or the host is gone already: the next one may have more luck.
            Err(_) => {
                thread::sleep(HOST_POLL);
                continue;
            }
        };
        if hosts.fetch_add(1, Ordering::AcqRel) >= HOSTS_MAX {
            hosts.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (hosts, options, nursery) = (hosts.clone(), options.clone(), nursery.clone());
        thread::Builder::new().name("host".into()).spawn(move || {
            // An error here is this host's end and nobody else's.
            let _ = serve_connected(stream, &options, &nursery);
            hosts.fetch_sub(1, Ordering::AcqRel);
        })?;
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let stale = std::fs::symlink_metadata(path).is_ok_and(|meta| {
        use std::os::unix::fs::FileTypeExt;
        meta.file_type().is_socket() && UnixStream::connect(path).is_err()
    });
    if stale {
        std::fs::remove_file(path)?;
    }
    // Made under a name of its own and then moved: at its path it is never open to others.
    let made = path.with_extension(format!("{}.new", std::process::id()));
    let listener = UnixListener::bind(&made)?;
    let moved = rustix::fs::chmod(&made, Mode::RUSR | Mode::WUSR)
        .map_err(io::Error::from)
        .and_then(|()| std::fs::hard_link(&made, path));
    std::fs::remove_file(&made)?;
    moved.map(|()| listener)
}

fn serve_line(path: &Path, options: &AgentOptions, nursery: &Nursery) -> Result<(), AgentError> {
    let failed = |error: Errno| AgentError::Open {
        path: path.to_owned(),
        error: error.into(),
    };
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = Arc::new(rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?);
    crate::port::make_raw(&fd).map_err(failed)?;
    let mut first = None;
    loop {
        if first.is_none() {
            wait_for_host(&fd)?;
        }
        let (reader, _) = port(fd.clone())?;
        let line = Line::Shared(first);
        first = match connection::serve(reader, port(fd.clone())?, line, options, nursery)? {
            Ended::Next(next) => Some(next),
            Ended::Gone => None,
            Ended::Broken => {
                // Where the next message begins is not known; a host that begins anew waits for an
                // answer.
                thread::sleep(HOST_POLL);
                discard(&fd);
                None
            }
        };
    }
}

/// Waits until a host has sent something. Without a host a port is readable all the time and holds
/// nothing.
fn wait_for_host(fd: &OwnedFd) -> io::Result<()> {
    loop {
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) if fds[0].revents() == PollFlags::IN => return Ok(()),
            Ok(_) => thread::sleep(HOST_POLL),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn discard(fd: &OwnedFd) {
    let mut sink = [0; 4096];
    // A host that floods the line is served garbage in return, in turns.
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
