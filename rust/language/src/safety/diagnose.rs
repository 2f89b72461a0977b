//! Safety results as diagnostics.

use antiphon_machine::RoleId;
use antiphon_machine::safety::{BadConfiguration, Move, Waiting};

use crate::automaton::Names;
use crate::diagnostic::{Code, Diagnostic};
use crate::global::CheckedProtocol;

use super::{Safety, Violation, ViolationKind};

/// The number of steps of a trace that are shown: the last ones, which lead to the violation.
const STEPS_SHOWN: usize = 24;

impl Safety {
    /// The diagnostic; `None` when the protocol is safe.
    pub fn diagnostic(&self, protocol: &CheckedProtocol) -> Option<Diagnostic> {
        match self {
            Safety::Safe(_) => None,
            Safety::Unsafe(violation) => Some(violation.diagnostic(protocol)),
            Safety::Uncertified { visited, buffer } => {
                let name = protocol.name();
                let message = format!("the safety of protocol `{name}` is not certified");
                let note = format!(
                    "no violation was found in {visited} configurations with buffers of {buffer} \
                     messages, but not all configurations were visited"
                );
                Some(Diagnostic::new(Code::Uncertified, protocol.span(), message).note(note))
            }
        }
    }
}

impl Violation {
    /// The violation as a diagnostic, with the trace that leads to it.
    pub fn diagnostic(&self, protocol: &CheckedProtocol) -> Diagnostic {
        let names = Names::of(protocol);
        let (code, about) = self.kind.code();
        let span = about.map_or(protocol.span(), |role| protocol.role_span(role));
        let mut diagnostic = Diagnostic::new(code, span, self.kind.text(&names));
        let skipped = self.trace.len().saturating_sub(STEPS_SHOWN);
        let mut lines = vec![];
        if skipped > 0 {
            lines.push(format!("after {skipped} steps:"));
        }
        for (number, step) in self.trace.iter().enumerate().skip(skipped) {
            lines.push(format!("{}. {}", number + 1, move_text(*step, &names)));
        }
        if let ViolationKind::Bad(BadConfiguration::Deadlock { waiting }) = &self.kind {
            lines.extend(waiting.iter().map(|waiting| waiting_text(*waiting, &names)));
        }
        if !lines.is_empty() {
            diagnostic =
                diagnostic.note(format!("the trace that leads to it:\n{}", lines.join("\n")));
        }
        diagnostic.help(code.fix())
    }
}

impl ViolationKind {
    fn code(&self) -> (Code, Option<RoleId>) {
        match self {
            ViolationKind::Bad(BadConfiguration::Reception { role, .. }) => {
                (Code::ReceptionError, Some(*role))
            }
            ViolationKind::Bad(BadConfiguration::Orphan { to, .. }) => {
                (Code::OrphanMessage, Some(*to))
            }
            ViolationKind::Bad(BadConfiguration::Deadlock { .. }) => (Code::Deadlock, None),
            ViolationKind::NoProgress { waiting } => (Code::NoProgress, Some(waiting.role)),
            ViolationKind::NeverReceived { to, .. } => (Code::NeverReceived, Some(*to)),
        }
    }

    fn text(&self, names: &Names) -> String {
        match self {
            ViolationKind::Bad(bad) => bad_text(bad, names),
            ViolationKind::NoProgress { waiting } => {
                format!(
                    "it can happen that {} forever",
                    waiting_text(*waiting, names)
                )
            }
            ViolationKind::NeverReceived { from, to, label } => format!(
                "role `{}` can leave `{}` from `{}` unread forever",
                names.role(*to),
                names.label(*label),
                names.role(*from)
            ),
        }
    }
}

fn bad_text(bad: &BadConfiguration, names: &Names) -> String {
    match bad {
        BadConfiguration::Reception {
            role,
            from,
            got,
            expected,
        } => {
            let expected: Vec<_> = expected
                .iter()
                .map(|label| format!("`{}`", names.label(*label)))
                .collect();
            format!(
                "role `{}` can receive `{}` from `{}` when it expects {}",
                names.role(*role),
                names.label(*got),
                names.role(*from),
                expected.join(" or ")
            )
        }
        BadConfiguration::Orphan { from, to, label } => format!(
            "role `{}` can finish while `{}` from `{}` is still unread",
            names.role(*to),
            names.label(*label),
            names.role(*from)
        ),
        BadConfiguration::Deadlock { .. } => {
            "deadlock: the roles can end up waiting for each other".into()
        }
    }
}

fn waiting_text(waiting: Waiting, names: &Names) -> String {
    let (role, peer) = (names.role(waiting.role), names.role(waiting.peer));
    if waiting.for_room {
        format!("`{role}` waits for `{peer}` to read")
    } else {
        format!("`{role}` waits for a message from `{peer}`")
    }
}

fn move_text(step: Move, names: &Names) -> String {
    let (role, peer) = (names.role(step.role), names.role(step.peer));
    let label = names.label(step.label);
    if step.sends {
        format!("`{role}` sends `{label}` to `{peer}`")
    } else {
        format!("`{role}` receives `{label}` from `{peer}`")
    }
}
