//! `run`: scripts, and what a person types.

mod common;

use std::io::Read;
use std::process::Command;

use common::Place;

const RUN: [&str; 4] = ["run", "two_buyer.anti", "--script", "s.script"];

#[test]
fn a_script_plays_every_role() {
    let place = Place::new();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    insta::assert_snapshot!("happy", place.good(&run));
    insta::assert_snapshot!("happy_all", place.good(&[&run[..], &["--all"]].concat()));
    let documents = place.good(&[&run[..], &["--json"]].concat());
    let last = documents.lines().last().expect("there is a summary");
    let last: serde_json::Value = serde_json::from_str(last).expect("each line is a document");
    assert_eq!(
        (&last["ok"], &last["end"]),
        (&true.into(), &"closed".into())
    );
}

#[test]
fn the_policy_changes_who_comes_when_and_not_what_is_said() {
    let place = Place::new();
    let said = |policy: &str| {
        let run = [
            "run",
            "two_buyer.anti",
            "--script",
            "happy.script",
            "--policy",
            policy,
        ];
        let text = place.good(&run);
        // Step and clock are the first seventeen columns.
        let mut lines: Vec<String> = text.lines().map(|line| line[17..].to_owned()).collect();
        lines.sort();
        (text, lines)
    };
    let (cooperative, lines) = said("cooperative");
    let (robin, other) = said("round-robin");
    assert_eq!(lines, other);
    assert_ne!(cooperative, robin, "a policy that changes nothing is none");
}

#[test]
fn every_form_of_line_and_value() {
    let place = Place::new();
    place.write(
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
    insta::assert_snapshot!("calls", place.good(&run));
}

#[test]
fn a_call_that_fails_or_is_never_answered_takes_its_branch() {
    let place = Place::new();
    for (name, answer) in [
        ("fails", "fails unavailable \"no \\u{1b}[31mpaint\""),
        ("later", "later"),
    ] {
        place.write(
            "s.script",
            format!(
                "Boss sends wish red\nHand answers World.ready true\nHand sends done\n\
                 Hand answers World.paint {answer}\nBoss gets late\n"
            ),
        );
        let run = ["run", "calls.anti", "--script", "s.script"];
        insta::assert_snapshot!(format!("calls_{name}"), place.good(&run));
    }
}

#[test]
fn a_fault_is_told_and_ends_with_one() {
    let place = Place::new();
    place.write(
        "s.script",
        "Boss sends wish red\nHand answers World.ready fails denied \"not you\"\n",
    );
    let told = place.run(&["run", "calls.anti", "--script", "s.script"]);
    assert_eq!(told.code, Some(1));
    insta::assert_snapshot!(told.stdout);
}

#[test]
fn what_is_wrong_with_a_script_is_said_at_once() {
    let place = Place::new();
    place.write(
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
    let told = place.run(&RUN);
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.is_empty(), "nothing has run: {told:?}");
    insta::assert_snapshot!(told.stderr);
}

#[test]
fn a_script_that_repeats_without_end_is_refused() {
    let place = Place::new();
    let nested = "repeat 1000\n".repeat(7) + "Ann sends title \"x\"\n" + &"end\n".repeat(7);
    place.write("s.script", nested);
    let told = place.run(&RUN);
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr.contains("more than 1048576 answers"),
        "{told:?}"
    );
}

#[test]
fn a_run_that_leaves_its_script_says_where() {
    let place = Place::new();
    for (name, script) in [
        (
            "other",
            "Ann sends title \"x\"\nShop sends quote 1\nAnn gets quote 2\n",
        ),
        ("missing", "Ann sends title \"x\"\n"),
        (
            "left_over",
            "Ann sends title \"x\"\nShop sends quote 1\nAnn sends share 1\nBob sends quit\nBob sends quit\n",
        ),
        ("value_not_given", "Ann sends title\n"),
    ] {
        place.write("s.script", script);
        let told = place.run(&RUN);
        assert_eq!(told.code, Some(1), "{told:?}");
        insta::assert_snapshot!(format!("astray_{name}"), told.stderr);
    }
}

#[test]
fn without_a_script_each_answer_is_typed() {
    let place = Place::new();
    let typed = b"\"Moby Dick\"\n42\nmaybe\n21\nok\n\"12 Elm Street\"\n\"Monday\"\n";
    let told = place.run_with(&["run", "two_buyer.anti"], typed);
    assert_eq!(told.code, Some(0), "{told:?}");
    insta::assert_snapshot!("typed", format!("{}---\n{}", told.stdout, told.stderr));

    let told = place.run_with(&["run", "two_buyer.anti"], b"\"Moby Dick\"\n");
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr
            .contains("the input has ended before the protocol"),
        "{told:?}"
    );
    assert!(told.stdout.contains("ended: cancelled"), "{told:?}");
}

#[test]
fn a_run_without_end_is_ended() {
    let place = Place::new();
    place.write(
        "loop.anti",
        "global protocol L(role A, role B) { rec X { hi() from A to B; continue X; } }\n",
    );
    place.write("empty.script", "");
    let run = [
        "run",
        "loop.anti",
        "--script",
        "empty.script",
        "--steps-max",
        "1000",
    ];
    let told = place.run(&run);
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr.contains("the run was ended after 1000 steps"),
        "{told:?}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    place.write(
        "loop.anti",
        "global protocol L(role A, role B) { rec X { hi() from A to B; continue X; } }\n",
    );
    place.write("empty.script", "");
    let mut child = place.start(&["run", "loop.anti", "--script", "empty.script"]);
    drop(child.stdout.take());
    let told = common::end(child);
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{told:?}");
}

#[test]
fn a_signal_ends_a_run_and_its_recording_in_good_order() {
    let place = Place::new();
    let text = "global protocol L(role A, role B) { rec X { hi() from A to B; continue X; } }\n";
    place.write("loop.anti", text);
    place.write("empty.script", "");
    let args = [
        "run",
        "loop.anti",
        "--script",
        "empty.script",
        "--record",
        "l.rec",
    ];
    let mut child = place.start(&args);
    let mut some = [0; 4096];
    let stdout = child.stdout.as_mut().expect("it is piped");
    stdout.read_exact(&mut some).expect("it prints without end");
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(status.expect("kill starts").success());
    let told = common::end(child);
    assert_eq!(told.code, Some(130), "{}", told.stderr);
    assert!(told.stdout.ends_with("ended: cancelled\n"));
    place.good(&["replay", "l.rec"]);
}
