//! Tests against a real guest: `antiphon` here, the static agent in a virtual machine, and a
//! virtio-serial port between them.
//!
//! `cargo xtask vm` builds the machine and runs these tests. They need the feature `vm`, so that a
//! plain `cargo test` does not need QEMU. Without the machine they fail.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Under software emulation a boot takes about 2 s and each command well under one; a busy machine
/// can be ten times slower. Longer than this is a hang.
const PATIENCE: Duration = Duration::from_secs(90);

/// The liveness contract: a lost agent is reported within this time.
const LOST_WITHIN: Duration = Duration::from_secs(30);

/// The line that `init` prints on the console each time it starts the agent.
const AGENT_STARTS: &str = "init: starting the agent";

/// The bytes that are streamed in each direction.
const STREAM_BYTES: usize = 64 << 20;

#[test]
fn a_command_runs_in_the_guest_and_returns_its_exit_code() {
    let guest = Guest::boot();

    let output = guest.exec(&["uname", "-n", "-s"]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "Linux guest\n"),
        "{output:?}"
    );

    let script = "echo to-stdout; echo to-stderr >&2; exit 7";
    let output = guest.exec(&["sh", "-c", script]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(7), "to-stdout\n"),
        "{output:?}"
    );
    assert!(output.stderr.contains("to-stderr"), "{output:?}");

    let output = guest.exec(&["sh", "-c", "kill -TERM $$"]);
    assert_eq!(output.code, Some(128 + 15), "{output:?}");

    let output = guest.exec(&["no-such-program"]);
    assert_eq!(output.code, Some(127), "{output:?}");
    assert!(output.stderr.contains("no-such-program"), "{output:?}");
}

#[test]
fn sixty_four_mebibytes_return_unchanged() {
    let guest = Guest::boot();
    let (sent, received) = (guest.path("sent"), guest.path("received"));
    let bytes = noise(STREAM_BYTES);
    fs::write(&sent, &bytes).expect("the directory is writable");

    let mut command = guest.antiphon(&["exec"], &["cat"]);
    command.stdin(File::open(&sent).expect("just written"));
    command.stdout(File::create(&received).expect("the directory is writable"));
    let started = Instant::now();
    let status = guest.wait(command.spawn().expect("antiphon starts"));
    let elapsed = started.elapsed();
    assert_eq!(status.code(), Some(0));

    let echoed = fs::read(&received).expect("the command made it");
    assert_eq!(echoed.len(), bytes.len());
    assert_eq!(blake3::hash(&echoed), blake3::hash(&bytes));
    say(&format!(
        "64 MiB there and back in {:.1} s",
        elapsed.as_secs_f64()
    ));
}

#[test]
fn a_file_is_copied_in_and_out() {
    let guest = Guest::boot();
    let (sent, received) = (guest.path("sent"), guest.path("received"));
    let bytes = noise(3 << 20);
    fs::write(&sent, &bytes).expect("the directory is writable");

    let output = guest.run(guest.antiphon(&["cp"], &[&text(&sent), "guest:/root/copy"]));
    assert_eq!(output.code, Some(0), "{output:?}");
    let output = guest.exec(&["wc", "-c", "/root/copy"]);
    assert_eq!(
        output.stdout,
        format!("{} /root/copy\n", bytes.len()),
        "{output:?}"
    );
    let output = guest.run(guest.antiphon(&["cp"], &["guest:/root/copy", &text(&received)]));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(
        blake3::hash(&fs::read(&received).expect("copied")),
        blake3::hash(&bytes)
    );
}

#[test]
fn an_interrupt_cancels_the_guest_command() {
    let guest = Guest::boot();
    let mut running = guest.start(&[], "echo started; exec sleep 1000");
    running.wait_for_line("started");

    running.signal("INT");
    let status = guest.wait(running.child);
    assert_eq!(status.code(), Some(128 + 2), "{status:?}");
    guest.expect_gone("sleep");
}

#[test]
fn a_deadline_ends_the_guest_command() {
    let guest = Guest::boot();
    let started = Instant::now();
    let output = guest.run(guest.antiphon(&["exec", "--deadline", "1"], &["sleep", "1000"]));
    assert_eq!(output.code, Some(124), "{output:?}");
    assert!(started.elapsed() < LOST_WITHIN, "{:?}", started.elapsed());
    guest.expect_gone("sleep");
}

/// A command may be silent for longer than a guest may, because the agent answers pings.
#[test]
fn a_quiet_command_keeps_running() {
    let guest = Guest::boot();
    let output = guest.exec(&["sleep", "18"]);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn a_killed_agent_is_reported_as_lost_and_replaced() {
    let mut guest = Guest::boot();
    let recording = guest.path("lost.rec");
    let record = ["--record", &text(&recording)];
    let mut running = guest.start(
        &record,
        "echo started; sleep 1; killall -9 antiphon-agent; sleep 1000",
    );
    running.wait_for_line("started");

    let begun = Instant::now();
    let mut stderr = running.child.stderr.take().expect("it is piped");
    let message = thread::spawn(move || {
        let mut message = String::new();
        stderr.read_to_string(&mut message).map(|_| message)
    });
    let status = guest.wait(running.child);
    let message = message
        .join()
        .expect("the reader does not panic")
        .expect("it says text");
    assert!(begun.elapsed() < LOST_WITHIN, "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(125), "{status:?}");
    assert!(message.contains("lost"), "{status:?}: {message}");
    say(&format!(
        "reported as lost {:.1} s after the command began",
        begun.elapsed().as_secs_f64()
    ));

    guest.wait_for_agent(2);
    let output = guest.exec(&["echo", "back"]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "back\n"),
        "{output:?}"
    );

    // The loss is part of the recording: without a guest, the replay ends in the same way.
    guest.stop();
    let output = run(antiphon(&["replay", &text(&recording)]));
    assert_eq!(output.code, Some(0), "{output:?}");
    let output = run(antiphon(&["show", &text(&recording)]));
    assert!(output.stdout.contains("lost"), "{output:?}");
}

#[test]
fn the_agent_serves_the_next_host_after_one_disconnects() {
    let guest = Guest::boot();
    let recording = guest.path("cut.rec");
    let record = ["--record", &text(&recording)];
    let mut running = guest.start(&record, "echo started; exec sleep 1000");
    running.wait_for_line("started");

    running.signal("KILL");
    guest.wait(running.child);
    guest.expect_gone("sleep");
    let output = guest.exec(&["echo", "next"]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "next\n"),
        "{output:?}"
    );
    assert_eq!(
        guest.console().matches(AGENT_STARTS).count(),
        1,
        "the agent had to be replaced"
    );

    // The recording up to the kill still replays, and is reported as cut.
    let output = run(antiphon(&["replay", &text(&recording)]));
    assert_eq!(output.code, Some(3), "{output:?}");
}

/// The worst case: the host disconnects in the middle of a frame, with output on its way, and
/// another host connects at once. QEMU may close and open the port so quickly that the guest never
/// sees it closed.
#[test]
fn the_agent_serves_the_next_host_after_one_disconnects_in_mid_stream() {
    let guest = Guest::boot();
    for round in 0..5 {
        let mut command = guest.antiphon(&["exec"], &["cat"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("antiphon starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let mut stdout = child.stdout.take().expect("it is piped");
        // The writer ends when the child has ended.
        let writer = thread::spawn(move || {
            let bytes = noise(1 << 20);
            while stdin.write_all(&bytes).is_ok() {}
        });
        let mut seen = vec![0; 3 << 20];
        stdout.read_exact(&mut seen).expect("it streams");
        child.kill().expect("it is ours");
        let output = guest.exec(&["echo", "next"]);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(0), "next\n"),
            "{round}: {output:?}"
        );
        child.wait().expect("it is ours");
        writer.join().expect("the writer does not panic");
    }
    guest.expect_gone("cat");
    assert_eq!(
        guest.console().matches(AGENT_STARTS).count(),
        1,
        "the agent had to be replaced"
    );
}

#[test]
fn a_recording_replays_without_the_machine() {
    let mut guest = Guest::boot();
    let recording = guest.path("session.rec");
    let input = noise(1 << 20);
    let script = "cat; echo to-stderr >&2; exit 3";
    let options = ["exec", "--record", &text(&recording)];
    let mut command = guest.antiphon(&options, &["sh", "-c", script]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("antiphon starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let sent = input.clone();
    let writer = thread::spawn(move || stdin.write_all(&sent));
    let captured = child.wait_with_output().expect("it can be waited for");
    writer
        .join()
        .expect("the writer does not panic")
        .expect("all input is taken");
    assert_eq!(
        captured.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&captured.stderr)
    );
    assert_eq!(blake3::hash(&captured.stdout), blake3::hash(&input));

    // The directory remains after the machine has ended.
    guest.stop();
    let output = run(antiphon(&["replay", &text(&recording)]));
    assert_eq!(output.code, Some(0), "{output:?}");

    // With one byte of the payload changed, the replay fails.
    let mut bytes = fs::read(&recording).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&recording, bytes).expect("it is writable");
    let output = run(antiphon(&["replay", &text(&recording)]));
    assert_eq!(output.code, Some(4), "{output:?}");
}

/// A virtual machine, and a directory for the test's files.
struct Guest {
    qemu: Option<Qemu>,
    dir: TempDir,
}

/// The machine's process, which is killed on drop.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Guest {
    /// Boots a fresh machine and waits for its agent.
    fn boot() -> Self {
        let machine = std::env::var_os("ANTIPHON_VM").map(PathBuf::from);
        let machine = machine.expect("ANTIPHON_VM names the machine's directory: cargo xtask vm");
        let dir = TempDir::new().expect("there is room for temporary files");
        let (port, console) = (dir.path().join("port"), dir.path().join("console"));
        let started = Instant::now();
        let qemu = Command::new(machine.join("boot"))
            .args([&port, &console])
            .stdin(Stdio::null())
            .spawn()
            .expect("the machine starts");
        let guest = Self {
            qemu: Some(Qemu(qemu)),
            dir,
        };
        guest.wait_for_agent(1);
        say(&format!(
            "booted in {:.1} s",
            started.elapsed().as_secs_f64()
        ));
        guest
    }

    /// Ends the machine; the directory remains.
    fn stop(&mut self) {
        self.qemu = None;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `antiphon OPTIONS --agent PORT -- WORDS`.
    fn antiphon(&self, options: &[&str], words: &[&str]) -> Command {
        let port = format!("serial:{}", text(&self.path("port")));
        let mut command = antiphon(options);
        command.args(["--agent", &port, "--"]).args(words);
        command
    }

    /// Runs a command in the guest to its end, with no input.
    fn exec(&self, words: &[&str]) -> ProgramOutput {
        self.run(self.antiphon(&["exec"], words))
    }

    fn run(&self, command: Command) -> ProgramOutput {
        finish(command, &|child| self.wait(child))
    }

    /// Starts a shell script in the guest.
    fn start(&self, options: &[&str], script: &str) -> Running {
        let options = [&["exec"], options].concat();
        let mut command = self.antiphon(&options, &["sh", "-c", script]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("antiphon starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Running { child, stdout }
    }

    /// Waits for a child. A child that hangs is killed, and the guest's console is shown.
    fn wait(&self, child: Child) -> ExitStatus {
        wait(child).unwrap_or_else(|| panic!("it hangs; the console says:\n{}", self.console()))
    }

    fn console(&self) -> String {
        fs::read(self.path("console"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until the agent has been started this many times.
    fn wait_for_agent(&self, times: usize) {
        let started = Instant::now();
        while self.console().matches(AGENT_STARTS).count() < times {
            assert!(
                started.elapsed() < PATIENCE,
                "no agent; the console says:\n{}",
                self.console()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asserts that a program is not running in the guest, or ends very soon.
    fn expect_gone(&self, program: &str) {
        let script =
            format!("for i in 1 2 3 4 5; do pgrep {program} || exit 0; sleep 1; done; exit 9");
        let output = self.exec(&["sh", "-c", &script]);
        assert_eq!(output.code, Some(0), "{program} is still there: {output:?}");
    }
}

/// A running `antiphon exec`.
struct Running {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn wait_for_line(&mut self, expected: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it prints text");
        assert_eq!(line.trim_end(), expected);
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill starts").success());
    }
}

/// The exit code and the output of a finished program.
#[derive(Debug)]
struct ProgramOutput {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn antiphon(arguments: &[&str]) -> Command {
    // A program inherits ignored signals, such as an interrupt in the background of a script. A
    // signal with a handler is reset to the default.
    for signal in antiphon_guest::signals::ignored() {
        let _ = signal_hook::flag::register(signal, std::sync::Arc::default());
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon"));
    command.args(arguments);
    command
}

/// Runs a program that needs no guest.
fn run(command: Command) -> ProgramOutput {
    finish(command, &|child| wait(child).expect("it does not hang"))
}

/// Collects a program's output while it runs, because it may exceed a pipe's buffer.
fn finish(mut command: Command, wait: &dyn Fn(Child) -> ExitStatus) -> ProgramOutput {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("antiphon starts");
    let stdout = collect(child.stdout.take().expect("it is piped"));
    let stderr = collect(child.stderr.take().expect("it is piped"));
    let code = wait(child).code();
    let [stdout, stderr] = [stdout, stderr].map(|reader| reader.join().expect("no panic in it"));
    ProgramOutput {
        code,
        stdout,
        stderr,
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for a child. Returns `None` if it had to be killed.
fn wait(mut child: Child) -> Option<ExitStatus> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("it is ours") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Incompressible bytes from BLAKE3 as a generator with a fixed seed.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new_derive_key("antiphon vm test noise v1")
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn text(path: &Path) -> String {
    path.to_str()
        .expect("temporary files have plain names")
        .to_owned()
}

#[expect(
    clippy::print_stderr,
    reason = "times are for the reader of the lane's log"
)]
fn say(words: &str) {
    eprintln!("vm: {words}");
}
