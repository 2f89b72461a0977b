//! From the guest: into a file beside the target, which takes its place when it is whole.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Copy, PERMISSIONS, Protocol, Transfer, changed, check_length};
use crate::copier::{Failure, Kind, Open, Stat, Work};
use crate::filter;
use crate::problem::Problem;
use crate::replace;

/// The mode of a file that is not whole yet.
const MODE: u32 = 0o600;

impl Copy<'_> {
    pub(super) fn copy_out(
        &mut self,
        source: &str,
        target: &Path,
    ) -> Result<(u64, String), Problem> {
        let stat = self.look(source)?;
        let name = source.rsplit('/').next().unwrap_or(source);
        let inside = target.is_dir() || target.as_os_str().to_string_lossy().ends_with('/');
        let target = match inside {
            true => target.join(name),
            false => target.to_owned(),
        };
        let writing = |error| Problem::file("write", &target)(error);
        let place = regular(&target).map_err(writing)?;
        let kept = replace::temporary(&place, MODE).map_err(writing)?;
        let work = Work::Fetch {
            open: Open::to_read(source, stat.kind),
            file: kept.reopen().map_err(writing)?,
            len_max: stat.len_max(),
            ended: false,
        };
        let bytes = match self.transfer(Protocol::CopyOut, work, stat.size) {
            Ok(bytes) => bytes,
            Err(Transfer::Here(Failure::Longer)) => {
                let after = self.look(source)?;
                let reason = changed(&shown(source), stat.size, after.size);
                return Err(Problem::Copy { reason });
            }
            Err(failed) => return Err(failed.problem("write", &target)),
        };
        self.check_source(source, stat, bytes)?;
        let permissions = fs::Permissions::from_mode(stat.perm & PERMISSIONS);
        kept.as_file()
            .set_permissions(permissions)
            .map_err(writing)?;
        kept.persist(&place).map_err(|error| writing(error.error))?;
        Ok((bytes, target.display().to_string()))
    }

    /// Whether the source is what it was when the copy began, and has arrived as a whole.
    fn check_source(&mut self, source: &str, before: Stat, copied: u64) -> Result<(), Problem> {
        if before.kind != Kind::File {
            return Ok(());
        }
        let after = self.look(source)?;
        check_length(&shown(source), before.size, after.size, copied)?;
        if before.size > 0 && before.mtime_ms != after.mtime_ms {
            let reason = changed(&shown(source), before.size, after.size);
            return Err(Problem::Copy { reason });
        }
        Ok(())
    }
}

fn shown(source: &str) -> String {
    format!("guest:{}", filter::line(source))
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
