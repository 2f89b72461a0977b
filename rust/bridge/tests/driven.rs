//! The machines that programs embed, run with handlers that answer in place, fail, panic and answer
//! later: each run amounts to a list of actions, and the model does the same actions.
#![allow(
    clippy::print_stdout,
    reason = "the figures are the point of a run that succeeds"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_bridge::case::{Action, CASE_LIMITS, Case};
use antiphon_bridge::driven::{Log, Machine, ScriptedHandler, drive};
use antiphon_bridge::recording::case_of_recording;
use antiphon_bridge::replays::Replayable;
use antiphon_bridge::{random, run};
use antiphon_codec::{Decoder, Encoder};
use antiphon_machine::threaded::{NativeThreadedDriver, Shared, ThreadedProtocolMachine};
use antiphon_machine::{
    DeterminismMode, EffectRequest, FromFn, Ingress, KernelMachine, NoSink, ProtocolMachine,
    ProtocolMachineConfig, ProtocolMachineKernel, Refusal, Reply, Rest, Round, Sink, Turn,
    VerifiedImage,
};
use antiphon_record::{Entry, Flush, Header, Recorder};

mod common;

use common::{Suite, oracle};

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

/// Recorded worlds of each machine.
const RECORDED: u64 = 40;

/// Recordings of the cooperative and of the threaded machine with scripted handlers.
fn recorded(seed: u64) -> [(String, Vec<u8>); 2] {
    let mut world = random::opened(seed, sessions(seed) + 1);
    if world.config.determinism_mode == DeterminismMode::Replay {
        world.config.determinism_mode = DeterminismMode::Full;
    }
    let config = world.config.clone();
    let header = Header {
        config: config.clone(),
        ..Header::default()
    };
    let recorder = || {
        let recorder = Recorder::create(Vec::new(), &header, Flush::default());
        recorder.expect("memory").checkpoint_every(1 + seed % 7)
    };
    let handler = ScriptedHandler::new(seed);
    let mut machine = ProtocolMachine::with_sink(config.clone(), &handler, recorder());
    drive(&world, seed, &mut machine);
    let (kernel, _, sink) = machine.into_parts();
    let cooperative = sink.finish(&kernel).expect("memory");

    let handler = ScriptedHandler::new(seed);
    let mut machine = Threaded::new(config, &handler, recorder(), wave(seed));
    drive(&world, seed, &mut machine);
    let (kernel, _, sink) = machine.0.into_parts();
    let threaded = sink.finish(&kernel).expect("memory");
    [
        (world.name.clone(), cooperative),
        (format!("{} on threads", world.name), threaded),
    ]
}

/// The recordings of the fixtures, and of machines with scripted handlers.
fn recordings() -> Vec<(String, Vec<u8>)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let mut paths = vec![fixtures.join("recordings/v1/ping-pong.rec")];
    let folder = fs::read_dir(fixtures.join("parity/recordings")).expect("the folder exists");
    paths.extend(folder.map(|entry| entry.expect("the file can be read").path()));
    paths.sort();
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).expect("the file can be read");
        (path.display().to_string(), bytes)
    };
    let kept = paths.iter().map(read);
    kept.chain((0..RECORDED).flat_map(recorded)).collect()
}

/// What the model must write for a recording: the same entries when it records the run again, and
/// the kernel's output of the run.
fn expected_replay(name: &str, recording: &[u8], replayable: &Replayable) -> Vec<u8> {
    let case = case_of_recording(name, recording).expect("the recording is whole");
    let outs = run::run(&case);
    let entries = replayable.without_checkpoints();
    let mut bytes = Vec::new();
    let mut out = Encoder::new(&mut bytes);
    out.array(outs.len() + 1).array(entries.len());
    for entry in &entries {
        out.raw(&entry.to_bytes());
    }
    for shown in &outs {
        shown.encode(&mut Encoder::new(&mut bytes));
    }
    bytes
}

/// The model replays each recording from its entries. Every action shows what it shows on the
/// kernel, and the model records the run as the recorder did.
#[test]
fn the_model_replays_recordings() {
    let recordings = recordings();
    let (mut inputs, mut expected) = (Vec::new(), Vec::new());
    let (mut waves, mut refused, mut answers, mut requests) = (0, 0, 0, 0);
    for (name, recording) in &recordings {
        let replayable = Replayable::read(recording).unwrap_or_else(|e| panic!("{name}: {e}"));
        for entry in &replayable.entries {
            match entry {
                Entry::Wave { picks, .. } => waves += usize::from(picks.len() > 1),
                Entry::Refused(_) => refused += 1,
                Entry::Answer(_) => answers += 1,
                Entry::Request(_) => requests += 1,
                Entry::Header(_)
                | Entry::Image(_)
                | Entry::Input { .. }
                | Entry::Checkpoint(_)
                | Entry::End(_) => {}
            }
        }
        inputs.push(replayable.to_bytes());
        expected.push(expected_replay(name, recording, &replayable));
    }
    println!(
        "{} recordings: {waves} waves of several picks, {requests} requests, {answers} answers, \
         {refused} refusals",
        recordings.len(),
    );
    assert!(waves > 100 && refused > 20 && answers > 100 && requests > answers);
    let got = oracle().replay(&inputs);
    let got = got.unwrap_or_else(|error| panic!("{error}"));
    for (((name, _), expected), got) in recordings.iter().zip(&expected).zip(&got) {
        if expected != got {
            let at = expected.iter().zip(got).position(|(a, b)| a != b);
            let shown = &got[..got.len().min(60)];
            panic!(
                "{name}: {} bytes expected, {} got, first difference at {at:?}, {shown:02x?}",
                expected.len(),
                got.len(),
            );
        }
    }
}

/// Recordings without one of their entries, and one whose last clock is another one. The flag says
/// whether the model must refuse the recording whatever the rest of it is.
fn changed(whole: &Replayable) -> Vec<(bool, Replayable)> {
    let mut all = Vec::new();
    for at in 0..whole.entries.len() {
        let mut changed = whole.clone();
        let must_refuse = match changed.entries.remove(at) {
            // A recording with fewer checkpoints is a recording of the same run.
            Entry::Checkpoint(_) => continue,
            Entry::Request(_) | Entry::Refused(_) => true,
            Entry::Header(_)
            | Entry::Image(_)
            | Entry::Answer(_)
            | Entry::Input { .. }
            | Entry::Wave { .. }
            | Entry::End(_) => false,
        };
        all.push((must_refuse, changed));
    }
    let mut later = whole.clone();
    if let Entry::End(end) = &mut later.end {
        end.last.clock += 1;
    }
    all.push((true, later));
    all
}

/// The model refuses a recording without one of its entries, unless the other entries are the
/// recording of another run.
#[test]
fn the_model_refuses_changed_recordings() {
    let mut inputs = Vec::new();
    for (_, recording) in (3..5).flat_map(recorded) {
        let whole = Replayable::read(&recording).expect("a whole recording");
        inputs.extend(changed(&whole));
    }
    let bytes: Vec<Vec<u8>> = inputs.iter().map(|(_, input)| input.to_bytes()).collect();
    let got = oracle().replay(&bytes);
    let got = got.unwrap_or_else(|error| panic!("{error}"));
    let mut text = Vec::new();
    Encoder::new(&mut text)
        .array(1)
        .text("this recording is refused");
    let mut accepted = 0;
    for (n, ((must_refuse, input), got)) in inputs.iter().zip(&got).enumerate() {
        if *got == text {
            continue;
        }
        assert!(!must_refuse, "changed recording {n} is accepted");
        accepted += 1;
        let mut entries = Vec::new();
        let kept = input.without_checkpoints();
        Encoder::new(&mut entries).array(kept.len());
        entries.extend(kept.iter().flat_map(Entry::to_bytes));
        let mut from = Decoder::new(got, CASE_LIMITS);
        from.array().expect("the output is an array");
        assert!(
            got[from.position()..].starts_with(&entries),
            "changed recording {n} is accepted as another one"
        );
    }
    println!(
        "{accepted} of {} changed recordings are those of a run",
        got.len()
    );
    assert!(accepted * 4 < got.len());
}
