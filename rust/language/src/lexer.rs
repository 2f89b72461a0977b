//! Splits a text into tokens. Comments are kept separately: the grammar ignores them, but the
//! formatter needs them.

use logos::{Lexer, Logos};

use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::source::{FileId, Span};

/// The kinds of tokens.
///
/// All words are one kind. Identifiers may begin with a digit (`1(int) from A to B;` is a message),
/// and most keywords that this language adds must stay usable as names in files of the base
/// language, so the parser recognises keywords by position.
#[derive(Logos, Clone, Copy, Debug, PartialEq, Eq)]
#[logos(skip r"[ \t\r\n\x0C\u{FEFF}]+")]
pub(crate) enum Kind {
    #[regex(r"[A-Za-z0-9_][A-Za-z0-9_']*")]
    Word,
    #[regex(r#""[^"\n]*""#)]
    Text,
    #[regex(r#""[^"\n]*"#)]
    OpenText,
    #[token(",")]
    Comma,
    #[token(";")]
    Semicolon,
    #[token(":")]
    Colon,
    #[token(".")]
    Dot,
    #[token("?")]
    Question,
    #[token("=")]
    Equal,
    #[token("@")]
    At,
    #[token("->")]
    Arrow,
    #[token("-")]
    Minus,
    #[token("<")]
    Less,
    #[token(">")]
    Greater,
    #[token("(")]
    OpenRound,
    #[token(")")]
    CloseRound,
    #[token("[")]
    OpenSquare,
    #[token("]")]
    CloseSquare,
    #[token("{")]
    OpenCurly,
    #[token("}")]
    CloseCurly,
    /// An operator of refinement expressions, which are recognised only to be rejected.
    #[regex(r"[+*/!]|&&|\|\||<>|<=|>=")]
    Operator,
    #[regex(r"//[^\n]*", allow_greedy = true)]
    #[regex(r"\(\*\)[^\n]*", allow_greedy = true)]
    #[token("/*", block_comment)]
    #[token("(*", nested_comment)]
    Comment,
    /// An unclosed comment, which extends to the end of the text.
    OpenComment,
    /// The end of the text, appended after the last token. The lexer itself never returns it.
    End,
}

/// A token's kind and span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// The tokens of a text, ending with [`Kind::End`], and its comments.
pub(crate) struct Tokens {
    pub(crate) tokens: Vec<Token>,
    pub(crate) comments: Vec<Span>,
}

/// Splits a text into tokens. Linear in its length.
///
/// The text must not be longer than [`SOURCE_LEN_MAX`](crate::source::SOURCE_LEN_MAX).
pub(crate) fn lex(file: FileId, text: &str, findings: &mut Findings) -> Tokens {
    let mut lexed = Tokens {
        tokens: Vec::new(),
        comments: Vec::new(),
    };
    let mut unknown: Option<Span> = None;
    for (kind, range) in Kind::lexer(text).spanned() {
        let span = Span {
            file,
            start: range.start as u32,
            end: range.end as u32,
        };
        let Ok(kind) = kind else {
            unknown = Some(unknown.map_or(span, |first| extend(first, span, text, findings)));
            continue;
        };
        match kind {
            Kind::Comment => lexed.comments.push(span),
            Kind::OpenComment => findings.push(
                Diagnostic::new(Code::OpenComment, span, "this comment is not closed")
                    .label("the comment extends to the end of the text"),
            ),
            Kind::OpenText => {
                let message = "this string is not closed on its line";
                findings.push(Diagnostic::new(Code::OpenString, span, message));
                lexed.tokens.push(Token {
                    kind: Kind::Text,
                    span,
                });
            }
            _ => lexed.tokens.push(Token { kind, span }),
        }
    }
    if let Some(span) = unknown {
        report_unknown(span, text, findings);
    }
    let end = text.len() as u32;
    lexed.tokens.push(Token {
        kind: Kind::End,
        span: Span {
            file,
            start: end,
            end,
        },
    });
    lexed
}

/// Extends a run of unknown characters, or reports the previous run and starts another.
fn extend(first: Span, next: Span, text: &str, findings: &mut Findings) -> Span {
    if first.end == next.start {
        return first.to(next);
    }
    report_unknown(first, text, findings);
    next
}

fn report_unknown(span: Span, text: &str, findings: &mut Findings) {
    let first = text.get(span.range()).and_then(|run| run.chars().next());
    let shown: String = first.into_iter().flat_map(char::escape_debug).collect();
    let message = format!("unexpected character `{shown}`");
    findings.push(Diagnostic::new(Code::UnknownCharacter, span, message));
}

/// Reads to the end of a `/*` comment, which does not nest.
fn block_comment(lexer: &mut Lexer<'_, Kind>) -> Kind {
    match lexer.remainder().find("*/") {
        Some(at) => {
            lexer.bump(at + 2);
            Kind::Comment
        }
        None => {
            lexer.bump(lexer.remainder().len());
            Kind::OpenComment
        }
    }
}

/// Reads to the end of a `(*` comment. These comments nest.
fn nested_comment(lexer: &mut Lexer<'_, Kind>) -> Kind {
    let rest = lexer.remainder().as_bytes();
    let mut depth = 1usize;
    let mut at = 0;
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            (b'(', b'*') if rest.get(at + 2) == Some(&b')') => at += 3,
            (b'(', b'*') => {
                depth += 1;
                at += 2;
            }
            (b'*', b')') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    lexer.bump(at);
                    return Kind::Comment;
                }
            }
            _ => at += 1,
        }
    }
    lexer.bump(rest.len());
    Kind::OpenComment
}

#[cfg(test)]
mod tests {
    use super::{Kind, lex};
    use crate::diagnostic::Findings;
    use crate::source::FileId;

    fn kinds(text: &str) -> (Vec<Kind>, usize, usize) {
        let mut findings = Findings::default();
        let lexed = lex(FileId(0), text, &mut findings);
        let kinds = lexed.tokens.iter().map(|t| t.kind).collect();
        (kinds, lexed.comments.len(), findings.errors())
    }

    #[test]
    fn words_may_begin_with_digits_and_contain_primes() {
        let (kinds, _, errors) = kinds("1a' 30s 0 _x");
        assert_eq!(
            kinds,
            [Kind::Word, Kind::Word, Kind::Word, Kind::Word, Kind::End]
        );
        assert_eq!(errors, 0);
    }

    #[test]
    fn comments_end_at_their_closing_marker() {
        let text = "a // b\n c /* d */ e (* f (* g *) h *) i (*) j *)\n k (*# p #*) l";
        let (kinds, comments, errors) = kinds(text);
        assert_eq!(kinds.len(), 7, "a c e i k l and the end");
        assert_eq!((comments, errors), (5, 0));
    }

    #[test]
    fn unclosed_comments_and_strings_are_errors() {
        assert_eq!(kinds("a (* (* *)").2, 1);
        assert_eq!(kinds("a /* *").2, 1);
        assert_eq!(kinds("\"a\nb").2, 1);
        assert_eq!(
            kinds("a $$$ b $ é").2,
            3,
            "a run of unknown characters is one error"
        );
    }
}
