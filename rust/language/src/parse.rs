//! Parses tokens to a syntax tree by recursive descent with error recovery: an error costs the
//! statement or declaration that contains it, and parsing continues after it.

mod declaration;
mod statement;

use std::sync::Arc;

use crate::ast::{Ast, At, Name, Path, SortKind, SortTerm, Trivia};
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::lexer::{Kind, Token, Tokens, lex};
use crate::source::{FileId, SOURCE_LEN_MAX, Span};

/// How deep blocks and sorts may nest. Passes over the tree are recursive, so this bounds their
/// stacks.
pub const DEPTH_MAX: u32 = 128;

/// The reserved words of the base language, which cannot be names.
pub const RESERVED_WORDS: [&str; 26] = [
    "and",
    "as",
    "at",
    "aux",
    "choice",
    "connect",
    "continue",
    "data",
    "disconnect",
    "do",
    "explicit",
    "from",
    "global",
    "import",
    "local",
    "module",
    "nested",
    "or",
    "par",
    "protocol",
    "rec",
    "role",
    "sig",
    "to",
    "type",
    "wrap",
];

/// A syntax tree and the findings of parsing it.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The tree of everything that could be parsed.
    pub ast: Ast,
    /// Syntax errors and unsupported parts, in source order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses a text. Time and memory are linear in its length.
///
/// Reports every syntax error in one pass. The tree contains what could be parsed;
/// [`Ast::is_whole`] tells whether that is the whole text.
pub fn parse(file: FileId, text: &str) -> Parsed {
    let mut findings = Findings::default();
    if text.len() > SOURCE_LEN_MAX {
        let message = format!(
            "the text has {} bytes; the maximum is {SOURCE_LEN_MAX}",
            text.len()
        );
        let start = Span {
            file,
            start: 0,
            end: 0,
        };
        findings.push(Diagnostic::new(Code::SourceTooLong, start, message));
        let ast = Ast {
            damaged: true,
            ..Ast::default()
        };
        return Parsed {
            ast,
            diagnostics: findings.into_sorted(),
        };
    }
    let Tokens { tokens, comments } = lex(file, text, &mut findings);
    let lexed_whole = findings.errors() == 0;
    let mut parser = Parser {
        text,
        tokens,
        at: 0,
        depth: 0,
        damage: 0,
        findings,
    };
    let items = parser.items();
    let trivia = Trivia {
        file,
        text: Arc::from(text),
        comments,
    };
    let damaged = !lexed_whole || parser.damage > 0;
    Parsed {
        ast: Ast {
            items,
            damaged,
            trivia,
        },
        diagnostics: parser.findings.into_sorted(),
    }
}

/// A part could not be parsed, and the error has been reported. The caller gives up its own part
/// too.
struct Failed;

type Read<T> = Result<T, Failed>;

struct Parser<'t> {
    text: &'t str,
    /// Never empty: the last token is the end, and `at` never passes it.
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    /// The number of parts lost so far.
    damage: usize,
    findings: Findings,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Token {
        self.ahead(0)
    }

    fn ahead(&self, n: usize) -> Token {
        let last = self.tokens.len() - 1;
        self.tokens[(self.at + n).min(last)]
    }

    /// The span of the token that was read last.
    fn last_span(&self) -> Span {
        match self.at.checked_sub(1) {
            Some(before) => self.tokens[before].span,
            None => Span {
                end: 0,
                start: 0,
                ..self.peek().span
            },
        }
    }

    fn bump(&mut self) -> Token {
        let token = self.peek();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    fn text_of(&self, token: Token) -> &'t str {
        self.text.get(token.span.range()).unwrap_or("")
    }

    fn is_word(&self, n: usize, word: &str) -> bool {
        let token = self.ahead(n);
        token.kind == Kind::Word && self.text_of(token) == word
    }

    fn eat(&mut self, kind: Kind) -> bool {
        let found = self.peek().kind == kind;
        if found {
            self.bump();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(0, word);
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, kind: Kind, what: &str) -> Read<Token> {
        if self.peek().kind == kind {
            Ok(self.bump())
        } else {
            Err(self.unexpected(what))
        }
    }

    fn expect_word(&mut self, word: &str) -> Read<Token> {
        if self.is_word(0, word) {
            Ok(self.bump())
        } else {
            Err(self.unexpected(&format!("`{word}`")))
        }
    }

    /// The semicolon of a statement. When it is missing at the end of a line, the error is reported
    /// and parsing continues as if it were there.
    fn expect_semicolon(&mut self) -> Read<()> {
        if self.eat(Kind::Semicolon) {
            return Ok(());
        }
        let next = self.peek();
        let last = self.last_span();
        if self.starts_line(0) || matches!(next.kind, Kind::CloseCurly | Kind::End) {
            let place = Span {
                start: last.end,
                ..last
            };
            let message = format!("expected `;`, found {}", self.describe(next));
            self.push(Diagnostic::new(Code::Unexpected, place, message).label("missing `;`"));
            self.damage += 1;
            return Ok(());
        }
        Err(self.unexpected("`;`"))
    }

    /// Whether a token is the first of its line.
    fn starts_line(&self, n: usize) -> bool {
        let index = self.at + n;
        let Some(before) = index.checked_sub(1).and_then(|i| self.tokens.get(i)) else {
            return true;
        };
        let gap = before.span.end as usize..self.ahead(n).span.start as usize;
        self.text.get(gap).is_some_and(|gap| gap.contains('\n'))
    }

    fn unexpected(&mut self, expected: &str) -> Failed {
        let token = self.peek();
        let found = self.describe(token);
        let mut diagnostic = Diagnostic::new(
            Code::Unexpected,
            token.span,
            format!("expected {expected}, found {found}"),
        )
        .label(format!("expected {expected}"));
        if expected.ends_with("name") && token.kind == Kind::Word {
            let word = self.text_of(token);
            diagnostic = diagnostic.help(format!("`{word}` is a reserved word: use another name"));
        }
        self.fail(diagnostic)
    }

    fn fail(&mut self, diagnostic: Diagnostic) -> Failed {
        self.push(diagnostic);
        Failed
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        self.findings.push(diagnostic);
        if self.findings.is_full() {
            self.stop();
        }
    }

    /// Stops parsing: errors after this would only be consequences of the reported ones.
    fn stop(&mut self) {
        self.damage += 1;
        self.at = self.tokens.len() - 1;
    }

    fn stopped(&self) -> bool {
        self.findings.is_full() || self.too_deep()
    }

    fn too_deep(&self) -> bool {
        self.depth > DEPTH_MAX
    }

    /// Enters one more level of nesting, or reports that it is too deep and stops.
    fn descend(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth <= DEPTH_MAX {
            return Ok(());
        }
        let span = self.peek().span;
        let message = format!("nested more than {DEPTH_MAX} levels deep");
        self.push(Diagnostic::new(Code::TooDeep, span, message));
        self.stop();
        // The depth stays above the bound, so every enclosing block sees that parsing has stopped.
        Err(Failed)
    }

    fn ascend(&mut self) {
        if !self.too_deep() {
            self.depth -= 1;
        }
    }

    fn describe(&self, token: Token) -> String {
        /// Longer words are cut in messages; the excerpt shows them in full.
        const SHOWN_CHARS_MAX: usize = 40;
        match token.kind {
            Kind::End => "the end of the text".into(),
            _ => {
                let text = self.text_of(token);
                let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                if shown.len() < text.len() {
                    shown.push('…');
                }
                format!("`{shown}`")
            }
        }
    }

    fn name(&mut self, what: &str) -> Read<Name> {
        let reserved = RESERVED_WORDS.contains(&self.text_of(self.peek()));
        if reserved {
            Err(self.unexpected(what))
        } else {
            self.word(what)
        }
    }

    /// A name at a position where no keyword is possible, so that any word may be one. The fields
    /// of a record are named by the outside world: `data`, `from`, `to`.
    fn word(&mut self, what: &str) -> Read<Name> {
        let token = self.peek();
        let text = self.text_of(token);
        if token.kind != Kind::Word {
            return Err(self.unexpected(what));
        }
        if text.len() > antiphon_machine::bounds::NAME_LEN_MAX {
            let most = antiphon_machine::bounds::NAME_LEN_MAX;
            let message = format!("the name has {} bytes; the maximum is {most}", text.len());
            self.bump();
            return Err(self.fail(Diagnostic::new(Code::NumberRange, token.span, message)));
        }
        self.bump();
        Ok(Name {
            text: text.into(),
            at: At(token.span),
        })
    }

    fn path(&mut self, what: &str) -> Read<Path> {
        let mut segments = vec![self.name(what)?];
        while self.eat(Kind::Dot) {
            segments.push(self.name("a name")?);
        }
        Ok(Path { segments })
    }

    /// Parses items separated by commas up to a closing bracket, which is consumed. A trailing
    /// comma is allowed.
    fn list<T>(
        &mut self,
        close: Kind,
        what: &str,
        mut item: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(item(self)?);
            if !self.eat(Kind::Comma) {
                self.expect(close, &format!("`,` or {what}"))?;
                break;
            }
        }
        Ok(items)
    }

    /// Parses a sort: a name or `[S]`, followed by any number of `?`.
    fn sort(&mut self) -> Read<SortTerm> {
        self.descend()?;
        let start = self.peek().span;
        let mut sort = if self.eat(Kind::OpenSquare) {
            let item = self.sort()?;
            self.expect(Kind::CloseSquare, "`]`")?;
            SortTerm {
                kind: SortKind::List(Box::new(item)),
                at: At(start.to(self.last_span())),
            }
        } else {
            let path = self.path("a sort")?;
            let at = At(path.span());
            SortTerm {
                kind: SortKind::Named(path),
                at,
            }
        };
        let mut options = 0;
        while self.peek().kind == Kind::Question {
            self.descend()?;
            options += 1;
            self.bump();
            let at = At(start.to(self.last_span()));
            sort = SortTerm {
                kind: SortKind::Option(Box::new(sort)),
                at,
            };
        }
        for _ in 0..=options {
            self.ascend();
        }
        Ok(sort)
    }

    /// Parses an integer.
    ///
    /// One that is out of range is reported, and parsing continues as if it were zero.
    fn number<N: std::str::FromStr + Default>(&mut self, what: &str, range: &str) -> Read<N> {
        let token = self.peek();
        let text = self.text_of(token);
        if token.kind != Kind::Word || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.unexpected(what));
        }
        self.bump();
        Ok(text.parse().unwrap_or_else(|_| {
            let message = format!("{what} must be {range}");
            self.push(Diagnostic::new(Code::NumberRange, token.span, message));
            self.damage += 1;
            N::default()
        }))
    }

    /// Parses quoted text and returns the text between the quotes.
    fn quoted(&mut self, what: &str) -> Read<String> {
        let token = self.expect(Kind::Text, what)?;
        Ok(self.text_of(token).trim_matches('"').into())
    }

    /// Skips a bracketed part, starting at its opening bracket. Used for rejected parts, whose
    /// content is not needed.
    fn skip_brackets(&mut self) {
        let mut open = 0usize;
        loop {
            match self.peek().kind {
                Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => open += 1,
                Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly => {
                    open = open.saturating_sub(1);
                }
                Kind::End => return,
                _ => {}
            }
            self.bump();
            if open == 0 {
                return;
            }
        }
    }
}
