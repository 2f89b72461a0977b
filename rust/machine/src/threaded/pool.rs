//! The threads of a driver: the caller's own and a pool's, which stay awake between waves.
//!
//! Waves are short and follow each other closely. If a thread slept in between, each wave would
//! wait for the system to wake it: about 100 µs on a virtual machine, as long as a hundred calls of
//! a handler. An idle thread therefore polls for the next wave for a short time before it sleeps,
//! and yields its core to other threads meanwhile.
//!
//! Locks and scopes do all the synchronisation: a lock decides which thread runs a lane, and a
//! rayon scope waits for the end of all lanes.

use std::hint;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// How many times a thread that polls for the next wave yields its core before it sleeps. A count
/// and not a time, because the machine has no clock: about 250 µs, longer than the gap between two
/// waves of a thousand sessions.
const YIELDS_MAX: u32 = 64;

/// Polls between two yields: a few microseconds.
const POLLS_PER_YIELD: u32 = 128;

/// Spin-loop turns after the last worker has signalled: about half a microsecond, several times
/// what the scope takes to count a thread out.
const SETTLE_SPINS: u32 = 64;

/// The caller's thread and the pool's.
#[derive(Debug)]
pub(super) struct Pool {
    /// `None` if there is only the caller's thread.
    others: Option<ThreadPool>,
    workers: usize,
    /// Idle workers poll until this sender is dropped.
    keep_awake: Mutex<Option<Sender<()>>>,
}

impl Pool {
    /// The caller's thread and `workers - 1` more.
    pub(super) fn new(workers: usize) -> Result<Pool, ThreadPoolBuildError> {
        let mut pool = Pool::caller_only();
        if workers > 1 {
            let others = ThreadPoolBuilder::new().num_threads(workers - 1);
            let others = others.thread_name(|n| format!("antiphon worker {}", n + 1));
            pool.others = Some(others.build()?);
            pool.workers = workers;
        }
        Ok(pool)
    }

    /// Only the caller's thread.
    pub(super) fn caller_only() -> Pool {
        Pool {
            others: None,
            workers: 1,
            keep_awake: Mutex::default(),
        }
    }

    /// How many threads it has, the caller's included.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// Runs each lane once, and returns when all have ended. A single lane runs on the calling
    /// thread. Each thread begins with its own share of the lanes, which is the same in each wave,
    /// so that their data is still in its cache; then it runs lanes that others have left.
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
                let taken = locked(lane).take();
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
            *locked(&self.keep_awake) = None;
            work(0);
            poll_until_closed(&ended);
            // Workers signal slightly before the scope's counter drops. Spin briefly, so that the
            // caller does not park and need a wake-up.
            (0..SETTLE_SPINS).for_each(|_| hint::spin_loop());
        });
        let (keep_awake, next) = bounded(1);
        *locked(&self.keep_awake) = Some(keep_awake);
        for _ in 1..workers {
            let next = next.clone();
            others.spawn(move || poll_until_closed(&next));
        }
    }
}

/// Locks. No thread panics while it holds one of these locks, so poisoning is ignored.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Polls until the last sender is dropped, but only for a short time.
fn poll_until_closed(signal: &Receiver<()>) {
    for _ in 0..YIELDS_MAX {
        for _ in 0..POLLS_PER_YIELD {
            if signal.try_recv() != Err(TryRecvError::Empty) {
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
    fn runs_each_lane_once_in_every_wave() {
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

    /// Two lanes that wait for each other end only if each has a thread. A single lane runs on the
    /// caller's.
    #[test]
    fn lanes_run_concurrently_and_a_single_lane_on_the_caller() {
        let pool = Pool::new(2).expect("threads");
        let threads: Mutex<Vec<ThreadId>> = Mutex::default();
        let (arrived, others) = bounded::<()>(2);
        for _ in 0..100 {
            pool.run(vec![(); 2], |()| {
                threads
                    .lock()
                    .expect("not poisoned")
                    .push(thread::current().id());
                arrived.send(()).expect("room for both");
                let start = Instant::now();
                while others.len() < 2 {
                    assert!(start.elapsed() < Duration::from_secs(60), "no other lane");
                    thread::yield_now();
                }
            });
            assert_eq!(others.try_iter().count(), 2);
        }
        let pairs = threads.into_inner().expect("not poisoned");
        assert!(pairs.chunks(2).all(|pair| pair[0] != pair[1]));
        pool.run(vec![thread::current().id()], |caller| {
            assert_eq!(thread::current().id(), caller);
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_after_the_other_lanes_ended() {
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
