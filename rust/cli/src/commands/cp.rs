//! `antiphon cp`: copies a file to or from the guest, in sessions of the shipped file protocols.

mod from_guest;
mod to_guest;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon_guest::driver::{Driver, GuestId, Guests, Remote};
use antiphon_guest::protocols::{GUEST_COPY, GUEST_FILES};
use antiphon_language::NoModules;
use antiphon_language::source::Source;
use antiphon_machine::{End, FailureKind, Ingress, Phase, ProtocolMachineConfig, Rest, SessionId};
use clap::Args;
use serde_json::json;

use crate::args::{AgentAddress, FilePlace, GuestArgs, RecordArgs};
use crate::copier::{Copier, Failure, Stat, Work};
use crate::exit::Exit;
use crate::filter;
use crate::guest::{self, ALIVE_WITHIN};
use crate::interrupt::Interrupt;
use crate::last_failure::LastFailure;
use crate::output::{Output, REPORT_TIMEOUT, with_timeout};
use crate::problem::{CopyError, Problem, SystemError, UsageError};
use crate::protocol::ProtocolFile;
use crate::recording::{Recorded, Recording, header};

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

/// The owner of the sessions.
pub(crate) const OWNER: &str = "antiphon cp";

/// The permission bits that are copied: no set-user-ID and the like.
const PERMISSIONS: u32 = 0o777;

/// How long the guest may take to remove the temporary file of a failed copy. It is one operation,
/// but the guest may hang.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);

/// How long a cancelled session may take to end. It does not wait for the guest.
const CANCELLED_WITHIN: Duration = Duration::from_millis(50);

/// The current session, which is cancelled if a required recording fails.
type CurrentSession = Arc<Mutex<Option<SessionId>>>;

/// The guest's driver. Its sinks are the recording, if there is one, and the last failure of the
/// session.
type CopyDriver = Driver<Copier, (Option<Recording>, LastFailure)>;

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
    let header = || header(&config, &plan.protocols(), notes);
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
    let recorded = Recorded::end(recording, &kernel);
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

/// A shipped file protocol.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    CopyIn,
    CopyOut,
    Look,
    LookAt,
    PutInPlace,
    Remove,
}

impl Protocol {
    /// The protocol's name, the name of its file, and the file's text.
    const fn source(self) -> (&'static str, &'static str, &'static str) {
        const FILES: &str = "guest_files.anti";
        const COPY: &str = "guest_copy.anti";
        match self {
            Protocol::CopyIn => ("CopyIn", FILES, GUEST_FILES),
            Protocol::CopyOut => ("CopyOut", FILES, GUEST_FILES),
            Protocol::Look => ("Look", FILES, GUEST_FILES),
            Protocol::LookAt => ("LookAt", COPY, GUEST_COPY),
            Protocol::PutInPlace => ("PutInPlace", COPY, GUEST_COPY),
            Protocol::Remove => ("Remove", COPY, GUEST_COPY),
        }
    }
}

/// A copy that is being made.
struct Copy<'d> {
    driver: &'d mut CopyDriver,
    guest: GuestId,
    interrupt: &'d Interrupt,
    current: &'d CurrentSession,
    /// Whether the agent was started here, so that the guest's files are this machine's.
    guest_is_here: bool,
}

impl Copy<'_> {
    /// Makes the copy. Returns the number of copied bytes and the target.
    fn run(&mut self, plan: &Plan) -> Result<(u64, String), Problem> {
        match plan {
            Plan::ToGuest { source, target } => self.copy_in(source, target),
            Plan::FromGuest { source, target } => self.copy_out(source, target),
        }
    }

    /// Examines a path in the guest. A link is followed.
    fn look(&mut self, path: &str) -> Result<Stat, Problem> {
        self.look_with(Protocol::Look, path, true)
    }

    fn look_with(&mut self, protocol: Protocol, path: &str, follow: bool) -> Result<Stat, Problem> {
        let path = path.to_owned();
        self.driver.application().begin(Work::Look {
            path,
            follow,
            found: None,
        });
        self.session(protocol)?;
        Ok(self.driver.application().found())
    }

    /// Runs a session that copies bytes and returns their number. `len` is the length of the
    /// progress bar.
    fn transfer(&mut self, protocol: Protocol, work: Work, len: u64) -> Result<u64, Transfer> {
        let copier = self.driver.application();
        copier.begin(work);
        copier.show_progress(len);
        let ran = self.session(protocol);
        let copier = self.driver.application();
        copier.finish();
        match (copier.failure(), ran) {
            (Some(failure), _) => Err(Transfer::Here(failure)),
            (None, Err(problem)) => Err(Transfer::There(Box::new(problem))),
            (None, Ok(())) => Ok(copier.copied()),
        }
    }

    /// Runs a session of that protocol to its end. A signal cancels it, and so does the failure of
    /// a required recording.
    fn session(&mut self, protocol: Protocol) -> Result<(), Problem> {
        let session = self.open(protocol)?;
        self.interrupt.set_session(session);
        self.set_current(Some(session));
        let recording = self.driver.sink().0.as_ref();
        if recording.is_some_and(Recording::must_stop) {
            cancel(&self.driver.remote(), session);
        }
        let _ = self.driver.run();
        self.set_current(None);
        self.ended(session)
    }

    /// Removes a file in the guest after the copy has failed for any reason. Returns whether the
    /// file is gone.
    fn remove(&mut self, path: &str) -> bool {
        let path = path.to_owned();
        self.driver.application().begin(Work::Remove { path });
        let Ok(session) = self.open(Protocol::Remove) else {
            return false;
        };
        // The guest may be the cause of the failure, and then does not answer this session either.
        let _ = self.driver.remote().probe(ALIVE_WITHIN);
        if self.driver.run_for(REMOVED_WITHIN) == Rest::Idle {
            cancel(&self.driver.remote(), session);
            self.driver.run_for(CANCELLED_WITHIN);
        }
        match self.ended(session) {
            Ok(()) => true,
            // The file does not exist.
            Err(_) => self.driver.sink().1.is(FailureKind::InvalidInput),
        }
    }

    fn open(&mut self, protocol: Protocol) -> Result<SessionId, Problem> {
        let (name, file, text) = protocol.source();
        let file = ProtocolFile::of(Source::new(file, text), &NoModules);
        let image = file.protocol(Some(name))?.image()?;
        let guests = Guests::new().interfaces(self.guest, ["Files"]);
        // A failure of an earlier session must not explain this one.
        self.driver.sink().1 = LastFailure::default();
        Ok(self.driver.open(&image, OWNER, &guests)?)
    }

    fn set_current(&self, session: Option<SessionId>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    fn ended(&mut self, session: SessionId) -> Result<(), Problem> {
        let kernel = self.driver.kernel();
        let phase = kernel.session(session).map(|session| session.phase());
        let recording = self.driver.sink().0.as_ref();
        match phase {
            Some(Phase::Terminal(End::Closed)) => Ok(()),
            Some(Phase::Terminal(End::Cancelled)) => {
                Err(match recording.is_some_and(Recording::must_stop) {
                    true => CopyError::RecordingFailed.into(),
                    false => CopyError::Cancelled.into(),
                })
            }
            Some(Phase::Terminal(End::Faulted) | Phase::Active) | None => {
                Err(CopyError::Session(self.driver.sink().1.clone()).into())
            }
        }
    }
}

fn cancel(remote: &Remote, session: SessionId) {
    let owner = OWNER.into();
    // A driver that has ended has no session to cancel.
    let _ = remote.send(Ingress::Cancel { session, owner });
}

/// Why a transfer failed.
enum Transfer {
    /// This side failed.
    Here(Failure),
    /// The session failed.
    There(Box<Problem>),
}

/// Compares the length of a source before and after the copy with the number of copied bytes. A
/// length of 0 before the copy is not compared with that number, because files such as those in
/// `/proc` report 0.
fn check_length(name: String, before: u64, after: u64, copied: u64) -> Result<(), CopyError> {
    if before != after {
        Err(CopyError::Changed {
            name,
            before,
            after,
        })
    } else if before != 0 && copied != before {
        let size = before;
        Err(CopyError::OtherLength { name, size, copied })
    } else {
        Ok(())
    }
}

/// The name of a file in the guest, as messages show it.
fn guest_name(path: &str) -> String {
    format!("guest:{}", filter::line(path))
}
