//! What a sink observes. Observation never changes a run.

use std::sync::Arc;

use crate::fault::Fault;
use crate::ids::{CoroutineId, EdgeId, LabelId, OperationId, ProgramId, SessionId};
use crate::outcome::Failure;
use crate::value::Value;

/// When and where an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The session.
    pub session: SessionId,
    /// The event's number within the session, from 0, without gaps.
    pub index: u64,
    /// The machine's step index: how many steps were taken before.
    pub step: u64,
    /// The logical clock, in ticks.
    pub clock: u64,
}

/// An event with its stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObsEvent {
    /// When and where it happened.
    pub stamp: Stamp,
    /// What happened.
    pub event: Event,
}

macro_rules! event_columns {
    ($name:ident {$(
        $number:literal $variant:ident ($kind:literal, $is_trouble:literal, $text:literal)
        $({ $($fields:tt)* })? $(($item:ident: $item_of:ty))?;
    )*}) => {
        impl $name {
            /// The name in snake case, as in `docs/semantics.md`.
            pub const fn name(&self) -> &'static str {
                match self {$($name::$variant { .. } => $kind,)*}
            }
        }
    };
}

/// Calls a macro with the rows of the table of events, so that other tables can have a row for each
/// event. The columns are the event's name in snake case, whether it reports a failure or a
/// cancellation, and its text.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_event {
    ($callback:ident) => { $callback! {
            /// The session began.
            0 = Opened ("opened", false, "opened for {owner}") {
                /// The digest of its image.
                image: [u8; 32],
                /// Its owner.
                owner: Arc<str>,
            };
            /// A message was accepted into the buffer of its edge.
            1 = Sent ("sent", false, "sent {message}") = message: Message;
            /// As `Sent`, by an internal choice (`Offer`).
            2 = Offered ("offered", false, "offered {message}") = message: Message;
            /// A message was taken from the buffer of its edge.
            3 = Received ("received", false, "received {message}") = message: Message;
            /// As `Received`, by an external choice (`Choose`).
            4 = Chose ("chose", false, "chose {message}") = message: Message;
            /// An effect was issued.
            5 = EffectIssued (
                "effect_issued", false, "effect {number} of coroutine {coroutine}: {operation}"
            ) {
                /// Its number in the session.
                number: u64,
                /// The coroutine that asks.
                coroutine: CoroutineId,
                /// The requested operation.
                operation: OperationId,
                /// How many attempts came before this one.
                attempt: u8,
                /// The clock reading, in ticks, at which it times out; `None`: never.
                deadline: Option<u64>,
            };
            /// An effect succeeded.
            6 = EffectResolved ("effect_resolved", false, "effect {number} resolved: {result}") {
                /// Its number.
                number: u64,
                /// Its result.
                result: Value,
            };
            /// An effect failed.
            7 = EffectFailed ("effect_failed", true, "effect {number} {failure}") {
                /// Its number.
                number: u64,
                /// How it failed.
                failure: Failure,
            };
            /// An effect was outstanding when its session ended; its outcome will be refused.
            8 = EffectInvalidated ("effect_invalidated", true, "effect {number} invalidated") {
                /// Its number.
                number: u64,
            };
            /// A witness was issued.
            9 = WitnessIssued (
                "witness_issued", false, "witness {witness} issued for effect {number}"
            ) {
                /// Its number in the session.
                witness: u64,
                /// The effect it is evidence of.
                number: u64,
            };
            /// A witness expired, or was dropped by the bound on witnesses or by its session's end.
            10 = WitnessExpired ("witness_expired", false, "witness {witness} expired") {
                /// Its number.
                witness: u64,
            };
            /// An effect's budget has run out; `EffectFailed` with `timeout` follows.
            11 = TimeoutIssued (
                "timeout_issued", true, "effect {number} timed out, witness {witness}"
            ) {
                /// The effect's number.
                number: u64,
                /// The witness of the timeout.
                witness: u64,
            };
            /// A cancellation began.
            12 = CancellationRequested (
                "cancellation_requested", true, "cancellation requested, witness {witness}"
            ) {
                /// Its witness.
                witness: u64,
            };
            /// A cancellation is complete.
            13 = Cancelled ("cancelled", true, "cancelled, witness {witness}") {
                /// The same witness, consumed.
                witness: u64,
            };
            /// A failure became visible: a program took its failure branch, or a fault follows.
            14 = FailureBranchEntered (
                "failure_branch_entered", true, "coroutine {coroutine} failed: {cause}"
            ) {
                /// The coroutine that failed.
                coroutine: CoroutineId,
                /// What failed.
                cause: Fault,
            };
            /// A coroutine was started.
            15 = Spawned ("spawned", false, "coroutine {coroutine} started with {program}") {
                /// Its number.
                coroutine: CoroutineId,
                /// Its program.
                program: ProgramId,
            };
            /// A coroutine reached its end.
            16 = Halted ("halted", false, "coroutine {coroutine} halted") {
                /// The coroutine.
                coroutine: CoroutineId,
            };
            /// A coroutine faulted.
            17 = Faulted ("faulted", true, "coroutine {coroutine} faulted: {fault}") {
                /// The coroutine.
                coroutine: CoroutineId,
                /// Its fault.
                fault: Fault,
            };
            /// The protocol reached its end.
            18 = Closed ("closed", false, "closed");
            /// The session ended. It never changes again, but for its epoch in the event that
            /// follows.
            19 = SessionTerminal ("session_terminal", false, "session ended: {end}") {
                /// How it ended.
                end: End,
            };
            /// The session's epoch advanced: earlier handles are stale.
            20 = EpochAdvanced ("epoch_advanced", false, "epoch {epoch}") {
                /// The new epoch.
                epoch: u64,
            };
    } };
}

macro_rules! define_events {
    ($($rows:tt)*) => {
        table! {
            /// What happened. `docs/semantics.md` fixes the order within a session.
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub enum Event with event_columns { $($rows)* }
        }
    };
}

for_each_event! { define_events }

/// A message that enters or leaves a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its edge: sender and receiver.
    pub edge: EdgeId,
    /// Its label.
    pub label: LabelId,
    /// Its number on the edge, from 0.
    pub sequence: u64,
    /// Its payload.
    pub payload: Value,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// By its protocol.
    Closed = 0,
    /// By `Cancel`.
    Cancelled = 1,
    /// By a fault.
    Faulted = 2,
}

impl End {
    /// The end's name in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            End::Closed => "closed",
            End::Cancelled => "cancelled",
            End::Faulted => "faulted",
        }
    }
}
