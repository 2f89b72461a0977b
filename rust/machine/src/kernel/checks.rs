//! Checks of the invariants that are visible in a single state of the machine.
//!
//! In builds with debug assertions the kernel checks the session that it changed after each turn
//! and each commit, and the whole machine every [`CHECK_STEPS`] steps, before each wave, and at the
//! end of a run. A check never changes what the machine does. The numbers are those of
//! `docs/semantics.md`.

use std::collections::BTreeSet;

use super::ProtocolMachineKernel;
use crate::ids::{CoroutineId, EdgeId, Pick, RoleId, SessionId};
use crate::input::On;
use crate::session::{Phase, Session, Status};

/// Steps between two checks of the whole machine in builds with debug assertions. A check is linear
/// in the machine, so it must cost little compared with the steps in between.
pub const CHECK_STEPS: u64 = 1_024;

/// An invariant that does not hold: a defect of the machine, never of its input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invariant {number} does not hold in session {session}: {what}")]
pub struct Broken {
    /// The invariant's number.
    pub number: u8,
    /// The session.
    pub session: SessionId,
    /// A description of the violation.
    pub what: String,
}

impl ProtocolMachineKernel {
    /// Checks every invariant that is visible in a single state. Linear in the size of the machine,
    /// and without an allocation when all hold.
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

    /// Checks the invariants of one session, except that of the ready queue. Linear in the session.
    pub(crate) fn check_session(&self, session: &Session) -> Result<(), Broken> {
        let of = |number| move |what| broken(number, session.id(), what);
        self.check_edges(session).map_err(of(1))?;
        check_sequences(session).map_err(of(2))?;
        self.check_endpoints(session).map_err(of(4))?;
        check_effects(session).map_err(of(5))
    }

    /// Invariant 0: each ready coroutine of an active session is in the queue once, and no other
    /// coroutine is.
    fn check_queue_holds_ready(&self) -> Result<(), Broken> {
        // Two sums over the same picks, in any order, are equal; different picks have the same sum
        // with a probability of about 2^-64.
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

    /// The ready coroutines of all active sessions, by session and number.
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

    /// Invariant 1: buffers are within bounds.
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

    /// Invariant 4: an endpoint has one holder, and a blocked coroutine waits for something that is
    /// absent.
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

/// Hashes a pick to a number, with SplitMix64, so that sums of neighbouring picks do not collide.
fn mixed(pick: Pick) -> u64 {
    let z = u64::from(pick.session.0) << 16 | u64::from(pick.coroutine.0);
    let z = z.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Invariant 2: the buffered messages are the last that were sent, in order, without gaps.
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

/// Invariant 5: outstanding effects are in order, each belongs to the coroutine that waits for it,
/// and none outlives its session.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ids::OperationId;
    use crate::input::Ingress;
    use crate::sample;
    use crate::session::Effect;
    use crate::sink::NoSink;

    /// A machine with one session whose two coroutines are ready.
    fn machine() -> ProtocolMachineKernel {
        let image = sample::bare_ping_pong();
        let mut kernel = ProtocolMachineKernel::new(Default::default());
        kernel.load(&image);
        let open = Ingress::Open {
            image: *image.digest(),
            owner: Arc::from("me"),
        };
        let _ = kernel.ingress(open, &mut NoSink).expect("there is room");
        assert_eq!(kernel.check(), Ok(()));
        kernel
    }

    fn first() -> Pick {
        Pick {
            session: SessionId(0),
            coroutine: CoroutineId(0),
        }
    }

    /// What a check finds after a change of the machine.
    fn found(change: impl FnOnce(&mut ProtocolMachineKernel)) -> String {
        let mut kernel = machine();
        change(&mut kernel);
        kernel.check().expect_err("the change is found").to_string()
    }

    #[test]
    fn reports_every_defect_of_the_ready_queue() {
        let missing = found(|kernel| kernel.queue.remove(first()));
        assert!(
            missing.ends_with("coroutine 0 is ready and not queued"),
            "{missing}"
        );
        let twice = found(|kernel| kernel.queue.push(first(), 0));
        assert!(twice.ends_with("coroutine 0 is queued twice"), "{twice}");
        let blocked = found(|kernel| {
            let on = On::Empty(EdgeId(0));
            kernel.sessions[0].coroutines[0].status = Status::Blocked(on);
        });
        assert!(
            blocked.ends_with("coroutine 0 is queued and not ready"),
            "{blocked}"
        );
    }

    #[test]
    fn reports_a_wrong_count_of_outstanding_effects() {
        let counted = found(|kernel| kernel.outstanding = 1);
        assert!(
            counted.contains("0 effects outstanding, 1 counted"),
            "{counted}"
        );
    }

    /// The path that ships is checked: a run of a machine that is wrong stops at its end.
    #[test]
    #[should_panic(expected = "1 counted")]
    fn a_run_checks_the_machine_at_its_end() {
        let mut kernel = machine();
        kernel.outstanding = 1;
        let cancel = Ingress::Cancel {
            session: SessionId(0),
            owner: Arc::from("me"),
        };
        let _ = kernel
            .ingress(cancel, &mut NoSink)
            .expect("the owner cancels");
        let _ = kernel.step(&mut NoSink);
    }

    /// A run of many steps checks the whole machine on the way.
    #[test]
    #[should_panic(expected = "1 counted")]
    fn a_long_run_checks_the_machine_on_the_way() {
        let mut kernel = machine();
        kernel.outstanding = 1;
        for _ in 0..=CHECK_STEPS {
            let _ = kernel.step(&mut NoSink);
        }
    }

    /// A turn checks the session that it stepped.
    #[test]
    #[should_panic(expected = "invariant 5")]
    fn a_turn_checks_the_session_that_it_stepped() {
        let mut kernel = machine();
        // No coroutine waits for this effect.
        kernel.sessions[0].effects.push(Effect {
            number: 0,
            deadline: None,
            operation: OperationId(0),
            coroutine: CoroutineId(0),
            attempt: 0,
        });
        let _ = kernel.step(&mut NoSink);
    }
}
