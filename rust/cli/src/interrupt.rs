//! Signal handling: signals that end a command cleanly the first time and at once the second time,
//! and signals that `exec` forwards.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use antiphon_guest::driver::Remote;
use antiphon_machine::{Ingress, SessionId};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

/// The signals that ask a program to end.
const ENDING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// Calls `first` at the first signal that asks for an end. The process exits if it returns `false`,
/// and at the second signal.
pub(crate) fn on_signal(first: impl Fn(i32) -> bool + Send + 'static) -> io::Result<()> {
    let count = AtomicUsize::new(0);
    on_signals(ENDING, move |signal| {
        count.fetch_add(1, Ordering::Relaxed) == 0 && first(signal)
    })
}

/// Calls `handle` at each of these signals. The process exits if it returns `false`. A signal that
/// was ignored when this process started stays ignored.
pub(crate) fn on_signals(
    signals: impl IntoIterator<Item = i32>,
    handle: impl Fn(i32) -> bool + Send + 'static,
) -> io::Result<()> {
    let ignored = antiphon_guest::signals::ignored();
    let signals = signals
        .into_iter()
        .filter(|signal| !ignored.contains(signal));
    let mut signals = Signals::new(signals)?;
    let watch = move || {
        for signal in signals.forever() {
            if !handle(signal) {
                std::process::exit(128 + signal);
            }
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map(|_| ())
}

/// Cancels the current session when a signal arrives.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    state: Arc<Mutex<State>>,
    remote: Remote,
    owner: &'static str,
}

#[derive(Debug, Default)]
struct State {
    session: Option<SessionId>,
    signal: Option<i32>,
}

impl Interrupt {
    pub(crate) fn watch(remote: Remote, owner: &'static str) -> io::Result<Interrupt> {
        let interrupt = Interrupt {
            state: Arc::default(),
            remote,
            owner,
        };
        let watched = interrupt.clone();
        on_signal(move |signal| {
            let mut state = watched.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.signal = Some(signal);
            let session = state.session;
            session.is_some_and(|session| watched.cancel(session))
        })?;
        Ok(interrupt)
    }

    /// Sets the current session. It is cancelled at once if a signal has already arrived.
    pub(crate) fn set_session(&self, session: SessionId) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.session = Some(session);
        if state.signal.is_some() {
            self.cancel(session);
        }
    }

    /// The signal that arrived, if one has.
    pub(crate) fn signal(&self) -> Option<u8> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.signal.and_then(|signal| u8::try_from(signal).ok())
    }

    fn cancel(&self, session: SessionId) -> bool {
        self.remote
            .send(Ingress::Cancel {
                session,
                owner: self.owner.into(),
            })
            .is_ok()
    }
}
