use crate::bounds::{HANDSHAKE_VERSION, LINK_ID, PINGS_MAX};
use crate::frame::{Envelope, FrameError, encode_exec_output};
use crate::link::host::request_kind;
use crate::link::open::{Open, OpenIds};
use crate::link::{
    AgentOffer, Agreed, Credit, LinkViolation, OpenRequest, Phase, SendError, Violation, Way,
    admit, answer, complain,
};
use crate::message::{
    Direction, Empty, ErrorCode, ErrorReply, Hello, HelloErr, Message, MessageKind, MessageRole,
    Signo, Stream,
};

/// What an agent learns from a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum AgentEvent {
    /// The handshake is over and its answer is written. From here on the deframer takes only the
    /// agreed version.
    Ready(Agreed),
    /// There is no common version. The refusal is written; send it and close the link.
    Refused(HelloErr),
    /// A request to carry out. It must get exactly one terminal message.
    Request {
        /// Its id.
        id: u32,
        /// What to do: a message whose role is [`MessageRole::Request`].
        message: Message,
    },
    /// What belongs to a request that is being carried out.
    FollowUp {
        /// The id of the request.
        id: u32,
        /// What to do.
        follow_up: FollowUp,
    },
    /// The host asked whether the agent lives; the answer is written.
    Pinged,
    /// The host answered a ping.
    Ponged {
        /// The id of the ping.
        id: u32,
    },
    /// A request that was refused on the spot; the `error` is written. Also a message that asks
    /// for nothing: then there is no code.
    Settled {
        /// The code of the `error`, if one was written.
        refused: Option<ErrorCode>,
    },
    /// The host ends the link. Stop what is open.
    Closing(ErrorReply),
}

/// What a host adds to a request that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// Input for the command.
    Stdin {
        /// The bytes.
        data: Vec<u8>,
        /// Whether input ends after them.
        eof: bool,
    },
    /// More output may be sent.
    Credit {
        /// On which stream.
        stream: Stream,
        /// How many bytes may be sent now, this credit included.
        credit: Credit,
    },
    /// Send a signal to the command's process group.
    Signal(Signo),
    /// Stop early. The terminal message is still due.
    Cancel,
}

/// The agent's side of a link.
///
/// What it has to say is appended to the `out` that its methods take; send that before anything
/// else. It waits for a `hello`, takes requests, and must be given exactly one terminal message
/// for each by [`AgentLink::send`]. What is against the rules it answers by itself: a request too
/// many is `busy`, one of an unknown type `unsupported`, one that is not as the schema has it
/// `invalid_request`.
///
/// A [`LinkViolation`] that is not fatal condemns one request: stop it and send its terminal
/// `error` ([`LinkViolation::reply`] has one). A fatal one is already told to the host: send what
/// was written, stop everything, close the link.
///
/// An agent is driven as a [`HostLink`](crate::HostLink) is; see there for an example.
#[derive(Clone, Debug)]
pub struct AgentLink {
    offer: AgentOffer,
    state: State,
    /// What the host asked.
    ids: OpenIds,
    /// What this side asked: pings.
    pings: OpenIds,
    ignored_count: u64,
}

#[derive(Clone, Debug)]
enum State {
    Waiting,
    Ready(Agreed),
    Closed,
    Broken(LinkViolation),
    Lost,
}

impl AgentLink {
    /// Waits for a host.
    #[must_use]
    pub fn new(offer: AgentOffer) -> Self {
        Self {
            offer,
            state: State::Waiting,
            ids: OpenIds::default(),
            pings: OpenIds::default(),
            ignored_count: 0,
        }
    }

    // Inputs.

    /// Takes a message of the host. Answers that need nobody's decision are appended to `out`.
    ///
    /// # Errors
    /// When the host must not send this, now or at all.
    pub fn receive(
        &mut self,
        envelope: Envelope,
        out: &mut Vec<u8>,
    ) -> Result<AgentEvent, LinkViolation> {
        let taken = match &self.state {
            State::Broken(violation) => return Err(violation.clone()),
            State::Closed | State::Lost => {
                let t = envelope.message.name().to_owned();
                let violation = Violation::AfterLink {
                    t,
                    phase: self.phase(),
                };
                return Err(LinkViolation::of_link(envelope.id, violation));
            }
            State::Waiting => self.take_hello(envelope, out),
            State::Ready(agreed) => {
                let agreed = *agreed;
                self.take(envelope, agreed, out)
            }
        };
        taken.map_err(|violation| self.violated(violation, out))
    }

    /// Takes a frame that could not be understood. A request that is not as the schema has it, or
    /// in a version that is not spoken, is answered on its id; what belongs to an open request
    /// condemns that; everything else ends the link.
    ///
    /// # Errors
    /// When it was not answered.
    pub fn reject(
        &mut self,
        error: FrameError,
        out: &mut Vec<u8>,
    ) -> Result<AgentEvent, LinkViolation> {
        match &self.state {
            State::Broken(violation) => return Err(violation.clone()),
            State::Closed | State::Lost => return Err(LinkViolation::of_frame(error)),
            State::Waiting | State::Ready(_) => {}
        }
        let id = error.id().unwrap_or(LINK_ID);
        let fresh = id != LINK_ID && !self.ids.was_used(id);
        let answered = match (&error, &self.state) {
            (FrameError::Payload { t, .. }, State::Ready(_)) => {
                t.role() == MessageRole::Request && fresh
            }
            (FrameError::Version { .. }, State::Ready(_)) => fresh,
            (
                FrameError::TooLong { .. }
                | FrameError::Malformed(_)
                | FrameError::Envelope(_)
                | FrameError::Cut { .. },
                State::Ready(_),
            )
            | (_, State::Waiting | State::Closed | State::Broken(_) | State::Lost) => false,
        };
        if answered {
            return Ok(self.refuse(id, error.reply(), out));
        }
        let condemned = self.ids.peek(id).map(|open| open.condemned);
        let fatal = error.is_fatal() || condemned.is_none();
        if condemned == Some(true) && !fatal {
            return Ok(self.ignored());
        }
        let violation = Violation::Frame(Box::new(error));
        Err(self.violated(
            LinkViolation {
                id,
                fatal,
                violation,
            },
            out,
        ))
    }

    /// The transport ended: gives every request that is to be stopped. The second call gives
    /// none.
    #[must_use]
    pub fn lost(&mut self) -> Vec<OpenRequest> {
        if let State::Waiting | State::Ready(_) = self.state {
            self.state = State::Lost;
        }
        let _ = self.pings.drain();
        self.ids.drain()
    }

    // Commands.

    /// Sends what belongs to an open request: `exec_output`, `stdin_window`, and the one terminal
    /// message: `exec_response`, `op_result` or `error`.
    ///
    /// # Errors
    /// When the host would take it for a violation; then nothing was written.
    pub fn send(&mut self, id: u32, message: Message, out: &mut Vec<u8>) -> Result<(), SendError> {
        let agreed = self.agreed_or_error()?;
        let (v, len_max, start) = (agreed.version, agreed.peer_frame_len_max, out.len());
        let envelope = Envelope { v, id, message };
        envelope.encode(out, len_max)?;
        self.follow(id, &envelope.message)
            .inspect_err(|_| out.truncate(start))
    }

    /// Sends output of a command, straight from `data` to `out`.
    ///
    /// # Errors
    /// When there is no credit for it, or no such command open; then nothing was written.
    pub fn send_output(
        &mut self,
        id: u32,
        stream: Stream,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let agreed = self.agreed_or_error()?;
        let (v, len_max, start) = (agreed.version, agreed.peer_frame_len_max, out.len());
        encode_exec_output(out, v, id, stream, data, len_max)?;
        self.ids
            .find(id, MessageKind::ExecOutput)
            .and_then(|open| open.output(stream, data.len()))
            .map_err(|violation| SendError::Rule { id, violation })
            .inspect_err(|_| out.truncate(start))
    }

    /// Asks whether the host lives, and gives the id of the question.
    ///
    /// # Errors
    /// When the link is not ready, or too many pings are open.
    pub fn ping(&mut self, out: &mut Vec<u8>) -> Result<u32, SendError> {
        let agreed = self.agreed_or_error()?;
        let (v, len_max) = (agreed.version, agreed.peer_frame_len_max);
        let open = self.pings.count(true);
        if open >= PINGS_MAX {
            return Err(SendError::Busy {
                open,
                max: PINGS_MAX,
            });
        }
        let id = self.pings.next_id().ok_or(SendError::IdsUsed)?;
        let envelope = Envelope {
            v,
            id,
            message: Message::Ping(Empty {}),
        };
        let t = request_kind(&envelope.message)?;
        envelope.encode(out, len_max)?;
        self.pings.insert(id, Open::of(t, &envelope.message, None));
        Ok(id)
    }

    /// Ends the link with a reason for the host, before the handshake too. The caller must
    /// stop what is open, see [`Self::lost`].
    pub fn close(&mut self, reply: ErrorReply, out: &mut Vec<u8>) {
        if let State::Waiting | State::Ready(_) = &self.state {
            let v = self
                .agreed()
                .map_or(HANDSHAKE_VERSION, |agreed| agreed.version);
            answer(out, v, LINK_ID, Message::Error(reply));
        }
        if let State::Waiting | State::Ready(_) = self.state {
            self.state = State::Closed;
        }
    }

    // Questions.

    /// How far the link is.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::Waiting => Phase::Handshake,
            State::Ready(_) => Phase::Ready,
            State::Closed => Phase::Closed,
            State::Broken(_) => Phase::Broken,
            State::Lost => Phase::Lost,
        }
    }

    /// What was agreed, once the link is ready.
    #[must_use]
    pub const fn agreed(&self) -> Option<&Agreed> {
        match &self.state {
            State::Ready(agreed) => Some(agreed),
            State::Waiting | State::Closed | State::Broken(_) | State::Lost => None,
        }
    }

    /// What is open, in the order of ids, condemned requests aside.
    pub fn open_requests(&self) -> impl Iterator<Item = OpenRequest> + '_ {
        self.ids.iter()
    }

    /// How much may be sent on an output stream now; none if there is no such command open.
    #[must_use]
    pub fn output_credit(&self, id: u32, stream: Stream) -> Option<Credit> {
        self.ids.peek(id)?.credit(Way::from(stream))
    }

    /// How much input the host may send before it needs more credit; none if there is no such
    /// command open.
    #[must_use]
    pub fn stdin_credit(&self, id: u32) -> Option<Credit> {
        self.ids.peek(id)?.credit(Way::Stdin)
    }

    /// How many messages were ignored.
    #[must_use]
    pub const fn ignored_count(&self) -> u64 {
        self.ignored_count
    }

    // How a message is taken.

    fn agreed_or_error(&self) -> Result<&Agreed, SendError> {
        self.agreed().ok_or(SendError::NotReady {
            phase: self.phase(),
        })
    }

    fn take_hello(
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
        match self.offer.agree(hello) {
            Ok((ok, agreed)) => {
                answer(out, HANDSHAKE_VERSION, LINK_ID, Message::HelloOk(ok));
                self.state = State::Ready(agreed);
                AgentEvent::Ready(agreed)
            }
            Err(refusal) => {
                answer(
                    out,
                    HANDSHAKE_VERSION,
                    LINK_ID,
                    Message::HelloErr(refusal.clone()),
                );
                self.state = State::Closed;
                AgentEvent::Refused(refusal)
            }
        }
    }

    fn take(
        &mut self,
        envelope: Envelope,
        agreed: Agreed,
        out: &mut Vec<u8>,
    ) -> Result<AgentEvent, LinkViolation> {
        let Envelope { v, id, message } = envelope;
        let Some(t) = message.kind() else {
            return Ok(self.take_unknown(id, message.name(), out));
        };
        let broken = |violation| LinkViolation::of_link(id, violation);
        admit(t, v, id, agreed.version, Direction::GuestToHost).map_err(broken)?;
        match t.role() {
            MessageRole::Handshake => Err(broken(Violation::HandshakeAgain {
                t,
                phase: Phase::Ready,
            })),
            MessageRole::Request => {
                self.ids.rising(id, t).map_err(broken)?;
                Ok(self.take_request(id, t, message, agreed, out))
            }
            MessageRole::OneWay => self.take_follow_up(id, t, message),
            MessageRole::Terminal => self.take_terminal(id, t, message),
        }
    }

    fn take_request(
        &mut self,
        id: u32,
        t: MessageKind,
        message: Message,
        agreed: Agreed,
        out: &mut Vec<u8>,
    ) -> AgentEvent {
        if t == MessageKind::Ping {
            self.ids.use_up(id);
            answer(out, agreed.version, id, Message::Pong(Empty {}));
            return AgentEvent::Pinged;
        }
        if let Some(feature) = t.feature()
            && !agreed.features.contains(feature)
        {
            let reason = format!("`{feature}` was not agreed in the handshake");
            return self.refuse(id, ErrorReply::new(ErrorCode::Unsupported, reason), out);
        }
        let max = agreed.ids_max;
        if self.ids.count(false) >= usize::try_from(max).unwrap_or(usize::MAX) {
            let reason = format!("{max} requests are open, as many as were agreed");
            return self.refuse(id, ErrorReply::new(ErrorCode::Busy, reason), out);
        }
        let open = Open::of(t, &message, agreed.stdin_window);
        self.ids.insert(id, open);
        AgentEvent::Request { id, message }
    }

    /// An unknown type on a new id is taken for a request: somebody may wait for its answer.
    fn take_unknown(&mut self, id: u32, t: &str, out: &mut Vec<u8>) -> AgentEvent {
        if id == LINK_ID || self.ids.was_used(id) {
            return self.ignored();
        }
        let reason = format!("`{}` is not known here", crate::field::shown(t));
        self.refuse(id, ErrorReply::new(ErrorCode::Unsupported, reason), out)
    }

    /// A host ends a ping of this side, or, on the id of the link, the link.
    fn take_terminal(
        &mut self,
        id: u32,
        t: MessageKind,
        message: Message,
    ) -> Result<AgentEvent, LinkViolation> {
        if let (LINK_ID, Message::Error(reply)) = (id, message) {
            self.state = State::Closed;
            return Ok(AgentEvent::Closing(reply));
        }
        self.pings
            .find(id, t)
            .map_err(|why| LinkViolation::of_link(id, why))?;
        self.pings.remove(id);
        Ok(AgentEvent::Ponged { id })
    }

    /// What a host adds to a request may cross the request's end on its way: then it is late and
    /// nobody's fault.
    fn take_follow_up(
        &mut self,
        id: u32,
        t: MessageKind,
        message: Message,
    ) -> Result<AgentEvent, LinkViolation> {
        let open = match self.ids.find(id, t) {
            Ok(open) if open.condemned => return Ok(self.ignored()),
            Ok(open) => open,
            Err(Violation::AfterEnd { .. }) => return Ok(self.ignored()),
            Err(violation) => return Err(LinkViolation::of_link(id, violation)),
        };
        let follow_up = follow_up(open, t, message);
        follow_up
            .map(|follow_up| AgentEvent::FollowUp { id, follow_up })
            .map_err(|violation| LinkViolation::of_request(id, violation))
    }

    fn follow(&mut self, id: u32, message: &Message) -> Result<(), SendError> {
        let wrong = || SendError::WrongMessage {
            t: message.name().to_owned(),
        };
        let rule = |violation| SendError::Rule { id, violation };
        let t = message.kind().ok_or_else(wrong)?;
        if matches!(t.role(), MessageRole::Handshake | MessageRole::Request)
            || t.direction() == Direction::HostToGuest
        {
            return Err(wrong());
        }
        let open = self.ids.find(id, t).map_err(rule)?;
        match message {
            Message::ExecOutput(output) => open.output(output.stream, output.data.len()),
            Message::StdinWindow(window) => open.grant(t, Way::Stdin, window.credit.get()),
            Message::OpResult(result) => open.end(t, Some(result)),
            Message::ExecResponse(_) | Message::Error(_) | Message::Pong(_) => open.end(t, None),
            Message::Hello(_)
            | Message::HelloOk(_)
            | Message::HelloErr(_)
            | Message::ExecRequest(_)
            | Message::StdinData(_)
            | Message::ExecWindow(_)
            | Message::Signal(_)
            | Message::FsOpen(_)
            | Message::FsRead(_)
            | Message::FsWrite(_)
            | Message::FsSeek(_)
            | Message::FsClose(_)
            | Message::FsStat(_)
            | Message::FsReadFile(_)
            | Message::FsWriteFile(_)
            | Message::FsList(_)
            | Message::FsMkdir(_)
            | Message::FsUnlink(_)
            | Message::FsRename(_)
            | Message::Syscall(_)
            | Message::Ping(_)
            | Message::Cancel(_)
            | Message::Unknown(_) => return Err(wrong()),
        }
        .map_err(rule)?;
        if t.role() == MessageRole::Terminal {
            self.ids.remove(id);
        }
        Ok(())
    }

    /// Answers a request that is not even opened.
    fn refuse(&mut self, id: u32, reply: ErrorReply, out: &mut Vec<u8>) -> AgentEvent {
        let v = self
            .agreed()
            .map_or(HANDSHAKE_VERSION, |agreed| agreed.version);
        let refused = Some(reply.code);
        self.ids.use_up(id);
        answer(out, v, id, Message::Error(reply));
        AgentEvent::Settled { refused }
    }

    fn ignored(&mut self) -> AgentEvent {
        self.ignored_count = self.ignored_count.saturating_add(1);
        AgentEvent::Settled { refused: None }
    }

    fn violated(&mut self, violation: LinkViolation, out: &mut Vec<u8>) -> LinkViolation {
        let v = self
            .agreed()
            .map_or(HANDSHAKE_VERSION, |agreed| agreed.version);
        if violation.fatal {
            complain(out, v, &violation);
            self.state = State::Broken(violation.clone());
        } else if let Ok(open) = self.ids.find(violation.id, MessageKind::Error) {
            open.condemned = true;
        }
        violation
    }
}

fn follow_up(open: &mut Open, t: MessageKind, message: Message) -> Result<FollowUp, Violation> {
    match message {
        Message::StdinData(input) => {
            let eof = input.eof == Some(true);
            open.stdin(input.data.len(), eof)?;
            Ok(FollowUp::Stdin {
                data: input.data,
                eof,
            })
        }
        Message::ExecWindow(window) => {
            let way = Way::from(window.stream);
            open.grant(t, way, window.credit.get())?;
            let credit = open.credit(way).unwrap_or(Credit::Unlimited);
            Ok(FollowUp::Credit {
                stream: window.stream,
                credit,
            })
        }
        Message::Signal(signal) => {
            open.signal()?;
            Ok(FollowUp::Signal(signal.signo))
        }
        Message::Cancel(Empty {}) => {
            open.cancel()?;
            Ok(FollowUp::Cancel)
        }
        Message::Hello(_)
        | Message::HelloOk(_)
        | Message::HelloErr(_)
        | Message::ExecRequest(_)
        | Message::ExecOutput(_)
        | Message::StdinWindow(_)
        | Message::ExecResponse(_)
        | Message::FsOpen(_)
        | Message::FsRead(_)
        | Message::FsWrite(_)
        | Message::FsSeek(_)
        | Message::FsClose(_)
        | Message::FsStat(_)
        | Message::FsReadFile(_)
        | Message::FsWriteFile(_)
        | Message::FsList(_)
        | Message::FsMkdir(_)
        | Message::FsUnlink(_)
        | Message::FsRename(_)
        | Message::Syscall(_)
        | Message::OpResult(_)
        | Message::Ping(_)
        | Message::Pong(_)
        | Message::Error(_)
        | Message::Unknown(_) => Err(Violation::WrongDirection { t }),
    }
}
