//! How commands, hosts and the agent end: by themselves, at their bounds, and when the agent is out
//! of a resource.

use std::fs;
use std::io::{Read, Write};
use std::num::{NonZeroU32, NonZeroUsize};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Client, agent_command, child, exec, gone, in_process, pid_in, sh, state};
use antiphon_guest::agent::{AgentOptions, HANDSHAKE_MAX, Place, Stop, serve};
use antiphon_wire::{
    Deframer, Empty, Envelope, ErrorCode, ErrorReply, ExecWindow, HostEvent, Message, StdinData,
    Stream, Terminal,
};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(20);

/// An agent in this process that listens on a socket.
struct Listening {
    place: TempDir,
    stop: Stop,
    serving: thread::JoinHandle<()>,
}

impl Listening {
    fn new(options: AgentOptions) -> Listening {
        let place = TempDir::new().expect("there is room");
        let socket = place.path().join("agent.sock");
        let stop = options.stop.clone();
        let there = Place::Unix(socket.clone());
        let serving = thread::spawn(move || serve(&there, &options).expect("it serves"));
        wait_for(&socket);
        Listening {
            place,
            stop,
            serving,
        }
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("agent.sock")
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).expect("the agent listens")
    }

    fn client(&self) -> Client {
        client(self.connect())
    }
}

fn client(stream: UnixStream) -> Client {
    Client::new(stream.try_clone().expect("a descriptor"), stream)
}

fn wait_for(socket: &Path) {
    let begun = Instant::now();
    while !socket.exists() {
        assert!(begun.elapsed() < TIMEOUT, "the agent does not listen");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Closes the connection of a client, which the client's thread also holds.
fn leave(client: Client, stream: &UnixStream) {
    drop(client);
    let both = std::net::Shutdown::Both;
    stream.shutdown(both).expect("it was open");
}

/// Reads all messages of the agent until it closes the connection.
fn remaining_messages(mut stream: &UnixStream) -> Vec<Envelope> {
    let mut bytes = Vec::new();
    stream
        .set_read_timeout(Some(TIMEOUT))
        .expect("it is a socket");
    // If the agent closes with unread bytes, the connection is reset.
    let _ = stream.read_to_end(&mut bytes);
    let mut deframer = Deframer::default();
    deframer.push(&bytes);
    let next = || deframer.next().expect("the agent writes good frames");
    std::iter::from_fn(next).collect()
}

fn refusal(stream: &UnixStream) -> ErrorReply {
    match remaining_messages(stream)
        .pop()
        .map(|last| (last.id, last.message))
    {
        Some((0, Message::Error(reply))) => reply,
        other => panic!("no reason was given: {other:?}"),
    }
}

fn signal(child: &Child, name: &str) {
    let mut kill = Command::new("kill");
    let status = kill.args(["-s", name, &child.id().to_string()]).status();
    assert!(status.expect("kill starts").success());
}

/// Waits until a file contains a process number.
fn pid_of(path: &Path) -> i32 {
    let begun = Instant::now();
    loop {
        let text = fs::read(path).unwrap_or_default();
        if text.ends_with(b"\n") {
            return pid_in(&text);
        }
        assert!(begun.elapsed() < TIMEOUT, "no process number came");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_command_that_exited_has_met_its_deadline() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let mut request = sh("sleep 3 & exit 7");
    request.deadline_ms = NonZeroU32::new(300);
    let id = client.request(Message::ExecRequest(request));
    assert_eq!(client.wait(id).exit(), (7, None, false));
}

#[test]
fn output_of_a_command_that_ended_in_time_waits_for_its_reader() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let mut request = sh("head -c 300000 /dev/zero; exit 3");
    request.deadline_ms = NonZeroU32::new(600);
    request.stdout_window = Some(1_000);
    let id = client.request(Message::ExecRequest(request));
    while client.stash[&id].stdout.len() < 1_000 {
        client.pump();
    }
    thread::sleep(Duration::from_millis(1_200));
    let credit = NonZeroU32::new(1_000_000).expect("not zero");
    let stream = Stream::Stdout;
    client.send(id, Message::ExecWindow(ExecWindow { credit, stream }));
    let ended = client.wait(id);
    assert_eq!(ended.exit(), (3, None, false));
    assert_eq!(ended.stdout.len(), 300_000);
}

#[test]
fn a_deadline_and_a_cancel_kill_descendants_outside_the_group() {
    // A process whose parent runs, one whose parent has exited, and one whose parent is an orphan
    // within the group.
    for script in [
        "setsid sh -c 'echo $$; exec sleep 61' & sleep 61",
        "(setsid sh -c 'echo $$; exec sleep 61' & exit); sleep 61",
        "(sh -c \"setsid sh -c 'echo \\$\\$; exec sleep 61' & sleep 61\" &); sleep 61",
    ] {
        for has_deadline in [true, false] {
            let (mut client, mut agent) = child();
            let mut request = sh(script);
            request.deadline_ms = NonZeroU32::new(400).filter(|_| has_deadline);
            let id = client.request(Message::ExecRequest(request));
            while client.stash[&id].stdout.is_empty() {
                client.pump();
            }
            if !has_deadline {
                client.send(id, Message::Cancel(Empty {}));
            }
            let ended = client.wait(id);
            assert_eq!(ended.exit(), (137, Some(9), has_deadline), "{script}");
            gone(pid_in(&ended.stdout));
            drop(client);
            assert!(agent.wait().expect("it ends").success());
        }
    }
}

/// A command that starts while another one is killed is a child of the agent, as an adopted orphan
/// is.
#[test]
fn killing_one_command_does_not_affect_one_that_starts() {
    let (mut client, mut agent) = child();
    for _ in 0..300 {
        let ended = client.request(Message::ExecRequest(exec(&["sleep", "66"])));
        client.send(ended, Message::Cancel(Empty {}));
        let begun = client.request(Message::ExecRequest(exec(&["echo", "x"])));
        assert_eq!(client.wait(ended).exit(), (137, Some(9), false));
        let other = client.wait(begun);
        assert_eq!(
            (other.exit(), &other.stdout[..]),
            ((0, None, false), &b"x\n"[..])
        );
    }
    drop(client);
    assert!(agent.wait().expect("it ends").success());
}

#[test]
fn orphans_of_a_command_are_not_killed_with_a_later_one() {
    let place = TempDir::new().expect("there is room");
    let file = place.path().join("pid");
    let (mut client, mut agent) = child();
    let script = format!(
        "setsid sh -c 'echo $$ >{}; exec sleep 62' </dev/null >/dev/null 2>&1 &",
        file.display()
    );
    let id = client.request(Message::ExecRequest(sh(&script)));
    assert_eq!(client.wait(id).exit(), (0, None, false));
    let left = pid_of(&file);
    let id = client.request(Message::ExecRequest(sh("echo; exec sleep 62")));
    while client.stash[&id].stdout.is_empty() {
        client.pump();
    }
    client.send(id, Message::Cancel(Empty {}));
    assert_eq!(client.wait(id).exit(), (137, Some(9), false));
    drop(client);
    assert!(agent.wait().expect("it ends").success());
    assert!(state(left).is_some_and(|state| state != 'Z'));
    let mut kill = Command::new("kill");
    let killed = kill.args(["-9", &left.to_string()]).status();
    assert!(killed.expect("kill starts").success());
}

#[test]
fn sigterm_ends_commands_and_removes_the_socket() {
    let place = TempDir::new().expect("there is room");
    let socket = place.path().join("agent.sock");
    let mut agent = agent_command(&["--unix", &socket.to_string_lossy()])
        .spawn()
        .expect("the agent starts");
    wait_for(&socket);
    let mut client = client(UnixStream::connect(&socket).expect("it listens"));
    let script = "trap '' TERM; setsid sleep 63 & echo $!; sleep 63 & wait";
    let id = client.request(Message::ExecRequest(sh(script)));
    while client.stash[&id].stdout.is_empty() {
        client.pump();
    }
    signal(&agent, "TERM");
    let HostEvent::Closing(reply) = client.event() else {
        panic!("no reason was given")
    };
    assert_eq!(reply.code, ErrorCode::ShuttingDown);
    assert!(agent.wait().expect("it ends").success());
    assert!(!socket.exists(), "the socket is still there");
    gone(pid_in(&client.stash[&id].stdout));
}

#[test]
fn a_host_that_does_not_read_does_not_block_the_end_of_the_agent() {
    let agent = Listening::new(AgentOptions::default());
    let mut stream = agent.connect();
    assert!(matches!(probe(&stream), Some(Message::HelloOk(_))));
    let mut request = exec(&["cat", "/dev/zero"]);
    request.stdout_window = Some(u32::MAX);
    let request = Envelope::new(1, Message::ExecRequest(request)).to_frame();
    let request = request.expect("a frame");
    stream.write_all(&request).expect("there is room");
    // Until the socket and the outbox are full.
    thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    agent.stop.stop();
    agent.serving.join().expect("it ends well");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn the_agent_on_standard_streams_outlives_the_signals_of_a_terminal() {
    let (mut client, mut agent) = child();
    for name in ["HUP", "INT", "QUIT"] {
        signal(&agent, name);
        assert_eq!(client.call(Message::Ping(Empty {})), Terminal::Pong);
    }
    // Its commands have the default actions.
    let id = client.request(Message::ExecRequest(sh("kill -HUP $$")));
    assert_eq!(client.wait(id).exit(), (129, Some(1), false));
    signal(&agent, "TERM");
    assert!(agent.wait().expect("it ends").success());
}

#[test]
fn refuses_a_host_above_the_limit() {
    let agent = Listening::new(AgentOptions {
        hosts_max: NonZeroUsize::new(2).expect("not zero"),
        ..AgentOptions::default()
    });
    let (stream, mut second) = (agent.connect(), agent.client());
    let first = client(stream.try_clone().expect("a descriptor"));
    let reply = refusal(&agent.connect());
    assert_eq!(reply.code, ErrorCode::Busy);
    assert_eq!(
        reply.message,
        "the limit of 2 hosts (`--hosts-max`) is reached"
    );
    leave(first, &stream);
    let begun = Instant::now();
    while let Some(Message::Error(_)) = probe(&agent.connect()) {
        assert!(
            begun.elapsed() < TIMEOUT,
            "the agent still counts the old host"
        );
    }
    assert_eq!(second.call(Message::Ping(Empty {})), Terminal::Pong);
    agent.stop.stop();
    agent.serving.join().expect("it ends well");
}

/// The answer to a `hello`.
fn probe(mut stream: &UnixStream) -> Option<Message> {
    let mut hello = Vec::new();
    let offer = antiphon_wire::HostOffer::default();
    antiphon_wire::HostLink::new(offer, &mut hello).expect("a good offer");
    // A refused connection may be closed already.
    let _ = stream.write_all(&hello);
    let mut deframer = Deframer::default();
    let mut byte = [0];
    loop {
        if let Some(envelope) = deframer.next().expect("a good frame") {
            return Some(envelope.message);
        }
        match stream.read(&mut byte) {
            Ok(1) => deframer.push(&byte),
            Ok(_) | Err(_) => return None,
        }
    }
}

#[test]
fn closes_a_connection_without_a_hello() {
    let agent = Listening::new(AgentOptions {
        hosts_max: NonZeroUsize::MIN,
        ..AgentOptions::default()
    });
    let begun = Instant::now();
    let mut silent = agent.connect();
    // A part of a message does not count.
    silent.write_all(&[0, 0]).expect("there is room");
    let reply = refusal(&silent);
    assert_eq!(reply.code, ErrorCode::TimedOut);
    assert_eq!(reply.message, "no `hello` came within 10 s");
    assert!(begun.elapsed() >= HANDSHAKE_MAX && begun.elapsed() < HANDSHAKE_MAX * 2);
    let begun = Instant::now();
    while let Some(Message::Error(_)) = probe(&agent.connect()) {
        assert!(
            begun.elapsed() < TIMEOUT,
            "the agent still counts the old host"
        );
    }
    agent.stop.stop();
    agent.serving.join().expect("it ends well");
}

#[test]
fn sends_the_reason_of_a_violation_before_the_end_of_the_command() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    for _ in 0..50 {
        let id = client.request(Message::ExecRequest(exec(&["sleep", "64"])));
        // Input for a command that was started without.
        let data = StdinData {
            eof: None,
            data: b"x".to_vec(),
        };
        let frame = Envelope::new(id, Message::StdinData(data)).to_frame();
        client.raw(&frame.expect("a frame"));
        let ended = client.wait(id);
        let (code, reason) = ended.error();
        assert_eq!(code, ErrorCode::InvalidRequest, "{reason}");
    }
}

/// An agent on a socket that runs under a limit of `ulimit`, as its own user.
struct Limited {
    place: TempDir,
    agent: Child,
}

impl Limited {
    fn new(limit: &str) -> Limited {
        let place = TempDir::new().expect("there is room");
        let open = fs::Permissions::from_mode(0o777);
        fs::set_permissions(place.path(), open).expect("it is ours");
        // The user may not have access to the directory of the build.
        let program = place.path().join("agent");
        // Copied by another program. If this process wrote the file, a child that another test
        // starts could inherit the descriptor, and the file could not be run.
        let built = env!("CARGO_BIN_EXE_antiphon-agent");
        let copied = Command::new("cp").arg(built).arg(&program).status();
        assert!(copied.expect("cp starts").success());
        let script = format!("ulimit {limit}; exec ./agent --unix ./agent.sock");
        // Not `sh`, whose `ulimit` may not support the limit of processes.
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(place.path());
        if rustix::process::geteuid().is_root() {
            // Its own user, because the limit of processes is per user.
            let user = 40_000 + std::process::id() % 10_000;
            command.uid(user).gid(user);
        }
        let agent = command.stdin(Stdio::null()).spawn().expect("bash starts");
        wait_for(&place.path().join("agent.sock"));
        Limited { place, agent }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.place.path().join("agent.sock")).expect("it listens")
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

/// The threads of other processes of the agent's user, which count against the limit.
fn others() -> usize {
    let user = rustix::process::geteuid();
    if user.is_root() {
        // The agent has its own user.
        return 0;
    }
    let tasks = |process: fs::DirEntry| {
        use std::os::unix::fs::MetadataExt;
        let is_own = process
            .metadata()
            .is_ok_and(|about| about.uid() == user.as_raw());
        let tasks = fs::read_dir(process.path().join("task"))
            .ok()
            .filter(|_| is_own)?;
        Some(tasks.count())
    };
    let processes = fs::read_dir("/proc").expect("Linux has it").flatten();
    processes.filter_map(tasks).sum()
}

/// The agent has three threads. A host needs two more, and a command needs two and a process.
#[test]
fn a_temporary_shortage_of_processes_ends_a_host_and_not_the_agent() {
    let mut limited = Limited::new(&format!("-u {}", others() + 8));
    let stream = limited.connect();
    let mut first = client(stream.try_clone().expect("a descriptor"));
    let id = first.request(Message::ExecRequest(sh("echo; exec sleep 65")));
    while first.stash[&id].stdout.is_empty() {
        first.pump();
    }
    // One more thread or process would exceed the limit.
    let second = first.request(Message::ExecRequest(exec(&["true"])));
    let refused = first.wait(second);
    assert_eq!(refused.error().0, ErrorCode::Busy, "{:?}", refused.error());
    let reply = refusal(&limited.connect());
    assert_eq!(reply.code, ErrorCode::Busy, "{}", reply.message);
    assert!(limited.agent.try_wait().expect("it is ours").is_none());

    first.send(id, Message::Cancel(Empty {}));
    assert_eq!(first.wait(id).exit(), (137, Some(9), false));
    leave(first, &stream);
    let begun = Instant::now();
    loop {
        let stream = limited.connect();
        if matches!(probe(&stream), Some(Message::HelloOk(_))) {
            break;
        }
        assert!(begun.elapsed() < TIMEOUT, "the agent does not recover");
    }
}

/// Processes that were killed while no thread could be started are reaped, so they do not count
/// against the limit.
#[test]
fn bursts_above_the_limit_of_processes_leave_nothing_behind() {
    for spare in [7, 8, 10] {
        let limited = Limited::new(&format!("-u {}", others() + spare));
        let stream = limited.connect();
        let mut client = client(stream.try_clone().expect("a descriptor"));
        for _ in 0..20 {
            let request = || Message::ExecRequest(sh("sleep 0.05"));
            let ids: Vec<u32> = (0..6).map(|_| client.request(request())).collect();
            for id in ids {
                let _ended_or_busy = client.wait(id);
            }
        }
        let begun = Instant::now();
        let pid = limited.agent.id().to_string();
        loop {
            let found = Command::new("ps")
                .args(["--ppid", &pid, "-o", "pid=,stat=,args="])
                .output();
            let found = found.expect("ps starts").stdout;
            if found.is_empty() {
                break;
            }
            let found = String::from_utf8_lossy(&found);
            assert!(begun.elapsed() < TIMEOUT, "{spare} spare: {found}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The agent may run out of descriptors when it accepts the connection or while it serves it.
#[test]
fn refuses_a_host_without_a_descriptor() {
    for limit in 16..24 {
        refuses_without_descriptors(&format!("-n {limit}"));
    }
}

fn refuses_without_descriptors(limit: &str) {
    let mut limited = Limited::new(limit);
    let mut taken = Vec::new();
    let reply = loop {
        assert!(taken.len() < 24, "more hosts than descriptors");
        let stream = limited.connect();
        match probe(&stream) {
            Some(Message::HelloOk(_)) => taken.push(stream),
            Some(Message::Error(reply)) => break reply,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reply.code, ErrorCode::Busy, "{limit}: {}", reply.message);
    assert!(!taken.is_empty() && limited.agent.try_wait().expect("it is ours").is_none());
    taken.clear();
    let begun = Instant::now();
    while !matches!(probe(&limited.connect()), Some(Message::HelloOk(_))) {
        assert!(begun.elapsed() < TIMEOUT, "the agent does not recover");
    }
}
