//! The bare loop: messages through bounded buffers and nothing else, a lower bound for the cost of
//! the other sides.

use std::hint::black_box;

use antiphon_machine::{Edge, LabelId, Parcel, Value};

use super::prepared::{Absent, Prepared, Ready};
use crate::contest::{ARMS, Contest, Exchange, RING};

/// The capacity of a queue, the same as of the machine's edges.
pub(super) const BOUND: usize = 64;

/// A message of the sides that are not machines. It has the type and size of Antiphon's messages.
#[inline]
pub(super) fn parcel(sequence: u64, label: u16) -> Parcel {
    Parcel {
        payload: Value::Unit,
        sequence,
        label: LabelId(label),
    }
}

/// The label of a client's message.
#[inline]
pub(super) fn label(exchange: Exchange, round: u64) -> u16 {
    match exchange {
        Exchange::PingPong | Exchange::Ring => 0,
        Exchange::Choice => (round % ARMS as u64) as u16,
    }
}

/// The number of roles in the exchange.
pub(super) fn roles(exchange: Exchange) -> usize {
    match exchange {
        Exchange::PingPong | Exchange::Choice => 2,
        Exchange::Ring => RING,
    }
}

/// Sessions with `EDGES` edges each, which connect the roles in a ring.
struct Loop<const EDGES: usize> {
    exchange: Exchange,
    sessions: Vec<[Edge; EDGES]>,
    received: u64,
}

pub(super) fn prepare(contest: &Contest) -> Result<Prepared, Absent> {
    if contest.work > 0 || contest.steps.is_some() {
        return Err(Absent("has neither hosts nor steps".to_owned()));
    }
    match contest.exchange {
        Exchange::PingPong | Exchange::Choice => Prepared::of(Loop::<2>::new(contest)),
        Exchange::Ring => Prepared::of(Loop::<RING>::new(contest)),
    }
}

impl<const EDGES: usize> Loop<EDGES> {
    fn new(contest: &Contest) -> Loop<EDGES> {
        let session = || std::array::from_fn(|_| Edge::default());
        Loop {
            exchange: contest.exchange,
            sessions: (0..contest.sessions).map(|_| session()).collect(),
            received: 0,
        }
    }
}

/// Each role sends if there is room, and its successor receives.
#[inline]
fn round(edges: &mut [Edge], label: u16) -> u64 {
    let mut received = 0;
    for edge in edges {
        if edge.queue.len() < black_box(BOUND) {
            edge.queue.push_back(black_box(parcel(edge.sent, label)));
            edge.sent += 1;
        }
        if let Some(parcel) = black_box(&mut edge.queue).pop_front() {
            received += 1;
            black_box(parcel);
        }
    }
    received
}

impl<const EDGES: usize> Ready for Loop<EDGES> {
    fn exchange(&mut self, messages: u64) {
        let until = self.received + messages;
        while self.received < until {
            let label = label(self.exchange, self.received);
            for session in &mut self.sessions {
                self.received += round(session, label);
            }
        }
    }

    fn received(&self) -> u64 {
        self.received
    }
}
