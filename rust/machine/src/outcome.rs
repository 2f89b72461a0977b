//! Outcomes: how an effect ended, and what a handler replies.

use std::sync::Arc;

use crate::ids::LabelId;
use crate::value::Value;

/// What a handler says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The outcome is here.
    Now(Outcome),
    /// The outcome will come as ingress.
    Later,
}

impl Reply {
    /// What dropping does, in line for what most replies are.
    #[inline(always)]
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
    /// It was done; the result must be of the operation's result sort.
    Success(Value),
    /// It was not.
    Failure(Failure),
}

/// Why an effect failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind; the protocol can branch on it.
    pub kind: FailureKind,
    /// A sentence for people, at most [`DETAIL_LEN_MAX`](crate::bounds::DETAIL_LEN_MAX) bytes; may be empty.
    pub detail: Arc<str>,
}

/// The kinds of failure: a closed list, numbered as in recordings and as a protocol sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// Policy or permission said no.
    Denied = 0,
    /// It took longer than its budget.
    Timeout = 1,
    /// It was called off.
    Cancelled = 2,
    /// It cannot be done now; trying again may help.
    Unavailable = 3,
    /// The arguments make no sense to the world.
    InvalidInput = 4,
    /// It relied on an authority that is no longer current.
    StaleAuthority = 5,
    /// The other side broke its contract: a result of the wrong sort, a frame the protocol does not allow.
    ContractViolation = 6,
    /// The other side is gone and what became of the effect is unknown.
    Lost = 7,
    /// The other side takes no more requests now.
    Busy = 8,
    /// The other side failed for a reason of its own.
    Internal = 9,
}

impl Outcome {
    /// Success with a value.
    pub fn success(value: impl Into<Value>) -> Outcome {
        Outcome::Success(value.into())
    }

    /// Success with nothing to say: the answer to a `deliver`.
    pub const fn done() -> Outcome {
        Outcome::Success(Value::Unit)
    }

    /// The answer to a `decide`.
    pub const fn chosen(label: LabelId) -> Outcome {
        Outcome::Success(Value::Nat(label.0 as u64))
    }

    /// A failure; a detail that is too long is cut at a character boundary.
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

    /// The kind's number, as a protocol sees it in a register.
    pub const fn code(self) -> u64 {
        self as u64
    }

    /// The kind of that number.
    pub fn of_code(code: u64) -> Option<FailureKind> {
        FailureKind::ALL.get(usize::try_from(code).ok()?).copied()
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
