//! Certificates of waves: which sessions are to step at the same time, and why they may.
//!
//! The kernel plans them ([`plan`](crate::ProtocolMachineKernel::plan)) and checks them, whoever made them
//! ([`check_wave`](crate::ProtocolMachineKernel::check_wave)); `docs/semantics.md`, section Rounds, says what both mean.

use smallvec::SmallVec;

use crate::ids::{CoroutineId, EdgeId, Pick, RoleId, SessionId};

/// Who is to step in a wave, and the machine it was planned for. A claim: it is checked before it is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaveCertificate {
    /// The machine's step index.
    pub step_index: u64,
    /// The machine's ready queue, in queue order.
    pub queue: Vec<Pick>,
    /// Who steps, in the order in which the steps become part of the machine.
    pub picks: Vec<WavePick>,
}

/// One session's part in a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WavePick {
    /// Who steps first.
    pub pick: Pick,
    /// Where: no two picks of a wave have the same.
    pub lane: u32,
    /// How many steps the session takes at most, at least 1.
    pub quantum: u32,
    /// What the first step may write.
    pub footprint: Footprint,
}

/// What a step may write: at most five parts of a machine.
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

/// Why a certificate does not check. Nothing of it has been run.
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
        /// The first place at which they differ.
        at: usize,
    },
    /// It has no picks.
    #[error("it picks nobody")]
    NoPicks,
    /// The policy would begin with somebody else.
    #[error("its first pick is not the policy's")]
    FirstPick {
        /// The policy's; `None` when nobody is ready.
        expected: Option<Pick>,
        /// The certificate's.
        got: Pick,
    },
    /// A pick may take no step.
    #[error("the pick in row {row} may take no step")]
    NoQuantum {
        /// Which pick.
        row: usize,
    },
    /// The policy would step somebody else of that session.
    #[error("the pick in row {row} is not the next of its session")]
    NotNext {
        /// Which pick.
        row: usize,
        /// Whom the policy would step; `None` when nobody of that session is ready.
        expected: Option<CoroutineId>,
    },
    /// A pick names not what its step may write.
    #[error("the pick in row {row} does not name what its step may write")]
    Footprint {
        /// Which pick.
        row: usize,
    },
    /// Two picks have the same lane.
    #[error("two picks are on lane {lane}")]
    LaneTwice {
        /// Which lane.
        lane: u32,
    },
    /// Two picks are of the same session.
    #[error("two picks are of session {}", session.0)]
    SessionTwice {
        /// Which session.
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

    /// The reason's number: its place in [`NAMES`](Self::NAMES).
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
