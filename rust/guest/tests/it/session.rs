//! Whole sessions: protocol text, machine, driver, link, agent, processes.

use crate::common;
use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_guest::agent::{AgentOptions, serve_stream};
use antiphon_guest::driver::{Driver, Guests, OpenError, Remote};
use antiphon_guest::link::GuestLink;
use antiphon_guest::protocols::{GUEST_EXEC, GUEST_FILES};
use antiphon_guest::transport::Transport;
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{NoModules, compile_source};
use antiphon_machine::{
    Class, EffectHandler, EffectId, EffectRequest, End, Event, FromFn, Ingress, NoSink,
    Observation, Outcome, Phase, Reply, Rest, SessionId, Sink, Value, VerifiedImage,
};

fn image(text: &str, name: &str) -> Arc<VerifiedImage> {
    let built = compile_source(
        Source::new("text.anti", text),
        &NoModules,
        &Limits::default(),
    );
    let built = built.unwrap_or_else(|report| panic!("{report}"));
    let found = built
        .protocols
        .into_iter()
        .find(|(_, compiled)| compiled.image.name == name);
    Arc::new(
        found
            .expect("it is there")
            .1
            .image
            .verify()
            .expect("it verifies"),
    )
}

fn exec_image() -> Arc<VerifiedImage> {
    image(GUEST_EXEC, "Exec")
}

/// A link to an agent in a thread of this process, and the stream that a test can cut.
fn link() -> (GuestLink, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    thread::spawn(move || serve_stream(theirs, &AgentOptions::default()));
    let knife = ours.try_clone().expect("a descriptor");
    let transport = Transport::stream(ours).expect("a transport");
    (
        GuestLink::open(transport, Default::default(), common::TIMEOUT).expect("a link"),
        knife,
    )
}

/// A link to an agent process.
fn child_link() -> GuestLink {
    let transport = Transport::spawn(common::agent_command(&["--stdio"])).expect("it starts");
    GuestLink::open(transport, Default::default(), common::TIMEOUT).expect("a link")
}

fn spec(argv: &[&str], stdin: bool, deadline_ms: Option<u64>) -> Value {
    let list = |items: &[&str]| Value::list(items.iter().map(|s| Value::text(s)).collect());
    Value::record(vec![
        Value::text(argv[0]),
        list(argv),
        list(&[]),
        Value::option(None),
        Value::Bool(stdin),
        Value::option(deadline_ms.map(Value::Nat)),
    ])
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Feed {
    Data(Vec<u8>),
    Signal(i64),
    Cancel,
    Eof,
}

#[derive(Debug, Default)]
struct Seen {
    output: [Vec<u8>; 2],
    status: Option<Value>,
    error: Option<(String, String)>,
}

/// The application's side of one `Exec`.
struct App {
    spec: Value,
    feed: VecDeque<Feed>,
    seen: Arc<Mutex<Seen>>,
    /// The feeder's outstanding effect, and its outcome after the command has ended.
    waiting: Option<(EffectId, Outcome)>,
    over: bool,
    remote: Option<Remote>,
}

impl App {
    fn new(spec: Value, feed: impl IntoIterator<Item = Feed>) -> (App, Arc<Mutex<Seen>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let feed = feed.into_iter().collect();
        let app = App {
            spec,
            feed,
            seen: seen.clone(),
            waiting: None,
            over: false,
            remote: None,
        };
        (app, seen)
    }

    fn choose(&mut self, request: &EffectRequest<'_>) -> Reply {
        let label = match self.feed.front() {
            _ if self.over => "detach",
            Some(Feed::Data(_)) => "stdin_data",
            Some(Feed::Signal(_)) => "signal",
            Some(Feed::Cancel) => "cancel",
            Some(Feed::Eof) => "stdin_eof",
            None => {
                let detach = request.choose("detach").expect("it may always detach");
                self.waiting = Some((request.effect(), detach));
                return Reply::Later;
            }
        };
        if matches!(self.feed.front(), Some(Feed::Cancel | Feed::Eof)) {
            self.feed.pop_front();
        }
        Reply::Now(request.choose(label).expect("it is among the labels"))
    }

    fn deliver(&mut self, label: &str, value: Option<&Value>) {
        let mut seen = self.seen.lock().expect("no panic");
        match (label, value) {
            ("exec_output", Some(Value::Record(fields))) => {
                let (Value::Nat(stream), Value::Bytes(data)) = (&fields[0], &fields[1]) else {
                    panic!("{fields:?}")
                };
                seen.output[*stream as usize].extend_from_slice(data);
            }
            ("exec_response", Some(status)) => seen.status = Some(status.clone()),
            ("error", Some(Value::Record(fields))) => {
                let (Value::Text(code), Value::Text(message)) = (&fields[0], &fields[1]) else {
                    panic!("{fields:?}")
                };
                seen.error = Some((code.to_string(), message.to_string()));
            }
            other => panic!("{other:?}"),
        }
        if label != "exec_output" {
            self.over = true;
            if let (Some((effect, outcome)), Some(remote)) = (self.waiting.take(), &self.remote) {
                remote
                    .try_send(Ingress::Outcome { effect, outcome })
                    .expect("the driver listens");
            }
        }
    }
}

impl EffectHandler for App {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        let name = |label| request.image().label_name(label);
        match *request.class() {
            Class::Decide { .. } => self.choose(request),
            Class::Produce { label, .. } => Reply::Now(Outcome::Success(match name(label) {
                "exec_request" => self.spec.clone(),
                _ => match self.feed.pop_front() {
                    Some(Feed::Data(data)) => Value::bytes(&data),
                    Some(Feed::Signal(signo)) => Value::record(vec![Value::Int(signo)]),
                    other => panic!("{other:?}"),
                },
            })),
            Class::Deliver { label, .. } => {
                self.deliver(name(label), request.arg(0));
                Reply::Now(Outcome::done())
            }
            Class::Command | Class::Observe | Class::Check => panic!("there is no interface"),
        }
    }
}

/// Keeps the faults.
#[derive(Default)]
struct Faults(Vec<String>);

impl Sink for Faults {
    fn observe(&mut self, observation: Observation<'_>) {
        if let Observation::Event { event, .. } = observation
            && let Event::Faulted { .. } = event
        {
            self.0.push(format!("{event:?}"));
        }
    }
}

struct Run {
    driver: Driver<App, Faults>,
    session: SessionId,
    seen: Arc<Mutex<Seen>>,
}

impl Run {
    fn start(link: GuestLink, spec: Value, feed: impl IntoIterator<Item = Feed>) -> Run {
        let (app, seen) = App::new(spec, feed);
        let mut driver = Driver::new(Default::default(), app, Faults::default());
        driver.application().remote = Some(driver.remote());
        let guest = driver.add_guest(link);
        let guests = Guests::new().roles(guest, ["Agent", "Sink"]);
        let session = driver
            .open(&exec_image(), "test", &guests)
            .expect("it opens");
        Run {
            driver,
            session,
            seen,
        }
    }

    fn end(&mut self) -> Phase {
        assert_eq!(self.driver.run_for(common::TIMEOUT), Rest::Done);
        self.driver
            .kernel()
            .session(self.session)
            .expect("it was opened")
            .phase()
    }

    fn exit(&self) -> (i64, Option<i64>, bool) {
        let seen = self.seen.lock().expect("no panic");
        let Some(Value::Record(status)) = &seen.status else {
            panic!("no status: {seen:?}")
        };
        let Value::Int(code) = status[0] else {
            panic!("{status:?}")
        };
        let signal = match &status[1] {
            Value::List(items) => items.first().map(|item| match item {
                Value::Int(n) => *n,
                other => panic!("{other:?}"),
            }),
            other => panic!("{other:?}"),
        };
        (code, signal, status[2] == Value::Bool(true))
    }

    fn output(&self) -> [Vec<u8>; 2] {
        self.seen.lock().expect("no panic").output.clone()
    }
}

const CLOSED: Phase = Phase::Terminal(End::Closed);

#[test]
fn a_command_runs_under_its_protocol() {
    let mut run = Run::start(
        link().0,
        spec(&["sh", "-c", "echo out; echo err >&2; exit 3"], false, None),
        [],
    );
    assert_eq!(run.end(), CLOSED);
    assert_eq!(run.exit(), (3, None, false));
    assert_eq!(run.output(), [b"out\n".to_vec(), b"err\n".to_vec()]);
}

#[test]
fn an_agent_process_serves_and_ends_with_the_link() {
    let mut run = Run::start(child_link(), spec(&["uname", "-s"], false, None), []);
    assert_eq!(run.end(), CLOSED);
    assert_eq!(run.output()[0], b"Linux\n");
    let started = Instant::now();
    run.driver.close();
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn input_and_output_stream_at_the_same_time() {
    let data: Vec<u8> = (0..4u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let feed = data
        .chunks(30_000)
        .map(|chunk| Feed::Data(chunk.to_vec()))
        .chain([Feed::Eof]);
    let mut run = Run::start(link().0, spec(&["cat"], true, None), feed);
    assert_eq!(run.end(), CLOSED);
    assert_eq!(run.exit(), (0, None, false));
    assert!(run.output()[0] == data);
}

#[test]
fn input_to_a_command_that_has_ended_is_dropped() {
    let feed = (0..100).map(|_| Feed::Data(vec![7; 30_000]));
    let mut run = Run::start(link().0, spec(&["head", "-c", "3"], true, None), feed);
    assert_eq!(run.end(), CLOSED);
    assert_eq!(run.output()[0], [7, 7, 7]);
}

#[test]
fn signals_cancel_and_deadline_reach_the_command() {
    let script = "trap 'exit 9' INT; echo up; while :; do sleep 0.05; done";
    let mut run = Run::start(link().0, spec(&["sh", "-c", script], false, None), []);
    while run.output()[0].is_empty() {
        assert_eq!(run.driver.run_for(Duration::from_millis(20)), Rest::Idle);
    }
    // The feeder's effect is outstanding. The answer comes from outside, as an interrupt of a
    // terminal would.
    let app = run.driver.application();
    app.feed.push_back(Feed::Signal(2));
    let (effect, _) = app.waiting.take().expect("the feeder waits");
    let label = exec_image()
        .image()
        .labels
        .iter()
        .position(|l| l == "signal")
        .expect("a label");
    let outcome = Outcome::success(label as u64);
    run.driver
        .remote()
        .send(Ingress::Outcome { effect, outcome })
        .expect("it listens");
    assert_eq!(run.end(), CLOSED);
    assert_eq!(run.exit(), (9, None, false));

    let mut run = Run::start(
        link().0,
        spec(&["sleep", "60"], false, None),
        [Feed::Cancel],
    );
    assert_eq!(run.end(), CLOSED);
    assert_eq!(run.exit(), (137, Some(9), false));

    let mut run = Run::start(link().0, spec(&["sleep", "60"], false, Some(100)), []);
    assert_eq!(run.end(), CLOSED);
    assert_eq!(run.exit(), (137, Some(9), true));
}

#[test]
fn a_missing_command_is_an_error_of_the_protocol() {
    let mut run = Run::start(link().0, spec(&["/no/such/program"], false, None), []);
    assert_eq!(run.end(), CLOSED);
    let error = run
        .seen
        .lock()
        .expect("no panic")
        .error
        .clone()
        .expect("an error");
    assert_eq!(error.0, "not_found");
    assert!(error.1.contains("/no/such/program"), "{error:?}");
}

#[test]
fn a_lost_agent_ends_the_session() {
    let (link, knife) = link();
    let mut run = Run::start(
        link,
        spec(&["sh", "-c", "echo up; sleep 60"], false, None),
        [],
    );
    while run.output()[0].is_empty() {
        assert_eq!(run.driver.run_for(Duration::from_millis(20)), Rest::Idle);
    }
    knife
        .shutdown(std::net::Shutdown::Both)
        .expect("it was open");
    let started = Instant::now();
    assert_eq!(run.end(), Phase::Terminal(End::Faulted));
    assert!(started.elapsed() < Duration::from_secs(2));
    let faults = &run.driver.sink().0;
    assert!(
        faults.len() == 1 && faults[0].contains("Lost"),
        "{faults:?}"
    );
}

#[test]
fn a_cancelled_session_kills_its_command() {
    let mut run = Run::start(
        link().0,
        spec(&["sh", "-c", "echo $$; exec sleep 60"], false, None),
        [],
    );
    while run.output()[0].is_empty() {
        assert_eq!(run.driver.run_for(Duration::from_millis(20)), Rest::Idle);
    }
    let pid = common::pid_in(&run.output()[0]);
    let cancel = Ingress::Cancel {
        session: run.session,
        owner: "test".into(),
    };
    run.driver.remote().send(cancel).expect("it listens");
    assert_eq!(run.end(), Phase::Terminal(End::Cancelled));
    common::gone(pid);
}

#[test]
fn several_sessions_share_one_link() {
    let (mut driver, image) = (
        Driver::new(Default::default(), FromFn(many), NoSink),
        image(
            &GUEST_EXEC.replace(
                "stdin_data(Bytes) from Feeder to Sink;\n      continue Input;\n    } or {",
                "",
            ),
            "Exec",
        ),
    );
    let guest = driver.add_guest(link().0);
    let guests = Guests::new().roles(guest, ["Agent", "Sink"]);
    let sessions: Vec<SessionId> = (0..20)
        .map(|n| {
            driver
                .open(&image, &format!("owner {n}"), &guests)
                .expect("it opens")
        })
        .collect();
    assert_eq!(driver.run_for(common::TIMEOUT), Rest::Done);
    for session in sessions {
        assert_eq!(
            driver.kernel().session(session).expect("opened").phase(),
            CLOSED
        );
    }
}

/// An application that runs `seq` up to the session's number and ignores the output.
fn many(request: &EffectRequest<'_>) -> Reply {
    Reply::Now(match request.class() {
        Class::Decide { .. } => request.choose("detach").expect("it may always detach"),
        Class::Produce { .. } => {
            let n = request.effect().session.0.to_string();
            Outcome::Success(spec(&["seq", &n], false, None))
        }
        _ => Outcome::done(),
    })
}

#[test]
fn refuses_to_bind_unknown_names() {
    let mut driver = Driver::new(Default::default(), FromFn(many), NoSink);
    let guest = driver.add_guest(link().0);
    let error = driver.open(&exec_image(), "me", &Guests::new().roles(guest, ["Angel"]));
    assert!(matches!(error, Err(OpenError::NoRole { .. })), "{error:?}");
    let error = driver.open(
        &exec_image(),
        "me",
        &Guests::new().interfaces(guest, ["Files"]),
    );
    assert!(
        matches!(error, Err(OpenError::NoInterface { .. })),
        "{error:?}"
    );
}

/// Copies a file in or out with the shipped protocol.
struct Copier {
    path: String,
    mode: u64,
    handle: u64,
    data: Vec<u8>,
    at: usize,
    eof: bool,
}

impl EffectHandler for Copier {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        let name = |label| request.image().label_name(label);
        let nat = Value::Nat;
        Reply::Now(match *request.class() {
            Class::Decide { .. } => {
                let copying_in = request.choose("chunk").is_some();
                let more = if copying_in {
                    self.at < self.data.len()
                } else {
                    !self.eof
                };
                let label = match (more, copying_in) {
                    (true, true) => "chunk",
                    (true, false) => "more",
                    (false, _) => "finish",
                };
                request.choose(label).expect("it is among the labels")
            }
            Class::Produce { label, .. } => Outcome::Success(match name(label) {
                "begin" => {
                    let path = Value::text(&self.path);
                    Value::record(vec![path, nat(self.mode), Value::option(None)])
                }
                "look" => Value::text(&self.path),
                "chunk" => {
                    let end = (self.at + 30_000).min(self.data.len());
                    let data = Value::bytes(&self.data[self.at..end]);
                    let offset = Value::option(Some(nat(self.at as u64)));
                    self.at = end;
                    Value::record(vec![nat(self.handle), data, offset])
                }
                "more" => {
                    let offset = Value::option(Some(nat(self.data.len() as u64)));
                    Value::record(vec![nat(self.handle), nat(30_000), offset])
                }
                other => panic!("{other}"),
            }),
            Class::Deliver { label, .. } => {
                match (name(label), request.arg(0)) {
                    ("opened", Some(Value::Nat(handle))) => self.handle = *handle,
                    ("chunk", Some(Value::Record(fields))) if request.role_name() == "Local" => {
                        let Value::Bytes(data) = &fields[1] else {
                            panic!("{fields:?}")
                        };
                        self.data.extend_from_slice(data);
                        self.eof = fields[0] == Value::Bool(true);
                    }
                    ("found", Some(Value::Record(fields))) => {
                        let Value::Nat(size) = fields[2] else {
                            panic!("{fields:?}")
                        };
                        self.handle = size;
                    }
                    _ => {}
                }
                Outcome::done()
            }
            Class::Command | Class::Observe | Class::Check => panic!("that is the guest's"),
        })
    }
}

fn copy(protocol: &str, copier: Copier) -> (Copier, Phase) {
    let mut driver = Driver::new(Default::default(), copier, NoSink);
    let guest = driver.add_guest(link().0);
    let guests = Guests::new().interfaces(guest, ["Files"]);
    let session = driver
        .open(&image(GUEST_FILES, protocol), "me", &guests)
        .expect("it opens");
    assert_eq!(driver.run_for(common::TIMEOUT), Rest::Done);
    let phase = driver
        .kernel()
        .session(session)
        .expect("it was opened")
        .phase();
    (driver.close().0, phase)
}

#[test]
fn copies_a_file_in_and_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("copy").to_string_lossy().into_owned();
    let data: Vec<u8> = (0..1_000_003u32).map(|i| (i % 241) as u8).collect();
    let to = Copier {
        path: path.clone(),
        mode: 2 | 4 | 8,
        handle: 0,
        data: data.clone(),
        at: 0,
        eof: false,
    };
    assert_eq!(copy("CopyIn", to).1, CLOSED);
    assert!(std::fs::read(&path).expect("it was made") == data);
    let from = Copier {
        path: path.clone(),
        mode: 1,
        handle: 0,
        data: Vec::new(),
        at: 0,
        eof: false,
    };
    let (copied, phase) = copy("CopyOut", from);
    assert_eq!(phase, CLOSED);
    assert!(copied.data == data);
    let look = Copier {
        path,
        mode: 0,
        handle: 0,
        data: Vec::new(),
        at: 0,
        eof: false,
    };
    assert_eq!(copy("Look", look).0.handle, 1_000_003);
}

#[test]
fn a_missing_file_ends_the_session_with_the_guests_reason() {
    let from = Copier {
        path: "/no/such/file".into(),
        mode: 1,
        handle: 0,
        data: Vec::new(),
        at: 0,
        eof: false,
    };
    assert_eq!(copy("CopyOut", from).1, Phase::Terminal(End::Faulted));
}
