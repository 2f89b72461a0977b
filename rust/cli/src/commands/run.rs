//! `antiphon run`: runs a protocol, with a script or the user in place of its hosts.

mod hosts;
mod steps;
mod summary;

use std::path::PathBuf;
use std::str::FromStr;

use antiphon_machine::bounds::WAVE_STEPS_MAX;
use antiphon_machine::threaded::{NativeThreadedDriver, PerLane, ThreadedProtocolMachine};
use antiphon_machine::{ProtocolMachineConfig, SchedulingPolicy};
use antiphon_record::rows::RowSink;
use clap::Args;
use clap::builder::RangedI64ValueParser;

use crate::args::{ArgumentError, RecordArgs, workers};
use crate::exit::Exit;
use crate::output::{Output, REPORT_TIMEOUT, with_timeout};
use crate::problem::{Problem, UsageError};
use crate::protocol::{Protocol, ProtocolFile};
use crate::recording::{Recorded, Recording, header};
use crate::row_printer::RowPrinter;
use hosts::{Hosts, hosts};
use steps::{Stop, WaveLimits, drive_sessions};
use summary::Summary;

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
    /// The protocol file
    file: PathBuf,
    /// The protocol, if the file has several
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// The script; `-` is standard input
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// The policy that chooses the role that steps next
    #[arg(long, default_value = "cooperative", value_parser = policy_parser())]
    policy: SchedulingPolicy,
    /// The priority of a role under the policy `priority`, 0 to 255; may be repeated
    #[arg(long = "priority", value_name = "ROLE=N")]
    priorities: Vec<Priority>,
    #[command(flatten)]
    recording: RecordArgs,
    /// Print every event, not only messages, calls and failures
    #[arg(long)]
    all: bool,
    /// Stop the run after N steps
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    steps_max: u64,
    /// Open K sessions, 1 to 65536, each with its own copy of the script
    #[arg(
        long,
        value_name = "K",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(SESSIONS_MAX)),
        help_heading = THREADS
    )]
    sessions: u32,
    /// Run the sessions in waves on N threads, 1 to 1024
    #[arg(long, value_name = "N", value_parser = workers(), help_heading = THREADS)]
    threads: Option<u32>,
    /// Step at most W sessions in a wave [default: 4096]
    #[arg(
        long,
        value_name = "W",
        requires = "threads",
        value_parser = in_wave(),
        help_heading = THREADS
    )]
    width: Option<u32>,
    /// Step each session at most Q times in a wave [default: 256]
    #[arg(
        long,
        value_name = "Q",
        requires = "threads",
        value_parser = in_wave(),
        help_heading = THREADS
    )]
    quantum: Option<u32>,
    /// Print statistics of the waves at the end, and why they were no wider
    #[arg(long, requires = "threads", help_heading = THREADS)]
    explain: bool,
}

/// The most sessions of a run: the output of more would be unreadable.
const SESSIONS_MAX: u32 = 1 << 16;

const THREADS: &str = "Sessions and threads";

/// The priority of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Priority {
    pub(crate) role: String,
    pub(crate) priority: u8,
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

/// The owner of the sessions.
const OWNER: &str = "antiphon run";

/// One lane for each session, so that each session has its own hosts.
type Machine = ThreadedProtocolMachine<PerLane<Hosts>, (Option<Recording>, RowSink<RowPrinter>)>;

pub(crate) fn run(args: &Run, output: &Output) -> Result<Exit, Problem> {
    let limits = WaveLimits::of(args)?;
    let file = ProtocolFile::read(&args.file)?.check_recording(&args.recording)?;
    Recording::check_target(&args.recording, args.script.as_deref())?;
    let protocol = file.protocol(args.protocol.as_deref())?;
    let image = protocol.image()?;
    let hosts = hosts(args, &image)?;
    let config = config(args, &protocol)?;
    let driver = NativeThreadedDriver::try_with_workers(limits.workers)?;
    let notes = vec![("command".to_owned(), "run".to_owned())];
    let header = || header(&config, &protocol.text, notes);
    let recording = Recording::begin(&args.recording, header, output)?;
    let printer = RowSink::new(RowPrinter::new(*output, args.all, args.sessions > 1));
    let machine = Machine::with_driver(config, hosts, (recording, printer), driver);
    let mut machine = machine.with_wave(limits.width, limits.quantum);
    let stop = drive_sessions(&mut machine, &image, args, &limits);
    let report = machine.report();
    let (kernel, hosts, (recording, mut printer)) = machine.into_parts();
    let recorded = Recorded::end(recording, &kernel);
    let stop = recorded.result(stop)?;
    let unreadable = hosts.iter().find_map(Hosts::unreadable);
    if let Some(problem) = printer.observer_mut().problem().or(unreadable) {
        return recorded.result(Err(problem));
    }
    let summary = Summary::of(&kernel, &stop, &hosts);
    let exit = match stop {
        Stop::Signal(signal) => Exit::Guest(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        Stop::Ended if summary.is_good => Exit::Done,
        Stop::Ended
        | Stop::HostsEnded
        | Stop::Waiting(_)
        | Stop::Deadlock(_)
        | Stop::StepsMax(_)
        | Stop::OutputFailed
        | Stop::RecordingFailed => Exit::No,
    };
    let exit = recorded.exit(exit);
    let (output, explain) = (*output, args.explain);
    let print = move || summary.print(recorded, explain.then_some(&report), &output);
    match stop {
        // The readers of the standard streams may have stopped reading.
        Stop::Signal(_) => with_timeout(REPORT_TIMEOUT, move || drop(print())),
        Stop::Ended
        | Stop::HostsEnded
        | Stop::Waiting(_)
        | Stop::Deadlock(_)
        | Stop::StepsMax(_)
        | Stop::OutputFailed
        | Stop::RecordingFailed => recorded.result(print())?,
    }
    Ok(exit)
}

fn config(args: &Run, protocol: &Protocol) -> Result<ProtocolMachineConfig, Problem> {
    let mut config = ProtocolMachineConfig {
        policy: args.policy,
        ..Default::default()
    };
    let roles = protocol.checked.roles();
    for wanted in &args.priorities {
        if !roles.contains(&wanted.role) {
            return Err(UsageError::no_such_role(&protocol.checked, &wanted.role).into());
        }
        config
            .priorities
            .insert(wanted.role.clone(), wanted.priority);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::cli::Cli;

    #[test]
    fn the_help_states_the_wave_limits_of_the_driver() {
        use antiphon_machine::threaded::{QUANTUM, WIDTH};
        let command = Cli::command();
        let run = command.find_subcommand("run").expect("it is there");
        for (name, default) in [("width", WIDTH), ("quantum", QUANTUM)] {
            let help = run.get_arguments().find(|arg| arg.get_id() == name);
            let help = help.and_then(|arg| arg.get_help()).expect("it has help");
            let end = format!("[default: {default}]");
            assert!(help.to_string().ends_with(&end), "--{name}: {help}");
        }
    }
}
