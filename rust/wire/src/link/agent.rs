use crate::bounds::{HANDSHAKE_VERSION, LINK_ID, PINGS_MAX};
use crate::frame::{Envelope, FrameError, encode_exec_output, encode_typed};
use crate::link::open::{Open, OpenIds};
use crate::link::state::{Core, State};
use crate::link::{
    AgentOffer, Agreed, Credit, LinkViolation, OpenRequest, Phase, SendError, StdStream, Violation,
    check_message, write_answer,
};
use crate::message::{
    Direction, Empty, ErrorCode, ErrorReply, GuestMessage, Hello, HelloErr, HostFollowUp,
    HostRequest, Message, MessageKind, MessageRole, Signo, Stream,
};

/// What a received message means for an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum AgentEvent {
    /// The handshake is complete and its answer is written. From now on the deframer must accept
    /// only the agreed version.
    Ready(Agreed),
    /// The two sides have no version in common. The refusal is written; send it and close the link.
    Refused(HelloErr),
    /// A request to carry out. It must get exactly one terminal message.
    Request {
        /// Its id.
        id: u32,
        /// The request.
        request: HostRequest,
    },
    /// A follow-up for an open request.
    FollowUp {
        /// The id of the request.
        id: u32,
        /// The follow-up.
        follow_up: FollowUp,
    },
    /// The host sent a ping; the answer is written.
    Pinged,
    /// The host answered a ping.
    Ponged {
        /// The id of the ping.
        id: u32,
    },
    /// The link refused a request by itself and has written the `error`, or ignored a message.
    Settled {
        /// The code of the `error`; `None` if the message was ignored.
        refused: Option<ErrorCode>,
    },
    /// The host closed the link. Stop the open requests.
    Closing(ErrorReply),
}

/// What a host adds to an open request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// Input for the command.
    Stdin {
        /// The bytes.
        data: Vec<u8>,
        /// Whether input ends after these bytes.
        eof: bool,
    },
    /// More output may be sent.
    Credit {
        /// The stream.
        stream: Stream,
        /// How many more bytes this message allows.
        granted: u32,
        /// How many bytes may be sent now, this credit included.
        credit: Credit,
    },
    /// Send a signal to the command's process group.
    Signal(Signo),
    /// Stop early. The terminal message must still be sent.
    Cancel,
}

/// The agent's side of a link.
///
/// Its methods append what must be sent to `out`; send that before anything else. It waits for a
/// `hello` and receives requests; the agent must send exactly one terminal message for each with
/// [`AgentLink::send`]. The link itself answers requests that it cannot accept: above the agreed
/// number with `busy`, of an unknown type with `unsupported`, and against the schema with
/// `invalid_request`.
///
/// A [`LinkViolation`] that is not fatal aborts one request: stop it and send its terminal `error`
/// ([`LinkViolation::reply`]). The `error` of a fatal violation is written already: send it, stop
/// all requests, close the link.
///
/// [`HostLink`](crate::HostLink) has an example.
#[derive(Clone, Debug)]
pub struct AgentLink {
    offer: AgentOffer,
    core: Core,
    /// The requests of this side: pings.
    pings: OpenIds,
}

impl AgentLink {
    /// Waits for a host.
    #[must_use]
    pub fn new(offer: AgentOffer) -> Self {
        Self {
            offer,
            core: Core::new(State::Handshake),
            pings: OpenIds::default(),
        }
    }

    // Inputs.

    /// Receives a message of the host. Answers that the link gives by itself are appended to `out`.
    ///
    /// # Errors
    /// If the host must not send this message now.
    pub fn receive(
        &mut self,
        envelope: Envelope,
        out: &mut Vec<u8>,
    ) -> Result<AgentEvent, LinkViolation> {
        if let Some(violation) = self.core.ended(&envelope) {
            return Err(violation);
        }
        let event = match self.core.agreed().copied() {
            None => self.receive_hello(envelope, out),
            Some(agreed) => self.receive_message(envelope, agreed, out),
        };
        event.map_err(|violation| self.apply_violation(violation, out))
    }

    /// Receives the error of a frame that could not be decoded. A new request with a wrong payload
    /// or version is refused on its id. A wrong message on an open id aborts that request. Every
    /// other error ends the link.
    ///
    /// # Errors
    /// If the error aborts a request or ends the link.
    pub fn reject(
        &mut self,
        error: FrameError,
        out: &mut Vec<u8>,
    ) -> Result<AgentEvent, LinkViolation> {
        let error = self.core.ended_by(error)?;
        let id = error.id().unwrap_or(LINK_ID);
        let is_new = id != LINK_ID && !self.core.ids.was_used(id);
        let is_request = match &error {
            FrameError::Payload { t, .. } => t.role() == MessageRole::Request,
            FrameError::Version { .. } => true,
            FrameError::TooLong { .. }
            | FrameError::Malformed(_)
            | FrameError::Envelope(_)
            | FrameError::Cut { .. } => false,
        };
        if is_request && is_new && self.core.agreed().is_some() {
            return Ok(self.refuse(id, error.reply(), out));
        }
        let aborted = self.core.ids.peek(id).map(|open| open.aborted);
        match self.core.judge_frame(error, aborted) {
            None => Ok(AgentEvent::Settled { refused: None }),
            Some(violation) => Err(self.apply_violation(violation, out)),
        }
    }

    /// Handles the end of the transport. Returns the requests that must be stopped. The second call
    /// returns none.
    #[must_use]
    pub fn lost(&mut self) -> Vec<OpenRequest> {
        let _ = self.pings.drain();
        self.core.lose()
    }

    // Commands.

    /// Sends a message on an open id: `exec_output`, `stdin_window`, and the terminal message,
    /// which is `exec_response`, `op_result` or `error`.
    ///
    /// # Errors
    /// If the host would treat it as a violation; then nothing was written.
    pub fn send(&mut self, id: u32, message: Message, out: &mut Vec<u8>) -> Result<(), SendError> {
        self.core.require_agreed()?;
        let message = GuestMessage::try_from(message)
            .map_err(|message| SendError::wrong_message(&message))?;
        if let GuestMessage::Ping(_) = &message {
            return Err(SendError::wrong_message(&message.into()));
        }
        self.core
            .send(id, &message, out, |open| open.reply(&message))?;
        if message.kind().role() == MessageRole::Terminal {
            self.core.ids.remove(id);
        }
        Ok(())
    }

    /// Sends output of a command, copied directly from `data` to `out`.
    ///
    /// # Errors
    /// If it exceeds the credit, or the id is not an open command; then nothing was written.
    pub fn send_output(
        &mut self,
        id: u32,
        stream: Stream,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.core.send_with(
            id,
            MessageKind::ExecOutput,
            out,
            |out, v, len_max| encode_exec_output(out, v, id, stream, data, len_max),
            |open| open.output(stream, data.len()),
        )
    }

    /// Sends a ping and returns its id.
    ///
    /// # Errors
    /// If the link is not ready, or too many pings are open.
    pub fn ping(&mut self, out: &mut Vec<u8>) -> Result<u32, SendError> {
        let agreed = self.core.require_agreed()?;
        let (open, max) = (self.pings.count(true), PINGS_MAX);
        if open >= max {
            return Err(SendError::Busy { open, max });
        }
        let id = self.pings.next_id().ok_or(SendError::IdsUsed)?;
        let ping = HostRequest::Ping(Empty {});
        encode_typed(out, agreed.version, id, &ping, agreed.peer_frame_len_max)?;
        self.pings.insert(id, Open::of(&ping, None));
        Ok(id)
    }

    /// Closes the link with a reason for the host, also before the handshake. The caller must stop
    /// the open requests, see [`Self::lost`].
    pub fn close(&mut self, reply: ErrorReply, out: &mut Vec<u8>) {
        if matches!(self.phase(), Phase::Handshake | Phase::Ready) {
            write_answer(out, self.core.version(), LINK_ID, Message::Error(reply));
        }
        self.core.close();
    }

    // Accessors.

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

    /// How much may be sent on an output stream now; `None` if the id is not an open command.
    #[must_use]
    pub fn output_credit(&self, id: u32, stream: Stream) -> Option<Credit> {
        self.core.credit(id, StdStream::from(stream))
    }

    /// How much input the host may send before it needs more credit; `None` if the id is not an
    /// open command.
    #[must_use]
    pub fn stdin_credit(&self, id: u32) -> Option<Credit> {
        self.core.credit(id, StdStream::Stdin)
    }

    /// The number of ignored messages: a measure for the owner's log.
    #[must_use]
    pub const fn ignored_count(&self) -> u64 {
        self.core.ignored_count()
    }

    // Received messages.

    fn receive_hello(
        &mut self,
        envelope: Envelope,
        out: &mut Vec<u8>,
    ) -> Result<AgentEvent, LinkViolation> {
        let Envelope { id, message, .. } = envelope;
        let Message::Hello(hello) = message else {
            let t = message.name().to_owned();
            return Err(LinkViolation::of_link(id, Violation::BeforeHandshake { t }));
        };
        if id != LINK_ID {
            let violation = Violation::WrongId {
                t: MessageKind::Hello,
                id,
            };
            return Err(LinkViolation::of_link(id, violation));
        }
        Ok(self.agree(&hello, out))
    }

    fn agree(&mut self, hello: &Hello, out: &mut Vec<u8>) -> AgentEvent {
        let mut write = |message| write_answer(out, HANDSHAKE_VERSION, LINK_ID, message);
        match self.offer.agree(hello) {
            Ok((ok, agreed)) => {
                write(Message::HelloOk(ok));
                self.core.state = State::Ready(agreed);
                AgentEvent::Ready(agreed)
            }
            Err(refusal) => {
                write(Message::HelloErr(refusal.clone()));
                self.core.close();
                AgentEvent::Refused(refusal)
            }
        }
    }

    fn receive_message(
        &mut self,
        envelope: Envelope,
        agreed: Agreed,
        out: &mut Vec<u8>,
    ) -> Result<AgentEvent, LinkViolation> {
        let Envelope { v, id, message } = envelope;
        let Some(t) = message.kind() else {
            return Ok(self.receive_unknown(id, message.name(), out));
        };
        let broken = |violation| LinkViolation::of_link(id, violation);
        let wrong = |_| broken(Violation::WrongDirection { t });
        check_message(t, v, id, agreed.version, Direction::GuestToHost).map_err(broken)?;
        match t.role() {
            MessageRole::Handshake => Err(broken(Violation::HandshakeAgain {
                t,
                phase: Phase::Ready,
            })),
            MessageRole::Request => {
                let request = HostRequest::try_from(message).map_err(wrong)?;
                self.core.ids.check_rising(id, t).map_err(broken)?;
                Ok(self.receive_request(id, request, agreed, out))
            }
            MessageRole::OneWay => {
                let message = HostFollowUp::try_from(message).map_err(wrong)?;
                self.receive_follow_up(id, message)
            }
            MessageRole::Terminal => self.receive_terminal(id, t, message),
        }
    }

    fn receive_request(
        &mut self,
        id: u32,
        request: HostRequest,
        agreed: Agreed,
        out: &mut Vec<u8>,
    ) -> AgentEvent {
        if let HostRequest::Ping(Empty {}) = request {
            self.core.ids.use_up(id);
            write_answer(out, agreed.version, id, Message::Pong(Empty {}));
            return AgentEvent::Pinged;
        }
        if let Some(feature) = request.kind().feature()
            && !agreed.features.contains(feature)
        {
            let reason = format!("`{feature}` was not agreed in the handshake");
            return self.refuse(id, ErrorReply::new(ErrorCode::Unsupported, reason), out);
        }
        let max = agreed.ids_max;
        if self.core.ids.count(false) >= usize::try_from(max).unwrap_or(usize::MAX) {
            let reason = format!("{max} requests are open, as many as were agreed");
            return self.refuse(id, ErrorReply::new(ErrorCode::Busy, reason), out);
        }
        self.core
            .ids
            .insert(id, Open::of(&request, agreed.stdin_window));
        AgentEvent::Request { id, request }
    }

    /// Receives a message of an unknown type. On a new id it counts as a request and is refused,
    /// because the host may wait for an answer.
    fn receive_unknown(&mut self, id: u32, t: &str, out: &mut Vec<u8>) -> AgentEvent {
        if id == LINK_ID || self.core.ids.was_used(id) {
            return self.ignore();
        }
        let reason = format!("`{}` is not known here", crate::field::shown(t));
        self.refuse(id, ErrorReply::new(ErrorCode::Unsupported, reason), out)
    }

    /// Receives the end of a ping of this side, or, on the id of the link, the end of the link.
    fn receive_terminal(
        &mut self,
        id: u32,
        t: MessageKind,
        message: Message,
    ) -> Result<AgentEvent, LinkViolation> {
        if let (LINK_ID, Message::Error(reply)) = (id, message) {
            self.core.close();
            return Ok(AgentEvent::Closing(reply));
        }
        self.pings
            .find(id, t)
            .map_err(|why| LinkViolation::of_link(id, why))?;
        self.pings.remove(id);
        Ok(AgentEvent::Ponged { id })
    }

    /// Receives what a host adds to a request. It may cross the request's terminal message on the
    /// way and come after the end; then it is ignored.
    fn receive_follow_up(
        &mut self,
        id: u32,
        message: HostFollowUp,
    ) -> Result<AgentEvent, LinkViolation> {
        let open = match self.core.ids.find(id, message.kind()) {
            Ok(open) if open.aborted => return Ok(self.ignore()),
            Ok(open) => open,
            Err(Violation::AfterEnd { .. }) => return Ok(self.ignore()),
            Err(violation) => return Err(LinkViolation::of_link(id, violation)),
        };
        let credit = open
            .follow_up(&message)
            .map_err(|violation| LinkViolation::of_request(id, violation))?;
        let follow_up = match message {
            HostFollowUp::StdinData(input) => FollowUp::Stdin {
                data: input.data,
                eof: input.eof == Some(true),
            },
            HostFollowUp::ExecWindow(window) => FollowUp::Credit {
                stream: window.stream,
                granted: window.credit.get(),
                credit: credit.unwrap_or(Credit::Unlimited),
            },
            HostFollowUp::Signal(signal) => FollowUp::Signal(signal.signo),
            HostFollowUp::Cancel(Empty {}) => FollowUp::Cancel,
        };
        Ok(AgentEvent::FollowUp { id, follow_up })
    }

    /// Answers a request that was not opened.
    fn refuse(&mut self, id: u32, reply: ErrorReply, out: &mut Vec<u8>) -> AgentEvent {
        let refused = Some(reply.code);
        self.core.ids.use_up(id);
        write_answer(out, self.core.version(), id, Message::Error(reply));
        AgentEvent::Settled { refused }
    }

    fn ignore(&mut self) -> AgentEvent {
        self.core.count_ignored();
        AgentEvent::Settled { refused: None }
    }

    /// Applies a violation: a fatal one ends the link for good, another one aborts its request.
    fn apply_violation(&mut self, violation: LinkViolation, out: &mut Vec<u8>) -> LinkViolation {
        if violation.fatal {
            self.core.break_link(&violation, out);
        } else if let Ok(open) = self.core.ids.find(violation.id, MessageKind::Error) {
            open.aborted = true;
        }
        violation
    }
}
