//! Copies from the guest: into a temporary file beside the target, which replaces the target when
//! it is complete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::copier::{Failure, Kind, Open, Stat, Work};
use crate::problem::{CopyError, Problem};
use crate::replace;
use crate::same_file;

use super::session::{Copy, PERMISSIONS, Protocol, Transfer, check_length, guest_name};

impl Copy<'_> {
    pub(super) fn copy_out(
        &mut self,
        source: &str,
        target: &Path,
    ) -> Result<(u64, String), Problem> {
        let stat = self.look(source)?;
        let target = target_of(source, target);
        let writing = |error| Problem::file("write", &target)(error);
        let place = regular(&target).map_err(writing)?;
        if is_same_file(source, &stat, &place) {
            let (from, to) = (guest_name(source), target.display().to_string());
            return Err(CopyError::SameFile { from, to }.into());
        }
        // The umask applies when the file is created.
        let kept = replace::temporary(&place, stat.perm & PERMISSIONS).map_err(writing)?;
        let work = Work::Fetch {
            open: Open::to_read(source, stat.kind),
            file: kept.as_file().try_clone().map_err(writing)?,
            len_max: stat.len_max(),
            ended: false,
        };
        let bytes = match self.transfer(Protocol::CopyOut, work, stat.size) {
            Ok(bytes) => bytes,
            Err(Transfer::There(problem)) => return Err(*problem),
            Err(Transfer::Here(failure)) => {
                return Err(self.failed_here(source, &stat, &target, failure)?);
            }
        };
        self.check_source(source, stat, bytes)?;
        kept.persist(&place).map_err(|error| writing(error.error))?;
        Ok((bytes, target.display().to_string()))
    }

    /// Returns the error of a copy that failed on this side.
    fn failed_here(
        &mut self,
        source: &str,
        before: &Stat,
        target: &Path,
        failure: Failure,
    ) -> Result<Problem, Problem> {
        Ok(match failure {
            Failure::Io(error) => Problem::file("write", target)(error),
            Failure::Interrupted => CopyError::Interrupted.into(),
            Failure::SameFile => {
                let (from, to) = (guest_name(source), target.display().to_string());
                CopyError::SameFile { from, to }.into()
            }
            Failure::Longer => changed(source, before, &self.look(source)?).into(),
        })
    }

    /// Checks that the source has not changed since the copy began, and has arrived completely.
    fn check_source(&mut self, source: &str, before: Stat, copied: u64) -> Result<(), Problem> {
        if before.kind != Kind::File {
            return Ok(());
        }
        let after = self.look(source)?;
        check_length(guest_name(source), before.size, after.size, copied)?;
        if before.size > 0 && before.mtime_ms != after.mtime_ms {
            return Err(changed(source, &before, &after).into());
        }
        Ok(())
    }
}

/// Returns the file that is written. In a directory it has the source's name.
pub(super) fn target_of(source: &str, target: &Path) -> PathBuf {
    let name = source.rsplit('/').next().unwrap_or(source);
    let inside = target.is_dir() || target.as_os_str().to_string_lossy().ends_with('/');
    if inside {
        target.join(name)
    } else {
        target.to_owned()
    }
}

/// Whether the guest's file is the one at `place`: it is visible here under the same path, with the
/// length and modification time that the guest reports.
fn is_same_file(source: &str, stat: &Stat, place: &Path) -> bool {
    let here = Path::new(source);
    let is_seen = fs::metadata(here).is_ok_and(|metadata| stat.is_like(&metadata));
    is_seen && same_file::is_same_file(here, place)
}

fn changed(source: &str, before: &Stat, after: &Stat) -> CopyError {
    CopyError::Changed {
        name: guest_name(source),
        before: before.size,
        after: after.size,
    }
}

/// Returns the file that is replaced: a new file, or the one that the path leads to. Anything else
/// is an error, because renaming would replace a device, a pipe or a link.
fn regular(target: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(target) {
        Ok(file) if fs::metadata(&file)?.is_file() => Ok(file),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it exists and is not a regular file",
        )),
        // A dangling link exists, too.
        Err(error) if fs::symlink_metadata(target).is_ok() => Err(error),
        Err(_) => Ok(target.to_owned()),
    }
}
