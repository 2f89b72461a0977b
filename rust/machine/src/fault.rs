//! What ends a coroutine, and with it its session; and what an input is refused for.

use crate::ids::{EdgeId, EffectId, LabelId, Pc, Reg, RoleId, SessionId, SortId, StateId};
use crate::outcome::FailureKind;
use crate::value::Form;

/// Why a coroutine faulted: facts, never a sentence in place of one.
///
/// A fault is contained: it ends its session and no other. A session of a verified image and a safe protocol can only
/// see `EffectFailed`, `PayloadTooLarge` and `CoroutineBound`; the others are what a step says to an image that lied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An operand names a register that the coroutine does not have.
    #[error("register {register} is out of the {count} registers of this coroutine")]
    OutOfRegisters {
        /// The operand.
        register: Reg,
        /// How many registers there are.
        count: u8,
    },
    /// Control left the program.
    #[error("instruction {pc} is out of the {len} instructions of this program")]
    PcOutOfBounds {
        /// Where control went.
        pc: Pc,
        /// How many instructions there are.
        len: u32,
    },
    /// An operand names a row that a table of the image does not have.
    #[error("row {index} is not in the image's table of {table}")]
    NoSuchRow {
        /// Which table.
        table: Table,
        /// The row asked for.
        index: u32,
    },
    /// The register does not hold an endpoint.
    #[error("register {register} should hold an endpoint and holds a value of form {got}")]
    NotAnEndpoint {
        /// The operand.
        register: Reg,
        /// What it holds.
        got: Form,
    },
    /// The endpoint is held by another coroutine.
    #[error("the endpoint of role {role} is held by coroutine {holder}, not by this one")]
    NotHolder {
        /// The endpoint's role.
        role: RoleId,
        /// Who holds it.
        holder: u16,
    },
    /// The role's automaton does not admit this kind of action now.
    #[error(
        "role {role} is in state {state}, where it may {got}, and the instruction would {expected}"
    )]
    WrongState {
        /// The role.
        role: RoleId,
        /// Its state.
        state: StateId,
        /// What the instruction does.
        expected: Action,
        /// What the state admits.
        got: Action,
    },
    /// The role's automaton does not admit this label now.
    #[error("role {role} in state {state} does not admit label {got}")]
    WrongLabel {
        /// The role.
        role: RoleId,
        /// Its state; its branches are what was expected.
        state: StateId,
        /// The label sent or received.
        got: LabelId,
    },
    /// A value is not of the sort it must have.
    #[error("a value of sort {expected} was expected, got one of form {got}")]
    WrongSort {
        /// The sort it must have.
        expected: SortId,
        /// The form it has.
        got: Form,
    },
    /// A payload or an argument is larger than the configuration allows.
    #[error("a payload of {len} bytes is over the limit of {max}")]
    PayloadTooLarge {
        /// Bytes of its encoding.
        len: u64,
        /// The limit.
        max: u32,
    },
    /// A message arrived that the instruction has no place for.
    #[error("message {got} arrived on edge {edge} and the instruction has no branch for it")]
    UnexpectedMessage {
        /// Where it arrived.
        edge: EdgeId,
        /// Its label.
        got: LabelId,
    },
    /// The selector of an internal choice holds none of the arms' labels.
    #[error("the selector holds {got}, which is none of the arms")]
    SelectorOutside {
        /// What it holds, if it is a number at all.
        got: u64,
    },
    /// The condition of a branch holds none of the table's numbers.
    #[error("the condition holds {got}, which is not in the table")]
    NoSuchBranch {
        /// What it holds.
        got: u64,
    },
    /// A register that must hold a number or truth value does not.
    #[error("a number was expected, got a value of form {got}")]
    NotANumber {
        /// The form of what it holds.
        got: Form,
    },
    /// An operation was asked for with the wrong number of arguments, or by the wrong instruction.
    #[error("the instruction does not fit the operation it names")]
    WrongOperation,
    /// A coroutine would be one too many.
    #[error("the session has {max} coroutines, which is the limit")]
    CoroutineBound {
        /// The limit.
        max: u16,
    },
    /// An effect failed and the program has no branch for it.
    #[error("effect {number} failed: {kind}")]
    EffectFailed {
        /// The effect's number in the session.
        number: u64,
        /// How it failed.
        kind: FailureKind,
    },
    /// The program ends while a role is not at its end.
    #[error("role {role} is in state {state}, which is not an end")]
    EndpointOpen {
        /// The role.
        role: RoleId,
        /// Its state.
        state: StateId,
    },
    /// The session closes while messages are buffered.
    #[error("edge {edge} still holds {len} messages")]
    EdgeNotEmpty {
        /// The edge.
        edge: EdgeId,
        /// How many messages.
        len: u32,
    },
}

/// A table of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the table of that name")]
pub enum Table {
    Programs,
    Operations,
    Roles,
    States,
    Edges,
}

/// What a role may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Action {
    End,
    Send,
    Receive,
}

/// Why an input was refused. A refused input changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The machine does not have this session.
    #[error("there is no session {session}")]
    NoSuchSession {
        /// The session named.
        session: SessionId,
    },
    /// The session has ended.
    #[error("session {session} has ended")]
    SessionEnded {
        /// The session named.
        session: SessionId,
    },
    /// The effect is not outstanding: it was answered, has timed out, or its session has ended.
    #[error("effect {effect} is not outstanding: the outcome is late")]
    Late {
        /// The effect named.
        effect: EffectId,
    },
    /// The effect was never issued.
    #[error("effect {effect} was never issued")]
    NeverIssued {
        /// The effect named.
        effect: EffectId,
    },
    /// The one who asks does not own the session.
    #[error("session {session} has another owner")]
    NotOwner {
        /// The session named.
        session: SessionId,
    },
    /// The image has not been loaded into this machine.
    #[error("the image to open a session of is not loaded")]
    NoSuchImage,
    /// A session would be one too many.
    #[error("the machine has {max} sessions, which is the limit")]
    SessionBound {
        /// The limit.
        max: u32,
    },
    /// The owner's name is too long.
    #[error("the owner's name has {len} bytes, the limit is {max}")]
    OwnerTooLong {
        /// Bytes of the name.
        len: u64,
        /// The limit.
        max: u32,
    },
    /// The clock would pass its end.
    #[error("the clock cannot advance by {ticks} ticks")]
    ClockOverflow {
        /// The ticks asked for.
        ticks: u64,
    },
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Table::Programs => "programs",
            Table::Operations => "operations",
            Table::Roles => "roles",
            Table::States => "states",
            Table::Edges => "edges",
        })
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Action::End => "do nothing more",
            Action::Send => "send",
            Action::Receive => "receive",
        })
    }
}
