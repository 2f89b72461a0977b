//! Source texts and places in them.

use std::sync::Arc;

/// The longest source text that is read, in bytes. A protocol of this size has some twenty thousand
/// messages: far beyond what a person writes, near enough that every pass over it ends in well
/// under a second.
pub const SOURCE_LEN_MAX: usize = 1 << 20;

/// A source text of a [`Sources`], in the order of loading; 0 is the one that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u16);

/// A stretch of bytes of one source text.
///
/// `start <= end <=` the text's length, both on character boundaries, when it comes from the
/// parser. A span is where something was written, never what it is: trees that differ in their
/// spans only are equal to a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// The span from the start of this one to the end of the other, of the same text.
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
    /// The name that diagnostics give it: a path, a module name, `<stdin>`.
    pub name: Arc<str>,
    /// The text.
    pub text: Arc<str>,
}

impl Source {
    /// A text under a name.
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
    /// Adds a text and gives its number, or nothing when 65,536 are there already.
    pub fn add(&mut self, source: Source) -> Option<FileId> {
        let id = FileId(u16::try_from(self.files.len()).ok()?);
        self.files.push(source);
        Some(id)
    }

    /// The text of that number.
    pub fn source(&self, file: FileId) -> Option<&Source> {
        self.files.get(usize::from(file.0))
    }
}
