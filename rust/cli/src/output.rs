//! Output of the commands: text or JSON on standard output, warnings and errors on standard error.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{Color, StyleArgs};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::recorded::Recorded;
use crate::standard::StandardOutput;

/// How long a report may take after a signal has ended the command, because its reader may have
/// stopped reading.
pub(crate) const REPORT_TIMEOUT: Duration = Duration::from_millis(500);

/// The form of the output that the command line asks for, and the kinds of the standard streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Whether standard output carries JSON documents, one per line.
    pub(crate) json: bool,
    /// Whether text on standard output may have colours.
    pub(crate) colour: bool,
    /// Whether standard output is a terminal.
    pub(crate) terminal: bool,
    /// Whether standard error is a terminal.
    pub(crate) terminal_stderr: bool,
    colour_stderr: bool,
}

/// The style of headings.
pub(crate) const HEADING: Style = Style::new().bold();
/// The style of less important text.
pub(crate) const DIM: Style = Style::new().dimmed();
/// The style of success.
pub(crate) const SUCCESS: Style = AnsiColor::Green.on_default();
/// The style of warnings.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
/// The style of errors.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The style of the names of roles.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();

impl Output {
    pub(crate) fn new(style: StyleArgs) -> Output {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let wanted = |automatic: ColorChoice| match style.color {
            Color::Auto => automatic != ColorChoice::Never,
            Color::Always => true,
            Color::Never => false,
        };
        Output {
            json: style.json,
            colour: wanted(anstream::AutoStream::choice(&stdout)) && !style.json,
            terminal: stdout.is_terminal(),
            terminal_stderr: stderr.is_terminal(),
            colour_stderr: wanted(anstream::AutoStream::choice(&stderr)),
        }
    }

    /// Returns standard output, buffered. The caller flushes it.
    pub(crate) fn stdout(&self) -> BufWriter<StandardOutput<StdoutLock<'static>>> {
        BufWriter::new(StandardOutput::stdout())
    }

    /// Writes text to standard output.
    pub(crate) fn print(&self, text: &str) -> Result<(), Problem> {
        StandardOutput::stdout()
            .write_all(text.as_bytes())
            .map_err(Problem::stdout)
    }

    /// Writes one JSON document and a line end to standard output.
    pub(crate) fn document(&self, document: &impl Serialize) -> Result<(), Problem> {
        self::document(document)
    }

    /// Prints a line on standard error: `head` in the style, then the text. A failure is ignored
    /// because it cannot be reported anywhere else.
    pub(crate) fn note(&self, style: Style, head: &str, text: &str) {
        let head = paint(self.colour_stderr, style, head);
        to_stderr(&format!("{head} {text}\n"));
    }

    /// Prints a warning on standard error.
    pub(crate) fn warn(&self, text: &str) {
        self.note(WARNING, "antiphon:", text);
    }

    /// Prints an error on standard error.
    pub(crate) fn error(&self, text: &str) {
        self.note(ERROR, "antiphon:", text);
    }

    /// Reports why the command failed: on standard error, and with `--json` on standard output.
    /// `recorded` says whether the recording failed as well.
    pub(crate) fn failure(&self, message: &str, exit: Exit, recorded: Recorded) {
        self.error(message);
        if self.json {
            let mut document = json!({ "error": message, "code": exit.code() });
            recorded.mark(&mut document);
            // If this cannot be written either, only the exit code reports the failure.
            let _ = self.document(&document);
        }
    }

    /// As [`failure`](Self::failure), for an image that is not admitted to a machine, which is
    /// found before a recording begins. `facts` are the reason, for programs.
    pub(crate) fn refusal(&self, message: &str, exit: Exit, facts: &Value) {
        self.error(message);
        if self.json {
            let document = json!({ "error": message, "code": exit.code(), "admission": facts });
            // If this cannot be written either, only the exit code reports the failure.
            let _ = self.document(&document);
        }
    }

    /// The style of diagnostics on standard output.
    pub(crate) fn diagnostics(&self) -> antiphon_language::diagnostic::Style {
        if self.colour {
            antiphon_language::diagnostic::Style::Colour
        } else {
            antiphon_language::diagnostic::Style::Plain
        }
    }

    /// Returns `text` in the style, if standard output has colours.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        paint(self.colour, style, text)
    }
}

/// Writes text to standard error. A failure is ignored because it cannot be reported anywhere else.
pub(crate) fn to_stderr(text: &str) {
    let _ = StandardOutput::stderr().write_all(text.as_bytes());
}

/// Prints the help or version on standard output, or an error of the command line on standard
/// error, with colours on a terminal. If printing fails, only the exit code reports the error.
pub(crate) fn print_usage(error: &clap::Error) {
    let text = error.render();
    let choice = if error.use_stderr() {
        anstream::AutoStream::choice(&io::stderr())
    } else {
        anstream::AutoStream::choice(&io::stdout())
    };
    let text = match choice {
        ColorChoice::Never => text.to_string(),
        ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => {
            text.ansi().to_string()
        }
    };
    if error.use_stderr() {
        to_stderr(&text)
    } else {
        drop(StandardOutput::stdout().write_all(text.as_bytes()))
    }
}

/// Runs `write` in a thread and waits for at most `patience`, because the reader of a standard
/// stream may have stopped reading. If no thread can be started, nothing is written.
pub(crate) fn with_timeout(patience: Duration, write: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel::<()>();
    let write = move || {
        write();
        drop(ended);
    };
    let writer = thread::Builder::new().name("report".to_owned());
    if writer.spawn(write).is_ok() {
        // Nothing is sent: the wait ends when the thread drops its end of the channel.
        let _ = end.recv_timeout(patience);
    }
}

/// Writes one JSON document and a line end to standard output.
pub(crate) fn document(document: &impl Serialize) -> Result<(), Problem> {
    let mut out = BufWriter::new(StandardOutput::stdout());
    write_document(&mut out, document)?;
    out.flush().map_err(Problem::stdout)
}

/// Writes one JSON document and a line end.
pub(crate) fn write_document(
    out: &mut impl Write,
    document: &impl Serialize,
) -> Result<(), Problem> {
    serde_json::to_writer(&mut *out, document)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .map_err(Problem::stdout)
}

fn paint(colour: bool, style: Style, text: &str) -> String {
    if colour {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}
