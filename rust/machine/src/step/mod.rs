//! The meaning of an instruction, and of an effect's outcome.
//!
//! [`step`] is the only code that defines what an instruction does. Every driver steps through it
//! (by `attempt`) and chooses only *which* coroutine of *which* session steps. A step is total and
//! deterministic, sees one session, and validates before it commits: a step that cannot be executed
//! changes only the status of its coroutine, or ends the session with a fault. `docs/semantics.md`
//! is the same definition in prose, instruction by instruction.

// The parts use this module's helpers for registers and errors, so they import from their parent.
mod effects;
mod life;
mod messages;

use crate::config::ProtocolMachineConfig;
use crate::effect::Invocation;
use crate::event::{End, Event, Message, Stamp};
use crate::fault::{Action, Fault, Refusal, Table};
use crate::ids::{CoroutineId, EffectId, LabelId, OperationId, Pc, ProgramId, Reg, RoleId};
use crate::image::{Arm, Class, Instruction, Operation};
use crate::input::{On, Resumed, Step, Stepped};
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::session::{Coroutine, Effect, Endpoint, Phase, Session, Status, Witness, WitnessKind};
use crate::sink::{Observation, Sink};
use crate::value::Value;
use crate::verify::{Point, VerifiedImage};

use effects::invoke;
pub use effects::resume;
pub(crate) use effects::{expire, expire_witness, take_in};
pub(crate) use life::cancel;
use life::{Child, close, fail, halt, spawn};
use messages::{Incoming, Next, Outgoing, chosen_arm, receive, send};

/// The data that a step may read in addition to its session. It does not change during a step.
#[derive(Clone, Copy, Debug)]
// The order keeps the index away from the clock, its neighbour in the kernel. Copied together, the
// two would be loaded wider than the index was just stored, which stalls on store forwarding.
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

/// A step's result in one word. What the coroutine is blocked on, and which effect it issued, are
/// read from the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepKind {
    /// The instruction was executed; the coroutine in it, if any, became ready.
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
/// The coroutine must be ready and its session active; otherwise the result is `Blocked` or
/// `Halted`, and nothing changes. Constant time, except that payloads of compound sorts are walked
/// once, and the labels of a branch are searched in order. Allocates only when a buffer or the
/// table of coroutines grows.
///
/// Machines call it themselves. On a copy of a session, it shows what a step would do:
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
/// // The server receives first, and blocks; the client's message wakes it.
/// let [client, server] = [CoroutineId(0), CoroutineId(1)];
/// let received = step(&cx, &mut session, server, &mut NoSink);
/// assert!(matches!(received.step, Step::Blocked(_)));
/// let sent = step(&cx, &mut session, client, &mut NoSink);
/// assert_eq!((sent.step, sent.woken), (Step::Ran, Some(server)));
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

/// [`step`] with its result in one word, for a loop that takes many steps. Only the common
/// instructions are inlined, to keep that loop small.
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

#[expect(clippy::too_many_lines, reason = "one arm for each instruction")]
#[inline(always)]
fn execute<S: Sink>(cx: &Context<'_>, s: &mut Session, who: CoroutineId, sink: &mut S) -> Attempt {
    let coroutine = &mut s.coroutines[who.index()];
    let pc = coroutine.pc;
    let instruction = cx.image.instruction(coroutine.program, pc)?;
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
            Ok(StepKind::Ran(Some(coroutine)))
        }
        Instruction::Set { dst, value } => {
            *register_mut(coroutine, *dst)? = value.clone();
            coroutine.pc = next;
            Ok(StepKind::Ran(None))
        }
        Instruction::Move { dst, src } => {
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
            let row = table.iter().find(|row| row.0 == got);
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
        Value::Bool(b) => Ok(u64::from(*b)),
        Value::Unit
        | Value::Int(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::List(_)
        | Value::Record(_)
        | Value::Endpoint(_)
        | Value::Evidence(_) => Err(Fault::NotANumber { got: value.form() }),
    }
}

/// Checks that a value is of its sort and not too large.
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
    if len > u64::from(max) {
        return Err(Fault::PayloadTooLarge { len, max });
    }
    Ok(())
}

/// Notifies the sink of an event and counts it. The event is built only if the sink wants events,
/// but has its number in any case.
#[inline(always)]
pub(crate) fn emit<S: Sink>(
    cx: &Context<'_>,
    session: crate::ids::SessionId,
    events: &mut u64,
    sink: &mut S,
    event: impl FnOnce() -> Event,
) {
    if sink.interest().events {
        let stamp = Stamp {
            session,
            index: *events,
            step: cx.step,
            clock: cx.clock,
        };
        let (stamp, event) = (&stamp, &event());
        sink.observe(Observation::Event { stamp, event });
    }
    *events += 1;
}
