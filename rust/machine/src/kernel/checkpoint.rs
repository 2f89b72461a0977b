//! A kernel's state as plain data, and a kernel made from it.
//!
//! The data may come from a file that anyone has written, so everything that a step relies on is
//! checked before a kernel is made. What follows from other fields (ranks and tickets in the ready
//! queue, deadlines, counters) is not part of the data; it is computed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::bounds::NAME_LEN_MAX;
use crate::config::ProtocolMachineConfig;
use crate::ids::{CoroutineId, EffectId, Pick, SessionId};
use crate::image::Instruction;

use super::{Broken, ProtocolMachineKernel};
use crate::input::On;
use crate::session::{Coroutine, Edge, Effect, Endpoint, Phase, Session, Status, Witness};
use crate::thin_deque::ThinDeque;
use crate::verify::VerifiedImage;

/// The largest value of a counter of steps, events, effects, witnesses, epochs or messages that a
/// kernel can be made with. No run counts that far, and none that continues from it overflows.
pub const COUNTER_MAX: u64 = 1 << 62;

/// The state of a kernel, without its configuration.
#[derive(Clone, Debug)]
pub struct KernelParts {
    /// Number of steps taken.
    pub step_index: u64,
    /// The logical clock, in ticks.
    pub clock: u64,
    /// The loaded images, in the order in which they were loaded.
    pub images: Vec<Arc<VerifiedImage>>,
    /// The sessions, in the order in which they were opened.
    pub sessions: Vec<SessionParts>,
    /// The ready coroutines of the active sessions, in queue order.
    pub ready: Vec<Pick>,
}

/// The state of a session. Its number is its position in [`KernelParts::sessions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionParts {
    /// The position of its image in [`KernelParts::images`].
    pub image: u32,
    /// Whether it runs.
    pub phase: Phase,
    /// Number of coroutines that have not halted.
    pub live: u16,
    /// How often its authority has changed hands or ended.
    pub epoch: u64,
    /// Number of its events.
    pub events: u64,
    /// Number of effects that it has issued.
    pub effects_issued: u64,
    /// Number of witnesses that it has issued.
    pub witnesses_issued: u64,
    /// The endpoints, by role.
    pub endpoints: Vec<Endpoint>,
    /// The coroutines, in the order of their creation.
    pub coroutines: Vec<Coroutine>,
    /// The edges, in the image's numbering.
    pub edges: Vec<Edge>,
    /// The outstanding effects, in the order of their numbers.
    pub effects: Vec<Effect>,
    /// The live witnesses, in the order of their numbers.
    pub witnesses: Vec<Witness>,
    /// The name of its owner.
    pub owner: Arc<str>,
}

/// Why no kernel can be made from the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A field is not what the other fields, the image or the configuration require.
    #[error("{place}: expected {expected}, got {got}")]
    Field {
        /// The field, and the session and coroutine to which it belongs.
        place: String,
        /// The value or range that is required.
        expected: String,
        /// The value.
        got: String,
    },
    /// An invariant of the machine does not hold.
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl ProtocolMachineKernel {
    /// The kernel's state as plain data. Linear in the machine; payloads are shared, not copied.
    pub fn checkpoint_parts(&self) -> KernelParts {
        KernelParts {
            step_index: self.step_index,
            clock: self.clock,
            images: self.images.clone(),
            sessions: self.sessions.iter().map(SessionParts::of).collect(),
            ready: self.ready(),
        }
    }

    /// Makes a kernel that continues from the state. It takes the same steps, emits the same events
    /// and has the same digests as the kernel whose state it is, if the configuration is the same.
    /// Linear in the machine, with a logarithm for the ready coroutines.
    ///
    /// # Errors
    /// When a field contradicts another field, the image or the configuration, or an invariant does
    /// not hold. A kernel that is returned never panics because of its state.
    pub fn from_checkpoint(
        config: ProtocolMachineConfig,
        parts: KernelParts,
    ) -> Result<ProtocolMachineKernel, RestoreError> {
        let mut kernel = ProtocolMachineKernel::new(config);
        at_most("the step index", parts.step_index, COUNTER_MAX)?;
        let sessions_max = u64::from(kernel.config.sessions_max);
        at_most("the sessions", parts.sessions.len() as u64, sessions_max)?;
        kernel.step_index = parts.step_index;
        kernel.clock = parts.clock;
        for image in &parts.images {
            if kernel.image_row(image.digest()).is_some() {
                return Err(field(
                    "the images",
                    "each of them once",
                    "one of them twice",
                ));
            }
            kernel.images.push(Arc::clone(image));
        }
        for (n, session) in (0..).map(SessionId).zip(parts.sessions) {
            let rows = kernel.images.len() as u64;
            let place = format!("session {n}: its image");
            let image = kernel.images.get(session.image as usize);
            let image = image.ok_or_else(|| below(place, session.image.into(), rows))?;
            let check = Check {
                image,
                config: &kernel.config,
                session: n,
                parts: &session,
            };
            check.session()?;
            kernel.restore_session(n, session);
        }
        kernel.restore_queue(&parts.ready)?;
        kernel.check()?;
        Ok(kernel)
    }

    /// Adds a session that has been checked.
    fn restore_session(&mut self, id: SessionId, parts: SessionParts) {
        self.outstanding += parts.effects.len();
        for effect in &parts.effects {
            if let Some(deadline) = effect.deadline {
                let number = effect.number;
                let session = id;
                self.deadlines
                    .insert((deadline, EffectId { session, number }));
            }
        }
        if parts.phase == Phase::Active {
            self.active += 1;
            if !parts.witnesses.is_empty() {
                self.witnessed.insert(id);
            }
        }
        self.sessions.push(parts.into_session(id));
    }

    /// Enters the ready coroutines, with the ranks that the policy gives them in this state. A rank
    /// is never older: it changes only when the coroutine enters or when another one starts to wait
    /// for it.
    fn restore_queue(&mut self, ready: &[Pick]) -> Result<(), RestoreError> {
        let mut expected = BTreeSet::new();
        for session in self.sessions.iter().filter(|s| s.phase == Phase::Active) {
            for (n, coroutine) in (0..u16::MAX).map(CoroutineId).zip(&session.coroutines) {
                if coroutine.status == Status::Ready {
                    let (session, coroutine) = (session.id, n);
                    expected.insert(Pick { session, coroutine });
                }
            }
        }
        let mut entered = BTreeSet::new();
        for pick in ready {
            let Pick { session, coroutine } = *pick;
            let place = || format!("the ready queue: coroutine {coroutine} of session {session}");
            if !expected.contains(pick) {
                return Err(field(place(), "a ready coroutine", "one that is not ready"));
            }
            if !entered.insert(*pick) {
                return Err(field(place(), "one entry", "two entries"));
            }
            self.enqueue(*pick);
        }
        if entered.len() == expected.len() {
            Ok(())
        } else {
            Err(field(
                "the ready queue",
                format!("{} entries", expected.len()),
                entered.len(),
            ))
        }
    }
}

impl SessionParts {
    fn of(session: &Session) -> SessionParts {
        SessionParts {
            image: session.image,
            phase: session.phase,
            live: session.live,
            epoch: session.epoch,
            events: session.events,
            effects_issued: session.effects_issued,
            witnesses_issued: session.witnesses_issued,
            endpoints: session.endpoints.to_vec(),
            coroutines: session.coroutines.to_vec(),
            edges: session.edges.to_vec(),
            effects: session.effects.to_vec(),
            witnesses: session.witnesses.iter().copied().collect(),
            owner: Arc::clone(&session.owner),
        }
    }

    fn into_session(self, id: SessionId) -> Session {
        let mut witnesses = ThinDeque::default();
        for witness in self.witnesses {
            witnesses.push_back(witness);
        }
        Session {
            id,
            image: self.image,
            phase: self.phase,
            live: self.live,
            events: self.events,
            endpoints: self.endpoints.into(),
            witnesses_issued: self.witnesses_issued,
            edges: self.edges.into(),
            coroutines: self.coroutines.into(),
            effects_issued: self.effects_issued,
            effects: self.effects.into(),
            epoch: self.epoch,
            witnesses,
            owner: self.owner,
        }
    }
}

/// The checks of one session. With the invariants of [`ProtocolMachineKernel::check`] they are
/// everything that a step and an input rely on.
struct Check<'a> {
    image: &'a VerifiedImage,
    config: &'a ProtocolMachineConfig,
    session: SessionId,
    parts: &'a SessionParts,
}

impl Check<'_> {
    fn session(&self) -> Result<(), RestoreError> {
        let parts = self.parts;
        for (what, count) in [
            ("its epoch", parts.epoch),
            ("its events", parts.events),
            ("its issued effects", parts.effects_issued),
            ("its issued witnesses", parts.witnesses_issued),
        ] {
            at_most(self.place(what), count, COUNTER_MAX)?;
        }
        let owner_len = parts.owner.len() as u64;
        at_most(
            self.place("the bytes of its owner's name"),
            owner_len,
            NAME_LEN_MAX as u64,
        )?;
        self.endpoints()?;
        let most = u64::from(self.config.coroutines_max).max(parts.endpoints.len() as u64);
        let coroutines = parts.coroutines.len() as u64;
        at_most(self.place("its coroutines"), coroutines, most)?;
        for (n, coroutine) in (0..u16::MAX).map(CoroutineId).zip(&parts.coroutines) {
            self.coroutine(n, coroutine)?;
        }
        let live = |coroutine: &&Coroutine| coroutine.status != Status::Halted;
        let live = parts.coroutines.iter().filter(live).count();
        equal(self.place("its live coroutines"), parts.live.into(), live)?;
        if parts.phase == Phase::Active && parts.live == 0 {
            let place = self.place("its live coroutines");
            return Err(field(place, "at least 1 while it runs", 0));
        }
        self.edges()?;
        self.effects()?;
        self.witnesses()
    }

    fn endpoints(&self) -> Result<(), RestoreError> {
        let roles = &self.image.image().roles;
        let endpoints = &self.parts.endpoints;
        equal(self.place("its endpoints"), endpoints.len(), roles.len())?;
        for (n, (endpoint, role)) in endpoints.iter().zip(roles).enumerate() {
            let states = role.automaton.states.len() as u64;
            let place = || self.place(&format!("the state of role {n}"));
            if endpoint.state.index() as u64 >= states {
                return Err(below(place(), endpoint.state.0.into(), states));
            }
        }
        Ok(())
    }

    fn coroutine(&self, id: CoroutineId, coroutine: &Coroutine) -> Result<(), RestoreError> {
        let place = |what: &str| self.place(&format!("{what} of coroutine {id}"));
        let image = self.image.image();
        let (number, programs) = (coroutine.program.0, image.programs.len() as u64);
        let program = image.programs.get(coroutine.program.index());
        let program =
            program.ok_or_else(|| below(place("the program"), number.into(), programs))?;
        let (pc, len) = (coroutine.pc, program.code.len() as u64);
        if pc.index() as u64 >= len {
            return Err(below(place("the program counter"), pc.0.into(), len));
        }
        let registers = coroutine.registers.len();
        equal(place("the registers"), registers, program.registers.into())?;
        if let Some(role) = coroutine.role {
            let roles = image.roles.len() as u64;
            if role.index() as u64 >= roles {
                return Err(below(place("the role"), role.0.into(), roles));
            }
        }
        if self.parts.phase != Phase::Active {
            return Ok(());
        }
        let server = |edge: crate::ids::EdgeId, reads: bool| {
            let (sender, receiver) = *self.image.edges().get(edge.index())?;
            let role = if reads { receiver } else { sender };
            Some(self.parts.endpoints.get(role.index())?.holder)
        };
        // A blocked coroutine is woken as the holder of the endpoint that it waits with.
        let is_woken = match coroutine.status {
            Status::Blocked(On::Empty(edge)) => server(edge, true) == Some(id),
            Status::Blocked(On::Full(edge)) => server(edge, false) == Some(id),
            Status::Faulted => false,
            Status::Ready | Status::Halted | Status::Blocked(On::Effect(_)) => true,
        };
        if is_woken {
            Ok(())
        } else {
            Err(field(
                place("the status"),
                "one that a coroutine of a running session can have",
                format!("{:?}", coroutine.status),
            ))
        }
    }

    fn edges(&self) -> Result<(), RestoreError> {
        let (edges, expected) = (&self.parts.edges, self.image.edges().len());
        equal(self.place("its edges"), edges.len(), expected)?;
        let labels = self.image.image().labels.len() as u64;
        for (n, edge) in edges.iter().enumerate() {
            let place = |what: &str| self.place(&format!("{what} on edge {n}"));
            at_most(place("the messages"), edge.sent, COUNTER_MAX)?;
            for parcel in edge.queue.iter() {
                if parcel.label.index() as u64 >= labels {
                    return Err(below(place("a label"), parcel.label.0.into(), labels));
                }
                let (len, max) = (parcel.payload.encoded_len(), self.config.payload_len_max);
                at_most(place("the bytes of a payload"), len, max.into())?;
            }
        }
        Ok(())
    }

    /// Each outstanding effect is of the operation that its coroutine is at. That the coroutine
    /// waits for it is an invariant.
    fn effects(&self) -> Result<(), RestoreError> {
        let operations = &self.image.image().operations;
        for effect in &self.parts.effects {
            let place = |what: &str| self.place(&format!("{what} of effect {}", effect.number));
            let issued = self.parts.effects_issued;
            if effect.number >= issued {
                return Err(below(place("the number"), effect.number, issued));
            }
            let coroutine = self.parts.coroutines.get(effect.coroutine.index());
            let at = coroutine.and_then(|coroutine| {
                let program = self.image.image().programs.get(coroutine.program.index())?;
                program.code.get(coroutine.pc.index())
            });
            let Some(operation) = at.and_then(Instruction::operation) else {
                return Err(field(
                    place("the coroutine"),
                    "one at an instruction that issues an effect",
                    effect.coroutine,
                ));
            };
            equal(
                place("the operation"),
                effect.operation.index(),
                operation.index(),
            )?;
            if let Some(row) = operations.get(operation.index()) {
                let (attempt, retries) = (effect.attempt.into(), row.retries.into());
                at_most(place("the attempt"), attempt, retries)?;
            }
        }
        Ok(())
    }

    fn witnesses(&self) -> Result<(), RestoreError> {
        let witnesses = &self.parts.witnesses;
        let most = u64::from(self.config.witnesses_max.max(1));
        at_most(self.place("its witnesses"), witnesses.len() as u64, most)?;
        let issued = self.parts.witnesses_issued;
        if let Some(last) = witnesses.last()
            && last.number >= issued
        {
            return Err(below(self.place("its last witness"), last.number, issued));
        }
        let in_order = |a: &Witness, b: &Witness| a.number < b.number && a.expires <= b.expires;
        if witnesses.is_sorted_by(in_order) {
            return Ok(());
        }
        let place = self.place("its witnesses");
        Err(field(place, "the order of their numbers", "another order"))
    }

    fn place(&self, what: &str) -> String {
        format!("session {}: {what}", self.session)
    }
}

fn field(place: impl Into<String>, expected: impl ToString, got: impl ToString) -> RestoreError {
    RestoreError::Field {
        place: place.into(),
        expected: expected.to_string(),
        got: got.to_string(),
    }
}

fn below(place: impl Into<String>, got: u64, end: u64) -> RestoreError {
    field(place, format!("a number below {end}"), got)
}

fn at_most(place: impl Into<String>, got: u64, max: u64) -> Result<(), RestoreError> {
    if got <= max {
        Ok(())
    } else {
        Err(field(place, format!("at most {max}"), got))
    }
}

fn equal(place: impl Into<String>, got: usize, expected: usize) -> Result<(), RestoreError> {
    if got == expected {
        Ok(())
    } else {
        Err(field(place, expected, got))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Parcel;
    use crate::config::SchedulingPolicy;
    use crate::effect::{EffectRequest, FromFn};
    use crate::event::End;
    use crate::ids::{EdgeId, LabelId, Pc, ProgramId, RoleId, StateId};
    use crate::machine::ProtocolMachine;
    use crate::outcome::{Outcome, Reply};
    use crate::sample;
    use crate::session::WitnessKind;
    use crate::value::Value;

    /// A machine with two sessions: one waits for an effect, the other has messages on their way.
    fn kernel() -> ProtocolMachineKernel {
        let config = ProtocolMachineConfig {
            policy: SchedulingPolicy::RoundRobin,
            effect_budget: Some(50),
            ..Default::default()
        };
        let host = FromFn(|request: &EffectRequest<'_>| match request.choose("ping") {
            Some(ping) => Reply::Now(ping),
            None if request.args_len() == 0 => Reply::Later,
            None => Reply::Now(Outcome::done()),
        });
        let mut machine = ProtocolMachine::new(config, host);
        for image in [sample::ping_pong(1), sample::bare_ping_pong()] {
            let opened = machine.load_choreography(&image, "me");
            opened.expect("there is room");
        }
        let _ = machine.run(9);
        machine.kernel().clone()
    }

    fn restored(parts: KernelParts) -> Result<ProtocolMachineKernel, RestoreError> {
        ProtocolMachineKernel::from_checkpoint(kernel().config, parts)
    }

    #[test]
    fn a_restored_kernel_has_the_state_and_what_follows_from_it() {
        let kernel = kernel();
        let restored = restored(kernel.checkpoint_parts()).expect("a valid state");
        assert_eq!(restored.state_bytes(), kernel.state_bytes());
        assert_eq!(restored.deadlines, kernel.deadlines);
        assert_eq!(restored.witnessed, kernel.witnessed);
        assert_eq!(restored.outstanding, kernel.outstanding);
        assert_eq!(restored.active, kernel.active);
    }

    type Edit = fn(&mut KernelParts);

    fn parcel(sequence: u64, label: u16) -> Parcel {
        Parcel {
            payload: Value::Unit,
            sequence,
            label: LabelId(label),
        }
    }

    const INVALID: [(&str, Edit); 24] = [
        ("step index", |p| p.step_index = COUNTER_MAX + 1),
        ("image twice", |p| p.images.push(Arc::clone(&p.images[0]))),
        ("image row", |p| p.sessions[1].image = 2),
        ("counter", |p| p.sessions[0].events = u64::MAX),
        ("owner", |p| p.sessions[0].owner = "x".repeat(257).into()),
        ("no endpoint", |p| p.sessions[0].endpoints.truncate(1)),
        ("state", |p| p.sessions[0].endpoints[1].state = StateId(3)),
        ("holder", |p| {
            p.sessions[0].endpoints[1].holder = CoroutineId(2)
        }),
        ("live", |p| p.sessions[0].live = 3),
        ("no coroutine", |p| p.sessions[0].coroutines.clear()),
        ("program", |p| {
            p.sessions[0].coroutines[0].program = ProgramId(9)
        }),
        ("pc", |p| p.sessions[0].coroutines[0].pc = Pc(99)),
        ("no register", |p| {
            p.sessions[0].coroutines[0].registers.truncate(3)
        }),
        ("role", |p| {
            p.sessions[0].coroutines[0].role = Some(RoleId(2))
        }),
        ("other edge", |p| {
            p.sessions[0].coroutines[1].status = Status::Blocked(On::Empty(EdgeId(1)));
        }),
        ("faulted", |p| {
            p.sessions[0].coroutines[1].status = Status::Faulted
        }),
        ("no edge", |p| p.sessions[1].edges.truncate(1)),
        ("sequence", |p| {
            p.sessions[1].edges[0].queue.push_back(parcel(5, 0))
        }),
        ("label", |p| {
            p.sessions[1].edges[0].queue.push_back(parcel(0, 7))
        }),
        ("effect number", |p| p.sessions[0].effects[0].number = 5),
        ("effect of another", |p| {
            p.sessions[0].effects[0].coroutine = CoroutineId(1)
        }),
        ("no effect", |p| p.sessions[0].effects.clear()),
        ("witness", |p| {
            p.sessions[0].witnesses.push(Witness {
                number: 0,
                expires: 0,
                effect: 0,
                kind: WitnessKind::Check,
            });
        }),
        ("ended", |p| {
            p.sessions[0].phase = Phase::Terminal(End::Closed)
        }),
    ];

    #[test]
    fn an_invalid_field_is_reported_with_its_place() {
        let mut reported = String::new();
        for (name, edit) in INVALID {
            let mut parts = kernel().checkpoint_parts();
            edit(&mut parts);
            let error = match restored(parts) {
                Err(error) => error,
                Ok(_) => panic!("{name} is accepted"),
            };
            reported.push_str(&format!("{name}: {error}\n"));
        }
        insta::assert_snapshot!(reported);
    }

    #[test]
    fn a_queue_with_a_wrong_entry_is_refused() {
        let parts = kernel().checkpoint_parts();
        for wrong in [
            parts.ready[0],
            Pick {
                session: SessionId(7),
                ..parts.ready[0]
            },
        ] {
            let mut parts = parts.clone();
            parts.ready.push(wrong);
            let error = restored(parts).expect_err("an invalid queue");
            assert!(
                error.to_string().starts_with("the ready queue: coroutine"),
                "{error}"
            );
        }
    }
}
