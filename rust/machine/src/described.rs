//! Types that the schema can name: their names and rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::*;
use crate::value::Value;

/// One structure, or one alternative of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The type.
    pub type_name: String,
    /// The alternative's number; 0 for a structure.
    pub number: u64,
    /// The alternative's name; `mk` for a structure.
    pub name: String,
    /// The fields, in order: name and type. A type's arguments stand in parentheses behind it: `List(u8)`.
    pub fields: Vec<(String, String)>,
}

/// A type that the schema can name.
pub(crate) trait Described {
    /// Its name with its arguments.
    fn type_name() -> String;

    /// Its rows; none for a type that has no parts of its own.
    fn rows() -> Vec<Row> {
        Vec::new()
    }
}

/// The name of the type of what a function picks out of a structure. The function is not called.
pub(crate) fn field<S, T: Described>(name: &str, _: fn(&S) -> &T) -> (String, String) {
    (name.to_owned(), T::type_name())
}

/// As [`field`], of an alternative.
pub(crate) fn part<S, T: Described>(name: &str, _: fn(&S) -> Option<&T>) -> (String, String) {
    (name.to_owned(), T::type_name())
}

pub(crate) fn row(type_name: &str, number: u64, name: &str, fields: Vec<(String, String)>) -> Row {
    Row {
        type_name: type_name.to_owned(),
        number,
        name: name.to_owned(),
        fields,
    }
}

macro_rules! named {
    ($($type:ty = $name:literal;)*) => {$(
        impl Described for $type {
            fn type_name() -> String {
                $name.to_owned()
            }
        }
    )*};
}

named! {
    u8 = "u8"; u16 = "u16"; u32 = "u32"; u64 = "u64"; i64 = "i64"; bool = "bool";
    String = "Text"; Arc<str> = "Text"; Arc<Box<str>> = "Text"; Arc<Box<[u8]>> = "Bytes"; Arc<Box<[Value]>> = "List(Value)"; [u8; 32] = "Digest";
    RoleId = "RoleId"; LabelId = "LabelId"; SortId = "SortId"; EdgeId = "EdgeId"; OperationId = "OperationId";
    ProgramId = "ProgramId"; StateId = "StateId"; Pc = "Pc"; Reg = "Reg"; SessionId = "SessionId";
    CoroutineId = "CoroutineId";
    BTreeMap<String, u8> = "List(Pair(Text)(u8))";
}

fn list_of<T: Described>() -> String {
    format!("List({})", T::type_name())
}

impl<T: Described> Described for Vec<T> {
    fn type_name() -> String {
        list_of::<T>()
    }
}

impl<T: Described> Described for crate::thin_deque::ThinDeque<T> {
    fn type_name() -> String {
        list_of::<T>()
    }
}

impl<A: smallvec::Array> Described for smallvec::SmallVec<A>
where
    A::Item: Described,
{
    fn type_name() -> String {
        list_of::<A::Item>()
    }
}

impl<T: Described> Described for Option<T> {
    fn type_name() -> String {
        format!("Option({})", T::type_name())
    }
}

impl<A: Described, B: Described> Described for (A, B) {
    fn type_name() -> String {
        format!("Pair({})({})", A::type_name(), B::type_name())
    }
}

impl Described for Value {
    fn type_name() -> String {
        "Value".to_owned()
    }

    fn rows() -> Vec<Row> {
        macro_rules! of {
            ($variant:ident, $field:literal) => {
                vec![part($field, |v: &Value| match v {
                    Value::$variant(x) => Some(x),
                    _ => None,
                })]
            };
        }
        let alternatives = [
            ("Unit", vec![]),
            ("Bool", of!(Bool, "b")),
            ("Nat", of!(Nat, "n")),
            ("Int", of!(Int, "i")),
            ("Text", of!(Text, "utf8")),
            ("Bytes", of!(Bytes, "b")),
            ("List", of!(List, "items")),
            ("Record", of!(Record, "fields")),
            ("Endpoint", of!(Endpoint, "role")),
            ("Evidence", of!(Evidence, "witness")),
        ];
        let numbered = (0..).zip(alternatives);
        numbered
            .map(|(n, (name, fields))| row("Value", n, name, fields))
            .collect()
    }
}
