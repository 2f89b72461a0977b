//! `antiphon agent`: what the program `antiphon-agent` does.

use antiphon_guest::agent::{self, AgentOptions, Place};

use crate::args::Agent;
use crate::exit::Exit;
use crate::problem::Problem;

pub(crate) fn run(args: &Agent) -> Result<Exit, Problem> {
    let place = match (&args.unix, &args.serial) {
        (Some(path), _) => Place::Unix(path.clone()),
        (None, Some(path)) => Place::Serial(path.clone()),
        (None, None) => Place::Stdio,
    };
    let mut options = AgentOptions::default();
    if let Some(hosts) = args.hosts_max {
        options.hosts_max = hosts;
    }
    agent::run(&place, options)?;
    Ok(Exit::Done)
}
