//! Parses declarations.

use super::{Failed, Parser, Read};
use crate::ast::{
    At, Duration, Effect, Enum, Field, Foreign, ForeignKind, Import, Item, Module, Name, Operation,
    OperationClass, Param, Protocol, Record, Unit, Use,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::lexer::Kind;
use crate::source::Span;

/// The words that a declaration begins with.
const STARTS: [&str; 14] = [
    "module", "import", "type", "data", "sig", "record", "enum", "effect", "global", "aux",
    "explicit", "protocol", "nested", "local",
];

/// The longest duration, a year. Longer ones are mistakes, and the sum of any two fits into 64
/// bits.
const DURATION_TICKS_MAX: u64 = 365 * 24 * 3_600_000;

impl Parser<'_> {
    /// Parses the declarations of the text.
    pub(super) fn items(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        while self.peek().kind != Kind::End {
            let before = self.at;
            match self.item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => self.damage += 1,
                Err(Failed) => {
                    self.damage += 1;
                    self.skip_to_item(before);
                }
            }
        }
        self.check_modules(&items);
        items
    }

    /// Reports `module` lines that are not the first declaration.
    fn check_modules(&mut self, items: &[Item]) {
        for item in items.iter().skip(1) {
            if let Item::Module(module) = item {
                let message = "a `module` line must be the first declaration of its file";
                self.push(Diagnostic::new(Code::MisplacedModule, module.at.0, message));
            }
        }
    }

    /// Parses one declaration; `None` for one that is not supported.
    fn item(&mut self) -> Read<Option<Item>> {
        let token = self.peek();
        let word = if token.kind == Kind::Word {
            self.text_of(token)
        } else {
            ""
        };
        let start = token.span;
        match word {
            "module" => self.module(start).map(Item::Module).map(Some),
            "import" => self.import(start).map(Item::Import).map(Some),
            "type" | "data" => self
                .foreign(ForeignKind::Type, start)
                .map(Item::Foreign)
                .map(Some),
            "sig" => self
                .foreign(ForeignKind::Signature, start)
                .map(Item::Foreign)
                .map(Some),
            "record" => self.record(start).map(Item::Record).map(Some),
            "enum" => self.enumeration(start).map(Item::Enum).map(Some),
            "effect" => self.effect(start).map(Item::Effect).map(Some),
            "global" | "aux" | "protocol" | "explicit" => {
                self.protocol(start).map(Item::Protocol).map(Some)
            }
            "nested" | "local" => {
                self.unsupported_protocol(word == "local", start)?;
                Ok(None)
            }
            _ => {
                Err(self
                    .unexpected("a declaration, such as `global protocol`, `record` or `import`"))
            }
        }
    }

    /// Skips to the probable start of the next declaration: a word that begins one, at the start of
    /// a line and outside brackets opened since; or `global protocol` anywhere, which has no other
    /// meaning.
    fn skip_to_item(&mut self, from: usize) {
        if self.at == from {
            self.bump();
        }
        let mut open = 0i64;
        loop {
            let token = self.peek();
            match token.kind {
                Kind::End => return,
                Kind::OpenCurly => open += 1,
                Kind::CloseCurly => open -= 1,
                Kind::Word => {
                    let word = self.text_of(token);
                    let head = word == "global" && self.is_word(1, "protocol")
                        || word == "aux" && self.is_word(1, "global");
                    let starts = open <= 0 && self.starts_line(0) && STARTS.contains(&word);
                    if head || starts {
                        return;
                    }
                }
                _ => {}
            }
            self.bump();
        }
    }

    fn module(&mut self, start: Span) -> Read<Module> {
        self.bump();
        let name = self.path("the module's name")?;
        self.expect_semicolon()?;
        Ok(Module {
            name,
            at: At(start.to(self.last_span())),
        })
    }

    fn import(&mut self, start: Span) -> Read<Import> {
        self.bump();
        let module = self.path("a module's name")?;
        let alias = if self.eat_word("as") {
            Some(self.name("a name")?)
        } else {
            None
        };
        self.expect_semicolon()?;
        Ok(Import {
            module,
            alias,
            at: At(start.to(self.last_span())),
        })
    }

    fn foreign(&mut self, kind: ForeignKind, start: Span) -> Read<Foreign> {
        self.bump();
        self.expect(Kind::Less, "`<` and the name of a language")?;
        let language = self.name("the name of a language")?;
        self.expect(Kind::Greater, "`>`")?;
        let external = self.quoted("the name in that language, in quotes")?;
        self.expect_word("from")?;
        let from = self.quoted("where it comes from, in quotes")?;
        self.expect_word("as")?;
        let name = self.name("a name")?;
        self.expect_semicolon()?;
        Ok(Foreign {
            kind,
            language,
            external,
            from,
            name,
            at: At(start.to(self.last_span())),
        })
    }

    fn record(&mut self, start: Span) -> Read<Record> {
        self.bump();
        let name = self.name("the record's name")?;
        self.expect(Kind::OpenCurly, "`{`")?;
        let fields = self.list(Kind::CloseCurly, "`}`", |p| {
            let name = p.word("a field's name")?;
            p.expect(Kind::Colon, "`:` and the field's sort")?;
            Ok(Field {
                name,
                sort: p.sort()?,
            })
        })?;
        Ok(Record {
            name,
            fields,
            at: At(start.to(self.last_span())),
        })
    }

    fn enumeration(&mut self, start: Span) -> Read<Enum> {
        self.bump();
        let name = self.name("the enumeration's name")?;
        let open = self.expect(Kind::OpenCurly, "`{`")?;
        let variants = self.list(Kind::CloseCurly, "`}`", |p| p.name("a variant's name"))?;
        if variants.is_empty() {
            let span = open.span.to(self.last_span());
            let message = "an enumeration needs at least one variant";
            return Err(self.fail(Diagnostic::new(Code::Unexpected, span, message)));
        }
        Ok(Enum {
            name,
            variants,
            at: At(start.to(self.last_span())),
        })
    }

    fn effect(&mut self, start: Span) -> Read<Effect> {
        self.bump();
        let name = self.name("the interface's name")?;
        let version = match self.eat_word("version") {
            true => self.number("the version", "a whole number below 4,294,967,296")?,
            false => 1,
        };
        let open = self.expect(Kind::OpenCurly, "`{`")?.span;
        let mut operations = Vec::new();
        while !self.eat(Kind::CloseCurly) {
            if self.peek().kind == Kind::End {
                return Err(self.unclosed(open));
            }
            match self.operation() {
                Ok(operation) => operations.push(operation),
                Err(Failed) => {
                    self.damage += 1;
                    self.skip_statement();
                }
            }
        }
        Ok(Effect {
            name,
            version,
            operations,
            at: At(start.to(self.last_span())),
        })
    }

    fn operation(&mut self) -> Read<Operation> {
        let start = self.peek().span;
        let classes = [
            OperationClass::Command,
            OperationClass::Observe,
            OperationClass::Check,
        ];
        let class = classes
            .into_iter()
            .find(|class| self.is_word(0, class.keyword()));
        let Some(class) = class else {
            return Err(self.unexpected("`op`, `observe` or `check`"));
        };
        self.bump();
        let name = self.name("the operation's name")?;
        self.expect(Kind::OpenRound, "`(`")?;
        let params = self.list(Kind::CloseRound, "`)`", Self::param)?;
        let result = if self.eat(Kind::Arrow) {
            Some(self.sort()?)
        } else {
            None
        };
        let within = self.within()?;
        let retry = match self.eat_word("retry") {
            true => Some(self.number("the number of retries", "a whole number up to 255")?),
            false => None,
        };
        self.expect_semicolon()?;
        Ok(Operation {
            class,
            name,
            params,
            result,
            within,
            retry,
            at: At(start.to(self.last_span())),
        })
    }

    /// Parses `name: Sort` or `Sort`. Forms that only other dialects allow here are rejected.
    pub(super) fn param(&mut self) -> Read<Param> {
        if self.ahead(1).kind != Kind::Colon {
            let sort = self.sort()?;
            if self.peek().kind == Kind::At {
                self.report_unsupported(
                    Code::UnsupportedDelegation,
                    sort.at.0,
                    "this sends an endpoint",
                );
                return Err(Failed);
            }
            return Ok(Param { name: None, sort });
        }
        let name = self.name("a name")?;
        self.bump();
        let sort = self.sort()?;
        if self.peek().kind == Kind::OpenCurly {
            self.report_unsupported(
                Code::UnsupportedRefinement,
                self.peek().span,
                "this refines a payload",
            );
            self.skip_brackets();
        }
        Ok(Param {
            name: Some(name),
            sort,
        })
    }

    /// Parses `within 30s`, if present.
    pub(super) fn within(&mut self) -> Read<Option<Duration>> {
        if !self.eat_word("within") {
            return Ok(None);
        }
        let token = self.expect(Kind::Word, "a duration, such as `30s`")?;
        let text = self.text_of(token);
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (amount, suffix) = text.split_at(digits);
        let units = [Unit::Millisecond, Unit::Second, Unit::Minute, Unit::Hour];
        let unit = units.into_iter().find(|unit| unit.suffix() == suffix);
        let amount = amount.parse::<u64>().ok();
        let ticks = amount
            .zip(unit)
            .and_then(|(amount, unit)| amount.checked_mul(unit.ticks()));
        match (amount, unit, ticks) {
            (Some(amount), Some(unit), Some(1..=DURATION_TICKS_MAX)) => Ok(Some(Duration {
                amount,
                unit,
                at: At(token.span),
            })),
            _ => {
                let message = format!("{} is not a valid duration", self.describe(token));
                let diagnostic = Diagnostic::new(Code::BadDuration, token.span, message).note(
                    "a duration is a whole number with a unit `ms`, `s`, `m` or `h`, up to `8760h`",
                );
                Err(self.fail(diagnostic))
            }
        }
    }

    fn protocol(&mut self, start: Span) -> Read<Protocol> {
        let before = self.damage;
        if self.is_word(0, "explicit") {
            let span = self.bump().span;
            self.report_unsupported(
                Code::UnsupportedConnection,
                span,
                "this protocol has explicit connections",
            );
        }
        let aux = self.eat_word("aux");
        if self.eat_word("global") {
            // The base language allows `global P(…)` too. Two words after `global` can only be a
            // misspelled `protocol`.
            if !self.eat_word("protocol") && self.ahead(1).kind == Kind::Word {
                return Err(self.unexpected("`protocol`"));
            }
        } else {
            self.expect_word("protocol")?;
        }
        let name = self.name("the protocol's name")?;
        if self.peek().kind == Kind::Less {
            let span = self.peek().span;
            self.report_unsupported(
                Code::UnsupportedParameter,
                span,
                "this protocol has parameters",
            );
            while !matches!(self.peek().kind, Kind::OpenRound | Kind::End) {
                self.bump();
            }
        }
        let roles = self.roles()?;
        let uses = self.uses()?;
        self.annotation();
        let body = self.block()?;
        let damaged = self.damage > before;
        // Damage inside a body counts for the protocol only; the declarations around it are whole.
        self.damage = before;
        Ok(Protocol {
            aux,
            name,
            roles,
            uses,
            body,
            damaged,
            at: At(start.to(self.last_span())),
        })
    }

    fn roles(&mut self) -> Read<Vec<Name>> {
        let open = self.expect(Kind::OpenRound, "`(` and the roles")?.span;
        let roles = self.list(Kind::CloseRound, "`)`", |p| {
            p.expect_word("role")?;
            p.name("the role's name")
        })?;
        if roles.is_empty() {
            let message = "a protocol needs at least one role";
            let span = open.to(self.last_span());
            return Err(self.fail(Diagnostic::new(Code::Unexpected, span, message)));
        }
        Ok(roles)
    }

    /// Parses any number of clauses such as `uses Guest at Host, Files at Host`.
    fn uses(&mut self) -> Read<Vec<Use>> {
        let mut uses = Vec::new();
        while self.eat_word("uses") {
            loop {
                let interface = self.path("an interface's name")?;
                self.expect_word("at")?;
                let role = self.name("a role")?;
                uses.push(Use { interface, role });
                if !self.eat(Kind::Comma) {
                    break;
                }
            }
        }
        Ok(uses)
    }

    /// Skips and rejects a local or nested protocol.
    fn unsupported_protocol(&mut self, local: bool, start: Span) -> Read<()> {
        let (code, message) = match local {
            true => (Code::UnsupportedLocal, "this is a local protocol"),
            false => (Code::UnsupportedNested, "this is a nested protocol"),
        };
        self.report_unsupported(code, start, message);
        self.skip_to_block();
        self.skip_brackets();
        Ok(())
    }
}
