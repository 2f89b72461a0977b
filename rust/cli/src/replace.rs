//! Atomic writes of the user's files: a failure leaves the old file.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The mode of a new file, before the umask.
const MODE: u32 = 0o666;

/// The mode of a file whose content is as secret as a recording.
const PRIVATE_MODE: u32 = 0o600;

/// The permission bits that are kept when a file is replaced: no set-user-ID and the like.
const PERMISSIONS: u32 = 0o777;

/// The most symbolic links that are followed, as in Linux.
const LINKS_MAX: usize = 40;

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A regular file or no file yet, at this path, which is not a symbolic link.
    Regular(PathBuf),
    /// A device, a pipe, or a process's descriptor such as `/dev/fd/3`. It can be written but not
    /// replaced.
    Special,
}

/// Follows all links of a path, so that writing leaves a link in place.
pub(crate) fn target(path: &Path) -> io::Result<Target> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(Target::Special);
    }
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        if !is_link {
            return Ok(Target::Regular(path));
        }
        let directory = directory(&path);
        // Links in `/proc` are open files: a new file under the name that they show would not be
        // the open one.
        if fs::canonicalize(directory)?.starts_with("/proc") {
            return Ok(Target::Special);
        }
        path = directory.join(fs::read_link(&path)?);
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// Returns the directory that a file is in.
pub(crate) fn directory(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

/// Creates an empty file with that mode, less the umask, in the target's directory. It is removed
/// unless it is persisted. The error is the system's, without the temporary file's name: the caller
/// names the file that the user gave.
pub(crate) fn temporary(target: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let mut code = None;
    let created =
        tempfile::Builder::new()
            .prefix(".antiphon-")
            .make_in(directory(target), |path| {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true).mode(mode);
                let opened = options.open(path);
                opened.inspect_err(|error| code = error.raw_os_error())
            });
    created.map_err(|error| code.map_or(error, io::Error::from_raw_os_error))
}

/// Writes a file atomically. A regular file is replaced by one with the same mode; a device or a
/// pipe is written directly.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Writes a regular file atomically that only its owner can read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Target::Regular(target) = target(path)? else {
        return Err(io::Error::other("it is not a regular file"));
    };
    let mut file = temporary(&target, PRIVATE_MODE)?;
    file.as_file_mut().write_all(bytes)?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

/// Like [`write()`]; `fill` writes the content.
pub(crate) fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let target = match target(path)? {
        Target::Regular(target) => target,
        Target::Special => {
            let mut options = OpenOptions::new();
            return fill(&mut options.write(true).truncate(true).open(path)?);
        }
    };
    let kept = fs::metadata(&target).ok();
    let kept = kept.map(|metadata| metadata.permissions().mode() & PERMISSIONS);
    let mut file = temporary(&target, kept.unwrap_or(MODE))?;
    if let Some(kept) = kept {
        // Set explicitly because the umask applied, and before the file has content.
        let kept = Permissions::from_mode(kept);
        file.as_file().set_permissions(kept)?;
    }
    fill(file.as_file_mut())?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}
