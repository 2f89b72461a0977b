//! The host's side of an `exec`: what this program answers for the roles that are not the guest's.
//!
//! It goes by the names of labels, as the link does, so that a protocol of the user's own needs no code: `exec_request`
//! is the command line's, `stdin_data` and `stdin_eof` are standard input, `signal` and `cancel` are signals to this
//! process, `exec_output` goes to the standard streams, `exec_response` and `error` report how the command ended.

mod stopping;
mod support;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use antiphon_guest::driver::Remote;
use antiphon_machine::{
    Class, EffectHandler, EffectId, EffectRequest, FailureKind, Ingress, LabelId, Outcome, Reply,
    SessionId, SortId, Value, VerifiedImage,
};

use crate::fields::{Fields, payload};
use crate::literal::Literal;
use crate::streams::{
    InputStream, OutputFormat, OutputStream, Piece, Progress, Stream, StreamEvent, has_input,
};

use stopping::Stopping;
pub(crate) use stopping::{FORWARDED, forwards};
pub(crate) use support::UnsupportedProtocol;

/// The labels that mean something to `exec`.
const EXEC: &str = "exec_request";
const DATA: &str = "stdin_data";
const EOF: &str = "stdin_eof";
const SIGNAL: &str = "signal";
const CANCEL: &str = "cancel";
const DETACH: &str = "detach";
const OUTPUT: &str = "exec_output";
const RESPONSE: &str = "exec_response";

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) cwd: Option<String>,
    pub(crate) deadline_ms: Option<u64>,
    /// Whether standard input is read.
    pub(crate) reads_input: bool,
    /// How long a command may take to end after a signal before it is cancelled.
    pub(crate) kill_after: Duration,
}

/// How much standard input a protocol can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputCapacity {
    None,
    /// A bounded number of pieces.
    Bounded,
    Unlimited,
}

/// How the guest says the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommandEnd {
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
    image: Arc<VerifiedImage>,
    /// Whether the request says that input follows, and how much may.
    input_capacity: InputCapacity,
    /// Where answers that were put off are brought.
    remote: Option<Remote>,
    session: Option<SessionId>,
    input: Option<InputStream>,
    outputs: [Option<OutputStream>; 2],
    /// Whether the command was asked for.
    requested: bool,
    /// The choices that wait for something to send, one of a role, with the labels they may be answered with.
    choosing: Vec<(EffectId, Choices)>,
    /// The payloads of `stdin_data` that wait for input, one of a role, with their sorts.
    filling: Vec<(EffectId, SortId)>,
    /// Input that was read and not sent yet.
    piece: Option<Vec<u8>>,
    /// Whether a piece has been asked of standard input and has not come.
    reading: bool,
    /// Whether standard input has ended.
    ended: bool,
    /// A piece that a stream had no room for, and the effect that waits for it.
    held: Option<(EffectId, Stream, Piece)>,
    /// How far the streams have come since the command was called off.
    progress: [Option<Progress>; 2],
    /// Signals that wait to be forwarded.
    signals: VecDeque<i32>,
    /// The signal that a choice was answered with and whose number is asked for next.
    signalled: Option<i32>,
    stopping: Stopping,
    command_end: Option<CommandEnd>,
    /// The first stream that could not be written.
    broken: Option<(Stream, io::ErrorKind)>,
    /// Why standard input could not be read.
    unreadable: Option<io::Error>,
}

/// Which of the labels of a choice are there.
#[derive(Clone, Copy, Debug, Default)]
struct Choices {
    exec: Option<LabelId>,
    data: Option<LabelId>,
    eof: Option<LabelId>,
    signal: Option<LabelId>,
    cancel: Option<LabelId>,
    detach: Option<LabelId>,
}

/// The answer to a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Label(LabelId),
    /// No label can be chosen yet.
    Later,
    /// No label can be chosen any more.
    Never,
}

/// Who opens the session, and may call it off.
pub(crate) const OWNER: &str = "antiphon exec";

impl Host {
    /// A host for that job under that protocol.
    ///
    /// # Errors
    /// When the protocol does not run the command, or cannot carry what was asked for.
    pub(crate) fn new(
        job: Job,
        image: &Arc<VerifiedImage>,
        guest_roles: &'static [&'static str],
    ) -> Result<Host, UnsupportedProtocol> {
        let input_capacity = support::check(image, guest_roles, &job, has_input)?;
        let ended = !job.reads_input;
        Ok(Host(Arc::new(Mutex::new(State {
            job,
            image: Arc::clone(image),
            input_capacity,
            remote: None,
            session: None,
            input: None,
            outputs: [None, None],
            requested: false,
            choosing: Vec::new(),
            filling: Vec::new(),
            piece: None,
            reading: false,
            ended,
            held: None,
            progress: [None, None],
            signals: VecDeque::new(),
            signalled: None,
            stopping: Stopping::default(),
            command_end: None,
            broken: None,
            unreadable: None,
        }))))
    }

    /// Says where answers that were put off are to be brought.
    pub(crate) fn set_remote(&self, remote: Remote) {
        self.state().remote = Some(remote);
    }

    /// Takes the standard streams.
    pub(crate) fn connect(&self, formats: [OutputFormat; 2]) -> io::Result<()> {
        let on_event = || {
            let host = self.clone();
            move |event| host.state().on_stream(event)
        };
        let input = InputStream::start(on_event())?;
        let start = |stream, format| OutputStream::start(stream, format, on_event());
        let stdout = start(Stream::Stdout, formats[0])?;
        let stderr = start(Stream::Stderr, formats[1])?;
        let mut state = self.state();
        state.input = Some(input);
        state.outputs = [Some(stdout), Some(stderr)];
        Ok(())
    }

    /// Says which session the command runs in.
    pub(crate) fn opened(&self, session: SessionId) {
        let mut state = self.state();
        state.session = Some(session);
        if state.stopping.is_unrecorded() {
            state.cancel();
        }
    }

    /// How the command ended, if the guest has said so.
    pub(crate) fn command_end(&self) -> Option<CommandEnd> {
        self.state().command_end.clone()
    }

    /// The first stream that could not be written.
    pub(crate) fn broken(&self) -> Option<(Stream, io::ErrorKind)> {
        self.state().broken
    }

    /// Why standard input could not be read.
    pub(crate) fn unreadable(&self) -> Option<String> {
        self.state().unreadable.as_ref().map(io::Error::to_string)
    }

    /// Whether there is input that was read and that the protocol did not carry.
    pub(crate) fn has_input_left(&self) -> bool {
        let state = self.state();
        state.input_capacity == InputCapacity::Bounded && state.piece.is_some()
    }

    /// Waits until all output is written. Once a signal has come, output that makes no progress is given up. Gives the
    /// streams that were not written to their end.
    pub(crate) fn finish(&self) -> Vec<Stream> {
        let mut state = self.state();
        state.stopping.session_ended();
        let outputs = std::mem::take(&mut state.outputs);
        let mut held = state.held.take();
        // The threads may want the state while they write what is left.
        drop(state);
        let mut given_up = Vec::new();
        for (output, stream) in outputs.into_iter().zip(Stream::ALL) {
            let last = held
                .take_if(|(_, of, _)| *of == stream)
                .map(|(_, _, piece)| piece);
            let is_ending = || self.state().stopping.is_ending();
            if let Some(output) = output
                && !output.finish(last, is_ending)
            {
                given_up.push(stream);
            }
        }
        self.state().stopping.output_ended();
        given_up
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked has left nothing half done that matters to the others.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes what a thread reports, and answers what waited for it.
    fn on_stream(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Input(piece) => {
                self.reading = false;
                self.ended |= piece.is_empty();
                if !piece.is_empty() {
                    self.piece = Some(piece);
                }
            }
            StreamEvent::InputFailed(error) => {
                (self.reading, self.ended) = (false, true);
                self.unreadable = Some(error);
                self.cancel();
            }
            StreamEvent::Room => {}
            StreamEvent::Broken(stream, kind) => {
                if self.broken.is_none() {
                    self.broken = Some((stream, kind));
                    self.cancel();
                }
            }
        }
        self.answer();
    }

    /// Gives the answers that were put off and can be given now.
    fn answer(&mut self) {
        if let Some((effect, stream, piece)) = self.held.take() {
            match self.put(stream, piece) {
                Ok(()) => self.outcome(effect, Outcome::done()),
                Err(piece) => self.held = Some((effect, stream, piece)),
            }
        }
        for (effect, sort) in std::mem::take(&mut self.filling) {
            match self.next_input(sort) {
                Some(outcome) => self.outcome(effect, outcome),
                None => {
                    self.filling.push((effect, sort));
                    self.want_input();
                }
            }
        }
        for (effect, choices) in std::mem::take(&mut self.choosing) {
            match self.choose(choices) {
                Choice::Label(label) => self.outcome(effect, Outcome::chosen(label)),
                Choice::Never => self.outcome(effect, no_choice_left()),
                Choice::Later => {
                    self.choosing.push((effect, choices));
                    self.want_input_for(choices);
                }
            }
        }
    }

    fn outcome(&self, effect: EffectId, outcome: Outcome) {
        self.send(Ingress::Outcome { effect, outcome });
    }

    fn send(&self, input: Ingress) {
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

    fn has_ended(&self) -> bool {
        self.command_end.is_some()
    }

    /// The label to choose now, if there is one.
    fn choose(&mut self, choices: Choices) -> Choice {
        let is_over = self.has_ended();
        let sends_input = self.input_capacity != InputCapacity::None && !is_over;
        let has_ended = self.ended || self.input_capacity == InputCapacity::None;
        match choices {
            Choices {
                cancel: Some(label),
                ..
            } if !is_over && self.stopping.takes_cancel() => Choice::Label(label),
            Choices {
                signal: Some(label),
                ..
            } if !is_over && !self.signals.is_empty() => {
                self.signalled = self.signals.pop_front();
                Choice::Label(label)
            }
            Choices {
                exec: Some(label), ..
            } if !self.requested => Choice::Label(label),
            Choices {
                detach: Some(label),
                ..
            } if is_over => Choice::Label(label),
            Choices {
                eof: Some(label), ..
            } if is_over => Choice::Label(label),
            Choices {
                data: Some(label), ..
            } if sends_input && self.piece.is_some() => Choice::Label(label),
            Choices {
                eof: Some(label), ..
            } if has_ended && self.piece.is_none() => Choice::Label(label),
            // Only the end of the command is waited for.
            Choices { .. } if !is_over => Choice::Later,
            Choices { .. } => Choice::Never,
        }
    }

    fn want_input_for(&mut self, choices: Choices) {
        if choices.data.is_some() {
            self.want_input();
        }
    }

    fn want_input(&mut self) {
        let is_wanted = self.input_capacity != InputCapacity::None && !self.reading && !self.ended;
        if let (true, None, Some(input)) = (is_wanted, &self.piece, &self.input) {
            self.reading = true;
            input.want();
        }
    }

    /// Input as a payload; empty at its end.
    fn next_input(&mut self, sort: SortId) -> Option<Outcome> {
        let is_last = self.ended || self.has_ended() || self.input_capacity == InputCapacity::None;
        let piece = match self.piece.take() {
            None if is_last => Vec::new(),
            piece => piece?,
        };
        if self.input_capacity == InputCapacity::Bounded {
            // One piece ahead, which shows whether the protocol has left any.
            self.want_input();
        }
        let data = vec![("data", Literal::Bytes(piece))];
        Some(payload_outcome(
            DATA,
            payload(data, sort, self.image.image()),
        ))
    }

    fn decide(&mut self, labels: &[LabelId], request: &EffectRequest<'_>) -> Reply {
        let named = |wanted: &str| {
            let mut labels = labels.iter();
            labels
                .find(|label| request.image().label_name(**label) == wanted)
                .copied()
        };
        let choices = Choices {
            exec: named(EXEC),
            data: named(DATA),
            eof: named(EOF),
            signal: named(SIGNAL),
            cancel: named(CANCEL),
            detach: named(DETACH),
        };
        match self.choose(choices) {
            Choice::Label(label) => Reply::Now(Outcome::chosen(label)),
            Choice::Later => {
                self.choosing.push((request.effect(), choices));
                self.want_input_for(choices);
                Reply::Later
            }
            Choice::Never => Reply::Now(no_choice_left()),
        }
    }

    fn produce(&mut self, label: LabelId, request: &EffectRequest<'_>) -> Reply {
        let (name, sort) = (request.image().label_name(label), request.result_sort());
        if !has_payload(request.image(), label, sort) {
            return unanswerable(request);
        }
        let code = request.image().image();
        let value = match name {
            EXEC => {
                self.requested = true;
                let takes_input = self.input_capacity != InputCapacity::None;
                payload(request_fields(&self.job, takes_input), sort, code)
            }
            DATA => {
                return match self.next_input(sort) {
                    Some(outcome) => Reply::Now(outcome),
                    None => {
                        self.filling.push((request.effect(), sort));
                        self.want_input();
                        Reply::Later
                    }
                };
            }
            SIGNAL => {
                // A protocol may send one without a choice: then it is the request to end.
                let signal = self
                    .signalled
                    .take()
                    .unwrap_or(signal_hook::consts::SIGTERM);
                payload(vec![("signo", Literal::Number(signal.into()))], sort, code)
            }
            _ => payload(Vec::new(), sort, code),
        };
        Reply::Now(payload_outcome(name, value))
    }

    fn deliver(&mut self, label: &str, request: &EffectRequest<'_>) -> Reply {
        let done = Reply::Now(Outcome::done());
        let Some(fields) = Fields::of(request) else {
            return done;
        };
        match label {
            OUTPUT => return self.output(&fields, request.effect()),
            RESPONSE => {
                self.command_end = Some(CommandEnd::Exit {
                    code: fields.number("exit_code").unwrap_or(0),
                    signal: fields.number("signal").and_then(|n| u64::try_from(n).ok()),
                    timed_out: fields.truth("timed_out"),
                });
            }
            "error" => {
                self.command_end = Some(CommandEnd::Refused {
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

    /// Closes the streams that make no progress, so that what waits for room in them goes on.
    fn give_up_stalled(&mut self, now: Instant) {
        for (output, progress) in self.outputs.iter().zip(&mut self.progress) {
            if let Some(output) = output {
                output.give_up_stalled(progress, now);
            }
        }
    }
}

/// Credit of each output stream: enough for a pipe between two processes to stay busy.
const WINDOW: u32 = 1 << 20;

/// The command line as the fields of a request, every one that it may have.
fn request_fields(job: &Job, takes_input: bool) -> Vec<(&'static str, Literal)> {
    let text = |text: &String| Literal::Text(text.clone());
    let texts = |texts: &[String]| Literal::List(texts.iter().map(text).collect());
    let command = job.command.first().cloned().unwrap_or_default();
    let mut all = vec![
        ("cmd", Literal::Text(command)),
        ("argv", texts(&job.command)),
        ("env", texts(&job.env)),
        ("stdin", Literal::Word(takes_input.to_string())),
    ];
    all.extend(job.cwd.as_ref().map(|cwd| ("cwd", text(cwd))));
    let deadline = job.deadline_ms.map(|ms| Literal::Number(i128::from(ms)));
    all.extend(deadline.map(|deadline| ("deadline_ms", deadline)));
    for stream in ["stdout_window", "stderr_window"] {
        all.push((stream, Literal::Number(i128::from(WINDOW))));
    }
    all
}

/// Whether `exec` has a payload of that sort for a label.
fn has_payload(image: &VerifiedImage, label: LabelId, sort: SortId) -> bool {
    let is_empty = || payload(Vec::new(), sort, image.image()).is_ok();
    match image.label_name(label) {
        EXEC | DATA | SIGNAL => true,
        // These need no payload; the protocol may give them an empty record.
        EOF | CANCEL | DETACH => is_empty(),
        _ => false,
    }
}

impl EffectHandler for Host {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        let mut state = self.state();
        match request.class() {
            Class::Decide { labels, .. } => state.decide(labels, request),
            Class::Produce { label, .. } => state.produce(*label, request),
            Class::Deliver { label, .. } => {
                state.deliver(request.image().label_name(*label), request)
            }
            Class::Command | Class::Observe | Class::Check => unanswerable(request),
        }
    }
}

fn unanswerable(request: &EffectRequest<'_>) -> Reply {
    let asked = crate::script::describe_request(request);
    let detail = format!("{asked}, and `exec` has no answer to that");
    Reply::Now(Outcome::failure(FailureKind::InvalidInput, &detail))
}

/// The command has ended, and the choice has no label for that.
fn no_choice_left() -> Outcome {
    let detail = format!(
        "the command has ended, and the protocol has a choice left with nothing for `exec` to choose: `{DETACH}` or \
         `{EOF}` would end it"
    );
    Outcome::failure(FailureKind::InvalidInput, &detail)
}

fn payload_outcome(label: &str, value: Result<Value, String>) -> Outcome {
    match value {
        Ok(value) => Outcome::Success(value),
        Err(why) => {
            let detail = format!("the payload of `{label}` cannot be made: {why}");
            Outcome::failure(FailureKind::InvalidInput, &detail)
        }
    }
}
