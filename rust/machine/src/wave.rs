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

/// Why a certificate was refused. No step has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaveRefusal {
    /// It was made for another step.
    #[error("it was planned for step {got}, and the machine is at step {expected}")]
    Step {
        /// The machine's.
        expected: u64,
        /// The certificate's.
        got: u64,
    },
    /// It was made for another ready queue.
    #[error("its queue differs from the machine's at position {at}")]
    Queue {
        /// The first position at which they differ.
        at: usize,
    },
    /// It has no picks.
    #[error("it has no picks")]
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
    #[error("the pick in row {row} has a quantum of 0")]
    NoQuantum {
        /// The pick's position in the certificate.
        row: usize,
    },
    /// The policy would step another coroutine of that session.
    #[error("the pick in row {row} is not the one that the policy would step next in its session")]
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
    #[error("two picks step session {}", session.0)]
    SessionTwice {
        /// The session.
        session: SessionId,
    },
}

/// How many certificates were refused, by reason: a field for each [`WaveRefusal`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the count of the reason of that name")]
pub struct Fallbacks {
    pub step: u64,
    pub queue: u64,
    pub no_picks: u64,
    pub first_pick: u64,
    pub no_quantum: u64,
    pub not_next: u64,
    pub footprint: u64,
    pub lane_twice: u64,
    pub session_twice: u64,
}

impl Fallbacks {
    /// Counts a refusal under its reason.
    pub fn count(&mut self, refusal: &WaveRefusal) {
        *match refusal {
            WaveRefusal::Step { .. } => &mut self.step,
            WaveRefusal::Queue { .. } => &mut self.queue,
            WaveRefusal::NoPicks => &mut self.no_picks,
            WaveRefusal::FirstPick { .. } => &mut self.first_pick,
            WaveRefusal::NoQuantum { .. } => &mut self.no_quantum,
            WaveRefusal::NotNext { .. } => &mut self.not_next,
            WaveRefusal::Footprint { .. } => &mut self.footprint,
            WaveRefusal::LaneTwice { .. } => &mut self.lane_twice,
            WaveRefusal::SessionTwice { .. } => &mut self.session_twice,
        } += 1;
    }

    /// The name of each reason, in snake case, with its count.
    pub fn by_name(&self) -> [(&'static str, u64); 9] {
        [
            ("step", self.step),
            ("queue", self.queue),
            ("no_picks", self.no_picks),
            ("first_pick", self.first_pick),
            ("no_quantum", self.no_quantum),
            ("not_next", self.not_next),
            ("footprint", self.footprint),
            ("lane_twice", self.lane_twice),
            ("session_twice", self.session_twice),
        ]
    }
}
