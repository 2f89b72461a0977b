//! How signals to this process reach the command, and how a command that does not end by itself is
//! stopped.
//!
//! The first signal that asks for an end is forwarded as `signal`. The second one, or
//! [`Job::kill_after`](super::Job::kill_after), cancels the command. Both need a choice of the
//! protocol, which the session may not reach because the guest takes no input or is silent. So
//! every stage has a time limit, after which the session itself is cancelled. The third signal ends
//! this process at once.

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use antiphon_machine::{EffectId, Ingress, VerifiedImage};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

use crate::guest::ALIVE_WITHIN;

use super::messages::{CANCEL, SIGNAL};
// This file and its parent import each other: both are methods of `Host` and `State`. An answer may
// have to be `cancel`, and a signal may make an answer possible.
use super::{Choices, Host, OWNER, State};

/// The signals that are forwarded to the command.
pub(crate) const FORWARDED: [i32; 7] =
    [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH];

/// Whether a signal is only forwarded and does not ask for an end.
fn is_forwarded_only(signal: i32) -> bool {
    [SIGUSR1, SIGUSR2, SIGWINCH].contains(&signal)
}

/// How often the time limits are checked.
const TICK: Duration = Duration::from_millis(50);

/// How long the session may take to reach a choice at which a signal or a cancel can be sent. Then
/// the session is cancelled.
const CHOICE_WITHIN: Duration = Duration::from_secs(1);

/// How long a cancelled command may take to end. The link has a limit of its own; this one also
/// holds for a guest that keeps sending.
const ENDED_WITHIN: Duration = Duration::from_secs(8);

/// The most signals that may wait to be forwarded: one of each.
const SIGNALS_MAX: usize = FORWARDED.len();

/// The stage of ending a command.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    /// The first signal that asked for an end, and when it arrived.
    first_signal: Option<(i32, Instant)>,
    /// The signal after which the command was cancelled.
    cancelled_for: Option<i32>,
    /// When the command was first cancelled.
    cancelling: Option<Instant>,
    /// Whether `cancel` was sent.
    cancel_sent: bool,
    /// Whether the session was cancelled.
    session_cancelled: bool,
    /// Whether the command is being ended because its recording failed.
    unrecorded: bool,
    /// Whether a thread enforces the time limits.
    is_watched: bool,
    session_has_ended: bool,
    output_has_ended: bool,
}

impl Stopping {
    /// Whether this side has asked the command to end.
    pub(super) fn is_ending(&self) -> bool {
        self.first_signal.is_some() || self.cancelling.is_some()
    }

    /// Whether `cancel` must be sent now. Returns `true` once.
    pub(super) fn takes_cancel(&mut self) -> bool {
        let takes = self.cancelling.is_some() && !self.cancel_sent;
        self.cancel_sent |= takes;
        takes
    }

    /// Whether the command is being ended because its recording failed.
    pub(super) fn is_unrecorded(&self) -> bool {
        self.unrecorded
    }

    pub(super) fn session_ended(&mut self) {
        self.session_has_ended = true;
    }

    pub(super) fn output_ended(&mut self) {
        self.output_has_ended = true;
    }
}

impl Host {
    /// Handles a signal to this process. Returns `false` when the process should exit at once.
    pub(crate) fn signal(&self, signal: i32) -> bool {
        let mut state = self.state();
        if state.session.is_none() || state.stopping.output_has_ended {
            return is_forwarded_only(signal);
        }
        let is_new = !state.signals.contains(&signal) && state.signals.len() < SIGNALS_MAX;
        if is_forwarded_only(signal) && forwards(&state.image) {
            if is_new {
                state.signals.push_back(signal);
                state.answer();
            }
            return true;
        }
        match (state.stopping.first_signal, state.stopping.cancelled_for) {
            (None, _) => {
                state.stopping.first_signal = Some((signal, Instant::now()));
                if !forwards(&state.image) {
                    state.stopping.cancelled_for = Some(signal);
                    state.cancel();
                } else if is_new {
                    state.signals.push_back(signal);
                }
                state.probe();
                state.answer();
            }
            (Some(_), None) => {
                state.stopping.cancelled_for = Some(signal);
                state.cancel();
                state.answer();
            }
            (Some(_), Some(_)) => return false,
        }
        drop(state);
        self.watch();
        true
    }

    /// Ends the command because its recording failed.
    pub(crate) fn end_unrecorded(&self) {
        let mut state = self.state();
        state.stopping.unrecorded = true;
        state.cancel();
        state.answer();
        drop(state);
        self.watch();
    }

    /// The signal after which the command was cancelled.
    pub(crate) fn cancelled_for(&self) -> Option<i32> {
        self.state().stopping.cancelled_for
    }

    /// Whether this side has asked the command to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.state().stopping.is_ending()
    }

    /// The first signal that asked for an end.
    pub(crate) fn end_signal(&self) -> Option<i32> {
        self.state().stopping.first_signal.map(|(signal, _)| signal)
    }

    /// Starts enforcing the time limits.
    fn watch(&self) {
        if std::mem::replace(&mut self.state().stopping.is_watched, true) {
            return;
        }
        let host = self.clone();
        let watching = move || {
            while host.state().enforce_limits(Instant::now()).is_continue() {
                thread::sleep(TICK);
            }
        };
        let started = thread::Builder::new()
            .name("stopping".to_owned())
            .spawn(watching);
        if started.is_err() {
            // Without the thread no limit is enforced, so the session is cancelled now.
            self.state().cancel_session();
        }
    }
}

impl State {
    /// Cancels the command: by `cancel` where the protocol has that label, otherwise by cancelling
    /// the session.
    pub(super) fn cancel(&mut self) {
        if self.session.is_none() || self.has_ended() {
            return;
        }
        let stopping = &mut self.stopping;
        stopping.cancelling.get_or_insert_with(Instant::now);
        self.probe();
        // Without an outstanding choice, the session may still reach one that has `cancel`. If the
        // outstanding choices have no `cancel`, or the protocol has none, the session is cancelled.
        let can_answer = |(_, choices): &(EffectId, Choices)| choices.cancel.is_some();
        let chooses_otherwise = !self.choosing.is_empty() && !self.choosing.iter().any(can_answer);
        if chooses_otherwise || !has_label(&self.image, CANCEL) {
            self.cancel_session();
        }
    }

    /// Cancels the session as its owner.
    fn cancel_session(&mut self) {
        let first = !std::mem::replace(&mut self.stopping.session_cancelled, true);
        if let (true, Some(session)) = (first, self.session) {
            let owner = OWNER.into();
            self.send(Ingress::Cancel { session, owner });
        }
    }

    /// Pings the guest, so that a silent one is reported as lost.
    fn probe(&self) {
        if let Some(remote) = &self.remote {
            let _ = remote.probe(ALIVE_WITHIN);
        }
    }

    /// Enforces the time limits that have passed. Breaks once all output has ended.
    fn enforce_limits(&mut self, now: Instant) -> ControlFlow<()> {
        if self.stopping.output_has_ended {
            return ControlFlow::Break(());
        }
        if self.stopping.session_has_ended {
            return ControlFlow::Continue(());
        }
        self.give_up_stalled(now);
        let kill_after = self.job.kill_after;
        if let (Some((signal, at)), None) = (self.stopping.first_signal, self.stopping.cancelling) {
            let is_unsent = self.signals.contains(&signal) && now >= at + CHOICE_WITHIN;
            let mut choosing = self.choosing.iter();
            let can_answer = self.choosing.is_empty() || choosing.any(|(_, c)| c.signal.is_some());
            if now >= at + kill_after || is_unsent || !can_answer {
                self.stopping.cancelled_for.get_or_insert(signal);
                self.cancel();
            }
        }
        let since = self
            .stopping
            .cancelling
            .map(|at| now.saturating_duration_since(at));
        let patience = if self.stopping.cancel_sent {
            ENDED_WITHIN
        } else {
            CHOICE_WITHIN
        };
        if since.is_some_and(|since| since >= patience) {
            self.cancel_session();
        }
        self.answer();
        ControlFlow::Continue(())
    }
}

/// Whether a protocol can forward signals.
pub(crate) fn forwards(image: &VerifiedImage) -> bool {
    has_label(image, SIGNAL)
}

fn has_label(image: &VerifiedImage, wanted: &str) -> bool {
    image.image().labels.iter().any(|label| label == wanted)
}
