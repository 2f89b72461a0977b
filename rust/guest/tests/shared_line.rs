//! A host on the port of a virtual machine, where others were before it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_guest::link::{GuestLink, LinkError};
use antiphon_guest::transport::Transport;
use antiphon_wire::{AgentLink, AgentOffer, Deframer, Envelope, Features, HostOffer, Message};
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

/// The next `hello` on a line, and the answer to it.
fn answer(line: &mut UnixStream) -> Vec<u8> {
    let mut frames = Deframer::default();
    let mut buf = [0; 256];
    loop {
        if let Some(envelope) = frames.next().expect("the host writes good frames") {
            assert!(matches!(envelope.message, Message::Hello(_)));
            let offer = AgentOffer::new(Features::all(), "linux".to_owned(), "1".to_owned());
            let mut answer = Vec::new();
            let ready = AgentLink::new(offer).receive(envelope, &mut answer);
            assert!(ready.is_ok(), "{ready:?}");
            return answer;
        }
        let len = line.read(&mut buf).expect("the host is there");
        frames.push(&buf[..len]);
    }
}

#[test]
fn a_hello_that_was_swallowed_is_said_again() {
    let (link, elapsed) = greet(
        |mut line| {
            let _swallowed = answer(&mut line);
            let second = answer(&mut line);
            line.write_all(&second).expect("the host reads");
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
            let ping = Envelope::new(7, Message::Ping(antiphon_wire::Empty {}));
            let stale = ping.to_frame().expect("a frame");
            line.write_all(&stale[5..]).expect("the host reads");
            line.write_all(&stale).expect("the host reads");
            let answer = answer(&mut line);
            line.write_all(&answer).expect("the host reads");
        },
        PATIENCE,
    );
    assert_eq!(link.expect("it was answered").hello().guest_os, "linux");
}

#[test]
fn a_line_with_nobody_on_it_is_told_as_silent() {
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
