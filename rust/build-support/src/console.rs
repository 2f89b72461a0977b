//! Where the output of a lane goes, and how its progress is shown: on a terminal as one line that
//! is rewritten, elsewhere as a line every half minute, so that a log stays short and still shows
//! that the lane runs.
#![expect(
    clippy::print_stdout,
    reason = "a build tool reports on its standard output"
)]

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time between two progress lines if the output is not a terminal.
const BEAT: Duration = Duration::from_secs(30);

/// The time between two updates of the progress line of a terminal.
const BEAT_TERMINAL: Duration = Duration::from_millis(200);

/// The columns of a progress line: fewer than a usual terminal has, because a wrapped line could
/// not be rewritten.
const WIDTH: usize = 78;

/// How many lines a buffered console keeps. A lane that prints more has its whole output in its
/// log.
const LINES_MAX: usize = 10_000;

/// The output of one lane.
#[derive(Debug)]
pub struct Console {
    sink: Sink,
    name: String,
    note: String,
    started: Instant,
    last_beat: Instant,
}

#[derive(Debug)]
enum Sink {
    /// Standard output is a terminal.
    Terminal,
    /// Standard output is a file or a pipe.
    Plain,
    /// The lines are kept until the lane has ended.
    Buffer {
        lines: Vec<String>,
        dropped: usize,
        status: Status,
    },
}

/// The present progress line of a lane with a buffered console, for the thread that shows it.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Mutex<String>>);

impl Status {
    /// The progress line; empty before the lane's first step.
    #[must_use]
    pub fn get(&self) -> String {
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        line.clone()
    }

    fn set(&self, line: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

impl Console {
    /// A console that prints on standard output at once.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(if io::stdout().is_terminal() {
            Sink::Terminal
        } else {
            Sink::Plain
        })
    }

    /// A console that keeps its lines, for a lane that runs beside another one. Its progress line
    /// can be read from `status`.
    #[must_use]
    pub fn buffered(status: Status) -> Self {
        Self::new(Sink::Buffer {
            lines: Vec::new(),
            dropped: 0,
            status,
        })
    }

    fn new(sink: Sink) -> Self {
        let now = Instant::now();
        Self {
            sink,
            name: String::new(),
            note: String::new(),
            started: now,
            last_beat: now,
        }
    }

    /// Starts a step: sets its name and note, restarts the clock and announces the step.
    pub fn begin(&mut self, name: &str, about: &str) {
        self.begin_quietly(name, about);
        if matches!(self.sink, Sink::Plain) {
            println!("{name}: {about}");
        }
    }

    /// Starts a step that usually takes no time: prints nothing before the first beat.
    pub fn begin_quietly(&mut self, name: &str, about: &str) {
        let now = Instant::now();
        self.started = now;
        self.last_beat = now;
        name.clone_into(&mut self.name);
        about.clone_into(&mut self.note);
        self.show_status();
    }

    /// The time since the step began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Prints a line of output.
    pub fn line(&mut self, text: &str) {
        match &mut self.sink {
            Sink::Terminal => println!("\r\x1b[2K{text}"),
            Sink::Plain => println!("{text}"),
            Sink::Buffer { lines, dropped, .. } => {
                if lines.len() < LINES_MAX {
                    lines.push(text.to_owned());
                } else {
                    *dropped += 1;
                }
            }
        }
    }

    /// Sets the text that describes the present step.
    pub fn note(&mut self, note: String) {
        self.note = note;
        self.show_status();
    }

    /// Prints a progress line if one is due.
    pub fn beat(&mut self) {
        let pause = match self.sink {
            Sink::Terminal => BEAT_TERMINAL,
            Sink::Plain => BEAT,
            Sink::Buffer { .. } => return,
        };
        if self.last_beat.elapsed() < pause {
            return;
        }
        self.last_beat = Instant::now();
        let line = progress_line(&self.name, self.started.elapsed(), &self.note);
        if matches!(self.sink, Sink::Terminal) {
            rewrite(&line);
        } else {
            println!("  … {line}");
        }
    }

    /// Ends a step: erases the progress line.
    pub fn finish(&mut self) {
        match &self.sink {
            Sink::Terminal => rewrite(""),
            Sink::Plain => {}
            Sink::Buffer { status, .. } => status.set(String::new()),
        }
    }

    /// Takes the lines of a buffered console.
    pub fn take_lines(&mut self) -> Vec<String> {
        let Sink::Buffer { lines, dropped, .. } = &mut self.sink else {
            return Vec::new();
        };
        if *dropped > 0 {
            lines.push(format!("  … {dropped} more lines, see the log of the lane"));
        }
        std::mem::take(lines)
    }

    fn show_status(&self) {
        if let Sink::Buffer { status, .. } = &self.sink {
            status.set(format!("{} {}", self.name, self.note));
        }
    }
}

/// Rewrites the progress line of a terminal.
pub fn rewrite(line: &str) {
    let short: String = line.chars().take(WIDTH).collect();
    print!("\r\x1b[2K{short}");
    // A terminal that cannot be written to shows no progress; there is nothing else to do.
    let _ = io::stdout().flush();
}

/// A progress line: the name of a step, its time and a note.
fn progress_line(name: &str, elapsed: Duration, note: &str) -> String {
    format!("{name} {} {note}", clock(elapsed))
}

/// Formats a time as minutes and seconds.
#[must_use]
pub fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffered_console_keeps_its_lines_and_shows_its_step() {
        let status = Status::default();
        let mut console = Console::buffered(status.clone());
        console.begin("lane", "first step");
        assert_eq!(status.get(), "lane first step");
        console.line("one");
        console.note("second step".to_owned());
        console.line("two");
        assert_eq!(status.get(), "lane second step");
        console.finish();
        assert_eq!(status.get(), "");
        assert_eq!(console.take_lines(), ["one", "two"]);
        assert!(console.take_lines().is_empty());
    }

    #[test]
    fn a_buffered_console_counts_the_lines_over_its_bound() {
        let mut console = Console::buffered(Status::default());
        (0..LINES_MAX + 2).for_each(|_| console.line("x"));
        let lines = console.take_lines();
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert!(lines[LINES_MAX].contains("2 more lines"));
    }

    #[test]
    fn a_progress_line_has_name_time_and_note() {
        let line = progress_line("clippy", Duration::from_secs(61), "Checking x");
        assert_eq!(line, "clippy 1:01 Checking x");
    }
}
