//! Faults, which end a coroutine and its session, and refusals of inputs.

use crate::ids::{EdgeId, EffectId, LabelId, Pc, Reg, RoleId, SessionId, SortId, StateId};
use crate::outcome::FailureKind;
use crate::value::Form;

// Refusals have no columns, and nothing here is derived from those of faults.
macro_rules! no_columns {
    ($($rows:tt)*) => {};
}

/// Calls a macro with the rows of the table of faults. The column is the text with names in place
/// of numbers, if a name makes a difference.
macro_rules! for_each_fault {
    ($callback:ident) => { $callback! {
        /// An operand names a register that the coroutine does not have.
        #[error("register {register} is out of the {count} registers of this coroutine")]
        0 = OutOfRegisters () {
            /// The operand.
            register: Reg,
            /// How many registers there are.
            count: u8,
        };
        /// Control left the program.
        #[error("instruction {pc} is out of the {len} instructions of this program")]
        1 = PcOutOfBounds () {
            /// The address that control reached.
            pc: Pc,
            /// How many instructions there are.
            len: u32,
        };
        /// An operand names a row that a table of the image does not have.
        #[error("row {index} is not in the image's table of {table}")]
        2 = NoSuchRow () {
            /// The table.
            table: Table,
            /// The row asked for.
            index: u32,
        };
        /// The register does not hold an endpoint.
        #[error("register {register} should hold an endpoint and holds a value of form {got}")]
        3 = NotAnEndpoint () {
            /// The operand.
            register: Reg,
            /// The form of its value.
            got: Form,
        };
        /// The endpoint is held by another coroutine.
        #[error("the endpoint of role {role} is held by coroutine {holder}, not by this one")]
        4 = NotHolder () {
            /// The endpoint's role.
            role: RoleId,
            /// The coroutine that holds it.
            // A plain number, because the pinned schema has the field's type as `u16`.
            holder: u16,
        };
        /// The role's automaton does not admit this kind of action now.
        #[error(
            "role {role} is in state {state}, where it may {got}, \
             and the instruction would {expected}"
        )]
        5 = WrongState (
            "{role} is in state {state}, where it may {got}, \
             and the instruction would {expected}"
        ) {
            /// The role.
            role: RoleId,
            /// Its state.
            state: StateId,
            /// The action of the instruction.
            expected: Action,
            /// The action that the state admits.
            got: Action,
        };
        /// The role's automaton does not admit this label now.
        #[error("role {role} in state {state} does not admit label {got}")]
        6 = WrongLabel ("{role} in state {state} does not admit `{got}`") {
            /// The role.
            role: RoleId,
            /// Its state, whose branches are the labels that were expected.
            state: StateId,
            /// The label sent or received.
            got: LabelId,
        };
        /// A value is not of the sort it must have.
        #[error("a value of sort {expected} was expected, got one of form {got}")]
        7 = WrongSort ("a value of `{expected}` was expected, got one of form {got}") {
            /// The sort it must have.
            expected: SortId,
            /// The form it has.
            got: Form,
        };
        /// A payload or an argument is larger than the configuration allows.
        #[error("a payload of {len} bytes is over the limit of {max}")]
        8 = PayloadTooLarge () {
            /// Bytes of its encoding.
            len: u64,
            /// The limit.
            max: u32,
        };
        /// A message arrived for which the instruction has no branch.
        #[error("message {got} arrived on edge {edge} and the instruction has no branch for it")]
        9 = UnexpectedMessage () {
            /// The edge that it arrived on.
            edge: EdgeId,
            /// Its label.
            got: LabelId,
        };
        /// The selector of an internal choice is not the label of an arm.
        #[error("the selector holds {got}, which is none of the arms")]
        10 = SelectorOutside () {
            /// The number that it holds.
            got: u64,
        };
        /// The condition of a branch is not in its table.
        #[error("the condition holds {got}, which is not in the table")]
        11 = NoSuchBranch () {
            /// The number that it holds.
            got: u64,
        };
        /// A register that must hold a number or truth value does not.
        #[error("a number was expected, got a value of form {got}")]
        12 = NotANumber () {
            /// The form of its value.
            got: Form,
        };
        /// The instruction does not match the class of its operation, or has the wrong number of
        /// arguments.
        #[error("the instruction does not fit the operation it names")]
        13 = WrongOperation ();
        /// The session has as many coroutines as it may have.
        #[error("the session has {max} coroutines, which is the limit")]
        14 = CoroutineBound () {
            /// The limit.
            max: u16,
        };
        /// An effect failed and the program has no branch for it.
        #[error("effect {number} failed: {kind}")]
        15 = EffectFailed () {
            /// The effect's number in the session.
            number: u64,
            /// How it failed.
            kind: FailureKind,
        };
        /// The program ends while one of its roles is not in an end state.
        #[error("role {role} is in state {state}, which is not an end")]
        16 = EndpointOpen ("{role} is in state {state}, which is not an end") {
            /// The role.
            role: RoleId,
            /// Its state.
            state: StateId,
        };
        /// The session closes while messages are buffered.
        #[error("edge {edge} still holds {len} messages")]
        17 = EdgeNotEmpty () {
            /// The edge.
            edge: EdgeId,
            /// How many messages.
            len: u32,
        };
    } };
}

macro_rules! define_faults {
    ($($rows:tt)*) => {
        table! {
                /// Why a coroutine faulted, as data.
                ///
                /// A fault is contained: it ends its session and no other. A session of a verified
                /// image and a safe protocol can fault only with `EffectFailed`, `PayloadTooLarge`
                /// or `CoroutineBound`. The others are the result of a step on an image that was
                /// not verified.
                #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
            pub enum Fault with no_columns { $($rows)* }
        }
    };
}

for_each_fault! { define_faults }

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

/// The kind of action that a state of an automaton admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Action {
    End,
    Send,
    Receive,
}

table! {
    /// Why an input was refused. A refused input changes nothing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    pub enum Refusal with no_columns {
        /// The machine does not have this session.
        #[error("there is no session {session}")]
        0 = NoSuchSession () {
            /// The session named.
            session: SessionId,
        };
        /// The session has ended.
        #[error("session {session} has ended")]
        1 = SessionEnded () {
            /// The session named.
            session: SessionId,
        };
        /// The effect is not outstanding: it was answered, has timed out, or its session has ended.
        #[error("effect {effect} is not outstanding: the outcome is late")]
        2 = Late () {
            /// The effect named.
            effect: EffectId,
        };
        /// The effect was never issued.
        #[error("effect {effect} was never issued")]
        3 = NeverIssued () {
            /// The effect named.
            effect: EffectId,
        };
        /// The requester does not own the session.
        #[error("session {session} has another owner")]
        4 = NotOwner () {
            /// The session named.
            session: SessionId,
        };
        /// The image has not been loaded into this machine.
        #[error("the image to open a session of is not loaded")]
        5 = NoSuchImage ();
        /// The machine has as many sessions as it may have.
        #[error("the machine has {max} sessions, which is the limit")]
        6 = SessionBound () {
            /// The limit.
            max: u32,
        };
        /// The owner's name is too long.
        #[error("the owner's name has {len} bytes, the limit is {max}")]
        7 = OwnerTooLong () {
            /// Bytes of the name.
            len: u64,
            /// The limit.
            max: u32,
        };
        /// The clock would exceed its last tick.
        #[error("the clock cannot advance by {ticks} ticks")]
        8 = ClockOverflow () {
            /// The ticks asked for.
            ticks: u64,
        };
    }
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
