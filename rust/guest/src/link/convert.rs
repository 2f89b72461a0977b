//! Conversion between the values of a protocol and the payloads of the link.
//!
//! A record is a map whose keys are the record's field names. An empty optional field is a key that
//! is left out, and a variant of an enumeration is its name. A value that is not a record is the
//! one required key of its message. Keys of a payload that the record does not have are ignored, as
//! everywhere on the link.

use std::fmt;

use antiphon_codec::Item;
use antiphon_machine::{Form, Sort, SortId, Value};
use antiphon_wire::{FieldSpec, MessageKind, Shape};

/// Why a value or a payload cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}expected {expected}, got {got}", in_field(.path))]
pub(crate) struct ConvertError {
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

impl ConvertError {
    fn new(expected: impl fmt::Display, got: impl fmt::Display) -> ConvertError {
        ConvertError {
            path: String::new(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    fn under(mut self, field: &str) -> ConvertError {
        self.path = if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{field}.{}", self.path)
        };
        self
    }
}

/// Converts the value that a protocol sends with a label to the payload of a message of this type.
pub(crate) fn payload(
    kind: MessageKind,
    value: Option<&Value>,
    sort: SortId,
    sorts: &[Sort],
) -> Result<Item, ConvertError> {
    let Some(value) = value else {
        return Ok(Item::Map(Vec::new()));
    };
    match (value, sorts.get(sort.index())) {
        (Value::Unit, _) => Ok(Item::Map(Vec::new())),
        (Value::Record(_), _) => item(value, sort, sorts),
        _ => {
            let key = only_required_key(kind.fields())
                .ok_or_else(|| not_one_key(kind.name(), value.form()))?;
            Ok(Item::Map(vec![(
                Item::Text(key.to_owned()),
                item(value, sort, sorts)?,
            )]))
        }
    }
}

/// Splits the bytes of `data` off a value for `stdin_data`. Returns the value with empty bytes in
/// their place, and the bytes, which are shared and not copied. `None` if the value has none.
pub(crate) fn split_data(value: &Value, sort: SortId, sorts: &[Sort]) -> Option<(Value, Value)> {
    match (value, sorts.get(sort.index())?) {
        (Value::Bytes(_), _) => Some((Value::bytes(&[]), value.clone())),
        (Value::Record(values), Sort::Record { fields, .. }) => {
            let at = fields.iter().position(|(name, _)| name == "data")?;
            let data = values.get(at)?.clone();
            let mut rest = values.to_vec();
            *rest.get_mut(at)? = Value::bytes(&[]);
            matches!(data, Value::Bytes(_)).then(|| (Value::record(rest), data))
        }
        _ => None,
    }
}

/// The bytes of a value; empty if it is of another form.
pub(crate) fn bytes_of(value: &Value) -> &[u8] {
    match value {
        Value::Bytes(bytes) => bytes,
        _ => &[],
    }
}

/// Converts a payload with these fields to a value of this sort.
pub(crate) fn value(
    payload: Item,
    fields: &[FieldSpec],
    sort: SortId,
    sorts: &[Sort],
) -> Result<Value, ConvertError> {
    match sorts.get(sort.index()) {
        Some(Sort::Unit) => Ok(Value::Unit),
        Some(Sort::Record { .. }) | None => from_item(payload, sort, sorts),
        // An answer without fields is true as a boolean: it arrived.
        Some(Sort::Bool) if fields.is_empty() => Ok(Value::Bool(true)),
        Some(other) => {
            let key = only_required_key(fields)
                .ok_or_else(|| not_one_key("the payload", sort_name(other)))?;
            let Item::Map(entries) = payload else {
                return Err(ConvertError::new("a map", Shape::of(&payload)));
            };
            let found = entries.into_iter().find(|(k, _)| k.as_text() == Some(key));
            let (_, item) = found.ok_or_else(|| ConvertError::new("a value", "none").under(key))?;
            from_item(item, sort, sorts).map_err(|error| error.under(key))
        }
    }
}

fn not_one_key(what: &str, got: impl fmt::Display) -> ConvertError {
    ConvertError::new(
        format!("a record, because {what} has not just one required field"),
        got,
    )
}

/// The only required key; `None` if there are none or several.
fn only_required_key(fields: &[FieldSpec]) -> Option<&'static str> {
    let mut required = fields.iter().filter(|field| !field.optional);
    let sole = required.next()?;
    required.next().is_none().then_some(sole.key)
}

fn item(value: &Value, sort: SortId, sorts: &[Sort]) -> Result<Item, ConvertError> {
    let error = |sort: &Sort| ConvertError::new(sort_name(sort), value.form());
    let sort = sorts
        .get(sort.index())
        .ok_or_else(|| ConvertError::new("a sort", "none"))?;
    Ok(match (value, sort) {
        (Value::Unit, Sort::Unit) => Item::Map(Vec::new()),
        (Value::Bool(b), Sort::Bool) => Item::Bool(*b),
        (Value::Nat(n), Sort::Nat) => Item::Uint(*n),
        (Value::Int(n), Sort::Int) => Item::from(*n),
        (Value::Text(text), Sort::Text) => Item::Text(text.to_string()),
        (Value::Bytes(bytes), Sort::Bytes | Sort::Foreign { .. }) => Item::Bytes(bytes.to_vec()),
        (Value::Nat(n), Sort::Enum { variants, .. }) => {
            let variant = usize::try_from(*n).ok().and_then(|n| variants.get(n));
            Item::Text(variant.ok_or_else(|| error(sort))?.clone())
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
        _ => return Err(error(sort)),
    })
}

fn record(
    values: &[Value],
    fields: &[(String, SortId)],
    sorts: &[Sort],
) -> Result<Item, ConvertError> {
    let mut entries = Vec::with_capacity(fields.len());
    for (value, (name, sort)) in values.iter().zip(fields) {
        let optional = matches!(sorts.get(sort.index()), Some(Sort::Option(_)));
        if optional && matches!(value, Value::List(items) if items.is_empty()) {
            continue;
        }
        let item = item(value, *sort, sorts).map_err(|error| error.under(name))?;
        entries.push((Item::Text(name.clone()), item));
    }
    Ok(Item::Map(entries))
}

fn from_item(item: Item, sort: SortId, sorts: &[Sort]) -> Result<Value, ConvertError> {
    let sort = sorts
        .get(sort.index())
        .ok_or_else(|| ConvertError::new("a sort", "none"))?;
    let got = Shape::of(&item);
    let error = || ConvertError::new(sort_name(sort), got);
    Ok(match (sort, item) {
        (Sort::Unit, _) => Value::Unit,
        (Sort::Bool, Item::Bool(b)) => Value::Bool(b),
        (Sort::Nat, Item::Uint(n)) => Value::Nat(n),
        (Sort::Int, item) => Value::Int(item.as_int().ok_or_else(error)?),
        (Sort::Text, Item::Text(text)) => Value::from(text),
        (Sort::Bytes | Sort::Foreign { .. }, Item::Bytes(bytes)) => Value::from(bytes),
        (Sort::Enum { variants, .. }, Item::Text(text)) => {
            let variant = variants.iter().position(|variant| *variant == text);
            let unknown =
                || ConvertError::new(format!("one of {}", variants.join(", ")), "another name");
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
        _ => return Err(error()),
    })
}

fn from_map(
    entries: Vec<(Item, Item)>,
    fields: &[(String, SortId)],
    sorts: &[Sort],
) -> Result<Value, ConvertError> {
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
            // The link leaves out optional booleans that are false, and empty lists.
            (None, Some(Sort::Bool)) => Ok(Value::Bool(false)),
            (None, Some(Sort::List(_))) => Ok(Value::list(Vec::new())),
            (None, Some(sort)) => Err(ConvertError::new(sort_name(sort), "nothing")),
            (None, None) => Err(ConvertError::new("a sort", "none")),
        };
        values.push(value.map_err(|error| error.under(name))?);
    }
    Ok(Value::record(values))
}

/// A description of a sort in an error.
fn sort_name(sort: &Sort) -> String {
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
    fn a_chunk_round_trips_through_a_record() {
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
    fn input_bytes_are_shared_with_the_value() {
        let data = Value::bytes(b"hi");
        let (rest, split) = split_data(&data, SortId(1), &sorts()).expect("it has bytes");
        assert_eq!((rest, &split), (Value::bytes(&[]), &data));
        let (Value::Bytes(split), Value::Bytes(data)) = (&split, &data) else {
            panic!("{split:?}")
        };
        assert!(std::ptr::eq(&**split, &**data));

        let chunk = Value::record(vec![Value::Nat(0), Value::bytes(b"hi")]);
        let (rest, split) = split_data(&chunk, CHUNK, &sorts()).expect("it has bytes");
        let empty = Value::record(vec![Value::Nat(0), Value::bytes(&[])]);
        assert_eq!((rest, split), (empty, Value::bytes(b"hi")));
        assert_eq!(split_data(&Value::text("hi"), SortId(0), &sorts()), None);
    }

    #[test]
    fn leaves_out_empty_optional_fields() {
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
    fn a_value_that_is_not_a_record_is_the_only_required_key() {
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
    fn reports_the_field_that_does_not_convert() {
        let item = Item::map([
            ("stream", Item::from("stdlog")),
            ("data", Item::Bytes(vec![])),
        ]);
        let error = from_item(item, CHUNK, &sorts()).expect_err("no such stream");
        assert_eq!(
            error.to_string(),
            "in field `stream`: expected one of stdout, stderr, got another name"
        );
        let error = from_item(Item::Map(vec![]), CHUNK, &sorts()).expect_err("empty");
        assert_eq!(
            error.to_string(),
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
        fn converted_values_have_their_sort(item in any_item(), sort in 0u16..11) {
            let (sort, sorts) = (SortId(sort), sorts());
            if let Ok(value) = from_item(item, sort, &sorts) {
                prop_assert!(value.is_of(sort, &sorts));
            }
        }
    }
}
