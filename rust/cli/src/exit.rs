//! The exit codes. `docs/cli.md` has the same table.

/// What a command came to, as the code that the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Exit {
    /// It did what was asked, and the answer is yes.
    Done,
    /// It did what was asked, and the answer is no: an error found, a difference, a run that did not end well.
    No,
    /// The command line does not fit what it names.
    Usage,
    /// The recording ends too early; what is there was used.
    Cut,
    /// The recording is not what was written; what is whole was used.
    Damaged,
    /// `certify`, `check --lean`: there is no Lean to ask.
    NoLean,
    /// `exec`: the deadline passed.
    Deadline,
    /// It could not do what was asked.
    Failed,
    /// `exec`: the command is there and cannot be run.
    NotRunnable,
    /// `exec`: the command is not there.
    NotFound,
    /// `exec`: the guest command's own code, or 128 and the signal that ended it.
    Guest(u8),
}

/// The table for the help.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done; the answer is yes
  1    done; the answer is no: errors found, runs differ, the run did not end by its protocol
  2    the command line is wrong
  3    the recording ends too early; what is there was used
  4    the recording is not what was written; what comes before the damage was used
  5    `certify`, `check --lean`: there is no Lean to ask
  125  it could not be done: a file, the agent, the link
  `antiphon exec` ends with the guest command's code; see its help";

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Cut => 3,
            Exit::Damaged => 4,
            Exit::NoLean => 5,
            Exit::Deadline => 124,
            Exit::Failed => 125,
            Exit::NotRunnable => 126,
            Exit::NotFound => 127,
            Exit::Guest(code) => code,
        }
    }
}
