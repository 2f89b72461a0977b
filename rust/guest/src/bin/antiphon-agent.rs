//! The agent as a program.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use antiphon_guest::agent::{AgentOptions, Place, run};
use signal_hook::consts::SIGXFSZ;

const USAGE: &str = "\
usage: antiphon-agent (--stdio | --unix PATH | --serial PATH | --port-name NAME)
                      [--requests N] [--hosts-max N]

Serves a host on standard input and output, a Unix socket, a serial line, or the
virtio-serial port of that name. SIGTERM ends the agent and its commands.

  --requests N    requests that a host may have open at once (default 64)
  --hosts-max N   hosts that a socket takes at once (default 16)
";

fn main() -> ExitCode {
    // With a handler, a write beyond the limit of a file's size fails and is reported to the host.
    // The default action would end the agent. Commands get the default action again. Without a
    // handler only this case is worse.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    match parse(std::env::args_os().skip(1)) {
        Ok(Some((place, options))) => match run(&place, options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string(), 1),
        },
        Ok(None) => {
            let _ = std::io::stdout().write_all(USAGE.as_bytes());
            ExitCode::SUCCESS
        }
        Err(reason) => fail(&format!("{reason}\n\n{USAGE}"), 2),
    }
}

fn parse(
    mut args: impl Iterator<Item = OsString>,
) -> Result<Option<(Place, AgentOptions)>, String> {
    let (mut place, mut options) = (None, AgentOptions::default());
    while let Some(arg) = args.next() {
        let name = arg.to_string_lossy().into_owned();
        let mut value = || args.next().ok_or_else(|| format!("`{name}` needs a value"));
        let named = match name.as_str() {
            "--stdio" => Place::Stdio,
            "--unix" => Place::Unix(PathBuf::from(value()?)),
            "--serial" => Place::Serial(PathBuf::from(value()?)),
            "--port-name" => Place::PortName(value()?.to_string_lossy().into_owned()),
            "--requests" => {
                options.requests_max = number(&name, &value()?)?;
                continue;
            }
            "--hosts-max" => {
                options.hosts_max = number(&name, &value()?)?;
                continue;
            }
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown argument `{name}`")),
        };
        if place.replace(named).is_some() {
            return Err(
                "only one of `--stdio`, `--unix`, `--serial` and `--port-name` can be given"
                    .to_owned(),
            );
        }
    }
    Ok(Some((
        place.ok_or("one of `--stdio`, `--unix`, `--serial` and `--port-name` must be given")?,
        options,
    )))
}

fn number<N: FromStr>(name: &str, value: &OsString) -> Result<N, String> {
    let number = value.to_str().and_then(|n| n.parse().ok());
    number.ok_or_else(|| format!("`{name}` needs a number from 1, got {value:?}"))
}

fn fail(reason: &str, code: u8) -> ExitCode {
    // If standard error is closed, only the exit code reports the failure.
    let _ = writeln!(std::io::stderr(), "antiphon-agent: {reason}");
    ExitCode::from(code)
}
