//! The threads of a driver: the caller's own and those of a pool, which stay awake between two waves.
//!
//! Waves are short and follow each other closely. Where a thread sleeps in between, each wave waits for the system to wake it:
//! some 100 µs on a virtual machine, as long as a hundred calls of a handler take. So a thread that has nothing to do
//! looks for the next wave a little longer before it sleeps, and gives its core to whoever else wants it meanwhile.
//!
//! Nothing is synchronised by hand: who takes a lane is decided by its lock, and that all have ended by the scope.

use std::hint;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// How often a thread that looks for the next wave offers its core to others before it sleeps. Counted and not timed, for the
/// machine knows no clock: some 250 µs, longer than what lies between two waves of a thousand sessions.
const OFFERS: u32 = 64;

/// Looks between two offers: a few microseconds.
const LOOKS: u32 = 128;

/// What a scope takes to count a thread out, several times over, in looks: half a microsecond.
const MOMENT: u32 = 64;

/// The threads.
#[derive(Debug)]
pub(super) struct Pool {
    /// None where the caller's thread is enough.
    others: Option<ThreadPool>,
    workers: usize,
    /// Those who linger do so until this is dropped.
    lingering: Mutex<Option<Sender<()>>>,
}

impl Pool {
    /// The caller's thread and `workers - 1` others.
    pub(super) fn new(workers: usize) -> Result<Pool, ThreadPoolBuildError> {
        let mut pool = Pool::alone();
        if workers > 1 {
            let others = ThreadPoolBuilder::new().num_threads(workers - 1);
            let others = others.thread_name(|n| format!("antiphon worker {}", n + 1));
            pool.others = Some(others.build()?);
            pool.workers = workers;
        }
        Ok(pool)
    }

    /// The caller's thread.
    pub(super) fn alone() -> Pool {
        Pool {
            others: None,
            workers: 1,
            lingering: Mutex::default(),
        }
    }

    /// How many threads it has, the caller's among them.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// Runs each lane once, and comes back when all of them have ended. Each thread begins with a part of its own, the same one
    /// in each wave, so that it finds in its cache what it left there; then it helps the others.
    pub(super) fn run<L: Send>(&self, lanes: Vec<L>, run: impl Fn(L) + Sync) {
        let workers = self.workers.min(lanes.len());
        let Some(others) = self.others.as_ref().filter(|_| workers > 1) else {
            return lanes.into_iter().for_each(run);
        };
        let lanes: Vec<_> = lanes
            .into_iter()
            .map(|lane| Mutex::new(Some(lane)))
            .collect();
        let work = |worker: usize| {
            let (before, own) = lanes.split_at(worker * lanes.len() / workers);
            for lane in own.iter().chain(before) {
                let taken = held(lane).take();
                taken.into_iter().for_each(&run);
            }
        };
        let (working, ended) = bounded(1);
        others.in_place_scope(|scope| {
            for worker in 1..workers {
                let (working, work): (Sender<()>, _) = (working.clone(), &work);
                scope.spawn(move |_| {
                    work(worker);
                    drop(working);
                });
            }
            drop(working);
            *held(&self.lingering) = None;
            work(0);
            linger(&ended);
            // The scope counts them out a moment after they said so. Who asks it before that sleeps until he is woken.
            (0..MOMENT).for_each(|_| hint::spin_loop());
        });
        let (lingering, next) = bounded(1);
        *held(&self.lingering) = Some(lingering);
        for _ in 1..workers {
            let next = next.clone();
            others.spawn(move || linger(&next));
        }
    }
}

/// Nobody panics while he holds one of these locks.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until nobody holds the other end any more, but not for long.
fn linger(until: &Receiver<()>) {
    for _ in 0..OFFERS {
        for _ in 0..LOOKS {
            if until.try_recv() != Err(TryRecvError::Empty) {
                return;
            }
            hint::spin_loop();
        }
        thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread::ThreadId;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn each_lane_is_run_once_wave_after_wave() {
        for workers in [1, 2, 3, 8] {
            let pool = Pool::new(workers).expect("threads");
            assert_eq!(pool.workers(), workers);
            for count in [0, 1, 2, 7, 64] {
                let runs: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
                pool.run((0..count).collect(), |lane: usize| {
                    runs[lane].fetch_add(1, Ordering::Relaxed);
                });
                let runs: Vec<u32> = runs.into_iter().map(AtomicU32::into_inner).collect();
                assert_eq!(runs, vec![1; count], "{workers} workers, {count} lanes");
            }
        }
    }

    /// Two lanes that wait for each other end only where each has a thread; one alone stays with the caller.
    #[test]
    fn lanes_are_run_at_the_same_time_and_one_alone_by_the_caller() {
        let pool = Pool::new(2).expect("threads");
        let threads: Mutex<Vec<ThreadId>> = Mutex::default();
        let (arrived, others) = bounded::<()>(2);
        for _ in 0..100 {
            pool.run(vec![(); 2], |()| {
                threads.lock().expect("whole").push(thread::current().id());
                arrived.send(()).expect("there is room");
                let start = Instant::now();
                while others.len() < 2 {
                    assert!(start.elapsed() < Duration::from_secs(60), "nobody came");
                    thread::yield_now();
                }
            });
            assert_eq!(others.try_iter().count(), 2);
        }
        let pairs = threads.into_inner().expect("whole");
        assert!(pairs.chunks(2).all(|pair| pair[0] != pair[1]));
        pool.run(vec![thread::current().id()], |caller| {
            assert_eq!(thread::current().id(), caller);
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_when_the_other_lanes_have_ended() {
        let pool = Pool::new(3).expect("threads");
        for bad in 0..12 {
            let ended = AtomicU32::new(0);
            let run = AssertUnwindSafe(|| {
                pool.run((0..12).collect(), |lane: u32| {
                    assert_ne!(lane, bad, "this one panics");
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            });
            assert!(catch_unwind(run).is_err());
            assert_eq!(ended.into_inner(), 11, "lane {bad}");
        }
        let sum = AtomicU32::new(0);
        pool.run((0..12).collect(), |lane: u32| {
            sum.fetch_add(lane, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 66);
    }
}
