//! How a printer prints the fields of events, faults and inputs.

use std::sync::Arc;

use super::{Printer, digest};
use crate::event::{End, Message};
use crate::fault::{Action, Fault};
use crate::ids::{
    CoroutineId, EffectId, LabelId, OperationId, ProgramId, RoleId, SessionId, SortId, StateId,
};
use crate::image::{CodeImage, State};
use crate::outcome::{Failure, Outcome};
use crate::value::{Form, Value};

/// A field of an event, a fault or an input.
pub(crate) trait Part {
    /// The field's text.
    fn print(&self, by: &Printer<'_>) -> String;
}

macro_rules! displayed {
    ($($of:ty)*) => {$(
        impl Part for $of {
            fn print(&self, _: &Printer<'_>) -> String {
                self.to_string()
            }
        }
    )*};
}

displayed! { u8 u64 SessionId CoroutineId EffectId StateId Action Form }

impl Part for Option<u64> {
    fn print(&self, _: &Printer<'_>) -> String {
        self.map_or_else(|| "none".to_owned(), |number| number.to_string())
    }
}

impl Part for [u8; 32] {
    fn print(&self, _: &Printer<'_>) -> String {
        digest(self)
    }
}

impl Part for Arc<str> {
    fn print(&self, by: &Printer<'_>) -> String {
        by.text(self)
    }
}

impl Part for RoleId {
    fn print(&self, by: &Printer<'_>) -> String {
        by.role(*self)
    }
}

impl Part for LabelId {
    fn print(&self, by: &Printer<'_>) -> String {
        by.label(*self)
    }
}

impl Part for SortId {
    fn print(&self, by: &Printer<'_>) -> String {
        by.sort(*self)
    }
}

impl Part for OperationId {
    fn print(&self, by: &Printer<'_>) -> String {
        by.operation(*self)
    }
}

impl Part for ProgramId {
    fn print(&self, by: &Printer<'_>) -> String {
        by.program(*self)
    }
}

impl Part for End {
    fn print(&self, _: &Printer<'_>) -> String {
        self.name().to_owned()
    }
}

impl Part for Fault {
    fn print(&self, by: &Printer<'_>) -> String {
        by.fault(self)
    }
}

/// The result of an effect.
impl Part for Value {
    fn print(&self, by: &Printer<'_>) -> String {
        by.value(self, by.result())
    }
}

impl Part for Outcome {
    fn print(&self, by: &Printer<'_>) -> String {
        match self {
            Outcome::Success(value) => value.print(by),
            Outcome::Failure(failure) => failure.print(by),
        }
    }
}

impl Part for Failure {
    fn print(&self, by: &Printer<'_>) -> String {
        let Failure { kind, detail } = self;
        if detail.is_empty() {
            format!("failed: {kind}")
        } else {
            format!("failed: {kind}, {}", by.text(detail))
        }
    }
}

impl Part for Message {
    fn print(&self, by: &Printer<'_>) -> String {
        let ends = by.ends(self.edge);
        let (from, to) = match ends {
            Some((from, to)) => (by.role(from), by.role(to)),
            None => (format!("edge {}", self.edge), "?".to_owned()),
        };
        let sort = by.message_sort(self);
        let (label, payload) = (by.label(self.label), by.value(&self.payload, sort));
        format!("{from} -> {to} #{}: {label} {payload}", self.sequence)
    }
}

/// The sort that the sender's automaton gives a message's payload: the first sort of the message's
/// label that the payload is of.
pub fn payload_sort(
    image: &CodeImage,
    (from, receiver): (RoleId, RoleId),
    label: LabelId,
    payload: &Value,
) -> Option<SortId> {
    let states = &image.roles.get(from.index())?.automaton.states;
    let sends = states.iter().filter_map(|state| match state {
        State::Send { to, branches } if *to == receiver => Some(branches),
        State::Send { .. } | State::Recv { .. } | State::End => None,
    });
    let mut sorts = sends
        .flatten()
        .filter(|transition| transition.label == label)
        .map(|transition| transition.sort);
    sorts.find(|sort| payload.is_of(*sort, &image.sorts))
}
