//! Replay: runs the kernel with the inputs of a recording and compares each request and each
//! checkpoint with the recorded one.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use antiphon_codec::{Encoder, scan};
use antiphon_machine::{
    Canonical, CodeImage, CoroutineId, DeterminismMode, EffectId, EffectRequest, Event, Ingress,
    Interest, Job, NoSink, ObsEvent, Observation, OperationId, Outcome, Pick,
    ProtocolMachineConfig, ProtocolMachineKernel, ReadError, Refusal, Resumed, SessionId, Sink,
    Stamp, Step, Taken, Turn, VerifyError, WaveBuffers, WaveCertificate, WaveRefusal,
};

use crate::checkpoint::{Anchor, CheckpointError, StoredMachine, digests_text};
use crate::checks::{Checks, stop_of};
use crate::describe;
use crate::divergence::{Difference, Divergence, RecentEvent, Site, differing_fields};
use crate::entry::{
    Checkpoint, End, Entry, Header, REQUEST_START, Request, STEP_AT, WAVE_START, encode_request,
    frequent_answer, number,
};
use crate::reader::{Cause, Misplaced, OpenError, Reader, Tail};
use crate::report::{Report, Verdict};

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

/// Why a recording could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading failed.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
    /// An image in it cannot be read.
    #[error("the image in entry {entry} cannot be read: {error}")]
    Image {
        /// The entry's number.
        entry: u64,
        /// The reason.
        error: ReadError,
    },
    /// An image in it does not verify.
    #[error("the image in entry {entry} does not verify: {error}")]
    Unsound {
        /// The entry's number.
        entry: u64,
        /// The reason.
        error: Box<VerifyError>,
    },
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
        let header = header_digest(reader.header());
        if stored.header != header {
            return Err(other_recording("the header", header, stored.header));
        }
        let mode = reader.header().config.determinism_mode;
        if mode == DeterminismMode::ModuloEffects {
            return Err(CheckpointError::NoDigests);
        }
        let checks = Checks::continued(mode, stored.traces.clone());
        let (point, images) = skip_to(&mut reader, &stored)?;
        let found = stored.image_digests();
        if found != images {
            return Err(CheckpointError::OtherRecording {
                what: "the list of images",
                expected: digests_text(&images),
                got: digests_text(&found),
            });
        }
        let mut player = Player::new(reader.header().config.clone(), NoSink);
        player.kernel = stored.restore(player.kernel.config().clone())?;
        let step = point.step;
        player.observer.checks = checks.ok_or(CheckpointError::Differs {
            step,
            what: "the number of traces",
            expected: "0".to_owned(),
            got: stored.traces.len().to_string(),
        })?;
        check_digests(&player, &stored, &point)?;
        player.checkpoints = 1;
        player.observer.know_outstanding(&player.kernel);
        let entry = stored.entry;
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
    /// When the replay ends or diverges before, the recording has no checkpoint at this step, or
    /// the state is longer than [`CHECKPOINT_LEN_MAX`](crate::CHECKPOINT_LEN_MAX).
    pub fn to_checkpoint(&mut self, step: u64) -> Result<Vec<u8>, CheckpointError> {
        if self.player.observer.checks.is_off() {
            return Err(CheckpointError::NoDigests);
        }
        let mut before = self.from.map(|from| from.step);
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
                        let after = Some(point.step);
                        return Err(no_checkpoint(step, before, after));
                    }
                    // The end has digests too, but nothing follows it.
                    Some(_) | None => {}
                },
                Played::Held | Played::Over => {
                    return Err(match self.verdict.clone() {
                        Some(Verdict::Diverged(divergence)) => {
                            CheckpointError::Diverged { step, divergence }
                        }
                        Some(Verdict::Equal | Verdict::EqualUpTo { .. }) | None => {
                            no_checkpoint(step, before, None)
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

/// The machine of a replay. It plays entries without reading them from the recording itself.
#[derive(Clone, Debug)]
struct Player<S> {
    kernel: ProtocolMachineKernel,
    observer: Observer<S>,
    /// The effect of the request that was played last, as long as an answer may follow.
    last_request: Option<EffectId>,
    /// The effects of the machine's requests that have not been compared yet, in their order. A
    /// step adds at most one effect, a wave can add several.
    pending: VecDeque<EffectId>,
    /// The machine's refusal of the last input, until the recorded refusal is compared with it.
    refused: Option<Refusal>,
    /// The coroutine that took the last step.
    pick: Option<Pick>,
    buffers: WaveBuffers,
    /// Runs the jobs of waves. Without it this thread runs them, and only the recorded waves are
    /// waves.
    jobs: Option<Jobs>,
    requests: u64,
    inputs: u64,
    checkpoints: u64,
    /// The encoding of the machine's request.
    scratch: Vec<u8>,
}

#[derive(Clone)]
struct Jobs(Arc<RunJobs>);

type RunJobs = dyn Fn(&mut [Job<'_>]) + Send + Sync;

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jobs")
    }
}

/// The sink of a replayed machine: keeps the digests and the last events, and forwards to the
/// caller's sink.
#[derive(Clone, Debug)]
struct Observer<S> {
    checks: Checks,
    /// The last events, at most [`RECENT_MAX`], each with the operation of the effect that it ends.
    recent: Vec<(ObsEvent, Option<OperationId>)>,
    /// The operations of outstanding effects.
    operations: BTreeMap<EffectId, OperationId>,
    keeps_recent: bool,
    /// Position of the next event in `recent`.
    at: usize,
    sink: S,
}

/// Why an entry was not played.
enum Stopped {
    /// Steps beyond the limit precede it.
    Limit,
    Diverged(Box<Divergence>),
    Unreadable(ReadError),
    Misplaced(Misplaced),
    Image(ReadError),
    Unsound(Box<VerifyError>),
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Stopped {
        Stopped::Unreadable(error)
    }
}

impl<S: Sink> Player<S> {
    fn new(config: ProtocolMachineConfig, sink: S) -> Player<S> {
        let checks = Checks::new(config.determinism_mode);
        // The mode `Replay` marks a machine whose outcomes all come from a recording.
        let config = ProtocolMachineConfig {
            determinism_mode: DeterminismMode::Replay,
            ..config
        };
        Player {
            kernel: ProtocolMachineKernel::new(config),
            observer: Observer {
                checks,
                recent: Vec::with_capacity(RECENT_MAX),
                operations: BTreeMap::new(),
                keeps_recent: true,
                at: 0,
                sink,
            },
            last_request: None,
            pending: VecDeque::new(),
            refused: None,
            pick: None,
            buffers: WaveBuffers::default(),
            jobs: None,
            requests: 0,
            inputs: 0,
            checkpoints: 0,
            scratch: Vec::new(),
        }
    }

    /// Plays the entry at the start of `bytes` and returns its length, if it is one of the frequent
    /// ones: a request that equals the machine's, or a frequent answer.
    ///
    /// Nearly all entries are. Finding their ends separately took a tenth of a replay.
    #[inline]
    fn play_frequent(&mut self, bytes: &[u8], until: u64) -> Option<usize> {
        if self.refused.is_some() {
            return None;
        }
        if bytes.starts_with(&REQUEST_START) {
            self.step_to(scan::uint_at(bytes, STEP_AT)?, until);
            let live = self.kernel.request(*self.pending.front()?)?;
            let now = self.kernel.step_index();
            self.scratch.clear();
            encode_request(now, &live, &mut Encoder::new(&mut self.scratch));
            // No encoded item is a proper prefix of another one.
            if !bytes.starts_with(&self.scratch) {
                return None;
            }
            let request = Observation::Request {
                step: now,
                request: &live,
            };
            self.observer.sink.observe(request);
            self.last_request = self.pending.pop_front();
            self.requests += 1;
            return Some(self.scratch.len());
        }
        let effect = self.last_request?;
        let (outcome, len) = frequent_answer(bytes)?;
        self.last_request = None;
        self.apply(Ingress::Outcome { effect, outcome });
        Some(len)
    }

    /// Steps until a request is pending, the machine rests, or it has taken `step` steps. `false`
    /// if this takes steps beyond the limit.
    #[inline]
    fn step_to(&mut self, step: u64, until: u64) -> bool {
        while self.pending.is_empty() && self.kernel.step_index() < step {
            if self.kernel.step_index() >= until {
                return false;
            }
            if !self.step() {
                break;
            }
        }
        true
    }

    fn play(&mut self, entry: u64, bytes: &[u8], until: u64) -> Result<(), Stopped> {
        if bytes.starts_with(&REQUEST_START) {
            return self.play_request(entry, bytes, until);
        }
        let decoded = Entry::decode(bytes)?;
        if self.refused.is_some() && !matches!(decoded, Entry::Refused(_)) {
            return Err(self.refusal_differs(entry, None));
        }
        match decoded {
            Entry::Header(_) => Err(Stopped::Misplaced(Misplaced::Header)),
            Entry::Image(bytes) => self.load(&bytes),
            Entry::Request(_) => self.play_request(entry, bytes, until),
            Entry::Answer(outcome) => self.answer(entry, outcome),
            Entry::Input { step, ref input } => {
                self.last_request = None;
                self.advance(entry, &decoded, step, until)?;
                self.apply(input.clone());
                Ok(())
            }
            Entry::Refused(refusal) => {
                if self.refused != Some(refusal) {
                    return Err(self.refusal_differs(entry, Some(refusal)));
                }
                self.refused = None;
                Ok(())
            }
            Entry::Checkpoint(point) => {
                self.last_request = None;
                self.advance(entry, &decoded, point.step, until)?;
                self.compare(entry, &point)
            }
            Entry::Wave { step, ref picks } => {
                self.last_request = None;
                self.advance(entry, &decoded, step, until)?;
                if self.kernel.step_index() >= until {
                    return Err(Stopped::Limit);
                }
                self.wave(entry, &decoded, picks)
            }
            Entry::End(End { stop, last, .. }) => {
                self.last_request = None;
                self.advance(entry, &decoded, last.step, until)?;
                self.compare(entry, &last)?;
                let got = stop_of(&self.kernel);
                if stop == got {
                    return Ok(());
                }
                let difference = Difference::Stop {
                    expected: stop,
                    got,
                };
                Err(self.diverged(entry, None, difference))
            }
        }
    }

    #[inline]
    fn answer(&mut self, entry: u64, outcome: Outcome) -> Result<(), Stopped> {
        let Some(effect) = self.last_request.take() else {
            let answer = Entry::Answer(outcome);
            return Err(self.diverged(entry, Some(&answer), Difference::AnswerToNothing));
        };
        self.apply(Ingress::Outcome { effect, outcome });
        Ok(())
    }

    /// Compares a recorded request with the machine's. It compares their bytes, which are equal if
    /// and only if the requests are.
    fn play_request(&mut self, entry: u64, bytes: &[u8], until: u64) -> Result<(), Stopped> {
        if self.refused.is_some() {
            return Err(self.refusal_differs(entry, None));
        }
        self.last_request = None;
        let Some(step) = scan::uint_at(bytes, STEP_AT) else {
            // Not the form that a writer produces. The decoder returns the error.
            Entry::decode(bytes)?;
            return Ok(());
        };
        if !self.step_to(step, until) {
            return Err(Stopped::Limit);
        }
        let first = self.pending.front().copied();
        let Some(live) = first.and_then(|effect| self.kernel.request(effect)) else {
            return Err(self.request_missing(entry, bytes));
        };
        self.scratch.clear();
        let now = self.kernel.step_index();
        encode_request(now, &live, &mut Encoder::new(&mut self.scratch));
        if self.scratch != bytes {
            let got = Request::of(now, &live);
            return Err(self.request_differs(entry, bytes, got));
        }
        let request = Observation::Request {
            step: now,
            request: &live,
        };
        self.observer.sink.observe(request);
        self.last_request = self.pending.pop_front();
        self.requests += 1;
        Ok(())
    }

    /// Steps until the step of an entry that is not a request.
    fn advance(
        &mut self,
        entry: u64,
        decoded: &Entry,
        step: u64,
        until: u64,
    ) -> Result<(), Stopped> {
        if !self.step_to(step, until) {
            return Err(Stopped::Limit);
        }
        if let Some(live) = self.live() {
            let got = Request::of(self.kernel.step_index(), &live);
            let difference = Difference::RequestExtra(Box::new(got));
            return Err(self.diverged(entry, Some(decoded), difference));
        }
        let now = self.kernel.step_index();
        if now < step {
            return Err(self.diverged(entry, Some(decoded), Difference::Rest { step }));
        }
        if now > step {
            return Err(self.diverged(entry, Some(decoded), Difference::Past { step }));
        }
        Ok(())
    }

    /// Takes one step. `false` if no coroutine is ready.
    #[inline]
    fn step(&mut self) -> bool {
        if self.jobs.is_some() {
            let wave = self.kernel.plan(1, 1);
            if !wave.picks.is_empty() {
                return self.run(&wave).is_ok();
            }
        }
        match self.kernel.step(&mut self.observer) {
            Turn::Stepped { pick, step } => {
                self.pick = Some(pick);
                if let Step::Effect(effect) = step {
                    self.pending.push_back(effect);
                }
                self.observer
                    .sink
                    .observe(Observation::Stepped(&self.kernel));
                true
            }
            Turn::Rest(rest) => {
                let rested = Observation::Rested(&self.kernel, &rest);
                self.observer.sink.observe(rested);
                false
            }
        }
    }

    /// The first request that has not been compared yet.
    fn live(&self) -> Option<EffectRequest<'_>> {
        self.kernel.request(*self.pending.front()?)
    }

    /// Runs a recorded wave.
    fn wave(&mut self, entry: u64, decoded: &Entry, picks: &[(Pick, u32)]) -> Result<(), Stopped> {
        let wave = self.kernel.claim(picks.iter().copied());
        let Err(refusal) = self.run(&wave) else {
            return Ok(());
        };
        Err(self.diverged(entry, Some(decoded), Difference::Wave(refusal)))
    }

    fn run(&mut self, wave: &WaveCertificate) -> Result<(), WaveRefusal> {
        let run = |jobs: &mut [Job<'_>]| {
            if let Some(Jobs(run)) = &self.jobs {
                run(jobs);
            }
        };
        self.kernel
            .wave(wave, &mut self.buffers, &mut self.observer, run)?;
        self.pick = self.buffers.steps().next_back();
        let effects = self.buffers.asked().map(|(effect, _)| effect);
        self.pending.extend(effects);
        self.observer
            .sink
            .observe(Observation::Stepped(&self.kernel));
        Ok(())
    }

    fn apply(&mut self, input: Ingress) {
        self.inputs += 1;
        match self.kernel.ingress(input, &mut self.observer) {
            // The request is repeated at once, before the other requests of the wave.
            Ok(Taken::Resumed(Resumed::Reissued(effect))) => self.pending.push_front(effect),
            Ok(
                Taken::Opened(_)
                | Taken::Resumed(Resumed::Ready(_) | Resumed::Faulted(_))
                | Taken::Advanced { .. }
                | Taken::Cancelled,
            ) => {}
            Err(refusal) => self.refused = Some(refusal),
        }
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.last_request = None;
        let image = CodeImage::from_bytes(bytes, CodeImage::LIMITS).map_err(Stopped::Image)?;
        let image = image.verify().map_err(|e| Stopped::Unsound(Box::new(e)))?;
        let image = Arc::new(image);
        self.observer.sink.observe(Observation::Loaded(&image));
        self.kernel.load(&image);
        Ok(())
    }

    fn compare(&mut self, entry: u64, expected: &Checkpoint) -> Result<(), Stopped> {
        let (got, _) = self.observer.checks.take(&self.kernel);
        self.checkpoints += 1;
        if expected.clock != got.clock {
            let (expected, got) = (expected.clock, got.clock);
            let difference = Difference::Clock { expected, got };
            return Err(self.diverged(entry, None, difference));
        }
        if let (Some(expected), Some(got)) = (expected.trace, got.trace)
            && expected != got
        {
            let difference = Difference::Trace { expected, got };
            return Err(self.diverged(entry, None, difference));
        }
        if let (Some(expected), Some(got)) = (expected.state, got.state)
            && expected != got
        {
            let difference = Difference::State { expected, got };
            return Err(self.diverged(entry, None, difference));
        }
        Ok(())
    }

    #[cold]
    fn request_differs(&self, entry: u64, bytes: &[u8], got: Request) -> Stopped {
        let expected = match recorded_request(bytes) {
            Ok(expected) => expected,
            Err(stopped) => return stopped,
        };
        let image = describe::image_of(&self.kernel, got.effect.session);
        let difference = Difference::Request {
            fields: differing_fields(image, &expected, &got),
            expected: Box::new(expected),
            got: Box::new(got),
        };
        self.diverged(entry, None, difference)
    }

    #[cold]
    fn request_missing(&self, entry: u64, bytes: &[u8]) -> Stopped {
        match recorded_request(bytes) {
            Ok(expected) => {
                let difference = Difference::RequestMissing(Box::new(expected));
                self.diverged(entry, None, difference)
            }
            Err(stopped) => stopped,
        }
    }

    #[cold]
    fn refusal_differs(&self, entry: u64, expected: Option<Refusal>) -> Stopped {
        let got = self.refused;
        self.diverged(entry, None, Difference::Refusal { expected, got })
    }

    /// Describes a divergence. `recorded` is the entry, if the texts of the difference need it.
    #[cold]
    fn diverged(&self, entry: u64, recorded: Option<&Entry>, difference: Difference) -> Stopped {
        let (expected, got) = difference.texts(recorded, &self.kernel);
        let origin = self.origin(&difference);
        let coroutine = origin.and_then(|(session, coroutine)| {
            let session = self.kernel.session(session)?;
            let image = self.kernel.image(session).as_ref();
            Some((image, session.coroutines().get(coroutine.index())?))
        });
        let instruction = coroutine.and_then(|(image, coroutine)| {
            let program = image.image().programs.get(coroutine.program.index())?;
            let instruction = program.code.get(coroutine.pc.index())?;
            Some(Site {
                program: program.name.clone(),
                pc: coroutine.pc,
                text: describe::instruction(image, instruction),
            })
        });
        let role = coroutine.map(|(image, coroutine)| {
            let role = coroutine.role;
            role.map_or_else(String::new, |r| describe::role(Some(image), r))
        });
        Stopped::Diverged(Box::new(Divergence {
            entry,
            step: self.kernel.step_index(),
            session: origin.map(|(session, _)| session),
            role,
            instruction,
            difference,
            expected,
            got,
            recent: self.recent(),
        }))
    }

    /// The coroutine to which a difference belongs: the one that made the request, or should have,
    /// and otherwise the one that took the last step.
    fn origin(&self, difference: &Difference) -> Option<(SessionId, CoroutineId)> {
        match difference {
            Difference::Request { got, .. } | Difference::RequestExtra(got) => {
                let issuer = self.issuer(got.effect)?;
                Some((got.effect.session, issuer))
            }
            Difference::RequestMissing(expected) => {
                let id = expected.effect.session;
                let coroutines = self.kernel.session(id)?.coroutines();
                let index = coroutines.iter().position(|c| c.role == expected.role)?;
                Some((id, CoroutineId(index as u16)))
            }
            Difference::Rest { .. }
            | Difference::Past { .. }
            | Difference::AnswerToNothing
            | Difference::Refusal { .. }
            | Difference::Clock { .. }
            | Difference::State { .. }
            | Difference::Trace { .. }
            | Difference::Wave(_)
            | Difference::Stop { .. } => self.pick.map(|pick| (pick.session, pick.coroutine)),
        }
    }

    /// The coroutine of an outstanding effect.
    fn issuer(&self, effect: EffectId) -> Option<CoroutineId> {
        let effects = self.kernel.session(effect.session)?.effects();
        let found = effects.iter().find(|e| e.number == effect.number)?;
        Some(found.coroutine)
    }

    fn recent(&self) -> Vec<RecentEvent> {
        let (newer, older) = self.observer.recent.split_at(self.observer.at);
        let recent = |(event, operation): &(ObsEvent, Option<OperationId>)| {
            let image = describe::image_of(&self.kernel, event.stamp.session);
            RecentEvent {
                text: describe::event_of(image, event, *operation),
                event: event.clone(),
            }
        };
        older.iter().chain(newer).map(recent).collect()
    }
}

impl<S> Observer<S> {
    /// Learns the operations of the effects that were outstanding at a checkpoint.
    fn know_outstanding(&mut self, kernel: &ProtocolMachineKernel) {
        for session in kernel.sessions() {
            for effect in session.effects() {
                let (session, number) = (session.id(), effect.number);
                let effect_id = EffectId { session, number };
                self.operations.insert(effect_id, effect.operation);
            }
        }
    }

    /// The operation of the effect that the event ends. Keeps the operations of outstanding
    /// effects, whose number the machine bounds.
    fn operation(&mut self, session: SessionId, event: &Event) -> Option<OperationId> {
        let effect = |number: u64| EffectId { session, number };
        match event {
            Event::EffectIssued {
                number, operation, ..
            } => {
                self.operations.insert(effect(*number), *operation);
                None
            }
            Event::EffectResolved { number, .. }
            | Event::EffectFailed { number, .. }
            | Event::EffectInvalidated { number } => self.operations.remove(&effect(*number)),
            Event::Opened { .. }
            | Event::Sent(_)
            | Event::Offered(_)
            | Event::Received(_)
            | Event::Chose(_)
            | Event::WitnessIssued { .. }
            | Event::WitnessExpired { .. }
            | Event::TimeoutIssued { .. }
            | Event::CancellationRequested { .. }
            | Event::Cancelled { .. }
            | Event::FailureBranchEntered { .. }
            | Event::Spawned { .. }
            | Event::Halted { .. }
            | Event::Faulted { .. }
            | Event::Closed
            | Event::SessionTerminal { .. }
            | Event::EpochAdvanced { .. } => None,
        }
    }
}

impl<S: Sink> Sink for Observer<S> {
    #[inline]
    fn interest(&self) -> Interest {
        Interest {
            events: self.keeps_recent || !self.checks.is_off() || self.sink.interest().events,
            ..Interest::ALL
        }
    }

    #[inline]
    fn observe(&mut self, observation: Observation<'_>) {
        match observation {
            Observation::Event { stamp, event } => {
                if self.sink.interest().events {
                    self.sink.observe(observation);
                }
                self.event(stamp, event);
            }
            Observation::Input { .. } | Observation::Refused { .. } => {
                self.sink.observe(observation);
            }
            // The player reports these itself, when they have been compared.
            Observation::Loaded(_)
            | Observation::Wave { .. }
            | Observation::Request { .. }
            | Observation::Stepped(_)
            | Observation::Rested(..) => {}
        }
    }
}

impl<S: Sink> Observer<S> {
    #[inline]
    fn event(&mut self, stamp: &Stamp, event: &Event) {
        self.checks.event(stamp, event);
        if !self.keeps_recent {
            return;
        }
        let operation = self.operation(stamp.session, event);
        let event = ObsEvent {
            stamp: *stamp,
            event: event.clone(),
        };
        let event = (event, operation);
        match self.recent.get_mut(self.at) {
            Some(place) => *place = event,
            None => self.recent.push(event),
        }
        self.at = (self.at + 1) % RECENT_MAX;
    }
}

/// The digest of a recording's header entry.
fn header_digest(header: &Header) -> [u8; 32] {
    let mut bytes = Vec::new();
    header.encode(&mut Encoder::new(&mut bytes));
    *blake3::hash(&bytes).as_bytes()
}

fn no_checkpoint(step: u64, before: Option<u64>, after: Option<u64>) -> CheckpointError {
    CheckpointError::NoCheckpoint {
        step,
        before,
        after,
    }
}

fn other_recording(what: &'static str, expected: [u8; 32], got: [u8; 32]) -> CheckpointError {
    CheckpointError::OtherRecording {
        what,
        expected: describe::digest(&expected),
        got: describe::digest(&got),
    }
}

/// Reads up to the checkpoint entry to which the file belongs. Returns that entry, and the digests
/// of the images before it, each once.
fn skip_to<R: Read>(
    reader: &mut Reader<R>,
    stored: &StoredMachine,
) -> Result<(Checkpoint, Vec<[u8; 32]>), CheckpointError> {
    let (step, entry) = (stored.step, stored.entry);
    let mut images = Vec::new();
    loop {
        let Some(raw) = reader.raw()? else {
            let tail = Box::new(reader.tail().cloned());
            return Err(CheckpointError::Ends { entry, step, tail });
        };
        let is_image = scan::uint_at(raw.bytes, 1) == Some(number::IMAGE);
        if !is_image && raw.entry < entry {
            continue;
        }
        let decoded = Entry::decode(raw.bytes);
        match decoded {
            Ok(Entry::Checkpoint(point)) if raw.entry == entry && point.step == step => {
                let chain = reader.chain();
                if chain != stored.chain {
                    let what = "the chain value of the checkpoint's record";
                    return Err(other_recording(what, chain, stored.chain));
                }
                return Ok((point, images));
            }
            Ok(Entry::Image(bytes)) if raw.entry < entry => {
                let digest = *blake3::hash(&bytes).as_bytes();
                if !images.contains(&digest) {
                    images.push(digest);
                }
            }
            found => {
                let found = found.map_or_else(|e| e.to_string(), |e| describe::entry(None, &e));
                return Err(CheckpointError::OtherEntry { entry, step, found });
            }
        }
    }
}

/// Compares the restored machine with the recording's checkpoint and with the file's header.
fn check_digests<S>(
    player: &Player<S>,
    stored: &StoredMachine,
    point: &Checkpoint,
) -> Result<(), CheckpointError> {
    let step = point.step;
    let differs = |what, expected: String, got: String| {
        Err(CheckpointError::Differs {
            step,
            what,
            expected,
            got,
        })
    };
    let (got, _) = player.observer.checks.take(&player.kernel);
    if point.clock != got.clock {
        return differs("the clock", point.clock.to_string(), got.clock.to_string());
    }
    let text = |digest: Option<[u8; 32]>| {
        digest.map_or_else(|| "absent".to_owned(), |digest| describe::digest(&digest))
    };
    if point.state.is_none() || point.state != got.state {
        return differs("the state digest", text(point.state), text(got.state));
    }
    if got.trace.is_some() && point.trace != got.trace {
        return differs("the trace digest", text(point.trace), text(got.trace));
    }
    let own = player.kernel.state_digest();
    if own != stored.state {
        let (expected, got) = (describe::digest(&own), describe::digest(&stored.state));
        return differs("the state digest in its header", expected, got);
    }
    Ok(())
}

fn recorded_request(bytes: &[u8]) -> Result<Request, Stopped> {
    match Entry::decode(bytes)? {
        Entry::Request(request) => Ok(request),
        Entry::Header(_)
        | Entry::Image(_)
        | Entry::Answer(_)
        | Entry::Input { .. }
        | Entry::Refused(_)
        | Entry::Checkpoint(_)
        | Entry::Wave { .. }
        | Entry::End(_) => Err(Stopped::Misplaced(Misplaced::Header)),
    }
}

/// The step at which a wave started. `None` if the entry is not a wave.
fn wave_step(entry: &[u8]) -> Option<u64> {
    match entry.starts_with(&WAVE_START) {
        true => scan::uint_at(entry, STEP_AT),
        false => None,
    }
}

/// Events before a divergence that are kept.
const RECENT_MAX: usize = 16;
