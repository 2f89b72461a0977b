//! Between the values of a protocol and the payloads of the link.
//!
//! The rule is one: a record stands for a map, its field names are the keys. An optional field that
//! is empty is a key that is left out, a variant of an enumeration is its name, a payload that is
//! no record is the one required key of its message. What the payload has and the record has not is
//! ignored, as everywhere on the link.

use std::fmt;

use antiphon_codec::Item;
use antiphon_machine::{Form, Sort, SortId, Value};
use antiphon_wire::{FieldSpec, MessageKind, Shape};

/// What kept a value or a payload from being converted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}expected {expected}, got {got}", in_field(.path))]
pub(crate) struct Misfit {
    /// The fields from the payload down, joined by dots.
    pub(crate) path: String,
    pub(crate) expected: String,
    pub(crate) got: String,
}

fn in_field(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("in field `{path}`: ")
    }
}

impl Misfit {
    fn new(expected: impl fmt::Display, got: impl fmt::Display) -> Misfit {
        Misfit {
            path: String::new(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    fn under(mut self, field: &str) -> Misfit {
        self.path = if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{field}.{}", self.path)
        };
        self
    }
}

/// The payload of a message of that type, from the value that a protocol sends with its label.
pub(crate) fn payload(
    kind: MessageKind,
    value: Option<&Value>,
    sort: SortId,
    sorts: &[Sort],
) -> Result<Item, Misfit> {
    let Some(value) = value else {
        return Ok(Item::Map(Vec::new()));
    };
    match (value, sorts.get(sort.index())) {
        (Value::Unit, _) => Ok(Item::Map(Vec::new())),
        (Value::Record(_), _) => item(value, sort, sorts),
        _ => {
            let key = sole_key(kind.fields()).ok_or_else(|| not_sole(kind.name(), value.form()))?;
            Ok(Item::Map(vec![(
                Item::Text(key.to_owned()),
                item(value, sort, sorts)?,
            )]))
        }
    }
}

/// The value of that sort that a payload with these fields stands for.
pub(crate) fn value(
    payload: Item,
    fields: &[FieldSpec],
    sort: SortId,
    sorts: &[Sort],
) -> Result<Value, Misfit> {
    match sorts.get(sort.index()) {
        Some(Sort::Unit) => Ok(Value::Unit),
        Some(Sort::Record { .. }) | None => from_item(payload, sort, sorts),
        // An answer without content to a question of yes or no: it came.
        Some(Sort::Bool) if fields.is_empty() => Ok(Value::Bool(true)),
        Some(other) => {
            let key = sole_key(fields).ok_or_else(|| not_sole("the payload", other_name(other)))?;
            let Item::Map(entries) = payload else {
                return Err(Misfit::new("a map", Shape::of(&payload)));
            };
            let found = entries.into_iter().find(|(k, _)| k.as_text() == Some(key));
            let (_, item) = found.ok_or_else(|| Misfit::new("a value", "none").under(key))?;
            from_item(item, sort, sorts).map_err(|misfit| misfit.under(key))
        }
    }
}

fn not_sole(what: &str, got: impl fmt::Display) -> Misfit {
    Misfit::new(
        format!("a record, because {what} has not just one required field"),
        got,
    )
}

/// The one key that must be there.
fn sole_key(fields: &[FieldSpec]) -> Option<&'static str> {
    let mut required = fields.iter().filter(|field| !field.optional);
    let sole = required.next()?;
    required.next().is_none().then_some(sole.key)
}

fn item(value: &Value, sort: SortId, sorts: &[Sort]) -> Result<Item, Misfit> {
    let misfit = |sort: &Sort| Misfit::new(other_name(sort), value.form());
    let sort = sorts
        .get(sort.index())
        .ok_or_else(|| Misfit::new("a sort", "none"))?;
    Ok(match (value, sort) {
        (Value::Unit, Sort::Unit) => Item::Map(Vec::new()),
        (Value::Bool(b), Sort::Bool) => Item::Bool(*b),
        (Value::Nat(n), Sort::Nat) => Item::Uint(*n),
        (Value::Int(n), Sort::Int) => Item::from(*n),
        (Value::Text(text), Sort::Text) => Item::Text(text.to_string()),
        (Value::Bytes(bytes), Sort::Bytes | Sort::Foreign { .. }) => Item::Bytes(bytes.to_vec()),
        (Value::Nat(n), Sort::Enum { variants, .. }) => {
            let variant = usize::try_from(*n).ok().and_then(|n| variants.get(n));
            Item::Text(variant.ok_or_else(|| misfit(sort))?.clone())
        }
        (Value::List(items), Sort::List(of)) => {
            let items: Result<_, _> = items.iter().map(|value| item(value, *of, sorts)).collect();
            Item::Array(items?)
        }
        (Value::Record(values), Sort::Record { fields, .. }) => record(values, fields, sorts)?,
        (Value::List(items), Sort::Option(of)) => match items.first() {
            Some(value) => item(value, *of, sorts)?,
            None => Item::Null,
        },
        _ => return Err(misfit(sort)),
    })
}

fn record(values: &[Value], fields: &[(String, SortId)], sorts: &[Sort]) -> Result<Item, Misfit> {
    let mut entries = Vec::with_capacity(fields.len());
    for (value, (name, sort)) in values.iter().zip(fields) {
        let optional = matches!(sorts.get(sort.index()), Some(Sort::Option(_)));
        if optional && matches!(value, Value::List(items) if items.is_empty()) {
            continue;
        }
        let item = item(value, *sort, sorts).map_err(|misfit| misfit.under(name))?;
        entries.push((Item::Text(name.clone()), item));
    }
    Ok(Item::Map(entries))
}

fn from_item(item: Item, sort: SortId, sorts: &[Sort]) -> Result<Value, Misfit> {
    let sort = sorts
        .get(sort.index())
        .ok_or_else(|| Misfit::new("a sort", "none"))?;
    let got = Shape::of(&item);
    let misfit = || Misfit::new(other_name(sort), got);
    Ok(match (sort, item) {
        (Sort::Unit, _) => Value::Unit,
        (Sort::Bool, Item::Bool(b)) => Value::Bool(b),
        (Sort::Nat, Item::Uint(n)) => Value::Nat(n),
        (Sort::Int, item) => Value::Int(item.as_int().ok_or_else(misfit)?),
        (Sort::Text, Item::Text(text)) => Value::from(text),
        (Sort::Bytes | Sort::Foreign { .. }, Item::Bytes(bytes)) => Value::from(bytes),
        (Sort::Enum { variants, .. }, Item::Text(text)) => {
            let variant = variants.iter().position(|variant| *variant == text);
            let unknown = || Misfit::new(format!("one of {}", variants.join(", ")), "another name");
            Value::Nat(variant.ok_or_else(unknown)? as u64)
        }
        (Sort::List(of), Item::Array(items)) => {
            let items: Result<_, _> = items
                .into_iter()
                .map(|i| from_item(i, *of, sorts))
                .collect();
            Value::list(items?)
        }
        (Sort::Option(_), Item::Null) => Value::option(None),
        (Sort::Option(of), item) => Value::option(Some(from_item(item, *of, sorts)?)),
        (Sort::Record { fields, .. }, Item::Map(entries)) => from_map(entries, fields, sorts)?,
        _ => return Err(misfit()),
    })
}

fn from_map(
    entries: Vec<(Item, Item)>,
    fields: &[(String, SortId)],
    sorts: &[Sort],
) -> Result<Value, Misfit> {
    let mut slots: Vec<Option<Item>> = vec![None; fields.len()];
    for (key, item) in entries {
        let named = |(name, _): &(String, SortId)| key.as_text() == Some(name);
        if let Some(slot) = fields.iter().position(named).and_then(|n| slots.get_mut(n)) {
            *slot = Some(item);
        }
    }
    let mut values = Vec::with_capacity(fields.len());
    for ((name, sort), slot) in fields.iter().zip(slots) {
        let value = match (slot, sorts.get(sort.index())) {
            (Some(item), _) => from_item(item, *sort, sorts),
            (None, Some(Sort::Option(_))) => Ok(Value::option(None)),
            // Optional truth values are left out on the link when they are false, and so are empty
            // lists.
            (None, Some(Sort::Bool)) => Ok(Value::Bool(false)),
            (None, Some(Sort::List(_))) => Ok(Value::list(Vec::new())),
            (None, Some(sort)) => Err(Misfit::new(other_name(sort), "nothing")),
            (None, None) => Err(Misfit::new("a sort", "none")),
        };
        values.push(value.map_err(|misfit| misfit.under(name))?);
    }
    Ok(Value::record(values))
}

/// A sort's form, for people.
fn other_name(sort: &Sort) -> String {
    let form = match sort {
        Sort::Unit => Form::Unit,
        Sort::Bool => Form::Bool,
        Sort::Nat => Form::Nat,
        Sort::Int => Form::Int,
        Sort::Text => Form::Text,
        Sort::Bytes | Sort::Foreign { .. } => Form::Bytes,
        Sort::List(_) => Form::List,
        Sort::Option(_) => return "an optional value".to_owned(),
        Sort::Record { name, .. } => return format!("record `{name}`"),
        Sort::Enum { name, .. } => return format!("enum `{name}`"),
        Sort::Arm(_) => return "a label".to_owned(),
    };
    form.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_wire::{ExecOutput, Message, Stream};
    use proptest::prelude::*;

    const CHUNK: SortId = SortId(3);
    const SPEC: SortId = SortId(8);

    fn sorts() -> Vec<Sort> {
        let field = |name: &str, sort| (name.to_owned(), SortId(sort));
        vec![
            Sort::Text,
            Sort::Bytes,
            Sort::Enum {
                name: "Stream".into(),
                variants: vec!["stdout".into(), "stderr".into()],
            },
            Sort::Record {
                name: "Chunk".into(),
                fields: vec![field("stream", 2), field("data", 1)],
            },
            Sort::List(SortId(0)),
            Sort::Option(SortId(0)),
            Sort::Bool,
            Sort::Option(SortId(4)),
            Sort::Record {
                name: "Spec".into(),
                fields: vec![
                    field("cmd", 0),
                    field("argv", 4),
                    field("cwd", 5),
                    field("env", 7),
                ],
            },
            Sort::Unit,
            Sort::Nat,
        ]
    }

    #[test]
    fn a_chunk_becomes_a_record_and_back() {
        let sent = Message::ExecOutput(ExecOutput {
            data: b"hi".to_vec(),
            stream: Stream::Stderr,
        });
        let fields = MessageKind::ExecOutput.fields();
        let value = value(sent.clone().into_payload(), fields, CHUNK, &sorts()).expect("it fits");
        assert_eq!(
            value,
            Value::record(vec![Value::Nat(1), Value::bytes(b"hi")])
        );
        let item =
            payload(MessageKind::ExecOutput, Some(&value), CHUNK, &sorts()).expect("it fits");
        assert_eq!(
            Message::from_payload(MessageKind::ExecOutput, item),
            Ok(sent)
        );
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let list = |items: &[&str]| Value::list(items.iter().map(|s| Value::text(s)).collect());
        let spec = Value::record(vec![
            Value::text("ls"),
            list(&["ls", "-l"]),
            Value::option(None),
            Value::option(Some(list(&["A=b"]))),
        ]);
        let item = payload(MessageKind::ExecRequest, Some(&spec), SPEC, &sorts()).expect("it fits");
        assert!(item.field("cwd").is_none());
        assert_eq!(from_item(item, SPEC, &sorts()), Ok(spec));
    }

    #[test]
    fn a_payload_that_is_no_record_is_the_one_required_key() {
        let bytes = Value::bytes(b"x");
        let item = payload(MessageKind::StdinData, Some(&bytes), SortId(1), &sorts());
        assert_eq!(item, Ok(Item::map([("data", Item::Bytes(b"x".to_vec()))])));
        let refused = payload(MessageKind::ExecOutput, Some(&bytes), SortId(1), &sorts());
        assert_eq!(
            refused.expect_err("two keys are required").to_string(),
            "expected a record, because exec_output has not just one required field, got bytes"
        );
    }

    #[test]
    fn what_does_not_fit_says_where() {
        let item = Item::map([
            ("stream", Item::from("stdlog")),
            ("data", Item::Bytes(vec![])),
        ]);
        let misfit = from_item(item, CHUNK, &sorts()).expect_err("no such stream");
        assert_eq!(
            misfit.to_string(),
            "in field `stream`: expected one of stdout, stderr, got another name"
        );
        let misfit = from_item(Item::Map(vec![]), CHUNK, &sorts()).expect_err("empty");
        assert_eq!(
            misfit.to_string(),
            "in field `stream`: expected enum `Stream`, got nothing"
        );
    }

    fn any_item() -> impl Strategy<Value = Item> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Item::Uint),
            any::<u64>().prop_map(Item::Nint),
            any::<Vec<u8>>().prop_map(Item::Bytes),
            prop_oneof!["stdout", "cmd", "data", ".*"].prop_map(Item::Text),
            any::<bool>().prop_map(Item::Bool),
            Just(Item::Null),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            let key = prop_oneof![
                Just("stream"),
                Just("data"),
                Just("cmd"),
                Just("argv"),
                Just("cwd"),
                Just("env")
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Item::Array),
                proptest::collection::btree_map(key, inner, 0..5).prop_map(Item::map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_comes_out_is_of_the_sort(item in any_item(), sort in 0u16..11) {
            let (sort, sorts) = (SortId(sort), sorts());
            if let Ok(value) = from_item(item, sort, &sorts) {
                prop_assert!(value.is_of(sort, &sorts));
            }
        }
    }
}
