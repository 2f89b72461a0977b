//! The envelope of concurrent runs: in what two runs of the same sessions may differ.
//!
//! Sessions share no state, so the order in which the steps of different sessions interleave has no
//! meaning. [`EnvelopeDiff`] reports whether two runs are equal, differ only in that order, or
//! differ in more, and in what.

use std::collections::BTreeMap;
use std::fmt;

use crate::event::{ObsEvent, Stamp};
use crate::fault::Refusal;
use crate::ids::SessionId;
use crate::input::Ingress;
use crate::kernel::ProtocolMachineKernel;
use crate::sink::{Observation, Sink};

/// An observer that records all of a run. [`close`](Self::close) adds the final state of the
/// sessions.
#[derive(Clone, Debug, Default)]
pub struct RunLog {
    events: Vec<ObsEvent>,
    inputs: Vec<InputEntry>,
    states: Vec<[u8; 32]>,
    clock: u64,
}

/// An input or a refusal, which is not an event of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
enum InputEntry {
    Input(Ingress),
    Refused(Refusal),
}

/// How two runs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeDiff {
    /// They do not: the same events with the same stamps in the same order.
    Equal,
    /// Each session has the same events, in the same order, at the same clock readings, and the
    /// same final state. The steps of different sessions interleave differently.
    Reordered,
    /// They differ in more than the interleaving.
    Outside(Outside),
}

/// What puts two runs outside the envelope: the first difference found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// A session is in one run only.
    Missing {
        /// The session.
        session: SessionId,
    },
    /// A session's events differ.
    Trace {
        /// The session.
        session: SessionId,
        /// The position of the first event that differs, from 0.
        at: usize,
    },
    /// A session's final state differs, though its events do not.
    State {
        /// The session.
        session: SessionId,
    },
    /// An input or refusal that belongs to no session differs.
    Apart {
        /// The position of the first one that differs, from 0.
        at: usize,
    },
    /// An input to a session, or its refusal, differs.
    Inputs {
        /// The session.
        session: SessionId,
        /// The position of the first one that differs, from 0.
        at: usize,
    },
    /// The final clock differs.
    Clock,
}

impl RunLog {
    /// Adds the final state of the machine.
    pub fn close(&mut self, kernel: &ProtocolMachineKernel) {
        let digests = kernel
            .sessions()
            .iter()
            .map(|s| kernel.session_digest(s.id()));
        self.states = digests.map(Option::unwrap_or_default).collect();
        self.clock = kernel.clock();
    }

    /// The events, in the order in which they were observed.
    pub fn events(&self) -> &[ObsEvent] {
        &self.events
    }

    /// Events by session.
    fn events_by_session(&self) -> BTreeMap<SessionId, Vec<&ObsEvent>> {
        grouped(&self.events, |event| event.stamp.session)
    }

    /// The inputs and refusals of each session, and under `None` those of the machine.
    fn inputs_by_session(&self) -> BTreeMap<Option<SessionId>, Vec<&InputEntry>> {
        grouped(&self.inputs, InputEntry::session)
    }
}

fn grouped<T, K: Ord>(items: &[T], group: impl Fn(&T) -> K) -> BTreeMap<K, Vec<&T>> {
    let mut groups: BTreeMap<K, Vec<&T>> = BTreeMap::new();
    for item in items {
        groups.entry(group(item)).or_default().push(item);
    }
    groups
}

/// The first position at which two lists differ.
fn differing<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> Option<usize> {
    let at = a.iter().zip(b).position(|(a, b)| !same(a, b));
    at.or_else(|| (a.len() != b.len()).then(|| a.len().min(b.len())))
}

/// Whether two events are equal but for the machine's step index, which depends on the
/// interleaving.
fn same_event(a: &ObsEvent, b: &ObsEvent) -> bool {
    let step = b.stamp.step;
    Stamp { step, ..a.stamp } == b.stamp && a.event == b.event
}

fn outside(a: &RunLog, b: &RunLog) -> Option<Outside> {
    let (inputs, others) = (a.inputs_by_session(), b.inputs_by_session());
    for of in inputs.keys().chain(others.keys()) {
        let row = |inputs: &BTreeMap<_, Vec<_>>| inputs.get(of).cloned().unwrap_or_default();
        if let Some(at) = differing(&row(&inputs), &row(&others), |a, b| a == b) {
            return Some(match *of {
                Some(session) => Outside::Inputs { session, at },
                None => Outside::Apart { at },
            });
        }
    }
    let (traces, others) = (a.events_by_session(), b.events_by_session());
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
        return Some(if missing {
            Outside::Missing { session }
        } else {
            Outside::State { session }
        });
    }
    (a.clock != b.clock).then_some(Outside::Clock)
}

impl InputEntry {
    /// The session that it concerns; `None` for the machine.
    fn session(&self) -> Option<SessionId> {
        match self {
            InputEntry::Input(input) => input.session(),
            InputEntry::Refused(
                Refusal::NoSuchSession { session }
                | Refusal::SessionEnded { session }
                | Refusal::NotOwner { session },
            ) => Some(*session),
            InputEntry::Refused(Refusal::Late { effect } | Refusal::NeverIssued { effect }) => {
                Some(effect.session)
            }
            InputEntry::Refused(
                Refusal::NoSuchImage
                | Refusal::SessionBound { .. }
                | Refusal::OwnerTooLong { .. }
                | Refusal::ClockOverflow { .. },
            ) => None,
        }
    }
}

impl EnvelopeDiff {
    /// How the runs differ. The time is linear in the events and inputs, times the logarithm of the
    /// number of sessions.
    pub fn between(a: &RunLog, b: &RunLog) -> EnvelopeDiff {
        match outside(a, b) {
            Some(outside) => EnvelopeDiff::Outside(outside),
            None if a.events == b.events && a.inputs == b.inputs => EnvelopeDiff::Equal,
            None => EnvelopeDiff::Reordered,
        }
    }

    /// Whether the runs differ in their interleaving at most.
    pub fn is_within(&self) -> bool {
        !matches!(self, EnvelopeDiff::Outside(_))
    }
}

impl Sink for RunLog {
    fn observe(&mut self, observation: Observation<'_>) {
        match observation {
            Observation::Event { .. } => self.events.observe(observation),
            Observation::Input { input, .. } => self.inputs.push(InputEntry::Input(input.clone())),
            Observation::Refused { refusal, .. } => {
                self.inputs.push(InputEntry::Refused(*refusal));
            }
            Observation::Loaded(_)
            | Observation::Wave { .. }
            | Observation::Request { .. }
            | Observation::Stepped(_)
            | Observation::Rested(..) => {}
        }
    }
}

impl fmt::Display for EnvelopeDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvelopeDiff::Equal => f.write_str("equal"),
            EnvelopeDiff::Reordered => {
                f.write_str("equivalent: same per-session traces, different interleaving")
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
                    "the inputs to the machine differ at input or refusal {at}"
                )
            }
            Outside::Inputs { session, at } => {
                write!(
                    f,
                    "the inputs to session {session} differ at input or refusal {at}"
                )
            }
            Outside::Clock => f.write_str("the clocks differ"),
        }
    }
}
