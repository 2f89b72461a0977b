//! Conversion between values of the machine and JavaScript values, by sort.
//!
//! | sort | JavaScript |
//! | --- | --- |
//! | `Unit` | `null` (or `undefined`) |
//! | `Bool`, `Text` | boolean, string |
//! | `Nat`, `Int` | number where it is exact, else bigint; both are accepted |
//! | `Bytes`, foreign | `Uint8Array` |
//! | list, option | array; for an option with at most one element |
//! | record | object by field names; an array in declared order is accepted too |
//! | enumeration, choice | the variant's or label's name |

use antiphon_machine::{CodeImage, Sort, SortId, Value};
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::problem::{Problem, SAFE_MAX, text};

/// The maximum number of values nested in one value: four times as many as the largest default
/// payload can hold.
const ITEMS_MAX: usize = 1 << 18;

/// Converts a value for JavaScript.
pub(crate) fn to_js(value: &Value, sort: SortId, image: &CodeImage) -> JsValue {
    let of = image.sorts.get(sort.index());
    match (value, of) {
        (Value::Unit, _) => JsValue::NULL,
        (Value::Bool(b), _) => (*b).into(),
        (Value::Nat(n), Some(Sort::Enum { variants, .. })) => name(variants.get(*n as usize), *n),
        (Value::Nat(n), Some(Sort::Arm(_))) => name(image.labels.get(*n as usize), *n),
        (Value::Nat(n), _) => nat(*n),
        (Value::Int(i), _) if i.unsigned_abs() <= SAFE_MAX => (*i as f64).into(),
        (Value::Int(i), _) => (*i).into(),
        (Value::Text(t), _) => JsValue::from_str(t),
        (Value::Bytes(b), _) => Uint8Array::from(&b[..]).into(),
        (Value::List(items), Some(Sort::List(item) | Sort::Option(item))) => {
            let items = items.iter().map(|value| to_js(value, *item, image));
            items.collect::<Array>().into()
        }
        (Value::Record(values), Some(Sort::Record { fields, .. })) => {
            let pairs = fields
                .iter()
                .zip(values.iter())
                .map(|((name, sort), value)| {
                    Array::of2(&JsValue::from_str(name), &to_js(value, *sort, image))
                });
            // Unlike an assignment, this creates a field of any name, `__proto__` included.
            let pairs: Array = pairs.collect();
            Object::from_entries(&pairs).map_or(JsValue::NULL, JsValue::from)
        }
        (Value::List(_) | Value::Record(_), _) => JsValue::UNDEFINED,
        // These are never payloads, results or arguments.
        (Value::Endpoint(_) | Value::Evidence(_), _) => JsValue::UNDEFINED,
    }
}

/// Converts a number.
pub(crate) fn nat(n: u64) -> JsValue {
    match n <= SAFE_MAX {
        true => (n as f64).into(),
        false => n.into(),
    }
}

fn name(name: Option<&String>, number: u64) -> JsValue {
    name.map_or_else(|| nat(number), |name| JsValue::from_str(name))
}

/// Converts a value from JavaScript to the given sort.
pub(crate) fn from_js(
    value: &JsValue,
    sort: SortId,
    image: &CodeImage,
    place: &str,
) -> Result<Value, Problem> {
    let mut left = ITEMS_MAX;
    read(value, sort, image, place, &mut left)
}

fn read(
    value: &JsValue,
    sort: SortId,
    image: &CodeImage,
    place: &str,
    left: &mut usize,
) -> Result<Value, Problem> {
    let wrong = |expected: &str| {
        let message = format!("`{place}` should be {expected}");
        Problem::new("wrong_value", message).at(place)
    };
    *left = left
        .checked_sub(1)
        .ok_or_else(|| wrong("a value with fewer parts"))?;
    // A sort refers only to earlier sorts, so this terminates.
    let of = image.sorts.get(sort.index());
    Ok(match of.ok_or_else(|| wrong("of a sort that exists"))? {
        Sort::Unit if value.is_null() || value.is_undefined() => Value::Unit,
        Sort::Unit => return Err(wrong("null")),
        Sort::Bool => Value::Bool(value.as_bool().ok_or_else(|| wrong("true or false"))?),
        Sort::Nat => {
            let expected = "an integer from 0 to 2^64-1, above 2^53-1 a bigint";
            Value::Nat(unsigned(value).ok_or_else(|| wrong(expected))?)
        }
        Sort::Int => {
            let expected = "an integer from -2^63 to 2^63-1, beyond ±(2^53-1) a bigint";
            Value::Int(signed(value).ok_or_else(|| wrong(expected))?)
        }
        Sort::Text => {
            let text =
                text(value, place).map_err(|_| wrong("a string without unpaired surrogates"));
            Value::from(text?)
        }
        Sort::Bytes | Sort::Foreign { .. } => {
            let bytes = value.dyn_ref::<Uint8Array>();
            let bytes = bytes.ok_or_else(|| wrong("a Uint8Array"))?;
            Value::from(bytes.to_vec())
        }
        Sort::List(item) => Value::list(items(value, *item, image, place, left, u32::MAX)?),
        Sort::Option(item) => Value::list(items(value, *item, image, place, left, 1)?),
        Sort::Record { fields, .. } => record(value, fields, image, place, left)?,
        Sort::Enum { variants, .. } => {
            let name = value.as_string();
            let at = variants.iter().position(|v| Some(v) == name.as_ref());
            let at = at.ok_or_else(|| wrong(&one_of(variants.iter())))?;
            Value::Nat(at as u64)
        }
        Sort::Arm(labels) => {
            let named = |l: &&antiphon_machine::LabelId| image.labels.get(l.index());
            let name = value.as_string();
            let label = labels
                .iter()
                .find(|l| named(l) == name.as_ref() && name.is_some());
            let label =
                label.ok_or_else(|| wrong(&one_of(labels.iter().filter_map(|l| named(&l)))));
            Value::Nat(u64::from(label?.0))
        }
    })
}

fn one_of<'n>(names: impl Iterator<Item = &'n String>) -> String {
    const SHOWN_MAX: usize = 8;
    let names: Vec<String> = names.take(SHOWN_MAX).map(|n| format!("`{n}`")).collect();
    format!("one of {}", names.join(", "))
}

fn items(
    value: &JsValue,
    item: SortId,
    image: &CodeImage,
    place: &str,
    left: &mut usize,
    max: u32,
) -> Result<Vec<Value>, Problem> {
    let wrong = |expected: &str| {
        let message = format!("`{place}` should be {expected}");
        Problem::new("wrong_value", message).at(place)
    };
    let array = value.dyn_ref::<Array>().ok_or_else(|| wrong("an array"))?;
    let len = array.length();
    if len > max {
        return Err(wrong("an array of at most one element"));
    }
    if len as usize > *left {
        return Err(wrong("a value with fewer parts"));
    }
    let one = |n| read(&array.get(n), item, image, &format!("{place}[{n}]"), left);
    (0..len).map(one).collect()
}

fn record(
    value: &JsValue,
    fields: &[(String, SortId)],
    image: &CodeImage,
    place: &str,
    left: &mut usize,
) -> Result<Value, Problem> {
    let wrong = |expected: &str| {
        let message = format!("`{place}` should be {expected}");
        Problem::new("wrong_value", message).at(place)
    };
    let array = value.dyn_ref::<Array>();
    if array.is_some_and(|array| array.length() as usize != fields.len()) {
        return Err(wrong(&format!("an array of {} elements", fields.len())));
    }
    if !value.is_object() {
        return Err(wrong("an object"));
    }
    let mut values = Vec::with_capacity(fields.len());
    for (n, (name, sort)) in fields.iter().enumerate() {
        let (field, place) = match array {
            Some(array) => (array.get(n as u32), format!("{place}[{n}]")),
            None => {
                let field = Reflect::get(value, &JsValue::from_str(name));
                let place = format!("{place}.{name}");
                (
                    field.map_err(|_| Problem::argument(&*place, "readable"))?,
                    place,
                )
            }
        };
        values.push(read(&field, *sort, image, &place, left)?);
    }
    Ok(Value::record(values))
}

/// A number or bigint from 0 to 2^64-1.
pub(crate) fn unsigned(value: &JsValue) -> Option<u64> {
    match value.as_f64() {
        Some(number) => whole(number).and_then(|n| u64::try_from(n).ok()),
        None if value.is_bigint() => u64::try_from(value.clone()).ok(),
        None => None,
    }
}

fn signed(value: &JsValue) -> Option<i64> {
    match value.as_f64() {
        Some(number) => whole(number),
        None if value.is_bigint() => i64::try_from(value.clone()).ok(),
        None => None,
    }
}

fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= SAFE_MAX as f64).then_some(number as i64)
}
