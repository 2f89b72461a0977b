//! The threaded machine: rounds as certified waves, on a pool of threads.
//!
//! The kernel plans, checks and commits a wave; this module only runs it. Each session's part runs
//! on any free thread, and its request is put to a handler on that same thread. The threads decide
//! nothing, so a run is the same for any number of threads.

// `guest` wraps the driver that this module defines, so it imports from its parent.
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
use crate::safety::{Admission, AdmissionError, Evidence, admit};
use crate::sink::{NoSink, Sink};
use crate::verify::VerifiedImage;
use crate::wave::WaveCertificate;

/// The threaded machine.
///
/// It is driven like the cooperative machine ([`ProtocolMachine`](crate::ProtocolMachine)), but a
/// round steps up to [`width`](Self::with_wave) sessions at a time. Each session has the same trace
/// and the same end as on the cooperative machine. The order in which the events of different
/// sessions interleave may differ; a sink observes which steps belong to a wave. At concurrency 1
/// ([`kernel_step_round`](KernelMachine::kernel_step_round)) the run is the same as on the
/// cooperative machine, byte for byte.
///
/// If a handler panics, its effect fails with `internal`. A protocol can branch on that; without a
/// branch the session faults.
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
    /// A machine with `workers` threads and no observer: see
    /// [`NativeThreadedDriver::with_workers`].
    pub fn with_workers(config: ProtocolMachineConfig, handlers: H, workers: usize) -> Self {
        let driver = NativeThreadedDriver::with_workers(workers);
        ThreadedProtocolMachine::with_driver(config, handlers, NoSink, driver)
    }

    /// A machine with exactly `workers` threads and no observer.
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
    /// A machine on this driver that reports its events to the sink.
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

    /// Sets the size of waves: at most `width` sessions, and at most `quantum` steps of each. Both
    /// are raised to at least 1, and their product is kept within [`WAVE_STEPS_MAX`] by reducing
    /// first the width and then the quantum.
    #[must_use]
    pub fn with_wave(mut self, width: u32, quantum: u32) -> Self {
        let steps_max = WAVE_STEPS_MAX as u32;
        self.width = width.clamp(1, steps_max);
        self.quantum = quantum.clamp(1, steps_max / self.width);
        self
    }

    /// Makes the image known and opens a session with it. Whether the image's roles fit together is
    /// not checked: their session may come to a deadlock, to a message that its receiver cannot
    /// take, or to one that is never read. [`load_admitted`](Self::load_admitted) excludes these.
    ///
    /// # Errors
    /// A [`Refusal`] when the machine has as many sessions as it may have, or the owner's name is
    /// too long.
    pub fn load_choreography(
        &mut self,
        image: &Arc<VerifiedImage>,
        owner: &str,
    ) -> Result<SessionId, Refusal> {
        machine::load(&mut self.kernel, &mut self.sink, image, owner)
    }

    /// As [`load_choreography`](Self::load_choreography), if the evidence shows that the image is
    /// safe on a machine with this configuration ([`safety::admit`](crate::safety::admit)).
    ///
    /// # Errors
    /// The image was not admitted and not loaded; or the session was refused, as by
    /// `load_choreography`.
    pub fn load_admitted(
        &mut self,
        image: &Arc<VerifiedImage>,
        owner: &str,
        evidence: Evidence<'_>,
    ) -> Result<(SessionId, Admission), AdmissionError> {
        let admission = admit(self.kernel.config(), image, evidence)?;
        Ok((self.load_choreography(image, owner)?, admission))
    }

    /// Takes an input. If it makes the machine repeat a request, the handler is asked before this
    /// returns.
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

    /// A round of this width; a round of width 1 is one turn.
    fn round(&mut self, width: u32) -> Round {
        let (kernel, handlers) = (&mut self.kernel, &mut self.handlers);
        match width {
            0 | 1 => Round::Turn(self.driver.turn(kernel, handlers, &mut self.sink)),
            width => self
                .driver
                .round(kernel, width, self.quantum, handlers, &mut self.sink),
        }
    }

    /// The widest wave for the quantum.
    fn width_max(&self) -> u32 {
        WAVE_STEPS_MAX as u32 / self.quantum
    }

    /// Runs the certificate if it checks, otherwise takes one turn: for waves that were planned
    /// elsewhere.
    pub fn round_with(&mut self, certificate: &WaveCertificate) -> Round {
        let (kernel, handlers) = (&mut self.kernel, &mut self.handlers);
        self.driver
            .round_with(kernel, certificate, handlers, &mut self.sink)
    }

    /// Runs rounds until no coroutine is ready, and returns why; `None` after `rounds_max` rounds.
    pub fn run(&mut self, rounds_max: u64) -> Option<Rest> {
        for _ in 0..rounds_max {
            if let Round::Turn(Turn::Rest(rest)) = self.round(self.width) {
                return Some(rest);
            }
        }
        None
    }

    /// The counts since the driver was created.
    pub fn report(&self) -> WaveReport {
        self.driver.report()
    }

    /// The kernel, for inspection.
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

    /// The kernel, the handlers and the sink.
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
