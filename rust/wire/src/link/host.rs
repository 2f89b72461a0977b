use crate::bounds::{HANDSHAKE_VERSION, LINK_ID, PINGS_MAX};
use crate::frame::{Envelope, FrameError, encode_stdin_data};
use crate::link::open::{Open, OpenIds};
use crate::link::{
    Agreed, Credit, HostOffer, LinkViolation, OpenRequest, Phase, SendError, Violation, Way, admit,
    answer, complain,
};
use crate::message::{
    Direction, Empty, ErrorReply, ExecResponse, HelloErr, HelloOk, Message, MessageKind,
    MessageRole, Stream,
};
use crate::result::OpResult;

/// The one message that ends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// A command ended.
    Exec(ExecResponse),
    /// A file request or a system call gave a result.
    Op(OpResult),
    /// The guest lives.
    Pong,
    /// The request was not carried out.
    Error(ErrorReply),
}

/// What a host learns from a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum HostEvent {
    /// The handshake is over. From here on the deframer takes only the agreed version.
    Ready(HelloOk),
    /// There is no common version. The guest closes the link.
    Refused(HelloErr),
    /// A command wrote.
    Output {
        /// The id of the command.
        id: u32,
        /// Where it wrote.
        stream: Stream,
        /// What it wrote.
        data: Vec<u8>,
    },
    /// More input may be sent.
    StdinCredit {
        /// The id of the command.
        id: u32,
        /// How many bytes may be sent now, this credit included.
        credit: Credit,
    },
    /// A request ended. Nothing more comes on its id.
    Ended {
        /// Its id.
        id: u32,
        /// What it was.
        request: MessageKind,
        /// How it ended.
        terminal: Terminal,
    },
    /// The guest asked whether the host lives; the answer is written.
    Pinged,
    /// A message that asks for nothing: of an unknown type, or late on an id that was given up.
    Ignored,
    /// The guest ends the link. Every open id is lost.
    Closing(ErrorReply),
}

/// The host's side of a link.
///
/// What it has to say is appended to the `out` that its methods take; send that before anything
/// else. Drive it so:
///
/// 1. [`HostLink::new`] writes the `hello`.
/// 2. Give [`HostLink::receive`] every message of a [`Deframer`](crate::Deframer), and
///    [`HostLink::reject`] every error of it. After [`HostEvent::Ready`] requests may be sent.
/// 3. [`HostLink::request`] opens an id, [`HostLink::send`] and [`HostLink::send_stdin`] follow it
///    up, [`HostEvent::Ended`] ends it: exactly one for each id.
/// 4. When the transport ends, [`HostLink::lost`] ends what is still open.
///
/// A [`LinkViolation`] that is not fatal ends one request: the id takes no more part, a `cancel`
/// for it is written, and [`HostLink::lost`] does not list it again. After a fatal one the same
/// violation comes for ever.
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
    state: State,
    ids: OpenIds,
    ignored_count: u64,
}

#[derive(Clone, Debug)]
enum State {
    Asked,
    Ready(Agreed),
    Closed,
    Broken(LinkViolation),
    Lost,
}

impl HostLink {
    /// Writes the `hello` and waits for the answer.
    ///
    /// # Errors
    /// When the offer is none that the schema allows.
    pub fn new(offer: HostOffer, out: &mut Vec<u8>) -> Result<Self, SendError> {
        let hello = Envelope {
            v: HANDSHAKE_VERSION,
            id: LINK_ID,
            message: Message::Hello(offer.hello()),
        };
        hello.encode(out, Default::default())?;
        Ok(Self {
            offer,
            state: State::Asked,
            ids: OpenIds::default(),
            ignored_count: 0,
        })
    }

    /// A link whose handshake was made otherwise, as on a line where answers to other hosts come
    /// first: `answer` is the guest's answer to this host. Its ids go on after `last_id`, the
    /// highest that was used with that guest (0: none).
    ///
    /// # Errors
    /// When the answer is not one to this offer.
    pub fn with_answer(
        offer: HostOffer,
        answer: &HelloOk,
        last_id: u32,
    ) -> Result<Self, LinkViolation> {
        let agreed = offer.agree(answer);
        let agreed = agreed.map_err(|why| LinkViolation::of_link(LINK_ID, why))?;
        let mut ids = OpenIds::default();
        ids.use_up(last_id);
        Ok(Self {
            offer,
            state: State::Ready(agreed),
            ids,
            ignored_count: 0,
        })
    }

    // Inputs.

    /// Takes a message of the guest. Answers that need nobody's decision are appended to `out`.
    ///
    /// # Errors
    /// When the guest must not send this, now or at all.
    pub fn receive(
        &mut self,
        envelope: Envelope,
        out: &mut Vec<u8>,
    ) -> Result<HostEvent, LinkViolation> {
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
            State::Asked => self.take_answer(envelope),
            State::Ready(agreed) => {
                let version = agreed.version;
                self.take(envelope, version, out)
            }
        };
        taken.map_err(|violation| self.violated(violation, out))
    }

    /// Takes a frame that could not be understood. One whose payload is wrong ends its request;
    /// every other ends the link.
    ///
    /// # Errors
    /// Always, unless the request was given up before: then the frame is ignored.
    pub fn reject(
        &mut self,
        error: FrameError,
        out: &mut Vec<u8>,
    ) -> Result<HostEvent, LinkViolation> {
        match &self.state {
            State::Broken(violation) => return Err(violation.clone()),
            State::Closed | State::Lost => return Err(LinkViolation::of_frame(error)),
            State::Asked | State::Ready(_) => {}
        }
        let id = error.id().unwrap_or(LINK_ID);
        let condemned = self.ids.peek(id).map(|open| open.condemned);
        if let FrameError::Payload { t, .. } = &error
            && t.role() == MessageRole::Terminal
        {
            // The guest has ended this id, if badly.
            self.ids.remove(id);
        }
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

    /// The transport ended: gives every request that will have no terminal message any more.
    /// The second call gives none.
    #[must_use]
    pub fn lost(&mut self) -> Vec<OpenRequest> {
        if let State::Asked | State::Ready(_) = self.state {
            self.state = State::Lost;
        }
        self.ids.drain()
    }

    // Commands.

    /// Sends a request and gives its id.
    ///
    /// # Errors
    /// When the link does not take it now, or it was not agreed; then nothing was written.
    pub fn request(&mut self, message: Message, out: &mut Vec<u8>) -> Result<u32, SendError> {
        let agreed = self.agreed_or_error()?;
        let t = request_kind(&message)?;
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
        let open = self.ids.count(ping);
        if open >= max {
            return Err(SendError::Busy { open, max });
        }
        let id = self.ids.next_id().ok_or(SendError::IdsUsed)?;
        let (v, len_max, window) = (
            agreed.version,
            agreed.peer_frame_len_max,
            agreed.stdin_window,
        );
        let envelope = Envelope { v, id, message };
        envelope.encode(out, len_max)?;
        self.ids.insert(id, Open::of(t, &envelope.message, window));
        Ok(id)
    }

    /// Sends what belongs to an open request: `stdin_data`, `exec_window`, `signal`, `cancel`.
    ///
    /// # Errors
    /// When the guest would take it for a violation; then nothing was written.
    pub fn send(&mut self, id: u32, message: Message, out: &mut Vec<u8>) -> Result<(), SendError> {
        let agreed = self.agreed_or_error()?;
        let (v, len_max, start) = (agreed.version, agreed.peer_frame_len_max, out.len());
        let envelope = Envelope { v, id, message };
        envelope.encode(out, len_max)?;
        self.follow(id, &envelope.message)
            .inspect_err(|_| out.truncate(start))
    }

    /// Sends input for a command, straight from `data` to `out`.
    ///
    /// # Errors
    /// When there is no credit for it, or input has ended, or the command takes none; then
    /// nothing was written.
    pub fn send_stdin(
        &mut self,
        id: u32,
        data: &[u8],
        eof: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let agreed = self.agreed_or_error()?;
        let (v, len_max, start) = (agreed.version, agreed.peer_frame_len_max, out.len());
        encode_stdin_data(out, v, id, data, eof, len_max)?;
        let t = MessageKind::StdinData;
        self.ids
            .find(id, t)
            .and_then(|open| open.stdin(data.len(), eof))
            .map_err(|violation| SendError::Rule { id, violation })
            .inspect_err(|_| out.truncate(start))
    }

    /// Ends the link with a reason for the guest. Every open id is lost; ask [`Self::lost`].
    pub fn close(&mut self, reply: ErrorReply, out: &mut Vec<u8>) {
        if let State::Ready(agreed) = &self.state {
            answer(out, agreed.version, LINK_ID, Message::Error(reply));
        }
        if let State::Asked | State::Ready(_) = self.state {
            self.state = State::Closed;
        }
    }

    // Questions.

    /// How far the link is.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::Asked => Phase::Handshake,
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
            State::Asked | State::Closed | State::Broken(_) | State::Lost => None,
        }
    }

    /// What is open, in the order of ids. Requests given up after a violation are not among them.
    pub fn open_requests(&self) -> impl Iterator<Item = OpenRequest> + '_ {
        self.ids.iter()
    }

    /// How much input a command may be sent now; none if there is no such command open.
    #[must_use]
    pub fn stdin_credit(&self, id: u32) -> Option<Credit> {
        self.ids.peek(id)?.credit(Way::Stdin)
    }

    /// How much a command may send on an output stream before it needs more credit; none if there
    /// is no such command open.
    #[must_use]
    pub fn output_credit(&self, id: u32, stream: Stream) -> Option<Credit> {
        self.ids.peek(id)?.credit(Way::from(stream))
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

    fn take_answer(&mut self, envelope: Envelope) -> Result<HostEvent, LinkViolation> {
        let Envelope { id, message, .. } = envelope;
        let broken = |violation| LinkViolation::of_link(id, violation);
        if let (Some(t), true) = (message.kind(), id != LINK_ID) {
            return Err(broken(Violation::WrongId { t, id }));
        }
        if let Message::HelloOk(ok) = message {
            let agreed = self.offer.agree(&ok).map_err(broken)?;
            self.state = State::Ready(agreed);
            return Ok(HostEvent::Ready(ok));
        }
        if let Message::HelloErr(refusal) = message {
            self.state = State::Closed;
            return Ok(HostEvent::Refused(refusal));
        }
        if let Message::Error(reply) = message {
            self.state = State::Closed;
            return Ok(HostEvent::Closing(reply));
        }
        Err(broken(Violation::BeforeHandshake {
            t: message.name().to_owned(),
        }))
    }

    fn take(
        &mut self,
        envelope: Envelope,
        agreed: u32,
        out: &mut Vec<u8>,
    ) -> Result<HostEvent, LinkViolation> {
        let Envelope { v, id, message } = envelope;
        let Some(t) = message.kind() else {
            return Ok(self.ignored());
        };
        let broken = |violation| LinkViolation::of_link(id, violation);
        admit(t, v, id, agreed, Direction::HostToGuest).map_err(broken)?;
        match message {
            Message::ExecOutput(output) => {
                let (stream, data) = (output.stream, output.data);
                self.follow_up(id, t, |open| open.output(stream, data.len()))
                    .map(|taken| {
                        taken.map_or(HostEvent::Ignored, |()| HostEvent::Output {
                            id,
                            stream,
                            data,
                        })
                    })
            }
            Message::StdinWindow(window) => {
                let granted = window.credit.get();
                let taken = self.follow_up(id, t, |open| {
                    open.grant(t, Way::Stdin, granted)?;
                    Ok(open.credit(Way::Stdin).unwrap_or(Credit::Unlimited))
                })?;
                Ok(
                    taken.map_or(HostEvent::Ignored, |credit| HostEvent::StdinCredit {
                        id,
                        credit,
                    }),
                )
            }
            Message::ExecResponse(response) => self.end(id, t, Terminal::Exec(response)),
            Message::OpResult(result) => self.end(id, t, Terminal::Op(result)),
            Message::Pong(Empty {}) => self.end(id, t, Terminal::Pong),
            Message::Error(reply) if id == LINK_ID => {
                self.state = State::Closed;
                Ok(HostEvent::Closing(reply))
            }
            Message::Error(reply) => self.end(id, t, Terminal::Error(reply)),
            Message::Ping(Empty {}) => {
                answer(out, agreed, id, Message::Pong(Empty {}));
                Ok(HostEvent::Pinged)
            }
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
            | Message::Cancel(_)
            | Message::Unknown(_) => Err(broken(Violation::WrongDirection { t })),
        }
    }

    /// Applies a rule to the open request of a message; none when that request was given up.
    fn follow_up<T>(
        &mut self,
        id: u32,
        t: MessageKind,
        rule: impl FnOnce(&mut Open) -> Result<T, Violation>,
    ) -> Result<Option<T>, LinkViolation> {
        let open = self
            .ids
            .find(id, t)
            .map_err(|why| LinkViolation::of_link(id, why))?;
        if open.condemned {
            self.ignored_count = self.ignored_count.saturating_add(1);
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
            .ids
            .find(id, t)
            .map_err(|why| LinkViolation::of_link(id, why))?;
        let (request, condemned) = (open.request, open.condemned);
        let result = match &terminal {
            Terminal::Op(result) => Some(result),
            Terminal::Exec(_) | Terminal::Pong | Terminal::Error(_) => None,
        };
        let judged = open
            .end(t, result)
            .map_err(|why| LinkViolation::of_request(id, why));
        // A terminal message ends its id even when it is the wrong one: nothing else may follow.
        self.ids.remove(id);
        if condemned {
            return Ok(self.ignored());
        }
        judged.map(|()| HostEvent::Ended {
            id,
            request,
            terminal,
        })
    }

    fn follow(&mut self, id: u32, message: &Message) -> Result<(), SendError> {
        let wrong = || SendError::WrongMessage {
            t: message.name().to_owned(),
        };
        let t = message.kind().ok_or_else(wrong)?;
        if t.role() != MessageRole::OneWay || t.direction() != Direction::HostToGuest {
            return Err(wrong());
        }
        let rule = |violation| SendError::Rule { id, violation };
        let open = self.ids.find(id, t).map_err(rule)?;
        match message {
            Message::StdinData(input) => open.stdin(input.data.len(), input.eof == Some(true)),
            Message::ExecWindow(window) => {
                open.grant(t, Way::from(window.stream), window.credit.get())
            }
            Message::Signal(_) => open.signal(),
            Message::Cancel(_) => open.cancel(),
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
            | Message::Unknown(_) => return Err(wrong()),
        }
        .map_err(rule)
    }

    fn ignored(&mut self) -> HostEvent {
        self.ignored_count = self.ignored_count.saturating_add(1);
        HostEvent::Ignored
    }

    /// Keeps a violation: of a request, by giving it up; of the link, for ever.
    fn violated(&mut self, violation: LinkViolation, out: &mut Vec<u8>) -> LinkViolation {
        let v = self
            .agreed()
            .map_or(HANDSHAKE_VERSION, |agreed| agreed.version);
        if violation.fatal {
            complain(out, v, &violation);
            self.state = State::Broken(violation.clone());
        } else if let Ok(open) = self.ids.find(violation.id, MessageKind::Cancel) {
            open.condemned = true;
            answer(out, v, violation.id, Message::Cancel(Empty {}));
        }
        violation
    }
}

/// The type of a message that is a request.
pub(super) fn request_kind(message: &Message) -> Result<MessageKind, SendError> {
    message
        .kind()
        .filter(|kind| kind.role() == MessageRole::Request)
        .ok_or_else(|| SendError::WrongMessage {
            t: message.name().to_owned(),
        })
}
