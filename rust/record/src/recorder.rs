//! The recorder: a sink that writes a recording.

use antiphon_machine::bounds::{IMAGE_LEN_MAX, SORT_DEPTH_MAX};
use antiphon_machine::{
    Canonical, DeterminismMode, EffectId, EffectRequest, Ingress, Interest, Observation, Outcome,
    ProtocolMachineKernel, Refusal, Sink, Value, VerifiedImage, WavePick,
};

use crate::checks::{Checks, stop_of};
use crate::entry::{
    End, Header, encode_answer, encode_image, encode_input, encode_refused, encode_request,
    encode_wave,
};
use crate::writer::{RecordError, Store, Writer};

/// When a recorder writes to the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// Write the record whenever the machine is at rest (waits for the outside world), even if the
    /// record is not full. If the process is killed, the recording is then complete up to the last
    /// rest.
    pub at_rest: bool,
    /// Sync every record, so that a power failure loses no more than a killed process does.
    /// Otherwise only the end of the recording is synced.
    pub sync: bool,
}

impl Default for Flush {
    fn default() -> Self {
        Flush {
            at_rest: true,
            sync: false,
        }
    }
}

/// The number of steps between checkpoints if the state is small.
pub const CHECKPOINT_STEPS: u64 = 1 << 16;

/// The least number of steps between two checkpoints that are taken at a rest of the machine.
const REST_STEPS: u64 = 64;

/// A sink that writes a recording of the run it observes.
///
/// Pass it to a machine, run the machine, get it back with `into_parts` and call
/// [`finish`](Self::finish). It writes every input before the machine accepts it, and every request
/// before the handler receives it. From time to time it also writes a checkpoint with the digests
/// of state and trace. The intervals grow with the state, so that checkpoints cost a few hundredths
/// of the run's time for any number of sessions.
///
/// A sink cannot fail, so an error stops the recording and not the run. [`error`](Self::error) and
/// `finish` return it.
///
/// ```
/// use antiphon_machine::{Class, EffectRequest, FromFn, Outcome, ProtocolMachine, Reply, Rest};
/// use antiphon_record::{Flush, Header, Recorder, Verdict, replay};
/// # let image = antiphon_machine::sample::ping_pong(1);
///
/// let host = FromFn(|request: &EffectRequest<'_>| {
///     Reply::Now(match request.class() {
///         Class::Decide { .. } => request.choose("stop").unwrap(),
///         _ => Outcome::done(),
///     })
/// });
/// let header = Header { tool: "example 1.0".to_owned(), ..Header::default() };
/// let recorder = Recorder::create(Vec::new(), &header, Flush::default())?;
/// let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
/// machine.load_choreography(&image, "me")?;
/// assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
/// let (kernel, _, recorder) = machine.into_parts();
/// let bytes = recorder.finish(&kernel)?;
///
/// // Later, without the host:
/// let report = replay(&bytes[..])?;
/// assert_eq!(report.verdict, Verdict::Equal);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recorder<W: Store> {
    writer: Writer<W>,
    checks: Checks,
    flush: Flush,
    /// The last written request and its step, if no entry was written after it.
    asked: Option<(u64, EffectId)>,
    images: Vec<[u8; 32]>,
    error: Option<RecordError>,
    /// The steps at which the next checkpoint is due, while running and at a rest.
    due: u64,
    due_at_rest: u64,
    interval: u64,
}

impl<W: Store> Recorder<W> {
    /// Starts a recording. The machine must have the header's configuration.
    ///
    /// # Errors
    /// When the medium fails, the header is too long, or the determinism mode is `Replay`.
    pub fn create(store: W, header: &Header, flush: Flush) -> Result<Recorder<W>, RecordError> {
        if header.config.determinism_mode == DeterminismMode::Replay {
            return Err(RecordError::Replaying);
        }
        let mut writer = Writer::create(store, header)?;
        writer.sync_records(flush.sync);
        Ok(Recorder {
            writer,
            checks: Checks::new(header.config.determinism_mode),
            flush,
            asked: None,
            images: Vec::new(),
            error: None,
            due: CHECKPOINT_STEPS,
            due_at_rest: REST_STEPS,
            interval: CHECKPOINT_STEPS,
        })
    }

    /// Sets the number of steps between checkpoints. It stays larger if the state is large.
    #[must_use]
    pub fn checkpoint_every(mut self, steps: u64) -> Recorder<W> {
        self.interval = steps.max(1);
        self.due = self.interval;
        self
    }

    /// The error that stopped the recording, if any.
    pub fn error(&self) -> Option<&RecordError> {
        self.error.as_ref()
    }

    /// Writes the current record to the medium.
    pub fn flush(&mut self) {
        self.write(|r| r.writer.flush());
    }

    /// Finishes the recording with the last digests and the state in which the machine is, syncs
    /// the medium and returns it.
    ///
    /// # Errors
    /// The first error of the recording, or an error of its end.
    pub fn finish(mut self, kernel: &ProtocolMachineKernel) -> Result<W, RecordError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let (last, _) = self.checks.take(kernel);
        let end = End {
            stop: stop_of(kernel),
            last,
            entries: self.writer.entries(),
        };
        self.writer.put(|out| end.encode(out))?;
        self.writer.finish()
    }

    /// Returns the medium without an end entry, as if the process had been stopped here.
    ///
    /// # Errors
    /// The first error of the recording.
    pub fn abandon(mut self) -> Result<W, RecordError> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.writer.abandon(),
        }
    }

    #[inline]
    fn write(&mut self, write: impl FnOnce(&mut Self) -> Result<(), RecordError>) {
        if self.error.is_none()
            && let Err(error) = write(self)
        {
            self.error = Some(error);
        }
    }

    #[cold]
    fn checkpoint(&mut self, kernel: &ProtocolMachineKernel) {
        let (checkpoint, cost) = self.checks.take(kernel);
        self.asked = None;
        self.write(|r| r.writer.put(|out| checkpoint.encode(out)));
        // A step takes some tens of nanoseconds and hashing a byte of state about one, so digests
        // take a few hundredths of the run's time. At a rest the interval is shorter, because
        // waiting for the outcomes takes longer than a digest.
        self.due = checkpoint.step + self.interval.max(2 * cost);
        self.due_at_rest = checkpoint.step + REST_STEPS.max(cost / 2);
    }
}

impl<W: Store> Sink for Recorder<W> {
    #[inline]
    fn interest(&self) -> Interest {
        Interest {
            events: !self.checks.is_off(),
            ..Interest::ALL
        }
    }

    #[inline]
    fn observe(&mut self, observation: Observation<'_>) {
        match observation {
            Observation::Event { stamp, event } => self.checks.event(stamp, event),
            Observation::Loaded(image) => self.loaded(image),
            Observation::Wave { step, picks } => self.wave(step, picks),
            Observation::Request { step, request } => self.request(step, request),
            Observation::Input { step, input } => self.input(step, input),
            Observation::Refused { refusal, .. } => self.refused(refusal),
            Observation::Stepped(kernel) => self.stepped(kernel),
            Observation::Rested(kernel, _) => self.rested(kernel),
        }
    }
}

impl<W: Store> Recorder<W> {
    fn loaded(&mut self, image: &VerifiedImage) {
        if self.images.contains(image.digest()) {
            return;
        }
        self.images.push(*image.digest());
        self.asked = None;
        let bytes = image.image().to_bytes();
        let (len, max) = (bytes.len(), IMAGE_LEN_MAX);
        self.write(|r| {
            if len > max {
                return Err(RecordError::EntryTooLong { len, max });
            }
            r.writer.put(|out| encode_image(&bytes, out))
        });
    }

    fn wave(&mut self, step: u64, picks: &[WavePick]) {
        self.asked = None;
        let picks = picks.iter().map(|p| (p.pick, p.quantum));
        self.write(|r| r.writer.put(|out| encode_wave(step, picks, out)));
    }

    #[inline]
    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        self.asked = Some((step, request.effect()));
        self.write(|r| r.writer.put(|out| encode_request(step, request, out)));
    }

    #[inline]
    fn input(&mut self, step: u64, input: &Ingress) {
        let asked = self.asked.take();
        if let Ingress::Outcome { effect, outcome } = input {
            let shallow = shallow(outcome);
            let outcome = shallow.as_ref().unwrap_or(outcome);
            if asked == Some((step, *effect)) {
                self.write(|r| r.writer.put(|out| encode_answer(outcome, out)));
                return;
            }
            if let Some(outcome) = shallow {
                let effect = *effect;
                let input = Ingress::Outcome { effect, outcome };
                self.write(|r| r.writer.put(|out| encode_input(step, &input, out)));
                return;
            }
        }
        if let Ingress::Open { image, .. } = input
            && !self.images.contains(image)
        {
            let digest = *image;
            self.write(|_| Err(RecordError::ImageMissing { digest }));
        }
        self.write(|r| r.writer.put(|out| encode_input(step, input, out)));
    }

    fn refused(&mut self, refusal: &Refusal) {
        self.write(|r| r.writer.put(|out| encode_refused(refusal, out)));
    }

    #[inline]
    fn stepped(&mut self, kernel: &ProtocolMachineKernel) {
        if kernel.step_index() >= self.due && self.checks.while_running() {
            self.checkpoint(kernel);
        }
    }

    fn rested(&mut self, kernel: &ProtocolMachineKernel) {
        if kernel.step_index() >= self.due_at_rest && !self.checks.is_off() {
            self.checkpoint(kernel);
        }
        if self.flush.at_rest {
            self.flush();
        }
    }
}

/// The deepest nesting of a recorded value. It is deeper than any sort, so a value that is cut here
/// has no sort, neither before nor after the cut. It is less than a reader's limit.
const VALUE_DEPTH_MAX: u32 = SORT_DEPTH_MAX + 4;

/// The outcome to record in place of one that nests deeper than a reader's limit; `None` for any
/// other outcome.
///
/// Such a value has no sort, so the machine turns it into a failure that names only the value's
/// outermost form. The value that is cut at the limit still has no sort, and has the same outermost
/// form. The replayed machine therefore turns it into the same failure.
#[inline]
fn shallow(outcome: &Outcome) -> Option<Outcome> {
    match outcome {
        Outcome::Success(value @ (Value::List(_) | Value::Record(_)))
            if is_deeper(value, VALUE_DEPTH_MAX) =>
        {
            Some(Outcome::Success(cut(value, VALUE_DEPTH_MAX)))
        }
        Outcome::Success(_) | Outcome::Failure(_) => None,
    }
}

fn is_deeper(value: &Value, depth: u32) -> bool {
    match value {
        Value::List(items) | Value::Record(items) => {
            depth == 0 || items.iter().any(|item| is_deeper(item, depth - 1))
        }
        Value::Unit
        | Value::Bool(_)
        | Value::Nat(_)
        | Value::Int(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Endpoint(_)
        | Value::Evidence(_) => false,
    }
}

fn cut(value: &Value, depth: u32) -> Value {
    let items = |items: &[Value]| items.iter().map(|item| cut(item, depth - 1)).collect();
    match value {
        Value::List(_) | Value::Record(_) if depth == 0 => Value::Unit,
        Value::List(inner) => Value::list(items(inner)),
        Value::Record(inner) => Value::record(items(inner)),
        Value::Unit
        | Value::Bool(_)
        | Value::Nat(_)
        | Value::Int(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Endpoint(_)
        | Value::Evidence(_) => value.clone(),
    }
}
