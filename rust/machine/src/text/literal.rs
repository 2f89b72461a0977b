//! The reader of values: a text becomes a literal, and a literal with a sort a value.

use super::{Printer, line};
use crate::bounds::SORT_DEPTH_MAX;
use crate::ids::SortId;
use crate::image::{CodeImage, Sort};
use crate::value::Value;

/// How deep a literal may nest. Values nest as deep as sorts do; the double leaves room for
/// literals whose error is better reported as an error of their sort.
const DEPTH_MAX: u32 = 2 * SORT_DEPTH_MAX;

/// Whether the name can be read as a word: letters, digits, `_`, `.` and `'`, not starting with a
/// digit.
pub(super) fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(is_inside_word)
}

fn is_inside_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '\'')
}

/// The word for an absent optional value.
pub(super) const NONE: &str = "none";

/// The start of a present optional value. A variant may also be named `some`, but no parenthesis
/// follows a variant.
pub(super) const SOME: &str = "some(";

/// A literal whose sort is not yet known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A bare word: a truth value, a variant, a label, or `none`.
    Word(String),
    /// A whole number.
    Number(i128),
    /// Text in quotes.
    Text(String),
    /// Bytes in quotes after a `b`.
    Bytes(Vec<u8>),
    /// Items in brackets.
    List(Vec<Literal>),
    /// Named fields in braces, in the order of the text.
    Record(Vec<(String, Literal)>),
    /// Unnamed fields in parentheses. Without fields it is the unit value.
    Tuple(Vec<Literal>),
    /// A present optional value, `some(item)`.
    Some(Box<Literal>),
}

/// A syntax error and its place in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The byte offset in the line.
    pub at: usize,
    /// The expected text.
    pub expected: &'static str,
}

/// Why a literal is not a value of a sort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The literal has another form, or is a number outside the sort's range.
    #[error("expected {expected}, got {got}")]
    Form {
        /// The sort, in quotes.
        expected: String,
        /// The form of the literal.
        got: String,
    },
    /// A record literal has a field that the sort does not have.
    #[error("`{sort}` has no field `{field}`; it has {known}")]
    NoSuchField {
        /// The sort.
        sort: String,
        /// The field's name.
        field: String,
        /// The names of the sort's fields, in quotes.
        known: String,
    },
    /// A record literal has no value for a field that is not optional.
    #[error("field `{field}` of `{sort}` is missing")]
    FieldMissing {
        /// The sort.
        sort: String,
        /// The field's name.
        field: String,
    },
    /// A record literal has a field twice.
    #[error("field `{field}` is given twice")]
    FieldTwice {
        /// The field's name.
        field: String,
    },
    /// A word is not one of the sort's variants or labels.
    #[error("`{word}` is none of {known}")]
    NoSuchWord {
        /// The word.
        word: String,
        /// The sort's variants or labels, in quotes.
        known: String,
    },
}

/// A position in a line.
#[derive(Clone, Debug)]
pub struct Cursor<'t> {
    line: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    /// The start of a line, after its blanks.
    pub fn new(line: &'t str) -> Cursor<'t> {
        let mut cursor = Cursor { line, at: 0 };
        cursor.skip_blank();
        cursor
    }

    /// The byte offset of the position.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether only a comment is left.
    pub fn is_done(&self) -> bool {
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
    ///
    /// # Errors
    /// The position and `expected`, unless a name is next.
    pub fn word(&mut self, expected: &'static str) -> Result<&'t str, ParseError> {
        let rest = self.rest();
        let end = rest.find(|c| !is_inside_word(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        if !is_word(word) {
            return self.fail(expected);
        }
        self.at += end;
        self.skip_blank();
        Ok(word)
    }

    /// Takes a whole number without a sign.
    ///
    /// # Errors
    /// The position and `expected`, unless a number that fits in 64 bits is next.
    pub fn count(&mut self, expected: &'static str) -> Result<u64, ParseError> {
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
    ///
    /// # Errors
    /// The first position at which the text is not a literal, or nests too deep.
    pub fn literal(&mut self) -> Result<Literal, ParseError> {
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
            Some('s') if rest.starts_with(SOME) => self.some(depth),
            Some(_) | None => self
                .word("a value")
                .map(|word| Literal::Word(word.to_owned())),
        }
    }

    fn some(&mut self, depth: u32) -> Result<Literal, ParseError> {
        self.at += SOME.len();
        self.skip_blank();
        let item = self.literal_at(depth + 1)?;
        if self.take(')') {
            Ok(Literal::Some(Box::new(item)))
        } else {
            self.fail("`)`")
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
    /// Converts the literal to a value of that sort. The fields of a named record can also be given
    /// without their names. A variant or a label whose name is not a word is given by its number.
    ///
    /// # Errors
    /// When the literal is not a value of the sort, or the image does not have the sort.
    pub fn value(&self, sort: SortId, image: &CodeImage) -> Result<Value, ConvertError> {
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
            (Sort::Option(_), Literal::Word(word)) if word == NONE => Value::option(None),
            // In a verified image a sort contains only earlier ones. Any other is not followed, so
            // that the conversion ends.
            (Sort::Option(item), literal) if *item < sort => {
                let item_literal = match literal {
                    Literal::Some(inner) => inner,
                    literal => literal,
                };
                Value::option(Some(item_literal.value(*item, image)?))
            }
            (Sort::Record { name, fields }, Literal::Record(given)) => {
                record(name, fields, given, image)?
            }
            (Sort::Record { fields, .. }, Literal::Tuple(given)) if given.len() == fields.len() => {
                let pairs = given.iter().zip(fields);
                let items = pairs.map(|(literal, (_, sort))| literal.value(*sort, image));
                Value::record(items.collect::<Result<_, _>>()?)
            }
            (Sort::Enum { .. } | Sort::Arm(_), literal) => literal.choice(kind, sort, image)?,
            (
                Sort::Unit
                | Sort::Bool
                | Sort::Nat
                | Sort::Int
                | Sort::Text
                | Sort::Bytes
                | Sort::Foreign { .. }
                | Sort::List(_)
                | Sort::Option(_)
                | Sort::Record { .. },
                _,
            ) => return Err(self.form_error(sort, image)),
        };
        Ok(value)
    }

    /// Converts a word to a variant or a label, or a number to one whose name is not a word.
    fn choice(&self, kind: &Sort, sort: SortId, image: &CodeImage) -> Result<Value, ConvertError> {
        let choices: Vec<(u64, &str)> = match kind {
            Sort::Enum { variants, .. } => {
                let names = variants.iter().map(String::as_str);
                (0u64..).zip(names).collect()
            }
            Sort::Arm(labels) => {
                let labels = labels.iter();
                let named = labels.filter_map(|label| {
                    let name = image.labels.get(label.index())?;
                    Some((u64::from(label.0), name.as_str()))
                });
                named.collect()
            }
            Sort::Unit
            | Sort::Bool
            | Sort::Nat
            | Sort::Int
            | Sort::Text
            | Sort::Bytes
            | Sort::List(_)
            | Sort::Option(_)
            | Sort::Record { .. }
            | Sort::Foreign { .. } => Vec::new(),
        };
        let mut found = choices.iter().filter(|(n, name)| match self {
            Literal::Word(word) => word == name,
            Literal::Number(number) => i128::from(*n) == *number && !is_word(name),
            _ => false,
        });
        match (found.next(), self) {
            (Some((n, _)), _) => Ok(Value::Nat(*n)),
            (None, Literal::Word(word)) => {
                let known = choices.iter().map(|(_, name)| format!("`{name}`"));
                Err(ConvertError::NoSuchWord {
                    word: line(word),
                    known: known.collect::<Vec<_>>().join(", "),
                })
            }
            (None, _) => Err(self.form_error(sort, image)),
        }
    }

    fn form_error(&self, sort: SortId, image: &CodeImage) -> ConvertError {
        let got = match self {
            Literal::Word(word) => format!("the word `{}`", line(word)),
            Literal::Number(number) => format!("the number `{number}`"),
            Literal::Text(_) => "text".to_owned(),
            Literal::Bytes(_) => "bytes".to_owned(),
            Literal::List(_) => "a list".to_owned(),
            Literal::Record(_) => "a record".to_owned(),
            Literal::Tuple(items) if items.is_empty() => "`()`".to_owned(),
            Literal::Tuple(items) => format!("a list of {} fields", items.len()),
            Literal::Some(_) => "`some(...)`".to_owned(),
        };
        ConvertError::Form {
            expected: format!("`{}`", Printer::new(image).sort(sort)),
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
