//! Digests, which parity tests and replays compare.

use antiphon_codec::Encoder;

use crate::canonical::Canonical;
use crate::canonical::state::encode_session;
use crate::event::{Event, Stamp};
use crate::ids::SessionId;
use crate::kernel::ProtocolMachineKernel;
use crate::sink::{Interest, Observation, Sink};

/// Starts the hashed bytes of a session's state.
pub const SESSION_TAG: &str = "antiphon.session.v1";
/// Starts the hashed bytes of a machine's state.
pub const MACHINE_TAG: &str = "antiphon.machine.v1";
/// Starts the hashed bytes of a trace.
pub const TRACE_TAG: &str = "antiphon.trace.v1";

/// Events are hashed in blocks of this many bytes: enough for the hash to use wide instructions,
/// few enough to stay in the first-level cache.
const BLOCK_LEN: usize = 16 << 10;

impl ProtocolMachineKernel {
    /// The canonical bytes of a session's whole state. Linear in its size.
    pub fn session_bytes(&self, id: SessionId) -> Option<Vec<u8>> {
        let session = self.session(id)?;
        let mut bytes = Vec::new();
        let mut out = Encoder::new(&mut bytes);
        out.array(2).text(SESSION_TAG);
        encode_session(session, self.image(session).digest(), &mut out);
        Some(bytes)
    }

    /// The canonical bytes of the whole machine: step index, clock, ready queue, and the sessions
    /// in the order of their numbers. Linear in its size.
    pub fn state_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Encoder::new(&mut bytes);
        out.array(5)
            .text(MACHINE_TAG)
            .uint(self.step_index())
            .uint(self.clock());
        let ready = self.ready();
        out.array(ready.len());
        for pick in ready {
            out.array(2)
                .uint(pick.session.0.into())
                .uint(pick.coroutine.0.into());
        }
        out.array(self.sessions().len());
        for session in self.sessions() {
            encode_session(session, self.image(session).digest(), &mut out);
        }
        bytes
    }

    /// BLAKE3 of [`session_bytes`](Self::session_bytes).
    pub fn session_digest(&self, id: SessionId) -> Option<[u8; 32]> {
        Some(*blake3::hash(&self.session_bytes(id)?).as_bytes())
    }

    /// BLAKE3 of [`state_bytes`](Self::state_bytes).
    pub fn state_digest(&self) -> [u8; 32] {
        *blake3::hash(&self.state_bytes()).as_bytes()
    }
}

/// A sink that keeps only a digest of the events: BLAKE3 of the tag and every event's canonical
/// bytes.
#[derive(Clone, Debug)]
pub struct TraceDigest {
    hasher: blake3::Hasher,
    block: Vec<u8>,
}

impl Default for TraceDigest {
    fn default() -> Self {
        let mut block = Vec::with_capacity(BLOCK_LEN + (BLOCK_LEN >> 2));
        Encoder::new(&mut block).text(TRACE_TAG);
        TraceDigest {
            hasher: blake3::Hasher::new(),
            block,
        }
    }
}

impl TraceDigest {
    /// Adds an event that is kept elsewhere.
    #[inline]
    pub fn add(&mut self, stamp: &Stamp, event: &Event) {
        // The bytes of an `ObsEvent`, without building one.
        let mut out = Encoder::new(&mut self.block);
        out.array(2);
        stamp.encode(&mut out);
        event.encode(&mut out);
        if self.block.len() >= BLOCK_LEN {
            self.hasher.update(&self.block);
            self.block.clear();
        }
    }

    /// The digest of the trace so far.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.block);
        *hasher.finalize().as_bytes()
    }
}

impl Sink for TraceDigest {
    #[inline]
    fn interest(&self) -> Interest {
        Interest::EVENTS
    }

    #[inline]
    fn observe(&mut self, observation: Observation<'_>) {
        if let Observation::Event { stamp, event } = observation {
            self.add(stamp, event);
        }
    }
}
