use std::fmt::Write;

use super::literal::{NONE, SOME, is_word};
use super::parts::{Part, payload_sort};
use super::{line, misleads, rows};
use crate::event::{Event, Message};
use crate::fault::Fault;
use crate::ids::{EdgeId, LabelId, OperationId, ProgramId, RoleId, SortId};
use crate::image::{Arm, Class, CodeImage, Instruction, Sort};
use crate::input::Ingress;
use crate::operand::Operand;
use crate::outcome::Outcome;
use crate::value::Value;
use crate::verify::VerifiedImage;

/// Prints values, sorts, instructions, faults, events and inputs, on one line each unless the
/// printer is [indented](Self::indented).
///
/// Names come from an image and are made safe for a terminal by [`line()`](super::line()). Without
/// an image, or where it has no name, numbers are printed.
#[derive(Clone, Copy, Debug)]
pub struct Printer<'i> {
    image: Option<&'i CodeImage>,
    /// The sender and the receiver of each edge; empty if the image is not verified.
    edges: &'i [(RoleId, RoleId)],
    /// The sort of the results of effects.
    result: Option<SortId>,
    width: usize,
    is_indented: bool,
}

/// The text of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The text.
    pub text: String,
    /// Whether the width was too small for all of the value. The text of a value that is not cut
    /// can be read back; see [`Literal`](super::Literal).
    pub is_cut: bool,
}

impl<'i> Printer<'i> {
    /// Default of the width in characters: a request with its arguments fits on a line or two.
    pub const WIDTH: usize = 64;

    /// A printer with the names of this image.
    pub fn new(image: &'i CodeImage) -> Printer<'i> {
        Printer::of(Some(image))
    }

    /// A printer with the names of an image if there is one.
    pub fn of(image: Option<&'i CodeImage>) -> Printer<'i> {
        Printer {
            image,
            edges: &[],
            result: None,
            width: Printer::WIDTH,
            is_indented: false,
        }
    }

    /// A printer with the names of a verified image if there is one. It can also name the sender
    /// and the receiver of a message.
    pub fn verified(image: Option<&'i VerifiedImage>) -> Printer<'i> {
        Printer {
            edges: image.map_or(&[], VerifiedImage::edges),
            ..Printer::of(image.map(VerifiedImage::image))
        }
    }

    /// Sets the sort of the results of effects, in events and in inputs: that of this operation.
    #[must_use]
    pub fn with_result(self, operation: Option<OperationId>) -> Printer<'i> {
        let row = operation.and_then(|id| self.image?.operations.get(id.index()));
        Printer {
            result: row.map(|row| row.result),
            ..self
        }
    }

    /// Sets the number of characters after which a value or a sort is cut. The text is a little
    /// longer, because it tells how much is missing.
    #[must_use]
    pub fn with_width(self, width: usize) -> Printer<'i> {
        Printer { width, ..self }
    }

    /// Puts each item of a list and each field of a record on a line of its own, indented by two
    /// blanks a level.
    #[must_use]
    pub fn indented(self) -> Printer<'i> {
        Printer {
            is_indented: true,
            ..self
        }
    }

    /// A value in the notation of scripts, with the names of its sort. When it is cut, the text
    /// ends with the number of bytes or items that are missing.
    pub fn value(&self, value: &Value, sort: Option<SortId>) -> String {
        self.print(value, sort).text
    }

    /// A value as [`value`](Self::value) prints it, and whether it is cut.
    pub fn print(&self, value: &Value, sort: Option<SortId>) -> Printed {
        let mut out = Line::new(*self);
        out.value(value, sort);
        Printed {
            text: out.text,
            is_cut: out.is_cut,
        }
    }

    /// Quoted text, as a value of sort `Text` is printed.
    pub fn text(&self, text: &str) -> String {
        let mut out = Line::new(*self);
        out.quoted(text);
        out.text
    }

    /// A sort in the notation of protocols.
    pub fn sort(&self, sort: SortId) -> String {
        let mut out = Line::new(*self);
        out.sort(sort);
        out.text
    }

    /// A role's name, or its number.
    pub fn role(&self, id: RoleId) -> String {
        let role = self.image.and_then(|image| image.roles.get(id.index()));
        role.map_or_else(|| format!("role {id}"), |role| line(&role.name))
    }

    /// A label's name, or its number.
    pub fn label(&self, id: LabelId) -> String {
        let name = self.image.and_then(|image| image.labels.get(id.index()));
        name.map_or_else(|| format!("label {id}"), |name| line(name))
    }

    /// A program's name, or its number.
    pub fn program(&self, id: ProgramId) -> String {
        let program = self.image.and_then(|image| image.programs.get(id.index()));
        program.map_or_else(|| format!("program {id}"), |program| line(&program.name))
    }

    /// An operation as `interface.name`. An operation of a role's host is followed by its labels
    /// and the peer.
    pub fn operation(&self, id: OperationId) -> String {
        let row = self
            .image
            .and_then(|image| Some((image, image.operations.get(id.index())?)));
        let Some((image, row)) = row else {
            return format!("operation {id}");
        };
        let interface = image.interfaces.get(usize::from(row.interface));
        let interface = interface.map_or_else(String::new, |i| format!("{}.", line(&i.name)));
        let message = match &row.class {
            Class::Produce { label, peer } => {
                format!(" {} to {}", self.label(*label), self.role(*peer))
            }
            Class::Decide { labels, peer } => {
                let labels = joined(labels, "|", |label| self.label(*label));
                format!(" {labels} to {}", self.role(*peer))
            }
            Class::Deliver { label, peer } => {
                format!(" {} from {}", self.label(*label), self.role(*peer))
            }
            Class::Command | Class::Observe | Class::Check => String::new(),
        };
        format!("{interface}{}{message}", line(&row.name))
    }

    /// The instruction at this place of a program. A branch on a choice of the host, which directly
    /// follows the request for it, has the names of the labels.
    pub fn instruction_at(&self, code: &[Instruction], pc: usize) -> Option<String> {
        let instruction = code.get(pc)?;
        let before = pc.checked_sub(1).and_then(|pc| code.get(pc));
        Some(match (before, instruction) {
            (
                Some(Instruction::Invoke { operation, dst, .. }),
                Instruction::Branch { cond, table },
            ) if dst == cond && self.is_choice(*operation) => {
                let label = |number: u64| match u16::try_from(number) {
                    Ok(id) => self.label(LabelId(id)),
                    Err(_) => number.to_string(),
                };
                let rows = joined(table, ", ", |(n, pc)| format!("{} -> {pc}", label(*n)));
                format!("branch r{cond} {{ {rows} }}")
            }
            (_, instruction) => self.instruction(instruction),
        })
    }

    fn is_choice(&self, id: OperationId) -> bool {
        let row = self
            .image
            .and_then(|image| image.operations.get(id.index()));
        matches!(row.map(|row| &row.class), Some(Class::Decide { .. }))
    }

    /// An instruction with its operands.
    pub fn instruction(&self, instruction: &Instruction) -> String {
        rows::instruction(instruction, self)
    }

    pub(super) fn operand(&self, operand: Operand<'_>) -> String {
        match operand {
            Operand::Endpoint(register) | Operand::Read(register) | Operand::Write(register) => {
                format!("r{register}")
            }
            Operand::Arguments(registers) => joined(registers, ", ", |r| format!("r{r}")),
            Operand::Label(label) => self.label(label),
            Operand::Operation(operation) => self.operation(operation),
            Operand::Program(program) => self.program(program),
            Operand::Constant(value) => self.value(value, None),
            Operand::Target(pc) => pc.to_string(),
            Operand::Failure(None) => String::new(),
            Operand::Failure(Some(pc)) => format!(", on failure -> {pc}"),
            Operand::Arms(arms) => joined(arms, ", ", |Arm { label, val, target }| {
                format!("{} r{val} -> {target}", self.label(*label))
            }),
            Operand::Labels(table) => joined(table, ", ", |(label, pc)| {
                format!("{} -> {pc}", self.label(*label))
            }),
            Operand::Numbers(table) => joined(table, ", ", |(n, pc)| format!("{n} -> {pc}")),
        }
    }

    /// A fault, with names in place of numbers where the image has them.
    pub fn fault(&self, fault: &Fault) -> String {
        rows::fault(fault, self)
    }

    /// An event, without its stamp. The printer should be one [with the result's
    /// sort](Self::with_result) of an event that ends an effect.
    pub fn event(&self, event: &Event) -> String {
        rows::event(event, self)
    }

    /// An input.
    pub fn input(&self, input: &Ingress) -> String {
        rows::input(input, self)
    }

    /// An outcome. The printer should be one [with the result's sort](Self::with_result).
    pub fn outcome(&self, outcome: &Outcome) -> String {
        outcome.print(self)
    }

    /// The sort of the payload of an event's message, if the printer has a verified image.
    pub fn message_sort(&self, message: &Message) -> Option<SortId> {
        let ends = self.ends(message.edge)?;
        payload_sort(self.image?, ends, message.label, &message.payload)
    }

    pub(super) fn ends(&self, edge: EdgeId) -> Option<(RoleId, RoleId)> {
        self.edges.get(edge.index()).copied()
    }

    pub(super) fn result(&self) -> Option<SortId> {
        self.result
    }

    /// The name of a number that is a variant or a label of the sort. `None` if the sort does not
    /// have the number, or the name could not be read back.
    fn word(&self, sort: &'i Sort, number: u64) -> Option<&'i str> {
        let row = usize::try_from(number).ok()?;
        let name = match sort {
            Sort::Enum { variants, .. } => variants.get(row)?.as_str(),
            Sort::Arm(_) => self.image?.labels.get(row)?.as_str(),
            Sort::Unit
            | Sort::Bool
            | Sort::Nat
            | Sort::Int
            | Sort::Text
            | Sort::Bytes
            | Sort::List(_)
            | Sort::Option(_)
            | Sort::Record { .. }
            | Sort::Foreign { .. } => return None,
        };
        is_word(name).then_some(name)
    }

    /// Whether a value of this sort is written `none` or `some(...)`, so that an optional value
    /// with this item must be written `some(item)`.
    fn is_like_none(&self, value: &Value, sort: SortId) -> bool {
        match (value, self.sort_row(Some(sort))) {
            (Value::List(items), Some(Sort::Option(item))) => items
                .first()
                .is_none_or(|value| self.is_like_none(value, *item)),
            (Value::Nat(n), Some(row)) => self.word(row, *n) == Some(NONE),
            _ => false,
        }
    }

    /// The row of a sort, if the image has it.
    pub(super) fn sort_row(&self, sort: Option<SortId>) -> Option<&'i Sort> {
        self.image?.sorts.get(sort?.index())
    }
}

fn joined<T>(items: &[T], separator: &str, text: impl Fn(&T) -> String) -> String {
    let texts: Vec<String> = items.iter().map(text).collect();
    texts.join(separator)
}

/// A line that a printer writes.
pub(super) struct Line<'i> {
    pub(super) printer: Printer<'i>,
    pub(super) text: String,
    is_cut: bool,
    /// Lists and records around the current position.
    depth: usize,
}

impl<'i> Line<'i> {
    pub(super) fn new(printer: Printer<'i>) -> Line<'i> {
        Line {
            printer,
            text: String::new(),
            is_cut: false,
            depth: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.text.len() >= self.printer.width
    }

    pub(super) fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }

    pub(super) fn value(&mut self, value: &Value, sort: Option<SortId>) {
        match (value, self.printer.sort_row(sort)) {
            (Value::Unit, _) => self.text.push_str("()"),
            (Value::Bool(b), _) => self.push(format_args!("{b}")),
            (Value::Nat(n), Some(sort)) => match self.printer.word(sort, *n) {
                Some(word) => self.text.push_str(word),
                None => self.push(format_args!("{n}")),
            },
            (Value::Nat(n), None) => self.push(format_args!("{n}")),
            (Value::Int(n), _) => self.push(format_args!("{n}")),
            (Value::Text(text), _) => self.quoted(text),
            (Value::Bytes(bytes), _) => self.bytes(bytes),
            (Value::List(items), Some(Sort::Option(item))) => match items.first() {
                Some(value) if self.printer.is_like_none(value, *item) => {
                    self.text.push_str(SOME);
                    self.value(value, Some(*item));
                    self.text.push(')');
                }
                Some(value) => self.value(value, Some(*item)),
                None => self.text.push_str(NONE),
            },
            (Value::List(items), sort) => {
                let item = match sort {
                    Some(Sort::List(item)) => Some(*item),
                    Some(_) | None => None,
                };
                self.items('[', ']', items.iter().map(|value| (None, value, item)));
            }
            (Value::Record(items), Some(Sort::Record { name, fields })) => {
                let named = !name.is_empty() && fields.iter().all(|(field, _)| is_word(field));
                let fields = fields.iter().zip(items.iter());
                let items = fields.map(|((field, sort), value)| {
                    (named.then_some(field.as_str()), value, Some(*sort))
                });
                let (open, close) = if named { ('{', '}') } else { ('(', ')') };
                self.items(open, close, items);
            }
            (Value::Record(items), _) => {
                self.items('(', ')', items.iter().map(|value| (None, value, None)));
            }
            (Value::Endpoint(role), _) => self.push(format_args!("<endpoint {role}>")),
            (Value::Evidence(number), _) => self.push(format_args!("<witness {number}>")),
        }
    }

    fn items<'v>(
        &mut self,
        open: char,
        close: char,
        items: impl ExactSizeIterator<Item = (Option<&'v str>, &'v Value, Option<SortId>)>,
    ) {
        let len = items.len();
        self.text.push(open);
        self.depth += 1;
        for (n, (name, value, sort)) in items.enumerate() {
            match (n, self.printer.is_indented) {
                (0, false) => {}
                (0, true) => self.new_line(),
                (_, false) => self.text.push_str(", "),
                (_, true) => {
                    self.text.push(',');
                    self.new_line();
                }
            }
            if self.is_full() {
                self.is_cut = true;
                self.push(format_args!("… {} more", len - n));
                break;
            }
            if let Some(name) = name {
                self.push(format_args!("{}: ", line(name)));
            }
            self.value(value, sort);
        }
        self.depth -= 1;
        if self.printer.is_indented && len > 0 {
            self.new_line();
        }
        self.text.push(close);
    }

    fn new_line(&mut self) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n("  ", self.depth));
    }

    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for (at, c) in text.char_indices() {
            if self.is_full() {
                self.is_cut = true;
                self.push(format_args!("\"… {} bytes more", text.len() - at));
                return;
            }
            self.character(c);
        }
        self.text.push('"');
    }

    pub(super) fn character(&mut self, c: char) {
        match c {
            '"' | '\\' => self.push(format_args!("\\{c}")),
            '\n' => self.text.push_str("\\n"),
            '\r' => self.text.push_str("\\r"),
            '\t' => self.text.push_str("\\t"),
            c if c.is_control() || misleads(c) => {
                self.push(format_args!("\\u{{{:x}}}", u32::from(c)));
            }
            c => self.text.push(c),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.text.push_str("b\"");
        for (at, byte) in bytes.iter().enumerate() {
            if self.is_full() {
                self.is_cut = true;
                self.push(format_args!("\"… {} bytes more", bytes.len() - at));
                return;
            }
            self.byte(*byte);
        }
        self.text.push('"');
    }

    pub(super) fn byte(&mut self, byte: u8) {
        match byte {
            b'"' | b'\\' => self.push(format_args!("\\{}", char::from(byte))),
            b'\n' => self.text.push_str("\\n"),
            b'\r' => self.text.push_str("\\r"),
            b'\t' => self.text.push_str("\\t"),
            0x20..=0x7e => self.text.push(char::from(byte)),
            byte => self.push(format_args!("\\x{byte:02x}")),
        }
    }

    fn sort(&mut self, id: SortId) {
        if self.is_full() {
            self.text.push('…');
            return;
        }
        match self.printer.sort_row(Some(id)) {
            None => self.push(format_args!("sort {id}")),
            Some(Sort::Unit) => self.text.push_str("Unit"),
            Some(Sort::Bool) => self.text.push_str("Bool"),
            Some(Sort::Nat) => self.text.push_str("Nat"),
            Some(Sort::Int) => self.text.push_str("Int"),
            Some(Sort::Text) => self.text.push_str("Text"),
            Some(Sort::Bytes) => self.text.push_str("Bytes"),
            Some(Sort::List(item)) => {
                self.text.push('[');
                self.inner_sort(*item, id);
                self.text.push(']');
            }
            Some(Sort::Option(item)) => {
                self.inner_sort(*item, id);
                self.text.push('?');
            }
            Some(Sort::Record { name, fields }) if name.is_empty() => self.fields(fields, id),
            Some(Sort::Record { name, .. } | Sort::Enum { name, .. } | Sort::Foreign { name }) => {
                self.text.push_str(&line(name));
            }
            Some(Sort::Arm(labels)) => {
                let printer = self.printer;
                let labels = joined(labels, " | ", |label| printer.label(*label));
                self.text.push_str(&labels);
            }
        }
    }

    /// The sorts of the fields of an unnamed payload list.
    fn fields(&mut self, fields: &[(String, SortId)], id: SortId) {
        self.text.push('(');
        for (n, (name, sort)) in fields.iter().enumerate() {
            if n > 0 {
                self.text.push_str(", ");
            }
            if self.is_full() {
                self.text.push('…');
                break;
            }
            // Fields without a name are called by their number.
            if !name.is_empty() && *name != n.to_string() {
                self.push(format_args!("{}: ", line(name)));
            }
            self.inner_sort(*sort, id);
        }
        self.text.push(')');
    }

    /// A sort that is part of another one. In a verified image its number is smaller; any other is
    /// not followed, so that the text of an unverified image ends too.
    fn inner_sort(&mut self, inner: SortId, outer: SortId) {
        if inner < outer {
            self.sort(inner)
        } else {
            self.push(format_args!("sort {inner}"))
        }
    }
}
