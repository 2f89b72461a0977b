//! Recordings as cases: both sides repeat the steps and inputs of a recorded machine.

use std::io::{self, Read};
use std::sync::Arc;

use antiphon_machine::{Canonical, CodeImage, EffectId, Ingress, Pick, ReadError, VerifiedImage};
use antiphon_record::{Entry, OpenError, Reader, Tail};

use crate::case::{Action, Case};
use crate::run::Runner;

/// Why a recording cannot become a case.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The recording cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading failed.
    #[error("reading the recording failed: {0}")]
    Io(#[from] io::Error),
    /// An image of the recording cannot be read.
    #[error("entry {entry}: the image cannot be read: {error}")]
    Image {
        /// The entry's number, from 0.
        entry: u64,
        /// The cause.
        error: ReadError,
    },
    /// An entry belongs to an earlier step than the entries before it.
    #[error("entry {entry} is of step {step}, but an earlier entry is of step {now}")]
    Backwards {
        /// The entry's number, from 0.
        entry: u64,
        /// The entry's step.
        step: u64,
        /// The step of the entries before it.
        now: u64,
    },
    /// An answer has no request before it.
    #[error("entry {entry} is an answer without a request before it")]
    NoRequest {
        /// The entry's number, from 0.
        entry: u64,
    },
    /// The recording has too many steps to compare them one by one.
    #[error("the recording has more than {max} steps")]
    TooLong {
        /// The most steps.
        max: u64,
    },
    /// The recording is cut off or damaged.
    #[error("the recording is not whole: {tail:?}")]
    NotWhole {
        /// How the recording ends.
        tail: Option<Tail>,
    },
}

/// The most steps of a recording that becomes a case. For each step a whole state is written and
/// compared.
pub const STEPS_MAX: u64 = 1 << 20;

/// The recorded run as a case: its steps, with each input at the step at which it arrived.
///
/// The case has no results of the recorded run; running the case computes them again.
///
/// # Errors
/// When the recording cannot be read, is damaged or cut off, or is too long.
pub fn case_of_recording(name: &str, recording: &[u8]) -> Result<Case, RecordingError> {
    read(name, recording)
}

fn read(name: &str, recording: impl Read) -> Result<Case, RecordingError> {
    let mut reader = Reader::open(recording)?;
    let case = Case::new(name, [], reader.header().config.clone());
    let mut conversion = Conversion {
        case,
        steps: 0,
        requested: None,
        entry: 0,
        runner: None,
    };
    while let Some(entry) = reader.entry()? {
        conversion.entry = reader.entries() - 1;
        conversion.add(entry)?;
    }
    match reader.tail() {
        Some(Tail::Sealed) => Ok(conversion.case),
        tail => Err(RecordingError::NotWhole {
            tail: tail.cloned(),
        }),
    }
}

/// The conversion of a recording to a case.
struct Conversion {
    case: Case,
    /// Steps of the case so far.
    steps: u64,
    /// The effect of the last request.
    requested: Option<EffectId>,
    /// The number of the current entry.
    entry: u64,
    /// The machine after the actions so far. It exists from the first wave on, because a wave's
    /// certificate depends on the machine's state.
    runner: Option<Runner>,
}

impl Conversion {
    fn add(&mut self, entry: Entry) -> Result<(), RecordingError> {
        match entry {
            // The reader returned the header when it was opened. Refusals follow from the inputs.
            Entry::Header(_) | Entry::Refused(_) => Ok(()),
            Entry::Image(bytes) => {
                let image = CodeImage::from_bytes(&bytes, CodeImage::LIMITS);
                let entry = self.entry;
                let image = image.map_err(|error| RecordingError::Image { entry, error })?;
                self.case
                    .images
                    .push(Arc::new(VerifiedImage::unchecked(image)));
                Ok(())
            }
            Entry::Request(request) => {
                self.turn_until(request.step)?;
                self.requested = Some(request.effect);
                Ok(())
            }
            Entry::Answer(outcome) => {
                let entry = self.entry;
                let effect = self.requested.ok_or(RecordingError::NoRequest { entry })?;
                self.input(Ingress::Outcome { effect, outcome });
                Ok(())
            }
            Entry::Input { step, input } => {
                self.turn_until(step)?;
                self.input(input);
                Ok(())
            }
            Entry::Wave { step, picks } => {
                self.turn_until(step)?;
                self.wave(picks);
                Ok(())
            }
            Entry::Checkpoint(checkpoint) => self.turn_until(checkpoint.step),
            Entry::End(end) => self.turn_until(end.last.step),
        }
    }

    fn input(&mut self, input: Ingress) {
        self.act(Action::Input(input));
    }

    fn act(&mut self, action: Action) {
        if let Some(runner) = &mut self.runner {
            runner.act(&action);
        }
        self.case.actions.push(action);
    }

    fn wave(&mut self, picks: Vec<(Pick, u32)>) {
        let run_so_far = || {
            let mut runner = Runner::new(&self.case);
            for action in &self.case.actions {
                runner.act(action);
            }
            runner
        };
        let runner = self.runner.take().unwrap_or_else(run_so_far);
        let certificate = runner.kernel().claim(picks);
        self.runner = Some(runner);
        self.act(Action::Wave(certificate));
        let now = self.runner.as_ref().map(|r| r.kernel().step_index());
        self.steps = now.unwrap_or(self.steps);
    }

    /// Adds turns up to this step.
    fn turn_until(&mut self, step: u64) -> Result<(), RecordingError> {
        let (entry, now) = (self.entry, self.steps);
        if step < now {
            return Err(RecordingError::Backwards { entry, step, now });
        }
        if step > STEPS_MAX {
            return Err(RecordingError::TooLong { max: STEPS_MAX });
        }
        for _ in now..step {
            self.act(Action::Turn);
        }
        self.steps = step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_machine::{
        Class, EffectRequest, FromFn, Outcome, ProtocolMachine, Reply, Rest, sample,
    };
    use antiphon_record::{Flush, Header, Recorder};

    /// A recorded session with answers in place and later answers, and the digest of its final
    /// state.
    fn recorded() -> (Vec<u8>, [u8; 32]) {
        let image = sample::ping_pong(1);
        let mut pings = 0;
        let host = FromFn(|request: &EffectRequest<'_>| {
            Reply::Now(match request.class() {
                Class::Decide { .. } if pings == 3 => request.choose("stop").expect("an arm"),
                Class::Decide { .. } => {
                    pings += 1;
                    return Reply::Later;
                }
                Class::Produce { .. } => Outcome::success(7u64),
                _ => Outcome::done(),
            })
        });
        let header = Header::default();
        let recorder = Recorder::create(Vec::new(), &header, Flush::default()).expect("memory");
        let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
        machine
            .load_choreography(&image, "me")
            .expect("a session can be opened");
        while machine.run(1_000) == Some(Rest::Idle) {
            let kernel = machine.kernel();
            let session = &kernel.sessions()[0];
            let effect = EffectId {
                session: session.id(),
                number: session.effects()[0].number,
            };
            let outcome = Outcome::success(0u64);
            machine
                .ingress(Ingress::Outcome { effect, outcome })
                .expect("the effect is outstanding");
            machine
                .ingress(Ingress::AdvanceClock { ticks: 5 })
                .expect("the clock does not overflow");
        }
        let digest = machine.kernel().state_digest();
        let (kernel, _, recorder) = machine.into_parts();
        (recorder.finish(&kernel).expect("memory"), digest)
    }

    #[test]
    fn the_case_of_a_recording_ends_in_the_same_state() {
        let (bytes, digest) = recorded();
        let case = case_of_recording("recorded", &bytes).expect("the recording is complete");
        let mut runner = Runner::new(&case);
        for action in &case.actions {
            runner.act(action);
        }
        assert_eq!(runner.kernel().state_digest(), digest);
        let again = Case::from_bytes(&case.to_bytes()).expect("the case is canonical");
        assert_eq!(again.to_bytes(), case.to_bytes());
    }

    #[test]
    fn a_damaged_recording_is_refused() {
        let (bytes, _) = recorded();
        let cut = case_of_recording("cut", &bytes[..bytes.len() - 3]);
        assert!(
            matches!(cut, Err(RecordingError::NotWhole { .. })),
            "{cut:?}"
        );
        let mut changed = bytes.clone();
        let at = changed.len() / 2;
        changed[at] ^= 1;
        assert!(case_of_recording("changed", &changed).is_err());
        assert!(case_of_recording("none", b"none").is_err());
    }
}
