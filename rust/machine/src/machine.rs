//! The cooperative machine: a kernel, a handler, a sink, and the loop between them.

use std::sync::Arc;

use crate::config::ProtocolMachineConfig;
use crate::effect::{EffectHandler, EffectRequest};
use crate::fault::Refusal;
use crate::ids::{EffectId, SessionId};
use crate::input::{Ingress, Rest, Resumed, Taken, Turn};
use crate::kernel::ProtocolMachineKernel;
use crate::outcome::Reply;
use crate::safety::{Admission, AdmissionError, Evidence, admit};
use crate::schedule::Driver;
use crate::sink::{NoSink, Observation, Sink};
use crate::verify::VerifiedImage;

/// A machine that runs one scheduler round at a time.
pub trait KernelMachine {
    /// Runs one scheduler round at the given concurrency. A round of concurrency 1 is one turn, on
    /// every machine.
    ///
    /// # Errors
    /// [`RoundError::NoConcurrency`] for concurrency 0; nothing has happened then.
    fn kernel_step_round(&mut self, concurrency: usize) -> Result<Round, RoundError>;
}

/// The result of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Round {
    /// One turn was taken.
    Turn(Turn),
    /// A wave was run.
    Wave {
        /// How many sessions stepped.
        picks: usize,
        /// How many steps they took in total.
        steps: u64,
    },
}

/// Why a round was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoundError {
    /// The concurrency was 0.
    #[error("a round needs a concurrency of at least 1, got 0")]
    NoConcurrency,
}

/// The cooperative machine.
///
/// [`load_admitted`](Self::load_admitted) opens a session of an image that is shown to be safe, and
/// [`load_choreography`](Self::load_choreography) one of any image. [`run`](Self::run) steps until
/// no coroutine is ready, and puts every effect to the handler on the way. When it returns
/// [`Rest::Idle`], outcomes that the handler deferred ([`Reply::Later`]) are still missing: pass
/// each to [`ingress`](Self::ingress) as an [`Ingress::Outcome`], report the passing of time with
/// [`Ingress::AdvanceClock`], and run again. [`Rest::Done`] is the end, and [`Rest::Stuck`] lists
/// the coroutines that nothing can unblock. A fault ends its session and no other. A round of this
/// machine is one semantic step, whatever the concurrency.
///
/// ```
/// use antiphon_machine::{Class, EffectRequest, FromFn, Outcome, ProtocolMachine, Reply, Rest};
/// # let image = antiphon_machine::sample::ping_pong(1);
///
/// // The Client's host sends two pings, then stops. Other requests only deliver messages.
/// let mut pings = 0;
/// let host = FromFn(|request: &EffectRequest<'_>| {
///     Reply::Now(match request.class() {
///         Class::Decide { .. } if pings == 2 => request.choose("stop").unwrap(),
///         Class::Decide { .. } => {
///             pings += 1;
///             request.choose("ping").unwrap()
///         }
///         Class::Produce { .. } => Outcome::success(7u64),
///         _ => Outcome::done(),
///     })
/// });
/// let mut machine = ProtocolMachine::new(Default::default(), host);
/// machine.load_choreography(&image, "me")?;
/// assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
/// # Ok::<(), antiphon_machine::Refusal>(())
/// ```
#[derive(Debug)]
pub struct ProtocolMachine<H, S = NoSink> {
    kernel: ProtocolMachineKernel,
    handler: H,
    sink: S,
}

impl<H: EffectHandler> ProtocolMachine<H> {
    /// A machine without an observer.
    pub fn new(config: ProtocolMachineConfig, handler: H) -> ProtocolMachine<H> {
        ProtocolMachine::with_sink(config, handler, NoSink)
    }
}

impl<H: EffectHandler, S: Sink> ProtocolMachine<H, S> {
    /// A machine that reports its events to the sink.
    pub fn with_sink(config: ProtocolMachineConfig, handler: H, sink: S) -> ProtocolMachine<H, S> {
        ProtocolMachine {
            kernel: ProtocolMachineKernel::new(config),
            handler,
            sink,
        }
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
        load(&mut self.kernel, &mut self.sink, image, owner)
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
            ask(&mut self.kernel, &mut self.handler, &mut self.sink, effect);
        }
        Ok(taken)
    }

    /// Takes one step, and puts the request to the handler if the step issued one.
    #[inline]
    pub fn turn(&mut self) -> Turn {
        self.turns(1).0
    }

    /// As [`turn`](Self::turn), but takes several steps, at most `steps_max` (one if that is 0),
    /// until one issues an effect or ends a coroutine, or no coroutine is ready. It may return
    /// earlier. A sink that wants every step gets one step at a time. Returns the last step, and
    /// how many were taken.
    #[inline]
    pub fn turns(&mut self, steps_max: u64) -> (Turn, u64) {
        let at_once = self.at_once(steps_max);
        let mut driver = Asks::<_, false>(&mut self.handler);
        let (turn, taken) = self
            .kernel
            .steps_driven(at_once, &mut self.sink, &mut driver);
        self.notify(&turn);
        (turn, taken)
    }

    /// Takes steps until no coroutine is ready, and returns why; `None` after `steps_max` steps.
    ///
    /// An outcome that the handler returns at once is taken in between two steps. A panic of the
    /// handler reaches the caller; the machine is consistent after it, and the effect is still
    /// outstanding. After a panic of a sink at an event the machine is not consistent.
    pub fn run(&mut self, steps_max: u64) -> Option<Rest> {
        let mut left = steps_max;
        while left > 0 {
            let at_once = self.at_once(left);
            let mut driver = Asks::<_, true>(&mut self.handler);
            let (turn, taken) = self
                .kernel
                .steps_driven(at_once, &mut self.sink, &mut driver);
            self.notify(&turn);
            match turn {
                Turn::Rest(rest) => return Some(rest),
                Turn::Stepped { .. } => left -= taken,
            }
        }
        None
    }

    /// How many steps the sink allows at a time.
    #[inline]
    fn at_once(&self, steps_max: u64) -> u64 {
        if self.sink.interest().steps {
            1
        } else {
            steps_max
        }
    }

    #[inline]
    fn notify(&mut self, turn: &Turn) {
        match turn {
            Turn::Stepped { .. } => self.sink.observe(Observation::Stepped(&self.kernel)),
            Turn::Rest(rest) => self.sink.observe(Observation::Rested(&self.kernel, rest)),
        }
    }

    /// The kernel, for inspection.
    pub fn kernel(&self) -> &ProtocolMachineKernel {
        &self.kernel
    }

    /// The handler.
    pub fn handler(&mut self) -> &mut H {
        &mut self.handler
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The sink. The machine is dropped.
    pub fn into_sink(self) -> S {
        self.sink
    }

    /// The kernel, the handler and the sink: for a sink that needs the kernel to finish, such as a
    /// recorder.
    pub fn into_parts(self) -> (ProtocolMachineKernel, H, S) {
        (self.kernel, self.handler, self.sink)
    }
}

impl<H: EffectHandler, S: Sink> KernelMachine for ProtocolMachine<H, S> {
    fn kernel_step_round(&mut self, concurrency: usize) -> Result<Round, RoundError> {
        if concurrency == 0 {
            return Err(RoundError::NoConcurrency);
        }
        Ok(Round::Turn(self.turn()))
    }
}

/// Puts each request to the handler when its effect is issued. `CONTINUES` is whether the run
/// continues after it.
struct Asks<'h, H, const CONTINUES: bool>(&'h mut H);

impl<H: EffectHandler, const CONTINUES: bool> Driver for Asks<'_, H, CONTINUES> {
    const ASKS: bool = true;
    const CONTINUES: bool = CONTINUES;

    #[inline(always)]
    fn ask(&mut self, request: &EffectRequest<'_>) -> Reply {
        self.0.handle(request)
    }
}

/// Makes the image known and opens a session with it.
pub(crate) fn load<S: Sink>(
    kernel: &mut ProtocolMachineKernel,
    sink: &mut S,
    image: &Arc<VerifiedImage>,
    owner: &str,
) -> Result<SessionId, Refusal> {
    kernel.load(image);
    sink.observe(Observation::Loaded(image));
    let open = Ingress::Open {
        image: *image.digest(),
        owner: Arc::from(owner),
    };
    match kernel.ingress(open, sink)? {
        Taken::Opened(session) => Ok(session),
        Taken::Resumed(_) | Taken::Advanced { .. } | Taken::Cancelled => {
            unreachable!("an `Open` that is not refused opens a session")
        }
    }
}

/// Puts an outstanding request to the handler and takes in an outcome that it returns at once. Does
/// the same for a request that is repeated because of that outcome.
pub(crate) fn ask<H: EffectHandler, S: Sink>(
    kernel: &mut ProtocolMachineKernel,
    handler: &mut H,
    sink: &mut S,
    mut effect: EffectId,
) {
    while let Some(request) = kernel.request(effect) {
        let (step, request) = (kernel.step_index(), &request);
        sink.observe(Observation::Request { step, request });
        let reply = handler.handle(request);
        match answer(kernel, sink, effect, reply) {
            Some(again) => effect = again,
            None => return,
        }
    }
}

/// Takes in a reply. Returns the effect that repeats the request, if there is one.
pub(crate) fn answer<S: Sink>(
    kernel: &mut ProtocolMachineKernel,
    sink: &mut S,
    effect: EffectId,
    reply: Reply,
) -> Option<EffectId> {
    let Reply::Now(outcome) = reply else {
        return None;
    };
    match kernel.ingress(Ingress::Outcome { effect, outcome }, sink) {
        Ok(Taken::Resumed(Resumed::Reissued(again))) => Some(again),
        Ok(_) | Err(_) => None,
    }
}
