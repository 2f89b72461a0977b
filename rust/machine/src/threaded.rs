//! The threaded machine: rounds as certified waves, on a pool of threads.
//!
//! A wave is planned, checked and committed by the kernel; here it is only run: each session's part on whatever thread is
//! free, and what it asks put to a handler on that same thread. So the threads never decide anything, and a run is the
//! same however many there are.

mod driver;
mod guest;
mod handlers;
mod pool;

use std::sync::Arc;

pub use driver::{DriverError, NativeThreadedDriver, QUANTUM, WIDTH, WORKERS_MAX, WaveReport};
pub use guest::{INBOX_LEN_MAX, Inbox, InboxError, Remote, ThreadedGuestRuntime};
pub use handlers::{Handlers, PerLane, Shared};

use crate::bounds::WAVE_STEPS_MAX;
use crate::config::ProtocolMachineConfig;
use crate::fault::Refusal;
use crate::ids::SessionId;
use crate::input::{Ingress, Rest, Resumed, Taken, Turn};
use crate::kernel::ProtocolMachineKernel;
use crate::machine::{self, KernelMachine, Round, RoundError};
use crate::sink::{NoSink, Sink};
use crate::verify::VerifiedImage;
use crate::wave::WaveCertificate;

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
            let (kernel, handlers) = (&mut self.kernel, &mut self.handlers);
            self.driver.ask(kernel, handlers, &mut self.sink, effect);
        }
        Ok(taken)
    }

    /// A round of this width: of 1, one turn.
    fn round(&mut self, width: u32) -> Round {
        let (kernel, handlers) = (&mut self.kernel, &mut self.handlers);
        match width {
            0 | 1 => Round::Turn(self.driver.turn(kernel, handlers, &mut self.sink)),
            width => self
                .driver
                .round(kernel, width, self.quantum, handlers, &mut self.sink),
        }
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
