//! An answer that a handler gives in place is applied in the middle of a run of steps. The result
//! must be the same as if the answer had been an input between two steps.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::common::*;
use antiphon_machine::*;

/// A sink that records every notification in order, and the ready queue after each step.
#[derive(Debug, Default)]
struct LogSink {
    lines: Vec<String>,
    /// Whether the sink wants to be notified of every step.
    steps: bool,
    /// Whether the sink does not want inputs.
    skips_inputs: bool,
}

impl Sink for LogSink {
    fn interest(&self) -> Interest {
        Interest {
            events: true,
            steps: self.steps,
            inputs: !self.skips_inputs,
        }
    }

    fn observe(&mut self, observation: Observation<'_>) {
        match observation {
            Observation::Event { stamp, event } => self.event(stamp, event),
            Observation::Request { step, request } => self.request(step, request),
            Observation::Input { step, input } => self.lines.push(format!("{step}: {input:?}")),
            Observation::Refused { step, refusal } => {
                self.lines.push(format!("{step}: {refusal:?}"));
            }
            Observation::Stepped(kernel) => self.stepped(kernel),
            Observation::Rested(kernel, rest) => self.rested(kernel, rest),
            Observation::Loaded(_) | Observation::Wave { .. } => {}
        }
    }
}

impl LogSink {
    fn event(&mut self, stamp: &Stamp, event: &Event) {
        self.lines.push(format!("{stamp:?} {event:?}"));
    }

    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        let args: Vec<_> = request.args().collect();
        let (effect, role) = (request.effect(), request.role());
        let (again, until) = (request.attempt(), request.deadline());
        let line = format!("{step}: {role:?} requests {effect:?} {again} {until:?} {args:?}");
        self.lines.push(line);
    }

    fn stepped(&mut self, kernel: &ProtocolMachineKernel) {
        if self.steps {
            let (step, ready) = (kernel.step_index(), kernel.ready());
            self.lines.push(format!("{step}: stepped, {ready:?}"));
        }
    }

    fn rested(&mut self, kernel: &ProtocolMachineKernel, rest: &Rest) {
        self.lines
            .push(format!("{}: {rest:?}", kernel.step_index()));
    }
}

/// A driver that calls the kernel step by step, as its documentation says, and answers with inputs.
struct StepDriver {
    kernel: ProtocolMachineKernel,
    sink: LogSink,
}

impl StepDriver {
    /// A driver with this number of sessions.
    fn new(policy: SchedulingPolicy, sink: LogSink, sessions: usize) -> StepDriver {
        let kernel = ProtocolMachineKernel::new(config(policy));
        let mut driver = StepDriver { kernel, sink };
        for image in images().iter().cycle().take(sessions) {
            driver.kernel.load(image);
            let open = Ingress::Open {
                image: *image.digest(),
                owner: Arc::from("me"),
            };
            let opened = driver.kernel.ingress(open, &mut driver.sink);
            opened.expect("room");
        }
        driver
    }

    fn run(
        &mut self,
        steps: u64,
        mut host: impl FnMut(&EffectRequest<'_>) -> Option<Reply>,
    ) -> Option<Rest> {
        for _ in 0..steps {
            let step = match self.kernel.step(&mut self.sink) {
                Turn::Rest(rest) => {
                    self.sink.rested(&self.kernel, &rest);
                    return Some(rest);
                }
                Turn::Stepped { step, .. } => step,
            };
            let mut issued = match step {
                Step::Effect(effect) => Some(effect),
                _ => None,
            };
            while let Some(effect) = issued.take() {
                let request = self.kernel.request(effect).expect("outstanding");
                self.sink.request(self.kernel.step_index(), &request);
                // `None` means that the handler panicked, which also ends the run.
                let reply = host(&request)?;
                if let Reply::Now(outcome) = reply {
                    let input = Ingress::Outcome { effect, outcome };
                    let taken = self.kernel.ingress(input, &mut self.sink);
                    if let Ok(Taken::Resumed(Resumed::Reissued(next))) = taken {
                        issued = Some(next);
                    }
                }
            }
            self.sink.stepped(&self.kernel);
        }
        None
    }
}

/// An image that issues effects for ever, one that ends, and one that delivers every message to its
/// host.
fn images() -> [Arc<VerifiedImage>; 3] {
    [
        asking_for_ever(),
        sample::ping_pong(1),
        sample::told_ping_pong(),
    ]
}

/// Opens this number of sessions, as [`StepDriver::new`] does.
fn open<H: EffectHandler, S: Sink>(machine: &mut ProtocolMachine<H, S>, sessions: usize) {
    for image in images().iter().cycle().take(sessions) {
        machine.load_choreography(image, "me").expect("room");
    }
}

/// [`moody`], with valid answers to decisions, productions and deliveries.
fn host(request: &EffectRequest<'_>) -> Reply {
    let number = request.effect().number;
    match request.class() {
        Class::Decide { labels, .. } => {
            Reply::Now(Outcome::chosen(labels[usize::from(number > 60)]))
        }
        Class::Produce { .. } => Reply::Now(Outcome::success(number)),
        Class::Deliver { .. } if number % 17 == 16 => Reply::Later,
        Class::Deliver { .. } => Reply::Now(Outcome::done()),
        _ => moody(request),
    }
}

fn config(policy: SchedulingPolicy) -> ProtocolMachineConfig {
    ProtocolMachineConfig {
        policy,
        witness_ttl: 20,
        ..Default::default()
    }
}

/// An input between two runs: the answer to a postponed effect, or a clock tick.
fn in_between(kernel: &ProtocolMachineKernel, round: u64) -> Option<Ingress> {
    let outstanding = kernel.sessions().iter().find_map(|session| {
        let number = session.effects().first()?.number;
        let session = session.id();
        Some(EffectId { session, number })
    });
    match (round % 9, outstanding) {
        (1, Some(effect)) => Some(Ingress::Outcome {
            effect,
            outcome: match effect.session.0 % 3 {
                0 => Outcome::success(7u64),
                _ => Outcome::done(),
            },
        }),
        (2 | 5 | 8, _) => Some(Ingress::AdvanceClock { ticks: 1 }),
        _ => None,
    }
}

/// Gives both machines the input between two runs, and asserts that they agree.
fn both_take<H: EffectHandler, S: Sink>(
    machine: &mut ProtocolMachine<H, S>,
    driver: &mut StepDriver,
    round: u64,
    when: &str,
) {
    if let Some(input) = in_between(&driver.kernel, round) {
        let taken = machine.ingress(input.clone());
        let expected = driver.kernel.ingress(input, &mut driver.sink);
        assert_eq!(taken, expected, "{when}");
    }
    agree(machine.kernel(), &driver.kernel, when);
}

#[test]
fn answers_in_place_equal_answers_as_inputs() {
    for policy in SchedulingPolicy::ALL {
        for with_steps in [true, false] {
            let sink = || LogSink {
                steps: with_steps,
                ..LogSink::default()
            };
            let mut machine = ProtocolMachine::with_sink(config(policy), FromFn(host), sink());
            let mut unwatched = ProtocolMachine::new(config(policy), FromFn(host));
            let mut driver = StepDriver::new(policy, sink(), 12);
            open(&mut machine, 12);
            open(&mut unwatched, 12);
            let mut log = String::new();
            for round in 0..400 {
                let when = format!("{policy:?}, {with_steps}, {round}");
                let steps = 1 + round % 41;
                let rest = driver.run(steps, |request| Some(host(request)));
                assert_eq!(machine.run(steps), rest, "{when}");
                assert_eq!(unwatched.run(steps), rest, "{when}");
                if let Some(input) = in_between(&driver.kernel, round) {
                    let taken = machine.ingress(input.clone());
                    assert_eq!(unwatched.ingress(input.clone()), taken, "{when}");
                    let reissued = driver.kernel.ingress(input, &mut driver.sink);
                    assert_eq!(reissued, taken, "{when}");
                }
                agree(machine.kernel(), &driver.kernel, &when);
                agree(unwatched.kernel(), &driver.kernel, &when);
                assert_eq!(machine.sink().lines, driver.sink.lines, "{when}");
                machine.sink().lines.clear();
                driver.sink.lines.drain(..).for_each(|line| log += &line);
            }
            for what in [
                "attempt: 2",
                "TimeoutIssued",
                "WitnessIssued",
                "WitnessExpired",
                "FailureBranchEntered",
                "Faulted",
                "ContractViolation",
                "Offered",
            ] {
                assert!(log.contains(what), "{what}");
            }
            let sessions = driver.kernel.sessions();
            let ended = sessions.iter().filter(|s| s.phase() != Phase::Active);
            assert!((1..12).contains(&ended.count()), "some end, some do not");
        }
    }
}

/// After a caught panic of the handler, the effect is outstanding and can be answered.
#[test]
fn a_panicking_handler_leaves_the_machine_consistent() {
    for policy in SchedulingPolicy::ALL {
        let (calls, driver_calls) = (Cell::new(0), Cell::new(0));
        let panics_now = |calls: &Cell<u64>| {
            calls.set(calls.get() + 1);
            calls.get().is_multiple_of(7)
        };
        let panics = FromFn(|request: &EffectRequest<'_>| {
            if panics_now(&calls) {
                panic!("on purpose")
            } else {
                host(request)
            }
        });
        let mut machine = ProtocolMachine::new(config(policy), panics);
        let mut driver = StepDriver::new(policy, LogSink::default(), 9);
        open(&mut machine, 9);
        let mut panicked = 0;
        for round in 0..300 {
            let when = format!("{policy:?}, {round}");
            let ran = catch_unwind(AssertUnwindSafe(|| machine.run(1 + round % 41)));
            panicked += u32::from(ran.is_err());
            driver.run(1 + round % 41, |request| {
                (!panics_now(&driver_calls)).then(|| host(request))
            });
            assert_eq!(calls, driver_calls, "{when}");
            agree(machine.kernel(), &driver.kernel, &when);
            both_take(&mut machine, &mut driver, round, &when);
        }
        assert!(panicked > 20, "{policy:?}, {panicked}");
    }
}

/// Whether the sink panics at this call. Requests and answers alternate, so it panics at both.
fn panics_at(call: u64) -> bool {
    matches!(call % 15, 7 | 0)
}

/// A sink that sometimes panics at a request or an answer, but only during a run.
struct PanickingSink<'a> {
    calls: &'a Cell<u64>,
    running: &'a Cell<bool>,
}

impl PanickingSink<'_> {
    fn count(&self) {
        self.calls
            .set(self.calls.get() + u64::from(self.running.get()));
        if self.running.get() && panics_at(self.calls.get()) {
            panic!("on purpose");
        }
    }
}

impl Sink for PanickingSink<'_> {
    fn observe(&mut self, observation: Observation<'_>) {
        if let Observation::Request { .. } | Observation::Input { .. } = observation {
            self.count();
        }
    }
}

/// After a caught panic of the sink at a request or an answer, the effect is outstanding, as after
/// a panic of the handler.
#[test]
fn a_panicking_sink_leaves_the_machine_consistent() {
    for policy in SchedulingPolicy::ALL {
        let (calls, running) = (Cell::new(0), Cell::new(false));
        let sink = PanickingSink {
            calls: &calls,
            running: &running,
        };
        let mut machine = ProtocolMachine::with_sink(config(policy), FromFn(host), sink);
        let mut driver = StepDriver::new(policy, LogSink::default(), 9);
        open(&mut machine, 9);
        let driver_calls = Cell::new(0u64);
        let panics_now = || {
            driver_calls.set(driver_calls.get() + 1);
            panics_at(driver_calls.get())
        };
        let (mut at_requests, mut at_answers) = (0, 0);
        for round in 0..300 {
            let when = format!("{policy:?}, {round}");
            running.set(true);
            let ran = catch_unwind(AssertUnwindSafe(|| machine.run(1 + round % 41)));
            running.set(false);
            let mut panicked = false;
            driver.run(1 + round % 41, |request| {
                if panics_now() {
                    at_requests += 1;
                    panicked = true;
                    return None;
                }
                let reply = host(request);
                if matches!(reply, Reply::Now(_)) && panics_now() {
                    at_answers += 1;
                    panicked = true;
                    return None;
                }
                Some(reply)
            });
            assert_eq!(ran.is_err(), panicked, "{when}");
            assert_eq!(calls, driver_calls, "{when}");
            agree(machine.kernel(), &driver.kernel, &when);
            both_take(&mut machine, &mut driver, round, &when);
        }
        assert!(
            at_requests > 10 && at_answers > 10,
            "{at_requests}, {at_answers}"
        );
    }
}

/// A batch of steps returns the turn of its last step.
#[test]
fn a_batch_of_steps_returns_its_last_turn() {
    for policy in SchedulingPolicy::ALL {
        let mut batched = ProtocolMachineKernel::new(config(policy));
        for image in images().iter().cycle().take(4) {
            batched.load(image);
            let open = Ingress::Open {
                image: *image.digest(),
                owner: Arc::from("me"),
            };
            batched.ingress(open, &mut NoSink).expect("room");
        }
        let mut one_by_one = batched.clone();
        for n in 0..300 {
            let (turn, taken) = batched.steps(1 + n % 7, &mut NoSink);
            let last = (0..taken).map(|_| one_by_one.step(&mut NoSink)).last();
            if let Some(last) = last {
                assert_eq!(turn, last, "{policy:?}, {n}");
            }
            if let Some(waiting) = batched.sessions().iter().find(|s| !s.effects().is_empty()) {
                let (session, number) = (waiting.id(), waiting.effects()[0].number);
                let effect = EffectId { session, number };
                let request = batched.request(effect).expect("outstanding");
                let outcome = match request.class() {
                    Class::Decide { labels, .. } => Outcome::chosen(labels[0]),
                    Class::Deliver { .. } => Outcome::done(),
                    _ => Outcome::success(number),
                };
                let input = Ingress::Outcome { effect, outcome };
                let taken = batched.ingress(input.clone(), &mut NoSink);
                assert_eq!(one_by_one.ingress(input, &mut NoSink), taken);
            }
            agree(&batched, &one_by_one, &format!("{policy:?}, {n}"));
        }
    }
}

/// The kernel expires a witness that was issued by an answer in place.
#[test]
fn a_witness_issued_in_place_expires() {
    let image = proving();
    let config = ProtocolMachineConfig {
        witness_ttl: 5,
        ..Default::default()
    };
    let proves = FromFn(proves);
    let mut machine = ProtocolMachine::new(config, proves);
    machine.load_choreography(&image, "me").expect("room");
    assert_eq!(machine.run(u64::MAX), Some(Rest::Idle));
    for (ticks, left) in [(4, 1), (1, 0)] {
        let advanced = machine.ingress(Ingress::AdvanceClock { ticks });
        assert_eq!(advanced, Ok(Taken::Advanced { expired: 0 }));
        assert_eq!(machine.kernel().sessions()[0].witnesses().count(), left);
    }
}

/// Taking the steps that a wave reports one by one leads to the same state.
#[test]
fn the_steps_of_a_wave_can_be_taken_one_by_one() {
    for policy in SchedulingPolicy::ALL {
        let mut kernel = ProtocolMachineKernel::new(config(policy));
        let image = sample::bare_ping_pong();
        kernel.load(&image);
        for _ in 0..3 {
            let open = Ingress::Open {
                image: *image.digest(),
                owner: Arc::from("me"),
            };
            kernel.ingress(open, &mut NoSink).expect("room");
        }
        let (mut buffers, mut one_by_one) = (WaveBuffers::default(), kernel.clone());
        for n in 0..40 {
            let quantum = 1 + n % 13;
            let certificate = kernel.plan(3, quantum);
            let steps = kernel.wave(&certificate, &mut buffers, &mut NoSink, |_| {});
            let picks: Vec<Pick> = buffers.steps().collect();
            assert_eq!(steps, Ok(picks.len() as u64), "{policy:?}, {n}");
            let stepped: Vec<u16> = picks.iter().map(|pick| pick.coroutine.0).collect();
            assert!(
                quantum < 9 || stepped.contains(&0) && stepped.contains(&1),
                "{stepped:?}"
            );
            for pick in picks {
                let turn = one_by_one.step_pick(pick, &mut NoSink);
                assert!(turn.is_some(), "{policy:?}, {n}: {pick:?} is ready");
            }
            agree(&kernel, &one_by_one, &format!("{policy:?}, {n}"));
        }
    }
}

/// A sink that wants no inputs is not notified of answers, but of everything else.
#[test]
fn a_sink_that_wants_no_inputs_gets_no_answers() {
    let run = |skips_inputs| {
        let sink = LogSink {
            skips_inputs,
            ..LogSink::default()
        };
        let config = config(SchedulingPolicy::Cooperative);
        let mut machine = ProtocolMachine::with_sink(config, FromFn(host), sink);
        for image in images() {
            machine.load_choreography(&image, "me").expect("room");
        }
        machine.run(500);
        machine.into_sink().lines
    };
    let is_answer = |line: &&String| line.contains(": Outcome {");
    let (all, without) = (run(false), run(true));
    assert!(all.iter().filter(is_answer).count() > 50);
    assert_eq!(without.iter().filter(is_answer).count(), 0);
    assert!(all.iter().filter(|line| !is_answer(line)).eq(&without));
}

/// A batch of turns returns at every request, answered or not.
#[test]
fn a_batch_of_turns_returns_at_every_request() {
    let requested = Cell::new(None);
    let handler = FromFn(|request: &EffectRequest<'_>| {
        requested.set(Some(request.effect()));
        host(request)
    });
    let mut machine = ProtocolMachine::new(config(SchedulingPolicy::Cooperative), handler);
    machine
        .load_choreography(&sample::told_ping_pong(), "me")
        .expect("room");
    let mut requests = 0;
    for _ in 0..200 {
        let (Turn::Stepped { step, .. }, _) = machine.turns(100) else {
            break;
        };
        let expected = match step {
            Step::Effect(effect) => Some(effect),
            _ => None,
        };
        assert_eq!(requested.take(), expected);
        requests += u32::from(expected.is_some());
    }
    assert!(requests > 10, "{requests}");
}
