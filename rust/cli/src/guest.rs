//! Reaching the guest.

use std::process::Command;
use std::time::Duration;

use antiphon_guest::link::GuestLink;
use antiphon_guest::transport::Transport;

use crate::args::{AgentPlace, GuestArgs, Silence};
use crate::problem::{Problem, SystemError};

/// How long the guest may take to answer the handshake. A machine under emulation that has just booted takes some
/// seconds; what takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the guest may take to show that it lives once what it does was called off.
pub(crate) const ALIVE_WITHIN: Duration = Duration::from_millis(1_500);

/// Shakes hands with the agent at that place, starting it if that is what the place says.
pub(crate) fn open(guest: &GuestArgs) -> Result<GuestLink, Problem> {
    let transport = match &guest.agent {
        AgentPlace::Stdio => Transport::spawn(own_agent()?)?,
        AgentPlace::Unix(path) => Transport::unix(path)?,
        AgentPlace::Serial(path) => Transport::serial(path)?,
    };
    let mut link = GuestLink::open(transport, Default::default(), PATIENCE)?;
    match guest.silence {
        None => {}
        Some(Silence::Off) => link.set_silence(None),
        Some(Silence::After(time)) => {
            link.set_silence(Some(Duration::from_millis(time.milliseconds)));
        }
    }
    Ok(link)
}

/// This program as the agent. It begins a session of its own, so a Ctrl-C at the terminal is for the host, which then
/// ends what the agent runs in good order. It must not lead a process group for that.
fn own_agent() -> Result<Command, Problem> {
    let program = std::env::current_exe().map_err(SystemError::NoProgram)?;
    let mut command = Command::new(program);
    command.args(["agent", "--stdio"]);
    Ok(command)
}

/// What a recording should say of the guest.
pub(crate) fn notes(guest: &GuestArgs) -> Vec<(String, String)> {
    let agent = match &guest.agent {
        AgentPlace::Stdio => "stdio".to_owned(),
        AgentPlace::Unix(path) => format!("unix:{}", path.display()),
        AgentPlace::Serial(path) => format!("serial:{}", path.display()),
    };
    let mut notes = vec![("agent".to_owned(), agent)];
    let silence = guest.silence.map(|silence| match silence {
        Silence::Off => "off".to_owned(),
        Silence::After(time) => format!("{} ms", time.milliseconds),
    });
    notes.extend(silence.map(|silence| ("silence".to_owned(), silence)));
    notes
}
