//! Runs one Lean process on one file and reads its messages.

use std::fmt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use antiphon_build_support::{self as support, process};
use serde_json::Value;

use crate::Problem;

/// A file that takes longer than this on one slow core must be divided.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// How many of the last lines are shown if a process did not complete.
const SHOWN_MAX: usize = 20;

/// The debug line that npm's Lean prints after it has elaborated a file.
pub(crate) const COMPLETED: &str = "[DEBUG:K] runFrontend completed";

/// How the debug lines of npm's Lean start.
pub(crate) const NOISE: &str = "[DEBUG:";

/// The result of elaborating a file.
#[derive(Debug, Default)]
pub(crate) struct Elaborated {
    pub(crate) messages: Vec<Message>,
    /// Why the file does not count as built.
    pub(crate) failure: Option<String>,
}

/// A message of Lean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    file: String,
    line: u64,
    column: u64,
    severity: String,
    text: String,
}

impl Message {
    /// Parses a line of the output of `--json`; `None` if it is another line.
    fn read(file: &str, line: &str) -> Option<Self> {
        let json: Value = line
            .starts_with('{')
            .then(|| serde_json::from_str(line).ok())??;
        Some(Self {
            file: file.to_owned(),
            line: json["pos"]["line"].as_u64()?,
            column: json["pos"]["column"].as_u64()?,
            severity: json["severity"].as_str()?.to_owned(),
            text: json["data"].as_str()?.trim_end().to_owned(),
        })
    }
}

impl Message {
    /// The lines of the text, without the position.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            severity,
            text,
        } = self;
        write!(out, "{file}:{line}:{column}: {severity}: {text}")
    }
}

/// Runs a Lean with `--json` on a file, which messages call `file`.
pub(crate) fn elaborate(command: &mut Command, file: &str) -> Result<Elaborated, Problem> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(process::start_of(command))?;
    let (sender, lines) = channel();
    let streams = (child.stdout.take(), child.stderr.take());
    if let (Some(stdout), Some(stderr)) = streams {
        process::send_lines(stdout, sender.clone());
        process::send_lines(stderr, sender);
    }
    let mut reading = Reading::default();
    let started = Instant::now();
    loop {
        let left = DEADLINE.saturating_sub(started.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => reading.line(file, line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                // If the process has exited meanwhile, both calls have no effect.
                let _ = child.kill();
                let _ = child.wait();
                let command = format!("lean {file}");
                let deadline = DEADLINE;
                return Err(support::Problem::Timeout { command, deadline }.into());
            }
        }
    }
    let status = child.wait().map_err(process::start_of(command))?;
    Ok(reading.conclude(status.success(), &status.to_string()))
}

/// The output of a process, as read so far.
#[derive(Default)]
struct Reading {
    messages: Vec<Message>,
    completed: bool,
    /// All other lines but debug lines, shown if the process fails.
    rest: Vec<String>,
}

impl Reading {
    fn line(&mut self, file: &str, line: String) {
        if let Some(message) = Message::read(file, &line) {
            // Lean prints some messages on both streams.
            if !self.messages.contains(&message) {
                self.messages.push(message);
            }
        } else if line.starts_with(COMPLETED) {
            self.completed = true;
        } else if !line.starts_with(NOISE) {
            self.rest.push(line);
        }
    }

    fn conclude(self, success: bool, status: &str) -> Elaborated {
        let count = |severity| {
            self.messages
                .iter()
                .filter(|m| m.severity == severity)
                .count()
        };
        let (errors, warnings) = (count("error"), count("warning"));
        let failure = if !self.completed {
            let hidden = self.rest.len().saturating_sub(SHOWN_MAX);
            let last = self.rest[hidden..].join("\n    ");
            Some(format!("Lean did not complete ({status})\n    {last}"))
        } else if errors + warnings > 0 {
            Some(format!("{errors} errors, {warnings} warnings"))
        } else if !success {
            Some(format!("Lean ended with {status} and no message"))
        } else {
            None
        };
        Elaborated {
            messages: self.messages,
            failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: &str = r#"{"severity":"error","pos":{"line":5,"column":15},"data":"unused\n"}"#;

    fn read(lines: &[&str], success: bool) -> Elaborated {
        let mut reading = Reading::default();
        for line in lines {
            reading.line("lean/A.lean", (*line).to_owned());
        }
        reading.conclude(success, "exit status: 1")
    }

    #[test]
    fn a_message_has_its_position_and_is_reported_once() {
        let end = "[DEBUG:K] runFrontend completed, env? = false";
        let done = read(&["[DEBUG:A] x", ERROR, "{ structure", ERROR, end], false);
        let messages: Vec<String> = done.messages.iter().map(Message::to_string).collect();
        assert_eq!(messages, ["lean/A.lean:5:15: error: unused"]);
        assert_eq!(done.failure.as_deref(), Some("1 errors, 0 warnings"));
    }

    #[test]
    fn only_a_completed_run_without_errors_and_warnings_succeeds() {
        let end = "[DEBUG:K] runFrontend completed, env? = true";
        assert_eq!(read(&["[DEBUG:A] x", end], true).failure, None);
        assert!(read(&[end], false).failure.is_some());
        assert!(read(&[ERROR, end], true).failure.is_some());
        assert!(
            read(&[&ERROR.replace("error", "warning"), end], true)
                .failure
                .is_some()
        );
        assert_eq!(
            read(&[&ERROR.replace("error", "information"), end], true).failure,
            None
        );
        let cut = read(&["[DEBUG:A] x", "Aborted"], true)
            .failure
            .expect("it did not complete");
        assert_eq!(cut, "Lean did not complete (exit status: 1)\n    Aborted");
    }
}
