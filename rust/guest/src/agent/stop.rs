//! Stops an agent gracefully from another thread.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Stops an agent that serves in another thread, for instance when a signal arrives.
///
/// Clones stop the same agent. After [`stop`](Self::stop) every host gets an `error` with the code
/// `shutting_down`, the commands are killed, the socket is removed, and [`serve`](super::serve)
/// returns.
///
/// ```
/// use antiphon_guest::agent::{AgentOptions, Place, serve};
///
/// let place = Place::Unix(std::env::temp_dir().join(format!("stop-{}", std::process::id())));
/// let options = AgentOptions::default();
/// let stop = options.stop.clone();
/// let agent = std::thread::spawn(move || serve(&place, &options));
/// stop.stop();
/// agent.join().expect("the agent does not panic")?;
/// # Ok::<(), antiphon_guest::agent::AgentError>(())
/// ```
#[derive(Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stopped: bool,
    next: u64,
    /// The registered calls, by number.
    calls: BTreeMap<u64, Box<dyn Fn() + Send>>,
}

/// Unregisters a call on drop.
pub(super) struct Registered {
    stop: Stop,
    number: u64,
}

impl Stop {
    /// Stops the agent. Returns at once.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.calls.values().for_each(|call| call());
    }

    /// Whether [`stop`](Self::stop) was called.
    pub fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Registers a call for when the agent is stopped, which is made at once if it was stopped
    /// before. `call` must not block.
    pub(super) fn on_stop(&self, call: impl Fn() + Send + 'static) -> Registered {
        let mut state = self.state();
        if state.stopped {
            call();
        }
        let number = state.next;
        state.next += 1;
        state.calls.insert(number, Box::new(call));
        Registered {
            stop: self.clone(),
            number,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let call = self.stop.state().calls.remove(&self.number);
        // Dropped without the lock, because the closure may own another registration.
        drop(call);
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stopped = self.is_stopped();
        f.debug_struct("Stop").field("stopped", &stopped).finish()
    }
}

/// Two values are equal if they stop the same agent.
impl PartialEq for Stop {
    fn eq(&self, other: &Stop) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Stop {}
