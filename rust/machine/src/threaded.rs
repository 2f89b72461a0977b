//! The threaded machine: rounds as certified waves, on a pool of threads.
//!
//! A wave is planned, checked and committed by the kernel; here it is only run: each session's part on whatever thread is
//! free, and what it asks put to a handler on that same thread. So the threads never decide anything, and a run is the
//! same however many there are.

mod guest;
mod handlers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

pub use guest::{INBOX_LEN_MAX, Inbox, InboxError, Remote, ThreadedGuestRuntime};
pub use handlers::{Handlers, PerLane, Shared};

use crate::bounds::WAVE_STEPS_MAX;
use crate::config::ProtocolMachineConfig;
use crate::effect::{EffectHandler, Reply};
use crate::event::{NoSink, Sink};
use crate::fault::Refusal;
use crate::ids::{EffectId, SessionId};
use crate::kernel::{Ingress, Job, ProtocolMachineKernel, Rest, Rooms, Taken, Turn};
use crate::machine::{self, KernelMachine, Round, RoundError};
use crate::step::{Resumed, Step};
use crate::verify::VerifiedImage;
use crate::wave::{WaveCertificate, WaveRefusal};
use handlers::{Contained, lane_of};

/// Threads that a driver may have: more than any machine has cores, and few enough to start.
pub const WORKERS_MAX: usize = 1024;

/// Sessions of a wave, unless told otherwise: planning looks through the whole queue, so that few sessions at a time would be
/// dear where there are many.
pub const WIDTH: u32 = 4096;

/// Steps of a session in a wave, unless told otherwise: a few microseconds of work for each time it is handed to a thread.
pub const QUANTUM: u32 = 64;

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

/// A pool of threads that runs waves. It knows no session: [`ThreadedProtocolMachine`] drives a kernel with it.
#[derive(Debug)]
pub struct NativeThreadedDriver {
    /// None where the caller's thread is enough.
    pool: Option<ThreadPool>,
    workers: usize,
    rooms: Rooms,
    report: WaveReport,
    panics: AtomicU64,
}

impl NativeThreadedDriver {
    /// A driver with so many workers: at least one, at most [`WORKERS_MAX`], and the caller's thread alone where the system
    /// gives no others.
    pub fn with_workers(workers: usize) -> NativeThreadedDriver {
        let workers = workers.clamp(1, WORKERS_MAX);
        NativeThreadedDriver::try_with_workers(workers)
            .unwrap_or_else(|_| NativeThreadedDriver::of(None, 1))
    }

    /// A driver with exactly so many workers.
    ///
    /// # Errors
    /// When the number is out of range, or the threads cannot be started.
    pub fn try_with_workers(workers: usize) -> Result<NativeThreadedDriver, DriverError> {
        match workers {
            0 => Err(DriverError::NoWorkers),
            1 => Ok(NativeThreadedDriver::of(None, 1)),
            got if got > WORKERS_MAX => Err(DriverError::TooManyWorkers { got }),
            _ => {
                let builder = rayon::ThreadPoolBuilder::new().num_threads(workers);
                let named = builder.thread_name(|n| format!("antiphon worker {n}"));
                Ok(NativeThreadedDriver::of(Some(named.build()?), workers))
            }
        }
    }

    fn of(pool: Option<ThreadPool>, workers: usize) -> NativeThreadedDriver {
        NativeThreadedDriver {
            pool,
            workers,
            rooms: Rooms::default(),
            report: WaveReport::default(),
            panics: AtomicU64::new(0),
        }
    }

    /// How many workers it has.
    pub fn workers(&self) -> usize {
        self.workers
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
        run_jobs(
            self.pool.as_ref(),
            self.workers,
            &self.panics,
            jobs,
            handlers,
        );
    }

    /// Runs the certificate if it checks, else takes one turn. What is asked on the way is put to a handler.
    pub fn round_with<H: Handlers, S: Sink>(
        &mut self,
        kernel: &mut ProtocolMachineKernel,
        certificate: &WaveCertificate,
        handlers: &mut H,
        sink: &mut S,
    ) -> Round {
        let (pool, workers, panics) = (self.pool.as_ref(), self.workers, &self.panics);
        let run = |jobs: &mut [Job<'_>]| run_jobs(pool, workers, panics, jobs, handlers);
        match kernel.wave(certificate, &mut self.rooms, sink, run) {
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
        for (effect, reply) in self.rooms.asked() {
            if let Some(request) = kernel.request(effect) {
                sink.request(kernel.step_index(), &request);
            }
            let reply = reply.unwrap_or(Reply::Later);
            if let Some(next) = machine::answer(kernel, sink, effect, reply) {
                ask(kernel, handlers, self.workers, &self.panics, sink, next);
            }
        }
    }

    /// One step as the policy wants it, and the handler's answer if it asked something.
    fn turn<H: Handlers, S: Sink>(
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
                    ask(kernel, handlers, self.workers, &self.panics, sink, effect);
                }
                sink.stepped(kernel);
            }
            Turn::Rest(rest) => sink.rested(kernel, rest),
        }
        turn
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
    let lane = lane_of(effect.session, handlers.count(workers));
    let handler = handlers.lane(lane);
    let mut contained = Contained { handler, panics };
    machine::ask(kernel, &mut contained, sink, effect);
}

fn run_jobs<H: Handlers>(
    pool: Option<&ThreadPool>,
    workers: usize,
    panics: &AtomicU64,
    jobs: &mut [Job<'_>],
    handlers: &mut H,
) {
    let count = handlers.count(workers);
    let lane = |handler| (Contained { handler, panics }, Vec::new());
    let mut lanes: Vec<(_, Vec<&mut Job<'_>>)> = handlers.lanes(count).map(lane).collect();
    for job in jobs {
        if let Some((_, jobs)) = lanes.get_mut(lane_of(job.session(), count)) {
            jobs.push(job);
        }
    }
    let run = |(mut handler, jobs): (Contained<'_, H::Lane<'_>>, Vec<&mut Job<'_>>)| {
        for job in jobs {
            job.run();
            if let Some(request) = job.request() {
                let reply = handler.handle(&request);
                job.answer(reply);
            }
        }
    };
    match pool {
        Some(pool) => pool.install(|| lanes.into_par_iter().with_max_len(1).for_each(run)),
        None => lanes.into_iter().for_each(run),
    }
}

/// The threaded machine.
///
/// It is driven like the cooperative one ([`ProtocolMachine`](crate::ProtocolMachine)), and a round steps up to
/// [`width`](Self::with_wave) sessions at a time. Each session's trace and end are those that the cooperative machine gives; how
/// the sessions' events lie between each other is not, and an observer is told which steps a wave took. At concurrency 1
/// ([`kernel_step_round`](KernelMachine::kernel_step_round)) it is the cooperative machine, byte for byte.
///
/// A handler that panics fails its effect with `internal`: a protocol can branch on that, and a session that does not faults.
///
/// ```
/// use antiphon_machine::threaded::{Shared, ThreadedProtocolMachine};
/// use antiphon_machine::{Class, EffectRequest, FromFn, Outcome, Reply, Rest};
/// # let image = antiphon_machine::sample::ping_pong(1);
///
/// // Called by several threads at a time, each time for another session.
/// let host = FromFn(|request: &EffectRequest<'_>| {
///     Reply::Now(match request.class() {
///         Class::Decide { .. } => request.choose("stop").unwrap(),
///         Class::Produce { .. } => Outcome::success(7u64),
///         _ => Outcome::done(),
///     })
/// });
/// let mut machine = ThreadedProtocolMachine::with_workers(Default::default(), Shared(host), 2);
/// for _ in 0..100 {
///     machine.load_choreography(&image, "me")?;
/// }
/// assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
/// assert!(machine.report().waves > 0);
/// # Ok::<(), antiphon_machine::Refusal>(())
/// ```
#[derive(Debug)]
pub struct ThreadedProtocolMachine<H, S = NoSink> {
    kernel: ProtocolMachineKernel,
    driver: NativeThreadedDriver,
    handlers: H,
    sink: S,
    width: u32,
    quantum: u32,
    certificate: WaveCertificate,
}

impl<H: Handlers> ThreadedProtocolMachine<H> {
    /// A machine with so many workers, that nobody observes: see [`NativeThreadedDriver::with_workers`].
    pub fn with_workers(config: ProtocolMachineConfig, handlers: H, workers: usize) -> Self {
        let driver = NativeThreadedDriver::with_workers(workers);
        ThreadedProtocolMachine::with_driver(config, handlers, NoSink, driver)
    }

    /// A machine with exactly so many workers, that nobody observes.
    ///
    /// # Errors
    /// As [`NativeThreadedDriver::try_with_workers`].
    pub fn try_with_workers(
        config: ProtocolMachineConfig,
        handlers: H,
        workers: usize,
    ) -> Result<Self, DriverError> {
        let driver = NativeThreadedDriver::try_with_workers(workers)?;
        Ok(ThreadedProtocolMachine::with_driver(
            config, handlers, NoSink, driver,
        ))
    }
}

impl<H: Handlers, S: Sink> ThreadedProtocolMachine<H, S> {
    /// A machine on this driver, whose events go to the sink.
    pub fn with_driver(
        config: ProtocolMachineConfig,
        handlers: H,
        sink: S,
        driver: NativeThreadedDriver,
    ) -> ThreadedProtocolMachine<H, S> {
        ThreadedProtocolMachine {
            kernel: ProtocolMachineKernel::new(config),
            driver,
            handlers,
            sink,
            width: WIDTH,
            quantum: QUANTUM,
            certificate: WaveCertificate::default(),
        }
    }

    /// The same with waves of at most `width` sessions, each stepped at most `quantum` times. Both are at least 1, and together
    /// no more than [`WAVE_STEPS_MAX`]: the width is cut first to that, and then the quantum.
    #[must_use]
    pub fn with_wave(mut self, width: u32, quantum: u32) -> Self {
        let steps_max = WAVE_STEPS_MAX as u32;
        self.width = width.clamp(1, steps_max);
        self.quantum = quantum.clamp(1, steps_max / self.width);
        self
    }

    /// Makes the image known and opens a session of it.
    ///
    /// # Errors
    /// A [`Refusal`] when the machine has no room for another session or the owner's name is too long.
    pub fn load_choreography(
        &mut self,
        image: &Arc<VerifiedImage>,
        owner: &str,
    ) -> Result<SessionId, Refusal> {
        machine::load(&mut self.kernel, &mut self.sink, image, owner)
    }

    /// Takes an input. An effect that is asked again because of it is put to its handler before this returns.
    ///
    /// # Errors
    /// A [`Refusal`] when the input does not fit the state; nothing has changed then.
    pub fn ingress(&mut self, input: Ingress) -> Result<Taken, Refusal> {
        let taken = self.kernel.ingress(input, &mut self.sink)?;
        if let Taken::Resumed(Resumed::Reissued(effect)) = taken {
            let (workers, panics) = (self.driver.workers, &self.driver.panics);
            let (kernel, handlers) = (&mut self.kernel, &mut self.handlers);
            ask(kernel, handlers, workers, panics, &mut self.sink, effect);
        }
        Ok(taken)
    }

    /// A round of waves of this width: plan, check, run, commit. Of width 1, one turn.
    fn round(&mut self, width: u32) -> Round {
        let kernel = &mut self.kernel;
        if width > 1 {
            let certificate = &mut self.certificate;
            let planned = kernel.plan_into(width, self.quantum, certificate);
            if !certificate.picks.is_empty() {
                self.driver.report.session_taken += planned.session_taken;
                self.driver.report.width_reached += planned.width_reached;
                let (handlers, sink) = (&mut self.handlers, &mut self.sink);
                return self.driver.round_with(kernel, certificate, handlers, sink);
            }
        }
        let turn = self.driver.turn(kernel, &mut self.handlers, &mut self.sink);
        Round::Turn(turn)
    }

    /// The widest wave that its quantum allows.
    fn width_max(&self) -> u32 {
        WAVE_STEPS_MAX as u32 / self.quantum
    }

    /// Runs the certificate if it checks, else takes one turn: for waves that somebody else planned.
    pub fn round_with(&mut self, certificate: &WaveCertificate) -> Round {
        let (kernel, handlers) = (&mut self.kernel, &mut self.handlers);
        self.driver
            .round_with(kernel, certificate, handlers, &mut self.sink)
    }

    /// Runs rounds until nobody is ready, or `rounds_max` rounds were run: `None` then.
    pub fn run(&mut self, rounds_max: u64) -> Option<Rest> {
        for _ in 0..rounds_max {
            if let Round::Turn(Turn::Rest(rest)) = self.round(self.width) {
                return Some(rest);
            }
        }
        None
    }

    /// What the driver has done so far.
    pub fn report(&self) -> WaveReport {
        self.driver.report()
    }

    /// The kernel, to look at.
    pub fn kernel(&self) -> &ProtocolMachineKernel {
        &self.kernel
    }

    /// The handlers.
    pub fn handlers(&mut self) -> &mut H {
        &mut self.handlers
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The kernel, the handlers and the sink, the machine being done with.
    pub fn into_parts(self) -> (ProtocolMachineKernel, H, S) {
        (self.kernel, self.handlers, self.sink)
    }
}

impl<H: Handlers, S: Sink> KernelMachine for ThreadedProtocolMachine<H, S> {
    fn kernel_step_round(&mut self, concurrency: usize) -> Result<Round, RoundError> {
        match u32::try_from(concurrency) {
            Ok(0) => Err(RoundError::NoConcurrency),
            Ok(width) => Ok(self.round(width.min(self.width_max()))),
            Err(_) => Ok(self.round(self.width_max())),
        }
    }
}
