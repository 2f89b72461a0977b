//! The machine's state as data, for display.

use antiphon_machine::{
    Action, Coroutine, On, Phase, ProtocolMachineKernel, RoleId, Session, SessionId, Status,
    VerifiedImage,
};
use antiphon_record::{RegisterSorts, describe};
use serde::Serialize;

use crate::problem::hex;

/// The maximum number of a buffer's messages that are shown. The total is shown beside them.
const QUEUE_SHOWN_MAX: usize = 16;

/// A summary of a session.
#[derive(Debug, Serialize)]
pub(crate) struct Brief<'k> {
    session: u32,
    protocol: &'k str,
    owner: &'k str,
    phase: &'static str,
    events: u64,
}

/// A session in full.
#[derive(Debug, Serialize)]
pub(crate) struct Full<'k> {
    #[serde(flatten)]
    brief: Brief<'k>,
    image: String,
    digest: String,
    epoch: u64,
    roles: Vec<RoleState<'k>>,
    spawned: Vec<CoroutineState>,
    edges: Vec<EdgeState<'k>>,
    effects: Vec<EffectState>,
    witnesses: usize,
}

/// A role's state.
#[derive(Debug, Serialize)]
struct RoleState<'k> {
    role: &'k str,
    /// The number of its automaton's state.
    state: u32,
    action: &'static str,
    peer: Option<&'k str>,
    /// The labels that the state admits.
    labels: Vec<&'k str>,
    coroutine: Option<CoroutineState>,
}

#[derive(Debug, Serialize)]
struct CoroutineState {
    coroutine: usize,
    status: &'static str,
    /// What the coroutine waits for.
    on: Option<String>,
    program: String,
    pc: u32,
    /// The next instruction.
    instruction: Option<String>,
    registers: Vec<String>,
}

#[derive(Debug, Serialize)]
struct EdgeState<'k> {
    from: &'k str,
    to: &'k str,
    sent: u64,
    received: u64,
    /// The first messages in the buffer.
    queue: Vec<String>,
}

#[derive(Debug, Serialize)]
struct EffectState {
    effect: u64,
    operation: String,
    coroutine: u16,
    deadline: Option<u64>,
    attempt: u8,
}

/// A summary of a session, if it exists.
pub(crate) fn brief(kernel: &ProtocolMachineKernel, session: u32) -> Option<Brief<'_>> {
    let session = kernel.session(SessionId(session))?;
    let image = kernel.image(session);
    Some(Brief {
        session: session.id().0,
        protocol: &image.image().name,
        owner: session.owner(),
        phase: match session.phase() {
            Phase::Active => "active",
            Phase::Terminal(end) => end.name(),
        },
        events: session.events_len(),
    })
}

/// A session in full, if it exists.
pub(crate) fn full(kernel: &ProtocolMachineKernel, session: u32) -> Option<Full<'_>> {
    let brief = brief(kernel, session)?;
    let id = SessionId(session);
    let session = kernel.session(id)?;
    let image = kernel.image(session).as_ref();
    let roles = image.image().roles.len();
    let spawned = session.coroutines().iter().enumerate().skip(roles);
    let edges = session.edges().iter().zip(image.edges());
    let effects = session.effects().iter().map(|effect| EffectState {
        effect: effect.number,
        operation: describe::operation(Some(image), effect.operation),
        coroutine: effect.coroutine.0,
        deadline: effect.deadline,
        attempt: effect.attempt,
    });
    Some(Full {
        brief,
        image: hex(image.digest()),
        digest: hex(&kernel.session_digest(id)?),
        epoch: session.epoch(),
        roles: (0..roles).map(|n| role(session, image, n)).collect(),
        spawned: spawned.map(|(n, c)| coroutine(c, n, image)).collect(),
        edges: edges
            .map(|(edge, (from, to))| EdgeState {
                from: image.role_name(*from),
                to: image.role_name(*to),
                sent: edge.sent,
                received: edge.received(),
                queue: edge
                    .queue
                    .iter()
                    .take(QUEUE_SHOWN_MAX)
                    .map(|parcel| {
                        let label = image.label_name(parcel.label);
                        let ends = (*from, *to);
                        let sort =
                            describe::payload_sort(image, ends, parcel.label, &parcel.payload);
                        let payload = describe::value_of(&parcel.payload, sort, Some(image));
                        format!("{label} {payload}")
                    })
                    .collect(),
            })
            .collect(),
        effects: effects.collect(),
        witnesses: session.witnesses().count(),
    })
}

fn role<'k>(session: &'k Session, image: &'k VerifiedImage, n: usize) -> RoleState<'k> {
    let id = RoleId(n as u16);
    let state = session.endpoints().get(n).map(|endpoint| endpoint.state);
    let point = state.and_then(|state| image.point(id, state));
    let labels = point.map_or(&[][..], |point| &point.branches);
    let held = session.coroutines().get(n);
    RoleState {
        role: image.role_name(id),
        state: state.map_or(0, |state| state.0),
        action: match point.map(|point| point.action) {
            Some(Action::Send) => "send",
            Some(Action::Receive) => "receive",
            Some(Action::End) | None => "end",
        },
        peer: point
            .filter(|point| point.action != Action::End)
            .map(|point| image.role_name(point.peer)),
        labels: labels.iter().map(|to| image.label_name(to.label)).collect(),
        coroutine: held.map(|held| coroutine(held, n, image)),
    }
}

fn coroutine(of: &Coroutine, n: usize, image: &VerifiedImage) -> CoroutineState {
    let program = image.image().programs.get(of.program.index());
    let next = program.and_then(|program| program.code.get(of.pc.index()));
    let edge = |edge: antiphon_machine::EdgeId| match image.edges().get(edge.index()) {
        Some((from, to)) => format!("{} -> {}", image.role_name(*from), image.role_name(*to)),
        None => format!("edge {edge}"),
    };
    let (status, on) = match of.status {
        Status::Ready => ("ready", None),
        Status::Blocked(On::Empty(id)) => ("blocked", Some(format!("a message {}", edge(id)))),
        Status::Blocked(On::Full(id)) => ("blocked", Some(format!("room {}", edge(id)))),
        Status::Blocked(On::Effect(n)) => ("blocked", Some(format!("effect {n}"))),
        Status::Halted => ("halted", None),
        Status::Faulted => ("faulted", None),
    };
    let sorts = RegisterSorts::of(image, of.program);
    let registers = of.registers.iter().enumerate();
    let registers = registers.map(|(n, value)| {
        let sort = sorts.sort(n, value);
        describe::value_of(value, sort, Some(image))
    });
    CoroutineState {
        coroutine: n,
        status,
        on,
        program: program.map_or_else(String::new, |program| program.name.clone()),
        pc: of.pc.0,
        instruction: next.map(|next| describe::instruction(image, next)),
        registers: registers.collect(),
    }
}
