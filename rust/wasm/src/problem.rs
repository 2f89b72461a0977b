//! Errors for JavaScript: an `Error` with a code and a place.

use js_sys::{JSON, Reflect};
use wasm_bindgen::prelude::*;

/// Why a call failed.
///
/// `code` is one of a closed list (`ErrorCode` in the types). `place` is the position in the input:
/// a field, an entry, a byte.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) place: Option<String>,
    /// Additional fields of the error, by name.
    pub(crate) facts: Vec<(&'static str, serde_json::Value)>,
}

impl Problem {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            code,
            message: message.into(),
            place: None,
            facts: Vec::new(),
        }
    }

    pub(crate) fn at(mut self, place: impl Into<String>) -> Problem {
        self.place = Some(place.into());
        self
    }

    pub(crate) fn fact(mut self, name: &'static str, value: serde_json::Value) -> Problem {
        self.facts.push((name, value));
        self
    }

    /// An argument does not have the expected form.
    pub(crate) fn argument(place: impl Into<String>, expected: &str) -> Problem {
        let place = place.into();
        Problem::new("bad_argument", format!("`{place}` should be {expected}")).at(place)
    }

    /// A method was called during another call on the same object.
    pub(crate) fn busy() -> Problem {
        Problem::new("busy", "the machine is in the middle of another call")
    }
}

impl From<Problem> for JsValue {
    fn from(problem: Problem) -> JsValue {
        let error = js_sys::Error::new(&problem.message);
        error.set_name("AntiphonError");
        let set = |name: &str, value: &JsValue| {
            // A newly created object accepts any field.
            let _ = Reflect::set(&error, &name.into(), value);
        };
        set("code", &problem.code.into());
        let place = problem.place.as_deref();
        set("place", &place.map_or(JsValue::NULL, JsValue::from_str));
        for (name, value) in &problem.facts {
            set(name, &plain(value));
        }
        error.into()
    }
}

/// Data as plain JavaScript values. Passing JSON text to the parser of JavaScript is faster than
/// creating objects by calls.
pub(crate) fn plain(value: &impl serde::Serialize) -> JsValue {
    let text = serde_json::to_string(value).unwrap_or_default();
    JSON::parse(&text).unwrap_or(JsValue::NULL)
}

/// A plain JavaScript value as data; `None` for `undefined` and `null`.
pub(crate) fn data<T: serde::de::DeserializeOwned>(
    value: &JsValue,
    place: &str,
) -> Result<Option<T>, Problem> {
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    let text = JSON::stringify(value).ok();
    let text = text.and_then(|text| JsValue::from(text).as_string());
    let text = text.ok_or_else(|| Problem::argument(place, "plain data"))?;
    serde_json::from_str(&text).map(Some).map_err(|error| {
        let message = format!("`{place}` cannot be read: {error}");
        Problem::new("bad_argument", message).at(place)
    })
}

/// The bytes of a `Uint8Array` or an `ArrayBuffer`.
pub(crate) fn bytes(value: &JsValue, place: &str) -> Result<Vec<u8>, Problem> {
    if let Some(array) = value.dyn_ref::<js_sys::Uint8Array>() {
        return Ok(array.to_vec());
    }
    if let Some(buffer) = value.dyn_ref::<js_sys::ArrayBuffer>() {
        return Ok(js_sys::Uint8Array::new(buffer).to_vec());
    }
    Err(Problem::argument(place, "a Uint8Array"))
}

/// A string, which must be valid Unicode.
pub(crate) fn text(value: &JsValue, place: &str) -> Result<String, Problem> {
    let text = value.dyn_ref::<js_sys::JsString>();
    let text = text.ok_or_else(|| Problem::argument(place, "a string"))?;
    match text.is_valid_utf16() {
        true => Ok(String::from(text)),
        false => Err(Problem::argument(
            place,
            "a string without unpaired surrogates",
        )),
    }
}

/// The largest integer that JavaScript numbers represent exactly, 2^53-1.
pub(crate) const SAFE_MAX: u64 = (1 << 53) - 1;

/// A count: an integer from 0 to 2^53-1.
pub(crate) fn count(value: &JsValue, place: &str) -> Result<u64, Problem> {
    let wrong = || Problem::argument(place, "an integer from 0 to 2^53-1");
    let number = value.as_f64().ok_or_else(wrong)?;
    if number.fract() != 0.0 || !(0.0..=SAFE_MAX as f64).contains(&number) {
        return Err(wrong());
    }
    Ok(number as u64)
}

/// An optional count with a default.
pub(crate) fn count_or(value: &JsValue, place: &str, or: u64) -> Result<u64, Problem> {
    match value.is_undefined() || value.is_null() {
        true => Ok(or),
        false => count(value, place),
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Turns panics, which are bugs in this crate or below, into errors with a message instead of bare
/// traps. The instance must not be used after one.
pub(crate) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let owned = || payload.downcast_ref::<String>().map(String::as_str);
        let message = text.or_else(owned).unwrap_or("a panic");
        let place = info.location().map(ToString::to_string);
        let mut problem = Problem::new("panic", message);
        problem.place = place;
        wasm_bindgen::throw_val(problem.into())
    }));
}
