//! Images as text. References into tables are shown as names.

use std::fmt::Write;

use antiphon_machine::text::Printer;
use antiphon_machine::{Class, CodeImage, Operation, OperationId, State};

/// The number of characters after which a sort's text is cut. In an image that is not verified, the
/// text of a sort can be exponentially longer than its table.
const SORT_TEXT_MAX: usize = 200;

/// The image's operations and programs as readable text. Accepts any image, verified or not; a
/// dangling reference is shown as its number.
pub fn disassemble(image: &CodeImage) -> String {
    // Constants are not cut.
    let printer = Printer::new(image).with_width(usize::MAX);
    let mut out = format!("image {} version {}\n", image.name, image.version);
    if !image.operations.is_empty() {
        out.push_str("\noperations\n");
    }
    for (id, operation) in (0u16..).map(OperationId).zip(&image.operations) {
        let number = id.index();
        let _ = writeln!(
            out,
            "  {number:>3}  {}",
            declaration(&printer, id, operation)
        );
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
        for pc in 0..program.code.len() {
            let text = printer.instruction_at(&program.code, pc);
            let _ = writeln!(out, "  {pc:>4}  {}", text.unwrap_or_default());
        }
    }
    out
}

/// An operation with its sorts, its class and its limits.
fn declaration(printer: &Printer<'_>, id: OperationId, operation: &Operation) -> String {
    let sorts = printer.with_width(SORT_TEXT_MAX);
    let args = operation.args.iter().map(|sort| sorts.sort(*sort));
    let mut out = format!(
        "{} ({}) -> {}",
        printer.operation(id),
        args.collect::<Vec<_>>().join(", "),
        sorts.sort(operation.result)
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
