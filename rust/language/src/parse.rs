//! Tokens to a tree, by recursive descent with recovery: an error costs the statement or the
//! declaration it is in, and reading goes on behind it.

mod declaration;
mod statement;

use std::sync::Arc;

use crate::ast::{Ast, At, Name, Path, SortKind, SortTerm, Trivia};
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::lexer::{Kind, Token, Tokens, lex};
use crate::source::{FileId, SOURCE_LEN_MAX, Span};

/// How deep blocks and sorts may nest. Whoever walks a tree recurses as deep as it is, so this
/// bounds every stack.
pub const DEPTH_MAX: u32 = 128;

/// Words of the base language, which are never names.
const RESERVED: [&str; 26] = [
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

/// A tree and what was found on the way to it.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The tree of all that could be read.
    pub ast: Ast,
    /// Errors of syntax and parts that are not supported, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a text. Linear in its length; never more memory than a small multiple of it.
///
/// Every error of syntax is reported in one go. The tree holds what could be read, and says in
/// [`Ast::is_whole`] whether that is everything.
pub fn parse(file: FileId, text: &str) -> Parsed {
    let mut findings = Findings::default();
    if text.len() > SOURCE_LEN_MAX {
        let message = format!(
            "this text has {} bytes, the most is {SOURCE_LEN_MAX}",
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

/// Something could not be read and has been reported. Whoever sees it gives up its own part.
struct Failed;

type Read<T> = Result<T, Failed>;

struct Parser<'t> {
    text: &'t str,
    /// Never empty: the last is the end, and `at` never passes it.
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    /// How many parts were lost so far.
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

    /// The end of what was read last.
    fn behind(&self) -> Span {
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

    /// The semicolon of a statement. One that was forgotten at the end of a line is reported and
    /// taken as written.
    fn expect_semicolon(&mut self) -> Read<()> {
        if self.eat(Kind::Semicolon) {
            return Ok(());
        }
        let next = self.peek();
        let last = self.behind();
        if self.starts_line(0) || matches!(next.kind, Kind::CloseCurly | Kind::End) {
            let place = Span {
                start: last.end,
                ..last
            };
            let message = format!("expected `;`, found {}", self.describe(next));
            self.push(
                Diagnostic::new(Code::Unexpected, place, message).label("a `;` belongs here"),
            );
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
            diagnostic =
                diagnostic.help(format!("`{word}` is a word of the language: take another"));
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

    /// Reads no further: what follows would only repeat what was said.
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

    /// Goes one level deeper, or reports that it is too deep and reads no further.
    fn descend(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth <= DEPTH_MAX {
            return Ok(());
        }
        let span = self.peek().span;
        let message = format!("this is nested more than {DEPTH_MAX} deep");
        self.push(Diagnostic::new(Code::TooDeep, span, message));
        self.stop();
        // The depth stays above the bound, so every block on the way out knows that reading has
        // stopped.
        Err(Failed)
    }

    fn ascend(&mut self) {
        if !self.too_deep() {
            self.depth -= 1;
        }
    }

    fn describe(&self, token: Token) -> String {
        /// Longer words are cut in messages; the excerpt shows them whole.
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
        let reserved = RESERVED.contains(&self.text_of(self.peek()));
        if reserved {
            Err(self.unexpected(what))
        } else {
            self.word(what)
        }
    }

    /// A name where no word of the language could stand, so that every word may be one: the fields
    /// of a record have the names that the outside world gives them, `data`, `from`, `to`.
    fn word(&mut self, what: &str) -> Read<Name> {
        let token = self.peek();
        let text = self.text_of(token);
        if token.kind != Kind::Word {
            return Err(self.unexpected(what));
        }
        if text.len() > antiphon_machine::bounds::NAME_LEN_MAX {
            let most = antiphon_machine::bounds::NAME_LEN_MAX;
            let message = format!("this name has {} bytes, the most is {most}", text.len());
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

    /// Items with commas between them up to a closing bracket, which is eaten. A comma may stand
    /// behind the last.
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

    /// A sort: a name, `[S]`, and either of them with `?`.
    fn sort(&mut self) -> Read<SortTerm> {
        self.descend()?;
        let start = self.peek().span;
        let mut sort = if self.eat(Kind::OpenSquare) {
            let item = self.sort()?;
            self.expect(Kind::CloseSquare, "`]`")?;
            SortTerm {
                kind: SortKind::List(Box::new(item)),
                at: At(start.to(self.behind())),
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
            let at = At(start.to(self.behind()));
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

    /// A whole number that fits.
    ///
    /// One that does not fit is reported, and reading goes on as if it were zero.
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

    /// The text between quotes.
    fn quoted(&mut self, what: &str) -> Read<String> {
        let token = self.expect(Kind::Text, what)?;
        Ok(self.text_of(token).trim_matches('"').into())
    }

    /// Skips a bracketed part whose opening bracket is next. For parts that are refused, so nobody
    /// needs their inside.
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
