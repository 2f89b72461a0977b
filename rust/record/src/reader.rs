//! Reading the entries of a recording in bounded memory.

use std::io::{self, Read};

use antiphon_codec::{Decoder, scan};
use antiphon_machine::ReadError;

use crate::bounds::{ENTRY_LEN_MAX, ENTRY_LIMITS, MAGIC};
use crate::entry::{End, Entry, Header, decode_part, number};
use crate::frame::{FRAME_LEN, Frames, read_full};
use crate::tail::{Cause, Damage, Misplaced, Tail};

/// Reads a recording from the start, entry by entry.
///
/// Returns an entry only after the digest of its record has been checked. Memory is bounded by
/// [`RECORD_LEN_MAX`](crate::bounds::RECORD_LEN_MAX) and [`ENTRY_LEN_MAX`] for any input. The input
/// is read in large pieces, so it needs no buffering.
///
/// ```
/// use antiphon_record::{Entry, Header, Reader, Tail, Writer};
///
/// let mut writer = Writer::create(Vec::new(), &Header::default())?;
/// let bytes = writer.abandon()?;
/// let mut reader = Reader::open(&bytes[..])?;
/// assert_eq!(reader.header().tool, "");
/// assert_eq!(reader.entry()?, None);
/// assert_eq!(reader.tail(), Some(&Tail::Open), "no entry says that it ends here");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<R> {
    frames: Frames<R>,
    header: Header,
    /// Offset of the next entry in the current record.
    at: usize,
    /// Offset of the last returned entry in the current record.
    last: usize,
    /// An entry joined from its parts.
    joined: Vec<u8>,
    /// Whether the last returned entry is the joined one.
    is_joined: bool,
    /// Number of entries returned.
    entries: u64,
    /// Whether the last entry will be returned again.
    is_held: bool,
    tail: Option<Tail>,
}

/// Why an input cannot be read as a recording.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Reading failed.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
    /// It does not start with the magic bytes of a recording.
    #[error("not a recording: byte {offset} is {got:#04x}, expected {expected:#04x}")]
    NotARecording {
        /// The first byte that differs.
        offset: usize,
        /// The byte of a recording.
        expected: u8,
        /// The actual byte.
        got: u8,
    },
    /// It has another version of the format.
    #[error("the recording is in version {got} of the format, this reader knows version {known}")]
    Version {
        /// The version of the recording.
        got: u8,
        /// The version of this reader.
        known: u8,
    },
    /// It ends before the end of its header: the writer was stopped early.
    #[error("the recording ends before its header does, after {len} bytes")]
    NoHeader {
        /// Length of the input in bytes.
        len: u64,
    },
    /// Its first record is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The first entry is not a header.
    #[error("the first entry is not a header")]
    HeaderMissing,
}

/// An entry's number and bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'r> {
    /// The entry's number, from 0 for the header.
    pub(crate) entry: u64,
    /// Its bytes.
    pub(crate) bytes: &'r [u8],
}

impl<R: Read> Reader<R> {
    /// Opens a recording and reads its header.
    ///
    /// # Errors
    /// [`OpenError`] when no header can be read, without which the recording is useless.
    pub fn open(mut from: R) -> Result<Reader<R>, OpenError> {
        let mut magic = [0; MAGIC.len()];
        let got = read_full(&mut from, &mut magic)?;
        let version_at = MAGIC.len() - 1;
        for (offset, (expected, got)) in MAGIC.into_iter().zip(magic).take(got).enumerate() {
            if expected == got {
                continue;
            }
            return Err(if offset == version_at {
                OpenError::Version {
                    got,
                    known: expected,
                }
            } else {
                OpenError::NotARecording {
                    offset,
                    expected,
                    got,
                }
            });
        }
        if got < MAGIC.len() {
            return Err(OpenError::NoHeader { len: got as u64 });
        }
        let mut reader = Reader {
            frames: Frames::new(from),
            header: Header::default(),
            at: 0,
            last: 0,
            joined: Vec::new(),
            is_joined: false,
            entries: 0,
            is_held: false,
            tail: None,
        };
        match reader.decoded()? {
            Some(Entry::Header(header)) => {
                reader.header = header;
                Ok(reader)
            }
            Some(_) => Err(OpenError::HeaderMissing),
            None => Err(match reader.tail.take() {
                Some(Tail::Damaged(damage)) => OpenError::Damaged(damage),
                Some(Tail::Torn { offset, len, .. }) => OpenError::NoHeader { len: offset + len },
                Some(Tail::Open | Tail::Sealed) | None => OpenError::NoHeader {
                    len: reader.frames.offset(),
                },
            }),
        }
    }

    /// The setup of the recorded machine.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next entry after the header. `None` at the end; [`tail`](Self::tail) then returns how
    /// the recording ends.
    ///
    /// # Errors
    /// Only when reading from the medium fails. Damage ends the recording and is not an error.
    pub fn entry(&mut self) -> io::Result<Option<Entry>> {
        match self.decoded()? {
            Some(Entry::Header(_)) => {
                self.damage(Cause::Misplaced {
                    entry: self.entries - 1,
                    misplaced: Misplaced::Header,
                });
                Ok(None)
            }
            other => Ok(other),
        }
    }

    /// How the recording ends; `None` until [`entry`](Self::entry) has returned `None`.
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Number of intact records read so far.
    pub fn records(&self) -> u64 {
        self.frames.records()
    }

    /// Length in bytes of the magic bytes and the intact records read so far.
    pub fn offset(&self) -> u64 {
        self.frames.offset()
    }

    /// Number of entries returned, the header included.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The digest of all records up to the current one. Two recordings with the same value have the
    /// same bytes.
    pub fn chain(&self) -> [u8; 32] {
        self.frames.chain()
    }

    fn decoded(&mut self) -> io::Result<Option<Entry>> {
        let Some(raw) = self.raw()? else {
            return Ok(None);
        };
        let entry = raw.entry;
        match Entry::decode(raw.bytes) {
            Ok(found) => Ok(Some(found)),
            Err(error) => {
                self.damage(Cause::Entry { entry, error });
                Ok(None)
            }
        }
    }

    /// Makes the next call of [`raw`](Self::raw) return the last entry again.
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// The rest of the current record, if the next entry starts there.
    #[inline]
    pub(crate) fn peek(&self) -> &[u8] {
        if self.is_held || self.tail.is_some() {
            return &[];
        }
        &self.frames.content()[self.at..]
    }

    /// Skips the next entry, which has this length.
    #[inline]
    pub(crate) fn pass(&mut self, len: usize) {
        self.is_joined = false;
        self.last = self.at;
        self.at += len;
        self.entries += 1;
    }

    /// The bytes of the next entry.
    pub(crate) fn raw(&mut self) -> io::Result<Option<Raw<'_>>> {
        if self.is_held {
            self.is_held = false;
            return Ok(Some(self.current()));
        }
        if self.tail.is_some() || !self.next_item()? {
            return Ok(None);
        }
        // The number of an entry's kind follows the head of its array, which has one byte.
        let number = scan::uint_at(self.frames.content(), self.last + 1);
        self.is_joined = number == Some(number::PART);
        if self.is_joined && !self.gather()? {
            return Ok(None);
        }
        if number == Some(number::END) && !self.ends()? {
            return Ok(None);
        }
        self.entries += 1;
        Ok(Some(self.current()))
    }

    pub(crate) fn current(&self) -> Raw<'_> {
        Raw {
            entry: self.entries - 1,
            bytes: if self.is_joined {
                &self.joined
            } else {
                &self.frames.content()[self.last..self.at]
            },
        }
    }

    /// Joins the parts of an entry; the current item is the first part. `false` on damage.
    fn gather(&mut self) -> io::Result<bool> {
        self.joined.clear();
        loop {
            let item = &self.frames.content()[self.last..self.at];
            let misplaced = match decode_part(item) {
                Ok(Some((_, bytes))) if self.joined.len() + bytes.len() > ENTRY_LEN_MAX => {
                    Misplaced::PartsTooLong
                }
                Ok(Some((more, bytes))) => {
                    self.joined.extend_from_slice(bytes);
                    if more && self.next_item()? {
                        continue;
                    }
                    if more {
                        return Ok(false);
                    }
                    match scan::uint_at(&self.joined, 1) {
                        Some(number::PART | number::END) => Misplaced::PartOfPart,
                        _ => return Ok(true),
                    }
                }
                Ok(None) => Misplaced::PartMissing,
                Err(error) => {
                    let entry = self.entries;
                    self.damage(Cause::Entry { entry, error });
                    return Ok(false);
                }
            };
            let entry = self.entries;
            self.damage(Cause::Misplaced { entry, misplaced });
            return Ok(false);
        }
    }

    /// Checks the end entry that is the current item. `false` if it is at a wrong place.
    fn ends(&mut self) -> io::Result<bool> {
        let entry = self.entries;
        match Entry::decode(&self.frames.content()[self.last..self.at]) {
            Ok(Entry::End(end)) if end.entries == entry => {}
            Ok(Entry::End(End { entries, .. })) => {
                let misplaced = Misplaced::Count { claimed: entries };
                self.damage(Cause::Misplaced { entry, misplaced });
                return Ok(false);
            }
            // The caller decodes it again and reports the error.
            Ok(_) | Err(_) => return Ok(true),
        }
        if self.at < self.frames.content().len() || !self.frames.is_at_end()? {
            self.damage(Cause::BehindEnd);
        } else {
            self.tail = Some(Tail::Sealed);
        }
        Ok(true)
    }

    /// Advances to the next CBOR item; `false` at the end.
    #[inline]
    fn next_item(&mut self) -> io::Result<bool> {
        while self.at == self.frames.content().len() {
            if let Some(tail) = self.frames.advance()? {
                self.tail = Some(tail);
                return Ok(false);
            }
            self.at = 0;
        }
        let rest = &self.frames.content()[self.at..];
        self.last = self.at;
        // The content is what was written, so the heads suffice to find the entry's end. The form
        // is checked when the entry is decoded, or compared with bytes in deterministic form.
        if let Some(len) = scan::skip(rest) {
            self.at += len;
            return Ok(true);
        }
        match Decoder::new(rest, ENTRY_LIMITS).raw() {
            Ok(item) => {
                self.at += item.len();
                Ok(true)
            }
            Err(error) => {
                let (entry, error) = (self.entries, ReadError::from(error));
                self.damage(Cause::Entry { entry, error });
                Ok(false)
            }
        }
    }

    /// Ends the reading: the digest of the current record matches, but its content is invalid.
    pub(crate) fn damage(&mut self, cause: Cause) {
        let len = (self.frames.content().len() + FRAME_LEN) as u64;
        self.tail = Some(Tail::Damaged(Damage {
            record: self.frames.records().saturating_sub(1),
            offset: self.frames.offset().saturating_sub(len),
            len,
            cause,
        }));
    }
}
