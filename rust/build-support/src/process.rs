//! Runs other programs.

use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::Problem;
use crate::console::Console;

/// How often the state of a running program is polled.
const TICK: Duration = Duration::from_millis(250);

/// How long output is still read after the program has exited: a process that it left behind can
/// hold the pipe open for ever.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Runs a short program and returns its standard output.
pub fn output(command: &mut Command) -> Result<String, Problem> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(start_of(command))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let output_all = stdout + &String::from_utf8_lossy(&output.stderr);
    Err(Problem::Failed {
        command: command_line(command),
        status: output.status,
        output: output_all,
    })
}

/// Whether the program can be started and exits with success.
pub fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a program on this terminal and returns its exit code.
pub fn attached(command: &mut Command) -> Result<ExitCode, Problem> {
    let status = command.status().map_err(start_of(command))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs a program of a lane. Every line of its output goes to `log` and to `on_line`, which may set
/// the console's note or print. After `deadline` the program and all processes it started are
/// killed.
pub fn watched(
    command: &mut Command,
    deadline: Duration,
    log: &Path,
    console: &mut Console,
    mut on_line: impl FnMut(&mut Console, &str),
) -> Result<ExitStatus, Problem> {
    if let Some(place) = log.parent() {
        std::fs::create_dir_all(place).map_err(Problem::file(place))?;
    }
    let mut log_file = File::create(log).map_err(Problem::file(log))?;
    // One pipe for both streams keeps their lines in order.
    let (reader, writer) = io::pipe().map_err(start_of(command))?;
    let writer_too = writer.try_clone().map_err(start_of(command))?;
    command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(writer_too);
    let mut child = command.spawn().map_err(start_of(command))?;
    // The command holds our copies of the writing end; the pipe ends only when they are closed.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let lines = read_lines(reader);
    let started = Instant::now();
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                writeln!(log_file, "{line}").map_err(Problem::file(log))?;
                on_line(console, &line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.wait().map_err(start_of(command))?;
                return Ok(status);
            }
        }
        console.beat();
        if ended.is_none() {
            ended = child
                .try_wait()
                .map_err(start_of(command))?
                .map(|s| (s, Instant::now()));
        }
        match ended {
            Some((status, at)) if at.elapsed() > DRAIN_TIME => return Ok(status),
            Some(_) => {}
            None if started.elapsed() > deadline => {
                kill_tree(&mut child);
                return Err(Problem::Timeout {
                    command: command_line(command),
                    deadline,
                });
            }
            None => {}
        }
    }
}

fn read_lines(reader: PipeReader) -> Receiver<String> {
    let (sender, receiver) = channel();
    send_lines(reader, sender);
    receiver
}

/// Starts a thread that sends each line, until the input ends or the receiver is dropped.
pub fn send_lines(reader: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches(['\n', '\r'])
                .to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// Kills a child and all its descendants. Children share our process group, so that Ctrl-C on the
/// terminal reaches them; therefore the descendants must be found by walking `/proc`.
fn kill_tree(child: &mut Child) {
    let mut processes = vec![child.id()];
    let mut next = 0;
    while let Some(parent) = processes.get(next) {
        let children = children_of(*parent);
        processes.extend(children);
        next += 1;
    }
    let _ = child.kill();
    for process in processes.iter().skip(1) {
        works("kill", &["-KILL", &process.to_string()]);
    }
    let _ = child.wait();
}

/// The children of a process, started by any of its threads; empty on a system without `/proc`.
fn children_of(parent: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task"));
    let lists = threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .flat_map(str::parse)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// For `map_err` after operations on a program.
pub fn start_of(command: &Command) -> impl FnOnce(io::Error) -> Problem + use<> {
    let program = command.get_program().to_string_lossy().into_owned();
    move |source| Problem::Start { program, source }
}

/// The command as typed on a command line, for messages.
fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    command.get_args().fold(name, |text, argument| {
        text + " " + &argument.to_string_lossy()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Status;

    /// Runs a shell script as a lane would.
    fn script(text: &str, name: &str, deadline: Duration) -> (Result<ExitStatus, Problem>, String) {
        let log = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        let mut console = Console::buffered(Status::default());
        let mut seen = Vec::new();
        let ended = watched(&mut command, deadline, &log, &mut console, |_, line| {
            seen.push(line.to_owned());
        });
        let logged = std::fs::read_to_string(&log).expect("the log is written");
        std::fs::remove_file(&log).expect("the log is ours");
        assert_eq!(logged.lines().collect::<Vec<_>>(), seen);
        (ended, logged)
    }

    #[test]
    fn both_streams_arrive_in_order_with_the_exit_status() {
        let text = "echo one; echo two >&2; printf 'three'; exit 3";
        let (ended, logged) = script(text, "order", Duration::from_secs(60));
        assert_eq!(ended.expect("it ends").code(), Some(3));
        assert_eq!(logged, "one\ntwo\nthree\n");
    }

    #[test]
    fn after_the_deadline_all_descendants_are_killed() {
        let text = "sleep 600 & echo $!; sleep 600";
        let (ended, logged) = script(text, "late", Duration::from_millis(600));
        assert!(matches!(ended, Err(Problem::Timeout { .. })), "{ended:?}");
        let grandchild = Path::new("/proc").join(logged.trim()).join("cmdline");
        // A process that was killed but not yet reaped by its new parent has no command line.
        let is_alive = || std::fs::read(&grandchild).is_ok_and(|line| !line.is_empty());
        let started = Instant::now();
        while is_alive() {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "the grandchild is still alive"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn the_error_of_a_failed_program_has_its_last_lines() {
        let problem = output(Command::new("sh").args(["-c", "echo why >&2; exit 4"]));
        let message = problem.expect_err("it failed").to_string();
        assert_eq!(
            message,
            "`sh -c echo why >&2; exit 4` ended with exit status: 4\n    why"
        );
    }
}
