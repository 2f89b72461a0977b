//! Values as JSON.

use antiphon_machine::{CodeImage, Sort, SortId, Value};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A value as JSON: texts and numbers as they are, bytes in base64, fields and variants by name.
pub(crate) fn value(
    value: &Value,
    sort: Option<SortId>,
    image: Option<&CodeImage>,
) -> serde_json::Value {
    use serde_json::json;
    let row = sort.and_then(|sort| image?.sorts.get(sort.index()));
    let each = |items: &[Value], sort: Option<SortId>| {
        items
            .iter()
            .map(|item| self::value(item, sort, image))
            .collect()
    };
    match (value, row) {
        (Value::Unit, _) => serde_json::Value::Null,
        (Value::Bool(b), _) => json!(b),
        (Value::Nat(n), Some(Sort::Enum { variants, .. })) => match variants.get(*n as usize) {
            Some(name) => json!(name),
            None => json!(n),
        },
        (Value::Nat(n), Some(Sort::Arm(_))) => {
            match image.and_then(|image| image.labels.get(*n as usize)) {
                Some(name) => json!(name),
                None => json!(n),
            }
        }
        (Value::Nat(n), _) => json!(n),
        (Value::Int(n), _) => json!(n),
        (Value::Text(text), _) => json!(&**text),
        (Value::Bytes(bytes), _) => json!({ "base64": BASE64_STANDARD.encode(&**bytes) }),
        (Value::List(items), Some(Sort::Option(item))) => match items.first() {
            Some(item_value) => self::value(item_value, Some(*item), image),
            None => serde_json::Value::Null,
        },
        (Value::List(items), Some(Sort::List(item))) => each(items, Some(*item)),
        (Value::List(items), _) => each(items, None),
        (Value::Record(items), Some(Sort::Record { name, fields })) if !name.is_empty() => {
            let fields = fields.iter().zip(items.iter());
            let fields = fields.map(|((field, sort), value)| {
                (field.clone(), self::value(value, Some(*sort), image))
            });
            serde_json::Value::Object(fields.collect())
        }
        (Value::Record(items), Some(Sort::Record { fields, .. })) => {
            let fields = fields.iter().zip(items.iter());
            fields
                .map(|((_, sort), value)| self::value(value, Some(*sort), image))
                .collect()
        }
        (Value::Record(items), _) => each(items, None),
        (Value::Endpoint(role), _) => json!({ "endpoint": role.0 }),
        (Value::Evidence(number), _) => json!({ "witness": number }),
    }
}
