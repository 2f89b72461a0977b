//! The life of coroutines and sessions: spawning, halting, closing, faults and ends.

use super::*;

/// The operands of a `Spawn`.
pub(super) struct Child<'a> {
    pub(super) program: ProgramId,
    pub(super) args: &'a [Reg],
    pub(super) dst: Reg,
    pub(super) next: Pc,
}

#[inline(never)]
pub(super) fn spawn<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    who: CoroutineId,
    child: &Child<'_>,
    sink: &mut S,
) -> Result<CoroutineId, Fault> {
    let Child {
        program,
        args,
        dst,
        next,
    } = *child;
    let max = cx.config.coroutines_max;
    let parent = &s.coroutines[who.index()];
    if active(mutant::SPAWN_BOUND_FIRST) && s.coroutines.len() >= usize::from(max) {
        return Err(Fault::CoroutineBound { max });
    }
    register(parent, dst)?;
    if cx.image.image().programs.get(program.index()).is_none() {
        return Err(Fault::NoSuchRow {
            table: Table::Programs,
            index: program.0.into(),
        });
    }
    let priority = match active(mutant::SPAWN_NO_PRIORITY) {
        false => parent.priority,
        true => 0,
    };
    let mut child = Coroutine::start(cx.image, program, None, priority);
    if active(mutant::SPAWN_ENDPOINT)
        && let Some(first) = child.registers.first_mut()
    {
        *first = Value::Endpoint(RoleId(0));
    }
    for (slot, arg) in (0..=u8::MAX).zip(args) {
        *register_mut(&mut child, Reg(slot))? = register(parent, *arg)?.clone();
    }
    let len = match active(mutant::SPAWN_LIVE_ONLY) {
        false => s.coroutines.len() + usize::from(active(mutant::SPAWN_SHORT)),
        true => usize::from(s.live),
    };
    if len >= usize::from(max) + usize::from(active(mutant::SPAWN_LONG)) {
        return Err(Fault::CoroutineBound { max });
    }

    let coroutine = CoroutineId(s.coroutines.len() as u16);
    s.coroutines.push(child);
    s.live += 1;
    let parent = &mut s.coroutines[who.index()];
    parent.registers[dst.index()] = Value::Nat(u64::from(coroutine.0));
    parent.pc = next;
    emit(cx, s.id, &mut s.events, sink, || Event::Spawned {
        coroutine,
        program,
    });
    Ok(coroutine)
}

fn at_end(cx: &Context<'_>, s: &Session, role: RoleId) -> Result<(), Fault> {
    let state = s.endpoints[role.index()].state;
    match cx.image.point(role, state) {
        Some(point) if point.action == Action::End => Ok(()),
        Some(_) => Err(Fault::EndpointOpen { role, state }),
        None => Err(Fault::NoSuchRow {
            table: Table::States,
            index: state.0,
        }),
    }
}

fn edges_empty(s: &Session) -> Result<(), Fault> {
    match (0..u16::MAX)
        .zip(s.edges.iter())
        .find(|(_, edge)| !edge.queue.is_empty())
    {
        Some((n, edge)) => Err(Fault::EdgeNotEmpty {
            edge: crate::ids::EdgeId(n),
            len: edge.queue.len() as u32,
        }),
        None => Ok(()),
    }
}

#[inline(never)]
pub(super) fn halt<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    who: CoroutineId,
    sink: &mut S,
) -> Result<(), Fault> {
    for role in 0..s.endpoints.len() {
        if s.endpoints[role].holder == who && !active(mutant::HALT_ENDPOINTS_UNCHECKED) {
            at_end(cx, s, RoleId(role as u16))?;
        }
    }
    let last = s.live == 1 && !active(mutant::HALT_EDGES_UNCHECKED);
    if last || active(mutant::HALT_EDGES_ALWAYS) {
        edges_empty(s)?;
    }
    s.coroutines[who.index()].status = Status::Halted;
    s.live -= 1;
    emit(cx, s.id, &mut s.events, sink, || Event::Halted {
        coroutine: who,
    });
    if s.live == 0 {
        finish(cx, s, sink);
    }
    Ok(())
}

#[inline(never)]
pub(super) fn close<S: Sink>(cx: &Context<'_>, s: &mut Session, sink: &mut S) -> Result<(), Fault> {
    if active(mutant::CLOSE_EDGES_FIRST) {
        edges_empty(s)?;
    }
    if !active(mutant::CLOSE_ENDPOINTS_UNCHECKED) {
        for role in 0..s.endpoints.len() {
            at_end(cx, s, RoleId(role as u16))?;
        }
    }
    if !active(mutant::CLOSE_EDGES_UNCHECKED) {
        edges_empty(s)?;
    }
    finish(cx, s, sink);
    Ok(())
}

/// The session comes to its protocol's end.
fn finish<S: Sink>(cx: &Context<'_>, s: &mut Session, sink: &mut S) {
    emit(cx, s.id, &mut s.events, sink, || Event::Closed);
    end(cx, s, End::Closed, sink);
}

/// The coroutine faults, and its session ends with it.
#[cold]
#[inline(never)]
pub(super) fn fail<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    who: CoroutineId,
    fault: Fault,
    sink: &mut S,
) {
    let coroutine = &mut s.coroutines[who.index()];
    coroutine.status = Status::Faulted;
    if active(mutant::FAULT_MOVES_ON) {
        coroutine.pc = Pc(coroutine.pc.0.saturating_add(1));
    }
    let entered = Event::FailureBranchEntered {
        coroutine: who,
        cause: fault,
    };
    let faulted = Event::Faulted {
        coroutine: who,
        fault,
    };
    let (first, second) = match active(mutant::ENTERED_AFTER_FAULTED) {
        false => (entered, faulted),
        true => (faulted, entered),
    };
    emit(cx, s.id, &mut s.events, sink, || first);
    emit(cx, s.id, &mut s.events, sink, || second);
    end(cx, s, End::Faulted, sink);
}

/// The session ends: nothing outstanding outlives it.
pub(super) fn end<S: Sink>(cx: &Context<'_>, s: &mut Session, how: End, sink: &mut S) {
    let terminal = Event::SessionTerminal { end: how };
    if active(mutant::TERMINAL_FIRST) {
        emit(cx, s.id, &mut s.events, sink, || terminal.clone());
    }
    for effect in std::mem::take(&mut s.effects) {
        let event = Event::EffectInvalidated {
            number: effect.number,
        };
        emit(cx, s.id, &mut s.events, sink, || event);
    }
    let witnesses = match active(mutant::TERMINAL_KEEPS_WITNESSES) {
        false => std::mem::take(&mut s.witnesses),
        true => Default::default(),
    };
    for witness in witnesses {
        let event = Event::WitnessExpired {
            witness: witness.number,
        };
        emit(cx, s.id, &mut s.events, sink, || event);
    }
    s.phase = Phase::Terminal(how);
    s.epoch += u64::from(!active(mutant::EPOCH_STAYS));
    let advanced = Event::EpochAdvanced { epoch: s.epoch };
    let (first, second) = match active(mutant::EPOCH_FIRST) {
        false => (terminal, advanced),
        true => (advanced, terminal),
    };
    if !active(mutant::TERMINAL_FIRST) {
        emit(cx, s.id, &mut s.events, sink, || first);
    }
    emit(cx, s.id, &mut s.events, sink, || second);
}

/// The session is called off. It must be active.
pub(crate) fn cancel<S: Sink>(cx: &Context<'_>, s: &mut Session, sink: &mut S) {
    let witness = s.witnesses_issued;
    s.witnesses_issued += u64::from(!active(mutant::CANCEL_TAKES_NO_NUMBER));
    let requested = Event::CancellationRequested { witness };
    let cancelled = Event::Cancelled { witness };
    let (first, second) = match active(mutant::CANCELLED_FIRST) {
        false => (requested, cancelled),
        true => (cancelled, requested),
    };
    emit(cx, s.id, &mut s.events, sink, || first);
    emit(cx, s.id, &mut s.events, sink, || second);
    end(cx, s, End::Cancelled, sink);
}
