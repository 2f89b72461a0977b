//! Source texts and spans.

use std::sync::Arc;

/// The maximum length of a source text, in bytes. A protocol of this size has some twenty thousand
/// messages, far more than a person writes, and every pass over it takes well under a second.
pub const SOURCE_LEN_MAX: usize = 1 << 20;

/// A source text of a [`Sources`], in the order of loading; 0 is the root text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u16);

/// A range of bytes in one source text.
///
/// In spans from the parser, `start <= end <=` the text's length, and both are on character
/// boundaries. A span records only where something was written: syntax trees that differ only in
/// spans are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// The offset of the first byte.
    pub start: u32,
    /// The offset after the last byte.
    pub end: u32,
}

impl Span {
    /// The span from the start of this one to the end of the other, in the same text.
    #[must_use]
    pub fn to(self, last: Span) -> Span {
        Span {
            end: last.end.max(self.start),
            ..self
        }
    }

    /// The span as a range of byte offsets.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A named source text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name that diagnostics use: a path, a module name, `<stdin>`.
    pub name: Arc<str>,
    /// The text.
    pub text: Arc<str>,
}

impl Source {
    /// Creates a text with a name.
    pub fn new(name: &str, text: &str) -> Source {
        Source {
            name: Arc::from(name),
            text: Arc::from(text),
        }
    }
}

/// The source texts that the spans of one run refer to.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a text and returns its id, or `None` when there are 65,536 texts already.
    pub fn add(&mut self, source: Source) -> Option<FileId> {
        let id = FileId(u16::try_from(self.files.len()).ok()?);
        self.files.push(source);
        Some(id)
    }

    /// The text with that id.
    pub fn source(&self, file: FileId) -> Option<&Source> {
        self.files.get(usize::from(file.0))
    }
}
