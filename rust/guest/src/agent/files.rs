//! The file requests of one connection, with a bounded table of open files.
//!
//! Every request has one result. No request waits for another process: a named pipe or a terminal
//! is opened without blocking, and reading it while it is empty is an error.

use std::collections::{BTreeMap, BinaryHeap};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};

use antiphon_wire::{
    Empty, Entry, FileData, FileKind, FsClose, FsList, FsMkdir, FsOpen, FsRead, FsReadFile,
    FsRename, FsSeek, FsStat, FsUnlink, FsWrite, FsWriteFile, LIST_LEN, LIST_LEN_MAX, Listing, Op,
    OpError, OpErrorCode, OpResult, OpValue, OpenMode, Opened, Permissions, Position, Stat, Whence,
    Written, truncated,
};
use rustix::fs::OFlags;

/// The most open files of one connection: enough to copy many files at once, and below the usual
/// limit of 1024 descriptors even if all commands of the connection run.
pub(crate) const HANDLES_MAX: usize = 256;

/// The most bytes of an error's message, so that it fits any frame, whatever the path.
const MESSAGE_LEN_MAX: usize = 512;

const FILE_PERM: u32 = 0o644;
const DIRECTORY_PERM: u32 = 0o755;
const NO_PERM: Permissions = match Permissions::new(0) {
    Some(perm) => perm,
    None => unreachable!(),
};

/// The open files of one connection. They are closed on drop.
#[derive(Debug, Default)]
pub(crate) struct Files {
    open: BTreeMap<u32, File>,
    next: u32,
    /// The most bytes of data in one result.
    data_len_max: usize,
}

/// A file request.
#[derive(Debug)]
pub(crate) enum FileRequest {
    Open(FsOpen),
    Read(FsRead),
    Write(FsWrite),
    Seek(FsSeek),
    Close(FsClose),
    Stat(FsStat),
    ReadFile(FsReadFile),
    WriteFile(FsWriteFile),
    List(FsList),
    Mkdir(FsMkdir),
    Unlink(FsUnlink),
    Rename(FsRename),
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("no file is open under handle {0}")]
    Handle(u32),
    #[error("{HANDLES_MAX} files are open, close one")]
    TooMany,
    #[error("the position lies beyond what a file can hold")]
    Offset,
    #[error("{}: {error}", name_shown(.name))]
    Io { name: String, error: io::Error },
}

type Done = Result<OpValue, FileError>;

impl Files {
    /// A table without open files. Results have at most `data_len_max` bytes of data.
    pub(crate) fn new(data_len_max: usize) -> Files {
        Files {
            open: BTreeMap::new(),
            next: 0,
            data_len_max,
        }
    }

    /// Serves a request.
    pub(crate) fn serve(&mut self, request: FileRequest) -> OpResult {
        let (op, done) = match request {
            FileRequest::Open(r) => (Op::FsOpen, self.open(&r)),
            FileRequest::Read(r) => (Op::FsRead, self.read(&r)),
            FileRequest::Write(r) => (Op::FsWrite, self.write(&r)),
            FileRequest::Seek(r) => (Op::FsSeek, self.seek(&r)),
            FileRequest::Close(r) => (Op::FsClose, self.close(&r)),
            FileRequest::Stat(r) => (Op::FsStat, stat(&r)),
            FileRequest::ReadFile(r) => (Op::FsReadFile, self.read_file(&r)),
            FileRequest::WriteFile(r) => (Op::FsWriteFile, write_file(&r)),
            FileRequest::List(r) => (Op::FsList, list(&r)),
            FileRequest::Mkdir(r) => (Op::FsMkdir, mkdir(&r)),
            FileRequest::Unlink(r) => (Op::FsUnlink, unlink(&r)),
            FileRequest::Rename(r) => (Op::FsRename, rename(&r)),
        };
        match done {
            Ok(value) => OpResult::Ok(value),
            Err(error) => OpResult::Err {
                op,
                error: error.report(),
            },
        }
    }

    fn open(&mut self, request: &FsOpen) -> Done {
        if self.open.len() >= HANDLES_MAX {
            return Err(FileError::TooMany);
        }
        let has = |bit| request.mode.contains(bit);
        let mut options = options(request.perm);
        options
            .read(has(OpenMode::READ))
            .write(has(OpenMode::WRITE))
            .truncate(has(OpenMode::TRUNCATE))
            .append(has(OpenMode::APPEND))
            .create(has(OpenMode::CREATE))
            .create_new(has(OpenMode::CREATE | OpenMode::EXCLUSIVE));
        let file = options
            .open(&request.path)
            .map_err(|error| failed(&request.path, error))?;
        // At most `HANDLES_MAX` handles are taken, so this ends within as many turns.
        while self.open.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let handle = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(handle, file);
        Ok(OpValue::FsOpen(Opened { handle }))
    }

    fn read(&mut self, request: &FsRead) -> Done {
        let len = usize::try_from(request.len)
            .unwrap_or(usize::MAX)
            .min(self.data_len_max);
        let mut file = self.file(request.handle)?;
        let read = match request.offset {
            Some(offset) => read_up_to(len, offset, |buf, at| file.read_at(buf, at)),
            None => read_up_to(len, 0, |buf, _| file.read(buf)),
        };
        read.map(OpValue::FsRead)
            .map_err(|error| failed_handle(request.handle, error))
    }

    fn write(&mut self, request: &FsWrite) -> Done {
        let mut file = self.file(request.handle)?;
        let written = match request.offset {
            Some(offset) => {
                check_span(offset, request.data.len())?;
                file.write_all_at(&request.data, offset)
            }
            None => file.write_all(&request.data),
        };
        written.map_err(|error| failed_handle(request.handle, error))?;
        Ok(OpValue::FsWrite(Written {
            written: len_u32(request.data.len()),
        }))
    }

    fn seek(&mut self, request: &FsSeek) -> Done {
        let mut file = self.file(request.handle)?;
        let to = match request.whence {
            Whence::Start => {
                SeekFrom::Start(u64::try_from(request.offset).map_err(|_| FileError::Offset)?)
            }
            Whence::Current => SeekFrom::Current(request.offset),
            Whence::End => SeekFrom::End(request.offset),
        };
        let position = file
            .seek(to)
            .map_err(|error| failed_handle(request.handle, error))?;
        Ok(OpValue::FsSeek(Position { position }))
    }

    fn close(&mut self, request: &FsClose) -> Done {
        let known = self.open.remove(&request.handle);
        known
            .map(|_| OpValue::FsClose(Empty {}))
            .ok_or(FileError::Handle(request.handle))
    }

    fn read_file(&self, request: &FsReadFile) -> Done {
        let path = &request.path;
        let asked = request.len.map_or(usize::MAX, |len| len as usize);
        let file = options(None)
            .read(true)
            .open(path)
            .map_err(|error| failed(path, error))?;
        let offset = request.offset.unwrap_or(0);
        let len = asked.min(self.data_len_max);
        let read = if request.offset.is_some() {
            read_up_to(len, offset, |buf, at| file.read_at(buf, at))
        } else {
            // Without an offset, so that a device or a pipe can be read, too.
            read_up_to(len, 0, |buf, _| (&file).read(buf))
        };
        read.map(OpValue::FsReadFile)
            .map_err(|error| failed(path, error))
    }

    fn file(&self, handle: u32) -> Result<&File, FileError> {
        self.open.get(&handle).ok_or(FileError::Handle(handle))
    }
}

fn stat(request: &FsStat) -> Done {
    let path = &request.path;
    let follow = request.follow.unwrap_or(true);
    let found = if follow {
        fs::metadata(path)
    } else {
        fs::symlink_metadata(path)
    };
    let meta = found.map_err(|error| failed(path, error))?;
    let perm = Permissions::new(meta.mode() & Permissions::MAX).unwrap_or(NO_PERM);
    let mtime_ms = meta
        .mtime()
        .checked_mul(1000)
        .map(|ms| ms + meta.mtime_nsec() / 1_000_000);
    Ok(OpValue::FsStat(Stat {
        kind: kind_of(&meta),
        perm,
        size: meta.len(),
        mtime_ms,
    }))
}

fn write_file(request: &FsWriteFile) -> Done {
    let path = &request.path;
    let mut options = options(request.perm);
    options
        .write(true)
        .create(true)
        .truncate(request.offset.is_none());
    let offset = request.offset.unwrap_or(0);
    check_span(offset, request.data.len())?;
    let mut file = options.open(path).map_err(|error| failed(path, error))?;
    let written = match request.offset {
        Some(offset) => file.write_all_at(&request.data, offset),
        None => file.write_all(&request.data),
    };
    written.map_err(|error| failed(path, error))?;
    Ok(OpValue::FsWriteFile(Written {
        written: len_u32(request.data.len()),
    }))
}

/// One page of a directory. Memory is bounded by the page, not by the directory.
fn list(request: &FsList) -> Done {
    let limit = request.limit.map_or(LIST_LEN, |limit| limit.get()) as usize;
    let limit = limit.min(LIST_LEN_MAX);
    let at = |error| failed(&request.path, error);
    let mut page: BinaryHeap<String> = BinaryHeap::new();
    let (mut more, mut unlisted) = (false, 0u32);
    for entry in fs::read_dir(&request.path).map_err(at)? {
        let Ok(name) = entry.map_err(at)?.file_name().into_string() else {
            unlisted = unlisted.saturating_add(1);
            continue;
        };
        if request.after.as_ref().is_some_and(|after| name <= *after) {
            continue;
        }
        page.push(name);
        if page.len() > limit {
            page.pop();
            more = true;
        }
    }
    let entries = page
        .into_sorted_vec()
        .into_iter()
        .map(|name| entry(&request.path, name));
    let unlisted = (unlisted > 0).then_some(unlisted);
    Ok(OpValue::FsList(Listing {
        more,
        entries: entries.collect(),
        unlisted,
    }))
}

fn entry(directory: &str, name: String) -> Entry {
    // The file may have been removed since it was listed; its name is still returned.
    let meta = fs::symlink_metadata(std::path::Path::new(directory).join(&name)).ok();
    let kind = meta.as_ref().map_or(FileKind::Other, kind_of);
    let size = meta
        .filter(|_| kind == FileKind::File)
        .map(|meta| meta.len());
    Entry { kind, name, size }
}

fn mkdir(request: &FsMkdir) -> Done {
    let mut builder = DirBuilder::new();
    builder.recursive(request.parents.unwrap_or(false));
    builder.mode(request.perm.map_or(DIRECTORY_PERM, Permissions::bits));
    builder
        .create(&request.path)
        .map_err(|error| failed(&request.path, error))?;
    Ok(OpValue::FsMkdir(Empty {}))
}

fn unlink(request: &FsUnlink) -> Done {
    let path = &request.path;
    let removed = if request.dir.unwrap_or(false) {
        fs::remove_dir(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(|error| failed(path, error))?;
    Ok(OpValue::FsUnlink(Empty {}))
}

fn rename(request: &FsRename) -> Done {
    fs::rename(&request.from, &request.to).map_err(|error| failed(&request.from, error))?;
    Ok(OpValue::FsRename(Empty {}))
}

fn options(perm: Option<Permissions>) -> OpenOptions {
    let mut options = OpenOptions::new();
    // Opening a pipe must not wait for its other end, and a terminal must not become the agent's
    // controlling terminal.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed());
    options.mode(perm.map_or(FILE_PERM, Permissions::bits));
    options
}

/// Reads until `len` bytes were read or the end is reached.
fn read_up_to(
    len: usize,
    offset: u64,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<FileData> {
    let mut data = vec![0; len];
    let mut filled = 0;
    let mut eof = false;
    while let Some(rest) = data.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let at = offset
            .checked_add(filled as u64)
            .ok_or(ErrorKind::InvalidInput)?;
        match read(rest, at) {
            Ok(0) => {
                eof = true;
                break;
            }
            Ok(more) => filled += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The bytes that a pipe or a terminal holds now; its end is not known.
            Err(error) if error.kind() == ErrorKind::WouldBlock && filled > 0 => break,
            Err(error) => return Err(error),
        }
    }
    data.truncate(filled);
    Ok(FileData { eof, data })
}

fn check_span(offset: u64, len: usize) -> Result<(), FileError> {
    let end = offset
        .checked_add(len as u64)
        .and_then(|end| i64::try_from(end).ok());
    end.map(|_| ()).ok_or(FileError::Offset)
}

fn kind_of(meta: &Metadata) -> FileKind {
    let kind = meta.file_type();
    if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Other
    }
}

fn len_u32(len: usize) -> u32 {
    // The data was in a frame, whose length has 32 bits.
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn failed(path: &str, error: io::Error) -> FileError {
    FileError::Io {
        name: path.to_owned(),
        error,
    }
}

fn failed_handle(handle: u32, error: io::Error) -> FileError {
    FileError::Io {
        name: format!("handle {handle}"),
        error,
    }
}

fn name_shown(name: &str) -> String {
    let shown: String = name.chars().take(256).collect();
    format!("`{shown}`")
}

impl FileError {
    fn report(&self) -> OpError {
        let message = truncated(&self.to_string(), MESSAGE_LEN_MAX).to_owned();
        let (code, errno) = match self {
            FileError::Handle(_) => (OpErrorCode::BadHandle, None),
            FileError::TooMany => (OpErrorCode::TooManyOpen, None),
            FileError::Offset => (OpErrorCode::InvalidInput, None),
            FileError::Io { error, .. } => (code_of(error), error.raw_os_error()),
        };
        OpError {
            code,
            errno,
            message,
        }
    }
}

fn code_of(error: &io::Error) -> OpErrorCode {
    match error.kind() {
        ErrorKind::NotFound => OpErrorCode::NotFound,
        ErrorKind::AlreadyExists => OpErrorCode::AlreadyExists,
        ErrorKind::PermissionDenied => OpErrorCode::PermissionDenied,
        ErrorKind::NotADirectory => OpErrorCode::NotADirectory,
        ErrorKind::IsADirectory => OpErrorCode::IsADirectory,
        ErrorKind::DirectoryNotEmpty => OpErrorCode::NotEmpty,
        ErrorKind::InvalidInput => OpErrorCode::InvalidInput,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpErrorCode::NoSpace,
        ErrorKind::ReadOnlyFilesystem => OpErrorCode::ReadOnly,
        // The list of the standard library is open. Errors that the link has no name for are `io`
        // with their number.
        _ => match error
            .raw_os_error()
            .map(rustix::io::Errno::from_raw_os_error)
        {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => OpErrorCode::TooManyOpen,
            Some(rustix::io::Errno::BADF) => OpErrorCode::InvalidInput,
            Some(_) | None => OpErrorCode::Io,
        },
    }
}
