//! The canonical bytes of a machine's state, its inputs and its results.

use super::*;
use crate::buffer::Parcel;
use crate::config::{DeterminismMode, ProtocolMachineConfig, SchedulingPolicy};
use crate::event::{End, Message, ObsEvent, Stamp};
use crate::fault::{Action, Table};
use crate::input::{On, Rest, Resumed, Step, Taken, Wait};
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::session::{
    Coroutine, Edge, Effect, Endpoint, Phase, Session, Status, Witness, WitnessKind,
};
use crate::wave::{Key, WaveCertificate, WavePick};

structure!(EffectId { session, number });

alternatives!(Outcome {
    0 = Success(value),
    1 = Failure(failure),
});

structure!(Failure { kind, detail });

structure!(Stamp {
    session,
    index,
    step,
    clock
});

structure!(ObsEvent { stamp, event });

structure!(Message {
    edge,
    label,
    sequence,
    payload
});

structure!(ProtocolMachineConfig {
    policy,
    priorities,
    buffer_len_max,
    payload_len_max,
    coroutines_max,
    sessions_max,
    witnesses_max,
    witness_ttl,
    effect_budget,
    determinism_mode
});

structure!(Endpoint { holder, state });

structure!(Coroutine {
    program,
    role,
    priority,
    status,
    pc,
    registers
});

alternatives!(Status {
    0 = Ready,
    1 = Blocked(on),
    2 = Halted,
    3 = Faulted,
});

alternatives!(On {
    0 = Empty(edge),
    1 = Full(edge),
    2 = Effect(number),
});

structure!(Parcel {
    payload,
    sequence,
    label
});

structure!(Effect {
    number,
    deadline,
    operation,
    coroutine,
    attempt
});

structure!(Witness {
    number,
    expires,
    effect,
    kind
});

alternatives!(Phase {
    0 = Active,
    1 = Terminal(end),
});

structure!(Pick { session, coroutine });

structure!(WaveCertificate {
    step_index,
    queue,
    picks
});

structure!(WavePick {
    pick,
    lane,
    quantum,
    footprint
});

alternatives!(Key {
    0 = Ledger { session },
    1 = Coroutine { session, coroutine },
    2 = Endpoint { session, role },
    3 = Edge { session, edge },
});

alternatives!(Step {
    0 = Ran,
    1 = Yielded,
    2 = Blocked(on),
    3 = Effect(effect),
    4 = Halted,
    5 = Faulted(fault),
});

alternatives!(Resumed {
    0 = Ready(coroutine),
    1 = Reissued(effect),
    2 = Faulted(fault),
});

alternatives!(Taken {
    0 = Opened(session),
    1 = Resumed(resumed),
    2 = Advanced { expired },
    3 = Cancelled,
});

alternatives!(Rest {
    0 = Idle,
    1 = Done,
    2 = Stuck(waits),
});

structure!(Wait {
    pick,
    role,
    on,
    server
});

list!(FailureKind {
    Denied,
    Timeout,
    Cancelled,
    Unavailable,
    InvalidInput,
    StaleAuthority,
    ContractViolation,
    Lost,
    Busy,
    Internal
});

list!(SchedulingPolicy {
    Cooperative,
    RoundRobin,
    Priority,
    ProgressAware
});

list!(DeterminismMode {
    Full,
    ModuloEffects,
    ModuloCommutativity,
    Replay
});

list!(End {
    Closed,
    Cancelled,
    Faulted
});

list!(WitnessKind { Check, Timeout });

list!(Action { End, Send, Receive });

list!(Table {
    Programs,
    Operations,
    Roles,
    States,
    Edges
});

/// A map of names: an array of pairs in the order of the names.
impl Canonical for BTreeMap<String, u8> {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(self.len());
        for (name, number) in self {
            out.array(2).text(name).uint(u64::from(*number));
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        let mut map = BTreeMap::new();
        for _ in 0..from.array()? {
            let offset = from.position();
            let (name, number) = <(String, u8)>::decode(from)?;
            if map.last_key_value().is_some_and(|(last, _)| *last >= name) {
                let kind = ReadErrorKind::Cbor(DecodeErrorKind::KeysUnsorted { previous: offset });
                return Err(ReadError { offset, kind });
            }
            map.insert(name, number);
        }
        Ok(map)
    }
}

/// An edge's count of received messages is the count of sent ones less those buffered, so it is not
/// encoded.
impl Canonical for Edge {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(2).uint(self.sent).array(self.queue.len());
        self.queue.iter().for_each(|parcel| parcel.encode(out));
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        fields(from, "Edge", 2)?;
        let sent = u64::decode(from)?;
        Ok(Edge {
            sent,
            queue: Vec::decode(from)?.into_iter().collect(),
        })
    }
}

/// The whole state of a session, with its image by digest.
pub(crate) fn encode_session(session: &Session, image: &[u8; 32], out: &mut Encoder<'_>) {
    out.array(14);
    session.id.encode(out);
    image.encode(out);
    session.phase.encode(out);
    session.live.encode(out);
    session.epoch.encode(out);
    session.events.encode(out);
    session.effects_issued.encode(out);
    session.witnesses_issued.encode(out);
    session.endpoints.encode(out);
    session.coroutines.encode(out);
    session.edges.encode(out);
    session.effects.encode(out);
    out.array(session.witnesses.len());
    session
        .witnesses
        .iter()
        .for_each(|witness| witness.encode(out));
    session.owner.encode(out);
}
