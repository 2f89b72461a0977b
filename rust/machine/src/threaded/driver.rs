//! The driver: runs waves on a pool and puts requests to handlers. It changes a machine only
//! through its kernel.

use std::sync::atomic::{AtomicU64, Ordering};

use super::handlers::{CatchPanics, Handlers, LaneMap};
use super::pool::Pool;
use crate::effect::EffectHandler;
use crate::ids::EffectId;
use crate::input::{Resumed, Step, Turn};
use crate::kernel::{Answer, Job, ProtocolMachineKernel, WaveBuffers};
use crate::machine::{self, Round};
use crate::outcome::Reply;
use crate::sink::{Observation, Sink};
use crate::wave::{Fallbacks, WaveCertificate};

/// Threads that a driver may have: more than machines have cores, and few enough to start.
pub const WORKERS_MAX: usize = 1024;

/// Default number of sessions in a wave. Planning scans the whole queue, so narrow waves would be
/// expensive with many sessions. Late outcomes are taken in between two waves; with [`QUANTUM`] a
/// full wave takes about 10 ms on two cores.
pub const WIDTH: u32 = 4096;

/// Default number of steps of a session in a wave: about 5 µs of work. Planning and checking a
/// session and handing it to a thread and back takes 0.1 to 0.2 µs.
pub const QUANTUM: u32 = 256;

/// Why a driver was not created.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The number of workers is 0.
    #[error("a driver needs at least 1 worker, got 0")]
    NoWorkers,
    /// The number of workers exceeds [`WORKERS_MAX`].
    #[error("a driver has at most {WORKERS_MAX} workers, got {got}")]
    TooManyWorkers {
        /// The number of workers.
        got: usize,
    },
    /// The system did not start the threads.
    #[error("the threads could not be started: {0}")]
    Start(#[from] rayon::ThreadPoolBuildError),
}

/// What a driver has done, and what kept it from doing more at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaveReport {
    /// Waves that were run.
    pub waves: u64,
    /// Sessions that stepped in them, counted once for each wave.
    pub picks: u64,
    /// Steps taken in them.
    pub steps: u64,
    /// Steps taken one by one, in rounds of concurrency 1 and in place of refused waves.
    pub turns: u64,
    /// Ready coroutines that were left out because another one of their session was picked.
    pub session_taken: u64,
    /// Ready coroutines that were left out because the wave had reached its width.
    pub width_reached: u64,
    /// Refused certificates, by reason.
    pub fallbacks: Fallbacks,
    /// Calls of a handler that panicked. Each one failed its effect with `internal`.
    pub panics: u64,
}

/// The threads that run waves, one of which is the caller's. It has no sessions:
/// [`ThreadedProtocolMachine`](super::ThreadedProtocolMachine) drives a kernel with it.
#[derive(Debug)]
pub struct NativeThreadedDriver {
    pool: Pool,
    certificate: WaveCertificate,
    buffers: WaveBuffers,
    report: WaveReport,
    /// The only state that threads share. No thread waits for it, and no decision depends on it.
    panics: AtomicU64,
}

impl NativeThreadedDriver {
    /// A driver with `workers` threads, clamped to 1 to [`WORKERS_MAX`]. It uses the caller's
    /// thread alone if the system cannot start the others.
    pub fn with_workers(workers: usize) -> NativeThreadedDriver {
        let workers = workers.clamp(1, WORKERS_MAX);
        NativeThreadedDriver::try_with_workers(workers)
            .unwrap_or_else(|_| NativeThreadedDriver::with_pool(Pool::caller_only()))
    }

    /// A driver with exactly `workers` threads.
    ///
    /// # Errors
    /// The number is out of range, or the threads cannot be started.
    pub fn try_with_workers(workers: usize) -> Result<NativeThreadedDriver, DriverError> {
        match workers {
            0 => Err(DriverError::NoWorkers),
            got if got > WORKERS_MAX => Err(DriverError::TooManyWorkers { got }),
            _ => Ok(NativeThreadedDriver::with_pool(Pool::new(workers)?)),
        }
    }

    fn with_pool(pool: Pool) -> NativeThreadedDriver {
        NativeThreadedDriver {
            pool,
            certificate: WaveCertificate::default(),
            buffers: WaveBuffers::default(),
            report: WaveReport::default(),
            panics: AtomicU64::new(0),
        }
    }

    /// How many threads it has, the caller's included.
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// The counts since the driver was created.
    pub fn report(&self) -> WaveReport {
        WaveReport {
            panics: self.panics.load(Ordering::Relaxed),
            ..self.report
        }
    }

    /// Runs every job of a wave, and puts its request to the handler of its lane: for callers of
    /// [`ProtocolMachineKernel::wave`].
    pub fn run_jobs<H: Handlers>(&self, jobs: &mut [Job<'_>], handlers: &mut H) {
        run_jobs(&self.pool, &self.panics, jobs, handlers, |job, reply| {
            job.answer(reply)
        });
    }

    /// Plans a wave of at most `width` sessions and runs it. If no coroutine is ready, takes a
    /// turn, which returns the reason.
    pub fn round<H: Handlers, S: Sink>(
        &mut self,
        kernel: &mut ProtocolMachineKernel,
        width: u32,
        quantum: u32,
        handlers: &mut H,
        sink: &mut S,
    ) -> Round {
        let mut certificate = std::mem::take(&mut self.certificate);
        let planned = kernel.plan_into(width, quantum, &mut certificate);
        let round = if certificate.picks.is_empty() {
            Round::Turn(self.turn(kernel, handlers, sink))
        } else {
            self.report.session_taken += planned.session_taken;
            self.report.width_reached += planned.width_reached;
            self.round_with(kernel, &certificate, handlers, sink)
        };
        self.certificate = certificate;
        round
    }

    /// Runs the certificate if it checks, otherwise takes one turn. Requests on the way are put to
    /// a handler.
    pub fn round_with<H: Handlers, S: Sink>(
        &mut self,
        kernel: &mut ProtocolMachineKernel,
        certificate: &WaveCertificate,
        handlers: &mut H,
        sink: &mut S,
    ) -> Round {
        let (pool, panics) = (&self.pool, &self.panics);
        let interest = sink.interest();
        let keep: fn(&mut Job<'_>, Reply) = if interest.events || interest.inputs {
            |job, reply| job.answer(reply)
        } else {
            |job, reply| job.take_in(reply)
        };
        let run = |jobs: &mut [Job<'_>]| run_jobs(pool, panics, jobs, handlers, keep);
        match kernel.wave(certificate, &mut self.buffers, sink, run) {
            Err(refusal) => {
                self.report.fallbacks.count(&refusal);
                Round::Turn(self.turn(kernel, handlers, sink))
            }
            Ok(steps) => {
                let picks = certificate.picks.len();
                self.report.waves += 1;
                self.report.picks += picks as u64;
                self.report.steps += steps;
                self.answer(kernel, handlers, sink);
                sink.observe(Observation::Stepped(kernel));
                Round::Wave { picks, steps }
            }
        }
    }

    /// Takes in the handlers' replies of the last wave, in the order of its picks.
    fn answer<H: Handlers, S: Sink>(
        &mut self,
        kernel: &mut ProtocolMachineKernel,
        handlers: &mut H,
        sink: &mut S,
    ) {
        let workers = self.pool.workers();
        for (effect, answer) in self.buffers.answers() {
            let next = match answer {
                Answer::Resumed {
                    resumed,
                    has_witnesses,
                } => {
                    kernel.settle_resumed(effect.session, resumed, has_witnesses);
                    match resumed {
                        Resumed::Reissued(next) => Some(next),
                        Resumed::Ready(_) | Resumed::Faulted(_) => None,
                    }
                }
                Answer::Reply(reply) => {
                    if let Some(request) = kernel.request(effect) {
                        let (step, request) = (kernel.step_index(), &request);
                        sink.observe(Observation::Request { step, request });
                    }
                    machine::answer(kernel, sink, effect, reply)
                }
            };
            if let Some(next) = next {
                ask(kernel, handlers, workers, &self.panics, sink, next);
            }
        }
    }

    /// Takes one step of the policy's pick, and puts its request to the handler if it issued one.
    pub fn turn<H: Handlers, S: Sink>(
        &mut self,
        kernel: &mut ProtocolMachineKernel,
        handlers: &mut H,
        sink: &mut S,
    ) -> Turn {
        let turn = kernel.step(sink);
        match &turn {
            Turn::Stepped { step, .. } => {
                self.report.turns += 1;
                if let Step::Effect(effect) = *step {
                    self.ask(kernel, handlers, sink, effect);
                }
                sink.observe(Observation::Stepped(kernel));
            }
            Turn::Rest(rest) => sink.observe(Observation::Rested(kernel, rest)),
        }
        turn
    }

    /// Puts a request to the handler of its lane, on this thread.
    pub(super) fn ask<H: Handlers, S: Sink>(
        &self,
        kernel: &mut ProtocolMachineKernel,
        handlers: &mut H,
        sink: &mut S,
        effect: EffectId,
    ) {
        ask(kernel, handlers, self.workers(), &self.panics, sink, effect);
    }
}

/// Puts a request to the handler of its lane, on this thread.
fn ask<H: Handlers, S: Sink>(
    kernel: &mut ProtocolMachineKernel,
    handlers: &mut H,
    workers: usize,
    panics: &AtomicU64,
    sink: &mut S,
    effect: EffectId,
) {
    let lane_map = LaneMap::new(handlers.count(workers), 1);
    let handler = handlers.lane(lane_map.lane::<H>(effect.session));
    let mut handler = CatchPanics { handler, panics };
    machine::ask(kernel, &mut handler, sink, effect);
}

/// Runs the jobs, and gives each reply of a handler to `keep`.
fn run_jobs<H: Handlers>(
    pool: &Pool,
    panics: &AtomicU64,
    jobs: &mut [Job<'_>],
    handlers: &mut H,
    keep: fn(&mut Job<'_>, Reply),
) {
    let count = handlers.count(pool.workers());
    let lane_map = LaneMap::new(count, jobs.len());
    let lane_of = |job: &Job<'_>| lane_map.lane::<H>(job.session());
    let placed = jobs.iter_mut().map(|job| (lane_of(job), job));
    let mut jobs: Vec<(usize, &mut Job<'_>)> = placed.collect();
    // The jobs are usually in order already, which the sort detects. It is stable: within a lane
    // they stay in the order of the picks.
    jobs.sort_by_key(|(lane, _)| *lane);
    let mut handlers = handlers.lanes(count).enumerate();
    let lanes = jobs.chunk_by_mut(|(one, _), (other, _)| one == other);
    let lanes = lanes.filter_map(|jobs| {
        let (_, handler) = handlers.find(|(lane, _)| *lane == jobs[0].0)?;
        Some((CatchPanics { handler, panics }, jobs))
    });
    pool.run(lanes.collect(), |(mut handler, jobs)| {
        for (_, job) in jobs {
            job.run();
            if let Some(request) = job.request() {
                let reply = handler.handle(&request);
                keep(job, reply);
            }
        }
    });
}
