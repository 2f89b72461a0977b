//! The arguments of `antiphon run`.

use std::path::PathBuf;
use std::str::FromStr;

use antiphon_machine::SchedulingPolicy;
use antiphon_machine::bounds::WAVE_STEPS_MAX;
use clap::Args;
use clap::builder::RangedI64ValueParser;

use crate::args::{ArgumentError, RecordArgs, workers};

/// Run a protocol here, with answers from a script or from you
///
/// A script answers every request to the hosts of the protocol's roles. Without a script you type
/// the answers. `docs/cli.md` describes the syntax of scripts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon run two_buyer.anti --script happy.script
  antiphon run two_buyer.anti --script happy.script --policy round-robin --record happy.rec
  antiphon run two_buyer.anti --script happy.script --sessions 100 --threads 4 --explain
  antiphon run two_buyer.anti")]
pub(crate) struct Run {
    /// The protocol file, or an image
    pub(super) file: PathBuf,
    /// The protocol, if the file has several
    #[arg(long, value_name = "NAME")]
    pub(super) protocol: Option<String>,
    /// Run the image only if this safety certificate proves that it is safe on this machine
    #[arg(long, value_name = "FILE")]
    pub(super) certificate: Option<PathBuf>,
    /// The script; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) script: Option<PathBuf>,
    /// The policy that chooses the role that steps next
    #[arg(long, default_value = "cooperative", value_parser = policy_parser())]
    pub(super) policy: SchedulingPolicy,
    /// The priority of a role, 0 to 255, with `--policy priority`; may be repeated
    #[arg(long = "priority", value_name = "ROLE=N")]
    pub(super) priorities: Vec<Priority>,
    #[command(flatten)]
    pub(super) recording: RecordArgs,
    /// Print every event, not only messages, calls and failures
    #[arg(long)]
    pub(super) all: bool,
    /// Stop the run after N steps
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    pub(super) steps_max: u64,
    /// Open K sessions, 1 to 65536, each with its own copy of the script
    #[arg(
        long,
        value_name = "K",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(SESSIONS_MAX)),
        help_heading = THREADS
    )]
    pub(super) sessions: u32,
    /// Run the sessions in waves on N threads, 1 to 1024
    #[arg(long, value_name = "N", value_parser = workers(), help_heading = THREADS)]
    pub(super) threads: Option<u32>,
    /// Step at most W sessions in a wave [default: 4096]
    #[arg(
        long,
        value_name = "W",
        requires = "threads",
        value_parser = in_wave(),
        help_heading = THREADS
    )]
    pub(super) width: Option<u32>,
    /// Step each session at most Q times in a wave [default: 256]
    #[arg(
        long,
        value_name = "Q",
        requires = "threads",
        value_parser = in_wave(),
        help_heading = THREADS
    )]
    pub(super) quantum: Option<u32>,
    /// Print statistics of the waves at the end, and what kept them from being wider
    #[arg(long, requires = "threads", help_heading = THREADS)]
    pub(super) explain: bool,
}

/// The most sessions of a run: the output of more would be unreadable.
const SESSIONS_MAX: u32 = 1 << 16;

const THREADS: &str = "Sessions and threads";

/// The priority of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Priority {
    pub(super) role: String,
    pub(super) priority: u8,
}

impl FromStr for Priority {
    type Err = ArgumentError;

    fn from_str(word: &str) -> Result<Self, ArgumentError> {
        let (role, number) = word.split_once('=').ok_or(ArgumentError::Priority)?;
        let priority = number.parse().map_err(|_| ArgumentError::Priority)?;
        Ok(Priority {
            role: role.to_owned(),
            priority,
        })
    }
}

/// Parses a number of sessions in a wave, or of steps of each.
fn in_wave() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=WAVE_STEPS_MAX as i64)
}

fn policy_parser() -> impl clap::builder::TypedValueParser<Value = SchedulingPolicy> {
    use clap::builder::TypedValueParser;
    let names = SchedulingPolicy::ALL.map(SchedulingPolicy::name);
    clap::builder::PossibleValuesParser::new(names).map(|name| {
        let policy = SchedulingPolicy::ALL
            .into_iter()
            .find(|policy| policy.name() == name);
        policy.unwrap_or(SchedulingPolicy::Cooperative)
    })
}
