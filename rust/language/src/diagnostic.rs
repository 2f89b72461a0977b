//! Diagnostics: what is wrong with a text, where, and how to fix it.

mod code;
mod render;

pub use code::{Code, Group, Severity};
pub use render::{Json, Style, render, render_all};

use crate::source::Span;

/// The most errors that one run reports, and the most warnings. People fix the first few; the bound
/// keeps the report on a hostile text about as small as the text.
pub const DIAGNOSTICS_MAX: usize = 100;

/// One finding about a text.
///
/// `message` is a lower-case sentence without a full stop that names the things in question;
/// `label` describes the code at the span. Severity, meaning and fix are the same for every
/// diagnostic of a code and are stored there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind of finding.
    pub code: Code,
    /// The error or warning.
    pub message: String,
    /// Where it is wrong.
    pub span: Span,
    /// A description of the span; may be empty.
    pub label: String,
    /// Related places, each with a label.
    pub related: Vec<(Span, String)>,
    /// Facts that explain the finding.
    pub notes: Vec<String>,
    /// Ways to fix it in this place.
    pub helps: Vec<String>,
}

impl Diagnostic {
    /// Creates a finding at a span.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            message: message.into(),
            span,
            label: String::new(),
            related: Vec::new(),
            notes: Vec::new(),
            helps: Vec::new(),
        }
    }

    /// Sets the label of the span.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// Adds a related place.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Diagnostic {
        self.related.push((span, label.into()));
        self
    }

    /// Adds an explanatory fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }

    /// Adds a way to fix it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.helps.push(help.into());
        self
    }

    /// Whether it makes the text invalid.
    pub fn is_error(&self) -> bool {
        self.code.severity() == Severity::Error
    }
}

/// Collects findings, each once, up to [`DIAGNOSTICS_MAX`] errors and as many warnings. Warnings
/// never displace errors.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    all: Vec<Diagnostic>,
    seen: std::collections::BTreeSet<(Code, Span)>,
    errors: usize,
}

impl Findings {
    /// Adds a finding. A second finding with the same code and span is dropped, because inlining
    /// may check a place more than once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if !self.accepts(diagnostic.code) || !self.seen.insert((diagnostic.code, diagnostic.span)) {
            return;
        }
        self.errors += usize::from(diagnostic.is_error());
        if diagnostic.is_error() && self.is_full() && diagnostic.code != Code::TooManyErrors {
            let message = format!("more than {DIAGNOSTICS_MAX} errors; the rest are not shown");
            let span = diagnostic.span;
            self.all
                .push(Diagnostic::new(Code::TooManyErrors, span, message));
        } else {
            self.all.push(diagnostic);
        }
    }

    /// Keeps only the findings whose code satisfies `keep`.
    pub fn retain(&mut self, keep: impl Fn(Code) -> bool) {
        self.all.retain(|diagnostic| keep(diagnostic.code));
    }

    /// Whether a finding with that code would still be added. Lets callers skip expensive work for
    /// it.
    pub fn accepts(&self, code: Code) -> bool {
        match code.severity() {
            Severity::Error => !self.is_full(),
            Severity::Warning => self.all.len() - self.errors < DIAGNOSTICS_MAX,
        }
    }

    /// Whether a finding with that code was added.
    pub fn has(&self, code: Code) -> bool {
        self.all.iter().any(|diagnostic| diagnostic.code == code)
    }

    /// Whether the maximum number of errors is reached.
    pub fn is_full(&self) -> bool {
        self.errors >= DIAGNOSTICS_MAX
    }

    /// The number of errors.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// The findings in source order.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.all.sort_by_key(|d| (d.span, d.code));
        self.all
    }
}

impl Extend<Diagnostic> for Findings {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        for diagnostic in diagnostics {
            self.push(diagnostic);
        }
    }
}

/// The most names that an unknown name is compared with. A text with more names was not written by
/// hand.
const NAMES_COMPARED_MAX: usize = 1000;

/// The name closest to an unknown one, if any is close enough to be meant: at most one edit for
/// short names, two for longer ones, and none for names of one or two letters, which are all close
/// to each other. Compares only the first thousand names, and only the start of long ones.
pub fn closest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let allowed = match wrong.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    names
        .into_iter()
        .take(NAMES_COMPARED_MAX)
        .map(|name| (edits(wrong, name), name))
        .filter(|(edits, name)| *edits <= allowed && *name != wrong)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// The edit distance of two names, ignoring case and counting a swap of adjacent letters as one
/// edit. Names whose lengths differ by more than two count as unrelated.
fn edits(a: &str, b: &str) -> usize {
    const COMPARED_MAX: usize = 64;
    let lower = |s: &str| {
        s.to_lowercase()
            .chars()
            .take(COMPARED_MAX)
            .collect::<Vec<_>>()
    };
    let (a, b) = (lower(a), lower(b));
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (above[j] + usize::from(x != y))
                .min(row[j] + 1)
                .min(above[j + 1] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{Code, DIAGNOSTICS_MAX, Diagnostic, Findings, closest};
    use crate::source::{FileId, Span};

    fn at(start: u32) -> Span {
        Span {
            file: FileId(0),
            start,
            end: start + 1,
        }
    }

    #[test]
    fn only_close_names_are_suggested() {
        let names = ["Agent", "Host", "Sink"];
        assert_eq!(closest("Agnet", names), Some("Agent"));
        assert_eq!(closest("host", names), Some("Host"));
        assert_eq!(closest("Feeder", names), None);
        assert_eq!(closest("Sin", names), Some("Sink"));
        assert_eq!(closest("rnu", ["run"]), Some("run"));
        assert_eq!(closest("A", ["B"]), None);
    }

    #[test]
    fn findings_are_bounded_sorted_and_unique() {
        let mut findings = Findings::default();
        findings.push(Diagnostic::new(Code::UnknownRole, at(7), "later"));
        findings.push(Diagnostic::new(Code::UnknownRole, at(3), "earlier"));
        findings.push(Diagnostic::new(Code::UnknownRole, at(3), "again"));
        let messages: Vec<_> = findings
            .into_sorted()
            .into_iter()
            .map(|d| d.message)
            .collect();
        assert_eq!(messages, ["earlier", "later"]);

        let mut findings = Findings::default();
        findings.extend((0..1000).map(|i| Diagnostic::new(Code::UnknownRole, at(i), "x")));
        findings.extend((0..1000).map(|i| Diagnostic::new(Code::UnusedRole, at(i), "x")));
        let all = findings.into_sorted();
        assert_eq!(all.len(), 2 * DIAGNOSTICS_MAX);
        assert_eq!(all.iter().filter(|d| d.is_error()).count(), DIAGNOSTICS_MAX);
        assert_eq!(
            all.iter().filter(|d| d.code == Code::TooManyErrors).count(),
            1
        );
    }
}
