//! Runs the program in a temporary directory, so that its output contains no names of this machine.

#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than this is a hang: the machine may be a hundred times slower than expected.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A temporary directory with the protocols and scripts of `tests/data` and `docs/examples`.
pub(crate) struct TestDir(TempDir);

/// Gives ignored signals a handler. A program inherits ignored signals, for example when a script
/// starts these tests in the background; signals with a handler are reset to the default.
fn give_back_ignored_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in antiphon_guest::signals::ignored() {
            // Some signals cannot be handled; the tests do not send those.
            let _ = signal_hook::flag::register(signal, Arc::default());
        }
    });
}

/// The exit code and the output of a finished program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProgramOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestDir {
    pub(crate) fn new() -> TestDir {
        give_back_ignored_signals();
        let dir = TestDir(TempDir::new().expect("there is room for temporary files"));
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        for data in [top.join("tests/data"), top.join("../../docs/examples")] {
            for entry in fs::read_dir(data).expect("the data is there") {
                let entry = entry.expect("it can be listed");
                let name = entry.file_name();
                fs::copy(entry.path(), dir.path(name.to_str().expect("plain")))
                    .expect("it can be copied");
            }
        }
        dir
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("the directory is writable");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("it is there")
    }

    /// The names in the directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path(".")).expect("it can be listed");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("it can be listed").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon"));
        command.args(args).current_dir(self.0.path());
        command
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .env("COLUMNS", "100");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end, without input.
    pub(crate) fn run(&self, args: &[&str]) -> ProgramOutput {
        self.run_with(args, b"")
    }

    /// Runs the program to its end with this input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> ProgramOutput {
        let mut child = self.start(args);
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_vec();
        // A program may end without reading its input.
        let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
        let output = end(child);
        feeder.join().expect("no panic in it");
        output
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdin(Stdio::piped())
            .spawn()
            .expect("it starts")
    }

    /// Runs the program, expects exit code 0, and returns its standard output.
    pub(crate) fn run_ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.code, Some(0), "{args:?}: {output:?}");
        output.stdout
    }
}

/// Prepares the program to run under a shell that first runs `first`, for example to set a limit.
pub(crate) fn under(dir: &TestDir, first: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{first}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_antiphon"))
        .args(args)
        .current_dir(dir.path("."))
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts a shell command line on its own terminal. `antiphon` in it stands for the program. Bytes
/// written to the child's standard input are typed on the terminal, and its standard output is the
/// screen.
pub(crate) fn on_terminal(dir: &TestDir, line: &str) -> Child {
    let program = format!("'{}'", env!("CARGO_BIN_EXE_antiphon"));
    let mut script = Command::new("script");
    script
        .args(["-qec", &line.replace("antiphon", &program), "/dev/null"])
        .current_dir(dir.path("."))
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    script.spawn().expect("`script` is installed")
}

/// An agent on a socket whose working directory is the test's. It ends with the test.
pub(crate) struct Agent {
    pub(crate) child: Child,
    /// The argument of `--agent`.
    pub(crate) dir: String,
}

impl Agent {
    pub(crate) fn start(dir: &TestDir) -> Agent {
        Agent::under(dir, ":")
    }

    /// Starts the agent under a shell that first runs `first`.
    pub(crate) fn under(dir: &TestDir, first: &str) -> Agent {
        let socket = dir.path("agent.sock");
        let path = socket.to_str().expect("plain");
        let mut command = under(dir, first, &["agent", "--unix", path]);
        let child = command.spawn().expect("there is a shell");
        let begun = Instant::now();
        while !socket.exists() {
            assert!(begun.elapsed() < PATIENCE, "the agent does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        Agent {
            child,
            dir: format!("unix:{path}"),
        }
    }

    pub(crate) fn cp<'a>(&'a self, source: &'a str, target: &'a str) -> [&'a str; 5] {
        ["cp", "--agent", &self.dir, source, target]
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a child and collects its output. A child that hangs is killed and the test fails.
pub(crate) fn end(mut child: Child) -> ProgramOutput {
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let code = wait(&mut child).and_then(|status| status.code());
    let text = |reader: Option<thread::JoinHandle<String>>| {
        reader
            .map(|reader| reader.join().expect("no panic in it"))
            .unwrap_or_default()
    };
    ProgramOutput {
        code,
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

/// Waits for a child. A child that hangs is killed and the test fails.
pub(crate) fn wait(child: &mut Child) -> Option<std::process::ExitStatus> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("it is ours") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("it hangs");
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Reads the next line of a child's standard output and compares it.
pub(crate) fn read_line(child: &mut Child, expected: &str) {
    assert_eq!(next_line(child), expected);
}

/// Reads the next line of a child's standard output.
pub(crate) fn next_line(child: &mut Child) -> String {
    let stdout = child.stdout.as_mut().expect("it is piped");
    let (mut line, mut byte) = (Vec::new(), [0]);
    while stdout.read(&mut byte).expect("a pipe can be read") == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).into_owned()
}

/// Copies the program with `cp`. A file that the test itself writes may still be open for writing
/// in a child that another test is just starting, and such a file cannot be run.
pub(crate) fn copy_program(to: &Path) {
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_antiphon"))
        .arg(to)
        .status();
    assert!(copied.expect("cp starts").success());
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(status.expect("kill starts").success());
}

/// Asserts that no `sleep` of that many seconds is running, or waits until it has ended. Only one
/// test uses each number.
pub(crate) fn expect_gone(seconds: &str) {
    let begun = Instant::now();
    let wanted = format!("sleep\0{seconds}\0");
    let runs = || {
        let processes = fs::read_dir("/proc")
            .expect("there is a list of processes")
            .flatten();
        let mut lines = processes.map(|process| fs::read(process.path().join("cmdline")));
        lines.any(|line| line.is_ok_and(|line| line == wanted.as_bytes()))
    };
    while runs() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "sleep {seconds} is still there"
        );
        thread::sleep(Duration::from_millis(20));
    }
}
