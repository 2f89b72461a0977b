//! Signals that end a run in good order the first time, and at once the second time.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use antiphon_machine::{Ingress, SessionId};
use crossbeam_channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Has `first` called at the first signal; when it says no, or at the second one, the process ends.
pub(crate) fn on_signal(first: impl Fn(i32) -> bool + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let watch = move || {
        for (count, signal) in signals.forever().enumerate() {
            if count > 0 || !first(signal) {
                std::process::exit(128 + signal);
            }
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map(|_| ())
}

/// Calls off the session under way when a signal comes.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    state: Arc<Mutex<State>>,
    remote: Sender<Ingress>,
    owner: &'static str,
}

#[derive(Debug, Default)]
struct State {
    session: Option<SessionId>,
    signal: Option<i32>,
}

impl Interrupt {
    pub(crate) fn watch(remote: Sender<Ingress>, owner: &'static str) -> io::Result<Interrupt> {
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
            session.is_some_and(|session| watched.call_off(session))
        })?;
        Ok(interrupt)
    }

    /// Says which session is under way. It is called off at once if a signal has come before.
    pub(crate) fn watch_over(&self, session: SessionId) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.session = Some(session);
        if state.signal.is_some() {
            self.call_off(session);
        }
    }

    /// The signal that came, if one has.
    pub(crate) fn signal(&self) -> Option<u8> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.signal.and_then(|signal| u8::try_from(signal).ok())
    }

    fn call_off(&self, session: SessionId) -> bool {
        self.remote
            .send(Ingress::Cancel {
                session,
                owner: self.owner.into(),
            })
            .is_ok()
    }
}
