//! A small assembler for test images, and scripted handlers.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::sync::Arc;

use antiphon_machine::invariants::Watch;
use antiphon_machine::*;

pub const A: RoleId = RoleId(0);
pub const B: RoleId = RoleId(1);
pub const R0: Reg = Reg(0);
pub const R1: Reg = Reg(1);
pub const R2: Reg = Reg(2);

pub const UNIT: SortId = SortId(0);
pub const NAT: SortId = SortId(1);
pub const BOOL: SortId = SortId(2);
pub const TEXT: SortId = SortId(3);
pub const BYTES: SortId = SortId(4);
pub const NATS: SortId = SortId(5);
pub const X: LabelId = LabelId(0);
pub const Y: LabelId = LabelId(1);

/// An image of roles A, B, … with the given programs and automata. It has labels x and y, the sorts
/// above, and one operation per class, from nat to nat.
pub fn image(roles: Vec<(Vec<Instruction>, Vec<State>)>) -> CodeImage {
    let operation = |name: &str, class| Operation {
        interface: 0,
        name: name.to_owned(),
        class,
        args: vec![NAT],
        result: NAT,
        budget: None,
        retries: 0,
    };
    let mut image = CodeImage {
        name: "test".to_owned(),
        version: 1,
        labels: vec!["x".to_owned(), "y".to_owned()],
        sorts: vec![
            Sort::Unit,
            Sort::Nat,
            Sort::Bool,
            Sort::Text,
            Sort::Bytes,
            Sort::List(NAT),
            Sort::Arm(vec![X, Y]),
        ],
        interfaces: vec![Interface {
            name: "world".to_owned(),
            version: 1,
        }],
        operations: vec![
            operation("do", Class::Command),
            operation("prove", Class::Check),
        ],
        ..CodeImage::default()
    };
    for (n, (code, states)) in (0u8..).zip(roles) {
        let name = char::from(b'A' + n).to_string();
        image.roles.push(Role {
            name: name.clone(),
            automaton: Automaton { states },
        });
        image.programs.push(Program {
            name,
            registers: 4,
            code,
        });
    }
    image
}

pub fn go(label: LabelId, sort: SortId, next: u32) -> Transition {
    Transition {
        label,
        sort,
        next: StateId(next),
    }
}

pub fn to_b(branches: Vec<Transition>) -> State {
    State::Send { to: B, branches }
}

pub fn from_a(branches: Vec<Transition>) -> State {
    State::Recv { from: A, branches }
}

pub fn set(dst: Reg, value: impl Into<Value>) -> Instruction {
    Instruction::Set {
        dst,
        value: value.into(),
    }
}

pub fn send(label: LabelId, val: Reg) -> Instruction {
    Instruction::Send {
        chan: R0,
        label,
        val,
    }
}

pub fn receive(label: LabelId, dst: Reg) -> Instruction {
    Instruction::Receive {
        chan: R0,
        label,
        dst,
    }
}

/// `do(arg) -> dst`.
pub fn act(arg: Reg, dst: Reg) -> Instruction {
    Instruction::Invoke {
        operation: OperationId(0),
        args: vec![arg],
        dst,
        on_failure: None,
    }
}

pub fn act_or(arg: Reg, dst: Reg, target: u32) -> Instruction {
    let on_failure = Some(Pc(target));
    Instruction::Invoke {
        operation: OperationId(0),
        args: vec![arg],
        dst,
        on_failure,
    }
}

pub fn prove(arg: Reg, dst: Reg, witness: Reg) -> Instruction {
    let operation = OperationId(1);
    Instruction::Check {
        operation,
        args: vec![arg],
        dst,
        witness,
        on_failure: None,
    }
}

/// A role that does nothing.
pub fn silent() -> (Vec<Instruction>, Vec<State>) {
    (vec![Instruction::Halt], vec![State::End])
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
    let again = Instruction::Jump { target: Pc(1) };
    let code = vec![
        set(R1, 5u64),
        act_or(R1, R2, 3),
        prove(R1, R2, Reg(3)),
        again,
    ];
    let mut image = image(vec![
        (code.clone(), vec![State::End]),
        (code, vec![State::End]),
    ]);
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
    let code = vec![
        set(R1, 1u64),
        prove(R1, R2, Reg(3)),
        act(R1, R2),
        Instruction::Halt,
    ];
    Arc::new(VerifiedImage::unchecked(image(vec![(
        code,
        vec![State::End],
    )])))
}

/// A handler that answers checks with success in place, and everything else later.
pub fn proves(request: &EffectRequest<'_>) -> Reply {
    match request.class() {
        Class::Check => Reply::Now(Outcome::success(1u64)),
        _ => Reply::Later,
    }
}
