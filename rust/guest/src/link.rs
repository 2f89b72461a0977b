//! The guest as an effect handler.
//!
//! A [`GuestLink`] answers the effects of the roles and interfaces that are bound to the guest. A
//! message that the protocol sends to such a role becomes a frame, and a frame of the guest becomes
//! an outcome. A frame that the protocol does not allow at that point is a failure, which faults
//! the session. Names map directly: a label is a message type, a field of a payload is a key, an
//! operation is a request. So a new protocol over the same guest needs no new code.
//!
//! | the machine asks | the link does |
//! | --- | --- |
//! | `deliver` of a request, `exec_request` | sends it; the session's next messages have its id |
//! | `deliver` of `stdin_data` | sends it when there is credit |
//! | `deliver` of `stdin_eof` | ends standard input: `stdin_data` with `eof` and no data |
//! | `deliver` of `signal`, `cancel` | sends it; after the end of the request it does nothing |
//! | `deliver` of `detach` | nothing; the host's side of the exchange ends |
//! | `decide` | the label is the type of the next frame of the session's request |
//! | `produce` | the payload of that frame, or of the next one if nothing was decided |
//! | an operation, `ping`, `fs_read` | sends it with its own id; the outcome is its result |
//! | anything between two roles of the guest | succeeds at once: it stays inside the guest |
//!
//! Every effect ends: with the guest's answer, at its deadline, or, when the guest is gone, as
//! `lost`. When a guest sends nothing for a second while a request is open, the link sends it a
//! ping. If nothing arrives within [`SILENCE_MAX`] after that, or within [`SILENCE_MAX_SHARED`] on
//! a line that stays open without its agent, the guest is lost.

mod convert;
mod demux;
mod exchange;
mod handshake;
mod seek;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_machine::{
    Class, EffectHandler, EffectRequest, FailureKind, LabelId, Outcome, Reply, RoleId, SessionId,
    Sort, SortId, Value, VerifiedImage,
};
use antiphon_wire::{
    Deframer, Envelope, FrameError, HelloErr, HelloOk, HostLink, HostOffer, SendError,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, never};

pub use demux::Completion;
use demux::{Ask, BACKLOG_MAX, Demux, Request};
use exchange::Branch;
use handshake::SharedHandshake;
use seek::{Awaited, Found, Seeker};

use crate::driver::Binding;
use crate::outbox::Outbox;
use crate::port::Port;
use crate::transport::{AGENT_GRACE, Ending, Transport};

/// The most bytes of one read from the transport.
const READ_LEN: usize = 256 << 10;

/// The most reads whose frames wait for the driver. Together with [`READ_LEN`] it bounds the frames
/// that are decoded and not handled yet. At the bound the reader stops, and the transport's flow
/// control stops the guest.
const READS_MAX: usize = 8;

/// How long a guest may be silent after a ping before it is lost.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// [`SILENCE_MAX`] for a line that stays open when its agent ends, such as the port of a virtual
/// machine. A guest that gets no processor time, or is paused while its machine is copied, answers
/// again within this time.
pub const SILENCE_MAX_SHARED: Duration = Duration::from_secs(15);

/// How long the last messages may take to be written when a link is closed.
const FLUSH_GRACE: Duration = Duration::from_millis(500);

/// Why a link could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The offer cannot be sent.
    #[error("the offer cannot be sent: {0}")]
    Offer(#[from] SendError),
    /// The process is out of threads.
    #[error("cannot start the link: {0}")]
    Resources(#[from] std::io::Error),
    /// The guest supports none of the versions of this host.
    #[error(
        "the guest refused the link: {} (it speaks {}, this host offered {})",
        .0.message, .0.supported, .0.offered
    )]
    Refused(HelloErr),
    /// The guest did not answer in time.
    #[error("the guest did not answer within {} ms", .0.as_millis())]
    Silent(Duration),
    /// The guest's answer violates the rules of the link.
    #[error("the guest's answer to the handshake is not valid: {0}")]
    Broken(String),
    /// The guest closed the link, or is gone.
    #[error("no link to the guest: {0}")]
    Closed(String),
}

/// A link to a guest: the handler of the roles and interfaces that are bound to the guest.
///
/// One thread drives it, usually that of a [`Driver`](crate::driver::Driver):
/// [`handle`](EffectHandler::handle) accepts effects, [`flush`](Self::flush) sends the messages
/// that they wrote, and [`poll`](Self::poll) waits for outcomes. The link has two threads of its
/// own that read and write; the reader stops while the driver does not take its frames.
#[derive(Debug)]
pub struct GuestLink {
    demux: Demux,
    hello: HelloOk,
    bound: BTreeMap<SessionId, Binding>,
    /// The sorts of the images seen, by digest. A request only borrows its image, and the answer
    /// that needs the sorts comes later.
    sorts: Vec<([u8; 32], Arc<[Sort]>)>,
    incoming: Receiver<Incoming>,
    written: Receiver<()>,
    /// The queue of the writer thread. The demultiplexer holds back input and pongs while it is
    /// full; requests are bounded by the ids that were agreed, credit by the output received.
    outbox: Outbox<()>,
    /// Set when bytes are received. On a slow line one message can take longer than the guest may
    /// be silent.
    alive: Arc<AtomicBool>,
    ending: Ending,
    threads: Vec<JoinHandle<()>>,
}

/// A report of the reader thread.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Received frames, in order.
    Frames(Vec<Result<Envelope, FrameError>>),
    /// An answer on a shared line during the handshake.
    Found(Found),
    /// The end of the input, with the reason.
    End(String),
}

impl GuestLink {
    /// Opens a link: performs the handshake with the guest.
    ///
    /// # Errors
    /// If no valid answer arrives within `timeout`.
    pub fn open(
        transport: Transport,
        offer: HostOffer,
        timeout: Duration,
    ) -> Result<GuestLink, LinkError> {
        let Transport {
            reader,
            writer,
            ending,
            shared,
        } = transport;
        let awaited = Awaited::default();
        let handshake = if shared {
            Some(SharedHandshake::new(&offer, awaited.clone())?)
        } else {
            None
        };
        let demux = Demux::new(offer.clone())?;
        let (read, incoming) = bounded(READS_MAX);
        let versions = antiphon_wire::VersionRange::SUPPORTED;
        let deframer = Deframer::new(offer.frame_len_max, versions);
        let seeker = shared.then(|| Seeker::new(awaited));
        let outbox = Outbox::new(BACKLOG_MAX);
        let queue = outbox.clone();
        let (note, written) = bounded(1);
        let alive = Arc::new(AtomicBool::new(false));
        let life = alive.clone();
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        let mut link = GuestLink {
            demux,
            hello: placeholder_hello(),
            bound: BTreeMap::new(),
            sorts: Vec::new(),
            incoming,
            written,
            outbox,
            alive,
            ending,
            threads: Vec::new(),
        };
        let reading = move || read_loop(reader, deframer, seeker, &read, &life);
        link.threads.push(thread("link reader").spawn(reading)?);
        let writing = move || {
            queue.write_loop(writer, || {
                // The channel holds one note, and a second one would add nothing.
                let _ = note.try_send(());
            });
        };
        link.threads.push(thread("link writer").spawn(writing)?);
        match handshake {
            Some(handshake) => link.handshake_shared(handshake, offer, timeout)?,
            None => link.handshake(timeout)?,
        }
        link.set_silence(Some(if shared {
            SILENCE_MAX_SHARED
        } else {
            SILENCE_MAX
        }));
        Ok(link)
    }

    /// The handshake on a private line, where the first message is the answer.
    fn handshake(&mut self, timeout: Duration) -> Result<(), LinkError> {
        self.flush();
        let until = Instant::now() + timeout;
        loop {
            match self.demux.handshake() {
                Some(Ok(hello)) => {
                    self.hello = hello.clone();
                    return Ok(());
                }
                Some(Err(refusal)) => return Err(LinkError::Refused(refusal.clone())),
                None => {}
            }
            if let Some(fault) = self.demux.fault() {
                let reason = fault.detail.to_string();
                return Err(match fault.kind {
                    FailureKind::Lost => LinkError::Closed(reason),
                    _ => LinkError::Broken(reason),
                });
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(incoming) => self.on_incoming(incoming),
                Err(RecvTimeoutError::Timeout) => return Err(LinkError::Silent(timeout)),
                Err(RecvTimeoutError::Disconnected) => self.reader_ended(),
            }
        }
    }

    fn handshake_shared(
        &mut self,
        handshake: SharedHandshake,
        offer: HostOffer,
        timeout: Duration,
    ) -> Result<(), LinkError> {
        let send = |bytes: Vec<u8>| self.outbox.push(bytes, ());
        let (answer, last_id) = handshake.run(&self.incoming, send, timeout)?;
        let link = HostLink::with_answer(offer, &answer, last_id);
        let link = link.map_err(|violation| LinkError::Broken(violation.to_string()))?;
        self.demux = Demux::ready(link);
        self.hello = answer;
        Ok(())
    }

    /// Sets how long a guest may be silent after a ping before it is lost. `None`: a silent guest
    /// is not pinged and never lost.
    pub fn set_silence(&mut self, silence: Option<Duration>) {
        self.demux.set_silence(silence.map(ticks));
    }

    /// Pings the guest, and reports it as `lost` if nothing arrives within `timeout`. Does nothing
    /// if no request is open.
    pub fn probe(&mut self, timeout: Duration) {
        self.demux.probe(ticks(timeout));
        self.flush();
    }

    /// The guest's answer in the handshake.
    pub fn hello(&self) -> &HelloOk {
        &self.hello
    }

    /// Binds the guest to a session. Messages between two roles of the guest stay inside it.
    pub fn bind(&mut self, session: SessionId, binding: Binding) {
        self.bound.insert(session, binding);
    }

    /// Sends the messages that effects have written.
    pub fn flush(&mut self) {
        self.outbox.push(self.demux.take_out(), ());
        self.demux.set_backlog(self.outbox.len());
    }

    /// Waits for the next outcome, at most for `timeout`. First sends the messages that effects
    /// have written.
    pub fn poll(&mut self, timeout: Duration) -> Option<Completion> {
        let until = Instant::now().checked_add(timeout);
        loop {
            self.flush();
            if let Some(completion) = self.demux.completion() {
                return Some(completion);
            }
            let left = until.map_or(timeout, |until| {
                until.saturating_duration_since(Instant::now())
            });
            crossbeam_channel::select! {
                recv(self.incoming) -> incoming => match incoming {
                    Ok(incoming) => self.on_incoming(incoming),
                    Err(_) => self.reader_ended(),
                },
                recv(self.written) -> note => if note.is_err() {
                    self.written = never();
                },
                default(left) => return self.demux.completion(),
            }
        }
    }

    /// The next outcome, without waiting.
    pub(crate) fn completion(&mut self) -> Option<Completion> {
        self.demux.completion()
    }

    /// The channels to wait for: received frames, and room in the outbox.
    pub(crate) fn incoming(&self) -> (&Receiver<Incoming>, &Receiver<()>) {
        (&self.incoming, &self.written)
    }

    /// Handles at most one report of the reader thread, without waiting.
    pub(crate) fn take_incoming(&mut self) {
        match self.written.try_recv() {
            Ok(()) => self.demux.set_backlog(self.outbox.len()),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => self.written = never(),
        }
        // One read at a time: its frames are handled before the next, so that few are held.
        match self.incoming.try_recv() {
            Ok(incoming) => self.on_incoming(incoming),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => self.reader_ended(),
        }
    }

    /// Handles a report of the reader thread.
    pub(crate) fn on_incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Frames(frames) => frames.into_iter().for_each(|f| self.demux.receive(f)),
            // The search for answers ends with the handshake.
            Incoming::Found(_) => {}
            Incoming::End(reason) => self.demux.lost(&reason),
        }
    }

    fn reader_ended(&mut self) {
        // The reader reports its reason before it ends, or a frame with a fatal error.
        self.demux.lost("the reader has ended");
        self.incoming = never();
    }

    /// Advances the link's clock to `now`, in ticks of the machine that issues the effects. The
    /// host also enforces the deadlines of commands, and of operations with a budget, by this
    /// clock.
    pub fn tick(&mut self, now: u64) {
        // Silence is judged by the bytes received, so waiting frames are handled first. Their
        // number is bounded, so that a fast guest does not keep the driver here.
        for _ in 0..READS_MAX {
            let Ok(incoming) = self.incoming.try_recv() else {
                break;
            };
            self.on_incoming(incoming);
        }
        if self.alive.swap(false, Ordering::AcqRel) {
            self.demux.on_bytes();
        }
        self.demux.tick(now);
    }

    /// The next tick at which [`tick`](Self::tick) must be called.
    pub fn next_deadline(&self) -> Option<u64> {
        self.demux.next_deadline()
    }

    /// The number of a session's effects that wait for a message before any request was made.
    pub(crate) fn premature(&self, session: SessionId) -> usize {
        self.demux.premature(session)
    }

    /// Fails the effects that [`premature`](Self::premature) counts.
    pub(crate) fn fail_premature(&mut self, session: SessionId) {
        self.demux.fail_premature(session);
    }

    /// Removes a session that has ended and cancels its open requests.
    pub fn end_session(&mut self, session: SessionId) {
        self.bound.remove(&session);
        self.demux.end_session(session);
    }

    /// The number of bytes held for sessions and for the guest.
    pub fn buffered_len(&self) -> usize {
        self.demux.buffered_len() + self.outbox.len()
    }

    /// Closes the link: writes the queued messages, closes the transport, and waits for the agent
    /// if this link started it. Open requests are lost.
    pub fn close(mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        self.flush();
        self.outbox.close();
        self.outbox.wait_until_empty(Instant::now() + FLUSH_GRACE);
        self.ending.shut_writer();
        // The reader may be waiting for room in the channel. Dropping the receiver wakes it.
        self.incoming = never();
        self.ending.shut_reader();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        // An agent that does not answer is killed at once.
        let grace = if self.demux.is_silent() {
            Duration::ZERO
        } else {
            AGENT_GRACE
        };
        self.ending.reap(grace);
    }

    fn sorts_of(&mut self, image: &VerifiedImage) -> Arc<[Sort]> {
        if let Some((_, sorts)) = self
            .sorts
            .iter()
            .find(|(digest, _)| digest == image.digest())
        {
            return Arc::clone(sorts);
        }
        let sorts: Arc<[Sort]> = Arc::from(image.image().sorts.as_slice());
        self.sorts.push((*image.digest(), Arc::clone(&sorts)));
        sorts
    }

    fn is_inside(&self, session: SessionId, peer: RoleId) -> bool {
        self.bound
            .get(&session)
            .is_some_and(|binding| binding.is_inside(peer))
    }
}

impl Drop for GuestLink {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.shut();
        }
    }
}

impl EffectHandler for GuestLink {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        let (effect, image) = (request.effect(), request.image());
        let operation = request.operation();
        let inside = |peer: &RoleId| self.is_inside(effect.session, *peer);
        let args: Vec<(&Value, SortId)> =
            request.args().zip(operation.args.iter().copied()).collect();
        let name = |label: &LabelId| image.label_name(*label);
        let asked = match request.class() {
            Class::Deliver { peer, .. } if inside(peer) => return Reply::Now(Outcome::done()),
            Class::Produce { peer, .. } if inside(peer) => {
                return Reply::Now(placeholder(request.result_sort(), &image.image().sorts));
            }
            Class::Decide { peer, .. } if inside(peer) => {
                let detail = "two roles of the guest leave a choice to each other";
                return Reply::Now(Outcome::failure(FailureKind::InvalidInput, detail));
            }
            Class::Decide { labels, .. } => {
                let bound = request.role().zip(self.bound.get(&effect.session));
                let Some((role, binding)) = bound else {
                    return Reply::Now(not_bound());
                };
                let branch = |label: &LabelId| Branch {
                    label: *label,
                    name: name(label),
                    has_payload: binding.has_payload(role, request.operation_id(), *label),
                };
                let branches = labels.iter().map(branch).collect();
                Request::Decide { role, branches }
            }
            Class::Produce { label, .. } => {
                let Some(role) = request.role() else {
                    return Reply::Now(not_bound());
                };
                Request::Produce {
                    role,
                    label: name(label),
                    sort: request.result_sort(),
                }
            }
            Class::Deliver { label, .. } => {
                let (value, sort) = args.first().copied().unzip();
                Request::Deliver {
                    label: name(label),
                    value,
                    sort: sort.unwrap_or_default(),
                }
            }
            Class::Command | Class::Observe | Class::Check => Request::Call {
                operation: &operation.name,
                args: &args,
                result: request.result_sort(),
            },
        };
        let sorts = self.sorts_of(image);
        self.demux.ask(Ask {
            effect,
            deadline: request.deadline(),
            sorts: &sorts,
            request: asked,
        })
    }
}

/// The failure of an effect whose session or role is not bound to the guest.
fn not_bound() -> Outcome {
    let detail = "the role is not bound to the guest; bind it with `GuestLink::bind`";
    Outcome::failure(FailureKind::InvalidInput, detail)
}

/// A placeholder of the sort, for a message between two roles of the guest, whose content stays
/// inside the guest.
fn placeholder(sort: SortId, sorts: &[Sort]) -> Outcome {
    fn value(sort: SortId, sorts: &[Sort]) -> Option<Value> {
        Some(match sorts.get(sort.index())? {
            Sort::Unit => Value::Unit,
            Sort::Bool => Value::Bool(false),
            Sort::Nat | Sort::Enum { .. } => Value::Nat(0),
            Sort::Int => Value::Int(0),
            Sort::Text => Value::text(""),
            Sort::Bytes | Sort::Foreign { .. } => Value::bytes(&[]),
            Sort::List(_) | Sort::Option(_) => Value::list(Vec::new()),
            Sort::Record { fields, .. } => {
                let fields: Option<_> =
                    fields.iter().map(|(_, sort)| value(*sort, sorts)).collect();
                Value::record(fields?)
            }
            Sort::Arm(_) => return None,
        })
    }
    let detail = "a message between two roles of the guest has no value that says nothing";
    value(sort, sorts).map_or_else(
        || Outcome::failure(FailureKind::InvalidInput, detail),
        Outcome::Success,
    )
}

fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The placeholder until the guest has answered the handshake.
fn placeholder_hello() -> HelloOk {
    HelloOk {
        minor: None,
        ids_max: None,
        guest_os: String::new(),
        stdin_window: None,
        agent_version: String::new(),
        frame_len_max: None,
        agent_features: Default::default(),
        protocol_version: antiphon_wire::PROTOCOL_VERSION,
    }
}

fn read_loop(
    mut port: Port,
    mut deframer: Deframer,
    mut seeker: Option<Seeker>,
    read: &Sender<Incoming>,
    alive: &AtomicBool,
) {
    let mut buf = vec![0; READ_LEN];
    let reason = loop {
        match port.read(&mut buf) {
            Ok(0) => match deframer.finish() {
                Ok(()) => break "the guest is gone".to_owned(),
                Err(error) => break format!("the guest is gone: {error}"),
            },
            Ok(len) => {
                alive.store(true, Ordering::Release);
                let bytes = buf.get(..len).unwrap_or_default();
                match seeker.take() {
                    None => deframer.push(bytes),
                    Some(mut seeking) => {
                        let found = seeking.push(bytes);
                        if found.last() == Some(&Found::Pong) {
                            deframer.push(&seeking.rest());
                        } else {
                            seeker = Some(seeking);
                        }
                        for found in found {
                            if read.send(Incoming::Found(found)).is_err() {
                                return;
                            }
                        }
                    }
                }
            }
            Err(error) => break format!("the guest is gone: {error}"),
        }
        let mut frames = Vec::new();
        let fatal = loop {
            match deframer.next() {
                Ok(Some(envelope)) => frames.push(Ok(envelope)),
                Ok(None) => break false,
                Err(error) => {
                    let fatal = error.is_fatal();
                    frames.push(Err(error));
                    if fatal {
                        break true;
                    }
                }
            }
        };
        if !frames.is_empty() && read.send(Incoming::Frames(frames)).is_err() {
            return;
        }
        if fatal {
            return;
        }
    };
    let _ = read.send(Incoming::End(reason));
}
