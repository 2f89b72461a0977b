//! Effects: what the machine asks of the world, and what the world answers.
//!
//! An `Invoke` or `Check` yields a request and its coroutine waits. The driver asks the [`EffectHandler`]; the outcome
//! comes back at once ([`Reply::Now`]) or later, as [`Ingress::Outcome`](crate::Ingress::Outcome). Both take the same
//! way into the machine. A handler returns data and holds no reference to machine state.

use std::sync::Arc;

use crate::ids::{EffectId, LabelId, OperationId, Reg, RoleId, SessionId, SortId};
use crate::image::{Class, Operation, Sort};
use crate::mutant::{self, active};
use crate::session::{Coroutine, Effect};
use crate::value::Value;
use crate::verify::VerifiedImage;

/// Whoever performs effects: application code, a guest, a script, a recording.
pub trait EffectHandler {
    /// Performs or begins the requested effect.
    ///
    /// Called exactly once per effect (a retry is a new effect). With [`Reply::Later`] the outcome must come in as
    /// ingress, or the effect's budget ends it. A handler that panics has not answered.
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply;
}

impl<H: EffectHandler + ?Sized> EffectHandler for &mut H {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        (**self).handle(request)
    }
}

impl<H: EffectHandler + ?Sized> EffectHandler for Box<H> {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        (**self).handle(request)
    }
}

/// A closure as a handler.
#[derive(Clone, Copy, Debug)]
pub struct FromFn<F>(pub F);

impl<F: FnMut(&EffectRequest<'_>) -> Reply> EffectHandler for FromFn<F> {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        (self.0)(request)
    }
}

/// A closure that many may call at the same time.
impl<F: Fn(&EffectRequest<'_>) -> Reply> EffectHandler for &FromFn<F> {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        (self.0)(request)
    }
}

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

/// A request: borrowed from the image and from the asking coroutine's registers, valid during the call.
#[derive(Clone, Copy, Debug)]
pub struct EffectRequest<'a> {
    pub(crate) effect: EffectId,
    pub(crate) role: Option<RoleId>,
    pub(crate) operation: OperationId,
    pub(crate) deadline: Option<u64>,
    pub(crate) attempt: u8,
    pub(crate) image: &'a VerifiedImage,
    pub(crate) registers: &'a [Value],
    pub(crate) operands: &'a [Reg],
}

impl<'a> EffectRequest<'a> {
    /// What the coroutine of a session asks by an effect.
    #[inline(always)]
    pub(crate) fn of(
        session: SessionId,
        effect: &Effect,
        coroutine: &'a Coroutine,
        image: &'a VerifiedImage,
        operands: &'a [Reg],
    ) -> EffectRequest<'a> {
        let deadline = effect.deadline;
        EffectRequest {
            effect: EffectId {
                session,
                number: effect.number,
            },
            role: coroutine.role,
            operation: effect.operation,
            deadline: deadline.filter(|_| !active(mutant::REQUEST_WITHOUT_DEADLINE)),
            attempt: effect.attempt,
            image,
            registers: &coroutine.registers,
            operands,
        }
    }

    /// The effect to answer; names the session too.
    pub fn effect(&self) -> EffectId {
        self.effect
    }

    /// The role whose coroutine asks; `None` for a spawned coroutine.
    pub fn role(&self) -> Option<RoleId> {
        self.role
    }

    /// The asking role's name, empty for a spawned coroutine.
    pub fn role_name(&self) -> &'a str {
        self.role.map_or("", |role| self.image.role_name(role))
    }

    /// The number of the operation asked for.
    pub fn operation_id(&self) -> OperationId {
        self.operation
    }

    /// The operation asked for.
    pub fn operation(&self) -> &'a Operation {
        &self.image.image().operations[self.operation.index()]
    }

    /// The name of the operation's interface.
    pub fn interface_name(&self) -> &'a str {
        let interface = usize::from(self.operation().interface);
        &self.image.image().interfaces[interface].name
    }

    /// The class of the operation, with its label for `produce`, `decide` and `deliver`.
    pub fn class(&self) -> &'a Class {
        &self.operation().class
    }

    /// The image the request comes from: names and sorts.
    pub fn image(&self) -> &'a VerifiedImage {
        self.image
    }

    /// The sort that a successful result must have.
    pub fn result_sort(&self) -> SortId {
        self.operation().result
    }

    /// The sort that a successful result must have, as data.
    pub fn result(&self) -> &'a Sort {
        &self.image.image().sorts[self.result_sort().index()]
    }

    /// The clock reading, in ticks, at which the machine will end the effect with `timeout`.
    pub fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// How often this request was made before, after a failure `unavailable`.
    pub fn attempt(&self) -> u8 {
        self.attempt
    }

    /// How many arguments there are.
    pub fn args_len(&self) -> usize {
        self.operands.len()
    }

    /// An argument.
    pub fn arg(&self, index: usize) -> Option<&'a Value> {
        self.registers.get(self.operands.get(index)?.index())
    }

    /// The arguments in order.
    pub fn args(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let registers = self.registers;
        self.operands.iter().map(move |reg| &registers[reg.index()])
    }

    /// The answer of a `decide`: the label of that name, if it is among those to choose from.
    pub fn choose(&self, name: &str) -> Option<Outcome> {
        let Class::Decide { labels, .. } = self.class() else {
            return None;
        };
        let label = labels.iter().find(|l| self.image.label_name(**l) == name)?;
        Some(Outcome::chosen(*label))
    }
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
