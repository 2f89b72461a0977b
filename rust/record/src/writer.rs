//! Writing entries into records, and records onto a medium.

use std::fs::File;
use std::io::{self, Write};

use antiphon_codec::{Decoder, Encoder};

use crate::bounds::{ENTRY_LEN_MAX, ENTRY_LIMITS, MAGIC, PART_LEN_MAX, RECORD_LEN};
use crate::entry::{Entry, Header, encode_part};
use crate::frame::{CONTENT_AT, Chain, empty_record, seal};

/// A medium to which a recording is written.
pub trait Store: Write {
    /// Makes the written bytes survive a power failure.
    ///
    /// # Errors
    /// When the medium fails to.
    fn sync(&mut self) -> io::Result<()>;
}

impl Store for File {
    fn sync(&mut self) -> io::Result<()> {
        match self.sync_data() {
            // Pipes and devices without storage do not support it.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            done => done,
        }
    }
}

/// Memory, which does not survive a power failure.
impl Store for Vec<u8> {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Discards the recording; for measurements.
impl Store for io::Sink {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Store + ?Sized> Store for &mut S {
    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

/// Why a recording could not be written. Nothing is written after such an error, so the medium
/// contains an intact recording of the run up to then.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The medium failed.
    #[error("writing failed: {0}")]
    Io(#[from] io::Error),
    /// An entry is longer than a reader's limit.
    #[error("an entry of {len} bytes is over the limit of {max}")]
    EntryTooLong {
        /// Length of the entry in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// An entry has more items than a reader's limit.
    #[error("an entry has more than {max} items, which is the limit")]
    EntryTooRich {
        /// The limit.
        max: usize,
    },
    /// An earlier write failed.
    #[error("the recording stopped at an earlier error")]
    Stopped,
    /// A session was opened with an image that the recording does not contain.
    #[error("a session was opened with an image that was not loaded while recording")]
    ImageMissing {
        /// The image's digest.
        digest: [u8; 32],
    },
    /// The determinism mode is `Replay`. A replay is not recorded, because its recording exists
    /// already.
    #[error("a machine in determinism mode `replay` takes its outcomes from a recording")]
    Replaying,
}

/// Writes entries as a recording, in records of about [`RECORD_LEN`] bytes.
///
/// [`Recorder`](crate::Recorder) records a run. A writer alone makes a recording of given entries,
/// such as an edited copy.
///
/// Entries that are not yet [flushed](Self::flush) are lost when the process is killed. Dropping a
/// writer flushes it.
#[derive(Debug)]
pub struct Writer<W: Store> {
    /// The current record, with room for its frame.
    record: Vec<u8>,
    /// `None` once finished.
    store: Option<W>,
    chain: Chain,
    entries: u64,
    /// Whether every record is synced.
    sync: bool,
    failed: bool,
}

impl<W: Store> Writer<W> {
    /// Starts a recording and writes its magic bytes. The header is written with the first record,
    /// when that is full or flushed.
    ///
    /// # Errors
    /// When the medium fails or the header is too long.
    pub fn create(mut store: W, header: &Header) -> Result<Writer<W>, RecordError> {
        store.write_all(&MAGIC)?;
        let mut writer = Writer {
            record: empty_record(),
            store: Some(store),
            chain: Chain::start(),
            entries: 0,
            sync: false,
            failed: false,
        };
        writer.put(|out| header.encode(out))?;
        Ok(writer)
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// When the entry is too long or the medium fails. Every later call then fails too.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), RecordError> {
        self.put(|out| entry.encode(out))
    }

    /// Sets whether every record is synced. Otherwise only [`finish`](Self::finish) syncs.
    pub fn sync_records(&mut self, sync: bool) {
        self.sync = sync;
    }

    /// Number of entries appended, the header included.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Appends the entry that `encode` encodes.
    #[inline]
    pub(crate) fn put(&mut self, encode: impl FnOnce(&mut Encoder<'_>)) -> Result<(), RecordError> {
        if self.failed {
            return Err(RecordError::Stopped);
        }
        let start = self.record.len();
        encode(&mut Encoder::new(&mut self.record));
        self.entries += 1;
        if self.record.len() - start > PART_LEN_MAX {
            return self.split(start);
        }
        if self.record.len() >= CONTENT_AT + RECORD_LEN {
            self.flush()?;
        }
        Ok(())
    }

    /// Splits the entry that starts at `start` and is too long for a record.
    #[cold]
    fn split(&mut self, start: usize) -> Result<(), RecordError> {
        let long = self.record.split_off(start);
        self.record.shrink_to(2 * RECORD_LEN);
        if long.len() > ENTRY_LEN_MAX {
            // The entries before it are intact and are kept.
            self.flush()?;
            self.failed = true;
            return Err(RecordError::EntryTooLong {
                len: long.len(),
                max: ENTRY_LEN_MAX,
            });
        }
        // An item has at least one byte, so a shorter entry cannot have too many items.
        if long.len() > ENTRY_LIMITS.items && Decoder::new(&long, ENTRY_LIMITS).raw().is_err() {
            self.flush()?;
            self.failed = true;
            return Err(RecordError::EntryTooRich {
                max: ENTRY_LIMITS.items,
            });
        }
        // A part also has heads, which take less than 16 bytes.
        let mut parts = long.chunks(PART_LEN_MAX - 16).peekable();
        while let Some(part) = parts.next() {
            let more = parts.peek().is_some();
            encode_part(more, part, &mut Encoder::new(&mut self.record));
            if self.record.len() >= CONTENT_AT + RECORD_LEN {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Completes the current record and writes it.
    ///
    /// # Errors
    /// When the medium fails. Every later call then fails too.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if self.failed || self.record.len() == CONTENT_AT {
            return Ok(());
        }
        // A write that fails may have written a part of the record, so `failed` is reset only after
        // it has succeeded.
        self.failed = true;
        store.write_all(seal(&mut self.chain, &mut self.record))?;
        if self.sync {
            store.sync()?;
        }
        self.record.truncate(CONTENT_AT);
        self.failed = false;
        Ok(())
    }

    /// Flushes and syncs the medium, and returns it. Does not append an [`Entry::End`], which is up
    /// to the caller.
    ///
    /// # Errors
    /// When the medium fails.
    pub fn finish(mut self) -> Result<W, RecordError> {
        self.flush()?;
        let mut store = self.close()?;
        store.sync()?;
        Ok(store)
    }

    /// Flushes the medium and returns it, as if the process had been stopped here.
    ///
    /// # Errors
    /// When the medium fails.
    pub fn abandon(mut self) -> Result<W, RecordError> {
        self.flush()?;
        self.close()
    }

    fn close(&mut self) -> Result<W, RecordError> {
        self.store.take().ok_or(RecordError::Stopped)
    }
}

impl<W: Store> Drop for Writer<W> {
    fn drop(&mut self) {
        // If a panic ends the run, the last entries are kept. An error cannot be reported here.
        let _ = self.flush();
    }
}
