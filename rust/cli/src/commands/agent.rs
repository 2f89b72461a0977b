//! `antiphon agent`: the program `antiphon-agent` as a command.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use antiphon_guest::agent::{self, AgentOptions, Place};
use clap::Args;

use crate::exit::Exit;
use crate::problem::Problem;

/// Run as the agent: carry out a host's requests
///
/// The same as the program `antiphon-agent`. Serves hosts until SIGTERM, then ends its commands,
/// removes its socket and exits. With `--stdio` it serves one host and exits with it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon agent --unix /run/guest.sock
  antiphon agent --serial /dev/vport0p1")]
pub(crate) struct Agent {
    /// Serve one host on standard input and output (the default)
    #[arg(long, conflicts_with_all = ["unix", "serial"])]
    stdio: bool,
    /// Listen on a Unix socket
    #[arg(long, value_name = "PATH", conflicts_with = "serial")]
    unix: Option<PathBuf>,
    /// Serve the host on a virtio-serial port or another character device
    #[arg(long, value_name = "PATH")]
    serial: Option<PathBuf>,
    /// The most hosts that the socket serves at once; more are refused as `busy` [default: 16]
    #[arg(long, value_name = "N", requires = "unix")]
    hosts_max: Option<NonZeroUsize>,
}

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
