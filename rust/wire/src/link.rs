//! The state machines of both sides of a link.
//!
//! [`HostLink`] and [`AgentLink`] see every message that is received and sent. They agree on a
//! version, keep the list of open ids, count the credit of each stream, and decide which message
//! may follow. A message that the peer must not send is a [`LinkViolation`], one that this side
//! must not send is a [`SendError`]; both follow from the same rules.
//!
//! Neither has a clock: the owner of a link sends `cancel` when a deadline passes, and calls `lost`
//! when the transport ends.

mod agent;
mod agree;
mod host;
mod open;
mod state;
mod violation;

pub use agent::{AgentEvent, AgentLink, FollowUp};
pub use agree::{AgentOffer, Agreed, HostOffer};
pub use host::{HostEvent, HostLink, Terminal};
pub use open::{Credit, OpenRequest};
pub use violation::{LinkViolation, Phase, SendError, StdStream, Violation};

use crate::bounds::LINK_ID;
use crate::frame::Envelope;
use crate::message::{Direction, FrameLen, Message, MessageKind, MessageRole};
use crate::text::truncated;

/// The longest reason in an `error` that a link writes by itself, in bytes. Its frame stays far
/// below [`FRAME_LEN_MIN`](crate::FRAME_LEN_MIN), so it can always be sent.
const REASON_LEN_MAX: usize = 1024;

/// Checks the rules that hold on both sides for every message after the handshake. `sent` is the
/// direction in which only this side sends.
fn check_message(
    t: MessageKind,
    v: u32,
    id: u32,
    agreed: u32,
    sent: Direction,
) -> Result<(), Violation> {
    if t.role() == MessageRole::Handshake {
        return Err(Violation::HandshakeAgain {
            t,
            phase: Phase::Ready,
        });
    }
    if v != agreed {
        return Err(Violation::VersionNotAgreed { agreed, got: v });
    }
    if t.direction() == sent {
        return Err(Violation::WrongDirection { t });
    }
    if id == LINK_ID && t != MessageKind::Error {
        return Err(Violation::WrongId { t, id });
    }
    Ok(())
}

/// Appends a message that a link sends by itself.
fn write_answer(out: &mut Vec<u8>, v: u32, id: u32, mut message: Message) {
    if let Message::Error(reply) = &mut message {
        reply
            .message
            .truncate(truncated(&reply.message, REASON_LEN_MAX).len());
    }
    let v = crate::frame::version_of(&message, v);
    let sent = Envelope { v, id, message }.encode(out, FrameLen::DEFAULT);
    debug_assert!(
        sent.is_ok(),
        "an answer of the link itself is short and well formed: {sent:?}"
    );
}

/// Appends the `error` with the reason for the end of the link.
fn report_violation(out: &mut Vec<u8>, v: u32, violation: &LinkViolation) {
    write_answer(out, v, LINK_ID, Message::Error(violation.reply()));
}

impl SendError {
    /// The refusal of a message that this side does not send, or not by this method.
    fn wrong_message(message: &Message) -> Self {
        Self::WrongMessage {
            t: message.name().to_owned(),
        }
    }
}
