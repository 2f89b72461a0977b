//! The link between a host and a guest agent, as state machines without I/O.
//!
//! Bytes come in at any split and messages come out ([`Deframer`]); messages go out as frames
//! ([`Envelope::encode`]). Nothing here reads, writes, waits or knows the time.
//!
//! What stands on the wire is specified in `docs/rfcs/0001-guest-link.md` and, field by field, in
//! `docs/schema/guest-link-v1.cddl`. Both are compared with this crate by its tests.

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
    LinkViolation, OpenRequest, Phase, SendError, Terminal, Violation, Way,
};
pub use message::*;
pub use result::*;
pub use text::truncated;
