//! Values: what registers hold and messages carry.

use std::sync::Arc;

use crate::ids::{RoleId, SortId};
use crate::image::Sort;

/// A value. Large payloads are shared, not copied.
///
/// What is shared stands behind a pointer of one word (`Arc<Box<_>>`), so that a value is 16 bytes wide: registers and messages are the
/// larger part of a session, and how many sessions a machine gets through is decided by how much memory it reads.
/// [`text`](Self::text), [`bytes`](Self::bytes), [`list`](Self::list), [`record`](Self::record) and `From` make them.
///
/// An optional value is a `List` of at most one element, a variant of an enumeration and a chosen label are `Nat`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// Nothing but its presence.
    #[default]
    Unit,
    /// A truth value.
    Bool(bool),
    /// A whole number from 0.
    Nat(u64),
    /// A whole number with a sign.
    Int(i64),
    /// Text.
    Text(Arc<Box<str>>),
    /// Bytes.
    Bytes(Arc<Box<[u8]>>),
    /// Values of one sort.
    List(Arc<Box<[Value]>>),
    /// The fields of a record, in the order its sort declares.
    Record(Arc<Box<[Value]>>),
    /// The right to speak as a role; never a payload.
    Endpoint(RoleId),
    /// The number of a witness of this session; never a payload.
    Evidence(u64),
}

const _: () = assert!(size_of::<Value>() <= 16);

/// The outermost form of a value, for error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the form of the `Value` of that name")]
pub enum Form {
    Unit,
    Bool,
    Nat,
    Int,
    Text,
    Bytes,
    List,
    Record,
    Endpoint,
    Evidence,
}

impl Value {
    /// The value's outermost form.
    pub fn form(&self) -> Form {
        match self {
            Value::Unit => Form::Unit,
            Value::Bool(_) => Form::Bool,
            Value::Nat(_) => Form::Nat,
            Value::Int(_) => Form::Int,
            Value::Text(_) => Form::Text,
            Value::Bytes(_) => Form::Bytes,
            Value::List(_) => Form::List,
            Value::Record(_) => Form::Record,
            Value::Endpoint(_) => Form::Endpoint,
            Value::Evidence(_) => Form::Evidence,
        }
    }

    /// A text value.
    pub fn text(text: &str) -> Value {
        Value::Text(Arc::new(text.into()))
    }

    /// A bytes value.
    pub fn bytes(bytes: &[u8]) -> Value {
        Value::Bytes(Arc::new(bytes.into()))
    }

    /// A list value.
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(Arc::new(items.into()))
    }

    /// A record value; the fields in the order of the record's sort.
    pub fn record(fields: Vec<Value>) -> Value {
        Value::Record(Arc::new(fields.into()))
    }

    /// An optional value.
    pub fn option(item: Option<Value>) -> Value {
        Value::List(Arc::new(item.into_iter().collect()))
    }

    /// Whether there is nothing to give back when the value goes.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        match self {
            Value::Unit
            | Value::Bool(_)
            | Value::Nat(_)
            | Value::Int(_)
            | Value::Endpoint(_)
            | Value::Evidence(_) => true,
            Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Record(_) => false,
        }
    }

    /// `*place = self`, in line for what most values are.
    #[inline(always)]
    pub(crate) fn put(self, place: &mut Value) {
        match place.is_plain() {
            true => std::mem::forget(std::mem::replace(place, self)),
            false => *place = self,
        }
    }

    /// Puts a copy in a place, as `*place = self.clone()` does. Small values are written there field by field: made
    /// elsewhere and moved as a whole, they would be read back wider than they were written, for which a processor
    /// waits until the writing is done.
    #[inline(always)]
    pub(crate) fn copy_to(&self, place: &mut Value) {
        match self {
            Value::Unit => Value::Unit.put(place),
            Value::Bool(b) => Value::Bool(*b).put(place),
            // The form first and the number then: the compiler knows that `Value::Nat(*n)` is `*self`, and moves it as a whole.
            Value::Nat(n) => {
                Value::Nat(0).put(place);
                if let Value::Nat(slot) = place {
                    *slot = *n;
                }
            }
            Value::Int(i) => {
                Value::Int(0).put(place);
                if let Value::Int(slot) = place {
                    *slot = *i;
                }
            }
            Value::Text(_)
            | Value::Bytes(_)
            | Value::List(_)
            | Value::Record(_)
            | Value::Endpoint(_)
            | Value::Evidence(_) => self.clone().put(place),
        }
    }

    /// Moves the value to a place, and leaves some value behind; see [`copy_to`](Self::copy_to).
    #[inline(always)]
    pub(crate) fn move_to(&mut self, place: &mut Value) {
        match self.is_plain() {
            true => self.copy_to(place),
            false => std::mem::take(self).put(place),
        }
    }

    /// Whether the value is of the sort. Constant time but for lists and records, which are walked, and the labels of a choice,
    /// which are searched in order.
    ///
    /// A sort that the table does not hold has no values.
    #[inline]
    pub fn is_of(&self, sort: SortId, sorts: &[Sort]) -> bool {
        let Some(sort) = sorts.get(sort.index()) else {
            return false;
        };
        match (self, sort) {
            (Value::Unit, Sort::Unit)
            | (Value::Bool(_), Sort::Bool)
            | (Value::Nat(_), Sort::Nat)
            | (Value::Int(_), Sort::Int)
            | (Value::Text(_), Sort::Text)
            | (Value::Bytes(_), Sort::Bytes | Sort::Foreign { .. }) => true,
            (Value::Nat(n), Sort::Arm(labels)) => labels.iter().any(|l| u64::from(l.0) == *n),
            _ => self.is_of_compound(sort, sorts),
        }
    }

    fn is_of_compound(&self, sort: &Sort, sorts: &[Sort]) -> bool {
        match (self, sort) {
            (Value::Nat(n), Sort::Enum { variants, .. }) => *n < variants.len() as u64,
            (Value::List(items), Sort::List(item)) => items.iter().all(|v| v.is_of(*item, sorts)),
            (Value::List(items), Sort::Option(item)) => {
                items.len() <= 1 && items.iter().all(|v| v.is_of(*item, sorts))
            }
            (Value::Record(values), Sort::Record { fields, .. }) => {
                values.len() == fields.len()
                    && values
                        .iter()
                        .zip(fields)
                        .all(|(v, (_, s))| v.is_of(*s, sorts))
            }
            _ => false,
        }
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Bool(b)
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Value {
        Value::Nat(n)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Int(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}

/// Without copying the text, where it fills its memory.
impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(Arc::new(text.into()))
    }
}

/// Without copying the bytes, where they fill their memory.
impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(Arc::new(bytes.into()))
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Form::Unit => "unit",
            Form::Bool => "bool",
            Form::Nat => "nat",
            Form::Int => "int",
            Form::Text => "text",
            Form::Bytes => "bytes",
            Form::List => "list",
            Form::Record => "record",
            Form::Endpoint => "endpoint",
            Form::Evidence => "evidence",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Outcome, Reply};

    /// Whatever is put where, it is what was put.
    #[test]
    fn a_value_is_copied_and_moved_to_a_place() {
        let values = [
            Value::Unit,
            Value::Bool(true),
            Value::Nat(7),
            Value::Int(-7),
            Value::text("seven"),
            Value::bytes(&[7; 7]),
            Value::list(vec![Value::Nat(7)]),
            Value::record(vec![Value::Unit, Value::text("7")]),
            Value::Endpoint(RoleId(7)),
            Value::Evidence(7),
        ];
        for value in &values {
            for other in &values {
                let mut place = other.clone();
                value.copy_to(&mut place);
                assert_eq!(place, *value);
                let mut place = other.clone();
                value.clone().move_to(&mut place);
                assert_eq!(place, *value);
                let mut reply = Reply::Now(Outcome::Success(value.clone()));
                if let Reply::Now(Outcome::Success(value)) = &mut reply {
                    value.move_to(&mut place);
                }
                reply.discard();
                Reply::Now(Outcome::Success(value.clone())).discard();
            }
        }
        // Nothing of it is left anywhere.
        assert!(values.iter().all(|value| holders(value) <= 1));
    }

    /// Among how many values the memory behind this one is shared; 0 where there is none.
    fn holders(value: &Value) -> usize {
        match value {
            Value::Text(text) => Arc::strong_count(text),
            Value::Bytes(bytes) => Arc::strong_count(bytes),
            Value::List(items) | Value::Record(items) => Arc::strong_count(items),
            _ => 0,
        }
    }
}
