//! Where a policy puts who stepped, who was woken and who may go on. It looks at one session and at a queue, so it is the same
//! for the machine's queue and for a part of it.

use crate::config::{ProtocolMachineConfig, SchedulingPolicy};
use crate::ids::CoroutineId;
use crate::mutant::{self, active};
use crate::queue::{Pick, ReadyQueue};
use crate::session::{On, Session};
use crate::step::{Context, Step, Stepped};
use crate::verify::VerifiedImage;

/// Puts whoever stepped, and whoever was woken, where the policy wants them.
#[inline(always)]
pub(crate) fn settle(
    queue: &mut ReadyQueue,
    cx: &Context<'_>,
    session: &Session,
    who: CoroutineId,
    stepped: &Stepped,
) {
    // Most steps of most machines move nobody.
    if stepped.woken.is_none() && goes_on(cx.config.policy, &stepped.step) {
        return;
    }
    replace(queue, cx, session, who, stepped);
}

fn replace(
    queue: &mut ReadyQueue,
    cx: &Context<'_>,
    session: &Session,
    who: CoroutineId,
    stepped: &Stepped,
) {
    let pick = Pick {
        session: session.id,
        coroutine: who,
    };
    if let Some(woken) = stepped.woken
        && !active(mutant::WOKEN_LAST)
    {
        enqueue(queue, cx.config, cx.image, session, woken);
    }
    match stepped.step {
        Step::Ran if goes_on(cx.config.policy, &stepped.step) => {}
        Step::Yielded if active(mutant::YIELD_STAYS) => {}
        Step::Ran | Step::Yielded => {
            queue.take(pick);
            enqueue(queue, cx.config, cx.image, session, who);
        }
        Step::Blocked(on) => {
            queue.take(pick);
            grant_token(queue, cx, session, on);
        }
        Step::Effect(_) | Step::Halted | Step::Faulted(_) => queue.take(pick),
    }
    if let Some(woken) = stepped.woken
        && active(mutant::WOKEN_LAST)
    {
        enqueue(queue, cx.config, cx.image, session, woken);
    }
}

/// Enters at the back, with the rank that the policy gives it now.
#[inline(always)]
pub(crate) fn enqueue(
    queue: &mut ReadyQueue,
    config: &ProtocolMachineConfig,
    image: &VerifiedImage,
    session: &Session,
    coroutine: CoroutineId,
) {
    let rank = match config.policy {
        SchedulingPolicy::Cooperative | SchedulingPolicy::RoundRobin => 0,
        SchedulingPolicy::Priority => by_priority(session, coroutine),
        SchedulingPolicy::ProgressAware => by_token(image, session, coroutine),
    };
    let session = session.id;
    queue.push(Pick { session, coroutine }, rank);
}

fn by_priority(session: &Session, coroutine: CoroutineId) -> u8 {
    let priority = session.coroutines[coroutine.index()].priority;
    match active(mutant::PRIORITY_LOWEST) {
        false => u8::MAX - priority,
        true => priority,
    }
}

fn by_token(image: &VerifiedImage, session: &Session, coroutine: CoroutineId) -> u8 {
    let token = session.holds_token(image, coroutine);
    u8::from(!token || active(mutant::TOKEN_IGNORED))
}

/// Whether who stepped stays at the head, to step again.
#[inline]
pub(crate) fn goes_on(policy: SchedulingPolicy, step: &Step) -> bool {
    let stays = match policy {
        SchedulingPolicy::Cooperative => !active(mutant::COOPERATIVE_TURNS),
        SchedulingPolicy::RoundRobin => active(mutant::ROUND_ROBIN_STAYS),
        SchedulingPolicy::Priority | SchedulingPolicy::ProgressAware => false,
    };
    stays && matches!(step, Step::Ran)
}

/// Somebody waits for this edge: the one who can serve it holds a token from now on.
#[inline]
fn grant_token(queue: &mut ReadyQueue, cx: &Context<'_>, session: &Session, on: On) {
    let ignored = active(mutant::TOKEN_IGNORED) || active(mutant::TOKEN_NOT_GRANTED);
    if cx.config.policy != SchedulingPolicy::ProgressAware || ignored {
        return;
    }
    if let Some(coroutine) = session.server(cx.image, on) {
        let session = session.id;
        queue.rank(Pick { session, coroutine }, 0);
    }
}
