//! The kernel: all sessions, the ready queue and the clock. Only a step or an input changes them.

// The parts are methods of the kernel that this module defines, so they import from their parent.
mod checkpoint;
mod checks;
mod footprint;
mod wave;

pub use checkpoint::{COUNTER_MAX, KernelParts, RestoreError, SessionParts};
pub use checks::{Broken, CHECK_STEPS};
#[cfg(feature = "threads")]
pub(crate) use wave::Answer;
pub use wave::{Job, Planned, WaveBuffers};

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::bounds::NAME_LEN_MAX;
use crate::config::ProtocolMachineConfig;
use crate::effect::EffectRequest;
use crate::event::Event;
use crate::fault::Refusal;
use crate::ids::{CoroutineId, EffectId, Pick, SessionId};
use crate::input::{Ingress, Rest, Resumed, Step, Taken, Turn, Wait};
use crate::outcome::Outcome;
use crate::queue::ReadyQueue;
use crate::safety::{Admission, AdmissionError, Evidence, admit};
use crate::schedule::{self, Driver, Run};
use crate::session::{Coroutine, Phase, Session, Status};
use crate::sink::{Observation, Sink};
use crate::step::{self, Context};
use crate::verify::VerifiedImage;

/// The sole authority over the state of a run: it owns every session, picks the coroutine that
/// steps, and takes every input.
///
/// A kernel is passive. [`step`](Self::step) takes one semantic step and returns its result. When
/// that is [`Step::Effect`], the driver puts the [`request`](Self::request) to a handler and passes
/// the outcome in as [`Ingress::Outcome`]. The kernel uses no clock, randomness, thread or I/O: the
/// same inputs at the same step indices always give the same states, events and digests.
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
    /// Entries of the ready queue whose session has ended. They are dropped when they reach the
    /// head.
    stale_entries: usize,
    /// Effects that are outstanding, in all sessions.
    outstanding: usize,
    /// When outstanding effects time out. It may hold effects that a session's end has invalidated,
    /// but never as the first entry: see `keep_deadline` and `drop_stale_deadlines`.
    deadlines: BTreeSet<(u64, EffectId)>,
    /// Sessions that may have live witnesses.
    witnessed: BTreeSet<SessionId>,
}

/// The kernel's account of a run of steps of one session. It is settled when it is dropped, also
/// when a handler or a sink panics: the effect is then outstanding, and the machine is consistent.
struct Account<'k> {
    kernel: &'k mut ProtocolMachineKernel,
    session: SessionId,
    /// What the session had before the run.
    effects: usize,
    effects_issued: u64,
    witnesses_issued: u64,
    /// Steps taken in the run.
    taken: u64,
}

impl Drop for Account<'_> {
    #[inline]
    fn drop(&mut self) {
        let kernel = &mut *self.kernel;
        kernel.step_index += self.taken;
        let session = &kernel.sessions[self.session.index()];
        if session.effects_issued != self.effects_issued || session.phase != Phase::Active {
            self.settle_effects();
        }
    }
}

impl Account<'_> {
    fn settle_effects(&mut self) {
        let (kernel, id) = (&mut *self.kernel, self.session);
        let session = &kernel.sessions[id.index()];
        kernel.outstanding = kernel.outstanding + session.effects.len() - self.effects;
        if session.witnesses_issued > self.witnesses_issued && !session.witnesses.is_empty() {
            kernel.witnessed.insert(id);
        }
        if let Some(effect) = session.effects.last()
            && effect.number >= self.effects_issued
            && let Some(deadline) = effect.deadline
        {
            let number = effect.number;
            kernel.keep_deadline(
                deadline,
                EffectId {
                    session: id,
                    number,
                },
            );
        }
        kernel.settle_end(id);
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
            stale_entries: 0,
            outstanding: 0,
            deadlines: BTreeSet::new(),
            witnessed: BTreeSet::new(),
        }
    }

    /// Makes an image known, so that sessions can be opened with it. Images are identified by
    /// content: loading an equal one again does nothing. Linear in the images.
    ///
    /// Whether the image's roles fit together is not checked; see
    /// [`load_admitted`](Self::load_admitted).
    pub fn load(&mut self, image: &Arc<VerifiedImage>) {
        if self.image_row(image.digest()).is_none() {
            self.images.push(Arc::clone(image));
        }
    }

    /// As [`load`](Self::load), if the evidence shows that the image is safe on a machine with this
    /// configuration ([`safety::admit`](crate::safety::admit)).
    ///
    /// # Errors
    /// The image was not admitted; it was not loaded then.
    pub fn load_admitted(
        &mut self,
        image: &Arc<VerifiedImage>,
        evidence: Evidence<'_>,
    ) -> Result<Admission, AdmissionError> {
        let admission = admit(&self.config, image, evidence)?;
        self.load(image);
        Ok(admission)
    }

    /// Takes one step of the coroutine that the policy picks, or returns why no coroutine is ready.
    #[inline]
    pub fn step<S: Sink>(&mut self, sink: &mut S) -> Turn {
        self.steps(1, sink).0
    }

    /// Takes steps, each of the coroutine that the policy picks, until one issues an effect or ends
    /// a coroutine, no coroutine is ready, or `steps_max` steps were taken (one if that is 0); it
    /// may return before. Returns the last step, and how many were taken.
    #[inline]
    pub fn steps<S: Sink>(&mut self, steps_max: u64, sink: &mut S) -> (Turn, u64) {
        self.steps_driven(steps_max, sink, &mut ())
    }

    /// As [`steps`](Self::steps), with a driver that may answer in place; then the run may continue
    /// after an effect.
    #[inline]
    pub(crate) fn steps_driven<S: Sink, D: Driver>(
        &mut self,
        steps_max: u64,
        sink: &mut S,
        driver: &mut D,
    ) -> (Turn, u64) {
        let Some(mut pick) = self.next_pick() else {
            self.assert_machine();
            return (Turn::Rest(self.rest()), 0);
        };
        let mut taken = 0;
        loop {
            let left = steps_max.saturating_sub(taken);
            let (who, step, more) = self.step_ready(pick, left, sink, driver);
            pick.coroutine = who;
            taken += more;
            let continues = match step {
                Step::Ran | Step::Yielded | Step::Blocked(_) => true,
                Step::Effect(_) => D::CONTINUES,
                Step::Halted | Step::Faulted(_) => false,
            };
            match self.queue.peek() {
                Some(next) if continues && taken < steps_max && self.is_active(next) => pick = next,
                Some(_) | None => return (Turn::Stepped { pick, step }, taken),
            }
        }
    }

    /// The policy's pick. Removes entries before it whose session has ended.
    #[inline]
    fn next_pick(&mut self) -> Option<Pick> {
        loop {
            let pick = self.queue.peek()?;
            if self.is_active(pick) {
                return Some(pick);
            }
            self.queue.remove(pick);
            self.stale_entries -= 1;
        }
    }

    /// Takes one step of this coroutine, whatever the policy would pick: for a schedule that was
    /// made elsewhere. Returns `None`, and changes nothing, when the coroutine is not in the ready
    /// queue. Linear in the queue.
    pub fn step_pick<S: Sink>(&mut self, pick: Pick, sink: &mut S) -> Option<Turn> {
        let session = self.sessions.get(pick.session.index())?;
        // The queue may still hold coroutines of a session that has ended.
        if session.phase != Phase::Active || !self.queue.contains(pick) {
            return None;
        }
        let (_, step, _) = self.step_ready(pick, 1, sink, &mut ());
        Some(Turn::Stepped { pick, step })
    }

    /// Steps a ready coroutine, then others of its session as long as the policy picks them.
    /// Returns which one took the last step, its result, and how many steps were taken.
    #[inline]
    fn step_ready<S: Sink>(
        &mut self,
        pick: Pick,
        steps_max: u64,
        sink: &mut S,
        driver: &mut impl Driver,
    ) -> (CoroutineId, Step, u64) {
        let session = &self.sessions[pick.session.index()];
        let mut account = Account {
            session: pick.session,
            effects: session.effects.len(),
            effects_issued: session.effects_issued,
            witnesses_issued: session.witnesses_issued,
            taken: 0,
            kernel: self,
        };
        let kernel = &mut *account.kernel;
        let session = &mut kernel.sessions[pick.session.index()];
        let mut run = Run {
            cx: &mut Context {
                image: &kernel.images[session.image as usize],
                config: &kernel.config,
                clock: kernel.clock,
                step: kernel.step_index,
            },
            queue: &mut kernel.queue,
            session,
            taken: &mut account.taken,
        };
        let (who, step) = run.steps(pick.coroutine, steps_max, sink, driver);
        let taken = account.taken;
        drop(account);
        self.assert_session(pick.session);
        self.assert_steps(taken);
        (who, step, taken)
    }

    /// Adds a coroutine at the back, with its present rank under the policy.
    #[inline]
    fn enqueue(&mut self, pick: Pick) {
        let (sessions, images) = (&self.sessions, &self.images);
        schedule::enqueue(&mut self.queue, self.config.policy, pick, || {
            let session = &sessions[pick.session.index()];
            (&images[session.image as usize], session)
        });
    }

    /// Keeps the deadline of the effect that its session issued last.
    fn keep_last_deadline(&mut self, effect: EffectId) {
        let session = &self.sessions[effect.session.index()];
        let issued = session.effects.last().filter(|e| e.number == effect.number);
        if let Some(deadline) = issued.and_then(|e| e.deadline) {
            self.keep_deadline(deadline, effect);
        }
    }

    /// Effects that a session's end has invalidated stay in the set. When they outnumber the
    /// outstanding ones, they are removed: the set stays proportional to the outstanding effects,
    /// at constant amortised cost.
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

    /// Removes deadlines from the front until the first one belongs to an outstanding effect, so
    /// that the next deadline is always the first. Each was inserted once: constant amortised cost.
    fn drop_stale_deadlines(&mut self) {
        while let Some((_, effect)) = self.deadlines.first()
            && self.request(*effect).is_none()
        {
            self.deadlines.pop_first();
        }
    }

    /// The bookkeeping for a session that may have ended.
    fn settle_end(&mut self, session: SessionId) {
        let s = &self.sessions[session.index()];
        if matches!(s.phase, Phase::Terminal(_)) {
            let queued = |coroutine: &&Coroutine| coroutine.status == Status::Ready;
            self.stale_entries += s.coroutines.iter().filter(queued).count();
            self.active -= 1;
            self.witnessed.remove(&session);
            self.drop_stale_deadlines();
        }
    }

    fn rest(&self) -> Rest {
        if self.outstanding > 0 {
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
        EffectRequest::outstanding(session, &self.images[session.image as usize], effect.number)
    }

    /// Takes an input.
    ///
    /// # Errors
    /// A [`Refusal`] when the input does not fit the state. Nothing has changed then; the sink has
    /// been notified of the input and of its refusal.
    pub fn ingress<S: Sink>(&mut self, input: Ingress, sink: &mut S) -> Result<Taken, Refusal> {
        let step = self.step_index;
        sink.observe(Observation::Input {
            step,
            input: &input,
        });
        let taken = match input {
            Ingress::Open { image, owner } => self.open(&image, owner, sink),
            Ingress::Outcome {
                effect,
                mut outcome,
            } => self.resume(effect, &mut outcome, sink),
            Ingress::AdvanceClock { ticks } => self.advance(ticks, sink),
            Ingress::Cancel { session, owner } => self.cancel(session, &owner, sink),
        };
        if let Err(refusal) = &taken {
            sink.observe(Observation::Refused { step, refusal });
        }
        taken
    }

    /// In builds with debug assertions, stops a run whose session breaks an invariant.
    #[inline]
    fn assert_session(&self, id: SessionId) {
        if cfg!(debug_assertions)
            && let Err(broken) = self.check_session(&self.sessions[id.index()])
        {
            panic!("{broken}");
        }
    }

    /// In builds with debug assertions, stops a run whose machine breaks an invariant.
    #[inline]
    fn assert_machine(&self) {
        if cfg!(debug_assertions)
            && let Err(broken) = self.check()
        {
            panic!("{broken}");
        }
    }

    /// Calls [`assert_machine`](Self::assert_machine) once every [`CHECK_STEPS`] steps.
    #[inline]
    fn assert_steps(&self, taken: u64) {
        if self.step_index / CHECK_STEPS != self.step_index.saturating_sub(taken) / CHECK_STEPS {
            self.assert_machine();
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
        if self.sessions.len() >= max as usize {
            return Err(Refusal::SessionBound { max });
        }
        if owner.len() > NAME_LEN_MAX {
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
            self.enqueue(Pick {
                session: id,
                coroutine: CoroutineId(coroutine),
            });
        }
        self.assert_session(id);
        Ok(Taken::Opened(id))
    }

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
        // Most machines have no deadlines at all.
        let deadline = if self.deadlines.is_empty() {
            None
        } else {
            session.effects.iter().find(|e| e.number == effect.number)
        };
        let deadline = deadline.and_then(|e| e.deadline);
        let before = session.effects.len();
        let resumed = step::resume(&cx, session, effect.number, outcome, sink)?;
        let has_witnesses = !session.witnesses.is_empty();
        self.outstanding = self.outstanding + session.effects.len() - before;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, effect));
            self.drop_stale_deadlines();
        }
        self.settle_resumed(effect.session, resumed, has_witnesses);
        self.assert_session(effect.session);
        Ok(Taken::Resumed(resumed))
    }

    /// The kernel's bookkeeping for a session that has taken an outcome in.
    #[inline]
    pub(crate) fn settle_resumed(
        &mut self,
        session: SessionId,
        resumed: Resumed,
        has_witnesses: bool,
    ) {
        match resumed {
            Resumed::Ready(coroutine) => {
                if has_witnesses {
                    self.witnessed.insert(session);
                }
                self.enqueue(Pick { session, coroutine });
            }
            Resumed::Reissued(effect) => self.keep_last_deadline(effect),
            Resumed::Faulted(_) => self.settle_end(session),
        }
    }

    fn advance<S: Sink>(&mut self, ticks: u64, sink: &mut S) -> Result<Taken, Refusal> {
        let clock = self
            .clock
            .checked_add(ticks)
            .ok_or(Refusal::ClockOverflow { ticks })?;
        self.clock = clock;
        let mut expired = 0;
        while let Some(&(deadline, effect)) = self.deadlines.first()
            && deadline <= clock
        {
            self.deadlines.pop_first();
            let session = &mut self.sessions[effect.session.index()];
            let cx = Context {
                image: &self.images[session.image as usize],
                config: &self.config,
                clock,
                step: self.step_index,
            };
            let before = session.effects.len();
            let resumed = step::expire(&cx, session, effect.number, sink);
            self.outstanding = self.outstanding + session.effects.len() - before;
            let has_witnesses = !session.witnesses.is_empty();
            if let Some(resumed) = resumed {
                expired += 1;
                self.settle_resumed(effect.session, resumed, has_witnesses);
            }
        }
        self.drop_stale_deadlines();
        self.expire_witnesses(sink);
        self.assert_machine();
        Ok(Taken::Advanced { expired })
    }

    /// Expires the witnesses that are due, ordered by time, session and number.
    fn expire_witnesses<S: Sink>(&mut self, sink: &mut S) {
        let mut due: Vec<(u64, SessionId, u64)> = Vec::new();
        for id in &self.witnessed {
            let live = self.sessions[id.index()].witnesses.iter();
            let over = live.take_while(|w| w.expires <= self.clock);
            due.extend(over.map(|w| (w.expires, *id, w.number)));
        }
        due.sort_unstable();
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
        if &*session.owner != owner {
            return Err(Refusal::NotOwner { session: id });
        }
        if session.phase != Phase::Active {
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
        self.settle_end(id);
        self.assert_session(id);
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

    /// The clock reading at which the next outstanding effect times out. Logarithmic in the
    /// outstanding effects.
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
        if self.stale_entries > 0 {
            picks.retain(|pick| self.is_active(*pick));
        }
        debug_assert!(
            picks.iter().all(|pick| self.is_active(*pick)),
            "every stale entry is counted"
        );
        picks
    }

    /// The ready coroutines, in queue order, each as often as it is queued.
    pub(crate) fn ready_picks(&self) -> impl Iterator<Item = Pick> {
        self.queue.in_order().filter(|pick| self.is_active(*pick))
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
