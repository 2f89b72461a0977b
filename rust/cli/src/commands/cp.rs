//! `antiphon cp`: a file to or from the guest, as sessions of the shipped protocols for files.

mod from_guest;
mod to_guest;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon_guest::driver::{Driver, GuestId, Guests, Remote};
use antiphon_guest::protocols::{GUEST_COPY, GUEST_FILES};
use antiphon_language::NoModules;
use antiphon_language::source::Source;
use antiphon_machine::{End, FailureKind, Ingress, Phase, ProtocolMachineConfig, Rest, SessionId};
use clap::Args;
use serde_json::json;

use crate::args::{AgentPlace, GuestArgs, Place, RecordArgs};
use crate::copier::{Copier, Failure, Stat, Work};
use crate::exit::Exit;
use crate::filter;
use crate::guest::{self, ALIVE_WITHIN};
use crate::interrupt::Interrupt;
use crate::last_failure::Ends;
use crate::output::{REPORTED_WITHIN, Voice, within};
use crate::problem::Problem;
use crate::protocol::ProtocolFile;
use crate::recording::{Recording, header};

/// Copy a file to or from the guest
///
/// Exactly one of SOURCE and TARGET begins with `guest:`. A target that is a directory, or ends with `/`, gets the
/// source's name. The file is written beside the target and renamed over it when it is whole: the target is the old
/// file or the whole new one. Only where the target is a symbolic link in the guest is the file that it leads to written
/// in place. A source that changes while it is copied is an error.
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
    /// What to copy
    #[arg(value_name = "SOURCE")]
    source: Place,
    /// Where to
    #[arg(value_name = "TARGET")]
    target: Place,
}

/// The name that the sessions are opened under.
pub(crate) const OWNER: &str = "antiphon cp";

/// The permission bits that are copied: no set-user-ID and the like.
const PERMISSIONS: u32 = 0o777;

/// How long the guest may take to remove the part of a copy that failed: one operation, of a guest that may hang.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);

/// How long a session may take to end that was cancelled: it does not wait for the guest.
const CANCELLED_WITHIN: Duration = Duration::from_millis(50);

/// The session that ends when a recording that is required fails.
type Recorded = Arc<Mutex<Option<SessionId>>>;

pub(crate) fn run(args: &Cp, voice: &Voice) -> Result<Exit, Problem> {
    let plan = Plan::of(args)?;
    Recording::refuse_over(
        &args.recording,
        plan.files(&args.guest.agent).iter().map(PathBuf::as_path),
    )?;
    let link = guest::open(&args.guest)?;
    let config = ProtocolMachineConfig::default();
    let mut notes = vec![("command".to_owned(), "cp".to_owned())];
    notes.extend(guest::notes(&args.guest));
    let header = || header(&config, &plan.protocols(), notes);
    let recording = Recording::begin(&args.recording, header, voice)?;
    let mut driver = Driver::new(config, Copier::default(), (recording, Ends::default()));
    let guest = driver.add_guest(link);
    let interrupt = Interrupt::watch(driver.remote(), OWNER).map_err(Problem::Threads)?;
    driver.application().end_waits_by(&interrupt);
    let recorded = Recorded::default();
    let remote = driver.remote();
    if let Some(recording) = &mut driver.sink().0 {
        let recorded = Arc::clone(&recorded);
        recording.stop_by(move || {
            let session = *recorded.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(session) = session {
                cancel(&remote, session);
            }
        });
    }
    let copied = Copy {
        driver: &mut driver,
        guest,
        interrupt: &interrupt,
        recorded: &recorded,
        guest_is_here: matches!(args.guest.agent, AgentPlace::Stdio),
    }
    .carry_out(&plan);

    let kernel = driver.kernel().clone();
    let (copier, (recording, _)) = driver.close();
    copier.finish();
    let is_recorded = recording.is_none_or(|recording| recording.finish(&kernel));
    match (interrupt.signal(), copied) {
        (Some(signal), Err(problem)) => Ok(called_off(signal, &problem, is_recorded, *voice)),
        (_, Err(problem)) => Err(problem.recorded(is_recorded)),
        (_, Ok(copied)) => report(copied, is_recorded, voice),
    }
}

/// Reports that a signal ended the copy. The readers of the standard streams may not read.
fn called_off(signal: u8, problem: &Problem, is_recorded: bool, voice: Voice) -> Exit {
    let left = if let Problem::PartLeft { part, .. } = problem {
        format!("; `guest:{}` may be left behind", filter::line(part))
    } else {
        String::new()
    };
    let exit = match is_recorded {
        true => Exit::Guest(128u8.saturating_add(signal)),
        false => Exit::Failed,
    };
    let message = format!("the copy was called off{left}");
    within(REPORTED_WITHIN, move || {
        voice.failure(&message, exit, is_recorded);
    });
    exit
}

fn report(
    (bytes, target): (u64, String),
    is_recorded: bool,
    voice: &Voice,
) -> Result<Exit, Problem> {
    if voice.json {
        let mut document = json!({ "copied": bytes, "target": target });
        if !is_recorded {
            document["recording"] = "failed".into();
        }
        let told = voice.document(&document);
        told.map_err(|problem| problem.recorded(is_recorded))?;
    }
    Ok(match is_recorded {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

/// What is to be copied where.
enum Plan {
    In { source: PathBuf, target: String },
    Out { source: String, target: PathBuf },
}

impl Plan {
    fn of(args: &Cp) -> Result<Plan, Problem> {
        match (&args.source, &args.target) {
            (Place::Here(source), Place::Guest(target)) => Ok(Plan::In {
                source: source.clone(),
                target: target.clone(),
            }),
            (Place::Guest(source), Place::Here(target)) => Ok(Plan::Out {
                source: source.clone(),
                target: target.clone(),
            }),
            (Place::Here(_), Place::Here(_)) | (Place::Guest(_), Place::Guest(_)) => {
                Err(Problem::CopyWays)
            }
        }
    }

    /// The files here that are read or written.
    fn files(&self, agent: &AgentPlace) -> Vec<PathBuf> {
        match self {
            Plan::In { source, .. } => vec![source.clone()],
            Plan::Out { source, target } => {
                let mut files = vec![from_guest::target_of(source, target)];
                // An agent that is started here reads the files of this machine, from this directory.
                if matches!(agent, AgentPlace::Stdio) {
                    files.push(PathBuf::from(source));
                }
                files
            }
        }
    }

    /// The texts of the protocols that the sessions are of.
    fn protocols(&self) -> String {
        match self {
            Plan::In { .. } => format!("{GUEST_FILES}\n{GUEST_COPY}"),
            Plan::Out { .. } => GUEST_FILES.to_owned(),
        }
    }
}

/// A protocol for files that is shipped.
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
    /// Its name, and the file that has it with its text.
    const fn facts(self) -> (&'static str, &'static str, &'static str) {
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

/// A copy under way.
struct Copy<'d> {
    driver: &'d mut Driver<Copier, (Option<Recording>, Ends)>,
    guest: GuestId,
    interrupt: &'d Interrupt,
    recorded: &'d Recorded,
    /// Whether the guest's files are this machine's: the agent was started here.
    guest_is_here: bool,
}

impl Copy<'_> {
    /// Copies; returns how many bytes were copied, and where to.
    fn carry_out(&mut self, plan: &Plan) -> Result<(u64, String), Problem> {
        match plan {
            Plan::In { source, target } => self.copy_in(source, target),
            Plan::Out { source, target } => self.copy_out(source, target),
        }
    }

    /// What a path in the guest names; a link is followed.
    fn look(&mut self, path: &str) -> Result<Stat, Problem> {
        self.look_by(Protocol::Look, path, true)
    }

    fn look_by(&mut self, protocol: Protocol, path: &str, follow: bool) -> Result<Stat, Problem> {
        let path = path.to_owned();
        self.driver.application().begin(Work::Look {
            path,
            follow,
            found: None,
        });
        self.session(protocol)?;
        Ok(self.driver.application().found())
    }

    /// Runs a session that moves bytes and returns their number. `len` is the length of the progress bar.
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

    /// Runs a session of that protocol to its end. A signal cancels it, and so does the failure of a recording that is
    /// required.
    fn session(&mut self, protocol: Protocol) -> Result<(), Problem> {
        let session = self.open(protocol)?;
        self.interrupt.watch_over(session);
        self.watch_recording(Some(session));
        let recording = self.driver.sink().0.as_ref();
        if recording.is_some_and(Recording::must_stop) {
            cancel(&self.driver.remote(), session);
        }
        let _ = self.driver.run();
        self.watch_recording(None);
        self.ended(session)
    }

    /// Removes a file in the guest, whatever the reason for which the copy ends. Returns whether it is gone.
    fn remove(&mut self, path: &str) -> bool {
        let path = path.to_owned();
        self.driver.application().begin(Work::Remove { path });
        let Ok(session) = self.open(Protocol::Remove) else {
            return false;
        };
        // The guest may be why the copy failed; then it does not answer this either.
        let _ = self.driver.remote().probe(ALIVE_WITHIN);
        if self.driver.run_for(REMOVED_WITHIN) == Rest::Idle {
            cancel(&self.driver.remote(), session);
            self.driver.run_for(CANCELLED_WITHIN);
        }
        match self.ended(session) {
            Ok(()) => true,
            // The guest says that it is not there.
            Err(_) => self.driver.sink().1.is(FailureKind::InvalidInput),
        }
    }

    fn open(&mut self, protocol: Protocol) -> Result<SessionId, Problem> {
        let (name, file, text) = protocol.facts();
        let file = ProtocolFile::of(Source::new(file, text), &NoModules);
        let image = file.protocol(Some(name))?.image()?;
        let guests = Guests::new().interfaces(self.guest, ["Files"]);
        // What went wrong in an earlier session is not the reason of this one.
        self.driver.sink().1 = Ends::default();
        self.driver
            .open(&image, OWNER, &guests)
            .map_err(Problem::Open)
    }

    fn watch_recording(&self, session: Option<SessionId>) {
        *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    fn ended(&mut self, session: SessionId) -> Result<(), Problem> {
        let kernel = self.driver.kernel();
        let phase = kernel.session(session).map(|session| session.phase());
        let recording = self.driver.sink().0.as_ref();
        match phase {
            Some(Phase::Terminal(End::Closed)) => Ok(()),
            Some(Phase::Terminal(End::Cancelled)) => {
                let reason = match recording.is_some_and(Recording::must_stop) {
                    true => "it was ended because its recording failed",
                    false => "it was cancelled",
                };
                Err(Problem::Copy {
                    reason: reason.to_owned(),
                })
            }
            Some(Phase::Terminal(End::Faulted) | Phase::Active) | None => {
                let reason = filter::line(&self.driver.sink().1.reason());
                Err(Problem::Copy { reason })
            }
        }
    }
}

fn cancel(remote: &Remote, session: SessionId) {
    let owner = OWNER.into();
    // A driver that has ended has no session to cancel.
    let _ = remote.send(Ingress::Cancel { session, owner });
}

/// Why the bytes did not arrive.
enum Transfer {
    /// On this side.
    Here(Failure),
    /// In the session.
    There(Box<Problem>),
}

impl Transfer {
    /// What to report; `doing` is what is done to the file here.
    fn problem(self, doing: &'static str, here: &Path) -> Problem {
        let copy = |reason: &str| Problem::Copy {
            reason: reason.to_owned(),
        };
        match self {
            Transfer::There(problem) => *problem,
            Transfer::Here(Failure::Io(error)) => Problem::file(doing, here)(error),
            Transfer::Here(Failure::SameFile) => copy("source and target are the same file"),
            Transfer::Here(Failure::Longer) => copy("the source changed while it was copied"),
            Transfer::Here(Failure::Interrupted) => copy("it was interrupted"),
        }
    }
}

/// Compares the length of a source before and after the copy with the number of copied bytes. A length of 0 before the
/// copy is not compared with that number: files such as those of `/proc` report 0.
fn check_length(name: &str, before: u64, after: u64, copied: u64) -> Result<(), Problem> {
    let reason = if before != after {
        changed(name, before, after)
    } else if before != 0 && copied != before {
        format!("`{name}` has {before} bytes by its size, and {copied} by its content")
    } else {
        return Ok(());
    };
    Err(Problem::Copy { reason })
}

fn changed(name: &str, before: u64, after: u64) -> String {
    format!("`{name}` changed while it was copied: it had {before} bytes and has {after}")
}
