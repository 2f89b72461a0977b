//! What JavaScript is told when something is wrong: an `Error` with a code, and where.

use js_sys::{JSON, Reflect};
use wasm_bindgen::prelude::*;

/// Why a call failed.
///
/// `code` is one of a closed list (`ErrorCode` in the types), `place` where in the input it is: a field, an entry, a byte.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) place: Option<String>,
    /// More facts, as fields of the error by name.
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

    /// An argument is not what the function takes.
    pub(crate) fn argument(place: impl Into<String>, expected: &str) -> Problem {
        let place = place.into();
        Problem::new("bad_argument", format!("`{place}` should be {expected}")).at(place)
    }

    /// Something is called from within a call of the same object.
    pub(crate) fn busy() -> Problem {
        Problem::new("busy", "the machine is in the middle of another call")
    }
}

impl From<Problem> for JsValue {
    fn from(problem: Problem) -> JsValue {
        let error = js_sys::Error::new(&problem.message);
        error.set_name("AntiphonError");
        let set = |name: &str, value: &JsValue| {
            // A plain object that was just made takes any field.
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

/// Data as plain JavaScript values. JSON's parser makes objects faster than calls across the border do.
pub(crate) fn plain(value: &impl serde::Serialize) -> JsValue {
    let text = serde_json::to_string(value).unwrap_or_default();
    JSON::parse(&text).unwrap_or(JsValue::NULL)
}

/// A plain JavaScript value as data; absent for `undefined` and `null`.
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

/// A text, which must be Unicode.
pub(crate) fn text(value: &JsValue, place: &str) -> Result<String, Problem> {
    let text = value.dyn_ref::<js_sys::JsString>();
    let text = text.ok_or_else(|| Problem::argument(place, "a string"))?;
    match text.is_valid_utf16() {
        true => Ok(String::from(text)),
        false => Err(Problem::argument(place, "a string of whole characters")),
    }
}

/// The largest number of JavaScript that counts, 2^53-1.
pub(crate) const SAFE_MAX: u64 = (1 << 53) - 1;

/// A count: a whole number from 0 to 2^53-1.
pub(crate) fn count(value: &JsValue, place: &str) -> Result<u64, Problem> {
    let wrong = || Problem::argument(place, "a whole number from 0 to 2^53-1");
    let number = value.as_f64().ok_or_else(wrong)?;
    if number.fract() != 0.0 || !(0.0..=SAFE_MAX as f64).contains(&number) {
        return Err(wrong());
    }
    Ok(number as u64)
}

/// A count that need not be there.
pub(crate) fn count_or(value: &JsValue, place: &str, or: u64) -> Result<u64, Problem> {
    match value.is_undefined() || value.is_null() {
        true => Ok(or),
        false => count(value, place),
    }
}

/// A digest in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A panic is a mistake in this crate or below it. It becomes an error as any other, and not a trap without a word; the
/// instance is of no use after it.
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
