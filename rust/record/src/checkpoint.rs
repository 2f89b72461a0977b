//! Checkpoint files: the state of a replayed machine, from which a later replay continues.
//!
//! A checkpoint file saves time and proves nothing. It is an input from outside like a recording,
//! so [`read`](StoredMachine::read) bounds it, [`restore`](StoredMachine::restore) checks
//! everything that the machine relies on, and a replay continues from it only if the digest of its
//! state is the one in the recording. `docs/recording.md` describes the format.

use std::io;
use std::sync::Arc;

use antiphon_codec::Limits;
use antiphon_machine::bounds::SORT_DEPTH_MAX;
use antiphon_machine::{
    Canonical, CodeImage, Coroutine, CoroutineId, Edge, EdgeId, Effect, End, Endpoint, KernelParts,
    LabelId, On, OperationId, Parcel, Pc, Phase, Pick, ProgramId, ProtocolMachineConfig,
    ProtocolMachineKernel, ReadError, RestoreError, RoleId, SessionId, SessionParts, StateId,
    Status, Value, VerifyError, Witness, WitnessKind,
};
use bincode::Options;
use serde::{Deserialize, Serialize};

use crate::describe;
use crate::divergence::Divergence;
use crate::reader::{OpenError, Tail};
use crate::replay::ReplayError;

/// First bytes of a checkpoint file: a name and the version of the format.
pub const CHECKPOINT_MAGIC: [u8; 8] = *b"antickp\x01";

/// The longest checkpoint file in bytes. It has room for some hundred thousand idle sessions, and
/// bounds the memory of reading one to a few times this length.
pub const CHECKPOINT_LEN_MAX: usize = 64 << 20;

/// The limits of decoding a value: the longest file, and a nesting deeper than any sort has.
const VALUE_LIMITS: Limits = Limits {
    depth: SORT_DEPTH_MAX + 8,
    bytes_len: CHECKPOINT_LEN_MAX,
    items: 2 << 20,
};

/// Why a checkpoint file cannot be written or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The recording cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The recording's replay differs before the step.
    #[error("the replay does not reach step {step}: {}", divergence_line(.divergence))]
    Diverged {
        /// The step of the wanted checkpoint.
        step: u64,
        /// The first difference.
        divergence: Box<Divergence>,
    },
    /// The recording has no checkpoint at this step.
    #[error("the recording has no checkpoint at step {step}{}", nearest(*.before, *.after))]
    NoCheckpoint {
        /// The step.
        step: u64,
        /// The step of the last checkpoint before it.
        before: Option<u64>,
        /// The step of the first checkpoint after it.
        after: Option<u64>,
    },
    /// The recording's determinism mode records no digests of the state.
    #[error("the recording has no checkpoints: it was made in the mode `ModuloEffects`")]
    NoDigests,
    /// The file or the state is too long.
    #[error("the checkpoint has {len} bytes, but at most {max} are allowed")]
    TooLong {
        /// Its length in bytes, or a smaller length that is already too long.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// The file does not start with the magic bytes.
    #[error("not a checkpoint: byte {offset} is {got}, expected {expected:#04x}")]
    NotACheckpoint {
        /// The first byte that differs.
        offset: usize,
        /// The byte of a checkpoint.
        expected: u8,
        /// The actual byte, or `the end`.
        got: String,
    },
    /// The file has another version of the format.
    #[error(
        "the checkpoint is in version {got} of the format, this reader knows version {known}; \
         write it again with `--to-checkpoint`"
    )]
    Version {
        /// The version of the file.
        got: u8,
        /// The version of this reader.
        known: u8,
    },
    /// The bytes after the magic are not in the format.
    #[error("the checkpoint cannot be read at byte {offset}: {reason}")]
    Unreadable {
        /// Offset in the file.
        offset: usize,
        /// The reason.
        reason: String,
    },
    /// A value in it cannot be read.
    #[error("the checkpoint's {place} cannot be read: {error}")]
    Value {
        /// The session and the register or message.
        place: String,
        /// The reason.
        error: ReadError,
    },
    /// An image in it cannot be read.
    #[error("image {image} of the checkpoint cannot be read: {error}")]
    Image {
        /// Its position.
        image: usize,
        /// The reason.
        error: ReadError,
    },
    /// An image in it does not verify.
    #[error("image {image} of the checkpoint does not verify: {error}")]
    Unsound {
        /// Its position.
        image: usize,
        /// The reason.
        error: Box<VerifyError>,
    },
    /// Its state is not one that the machine can be in.
    #[error("the checkpoint's state is invalid: {0}")]
    State(#[from] RestoreError),
    /// It belongs to another recording.
    #[error(
        "the checkpoint is of another recording: {what} is {got}, the recording's is {expected}; \
         write one for this recording with `--to-checkpoint`"
    )]
    OtherRecording {
        /// What differs.
        what: &'static str,
        /// The recording's.
        expected: String,
        /// The checkpoint's.
        got: String,
    },
    /// The recording's entry at which the replay would continue is not the file's checkpoint.
    #[error(
        "the checkpoint is of another recording: expected that entry {entry} is a checkpoint at \
         step {step}, got `{found}`; write one for this recording with `--to-checkpoint`"
    )]
    OtherEntry {
        /// The entry's number.
        entry: u64,
        /// The step of the file.
        step: u64,
        /// The recording's entry.
        found: String,
    },
    /// It differs from the recording's checkpoint.
    #[error(
        "the checkpoint is not the recorded state at step {step}: {what} is {got}, expected \
         {expected}"
    )]
    Differs {
        /// The step.
        step: u64,
        /// What differs.
        what: &'static str,
        /// The recording's.
        expected: String,
        /// The checkpoint's.
        got: String,
    },
    /// The recording ends before the entry from which the replay would continue.
    #[error(
        "the recording ends before the checkpoint's entry {entry} at step {step}: {}",
        tail_text(.tail)
    )]
    Ends {
        /// The number of the entry.
        entry: u64,
        /// The step.
        step: u64,
        /// How the recording ends.
        tail: Box<Option<Tail>>,
    },
}

impl From<OpenError> for CheckpointError {
    fn from(error: OpenError) -> CheckpointError {
        ReplayError::Open(error).into()
    }
}

impl From<io::Error> for CheckpointError {
    fn from(error: io::Error) -> CheckpointError {
        ReplayError::Io(error).into()
    }
}

fn divergence_line(divergence: &Divergence) -> String {
    let Divergence { step, entry, .. } = divergence;
    let name = divergence.difference.name();
    format!("it diverged at step {step}, entry {entry}: {name}")
}

fn nearest(before: Option<u64>, after: Option<u64>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("; the nearest are at steps {before} and {after}"),
        (Some(step), None) => format!("; the last one is at step {step}"),
        (None, Some(step)) => format!("; the first one is at step {step}"),
        (None, None) => " or any other step".to_owned(),
    }
}

fn tail_text(tail: &Option<Tail>) -> String {
    tail.as_ref().map_or_else(String::new, Tail::to_string)
}

/// The contents of a checkpoint file, as they are stored.
///
/// Every byte of a file counts: all lengths and numbers have one encoding, and what follows from
/// other fields is not stored. Values and images are byte strings in their canonical form, because
/// the format has no limit on nesting and the canonical decoder has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredMachine {
    /// Number of steps taken.
    pub(crate) step: u64,
    /// The logical clock, in ticks.
    pub(crate) clock: u64,
    /// The number of the recording's checkpoint entry, from which a replay continues.
    pub(crate) entry: u64,
    /// The digest of the machine's state.
    pub(crate) state: [u8; 32],
    /// The digest of the recording's header entry.
    pub(crate) header: [u8; 32],
    /// The chain value of the record that has the checkpoint entry.
    pub(crate) chain: [u8; 32],
    /// The canonical bytes of the loaded images.
    images: Vec<Vec<u8>>,
    sessions: Vec<StoredSession>,
    /// The ready coroutines in queue order, as session and coroutine.
    ready: Vec<(u32, u16)>,
    /// The digests of the sessions' traces, in the mode `ModuloCommutativity`; otherwise empty.
    pub(crate) traces: Vec<[u8; 32]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredSession {
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

/// The recording's entry that a checkpoint file belongs to.
pub(crate) struct Anchor {
    pub(crate) entry: u64,
    pub(crate) header: [u8; 32],
    pub(crate) chain: [u8; 32],
    pub(crate) traces: Vec<[u8; 32]>,
}

impl StoredMachine {
    /// Copies the state of a kernel.
    pub(crate) fn of(kernel: &ProtocolMachineKernel, anchor: Anchor) -> StoredMachine {
        let parts = kernel.checkpoint_parts();
        let ready = parts.ready.iter();
        StoredMachine {
            step: parts.step_index,
            clock: parts.clock,
            entry: anchor.entry,
            state: kernel.state_digest(),
            header: anchor.header,
            chain: anchor.chain,
            images: parts.images.iter().map(|i| i.image().to_bytes()).collect(),
            ready: ready
                .map(|pick| (pick.session.0, pick.coroutine.0))
                .collect(),
            sessions: parts.sessions.into_iter().map(StoredSession::of).collect(),
            traces: anchor.traces,
        }
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// When the state is longer than [`CHECKPOINT_LEN_MAX`].
    pub(crate) fn write(&self) -> Result<Vec<u8>, CheckpointError> {
        let max = CHECKPOINT_LEN_MAX as u64;
        let encoded_len = options(max).serialized_size(self);
        // The only error is that it is over the limit.
        let len = encoded_len.unwrap_or(max) + CHECKPOINT_MAGIC.len() as u64;
        if len > max {
            return Err(CheckpointError::TooLong { len, max });
        }
        let mut bytes = CHECKPOINT_MAGIC.to_vec();
        match options(max).serialize_into(&mut bytes, self) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(unreadable(bytes.len(), error)),
        }
    }

    /// Reads a file. Its memory is at most a few times the file's length.
    ///
    /// # Errors
    /// When the bytes are not a checkpoint file of this version.
    pub(crate) fn read(bytes: &[u8]) -> Result<StoredMachine, CheckpointError> {
        let (len, max) = (bytes.len(), CHECKPOINT_LEN_MAX);
        if len > max {
            let (len, max) = (len as u64, max as u64);
            return Err(CheckpointError::TooLong { len, max });
        }
        for (offset, expected) in CHECKPOINT_MAGIC.into_iter().enumerate() {
            let got = bytes.get(offset).copied();
            match got {
                Some(got) if got == expected => {}
                Some(got) if offset + 1 == CHECKPOINT_MAGIC.len() => {
                    let known = expected;
                    return Err(CheckpointError::Version { got, known });
                }
                Some(_) | None => {
                    let got = got.map_or_else(|| "the end".to_owned(), |got| format!("{got:#04x}"));
                    return Err(CheckpointError::NotACheckpoint {
                        offset,
                        expected,
                        got,
                    });
                }
            }
        }
        let mut rest = &bytes[CHECKPOINT_MAGIC.len()..];
        // No length in the file can be larger than the file, so the limit bounds each allocation.
        let stored = options(rest.len() as u64).deserialize_from(&mut rest);
        let offset = len - rest.len();
        match stored {
            Ok(_) if !rest.is_empty() => Err(unreadable(offset, "bytes follow its end")),
            Ok(stored) => Ok(stored),
            Err(error) => match *error {
                bincode::ErrorKind::SizeLimit => Err(unreadable(
                    offset,
                    "a field reaches beyond the end of the file",
                )),
                error => Err(unreadable(offset, error)),
            },
        }
    }

    /// Makes a kernel of the state.
    ///
    /// # Errors
    /// When an image does not verify, or the state is not one that a machine with this
    /// configuration can be in.
    pub(crate) fn restore(
        &self,
        config: ProtocolMachineConfig,
    ) -> Result<ProtocolMachineKernel, CheckpointError> {
        let mut images = Vec::new();
        for (image, bytes) in self.images.iter().enumerate() {
            let code = CodeImage::from_bytes(bytes, CodeImage::LIMITS)
                .map_err(|error| CheckpointError::Image { image, error })?;
            let verified = code.verify().map_err(|error| CheckpointError::Unsound {
                image,
                error: Box::new(error),
            })?;
            images.push(Arc::new(verified));
        }
        let mut sessions = Vec::new();
        for (n, session) in self.sessions.iter().enumerate() {
            sessions.push(session.parts(n)?);
        }
        let ready = self.ready.iter().map(|(session, coroutine)| Pick {
            session: SessionId(*session),
            coroutine: CoroutineId(*coroutine),
        });
        let parts = KernelParts {
            step_index: self.step,
            clock: self.clock,
            images,
            sessions,
            ready: ready.collect(),
        };
        Ok(ProtocolMachineKernel::from_checkpoint(config, parts)?)
    }

    /// The digests of the images, in the order in which they were loaded.
    pub(crate) fn image_digests(&self) -> Vec<[u8; 32]> {
        let digest = |bytes: &Vec<u8>| *blake3::hash(bytes).as_bytes();
        self.images.iter().map(digest).collect()
    }
}

/// Fixed-length integers in little-endian order, so that each number and length has one encoding.
fn options(limit: u64) -> impl Options {
    bincode::DefaultOptions::new()
        .with_little_endian()
        .with_fixint_encoding()
        .with_limit(limit)
}

fn unreadable(offset: usize, reason: impl ToString) -> CheckpointError {
    let reason = reason.to_string();
    CheckpointError::Unreadable { offset, reason }
}

fn value(bytes: &[u8], place: impl FnOnce() -> String) -> Result<Value, CheckpointError> {
    Value::from_bytes(bytes, VALUE_LIMITS).map_err(|error| CheckpointError::Value {
        place: place(),
        error,
    })
}

impl StoredSession {
    fn of(parts: SessionParts) -> StoredSession {
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
    fn parts(&self, n: usize) -> Result<SessionParts, CheckpointError> {
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

/// Describes a list of digests in an error.
pub(crate) fn digests_text(digests: &[[u8; 32]]) -> String {
    let digests: Vec<String> = digests.iter().map(describe::digest).collect();
    format!("[{}]", digests.join(", "))
}

#[cfg(test)]
mod tests {
    use antiphon_machine::{
        EffectHandler, EffectRequest, FromFn, Ingress, NoSink, Outcome, ProtocolMachine, Reply,
        SchedulingPolicy, Turn, sample,
    };

    use super::*;

    fn host() -> impl EffectHandler {
        let mut asked = 0u64;
        FromFn(move |request: &EffectRequest<'_>| {
            asked += 1;
            match request.choose("ping") {
                _ if asked % 5 == 4 => Reply::Later,
                Some(ping) => Reply::Now(ping),
                None if request.args_len() == 0 => Reply::Now(Outcome::success(asked)),
                None => Reply::Now(Outcome::done()),
            }
        })
    }

    /// Machines in the middle of a run, under each policy.
    fn machines() -> impl Iterator<Item = ProtocolMachineKernel> {
        SchedulingPolicy::ALL.into_iter().flat_map(|policy| {
            let config = ProtocolMachineConfig {
                policy,
                effect_budget: Some(50),
                ..Default::default()
            };
            [7, 20, 60].map(|steps| {
                let mut machine = ProtocolMachine::new(config.clone(), host());
                for image in [sample::ping_pong(1), sample::bare_ping_pong()] {
                    let opened = machine.load_choreography(&image, "me");
                    opened.expect("there is room");
                }
                let _ = machine.run(steps);
                machine.kernel().clone()
            })
        })
    }

    fn stored(kernel: &ProtocolMachineKernel) -> StoredMachine {
        let anchor = Anchor {
            entry: 0,
            header: [0; 32],
            chain: [0; 32],
            traces: Vec::new(),
        };
        StoredMachine::of(kernel, anchor)
    }

    /// Takes steps and gives inputs of every kind.
    fn drive(mut kernel: ProtocolMachineKernel) -> Vec<[u8; 32]> {
        let mut states = Vec::new();
        for n in 0..60 {
            let effects: Vec<_> = kernel
                .sessions()
                .iter()
                .flat_map(|s| s.effects().iter().map(|e| (s.id(), e.number)))
                .collect();
            if let Turn::Rest(_) = kernel.step(&mut NoSink) {
                let ticks = 20;
                let _ = kernel.ingress(Ingress::AdvanceClock { ticks }, &mut NoSink);
            }
            if let Some((session, number)) = effects.first().copied()
                && n % 3 == 0
            {
                let effect = antiphon_machine::EffectId { session, number };
                let outcome = Outcome::success(n as u64 % 3);
                let _ = kernel.ingress(Ingress::Outcome { effect, outcome }, &mut NoSink);
            }
            states.push(kernel.state_digest());
        }
        let (session, owner) = (SessionId(0), Arc::from("me"));
        let _ = kernel.ingress(Ingress::Cancel { session, owner }, &mut NoSink);
        states.push(kernel.state_digest());
        states
    }

    #[test]
    fn a_length_over_the_limit_is_refused() {
        let kernel = ProtocolMachineKernel::new(ProtocolMachineConfig::default());
        let traces = vec![[0; 32]; CHECKPOINT_LEN_MAX / 32];
        let stored = StoredMachine {
            traces,
            ..stored(&kernel)
        };
        let error = stored.write().expect_err("it is too long");
        assert!(matches!(error, CheckpointError::TooLong { .. }), "{error}");
        let bytes = vec![0; CHECKPOINT_LEN_MAX + 1];
        let error = StoredMachine::read(&bytes).expect_err("it is too long");
        assert!(matches!(error, CheckpointError::TooLong { .. }), "{error}");
    }

    #[test]
    fn a_restored_machine_goes_on_like_the_stored_one() {
        for kernel in machines() {
            let bytes = stored(&kernel).write().expect("it is short");
            let read = StoredMachine::read(&bytes).expect("a valid file");
            assert_eq!(read, stored(&kernel));
            let restored = read
                .restore(kernel.config().clone())
                .expect("a valid state");
            assert_eq!(restored.state_bytes(), kernel.state_bytes());
            assert_eq!(restored.next_deadline(), kernel.next_deadline());
            assert_eq!(restored.outstanding(), kernel.outstanding());
            assert_eq!(drive(restored), drive(kernel));
        }
    }

    /// Without the digests, which an attacker who also writes the recording can make fit.
    #[test]
    fn a_machine_of_changed_bytes_is_refused_or_never_panics() {
        let mut restored = 0;
        for kernel in machines() {
            let bytes = stored(&kernel).write().expect("it is short");
            // The image has its own tests, and a change to it makes another image.
            let image = stored(&kernel).images.iter().map(Vec::len).sum::<usize>();
            let head = CHECKPOINT_MAGIC.len() + 120;
            for at in (CHECKPOINT_MAGIC.len()..head).chain(head + image..bytes.len()) {
                for xor in [0x01, 0x02, 0x04, 0x10, 0x80, 0xff] {
                    let mut changed = bytes.clone();
                    changed[at] ^= xor;
                    let Ok(read) = StoredMachine::read(&changed) else {
                        continue;
                    };
                    if let Ok(kernel) = read.restore(kernel.config().clone()) {
                        restored += 1;
                        drive(kernel);
                    }
                }
            }
        }
        assert!(restored > 1000, "{restored} states are too few to tell");
    }
}
