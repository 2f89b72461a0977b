//! How the commands speak: text or JSON to standard output, remarks and errors to standard error.

use std::io::{self, BufWriter, IsTerminal, Write};

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::args::{Color, StyleArgs};
use crate::problem::Problem;

/// The way to speak that the command line asked for, and what the streams are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    /// Whether standard output carries JSON documents, one per line.
    pub(crate) json: bool,
    /// Whether text on standard output may have colours.
    pub(crate) colour: bool,
    /// Whether standard output is a terminal: then a person reads it.
    pub(crate) terminal: bool,
    /// Whether standard error is one.
    pub(crate) terminal_stderr: bool,
    colour_stderr: bool,
}

/// What stands out in text for people.
pub(crate) const STRONG: Style = Style::new().bold();
/// What matters less than the rest.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// What went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What needs a look.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// What went wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Names of roles.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();

impl Voice {
    pub(crate) fn new(style: StyleArgs) -> Voice {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let wanted = |automatic: ColorChoice| match style.color {
            Color::Auto => automatic != ColorChoice::Never,
            Color::Always => true,
            Color::Never => false,
        };
        Voice {
            json: style.json,
            colour: wanted(anstream::AutoStream::choice(&stdout)) && !style.json,
            terminal: stdout.is_terminal(),
            terminal_stderr: stderr.is_terminal(),
            colour_stderr: wanted(anstream::AutoStream::choice(&stderr)),
        }
    }

    /// Standard output, buffered. The caller flushes it.
    pub(crate) fn stdout(&self) -> BufWriter<io::StdoutLock<'static>> {
        BufWriter::new(io::stdout().lock())
    }

    /// Writes text to standard output.
    pub(crate) fn print(&self, text: &str) -> Result<(), Problem> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(Problem::stdout)
    }

    /// Writes one JSON document and a line end to standard output.
    pub(crate) fn document(&self, document: &impl Serialize) -> Result<(), Problem> {
        let mut out = self.stdout();
        write_document(&mut out, document)?;
        out.flush().map_err(Problem::stdout)
    }

    /// Says something to the person at the terminal; what cannot be said there cannot be said.
    pub(crate) fn remark(&self, style: Style, head: &str, text: &str) {
        let mut err = io::stderr().lock();
        let _ = writeln!(err, "{} {text}", paint(self.colour_stderr, style, head));
    }

    /// How diagnostics are to look on standard output.
    pub(crate) fn diagnostics(&self) -> antiphon_language::diagnostic::Style {
        match self.colour {
            true => antiphon_language::diagnostic::Style::Colour,
            false => antiphon_language::diagnostic::Style::Plain,
        }
    }

    /// `text` in the style, if standard output has colours.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        paint(self.colour, style, text)
    }
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
