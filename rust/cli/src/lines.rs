//! Prints rows as lines of text.

use antiphon_machine::VerifiedImage;

use crate::output::{DIM, ERROR, NAME, Output, SUCCESS, WARNING};
use crate::rows::{Kind, Row};

/// The width of a value in a line, in characters.
const SHOWN: usize = 72;

/// The width of the column that names the role, in characters.
const ACTOR_WIDTH: usize = 18;

/// The header line of a timeline.
pub(crate) fn head(output: &Output) -> String {
    output.paint(DIM, "   step   clock  ") + "\n"
}

/// Returns a row as a line with its line end. Session 0 is named only if the caller knows of other
/// sessions.
pub(crate) fn line(
    row: &Row,
    image: Option<&VerifiedImage>,
    output: &Output,
    has_others: bool,
) -> String {
    let (actor, action) = describe(row, image);
    let pad = " ".repeat(ACTOR_WIDTH.saturating_sub(actor.chars().count()));
    let style = match row.kind {
        Kind::Failed | Kind::TimedOut | Kind::Refused | Kind::Cancelled | Kind::FailureBranch => {
            WARNING
        }
        Kind::Faulted | Kind::Diverged => ERROR,
        Kind::Ended if row.what == "closed" => SUCCESS,
        Kind::Ended => WARNING,
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
    let place = output.paint(DIM, &format!("{:>7} {:>7}", row.step, row.clock));
    // Most recordings have one session, which needs no number.
    let session = row.session.filter(|session| has_others || *session > 0);
    let session = session
        .map(|session| format!("[{session}] "))
        .unwrap_or_default();
    format!(
        "{place}  {session}{}{pad}  {action}\n",
        output.paint(style, &actor)
    )
}

/// Describes a row: the actor, and what it does.
fn describe(row: &Row, image: Option<&VerifiedImage>) -> (String, String) {
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
        Kind::Clock => {
            let passing = match what.as_str() {
                "1" => "1 tick passes".to_owned(),
                ticks => format!("{ticks} ticks pass"),
            };
            ("clock".to_owned(), passing)
        }
        Kind::Refused => ("refused".to_owned(), row.note.clone()),
        Kind::Checkpoint => ("checkpoint".to_owned(), row.note.clone()),
        Kind::Diverged => ("DIVERGED".to_owned(), row.note.clone()),
    }
}
