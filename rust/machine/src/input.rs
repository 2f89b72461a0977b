//! What goes into a kernel, and what a turn and an input result in.

use std::sync::Arc;

use crate::fault::Fault;
use crate::ids::{CoroutineId, EdgeId, EffectId, Pick, RoleId, SessionId};
use crate::outcome::Outcome;

/// Everything that comes from outside. Nothing else changes a session between steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// Open a session of a loaded image.
    Open {
        /// The image's digest.
        image: [u8; 32],
        /// Who may cancel it: a name of at most 256 bytes.
        owner: Arc<str>,
    },
    /// The outcome of an effect.
    Outcome {
        /// Which effect.
        effect: EffectId,
        /// How it ended.
        outcome: Outcome,
    },
    /// Time has passed. The clock moves in no other way.
    AdvanceClock {
        /// How much, in ticks.
        ticks: u64,
    },
    /// Call a session off.
    Cancel {
        /// Which session.
        session: SessionId,
        /// Who asks; must be the owner.
        owner: Arc<str>,
    },
}

/// What an input came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A session was opened.
    Opened(SessionId),
    /// An outcome was taken.
    Resumed(Resumed),
    /// The clock was advanced.
    Advanced {
        /// How many effects timed out by it.
        expired: u32,
    },
    /// A session was called off.
    Cancelled,
}

/// What a turn of the kernel came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Turn {
    /// A step was taken.
    Stepped {
        /// Who stepped.
        pick: Pick,
        /// What it came to.
        step: Step,
    },
    /// No coroutine is ready.
    Rest(Rest),
}

/// Why no coroutine is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The world owes outcomes.
    Idle,
    /// Every session has ended.
    Done,
    /// Sessions are left that no outcome can help: who waits, for what, and who could serve it.
    Stuck(Vec<Wait>),
}

/// A coroutine that waits for an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who waits.
    pub pick: Pick,
    /// The role it was started for.
    pub role: Option<RoleId>,
    /// For what.
    pub on: On,
    /// The one coroutine of the session that could serve it.
    pub server: Option<CoroutineId>,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// The instruction was done; the coroutine can go on.
    Ran,
    /// The instruction was done; the coroutine gives way.
    Yielded,
    /// Nothing was done: the coroutine waits for an edge.
    Blocked(On),
    /// An effect was issued: its request is to be put to the handler.
    Effect(EffectId),
    /// The coroutine came to its end.
    Halted,
    /// The coroutine faulted, and its session with it.
    Faulted(Fault),
}

/// A step's result, and whom it made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Stepped {
    /// What the step came to.
    pub step: Step,
    /// The coroutine that can go on because of it: one that was blocked, or a new one.
    pub woken: Option<CoroutineId>,
}

/// What taking an outcome came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Resumed {
    /// The coroutine can go on.
    Ready(CoroutineId),
    /// The effect is asked again, under a new number.
    Reissued(EffectId),
    /// The failure had no branch: the session ended by a fault.
    Faulted(Fault),
}

/// What a coroutine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// A message on this edge.
    Empty(EdgeId),
    /// Room on this edge.
    Full(EdgeId),
    /// The outcome of this effect, by its number in the session.
    Effect(u64),
}
