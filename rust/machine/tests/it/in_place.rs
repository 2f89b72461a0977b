//! What a handler says at once is taken in where it was asked, in the middle of a run of steps. It comes to what the same
//! answers come to as inputs, brought in one by one between two steps.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::common::*;
use antiphon_machine::*;

/// Everything that a sink is told, in order, and how the machine stands after each step.
#[derive(Debug, Default)]
struct Diary {
    lines: Vec<String>,
    /// Whether every step is told of.
    steps: bool,
    /// Whether what is asked and answered is not.
    blind: bool,
}

impl Sink for Diary {
    fn wants_steps(&self) -> bool {
        self.steps
    }

    fn wants_inputs(&self) -> bool {
        !self.blind
    }

    fn event(&mut self, stamp: &Stamp, event: Event) {
        self.lines.push(format!("{stamp:?} {event:?}"));
    }

    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        let args: Vec<_> = request.args().collect();
        let (effect, role) = (request.effect(), request.role());
        let (again, until) = (request.attempt(), request.deadline());
        let line = format!("{step}: {role:?} asks {effect:?} {again} {until:?} {args:?}");
        self.lines.push(line);
    }

    fn ingress(&mut self, step: u64, input: &Ingress) {
        self.lines.push(format!("{step}: {input:?}"));
    }

    fn refused(&mut self, step: u64, refusal: &Refusal) {
        self.lines.push(format!("{step}: {refusal:?}"));
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

/// The machine that a reader of the kernel's documentation would write.
struct ByHand {
    kernel: ProtocolMachineKernel,
    diary: Diary,
}

impl ByHand {
    /// With so many sessions.
    fn new(policy: SchedulingPolicy, diary: Diary, sessions: usize) -> ByHand {
        let kernel = ProtocolMachineKernel::new(config(policy));
        let mut by_hand = ByHand { kernel, diary };
        for image in images().iter().cycle().take(sessions) {
            by_hand.kernel.load(image);
            let open = Ingress::Open {
                image: *image.digest(),
                owner: Arc::from("me"),
            };
            let opened = by_hand.kernel.ingress(open, &mut by_hand.diary);
            opened.expect("room");
        }
        by_hand
    }

    fn run(
        &mut self,
        steps: u64,
        mut host: impl FnMut(&EffectRequest<'_>) -> Option<Reply>,
    ) -> Option<Rest> {
        for _ in 0..steps {
            let step = match self.kernel.step(&mut self.diary) {
                Turn::Rest(rest) => {
                    self.diary.rested(&self.kernel, &rest);
                    return Some(rest);
                }
                Turn::Stepped { step, .. } => step,
            };
            let mut asked = match step {
                Step::Effect(effect) => Some(effect),
                _ => None,
            };
            while let Some(effect) = asked.take() {
                let request = self.kernel.request(effect).expect("outstanding");
                self.diary.request(self.kernel.step_index(), &request);
                // None: the handler panicked, and whoever drove the machine with it.
                let reply = host(&request)?;
                if let Reply::Now(outcome) = reply {
                    let input = Ingress::Outcome { effect, outcome };
                    let taken = self.kernel.ingress(input, &mut self.diary);
                    if let Ok(Taken::Resumed(Resumed::Reissued(next))) = taken {
                        asked = Some(next);
                    }
                }
            }
            self.diary.stepped(&self.kernel);
        }
        None
    }
}

/// Sessions that ask for ever, that talk and come to an end, and that tell each message.
fn images() -> [Arc<VerifiedImage>; 3] {
    [
        asking_for_ever(),
        sample::ping_pong(1),
        sample::told_ping_pong(),
    ]
}

/// Opens so many sessions, as [`ByHand::new`] does.
fn open<H: EffectHandler, S: Sink>(machine: &mut ProtocolMachine<H, S>, sessions: usize) {
    for image in images().iter().cycle().take(sessions) {
        machine.load_choreography(image, "me").expect("room");
    }
}

/// [`moody`], but where a choice is asked, or a unit.
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

/// An input in between: an answer that was put off, or time.
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

/// What comes in between is taken by both, and comes to the same.
fn both_take<H: EffectHandler, S: Sink>(
    machine: &mut ProtocolMachine<H, S>,
    by_hand: &mut ByHand,
    round: u64,
    when: &str,
) {
    if let Some(input) = in_between(&by_hand.kernel, round) {
        let taken = machine.ingress(input.clone());
        let by_hand = by_hand.kernel.ingress(input, &mut by_hand.diary);
        assert_eq!(taken, by_hand, "{when}");
    }
    agree(machine.kernel(), &by_hand.kernel, when);
}

#[test]
fn answers_on_the_spot_are_answers_as_inputs() {
    for policy in SchedulingPolicy::ALL {
        for steps_told in [true, false] {
            let diary = || Diary {
                steps: steps_told,
                ..Diary::default()
            };
            let mut machine = ProtocolMachine::with_sink(config(policy), FromFn(host), diary());
            let mut unwatched = ProtocolMachine::new(config(policy), FromFn(host));
            let mut by_hand = ByHand::new(policy, diary(), 12);
            open(&mut machine, 12);
            open(&mut unwatched, 12);
            let mut seen = String::new();
            for round in 0..400 {
                let when = format!("{policy:?}, {steps_told}, {round}");
                let steps = 1 + round % 41;
                let rest = by_hand.run(steps, |request| Some(host(request)));
                assert_eq!(machine.run(steps), rest, "{when}");
                assert_eq!(unwatched.run(steps), rest, "{when}");
                if let Some(input) = in_between(&by_hand.kernel, round) {
                    let taken = machine.ingress(input.clone());
                    assert_eq!(unwatched.ingress(input.clone()), taken, "{when}");
                    let reissued = by_hand.kernel.ingress(input, &mut by_hand.diary);
                    assert_eq!(reissued, taken, "{when}");
                }
                agree(machine.kernel(), &by_hand.kernel, &when);
                agree(unwatched.kernel(), &by_hand.kernel, &when);
                assert_eq!(machine.sink().lines, by_hand.diary.lines, "{when}");
                machine.sink().lines.clear();
                by_hand.diary.lines.drain(..).for_each(|line| seen += &line);
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
                assert!(seen.contains(what), "{what}");
            }
            let sessions = by_hand.kernel.sessions();
            let ended = sessions.iter().filter(|s| s.phase() != Phase::Active);
            assert!((1..12).contains(&ended.count()), "some end, some do not");
        }
    }
}

/// Whoever catches the panic of his handler has a machine as whole as before: the effect is outstanding, and may be answered.
#[test]
fn a_handler_that_panics_leaves_a_whole_machine() {
    for policy in SchedulingPolicy::ALL {
        let (calls, calls_by_hand) = (Cell::new(0), Cell::new(0));
        let breaks = |calls: &Cell<u64>| {
            calls.set(calls.get() + 1);
            calls.get().is_multiple_of(7)
        };
        let panics = FromFn(|request: &EffectRequest<'_>| match breaks(&calls) {
            true => panic!("no such luck"),
            false => host(request),
        });
        let mut machine = ProtocolMachine::new(config(policy), panics);
        let mut by_hand = ByHand::new(policy, Diary::default(), 9);
        open(&mut machine, 9);
        let mut panicked = 0;
        for round in 0..300 {
            let when = format!("{policy:?}, {round}");
            let ran = catch_unwind(AssertUnwindSafe(|| machine.run(1 + round % 41)));
            panicked += u32::from(ran.is_err());
            by_hand.run(1 + round % 41, |request| {
                (!breaks(&calls_by_hand)).then(|| host(request))
            });
            assert_eq!(calls, calls_by_hand, "{when}");
            agree(machine.kernel(), &by_hand.kernel, &when);
            both_take(&mut machine, &mut by_hand, round, &when);
        }
        assert!(panicked > 20, "{policy:?}, {panicked}");
    }
}

/// Whether it breaks this time: at a request, and then at an answer, where both come in turn.
fn breaks_at(call: u64) -> bool {
    matches!(call % 15, 7 | 0)
}

/// Breaks now and then when it is told of a request or of an answer, while a run goes on.
struct Breaks<'a> {
    calls: &'a Cell<u64>,
    running: &'a Cell<bool>,
}

impl Breaks<'_> {
    fn count(&self) {
        self.calls
            .set(self.calls.get() + u64::from(self.running.get()));
        if self.running.get() && breaks_at(self.calls.get()) {
            panic!("no such luck");
        }
    }
}

impl Sink for Breaks<'_> {
    fn event(&mut self, _: &Stamp, _: Event) {}

    fn request(&mut self, _: u64, _: &EffectRequest<'_>) {
        self.count();
    }

    fn ingress(&mut self, _: u64, _: &Ingress) {
        self.count();
    }
}

/// As it is with a handler: where the panic of a sink that is told of a request or of an answer is caught, the effect is outstanding.
#[test]
fn a_sink_that_panics_at_an_answer_leaves_a_whole_machine() {
    for policy in SchedulingPolicy::ALL {
        let (calls, running) = (Cell::new(0), Cell::new(false));
        let sink = Breaks {
            calls: &calls,
            running: &running,
        };
        let mut machine = ProtocolMachine::with_sink(config(policy), FromFn(host), sink);
        let mut by_hand = ByHand::new(policy, Diary::default(), 9);
        open(&mut machine, 9);
        let calls_by_hand = Cell::new(0u64);
        let breaks = || {
            calls_by_hand.set(calls_by_hand.get() + 1);
            breaks_at(calls_by_hand.get())
        };
        let (mut at_requests, mut at_answers) = (0, 0);
        for round in 0..300 {
            let when = format!("{policy:?}, {round}");
            running.set(true);
            let ran = catch_unwind(AssertUnwindSafe(|| machine.run(1 + round % 41)));
            running.set(false);
            let mut panicked = false;
            by_hand.run(1 + round % 41, |request| {
                if breaks() {
                    at_requests += 1;
                    panicked = true;
                    return None;
                }
                let reply = host(request);
                if matches!(reply, Reply::Now(_)) && breaks() {
                    at_answers += 1;
                    panicked = true;
                    return None;
                }
                Some(reply)
            });
            assert_eq!(ran.is_err(), panicked, "{when}");
            assert_eq!(calls, calls_by_hand, "{when}");
            agree(machine.kernel(), &by_hand.kernel, &when);
            both_take(&mut machine, &mut by_hand, round, &when);
        }
        assert!(
            at_requests > 10 && at_answers > 10,
            "{at_requests}, {at_answers}"
        );
    }
}

/// Several steps at once are told as the last one of them would be.
#[test]
fn several_steps_are_told_as_the_last_of_them() {
    for policy in SchedulingPolicy::ALL {
        let mut at_once = ProtocolMachineKernel::new(config(policy));
        for image in images().iter().cycle().take(4) {
            at_once.load(image);
            let open = Ingress::Open {
                image: *image.digest(),
                owner: Arc::from("me"),
            };
            at_once.ingress(open, &mut NoSink).expect("room");
        }
        let mut one_by_one = at_once.clone();
        for n in 0..300 {
            let (turn, taken) = at_once.steps(1 + n % 7, &mut NoSink);
            let last = (0..taken).map(|_| one_by_one.step(&mut NoSink)).last();
            if let Some(last) = last {
                assert_eq!(turn, last, "{policy:?}, {n}");
            }
            if let Some(asked) = at_once.sessions().iter().find(|s| !s.effects().is_empty()) {
                let (session, number) = (asked.id(), asked.effects()[0].number);
                let effect = EffectId { session, number };
                let request = at_once.request(effect).expect("outstanding");
                let outcome = match request.class() {
                    Class::Decide { labels, .. } => Outcome::chosen(labels[0]),
                    Class::Deliver { .. } => Outcome::done(),
                    _ => Outcome::success(number),
                };
                let input = Ingress::Outcome { effect, outcome };
                let taken = at_once.ingress(input.clone(), &mut NoSink);
                assert_eq!(one_by_one.ingress(input, &mut NoSink), taken);
            }
            agree(&at_once, &one_by_one, &format!("{policy:?}, {n}"));
        }
    }
}

/// That a session has evidence since it was answered on the spot is the kernel's to know.
#[test]
fn evidence_that_was_given_on_the_spot_expires() {
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

/// The steps of a wave are those that it took: whoever takes them one by one comes to the same.
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
        let (mut rooms, mut one_by_one) = (Rooms::default(), kernel.clone());
        for n in 0..40 {
            let quantum = 1 + n % 13;
            let certificate = kernel.plan(3, quantum);
            let steps = kernel.wave(&certificate, &mut rooms, &mut NoSink, |_| {});
            let picks: Vec<Pick> = rooms.steps().collect();
            assert_eq!(steps, Ok(picks.len() as u64), "{policy:?}, {n}");
            let who: Vec<u16> = picks.iter().map(|pick| pick.coroutine.0).collect();
            assert!(
                quantum < 9 || who.contains(&0) && who.contains(&1),
                "{who:?}"
            );
            for pick in picks {
                let turn = one_by_one.step_pick(pick, &mut NoSink);
                assert!(turn.is_some(), "{policy:?}, {n}: {pick:?} is ready");
            }
            agree(&kernel, &one_by_one, &format!("{policy:?}, {n}"));
        }
    }
}

/// A sink that wants no inputs is not told of answers, and hears the same of everything else.
#[test]
fn who_wants_no_inputs_is_told_none() {
    let run = |blind| {
        let diary = Diary {
            blind,
            ..Diary::default()
        };
        let config = config(SchedulingPolicy::Cooperative);
        let mut machine = ProtocolMachine::with_sink(config, FromFn(host), diary);
        for image in images() {
            machine.load_choreography(&image, "me").expect("room");
        }
        machine.run(500);
        machine.into_sink().lines
    };
    let is_answer = |line: &&String| line.contains(": Outcome {");
    let (told, blind) = (run(false), run(true));
    assert!(told.iter().filter(is_answer).count() > 50);
    assert_eq!(blind.iter().filter(is_answer).count(), 0);
    assert!(told.iter().filter(|line| !is_answer(line)).eq(&blind));
}

/// Who takes several turns at once comes back for every request, answered or not.
#[test]
fn turns_come_back_for_every_request() {
    let asked = Cell::new(None);
    let tells = FromFn(|request: &EffectRequest<'_>| {
        asked.set(Some(request.effect()));
        host(request)
    });
    let mut machine = ProtocolMachine::new(config(SchedulingPolicy::Cooperative), tells);
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
        assert_eq!(asked.take(), expected);
        requests += u32::from(expected.is_some());
    }
    assert!(requests > 10, "{requests}");
}
