//! `antiphon run`: runs a protocol, with a script or the user in place of its hosts.

mod args;
mod hosts;
mod steps;
mod summary;

use std::sync::Arc;

use antiphon_machine::threaded::NativeThreadedDriver;
use antiphon_machine::{ProtocolMachineConfig, SchedulingPolicy, VerifiedImage};
use antiphon_record::rows::RowSink;

use crate::exit::Exit;
use crate::image::{self, Content};
use crate::output::{Output, REPORT_TIMEOUT, with_timeout};
use crate::problem::{InputError, Problem, UsageError};
use crate::protocol::ProtocolFile;
use crate::recording::{Recording, header};
use crate::row_printer::RowPrinter;
use crate::safety::{CertificateFile, check_admission};

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
    let (image, source) = image(args)?;
    let config = config(args, &image)?;
    check_certificate(args, &config, &image)?;
    let hosts = hosts(args, &image)?;
    let driver = NativeThreadedDriver::try_with_workers(limits.workers)?;
    let notes = vec![("command".to_owned(), "run".to_owned())];
    let header = || header(&config, source.as_deref(), notes);
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

/// The image to run, and its source unless the file is an image.
fn image(args: &Run) -> Result<(Arc<VerifiedImage>, Option<Arc<str>>), Problem> {
    let path = || args.file.clone();
    let content = image::read(&args.file)?;
    let others = args.script.iter().chain(&args.certificate);
    Recording::check_target(&args.recording, others.map(|path| path.as_path()))?;
    match content {
        Content::Image(image) => {
            if args.protocol.is_some() {
                return Err(UsageError::ProtocolOfImage { path: path() }.into());
            }
            Recording::check_target(&args.recording, [args.file.as_path()])?;
            Ok((Arc::new(image.verify()?), None))
        }
        Content::Source(_) if args.certificate.is_some() => {
            Err(InputError::SourceForImage { path: path() }.into())
        }
        Content::Source(bytes) => {
            let file = ProtocolFile::from_bytes(&args.file, &bytes);
            let file = file.check_recording(&args.recording)?;
            let protocol = file.protocol(args.protocol.as_deref())?;
            Ok((protocol.image()?, Some(protocol.text)))
        }
    }
}

/// Refuses an image that its certificate does not prove safe on this machine.
fn check_certificate(
    args: &Run,
    config: &ProtocolMachineConfig,
    image: &VerifiedImage,
) -> Result<(), Problem> {
    let Some(path) = &args.certificate else {
        return Ok(());
    };
    let certificate = CertificateFile::read(path)?.certificate;
    let coverage = certificate.check(image);
    let coverage = coverage.map_err(|error| InputError::certificate(path, error))?;
    check_admission(config, image, coverage, REMEDY).map_err(InputError::NotAdmitted)?;
    Ok(())
}

/// What to do with an image that is not admitted.
const REMEDY: &str = "Leave out `--certificate` to run it without this proof";

fn config(args: &Run, image: &VerifiedImage) -> Result<ProtocolMachineConfig, Problem> {
    let mut config = ProtocolMachineConfig {
        policy: args.policy,
        ..Default::default()
    };
    let image = image.image();
    for wanted in &args.priorities {
        let mut roles = image.roles.iter().map(|role| &role.name);
        if !roles.any(|role| *role == wanted.role) {
            let roles = image.roles.iter().map(|role| &role.name);
            return Err(UsageError::no_such_role(&image.name, roles, &wanted.role).into());
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
