//! Where a policy puts who stepped, who was woken and who may go on. It looks at one session and at a queue, so it is the same
//! for the machine's queue and for a part of it.

use crate::config::SchedulingPolicy;
use crate::event::Sink;
use crate::ids::CoroutineId;
use crate::mutant::{self, active};
use crate::queue::{Pick, ReadyQueue};
use crate::session::{Session, Status};
use crate::step::{self, Context, Did, Drives, Step};
use crate::verify::VerifiedImage;

/// Steps the coroutine, and again as long as the policy keeps to it, and then whoever of the session the policy comes to, at
/// most `steps_max` times (once if that is 0); puts everybody where the policy wants them. Gives who took the last step, what it
/// came to, and how many there were.
#[inline(always)]
pub(crate) fn go<S: Sink>(
    queue: &mut ReadyQueue,
    cx: &mut Context<'_>,
    session: &mut Session,
    who: CoroutineId,
    steps_max: u64,
    sink: &mut S,
    driver: &mut impl Drives<S>,
) -> (CoroutineId, Step, u64) {
    let mut who = who;
    let mut taken = 1;
    loop {
        driver.steps(who);
        let did = match step::attempt(cx, session, who, sink, driver) {
            Ok(did) => did,
            Err(fault) => {
                replace(queue, cx, session, who, Goes::Away, None);
                return (who, Step::Faulted(fault), taken);
            }
        };
        match did {
            // Mostly there are no others, where there is a host for each choice.
            Did::Answered => {
                if !queue.turns_alone() {
                    behind_others(queue, cx, session, who);
                }
            }
            Did::Ran(_) | Did::Yielded | Did::Blocked | Did::Effect | Did::Halted => {
                settle(queue, cx, session, who, did);
            }
        }
        let next = match did {
            Did::Ran(_) if keeps(cx.config.policy) => Some(who),
            Did::Blocked | Did::Answered => {
                let next = queue.head().filter(|next| next.session == session.id);
                next.map(|next| next.coroutine)
            }
            Did::Ran(_) | Did::Yielded | Did::Effect | Did::Halted => None,
        };
        match next {
            Some(next) if taken < steps_max && !cfg!(feature = "invariants") => who = next,
            Some(_) | None => return (who, did.step(session, who), taken),
        }
        taken += 1;
        cx.step += 1;
    }
}

/// Puts who was answered on the spot behind the others. Out of the loop, for which there are too few registers as it is.
#[inline(never)]
fn behind_others(queue: &mut ReadyQueue, cx: &Context<'_>, session: &Session, who: CoroutineId) {
    settle(queue, cx, session, who, Did::Answered);
}

/// Puts whoever stepped, and whoever was woken, where the policy wants them.
#[inline(always)]
fn settle(queue: &mut ReadyQueue, cx: &Context<'_>, session: &Session, who: CoroutineId, did: Did) {
    let goes = match did {
        Did::Ran(_) if keeps(cx.config.policy) => Goes::Nowhere,
        Did::Yielded if active(mutant::YIELD_STAYS) => Goes::Nowhere,
        Did::Ran(_) | Did::Yielded | Did::Answered => Goes::Behind,
        Did::Blocked | Did::Effect | Did::Halted => Goes::Away,
    };
    // Most steps of most machines move nobody.
    if goes == Goes::Nowhere && did.woken().is_none() {
        return;
    }
    replace(queue, cx, session, who, goes, did.woken());
    if did == Did::Blocked && cx.config.policy == SchedulingPolicy::ProgressAware {
        grant_token(queue, cx, session, who);
    }
}

/// Where who stepped goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    Nowhere,
    Behind,
    Away,
}

#[inline(always)]
fn replace(
    queue: &mut ReadyQueue,
    cx: &Context<'_>,
    session: &Session,
    who: CoroutineId,
    goes: Goes,
    woken: Option<CoroutineId>,
) {
    let enter = |queue: &mut ReadyQueue, coroutine| {
        let pick = Pick {
            session: session.id,
            coroutine,
        };
        enqueue(queue, cx.config.policy, pick, || (cx.image, session));
    };
    let woken_at = |queue: &mut ReadyQueue, last: bool| {
        if let Some(woken) = woken
            && active(mutant::WOKEN_LAST) == last
        {
            enter(queue, woken);
        }
    };
    woken_at(queue, false);
    if goes != Goes::Nowhere {
        let session = session.id;
        queue.take(Pick {
            session,
            coroutine: who,
        });
    }
    if goes == Goes::Behind {
        enter(queue, who);
    }
    woken_at(queue, true);
}

/// Enters at the back, with the rank that the policy gives it now. The session is looked for only where the rank depends on it: it
/// may be far away.
#[inline(always)]
pub(crate) fn enqueue<'a>(
    queue: &mut ReadyQueue,
    policy: SchedulingPolicy,
    pick: Pick,
    session: impl FnOnce() -> (&'a VerifiedImage, &'a Session),
) {
    let rank = match policy {
        SchedulingPolicy::Cooperative | SchedulingPolicy::RoundRobin => 0,
        SchedulingPolicy::Priority => by_priority(session().1, pick.coroutine),
        SchedulingPolicy::ProgressAware => {
            let (image, session) = session();
            by_token(image, session, pick.coroutine)
        }
    };
    queue.push(pick, rank);
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

/// Whether who ran stays at the head, to step again.
#[inline]
fn keeps(policy: SchedulingPolicy) -> bool {
    match policy {
        SchedulingPolicy::Cooperative => !active(mutant::COOPERATIVE_TURNS),
        SchedulingPolicy::RoundRobin => active(mutant::ROUND_ROBIN_STAYS),
        SchedulingPolicy::Priority | SchedulingPolicy::ProgressAware => false,
    }
}

/// Somebody waits for an edge: the one who can serve it holds a token from now on.
fn grant_token(queue: &mut ReadyQueue, cx: &Context<'_>, session: &Session, who: CoroutineId) {
    if active(mutant::TOKEN_IGNORED) || active(mutant::TOKEN_NOT_GRANTED) {
        return;
    }
    let Some(Status::Blocked(on)) = session.coroutines.get(who.index()).map(|c| c.status) else {
        return;
    };
    if let Some(coroutine) = session.server(cx.image, on) {
        let session = session.id;
        queue.rank(Pick { session, coroutine }, 0);
    }
}
