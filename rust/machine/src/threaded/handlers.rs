//! Who answers on which thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::effect::{EffectHandler, EffectRequest};
use crate::ids::SessionId;
use crate::outcome::{FailureKind, Outcome, Reply};

/// Handlers for sessions that ask at the same time.
///
/// Lanes are asked at the same time; requests on one lane come one after the other, in the order of the picks. Where
/// [`lane_of`](Self::lane_of) gives each session its lane, all of a session's requests go to that lane's handler. So handlers that
/// keep something see the same requests in the same order however many threads there are.
pub trait Handlers {
    /// One lane's handler.
    type Lane<'a>: EffectHandler + Send
    where
        Self: 'a;

    /// How many lanes there are for so many workers; at least 1.
    fn count(&self, workers: usize) -> usize;

    /// The lane of a session, always the same one for as many lanes: the remainder of its number by `count`, unless told otherwise.
    /// `None` where one does as well as another, since they have nothing of their own: then the driver gives each lane sessions
    /// that stand beside each other in memory.
    fn lane_of(session: SessionId, count: usize) -> Option<usize> {
        Some(session.index() % count.max(1))
    }

    /// The handlers of the lanes 0 to `count`.
    fn lanes(&mut self, count: usize) -> impl Iterator<Item = Self::Lane<'_>>;

    /// The handler of one lane below `count`.
    fn lane(&mut self, lane: usize) -> Self::Lane<'_>;
}

/// One handler for all lanes, called by many threads at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared<H>(pub H);

/// Lanes for each worker, where lanes are no more than shares of the work: with several, whoever is done early takes over from
/// who is not.
const SHARES: usize = 32;

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
            workers => workers * SHARES,
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
    // There is always a first one.
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

/// Which lane each session of a wave is on.
#[derive(Debug)]
pub(super) struct Sharing {
    count: usize,
    /// How many neighbours, by number, are on one lane where it is ours to choose.
    stretch: usize,
}

impl Sharing {
    /// So many lanes for so many sessions.
    pub(super) fn new(count: usize, sessions: usize) -> Sharing {
        let count = count.max(1);
        let stretch = sessions.div_ceil(count).max(1);
        Sharing { count, stretch }
    }

    /// The lane of a session.
    ///
    /// Where it is ours to choose, neighbours are on one lane: a thread then goes through memory in order, and what it will need next
    /// is on its way before it asks. It goes by the number alone, so that a session is where it was in the wave before.
    pub(super) fn lane<H: Handlers>(&self, session: SessionId) -> usize {
        let beside = || session.index() / self.stretch;
        H::lane_of(session, self.count).unwrap_or_else(beside) % self.count
    }
}

/// A handler whose panics end in a failure of the effect and not in the end of the machine.
#[derive(Debug)]
pub(super) struct Contained<'p, H> {
    pub(super) handler: H,
    pub(super) panics: &'p AtomicU64,
}

impl<H: EffectHandler> EffectHandler for Contained<'_, H> {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        // Whatever the handler leaves half done is the handler's own: the machine has lent it a request and nothing else.
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
        let sharing = Sharing::new(count, numbers.len());
        numbers.map(|n| sharing.lane::<H>(SessionId(n))).collect()
    }

    type Any = Shared<FromFn<fn(&EffectRequest<'_>) -> Reply>>;
    type Own = PerLane<FromFn<fn(&EffectRequest<'_>) -> Reply>>;

    #[test]
    fn neighbours_share_a_lane_where_any_lane_will_do() {
        assert_eq!(lanes::<Any>(0..8, 4), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(lanes::<Any>(6..12, 3), [0, 0, 1, 1, 2, 2]);
        // No more sessions than lanes: each has one of its own.
        assert_eq!(lanes::<Any>(3..7, 4), [3, 0, 1, 2]);
    }

    /// One session from long ago does not put all others on one lane.
    #[test]
    fn numbers_far_apart_are_shared_out_all_the_same() {
        let numbers: Vec<u32> = std::iter::once(0).chain(99_000..100_000).collect();
        let lanes = lanes::<Any>(numbers.into_iter(), 64);
        let on = |lane| lanes.iter().filter(|l| **l == lane).count();
        let most = (0..64).map(on).max();
        let used = (0..64).filter(|lane| on(*lane) > 0).count();
        assert!(most <= Some(2 * 16) && used >= 60, "{used} lanes, {most:?}");
    }

    /// A handler that keeps something has the same sessions whoever else is in the wave.
    #[test]
    fn a_handler_of_a_lane_keeps_its_sessions() {
        assert_eq!(lanes::<Own>(0..8, 3), [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(lanes::<Own>(5..8, 3), [2, 0, 1]);
    }

    /// Lanes that a caller's handlers make up are lanes there are, so that nobody waits for an answer that nobody is asked for.
    #[test]
    fn a_lane_that_is_not_there_is_another_one() {
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
