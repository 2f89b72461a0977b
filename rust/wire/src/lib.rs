//! The guest link: the messages between a host and the agent in a guest, as state machines without
//! I/O.
//!
//! The *host* sends requests, such as to run a command or to read a file; the *agent* carries them
//! out. A *frame* is one message with its length in front. Each request has an *id*, which its
//! later messages repeat, and exactly one *terminal message* ends it. *Credit* is the number of
//! bytes of a stream that the receiver allows the sender to send.
//!
//! A [`Deframer`] turns received bytes, in pieces of any size, into messages, and
//! [`Envelope::encode`] turns a message into a frame. [`HostLink`] and [`AgentLink`] decide what a
//! message means and which message may follow. Nothing in this crate does I/O, waits, or reads a
//! clock.
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
