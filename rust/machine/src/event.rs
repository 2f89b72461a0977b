//! What an observer sees. Observation never changes a run.

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
    /// When and where.
    pub stamp: Stamp,
    /// What.
    pub event: Event,
}

/// What happened. The order within a session is fixed: see the crate's semantics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session began.
    Opened {
        /// The digest of its image.
        image: [u8; 32],
        /// Its owner.
        owner: Arc<str>,
    },
    /// A message was accepted into the buffer of its edge.
    Sent(Message),
    /// As `Sent`, by an internal choice.
    Offered(Message),
    /// A message was taken from the buffer of its edge.
    Received(Message),
    /// As `Received`, by an external choice.
    Chose(Message),
    /// An effect was issued.
    EffectIssued {
        /// Its number in the session.
        number: u64,
        /// Who asks.
        coroutine: CoroutineId,
        /// What is asked.
        operation: OperationId,
        /// How often it was asked before.
        attempt: u8,
        /// When it times out.
        deadline: Option<u64>,
    },
    /// An effect succeeded.
    EffectResolved {
        /// Its number.
        number: u64,
        /// Its result.
        result: Value,
    },
    /// An effect failed.
    EffectFailed {
        /// Its number.
        number: u64,
        /// How.
        failure: Failure,
    },
    /// An effect was outstanding when its session ended; its outcome will be refused.
    EffectInvalidated {
        /// Its number.
        number: u64,
    },
    /// A witness was issued.
    WitnessIssued {
        /// Its number in the session.
        witness: u64,
        /// The effect it is evidence of.
        number: u64,
    },
    /// A witness is no longer good.
    WitnessExpired {
        /// Its number.
        witness: u64,
    },
    /// An effect's budget has run out; `EffectFailed` with `timeout` follows.
    TimeoutIssued {
        /// The effect's number.
        number: u64,
        /// The witness of the timeout.
        witness: u64,
    },
    /// A cancellation began.
    CancellationRequested {
        /// Its witness.
        witness: u64,
    },
    /// A cancellation is complete.
    Cancelled {
        /// The same witness, consumed.
        witness: u64,
    },
    /// A failure became visible: a program took its failure branch, or a fault follows.
    FailureBranchEntered {
        /// Whose failure.
        coroutine: CoroutineId,
        /// What failed.
        cause: Fault,
    },
    /// A coroutine was started.
    Spawned {
        /// Its number.
        coroutine: CoroutineId,
        /// What it runs.
        program: ProgramId,
    },
    /// A coroutine came to its end.
    Halted {
        /// Which.
        coroutine: CoroutineId,
    },
    /// A coroutine faulted.
    Faulted {
        /// Which.
        coroutine: CoroutineId,
        /// Why.
        fault: Fault,
    },
    /// The protocol came to its end.
    Closed,
    /// The session ended; nothing of it changes any more but its epoch.
    SessionTerminal {
        /// How.
        end: End,
    },
    /// The session's epoch advanced: handles from before are stale.
    EpochAdvanced {
        /// The new epoch.
        epoch: u64,
    },
}

/// A message, as it passes into or out of a buffer.
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
