//! Outcomes: how an effect ended, and what a handler replies.

use std::sync::Arc;

use crate::ids::LabelId;
use crate::value::Value;

/// A handler's answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The outcome.
    Now(Outcome),
    /// The outcome will arrive as ingress.
    Later,
}

impl Reply {
    /// Drops the reply, inlined for the common ones.
    #[inline]
    pub(crate) fn discard(self) {
        match &self {
            Reply::Now(Outcome::Success(value)) if value.is_plain() => std::mem::forget(self),
            Reply::Now(_) | Reply::Later => drop(self),
        }
    }
}

/// How an effect ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded. The value must have the operation's result sort.
    Success(Value),
    /// It failed.
    Failure(Failure),
}

/// Why an effect failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, on which the protocol can branch.
    pub kind: FailureKind,
    /// A sentence for display, at most [`DETAIL_LEN_MAX`](crate::bounds::DETAIL_LEN_MAX) bytes; may
    /// be empty.
    pub detail: Arc<str>,
}

/// The kinds of failure: a closed list. Recordings and protocols use the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// A policy or a missing permission forbids it.
    Denied = 0,
    /// It exceeded its budget.
    Timeout = 1,
    /// It was cancelled.
    Cancelled = 2,
    /// It cannot be done now; a retry may succeed.
    Unavailable = 3,
    /// The arguments are not valid for the operation.
    InvalidInput = 4,
    /// It relied on an authority that is no longer current.
    StaleAuthority = 5,
    /// The handler violated its contract: a result of the wrong sort, or a frame that the protocol
    /// does not allow.
    ContractViolation = 6,
    /// The handler went away, and whether the effect happened is unknown.
    Lost = 7,
    /// The handler accepts no more requests now.
    Busy = 8,
    /// The handler failed internally.
    Internal = 9,
}

impl Outcome {
    /// Success with a value.
    pub fn success(value: impl Into<Value>) -> Outcome {
        Outcome::Success(value.into())
    }

    /// Success without a value: the answer to a `deliver`.
    pub const fn done() -> Outcome {
        Outcome::Success(Value::Unit)
    }

    /// The answer to a `decide`.
    pub const fn chosen(label: LabelId) -> Outcome {
        Outcome::Success(Value::Nat(label.0 as u64))
    }

    /// A failure. A detail that is too long is cut at a character boundary.
    pub fn failure(kind: FailureKind, detail: &str) -> Outcome {
        let mut end = detail.len().min(crate::bounds::DETAIL_LEN_MAX);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        Outcome::Failure(Failure {
            kind,
            detail: Arc::from(&detail[..end]),
        })
    }
}

impl FailureKind {
    /// Every kind, in the order of their codes.
    pub const ALL: [FailureKind; 10] = [
        FailureKind::Denied,
        FailureKind::Timeout,
        FailureKind::Cancelled,
        FailureKind::Unavailable,
        FailureKind::InvalidInput,
        FailureKind::StaleAuthority,
        FailureKind::ContractViolation,
        FailureKind::Lost,
        FailureKind::Busy,
        FailureKind::Internal,
    ];

    /// The kind's number, as a protocol reads it from a register.
    pub const fn code(self) -> u64 {
        self as u64
    }

    /// The kind's name in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            FailureKind::Denied => "denied",
            FailureKind::Timeout => "timeout",
            FailureKind::Cancelled => "cancelled",
            FailureKind::Unavailable => "unavailable",
            FailureKind::InvalidInput => "invalid_input",
            FailureKind::StaleAuthority => "stale_authority",
            FailureKind::ContractViolation => "contract_violation",
            FailureKind::Lost => "lost",
            FailureKind::Busy => "busy",
            FailureKind::Internal => "internal",
        }
    }
}

impl std::fmt::Display for FailureKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
