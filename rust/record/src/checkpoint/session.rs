//! A session as a checkpoint file stores it, and its conversion from and to the machine's data.

use std::sync::Arc;

use antiphon_codec::Limits;
use antiphon_machine::bounds::SORT_DEPTH_MAX;
use antiphon_machine::{
    Canonical, Coroutine, CoroutineId, Edge, EdgeId, Effect, End, Endpoint, LabelId, On,
    OperationId, Parcel, Pc, Phase, ProgramId, RoleId, SessionParts, StateId, Status, Value,
    Witness, WitnessKind,
};
use serde::{Deserialize, Serialize};

use crate::bounds::CHECKPOINT_LEN_MAX;
use crate::error::CheckpointError;

/// The limits of decoding a value: the longest file, and a nesting deeper than any sort has.
const VALUE_LIMITS: Limits = Limits {
    depth: SORT_DEPTH_MAX + 8,
    bytes_len: CHECKPOINT_LEN_MAX,
    items: 2 << 20,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredSession {
    /// Position of its image.
    image: u32,
    phase: StoredPhase,
    live: u16,
    epoch: u64,
    events: u64,
    effects_issued: u64,
    witnesses_issued: u64,
    /// Holder and state of each endpoint.
    endpoints: Vec<(u16, u32)>,
    coroutines: Vec<StoredCoroutine>,
    edges: Vec<StoredEdge>,
    effects: Vec<StoredEffect>,
    witnesses: Vec<StoredWitness>,
    owner: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StoredPhase {
    Active,
    Closed,
    Cancelled,
    Faulted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredCoroutine {
    program: u16,
    role: Option<u16>,
    priority: u8,
    status: StoredStatus,
    pc: u32,
    /// The canonical bytes of each register's value.
    registers: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StoredStatus {
    Ready,
    Empty(u16),
    Full(u16),
    Effect(u64),
    Halted,
    Faulted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredEdge {
    sent: u64,
    messages: Vec<StoredMessage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredMessage {
    /// The canonical bytes of its payload.
    payload: Vec<u8>,
    sequence: u64,
    label: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredEffect {
    number: u64,
    deadline: Option<u64>,
    operation: u16,
    coroutine: u16,
    attempt: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredWitness {
    number: u64,
    expires: u64,
    effect: u64,
    kind: StoredWitnessKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StoredWitnessKind {
    Check,
    Timeout,
}

impl StoredSession {
    pub(super) fn of(parts: SessionParts) -> StoredSession {
        let endpoints = parts.endpoints.iter();
        StoredSession {
            image: parts.image,
            phase: match parts.phase {
                Phase::Active => StoredPhase::Active,
                Phase::Terminal(End::Closed) => StoredPhase::Closed,
                Phase::Terminal(End::Cancelled) => StoredPhase::Cancelled,
                Phase::Terminal(End::Faulted) => StoredPhase::Faulted,
            },
            live: parts.live,
            epoch: parts.epoch,
            events: parts.events,
            effects_issued: parts.effects_issued,
            witnesses_issued: parts.witnesses_issued,
            endpoints: endpoints.map(|e| (e.holder.0, e.state.0)).collect(),
            coroutines: parts.coroutines.iter().map(StoredCoroutine::of).collect(),
            edges: parts.edges.iter().map(StoredEdge::of).collect(),
            effects: parts.effects.iter().map(StoredEffect::of).collect(),
            witnesses: parts.witnesses.iter().map(StoredWitness::of).collect(),
            owner: parts.owner.as_ref().to_owned(),
        }
    }

    /// The session as the machine's data; `n` is its number.
    pub(super) fn parts(&self, n: usize) -> Result<SessionParts, CheckpointError> {
        let endpoints = self.endpoints.iter().map(|(holder, state)| Endpoint {
            holder: CoroutineId(*holder),
            state: StateId(*state),
        });
        let mut coroutines = Vec::new();
        for (c, coroutine) in self.coroutines.iter().enumerate() {
            coroutines.push(
                coroutine.coroutine(|r| format!("register {r} of coroutine {c} in session {n}"))?,
            );
        }
        let mut edges = Vec::new();
        for (e, edge) in self.edges.iter().enumerate() {
            edges.push(edge.edge(|m| format!("message {m} on edge {e} in session {n}"))?);
        }
        Ok(SessionParts {
            image: self.image,
            phase: match self.phase {
                StoredPhase::Active => Phase::Active,
                StoredPhase::Closed => Phase::Terminal(End::Closed),
                StoredPhase::Cancelled => Phase::Terminal(End::Cancelled),
                StoredPhase::Faulted => Phase::Terminal(End::Faulted),
            },
            live: self.live,
            epoch: self.epoch,
            events: self.events,
            effects_issued: self.effects_issued,
            witnesses_issued: self.witnesses_issued,
            endpoints: endpoints.collect(),
            coroutines,
            edges,
            effects: self.effects.iter().map(StoredEffect::effect).collect(),
            witnesses: self.witnesses.iter().map(StoredWitness::witness).collect(),
            owner: Arc::from(&*self.owner),
        })
    }
}

impl StoredCoroutine {
    fn of(coroutine: &Coroutine) -> StoredCoroutine {
        StoredCoroutine {
            program: coroutine.program.0,
            role: coroutine.role.map(|role| role.0),
            priority: coroutine.priority,
            status: match coroutine.status {
                Status::Ready => StoredStatus::Ready,
                Status::Blocked(On::Empty(edge)) => StoredStatus::Empty(edge.0),
                Status::Blocked(On::Full(edge)) => StoredStatus::Full(edge.0),
                Status::Blocked(On::Effect(number)) => StoredStatus::Effect(number),
                Status::Halted => StoredStatus::Halted,
                Status::Faulted => StoredStatus::Faulted,
            },
            pc: coroutine.pc.0,
            registers: coroutine.registers.iter().map(Value::to_bytes).collect(),
        }
    }

    fn coroutine(&self, place: impl Fn(usize) -> String) -> Result<Coroutine, CheckpointError> {
        let mut registers = Vec::new();
        for (r, bytes) in self.registers.iter().enumerate() {
            registers.push(value(bytes, || place(r))?);
        }
        Ok(Coroutine {
            program: ProgramId(self.program),
            role: self.role.map(RoleId),
            priority: self.priority,
            status: match self.status {
                StoredStatus::Ready => Status::Ready,
                StoredStatus::Empty(edge) => Status::Blocked(On::Empty(EdgeId(edge))),
                StoredStatus::Full(edge) => Status::Blocked(On::Full(EdgeId(edge))),
                StoredStatus::Effect(number) => Status::Blocked(On::Effect(number)),
                StoredStatus::Halted => Status::Halted,
                StoredStatus::Faulted => Status::Faulted,
            },
            pc: Pc(self.pc),
            registers: registers.into(),
        })
    }
}

impl StoredEdge {
    fn of(edge: &Edge) -> StoredEdge {
        let message = |parcel: &Parcel| StoredMessage {
            payload: parcel.payload.to_bytes(),
            sequence: parcel.sequence,
            label: parcel.label.0,
        };
        StoredEdge {
            sent: edge.sent,
            messages: edge.queue.iter().map(message).collect(),
        }
    }

    fn edge(&self, place: impl Fn(usize) -> String) -> Result<Edge, CheckpointError> {
        let mut messages = Vec::new();
        for (m, message) in self.messages.iter().enumerate() {
            messages.push(Parcel {
                payload: value(&message.payload, || place(m))?,
                sequence: message.sequence,
                label: LabelId(message.label),
            });
        }
        Ok(Edge {
            queue: messages.into_iter().collect(),
            sent: self.sent,
        })
    }
}

impl StoredEffect {
    fn of(effect: &Effect) -> StoredEffect {
        StoredEffect {
            number: effect.number,
            deadline: effect.deadline,
            operation: effect.operation.0,
            coroutine: effect.coroutine.0,
            attempt: effect.attempt,
        }
    }

    fn effect(&self) -> Effect {
        Effect {
            number: self.number,
            deadline: self.deadline,
            operation: OperationId(self.operation),
            coroutine: CoroutineId(self.coroutine),
            attempt: self.attempt,
        }
    }
}

impl StoredWitness {
    fn of(witness: &Witness) -> StoredWitness {
        StoredWitness {
            number: witness.number,
            expires: witness.expires,
            effect: witness.effect,
            kind: match witness.kind {
                WitnessKind::Check => StoredWitnessKind::Check,
                WitnessKind::Timeout => StoredWitnessKind::Timeout,
            },
        }
    }

    fn witness(&self) -> Witness {
        Witness {
            number: self.number,
            expires: self.expires,
            effect: self.effect,
            kind: match self.kind {
                StoredWitnessKind::Check => WitnessKind::Check,
                StoredWitnessKind::Timeout => WitnessKind::Timeout,
            },
        }
    }
}

fn value(bytes: &[u8], place: impl FnOnce() -> String) -> Result<Value, CheckpointError> {
    Value::from_bytes(bytes, VALUE_LIMITS).map_err(|error| CheckpointError::Value {
        place: place(),
        error,
    })
}
