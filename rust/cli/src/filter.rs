//! Filters guest text for a terminal, so that the terminal obeys no command in the text.
//!
//! Escape sequences (colours, cursor, titles, clipboard, hyperlinks, device queries) and control
//! characters are removed; line feed, carriage return and tab stay. Characters that reverse the
//! direction of text or are invisible are replaced, because they make a line look like another one.
//! Only text for a person is filtered, never data.

use antiphon_machine::text::{REPLACEMENT, misleads};
use vte::{Parser, Perform};

pub(crate) use antiphon_machine::text::line;

/// Filters a stream. The result does not depend on how the stream is split into pieces.
#[derive(Default)]
pub(crate) struct Filter {
    parser: Parser,
    page: Page,
}

/// The text that is left after filtering.
#[derive(Default)]
struct Page {
    text: String,
}

impl Filter {
    /// Returns the readable part of the next piece.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> &str {
        self.page.text.clear();
        self.parser.advance(&mut self.page, bytes);
        &self.page.text
    }
}

impl Perform for Page {
    fn print(&mut self, c: char) {
        match c {
            c if c.is_control() => {}
            c if misleads(c) => self.text.push(REPLACEMENT),
            c => self.text.push(c),
        }
    }

    fn execute(&mut self, byte: u8) {
        if matches!(byte, b'\n' | b'\r' | b'\t') {
            self.text.push(char::from(byte));
        }
    }
}

/// Filters text from outside that may have several lines.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Quotes a name or a word of the user for a message: in backticks, or as `""` if it is empty.
pub(crate) fn quoted(word: impl std::fmt::Display) -> String {
    let word = word.to_string();
    if word.is_empty() {
        "\"\"".to_owned()
    } else {
        format!("`{word}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Filters the text whole and byte by byte; both must give the same result.
    fn passed(bytes: &[u8]) -> String {
        let whole = Filter::default().pass(bytes).to_owned();
        let mut filter = Filter::default();
        let split: String = bytes
            .iter()
            .map(|b| filter.pass(&[*b]).to_owned())
            .collect();
        assert_eq!(whole, split);
        whole
    }

    #[test]
    fn plain_text_stays() {
        let text = "name\tvalue\r\n 40 %\r 50 %\nÜmläut 漢字 🦀\n";
        assert_eq!(passed(text.as_bytes()), text);
    }

    #[test]
    fn terminal_controls_are_removed() {
        for (wrote, seen) in [
            (&b"\x1b[31mred\x1b[0m"[..], "red"),
            (b"\x1b]0;title\x07x", "x"),
            (b"\x1b]52;c;Y2xpcA==\x1b\\x", "x"),
            (b"\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"\x1bP+q544e\x1b\\x", "x"),
            (b"\x1b[2J\x1b[Hx", "x"),
            (b"\x1bcx", "x"),
            (b"a\x08\x08b\x07\x00\x7fc", "abc"),
        ] {
            assert_eq!(passed(wrote), seen, "{wrote:?}");
        }
    }

    #[test]
    fn eight_bit_controls_are_removed_in_any_encoding() {
        assert!(!passed("\u{9b}31mx".as_bytes()).contains('\u{9b}'));
        let raw = passed(b"\x9b31mx");
        assert!(raw.chars().all(|c| !c.is_control()), "{raw:?}");
    }

    #[test]
    fn misleading_characters_are_replaced() {
        assert_eq!(
            passed("a\u{202e}b\u{200b}c".as_bytes()),
            "a\u{fffd}b\u{fffd}c"
        );
        assert_eq!(line("a\u{1b}[31m\n\u{202e}"), "a\\u{1b}[31m\\n\u{fffd}");
    }
}
