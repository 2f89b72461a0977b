//! Tests how an `exec` ends when its streams or its guest block: signals, readers that leave or
//! stall, a silent agent.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{
    Agent, PATIENCE, TestDir, end, expect_gone, next_line, on_terminal, read_line, signal, wait,
};

/// One signal ends an `exec` within 2 s, whatever it waits for. A slow machine takes longer, but
/// less than the time after which a command is cancelled.
const SOON: Duration = Duration::from_secs(8);

/// The exit code of a child.
fn code(child: &mut Child) -> Option<i32> {
    wait(child).and_then(|status| status.code())
}

#[test]
fn a_forwarded_signal_leaves_the_end_to_the_command() {
    let dir = TestDir::new();
    for (name, number) in [
        ("INT", 2),
        ("TERM", 15),
        ("HUP", 1),
        ("QUIT", 3),
        ("USR1", 10),
    ] {
        let script =
            format!("trap 'echo got; exit 5' {name}; echo up; while :; do sleep 0.05; done");
        let args = [
            "exec",
            "--record",
            "s.rec",
            "--overwrite",
            "--",
            "sh",
            "-c",
            &script,
        ];
        let mut child = dir.start(&args);
        read_line(&mut child, "up");
        signal(&child, name);
        let output = end(child);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(5), "got\n"),
            "{name}"
        );
        let shown = dir.run_ok(&["show", "s.rec"]);
        assert!(
            shown.contains(&format!("signal {{signo: {number}}}")),
            "{name}: {shown}"
        );
        dir.run_ok(&["replay", "s.rec"]);
    }
}

#[test]
fn signals_that_do_not_ask_for_an_end_may_repeat() {
    let dir = TestDir::new();
    let script = "trap 'echo usr1' USR1; trap 'echo winch' WINCH; trap 'echo end; exit 0' USR2; \
         echo up; while :; do sleep 0.05; done";
    let mut child = dir.start(&["exec", "--", "sh", "-c", script]);
    read_line(&mut child, "up");
    for (name, line) in [("USR1", "usr1"), ("WINCH", "winch"), ("USR1", "usr1")] {
        signal(&child, name);
        read_line(&mut child, line);
    }
    signal(&child, "USR2");
    let output = end(child);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "end\n"));
}

/// The protocol has neither `signal` nor `cancel`, so the session is cancelled.
#[test]
fn a_protocol_without_signals_is_cancelled_at_once() {
    let dir = TestDir::new();
    for (name, number) in [("TERM", 15), ("INT", 2), ("USR1", 10)] {
        let args = [
            "exec",
            "--json",
            "--record",
            "o.rec",
            "--overwrite",
            "--protocol",
            "once.anti",
        ];
        let words = ["--", "sh", "-c", "echo up; exec sleep 977"];
        let mut child = dir.start(&[&args[..], &words].concat());
        drop(child.stdin.take());
        let up = next_line(&mut child);
        assert!(up.contains("dXAK"), "{up}");
        let begun = Instant::now();
        signal(&child, name);
        let output = end(child);
        assert_eq!(output.code, Some(128 + number), "{name}: {output:?}");
        assert!(
            output.stdout.contains(r#""reason":"cancelled""#),
            "{name}: {output:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{name}: {:?}",
            begun.elapsed()
        );
        expect_gone("977");
        dir.run_ok(&["replay", "o.rec"]);
    }
}

/// `nohup` replaces a terminal by a null device that cannot be read.
#[test]
fn a_command_under_nohup_on_a_terminal_runs() {
    let dir = TestDir::new();
    let line = "nohup antiphon exec -- sh -c 'echo hi; sleep 0.5; echo bye'; echo code $?";
    let mut child = on_terminal(&dir, line);
    let typed = child.stdin.take();
    let output = end(child);
    drop(typed);
    assert!(output.stdout.contains("code 0"), "{output:?}");
    let written = dir.read("nohup.out");
    assert!(
        written.ends_with(b"hi\nbye\n"),
        "{}",
        String::from_utf8_lossy(&written)
    );
}

const STUBBORN: &str = "trap '' INT TERM HUP; echo up; while :; do sleep 0.05; done";

#[test]
fn the_second_signal_cancels() {
    let dir = TestDir::new();
    let args = ["exec", "--record", "c.rec", "--", "sh", "-c", STUBBORN];
    let mut child = dir.start(&args);
    read_line(&mut child, "up");
    signal(&child, "INT");
    thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().expect("it is ours").is_none());
    signal(&child, "TERM");
    let begun = Instant::now();
    assert_eq!(end(child).code, Some(143));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let shown = dir.run_ok(&["show", "c.rec"]);
    assert!(shown.contains("Feeder → Sink       cancel"), "{shown}");
    assert!(shown.contains("ended: closed"), "{shown}");
}

#[test]
fn a_command_that_ignores_the_signal_is_cancelled_after_a_while() {
    let dir = TestDir::new();
    let args = [
        "exec",
        "--kill-after",
        "0.4",
        "--json",
        "--",
        "sh",
        "-c",
        STUBBORN,
    ];
    let mut child = dir.start(&args);
    let up = r#"{"base64":"dXAK","event":"output","stream":"stdout"}"#;
    read_line(&mut child, up);
    signal(&child, "INT");
    let begun = Instant::now();
    let output = end(child);
    assert_eq!(output.code, Some(130), "{output:?}");
    assert!(
        output.stdout.contains(r#""reason":"cancelled""#),
        "{output:?}"
    );
    let taken = begun.elapsed();
    assert!(
        (Duration::from_millis(400)..SOON).contains(&taken),
        "{taken:?}"
    );
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let dir = TestDir::new();
    for name in ["HUP", "INT"] {
        let program = env!("CARGO_BIN_EXE_antiphon");
        let script = format!(
            "trap '' {name}; exec '{program}' exec -- sh -c 'echo up; sleep 0.5; echo survived'"
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command
            .current_dir(dir.path("."))
            .spawn()
            .expect("sh starts");
        read_line(&mut child, "up");
        signal(&child, name);
        let output = end(child);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(0), "survived\n"),
            "{name}"
        );
    }
}

/// The reader leaves when all buffers on the way are full.
#[test]
fn a_reader_that_leaves_a_full_pipe_ends_the_command() {
    let dir = TestDir::new();
    for args in [&["exec", "--", "yes"][..], &["exec", "--json", "--", "yes"]] {
        let mut child = dir.start(args);
        thread::sleep(Duration::from_millis(1_500));
        let begun = Instant::now();
        drop(child.stdout.take());
        let output = end(child);
        assert_eq!(
            (output.code, output.stderr.as_str()),
            (Some(141), ""),
            "{args:?}"
        );
        assert!(begun.elapsed() < SOON, "{args:?}: {:?}", begun.elapsed());
    }
}

/// Opens a named pipe in both directions: it has a reader, which reads nothing.
fn stalled(dir: &TestDir) -> File {
    let path = dir.path("stalled");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo starts").success());
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .open(path)
        .expect("it was made")
}

/// Covers output that is endless or has ended, both streams, and both formats.
#[test]
fn one_signal_ends_what_a_stalled_reader_holds_up() {
    for script in ["yes", "head -c 3000000 /dev/zero", "yes >&2"] {
        for form in [&[][..], &["--json"]] {
            let dir = TestDir::new();
            let pipe = stalled(&dir);
            let mut command = dir.command(&["exec", "--record", "r.rec"]);
            command.args(form).args(["--", "sh", "-c", script]);
            if script.ends_with("2") {
                command.stderr(pipe.try_clone().expect("a descriptor"));
            }
            command.stdout(pipe.try_clone().expect("a descriptor"));
            let mut child = command.spawn().expect("it starts");
            thread::sleep(Duration::from_millis(1_500));
            let begun = Instant::now();
            signal(&child, "TERM");
            assert_eq!(code(&mut child), Some(143), "{script} {form:?}");
            assert!(
                begun.elapsed() < SOON,
                "{script} {form:?}: {:?}",
                begun.elapsed()
            );
            // The session ended by its protocol, so the recording is complete.
            dir.run_ok(&["replay", "r.rec"]);
            drop(pipe);
        }
    }
}

/// Returns the process IDs of a child's children.
fn children(child: &Child) -> Vec<String> {
    let mut pgrep = Command::new("pgrep");
    let found = pgrep.args(["-P", &child.id().to_string()]).output();
    let found = String::from_utf8(found.expect("pgrep starts").stdout).expect("numbers");
    found.lines().map(str::to_owned).collect()
}

fn kill(name: &str, pid: &str) {
    let status = Command::new("kill").args(["-s", name, pid]).status();
    assert!(status.expect("kill starts").success());
}

#[test]
fn one_signal_ends_what_a_silent_agent_holds_up() {
    let dir = TestDir::new();
    let args = [
        "exec",
        "--record",
        "a.rec",
        "--",
        "sh",
        "-c",
        "echo $$; exec sleep 971",
    ];
    let mut child = dir.start(&args);
    let command = next_line(&mut child);
    let agents = children(&child);
    assert_eq!(agents.len(), 1);
    kill("STOP", &agents[0]);
    let begun = Instant::now();
    signal(&child, "TERM");
    let output = end(child);
    assert_eq!(output.code, Some(143), "{output:?}");
    // The guest gets some time to answer a ping.
    let taken = begun.elapsed();
    assert!(
        (Duration::from_millis(1_400)..SOON).contains(&taken),
        "{taken:?}"
    );
    assert!(output.stderr.contains("does not answer"), "{output:?}");
    dir.run_ok(&["replay", "a.rec"]);
    // A stopped agent cannot end its command, and a killed one has not ended it.
    kill("KILL", &command);
}

/// The last message goes to a stream that is not read, and the agent is silent as well.
#[test]
fn one_signal_ends_what_a_stalled_reader_of_both_streams_and_a_silent_agent_hold_up() {
    for form in [&[][..], &["--json"]] {
        let dir = TestDir::new();
        let pipe = stalled(&dir);
        let mut command = dir.command(&["exec"]);
        command.args(form).args(["--", "yes"]);
        command.stdout(pipe.try_clone().expect("a descriptor"));
        command.stderr(pipe.try_clone().expect("a descriptor"));
        let mut child = command.spawn().expect("it starts");
        thread::sleep(Duration::from_millis(1_500));
        for agent in children(&child) {
            kill("STOP", &agent);
        }
        let begun = Instant::now();
        signal(&child, "TERM");
        assert_eq!(code(&mut child), Some(143), "{form:?}");
        assert!(begun.elapsed() < SOON, "{form:?}: {:?}", begun.elapsed());
        drop(pipe);
    }
}

#[test]
fn a_copy_ends_with_one_signal_too_when_the_agent_is_silent() {
    let dir = TestDir::new();
    let there = format!("guest:{}", dir.path("there").display());
    let mut child = dir.start(&["cp", "/dev/zero", &there]);
    thread::sleep(Duration::from_millis(500));
    for agent in children(&child) {
        kill("STOP", &agent);
    }
    let begun = Instant::now();
    signal(&child, "INT");
    assert_eq!(code(&mut child), Some(130));
    assert!(begun.elapsed() < SOON * 2, "{:?}", begun.elapsed());
}

/// Without a signal, on every transport.
#[test]
fn a_silent_agent_is_lost_within_the_given_time() {
    let dir = TestDir::new();
    let mut agent = Agent::start(&dir);
    let args = [
        "exec",
        "--agent",
        &agent.dir,
        "--silence",
        "1",
        "--",
        "sh",
        "-c",
    ];
    let mut child = dir.start(&[&args[..], &["echo up; exec sleep 972"]].concat());
    read_line(&mut child, "up");
    signal(&agent.child, "STOP");
    let begun = Instant::now();
    let output = end(child);
    signal(&agent.child, "CONT");
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output.stderr.contains("lost: the guest does not answer"),
        "{output:?}"
    );
    let taken = begun.elapsed();
    assert!(
        (Duration::from_secs(1)..SOON * 2).contains(&taken),
        "{taken:?}"
    );
    signal(&agent.child, "TERM");
    assert_eq!(code(&mut agent.child), Some(0));
    assert!(
        !dir.path("agent.sock").exists(),
        "the socket is still there"
    );
    expect_gone("972");
}

#[test]
fn input_that_cannot_be_read_fails_the_run() {
    let dir = TestDir::new();
    let mut command = dir.command(&["exec", "--", "sh", "-c", "cat | wc -c"]);
    command.stdin(File::open("/").expect("it can be opened"));
    let output = end(command.spawn().expect("it starts"));
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output
            .stderr
            .contains("cannot read standard input: Is a directory"),
        "{output:?}"
    );
    assert_eq!(output.stdout, "");
}

/// Another process may have made the shared open file non-blocking.
#[test]
fn streams_that_do_not_block_are_waited_for() {
    let dir = TestDir::new();
    let flags = rustix::pipe::PipeFlags::NONBLOCK | rustix::pipe::PipeFlags::CLOEXEC;
    let (input, mut feeding) = pipe(flags);
    let (mut reading, write_end) = pipe(flags);
    let mut command = dir.command(&["exec", "--", "sh", "-c", "cat; head -c 300000 /dev/zero"]);
    let mut child = command
        .stdin(input)
        .stdout(write_end)
        .spawn()
        .expect("it starts");
    drop(command);
    thread::sleep(Duration::from_millis(300));
    feeding.write_all(b"late\n").expect("there is room");
    drop(feeding);
    thread::sleep(Duration::from_millis(500));
    let mut got = Vec::new();
    let begun = Instant::now();
    loop {
        match reading.read_to_end(&mut got) {
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                assert!(begun.elapsed() < PATIENCE, "the output does not end");
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((got.len(), &got[..5]), (300_005, &b"late\n"[..]));
    assert_eq!(code(&mut child), Some(0));
}

fn pipe(flags: rustix::pipe::PipeFlags) -> (File, File) {
    let (read, write) = rustix::pipe::pipe_with(flags).expect("a pipe");
    (File::from(read), File::from(write))
}

#[test]
fn no_stdin_reads_no_input() {
    let dir = TestDir::new();
    dir.write("lines", "one\ntwo\nthree\n");
    let program = env!("CARGO_BIN_EXE_antiphon");
    for (option, expected) in [("-n", "one 0\ntwo 0\nthree 0\n"), ("--", "one 10\n")] {
        let option = if option == "-n" { "-n --" } else { option };
        let script = format!(
            "while read line; do echo $line $('{program}' exec {option} sh -c 'cat | wc -c'); done"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdout(Stdio::piped());
        command.stdin(File::open(dir.path("lines")).expect("it was written"));
        let output = end(command.spawn().expect("sh starts"));
        assert_eq!(output.stdout, expected, "{option}");
    }
}

/// Runs a job in the background of an interactive shell's terminal.
#[test]
fn a_job_in_the_background_does_not_stop_for_input() {
    let dir = TestDir::new();
    let script = "antiphon exec -- sh -c 'sleep 0.3; echo done' >out & wait; echo over";
    let mut child = on_terminal(&dir, &format!("bash -ic \"{script}\""));
    // The typed line is input for the shell.
    let mut typed = child.stdin.take().expect("it is piped");
    thread::sleep(Duration::from_millis(100));
    typed.write_all(b"typed\n").expect("the terminal takes it");
    let output = end(child);
    drop(typed);
    assert!(output.stdout.contains("over"), "{output:?}");
    assert_eq!(dir.read("out"), b"done\n");
}

#[test]
fn a_command_has_no_terminal_of_its_host() {
    let dir = TestDir::new();
    let line = "antiphon exec -- sh -c 'read x </dev/tty; echo code $?; ps -o tty= -p $$'";
    let mut child = on_terminal(&dir, line);
    let typed = child.stdin.take();
    let output = end(child);
    drop(typed);
    assert!(
        output.stdout.contains("No such device or address"),
        "{output:?}"
    );
    assert!(
        output.stdout.contains("code 2") && output.stdout.contains("?\r\n"),
        "{output:?}"
    );
}

#[test]
fn sigterm_while_the_agent_does_not_shake_hands_ends_at_once() {
    let dir = TestDir::new();
    let socket = dir.path("mute.sock");
    let _mute = std::os::unix::net::UnixListener::bind(&socket).expect("it binds");
    let there = format!("unix:{}", socket.display());
    let mut command = dir.command(&["exec", "--agent", &there, "--", "true"]);
    let mut child = command.process_group(0).spawn().expect("it starts");
    thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    signal(&child, "TERM");
    assert_eq!(code(&mut child), None, "the signal's default ends it");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(fs::metadata(&socket).is_ok());
}
