//! Recordings as files: their permissions, their locks, and the reports of failed writes.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Agent, PATIENCE, Place, Told, end, under};

const RUN: [&str; 6] = [
    "run",
    "two_buyer.anti",
    "--script",
    "happy.script",
    "--record",
    "a.rec",
];

/// A limit on the size of every file: a write beyond it fails as on a full disk.
const SMALL: &str = "ulimit -f 64";

fn run_under(place: &Place, first: &str, args: &[&str]) -> Told {
    end(under(place, first, args).spawn().expect("there is a shell"))
}

fn mode(place: &Place, name: &str) -> u32 {
    let about = fs::metadata(place.path(name)).expect("it is there");
    about.permissions().mode() & 0o777
}

/// Starts a command that records to `a.rec` and waits for a line of input.
fn recording(place: &Place, flags: &[&str]) -> Child {
    let script = ["--", "sh", "-c", "echo started; read line; exit 3"];
    let args = [&["exec", "--record", "a.rec"], flags, &script].concat();
    let mut child = place.start(&args);
    let mut line = [0; 8];
    let stdout = child.stdout.as_mut().expect("it is piped");
    stdout.read_exact(&mut line).expect("it says so");
    assert_eq!(&line, b"started\n");
    child
}

/// Gives the command its line and returns its exit code.
fn finish(mut child: Child) -> Option<i32> {
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"go\n").expect("it reads");
    drop(stdin);
    end(child).code
}

#[test]
fn a_recording_is_for_its_owner_only() {
    let place = Place::new();
    run_under(&place, "umask 0", &RUN);
    assert_eq!(mode(&place, "a.rec"), 0o600);
    let modes = fs::Permissions::from_mode(0o664);
    fs::set_permissions(place.path("a.rec"), modes).expect("it is ours");
    let told = run_under(&place, "umask 0", &[&RUN[..], &["--overwrite"]].concat());
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(mode(&place, "a.rec"), 0o600);
}

#[test]
fn a_second_writer_is_refused() {
    for flags in [&[][..], &["--overwrite"]] {
        let place = Place::new();
        let first = recording(&place, flags);
        symlink("a.rec", place.path("link.rec")).expect("it can be linked");
        for name in ["a.rec", "link.rec"] {
            let args = ["exec", "--overwrite", "--record", name, "--", "true"];
            let told = place.run(&args);
            assert_eq!(told.code, Some(125), "{told:?}");
            let wanted = format!("`{name}` is being written by another process");
            assert!(told.stderr.contains(&wanted), "{told:?}");
        }
        let told = place.run(&[&RUN[..], &["--overwrite"]].concat());
        assert_eq!(told.code, Some(125), "{told:?}");
        // A recording can be read while it is written.
        let told = place.run(&["replay", "a.rec"]);
        assert_eq!(told.code, Some(3), "{told:?}");
        assert_eq!(finish(first), Some(3));
        place.good(&["replay", "a.rec"]);
        assert!(place.good(&["show", "a.rec"]).contains("exit_code: 3"));
    }
}

/// Each writer is refused, or writes a whole recording, or reports that it was removed, and a reader never sees a mixture of two.
#[test]
fn writers_at_the_same_time_do_not_mix() {
    let place = Place::new();
    let args = [&RUN[..], &["--overwrite"]].concat();
    thread::scope(|scope| {
        let writer = || {
            for round in 0..12 {
                if round % 4 == 3 {
                    // Sometimes there is none to replace.
                    let _ = fs::remove_file(place.path("a.rec"));
                }
                let told = place.run(&args);
                let is_refused = told.stderr.contains("is being written by another process");
                // Removed by another writer, which may have begun its own there.
                let is_lost = told.stderr.contains("while it was recorded");
                let is_reported = told.code == Some(125) && (is_refused || is_lost);
                assert!(told.code == Some(0) || is_reported, "{told:?}");
            }
        };
        let writers = [0; 4].map(|_| scope.spawn(writer));
        while writers.iter().any(|writer| !writer.is_finished()) {
            let Ok(bytes) = fs::read(place.path("a.rec")) else {
                continue;
            };
            if bytes.is_empty() {
                // Created a moment ago, where none was.
                continue;
            }
            place.write("seen.rec", bytes);
            let told = place.run(&["replay", "seen.rec"]);
            assert!(matches!(told.code, Some(0 | 3)), "{told:?}");
        }
    });
    place.good(&args);
    place.good(&["replay", "a.rec"]);
    let left = place.names().into_iter().find(|n| n.starts_with('.'));
    assert_eq!(left, None);
}

#[test]
fn an_overwritten_recording_is_replaced_in_one_piece() {
    let place = Place::new();
    place.good(&RUN);
    let old = place.read("a.rec");
    let before = place.names();
    // A process that has the old recording open keeps it.
    let mut open = fs::File::open(place.path("a.rec")).expect("it is there");
    let writing = recording(&place, &["--overwrite"]);
    let mut kept = Vec::new();
    open.read_to_end(&mut kept).expect("it can be read");
    assert!(kept == old, "the old recording was changed");
    assert_eq!(place.names(), before, "there is a file besides");
    assert_eq!(finish(writing), Some(3));
    assert_eq!(place.names(), before, "there is a file besides");
    assert!(place.good(&["show", "a.rec"]).contains("exit_code: 3"));

    fs::rename(place.path("a.rec"), place.path("b.rec")).expect("it can be renamed");
    symlink("b.rec", place.path("a.rec")).expect("it can be linked");
    place.good(&[&RUN[..], &["--overwrite"]].concat());
    assert!(place.path("a.rec").is_symlink());
    assert!(place.read("b.rec") == old, "another file");

    symlink("new.rec", place.path("dangling.rec")).expect("it can be linked");
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    place.good(&[&run[..], &["--overwrite", "--record", "dangling.rec"]].concat());
    assert!(place.path("dangling.rec").is_symlink());
    assert!(place.read("new.rec") == old, "another file");
}

#[test]
fn a_recording_that_cannot_begin_leaves_the_old_one() {
    let place = Place::new();
    place.good(&RUN);
    let old = place.read("a.rec");
    let before = place.names();
    let full = "ulimit -f 0";
    let told = run_under(&place, full, &[&RUN[..], &["--overwrite"]].concat());
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("File too large"), "{told:?}");
    assert!(place.read("a.rec") == old, "the old recording was changed");
    assert_eq!(place.names(), before, "there is a file besides");

    fs::remove_file(place.path("a.rec")).expect("it is ours");
    let told = run_under(&place, full, &RUN);
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(!place.path("a.rec").exists(), "it is left, and empty");
}

#[test]
fn what_is_no_regular_file_is_written_as_it_is() {
    let place = Place::new();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    let to = |name| place.run(&[&run[..], &["--overwrite", "--record", name]].concat());
    let pipe = place.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo starts").success());
    let begun = Instant::now();
    let told = to("pipe");
    assert!(begun.elapsed() < Duration::from_secs(10), "it waits");
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("no process reads"), "{told:?}");

    let reader = thread::spawn(move || fs::read(pipe).expect("it can be read"));
    let begun = Instant::now();
    // The reader may not have opened it yet.
    while to("pipe").code != Some(0) {
        assert!(begun.elapsed() < PATIENCE, "the pipe is not written");
    }
    place.write("piped.rec", reader.join().expect("no panic in it"));
    place.good(&["replay", "piped.rec"]);

    // A descriptor that a process has open stays that of the file.
    let args = [&run[..], &["--overwrite", "--record", "/dev/fd/3"]].concat();
    let told = run_under(&place, "exec 3>open.rec 4<open.rec; rm open.rec", &args);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(!place.path("open.rec").exists());
    let told = run_under(&place, "exec 3>open.rec; ln open.rec same.rec", &args);
    assert_eq!(told.code, Some(0), "{told:?}");
    place.good(&["replay", "same.rec"]);
}

/// Output beyond the limit, then a wait until the test has read what is reported.
const CHATTER: &str = "head -c 200000 /dev/zero; while [ ! -e go ]; do sleep 0.02; done; exit 3";

#[test]
fn a_recording_that_fails_is_reported_at_once() {
    let place = Place::new();
    let args = ["exec", "--record", "a.rec", "--", "sh", "-c", CHATTER];
    let mut command = under(&place, SMALL, &args);
    let mut child = command
        .stdout(Stdio::null())
        .spawn()
        .expect("there is a shell");
    let mut told = Vec::new();
    let stderr = child.stderr.as_mut().expect("it is piped");
    let mut byte = [0];
    while stderr.read(&mut byte).expect("a pipe can be read") == 1 && byte[0] != b'\n' {
        told.push(byte[0]);
    }
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains("cannot record in `a.rec`"), "{told}");
    assert!(told.contains("File too large"), "{told}");
    // The command was running all the time.
    assert_eq!(child.try_wait().expect("it is ours"), None);
    place.write("go", "");
    let told = end(child);
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("ended with code 3"), "{told:?}");
    let told = place.run(&["replay", "a.rec"]);
    assert_eq!(told.code, Some(3), "{told:?}");
    assert!(told.stdout.starts_with("equal"), "{told:?}");
}

#[test]
fn the_last_document_has_the_code_of_the_guest_command() {
    let place = Place::new();
    place.write("go", "");
    let exec = ["exec", "--json", "--record", "a.rec"];
    let args = [&exec[..], &["--", "sh", "-c", CHATTER]].concat();
    let told = run_under(&place, SMALL, &args);
    assert_eq!(told.code, Some(125), "{told:?}");
    let documents = documents(&told);
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

    let told = place.run(&["exec", "--json", "--", "sh", "-c", "exit 4"]);
    let last = last_document(&told);
    assert_eq!((&last["code"], &last["guest_code"]), (&4.into(), &4.into()));
    let told = place.run(&["exec", "--json", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(last_document(&told)["guest_code"], serde_json::Value::Null);
}

fn documents(told: &Told) -> Vec<serde_json::Value> {
    let lines = told.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("each line is a document"))
        .collect()
}

fn last_document(told: &Told) -> serde_json::Value {
    documents(told).pop().expect("there is one")
}

#[test]
fn a_required_recording_that_fails_ends_the_command() {
    let place = Place::new();
    let exec = ["exec", "--json", "--record", "a.rec", "--record-required"];
    let endless = ["--", "sh", "-c", "while :; do echo 986; done"];
    let told = run_under(&place, SMALL, &[&exec[..], &endless].concat());
    assert_eq!(told.code, Some(125), "{:?}", told.stderr);
    let last = last_document(&told);
    assert_eq!(last["reason"], "recording_failed");
    let told = place.run(&["replay", "a.rec"]);
    assert_eq!(told.code, Some(3), "{told:?}");

    let told = place.run(&["exec", "--record-required", "--", "true"]);
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.stderr.contains("--record"), "{told:?}");
}

#[test]
fn a_run_whose_recording_fails_says_so_and_stops_if_it_is_required() {
    let place = Place::new();
    let many = [&RUN[..], &["--sessions", "500"]].concat();
    let told = run_under(&place, SMALL, &[&many[..], &["--json"]].concat());
    assert_eq!(told.code, Some(125), "{:?}", told.stderr);
    let all = documents(&told);
    let failed = all.iter().position(|d| d["event"] == "recording_failed");
    assert!(failed.expect("it is reported") < all.len() / 2);
    let last = all.last().expect("there is one");
    assert_eq!(last["ends"]["closed"], 500, "{last}");
    assert_eq!(last["recording"], "failed", "{last}");

    let required = [&many[..], &["--json", "--overwrite", "--record-required"]].concat();
    let told = run_under(&place, SMALL, &required);
    assert_eq!(told.code, Some(125), "{:?}", told.stderr);
    let last = last_document(&told);
    assert_ne!(last["ends"]["closed"], 500, "{last}");
    assert_eq!(place.run(&["replay", "a.rec"]).code, Some(3));
}

#[test]
fn a_copy_whose_recording_fails_says_so_and_stops_if_it_is_required() {
    let place = Place::new();
    let agent = Agent::start(&place);
    place.write("sent", vec![7; 300_000]);
    let target = format!("guest:{}", place.path("there").display());
    let cp = [&agent.cp("sent", &target)[..], &["--record", "a.rec"]].concat();
    let told = run_under(&place, SMALL, &[&cp[..], &["--json"]].concat());
    assert_eq!(told.code, Some(125), "{told:?}");
    let all = documents(&told);
    assert_eq!(all[0]["event"], "recording_failed", "{all:?}");
    let last = all.last().expect("there is one");
    assert_eq!(last["copied"], 300_000, "{last}");
    assert_eq!(last["recording"], "failed", "{last}");
    assert_eq!(place.read("there").len(), 300_000);
    assert_eq!(place.run(&["replay", "a.rec"]).code, Some(3));

    place.write("there", "old");
    let before = place.names();
    let required = [&cp[..], &["--overwrite", "--record-required"]].concat();
    let told = run_under(&place, SMALL, &required);
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("cannot record in"), "{told:?}");
    assert_eq!(place.read("there").len(), 3, "the target was changed");
    assert_eq!(place.names(), before, "a part is left");
}
