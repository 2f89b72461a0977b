//! The sessions of a copy: each runs one of the shipped file protocols to its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon_guest::driver::{Driver, GuestId, Guests, Remote};
use antiphon_guest::protocols::{GUEST_COPY, GUEST_FILES};
use antiphon_language::NoModules;
use antiphon_language::source::Source;
use antiphon_machine::{End, FailureKind, Ingress, Phase, Rest, SessionId};

use crate::copier::{Copier, Failure, Stat, Work};
use crate::filter;
use crate::guest::ALIVE_WITHIN;
use crate::interrupt::Interrupt;
use crate::last_failure::LastFailure;
use crate::problem::{CopyError, Problem};
use crate::protocol::ProtocolFile;
use crate::recording::Recording;

/// The owner of the sessions.
pub(super) const OWNER: &str = "antiphon cp";

/// The permission bits that are copied: no set-user-ID and the like.
pub(super) const PERMISSIONS: u32 = 0o777;

/// How long the guest may take to remove the temporary file of a failed copy. It is one operation,
/// but the guest may hang.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);

/// How long a cancelled session may take to end. It does not wait for the guest.
const CANCELLED_WITHIN: Duration = Duration::from_millis(50);

/// The current session, which is cancelled if a required recording fails.
pub(super) type CurrentSession = Arc<Mutex<Option<SessionId>>>;

/// The guest's driver. Its sinks are the recording, if there is one, and the last failure of the
/// session.
pub(super) type CopyDriver = Driver<Copier, (Option<Recording>, LastFailure)>;

/// A shipped file protocol.
#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
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
pub(super) struct Copy<'d> {
    pub(super) driver: &'d mut CopyDriver,
    pub(super) guest: GuestId,
    pub(super) interrupt: &'d Interrupt,
    pub(super) current: &'d CurrentSession,
    /// Whether the agent was started here, so that the guest's files are this machine's.
    pub(super) guest_is_here: bool,
}

impl Copy<'_> {
    /// Examines a path in the guest. A link is followed.
    pub(super) fn look(&mut self, path: &str) -> Result<Stat, Problem> {
        self.look_with(Protocol::Look, path, true)
    }

    pub(super) fn look_with(
        &mut self,
        protocol: Protocol,
        path: &str,
        follow: bool,
    ) -> Result<Stat, Problem> {
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
    pub(super) fn transfer(
        &mut self,
        protocol: Protocol,
        work: Work,
        len: u64,
    ) -> Result<u64, Transfer> {
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
    pub(super) fn session(&mut self, protocol: Protocol) -> Result<(), Problem> {
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
    pub(super) fn remove(&mut self, path: &str) -> bool {
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
                Err(if recording.is_some_and(Recording::must_stop) {
                    CopyError::RecordingFailed.into()
                } else {
                    CopyError::Cancelled.into()
                })
            }
            Some(Phase::Terminal(End::Faulted) | Phase::Active) | None => {
                Err(CopyError::Session(self.driver.sink().1.clone()).into())
            }
        }
    }
}

/// Cancels a session as its owner.
pub(super) fn cancel(remote: &Remote, session: SessionId) {
    let owner = OWNER.into();
    // A driver that has ended has no session to cancel.
    let _ = remote.send(Ingress::Cancel { session, owner });
}

/// Why a transfer failed.
pub(super) enum Transfer {
    /// This side failed.
    Here(Failure),
    /// The session failed.
    There(Box<Problem>),
}

/// Compares the length of a source before and after the copy with the number of copied bytes. A
/// length of 0 before the copy is not compared with that number, because files such as those in
/// `/proc` report 0.
pub(super) fn check_length(
    name: String,
    before: u64,
    after: u64,
    copied: u64,
) -> Result<(), CopyError> {
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
pub(super) fn guest_name(path: &str) -> String {
    format!("guest:{}", filter::line(path))
}
