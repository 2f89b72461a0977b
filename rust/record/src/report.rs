//! What a replay found, as data and as text.

use crate::describe;
use crate::divergence::Divergence;
use crate::entry::Checkpoint;
use crate::reader::Tail;

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The recording is whole, and the replay is the recorded run.
    Equal,
    /// The replay is the recorded run up to this step, and no more is known. [`Report::tail`] says
    /// why: the recording is cut or damaged there, or, with `None`, the replay was not taken to
    /// the end.
    EqualUpTo {
        /// How many steps were taken.
        step: u64,
    },
    /// It is not, from here on.
    Diverged(Box<Divergence>),
}

/// The result of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether the replay is the recorded run.
    pub verdict: Verdict,
    /// How the recording ends; `None` when the replay stopped before its end.
    pub tail: Option<Tail>,
    /// How many records proved to be what was written.
    pub records: u64,
    /// How many entries were replayed, the header included.
    pub entries: u64,
    /// How many requests were compared.
    pub requests: u64,
    /// How many inputs were taken or refused, answers included.
    pub inputs: u64,
    /// How many checkpoints were compared, the end included.
    pub checkpoints: u64,
    /// How many sessions were opened.
    pub sessions: u64,
    /// The digests of the run as replayed.
    pub last: Checkpoint,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Equal => f.write_str("equal"),
            Verdict::EqualUpTo { step } => write!(f, "equal up to step {step}"),
            Verdict::Diverged(divergence) => divergence.fmt(f),
        }
    }
}

impl Report {
    /// The verdict in a few words: the first line of [`Display`](std::fmt::Display) without the
    /// counts, and the kind of divergence without its details.
    pub fn headline(&self) -> String {
        let why = match (&self.verdict, &self.tail) {
            (Verdict::Equal, _) => return "equal".to_owned(),
            (Verdict::Diverged(divergence), _) => {
                let Divergence { step, .. } = divergence.as_ref();
                return format!("diverged at step {step}: {}", divergence.difference.name());
            }
            (Verdict::EqualUpTo { .. }, Some(Tail::Damaged(_))) => ", then damaged",
            (Verdict::EqualUpTo { .. }, Some(Tail::Torn { .. })) => {
                ", then the recording ends within a record"
            }
            (Verdict::EqualUpTo { .. }, Some(Tail::Open)) => ", then the recording ends",
            (Verdict::EqualUpTo { .. }, Some(Tail::Sealed) | None) => "",
        };
        format!("{}{why}", self.verdict)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Verdict::Diverged(divergence) = &self.verdict {
            return divergence.fmt(f);
        }
        write!(f, "{}: ", self.headline())?;
        if self.verdict == Verdict::Equal {
            write!(f, "{}, ", describe::count(self.last.step, "step"))?;
        }
        write!(
            f,
            "{}, {}, {}, ",
            describe::count(self.entries, ("entry", "entries")),
            describe::count(self.requests, "request"),
            describe::count(self.inputs, "input"),
        )?;
        match self.checkpoints {
            0 => f.write_str("no checkpoints, ")?,
            checkpoints => write!(f, "{}, ", describe::count(checkpoints, "checkpoint"))?,
        }
        f.write_str(&describe::count(self.sessions, "session"))
    }
}
