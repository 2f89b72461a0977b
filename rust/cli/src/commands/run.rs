//! `antiphon run`: runs a protocol, with a script or the user in place of its hosts.

mod args;
mod hosts;
mod steps;
mod summary;

use antiphon_machine::threaded::NativeThreadedDriver;
use antiphon_machine::{ProtocolMachineConfig, SchedulingPolicy};
use antiphon_record::rows::RowSink;

use crate::exit::Exit;
use crate::output::{Output, REPORT_TIMEOUT, with_timeout};
use crate::problem::{Problem, UsageError};
use crate::protocol::{Protocol, ProtocolFile};
use crate::recording::{Recording, header};
use crate::row_printer::RowPrinter;

pub(crate) use args::Run;
use hosts::{Hosts, hosts};
use steps::{Machine, Stop, WaveLimits, drive_sessions};
use summary::Summary;

pub(crate) fn run(args: &Run, output: &Output) -> Result<Exit, Problem> {
    UsageError::check_json(output, "--all", args.all)?;
    let policy = args.policy;
    if !args.priorities.is_empty() && policy != SchedulingPolicy::Priority {
        let policy = policy.name();
        return Err(UsageError::Priority { policy }.into());
    }
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
    let recorded = Recording::end(recording, &kernel);
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
