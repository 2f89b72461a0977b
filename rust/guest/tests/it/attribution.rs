//! Every message that a session attributes to its guest was in a frame that the guest wrote.
//! Checked with random protocols, with a silent guest and with one that sends random answers.

mod author;
use crate::common;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use antiphon_guest::driver::{Driver, GuestId, Guests, OpenError};
use antiphon_guest::link::GuestLink;
use antiphon_guest::transport::Transport;
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{NoModules, compile_source};
use antiphon_machine::{
    Class, EffectHandler, EffectRequest, Event, FromFn, Observation, Outcome, Reply, Rest, RoleId,
    Sink, Sort, SortId, State, Value, VerifiedImage,
};
use antiphon_wire::{
    AgentEvent, AgentLink, AgentOffer, Deframer, Envelope, ErrorCode, ErrorReply, ExecOutput,
    ExecResponse, Features, FileKind, Message, Op, OpError, OpErrorCode, OpResult, OpValue,
    Permissions, Stat, Stream,
};
use author::{Author, Dice, GUESTS};

/// The number of protocols that the test runs.
const PROTOCOLS: usize = 1_200;

/// The maximum number of texts to try: at least one in ten is expected to compile.
const TEXTS_MAX: u64 = 12_000;

/// How long a session may be idle before its guest is disconnected.
const IDLE: Duration = Duration::from_millis(4);

/// The length of an output that the machine gets in several pieces.
const LONG_LEN: usize = 60_000;

fn compiled(text: &str) -> Option<Arc<VerifiedImage>> {
    let built = compile_source(Source::new("p.anti", text), &NoModules, &Limits::default()).ok()?;
    let (_, compiled) = built.protocols.into_iter().next()?;
    Some(Arc::new(compiled.image.verify().expect("it verifies")))
}

// The guest.

/// A frame that the guest wrote.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    /// The number of the session's request that it answered.
    request: usize,
    what: Content,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    /// An output, or what is left of it.
    Output {
        stream: u64,
        data: Vec<u8>,
    },
    Response {
        exit_code: i64,
    },
    Refusal {
        message: String,
    },
    /// The result of an operation.
    Size {
        size: u64,
    },
    /// An operation that failed. The message that was chosen before it is perhaps not sent.
    Failure,
}

/// The behaviour of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    /// It closes the line without an answer.
    Silent,
    /// It sends random answers.
    Lying { seed: u64 },
}

/// Serves one link.
struct Serving {
    guest: Guest,
    dice: Dice,
    stream: UnixStream,
    written: Arc<Mutex<Vec<Written>>>,
    requests: usize,
    /// Makes each payload unique.
    next: u64,
}

impl Serving {
    fn run(mut self) -> std::io::Result<()> {
        let offer = AgentOffer::new(Features::all(), "test".to_owned(), "1".to_owned());
        let mut link = AgentLink::new(offer);
        let mut deframer = Deframer::default();
        let mut buf = vec![0; 1 << 16];
        loop {
            let len = self.stream.read(&mut buf)?;
            if len == 0 {
                return Ok(());
            }
            deframer.push(&buf[..len]);
            while let Some(envelope) = deframer.next().expect("the host writes good frames") {
                let mut out = Vec::new();
                let event = link.receive(envelope, &mut out);
                self.stream.write_all(&out)?;
                if let Ok(AgentEvent::Request { id, request }) = event
                    && !self.request(id, &Message::from(request))?
                {
                    return Ok(());
                }
            }
        }
    }

    /// Answers a request. Returns whether to continue.
    fn request(&mut self, id: u32, message: &Message) -> std::io::Result<bool> {
        if self.guest == Guest::Silent {
            return Ok(false);
        }
        if let (Message::FsStat(_), true) = (message, self.dice.one_in(3)) {
            let error = OpError {
                code: OpErrorCode::NotFound,
                message: "no".to_owned(),
                errno: None,
            };
            let op = Op::FsStat;
            self.write(
                id,
                Content::Failure,
                Message::OpResult(OpResult::Err { op, error }),
            )?;
            return Ok(true);
        }
        if let Message::FsStat(_) = message {
            let size = self.fresh();
            let stat = Stat {
                kind: FileKind::File,
                perm: Permissions::new(0o644).expect("permissions"),
                size,
                mtime_ms: None,
            };
            let result = Message::OpResult(OpResult::Ok(OpValue::FsStat(stat)));
            self.write(id, Content::Size { size }, result)?;
            return Ok(true);
        }
        self.requests += 1;
        for _ in 0..self.dice.below(9) {
            self.frame(id)?;
        }
        Ok(self.dice.one_in(3))
    }

    fn frame(&mut self, id: u32) -> std::io::Result<()> {
        let number = self.fresh();
        match self.dice.below(8) {
            0 => {
                let message = number.to_string();
                let reply = ErrorReply::new(ErrorCode::Internal, message.clone());
                self.write(id, Content::Refusal { message }, Message::Error(reply))
            }
            1 | 2 => {
                let exit_code = number as i32;
                let response = ExecResponse {
                    signal: None,
                    exit_code,
                    timed_out: None,
                };
                let exit_code = i64::from(exit_code);
                self.write(
                    id,
                    Content::Response { exit_code },
                    Message::ExecResponse(response),
                )
            }
            _ => {
                let mut data = number.to_string().into_bytes();
                if self.dice.one_in(12) {
                    data.resize(LONG_LEN, b'.');
                }
                let (stream, of) = if self.dice.one_in(3) {
                    (1, Stream::Stderr)
                } else {
                    (0, Stream::Stdout)
                };
                let content = Content::Output {
                    stream,
                    data: data.clone(),
                };
                self.write(
                    id,
                    content,
                    Message::ExecOutput(ExecOutput { data, stream: of }),
                )
            }
        }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        1_000_000 + self.next
    }

    fn write(&mut self, id: u32, what: Content, message: Message) -> std::io::Result<()> {
        let frame = Envelope::new(id, message)
            .to_frame()
            .expect("it can be written");
        let request = self.requests;
        let written = Written { request, what };
        self.written.lock().expect("no panic").push(written);
        self.stream.write_all(&frame)
    }
}

// The session.

/// A message that the session attributes to its guest.
#[derive(Clone, Debug, PartialEq)]
struct Attributed {
    from: RoleId,
    to: RoleId,
    label: String,
    payload: Value,
}

/// Keeps the messages of the guest's roles to other roles.
struct Observer {
    image: Arc<VerifiedImage>,
    inside: Vec<RoleId>,
    seen: Vec<Attributed>,
}

impl Sink for Observer {
    fn observe(&mut self, observation: Observation<'_>) {
        let Observation::Event { event, .. } = observation else {
            return;
        };
        let (Event::Sent(message) | Event::Offered(message)) = event else {
            return;
        };
        let (from, to) = self.image.edges()[usize::from(message.edge.0)];
        if self.inside.contains(&from) && !self.inside.contains(&to) {
            self.seen.push(Attributed {
                from,
                to,
                label: self.image.label_name(message.label).to_owned(),
                payload: message.payload.clone(),
            });
        }
    }
}

/// A value of the application, which no frame of the guest has.
fn own(sort: SortId, sorts: &[Sort]) -> Value {
    match &sorts[sort.index()] {
        Sort::Unit => Value::Unit,
        Sort::Bool => Value::Bool(true),
        Sort::Nat | Sort::Enum { .. } | Sort::Arm(_) => Value::Nat(0),
        Sort::Int => Value::Int(-1),
        Sort::Text => Value::text("host"),
        Sort::Bytes | Sort::Foreign { .. } => Value::bytes(b"host"),
        Sort::List(_) | Sort::Option(_) => Value::list(vec![]),
        Sort::Record { fields, .. } => {
            Value::record(fields.iter().map(|field| own(field.1, sorts)).collect())
        }
    }
}

/// The roles and interfaces that are bound to the guest.
#[derive(Clone, Copy, Debug)]
struct Bound {
    sink: bool,
    files: bool,
}

struct Ran {
    messages: Vec<Attributed>,
    written: Vec<Written>,
    /// Whether only one role of the guest takes frames.
    alone: bool,
}

/// An application that chooses at random.
fn application(mut dice: Dice) -> impl EffectHandler {
    FromFn(move |request: &EffectRequest<'_>| {
        let sorts = &request.image().image().sorts;
        Reply::Now(match request.class() {
            Class::Decide { labels, .. } => Outcome::chosen(labels[dice.below(labels.len())]),
            Class::Produce { .. } | Class::Command | Class::Observe | Class::Check => {
                Outcome::Success(own(request.result_sort(), sorts))
            }
            Class::Deliver { .. } => Outcome::done(),
        })
    })
}

/// Runs a session to its end.
fn run(image: &Arc<VerifiedImage>, bound: Bound, guest: Guest) -> Result<Ran, OpenError> {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let handle = ours.try_clone().expect("a descriptor");
    let written = Arc::new(Mutex::new(Vec::new()));
    let seed = match guest {
        Guest::Silent => 0,
        Guest::Lying { seed } => seed,
    };
    let serving = Serving {
        guest,
        dice: Dice(seed),
        stream: theirs,
        written: Arc::clone(&written),
        requests: 0,
        next: 0,
    };
    // The guest ends when its line is closed, whatever it was about to send.
    let served = thread::spawn(move || serving.run());
    let transport = Transport::stream(ours).expect("a transport");
    let link = GuestLink::open(transport, Default::default(), common::TIMEOUT).expect("a link");
    let roles = if bound.sink {
        &GUESTS[..]
    } else {
        &GUESTS[..1]
    };
    let of_image = &image.image().roles;
    let place = |name: &&str| of_image.iter().position(|role| role.name == *name);
    let inside = roles.iter().filter_map(place);
    let observer = Observer {
        image: Arc::clone(image),
        inside: inside.map(|n| RoleId(n as u16)).collect(),
        seen: vec![],
    };
    let sends = |state: &State| matches!(state, State::Send { .. });
    let senders = observer.inside.iter().filter(|role| {
        let automaton = &image.image().roles[role.index()].automaton;
        automaton.states.iter().any(sends)
    });
    let alone = senders.count() < 2;
    let application = application(Dice(seed ^ 1));
    let mut driver = Driver::new(Default::default(), application, observer);
    let id: GuestId = driver.add_guest(link);
    let mut guests = Guests::new().roles(id, roles.iter().copied());
    // An interface without calls is not in the image.
    let interfaces = &image.image().interfaces;
    if bound.files && interfaces.iter().any(|row| row.name == "Files") {
        guests = guests.interfaces(id, ["Files"]);
    }
    driver.open(image, "test", &guests)?;
    let mut rest = driver.run_for(IDLE);
    for _ in 0..4 {
        if rest == Rest::Idle {
            rest = driver.run_for(IDLE);
        }
    }
    if rest == Rest::Idle {
        let _ = handle.shutdown(std::net::Shutdown::Both);
        rest = driver.run_for(common::TIMEOUT);
    }
    assert_ne!(rest, Rest::Idle, "without its guest a session ends");
    let messages = driver.close().1.seen;
    // The guest reads until its line ends, and this handle keeps the line open.
    let _ = handle.shutdown(std::net::Shutdown::Both);
    let _ = served.join().expect("the guest does not panic");
    let written = std::mem::take(&mut *written.lock().expect("no panic"));
    Ok(Ran {
        messages,
        written,
        alone,
    })
}

// The property.

/// Finds a separate frame for each message, in order.
struct Matching<'a> {
    messages: &'a [Attributed],
    /// The rest of each frame.
    frames: Vec<Option<Content>>,
    requests: Vec<usize>,
    /// Whether one role takes all frames. Then no frame is skipped.
    strict: bool,
    /// How often a failed operation may have prevented a chosen message.
    failures: usize,
}

impl Matching<'_> {
    fn of(ran: &Ran) -> bool {
        let mut matching = Matching {
            messages: &ran.messages,
            frames: ran.written.iter().map(|w| Some(w.what.clone())).collect(),
            requests: ran.written.iter().map(|w| w.request).collect(),
            failures: ran
                .written
                .iter()
                .filter(|w| w.what == Content::Failure)
                .count(),
            strict: ran.alone,
        };
        matching.from(0, 0)
    }

    /// Whether the messages from index `at` on have their frames. The messages between `first` and
    /// `at` are copies of the one at index `first`.
    fn from(&mut self, at: usize, first: usize) -> bool {
        let Some(message) = self.messages.get(at) else {
            return true;
        };
        for n in 0..self.frames.len() {
            let Some(frame) = self.frames[n].clone() else {
                continue;
            };
            let Some(left) = after(message, &frame) else {
                continue;
            };
            if !self.may_take(n) {
                continue;
            }
            self.frames[n] = left;
            if self.from(at + 1, at) || (matches!(frame, Content::Size { .. }) && self.labelled(at))
            {
                return true;
            }
            self.frames[n] = Some(frame);
        }
        self.is_copy(at, first) && self.from(at + 1, first)
    }

    /// For a message whose value is the result of an operation: whether the guest chose its label
    /// with a frame, and the later messages have their frames.
    fn labelled(&mut self, at: usize) -> bool {
        for n in 0..self.frames.len() {
            let frame = self.frames[n].clone();
            let name = frame.as_ref().and_then(label);
            if name == Some(&self.messages[at].label) && self.may_take(n) {
                self.frames[n] = None;
                if self.from(at + 1, at) {
                    return true;
                }
                self.frames[n] = frame;
            }
        }
        false
    }

    /// Whether the frames before this one were taken, or belonged to an earlier request.
    fn may_take(&self, n: usize) -> bool {
        let of_operation = |content: &Content| label(content).is_none();
        if !self.strict || self.frames[n].as_ref().is_some_and(of_operation) {
            return true;
        }
        let passed_over = (0..n).filter(|before| match &self.frames[*before] {
            None => false,
            Some(content) => !of_operation(content) && self.requests[*before] == self.requests[n],
        });
        passed_over.count() <= self.failures
    }

    /// Whether the message is a copy, for another receiver, of the one at `first`.
    fn is_copy(&self, at: usize, first: usize) -> bool {
        let message = &self.messages[at];
        first < at
            && self.messages[first..at].iter().all(|other| {
                let same = (other.from, &other.label, &other.payload)
                    == (message.from, &message.label, &message.payload);
                same && other.to != message.to
            })
    }
}

/// The rest of a frame after this message was taken from it; `None` if it does not fit the frame.
fn after(message: &Attributed, frame: &Content) -> Option<Option<Content>> {
    let fields: &[Value] = match &message.payload {
        Value::Unit => &[],
        Value::Record(fields) => fields,
        _ => return None,
    };
    if let Content::Size { size } = frame {
        return (fields == [Value::Nat(*size)]).then_some(None);
    }
    if label(frame) != Some(&message.label) {
        return None;
    }
    match (frame, fields) {
        (Content::Output { .. } | Content::Response { .. } | Content::Refusal { .. }, []) => {
            Some(None)
        }
        (Content::Output { stream, .. }, [Value::Nat(of)]) => (stream == of).then_some(None),
        (Content::Output { stream, data }, [Value::Nat(of), Value::Bytes(piece)]) => {
            let rest = data.strip_prefix(&piece[..]).filter(|_| stream == of)?;
            Some((!rest.is_empty()).then(|| Content::Output {
                stream: *stream,
                data: rest.to_vec(),
            }))
        }
        (Content::Response { exit_code }, [Value::Int(code)]) => {
            (exit_code == code).then_some(None)
        }
        (Content::Refusal { message }, [Value::Text(_), Value::Text(text)]) => {
            (message[..] == text[..]).then_some(None)
        }
        _ => None,
    }
}

fn label(content: &Content) -> Option<&'static str> {
    match content {
        Content::Output { .. } => Some("exec_output"),
        Content::Response { .. } => Some("exec_response"),
        Content::Refusal { .. } => Some("error"),
        Content::Size { .. } | Content::Failure => None,
    }
}

#[derive(Debug, Default)]
struct Tally {
    compiled: usize,
    opened: usize,
    refused: usize,
    sending: usize,
    messages: usize,
}

fn try_protocol(seed: u64, text: &str, image: &Arc<VerifiedImage>, tally: &mut Tally) {
    tally.compiled += 1;
    let mut dice = Dice(seed ^ 0xB0D);
    let bound = Bound {
        sink: !dice.one_in(3),
        files: !dice.one_in(4),
    };
    let lies = |n: u64| Guest::Lying {
        seed: seed.wrapping_mul(1_000) + n,
    };
    let mut sends_any = false;
    for guest in [Guest::Silent, lies(0), lies(1), lies(2)] {
        let ran = match run(image, bound, guest) {
            Ok(ran) => ran,
            Err(OpenError::Unbacked { .. }) => {
                tally.refused += 1;
                return;
            }
            Err(other) => panic!("seed {seed}: {other}\n{text}"),
        };
        assert!(
            Matching::of(&ran),
            "seed {seed}, {guest:?}, {bound:?}: messages without a frame\n{text}\n{:?}\n{:?}",
            ran.messages,
            ran.written,
        );
        assert!(
            guest != Guest::Silent || ran.messages.is_empty(),
            "seed {seed}\n{text}"
        );
        tally.messages += ran.messages.len();
        sends_any |= !ran.messages.is_empty();
    }
    tally.opened += 1;
    tally.sending += usize::from(sends_any);
}

#[test]
fn every_message_of_a_guest_was_in_a_frame() {
    let mut tally = Tally::default();
    for seed in 0..TEXTS_MAX {
        let text = Author::protocol(seed);
        if let Some(image) = compiled(&text) {
            try_protocol(seed, &text, &image, &mut tally);
        }
        if tally.compiled == PROTOCOLS {
            break;
        }
    }
    assert_eq!(tally.compiled, PROTOCOLS, "{tally:?}");
    assert!(tally.opened >= 200 && tally.refused >= 200, "{tally:?}");
    assert!(tally.sending >= 100, "{tally:?}");
}
