//! The state that both sides of a link keep in the same way: phase, open ids, ignored messages.

use crate::bounds::{HANDSHAKE_VERSION, LINK_ID};
use crate::frame::{EncodeError, Envelope, FrameError, encode_typed};
use crate::link::open::{Open, OpenIds};
use crate::link::{
    Agreed, Credit, LinkViolation, OpenRequest, Phase, SendError, StdStream, Violation,
    report_violation,
};
use crate::message::{FrameLen, MessageKind, Typed};

/// How far a link is, with what is known in that phase.
#[derive(Clone, Debug)]
pub(super) enum State {
    Handshake,
    Ready(Agreed),
    Closed,
    Broken(LinkViolation),
    Lost,
}

/// What a host's and an agent's side of a link have in common.
#[derive(Clone, Debug)]
pub(super) struct Core {
    pub(super) state: State,
    /// The requests of the host.
    pub(super) ids: OpenIds,
    ignored_count: u64,
}

impl Core {
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            ids: OpenIds::default(),
            ignored_count: 0,
        }
    }

    pub(super) const fn phase(&self) -> Phase {
        match self.state {
            State::Handshake => Phase::Handshake,
            State::Ready(_) => Phase::Ready,
            State::Closed => Phase::Closed,
            State::Broken(_) => Phase::Broken,
            State::Lost => Phase::Lost,
        }
    }

    pub(super) const fn agreed(&self) -> Option<&Agreed> {
        match &self.state {
            State::Ready(agreed) => Some(agreed),
            State::Handshake | State::Closed | State::Broken(_) | State::Lost => None,
        }
    }

    pub(super) fn require_agreed(&self) -> Result<Agreed, SendError> {
        let phase = self.phase();
        self.agreed().copied().ok_or(SendError::NotReady { phase })
    }

    /// The version of the frames that this side writes now.
    pub(super) fn version(&self) -> u32 {
        self.agreed()
            .map_or(HANDSHAKE_VERSION, |agreed| agreed.version)
    }

    pub(super) const fn ignored_count(&self) -> u64 {
        self.ignored_count
    }

    pub(super) fn credit(&self, id: u32, stream: StdStream) -> Option<Credit> {
        self.ids.peek(id)?.credit(stream)
    }

    /// The violation by a message after the end of the link; `None` before the end.
    pub(super) fn ended(&self, envelope: &Envelope) -> Option<LinkViolation> {
        match &self.state {
            State::Handshake | State::Ready(_) => None,
            State::Broken(violation) => Some(violation.clone()),
            State::Closed | State::Lost => {
                let (t, phase) = (envelope.message.name().to_owned(), self.phase());
                let violation = Violation::AfterLink { t, phase };
                Some(LinkViolation::of_link(envelope.id, violation))
            }
        }
    }

    /// The violation by an undecodable frame after the end of the link. Before the end, returns the
    /// error of the frame.
    pub(super) fn ended_by(&self, error: FrameError) -> Result<FrameError, LinkViolation> {
        match &self.state {
            State::Handshake | State::Ready(_) => Ok(error),
            State::Broken(violation) => Err(violation.clone()),
            State::Closed | State::Lost => Err(LinkViolation::of_frame(error)),
        }
    }

    /// Returns the violation of an undecodable frame, or `None` if the frame is ignored. `aborted`
    /// is the flag of the frame's open request; `None` if it has none.
    pub(super) fn judge_frame(
        &mut self,
        error: FrameError,
        aborted: Option<bool>,
    ) -> Option<LinkViolation> {
        let id = error.id().unwrap_or(LINK_ID);
        let fatal = error.is_fatal() || aborted.is_none();
        if aborted == Some(true) && !fatal {
            self.count_ignored();
            return None;
        }
        let violation = Violation::Frame(Box::new(error));
        Some(LinkViolation {
            id,
            fatal,
            violation,
        })
    }

    pub(super) fn count_ignored(&mut self) {
        self.ignored_count = self.ignored_count.saturating_add(1);
    }

    /// Applies the end of the transport and returns the requests that were open.
    pub(super) fn lose(&mut self) -> Vec<OpenRequest> {
        if let State::Handshake | State::Ready(_) = self.state {
            self.state = State::Lost;
        }
        self.ids.drain()
    }

    pub(super) fn close(&mut self) {
        if let State::Handshake | State::Ready(_) = self.state {
            self.state = State::Closed;
        }
    }

    /// Ends the link after a fatal violation and writes its `error`.
    pub(super) fn break_link(&mut self, violation: &LinkViolation, out: &mut Vec<u8>) {
        report_violation(out, self.version(), violation);
        self.state = State::Broken(violation.clone());
    }

    /// Writes a message on an open id, if `rule` allows it. `out` is unchanged on an error.
    pub(super) fn send(
        &mut self,
        id: u32,
        message: &impl Typed,
        out: &mut Vec<u8>,
        rule: impl FnOnce(&mut Open) -> Result<(), Violation>,
    ) -> Result<(), SendError> {
        let write = |out: &mut Vec<u8>, v, len_max| encode_typed(out, v, id, message, len_max);
        self.send_with(id, message.kind(), out, write, rule)
    }

    /// As [`send`](Self::send), with the function that writes the frame.
    pub(super) fn send_with(
        &mut self,
        id: u32,
        t: MessageKind,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>, u32, FrameLen) -> Result<(), EncodeError>,
        rule: impl FnOnce(&mut Open) -> Result<(), Violation>,
    ) -> Result<(), SendError> {
        let agreed = self.require_agreed()?;
        let start = out.len();
        write(out, agreed.version, agreed.peer_frame_len_max)?;
        self.ids
            .find(id, t)
            .and_then(rule)
            .map_err(|violation| SendError::Rule { id, violation })
            .inspect_err(|_| out.truncate(start))
    }
}
