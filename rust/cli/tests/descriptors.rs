//! Standard streams that do not block, cannot be read, or are not read by anyone.

mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::OpenptFlags;

use common::{Agent, PATIENCE, Place, Told, end, signal, under};

const TYPED: &[u8] = b"\"Moby Dick\"\n42\n21\nok\n\"12 Elm Street\"\n\"Monday\"\n";

/// How long a reader or writer keeps the program waiting: longer than it needs to start.
const PAUSE: Duration = Duration::from_millis(300);

/// Makes a descriptor non-blocking, as another process that shares it may do.
fn unblock(fd: impl AsFd) {
    rustix::io::ioctl_fionbio(fd, true).expect("a pipe can be non-blocking");
}

/// Runs the program with a non-blocking standard input that gets these pieces with a pause before each.
fn run_slowly(place: &Place, args: &[&str], pieces: &[&[u8]]) -> Told {
    let (read, mut write) = io::pipe().expect("there are descriptors");
    unblock(&read);
    let child = place.command(args).stdin(read).spawn().expect("it starts");
    let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
    let feeder = thread::spawn(move || {
        for piece in pieces {
            thread::sleep(PAUSE);
            // A program that has ended is judged by how it ended.
            let _ = write.write_all(&piece);
        }
    });
    let told = end(child);
    feeder.join().expect("no panic in it");
    told
}

#[test]
fn a_standard_input_that_does_not_block_is_waited_for() {
    let place = Place::new();
    let (start, rest) = TYPED.split_at(15);
    let told = run_slowly(&place, &["run", "two_buyer.anti"], &[start, rest]);
    assert_eq!(told.code, Some(0), "{told:?}");

    let protocol = place.read("two_buyer.anti");
    let (start, rest) = protocol.split_at(40);
    for command in ["fmt", "check"] {
        let told = run_slowly(&place, &[command, "-"], &[start, rest]);
        assert_eq!(told.code, Some(0), "{command}: {told:?}");
    }
    let script = place.read("happy.script");
    let (start, rest) = script.split_at(20);
    let args = ["run", "two_buyer.anti", "--script", "-"];
    let told = run_slowly(&place, &args, &[start, rest]);
    assert_eq!(told.code, Some(0), "{told:?}");
}

/// Ways to make a standard input that cannot be read, and the error of the system.
const UNREADABLE: [(&str, &str); 2] = [
    ("exec <.", "Is a directory"),
    ("exec 0>written", "Bad file descriptor"),
];

#[test]
fn a_standard_input_that_cannot_be_read_fails_the_command() {
    let place = Place::new();
    for (first, error) in UNREADABLE {
        let args = [
            "run",
            "two_buyer.anti",
            "--json",
            "--record",
            "a.rec",
            "--overwrite",
        ];
        let told = end(under(&place, first, &args)
            .spawn()
            .expect("there is a shell"));
        assert_eq!(told.code, Some(125), "{first}: {told:?}");
        let said = format!("cannot read standard input: {error}");
        assert!(told.stderr.contains(&said), "{first}: {told:?}");
        let last = last_document(&told);
        assert_eq!(last["code"], 125, "{last}");
        assert!(
            last["error"]
                .as_str()
                .is_some_and(|text| text.contains(&said))
        );
        // The recording is whole all the same.
        place.good(&["replay", "a.rec"]);
        for command in ["fmt", "check"] {
            let mut command = under(&place, first, &[command, "-"]);
            let told = end(command.spawn().expect("there is a shell"));
            assert_eq!(told.code, Some(125), "{first}: {told:?}");
            assert!(told.stderr.contains(error), "{first}: {told:?}");
        }
    }
}

/// The terminal's other end has been closed, as when a connection is lost.
#[test]
fn a_lost_terminal_fails_the_run() {
    let place = Place::new();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let lost = rustix::pty::openpt(flags).expect("there are terminals");
    rustix::pty::unlockpt(&lost).expect("it is ours");
    let name = rustix::pty::ptsname(&lost, Vec::new()).expect("it has a name");
    let mut options = fs::File::options();
    options.read(true).write(true).custom_flags(0o400);
    let name = name.to_str().expect("plain");
    drop(options.open(name).expect("it can be opened"));
    let mut command = place.command(&["run", "two_buyer.anti"]);
    let told = end(command.stdin(lost).spawn().expect("it starts"));
    assert_eq!(told.code, Some(125), "{told:?}");
    let said = "cannot read standard input: Input/output error";
    assert!(told.stderr.contains(said), "{told:?}");
}

#[test]
fn a_typed_line_without_end_fails_the_run() {
    let place = Place::new();
    let mut command = under(&place, "exec </dev/zero", &["run", "two_buyer.anti"]);
    let told = end(command.spawn().expect("there is a shell"));
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("longer than"), "{told:?}");
}

#[test]
fn a_typed_line_that_is_not_text_is_asked_for_again() {
    let place = Place::new();
    let typed = [b"\xff\n", TYPED].concat();
    let told = place.run_with(&["run", "two_buyer.anti"], &typed);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stderr.contains("UTF-8"), "{told:?}");
}

/// Starts the program with these as standard output and error: pipes that do not block. Returns the ends to read.
fn start_unblocked(place: &Place, args: &[&str]) -> (Child, [io::PipeReader; 2]) {
    let (out, stdout) = io::pipe().expect("there are descriptors");
    let (err, stderr) = io::pipe().expect("there are descriptors");
    unblock(&stdout);
    unblock(&stderr);
    let mut command = place.command(args);
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

#[test]
fn output_that_does_not_block_is_waited_for() {
    let place = Place::new();
    let run = [
        "run",
        "two_buyer.anti",
        "--script",
        "happy.script",
        "--sessions",
        "200",
    ];
    place.good(&[&run[..], &["--record", "a.rec"]].concat());
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
        let blocking = place.run(args);
        let (mut child, [out, err]) = start_unblocked(&place, args);
        let (out, err) = (read_slowly(out), read_slowly(err));
        let status = common::wait(&mut child).expect("it ends");
        let out = out.join().expect("no panic in it");
        let err = err.join().expect("no panic in it");
        let err = String::from_utf8_lossy(&err);
        assert_eq!(status.code(), blocking.code, "{args:?}: {err}");
        assert!(
            out == blocking.stdout.as_bytes(),
            "{args:?}: {} bytes",
            out.len()
        );
        assert_eq!(err, blocking.stderr, "{args:?}");
    }
}

/// More than a pipe holds.
#[test]
fn a_report_that_does_not_fit_standard_error_is_waited_for() {
    let place = Place::new();
    // The name is in each line of the report.
    let name = format!("{}.script", "long".repeat(50));
    let mut script = String::new();
    for _ in 0..2_000 {
        script.push_str("Nobody sends title \"Moby Dick\"\n");
    }
    place.write(&name, script);
    let args = ["run", "two_buyer.anti", "--script", &name];
    let blocking = place.run(&args);
    assert!(
        blocking.stderr.len() > 100_000,
        "{} bytes",
        blocking.stderr.len()
    );
    let (mut child, [out, err]) = start_unblocked(&place, &args);
    let (out, err) = (read_slowly(out), read_slowly(err));
    let status = common::wait(&mut child).expect("it ends");
    assert_eq!(status.code(), Some(1));
    let err = err.join().expect("no panic in it");
    assert!(err == blocking.stderr.as_bytes(), "{} bytes", err.len());
    assert_eq!(out.join().expect("no panic in it"), b"");
}

#[test]
fn a_standard_output_that_cannot_be_written_fails_the_command() {
    let place = Place::new();
    let mut command = under(&place, "exec 1</dev/null", &["man"]);
    let told = end(command.spawn().expect("there is a shell"));
    assert_eq!(told.code, Some(125), "{told:?}");
    let said = "cannot write to standard output: Bad file descriptor";
    assert!(told.stderr.contains(said), "{told:?}");
}

/// After a signal, a copy does not wait for the reader of what is reported.
#[test]
fn an_interrupted_copy_ends_though_its_report_is_not_read() {
    let place = Place::new();
    let agent = Agent::start(&place);
    let target = format!("guest:{}", place.path("there").display());
    for flags in [&[][..], &["--json"]] {
        let (out, mut stdout) = io::pipe().expect("there are descriptors");
        let (err, mut stderr) = io::pipe().expect("there are descriptors");
        for pipe in [&mut stdout, &mut stderr] {
            fill(pipe);
        }
        let args = [&agent.cp("/dev/zero", &target)[..], flags].concat();
        let mut command = place.command(&args);
        let mut child = command
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("it starts");
        // The pipes must not lose their writers before the program has them.
        drop(command);
        let begun = Instant::now();
        while !place
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

/// The same of a run, whose standard output is read.
#[test]
fn an_interrupted_run_ends_though_its_report_is_not_read() {
    let place = Place::new();
    let text = "global protocol L(role A, role B) { rec X { hi() from A to B; continue X; } }\n";
    place.write("loop.anti", text);
    place.write("empty.script", "");
    let (err, mut stderr) = io::pipe().expect("there are descriptors");
    fill(&mut stderr);
    let run = ["run", "loop.anti", "--script", "empty.script"];
    let mut command = place.command(&[&run[..], &["--steps-max", "1000000000"]].concat());
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

/// Fills a pipe, which blocks afterwards as before.
fn fill(pipe: &mut io::PipeWriter) {
    unblock(&*pipe);
    while pipe.write(&[b'.'; 4096]).is_ok() {}
    while pipe.write(b".").is_ok() {}
    rustix::io::ioctl_fionbio(&*pipe, false).expect("it can block");
}

#[test]
fn a_wrong_command_line_is_a_document_with_json() {
    let place = Place::new();
    for args in [
        &["--json", "show"][..],
        &["show", "--json", "--no-such"],
        &["exec", "--json", "--silence", "never", "--", "true"],
        &["cp", "--json", "guest:x"],
        &["--json"],
    ] {
        let told = place.run(args);
        assert_eq!(told.code, Some(2), "{args:?}: {told:?}");
        assert!(told.stderr.starts_with("error: "), "{args:?}: {told:?}");
        let last = last_document(&told);
        assert_eq!(last["code"], 2, "{args:?}: {last}");
        let text = last["error"].as_str().expect("a text");
        assert!(!text.is_empty() && told.stderr.contains(text.lines().next().unwrap_or("?")));
    }
    // Behind `--` it is the guest command's.
    let told = place.run(&["exec", "--no-such", "--", "true", "--json"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{told:?}");
    let told = place.run(&["show", "--json", "--help"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.contains("Usage:"), "{told:?}");
    let told = place.run(&["--json", "--version"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.starts_with("antiphon "), "{told:?}");
}

fn last_document(told: &Told) -> serde_json::Value {
    let last = told.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("no document: {told:?}"))
}
