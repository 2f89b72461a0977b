//! All sessions over one link, without I/O: turns requests into frames, and frames into outcomes.
//!
//! The demultiplexer receives everything that the guest sends. Credit bounds the output that it
//! holds for a session, and each request has one terminal frame. A frame that violates a rule ends
//! the session of its request, or all sessions if it names none.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use antiphon_codec::Item;
use antiphon_machine::{
    EffectId, FailureKind, Outcome, Reply, RoleId, SessionId, Sort, SortId, Value,
};
use antiphon_wire::{
    Empty, Envelope, ErrorReply, ExecWindow, FrameError, HelloErr, HelloOk, HostEvent, HostLink,
    HostOffer, LinkViolation, Message, MessageKind, MessageRole, OpErrorCode, OpResult, SendError,
    Signal, Stream, Terminal, WINDOW, truncated,
};

use super::convert::{self, ConvertError};
use super::exchange::{
    Branch, Exchange, Fault, Frame, PIECE_LEN_MAX, Served, Wanted, Write, done, refusal,
};

/// Bytes waiting to be written above which input waits although it has credit, so that a guest that
/// does not read cannot fill the memory.
pub(crate) const BACKLOG_MAX: usize = 1 << 20;

/// Ticks after a command's deadline within which the guest must report that it killed the command.
/// Then the host stops waiting.
pub(crate) const DEADLINE_GRACE: u64 = 5_000;

/// Ticks of silence with an open request after which the guest is pinged. On a line that outlives
/// its agent, a new agent answers the ping with an error, so the loss of the old agent is found
/// after about this time.
pub(crate) const PING_AFTER: u64 = 1_000;

/// The longest time between two ticks that counts in full towards silence. If more time has passed,
/// this host did not run: it was stopped, or its machine was suspended.
pub(crate) const TICK_MAX: u64 = 2 * PING_AFTER;

/// Ticks after a `cancel`, or after later output, within which the guest must end the request. An
/// agent needs at most two seconds, to find that a process cannot be killed.
pub(crate) const CANCEL_GRACE: u64 = 5_000;

/// Ticks after a `cancel` within which the guest must end the request, however much output follows.
pub(crate) const CANCEL_MAX: u64 = 4 * CANCEL_GRACE;

/// The most bytes of the message of an `error` that are kept.
const REASON_LEN_MAX: usize = 1024;

/// The label that closes standard input. It is sent as `stdin_data` with `eof` and no data.
pub(crate) const STDIN_EOF: &str = "stdin_eof";

/// The label that ends the host's side of an exchange. Nothing is sent.
pub(crate) const DETACH: &str = "detach";

/// An effect for the guest.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) effect: EffectId,
    /// The tick at which the machine ends the effect.
    pub(crate) deadline: Option<u64>,
    pub(crate) sorts: &'a Arc<[Sort]>,
    pub(crate) request: Request<'a>,
}

/// What an effect requests of the guest.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    /// Which of these labels the guest chose: the type of its next frame.
    Decide {
        role: RoleId,
        branches: Vec<Branch<&'a str>>,
    },
    /// The payload of the guest's next frame, which must have this label.
    Produce {
        role: RoleId,
        label: &'a str,
        sort: SortId,
    },
    /// Send this message to the guest.
    Deliver {
        label: &'a str,
        value: Option<&'a Value>,
        sort: SortId,
    },
    /// Perform an operation of an interface.
    Call {
        operation: &'a str,
        args: &'a [(&'a Value, SortId)],
        result: SortId,
    },
}

/// The outcome of an effect that was answered later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The effect.
    pub effect: EffectId,
    /// Its outcome.
    pub outcome: Outcome,
}

/// The owner of an open id, which receives its frames. A cancelled id has no owner, and its frames
/// are dropped.
#[derive(Debug)]
enum Owner {
    Exchange(SessionId),
    Call {
        effect: EffectId,
        deadline: Option<u64>,
        result: SortId,
        sorts: Arc<[Sort]>,
    },
}

/// The sessions of one link.
#[derive(Debug)]
pub(crate) struct Demux {
    link: HostLink,
    out: Vec<u8>,
    /// Bytes in the outbox that were not written yet, as last reported.
    backlog: usize,
    exchanges: BTreeMap<SessionId, Exchange>,
    owners: BTreeMap<u32, Owner>,
    /// Outcomes that the driver has not taken. Bounded by the number of outstanding effects.
    completions: VecDeque<Completion>,
    /// The tick of the last [`tick`](Self::tick).
    now: u64,
    handshake: Option<Result<HelloOk, HelloErr>>,
    fault: Option<Fault>,
    liveness: Liveness,
}

/// The watch over a silent guest.
#[derive(Debug, Default)]
struct Liveness {
    /// Ticks of silence after a ping after which the guest is lost. `None`: never.
    silence: Option<u64>,
    /// Whether bytes were received since the last tick.
    has_received: bool,
    /// The tick at which the silence began, or at which the ping was sent.
    since: u64,
    /// Ticks after the ping within which something must arrive; `None` if no ping was sent.
    pinged: Option<u64>,
    /// Whether the guest was lost because of its silence.
    is_lost: bool,
}

impl Liveness {
    /// The tick at which a guest that stays silent is pinged, or lost.
    fn due(&self) -> Option<u64> {
        let timeout = match self.pinged {
            Some(timeout) => timeout,
            None => self.silence.map(|_| PING_AFTER)?,
        };
        Some(self.since.saturating_add(timeout))
    }
}

impl Demux {
    /// A link that begins with a `hello`.
    pub(crate) fn new(offer: HostOffer) -> Result<Demux, SendError> {
        let mut out = Vec::new();
        let link = HostLink::new(offer, &mut out)?;
        Ok(Demux::of(link, out))
    }

    /// A link whose handshake is complete.
    pub(crate) fn ready(link: HostLink) -> Demux {
        Demux::of(link, Vec::new())
    }

    fn of(link: HostLink, out: Vec<u8>) -> Demux {
        Demux {
            link,
            out,
            backlog: 0,
            exchanges: BTreeMap::new(),
            owners: BTreeMap::new(),
            completions: VecDeque::new(),
            now: 0,
            handshake: None,
            fault: None,
            liveness: Liveness::default(),
        }
    }

    /// Sets after how many ticks of silence after a ping the guest is lost. `None`: never.
    pub(crate) fn set_silence(&mut self, silence: Option<u64>) {
        self.liveness.silence = silence;
    }

    // Calls for the transport.

    /// Takes the bytes to write.
    pub(crate) fn take_out(&mut self) -> Vec<u8> {
        let out = std::mem::take(&mut self.out);
        self.backlog += out.len();
        out
    }

    /// Reports how many of the bytes taken were not written yet.
    pub(crate) fn set_backlog(&mut self, backlog: usize) {
        let full = self.is_full();
        self.backlog = backlog;
        if full && !self.is_full() {
            self.write_all();
        }
    }

    /// Reports that bytes were received, perhaps not a whole message.
    pub(crate) fn on_bytes(&mut self) {
        self.liveness.has_received = true;
    }

    /// Handles a frame, or the error of one.
    pub(crate) fn receive(&mut self, frame: Result<Envelope, FrameError>) {
        self.liveness.has_received = true;
        let before = self.out.len();
        let event = match frame {
            Ok(envelope) => self.link.receive(envelope, &mut self.out),
            Err(error) => self.link.reject(error, &mut self.out),
        };
        match event {
            // A guest that sends pings and does not read gets no more answers.
            Ok(HostEvent::Pinged) if self.is_full() => self.out.truncate(before),
            Ok(event) => self.on_event(event),
            Err(violation) => self.on_violation(&violation),
        }
    }

    /// Pings the guest, which is lost if nothing arrives within `timeout` ticks. Does nothing if no
    /// request is open, because then nothing waits for the guest.
    pub(crate) fn probe(&mut self, timeout: u64) {
        let is_sooner = self.liveness.pinged.is_none_or(|left| {
            let due = self.liveness.since.saturating_add(left);
            due > self.now.saturating_add(timeout)
        });
        if !self.owners.is_empty() && is_sooner {
            self.ping(timeout);
        }
    }

    fn ping(&mut self, timeout: u64) {
        (self.liveness.pinged, self.liveness.since) = (Some(timeout), self.now);
        self.liveness.has_received = false;
        // A link that cannot send a ping has ended, with all of its requests.
        let _ = self.link.request(Message::Ping(Empty {}), &mut self.out);
    }

    /// Whether the guest was lost because of its silence.
    pub(crate) fn is_silent(&self) -> bool {
        self.liveness.is_lost
    }

    /// Pings a silent guest, and ends the link if the silence continues.
    fn check_liveness(&mut self) {
        let (now, idle) = (self.now, self.owners.is_empty());
        if self.liveness.has_received || idle {
            self.liveness = Liveness {
                since: now,
                silence: self.liveness.silence,
                is_lost: self.liveness.is_lost,
                ..Liveness::default()
            };
            return;
        }
        if self.liveness.due().is_none_or(|due| due > now) {
            return;
        }
        match (self.liveness.pinged, self.liveness.silence) {
            (Some(_), _) => {
                self.liveness.is_lost = true;
                self.lost("the guest does not answer any more");
            }
            (None, Some(silence)) => self.ping(silence),
            (None, None) => {}
        }
    }

    /// Excludes time from the clocks: from all the time in which this host did not run, and from a
    /// command's deadline also the time in which the session blocked the command's output.
    fn exclude_stopped_time(&mut self, now: u64) {
        let gap = now.saturating_sub(self.now);
        let stopped = if gap > TICK_MAX { gap - PING_AFTER } else { 0 };
        self.liveness.since = self.liveness.since.saturating_add(stopped).min(now);
        for exchange in self.exchanges.values_mut() {
            // A session that takes its frames does not block the guest, however many arrive.
            let has_taken = std::mem::take(&mut exchange.has_taken);
            let is_held_up = !exchange.inbox.is_empty() && !has_taken;
            let forgiven = if is_held_up { gap } else { stopped };
            exchange.deadline = exchange.deadline.map(|at| at.saturating_add(forgiven));
        }
    }

    /// Handles the end of the transport.
    pub(crate) fn lost(&mut self, reason: &str) {
        let _ = self.link.lost();
        self.fail_all(&Fault::new(FailureKind::Lost, reason));
    }

    /// Advances the clock to `now`, in ticks.
    pub(crate) fn tick(&mut self, now: u64) {
        self.exclude_stopped_time(now);
        self.now = now;
        let late = |deadline: Option<u64>| deadline.is_some_and(|deadline| deadline <= now);
        let overdue: Vec<SessionId> = self
            .exchanges
            .iter()
            .filter(|(_, exchange)| late(exchange.deadline))
            .map(|(id, _)| *id)
            .collect();
        for session in overdue {
            let exchange = self.exchanges.get(&session);
            let reason = match exchange.and_then(|exchange| exchange.cancelled_at) {
                Some(_) => "the guest did not end the command that was cancelled",
                None => "the guest did not keep the deadline",
            };
            self.end_exchange(session, &Fault::new(FailureKind::Timeout, reason));
        }
        let calls: Vec<u32> = self
            .owners
            .iter()
            .filter(|(_, owner)| matches!(owner, Owner::Call { deadline, .. } if late(*deadline)))
            .map(|(id, _)| *id)
            .collect();
        for id in calls {
            // The machine has ended the effect at its own deadline.
            self.cancel_request(id);
        }
        self.check_liveness();
    }

    /// The next tick at which [`tick`](Self::tick) must be called.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let calls = self.owners.values().filter_map(|owner| match owner {
            Owner::Call { deadline, .. } => *deadline,
            Owner::Exchange(_) => None,
        });
        // While a request is open, ticks are frequent enough to distinguish silence of the guest
        // from a stop of this host.
        let is_open = !self.owners.is_empty();
        let liveness = [
            self.liveness.due(),
            Some(self.now.saturating_add(PING_AFTER)),
        ];
        self.exchanges
            .values()
            .filter_map(|exchange| exchange.deadline)
            .chain(calls)
            .chain(liveness.into_iter().flatten().filter(|_| is_open))
            .min()
    }

    // Calls for the driver.

    pub(crate) fn handshake(&self) -> Option<&Result<HelloOk, HelloErr>> {
        self.handshake.as_ref()
    }

    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    pub(crate) fn completion(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    /// The number of bytes held for sessions and for the transport.
    pub(crate) fn buffered_len(&self) -> usize {
        self.out.len()
            + self
                .exchanges
                .values()
                .map(Exchange::buffered_len)
                .sum::<usize>()
    }

    pub(crate) fn ask(&mut self, ask: Ask<'_>) -> Reply {
        let effect = ask.effect;
        if let Err(outcome) = self.begin(ask) {
            return Reply::Now(outcome);
        }
        if self
            .completions
            .back()
            .is_none_or(|last| last.effect != effect)
        {
            return Reply::Later;
        }
        self.completions
            .pop_back()
            .map_or(Reply::Later, |last| Reply::Now(last.outcome))
    }

    /// The number of a session's effects that wait for a message of the guest although no request
    /// was made. Such a message never comes, because a guest only answers.
    pub(crate) fn premature(&self, session: SessionId) -> usize {
        let exchange = self.exchanges.get(&session);
        usize::from(
            exchange.is_some_and(|exchange| exchange.waiting.is_some() && !exchange.started),
        )
    }

    /// Fails the effects that [`premature`](Self::premature) counts. The caller has found that no
    /// request can follow in their session.
    pub(crate) fn fail_premature(&mut self, session: SessionId) {
        let exchange = self
            .exchanges
            .get_mut(&session)
            .filter(|exchange| !exchange.started);
        if let Some((effect, wanted)) = exchange.and_then(|exchange| exchange.waiting.take()) {
            let names: Vec<&str> = match &wanted {
                Wanted::Decide { branches, .. } => branches.iter().map(|b| &*b.name).collect(),
                Wanted::Produce { label, .. } => vec![&**label],
            };
            let names = names.join(", ");
            let detail =
                format!("the guest is to send {names} before any request, and it only answers");
            self.complete(effect, invalid(&detail));
        }
    }

    /// Removes a session that has ended and cancels its open requests.
    pub(crate) fn end_session(&mut self, session: SessionId) {
        let of_session = |owner: &Owner| match owner {
            Owner::Exchange(owner) => *owner == session,
            Owner::Call { effect, .. } => effect.session == session,
        };
        let ids = self.owners.iter().filter(|(_, owner)| of_session(owner));
        let ids: Vec<u32> = ids.map(|(id, _)| *id).collect();
        for id in ids {
            self.cancel_request(id);
        }
        self.exchanges.remove(&session);
    }

    // Effects.

    /// Begins an effect. It may add its completion at once. An error is the outcome of the effect.
    fn begin(&mut self, ask: Ask<'_>) -> Result<(), Outcome> {
        let Ask {
            effect,
            deadline,
            sorts,
            request,
        } = ask;
        match request {
            Request::Decide { role, branches } => {
                let branches = branches.into_iter().map(Branch::into_owned).collect();
                self.wait_for(effect, role, Wanted::Decide { role, branches })
            }
            Request::Produce { role, label, sort } => {
                let wanted = Wanted::Produce {
                    label: label.into(),
                    sort,
                    sorts: Arc::clone(sorts),
                };
                self.wait_for(effect, role, wanted)
            }
            Request::Deliver { label, value, sort } => {
                self.deliver(effect, label, value, sort, sorts)
            }
            Request::Call {
                operation,
                args,
                result,
            } => {
                let payload = request_of(operation, args, sorts)?;
                let id = self.request(payload)?;
                let sorts = Arc::clone(sorts);
                self.owners.insert(
                    id,
                    Owner::Call {
                        effect,
                        deadline,
                        result,
                        sorts,
                    },
                );
                Ok(())
            }
        }
    }

    fn wait_for(&mut self, effect: EffectId, role: RoleId, wanted: Wanted) -> Result<(), Outcome> {
        let fault = self.fault.clone();
        let exchange = self.exchanges.entry(effect.session).or_default();
        if exchange.waiting.is_some() || exchange.is_chosen_by_other(role) {
            let detail = "two roles of the session wait for the guest at the same time";
            return Err(Outcome::failure(FailureKind::InvalidInput, detail));
        }
        if let Some(fault) = fault {
            exchange.fail(&fault);
        }
        exchange.waiting = Some((effect, wanted));
        self.serve(effect.session);
        Ok(())
    }

    fn deliver(
        &mut self,
        effect: EffectId,
        label: &str,
        value: Option<&Value>,
        sort: SortId,
        sorts: &[Sort],
    ) -> Result<(), Outcome> {
        let session = effect.session;
        let kind = match label {
            DETACH => return self.finish(effect),
            STDIN_EOF => return self.write(effect, Value::bytes(&[]), true),
            _ => MessageKind::from_name(label).ok_or_else(|| no_message(label))?,
        };
        let (rest, data) = value
            .filter(|_| kind == MessageKind::StdinData)
            .and_then(|value| convert::split_data(value, sort, sorts))
            .unzip();
        let value = rest.as_ref().or(value);
        let payload = convert::payload(kind, value, sort, sorts)
            .map_err(|why| conversion_failure(label, &why))?;
        if kind.role() == MessageRole::Request {
            return self.open(effect, kind, payload);
        }
        let message = Message::from_payload(kind, payload)
            .map_err(|why| invalid(&format!("`{label}`: {why}")))?;
        match message {
            Message::StdinData(input) => {
                let data = data.unwrap_or_else(|| Value::from(input.data));
                self.write(effect, data, input.eof.unwrap_or(false))
            }
            Message::Signal(Signal { .. }) | Message::Cancel(Empty {}) => {
                let exchange = self.exchanges.entry(session).or_default();
                if !exchange.started {
                    return Err(invalid(&format!("`{label}` before any request")));
                }
                if let Some(id) = exchange.open {
                    if matches!(message, Message::Cancel(_)) {
                        exchange.cancelled_at.get_or_insert(self.now);
                        let by = self.now.saturating_add(CANCEL_GRACE);
                        exchange.deadline = Some(exchange.deadline.map_or(by, |at| at.min(by)));
                    }
                    self.link
                        .send(id, message, &mut self.out)
                        .map_err(|why| send_failure(&why))?;
                }
                // After the end of the request nothing needs to be sent.
                self.finish(effect)
            }
            _ => Err(no_message(label)),
        }
    }

    fn finish(&mut self, effect: EffectId) -> Result<(), Outcome> {
        self.complete(effect, done());
        Ok(())
    }

    /// Sends the request that opens a session's exchange.
    fn open(&mut self, effect: EffectId, kind: MessageKind, payload: Item) -> Result<(), Outcome> {
        let session = effect.session;
        if self
            .exchanges
            .get(&session)
            .is_some_and(|exchange| exchange.open.is_some())
        {
            return Err(Outcome::failure(
                FailureKind::Busy,
                "the session's last request has not ended",
            ));
        }
        let mut message = Message::from_payload(kind, payload)
            .map_err(|why| invalid(&format!("`{kind}`: {why}")))?;
        let (mut windows, mut deadline, mut has_stdin) = ([WINDOW; 2], None, false);
        if let Message::ExecRequest(exec) = &mut message {
            has_stdin = exec.stdin.unwrap_or(false);
            // Without a window the guest could send without limit, so a missing one is added.
            windows = [
                *exec.stdout_window.get_or_insert(WINDOW),
                *exec.stderr_window.get_or_insert(WINDOW),
            ];
            let after = exec
                .deadline_ms
                .map(|ms| u64::from(ms.get()) + DEADLINE_GRACE);
            deadline = after.map(|after| self.now.saturating_add(after));
        }
        let id = self.request(message)?;
        self.owners.insert(id, Owner::Exchange(session));
        let exchange = self.exchanges.entry(session).or_default();
        let waiting = exchange.waiting.take();
        *exchange = Exchange {
            open: Some(id),
            started: true,
            has_stdin,
            windows,
            deadline,
            waiting,
            ..Exchange::default()
        };
        self.finish(effect)
    }

    fn request(&mut self, message: Message) -> Result<u32, Outcome> {
        if let Some(fault) = &self.fault {
            return Err(fault.outcome());
        }
        self.link
            .request(message, &mut self.out)
            .map_err(|why| send_failure(&why))
    }

    fn write(&mut self, effect: EffectId, data: Value, eof: bool) -> Result<(), Outcome> {
        let exchange = self.exchanges.entry(effect.session).or_default();
        if !exchange.started {
            return Err(invalid("input before any request"));
        }
        if convert::bytes_of(&data).is_empty() && eof && !exchange.has_stdin {
            // The command was started with empty input.
            return self.finish(effect);
        }
        exchange.writes.push_back(Write {
            effect,
            data,
            start: 0,
            eof,
        });
        self.write_for(effect.session);
        Ok(())
    }

    /// Sends as much of a session's input as its credit allows.
    fn write_for(&mut self, session: SessionId) {
        while let Some(exchange) = self.exchanges.get_mut(&session) {
            let (open, Some(write)) = (exchange.open, exchange.writes.front_mut()) else {
                return;
            };
            let data = convert::bytes_of(&write.data);
            let rest = data.get(write.start..).unwrap_or_default();
            let outcome = match open {
                // The command has ended. Its input is dropped and the write succeeds.
                None => exchange.fault.as_ref().map_or_else(done, Fault::outcome),
                Some(id) => {
                    let credit = self
                        .link
                        .stdin_credit(id)
                        .map_or(0, |credit| credit.cap(rest.len()));
                    let len = credit.min(PIECE_LEN_MAX);
                    let full = self.out.len() + self.backlog >= BACKLOG_MAX;
                    if !rest.is_empty() && (len == 0 || full) {
                        return;
                    }
                    let piece = rest.get(..len).unwrap_or_default();
                    let last = len == rest.len();
                    let eof = write.eof && last;
                    write.start += len;
                    if piece.is_empty() && !eof {
                        done()
                    } else {
                        match self.link.send_stdin(id, piece, eof, &mut self.out) {
                            Ok(()) if last => done(),
                            Ok(()) => continue,
                            Err(why) => send_failure(&why),
                        }
                    }
                }
            };
            if let Some(write) = exchange.writes.pop_front() {
                self.complete(write.effect, outcome);
            }
        }
    }

    fn write_all(&mut self) {
        let sessions: Vec<SessionId> = self.exchanges.keys().copied().collect();
        for session in sessions {
            self.write_for(session);
        }
    }

    fn is_full(&self) -> bool {
        self.out.len() + self.backlog >= BACKLOG_MAX
    }

    fn complete(&mut self, effect: EffectId, outcome: Outcome) {
        self.completions.push_back(Completion { effect, outcome });
    }

    // Frames.

    fn on_event(&mut self, event: HostEvent) {
        match event {
            HostEvent::Ready(hello) => self.handshake = Some(Ok(hello)),
            HostEvent::Refused(refusal) => {
                let reason = format!(
                    "the guest refused the link: {}",
                    truncated(&refusal.message, REASON_LEN_MAX)
                );
                self.handshake = Some(Err(refusal));
                self.fail_all(&Fault::new(FailureKind::Lost, reason));
            }
            HostEvent::Output { id, stream, data } => {
                if let Some(Owner::Exchange(session)) = self.owners.get(&id) {
                    let session = *session;
                    if let Some(exchange) = self.exchanges.get_mut(&session) {
                        if let Some(at) = exchange.cancelled_at.filter(|_| !data.is_empty()) {
                            // A slow line may still carry much output, so each chunk extends the
                            // deadline, but not beyond `CANCEL_MAX`.
                            let by = self.now.saturating_add(CANCEL_GRACE);
                            exchange.deadline = Some(by.min(at.saturating_add(CANCEL_MAX)));
                        }
                        exchange.on_output(stream, data);
                        self.serve(session);
                    }
                }
            }
            HostEvent::StdinCredit { id, .. } => {
                if let Some(Owner::Exchange(session)) = self.owners.get(&id) {
                    self.write_for(*session);
                }
            }
            HostEvent::Ended { id, terminal, .. } => self.end(id, terminal),
            HostEvent::Pinged | HostEvent::Ignored => {}
            HostEvent::Closing(reply) => {
                let reason = format!(
                    "the guest closed the link: {}: {}",
                    reply.code.name(),
                    truncated(&reply.message, REASON_LEN_MAX)
                );
                self.lost(&reason);
            }
        }
    }

    fn end(&mut self, id: u32, mut terminal: Terminal) {
        if let Terminal::Error(reply) = &mut terminal {
            reply.message = truncated(&reply.message, REASON_LEN_MAX).to_owned();
        }
        match self.owners.remove(&id) {
            Some(Owner::Exchange(session)) => {
                let Some(exchange) = self.exchanges.get_mut(&session) else {
                    return;
                };
                exchange.open = None;
                exchange.deadline = None;
                let len = terminal_len(&terminal);
                exchange.inbox.push_back(Frame::of(terminal, len));
                self.serve(session);
                self.write_for(session);
            }
            Some(Owner::Call {
                effect,
                result,
                sorts,
                ..
            }) => {
                let outcome = outcome_of(terminal, result, &sorts);
                self.complete(effect, outcome);
            }
            None => {}
        }
    }

    /// Answers a waiting effect with the frames received, if possible.
    fn serve(&mut self, session: SessionId) {
        let Some(exchange) = self.exchanges.get_mut(&session) else {
            return;
        };
        let Some((effect, wanted)) = exchange.waiting.take() else {
            return;
        };
        match exchange.serve(&wanted) {
            Served::Later => exchange.waiting = Some((effect, wanted)),
            Served::Now { outcome, taken } => {
                if let Some((stream, len)) = taken {
                    exchange.consume(stream, len);
                }
                self.complete(effect, outcome);
            }
            Served::Violation { outcome } => {
                let detail = match &outcome {
                    Outcome::Failure(failure) => failure.detail.to_string(),
                    Outcome::Success(_) => String::new(),
                };
                self.complete(effect, outcome);
                self.end_exchange(session, &Fault::new(FailureKind::ContractViolation, detail));
            }
        }
        self.grant_credit(session);
    }

    /// Returns the credit of consumed output to the guest, whether its frames were delivered or
    /// dropped.
    fn grant_credit(&mut self, session: SessionId) {
        let Some(exchange) = self.exchanges.get_mut(&session) else {
            return;
        };
        let (Some(id), None) = (exchange.open, exchange.cancelled_at) else {
            return;
        };
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(credit) = NonZeroU32::new(exchange.take_due_credit(stream)) {
                let window = Message::ExecWindow(ExecWindow { stream, credit });
                // A grant above the maximum is refused by the link, and is not needed.
                let _ = self.link.send(id, window, &mut self.out);
            }
        }
    }

    // Ends.

    fn on_violation(&mut self, violation: &LinkViolation) {
        let fault = Fault::new(FailureKind::ContractViolation, violation.to_string());
        if violation.fatal {
            let _ = self.link.lost();
            self.fail_all(&fault);
            return;
        }
        // The link itself has aborted the request and sent its `cancel`.
        match self.owners.remove(&violation.id) {
            Some(Owner::Exchange(session)) => self.fail(session, &fault),
            Some(Owner::Call { effect, .. }) => self.complete(effect, fault.outcome()),
            None => {}
        }
    }

    /// Ends a session's exchange with a fault.
    fn end_exchange(&mut self, session: SessionId, fault: &Fault) {
        if let Some(id) = self
            .exchanges
            .get(&session)
            .and_then(|exchange| exchange.open)
        {
            self.cancel_request(id);
        }
        self.fail(session, fault);
    }

    /// Cancels a request. Its later frames are dropped.
    fn cancel_request(&mut self, id: u32) {
        self.owners.remove(&id);
        // A ping cannot be cancelled; it ends by itself.
        let _ = self.link.send(id, Message::Cancel(Empty {}), &mut self.out);
    }

    fn fail(&mut self, session: SessionId, fault: &Fault) {
        if let Some(exchange) = self.exchanges.get_mut(&session) {
            exchange.fail(fault);
            self.serve(session);
            self.write_for(session);
        }
    }

    fn fail_all(&mut self, fault: &Fault) {
        let fault = self.fault.get_or_insert_with(|| fault.clone()).clone();
        for owner in std::mem::take(&mut self.owners).into_values() {
            if let Owner::Call { effect, .. } = owner {
                self.complete(effect, fault.outcome());
            }
        }
        let sessions: Vec<SessionId> = self.exchanges.keys().copied().collect();
        for session in sessions {
            self.fail(session, &fault);
        }
    }
}

/// The request message of an operation.
fn request_of(
    operation: &str,
    args: &[(&Value, SortId)],
    sorts: &[Sort],
) -> Result<Message, Outcome> {
    let kind = MessageKind::from_name(operation)
        .filter(|kind| kind.role() == MessageRole::Request && *kind != MessageKind::ExecRequest)
        .ok_or_else(|| invalid(&format!("`{operation}` is no operation of the guest link")))?;
    let (value, sort) = match args {
        [] => (None, SortId(0)),
        [(value, sort)] => (Some(*value), *sort),
        _ => {
            return Err(invalid(&format!(
                "`{operation}` takes one record, got {}",
                args.len()
            )));
        }
    };
    let payload = convert::payload(kind, value, sort, sorts)
        .map_err(|why| conversion_failure(operation, &why))?;
    Message::from_payload(kind, payload).map_err(|why| invalid(&format!("`{operation}`: {why}")))
}

/// The outcome of an operation.
fn outcome_of(terminal: Terminal, sort: SortId, sorts: &[Sort]) -> Outcome {
    let (payload, fields) = match terminal {
        Terminal::Op(OpResult::Err { error, .. }) => {
            let detail = format!(
                "{}: {}",
                error.code.name(),
                truncated(&error.message, REASON_LEN_MAX)
            );
            return Outcome::failure(kind_of(error.code), &detail);
        }
        Terminal::Error(reply) => return refusal(&reply),
        Terminal::Op(OpResult::Ok(value)) => {
            let fields = value.op().value_fields();
            (value.into_item(), fields)
        }
        Terminal::Pong => (Item::Map(Vec::new()), MessageKind::Pong.fields()),
        Terminal::Exec(end) => (
            Message::ExecResponse(end).into_payload(),
            MessageKind::ExecResponse.fields(),
        ),
    };
    match convert::value(payload, fields, sort, sorts) {
        Ok(value) => Outcome::Success(value),
        Err(error) => {
            let detail = format!("the guest's result: {error}");
            Outcome::failure(FailureKind::ContractViolation, &detail)
        }
    }
}

fn kind_of(code: OpErrorCode) -> FailureKind {
    match code {
        OpErrorCode::NotFound
        | OpErrorCode::AlreadyExists
        | OpErrorCode::NotADirectory
        | OpErrorCode::IsADirectory
        | OpErrorCode::NotEmpty
        | OpErrorCode::BadHandle
        | OpErrorCode::InvalidInput => FailureKind::InvalidInput,
        OpErrorCode::PermissionDenied | OpErrorCode::ReadOnly => FailureKind::Denied,
        OpErrorCode::TooManyOpen => FailureKind::Busy,
        OpErrorCode::NoSpace => FailureKind::Unavailable,
        OpErrorCode::Io => FailureKind::Internal,
    }
}

fn terminal_len(terminal: &Terminal) -> usize {
    match terminal {
        Terminal::Error(ErrorReply { message, .. }) => message.len(),
        Terminal::Exec(_) | Terminal::Op(_) | Terminal::Pong => 0,
    }
}

fn invalid(detail: &str) -> Outcome {
    Outcome::failure(FailureKind::InvalidInput, detail)
}

fn conversion_failure(label: &str, why: &ConvertError) -> Outcome {
    invalid(&format!("`{label}`: {why}"))
}

fn no_message(label: &str) -> Outcome {
    invalid(&format!(
        "`{label}` is no message that a host sends to its guest"
    ))
}

/// The failure of an effect whose message the link refused.
fn send_failure(why: &SendError) -> Outcome {
    let kind = match why {
        SendError::NotReady { .. } => FailureKind::Unavailable,
        SendError::Busy { .. } => FailureKind::Busy,
        SendError::IdsUsed => FailureKind::Lost,
        SendError::NotAgreed { .. }
        | SendError::WrongMessage { .. }
        | SendError::Rule { .. }
        | SendError::Encode(_) => FailureKind::InvalidInput,
    };
    Outcome::failure(kind, &why.to_string())
}
