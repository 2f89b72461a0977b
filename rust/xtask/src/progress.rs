//! Shows progress while a lane runs: on a terminal one line that is rewritten, elsewhere a line
//! every half minute, so that a log shows that the lane is alive and stays short.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// The time between two progress lines if the output is not a terminal.
const BEAT: Duration = Duration::from_secs(30);

pub(crate) struct Progress {
    lane: &'static str,
    started: Instant,
    last: Instant,
    note: String,
    terminal: bool,
}

impl Progress {
    /// Announces a lane.
    pub(crate) fn start(lane: &'static str, about: &str) -> Self {
        let progress = Self::quiet(lane, about);
        if !progress.terminal {
            println!("{lane}: {about}");
        }
        progress
    }

    /// For work that usually takes no time: prints nothing before the first beat.
    pub(crate) fn quiet(lane: &'static str, about: &str) -> Self {
        let now = Instant::now();
        Self {
            lane,
            started: now,
            last: now,
            note: about.to_owned(),
            terminal: io::stdout().is_terminal(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sets the text that describes the present step.
    pub(crate) fn note(&mut self, note: String) {
        self.note = note;
    }

    /// Prints a progress line if one is due.
    pub(crate) fn beat(&mut self) {
        let pause = if self.terminal {
            Duration::from_millis(200)
        } else {
            BEAT
        };
        if self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let line = format!(
            "{} {} {}",
            self.lane,
            clock(self.started.elapsed()),
            self.note
        );
        if self.terminal {
            // Shorter than any usual terminal is wide: a wrapped line could not be rewritten.
            let short: String = line.chars().take(78).collect();
            print!("\r\x1b[2K{short}");
            let _ = io::stdout().flush();
        } else {
            println!("  … {line}");
        }
    }

    /// Erases the progress line.
    pub(crate) fn finish(&self) {
        clear_line();
    }
}

/// Erases the progress line of a terminal, so that another line can take its place.
pub(crate) fn clear_line() {
    if io::stdout().is_terminal() {
        print!("\r\x1b[2K");
        let _ = io::stdout().flush();
    }
}

/// Formats a time as minutes and seconds.
pub(crate) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}
