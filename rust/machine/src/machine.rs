//! The cooperative machine: a kernel, a handler, a sink, and the loop between them.

use std::sync::Arc;

use crate::config::ProtocolMachineConfig;
use crate::effect::{EffectHandler, EffectRequest};
use crate::fault::Refusal;
use crate::ids::{EffectId, SessionId};
use crate::input::{Ingress, Rest, Resumed, Taken, Turn};
use crate::kernel::ProtocolMachineKernel;
use crate::outcome::Reply;
use crate::schedule::Driver;
use crate::sink::{NoSink, Sink};
use crate::verify::VerifiedImage;

/// A machine that a scheduler round can be asked of, whatever drives it.
pub trait KernelMachine {
    /// Executes one scheduler round at the given concurrency. At concurrency 1 it is one turn, whatever drives the machine.
    ///
    /// # Errors
    /// [`RoundError::NoConcurrency`] for concurrency 0; nothing has happened then.
    fn kernel_step_round(&mut self, concurrency: usize) -> Result<Round, RoundError>;
}

/// What a round came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Round {
    /// One turn was taken.
    Turn(Turn),
    /// A wave was run.
    Wave {
        /// How many sessions stepped.
        picks: usize,
        /// How many steps they took together.
        steps: u64,
    },
}

/// Why a round was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoundError {
    /// A round of no steps is no round.
    #[error("a round needs a concurrency of at least 1, got 0")]
    NoConcurrency,
}

/// The cooperative machine.
///
/// Drive it like this. [`load_choreography`](Self::load_choreography) opens a session; [`run`](Self::run) steps until
/// nobody is ready and puts every effect to the handler on the way. When `run` comes back with [`Rest::Idle`], the
/// world owes outcomes that the handler put off ([`Reply::Later`]): bring each in with [`ingress`](Self::ingress)
/// ([`Ingress::Outcome`]), tell the passing of time ([`Ingress::AdvanceClock`]), and run again. [`Rest::Done`] is the
/// end; [`Rest::Stuck`] names who waits for whom. A fault ends its session and no other. A canonical round is one
/// semantic step whatever the concurrency asked for.
///
/// ```
/// use antiphon_machine::{Class, EffectRequest, FromFn, Outcome, ProtocolMachine, Reply, Rest};
/// # let image = antiphon_machine::sample::ping_pong(1);
///
/// // The world: the Client's host sends two pings, then says stop. Everything else is told, not asked.
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
    /// A machine that nobody observes.
    pub fn new(config: ProtocolMachineConfig, handler: H) -> ProtocolMachine<H> {
        ProtocolMachine::with_sink(config, handler, NoSink)
    }
}

impl<H: EffectHandler, S: Sink> ProtocolMachine<H, S> {
    /// A machine whose events go to the sink.
    pub fn with_sink(config: ProtocolMachineConfig, handler: H, sink: S) -> ProtocolMachine<H, S> {
        ProtocolMachine {
            kernel: ProtocolMachineKernel::new(config),
            handler,
            sink,
        }
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
        load(&mut self.kernel, &mut self.sink, image, owner)
    }

    /// Takes an input. An effect that is asked again because of it is put to the handler before this returns.
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

    /// As [`turn`](Self::turn), but takes several steps at once, at most `steps_max` of them (one if
    /// that is 0), until one issues an effect or ends a coroutine, or no coroutine is ready; it may
    /// return before. A sink that wants every step gets one step at a time. Returns the last step,
    /// and how many were taken.
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

    /// Takes steps until no coroutine is ready, or `steps_max` steps were taken: then returns `None`.
    ///
    /// An outcome that the handler returns at once is taken in between two steps. A panic of the
    /// handler goes through; the machine is consistent after it, and the effect outstanding. After a
    /// panic of a sink that is notified of an event it is not.
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

    /// How many steps the sink allows at once.
    #[inline]
    fn at_once(&self, steps_max: u64) -> u64 {
        match self.sink.wants_steps() {
            true => 1,
            false => steps_max,
        }
    }

    #[inline]
    fn notify(&mut self, turn: &Turn) {
        match turn {
            Turn::Stepped { .. } => self.sink.stepped(&self.kernel),
            Turn::Rest(rest) => self.sink.rested(&self.kernel, rest),
        }
    }

    /// The kernel, to look at.
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

    /// The sink, the machine being done with.
    pub fn into_sink(self) -> S {
        self.sink
    }

    /// The kernel, the handler and the sink, the machine being done with: for a sink that ends by looking at the
    /// kernel, as a recorder does.
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

/// Puts each request to the handler when its effect is issued, and continues after it or not.
struct Asks<'h, H, const CONTINUES: bool>(&'h mut H);

impl<H: EffectHandler, const CONTINUES: bool> Driver for Asks<'_, H, CONTINUES> {
    const ASKS: bool = true;
    const CONTINUES: bool = CONTINUES;

    #[inline(always)]
    fn ask(&mut self, request: &EffectRequest<'_>) -> Reply {
        self.0.handle(request)
    }
}

/// Makes the image known and opens a session of it, in whatever machine.
pub(crate) fn load<S: Sink>(
    kernel: &mut ProtocolMachineKernel,
    sink: &mut S,
    image: &Arc<VerifiedImage>,
    owner: &str,
) -> Result<SessionId, Refusal> {
    kernel.load(image);
    sink.loaded(image);
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

/// Puts an outstanding request to the handler and takes in an outcome that it returns at once; does
/// the same for the request that is made again because of it.
pub(crate) fn ask<H: EffectHandler, S: Sink>(
    kernel: &mut ProtocolMachineKernel,
    handler: &mut H,
    sink: &mut S,
    mut effect: EffectId,
) {
    while let Some(request) = kernel.request(effect) {
        sink.request(kernel.step_index(), &request);
        let reply = handler.handle(&request);
        match answer(kernel, sink, effect, reply) {
            Some(again) => effect = again,
            None => return,
        }
    }
}

/// Takes in a reply; returns the effect that is issued again because of it, if there is one.
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
