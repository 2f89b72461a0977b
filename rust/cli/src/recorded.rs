//! Whether a command's recording is whole, and what that means for the command's result.

use serde_json::Value;

use crate::exit::Exit;
use crate::problem::Problem;

/// Whether a command's recording is whole, once it has ended. A command without a recording counts
/// as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Recorded {
    is_whole: bool,
}

impl Recorded {
    /// Notes whether the recording is whole.
    pub(crate) fn new(is_whole: bool) -> Recorded {
        Recorded { is_whole }
    }

    /// Whether the recording of a command that failed is whole.
    pub(crate) fn of(problem: &Problem) -> Recorded {
        Recorded {
            is_whole: !matches!(problem, Problem::Unrecorded(_)),
        }
    }

    /// Whether the recording is whole. If it is not, that has been reported.
    pub(crate) fn is_whole(self) -> bool {
        self.is_whole
    }

    /// Returns the command's result. An error notes that the recording failed as well.
    pub(crate) fn result<T>(self, result: Result<T, Problem>) -> Result<T, Problem> {
        if self.is_whole {
            result
        } else {
            result.map_err(|problem| Problem::Unrecorded(Box::new(problem)))
        }
    }

    /// Returns the exit code of the command: `exit`, unless the recording failed.
    pub(crate) fn exit(self, exit: Exit) -> Exit {
        if self.is_whole { exit } else { Exit::Failed }
    }

    /// Marks the command's last document if the recording failed.
    pub(crate) fn mark(self, document: &mut Value) {
        if !self.is_whole {
            document["recording"] = "failed".into();
        }
    }
}
