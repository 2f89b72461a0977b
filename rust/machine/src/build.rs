//! Functions to write a [`CodeImage`] by hand, for tests, examples and benches.
//!
//! They make exactly the image that is written. It may be one that the compiler never emits, or a
//! wrong one, because nothing is checked before [`CodeImage::verify`].
//!
//! Registers, states, positions, programs and operations are plain numbers. Roles, labels and sorts
//! are ids, so that constants can name them. Instructions that communicate use register 0, which
//! holds the role's endpoint when its program starts; [`over`] selects another register.
//!
//! ```
//! use antiphon_machine::build::*;
//! use antiphon_machine::*;
//!
//! const HELLO: LabelId = LabelId(0);
//! const NAT: SortId = SortId(0);
//!
//! // Alice sends one number to Bob. `A` and `B` are the first and the second role.
//! let alice = role(
//!     "Alice",
//!     2,
//!     [set(1, 7u64), send(HELLO, 1), HALT],
//!     [to(B, [go(HELLO, NAT, 1)]), END],
//! );
//! let bob = role(
//!     "Bob",
//!     2,
//!     [receive(HELLO, 1), HALT],
//!     [from(A, [go(HELLO, NAT, 1)]), END],
//! );
//! let image = CodeImage {
//!     labels: names(["hello"]),
//!     sorts: vec![Sort::Nat],
//!     ..image("Greeting", [alice, bob])
//! };
//!
//! let image = std::sync::Arc::new(image.verify()?);
//! let no_host = |_: &EffectRequest<'_>| Reply::Later;
//! let mut machine = ProtocolMachine::new(Default::default(), FromFn(no_host));
//! let session = machine.load_choreography(&image, "owner").expect("the first session fits");
//! assert_eq!(machine.run(100), Some(Rest::Done));
//! let bob = &machine.kernel().session(session).expect("it exists").coroutines()[1];
//! assert_eq!(bob.registers[1], Value::Nat(7));
//! # Ok::<(), VerifyError>(())
//! ```

use crate::ids::{LabelId, OperationId, Pc, ProgramId, Reg, RoleId, SortId, StateId};
use crate::image::*;
use crate::value::Value;

/// The first role of an image.
pub const A: RoleId = RoleId(0);
/// The second role.
pub const B: RoleId = RoleId(1);
/// The third role.
pub const C: RoleId = RoleId(2);

/// A program's code and an automaton's states.
pub type Part = (Vec<Instruction>, Vec<State>);

/// An image, version 1, of these roles and their programs. Its other tables are empty: fill them
/// with struct update syntax.
pub fn image(name: &str, roles: impl IntoIterator<Item = (Role, Program)>) -> CodeImage {
    let (roles, programs) = roles.into_iter().unzip();
    CodeImage {
        name: name.to_owned(),
        version: 1,
        roles,
        programs,
        ..CodeImage::default()
    }
}

/// A role and its program, both of this name.
pub fn role(
    name: &str,
    registers: u8,
    code: impl IntoIterator<Item = Instruction>,
    states: impl IntoIterator<Item = State>,
) -> (Role, Program) {
    let states = states.into_iter().collect();
    let role = Role {
        name: name.to_owned(),
        automaton: Automaton { states },
    };
    (role, program(name, registers, code))
}

/// Roles named A, B, C, …, one for each part, each with this number of registers. Parts after the
/// 26th are left out.
pub fn lettered(
    registers: u8,
    parts: impl IntoIterator<Item = Part>,
) -> impl Iterator<Item = (Role, Program)> {
    let named = ('A'..='Z').zip(parts);
    named.map(move |(name, (code, states))| role(&name.to_string(), registers, code, states))
}

/// A part that sends and receives nothing, and runs this code.
pub fn alone(code: Vec<Instruction>) -> Part {
    (code, vec![END])
}

/// A part that halts at once.
pub fn silent() -> Part {
    alone(vec![HALT])
}

/// A program.
pub fn program(name: &str, registers: u8, code: impl IntoIterator<Item = Instruction>) -> Program {
    Program {
        name: name.to_owned(),
        registers,
        code: code.into_iter().collect(),
    }
}

/// The image with one more program, `child`, for [`spawn`].
pub fn with_child(
    mut image: CodeImage,
    registers: u8,
    code: impl IntoIterator<Item = Instruction>,
) -> CodeImage {
    image.programs.push(program("child", registers, code));
    image
}

/// Names as a table of an image.
pub fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}

/// Version 1 of an interface.
pub fn interface(name: &str) -> Interface {
    let name = name.to_owned();
    Interface { name, version: 1 }
}

/// An operation of the first interface, without a budget and without retries.
pub fn operation(name: &str, class: Class, args: &[SortId], result: SortId) -> Operation {
    Operation {
        interface: 0,
        name: name.to_owned(),
        class,
        args: args.to_vec(),
        result,
        budget: None,
        retries: 0,
    }
}

/// The state at the end of an automaton.
pub const END: State = State::End;

/// A state in which the role sends one of these messages.
pub fn to(to: RoleId, branches: impl IntoIterator<Item = Transition>) -> State {
    let branches = branches.into_iter().collect();
    State::Send { to, branches }
}

/// A state in which the role receives one of these messages.
pub fn from(from: RoleId, branches: impl IntoIterator<Item = Transition>) -> State {
    let branches = branches.into_iter().collect();
    State::Recv { from, branches }
}

/// A message of this label and sort, after which the automaton is in state `next`.
pub fn go(label: LabelId, sort: SortId, next: u32) -> Transition {
    let next = StateId(next);
    Transition { label, sort, next }
}

/// The states for `count` messages of one label and sort, one after the other, and the end.
/// `state` is [`to`] or [`from`] with a role.
pub fn repeated(
    count: u32,
    label: LabelId,
    sort: SortId,
    state: impl Fn(Vec<Transition>) -> State,
) -> Vec<State> {
    let messages = (1..=count).map(|next| state(vec![go(label, sort, next)]));
    messages.chain([END]).collect()
}

/// Stores a constant in register `dst`.
pub fn set(dst: u8, value: impl Into<Value>) -> Instruction {
    Instruction::Set {
        dst: Reg(dst),
        value: value.into(),
    }
}

/// Copies register `src` to register `dst`.
pub fn mov(dst: u8, src: u8) -> Instruction {
    Instruction::Move {
        dst: Reg(dst),
        src: Reg(src),
    }
}

/// Sends the payload in register `val`.
pub fn send(label: LabelId, val: u8) -> Instruction {
    Instruction::Send {
        chan: Reg(0),
        label,
        val: Reg(val),
    }
}

/// Receives a payload into register `dst`.
pub fn receive(label: LabelId, dst: u8) -> Instruction {
    Instruction::Receive {
        chan: Reg(0),
        label,
        dst: Reg(dst),
    }
}

/// Sends the label whose number is in register `selector`. Each arm is a label, the register with
/// its payload, and the position to continue at.
pub fn offer(selector: u8, arms: &[(LabelId, u8, u32)]) -> Instruction {
    let arm = |(label, val, target): &(LabelId, u8, u32)| Arm {
        label: *label,
        val: Reg(*val),
        target: Pc(*target),
    };
    Instruction::Offer {
        chan: Reg(0),
        selector: Reg(selector),
        arms: arms.iter().map(arm).collect(),
    }
}

/// Receives any label of the table, with its payload into register `dst`, and continues at the
/// label's position.
pub fn choose(dst: u8, table: &[(LabelId, u32)]) -> Instruction {
    Instruction::Choose {
        chan: Reg(0),
        dst: Reg(dst),
        table: table.iter().map(|(label, pc)| (*label, Pc(*pc))).collect(),
    }
}

/// The instruction with the endpoint in register `chan`. An instruction that does not communicate
/// is returned unchanged.
pub fn over(chan: u8, mut instruction: Instruction) -> Instruction {
    match &mut instruction {
        Instruction::Send { chan: register, .. }
        | Instruction::Receive { chan: register, .. }
        | Instruction::Offer { chan: register, .. }
        | Instruction::Choose { chan: register, .. } => *register = Reg(chan),
        _ => {}
    }
    instruction
}

/// Issues an effect with the arguments in registers `args` and its result in register `dst`. A
/// failure continues at `on_failure`; without one it faults the session.
pub fn invoke(operation: u16, args: &[u8], dst: u8, on_failure: Option<u32>) -> Instruction {
    Instruction::Invoke {
        operation: OperationId(operation),
        args: args.iter().copied().map(Reg).collect(),
        dst: Reg(dst),
        on_failure: on_failure.map(Pc),
    }
}

/// As [`invoke`], for an operation of class [`Class::Check`]: success also issues a witness, and
/// stores its evidence in register `witness`.
pub fn check(
    operation: u16,
    args: &[u8],
    dst: u8,
    witness: u8,
    on_failure: Option<u32>,
) -> Instruction {
    Instruction::Check {
        operation: OperationId(operation),
        args: args.iter().copied().map(Reg).collect(),
        dst: Reg(dst),
        witness: Reg(witness),
        on_failure: on_failure.map(Pc),
    }
}

/// Starts a coroutine of this program, with the values of registers `args` in its first registers,
/// and stores its number in register `dst`.
pub fn spawn(program: u16, args: &[u8], dst: u8) -> Instruction {
    Instruction::Spawn {
        program: ProgramId(program),
        args: args.iter().copied().map(Reg).collect(),
        dst: Reg(dst),
    }
}

/// Continues at this position.
pub fn jump(target: u32) -> Instruction {
    Instruction::Jump { target: Pc(target) }
}

/// Continues at the table's position for the number or truth value in register `cond`.
pub fn branch(cond: u8, table: &[(u64, u32)]) -> Instruction {
    Instruction::Branch {
        cond: Reg(cond),
        table: table.iter().map(|(n, pc)| (*n, Pc(*pc))).collect(),
    }
}

/// Gives way to the next ready coroutine.
pub const YIELD: Instruction = Instruction::Yield;
/// Ends the session.
pub const CLOSE: Instruction = Instruction::Close;
/// Ends the coroutine.
pub const HALT: Instruction = Instruction::Halt;
