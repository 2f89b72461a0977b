//! Projection errors as people see them.

use crate::diagnostic::{Code, Diagnostic};
use crate::global::CheckedProtocol;

use super::{Conflict, Doing, ProjectError, Spot};

impl ProjectError {
    /// The error as people see it: the role, what it would have to do in either branch, and where
    /// the branches begin.
    pub fn diagnostic(&self, protocol: &CheckedProtocol) -> Diagnostic {
        let role = protocol.role_name(self.role);
        let code = self.conflict.code();
        if self.first == self.second {
            let what = match self.conflict {
                Conflict::ActsForever => "acts over and over while only others talk",
                Conflict::TooLarge => "has too many states",
                Conflict::BeginsOtherwise => "begins a branch of its choice with something else",
                Conflict::EndsOrGoesOn
                | Conflict::SendsOrReceives
                | Conflict::Senders(..)
                | Conflict::Receivers(..)
                | Conflict::Labels(_)
                | Conflict::Sorts(_)
                | Conflict::Payloads(_)
                | Conflict::Actions => "cannot tell in which of two branches it is",
            };
            let message = format!("role `{role}` {what}");
            return Diagnostic::new(code, self.first.span, message).help(code.mending());
        }
        let does = |spot: &Spot| spot.doing.text(protocol);
        let told_apart = match &self.parting {
            Some(parting) => {
                let at = protocol.role_name(parting.at);
                format!("role `{role}` does not learn what `{at}` chooses")
            }
            None => format!("role `{role}` cannot tell in which of two places it is"),
        };
        let (one, two) = (does(&self.first), does(&self.second));
        let message = match self.conflict.detail(protocol) {
            Some(detail) => format!("{told_apart}: {detail}"),
            None => format!("{told_apart}: in one branch it {one}, in another it {two}"),
        };
        // The end has no place in the text: point at what is to be done in the other branch.
        let ends = self.first.doing == Doing::Nothing;
        let (main, other) = if ends {
            (self.second, self.first)
        } else {
            (self.first, self.second)
        };
        let here = |spot: &Spot| format!("here `{role}` {}", does(spot));
        let mut diagnostic = Diagnostic::new(code, main.span, message).label(here(&main));
        if other.doing == Doing::Nothing {
            diagnostic = diagnostic.note(format!("in another branch `{role}` is done"));
        } else {
            diagnostic = diagnostic.related(other.span, here(&other));
        }
        if let Some(parting) = &self.parting {
            for branch in [parting.branches.0, parting.branches.1] {
                if branch != main.span && branch != other.span {
                    diagnostic = diagnostic.related(branch, "a branch begins here");
                }
            }
        }
        diagnostic.help(code.mending())
    }
}

impl Doing {
    fn text(self, protocol: &CheckedProtocol) -> String {
        match self {
            Doing::Nothing => "is done".to_owned(),
            Doing::Sends(label, to) => {
                let (label, to) = (protocol.label_name(label), protocol.role_name(to));
                format!("sends `{label}` to `{to}`")
            }
            Doing::Receives(label, from) => {
                let (label, from) = (protocol.label_name(label), protocol.role_name(from));
                format!("receives `{label}` from `{from}`")
            }
            Doing::Chooses => "chooses what to send".to_owned(),
            Doing::Acts => "performs a local action".to_owned(),
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

    /// What the two places do not say by themselves.
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
