//! The guest as an effect handler, and the agent that runs inside it.
//!
//! On the host's side a [`GuestLink`](link::GuestLink) over a [`Transport`](transport::Transport)
//! answers the effects of the roles and interfaces that are bound to the guest, and a
//! [`Driver`](driver::Driver) runs a machine with it. On the guest's side the [`agent`] serves. The
//! two sides share only the link of `antiphon-wire`.

pub mod agent;
pub mod driver;
pub mod link;
mod outbox;
mod port;
pub mod protocols;
pub mod signals;
pub mod transport;
mod wake;
