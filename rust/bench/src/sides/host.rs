//! The hosts of roles that are tasks, threads or ends of channels. They are called as often as the
//! hosts of Antiphon's roles.

use std::hint::black_box;

use antiphon_machine::Parcel;

use super::bare::label;
use crate::contest::{ARMS, Contest, Exchange};

/// The application code of a role.
pub(super) trait Host: Send {
    /// Chooses one of the labels.
    fn choose(&mut self, labels: &[u16]) -> u16;

    /// Handles a message that the role received.
    fn deliver(&mut self, parcel: &Parcel);
}

/// A role's host; `None` in contests without host calls.
pub(super) type RoleHost = Option<Box<dyn Host>>;

/// The labels of a client's message.
const LABELS: [u16; ARMS] = [0, 1, 2, 3];

/// Chooses the labels in turn, like Antiphon's host.
#[derive(Default)]
struct InTurn(usize);

impl Host for InTurn {
    fn choose(&mut self, labels: &[u16]) -> u16 {
        self.0 = self.0.wrapping_add(1);
        labels[self.0 % labels.len()]
    }

    fn deliver(&mut self, parcel: &Parcel) {
        black_box(parcel);
    }
}

/// The host of a role in this contest.
pub(super) fn host_of(contest: &Contest) -> RoleHost {
    match contest.delivered {
        true => Some(Box::new(InTurn::default())),
        false => None,
    }
}

/// The label of the client's next message.
#[inline]
pub(super) fn next_label(host: &mut RoleHost, exchange: Exchange, round: u64) -> u16 {
    match (host, exchange) {
        (Some(host), Exchange::Choice) => host.choose(&LABELS),
        _ => label(exchange, round),
    }
}

/// Receives a message, and delivers it to the role's host.
#[inline]
pub(super) fn take(host: &mut RoleHost, parcel: Parcel) {
    if let Some(host) = host {
        host.deliver(&parcel);
    }
    black_box(parcel);
}
