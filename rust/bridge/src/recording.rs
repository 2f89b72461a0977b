//! Recordings as cases: what a real machine was told, done again by both sides.

use std::io::{self, Read};
use std::sync::Arc;

use antiphon_machine::{Canonical, CodeImage, EffectId, Ingress, Pick, ReadError, VerifiedImage};
use antiphon_record::{Entry, OpenError, Reader, Tail};

use crate::case::{Action, Case};
use crate::run::Runner;

/// Why a recording does not become a case.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading failed.
    #[error("reading the recording failed: {0}")]
    Io(#[from] io::Error),
    /// An image in it cannot be read.
    #[error("entry {entry}: the image cannot be read: {error}")]
    Image {
        /// Which entry.
        entry: u64,
        /// Why.
        error: ReadError,
    },
    /// An entry is about a step that is past.
    #[error("entry {entry} is of step {step}, and step {now} was taken before it")]
    Backwards {
        /// Which entry.
        entry: u64,
        /// The step it is of.
        step: u64,
        /// How many steps were taken.
        now: u64,
    },
    /// An answer that no request stands before.
    #[error("entry {entry} answers a request that is not there")]
    NoRequest {
        /// Which entry.
        entry: u64,
    },
    /// It has more steps than anybody wants to compare one by one.
    #[error("the recording has more than {max} steps")]
    TooLong {
        /// How many it may have.
        max: u64,
    },
    /// It does not end as a whole one does.
    #[error("the recording is not whole: {tail:?}")]
    NotWhole {
        /// How it ends.
        tail: Option<Tail>,
    },
}

/// Steps of a recording that becomes a case: each is a whole state to write and to compare.
pub const STEPS_MAX: u64 = 1 << 20;

/// The run that a recording is of, as a case: its steps, and its inputs where they came in.
///
/// Nothing of what the recording says came out of the run is in the case; whoever runs it finds that anew.
///
/// # Errors
/// When the recording cannot be read, is damaged or cut off, or is too long.
pub fn case_of_recording(name: &str, recording: &[u8]) -> Result<Case, RecordingError> {
    read(name, recording)
}

fn read(name: &str, recording: impl Read) -> Result<Case, RecordingError> {
    let mut reader = Reader::open(recording)?;
    let case = Case::new(name, [], reader.header().config.clone());
    let mut told = Told {
        case,
        steps: 0,
        asked: None,
        entry: 0,
        runner: None,
    };
    while let Some(entry) = reader.entry()? {
        told.entry = reader.entries() - 1;
        told.take(entry)?;
    }
    match reader.tail() {
        Some(Tail::Sealed) => Ok(told.case),
        tail => Err(RecordingError::NotWhole {
            tail: tail.cloned(),
        }),
    }
}

struct Told {
    case: Case,
    /// Steps of the case.
    steps: u64,
    /// The request that was made last.
    asked: Option<EffectId>,
    entry: u64,
    /// The run so far, from the first wave on: what a wave's certificate claims is to be seen in the machine.
    runner: Option<Runner>,
}

impl Told {
    fn take(&mut self, entry: Entry) -> Result<(), RecordingError> {
        match entry {
            // The reader gives a header once, before everything.
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
                self.walk(request.step)?;
                self.asked = Some(request.effect);
                Ok(())
            }
            Entry::Answer(outcome) => {
                let entry = self.entry;
                let effect = self.asked.ok_or(RecordingError::NoRequest { entry })?;
                self.input(Ingress::Outcome { effect, outcome });
                Ok(())
            }
            Entry::Input { step, input } => {
                self.walk(step)?;
                self.input(input);
                Ok(())
            }
            Entry::Wave { step, picks } => {
                self.walk(step)?;
                self.wave(picks);
                Ok(())
            }
            Entry::Checkpoint(checkpoint) => self.walk(checkpoint.step),
            Entry::End(end) => self.walk(end.last.step),
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
        let so_far = || {
            let mut runner = Runner::new(&self.case);
            for action in &self.case.actions {
                runner.act(action);
            }
            runner
        };
        let runner = self.runner.take().unwrap_or_else(so_far);
        let certificate = runner.kernel().claim(picks);
        self.runner = Some(runner);
        self.act(Action::Wave(certificate));
        let now = self.runner.as_ref().map(|r| r.kernel().step_index());
        self.steps = now.unwrap_or(self.steps);
    }

    fn walk(&mut self, step: u64) -> Result<(), RecordingError> {
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

    /// A recorded session, some answers given at once and some later, and the digest it ended with.
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
            .expect("there is room");
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
                .expect("it is owed");
            machine
                .ingress(Ingress::AdvanceClock { ticks: 5 })
                .expect("time passes");
        }
        let digest = machine.kernel().state_digest();
        let (kernel, _, recorder) = machine.into_parts();
        (recorder.finish(&kernel).expect("memory"), digest)
    }

    #[test]
    fn a_recording_is_run_again() {
        let (bytes, digest) = recorded();
        let case = case_of_recording("recorded", &bytes).expect("it is whole");
        let mut runner = Runner::new(&case);
        for action in &case.actions {
            runner.act(action);
        }
        assert_eq!(runner.kernel().state_digest(), digest);
        let again = Case::from_bytes(&case.to_bytes()).expect("it is a case");
        assert_eq!(again.to_bytes(), case.to_bytes());
    }

    #[test]
    fn a_recording_that_is_not_whole_is_no_case() {
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
