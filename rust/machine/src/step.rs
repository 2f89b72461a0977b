//! The meaning of an instruction, and of an effect's outcome.
//!
//! [`step`] is the only code that gives an instruction its meaning; every driver takes it, by `attempt`, and chooses only *which*
//! coroutine of *which* session steps. It is total and deterministic, sees one session, and validates before it
//! commits: a step that cannot be done changes nothing but the status of its coroutine, or ends the session by a
//! fault. `docs/semantics.md` says the same in prose, line by line.

use crate::config::ProtocolMachineConfig;
use crate::effect::{Failure, FailureKind, Outcome};
use crate::event::{End, Event, Message, Sink, Stamp};
use crate::fault::{Action, Fault, Refusal, Table};
use crate::ids::{CoroutineId, EffectId, LabelId, OperationId, Pc, ProgramId, Reg, RoleId};
use crate::image::{Arm, Class, Instruction, Operation};
use crate::mutant::{self, active};
use crate::session::{
    Coroutine, Effect, Endpoint, On, Phase, Session, Status, Witness, WitnessKind,
};
use crate::value::Value;
use crate::verify::{Point, VerifiedImage};

/// What a step may know besides its session. Nothing in it changes during a step.
#[derive(Clone, Copy, Debug)]
// In this order: the index apart from the clock, which stands beside it in the kernel. Copied together, the two would be
// read wider than the index was just written, and a processor waits for that.
#[repr(C)]
pub struct Context<'a> {
    /// The machine's step index.
    pub step: u64,
    /// The session's image.
    pub image: &'a VerifiedImage,
    /// The machine's configuration.
    pub config: &'a ProtocolMachineConfig,
    /// The logical clock, in ticks.
    pub clock: u64,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// The instruction was done; the coroutine can go on.
    Ran,
    /// The instruction was done; the coroutine gives way.
    Yielded,
    /// Nothing was done: the coroutine waits for an edge.
    Blocked(On),
    /// An effect was issued: its request is to be put to the handler.
    Effect(EffectId),
    /// The coroutine came to its end.
    Halted,
    /// The coroutine faulted, and its session with it.
    Faulted(Fault),
}

/// A step's result, and whom it made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Stepped {
    /// What the step came to.
    pub step: Step,
    /// The coroutine that can go on because of it: one that was blocked, or a new one.
    pub woken: Option<CoroutineId>,
}

/// What taking an outcome came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Resumed {
    /// The coroutine can go on.
    Ready(CoroutineId),
    /// The effect is asked again, under a new number.
    Reissued(EffectId),
    /// The failure had no branch: the session ended by a fault.
    Faulted(Fault),
}

/// A step's result in one word. What the coroutine is blocked on, and which effect it issued, are
/// read from the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepKind {
    /// The instruction was executed, and made this coroutine ready.
    Ran(Option<CoroutineId>),
    Yielded,
    Blocked,
    /// The session's last effect is the one that the step issued.
    Effect,
    Halted,
}

impl StepKind {
    /// The whole result, read from the session as the step left it.
    pub(crate) fn step(self, s: &Session, who: CoroutineId) -> Step {
        let status = s.coroutines.get(who.index()).map(|c| c.status);
        match (self, status) {
            (StepKind::Ran(_), _) => Step::Ran,
            (StepKind::Yielded, _) => Step::Yielded,
            (StepKind::Effect, Some(Status::Blocked(On::Effect(number)))) => {
                let session = s.id;
                Step::Effect(EffectId { session, number })
            }
            (StepKind::Blocked, Some(Status::Blocked(on))) => Step::Blocked(on),
            (StepKind::Blocked | StepKind::Effect | StepKind::Halted, _) => Step::Halted,
        }
    }

    /// The coroutine that the step made ready.
    #[inline]
    pub(crate) fn woken(self) -> Option<CoroutineId> {
        match self {
            StepKind::Ran(woken) => woken,
            StepKind::Yielded | StepKind::Blocked | StepKind::Effect | StepKind::Halted => None,
        }
    }
}

type Attempt = Result<StepKind, Fault>;

/// One semantic step of one coroutine.
///
/// The coroutine must be ready and its session active; otherwise the step is answered as blocked or ended and changes
/// nothing. Constant time but for payloads of compound sorts, which are walked once, and the labels of a branch, which
/// are searched in order. Allocates only when a buffer or the coroutine table grows.
///
/// Machines take their steps themselves. On a copy of a session, it tells what a step would come to:
///
/// ```
/// use antiphon_machine::step::{Context, step};
/// use antiphon_machine::{
///     CoroutineId, EffectRequest, FromFn, NoSink, Outcome, ProtocolMachine, Reply, Step, sample,
/// };
///
/// let host = FromFn(|_: &EffectRequest<'_>| Reply::Now(Outcome::done()));
/// let mut machine = ProtocolMachine::new(Default::default(), host);
/// machine.load_choreography(&sample::bare_ping_pong(), "me")?;
/// let kernel = machine.kernel();
/// let mut session = kernel.sessions()[0].clone();
/// let cx = Context {
///     step: kernel.step_index(),
///     image: kernel.image(&kernel.sessions()[0]),
///     config: kernel.config(),
///     clock: kernel.clock(),
/// };
/// // The server listens first, and waits; what the client says wakes it.
/// let [client, server] = [CoroutineId(0), CoroutineId(1)];
/// let listens = step(&cx, &mut session, server, &mut NoSink);
/// assert!(matches!(listens.step, Step::Blocked(_)));
/// let says = step(&cx, &mut session, client, &mut NoSink);
/// assert_eq!((says.step, says.woken), (Step::Ran, Some(server)));
/// assert_eq!(kernel.step_index(), 0);
/// # Ok::<(), antiphon_machine::Refusal>(())
/// ```
pub fn step<S: Sink>(cx: &Context<'_>, s: &mut Session, who: CoroutineId, sink: &mut S) -> Stepped {
    match attempt(cx, s, who, sink) {
        Ok(kind) => Stepped {
            step: kind.step(s, who),
            woken: kind.woken(),
        },
        Err(fault) => Stepped {
            step: Step::Faulted(fault),
            woken: None,
        },
    }
}

/// [`step`] with its result in one word, for a loop that takes many steps. Inlined for the common
/// instructions only, to keep that loop small; the others are called.
#[inline(always)]
pub(crate) fn attempt<S: Sink>(
    cx: &Context<'_>,
    s: &mut Session,
    who: CoroutineId,
    sink: &mut S,
) -> Attempt {
    let Some(coroutine) = s.coroutines.get(who.index()) else {
        return Ok(StepKind::Halted);
    };
    if s.phase != Phase::Active || coroutine.status != Status::Ready {
        return Ok(not_ready(s.phase, &coroutine.status));
    }
    match execute(cx, s, who, sink) {
        Ok(kind) => Ok(kind),
        Err(fault) => {
            fail(cx, s, who, fault, sink);
            Err(fault)
        }
    }
}

/// The result of a step of a coroutine that is not ready.
#[cold]
fn not_ready(phase: Phase, status: &Status) -> StepKind {
    match status {
        Status::Blocked(_) if phase == Phase::Active => StepKind::Blocked,
        Status::Ready | Status::Blocked(_) | Status::Halted | Status::Faulted => StepKind::Halted,
    }
}

#[inline(always)]
fn execute<S: Sink>(cx: &Context<'_>, s: &mut Session, who: CoroutineId, sink: &mut S) -> Attempt {
    let coroutine = &mut s.coroutines[who.index()];
    let pc = coroutine.pc;
    let instruction = fetch(cx.image, coroutine.program, pc)?;
    let next = Pc(pc.0.saturating_add(1));
    match instruction {
        Instruction::Send { chan, label, val } => {
            let message = Outgoing {
                chan: *chan,
                label: *label,
                val: *val,
                next,
                chosen: false,
            };
            send(cx, s, who, &message, sink)
        }
        Instruction::Offer {
            chan,
            selector,
            arms,
        } => {
            let arm = chosen_arm(register(coroutine, *selector)?, arms)?;
            let (label, val, next) = (arm.label, arm.val, arm.target);
            let message = Outgoing {
                chan: *chan,
                label,
                val,
                next,
                chosen: true,
            };
            send(cx, s, who, &message, sink)
        }
        Instruction::Receive { chan, label, dst } => {
            let message = Incoming {
                chan: *chan,
                dst: *dst,
                next: Next::Only(*label, next),
            };
            receive(cx, s, who, &message, sink)
        }
        Instruction::Choose { chan, dst, table } => {
            let message = Incoming {
                chan: *chan,
                dst: *dst,
                next: Next::Table(table),
            };
            receive(cx, s, who, &message, sink)
        }
        Instruction::Invoke {
            operation,
            args,
            dst,
            on_failure,
        } => {
            let invocation = Invocation {
                operation: *operation,
                args,
                dst: *dst,
                witness: None,
                on_failure: *on_failure,
            };
            invoke(cx, s, who, &invocation, sink)
        }
        Instruction::Check {
            operation,
            args,
            dst,
            witness,
            on_failure,
        } => {
            let invocation = Invocation {
                operation: *operation,
                args,
                dst: *dst,
                witness: Some(*witness),
                on_failure: *on_failure,
            };
            invoke(cx, s, who, &invocation, sink)
        }
        Instruction::Spawn { program, args, dst } => {
            let child = Child {
                program: *program,
                args,
                dst: *dst,
                next,
            };
            let coroutine = spawn(cx, s, who, &child, sink)?;
            let woken = (!active(mutant::SPAWNED_SLEEPS)).then_some(coroutine);
            Ok(StepKind::Ran(woken))
        }
        Instruction::Set { dst, value } => {
            *register_mut(coroutine, *dst)? = value.clone();
            coroutine.pc = next;
            Ok(StepKind::Ran(None))
        }
        Instruction::Move { dst, src } => {
            if active(mutant::MOVE_DST_FIRST) {
                register(coroutine, *dst)?;
            }
            let value = register(coroutine, *src)?.clone();
            *register_mut(coroutine, *dst)? = value;
            coroutine.pc = next;
            Ok(StepKind::Ran(None))
        }
        Instruction::Jump { target } => {
            coroutine.pc = *target;
            Ok(StepKind::Ran(None))
        }
        Instruction::Branch { cond, table } => {
            let got = number(register(coroutine, *cond)?)?;
            let row = match active(mutant::BRANCH_LAST) {
                false => table.iter().find(|row| row.0 == got),
                true => table.iter().rfind(|row| row.0 == got),
            };
            coroutine.pc = row.ok_or(Fault::NoSuchBranch { got })?.1;
            Ok(StepKind::Ran(None))
        }
        Instruction::Yield => {
            coroutine.pc = next;
            Ok(StepKind::Yielded)
        }
        Instruction::Close => {
            close(cx, s, sink)?;
            Ok(StepKind::Halted)
        }
        Instruction::Halt => {
            halt(cx, s, who, sink)?;
            Ok(StepKind::Halted)
        }
    }
}

#[inline]
fn fetch(image: &VerifiedImage, program: ProgramId, pc: Pc) -> Result<&Instruction, Fault> {
    let code = &image
        .image()
        .programs
        .get(program.index())
        .ok_or(Fault::NoSuchRow {
            table: Table::Programs,
            index: program.0.into(),
        })?
        .code;
    code.get(pc.index()).ok_or(Fault::PcOutOfBounds {
        pc,
        len: code.len() as u32,
    })
}

#[inline]
fn register(coroutine: &Coroutine, register: Reg) -> Result<&Value, Fault> {
    let count = coroutine.registers.len() as u8;
    coroutine
        .registers
        .get(register.index())
        .ok_or(Fault::OutOfRegisters { register, count })
}

#[inline]
fn register_mut(coroutine: &mut Coroutine, register: Reg) -> Result<&mut Value, Fault> {
    let count = coroutine.registers.len() as u8;
    coroutine
        .registers
        .get_mut(register.index())
        .ok_or(Fault::OutOfRegisters { register, count })
}

#[inline]
fn number(value: &Value) -> Result<u64, Fault> {
    match value {
        Value::Nat(n) => Ok(*n),
        Value::Bool(b) if !active(mutant::BOOL_IS_NO_NUMBER) => Ok(u64::from(*b)),
        Value::Unit
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::List(_)
        | Value::Record(_)
        | Value::Endpoint(_)
        | Value::Evidence(_) => Err(Fault::NotANumber { got: value.form() }),
    }
}

fn chosen_arm<'a>(selector: &Value, arms: &'a [Arm]) -> Result<&'a Arm, Fault> {
    let got = number(selector)?;
    let arm = match active(mutant::ARMS_LAST) {
        false => arms.iter().find(|arm| u64::from(arm.label.0) == got),
        true => arms.iter().rfind(|arm| u64::from(arm.label.0) == got),
    };
    arm.ok_or(Fault::SelectorOutside { got })
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

/// A value must be of its sort and not too large.
#[inline(always)]
fn admit(cx: &Context<'_>, value: &Value, sort: crate::ids::SortId) -> Result<(), Fault> {
    if !value.is_of(sort, &cx.image.image().sorts) {
        return Err(Fault::WrongSort {
            expected: sort,
            got: value.form(),
        });
    }
    let max = cx.config.payload_len_max;
    let len = value.encoded_len();
    let over = len + u64::from(active(mutant::PAYLOAD_SHORT));
    if over > u64::from(max) + u64::from(active(mutant::PAYLOAD_LONG)) {
        return Err(Fault::PayloadTooLarge { len, max });
    }
    Ok(())
}

struct Outgoing {
    chan: Reg,
    label: LabelId,
    val: Reg,
    next: Pc,
    /// Whether an `Offer` chose it.
    chosen: bool,
}

#[inline(always)]
fn send<S: Sink>(
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

struct Incoming<'a> {
    chan: Reg,
    dst: Reg,
    next: Next<'a>,
}

/// Where to go on after which label.
enum Next<'a> {
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
fn receive<S: Sink>(
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

/// The operands of an `Invoke` or a `Check`: what the effect asks for, and where its outcome goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Invocation<'a> {
    operation: OperationId,
    pub(crate) args: &'a [Reg],
    dst: Reg,
    /// Where a `Check` stores its evidence.
    witness: Option<Reg>,
    on_failure: Option<Pc>,
}

impl<'a> Invocation<'a> {
    /// The instruction that a coroutine with an outstanding effect is still at; `None` for any other.
    #[inline(always)]
    pub(crate) fn of(image: &'a VerifiedImage, coroutine: &Coroutine) -> Option<Invocation<'a>> {
        let (operation, args, dst, witness, on_failure) =
            match fetch(image, coroutine.program, coroutine.pc) {
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

#[inline(never)]
fn invoke<S: Sink>(
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

/// The operands of a `Spawn`.
struct Child<'a> {
    program: ProgramId,
    args: &'a [Reg],
    dst: Reg,
    next: Pc,
}

#[inline(never)]
fn spawn<S: Sink>(
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
fn halt<S: Sink>(
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
fn close<S: Sink>(cx: &Context<'_>, s: &mut Session, sink: &mut S) -> Result<(), Fault> {
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
fn fail<S: Sink>(cx: &Context<'_>, s: &mut Session, who: CoroutineId, fault: Fault, sink: &mut S) {
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
fn end<S: Sink>(cx: &Context<'_>, s: &mut Session, how: End, sink: &mut S) {
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

/// Tells the sink, and counts: an event has its number whether or not anybody listens. It is made only where somebody does.
#[inline(always)]
pub(crate) fn emit<S: Sink>(
    cx: &Context<'_>,
    session: crate::ids::SessionId,
    events: &mut u64,
    sink: &mut S,
    event: impl FnOnce() -> Event,
) {
    if sink.wants_events() {
        let stamp = Stamp {
            session,
            index: *events,
            step: cx.step,
            clock: cx.clock,
        };
        sink.event(&stamp, event());
    }
    *events += 1;
}
