//! Divides the text of a Lean file into code, comments and literals, so that code alone can be
//! searched for words.

use std::ops::Range;

/// The kind of a part of the text that is not code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A line comment, or a block comment with its nested comments. Doc strings are comments.
    Comment,
    /// A string or a character, with its quotes.
    Literal,
}

/// A text and the positions of its comments and literals, in order.
pub struct Source {
    text: String,
    spans: Vec<(Range<usize>, Kind)>,
}

impl Source {
    /// Reads a text. Any text is accepted.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut reader = Reader {
            text,
            at: 0,
            spans: Vec::new(),
        };
        reader.code(None);
        let spans = reader.spans;
        Self {
            text: text.to_owned(),
            spans,
        }
    }

    /// The text with comments and literals replaced by spaces. Lengths and lines stay the same.
    #[must_use]
    pub fn code(&self) -> String {
        self.without(|_| true)
    }

    /// The text with comments replaced by spaces. Lengths and lines stay the same.
    #[must_use]
    pub fn uncommented(&self) -> String {
        self.without(|kind| kind == Kind::Comment)
    }

    /// The last doc string that ends before `place`: the position of its end, and its text.
    #[must_use]
    pub fn doc_before(&self, place: usize) -> Option<(usize, &str)> {
        let mut docs = self.spans.iter().rev().filter_map(|(span, _)| {
            let doc = self.text[span.clone()].strip_prefix("/--")?;
            Some((span.end, doc.strip_suffix("-/")?))
        });
        docs.find(|(end, _)| *end <= place)
    }

    /// The number of the line of `place`, from 1.
    #[must_use]
    pub fn line(&self, place: usize) -> usize {
        self.text[..place].matches('\n').count() + 1
    }

    fn without(&self, left_out: impl Fn(Kind) -> bool) -> String {
        let mut bytes = self.text.clone().into_bytes();
        for (span, kind) in &self.spans {
            if left_out(*kind) {
                for byte in &mut bytes[span.clone()] {
                    if *byte != b'\n' {
                        *byte = b' ';
                    }
                }
            }
        }
        // All bytes of a character are replaced together, so the text stays valid UTF-8.
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A word or a symbol of the code, and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The position of its first byte.
    pub at: usize,
    /// The word or symbol.
    pub text: &'a str,
}

impl Token<'_> {
    /// Whether it is a name or a keyword; `A.b` is one name.
    #[must_use]
    pub fn is_word(&self) -> bool {
        self.text.starts_with(starts_word)
    }

    /// The position after its last byte.
    #[must_use]
    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// The words and symbols of code. A symbol is one character, except `:=` and symbols like `||` and
/// `<|`, because a single `:` or `|` has another meaning.
#[must_use]
pub fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let length = if starts_word(first) {
            word(rest)
        } else if rest.starts_with(":=") {
            2
        } else if rest.starts_with('|') || rest.starts_with("<|") {
            rest.find(|c| !matches!(c, '<' | '|' | '>'))
                .unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            let text = &rest[..length];
            found.push(Token { at, text });
        }
        at += length;
    }
    found
}

/// The prefixes of interpolated strings.
const INTERPOLATED: [&str; 5] = ["f!", "m!", "panic!", "println!", "s!"];

/// The length of the number at the start. A letter or a quote after it does not belong to it.
fn number(text: &str) -> usize {
    let digits = |from: usize, is_digit: fn(&char) -> bool| {
        let rest = text[from..].chars();
        from + rest.take_while(|c| is_digit(c) || *c == '_').count()
    };
    match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => digits(2, char::is_ascii_hexdigit),
        [b'0', b'b' | b'B' | b'o' | b'O', ..] => digits(2, char::is_ascii_digit),
        _ => {
            let whole = digits(0, char::is_ascii_digit);
            let exponent = text[whole..].strip_prefix(['e', 'E']);
            let unsigned = exponent.map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
            match unsigned.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
                Some(rest) => digits(text.len() - rest.len(), char::is_ascii_digit),
                None => whole,
            }
        }
    }
}

/// The length of the name at the start: parts separated by single dots, each plain or in `«»`.
fn word(text: &str) -> usize {
    let mut length = 0;
    loop {
        length += part(&text[length..]);
        let next = text[length..].strip_prefix('.');
        match next.and_then(|rest| rest.chars().next()) {
            Some(first) if starts_word(first) => length += 1,
            _ => return length,
        }
    }
}

fn part(text: &str) -> usize {
    if text.starts_with('«') {
        return text
            .find('»')
            .map_or(text.len(), |close| close + '»'.len_utf8());
    }
    text.find(|c| !continues_word(c)).unwrap_or(text.len())
}

fn starts_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '«'
}

fn continues_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '\'' | '!' | '?')
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    spans: Vec<(Range<usize>, Kind)>,
}

impl Reader<'_> {
    /// Reads code until the end, or until the `}` that ends a term in an interpolated string.
    fn code(&mut self, closing: Option<char>) {
        let mut depth = 0_usize;
        while let Some(next) = self.peek() {
            let rest = &self.text[self.at..];
            if rest.starts_with("--") {
                self.line_comment();
            } else if rest.starts_with("/-") {
                self.block_comment();
            } else if next == '"' {
                self.string(false);
            } else if next == '\'' {
                self.character();
            } else if next.is_ascii_digit() {
                self.at += number(rest);
            } else if starts_word(next) {
                self.word();
            } else {
                if closing == Some(next) && depth == 0 {
                    return;
                }
                depth = match next {
                    '{' => depth + 1,
                    '}' => depth.saturating_sub(1),
                    _ => depth,
                };
                self.at += next.len_utf8();
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn line_comment(&mut self) {
        let rest = &self.text[self.at..];
        let end = rest.find('\n').unwrap_or(rest.len());
        self.take(end, Kind::Comment);
    }

    /// Reads a block comment. In `/--/` the second `-` belongs to the opening of a doc string, and
    /// does not close it.
    fn block_comment(&mut self) {
        let rest = &self.text[self.at..];
        let is_doc = rest.starts_with("/--") || rest.starts_with("/-!");
        let mut depth = 1_usize;
        let mut at = if is_doc { 3 } else { 2 };
        while at < rest.len() {
            let here = &rest.as_bytes()[at..];
            if here.starts_with(b"/-") {
                depth += 1;
                at += 2;
            } else if here.starts_with(b"-/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    break;
                }
            } else {
                at += 1;
            }
        }
        self.take(at, Kind::Comment);
    }

    /// Reads a name with its dots. It may contain `'`, and may be the prefix of a string: `r"…"`,
    /// `r#"…"#`, `s!"…"`. After any other name, as in `xs.r"…"` or `get!"…"`, a string is an
    /// argument.
    fn word(&mut self) {
        let length = word(&self.text[self.at..]);
        let name = &self.text[self.at..self.at + length];
        self.at += length;
        let rest = &self.text[self.at..];
        if name == "r" {
            let fences = rest.bytes().take_while(|byte| *byte == b'#').count();
            if rest[fences..].starts_with('"') {
                self.raw_string(fences);
            }
        } else if INTERPOLATED.contains(&name) && rest.starts_with('"') {
            self.string(true);
        }
    }

    fn raw_string(&mut self, fences: usize) {
        let rest = &self.text[self.at..];
        let open = fences + 1;
        let close = format!("\"{}", "#".repeat(fences));
        let end = rest[open..]
            .find(&close)
            .map_or(rest.len(), |inside| open + inside + close.len());
        self.take(end, Kind::Literal);
    }

    /// Reads a string from its opening quote. In an interpolated string, text in braces is code.
    fn string(&mut self, interpolated: bool) {
        let mut start = self.at;
        self.at += 1;
        while let Some(next) = self.peek() {
            self.at += next.len_utf8();
            match next {
                '"' => break,
                '\\' => self.at += self.peek().map_or(0, char::len_utf8),
                '{' if interpolated => {
                    self.spans.push((start..self.at, Kind::Literal));
                    self.code(Some('}'));
                    start = self.at;
                }
                _ => {}
            }
        }
        self.spans.push((start..self.at, Kind::Literal));
    }

    /// Reads a character such as `'x'` or `'\u{41}'`. Any other quote is a symbol.
    fn character(&mut self) {
        let rest = &self.text[self.at + 1..];
        let inside = match rest.chars().next() {
            Some('\\') => rest[1..].chars().next().and_then(|escaped| {
                let from = 1 + escaped.len_utf8();
                rest[from..].find('\'').map(|close| from + close)
            }),
            Some(plain) => {
                let length = plain.len_utf8();
                rest[length..].starts_with('\'').then_some(length)
            }
            None => None,
        };
        match inside {
            Some(inside) => self.take(inside + 2, Kind::Literal),
            None => self.at += 1,
        }
    }

    fn take(&mut self, length: usize, kind: Kind) {
        let end = self.at + length;
        self.spans.push((self.at..end, kind));
        self.at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let code = Source::read(text).code();
        assert_eq!(code.len(), text.len());
        assert_eq!(code.lines().count(), text.lines().count());
        let tokens = tokens(&code);
        let words = tokens.iter().filter(|token| token.is_word());
        words.map(|token| token.text.to_owned()).collect()
    }

    #[test]
    fn block_comments_nest() {
        assert_eq!(words("a /- b /- c -/ d -/ e -- f\ng"), ["a", "e", "g"]);
        assert_eq!(words("a /-- b -- c -/ d"), ["a", "d"]);
        assert_eq!(words("a /-! b /-- c -/ -/ d"), ["a", "d"]);
        assert_eq!(words("a /- \" -/ b -- \"\nc"), ["a", "b", "c"]);
        assert_eq!(words("a /- never closed"), ["a"]);
        assert_eq!(words("a /--/ b \" -/ c /- \" -/ d"), ["a", "c", "d"]);
        assert_eq!(
            words("a /-!/ b \" -/ c /-!-/ d /-/ e -/ f"),
            ["a", "c", "d", "f"]
        );
    }

    #[test]
    fn a_literal_after_a_name_or_a_number_is_not_part_of_it() {
        assert_eq!(words(r#"a get!"{" b "}" c"#), ["a", "get!", "b", "c"]);
        assert_eq!(words(r#"a x.s!"{" b "}" c"#), ["a", "x.s!", "b", "c"]);
        assert_eq!(words(r#"a x.r"\"" b "c"#), ["a", "x.r", "b"]);
        assert_eq!(words(r#"f 1'"' b 1'"' c"#), ["f", "1", "b", "1", "c"]);
        assert_eq!(words(r#"1e5'"' b 0x1F'"' c"#), ["1e5", "b", "0x1F", "c"]);
        assert_eq!(words(r#"0r"\" b "c""#), ["0r", "b"]);
    }

    #[test]
    fn strings_are_not_searched_for_comments_and_words() {
        assert_eq!(words(r#"a "b -- c" d"#), ["a", "d"]);
        assert_eq!(words(r#"a "b \" /- c" d"#), ["a", "d"]);
        assert_eq!(words(r#"a "b \\" c"#), ["a", "c"]);
        assert_eq!(words(r#"a r"b \" c"#), ["a", "r", "c"]);
        assert_eq!(words(r##"a r#"b " c"# d"##), ["a", "r", "d"]);
        assert_eq!(words("a \"b\nc\" d"), ["a", "d"]);
    }

    #[test]
    fn text_in_braces_of_an_interpolated_string_is_code() {
        assert_eq!(words(r#"s!"a {b} c""#), ["s!", "b"]);
        assert_eq!(
            words(r#"s!"a {f {x := 1} "c}"} d" e"#),
            ["s!", "f", "x", "1", "e"]
        );
        assert_eq!(words(r#"s!"a \{b} c" d"#), ["s!", "d"]);
        assert_eq!(words(r#""a {b} c" d"#), ["d"]);
    }

    #[test]
    fn characters_are_literals_and_primes_belong_to_names() {
        assert_eq!(words("a '\"' b '\"' c"), ["a", "b", "c"]);
        assert_eq!(words(r"a '\'' b '\\' c '\x41' d"), ["a", "b", "c", "d"]);
        assert_eq!(words("x' y'' \"z\""), ["x'", "y''"]);
        assert_eq!(words("f '-' '-' b"), ["f", "b"]);
        assert_eq!(words("é 'é' b"), ["é", "b"]);
    }

    #[test]
    fn a_dotted_name_is_one_word() {
        assert_eq!(
            words("unsafeFoo partial_x A.b.«c d».e x.1"),
            ["unsafeFoo", "partial_x", "A.b.«c d».e", "x.1"]
        );
        assert_eq!(words("x. y ..z"), ["x", "y", "z"]);
    }

    #[test]
    fn the_last_doc_string_before_a_position_is_found() {
        let text = "/-- One. -/ a /- x -/ /-- Two. -/ b";
        let source = Source::read(text);
        let at = |word| text.find(word).expect("it is there");
        assert_eq!(source.doc_before(at("a ")), Some((11, " One. ")));
        assert_eq!(source.doc_before(text.len() - 1), Some((33, " Two. ")));
        assert_eq!(source.doc_before(0), None);
        assert_eq!(source.line(at("b")), 1);
    }
}
