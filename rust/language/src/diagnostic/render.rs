//! Renders diagnostics as text with excerpts of the source, for people, and as JSON, for programs.

use std::borrow::Cow;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};
use serde::Serialize;

use super::{Diagnostic, Severity};
use crate::source::{FileId, Source, Sources, Span};

/// The width of a rendered report, in columns. It fits a terminal and a code review page.
const COLUMNS: usize = 110;

/// The bytes of a line shown on either side of the place. The rest of a longer line is cut off, so
/// that a report on a text without line ends stays small.
const LINE_BYTES_MAX: usize = 400;

/// The style of a rendered report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// ASCII without escape sequences.
    #[default]
    Plain,
    /// With terminal colours.
    Colour,
}

/// Renders one diagnostic with excerpts of the texts it points into. Control characters are
/// replaced by visible ones, so a hostile text cannot send escape sequences to the terminal.
pub fn render(diagnostic: &Diagnostic, sources: &Sources, style: Style) -> String {
    let level = match diagnostic.code.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut elements: Vec<Element<'_>> = Vec::new();
    elements.extend(excerpts(diagnostic, sources).into_iter().map(Element::from));
    elements.extend(
        diagnostic
            .notes
            .iter()
            .map(|n| Level::NOTE.message(sanitize(n)).into()),
    );
    elements.extend(
        diagnostic
            .helps
            .iter()
            .map(|h| Level::HELP.message(sanitize(h)).into()),
    );
    let title = level
        .primary_title(sanitize(&diagnostic.message))
        .id(diagnostic.code.number());
    let group: Group<'_> = title.elements(elements);
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Colour => Renderer::styled(),
    };
    renderer.term_width(COLUMNS).render(&[group])
}

/// Renders diagnostics one after the other, each followed by an empty line, and a last line with
/// the number of errors and warnings. Returns an empty string for no diagnostics.
pub fn render_all(diagnostics: &[Diagnostic], sources: &Sources, style: Style) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&render(diagnostic, sources, style));
        text.push_str("\n\n");
    }
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    let count = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let counts = [
        count(errors, "error"),
        count(diagnostics.len() - errors, "warning"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    if !counts.is_empty() {
        text.push_str(&counts.join(", "));
        text.push('\n');
    }
    text
}

/// One excerpt for the file of the finding and one for each other file that it points into.
fn excerpts<'s>(
    diagnostic: &'s Diagnostic,
    sources: &'s Sources,
) -> Vec<Snippet<'s, Annotation<'s>>> {
    let mut files = vec![diagnostic.span.file];
    for (span, _) in &diagnostic.related {
        if !files.contains(&span.file) {
            files.push(span.file);
        }
    }
    files
        .into_iter()
        .filter_map(|file| excerpt(file, diagnostic, sources))
        .collect()
}

type Annotation<'s> = annotate_snippets::Annotation<'s>;

fn excerpt<'s>(
    file: FileId,
    diagnostic: &'s Diagnostic,
    sources: &'s Sources,
) -> Option<Snippet<'s, Annotation<'s>>> {
    let source = sources.source(file)?;
    let primary = (
        diagnostic.span,
        diagnostic.label.as_str(),
        AnnotationKind::Primary,
    );
    let related = diagnostic.related.iter();
    let marks: Vec<(Span, &str, AnnotationKind)> = std::iter::once(primary)
        .chain(related.map(|(span, label)| (*span, label.as_str(), AnnotationKind::Context)))
        .filter(|(span, _, _)| span.file == file)
        .collect();
    let window = Window::around(source, marks.iter().map(|(span, _, _)| *span));
    let mut snippet = Snippet::source(sanitize(window.text))
        .line_start(window.line)
        .path(source.name.as_ref());
    for (span, label, kind) in marks {
        let mark = kind.span(window.place(span));
        let label = (!label.is_empty()).then(|| sanitize(label));
        snippet = snippet.annotation(mark.label(label));
    }
    Some(snippet)
}

/// The lines of a text that contain some spans.
struct Window<'s> {
    text: &'s str,
    start: usize,
    line: usize,
}

impl<'s> Window<'s> {
    fn around(source: &'s Source, spans: impl Iterator<Item = Span>) -> Window<'s> {
        let text = source.text.as_ref();
        let (mut low, mut high) = (text.len(), 0);
        for span in spans {
            low = low.min(span.start as usize);
            high = high.max(span.end as usize);
        }
        let low = boundary(text, low.min(text.len()));
        let high = boundary(text, high.clamp(low, text.len()));
        let line_start = text[..low].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[high..].find('\n').map_or(text.len(), |at| high + at);
        let start = boundary(text, line_start.max(low.saturating_sub(LINE_BYTES_MAX)));
        let end = boundary(text, line_end.min(high + LINE_BYTES_MAX));
        let line = 1 + text[..start].bytes().filter(|b| *b == b'\n').count();
        Window {
            text: &text[start..end],
            start,
            line,
        }
    }

    fn place(&self, span: Span) -> std::ops::Range<usize> {
        let inside = |at: u32| {
            (at as usize)
                .saturating_sub(self.start)
                .min(self.text.len())
        };
        inside(span.start)..inside(span.end)
    }
}

/// The text with the control characters U+0080 to U+009F replaced, which the renderer passes
/// through and some terminals interpret. The replacement has the same length in bytes, so offsets
/// stay valid.
fn sanitize(text: &str) -> Cow<'_, str> {
    const REPLACEMENT: &str = "\u{bf}";
    let is_c1_control = |c: char| ('\u{80}'..='\u{9f}').contains(&c);
    if text.contains(is_c1_control) {
        text.replace(is_c1_control, REPLACEMENT).into()
    } else {
        text.into()
    }
}

/// The character boundary at or before a byte offset.
fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A diagnostic as JSON, with the fields `code`, `severity`, `message`, `place`, `label`,
/// `related`, `notes`, `helps` and `mending`, which is the fix of the code. A place has the fields
/// `file`, the byte offsets `start` and `end`, and `line` and `column`, which count from 1; the
/// column is in characters.
#[derive(Debug, Serialize)]
pub struct Json<'d> {
    code: super::Code,
    severity: Severity,
    message: &'d str,
    place: Place<'d>,
    label: &'d str,
    related: Vec<Related<'d>>,
    notes: &'d [String],
    helps: &'d [String],
    #[serde(rename = "mending")]
    fix: &'static str,
}

#[derive(Debug, Serialize)]
struct Related<'d> {
    place: Place<'d>,
    label: &'d str,
}

#[derive(Debug, Serialize)]
struct Place<'d> {
    file: &'d str,
    start: u32,
    end: u32,
    line: usize,
    column: usize,
}

impl<'d> Json<'d> {
    /// Builds the JSON form of a diagnostic. Linear in the length of the text before its places.
    pub fn new(diagnostic: &'d Diagnostic, sources: &'d Sources) -> Json<'d> {
        let related = diagnostic.related.iter();
        Json {
            code: diagnostic.code,
            severity: diagnostic.code.severity(),
            message: &diagnostic.message,
            place: place(diagnostic.span, sources),
            label: &diagnostic.label,
            related: related
                .map(|(span, label)| Related {
                    place: place(*span, sources),
                    label,
                })
                .collect(),
            notes: &diagnostic.notes,
            helps: &diagnostic.helps,
            fix: diagnostic.code.fix(),
        }
    }
}

fn place(span: Span, sources: &Sources) -> Place<'_> {
    let (file, text) = match sources.source(span.file) {
        Some(source) => (source.name.as_ref(), source.text.as_ref()),
        None => ("", ""),
    };
    let before = &text[..boundary(text, (span.start as usize).min(text.len()))];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place {
        file,
        start: span.start,
        end: span.end,
        line: 1 + before.bytes().filter(|b| *b == b'\n').count(),
        column: 1 + before[line_start..].chars().count(),
    }
}
