use core::fmt::{self, Write};

use crate::item::Item;

/// The diagnostic notation of RFC 8949 section 8, on one line, for people and golden files.
///
/// Byte strings are in hexadecimal. Control characters and characters that change the direction of
/// text are escaped as in JSON, so that the result is safe to print to a terminal. The pairs of a
/// map keep their order.
#[must_use]
pub fn diagnostic(item: &Item) -> String {
    item.to_string()
}

pub(crate) fn write(item: &Item, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match item {
        Item::Uint(value) => write!(f, "{value}"),
        // -1 - n does not fit 64 bits for the largest n.
        Item::Nint(value) => write!(f, "{}", -1 - i128::from(*value)),
        Item::Bytes(bytes) => {
            f.write_str("h'")?;
            for byte in bytes {
                write!(f, "{byte:02x}")?;
            }
            f.write_char('\'')
        }
        Item::Text(text) => write_text(text, f),
        Item::Array(items) => {
            f.write_char('[')?;
            for (index, item) in items.iter().enumerate() {
                write_separator(index, f)?;
                write(item, f)?;
            }
            f.write_char(']')
        }
        Item::Map(pairs) => {
            f.write_char('{')?;
            for (index, (key, value)) in pairs.iter().enumerate() {
                write_separator(index, f)?;
                write(key, f)?;
                f.write_str(": ")?;
                write(value, f)?;
            }
            f.write_char('}')
        }
        Item::Tag(tag, item) => {
            write!(f, "{tag}(")?;
            write(item, f)?;
            f.write_char(')')
        }
        Item::Bool(value) => write!(f, "{value}"),
        Item::Null => f.write_str("null"),
        Item::Undefined => f.write_str("undefined"),
        Item::Simple(value) => write!(f, "simple({value})"),
        Item::Float(value) => write_float(*value, f),
    }
}

fn write_separator(index: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if index > 0 { f.write_str(", ") } else { Ok(()) }
}

fn write_text(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() || is_layout(c) => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// Characters that move or hide the text around them: line and paragraph separators, direction
/// marks, embeddings and isolates, and zero-width characters.
fn is_layout(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}')
}

/// Writes the shortest digits that parse to the same value. Uses an exponent outside of 1e-6 to
/// 1e21, and always a point, which distinguishes the float from an integer.
fn write_float(value: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if value.is_nan() {
        return f.write_str("NaN");
    }
    if value.is_infinite() {
        return f.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let size = value.abs();
    if value == 0.0 || (1e-6..1e21).contains(&size) {
        // `{:?}` would use an exponent in cases where the examples of the RFC have none.
        let digits = format!("{value}");
        let point = if digits.contains('.') { "" } else { ".0" };
        return write!(f, "{digits}{point}");
    }
    let digits = format!("{value:e}");
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    write!(f, "{mantissa}{point}e{sign}{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_characters_that_control_the_terminal() {
        let cases = [
            ("\u{1b}[2J\u{7f}\u{9b}", r#""\u001b[2J\u007f\u009b""#),
            (
                "a\u{202e}b\u{2066}\u{200b}\u{feff}",
                r#""a\u202eb\u2066\u200b\ufeff""#,
            ),
            (
                "tab\t line\n\r quote\" \\",
                r#""tab\t line\n\r quote\" \\""#,
            ),
            ("größe 水 𐅑", r#""größe 水 𐅑""#),
        ];
        for (text, expected) in cases {
            assert_eq!(diagnostic(&Item::from(text)), expected);
        }
    }

    #[test]
    fn floats_have_a_point() {
        let cases = [
            (1e20, "100000000000000000000.0"),
            (1e21, "1.0e+21"),
            (1.25e22, "1.25e+22"),
            (1e-6, "0.000001"),
            (9.5e-7, "9.5e-7"),
            (-2.0, "-2.0"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            assert_eq!(diagnostic(&Item::Float(value)), expected);
        }
    }
}
