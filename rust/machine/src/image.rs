//! What a protocol compiles to: tables of names and, per role, a program and a local automaton.
//!
//! A [`CodeImage`] is data from anywhere: its fields are public and nothing about it is trusted. Only
//! [`CodeImage::verify`] makes a [`VerifiedImage`](crate::VerifiedImage), and only that can be loaded.

use crate::ids::{LabelId, OperationId, Pc, ProgramId, Reg, RoleId, SortId, StateId};
// A constant of an instruction is a value, and a value is of a sort of the image: the two files name
// each other.
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
    /// The sorts. A sort refers only to sorts before it, so every sort is finite.
    pub sorts: Vec<Sort>,
    /// The effect interfaces.
    pub interfaces: Vec<Interface>,
    /// The operations of all interfaces.
    pub operations: Vec<Operation>,
    /// The programs: first one per role in role order, then those that only `Spawn` starts.
    pub programs: Vec<Program>,
}

/// A role: its name and what it may say and hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The role's name.
    pub name: String,
    /// The role's local type as a numbered automaton. Its first state is the initial one.
    pub automaton: Automaton,
}

/// A role's local session type. Recursion is an edge back, never unfolding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Automaton {
    /// The states; state 0 is where a session starts.
    pub states: Vec<State>,
}

/// A state of a local automaton.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The role has nothing more to say or hear.
    End,
    /// The role sends one of the branches' labels to `to`; with several branches the choice is its own.
    Send {
        /// The receiver.
        to: RoleId,
        /// What may be sent, labels distinct, at least one.
        branches: Vec<Transition>,
    },
    /// The role receives one of the branches' labels from `from`.
    Recv {
        /// The sender.
        from: RoleId,
        /// What may arrive, labels distinct, at least one.
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
    /// The state after it.
    pub next: StateId,
}

/// The type of a payload, an argument or a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Nothing but its presence.
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
        /// The record's name, for people; empty for the tuple of an unnamed payload list.
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
    /// A type of another language: bytes that the machine does not look into.
    Foreign {
        /// The name the protocol gives it.
        name: String,
    },
    /// A choice among labels: a `Nat` that is one of these label ids. The result sort of `host.decide`.
    Arm(Vec<LabelId>),
}

/// A named set of operations that a role may ask of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface's name; `host` is the implicit one that the compiler speaks to.
    pub name: String,
    /// Its version.
    pub version: u32,
}

/// An operation that `Invoke` or `Check` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The interface it belongs to: a row of `CodeImage::interfaces`.
    pub interface: u16,
    /// Its name within the interface.
    pub name: String,
    /// What kind of request it is.
    pub class: Class,
    /// The sorts of its arguments, in order.
    pub args: Vec<SortId>,
    /// The sort of its result.
    pub result: SortId,
    /// How many ticks the world may take before the effect fails with `timeout`; `None`: no limit of its own.
    pub budget: Option<u64>,
    /// How often the machine asks again, by itself, after a failure `unavailable`.
    pub retries: u8,
}

/// The authority class of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// The host of a role is asked for the payload of a message it is about to send.
    Produce {
        /// The message's label.
        label: LabelId,
        /// To whom it will go.
        peer: RoleId,
    },
    /// The host of a role is asked which of these labels to send.
    Decide {
        /// The labels, in the order of the automaton's branches.
        labels: Vec<LabelId>,
        /// To whom the message will go.
        peer: RoleId,
    },
    /// The host of a role is told a message that the role has received.
    Deliver {
        /// The message's label.
        label: LabelId,
        /// From whom it came.
        peer: RoleId,
    },
    /// A command: it may change the world.
    Command,
    /// An observation: it reads the world and promises nothing.
    Observe,
    /// An authoritative read: its success is evidence, kept as a witness.
    Check,
}

/// Instructions and how many registers they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// A name for people.
    pub name: String,
    /// How many registers a coroutine of this program has, at most
    /// [`REGISTERS_MAX`](crate::bounds::REGISTERS_MAX). In a role's program register 0 starts as the role's endpoint,
    /// every other register as unit.
    pub registers: u8,
    /// The instructions. Execution starts at 0.
    pub code: Vec<Instruction>,
}

/// An instruction. Its meaning is given by [`step`](crate::step::step) alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Send `label` with the payload in `val` over the endpoint in `chan`.
    Send {
        /// Holds the endpoint.
        chan: Reg,
        /// What is sent.
        label: LabelId,
        /// Holds the payload.
        val: Reg,
    },
    /// Receive `label` over the endpoint in `chan` into `dst`.
    Receive {
        /// Holds the endpoint.
        chan: Reg,
        /// What must arrive.
        label: LabelId,
        /// Takes the payload.
        dst: Reg,
    },
    /// Internal choice: send the arm whose label id stands in `selector`.
    Offer {
        /// Holds the endpoint.
        chan: Reg,
        /// Holds a label id.
        selector: Reg,
        /// The arms, labels distinct.
        arms: Vec<Arm>,
    },
    /// External choice: receive any label of the table, go where it says.
    Choose {
        /// Holds the endpoint.
        chan: Reg,
        /// Takes the payload.
        dst: Reg,
        /// Label and where to go on, labels distinct.
        table: Vec<(LabelId, Pc)>,
    },
    /// Ask the world: issue an effect and wait for its outcome.
    Invoke {
        /// The operation asked for.
        operation: OperationId,
        /// Registers that hold the arguments.
        args: Vec<Reg>,
        /// Takes the result, or the failure kind's code.
        dst: Reg,
        /// Where a failure goes; `None`: a failure faults the session.
        on_failure: Option<Pc>,
    },
    /// Ask the world for evidence: as `Invoke`, of an operation of class `Check`; success also issues a witness.
    Check {
        /// The operation asked for.
        operation: OperationId,
        /// Registers that hold the arguments.
        args: Vec<Reg>,
        /// Takes the result, or the failure kind's code.
        dst: Reg,
        /// Takes the evidence.
        witness: Reg,
        /// Where a failure goes; `None`: a failure faults the session.
        on_failure: Option<Pc>,
    },
    /// Start another coroutine of this session.
    Spawn {
        /// What it runs.
        program: ProgramId,
        /// Registers whose values become its registers 0, 1, …
        args: Vec<Reg>,
        /// Takes the new coroutine's number.
        dst: Reg,
    },
    /// `dst := value`.
    Set {
        /// Takes the value.
        dst: Reg,
        /// A constant; never an endpoint or evidence.
        value: Value,
    },
    /// `dst := src`.
    Move {
        /// Takes the value.
        dst: Reg,
        /// Holds it, and keeps it.
        src: Reg,
    },
    /// Go to `target`.
    Jump {
        /// Where to.
        target: Pc,
    },
    /// Go where the table says for the number (or truth value: 0, 1) in `cond`.
    Branch {
        /// Holds the number.
        cond: Reg,
        /// Number and where to go on, numbers distinct.
        table: Vec<(u64, Pc)>,
    },
    /// Give way to the next ready coroutine.
    Yield,
    /// End the session: every endpoint at its end, every buffer empty.
    Close,
    /// End the coroutine: its endpoints at their end. The last one closes the session.
    Halt,
}

/// One arm of an [`Instruction::Offer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The label this arm sends.
    pub label: LabelId,
    /// Holds the payload.
    pub val: Reg,
    /// Where to go on.
    pub target: Pc,
}
