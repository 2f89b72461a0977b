//! The compiled form of a protocol: tables of names and, per role, a program and a local automaton.
//!
//! A [`CodeImage`] is untrusted data with public fields. Only [`CodeImage::verify`] makes a
//! [`VerifiedImage`](crate::VerifiedImage) of it, and only that can be loaded.

use crate::ids::{LabelId, OperationId, Pc, ProgramId, Reg, RoleId, SortId, StateId};
// A constant of an instruction is a value, and a value has a sort of the image, so the modules
// `image` and `value` refer to each other.
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

/// An instruction. [`step`](crate::step::step) defines its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Send `label` with the payload in `val` over the endpoint in `chan`.
    Send {
        /// Holds the endpoint.
        chan: Reg,
        /// The label to send.
        label: LabelId,
        /// Holds the payload.
        val: Reg,
    },
    /// Receive `label` over the endpoint in `chan` into `dst`.
    Receive {
        /// Holds the endpoint.
        chan: Reg,
        /// The label that must arrive.
        label: LabelId,
        /// Receives the payload.
        dst: Reg,
    },
    /// Internal choice: send the arm whose label id is in `selector`.
    Offer {
        /// Holds the endpoint.
        chan: Reg,
        /// Holds a label id.
        selector: Reg,
        /// The arms, labels distinct.
        arms: Vec<Arm>,
    },
    /// External choice: receive any label of the table and go to its target.
    Choose {
        /// Holds the endpoint.
        chan: Reg,
        /// Receives the payload.
        dst: Reg,
        /// Labels and their targets, labels distinct.
        table: Vec<(LabelId, Pc)>,
    },
    /// Issue an effect and wait for its outcome.
    Invoke {
        /// The requested operation.
        operation: OperationId,
        /// Registers that hold the arguments.
        args: Vec<Reg>,
        /// Receives the result, or the code of the failure's kind.
        dst: Reg,
        /// The target after a failure; `None`: a failure faults the session.
        on_failure: Option<Pc>,
    },
    /// Request evidence: as `Invoke`, for an operation of class `Check`. A success also issues a
    /// witness.
    Check {
        /// The requested operation.
        operation: OperationId,
        /// Registers that hold the arguments.
        args: Vec<Reg>,
        /// Receives the result, or the code of the failure's kind.
        dst: Reg,
        /// Receives the evidence.
        witness: Reg,
        /// The target after a failure; `None`: a failure faults the session.
        on_failure: Option<Pc>,
    },
    /// Start another coroutine of this session.
    Spawn {
        /// The program that it runs.
        program: ProgramId,
        /// Registers whose values are copied to its registers 0, 1, …
        args: Vec<Reg>,
        /// Receives the new coroutine's number.
        dst: Reg,
    },
    /// `dst := value`.
    Set {
        /// Receives the value.
        dst: Reg,
        /// A constant; never an endpoint or evidence.
        value: Value,
    },
    /// `dst := src`.
    Move {
        /// Receives the value.
        dst: Reg,
        /// Holds the value, which is copied.
        src: Reg,
    },
    /// Go to `target`.
    Jump {
        /// The address of the next instruction.
        target: Pc,
    },
    /// Go to the target of the number in `cond`; truth values count as 0 and 1.
    Branch {
        /// Holds the number.
        cond: Reg,
        /// Numbers and their targets, numbers distinct.
        table: Vec<(u64, Pc)>,
    },
    /// Let the next ready coroutine step.
    Yield,
    /// End the session. Every endpoint must be at its end and every buffer empty.
    Close,
    /// End the coroutine. Its endpoints must be at their ends. The last coroutine to halt closes
    /// the session.
    Halt,
}

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
