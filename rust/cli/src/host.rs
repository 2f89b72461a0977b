//! The host's side of an `exec`: what this program answers for the roles that are not the guest's.
//!
//! It goes by the names of labels, as the link does, so that a protocol of the user's own needs no code: `exec_request`
//! is the command line's, `stdin_data` and `stdin_eof` are standard input, `exec_output` goes to the standard streams,
//! `exec_response` and `error` say how it ended.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use antiphon_machine::{
    Class, EffectHandler, EffectId, EffectRequest, FailureKind, Ingress, LabelId, Outcome, Reply,
    SessionId, Sort, Value,
};
use crossbeam_channel::Sender;

use crate::fields::{Fields, record};
use crate::literal::Literal;
use crate::streams::{Heard, Input, Manner, Output, Piece, Stream};

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) cwd: Option<String>,
    pub(crate) deadline_ms: Option<u64>,
}

/// How the guest says the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It ran.
    Exit {
        code: i64,
        signal: Option<u64>,
        timed_out: bool,
    },
    /// It was not run, or not to its end.
    Refused { code: String, message: String },
}

/// Answers for the roles of the host. Clones are the same host: the threads of the streams have one each.
#[derive(Clone, Debug)]
pub(crate) struct Host(Arc<Mutex<State>>);

/// What the host knows.
#[derive(Debug)]
struct State {
    job: Job,
    /// Where answers that were put off are brought.
    remote: Option<Sender<Ingress>>,
    session: Option<SessionId>,
    input: Option<Input>,
    outputs: [Option<Output>; 2],
    /// A choice that waits for something to say, with the labels it may be answered with.
    choosing: Option<(EffectId, Choices)>,
    /// Input that was read and not sent yet.
    piece: Option<Vec<u8>>,
    /// Whether a piece has been asked of standard input and has not come.
    reading: bool,
    /// Whether standard input has ended.
    ended: bool,
    /// A piece that a stream had no room for, and who waits for it.
    held: Option<(EffectId, Stream, Piece)>,
    interrupted: Option<i32>,
    /// Whether the command was ended because its recording failed.
    unrecorded: bool,
    /// Whether the guest was told to end the command.
    cancelled: bool,
    ending: Option<Ending>,
    /// The first stream that could not be written.
    broken: Option<(Stream, io::ErrorKind)>,
}

/// Which of the labels of a choice are there.
#[derive(Clone, Copy, Debug, Default)]
struct Choices {
    data: Option<LabelId>,
    eof: Option<LabelId>,
    cancel: Option<LabelId>,
    detach: Option<LabelId>,
}

/// Who opens the session, and may call it off.
pub(crate) const OWNER: &str = "antiphon exec";

/// How long output that nobody takes is waited for once the session was called off.
const GIVE_UP: Duration = Duration::from_millis(500);

/// How long it is waited for otherwise.
const FOR_EVER: Duration = Duration::from_secs(u64::MAX / 4);

impl Host {
    pub(crate) fn new(job: Job) -> Host {
        Host(Arc::new(Mutex::new(State {
            job,
            remote: None,
            session: None,
            input: None,
            outputs: [None, None],
            choosing: None,
            piece: None,
            reading: false,
            ended: false,
            held: None,
            interrupted: None,
            unrecorded: false,
            cancelled: false,
            ending: None,
            broken: None,
        })))
    }

    /// Says where answers that were put off are to be brought.
    pub(crate) fn reach(&self, remote: Sender<Ingress>) {
        self.state().remote = Some(remote);
    }

    /// Takes the standard streams.
    pub(crate) fn connect(&self, manners: [Manner; 2]) -> io::Result<()> {
        let hear = || {
            let host = self.clone();
            move |heard| host.state().hear(heard)
        };
        let input = Input::start(hear())?;
        let stdout = Output::start(Stream::Stdout, manners[0], hear())?;
        let stderr = Output::start(Stream::Stderr, manners[1], hear())?;
        let mut state = self.state();
        state.input = Some(input);
        state.outputs = [Some(stdout), Some(stderr)];
        Ok(())
    }

    /// Says which session the command runs in.
    pub(crate) fn opened(&self, session: SessionId) {
        let mut state = self.state();
        state.session = Some(session);
        if state.unrecorded {
            state.call_off();
        }
    }

    /// Ends the command because of a signal; `false` when there is no session yet that could be ended.
    pub(crate) fn interrupt(&self, signal: i32) -> bool {
        let mut state = self.state();
        state.interrupted.get_or_insert(signal);
        state.call_off()
    }

    /// Ends the command because its recording failed.
    pub(crate) fn end_unrecorded(&self) {
        let mut state = self.state();
        state.unrecorded = true;
        state.call_off();
    }

    /// The signal that the command was ended because of.
    pub(crate) fn interrupted(&self) -> Option<i32> {
        self.state().interrupted
    }

    /// How the command ended, if the guest has said so.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.state().ending.clone()
    }

    /// The first stream that could not be written.
    pub(crate) fn broken(&self) -> Option<(Stream, io::ErrorKind)> {
        self.state().broken
    }

    /// Waits until all output is written.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        let patience = if state.interrupted.is_some() {
            GIVE_UP
        } else {
            FOR_EVER
        };
        let outputs = std::mem::take(&mut state.outputs);
        let mut held = state.held.take();
        // The threads may want the state while they write what is left.
        drop(state);
        for (output, stream) in outputs.into_iter().zip([Stream::Stdout, Stream::Stderr]) {
            let last = held
                .take_if(|(_, of, _)| *of == stream)
                .map(|(_, _, piece)| piece);
            if let Some(output) = output {
                output.finish(last, patience);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked has left nothing half done that matters to the others.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes what a thread has to say, and answers what waited for it.
    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Input(piece) => {
                self.reading = false;
                self.ended |= piece.is_empty();
                if !piece.is_empty() {
                    self.piece = Some(piece);
                }
            }
            Heard::Room => {}
            Heard::Broken(stream, kind) => {
                if self.broken.is_none() {
                    self.broken = Some((stream, kind));
                    self.call_off();
                }
            }
        }
        self.answer();
    }

    /// Ends the command: by the protocol's own word where it has one here, else by calling the session off.
    fn call_off(&mut self) -> bool {
        let Some(session) = self.session else {
            return false;
        };
        if self
            .choosing
            .is_some_and(|(_, choices)| choices.cancel.is_some())
        {
            self.answer();
        } else if !self.cancelled {
            self.bring(Ingress::Cancel {
                session,
                owner: OWNER.into(),
            });
        }
        true
    }

    /// Gives the answers that were put off and can be given now.
    fn answer(&mut self) {
        if let Some((effect, stream, piece)) = self.held.take() {
            match self.put(stream, piece) {
                Ok(()) => self.outcome(effect, Outcome::done()),
                Err(piece) => self.held = Some((effect, stream, piece)),
            }
        }
        if let Some((effect, choices)) = self.choosing {
            match self.choose(choices) {
                Some(label) => {
                    self.choosing = None;
                    self.outcome(effect, Outcome::chosen(label));
                }
                None => self.want_input(choices),
            }
        }
    }

    fn outcome(&self, effect: EffectId, outcome: Outcome) {
        self.bring(Ingress::Outcome { effect, outcome });
    }

    fn bring(&self, input: Ingress) {
        if let Some(remote) = &self.remote {
            // A machine that has ended does not need it any more.
            let _ = remote.send(input);
        }
    }

    fn put(&self, stream: Stream, piece: Piece) -> Result<(), Piece> {
        match &self.outputs[stream as usize] {
            Some(output) => output.put(piece),
            None => Ok(()),
        }
    }

    /// What to say next, if there is something to say.
    fn choose(&mut self, choices: Choices) -> Option<LabelId> {
        let over = self.ending.is_some();
        let called_off = self.interrupted.is_some() || self.broken.is_some() || self.unrecorded;
        match choices {
            Choices {
                cancel: Some(label),
                ..
            } if called_off && !over => {
                let first = !self.cancelled;
                self.cancelled = true;
                first.then_some(label)
            }
            Choices {
                detach: Some(label),
                ..
            } if over => Some(label),
            Choices {
                eof: Some(label), ..
            } if over => Some(label),
            Choices {
                data: Some(label), ..
            } if self.piece.is_some() => Some(label),
            Choices {
                eof: Some(label), ..
            } if self.ended => Some(label),
            // All is said; only the end of the command is waited for.
            Choices { .. } => None,
        }
    }

    fn want_input(&mut self, choices: Choices) {
        let wanted = choices.data.is_some() && !self.reading && !self.ended;
        if let (true, None, Some(input)) = (wanted, &self.piece, &self.input) {
            self.reading = true;
            input.want();
        }
    }

    fn decide(&mut self, labels: &[LabelId], request: &EffectRequest<'_>) -> Reply {
        let named = |wanted: &str| {
            let mut labels = labels.iter();
            labels
                .find(|label| request.image().label_name(**label) == wanted)
                .copied()
        };
        let choices = Choices {
            data: named("stdin_data"),
            eof: named("stdin_eof"),
            cancel: named("cancel"),
            detach: named("detach"),
        };
        let Choices {
            data,
            eof,
            cancel,
            detach,
        } = choices;
        if data.or(eof).or(cancel).or(detach).is_none() {
            return unanswerable(request);
        }
        if let Some(label) = self.choose(choices) {
            return Reply::Now(Outcome::chosen(label));
        }
        self.choosing = Some((request.effect(), choices));
        self.want_input(choices);
        Reply::Later
    }

    fn produce(&mut self, label: &str, request: &EffectRequest<'_>) -> Reply {
        let value = match label {
            "exec_request" => self.spec(request),
            "stdin_data" => bytes_as(&self.piece.take().unwrap_or_default(), request),
            _ => return unanswerable(request),
        };
        match value {
            Ok(value) => Reply::Now(Outcome::Success(value)),
            Err(why) => {
                let detail = format!("the payload of `{label}` cannot be made: {why}");
                Reply::Now(Outcome::failure(FailureKind::InvalidInput, &detail))
            }
        }
    }

    /// The command line as the record that the protocol has for it; fields that it does not have are left out.
    fn spec(&self, request: &EffectRequest<'_>) -> Result<Value, String> {
        let texts = |texts: &[String]| {
            Literal::List(
                texts
                    .iter()
                    .map(|text| Literal::Text(text.clone()))
                    .collect(),
            )
        };
        let Job {
            command,
            env,
            cwd,
            deadline_ms,
        } = &self.job;
        let mut all = vec![
            (
                "cmd",
                Literal::Text(command.first().cloned().unwrap_or_default()),
            ),
            ("argv", texts(command)),
            ("env", texts(env)),
            ("stdin", Literal::Word("true".to_owned())),
        ];
        if let Some(cwd) = cwd {
            all.push(("cwd", Literal::Text(cwd.clone())));
        }
        if let Some(ms) = deadline_ms {
            all.push(("deadline_ms", Literal::Number(i128::from(*ms))));
        }
        for stream in ["stdout_window", "stderr_window"] {
            all.push((stream, Literal::Number(i128::from(WINDOW))));
        }
        record(request, all)
    }

    fn deliver(&mut self, label: &str, request: &EffectRequest<'_>) -> Reply {
        let done = Reply::Now(Outcome::done());
        let Some(fields) = Fields::of(request) else {
            return done;
        };
        match label {
            "exec_output" => return self.output(&fields, request.effect()),
            "exec_response" => {
                self.ending = Some(Ending::Exit {
                    code: fields.number("exit_code").unwrap_or(0),
                    signal: fields.number("signal").and_then(|n| u64::try_from(n).ok()),
                    timed_out: fields.truth("timed_out"),
                });
            }
            "error" => {
                self.ending = Some(Ending::Refused {
                    code: fields.text("code"),
                    message: fields.text("message"),
                });
            }
            _ => {}
        }
        // The end of the command is what the other stream may have waited for.
        self.answer();
        done
    }

    fn output(&mut self, fields: &Fields<'_>, effect: EffectId) -> Reply {
        let stream = if fields.text("stream") == "stderr" {
            Stream::Stderr
        } else {
            Stream::Stdout
        };
        match self.put(stream, fields.bytes("data")) {
            Ok(()) => Reply::Now(Outcome::done()),
            Err(piece) => {
                self.held = Some((effect, stream, piece));
                Reply::Later
            }
        }
    }
}

/// Credit of each output stream: enough for a pipe between two processes to stay busy.
const WINDOW: u32 = 1 << 20;

impl EffectHandler for Host {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        let mut state = self.state();
        let name = |label: &LabelId| request.image().label_name(*label);
        match request.class() {
            Class::Decide { labels, .. } => state.decide(labels, request),
            Class::Produce { label, .. } => state.produce(name(label), request),
            Class::Deliver { label, .. } => state.deliver(name(label), request),
            Class::Command | Class::Observe | Class::Check => unanswerable(request),
        }
    }
}

fn unanswerable(request: &EffectRequest<'_>) -> Reply {
    let asked = crate::script::asked(request);
    let detail = format!("{asked}, and `exec` has no answer to that");
    Reply::Now(Outcome::failure(FailureKind::InvalidInput, &detail))
}

/// Bytes as the payload of a message: alone, or in the field `data` of a record.
fn bytes_as(bytes: &[u8], request: &EffectRequest<'_>) -> Result<Value, String> {
    match request.result() {
        Sort::Bytes | Sort::Foreign { .. } => Ok(Value::bytes(bytes)),
        _ => record(request, vec![("data", Literal::Bytes(bytes.to_vec()))]),
    }
}
