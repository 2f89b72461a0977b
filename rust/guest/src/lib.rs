//! Both ends of the connection to a guest: the handler on the host's side, and the agent in the
//! guest.
//!
//! A *guest* is where commands run, such as a virtual machine or a container. The *agent* is the
//! program in it that runs the commands and works on files for the host.
//!
//! On the host's side, a protocol's roles and interfaces can be *bound* to the guest. A
//! [`GuestLink`](link::GuestLink) over a [`Transport`](transport::Transport) then answers their
//! effects, and a [`Driver`](driver::Driver) runs a machine with it. On the guest's side, the
//! [`agent`] serves hosts. The two sides share only the link of `antiphon-wire`.

pub mod agent;
pub mod driver;
pub mod link;
mod outbox;
mod port;
pub mod protocols;
pub mod signals;
pub mod transport;
mod wake;
