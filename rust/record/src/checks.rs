//! The digests in a recording's checkpoints, which the determinism mode selects.

use antiphon_codec::Encoder;
use antiphon_machine::{
    Canonical, DeterminismMode, Event, ProtocolMachineKernel, Stamp, TraceDigest,
};

use crate::entry::{Checkpoint, Stop};

/// Precedes the digests of all sessions' states in the hashed bytes.
const STATES_TAG: &[u8] = b"antiphon.session-states.v1";
/// Precedes the digests of all sessions' traces in the hashed bytes.
const TRACES_TAG: &[u8] = b"antiphon.session-traces.v1";

/// The digests of a run so far, by determinism mode. A recorder keeps one, and so does a replay.
#[derive(Clone, Debug)]
pub(crate) enum Checks {
    /// The state of the whole machine, and the trace in the order of the events.
    Whole(Box<TraceDigest>),
    /// The state and the trace of each session separately.
    BySession(Traces),
    /// The state of the whole machine. The trace is a hash over all events from the first one, so a
    /// replay that continues from a checkpoint file has none.
    State,
    /// No digests.
    Off,
}

/// A digest per session, which is updated with each event. It has 32 bytes for a trace of any
/// length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces {
    sessions: Vec<[u8; 32]>,
    bytes: Vec<u8>,
}

impl Checks {
    pub(crate) fn new(mode: DeterminismMode) -> Checks {
        match mode {
            DeterminismMode::Full | DeterminismMode::Replay => Checks::Whole(Default::default()),
            DeterminismMode::ModuloCommutativity => Checks::BySession(Default::default()),
            DeterminismMode::ModuloEffects => Checks::Off,
        }
    }

    /// The digests of a run that continues from a checkpoint file with these traces of its
    /// sessions. `None` if the mode has no digests, or if there are traces and the mode does not
    /// have one for each session.
    pub(crate) fn continued(mode: DeterminismMode, traces: Vec<[u8; 32]>) -> Option<Checks> {
        match mode {
            DeterminismMode::Full | DeterminismMode::Replay if traces.is_empty() => {
                Some(Checks::State)
            }
            DeterminismMode::ModuloCommutativity => Some(Checks::BySession(Traces {
                sessions: traces,
                bytes: Vec::new(),
            })),
            DeterminismMode::Full | DeterminismMode::Replay | DeterminismMode::ModuloEffects => {
                None
            }
        }
    }

    /// The digests of the sessions' traces; empty unless each session has its own.
    pub(crate) fn traces(&self) -> &[[u8; 32]] {
        match self {
            Checks::BySession(traces) => &traces.sessions,
            Checks::Whole(_) | Checks::State | Checks::Off => &[],
        }
    }

    /// Whether a checkpoint can be taken while coroutines are ready. It cannot if the order of
    /// steps among sessions may differ in a replay.
    pub(crate) fn while_running(&self) -> bool {
        matches!(self, Checks::Whole(_) | Checks::State)
    }

    pub(crate) fn is_off(&self) -> bool {
        matches!(self, Checks::Off)
    }

    #[inline]
    pub(crate) fn event(&mut self, stamp: &Stamp, event: &Event) {
        match self {
            Checks::Whole(trace) => trace.add(stamp, event),
            Checks::BySession(traces) => traces.event(stamp, event),
            Checks::State | Checks::Off => {}
        }
    }

    /// The digests so far, and the number of bytes of state that were hashed for them.
    pub(crate) fn take(&self, kernel: &ProtocolMachineKernel) -> (Checkpoint, u64) {
        let (state, trace, cost) = match self {
            Checks::Whole(trace) => {
                let (state, cost) = whole_state(kernel);
                (Some(state), Some(trace.digest()), cost)
            }
            Checks::State => {
                let (state, cost) = whole_state(kernel);
                (Some(state), None, cost)
            }
            Checks::BySession(traces) => {
                let (state, cost) = states(kernel);
                (Some(state), Some(traces.digest()), cost)
            }
            Checks::Off => (None, None, 0),
        };
        let checkpoint = Checkpoint {
            step: kernel.step_index(),
            clock: kernel.clock(),
            state,
            trace,
        };
        (checkpoint, cost)
    }
}

impl Traces {
    /// Leaves out the step index because it counts the steps of all sessions.
    fn event(&mut self, stamp: &Stamp, event: &Event) {
        let at = stamp.session.index();
        if self.sessions.len() <= at {
            self.sessions.resize(at + 1, [0; 32]);
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(&self.sessions[at]);
        let mut out = Encoder::new(&mut self.bytes);
        out.array(3).uint(stamp.index).uint(stamp.clock);
        event.encode(&mut out);
        self.sessions[at] = *blake3::hash(&self.bytes).as_bytes();
    }

    fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(TRACES_TAG);
        hasher.update(self.sessions.as_flattened());
        *hasher.finalize().as_bytes()
    }
}

fn whole_state(kernel: &ProtocolMachineKernel) -> ([u8; 32], u64) {
    let bytes = kernel.state_bytes();
    (*blake3::hash(&bytes).as_bytes(), bytes.len() as u64)
}

fn states(kernel: &ProtocolMachineKernel) -> ([u8; 32], u64) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(STATES_TAG);
    let mut cost = 0;
    for session in kernel.sessions() {
        if let Some(bytes) = kernel.session_bytes(session.id()) {
            hasher.update(blake3::hash(&bytes).as_bytes());
            cost += bytes.len() as u64;
        }
    }
    (*hasher.finalize().as_bytes(), cost)
}

/// The state in which the machine was left: running, idle, done or stuck. Linear in the number of
/// sessions.
pub(crate) fn stop_of(kernel: &ProtocolMachineKernel) -> Stop {
    use antiphon_machine::Phase;
    if !kernel.ready().is_empty() {
        return Stop::Running;
    }
    if kernel.outstanding() > 0 {
        return Stop::Idle;
    }
    let ended = |s: &antiphon_machine::Session| s.phase() != Phase::Active;
    if kernel.sessions().iter().all(ended) {
        Stop::Done
    } else {
        Stop::Stuck
    }
}
