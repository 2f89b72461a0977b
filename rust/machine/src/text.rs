//! Text for people: values, sorts, instructions and faults with the names of an image, and the
//! first difference of two values. [`Literal`] reads values back.
//!
//! Values have the notation of scripts: `()`, `true`, `7`, `-7`, `"text"`, `b"bytes\x00"`,
//! `[a, b]`, `{field: a, other: b}`, `(a, b)` for the fields of an unnamed payload list, a bare
//! word for a variant or a label, `none` for an absent optional value. A present optional value is
//! written like its item, unless the item itself is written `none` or `some(...)`: then it is
//! `some(item)`. A variant or a label whose name is not a word is written as its number. So a text
//! that is not cut is read back as the same value, for every sort of a verified image.
//!
//! Sorts have the notation of protocols: `Nat`, `[Nat]`, `Text?`, `(Nat, Text)`, and the names of
//! records, enumerations and foreign sorts. The sort of a choice, which protocols cannot name, is
//! the list of its labels: `ping | stop`.

// The parts use `line` and `digest`, so they import from their parent. `printer` and `parts` refer
// to each other, because the printer prints a fault inside an event.
mod excerpt;
mod literal;
mod parts;
mod printer;
mod rows;

use crate::ids::SortId;
use crate::image::CodeImage;
use crate::value::Value;

pub use excerpt::Excerpt;
pub use literal::{ConvertError, Cursor, Literal, ParseError};
pub use parts::payload_sort;
pub use printer::{Printed, Printer};

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

/// The first bytes of a digest, in hexadecimal digits.
pub fn digest(digest: &[u8; 32]) -> String {
    let [a, b, c, d, e, f, ..] = digest;
    format!("{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}…")
}

/// Two digests that differ, as texts that differ: their first bytes, or all bytes if the first ones
/// are equal.
pub fn digests(left: &[u8; 32], right: &[u8; 32]) -> (String, String) {
    let short = (digest(left), digest(right));
    if short.0 == short.1 && left != right {
        (whole_digest(left), whole_digest(right))
    } else {
        short
    }
}

/// A whole digest, in hexadecimal digits.
pub fn whole_digest(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value as text on one line: [`Printer::value`] with the names of the image and this width.
pub fn show(value: &Value, sort: Option<SortId>, image: &CodeImage, width: usize) -> String {
    Printer::new(image).with_width(width).value(value, sort)
}
