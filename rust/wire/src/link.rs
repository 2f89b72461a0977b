//! The state machines of both sides of a link.
//!
//! [`HostLink`] and [`AgentLink`] see every message that comes and goes. They agree on a version,
//! know which ids are open, what each stream may still send, and which message may follow which.
//! What a peer must not send is a [`LinkViolation`]; what this side must not send is a
//! [`SendError`], and both follow from the same rules.
//!
//! Neither has a clock: who drives a link sends `cancel` when a deadline passes, and calls
//! `lost` when the transport ends.

mod agent;
mod agree;
mod host;
mod open;
mod violation;

pub use agent::{AgentEvent, AgentLink, FollowUp};
pub use agree::{AgentOffer, Agreed, HostOffer};
pub use host::{HostEvent, HostLink, Terminal};
pub use open::{Credit, OpenRequest};
pub use violation::{LinkViolation, Phase, SendError, Violation, Way};

use crate::bounds::LINK_ID;
use crate::frame::Envelope;
use crate::message::{Direction, FrameLen, Message, MessageKind, MessageRole};

/// The longest reason in an `error` that a link writes by itself, in bytes. With its frame it
/// stays far below [`FRAME_LEN_MIN`](crate::FRAME_LEN_MIN), so that it can always be sent.
const REASON_LEN_MAX: usize = 1024;

/// The rules that hold on both sides for every message after the handshake; `not_mine` is the
/// direction that this side sends in.
fn admit(
    t: MessageKind,
    v: u32,
    id: u32,
    agreed: u32,
    not_mine: Direction,
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
    if t.direction() == not_mine {
        return Err(Violation::WrongDirection { t });
    }
    if id == LINK_ID && t != MessageKind::Error {
        return Err(Violation::WrongId { t, id });
    }
    Ok(())
}

/// Appends a message that a link answers by itself.
fn answer(out: &mut Vec<u8>, v: u32, id: u32, mut message: Message) {
    if let Message::Error(reply) = &mut message {
        while reply.message.len() > REASON_LEN_MAX {
            reply.message.pop();
        }
    }
    let v = crate::frame::version_of(&message, v);
    let sent = Envelope { v, id, message }.encode(out, FrameLen::DEFAULT);
    debug_assert!(
        sent.is_ok(),
        "an answer of the link itself is short and well formed: {sent:?}"
    );
}

/// Tells the peer why the link ends.
fn complain(out: &mut Vec<u8>, v: u32, violation: &LinkViolation) {
    let reply = violation.reply();
    answer(out, v, LINK_ID, Message::Error(reply));
}
