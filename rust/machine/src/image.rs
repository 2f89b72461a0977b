//! The compiled form of a protocol: tables of names and, per role, a program and a local automaton.
//!
//! A [`CodeImage`] is untrusted data with public fields. Only [`CodeImage::verify`] makes a
//! [`VerifiedImage`](crate::VerifiedImage) of it, and only that can be loaded.

use smallvec::{SmallVec, smallvec};

use crate::ids::{LabelId, OperationId, Pc, ProgramId, Reg, RoleId, SortId, StateId};
use crate::operand::Operand;
#[cfg(feature = "build")]
use crate::operand::OperandSource;
// A constant of an instruction is a value, an operand can be an arm, and a value has a sort of the
// image. So this module refers to `operand` and `value`, and both refer to it.
use crate::value::Value;

/// A compiled protocol, content-addressed by the BLAKE3 digest of its deterministic CBOR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeImage {
    /// The protocol's name.
    pub name: String,
    /// The protocol's version, as its author numbers it.
    pub version: u32,
    /// The roles; `programs[r]` is the main program of role `r`.
    pub roles: Vec<Role>,
    /// The message labels' names.
    pub labels: Vec<String>,
    /// The sorts. A sort refers only to earlier sorts, so every sort is finite.
    pub sorts: Vec<Sort>,
    /// The effect interfaces.
    pub interfaces: Vec<Interface>,
    /// The operations of all interfaces.
    pub operations: Vec<Operation>,
    /// The programs: one per role, in role order, then the programs that only `Spawn` starts.
    pub programs: Vec<Program>,
}

/// A role: its name and its local type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The role's name.
    pub name: String,
    /// The role's local type as a numbered automaton. Its first state is the initial one.
    pub automaton: Automaton,
}

/// A role's local session type. Recursion is a transition to an earlier state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Automaton {
    /// The states; state 0 is where a session starts.
    pub states: Vec<State>,
}

/// A state of a local automaton.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The role neither sends nor receives any more.
    End,
    /// The role sends one of the branches' labels to `to`. With several branches, the role chooses.
    Send {
        /// The receiver.
        to: RoleId,
        /// The messages that it may send: at least one, with distinct labels.
        branches: Vec<Transition>,
    },
    /// The role receives one of the branches' labels from `from`.
    Recv {
        /// The sender.
        from: RoleId,
        /// The messages that may arrive: at least one, with distinct labels.
        branches: Vec<Transition>,
    },
}

/// One message that a state admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The message's label.
    pub label: LabelId,
    /// The sort of its payload.
    pub sort: SortId,
    /// The next state.
    pub next: StateId,
}

/// The type of a payload, an argument or a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A single value, without content.
    Unit,
    /// Truth values.
    Bool,
    /// Whole numbers from 0 to 2^64-1.
    Nat,
    /// Whole numbers from -2^63 to 2^63-1.
    Int,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Bytes,
    /// A list of values of one sort.
    List(SortId),
    /// A value or none: a list of at most one element.
    Option(SortId),
    /// Named fields, in this order.
    Record {
        /// The record's name, for display; empty for the tuple of an unnamed payload list.
        name: String,
        /// Field names and sorts.
        fields: Vec<(String, SortId)>,
    },
    /// One of the named variants: a `Nat` that is the variant's position.
    Enum {
        /// The enumeration's name.
        name: String,
        /// Its variants.
        variants: Vec<String>,
    },
    /// A type of another language: bytes that the machine does not interpret.
    Foreign {
        /// Its name in the protocol.
        name: String,
    },
    /// A choice among labels: a `Nat` that is one of these label ids. The result sort of
    /// `host.decide`.
    Arm(Vec<LabelId>),
}

/// A named set of operations that a role may request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface's name. `host` is the implicit interface that the compiler uses.
    pub name: String,
    /// Its version.
    pub version: u32,
}

/// An operation that `Invoke` or `Check` requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its interface: a row of `CodeImage::interfaces`.
    pub interface: u16,
    /// Its name within the interface.
    pub name: String,
    /// What kind of request it is.
    pub class: Class,
    /// The sorts of its arguments, in order.
    pub args: Vec<SortId>,
    /// The sort of its result.
    pub result: SortId,
    /// Ticks after which the effect fails with `timeout`; `None`: the configuration's budget
    /// applies.
    pub budget: Option<u64>,
    /// How many times the machine repeats the request by itself after a failure `unavailable`.
    pub retries: u8,
}

/// The authority class of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Asks the host of a role for the payload of a message that the role is about to send.
    Produce {
        /// The message's label.
        label: LabelId,
        /// The receiver.
        peer: RoleId,
    },
    /// Asks the host of a role which of these labels to send.
    Decide {
        /// The labels, in the order of the automaton's branches.
        labels: Vec<LabelId>,
        /// The receiver of the message.
        peer: RoleId,
    },
    /// Gives the host of a role a message that the role has received.
    Deliver {
        /// The message's label.
        label: LabelId,
        /// The sender.
        peer: RoleId,
    },
    /// A command: it may change the outside world.
    Command,
    /// An observation: it reads the outside world, without a guarantee.
    Observe,
    /// An authoritative read: a success is evidence, which is kept as a witness.
    Check,
}

/// The code of a coroutine, and how many registers it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// A name for display.
    pub name: String,
    /// How many registers a coroutine of this program has, at most
    /// [`REGISTERS_MAX`](crate::bounds::REGISTERS_MAX). In a role's program, register 0 starts as
    /// the role's endpoint; every other register starts as unit.
    pub registers: u8,
    /// The instructions. Execution starts at 0.
    pub code: Vec<Instruction>,
}

/// What the table of instructions says about all instructions with one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionRow {
    /// The name.
    pub name: &'static str,
    /// The results that a step of the instruction can have: names of [`Step`](crate::Step), and for
    /// a blocked step what it waits for. Every instruction with [`faults`](Self::faults) can also
    /// have the result `Faulted`.
    pub results: &'static [&'static str],
    faults: &'static [&'static [&'static str]],
}

impl InstructionRow {
    /// The names of the faults that a step of the instruction can have. A fault that follows from
    /// the failure of an effect does not count: it is one of the outcome's.
    pub fn faults(&self) -> impl Iterator<Item = &'static str> {
        self.faults.iter().copied().flatten().copied()
    }
}

/// Faults of an operand that is a register.
const REGISTERS: &[&str] = &["OutOfRegisters"];
/// Faults of a send or a receive over an endpoint.
const CHANNEL: &[&str] = &[
    "OutOfRegisters",
    "NotAnEndpoint",
    "NoSuchRow",
    "NotHolder",
    "WrongState",
    "WrongLabel",
];
/// Faults of a value that is sent.
const PAYLOAD: &[&str] = &["WrongSort", "PayloadTooLarge"];
/// Faults of a message that is received.
const RECEIVED: &[&str] = &["UnexpectedMessage", "WrongSort"];
/// Faults of a request, besides those of its arguments.
const REQUEST: &[&str] = &["NoSuchRow", "WrongOperation", "OutOfRegisters"];
/// Faults of an end.
const END: &[&str] = &["EndpointOpen", "EdgeNotEmpty", "NoSuchRow"];

/// The most operands that an instruction has.
const OPERANDS_MAX: usize = 5;

macro_rules! instruction_columns {
    ($name:ident {$(
        $number:literal $variant:ident
        ($text:literal, [$($result:literal),*], [$($faults:expr),*])
        $({ $($field:ident: $role:ident $of:ty),* })?;
    )*}) => {
        impl $name {
            /// The rows of the table, in the order of the numbers.
            pub const ROWS: &'static [InstructionRow] = &[$(InstructionRow {
                name: stringify!($variant),
                results: &[$($result),*],
                faults: &[$($faults),*],
            }),*];

            /// The operands, in the order of the fields.
            pub fn operands(&self) -> SmallVec<[Operand<'_>; OPERANDS_MAX]> {
                match self {$(
                    $name::$variant $({ $($field),* })? => {
                        smallvec![$($(operand!($role $field)),*)?]
                    }
                )*}
            }

            /// An instruction with this number. `None` if no instruction has it.
            #[cfg(feature = "build")]
            pub fn from_operands(number: usize, source: &mut impl OperandSource) -> Option<$name> {
                match number {
                    $($number => Some($name::$variant $({ $($field: source.$role()),* })?),)*
                    _ => None,
                }
            }
        }
    };
}

/// Calls a macro with the rows of the table of instructions. The columns are the text, with
/// operands in braces; the results of a step; the faults of a step. Each operand has a role, which
/// is a variant of [`Operand`] in lower case.
macro_rules! for_each_instruction {
    ($callback:ident) => {
        $callback! {
            /// Send `label` with the payload in `val` over the endpoint in `chan`.
            0 = Send (
                "send {chan} {label} {val}",
                ["Ran", "Blocked(Full)"],
                [CHANNEL, PAYLOAD]
            ) {
                /// Holds the endpoint.
                chan: @endpoint Reg,
                /// The label to send.
                label: @label LabelId,
                /// Holds the payload.
                val: @read Reg,
            };
            /// Receive `label` over the endpoint in `chan` into `dst`.
            1 = Receive (
                "{dst} := receive {chan} {label}",
                ["Ran", "Blocked(Empty)"],
                [CHANNEL, RECEIVED]
            ) {
                /// Holds the endpoint.
                chan: @endpoint Reg,
                /// The label that must arrive.
                label: @label LabelId,
                /// Receives the payload.
                dst: @write Reg,
            };
            /// Internal choice: send the arm whose label id is in `selector`.
            2 = Offer (
                "offer {chan} by {selector} {{ {arms} }}",
                ["Ran", "Blocked(Full)"],
                [CHANNEL, PAYLOAD, &["NotANumber", "SelectorOutside"]]
            ) {
                /// Holds the endpoint.
                chan: @endpoint Reg,
                /// Holds a label id.
                selector: @read Reg,
                /// The arms, labels distinct.
                arms: @arms Vec<Arm>,
            };
            /// External choice: receive any label of the table and go to its target.
            3 = Choose (
                "{dst} := choose {chan} {{ {table} }}",
                ["Ran", "Blocked(Empty)"],
                [CHANNEL, RECEIVED]
            ) {
                /// Holds the endpoint.
                chan: @endpoint Reg,
                /// Receives the payload.
                dst: @write Reg,
                /// Labels and their targets, labels distinct.
                table: @labels Vec<(LabelId, Pc)>,
            };
            /// Issue an effect and wait for its outcome.
            4 = Invoke (
                "{dst} := invoke {operation} ({args}){on_failure}",
                ["Effect"],
                [PAYLOAD, REQUEST]
            ) {
                /// The requested operation.
                operation: @operation OperationId,
                /// Registers that hold the arguments.
                args: @arguments Vec<Reg>,
                /// Receives the result, or the code of the failure's kind.
                dst: @write Reg,
                /// The target after a failure; `None`: a failure faults the session.
                on_failure: @failure Option<Pc>,
            };
            /// Request evidence: as `Invoke`, for an operation of class `Check`. A success also
            /// issues a witness.
            5 = Check (
                "{dst}, {witness} := check {operation} ({args}){on_failure}",
                ["Effect"],
                [PAYLOAD, REQUEST]
            ) {
                /// The requested operation.
                operation: @operation OperationId,
                /// Registers that hold the arguments.
                args: @arguments Vec<Reg>,
                /// Receives the result, or the code of the failure's kind.
                dst: @write Reg,
                /// Receives the evidence.
                witness: @write Reg,
                /// The target after a failure; `None`: a failure faults the session.
                on_failure: @failure Option<Pc>,
            };
            /// Start another coroutine of this session.
            6 = Spawn (
                "{dst} := spawn {program} ({args})",
                ["Ran"],
                [REGISTERS, &["NoSuchRow", "CoroutineBound"]]
            ) {
                /// The program that it runs.
                program: @program ProgramId,
                /// Registers whose values are copied to its registers 0, 1, …
                args: @arguments Vec<Reg>,
                /// Receives the new coroutine's number.
                dst: @write Reg,
            };
            /// `dst := value`.
            7 = Set ("{dst} := {value}", ["Ran"], [REGISTERS]) {
                /// Receives the value.
                dst: @write Reg,
                /// A constant; never an endpoint or evidence.
                value: @constant Value,
            };
            /// `dst := src`.
            8 = Move ("{dst} := {src}", ["Ran"], [REGISTERS]) {
                /// Receives the value.
                dst: @write Reg,
                /// Holds the value, which is copied.
                src: @read Reg,
            };
            /// Go to `target`.
            9 = Jump ("jump -> {target}", ["Ran"], []) {
                /// The address of the next instruction.
                target: @target Pc,
            };
            /// Go to the target of the number in `cond`; truth values count as 0 and 1.
            10 = Branch (
                "branch {cond} {{ {table} }}",
                ["Ran"],
                [REGISTERS, &["NotANumber", "NoSuchBranch"]]
            ) {
                /// Holds the number.
                cond: @read Reg,
                /// Numbers and their targets, numbers distinct.
                table: @numbers Vec<(u64, Pc)>,
            };
            /// Let the next ready coroutine step.
            11 = Yield ("yield", ["Yielded"], []);
            /// End the session. Every endpoint must be at its end and every buffer empty.
            12 = Close ("close", ["Halted"], [END]);
            /// End the coroutine. Its endpoints must be at their ends. The last coroutine to halt
            /// closes the session.
            13 = Halt ("halt", ["Halted"], [END]);
        }
    };
}

macro_rules! define_instructions {
    ($($rows:tt)*) => {
        table! {
                /// An instruction. [`step`](crate::step::step) defines its meaning.
                #[derive(Clone, Debug, PartialEq, Eq)]
            pub enum Instruction with instruction_columns { $($rows)* }
        }
    };
}

for_each_instruction! { define_instructions }

/// One arm of an [`Instruction::Offer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The label this arm sends.
    pub label: LabelId,
    /// Holds the payload.
    pub val: Reg,
    /// The address of the next instruction.
    pub target: Pc,
}

impl Instruction {
    /// What the table says about the instruction's number.
    pub fn row(&self) -> &'static InstructionRow {
        &Instruction::ROWS[self.number()]
    }

    /// The operation of a request; `None` for an instruction that requests nothing.
    pub fn operation(&self) -> Option<OperationId> {
        self.operands()
            .into_iter()
            .find_map(|operand| match operand {
                Operand::Operation(operation) => Some(operation),
                _ => None,
            })
    }

    /// The registers that the instruction can write, in the order of its operands.
    pub fn written(&self) -> impl Iterator<Item = Reg> {
        self.operands()
            .into_iter()
            .filter_map(|operand| match operand {
                Operand::Write(register) => Some(register),
                _ => None,
            })
    }

    /// The addresses to which control can go from the instruction at `pc`.
    pub fn successors(&self, pc: Pc) -> Vec<Pc> {
        let mut targets = Vec::new();
        let mut continues = self.row().results != ["Halted"];
        for operand in self.operands() {
            match operand {
                Operand::Failure(target) => targets.extend(target),
                Operand::Target(target) => {
                    continues = false;
                    targets.push(target);
                }
                Operand::Arms(arms) => {
                    continues = false;
                    targets.extend(arms.iter().map(|arm| arm.target));
                }
                Operand::Labels(table) => {
                    continues = false;
                    targets.extend(table.iter().map(|(_, target)| *target));
                }
                Operand::Numbers(table) => {
                    continues = false;
                    targets.extend(table.iter().map(|(_, target)| *target));
                }
                Operand::Endpoint(_)
                | Operand::Read(_)
                | Operand::Write(_)
                | Operand::Arguments(_)
                | Operand::Label(_)
                | Operand::Operation(_)
                | Operand::Program(_)
                | Operand::Constant(_) => {}
            }
        }
        if continues {
            targets.push(Pc(pc.0.saturating_add(1)));
        }
        targets
    }
}
