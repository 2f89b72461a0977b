//! The host's side of an `exec`: the handler of all roles that are not bound to the guest.
//!
//! Labels have their meaning by name, as on the guest link, so a user's own protocol needs no code:
//! `exec_request` carries the command line, `stdin_data` and `stdin_eof` standard input, `signal`
//! and `cancel` signals to this process; `exec_output` goes to the standard streams, and
//! `exec_response` and `error` report how the command ended.

mod messages;
mod stopping;
pub(crate) mod support;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use antiphon_guest::driver::Remote;
use antiphon_machine::text::Literal;
use antiphon_machine::{
    Class, EffectHandler, EffectId, EffectRequest, FailureKind, Ingress, LabelId, Outcome, Reply,
    SessionId, SortId, Value, VerifiedImage,
};

use crate::fields::{Fields, payload};
use crate::streams::{
    InputStream, OutputFormat, OutputStream, Piece, Progress, Stream, StreamEvent, has_input,
};

pub(crate) use messages::Job;
use messages::{
    CANCEL, DATA, DETACH, EOF, EXEC, InputCapacity, OUTPUT, RESPONSE, SIGNAL, has_payload,
    request_fields,
};
use stopping::Stopping;
pub(crate) use stopping::{FORWARDED, forwards};
use support::UnsupportedProtocol;

/// How the command ended, as the guest reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommandEnd {
    /// The command ran to its end.
    Exit {
        code: i64,
        signal: Option<u64>,
        timed_out: bool,
    },
    /// The command was not started, or was not run to its end.
    Refused { code: String, message: String },
}

/// The handler of the host's roles. Clones share their state: each stream's thread has one.
#[derive(Clone, Debug)]
pub(crate) struct Host(Arc<Mutex<State>>);

/// The state of the host's roles.
#[derive(Debug)]
struct State {
    job: Job,
    image: Arc<VerifiedImage>,
    /// How much standard input the protocol carries to the command.
    input_capacity: InputCapacity,
    /// Where deferred answers are sent.
    remote: Option<Remote>,
    session: Option<SessionId>,
    input: Option<InputStream>,
    outputs: [Option<OutputStream>; 2],
    /// Whether the request for the command was sent.
    requested: bool,
    /// Outstanding choices, at most one for each role, with the labels that `exec` may choose.
    choosing: Vec<(EffectId, Choices)>,
    /// Outstanding `stdin_data` payloads, at most one for each role, with their sorts.
    filling: Vec<(EffectId, SortId)>,
    /// Input that was read and not yet sent.
    piece: Option<Vec<u8>>,
    /// Whether a read of standard input is under way.
    reading: bool,
    /// Whether standard input has ended.
    ended: bool,
    /// A piece for which its stream had no room, and the effect that is outstanding until it has.
    held: Option<(EffectId, Stream, Piece)>,
    /// The progress of the output streams since the command was asked to end.
    progress: [Option<Progress>; 2],
    /// Signals that are still to be forwarded.
    signals: VecDeque<i32>,
    /// The signal for which `signal` was chosen; its number is the next payload.
    signalled: Option<i32>,
    stopping: Stopping,
    command_end: Option<CommandEnd>,
    /// The first output stream that could not be written.
    broken: Option<(Stream, io::ErrorKind)>,
    /// Why standard input could not be read.
    unreadable: Option<io::Error>,
}

/// The labels of a choice that `exec` knows.
#[derive(Clone, Copy, Debug, Default)]
struct Choices {
    exec: Option<LabelId>,
    data: Option<LabelId>,
    eof: Option<LabelId>,
    signal: Option<LabelId>,
    cancel: Option<LabelId>,
    detach: Option<LabelId>,
}

/// How a choice is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Label(LabelId),
    /// No label can be chosen yet.
    Later,
    /// No label can be chosen any more.
    Never,
}

/// The owner of the session. Only the owner may cancel it.
pub(crate) const OWNER: &str = "antiphon exec";

impl Host {
    /// Makes a host for that job under that protocol.
    ///
    /// # Errors
    /// The protocol does not run the command, or cannot carry what the command line asks for.
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

    /// Sets where deferred answers are sent.
    pub(crate) fn set_remote(&self, remote: Remote) {
        self.state().remote = Some(remote);
    }

    /// Starts the threads of the standard streams.
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

    /// Sets the session that the command runs in.
    pub(crate) fn opened(&self, session: SessionId) {
        let mut state = self.state();
        state.session = Some(session);
        if state.stopping.is_unrecorded() {
            state.cancel();
        }
    }

    /// How the command ended, if the guest has reported it.
    pub(crate) fn command_end(&self) -> Option<CommandEnd> {
        self.state().command_end.clone()
    }

    /// The first output stream that could not be written.
    pub(crate) fn broken(&self) -> Option<(Stream, io::ErrorKind)> {
        self.state().broken
    }

    /// Why standard input could not be read.
    pub(crate) fn unreadable(&self) -> Option<String> {
        self.state().unreadable.as_ref().map(io::Error::to_string)
    }

    /// Whether input was read that the protocol could not carry.
    pub(crate) fn has_input_left(&self) -> bool {
        let state = self.state();
        state.input_capacity == InputCapacity::Bounded && state.piece.is_some()
    }

    /// Waits until all output is written. Once the command has been asked to end, output that makes
    /// no progress is given up. Returns the streams that were not written to their end.
    pub(crate) fn finish(&self) -> Vec<Stream> {
        let mut state = self.state();
        state.stopping.session_ended();
        let outputs = std::mem::take(&mut state.outputs);
        let mut held = state.held.take();
        // Unlocked, because the threads lock the state while they write what is left.
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
        // A thread that panicked leaves the state consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Handles a stream event and gives the answers that it makes possible.
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

    /// Gives the deferred answers that are possible now.
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
            // A machine that has ended needs no answer.
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

    /// Returns the label to choose now, if there is one.
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
            // The role waits for the end of the command.
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

    /// Returns the next piece of input as a payload. The payload is empty at the end of input.
    fn next_input(&mut self, sort: SortId) -> Option<Outcome> {
        let is_last = self.ended || self.has_ended() || self.input_capacity == InputCapacity::None;
        let piece = match self.piece.take() {
            None if is_last => Vec::new(),
            piece => piece?,
        };
        if self.input_capacity == InputCapacity::Bounded {
            // Read one piece ahead: it shows whether there is input that the protocol cannot carry.
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
                // A protocol may send a signal without a choice; then it is the request to end.
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
                    timed_out: fields.boolean("timed_out"),
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
        // Choices of other roles may be waiting for the end of the command.
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

    /// Closes the streams that make no progress, so that effects that wait for room in them
    /// resolve.
    fn give_up_stalled(&mut self, now: Instant) {
        for (output, progress) in self.outputs.iter().zip(&mut self.progress) {
            if let Some(output) = output {
                output.give_up_stalled(progress, now);
            }
        }
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

/// The failure for a choice that has no label for the end of the command.
fn no_choice_left() -> Outcome {
    let detail = format!(
        "the command has ended, and the protocol has a choice left with nothing for `exec` to \
         choose: `{DETACH}` or `{EOF}` would end it"
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
