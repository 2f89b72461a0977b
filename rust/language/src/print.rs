//! Prints a syntax tree in the canonical format: texts with equal trees and comments print alike.
//!
//! A comment keeps its place, either on lines of its own before the next item or at the end of the
//! line it follows. A comment in the middle of a statement moves before it. At most one empty line
//! is kept between two items.

use crate::ast::{
    Action, Argument, Ast, Block, Duration, Effect, Enum, Foreign, ForeignKind, Item, Message,
    Name, Operation, Param, Protocol, Record, SortKind, SortTerm, Statement, StatementKind, Trivia,
};
use crate::source::Span;

/// The maximum line length before a list of roles or fields is broken into lines.
const COLUMNS: usize = 100;

/// One level of indentation.
const INDENT: &str = "  ";

/// Prints a tree with its comments. Formatting is idempotent: printing a parsed printed text gives
/// the same text.
///
/// Returns `None` for a tree that is not [whole](Ast::is_whole), because printing it would lose the
/// parts that could not be parsed.
pub fn format(ast: &Ast) -> Option<String> {
    if !ast.is_whole() {
        return None;
    }
    let mut printer = Printer::new(&ast.trivia);
    let mut before: Option<&Item> = None;
    for item in &ast.items {
        let spaced = before.is_some_and(|before| is_block(before) || is_block(item));
        printer.item(item, spaced);
        before = Some(item);
    }
    if !printer.comments.is_empty() {
        printer.leading(u32::MAX, before.is_some_and(is_block));
    }
    Some(printer.out)
}

/// Whether a declaration is separated from its neighbours by an empty line.
fn is_block(item: &Item) -> bool {
    match item {
        Item::Module(_) => true,
        Item::Record(_) | Item::Enum(_) | Item::Effect(_) | Item::Protocol(_) => true,
        Item::Import(_) | Item::Foreign(_) => false,
    }
}

struct Printer<'a> {
    out: String,
    depth: usize,
    text: &'a str,
    /// The comments that are not printed yet.
    comments: &'a [Span],
    /// The end, in the source text, of the item that was printed last.
    last: u32,
}

impl<'a> Printer<'a> {
    fn new(trivia: &'a Trivia) -> Printer<'a> {
        Printer {
            out: String::new(),
            depth: 0,
            text: &trivia.text,
            comments: &trivia.comments,
            last: 0,
        }
    }

    fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str(INDENT);
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// Whether the source has an empty line between the last printed item and `start`.
    fn has_empty_line_before(&self, start: u32) -> bool {
        let gap = self
            .text
            .get(self.last as usize..start as usize)
            .unwrap_or("");
        gap.bytes().filter(|b| *b == b'\n').count() > 1
    }

    /// Prints an empty line, unless at the start of the text or of a block.
    fn empty_line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("{\n") && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// Prints the comments before `end` on lines of their own. `spaced`: with an empty line before
    /// them.
    fn leading(&mut self, end: u32, spaced: bool) {
        let mut spaced = spaced;
        while let Some((comment, rest)) = self.comments.split_first() {
            if comment.start >= end {
                break;
            }
            self.comments = rest;
            if spaced || self.has_empty_line_before(comment.start) {
                self.empty_line();
            }
            spaced = false;
            let text = self.comment(*comment);
            self.line(&text);
            self.last = comment.end;
        }
        if spaced {
            self.empty_line();
        }
    }

    /// Prints the comments and the empty line before an item that starts at `start`. Comments
    /// inside the item are printed first too; `inside` is the start of the item's block, or its end
    /// when it has no block.
    fn before(&mut self, start: u32, inside: u32, spaced: bool) {
        let had_comments = self.comments.first().is_some_and(|c| c.start < inside);
        self.leading(inside, spaced);
        if (!spaced || had_comments) && self.has_empty_line_before(start) {
            self.empty_line();
        }
    }

    /// Moves the comments that follow the last printed item on its source line to the end of its
    /// printed line.
    fn trailing(&mut self, end: u32, limit: u32) {
        self.last = end;
        while let Some((comment, rest)) = self.comments.split_first() {
            let gap = self.text.get(self.last as usize..comment.start as usize);
            if comment.start >= limit || gap.is_none_or(|gap| gap.contains('\n')) {
                return;
            }
            self.comments = rest;
            self.out.truncate(self.out.trim_end_matches('\n').len());
            self.out.push(' ');
            let text = self.comment(*comment);
            self.out.push_str(&text);
            self.out.push('\n');
            self.last = comment.end;
        }
    }

    /// A comment's own text, without trailing blanks and carriage returns.
    fn comment(&self, comment: Span) -> String {
        let text = self.text.get(comment.range()).unwrap_or("");
        // Remove all of several carriage returns. Otherwise a second pass would remove more.
        let lines: Vec<&str> = text
            .trim_end()
            .split('\n')
            .map(|l| l.trim_end_matches('\r'))
            .collect();
        lines.join("\n")
    }

    /// The first comment that begins at or after an offset. Comments are in source order.
    fn comment_from(&self, start: u32) -> Option<Span> {
        let before = self.comments.partition_point(|c| c.start < start);
        self.comments.get(before).copied()
    }

    /// Whether the span contains a comment.
    fn has_comments(&self, span: Span) -> bool {
        self.comment_from(span.start)
            .is_some_and(|comment| comment.end <= span.end)
    }

    /// Prints items on lines of their own, with their comments, up to a closing bracket that the
    /// caller prints.
    fn lines<T>(
        &mut self,
        things: &[T],
        block: Span,
        span: impl Fn(&T) -> Span,
        mut print: impl FnMut(&mut Self, &T),
    ) {
        let limits = things.iter().skip(1).map(|thing| span(thing).start);
        let limits: Vec<u32> = limits.chain([block.end]).collect();
        let first = things.first().map_or(block.end, |thing| span(thing).start);
        // Comments before the opening bracket move behind it.
        if self.comments.first().is_some_and(|c| c.start < block.start) {
            self.depth += 1;
            self.leading(block.start, false);
            self.depth -= 1;
            self.last = self.last.max(block.start);
        } else {
            self.trailing(block.start.saturating_add(1), first);
        }
        self.depth += 1;
        for (thing, limit) in things.iter().zip(limits) {
            print(self, thing);
            self.trailing(span(thing).end, limit);
        }
        self.leading(block.end.saturating_sub(1), false);
        self.depth -= 1;
    }

    fn item(&mut self, item: &Item, spaced: bool) {
        let span = item.span();
        let inside = match item {
            Item::Protocol(protocol) => protocol.body.at.0.start,
            Item::Effect(_) | Item::Record(_) | Item::Enum(_) => self.open(span),
            Item::Module(_) | Item::Import(_) | Item::Foreign(_) => span.end,
        };
        self.before(span.start, inside, spaced);
        match item {
            Item::Module(module) => self.line(&format!("module {};", module.name)),
            Item::Import(import) => match &import.alias {
                Some(alias) => self.line(&format!("import {} as {};", import.module, alias.text)),
                None => self.line(&format!("import {};", import.module)),
            },
            Item::Foreign(foreign) => self.foreign(foreign),
            Item::Record(record) => self.record(record, inside),
            Item::Enum(enumeration) => self.enumeration(enumeration, inside),
            Item::Effect(effect) => self.effect(effect, inside),
            Item::Protocol(protocol) => self.protocol(protocol),
        }
        self.trailing(span.end, u32::MAX);
    }

    /// The offset of a declaration's first bracket. The head before it has no brackets or strings,
    /// but may have comments.
    fn open(&self, span: Span) -> u32 {
        let mut at = span.start;
        loop {
            let rest = self.text.get(at as usize..span.end as usize).unwrap_or("");
            let Some(open) = rest.find('{') else {
                return span.start;
            };
            let open = at + open as u32;
            match self.comment_from(at) {
                Some(comment) if comment.start <= open => at = comment.end,
                Some(_) | None => return open,
            }
        }
    }

    fn foreign(&mut self, foreign: &Foreign) {
        let word = match foreign.kind {
            ForeignKind::Type => "type",
            ForeignKind::Signature => "sig",
        };
        let Foreign {
            language,
            external,
            from,
            name,
            ..
        } = foreign;
        let (language, name) = (&language.text, &name.text);
        self.line(&format!(
            "{word} <{language}> \"{external}\" from \"{from}\" as {name};"
        ));
    }

    fn record(&mut self, record: &Record, open: u32) {
        let block = Span {
            start: open,
            ..record.at.0
        };
        let fields: Vec<String> = record
            .fields
            .iter()
            .map(|field| format!("{}: {}", field.name.text, sort(&field.sort)))
            .collect();
        let spans: Vec<Span> = record
            .fields
            .iter()
            .map(|field| field.name.at.0.to(field.sort.at.0))
            .collect();
        self.members(
            &format!("record {}", record.name.text),
            &fields,
            &spans,
            block,
        );
    }

    fn enumeration(&mut self, enumeration: &Enum, open: u32) {
        let block = Span {
            start: open,
            ..enumeration.at.0
        };
        let variants: Vec<String> = enumeration
            .variants
            .iter()
            .map(|v| v.text.clone())
            .collect();
        let spans: Vec<Span> = enumeration.variants.iter().map(|v| v.at.0).collect();
        self.members(
            &format!("enum {}", enumeration.name.text),
            &variants,
            &spans,
            block,
        );
    }

    /// Prints a head and members, on one line when they fit and have no comments.
    fn members(&mut self, head: &str, members: &[String], spans: &[Span], block: Span) {
        let line = match members.is_empty() {
            true => format!("{head} {{}}"),
            false => format!("{head} {{ {} }}", members.join(", ")),
        };
        if line.len() <= COLUMNS && !self.has_comments(block) {
            return self.line(&line);
        }
        self.line(&format!("{head} {{"));
        let both: Vec<(&String, Span)> = members.iter().zip(spans.iter().copied()).collect();
        self.lines(
            &both,
            block,
            |(_, span)| *span,
            |printer, (member, span)| {
                printer.before(span.start, span.end, false);
                printer.line(&format!("{member},"));
            },
        );
        self.line("}");
    }

    fn effect(&mut self, effect: &Effect, open: u32) {
        let block = Span {
            start: open,
            ..effect.at.0
        };
        self.line(&format!(
            "effect {} version {} {{",
            effect.name.text, effect.version
        ));
        self.lines(
            &effect.operations,
            block,
            |operation| operation.at.0,
            |printer, operation| {
                printer.before(operation.at.0.start, operation.at.0.end, false);
                printer.line(&operation_line(operation));
            },
        );
        self.line("}");
    }

    fn protocol(&mut self, protocol: &Protocol) {
        let aux = if protocol.aux { "aux " } else { "" };
        let name = &protocol.name.text;
        let roles: Vec<String> = protocol
            .roles
            .iter()
            .map(|r| format!("role {}", r.text))
            .collect();
        let uses: Vec<String> = protocol
            .uses
            .iter()
            .map(|used| format!("{} at {}", used.interface, used.role.text))
            .collect();
        let head = format!("{aux}global protocol {name}({})", roles.join(", "));
        let uses = match uses.is_empty() {
            true => String::new(),
            false => format!("uses {} ", uses.join(", ")),
        };
        if head.len() + uses.len() + 2 <= COLUMNS {
            self.line(&format!("{head} {uses}{{"));
        } else {
            self.broken_head(
                &format!("{aux}global protocol {name}("),
                &head,
                &roles,
                &uses,
            );
        }
        self.statements(&protocol.body);
        self.line("}");
    }

    /// Prints a head that does not fit on one line.
    fn broken_head(&mut self, start: &str, head: &str, roles: &[String], uses: &str) {
        if head.len() + 2 <= COLUMNS {
            self.line(head);
        } else {
            self.line(start);
            for (i, role) in roles.iter().enumerate() {
                let comma = if i + 1 < roles.len() { "," } else { "" };
                self.line(&format!("{INDENT}{role}{comma}"));
            }
            return self.line(&format!(") {uses}{{"));
        }
        self.line(&format!("{INDENT}{uses}{{"));
    }

    fn statements(&mut self, block: &Block) {
        let span = |statement: &Statement| statement.at.0;
        self.lines(&block.statements, block.at.0, span, |printer, statement| {
            printer.statement(statement);
        });
    }

    fn statement(&mut self, statement: &Statement) {
        let span = statement.at.0;
        match &statement.kind {
            StatementKind::Message(message) => {
                self.before(span.start, span.end, false);
                self.line(&message_line(message));
            }
            StatementKind::Choice { role, branches } => {
                let first = branches.first().map_or(span.end, |block| block.at.0.start);
                self.before(span.start, first, false);
                self.line(&format!("choice at {} {{", role.text));
                for (i, branch) in branches.iter().enumerate() {
                    if i > 0 {
                        self.line("} or {");
                    }
                    self.statements(branch);
                    self.last = branch.at.0.end;
                }
                self.line("}");
            }
            StatementKind::Rec { name, body } => {
                self.before(span.start, body.at.0.start, false);
                self.line(&format!("rec {} {{", name.text));
                self.statements(body);
                self.line("}");
            }
            StatementKind::Continue { name } => {
                self.before(span.start, span.end, false);
                self.line(&format!("continue {};", name.text));
            }
            StatementKind::Do { protocol, roles } => {
                self.before(span.start, span.end, false);
                self.line(&format!("do {protocol}({});", names(roles)));
            }
            StatementKind::Local {
                role,
                actions,
                block,
            } => {
                self.before(span.start, block.0.start, false);
                self.local(role, actions, block.0);
            }
        }
    }

    fn local(&mut self, role: &Name, actions: &[Action], block: Span) {
        let head = format!("at {} {{", role.text);
        let lines: Vec<String> = actions.iter().map(action_line).collect();
        let line = match lines.as_slice() {
            [] => Some(format!("{head}}}")),
            [action] => Some(format!("{head} {action} }}")),
            [_, ..] => None,
        };
        let width = COLUMNS.saturating_sub(self.depth * INDENT.len());
        if let Some(line) = line.filter(|line| line.len() <= width && !self.has_comments(block)) {
            return self.line(&line);
        }
        self.line(&head);
        self.lines(
            actions,
            block,
            |action| action.at.0,
            |printer, action| {
                printer.before(action.at.0.start, action.at.0.end, false);
                printer.line(&action_line(action));
            },
        );
        self.line("}");
    }
}

fn operation_line(operation: &Operation) -> String {
    let Operation {
        class,
        name,
        params,
        result,
        within,
        retry,
        ..
    } = operation;
    let mut line = format!("{} {}({})", class.keyword(), name.text, params_text(params));
    if let Some(result) = result {
        line.push_str(&format!(" -> {}", sort(result)));
    }
    if let Some(within) = within {
        line.push_str(&format!(" within {}", duration(*within)));
    }
    if let Some(retry) = retry {
        line.push_str(&format!(" retry {retry}"));
    }
    line.push(';');
    line
}

fn message_line(message: &Message) -> String {
    let Message {
        label,
        payloads,
        from,
        to,
    } = message;
    let payloads = match payloads {
        Some(payloads) => format!("({})", params_text(payloads)),
        None => String::new(),
    };
    format!(
        "{}{payloads} from {} to {};",
        label.text,
        from.text,
        names(to)
    )
}

fn action_line(action: &Action) -> String {
    let Action {
        bind,
        check,
        interface,
        operation,
        args,
        within,
        otherwise,
        ..
    } = action;
    let mut line = String::new();
    if let Some(bind) = bind {
        line.push_str(&format!("let {} = ", bind.text));
    }
    if *check {
        line.push_str("check ");
    }
    let args: Vec<String> = args.iter().map(argument).collect();
    line.push_str(&format!(
        "{interface}.{}({})",
        operation.text,
        args.join(", ")
    ));
    if let Some(within) = within {
        line.push_str(&format!(" within {}", duration(*within)));
    }
    if let Some(otherwise) = otherwise {
        line.push_str(&format!(" else {}", otherwise.text));
    }
    line.push(';');
    line
}

fn argument(argument: &Argument) -> String {
    match argument {
        Argument::Name(name) => name.text.clone(),
        Argument::Bool(value, _) => value.to_string(),
        Argument::Number(number, _) => number.to_string(),
        Argument::Text(text, _) => format!("\"{text}\""),
    }
}

fn params_text(params: &[Param]) -> String {
    let params: Vec<String> = params
        .iter()
        .map(|param| match &param.name {
            Some(name) => format!("{}: {}", name.text, sort(&param.sort)),
            None => sort(&param.sort),
        })
        .collect();
    params.join(", ")
}

fn sort(term: &SortTerm) -> String {
    match &term.kind {
        SortKind::Named(path) => path.to_string(),
        SortKind::List(item) => format!("[{}]", sort(item)),
        SortKind::Option(item) => format!("{}?", sort(item)),
    }
}

fn duration(duration: Duration) -> String {
    format!("{}{}", duration.amount, duration.unit.suffix())
}

fn names(names: &[Name]) -> String {
    names
        .iter()
        .map(|name| name.text.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
