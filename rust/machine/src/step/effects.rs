//! Effects: issuing them, taking outcomes in, and the witnesses of both.

use super::*;

#[inline(never)]
pub(super) fn invoke<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    who: CoroutineId,
    invocation: &Invocation<'_>,
    sink: &mut S,
) -> Attempt {
    let coroutine = &mut s.coroutines[who.index()];
    if active(mutant::INVOKE_DST_FIRST) {
        register(coroutine, invocation.dst)?;
    }
    let operation = operation(cx.image, invocation.operation)?;
    let is_check = matches!(operation.class, Class::Check);
    if is_check != invocation.witness.is_some() || operation.args.len() != invocation.args.len() {
        return Err(Fault::WrongOperation);
    }
    register(coroutine, invocation.dst)?;
    if let Some(witness) = invocation.witness {
        register(coroutine, witness)?;
    }
    for (arg, sort) in invocation.args.iter().zip(&operation.args) {
        let value = register(coroutine, *arg)?;
        if !active(mutant::ARGUMENT_UNCHECKED) {
            admit(cx, value, *sort)?;
        }
    }

    coroutine.status = Status::Blocked(On::Effect(s.effects_issued));
    let effect = Effect {
        number: s.effects_issued,
        deadline: deadline(cx, operation),
        operation: invocation.operation,
        coroutine: who,
        attempt: 0,
    };
    issue(cx, s, effect, sink);
    Ok(StepKind::Effect)
}

#[inline]
fn operation(image: &VerifiedImage, id: OperationId) -> Result<&Operation, Fault> {
    let no_row = Fault::NoSuchRow {
        table: Table::Operations,
        index: id.0.into(),
    };
    image.image().operations.get(id.index()).ok_or(no_row)
}

/// When an effect that is issued now times out.
#[inline]
fn deadline(cx: &Context<'_>, operation: &Operation) -> Option<u64> {
    let budget = match active(mutant::BUDGET_OF_MACHINE) {
        false => operation.budget.or(cx.config.effect_budget),
        true => cx.config.effect_budget.or(operation.budget),
    };
    budget.map(|ticks| {
        let ticks = ticks.saturating_add(u64::from(active(mutant::BUDGET_LONG)));
        match active(mutant::DEADLINE_WRAPS) {
            false => cx.clock.saturating_add(ticks),
            true => cx.clock.wrapping_add(ticks),
        }
    })
}

/// Adds an effect to the outstanding ones. They are ordered by number, because numbers only grow.
#[inline(always)]
fn issue<S: Sink>(cx: &Context<'_>, s: &mut Session, effect: Effect, sink: &mut S) {
    s.effects_issued = effect.number + 1;
    s.effects.push(effect);
    emit(cx, s.id, &mut s.events, sink, || Event::EffectIssued {
        number: effect.number,
        coroutine: effect.coroutine,
        operation: effect.operation,
        attempt: effect.attempt,
        deadline: effect.deadline,
    });
}

/// Takes the outcome of an outstanding effect in. The outcome is taken by reference, and a placeholder
/// is left in its place: moving a value that was just written field by field stalls on store
/// forwarding. Linear in the outstanding effects.
///
/// # Errors
/// [`Refusal::Late`] or [`Refusal::NeverIssued`] when the effect is not outstanding; nothing has
/// changed then.
pub fn resume<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    number: u64,
    outcome: &mut Outcome,
    sink: &mut S,
) -> Result<Resumed, Refusal> {
    let id = EffectId {
        session: s.id,
        number,
    };
    let Some(at) = s.effects.iter().position(|e| e.number == number) else {
        return not_outstanding(s, id);
    };
    let effect = s.effects[at];
    let coroutine = s.coroutines.get(effect.coroutine.index());
    // The coroutine that waits for an effect is at the instruction that issued it.
    let Some(invocation) = coroutine.and_then(|c| Invocation::of(cx.image, c)) else {
        return Err(Refusal::Late { effect: id });
    };
    s.effects.remove(at);
    Ok(take_in(cx, s, effect, &invocation, outcome, sink))
}

/// Takes an outcome in: the only code that gives an outcome its meaning, for a handler that answers
/// in place and for [`Ingress::Outcome`](crate::Ingress::Outcome) alike. The effect is no longer
/// among the outstanding ones.
#[inline(always)]
pub(crate) fn take_in<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    effect: Effect,
    invocation: &Invocation<'_>,
    outcome: &mut Outcome,
    sink: &mut S,
) -> Resumed {
    // `invoke` looked the operation up, and images do not change.
    let operation = &cx.image.image().operations[effect.operation.index()];
    let failure = match outcome {
        Outcome::Success(value) => match admit(cx, value, operation.result) {
            Err(fault) if !active(mutant::RESULT_UNCHECKED) => violation(fault),
            Ok(()) | Err(_) => {
                succeed(cx, s, &effect, invocation, value, sink);
                return Resumed::Ready(effect.coroutine);
            }
        },
        Outcome::Failure(failure) => failure.clone(),
    };
    apply_failure(cx, s, effect, invocation, failure, sink)
}

/// The outcome of an effect that is not outstanding.
#[cold]
fn not_outstanding(s: &mut Session, id: EffectId) -> Result<Resumed, Refusal> {
    let issued = s.effects_issued + u64::from(active(mutant::NEVER_ISSUED_IS_LATE));
    let late = id.number < issued && !active(mutant::LATE_IS_NEVER_ISSUED);
    if late && active(mutant::LATE_ACCEPTED) {
        return Ok(Resumed::Reissued(id));
    }
    s.events += u64::from(late && active(mutant::LATE_COUNTS));
    Err(match late {
        true => Refusal::Late { effect: id },
        false => Refusal::NeverIssued { effect: id },
    })
}

/// The failure for a result that the operation does not allow.
#[cold]
fn violation(fault: Fault) -> Failure {
    let kind = match active(mutant::CONTRACT_KIND) {
        false => FailureKind::ContractViolation,
        true => FailureKind::InvalidInput,
    };
    let detail = match active(mutant::CONTRACT_TEXT) {
        false => std::sync::Arc::from(fault.to_string()),
        true => std::sync::Arc::from(""),
    };
    Failure { kind, detail }
}

#[inline(always)]
fn succeed<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    effect: &Effect,
    invocation: &Invocation<'_>,
    value: &mut Value,
    sink: &mut S,
) {
    let (number, who) = (effect.number, effect.coroutine);
    emit(cx, s.id, &mut s.events, sink, || Event::EffectResolved {
        number,
        result: value.clone(),
    });
    let Some(coroutine) = s.coroutines.get_mut(who.index()) else {
        return;
    };
    if let Some(place) = coroutine.registers.get_mut(invocation.dst.index()) {
        value.move_to(place);
    }
    coroutine.pc = Pc(coroutine.pc.0.saturating_add(1));
    coroutine.status = Status::Ready;
    if let Some(witness) = invocation.witness {
        let evidence = issue_witness(cx, s, number, WitnessKind::Check, sink);
        emit(cx, s.id, &mut s.events, sink, || Event::WitnessIssued {
            witness: evidence,
            number,
        });
        s.coroutines[who.index()].registers[witness.index()] = Value::Evidence(evidence);
    }
}

/// Tries the request again, enters the failure branch, or ends the session.
#[inline(never)]
fn apply_failure<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    effect: Effect,
    invocation: &Invocation<'_>,
    failure: Failure,
    sink: &mut S,
) -> Resumed {
    let (number, who, kind) = (effect.number, effect.coroutine, failure.kind);
    emit(cx, s.id, &mut s.events, sink, || Event::EffectFailed {
        number,
        failure,
    });
    let operation = &cx.image.image().operations[effect.operation.index()];
    let worth = kind == FailureKind::Unavailable || active(mutant::RETRY_ANY_KIND);
    let retries = u16::from(operation.retries) + u16::from(active(mutant::RETRIES_LONG));
    let asked = u16::from(effect.attempt) + u16::from(active(mutant::RETRIES_SHORT));
    if worth && asked < retries {
        let attempt = match active(mutant::RETRY_SAME_ATTEMPT) {
            false => effect.attempt.saturating_add(1),
            true => effect.attempt,
        };
        // The budget covers all attempts: the deadline stays.
        let deadline = match active(mutant::RETRY_NEW_DEADLINE) {
            false => effect.deadline,
            true => deadline(cx, operation),
        };
        s.effects_issued -= u64::from(active(mutant::RETRY_SAME_NUMBER));
        let again = Effect {
            number: s.effects_issued,
            deadline,
            attempt,
            ..effect
        };
        issue(cx, s, again, sink);
        s.coroutines[who.index()].status = Status::Blocked(On::Effect(again.number));
        let (session, number) = (s.id, again.number);
        return Resumed::Reissued(EffectId { session, number });
    }
    let cause = Fault::EffectFailed { number, kind };
    let branch = invocation
        .on_failure
        .filter(|_| !active(mutant::FAILURE_BRANCH_IGNORED));
    let Some(target) = branch else {
        fail(cx, s, who, cause, sink);
        return Resumed::Faulted(cause);
    };
    emit(cx, s.id, &mut s.events, sink, || {
        Event::FailureBranchEntered {
            coroutine: who,
            cause,
        }
    });
    let coroutine = &mut s.coroutines[who.index()];
    coroutine.registers[invocation.dst.index()] =
        Value::Nat(kind.code() + u64::from(active(mutant::FAILURE_CODE)));
    coroutine.pc = target;
    coroutine.status = Status::Ready;
    Resumed::Ready(who)
}

/// Allocates a witness; the oldest one makes room when there are too many.
fn issue_witness<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    effect: u64,
    kind: WitnessKind,
    sink: &mut S,
) -> u64 {
    let len = s.witnesses.len() + usize::from(active(mutant::WITNESSES_SHORT));
    let max = cx.config.witnesses_max.max(1) as usize;
    if len >= max + usize::from(active(mutant::WITNESSES_LONG))
        && let Some(oldest) = match active(mutant::WITNESS_NEWEST) {
            false => s.witnesses.pop_front(),
            true => s.witnesses.pop_back(),
        }
    {
        let event = Event::WitnessExpired {
            witness: oldest.number,
        };
        emit(cx, s.id, &mut s.events, sink, || event);
    }
    let number = s.witnesses_issued;
    s.witnesses_issued += 1;
    let expires = cx.clock.saturating_add(cx.config.witness_ttl);
    let expires = expires.saturating_add(u64::from(active(mutant::TTL_LONG)));
    s.witnesses.push_back(Witness {
        number,
        expires,
        effect,
        kind,
    });
    number
}

/// An outstanding effect's budget has run out. `None`: it is not outstanding any more.
pub(crate) fn expire<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    number: u64,
    sink: &mut S,
) -> Option<Resumed> {
    s.effects.iter().find(|e| e.number == number)?;
    let witness = issue_witness(cx, s, number, WitnessKind::Timeout, sink);
    let issued = Event::TimeoutIssued { number, witness };
    let mut outcome = Outcome::failure(FailureKind::Timeout, "");
    if active(mutant::FAILED_BEFORE_TIMEOUT) {
        let resumed = resume(cx, s, number, &mut outcome, sink);
        emit(cx, s.id, &mut s.events, sink, || issued);
        return resumed.ok();
    }
    emit(cx, s.id, &mut s.events, sink, || issued);
    resume(cx, s, number, &mut outcome, sink).ok()
}

/// A witness's time has come. Witnesses expire in the order of their numbers, so it is the first one or none.
pub(crate) fn expire_witness<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    number: u64,
    sink: &mut S,
) {
    if s.witnesses.front().is_some_and(|w| w.number == number) {
        s.witnesses.pop_front();
        emit(cx, s.id, &mut s.events, sink, || Event::WitnessExpired {
            witness: number,
        });
    }
}
