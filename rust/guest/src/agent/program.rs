//! The agent as a process of its own: its signals, its session, its orphans.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{AgentError, AgentOptions, Place, serve};
use crate::signals;

/// Serves hosts until a signal ends the process.
///
/// This is [`serve`] for a program that is only an agent. On Linux the process becomes a subreaper:
/// it adopts the orphans of its commands, so that it can kill and reap them.
///
/// - `SIGTERM`, and on a socket or a line also `SIGHUP`, `SIGINT` and `SIGQUIT`, end it gracefully:
///   hosts get `shutting_down`, commands are killed, a socket is removed. A second signal ends the
///   process at once. Signals that the process was started to ignore stay ignored.
/// - On standard input and output the agent ends with its host. It leaves the session of its
///   terminal, so that neither it nor its commands have one, and ignores `SIGHUP`, `SIGINT` and
///   `SIGQUIT`.
///
/// # Errors
/// If the place cannot be used, or the process is out of resources.
pub fn run(place: &Place, mut options: AgentOptions) -> Result<(), AgentError> {
    options.reap_orphans |= adopt_orphans();
    let ending = match place {
        Place::Stdio => {
            leave_terminal();
            for signal in [SIGHUP, SIGINT, SIGQUIT] {
                // A handler that does nothing. Commands would inherit an ignored signal.
                let _ = signal_hook::flag::register(signal, Arc::default());
            }
            vec![SIGTERM]
        }
        Place::Unix(_) | Place::Serial(_) | Place::PortName(_) => {
            vec![SIGTERM, SIGHUP, SIGINT, SIGQUIT]
        }
    };
    let ignored = signals::ignored();
    let ending = ending
        .into_iter()
        .filter(|signal| !ignored.contains(signal));
    let is_second = Arc::new(AtomicBool::new(false));
    for signal in ending.clone() {
        // In the signal handler itself, so that a slow shutdown cannot delay it.
        let code = 128 + signal;
        signal_hook::flag::register_conditional_shutdown(signal, code, is_second.clone())?;
        signal_hook::flag::register(signal, is_second.clone())?;
    }
    let mut signals = Signals::new(ending)?;
    let stop = options.stop.clone();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                stop.stop();
            }
        })?;
    serve(place, &options)
}

/// Makes the kernel hand the orphans of commands to this process. Returns whether it does.
#[cfg(target_os = "linux")]
fn adopt_orphans() -> bool {
    let this = rustix::process::getpid();
    this.is_init() || rustix::process::set_child_subreaper(Some(this)).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> bool {
    std::process::id() == 1
}

/// Starts a new session without a terminal. Fails for the leader of a process group, which then
/// keeps its session.
fn leave_terminal() {
    let _ = rustix::process::setsid();
}
