//! Steps the sessions of a run until it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use antiphon_machine::bounds::WAVE_STEPS_MAX;
use antiphon_machine::threaded::{Handlers, PerLane, QUANTUM, ThreadedProtocolMachine, WIDTH};
use antiphon_machine::{
    Ingress, KernelMachine, Phase, ProtocolMachineKernel, Rest, Round, SessionId, Turn,
    VerifiedImage, Wait,
};
use antiphon_record::rows::RowSink;

use crate::interrupt::on_signal;
use crate::problem::{Problem, SystemError, UsageError};
use crate::recording::Recording;
use crate::row_printer::RowPrinter;

use super::args::Run;
use super::hosts::Hosts;

/// The owner of the sessions.
const OWNER: &str = "antiphon run";

/// The machine of a run. It has one lane for each session, so that each session has its own hosts.
pub(super) type Machine =
    ThreadedProtocolMachine<PerLane<Hosts>, (Option<Recording>, RowSink<RowPrinter>)>;

/// Opens the sessions and steps them until the run stops, then cancels those that are still active.
pub(super) fn drive_sessions(
    machine: &mut Machine,
    image: &Arc<VerifiedImage>,
    args: &Run,
    limits: &WaveLimits,
) -> Result<Stop, Problem> {
    for _ in 0..args.sessions {
        machine.load_choreography(image, OWNER)?;
    }
    let signal = watch(args.script.is_some())?;
    let stop = drive(machine, limits, args.steps_max, &signal);
    cancel_active(machine);
    Ok(stop)
}

/// How many sessions step in a wave, how often, and on how many threads.
pub(super) struct WaveLimits {
    pub(super) workers: usize,
    pub(super) width: u32,
    pub(super) quantum: u32,
}

impl WaveLimits {
    /// Without `--threads` a round is one step. A default is lowered to make room for the other,
    /// given value.
    pub(super) fn of(args: &Run) -> Result<WaveLimits, Problem> {
        let Some(threads) = args.threads else {
            return Ok(WaveLimits {
                workers: 1,
                width: 1,
                quantum: 1,
            });
        };
        let steps_max = WAVE_STEPS_MAX as u32;
        let (width, quantum) = match (args.width, args.quantum) {
            (None, None) => (WIDTH, QUANTUM),
            (Some(width), None) => (width, QUANTUM.min(steps_max / width)),
            (None, Some(quantum)) => (WIDTH.min(steps_max / quantum), quantum),
            (Some(width), Some(quantum)) => (width, quantum),
        };
        if u64::from(width) * u64::from(quantum) > WAVE_STEPS_MAX {
            return Err(UsageError::Wave { width, quantum }.into());
        }
        Ok(WaveLimits {
            workers: threads as usize,
            width,
            quantum,
        })
    }

    /// Returns the width of a round that takes at most `left` steps; 0 if `left` is 0.
    fn width(&self, left: u64) -> usize {
        let fitting = (left / u64::from(self.quantum)).max(left.min(1));
        fitting.min(u64::from(self.width)) as usize
    }
}

/// Watches for signals. The result holds the signal that arrived, or 0. While an answer is being
/// typed, a signal ends the process at once, because reading a line cannot be interrupted.
fn watch(scripted: bool) -> Result<Arc<AtomicI32>, Problem> {
    let signal = Arc::new(AtomicI32::new(0));
    let arrived = Arc::clone(&signal);
    let first = move |number| {
        arrived.store(number, Ordering::Relaxed);
        scripted
    };
    on_signal(first).map_err(SystemError::Threads)?;
    Ok(signal)
}

/// Why a run stopped.
pub(super) enum Stop {
    /// Every session has ended.
    Ended,
    /// The hosts of all sessions have ended.
    HostsEnded,
    /// These sessions wait for answers that never come, with no budget that ends the wait.
    Waiting(Vec<SessionId>),
    /// Every role of every session waits for another one.
    Deadlock(Vec<Wait>),
    /// The step limit was reached.
    StepsMax(u64),
    /// The output cannot be written any more.
    OutputFailed,
    /// A required recording failed.
    RecordingFailed,
    /// This signal arrived.
    Signal(i32),
}

/// Steps the sessions until the run stops. `signal` holds the signal that arrived, or 0.
fn drive(machine: &mut Machine, limits: &WaveLimits, steps_max: u64, signal: &AtomicI32) -> Stop {
    let mut ended = 0;
    loop {
        let left = steps_max.saturating_sub(machine.kernel().step_index());
        // A round of width 0 is refused: no step is left.
        let Ok(round) = machine.kernel_step_round(limits.width(left)) else {
            return Stop::StepsMax(steps_max);
        };
        match signal.load(Ordering::Relaxed) {
            0 => {}
            signal => return Stop::Signal(signal),
        }
        ended += cancel_ended(machine, &round);
        if ended == machine.kernel().sessions().len() {
            return Stop::HostsEnded;
        }
        let (recording, printer) = machine.sink();
        if recording.as_ref().is_some_and(Recording::must_stop) {
            return Stop::RecordingFailed;
        }
        if printer.observer().has_failed() {
            return Stop::OutputFailed;
        }
        match round {
            Round::Wave { .. } | Round::Turn(Turn::Stepped { .. }) => {}
            Round::Turn(Turn::Rest(Rest::Done)) => return Stop::Ended,
            Round::Turn(Turn::Rest(Rest::Stuck(waits))) => {
                return Stop::Deadlock(waits);
            }
            // An effect that was answered `later` stays outstanding until its budget has passed.
            Round::Turn(Turn::Rest(Rest::Idle)) => {
                let kernel = machine.kernel();
                let Some(deadline) = kernel.next_deadline() else {
                    return Stop::Waiting(active(kernel));
                };
                let ticks = deadline.saturating_sub(kernel.clock());
                if machine.ingress(Ingress::AdvanceClock { ticks }).is_err() {
                    return Stop::Waiting(active(machine.kernel()));
                }
            }
        }
    }
}

/// Cancels the sessions whose hosts have ended in this round; the others continue. Returns their
/// number.
fn cancel_ended(machine: &mut Machine, round: &Round) -> usize {
    let ended: Vec<SessionId> = match round {
        Round::Turn(Turn::Rest(_)) => Vec::new(),
        Round::Turn(Turn::Stepped { pick, .. }) => {
            let host = machine.handlers().lane(pick.session.index());
            host.has_ended()
                .then_some(pick.session)
                .into_iter()
                .collect()
        }
        Round::Wave { .. } => {
            let active = active(machine.kernel());
            let hosts = machine.handlers();
            let has_ended = |session: &SessionId| hosts.lane(session.index()).has_ended();
            active.into_iter().filter(has_ended).collect()
        }
    };
    for session in &ended {
        cancel(machine, *session);
    }
    ended.len()
}

/// Returns the sessions that have not ended.
fn active(kernel: &ProtocolMachineKernel) -> Vec<SessionId> {
    let sessions = kernel.sessions().iter();
    let active = sessions.filter(|session| session.phase() == Phase::Active);
    active.map(|session| session.id()).collect()
}

/// Cancels the sessions that have not ended.
fn cancel_active(machine: &mut Machine) {
    for session in active(machine.kernel()) {
        cancel(machine, session);
    }
}

fn cancel(machine: &mut Machine, session: SessionId) {
    // This fails only if the session has ended by itself.
    let _ = machine.ingress(Ingress::Cancel {
        session,
        owner: OWNER.into(),
    });
}
