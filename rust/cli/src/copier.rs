//! The host's side of a copy: answers for the role `Local` of the shipped file protocols.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use antiphon_machine::text::Literal;
use antiphon_machine::{Class, EffectHandler, EffectRequest, FailureKind, Outcome, Reply, Value};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::fields::{Fields, record};
use crate::interrupt::Interrupt;
use crate::same_file::is_same_file;

/// Bytes of a chunk: with the other fields of its record, a chunk fits a payload of 64 KiB.
const CHUNK_LEN: usize = 60 << 10;

/// How often a wait for a pipe or a terminal checks for a signal.
const SIGNAL_CHECKED_EVERY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// The bits of an open mode that a copy uses.
const READ: u8 = 1;
const WRITE: u8 = 1 << 1;
const CREATE: u8 = 1 << 2;
const TRUNCATE: u8 = 1 << 3;
const EXCLUSIVE: u8 = 1 << 5;

/// The handler of a copy. It runs one session after another.
#[derive(Debug, Default)]
pub(crate) struct Copier {
    work: Option<Work>,
    /// The handle of the file that the guest opened in this session.
    handle: Option<u64>,
    /// The number of copied bytes, which is the offset of the next chunk.
    offset: u64,
    /// Bytes that were read from the source and not yet written to the guest.
    chunk: Vec<u8>,
    bar: Option<ProgressBar>,
    failure: Option<Failure>,
    interrupt: Option<Interrupt>,
}

/// What a session does.
#[derive(Debug)]
pub(crate) enum Work {
    /// Examine a path: the path itself, or the file that a link there leads to.
    Look {
        path: String,
        follow: bool,
        found: Option<Stat>,
    },
    /// Copy to the guest.
    Send { open: Open, source: Source },
    /// Create a file in the guest and check whether it is visible here.
    Probe { open: Open, probe: SameFileProbe },
    /// Copy from the guest.
    Fetch {
        open: Open,
        file: File,
        len_max: Option<u64>,
        ended: bool,
    },
    /// Rename a file in the guest.
    Rename { from: String, to: String },
    /// Remove a file in the guest.
    Remove { path: String },
}

/// A file on this machine that is copied to the guest.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: File,
    /// Whether it is a regular file, so that reading never waits for another process.
    pub(crate) is_regular: bool,
    /// The length, if the file has one. Reading more than this is an error.
    pub(crate) len_max: Option<u64>,
    /// A check made when the guest has created its file.
    pub(crate) probe: Option<SameFileProbe>,
}

/// Detects that source and target are the same file, whatever the transport. The guest creates a
/// file under a random name. That file is visible here only if guest and host share its directory;
/// then device and inode of source and target are compared.
#[derive(Clone, Debug)]
pub(crate) struct SameFileProbe {
    /// The file that the guest creates, as a path on this machine.
    pub(crate) temporary: PathBuf,
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
}

impl SameFileProbe {
    fn is_same_file(&self) -> bool {
        fs::symlink_metadata(&self.temporary).is_ok() && is_same_file(&self.source, &self.target)
    }
}

/// Why a copy failed on this side.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The file on this machine cannot be read or written.
    Io(io::Error),
    /// Source and target are the same file.
    SameFile,
    /// The source is longer than it was when the copy began.
    Longer,
    /// A signal arrived while the source had nothing to read.
    Interrupted,
}

/// The kinds of file that a copy distinguishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    /// A device, a pipe or a socket.
    #[default]
    Other,
}

/// The metadata of a path in the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) perm: u32,
    pub(crate) mtime_ms: Option<i64>,
}

/// How a file in the guest is opened.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    path: String,
    mode: u8,
    perm: Option<u32>,
    /// Whether reads and writes carry an offset. A pipe or a terminal has none.
    has_positions: bool,
}

impl Open {
    pub(crate) fn to_read(path: &str, kind: Kind) -> Open {
        Open {
            path: path.to_owned(),
            mode: READ,
            perm: None,
            has_positions: kind != Kind::Other,
        }
    }

    /// Opens a file for writing and truncates it. A new file gets these permissions.
    pub(crate) fn to_write(path: &str, perm: u32, kind: Kind) -> Open {
        Open {
            path: path.to_owned(),
            mode: WRITE | CREATE | TRUNCATE,
            perm: Some(perm),
            has_positions: kind != Kind::Other,
        }
    }

    /// Creates a file with these permissions. It is an error if the file exists.
    pub(crate) fn to_create(path: &str, perm: u32) -> Open {
        Open {
            path: path.to_owned(),
            mode: WRITE | CREATE | EXCLUSIVE,
            perm: Some(perm),
            has_positions: true,
        }
    }
}

impl Copier {
    /// Makes waits for the source end when a signal arrives.
    pub(crate) fn set_interrupt(&mut self, interrupt: &Interrupt) {
        self.interrupt = Some(interrupt.clone());
    }

    /// Starts the work of the next session.
    pub(crate) fn begin(&mut self, work: Work) {
        *self = Copier {
            work: Some(work),
            interrupt: self.interrupt.take(),
            ..Copier::default()
        };
    }

    /// Shows a progress bar on standard error if that is a terminal.
    pub(crate) fn show_progress(&mut self, len: u64) {
        let bar = ProgressBar::new(len);
        let template = "{bar:32} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}";
        // The template is a constant; if it were invalid, the default style would be used.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        self.bar = Some(bar);
    }

    /// The result of [`Work::Look`].
    pub(crate) fn found(&self) -> Stat {
        match &self.work {
            Some(Work::Look {
                found: Some(found), ..
            }) => *found,
            Some(
                Work::Look { .. }
                | Work::Send { .. }
                | Work::Probe { .. }
                | Work::Fetch { .. }
                | Work::Rename { .. }
                | Work::Remove { .. },
            )
            | None => Stat::default(),
        }
    }

    /// Whether the guest has opened a file in this session.
    pub(crate) fn has_opened(&self) -> bool {
        self.handle.is_some()
    }

    /// The source of the copy.
    pub(crate) fn source(&self) -> Option<&File> {
        match &self.work {
            Some(Work::Send { source, .. }) => Some(&source.file),
            Some(
                Work::Look { .. }
                | Work::Probe { .. }
                | Work::Fetch { .. }
                | Work::Rename { .. }
                | Work::Remove { .. },
            )
            | None => None,
        }
    }

    /// The number of copied bytes.
    pub(crate) fn copied(&self) -> u64 {
        self.offset
    }

    /// Takes the failure on this side, if there was one.
    pub(crate) fn failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Removes the progress bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn failed(&mut self, failure: Failure) -> Reply {
        let detail = match &failure {
            Failure::Io(error) => error.to_string(),
            Failure::SameFile => "source and target are the same file".to_owned(),
            Failure::Longer => "the source changed".to_owned(),
            Failure::Interrupted => "a signal came".to_owned(),
        };
        self.failure = Some(failure);
        Reply::Now(Outcome::failure(FailureKind::Internal, &detail))
    }

    /// Chooses between the next chunk and the end of the file.
    fn decide(&mut self, request: &EffectRequest<'_>) -> Reply {
        let label = match &mut self.work {
            Some(Work::Send { source, .. }) => {
                let read = if self.chunk.is_empty() {
                    source.read(self.interrupt.as_ref(), self.offset, &mut self.chunk)
                } else {
                    Ok(())
                };
                match read {
                    Err(failure) => return self.failed(failure),
                    Ok(()) if self.chunk.is_empty() => "finish",
                    Ok(()) => "chunk",
                }
            }
            Some(Work::Fetch { ended: false, .. }) => "more",
            Some(
                Work::Fetch { .. }
                | Work::Probe { .. }
                | Work::Look { .. }
                | Work::Rename { .. }
                | Work::Remove { .. },
            )
            | None => "finish",
        };
        match request.choose(label) {
            Some(outcome) => Reply::Now(outcome),
            None => unexpected_request(request),
        }
    }

    fn produce(&mut self, label: &str, request: &EffectRequest<'_>) -> Reply {
        let number = |n: u64| Literal::Number(i128::from(n));
        let text = |text: &String| Literal::Text(text.clone());
        let handle = number(self.handle.unwrap_or_default());
        let offset = |open: &Open| open.has_positions.then(|| ("offset", number(self.offset)));
        let value = match (label, &self.work) {
            ("look", Some(Work::Look { path, follow, .. })) => {
                if *follow {
                    Ok(Value::text(path))
                } else {
                    record(
                        request,
                        vec![
                            ("path", text(path)),
                            ("follow", Literal::Word("false".to_owned())),
                        ],
                    )
                }
            }
            (
                "begin",
                Some(Work::Send { open, .. } | Work::Probe { open, .. } | Work::Fetch { open, .. }),
            ) => {
                let mut fields = vec![
                    ("path", text(&open.path)),
                    ("mode", number(u64::from(open.mode))),
                ];
                fields.extend(open.perm.map(|perm| ("perm", number(u64::from(perm)))));
                record(request, fields)
            }
            ("chunk", Some(Work::Send { open, .. })) => {
                let data = Literal::Bytes(self.chunk.clone());
                let mut fields = vec![("handle", handle), ("data", data)];
                fields.extend(offset(open));
                record(request, fields)
            }
            ("more", Some(Work::Fetch { open, .. })) => {
                let mut fields = vec![("handle", handle), ("len", number(CHUNK_LEN as u64))];
                fields.extend(offset(open));
                record(request, fields)
            }
            ("rename", Some(Work::Rename { from, to })) => {
                record(request, vec![("from", text(from)), ("to", text(to))])
            }
            ("unlink", Some(Work::Remove { path })) => Ok(Value::text(path)),
            _ => return unexpected_request(request),
        };
        Reply::Now(match value {
            Ok(value) => Outcome::Success(value),
            Err(why) => Outcome::failure(FailureKind::InvalidInput, &why),
        })
    }

    fn deliver(&mut self, label: &str, fields: &Fields<'_>) -> Reply {
        let number = |name: &str| fields.number(name).and_then(|n| u64::try_from(n).ok());
        match (label, &mut self.work) {
            ("opened", work) => {
                self.handle = Some(number("handle").unwrap_or_default());
                let probe = match work {
                    Some(Work::Send { source, .. }) => source.probe.as_ref(),
                    Some(Work::Probe { probe, .. }) => Some(&*probe),
                    Some(
                        Work::Fetch { .. }
                        | Work::Look { .. }
                        | Work::Rename { .. }
                        | Work::Remove { .. },
                    )
                    | None => None,
                };
                if probe.is_some_and(SameFileProbe::is_same_file) {
                    return self.failed(Failure::SameFile);
                }
            }
            ("written", Some(Work::Send { .. })) => {
                let written = number("written").unwrap_or_default();
                let len = usize::try_from(written)
                    .unwrap_or(usize::MAX)
                    .min(self.chunk.len());
                if len == 0 {
                    return self.failed(Failure::Io(io::ErrorKind::WriteZero.into()));
                }
                self.chunk.drain(..len);
                self.advance(len);
            }
            (
                "chunk",
                Some(Work::Fetch {
                    file,
                    ended,
                    len_max,
                    ..
                }),
            ) => {
                let data = fields.bytes("data");
                *ended = fields.boolean("eof") || data.is_empty();
                let end = self.offset.saturating_add(data.len() as u64);
                if len_max.is_some_and(|max| end > max) {
                    return self.failed(Failure::Longer);
                }
                if let Err(error) = file.write_all(&data) {
                    return self.failed(Failure::Io(error));
                }
                self.advance(data.len());
            }
            ("found", Some(Work::Look { found, .. })) => *found = Some(Stat::of(fields)),
            _ => {}
        }
        Reply::Now(Outcome::done())
    }

    fn advance(&mut self, len: usize) {
        self.offset += len as u64;
        if let Some(bar) = &self.bar {
            bar.set_position(self.offset);
        }
    }
}

impl Stat {
    fn of(fields: &Fields<'_>) -> Stat {
        let number = |name: &str| fields.number(name);
        Stat {
            kind: match fields.text("kind").as_str() {
                "file" => Kind::File,
                "directory" => Kind::Directory,
                "symlink" => Kind::Symlink,
                _ => Kind::Other,
            },
            size: number("size")
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or_default(),
            perm: number("perm")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or_default(),
            mtime_ms: number("mtime_ms"),
        }
    }

    /// Whether this may be the file with that metadata: both have the same length and modification
    /// time.
    pub(crate) fn is_like(&self, metadata: &Metadata) -> bool {
        let mtime_ms = metadata.mtime().checked_mul(1_000);
        let mtime_ms = mtime_ms.and_then(|ms| ms.checked_add(metadata.mtime_nsec() / 1_000_000));
        self.kind == Kind::File
            && metadata.is_file()
            && self.size == metadata.len()
            && self.mtime_ms == mtime_ms
    }

    /// The length, if it is meaningful: files such as those in `/proc` report 0.
    pub(crate) fn len_max(&self) -> Option<u64> {
        (self.kind == Kind::File && self.size > 0).then_some(self.size)
    }
}

impl Source {
    /// Reads the chunk at that offset. The chunk is empty at the end of the file.
    fn read(
        &mut self,
        interrupt: Option<&Interrupt>,
        offset: u64,
        chunk: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if self.is_regular {
            let mut file = (&self.file).take(CHUNK_LEN as u64);
            file.read_to_end(chunk).map_err(Failure::Io)?;
        } else {
            self.wait(interrupt)?;
            chunk.resize(CHUNK_LEN, 0);
            let len = loop {
                match self.file.read(chunk) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            chunk.truncate(*len.as_ref().unwrap_or(&0));
            len.map_err(Failure::Io)?;
        }
        let end = offset.saturating_add(chunk.len() as u64);
        if self.len_max.is_some_and(|max| end > max) {
            Err(Failure::Longer)
        } else {
            Ok(())
        }
    }

    /// Waits until the source has bytes or has ended.
    fn wait(&self, interrupt: Option<&Interrupt>) -> Result<(), Failure> {
        loop {
            if interrupt.is_some_and(|interrupt| interrupt.signal().is_some()) {
                return Err(Failure::Interrupted);
            }
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut fds, Some(&SIGNAL_CHECKED_EVERY)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(Failure::Io(error.into())),
            }
        }
    }
}

impl EffectHandler for Copier {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        // Messages to the role `Guest` become operations, which the link carries out. They need no
        // handling here.
        let is_local = request.role_name() == "Local";
        match request.class() {
            Class::Decide { .. } if is_local => self.decide(request),
            Class::Produce { label, .. } if is_local => {
                self.produce(request.image().label_name(*label), request)
            }
            Class::Deliver { label, .. } => match Fields::of(request) {
                Some(fields) if is_local => {
                    self.deliver(request.image().label_name(*label), &fields)
                }
                Some(_) | None => Reply::Now(Outcome::done()),
            },
            Class::Decide { .. }
            | Class::Produce { .. }
            | Class::Command
            | Class::Observe
            | Class::Check => unexpected_request(request),
        }
    }
}

fn unexpected_request(request: &EffectRequest<'_>) -> Reply {
    let detail = format!(
        "{}, and `cp` has no answer to that",
        crate::script::describe_request(request)
    );
    Reply::Now(Outcome::failure(FailureKind::InvalidInput, &detail))
}
