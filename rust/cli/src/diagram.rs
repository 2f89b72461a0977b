//! Draws rows as a Mermaid sequence diagram.

use antiphon_machine::VerifiedImage;

use crate::overflow::{Overflow, Totals};
use crate::rows::{Kind, Row};

/// Draws the messages and calls of a run as a Mermaid sequence diagram, up to a bound that Mermaid
/// can still draw. Beyond the bound, the first and last rows of trouble and ends of sessions are
/// drawn.
#[derive(Debug)]
pub(crate) struct Diagram {
    drawn_max: u64,
    drawn: u64,
    totals: Totals,
    beyond: Overflow<String>,
    /// The number of messages and calls of roles that are not in the diagram.
    other_roles: u64,
}

/// The bound on drawn rows: neither Mermaid nor a reader copes with more.
const DRAWN_MAX: u64 = 2000;

/// How many rows of trouble are drawn beyond the bound: this many from the first and from the last.
/// The same holds for ends of sessions.
const DRAWN_BEYOND: usize = 50;

/// The width of a payload in a diagram, in characters.
const DRAWN_VALUE: usize = 32;

impl Diagram {
    /// Returns the diagram and its first lines.
    pub(crate) fn begin<'r>(roles: impl Iterator<Item = &'r str>) -> (Diagram, String) {
        Diagram::bounded(roles, DRAWN_MAX, DRAWN_BEYOND)
    }

    fn bounded<'r>(
        roles: impl Iterator<Item = &'r str>,
        drawn_max: u64,
        beyond_max: usize,
    ) -> (Diagram, String) {
        let mut text = "sequenceDiagram\n".to_owned();
        for (n, role) in roles.enumerate() {
            text.push_str(&format!("    participant P{n} as {}\n", mermaid(role)));
        }
        (
            Diagram {
                drawn_max,
                drawn: 0,
                totals: Totals::default(),
                beyond: Overflow::new(beyond_max, beyond_max),
                other_roles: 0,
            },
            text,
        )
    }

    /// Returns the row as a line, if it is drawn. `number` returns a role's index among the
    /// participants.
    pub(crate) fn row(
        &mut self,
        row: &Row,
        image: Option<&VerifiedImage>,
        number: impl Fn(&str) -> Option<usize>,
    ) -> Option<String> {
        self.totals.add(row);
        let line = match draw(row, image, number) {
            Drawn::Line(line) => line.trim_end().to_owned() + "\n",
            Drawn::OtherRole => {
                self.other_roles += 1;
                return None;
            }
            Drawn::Nothing => return None,
        };
        self.drawn += 1;
        if self.drawn > self.drawn_max {
            self.beyond.push(self.drawn, row, || line);
            return None;
        }
        Some(line)
    }

    /// Returns the last lines. `cut` describes the end of an incomplete recording.
    pub(crate) fn end(self, cut: Option<&str>) -> String {
        let note = |note: &str| format!("    Note over P0: {}\n", mermaid(note));
        let mut text = String::new();
        let left_out = self.beyond.left_out();
        let (summary, totals) = (self.beyond.summary(), self.totals.summary());
        let mut at = self.drawn_max;
        for (place, line) in self.beyond.into_items() {
            if place > at + 1 {
                text.push_str(&note(&format!("{} left out here", place - at - 1)));
            }
            text.push_str(&line);
            at = place;
        }
        if self.drawn > at {
            text.push_str(&note(&format!("{} left out here", self.drawn - at)));
        }
        if let Some(summary) = summary {
            let max = self.drawn_max;
            let left_out = format!("{left_out} are left out; beyond the first {max}: {summary}");
            text.push_str(&note(&left_out));
        }
        if self.other_roles > 0 {
            text.push_str(&note(&format!(
                "{} of other roles are not drawn",
                self.other_roles
            )));
        }
        if left_out > 0 || self.other_roles > 0 {
            text.push_str(&note(&format!("in all: {totals}")));
        }
        if let Some(cut) = cut {
            text.push_str(&note(cut));
        }
        text
    }
}

/// What a row adds to the diagram.
enum Drawn {
    Line(String),
    /// A message or call of a role that is not in the diagram.
    OtherRole,
    Nothing,
}

fn draw(row: &Row, image: Option<&VerifiedImage>, number: impl Fn(&str) -> Option<usize>) -> Drawn {
    let place = |name: &Option<String>| number(name.as_deref()?);
    let values = mermaid(&row.values_text(image, DRAWN_VALUE));
    let (what, note) = (mermaid(&row.what), mermaid(&row.note));
    let over = |place: usize, text: String| Drawn::Line(format!("    Note over P{place}: {text}"));
    // Trouble is always drawn; a role outside the diagram is named in the text.
    let trouble = |name: &Option<String>, text: String| match (place(name), name) {
        (Some(place), _) => over(place, text),
        (None, Some(name)) => over(0, format!("{} {text}", mermaid(name))),
        (None, None) => over(0, text),
    };
    match row.kind {
        Kind::Sent => match (place(&row.from), place(&row.to)) {
            (Some(from), Some(to)) => {
                // A dashed arrow is a message inside the guest.
                let arrow = if row.is_inside_guest { "-->>" } else { "->>" };
                Drawn::Line(format!("    P{from}{arrow}P{to}: {what} {values}"))
            }
            (_, _) => Drawn::OtherRole,
        },
        Kind::Called => match place(&row.from) {
            Some(place) => over(place, format!("{what}({values})")),
            None => Drawn::OtherRole,
        },
        Kind::Failed => trouble(&row.to, format!("{what} failed {note}")),
        Kind::TimedOut => {
            let number = row.number.unwrap_or_default();
            trouble(&row.from, format!("effect {number} timed out"))
        }
        Kind::FailureBranch => trouble(&row.from, format!("goes on after a failure: {note}")),
        Kind::Faulted => trouble(&row.from, format!("faulted: {note}")),
        Kind::Cancelled => over(0, format!("cancellation {note}")),
        Kind::Refused => over(0, format!("refused: {note}")),
        Kind::Diverged => over(0, format!("DIVERGED {note}")),
        Kind::Ended => over(0, what),
        Kind::Opened
        | Kind::Received
        | Kind::HostAsked
        | Kind::HostAnswered
        | Kind::Answered
        | Kind::Witness
        | Kind::Halted
        | Kind::Clock
        | Kind::Checkpoint => Drawn::Nothing,
    }
}

/// Escapes text for Mermaid: a character that Mermaid could interpret becomes its number.
fn mermaid(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_alphanumeric() => shown.push(c),
            ' ' | '.' | ',' | '_' | '-' | '(' | ')' | '/' | '|' | '=' | '…' => shown.push(c),
            c => shown.push_str(&format!("#{};", u32::from(c))),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_escaped_in_a_diagram() {
        let text = mermaid("x; end\n%%{init}%% <b>\"#");
        assert!(!text.contains(['\n', '%', '<', '"', '{']), "{text}");
        assert!(text.starts_with("x#59; end#10;#37;#37;#123;init"), "{text}");
    }

    #[test]
    fn a_diagram_keeps_trouble_and_ends_beyond_its_bound() {
        let (mut diagram, _) = Diagram::bounded(["A"].into_iter(), 10, 3);
        let called = Row {
            kind: Kind::Called,
            ..empty()
        };
        let faulted = Row {
            kind: Kind::Faulted,
            note: "why".to_owned(),
            ..empty()
        };
        let ended = |what: &str| Row {
            kind: Kind::Ended,
            what: what.to_owned(),
            ..empty()
        };
        let mut drawn = 0;
        let mut rows = vec![called.clone(); 20];
        rows.push(faulted);
        rows.push(ended("faulted"));
        rows.extend(vec![called; 5]);
        rows.extend((0..20).map(|_| ended("closed")));
        for row in &rows {
            drawn += usize::from(diagram.row(row, None, |_| Some(0)).is_some());
        }
        assert_eq!(drawn, 10);
        let text = diagram.end(Some("the recording ends here"));
        let notes = text
            .lines()
            .map(|line| line.strip_prefix("    Note over P0: ").expect("notes only"));
        let expected = [
            "10 left out here",
            "faulted: why",
            "faulted",
            "5 left out here",
            "closed",
            "closed",
            "15 left out here",
            "closed",
            "closed",
            "closed",
            "30 are left out#59; beyond the first 10#58; 1 faulted#59; sessions 20 closed, 1 \
             faulted",
            "in all#58; 0 messages, 25 calls, 1 faulted, sessions 20 closed, 1 faulted",
            "the recording ends here",
        ];
        assert_eq!(notes.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn counts_rows_of_other_roles_and_names_their_trouble() {
        let (mut diagram, _) = Diagram::bounded(["A"].into_iter(), 10, 3);
        let sent = Row {
            to: Some("B".to_owned()),
            ..empty()
        };
        assert_eq!(
            diagram.row(&sent, None, |name| (name == "A").then_some(0)),
            None
        );
        let timed_out = Row {
            kind: Kind::TimedOut,
            from: Some("B".to_owned()),
            number: Some(7),
            ..empty()
        };
        let line = diagram.row(&timed_out, None, |_| None);
        assert_eq!(
            line.as_deref(),
            Some("    Note over P0: B effect 7 timed out\n")
        );
        assert!(diagram.end(None).contains("1 of other roles are not drawn"));
    }

    fn empty() -> Row {
        Row {
            from: Some("A".to_owned()),
            ..Row::new(Kind::Sent, 0, 0, None)
        }
    }
}
