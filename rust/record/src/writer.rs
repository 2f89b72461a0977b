//! Writing: entries into records, records onto a medium.

use std::fs::File;
use std::io::{self, Write};

use antiphon_codec::{Decoder, Encoder};

use crate::bounds::{ENTRY_LEN_MAX, ENTRY_LIMITS, MAGIC, PART_LEN_MAX, RECORD_LEN};
use crate::entry::{Entry, Header, encode_part};
use crate::frame::{CONTENT_AT, Chain, empty_record, seal};

/// What a recording is written to.
pub trait Store: Write {
    /// Makes what was written survive a loss of power.
    ///
    /// # Errors
    /// When the medium cannot promise it.
    fn sync(&mut self) -> io::Result<()>;
}

impl Store for File {
    fn sync(&mut self) -> io::Result<()> {
        match self.sync_data() {
            // A pipe or a device without storage has nothing to sync.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            done => done,
        }
    }
}

/// Memory, which nothing makes survive.
impl Store for Vec<u8> {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nowhere: for measuring.
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

/// Why a recording could not be written. Nothing is written after such an error: what is on the
/// medium is a good recording of the run up to then.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The medium failed.
    #[error("writing failed: {0}")]
    Io(#[from] io::Error),
    /// An entry is longer than a reader would take.
    #[error("an entry of {len} bytes is over the limit of {max}")]
    EntryTooLong {
        /// Bytes of the entry.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// An entry has more items than a reader would take.
    #[error("an entry has more than {max} items, which is the limit")]
    EntryTooRich {
        /// The limit.
        max: usize,
    },
    /// Writing has failed before.
    #[error("the recording stopped at an earlier error")]
    Stopped,
    /// A session was opened of an image that the recording does not have.
    #[error("a session was opened of an image that the recorder was not told of")]
    ImageMissing {
        /// The image's digest.
        digest: [u8; 32],
    },
    /// The configuration is that of a replay, which is not recorded: its recording is there.
    #[error("a machine in determinism mode `replay` takes its outcomes from a recording")]
    Replaying,
}

/// Writes entries as a recording, in records of some [`RECORD_LEN`] bytes.
///
/// [`Recorder`](crate::Recorder) is how a run is recorded; a writer by itself makes recordings from
/// entries, such as an edited copy.
///
/// What was written and not [flushed](Self::flush) is lost when the process is killed; dropping a
/// writer flushes it.
#[derive(Debug)]
pub struct Writer<W: Store> {
    /// The record being filled, with room for its frame.
    record: Vec<u8>,
    /// `None` once finished.
    store: Option<W>,
    chain: Chain,
    entries: u64,
    /// Whether every record is to be synced.
    sync: bool,
    failed: bool,
}

impl<W: Store> Writer<W> {
    /// Begins a recording: magic bytes and header. Nothing is written before the first record is
    /// full or flushed, but for the magic bytes.
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
    /// When the entry is too long or the medium fails; the writer takes nothing more then.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), RecordError> {
        self.put(|out| entry.encode(out))
    }

    /// Has every record synced as it is written. Without, only [`finish`](Self::finish) syncs.
    pub fn sync_records(&mut self, sync: bool) {
        self.sync = sync;
    }

    /// How many entries were appended, the header included.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Appends what `encode` appends, as one entry.
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

    /// The entry that begins at `start` is too long for a record.
    #[cold]
    fn split(&mut self, start: usize) -> Result<(), RecordError> {
        let long = self.record.split_off(start);
        self.record.shrink_to(2 * RECORD_LEN);
        if long.len() > ENTRY_LEN_MAX {
            // What was said before is good, and is kept.
            self.flush()?;
            self.failed = true;
            return Err(RecordError::EntryTooLong {
                len: long.len(),
                max: ENTRY_LEN_MAX,
            });
        }
        // An item takes a byte at least, so nothing shorter can have too many.
        if long.len() > ENTRY_LIMITS.items && Decoder::new(&long, ENTRY_LIMITS).raw().is_err() {
            self.flush()?;
            self.failed = true;
            return Err(RecordError::EntryTooRich {
                max: ENTRY_LIMITS.items,
            });
        }
        // A part has a head of its own besides its bytes.
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

    /// Closes the record that is being filled and writes it.
    ///
    /// # Errors
    /// When the medium fails; the writer takes nothing more then.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if self.failed || self.record.len() == CONTENT_AT {
            return Ok(());
        }
        // Until it is written it has failed: a part of it may be on the medium.
        self.failed = true;
        store.write_all(seal(&mut self.chain, &mut self.record))?;
        if self.sync {
            store.sync()?;
        }
        self.record.truncate(CONTENT_AT);
        self.failed = false;
        Ok(())
    }

    /// Flushes, syncs, and gives the medium back. The recording is as it is: [`Entry::End`] is for
    /// the caller to say.
    ///
    /// # Errors
    /// When the medium fails.
    pub fn finish(mut self) -> Result<W, RecordError> {
        self.flush()?;
        let mut store = self.close()?;
        store.sync()?;
        Ok(store)
    }

    /// Flushes and gives the medium back, as if the process had been stopped here.
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
        // A run that ends by a panic keeps what it said last. There is nobody to tell if that
        // fails.
        let _ = self.flush();
    }
}
