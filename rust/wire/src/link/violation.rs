use crate::bounds::{LINK_ID, VersionRange};
use crate::frame::{EncodeError, FrameError};
use crate::message::{ErrorCode, ErrorReply, Feature, MessageKind};
use crate::result::Op;

/// A stream of a command, named as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Standard input, from host to guest.
    Stdin,
    /// Standard output, from guest to host.
    Stdout,
    /// Standard error, from guest to host.
    Stderr,
}

impl Way {
    /// Every stream.
    pub const ALL: &'static [Self] = &[Self::Stdin, Self::Stdout, Self::Stderr];

    /// The name of the stream.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The handshake is not over.
    Handshake,
    /// Requests flow.
    Ready,
    /// A side ended the link, or found no common version.
    Closed,
    /// The peer broke the rules.
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

/// A rule of the link that a message breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Something else came before the handshake was over.
    #[error("`{t}` came before the handshake was over")]
    BeforeHandshake {
        /// The message type, as text because it may be an unknown one.
        t: String,
    },
    /// A message of the handshake came after it, or was not asked for.
    #[error("`{t}` is not expected while the link is {phase}")]
    HandshakeAgain {
        /// The message type.
        t: MessageKind,
        /// How far the link is.
        phase: Phase,
    },
    /// The guest chose a version that the host did not offer.
    #[error("version {got} was chosen, {offered} was offered")]
    VersionNotOffered {
        /// What the host offered.
        offered: VersionRange,
        /// What the guest chose.
        got: u32,
    },
    /// An envelope has another version than the agreed one.
    #[error("an envelope has version {got}, {agreed} was agreed")]
    VersionNotAgreed {
        /// The agreed version.
        agreed: u32,
        /// The version in the envelope.
        got: u32,
    },
    /// A message that only the other side sends.
    #[error("`{t}` is not for this side to receive")]
    WrongDirection {
        /// The message type.
        t: MessageKind,
    },
    /// A request, or what belongs to one, on the id of the link, or a handshake on another.
    #[error("`{t}` may not have id {id}")]
    WrongId {
        /// The message type.
        t: MessageKind,
        /// The id.
        id: u32,
    },
    /// No request was ever open under this id.
    #[error("`{t}` has an id that no request had")]
    NeverOpened {
        /// The message type.
        t: MessageKind,
    },
    /// The request under this id has had its terminal message.
    #[error("`{t}` has an id that has ended")]
    AfterEnd {
        /// The message type.
        t: MessageKind,
    },
    /// A request has an id that is not above all earlier ones.
    #[error("`{t}` must have an id above {last}")]
    IdNotRising {
        /// The message type.
        t: MessageKind,
        /// The greatest id so far.
        last: u32,
    },
    /// A terminal message does not answer this request.
    #[error("`{t}` does not answer `{request}`")]
    WrongAnswer {
        /// The request.
        request: MessageKind,
        /// The terminal message.
        t: MessageKind,
    },
    /// A result is of another operation than the request.
    #[error("a result of `{op}` does not answer `{request}`")]
    WrongOp {
        /// The request.
        request: MessageKind,
        /// The operation in the result.
        op: Op,
    },
    /// A message that does not belong to this kind of request.
    #[error("`{t}` does not belong to `{request}`")]
    WrongRequest {
        /// The request.
        request: MessageKind,
        /// The message type.
        t: MessageKind,
    },
    /// Input for a command that was started without.
    #[error("the command was started without standard input")]
    NoStdin,
    /// Input after its end.
    #[error("standard input has ended")]
    AfterEof,
    /// More bytes than there is credit for.
    #[error("{got} bytes of {way} were sent with credit for {credit}")]
    CreditExceeded {
        /// The stream.
        way: Way,
        /// The credit before.
        credit: u64,
        /// The bytes sent.
        got: u64,
    },
    /// More credit than a stream can hold.
    #[error("{way} has credit for {credit} bytes and cannot take {granted} more")]
    CreditOverflow {
        /// The stream.
        way: Way,
        /// The credit before.
        credit: u64,
        /// The credit granted.
        granted: u32,
    },
    /// The result of a system call has another number of buffers than the call.
    #[error("the call had {expected} buffers, its result has {got}")]
    BufferCount {
        /// How many the call had.
        expected: usize,
        /// How many the result has.
        got: usize,
    },
    /// More bytes were read than were asked for.
    #[error("{max} bytes were asked for, {got} came")]
    ReadTooLong {
        /// How many were asked for.
        max: u32,
        /// How many came.
        got: usize,
    },
    /// More bytes were said to be written than were sent.
    #[error("{max} bytes were sent to be written, {got} are said to be")]
    WrittenTooLong {
        /// How many were sent.
        max: usize,
        /// How many are said to be written.
        got: u32,
    },
    /// More entries than were asked for.
    #[error("{max} entries were asked for, {got} came")]
    ListTooLong {
        /// How many were asked for.
        max: u32,
        /// How many came.
        got: usize,
    },
    /// Entries are not in the order of their names, or not after the name that was given.
    #[error("entry {index} of a listing is not after the one before it")]
    ListUnsorted {
        /// The number of the entry, from 0.
        index: usize,
    },
    /// A frame that could not be understood.
    #[error(transparent)]
    Frame(Box<FrameError>),
    /// Something came after the link ended.
    #[error("`{t}` came while the link was {phase}")]
    AfterLink {
        /// The message type, as text because it may be an unknown one.
        t: String,
        /// How the link ended.
        phase: Phase,
    },
}

/// A peer broke a rule of the link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("id {id}: {violation}")]
pub struct LinkViolation {
    /// The id of the message; [`LINK_ID`](crate::LINK_ID) where it had none.
    pub id: u32,
    /// Whether the whole link ends. Otherwise only the request under `id` does.
    pub fatal: bool,
    /// Which rule.
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

    /// A frame that could not be understood, on a link that has ended.
    pub(crate) fn of_frame(error: FrameError) -> Self {
        let id = error.id().unwrap_or(LINK_ID);
        Self::of_link(id, Violation::Frame(Box::new(error)))
    }

    /// The `error` that tells the peer.
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

/// Why this side does not send a message. Nothing was written and nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The link is not ready.
    #[error("the link is {phase}")]
    NotReady {
        /// How far it is.
        phase: Phase,
    },
    /// As many requests are open as were agreed.
    #[error("{open} requests are open, {max} were agreed; wait for one to end")]
    Busy {
        /// How many are open.
        open: usize,
        /// How many may be.
        max: usize,
    },
    /// Every id was used. A new link has new ones.
    #[error("every id of this link was used; open a new link")]
    IdsUsed,
    /// The peer does not serve this.
    #[error("`{feature}` was not agreed in the handshake")]
    NotAgreed {
        /// The missing feature.
        feature: Feature,
    },
    /// The message does not go this way, or not through this method.
    #[error("`{t}` is not sent this way")]
    WrongMessage {
        /// The message type, as text because it may be an unknown one.
        t: String,
    },
    /// The peer would take it for a violation.
    #[error("id {id}: {violation}")]
    Rule {
        /// The id.
        id: u32,
        /// The rule.
        violation: Violation,
    },
    /// It cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
