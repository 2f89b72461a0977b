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
        admit(cx, register(coroutine, *arg)?, *sort)?;
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

/// When an effect that is issued now times out; `None`: never.
#[inline]
fn deadline(cx: &Context<'_>, operation: &Operation) -> Option<u64> {
    let budget = operation.budget.or(cx.config.effect_budget);
    budget.map(|ticks| cx.clock.saturating_add(ticks))
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

/// Takes in the outcome of an outstanding effect. Takes the outcome by reference and leaves a
/// placeholder, because moving a value that was just written field by field stalls on store
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
        return Err(not_outstanding(s, id));
    };
    let effect = s.effects[at];
    let coroutine = s.coroutines.get(effect.coroutine.index());
    // The coroutine that waits for an effect is still at the instruction that issued it.
    let Some(invocation) = coroutine.and_then(|c| Invocation::of(cx.image, c)) else {
        return Err(Refusal::Late { effect: id });
    };
    s.effects.remove(at);
    Ok(take_in(cx, s, effect, &invocation, outcome, sink))
}

/// Takes in an outcome. This is the only code that defines what an outcome does, both for a handler
/// that answers in place and for [`Ingress::Outcome`](crate::Ingress::Outcome). The caller has
/// removed the effect from the outstanding ones.
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
            Err(fault) => violation(fault),
            Ok(()) => {
                succeed(cx, s, &effect, invocation, value, sink);
                return Resumed::Ready(effect.coroutine);
            }
        },
        Outcome::Failure(failure) => failure.clone(),
    };
    apply_failure(cx, s, effect, invocation, failure, sink)
}

/// Why an outcome is refused whose effect is not outstanding.
#[cold]
fn not_outstanding(s: &Session, id: EffectId) -> Refusal {
    if id.number < s.effects_issued {
        Refusal::Late { effect: id }
    } else {
        Refusal::NeverIssued { effect: id }
    }
}

/// The failure for a result that the operation does not allow.
#[cold]
fn violation(fault: Fault) -> Failure {
    Failure {
        kind: FailureKind::ContractViolation,
        detail: std::sync::Arc::from(fault.to_string()),
    }
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
    if kind == FailureKind::Unavailable && effect.attempt < operation.retries {
        // The budget covers all attempts, so the deadline stays.
        let again = Effect {
            number: s.effects_issued,
            attempt: effect.attempt.saturating_add(1),
            ..effect
        };
        issue(cx, s, again, sink);
        s.coroutines[who.index()].status = Status::Blocked(On::Effect(again.number));
        let (session, number) = (s.id, again.number);
        return Resumed::Reissued(EffectId { session, number });
    }
    let cause = Fault::EffectFailed { number, kind };
    let Some(target) = invocation.on_failure else {
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
    coroutine.registers[invocation.dst.index()] = Value::Nat(kind.code());
    coroutine.pc = target;
    coroutine.status = Status::Ready;
    Resumed::Ready(who)
}

/// Allocates a witness. At the bound on live witnesses, the oldest one expires.
fn issue_witness<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    effect: u64,
    kind: WitnessKind,
    sink: &mut S,
) -> u64 {
    if s.witnesses.len() >= cx.config.witnesses_max.max(1) as usize
        && let Some(oldest) = s.witnesses.pop_front()
    {
        let event = Event::WitnessExpired {
            witness: oldest.number,
        };
        emit(cx, s.id, &mut s.events, sink, || event);
    }
    let number = s.witnesses_issued;
    s.witnesses_issued += 1;
    s.witnesses.push_back(Witness {
        number,
        expires: cx.clock.saturating_add(cx.config.witness_ttl),
        effect,
        kind,
    });
    number
}

/// Times out an effect whose budget has run out. Returns `None` if it is not outstanding.
pub(crate) fn expire<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    number: u64,
    sink: &mut S,
) -> Option<Resumed> {
    s.effects.iter().find(|e| e.number == number)?;
    let witness = issue_witness(cx, s, number, WitnessKind::Timeout, sink);
    emit(cx, s.id, &mut s.events, sink, || Event::TimeoutIssued {
        number,
        witness,
    });
    let mut outcome = Outcome::failure(FailureKind::Timeout, "");
    resume(cx, s, number, &mut outcome, sink).ok()
}

/// Expires a witness if it is still live. Witnesses expire in the order of their numbers, so it is
/// the first one.
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
