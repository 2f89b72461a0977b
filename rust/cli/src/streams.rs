//! The standard streams of an `exec`: a thread each, so that one that is slow or never ends holds up nothing else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use serde_json::json;

use crate::filter::Filter;

/// Bytes read from standard input at once: with its record it stays within a payload.
pub(crate) const INPUT_LEN: usize = 32 << 10;

/// Pieces of output that may wait for a stream that does not take them: some 2 MiB, beyond which the guest is held up.
const PIECES_MAX: usize = 64;

/// One of the two streams that the guest writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// How the guest's bytes are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As they are.
    Plain,
    /// For a person at a terminal.
    Filtered,
    /// As a JSON document per piece, on standard output.
    Json,
}

/// What a thread has to say.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Bytes of standard input; none at its end.
    Input(Vec<u8>),
    /// A stream has room again.
    Room,
    /// Whoever read the stream is gone, or it cannot be written.
    Broken(Stream, io::ErrorKind),
}

/// Reads standard input when asked to: bytes that nobody wants stay where they are, for whoever reads it next.
#[derive(Debug)]
pub(crate) struct Input {
    wanted: Sender<()>,
}

impl Input {
    pub(crate) fn start(hear: impl Fn(Heard) + Send + 'static) -> io::Result<Input> {
        let (wanted, asked) = bounded(1);
        thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || read_loop(&asked, &hear))?;
        Ok(Input { wanted })
    }

    /// Asks for one piece. It comes as [`Heard::Input`].
    pub(crate) fn want(&self) {
        // A full channel means that one is on its way.
        let _ = self.wanted.try_send(());
    }
}

fn read_loop(asked: &Receiver<()>, hear: &impl Fn(Heard)) {
    let mut stdin = io::stdin().lock();
    while asked.recv().is_ok() {
        let mut piece = vec![0; INPUT_LEN];
        let len = loop {
            match stdin.read(&mut piece) {
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Input that cannot be read has ended.
                Err(_) => break 0,
            }
        };
        piece.truncate(len);
        hear(Heard::Input(piece));
        if len == 0 {
            return;
        }
    }
}

/// What one message brought of a stream, shared with the message.
pub(crate) type Piece = Arc<Box<[u8]>>;

/// Writes one stream, in the order in which it gets the pieces.
#[derive(Debug)]
pub(crate) struct Output {
    pieces: Option<Sender<Piece>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Output {
    pub(crate) fn start(
        stream: Stream,
        manner: Manner,
        hear: impl Fn(Heard) + Send + 'static,
    ) -> io::Result<Output> {
        let (pieces, queue) = bounded(PIECES_MAX);
        let out = match manner {
            Manner::Plain | Manner::Filtered => descriptor(stream)?,
            Manner::Json => descriptor(Stream::Stdout)?,
        };
        let thread = thread::Builder::new()
            .name(stream.name().to_owned())
            .spawn(move || write_loop(stream, manner, out, &queue, &hear))?;
        Ok(Output {
            pieces: Some(pieces),
            thread: Some(thread),
        })
    }

    /// Takes a piece; gives it back when there is no room, and [`Heard::Room`] comes when there is.
    pub(crate) fn put(&self, piece: Piece) -> Result<(), Piece> {
        match self.pieces.as_ref().map(|pieces| pieces.try_send(piece)) {
            Some(Err(TrySendError::Full(piece))) => Err(piece),
            // A stream that is broken has said so; what it gets is gone.
            Some(Ok(()) | Err(TrySendError::Disconnected(_))) | None => Ok(()),
        }
    }

    /// Waits until everything is written, or that long.
    pub(crate) fn finish(mut self, last: Option<Piece>, patience: Duration) {
        if let (Some(piece), Some(pieces)) = (last, &self.pieces) {
            // What cannot be put in time is given up with the rest.
            let _ = pieces.send_timeout(piece, patience);
        }
        self.pieces = None;
        let begun = Instant::now();
        while self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            if begun.elapsed() >= patience {
                return;
            }
            thread::sleep(Duration::from_micros(50));
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_loop(
    stream: Stream,
    manner: Manner,
    mut out: File,
    queue: &Receiver<Piece>,
    hear: &impl Fn(Heard),
) {
    let mut filter = Filter::default();
    for piece in queue {
        let was_full = queue.len() + 1 >= PIECES_MAX;
        let written = match manner {
            Manner::Plain => out.write_all(&piece),
            Manner::Filtered => out.write_all(filter.pass(&piece).as_bytes()),
            Manner::Json => {
                // A pipe may take a long document in pieces; no other document comes between them.
                let _whole = io::stdout().lock();
                out.write_all(document(stream, &piece).as_bytes())
            }
        };
        if let Err(error) = written {
            hear(Heard::Broken(stream, error.kind()));
            return;
        }
        if was_full {
            hear(Heard::Room);
        }
    }
}

fn document(stream: Stream, piece: &[u8]) -> String {
    let document = json!({
        "event": "output",
        "stream": stream.name(),
        "base64": BASE64_STANDARD.encode(piece),
    });
    format!("{document}\n")
}

/// Straight to the descriptor, without a buffer between: what the guest has written is seen at once.
fn descriptor(stream: Stream) -> io::Result<File> {
    Ok(File::from(match stream {
        Stream::Stdout => io::stdout().as_fd().try_clone_to_owned()?,
        Stream::Stderr => io::stderr().as_fd().try_clone_to_owned()?,
    }))
}
