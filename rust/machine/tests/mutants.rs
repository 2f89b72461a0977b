//! Every mutant of the kernel gives another result than the correct kernel, and than every other
//! mutant, in runs of a few steps.
//!
//! This is a program of its own because it needs the feature `mutants`, which changes the kernel.

mod common;
use common::*;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use antiphon_machine::*;

/// A register that no coroutine here has.
const NONE: u8 = 9;

/// An action on a machine.
enum Do {
    /// At most this number of turns, until no coroutine is ready.
    Turns(u32),
    Choose(u16),
    Open(usize),
    Input(Ingress),
    /// A planned wave of this width and quantum, after a change to its certificate.
    Wave(u32, u32, fn(&mut WaveCertificate)),
}
use Do::{Choose, Input, Open, Turns, Wave};

struct Scenario {
    name: &'static str,
    image: CodeImage,
    config: ProtocolMachineConfig,
    script: Vec<Do>,
}

fn outcome_of(session: u32, number: u64, outcome: Outcome) -> Do {
    let session = SessionId(session);
    let effect = EffectId { session, number };
    Input(Ingress::Outcome { effect, outcome })
}

fn good(number: u64) -> Do {
    outcome_of(0, number, Outcome::success(5u64))
}

fn bad(number: u64, kind: FailureKind) -> Do {
    outcome_of(0, number, Outcome::failure(kind, "no"))
}

fn tick(ticks: u64) -> Do {
    Input(Ingress::AdvanceClock { ticks })
}

fn cancel(owner: &str) -> Do {
    let session = SessionId(0);
    Input(Ingress::Cancel {
        session,
        owner: Arc::from(owner),
    })
}

/// The effect that a turn issued.
fn effect_of(turn: &Turn) -> Option<EffectId> {
    match turn {
        Turn::Stepped {
            step: Step::Effect(effect),
            ..
        } => Some(*effect),
        Turn::Stepped { .. } | Turn::Rest(_) => None,
    }
}

/// A digest of everything that the scenario shows under the policy: results, requests, events and
/// states.
fn run(scenario: &Scenario, policy: SchedulingPolicy) -> [u8; 32] {
    let mut kernel = ProtocolMachineKernel::new(ProtocolMachineConfig {
        policy,
        ..scenario.config.clone()
    });
    let image = Arc::new(VerifiedImage::unchecked(scenario.image.clone()));
    kernel.load(&image);
    let mut log = String::new();
    let mut see = |kernel: &ProtocolMachineKernel, what: String, effect: Option<EffectId>| {
        let request = effect.and_then(|effect| kernel.request(effect));
        let request = request.map(|r| (r.effect(), r.deadline(), r.attempt()));
        let state = kernel.state_bytes();
        writeln!(log, "{what} {request:?} {state:?}").expect("writing to a string cannot fail");
    };
    for action in [Open(5)].iter().chain(&scenario.script) {
        let mut events: Vec<ObsEvent> = Vec::new();
        match action {
            Turns(count) => {
                for _ in 0..*count {
                    let turn = kernel.step(&mut events);
                    see(&kernel, format!("{turn:?}"), effect_of(&turn));
                    if matches!(turn, Turn::Rest(_)) {
                        break;
                    }
                }
            }
            Choose(coroutine) => {
                let pick = Pick {
                    session: SessionId(0),
                    coroutine: CoroutineId(*coroutine),
                };
                let turn = kernel.step_pick(pick, &mut events);
                see(&kernel, format!("{turn:?}"), None);
            }
            Open(len) => {
                let owner = Arc::from("owner".repeat(len.div_ceil(5)).get(..*len).expect("long"));
                let image = *image.digest();
                let taken = kernel.ingress(Ingress::Open { image, owner }, &mut events);
                see(&kernel, format!("{taken:?}"), None);
            }
            Wave(width, quantum, spoil) => {
                let mut wave = kernel.plan(*width, *quantum);
                spoil(&mut wave);
                let mut buffers = WaveBuffers::default();
                let ran = kernel.wave(&wave, &mut buffers, &mut events, |_| {});
                see(
                    &kernel,
                    format!("{ran:?} {:?}", buffers.steps().collect::<Vec<_>>()),
                    None,
                );
            }
            Input(input) => {
                let taken = kernel.ingress(input.clone(), &mut events);
                let effect = match taken {
                    Ok(Taken::Resumed(Resumed::Reissued(effect))) => Some(effect),
                    Ok(_) | Err(_) => None,
                };
                see(&kernel, format!("{taken:?}"), effect);
            }
        }
        see(&kernel, format!("{events:?}"), None);
    }
    *blake3::hash(log.as_bytes()).as_bytes()
}

/// One role, and a program to spawn.
fn parent(code: Vec<Instruction>) -> CodeImage {
    with_child(solo(code), 2, [HALT])
}

/// A sends n messages to B; C and D yield n times.
fn stream(n: u32) -> CodeImage {
    let repeat = |first: Vec<Instruction>, instruction: Instruction| {
        let again = std::iter::repeat_n(instruction, n as usize);
        first
            .into_iter()
            .chain(again)
            .chain([HALT])
            .collect::<Vec<_>>()
    };
    let idler = alone(repeat(vec![], YIELD));
    image(vec![
        (repeat(vec![set(R1, 7u64)], send(X, R1)), times(n, to_b)),
        (repeat(vec![], receive(X, R1)), times(n, from_a)),
        idler.clone(),
        idler,
    ])
}

/// B is blocked on C while A sends.
fn elsewhere() -> CodeImage {
    let sends = |first: Vec<Instruction>| {
        let rest = [set(R1, 7u64), send(X, R1), HALT];
        (
            first.into_iter().chain(rest).collect::<Vec<_>>(),
            vec![to_b([go(X, NAT, 1)]), END],
        )
    };
    let b = (
        vec![receive(X, R1), receive(X, R2), HALT],
        vec![from(C, [go(X, NAT, 1)]), from(A, [go(X, NAT, 2)]), END],
    );
    image(vec![sends(vec![]), b, sends(vec![YIELD, YIELD, YIELD])])
}

/// A chooses and B follows; every label, arm and row occurs twice.
fn twice() -> CodeImage {
    let a = vec![
        set(R2, 7u64),
        set(R1, false),
        branch(R1, &[(0, 4), (0, 3)]),
        YIELD,
        offer(R1, &[(X, R2, 6), (X, R2, 5)]),
        YIELD,
        HALT,
    ];
    let b = vec![choose(R1, &[(X, 2), (X, 1)]), YIELD, HALT];
    pair(NAT, a, b)
}

/// A issues commands and a check; B only yields.
fn asks(budget: Option<u64>, retries: u8) -> CodeImage {
    let a = vec![
        set(R1, 1u64),
        act_or(R1, R1, 2),
        act(R1, R1),
        prove(R1, R1, R2),
        act(R1, R1),
        HALT,
    ];
    let mut image = image(vec![alone(a), alone(vec![YIELD, YIELD, YIELD, HALT])]);
    image.operations[0].budget = budget;
    image.operations[0].retries = retries;
    image
}

/// One role that issues checks for ever.
fn proves() -> CodeImage {
    solo(vec![set(R1, 1u64), prove(R1, R1, R2), jump(1)])
}

/// A role that receives one message.
fn wait(role: RoleId) -> Part {
    (
        vec![receive(X, R1), HALT],
        vec![from(role, [go(X, UNIT, 1)]), END],
    )
}

fn messages(all: &mut Vec<Scenario>) {
    let small = ProtocolMachineConfig {
        buffer_len_max: 2,
        priorities: BTreeMap::from([("D".to_owned(), 9), ("B".to_owned(), 5)]),
        ..Default::default()
    };
    let tight = ProtocolMachineConfig {
        payload_len_max: 1,
        ..Default::default()
    };
    let mut add = |name, image, config: &ProtocolMachineConfig, script| {
        let config = config.clone();
        all.push(Scenario {
            name,
            image,
            config,
            script,
        });
    };
    let plain = &ProtocolMachineConfig::default();
    let end = || vec![Turns(60)];
    add("contention", stream(4), &small, end());
    let one = ProtocolMachineConfig {
        buffer_len_max: 1,
        ..small.clone()
    };
    add("contention for one place", stream(3), &one, end());
    add(
        "the receiver first",
        stream(1),
        plain,
        vec![Choose(1), Choose(1), Choose(0), Turns(60)],
    );
    add(
        "waits elsewhere",
        elsewhere(),
        plain,
        vec![Choose(1), Choose(0), Choose(0), Turns(60)],
    );
    add("labels twice", twice(), plain, end());
    let b = vec![receive(X, R1), HALT];
    let wrong = vec![set(R1, true), send(X, R1), HALT];
    add(
        "a wrong sort is sent",
        pair(NAT, wrong, b.clone()),
        plain,
        end(),
    );
    let mut other = pair(NAT, vec![set(R1, 7u64), send(X, R1), HALT], b.clone());
    other.roles[1].automaton.states[0] = from_a([go(X, BOOL, 1)]);
    add("another sort is expected", other, plain, end());
    for (name, value) in [("a payload of the limit", 23u64), ("a payload over it", 24)] {
        let a = vec![set(R1, value), send(X, R1), HALT];
        add(name, pair(NAT, a, b.clone()), &tight, end());
    }
    add(
        "each waits for the other",
        image(vec![wait(B), wait(A)]),
        plain,
        end(),
    );
    let nowhere = over(R1, send(X, NONE));
    add(
        "two operands of a send",
        pair(NAT, vec![nowhere], b),
        plain,
        end(),
    );
    let late = pair(NAT, vec![YIELD, YIELD, HALT], vec![receive(X, NONE)]);
    add("a destination of a receive", late, plain, end());
}

fn steps(all: &mut Vec<Scenario>) {
    let mut add = |name, image, coroutines_max| {
        let config = ProtocolMachineConfig {
            coroutines_max,
            priorities: BTreeMap::from([("A".to_owned(), 7)]),
            ..Default::default()
        };
        let script = vec![Turns(60)];
        all.push(Scenario {
            name,
            image,
            config,
            script,
        });
    };
    add("two operands of a move", solo(vec![mov(NONE, 8)]), 64);
    let check = invoke(PROVE, &[], NONE, None);
    add("two operands of an effect", solo(vec![check]), 64);
    add("an argument", solo(vec![act(R1, R2), HALT]), 64);
    add(
        "two operands of a spawn",
        parent(vec![spawn(1, &[], NONE)]),
        1,
    );
    add(
        "spawns",
        parent(vec![
            spawn(1, &[], R1),
            spawn(1, &[], R1),
            spawn(1, &[], R1),
            HALT,
        ]),
        3,
    );
    add(
        "spawns after a halt",
        parent(vec![
            spawn(1, &[], R1),
            YIELD,
            YIELD,
            spawn(1, &[], R1),
            HALT,
        ]),
        2,
    );
    endings(all);
}

/// Closing and halting too early, and with messages left.
fn endings(all: &mut Vec<Scenario>) {
    let mut add = |name, image| {
        all.push(Scenario {
            name,
            image,
            config: ProtocolMachineConfig::default(),
            script: vec![Turns(60)],
        });
    };
    let and = |last| vec![set(R1, 7u64), send(X, R1), last];
    add(
        "a close before the end",
        pair(NAT, vec![CLOSE], vec![YIELD, HALT]),
    );
    add(
        "a close before receipt",
        pair(NAT, and(CLOSE), vec![YIELD, YIELD, YIELD]),
    );
    add(
        "a halt before the end",
        pair(NAT, vec![HALT], vec![YIELD, YIELD, HALT]),
    );
    add(
        "a halt after sending",
        pair(
            NAT,
            and(HALT),
            vec![YIELD, YIELD, YIELD, receive(X, R1), HALT],
        ),
    );
    for (name, last) in [
        ("a close with a message left", CLOSE),
        ("a halt with one left", HALT),
    ] {
        let mut deaf = pair(NAT, and(last), vec![HALT]);
        deaf.roles[1].automaton.states = vec![END];
        add(name, deaf);
    }
}

/// A scenario with a default budget, and witnesses that expire soon.
fn with_budget(name: &'static str, image: CodeImage, script: Vec<Do>) -> Scenario {
    let config = ProtocolMachineConfig {
        effect_budget: Some(10),
        witness_ttl: 7,
        witnesses_max: 2,
        ..Default::default()
    };
    Scenario {
        name,
        image,
        config,
        script,
    }
}

/// Enough turns for a session to issue its next effect.
fn go_on() -> Do {
    Turns(8)
}

/// Three effects answered with success.
fn three_successes() -> Vec<Do> {
    let answers = [good(0), good(1), good(2)];
    let answered = answers.into_iter().flat_map(|answer| [answer, go_on()]);
    [go_on()].into_iter().chain(answered).collect()
}

/// The script followed by more actions, and by turns until the machine rests.
fn then(mut script: Vec<Do>, more: Vec<Do>) -> Vec<Do> {
    script.extend(more);
    script.push(Turns(20));
    script
}

fn effects(all: &mut Vec<Scenario>) {
    let mut add = |name, image, script| all.push(with_budget(name, image, script));
    add(
        "every effect succeeds",
        asks(Some(5), 0),
        then(three_successes(), vec![good(3)]),
    );
    add(
        "while others are ready",
        asks(None, 0),
        vec![Turns(2), good(0), Turns(20)],
    );
    add(
        "others in the queue",
        asks(None, 0),
        vec![Choose(0), Choose(0), good(0), Turns(20)],
    );
    let wrong = || outcome_of(0, 0, Outcome::success(true));
    add(
        "a result of a wrong sort",
        asks(None, 0),
        then(vec![go_on()], vec![wrong()]),
    );
    let unlucky = || {
        [
            good(0),
            good(0),
            bad(0, FailureKind::Lost),
            good(1),
            good(2),
        ]
    };
    let late = vec![go_on()].into_iter().chain(unlucky()).collect();
    add("late outcomes", asks(None, 0), then(late, vec![]));
    let never = vec![go_on(), good(1), good(7)];
    add("an outcome of nothing", asks(None, 0), then(never, vec![]));
    let denied = vec![
        go_on(),
        bad(0, FailureKind::Denied),
        go_on(),
        bad(1, FailureKind::Denied),
    ];
    add("denied", asks(None, 2), then(denied, vec![]));
    let mut busy = vec![go_on(), tick(2)];
    for number in 0..4 {
        busy.extend([bad(number, FailureKind::Unavailable), tick(1), go_on()]);
    }
    add("unavailable", asks(Some(50), 2), then(busy, vec![]));
}

fn deadlines(all: &mut Vec<Scenario>) {
    let mut add = |name, image, script| all.push(with_budget(name, image, script));
    add(
        "a timeout on time",
        asks(Some(5), 0),
        then(vec![go_on(), tick(5)], vec![]),
    );
    add(
        "a timeout overdue",
        asks(Some(5), 0),
        then(vec![go_on(), tick(2), tick(9)], vec![]),
    );
    add(
        "the last tick",
        asks(Some(5), 0),
        then(vec![tick(u64::MAX - 3), go_on()], vec![tick(3)]),
    );
    add(
        "past the last tick",
        asks(None, 0),
        then(vec![tick(9), tick(u64::MAX)], vec![]),
    );
    let together = then(three_successes(), vec![tick(9)]);
    add("a timeout and an expiry", asks(Some(5), 0), together);
    add(
        "a session with a witness ends",
        asks(None, 0),
        then(three_successes(), vec![cancel("owner")]),
    );
    let mut many = Vec::new();
    for number in 0..4 {
        many.extend([tick(1), go_on(), good(number)]);
    }
    add(
        "many witnesses",
        proves(),
        then(many, (0..9).map(|_| tick(1)).collect()),
    );

    // There are two sessions, and the first is one effect and one witness ahead.
    let other = |number| outcome_of(1, number, Outcome::success(5u64));
    let ahead = || vec![go_on(), good(0), Open(5), go_on()];
    add(
        "two timeouts at one tick",
        asks(Some(5), 0),
        then(ahead(), vec![tick(5)]),
    );
    let both = vec![tick(1), good(1), other(0), go_on(), tick(6), tick(1)];
    add("two expiries at one tick", proves(), then(ahead(), both));
}

fn inputs(all: &mut Vec<Scenario>) {
    let mut add = |name, sessions_max, script| {
        let config = ProtocolMachineConfig {
            sessions_max,
            ..Default::default()
        };
        let image = asks(None, 0);
        all.push(Scenario {
            name,
            image,
            config,
            script,
        });
    };
    add("sessions", 2, vec![Open(5), Open(5), Turns(4)]);
    add("owners", 9, vec![Open(256), Open(257)]);
    add(
        "cancelled",
        9,
        vec![Turns(8), cancel("owner"), cancel("owner"), good(0)],
    );
    add(
        "by another",
        9,
        vec![cancel("nobody"), cancel("owner"), cancel("nobody")],
    );
    add(
        "who is not ready",
        9,
        vec![Choose(0), Choose(0), Choose(0), Choose(7)],
    );
}

fn waves(all: &mut Vec<Scenario>) {
    let give_way = || {
        let code = vec![YIELD; 3].into_iter().chain([HALT]);
        alone(code.collect())
    };
    let mut add = |name, image: CodeImage, rest: Vec<Do>| {
        let script = [Open(5), Open(5)].into_iter().chain(rest).collect();
        all.push(Scenario {
            name,
            image,
            config: ProtocolMachineConfig::default(),
            script,
        });
    };
    let idle = || image(vec![give_way(), give_way()]);
    let wave = |change| vec![Wave(3, 2, change), Wave(2, 1, |_| {}), Turns(3)];
    add("waves", idle(), wave(|_| {}));
    add(
        "a wave of another step",
        idle(),
        wave(|w| w.step_index += 1),
    );
    add("a wave of another queue", idle(), wave(|w| w.queue.clear()));
    add(
        "a wave that begins elsewhere",
        idle(),
        wave(|w| w.picks.swap(0, 1)),
    );
    let last = |w: &mut WaveCertificate| {
        w.picks[1].pick.coroutine = CoroutineId(1);
        let Key::Coroutine { coroutine, .. } = &mut w.picks[1].footprint[1] else {
            panic!("the second key is the coroutine");
        };
        *coroutine = CoroutineId(1);
    };
    add("a wave out of turn", idle(), wave(last));
    add(
        "a wave that writes nothing",
        idle(),
        wave(|w| w.picks[1].footprint.clear()),
    );
    add("a wave on one lane", idle(), wave(|w| w.picks[1].lane = 0));
    let asking = || alone(vec![set(R1, 5u64), act(R1, R2), HALT]);
    let asking = image(vec![asking(), asking()]);
    add(
        "a wave that asks",
        asking,
        vec![Wave(3, 9, |_| {}), Turns(2)],
    );
}

fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for some in [messages, steps, effects, deadlines, inputs, waves] {
        some(&mut all);
    }
    all
}

/// The digest of every scenario under every policy.
fn all_of(scenarios: &[Scenario]) -> Vec<[u8; 32]> {
    let policies = SchedulingPolicy::ALL;
    let each = |s| policies.iter().map(move |policy| run(s, *policy));
    scenarios.iter().flat_map(each).collect()
}

#[test]
fn every_mutant_is_detected_and_distinguished_from_the_others() {
    let scenarios = scenarios();
    let clean = all_of(&scenarios);
    assert_eq!(
        mutant::with(0, || all_of(&scenarios)),
        clean,
        "no mutant is active"
    );
    let mut known = BTreeMap::from([(clean.clone(), "the correct kernel")]);
    let mut alike = Vec::new();
    let mut useful = vec![false; scenarios.len()];
    for mutant in mutant::ALL {
        let got = mutant::with(mutant.number, || all_of(&scenarios));
        for (n, useful) in useful.iter_mut().enumerate() {
            let of = |all: &[[u8; 32]]| all[n * 4..n * 4 + 4].to_vec();
            *useful |= of(&got) != of(&clean);
        }
        if let Some(other) = known.insert(got, mutant.name) {
            alike.push((mutant.name, other));
        }
    }
    assert!(alike.is_empty(), "{alike:#?}");
    assert_eq!(all_of(&scenarios), clean, "no mutant is left active");
    let idle = scenarios.iter().zip(useful).filter(|(_, useful)| !useful);
    let idle: Vec<_> = idle.map(|(scenario, _)| scenario.name).collect();
    assert!(idle.is_empty(), "scenarios that detect no mutant: {idle:?}");
}
