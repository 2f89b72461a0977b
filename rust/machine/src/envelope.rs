//! What two runs of the same sessions may differ in, and whether they do in more.
//!
//! Sessions have nothing in common, so in what order their steps lie between each other means nothing: that is the envelope of a
//! run with concurrency. [`EnvelopeDiff`] says whether two runs are equal, differ within it, or are outside, and by what.

use std::collections::BTreeMap;
use std::fmt;

use crate::event::{Event, ObsEvent, Stamp};
use crate::fault::Refusal;
use crate::ids::SessionId;
use crate::input::Ingress;
use crate::kernel::ProtocolMachineKernel;
use crate::sink::Sink;

/// Everything that a run shows: an observer. [`close`](Self::close) adds how the sessions stand at the end.
#[derive(Clone, Debug, Default)]
pub struct RunLog {
    events: Vec<ObsEvent>,
    apart: Vec<Apart>,
    states: Vec<[u8; 32]>,
    clock: u64,
}

/// What happens in a run and is no event of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Apart {
    Input(Ingress),
    Refused(Refusal),
}

/// How two runs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeDiff {
    /// In nothing: the same events with the same stamps in the same order.
    Equal,
    /// Each session's events are the same, in the same order, at the same times, and so is its end. The steps of different sessions
    /// lie otherwise between each other.
    Reordered,
    /// In more than that.
    Outside(Outside),
}

/// What puts two runs outside the envelope: the first difference found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// A session is in one run only.
    Missing {
        /// Which.
        session: SessionId,
    },
    /// A session's events differ.
    Trace {
        /// Which session.
        session: SessionId,
        /// At which of its events, from 0.
        at: usize,
    },
    /// A session's end differs, though its events do not.
    State {
        /// Which session.
        session: SessionId,
    },
    /// What belongs to no session differs: time, refusals of what concerns no session or one that is not there.
    Apart {
        /// At which of those, from 0.
        at: usize,
    },
    /// What was put to a session from outside, or refused it, differs.
    Inputs {
        /// Which session.
        session: SessionId,
        /// At which of those, from 0.
        at: usize,
    },
    /// The clock at the end differs.
    Clock,
}

impl RunLog {
    /// Adds how the machine stands.
    pub fn close(&mut self, kernel: &ProtocolMachineKernel) {
        let digests = kernel
            .sessions()
            .iter()
            .map(|s| kernel.session_digest(s.id()));
        self.states = digests.map(Option::unwrap_or_default).collect();
        self.clock = kernel.clock();
    }

    /// The events, in the order in which they were told.
    pub fn events(&self) -> &[ObsEvent] {
        &self.events
    }

    /// Events by session.
    fn traces(&self) -> BTreeMap<SessionId, Vec<&ObsEvent>> {
        grouped(&self.events, |told| told.stamp.session)
    }

    /// What was put to each session, and to the machine.
    fn inputs(&self) -> BTreeMap<Option<SessionId>, Vec<&Apart>> {
        grouped(&self.apart, Apart::session)
    }
}

fn grouped<T, K: Ord>(items: &[T], group: impl Fn(&T) -> K) -> BTreeMap<K, Vec<&T>> {
    let mut groups: BTreeMap<K, Vec<&T>> = BTreeMap::new();
    for item in items {
        groups.entry(group(item)).or_default().push(item);
    }
    groups
}

/// Where two lists differ first.
fn differing<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> Option<usize> {
    let at = a.iter().zip(b).position(|(a, b)| !same(a, b));
    at.or_else(|| (a.len() != b.len()).then(|| a.len().min(b.len())))
}

/// Whether the event is the same but for the machine's step index, which is not the session's.
fn same_event(a: &ObsEvent, b: &ObsEvent) -> bool {
    let step = b.stamp.step;
    Stamp { step, ..a.stamp } == b.stamp && a.event == b.event
}

fn outside(a: &RunLog, b: &RunLog) -> Option<Outside> {
    let (inputs, others) = (a.inputs(), b.inputs());
    for of in inputs.keys().chain(others.keys()) {
        let row = |inputs: &BTreeMap<_, Vec<_>>| inputs.get(of).cloned().unwrap_or_default();
        if let Some(at) = differing(&row(&inputs), &row(&others), |a, b| a == b) {
            return Some(match *of {
                Some(session) => Outside::Inputs { session, at },
                None => Outside::Apart { at },
            });
        }
    }
    let (traces, others) = (a.traces(), b.traces());
    for session in traces.keys().chain(others.keys()).copied() {
        let (Some(trace), Some(other)) = (traces.get(&session), others.get(&session)) else {
            return Some(Outside::Missing { session });
        };
        if let Some(at) = differing(trace, other, |a, b| same_event(a, b)) {
            return Some(Outside::Trace { session, at });
        }
    }
    if let Some(at) = differing(&a.states, &b.states, |a, b| a == b) {
        let session = SessionId(at as u32);
        let missing = at >= a.states.len().min(b.states.len());
        return Some(match missing {
            true => Outside::Missing { session },
            false => Outside::State { session },
        });
    }
    (a.clock != b.clock).then_some(Outside::Clock)
}

impl Apart {
    /// The session that it is put to; `None`: it concerns the machine.
    fn session(&self) -> Option<SessionId> {
        match self {
            Apart::Input(Ingress::Outcome { effect, .. }) => Some(effect.session),
            Apart::Input(Ingress::Cancel { session, .. }) => Some(*session),
            Apart::Input(Ingress::Open { .. } | Ingress::AdvanceClock { .. }) => None,
            Apart::Refused(
                Refusal::NoSuchSession { session }
                | Refusal::SessionEnded { session }
                | Refusal::NotOwner { session },
            ) => Some(*session),
            Apart::Refused(Refusal::Late { effect } | Refusal::NeverIssued { effect }) => {
                Some(effect.session)
            }
            Apart::Refused(
                Refusal::NoSuchImage
                | Refusal::SessionBound { .. }
                | Refusal::OwnerTooLong { .. }
                | Refusal::ClockOverflow { .. },
            ) => None,
        }
    }
}

impl EnvelopeDiff {
    /// How the runs differ. Linear in both, but for a factor of their sessions where one has many inputs.
    pub fn between(a: &RunLog, b: &RunLog) -> EnvelopeDiff {
        match outside(a, b) {
            Some(outside) => EnvelopeDiff::Outside(outside),
            None if a.events == b.events && a.apart == b.apart => EnvelopeDiff::Equal,
            None => EnvelopeDiff::Reordered,
        }
    }

    /// Whether concurrency explains the difference.
    pub fn is_within(&self) -> bool {
        !matches!(self, EnvelopeDiff::Outside(_))
    }
}

impl Sink for RunLog {
    fn event(&mut self, stamp: &Stamp, event: Event) {
        self.events.event(stamp, event);
    }

    fn ingress(&mut self, _: u64, input: &Ingress) {
        self.apart.push(Apart::Input(input.clone()));
    }

    fn refused(&mut self, _: u64, refusal: &Refusal) {
        self.apart.push(Apart::Refused(*refusal));
    }
}

impl fmt::Display for EnvelopeDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvelopeDiff::Equal => f.write_str("equal"),
            EnvelopeDiff::Reordered => {
                f.write_str("within the envelope: the same sessions, otherwise between each other")
            }
            EnvelopeDiff::Outside(outside) => write!(f, "outside the envelope: {outside}"),
        }
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outside::Missing { session } => write!(f, "session {session} is in one run only"),
            Outside::Trace { session, at } => {
                write!(f, "event {at} of session {session} differs")
            }
            Outside::State { session } => write!(f, "the end of session {session} differs"),
            Outside::Apart { at } => {
                write!(
                    f,
                    "what is put to the machine differs, at input or refusal {at}"
                )
            }
            Outside::Inputs { session, at } => {
                write!(
                    f,
                    "what is put to session {session} differs, at input or refusal {at}"
                )
            }
            Outside::Clock => f.write_str("the clocks differ"),
        }
    }
}
