//! Images as text. References into tables are shown as names.

use std::fmt::Write;

use antiphon_machine::{
    Arm, Class, CodeImage, Instruction, LabelId, Operation, OperationId, Pc, Reg, RoleId, State,
    Value,
};

use crate::automaton::{quoted, sort_texts};

/// The image's operations and programs as readable text. Accepts any image, verified or not; a
/// dangling reference is shown as its number.
pub fn disassemble(image: &CodeImage) -> String {
    let mut out = format!("image {} version {}\n", image.name, image.version);
    if !image.operations.is_empty() {
        out.push_str("\noperations\n");
    }
    let view = View {
        image,
        sorts: sort_texts(&image.sorts),
    };
    for (number, operation) in image.operations.iter().enumerate() {
        let _ = writeln!(out, "  {number:>3}  {}", view.declaration(operation));
    }
    for (number, program) in image.programs.iter().enumerate() {
        let registers = program.registers;
        let _ = writeln!(out, "\nprogram {} of {registers} registers", program.name);
        if let Some(role) = image.roles.get(number) {
            let ends = role
                .automaton
                .states
                .iter()
                .filter(|state| **state == State::End)
                .count();
            let states = role.automaton.states.len();
            let _ = writeln!(
                out,
                "  automaton of {states} states, {ends} of them the end"
            );
        }
        let mut before = None;
        for (pc, instruction) in program.code.iter().enumerate() {
            let text = match (before, instruction) {
                (Some(decision), Instruction::Branch { cond, table })
                    if view.decides(decision, *cond) =>
                {
                    view.decision(*cond, table)
                }
                _ => view.instruction(instruction),
            };
            let _ = writeln!(out, "  {pc:>4}  {text}");
            before = Some(instruction);
        }
    }
    out
}

struct View<'i> {
    image: &'i CodeImage,
    sorts: Vec<String>,
}

impl View<'_> {
    fn label(&self, id: LabelId) -> String {
        self.image
            .labels
            .get(id.index())
            .cloned()
            .unwrap_or_else(|| format!("label{id}"))
    }

    fn role(&self, id: RoleId) -> String {
        let role = self.image.roles.get(id.index());
        role.map_or_else(|| format!("role{id}"), |role| role.name.clone())
    }

    fn sort(&self, id: antiphon_machine::SortId) -> String {
        match self.image.sorts.get(id.index()) {
            Some(antiphon_machine::Sort::Arm(labels)) => {
                let labels: Vec<_> = labels.iter().map(|label| self.label(*label)).collect();
                format!("one of {}", labels.join(" "))
            }
            Some(_) => self.sorts[id.index()].clone(),
            None => format!("sort{id}"),
        }
    }

    fn declaration(&self, operation: &Operation) -> String {
        let args: Vec<_> = operation.args.iter().map(|sort| self.sort(*sort)).collect();
        let mut out = format!(
            "{}({}) -> {}",
            self.name(operation),
            args.join(", "),
            self.sort(operation.result)
        );
        let class = match operation.class {
            Class::Produce { .. } | Class::Decide { .. } | Class::Deliver { .. } => "",
            Class::Command => " command",
            Class::Observe => " observation",
            Class::Check => " check",
        };
        out.push_str(class);
        if let Some(ticks) = operation.budget {
            let _ = write!(out, " within {ticks}");
        }
        if operation.retries > 0 {
            let _ = write!(out, " retried {}", operation.retries);
        }
        out
    }

    /// `Interface.operation`, followed for the host's operations by the message or choice in
    /// question.
    fn name(&self, operation: &Operation) -> String {
        let interface = self.image.interfaces.get(usize::from(operation.interface));
        let interface = interface.map_or("?", |interface| interface.name.as_str());
        let about = match &operation.class {
            Class::Produce { label, peer } => {
                format!("[{} to {}]", self.label(*label), self.role(*peer))
            }
            Class::Deliver { label, peer } => {
                format!("[{} from {}]", self.label(*label), self.role(*peer))
            }
            Class::Decide { labels, peer } => {
                let labels: Vec<_> = labels.iter().map(|label| self.label(*label)).collect();
                format!("[{} to {}]", labels.join("|"), self.role(*peer))
            }
            Class::Command | Class::Observe | Class::Check => String::new(),
        };
        format!("{interface}.{}{about}", operation.name)
    }

    fn operation(&self, id: OperationId) -> String {
        let operation = self.image.operations.get(id.index());
        operation.map_or_else(
            || format!("operation{id}"),
            |operation| self.name(operation),
        )
    }

    fn instruction(&self, instruction: &Instruction) -> String {
        match instruction {
            Instruction::Send { chan, label, val } => {
                let label = self.label(*label);
                format!("send     {label} <- {} over {}", r(*val), r(*chan))
            }
            Instruction::Receive { chan, label, dst } => {
                let label = self.label(*label);
                format!("receive  {label} -> {} over {}", r(*dst), r(*chan))
            }
            Instruction::Offer {
                chan,
                selector,
                arms,
            } => {
                let arms = listed(arms, |arm| self.arm(arm));
                format!("offer    by {} over {}: {arms}", r(*selector), r(*chan))
            }
            Instruction::Choose { chan, dst, table } => {
                let rows = listed(table, |row| then(&self.label(row.0), row.1));
                format!("choose   {} over {}: {rows}", r(*dst), r(*chan))
            }
            Instruction::Invoke {
                operation,
                args,
                dst,
                on_failure,
            } => {
                let call = self.call(*operation, args);
                format!("invoke   {} = {call}{}", r(*dst), failure(*on_failure))
            }
            Instruction::Check {
                operation,
                args,
                dst,
                witness,
                on_failure,
            } => {
                let call = self.call(*operation, args);
                let (dst, witness) = (r(*dst), r(*witness));
                format!("check    {dst}, {witness} = {call}{}", failure(*on_failure))
            }
            Instruction::Spawn { program, args, dst } => {
                let name = self.image.programs.get(program.index());
                let name = name.map_or_else(|| format!("program{program}"), |p| p.name.clone());
                format!("spawn    {} = {name}({})", r(*dst), registers(args))
            }
            Instruction::Set { dst, value } => format!("set      {} = {}", r(*dst), text(value)),
            Instruction::Move { dst, src } => format!("move     {} = {}", r(*dst), r(*src)),
            Instruction::Jump { target } => format!("jump     {}", pc(*target)),
            Instruction::Branch { cond, table } => {
                let rows = listed(table, |row| then(&row.0.to_string(), row.1));
                format!("branch   {}: {rows}", r(*cond))
            }
            Instruction::Yield => "yield".to_owned(),
            Instruction::Close => "close".to_owned(),
            Instruction::Halt => "halt".to_owned(),
        }
    }

    fn arm(&self, arm: &Arm) -> String {
        then(
            &format!("{} <- {}", self.label(arm.label), r(arm.val)),
            arm.target,
        )
    }

    /// Whether the instruction asks the host for a decision and stores it in the register.
    fn decides(&self, instruction: &Instruction, register: Reg) -> bool {
        let Instruction::Invoke { operation, dst, .. } = instruction else {
            return false;
        };
        let class = self
            .image
            .operations
            .get(operation.index())
            .map(|own| &own.class);
        *dst == register && matches!(class, Some(Class::Decide { .. }))
    }

    /// A branch on a decision, whose numbers are labels.
    fn decision(&self, cond: Reg, table: &[(u64, Pc)]) -> String {
        let label = |number: u64| match u16::try_from(number) {
            Ok(id) => self.label(LabelId(id)),
            Err(_) => number.to_string(),
        };
        let rows = listed(table, |row| then(&label(row.0), row.1));
        format!("branch   {}: {rows}", r(cond))
    }

    fn call(&self, operation: OperationId, args: &[Reg]) -> String {
        format!("{}({})", self.operation(operation), registers(args))
    }
}

fn listed<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn then(what: &str, target: Pc) -> String {
    format!("{what} then {}", pc(target))
}

fn r(register: Reg) -> String {
    format!("r{register}")
}

fn registers(all: &[Reg]) -> String {
    all.iter()
        .map(|register| r(*register))
        .collect::<Vec<_>>()
        .join(", ")
}

fn pc(target: Pc) -> String {
    format!("@{target}")
}

fn failure(target: Option<Pc>) -> String {
    target.map_or_else(String::new, |target| format!(" else {}", pc(target)))
}

/// A constant. Lists and records do not occur in compiled code; only their length is shown.
fn text(value: &Value) -> String {
    match value {
        Value::Unit => "unit".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Nat(n) => n.to_string(),
        Value::Int(n) => format!("{n:+}"),
        Value::Text(text) => quoted(text),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::List(items) => format!("list of {}", items.len()),
        Value::Record(fields) => format!("record of {}", fields.len()),
        Value::Endpoint(role) => format!("endpoint {role}"),
        Value::Evidence(number) => format!("evidence {number}"),
    }
}
