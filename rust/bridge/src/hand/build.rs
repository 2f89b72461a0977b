//! A small assembler for images, verified or not.

use antiphon_machine::*;

pub(crate) const A: RoleId = RoleId(0);
pub(crate) const B: RoleId = RoleId(1);
pub(crate) const C: RoleId = RoleId(2);
pub(crate) const X: LabelId = LabelId(0);
pub(crate) const Y: LabelId = LabelId(1);
pub(crate) const Z: LabelId = LabelId(2);

/// The sorts of every image made here, one of each kind.
pub(crate) mod sort {
    use antiphon_machine::{LabelId, Sort, SortId};

    pub(crate) const UNIT: SortId = SortId(0);
    pub(crate) const BOOL: SortId = SortId(1);
    pub(crate) const NAT: SortId = SortId(2);
    pub(crate) const INT: SortId = SortId(3);
    pub(crate) const TEXT: SortId = SortId(4);
    pub(crate) const BYTES: SortId = SortId(5);
    pub(crate) const NATS: SortId = SortId(6);
    pub(crate) const MAYBE: SortId = SortId(7);
    pub(crate) const PAIR: SortId = SortId(8);
    pub(crate) const COLOUR: SortId = SortId(9);
    pub(crate) const FOREIGN: SortId = SortId(10);
    pub(crate) const ARM: SortId = SortId(11);
    pub(crate) const DEEP: SortId = SortId(12);
    /// A sort that no table here has.
    pub(crate) const NONE: SortId = SortId(99);
    /// The number of sorts.
    pub(crate) const COUNT: u16 = 13;

    pub(crate) fn table() -> Vec<Sort> {
        let field = |name: &str, sort| (name.to_owned(), sort);
        vec![
            Sort::Unit,
            Sort::Bool,
            Sort::Nat,
            Sort::Int,
            Sort::Text,
            Sort::Bytes,
            Sort::List(NAT),
            Sort::Option(TEXT),
            Sort::Record {
                name: "Pair".to_owned(),
                fields: vec![field("left", NAT), field("right", BOOL)],
            },
            Sort::Enum {
                name: "Colour".to_owned(),
                variants: ["red", "green", "blue"].map(str::to_owned).to_vec(),
            },
            Sort::Foreign {
                name: "Blob".to_owned(),
            },
            Sort::Arm(vec![LabelId(0), LabelId(2)]),
            Sort::List(PAIR),
        ]
    }
}
use sort::NAT;

/// A role: its program and its automaton.
pub(crate) type Part = (Vec<Instruction>, Vec<State>);

/// The rows of the operations in every image made here.
pub(crate) mod op {
    /// `do(nat) -> nat`, a command.
    pub(crate) const DO: u16 = 0;
    /// `prove(nat) -> nat`, a check.
    pub(crate) const PROVE: u16 = 1;
    /// As `do`, with a budget of 10 ticks.
    pub(crate) const SOON: u16 = 2;
    /// As `do`, with two retries.
    pub(crate) const AGAIN: u16 = 3;
    /// As `prove`, with a budget of 5 and one retry.
    pub(crate) const PROVE_SOON: u16 = 4;
    /// `look() -> unit`, an observation.
    pub(crate) const LOOK: u16 = 5;
    /// The first of the operations that return a value of a given sort; they are in the order of
    /// the sorts.
    pub(crate) const GIVE: u16 = 6;
}

/// An image of roles A, B, … and labels x, y, z.
pub(crate) fn image(parts: Vec<Part>) -> CodeImage {
    let operation = |name: &str, class, args, result, budget, retries| Operation {
        interface: 0,
        name: name.to_owned(),
        class,
        args,
        result,
        budget,
        retries,
    };
    let one = || vec![NAT];
    let mut operations = vec![
        operation("do", Class::Command, one(), NAT, None, 0),
        operation("prove", Class::Check, one(), NAT, None, 0),
        operation("soon", Class::Command, one(), NAT, Some(10), 0),
        operation("again", Class::Command, one(), NAT, None, 2),
        operation("prove_soon", Class::Check, one(), NAT, Some(5), 1),
        operation("look", Class::Observe, vec![], sort::UNIT, None, 0),
    ];
    for row in 0..sort::COUNT {
        let name = format!("give{row}");
        operations.push(operation(
            &name,
            Class::Observe,
            vec![],
            SortId(row),
            None,
            0,
        ));
    }
    let mut image = CodeImage {
        name: "hand".to_owned(),
        version: 1,
        labels: ["x", "y", "z"].map(str::to_owned).to_vec(),
        sorts: sort::table(),
        interfaces: vec![Interface {
            name: "world".to_owned(),
            version: 1,
        }],
        operations,
        ..CodeImage::default()
    };
    for (n, (code, states)) in (0u8..).zip(parts) {
        let name = char::from(b'A' + n).to_string();
        image.programs.push(program(&name, 4, code));
        image.roles.push(Role {
            name,
            automaton: Automaton { states },
        });
    }
    image
}

pub(crate) fn program(name: &str, registers: u8, code: Vec<Instruction>) -> Program {
    Program {
        name: name.to_owned(),
        registers,
        code,
    }
}

/// The image with one more program.
pub(crate) fn with_program(
    mut image: CodeImage,
    registers: u8,
    code: Vec<Instruction>,
) -> CodeImage {
    image.programs.push(program("child", registers, code));
    image
}

/// A role that does nothing.
pub(crate) fn silent() -> Part {
    (vec![Instruction::Halt], vec![State::End])
}

/// A role that sends and receives nothing, and runs this code.
pub(crate) fn alone(code: Vec<Instruction>) -> Part {
    (code, vec![State::End])
}

pub(crate) fn go(label: LabelId, sort: SortId, next: u32) -> Transition {
    let next = StateId(next);
    Transition { label, sort, next }
}

pub(crate) fn to(to: RoleId, branches: Vec<Transition>) -> State {
    State::Send { to, branches }
}

pub(crate) fn from(from: RoleId, branches: Vec<Transition>) -> State {
    State::Recv { from, branches }
}

/// The states for `count` messages x with a nat, then the end.
pub(crate) fn times(count: u32, state: impl Fn(Vec<Transition>) -> State) -> Vec<State> {
    let mut states: Vec<_> = (0..count).map(|n| state(vec![go(X, NAT, n + 1)])).collect();
    states.push(State::End);
    states
}

pub(crate) fn set(dst: u8, value: impl Into<Value>) -> Instruction {
    let value = value.into();
    Instruction::Set {
        dst: Reg(dst),
        value,
    }
}

pub(crate) fn mov(dst: u8, src: u8) -> Instruction {
    Instruction::Move {
        dst: Reg(dst),
        src: Reg(src),
    }
}

pub(crate) fn jump(target: u32) -> Instruction {
    Instruction::Jump { target: Pc(target) }
}

pub(crate) fn branch(cond: u8, table: &[(u64, u32)]) -> Instruction {
    Instruction::Branch {
        cond: Reg(cond),
        table: table.iter().map(|(n, pc)| (*n, Pc(*pc))).collect(),
    }
}

pub(crate) fn send_by(chan: u8, label: LabelId, val: u8) -> Instruction {
    let (chan, val) = (Reg(chan), Reg(val));
    Instruction::Send { chan, label, val }
}

pub(crate) fn send(label: LabelId, val: u8) -> Instruction {
    send_by(0, label, val)
}

pub(crate) fn receive_by(chan: u8, label: LabelId, dst: u8) -> Instruction {
    let (chan, dst) = (Reg(chan), Reg(dst));
    Instruction::Receive { chan, label, dst }
}

pub(crate) fn receive(label: LabelId, dst: u8) -> Instruction {
    receive_by(0, label, dst)
}

/// An offer with its selector in register 1. An arm is a label, a payload register and a target.
pub(crate) fn offer(arms: &[(LabelId, u8, u32)]) -> Instruction {
    let arm = |(label, val, target): &(LabelId, u8, u32)| Arm {
        label: *label,
        val: Reg(*val),
        target: Pc(*target),
    };
    Instruction::Offer {
        chan: Reg(0),
        selector: Reg(1),
        arms: arms.iter().map(arm).collect(),
    }
}

pub(crate) fn choose(dst: u8, table: &[(LabelId, u32)]) -> Instruction {
    Instruction::Choose {
        chan: Reg(0),
        dst: Reg(dst),
        table: table.iter().map(|(label, pc)| (*label, Pc(*pc))).collect(),
    }
}

pub(crate) fn invoke(operation: u16, args: &[u8], dst: u8, on_failure: Option<u32>) -> Instruction {
    Instruction::Invoke {
        operation: OperationId(operation),
        args: args.iter().copied().map(Reg).collect(),
        dst: Reg(dst),
        on_failure: on_failure.map(Pc),
    }
}

pub(crate) fn check(
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

pub(crate) fn spawn(program: u16, args: &[u8], dst: u8) -> Instruction {
    Instruction::Spawn {
        program: ProgramId(program),
        args: args.iter().copied().map(Reg).collect(),
        dst: Reg(dst),
    }
}

pub(crate) const HALT: Instruction = Instruction::Halt;
pub(crate) const YIELD: Instruction = Instruction::Yield;
pub(crate) const CLOSE: Instruction = Instruction::Close;

/// Values of every form, with the edges of each range.
pub(crate) fn values() -> Vec<(&'static str, Value)> {
    let nat = Value::Nat;
    vec![
        ("unit", Value::Unit),
        ("false", Value::Bool(false)),
        ("true", Value::Bool(true)),
        ("nat 0", nat(0)),
        ("nat 1", nat(1)),
        ("nat 23", nat(23)),
        ("nat 24", nat(24)),
        ("nat 256", nat(256)),
        ("nat 65536", nat(65_536)),
        ("nat 2^32", nat(1 << 32)),
        ("nat max", nat(u64::MAX)),
        ("int 0", Value::Int(0)),
        ("int -1", Value::Int(-1)),
        ("int -25", Value::Int(-25)),
        ("int min", Value::Int(i64::MIN)),
        ("int max", Value::Int(i64::MAX)),
        ("text empty", Value::text("")),
        ("text", Value::text("größe 水 𐅑")),
        ("text 24", Value::text("abcdefghijklmnopqrstuvwx")),
        ("bytes empty", Value::bytes(b"")),
        ("bytes 23", Value::bytes(&[7; 23])),
        ("bytes 24", Value::bytes(&[7; 24])),
        ("bytes 256", Value::bytes(&[7; 256])),
        ("list empty", Value::list(vec![])),
        ("list", Value::list(vec![nat(1), nat(2)])),
        ("list of text", Value::list(vec![Value::text("a")])),
        ("list 23", Value::list(vec![nat(0); 23])),
        ("record empty", Value::record(vec![])),
        ("pair", Value::record(vec![nat(1), Value::Bool(true)])),
        (
            "pair turned",
            Value::record(vec![Value::Bool(true), nat(1)]),
        ),
        (
            "pairs",
            Value::list(vec![Value::record(vec![nat(9), Value::Bool(false)])]),
        ),
        (
            "nested",
            Value::list(vec![Value::list(vec![Value::list(vec![Value::Unit])])]),
        ),
        ("endpoint", Value::Endpoint(B)),
        ("evidence", Value::Evidence(3)),
    ]
}
