//! Prints the result of a comparison.

use super::{Compared, Extent, Likeness, Parting, Place};
use crate::describe::count;
use crate::tail::Tail;

impl Compared {
    /// The result as lines, with these names for the recordings.
    pub fn text(&self, left: &str, right: &str) -> String {
        let counts = format!(
            "{}, {}, {}",
            count(self.messages, "message"),
            count(self.calls, "call"),
            count(self.sessions, "session"),
        );
        match &self.likeness {
            Likeness::Equal => format!("equal: {counts}"),
            Likeness::EqualUpTo => {
                let ends = [(&self.left, left), (&self.right, right)];
                let ends = ends
                    .into_iter()
                    .filter_map(|(extent, name)| extent.stops(name));
                let ends = ends.collect::<Vec<_>>().join(", and ");
                format!("equal up to {ends}: {counts}")
            }
            Likeness::Protocols {
                session,
                left,
                right,
            } => format!("different protocols in session {session}\n  - {left}\n  + {right}"),
            Likeness::Different(parting) => format!("{parting}\nequal before it: {counts}"),
            Likeness::Undecided { lookahead_max } => {
                let (a, b) = (self.left.step, self.right.step);
                format!(
                    "not decided: equal up to step {a} of {left} and step {b} of {right}, where \
                     more than \
                     {lookahead_max} bytes of one wait for the other: {counts}"
                )
            }
        }
    }
}

impl Extent {
    /// Where the recording stops, if it is not complete.
    fn stops(&self, name: &str) -> Option<String> {
        let why = match (&self.divergence, &self.tail) {
            (Some(divergence), _) => format!(", whose replay {divergence}"),
            (None, Some(Tail::Damaged(_))) => ", then damaged".to_owned(),
            (None, Some(Tail::Torn { .. })) => ", then it ends within a record".to_owned(),
            (None, Some(Tail::Open)) => ", then it ends".to_owned(),
            (None, Some(Tail::Sealed) | None) => return None,
        };
        let rest = match self.has_rest {
            true => " (its last items were not compared)",
            false => "",
        };
        Some(format!("step {} of {name}{why}{rest}", self.step))
    }
}

impl std::fmt::Display for Parting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("different")?;
        if let Some(session) = self.session {
            write!(f, " in session {session}")?;
        }
        match &self.place {
            Place::Edge {
                from,
                to,
                left,
                right,
            } => {
                write!(f, ", {from} → {to}")?;
                match (left, right) {
                    (Some(left), Some(right)) if left != right => {
                        write!(f, ", messages {left} and {right}")?;
                    }
                    (Some(number), _) | (None, Some(number)) => write!(f, ", message {number}")?,
                    (None, None) => {}
                }
            }
            Place::Calls { role, calls } => write!(f, ", {role}, after {}", count(*calls, "call"))?,
            Place::Session => {}
            Place::Clock => f.write_str(", the clock")?,
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", byte {offset}")?;
        }
        for line in &self.before {
            write!(f, "\n    {line}")?;
        }
        write!(f, "\n  - {}\n  + {}", self.left, self.right)
    }
}
