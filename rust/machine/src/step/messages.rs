//! Messages: sending, receiving, and what each wakes.

use super::*;

pub(super) fn chosen_arm<'a>(selector: &Value, arms: &'a [Arm]) -> Result<&'a Arm, Fault> {
    let got = number(selector)?;
    let arm = match active(mutant::ARMS_LAST) {
        false => arms.iter().find(|arm| u64::from(arm.label.0) == got),
        true => arms.iter().rfind(|arm| u64::from(arm.label.0) == got),
    };
    arm.ok_or(Fault::SelectorOutside { got })
}

pub(super) struct Outgoing {
    pub(super) chan: Reg,
    pub(super) label: LabelId,
    pub(super) val: Reg,
    pub(super) next: Pc,
    /// Whether an `Offer` chose it.
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
    // Each table is looked for once: it stands in the session or on the heap.
    let (endpoints, coroutines) = (&mut s.endpoints[..], &mut s.coroutines[..]);
    let coroutine = &mut coroutines[who.index()];
    if active(mutant::SEND_VALUE_FIRST) {
        register(coroutine, message.val)?;
    }
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
    if !active(mutant::SENT_UNCHECKED) {
        admit(cx, payload, transition.sort)?;
    }
    let no_edge = Fault::NoSuchRow {
        table: Table::Edges,
        index: point.edge.0.into(),
    };
    let edge = s.edges.get_mut(point.edge.index()).ok_or(no_edge)?;
    let len = edge.queue.len() + usize::from(active(mutant::BUFFER_SHORT));
    if len >= cx.config.buffer_len_max as usize + usize::from(active(mutant::BUFFER_LONG)) {
        let on = On::Full(point.edge);
        edge.sent += u64::from(active(mutant::SEQUENCE_EARLY));
        coroutine.status = Status::Blocked(on);
        return Ok(StepKind::Blocked);
    }

    // The sequence number is allocated with the place in the buffer, so back-pressure never makes a gap.
    emit(cx, s.id, &mut s.events, sink, || {
        let event = Message {
            edge: point.edge,
            label,
            sequence: edge.sent,
            payload: payload.clone(),
        };
        match message.chosen && !active(mutant::OFFER_IS_SENT) {
            true => Event::Offered(event),
            false => Event::Sent(event),
        }
    });
    edge.queue.send(payload, edge.sent, label);
    edge.sent += 1;
    endpoints[role.index()].state = transition.next;
    coroutine.pc = message.next;
    let woken = match active(mutant::RECEIVER_NOT_WOKEN) {
        false => wake(endpoints, coroutines, point.peer, On::Empty(point.edge)),
        true => None,
    };
    Ok(StepKind::Ran(woken))
}

pub(super) struct Incoming<'a> {
    pub(super) chan: Reg,
    pub(super) dst: Reg,
    pub(super) next: Next<'a>,
}

/// Where to go on after which label.
pub(super) enum Next<'a> {
    /// The only label, as `Receive` has it.
    Only(LabelId, Pc),
    /// A table, as `Choose` has it.
    Table(&'a [(LabelId, Pc)]),
}

impl Next<'_> {
    #[inline]
    fn after(&self, got: LabelId) -> Option<Pc> {
        match self {
            Next::Only(label, pc) => (got == *label).then_some(*pc),
            Next::Table(table) => {
                let row = match active(mutant::CHOICE_LAST) {
                    false => table.iter().find(|row| row.0 == got),
                    true => table.iter().rfind(|row| row.0 == got),
                };
                row.map(|row| row.1)
            }
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
    if !active(mutant::RECEIVE_DST_LATE) {
        register(coroutine, message.dst)?;
    }
    let no_edge = Fault::NoSuchRow {
        table: Table::Edges,
        index: point.edge.0.into(),
    };
    let edge = s.edges.get_mut(point.edge.index()).ok_or(no_edge)?;
    let Some(parcel) = edge.queue.front() else {
        let on = On::Empty(point.edge);
        coroutine.status = Status::Blocked(on);
        if active(mutant::BLOCKED_MOVES_ON) {
            coroutine.pc = Pc(coroutine.pc.0.saturating_add(1));
        }
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
    let pc = message.next.after(got).ok_or(Fault::UnexpectedMessage {
        edge: point.edge,
        got,
    })?;
    // The sender's automaton gave the payload its sort; the receiver's may ask for another one.
    let sorts = &cx.image.image().sorts;
    if !parcel.payload.is_of(transition.sort, sorts) && !active(mutant::RECEIVED_UNCHECKED) {
        let got = parcel.payload.form();
        return Err(Fault::WrongSort {
            expected: transition.sort,
            got,
        });
    }

    emit(cx, s.id, &mut s.events, sink, || {
        let event = Message {
            edge: point.edge,
            label: got,
            sequence: parcel.sequence,
            payload: parcel.payload.clone(),
        };
        match message.next {
            Next::Only(..) => Event::Received(event),
            Next::Table(_) => Event::Chose(event),
        }
    });
    edge.queue.receive(slot);
    endpoints[role.index()].state = transition.next;
    coroutine.pc = pc;
    let woken = match active(mutant::SENDER_NOT_WOKEN) {
        false => wake(endpoints, coroutines, point.peer, On::Full(point.edge)),
        true => None,
    };
    Ok(StepKind::Ran(woken))
}

/// Makes the holder of the peer's endpoint ready, if this is what it waits for. There is never a second one to wake:
/// an edge has one reader and one writer.
#[inline(always)]
fn wake(
    endpoints: &[Endpoint],
    coroutines: &mut [Coroutine],
    peer: RoleId,
    on: On,
) -> Option<CoroutineId> {
    let holder = endpoints.get(peer.index())?.holder;
    let coroutine = coroutines.get_mut(holder.index())?;
    let any = matches!(
        coroutine.status,
        Status::Blocked(On::Empty(_) | On::Full(_))
    );
    if coroutine.status == Status::Blocked(on) || any && active(mutant::WAKES_ANY_WAITER) {
        coroutine.status = Status::Ready;
        return Some(holder);
    }
    None
}

/// The endpoint in a register, if this coroutine holds it, and where its role stands.
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
