//! The hosts of a run's sessions, which answer from a script or from the terminal.

use antiphon_machine::threaded::PerLane;
use antiphon_machine::{EffectHandler, EffectRequest, Reply, VerifiedImage};

use crate::interactive::Interactive;
use crate::problem::{InputError, Problem, UsageError};
use crate::script::{Script, Scripted};
use crate::text;

use super::args::Run;

/// The longest script in bytes.
const SCRIPT_LEN_MAX: u64 = 16 << 20;

/// Makes the hosts of every session.
pub(super) fn hosts(args: &Run, image: &VerifiedImage) -> Result<PerLane<Hosts>, Problem> {
    let sessions = args.sessions;
    let Some(path) = &args.script else {
        return match sessions {
            1 => Ok(PerLane::new(Hosts::Interactive(Interactive::default()), [])),
            sessions => Err(UsageError::InteractiveSessions { sessions }.into()),
        };
    };
    let script = text::plain(path, SCRIPT_LEN_MAX)?;
    let script = Script::parse(&text::name(path), &script, image).map_err(InputError::script)?;
    let scripted = || Hosts::Scripted(Scripted::new(script.clone()));
    Ok(PerLane::new(scripted(), (1..sessions).map(|_| scripted())))
}

/// The hosts of all roles of a session.
#[derive(Debug)]
pub(super) enum Hosts {
    Scripted(Scripted),
    Interactive(Interactive),
}

impl EffectHandler for Hosts {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        match self {
            Hosts::Scripted(scripted) => scripted.handle(request),
            Hosts::Interactive(interactive) => interactive.handle(request),
        }
    }
}

impl Hosts {
    /// Whether there are no more answers.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Hosts::Scripted(scripted) => scripted.mismatch().is_some(),
            Hosts::Interactive(interactive) => interactive.has_ended(),
        }
    }

    /// Why answers cannot be read, if they cannot.
    pub(super) fn unreadable(&self) -> Option<Problem> {
        match self {
            Hosts::Scripted(_) => None,
            Hosts::Interactive(interactive) => interactive.error().map(|error| {
                let reason = error.to_string();
                InputError::StandardInput { reason }.into()
            }),
        }
    }

    /// Describes where the run departed from the script, or that the input ended. For a closed
    /// session, also names the unused lines of the script.
    pub(super) fn remarks(&self, is_closed: bool) -> Vec<String> {
        match self {
            Hosts::Interactive(interactive) if interactive.has_ended() => {
                vec!["the input ended before the protocol".to_owned()]
            }
            Hosts::Interactive(_) => Vec::new(),
            Hosts::Scripted(scripted) => match scripted.mismatch() {
                Some(mismatch) => vec![mismatch.to_string()],
                None if is_closed => {
                    let unused = scripted.script().unused();
                    unused.iter().map(ToString::to_string).collect()
                }
                None => Vec::new(),
            },
        }
    }
}
