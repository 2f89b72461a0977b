//! The kernel's part in waves: it plans one, checks one that anybody made, and makes the steps part of the machine. Who runs
//! them, and on how many threads, is the driver's.

use std::iter;
use std::sync::Arc;

use crate::config::ProtocolMachineConfig;
use crate::effect::{EffectRequest, Reply};
use crate::event::{NoSink, ObsEvent, Sink};
use crate::ids::{CoroutineId, EffectId, SessionId};
use crate::kernel::ProtocolMachineKernel;
use crate::mutant::{self, active};
use crate::queue::{Pick, ReadyQueue};
use crate::schedule;
use crate::session::{Phase, Session};
use crate::step::{self, Context, Resumed, Step};
use crate::verify::VerifiedImage;
use crate::wave::{self, Footprint, WaveCertificate, WavePick, WaveRefusal};

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
}

/// What one session's part in a wave works with, and what came of it.
#[derive(Clone, Debug)]
struct Room {
    session: SessionId,
    /// The session's part of the ready queue.
    queue: ReadyQueue,
    /// Who stepped, in order.
    steps: Vec<CoroutineId>,
    /// Stamped with the step's number within the room until they are told.
    events: Vec<ObsEvent>,
    last: Option<Step>,
    answer: Option<Answer>,
    /// Outstanding effects before the wave.
    effects: usize,
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
    /// The session has it; its place in the ready queue is still to be given.
    TakenIn(Resumed),
}

/// One session's part in a wave: run it, and put what it asks to the handler. Jobs of a wave have nothing in common, so
/// they can be run in any order and at the same time.
#[derive(Debug)]
pub struct Job<'a> {
    common: &'a Common<'a>,
    session: &'a mut Session,
    room: &'a mut Room,
    pick: Pick,
    quantum: u32,
}

/// What the jobs of a wave have in common, and none changes. Apart from them: they are written by one core and read by others,
/// and the less there is of them the sooner it is there.
#[derive(Debug)]
struct Common<'a> {
    images: &'a [Arc<VerifiedImage>],
    config: &'a ProtocolMachineConfig,
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
            if claimed.footprint != self.footprint(claimed.pick) && !ignored {
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
        let row_of = self.furnish(picks, rooms);
        let common = Common {
            images: &self.images,
            config: &self.config,
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
        let parts: Vec<&ReadyQueue> = rooms.rooms.iter().map(|room| &room.queue).collect();
        self.queue.merge(part_of, &parts);
        self.assert_invariants();
        Ok(steps)
    }

    /// Gives each pick a room with its session's part of the queue; gives the row of each session.
    fn furnish(&self, picks: &[WavePick], rooms: &mut Rooms) -> Vec<u32> {
        let policy = self.config.policy;
        rooms.rooms.resize_with(picks.len(), || Room {
            session: SessionId(0),
            queue: ReadyQueue::new(policy),
            steps: Vec::new(),
            events: Vec::new(),
            last: None,
            answer: None,
            effects: 0,
        });
        let mut row_of = vec![NONE; self.sessions.len()];
        for ((row, claimed), room) in (0..).zip(picks).zip(&mut rooms.rooms) {
            let session = claimed.pick.session.index();
            row_of[session] = row;
            room.session = claimed.pick.session;
            room.queue.follow(&self.queue);
            room.steps.clear();
            room.events.clear();
            room.last = None;
            room.answer = None;
            room.effects = self.sessions[session].effects.len();
        }
        self.queue.entries().for_each(|entry| {
            let row = row_of[entry.pick.session.index()];
            if row != NONE {
                rooms.rooms[row as usize].queue.enter(entry);
            }
        });
        row_of
    }

    /// Tells the events, and counts the steps.
    fn commit<S: Sink>(&mut self, picks: &[WavePick], rooms: &mut Rooms, sink: &mut S) -> u64 {
        let start = self.step_index;
        sink.wave(start, picks);
        for room in &mut rooms.rooms {
            for mut told in room.events.drain(..) {
                told.stamp.step += match active(mutant::WAVE_STAMPED_ALONE) {
                    false => self.step_index,
                    true => start,
                };
                sink.event(&told.stamp, told.event);
            }
            self.step_index += room.steps.len() as u64;
            let effects = self.sessions[room.session.index()].effects.len();
            self.outstanding = self.outstanding + effects - room.effects;
            if let Some(last) = &room.last {
                self.note(room.session, last);
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
    let mut jobs = Vec::with_capacity(picks.len());
    for ((claimed, session), room) in picks.iter().zip(borrowed).zip(&mut rooms.rooms) {
        let Some(session) = session else { continue };
        jobs.push(Job {
            common,
            session,
            room,
            pick: claimed.pick,
            quantum: claimed.quantum,
        });
    }
    jobs
}

/// Whether no two picks have a lane or a session in common. Then they have no part of the machine in common either: each
/// names what the machine says it may write, and that is all of its own session.
fn check_apart(picks: &[WavePick]) -> Result<(), WaveRefusal> {
    let mut lanes: Vec<u32> = picks.iter().map(|p| p.lane).collect();
    if let Some(lane) = twice(&mut lanes)
        && !active(mutant::WAVE_LANES_UNCHECKED)
    {
        return Err(WaveRefusal::LaneTwice { lane });
    }
    let mut sessions: Vec<SessionId> = picks.iter().map(|p| p.pick.session).collect();
    match twice(&mut sessions) {
        None => Ok(()),
        Some(session) => Err(WaveRefusal::SessionTwice { session }),
    }
}

fn twice<T: Copy + Ord>(items: &mut [T]) -> Option<T> {
    items.sort_unstable();
    let same = items.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(same[0])
}

impl Rooms {
    /// Every step of the last wave, in the order in which it became part of the machine.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = Pick> {
        self.rooms.iter().flat_map(|room| {
            let session = room.session;
            let pick = move |coroutine: &CoroutineId| Pick {
                session,
                coroutine: *coroutine,
            };
            room.steps.iter().map(pick)
        })
    }

    /// What was asked in the last wave, in the order of the picks, with the reply: `Later` where a job has none.
    pub fn asked(&mut self) -> impl Iterator<Item = (EffectId, Reply)> {
        self.answers().map(|(effect, answer)| match answer {
            Answer::Said(reply) => (effect, reply),
            Answer::TakenIn(_) => (effect, Reply::Later),
        })
    }

    /// As [`asked`](Self::asked), for who has had the jobs take answers in.
    pub(crate) fn answers(&mut self) -> impl Iterator<Item = (EffectId, Answer)> {
        self.rooms.iter_mut().filter_map(|room| match room.last {
            Some(Step::Effect(effect)) => {
                let answer = room.answer.take();
                Some((effect, answer.unwrap_or(Answer::Said(Reply::Later))))
            }
            _ => None,
        })
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
        if self.room.last.is_some() {
            return;
        }
        let mut events = std::mem::take(&mut self.room.events);
        match self.common.wants_events {
            true => self.run_with(&mut events),
            false => self.run_with(&mut NoSink),
        }
        self.room.events = events;
    }

    fn run_with<S: Sink>(&mut self, sink: &mut S) {
        let mut cx = self.context();
        let Room {
            queue, steps, last, ..
        } = &mut *self.room;
        let mut who = self.pick.coroutine;
        let quantum = self.quantum as usize + usize::from(active(mutant::WAVE_QUANTUM_LONG));
        loop {
            let left = (quantum - steps.len()) as u64;
            let (step, taken) = schedule::go(queue, &mut cx, self.session, who, left, sink);
            steps.extend(iter::repeat_n(who, taken as usize));
            cx.step = steps.len() as u64;
            *last = Some(step);
            let asks = matches!(step, Step::Effect(_)) && !active(mutant::WAVE_ASKS_ON);
            let ended = self.session.phase != Phase::Active;
            if asks || ended || steps.len() >= quantum {
                return;
            }
            match queue.head() {
                Some(next) => who = next.coroutine,
                None => return,
            }
        }
    }

    /// What the session asks the world, once it has run.
    pub fn request(&self) -> Option<EffectRequest<'_>> {
        let Some(Step::Effect(effect)) = self.room.last else {
            return None;
        };
        self.session.request(self.image(), effect.number)
    }

    /// Keeps what the handler said to the request.
    pub fn answer(&mut self, reply: Reply) {
        self.room.answer = Some(Answer::Said(reply));
    }

    /// Takes in what the handler said to the request, where the session is at hand, so that it need not be fetched from
    /// another core for it: for who then has [`ProtocolMachineKernel::settle_resumed`] do the kernel's part, in the order of
    /// the picks, and has nobody to tell of it.
    #[cfg_attr(not(feature = "threads"), expect(dead_code, reason = "threads do"))]
    pub(crate) fn take_in(&mut self, mut reply: Reply) {
        // Until the kernel has done its part, the queue lacks a coroutine.
        let at_once = !cfg!(feature = "invariants");
        let cx = self.context();
        self.room.answer = match (&self.room.last, &mut reply) {
            (Some(Step::Effect(effect)), Reply::Now(outcome)) if at_once => {
                let resumed = step::resume(&cx, self.session, effect.number, outcome, &mut NoSink);
                resumed.ok().map(Answer::TakenIn)
            }
            _ => Some(Answer::Said(reply)),
        };
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
