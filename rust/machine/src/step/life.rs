//! Coroutines and sessions: how they start and end, normally or by a fault.

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
    register(parent, dst)?;
    if cx.image.image().programs.get(program.index()).is_none() {
        return Err(Fault::NoSuchRow {
            table: Table::Programs,
            index: program.0.into(),
        });
    }
    let mut child = Coroutine::start(cx.image, program, None, parent.priority);
    for (slot, arg) in (0..=u8::MAX).zip(args) {
        *register_mut(&mut child, Reg(slot))? = register(parent, *arg)?.clone();
    }
    if s.coroutines.len() >= usize::from(max) {
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
        if s.endpoints[role].holder == who {
            at_end(cx, s, RoleId(role as u16))?;
        }
    }
    if s.live == 1 {
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
    for role in 0..s.endpoints.len() {
        at_end(cx, s, RoleId(role as u16))?;
    }
    edges_empty(s)?;
    finish(cx, s, sink);
    Ok(())
}

/// Ends the session at the end of its protocol.
fn finish<S: Sink>(cx: &Context<'_>, s: &mut Session, sink: &mut S) {
    emit(cx, s.id, &mut s.events, sink, || Event::Closed);
    end(cx, s, End::Closed, sink);
}

/// Faults the coroutine and ends its session.
#[cold]
#[inline(never)]
pub(super) fn fail<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    who: CoroutineId,
    fault: Fault,
    sink: &mut S,
) {
    s.coroutines[who.index()].status = Status::Faulted;
    emit(cx, s.id, &mut s.events, sink, || {
        Event::FailureBranchEntered {
            coroutine: who,
            cause: fault,
        }
    });
    emit(cx, s.id, &mut s.events, sink, || Event::Faulted {
        coroutine: who,
        fault,
    });
    end(cx, s, End::Faulted, sink);
}

/// Ends the session: invalidates its outstanding effects and expires its witnesses.
pub(super) fn end<S: Sink>(cx: &Context<'_>, s: &mut Session, how: End, sink: &mut S) {
    for effect in std::mem::take(&mut s.effects) {
        let event = Event::EffectInvalidated {
            number: effect.number,
        };
        emit(cx, s.id, &mut s.events, sink, || event);
    }
    for witness in std::mem::take(&mut s.witnesses) {
        let event = Event::WitnessExpired {
            witness: witness.number,
        };
        emit(cx, s.id, &mut s.events, sink, || event);
    }
    s.phase = Phase::Terminal(how);
    s.epoch += 1;
    emit(cx, s.id, &mut s.events, sink, || Event::SessionTerminal {
        end: how,
    });
    emit(cx, s.id, &mut s.events, sink, || Event::EpochAdvanced {
        epoch: s.epoch,
    });
}

/// Cancels the session, which must be active.
pub(crate) fn cancel<S: Sink>(cx: &Context<'_>, s: &mut Session, sink: &mut S) {
    let witness = s.witnesses_issued;
    s.witnesses_issued += 1;
    emit(cx, s.id, &mut s.events, sink, || {
        Event::CancellationRequested { witness }
    });
    emit(cx, s.id, &mut s.events, sink, || Event::Cancelled {
        witness,
    });
    end(cx, s, End::Cancelled, sink);
}
