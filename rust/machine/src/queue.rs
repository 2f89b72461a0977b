//! The ready queue, and what each policy picks from it.

use std::collections::{BTreeMap, VecDeque};

use either::Either;

use crate::config::SchedulingPolicy;
use crate::ids::Pick;
use crate::mutant::{self, active};

/// Every ready coroutine of every session, each once, in queue order.
///
/// For `Cooperative` and `RoundRobin` a ring, constant time. For `Priority` and `ProgressAware`, which do not always
/// pick the head, a map ordered by rank and then by the ticket drawn on entry: logarithmic time.
///
/// Entries of a session that has ended stay until they come to the head; whoever takes the head passes over them.
#[derive(Clone, Debug)]
pub(crate) struct ReadyQueue {
    order: Order,
    /// The ticket of the next who enters: later ones are larger.
    tickets: u64,
}

#[derive(Clone, Debug)]
enum Order {
    Ring(VecDeque<(u64, Pick)>),
    Ranked(Ranked),
}

#[derive(Clone, Debug, Default)]
struct Ranked {
    by_rank: BTreeMap<(u8, u64), Pick>,
    places: BTreeMap<Pick, (u8, u64)>,
}

/// An entry of the queue, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) pick: Pick,
    /// Lower ones are picked first; a ring has no ranks.
    pub(crate) rank: u8,
    /// Lower ones came first.
    pub(crate) ticket: u64,
}

impl Ranked {
    fn insert(&mut self, entry: Queued) {
        let Queued { pick, rank, ticket } = entry;
        debug_assert!(!self.places.contains_key(&pick), "a coroutine queues once");
        self.places.insert(pick, (rank, ticket));
        self.by_rank.insert((rank, ticket), pick);
    }
}

impl ReadyQueue {
    pub(crate) fn new(policy: SchedulingPolicy) -> ReadyQueue {
        let order = match policy {
            SchedulingPolicy::Cooperative | SchedulingPolicy::RoundRobin => {
                Order::Ring(VecDeque::new())
            }
            SchedulingPolicy::Priority | SchedulingPolicy::ProgressAware => {
                Order::Ranked(Ranked::default())
            }
        };
        ReadyQueue { order, tickets: 0 }
    }

    /// What the policy picks.
    #[inline]
    pub(crate) fn head(&self) -> Option<Pick> {
        match &self.order {
            Order::Ring(ring) => ring.front().map(|(_, pick)| *pick),
            Order::Ranked(ranked) => {
                let (best, first) = ranked.by_rank.first_key_value()?;
                if active(mutant::TIE_LAST) {
                    let mut tied = ranked.by_rank.range(..=(best.0, u64::MAX));
                    return tied.next_back().map(|(_, last)| *last);
                }
                Some(*first)
            }
        }
    }

    /// Enters at the back.
    #[inline(always)]
    pub(crate) fn push(&mut self, pick: Pick, rank: u8) {
        let ticket = self.tickets;
        self.tickets += 1;
        self.insert(Queued { pick, rank, ticket });
    }

    /// Takes a place behind all others, with a ticket that was drawn before.
    #[inline(always)]
    fn insert(&mut self, entry: Queued) {
        match &mut self.order {
            Order::Ring(ring) => ring.push_back((entry.ticket, entry.pick)),
            Order::Ranked(ranked) => ranked.insert(entry),
        }
    }

    /// Takes out what was picked. In a ring a policy's pick is the head still, because whoever is woken enters at the
    /// back; a pick by somebody else may stand anywhere, and is searched for.
    #[inline(always)]
    pub(crate) fn take(&mut self, pick: Pick) {
        match &mut self.order {
            Order::Ring(ring) if ring.front().is_some_and(|(_, head)| *head == pick) => {
                ring.pop_front();
            }
            Order::Ring(_) | Order::Ranked(_) => self.take_out(pick),
        }
    }

    fn take_out(&mut self, pick: Pick) {
        match &mut self.order {
            Order::Ring(ring) => {
                let at = ring.iter().position(|(_, queued)| *queued == pick);
                debug_assert!(at.is_some(), "who is taken out was queued");
                if let Some(at) = at {
                    ring.remove(at);
                }
            }
            Order::Ranked(ranked) => {
                if let Some(place) = ranked.places.remove(&pick) {
                    ranked.by_rank.remove(&place);
                }
            }
        }
    }

    /// Whether it is queued. Linear in a ring.
    pub(crate) fn holds(&self, pick: Pick) -> bool {
        match &self.order {
            Order::Ring(ring) => ring.iter().any(|(_, queued)| *queued == pick),
            Order::Ranked(ranked) => ranked.places.contains_key(&pick),
        }
    }

    /// Changes the rank of a queued coroutine; its place in queue order stays.
    pub(crate) fn rank(&mut self, pick: Pick, rank: u8) {
        let Order::Ranked(ranked) = &mut self.order else {
            return;
        };
        let Some(place) = ranked.places.get_mut(&pick) else {
            return;
        };
        ranked.by_rank.remove(place);
        place.0 = rank;
        ranked.by_rank.insert(*place, pick);
    }

    /// The entries in queue order. A ranked queue is sorted for it.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Queued> {
        match &self.order {
            Order::Ring(ring) => Either::Left(ring.iter().map(|(ticket, pick)| Queued {
                pick: *pick,
                rank: 0,
                ticket: *ticket,
            })),
            Order::Ranked(ranked) => {
                let entry = |(pick, place): (&Pick, &(u8, u64))| Queued {
                    pick: *pick,
                    rank: place.0,
                    ticket: place.1,
                };
                let mut entries: Vec<_> = ranked.places.iter().map(entry).collect();
                entries.sort_unstable_by_key(|entry| entry.ticket);
                Either::Right(entries.into_iter())
            }
        }
    }

    /// The queue in queue order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = Pick> {
        self.entries().map(|entry| entry.pick)
    }

    /// The picks in the order in which the policy would come to them if none of them moved.
    pub(crate) fn by_preference(&self) -> impl Iterator<Item = Pick> {
        match &self.order {
            Order::Ring(ring) => Either::Left(ring.iter().map(|(_, pick)| *pick)),
            Order::Ranked(ranked) => Either::Right(ranked.by_rank.values().copied()),
        }
    }

    /// Becomes a queue of nobody, of the same kind as `other`, whose tickets go on from its: to be filled with entries of it by
    /// [`enter`](Self::enter).
    pub(crate) fn follow(&mut self, other: &ReadyQueue) {
        match (&mut self.order, &other.order) {
            (Order::Ring(ring), Order::Ring(_)) => ring.clear(),
            (Order::Ranked(ranked), Order::Ranked(_)) => {
                ranked.places.clear();
                ranked.by_rank.clear();
            }
            (own, Order::Ring(_)) => *own = Order::Ring(VecDeque::new()),
            (own, Order::Ranked(_)) => *own = Order::Ranked(Ranked::default()),
        }
        self.tickets = other.tickets;
    }

    /// Takes over an entry of the queue that is followed. Entries are taken over in queue order.
    pub(crate) fn enter(&mut self, entry: Queued) {
        debug_assert!(entry.ticket < self.tickets, "it was drawn before");
        self.insert(entry);
    }

    /// Makes what became of parts of this queue its own. `part_of` gives the number of the part that the session's
    /// entries were taken over into. Whoever never moved there keeps his place; the others come behind, part by part.
    ///
    /// Linear in the queue and in the parts; a ranked one takes a logarithm more for whoever was taken over.
    pub(crate) fn merge(&mut self, part_of: impl Fn(Pick) -> Option<usize>, parts: &[&ReadyQueue]) {
        let start = self.tickets;
        match &mut self.order {
            Order::Ring(ring) => {
                // Who never moved stands at the front of his part, in the order in which he stands here.
                let mut next = vec![0; parts.len()];
                ring.retain(|entry| {
                    let Some(part) = part_of(entry.1) else {
                        return true;
                    };
                    let at: &mut usize = &mut next[part];
                    let stays = parts[part].ring().and_then(|ring| ring.get(*at)) == Some(entry);
                    *at += usize::from(stays);
                    stays
                });
            }
            Order::Ranked(ranked) => {
                ranked.places.retain(|pick, _| part_of(*pick).is_none());
                ranked.by_rank.retain(|_, pick| part_of(*pick).is_none());
                let entries = parts.iter().flat_map(|part| part.entries());
                let before = entries.filter(|entry| entry.ticket < start);
                before.for_each(|entry| ranked.insert(entry));
            }
        }
        let backwards = active(mutant::WAVE_MERGED_BACKWARDS);
        for n in 0..parts.len() {
            let part = parts[if backwards { parts.len() - 1 - n } else { n }];
            match part.ring() {
                Some(ring) => {
                    let behind = ring.iter().filter(|(ticket, _)| *ticket >= start);
                    behind.for_each(|(_, pick)| self.push(*pick, 0));
                }
                None => {
                    let behind = part.entries().filter(|entry| entry.ticket >= start);
                    behind.for_each(|entry| self.push(entry.pick, entry.rank));
                }
            }
        }
    }

    fn ring(&self) -> Option<&VecDeque<(u64, Pick)>> {
        match &self.order {
            Order::Ring(ring) => Some(ring),
            Order::Ranked(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CoroutineId, SessionId};

    #[test]
    fn a_queue_that_follows_another_is_of_its_kind() {
        let pick = |session| Pick {
            session: SessionId(session),
            coroutine: CoroutineId(0),
        };
        for (policy, first) in [
            (SchedulingPolicy::Cooperative, 0),
            (SchedulingPolicy::Priority, 1),
        ] {
            let mut followed = ReadyQueue::new(policy);
            (0..2).for_each(|n| followed.push(pick(n), u8::from(n == 0)));
            for before in SchedulingPolicy::ALL {
                let mut follows = ReadyQueue::new(before);
                follows.push(pick(7), 0);
                follows.follow(&followed);
                assert_eq!(follows.head(), None);
                followed.entries().for_each(|entry| follows.enter(entry));
                assert_eq!(follows.head(), Some(pick(first)), "{before:?}");
                assert!(follows.in_order().eq(followed.in_order()));
            }
        }
    }
}
