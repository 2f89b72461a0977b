//! The agent over its transports, with real processes.

use crate::common;
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{
    Client, agent_command, child, child_of, exec, gone, in_process, pid_in, sh, state,
};
use antiphon_guest::agent::{AgentOptions, LINGER};
use antiphon_wire::{
    Empty, ErrorCode, ExecRequest, ExecWindow, FsClose, FsList, FsMkdir, FsOpen, FsRead,
    FsReadFile, FsRename, FsSeek, FsStat, FsUnlink, FsWrite, FsWriteFile, HostEvent, Message,
    OpErrorCode, OpResult, OpValue, OpenMode, Signal, Signo, Stream, Terminal, Whence,
};

fn run(request: ExecRequest) -> common::Exchange {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let id = client.request(Message::ExecRequest(request));
    client.wait(id)
}

#[test]
fn runs_commands_and_reports_exit_codes() {
    assert_eq!(run(exec(&["true"])).exit(), (0, None, false));
    assert_eq!(run(exec(&["false"])).exit(), (1, None, false));
    assert_eq!(run(exec(&["echo", "hello", "*"])).stdout, b"hello *\n");
    assert_eq!(run(sh("exit 42")).exit(), (42, None, false));
    let both = run(sh("echo o; echo e >&2"));
    assert_eq!(
        (both.stdout.as_slice(), both.stderr.as_slice()),
        (&b"o\n"[..], &b"e\n"[..])
    );
}

#[test]
fn without_argv_the_command_is_its_own_name() {
    let request = ExecRequest {
        argv: None,
        ..exec(&["pwd"])
    };
    assert_eq!(run(request).exit(), (0, None, false));
    let named = ExecRequest {
        cmd: "sh".into(),
        ..exec(&["renamed", "-c", "echo $0"])
    };
    assert_eq!(run(named).stdout, b"renamed\n");
}

#[test]
fn applies_environment_and_directory() {
    let mut request = sh("echo $GREETING; pwd; cat");
    request.env = Some(vec!["GREETING=hi=there".to_owned()]);
    request.cwd = Some("/usr".to_owned());
    // No input was requested, so `cat` reads an empty one.
    assert_eq!(run(request).stdout, b"hi=there\n/usr\n");
}

#[test]
fn a_command_that_cannot_start_has_its_error_code() {
    let missing = run(exec(&["/no/such/program"]));
    assert_eq!(missing.error().0, ErrorCode::NotFound);
    assert!(
        missing.error().1.contains("`/no/such/program`"),
        "{}",
        missing.error().1
    );
    assert_eq!(run(exec(&["/etc"])).error().0, ErrorCode::Denied);
    let mut nowhere = exec(&["true"]);
    nowhere.cwd = Some("/no/such/directory".to_owned());
    let error = run(nowhere);
    assert_eq!(error.error().0, ErrorCode::InvalidRequest);
    assert!(
        error
            .error()
            .1
            .contains("working directory `/no/such/directory`")
    );
    let mut file = exec(&["true"]);
    file.cwd = Some("/etc/passwd".to_owned());
    assert_eq!(run(file).error().0, ErrorCode::InvalidRequest);
    let mut bad = exec(&["true"]);
    bad.env = Some(vec!["=x".to_owned()]);
    assert_eq!(run(bad).error().0, ErrorCode::InvalidRequest);
    assert_eq!(run(exec(&[""])).error().0, ErrorCode::InvalidRequest);
    assert_eq!(
        run(exec(&["nul\0name"])).error().0,
        ErrorCode::InvalidRequest
    );
    assert_eq!(
        run(exec(&["echo", "nul\0arg"])).error().0,
        ErrorCode::InvalidRequest
    );
}

#[test]
fn reports_the_signal_that_ended_a_command() {
    assert_eq!(run(sh("kill -TERM $$")).exit(), (143, Some(15), false));
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let id = client.request(Message::ExecRequest(sh(
        // Many short sleeps, because the shell runs its trap only after the current one.
        "trap 'exit 9' INT; echo up; while :; do sleep 0.1; done",
    )));
    while client.stash[&id].stdout.is_empty() {
        client.pump();
    }
    client.send(id, Message::Signal(Signal { signo: Signo::INT }));
    assert_eq!(client.wait(id).exit(), (9, None, false));
}

#[test]
fn a_deadline_kills_the_group_and_is_reported() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let mut request = sh("sleep 60 & echo $!; wait");
    request.deadline_ms = NonZeroU32::new(200);
    let started = Instant::now();
    let id = client.request(Message::ExecRequest(request));
    let exchange = client.wait(id);
    assert_eq!(exchange.exit(), (137, Some(9), true));
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    gone(pid_in(&exchange.stdout));
}

#[test]
fn a_deadline_applies_without_credit() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let mut request = exec(&["yes"]);
    request.deadline_ms = NonZeroU32::new(200);
    request.stdout_window = Some(5);
    let id = client.request(Message::ExecRequest(request));
    let exchange = client.wait(id);
    assert_eq!(
        (exchange.exit(), exchange.stdout.len()),
        ((137, Some(9), true), 5)
    );
}

#[test]
fn a_cancel_kills_the_group() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let id = client.request(Message::ExecRequest(sh("sleep 60 & echo $!; wait")));
    while client.stash[&id].stdout.is_empty() {
        client.pump();
    }
    client.send(id, Message::Cancel(Empty {}));
    let exchange = client.wait(id);
    assert_eq!(exchange.exit(), (137, Some(9), false));
    gone(pid_in(&exchange.stdout));
    assert_eq!(client.call(Message::Ping(Empty {})), Terminal::Pong);
}

#[test]
fn a_grandchild_that_holds_the_pipe_does_not_block_the_response() {
    let started = Instant::now();
    let exchange = run(sh("sleep 60 & echo $!"));
    assert_eq!(exchange.exit(), (0, None, false));
    assert!(
        (LINGER..LINGER * 8).contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
    gone(pid_in(&exchange.stdout));
}

#[test]
fn transfers_large_input_and_output_through_small_windows() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let mut request = exec(&["cat"]);
    request.stdin = Some(true);
    let data: Vec<u8> = (0..8u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let id = client.request(Message::ExecRequest(request));
    client.feed(id, &data);
    let exchange = client.wait(id);
    assert_eq!(exchange.exit(), (0, None, false));
    assert!(exchange.stdout == data, "{} bytes", exchange.stdout.len());
}

#[test]
fn a_stream_without_credit_blocks_only_itself() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let mut slow = sh("head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2");
    slow.stdout_window = Some(1000);
    let slow = client.request(Message::ExecRequest(slow));
    while client.stash[&slow].stdout.len() < 1000 {
        client.pump();
    }
    let other = client.request(Message::ExecRequest(exec(&["echo", "free"])));
    assert_eq!(client.wait(other).stdout, b"free\n");
    let credit = NonZeroU32::new(1_000_000).expect("not zero");
    client.send(
        slow,
        Message::ExecWindow(ExecWindow {
            credit,
            stream: Stream::Stdout,
        }),
    );
    let exchange = client.wait(slow);
    assert_eq!(
        (exchange.stdout.len(), exchange.stderr.len()),
        (100_000, 100_000)
    );
}

#[test]
fn with_a_limit_of_one_a_second_request_is_busy() {
    let options = AgentOptions {
        requests_max: NonZeroU32::MIN,
        ..AgentOptions::default()
    };
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    thread::spawn(move || antiphon_guest::agent::serve_stream(theirs, &options));
    let mut client = Client::new(ours.try_clone().expect("a descriptor"), ours);
    let first = client.request(Message::ExecRequest(sh("read x")));
    // This side's link would refuse to send it.
    let second = antiphon_wire::Envelope::new(first + 1, Message::ExecRequest(exec(&["true"])));
    client.raw(&second.to_frame().expect("a good frame"));
    // The first command has no input, so it exits. The refusal may come before or after its end.
    let mut deframed = Vec::new();
    while deframed.len() < 2 {
        deframed.push(client.envelope());
    }
    assert!(
        deframed.iter().any(|e| e.id == first + 1
            && matches!(&e.message, Message::Error(reply) if reply.code == ErrorCode::Busy)),
        "{deframed:?}"
    );
}

#[test]
fn runs_fifty_commands_at_once() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let ids: Vec<(u32, usize)> = (0..50)
        .map(|n| {
            (
                client.request(Message::ExecRequest(sh(&format!("echo {n}; exit {n}")))),
                n,
            )
        })
        .collect();
    for (id, n) in ids {
        let exchange = client.wait(id);
        assert_eq!(exchange.exit(), (n as i32, None, false));
        assert_eq!(exchange.stdout, format!("{n}\n").into_bytes());
    }
}

#[test]
fn kills_the_commands_of_a_host_that_goes_away() {
    let (mut client, agent, stream) = in_process(AgentOptions::default());
    let id = client.request(Message::ExecRequest(sh("sleep 60 & echo $!; wait")));
    while client.stash[&id].stdout.is_empty() {
        client.pump();
    }
    let pid = pid_in(&client.stash[&id].stdout);
    assert!(state(pid).is_some());
    stream
        .shutdown(std::net::Shutdown::Both)
        .expect("it was open");
    agent.join().expect("the agent ends well");
    gone(pid);
}

#[test]
fn the_socket_serves_one_host_after_the_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("agent.sock");
    let mut agent = agent_command(&["--unix", &path.to_string_lossy()])
        .spawn()
        .expect("it starts");
    let connect = || {
        let until = Instant::now() + common::TIMEOUT;
        let stream = loop {
            match UnixStream::connect(&path) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        (
            Client::new(
                stream.try_clone().expect("a descriptor"),
                stream.try_clone().expect("one"),
            ),
            stream,
        )
    };
    let (mut first, stream) = connect();
    let id = first.request(Message::ExecRequest(sh("sleep 60 & echo $!; wait")));
    while first.stash[&id].stdout.is_empty() {
        first.pump();
    }
    let pid = pid_in(&first.stash[&id].stdout);
    stream
        .shutdown(std::net::Shutdown::Both)
        .expect("it was open");
    let (mut second, _) = connect();
    let id = second.request(Message::ExecRequest(exec(&["echo", "next"])));
    assert_eq!(second.wait(id).stdout, b"next\n");
    gone(pid);
    agent.kill().expect("it runs");
    agent.wait().expect("it was killed");
    // The socket of a dead agent is replaced.
    let mut agent = agent_command(&["--unix", &path.to_string_lossy()])
        .spawn()
        .expect("it starts");
    let (mut third, _) = connect();
    assert_eq!(third.call(Message::Ping(Empty {})), Terminal::Pong);
    agent.kill().expect("it runs");
    agent.wait().expect("it was killed");
}

#[test]
fn a_command_does_not_inherit_ignored_signals() {
    // A shell starts a background command with these signals ignored.
    let agent = agent_command(&["--stdio"]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' INT HUP; exec \"$0\" --stdio"]);
    let (mut client, mut agent) = child_of(command.arg(agent.get_program()));
    let heeds = "trap 'exit 9' INT; kill -INT $$; exit 1";
    let id = client.request(Message::ExecRequest(sh(heeds)));
    assert_eq!(client.wait(id).exit(), (9, None, false));
    let id = client.request(Message::ExecRequest(sh("kill -HUP $$; exit 1")));
    assert_eq!(client.wait(id).exit(), (129, Some(1), false));
    // The agent itself still ignores the signal.
    let interrupt = format!("kill -INT {}; sleep 0.1", agent.id());
    let id = client.request(Message::ExecRequest(sh(&interrupt)));
    assert_eq!(client.wait(id).exit(), (0, None, false));
    drop(client);
    assert!(agent.wait().expect("it ends").success());
}

#[test]
fn on_stdio_the_agent_ends_with_its_host() {
    let (mut client, mut agent) = child();
    let id = client.request(Message::ExecRequest(sh("sleep 60 & echo $!; wait")));
    while client.stash[&id].stdout.is_empty() {
        client.pump();
    }
    let pid = pid_in(&client.stash[&id].stdout);
    drop(client);
    assert!(agent.wait().expect("it ends").success());
    gone(pid);
}

#[test]
fn the_agent_reaps_orphans_of_commands() {
    let mut agent = agent_command(&["--stdio"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the agent starts");
    let (input, output) = (
        agent.stdin.take().expect("piped"),
        agent.stdout.take().expect("piped"),
    );
    let mut client = Client::new(output, input);
    let script = "setsid sh -c 'echo $$; exec sleep 0.4' </dev/null 2>/dev/null & sleep 0.1";
    let id = client.request(Message::ExecRequest(sh(&format!("{script}; exit 7"))));
    let exchange = client.wait(id);
    assert_eq!(exchange.exit(), (7, None, false));
    let pid = pid_in(&exchange.stdout);
    let until = Instant::now() + Duration::from_secs(10);
    while state(pid).is_some() {
        assert!(Instant::now() < until, "orphan {pid} is {:?}", state(pid));
        thread::sleep(Duration::from_millis(10));
    }
    drop(client);
    assert!(agent.wait().expect("it ends").success());
}

#[test]
fn a_broken_frame_closes_the_connection_with_a_reason() {
    let (mut client, agent, _) = in_process(AgentOptions::default());
    client.raw(&[0, 0, 0, 3, 0xff, 0xff, 0xff]);
    let HostEvent::Closing(reply) = client.event() else {
        panic!("no reason was given")
    };
    assert_eq!(reply.code, ErrorCode::InvalidRequest);
    assert!(client.closed());
    agent.join().expect("the agent ends well");
}

#[test]
fn refuses_a_wrong_request_and_serves_the_next() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    for (t, id, code) in [
        ("exec_request", 1, ErrorCode::InvalidRequest),
        ("fs_format", 2, ErrorCode::Unsupported),
    ] {
        use antiphon_codec::Item;
        let body = Item::Map(vec![
            (Item::Text("v".into()), Item::Uint(1)),
            (Item::Text("t".into()), Item::Text(t.into())),
            (Item::Text("id".into()), Item::Uint(id)),
            (Item::Text("p".into()), Item::Map(Vec::new())),
        ])
        .encode();
        client.raw(&(body.len() as u32).to_be_bytes());
        client.raw(&body);
        let envelope = client.envelope();
        assert_eq!(u64::from(envelope.id), id);
        assert!(
            matches!(&envelope.message, Message::Error(r) if r.code == code),
            "{envelope:?}"
        );
    }
    let good = antiphon_wire::Envelope::new(3, Message::ExecRequest(exec(&["true"])));
    client.raw(&good.to_frame().expect("a good frame"));
    assert!(matches!(
        client.envelope().message,
        Message::ExecResponse(_)
    ));
}

fn ok(client: &mut Client, message: Message) -> OpValue {
    match client.call(message) {
        Terminal::Op(OpResult::Ok(value)) => value,
        other => panic!("{other:?}"),
    }
}

fn err(client: &mut Client, message: Message) -> OpErrorCode {
    match client.call(message) {
        Terminal::Op(OpResult::Err { error, .. }) => error.code,
        other => panic!("{other:?}"),
    }
}

fn open(client: &mut Client, path: &str, mode: OpenMode) -> u32 {
    match ok(
        client,
        Message::FsOpen(FsOpen {
            mode,
            path: path.into(),
            perm: None,
        }),
    ) {
        OpValue::FsOpen(opened) => opened.handle,
        other => panic!("{other:?}"),
    }
}

#[test]
fn writes_and_reads_a_file_through_a_handle() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("f").to_string_lossy().into_owned();
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let all = OpenMode::READ | OpenMode::WRITE | OpenMode::CREATE | OpenMode::EXCLUSIVE;
    let handle = open(&mut client, &path, all);
    let again = FsOpen {
        mode: all,
        path: path.clone(),
        perm: None,
    };
    assert_eq!(
        err(&mut client, Message::FsOpen(again)),
        OpErrorCode::AlreadyExists
    );

    let write = |data: &[u8], offset| {
        Message::FsWrite(FsWrite {
            data: data.into(),
            handle,
            offset,
        })
    };
    let read = |len, offset| {
        Message::FsRead(FsRead {
            len,
            handle,
            offset,
        })
    };
    assert!(matches!(
        ok(&mut client, write(b"hello world", None)),
        OpValue::FsWrite(w) if w.written == 11
    ));
    ok(&mut client, write(b"W", Some(6)));
    let seek = |offset, whence| {
        Message::FsSeek(FsSeek {
            handle,
            offset,
            whence,
        })
    };
    assert!(
        matches!(ok(&mut client, seek(-5, Whence::End)), OpValue::FsSeek(p) if p.position == 6)
    );
    assert!(
        matches!(ok(&mut client, read(3, None)), OpValue::FsRead(d) if d.data == b"Wor" && !d.eof)
    );
    assert!(
        matches!(ok(&mut client, read(100, None)), OpValue::FsRead(d) if d.data == b"ld" && d.eof)
    );
    assert!(matches!(ok(&mut client, read(5, Some(0))), OpValue::FsRead(d) if d.data == b"hello"));
    assert_eq!(
        err(&mut client, seek(-1, Whence::Start)),
        OpErrorCode::InvalidInput
    );
    assert_eq!(
        err(&mut client, write(b"x", Some(u64::MAX))),
        OpErrorCode::InvalidInput
    );
    let close = || Message::FsClose(FsClose { handle });
    ok(&mut client, close());
    assert_eq!(err(&mut client, close()), OpErrorCode::BadHandle);
    assert_eq!(err(&mut client, read(1, None)), OpErrorCode::BadHandle);
}

#[test]
fn applies_every_open_mode() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("f").to_string_lossy().into_owned();
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let refused = |client: &mut Client, mode| {
        err(
            client,
            Message::FsOpen(FsOpen {
                mode,
                path: path.clone(),
                perm: None,
            }),
        )
    };
    assert_eq!(refused(&mut client, OpenMode::READ), OpErrorCode::NotFound);
    assert_eq!(
        refused(&mut client, OpenMode::default()),
        OpErrorCode::InvalidInput
    );
    assert_eq!(
        refused(&mut client, OpenMode::CREATE),
        OpErrorCode::InvalidInput
    );
    assert_eq!(
        refused(&mut client, OpenMode::READ | OpenMode::TRUNCATE),
        OpErrorCode::InvalidInput
    );
    std::fs::write(&path, "12345").expect("writable");
    let handle = open(&mut client, &path, OpenMode::WRITE | OpenMode::APPEND);
    ok(
        &mut client,
        Message::FsWrite(FsWrite {
            data: b"67".into(),
            handle,
            offset: None,
        }),
    );
    assert_eq!(std::fs::read(&path).expect("there"), b"1234567");
    assert_eq!(
        err(
            &mut client,
            Message::FsRead(FsRead {
                len: 1,
                handle,
                offset: None
            })
        ),
        OpErrorCode::InvalidInput
    );
    open(&mut client, &path, OpenMode::WRITE | OpenMode::TRUNCATE);
    assert_eq!(std::fs::read(&path).expect("there"), b"");
    assert_eq!(
        err(
            &mut client,
            Message::FsOpen(FsOpen {
                mode: OpenMode::WRITE,
                path: "/".into(),
                perm: None
            })
        ),
        OpErrorCode::IsADirectory
    );
}

#[test]
fn handles_are_bounded_and_reused() {
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let request = || {
        Message::FsOpen(FsOpen {
            mode: OpenMode::READ,
            path: "/dev/null".into(),
            perm: None,
        })
    };
    let handles: Vec<u32> = (0..256)
        .map(|_| open(&mut client, "/dev/null", OpenMode::READ))
        .collect();
    assert_eq!(err(&mut client, request()), OpErrorCode::TooManyOpen);
    ok(
        &mut client,
        Message::FsClose(FsClose {
            handle: handles[17],
        }),
    );
    ok(&mut client, request());
}

#[test]
fn serves_whole_files_directories_and_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let mkdir = |path, parents| {
        Message::FsMkdir(FsMkdir {
            path,
            perm: None,
            parents,
        })
    };
    ok(&mut client, mkdir(at("a/b"), Some(true)));
    ok(&mut client, mkdir(at("a/b"), Some(true)));
    assert_eq!(
        err(&mut client, mkdir(at("a/b"), None)),
        OpErrorCode::AlreadyExists
    );
    let write = |path, data: &[u8], offset| {
        Message::FsWriteFile(FsWriteFile {
            data: data.into(),
            path,
            perm: None,
            offset,
        })
    };
    ok(&mut client, write(at("a/f"), b"0123456789", None));
    ok(&mut client, write(at("a/f"), b"xy", Some(4)));
    let read = |path, len, offset| Message::FsReadFile(FsReadFile { len, path, offset });
    assert!(matches!(
        ok(&mut client, read(at("a/f"), None, None)),
        OpValue::FsReadFile(d) if d.data == b"0123xy6789" && d.eof
    ));
    assert!(matches!(
        ok(&mut client, read(at("a/f"), Some(3), Some(2))),
        OpValue::FsReadFile(d) if d.data == b"23x" && !d.eof
    ));
    ok(&mut client, write(at("a/f"), b"new", None));
    let stat = |path| Message::FsStat(FsStat { path, follow: None });
    assert!(matches!(ok(&mut client, stat(at("a/f"))), OpValue::FsStat(s) if s.size == 3));
    ok(
        &mut client,
        Message::FsRename(FsRename {
            from: at("a/f"),
            to: at("a/g"),
        }),
    );
    assert_eq!(err(&mut client, stat(at("a/f"))), OpErrorCode::NotFound);
    let unlink = |path, dir| Message::FsUnlink(FsUnlink { dir, path });
    assert_eq!(
        err(&mut client, unlink(at("a"), Some(true))),
        OpErrorCode::NotEmpty
    );
    ok(&mut client, unlink(at("a/g"), None));
    ok(&mut client, unlink(at("a/b"), Some(true)));
}

#[test]
fn lists_a_directory_in_sorted_pages() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().expect("a directory");
    for n in 0..25 {
        std::fs::write(dir.path().join(format!("{n:02}")), "x".repeat(n)).expect("writable");
    }
    let odd = std::ffi::OsStr::from_bytes(b"not-\xff-text");
    std::fs::write(dir.path().join(odd), "").expect("writable");
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let (mut names, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let path = dir.path().to_string_lossy().into_owned();
        let limit = NonZeroU32::new(10);
        let OpValue::FsList(page) = ok(&mut client, Message::FsList(FsList { path, after, limit }))
        else {
            panic!("no listing")
        };
        assert_eq!(page.unlisted, Some(1));
        names.extend(page.entries.iter().map(|e| (e.name.clone(), e.size)));
        pages += 1;
        if !page.more {
            break;
        }
        after = names.last().map(|(name, _)| name.clone());
    }
    assert_eq!(pages, 3);
    assert_eq!(
        names,
        (0..25)
            .map(|n| (format!("{n:02}"), Some(n)))
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_named_pipe_does_not_block_file_requests() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("pipe").to_string_lossy().into_owned();
    assert_eq!(run(exec(&["mkfifo", &path])).exit().0, 0);
    let (mut client, _agent, _) = in_process(AgentOptions::default());
    let handle = open(&mut client, &path, OpenMode::READ);
    ok(
        &mut client,
        Message::FsRead(FsRead {
            len: 10,
            handle,
            offset: None,
        }),
    );
    ok(&mut client, Message::FsStat(FsStat { path, follow: None }));
}

/// The frames that faulty streams are made of.
fn host_frames(hello: &[u8]) -> Vec<Vec<u8>> {
    let frame = |id, message| {
        antiphon_wire::Envelope::new(id, message)
            .to_frame()
            .expect("good")
    };
    vec![
        hello.to_vec(),
        frame(1, Message::ExecRequest(exec(&["true"]))),
        frame(
            2,
            Message::ExecRequest(ExecRequest {
                stdin: Some(true),
                ..exec(&["cat"])
            }),
        ),
        frame(
            2,
            Message::StdinData(antiphon_wire::StdinData {
                eof: None,
                data: vec![7; 50],
            }),
        ),
        frame(
            3,
            Message::ExecRequest(ExecRequest {
                stdout_window: Some(3),
                ..exec(&["yes"])
            }),
        ),
        frame(3, Message::Cancel(Empty {})),
        frame(3, Message::Signal(Signal { signo: Signo::TERM })),
        frame(
            4,
            Message::FsStat(FsStat {
                path: "/".into(),
                follow: None,
            }),
        ),
        frame(
            5,
            Message::FsRead(FsRead {
                len: 10,
                handle: 0,
                offset: None,
            }),
        ),
        frame(6, Message::Ping(Empty {})),
        frame(6, Message::Pong(Empty {})),
    ]
}

/// Serves one host that sends these bytes. Returns the bytes of the agent.
fn serve_bytes(n: usize, stream: &[u8]) -> Vec<u8> {
    use std::io::{Read, Write};
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let options = AgentOptions::default();
    let agent = thread::spawn(move || antiphon_guest::agent::serve_stream(theirs, &options));
    // The agent may have closed the stream already. Then the write fails.
    let _ = ours.write_all(stream);
    ours.shutdown(std::net::Shutdown::Write)
        .expect("it was open");
    ours.set_read_timeout(Some(common::TIMEOUT))
        .expect("a good time");
    let mut answer = Vec::new();
    match ours.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("host {n}: {error}"),
    }
    agent.join().expect("no panic").expect("it serves");
    answer
}

/// Checks that each id has at most one terminal message.
fn check_ends(n: usize, answer: &[u8]) {
    let mut deframer = antiphon_wire::Deframer::default();
    deframer.push(answer);
    let mut ends = std::collections::BTreeMap::new();
    while let Some(envelope) = deframer.next().expect("the agent writes good frames") {
        let kind = envelope
            .message
            .kind()
            .expect("the agent sends messages of known types");
        if kind.role() == antiphon_wire::MessageRole::Terminal && envelope.id != 0 {
            *ends.entry(envelope.id).or_insert(0) += 1;
        }
    }
    assert!(ends.values().all(|ends| *ends == 1), "host {n}: {ends:?}");
}

/// A host that sends arbitrary bytes must not block the agent, make it panic, or leave a process
/// running.
#[test]
fn survives_five_hundred_faulty_hosts() {
    let hello = {
        let mut out = Vec::new();
        antiphon_wire::HostLink::new(Default::default(), &mut out).expect("a good offer");
        out
    };
    let frames = host_frames(&hello);
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut dice = move |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % sides as u64) as usize
    };
    for n in 0..500 {
        let mut stream = if dice(10) == 0 {
            Vec::new()
        } else {
            hello.clone()
        };
        for _ in 0..dice(8) {
            stream.extend_from_slice(&frames[dice(frames.len())]);
        }
        for _ in 0..dice(3) {
            let at = dice(stream.len() + 1);
            match dice(3) {
                0 => stream.truncate(at),
                1 => stream.insert(at, dice(256) as u8),
                _ => drop(stream.get_mut(at).map(|byte| *byte ^= 1 << dice(8))),
            }
        }
        check_ends(n, &serve_bytes(n, &stream));
    }
}
