//! Reaching the guest.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use antiphon_guest::link::GuestLink;
use antiphon_guest::transport::Transport;

use crate::args::AgentPlace;
use crate::problem::Problem;

/// How long the guest may take to answer the handshake. A machine under emulation that has just booted takes some
/// seconds; what takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(20);

/// Shakes hands with the agent at that place, starting it if that is what the place says.
pub(crate) fn open(place: &AgentPlace) -> Result<GuestLink, Problem> {
    let transport = match place {
        AgentPlace::Stdio => Transport::spawn(own_agent()?)?,
        AgentPlace::Unix(path) => Transport::unix(path)?,
        AgentPlace::Serial(path) => Transport::serial(path)?,
    };
    Ok(GuestLink::open(transport, Default::default(), PATIENCE)?)
}

/// This program as the agent, in a process group of its own: a Ctrl-C at the terminal is for the host, which then ends
/// what the agent runs in good order.
fn own_agent() -> Result<Command, Problem> {
    let program = std::env::current_exe().map_err(Problem::NoProgram)?;
    let mut command = Command::new(program);
    command.args(["agent", "--stdio"]).process_group(0);
    Ok(command)
}

/// The place as it was given.
pub(crate) fn text(place: &AgentPlace) -> String {
    match place {
        AgentPlace::Stdio => "stdio".to_owned(),
        AgentPlace::Unix(path) => format!("unix:{}", path.display()),
        AgentPlace::Serial(path) => format!("serial:{}", path.display()),
    }
}
