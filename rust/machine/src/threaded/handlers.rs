//! Handlers for concurrent requests: which handler answers a session, on which thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::effect::{EffectHandler, EffectRequest};
use crate::ids::SessionId;
use crate::outcome::{FailureKind, Outcome, Reply};

/// Handlers for sessions that ask at the same time.
///
/// Lanes are asked concurrently; requests on one lane are made one after the other, in the order of
/// the picks. If [`lane_of`](Self::lane_of) assigns each session a lane, that lane's handler gets
/// all of the session's requests. Handlers with state then get the same requests in the same order
/// for any number of threads.
pub trait Handlers {
    /// One lane's handler.
    type Lane<'a>: EffectHandler + Send
    where
        Self: 'a;

    /// How many lanes there are for this many workers; at least 1.
    fn count(&self, workers: usize) -> usize;

    /// The lane of a session, which must be a function of its arguments. The default is the
    /// remainder of the session's number by `count`. `None` means any lane, for handlers without
    /// state; the driver then gives each lane sessions that are neighbours in memory.
    fn lane_of(session: SessionId, count: usize) -> Option<usize> {
        Some(session.index() % count.max(1))
    }

    /// The handlers of the lanes 0 to `count`.
    fn lanes(&mut self, count: usize) -> impl Iterator<Item = Self::Lane<'_>>;

    /// The handler of one lane below `count`.
    fn lane(&mut self, lane: usize) -> Self::Lane<'_>;
}

/// One handler for all lanes. Several threads call it at the same time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared<H>(pub H);

/// Lanes for each worker of a [`Shared`] handler, where a lane is only a share of the work. With
/// many lanes, a worker that finishes early takes over lanes of the others.
const LANES_PER_WORKER: usize = 32;

impl<H: Sync> Handlers for Shared<H>
where
    for<'a> &'a H: EffectHandler,
{
    type Lane<'a>
        = &'a H
    where
        Self: 'a;

    fn count(&self, workers: usize) -> usize {
        match workers {
            0 | 1 => 1,
            workers => workers * LANES_PER_WORKER,
        }
    }

    fn lane_of(_: SessionId, _: usize) -> Option<usize> {
        None
    }

    fn lanes(&mut self, count: usize) -> impl Iterator<Item = &H> {
        std::iter::repeat_n(&self.0, count)
    }

    fn lane(&mut self, _: usize) -> &H {
        &self.0
    }
}

/// A handler for each lane.
#[derive(Clone, Debug)]
pub struct PerLane<H> {
    // Kept apart from the others, because there is always a first one.
    first: H,
    others: Vec<H>,
}

impl<H> PerLane<H> {
    /// The handler of lane 0, and those of the lanes after it.
    pub fn new(first: H, others: impl IntoIterator<Item = H>) -> PerLane<H> {
        PerLane {
            first,
            others: others.into_iter().collect(),
        }
    }

    /// The handlers, by lane.
    pub fn iter(&self) -> impl Iterator<Item = &H> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl<H: EffectHandler + Send> Handlers for PerLane<H> {
    type Lane<'a>
        = &'a mut H
    where
        Self: 'a;

    fn count(&self, _: usize) -> usize {
        1 + self.others.len()
    }

    fn lanes(&mut self, count: usize) -> impl Iterator<Item = &mut H> {
        let all = std::iter::once(&mut self.first).chain(&mut self.others);
        all.take(count)
    }

    fn lane(&mut self, lane: usize) -> &mut H {
        match lane.checked_sub(1) {
            None => &mut self.first,
            Some(other) => self.others.get_mut(other).unwrap_or(&mut self.first),
        }
    }
}

/// Assigns the sessions of a wave to lanes.
#[derive(Debug)]
pub(super) struct LaneMap {
    count: usize,
    /// How many sessions with consecutive numbers share a lane, if the driver may choose it.
    neighbours: usize,
}

impl LaneMap {
    /// For `count` lanes and `sessions` sessions.
    pub(super) fn new(count: usize, sessions: usize) -> LaneMap {
        let count = count.max(1);
        let neighbours = sessions.div_ceil(count).max(1);
        LaneMap { count, neighbours }
    }

    /// The lane of a session.
    ///
    /// If the driver may choose, sessions with neighbouring numbers share a lane: their thread then
    /// walks through memory in order, and the processor prefetches the next one. The lane depends
    /// on the number alone, so a session mostly keeps its lane, and its cache, from wave to wave.
    pub(super) fn lane<H: Handlers>(&self, session: SessionId) -> usize {
        let any = || session.index() / self.neighbours;
        H::lane_of(session, self.count).unwrap_or_else(any) % self.count
    }
}

/// A handler that turns a panic into a failure of the effect.
#[derive(Debug)]
pub(super) struct CatchPanics<'p, H> {
    pub(super) handler: H,
    pub(super) panics: &'p AtomicU64,
}

impl<H: EffectHandler> EffectHandler for CatchPanics<'_, H> {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        // State that the handler leaves half changed is its own: it borrows only the request from
        // the machine.
        let called = AssertUnwindSafe(|| self.handler.handle(request));
        catch_unwind(called).unwrap_or_else(|panic| {
            self.panics.fetch_add(1, Ordering::Relaxed);
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let detail = format!("the handler panicked: {}", text.unwrap_or("without a word"));
            Reply::Now(Outcome::failure(FailureKind::Internal, &detail))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::FromFn;

    /// The lanes of the sessions with these numbers.
    fn lanes<H: Handlers>(numbers: impl ExactSizeIterator<Item = u32>, count: usize) -> Vec<usize> {
        let lane_map = LaneMap::new(count, numbers.len());
        numbers.map(|n| lane_map.lane::<H>(SessionId(n))).collect()
    }

    type Any = Shared<FromFn<fn(&EffectRequest<'_>) -> Reply>>;
    type Own = PerLane<FromFn<fn(&EffectRequest<'_>) -> Reply>>;

    #[test]
    fn neighbours_share_a_lane_if_the_driver_may_choose() {
        assert_eq!(lanes::<Any>(0..8, 4), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(lanes::<Any>(6..12, 3), [0, 0, 1, 1, 2, 2]);
        // With no more sessions than lanes, each session has its own lane.
        assert_eq!(lanes::<Any>(3..7, 4), [3, 0, 1, 2]);
    }

    /// One session with a much lower number does not put all others on one lane.
    #[test]
    fn distant_numbers_are_spread_over_the_lanes() {
        let numbers: Vec<u32> = std::iter::once(0).chain(99_000..100_000).collect();
        let lanes = lanes::<Any>(numbers.into_iter(), 64);
        let on = |lane| lanes.iter().filter(|l| **l == lane).count();
        let most = (0..64).map(on).max();
        let used = (0..64).filter(|lane| on(*lane) > 0).count();
        assert!(most <= Some(2 * 16) && used >= 60, "{used} lanes, {most:?}");
    }

    /// A handler with state gets the same sessions, whichever others are in the wave.
    #[test]
    fn a_lane_keeps_its_sessions() {
        assert_eq!(lanes::<Own>(0..8, 3), [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(lanes::<Own>(5..8, 3), [2, 0, 1]);
    }

    /// A lane number out of range wraps around, so every request reaches some handler.
    #[test]
    fn a_lane_out_of_range_wraps_around() {
        struct Beyond(Own);
        impl Handlers for Beyond {
            type Lane<'a> = <Own as Handlers>::Lane<'a>;
            fn count(&self, workers: usize) -> usize {
                self.0.count(workers)
            }
            fn lane_of(session: SessionId, count: usize) -> Option<usize> {
                Some(session.index() + count)
            }
            fn lanes(&mut self, count: usize) -> impl Iterator<Item = Self::Lane<'_>> {
                self.0.lanes(count)
            }
            fn lane(&mut self, lane: usize) -> Self::Lane<'_> {
                self.0.lane(lane)
            }
        }
        assert_eq!(lanes::<Beyond>(0..4, 3), [0, 1, 2, 0]);
    }
}
