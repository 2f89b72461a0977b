//! The result of a replay, as data and as text.

use crate::describe;
use crate::divergence::Divergence;
use crate::entry::Checkpoint;
use crate::tail::Tail;

/// Whether a replay repeated the recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The recording is complete, and the replay repeated it.
    Equal,
    /// The replay repeated the recording up to this step; the rest is not known.
    /// [`Report::tail`] has the reason: the recording is truncated or damaged there, or, if it is
    /// `None`, the replay was not run to the end.
    EqualUpTo {
        /// Number of steps.
        step: u64,
    },
    /// The replay differs from the recording.
    Diverged(Box<Divergence>),
}

/// The result of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether the replay repeated the recorded run.
    pub verdict: Verdict,
    /// The step of the checkpoint file from which the replay continued. Nothing before it was
    /// checked. `None` if the replay began at the first entry.
    pub from_step: Option<u64>,
    /// How the recording ends; `None` if the replay stopped before its end.
    pub tail: Option<Tail>,
    /// Number of intact records.
    pub records: u64,
    /// Number of entries replayed: from the header on, or from the checkpoint on at which the
    /// replay continued.
    pub entries: u64,
    /// Number of requests compared.
    pub requests: u64,
    /// Number of inputs accepted or refused, answers included.
    pub inputs: u64,
    /// Number of checkpoints compared, the end included.
    pub checkpoints: u64,
    /// Number of sessions opened.
    pub sessions: u64,
    /// The digests of the replayed run.
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
    /// counts, or the kind of divergence without its details.
    pub fn headline(&self) -> String {
        let why = match (&self.verdict, &self.tail) {
            (Verdict::Equal, _) => "",
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
        match (self.from_step, &self.verdict) {
            (None, Verdict::EqualUpTo { step: 0 }) if !why.is_empty() => {
                format!("no step was compared{why}")
            }
            (None, verdict) => format!("{verdict}{why}"),
            (Some(from), Verdict::EqualUpTo { step }) if *step == from => {
                format!("equal at step {from}{why}; not checked before")
            }
            (Some(from), Verdict::EqualUpTo { step }) => {
                format!("equal from step {from} up to step {step}{why}; not checked before")
            }
            (Some(from), Verdict::Equal | Verdict::Diverged(_)) => {
                format!("equal from step {from}{why}; not checked before")
            }
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Verdict::Diverged(divergence) = &self.verdict {
            divergence.fmt(f)?;
            if let Some(from) = self.from_step {
                write!(f, "\nreplayed from step {from}; not checked before")?;
            }
            return Ok(());
        }
        f.write_str(&self.headline())?;
        f.write_str(match self.from_step {
            None => ": ",
            // The counts are of the replayed part, and not of what was not checked.
            Some(_) => "\n",
        })?;
        if self.verdict == Verdict::Equal {
            let steps = self.last.step - self.from_step.unwrap_or(0);
            write!(f, "{}, ", describe::count(steps, "step"))?;
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
