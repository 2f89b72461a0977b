//! A host on the port of a virtual machine that other hosts have used before.

use crate::common;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_guest::driver::{Driver, Guests};
use antiphon_guest::link::{GuestLink, LinkError};
use antiphon_guest::transport::Transport;
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{NoModules, compile_source};
use antiphon_machine::{EffectRequest, End, FromFn, NoSink, Outcome, Phase, Reply, Rest};
use antiphon_wire::{
    AgentLink, AgentOffer, Deframer, Empty, Envelope, Features, HostOffer, Message,
};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Serves one host on a socket with a script. Returns the link and how long opening it took.
fn greet<S>(script: S, patience: Duration) -> (Result<GuestLink, LinkError>, Duration)
where
    S: FnOnce(UnixStream) + Send + 'static,
{
    let place = TempDir::new().expect("there is room");
    let path = place.path().join("port");
    let listener = UnixListener::bind(&path).expect("the path is free");
    let guest: JoinHandle<()> = thread::spawn(move || {
        let (line, _) = listener.accept().expect("the host comes");
        script(line);
    });
    let transport = Transport::serial(&path).expect("the socket is there");
    let started = Instant::now();
    let link = GuestLink::open(transport, HostOffer::default(), patience);
    let elapsed = started.elapsed();
    guest.join().expect("the script ends well");
    (link, elapsed)
}

/// The next message on a line.
fn next_message(line: &mut UnixStream) -> Envelope {
    let mut frames = Deframer::default();
    let mut byte = [0];
    loop {
        if let Some(envelope) = frames.next().expect("the host writes good frames") {
            return envelope;
        }
        // Byte by byte, so that the following message stays on the line.
        line.read_exact(&mut byte).expect("the host is there");
        frames.push(&byte);
    }
}

/// Reads the next `hello` on a line and answers it as an agent of this system.
fn answer_of(line: &mut UnixStream, system: &str) -> Vec<u8> {
    let envelope = next_message(line);
    assert!(
        matches!(envelope.message, Message::Hello(_)),
        "{envelope:?}"
    );
    let offer = AgentOffer::new(Features::all(), system.to_owned(), "1".to_owned());
    let mut answer = Vec::new();
    let ready = AgentLink::new(offer).receive(envelope, &mut answer);
    assert!(ready.is_ok(), "{ready:?}");
    answer
}

fn answer(line: &mut UnixStream) -> Vec<u8> {
    answer_of(line, "linux")
}

/// Answers the ping that ends a handshake.
fn answer_ping(line: &mut UnixStream) {
    let envelope = next_message(line);
    assert!(matches!(envelope.message, Message::Ping(_)), "{envelope:?}");
    let pong = Envelope::new(envelope.id, Message::Pong(Empty {}));
    let pong = pong.to_frame().expect("a frame");
    line.write_all(&pong).expect("the host reads");
}

#[test]
fn repeats_a_hello_that_was_lost() {
    let (link, elapsed) = greet(
        |mut line| {
            let _swallowed = answer(&mut line);
            let second = answer(&mut line);
            line.write_all(&second).expect("the host reads");
            answer_ping(&mut line);
        },
        TIMEOUT,
    );
    assert_eq!(link.expect("it was answered").hello().guest_os, "linux");
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
}

#[test]
fn skips_messages_for_another_host() {
    let (link, _) = greet(
        |mut line| {
            let ping = Envelope::new(7, Message::Ping(Empty {}));
            let stale = ping.to_frame().expect("a frame");
            line.write_all(&stale[5..]).expect("the host reads");
            line.write_all(&stale).expect("the host reads");
            let answer = answer(&mut line);
            line.write_all(&answer).expect("the host reads");
            answer_ping(&mut line);
        },
        TIMEOUT,
    );
    assert_eq!(link.expect("it was answered").hello().guest_os, "linux");
}

/// Messages of earlier hosts are answered when the agent, or another one, returns.
#[test]
fn ignores_answers_to_earlier_hosts() {
    let (link, _) = greet(
        |mut line| {
            let hello = next_message(&mut line).to_frame().expect("a frame");
            let (mut other, mut agent) = UnixStream::pair().expect("a pair");
            let mut answered = |system: &str| {
                other.write_all(&hello).expect("there is room");
                answer_of(&mut agent, system)
            };
            // Answers of an agent that was replaced; the last one is cut off.
            let stale = answered("an old agent");
            let pong = Envelope::new(1, Message::Pong(Empty {}));
            line.write_all(&stale).expect("the host reads");
            line.write_all(&pong.to_frame().expect("a frame"))
                .expect("the host reads");
            line.write_all(&stale[..stale.len() / 2])
                .expect("the host reads");
            let own = answered("the new agent");
            line.write_all(&stale).expect("the host reads");
            line.write_all(&own).expect("the host reads");
            answer_ping(&mut line);
        },
        TIMEOUT,
    );
    assert_eq!(
        link.expect("it was answered").hello().guest_os,
        "the new agent"
    );
}

/// Only an answer to an earlier host's `hello` arrives.
#[test]
fn a_stale_answer_alone_is_not_a_handshake() {
    let (link, _) = greet(
        |mut line| {
            let stale = answer(&mut line);
            line.write_all(&stale).expect("the host reads");
            let mut sink = Vec::new();
            let _ = line.read_to_end(&mut sink);
        },
        Duration::from_secs(3),
    );
    assert!(matches!(link, Err(LinkError::Silent(_))), "{link:?}");
}

/// Answers to earlier hosts arrive without end.
#[test]
fn a_flood_of_answers_does_not_extend_the_handshake() {
    let (link, elapsed) = greet(
        |mut line| {
            let stale = answer(&mut line);
            while line.write_all(&stale).is_ok() {}
        },
        Duration::from_secs(2),
    );
    assert!(matches!(link, Err(LinkError::Silent(_))), "{link:?}");
    assert!(elapsed < TIMEOUT, "{elapsed:?}");
}

#[test]
fn reports_a_silent_line() {
    let (link, elapsed) = greet(
        |mut line| {
            let mut sink = Vec::new();
            let _ = line.read_to_end(&mut sink);
        },
        Duration::from_secs(2),
    );
    assert!(matches!(link, Err(LinkError::Silent(_))), "{link:?}");
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
}

/// A serial line: two terminals, and threads that carry bytes between them.
struct Wire {
    agent: String,
    host: String,
}

impl Wire {
    fn new() -> Wire {
        let (agent, host) = (terminal(), terminal());
        let names = [&agent, &host].map(|master| {
            let name = rustix::pty::ptsname(master, Vec::new()).expect("it has a name");
            name.into_string().expect("plain")
        });
        let files = || (agent.try_clone(), host.try_clone());
        let (Ok(agent), Ok(host)) = files() else {
            panic!("no descriptors")
        };
        carry(agent, host);
        let (Ok(agent), Ok(host)) = files() else {
            panic!("no descriptors")
        };
        carry(host, agent);
        let [agent, host] = names;
        Wire { agent, host }
    }

    fn agent(&self) -> std::process::Child {
        common::agent_command(&["--serial", &self.agent])
            .spawn()
            .expect("the agent starts")
    }

    fn open(&self, patience: Duration) -> Result<GuestLink, LinkError> {
        let transport = Transport::serial(Path::new(&self.host)).expect("it is a terminal");
        GuestLink::open(transport, HostOffer::default(), patience)
    }
}

/// The master of a new terminal, which changes no bytes.
fn terminal() -> OwnedFd {
    use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is ours");
    let mut attributes = rustix::termios::tcgetattr(&master).expect("a terminal");
    attributes.make_raw();
    let now = rustix::termios::OptionalActions::Now;
    rustix::termios::tcsetattr(&master, now, &attributes).expect("a terminal");
    master
}

fn carry(from: OwnedFd, to: OwnedFd) {
    thread::spawn(move || {
        let (mut from, mut to) = (File::from(from), File::from(to));
        let mut buf = [0; 4096];
        loop {
            match from.read(&mut buf) {
                Ok(len) => to.write_all(&buf[..len]).expect("the line takes it"),
                // No process has the other side open.
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    });
}

/// Runs a session that pings the guest.
fn ping(link: GuestLink) -> Phase {
    let text = "effect Link version 1 { op ping() -> Unit within 5s; }
        global protocol P(role A, role B) uses Link at A {
            at A { Link.ping(); } over() from A to B;
        }";
    let source = Source::new("ping.anti", text);
    let built = compile_source(source, &NoModules, &Limits::default());
    let built = built.unwrap_or_else(|report| panic!("{report}"));
    let image = built.protocols[0].1.image.clone().verify();
    let image = Arc::new(image.expect("a good image"));
    let application = FromFn(|_: &EffectRequest<'_>| Reply::Now(Outcome::done()));
    let mut driver = Driver::new(Default::default(), application, NoSink);
    let guest = driver.add_guest(link);
    let guests = Guests::new().interfaces(guest, ["Link"]);
    let session = driver.open(&image, "test", &guests).expect("it opens");
    assert_eq!(driver.run_for(TIMEOUT), Rest::Done);
    let session = driver.kernel().session(session).expect("it was opened");
    let phase = session.phase();
    driver.close();
    phase
}

/// Hosts wrote to the line while no agent was there, and a new agent answers all messages.
#[test]
fn serves_a_host_after_hosts_without_an_agent() {
    let wire = Wire::new();
    let mut agent = wire.agent();
    wire.open(TIMEOUT).expect("it is served").close();
    agent.kill().expect("it is ours");
    agent.wait().expect("it is ours");
    let unserved = wire.open(Duration::from_secs(5));
    assert!(
        matches!(unserved, Err(LinkError::Silent(_))),
        "{unserved:?}"
    );
    drop(unserved);

    let mut agent = wire.agent();
    for _ in 0..3 {
        let link = wire.open(TIMEOUT).expect("it is served");
        // The link still works after all stale messages have arrived.
        thread::sleep(Duration::from_millis(200));
        assert_eq!(ping(link), Phase::Terminal(End::Closed));
    }
    agent.kill().expect("it is ours");
    agent.wait().expect("it is ours");
}
