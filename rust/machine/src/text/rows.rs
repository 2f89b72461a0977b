//! The texts of instructions, events, faults and inputs, which are columns of their tables.

use super::Printer;
use super::parts::Part;
use crate::event::Event;
use crate::fault::Fault;
use crate::image::Instruction;
use crate::input::Ingress;
use crate::operand::Operand;

macro_rules! instruction_text {
    ($(
        $(#[$doc:meta])*
        $number:literal = $variant:ident ($text:literal, $results:tt, $faults:tt)
        $({ $($(#[$field_doc:meta])* $field:ident: @$role:ident $of:ty),* $(,)? })?;
    )*) => {
        pub(super) fn instruction(instruction: &Instruction, by: &Printer<'_>) -> String {
            match instruction {$(
                Instruction::$variant $({ $($field),* })? => {
                    $($(let $field = by.operand(operand!($role $field));)*)?
                    std::fmt::format(format_args!($text))
                }
            )*}
        }
    };
}

for_each_instruction! { instruction_text }

macro_rules! event_text {
    ($(
        $(#[$doc:meta])*
        $number:literal = $variant:ident ($name:literal, $is_trouble:literal, $text:literal)
        $({ $($(#[$field_doc:meta])* $field:ident: $of:ty),* $(,)? })?
        $(= $item:ident: $item_of:ty)?;
    )*) => {
        #[allow(unused_variables, reason = "not every text has all fields")]
        pub(super) fn event(event: &Event, by: &Printer<'_>) -> String {
            match event {$(
                Event::$variant $({ $($field),* })? $(($item))? => {
                    $($(let $field = $field.print(by);)*)?
                    $(let $item = $item.print(by);)?
                    std::fmt::format(format_args!($text))
                }
            )*}
        }
    };
}

for_each_event! { event_text }

macro_rules! input_text {
    ($(
        $(#[$doc:meta])*
        $number:literal = $variant:ident ($refusals:tt, $text:literal)
        { $($(#[$field_doc:meta])* $field:ident: $of:ty),* $(,)? };
    )*) => {
        pub(super) fn input(input: &Ingress, by: &Printer<'_>) -> String {
            match input {$(
                Ingress::$variant { $($field),* } => {
                    $(let $field = $field.print(by);)*
                    format!($text)
                }
            )*}
        }
    };
}

for_each_input! { input_text }

// A fault without a text in its table has that of `Display`, with numbers, which the machine also
// stores as the detail of an outcome.
macro_rules! text_of_fault {
    ($fault:ident, $by:ident, (), [$($field:ident)*]) => { $fault.to_string() };
    ($fault:ident, $by:ident, ($text:literal), [$($field:ident)*]) => {{
        $(let $field = $field.print($by);)*
        format!($text)
    }};
}

macro_rules! fault_text {
    ($(
        $(#[$doc:meta])*
        $number:literal = $variant:ident $text:tt
        $({ $($(#[$field_doc:meta])* $field:ident: $of:ty),* $(,)? })?;
    )*) => {
        #[allow(unused_variables, reason = "a fault without a text of its own needs no field")]
        pub(super) fn fault(fault: &Fault, by: &Printer<'_>) -> String {
            match fault {$(
                Fault::$variant $({ $($field),* })? => {
                    text_of_fault!(fault, by, $text, [$($($field)*)?])
                }
            )*}
        }
    };
}

for_each_fault! { fault_text }
