//! Tests `run` with scripts and with typed answers.

use std::io::Read;

use crate::common::{self, TestDir};

const RUN: [&str; 4] = ["run", "two_buyer.anti", "--script", "s.script"];

#[test]
fn a_script_plays_every_role() {
    let dir = TestDir::new();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    insta::assert_snapshot!("happy", dir.run_ok(&run));
    insta::assert_snapshot!("happy_all", dir.run_ok(&[&run[..], &["--all"]].concat()));
    let documents = dir.run_ok(&[&run[..], &["--json"]].concat());
    let last = documents.lines().last().expect("there is a summary");
    let last: serde_json::Value = serde_json::from_str(last).expect("each line is a document");
    assert_eq!(
        (&last["ok"], &last["end"]),
        (&true.into(), &"closed".into())
    );
}

#[test]
fn the_policy_changes_only_the_interleaving() {
    let dir = TestDir::new();
    let message = |policy: &str| {
        let run = [
            "run",
            "two_buyer.anti",
            "--script",
            "happy.script",
            "--policy",
            policy,
        ];
        let text = dir.run_ok(&run);
        // Step and clock are in the first 17 columns.
        let mut lines: Vec<String> = text.lines().map(|line| line[17..].to_owned()).collect();
        lines.sort();
        (text, lines)
    };
    let (cooperative, lines) = message("cooperative");
    let (robin, other) = message("round-robin");
    assert_eq!(lines, other);
    assert_ne!(cooperative, robin, "a policy that changes nothing is none");
}

#[test]
fn a_script_has_every_form_of_line_and_value() {
    let dir = TestDir::new();
    dir.write(
        "calls.script",
        "repeat 1 # a loop of one\n\
         Boss sends wish green\n\
         end\n\
         Hand gets wish green\n\
         Hand answers World.ready true\n\
         Hand sends done\n\
         Hand answers World.paint {width: 7}\n\
         Boss gets done {width: 7, depth: none}\n",
    );
    let run = ["run", "calls.anti", "--script", "calls.script"];
    insta::assert_snapshot!("calls", dir.run_ok(&run));
}

#[test]
fn a_call_that_fails_or_is_never_answered_takes_its_branch() {
    let dir = TestDir::new();
    for (name, answer) in [
        ("fails", "fails unavailable \"no \\u{1b}[31mpaint\""),
        ("later", "later"),
    ] {
        dir.write(
            "s.script",
            format!(
                "Boss sends wish red\nHand answers World.ready true\nHand sends done\n\
                 Hand answers World.paint {answer}\nBoss gets late\n"
            ),
        );
        let run = ["run", "calls.anti", "--script", "s.script"];
        insta::assert_snapshot!(format!("calls_{name}"), dir.run_ok(&run));
    }
}

#[test]
fn a_fault_is_printed_and_exits_with_one() {
    let dir = TestDir::new();
    dir.write(
        "s.script",
        "Boss sends wish red\nHand answers World.ready fails denied \"not you\"\n",
    );
    let output = dir.run(&["run", "calls.anti", "--script", "s.script"]);
    assert_eq!(output.code, Some(1));
    insta::assert_snapshot!(output.stdout);
}

#[test]
fn a_script_reports_all_errors_before_the_run() {
    let dir = TestDir::new();
    dir.write(
        "s.script",
        "Ann sends title 7\n\
         Eve sends title \"x\"\n\
         Bob sends quote 7\n\
         Shop sends quote -1\n\
         Ann shouts title\n\
         Ann sends\n\
         Bob sends quit ()\n\
         Bob gets share \"x\n\
         Bob gets share 7 8\n\
         Bob answers World.ready true\n\
         end\n\
         repeat many\n\
         repeat 3\n\
         Bob sends ok fails badly\n",
    );
    let output = dir.run(&RUN);
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.is_empty(), "nothing has run: {output:?}");
    insta::assert_snapshot!(output.stderr);
}

#[test]
fn a_script_that_repeats_without_end_is_refused() {
    let dir = TestDir::new();
    let nested = "repeat 1000\n".repeat(7) + "Ann sends title \"x\"\n" + &"end\n".repeat(7);
    dir.write("s.script", nested);
    let output = dir.run(&RUN);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("more than 1048576 answers"),
        "{output:?}"
    );
}

#[test]
fn a_mismatch_with_the_script_names_its_line() {
    let dir = TestDir::new();
    for (name, script) in [
        (
            "other",
            "Ann sends title \"x\"\nShop sends quote 1\nAnn gets quote 2\n",
        ),
        ("missing", "Ann sends title \"x\"\n"),
        (
            "left_over",
            "Ann sends title \"x\"\nShop sends quote 1\nAnn sends share 1\nBob sends quit\nBob \
             sends quit\n",
        ),
        ("value_not_given", "Ann sends title\n"),
    ] {
        dir.write("s.script", script);
        let output = dir.run(&RUN);
        assert_eq!(output.code, Some(1), "{output:?}");
        insta::assert_snapshot!(format!("mismatch_{name}"), output.stderr);
    }
}

#[test]
fn without_a_script_each_answer_is_typed() {
    let dir = TestDir::new();
    let typed = b"\"Moby Dick\"\n42\nmaybe\n21\nok\n\"12 Elm Street\"\n\"Monday\"\n";
    let output = dir.run_with(&["run", "two_buyer.anti"], typed);
    assert_eq!(output.code, Some(0), "{output:?}");
    insta::assert_snapshot!("typed", format!("{}---\n{}", output.stdout, output.stderr));

    let output = dir.run_with(&["run", "two_buyer.anti"], b"\"Moby Dick\"\n");
    assert_eq!(output.code, Some(1));
    assert!(
        output
            .stderr
            .contains("the input ended before the protocol"),
        "{output:?}"
    );
    assert!(output.stdout.contains("ended: cancelled"), "{output:?}");
}

#[test]
fn an_endless_run_stops_at_the_step_limit() {
    let dir = TestDir::new();
    dir.write(
        "loop.anti",
        "global protocol L(role A, role B) { rec X { hi() from A to B; continue X; } }\n",
    );
    dir.write("empty.script", "");
    let run = [
        "run",
        "loop.anti",
        "--script",
        "empty.script",
        "--steps-max",
        "1000",
    ];
    let output = dir.run(&run);
    assert_eq!(output.code, Some(1));
    assert!(
        output
            .stderr
            .contains("the run was stopped after 1000 steps"),
        "{output:?}"
    );
}

#[test]
fn a_closed_standard_output_is_not_an_error() {
    let dir = TestDir::new();
    dir.write(
        "loop.anti",
        "global protocol L(role A, role B) { rec X { hi() from A to B; continue X; } }\n",
    );
    dir.write("empty.script", "");
    let mut child = dir.start(&["run", "loop.anti", "--script", "empty.script"]);
    drop(child.stdout.take());
    let output = common::end(child);
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(0), ""),
        "{output:?}"
    );
}

#[test]
fn a_signal_ends_a_run_and_its_recording_cleanly() {
    let dir = TestDir::new();
    let text = "global protocol L(role A, role B) { rec X { hi() from A to B; continue X; } }\n";
    dir.write("loop.anti", text);
    dir.write("empty.script", "");
    let args = [
        "run",
        "loop.anti",
        "--script",
        "empty.script",
        "--record",
        "l.rec",
    ];
    let mut child = dir.start(&args);
    let mut some = [0; 4096];
    let stdout = child.stdout.as_mut().expect("it is piped");
    stdout.read_exact(&mut some).expect("it prints without end");
    common::signal(&child, "INT");
    let output = common::end(child);
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert!(output.stdout.ends_with("ended: cancelled\n"));
    dir.run_ok(&["replay", "l.rec"]);
}
