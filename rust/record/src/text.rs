//! Text for people: values, sorts, instructions and faults with the names of an image, and the
//! first difference of two values.
//!
//! Values have the notation of scripts, which the command line also parses: `()`, `true`, `7`,
//! `-7`, `"text"`, `b"bytes\x00"`, `[a, b]`, `{field: a, other: b}`, `(a, b)` for the fields of an
//! unnamed payload list, a bare word for a variant or a label, `none` for an absent optional value.
//! Sorts have the notation of protocols: `Nat`, `[Nat]`, `Text?`, `(Nat, Text)`, and the names of
//! records, enumerations and foreign sorts.

mod excerpt;
mod printer;

use antiphon_machine::{CodeImage, SortId, Value};

pub use excerpt::Excerpt;
pub use printer::Printer;

/// Text from outside on one line: control characters are escaped, misleading ones replaced.
pub fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => shown.extend(c.escape_default()),
            c if misleads(c) => shown.push(REPLACEMENT),
            c => shown.push(c),
        }
    }
    shown
}

/// The character by which [`line()`] replaces a misleading one.
pub const REPLACEMENT: char = '\u{fffd}';

/// Whether the character changes how the text around it looks: direction marks and embeddings,
/// invisible joiners and separators, and the byte order mark.
pub fn misleads(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// A value as text on one line: [`Printer::value`] with the names of the image and this width.
pub fn show(value: &Value, sort: Option<SortId>, image: &CodeImage, width: usize) -> String {
    Printer::new(image).with_width(width).value(value, sort)
}
