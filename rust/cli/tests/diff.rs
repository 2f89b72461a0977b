//! `antiphon diff`: what counts as a difference, and how one is shown.

mod common;

use std::io::Write;

use common::{Place, Told};
use serde_json::Value;

/// Records `sh s.sh` in the guest, so that recordings of other scripts have the same request.
fn exec(place: &Place, recording: &str, script: &str) {
    place.write("s.sh", script);
    let told = place.run(&[
        "exec",
        "--record",
        recording,
        "--overwrite",
        "--",
        "sh",
        "s.sh",
    ]);
    assert!(told.code.is_some_and(|code| code < 124), "{told:?}");
}

/// Records a run of a protocol.
fn run(place: &Place, protocol: &str, script: &str, recording: &str, more: &[&str]) -> Told {
    let args = [
        "run",
        protocol,
        "--script",
        script,
        "--record",
        recording,
        "--overwrite",
    ];
    place.run(&[&args[..], more].concat())
}

fn differ(place: &Place, more: &[&str]) -> String {
    let told = place.run(&[&["diff", "a.rec", "b.rec"], more].concat());
    assert_eq!(told.code, Some(1), "{told:?}");
    told.stdout
}

fn document(told: &str) -> Value {
    serde_json::from_str(told).expect("one document")
}

/// The two lines of the first difference.
fn sides(told: &str) -> (&str, &str) {
    let side = |mark| told.lines().find_map(|line| line.strip_prefix(mark));
    (
        side("  - ").expect("the left side"),
        side("  + ").expect("the right side"),
    )
}

#[test]
fn two_recordings_of_one_guest_command_are_equal() {
    let place = Place::new();
    let script = "echo out; sleep 0.1; echo err >&2; sleep 0.1; echo more; exit 3";
    exec(&place, "a.rec", script);
    exec(&place, "b.rec", script);
    let told = place.good(&["diff", "a.rec", "b.rec"]);
    assert!(
        told.starts_with("equal: ") && told.ends_with(" messages, 0 calls, 1 session\n"),
        "{told}"
    );
    let told = document(&place.good(&["diff", "a.rec", "b.rec", "--json"]));
    assert_eq!(told["result"], "equal");
    assert_eq!(told["sessions"], 1);
    assert_eq!(told["calls"], 0);
}

#[test]
fn how_a_stream_is_cut_into_chunks_does_not_count() {
    let place = Place::new();
    exec(&place, "a.rec", "printf abcdef; printf 12 >&2; exit 3");
    exec(
        &place,
        "b.rec",
        "printf 12 >&2; sleep 0.1; printf abc; sleep 0.1; printf d; sleep 0.1; printf ef; exit 3",
    );
    let told = place.good(&["diff", "a.rec", "b.rec"]);
    assert!(told.starts_with("equal: "), "{told}");
    differ(&place, &["--exact"]);

    // What one of the streams lacks is a difference, however the rest is cut.
    exec(&place, "b.rec", "printf abc; sleep 0.1; printf de; exit 3");
    let told = differ(&place, &[]);
    assert!(told.contains("Agent → Host"), "{told}");
    assert!(told.contains("exec_output.data"), "{told}");
}

#[test]
fn long_outputs_are_cut_around_their_first_difference() {
    let place = Place::new();
    let line = |mark: &str| {
        format!(
            "i=0; while [ $i -lt 200 ]; do printf 0123456789; i=$((i+1)); done; printf {mark}; \
             printf tail"
        )
    };
    exec(&place, "a.rec", &line("LEFT"));
    exec(&place, "b.rec", &line("RIGHT"));
    let told = differ(&place, &[]);
    let (left, right) = sides(&told);
    assert_ne!(left, right, "{told}");
    assert!(left.contains("6789LEFTtail"), "{told}");
    assert!(right.contains("6789RIGHTtail"), "{told}");
    assert!(left.contains("stream: stdout"), "{told}");
    assert!(told.contains("exec_output.data"), "{told}");
    assert!(told.contains("byte 2000"), "{told}");
    let told = document(&differ(&place, &["--json"]));
    assert_eq!(told["result"], "different");
    assert_eq!(
        (&told["session"], &told["from"], &told["to"]),
        (&0.into(), &"Agent".into(), &"Host".into())
    );
    assert_eq!(told["label"], "exec_output");
    assert_eq!(told["path"], "exec_output.data");
    assert_eq!(told["offset"], 2000);
    assert_ne!(told["left"], told["right"]);
}

#[test]
fn a_record_is_named_down_to_the_field_that_differs() {
    let place = Place::new();
    exec(&place, "a.rec", "echo x; exit 3");
    exec(&place, "b.rec", "echo x; exit 4");
    let told = differ(&place, &[]);
    assert!(told.contains("exec_response.exit_code"), "{told}");
    assert!(told.contains("Agent → Host"), "{told}");
    // The equal messages before it, with names.
    assert!(
        told.contains("exec_output {stream: stdout, data: b\"x\\n\"}"),
        "{told}"
    );
    let (left, right) = sides(&told);
    assert!(left.contains("exit_code: 3"), "{told}");
    assert!(right.contains("exit_code: 4"), "{told}");
    let told = document(&differ(&place, &["--json"]));
    assert_eq!(told["path"], "exec_response.exit_code");
}

#[test]
fn time_counts_only_where_it_is_asked_for() {
    let place = Place::new();
    exec(&place, "a.rec", "echo x");
    exec(&place, "b.rec", "sleep 0.3; echo x");
    place.good(&["diff", "a.rec", "b.rec"]);
    let told = differ(&place, &["--time"]);
    assert!(told.contains("clock"), "{told}");
    differ(&place, &["--exact"]);
    place.good(&["diff", "a.rec", "a.rec", "--time"]);
    place.good(&["diff", "a.rec", "a.rec", "--exact"]);
}

#[test]
fn calls_are_compared_with_their_arguments_and_results() {
    let place = Place::new();
    let script = |colour: &str, depth: &str| {
        format!(
            "Boss sends wish {colour}\nHand answers World.ready true\nHand sends done\n\
             Hand answers World.paint {{width: 3, depth: {depth}}}\n"
        )
    };
    place.write("a.script", script("green", "none"));
    place.write("b.script", script("green", "4"));
    place.write("c.script", script("red", "none"));
    for name in ["a", "b", "c"] {
        let (script, recording) = (format!("{name}.script"), format!("{name}.rec"));
        let told = run(&place, "calls.anti", &script, &recording, &[]);
        assert_eq!(told.code, Some(0), "{told:?}");
    }
    assert_eq!(
        place.good(&["diff", "a.rec", "a.rec"]),
        "equal: 2 messages, 2 calls, 1 session\n"
    );
    insta::assert_snapshot!(differ(&place, &[]));
    let told = place.run(&["diff", "a.rec", "c.rec"]);
    insta::assert_snapshot!(told.stdout);
}

#[test]
fn a_session_that_ended_otherwise_is_named() {
    let place = Place::new();
    place.write(
        "a.script",
        "Boss sends wish green\nHand answers World.ready true\nHand sends done\n\
         Hand answers World.paint {width: 3}\n",
    );
    place.write(
        "b.script",
        "Boss sends wish green\nHand answers World.ready fails denied \"no\"\n",
    );
    run(&place, "calls.anti", "a.script", "a.rec", &[]);
    run(&place, "calls.anti", "b.script", "b.rec", &[]);
    let told = differ(&place, &[]);
    insta::assert_snapshot!(told);
}

#[test]
fn recordings_of_other_protocols_are_named_both() {
    let place = Place::new();
    place.write(
        "a.script",
        "Boss sends wish green\nHand answers World.ready true\nHand sends done\n\
         Hand answers World.paint {width: 3}\n",
    );
    run(&place, "calls.anti", "a.script", "a.rec", &[]);
    run(&place, "two_buyer.anti", "happy.script", "b.rec", &[]);
    let told = differ(&place, &[]);
    assert!(
        told.contains("Calls") && told.contains("TwoBuyer"),
        "{told}"
    );
    let told = document(&differ(&place, &["--json"]));
    assert_eq!(told["result"], "different protocols");
    assert_eq!(
        (&told["left"], &told["right"]),
        (&"Calls".into(), &"TwoBuyer".into())
    );
}

#[test]
fn another_configuration_is_a_note_and_no_difference() {
    let place = Place::new();
    run(&place, "two_buyer.anti", "happy.script", "a.rec", &[]);
    let policy = ["--policy", "round-robin"];
    run(&place, "two_buyer.anti", "happy.script", "b.rec", &policy);
    let told = place.run(&["diff", "a.rec", "b.rec"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.stdout, "equal: 6 messages, 0 calls, 1 session\n");
    assert!(told.stderr.contains("policy"), "{told:?}");
    let told = document(&place.good(&["diff", "a.rec", "b.rec", "--json"]));
    let notes = told["notes"].as_array().expect("a list");
    assert!(
        notes
            .iter()
            .any(|note| note.as_str().is_some_and(|note| note.contains("policy"))),
        "{told}"
    );
}

#[test]
fn a_recording_that_is_not_whole_is_equal_up_to_a_step() {
    let place = Place::new();
    run(&place, "two_buyer.anti", "happy.script", "a.rec", &[]);
    let whole = place.read("a.rec");
    let mut compared = 0;
    for len in (0..whole.len()).step_by(13) {
        place.write("b.rec", &whole[..len]);
        for args in [["diff", "a.rec", "b.rec"], ["diff", "b.rec", "a.rec"]] {
            for more in [&[][..], &["--exact"], &["--time"]] {
                let told = place.run(&[&args[..], more].concat());
                assert_eq!(told.code, Some(3), "cut at {len}: {told:?}");
                assert!(!told.stdout.starts_with("equal:"), "cut at {len}: {told:?}");
                if !told.stdout.is_empty() {
                    compared += 1;
                    assert!(told.stdout.starts_with("equal up to "), "{told:?}");
                    assert!(told.stdout.contains("b.rec"), "{told:?}");
                }
            }
        }
    }
    assert!(compared > 0);
    let mut bytes = whole;
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    place.write("b.rec", &bytes);
    for (left, right) in [("a.rec", "b.rec"), ("b.rec", "a.rec"), ("b.rec", "b.rec")] {
        for more in [&[][..], &["--exact"], &["--time"]] {
            let told = place.run(&[&["diff", left, right], more].concat());
            assert_eq!(told.code, Some(4), "{told:?}");
            assert!(told.stdout.starts_with("equal up to "), "{told:?}");
            assert!(told.stdout.contains("damaged"), "{told:?}");
            let args = [&["diff", left, right, "--json"], more].concat();
            let told = document(&place.run(&args).stdout);
            assert_eq!(told["result"], "equal_up_to", "{told}");
        }
    }
}

/// Records a command with this input, and keeps the input open until the command has ended where
/// `is_open`.
fn exec_with_input(place: &Place, recording: &str, input: &[u8], is_open: bool) {
    let command = ["sh", "-c", "read x; sleep 0.3; echo $x"];
    let args = [&["exec", "--record", recording, "--"], &command[..]].concat();
    let mut child = place.start(&args);
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input).expect("it reads");
    let open = is_open.then_some(stdin);
    let told = common::end(child);
    drop(open);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "a\n"));
}

#[test]
fn how_much_input_was_sent_before_the_command_ended_does_not_count() {
    let place = Place::new();
    let mut input = String::new();
    for number in 1..=100_000 {
        input.push_str(&format!("{number}\n"));
    }
    let names = ["1", "2", "3", "4", "5", "6"].map(|name| format!("{name}.rec"));
    for name in &names {
        let args = ["exec", "--record", name, "--", "head", "-1"];
        let told = place.run_with(&args, input.as_bytes());
        assert_eq!((told.code, told.stdout.as_str()), (Some(0), "1\n"));
    }
    for left in &names {
        for right in &names {
            let told = place.run(&["diff", left, right]);
            assert_eq!(told.code, Some(0), "{left} {right}: {told:?}");
            assert!(told.stdout.starts_with("equal: "), "{told:?}");
        }
    }
}

#[test]
fn whether_the_input_ended_before_the_command_did_does_not_count() {
    let place = Place::new();
    exec_with_input(&place, "ended.rec", b"a\nb\n", false);
    exec_with_input(&place, "open.rec", b"a\nb\n", true);
    exec_with_input(&place, "short.rec", b"a\n", true);
    exec_with_input(&place, "short_ended.rec", b"a\n", false);
    let eof = |name: &str| place.good(&["show", name]).contains("stdin_eof");
    assert!(eof("ended.rec") && eof("short_ended.rec"));
    assert!(!eof("open.rec") && !eof("short.rec"));
    for (left, right) in [
        ("ended.rec", "open.rec"),
        ("ended.rec", "short.rec"),
        ("open.rec", "short.rec"),
        ("short_ended.rec", "short.rec"),
    ] {
        for (left, right) in [(left, right), (right, left)] {
            let told = place.run(&["diff", left, right]);
            assert_eq!(told.code, Some(0), "{left} {right}: {told:?}");
            assert_eq!(told.stdout, "equal: 6 messages, 0 calls, 1 session\n");
        }
    }
    // Two inputs that ended with the command still running, and an end before what was sent.
    for other in ["ended.rec", "open.rec"] {
        let told = place.run(&["diff", "short_ended.rec", other]);
        assert_eq!(told.code, Some(1), "{other}: {told:?}");
        assert!(told.stdout.contains("stdin_data, byte 2"), "{told:?}");
    }
}
