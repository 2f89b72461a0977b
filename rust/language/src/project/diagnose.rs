//! Projection errors as diagnostics.

use crate::diagnostic::{Code, Diagnostic};
use crate::global::CheckedProtocol;

use super::{Activity, Conflict, ProjectError, Site};

impl ProjectError {
    /// The diagnostic: the role, what it would have to do in each branch, and where the branches
    /// begin.
    pub fn diagnostic(&self, protocol: &CheckedProtocol) -> Diagnostic {
        let role = protocol.role_name(self.role);
        let code = self.conflict.code();
        if self.first == self.second {
            let what = match self.conflict {
                Conflict::ActsForever => "repeats local actions while only other roles communicate",
                Conflict::TooLarge => "has too many states",
                Conflict::BeginsOtherwise => {
                    "begins a branch of its choice with something other than its own message"
                }
                Conflict::EndsOrGoesOn
                | Conflict::SendsOrReceives
                | Conflict::Senders(..)
                | Conflict::Receivers(..)
                | Conflict::Labels(_)
                | Conflict::Sorts(_)
                | Conflict::Payloads(_)
                | Conflict::Actions => "cannot tell which of two branches was taken",
            };
            let message = format!("role `{role}` {what}");
            return Diagnostic::new(code, self.first.span, message).help(code.fix());
        }
        let does = |site: &Site| site.activity.text(protocol);
        let summary = match &self.unseen {
            Some(unseen) => {
                let at = protocol.role_name(unseen.at);
                format!("role `{role}` does not learn what `{at}` chooses")
            }
            None => format!("role `{role}` cannot tell two places apart"),
        };
        let (one, two) = (does(&self.first), does(&self.second));
        let message = match self.conflict.detail(protocol) {
            Some(detail) => format!("{summary}: {detail}"),
            None => format!("{summary}: in one branch it {one}, in another it {two}"),
        };
        // The end has no span of its own, so point at the activity in the other branch.
        let ends = self.first.activity == Activity::Nothing;
        let (main, other) = if ends {
            (self.second, self.first)
        } else {
            (self.first, self.second)
        };
        let here = |site: &Site| format!("here `{role}` {}", does(site));
        let mut diagnostic = Diagnostic::new(code, main.span, message).label(here(&main));
        if other.activity == Activity::Nothing {
            diagnostic = diagnostic.note(format!("in another branch `{role}` is done"));
        } else {
            diagnostic = diagnostic.related(other.span, here(&other));
        }
        if let Some(unseen) = &self.unseen {
            for branch in [unseen.branches.0, unseen.branches.1] {
                if branch != main.span && branch != other.span {
                    diagnostic = diagnostic.related(branch, "a branch begins here");
                }
            }
        }
        diagnostic.help(code.fix())
    }
}

impl Activity {
    fn text(self, protocol: &CheckedProtocol) -> String {
        match self {
            Activity::Nothing => "is done".to_owned(),
            Activity::Sends(label, to) => {
                let (label, to) = (protocol.label_name(label), protocol.role_name(to));
                format!("sends `{label}` to `{to}`")
            }
            Activity::Receives(label, from) => {
                let (label, from) = (protocol.label_name(label), protocol.role_name(from));
                format!("receives `{label}` from `{from}`")
            }
            Activity::Chooses => "chooses what to send".to_owned(),
            Activity::Acts => "performs a local action".to_owned(),
        }
    }
}

impl Conflict {
    fn code(self) -> Code {
        match self {
            Conflict::EndsOrGoesOn => Code::EndsOrGoesOn,
            Conflict::SendsOrReceives => Code::SendsOrReceives,
            Conflict::Senders(..) => Code::DifferentSenders,
            Conflict::Receivers(..) => Code::DifferentReceivers,
            Conflict::Labels(_) => Code::DifferentLabels,
            Conflict::Sorts(_) => Code::DifferentSorts,
            Conflict::Payloads(_) => Code::DifferentPayloads,
            Conflict::Actions => Code::DifferentActions,
            Conflict::ActsForever => Code::ActsForever,
            Conflict::BeginsOtherwise => Code::BranchStart,
            Conflict::TooLarge => Code::ProjectionTooLarge,
        }
    }

    /// Details that the two sites do not show.
    fn detail(self, protocol: &CheckedProtocol) -> Option<String> {
        let name = |label| protocol.label_name(label);
        match self {
            Conflict::Labels(label) => Some(format!(
                "it may send `{}` in only one of two branches",
                name(label)
            )),
            Conflict::Sorts(label) => Some(format!(
                "`{}` has different payloads in two branches",
                name(label)
            )),
            Conflict::Payloads(label) => Some(format!(
                "it sends `{}` with different values in two branches",
                name(label)
            )),
            Conflict::Actions => Some("it acts differently in two branches".to_owned()),
            Conflict::EndsOrGoesOn
            | Conflict::SendsOrReceives
            | Conflict::Senders(..)
            | Conflict::Receivers(..)
            | Conflict::ActsForever
            | Conflict::BeginsOtherwise
            | Conflict::TooLarge => None,
        }
    }
}
