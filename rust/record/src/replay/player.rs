//! The machine of a replay: plays the entries of a recording one by one and compares.

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon_codec::{Encoder, scan};
use antiphon_machine::{
    Canonical, CodeImage, DeterminismMode, EffectId, EffectRequest, Ingress, Job, Observation,
    Outcome, Pick, ProtocolMachineConfig, ProtocolMachineKernel, ReadError, Refusal, Resumed, Sink,
    Step, Taken, Turn, VerifyError, WaveBuffers, WaveCertificate, WaveRefusal,
};

use crate::checks::{Checks, stop_of};
use crate::describe;
use crate::divergence::{Difference, Divergence, differing_fields};
use crate::entry::{
    Checkpoint, End, Entry, REQUEST_START, Request, STEP_AT, WAVE_START, encode_request,
    frequent_answer,
};
use crate::tail::Misplaced;

use super::locate::divergence;
use super::observer::Observer;

/// The machine of a replay. It plays entries without reading them from the recording itself.
#[derive(Clone, Debug)]
pub(super) struct Player<S> {
    pub(super) kernel: ProtocolMachineKernel,
    pub(super) observer: Observer<S>,
    /// The effect of the request that was played last, as long as an answer may follow.
    last_request: Option<EffectId>,
    /// The effects of the machine's requests that have not been compared yet, in their order. A
    /// step adds at most one effect, a wave can add several.
    pub(super) pending: VecDeque<EffectId>,
    /// The machine's refusal of the last input, until the recorded refusal is compared with it.
    refused: Option<Refusal>,
    /// The coroutine that took the last step.
    pick: Option<Pick>,
    buffers: WaveBuffers,
    /// Runs the jobs of waves. Without it this thread runs them, and only the recorded waves are
    /// waves.
    pub(super) jobs: Option<Jobs>,
    pub(super) requests: u64,
    pub(super) inputs: u64,
    pub(super) checkpoints: u64,
    /// The encoding of the machine's request.
    scratch: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct Jobs(pub(super) Arc<RunJobs>);

pub(super) type RunJobs = dyn Fn(&mut [Job<'_>]) + Send + Sync;

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jobs")
    }
}

/// Why an entry was not played.
pub(super) enum Stopped {
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
    pub(super) fn new(config: ProtocolMachineConfig, sink: S) -> Player<S> {
        let checks = Checks::new(config.determinism_mode);
        // The mode `Replay` marks a machine whose outcomes all come from a recording.
        let config = ProtocolMachineConfig {
            determinism_mode: DeterminismMode::Replay,
            ..config
        };
        Player {
            kernel: ProtocolMachineKernel::new(config),
            observer: Observer::new(checks, sink),
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
    /// Nearly all entries are frequent ones. Finding the end of each in a separate pass took a
    /// tenth of a replay's time.
    #[inline]
    pub(super) fn play_frequent(&mut self, bytes: &[u8], until: u64) -> Option<usize> {
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

    pub(super) fn play(&mut self, entry: u64, bytes: &[u8], until: u64) -> Result<(), Stopped> {
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
    pub(super) fn step(&mut self) -> bool {
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
        let recent = self.observer.recent(&self.kernel);
        let found = divergence(&self.kernel, self.pick, entry, recorded, difference, recent);
        Stopped::Diverged(Box::new(found))
    }
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
pub(super) fn wave_step(entry: &[u8]) -> Option<u64> {
    match entry.starts_with(&WAVE_START) {
        true => scan::uint_at(entry, STEP_AT),
        false => None,
    }
}
