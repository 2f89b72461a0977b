//! Connects to the guest.

use std::process::Command;
use std::time::Duration;

use antiphon_guest::link::GuestLink;
use antiphon_guest::transport::Transport;

use crate::args::{AgentAddress, GuestArgs, Silence};
use crate::problem::{Problem, SystemError};

/// How long the guest may take to answer the handshake. An emulated machine that has just booted
/// needs a few seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the guest may take to answer a ping after its work was cancelled.
pub(crate) const ALIVE_WITHIN: Duration = Duration::from_millis(1_500);

/// Connects to the agent and does the handshake. `stdio` starts an agent first.
pub(crate) fn open(guest: &GuestArgs) -> Result<GuestLink, Problem> {
    let transport = match &guest.agent {
        AgentAddress::Stdio => Transport::spawn(own_agent()?)?,
        AgentAddress::Unix(path) => Transport::unix(path)?,
        AgentAddress::Serial(path) => Transport::serial(path)?,
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

/// Returns the command that runs this program as the agent. The agent starts a session of its own,
/// so a Ctrl-C at the terminal reaches only the host, which then ends the agent's commands in
/// order. For that the child must not be a process group leader.
fn own_agent() -> Result<Command, Problem> {
    let program = std::env::current_exe().map_err(SystemError::NoProgram)?;
    let mut command = Command::new(program);
    command.args(["agent", "--stdio"]);
    Ok(command)
}

/// The notes about the guest in a recording's header.
pub(crate) fn notes(guest: &GuestArgs) -> Vec<(String, String)> {
    let agent = match &guest.agent {
        AgentAddress::Stdio => "stdio".to_owned(),
        AgentAddress::Unix(path) => format!("unix:{}", path.display()),
        AgentAddress::Serial(path) => format!("serial:{}", path.display()),
    };
    let mut notes = vec![("agent".to_owned(), agent)];
    let silence = guest.silence.map(|silence| match silence {
        Silence::Off => "off".to_owned(),
        Silence::After(time) => format!("{} ms", time.milliseconds),
    });
    notes.extend(silence.map(|silence| ("silence".to_owned(), silence)));
    notes
}
