//! Checkpoint files: the state of a replayed machine, from which a later replay continues.
//!
//! A checkpoint file saves time and proves nothing. It is an input from outside like a recording,
//! so [`read`](StoredMachine::read) bounds it, [`restore`](StoredMachine::restore) checks
//! everything that the machine relies on, and a replay continues from it only if the digest of its
//! state is the one in the recording. `docs/recording.md` describes the format.

mod session;

use std::sync::Arc;

use antiphon_machine::{
    Canonical, CodeImage, CoroutineId, KernelParts, Pick, ProtocolMachineConfig,
    ProtocolMachineKernel, SessionId,
};
use bincode::Options;
use serde::{Deserialize, Serialize};

use crate::bounds::{CHECKPOINT_LEN_MAX, CHECKPOINT_MAGIC};
use crate::error::CheckpointError;

use session::StoredSession;

/// The contents of a checkpoint file, as they are stored.
///
/// All lengths and numbers have one encoding. Values and images are byte strings in their canonical
/// form, because the format has no limit on nesting and the canonical decoder has one.
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

#[cfg(test)]
mod tests {
    use antiphon_machine::{
        EffectHandler, EffectRequest, FromFn, Ingress, NoSink, Outcome, ProtocolMachine, Reply,
        SchedulingPolicy, Turn, sample,
    };

    use super::*;
    use crate::entry::{Entry, Header};
    use crate::{Flush, Reader, Recorder, Replay};

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

    /// A recording of two sessions with a checkpoint in the middle, and the file at it. The values
    /// that the handler produces begin at `first`.
    fn recorded(first: u64) -> (Vec<u8>, StoredMachine) {
        let header = Header {
            tool: "test 1".to_owned(),
            config: ProtocolMachineConfig::default(),
            source: None,
            notes: Vec::new(),
        };
        let recorder = Recorder::create(Vec::new(), &header, Flush::default());
        let recorder = recorder.expect("memory does not fail").checkpoint_every(1);
        let mut produced = first;
        let host = FromFn(
            move |request: &EffectRequest<'_>| match request.choose("ping") {
                Some(ping) => Reply::Now(ping),
                None if request.args_len() == 0 => {
                    produced += 1;
                    Reply::Now(Outcome::success(produced))
                }
                None => Reply::Now(Outcome::done()),
            },
        );
        let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
        for _ in 0..2 {
            let opened = machine.load_choreography(&sample::ping_pong(1), "me");
            opened.expect("there is room");
        }
        let _ = machine.run(2000);
        let (kernel, _, recorder) = machine.into_parts();
        let bytes = recorder.finish(&kernel).expect("memory does not fail");
        let mut reader = Reader::open(&bytes[..]).expect("a header");
        let step = loop {
            match reader.entry().expect("memory does not fail") {
                Some(Entry::Checkpoint(point)) if point.step > 100 => break point.step,
                Some(_) => {}
                None => panic!("there is no checkpoint in the middle"),
            }
        };
        let mut replay = Replay::open(&bytes[..]).expect("a valid recording");
        let file = replay
            .to_checkpoint(step)
            .expect("a checkpoint at the step");
        (bytes, StoredMachine::read(&file).expect("a valid file"))
    }

    /// The digest in the file's header is the forged state's, so only the digest in the recording
    /// shows that the state is another one.
    #[test]
    fn a_forged_state_with_its_own_digest_is_refused() {
        let (bytes, stored) = recorded(0);
        let read = |stored: &StoredMachine| {
            let file = stored.write().expect("it is short");
            Replay::from_checkpoint(&bytes[..], &file).err()
        };
        assert!(read(&stored).is_none(), "the file itself is accepted");
        let mut reordered = stored.clone();
        reordered.ready.reverse();
        let other_run = recorded(1000).1;
        assert_eq!(other_run.step, stored.step);
        let other_values = StoredMachine {
            sessions: other_run.sessions,
            ready: other_run.ready,
            ..stored.clone()
        };
        for forged in [reordered, other_values] {
            let config = ProtocolMachineConfig::default();
            let kernel = forged.restore(config).expect("a possible state");
            let state = kernel.state_digest();
            assert_ne!(state, stored.state, "it is another state");
            let error = read(&StoredMachine { state, ..forged });
            let Some(CheckpointError::Differs { what, expected, .. }) = error else {
                panic!("{error:?}");
            };
            assert_eq!(what, "the state digest");
            assert_eq!(expected, crate::describe::digest(&stored.state));
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
