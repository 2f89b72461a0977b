//! Tests standard streams that are non-blocking, unreadable, or not read.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::OpenptFlags;

use crate::common::{self, Agent, PATIENCE, ProgramOutput, TestDir, end, signal, under};

const TYPED: &[u8] = b"\"Moby Dick\"\n42\n21\nok\n\"12 Elm Street\"\n\"Monday\"\n";

/// How long a reader or writer makes the program wait: longer than the program needs to start.
const PAUSE: Duration = Duration::from_millis(300);

/// Makes a descriptor non-blocking, as another process that shares it might.
fn unblock(fd: impl AsFd) {
    rustix::io::ioctl_fionbio(fd, true).expect("a pipe can be non-blocking");
}

/// Runs the program with a non-blocking standard input, which receives these pieces with a pause
/// before each.
fn run_slowly(dir: &TestDir, args: &[&str], pieces: &[&[u8]]) -> ProgramOutput {
    let (read, mut write) = io::pipe().expect("there are descriptors");
    unblock(&read);
    let child = dir.command(args).stdin(read).spawn().expect("it starts");
    let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
    let feeder = thread::spawn(move || {
        for piece in pieces {
            thread::sleep(PAUSE);
            // If the program has ended, its exit code tells why.
            let _ = write.write_all(&piece);
        }
    });
    let output = end(child);
    feeder.join().expect("no panic in it");
    output
}

#[test]
fn waits_for_a_non_blocking_standard_input() {
    let dir = TestDir::new();
    let (start, rest) = TYPED.split_at(15);
    let output = run_slowly(&dir, &["run", "two_buyer.anti"], &[start, rest]);
    assert_eq!(output.code, Some(0), "{output:?}");

    let protocol = dir.read("two_buyer.anti");
    let (start, rest) = protocol.split_at(40);
    for command in ["fmt", "check"] {
        let output = run_slowly(&dir, &[command, "-"], &[start, rest]);
        assert_eq!(output.code, Some(0), "{command}: {output:?}");
    }
    let script = dir.read("happy.script");
    let (start, rest) = script.split_at(20);
    let args = ["run", "two_buyer.anti", "--script", "-"];
    let output = run_slowly(&dir, &args, &[start, rest]);
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// Shell commands that make standard input unreadable, and the system's error.
const UNREADABLE: [(&str, &str); 2] = [
    ("exec <.", "Is a directory"),
    ("exec 0>written", "Bad file descriptor"),
];

#[test]
fn an_unreadable_standard_input_fails_the_command() {
    let dir = TestDir::new();
    for (first, error) in UNREADABLE {
        let args = [
            "run",
            "two_buyer.anti",
            "--json",
            "--record",
            "a.rec",
            "--overwrite",
        ];
        let output = end(under(&dir, first, &args).spawn().expect("there is a shell"));
        assert_eq!(output.code, Some(125), "{first}: {output:?}");
        let message = format!("cannot read standard input: {error}");
        assert!(output.stderr.contains(&message), "{first}: {output:?}");
        let last = last_document(&output);
        assert_eq!(last["code"], 125, "{last}");
        assert!(
            last["error"]
                .as_str()
                .is_some_and(|text| text.contains(&message))
        );
        // The recording is complete nevertheless.
        dir.run_ok(&["replay", "a.rec"]);
        for command in ["fmt", "check"] {
            let mut command = under(&dir, first, &[command, "-"]);
            let output = end(command.spawn().expect("there is a shell"));
            assert_eq!(output.code, Some(125), "{first}: {output:?}");
            assert!(output.stderr.contains(error), "{first}: {output:?}");
        }
    }
}

/// The other end of the terminal is closed, as after a lost connection.
#[test]
fn a_lost_terminal_fails_the_run() {
    let dir = TestDir::new();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let lost = rustix::pty::openpt(flags).expect("there are terminals");
    rustix::pty::unlockpt(&lost).expect("it is ours");
    let name = rustix::pty::ptsname(&lost, Vec::new()).expect("it has a name");
    let mut options = fs::File::options();
    options.read(true).write(true).custom_flags(0o400);
    let name = name.to_str().expect("plain");
    drop(options.open(name).expect("it can be opened"));
    let mut command = dir.command(&["run", "two_buyer.anti"]);
    let output = end(command.stdin(lost).spawn().expect("it starts"));
    assert_eq!(output.code, Some(125), "{output:?}");
    let message = "cannot read standard input: Input/output error";
    assert!(output.stderr.contains(message), "{output:?}");
}

#[test]
fn a_typed_line_without_end_fails_the_run() {
    let dir = TestDir::new();
    let mut command = under(&dir, "exec </dev/zero", &["run", "two_buyer.anti"]);
    let output = end(command.spawn().expect("there is a shell"));
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("longer than"), "{output:?}");
}

#[test]
fn a_typed_line_that_is_not_text_is_requested_again() {
    let dir = TestDir::new();
    let typed = [b"\xff\n", TYPED].concat();
    let output = dir.run_with(&["run", "two_buyer.anti"], &typed);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("UTF-8"), "{output:?}");
}

/// Starts the program with non-blocking pipes as standard output and error. Returns the ends to
/// read.
fn start_unblocked(dir: &TestDir, args: &[&str]) -> (Child, [io::PipeReader; 2]) {
    let (out, stdout) = io::pipe().expect("there are descriptors");
    let (err, stderr) = io::pipe().expect("there are descriptors");
    unblock(&stdout);
    unblock(&stderr);
    let mut command = dir.command(args);
    let child = command.stdout(stdout).stderr(stderr).spawn();
    (child.expect("it starts"), [out, err])
}

fn read_slowly(mut pipe: io::PipeReader) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        thread::sleep(PAUSE);
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).expect("a pipe can be read");
        all
    })
}

/// Runs the program with non-blocking standard output and error, which are read after a pause.
/// Returns the exit code and what was printed on both.
fn run_unblocked(dir: &TestDir, args: &[&str]) -> (Option<i32>, [Vec<u8>; 2]) {
    let (mut child, pipes) = start_unblocked(dir, args);
    let readers = pipes.map(read_slowly);
    let status = common::wait(&mut child).expect("it ends");
    let printed = readers.map(|reader| reader.join().expect("no panic in it"));
    (status.code(), printed)
}

#[test]
fn waits_for_a_non_blocking_standard_output() {
    let dir = TestDir::new();
    let run = [
        "run",
        "two_buyer.anti",
        "--script",
        "happy.script",
        "--sessions",
        "200",
    ];
    dir.run_ok(&[&run[..], &["--record", "a.rec"]].concat());
    let commands: [&[&str]; 7] = [
        &["show", "a.rec"],
        &["show", "a.rec", "--json"],
        &["show", "a.rec", "--mermaid"],
        &run,
        &[
            "run",
            "two_buyer.anti",
            "--script",
            "happy.script",
            "--sessions",
            "200",
            "--json",
        ],
        &["completions", "bash"],
        &["replay", "a.rec", "--json"],
    ];
    for args in commands {
        let blocking = dir.run(args);
        let (code, [out, err]) = run_unblocked(&dir, args);
        let err = String::from_utf8_lossy(&err);
        assert_eq!(code, blocking.code, "{args:?}: {err}");
        assert!(
            out == blocking.stdout.as_bytes(),
            "{args:?}: {} bytes",
            out.len()
        );
        assert_eq!(err, blocking.stderr, "{args:?}");
    }
}

/// The report is longer than a pipe holds.
#[test]
fn waits_for_a_non_blocking_standard_error() {
    let dir = TestDir::new();
    // Each line of the report contains the name.
    let name = format!("{}.script", "long".repeat(50));
    let mut script = String::new();
    for _ in 0..2_000 {
        script.push_str("Nobody sends title \"Moby Dick\"\n");
    }
    dir.write(&name, script);
    let args = ["run", "two_buyer.anti", "--script", &name];
    let blocking = dir.run(&args);
    assert!(
        blocking.stderr.len() > 100_000,
        "{} bytes",
        blocking.stderr.len()
    );
    let (code, [out, err]) = run_unblocked(&dir, &args);
    assert_eq!(code, Some(1));
    assert!(err == blocking.stderr.as_bytes(), "{} bytes", err.len());
    assert_eq!(out, b"");
}

#[test]
fn an_unwritable_standard_output_fails_the_command() {
    let dir = TestDir::new();
    let mut command = under(&dir, "exec 1</dev/null", &["man"]);
    let output = end(command.spawn().expect("there is a shell"));
    assert_eq!(output.code, Some(125), "{output:?}");
    let message = "cannot write to standard output: Bad file descriptor";
    assert!(output.stderr.contains(message), "{output:?}");
}

/// After a signal, a copy does not wait for the reader of its report.
#[test]
fn an_interrupted_copy_ends_even_if_its_report_is_not_read() {
    let dir = TestDir::new();
    let agent = Agent::start(&dir);
    let target = format!("guest:{}", dir.path("there").display());
    for flags in [&[][..], &["--json"]] {
        let (out, mut stdout) = io::pipe().expect("there are descriptors");
        let (err, mut stderr) = io::pipe().expect("there are descriptors");
        for pipe in [&mut stdout, &mut stderr] {
            fill(pipe);
        }
        let args = [&agent.cp("/dev/zero", &target)[..], flags].concat();
        let mut command = dir.command(&args);
        let mut child = command
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("it starts");
        // Dropped only now: until the program runs, the command keeps the pipes' writers open.
        drop(command);
        let begun = Instant::now();
        while !dir
            .names()
            .iter()
            .any(|name| name.starts_with(".there.antiphon-"))
        {
            assert!(begun.elapsed() < PATIENCE, "nothing is copied");
            thread::sleep(Duration::from_millis(2));
        }
        signal(&child, "TERM");
        let status = common::wait(&mut child).expect("it ends");
        assert_eq!(status.code(), Some(143), "{flags:?}");
        drop((out, err));
    }
}

/// The same for a run whose standard output is read.
#[test]
fn an_interrupted_run_ends_even_if_its_report_is_not_read() {
    let dir = TestDir::new();
    let text = "global protocol L(role A, role B) { rec X { hi() from A to B; continue X; } }\n";
    dir.write("loop.anti", text);
    dir.write("empty.script", "");
    let (err, mut stderr) = io::pipe().expect("there are descriptors");
    fill(&mut stderr);
    let run = ["run", "loop.anti", "--script", "empty.script"];
    let mut command = dir.command(&[&run[..], &["--steps-max", "1000000000"]].concat());
    let mut child = command.stderr(stderr).spawn().expect("it starts");
    let mut stdout = child.stdout.take().expect("it is piped");
    let reader = thread::spawn(move || drop(io::copy(&mut stdout, &mut io::sink())));
    thread::sleep(PAUSE);
    signal(&child, "TERM");
    let status = common::wait(&mut child).expect("it ends");
    assert_eq!(status.code(), Some(143));
    reader.join().expect("no panic in it");
    drop(err);
}

/// Fills a pipe, which is blocking again afterwards.
fn fill(pipe: &mut io::PipeWriter) {
    unblock(&*pipe);
    while pipe.write(&[b'.'; 4096]).is_ok() {}
    while pipe.write(b".").is_ok() {}
    rustix::io::ioctl_fionbio(&*pipe, false).expect("it can block");
}

#[test]
fn a_wrong_command_line_is_reported_as_json() {
    let dir = TestDir::new();
    for args in [
        &["--json", "show"][..],
        &["show", "--json", "--no-such"],
        &["exec", "--json", "--silence", "never", "--", "true"],
        &["cp", "--json", "guest:x"],
        &["--json"],
    ] {
        let output = dir.run(args);
        assert_eq!(output.code, Some(2), "{args:?}: {output:?}");
        assert!(output.stderr.starts_with("error: "), "{args:?}: {output:?}");
        let last = last_document(&output);
        assert_eq!(last["code"], 2, "{args:?}: {last}");
        let text = last["error"].as_str().expect("a text");
        assert!(!text.is_empty() && output.stderr.contains(text.lines().next().unwrap_or("?")));
    }
    // After `--`, `--json` belongs to the guest command.
    let output = dir.run(&["exec", "--no-such", "--", "true", "--json"]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(2), ""),
        "{output:?}"
    );
    let output = dir.run(&["show", "--json", "--help"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("Usage:"), "{output:?}");
    let output = dir.run(&["--json", "--version"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.starts_with("antiphon "), "{output:?}");
}

fn last_document(output: &ProgramOutput) -> serde_json::Value {
    let last = output.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("no document: {output:?}"))
}
