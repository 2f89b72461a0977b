//! `run` and `replay` with many sessions and with threads.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use antiphon_machine::threaded::{NativeThreadedDriver, Shared, ThreadedProtocolMachine};
use antiphon_machine::{Class, EffectRequest, FromFn, Outcome, Reply, Rest, Value, sample};
use antiphon_record::{Entry, Flush, Header, Reader, Recorder, Writer};
use common::{Place, Told};

const RUN: [&str; 4] = ["run", "two_buyer.anti", "--script", "happy.script"];

/// Runs the happy script and keeps the recording.
fn told(place: &Place, options: &[&str], recording: &str) -> Told {
    let record = ["--overwrite", "--record", recording];
    let told = place.run(&[&RUN[..], options, &record].concat());
    assert_eq!(told.code, Some(0), "{options:?}: {told:?}");
    told
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
fn of_one_session_the_same_is_told_with_threads_and_without() {
    let place = Place::new();
    let without = told(&place, &["--all"], "without.rec");
    assert!(!has_waves(&place.read("without.rec")));
    for threads in ["1", "4"] {
        let with = told(&place, &["--all", "--threads", threads], "with.rec");
        assert_eq!(with, without, "{threads}");
        assert!(has_waves(&place.read("with.rec")));
    }
    let json = ["--json"];
    let without = told(&place, &json, "without.rec");
    let with = told(&place, &["--json", "--threads", "2"], "with.rec");
    assert_eq!(with, without);
}

#[test]
fn waves_of_one_session_are_the_steps_of_no_threads() {
    let place = Place::new();
    let many = ["--sessions", "6", "--all"];
    let without = told(&place, &many, "without.rec");
    let narrow = ["--threads", "4", "--width", "1"];
    let with = told(&place, &[&many[..], &narrow].concat(), "with.rec");
    assert_eq!(with, without);
    assert!(place.read("with.rec") == place.read("without.rec"));
    assert!(without.stderr.ends_with("ok 6 sessions, 204 steps\n"));
}

#[test]
fn every_line_of_several_sessions_says_whose_it_is() {
    let place = Place::new();
    told(&place, &["--sessions", "2"], "two.rec");
    let shown = place.good(&["show", "two.rec"]);
    let rows = shown.lines().skip_while(|line| !line.contains("clock"));
    let rows: Vec<&str> = rows.skip(1).collect();
    let of = |number: &str| rows.iter().filter(|row| row.contains(number)).count();
    assert_eq!(of("  [0] "), of("  [1] "), "{shown}");
    assert_eq!(of("  [0] ") + of("  [1] "), rows.len(), "{shown}");
    assert!(rows.len() > 10, "{shown}");
}

#[test]
fn six_sessions_on_four_threads() {
    let place = Place::new();
    let many = [
        "--sessions",
        "6",
        "--width",
        "4",
        "--quantum",
        "8",
        "--threads",
    ];
    let run = |threads| told(&place, &[&many[..], &[threads]].concat(), "a.rec");
    let first = run("4");
    insta::assert_snapshot!(format!("{}---\n{}", first.stdout, first.stderr));
    let recording = place.read("a.rec");
    assert!(has_waves(&recording));
    for threads in ["1", "2", "4", "7"] {
        assert_eq!(run(threads), first, "{threads}");
        assert!(place.read("a.rec") == recording, "{threads}");
    }
}

#[test]
fn every_session_tells_what_one_alone_tells() {
    let place = Place::new();
    let alone = told(&place, &[], "a.rec").stdout;
    // Step and clock are the first seventeen columns.
    let said: Vec<&str> = alone.lines().map(|line| &line[17..]).collect();
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
        let together = told(&place, options, "a.rec").stdout;
        let mut sessions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in together.lines() {
            let (session, told) = line[17..].split_once("] ").expect("it names its session");
            sessions.entry(session).or_default().push(told.trim_end());
        }
        let names: Vec<&str> = sessions.keys().copied().collect();
        assert_eq!(names, ["[0", "[1", "[2", "[3", "[4"], "{options:?}");
        for (session, lines) in sessions {
            let (mut lines, mut alone) = (lines, said.clone());
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
fn what_the_waves_were_is_explained() {
    let place = Place::new();
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
    let text = told(&place, &options, "a.rec").stdout;
    let at = text.find("waves").expect("there is a table");
    insta::assert_snapshot!(&text[at..]);

    let text = told(&place, &[&options[..], &["--json"]].concat(), "a.rec").stdout;
    let summary = summary(&text);
    insta::assert_snapshot!(format!("{summary:#}"));

    // Turns only, where that is what was asked for.
    let narrow = ["--threads", "2", "--width", "1", "--explain", "--json"];
    let text = told(&place, &narrow, "a.rec").stdout;
    let summary = self::summary(&text);
    assert_eq!(
        (&summary["explain"]["waves"], &summary["explain"]["turns"]),
        (&0.into(), &34.into())
    );
    let text = told(&place, &["--json"], "a.rec").stdout;
    assert_eq!(self::summary(&text)["explain"], serde_json::Value::Null);
}

#[test]
fn what_cannot_be_asked_for_is_said() {
    let place = Place::new();
    let mut said = String::new();
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
        let told = place.run(args);
        assert_eq!(told.code, Some(2), "{args:?}: {told:?}");
        assert!(told.stdout.is_empty(), "{told:?}");
        let first = told.stderr.lines().take_while(|line| !line.is_empty());
        said.extend(first.map(|line| format!("{line}\n")));
    }
    insta::assert_snapshot!(said);
    // A default gives way to what was asked for.
    for wide in [["--width", "1048576"], ["--quantum", "1048576"]] {
        let options = [&["--sessions", "2", "--threads", "2"][..], &wide].concat();
        told(&place, &options, "a.rec");
    }
}

#[test]
fn sessions_that_leave_their_script_are_named() {
    let place = Place::new();
    let script = "Ann sends title \"x\"\nShop sends quote 1\nAnn gets quote 2\n";
    place.write("s.script", script);
    let run = [
        "run",
        "two_buyer.anti",
        "--script",
        "s.script",
        "--sessions",
        "3",
    ];
    let without = place.run(&run);
    insta::assert_snapshot!(without.stderr);
    let with = place.run(&[&run[..], &["--threads", "2"]].concat());
    for told in [&without, &with] {
        assert_eq!(told.code, Some(1), "{told:?}");
        assert_eq!(told.stderr, without.stderr);
        assert_eq!(
            told.stdout.matches("ended: cancelled").count(),
            3,
            "{told:?}"
        );
    }
    let told = place.run(&[&run[..], &["--json"]].concat());
    let summary = summary(&told.stdout);
    assert_eq!(summary["end"], "cancelled");
    assert_eq!(summary["ends"]["cancelled"], 3);
    assert_eq!(summary["remarks"].as_array().map(Vec::len), Some(3));

    // Many remarks are not for people.
    let told = place.run(&[&run[..4], &["--sessions", "30", "--threads", "2"]].concat());
    let last = "antiphon: and 10 more; sessions 30 cancelled\n";
    assert!(told.stderr.ends_with(last), "{told:?}");
    assert_eq!(told.stderr.lines().count(), 21, "{told:?}");
}

#[test]
fn a_line_that_is_left_over_is_told_of_every_session() {
    let place = Place::new();
    let happy = String::from_utf8(place.read("happy.script")).expect("it is text");
    place.write("s.script", happy + "Bob sends quit\n");
    let run = [
        "run",
        "two_buyer.anti",
        "--script",
        "s.script",
        "--sessions",
        "2",
    ];
    let told = place.run(&[&run[..], &["--threads", "2"]].concat());
    assert_eq!(told.code, Some(1));
    insta::assert_snapshot!(told.stderr);
}

/// A session that asks what is never answered waits in its wave's machine as it would alone.
#[test]
fn a_call_that_is_never_answered_takes_its_branch_in_every_session() {
    let place = Place::new();
    place.write(
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
    let without = place.good(&run);
    let with = place.good(&[&run[..], &["--threads", "3"]].concat());
    for text in [without, with] {
        assert_eq!(text.matches("ended: closed").count(), 4, "{text}");
        assert_eq!(text.matches("timed out").count(), 4, "{text}");
    }
}

const LOOP: &str =
    "global protocol L(role A, role B) { rec X { hi() from A to B; continue X; } }\n";

#[test]
fn a_run_without_end_takes_exactly_as_many_steps_as_it_may() {
    let place = Place::new();
    place.write("loop.anti", LOOP);
    place.write("empty.script", "");
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
        let told = place.run(&[&run[..], &options].concat());
        assert_eq!(told.code, Some(1));
        let summary = summary(&told.stdout);
        assert_eq!(summary["steps"].to_string(), max);
        let remark = format!("the run was ended after {max} steps");
        assert_eq!(summary["remarks"], serde_json::json!([remark]));
    }
}

#[test]
fn a_signal_ends_a_threaded_run_and_its_recording_in_good_order() {
    let place = Place::new();
    place.write("loop.anti", LOOP);
    place.write("empty.script", "");
    let run = [
        "run",
        "loop.anti",
        "--script",
        "empty.script",
        "--record",
        "l.rec",
    ];
    let mut child = place.start(&[&run[..], &["--sessions", "3", "--threads", "2"]].concat());
    let mut some = [0; 4096];
    let stdout = child.stdout.as_mut().expect("it is piped");
    stdout.read_exact(&mut some).expect("it prints without end");
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(status.expect("kill starts").success());
    let told = common::end(child);
    assert_eq!(told.code, Some(130), "{}", told.stderr);
    assert_eq!(told.stderr, "antiphon: the run was interrupted\n");
    assert_eq!(told.stdout.matches("ended: cancelled").count(), 3);
    assert!(place.good(&["replay", "l.rec"]).starts_with("equal: "));
}

#[test]
fn recordings_replay_on_threads_and_without_to_the_same() {
    let place = Place::new();
    let threaded = ["--sessions", "6", "--threads", "4", "--quantum", "8"];
    told(&place, &threaded, "threaded.rec");
    told(&place, &["--sessions", "6"], "turns.rec");
    for (recording, step) in [
        ("threaded.rec", "48"),
        ("turns.rec", "48"),
        ("threaded.rec", "9999"),
    ] {
        let expected = place.good(&["replay", recording]);
        assert!(expected.starts_with("equal: 204 steps, "), "{expected}");
        let at_step = place.run(&["replay", recording, "--step", step]);
        let json = place.good(&["replay", recording, "--step", step, "--json"]);
        for threads in ["1", "2", "8"] {
            let on = |options: &[&str]| {
                place.run(&[&["replay", recording, "--threads", threads], options].concat())
            };
            assert_eq!(on(&[]).stdout, expected, "{recording} {threads}");
            assert_eq!(on(&["--step", step]), at_step, "{recording} {threads}");
            assert_eq!(on(&["--step", step, "--json"]).stdout, json);
        }
    }
}

/// A replay stops before a wave or behind it.
#[test]
fn a_step_within_a_wave_is_told() {
    let place = Place::new();
    told(
        &place,
        &["--sessions", "6", "--threads", "4", "--quantum", "8"],
        "a.rec",
    );
    let at = |step: &str| place.run(&["replay", "a.rec", "--threads", "2", "--step", step]);
    let told = at("1");
    assert_eq!(told.code, Some(0));
    insta::assert_snapshot!(told.stderr);
    let json = place.good(&["replay", "a.rec", "--step", "1", "--json"]);
    assert_eq!(summary(&json)["at_step"], false);
    let there = told
        .stderr
        .trim_end()
        .rsplit(' ')
        .next()
        .expect("it is the last word");
    assert_eq!(
        at(there),
        Told {
            stderr: String::new(),
            ..told
        }
    );
}

#[test]
fn a_recording_that_was_changed_diverges_on_threads_too() {
    let place = Place::new();
    told(&place, &["--sessions", "3", "--threads", "2"], "a.rec");
    let bytes = place.read("a.rec");
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
    place.write("b.rec", writer.finish().expect("memory"));
    let without = place.run(&["replay", "b.rec"]);
    let with = place.run(&["replay", "b.rec", "--threads", "2"]);
    assert_eq!((without.code, with.code), (Some(1), Some(1)));
    assert_eq!(with, without);
}

/// Where memory is short, a thousand stacks are not to be had: threads are started where they are asked for, and nowhere else.
#[cfg(target_os = "linux")]
#[test]
fn threads_that_cannot_be_had_are_told() {
    let place = Place::new();
    told(&place, &[], "a.rec");
    let run = "run two_buyer.anti --script happy.script";
    for (command, threads) in [("replay a.rec", ""), (run, "--threads 1")] {
        let short = |threads: &str| {
            let program = env!("CARGO_BIN_EXE_antiphon");
            let line = format!("ulimit -v 1000000 && exec '{program}' {command} {threads}");
            let mut shell = Command::new("sh");
            let shell = shell.args(["-c", &line]).current_dir(place.path("."));
            shell.output().expect("there is a shell")
        };
        assert_eq!(short(threads).status.code(), Some(0), "{command}");
        let told = short("--threads 1024");
        assert_eq!(told.status.code(), Some(125), "{command}: {told:?}");
        let said = String::from_utf8_lossy(&told.stderr);
        let expected = "antiphon: the threads could not be started: ";
        assert!(said.contains(expected), "{said}");
    }
}

fn fixture() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("../../fixtures/recordings/v1/threaded.rec")
}

/// Two sessions in waves of both, a ping each.
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

/// Bytes of a released version do not change. `BLESS=1` writes the file anew.
#[test]
fn a_threaded_recording_is_written_as_it_always_was() {
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
fn the_kept_recordings_replay_on_every_driver() {
    let place = Place::new();
    let folder = fixture();
    let folder = folder.parent().expect("it is in a folder");
    let mut replayed = 0;
    for entry in fs::read_dir(folder).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        let path = path.to_str().expect("plain");
        let expected = place.good(&["replay", path]);
        assert!(expected.starts_with("equal: "), "{expected}");
        assert_eq!(place.good(&["replay", path, "--threads", "2"]), expected);
        replayed += 1;
    }
    assert!(replayed >= 2, "ping-pong.rec and threaded.rec");
}
