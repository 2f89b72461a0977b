//! Arguments that several commands share. The doc comments are the help text.

use std::path::PathBuf;
use std::str::FromStr;

use antiphon_machine::threaded::WORKERS_MAX;
use clap::builder::RangedI64ValueParser;
use clap::{Args, ValueEnum};

/// The output options of every command.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct StyleArgs {
    /// Print JSON on standard output, one document per line
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    pub(crate) color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How to reach the guest.
#[derive(Clone, Debug, Args)]
pub(crate) struct GuestArgs {
    /// The agent: `stdio` starts one here, `unix:PATH` and `serial:PATH` connect to one
    #[arg(long, value_name = "AGENT", default_value = "stdio")]
    pub(crate) agent: AgentAddress,
    /// Report the guest as lost if it does not answer a ping within SECONDS; `off` disables this
    /// [default: 60, on a serial line 15]
    #[arg(long, value_name = "SECONDS|off")]
    pub(crate) silence: Option<Silence>,
}

/// Where to write a recording, if anywhere.
#[derive(Clone, Debug, Args)]
pub(crate) struct RecordArgs {
    /// Record the session in this new file
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Replace an existing recording
    #[arg(long, requires = "record")]
    pub(crate) overwrite: bool,
    /// Stop the command if the recording cannot be written any more
    #[arg(long, requires = "record")]
    pub(crate) record_required: bool,
}

/// How to reach an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentAddress {
    /// This program, started as a child.
    Stdio,
    /// A Unix socket: the agent's own, or a port of a virtual machine.
    Unix(PathBuf),
    /// A character device.
    Serial(PathBuf),
}

/// A path on this machine or in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FilePlace {
    /// On this machine.
    Here(PathBuf),
    /// In the guest.
    Guest(String),
}

/// A duration given in seconds on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds {
    pub(crate) milliseconds: u64,
}

/// How long a guest may be silent before it counts as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Without limit.
    Off,
    /// At most this long.
    After(Seconds),
}

/// Why an argument is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error("expected `stdio`, `unix:PATH` or `serial:PATH`")]
    Agent,
    #[error("a path must follow `{0}`")]
    NoPath(&'static str),
    #[error("expected a number of seconds from 0.001 to {max}, such as `2.5`")]
    Seconds { max: u64 },
    #[error("expected NAME=VALUE with a name that is not empty")]
    Variable,
    #[error("expected ROLE=N with N from 0 to 255")]
    Priority,
}

impl FromStr for AgentAddress {
    type Err = ArgumentError;

    fn from_str(word: &str) -> Result<Self, ArgumentError> {
        let path = |prefix: &'static str| match word.strip_prefix(prefix) {
            Some("") => Some(Err(ArgumentError::NoPath(prefix))),
            Some(path) => Some(Ok(PathBuf::from(path))),
            None => None,
        };
        match (word, path("unix:"), path("serial:")) {
            ("stdio", ..) => Ok(AgentAddress::Stdio),
            (_, Some(path), _) => path.map(AgentAddress::Unix),
            (_, _, Some(path)) => path.map(AgentAddress::Serial),
            (_, None, None) => Err(ArgumentError::Agent),
        }
    }
}

impl FromStr for FilePlace {
    type Err = ArgumentError;

    fn from_str(word: &str) -> Result<Self, ArgumentError> {
        match word.strip_prefix("guest:") {
            Some("") => Err(ArgumentError::NoPath("guest:")),
            Some(path) => Ok(FilePlace::Guest(path.to_owned())),
            None => Ok(FilePlace::Here(PathBuf::from(word))),
        }
    }
}

impl Seconds {
    /// About 49 days: the guest link counts milliseconds in 32 bits.
    const MAX: u64 = u32::MAX as u64 / 1000;
}

impl FromStr for Silence {
    type Err = ArgumentError;

    fn from_str(word: &str) -> Result<Self, ArgumentError> {
        match word {
            "off" => Ok(Silence::Off),
            word => Ok(Silence::After(word.parse()?)),
        }
    }
}

impl FromStr for Seconds {
    type Err = ArgumentError;

    fn from_str(word: &str) -> Result<Self, ArgumentError> {
        let outside = ArgumentError::Seconds { max: Seconds::MAX };
        let seconds: f64 = word
            .parse()
            .map_err(|_| ArgumentError::Seconds { max: Seconds::MAX })?;
        if !(0.001..=Seconds::MAX as f64).contains(&seconds) {
            return Err(outside);
        }
        Ok(Seconds {
            milliseconds: (seconds * 1000.0).round() as u64,
        })
    }
}

/// Parses a number of threads, from 1 to the most that the driver can start.
pub(crate) fn workers() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=WORKERS_MAX as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_agent_addresses() {
        let parse = |word: &str| word.parse::<AgentAddress>();
        assert_eq!(parse("stdio"), Ok(AgentAddress::Stdio));
        assert_eq!(
            parse("unix:/a:b"),
            Ok(AgentAddress::Unix(PathBuf::from("/a:b")))
        );
        assert_eq!(
            parse("serial:/dev/x"),
            Ok(AgentAddress::Serial(PathBuf::from("/dev/x")))
        );
        assert_eq!(parse("unix:"), Err(ArgumentError::NoPath("unix:")));
        assert_eq!(parse("tcp:1.2.3.4"), Err(ArgumentError::Agent));
    }

    #[test]
    fn seconds_are_positive_and_bounded() {
        let parse = |word: &str| word.parse::<Seconds>().map(|s| s.milliseconds).ok();
        assert_eq!(parse("2.5"), Some(2500));
        assert_eq!(parse("0.001"), Some(1));
        for wrong in ["0", "-1", "NaN", "inf", "1e300", "", "1s"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
