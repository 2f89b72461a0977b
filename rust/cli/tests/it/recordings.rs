//! Tests recordings made by `run`: replayed, shown, cut and damaged.

use std::os::unix::fs::PermissionsExt;

use antiphon_machine::{Outcome, Value};
use antiphon_record::{End, Entry, Reader, Replay, Writer};

use crate::common::TestDir;

const RECORD: [&str; 6] = [
    "run",
    "two_buyer.anti",
    "--script",
    "happy.script",
    "--record",
    "a.rec",
];

/// A directory with a recording `a.rec` of the happy script.
fn recorded() -> TestDir {
    let dir = TestDir::new();
    dir.run_ok(&RECORD);
    dir
}

#[test]
fn a_recording_replays_and_is_shown() {
    let dir = recorded();
    for (name, args) in [
        ("replay", &["replay", "a.rec"][..]),
        ("replay_step", &["replay", "a.rec", "--step", "9"]),
        ("show", &["show", "a.rec"]),
        ("show_all", &["show", "a.rec", "--all"]),
        ("show_mermaid", &["show", "a.rec", "--mermaid"]),
        ("show_json", &["show", "a.rec", "--json"]),
    ] {
        insta::assert_snapshot!(name, without_digests(&dir.run_ok(args)));
    }

    let live = dir.run_ok(&[&RECORD[..], &["--overwrite", "--all"]].concat());
    let shown = dir.run_ok(&["show", "a.rec", "--all"]);
    for line in live.lines() {
        assert!(
            shown.contains(line),
            "seen live and not in the recording: {line}"
        );
    }
}

/// Removes digests, which the machine's own tests pin.
fn without_digests(text: &str) -> String {
    let digest = |word: &str| {
        let hex = word.trim_matches(|c: char| !c.is_ascii_hexdigit());
        hex.len() >= 12 && hex.chars().all(|c| c.is_ascii_hexdigit())
    };
    let words = text.split(' ').map(|word| {
        let lines = word
            .split('\n')
            .map(|line| if digest(line) { "DIGEST" } else { line });
        lines.collect::<Vec<_>>().join("\n")
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn replay_prints_json() {
    let dir = recorded();
    let document = dir.run_ok(&["replay", "a.rec", "--json", "--step", "9"]);
    let document: serde_json::Value = serde_json::from_str(&document).expect("one document");
    // The replay stopped before the end of the file.
    assert_eq!(document["verdict"], "equal_up_to");
    assert_eq!(document["up_to_step"], 9);
    assert_eq!(document["tail"], serde_json::Value::Null);
    assert_eq!(document["steps"], 9);
    assert_eq!(document["at_step"], true);
    let shop = &document["sessions_state"][0]["coroutines"][2];
    assert_eq!((&shop["role"], &shop["state"]), (&"Shop".into(), &2.into()));
    let output = dir.run(&["replay", "a.rec", "--step", "1000"]);
    assert_eq!(output.code, Some(0));
    assert!(
        output.stderr.contains("the recording ends at step 34"),
        "{output:?}"
    );
}

/// A record in an answer is shown in a register of the asking role, and in flight to the other
/// role.
#[test]
fn registers_and_messages_in_flight_have_the_names_of_their_sorts() {
    let dir = TestDir::new();
    dir.write(
        "s.script",
        "Boss sends wish green\nHand answers World.ready true\nHand sends done\n\
         Hand answers World.paint {width: 7}\n",
    );
    let run = [
        "run",
        "calls.anti",
        "--script",
        "s.script",
        "--record",
        "c.rec",
    ];
    dir.run_ok(&run);
    let (mut registers, mut in_flight, mut variants) = (0, 0, 0);
    let (mut documents, steps) = (0, 40);
    for step in 0..steps {
        let step = step.to_string();
        let output = dir.run_ok(&["replay", "c.rec", "--step", &step]);
        let is_register = |line: &str| line.trim_start().starts_with('r');
        let size = "{width: 7, depth: none}";
        let lines = || output.lines().filter(|line| is_register(line));
        registers += lines().filter(|line| line.contains(size)).count();
        variants += lines().filter(|line| line.ends_with(" green")).count();
        let flying = output.lines().filter(|line| line.contains("in flight"));
        in_flight += flying.filter(|line| line.contains(size)).count();
        let output = dir.run_ok(&["replay", "c.rec", "--step", &step, "--json"]);
        documents += output.matches(r#"{"depth":null,"width":7}"#).count();
    }
    assert!(
        registers > 0 && in_flight > 0 && variants > 0,
        "{registers} {in_flight} {variants}"
    );
    assert!(documents > 0);
}

/// An edited outcome is reported at the next request that depends on it, with the field.
#[test]
fn a_divergence_names_the_field_that_differs() {
    let dir = TestDir::new();
    let script = "Boss sends wish green\nHand answers World.ready true\nHand sends done\n\
                  Hand answers World.paint {width: 7}\n";
    dir.write("s.script", script);
    let run = [
        "run",
        "calls.anti",
        "--script",
        "s.script",
        "--record",
        "c.rec",
    ];
    dir.run_ok(&run);
    let bytes = dir.read("c.rec");
    let mut reader = Reader::open(&bytes[..]).expect("a recording");
    let header = reader.header().clone();
    let mut writer = Writer::create(Vec::new(), &header).expect("memory");
    while let Some(mut entry) = reader.entry().expect("memory") {
        if let Entry::Answer(outcome) = &mut entry
            && matches!(outcome, Outcome::Success(Value::Record(_)))
        {
            *outcome = Outcome::success(Value::record(vec![Value::Nat(8), Value::option(None)]));
        }
        writer.entry(&entry).expect("memory");
    }
    dir.write("c.rec", writer.finish().expect("memory"));
    let output = dir.run(&["replay", "c.rec"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    insta::assert_snapshot!(output.stdout);
}

#[test]
fn a_recording_is_overwritten_only_on_request() {
    let dir = recorded();
    let before = dir.read("a.rec");
    let output = dir.run(&RECORD);
    assert_eq!(output.code, Some(125));
    insta::assert_snapshot!(output.stderr);
    assert_eq!(dir.read("a.rec"), before);
    dir.run_ok(&[&RECORD[..], &["--overwrite"]].concat());
}

#[test]
fn a_recording_cut_anywhere_replays_to_its_end() {
    let dir = recorded();
    let whole = dir.read("a.rec");
    let mut replayed = 0;
    for len in (0..whole.len()).step_by(7) {
        dir.write("cut.rec", &whole[..len]);
        let output = dir.run(&["replay", "cut.rec"]);
        assert_eq!(output.code, Some(3), "cut at {len}: {output:?}");
        assert!(
            !output.stdout.starts_with("equal: "),
            "cut at {len}: {output:?}"
        );
        if output.stdout.starts_with("equal up to step ") {
            assert!(
                output.stdout.contains(", then the recording ends"),
                "cut at {len}: {output:?}"
            );
            assert!(
                output.stderr.contains("it is valid up to record"),
                "cut at {len}: {output:?}"
            );
            let output = dir.run(&["replay", "cut.rec", "--json"]);
            let document: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
            assert_eq!(document["verdict"], "equal_up_to", "cut at {len}");
            assert_eq!(document["up_to_step"], document["steps"], "cut at {len}");
            let kind = document["tail"]["kind"].as_str().expect("a kind of end");
            assert!(["open", "torn"].contains(&kind), "cut at {len}: {kind}");
            let output = dir.run(&["show", "cut.rec", "--mermaid"]);
            assert!(
                output.stdout.contains("the recording"),
                "cut at {len}: {output:?}"
            );
            replayed += 1;
        }
    }
    assert!(
        replayed > 0,
        "a cut somewhere must leave something to replay"
    );
}

#[test]
fn a_changed_byte_is_detected_and_located() {
    let dir = recorded();
    let whole = dir.read("a.rec");
    for at in (0..whole.len()).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        dir.write("bad.rec", &bytes);
        for command in ["replay", "show"] {
            let output = dir.run(&[command, "bad.rec"]);
            assert_eq!(output.code, Some(4), "{command}, byte {at}: {output:?}");
            assert!(
                output.stderr.starts_with("antiphon: "),
                "byte {at}: {output:?}"
            );
        }
    }
    let mut bytes = whole;
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    dir.write("bad.rec", &bytes);
    let output = dir.run(&["replay", "bad.rec"]);
    assert!(
        output.stdout.starts_with("equal up to step ")
            && output.stdout.contains(", then damaged: "),
        "what comes before the damage is good, and no more: {output:?}"
    );
    let json = dir.run(&["replay", "bad.rec", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&json.stdout).expect("one document");
    assert_eq!(json.code, Some(4));
    assert_eq!(document["verdict"], "equal_up_to");
    assert_eq!(document["up_to_step"], document["steps"]);
    assert_eq!(document["tail"]["kind"], "damaged");
    let shown = dir.run(&["show", "bad.rec"]).stdout;
    assert!(shown.contains("damaged"), "{shown}");
    let shown = dir.run(&["show", "bad.rec", "--mermaid"]).stdout;
    assert!(shown.contains("damaged"), "{shown}");
    let shown = dir.run(&["show", "bad.rec", "--json"]).stdout;
    let tail: serde_json::Value =
        serde_json::from_str(shown.lines().last().expect("a tail")).expect("a document");
    assert_eq!(
        (&tail["event"], &tail["kind"]),
        (&"tail".into(), &"damaged".into())
    );
    assert!(
        output.stderr.contains("record 2 is damaged between byte "),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("it is valid up to record 2"),
        "{output:?}"
    );
}

#[test]
fn a_file_that_is_not_a_recording_is_refused() {
    let dir = TestDir::new();
    let output = dir.run(&["replay", "two_buyer.anti"]);
    assert_eq!(output.code, Some(4));
    insta::assert_snapshot!(output.stderr);
}

#[test]
fn a_diagram_of_a_long_run_is_bounded() {
    let dir = TestDir::new();
    dir.write(
        "loop.anti",
        "global protocol L(role A, role B) { rec X { choice at A { n(Nat) from A to B; continue X; \
         } or { stop() from A to B; } } }\n",
    );
    dir.write(
        "loop.script",
        "repeat 20000\nA sends n 7\nend\nA sends stop\n",
    );
    dir.run_ok(&[
        "run",
        "loop.anti",
        "--script",
        "loop.script",
        "--record",
        "loop.rec",
    ]);
    let diagram = dir.run_ok(&["show", "loop.rec", "--mermaid"]);
    assert!(
        diagram.lines().count() < 2100,
        "{}",
        diagram.lines().count()
    );
    let left_out = "are left out#59; beyond the first 2000#58; no trouble#59; sessions 1 closed";
    assert!(diagram.contains(left_out), "{diagram}");
    assert!(diagram.contains("in all#58; 20001 messages, 0 calls, sessions 1 closed"));
}

/// A directory with a recording `c.rec` that has checkpoints at the steps 9 and 15.
fn with_checkpoints() -> TestDir {
    let dir = recorded();
    let bytes = dir.read("a.rec");
    let mut replay = Replay::open(&bytes[..]).expect("a recording");
    let mut points = Vec::new();
    for step in [9, 15] {
        let _ = replay.run_to(step).expect("a recording");
        points.push(replay.report().last);
    }
    let mut reader = Reader::open(&bytes[..]).expect("a recording");
    let mut writer = Writer::create(Vec::new(), reader.header()).expect("memory does not fail");
    let mut points = points.into_iter().peekable();
    while let Some(entry) = reader.entry().expect("memory does not fail") {
        let next = match &entry {
            Entry::Request(request) => request.step,
            Entry::Input { step, .. } => step + 1,
            Entry::Header(_) | Entry::Image(_) | Entry::Answer(_) | Entry::Refused(_) => 0,
            Entry::Checkpoint(_) | Entry::Wave { .. } => panic!("{entry:?} in a short recording"),
            Entry::End(_) => u64::MAX,
        };
        while let Some(point) = points.next_if(|point| point.step < next) {
            let point = Entry::Checkpoint(point);
            writer.entry(&point).expect("memory does not fail");
        }
        let entry = match entry {
            Entry::End(end) => Entry::End(End {
                entries: writer.entries(),
                ..end
            }),
            other => other,
        };
        writer.entry(&entry).expect("memory does not fail");
    }
    dir.write("c.rec", writer.finish().expect("memory does not fail"));
    dir
}

#[test]
fn a_replay_continues_from_a_checkpoint() {
    let dir = with_checkpoints();
    let out = dir.run_ok(&["replay", "c.rec", "--to-checkpoint", "9", "c.ckpt"]);
    insta::assert_snapshot!("to_checkpoint", without_digests(&out));
    let mode = std::fs::metadata(dir.path("c.ckpt")).expect("it is there");
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    for (name, more) in [
        ("from_checkpoint", &[][..]),
        ("from_checkpoint_step", &["--step", "12"]),
        ("from_checkpoint_json", &["--json"]),
    ] {
        let args = [&["replay", "c.rec", "--from-checkpoint", "c.ckpt"], more].concat();
        insta::assert_snapshot!(name, without_digests(&dir.run_ok(&args)));
    }
    let threads = [
        "replay",
        "c.rec",
        "--from-checkpoint",
        "c.ckpt",
        "--threads",
        "2",
    ];
    let whole = dir.run_ok(&["replay", "c.rec", "--from-checkpoint", "c.ckpt"]);
    assert_eq!(dir.run_ok(&threads), whole);

    // From one checkpoint to the next, and over the first file.
    let next = ["replay", "c.rec", "--from-checkpoint", "c.ckpt"];
    let next = [&next[..], &["--to-checkpoint", "15", "c.ckpt", "--json"]].concat();
    let document: serde_json::Value =
        serde_json::from_str(&dir.run_ok(&next)).expect("one document");
    assert_eq!(document["verdict"], "equal_up_to");
    assert_eq!(
        (&document["from_step"], &document["up_to_step"]),
        (&9.into(), &15.into())
    );
    let len = dir.read("c.ckpt").len();
    let written = serde_json::json!({ "file": "c.ckpt", "step": 15, "bytes": len });
    assert_eq!(document["checkpoint"], written);
}

#[test]
fn checkpoints_that_do_not_fit_are_refused() {
    let dir = with_checkpoints();
    dir.run_ok(&["replay", "c.rec", "--to-checkpoint", "9", "c.ckpt"]);
    let mut bytes = dir.read("c.ckpt");
    let last = bytes.len() - 9;
    bytes[last] ^= 1;
    dir.write("bad.ckpt", bytes);
    dir.write("note.txt", "keep me");
    let bytes = dir.read("c.rec");
    let mut reader = Reader::open(&bytes[..]).expect("a recording");
    let mut writer = Writer::create(Vec::new(), reader.header()).expect("memory does not fail");
    for _ in 0..5 {
        let entry = reader.entry().expect("memory does not fail");
        let entry = entry.expect("there are more");
        writer.entry(&entry).expect("memory does not fail");
    }
    dir.write("cut.rec", writer.finish().expect("memory does not fail"));
    let before = dir.names();
    let mut told = String::new();
    for args in [
        &["replay", "a.rec", "--from-checkpoint", "c.ckpt"][..],
        &["replay", "cut.rec", "--from-checkpoint", "c.ckpt"],
        &["replay", "c.rec", "--from-checkpoint", "bad.ckpt"],
        &["replay", "c.rec", "--from-checkpoint", "c.rec"],
        &["replay", "c.rec", "--from-checkpoint", "none.ckpt"],
        &[
            "replay",
            "c.rec",
            "--from-checkpoint",
            "c.ckpt",
            "--step",
            "8",
        ],
        &["replay", "c.rec", "--to-checkpoint", "10", "new.ckpt"],
        &["replay", "a.rec", "--to-checkpoint", "9", "new.ckpt"],
        &["replay", "a.rec", "--to-checkpoint", "34", "new.ckpt"],
        &["replay", "c.rec", "--to-checkpoint", "34", "new.ckpt"],
        &[
            "replay",
            "c.rec",
            "--from-checkpoint",
            "c.ckpt",
            "--to-checkpoint",
            "9",
            "new.ckpt",
        ],
        &["replay", "c.rec", "--to-checkpoint", "nine", "new.ckpt"],
        &["replay", "c.rec", "--to-checkpoint", "9", "c.rec"],
        &["replay", "c.rec", "--to-checkpoint", "9", "./c.rec"],
        &["replay", "c.rec", "--to-checkpoint", "9", "note.txt"],
        &["replay", "c.rec", "--to-checkpoint", "9", "."],
    ] {
        let output = dir.run(args);
        let code = output.code.unwrap_or_default();
        assert_eq!(output.stdout, "", "{args:?}");
        told.push_str(&format!(
            "{} ({code})\n{}",
            args[1..].join(" "),
            output.stderr
        ));
    }
    insta::assert_snapshot!(without_digests(&told));
    let output = dir.run(&["replay", "c.rec", "--to-checkpoint", "9", "none/new.ckpt"]);
    assert_eq!(output.code, Some(125), "{output:?}");
    let expected = "cannot write `none/new.ckpt`: No such file or directory (os error 2)\n";
    assert_eq!(output.stderr, format!("antiphon: {expected}"));
    assert_eq!(dir.names(), before);
    assert_eq!(dir.read("note.txt"), b"keep me");
}
