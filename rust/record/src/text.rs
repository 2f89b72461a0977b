//! Values as text with the names of their sort, in the notation of scripts and timelines, and the
//! first difference of two values.
//!
//! `()`, `true`, `7`, `-7`, `"text"`, `b"bytes\x00"`, `[a, b]`, `{field: a, other: b}`, `(a, b)` for
//! the fields of an unnamed payload list, a bare word for a variant or a label, `none` for an absent
//! optional value.

use std::fmt::Write;

use antiphon_machine::{Canonical, CodeImage, Sort, SortId, Value};

use crate::describe;

/// Characters or bytes before a difference that an excerpt shows.
const BEFORE: usize = 16;

/// Characters or bytes from a difference on that an excerpt shows.
const AFTER: usize = 32;

/// Characters of a value that differs as a whole.
const WHOLE: usize = 72;

/// Characters of a field beside the one that differs.
const BESIDE: usize = 16;

/// Fields to each side of the one that differs that an excerpt shows.
const BESIDE_MAX: usize = 4;

/// Levels of values that an excerpt enters. Sorts nest to 16, so a value that is deeper has no
/// sort.
const DEPTH_MAX: usize = 32;

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

/// The character that [`line()`] puts in the place of a misleading one.
pub const REPLACEMENT: char = '\u{fffd}';

/// Whether the character changes how the text around it looks: direction marks and embeddings,
/// invisible joiners and separators, and the byte order mark.
pub fn misleads(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// A value as text on one line, cut after about `width` characters, with the size of the rest.
pub fn show(value: &Value, sort: Option<SortId>, image: &CodeImage, width: usize) -> String {
    let mut out = Printer {
        image,
        text: String::new(),
        width,
    };
    out.value(value, sort);
    out.text
}

/// The first difference of two values, and both values cut around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The path from the value to the part that differs: `.field`, `.0` for a field without a
    /// name, `[3]` for an item of a list. Empty when the whole value differs.
    pub path: String,
    /// The first byte that differs, where texts or byte strings do.
    pub offset: Option<u64>,
    /// The left value.
    pub left: String,
    /// The right value. Never the text of the left one.
    pub right: String,
}

/// Finds the first difference of two values. Linear in the values.
pub fn excerpt(left: &Value, right: &Value, sort: Option<SortId>, image: &CodeImage) -> Excerpt {
    let Path {
        steps,
        path,
        offset,
    } = Path::to_difference(left, right, sort, image);
    let side = |value: &Value| {
        let mut out = Printer {
            image,
            text: String::new(),
            width: WHOLE,
        };
        out.focus(value, sort, &steps, offset);
        out.text
    };
    let (mut left_text, mut right_text) = (side(left), side(right));
    if left_text == right_text {
        let digest = |value: &Value| describe::digest(blake3::hash(&value.to_bytes()).as_bytes());
        left_text.push_str(&format!(", digest {}", digest(left)));
        right_text.push_str(&format!(", digest {}", digest(right)));
    }
    Excerpt {
        path,
        offset: offset.map(|offset| offset as u64),
        left: left_text,
        right: right_text,
    }
}

/// The path to the first difference of two values.
#[derive(Default)]
struct Path {
    /// Positions in records and lists.
    steps: Vec<usize>,
    path: String,
    /// The first byte that differs in the text or byte string at the end of the path.
    offset: Option<usize>,
}

impl Path {
    fn to_difference(
        mut left: &Value,
        mut right: &Value,
        mut sort: Option<SortId>,
        image: &CodeImage,
    ) -> Path {
        let mut way = Path::default();
        while way.steps.len() < DEPTH_MAX {
            let row = sort.and_then(|sort| image.sorts.get(sort.index()));
            let (a, b) = match (left, right) {
                (Value::Record(a), Value::Record(b)) if a.len() == b.len() => (a, b),
                (Value::List(a), Value::List(b)) => (a, b),
                (Value::Text(a), Value::Text(b)) => {
                    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
                    way.offset = Some(same.map(|(c, _)| c.len_utf8()).sum());
                    break;
                }
                (Value::Bytes(a), Value::Bytes(b)) => {
                    way.offset = Some(a.iter().zip(b.iter()).take_while(|(a, b)| a == b).count());
                    break;
                }
                _ => break,
            };
            let at = a.iter().zip(b.iter()).take_while(|(a, b)| a == b).count();
            let is_option = matches!(row, Some(Sort::Option(_)));
            if is_option && a.len() != b.len() {
                break;
            }
            sort = match row {
                Some(Sort::Record { fields, .. }) => fields.get(at).map(|(_, sort)| *sort),
                Some(Sort::List(item) | Sort::Option(item)) => Some(*item),
                Some(_) | None => None,
            };
            match (left, row) {
                (Value::Record(_), Some(Sort::Record { name, fields })) if !name.is_empty() => {
                    let name = fields.get(at).map_or("", |(name, _)| name);
                    way.path.push_str(&format!(".{}", line(name)));
                }
                (Value::Record(_), _) => way.path.push_str(&format!(".{at}")),
                _ if is_option => {}
                _ => way.path.push_str(&format!("[{at}]")),
            }
            way.steps.push(at);
            match (a.get(at), b.get(at)) {
                (Some(a), Some(b)) => (left, right) = (a, b),
                (Some(_), None) | (None, Some(_)) | (None, None) => break,
            }
        }
        way
    }
}

struct Printer<'i> {
    image: &'i CodeImage,
    text: String,
    width: usize,
}

impl Printer<'_> {
    fn is_full(&self) -> bool {
        self.text.len() >= self.width
    }

    fn value(&mut self, value: &Value, sort: Option<SortId>) {
        let sort = sort.and_then(|sort| self.image.sorts.get(sort.index()));
        match (value, sort) {
            (Value::Unit, _) => self.text.push_str("()"),
            (Value::Bool(b), _) => self.push(format_args!("{b}")),
            (Value::Nat(n), Some(Sort::Enum { variants, .. })) => {
                self.name(variants.get(*n as usize).map(String::as_str), *n);
            }
            (Value::Nat(n), Some(Sort::Arm(_))) => {
                self.name(self.image.labels.get(*n as usize).map(String::as_str), *n);
            }
            (Value::Nat(n), _) => self.push(format_args!("{n}")),
            (Value::Int(n), _) => self.push(format_args!("{n}")),
            (Value::Text(text), _) => self.quoted(text),
            (Value::Bytes(bytes), _) => self.bytes(bytes),
            (Value::List(items), Some(Sort::Option(item))) => match items.first() {
                Some(value) => self.value(value, Some(*item)),
                None => self.text.push_str("none"),
            },
            (Value::List(items), sort) => {
                let item = match sort {
                    Some(Sort::List(item)) => Some(*item),
                    Some(_) | None => None,
                };
                self.items('[', ']', items.iter().map(|value| (None, value, item)));
            }
            (Value::Record(items), Some(Sort::Record { name, fields })) => {
                let named = !name.is_empty();
                let fields = fields.iter().zip(items.iter());
                let items = fields.map(|((field, sort), value)| {
                    (named.then_some(field.as_str()), value, Some(*sort))
                });
                let (open, close) = if named { ('{', '}') } else { ('(', ')') };
                self.items(open, close, items);
            }
            (Value::Record(items), _) => {
                self.items('(', ')', items.iter().map(|value| (None, value, None)));
            }
            (Value::Endpoint(role), _) => self.push(format_args!("<endpoint {role}>")),
            (Value::Evidence(number), _) => self.push(format_args!("<witness {number}>")),
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }

    fn name(&mut self, name: Option<&str>, number: u64) {
        match name {
            Some(name) => self.text.push_str(&line(name)),
            None => self.push(format_args!("{number}")),
        }
    }

    fn items<'v>(
        &mut self,
        open: char,
        close: char,
        items: impl ExactSizeIterator<Item = (Option<&'v str>, &'v Value, Option<SortId>)>,
    ) {
        let len = items.len();
        self.text.push(open);
        for (n, (name, value, sort)) in items.enumerate() {
            if n > 0 {
                self.text.push_str(", ");
            }
            if self.is_full() {
                self.push(format_args!("… {} more", len - n));
                break;
            }
            if let Some(name) = name {
                self.push(format_args!("{}: ", line(name)));
            }
            self.value(value, sort);
        }
        self.text.push(close);
    }

    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for (at, c) in text.char_indices() {
            if self.is_full() {
                self.push(format_args!("\"… {} bytes more", text.len() - at));
                return;
            }
            self.character(c);
        }
        self.text.push('"');
    }

    fn character(&mut self, c: char) {
        match c {
            '"' | '\\' => self.push(format_args!("\\{c}")),
            '\n' => self.text.push_str("\\n"),
            '\r' => self.text.push_str("\\r"),
            '\t' => self.text.push_str("\\t"),
            c if c.is_control() || misleads(c) => {
                self.push(format_args!("\\u{{{:x}}}", u32::from(c)));
            }
            c => self.text.push(c),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.text.push_str("b\"");
        for (at, byte) in bytes.iter().enumerate() {
            if self.is_full() {
                self.push(format_args!("\"… {} bytes more", bytes.len() - at));
                return;
            }
            self.byte(*byte);
        }
        self.text.push('"');
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            b'"' | b'\\' => self.push(format_args!("\\{}", char::from(byte))),
            b'\n' => self.text.push_str("\\n"),
            b'\r' => self.text.push_str("\\r"),
            b'\t' => self.text.push_str("\\t"),
            0x20..=0x7e => self.text.push(char::from(byte)),
            byte => self.push(format_args!("\\x{byte:02x}")),
        }
    }

    /// The value with the part that differs around the difference, and the parts beside it cut.
    fn focus(
        &mut self,
        value: &Value,
        sort: Option<SortId>,
        steps: &[usize],
        offset: Option<usize>,
    ) {
        let Some((at, rest)) = steps.split_first() else {
            return self.around(value, sort, offset.unwrap_or(0));
        };
        let row = sort.and_then(|sort| self.image.sorts.get(sort.index()));
        match (value, row) {
            (Value::List(items), Some(Sort::Option(item))) => match items.first() {
                Some(value) => self.focus(value, Some(*item), rest, offset),
                None => self.text.push_str("none"),
            },
            (Value::List(items), row) => {
                let item = match row {
                    Some(Sort::List(item)) => Some(*item),
                    Some(_) | None => None,
                };
                self.text.push_str(if *at > 0 { "[…, " } else { "[" });
                match items.get(*at) {
                    Some(value) => self.focus(value, item, rest, offset),
                    None => self.push(format_args!("no item {at}")),
                }
                let is_more = items.len() > at + 1;
                self.text.push_str(if is_more { ", …]" } else { "]" });
            }
            (Value::Record(items), row) => self.focus_record(items, row, (*at, rest), offset),
            (value, _) => self.around(value, sort, 0),
        }
    }

    fn focus_record(
        &mut self,
        items: &[Value],
        row: Option<&Sort>,
        (at, rest): (usize, &[usize]),
        offset: Option<usize>,
    ) {
        let (is_named, fields) = match row {
            Some(Sort::Record { name, fields }) => (!name.is_empty(), &fields[..]),
            Some(_) | None => (false, &[][..]),
        };
        self.text.push(if is_named { '{' } else { '(' });
        let shown = at.saturating_sub(BESIDE_MAX)..items.len().min(at + BESIDE_MAX + 1);
        if shown.start > 0 {
            self.text.push_str("…, ");
        }
        for (n, value) in items.iter().enumerate().take(shown.end).skip(shown.start) {
            if n > shown.start {
                self.text.push_str(", ");
            }
            let field = fields.get(n);
            if let Some((name, _)) = field.filter(|_| is_named) {
                self.push(format_args!("{}: ", line(name)));
            }
            let sort = field.map(|(_, sort)| *sort);
            match n == at {
                true => self.focus(value, sort, rest, offset),
                false => self.text.push_str(&show(value, sort, self.image, BESIDE)),
            }
        }
        if shown.end < items.len() {
            self.text.push_str(", …");
        }
        self.text.push(if is_named { '}' } else { ')' });
    }

    /// A text or bytes around an offset; any other value from its beginning.
    fn around(&mut self, value: &Value, sort: Option<SortId>, offset: usize) {
        match value {
            Value::Text(text) => {
                let before = text.get(..offset).unwrap_or_default();
                let start = before.char_indices().rev().nth(BEFORE - 1);
                let start = start.map_or(0, |(start, _)| start);
                let rest = text.get(offset..).unwrap_or_default();
                let end = rest.char_indices().nth(AFTER);
                let end = end.map_or(text.len(), |(end, _)| offset + end);
                self.text.push_str(if start > 0 { "…\"" } else { "\"" });
                let shown = text.get(start..end).unwrap_or_default();
                shown.chars().for_each(|c| self.character(c));
                self.cut_at(end, text.len());
            }
            Value::Bytes(bytes) => {
                let start = offset.saturating_sub(BEFORE).min(bytes.len());
                let end = bytes.len().min(offset.saturating_add(AFTER)).max(start);
                self.text.push_str(if start > 0 { "…b\"" } else { "b\"" });
                bytes[start..end].iter().for_each(|byte| self.byte(*byte));
                self.cut_at(end, bytes.len());
            }
            value => self
                .text
                .push_str(&show(value, sort, self.image, self.width)),
        }
    }

    fn cut_at(&mut self, end: usize, len: usize) {
        match len - end {
            0 => self.text.push('"'),
            left => self.push(format_args!("\"… {left} bytes more")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAT: SortId = SortId(0);
    const TEXT: SortId = SortId(1);
    const STREAM: SortId = SortId(3);
    const CHUNK: SortId = SortId(4);
    const LIST: SortId = SortId(5);
    const OPTION: SortId = SortId(6);

    fn image() -> CodeImage {
        CodeImage {
            sorts: vec![
                Sort::Nat,
                Sort::Text,
                Sort::Bytes,
                Sort::Enum {
                    name: "Stream".to_owned(),
                    variants: vec!["out".to_owned(), "err".to_owned()],
                },
                Sort::Record {
                    name: "Chunk".to_owned(),
                    fields: vec![
                        ("stream".to_owned(), STREAM),
                        ("data".to_owned(), SortId(2)),
                    ],
                },
                Sort::List(CHUNK),
                Sort::Option(TEXT),
            ],
            ..CodeImage::default()
        }
    }

    fn chunk(stream: u64, data: &[u8]) -> Value {
        Value::record(vec![Value::Nat(stream), Value::bytes(data)])
    }

    fn parts(left: &Value, right: &Value, sort: SortId) -> (String, Option<u64>, String, String) {
        let Excerpt {
            path,
            offset,
            left,
            right,
        } = excerpt(left, right, Some(sort), &image());
        (path, offset, left, right)
    }

    #[test]
    fn a_field_that_differs_is_named_and_shown() {
        let (path, offset, left, right) = parts(&chunk(0, b"x"), &chunk(1, b"x"), CHUNK);
        assert_eq!((path.as_str(), offset), (".stream", None));
        assert_eq!(left, "{stream: out, data: b\"x\"}");
        assert_eq!(right, "{stream: err, data: b\"x\"}");
    }

    #[test]
    fn bytes_are_cut_around_their_first_difference() {
        let (mut a, mut b) = (vec![b'a'; 5000], vec![b'a'; 5000]);
        (a[3000], b[3000]) = (b'L', 0);
        let (path, offset, left, right) = parts(&chunk(0, &a), &chunk(0, &b), CHUNK);
        assert_eq!((path.as_str(), offset), (".data", Some(3000)));
        assert!(left.contains("…b\"aaaaaaaaaaaaaaaaLaaa"), "{left}");
        assert!(right.contains("…b\"aaaaaaaaaaaaaaaa\\x00aaa"), "{right}");
        assert!(left.len() < 200, "{left}");
    }

    #[test]
    fn a_text_that_only_goes_on_differs_where_the_other_ends() {
        let text = "ü".repeat(100);
        let (path, offset, left, right) =
            parts(&Value::text(&text), &Value::text(&format!("{text}!")), TEXT);
        assert_eq!((path.as_str(), offset), ("", Some(200)));
        assert_eq!(left, format!("…\"{}\"", "ü".repeat(16)));
        assert_eq!(right, format!("…\"{}!\"", "ü".repeat(16)));
    }

    #[test]
    fn items_and_optional_values_are_gone_into() {
        let (a, b) = (chunk(0, b"x"), chunk(0, b"y"));
        let left = Value::list(vec![a.clone(), a.clone()]);
        let right = Value::list(vec![a.clone(), b]);
        let (path, _, left_text, _) = parts(&left, &right, LIST);
        assert_eq!(path, "[1].data");
        assert_eq!(left_text, "[…, {stream: out, data: b\"x\"}]");
        let (path, _, left_text, right_text) = parts(&left, &Value::list(vec![a]), LIST);
        assert_eq!(path, "[1]");
        assert_ne!(left_text, right_text);
        let some = |text| Value::option(Some(Value::text(text)));
        let (path, _, left, right) = parts(&some("ab"), &some("ac"), OPTION);
        assert_eq!((path.as_str(), left.as_str()), ("", "\"ab\""));
        assert_eq!(right, "\"ac\"");
        let (_, _, left, right) = parts(&some("ab"), &Value::option(None), OPTION);
        assert_eq!((left.as_str(), right.as_str()), ("\"ab\"", "none"));
    }

    #[test]
    fn values_without_a_sort_still_differ_as_text() {
        let deep = |inner: Value| (0..100).fold(inner, |value, _| Value::record(vec![value]));
        let (left, right) = (deep(Value::Nat(1)), deep(Value::Nat(2)));
        let shown = excerpt(&left, &right, None, &CodeImage::default());
        assert_ne!(shown.left, shown.right);
        let shown = excerpt(&Value::Nat(1), &Value::Int(1), Some(NAT), &image());
        assert_ne!(shown.left, shown.right);
    }
}
