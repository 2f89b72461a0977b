//! The ready queue, and what each policy picks from it.

use std::collections::{BTreeMap, VecDeque};

use either::Either;

use crate::config::SchedulingPolicy;
use crate::ids::Pick;

/// Every ready coroutine of every session, each once, in queue order.
///
/// For `Cooperative` and `RoundRobin` it is a ring, with constant-time operations. `Priority` and
/// `ProgressAware` do not always pick the head; for them it is a map ordered by rank and then by a
/// ticket drawn on entry, with logarithmic time.
///
/// Entries of a session that has ended stay until they reach the head; the caller skips them there.
#[derive(Clone, Debug)]
pub(crate) struct ReadyQueue {
    order: Order,
    /// The ticket of the next entry; tickets only grow.
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
    by_pick: BTreeMap<Pick, (u8, u64)>,
}

/// An entry of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) pick: Pick,
    /// A lower rank is picked first; a ring has no ranks.
    pub(crate) rank: u8,
    /// A lower ticket entered earlier.
    pub(crate) ticket: u64,
}

impl Ranked {
    fn insert(&mut self, entry: Queued) {
        let Queued { pick, rank, ticket } = entry;
        debug_assert!(!self.by_pick.contains_key(&pick), "a coroutine queues once");
        self.by_pick.insert(pick, (rank, ticket));
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

    /// The entry that the policy picks.
    #[inline]
    pub(crate) fn peek(&self) -> Option<Pick> {
        match &self.order {
            Order::Ring(ring) => ring.front().map(|(_, pick)| *pick),
            Order::Ranked(ranked) => ranked.by_rank.first_key_value().map(|(_, pick)| *pick),
        }
    }

    /// Adds an entry at the back.
    #[inline]
    pub(crate) fn push(&mut self, pick: Pick, rank: u8) {
        let ticket = self.tickets;
        self.tickets += 1;
        self.insert(Queued { pick, rank, ticket });
    }

    /// Adds an entry at the back, with a ticket that was drawn before.
    #[inline]
    fn insert(&mut self, entry: Queued) {
        match &mut self.order {
            Order::Ring(ring) => ring.push_back((entry.ticket, entry.pick)),
            Order::Ranked(ranked) => ranked.insert(entry),
        }
    }

    /// Removes an entry. The policy's pick is still the head of a ring, because woken coroutines
    /// enter at the back. Any other entry is searched for, in linear time.
    #[inline]
    pub(crate) fn remove(&mut self, pick: Pick) {
        match &mut self.order {
            Order::Ring(ring) if ring.front().is_some_and(|(_, head)| *head == pick) => {
                ring.pop_front();
            }
            Order::Ring(_) | Order::Ranked(_) => self.search_and_remove(pick),
        }
    }

    fn search_and_remove(&mut self, pick: Pick) {
        match &mut self.order {
            Order::Ring(ring) => {
                let at = ring.iter().position(|(_, queued)| *queued == pick);
                debug_assert!(at.is_some(), "a removed pick is queued");
                if let Some(at) = at {
                    ring.remove(at);
                }
            }
            Order::Ranked(ranked) => {
                if let Some(place) = ranked.by_pick.remove(&pick) {
                    ranked.by_rank.remove(&place);
                }
            }
        }
    }

    /// Whether the coroutine is queued. Linear in a ring.
    pub(crate) fn contains(&self, pick: Pick) -> bool {
        match &self.order {
            Order::Ring(ring) => ring.iter().any(|(_, queued)| *queued == pick),
            Order::Ranked(ranked) => ranked.by_pick.contains_key(&pick),
        }
    }

    /// Changes the rank of a queued coroutine. Its place in queue order stays.
    pub(crate) fn set_rank(&mut self, pick: Pick, rank: u8) {
        let Order::Ranked(ranked) = &mut self.order else {
            return;
        };
        let Some(place) = ranked.by_pick.get_mut(&pick) else {
            return;
        };
        ranked.by_rank.remove(place);
        place.0 = rank;
        ranked.by_rank.insert(*place, pick);
    }

    /// The entries in queue order. For a ranked queue, they are sorted first.
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
                let mut entries: Vec<_> = ranked.by_pick.iter().map(entry).collect();
                entries.sort_unstable_by_key(|entry| entry.ticket);
                Either::Right(entries.into_iter())
            }
        }
    }

    /// The queue in queue order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = Pick> {
        self.entries().map(|entry| entry.pick)
    }

    /// The picks in the order in which the policy would pick them if none moved.
    pub(crate) fn by_preference(&self) -> impl Iterator<Item = Pick> {
        match &self.order {
            Order::Ring(ring) => Either::Left(ring.iter().map(|(_, pick)| *pick)),
            Order::Ranked(ranked) => Either::Right(ranked.by_rank.values().copied()),
        }
    }

    /// Clears this queue and makes it continue `other`: the same kind of order, and the next ticket
    /// number. [`enter`](Self::enter) then copies entries of `other`.
    pub(crate) fn follow(&mut self, other: &ReadyQueue) {
        match (&mut self.order, &other.order) {
            (Order::Ring(ring), Order::Ring(_)) => ring.clear(),
            (Order::Ranked(ranked), Order::Ranked(_)) => {
                ranked.by_pick.clear();
                ranked.by_rank.clear();
            }
            (own, Order::Ring(_)) => *own = Order::Ring(VecDeque::new()),
            (own, Order::Ranked(_)) => *own = Order::Ranked(Ranked::default()),
        }
        self.tickets = other.tickets;
    }

    /// Adds an entry of the queue that this one continues. Entries must be added in queue order.
    pub(crate) fn enter(&mut self, entry: Queued) {
        debug_assert!(entry.ticket < self.tickets, "the ticket was drawn before");
        self.insert(entry);
    }

    /// Replaces the entries of some sessions with those of the queues (parts) that continued this
    /// one for them. `part_of` returns the index of the part that has a session's entries. Entries
    /// that never moved keep their place; the others follow at the back, part by part.
    ///
    /// Linear in the queue and in the parts; a ranked queue takes logarithmic time for each entry
    /// of a part.
    pub(crate) fn merge(&mut self, part_of: impl Fn(Pick) -> Option<usize>, parts: &[&ReadyQueue]) {
        let start = self.tickets;
        match &mut self.order {
            Order::Ring(ring) => {
                // Entries that never moved come first in their part, in their present order.
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
                ranked.by_pick.retain(|pick, _| part_of(*pick).is_none());
                ranked.by_rank.retain(|_, pick| part_of(*pick).is_none());
                let entries = parts.iter().flat_map(|part| part.entries());
                let before = entries.filter(|entry| entry.ticket < start);
                before.for_each(|entry| ranked.insert(entry));
            }
        }
        for part in parts {
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
    fn a_queue_takes_on_the_kind_of_the_queue_it_continues() {
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
                assert_eq!(follows.peek(), None);
                followed.entries().for_each(|entry| follows.enter(entry));
                assert_eq!(follows.peek(), Some(pick(first)), "{before:?}");
                assert!(follows.in_order().eq(followed.in_order()));
            }
        }
    }
}
