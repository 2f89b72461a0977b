//! Runs of steps: which coroutine of a session steps next, and where the ready queue holds the
//! others.
//!
//! A [`Run`] sees one session and one queue, so it is the same for the machine's queue and for the
//! part of it that a wave gives to one session. It is also the one place where a driver is asked
//! for an outcome between two steps.

use crate::config::SchedulingPolicy;
use crate::effect::{EffectRequest, Invocation};
use crate::ids::{CoroutineId, EffectId, Pick};
use crate::input::{Ingress, Resumed, Step};
use crate::outcome::Reply;
use crate::queue::ReadyQueue;
use crate::session::{Session, Status};
use crate::sink::{Observation, Sink};
use crate::step::{self, Context, StepKind};
use crate::verify::VerifiedImage;

/// The driver of a run of steps. `()` answers nothing in place; outcomes arrive later.
pub(crate) trait Driver {
    /// Whether the driver is asked for the outcome of an effect when a step has issued it.
    const ASKS: bool = false;

    /// Whether the run continues after a step that issued an effect.
    const CONTINUES: bool = false;

    /// The handler's reply to a request. If it panics, the effect stays outstanding.
    fn ask(&mut self, request: &EffectRequest<'_>) -> Reply {
        let _ = request;
        Reply::Later
    }

    /// Notified of the coroutine that steps next.
    #[inline]
    fn on_step(&mut self, who: CoroutineId) {
        let _ = who;
    }
}

impl Driver for () {}

/// A run of steps of one session.
pub(crate) struct Run<'a, 'm> {
    /// The queue that holds the session's ready coroutines.
    pub(crate) queue: &'a mut ReadyQueue,
    pub(crate) session: &'a mut Session,
    /// The context of the first step; its step index grows by one from step to step.
    pub(crate) cx: &'a mut Context<'m>,
    /// The number of steps taken. Up to date whenever the driver is asked.
    pub(crate) taken: &'a mut u64,
}

impl Run<'_, '_> {
    /// Steps the coroutine, then any other of the same session that the policy picks next, until
    /// `taken` has grown by `steps_max` (by one if that is 0), and requeues each. Returns which
    /// coroutine took the last step, and its result.
    #[inline(always)]
    pub(crate) fn steps<S: Sink, D: Driver>(
        &mut self,
        mut who: CoroutineId,
        steps_max: u64,
        sink: &mut S,
        driver: &mut D,
    ) -> (CoroutineId, Step) {
        let before = *self.taken;
        let mut taken = 1;
        loop {
            driver.on_step(who);
            let kind = match step::attempt(self.cx, self.session, who, sink) {
                Ok(kind) => kind,
                Err(fault) => {
                    self.remove(who);
                    *self.taken = before + taken;
                    return (who, Step::Faulted(fault));
                }
            };
            let next = match kind {
                StepKind::Ran(woken) if keeps(self.cx.config.policy) => {
                    if let Some(woken) = woken {
                        self.enqueue(woken);
                    }
                    Some(who)
                }
                StepKind::Ran(woken) => {
                    self.move_last(who, woken);
                    None
                }
                StepKind::Yielded => {
                    self.move_last(who, None);
                    None
                }
                StepKind::Blocked => {
                    self.remove(who);
                    if self.cx.config.policy == SchedulingPolicy::ProgressAware {
                        grant_token(self.queue, self.cx, self.session, who);
                    }
                    self.next()
                }
                StepKind::Effect if D::ASKS => {
                    let (session, number) = (self.session.id, self.session.effects_issued - 1);
                    self.remove(who);
                    *self.taken = before + taken;
                    match self.ask(who, sink, driver) {
                        Some(next) if D::CONTINUES && taken < steps_max => {
                            who = next;
                            taken += 1;
                            continue;
                        }
                        Some(_) | None => {
                            return (who, Step::Effect(EffectId { session, number }));
                        }
                    }
                }
                StepKind::Effect | StepKind::Halted => {
                    self.remove(who);
                    None
                }
            };
            match next {
                Some(next) if taken < steps_max => who = next,
                Some(_) | None => {
                    *self.taken = before + taken;
                    return (who, kind.step(self.session, who));
                }
            }
            taken += 1;
            self.cx.step += 1;
        }
    }

    /// Asks the driver for the outcome of the effect that the step has issued. Returns the
    /// coroutine that steps next, if the outcome was taken in.
    #[inline(always)]
    fn ask<S: Sink, D: Driver>(
        &mut self,
        who: CoroutineId,
        sink: &mut S,
        driver: &mut D,
    ) -> Option<CoroutineId> {
        self.cx.step += 1;
        if !ask_driver(self.cx, self.session, who, sink, driver) {
            return None;
        }
        self.enqueue(who);
        self.next()
    }

    /// The coroutine that the policy picks next, if it is one of this session.
    #[inline]
    fn next(&self) -> Option<CoroutineId> {
        let next = self
            .queue
            .peek()
            .filter(|next| next.session == self.session.id);
        next.map(|next| next.coroutine)
    }

    #[inline]
    fn remove(&mut self, who: CoroutineId) {
        self.queue.remove(self.pick(who));
    }

    /// Moves the coroutine that stepped behind all others, and behind the one that it made ready.
    #[inline]
    fn move_last(&mut self, who: CoroutineId, woken: Option<CoroutineId>) {
        if let Some(woken) = woken {
            self.enqueue(woken);
        }
        self.remove(who);
        self.enqueue(who);
    }

    #[inline]
    fn enqueue(&mut self, coroutine: CoroutineId) {
        let pick = self.pick(coroutine);
        let (image, session) = (self.cx.image, &*self.session);
        enqueue(self.queue, self.cx.config.policy, pick, || (image, session));
    }

    #[inline]
    fn pick(&self, coroutine: CoroutineId) -> Pick {
        let session = self.session.id;
        Pick { session, coroutine }
    }
}

/// Puts the request that the coroutine has just issued to the driver. An outcome is taken in at
/// once; a request that is made again because of it is put to the driver too. Returns whether the
/// coroutine is ready again.
#[inline(always)]
fn ask_driver<S: Sink>(
    cx: &Context<'_>,
    session: &mut Session,
    who: CoroutineId,
    sink: &mut S,
    driver: &mut impl Driver,
) -> bool {
    let Some(invocation) = Invocation::of(cx.image, &session.coroutines[who.index()]) else {
        return false;
    };
    // The effect stays listed during the calls: it is outstanding if the handler panics.
    while let Some(effect) = session.effects.last() {
        let coroutine = &session.coroutines[who.index()];
        let request = EffectRequest::of(session.id, effect, coroutine, cx.image, invocation.args);
        let step = cx.step;
        sink.observe(Observation::Request {
            step,
            request: &request,
        });
        // Borrowed, not moved, from here on: a load wider than the stores that have just written
        // the reply would stall.
        let mut reply = driver.ask(&request);
        let Reply::Now(outcome) = &mut reply else {
            return false;
        };
        if sink.interest().inputs {
            let (effect, outcome) = (request.effect(), outcome.clone());
            let input = &Ingress::Outcome { effect, outcome };
            sink.observe(Observation::Input { step, input });
        }
        let Some(effect) = session.effects.pop() else {
            return false;
        };
        match step::take_in(cx, session, effect, &invocation, outcome, sink) {
            Resumed::Ready(_) => {
                reply.discard();
                return true;
            }
            Resumed::Reissued(_) => {}
            Resumed::Faulted(_) => return false,
        }
    }
    false
}

/// Enters a coroutine at the back, with the rank that the policy gives it now. The session is
/// looked up only where the rank depends on it: it may be far away in memory.
#[inline]
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
    u8::MAX - session.coroutines[coroutine.index()].priority
}

fn by_token(image: &VerifiedImage, session: &Session, coroutine: CoroutineId) -> u8 {
    u8::from(!session.holds_token(image, coroutine))
}

/// Whether a coroutine that ran stays at the head, to step again.
#[inline]
fn keeps(policy: SchedulingPolicy) -> bool {
    match policy {
        SchedulingPolicy::Cooperative => true,
        SchedulingPolicy::RoundRobin
        | SchedulingPolicy::Priority
        | SchedulingPolicy::ProgressAware => false,
    }
}

/// Gives a progress token to the coroutine that can serve this one, which has just blocked on an
/// edge.
fn grant_token(queue: &mut ReadyQueue, cx: &Context<'_>, session: &Session, who: CoroutineId) {
    let Some(Status::Blocked(on)) = session.coroutines.get(who.index()).map(|c| c.status) else {
        return;
    };
    if let Some(coroutine) = session.server(cx.image, on) {
        let session = session.id;
        queue.set_rank(Pick { session, coroutine }, 0);
    }
}
