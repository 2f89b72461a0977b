//! Tests commands with named pipes: a pipe that is read once works, and where a file is read twice
//! or replaced, a pipe is refused at once.

use std::fs;
use std::process::Command;
use std::thread;

use crate::common::{ProgramOutput, TestDir};

/// A directory with a recording `a.rec` and a named pipe `pipe`.
fn with_pipe() -> TestDir {
    let dir = TestDir::new();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    dir.run_ok(&[&run[..], &["--record", "a.rec"]].concat());
    let made = Command::new("mkfifo").arg(dir.path("pipe")).status();
    assert!(made.expect("mkfifo starts").success());
    dir
}

/// Runs the program while the pipe is written once.
fn run_with_writer(dir: &TestDir, bytes: Vec<u8>, args: &[&str]) -> ProgramOutput {
    let pipe = dir.path("pipe");
    let writer = thread::spawn(move || fs::write(pipe, bytes).expect("it is read"));
    let output = dir.run(args);
    writer.join().expect("no panic in it");
    output
}

#[test]
fn a_pipe_that_would_be_replaced_or_read_again_is_refused_at_once() {
    let dir = with_pipe();
    for (args, code, expected) in [
        (
            &["replay", "a.rec", "--to-checkpoint", "9", "pipe"][..],
            125,
            "`pipe` exists and is not a checkpoint",
        ),
        (&["view", "pipe"], 125, "`pipe` is not a file"),
        (&["fmt", "pipe"], 2, "`pipe` is not a regular file"),
    ] {
        let output = dir.run(args);
        assert_eq!(output.code, Some(code), "{args:?}: {output:?}");
        assert!(output.stderr.contains(expected), "{args:?}: {output:?}");
    }
}

#[test]
fn a_file_that_is_read_once_may_be_a_pipe() {
    let dir = with_pipe();
    let recording = dir.read("a.rec");
    for args in [
        &["replay", "pipe"][..],
        &["replay", "pipe", "--step", "9"],
        &["show", "pipe"],
        &["diff", "pipe", "a.rec"],
        &["diff", "a.rec", "pipe", "--exact"],
    ] {
        let output = run_with_writer(&dir, recording.clone(), args);
        assert_eq!(output.code, Some(0), "{args:?}: {output:?}");
    }
    dir.run_ok(&["compile", "two_buyer.anti", "--output", "a.image"]);
    let digest = dir.run_ok(&["compile", "a.image"]);
    for source in ["two_buyer.anti", "a.image"] {
        let output = run_with_writer(&dir, dir.read(source), &["compile", "pipe"]);
        assert_eq!(
            (output.code, &output.stdout),
            (Some(0), &digest),
            "{source}: {output:?}"
        );
    }
    let output = run_with_writer(
        &dir,
        dir.read("two_buyer.anti"),
        &["fmt", "--check", "pipe"],
    );
    assert_eq!(output.stderr, "", "{output:?}");
}
