//! Tests `certify`. Most tests replace Lean by a program with prepared answers; the tests named
//! `lean_` run Lean itself and fail if it is not installed.

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
use common::{ProgramOutput, TestDir, end};

const RECORDING: &str = "../../fixtures/recordings/v1/ping-pong.rec";

/// A directory with a recording `a.rec`.
fn recorded() -> TestDir {
    let dir = TestDir::new();
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING);
    dir.write("a.rec", fs::read(recording).expect("it is there"));
    dir
}

/// Runs the command with this program in place of Lean.
fn certify(dir: &TestDir, lean: &Path, args: &[&str]) -> ProgramOutput {
    let mut command = dir.command(&[&["certify"], args].concat());
    end(command
        .env("ANTIPHON_LEAN", lean)
        .spawn()
        .expect("it starts"))
}

/// Makes a program that prints `bytes` as the model's output.
fn model(dir: &TestDir, bytes: &[u8]) -> PathBuf {
    dir.write("model", bytes);
    let model_file = dir.path("model");
    script(dir, &format!("cp '{}' \"$3\"", model_file.display()))
}

fn script(dir: &TestDir, text: &str) -> PathBuf {
    dir.write("lean", format!("#!/bin/sh\n{text}\n"));
    let path = dir.path("lean");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

/// The kernel's results on the recording, in the form of the model's output.
fn honest(dir: &TestDir) -> Vec<u8> {
    honest_of(dir, "a.rec")
}

fn honest_of(dir: &TestDir, recording: &str) -> Vec<u8> {
    let case = case_of_recording(recording, &dir.read(recording)).expect("it is whole");
    let outs = run::encode(&run::run(&case));
    let mut writer = OutputWriter::create(Vec::new()).expect("memory");
    writer.case(&outs).expect("memory");
    writer.finish().expect("memory")
}

/// Writes the recording with changed entries and new checksums.
fn rewritten(dir: &TestDir, name: &str, mut change: impl FnMut(&mut Entry)) {
    let bytes = dir.read("a.rec");
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
    dir.write(name, writer.finish().expect("memory"));
}

/// Removes the test's directory from a text.
fn without_folder(dir: &TestDir, text: &str) -> String {
    let folder = dir.path("");
    text.replace(&folder.display().to_string(), "")
}

#[test]
fn a_recording_that_the_model_agrees_with_is_certified() {
    let dir = recorded();
    let lean = model(&dir, &honest(&dir));
    let output = certify(&dir, &lean, &["a.rec"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    insta::assert_snapshot!(without_folder(&dir, &output.stdout));
    assert!(output.stderr.is_empty(), "{output:?}");

    let output = certify(&dir, &lean, &["a.rec", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&output.stdout).expect("one document");
    assert_eq!(document["verdict"], "certified");
    assert_eq!(document["steps"], 22);
    assert_eq!(document["mode"], "full");
    assert_eq!(document["kernel"], serde_json::Value::Null);
}

/// A directory with a recording `t.rec` of sessions that `run` stepped on threads.
fn threaded() -> TestDir {
    let dir = recorded();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    let options = ["--sessions", "3", "--threads", "2", "--quantum", "8"];
    let record = ["--record", "t.rec"];
    dir.run_ok(&[&run[..], &options, &record].concat());
    dir
}

#[test]
fn a_wave_is_certified_as_a_wave_with_all_of_its_steps() {
    let dir = threaded();
    let case = case_of_recording("t.rec", &dir.read("t.rec")).expect("it is whole");
    let waves = case.actions.iter();
    let waves = waves.filter(|action| matches!(action, Action::Wave(_)));
    assert!(waves.count() > 3);
    let lean = model(&dir, &honest_of(&dir, "t.rec"));
    let output = certify(&dir, &lean, &["t.rec"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let message = "certified: 102 steps, ";
    assert!(output.stdout.starts_with(message), "{output:?}");

    // A model that takes single steps instead of the recorded waves.
    let mut turns = case;
    for action in &mut turns.actions {
        if matches!(action, Action::Wave(_)) {
            *action = Action::Turn;
        }
    }
    let outs = run::encode(&run::run(&turns));
    let mut writer = OutputWriter::create(Vec::new()).expect("memory");
    writer.case(&outs).expect("memory");
    let lean = model(&dir, &writer.finish().expect("memory"));
    let output = certify(&dir, &lean, &["t.rec"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stdout.starts_with("diverges from the model: "),
        "{output:?}"
    );
}

#[test]
fn a_diverging_model_is_reported_field_by_field() {
    let dir = recorded();
    let mut bytes = honest(&dir);
    // The step index of the last state, after its tag.
    let tag = b"antiphon.machine.v1";
    let at = bytes.windows(tag.len()).rposition(|part| part == tag);
    bytes[at.expect("there is a state") + tag.len()] -= 1;
    let lean = model(&dir, &bytes);
    let output = certify(&dir, &lean, &["a.rec"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    insta::assert_snapshot!(output.stdout);
    assert!(output.stderr.contains("`--fixture"), "{output:?}");

    let output = certify(&dir, &lean, &["a.rec", "--json", "--fixture", "kept"]);
    let document: serde_json::Value = serde_json::from_str(&output.stdout).expect("one document");
    assert_eq!(document["verdict"], "diverges");
    assert_eq!(document["divergence"]["at"], 28);
    assert_eq!(output.code, Some(1), "{output:?}");
    let text = String::from_utf8(dir.read("kept.diag")).expect("it is text");
    assert!(text.contains("\"a.rec\""), "{text}");
}

#[test]
fn a_recording_that_diverges_is_not_given_to_the_model() {
    let dir = recorded();
    let mut numbers = 0;
    rewritten(&dir, "tampered.rec", |entry| {
        if let Entry::Answer(Outcome::Success(value @ Value::Nat(_))) = entry {
            numbers += 1;
            *value = Value::Nat(1_000 + numbers);
        }
    });
    assert!(numbers > 0, "an outcome is changed");
    let output = certify(&dir, Path::new("/bin/false"), &["tampered.rec"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    insta::assert_snapshot!(output.stdout);
    let output = certify(&dir, Path::new("/bin/false"), &["tampered.rec", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&output.stdout).expect("one document");
    assert_eq!(document["verdict"], "not a run");
    assert!(document["divergence"]["step"].is_u64(), "{document}");
}

#[test]
fn an_incomplete_recording_is_refused() {
    let dir = recorded();
    let bytes = dir.read("a.rec");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    dir.write("damaged.rec", damaged);
    dir.write("cut.rec", &bytes[..bytes.len() - 5]);
    rewritten(&dir, "replay.rec", |entry| {
        if let Entry::Header(header) = entry {
            header.config.determinism_mode = DeterminismMode::Replay;
        }
    });
    for (file, code, message) in [
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
        let output = certify(&dir, Path::new("/bin/false"), &[file]);
        assert_eq!(output.code, Some(code), "{file}: {output:?}");
        assert!(output.stderr.contains(message), "{file}: {output:?}");
        assert!(output.stdout.is_empty(), "{file}: {output:?}");
    }
}

#[test]
fn a_weaker_mode_is_reported() {
    let dir = recorded();
    rewritten(&dir, "modulo.rec", |entry| match entry {
        Entry::Header(header) => {
            header.config.determinism_mode = DeterminismMode::ModuloEffects;
        }
        Entry::End(end) => (end.last.state, end.last.trace) = (None, None),
        _ => {}
    });
    let lean = model(&dir, &honest(&dir));
    let output = certify(&dir, &lean, &["modulo.rec"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("it has no digests"), "{output:?}");
}

#[test]
fn without_lean_the_message_names_the_remedy() {
    let dir = recorded();
    let output = certify(&dir, &dir.path("nowhere"), &["a.rec"]);
    assert_eq!(output.code, Some(5), "{output:?}");
    assert!(
        output.stderr.contains("ANTIPHON_LEAN names `"),
        "{output:?}"
    );

    // A program outside any checkout.
    common::copy_program(&dir.path("antiphon"));
    let mut alone = Command::new(dir.path("antiphon"));
    let output = alone.args(["certify", "a.rec"]).current_dir(dir.path(""));
    let output = output
        .env_remove("ANTIPHON_LEAN")
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("`cargo xtask setup`"), "{message}");

    let output = certify(&dir, Path::new("/bin/false"), &["a.rec"]);
    assert_eq!(output.code, Some(125), "a Lean that fails: {output:?}");
}

#[test]
fn reports_the_kernels_verdict_on_the_theorem() {
    let dir = recorded();
    dir.write("model", honest(&dir));
    let model_file = dir.path("model");
    let lean = |check: &str| {
        let run = format!("cp '{}' \"$3\"", model_file.display());
        let text = format!("case $1 in --check) {check};; *) {run};; esac");
        script(&dir, &text)
    };
    let unproved = lean(
        "echo \"A.lean: Lean's kernel does not find the recording to be a run of the model\"; exit \
         1",
    );
    let output = certify(&dir, &unproved, &["a.rec", "--kernel"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    insta::assert_snapshot!(output.stdout);
    let output = certify(&dir, &unproved, &["a.rec", "--kernel", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&output.stdout).expect("one document");
    assert_eq!(document["verdict"], "not proved");

    let fails = lean("echo out of memory; exit 1");
    let output = certify(&dir, &fails, &["a.rec", "--kernel"]);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("): out of memory"), "{output:?}");

    let checks = lean("exit 0");
    let output = certify(&dir, &checks, &["a.rec", "--kernel", "--output", "A.lean"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.ends_with(" s: A.lean\n"), "{output:?}");
    let text = String::from_utf8(dir.read("A.lean")).expect("it is text");
    let words = text.split(' ').map(|word| match word.split_once("\n") {
        Some((number, rest)) if number.starts_with("0x") => format!("0x...\n{rest}"),
        _ => word.to_owned(),
    });
    insta::assert_snapshot!(words.collect::<Vec<_>>().join(" "));
}

#[test]
fn a_long_recording_is_refused_as_a_theorem() {
    let dir = recorded();
    let protocol = "global protocol L(role A, role B) { rec X { choice at A { n(Nat) from A to B; \
                    continue X; } or { stop() from A to B; } } }\n";
    dir.write("loop.anti", protocol);
    dir.write(
        "loop.script",
        "repeat 300\nA sends n 7\nend\nA sends stop\n",
    );
    let run = ["run", "loop.anti", "--script", "loop.script", "--record"];
    dir.run_ok(&[&run[..], &["loop.rec"]].concat());
    let args = ["loop.rec", "--kernel"];
    let output = certify(&dir, Path::new("/bin/false"), &args);
    assert_eq!(output.code, Some(125), "{output:?}");
    let message = "Lean's kernel is given at most 700";
    assert!(output.stderr.contains(message), "{output:?}");
    let over = ["a.rec", "--kernel", "--output", "./a.rec"];
    let output = certify(&dir, Path::new("/bin/false"), &over);
    assert_eq!(output.code, Some(2), "{output:?}");
    let output = dir.run(&["certify", "a.rec", "--output", "A.lean"]);
    assert_eq!(
        output.code,
        Some(2),
        "a theorem is asked for by `--kernel`: {output:?}"
    );
}

/// Runs Lean itself, which takes a minute. The theorem of an unchanged recording is proved; with
/// one byte changed it is not.
#[test]
fn lean_checks_the_theorem_of_a_recording_and_no_other() {
    let dir = recorded();
    let mut command = dir.command(&["certify", "a.rec", "--kernel", "--output", "A.lean"]);
    let output = command.output().expect("it starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout.starts_with("certified: 22 steps, "), "{stdout}");
    assert!(stdout.contains("checked by Lean's kernel in "), "{stdout}");

    let text = String::from_utf8(dir.read("A.lean")).expect("it is text");
    let (before, state) = text.split_once("def recordedState").expect("it is there");
    // The step index of the last state, after its tag: 22.
    let tag: String = b".v1".iter().map(|byte| format!("{byte:02x}")).collect();
    let changed = state.replacen(&format!("{tag}16"), &format!("{tag}17"), 1);
    assert_ne!(changed, state);
    dir.write("B.lean", format!("{before}def recordedState{changed}"));
    let judged = judge(&lean(), &dir.path("B.lean")).expect("Lean is asked");
    assert_eq!(judged, Judgement::NotProved);
}

/// Runs Lean itself on results that become failures because of their sort and their size: Lean's
/// kernel evaluates the text of those failures. No command gives such results, so the test rewrites
/// a recording of failures with the same text. With any other text it would not be a run.
#[test]
fn lean_checks_the_theorem_of_refused_results() {
    const SORT: &str = "a value of sort 1 was expected, got one of form nat";
    const SIZE: &str = "a payload of 6 bytes is over the limit of 4";
    let dir = TestDir::new();
    let protocol = "effect World version 1 { op name() -> Text; }\n\
                    global protocol R(role A, role B) uses World at A { \
                    choice at A { \
                    at A { let name = World.name() else wrong; } one(name) from A to B; } \
                    or { wrong() from A to B; \
                    choice at A { \
                    at A { let name = World.name() else large; } two(name) from A to B; } \
                    or { large() from A to B; } } }\n";
    dir.write("r.anti", protocol);
    let script = format!(
        "A sends one\nA answers World.name fails contract_violation \"{SORT}\"\n\
         A sends two\nA answers World.name fails contract_violation \"{SIZE}\"\n"
    );
    dir.write("r.script", script);
    dir.run_ok(&["run", "r.anti", "--script", "r.script", "--record", "a.rec"]);
    let mut refused = 0;
    rewritten(&dir, "refused.rec", |entry| match entry {
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
    let output = dir.command(&args).output().expect("it starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout.contains("checked by Lean's kernel in "), "{stdout}");
}

/// Runs Lean itself on threaded recordings: requests made in waves, and a theorem with waves.
#[test]
fn lean_certifies_threaded_recordings() {
    let dir = threaded();
    dir.write(
        "hi.anti",
        "global protocol H(role A, role B) { hi() from A to B; }\n",
    );
    dir.write("empty.script", "");
    let run = [
        "run",
        "hi.anti",
        "--script",
        "empty.script",
        "--record",
        "hi.rec",
    ];
    let options = ["--sessions", "2", "--threads", "2", "--quantum", "3"];
    dir.run_ok(&[&run[..], &options].concat());
    for (args, message) in [
        (&["t.rec"][..], "certified: 102 steps, "),
        (&["hi.rec", "--kernel"], "certified: 10 steps, "),
    ] {
        let mut command = dir.command(&[&["certify"], args].concat());
        let output = command.output().expect("it starts");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(stdout.starts_with(message), "{stdout}");
        let is_checked = stdout.contains("checked by Lean's kernel in ");
        assert_eq!(is_checked, args.contains(&"--kernel"), "{stdout}");
    }
}

/// The program that `cargo xtask setup` installs.
fn lean() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_antiphon"));
    let target = program.ancestors().nth(2).expect("it is in target/debug");
    target.join("lean/run")
}
