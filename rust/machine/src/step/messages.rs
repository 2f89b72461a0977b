//! Messages: sending, receiving, and waking the peer.

use super::*;

pub(super) fn chosen_arm<'a>(selector: &Value, arms: &'a [Arm]) -> Result<&'a Arm, Fault> {
    let got = number(selector)?;
    let arm = arms.iter().find(|arm| u64::from(arm.label.0) == got);
    arm.ok_or(Fault::SelectorOutside { got })
}

pub(super) struct Outgoing {
    pub(super) chan: Reg,
    pub(super) label: LabelId,
    pub(super) val: Reg,
    pub(super) next: Pc,
    /// Whether an `Offer` chose the label.
    pub(super) chosen: bool,
}

#[inline(always)]
pub(super) fn send<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    who: CoroutineId,
    message: &Outgoing,
    sink: &mut S,
) -> Attempt {
    // Each table is located once: it is stored in the session or on the heap.
    let (endpoints, coroutines) = (&mut s.endpoints[..], &mut s.coroutines[..]);
    let coroutine = &mut coroutines[who.index()];
    let (role, point) = endpoint(cx, endpoints, coroutine, who, message.chan, Action::Send)?;
    let label = message.label;
    let transition = point
        .branches
        .iter()
        .find(|t| t.label == label)
        .ok_or_else(|| Fault::WrongLabel {
            role,
            state: endpoints[role.index()].state,
            got: label,
        })?;
    let payload = register(coroutine, message.val)?;
    admit(cx, payload, transition.sort)?;
    let no_edge = Fault::NoSuchRow {
        table: Table::Edges,
        index: point.edge.0.into(),
    };
    let edge = s.edges.get_mut(point.edge.index()).ok_or(no_edge)?;
    if edge.queue.len() >= cx.config.buffer_len_max as usize {
        coroutine.status = Status::Blocked(On::Full(point.edge));
        return Ok(StepKind::Blocked);
    }

    // The sequence number is allocated together with the place in the buffer, so blocking on a full
    // edge leaves no gap.
    emit(cx, s.id, &mut s.events, sink, || {
        let event = Message {
            edge: point.edge,
            label,
            sequence: edge.sent,
            payload: payload.clone(),
        };
        if message.chosen {
            Event::Offered(event)
        } else {
            Event::Sent(event)
        }
    });
    edge.queue.send(payload, edge.sent, label);
    edge.sent += 1;
    endpoints[role.index()].state = transition.next;
    coroutine.pc = message.next;
    let woken = wake(endpoints, coroutines, point.peer, On::Empty(point.edge));
    Ok(StepKind::Ran(woken))
}

pub(super) struct Incoming<'a> {
    pub(super) chan: Reg,
    pub(super) dst: Reg,
    pub(super) next: Next<'a>,
}

/// The labels that may arrive, each with the next instruction.
pub(super) enum Next<'a> {
    /// The only label, for `Receive`.
    Only(LabelId, Pc),
    /// A table, for `Choose`.
    Table(&'a [(LabelId, Pc)]),
}

impl Next<'_> {
    #[inline]
    fn target(&self, got: LabelId) -> Option<Pc> {
        match self {
            Next::Only(label, pc) => (got == *label).then_some(*pc),
            Next::Table(table) => table.iter().find(|row| row.0 == got).map(|row| row.1),
        }
    }

    #[inline]
    fn event(&self, message: Message) -> Event {
        match self {
            Next::Only(..) => Event::Received(message),
            Next::Table(_) => Event::Chose(message),
        }
    }
}

#[inline(always)]
pub(super) fn receive<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    who: CoroutineId,
    message: &Incoming<'_>,
    sink: &mut S,
) -> Attempt {
    let (endpoints, coroutines) = (&mut s.endpoints[..], &mut s.coroutines[..]);
    let coroutine = &mut coroutines[who.index()];
    let (role, point) = endpoint(cx, endpoints, coroutine, who, message.chan, Action::Receive)?;
    register(coroutine, message.dst)?;
    let no_edge = Fault::NoSuchRow {
        table: Table::Edges,
        index: point.edge.0.into(),
    };
    let edge = s.edges.get_mut(point.edge.index()).ok_or(no_edge)?;
    let Some(parcel) = edge.queue.front() else {
        coroutine.status = Status::Blocked(On::Empty(point.edge));
        return Ok(StepKind::Blocked);
    };
    let slot = register_mut(coroutine, message.dst)?;
    let got = parcel.label;
    let transition = point
        .branches
        .iter()
        .find(|t| t.label == got)
        .ok_or_else(|| Fault::WrongLabel {
            role,
            state: endpoints[role.index()].state,
            got,
        })?;
    let pc = message.next.target(got).ok_or(Fault::UnexpectedMessage {
        edge: point.edge,
        got,
    })?;
    // The sender's automaton determined the payload's sort; the receiver's may require another.
    let sorts = &cx.image.image().sorts;
    if !parcel.payload.is_of(transition.sort, sorts) {
        return Err(Fault::WrongSort {
            expected: transition.sort,
            got: parcel.payload.form(),
        });
    }

    emit(cx, s.id, &mut s.events, sink, || {
        let event = Message {
            edge: point.edge,
            label: got,
            sequence: parcel.sequence,
            payload: parcel.payload.clone(),
        };
        message.next.event(event)
    });
    edge.queue.receive(slot);
    endpoints[role.index()].state = transition.next;
    coroutine.pc = pc;
    let woken = wake(endpoints, coroutines, point.peer, On::Full(point.edge));
    Ok(StepKind::Ran(woken))
}

/// Makes the holder of the peer's endpoint ready if it is blocked on exactly this. There is at most
/// one coroutine to wake, because an edge has one reader and one writer.
#[inline(always)]
fn wake(
    endpoints: &[Endpoint],
    coroutines: &mut [Coroutine],
    peer: RoleId,
    on: On,
) -> Option<CoroutineId> {
    let holder = endpoints.get(peer.index())?.holder;
    let coroutine = coroutines.get_mut(holder.index())?;
    if coroutine.status == Status::Blocked(on) {
        coroutine.status = Status::Ready;
        return Some(holder);
    }
    None
}

/// The role of the endpoint in a register, and its current point. Fails unless this coroutine holds
/// the endpoint and the point admits the action.
#[inline]
fn endpoint<'a>(
    cx: &Context<'a>,
    endpoints: &[Endpoint],
    coroutine: &Coroutine,
    who: CoroutineId,
    chan: Reg,
    expected: Action,
) -> Result<(RoleId, &'a Point), Fault> {
    let value = register(coroutine, chan)?;
    let Value::Endpoint(role) = *value else {
        return Err(Fault::NotAnEndpoint {
            register: chan,
            got: value.form(),
        });
    };
    let no_role = Fault::NoSuchRow {
        table: Table::Roles,
        index: role.0.into(),
    };
    let endpoint = endpoints.get(role.index()).ok_or(no_role)?;
    if endpoint.holder != who {
        return Err(Fault::NotHolder {
            role,
            holder: endpoint.holder.0,
        });
    }
    let state = endpoint.state;
    let no_state = Fault::NoSuchRow {
        table: Table::States,
        index: state.0,
    };
    let point = cx.image.point(role, state).ok_or(no_state)?;
    if point.action != expected {
        return Err(Fault::WrongState {
            role,
            state,
            expected,
            got: point.action,
        });
    }
    Ok((role, point))
}
