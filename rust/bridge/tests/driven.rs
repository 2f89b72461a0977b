//! The machines that programs embed, run with handlers that answer in place, fail, panic and answer
//! later: each run amounts to a list of actions, and the model does the same actions.
#![allow(
    clippy::print_stdout,
    reason = "the figures are the point of a run that succeeds"
)]

use std::sync::Arc;

use antiphon_bridge::case::{Action, Case};
use antiphon_bridge::driven::{Log, Machine, ScriptedHandler, drive};
use antiphon_bridge::random;
use antiphon_machine::threaded::{NativeThreadedDriver, Shared, ThreadedProtocolMachine};
use antiphon_machine::{
    EffectRequest, FromFn, Ingress, KernelMachine, NoSink, ProtocolMachine, ProtocolMachineConfig,
    ProtocolMachineKernel, Refusal, Reply, Rest, Round, Sink, Turn, VerifiedImage,
};

mod common;

use common::Suite;

/// Worlds for the cooperative machine, and for the threaded one.
const COOPERATIVE: u64 = 800;
const THREADED: u64 = 300;

/// Sessions of a world.
fn sessions(seed: u64) -> usize {
    1 + (seed % 5) as usize
}

/// Width and quantum of a threaded world's waves.
fn wave(seed: u64) -> (u32, u32) {
    let width = [2, 3, 8][(seed % 3) as usize];
    (width, [1, 2, 7][(seed / 3 % 3) as usize])
}

/// The threaded machine with a scripted handler.
struct Threaded<'h, S>(ThreadedProtocolMachine<Shared<ByRef<'h>>, S>);

/// The scripted handler as a closure: many threads may call it.
type ByRef<'h> = FromFn<Box<dyn Fn(&EffectRequest<'_>) -> Reply + Send + Sync + 'h>>;

impl<'h, S: Sink> Threaded<'h, S> {
    fn new(
        config: ProtocolMachineConfig,
        handler: &'h ScriptedHandler,
        sink: S,
        (width, quantum): (u32, u32),
    ) -> Threaded<'h, S> {
        let driver = NativeThreadedDriver::try_with_workers(2).expect("threads");
        let call = move |request: &EffectRequest<'_>| handler.reply(request);
        let handlers = Shared(FromFn(Box::new(call) as Box<_>));
        let machine = ThreadedProtocolMachine::with_driver(config, handlers, sink, driver);
        Threaded(machine.with_wave(width, quantum))
    }
}

impl<S: Sink> Machine for Threaded<'_, S> {
    fn open(&mut self, image: &Arc<VerifiedImage>, owner: &str) -> Result<(), Refusal> {
        self.0.load_choreography(image, owner).map(drop)
    }

    fn run(&mut self, max: u64) -> Option<Rest> {
        self.0.run(max)
    }

    fn turn(&mut self) -> Turn {
        match self.0.kernel_step_round(1).expect("one at a time") {
            Round::Turn(turn) => turn,
            Round::Wave { .. } => panic!("a round of one session is a turn"),
        }
    }

    fn ingress(&mut self, input: Ingress) -> Result<(), Refusal> {
        self.0.ingress(input).map(drop)
    }

    fn kernel(&self) -> &ProtocolMachineKernel {
        self.0.kernel()
    }
}

/// The case that a run of the cooperative machine amounts to. The same run without a sink returns
/// the same, asks the same and ends in the same state.
fn cooperative(seed: u64) -> Case {
    let world = random::opened(seed, sessions(seed));
    let (handler, config) = (ScriptedHandler::new(seed), world.config.clone());
    let mut machine = ProtocolMachine::with_sink(config.clone(), &handler, Log::default());
    let returned = drive(&world, seed, &mut machine);
    let (kernel, _, log) = machine.into_parts();
    let case = log.case(&world.name, &Action::Turn, &kernel);
    assert_eq!(handler.requests(), log.requests(), "{}", world.name);

    let unobserved = ScriptedHandler::new(seed);
    let mut machine = ProtocolMachine::with_sink(config, &unobserved, NoSink);
    let again = drive(&world, seed, &mut machine);
    assert_eq!(again, returned, "{} without a sink", world.name);
    assert_eq!(unobserved.requests(), log.requests(), "{}", world.name);
    case.unwrap_or_else(|mismatch| panic!("{mismatch}"))
}

/// The same for the threaded machine.
fn threaded(seed: u64) -> Case {
    let world = random::opened(seed, sessions(seed) + 1);
    let (handler, config) = (ScriptedHandler::new(seed), world.config.clone());
    let (width, quantum) = wave(seed);
    let mut machine = Threaded::new(config.clone(), &handler, Log::default(), (width, quantum));
    let returned = drive(&world, seed, &mut machine);
    let (kernel, _, log) = machine.0.into_parts();
    let name = format!("{} on threads", world.name);
    let case = log.case(&name, &Action::Round { width, quantum }, &kernel);
    assert_eq!(handler.requests(), log.requests(), "{name}");

    let unobserved = ScriptedHandler::new(seed);
    let mut machine = Threaded::new(config, &unobserved, NoSink, (width, quantum));
    let again = drive(&world, seed, &mut machine);
    assert_eq!(again, returned, "{name} without a sink");
    assert_eq!(unobserved.requests(), log.requests(), "{name}");
    case.unwrap_or_else(|mismatch| panic!("{mismatch}"))
}

#[test]
fn a_run_is_the_actions_that_it_amounts_to() {
    let mut suite = Suite::default();
    let cases: Vec<Case> = (0..COOPERATIVE).map(cooperative).collect();
    suite.part("driven by the cooperative machine", cases);
    let cases: Vec<Case> = (0..THREADED).map(threaded).collect();
    suite.part("driven by the threaded machine", cases);
    suite.run(|_, _, _| {});
    suite.finish();
}

/// The worlds reach what they are for: requests answered in place and later, failures asked again,
/// panics that come through, waves, faults and every way to end.
#[test]
fn the_worlds_reach_every_way_to_answer() {
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for seed in 0..COOPERATIVE {
        let world = random::opened(seed, sessions(seed));
        let handler = ScriptedHandler::new(seed);
        let config = world.config.clone();
        let mut machine = ProtocolMachine::with_sink(config, &handler, Log::default());
        let returned = drive(&world, seed, &mut machine);
        let panicked = returned.calls.iter().filter(|call| call.is_none()).count();
        *seen.entry("a panic comes through").or_default() += panicked;
        for request in handler.requests() {
            let again = if request.attempt > 0 {
                "asked again"
            } else {
                "asked"
            };
            *seen.entry(again).or_default() += 1;
        }
        for session in machine.kernel().sessions() {
            let phase = match session.phase() {
                antiphon_machine::Phase::Active => "active",
                antiphon_machine::Phase::Terminal(end) => end.name(),
            };
            *seen.entry(phase).or_default() += 1;
        }
    }
    println!("{seen:?}");
    for (what, least) in [
        ("a panic comes through", 300),
        ("asked", 2_000),
        ("asked again", 100),
        ("active", 100),
        ("closed", 50),
        ("cancelled", 50),
        ("faulted", 200),
    ] {
        let count = seen.get(what).copied().unwrap_or_default();
        assert!(count >= least, "{what}: {count} times");
    }
}
