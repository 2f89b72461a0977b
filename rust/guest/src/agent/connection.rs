//! The connection of one host: its requests and their answers.
//!
//! The reader thread receives messages and starts the work that they request. Each command has its
//! own thread, and file requests share one. A thread that sends a message passes it to the link and
//! to the queue of the writer thread under one lock, so messages are written in the order in which
//! the link saw them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::num::NonZeroU32;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_wire::{
    AgentEvent, AgentLink, AgentOffer, Deframer, Envelope, ErrorCode, ErrorReply, ExecRequest,
    ExecResponse, FRAME_OVERHEAD_LEN, Feature, Features, FollowUp, FrameError, HostRequest,
    LinkViolation, Message, Phase, Signo, StdinWindow, Stream, VersionRange, WINDOW, data_len_max,
    truncated,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::io::Errno;

use super::AgentOptions;
use super::exec::{self, Control, Host, Job, KILL_GRACE, Order, Outcome, Pipe, Ticket};
use super::files::{FileRequest, Files};
use super::process::{Launch, LaunchError, ProcessTable, signal_of};
use crate::outbox::Outbox;
use crate::port::{Port, STALL_MAX, Shutter};

/// The most bytes of one read from the transport.
const READ_LEN: usize = 256 << 10;

/// The most bytes that may wait for the transport while the connection still reads messages and
/// serves file requests: a few large results.
///
/// Only these can exceed the bound: the answers to the messages of one read, one file result, and
/// for each command the chunks that its thread counts ([`Ticket`]).
const BACKLOG_MAX: usize = 8 << 20;

/// How long the queued messages may take to be written after the host has ended its input.
const FLUSH_GRACE: Duration = Duration::from_secs(1);

/// How long a connection may take to send a `hello`. A host sends it first; a connection without
/// one must not count against the limit of hosts. A shared line has no such bound: it is silent as
/// long as it has no host.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Capacity of the queue of the file thread, in addition to the number of requests that a host may
/// have open. Above it the reader waits, so that the data of the requests is bounded.
const FILE_REQUESTS_SPARE: usize = 4;

/// The number of input bytes that must be consumed before the host gets credit for them: an eighth
/// of the default window, so that single bytes do not each cost a message.
const ACK_LEN_MIN: u64 = (WINDOW / 8) as u64;

/// The most bytes of the message in an `error`.
const REASON_LEN_MAX: usize = 1024;

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The host is gone.
    Gone,
    /// The host violated a rule, closed the link, or was refused.
    Broken,
    /// Another host has started to use the same stream.
    Next(Box<NextHost>),
}

/// The hosts of a stream.
#[derive(Debug)]
pub(crate) enum Line {
    /// Only one host uses the stream.
    Private,
    /// Several hosts use the stream, one after the other, so another `hello` comes from a new host.
    /// Holds the host that has started already, if any.
    Shared(Option<Box<NextHost>>),
}

/// A host that has started to use the stream of another one.
#[derive(Debug)]
pub(crate) struct NextHost {
    hello: Envelope,
    deframer: Deframer,
}

/// Serves one host until it is gone. When this returns, all work of the host has ended, except
/// processes that are stuck in the kernel.
pub(crate) fn serve(
    (mut reader, shut_reader): (Port, Shutter),
    writer: (Port, Shutter),
    line: Line,
    options: &AgentOptions,
    processes: &ProcessTable,
) -> io::Result<Ended> {
    let (shared_line, first) = match line {
        Line::Private => (false, None),
        Line::Shared(first) => (true, first),
    };
    let shared = Arc::new(Shared {
        inner: Mutex::new(Inner {
            link: AgentLink::new(offer(options)),
            running: BTreeMap::new(),
            ended: BTreeSet::new(),
        }),
        changed: Condvar::new(),
        outbox: Outbox::new(BACKLOG_MAX),
    });
    let (port, shutter) = writer;
    let writing = start_writer(port, &shared)?;
    let stopping = options.stop.on_stop({
        let shared = shared.clone();
        move || {
            shared.shut_down();
            shut_reader.shut();
        }
    });
    let mut connection = Connection {
        shared: shared.clone(),
        processes,
        filing: None,
        requests_max: options.requests_max,
        shared_line,
    };
    let ended = connection.read_loop(&mut reader, first);
    connection.stop();
    drop(connection);
    drop(stopping);
    finish_writer(&shared, writing, &shutter);
    Ok(ended)
}

fn offer(options: &AgentOptions) -> AgentOffer {
    let features = Features::of([Feature::Exec, Feature::Files]);
    let os = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut offer = AgentOffer::new(features, os, version);
    offer.ids_max = options.requests_max;
    offer
}

/// The state that the threads of a connection share.
struct Shared {
    inner: Mutex<Inner>,
    /// Notified when a command has ended.
    changed: Condvar,
    /// The queue of the writer thread.
    outbox: Outbox<Option<Ticket>>,
}

struct Inner {
    link: AgentLink,
    running: BTreeMap<u32, Control>,
    /// Commands that ended before they were entered into `running`.
    ended: BTreeSet<u32>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `write` with the link, and queues what it wrote before another thread can write.
    fn with_link<T>(
        &self,
        ticket: Option<Ticket>,
        write: impl FnOnce(&mut AgentLink, &mut Vec<u8>) -> T,
    ) -> T {
        let mut inner = self.lock();
        let mut bytes = Vec::new();
        let result = write(&mut inner.link, &mut bytes);
        self.outbox.push(bytes, ticket);
        result
    }

    /// Sends a message of a request. If a terminal message is too large for the host, sends an
    /// `error` instead.
    fn send(&self, id: u32, message: Message) {
        self.with_link(None, |link, out| {
            let terminal = matches!(message, Message::OpResult(_) | Message::ExecResponse(_));
            if let Err(error) = link.send(id, message, out)
                && terminal
            {
                let reply = ErrorReply::new(ErrorCode::TooLarge, error.to_string());
                // If the link has ended, the error cannot be sent either.
                let _ = link.send(id, Message::Error(reply), out);
            }
        });
    }

    /// Closes the link with `shutting_down` and ends the connection.
    fn shut_down(&self) {
        let reason = "the agent is shutting down".to_owned();
        let reply = ErrorReply::new(ErrorCode::ShuttingDown, reason);
        self.with_link(None, |link, out| link.close(reply, out));
        self.outbox.stop_waiting();
    }
}

fn start_writer(port: Port, shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("writer".into())
        .spawn(move || shared.outbox.write_loop(port, || {}))
}

/// Closes the queue, gives its messages some time to be written, and ends the writer.
fn finish_writer(shared: &Shared, writing: JoinHandle<()>, shutter: &Shutter) {
    shared.outbox.close();
    let until = Instant::now() + FLUSH_GRACE;
    shared.outbox.wait_until_empty(until);
    shutter.shut();
    // A write to a blocking pipe cannot be interrupted. Its thread is then abandoned, because the
    // process is about to exit.
    let mut pause = Duration::from_micros(20);
    while !writing.is_finished() && Instant::now() < until + FLUSH_GRACE {
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    if writing.is_finished() {
        let _ = writing.join();
    }
}

/// The state of the reader thread.
struct Connection<'a> {
    shared: Arc<Shared>,
    processes: &'a ProcessTable,
    /// The queue of the file thread, which starts with the first file request.
    filing: Option<Sender<(u32, FileRequest)>>,
    requests_max: NonZeroU32,
    /// Whether another `hello` means that another host has started.
    shared_line: bool,
}

/// Whether a connection continues.
enum Next {
    On,
    Stop(Ended),
    Restart(Envelope),
}

impl Connection<'_> {
    fn read_loop(&mut self, reader: &mut Port, first: Option<Box<NextHost>>) -> Ended {
        let mut deframer = Deframer::default();
        let mut buf = vec![0; READ_LEN];
        let mut next = Next::On;
        if let Some(begun) = first {
            deframer = begun.deframer;
            deframer.set_versions(VersionRange::SUPPORTED);
            next = self.receive(begun.hello, &mut deframer);
        }
        let begun = Instant::now();
        loop {
            match next {
                Next::On => {}
                Next::Stop(ended) => return ended,
                Next::Restart(hello) => return Ended::Next(Box::new(NextHost { hello, deframer })),
            }
            next = match deframer.next() {
                Ok(Some(envelope)) => self.receive(envelope, &mut deframer),
                Err(error) => self.reject(error),
                Ok(None) => {
                    self.shared.outbox.wait_for_room();
                    match reader.read_within(&mut buf, self.timeout(begun, &deframer)) {
                        Err(error) if error.kind() == ErrorKind::TimedOut && !self.shared_line => {
                            self.refuse_silent();
                            Next::Stop(Ended::Gone)
                        }
                        Ok(0) | Err(_) => Next::Stop(Ended::Gone),
                        Ok(len) => {
                            deframer.push(buf.get(..len).unwrap_or_default());
                            Next::On
                        }
                    }
                }
            };
        }
    }

    /// How long the next bytes may take to arrive.
    fn timeout(&self, begun: Instant, deframer: &Deframer) -> Option<Duration> {
        if self.shared_line {
            // An unfinished message must not block a line that other hosts use afterwards.
            return (deframer.held_len() > 0).then_some(STALL_MAX);
        }
        let is_waiting = self.shared.lock().link.phase() == Phase::Handshake;
        is_waiting.then(|| HANDSHAKE_MAX.saturating_sub(begun.elapsed()))
    }

    /// Closes the link with the reason for a peer that has not sent a `hello`.
    fn refuse_silent(&self) {
        let seconds = HANDSHAKE_MAX.as_secs();
        let reason = format!("no `hello` came within {seconds} s");
        let reply = ErrorReply::new(ErrorCode::TimedOut, reason);
        self.shared
            .with_link(None, |link, out| link.close(reply, out));
    }

    fn receive(&mut self, envelope: Envelope, deframer: &mut Deframer) -> Next {
        let hello = matches!(envelope.message, Message::Hello(_));
        if hello && self.shared_line && self.shared.lock().link.phase() == Phase::Ready {
            return Next::Restart(envelope);
        }
        match self
            .shared
            .with_link(None, |link, out| link.receive(envelope, out))
        {
            Ok(event) => self.on_event(event, deframer),
            Err(violation) => self.on_violation(&violation),
        }
    }

    fn reject(&mut self, error: FrameError) -> Next {
        match self
            .shared
            .with_link(None, |link, out| link.reject(error, out))
        {
            Ok(_answered) => Next::On,
            Err(violation) => self.on_violation(&violation),
        }
    }

    /// Handles a violation by the host: stops its request, or the connection.
    fn on_violation(&mut self, violation: &LinkViolation) -> Next {
        if violation.fatal {
            return Next::Stop(Ended::Broken);
        }
        // The reason is sent first. Otherwise the terminal message of the killed command would come
        // before it.
        self.shared
            .send(violation.id, Message::Error(violation.reply()));
        self.order(violation.id, Order::Cancel);
        Next::On
    }

    fn on_event(&mut self, event: AgentEvent, deframer: &mut Deframer) -> Next {
        match event {
            AgentEvent::Ready(agreed) => {
                let version = agreed.version;
                deframer.set_versions(VersionRange {
                    min: version,
                    max: version,
                });
            }
            AgentEvent::Request { id, request } => self.request(id, request),
            AgentEvent::FollowUp { id, follow_up } => self.follow_up(id, follow_up),
            AgentEvent::Pinged | AgentEvent::Ponged { .. } | AgentEvent::Settled { .. } => {}
            AgentEvent::Refused(_) | AgentEvent::Closing(_) => return Next::Stop(Ended::Broken),
        }
        Next::On
    }

    fn follow_up(&mut self, id: u32, follow_up: FollowUp) {
        let order = match follow_up {
            FollowUp::Stdin { data, eof } => Order::Input { data, eof },
            FollowUp::Credit {
                stream, granted, ..
            } => {
                let pipe = match stream {
                    Stream::Stdout => Pipe::Out,
                    Stream::Stderr => Pipe::Err,
                };
                Order::Credit {
                    pipe,
                    bytes: u64::from(granted),
                }
            }
            FollowUp::Signal(signo) => match signal_of(signo.number()) {
                Some(signal) => Order::Signal(signal),
                None => return,
            },
            FollowUp::Cancel => Order::Cancel,
        };
        self.order(id, order);
    }

    /// Passes an order to a command. File requests take no orders.
    fn order(&self, id: u32, order: Order) {
        // Not under the lock: if the queue of orders is full, the thread that empties it may need
        // the lock.
        let control = self.shared.lock().running.get(&id).cloned();
        if let Some(control) = control {
            control.order(order);
        }
    }

    fn request(&mut self, id: u32, request: HostRequest) {
        let request = match request {
            HostRequest::ExecRequest(request) => return self.exec(id, request),
            HostRequest::FsOpen(r) => FileRequest::Open(r),
            HostRequest::FsRead(r) => FileRequest::Read(r),
            HostRequest::FsWrite(r) => FileRequest::Write(r),
            HostRequest::FsSeek(r) => FileRequest::Seek(r),
            HostRequest::FsClose(r) => FileRequest::Close(r),
            HostRequest::FsStat(r) => FileRequest::Stat(r),
            HostRequest::FsReadFile(r) => FileRequest::ReadFile(r),
            HostRequest::FsWriteFile(r) => FileRequest::WriteFile(r),
            HostRequest::FsList(r) => FileRequest::List(r),
            HostRequest::FsMkdir(r) => FileRequest::Mkdir(r),
            HostRequest::FsUnlink(r) => FileRequest::Unlink(r),
            HostRequest::FsRename(r) => FileRequest::Rename(r),
            // Not reachable: the link answers pings, and refuses system calls, which were not
            // offered.
            HostRequest::Syscall(_) | HostRequest::Ping(_) => {
                let reason = format!("`{}` is not served here", request.kind());
                let reply = ErrorReply::new(ErrorCode::Unsupported, reason);
                return self.shared.send(id, Message::Error(reply));
            }
        };
        if let Err(error) = self.file(id, request) {
            let reason = format!("the agent has no thread for files: {error}");
            let reply = ErrorReply::new(ErrorCode::Busy, reason);
            self.shared.send(id, Message::Error(reply));
        }
    }

    fn exec(&mut self, id: u32, request: ExecRequest) {
        let credit = |window: Option<u32>| window.map_or(u64::MAX, u64::from);
        let job = Job {
            deadline: request
                .deadline_ms
                .map(|ms| Duration::from_millis(ms.get().into())),
            credit: [credit(request.stdout_window), credit(request.stderr_window)],
            launch: Launch {
                cmd: request.cmd,
                argv: request.argv.unwrap_or_default(),
                env: request.env.unwrap_or_default(),
                cwd: request.cwd,
                stdin: request.stdin.unwrap_or(false),
            },
        };
        let host = CommandHost {
            id,
            shared: self.shared.clone(),
            unacknowledged: 0,
        };
        // Not under the lock, because starting may take long.
        match exec::start(self.processes, &job, host) {
            Ok(control) => {
                let mut inner = self.shared.lock();
                // The command may have ended already.
                if !inner.ended.remove(&id) {
                    inner.running.insert(id, control);
                }
            }
            Err(error) => self.shared.send(id, Message::Error(refusal(&error))),
        }
    }

    fn file(&mut self, id: u32, request: FileRequest) -> io::Result<()> {
        if self.filing.is_none() {
            let agreed = self
                .shared
                .lock()
                .link
                .agreed()
                .map(|agreed| agreed.peer_frame_len_max);
            let len = data_len_max(agreed.unwrap_or_default().bytes());
            let max = usize::try_from(self.requests_max.get()).unwrap_or(usize::MAX);
            let (orders, requests) = bounded(max.saturating_add(FILE_REQUESTS_SPARE));
            let shared = self.shared.clone();
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let files = Files::new(len);
            let thread = thread::Builder::new().name("files".into());
            thread.spawn(move || file_loop(files, &requests, &shared))?;
            self.filing = Some(orders);
        }
        if let Some(requests) = &self.filing {
            // The file thread ends only when this sender is dropped.
            let _ = requests.send((id, request));
        }
        Ok(())
    }

    /// Ends all work that the host has started.
    fn stop(&mut self) {
        let mut inner = self.shared.lock();
        let _ = inner.link.lost();
        let controls: Vec<Control> = inner.running.values().cloned().collect();
        drop(inner);
        for control in controls {
            control.order(Order::Cancel);
        }
        // One file operation may be in progress. Later ones see that the link has ended and do
        // nothing.
        self.filing = None;
        let until = Instant::now() + KILL_GRACE + FLUSH_GRACE;
        let mut inner = self.shared.lock();
        while !inner.running.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.changed.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn file_loop(mut files: Files, requests: &Receiver<(u32, FileRequest)>, shared: &Shared) {
    for (id, request) in requests {
        shared.outbox.wait_for_room();
        if shared.lock().link.phase() != Phase::Ready {
            return;
        }
        shared.send(id, Message::OpResult(files.serve(request)));
    }
}

/// Sends the messages of a command's thread.
struct CommandHost {
    id: u32,
    shared: Arc<Shared>,
    /// Input bytes consumed for which the host got no credit yet.
    unacknowledged: u64,
}

impl Host for CommandHost {
    fn output(&mut self, pipe: Pipe, data: Vec<u8>, ticket: Ticket) {
        let stream = match pipe {
            Pipe::Out => Stream::Stdout,
            Pipe::Err => Stream::Stderr,
        };
        self.shared.with_link(Some(ticket), |link, out| {
            out.reserve_exact(data.len() + FRAME_OVERHEAD_LEN as usize);
            // The only possible error is that the link or the request has ended. The bytes are then
            // dropped.
            let _ = link.send_output(self.id, stream, &data, out);
        });
    }

    fn input_taken(&mut self, bytes: u64) {
        self.unacknowledged += bytes;
        if self.unacknowledged < ACK_LEN_MIN {
            return;
        }
        let consumed = u32::try_from(self.unacknowledged).unwrap_or(u32::MAX);
        self.unacknowledged -= u64::from(consumed);
        if let Some(credit) = NonZeroU32::new(consumed) {
            self.shared
                .send(self.id, Message::StdinWindow(StdinWindow { credit }));
        }
    }

    fn end(self, outcome: Outcome) {
        let message = match outcome {
            Outcome::Done { exit, timed_out } => Message::ExecResponse(ExecResponse {
                exit_code: exit.code,
                signal: exit.signal.and_then(Signo::new),
                timed_out: timed_out.then_some(true),
            }),
            Outcome::Unkillable => Message::Error(ErrorReply::new(
                ErrorCode::Internal,
                "the process was killed and did not end".to_owned(),
            )),
            Outcome::Broken(error) => {
                let reason = format!("the process could not be watched: {error}");
                Message::Error(ErrorReply::new(ErrorCode::Internal, reason))
            }
        };
        self.shared.send(self.id, message);
        let mut inner = self.shared.lock();
        if inner.running.remove(&self.id).is_none() {
            inner.ended.insert(self.id);
        }
        drop(inner);
        self.shared.changed.notify_all();
    }
}

fn refusal(error: &LaunchError) -> ErrorReply {
    let code = match error {
        // `not_found` and `denied` are about the command. A working directory that cannot be
        // entered is an invalid request, whatever the command.
        LaunchError::Name | LaunchError::Env { .. } | LaunchError::Cwd { .. } => {
            ErrorCode::InvalidRequest
        }
        LaunchError::Spawn { error, .. } if is_shortage(error) => ErrorCode::Busy,
        LaunchError::Spawn { error, .. } => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => ErrorCode::NotFound,
            ErrorKind::PermissionDenied => ErrorCode::Denied,
            ErrorKind::InvalidInput => ErrorCode::InvalidRequest,
            _ => ErrorCode::SpawnFailed,
        },
    };
    ErrorReply::new(code, truncated(&error.to_string(), REASON_LEN_MAX))
}

/// Whether the system was out of processes, threads, descriptors or memory: a later attempt may
/// succeed.
fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE)
    )
}
