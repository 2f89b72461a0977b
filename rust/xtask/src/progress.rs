//! What a person sees while a lane runs: on a terminal one line that is rewritten, elsewhere a line
//! now and then, so that a log shows life without drowning in it.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Off a terminal, time between two signs of life.
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

    /// For what is mostly over at once: shows nothing before the first beat.
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

    /// What the lane is at now.
    pub(crate) fn note(&mut self, note: String) {
        self.note = note;
    }

    /// Shows life, if it is time to.
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
            // Cut to a width that does not wrap on any usual terminal; a wrapped line is not
            // rewritten.
            let short: String = line.chars().take(78).collect();
            print!("\r\x1b[2K{short}");
            let _ = io::stdout().flush();
        } else {
            println!("  … {line}");
        }
    }

    /// Takes the rewritten line away.
    pub(crate) fn finish(&self) {
        clear_line();
    }
}

/// Takes a rewritten line away, if there can be one, to write something else in its place.
pub(crate) fn clear_line() {
    if io::stdout().is_terminal() {
        print!("\r\x1b[2K");
        let _ = io::stdout().flush();
    }
}

/// Minutes and seconds, as on a clock.
pub(crate) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}
