//! Certificates of waves: which sessions step at the same time, and why they may.
//!
//! The kernel plans a certificate ([`plan`](crate::ProtocolMachineKernel::plan)) and checks any
//! certificate, wherever it was planned ([`check_wave`](crate::ProtocolMachineKernel::check_wave)).
//! Both are defined in `docs/semantics.md`, section Rounds.

use smallvec::SmallVec;

use crate::ids::{CoroutineId, EdgeId, Pick, RoleId, SessionId};

/// The coroutines that step in a wave, and the state of the machine it was planned for. It is a
/// claim, which is checked before the wave is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaveCertificate {
    /// The machine's step index.
    pub step_index: u64,
    /// The machine's ready queue, in queue order.
    pub queue: Vec<Pick>,
    /// The coroutines that step, in the order in which their steps are committed.
    pub picks: Vec<WavePick>,
}

/// One session's part in a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WavePick {
    /// The coroutine that steps first.
    pub pick: Pick,
    /// The lane that runs it. All picks of a wave have different lanes.
    pub lane: u32,
    /// The most steps that the session takes, at least 1.
    pub quantum: u32,
    /// What the first step may write.
    pub footprint: Footprint,
}

/// The parts of a machine that a step may write: at most five.
pub type Footprint = SmallVec<[Key; 5]>;

/// A part of a machine that a step may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The counters of a session, its effects and its witnesses.
    Ledger {
        /// The session.
        session: SessionId,
    },
    /// A coroutine.
    Coroutine {
        /// Its session.
        session: SessionId,
        /// Its number.
        coroutine: CoroutineId,
    },
    /// An endpoint.
    Endpoint {
        /// Its session.
        session: SessionId,
        /// Its role.
        role: RoleId,
    },
    /// The buffer of an edge.
    Edge {
        /// Its session.
        session: SessionId,
        /// Its number.
        edge: EdgeId,
    },
}

/// Why a certificate was refused. No part of it has been run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaveRefusal {
    /// It was made for another step.
    #[error("it is of step {got}, and the machine is at step {expected}")]
    Step {
        /// The machine's.
        expected: u64,
        /// The certificate's.
        got: u64,
    },
    /// It was made for another ready queue.
    #[error("its queue is not the machine's: they differ at place {at}")]
    Queue {
        /// The first position at which they differ.
        at: usize,
    },
    /// It has no picks.
    #[error("it picks nobody")]
    NoPicks,
    /// The policy would pick another coroutine first.
    #[error("its first pick is not the policy's")]
    FirstPick {
        /// The policy's pick; `None` when no coroutine is ready.
        expected: Option<Pick>,
        /// The certificate's pick.
        got: Pick,
    },
    /// A pick has a quantum of 0.
    #[error("the pick in row {row} may take no step")]
    NoQuantum {
        /// The pick's position in the certificate.
        row: usize,
    },
    /// The policy would step another coroutine of that session.
    #[error("the pick in row {row} is not the next of its session")]
    NotNext {
        /// The pick's position in the certificate.
        row: usize,
        /// The policy's coroutine; `None` when no coroutine of that session is ready.
        expected: Option<CoroutineId>,
    },
    /// A pick does not name what its step may write.
    #[error("the pick in row {row} does not name what its step may write")]
    Footprint {
        /// The pick's position in the certificate.
        row: usize,
    },
    /// Two picks have the same lane.
    #[error("two picks are on lane {lane}")]
    LaneTwice {
        /// The lane.
        lane: u32,
    },
    /// Two picks are of the same session.
    #[error("two picks are of session {}", session.0)]
    SessionTwice {
        /// The session.
        session: SessionId,
    },
}

impl WaveRefusal {
    /// The names of all reasons, in the order of their numbers.
    pub const NAMES: [&'static str; 9] = [
        "step",
        "queue",
        "no_picks",
        "first_pick",
        "no_quantum",
        "not_next",
        "footprint",
        "lane_twice",
        "session_twice",
    ];

    /// The reason's number: its position in [`NAMES`](Self::NAMES).
    pub const fn number(&self) -> usize {
        match self {
            WaveRefusal::Step { .. } => 0,
            WaveRefusal::Queue { .. } => 1,
            WaveRefusal::NoPicks => 2,
            WaveRefusal::FirstPick { .. } => 3,
            WaveRefusal::NoQuantum { .. } => 4,
            WaveRefusal::NotNext { .. } => 5,
            WaveRefusal::Footprint { .. } => 6,
            WaveRefusal::LaneTwice { .. } => 7,
            WaveRefusal::SessionTwice { .. } => 8,
        }
    }
}
