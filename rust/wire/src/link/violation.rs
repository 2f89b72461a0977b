use crate::bounds::{LINK_ID, VersionRange};
use crate::frame::{EncodeError, FrameError};
use crate::message::{ErrorCode, ErrorReply, Feature, MessageKind};
use crate::result::Op;

/// A standard stream of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StdStream {
    /// Standard input, from host to guest.
    Stdin,
    /// Standard output, from guest to host.
    Stdout,
    /// Standard error, from guest to host.
    Stderr,
}

impl StdStream {
    /// Every stream.
    pub const ALL: &'static [Self] = &[Self::Stdin, Self::Stdout, Self::Stderr];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl std::fmt::Display for StdStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The phase of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The handshake is in progress.
    Handshake,
    /// Requests can be sent.
    Ready,
    /// A side closed the link, or the two sides have no version in common.
    Closed,
    /// The peer violated a rule.
    Broken,
    /// The transport ended.
    Lost,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Handshake => "in its handshake",
            Self::Ready => "ready",
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Lost => "lost",
        })
    }
}

/// A rule of the link that a message violates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Another message came before the end of the handshake.
    #[error("`{t}` came before the handshake was over")]
    BeforeHandshake {
        /// The message type, as text because it can be unknown.
        t: String,
    },
    /// A message of the handshake came after its end, or was not expected.
    #[error("`{t}` is not expected while the link is {phase}")]
    HandshakeAgain {
        /// The message type.
        t: MessageKind,
        /// The phase of the link.
        phase: Phase,
    },
    /// The guest chose a version that the host did not offer.
    #[error("version {got} was chosen, {offered} was offered")]
    VersionNotOffered {
        /// The versions that the host offered.
        offered: VersionRange,
        /// The version that the guest chose.
        got: u32,
    },
    /// An envelope does not have the agreed version.
    #[error("an envelope has version {got}, {agreed} was agreed")]
    VersionNotAgreed {
        /// The agreed version.
        agreed: u32,
        /// The version in the envelope.
        got: u32,
    },
    /// A message that only the receiving side may send.
    #[error("`{t}` is not for this side to receive")]
    WrongDirection {
        /// The message type.
        t: MessageKind,
    },
    /// A request or its follow-up on the id of the link, or a handshake on another id.
    #[error("`{t}` may not have id {id}")]
    WrongId {
        /// The message type.
        t: MessageKind,
        /// The id.
        id: u32,
    },
    /// The id was never used by a request.
    #[error("`{t}` has an id that no request had")]
    NeverOpened {
        /// The message type.
        t: MessageKind,
    },
    /// The request with this id has had its terminal message.
    #[error("`{t}` has an id that has ended")]
    AfterEnd {
        /// The message type.
        t: MessageKind,
    },
    /// The id of a request is not greater than all earlier ids.
    #[error("`{t}` must have an id above {last}")]
    IdNotRising {
        /// The message type.
        t: MessageKind,
        /// The greatest id used so far.
        last: u32,
    },
    /// A terminal message does not answer this type of request.
    #[error("`{t}` does not answer `{request}`")]
    WrongAnswer {
        /// The request.
        request: MessageKind,
        /// The terminal message.
        t: MessageKind,
    },
    /// A result's operation is not that of the request.
    #[error("a result of `{op}` does not answer `{request}`")]
    WrongOp {
        /// The request.
        request: MessageKind,
        /// The operation in the result.
        op: Op,
    },
    /// A message that does not belong to this type of request.
    #[error("`{t}` does not belong to `{request}`")]
    WrongRequest {
        /// The request.
        request: MessageKind,
        /// The message type.
        t: MessageKind,
    },
    /// Input for a command that was started without standard input.
    #[error("the command was started without standard input")]
    NoStdin,
    /// Input after the end of standard input.
    #[error("standard input has ended")]
    AfterEof,
    /// More bytes than the stream has credit for.
    #[error("{got} bytes of {stream} were sent with credit for {credit}")]
    CreditExceeded {
        /// The stream.
        stream: StdStream,
        /// The credit before the message.
        credit: u64,
        /// The number of bytes sent.
        got: u64,
    },
    /// More credit than a stream can have.
    #[error("{stream} has credit for {credit} bytes and cannot take {granted} more")]
    CreditOverflow {
        /// The stream.
        stream: StdStream,
        /// The credit before.
        credit: u64,
        /// The credit granted.
        granted: u32,
    },
    /// The result of a system call does not have as many buffers as the call.
    #[error("the call had {expected} buffers, its result has {got}")]
    BufferCount {
        /// The number in the call.
        expected: usize,
        /// The number in the result.
        got: usize,
    },
    /// The result has more bytes than the request asked for.
    #[error("{max} bytes were asked for, {got} came")]
    ReadTooLong {
        /// The number in the request.
        max: u32,
        /// The number in the result.
        got: usize,
    },
    /// The result reports more bytes written than were sent.
    #[error("{max} bytes were sent to be written, {got} are said to be")]
    WrittenTooLong {
        /// The number of bytes sent.
        max: usize,
        /// The number of bytes reported as written.
        got: u32,
    },
    /// The result has more entries than the request asked for.
    #[error("{max} entries were asked for, {got} came")]
    ListTooLong {
        /// The number in the request.
        max: u32,
        /// The number in the result.
        got: usize,
    },
    /// Entries are not in the order of their names, or not after the name in the request.
    #[error("entry {index} of a listing is not after the one before it")]
    ListUnsorted {
        /// The index of the entry, from 0.
        index: usize,
    },
    /// A frame that could not be decoded.
    #[error(transparent)]
    Frame(Box<FrameError>),
    /// A message came after the end of the link.
    #[error("`{t}` came while the link was {phase}")]
    AfterLink {
        /// The message type, as text because it can be unknown.
        t: String,
        /// The phase of the link after its end.
        phase: Phase,
    },
}

/// A violation of a rule of the link by the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("id {id}: {violation}")]
pub struct LinkViolation {
    /// The id of the message; [`LINK_ID`](crate::LINK_ID) if it has none.
    pub id: u32,
    /// Whether the whole link ends. Otherwise only the request with this `id` ends.
    pub fatal: bool,
    /// The rule.
    pub violation: Violation,
}

impl LinkViolation {
    pub(crate) const fn of_link(id: u32, violation: Violation) -> Self {
        Self {
            id,
            fatal: true,
            violation,
        }
    }

    pub(crate) const fn of_request(id: u32, violation: Violation) -> Self {
        Self {
            id,
            fatal: false,
            violation,
        }
    }

    /// A frame that could not be decoded, on a link that has ended.
    pub(crate) fn of_frame(error: FrameError) -> Self {
        let id = error.id().unwrap_or(LINK_ID);
        Self::of_link(id, Violation::Frame(Box::new(error)))
    }

    /// The `error` that reports this to the peer.
    #[must_use]
    pub fn reply(&self) -> ErrorReply {
        match &self.violation {
            Violation::Frame(error) => error.reply(),
            Violation::NeverOpened { .. } | Violation::AfterEnd { .. } => {
                ErrorReply::new(ErrorCode::UnknownId, self.to_string())
            }
            Violation::VersionNotAgreed { agreed, .. } => ErrorReply {
                code: ErrorCode::UnsupportedVersion,
                message: self.to_string(),
                supported: Some(VersionRange {
                    min: *agreed,
                    max: *agreed,
                }),
            },
            Violation::BeforeHandshake { .. }
            | Violation::HandshakeAgain { .. }
            | Violation::VersionNotOffered { .. }
            | Violation::WrongDirection { .. }
            | Violation::WrongId { .. }
            | Violation::IdNotRising { .. }
            | Violation::WrongAnswer { .. }
            | Violation::WrongOp { .. }
            | Violation::WrongRequest { .. }
            | Violation::NoStdin
            | Violation::AfterEof
            | Violation::CreditExceeded { .. }
            | Violation::CreditOverflow { .. }
            | Violation::BufferCount { .. }
            | Violation::ReadTooLong { .. }
            | Violation::WrittenTooLong { .. }
            | Violation::ListTooLong { .. }
            | Violation::ListUnsorted { .. }
            | Violation::AfterLink { .. } => {
                ErrorReply::new(ErrorCode::InvalidRequest, self.to_string())
            }
        }
    }
}

/// Why this side does not send a message. Nothing was written and no state changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The link is not ready.
    #[error("the link is {phase}")]
    NotReady {
        /// The phase of the link.
        phase: Phase,
    },
    /// The agreed number of requests is open already.
    #[error("{open} requests are open, {max} were agreed; wait for one to end")]
    Busy {
        /// The number of open requests.
        open: usize,
        /// The agreed number.
        max: usize,
    },
    /// Every id was used. A new link starts with new ids.
    #[error("every id of this link was used; open a new link")]
    IdsUsed,
    /// The peer does not serve the feature of the request.
    #[error("`{feature}` was not agreed in the handshake")]
    NotAgreed {
        /// The missing feature.
        feature: Feature,
    },
    /// This side does not send the message, or not with this method.
    #[error("`{t}` is not sent this way")]
    WrongMessage {
        /// The message type, as text because it can be unknown.
        t: String,
    },
    /// The peer would treat it as a violation.
    #[error("id {id}: {violation}")]
    Rule {
        /// The id.
        id: u32,
        /// The rule.
        violation: Violation,
    },
    /// It cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
