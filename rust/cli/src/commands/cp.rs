//! `antiphon cp`: copies a file to or from the guest, in sessions of the shipped file protocols.

mod from_guest;
mod session;
mod to_guest;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use antiphon_guest::driver::{Driver, GuestId};
use antiphon_guest::protocols::{GUEST_COPY, GUEST_FILES};
use antiphon_machine::ProtocolMachineConfig;
use clap::Args;
use serde_json::json;

use crate::args::{AgentAddress, FilePlace, GuestArgs, RecordArgs};
use crate::copier::Copier;
use crate::exit::Exit;
use crate::filter;
use crate::guest;
use crate::interrupt::Interrupt;
use crate::last_failure::LastFailure;
use crate::output::{Output, REPORT_TIMEOUT, with_timeout};
use crate::problem::{Problem, SystemError, UsageError};
use crate::recorded::Recorded;
use crate::recording::{Recording, header};

use session::{Copy, CopyDriver, CurrentSession, OWNER, cancel};

/// Copy a file to or from the guest
///
/// Exactly one of SOURCE and TARGET begins with `guest:`. If the target is a directory or ends with
/// `/`, the copy gets the source's name in it. The copy is written to a temporary file beside the
/// target, which then replaces the target: the target is the old file or the whole new one. Only a
/// symbolic link in the guest is written in place, through the link. A source that changes while it
/// is copied is an error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon cp ./model.bin guest:/var/lib/model.bin
  antiphon cp --agent unix:/run/guest.sock guest:/var/log/messages .")]
pub(crate) struct Cp {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    recording: RecordArgs,
    /// The file to copy
    #[arg(value_name = "SOURCE")]
    source: FilePlace,
    /// The file or directory to copy to
    #[arg(value_name = "TARGET")]
    target: FilePlace,
}

pub(crate) fn run(args: &Cp, output: &Output) -> Result<Exit, Problem> {
    let plan = Plan::of(args)?;
    Recording::check_target(
        &args.recording,
        plan.files(&args.guest.agent).iter().map(PathBuf::as_path),
    )?;
    let link = guest::open(&args.guest)?;
    let config = ProtocolMachineConfig::default();
    let mut notes = vec![("command".to_owned(), "cp".to_owned())];
    notes.extend(guest::notes(&args.guest));
    let header = || header(&config, Some(&plan.protocols()), notes);
    let recording = Recording::begin(&args.recording, header, output)?;
    let mut driver = Driver::new(
        config,
        Copier::default(),
        (recording, LastFailure::default()),
    );
    let guest = driver.add_guest(link);
    let copied = copy(&mut driver, guest, &plan, args);

    let kernel = driver.kernel().clone();
    let (copier, (recording, _)) = driver.close();
    copier.finish();
    let recorded = Recording::end(recording, &kernel);
    match copied {
        Copied::Done { bytes, target } => report(bytes, &target, recorded, output),
        Copied::Failed(problem) => recorded.result(Err(problem)),
        Copied::Interrupted { signal, problem } => {
            Ok(report_interrupt(signal, &problem, recorded, *output))
        }
    }
}

/// How a copy ended.
enum Copied {
    Done { bytes: u64, target: String },
    Failed(Problem),
    Interrupted { signal: u8, problem: Problem },
}

/// Copies the file. A signal cancels the current session, and so does the failure of a required
/// recording.
fn copy(driver: &mut CopyDriver, guest: GuestId, plan: &Plan, args: &Cp) -> Copied {
    let interrupt = match Interrupt::watch(driver.remote(), OWNER) {
        Ok(interrupt) => interrupt,
        Err(error) => return Copied::Failed(SystemError::Threads(error).into()),
    };
    driver.application().set_interrupt(&interrupt);
    let current = CurrentSession::default();
    let remote = driver.remote();
    if let Some(recording) = &mut driver.sink().0 {
        let current = Arc::clone(&current);
        recording.on_failure(move || {
            let session = *current.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(session) = session {
                cancel(&remote, session);
            }
        });
    }
    let mut copy = Copy {
        driver,
        guest,
        interrupt: &interrupt,
        current: &current,
        guest_is_here: matches!(args.guest.agent, AgentAddress::Stdio),
    };
    let copied = copy.run(plan);
    match (interrupt.signal(), copied) {
        (_, Ok((bytes, target))) => Copied::Done { bytes, target },
        (Some(signal), Err(problem)) => Copied::Interrupted { signal, problem },
        (None, Err(problem)) => Copied::Failed(problem),
    }
}

/// Reports that a signal interrupted the copy. The report has a time limit, because the readers of
/// the standard streams may have stopped reading.
fn report_interrupt(signal: u8, problem: &Problem, recorded: Recorded, output: Output) -> Exit {
    let left = if let Problem::LeftBehind { file, .. } = problem {
        format!("; `guest:{}` may be left behind", filter::line(file))
    } else {
        String::new()
    };
    let exit = recorded.exit(Exit::Guest(128u8.saturating_add(signal)));
    let message = format!("the copy was interrupted{left}");
    with_timeout(REPORT_TIMEOUT, move || {
        output.failure(&message, exit, recorded);
    });
    exit
}

fn report(bytes: u64, target: &str, recorded: Recorded, output: &Output) -> Result<Exit, Problem> {
    if output.json {
        let mut document = json!({ "copied": bytes, "target": target });
        recorded.mark(&mut document);
        recorded.result(output.document(&document))?;
    }
    Ok(recorded.exit(Exit::Done))
}

/// The source and the target of a copy.
enum Plan {
    ToGuest { source: PathBuf, target: String },
    FromGuest { source: String, target: PathBuf },
}

impl Plan {
    fn of(args: &Cp) -> Result<Plan, Problem> {
        match (&args.source, &args.target) {
            (FilePlace::Here(source), FilePlace::Guest(target)) => Ok(Plan::ToGuest {
                source: source.clone(),
                target: target.clone(),
            }),
            (FilePlace::Guest(source), FilePlace::Here(target)) => Ok(Plan::FromGuest {
                source: source.clone(),
                target: target.clone(),
            }),
            (FilePlace::Here(_), FilePlace::Here(_))
            | (FilePlace::Guest(_), FilePlace::Guest(_)) => Err(UsageError::CopyDirection.into()),
        }
    }

    /// The files on this machine that are read or written.
    fn files(&self, agent: &AgentAddress) -> Vec<PathBuf> {
        match self {
            Plan::ToGuest { source, .. } => vec![source.clone()],
            Plan::FromGuest { source, target } => {
                let mut files = vec![from_guest::target_of(source, target)];
                // An agent that is started here shares the files of this machine and this working
                // directory.
                if matches!(agent, AgentAddress::Stdio) {
                    files.push(PathBuf::from(source));
                }
                files
            }
        }
    }

    /// The sources of the protocols of the sessions.
    fn protocols(&self) -> String {
        match self {
            Plan::ToGuest { .. } => format!("{GUEST_FILES}\n{GUEST_COPY}"),
            Plan::FromGuest { .. } => GUEST_FILES.to_owned(),
        }
    }
}

impl Copy<'_> {
    /// Makes the copy. Returns the number of copied bytes and the target.
    fn run(&mut self, plan: &Plan) -> Result<(u64, String), Problem> {
        match plan {
            Plan::ToGuest { source, target } => self.copy_in(source, target),
            Plan::FromGuest { source, target } => self.copy_out(source, target),
        }
    }
}
