//! Prints rows as lines of text.

use antiphon_machine::{CoroutineId, End, Event};
use antiphon_record::rows::{RowKind, Source};

use crate::output::{DIM, ERROR, NAME, Output, SUCCESS, WARNING};
use crate::rows::NamedRow;

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
pub(crate) fn line(row: NamedRow<'_>, output: &Output, has_others: bool) -> String {
    let (actor, action) = describe(row);
    let pad = " ".repeat(ACTOR_WIDTH.saturating_sub(actor.chars().count()));
    let (kind, is_closed) = (row.kind(), row.subject() == End::Closed.name());
    let style = if matches!(kind, RowKind::Faulted | RowKind::Diverged) {
        ERROR
    } else if kind == RowKind::SessionTerminal {
        if is_closed { SUCCESS } else { WARNING }
    } else if kind.is_trouble() {
        WARNING
    } else {
        NAME
    };
    let place = output.paint(DIM, &format!("{:>7} {:>7}", row.row.step, row.row.clock));
    // Most recordings have one session, which needs no number.
    let session = row.row.session.map(|session| session.0);
    let session = session.filter(|session| has_others || *session > 0);
    let session = session
        .map(|session| format!("[{session}] "))
        .unwrap_or_default();
    format!(
        "{place}  {session}{}{pad}  {action}\n",
        output.paint(style, &actor)
    )
}

/// The coroutine of an event. It is named if it has no role, because it was spawned.
fn coroutine(row: NamedRow<'_>) -> Option<CoroutineId> {
    let Source::Event(event) = &row.row.source else {
        return None;
    };
    match event.event {
        Event::EffectIssued { coroutine, .. }
        | Event::FailureBranchEntered { coroutine, .. }
        | Event::Halted { coroutine }
        | Event::Faulted { coroutine, .. } => Some(coroutine),
        Event::Opened { .. }
        | Event::Sent(_)
        | Event::Offered(_)
        | Event::Received(_)
        | Event::Chose(_)
        | Event::EffectResolved { .. }
        | Event::EffectFailed { .. }
        | Event::EffectInvalidated { .. }
        | Event::WitnessIssued { .. }
        | Event::WitnessExpired { .. }
        | Event::TimeoutIssued { .. }
        | Event::CancellationRequested { .. }
        | Event::Cancelled { .. }
        | Event::Spawned { .. }
        | Event::Closed
        | Event::SessionTerminal { .. }
        | Event::EpochAdvanced { .. } => None,
    }
}

/// Describes a row: the actor, and what it does.
fn describe(row: NamedRow<'_>) -> (String, String) {
    let (kind, subject, note) = (row.kind(), row.subject(), row.note());
    let number = row.row.number.unwrap_or_default();
    let role = row.role().unwrap_or_else(|| match coroutine(row) {
        Some(coroutine) => format!("coroutine {coroutine}"),
        None => "?".to_owned(),
    });
    let session = |action: String| ("session".to_owned(), action);
    let witness = |action: String| ("witness".to_owned(), action);
    let noted = |text: String| {
        if note.is_empty() {
            text
        } else {
            format!("{text}  ({note})")
        }
    };
    let is_of_host = row.row.is_of_host(row.image);
    match kind {
        RowKind::Sent | RowKind::Offered | RowKind::Received | RowKind::Chose => message(row),
        RowKind::Request if is_of_host => {
            let values = row.values(SHOWN);
            let space = if values.is_empty() { "" } else { " " };
            let action = noted(format!("{subject}{space}{values}"));
            (format!("{role} ? host"), action)
        }
        RowKind::Request => {
            let call = format!("{subject}({})", row.values(SHOWN));
            (format!("{role} calls"), noted(call))
        }
        RowKind::EffectIssued => (role, noted(format!("issues effect {number}, {subject}"))),
        RowKind::EffectResolved => {
            let verb = if is_of_host { "! host" } else { "gets" };
            let result = format!("{subject} = {}", row.values(SHOWN));
            (format!("{role} {verb}"), result)
        }
        RowKind::EffectFailed => (format!("{role} gets"), format!("{subject} failed: {note}")),
        RowKind::EffectInvalidated => (role, format!("effect {number} is invalidated")),
        RowKind::TimeoutIssued => (role, format!("effect {number} timed out")),
        RowKind::WitnessIssued => witness(noted(format!("{number} issued"))),
        RowKind::WitnessExpired => witness(format!("{number} expired")),
        RowKind::Opened => session(noted(format!("opened {subject}"))),
        RowKind::Spawned => session(noted(format!("spawned {subject}"))),
        RowKind::CancellationRequested => session("cancellation requested".to_owned()),
        RowKind::Cancelled => session("cancellation complete".to_owned()),
        RowKind::Closed => session("reached its end".to_owned()),
        RowKind::SessionTerminal => session(format!("ended: {subject}")),
        RowKind::EpochAdvanced => session(format!("advanced to {note}")),
        RowKind::FailureBranchEntered => (role, format!("goes on after a failure: {note}")),
        RowKind::Faulted => (role, format!("faulted: {note}")),
        RowKind::Halted => (role, "is done".to_owned()),
        RowKind::Input => match row.ticks() {
            Some(_) => ("clock".to_owned(), note),
            None => ("input".to_owned(), note),
        },
        RowKind::Refused => ("refused".to_owned(), note),
        RowKind::Checkpoint => ("checkpoint".to_owned(), note),
        RowKind::Diverged => ("DIVERGED".to_owned(), note),
    }
}

/// Describes a message that enters or leaves its buffer.
fn message(row: NamedRow<'_>) -> (String, String) {
    let (from, to) = row.ends();
    let name = |role: Option<String>| role.unwrap_or_else(|| "?".to_owned());
    let (from, to, label) = (name(from), name(to), row.subject());
    let (actor, action) = if row.is_receipt() {
        (format!("{from} ⇢ {to}"), format!("{label} is taken"))
    } else {
        let values = row.values(SHOWN);
        let space = if values.is_empty() { "" } else { " " };
        (format!("{from} → {to}"), format!("{label}{space}{values}"))
    };
    if row.is_inside_guest {
        (actor, format!("{action}  (inside the guest)"))
    } else {
        (actor, action)
    }
}
