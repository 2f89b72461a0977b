//! The kernel's part in waves: it plans one, checks one that anybody made, and makes the steps part of the machine. Who runs
//! them, and on how many threads, is the driver's.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::config::ProtocolMachineConfig;
use crate::effect::{EffectRequest, Outcome, Reply};
use crate::event::{NoSink, ObsEvent, Sink};
use crate::ids::{CoroutineId, EffectId, SessionId};
use crate::kernel::ProtocolMachineKernel;
use crate::mutant::{self, active};
use crate::queue::{Pick, Queued, ReadyQueue};
use crate::schedule;
use crate::session::{Phase, Session};
use crate::step::{self, Context, Drives, Resumed, Step};
use crate::verify::VerifiedImage;
use crate::wave::{self, Footprint, Key, WaveCertificate, WavePick, WaveRefusal};

/// No row: stands in a table where a session has none.
const NONE: u32 = u32::MAX;

/// Why ready coroutines are not in a wave that was planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Ready, but another one of the session is in the wave already.
    pub session_taken: u64,
    /// Ready, but the wave was wide enough without.
    pub width_reached: u64,
}

/// Memory for running waves, kept between them so that a wave allocates little.
#[derive(Clone, Debug, Default)]
pub struct Rooms {
    /// One for each pick of the last wave, in its order.
    rooms: Vec<Room>,
    /// What came of each, in the same order.
    upshots: Vec<Upshot>,
}

/// What one session's part in a wave works with: for whoever runs the job, and for others only where the upshot says that there is
/// something for them. So it stays in the cache of the core that ran it.
#[derive(Clone, Debug)]
struct Room {
    /// The session's part of the ready queue.
    queue: ReadyQueue,
    /// Who stepped, in order.
    steps: Vec<CoroutineId>,
    /// Stamped with the step's number within the room until they are told.
    events: Vec<ObsEvent>,
    /// What the handler said, unless the upshot says it.
    answer: Option<Answer>,
}

/// What came of one session's part in a wave, as far as the machine has to know it of each: small and next to each other, since the
/// job's core writes it and the kernel's reads it.
#[derive(Clone, Copy, Debug)]
struct Upshot {
    session: SessionId,
    came_to: CameTo,
    /// How many steps were taken.
    steps: u32,
    /// How many effects were outstanding before.
    effects_before: u32,
    /// How many are outstanding now.
    effects: u32,
    /// When what was asked times out, while it is outstanding.
    deadline: Option<u64>,
    /// Who goes on, because the session has taken in what the handler said.
    resumed: Option<CoroutineId>,
    /// Whether anybody is left in the room's queue.
    queued: bool,
    /// Whether there are events in the room.
    told: bool,
}

const _: () = assert!(size_of::<Upshot>() <= 64);

/// What the last step of a session's part came to.
#[derive(Clone, Copy, Debug)]
enum CameTo {
    /// There was none: the job has not been run.
    Nothing,
    /// Nothing that the kernel takes note of.
    Went,
    /// A coroutine came to its end, and maybe the session.
    Ended,
    /// The effect of this number was asked.
    Asked(u64),
}

/// What the handler said to what a session asked in a wave.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "threads"),
    expect(dead_code, reason = "threads take it")
)]
pub(crate) enum Answer {
    /// The machine is still to be told.
    Said(Reply),
    /// The session has it; the kernel's part is still to be done.
    TakenIn(Resumed),
    /// The session has it, and all that is left is to give this coroutine its place in the ready queue.
    GoesOn(CoroutineId),
}

/// One session's part in a wave: run it, and put what it asks to the handler. Jobs of a wave have nothing in common, so
/// they can be run in any order and at the same time.
#[derive(Debug)]
pub struct Job<'a> {
    common: &'a Common<'a>,
    session: &'a mut Session,
    room: &'a mut Room,
    upshot: &'a mut Upshot,
    /// The session's part of the ready queue, in queue order.
    entries: SmallVec<[Queued; 2]>,
    pick: Pick,
    quantum: u32,
}

/// Keeps who stepped.
struct Traced<'a>(&'a mut Vec<CoroutineId>);

impl<S> Drives<S> for Traced<'_> {
    #[inline(always)]
    fn steps(&mut self, who: CoroutineId) {
        self.0.push(who);
    }

    fn heard(&mut self, _: u64, _: &EffectRequest<'_>, _: &Outcome, _: &mut S) {}
}

/// What the jobs of a wave have in common, and none changes. Apart from them: they are written by one core and read by others,
/// and the less there is of them the sooner it is there.
#[derive(Debug)]
struct Common<'a> {
    images: &'a [Arc<VerifiedImage>],
    config: &'a ProtocolMachineConfig,
    queue: &'a ReadyQueue,
    clock: u64,
    wants_events: bool,
}

impl ProtocolMachineKernel {
    /// A wave of at most `width` picks with this quantum, in the order in which the policy would come to them, one for
    /// each session.
    pub fn plan(&self, width: u32, quantum: u32) -> WaveCertificate {
        let mut certificate = WaveCertificate::default();
        let _ = self.plan_into(width, quantum, &mut certificate);
        certificate
    }

    /// As [`plan`](Self::plan), in the memory of an old certificate; tells who was left out. Linear in the queue.
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
            } else if picks.len() >= width as usize + usize::from(active(mutant::WAVE_WIDE)) {
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

    /// The certificate that claims these picks, each with its quantum, for the machine as it is now: for a wave that was planned
    /// before, and is to be run again.
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

    /// What the next step of this coroutine may write; nothing for a session that is not there.
    pub fn footprint(&self, pick: Pick) -> Footprint {
        match self.session(pick.session) {
            Some(session) => wave::footprint(self.image(session), session, pick.coroutine),
            None => Footprint::new(),
        }
    }

    /// Whether these keys are the pick's [`footprint`](Self::footprint).
    fn is_footprint(&self, claimed: &[Key], pick: Pick) -> bool {
        match self.session(pick.session) {
            Some(session) => {
                wave::is_footprint(claimed, self.image(session), session, pick.coroutine)
            }
            None => claimed.is_empty(),
        }
    }

    /// Whether the certificate is one of this machine as it is now. Takes nothing from the planner but what a footprint is,
    /// and what the policy wants. Linear in the queue, the sessions and the certificate, but for sorting.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn check_wave(&self, certificate: &WaveCertificate) -> Result<(), WaveRefusal> {
        let WaveCertificate {
            step_index,
            queue,
            picks,
        } = certificate;
        if *step_index != self.step_index && !active(mutant::WAVE_STEP_UNCHECKED) {
            return Err(WaveRefusal::Step {
                expected: self.step_index,
                got: *step_index,
            });
        }
        if !active(mutant::WAVE_QUEUE_UNCHECKED) {
            self.check_queue(queue)?;
        }
        let first = picks.first().ok_or(WaveRefusal::NoPicks)?.pick;
        let expected = self.ready_in(self.queue.by_preference()).next();
        if expected != Some(first) && !active(mutant::WAVE_FIRST_UNCHECKED) {
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
        match same && at == claimed.len() {
            true => Ok(()),
            false => Err(WaveRefusal::Queue { at }),
        }
    }

    /// Whether each pick is what the policy would step next of its session, and names what it may write.
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
            let ignored = active(mutant::WAVE_NEXT_UNCHECKED) && expected.is_some();
            if expected != Some(claimed.pick.coroutine) && !ignored {
                return Err(WaveRefusal::NotNext { row, expected });
            }
            let ignored = active(mutant::WAVE_FOOTPRINT_UNCHECKED);
            if !self.is_footprint(&claimed.footprint, claimed.pick) && !ignored {
                return Err(WaveRefusal::Footprint { row });
            }
        }
        Ok(())
    }

    /// Those of sessions that have not ended. Most queues hold no others, and then the sessions, which are far apart in memory,
    /// need not be looked at. Who goes through all of them does so by `for_each`: what kind of queue it is is asked once then,
    /// and not for each.
    fn ready_in(&self, picks: impl Iterator<Item = Pick>) -> impl Iterator<Item = Pick> {
        let all = self.lingering == 0;
        picks.filter(move |pick| all || self.is_active(*pick))
    }

    /// Checks a wave, has `run` do its jobs, and makes what they did part of the machine, in the order of the picks. Gives the
    /// number of steps. A job that `run` leaves out is done by the caller's thread.
    ///
    /// What the handler said, if `run` has asked it, is kept for [`Rooms::asked`].
    ///
    /// # Errors
    /// When the certificate does not check; nothing has happened then.
    pub fn wave<S: Sink>(
        &mut self,
        certificate: &WaveCertificate,
        rooms: &mut Rooms,
        sink: &mut S,
        run: impl FnOnce(&mut [Job<'_>]),
    ) -> Result<u64, WaveRefusal> {
        self.check_wave(certificate)?;
        let picks = &certificate.picks;
        let row_of = self.allot(picks, rooms);
        let common = Common {
            images: &self.images,
            config: &self.config,
            queue: &self.queue,
            clock: self.clock,
            wants_events: sink.wants_events(),
        };
        let mut jobs = jobs(&common, &mut self.sessions, picks, &row_of, rooms);
        run(&mut jobs);
        jobs.iter_mut().for_each(Job::run);
        drop(jobs);
        let steps = self.commit(picks, rooms, sink);
        let part_of = |pick: Pick| {
            let row = row_of[pick.session.index()];
            (row != NONE).then_some(row as usize)
        };
        let parts = rooms.upshots.iter().zip(&rooms.rooms);
        let parts = parts.map(|(upshot, room)| upshot.queued.then_some(&room.queue));
        self.queue.merge(part_of, &parts.collect::<Vec<_>>());
        self.assert_invariants();
        Ok(steps)
    }

    /// Gives each pick a room and an upshot; gives the row of each session.
    fn allot(&self, picks: &[WavePick], rooms: &mut Rooms) -> Vec<u32> {
        let policy = self.config.policy;
        rooms.rooms.resize_with(picks.len(), || Room {
            queue: ReadyQueue::new(policy),
            steps: Vec::new(),
            events: Vec::new(),
            answer: None,
        });
        let upshot = |claimed: &WavePick| Upshot::of(claimed.pick.session);
        rooms.upshots.clear();
        rooms.upshots.extend(picks.iter().map(upshot));
        let mut row_of = vec![NONE; self.sessions.len()];
        for (row, claimed) in (0..).zip(picks) {
            row_of[claimed.pick.session.index()] = row;
        }
        row_of
    }

    /// Tells the events, and counts the steps.
    fn commit<S: Sink>(&mut self, picks: &[WavePick], rooms: &mut Rooms, sink: &mut S) -> u64 {
        let start = self.step_index;
        sink.wave(start, picks);
        for (upshot, room) in rooms.upshots.iter().zip(&mut rooms.rooms) {
            if upshot.told {
                for mut told in room.events.drain(..) {
                    told.stamp.step += match active(mutant::WAVE_STAMPED_ALONE) {
                        false => self.step_index,
                        true => start,
                    };
                    sink.event(&told.stamp, told.event);
                }
            }
            self.step_index += u64::from(upshot.steps);
            self.outstanding =
                self.outstanding + upshot.effects as usize - upshot.effects_before as usize;
            match (upshot.came_to, upshot.deadline) {
                (CameTo::Asked(number), Some(deadline)) => {
                    let session = upshot.session;
                    self.keep_deadline(deadline, EffectId { session, number });
                }
                (CameTo::Ended, _) => self.note_end(upshot.session),
                (CameTo::Asked(_) | CameTo::Went | CameTo::Nothing, _) => {}
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
    rooms: &'a mut Rooms,
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
    let rooms = rooms.rooms.iter_mut().zip(&mut rooms.upshots);
    for ((claimed, session), (room, upshot)) in picks.iter().zip(borrowed).zip(rooms) {
        let Some(session) = session else { continue };
        jobs.push(Job {
            common,
            session,
            room,
            upshot,
            entries: SmallVec::new(),
            pick: claimed.pick,
            quantum: claimed.quantum,
        });
    }
    // A wave that checks has a session for each pick, and so no row is left out.
    debug_assert_eq!(jobs.len(), picks.len());
    common.queue.entries().for_each(|entry| {
        let row = row_of[entry.pick.session.index()];
        if row != NONE {
            jobs[row as usize].entries.push(entry);
        }
    });
    jobs
}

/// Whether no two picks have a lane or a session in common. Then they have no part of the machine in common either: each
/// names what the machine says it may write, and that is all of its own session.
fn check_apart(picks: &[WavePick]) -> Result<(), WaveRefusal> {
    if let Some(lane) = twice(picks.iter().map(|p| p.lane))
        && !active(mutant::WAVE_LANES_UNCHECKED)
    {
        return Err(WaveRefusal::LaneTwice { lane });
    }
    match twice(picks.iter().map(|p| p.pick.session)) {
        None => Ok(()),
        Some(session) => Err(WaveRefusal::SessionTwice { session }),
    }
}

/// What is among them twice, if anything is.
fn twice<T: Copy + Ord>(items: impl Iterator<Item = T> + Clone) -> Option<T> {
    // Plans number their lanes, and mostly come to their sessions, in order: then there is nothing to sort.
    if items.clone().is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    let same = items.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(same[0])
}

impl Rooms {
    /// Every step of the last wave, in the order in which it became part of the machine.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = Pick> {
        self.upshots
            .iter()
            .zip(&self.rooms)
            .flat_map(|(upshot, room)| {
                let session = upshot.session;
                let pick = move |coroutine: &CoroutineId| Pick {
                    session,
                    coroutine: *coroutine,
                };
                // A job that was not run has left what was there before.
                let steps = upshot.steps as usize;
                room.steps.iter().take(steps).map(pick)
            })
    }

    /// What was asked in the last wave, in the order of the picks, with the reply: `Later` where a job has none.
    pub fn asked(&mut self) -> impl Iterator<Item = (EffectId, Reply)> {
        self.answers().map(|(effect, answer)| match answer {
            Answer::Said(reply) => (effect, reply),
            Answer::TakenIn(_) | Answer::GoesOn(_) => (effect, Reply::Later),
        })
    }

    /// As [`asked`](Self::asked), for who has had the jobs take answers in.
    pub(crate) fn answers(&mut self) -> impl Iterator<Item = (EffectId, Answer)> {
        let upshots = self.upshots.iter_mut().zip(&mut self.rooms);
        upshots.filter_map(|(upshot, room)| {
            let effect = upshot.asked()?;
            let answer = match upshot.resumed.take() {
                Some(coroutine) => Some(Answer::GoesOn(coroutine)),
                None => room.answer.take(),
            };
            Some((effect, answer.unwrap_or(Answer::Said(Reply::Later))))
        })
    }
}

impl Upshot {
    /// Before the job was run.
    fn of(session: SessionId) -> Upshot {
        Upshot {
            session,
            came_to: CameTo::Nothing,
            steps: 0,
            effects_before: 0,
            effects: 0,
            deadline: None,
            resumed: None,
            queued: false,
            told: false,
        }
    }

    /// The effect that was asked.
    fn asked(&self) -> Option<EffectId> {
        let CameTo::Asked(number) = self.came_to else {
            return None;
        };
        let session = self.session;
        Some(EffectId { session, number })
    }
}

impl<'a> Job<'a> {
    /// Whose part it is.
    pub fn session(&self) -> SessionId {
        self.pick.session
    }

    /// Steps the session: up to its quantum, until it asks the world, ends, or has nobody ready. Once; the second time
    /// does nothing.
    pub fn run(&mut self) {
        if !matches!(self.upshot.came_to, CameTo::Nothing) {
            return;
        }
        let Room {
            queue,
            steps,
            events,
            answer,
        } = &mut *self.room;
        queue.follow(self.common.queue);
        self.entries.iter().for_each(|entry| queue.enter(*entry));
        steps.clear();
        events.clear();
        *answer = None;
        let effects_before = self.session.effects.len() as u32;
        let last = match self.common.wants_events {
            true => {
                let mut events = std::mem::take(&mut self.room.events);
                let last = self.run_with(&mut events);
                self.room.events = events;
                last
            }
            false => self.run_with(&mut NoSink),
        };
        let effects = &self.session.effects;
        let asked = effects.last().filter(|_| matches!(last, Step::Effect(_)));
        *self.upshot = Upshot {
            came_to: match last {
                Step::Ran | Step::Yielded | Step::Blocked(_) => CameTo::Went,
                Step::Halted | Step::Faulted(_) => CameTo::Ended,
                Step::Effect(effect) => CameTo::Asked(effect.number),
            },
            steps: self.room.steps.len() as u32,
            effects_before,
            effects: effects.len() as u32,
            deadline: asked.and_then(|effect| effect.deadline),
            queued: self.room.queue.head().is_some(),
            told: !self.room.events.is_empty(),
            ..*self.upshot
        };
    }

    fn run_with<S: Sink>(&mut self, sink: &mut S) -> Step {
        let mut cx = self.context();
        let Room { queue, steps, .. } = &mut *self.room;
        let mut who = self.pick.coroutine;
        let quantum = self.quantum as usize + usize::from(active(mutant::WAVE_QUANTUM_LONG));
        loop {
            let left = (quantum - steps.len()) as u64;
            let mut driver = Traced(&mut *steps);
            let (_, step, _) =
                schedule::go(queue, &mut cx, self.session, who, left, sink, &mut driver);
            cx.step = steps.len() as u64;
            let asks = matches!(step, Step::Effect(_)) && !active(mutant::WAVE_ASKS_ON);
            let ended = self.session.phase != Phase::Active;
            if asks || ended || steps.len() >= quantum {
                return step;
            }
            match queue.head() {
                Some(next) => who = next.coroutine,
                None => return step,
            }
        }
    }

    /// What the session asks the world, once it has run.
    pub fn request(&self) -> Option<EffectRequest<'_>> {
        let asked = self.upshot.asked()?;
        self.session.request(self.image(), asked.number)
    }

    /// Keeps what the handler said to the request. Runs the job if it has not been run.
    pub fn answer(&mut self, reply: Reply) {
        self.run();
        self.room.answer = Some(Answer::Said(reply));
    }

    /// Takes in what the handler said to the request, where the session is at hand, so that it need not be fetched from another core
    /// for it: for who then does the kernel's part as [`Rooms::answers`] has it, in the order of the picks, and has nobody to tell of
    /// it.
    #[cfg_attr(not(feature = "threads"), expect(dead_code, reason = "threads do"))]
    pub(crate) fn take_in(&mut self, mut reply: Reply) {
        // Until the kernel has done its part, the queue lacks a coroutine.
        let at_once = !cfg!(feature = "invariants");
        let asked = self.upshot.asked().filter(|_| at_once);
        let (Some(asked), Reply::Now(outcome)) = (asked, &mut reply) else {
            return self.answer(reply);
        };
        let cx = self.context();
        let resumed = step::resume(&cx, self.session, asked.number, outcome, &mut NoSink);
        let Ok(resumed) = resumed else { return };
        self.upshot.effects = self.session.effects.len() as u32;
        self.upshot.deadline = None;
        match resumed {
            // With evidence, the kernel is to look at the session.
            Resumed::Ready(coroutine) if self.session.witnesses.is_empty() => {
                self.upshot.resumed = Some(coroutine);
            }
            resumed => self.room.answer = Some(Answer::TakenIn(resumed)),
        }
    }

    fn image(&self) -> &'a VerifiedImage {
        &self.common.images[self.session.image as usize]
    }

    /// Of the first step.
    fn context(&self) -> Context<'a> {
        Context {
            image: self.image(),
            config: self.common.config,
            clock: self.common.clock,
            step: 0,
        }
    }
}
