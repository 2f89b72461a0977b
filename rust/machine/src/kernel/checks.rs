//! The invariants that one state of the machine can show, as checks that run.
//!
//! In builds with debug assertions the kernel checks the session that it touched after each turn and
//! each commit, and the whole machine every [`CHECK_STEPS`] steps, before each wave, and at the end of
//! a run. A check never changes what the machine does. The numbers are those of `docs/semantics.md`.

use std::collections::BTreeSet;

use super::ProtocolMachineKernel;
use crate::ids::{CoroutineId, EdgeId, Pick, RoleId, SessionId};
use crate::input::On;
use crate::session::{Phase, Session, Status};

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
