//! Parses statements.

use super::{DEPTH_MAX, Failed, Parser, Read};
use crate::ast::{Action, Argument, At, Block, Message, Path, Statement, StatementKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::lexer::Kind;
use crate::source::Span;

impl Parser<'_> {
    /// Parses statements in braces. Statements that cannot be parsed are left out.
    pub(super) fn block(&mut self) -> Read<Block> {
        let open = self.expect(Kind::OpenCurly, "`{`")?.span;
        self.descend()?;
        let mut statements = Vec::new();
        loop {
            match self.peek().kind {
                Kind::CloseCurly => break,
                Kind::End if self.stopped() => return Err(Failed),
                Kind::End => return Err(self.unclosed(open)),
                _ => {}
            }
            match self.statement() {
                Ok(Some(statement)) => statements.push(statement),
                Ok(None) => self.damage += 1,
                Err(Failed) => {
                    self.damage += 1;
                    self.skip_statement();
                }
            }
        }
        self.bump();
        self.ascend();
        Ok(Block {
            statements,
            at: At(open.to(self.last_span())),
        })
    }

    /// Reports a bracket that is open at the end of the text. Only the innermost one is reported,
    /// which is the first one to check.
    pub(super) fn unclosed(&mut self, open: Span) -> Failed {
        if !self.stopped() {
            let message = "this `{` is not closed";
            let diagnostic = Diagnostic::new(Code::Unclosed, open, message);
            self.push(diagnostic.label("the block extends to the end of the text"));
            // As after nesting too deep: every enclosing block sees that parsing has stopped.
            self.depth = DEPTH_MAX + 1;
        }
        self.stop();
        Failed
    }

    /// Skips the rest of a statement: past its `;`, past the blocks it opened, or up to the
    /// enclosing `}`.
    pub(super) fn skip_statement(&mut self) {
        let mut open = 0usize;
        let mut first = true;
        loop {
            match self.peek().kind {
                Kind::End => return,
                Kind::Semicolon if open == 0 => {
                    self.bump();
                    return;
                }
                Kind::OpenCurly => open += 1,
                Kind::CloseCurly if open == 0 => return,
                Kind::CloseCurly => {
                    open -= 1;
                    let goes_on = self.is_word(1, "or") || self.is_word(1, "and");
                    if open == 0 && !goes_on {
                        self.bump();
                        return;
                    }
                }
                Kind::Word if open == 0 && !first && self.starts_line(0) && self.is_start() => {
                    return;
                }
                _ => {}
            }
            self.bump();
            first = false;
        }
    }

    /// Whether the next word can only begin a statement.
    fn is_start(&self) -> bool {
        ["choice", "rec", "continue", "do", "par"]
            .iter()
            .any(|word| self.is_word(0, word))
            || self.is_word(0, "at") && self.ahead(2).kind == Kind::OpenCurly
    }

    /// Parses one statement; `None` for one that is not supported.
    fn statement(&mut self) -> Read<Option<Statement>> {
        let token = self.peek();
        let start = token.span;
        let word = if token.kind == Kind::Word {
            self.text_of(token)
        } else {
            ""
        };
        let kind = match word {
            "choice" => self.choice()?,
            "rec" => self.rec()?,
            "continue" => self.continue_()?,
            "do" => self.do_()?,
            "at" => self.local()?,
            "par" => return self.par(start),
            "nested" => return self.nested(start),
            "connect" | "disconnect" | "wrap" => return self.connection(start),
            "accept" | "request" if self.is_bare_word(1) => return self.connection(start),
            _ if self.is_word(1, "calls") => {
                return self.unsupported_line(
                    Code::UnsupportedNested,
                    start,
                    "this calls a nested protocol",
                );
            }
            _ => {
                let message = self.message()?;
                if self.is_word(0, "connect") {
                    return self.connection(start);
                }
                let from = self.sender()?;
                let to = self.receivers()?;
                self.expect_semicolon()?;
                let (label, payloads) = message;
                StatementKind::Message(Message {
                    label,
                    payloads,
                    from,
                    to,
                })
            }
        };
        let at = At(start.to(self.last_span()));
        self.annotation();
        Ok(Some(Statement { kind, at }))
    }

    /// Whether `accept` or `request` is followed by a word that makes it a connection and not a
    /// label.
    fn is_bare_word(&self, n: usize) -> bool {
        self.ahead(n).kind == Kind::Word && !self.is_word(n, "from")
    }

    fn choice(&mut self) -> Read<StatementKind> {
        self.bump();
        self.expect_word("at")?;
        let role = self.name("the choosing role")?;
        let mut branches = vec![self.block()?];
        while self.eat_word("or") {
            branches.push(self.block()?);
        }
        Ok(StatementKind::Choice { role, branches })
    }

    fn rec(&mut self) -> Read<StatementKind> {
        self.bump();
        let name = self.name("the recursion's name")?;
        if self.peek().kind == Kind::OpenSquare {
            self.report_unsupported(
                Code::UnsupportedRefinement,
                self.peek().span,
                "this recursion has variables",
            );
            self.skip_brackets();
        }
        let body = self.block()?;
        Ok(StatementKind::Rec { name, body })
    }

    fn continue_(&mut self) -> Read<StatementKind> {
        self.bump();
        let name = self.name("the name of an enclosing `rec`")?;
        if self.peek().kind == Kind::OpenSquare {
            self.report_unsupported(
                Code::UnsupportedRefinement,
                self.peek().span,
                "this `continue` has arguments",
            );
            self.skip_brackets();
        }
        if self.is_word(0, "with") {
            self.report_unsupported(
                Code::UnsupportedRefinement,
                self.peek().span,
                "this `continue` has a block",
            );
            self.bump();
            self.skip_brackets();
        }
        self.expect_semicolon()?;
        Ok(StatementKind::Continue { name })
    }

    fn do_(&mut self) -> Read<StatementKind> {
        self.bump();
        let protocol = self.path("a protocol's name")?;
        if self.peek().kind == Kind::Less {
            let span = self.peek().span;
            self.report_unsupported(Code::UnsupportedParameter, span, "this `do` has parameters");
            while !matches!(
                self.peek().kind,
                Kind::OpenRound | Kind::Semicolon | Kind::End
            ) {
                self.bump();
            }
        }
        let roles = match self.eat(Kind::OpenRound) {
            true => self.list(Kind::CloseRound, "`)`", |p| p.name("a role"))?,
            false => Vec::new(),
        };
        self.expect_semicolon()?;
        Ok(StatementKind::Do { protocol, roles })
    }

    /// Parses a message's label and payloads.
    fn message(&mut self) -> Read<(crate::ast::Name, Option<Vec<crate::ast::Param>>)> {
        if self.peek().kind == Kind::OpenRound {
            let span = self.peek().span;
            let diagnostic = Diagnostic::new(Code::Unexpected, span, "this message has no label")
                .help("write a label before it: receivers tell messages apart by their labels");
            return Err(self.fail(diagnostic));
        }
        let label = self.name("a statement")?;
        let payloads = match self.eat(Kind::OpenRound) {
            true => Some(self.list(Kind::CloseRound, "`)`", Self::param)?),
            false => None,
        };
        Ok((label, payloads))
    }

    fn sender(&mut self) -> Read<crate::ast::Name> {
        self.expect_word("from")?;
        self.name("the sending role")
    }

    fn receivers(&mut self) -> Read<Vec<crate::ast::Name>> {
        self.expect_word("to")?;
        let mut to = vec![self.name("the receiving role")?];
        while self.eat(Kind::Comma) {
            to.push(self.name("the receiving role")?);
        }
        Ok(to)
    }

    fn local(&mut self) -> Read<StatementKind> {
        self.bump();
        let role = self.name("the acting role")?;
        let open = self.expect(Kind::OpenCurly, "`{`")?.span;
        let mut actions = Vec::new();
        while !self.eat(Kind::CloseCurly) {
            if self.peek().kind == Kind::End {
                return Err(self.unclosed(open));
            }
            match self.action() {
                Ok(action) => actions.push(action),
                Err(Failed) => {
                    self.damage += 1;
                    self.skip_statement();
                }
            }
        }
        Ok(StatementKind::Local {
            role,
            actions,
            block: At(open.to(self.last_span())),
        })
    }

    fn action(&mut self) -> Read<Action> {
        let start = self.peek().span;
        let bind = match self.is_word(0, "let") && self.ahead(1).kind == Kind::Word {
            true => {
                self.bump();
                let name = self.name("a name")?;
                self.expect(Kind::Equal, "`=`")?;
                Some(name)
            }
            false => None,
        };
        let check = self.is_word(0, "check") && self.ahead(1).kind == Kind::Word;
        if check {
            self.bump();
        }
        let (interface, operation) = self.operation_path()?;
        self.expect(Kind::OpenRound, "`(` and the arguments")?;
        let args = self.list(Kind::CloseRound, "`)`", Self::argument)?;
        let within = self.within()?;
        let otherwise = match self.eat_word("else") {
            true => Some(self.name("the label of another branch")?),
            false => None,
        };
        self.expect_semicolon()?;
        let at = At(start.to(self.last_span()));
        Ok(Action {
            bind,
            check,
            interface,
            operation,
            args,
            within,
            otherwise,
            at,
        })
    }

    /// Parses `Interface.operation`, where the interface may be qualified with its module.
    fn operation_path(&mut self) -> Read<(Path, crate::ast::Name)> {
        let mut path = self.path("a call, such as `Interface.operation()`")?;
        match path.segments.pop() {
            Some(operation) if !path.segments.is_empty() => Ok((path, operation)),
            Some(_) | None => Err(self.unexpected("`.` and the operation")),
        }
    }

    fn argument(&mut self) -> Read<Argument> {
        let start = self.peek();
        if start.kind == Kind::Text {
            let text = self.quoted("an argument")?;
            return Ok(Argument::Text(text, At(start.span)));
        }
        let negative = self.eat(Kind::Minus);
        let token = self.peek();
        let text = self.text_of(token);
        let digits = token.kind == Kind::Word && text.bytes().all(|b| b.is_ascii_digit());
        if negative || digits {
            let number: u64 = self.number("a number", "between -2^63 and 2^64-1")?;
            let number = if negative {
                -i128::from(number)
            } else {
                i128::from(number)
            };
            let at = At(start.span.to(self.last_span()));
            if number < i128::from(i64::MIN) {
                let message = "a number must be between -2^63 and 2^64-1";
                return Err(self.fail(Diagnostic::new(Code::NumberRange, at.0, message)));
            }
            return Ok(Argument::Number(number, at));
        }
        match text {
            "true" | "false" => {
                self.bump();
                Ok(Argument::Bool(text == "true", At(token.span)))
            }
            _ => self
                .name("a name, a number, a text, `true` or `false`")
                .map(Argument::Name),
        }
    }

    /// Rejects `@"…"`, a condition of another dialect.
    pub(super) fn annotation(&mut self) {
        if self.peek().kind == Kind::At {
            self.report_unsupported(
                Code::UnsupportedRefinement,
                self.peek().span,
                "this is an assertion",
            );
            self.bump();
            self.eat(Kind::Text);
        }
    }

    fn par(&mut self, start: Span) -> Read<Option<Statement>> {
        self.report_unsupported(Code::UnsupportedPar, start, "this runs blocks in parallel");
        self.bump();
        self.block()?;
        while self.eat_word("and") {
            self.block()?;
        }
        Ok(None)
    }

    fn nested(&mut self, start: Span) -> Read<Option<Statement>> {
        self.report_unsupported(Code::UnsupportedNested, start, "this is a nested protocol");
        self.skip_to_block();
        self.block()?;
        Ok(None)
    }

    /// Skips a head, including its parentheses, up to its block.
    pub(super) fn skip_to_block(&mut self) {
        loop {
            match self.peek().kind {
                Kind::OpenRound => self.skip_brackets(),
                Kind::OpenCurly | Kind::CloseCurly | Kind::Semicolon | Kind::End => return,
                _ => {
                    self.bump();
                }
            }
        }
    }

    fn connection(&mut self, start: Span) -> Read<Option<Statement>> {
        self.unsupported_line(
            Code::UnsupportedConnection,
            start,
            "this is an explicit connection",
        )
    }

    /// Rejects a statement that ends with a semicolon, and skips it.
    fn unsupported_line(
        &mut self,
        code: Code,
        start: Span,
        message: &str,
    ) -> Read<Option<Statement>> {
        self.report_unsupported(code, start, message);
        self.skip_statement();
        self.annotation();
        Ok(None)
    }

    /// Reports a part of the base language that is recognised but not supported.
    pub(super) fn report_unsupported(&mut self, code: Code, span: Span, label: &str) {
        self.damage += 1;
        let diagnostic = Diagnostic::new(code, span, code.meaning());
        self.push(diagnostic.label(label).help(code.fix()));
    }
}
