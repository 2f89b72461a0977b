//! Replay: runs the kernel with the inputs of a recording and compares each request and each
//! checkpoint with the recorded one.

mod locate;
mod observer;
mod player;
mod resume;

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use antiphon_machine::{Job, NoSink, ProtocolMachineKernel, Sink};

use crate::checkpoint::{Anchor, StoredMachine};
use crate::entry::{Entry, Header};
use crate::error::{CheckpointError, ReplayError};
use crate::reader::Reader;
use crate::report::{Report, Verdict};
use crate::tail::{Cause, Tail};

use player::{Jobs, Player, Stopped, wave_step};
use resume::header_digest;

/// Replays a recording from its first entry to its last.
///
/// # Errors
/// [`ReplayError`] when the recording cannot be opened or read, or an image in it is invalid. A
/// divergence or damage is a result and not an error.
pub fn replay(from: impl Read) -> Result<Report, ReplayError> {
    Replay::open(from)?.finish()
}

/// Replays a recording that can be read twice.
///
/// The result is that of [`replay`], but the first replay is faster because it does not keep the
/// last events. If it diverges, a second replay finds the events before the divergence.
///
/// # Errors
/// As [`replay`], and when seeking fails.
pub fn replay_twice(mut from: impl Read + Seek) -> Result<Report, ReplayError> {
    let start = from.stream_position()?;
    let mut first = Replay::open(&mut from)?;
    first.player.observer.keeps_recent = false;
    let report = first.finish()?;
    match report.verdict {
        Verdict::Equal | Verdict::EqualUpTo { .. } => return Ok(report),
        Verdict::Diverged(_) => {}
    }
    from.seek(SeekFrom::Start(start))?;
    replay(from)
}

/// A machine that replays a recording.
///
/// All its inputs come from the recording. Each request of the machine is compared in full with the
/// recorded one, each recorded input is applied at its step, and each checkpoint is compared.
/// [`finish`](Self::finish) replays to the end. [`run_to`](Self::run_to) stops at a step, where
/// [`kernel`](Self::kernel) returns the state. It needs the memory of the recorded machine and a
/// bounded part of the recording.
///
/// A recording determines how many steps its replay takes. If it is not trusted, bound them with
/// `run_to`.
#[derive(Clone, Debug)]
pub struct Replay<R, S = NoSink> {
    reader: Reader<R>,
    player: Player<S>,
    verdict: Option<Verdict>,
    /// The checkpoint file from which the replay continued.
    from: Option<Continued>,
}

/// Where a replay continued from a checkpoint file.
#[derive(Clone, Copy, Debug)]
struct Continued {
    step: u64,
    /// The number of the recording's checkpoint entry.
    entry: u64,
}

/// How a call of [`Replay::run_to`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// The machine has taken the requested number of steps, and all inputs recorded before the next
    /// step have been applied.
    AtStep,
    /// The replay has ended.
    Over,
}

impl<R: Read> Replay<R> {
    /// Opens a recording for replay.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open(from: R) -> Result<Replay<R>, ReplayError> {
        Replay::with_sink(from, NoSink)
    }

    /// Opens a recording for a replay that continues from a checkpoint file, which
    /// [`to_checkpoint`](Self::to_checkpoint) wrote for the same recording.
    ///
    /// The part of the recording before the checkpoint is read, so that its chain of digests is
    /// checked, but it is not replayed. The trace digest of the mode `Full` is not compared,
    /// because it is a hash over all events from the first one.
    ///
    /// # Errors
    /// When the recording cannot be read up to the checkpoint, or the file is not the machine's
    /// state there: the recording's own digests decide.
    pub fn from_checkpoint(from: R, checkpoint: &[u8]) -> Result<Replay<R>, CheckpointError> {
        let stored = StoredMachine::read(checkpoint)?;
        let mut reader = Reader::open(from)?;
        let player = resume::player(&mut reader, &stored)?;
        let (step, entry) = (stored.step, stored.entry);
        Ok(Replay {
            reader,
            player,
            verdict: None,
            from: Some(Continued { step, entry }),
        })
    }
}

impl<R: Read, S: Sink> Replay<R, S> {
    /// Opens a recording for replay, with a sink that observes the machine.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn with_sink(from: R, sink: S) -> Result<Replay<R, S>, ReplayError> {
        let reader = Reader::open(from)?;
        let player = Player::new(reader.header().config.clone(), sink);
        Ok(Replay {
            reader,
            player,
            verdict: None,
            from: None,
        })
    }

    /// Makes the replay take every step as a wave. `jobs` runs the wave's jobs, for instance on
    /// several threads. A wave of the recording is run as a whole; any other step is a wave by
    /// itself.
    #[must_use]
    pub fn in_waves(mut self, jobs: impl Fn(&mut [Job<'_>]) + Send + Sync + 'static) -> Self {
        self.player.jobs = Some(Jobs(Arc::new(jobs)));
        self
    }

    /// The setup of the recorded machine.
    pub fn header(&self) -> &Header {
        self.reader.header()
    }

    /// The machine in its current state.
    pub fn kernel(&self) -> &ProtocolMachineKernel {
        &self.player.kernel
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut S {
        &mut self.player.observer.sink
    }

    /// Replays until the machine has taken `step` steps and all inputs recorded before the next
    /// step have been applied.
    ///
    /// # Errors
    /// As [`replay`].
    pub fn run_to(&mut self, step: u64) -> Result<Progress, ReplayError> {
        loop {
            match self.play(step)? {
                Played::Entry => {}
                Played::Held => return Ok(Progress::AtStep),
                Played::Over => return Ok(Progress::Over),
            }
        }
    }

    /// Replays to the end.
    ///
    /// # Errors
    /// As [`replay`].
    pub fn finish(mut self) -> Result<Report, ReplayError> {
        let _ = self.run_to(u64::MAX)?;
        Ok(self.report())
    }

    /// Replays up to the recording's checkpoint at this step, and returns the bytes of a checkpoint
    /// file with the machine's state there. A later replay can continue from it with
    /// [`from_checkpoint`](Self::from_checkpoint).
    ///
    /// # Errors
    /// When the replay has already reached this step, ends or diverges before it, the recording has
    /// no checkpoint there, or the state is longer than
    /// [`CHECKPOINT_LEN_MAX`](crate::CHECKPOINT_LEN_MAX).
    pub fn to_checkpoint(&mut self, step: u64) -> Result<Vec<u8>, CheckpointError> {
        if self.player.observer.checks.is_off() {
            return Err(CheckpointError::NoDigests);
        }
        let now = self.player.kernel.step_index();
        if step <= now && self.has_begun() {
            return Err(CheckpointError::Passed { step, now });
        }
        let mut before = self.from.map(|from| from.step);
        let mut end = None;
        loop {
            let compared = self.player.checkpoints;
            match self.play(u64::MAX)? {
                Played::Entry if self.player.checkpoints == compared => {}
                Played::Entry => match self.current() {
                    Some(Entry::Checkpoint(point)) if point.step == step => break,
                    Some(Entry::Checkpoint(point)) if point.step < step => {
                        before = Some(point.step);
                    }
                    Some(Entry::Checkpoint(point)) => {
                        return Err(CheckpointError::NoCheckpoint {
                            step,
                            before,
                            after: Some(point.step),
                            end: None,
                        });
                    }
                    // The end has digests too, but nothing follows it.
                    Some(Entry::End(found)) => end = Some(found.last.step),
                    Some(_) | None => {}
                },
                Played::Held | Played::Over => {
                    return Err(match self.verdict.clone() {
                        Some(Verdict::Diverged(divergence)) => {
                            CheckpointError::Diverged { step, divergence }
                        }
                        Some(Verdict::Equal | Verdict::EqualUpTo { .. }) | None => {
                            CheckpointError::NoCheckpoint {
                                step,
                                before,
                                after: None,
                                end,
                            }
                        }
                    });
                }
            }
        }
        let anchor = Anchor {
            entry: self.reader.current().entry,
            header: header_digest(self.reader.header()),
            chain: self.reader.chain(),
            traces: self.player.observer.checks.traces().to_vec(),
        };
        StoredMachine::of(&self.player.kernel, anchor).write()
    }

    /// The result so far. Linear in the state.
    pub fn report(&self) -> Report {
        let (last, _) = self.player.observer.checks.take(&self.player.kernel);
        Report {
            verdict: self.verdict.clone().unwrap_or(Verdict::EqualUpTo {
                step: self.player.kernel.step_index(),
            }),
            from_step: self.from.map(|from| from.step),
            tail: self.reader.tail().cloned(),
            records: self.reader.records(),
            entries: self.reader.entries() - self.from.map_or(0, |from| from.entry),
            requests: self.player.requests,
            inputs: self.player.inputs,
            checkpoints: self.player.checkpoints,
            sessions: self.player.kernel.sessions().len() as u64,
            last,
        }
    }

    /// Plays the next entry, if the steps before it are within the limit.
    pub(crate) fn play(&mut self, until: u64) -> Result<Played, ReplayError> {
        if self.verdict.is_some() {
            return Ok(Played::Over);
        }
        if let Some(len) = self.player.play_frequent(self.reader.peek(), until) {
            self.reader.pass(len);
            return Ok(Played::Entry);
        }
        let Some(raw) = self.reader.raw()? else {
            // The machine takes no step after the last entry, so all its steps have been compared.
            let step = self.player.kernel.step_index();
            self.verdict = Some(match self.reader.tail() {
                Some(Tail::Sealed) => Verdict::Equal,
                Some(Tail::Open | Tail::Torn { .. } | Tail::Damaged(_)) | None => {
                    Verdict::EqualUpTo { step }
                }
            });
            return Ok(Played::Over);
        };
        let entry = raw.entry;
        let stopped = match self.player.play(entry, raw.bytes, until) {
            Ok(()) => return Ok(Played::Entry),
            Err(stopped) => stopped,
        };
        match stopped {
            Stopped::Limit => {
                self.reader.hold();
                return Ok(Played::Held);
            }
            Stopped::Diverged(divergence) => {
                self.verdict = Some(Verdict::Diverged(divergence));
            }
            Stopped::Unreadable(error) => self.reader.damage(Cause::Entry { entry, error }),
            Stopped::Misplaced(misplaced) => {
                self.reader.damage(Cause::Misplaced { entry, misplaced });
            }
            Stopped::Image(error) => return Err(ReplayError::Image { entry, error }),
            Stopped::Unsound(error) => return Err(ReplayError::Unsound { entry, error }),
        }
        Ok(Played::Over)
    }

    /// Takes one step towards the held entry. `false` if no coroutine is ready, a request is
    /// pending, or the next steps are a wave, which is one entry.
    pub(crate) fn step(&mut self) -> bool {
        self.player.pending.is_empty() && !self.holds_wave() && self.player.step()
    }

    /// Whether the replay has played an entry, or continues from a checkpoint.
    fn has_begun(&self) -> bool {
        // The header is an entry.
        self.from.is_some() || self.reader.entries() > 1
    }

    /// Whether the held entry is a wave that starts at the current step.
    fn holds_wave(&self) -> bool {
        let now = self.player.kernel.step_index();
        wave_step(self.reader.current().bytes) == Some(now)
    }

    /// The last entry played, or the held entry.
    pub(crate) fn current(&self) -> Option<Entry> {
        Entry::decode(self.reader.current().bytes).ok()
    }

    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    pub(crate) fn reader(&self) -> &Reader<R> {
        &self.reader
    }
}

/// The result of playing an entry.
pub(crate) enum Played {
    /// The entry was played.
    Entry,
    /// The entry was not played, because steps beyond the limit precede it.
    Held,
    /// The replay has ended.
    Over,
}
