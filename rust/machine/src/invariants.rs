//! The invariants of the machine, as checks that run.
//!
//! [`ProtocolMachineKernel::check`] checks one state. In builds with debug assertions the kernel checks
//! the session that it touched after each turn and each commit, and the whole machine every
//! [`CHECK_STEPS`] steps, before each wave, and at the end of a run; a check never changes what the
//! machine does. [`Watch`] is a sink that follows a whole run and also checks what only a history
//! shows. The numbers are those of `docs/semantics.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, Message, Sink, Stamp};
use crate::fault::Action;
use crate::ids::{CoroutineId, EdgeId, LabelId, RoleId, SessionId, StateId};
use crate::kernel::{Ingress, ProtocolMachineKernel};
use crate::queue::Pick;
use crate::session::{On, Phase, Session, Status};

/// Steps between two checks of the whole machine in builds with debug assertions: a check is linear in
/// the machine, so that it costs little beside as many steps.
pub const CHECK_STEPS: u64 = 1_024;

/// An invariant that does not hold: a defect of the machine, never of its input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invariant {number} does not hold in session {session}: {what}")]
pub struct Broken {
    /// The invariant's number.
    pub number: u8,
    /// The session.
    pub session: SessionId,
    /// What was found.
    pub what: String,
}

impl ProtocolMachineKernel {
    /// Checks every invariant that a single state can show. Linear in the size of the machine, and
    /// without an allocation when all hold.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        for session in self.sessions() {
            self.check_session(session)?;
        }
        self.check_queue_holds_ready()?;
        let outstanding: usize = self.sessions().iter().map(|s| s.effects().len()).sum();
        if outstanding != self.outstanding() {
            let counted = self.outstanding();
            let what = format!("{outstanding} effects outstanding, {counted} counted");
            return Err(broken(5, SessionId(0), what));
        }
        Ok(())
    }

    /// Checks the invariants of one session, but for the ready queue. Linear in the session.
    pub(crate) fn check_session(&self, session: &Session) -> Result<(), Broken> {
        let of = |number| move |what| broken(number, session.id(), what);
        self.check_edges(session).map_err(of(1))?;
        check_sequences(session).map_err(of(2))?;
        self.check_endpoints(session).map_err(of(4))?;
        check_effects(session).map_err(of(5))
    }

    /// 0: each ready coroutine of an active session is in the queue once, and no other coroutine is.
    fn check_queue_holds_ready(&self) -> Result<(), Broken> {
        // Two sums over the same picks, in any order, are equal; picks that differ give the same
        // sum about once in 2^64 times.
        let sum = |picks: &mut dyn Iterator<Item = Pick>| {
            picks.fold(0u64, |sum, pick| sum.wrapping_add(mixed(pick)))
        };
        if sum(&mut self.ready_picks()) == sum(&mut self.ready_coroutines()) {
            return Ok(());
        }
        let queue: Vec<Pick> = self.ready_picks().collect();
        let (queued, ready): (BTreeSet<Pick>, BTreeSet<Pick>) = (
            queue.iter().copied().collect(),
            self.ready_coroutines().collect(),
        );
        let found = |pick: &Pick, what: &str| {
            let what = format!("coroutine {} {what}", pick.coroutine);
            Err(broken(0, pick.session, what))
        };
        if let Some(pick) = ready.difference(&queued).next() {
            return found(pick, "is ready and not queued");
        }
        if let Some(pick) = queued.difference(&ready).next() {
            return found(pick, "is queued and not ready");
        }
        let mut seen = BTreeSet::new();
        match queue.iter().find(|pick| !seen.insert(**pick)) {
            Some(pick) => found(pick, "is queued twice"),
            None => Ok(()),
        }
    }

    /// The ready coroutines of all active sessions, in the order of their numbers.
    fn ready_coroutines(&self) -> impl Iterator<Item = Pick> {
        let active = self
            .sessions()
            .iter()
            .filter(|s| s.phase() == Phase::Active);
        active.flat_map(|session| {
            let numbered = (0..u16::MAX).map(CoroutineId).zip(session.coroutines());
            let ready = numbered.filter(|(_, c)| c.status == Status::Ready);
            ready.map(|(coroutine, _)| Pick {
                session: session.id(),
                coroutine,
            })
        })
    }

    /// 1: buffers are within bounds.
    fn check_edges(&self, session: &Session) -> Result<(), String> {
        let max = self.config().buffer_len_max as usize;
        match session
            .edges()
            .iter()
            .position(|edge| edge.queue.len() > max)
        {
            Some(n) => Err(format!("edge {n} holds more than {max} messages")),
            None => Ok(()),
        }
    }

    /// 4: an endpoint has one holder; a blocked coroutine waits for what is really not there.
    fn check_endpoints(&self, session: &Session) -> Result<(), String> {
        for (role, endpoint) in (0..u16::MAX).map(RoleId).zip(session.endpoints()) {
            if session.coroutines().get(endpoint.holder.index()).is_none() {
                return Err(format!("the endpoint of role {role} has no holder"));
            }
        }
        if session.phase() != Phase::Active {
            return Ok(());
        }
        let max = self.config().buffer_len_max as usize;
        for coroutine in session.coroutines() {
            let len = |edge: EdgeId| session.edges().get(edge.index()).map(|e| e.queue.len());
            let honest = match coroutine.status {
                Status::Blocked(On::Empty(edge)) => len(edge) == Some(0),
                Status::Blocked(On::Full(edge)) => len(edge) == Some(max),
                Status::Blocked(On::Effect(n)) => session.effects().iter().any(|e| e.number == n),
                Status::Ready | Status::Halted | Status::Faulted => true,
            };
            if !honest {
                return Err(format!("{:?} is not the case", coroutine.status));
            }
        }
        Ok(())
    }
}

fn broken(number: u8, session: SessionId, what: String) -> Broken {
    Broken {
        number,
        session,
        what,
    }
}

/// A pick as a number that shares no pattern with those of its neighbours (SplitMix64).
fn mixed(pick: Pick) -> u64 {
    let z = u64::from(pick.session.0) << 16 | u64::from(pick.coroutine.0);
    let z = z.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 2: what is buffered is the last of what was sent, in order, without gaps.
fn check_sequences(session: &Session) -> Result<(), String> {
    for (n, edge) in session.edges().iter().enumerate() {
        let Some(first) = edge.sent.checked_sub(edge.queue.len() as u64) else {
            return Err(format!("edge {n} holds more than was sent"));
        };
        if (first..)
            .zip(edge.queue.iter())
            .any(|(expected, parcel)| parcel.sequence != expected)
        {
            return Err(format!("edge {n} holds messages out of sequence"));
        }
    }
    Ok(())
}

/// 5: outstanding effects are in order, belong to whoever waits for them, and none outlives its session.
fn check_effects(session: &Session) -> Result<(), String> {
    if session.phase() != Phase::Active && !session.effects().is_empty() {
        return Err("effects outlive the session".to_owned());
    }
    if !session.effects().is_sorted_by(|a, b| a.number < b.number) {
        return Err("effects are out of order".to_owned());
    }
    for effect in session.effects() {
        let waits = session
            .coroutines()
            .get(effect.coroutine.index())
            .map(|c| c.status);
        if waits != Some(Status::Blocked(On::Effect(effect.number))) {
            return Err(format!("nobody waits for effect {}", effect.number));
        }
    }
    Ok(())
}

/// A sink that checks every invariant along a run, and keeps the first one that is broken.
///
/// Costs a whole encoding of the machine a step; for tests and simulation.
#[derive(Debug, Default)]
pub struct Watch {
    broken: Option<Broken>,
    /// Canonical bytes of each session after the last step or input.
    last: Vec<Vec<u8>>,
    /// Sessions that events were seen of since.
    touched: BTreeSet<SessionId>,
    /// 2, 3: sequence numbers and states as the events tell them.
    sent: BTreeMap<(SessionId, EdgeId), u64>,
    taken: BTreeMap<(SessionId, EdgeId), u64>,
    /// 5: effects issued and not ended.
    open: BTreeSet<(SessionId, u64)>,
    indices: BTreeMap<SessionId, u64>,
    ended: BTreeSet<SessionId>,
    moves: Vec<(SessionId, Move)>,
    states: BTreeMap<(SessionId, RoleId), StateId>,
    steps: u64,
    /// Whether what was touched since the last boundary was touched by an input, which may touch many sessions.
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

    /// How many steps were watched.
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

    /// 3: the communications of each role are a path of its automaton.
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
                let told = self
                    .states
                    .get(&(session.id(), role))
                    .copied()
                    .unwrap_or(StateId(0));
                if told != endpoint.state {
                    let what = format!(
                        "role {role} is in {}, its events say {told}",
                        endpoint.state
                    );
                    self.found(3, session.id(), what);
                }
            }
        }
    }

    /// 6 and 7: a terminal session never changes, and only the one that stepped does.
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
                        self.found(6, id, "it changed after its end".to_owned());
                    }
                }
            }
            if session.phase() != Phase::Active {
                self.ended.insert(session.id());
            }
        }
    }

    /// 7: one step touches one session.
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

    /// Compares the whole machine with what it was before a refused input.
    ///
    /// 8: refused input changes nothing. The kernel cannot be seen from inside [`Sink::refused`], so the test hands in
    /// the bytes from before and after.
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
    fn event(&mut self, stamp: &Stamp, event: Event) {
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
            Event::Sent(message) | Event::Offered(message) => self.message(id, &message, true),
            Event::Received(message) | Event::Chose(message) => self.message(id, &message, false),
            Event::EffectIssued { number, .. } => {
                if !self.open.insert((id, number)) {
                    self.found(5, id, format!("effect {number} issued twice"));
                }
            }
            Event::EffectResolved { number, .. }
            | Event::EffectFailed { number, .. }
            | Event::EffectInvalidated { number } => self.effect_ends(id, number),
            Event::SessionTerminal { .. } => {
                if self.open.range((id, 0)..=(id, u64::MAX)).next().is_some() {
                    self.found(5, id, "the session ended with an effect hanging".to_owned());
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

    fn ingress(&mut self, _: u64, _: &Ingress) {
        self.boundary(true);
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
