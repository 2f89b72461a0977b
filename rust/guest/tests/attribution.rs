//! Every message that a session attributes to its guest was in a frame that the guest wrote: over
//! random protocols, with a guest that says nothing and with one that says what it likes.

mod common;

use std::fmt::Write as _;
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
    Class, EffectRequest, Event, FromFn, Outcome, Reply, Rest, RoleId, Sink, Sort, SortId, Stamp,
    State, Value, VerifiedImage,
};
use antiphon_wire::{
    AgentEvent, AgentLink, AgentOffer, Deframer, Envelope, ErrorCode, ErrorReply, ExecOutput,
    ExecResponse, Features, FileKind, Message, Op, OpError, OpErrorCode, OpResult, OpValue,
    Permissions, Stat, Stream,
};

/// Protocols that compile, of each run of the test.
const PROTOCOLS: usize = 1_200;

/// Texts tried for them: a fifth of the texts is expected to compile at least.
const TEXTS_MAX: u64 = 12_000;

/// How long a session without anything to do is looked at before its guest is taken away.
const IDLE: Duration = Duration::from_millis(4);

/// Output that the machine gets in several pieces.
const LONG_LEN: usize = 60_000;

/// A generator of numbers: SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

// Protocols.

const SORTS: &str = "
record Spec { cmd: Text, argv: [Text] }
enum Stream { stdout, stderr }
record Chunk { stream: Stream, data: Bytes }
record Half { stream: Stream }
record Status { exit_code: Int }
record Failure { code: Text, message: Text }
record Size { size: Nat }
record Empty {}
effect Files version 1 { op fs_stat(path: Text) -> Size within 5s; }
";

const HOSTS: [&str; 2] = ["Host", "Feeder"];
const GUESTS: [&str; 2] = ["Agent", "Sink"];

/// A bound name, who knows it, and its sort.
#[derive(Clone)]
struct Name {
    name: String,
    known: Vec<&'static str>,
}

/// Writes a protocol.
struct Author {
    dice: Dice,
    text: String,
    names: Vec<Name>,
    next: usize,
}

impl Author {
    fn protocol(seed: u64) -> String {
        let mut author = Author {
            dice: Dice(seed),
            text: String::new(),
            names: vec![],
            next: 0,
        };
        if !author.dice.one_in(12) {
            author
                .text
                .push_str("exec_request(Spec) from Host to Agent;\n");
        }
        let roles = [HOSTS[0], GUESTS[0], HOSTS[1], GUESTS[1]];
        let count = 2 + author.dice.below(3);
        author.block(&roles[..count], 2);
        let heads: Vec<String> = roles.iter().map(|role| format!("role {role}")).collect();
        format!(
            "{SORTS}global protocol P({}) uses Files at Agent, Files at Sink {{\n{}}}\n",
            heads.join(", "),
            author.text
        )
    }

    fn block(&mut self, roles: &[&'static str], depth: usize) {
        for _ in 0..1 + self.dice.below(4) {
            self.statement(roles, depth);
        }
    }

    fn statement(&mut self, roles: &[&'static str], depth: usize) {
        let of = |wanted: &[&str]| -> Vec<&'static str> {
            let all = roles.iter().copied();
            all.filter(|role| wanted.contains(role)).collect()
        };
        let (hosts, guests) = (of(&HOSTS), of(&GUESTS));
        match self.dice.below(if depth == 0 { 9 } else { 14 }) {
            0..=3 => {
                let from = self.dice.pick(&guests);
                self.says(from, roles, None);
            }
            4 | 5 => {
                let (from, to) = (self.dice.pick(&hosts), self.dice.pick(&guests));
                self.tells(from, to, "detach");
            }
            6 => {
                let to: Vec<_> = roles
                    .iter()
                    .copied()
                    .filter(|role| *role != "Host")
                    .collect();
                let to = self.dice.pick(&to);
                self.tells("Host", to, "detach");
            }
            7 => {
                let from = self.dice.pick(&guests);
                let name = self.bind(&[from]);
                let _ = writeln!(
                    self.text,
                    "at {from} {{ let {name} = Files.fs_stat(\"x\"); }}"
                );
            }
            8 => self
                .text
                .push_str("exec_request(Spec) from Host to Agent;\n"),
            9 | 10 => self.choice(roles, depth, None),
            11 => {
                let from = self.dice.pick(&hosts);
                let to = self.dice.pick(&guests);
                self.asks(from, to, depth, None);
            }
            _ => {
                self.next += 1;
                let again = format!("L{}", self.next);
                let _ = writeln!(self.text, "rec {again} {{");
                if self.dice.one_in(3) {
                    let (from, to) = (self.dice.pick(&hosts), self.dice.pick(&guests));
                    self.asks(from, to, depth, Some(&again));
                } else {
                    self.choice(roles, depth, Some(&again));
                }
                self.text.push_str("}\n");
            }
        }
    }

    /// A choice of the guest. Only the two that it concerns take part in the branches, most times.
    fn choice(&mut self, roles: &[&'static str], depth: usize, again: Option<&str>) {
        let guests: Vec<_> = roles
            .iter()
            .copied()
            .filter(|r| GUESTS.contains(r))
            .collect();
        let from = self.dice.pick(&guests);
        let to = self.dice.pick(&HOSTS[..1]);
        let copy = (roles.len() > 2 && self.dice.one_in(5)).then(|| roles[2]);
        let both = [to, from];
        let within: &[&str] = if self.dice.one_in(8) { roles } else { &both };
        let mut labels = vec!["exec_output", "exec_response", "error", "note"];
        let branches = 2 + self.dice.below(2);
        let heads: Vec<&str> = (0..branches)
            .map(|_| labels.remove(self.dice.below(labels.len().min(3))))
            .collect();
        let _ = writeln!(self.text, "choice at {from} {{");
        for (n, label) in heads.iter().copied().enumerate() {
            let names = self.names.clone();
            if n > 0 {
                self.text.push_str("} or {\n");
            } else if self.dice.one_in(6) {
                let name = self.bind(&[from]);
                let _ = writeln!(
                    self.text,
                    "at {from} {{ let {name} = Files.fs_stat(\"x\") else {}; }}",
                    heads[1]
                );
            }
            let payload = self.payload(from, label);
            let others = copy.map(|copy| format!(", {copy}")).unwrap_or_default();
            let _ = writeln!(self.text, "{label}({payload}) from {from} to {to}{others};");
            self.rest(within, depth, again.filter(|_| n == 0));
            self.names = names;
        }
        self.text.push_str("}\n");
    }

    /// A choice of the host.
    fn asks(&mut self, from: &'static str, to: &'static str, depth: usize, again: Option<&str>) {
        let _ = writeln!(self.text, "choice at {from} {{");
        for (n, label) in ["detach", "cancel"].iter().enumerate() {
            let names = self.names.clone();
            if n > 0 {
                self.text.push_str("} or {\n");
            }
            self.tells(from, to, label);
            self.rest(&[from, to], depth, again.filter(|_| n == 0));
            self.names = names;
        }
        self.text.push_str("}\n");
    }

    fn rest(&mut self, roles: &[&'static str], depth: usize, again: Option<&str>) {
        if self.dice.one_in(2) && roles.contains(&"Host") {
            self.block(roles, depth - 1);
        }
        if let Some(again) = again {
            let _ = writeln!(self.text, "continue {again};");
        }
    }

    /// A message of the host.
    fn tells(&mut self, from: &'static str, to: &'static str, label: &str) {
        let payload = match self.dice.below(3) {
            0 if label == "detach" => {
                let name = self.bind(&[from, to]);
                let sort = self.dice.pick(&["Chunk", "Status", "Empty"]);
                format!("{name}: {sort}")
            }
            _ => String::new(),
        };
        let _ = writeln!(self.text, "{label}({payload}) from {from} to {to};");
    }

    /// A message of the guest.
    fn says(&mut self, from: &'static str, roles: &[&'static str], label: Option<&str>) {
        let others: Vec<_> = roles.iter().copied().filter(|role| *role != from).collect();
        let to = if self.dice.one_in(4) {
            self.dice.pick(&others)
        } else {
            others[0]
        };
        let any = self.dice.pick(&[
            "exec_output",
            "exec_response",
            "error",
            "exec_output",
            "note",
        ]);
        let label = label.unwrap_or(any);
        let mut receivers = vec![to];
        if self.dice.one_in(5) {
            receivers.extend(others.iter().copied().filter(|role| *role != to));
        }
        let known: Vec<_> = receivers.iter().copied().chain([from]).collect();
        let payload = if self.dice.one_in(5) {
            let sort = self.sort(label);
            format!("{}: {sort}", self.bind(&known))
        } else {
            self.payload(from, label)
        };
        let receivers = receivers.join(", ");
        let _ = writeln!(self.text, "{label}({payload}) from {from} to {receivers};");
    }

    fn payload(&mut self, from: &str, label: &str) -> String {
        let known = self.names.iter();
        let known: Vec<&str> = known
            .filter(|name| name.known.contains(&from))
            .map(|name| name.name.as_str())
            .collect();
        if !known.is_empty() && self.dice.one_in(3) {
            return self.dice.pick(&known).to_owned();
        }
        if self.dice.one_in(6) {
            return String::new();
        }
        self.sort(label).to_owned()
    }

    fn sort(&mut self, label: &str) -> &'static str {
        match (label, self.dice.below(8)) {
            (_, 0) => "Empty",
            ("exec_output", 1 | 2) => "Half",
            ("exec_output", _) => "Chunk",
            ("exec_response", _) => "Status",
            ("error", _) => "Failure",
            (_, _) => "Size",
        }
    }

    fn bind(&mut self, known: &[&'static str]) -> String {
        self.next += 1;
        let name = format!("n{}", self.next);
        let known = known.to_vec();
        self.names.push(Name {
            name: name.clone(),
            known,
        });
        name
    }
}

fn compiled(text: &str) -> Option<Arc<VerifiedImage>> {
    let built = compile_source(Source::new("p.anti", text), &NoModules, &Limits::default()).ok()?;
    let (_, compiled) = built.protocols.into_iter().next()?;
    Some(Arc::new(compiled.image.verify().expect("it verifies")))
}

// The guest.

/// A frame that the guest wrote.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    /// Which request of the session it was for.
    request: usize,
    what: Said,
}

#[derive(Clone, Debug, PartialEq)]
enum Said {
    /// What is left of it, and whether nothing was taken.
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
    /// An operation that failed: what was chosen before it may not be sent.
    Failure,
}

/// What a guest does with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    /// It answers nothing, and goes.
    Silent,
    /// It sends what it likes.
    Lying { seed: u64 },
}

/// Serves one link.
struct Serving {
    guest: Guest,
    dice: Dice,
    stream: UnixStream,
    written: Arc<Mutex<Vec<Written>>>,
    requests: usize,
    /// Makes each payload another one.
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
                if let Ok(AgentEvent::Request { id, message }) = event
                    && !self.request(id, &message)?
                {
                    return Ok(());
                }
            }
        }
    }

    /// Answers a request; says whether to go on.
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
                Said::Failure,
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
            self.write(id, Said::Size { size }, result)?;
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
                self.write(id, Said::Refusal { message }, Message::Error(reply))
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
                    Said::Response { exit_code },
                    Message::ExecResponse(response),
                )
            }
            _ => {
                let mut data = number.to_string().into_bytes();
                if self.dice.one_in(12) {
                    data.resize(LONG_LEN, b'.');
                }
                let (stream, of) = match self.dice.one_in(3) {
                    true => (1, Stream::Stderr),
                    false => (0, Stream::Stdout),
                };
                let said = Said::Output {
                    stream,
                    data: data.clone(),
                };
                self.write(
                    id,
                    said,
                    Message::ExecOutput(ExecOutput { data, stream: of }),
                )
            }
        }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        1_000_000 + self.next
    }

    fn write(&mut self, id: u32, what: Said, message: Message) -> std::io::Result<()> {
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

/// Keeps the messages of the guest's roles to others.
struct Witness {
    image: Arc<VerifiedImage>,
    inside: Vec<RoleId>,
    seen: Vec<Attributed>,
}

impl Sink for Witness {
    fn event(&mut self, _: &Stamp, event: Event) {
        let (Event::Sent(message) | Event::Offered(message)) = event else {
            return;
        };
        let (from, to) = self.image.edges()[usize::from(message.edge.0)];
        if self.inside.contains(&from) && !self.inside.contains(&to) {
            self.seen.push(Attributed {
                from,
                to,
                label: self.image.label_name(message.label).to_owned(),
                payload: message.payload,
            });
        }
    }
}

/// A value of the application's, which no frame of the guest has.
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

/// What of a session is bound to the guest.
#[derive(Clone, Copy, Debug)]
struct Bound {
    sink: bool,
    files: bool,
}

struct Ran {
    messages: Vec<Attributed>,
    written: Vec<Written>,
    /// Whether only one role of the guest asks for frames.
    alone: bool,
}

/// Runs a session to its end.
fn run(image: &Arc<VerifiedImage>, bound: Bound, guest: Guest) -> Result<Ran, OpenError> {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let knife = ours.try_clone().expect("a descriptor");
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
    // It ends when its line does, whatever it was about to say.
    let served = thread::spawn(move || serving.run());
    let transport = Transport::stream(ours).expect("a transport");
    let link = GuestLink::open(transport, Default::default(), common::PATIENCE).expect("a link");
    let roles = if bound.sink {
        &GUESTS[..]
    } else {
        &GUESTS[..1]
    };
    let place = |name: &&str| {
        image
            .image()
            .roles
            .iter()
            .position(|role| role.name == *name)
    };
    let inside = roles.iter().filter_map(place);
    let witness = Witness {
        image: Arc::clone(image),
        inside: inside.map(|n| RoleId(n as u16)).collect(),
        seen: vec![],
    };
    let sends = |state: &State| matches!(state, State::Send { .. });
    let speakers = witness.inside.iter().filter(|role| {
        let automaton = &image.image().roles[role.index()].automaton;
        automaton.states.iter().any(sends)
    });
    let alone = speakers.count() < 2;
    let mut dice = Dice(seed ^ 1);
    let application = FromFn(move |request: &EffectRequest<'_>| {
        let sorts = &request.image().image().sorts;
        Reply::Now(match request.class() {
            Class::Decide { labels, .. } => Outcome::chosen(labels[dice.below(labels.len())]),
            Class::Produce { .. } | Class::Command | Class::Observe | Class::Check => {
                Outcome::Success(own(request.result_sort(), sorts))
            }
            Class::Deliver { .. } => Outcome::done(),
        })
    });
    let mut driver = Driver::new(Default::default(), application, witness);
    let id: GuestId = driver.add_guest(link);
    let mut guests = Guests::new().roles(id, roles.iter().copied());
    // An interface that is never called is not in the image.
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
        let _ = knife.shutdown(std::net::Shutdown::Both);
        rest = driver.run_for(common::PATIENCE);
    }
    assert_ne!(rest, Rest::Idle, "without its guest a session ends");
    let messages = driver.close().1.seen;
    // The guest reads until its line ends, and the knife holds it open.
    let _ = knife.shutdown(std::net::Shutdown::Both);
    let _ = served.join().expect("the guest does not panic");
    let written = std::mem::take(&mut *written.lock().expect("no panic"));
    Ok(Ran {
        messages,
        written,
        alone,
    })
}

// The property.

/// Looks for a frame of its own for each message, in order.
struct Matching<'a> {
    messages: &'a [Attributed],
    /// What is left of each frame.
    frames: Vec<Option<Said>>,
    requests: Vec<usize>,
    /// Whether one role asks for all frames: then none is passed over.
    strict: bool,
    /// How often a failed operation may have led away from what was chosen.
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
                .filter(|w| w.what == Said::Failure)
                .count(),
            strict: ran.alone,
        };
        matching.from(0, 0)
    }

    /// Whether the messages from there on have their frames, with the copies of one message
    /// beginning at `first`.
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
            if self.from(at + 1, at) || (matches!(frame, Said::Size { .. }) && self.labelled(at)) {
                return true;
            }
            self.frames[n] = Some(frame);
        }
        self.is_copy(at, first) && self.from(at + 1, first)
    }

    /// The value is an operation's, and the guest chose the label by a frame.
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

    /// Whether the frames before this one were taken, or were of an earlier request.
    fn may_take(&self, n: usize) -> bool {
        let of_operation = |said: &Said| label(said).is_none();
        if !self.strict || self.frames[n].as_ref().is_some_and(of_operation) {
            return true;
        }
        let passed_over = (0..n).filter(|before| match &self.frames[*before] {
            None => false,
            Some(said) => !of_operation(said) && self.requests[*before] == self.requests[n],
        });
        passed_over.count() <= self.failures
    }

    /// Whether the message is a copy, for one more receiver, of the one at `first`.
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

/// What is left of a frame when this message was taken from it; nothing if it was not.
fn after(message: &Attributed, frame: &Said) -> Option<Option<Said>> {
    let fields: &[Value] = match &message.payload {
        Value::Unit => &[],
        Value::Record(fields) => fields,
        _ => return None,
    };
    if let Said::Size { size } = frame {
        return (fields == [Value::Nat(*size)]).then_some(None);
    }
    if label(frame) != Some(&message.label) {
        return None;
    }
    match (frame, fields) {
        (Said::Output { .. } | Said::Response { .. } | Said::Refusal { .. }, []) => Some(None),
        (Said::Output { stream, .. }, [Value::Nat(of)]) => (stream == of).then_some(None),
        (Said::Output { stream, data }, [Value::Nat(of), Value::Bytes(piece)]) => {
            let rest = data.strip_prefix(&piece[..]).filter(|_| stream == of)?;
            Some((!rest.is_empty()).then(|| Said::Output {
                stream: *stream,
                data: rest.to_vec(),
            }))
        }
        (Said::Response { exit_code }, [Value::Int(code)]) => (exit_code == code).then_some(None),
        (Said::Refusal { message }, [Value::Text(_), Value::Text(text)]) => {
            (message[..] == text[..]).then_some(None)
        }
        _ => None,
    }
}

fn label(said: &Said) -> Option<&'static str> {
    match said {
        Said::Output { .. } => Some("exec_output"),
        Said::Response { .. } => Some("exec_response"),
        Said::Refusal { .. } => Some("error"),
        Said::Size { .. } | Said::Failure => None,
    }
}

#[derive(Debug, Default)]
struct Tally {
    compiled: usize,
    opened: usize,
    refused: usize,
    speaking: usize,
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
    let mut speaks = false;
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
        speaks |= !ran.messages.is_empty();
    }
    tally.opened += 1;
    tally.speaking += usize::from(speaks);
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
    assert!(tally.speaking >= 100, "{tally:?}");
}
