//! The agent as the whole of a process: its signals, its session, its orphans.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{AgentError, AgentOptions, Place, serve};
use crate::signals;

/// Serves hosts at that place until a signal ends the process.
///
/// This is [`serve`] for a program that is an agent and nothing else. On Linux the process becomes
/// a subreaper: it adopts the orphans of its commands, so that it can end them and reap them.
///
/// - `SIGTERM`, and on a socket or a line `SIGHUP`, `SIGINT` and `SIGQUIT`, end it in good order:
///   hosts get `shutting_down`, commands are ended, a socket is removed. A second signal ends the
///   process at once. Signals that the process was started to ignore stay ignored.
/// - On standard input and output the agent ends with its host. It leaves the session of its
///   terminal, so that neither it nor its commands have one, and ignores `SIGHUP`, `SIGINT` and
///   `SIGQUIT`.
///
/// # Errors
/// When the place cannot be used, or the process is out of resources.
pub fn run(place: &Place, mut options: AgentOptions) -> Result<(), AgentError> {
    options.reap_orphans |= adopt_orphans();
    let ending = match place {
        Place::Stdio => {
            leave_terminal();
            for signal in [SIGHUP, SIGINT, SIGQUIT] {
                // A handler that does nothing, for a command would inherit an ignored signal.
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
        // In the handler itself, so that nothing that the end waits for can hold it up.
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

/// Has the kernel hand this process the orphans of its commands. Says whether it does.
#[cfg(target_os = "linux")]
fn adopt_orphans() -> bool {
    let this = rustix::process::getpid();
    this.is_init() || rustix::process::set_child_subreaper(Some(this)).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> bool {
    std::process::id() == 1
}

/// Begins a session of its own. A process that leads a group cannot; it then stays where it is.
fn leave_terminal() {
    let _ = rustix::process::setsid();
}
