//! The file of a recording: readable for its owner only, locked while it is written, replaced
//! atomically.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use antiphon_record::{Flush, Header, RecordError, Recorder};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::problem::{Problem, RecordingError};
use crate::replace;

/// Payloads are recorded unchanged, secrets included, so only the owner may read a recording.
const MODE: u32 = 0o600;

/// How often another process may replace or remove the target between two system calls of this one.
/// A round takes microseconds, so a target that changes this often is being rewritten all the time.
const ATTEMPTS_MAX: usize = 16;

/// Begins a recording and returns its recorder. An existing file is replaced only if `overwrite` is
/// set.
pub(super) fn create(
    path: &Path,
    overwrite: bool,
    header: &Header,
) -> Result<Recorder<File>, Problem> {
    if !overwrite {
        return create_new(path, header);
    }
    match replace::target(path).map_err(Problem::file("replace", path))? {
        replace::Target::Regular(target) => replace_existing(path, &target, header),
        replace::Target::Special => open_special(path, header),
    }
}

/// Begins a recording in a new file.
fn create_new(path: &Path, header: &Header) -> Result<Recorder<File>, Problem> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(MODE);
    let file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let path = path.to_owned();
            RecordingError::Exists { path }.into()
        }
        _ => Problem::file("create", path)(error),
    })?;
    lock(&file, path)?;
    if !is_at(&file, path) {
        // Another process replaced the file before it was locked.
        return Err(busy(path));
    }
    // The lock lasts until both descriptors are closed, so no other process writes here before the
    // file is removed.
    let locked = file.try_clone();
    let begun = begin(file, path, header);
    if begun.is_err() {
        // The file is empty or holds part of a header. The first error is reported.
        let _ = fs::remove_file(path);
    }
    drop(locked);
    begun
}

/// Replaces the recording at `target`, which `path` leads to. The old one is locked, and stays
/// until the new one has its header.
fn replace_existing(
    path: &Path,
    target: &Path,
    header: &Header,
) -> Result<Recorder<File>, Problem> {
    for _ in 0..ATTEMPTS_MAX {
        // Opened for writing although it is not written, so that a write-protected file is not
        // replaced.
        let old = match OpenOptions::new().write(true).open(target) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match create_new(target, header) {
                    Err(Problem::Recording(RecordingError::Exists { .. })) => continue,
                    begun => return begun,
                }
            }
            Err(error) => return Err(Problem::file("replace", path)(error)),
        };
        lock(&old, path)?;
        if is_at(&old, target) {
            return put_in_place(path, target, header);
        }
    }
    Err(busy(path))
}

/// Describes how a recording was lost, if it is no longer at its path. Returns `None` if it is
/// still there, or is not a regular file.
pub(super) fn describe_loss(file: &File, path: &Path) -> Option<String> {
    let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
    let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    let how = match fs::metadata(path) {
        Ok(found) if identity(&found) == identity(&metadata) => return None,
        Ok(_) => "was replaced by another file while it was recorded".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "was removed while it was recorded".to_owned()
        }
        Err(error) => format!("cannot be found after it was recorded: {error}"),
    };
    Some(format!("`{}` {how}", path.display()))
}

/// Whether the path still names this file: another process may have replaced it before it was
/// locked.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(file), Ok(found)) => identity(file) == identity(found),
        _ => false,
    }
}

/// Begins the recording in a temporary file, which replaces the target once it has its header.
fn put_in_place(path: &Path, target: &Path, header: &Header) -> Result<Recorder<File>, Problem> {
    let failed = |error| Problem::file("replace", path)(error);
    let (file, temporary) = replace::temporary(target, MODE)
        .map_err(failed)?
        .into_parts();
    lock(&file, path)?;
    let recorder = begin(file, path, header)?;
    temporary
        .persist(target)
        .map_err(|error| failed(error.error))?;
    Ok(recorder)
}

/// Begins a recording in a device, a pipe, or an open descriptor of a process. It is written
/// directly.
fn open_special(path: &Path, header: &Header) -> Result<Recorder<File>, Problem> {
    let failed = |error| Problem::file("write", path)(error);
    let mut options = OpenOptions::new();
    // Without `NONBLOCK`, opening a pipe blocks until it has a reader.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.write(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(|error| {
        let is_pipe = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
        if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) && is_pipe {
            failed(io::Error::other(
                "no process reads from this pipe; start its reader first",
            ))
        } else {
            failed(error)
        }
    })?;
    let flags = rustix::fs::fcntl_getfl(&file).map_err(|error| failed(error.into()))?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)
        .map_err(|error| failed(error.into()))?;
    if file.metadata().map_err(failed)?.is_file() {
        lock(&file, path)?;
        file.set_len(0).map_err(failed)?;
    }
    begin(file, path, header)
}

/// Writes the header, so that every visible recording has one and a full disk is noticed before the
/// run.
fn begin(file: File, path: &Path, header: &Header) -> Result<Recorder<File>, Problem> {
    let failed = |error| {
        let path = path.to_owned();
        Problem::from(RecordingError::Write { path, error })
    };
    let mut recorder = Recorder::create(file, header, Flush::default()).map_err(failed)?;
    recorder.flush();
    match recorder.error() {
        None => Ok(recorder),
        Some(_) => Err(failed(
            recorder.abandon().err().unwrap_or(RecordError::Stopped),
        )),
    }
}

/// Locks the file against other writers, until it is closed.
fn lock(file: &File, path: &Path) -> Result<(), Problem> {
    loop {
        return match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => Err(busy(path)),
            // A file system without locks: a second writer is not noticed there.
            Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(error) => Err(Problem::file("lock", path)(error.into())),
        };
    }
}

fn busy(path: &Path) -> Problem {
    let path = path.to_owned();
    RecordingError::Busy { path }.into()
}
