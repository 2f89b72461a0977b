//! Values as text, in scripts and in timelines. Both have one syntax, so a value in a timeline can
//! be copied into a script.
//!
//! `()`, `true`, `7`, `-7`, `"text"`, `b"bytes\x00"`, `[a, b]`, `{field: a, other: b}`, `(a, b)`
//! for the fields of an unnamed payload list, a bare word for a variant, `none` for an absent
//! optional value.

use antiphon_machine::{CodeImage, Sort, SortId, Value};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::filter;

pub(crate) use antiphon_record::text::show;

/// How deep a literal may nest. Sorts nest to a depth of 16, so a deeper literal has no sort.
const DEPTH_MAX: u32 = 32;

/// A literal whose sort is not yet known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    Word(String),
    Number(i128),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Literal>),
    Record(Vec<(String, Literal)>),
    Tuple(Vec<Literal>),
}

/// A syntax error: what was expected, and at which byte of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

/// Why a literal is not a value of a sort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConvertError {
    #[error("expected {expected}, got {got}")]
    Form { expected: String, got: String },
    #[error("`{sort}` has no field `{field}`; it has {known}")]
    NoSuchField {
        sort: String,
        field: String,
        known: String,
    },
    #[error("field `{field}` of `{sort}` is missing")]
    FieldMissing { sort: String, field: String },
    #[error("field `{field}` is given twice")]
    FieldTwice { field: String },
    #[error("`{word}` is none of {known}")]
    NoSuchWord { word: String, known: String },
}

/// A position in a line.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'t> {
    line: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(line: &'t str) -> Cursor<'t> {
        let mut cursor = Cursor { line, at: 0 };
        cursor.skip_blank();
        cursor
    }

    /// The byte offset of the position.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Whether only a comment is left.
    pub(crate) fn is_done(&self) -> bool {
        self.rest().is_empty() || self.rest().starts_with('#')
    }

    fn rest(&self) -> &'t str {
        &self.line[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, ParseError> {
        Err(ParseError {
            at: self.at,
            expected,
        })
    }

    /// Takes this character and the blanks after it, if it is next.
    fn take(&mut self, c: char) -> bool {
        let taken = self.rest().starts_with(c);
        if taken {
            self.at += c.len_utf8();
            self.skip_blank();
        }
        taken
    }

    /// Takes a name: letters, digits and `_`, not starting with a digit, possibly with dots between
    /// names.
    pub(crate) fn word(&mut self, expected: &'static str) -> Result<&'t str, ParseError> {
        let rest = self.rest();
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '\'');
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        if !word.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return self.fail(expected);
        }
        self.at += end;
        self.skip_blank();
        Ok(word)
    }

    /// Takes a whole number without a sign.
    pub(crate) fn count(&mut self, expected: &'static str) -> Result<u64, ParseError> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        match rest[..end].parse() {
            Ok(count) => {
                self.at += end;
                self.skip_blank();
                Ok(count)
            }
            Err(_) => self.fail(expected),
        }
    }

    /// Takes a literal.
    pub(crate) fn literal(&mut self) -> Result<Literal, ParseError> {
        self.literal_at(0)
    }

    fn literal_at(&mut self, depth: u32) -> Result<Literal, ParseError> {
        if depth == DEPTH_MAX {
            return self.fail("a value that nests less deep");
        }
        let rest = self.rest();
        match self.peek() {
            Some('"') => self
                .quoted(false)
                .map(|bytes| Literal::Text(String::from_utf8_lossy(&bytes).into_owned())),
            Some('b') if rest.starts_with("b\"") => {
                self.at += 1;
                self.quoted(true).map(Literal::Bytes)
            }
            Some('[') => self.items('[', ']', depth).map(Literal::List),
            Some('(') => self.items('(', ')', depth).map(Literal::Tuple),
            Some('{') => self.fields(depth),
            Some(c) if c.is_ascii_digit() || c == '-' => self.number(),
            Some(_) | None => self
                .word("a value")
                .map(|word| Literal::Word(word.to_owned())),
        }
    }

    fn number(&mut self) -> Result<Literal, ParseError> {
        let rest = self.rest();
        let digits = |c: char| c.is_ascii_digit() || c == '-';
        let end = rest.find(|c| !digits(c)).unwrap_or(rest.len());
        let Ok(number) = rest[..end].parse() else {
            return self.fail("a whole number of at most 64 bits");
        };
        self.at += end;
        self.skip_blank();
        Ok(Literal::Number(number))
    }

    fn items(&mut self, open: char, close: char, depth: u32) -> Result<Vec<Literal>, ParseError> {
        self.take(open);
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.literal_at(depth + 1)?);
            if !self.take(',') {
                if self.take(close) {
                    break;
                }
                return self.fail("`,` or the end of the list");
            }
        }
        Ok(items)
    }

    fn fields(&mut self, depth: u32) -> Result<Literal, ParseError> {
        self.take('{');
        let mut fields = Vec::new();
        while !self.take('}') {
            let name = self.word("the name of a field")?.to_owned();
            if !self.take(':') {
                return self.fail("`:`");
            }
            fields.push((name, self.literal_at(depth + 1)?));
            if !self.take(',') {
                if self.take('}') {
                    break;
                }
                return self.fail("`,` or `}`");
            }
        }
        Ok(Literal::Record(fields))
    }

    /// Returns the content of a quoted literal. `\xNN` is a byte and is allowed only in bytes.
    fn quoted(&mut self, bytes: bool) -> Result<Vec<u8>, ParseError> {
        self.at += 1;
        let mut content = Vec::new();
        while let Some(c) = self.peek() {
            let start = self.at;
            self.at += c.len_utf8();
            match c {
                '"' => {
                    self.skip_blank();
                    return Ok(content);
                }
                '\\' => self.escape(start, bytes, &mut content)?,
                c => content.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        self.fail("`\"`")
    }

    fn escape(
        &mut self,
        start: usize,
        bytes: bool,
        content: &mut Vec<u8>,
    ) -> Result<(), ParseError> {
        let error = ParseError {
            at: start,
            expected: r#"`\n`, `\r`, `\t`, `\\`, `\"`, `\u{...}` or, in bytes, `\xNN`"#,
        };
        let rest = self.rest();
        let simple = match self.peek() {
            Some('n') => Some(b'\n'),
            Some('r') => Some(b'\r'),
            Some('t') => Some(b'\t'),
            Some('\\') => Some(b'\\'),
            Some('"') => Some(b'"'),
            Some(_) | None => None,
        };
        if let Some(byte) = simple {
            self.at += 1;
            content.push(byte);
            return Ok(());
        }
        if let Some(digits) = rest
            .strip_prefix("u{")
            .and_then(|rest| rest.split('}').next())
        {
            let c = u32::from_str_radix(digits, 16)
                .ok()
                .and_then(char::from_u32);
            let c = c.filter(|_| rest.len() > digits.len() + 2).ok_or(error)?;
            self.at += digits.len() + 3;
            content.extend(c.encode_utf8(&mut [0; 4]).bytes());
            return Ok(());
        }
        let digits = rest
            .strip_prefix('x')
            .and_then(|rest| rest.get(..2))
            .filter(|_| bytes);
        let byte = digits
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or(error)?;
        self.at += 3;
        content.push(byte);
        Ok(())
    }
}

impl Literal {
    /// Converts the literal to a value of that sort.
    pub(crate) fn value(&self, sort: SortId, image: &CodeImage) -> Result<Value, ConvertError> {
        let Some(kind) = image.sorts.get(sort.index()) else {
            return Err(self.form_error(sort, image));
        };
        let value = match (kind, self) {
            (Sort::Unit, Literal::Tuple(items)) if items.is_empty() => Value::Unit,
            (Sort::Bool, Literal::Word(word)) if word == "true" => Value::Bool(true),
            (Sort::Bool, Literal::Word(word)) if word == "false" => Value::Bool(false),
            (Sort::Nat, Literal::Number(n)) => match u64::try_from(*n) {
                Ok(n) => Value::Nat(n),
                Err(_) => return Err(self.form_error(sort, image)),
            },
            (Sort::Int, Literal::Number(n)) => match i64::try_from(*n) {
                Ok(n) => Value::Int(n),
                Err(_) => return Err(self.form_error(sort, image)),
            },
            (Sort::Text, Literal::Text(text)) => Value::text(text),
            (Sort::Bytes | Sort::Foreign { .. }, Literal::Bytes(bytes)) => Value::bytes(bytes),
            (Sort::List(item), Literal::List(items)) => {
                let items = items.iter().map(|i| i.value(*item, image));
                Value::list(items.collect::<Result<_, _>>()?)
            }
            (Sort::Option(_), Literal::Word(word)) if word == "none" => Value::option(None),
            (Sort::Option(item), literal) => Value::option(Some(literal.value(*item, image)?)),
            (Sort::Record { name, fields }, Literal::Record(given)) => {
                record(name, fields, given, image)?
            }
            (Sort::Record { fields, .. }, Literal::Tuple(given)) if given.len() == fields.len() => {
                let pairs = given.iter().zip(fields);
                let items = pairs.map(|(literal, (_, sort))| literal.value(*sort, image));
                Value::record(items.collect::<Result<_, _>>()?)
            }
            (Sort::Enum { variants, .. }, Literal::Word(word)) => {
                position(word, variants.iter().map(String::as_str))?
            }
            (Sort::Arm(labels), Literal::Word(word)) => {
                let names = labels.iter().filter_map(|l| image.labels.get(l.index()));
                let Value::Nat(row) = position(word, names.map(String::as_str))? else {
                    return Err(self.form_error(sort, image));
                };
                Value::Nat(labels.get(row as usize).map_or(0, |l| u64::from(l.0)))
            }
            (
                Sort::Unit
                | Sort::Bool
                | Sort::Nat
                | Sort::Int
                | Sort::Text
                | Sort::Bytes
                | Sort::Foreign { .. }
                | Sort::List(_)
                | Sort::Record { .. }
                | Sort::Enum { .. }
                | Sort::Arm(_),
                _,
            ) => return Err(self.form_error(sort, image)),
        };
        Ok(value)
    }

    fn form_error(&self, sort: SortId, image: &CodeImage) -> ConvertError {
        let got = match self {
            Literal::Word(word) => format!("the word `{}`", filter::line(word)),
            Literal::Number(number) => format!("the number `{number}`"),
            Literal::Text(_) => "text".to_owned(),
            Literal::Bytes(_) => "bytes".to_owned(),
            Literal::List(_) => "a list".to_owned(),
            Literal::Record(_) => "a record".to_owned(),
            Literal::Tuple(items) if items.is_empty() => "`()`".to_owned(),
            Literal::Tuple(items) => format!("a list of {} fields", items.len()),
        };
        ConvertError::Form {
            expected: format!("`{}`", sort_name(sort, image)),
            got,
        }
    }
}

fn record(
    name: &str,
    fields: &[(String, SortId)],
    given: &[(String, Literal)],
    image: &CodeImage,
) -> Result<Value, ConvertError> {
    let sort = || {
        if name.is_empty() {
            "the payload".to_owned()
        } else {
            name.to_owned()
        }
    };
    for (n, (field, _)) in given.iter().enumerate() {
        if given[..n].iter().any(|(earlier, _)| earlier == field) {
            return Err(ConvertError::FieldTwice {
                field: field.clone(),
            });
        }
        if !fields.iter().any(|(known, _)| known == field) {
            let known = fields.iter().map(|(known, _)| format!("`{known}`"));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(ConvertError::NoSuchField {
                sort: sort(),
                field: field.clone(),
                known,
            });
        }
    }
    let mut values = Vec::with_capacity(fields.len());
    for (field, field_sort) in fields {
        let optional = matches!(image.sorts.get(field_sort.index()), Some(Sort::Option(_)));
        match given.iter().find(|(name, _)| name == field) {
            Some((_, literal)) => values.push(literal.value(*field_sort, image)?),
            None if optional => values.push(Value::option(None)),
            None => {
                return Err(ConvertError::FieldMissing {
                    sort: sort(),
                    field: field.clone(),
                });
            }
        }
    }
    Ok(Value::record(values))
}

fn position<'n>(
    word: &str,
    names: impl Iterator<Item = &'n str> + Clone,
) -> Result<Value, ConvertError> {
    match names.clone().position(|name| name == word) {
        Some(row) => Ok(Value::Nat(row as u64)),
        None => {
            let known = names
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ");
            Err(ConvertError::NoSuchWord {
                word: filter::line(word),
                known,
            })
        }
    }
}

/// A sort in the syntax of protocols.
pub(crate) fn sort_name(sort: SortId, image: &CodeImage) -> String {
    let Some(kind) = image.sorts.get(sort.index()) else {
        return format!("sort {sort}");
    };
    match kind {
        Sort::Unit => "Unit".to_owned(),
        Sort::Bool => "Bool".to_owned(),
        Sort::Nat => "Nat".to_owned(),
        Sort::Int => "Int".to_owned(),
        Sort::Text => "Text".to_owned(),
        Sort::Bytes => "Bytes".to_owned(),
        // A sort refers only to sorts before it; any other reference is not followed.
        Sort::List(item) if item < &sort => format!("[{}]", sort_name(*item, image)),
        Sort::Option(item) if item < &sort => format!("{}?", sort_name(*item, image)),
        Sort::List(item) | Sort::Option(item) => format!("sort {item}"),
        Sort::Record { name, fields } if name.is_empty() => {
            let earlier = fields.iter().filter(|(_, field)| field < &sort);
            let fields = earlier
                .map(|(_, field)| sort_name(*field, image))
                .collect::<Vec<_>>();
            format!("({})", fields.join(", "))
        }
        Sort::Record { name, .. } | Sort::Enum { name, .. } | Sort::Foreign { name } => {
            filter::line(name)
        }
        Sort::Arm(labels) => {
            let names = labels
                .iter()
                .filter_map(|label| image.labels.get(label.index()));
            names
                .map(|name| filter::line(name))
                .collect::<Vec<_>>()
                .join(" | ")
        }
    }
}

/// A value as JSON: texts and numbers as they are, bytes in base64, fields and variants by name.
pub(crate) fn json(
    value: &Value,
    sort: Option<SortId>,
    image: Option<&CodeImage>,
) -> serde_json::Value {
    use serde_json::json;
    let row = sort.and_then(|sort| image?.sorts.get(sort.index()));
    let each = |items: &[Value], sort: Option<SortId>| {
        items.iter().map(|item| json(item, sort, image)).collect()
    };
    match (value, row) {
        (Value::Unit, _) => serde_json::Value::Null,
        (Value::Bool(b), _) => json!(b),
        (Value::Nat(n), Some(Sort::Enum { variants, .. })) => match variants.get(*n as usize) {
            Some(name) => json!(name),
            None => json!(n),
        },
        (Value::Nat(n), Some(Sort::Arm(_))) => {
            match image.and_then(|image| image.labels.get(*n as usize)) {
                Some(name) => json!(name),
                None => json!(n),
            }
        }
        (Value::Nat(n), _) => json!(n),
        (Value::Int(n), _) => json!(n),
        (Value::Text(text), _) => json!(&**text),
        (Value::Bytes(bytes), _) => json!({ "base64": BASE64_STANDARD.encode(&**bytes) }),
        (Value::List(items), Some(Sort::Option(item))) => match items.first() {
            Some(value) => json(value, Some(*item), image),
            None => serde_json::Value::Null,
        },
        (Value::List(items), Some(Sort::List(item))) => each(items, Some(*item)),
        (Value::List(items), _) => each(items, None),
        (Value::Record(items), Some(Sort::Record { name, fields })) if !name.is_empty() => {
            let fields = fields.iter().zip(items.iter());
            let fields = fields
                .map(|((field, sort), value)| (field.clone(), json(value, Some(*sort), image)));
            serde_json::Value::Object(fields.collect())
        }
        (Value::Record(items), Some(Sort::Record { fields, .. })) => {
            let fields = fields.iter().zip(items.iter());
            fields
                .map(|((_, sort), value)| json(value, Some(*sort), image))
                .collect()
        }
        (Value::Record(items), _) => each(items, None),
        (Value::Endpoint(role), _) => json!({ "endpoint": role.0 }),
        (Value::Evidence(number), _) => json!({ "witness": number }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> CodeImage {
        let nat = SortId(1);
        CodeImage {
            labels: vec!["ok".to_owned(), "quit".to_owned()],
            sorts: vec![
                Sort::Unit,
                Sort::Nat,
                Sort::Text,
                Sort::Bytes,
                Sort::List(nat),
                Sort::Option(nat),
                Sort::Enum {
                    name: "Stream".to_owned(),
                    variants: vec!["out".to_owned(), "err".to_owned()],
                },
                Sort::Record {
                    name: "Chunk".to_owned(),
                    fields: vec![
                        ("stream".to_owned(), SortId(6)),
                        ("len".to_owned(), SortId(5)),
                    ],
                },
                Sort::Record {
                    name: String::new(),
                    fields: vec![(String::new(), nat), (String::new(), SortId(2))],
                },
                Sort::Int,
                Sort::Bool,
            ],
            ..CodeImage::default()
        }
    }

    fn read(text: &str, sort: u16) -> Result<Value, String> {
        let mut cursor = Cursor::new(text);
        let literal = cursor
            .literal()
            .map_err(|u| format!("{}: expected {}", u.at, u.expected))?;
        assert!(cursor.is_done(), "`{}` is left", cursor.rest());
        literal
            .value(SortId(sort), &image())
            .map_err(|m| m.to_string())
    }

    #[test]
    fn shown_values_parse_back() {
        for (text, sort) in [
            ("()", 0),
            ("18446744073709551615", 1),
            (r#""a \"b\" \\ \n\t\u{1b}\u{202e} ü""#, 2),
            (r#"b"\x00\xff \"a\" \\ \n""#, 3),
            ("[1, 2, 3]", 4),
            ("[]", 4),
            ("none", 5),
            ("7", 5),
            ("err", 6),
            ("{stream: out, len: none}", 7),
            (r#"(7, "x")"#, 8),
            ("-9223372036854775808", 9),
            ("true", 10),
        ] {
            let value = read(text, sort).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
            assert!(value.is_of(SortId(sort), &image().sorts), "{text}");
            assert_eq!(show(&value, Some(SortId(sort)), &image(), 1000), text);
        }
    }

    #[test]
    fn reports_every_error() {
        for (text, sort, expected) in [
            ("-1", 1, "expected `Nat`, got the number `-1`"),
            ("\"x\"", 1, "expected `Nat`, got text"),
            ("both", 6, "`both` is none of `out`, `err`"),
            (
                "{stream: out, size: 1}",
                7,
                "`Chunk` has no field `size`; it has `stream`, `len`",
            ),
            ("{len: 1}", 7, "field `stream` of `Chunk` is missing"),
            (
                "{stream: out, stream: err}",
                7,
                "field `stream` is given twice",
            ),
            ("(7)", 8, "expected `(Nat, Text)`, got a list of 1 fields"),
            ("[1, [2]]", 4, "expected `Nat`, got a list"),
            ("\"abc", 2, "4: expected `\"`"),
            ("[1 2]", 4, "3: expected `,` or the end of the list"),
            (
                "99999999999999999999",
                1,
                "expected `Nat`, got the number `99999999999999999999`",
            ),
        ] {
            assert_eq!(read(text, sort), Err(expected.to_owned()), "{text}");
        }
        let message = read(r#""\x41""#, 2).expect_err("a byte is no text");
        assert!(message.starts_with("1: "), "{message}");
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let deep = "[".repeat(100_000);
        assert!(Cursor::new(&deep).literal().is_err());
    }

    #[test]
    fn long_values_are_cut_and_counted() {
        let value = Value::bytes(&[b'a'; 1000]);
        let text = show(&value, Some(SortId(3)), &image(), 16);
        assert_eq!(text, "b\"aaaaaaaaaaaaaa\"… 986 bytes more");
        let value = Value::list((0..100).map(Value::Nat).collect());
        assert_eq!(
            show(&value, Some(SortId(4)), &image(), 10),
            "[0, 1, 2, … 97 more]"
        );
    }
}
