//! The ready queue, and what each policy picks from it.

use std::collections::{BTreeMap, VecDeque};

use crate::config::SchedulingPolicy;
use crate::ids::{CoroutineId, SessionId};
use crate::mutant::{self, active};

/// A coroutine that can step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pick {
    /// Its session.
    pub session: SessionId,
    /// Its number in the session.
    pub coroutine: CoroutineId,
}

/// Every ready coroutine of every session, each once, in queue order.
///
/// For `Cooperative` and `RoundRobin` a ring, constant time. For `Priority` and `ProgressAware`, which do not always
/// pick the head, a map ordered by rank and then by the ticket drawn on entry: logarithmic time.
///
/// Entries of a session that has ended stay until they come to the head; whoever takes the head passes over them.
#[derive(Clone, Debug)]
pub(crate) enum ReadyQueue {
    Ring(VecDeque<Pick>),
    Ranked(Ranked),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ranked {
    by_rank: BTreeMap<(u8, u64), Pick>,
    places: BTreeMap<Pick, (u8, u64)>,
    tickets: u64,
}

impl ReadyQueue {
    pub(crate) fn new(policy: SchedulingPolicy) -> ReadyQueue {
        match policy {
            SchedulingPolicy::Cooperative | SchedulingPolicy::RoundRobin => {
                ReadyQueue::Ring(VecDeque::new())
            }
            SchedulingPolicy::Priority | SchedulingPolicy::ProgressAware => {
                ReadyQueue::Ranked(Ranked::default())
            }
        }
    }

    /// What the policy picks. Lower ranks come first; a ring has no ranks.
    #[inline]
    pub(crate) fn head(&self) -> Option<Pick> {
        match self {
            ReadyQueue::Ring(ring) => ring.front().copied(),
            ReadyQueue::Ranked(ranked) => {
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
    #[inline]
    pub(crate) fn push(&mut self, pick: Pick, rank: u8) {
        match self {
            ReadyQueue::Ring(ring) => ring.push_back(pick),
            ReadyQueue::Ranked(ranked) => {
                let place = (rank, ranked.tickets);
                ranked.tickets += 1;
                debug_assert!(
                    !ranked.places.contains_key(&pick),
                    "a coroutine queues once"
                );
                ranked.places.insert(pick, place);
                ranked.by_rank.insert(place, pick);
            }
        }
    }

    /// Takes out what was picked. In a ring a policy's pick is the head still, because whoever is woken enters at the
    /// back; a pick by somebody else may stand anywhere, and is searched for.
    #[inline]
    pub(crate) fn take(&mut self, pick: Pick) {
        match self {
            ReadyQueue::Ring(ring) if ring.front() == Some(&pick) => {
                ring.pop_front();
            }
            ReadyQueue::Ring(ring) => {
                let at = ring.iter().position(|queued| *queued == pick);
                debug_assert!(at.is_some(), "who is taken out was queued");
                if let Some(at) = at {
                    ring.remove(at);
                }
            }
            ReadyQueue::Ranked(ranked) => {
                if let Some(place) = ranked.places.remove(&pick) {
                    ranked.by_rank.remove(&place);
                }
            }
        }
    }

    /// Whether it is queued. Linear in a ring.
    pub(crate) fn holds(&self, pick: Pick) -> bool {
        match self {
            ReadyQueue::Ring(ring) => ring.contains(&pick),
            ReadyQueue::Ranked(ranked) => ranked.places.contains_key(&pick),
        }
    }

    /// Changes the rank of a queued coroutine; its place in queue order stays.
    pub(crate) fn rank(&mut self, pick: Pick, rank: u8) {
        let ReadyQueue::Ranked(ranked) = self else {
            return;
        };
        let Some(place) = ranked.places.get_mut(&pick) else {
            return;
        };
        ranked.by_rank.remove(place);
        place.0 = rank;
        ranked.by_rank.insert(*place, pick);
    }

    /// The queue in queue order.
    pub(crate) fn in_order(&self) -> Vec<Pick> {
        match self {
            ReadyQueue::Ring(ring) => ring.iter().copied().collect(),
            ReadyQueue::Ranked(ranked) => {
                let mut picks: Vec<_> = ranked.places.iter().map(|(p, at)| (at.1, *p)).collect();
                picks.sort_unstable();
                picks.into_iter().map(|(_, pick)| pick).collect()
            }
        }
    }
}
