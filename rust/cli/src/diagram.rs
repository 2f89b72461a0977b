//! Draws rows as a Mermaid sequence diagram.

use antiphon_record::rows::RowKind;

use crate::overflow::{Overflow, Totals};
use crate::rows::NamedRow;

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

/// The bound on drawn rows: a longer diagram is too much for Mermaid and for a reader.
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
        row: NamedRow<'_>,
        number: impl Fn(&str) -> Option<usize>,
    ) -> Option<String> {
        self.totals.add(row);
        let line = match draw(row, number) {
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

fn draw(row: NamedRow<'_>, number: impl Fn(&str) -> Option<usize>) -> Drawn {
    let place = |name: &Option<String>| number(name.as_deref()?);
    let values = || mermaid(&row.values(DRAWN_VALUE));
    let (role, subject, note) = (row.role(), mermaid(&row.subject()), mermaid(&row.note()));
    let over = |place: usize, text: String| Drawn::Line(format!("    Note over P{place}: {text}"));
    // Trouble is always drawn; a role outside the diagram is named in the text.
    let trouble = |text: String| match (place(&role), &role) {
        (Some(place), _) => over(place, text),
        (None, Some(name)) => over(0, format!("{} {text}", mermaid(name))),
        (None, None) => over(0, text),
    };
    let effect = || format!("effect {}", row.row.number.unwrap_or_default());
    match row.kind() {
        RowKind::Sent | RowKind::Offered => {
            let (from, to) = row.ends();
            match (place(&from), place(&to)) {
                (Some(from), Some(to)) => {
                    // A dashed arrow is a message inside the guest.
                    let arrow = if row.is_inside_guest { "-->>" } else { "->>" };
                    Drawn::Line(format!("    P{from}{arrow}P{to}: {subject} {}", values()))
                }
                (_, _) => Drawn::OtherRole,
            }
        }
        RowKind::Request if row.is_call() => match place(&role) {
            Some(place) => over(place, format!("{subject}({})", values())),
            None => Drawn::OtherRole,
        },
        RowKind::EffectFailed => trouble(format!("{subject} failed {note}")),
        RowKind::EffectInvalidated => trouble(format!("{} is invalidated", effect())),
        RowKind::TimeoutIssued => trouble(format!("{} timed out", effect())),
        RowKind::FailureBranchEntered => trouble(format!("goes on after a failure: {note}")),
        RowKind::Faulted => trouble(format!("faulted: {note}")),
        RowKind::CancellationRequested => over(0, "cancellation requested".to_owned()),
        RowKind::Cancelled => over(0, "cancellation complete".to_owned()),
        RowKind::Refused => over(0, format!("refused: {note}")),
        RowKind::Diverged => over(0, format!("DIVERGED {note}")),
        RowKind::SessionTerminal => over(0, subject),
        RowKind::Opened
        | RowKind::Received
        | RowKind::Chose
        | RowKind::Request
        | RowKind::EffectIssued
        | RowKind::EffectResolved
        | RowKind::WitnessIssued
        | RowKind::WitnessExpired
        | RowKind::Spawned
        | RowKind::Halted
        | RowKind::Closed
        | RowKind::EpochAdvanced
        | RowKind::Input
        | RowKind::Checkpoint => Drawn::Nothing,
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
    use antiphon_machine::{
        CoroutineId, EdgeId, EffectId, End, Event, Fault, LabelId, Message, ObsEvent, OperationId,
        RoleId, SessionId, Stamp, Value,
    };
    use antiphon_record::Request;
    use antiphon_record::rows::{Row, Source};

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
        let called = request();
        let faulted = happened(
            RowKind::Faulted,
            Event::Faulted {
                coroutine: CoroutineId(0),
                fault: Fault::WrongOperation,
            },
        );
        let ended = |end: End| happened(RowKind::SessionTerminal, Event::SessionTerminal { end });
        let mut drawn = 0;
        let mut rows = vec![called.clone(); 20];
        rows.push(faulted);
        rows.push(ended(End::Faulted));
        rows.extend(vec![called; 5]);
        rows.extend((0..20).map(|_| ended(End::Closed)));
        for row in &rows {
            drawn += usize::from(diagram.row(named(row), |_| Some(0)).is_some());
        }
        assert_eq!(drawn, 10);
        let text = diagram.end(Some("the recording ends here"));
        let notes = text
            .lines()
            .map(|line| line.strip_prefix("    Note over P0: ").expect("notes only"));
        let expected = [
            "10 left out here",
            "faulted: the instruction does not fit the operation it names",
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
        let message = Message {
            edge: EdgeId(0),
            sequence: 0,
            label: LabelId(0),
            payload: Value::Unit,
        };
        let sent = Row {
            peer: Some(RoleId(1)),
            ..happened(RowKind::Sent, Event::Sent(message))
        };
        let place = |name: &str| (name == "role 0").then_some(0);
        assert_eq!(diagram.row(named(&sent), place), None);
        let timed_out = Event::TimeoutIssued {
            number: 7,
            witness: 0,
        };
        let timed_out = Row {
            number: Some(7),
            ..happened(RowKind::TimeoutIssued, timed_out)
        };
        let line = diagram.row(named(&timed_out), |_| None);
        assert_eq!(
            line.as_deref(),
            Some("    Note over P0: role 0 effect 7 timed out\n")
        );
        assert!(diagram.end(None).contains("1 of other roles are not drawn"));
    }

    fn named(row: &Row) -> NamedRow<'_> {
        NamedRow {
            row,
            image: None,
            is_inside_guest: false,
        }
    }

    fn row(kind: RowKind, source: Source) -> Row {
        Row {
            kind,
            step: 0,
            clock: 0,
            session: None,
            role: Some(RoleId(0)),
            peer: None,
            label: None,
            operation: None,
            number: None,
            source,
        }
    }

    fn happened(kind: RowKind, event: Event) -> Row {
        let stamp = Stamp {
            session: SessionId(0),
            index: 0,
            step: 0,
            clock: 0,
        };
        row(kind, Source::Event(ObsEvent { stamp, event }))
    }

    fn request() -> Row {
        let effect = EffectId {
            session: SessionId(0),
            number: 0,
        };
        let request = Request {
            step: 0,
            effect,
            role: Some(RoleId(0)),
            operation: OperationId(0),
            args: vec![],
            attempt: 0,
            deadline: None,
        };
        row(RowKind::Request, Source::Request(request))
    }
}
