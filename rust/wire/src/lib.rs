//! The link between a host and a guest agent, as state machines without I/O.
//!
//! A [`Deframer`] makes messages of received bytes, however they are split; [`Envelope::encode`]
//! makes a frame of a message. Nothing in this crate does I/O, waits, or reads a clock.
//!
//! The wire format is specified in `docs/rfcs/0001-guest-link.md` and, field by field, in
//! `docs/schema/guest-link-v1.cddl`. The tests compare both with this crate.

mod bounds;
mod event;
mod field;
mod file;
mod frame;
mod link;
mod message;
mod result;
mod text;

pub use bounds::*;
pub use event::*;
pub use field::{FieldFault, FieldFaultKind, FieldSpec, NAME_SHOWN_LEN_MAX, Shape};
pub use file::*;
pub use frame::*;
pub use link::{
    AgentEvent, AgentLink, AgentOffer, Agreed, Credit, FollowUp, HostEvent, HostLink, HostOffer,
    LinkViolation, OpenRequest, Phase, SendError, StdStream, Terminal, Violation,
};
pub use message::*;
pub use result::*;
pub use text::truncated;
