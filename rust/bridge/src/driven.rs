//! Converts runs of the drivers that programs embed to cases.
//!
//! A [`Runner`](crate::run::Runner) takes one step at a time and answers nothing in place. A
//! program uses [`ProtocolMachine::run`] or its threaded counterpart: many steps in one call, with
//! a handler that answers inside the run, fails, panics, or leaves the answer for later. This
//! module drives such a machine with a scripted handler, observes it, and derives the equivalent
//! list of actions: a turn for each step, a round for each wave, and an input right after the
//! request that it answers. [`Log::case`] then performs these actions on a `Runner` and compares
//! every event with its stamp, every request, every rest and the final state. The model runs the
//! same case, so the embedded run is compared with the specification, too.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use antiphon_machine::{
    EffectHandler, EffectId, EffectRequest, FailureKind, Ingress, Interest, ObsEvent, Observation,
    Outcome, ProtocolMachine, ProtocolMachineKernel, Refusal, Reply, Rest, Sink, Turn, Value,
    VerifiedImage,
};

use crate::case::{Action, Case};
use crate::coins::Coins;
use crate::random::{any_value, value_of};
use crate::run::{ActionResult, Request};
use crate::script::Script;

/// Calls of the machine in one run: enough for most sessions to end.
const CALLS_MAX: usize = 14;

/// A handler whose answer depends on nothing but the seed and the number of the effect, so that it
/// is the same in every run of a world and on every thread.
///
/// It answers at once with a value of the right sort, with a value of another sort, with a value
/// that is too large or with a failure; it panics; or it leaves the answer for later.
#[derive(Debug)]
pub struct ScriptedHandler {
    seed: u64,
    requests: Mutex<Vec<Request>>,
}

impl ScriptedHandler {
    /// The handler of this seed.
    pub fn new(seed: u64) -> ScriptedHandler {
        let requests = Mutex::default();
        ScriptedHandler { seed, requests }
    }

    /// The requests it was called with, ordered by session and number: threads call it in any
    /// order.
    pub fn requests(&self) -> Vec<Request> {
        let requests = self.requests.lock();
        let mut requests = requests.unwrap_or_else(PoisonError::into_inner).clone();
        requests.sort_by_key(|request| request.effect);
        requests
    }
}

impl EffectHandler for &ScriptedHandler {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        self.reply(request)
    }
}

impl ScriptedHandler {
    /// The reply to a request.
    pub fn reply(&self, request: &EffectRequest<'_>) -> Reply {
        let requests = self.requests.lock();
        let mut requests = requests.unwrap_or_else(PoisonError::into_inner);
        requests.push(Request::of(request));
        drop(requests);
        let EffectId { session, number } = request.effect();
        let place = (u64::from(session.0) << 32) ^ number;
        let mut coins = Coins::new(self.seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        match coins.below(20) {
            0..=9 => Reply::Now(Outcome::Success(value_of(
                request.result_sort(),
                &request.image().image().sorts,
                &mut coins,
            ))),
            10 => Reply::Now(Outcome::Success(any_value(&mut coins))),
            11 => Reply::Now(Outcome::Success(Value::bytes(&[1; 70]))),
            12 | 13 => Reply::Now(Outcome::failure(FailureKind::Unavailable, "not now")),
            14 => Reply::Now(Outcome::failure(FailureKind::ALL[coins.below(10)], "no")),
            // Unlike `panic!` this does not run the panic hook, which would print each one.
            15 | 16 => resume_unwind(Box::new("scripted")),
            _ => Reply::Later,
        }
    }
}

/// The methods of a driver that programs call.
pub trait Machine {
    /// Opens a session of the image.
    ///
    /// # Errors
    /// As the machine's `load_choreography`.
    fn open(&mut self, image: &Arc<VerifiedImage>, owner: &str) -> Result<(), Refusal>;

    /// Runs at most `max` steps or rounds.
    fn run(&mut self, max: u64) -> Option<Rest>;

    /// Takes one step, and passes its request to the handler.
    fn turn(&mut self) -> Turn;

    /// Takes an input.
    ///
    /// # Errors
    /// As the machine's `ingress`.
    fn ingress(&mut self, input: Ingress) -> Result<(), Refusal>;

    /// The kernel.
    fn kernel(&self) -> &ProtocolMachineKernel;
}

impl<H: EffectHandler, S: Sink> Machine for ProtocolMachine<H, S> {
    fn open(&mut self, image: &Arc<VerifiedImage>, owner: &str) -> Result<(), Refusal> {
        self.load_choreography(image, owner).map(drop)
    }

    fn run(&mut self, max: u64) -> Option<Rest> {
        ProtocolMachine::run(self, max)
    }

    fn turn(&mut self) -> Turn {
        ProtocolMachine::turn(self)
    }

    fn ingress(&mut self, input: Ingress) -> Result<(), Refusal> {
        ProtocolMachine::ingress(self, input).map(drop)
    }

    fn kernel(&self) -> &ProtocolMachineKernel {
        ProtocolMachine::kernel(self)
    }
}

/// What a program can observe of a run without a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Returned {
    /// What each call returned, in order; `None` if the handler panicked and the call unwound.
    pub calls: Vec<Option<Call>>,
    /// The canonical bytes of the machine at the end.
    pub state: Vec<u8>,
}

/// What one call of the machine returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Opened a session, or took an input.
    Taken(Result<(), Refusal>),
    /// Ran some steps.
    Ran(Option<Rest>),
    /// Took a step.
    Turned(Turn),
}

/// Opens the world's sessions and drives the machine with runs, single turns and inputs; the seed
/// decides which.
///
/// # Panics
/// When the kernel's next deadline is not that of an outstanding effect.
pub fn drive(world: &Case, seed: u64, machine: &mut impl Machine) -> Returned {
    let mut coins = Coins::new(!seed);
    let mut returned = Returned::default();
    let mut call = |machine: &mut _, call: &mut dyn FnMut(&mut _) -> Call| {
        // After a handler's panic the machine must still be consistent; the comparison checks this,
        // too.
        let done = catch_unwind(AssertUnwindSafe(|| call(machine)));
        returned.calls.push(done.ok());
    };
    for action in &world.actions {
        if let Action::Input(Ingress::Open { image, owner }) = action {
            let image = world.images.iter().find(|known| known.digest() == image);
            let image = image.unwrap_or_else(|| panic!("{}: no image to open", world.name));
            call(machine, &mut |machine| {
                Call::Taken(machine.open(image, owner))
            });
        }
    }
    for _ in 0..CALLS_MAX {
        match coins.below(8) {
            0 => call(machine, &mut |machine| Call::Turned(machine.turn())),
            _ => {
                let max = [1, 2, 3, 5, 9, 30][coins.below(6)];
                call(machine, &mut |machine| Call::Ran(machine.run(max)));
            }
        }
        check_next_deadline(machine.kernel());
        for input in inputs(machine.kernel(), &mut coins) {
            call(machine, &mut |machine| {
                Call::Taken(machine.ingress(input.clone()))
            });
            check_next_deadline(machine.kernel());
        }
    }
    returned.state = machine.kernel().state_bytes();
    returned
}

fn check_next_deadline(kernel: &ProtocolMachineKernel) {
    let effects = kernel.sessions().iter().flat_map(|s| s.effects());
    let next = effects.filter_map(|effect| effect.deadline).min();
    assert_eq!(kernel.next_deadline(), next, "the next deadline");
}

/// Some inputs that fit the machine's current state: answers, time, rarely a cancellation.
fn inputs(kernel: &ProtocolMachineKernel, coins: &mut Coins) -> Vec<Ingress> {
    let mut inputs = Vec::new();
    for session in kernel.sessions() {
        let image = kernel.image(session).image();
        for effect in session.effects() {
            if !coins.once_in(2) {
                continue;
            }
            let id = EffectId {
                session: session.id(),
                number: effect.number,
            };
            let result = image.operations[effect.operation.index()].result;
            let outcome = match coins.below(8) {
                0 => Outcome::failure(FailureKind::Unavailable, "not now"),
                1 => Outcome::Success(any_value(coins)),
                _ => Outcome::Success(value_of(result, &image.sorts, coins)),
            };
            let effect = id;
            inputs.push(Ingress::Outcome { effect, outcome });
        }
        if coins.once_in(40) {
            let (session, owner) = (session.id(), Arc::from(session.owner()));
            inputs.push(Ingress::Cancel { session, owner });
        }
    }
    if coins.once_in(3) {
        let ticks = coins.below(13) as u64;
        inputs.push(Ingress::AdvanceClock { ticks });
    }
    inputs
}

/// What an observer of a run was notified of, in order.
#[derive(Debug, Default)]
pub struct Log {
    images: Vec<Arc<VerifiedImage>>,
    entries: Vec<Entry>,
    events: Vec<ObsEvent>,
    requests: Vec<Request>,
}

#[derive(Debug)]
enum Entry {
    Wave { step: u64 },
    Request { step: u64, request: Request },
    Input { step: u64, input: Ingress },
    Rested { step: u64, rest: Rest },
}

impl Sink for Log {
    // One notification after several steps: the machine then takes as many at once as it may.
    fn interest(&self) -> Interest {
        Interest {
            steps: false,
            ..Interest::ALL
        }
    }

    fn observe(&mut self, observation: Observation<'_>) {
        let entry = match observation {
            Observation::Event { stamp, event } => {
                let (stamp, event) = (*stamp, event.clone());
                self.events.push(ObsEvent { stamp, event });
                return;
            }
            Observation::Loaded(image) => {
                if !self.images.iter().any(|i| i.digest() == image.digest()) {
                    self.images.push(Arc::new(image.clone()));
                }
                return;
            }
            Observation::Wave { step, .. } => Entry::Wave { step },
            Observation::Request { step, request } => {
                let request = Request::of(request);
                self.requests.push(request.clone());
                Entry::Request { step, request }
            }
            Observation::Input { step, input } => {
                let input = input.clone();
                Entry::Input { step, input }
            }
            Observation::Rested(kernel, rest) => {
                let (step, rest) = (kernel.step_index(), rest.clone());
                Entry::Rested { step, rest }
            }
            Observation::Refused { .. } | Observation::Stepped(_) => return,
        };
        self.entries.push(entry);
    }
}

/// The first difference between a run and the list of actions that was derived from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{case}`: {what}: expected {expected}, got {got}")]
pub struct Mismatch {
    /// The world's name.
    pub case: String,
    /// The part of the run that differs.
    pub what: &'static str,
    /// The result of the actions, performed one at a time.
    pub expected: String,
    /// The result of the run.
    pub got: String,
}

impl Log {
    /// The requests that the handler received, ordered by session and number.
    pub fn requests(&self) -> Vec<Request> {
        let mut requests = self.requests.clone();
        requests.sort_by_key(|request| request.effect);
        requests
    }

    /// Returns the run as a case, after performing its actions again one at a time. `round` is the
    /// action that corresponds to a wave of the machine, and `end` is the kernel at the end of the
    /// run.
    ///
    /// # Errors
    /// The first event, request, rest or state that differs.
    pub fn case(
        &self,
        name: &str,
        round: &Action,
        end: &ProtocolMachineKernel,
    ) -> Result<Case, Mismatch> {
        let images = self.images.iter().map(|image| image.image().clone());
        let mut again = Again {
            script: Script::new(name, images, end.config().clone()),
            events: Vec::new(),
        };
        for entry in &self.entries {
            match entry {
                Entry::Wave { step } => {
                    again.walk(*step)?;
                    again.act(round);
                }
                Entry::Request { step, request } => {
                    again.walk(*step)?;
                    let kernel = again.script.runner().kernel();
                    let expected = kernel.request(request.effect).map(|r| Request::of(&r));
                    again.compare("a request", &expected, &Some(request.clone()))?;
                }
                Entry::Input { step, input } => {
                    again.walk(*step)?;
                    again.act(&Action::Input(input.clone()));
                }
                Entry::Rested { step, rest } => {
                    again.walk(*step)?;
                    let expected = again.act(&Action::Turn);
                    again.compare("a rest", &expected, &ActionResult::Rested(rest.clone()))?;
                }
            }
        }
        again.walk(end.step_index())?;
        for (expected, got) in again.events.iter().zip(&self.events) {
            again.compare("an event", expected, got)?;
        }
        let (expected, got) = (again.events.len(), self.events.len());
        again.compare("the number of events", &expected, &got)?;
        let state = again.script.runner().kernel().state_bytes();
        again.compare("the final state", &state, &end.state_bytes())?;
        Ok(again.script.case())
    }
}

/// Performs the actions of a run again.
struct Again {
    script: Script,
    events: Vec<ObsEvent>,
}

impl Again {
    fn act(&mut self, action: &Action) -> ActionResult {
        let out = self.script.act(action.clone());
        self.events.extend(out.events);
        out.result
    }

    /// Takes turns until this step index.
    fn walk(&mut self, step: u64) -> Result<(), Mismatch> {
        let now = |again: &Again| again.script.runner().kernel().step_index();
        while now(self) < step {
            let result = self.act(&Action::Turn);
            if let ActionResult::Rested(_) = &result {
                let expected = format!("step {} as the last one", now(self));
                return Err(self.mismatch("a step", expected, format!("step {step}")));
            }
        }
        self.compare("the step index", &now(self), &step)
    }

    fn compare<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &'static str,
        expected: &T,
        got: &T,
    ) -> Result<(), Mismatch> {
        if expected == got {
            Ok(())
        } else {
            Err(self.mismatch(what, format!("{expected:?}"), format!("{got:?}")))
        }
    }

    fn mismatch(&self, what: &'static str, expected: String, got: String) -> Mismatch {
        Mismatch {
            case: self.script.name().to_owned(),
            what,
            expected,
            got,
        }
    }
}
