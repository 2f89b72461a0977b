//! Copies to the guest: into a temporary file beside the target, which is renamed over the target
//! when it is complete.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use antiphon_machine::FailureKind;

use crate::copier::{Failure, Kind, Open, SameFileProbe, Source, Work};
use crate::problem::{CopyError, Problem, SystemError};
use crate::same_file::is_same_file;

use super::session::{Copy, PERMISSIONS, Protocol, Transfer, check_length, guest_name};

/// How many bytes of the target's name the temporary name repeats. With prefix and random suffix it
/// stays below the 255 bytes that file systems allow.
const NAME_LEN_MAX: usize = 200;

/// Length of the random suffix: 40 bits, too many to collide or to be guessed in time.
const RANDOM_LEN: usize = 8;

/// The characters of the suffix.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// How the target is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteMode {
    /// Under a temporary name, which then replaces the target.
    Replace,
    /// Through the symbolic link at the target, which stays: the guest does not report where it
    /// leads.
    ThroughLink,
    /// Directly: the target is a device or a pipe.
    Direct,
}

impl Copy<'_> {
    pub(super) fn copy_in(&mut self, path: &Path, target: &str) -> Result<(u64, String), Problem> {
        let reading = |error| Problem::file("read", path)(error);
        let file = File::open(path).map_err(reading)?;
        let metadata = file.metadata().map_err(reading)?;
        if metadata.is_dir() {
            return Err(reading(io::ErrorKind::IsADirectory.into()));
        }
        let (target, mode) = self.target(path, target)?;
        if self.guest_is_here && is_same_file(path, Path::new(&target)) {
            let (from, to) = (path.display().to_string(), guest_name(&target));
            return Err(CopyError::SameFile { from, to }.into());
        }
        let perm = metadata.permissions().mode() & PERMISSIONS;
        let source = Source {
            file,
            is_regular: metadata.is_file(),
            len_max: (metadata.is_file() && metadata.len() > 0).then_some(metadata.len()),
            probe: None,
        };
        let sending = Sending {
            path,
            target: &target,
            metadata: &metadata,
            perm,
        };
        let bytes = match mode {
            WriteMode::Replace => self.replace_target(&sending, source)?,
            WriteMode::ThroughLink => {
                self.probe(&sending)?;
                self.refuse_possible_source(&sending)?;
                let bytes = self.in_place(&sending, Kind::File, source)?;
                self.check_arrived(&target, bytes)?;
                bytes
            }
            WriteMode::Direct => self.in_place(&sending, Kind::Other, source)?,
        };
        Ok((bytes, format!("guest:{target}")))
    }

    /// Returns the target and how it is written. In a directory the copy gets the source's name.
    fn target(&mut self, source: &Path, target: &str) -> Result<(String, WriteMode), Problem> {
        let name = source.file_name().map(|name| name.to_string_lossy());
        let inside = |name| format!("{}/{name}", target.trim_end_matches('/'));
        let (target, found) = match name {
            Some(name) if target.ends_with('/') => (inside(name), None),
            Some(name) => match self.look(target) {
                Ok(stat) if stat.kind == Kind::Directory => (inside(name), None),
                found => (target.to_owned(), Some(found)),
            },
            None => (target.to_owned(), None),
        };
        // If the target cannot be examined, it does not exist, or creating a file beside it reports
        // the reason.
        let found = match found {
            Some(found) => found,
            None => self.look(&target),
        };
        let mode = match found.map(|stat| stat.kind) {
            Ok(Kind::Other) => WriteMode::Direct,
            Ok(Kind::Directory) => {
                let target = guest_name(&target);
                return Err(CopyError::TargetIsDirectory { target }.into());
            }
            Ok(Kind::File | Kind::Symlink) | Err(_) => {
                let link = self.look_with(Protocol::LookAt, &target, false);
                if link.is_ok_and(|stat| stat.kind == Kind::Symlink) {
                    WriteMode::ThroughLink
                } else {
                    WriteMode::Replace
                }
            }
        };
        Ok((target, mode))
    }

    /// Writes a temporary file and renames it over the target.
    fn replace_target(
        &mut self,
        sending: &Sending<'_>,
        mut source: Source,
    ) -> Result<u64, Problem> {
        let temporary = temporary_name(sending.target)?;
        source.probe = Some(sending.probe(&temporary));
        let work = Work::Send {
            open: Open::to_create(&temporary, sending.perm),
            source,
        };
        let sent = self.transfer(Protocol::CopyIn, work, sending.metadata.len());
        let may_exist = self.may_have_created();
        let placed = self.checked(sending, sent).and_then(|bytes| {
            self.check_arrived(&temporary, bytes)?;
            self.put_in_place(&temporary, sending.target)?;
            Ok(bytes)
        });
        placed.map_err(|problem| self.discard(&temporary, may_exist, problem))
    }

    /// Checks whether source and target are the same file, before a target that is a link is
    /// opened.
    fn probe(&mut self, sending: &Sending<'_>) -> Result<(), Problem> {
        let temporary = temporary_name(sending.target)?;
        let work = Work::Probe {
            open: Open::to_create(&temporary, sending.perm),
            probe: sending.probe(&temporary),
        };
        let probed = self.transfer(Protocol::CopyIn, work, 0);
        let may_exist = self.may_have_created();
        let problem = self.checked_here(sending, probed).err();
        let kept = may_exist && !self.remove(&temporary);
        match problem {
            Some(problem) if kept => Err(left_behind(problem, temporary)),
            Some(problem) => Err(problem),
            None if kept => Err(left_behind(CopyError::ProbeLeft.into(), temporary)),
            None => Ok(()),
        }
    }

    /// Refuses a target that may be the source. If the guest's directory is not visible here, a
    /// link in it may lead to the source, and opening it for writing would truncate the source. An
    /// empty source has nothing to lose.
    fn refuse_possible_source(&mut self, sending: &Sending<'_>) -> Result<(), Problem> {
        // A dangling link cannot be examined.
        let found = self.look(sending.target);
        let is_like = found.is_ok_and(|stat| stat.is_like(sending.metadata));
        if !is_like || sending.metadata.len() == 0 {
            return Ok(());
        }
        let (from, to) = (sending.name(), guest_name(sending.target));
        Err(CopyError::MaybeSameFile { from, to }.into())
    }

    /// Writes into the target itself.
    fn in_place(
        &mut self,
        sending: &Sending<'_>,
        kind: Kind,
        source: Source,
    ) -> Result<u64, Problem> {
        let work = Work::Send {
            open: Open::to_write(sending.target, sending.perm, kind),
            source,
        };
        let sent = self.transfer(Protocol::CopyIn, work, sending.metadata.len());
        self.checked(sending, sent)
    }

    /// Returns the number of bytes that were sent, if the source has not changed.
    fn checked(
        &mut self,
        sending: &Sending<'_>,
        sent: Result<u64, Transfer>,
    ) -> Result<u64, Problem> {
        let copied = self.checked_here(sending, sent)?;
        let before = sending.metadata;
        if !before.is_file() {
            return Ok(copied);
        }
        let after = self.source_now(sending.path)?;
        check_length(sending.name(), before.len(), after.len(), copied)?;
        let written = |metadata: &Metadata| (metadata.mtime(), metadata.mtime_nsec());
        if before.len() > 0 && written(before) != written(&after) {
            return Err(sending.changed(&after).into());
        }
        Ok(copied)
    }

    fn checked_here(
        &mut self,
        sending: &Sending<'_>,
        sent: Result<u64, Transfer>,
    ) -> Result<u64, Problem> {
        match sent {
            Ok(bytes) => Ok(bytes),
            Err(Transfer::There(problem)) => Err(*problem),
            Err(Transfer::Here(failure)) => Err(match failure {
                Failure::Io(error) => Problem::file("read", sending.path)(error),
                Failure::Interrupted => CopyError::Interrupted.into(),
                Failure::SameFile => sending.same_file().into(),
                Failure::Longer => sending.changed(&self.source_now(sending.path)?).into(),
            }),
        }
    }

    /// Returns the current metadata of the source.
    fn source_now(&mut self, path: &Path) -> Result<Metadata, Problem> {
        let copier = self.driver.application();
        let metadata = copier.source().map(File::metadata);
        let missing = || Err(io::ErrorKind::NotFound.into());
        metadata
            .unwrap_or_else(missing)
            .map_err(Problem::file("read", path))
    }

    /// Checks that the guest has all bytes that were sent.
    fn check_arrived(&mut self, path: &str, sent: u64) -> Result<(), Problem> {
        let stat = self.look(path)?;
        if stat.kind == Kind::File && stat.size != sent {
            let got = stat.size;
            return Err(CopyError::Truncated { sent, got }.into());
        }
        Ok(())
    }

    fn put_in_place(&mut self, temporary: &str, target: &str) -> Result<(), Problem> {
        let (from, to) = (temporary.to_owned(), target.to_owned());
        self.driver.application().begin(Work::Rename { from, to });
        self.session(Protocol::PutInPlace)
    }

    /// Whether the session that has just ended may have created its file: the guest opened it, or
    /// did not report that opening failed.
    fn may_have_created(&mut self) -> bool {
        let last = &self.driver.sink().1;
        let is_refused = last.failure.as_ref().is_some_and(|failure| {
            !matches!(
                failure.kind,
                FailureKind::Lost | FailureKind::Timeout | FailureKind::Cancelled
            )
        });
        self.driver.application().has_opened() || !is_refused
    }

    /// Removes the temporary file of a failed copy. If that fails as well, the problem names the
    /// file that may be left behind.
    fn discard(&mut self, temporary: &str, may_exist: bool, problem: Problem) -> Problem {
        if may_exist && !self.remove(temporary) {
            left_behind(problem, temporary.to_owned())
        } else {
            problem
        }
    }
}

/// A file on its way to the guest.
struct Sending<'s> {
    path: &'s Path,
    target: &'s str,
    /// The source's metadata when it was opened.
    metadata: &'s Metadata,
    perm: u32,
}

impl Sending<'_> {
    /// The name of the source, as messages show it.
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn same_file(&self) -> CopyError {
        let (from, to) = (self.name(), guest_name(self.target));
        CopyError::SameFile { from, to }
    }

    fn changed(&self, after: &Metadata) -> CopyError {
        CopyError::Changed {
            name: self.name(),
            before: self.metadata.len(),
            after: after.len(),
        }
    }

    fn probe(&self, temporary: &str) -> SameFileProbe {
        SameFileProbe {
            temporary: PathBuf::from(temporary),
            source: self.path.to_owned(),
            target: PathBuf::from(self.target),
        }
    }
}

fn left_behind(problem: Problem, temporary: String) -> Problem {
    let (problem, file) = (Box::new(problem), temporary);
    Problem::LeftBehind { problem, file }
}

/// Returns a temporary name beside the target: `.NAME.antiphon-XXXXXXXX`.
fn temporary_name(target: &str) -> Result<String, Problem> {
    let (directory, name) = match target.rfind('/') {
        Some(slash) => target.split_at(slash + 1),
        None => ("", target),
    };
    let mut len = name.len().min(NAME_LEN_MAX);
    while !name.is_char_boundary(len) {
        len -= 1;
    }
    let name = name.get(..len).unwrap_or_default();
    let mut random = [0; RANDOM_LEN];
    getrandom::fill(&mut random).map_err(|error| SystemError::Random(error.into()))?;
    let letter = |byte: u8| LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'a');
    let random: String = random.map(letter).map(char::from).iter().collect();
    Ok(format!("{directory}.{name}.antiphon-{random}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_has_a_new_name_beside_its_target() {
        let temporary = temporary_name("/srv/model.bin").expect("there are random numbers");
        let end = temporary.strip_prefix("/srv/.model.bin.antiphon-");
        assert_eq!(end.expect("it is beside the target").len(), RANDOM_LEN);
        assert_ne!(
            temporary,
            temporary_name("/srv/model.bin").expect("as before")
        );
        let temporary = temporary_name("model.bin").expect("as before");
        assert!(temporary.starts_with(".model.bin.antiphon-"), "{temporary}");
        let long = "\u{fc}".repeat(127);
        assert!(temporary_name(&long).expect("as before").len() <= 255);
    }
}
