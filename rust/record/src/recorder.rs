//! Recording: a sink that writes what it sees.

use antiphon_machine::bounds::{IMAGE_LEN_MAX, SORT_DEPTH_MAX};
use antiphon_machine::{
    Canonical, DeterminismMode, EffectId, EffectRequest, Event, Ingress, Outcome,
    ProtocolMachineKernel, Refusal, Rest, Sink, Stamp, Value, VerifiedImage, WavePick,
};

use crate::checks::{Checks, stop_of};
use crate::entry::{
    End, Header, encode_answer, encode_image, encode_input, encode_refused, encode_request,
    encode_wave,
};
use crate::writer::{RecordError, Store, Writer};

/// When a recording reaches its medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// Close and write the record whenever the machine comes to rest, and not only when it is full.
    /// A kill then loses nothing of what led to the last rest.
    pub at_rest: bool,
    /// Sync every record. A loss of power then loses no more than a kill does. Without, only the
    /// end is synced.
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

/// Steps between checkpoints, where the state is small.
pub const CHECKPOINT_STEPS: u64 = 1 << 16;

/// Steps before a rest is worth a checkpoint.
const REST_STEPS: u64 = 64;

/// A sink that writes a recording of the run it observes.
///
/// Give it to a machine, let the machine run, take it back with `into_parts` and
/// [`finish`](Self::finish) it. It sees every input before it is taken, every request before it is
/// put to the handler, and writes them in full; at intervals that keep the cost below a few
/// hundredths of the run's, however many sessions there are, it writes the digests of state and
/// trace.
///
/// A sink cannot fail, so an error stops the recording and not the run: [`error`](Self::error)
/// tells, and so does
/// `finish`.
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
    /// The request that was written last, and at which step, if nothing was written after it.
    asked: Option<(u64, EffectId)>,
    images: Vec<[u8; 32]>,
    error: Option<RecordError>,
    /// Steps after which a checkpoint is due, running or resting.
    due: u64,
    due_at_rest: u64,
    interval: u64,
}

impl<W: Store> Recorder<W> {
    /// Begins a recording. The machine it is given to must have the header's configuration.
    ///
    /// # Errors
    /// When the medium fails, the header is too long, or the configuration is that of a replay.
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

    /// Changes the steps between checkpoints. They stay further apart where the state is large.
    #[must_use]
    pub fn checkpoint_every(mut self, steps: u64) -> Recorder<W> {
        self.interval = steps.max(1);
        self.due = self.interval;
        self
    }

    /// Why the recording stopped, if it did.
    pub fn error(&self) -> Option<&RecordError> {
        self.error.as_ref()
    }

    /// Writes what has been seen, now.
    pub fn flush(&mut self) {
        self.keep(|r| r.writer.flush());
    }

    /// Ends the recording: the last digests and how the machine stands, synced. Gives the medium
    /// back.
    ///
    /// # Errors
    /// The first error of the whole recording, or of its end.
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

    /// Gives the medium back as it would be if the process were stopped here.
    ///
    /// # Errors
    /// The first error of the whole recording.
    pub fn abandon(mut self) -> Result<W, RecordError> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.writer.abandon(),
        }
    }

    #[inline]
    fn keep(&mut self, write: impl FnOnce(&mut Self) -> Result<(), RecordError>) {
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
        self.keep(|r| r.writer.put(|out| checkpoint.encode(out)));
        // A step costs some tens of nanoseconds and a byte of state about one, so this keeps
        // digests at a few hundredths of the run. A rest is a good place to look, and the world
        // that it waits for costs more.
        self.due = checkpoint.step + self.interval.max(2 * cost);
        self.due_at_rest = checkpoint.step + REST_STEPS.max(cost / 2);
    }
}

impl<W: Store> Sink for Recorder<W> {
    #[inline]
    fn wants_events(&self) -> bool {
        !self.checks.is_off()
    }

    #[inline]
    fn event(&mut self, stamp: &Stamp, event: Event) {
        self.checks.event(stamp, &event);
    }

    fn loaded(&mut self, image: &VerifiedImage) {
        if self.images.contains(image.digest()) {
            return;
        }
        self.images.push(*image.digest());
        self.asked = None;
        let bytes = image.image().to_bytes();
        let (len, max) = (bytes.len(), IMAGE_LEN_MAX);
        self.keep(|r| {
            if len > max {
                return Err(RecordError::EntryTooLong { len, max });
            }
            r.writer.put(|out| encode_image(&bytes, out))
        });
    }

    fn wave(&mut self, step: u64, picks: &[WavePick]) {
        self.asked = None;
        let picks = picks.iter().map(|p| (p.pick, p.quantum));
        self.keep(|r| r.writer.put(|out| encode_wave(step, picks, out)));
    }

    #[inline]
    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        self.asked = Some((step, request.effect()));
        self.keep(|r| r.writer.put(|out| encode_request(step, request, out)));
    }

    #[inline]
    fn ingress(&mut self, step: u64, input: &Ingress) {
        let asked = self.asked.take();
        if let Ingress::Outcome { effect, outcome } = input {
            let shallow = shallow(outcome);
            let outcome = shallow.as_ref().unwrap_or(outcome);
            if asked == Some((step, *effect)) {
                self.keep(|r| r.writer.put(|out| encode_answer(outcome, out)));
                return;
            }
            if let Some(outcome) = shallow {
                let effect = *effect;
                let input = Ingress::Outcome { effect, outcome };
                self.keep(|r| r.writer.put(|out| encode_input(step, &input, out)));
                return;
            }
        }
        if let Ingress::Open { image, .. } = input
            && !self.images.contains(image)
        {
            let digest = *image;
            self.keep(|_| Err(RecordError::ImageMissing { digest }));
        }
        self.keep(|r| r.writer.put(|out| encode_input(step, input, out)));
    }

    fn refused(&mut self, _: u64, refusal: &Refusal) {
        self.keep(|r| r.writer.put(|out| encode_refused(refusal, out)));
    }

    #[inline]
    fn stepped(&mut self, kernel: &ProtocolMachineKernel) {
        if kernel.step_index() >= self.due && self.checks.while_running() {
            self.checkpoint(kernel);
        }
    }

    fn rested(&mut self, kernel: &ProtocolMachineKernel, _: &Rest) {
        if kernel.step_index() >= self.due_at_rest && !self.checks.is_off() {
            self.checkpoint(kernel);
        }
        if self.flush.at_rest {
            self.flush();
        }
    }
}

/// How deep a recorded value nests: more than any sort does, so that what is deeper is of no sort
/// before it is cut and of no sort after; and less than what a reader takes.
const VALUE_DEPTH_MAX: u32 = SORT_DEPTH_MAX + 4;

/// What stands in the recording for an outcome that nests deeper than a reader takes.
///
/// Such a value is of no sort, so the machine makes a failure of it that tells the outermost form
/// and nothing else. Cut off below the bound, the value is still of no sort and of the same form,
/// and the machine makes the same failure of it.
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
