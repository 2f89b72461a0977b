//! The image builder, with the tables of the test images, and scripted handlers.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::sync::Arc;

pub use antiphon_machine::build::*;
use antiphon_machine::invariants::Watch;
use antiphon_machine::*;

pub const R0: u8 = 0;
pub const R1: u8 = 1;
pub const R2: u8 = 2;

pub const UNIT: SortId = SortId(0);
pub const NAT: SortId = SortId(1);
pub const BOOL: SortId = SortId(2);
pub const TEXT: SortId = SortId(3);
pub const BYTES: SortId = SortId(4);
pub const NATS: SortId = SortId(5);
pub const X: LabelId = LabelId(0);
pub const Y: LabelId = LabelId(1);

/// The command `do`.
pub const DO: u16 = 0;
/// The check `prove`.
pub const PROVE: u16 = 1;

/// An image of roles A, B, …, each with four registers. It has labels x and y, the sorts above and
/// one that is x or y, and the operations above, from nat to nat.
pub fn image(parts: Vec<Part>) -> CodeImage {
    CodeImage {
        labels: names(["x", "y"]),
        sorts: vec![
            Sort::Unit,
            Sort::Nat,
            Sort::Bool,
            Sort::Text,
            Sort::Bytes,
            Sort::List(NAT),
            Sort::Arm(vec![X, Y]),
        ],
        interfaces: vec![interface("world")],
        operations: vec![
            operation("do", Class::Command, &[NAT], NAT),
            operation("prove", Class::Check, &[NAT], NAT),
        ],
        ..build::image("test", lettered(4, parts))
    }
}

/// An image of one role, which sends and receives nothing.
pub fn solo(code: Vec<Instruction>) -> CodeImage {
    image(vec![alone(code)])
}

/// An image in which A's automaton sends one x of this sort to B.
pub fn pair(sort: SortId, a: Vec<Instruction>, b: Vec<Instruction>) -> CodeImage {
    image(vec![
        (a, vec![to_b([go(X, sort, 1)]), END]),
        (b, vec![from_a([go(X, sort, 1)]), END]),
    ])
}

pub fn to_b(branches: impl IntoIterator<Item = Transition>) -> State {
    to(B, branches)
}

pub fn from_a(branches: impl IntoIterator<Item = Transition>) -> State {
    from(A, branches)
}

/// The states for `count` messages x with a nat, then the end.
pub fn times(count: u32, state: impl Fn(Vec<Transition>) -> State) -> Vec<State> {
    repeated(count, X, NAT, state)
}

/// `do(arg) -> dst`.
pub fn act(arg: u8, dst: u8) -> Instruction {
    invoke(DO, &[arg], dst, None)
}

/// `do(arg) -> dst`, with a failure branch.
pub fn act_or(arg: u8, dst: u8, target: u32) -> Instruction {
    invoke(DO, &[arg], dst, Some(target))
}

/// `prove(arg) -> dst`, with its evidence in `witness`.
pub fn prove(arg: u8, dst: u8, witness: u8) -> Instruction {
    check(PROVE, &[arg], dst, witness, None)
}

pub fn later(_: &EffectRequest<'_>) -> Reply {
    Reply::Later
}

pub type Host = fn(&EffectRequest<'_>) -> Reply;
pub type Machine = ProtocolMachine<FromFn<Host>, (Vec<ObsEvent>, Watch)>;

/// A machine with one session of the image. Its handler answers later, and its sink records events
/// and checks the invariants.
pub fn opened(image: CodeImage, config: ProtocolMachineConfig) -> Machine {
    let host: Host = later;
    let sink = (Vec::new(), Watch::default());
    let mut machine = ProtocolMachine::with_sink(config, FromFn(host), sink);
    let image = Arc::new(VerifiedImage::unchecked(image));
    machine
        .load_choreography(&image, "owner")
        .expect("a first session has room");
    machine
}

/// Runs until the machine rests, and asserts that every invariant held.
pub fn rest(machine: &mut Machine) -> Rest {
    let rest = machine.run(10_000).expect("a test comes to rest");
    sound(machine);
    rest
}

pub fn sound(machine: &mut Machine) {
    if let Some(broken) = machine.sink().1.verdict() {
        panic!("{broken}");
    }
    machine.kernel().check().expect("every invariant holds");
}

/// Takes the events since the last call, without their stamps.
pub fn events(machine: &mut Machine) -> Vec<Event> {
    std::mem::take(&mut machine.sink().0)
        .into_iter()
        .map(|e| e.event)
        .collect()
}

pub fn session(machine: &Machine) -> &Session {
    machine
        .kernel()
        .session(SessionId(0))
        .expect("the session was opened")
}

pub fn effect(number: u64) -> EffectId {
    EffectId {
        session: SessionId(0),
        number,
    }
}

pub fn answer(machine: &mut Machine, number: u64, outcome: Outcome) -> Result<Taken, Refusal> {
    let before = machine.kernel().state_bytes();
    let taken = machine.ingress(Ingress::Outcome {
        effect: effect(number),
        outcome,
    });
    unchanged_if_refused(machine, &before, taken.is_err());
    taken
}

pub fn ingress(machine: &mut Machine, input: Ingress) -> Result<Taken, Refusal> {
    let before = machine.kernel().state_bytes();
    let taken = machine.ingress(input);
    unchanged_if_refused(machine, &before, taken.is_err());
    taken
}

fn unchanged_if_refused(machine: &mut Machine, before: &[u8], refused: bool) {
    if refused {
        let after = machine.kernel().state_bytes();
        machine.sink().1.unchanged(before, &after);
    }
    sound(machine);
}

/// The fault that ends a session of this image.
pub fn fault_of(image: CodeImage) -> Fault {
    fault_with(image, ProtocolMachineConfig::default())
}

pub fn fault_with(image: CodeImage, config: ProtocolMachineConfig) -> Fault {
    let mut machine = opened(image, config);
    rest(&mut machine);
    let events = events(&mut machine);
    let faults: Vec<_> = events
        .iter()
        .filter_map(|e| {
            if let Event::Faulted { fault, .. } = e {
                Some(*fault)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(faults.len(), 1, "one fault ends a session: {events:?}");
    assert_eq!(session(&machine).phase(), Phase::Terminal(End::Faulted));
    faults[0]
}

/// Two roles that issue effects for ever: a command with a failure branch, then a check without
/// one, which issues a witness.
pub fn asking_for_ever() -> Arc<VerifiedImage> {
    let asking = alone(vec![
        set(R1, 5u64),
        act_or(R1, R2, 3),
        prove(R1, R2, 3),
        jump(1),
    ]);
    let mut image = image(vec![asking.clone(), asking]);
    image.operations[0].retries = 2;
    image.operations[0].budget = Some(3);
    Arc::new(VerifiedImage::unchecked(image))
}

/// A handler with many kinds of replies; the reply depends on the request alone.
pub fn moody(request: &EffectRequest<'_>) -> Reply {
    let (number, session) = (request.effect().number, request.effect().session.0);
    let mood = number * 7 + u64::from(session) * 13 + u64::from(request.attempt());
    match (mood % 11, request.class()) {
        (0, Class::Command) => Reply::Later,
        (1 | 9, Class::Command) => {
            Reply::Now(Outcome::failure(FailureKind::Unavailable, "not yet"))
        }
        (3, Class::Command) => Reply::Now(Outcome::failure(FailureKind::Denied, "no")),
        (4, Class::Command) => Reply::Now(Outcome::success("no number")),
        (5, Class::Check) if number > 40 => Reply::Now(Outcome::failure(FailureKind::Lost, "")),
        _ => Reply::Now(Outcome::success(mood)),
    }
}

/// Asserts that the two kernels are in the same state.
pub fn agree(one: &ProtocolMachineKernel, other: &ProtocolMachineKernel, when: &str) {
    assert_eq!(one.step_index(), other.step_index(), "{when}");
    assert_eq!(one.state_bytes(), other.state_bytes(), "{when}");
    assert_eq!(one.next_deadline(), other.next_deadline(), "{when}");
    assert_eq!(one.outstanding(), other.outstanding(), "{when}");
    one.check().expect("every invariant holds");
}

/// A role that issues a check, then a command, and halts.
pub fn proving() -> Arc<VerifiedImage> {
    let code = vec![set(R1, 1u64), prove(R1, R2, 3), act(R1, R2), HALT];
    Arc::new(VerifiedImage::unchecked(solo(code)))
}

/// A handler that answers checks with success in place, and everything else later.
pub fn proves(request: &EffectRequest<'_>) -> Reply {
    match request.class() {
        Class::Check => Reply::Now(Outcome::success(1u64)),
        _ => Reply::Later,
    }
}
