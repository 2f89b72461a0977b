use crate::bounds::{HANDSHAKE_VERSION, LINK_ID, PINGS_MAX};
use crate::frame::{Envelope, FrameError, encode_stdin_data, encode_typed};
use crate::link::open::Open;
use crate::link::state::{Core, State};
use crate::link::{
    Agreed, Credit, HostOffer, LinkViolation, OpenRequest, Phase, SendError, StdStream, Violation,
    check_message, write_answer,
};
use crate::message::{
    Direction, Empty, ErrorReply, ExecResponse, GuestMessage, HelloErr, HelloOk, HostFollowUp,
    HostRequest, Message, MessageKind, MessageRole, Stream,
};
use crate::result::OpResult;

/// The message that ended a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// A command ended.
    Exec(ExecResponse),
    /// A file request or a system call has its result.
    Op(OpResult),
    /// The guest answered a ping.
    Pong,
    /// The request was not carried out.
    Error(ErrorReply),
}

/// What a received message means for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum HostEvent {
    /// The handshake is complete. From now on the deframer must accept only the agreed version.
    Ready(HelloOk),
    /// The two sides have no version in common. The guest closes the link.
    Refused(HelloErr),
    /// A command wrote output.
    Output {
        /// The id of the command.
        id: u32,
        /// The stream that it wrote to.
        stream: Stream,
        /// The bytes.
        data: Vec<u8>,
    },
    /// More input may be sent.
    StdinCredit {
        /// The id of the command.
        id: u32,
        /// How many bytes may be sent now, this credit included.
        credit: Credit,
    },
    /// A request ended. No more messages follow on its id.
    Ended {
        /// Its id.
        id: u32,
        /// The type of the request.
        request: MessageKind,
        /// The message that ended it.
        terminal: Terminal,
    },
    /// The guest sent a ping; the answer is written.
    Pinged,
    /// The message was ignored: it has an unknown type, or the id of an aborted request.
    Ignored,
    /// The guest closed the link. Every open request is lost.
    Closing(ErrorReply),
}

/// The host's side of a link.
///
/// Its methods append what must be sent to `out`; send that before anything else. How to drive it:
///
/// 1. [`HostLink::new`] writes the `hello`.
/// 2. Pass every message of a [`Deframer`](crate::Deframer) to [`HostLink::receive`], and every
///    error of the deframer to [`HostLink::reject`]. After [`HostEvent::Ready`] requests may be
///    sent.
/// 3. [`HostLink::request`] opens an id, [`HostLink::send`] and [`HostLink::send_stdin`] send
///    follow-ups on it. Exactly one [`HostEvent::Ended`] ends each id.
/// 4. When the transport ends, [`HostLink::lost`] ends the requests that are still open.
///
/// A [`LinkViolation`] that is not fatal aborts one request: later messages on its id are ignored,
/// a `cancel` for it is written, and [`HostLink::lost`] does not list it. After a fatal violation
/// every call returns the same violation.
///
/// ```
/// use antiphon_wire::{
///     AgentEvent, AgentLink, AgentOffer, Deframer, Empty, Features, HostEvent, HostLink,
///     HostOffer, Message, Terminal,
/// };
///
/// let (mut to_guest, mut to_host) = (Vec::new(), Vec::new());
/// let mut host = HostLink::new(HostOffer::default(), &mut to_guest)?;
/// let offer = AgentOffer::new(Features::all(), "linux".to_owned(), "1.0".to_owned());
/// let mut agent = AgentLink::new(offer);
/// let (mut from_host, mut from_guest) = (Deframer::default(), Deframer::default());
///
/// from_host.push(&to_guest);
/// let hello = from_host.next()?.ok_or("no hello")?;
/// assert!(matches!(agent.receive(hello, &mut to_host)?, AgentEvent::Ready(_)));
/// from_guest.push(&to_host);
/// let ok = from_guest.next()?.ok_or("no answer")?;
/// assert!(matches!(host.receive(ok, &mut to_guest)?, HostEvent::Ready(_)));
///
/// to_guest.clear();
/// to_host.clear();
/// let id = host.request(Message::Ping(Empty {}), &mut to_guest)?;
/// from_host.push(&to_guest);
/// let ping = from_host.next()?.ok_or("no ping")?;
/// assert_eq!(agent.receive(ping, &mut to_host)?, AgentEvent::Pinged);
/// from_guest.push(&to_host);
/// let pong = from_guest.next()?.ok_or("no pong")?;
/// assert!(matches!(
///     host.receive(pong, &mut to_guest)?,
///     HostEvent::Ended { id: ended, terminal: Terminal::Pong, .. } if ended == id
/// ));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HostLink {
    offer: HostOffer,
    core: Core,
}

impl HostLink {
    /// Writes the `hello` and waits for the answer.
    ///
    /// # Errors
    /// If the offer violates the schema.
    pub fn new(offer: HostOffer, out: &mut Vec<u8>) -> Result<Self, SendError> {
        let hello = Envelope {
            v: HANDSHAKE_VERSION,
            id: LINK_ID,
            message: Message::Hello(offer.hello()),
        };
        hello.encode(out, Default::default())?;
        Ok(Self {
            offer,
            core: Core::new(State::Handshake),
        })
    }

    /// Makes a link whose handshake is complete. On a line that other hosts have used, the caller
    /// performs the handshake itself, because it must first skip the answers to these hosts.
    /// `answer` is the guest's answer to this host. Ids start after `last_id`, the greatest id used
    /// with that guest (0: none).
    ///
    /// # Errors
    /// If the answer does not match the offer.
    pub fn with_answer(
        offer: HostOffer,
        answer: &HelloOk,
        last_id: u32,
    ) -> Result<Self, LinkViolation> {
        let agreed = offer.agree(answer);
        let agreed = agreed.map_err(|why| LinkViolation::of_link(LINK_ID, why))?;
        let mut core = Core::new(State::Ready(agreed));
        core.ids.use_up(last_id);
        Ok(Self { offer, core })
    }

    // Inputs.

    /// Receives a message of the guest. Answers that the link gives by itself are appended to
    /// `out`.
    ///
    /// # Errors
    /// If the guest must not send this message now.
    pub fn receive(
        &mut self,
        envelope: Envelope,
        out: &mut Vec<u8>,
    ) -> Result<HostEvent, LinkViolation> {
        if let Some(violation) = self.core.ended(&envelope) {
            return Err(violation);
        }
        let event = match self.core.agreed() {
            None => self.receive_answer(envelope),
            Some(agreed) => {
                let version = agreed.version;
                self.receive_message(envelope, version, out)
            }
        };
        event.map_err(|violation| self.apply_violation(violation, out))
    }

    /// Receives the error of a frame that could not be decoded. A wrong payload aborts its request;
    /// every other error ends the link.
    ///
    /// # Errors
    /// Always, unless the request was aborted before: then the frame is ignored.
    pub fn reject(
        &mut self,
        error: FrameError,
        out: &mut Vec<u8>,
    ) -> Result<HostEvent, LinkViolation> {
        let error = self.core.ended_by(error)?;
        let id = error.id().unwrap_or(LINK_ID);
        let aborted = self.core.ids.peek(id).map(|open| open.aborted);
        if let FrameError::Payload { t, .. } = &error
            && t.role() == MessageRole::Terminal
        {
            // The guest has ended this id, although with a bad message.
            self.core.ids.remove(id);
        }
        match self.core.judge_frame(error, aborted) {
            None => Ok(HostEvent::Ignored),
            Some(violation) => Err(self.apply_violation(violation, out)),
        }
    }

    /// Handles the end of the transport. Returns the requests that will have no terminal message.
    /// The second call returns none.
    #[must_use]
    pub fn lost(&mut self) -> Vec<OpenRequest> {
        self.core.lose()
    }

    // Commands.

    /// Sends a request and returns its id.
    ///
    /// # Errors
    /// If the link is not ready or has too many open requests, or the feature was not agreed; then
    /// nothing was written.
    pub fn request(&mut self, message: Message, out: &mut Vec<u8>) -> Result<u32, SendError> {
        let agreed = self.core.require_agreed()?;
        let request =
            HostRequest::try_from(message).map_err(|message| SendError::wrong_message(&message))?;
        let t = request.kind();
        if let Some(feature) = t.feature()
            && !agreed.features.contains(feature)
        {
            return Err(SendError::NotAgreed { feature });
        }
        let ping = t == MessageKind::Ping;
        let max = if ping {
            PINGS_MAX
        } else {
            usize::try_from(agreed.ids_max).unwrap_or(usize::MAX)
        };
        let open = self.core.ids.count(ping);
        if open >= max {
            return Err(SendError::Busy { open, max });
        }
        let id = self.core.ids.next_id().ok_or(SendError::IdsUsed)?;
        encode_typed(out, agreed.version, id, &request, agreed.peer_frame_len_max)?;
        self.core
            .ids
            .insert(id, Open::of(&request, agreed.stdin_window));
        Ok(id)
    }

    /// Sends what belongs to an open request: `stdin_data`, `exec_window`, `signal`, `cancel`.
    ///
    /// # Errors
    /// If the guest would treat it as a violation; then nothing was written.
    pub fn send(&mut self, id: u32, message: Message, out: &mut Vec<u8>) -> Result<(), SendError> {
        self.core.require_agreed()?;
        let message = HostFollowUp::try_from(message)
            .map_err(|message| SendError::wrong_message(&message))?;
        self.core
            .send(id, &message, out, |open| open.follow_up(&message).map(drop))
    }

    /// Sends input for a command, copied directly from `data` to `out`.
    ///
    /// # Errors
    /// If it exceeds the credit, or input has ended, or the command has no standard input; then
    /// nothing was written.
    pub fn send_stdin(
        &mut self,
        id: u32,
        data: &[u8],
        eof: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.core.send_with(
            id,
            MessageKind::StdinData,
            out,
            |out, v, len_max| encode_stdin_data(out, v, id, data, eof, len_max),
            |open| open.stdin(data.len(), eof),
        )
    }

    /// Closes the link with a reason for the guest. Every open request is lost; [`Self::lost`]
    /// lists them.
    pub fn close(&mut self, reply: ErrorReply, out: &mut Vec<u8>) {
        if let Some(agreed) = self.core.agreed() {
            write_answer(out, agreed.version, LINK_ID, Message::Error(reply));
        }
        self.core.close();
    }

    // Accessors. `AgentLink` repeats the first three: a trait for both would have to be imported to
    // call them.

    /// The phase of the link.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.core.phase()
    }

    /// The result of the handshake; `None` unless the link is ready.
    #[must_use]
    pub const fn agreed(&self) -> Option<&Agreed> {
        self.core.agreed()
    }

    /// The open requests in the order of their ids, without aborted ones.
    pub fn open_requests(&self) -> impl Iterator<Item = OpenRequest> + '_ {
        self.core.ids.iter()
    }

    /// How much input may be sent to a command now; `None` if the id is not an open command.
    #[must_use]
    pub fn stdin_credit(&self, id: u32) -> Option<Credit> {
        self.core.credit(id, StdStream::Stdin)
    }

    /// How much a command may send on an output stream before it needs more credit; `None` if the
    /// id is not an open command.
    #[must_use]
    pub fn output_credit(&self, id: u32, stream: Stream) -> Option<Credit> {
        self.core.credit(id, StdStream::from(stream))
    }

    /// The number of ignored messages: a measure for the owner's log.
    #[must_use]
    pub const fn ignored_count(&self) -> u64 {
        self.core.ignored_count()
    }

    // Received messages.

    fn receive_answer(&mut self, envelope: Envelope) -> Result<HostEvent, LinkViolation> {
        let Envelope { id, message, .. } = envelope;
        let broken = |violation| LinkViolation::of_link(id, violation);
        if let (Some(t), true) = (message.kind(), id != LINK_ID) {
            return Err(broken(Violation::WrongId { t, id }));
        }
        if let Message::HelloOk(ok) = message {
            let agreed = self.offer.agree(&ok).map_err(broken)?;
            self.core.state = State::Ready(agreed);
            return Ok(HostEvent::Ready(ok));
        }
        if let Message::HelloErr(refusal) = message {
            self.core.close();
            return Ok(HostEvent::Refused(refusal));
        }
        if let Message::Error(reply) = message {
            self.core.close();
            return Ok(HostEvent::Closing(reply));
        }
        Err(broken(Violation::BeforeHandshake {
            t: message.name().to_owned(),
        }))
    }

    fn receive_message(
        &mut self,
        envelope: Envelope,
        agreed: u32,
        out: &mut Vec<u8>,
    ) -> Result<HostEvent, LinkViolation> {
        let Envelope { v, id, message } = envelope;
        let Some(t) = message.kind() else {
            return Ok(self.ignore());
        };
        let broken = |violation| LinkViolation::of_link(id, violation);
        check_message(t, v, id, agreed, Direction::HostToGuest).map_err(broken)?;
        let message =
            GuestMessage::try_from(message).map_err(|_| broken(Violation::WrongDirection { t }))?;
        match message {
            GuestMessage::ExecOutput(output) => {
                let (stream, data) = (output.stream, output.data);
                let taken = self.follow_up(id, t, |open| open.output(stream, data.len()))?;
                Ok(match taken {
                    Some(()) => HostEvent::Output { id, stream, data },
                    None => HostEvent::Ignored,
                })
            }
            GuestMessage::StdinWindow(window) => {
                let granted = window.credit.get();
                let credit =
                    self.follow_up(id, t, |open| open.grant(t, StdStream::Stdin, granted))?;
                Ok(match credit {
                    Some(credit) => HostEvent::StdinCredit { id, credit },
                    None => HostEvent::Ignored,
                })
            }
            GuestMessage::ExecResponse(response) => self.end(id, t, Terminal::Exec(response)),
            GuestMessage::OpResult(result) => self.end(id, t, Terminal::Op(result)),
            GuestMessage::Pong(Empty {}) => self.end(id, t, Terminal::Pong),
            GuestMessage::Error(reply) if id == LINK_ID => {
                self.core.close();
                Ok(HostEvent::Closing(reply))
            }
            GuestMessage::Error(reply) => self.end(id, t, Terminal::Error(reply)),
            GuestMessage::Ping(Empty {}) => {
                write_answer(out, agreed, id, Message::Pong(Empty {}));
                Ok(HostEvent::Pinged)
            }
        }
    }

    /// Applies a rule to the open request of a message. Returns `None` if that request was
    /// aborted.
    fn follow_up<T>(
        &mut self,
        id: u32,
        t: MessageKind,
        rule: impl FnOnce(&mut Open) -> Result<T, Violation>,
    ) -> Result<Option<T>, LinkViolation> {
        let open = self
            .core
            .ids
            .find(id, t)
            .map_err(|why| LinkViolation::of_link(id, why))?;
        if open.aborted {
            self.core.count_ignored();
            return Ok(None);
        }
        rule(open)
            .map(Some)
            .map_err(|why| LinkViolation::of_request(id, why))
    }

    fn end(
        &mut self,
        id: u32,
        t: MessageKind,
        terminal: Terminal,
    ) -> Result<HostEvent, LinkViolation> {
        let open = self
            .core
            .ids
            .find(id, t)
            .map_err(|why| LinkViolation::of_link(id, why))?;
        let (request, aborted) = (open.request, open.aborted);
        let result = match &terminal {
            Terminal::Op(result) => Some(result),
            Terminal::Exec(_) | Terminal::Pong | Terminal::Error(_) => None,
        };
        let judged = open
            .end(t, result)
            .map_err(|why| LinkViolation::of_request(id, why));
        // A terminal message ends its id even if it is the wrong one: nothing else may follow.
        self.core.ids.remove(id);
        if aborted {
            return Ok(self.ignore());
        }
        judged.map(|()| HostEvent::Ended {
            id,
            request,
            terminal,
        })
    }

    fn ignore(&mut self) -> HostEvent {
        self.core.count_ignored();
        HostEvent::Ignored
    }

    /// Applies a violation: a fatal one ends the link for good, another one aborts its request.
    fn apply_violation(&mut self, violation: LinkViolation, out: &mut Vec<u8>) -> LinkViolation {
        if violation.fatal {
            self.core.break_link(&violation, out);
        } else {
            let v = self.core.version();
            if let Ok(open) = self.core.ids.find(violation.id, MessageKind::Cancel) {
                open.aborted = true;
                write_answer(out, v, violation.id, Message::Cancel(Empty {}));
            }
        }
        violation
    }
}
