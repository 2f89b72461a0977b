//! A session: one running instance of an image. It owns everything that a step may touch.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::buffer::Buffer;
use crate::config::ProtocolMachineConfig;
use crate::event::End;
use crate::ids::{CoroutineId, OperationId, Pc, ProgramId, RoleId, SessionId, StateId};
use crate::input::On;
use crate::thin_deque::ThinDeque;
use crate::value::Value;
use crate::verify::VerifiedImage;

/// A session's whole state.
///
/// Only `step`, `resume` and the kernel's ingress functions change a session; to other code it is
/// read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
// The order of the fields, from the start of a cache line, puts what every step reads first and
// what few steps read last, so a step fetches few lines.
#[repr(C, align(64))]
pub struct Session {
    pub(crate) id: SessionId,
    /// The session's image: an index into the machine's images, so that a step needs no reference
    /// count.
    pub(crate) image: u32,
    pub(crate) phase: Phase,
    /// Coroutines that have not halted.
    pub(crate) live: u16,
    /// The number of the next event.
    pub(crate) events: u64,
    // The tables of a session of two roles are stored in the session itself: a machine that steps
    // many sessions then reads adjacent memory. Larger sessions have them on the heap.
    pub(crate) endpoints: SmallVec<[Endpoint; 2]>,
    /// The number of the next witness. The kernel compares it after each run of steps, to see
    /// whether there is a new one.
    pub(crate) witnesses_issued: u64,
    pub(crate) edges: SmallVec<[Edge; 2]>,
    pub(crate) coroutines: SmallVec<[Coroutine; 2]>,
    /// The number of the next effect.
    pub(crate) effects_issued: u64,
    /// Outstanding effects, by number: at most one per coroutine.
    pub(crate) effects: SmallVec<[Effect; 2]>,
    pub(crate) epoch: u64,
    /// Live witnesses, by number.
    pub(crate) witnesses: ThinDeque<Witness>,
    pub(crate) owner: Arc<str>,
}

// Eight cache lines: a ninth would be fetched with each session for nothing.
const _: () = assert!(size_of::<Session>() <= 512);

/// Whether a session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It runs.
    Active,
    /// It has ended, and never changes again.
    Terminal(End),
}

/// The right to communicate as a role, and the state of that role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The one coroutine that may use it.
    pub holder: CoroutineId,
    /// The role's state in its automaton.
    pub state: StateId,
}

/// A thread of control within a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coroutine {
    /// The program that it runs.
    pub program: ProgramId,
    /// The role it was started for; `None` when it was spawned.
    pub role: Option<RoleId>,
    /// Its priority under the policy of that name.
    pub priority: u8,
    /// Whether it can step.
    pub status: Status,
    /// The next instruction.
    pub pc: Pc,
    /// Its registers.
    pub registers: SmallVec<[Value; 4]>,
}

/// Whether a coroutine can step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is in the ready queue.
    Ready,
    /// It waits.
    Blocked(On),
    /// It has reached its end.
    Halted,
    /// It has faulted.
    Faulted,
}

/// The bounded buffer from one role to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// The messages in it, oldest first.
    pub queue: Buffer,
    /// How many messages were ever sent: the sequence number of the next one.
    pub sent: u64,
}

/// An outstanding effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Its number in the session.
    pub number: u64,
    /// The clock reading, in ticks, at which it times out; `None`: never.
    pub deadline: Option<u64>,
    /// The requested operation.
    pub operation: OperationId,
    /// The coroutine that waits for it.
    pub coroutine: CoroutineId,
    /// How many attempts came before this one.
    pub attempt: u8,
}

/// Evidence that has not expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its number in the session.
    pub number: u64,
    /// The clock reading, in ticks, at which it expires.
    pub expires: u64,
    /// The effect it is evidence of.
    pub effect: u64,
    /// The kind of evidence.
    pub kind: WitnessKind,
}

/// What a witness is evidence for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WitnessKind {
    /// A successful `Check`.
    Check = 0,
    /// A timeout.
    Timeout = 1,
}

impl Session {
    pub(crate) fn open(
        id: SessionId,
        image_row: u32,
        image: &VerifiedImage,
        config: &ProtocolMachineConfig,
        owner: Arc<str>,
    ) -> Session {
        let roles = &image.image().roles;
        // A verified image has few roles. In an unverified one, roles beyond the 16-bit ids are
        // ignored.
        let roles = &roles[..roles.len().min(usize::from(u16::MAX))];
        let coroutines = (0..u16::MAX).zip(roles).map(|(n, role)| {
            let priority = config.priorities.get(&role.name).copied().unwrap_or(0);
            Coroutine::start(image, ProgramId(n), Some(RoleId(n)), priority)
        });
        Session {
            id,
            image: image_row,
            phase: Phase::Active,
            live: roles.len() as u16,
            epoch: 0,
            events: 0,
            effects_issued: 0,
            witnesses_issued: 0,
            endpoints: (0..roles.len() as u16)
                .map(|n| Endpoint {
                    holder: CoroutineId(n),
                    state: StateId(0),
                })
                .collect(),
            coroutines: coroutines.collect(),
            edges: image.edges().iter().map(|_| Edge::default()).collect(),
            effects: SmallVec::new(),
            witnesses: ThinDeque::default(),
            owner,
        }
    }

    /// The session's number.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whether the session runs.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The owner, who may cancel it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// How many times the session has ended: 0 or 1.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The endpoints, by role.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The coroutines, in the order of their creation.
    pub fn coroutines(&self) -> &[Coroutine] {
        &self.coroutines
    }

    /// The edges, in the image's numbering.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The outstanding effects, by number.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// The live witnesses, by number.
    pub fn witnesses(&self) -> impl Iterator<Item = &Witness> {
        self.witnesses.iter()
    }

    /// How many effects the session has issued.
    pub fn effects_issued(&self) -> u64 {
        self.effects_issued
    }

    /// How many events the session has had.
    pub fn events_len(&self) -> u64 {
        self.events
    }

    /// The only coroutine that can serve a coroutine that waits for this. `None` for an effect,
    /// which a handler answers.
    pub(crate) fn server(&self, image: &VerifiedImage, on: On) -> Option<CoroutineId> {
        let role = match on {
            On::Empty(edge) => image.edges().get(edge.index())?.0,
            On::Full(edge) => image.edges().get(edge.index())?.1,
            On::Effect(_) => return None,
        };
        Some(self.endpoints.get(role.index())?.holder)
    }

    /// Whether another coroutine is blocked on an edge that only this one can serve. Linear in the
    /// coroutines.
    pub(crate) fn holds_token(&self, image: &VerifiedImage, who: CoroutineId) -> bool {
        self.coroutines.iter().any(|other| match other.status {
            Status::Blocked(on) => self.server(image, on) == Some(who),
            Status::Ready | Status::Halted | Status::Faulted => false,
        })
    }
}

impl Coroutine {
    pub(crate) fn start(
        image: &VerifiedImage,
        program: ProgramId,
        role: Option<RoleId>,
        priority: u8,
    ) -> Coroutine {
        let count = image
            .image()
            .programs
            .get(program.index())
            .map_or(0, |p| p.registers);
        let mut registers = SmallVec::from_elem(Value::Unit, usize::from(count));
        if let (Some(role), Some(first)) = (role, registers.first_mut()) {
            *first = Value::Endpoint(role);
        }
        Coroutine {
            program,
            role,
            priority,
            status: Status::Ready,
            pc: Pc(0),
            registers,
        }
    }
}

impl Edge {
    /// How many messages were ever received.
    pub fn received(&self) -> u64 {
        self.sent - self.queue.len() as u64
    }
}
