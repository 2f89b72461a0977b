//! The driver: runs waves on a pool, and puts what is asked to handlers. It changes nothing but through the kernel.

use std::sync::atomic::{AtomicU64, Ordering};

use super::handlers::{Contained, Handlers, Sharing};
use super::pool::Pool;
use crate::effect::EffectHandler;
use crate::ids::EffectId;
use crate::input::{Resumed, Step, Turn};
use crate::kernel::{Answer, Job, ProtocolMachineKernel, WaveBuffers};
use crate::machine::{self, Round};
use crate::outcome::Reply;
use crate::sink::Sink;
use crate::wave::{WaveCertificate, WaveRefusal};

/// Threads that a driver may have: more than any machine has cores, and few enough to start.
pub const WORKERS_MAX: usize = 1024;

/// Sessions of a wave, unless told otherwise: planning looks through the whole queue, so that few sessions at a time would be
/// dear where there are many. Outcomes that come later are taken in between two waves: with [`QUANTUM`] a full one takes two
/// cores some 10 ms.
pub const WIDTH: u32 = 4096;

/// Steps of a session in a wave, unless told otherwise: some 5 µs of work, against 0.1 to 0.2 µs that it takes to plan and
/// check it, to hand it to a thread and to take it back.
pub const QUANTUM: u32 = 256;

/// Why a driver could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Nobody could run anything.
    #[error("a driver needs at least 1 worker, got 0")]
    NoWorkers,
    /// More than any machine has use for.
    #[error("a driver has at most {WORKERS_MAX} workers, got {got}")]
    TooManyWorkers {
        /// What was asked for.
        got: usize,
    },
    /// The system gave no thread.
    #[error("the threads could not be started: {0}")]
    Start(#[from] rayon::ThreadPoolBuildError),
}

/// What a driver has done, and why not more at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaveReport {
    /// Waves that were run.
    pub waves: u64,
    /// Sessions that stepped in them, counted once for each wave.
    pub picks: u64,
    /// Steps taken in them.
    pub steps: u64,
    /// Steps taken one by one, by rounds of concurrency 1 and in place of waves that did not check.
    pub turns: u64,
    /// Ready coroutines that were not picked because another one of their session was.
    pub session_taken: u64,
    /// Ready coroutines that were not picked because the wave was as wide as was asked for.
    pub width_reached: u64,
    /// Certificates that did not check, by reason: see [`WaveRefusal::NAMES`].
    pub fallbacks: [u64; WaveRefusal::NAMES.len()],
    /// Calls of a handler that panicked; each ended as a failure `internal` of its effect.
    pub panics: u64,
}

/// Threads that run waves, the caller's among them. It knows no session: [`ThreadedProtocolMachine`](super::ThreadedProtocolMachine) drives a kernel with it.
#[derive(Debug)]
pub struct NativeThreadedDriver {
    pool: Pool,
    certificate: WaveCertificate,
    buffers: WaveBuffers,
    report: WaveReport,
    /// The one thing that threads share; nobody waits for it, and nothing goes by it.
    panics: AtomicU64,
}

impl NativeThreadedDriver {
    /// A driver with so many workers: at least one, at most [`WORKERS_MAX`], and the caller's thread alone where the system
    /// gives no others.
    pub fn with_workers(workers: usize) -> NativeThreadedDriver {
        let workers = workers.clamp(1, WORKERS_MAX);
        NativeThreadedDriver::try_with_workers(workers)
            .unwrap_or_else(|_| NativeThreadedDriver::of(Pool::alone()))
    }

    /// A driver with exactly so many workers.
    ///
    /// # Errors
    /// When the number is out of range, or the threads cannot be started.
    pub fn try_with_workers(workers: usize) -> Result<NativeThreadedDriver, DriverError> {
        match workers {
            0 => Err(DriverError::NoWorkers),
            got if got > WORKERS_MAX => Err(DriverError::TooManyWorkers { got }),
            _ => Ok(NativeThreadedDriver::of(Pool::new(workers)?)),
        }
    }

    fn of(pool: Pool) -> NativeThreadedDriver {
        NativeThreadedDriver {
            pool,
            certificate: WaveCertificate::default(),
            buffers: WaveBuffers::default(),
            report: WaveReport::default(),
            panics: AtomicU64::new(0),
        }
    }

    /// How many workers it has, the caller's thread among them.
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// What it has done so far.
    pub fn report(&self) -> WaveReport {
        WaveReport {
            panics: self.panics.load(Ordering::Relaxed),
            ..self.report
        }
    }

    /// Runs every job of a wave, and puts what it asks to the handler of its lane: for who calls
    /// [`ProtocolMachineKernel::wave`] himself.
    pub fn run_jobs<H: Handlers>(&self, jobs: &mut [Job<'_>], handlers: &mut H) {
        run_jobs(&self.pool, &self.panics, jobs, handlers, |job, reply| {
            job.answer(reply)
        });
    }

    /// Plans a wave of at most `width` sessions and runs it; a turn, which says why, where nobody is ready.
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
        let round = match certificate.picks.is_empty() {
            true => Round::Turn(self.turn(kernel, handlers, sink)),
            false => {
                self.report.session_taken += planned.session_taken;
                self.report.width_reached += planned.width_reached;
                self.round_with(kernel, &certificate, handlers, sink)
            }
        };
        self.certificate = certificate;
        round
    }

    /// Runs the certificate if it checks, else takes one turn. What is asked on the way is put to a handler.
    pub fn round_with<H: Handlers, S: Sink>(
        &mut self,
        kernel: &mut ProtocolMachineKernel,
        certificate: &WaveCertificate,
        handlers: &mut H,
        sink: &mut S,
    ) -> Round {
        let (pool, panics) = (&self.pool, &self.panics);
        let keep: fn(&mut Job<'_>, Reply) = match sink.wants_events() || sink.wants_inputs() {
            true => |job, reply| job.answer(reply),
            false => |job, reply| job.take_in(reply),
        };
        let run = |jobs: &mut [Job<'_>]| run_jobs(pool, panics, jobs, handlers, keep);
        match kernel.wave(certificate, &mut self.buffers, sink, run) {
            Err(refusal) => {
                self.report.fallbacks[refusal.number()] += 1;
                Round::Turn(self.turn(kernel, handlers, sink))
            }
            Ok(steps) => {
                let picks = certificate.picks.len();
                self.report.waves += 1;
                self.report.picks += picks as u64;
                self.report.steps += steps;
                self.answer(kernel, handlers, sink);
                sink.stepped(kernel);
                Round::Wave { picks, steps }
            }
        }
    }

    /// Takes in what the handlers said in the wave that was run, in the order of its picks.
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
                        sink.request(kernel.step_index(), &request);
                    }
                    machine::answer(kernel, sink, effect, reply)
                }
            };
            if let Some(next) = next {
                ask(kernel, handlers, workers, &self.panics, sink, next);
            }
        }
    }

    /// One step as the policy wants it, and the handler's answer if it asked something.
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
                sink.stepped(kernel);
            }
            Turn::Rest(rest) => sink.rested(kernel, rest),
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
    let sharing = Sharing::new(handlers.count(workers), 1);
    let handler = handlers.lane(sharing.lane::<H>(effect.session));
    let mut contained = Contained { handler, panics };
    machine::ask(kernel, &mut contained, sink, effect);
}

/// `keep` is told what the handlers say.
fn run_jobs<H: Handlers>(
    pool: &Pool,
    panics: &AtomicU64,
    jobs: &mut [Job<'_>],
    handlers: &mut H,
    keep: fn(&mut Job<'_>, Reply),
) {
    let count = handlers.count(pool.workers());
    let sharing = Sharing::new(count, jobs.len());
    let lane_of = |job: &Job<'_>| sharing.lane::<H>(job.session());
    let placed = jobs.iter_mut().map(|job| (lane_of(job), job));
    let mut jobs: Vec<(usize, &mut Job<'_>)> = placed.collect();
    // Mostly they are in order already, which is noticed. On a lane they stay in the order of the picks.
    jobs.sort_by_key(|(lane, _)| *lane);
    let mut handlers = handlers.lanes(count).enumerate();
    let lanes = jobs.chunk_by_mut(|(one, _), (other, _)| one == other);
    let lanes = lanes.filter_map(|jobs| {
        let (_, handler) = handlers.find(|(lane, _)| *lane == jobs[0].0)?;
        Some((Contained { handler, panics }, jobs))
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
