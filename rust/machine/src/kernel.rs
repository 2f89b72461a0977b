//! The kernel: all sessions, the ready queue, the clock, and the two ways anything changes: a step, and an input.

mod wave;

#[cfg(feature = "threads")]
pub(crate) use wave::Answer;
pub use wave::{Job, Planned, Rooms};

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::bounds::NAME_LEN_MAX;
use crate::config::ProtocolMachineConfig;
use crate::effect::{EffectRequest, Outcome, Reply};
use crate::event::{Event, Sink};
use crate::fault::Refusal;
use crate::ids::{CoroutineId, EffectId, RoleId, SessionId};
use crate::mutant::{self, active};
use crate::queue::{Pick, ReadyQueue};
use crate::schedule;
use crate::session::{Coroutine, On, Phase, Session, Status, Witness};
use crate::step::{self, Context, Drives, Resumed, Step};
use crate::verify::VerifiedImage;

/// The sole authority over what a run is: it owns every session, picks who steps, and takes every input.
///
/// A kernel is passive. [`step`](Self::step) takes one semantic step and says what it came to; when that is
/// [`Step::Effect`], whoever drives asks the world ([`request`](Self::request)) and brings the answer in as
/// [`Ingress::Outcome`]. It knows no clock, no randomness, no thread and no I/O: the same inputs at the same step
/// indices give the same states, events and digests, always.
#[derive(Clone, Debug)]
pub struct ProtocolMachineKernel {
    config: ProtocolMachineConfig,
    images: Vec<Arc<VerifiedImage>>,
    sessions: Vec<Session>,
    queue: ReadyQueue,
    clock: u64,
    step_index: u64,
    /// Sessions that have not ended.
    active: usize,
    /// Entries of the ready queue whose session has ended; they are dropped when they come to the head.
    lingering: usize,
    /// Effects that are outstanding, in all sessions.
    outstanding: usize,
    /// When outstanding effects time out. May hold some that a session's end invalidated, but never as the first: see
    /// `note_deadline` and `forget_deadlines`.
    deadlines: BTreeSet<(u64, EffectId)>,
    /// Sessions that may have live witnesses.
    witnessed: BTreeSet<SessionId>,
}

/// Everything that comes from outside. Nothing else changes a session between steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// Open a session of a loaded image.
    Open {
        /// The image's digest.
        image: [u8; 32],
        /// Who may cancel it: a name of at most 256 bytes.
        owner: Arc<str>,
    },
    /// The outcome of an effect.
    Outcome {
        /// Which effect.
        effect: EffectId,
        /// How it ended.
        outcome: Outcome,
    },
    /// Time has passed. The clock moves in no other way.
    AdvanceClock {
        /// How much, in ticks.
        ticks: u64,
    },
    /// Call a session off.
    Cancel {
        /// Which session.
        session: SessionId,
        /// Who asks; must be the owner.
        owner: Arc<str>,
    },
}

/// What an input came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A session was opened.
    Opened(SessionId),
    /// An outcome was taken.
    Resumed(Resumed),
    /// The clock was advanced.
    Advanced {
        /// How many effects timed out by it.
        expired: u32,
    },
    /// A session was called off.
    Cancelled,
}

/// What a turn of the kernel came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Turn {
    /// A step was taken.
    Stepped {
        /// Who stepped.
        pick: Pick,
        /// What it came to.
        step: Step,
    },
    /// No coroutine is ready.
    Rest(Rest),
}

/// Why no coroutine is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The world owes outcomes.
    Idle,
    /// Every session has ended.
    Done,
    /// Sessions are left that no outcome can help: who waits, for what, and who could serve it.
    Stuck(Vec<Wait>),
}

/// A coroutine that waits for an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who waits.
    pub pick: Pick,
    /// The role it was started for.
    pub role: Option<RoleId>,
    /// For what.
    pub on: On,
    /// The one coroutine of the session that could serve it.
    pub server: Option<CoroutineId>,
}

/// Steps of a session, until the kernel has done its part of them. Where it does not come to that, because whoever was asked on
/// the spot panicked, the part is done on the way out: the effect is outstanding, and the machine as whole as ever.
struct Part<'k> {
    kernel: &'k mut ProtocolMachineKernel,
    session: SessionId,
    before: Before,
}

/// What a session had before it was stepped.
#[derive(Clone, Copy)]
struct Before {
    effects: usize,
    witnesses_issued: u64,
}

impl Drop for Part<'_> {
    #[cold]
    fn drop(&mut self) {
        let kernel = &mut *self.kernel;
        let (session, queue) = (self.session, &mut kernel.queue);
        let coroutines = kernel.sessions[session.index()].coroutines.iter();
        let waiting = (0..u16::MAX).zip(coroutines);
        for (n, _) in waiting.filter(|(_, one)| one.status != Status::Ready) {
            let coroutine = CoroutineId(n);
            let pick = Pick { session, coroutine };
            if queue.holds(pick) {
                queue.take(pick);
            }
        }
        // It is on the list by now: the frames within this one have been left.
        kernel.note_effects(session, self.before);
        if let Some(asked) = kernel.sessions[session.index()].effects.last() {
            let number = asked.number;
            kernel.note_deadline(EffectId { session, number });
        }
    }
}

/// Whoever drives, and the kernel's step index, which is right whenever somebody is asked: he may panic.
struct Indexed<'a, D> {
    step_index: &'a mut u64,
    driver: &'a mut D,
}

impl<S, D: Drives<S>> Drives<S> for Indexed<'_, D> {
    const BEYOND: bool = D::BEYOND;

    #[inline(always)]
    fn steps(&mut self, who: CoroutineId) {
        self.driver.steps(who);
    }

    #[inline(always)]
    fn ask(&mut self, step: u64, request: &EffectRequest<'_>, sink: &mut S) -> Reply {
        *self.step_index = step;
        self.driver.ask(step, request, sink)
    }

    #[inline(always)]
    fn heard(&mut self, step: u64, request: &EffectRequest<'_>, outcome: &Outcome, sink: &mut S) {
        self.driver.heard(step, request, outcome, sink);
    }
}

impl ProtocolMachineKernel {
    /// A machine without sessions, at step 0 and clock 0.
    pub fn new(config: ProtocolMachineConfig) -> ProtocolMachineKernel {
        ProtocolMachineKernel {
            queue: ReadyQueue::new(config.policy),
            config,
            images: Vec::new(),
            sessions: Vec::new(),
            clock: 0,
            step_index: 0,
            active: 0,
            lingering: 0,
            outstanding: 0,
            deadlines: BTreeSet::new(),
            witnessed: BTreeSet::new(),
        }
    }

    /// Makes an image known, so that sessions of it can be opened. An image is known by its content: loading an equal
    /// one again does nothing.
    pub fn load(&mut self, image: &Arc<VerifiedImage>) {
        if self.image_row(image.digest()).is_none() {
            self.images.push(Arc::clone(image));
        }
    }

    /// Takes one step of the coroutine that the policy picks, or says why there is none.
    #[inline]
    pub fn step<S: Sink>(&mut self, sink: &mut S) -> Turn {
        self.steps(1, sink).0
    }

    /// Step after step, each of the coroutine that the policy picks, at most `steps_max` of them (one if that is 0), until one
    /// comes to what whoever drives must see: an effect, an end, or nobody ready; it may stop before. Gives who took the last one
    /// and what it came to, and how many were taken.
    #[inline]
    pub fn steps<S: Sink>(&mut self, steps_max: u64, sink: &mut S) -> (Turn, u64) {
        self.steps_driven(steps_max, sink, &mut ())
    }

    /// As [`steps`](Self::steps), driven by who may answer on the spot: then what is told of the last step says only whether there
    /// may be more.
    #[inline]
    pub(crate) fn steps_driven<S: Sink, D: Drives<S>>(
        &mut self,
        steps_max: u64,
        sink: &mut S,
        driver: &mut D,
    ) -> (Turn, u64) {
        let Some(mut pick) = self.head() else {
            return (Turn::Rest(self.rest()), 0);
        };
        let mut taken = 0;
        loop {
            let left = steps_max.saturating_sub(taken);
            let (who, step, more) = self.step_ready(pick, left, sink, driver);
            pick.coroutine = who;
            taken += more;
            let goes_on = match step {
                Step::Ran | Step::Yielded | Step::Blocked(_) => true,
                Step::Effect(_) => D::BEYOND,
                Step::Halted | Step::Faulted(_) => false,
            };
            match self.queue.head() {
                Some(next) if goes_on && taken < steps_max && self.is_active(next) => pick = next,
                Some(_) | None => return (Turn::Stepped { pick, step }, taken),
            }
        }
    }

    /// Whom the policy picks. Takes out on the way whose session has ended.
    #[inline]
    fn head(&mut self) -> Option<Pick> {
        loop {
            let pick = self.queue.head()?;
            if self.is_active(pick) {
                return Some(pick);
            }
            self.queue.take(pick);
            self.lingering -= 1;
        }
    }

    /// Takes one step of this coroutine, whatever the policy would pick; `None`, and nothing has happened, when it is
    /// not in the ready queue. For running a schedule that somebody else made. Linear in the queue.
    pub fn step_pick<S: Sink>(&mut self, pick: Pick, sink: &mut S) -> Option<Turn> {
        let session = self.sessions.get(pick.session.index())?;
        // Those of an ended session may stand in the queue still.
        if session.phase != Phase::Active || !self.queue.holds(pick) {
            self.step_index += u64::from(active(mutant::NOT_READY_COUNTS));
            return None;
        }
        let (_, step, _) = self.step_ready(pick, 1, sink, &mut ());
        Some(Turn::Stepped { pick, step })
    }

    /// Steps who is ready, and others of the session after him as long as the policy comes to them. Gives who took the last
    /// step, what it came to, and how many were taken.
    #[inline(always)]
    fn step_ready<S: Sink>(
        &mut self,
        pick: Pick,
        steps_max: u64,
        sink: &mut S,
        driver: &mut impl Drives<S>,
    ) -> (CoroutineId, Step, u64) {
        let start = self.step_index;
        let session = &self.sessions[pick.session.index()];
        let part = Part {
            before: Before {
                effects: session.effects.len(),
                witnesses_issued: session.witnesses_issued,
            },
            session: pick.session,
            kernel: self,
        };
        let kernel = &mut *part.kernel;
        let session = &mut kernel.sessions[pick.session.index()];
        let mut cx = Context {
            image: &kernel.images[session.image as usize],
            config: &kernel.config,
            clock: kernel.clock,
            step: start + u64::from(active(mutant::STAMP_LATE)),
        };
        let (queue, who) = (&mut kernel.queue, pick.coroutine);
        let step_index = &mut kernel.step_index;
        let mut driver = Indexed { step_index, driver };
        let (who, step, taken) =
            schedule::go(queue, &mut cx, session, who, steps_max, sink, &mut driver);
        let free = matches!(step, Step::Blocked(_)) && active(mutant::BLOCKED_IS_FREE);
        let before = part.before;
        std::mem::forget(part);
        self.step_index = start + taken - u64::from(free);
        self.note_effects(pick.session, before);
        match step {
            Step::Ran | Step::Yielded | Step::Blocked(_) => {}
            Step::Effect(effect) => self.note_deadline(effect),
            Step::Halted | Step::Faulted(_) => self.note_end(pick.session),
        }
        self.assert_invariants();
        (who, step, taken)
    }

    /// Keeps account of the effects of a session that has stepped: how many are outstanding, and whether there is evidence.
    #[inline(always)]
    fn note_effects(&mut self, id: SessionId, before: Before) {
        let session = &self.sessions[id.index()];
        let now = session.effects.len();
        self.outstanding = self.outstanding + now - before.effects;
        if session.witnesses_issued > before.witnesses_issued && !session.witnesses.is_empty() {
            self.witnessed.insert(id);
        }
    }

    /// Enters at the back, with the rank that the policy gives it now.
    #[inline(always)]
    fn enqueue(&mut self, pick: Pick) {
        let (sessions, images) = (&self.sessions, &self.images);
        schedule::enqueue(&mut self.queue, self.config.policy, pick, || {
            let session = &sessions[pick.session.index()];
            (&images[session.image as usize], session)
        });
    }

    /// Remembers when an effect just issued times out, unless it has been answered already. Most never do.
    #[inline]
    fn note_deadline(&mut self, effect: EffectId) {
        let session = &self.sessions[effect.session.index()];
        let issued = session.effects.last().filter(|e| e.number == effect.number);
        if let Some(deadline) = issued.and_then(|e| e.deadline) {
            self.keep_deadline(deadline, effect);
        }
    }

    /// Effects that a session's end invalidates stay in the set; when they outnumber the outstanding ones it is swept,
    /// so that it stays proportional to what is outstanding at constant amortised cost.
    fn keep_deadline(&mut self, deadline: u64, effect: EffectId) {
        self.deadlines.insert((deadline, effect));
        if self.deadlines.len() > 2 * self.outstanding + 64 {
            let sessions = &self.sessions;
            self.deadlines.retain(|(_, effect)| {
                let session = &sessions[effect.session.index()];
                session.effects.iter().any(|e| e.number == effect.number)
            });
        }
    }

    /// Takes deadlines out until the first one is an outstanding effect's. Each was put in once: constant amortised
    /// cost, and the next deadline is always at hand.
    fn forget_deadlines(&mut self) {
        while let Some((_, effect)) = self.deadlines.first()
            && self.request(*effect).is_none()
        {
            self.deadlines.pop_first();
        }
    }

    fn note_end(&mut self, session: SessionId) {
        let s = &self.sessions[session.index()];
        if matches!(s.phase, Phase::Terminal(_)) {
            let queued = |coroutine: &&Coroutine| coroutine.status == Status::Ready;
            self.lingering += s.coroutines.iter().filter(queued).count();
            self.active -= 1;
            self.witnessed.remove(&session);
            self.forget_deadlines();
        }
    }

    fn rest(&self) -> Rest {
        if self.outstanding > 0 && !active(mutant::IDLE_IS_STUCK) {
            return Rest::Idle;
        }
        if self.active == 0 {
            return Rest::Done;
        }
        let mut waits = Vec::new();
        for session in self.sessions.iter().filter(|s| s.phase == Phase::Active) {
            let image = &self.images[session.image as usize];
            for (n, coroutine) in (0..u16::MAX).zip(&session.coroutines) {
                if let Status::Blocked(on) = coroutine.status {
                    waits.push(Wait {
                        pick: Pick {
                            session: session.id,
                            coroutine: CoroutineId(n),
                        },
                        role: coroutine.role,
                        on,
                        server: session.server(image, on),
                    });
                }
            }
        }
        Rest::Stuck(waits)
    }

    /// The request of an outstanding effect, to be put to the handler.
    #[inline]
    pub fn request(&self, effect: EffectId) -> Option<EffectRequest<'_>> {
        let session = self.sessions.get(effect.session.index())?;
        session.request(&self.images[session.image as usize], effect.number)
    }

    /// Takes an input.
    ///
    /// # Errors
    /// A [`Refusal`] when the input does not fit the state; nothing but the sink's record of it has changed then.
    pub fn ingress<S: Sink>(&mut self, input: Ingress, sink: &mut S) -> Result<Taken, Refusal> {
        sink.ingress(self.step_index, &input);
        let taken = match input {
            Ingress::Open { image, owner } => self.open(&image, owner, sink),
            Ingress::Outcome {
                effect,
                mut outcome,
            } => self.resume(effect, &mut outcome, sink),
            Ingress::AdvanceClock { ticks } => self.advance(ticks, sink),
            Ingress::Cancel { session, owner } => self.cancel(session, &owner, sink),
        };
        self.took(taken, sink)
    }

    /// [`Ingress::Outcome`], from where the outcome stands; some outcome is left there. Most inputs are one, and most of these are
    /// wanted by nobody else: then they need not be moved, which what has just been written in parts must be waited for to be.
    #[inline(always)]
    pub(crate) fn answer<S: Sink>(
        &mut self,
        effect: EffectId,
        outcome: &mut Outcome,
        sink: &mut S,
    ) -> Result<Taken, Refusal> {
        if sink.wants_inputs() {
            let outcome = std::mem::replace(outcome, Outcome::done());
            return self.ingress(Ingress::Outcome { effect, outcome }, sink);
        }
        let taken = self.resume(effect, outcome, sink);
        self.took(taken, sink)
    }

    #[inline(always)]
    fn took<S: Sink>(&self, taken: Result<Taken, Refusal>, sink: &mut S) -> Result<Taken, Refusal> {
        if let Err(refusal) = &taken {
            sink.refused(self.step_index, refusal);
        }
        self.assert_invariants();
        taken
    }

    /// With the feature `invariants`: a defect of the machine stops the run that shows it.
    #[inline]
    fn assert_invariants(&self) {
        #[cfg(feature = "invariants")]
        if let Err(broken) = self.check() {
            panic!("{broken}");
        }
    }

    fn open<S: Sink>(
        &mut self,
        digest: &[u8; 32],
        owner: Arc<str>,
        sink: &mut S,
    ) -> Result<Taken, Refusal> {
        let row = self.image_row(digest).ok_or(Refusal::NoSuchImage)?;
        let max = self.config.sessions_max;
        if self.sessions.len() >= max as usize + usize::from(active(mutant::SESSIONS_LONG)) {
            return Err(Refusal::SessionBound { max });
        }
        if owner.len() > NAME_LEN_MAX + usize::from(active(mutant::OWNER_LONG)) {
            return Err(Refusal::OwnerTooLong {
                len: owner.len() as u64,
                max: NAME_LEN_MAX as u32,
            });
        }
        let id = SessionId(self.sessions.len() as u32);
        let image = &self.images[row];
        let mut session = Session::open(id, row as u32, image, &self.config, owner);
        let cx = Context {
            image,
            config: &self.config,
            clock: self.clock,
            step: self.step_index,
        };
        let event = Event::Opened {
            image: *digest,
            owner: Arc::clone(&session.owner),
        };
        step::emit(&cx, id, &mut session.events, sink, || event);
        let len = session.coroutines.len() as u16;
        self.sessions.push(session);
        self.active += 1;
        for coroutine in 0..len {
            let coroutine = match active(mutant::OPEN_REVERSED) {
                false => coroutine,
                true => len - 1 - coroutine,
            };
            self.enqueue(Pick {
                session: id,
                coroutine: CoroutineId(coroutine),
            });
        }
        Ok(Taken::Opened(id))
    }

    #[inline(always)]
    fn resume<S: Sink>(
        &mut self,
        effect: EffectId,
        outcome: &mut Outcome,
        sink: &mut S,
    ) -> Result<Taken, Refusal> {
        let no_session = Refusal::NoSuchSession {
            session: effect.session,
        };
        let session = self
            .sessions
            .get_mut(effect.session.index())
            .ok_or(no_session)?;
        let cx = Context {
            image: &self.images[session.image as usize],
            config: &self.config,
            clock: self.clock,
            step: self.step_index,
        };
        // Most machines have no deadlines at all; then there is none to forget.
        let deadline = match self.deadlines.is_empty() {
            true => None,
            false => session.effects.iter().find(|e| e.number == effect.number),
        };
        let deadline = deadline.and_then(|e| e.deadline);
        let before = session.effects.len();
        let resumed = step::resume(&cx, session, effect.number, outcome, sink)?;
        self.outstanding = self.outstanding + session.effects.len() - before;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, effect));
            self.forget_deadlines();
        }
        self.settle_resumed(effect.session, resumed);
        Ok(Taken::Resumed(resumed))
    }

    /// The kernel's part once a session has taken an outcome in.
    #[inline(always)]
    pub(crate) fn settle_resumed(&mut self, session: SessionId, resumed: Resumed) {
        match resumed {
            Resumed::Ready(coroutine) => {
                if !self.sessions[session.index()].witnesses.is_empty() {
                    self.witnessed.insert(session);
                }
                self.goes_on(Pick { session, coroutine });
            }
            Resumed::Reissued(effect) => self.note_deadline(effect),
            Resumed::Faulted(_) => self.note_end(session),
        }
    }

    /// A coroutine has what it waited for.
    #[inline(always)]
    pub(crate) fn goes_on(&mut self, pick: Pick) {
        self.enqueue(pick);
        if active(mutant::RESUMED_FIRST) {
            self.enqueue_others(pick);
        }
    }

    /// Puts everybody else to the back, in queue order.
    fn enqueue_others(&mut self, first: Pick) {
        let all: Vec<Pick> = self.queue.in_order().collect();
        for pick in all {
            if pick != first {
                self.queue.take(pick);
                self.enqueue(pick);
            }
        }
    }

    fn advance<S: Sink>(&mut self, ticks: u64, sink: &mut S) -> Result<Taken, Refusal> {
        let clock = self
            .clock
            .checked_add(ticks)
            .or_else(|| active(mutant::CLOCK_WRAPS).then(|| self.clock.wrapping_add(ticks)))
            .or_else(|| active(mutant::CLOCK_SATURATES).then_some(u64::MAX))
            .ok_or(Refusal::ClockOverflow { ticks })?;
        self.clock = clock;
        if active(mutant::WITNESSES_EXPIRE_FIRST) {
            self.expire_witnesses(sink);
        }
        let mut expired = 0;
        while let Some((deadline, effect)) = self.earliest()
            && (deadline < clock || deadline == clock && !active(mutant::DEADLINE_EXCLUSIVE))
        {
            self.deadlines.remove(&(deadline, effect));
            let session = &mut self.sessions[effect.session.index()];
            let cx = Context {
                image: &self.images[session.image as usize],
                config: &self.config,
                clock: match active(mutant::TIMEOUT_AT_DEADLINE) {
                    false => clock,
                    true => deadline,
                },
                step: self.step_index,
            };
            let before = session.effects.len();
            let resumed = step::expire(&cx, session, effect.number, sink);
            self.outstanding = self.outstanding + session.effects.len() - before;
            if let Some(resumed) = resumed {
                expired += 1;
                self.settle_resumed(effect.session, resumed);
            }
        }
        self.forget_deadlines();
        self.expire_witnesses(sink);
        Ok(Taken::Advanced { expired })
    }

    /// The effect that times out next.
    fn earliest(&self) -> Option<(u64, EffectId)> {
        let first = match active(mutant::TIMEOUT_BY_NUMBER) {
            false => self.deadlines.first(),
            true => {
                let order = |of: &&(u64, EffectId)| (of.0, of.1.number, of.1.session);
                self.deadlines.iter().min_by_key(order)
            }
        };
        first.copied()
    }

    /// Expires the witnesses whose time has come, in the order of (time, session, number).
    fn expire_witnesses<S: Sink>(&mut self, sink: &mut S) {
        let mut due: Vec<(u64, SessionId, u64)> = Vec::new();
        for id in &self.witnessed {
            let live = self.sessions[id.index()].witnesses.iter();
            let now = |w: &Witness| w.expires == self.clock && !active(mutant::EXPIRY_EXCLUSIVE);
            let over = live.take_while(|w| w.expires < self.clock || now(w));
            due.extend(over.map(|w| (w.expires, *id, w.number)));
        }
        match active(mutant::EXPIRY_BY_NUMBER) {
            false => due.sort_unstable(),
            true => due.sort_unstable_by_key(|(expires, id, number)| (*expires, *number, *id)),
        }
        for (_, id, number) in due {
            let session = &mut self.sessions[id.index()];
            let cx = Context {
                image: &self.images[session.image as usize],
                config: &self.config,
                clock: self.clock,
                step: self.step_index,
            };
            step::expire_witness(&cx, session, number, sink);
            if session.witnesses.is_empty() {
                self.witnessed.remove(&id);
            }
        }
    }

    fn cancel<S: Sink>(
        &mut self,
        id: SessionId,
        owner: &str,
        sink: &mut S,
    ) -> Result<Taken, Refusal> {
        let no_session = Refusal::NoSuchSession { session: id };
        let session = self.sessions.get_mut(id.index()).ok_or(no_session)?;
        let ended = session.phase != Phase::Active;
        let refused = ended || &*session.owner != owner;
        session.witnesses_issued += u64::from(refused && active(mutant::REFUSED_CANCEL_COUNTS));
        if ended && active(mutant::CANCEL_PHASE_FIRST) {
            return Err(Refusal::SessionEnded { session: id });
        }
        if &*session.owner != owner && !active(mutant::CANCEL_BY_ANYBODY) {
            return Err(Refusal::NotOwner { session: id });
        }
        if ended {
            return Err(Refusal::SessionEnded { session: id });
        }
        let cx = Context {
            image: &self.images[session.image as usize],
            config: &self.config,
            clock: self.clock,
            step: self.step_index,
        };
        self.outstanding -= session.effects.len();
        step::cancel(&cx, session, sink);
        self.note_end(id);
        Ok(Taken::Cancelled)
    }

    /// The configuration.
    pub fn config(&self) -> &ProtocolMachineConfig {
        &self.config
    }

    /// The logical clock, in ticks.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// How many steps have been taken.
    pub fn step_index(&self) -> u64 {
        self.step_index
    }

    /// A session.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id.index())
    }

    /// All sessions, in the order of their opening.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// The image of a session of this machine.
    pub fn image(&self, session: &Session) -> &Arc<VerifiedImage> {
        &self.images[session.image as usize]
    }

    /// A loaded image, by its digest.
    pub fn image_by_digest(&self, digest: &[u8; 32]) -> Option<&Arc<VerifiedImage>> {
        self.image_row(digest).map(|row| &self.images[row])
    }

    /// The clock reading at which the next outstanding effect times out. Constant time but for the tree's height.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// How many effects are outstanding.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The ready coroutines, in queue order.
    pub fn ready(&self) -> Vec<Pick> {
        let mut picks: Vec<Pick> = self.queue.in_order().collect();
        if self.lingering > 0 {
            picks.retain(|pick| self.is_active(*pick));
        }
        debug_assert!(
            picks.iter().all(|pick| self.is_active(*pick)),
            "who lingers is counted"
        );
        picks
    }

    fn is_active(&self, pick: Pick) -> bool {
        self.sessions[pick.session.index()].phase == Phase::Active
    }

    fn image_row(&self, digest: &[u8; 32]) -> Option<usize> {
        self.images
            .iter()
            .position(|image| image.digest() == digest)
    }
}
