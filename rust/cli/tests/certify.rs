//! `certify`. Most tests put a program in Lean's place, which gives prepared answers at once; the last two ask Lean itself,
//! and fail where there is none.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use antiphon_bridge::case::Action;
use antiphon_bridge::certify::{Judgement, judge};
use antiphon_bridge::output::OutputWriter;
use antiphon_bridge::recording::case_of_recording;
use antiphon_bridge::run;
use antiphon_machine::{DeterminismMode, Outcome, Value};
use antiphon_record::{Entry, Reader, Writer};
use common::{Place, Told, end};

const RECORDING: &str = "../../fixtures/recordings/v1/ping-pong.rec";

/// A place with a recording `a.rec`.
fn recorded() -> Place {
    let place = Place::new();
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING);
    place.write("a.rec", fs::read(recording).expect("it is there"));
    place
}

/// Runs the command with this program in Lean's place.
fn certify(place: &Place, lean: &Path, args: &[&str]) -> Told {
    let mut command = place.command(&[&["certify"], args].concat());
    end(command
        .env("ANTIPHON_LEAN", lean)
        .spawn()
        .expect("it starts"))
}

/// A program that takes `bytes` for what the model says of the recording.
fn model(place: &Place, bytes: &[u8]) -> PathBuf {
    place.write("model", bytes);
    let output = place.path("model");
    script(place, &format!("cp '{}' \"$3\"", output.display()))
}

fn script(place: &Place, text: &str) -> PathBuf {
    place.write("lean", format!("#!/bin/sh\n{text}\n"));
    let path = place.path("lean");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

/// What the kernel comes to on the recording, as the model would write it.
fn honest(place: &Place) -> Vec<u8> {
    honest_of(place, "a.rec")
}

fn honest_of(place: &Place, recording: &str) -> Vec<u8> {
    let case = case_of_recording(recording, &place.read(recording)).expect("it is whole");
    let outs = run::encode(&run::run(&case));
    let mut writer = OutputWriter::create(Vec::new()).expect("memory");
    writer.case(&outs).expect("memory");
    writer.finish().expect("memory")
}

/// The recording with other entries, all of its checks made anew.
fn rewritten(place: &Place, name: &str, mut change: impl FnMut(&mut Entry)) {
    let bytes = place.read("a.rec");
    let mut reader = Reader::open(&bytes[..]).expect("a recording");
    let mut first = Entry::Header(reader.header().clone());
    change(&mut first);
    let Entry::Header(header) = first else {
        panic!("a header stays one");
    };
    let mut writer = Writer::create(Vec::new(), &header).expect("memory");
    while let Some(mut entry) = reader.entry().expect("memory") {
        change(&mut entry);
        writer.entry(&entry).expect("memory");
    }
    place.write(name, writer.finish().expect("memory"));
}

/// What is told of a Lean that is a file in the test's own folder.
fn without_folder(place: &Place, text: &str) -> String {
    let folder = place.path("");
    text.replace(&folder.display().to_string(), "")
}

#[test]
fn a_recording_that_the_model_agrees_with_is_certified() {
    let place = recorded();
    let lean = model(&place, &honest(&place));
    let told = certify(&place, &lean, &["a.rec"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    insta::assert_snapshot!(without_folder(&place, &told.stdout));
    assert!(told.stderr.is_empty(), "{told:?}");

    let told = certify(&place, &lean, &["a.rec", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&told.stdout).expect("one document");
    assert_eq!(document["verdict"], "certified");
    assert_eq!(document["steps"], 22);
    assert_eq!(document["mode"], "full");
    assert_eq!(document["kernel"], serde_json::Value::Null);
}

/// A place with a recording `t.rec` of sessions that `run` stepped on threads.
fn threaded() -> Place {
    let place = recorded();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    let options = ["--sessions", "3", "--threads", "2", "--quantum", "8"];
    let record = ["--record", "t.rec"];
    place.good(&[&run[..], &options, &record].concat());
    place
}

#[test]
fn a_wave_is_certified_as_a_wave_with_all_of_its_steps() {
    let place = threaded();
    let case = case_of_recording("t.rec", &place.read("t.rec")).expect("it is whole");
    let waves = case.actions.iter();
    let waves = waves.filter(|action| matches!(action, Action::Wave(_)));
    assert!(waves.count() > 3);
    let lean = model(&place, &honest_of(&place, "t.rec"));
    let told = certify(&place, &lean, &["t.rec"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let said = "certified: 102 steps, ";
    assert!(told.stdout.starts_with(said), "{told:?}");

    // A model that takes the recording's turns, and not its waves.
    let mut turns = case;
    for action in &mut turns.actions {
        if matches!(action, Action::Wave(_)) {
            *action = Action::Turn;
        }
    }
    let outs = run::encode(&run::run(&turns));
    let mut writer = OutputWriter::create(Vec::new()).expect("memory");
    writer.case(&outs).expect("memory");
    let lean = model(&place, &writer.finish().expect("memory"));
    let told = certify(&place, &lean, &["t.rec"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(
        told.stdout.starts_with("diverges from the model: "),
        "{told:?}"
    );
}

#[test]
fn a_model_that_does_otherwise_is_told_field_by_field() {
    let place = recorded();
    let mut bytes = honest(&place);
    // The last state's step index, behind its tag.
    let tag = b"antiphon.machine.v1";
    let at = bytes.windows(tag.len()).rposition(|part| part == tag);
    bytes[at.expect("there is a state") + tag.len()] -= 1;
    let lean = model(&place, &bytes);
    let told = certify(&place, &lean, &["a.rec"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    insta::assert_snapshot!(told.stdout);
    assert!(told.stderr.contains("`--fixture"), "{told:?}");

    let told = certify(&place, &lean, &["a.rec", "--json", "--fixture", "kept"]);
    let document: serde_json::Value = serde_json::from_str(&told.stdout).expect("one document");
    assert_eq!(document["verdict"], "diverges");
    assert_eq!(document["divergence"]["at"], 28);
    assert_eq!(told.code, Some(1), "{told:?}");
    let text = String::from_utf8(place.read("kept.diag")).expect("it is text");
    assert!(text.contains("\"a.rec\""), "{text}");
}

#[test]
fn a_recording_that_is_no_run_is_not_put_to_the_model() {
    let place = recorded();
    let mut numbers = 0;
    rewritten(&place, "tampered.rec", |entry| {
        if let Entry::Answer(Outcome::Success(value @ Value::Nat(_))) = entry {
            numbers += 1;
            *value = Value::Nat(1_000 + numbers);
        }
    });
    assert!(numbers > 0, "an outcome is changed");
    let told = certify(&place, Path::new("/bin/false"), &["tampered.rec"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    insta::assert_snapshot!(told.stdout);
    let told = certify(&place, Path::new("/bin/false"), &["tampered.rec", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&told.stdout).expect("one document");
    assert_eq!(document["verdict"], "not a run");
    assert!(document["divergence"]["step"].is_u64(), "{document}");
}

#[test]
fn what_is_not_a_whole_recording_is_refused() {
    let place = recorded();
    let bytes = place.read("a.rec");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    place.write("damaged.rec", damaged);
    place.write("cut.rec", &bytes[..bytes.len() - 5]);
    rewritten(&place, "replay.rec", |entry| {
        if let Entry::Header(header) = entry {
            header.config.determinism_mode = DeterminismMode::Replay;
        }
    });
    for (file, code, said) in [
        ("nowhere.rec", 125, "cannot read `nowhere.rec`"),
        ("two_buyer.anti", 4, "not a recording"),
        ("damaged.rec", 4, "is damaged"),
        (
            "cut.rec",
            3,
            "`cut.rec` cannot be certified because it is incomplete: torn",
        ),
        ("replay.rec", 4, "names the mode `replay`"),
    ] {
        let told = certify(&place, Path::new("/bin/false"), &[file]);
        assert_eq!(told.code, Some(code), "{file}: {told:?}");
        assert!(told.stderr.contains(said), "{file}: {told:?}");
        assert!(told.stdout.is_empty(), "{file}: {told:?}");
    }
}

#[test]
fn a_mode_that_leaves_something_open_is_told() {
    let place = recorded();
    rewritten(&place, "modulo.rec", |entry| match entry {
        Entry::Header(header) => {
            header.config.determinism_mode = DeterminismMode::ModuloEffects;
        }
        Entry::End(end) => (end.last.state, end.last.trace) = (None, None),
        _ => {}
    });
    let lean = model(&place, &honest(&place));
    let told = certify(&place, &lean, &["modulo.rec"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stderr.contains("it has no digests"), "{told:?}");
}

#[test]
fn without_a_lean_it_is_said_what_to_do() {
    let place = recorded();
    let told = certify(&place, &place.path("nowhere"), &["a.rec"]);
    assert_eq!(told.code, Some(5), "{told:?}");
    assert!(told.stderr.contains("ANTIPHON_LEAN names `"), "{told:?}");

    // A program that stands in no checkout.
    common::copy_program(&place.path("antiphon"));
    let mut alone = Command::new(place.path("antiphon"));
    let told = alone.args(["certify", "a.rec"]).current_dir(place.path(""));
    let told = told
        .env_remove("ANTIPHON_LEAN")
        .output()
        .expect("it starts");
    assert_eq!(told.status.code(), Some(5), "{told:?}");
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(said.contains("`cargo xtask setup`"), "{said}");

    let told = certify(&place, Path::new("/bin/false"), &["a.rec"]);
    assert_eq!(told.code, Some(125), "a Lean that fails: {told:?}");
}

#[test]
fn what_the_kernel_says_of_the_theorem_is_told() {
    let place = recorded();
    place.write("model", honest(&place));
    let output = place.path("model");
    let lean = |check: &str| {
        let run = format!("cp '{}' \"$3\"", output.display());
        let text = format!("case $1 in --check) {check};; *) {run};; esac");
        script(&place, &text)
    };
    let unproved = lean(
        "echo \"A.lean: Lean's kernel does not find the recording to be a run of the model\"; exit 1",
    );
    let told = certify(&place, &unproved, &["a.rec", "--kernel"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    insta::assert_snapshot!(told.stdout);
    let told = certify(&place, &unproved, &["a.rec", "--kernel", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&told.stdout).expect("one document");
    assert_eq!(document["verdict"], "not proved");

    let fails = lean("echo out of memory; exit 1");
    let told = certify(&place, &fails, &["a.rec", "--kernel"]);
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("): out of memory"), "{told:?}");

    let checks = lean("exit 0");
    let told = certify(
        &place,
        &checks,
        &["a.rec", "--kernel", "--output", "A.lean"],
    );
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.ends_with(" s: A.lean\n"), "{told:?}");
    let text = String::from_utf8(place.read("A.lean")).expect("it is text");
    let words = text.split(' ').map(|word| match word.split_once("\n") {
        Some((number, rest)) if number.starts_with("0x") => format!("0x...\n{rest}"),
        _ => word.to_owned(),
    });
    insta::assert_snapshot!(words.collect::<Vec<_>>().join(" "));
}

#[test]
fn a_long_recording_becomes_no_theorem() {
    let place = recorded();
    let protocol = "global protocol L(role A, role B) { rec X { choice at A { n(Nat) from A to B; \
                    continue X; } or { stop() from A to B; } } }\n";
    place.write("loop.anti", protocol);
    place.write(
        "loop.script",
        "repeat 300\nA sends n 7\nend\nA sends stop\n",
    );
    let run = ["run", "loop.anti", "--script", "loop.script", "--record"];
    place.good(&[&run[..], &["loop.rec"]].concat());
    let args = ["loop.rec", "--kernel"];
    let told = certify(&place, Path::new("/bin/false"), &args);
    assert_eq!(told.code, Some(125), "{told:?}");
    let said = "Lean's kernel is given at most 700";
    assert!(told.stderr.contains(said), "{told:?}");
    let over = ["a.rec", "--kernel", "--output", "./a.rec"];
    let told = certify(&place, Path::new("/bin/false"), &over);
    assert_eq!(told.code, Some(2), "{told:?}");
    let told = place.run(&["certify", "a.rec", "--output", "A.lean"]);
    assert_eq!(
        told.code,
        Some(2),
        "a theorem is asked for by `--kernel`: {told:?}"
    );
}

/// Lean itself: it takes a minute. The theorem of an honest recording is checked; with one byte changed it is not.
#[test]
fn lean_checks_the_theorem_of_a_recording_and_no_other() {
    let place = recorded();
    let mut command = place.command(&["certify", "a.rec", "--kernel", "--output", "A.lean"]);
    let told = command.output().expect("it starts");
    let stdout = String::from_utf8_lossy(&told.stdout);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert!(stdout.starts_with("certified: 22 steps, "), "{stdout}");
    assert!(stdout.contains("checked by Lean's kernel in "), "{stdout}");

    let text = String::from_utf8(place.read("A.lean")).expect("it is text");
    let (before, state) = text.split_once("def recordedState").expect("it is there");
    // The last state's step index, behind its tag: 22.
    let tag: String = b".v1".iter().map(|byte| format!("{byte:02x}")).collect();
    let changed = state.replacen(&format!("{tag}16"), &format!("{tag}17"), 1);
    assert_ne!(changed, state);
    place.write("B.lean", format!("{before}def recordedState{changed}"));
    let judged = judge(&lean(), &place.path("B.lean")).expect("Lean is asked");
    assert_eq!(judged, Judgement::NotProved);
}

/// Lean itself, on results that are taken as failures because of their sort and their size: Lean's kernel evaluates the words
/// that they are told in. No command gives such results, so a recording of failures in these very words is rewritten; if the
/// words were others, it would not be a run.
#[test]
fn lean_checks_the_theorem_of_refused_results() {
    const SORT: &str = "a value of sort 1 was expected, got one of form nat";
    const SIZE: &str = "a payload of 6 bytes is over the limit of 4";
    let place = Place::new();
    let protocol = "effect World version 1 { op name() -> Text; }\n\
                    global protocol R(role A, role B) uses World at A { \
                    choice at A { at A { let name = World.name() else wrong; } one(name) from A to B; } \
                    or { wrong() from A to B; \
                    choice at A { at A { let name = World.name() else large; } two(name) from A to B; } \
                    or { large() from A to B; } } }\n";
    place.write("r.anti", protocol);
    let script = format!(
        "A sends one\nA answers World.name fails contract_violation \"{SORT}\"\n\
         A sends two\nA answers World.name fails contract_violation \"{SIZE}\"\n"
    );
    place.write("r.script", script);
    place.good(&["run", "r.anti", "--script", "r.script", "--record", "a.rec"]);
    let mut refused = 0;
    rewritten(&place, "refused.rec", |entry| match entry {
        Entry::Header(header) => header.config.payload_len_max = 4,
        Entry::Answer(outcome) => {
            let result = match outcome {
                Outcome::Failure(failure) if &*failure.detail == SORT => Value::Nat(7),
                Outcome::Failure(failure) if &*failure.detail == SIZE => Value::text("large"),
                _ => return,
            };
            *outcome = Outcome::Success(result);
            refused += 1;
        }
        _ => {}
    });
    assert_eq!(refused, 2);

    let args = ["certify", "refused.rec", "--kernel"];
    let told = place.command(&args).output().expect("it starts");
    let stdout = String::from_utf8_lossy(&told.stdout);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert!(stdout.contains("checked by Lean's kernel in "), "{stdout}");
}

/// Lean itself, on recordings of threads: what is asked in waves, and a theorem that has the waves.
#[test]
fn lean_certifies_threaded_recordings() {
    let place = threaded();
    place.write(
        "hi.anti",
        "global protocol H(role A, role B) { hi() from A to B; }\n",
    );
    place.write("empty.script", "");
    let run = [
        "run",
        "hi.anti",
        "--script",
        "empty.script",
        "--record",
        "hi.rec",
    ];
    let options = ["--sessions", "2", "--threads", "2", "--quantum", "3"];
    place.good(&[&run[..], &options].concat());
    for (args, said) in [
        (&["t.rec"][..], "certified: 102 steps, "),
        (&["hi.rec", "--kernel"], "certified: 10 steps, "),
    ] {
        let mut command = place.command(&[&["certify"], args].concat());
        let told = command.output().expect("it starts");
        let stdout = String::from_utf8_lossy(&told.stdout);
        assert_eq!(told.status.code(), Some(0), "{told:?}");
        assert!(stdout.starts_with(said), "{stdout}");
        let is_checked = stdout.contains("checked by Lean's kernel in ");
        assert_eq!(is_checked, args.contains(&"--kernel"), "{stdout}");
    }
}

/// What `cargo xtask setup` has made.
fn lean() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_antiphon"));
    let target = program.ancestors().nth(2).expect("it is in target/debug");
    target.join("lean/run")
}
