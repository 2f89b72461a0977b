//! Rows as lines for people, and as a Mermaid sequence diagram.

use antiphon_machine::VerifiedImage;

use crate::output::{BAD, FAINT, GOOD, NAME, ODD, Voice};
use crate::story::{Kind, Row};

/// Characters of a value that a line shows.
pub(crate) const SHOWN: usize = 72;

/// Columns of the part that says who.
const WHO_WIDTH: usize = 18;

/// The head of a timeline.
pub(crate) fn head(voice: &Voice) -> String {
    voice.paint(FAINT, "   step   clock  ") + "\n"
}

/// A row as a line, with its end. The first session is named where the caller knows that there are others.
pub(crate) fn line(
    row: &Row,
    image: Option<&VerifiedImage>,
    voice: &Voice,
    has_others: bool,
) -> String {
    let (who, told) = said(row, image);
    let pad = " ".repeat(WHO_WIDTH.saturating_sub(who.chars().count()));
    let style = match row.kind {
        Kind::Failed | Kind::TimedOut | Kind::Refused | Kind::Cancelled | Kind::FailureBranch => {
            ODD
        }
        Kind::Faulted | Kind::Diverged => BAD,
        Kind::Ended if row.what == "closed" => GOOD,
        Kind::Ended => ODD,
        Kind::Opened
        | Kind::Sent
        | Kind::Received
        | Kind::HostAsked
        | Kind::HostAnswered
        | Kind::Called
        | Kind::Answered
        | Kind::Witness
        | Kind::Halted
        | Kind::Clock
        | Kind::Checkpoint => NAME,
    };
    let place = voice.paint(FAINT, &format!("{:>7} {:>7}", row.step, row.clock));
    // By itself the first session needs no number: most recordings have no other.
    let session = row.session.filter(|session| has_others || *session > 0);
    let session = session
        .map(|session| format!("[{session}] "))
        .unwrap_or_default();
    format!(
        "{place}  {session}{}{pad}  {told}\n",
        voice.paint(style, &who)
    )
}

/// Who acts, and what it does.
fn said(row: &Row, image: Option<&VerifiedImage>) -> (String, String) {
    let values = row.values_text(image, SHOWN);
    let (from, to) = (
        row.from.as_deref().unwrap_or("?"),
        row.to.as_deref().unwrap_or("?"),
    );
    let spaced = |text: &str| {
        if text.is_empty() {
            String::new()
        } else {
            format!(" {text}")
        }
    };
    let noted = |text: String| match row.note.is_empty() {
        true => text,
        false => format!("{text}  ({})", row.note),
    };
    let inside = |text: String| match row.is_inside_guest {
        true => format!("{text}  (inside the guest)"),
        false => text,
    };
    let what = &row.what;
    match row.kind {
        Kind::Sent => (
            format!("{from} → {to}"),
            inside(format!("{what}{}", spaced(&values))),
        ),
        Kind::Received => (format!("{from} ⇢ {to}"), inside(format!("{what} is taken"))),
        Kind::HostAsked => (
            format!("{from} ? host"),
            noted(format!("{what}{}", spaced(&values))),
        ),
        Kind::HostAnswered => (format!("{to} ! host"), format!("{what} = {values}")),
        Kind::Called => (format!("{from} calls"), noted(format!("{what}({values})"))),
        Kind::Answered => (format!("{to} gets"), format!("{what} = {values}")),
        Kind::Failed => (format!("{to} gets"), format!("{what} failed: {}", row.note)),
        Kind::TimedOut => {
            let number = row.number.unwrap_or_default();
            (from.to_owned(), format!("effect {number} timed out"))
        }
        Kind::Witness => {
            let number = row.number.unwrap_or_default();
            ("witness".to_owned(), noted(format!("{number} {what}")))
        }
        Kind::Opened => ("session".to_owned(), noted(format!("opened {what}"))),
        Kind::Cancelled => ("session".to_owned(), format!("cancellation {}", row.note)),
        Kind::FailureBranch => (
            from.to_owned(),
            format!("goes on after a failure: {}", row.note),
        ),
        Kind::Faulted => (from.to_owned(), format!("faulted: {}", row.note)),
        Kind::Halted => (from.to_owned(), "is done".to_owned()),
        Kind::Ended => ("session".to_owned(), format!("ended: {what}")),
        Kind::Clock => ("clock".to_owned(), format!("{what} ticks pass")),
        Kind::Refused => ("refused".to_owned(), row.note.clone()),
        Kind::Checkpoint => ("checkpoint".to_owned(), row.note.clone()),
        Kind::Diverged => ("DIVERGED".to_owned(), row.note.clone()),
    }
}

/// Writes the messages of a run as a Mermaid sequence diagram, up to a number that Mermaid can still draw.
#[derive(Debug)]
pub(crate) struct Diagram {
    drawn: usize,
    left_out: usize,
}

/// The most messages of a diagram: beyond it neither Mermaid nor a reader copes.
const DRAWN_MAX: usize = 2000;

/// Characters of a payload in a diagram.
const DRAWN_VALUE: usize = 32;

impl Diagram {
    /// The diagram, and the text it begins with.
    pub(crate) fn begin<'r>(roles: impl Iterator<Item = &'r str>) -> (Diagram, String) {
        let mut text = "sequenceDiagram\n".to_owned();
        for (n, role) in roles.enumerate() {
            text.push_str(&format!("    participant P{n} as {}\n", mermaid(role)));
        }
        (
            Diagram {
                drawn: 0,
                left_out: 0,
            },
            text,
        )
    }

    /// The row as a line, if it is one of the diagram's. `number` gives a role's place among those it began with.
    pub(crate) fn row(
        &mut self,
        row: &Row,
        image: Option<&VerifiedImage>,
        number: impl Fn(&str) -> Option<usize>,
    ) -> Option<String> {
        let place = |name: &Option<String>| number(name.as_deref()?);
        let values = mermaid(&row.values_text(image, DRAWN_VALUE));
        let what = mermaid(&row.what);
        let line = match row.kind {
            Kind::Sent => {
                let (from, to) = (place(&row.from)?, place(&row.to)?);
                // A dashed line stays inside the guest.
                let arrow = if row.is_inside_guest { "-->>" } else { "->>" };
                format!("    P{from}{arrow}P{to}: {what} {values}")
            }
            Kind::Called => format!("    Note over P{}: {what}({values})", place(&row.from)?),
            Kind::Failed => {
                format!(
                    "    Note over P{}: {what} {}",
                    place(&row.to)?,
                    mermaid(&row.note)
                )
            }
            Kind::Faulted => {
                format!(
                    "    Note over P{}: faulted: {}",
                    place(&row.from)?,
                    mermaid(&row.note)
                )
            }
            Kind::Cancelled => format!("    Note over P0: cancellation {}", mermaid(&row.note)),
            Kind::Ended => format!("    Note over P0: {what}"),
            Kind::Opened
            | Kind::Received
            | Kind::HostAsked
            | Kind::HostAnswered
            | Kind::Answered
            | Kind::TimedOut
            | Kind::Witness
            | Kind::FailureBranch
            | Kind::Halted
            | Kind::Clock
            | Kind::Refused
            | Kind::Checkpoint
            | Kind::Diverged => return None,
        };
        // The end of a session is drawn whatever came before it.
        if self.drawn >= DRAWN_MAX && row.kind != Kind::Ended {
            self.left_out += 1;
            return None;
        }
        self.drawn += 1;
        Some(line.trim_end().to_owned() + "\n")
    }

    /// What the diagram ends with.
    pub(crate) fn end(&self) -> String {
        match self.left_out {
            0 => String::new(),
            n => format!("    Note over P0: {n} more are left out\n"),
        }
    }
}

/// Text that Mermaid shows as it is: everything it could take for its own is written as a character number.
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
    fn hostile_text_stays_text_in_a_diagram() {
        let text = mermaid("x; end\n%%{init}%% <b>\"#");
        assert!(!text.contains(['\n', '%', '<', '"', '{']), "{text}");
        assert!(text.starts_with("x#59; end#10;#37;#37;#123;init"), "{text}");
    }

    #[test]
    fn a_diagram_leaves_out_what_nobody_can_read() {
        let (mut diagram, _) = Diagram::begin(["A"].into_iter());
        let row = Row {
            kind: Kind::Called,
            ..empty()
        };
        let drawn = (0..DRAWN_MAX + 5).filter_map(|_| diagram.row(&row, None, |_| Some(0)));
        assert_eq!(drawn.count(), DRAWN_MAX);
        let ended = Row {
            kind: Kind::Ended,
            ..empty()
        };
        assert!(diagram.row(&ended, None, |_| Some(0)).is_some());
        assert_eq!(diagram.end(), "    Note over P0: 5 more are left out\n");
    }

    fn empty() -> Row {
        Row {
            kind: Kind::Sent,
            step: 0,
            clock: 0,
            session: None,
            from: Some("A".to_owned()),
            to: None,
            what: String::new(),
            number: None,
            values: Vec::new(),
            note: String::new(),
            is_inside_guest: false,
        }
    }
}
