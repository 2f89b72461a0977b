//! The inputs of a kernel, and the results of inputs and steps.

use std::sync::Arc;

use crate::fault::Fault;
use crate::ids::{CoroutineId, EdgeId, EffectId, Pick, RoleId, SessionId};
use crate::outcome::Outcome;

macro_rules! input_columns {
    ($name:ident {$(
        $number:literal $variant:ident ([$($refusal:literal),*], $text:literal) $fields:tt;
    )*}) => {
        impl $name {
            /// The names of the refusals that each input can get, in the order of the inputs'
            /// numbers.
            pub const REFUSALS: &'static [&'static [&'static str]] = &[$(&[$($refusal),*]),*];
        }
    };
}

/// Calls a macro with the rows of the table of inputs. The columns are the refusals that the input
/// can get, and the text.
macro_rules! for_each_input {
    ($callback:ident) => { $callback! {
        /// Open a session of a loaded image.
        0 = Open (
            ["NoSuchImage", "SessionBound", "OwnerTooLong"], "open a session of {image} for {owner}"
        ) {
            /// The image's digest.
            image: [u8; 32],
            /// The owner, who may cancel the session: a name of at most 256 bytes.
            owner: Arc<str>,
        };
        /// The outcome of an effect.
        1 = Outcome (
            ["NoSuchSession", "Late", "NeverIssued"], "{effect} answered: {outcome}"
        ) {
            /// The effect.
            effect: EffectId,
            /// How it ended.
            outcome: Outcome,
        };
        /// Time has passed. Only this input moves the clock.
        2 = AdvanceClock (["ClockOverflow"], "the clock advances by {ticks}") {
            /// How many ticks have passed.
            ticks: u64,
        };
        /// Cancel a session.
        3 = Cancel (
            ["NoSuchSession", "NotOwner", "SessionEnded"], "session {session} cancelled by {owner}"
        ) {
            /// The session.
            session: SessionId,
            /// The requester, which must be the owner.
            owner: Arc<str>,
        };
    } };
}

macro_rules! define_inputs {
    ($($rows:tt)*) => {
        table! {
                /// Everything that comes from outside. Nothing else changes a session between
                /// steps.
                #[derive(Clone, Debug, PartialEq, Eq)]
            pub enum Ingress with input_columns { $($rows)* }
        }
    };
}

for_each_input! { define_inputs }

impl Ingress {
    /// The session that the input concerns; `None` for an input that opens a session, or concerns
    /// all.
    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Ingress::Outcome { effect, .. } => Some(effect.session),
            Ingress::Cancel { session, .. } => Some(*session),
            Ingress::Open { .. } | Ingress::AdvanceClock { .. } => None,
        }
    }
}

/// What an input did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A session was opened.
    Opened(SessionId),
    /// The outcome of an effect was taken in.
    Resumed(Resumed),
    /// The clock was advanced.
    Advanced {
        /// How many effects timed out.
        expired: u32,
    },
    /// A session was cancelled.
    Cancelled,
}

/// The result of one turn of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Turn {
    /// A step was taken.
    Stepped {
        /// The coroutine that stepped.
        pick: Pick,
        /// The step's result.
        step: Step,
    },
    /// No coroutine is ready.
    Rest(Rest),
}

/// Why no coroutine is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Effects are outstanding.
    Idle,
    /// Every session has ended.
    Done,
    /// Sessions are left that no outcome can unblock: their blocked coroutines.
    Stuck(Vec<Wait>),
}

/// A coroutine that is blocked on an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The coroutine that waits.
    pub pick: Pick,
    /// The role that it was started for; `None` for a spawned coroutine.
    pub role: Option<RoleId>,
    /// The edge, and whether it is empty or full.
    pub on: On,
    /// The only coroutine of the session that could unblock it.
    pub server: Option<CoroutineId>,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// The instruction was executed, and the coroutine is still ready.
    Ran,
    /// The instruction was executed, and lets other coroutines step first.
    Yielded,
    /// The instruction was not executed: the coroutine waits for an edge.
    Blocked(On),
    /// An effect was issued; its request must be put to the handler.
    Effect(EffectId),
    /// The coroutine reached its end.
    Halted,
    /// The coroutine faulted, and its session with it.
    Faulted(Fault),
}

/// A step's result, and the coroutine that it made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Stepped {
    /// The result.
    pub step: Step,
    /// The coroutine that the step made ready: one that was blocked, or a new one.
    pub woken: Option<CoroutineId>,
}

/// What an outcome did to the coroutine that waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Resumed {
    /// The coroutine is ready.
    Ready(CoroutineId),
    /// The request was made again, as a new effect.
    Reissued(EffectId),
    /// The instruction has no failure branch: the session ended with a fault.
    Faulted(Fault),
}

/// What a coroutine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// A message on this edge.
    Empty(EdgeId),
    /// Space on this edge.
    Full(EdgeId),
    /// The outcome of this effect, by its number in the session.
    Effect(u64),
}
