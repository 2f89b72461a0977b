//! The exit codes. `docs/cli.md` has the same table.

/// The result of a command, as the exit code of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Exit {
    /// Success, and the answer is yes.
    Done,
    /// Done, and the answer is no: errors were found, runs differ, or a run ended badly.
    No,
    /// The command line is wrong.
    Usage,
    /// The recording ends early; the part before the end was used.
    Cut,
    /// The recording is damaged; the part before the damage was used.
    Damaged,
    /// `certify`, `check --lean`: Lean was not found.
    NoLean,
    /// `exec`: the deadline passed.
    Deadline,
    /// The command failed.
    Failed,
    /// `exec`: the command was found but could not be run.
    NotRunnable,
    /// `exec`: the command was not found.
    NotFound,
    /// `exec`: the guest command's exit code, or 128 + N if signal N ended it.
    Guest(u8),
}

/// The table in the help text.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done; the answer is yes
  1    done; the answer is no: errors found, runs differ, the run did not end by its protocol
  2    the command line is wrong
  3    the recording ends early; the part before the end was used
  4    the recording is damaged; the part before the damage was used
  5    `certify`, `check --lean`: Lean was not found
  125  the command failed: a file, the agent, the link
  `antiphon exec` exits with the guest command's code; see its help";

impl Exit {
    /// The exit code as a number.
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
