//! Tests `diff`: what counts as a difference, and how a difference is shown.

use std::io::Write;

use serde_json::Value;

use crate::common::{self, ProgramOutput, TestDir};

/// Records `sh s.sh` in the guest. The request is the same for every script.
fn exec(dir: &TestDir, recording: &str, script: &str) {
    dir.write("s.sh", script);
    let output = dir.run(&[
        "exec",
        "--record",
        recording,
        "--overwrite",
        "--",
        "sh",
        "s.sh",
    ]);
    assert!(output.code.is_some_and(|code| code < 124), "{output:?}");
}

/// Records a run of a protocol.
fn run(
    dir: &TestDir,
    protocol: &str,
    script: &str,
    recording: &str,
    more: &[&str],
) -> ProgramOutput {
    let args = [
        "run",
        protocol,
        "--script",
        script,
        "--record",
        recording,
        "--overwrite",
    ];
    dir.run(&[&args[..], more].concat())
}

fn differ(dir: &TestDir, more: &[&str]) -> String {
    let output = dir.run(&[&["diff", "a.rec", "b.rec"], more].concat());
    assert_eq!(output.code, Some(1), "{output:?}");
    output.stdout
}

fn document(output: &str) -> Value {
    serde_json::from_str(output).expect("one document")
}

/// Returns the two lines of the first difference.
fn sides(output: &str) -> (&str, &str) {
    let side = |mark| output.lines().find_map(|line| line.strip_prefix(mark));
    (
        side("  - ").expect("the left side"),
        side("  + ").expect("the right side"),
    )
}

#[test]
fn two_recordings_of_one_guest_command_are_equal() {
    let dir = TestDir::new();
    let script = "echo out; sleep 0.1; echo err >&2; sleep 0.1; echo more; exit 3";
    exec(&dir, "a.rec", script);
    exec(&dir, "b.rec", script);
    let output = dir.run_ok(&["diff", "a.rec", "b.rec"]);
    assert!(
        output.starts_with("equal: ") && output.ends_with(" messages, 0 calls, 1 session\n"),
        "{output}"
    );
    let output = document(&dir.run_ok(&["diff", "a.rec", "b.rec", "--json"]));
    assert_eq!(output["result"], "equal");
    assert_eq!(output["sessions"], 1);
    assert_eq!(output["calls"], 0);
}

#[test]
fn chunk_boundaries_of_a_stream_are_ignored() {
    let dir = TestDir::new();
    exec(&dir, "a.rec", "printf abcdef; printf 12 >&2; exit 3");
    exec(
        &dir,
        "b.rec",
        "printf 12 >&2; sleep 0.1; printf abc; sleep 0.1; printf d; sleep 0.1; printf ef; exit 3",
    );
    let output = dir.run_ok(&["diff", "a.rec", "b.rec"]);
    assert!(output.starts_with("equal: "), "{output}");
    differ(&dir, &["--exact"]);

    // Missing output is a difference, however the rest is split.
    exec(&dir, "b.rec", "printf abc; sleep 0.1; printf de; exit 3");
    let output = differ(&dir, &[]);
    assert!(output.contains("Agent → Host"), "{output}");
    assert!(output.contains("exec_output.data"), "{output}");
}

#[test]
fn long_outputs_are_cut_around_their_first_difference() {
    let dir = TestDir::new();
    let line = |mark: &str| {
        format!(
            "i=0; while [ $i -lt 200 ]; do printf 0123456789; i=$((i+1)); done; printf {mark}; \
             printf tail"
        )
    };
    exec(&dir, "a.rec", &line("LEFT"));
    exec(&dir, "b.rec", &line("RIGHT"));
    let output = differ(&dir, &[]);
    let (left, right) = sides(&output);
    assert_ne!(left, right, "{output}");
    assert!(left.contains("6789LEFTtail"), "{output}");
    assert!(right.contains("6789RIGHTtail"), "{output}");
    assert!(left.contains("stream: stdout"), "{output}");
    assert!(output.contains("exec_output.data"), "{output}");
    assert!(output.contains("byte 2000"), "{output}");
    let output = document(&differ(&dir, &["--json"]));
    assert_eq!(output["result"], "different");
    assert_eq!(
        (&output["session"], &output["from"], &output["to"]),
        (&0.into(), &"Agent".into(), &"Host".into())
    );
    assert_eq!(output["label"], "exec_output");
    assert_eq!(output["path"], "exec_output.data");
    assert_eq!(output["offset"], 2000);
    assert_ne!(output["left"], output["right"]);
}

#[test]
fn a_difference_names_the_field() {
    let dir = TestDir::new();
    exec(&dir, "a.rec", "echo x; exit 3");
    exec(&dir, "b.rec", "echo x; exit 4");
    let output = differ(&dir, &[]);
    assert!(output.contains("exec_response.exit_code"), "{output}");
    assert!(output.contains("Agent → Host"), "{output}");
    // The equal messages before the difference, with names.
    assert!(
        output.contains("exec_output {stream: stdout, data: b\"x\\n\"}"),
        "{output}"
    );
    let (left, right) = sides(&output);
    assert!(left.contains("exit_code: 3"), "{output}");
    assert!(right.contains("exit_code: 4"), "{output}");
    let output = document(&differ(&dir, &["--json"]));
    assert_eq!(output["path"], "exec_response.exit_code");
}

#[test]
fn time_is_compared_only_on_request() {
    let dir = TestDir::new();
    exec(&dir, "a.rec", "echo x");
    exec(&dir, "b.rec", "sleep 0.3; echo x");
    dir.run_ok(&["diff", "a.rec", "b.rec"]);
    let output = differ(&dir, &["--time"]);
    assert!(output.contains("clock"), "{output}");
    differ(&dir, &["--exact"]);
    dir.run_ok(&["diff", "a.rec", "a.rec", "--time"]);
    dir.run_ok(&["diff", "a.rec", "a.rec", "--exact"]);
}

#[test]
fn calls_are_compared_with_their_arguments_and_results() {
    let dir = TestDir::new();
    let script = |colour: &str, depth: &str| {
        format!(
            "Boss sends wish {colour}\nHand answers World.ready true\nHand sends done\n\
             Hand answers World.paint {{width: 3, depth: {depth}}}\n"
        )
    };
    dir.write("a.script", script("green", "none"));
    dir.write("b.script", script("green", "4"));
    dir.write("c.script", script("red", "none"));
    for name in ["a", "b", "c"] {
        let (script, recording) = (format!("{name}.script"), format!("{name}.rec"));
        let output = run(&dir, "calls.anti", &script, &recording, &[]);
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    assert_eq!(
        dir.run_ok(&["diff", "a.rec", "a.rec"]),
        "equal: 2 messages, 2 calls, 1 session\n"
    );
    insta::assert_snapshot!(differ(&dir, &[]));
    let output = dir.run(&["diff", "a.rec", "c.rec"]);
    insta::assert_snapshot!(output.stdout);
}

#[test]
fn a_session_with_another_end_is_named() {
    let dir = TestDir::new();
    dir.write(
        "a.script",
        "Boss sends wish green\nHand answers World.ready true\nHand sends done\n\
         Hand answers World.paint {width: 3}\n",
    );
    dir.write(
        "b.script",
        "Boss sends wish green\nHand answers World.ready fails denied \"no\"\n",
    );
    run(&dir, "calls.anti", "a.script", "a.rec", &[]);
    run(&dir, "calls.anti", "b.script", "b.rec", &[]);
    let output = differ(&dir, &[]);
    insta::assert_snapshot!(output);
}

#[test]
fn different_protocols_are_both_named() {
    let dir = TestDir::new();
    dir.write(
        "a.script",
        "Boss sends wish green\nHand answers World.ready true\nHand sends done\n\
         Hand answers World.paint {width: 3}\n",
    );
    run(&dir, "calls.anti", "a.script", "a.rec", &[]);
    run(&dir, "two_buyer.anti", "happy.script", "b.rec", &[]);
    let output = differ(&dir, &[]);
    assert!(
        output.contains("Calls") && output.contains("TwoBuyer"),
        "{output}"
    );
    let output = document(&differ(&dir, &["--json"]));
    assert_eq!(output["result"], "different protocols");
    assert_eq!(
        (&output["left"], &output["right"]),
        (&"Calls".into(), &"TwoBuyer".into())
    );
}

#[test]
fn another_configuration_is_a_note_only() {
    let dir = TestDir::new();
    run(&dir, "two_buyer.anti", "happy.script", "a.rec", &[]);
    let policy = ["--policy", "round-robin"];
    run(&dir, "two_buyer.anti", "happy.script", "b.rec", &policy);
    let output = dir.run(&["diff", "a.rec", "b.rec"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.stdout, "equal: 6 messages, 0 calls, 1 session\n");
    assert!(output.stderr.contains("policy"), "{output:?}");
    let output = document(&dir.run_ok(&["diff", "a.rec", "b.rec", "--json"]));
    let notes = output["notes"].as_array().expect("a list");
    assert!(
        notes
            .iter()
            .any(|note| note.as_str().is_some_and(|note| note.contains("policy"))),
        "{output}"
    );
}

#[test]
fn an_incomplete_recording_is_equal_up_to_a_step() {
    let dir = TestDir::new();
    run(&dir, "two_buyer.anti", "happy.script", "a.rec", &[]);
    let whole = dir.read("a.rec");
    let mut compared = 0;
    for len in (0..whole.len()).step_by(13) {
        dir.write("b.rec", &whole[..len]);
        for args in [["diff", "a.rec", "b.rec"], ["diff", "b.rec", "a.rec"]] {
            for more in [&[][..], &["--exact"], &["--time"]] {
                let output = dir.run(&[&args[..], more].concat());
                assert_eq!(output.code, Some(3), "cut at {len}: {output:?}");
                assert!(
                    !output.stdout.starts_with("equal:"),
                    "cut at {len}: {output:?}"
                );
                if !output.stdout.is_empty() {
                    compared += 1;
                    assert!(output.stdout.starts_with("equal up to "), "{output:?}");
                    assert!(output.stdout.contains("b.rec"), "{output:?}");
                }
            }
        }
    }
    assert!(compared > 0);
    let mut bytes = whole;
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    dir.write("b.rec", &bytes);
    for (left, right) in [("a.rec", "b.rec"), ("b.rec", "a.rec"), ("b.rec", "b.rec")] {
        for more in [&[][..], &["--exact"], &["--time"]] {
            let output = dir.run(&[&["diff", left, right], more].concat());
            assert_eq!(output.code, Some(4), "{output:?}");
            assert!(output.stdout.starts_with("equal up to "), "{output:?}");
            assert!(output.stdout.contains("damaged"), "{output:?}");
            let args = [&["diff", left, right, "--json"], more].concat();
            let output = document(&dir.run(&args).stdout);
            assert_eq!(output["result"], "equal_up_to", "{output}");
        }
    }
}

/// Records a command with this input. If `is_open`, the input stays open until the command has
/// ended.
fn exec_with_input(dir: &TestDir, recording: &str, input: &[u8], is_open: bool) {
    let command = ["sh", "-c", "read x; sleep 0.3; echo $x"];
    let args = [&["exec", "--record", recording, "--"], &command[..]].concat();
    let mut child = dir.start(&args);
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input).expect("it reads");
    let open = is_open.then_some(stdin);
    let output = common::end(child);
    drop(open);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "a\n"));
}

#[test]
fn the_amount_of_unread_input_is_ignored() {
    let dir = TestDir::new();
    let mut input = String::new();
    for number in 1..=100_000 {
        input.push_str(&format!("{number}\n"));
    }
    let names = ["1", "2", "3", "4", "5", "6"].map(|name| format!("{name}.rec"));
    for name in &names {
        let args = ["exec", "--record", name, "--", "head", "-1"];
        let output = dir.run_with(&args, input.as_bytes());
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "1\n"));
    }
    for left in &names {
        for right in &names {
            let output = dir.run(&["diff", left, right]);
            assert_eq!(output.code, Some(0), "{left} {right}: {output:?}");
            assert!(output.stdout.starts_with("equal: "), "{output:?}");
        }
    }
}

#[test]
fn the_end_of_unread_input_is_ignored() {
    let dir = TestDir::new();
    exec_with_input(&dir, "ended.rec", b"a\nb\n", false);
    exec_with_input(&dir, "open.rec", b"a\nb\n", true);
    exec_with_input(&dir, "short.rec", b"a\n", true);
    exec_with_input(&dir, "short_ended.rec", b"a\n", false);
    let eof = |name: &str| dir.run_ok(&["show", name]).contains("stdin_eof");
    assert!(eof("ended.rec") && eof("short_ended.rec"));
    assert!(!eof("open.rec") && !eof("short.rec"));
    for (left, right) in [
        ("ended.rec", "open.rec"),
        ("ended.rec", "short.rec"),
        ("open.rec", "short.rec"),
        ("short_ended.rec", "short.rec"),
    ] {
        for (left, right) in [(left, right), (right, left)] {
            let output = dir.run(&["diff", left, right]);
            assert_eq!(output.code, Some(0), "{left} {right}: {output:?}");
            assert_eq!(output.stdout, "equal: 6 messages, 0 calls, 1 session\n");
        }
    }
    // Inputs that ended while the command was running, and a shorter one.
    for other in ["ended.rec", "open.rec"] {
        let output = dir.run(&["diff", "short_ended.rec", other]);
        assert_eq!(output.code, Some(1), "{other}: {output:?}");
        assert!(output.stdout.contains("stdin_data, byte 2"), "{output:?}");
    }
}
