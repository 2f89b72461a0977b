//! Effects: requests of the machine to the outside world, and their outcomes.
//!
//! An `Invoke` or `Check` issues a request, and its coroutine blocks. The driver asks the
//! [`EffectHandler`]. The outcome arrives at once ([`Reply::Now`]) or later, as
//! [`Ingress::Outcome`](crate::Ingress::Outcome); the machine treats both alike. A handler returns
//! data and holds no reference to the machine's state.

use crate::ids::{EffectId, OperationId, Pc, Reg, RoleId, SessionId, SortId};
use crate::image::{Class, Instruction, Operation, Sort};
use crate::outcome::{Outcome, Reply};
use crate::session::{Coroutine, Effect, Session};
use crate::value::Value;
use crate::verify::VerifiedImage;

/// The code that performs effects: an application, a guest, a script, or a recording.
pub trait EffectHandler {
    /// Performs the requested effect, or begins it.
    ///
    /// Called exactly once per effect; a retry is a new effect. After [`Reply::Later`] the outcome
    /// must arrive as ingress, or the effect ends when its budget runs out. If the handler panics,
    /// the effect stays outstanding.
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

/// A closure that several threads may call at the same time.
impl<F: Fn(&EffectRequest<'_>) -> Reply> EffectHandler for &FromFn<F> {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        (self.0)(request)
    }
}

/// A request. It borrows from the image and from the coroutine's registers, and is valid during the
/// call.
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
    /// The request that a coroutine makes with this effect.
    #[inline]
    pub(crate) fn of(
        session: SessionId,
        effect: &Effect,
        coroutine: &'a Coroutine,
        image: &'a VerifiedImage,
        operands: &'a [Reg],
    ) -> EffectRequest<'a> {
        EffectRequest {
            effect: EffectId {
                session,
                number: effect.number,
            },
            role: coroutine.role,
            operation: effect.operation,
            deadline: effect.deadline,
            attempt: effect.attempt,
            image,
            registers: &coroutine.registers,
            operands,
        }
    }

    /// The request of an outstanding effect. Linear in the outstanding effects of the session.
    #[inline]
    pub(crate) fn outstanding(
        session: &'a Session,
        image: &'a VerifiedImage,
        number: u64,
    ) -> Option<EffectRequest<'a>> {
        let effect = session.effects.iter().find(|e| e.number == number)?;
        let coroutine = session.coroutines.get(effect.coroutine.index())?;
        let invocation = Invocation::of(image, coroutine)?;
        let args = invocation.args;
        Some(EffectRequest::of(
            session.id, effect, coroutine, image, args,
        ))
    }

    /// The effect to answer. It also names the session.
    pub fn effect(&self) -> EffectId {
        self.effect
    }

    /// The role of the coroutine that asks; `None` for a spawned coroutine.
    pub fn role(&self) -> Option<RoleId> {
        self.role
    }

    /// The name of that role; empty for a spawned coroutine.
    pub fn role_name(&self) -> &'a str {
        self.role.map_or("", |role| self.image.role_name(role))
    }

    /// The id of the requested operation.
    pub fn operation_id(&self) -> OperationId {
        self.operation
    }

    /// The requested operation.
    pub fn operation(&self) -> &'a Operation {
        &self.image.image().operations[self.operation.index()]
    }

    /// The name of the operation's interface.
    pub fn interface_name(&self) -> &'a str {
        let interface = usize::from(self.operation().interface);
        &self.image.image().interfaces[interface].name
    }

    /// The operation's class, with its label or labels for `produce`, `decide` and `deliver`.
    pub fn class(&self) -> &'a Class {
        &self.operation().class
    }

    /// The image that the request comes from: it has the names and sorts.
    pub fn image(&self) -> &'a VerifiedImage {
        self.image
    }

    /// The id of the sort that a successful result must have.
    pub fn result_sort(&self) -> SortId {
        self.operation().result
    }

    /// The sort that a successful result must have.
    pub fn result(&self) -> &'a Sort {
        &self.image.image().sorts[self.result_sort().index()]
    }

    /// The clock reading, in ticks, at which the machine will end the effect with `timeout`.
    pub fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// How many attempts came before this one; each failed with `unavailable`.
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

    /// The outcome that answers a `decide` with the label of this name; `None` if the label is not
    /// among the choices.
    pub fn choose(&self, name: &str) -> Option<Outcome> {
        let Class::Decide { labels, .. } = self.class() else {
            return None;
        };
        let label = labels.iter().find(|l| self.image.label_name(**l) == name)?;
        Some(Outcome::chosen(*label))
    }
}

/// The operands of an `Invoke` or a `Check`: what the effect requests, and where its outcome is
/// stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Invocation<'a> {
    pub(crate) operation: OperationId,
    pub(crate) args: &'a [Reg],
    pub(crate) dst: Reg,
    /// Where a `Check` stores its evidence.
    pub(crate) witness: Option<Reg>,
    pub(crate) on_failure: Option<Pc>,
}

impl<'a> Invocation<'a> {
    /// The instruction that a coroutine with an outstanding effect is at; `None` for any other
    /// coroutine.
    #[inline]
    pub(crate) fn of(image: &'a VerifiedImage, coroutine: &Coroutine) -> Option<Invocation<'a>> {
        let (operation, args, dst, witness, on_failure) =
            match image.instruction(coroutine.program, coroutine.pc) {
                Ok(Instruction::Invoke {
                    operation,
                    args,
                    dst,
                    on_failure,
                }) => (*operation, args, *dst, None, *on_failure),
                Ok(Instruction::Check {
                    operation,
                    args,
                    dst,
                    witness,
                    on_failure,
                }) => (*operation, args, *dst, Some(*witness), *on_failure),
                Ok(_) | Err(_) => return None,
            };
        Some(Invocation {
            operation,
            args,
            dst,
            witness,
            on_failure,
        })
    }
}
