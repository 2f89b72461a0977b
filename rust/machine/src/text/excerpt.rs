use super::printer::Line;
use super::{Printer, digests, line};
use crate::canonical::Canonical;
use crate::ids::SortId;
use crate::image::Sort;
use crate::value::Value;

/// Characters or bytes before a difference that an excerpt shows.
const BEFORE: usize = 16;

/// Characters or bytes that an excerpt shows from a difference on.
const AFTER: usize = 32;

/// Characters that an excerpt shows of a value that differs as a whole.
const WHOLE: usize = 72;

/// Characters that an excerpt shows of a field that does not differ.
const BESIDE: usize = 16;

/// Fields that an excerpt shows on each side of the field that differs.
const BESIDE_MAX: usize = 4;

/// Levels of a value that an excerpt enters. Sorts nest to 16, so a deeper value has no sort.
const DEPTH_MAX: usize = 32;

/// The first difference of two values, and both values cut around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The path from the value to the part that differs: `.field`, `.0` for a field without a
    /// name, `[3]` for an item of a list. Empty when the whole value differs.
    pub path: String,
    /// The first byte that differs, if texts or byte strings differ.
    pub offset: Option<u64>,
    /// The left value around the difference.
    pub left: String,
    /// The right value around the difference. Never equal to the text of the left value.
    pub right: String,
}

impl Printer<'_> {
    /// Finds the first difference of two values and prints both around it. Linear in the values.
    pub fn excerpt(&self, left: &Value, right: &Value, sort: Option<SortId>) -> Excerpt {
        let Path {
            steps,
            path,
            offset,
        } = Path::to_difference(left, right, sort, *self);
        let side = |value: &Value| {
            let mut out = Line::new(self.with_width(WHOLE));
            out.focus(value, sort, &steps, offset);
            out.text
        };
        let (mut left_text, mut right_text) = (side(left), side(right));
        if left_text == right_text {
            let hash = |value: &Value| *blake3::hash(&value.to_bytes()).as_bytes();
            let (left, right) = digests(&hash(left), &hash(right));
            left_text.push_str(&format!(", digest {left}"));
            right_text.push_str(&format!(", digest {right}"));
        }
        Excerpt {
            path,
            offset: offset.map(|offset| offset as u64),
            left: left_text,
            right: right_text,
        }
    }
}

/// The path to the first difference of two values.
#[derive(Default)]
struct Path {
    /// Positions in nested records and lists.
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
        printer: Printer<'_>,
    ) -> Path {
        let mut found = Path::default();
        while found.steps.len() < DEPTH_MAX {
            let row = printer.sort_row(sort);
            let (a, b) = match (left, right) {
                (Value::Record(a), Value::Record(b)) if a.len() == b.len() => (a, b),
                (Value::List(a), Value::List(b)) => (a, b),
                (Value::Text(a), Value::Text(b)) => {
                    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
                    found.offset = Some(same.map(|(c, _)| c.len_utf8()).sum());
                    break;
                }
                (Value::Bytes(a), Value::Bytes(b)) => {
                    found.offset = Some(a.iter().zip(b.iter()).take_while(|(a, b)| a == b).count());
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
                    found.path.push_str(&format!(".{}", line(name)));
                }
                (Value::Record(_), _) => found.path.push_str(&format!(".{at}")),
                _ if is_option => {}
                _ => found.path.push_str(&format!("[{at}]")),
            }
            found.steps.push(at);
            match (a.get(at), b.get(at)) {
                (Some(a), Some(b)) => (left, right) = (a, b),
                (Some(_), None) | (None, Some(_)) | (None, None) => break,
            }
        }
        found
    }
}

impl Line<'_> {
    /// The value: the part that differs around the difference, and the other parts cut.
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
        let row = self.printer.sort_row(sort);
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
            if n == at {
                self.focus(value, sort, rest, offset)
            } else {
                self.text
                    .push_str(&self.printer.with_width(BESIDE).value(value, sort))
            }
        }
        if shown.end < items.len() {
            self.text.push_str(", …");
        }
        self.text.push(if is_named { '}' } else { ')' });
    }

    /// Text or bytes around an offset; any other value from its start.
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
            value => self.text.push_str(&self.printer.value(value, sort)),
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
    use crate::image::CodeImage;

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
        } = Printer::new(&image()).excerpt(left, right, Some(sort));
        (path, offset, left, right)
    }

    #[test]
    fn shows_the_field_that_differs() {
        let (path, offset, left, right) = parts(&chunk(0, b"x"), &chunk(1, b"x"), CHUNK);
        assert_eq!((path.as_str(), offset), (".stream", None));
        assert_eq!(left, "{stream: out, data: b\"x\"}");
        assert_eq!(right, "{stream: err, data: b\"x\"}");
    }

    #[test]
    fn cuts_bytes_around_their_first_difference() {
        let (mut a, mut b) = (vec![b'a'; 5000], vec![b'a'; 5000]);
        (a[3000], b[3000]) = (b'L', 0);
        let (path, offset, left, right) = parts(&chunk(0, &a), &chunk(0, &b), CHUNK);
        assert_eq!((path.as_str(), offset), (".data", Some(3000)));
        assert!(left.contains("…b\"aaaaaaaaaaaaaaaaLaaa"), "{left}");
        assert!(right.contains("…b\"aaaaaaaaaaaaaaaa\\x00aaa"), "{right}");
        assert!(left.len() < 200, "{left}");
    }

    #[test]
    fn a_longer_text_differs_at_the_end_of_the_shorter_one() {
        let text = "ü".repeat(100);
        let (path, offset, left, right) =
            parts(&Value::text(&text), &Value::text(&format!("{text}!")), TEXT);
        assert_eq!((path.as_str(), offset), ("", Some(200)));
        assert_eq!(left, format!("…\"{}\"", "ü".repeat(16)));
        assert_eq!(right, format!("…\"{}!\"", "ü".repeat(16)));
    }

    #[test]
    fn enters_lists_and_optional_values() {
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
    fn the_texts_of_unequal_values_differ_without_a_sort() {
        let deep = |inner: Value| (0..100).fold(inner, |value, _| Value::record(vec![value]));
        let (left, right) = (deep(Value::Nat(1)), deep(Value::Nat(2)));
        let shown = Printer::of(None).excerpt(&left, &right, None);
        assert_ne!(shown.left, shown.right);
        let shown = Printer::new(&image()).excerpt(&Value::Nat(1), &Value::Int(1), Some(NAT));
        assert_ne!(shown.left, shown.right);
    }
}
