//! `antiphon cp`: a file to or from the guest, as sessions of the shipped `guest_files.anti`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon_guest::driver::{Driver, GuestId, Guests};
use antiphon_guest::protocols::GUEST_FILES;
use antiphon_language::NoModules;
use antiphon_language::source::Source;
use antiphon_machine::{End, Ingress, Phase, ProtocolMachineConfig, Rest, SessionId};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::args::{AgentPlace, Cp, Place};
use crate::copier::{Copier, Open, Stat, Work};
use crate::ends::Ends;
use crate::exit::Exit;
use crate::filter;
use crate::guest;
use crate::interrupt::Interrupt;
use crate::output::{BAD, Voice};
use crate::problem::Problem;
use crate::protocol::ProtocolFile;
use crate::recording::{Recording, header};
use crate::text;

/// The name of the shipped protocols in diagnostics.
const SHIPPED: &str = "guest_files.anti";

/// Who opens the sessions, and may call them off.
pub(crate) const OWNER: &str = "antiphon cp";

/// How late a session is cancelled after the failure of a recording that is required.
const RECORDING_CHECKED_EVERY: Duration = Duration::from_millis(50);

/// The permission bits that are copied: no set-user-ID and the like.
const PERMISSIONS: u32 = 0o777;

pub(crate) fn run(args: &Cp, voice: &Voice) -> Result<Exit, Problem> {
    let plan = Plan::of(args)?;
    let link = guest::open(&args.guest.agent)?;
    let config = ProtocolMachineConfig::default();
    let notes = vec![
        ("command".to_owned(), "cp".to_owned()),
        ("agent".to_owned(), guest::text(&args.guest.agent)),
    ];
    let header = || header(&config, GUEST_FILES, notes);
    let recording = Recording::begin(&args.recording, header, voice)?;
    let mut driver = Driver::new(config, Copier::default(), (recording, Ends::default()));
    let guest = driver.add_guest(link);
    let interrupt = Interrupt::watch(driver.remote(), OWNER).map_err(Problem::Threads)?;
    let copied = Copy {
        driver: &mut driver,
        guest,
        interrupt: &interrupt,
        guest_is_here: matches!(args.guest.agent, AgentPlace::Stdio),
    }
    .carry_out(&plan);

    let kernel = driver.kernel().clone();
    let (copier, (recording, _)) = driver.close();
    copier.finish();
    let is_recorded = recording.is_none_or(|recording| recording.finish(&kernel));
    if let Some(signal) = interrupt.signal() {
        voice.remark(BAD, "antiphon:", "the copy was called off");
        return Ok(Exit::Guest(128u8.saturating_add(signal)));
    }
    let (bytes, target) = copied?;
    if voice.json {
        let mut document = json!({ "copied": bytes, "target": target });
        if !is_recorded {
            document["recording"] = "failed".into();
        }
        voice.document(&document)?;
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
}

/// A copy under way.
struct Copy<'d> {
    driver: &'d mut Driver<Copier, (Option<Recording>, Ends)>,
    guest: GuestId,
    interrupt: &'d Interrupt,
    /// Whether the guest's files are this machine's: the agent was started here.
    guest_is_here: bool,
}

impl Copy<'_> {
    /// How many bytes were copied, and where to.
    fn carry_out(&mut self, plan: &Plan) -> Result<(u64, String), Problem> {
        match plan {
            Plan::In { source, target } => self.copy_in(source, target),
            Plan::Out { source, target } => self.copy_out(source, target),
        }
    }

    fn copy_in(&mut self, source: &Path, target: &str) -> Result<(u64, String), Problem> {
        let reading = |error| Problem::file("read", source)(error);
        let file = File::open(source).map_err(reading)?;
        let about = file.metadata().map_err(reading)?;
        if about.is_dir() {
            return Err(reading(io::ErrorKind::IsADirectory.into()));
        }
        let is_directory = |stat: Stat| stat.is_directory;
        // A target that cannot be looked at is no directory; opening it says what is wrong with it.
        let inside = target.ends_with('/') || self.look(target).is_ok_and(is_directory);
        let target = match source.file_name() {
            Some(name) if inside => {
                format!(
                    "{}/{}",
                    target.trim_end_matches('/'),
                    name.to_string_lossy()
                )
            }
            Some(_) | None => target.to_owned(),
        };
        // Opening the target empties it, and with it a source that is the same file under any name.
        if self.guest_is_here && text::is_same_file(source, Path::new(&target)) {
            let (source, target) = (source.display(), filter::line(&target));
            let reason = format!("`{source}` and `guest:{target}` are the same file");
            return Err(Problem::Copy { reason });
        }
        let perm = about.permissions().mode() & PERMISSIONS;
        let work = Work::Send {
            open: Open::to_write(&target, perm),
            file,
        };
        let bytes = self.work("CopyIn", work, about.len(), ("read", source))?;
        Ok((bytes, format!("guest:{target}")))
    }

    fn copy_out(&mut self, source: &str, target: &Path) -> Result<(u64, String), Problem> {
        let stat = self.look(source)?;
        let name = source.rsplit('/').next().unwrap_or(source);
        let inside = target.is_dir() || target.as_os_str().to_string_lossy().ends_with('/');
        let target = if inside {
            target.join(name)
        } else {
            target.to_owned()
        };
        let writing = |error| Problem::file("write", &target)(error);
        let file = regular(&target).map_err(writing)?;
        let directory = file
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        // Under another name first: whoever looks sees the old file or the whole new one.
        let kept = NamedTempFile::new_in(directory.unwrap_or(Path::new("."))).map_err(writing)?;
        let work = Work::Fetch {
            open: Open::to_read(source),
            file: kept.reopen().map_err(writing)?,
            ended: false,
        };
        let bytes = self.work("CopyOut", work, stat.size, ("write", &target))?;
        let permissions = fs::Permissions::from_mode(stat.perm & PERMISSIONS);
        kept.as_file()
            .set_permissions(permissions)
            .map_err(writing)?;
        kept.persist(&file).map_err(|error| writing(error.error))?;
        Ok((bytes, target.display().to_string()))
    }

    /// What a path in the guest names.
    fn look(&mut self, path: &str) -> Result<Stat, Problem> {
        self.driver.application().begin(Work::Look {
            path: path.to_owned(),
            found: None,
        });
        self.run("Look")?;
        Ok(self.driver.application().found())
    }

    /// Moves the bytes; gives how many. `here` is what a failure on this side is about.
    fn work(
        &mut self,
        protocol: &str,
        work: Work,
        len: u64,
        here: (&'static str, &Path),
    ) -> Result<u64, Problem> {
        let copier = self.driver.application();
        copier.begin(work);
        copier.show_progress(len);
        let ran = self.run(protocol);
        if let Some(error) = self.driver.application().failure() {
            return Err(Problem::file(here.0, here.1)(error));
        }
        ran?;
        Ok(self.driver.application().copied())
    }

    /// Runs a session of that protocol to its end.
    fn run(&mut self, name: &str) -> Result<(), Problem> {
        let file = ProtocolFile::of(Source::new(SHIPPED, GUEST_FILES), &NoModules);
        let image = file.protocol(Some(name))?.image()?;
        let guests = Guests::new().interfaces(self.guest, ["Files"]);
        let session = self
            .driver
            .open(&image, OWNER, &guests)
            .map_err(Problem::Open)?;
        self.interrupt.watch_over(session);
        self.drive(session);
        let phase = self
            .driver
            .kernel()
            .session(session)
            .map(|session| session.phase());
        match phase {
            Some(Phase::Terminal(End::Closed)) => Ok(()),
            Some(Phase::Terminal(End::Cancelled | End::Faulted) | Phase::Active) | None => {
                let reason = filter::line(&self.driver.sink().1.reason());
                Err(Problem::Copy { reason })
            }
        }
    }

    /// Runs the session to its end. It is cancelled when its recording is required and fails.
    fn drive(&mut self, session: SessionId) {
        let mut is_cancelled = false;
        while self.driver.run_for(RECORDING_CHECKED_EVERY) == Rest::Idle {
            let recording = self.driver.sink().0.as_ref();
            if !is_cancelled && recording.is_some_and(Recording::must_stop) {
                is_cancelled = true;
                let owner = OWNER.into();
                // The driver has the receiver.
                let _ = self
                    .driver
                    .remote()
                    .send(Ingress::Cancel { session, owner });
            }
        }
    }
}

/// Where the bytes go: a new file, or the one that the path leads to. Renaming over anything else would take the place
/// of a device, a pipe or a link.
fn regular(target: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(target) {
        Ok(file) if fs::metadata(&file)?.is_file() => Ok(file),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is there and is not a regular file",
        )),
        // A link that leads nowhere is there too.
        Err(error) if fs::symlink_metadata(target).is_ok() => Err(error),
        Err(_) => Ok(target.to_owned()),
    }
}
