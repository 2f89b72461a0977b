//! The kernel's part in waves: it plans a wave, checks a wave that was planned elsewhere, and
//! commits its steps. The driver decides which threads run the jobs.

use std::sync::Arc;

use smallvec::SmallVec;

use super::footprint::footprint;
use crate::config::ProtocolMachineConfig;
use crate::effect::EffectRequest;
use crate::event::ObsEvent;
use crate::ids::{CoroutineId, EffectId, Pick, SessionId};
use crate::input::{Resumed, Step};
use crate::kernel::ProtocolMachineKernel;
use crate::outcome::Reply;
use crate::queue::{Queued, ReadyQueue};
use crate::schedule::{Driver, Run};
use crate::session::{Phase, Session};
use crate::sink::{NoSink, Observation, Sink};
use crate::step::{self, Context};
use crate::verify::VerifiedImage;
use crate::wave::{Footprint, WaveCertificate, WavePick, WaveRefusal};

/// The row of a session that is not in the wave.
const NONE: u32 = u32::MAX;

/// Why ready coroutines were left out of a planned wave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Ready coroutines left out because another one of their session is in the wave.
    pub session_taken: u64,
    /// Ready coroutines left out because the wave has reached its width.
    pub width_reached: u64,
}

/// Memory for running waves, reused so that a wave allocates little.
#[derive(Clone, Debug, Default)]
pub struct WaveBuffers {
    /// One for each pick of the last wave, in its order.
    jobs: Vec<JobBuffer>,
}

/// The memory and the result of one job.
#[derive(Clone, Debug)]
struct JobBuffer {
    session: SessionId,
    /// The session's part of the ready queue.
    queue: ReadyQueue,
    /// Which coroutines stepped, in order.
    steps: Vec<CoroutineId>,
    /// The step index of each stamp counts from the start of the job until the wave is committed.
    events: Vec<ObsEvent>,
    /// `None` until the job has run.
    result: Option<JobResult>,
    /// What became of the request, if the job issued one.
    answer: Answer,
}

/// The changes of a job that the kernel must account for.
#[derive(Clone, Copy, Debug)]
struct JobResult {
    /// Outstanding effects before and after.
    effects_before: usize,
    effects: usize,
    /// The effect that the last step issued, and its deadline while it is outstanding.
    issued: Option<(u64, Option<u64>)>,
    /// Whether the session may have ended.
    ended: bool,
}

/// What became of a request that was issued in a wave.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "threads"),
    expect(dead_code, reason = "threads take outcomes in")
)]
pub(crate) enum Answer {
    /// The handler's reply, which the kernel has yet to take in.
    Reply(Reply),
    /// The session has taken the outcome in; the kernel's bookkeeping is still to be done.
    Resumed {
        resumed: Resumed,
        /// Whether the session has live witnesses.
        has_witnesses: bool,
    },
}

/// One session's part in a wave: run it, and put the request that it issues to the handler. The
/// jobs of a wave share no state, so they may run in any order and at the same time.
#[derive(Debug)]
pub struct Job<'a> {
    common: &'a Common<'a>,
    session: &'a mut Session,
    buffer: &'a mut JobBuffer,
    /// The session's part of the ready queue, in queue order.
    entries: SmallVec<[Queued; 2]>,
    pick: Pick,
    quantum: u32,
}

/// Records which coroutines step.
struct Recorded<'a>(&'a mut Vec<CoroutineId>);

impl Driver for Recorded<'_> {
    #[inline]
    fn on_step(&mut self, who: CoroutineId) {
        self.0.push(who);
    }
}

/// The state that the jobs of a wave share and only read. It is separate from the jobs to keep them
/// small, because one core writes them and other cores read them.
#[derive(Debug)]
struct Common<'a> {
    images: &'a [Arc<VerifiedImage>],
    config: &'a ProtocolMachineConfig,
    queue: &'a ReadyQueue,
    clock: u64,
    wants_events: bool,
}

impl ProtocolMachineKernel {
    /// Plans a wave of at most `width` picks with this quantum, one for each session, in the order
    /// in which the policy would pick them. Linear in the queue.
    pub fn plan(&self, width: u32, quantum: u32) -> WaveCertificate {
        let mut certificate = WaveCertificate::default();
        let _ = self.plan_into(width, quantum, &mut certificate);
        certificate
    }

    /// As [`plan`](Self::plan), but reuses the memory of an old certificate. Returns how many
    /// coroutines were left out, and why. Linear in the queue.
    pub fn plan_into(
        &self,
        width: u32,
        quantum: u32,
        certificate: &mut WaveCertificate,
    ) -> Planned {
        let WaveCertificate {
            step_index,
            queue,
            picks,
        } = certificate;
        *step_index = self.step_index;
        queue.clear();
        self.ready_in(self.queue.in_order())
            .for_each(|pick| queue.push(pick));
        picks.clear();
        let mut planned = Planned::default();
        let mut taken = vec![false; self.sessions.len()];
        self.ready_in(self.queue.by_preference()).for_each(|pick| {
            let taken = &mut taken[pick.session.index()];
            if *taken {
                planned.session_taken += 1;
            } else if picks.len() >= width as usize {
                planned.width_reached += 1;
            } else {
                *taken = true;
                picks.push(WavePick {
                    pick,
                    lane: picks.len() as u32,
                    quantum,
                    footprint: self.footprint(pick),
                });
            }
        });
        planned
    }

    /// The certificate for these picks, each with its quantum, on the machine as it is now: for
    /// running again a wave that was planned before.
    pub fn claim(&self, picks: impl IntoIterator<Item = (Pick, u32)>) -> WaveCertificate {
        let claimed = |(lane, (pick, quantum))| WavePick {
            pick,
            lane,
            quantum,
            footprint: self.footprint(pick),
        };
        WaveCertificate {
            step_index: self.step_index,
            queue: self.ready(),
            picks: (0..).zip(picks).map(claimed).collect(),
        }
    }

    /// What the next step of this coroutine may write; empty if the session does not exist.
    pub fn footprint(&self, pick: Pick) -> Footprint {
        match self.session(pick.session) {
            Some(session) => footprint(self.image(session), session, pick.coroutine),
            None => Footprint::new(),
        }
    }

    /// Checks a certificate against the machine as it is now. It shares only the definition of a
    /// footprint and the policy's order with the planner. Linear in the queue, the sessions and the
    /// certificate, except for sorting.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn check_wave(&self, certificate: &WaveCertificate) -> Result<(), WaveRefusal> {
        let WaveCertificate {
            step_index,
            queue,
            picks,
        } = certificate;
        if *step_index != self.step_index {
            return Err(WaveRefusal::Step {
                expected: self.step_index,
                got: *step_index,
            });
        }
        self.check_queue(queue)?;
        let first = picks.first().ok_or(WaveRefusal::NoPicks)?.pick;
        let expected = self.ready_in(self.queue.by_preference()).next();
        if expected != Some(first) {
            let got = first;
            return Err(WaveRefusal::FirstPick { expected, got });
        }
        self.check_each(picks)?;
        check_apart(picks)
    }

    fn check_queue(&self, claimed: &[Pick]) -> Result<(), WaveRefusal> {
        let (mut at, mut same) = (0, true);
        self.ready_in(self.queue.in_order()).for_each(|pick| {
            same = same && claimed.get(at) == Some(&pick);
            at += usize::from(same);
        });
        if same && at == claimed.len() {
            Ok(())
        } else {
            Err(WaveRefusal::Queue { at })
        }
    }

    /// Checks that each pick is the one that the policy would step next in its session, and that it
    /// names what it may write.
    fn check_each(&self, picks: &[WavePick]) -> Result<(), WaveRefusal> {
        let mut next: Vec<Option<CoroutineId>> = vec![None; self.sessions.len()];
        self.ready_in(self.queue.by_preference()).for_each(|pick| {
            next[pick.session.index()].get_or_insert(pick.coroutine);
        });
        for (row, claimed) in picks.iter().enumerate() {
            if claimed.quantum == 0 {
                return Err(WaveRefusal::NoQuantum { row });
            }
            let expected = next.get(claimed.pick.session.index()).copied().flatten();
            if expected != Some(claimed.pick.coroutine) {
                return Err(WaveRefusal::NotNext { row, expected });
            }
            if self.footprint(claimed.pick) != claimed.footprint {
                return Err(WaveRefusal::Footprint { row });
            }
        }
        Ok(())
    }

    /// The picks whose session has not ended. If no entry of the queue belongs to an ended session,
    /// the sessions are not read, because they are far apart in memory. Callers that want all picks
    /// use `for_each`, which matches on the kind of the queue once and not for each pick.
    fn ready_in(&self, picks: impl Iterator<Item = Pick>) -> impl Iterator<Item = Pick> {
        let all = self.stale_entries == 0;
        picks.filter(move |pick| all || self.is_active(*pick))
    }

    /// Checks a wave, lets `run` run its jobs, and commits them in the order of the picks. Returns
    /// the number of steps. A job that `run` leaves out runs on the caller's thread.
    ///
    /// The handlers' replies, if `run` has asked them, are kept for [`WaveBuffers::asked`].
    ///
    /// # Errors
    /// When the certificate does not check; nothing has changed then.
    pub fn wave<S: Sink>(
        &mut self,
        certificate: &WaveCertificate,
        buffers: &mut WaveBuffers,
        sink: &mut S,
        run: impl FnOnce(&mut [Job<'_>]),
    ) -> Result<u64, WaveRefusal> {
        self.check_wave(certificate)?;
        self.assert_machine();
        let picks = &certificate.picks;
        let row_of = self.allot(picks, buffers);
        let common = Common {
            images: &self.images,
            config: &self.config,
            queue: &self.queue,
            clock: self.clock,
            wants_events: sink.interest().events,
        };
        let mut jobs = jobs(&common, &mut self.sessions, picks, &row_of, buffers);
        run(&mut jobs);
        jobs.iter_mut().for_each(Job::run);
        drop(jobs);
        let steps = self.commit(picks, buffers, sink);
        let part_of = |pick: Pick| {
            let row = row_of[pick.session.index()];
            (row != NONE).then_some(row as usize)
        };
        let parts: Vec<&ReadyQueue> = buffers.jobs.iter().map(|job| &job.queue).collect();
        self.queue.merge(part_of, &parts);
        picks
            .iter()
            .for_each(|p| self.assert_session(p.pick.session));
        Ok(steps)
    }

    /// Prepares a buffer for each pick; returns the row of each session.
    fn allot(&self, picks: &[WavePick], buffers: &mut WaveBuffers) -> Vec<u32> {
        let policy = self.config.policy;
        buffers.jobs.resize_with(picks.len(), || JobBuffer {
            session: SessionId(0),
            queue: ReadyQueue::new(policy),
            steps: Vec::new(),
            events: Vec::new(),
            result: None,
            answer: Answer::Reply(Reply::Later),
        });
        let mut row_of = vec![NONE; self.sessions.len()];
        for ((row, claimed), buffer) in (0..).zip(picks).zip(&mut buffers.jobs) {
            row_of[claimed.pick.session.index()] = row;
            buffer.session = claimed.pick.session;
            buffer.result = None;
        }
        row_of
    }

    /// Notifies the sink of the events, counts the steps, and does the bookkeeping of each session.
    fn commit<S: Sink>(
        &mut self,
        picks: &[WavePick],
        buffers: &mut WaveBuffers,
        sink: &mut S,
    ) -> u64 {
        let start = self.step_index;
        sink.observe(Observation::Wave { step: start, picks });
        for buffer in &mut buffers.jobs {
            let Some(result) = buffer.result else {
                continue;
            };
            for ObsEvent { mut stamp, event } in buffer.events.drain(..) {
                stamp.step += self.step_index;
                let (stamp, event) = (&stamp, &event);
                sink.observe(Observation::Event { stamp, event });
            }
            self.step_index += buffer.steps.len() as u64;
            self.outstanding = self.outstanding + result.effects - result.effects_before;
            if let Some((number, Some(deadline))) = result.issued {
                let session = buffer.session;
                self.keep_deadline(deadline, EffectId { session, number });
            }
            if result.ended {
                self.settle_end(buffer.session);
            }
        }
        self.step_index - start
    }
}

/// A job for each pick.
fn jobs<'a>(
    common: &'a Common<'a>,
    sessions: &'a mut [Session],
    picks: &[WavePick],
    row_of: &[u32],
    buffers: &'a mut WaveBuffers,
) -> Vec<Job<'a>> {
    // Each session is borrowed by its own job.
    let mut borrowed: Vec<Option<&'a mut Session>> = Vec::new();
    borrowed.resize_with(picks.len(), || None);
    for (session, row) in sessions.iter_mut().zip(row_of) {
        if *row != NONE {
            borrowed[*row as usize] = Some(session);
        }
    }
    let mut jobs: Vec<Job<'a>> = Vec::with_capacity(picks.len());
    let buffers = &mut buffers.jobs;
    for ((claimed, session), buffer) in picks.iter().zip(borrowed).zip(buffers) {
        let Some(session) = session else { continue };
        jobs.push(Job {
            common,
            session,
            buffer,
            entries: SmallVec::new(),
            pick: claimed.pick,
            quantum: claimed.quantum,
        });
    }
    // A wave that checks has a session for each pick, so no row is left out.
    debug_assert_eq!(jobs.len(), picks.len());
    common.queue.entries().for_each(|entry| {
        let row = row_of[entry.pick.session.index()];
        if row != NONE {
            jobs[row as usize].entries.push(entry);
        }
    });
    jobs
}

/// Checks that no two picks share a lane or a session. Two such picks share no part of the machine,
/// because a footprint contains parts of its own session only.
fn check_apart(picks: &[WavePick]) -> Result<(), WaveRefusal> {
    if let Some(lane) = twice(picks.iter().map(|p| p.lane)) {
        return Err(WaveRefusal::LaneTwice { lane });
    }
    match twice(picks.iter().map(|p| p.pick.session)) {
        None => Ok(()),
        Some(session) => Err(WaveRefusal::SessionTwice { session }),
    }
}

/// The first item that occurs twice, in the order of the items' values.
fn twice<T: Copy + Ord>(items: impl Iterator<Item = T> + Clone) -> Option<T> {
    // A plan numbers its lanes in order, and mostly picks sessions in order: nothing to sort then.
    if items.clone().is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    let same = items.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(same[0])
}

impl WaveBuffers {
    /// Every step of the last wave, in the order in which the steps were committed.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = Pick> {
        // A job that has not run still has the steps of an earlier wave.
        let ran = self.jobs.iter().filter(|job| job.result.is_some());
        ran.flat_map(|job| {
            let session = job.session;
            let pick = move |coroutine: &CoroutineId| Pick {
                session,
                coroutine: *coroutine,
            };
            job.steps.iter().map(pick)
        })
    }

    /// The effects that were issued in the last wave, in the order of the picks, with the reply:
    /// `Later` where the job has none.
    pub fn asked(&mut self) -> impl Iterator<Item = (EffectId, Reply)> {
        self.answers().map(|(effect, answer)| match answer {
            Answer::Reply(reply) => (effect, reply),
            Answer::Resumed { .. } => (effect, Reply::Later),
        })
    }

    /// As [`asked`](Self::asked), for a driver whose jobs take outcomes in.
    pub(crate) fn answers(&mut self) -> impl Iterator<Item = (EffectId, Answer)> {
        self.jobs.iter_mut().filter_map(|job| {
            let (session, (number, _)) = (job.session, job.result?.issued?);
            let answer = std::mem::replace(&mut job.answer, Answer::Reply(Reply::Later));
            Some((EffectId { session, number }, answer))
        })
    }
}

impl<'a> Job<'a> {
    /// The session that the job steps.
    pub fn session(&self) -> SessionId {
        self.pick.session
    }

    /// Steps the session: up to its quantum, until it issues an effect, ends, or has no ready
    /// coroutine. The second call does nothing.
    pub fn run(&mut self) {
        if self.buffer.result.is_some() {
            return;
        }
        let buffer = &mut *self.buffer;
        buffer.queue.follow(self.common.queue);
        let queue = &mut buffer.queue;
        self.entries.iter().for_each(|entry| queue.enter(*entry));
        buffer.steps.clear();
        buffer.events.clear();
        buffer.answer = Answer::Reply(Reply::Later);
        let effects_before = self.session.effects.len();
        let last = if self.common.wants_events {
            let mut events = std::mem::take(&mut self.buffer.events);
            let last = self.run_with(&mut events);
            self.buffer.events = events;
            last
        } else {
            self.run_with(&mut NoSink)
        };
        let effects = &self.session.effects;
        let issued = effects.last().filter(|_| matches!(last, Step::Effect(_)));
        self.buffer.result = Some(JobResult {
            effects_before,
            effects: effects.len(),
            issued: issued.map(|effect| (effect.number, effect.deadline)),
            ended: matches!(last, Step::Halted | Step::Faulted(_)),
        });
    }

    fn run_with<S: Sink>(&mut self, sink: &mut S) -> Step {
        let mut cx = self.context();
        let JobBuffer { queue, steps, .. } = &mut *self.buffer;
        let quantum = u64::from(self.quantum);
        let (mut who, mut taken) = (self.pick.coroutine, 0);
        let mut driver = Recorded(steps);
        let mut run = Run {
            queue,
            session: self.session,
            cx: &mut cx,
            taken: &mut taken,
        };
        loop {
            run.cx.step = *run.taken;
            let left = quantum - *run.taken;
            let (_, step) = run.steps(who, left, sink, &mut driver);
            let asks = matches!(step, Step::Effect(_));
            let ended = run.session.phase != Phase::Active;
            if asks || ended || *run.taken >= quantum {
                return step;
            }
            match run.queue.peek() {
                Some(next) => who = next.coroutine,
                None => return step,
            }
        }
    }

    /// The request that the session has issued, once the job has run.
    pub fn request(&self) -> Option<EffectRequest<'_>> {
        let (number, _) = self.buffer.result?.issued?;
        EffectRequest::outstanding(self.session, self.image(), number)
    }

    /// Keeps the handler's reply to the request. Runs the job if it has not run.
    pub fn answer(&mut self, reply: Reply) {
        self.run();
        self.buffer.answer = Answer::Reply(reply);
    }

    /// Takes the handler's reply in on this thread, while the session is in its cache. For a driver
    /// without a sink that does the kernel's bookkeeping afterwards, for each of
    /// [`WaveBuffers::answers`] in the order of the picks.
    #[cfg_attr(not(feature = "threads"), expect(dead_code, reason = "threads do"))]
    pub(crate) fn take_in(&mut self, mut reply: Reply) {
        let cx = self.context();
        let issued = self.buffer.result.as_mut().and_then(|result| {
            let number = result.issued?.0;
            Some((result, number))
        });
        let (Some((result, number)), Reply::Now(outcome)) = (issued, &mut reply) else {
            return self.answer(reply);
        };
        let resumed = step::resume(&cx, self.session, number, outcome, &mut NoSink);
        let Ok(resumed) = resumed else { return };
        result.effects = self.session.effects.len();
        result.issued = Some((number, None));
        self.buffer.answer = Answer::Resumed {
            resumed,
            has_witnesses: !self.session.witnesses.is_empty(),
        };
    }

    fn image(&self) -> &'a VerifiedImage {
        &self.common.images[self.session.image as usize]
    }

    /// The context of the first step.
    fn context(&self) -> Context<'a> {
        Context {
            image: self.image(),
            config: self.common.config,
            clock: self.common.clock,
            step: 0,
        }
    }
}
