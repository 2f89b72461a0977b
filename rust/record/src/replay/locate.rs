//! Describes a divergence: the coroutine to which it belongs, and the instruction there.

use antiphon_machine::{CoroutineId, EffectId, Pick, ProtocolMachineKernel, SessionId};

use crate::describe;
use crate::divergence::{Difference, Divergence, RecentEvent, Site};
use crate::entry::Entry;

/// Describes a divergence of the machine at an entry. `recorded` is the entry, if the texts of the
/// difference need it; `last` is the coroutine that took the last step.
pub(super) fn divergence(
    kernel: &ProtocolMachineKernel,
    last: Option<Pick>,
    entry: u64,
    recorded: Option<&Entry>,
    difference: Difference,
    recent: Vec<RecentEvent>,
) -> Divergence {
    let (expected, got) = difference.texts(recorded, kernel);
    let origin = origin(kernel, last, &difference);
    let coroutine = origin.and_then(|(session, coroutine)| {
        let session = kernel.session(session)?;
        let image = kernel.image(session).as_ref();
        Some((image, session.coroutines().get(coroutine.index())?))
    });
    let instruction = coroutine.and_then(|(image, coroutine)| {
        let program = image.image().programs.get(coroutine.program.index())?;
        let instruction = program.code.get(coroutine.pc.index())?;
        Some(Site {
            program: program.name.clone(),
            pc: coroutine.pc,
            text: describe::instruction(image, instruction),
        })
    });
    let role = coroutine.map(|(image, coroutine)| {
        let role = coroutine.role;
        role.map_or_else(String::new, |r| describe::role(Some(image), r))
    });
    Divergence {
        entry,
        step: kernel.step_index(),
        session: origin.map(|(session, _)| session),
        role,
        instruction,
        difference,
        expected,
        got,
        recent,
    }
}

/// The coroutine to which a difference belongs: the one that made the request, or should have, and
/// otherwise the one that took the last step.
fn origin(
    kernel: &ProtocolMachineKernel,
    last: Option<Pick>,
    difference: &Difference,
) -> Option<(SessionId, CoroutineId)> {
    match difference {
        Difference::Request { got, .. } | Difference::RequestExtra(got) => {
            let issuer = issuer(kernel, got.effect)?;
            Some((got.effect.session, issuer))
        }
        Difference::RequestMissing(expected) => {
            let id = expected.effect.session;
            let coroutines = kernel.session(id)?.coroutines();
            let index = coroutines.iter().position(|c| c.role == expected.role)?;
            Some((id, CoroutineId(index as u16)))
        }
        Difference::Rest { .. }
        | Difference::Past { .. }
        | Difference::AnswerToNothing
        | Difference::Refusal { .. }
        | Difference::Clock { .. }
        | Difference::State { .. }
        | Difference::Trace { .. }
        | Difference::Wave(_)
        | Difference::Stop { .. } => last.map(|pick| (pick.session, pick.coroutine)),
    }
}

/// The coroutine of an outstanding effect.
fn issuer(kernel: &ProtocolMachineKernel, effect: EffectId) -> Option<CoroutineId> {
    let effects = kernel.session(effect.session)?.effects();
    let found = effects.iter().find(|e| e.number == effect.number)?;
    Some(found.coroutine)
}
