//! A sink that checks the invariants of the machine along a whole run.
//!
//! [`ProtocolMachineKernel::check`] checks one state; [`Watch`] also checks what only a history
//! shows. The numbers are those of `docs/semantics.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, Message, Stamp};
use crate::fault::Action;
use crate::ids::{EdgeId, LabelId, RoleId, SessionId, StateId};
use crate::kernel::ProtocolMachineKernel;
pub use crate::kernel::{Broken, CHECK_STEPS};
use crate::session::Phase;
use crate::sink::{Observation, Sink};

/// A sink that checks every invariant along a run and keeps the first one that is broken.
///
/// Each step encodes the whole machine, so it is meant for tests and simulation.
#[derive(Debug, Default)]
pub struct Watch {
    broken: Option<Broken>,
    /// Canonical bytes of each session after the last step or input.
    last: Vec<Vec<u8>>,
    /// Sessions that had events since the last boundary.
    touched: BTreeSet<SessionId>,
    /// Invariants 2 and 3: sequence numbers and states, as the events give them.
    sent: BTreeMap<(SessionId, EdgeId), u64>,
    taken: BTreeMap<(SessionId, EdgeId), u64>,
    /// Invariant 5: effects that were issued and have not ended.
    open: BTreeSet<(SessionId, u64)>,
    indices: BTreeMap<SessionId, u64>,
    ended: BTreeSet<SessionId>,
    moves: Vec<(SessionId, Move)>,
    states: BTreeMap<(SessionId, RoleId), StateId>,
    steps: u64,
    /// Whether an input caused the events since the last boundary. An input may touch many
    /// sessions.
    by_input: bool,
}

#[derive(Debug)]
struct Move {
    edge: EdgeId,
    label: LabelId,
    sends: bool,
}

impl Watch {
    /// The first broken invariant, if one was.
    pub fn verdict(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// How many times the machine reported steps to this sink.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn found(&mut self, number: u8, session: SessionId, what: String) {
        if self.broken.is_none() {
            self.broken = Some(Broken {
                number,
                session,
                what,
            });
        }
    }

    /// Invariant 3: the communications of each role are a path of its automaton.
    fn follow(&mut self, kernel: &ProtocolMachineKernel) {
        for (id, Move { edge, label, sends }) in std::mem::take(&mut self.moves) {
            let Some(session) = kernel.session(id) else {
                continue;
            };
            let image = kernel.image(session);
            let Some(&(from, to)) = image.edges().get(edge.index()) else {
                continue;
            };
            let (role, peer) = if sends { (from, to) } else { (to, from) };
            let action = if sends { Action::Send } else { Action::Receive };
            let state = self.states.get(&(id, role)).copied().unwrap_or(StateId(0));
            let point = image
                .point(role, state)
                .filter(|p| p.action == action && p.peer == peer);
            let branch = point.and_then(|p| p.branches.iter().find(|t| t.label == label));
            match branch {
                Some(branch) => {
                    self.states.insert((id, role), branch.next);
                }
                None => self.found(3, id, format!("role {role} left its automaton at {state}")),
            }
        }
        for session in kernel.sessions() {
            for (role, endpoint) in (0..u16::MAX).map(RoleId).zip(session.endpoints()) {
                let expected = self
                    .states
                    .get(&(session.id(), role))
                    .copied()
                    .unwrap_or(StateId(0));
                if expected != endpoint.state {
                    let what = format!(
                        "role {role} is in {}, its events lead to {expected}",
                        endpoint.state
                    );
                    self.found(3, session.id(), what);
                }
            }
        }
    }

    /// Invariants 6 and 7: a terminal session never changes, and only the session that stepped
    /// does.
    fn compare(&mut self, kernel: &ProtocolMachineKernel) {
        for (n, session) in kernel.sessions().iter().enumerate() {
            let Some(bytes) = kernel.session_bytes(session.id()) else {
                continue;
            };
            match self.last.get_mut(n) {
                None => self.last.push(bytes),
                Some(last) if *last == bytes => {}
                Some(last) => {
                    *last = bytes;
                    let id = session.id();
                    if self.ended.contains(&id) {
                        self.found(6, id, "the session changed after its end".to_owned());
                    }
                }
            }
            if session.phase() != Phase::Active {
                self.ended.insert(session.id());
            }
        }
    }

    /// Invariant 7: one step touches one session.
    fn boundary(&mut self, by_input: bool) {
        if self.touched.len() > 1 && !self.by_input {
            let touched: Vec<_> = self.touched.iter().copied().collect();
            self.found(
                7,
                touched[0],
                format!("one step touched sessions {touched:?}"),
            );
        }
        self.touched.clear();
        self.by_input = by_input;
    }

    fn message(&mut self, session: SessionId, message: &Message, sends: bool) {
        let counters = if sends {
            &mut self.sent
        } else {
            &mut self.taken
        };
        let next = counters.entry((session, message.edge)).or_default();
        let expected = *next;
        *next += 1;
        if expected != message.sequence {
            let what = format!("message {} on edge {}", message.sequence, message.edge);
            self.found(2, session, what);
        }
        let Message { edge, label, .. } = *message;
        self.moves.push((session, Move { edge, label, sends }));
    }

    fn effect_ends(&mut self, session: SessionId, number: u64) {
        if !self.open.remove(&(session, number)) {
            self.found(
                5,
                session,
                format!("effect {number} ended twice or was never issued"),
            );
        }
    }

    /// Invariant 8: a refused input changes nothing. Compares the canonical bytes of the
    /// machine before and after such an input. The caller supplies them, because
    /// [`Observation::Refused`] does not see the kernel.
    pub fn unchanged(&mut self, before: &[u8], after: &[u8]) {
        if before != after {
            self.found(
                8,
                SessionId(0),
                "a refused input changed the machine".to_owned(),
            );
        }
    }
}

impl Sink for Watch {
    fn observe(&mut self, observation: Observation<'_>) {
        match observation {
            Observation::Event { stamp, event } => self.event(stamp, event),
            Observation::Input { .. } => self.boundary(true),
            Observation::Stepped(kernel) => self.stepped(kernel),
            Observation::Loaded(_)
            | Observation::Wave { .. }
            | Observation::Request { .. }
            | Observation::Refused { .. }
            | Observation::Rested(..) => {}
        }
    }
}

impl Watch {
    fn event(&mut self, stamp: &Stamp, event: &Event) {
        let id = stamp.session;
        self.touched.insert(id);
        let index = self.indices.entry(id).or_default();
        let expected = *index;
        *index += 1;
        if expected != stamp.index {
            self.found(
                0,
                id,
                format!("event {} follows event {expected}", stamp.index),
            );
        }
        match event {
            Event::Sent(message) | Event::Offered(message) => self.message(id, message, true),
            Event::Received(message) | Event::Chose(message) => self.message(id, message, false),
            Event::EffectIssued { number, .. } => {
                if !self.open.insert((id, *number)) {
                    self.found(5, id, format!("effect {number} issued twice"));
                }
            }
            Event::EffectResolved { number, .. }
            | Event::EffectFailed { number, .. }
            | Event::EffectInvalidated { number } => self.effect_ends(id, *number),
            Event::SessionTerminal { .. } => {
                if self.open.range((id, 0)..=(id, u64::MAX)).next().is_some() {
                    self.found(
                        5,
                        id,
                        "the session ended with an effect outstanding".to_owned(),
                    );
                }
            }
            Event::Opened { .. }
            | Event::WitnessIssued { .. }
            | Event::WitnessExpired { .. }
            | Event::TimeoutIssued { .. }
            | Event::CancellationRequested { .. }
            | Event::Cancelled { .. }
            | Event::FailureBranchEntered { .. }
            | Event::Spawned { .. }
            | Event::Halted { .. }
            | Event::Faulted { .. }
            | Event::Closed
            | Event::EpochAdvanced { .. } => {}
        }
    }

    fn stepped(&mut self, kernel: &ProtocolMachineKernel) {
        self.steps += 1;
        if let Err(broken) = kernel.check()
            && self.broken.is_none()
        {
            self.broken = Some(broken);
        }
        self.boundary(false);
        self.follow(kernel);
        self.compare(kernel);
    }
}
