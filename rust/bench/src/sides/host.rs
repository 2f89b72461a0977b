//! The hosts of roles that are tasks or threads, or ends of channels: asked and told what the hosts of our own are.

use std::hint::black_box;

use antiphon_machine::Parcel;

use super::bare::label;
use crate::contest::{ARMS, Contest, Exchange};

/// Application code behind a role.
pub(super) trait Host: Send {
    /// Which of the labels to say.
    fn choose(&mut self, labels: &[u16]) -> u16;

    /// What the role received.
    fn told(&mut self, parcel: &Parcel);
}

/// What a role has behind it; nobody where nobody is asked or told.
pub(super) type Behind = Option<Box<dyn Host>>;

/// The labels of a client's message.
const LABELS: [u16; ARMS] = [0, 1, 2, 3];

/// Chooses in turn, as ours does.
#[derive(Default)]
struct InTurn(usize);

impl Host for InTurn {
    fn choose(&mut self, labels: &[u16]) -> u16 {
        self.0 = self.0.wrapping_add(1);
        labels[self.0 % labels.len()]
    }

    fn told(&mut self, parcel: &Parcel) {
        black_box(parcel);
    }
}

/// What a role of this contest has behind it.
pub(super) fn behind(contest: &Contest) -> Behind {
    match contest.told {
        true => Some(Box::new(InTurn::default())),
        false => None,
    }
}

/// The label of the client's next message.
#[inline]
pub(super) fn chosen(host: &mut Behind, exchange: Exchange, round: u64) -> u16 {
    match (host, exchange) {
        (Some(host), Exchange::Choice) => host.choose(&LABELS),
        _ => label(exchange, round),
    }
}

/// Takes what was received, and tells who is behind the role.
#[inline]
pub(super) fn take(host: &mut Behind, parcel: Parcel) {
    if let Some(host) = host {
        host.told(&parcel);
    }
    black_box(parcel);
}
