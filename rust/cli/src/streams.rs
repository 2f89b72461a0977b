//! The standard streams of an `exec`. Each has its thread, so that a slow or endless one does not
//! block the others.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crossbeam_channel::{
    Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, bounded,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use serde_json::json;

use crate::filter::Filter;
use crate::standard::wait;

/// The most bytes of one read of standard input: with its record, they fit a payload.
pub(crate) const INPUT_LEN: usize = 32 << 10;

/// Pieces that may wait for a stream that is not read: about 2 MiB. Beyond that, the guest has to
/// wait.
const PIECES_MAX: usize = 64;

/// How often a process in the background of its terminal checks whether it is in the foreground.
/// The system sends no notification of that.
const FOREGROUND_POLL: Duration = Duration::from_millis(200);

/// How often a wait for output to be written checks whether to give up.
const FINISH_POLL: Duration = Duration::from_millis(20);

/// How long output may make no progress after the command was asked to end.
const GIVE_UP: Duration = Duration::from_millis(500);

/// An output stream of the guest command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(crate) const ALL: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// How output is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    /// Unchanged.
    Plain,
    /// Filtered for a terminal.
    Filtered,
    /// As one JSON document for each piece, on standard output.
    Json,
}

/// An event of a stream's thread.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// Bytes of standard input; empty at its end.
    Input(Vec<u8>),
    /// Standard input cannot be read.
    InputFailed(io::Error),
    /// A stream has room again.
    Room,
    /// The stream cannot be written, for example because its reader is gone. It is closed.
    Broken(Stream, io::ErrorKind),
}

/// Reads standard input on demand: bytes that are not needed stay there for the next program.
#[derive(Debug)]
pub(crate) struct InputStream {
    wanted: Sender<()>,
}

impl InputStream {
    pub(crate) fn start(
        on_event: impl Fn(StreamEvent) + Send + 'static,
    ) -> io::Result<InputStream> {
        let (wanted, asked) = bounded(1);
        thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || read_loop(&asked, &on_event))?;
        Ok(InputStream { wanted })
    }

    /// Asks for one piece, which arrives as [`StreamEvent::Input`].
    pub(crate) fn want(&self) {
        // If the channel is full, a piece has been asked for already.
        let _ = self.wanted.try_send(());
    }
}

fn read_loop(asked: &Receiver<()>, on_event: &impl Fn(StreamEvent)) {
    let stdin = io::stdin();
    while asked.recv().is_ok() {
        let mut piece = vec![0; INPUT_LEN];
        match read_piece(stdin.as_fd(), &mut piece) {
            Ok(len) => {
                piece.truncate(len);
                on_event(StreamEvent::Input(piece));
                if len == 0 {
                    return;
                }
            }
            Err(error) => return on_event(StreamEvent::InputFailed(error)),
        }
    }
}

/// Waits for the first byte and returns the bytes that are available. Also waits for a descriptor
/// that another process has made non-blocking, and, while this process is in the background of its
/// terminal, until it is in the foreground.
///
/// The descriptor is read directly, because the standard library treats one that cannot be read as
/// empty.
///
/// `nohup` replaces a terminal by `/dev/null` opened for writing only; that counts as empty input.
fn read_piece(fd: BorrowedFd<'_>, piece: &mut [u8]) -> io::Result<usize> {
    let is_terminal = rustix::termios::isatty(fd);
    loop {
        if is_terminal {
            // Wait for input before the check: until it arrives, this process may have gone to the
            // background.
            wait(fd, PollFlags::IN)?;
            if is_in_background(fd) {
                thread::sleep(FOREGROUND_POLL);
                continue;
            }
        }
        match rustix::io::read(fd, &mut *piece) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(fd, PollFlags::IN)?,
            Err(Errno::BADF) if is_null(fd) => return Ok(0),
            done => return Ok(done?),
        }
    }
}

/// Whether the descriptor is `/dev/null`.
fn is_null(fd: BorrowedFd<'_>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let null = std::fs::metadata("/dev/null");
    let (Ok(stat), Ok(null)) = (rustix::fs::fstat(fd), null) else {
        return false;
    };
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == null.rdev()
}

/// Whether there is standard input that would be lost if it were not read: a file with content, or
/// a pipe or socket that does not end within [`INPUT_END_WITHIN`].
pub(crate) fn has_input() -> bool {
    let stdin = io::stdin();
    let Ok(stat) = rustix::fs::fstat(&stdin) else {
        return false;
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => stat.st_size > 0,
        FileType::Fifo | FileType::Socket => {
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            let patience = Timespec::try_from(INPUT_END_WITHIN).ok();
            let _ = poll(&mut fds, patience.as_ref());
            let seen = fds[0].revents();
            seen.contains(PollFlags::IN) || !seen.contains(PollFlags::HUP)
        }
        // Reading a directory fails later; a terminal and `/dev/null` have no input yet.
        _ => false,
    }
}

/// How long a pipe may take to end and still count as empty.
const INPUT_END_WITHIN: Duration = Duration::from_millis(200);

/// Whether the descriptor is this process's controlling terminal and another process group is in
/// its foreground.
fn is_in_background(fd: BorrowedFd<'_>) -> bool {
    // A process without a controlling terminal is never in the background.
    rustix::termios::tcgetpgrp(fd).is_ok_and(|group| group != rustix::process::getpgrp())
}

/// The bytes of one message, shared with the message.
pub(crate) type Piece = Arc<Box<[u8]>>;

/// Writes one stream. Pieces are written in the order in which they are queued.
#[derive(Debug)]
pub(crate) struct OutputStream {
    pieces: Option<Sender<Piece>>,
    /// Disconnected when the thread ends.
    ended: Receiver<()>,
    watched: Arc<Watched>,
}

/// The state of a stream that all threads see.
#[derive(Debug, Default)]
struct Watched {
    /// Whether the stream is closed: nothing more is written.
    closed: AtomicBool,
    /// The number of queued pieces.
    queued: AtomicU64,
    /// The number of written pieces.
    written: AtomicU64,
}

/// The progress of a stream at the last check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    written: u64,
    since: Instant,
}

impl OutputStream {
    /// Starts the thread.
    pub(crate) fn start(
        stream: Stream,
        format: OutputFormat,
        on_event: impl Fn(StreamEvent) + Send + 'static,
    ) -> io::Result<OutputStream> {
        let (pieces, queue) = bounded(PIECES_MAX);
        let (ending, ended) = bounded(0);
        let watched = Arc::new(Watched::default());
        let writer = Writer {
            stream,
            format,
            out: match format {
                OutputFormat::Plain | OutputFormat::Filtered => descriptor(stream)?,
                OutputFormat::Json => descriptor(Stream::Stdout)?,
            },
            filter: Filter::default(),
        };
        let shared = watched.clone();
        thread::Builder::new()
            .name(stream.name().to_owned())
            .spawn(move || {
                write_loop(writer, queue, &shared, &on_event);
                drop(ending);
            })?;
        Ok(OutputStream {
            pieces: Some(pieces),
            ended,
            watched,
        })
    }

    /// Queues a piece, or returns it when the queue is full; [`StreamEvent::Room`] follows once it
    /// has room again. A closed stream accepts every piece and writes nothing.
    pub(crate) fn put(&self, piece: Piece) -> Result<(), Piece> {
        if self.is_closed() {
            return Ok(());
        }
        match self.pieces.as_ref().map(|pieces| pieces.try_send(piece)) {
            Some(Err(TrySendError::Full(piece))) => Err(piece),
            Some(Ok(())) => {
                self.watched.queued.fetch_add(1, Ordering::AcqRel);
                Ok(())
            }
            Some(Err(TrySendError::Disconnected(_))) | None => Ok(()),
        }
    }

    fn is_closed(&self) -> bool {
        self.watched.closed.load(Ordering::Acquire)
    }

    /// Closes a stream that has pieces to write and made no progress for [`GIVE_UP`]. Updates
    /// `progress`. Returns whether the stream is closed.
    pub(crate) fn give_up_stalled(&self, progress: &mut Option<Progress>, now: Instant) -> bool {
        let written = self.watched.written.load(Ordering::Acquire);
        if written >= self.watched.queued.load(Ordering::Acquire) {
            *progress = None;
            return self.is_closed();
        }
        match progress {
            Some(last) if last.written == written && now >= last.since + GIVE_UP => {
                self.watched.closed.store(true, Ordering::Release);
            }
            Some(last) if last.written == written => {}
            Some(_) | None => {
                *progress = Some(Progress {
                    written,
                    since: now,
                })
            }
        }
        self.is_closed()
    }

    /// Waits until everything is written or, once the command was asked to end, until there is no
    /// more progress. Returns whether everything was written.
    pub(crate) fn finish(mut self, last: Option<Piece>, is_called_off: impl Fn() -> bool) -> bool {
        let mut progress = None;
        let mut gives_up = |output: &OutputStream| {
            is_called_off() && output.give_up_stalled(&mut progress, Instant::now())
        };
        let mut last = last.filter(|_| !self.is_closed());
        while let Some((piece, pieces)) = last.take().zip(self.pieces.as_ref()) {
            match pieces.send_timeout(piece, FINISH_POLL) {
                Ok(()) => drop(self.watched.queued.fetch_add(1, Ordering::AcqRel)),
                Err(SendTimeoutError::Disconnected(_)) => {}
                Err(SendTimeoutError::Timeout(_)) if gives_up(&self) => return false,
                Err(SendTimeoutError::Timeout(piece)) => last = Some(piece),
            }
        }
        self.pieces = None;
        while self.ended.recv_timeout(FINISH_POLL) == Err(RecvTimeoutError::Timeout) {
            if gives_up(&self) {
                return false;
            }
        }
        !self.is_closed()
    }
}

/// The target and the format of a stream.
struct Writer {
    stream: Stream,
    format: OutputFormat,
    out: File,
    filter: Filter,
}

fn write_loop(
    mut writer: Writer,
    queue: Receiver<Piece>,
    watched: &Watched,
    on_event: &impl Fn(StreamEvent),
) {
    while let Ok(piece) = queue.recv() {
        let was_full = queue.len() + 1 >= PIECES_MAX;
        if let Err(error) = writer.write(&piece) {
            // Closed before the event is sent, so that a wait for room sees it.
            watched.closed.store(true, Ordering::Release);
            drop(queue);
            return on_event(StreamEvent::Broken(writer.stream, error.kind()));
        }
        watched.written.fetch_add(1, Ordering::AcqRel);
        if was_full {
            on_event(StreamEvent::Room);
        }
    }
}

impl Writer {
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self.format {
            OutputFormat::Plain => write_all(&self.out, piece),
            OutputFormat::Filtered => write_all(&self.out, self.filter.pass(piece).as_bytes()),
            OutputFormat::Json => {
                // A pipe may accept a long document in several pieces. The lock keeps other
                // documents from coming between them.
                let _whole = io::stdout().lock();
                write_all(&self.out, document(self.stream, piece).as_bytes())
            }
        }
    }
}

/// Writes all bytes. Waits for a descriptor that another process has made non-blocking.
fn write_all(mut out: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(out.as_fd(), PollFlags::OUT)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn document(stream: Stream, piece: &[u8]) -> String {
    let document = json!({
        "event": "output",
        "stream": stream.name(),
        "base64": BASE64_STANDARD.encode(piece),
    });
    format!("{document}\n")
}

/// Returns the stream's descriptor without a buffer, so that output is visible at once.
fn descriptor(stream: Stream) -> io::Result<File> {
    Ok(File::from(match stream {
        Stream::Stdout => io::stdout().as_fd().try_clone_to_owned()?,
        Stream::Stderr => io::stderr().as_fd().try_clone_to_owned()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a pipe with non-blocking ends.
    fn pipe() -> (File, File) {
        let flags = rustix::pipe::PipeFlags::NONBLOCK;
        let (read, write) = rustix::pipe::pipe_with(flags).expect("a pipe");
        (File::from(read), File::from(write))
    }

    #[test]
    fn waits_for_a_non_blocking_descriptor() {
        let (read, write) = pipe();
        let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let sent = bytes.clone();
        let writing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            write_all(&write, &sent)
        });
        let (mut got, mut piece) = (Vec::new(), vec![0; INPUT_LEN]);
        loop {
            match read_piece(read.as_fd(), &mut piece).expect("the pipe is whole") {
                0 => break,
                len => got.extend_from_slice(&piece[..len]),
            }
        }
        writing.join().expect("no panic").expect("all was written");
        assert!(got == bytes, "{} bytes", got.len());
    }

    /// Standard input under `nohup`.
    #[test]
    fn a_write_only_null_device_is_empty_input() {
        let null = File::options().write(true).open("/dev/null");
        let null = null.expect("there is one");
        assert_eq!(read_piece(null.as_fd(), &mut [0; 8]).expect("no input"), 0);
    }

    #[test]
    fn input_that_cannot_be_read_is_an_error_and_not_an_end() {
        let directory = File::open("/").expect("it can be opened");
        let (_read, write) = pipe();
        for (file, errno) in [(directory, Errno::ISDIR), (write, Errno::BADF)] {
            let error = read_piece(file.as_fd(), &mut [0; 8]).expect_err("it cannot be read");
            assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
        }
    }
}
