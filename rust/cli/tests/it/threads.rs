//! Tests `run` and `replay` with many sessions and with threads.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use antiphon_machine::threaded::{NativeThreadedDriver, Shared, ThreadedProtocolMachine};
use antiphon_machine::{Class, EffectRequest, FromFn, Outcome, Reply, Rest, Value, sample};
use antiphon_record::{Entry, Flush, Header, Reader, Recorder, Writer};

use crate::common::{self, ProgramOutput, TestDir};

const RUN: [&str; 4] = ["run", "two_buyer.anti", "--script", "happy.script"];

/// Runs the happy script and records it.
fn record_run(dir: &TestDir, options: &[&str], recording: &str) -> ProgramOutput {
    let record = ["--overwrite", "--record", recording];
    let output = dir.run(&[&RUN[..], options, &record].concat());
    assert_eq!(output.code, Some(0), "{options:?}: {output:?}");
    output
}

fn summary(stdout: &str) -> serde_json::Value {
    let last = stdout.lines().last().expect("there is a summary");
    serde_json::from_str(last).expect("each line is a document")
}

fn entries(recording: &[u8]) -> Vec<Entry> {
    let mut reader = Reader::open(recording).expect("a recording");
    let mut entries = Vec::new();
    while let Some(entry) = reader.entry().expect("memory") {
        entries.push(entry);
    }
    entries
}

fn has_waves(recording: &[u8]) -> bool {
    let is_wave = |entry: &Entry| matches!(entry, Entry::Wave { .. });
    entries(recording).iter().any(is_wave)
}

#[test]
fn one_session_prints_the_same_with_and_without_threads() {
    let dir = TestDir::new();
    let without = record_run(&dir, &["--all"], "without.rec");
    assert!(!has_waves(&dir.read("without.rec")));
    for threads in ["1", "4"] {
        let with = record_run(&dir, &["--all", "--threads", threads], "with.rec");
        assert_eq!(with, without, "{threads}");
        assert!(has_waves(&dir.read("with.rec")));
    }
    let json = ["--json"];
    let without = record_run(&dir, &json, "without.rec");
    let with = record_run(&dir, &["--json", "--threads", "2"], "with.rec");
    assert_eq!(with, without);
}

#[test]
fn waves_of_width_one_equal_single_steps() {
    let dir = TestDir::new();
    let many = ["--sessions", "6", "--all"];
    let without = record_run(&dir, &many, "without.rec");
    let narrow = ["--threads", "4", "--width", "1"];
    let with = record_run(&dir, &[&many[..], &narrow].concat(), "with.rec");
    assert_eq!(with, without);
    assert!(dir.read("with.rec") == dir.read("without.rec"));
    assert!(without.stderr.ends_with("ok 6 sessions, 204 steps\n"));
}

#[test]
fn every_line_names_its_session_if_there_are_several() {
    let dir = TestDir::new();
    record_run(&dir, &["--sessions", "2"], "two.rec");
    let shown = dir.run_ok(&["show", "two.rec"]);
    let rows = shown.lines().skip_while(|line| !line.contains("clock"));
    let rows: Vec<&str> = rows.skip(1).collect();
    let of = |number: &str| rows.iter().filter(|row| row.contains(number)).count();
    assert_eq!(of("  [0] "), of("  [1] "), "{shown}");
    assert_eq!(of("  [0] ") + of("  [1] "), rows.len(), "{shown}");
    assert!(rows.len() > 10, "{shown}");
}

#[test]
fn six_sessions_on_four_threads() {
    let dir = TestDir::new();
    let many = [
        "--sessions",
        "6",
        "--width",
        "4",
        "--quantum",
        "8",
        "--threads",
    ];
    let run = |threads| record_run(&dir, &[&many[..], &[threads]].concat(), "a.rec");
    let first = run("4");
    insta::assert_snapshot!(format!("{}---\n{}", first.stdout, first.stderr));
    let recording = dir.read("a.rec");
    assert!(has_waves(&recording));
    for threads in ["1", "2", "4", "7"] {
        assert_eq!(run(threads), first, "{threads}");
        assert!(dir.read("a.rec") == recording, "{threads}");
    }
}

#[test]
fn every_session_prints_the_same_as_a_single_one() {
    let dir = TestDir::new();
    let alone = record_run(&dir, &[], "a.rec").stdout;
    // Step and clock are in the first 17 columns.
    let message: Vec<&str> = alone.lines().map(|line| &line[17..]).collect();
    for options in [
        &["--sessions", "5"][..],
        &["--sessions", "5", "--policy", "round-robin"],
        &["--sessions", "5", "--threads", "3"],
        &[
            "--sessions",
            "5",
            "--threads",
            "2",
            "--width",
            "2",
            "--quantum",
            "3",
        ],
    ] {
        let together = record_run(&dir, options, "a.rec").stdout;
        let mut sessions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in together.lines() {
            let (session, output) = line[17..].split_once("] ").expect("it names its session");
            sessions.entry(session).or_default().push(output.trim_end());
        }
        let names: Vec<&str> = sessions.keys().copied().collect();
        assert_eq!(names, ["[0", "[1", "[2", "[3", "[4"], "{options:?}");
        for (session, lines) in sessions {
            let (mut lines, mut alone) = (lines, message.clone());
            alone.iter_mut().for_each(|line| *line = line.trim());
            if options.contains(&"round-robin") {
                lines.sort_unstable();
                alone.sort_unstable();
            }
            assert_eq!(lines, alone, "{options:?}, {session}");
        }
    }
}

#[test]
fn explain_prints_the_waves() {
    let dir = TestDir::new();
    let options = [
        "--sessions",
        "6",
        "--threads",
        "2",
        "--width",
        "4",
        "--quantum",
        "8",
        "--explain",
    ];
    let text = record_run(&dir, &options, "a.rec").stdout;
    let at = text.find("waves").expect("there is a table");
    insta::assert_snapshot!(&text[at..]);

    let text = record_run(&dir, &[&options[..], &["--json"]].concat(), "a.rec").stdout;
    let summary = summary(&text);
    insta::assert_snapshot!(format!("{summary:#}"));

    // Only single steps with `--width 1`.
    let narrow = ["--threads", "2", "--width", "1", "--explain", "--json"];
    let text = record_run(&dir, &narrow, "a.rec").stdout;
    let summary = self::summary(&text);
    assert_eq!(
        (&summary["explain"]["waves"], &summary["explain"]["turns"]),
        (&0.into(), &34.into())
    );
    let text = record_run(&dir, &["--json"], "a.rec").stdout;
    assert_eq!(self::summary(&text)["explain"], serde_json::Value::Null);
}

#[test]
fn invalid_numbers_of_sessions_and_threads_are_refused() {
    let dir = TestDir::new();
    let mut message = String::new();
    for args in [
        &["run", "two_buyer.anti", "--sessions", "2"][..],
        &[&RUN[..], &["--sessions", "0"]].concat(),
        &[&RUN[..], &["--sessions", "65537"]].concat(),
        &[&RUN[..], &["--threads", "0"]].concat(),
        &[&RUN[..], &["--threads", "1025"]].concat(),
        &[&RUN[..], &["--threads", "2", "--width", "0"]].concat(),
        &[
            &RUN[..],
            &["--threads", "2", "--width", "2000", "--quantum", "2000"],
        ]
        .concat(),
        &[&RUN[..], &["--width", "4"]].concat(),
        &[&RUN[..], &["--quantum", "4"]].concat(),
        &[&RUN[..], &["--explain"]].concat(),
        &["replay", "a.rec", "--threads", "0"],
        &["replay", "a.rec", "--threads", "1025"],
    ] {
        let output = dir.run(args);
        assert_eq!(output.code, Some(2), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let first = output.stderr.lines().take_while(|line| !line.is_empty());
        message.extend(first.map(|line| format!("{line}\n")));
    }
    insta::assert_snapshot!(message);
    // A default is lowered to make room for a given value.
    for wide in [["--width", "1048576"], ["--quantum", "1048576"]] {
        let options = [&["--sessions", "2", "--threads", "2"][..], &wide].concat();
        record_run(&dir, &options, "a.rec");
    }
}

#[test]
fn sessions_that_leave_their_script_are_named() {
    let dir = TestDir::new();
    let script = "Ann sends title \"x\"\nShop sends quote 1\nAnn gets quote 2\n";
    dir.write("s.script", script);
    let run = [
        "run",
        "two_buyer.anti",
        "--script",
        "s.script",
        "--sessions",
        "3",
    ];
    let without = dir.run(&run);
    insta::assert_snapshot!(without.stderr);
    let with = dir.run(&[&run[..], &["--threads", "2"]].concat());
    for output in [&without, &with] {
        assert_eq!(output.code, Some(1), "{output:?}");
        assert_eq!(output.stderr, without.stderr);
        assert_eq!(
            output.stdout.matches("ended: cancelled").count(),
            3,
            "{output:?}"
        );
    }
    let output = dir.run(&[&run[..], &["--json"]].concat());
    let summary = summary(&output.stdout);
    assert_eq!(summary["end"], "cancelled");
    assert_eq!(summary["ends"]["cancelled"], 3);
    assert_eq!(summary["remarks"].as_array().map(Vec::len), Some(3));

    // Only the first remarks are printed for people.
    let output = dir.run(&[&run[..4], &["--sessions", "30", "--threads", "2"]].concat());
    let last = "antiphon: and 10 more; sessions 30 cancelled\n";
    assert!(output.stderr.ends_with(last), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 21, "{output:?}");
}

#[test]
fn an_unused_line_is_reported_for_every_session() {
    let dir = TestDir::new();
    let happy = String::from_utf8(dir.read("happy.script")).expect("it is text");
    dir.write("s.script", happy + "Bob sends quit\n");
    let run = [
        "run",
        "two_buyer.anti",
        "--script",
        "s.script",
        "--sessions",
        "2",
    ];
    let output = dir.run(&[&run[..], &["--threads", "2"]].concat());
    assert_eq!(output.code, Some(1));
    insta::assert_snapshot!(output.stderr);
}

/// A session whose request is never answered waits in a wave as it would alone.
#[test]
fn a_call_that_is_never_answered_takes_its_branch_in_every_session() {
    let dir = TestDir::new();
    dir.write(
        "s.script",
        "Boss sends wish red\nHand answers World.ready true\nHand sends done\n\
         Hand answers World.paint later\nBoss gets late\n",
    );
    let run = [
        "run",
        "calls.anti",
        "--script",
        "s.script",
        "--sessions",
        "4",
    ];
    let without = dir.run_ok(&run);
    let with = dir.run_ok(&[&run[..], &["--threads", "3"]].concat());
    for text in [without, with] {
        assert_eq!(text.matches("ended: closed").count(), 4, "{text}");
        assert_eq!(text.matches("timed out").count(), 4, "{text}");
    }
}

const LOOP: &str =
    "global protocol L(role A, role B) { rec X { hi() from A to B; continue X; } }\n";

#[test]
fn an_endless_run_stops_exactly_at_the_step_limit() {
    let dir = TestDir::new();
    dir.write("loop.anti", LOOP);
    dir.write("empty.script", "");
    let run = [
        "run",
        "loop.anti",
        "--script",
        "empty.script",
        "--sessions",
        "3",
    ];
    for max in ["1", "1000", "1001"] {
        let options = ["--threads", "2", "--steps-max", max, "--json"];
        let output = dir.run(&[&run[..], &options].concat());
        assert_eq!(output.code, Some(1));
        let summary = summary(&output.stdout);
        assert_eq!(summary["steps"].to_string(), max);
        let remark = format!("the run was stopped after {max} steps");
        assert_eq!(summary["remarks"], serde_json::json!([remark]));
    }
}

#[test]
fn a_signal_ends_a_threaded_run_and_its_recording_cleanly() {
    let dir = TestDir::new();
    dir.write("loop.anti", LOOP);
    dir.write("empty.script", "");
    let run = [
        "run",
        "loop.anti",
        "--script",
        "empty.script",
        "--record",
        "l.rec",
    ];
    let mut child = dir.start(&[&run[..], &["--sessions", "3", "--threads", "2"]].concat());
    let mut some = [0; 4096];
    let stdout = child.stdout.as_mut().expect("it is piped");
    stdout.read_exact(&mut some).expect("it prints without end");
    common::signal(&child, "INT");
    let output = common::end(child);
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert_eq!(output.stderr, "antiphon: the run was interrupted\n");
    assert_eq!(output.stdout.matches("ended: cancelled").count(), 3);
    assert!(dir.run_ok(&["replay", "l.rec"]).starts_with("equal: "));
}

#[test]
fn recordings_replay_equally_with_and_without_threads() {
    let dir = TestDir::new();
    let threaded = ["--sessions", "6", "--threads", "4", "--quantum", "8"];
    record_run(&dir, &threaded, "threaded.rec");
    record_run(&dir, &["--sessions", "6"], "turns.rec");
    for (recording, step) in [
        ("threaded.rec", "48"),
        ("turns.rec", "48"),
        ("threaded.rec", "9999"),
    ] {
        let expected = dir.run_ok(&["replay", recording]);
        assert!(expected.starts_with("equal: 204 steps, "), "{expected}");
        let at_step = dir.run(&["replay", recording, "--step", step]);
        let json = dir.run_ok(&["replay", recording, "--step", step, "--json"]);
        for threads in ["1", "2", "8"] {
            let on = |options: &[&str]| {
                dir.run(&[&["replay", recording, "--threads", threads], options].concat())
            };
            assert_eq!(on(&[]).stdout, expected, "{recording} {threads}");
            assert_eq!(on(&["--step", step]), at_step, "{recording} {threads}");
            assert_eq!(on(&["--step", step, "--json"]).stdout, json);
        }
    }
}

/// A replay stops before or after a wave, never inside.
#[test]
fn a_step_inside_a_wave_is_reported() {
    let dir = TestDir::new();
    record_run(
        &dir,
        &["--sessions", "6", "--threads", "4", "--quantum", "8"],
        "a.rec",
    );
    let at = |step: &str| dir.run(&["replay", "a.rec", "--threads", "2", "--step", step]);
    let output = at("1");
    assert_eq!(output.code, Some(0));
    insta::assert_snapshot!(output.stderr);
    let json = dir.run_ok(&["replay", "a.rec", "--step", "1", "--json"]);
    assert_eq!(summary(&json)["at_step"], false);
    let there = output
        .stderr
        .trim_end()
        .rsplit(' ')
        .next()
        .expect("it is the last word");
    assert_eq!(
        at(there),
        ProgramOutput {
            stderr: String::new(),
            ..output
        }
    );
}

#[test]
fn a_recording_that_was_changed_diverges_on_threads_too() {
    let dir = TestDir::new();
    record_run(&dir, &["--sessions", "3", "--threads", "2"], "a.rec");
    let bytes = dir.read("a.rec");
    let header = Reader::open(&bytes[..])
        .expect("a recording")
        .header()
        .clone();
    let mut writer = Writer::create(Vec::new(), &header).expect("memory");
    let mut changed = 0;
    for mut entry in entries(&bytes) {
        if let Entry::Answer(Outcome::Success(value @ Value::Nat(42))) = &mut entry {
            *value = Value::Nat(43);
            changed += 1;
        }
        writer.entry(&entry).expect("memory");
    }
    assert_eq!(changed, 3);
    dir.write("b.rec", writer.finish().expect("memory"));
    let without = dir.run(&["replay", "b.rec"]);
    let with = dir.run(&["replay", "b.rec", "--threads", "2"]);
    assert_eq!((without.code, with.code), (Some(1), Some(1)));
    assert_eq!(with, without);
}

/// With little memory a thousand stacks cannot be allocated: threads are started only where
/// `--threads` asks for them.
#[cfg(target_os = "linux")]
#[test]
fn threads_that_cannot_be_started_are_reported() {
    let dir = TestDir::new();
    record_run(&dir, &[], "a.rec");
    let run = "run two_buyer.anti --script happy.script";
    for (command, threads) in [("replay a.rec", ""), (run, "--threads 1")] {
        let short = |threads: &str| {
            let program = env!("CARGO_BIN_EXE_antiphon");
            let line = format!("ulimit -v 1000000 && exec '{program}' {command} {threads}");
            let mut shell = Command::new("sh");
            let shell = shell.args(["-c", &line]).current_dir(dir.path("."));
            shell.output().expect("there is a shell")
        };
        assert_eq!(short(threads).status.code(), Some(0), "{command}");
        // Sometimes a thread that has just started is the one that gets no memory: then the
        // process aborts, which is no answer.
        let is_answer = |output: &Output| output.status.code().is_some();
        let mut outputs = (0..10).map(|_| short("--threads 1024"));
        let output = outputs.find(is_answer).expect("it does not always abort");
        assert_eq!(output.status.code(), Some(125), "{command}: {output:?}");
        let message = String::from_utf8_lossy(&output.stderr);
        let expected = "antiphon: the threads could not be started: ";
        assert!(message.contains(expected), "{message}");
    }
}

fn fixture() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("../../fixtures/recordings/v1/threaded.rec")
}

/// Records two sessions in common waves, with one ping each.
fn threaded(workers: usize) -> Vec<u8> {
    let host = FromFn(|request: &EffectRequest<'_>| {
        let (session, number) = (request.effect().session.0, request.effect().number);
        Reply::Now(match request.class() {
            Class::Decide { labels, .. } => Outcome::chosen(labels[usize::from(number > 0)]),
            Class::Produce { .. } => Outcome::success(u64::from(session)),
            _ => Outcome::done(),
        })
    });
    let header = Header {
        tool: "fixture".to_owned(),
        ..Header::default()
    };
    let recorder = Recorder::create(Vec::new(), &header, Flush::default()).expect("memory");
    let driver = NativeThreadedDriver::try_with_workers(workers).expect("threads");
    let config = header.config.clone();
    let machine = ThreadedProtocolMachine::with_driver(config, Shared(host), recorder, driver);
    let mut machine = machine.with_wave(2, 4);
    for _ in 0..2 {
        let image = sample::ping_pong(1);
        machine.load_choreography(&image, "me").expect("room");
    }
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
    let (kernel, _, recorder) = machine.into_parts();
    recorder.finish(&kernel).expect("memory")
}

/// The bytes of a released version do not change. `BLESS=1` writes a new file.
#[test]
fn the_bytes_of_a_threaded_recording_do_not_change() {
    let bytes = threaded(2);
    if std::env::var_os("BLESS").is_some() {
        fs::write(fixture(), &bytes).expect("writable");
    }
    let kept = fs::read(fixture()).expect("`BLESS=1` writes it");
    assert!(bytes == kept, "the bytes have changed");
    assert!(threaded(1) == kept && threaded(3) == kept, "by threads");
    assert!(has_waves(&kept));
}

#[test]
fn the_recording_fixtures_replay_on_every_driver() {
    let dir = TestDir::new();
    let folder = fixture();
    let folder = folder.parent().expect("it is in a folder");
    let mut replayed = 0;
    for entry in fs::read_dir(folder).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        let path = path.to_str().expect("plain");
        let expected = dir.run_ok(&["replay", path]);
        assert!(expected.starts_with("equal: "), "{expected}");
        assert_eq!(dir.run_ok(&["replay", path, "--threads", "2"]), expected);
        replayed += 1;
    }
    assert!(replayed >= 2, "ping-pong.rec and threaded.rec");
}
