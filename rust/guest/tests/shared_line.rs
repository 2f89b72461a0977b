//! A host on the port of a virtual machine, where others were before it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_guest::link::{GuestLink, LinkError};
use antiphon_guest::transport::Transport;
use antiphon_wire::{
    AgentLink, AgentOffer, Deframer, Empty, Envelope, Features, HostOffer, Message,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// Serves one host on a socket with a script; the link that came of it, and how long that took.
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
fn heard(line: &mut UnixStream) -> Envelope {
    let mut frames = Deframer::default();
    let mut byte = [0];
    loop {
        if let Some(envelope) = frames.next().expect("the host writes good frames") {
            return envelope;
        }
        // Byte by byte, so that the message behind it stays on the line.
        line.read_exact(&mut byte).expect("the host is there");
        frames.push(&byte);
    }
}

/// The next `hello` on a line, and the answer to it by an agent of that system.
fn answer_of(line: &mut UnixStream, system: &str) -> Vec<u8> {
    let envelope = heard(line);
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
    let envelope = heard(line);
    assert!(matches!(envelope.message, Message::Ping(_)), "{envelope:?}");
    let pong = Envelope::new(envelope.id, Message::Pong(Empty {}));
    let pong = pong.to_frame().expect("a frame");
    line.write_all(&pong).expect("the host reads");
}

#[test]
fn a_hello_that_was_swallowed_is_said_again() {
    let (link, elapsed) = greet(
        |mut line| {
            let _swallowed = answer(&mut line);
            let second = answer(&mut line);
            line.write_all(&second).expect("the host reads");
            answer_ping(&mut line);
        },
        PATIENCE,
    );
    assert_eq!(link.expect("it was answered").hello().guest_os, "linux");
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
}

#[test]
fn what_was_meant_for_another_host_is_passed_over() {
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
        PATIENCE,
    );
    assert_eq!(link.expect("it was answered").hello().guest_os, "linux");
}

/// What earlier hosts asked of an agent that was away is answered when it, or another one, is back.
#[test]
fn answers_to_earlier_hosts_are_not_taken_for_its_own() {
    let (link, _) = greet(
        |mut line| {
            let hello = heard(&mut line).to_frame().expect("a frame");
            let (mut other, mut agent) = UnixStream::pair().expect("a pair");
            let mut answered = |system: &str| {
                other.write_all(&hello).expect("there is room");
                answer_of(&mut agent, system)
            };
            // Of an agent that was replaced, and the last one cut where it died.
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
        PATIENCE,
    );
    assert_eq!(
        link.expect("it was answered").hello().guest_os,
        "the new agent"
    );
}

/// The answer to the host's own `hello` may not come; an earlier one is no reason to go on.
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

#[test]
fn a_silent_line_is_reported_as_silent() {
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
