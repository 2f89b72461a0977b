//! Waits of the link and of the agent for a peer that never answers: each wait has its own bound.
//! `docs/guest.md` lists all waits.

use crate::common;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::common::{TIMEOUT, in_process, sh};
use antiphon_guest::agent::AgentOptions;
use antiphon_guest::link::GuestLink;
use antiphon_guest::transport::{AGENT_GRACE, Transport};
use antiphon_wire::{
    AgentLink, AgentOffer, Deframer, Empty, Envelope, Features, Message, Signal, Signo, Terminal,
};

/// A guest that completes the handshake and then sends pings until a write fails or `stop` is set.
/// It does not read.
fn flooding_guest(mut stream: UnixStream, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut frames = Deframer::default();
        let mut byte = [0];
        let hello = loop {
            if let Some(envelope) = frames.next().expect("a good frame") {
                break envelope;
            }
            stream.read_exact(&mut byte).expect("the host is there");
            frames.push(&byte);
        };
        let offer = AgentOffer::new(Features::all(), "linux".to_owned(), "1".to_owned());
        let mut answer = Vec::new();
        let ready = AgentLink::new(offer).receive(hello, &mut answer);
        assert!(ready.is_ok(), "{ready:?}");
        stream.write_all(&answer).expect("the host reads");
        for id in 1.. {
            let ping = Envelope::new(id, Message::Ping(Empty {}));
            let ping = ping.to_frame().expect("a frame");
            if stop.load(Ordering::Relaxed) || stream.write_all(&ping).is_err() {
                return;
            }
        }
    })
}

fn flooded() -> (GuestLink, Arc<AtomicBool>, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let stop = Arc::new(AtomicBool::new(false));
    let guest = flooding_guest(theirs, stop.clone());
    let transport = Transport::stream(ours).expect("a transport");
    let link = GuestLink::open(transport, Default::default(), TIMEOUT);
    (link.expect("it is answered"), stop, guest)
}

/// The reader thread has filled its queue to the driver, and the driver never takes anything from
/// it.
#[test]
fn a_link_closes_while_its_driver_takes_nothing() {
    let (link, _stop, guest) = flooded();
    thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    link.close();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    guest.join().expect("its write fails");
}

/// The writer thread has more to write than the line holds, and the guest never reads.
#[test]
fn a_link_closes_while_its_guest_reads_nothing() {
    let (mut link, stop, guest) = flooded();
    // Pings are answered up to the bound of the outbox.
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        assert_eq!(link.poll(Duration::from_millis(10)), None);
    }
    assert!(link.buffered_len() > 100_000, "{}", link.buffered_len());
    stop.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    link.close();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    guest.join().expect("it ends");
}

#[test]
fn an_agent_that_does_not_end_with_its_link_is_killed() {
    let script = format!(
        "'{}' --stdio; exec sleep 67",
        env!("CARGO_BIN_EXE_antiphon-agent")
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let transport = Transport::spawn(command).expect("sh starts");
    let link = GuestLink::open(transport, Default::default(), TIMEOUT).expect("it is answered");
    let begun = Instant::now();
    link.close();
    let taken = begun.elapsed();
    assert!((AGENT_GRACE..AGENT_GRACE * 2).contains(&taken), "{taken:?}");
}

/// The host sends more messages than the queue of a command's thread holds. The reader continues.
#[test]
fn a_flood_of_messages_to_one_command_does_not_block_the_link() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let script = "trap '' USR1; echo up; exec sleep 68";
    let id = client.request(Message::ExecRequest(sh(script)));
    while client.stash[&id].stdout.is_empty() {
        client.pump();
    }
    let signo = Signo::new(10).expect("the number of a signal");
    for _ in 0..20_000 {
        client.send(id, Message::Signal(Signal { signo }));
    }
    assert_eq!(client.call(Message::Ping(Empty {})), Terminal::Pong);
    client.send(id, Message::Cancel(Empty {}));
    assert_eq!(client.wait(id).exit(), (137, Some(9), false));
}

/// A socket whose owner accepts no connection and whose queue is full.
#[test]
fn connecting_to_a_full_queue_times_out() {
    let place = tempfile::TempDir::new().expect("there is room");
    let path = place.path().join("full.sock");
    let address = rustix::net::SocketAddrUnix::new(&path).expect("a path");
    let kind = rustix::net::SocketType::STREAM;
    let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, kind, None);
    let socket = socket.expect("a socket");
    rustix::net::bind(&socket, &address).expect("the path is free");
    rustix::net::listen(&socket, 0).expect("it listens");
    let _queued = UnixStream::connect(&path).expect("there is one place");
    let begun = Instant::now();
    let error = Transport::unix(&path).expect_err("there is no other");
    assert!(
        error.to_string().contains("queue of connections"),
        "{error}"
    );
    let taken = begun.elapsed();
    assert!(
        (Duration::from_secs(10)..TIMEOUT).contains(&taken),
        "{taken:?}"
    );

    // An agent does not replace the socket of a busy agent.
    let mut agent = common::agent_command(&["--unix", &path.to_string_lossy()]);
    let status = agent.status().expect("it starts");
    assert_eq!(status.code(), Some(1));
    assert!(path.exists());
}

/// A stopped agent does not exit by itself.
#[test]
fn a_stopped_agent_is_killed_at_once() {
    let transport = Transport::spawn(common::agent_command(&["--stdio"])).expect("it starts");
    let link = GuestLink::open(transport, Default::default(), TIMEOUT).expect("it is answered");
    let own = std::process::id().to_string();
    let found = Command::new("pgrep")
        .args(["-P", &own, "-f", "antiphon-agent --stdio"])
        .output();
    let found = String::from_utf8(found.expect("pgrep starts").stdout).expect("numbers");
    for pid in found.lines() {
        let status = Command::new("kill").args(["-STOP", pid]).status();
        assert!(status.expect("kill starts").success());
    }
    let begun = Instant::now();
    link.close();
    assert!(begun.elapsed() < AGENT_GRACE, "{:?}", begun.elapsed());
}
