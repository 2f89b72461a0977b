//! Tests recordings as files: permissions, locks, and reports of failed writes.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Agent, PATIENCE, ProgramOutput, TestDir, end, under};

const RUN: [&str; 6] = [
    "run",
    "two_buyer.anti",
    "--script",
    "happy.script",
    "--record",
    "a.rec",
];

/// A limit on the size of files: a write beyond it fails as on a full disk.
const SMALL: &str = "ulimit -f 64";

fn run_under(dir: &TestDir, first: &str, args: &[&str]) -> ProgramOutput {
    end(under(dir, first, args).spawn().expect("there is a shell"))
}

fn mode(dir: &TestDir, name: &str) -> u32 {
    let about = fs::metadata(dir.path(name)).expect("it is there");
    about.permissions().mode() & 0o777
}

/// Starts a command that records to `a.rec` and waits for a line of input.
fn recording(dir: &TestDir, flags: &[&str]) -> Child {
    let script = ["--", "sh", "-c", "echo started; read line; exit 3"];
    let args = [&["exec", "--record", "a.rec"], flags, &script].concat();
    let mut child = dir.start(&args);
    let mut line = [0; 8];
    let stdout = child.stdout.as_mut().expect("it is piped");
    stdout.read_exact(&mut line).expect("it says so");
    assert_eq!(&line, b"started\n");
    child
}

/// Sends the line to the command and returns its exit code.
fn finish(mut child: Child) -> Option<i32> {
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"go\n").expect("it reads");
    drop(stdin);
    end(child).code
}

#[test]
fn only_the_owner_may_read_a_recording() {
    let dir = TestDir::new();
    run_under(&dir, "umask 0", &RUN);
    assert_eq!(mode(&dir, "a.rec"), 0o600);
    let modes = fs::Permissions::from_mode(0o664);
    fs::set_permissions(dir.path("a.rec"), modes).expect("it is ours");
    let output = run_under(&dir, "umask 0", &[&RUN[..], &["--overwrite"]].concat());
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(mode(&dir, "a.rec"), 0o600);
}

#[test]
fn a_second_writer_is_refused() {
    for flags in [&[][..], &["--overwrite"]] {
        let dir = TestDir::new();
        let first = recording(&dir, flags);
        symlink("a.rec", dir.path("link.rec")).expect("it can be linked");
        for name in ["a.rec", "link.rec"] {
            let args = ["exec", "--overwrite", "--record", name, "--", "true"];
            let output = dir.run(&args);
            assert_eq!(output.code, Some(125), "{output:?}");
            let wanted = format!("`{name}` is being written by another process");
            assert!(output.stderr.contains(&wanted), "{output:?}");
        }
        let output = dir.run(&[&RUN[..], &["--overwrite"]].concat());
        assert_eq!(output.code, Some(125), "{output:?}");
        // A recording can be read while it is written.
        let output = dir.run(&["replay", "a.rec"]);
        assert_eq!(output.code, Some(3), "{output:?}");
        assert_eq!(finish(first), Some(3));
        dir.run_ok(&["replay", "a.rec"]);
        assert!(dir.run_ok(&["show", "a.rec"]).contains("exit_code: 3"));
    }
}

/// Each writer is refused, writes a complete recording, or reports that its recording was removed.
/// A reader never sees a mixture of two.
#[test]
fn concurrent_writers_do_not_mix() {
    let dir = TestDir::new();
    let args = [&RUN[..], &["--overwrite"]].concat();
    thread::scope(|scope| {
        let writer = || {
            for round in 0..12 {
                if round % 4 == 3 {
                    // Sometimes there is no recording to replace.
                    let _ = fs::remove_file(dir.path("a.rec"));
                }
                let output = dir.run(&args);
                let is_refused = output
                    .stderr
                    .contains("is being written by another process");
                // Removed by another writer, which may have created its own there.
                let is_lost = output.stderr.contains("while it was recorded");
                let is_reported = output.code == Some(125) && (is_refused || is_lost);
                assert!(output.code == Some(0) || is_reported, "{output:?}");
            }
        };
        let writers = [0; 4].map(|_| scope.spawn(writer));
        while writers.iter().any(|writer| !writer.is_finished()) {
            let Ok(bytes) = fs::read(dir.path("a.rec")) else {
                continue;
            };
            if bytes.is_empty() {
                // Created a moment ago and still empty.
                continue;
            }
            dir.write("seen.rec", bytes);
            let output = dir.run(&["replay", "seen.rec"]);
            assert!(matches!(output.code, Some(0 | 3)), "{output:?}");
        }
    });
    dir.run_ok(&args);
    dir.run_ok(&["replay", "a.rec"]);
    let left = dir.names().into_iter().find(|n| n.starts_with('.'));
    assert_eq!(left, None);
}

#[test]
fn an_overwritten_recording_is_replaced_atomically() {
    let dir = TestDir::new();
    dir.run_ok(&RUN);
    let old = dir.read("a.rec");
    let before = dir.names();
    // A process that has the old recording open still reads it.
    let mut open = fs::File::open(dir.path("a.rec")).expect("it is there");
    let writing = recording(&dir, &["--overwrite"]);
    let mut kept = Vec::new();
    open.read_to_end(&mut kept).expect("it can be read");
    assert!(kept == old, "the old recording was changed");
    assert_eq!(dir.names(), before, "there is another file");
    assert_eq!(finish(writing), Some(3));
    assert_eq!(dir.names(), before, "there is another file");
    assert!(dir.run_ok(&["show", "a.rec"]).contains("exit_code: 3"));

    fs::rename(dir.path("a.rec"), dir.path("b.rec")).expect("it can be renamed");
    symlink("b.rec", dir.path("a.rec")).expect("it can be linked");
    dir.run_ok(&[&RUN[..], &["--overwrite"]].concat());
    assert!(dir.path("a.rec").is_symlink());
    assert!(dir.read("b.rec") == old, "another file");

    symlink("new.rec", dir.path("dangling.rec")).expect("it can be linked");
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    dir.run_ok(&[&run[..], &["--overwrite", "--record", "dangling.rec"]].concat());
    assert!(dir.path("dangling.rec").is_symlink());
    assert!(dir.read("new.rec") == old, "another file");
}

#[test]
fn a_recording_that_cannot_begin_keeps_the_old_one() {
    let dir = TestDir::new();
    dir.run_ok(&RUN);
    let old = dir.read("a.rec");
    let before = dir.names();
    let full = "ulimit -f 0";
    let output = run_under(&dir, full, &[&RUN[..], &["--overwrite"]].concat());
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("File too large"), "{output:?}");
    assert!(dir.read("a.rec") == old, "the old recording was changed");
    assert_eq!(dir.names(), before, "there is another file");

    fs::remove_file(dir.path("a.rec")).expect("it is ours");
    let output = run_under(&dir, full, &RUN);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(!dir.path("a.rec").exists(), "it is left, and empty");
}

#[test]
fn devices_and_pipes_are_written_directly() {
    let dir = TestDir::new();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    let to = |name| dir.run(&[&run[..], &["--overwrite", "--record", name]].concat());
    let pipe = dir.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo starts").success());
    let begun = Instant::now();
    let output = to("pipe");
    assert!(begun.elapsed() < Duration::from_secs(10), "it waits");
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("no process reads"), "{output:?}");

    let reader = thread::spawn(move || fs::read(pipe).expect("it can be read"));
    let begun = Instant::now();
    // The reader may not have opened it yet.
    while to("pipe").code != Some(0) {
        assert!(begun.elapsed() < PATIENCE, "the pipe is not written");
    }
    dir.write("piped.rec", reader.join().expect("no panic in it"));
    dir.run_ok(&["replay", "piped.rec"]);

    // An open descriptor stays on its file.
    let args = [&run[..], &["--overwrite", "--record", "/dev/fd/3"]].concat();
    let output = run_under(&dir, "exec 3>open.rec 4<open.rec; rm open.rec", &args);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(!dir.path("open.rec").exists());
    let output = run_under(&dir, "exec 3>open.rec; ln open.rec same.rec", &args);
    assert_eq!(output.code, Some(0), "{output:?}");
    dir.run_ok(&["replay", "same.rec"]);
}

/// Writes more than the limit, then waits until the test has read the report.
const CHATTER: &str = "head -c 200000 /dev/zero; while [ ! -e go ]; do sleep 0.02; done; exit 3";

#[test]
fn a_recording_that_fails_is_reported_at_once() {
    let dir = TestDir::new();
    let args = ["exec", "--record", "a.rec", "--", "sh", "-c", CHATTER];
    let mut command = under(&dir, SMALL, &args);
    let mut child = command
        .stdout(Stdio::null())
        .spawn()
        .expect("there is a shell");
    let mut output = Vec::new();
    let stderr = child.stderr.as_mut().expect("it is piped");
    let mut byte = [0];
    while stderr.read(&mut byte).expect("a pipe can be read") == 1 && byte[0] != b'\n' {
        output.push(byte[0]);
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    assert!(output.contains("cannot record in `a.rec`"), "{output}");
    assert!(output.contains("File too large"), "{output}");
    // The command kept running.
    assert_eq!(child.try_wait().expect("it is ours"), None);
    dir.write("go", "");
    let output = end(child);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("ended with code 3"), "{output:?}");
    let output = dir.run(&["replay", "a.rec"]);
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.stdout.starts_with("equal"), "{output:?}");
}

#[test]
fn the_last_document_has_the_code_of_the_guest_command() {
    let dir = TestDir::new();
    dir.write("go", "");
    let exec = ["exec", "--json", "--record", "a.rec"];
    let args = [&exec[..], &["--", "sh", "-c", CHATTER]].concat();
    let output = run_under(&dir, SMALL, &args);
    assert_eq!(output.code, Some(125), "{output:?}");
    let documents = documents(&output);
    let failed = documents
        .iter()
        .position(|d| d["event"] == "recording_failed");
    let failed = failed.expect("it is reported");
    assert_eq!(documents[failed]["path"], "a.rec");
    let message = documents[failed]["message"].as_str().expect("a text");
    assert!(message.contains("File too large"), "{message}");
    let last = documents.last().expect("there is one");
    assert_eq!(last["event"], "exit");
    assert_eq!(last["code"], 125);
    assert_eq!(last["reason"], "recording_failed");
    assert_eq!(last["guest_code"], 3);

    let output = dir.run(&["exec", "--json", "--", "sh", "-c", "exit 4"]);
    let last = last_document(&output);
    assert_eq!((&last["code"], &last["guest_code"]), (&4.into(), &4.into()));
    let output = dir.run(&["exec", "--json", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(
        last_document(&output)["guest_code"],
        serde_json::Value::Null
    );
}

fn documents(output: &ProgramOutput) -> Vec<serde_json::Value> {
    let lines = output.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("each line is a document"))
        .collect()
}

fn last_document(output: &ProgramOutput) -> serde_json::Value {
    documents(output).pop().expect("there is one")
}

#[test]
fn a_required_recording_that_fails_ends_the_command() {
    let dir = TestDir::new();
    let exec = ["exec", "--json", "--record", "a.rec", "--record-required"];
    let endless = ["--", "sh", "-c", "while :; do echo 986; done"];
    let output = run_under(&dir, SMALL, &[&exec[..], &endless].concat());
    assert_eq!(output.code, Some(125), "{:?}", output.stderr);
    let last = last_document(&output);
    assert_eq!(last["reason"], "recording_failed");
    let output = dir.run(&["replay", "a.rec"]);
    assert_eq!(output.code, Some(3), "{output:?}");

    let output = dir.run(&["exec", "--record-required", "--", "true"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("--record"), "{output:?}");
}

#[test]
fn a_run_reports_a_failed_recording_and_stops_if_it_is_required() {
    let dir = TestDir::new();
    let many = [&RUN[..], &["--sessions", "500"]].concat();
    let output = run_under(&dir, SMALL, &[&many[..], &["--json"]].concat());
    assert_eq!(output.code, Some(125), "{:?}", output.stderr);
    let all = documents(&output);
    let failed = all.iter().position(|d| d["event"] == "recording_failed");
    assert!(failed.expect("it is reported") < all.len() / 2);
    let last = all.last().expect("there is one");
    assert_eq!(last["ends"]["closed"], 500, "{last}");
    assert_eq!(last["recording"], "failed", "{last}");

    let required = [&many[..], &["--json", "--overwrite", "--record-required"]].concat();
    let output = run_under(&dir, SMALL, &required);
    assert_eq!(output.code, Some(125), "{:?}", output.stderr);
    let last = last_document(&output);
    assert_ne!(last["ends"]["closed"], 500, "{last}");
    assert_eq!(dir.run(&["replay", "a.rec"]).code, Some(3));
}

#[test]
fn a_copy_reports_a_failed_recording_and_stops_if_it_is_required() {
    let dir = TestDir::new();
    let agent = Agent::start(&dir);
    dir.write("sent", vec![7; 300_000]);
    let target = format!("guest:{}", dir.path("there").display());
    let cp = [&agent.cp("sent", &target)[..], &["--record", "a.rec"]].concat();
    let output = run_under(&dir, SMALL, &[&cp[..], &["--json"]].concat());
    assert_eq!(output.code, Some(125), "{output:?}");
    let all = documents(&output);
    assert_eq!(all[0]["event"], "recording_failed", "{all:?}");
    let last = all.last().expect("there is one");
    assert_eq!(last["copied"], 300_000, "{last}");
    assert_eq!(last["recording"], "failed", "{last}");
    assert_eq!(dir.read("there").len(), 300_000);
    assert_eq!(dir.run(&["replay", "a.rec"]).code, Some(3));

    dir.write("there", "old");
    let before = dir.names();
    let required = [&cp[..], &["--overwrite", "--record-required"]].concat();
    let output = run_under(&dir, SMALL, &required);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("cannot record in"), "{output:?}");
    assert_eq!(dir.read("there").len(), 3, "the target was changed");
    assert_eq!(dir.names(), before, "a part is left");
}
