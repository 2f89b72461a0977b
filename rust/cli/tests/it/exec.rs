//! Tests `exec` with the agent that it starts itself.

use std::fs;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, ProgramOutput, TestDir, end, expect_gone, read_line, signal, wait};

/// The liveness contract: a lost agent is reported within this time.
const LOST_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn the_exit_code_is_the_guest_commands() {
    let dir = TestDir::new();
    for (script, code) in [
        ("true", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let output = dir.run(&["exec", "--", "sh", "-c", script]);
        let expected = ProgramOutput {
            code: Some(code),
            stdout: String::new(),
            stderr: String::new(),
        };
        assert_eq!(output, expected, "{script}");
    }
}

#[test]
fn a_command_that_cannot_be_run_has_its_own_exit_codes() {
    let dir = TestDir::new();
    dir.write("plain", "not a program");
    let output = dir.run(&["exec", "--", "no-such-program"]);
    assert_eq!(output.code, Some(127), "{output:?}");
    assert!(
        output.stderr.contains("`no-such-program`: not_found"),
        "{output:?}"
    );
    let output = dir.run(&["exec", "--", "./plain"]);
    assert_eq!(output.code, Some(126), "{output:?}");
}

#[test]
fn streams_are_kept_apart_and_input_arrives() {
    let dir = TestDir::new();
    let output = dir.run_with(&["exec", "--", "sh", "-c", "cat; echo err >&2"], b"in\nput");
    let expected = ProgramOutput {
        code: Some(0),
        stdout: "in\nput".to_owned(),
        stderr: "err\n".to_owned(),
    };
    assert_eq!(output, expected);
}

#[test]
fn bytes_pass_unchanged_in_both_directions() {
    let dir = TestDir::new();
    // Longer than every window and buffer on the way, with escape sequences and bytes that are not
    // text.
    let bytes: Vec<u8> = (0..6_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    dir.write("in", &bytes);
    let mut command = dir.command(&["exec", "--record", "big.rec", "--", "cat"]);
    command.stdin(fs::File::open(dir.path("in")).expect("just written"));
    command.stdout(fs::File::create(dir.path("out")).expect("the directory is writable"));
    let output = end(command.spawn().expect("it starts"));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        dir.read("out") == bytes,
        "what came back is not what went in"
    );
    dir.run_ok(&["replay", "big.rec"]);
}

#[test]
fn a_command_that_reads_nothing_ends_all_the_same() {
    let dir = TestDir::new();
    let zero = fs::File::open("/dev/zero").expect("there is one");
    let mut command = dir.command(&["exec", "--", "sh", "-c", "exit 4"]);
    let output = end(command.stdin(zero).spawn().expect("it starts"));
    assert_eq!(output.code, Some(4), "{output:?}");
}

#[test]
fn input_that_never_ends_does_not_hold_up_the_end() {
    let dir = TestDir::new();
    let mut child = dir.start(&["exec", "--", "echo", "done"]);
    let stdin = child.stdin.take();
    let output = end(child);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "done\n"));
    drop(stdin);
}

#[test]
fn environment_and_directory_are_the_commands() {
    let dir = TestDir::new();
    let there = dir.path(".").canonicalize().expect("it is there");
    let cwd = there.to_str().expect("plain");
    let script = "pwd; echo $COLOUR; echo $EMPTY.";
    let args = [
        "exec",
        "--cwd",
        cwd,
        "-e",
        "COLOUR=blue=green",
        "--env",
        "EMPTY=",
        "--",
        "sh",
        "-c",
        script,
    ];
    assert_eq!(dir.run_ok(&args), format!("{cwd}\nblue=green\n.\n"));
}

#[test]
fn the_deadline_ends_the_command_and_what_it_started() {
    let dir = TestDir::new();
    let begun = Instant::now();
    let output = dir.run(&[
        "exec",
        "--deadline",
        "0.3",
        "--",
        "sh",
        "-c",
        "sleep 987 & sleep 987",
    ]);
    assert_eq!(output.code, Some(124), "{output:?}");
    assert!(
        output.stderr.contains("its deadline of 0.3 s has passed"),
        "{output:?}"
    );
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    expect_gone("987");
}

#[test]
fn a_signal_ends_the_command_and_then_the_session() {
    for (name, number, seconds) in [("INT", 2, "981"), ("TERM", 15, "982"), ("HUP", 1, "983")] {
        let dir = TestDir::new();
        let script = format!("echo started; exec sleep {seconds}");
        let args = ["exec", "--record", "cut.rec", "--", "sh", "-c", &script];
        let mut child = dir.start(&args);
        read_line(&mut child, "started");
        signal(&child, name);
        let output = end(child);
        assert_eq!(output.code, Some(128 + number), "{output:?}");
        expect_gone(seconds);
        // The session ended by its protocol, so the recording is complete.
        let shown = dir.run_ok(&["show", "cut.rec"]);
        let forwarded = format!("Feeder → Sink       signal {{signo: {number}}}");
        assert!(shown.contains(&forwarded), "{shown}");
        assert!(shown.contains("ended: closed"), "{shown}");
        dir.run_ok(&["replay", "cut.rec"]);
    }
}

#[test]
fn a_signal_while_input_is_blocked_ends_the_session_too() {
    let dir = TestDir::new();
    let zero = fs::File::open("/dev/zero").expect("there is one");
    let mut command = dir.command(&[
        "exec",
        "--record",
        "z.rec",
        "--",
        "sh",
        "-c",
        "echo started; exec sleep 984",
    ]);
    let mut child = command.stdin(zero).spawn().expect("it starts");
    read_line(&mut child, "started");
    thread::sleep(Duration::from_millis(100));
    signal(&child, "TERM");
    assert_eq!(end(child).code, Some(143));
    expect_gone("984");
    dir.run_ok(&["replay", "z.rec"]);
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let dir = TestDir::new();
    let mut child = dir.start(&["exec", "--", "sh", "-c", "while :; do echo 985; done"]);
    read_line(&mut child, "985");
    drop(child.stdout.take());
    let output = end(child);
    assert_eq!((output.code, output.stderr.as_str()), (Some(141), ""));
}

#[test]
fn a_killed_agent_is_reported_as_lost() {
    let dir = TestDir::new();
    let agent = dir.path("agent.sock");
    let path = agent.to_str().expect("plain").to_owned();
    let mut serving = dir.start(&["agent", "--unix", &path]);
    let begun = Instant::now();
    while !agent.exists() {
        assert!(begun.elapsed() < PATIENCE, "the agent does not listen");
        thread::sleep(Duration::from_millis(5));
    }
    let there = format!("unix:{path}");
    assert_eq!(
        dir.run_ok(&["exec", "--agent", &there, "--", "echo", "here"]),
        "here\n"
    );

    let args = [
        "exec",
        "--record",
        "lost.rec",
        "--agent",
        &there,
        "--",
        "sh",
        "-c",
        "echo started; exec sleep 5",
    ];
    let mut child = dir.start(&args);
    read_line(&mut child, "started");
    serving.kill().expect("it is ours");
    wait(&mut serving);
    let begun = Instant::now();
    let output = end(child);
    assert!(begun.elapsed() < LOST_WITHIN, "{:?}", begun.elapsed());
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("lost"), "{output:?}");
    // Without an agent, the replay ends in the same way.
    dir.run_ok(&["replay", "lost.rec"]);
    assert!(dir.run_ok(&["show", "lost.rec"]).contains("lost"));

    let output = dir.run(&["exec", "--agent", &there, "--", "true"]);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output.stderr.contains("cannot reach the agent"),
        "{output:?}"
    );
}

#[test]
fn a_recorded_command_replays_and_shows_its_streams() {
    let dir = TestDir::new();
    let args = [
        "exec",
        "--record",
        "a.rec",
        "--",
        "sh",
        "-c",
        "echo out; exit 3",
    ];
    let output = dir.run_with(&args, b"in");
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(3), "out\n"),
        "{output:?}"
    );
    assert!(dir.run_ok(&["replay", "a.rec"]).starts_with("equal: "));
    let shown = dir.run_ok(&["show", "a.rec"]);
    // Steps and times differ between runs; roles and messages do not.
    let message = |line: &str| {
        shown
            .lines()
            .any(|shown| shown.get(17..).is_some_and(|s| s.contains(line)))
    };
    for line in [
        "Host → Agent        exec_request {cmd: \"sh\", argv: [\"sh\", \"-c\", \"echo out; exit \
         3\"]",
        "Agent → Host        exec_output {stream: stdout, data: b\"out\\n\"}",
        "Agent → Host        exec_response {exit_code: 3, signal: none, timed_out: false}",
        "ended: closed",
    ] {
        assert!(message(line), "{line} is not in\n{shown}");
    }
}

#[test]
fn a_changed_recording_is_detected() {
    let dir = TestDir::new();
    dir.run_ok(&["exec", "--record", "a.rec", "--", "echo", "the truth"]);
    let bytes = dir.read("a.rec");
    let at = bytes
        .windows(9)
        .rposition(|w| w == b"the truth")
        .expect("it is in the recording");
    let mut changed = bytes.clone();
    changed[at..at + 9].copy_from_slice(b"some lies");
    dir.write("a.rec", &changed);
    let output = dir.run(&["replay", "a.rec"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    assert!(
        output.stderr.contains("is damaged between byte"),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("its digest does not match"),
        "{output:?}"
    );
}

/// Kills the program at several points while it records. Each recording opens, reports its valid
/// length, and replays up to there.
#[test]
fn kill_leaves_a_recording_that_replays() {
    let dir = TestDir::new();
    let mut cut = 0;
    for round in 0..8u64 {
        let name = format!("kill{round}.rec");
        let script = "i=0; while :; do i=$((i+1)); echo line $i; done";
        let mut child = dir.start(&["exec", "--record", &name, "--", "sh", "-c", script]);
        let mut stdout = child.stdout.take().expect("it is piped");
        let mut some = vec![0; 1 << (6 + 2 * round)];
        stdout.read_exact(&mut some).expect("it writes without end");
        child.kill().expect("it is ours");
        wait(&mut child);
        drop(stdout);

        let output = dir.run(&["replay", &name]);
        assert_eq!(output.code, Some(3), "{output:?}");
        assert!(
            output.stdout.starts_with("equal up to step ")
                && output.stdout.contains(", then the recording ends"),
            "{output:?}"
        );
        assert!(
            output.stderr.contains("it is valid up to record "),
            "{output:?}"
        );
        let output = dir.run(&["show", &name]);
        assert_eq!(output.code, Some(3), "{output:?}");
        cut += output.stdout.matches("exec_output").count();
    }
    assert!(
        cut > 0,
        "output that was seen must be in one of the recordings"
    );
}

#[test]
fn the_exit_code_does_not_depend_on_the_reader_of_the_last_document() {
    let dir = TestDir::new();
    let mut child = dir.start(&["exec", "--json", "--", "sh", "-c", "sleep 0.3; exit 3"]);
    drop(child.stdout.take());
    let output = end(child);
    assert_eq!((output.code, output.stderr.as_str()), (Some(3), ""));
}

#[test]
fn json_distinguishes_equal_exit_codes() {
    let dir = TestDir::new();
    let output = dir.run(&["exec", "--json", "--", "sh", "-c", "printf out; exit 124"]);
    assert_eq!(output.code, Some(124), "{output:?}");
    let documents: Vec<serde_json::Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is a document"))
        .collect();
    assert_eq!(documents.len(), 2, "{documents:?}");
    assert_eq!(documents[0]["stream"], "stdout");
    assert_eq!(documents[0]["base64"], "b3V0");
    assert_eq!(documents[1]["reason"], "exited");
    assert_eq!(documents[1]["code"], 124);
    let output = dir.run(&["exec", "--json", "--deadline", "0.2", "--", "sleep", "988"]);
    let last = output.stdout.lines().last().expect("there is one");
    let last: serde_json::Value = serde_json::from_str(last).expect("a document");
    assert_eq!(
        (&last["reason"], &last["code"]),
        (&"deadline".into(), &124.into())
    );
}

/// Two threads write documents that are longer than one write to a pipe.
#[test]
fn documents_of_both_streams_do_not_mix() {
    let dir = TestDir::new();
    let script = "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait";
    let mut child = dir.start(&["exec", "--json", "--", "sh", "-c", script]);
    let mut stdout = child.stdout.take().expect("it is piped");
    let (mut all, mut piece) = (Vec::new(), vec![0; 4096]);
    // Read slowly, so that the pipe is full.
    while let Ok(len @ 1..) = stdout.read(&mut piece) {
        all.extend_from_slice(&piece[..len]);
        thread::sleep(Duration::from_micros(20));
    }
    assert_eq!(end(child).code, Some(0));
    let mut lens = std::collections::BTreeMap::new();
    for line in all
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let document: serde_json::Value = serde_json::from_slice(line).expect("a whole document");
        let base64 = document["base64"].as_str().unwrap_or_default();
        let stream = document["stream"].as_str().unwrap_or_default().to_owned();
        *lens.entry(stream).or_insert(0) += base64.trim_end_matches('=').len() * 3 / 4;
    }
    assert_eq!((lens["stdout"], lens["stderr"]), (3_000_000, 3_000_000));
}

#[test]
fn another_protocol_can_replace_the_shipped_one() {
    let dir = TestDir::new();
    let args = [
        "exec",
        "--protocol",
        "once.anti",
        "--record",
        "m.rec",
        "--",
        "echo",
        "mine",
    ];
    assert_eq!(dir.run_ok(&args), "mine\n");
    assert!(dir.run_ok(&["show", "m.rec"]).contains("opened Once"));

    // The protocol allows one piece of output. A guest that writes two violates it, and the error
    // says so.
    let script = "echo one; sleep 0.5; echo two";
    let args = ["exec", "--protocol", "once.anti", "--", "sh", "-c", script];
    let output = dir.run(&args);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("contract_violation"), "{output:?}");
    assert!(output.stderr.contains("`exec_output`"), "{output:?}");

    dir.write(
        "wrong.anti",
        "global protocol P(role A, role B) { hi() from A to C; }",
    );
    let output = dir.run(&["exec", "--protocol", "wrong.anti", "--", "true"]);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("`P` has no role `C`"), "{output:?}");
}

/// A serial line is a device or a socket; a regular file is not touched.
#[test]
fn a_regular_file_is_not_a_serial_line() {
    let dir = TestDir::new();
    dir.write("sent", "precious");
    let output = dir.run(&["exec", "--agent", "serial:sent", "--", "true"]);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output
            .stderr
            .contains("neither a character device nor a socket"),
        "{output:?}"
    );
    assert_eq!(dir.read("sent"), b"precious");
}
