//! The schema of everything that has canonical bytes: which types there are, their alternatives, their fields, in order.
//!
//! It is read off the types themselves, by the same macros that give them their bytes, so it cannot say otherwise. The
//! bridge compares it with the model's.

use crate::buffer::{Buffer, Parcel};
use crate::config::{DeterminismMode, ProtocolMachineConfig, SchedulingPolicy};
pub use crate::described::Row;
use crate::described::{Described, field, row};
use crate::event::{End, Event, Message, ObsEvent, Stamp};
use crate::fault::{Action, Fault, Refusal, Table};
use crate::ids::*;
use crate::image::*;
use crate::input::{Ingress, On, Rest, Resumed, Step, Taken, Wait};
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::session::{
    Coroutine, Edge, Effect, Endpoint, Phase, Session, Status, Witness, WitnessKind,
};
use crate::value::{Form, Value};

/// The rows of the given types, in their order.
macro_rules! rows_of {
    ($($type:ty)*) => {{
        let mut rows = Vec::new();
        $(rows.extend(<$type as Described>::rows());)*
        rows
    }};
}

/// Every type that has canonical bytes.
pub fn schema() -> Vec<Row> {
    rows_of! {
        CodeImage Role Automaton State Transition Sort Interface Operation Class Program Instruction Arm Value Form
        ProtocolMachineConfig SchedulingPolicy DeterminismMode Session Phase End Endpoint Coroutine Status On Edge Parcel
        Effect Witness WitnessKind Stamp ObsEvent Event Message Fault Table Action FailureKind Outcome Failure EffectId
        Refusal Ingress Pick Step Resumed Taken Rest Wait
    }
}

/// The fields in the order in which a type's bytes have them.
macro_rules! structures {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl Described for $name {
            fn type_name() -> String {
                stringify!($name).to_owned()
            }
            fn rows() -> Vec<Row> {
                let fields = vec![$(field(stringify!($field), |s: &$name| &s.$field)),*];
                vec![row(stringify!($name), 0, "mk", fields)]
            }
        }
    )*};
}

impl Described for Buffer {
    fn type_name() -> String {
        <Vec<Parcel>>::type_name()
    }
}

// These two have their bytes written by hand: a session names its image by digest, an edge puts its count first.
structures! {
    Session {
        id, image, phase, live, epoch, events, effects_issued, witnesses_issued, endpoints, coroutines, edges, effects,
        witnesses, owner,
    }
    Edge { sent, queue }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_types_alternatives_and_fields_in_order() {
        let rows = schema();
        let shown = |row: &Row| {
            let fields = row.fields.iter().map(|(name, of)| format!(" {name}:{of}"));
            let fields = fields.collect::<String>();
            format!("{} {} {}{fields}", row.type_name, row.number, row.name)
        };
        let text = rows.iter().map(shown).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(text);
    }
}
