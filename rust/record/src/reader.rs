//! Reading: entries one after the other, in a window, and how the file ends.

use std::io::{self, Read};

use antiphon_codec::{Decoder, scan};
use antiphon_machine::ReadError;

use crate::bounds::{ENTRY_LEN_MAX, ENTRY_LIMITS, MAGIC};
use crate::entry::{End, Entry, Header, decode_part, number};
use crate::frame::{Frames, read_full};

/// Reads a recording from the front, entry by entry.
///
/// Nothing is handed out before the record it stands in has proved to be what was written. Memory
/// is bounded by [`RECORD_LEN_MAX`](crate::bounds::RECORD_LEN_MAX) and [`ENTRY_LEN_MAX`], whatever
/// the input claims and however long it is. The input is read in large pieces; it needs no
/// buffering.
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
    /// Where in the current record the next entry starts.
    at: usize,
    /// Where in the current record the last entry handed out starts.
    last: usize,
    /// An entry put together from its parts.
    whole: Vec<u8>,
    is_whole: bool,
    /// How many entries were handed out.
    entries: u64,
    /// Whether the last entry is to be handed out once more.
    is_held: bool,
    tail: Option<Tail>,
}

/// How a recording ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// By an entry that says so, and nothing behind it: it is whole.
    Sealed,
    /// Behind a record, without an entry that says so: its writer was stopped.
    Open,
    /// Within a record: its writer was stopped while it wrote. Everything before is good.
    Torn {
        /// Which record, from 0: how many records before it are good.
        record: u64,
        /// Where that record starts.
        offset: u64,
        /// How much of it is there.
        len: u64,
    },
    /// A record is not what was written. Everything before is good; what follows cannot be trusted.
    Damaged(Damage),
}

/// What is damaged, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {record} is damaged between byte {offset} and {}: {cause}", offset + len)]
pub struct Damage {
    /// Which record, from 0: how many records before it are good.
    pub record: u64,
    /// Where the damage starts at the earliest.
    pub offset: u64,
    /// Over how many bytes it may be spread.
    pub len: u64,
    /// How it shows.
    pub cause: Cause,
}

/// How damage shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The check of the record's length does not match.
    #[error("its length does not match its check")]
    Length,
    /// The record's length is over the bound.
    #[error("its length of {len} is over the limit of {max}")]
    TooLong {
        /// The length.
        len: u32,
        /// The bound.
        max: u32,
    },
    /// The digest over the record and all before it does not match.
    #[error("its digest does not match")]
    Chain,
    /// The record is what was written and is no sequence of entries.
    #[error("entry {entry} cannot be read: {error}")]
    Entry {
        /// Which entry, from 0 for the header.
        entry: u64,
        /// Why; the offset counts from the start of the entry.
        error: ReadError,
    },
    /// An entry stands where it must not.
    #[error("entry {entry}: {misplaced}")]
    Misplaced {
        /// Which entry, from 0 for the header.
        entry: u64,
        /// What is wrong.
        misplaced: Misplaced,
    },
    /// There are bytes behind the entry that says that the recording ends.
    #[error("there is something behind its end")]
    BehindEnd,
}

/// An entry where it must not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// A second header.
    #[error("a header that is not the first entry")]
    Header,
    /// A part that is followed by something else.
    #[error("it should be the next part of the entry before")]
    PartMissing,
    /// Parts that together are longer than an entry can be.
    #[error("its parts are longer than the limit of {ENTRY_LEN_MAX}")]
    PartsTooLong,
    /// Parts that make a part, or an end, which is never so long.
    #[error("parts that make a part or an end")]
    PartOfPart,
    /// The end counts other entries than there are.
    #[error("an end that counts {claimed} entries before it")]
    Count {
        /// What it says.
        claimed: u64,
    },
}

/// Why something cannot be read as a recording at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Reading failed.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
    /// It does not begin as a recording does.
    #[error("not a recording: byte {offset} is {got:#04x}, expected {expected:#04x}")]
    NotARecording {
        /// The first byte that differs.
        offset: usize,
        /// What should be there.
        expected: u8,
        /// What is there.
        got: u8,
    },
    /// It is a recording in another version of the format.
    #[error("the recording is in version {got} of the format, this reader knows version {known}")]
    Version {
        /// The version it is in.
        got: u8,
        /// The version this reader knows.
        known: u8,
    },
    /// It ends before its header does: the writer was stopped before anything happened.
    #[error("the recording ends before its header does, after {len} bytes")]
    NoHeader {
        /// How many bytes there are.
        len: u64,
    },
    /// Its first record is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// It does not start with a header.
    #[error("the first entry is not a header")]
    HeaderMissing,
}

/// An entry's bytes, and where they stand.
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
    /// [`OpenError`] when there is no header to be read: then nothing of the recording is of use.
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
            whole: Vec::new(),
            is_whole: false,
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

    /// How the recorded machine was set up.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next entry after the header; `None` at the end, whose nature [`tail`](Self::tail) then
    /// tells.
    ///
    /// # Errors
    /// Only when reading from the medium fails. Damage is an end, not an error.
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

    /// How the recording ends; `None` until [`entry`](Self::entry) has come to its end.
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// How many records proved to be what was written.
    pub fn records(&self) -> u64 {
        self.frames.records()
    }

    /// How many bytes proved to be what was written.
    pub fn offset(&self) -> u64 {
        self.frames.offset()
    }

    /// How many entries were handed out, the header included.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The digest over everything up to the current record. Two recordings with the same value are
    /// the same bytes.
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

    /// The last entry is handed out once more by the next call of [`raw`](Self::raw).
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// What is left of the current record, if the next entry begins there.
    #[inline]
    pub(crate) fn peek(&self) -> &[u8] {
        if self.is_held || self.tail.is_some() {
            return &[];
        }
        &self.frames.content()[self.at..]
    }

    /// Passes over the next entry, which is that long.
    #[inline]
    pub(crate) fn pass(&mut self, len: usize) {
        self.is_whole = false;
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
        self.is_whole = number == Some(number::PART);
        if self.is_whole && !self.gather()? {
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
            bytes: if self.is_whole {
                &self.whole
            } else {
                &self.frames.content()[self.last..self.at]
            },
        }
    }

    /// Puts an entry together, of which the first part is the current item. `false`: it cannot be.
    fn gather(&mut self) -> io::Result<bool> {
        self.whole.clear();
        loop {
            let item = &self.frames.content()[self.last..self.at];
            let misplaced = match decode_part(item) {
                Ok(Some((_, bytes))) if self.whole.len() + bytes.len() > ENTRY_LEN_MAX => {
                    Misplaced::PartsTooLong
                }
                Ok(Some((more, bytes))) => {
                    self.whole.extend_from_slice(bytes);
                    if more && self.next_item()? {
                        continue;
                    }
                    if more {
                        return Ok(false);
                    }
                    match scan::uint_at(&self.whole, 1) {
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

    /// The current item says that the recording ends. `false`: it does not, or not here.
    fn ends(&mut self) -> io::Result<bool> {
        let entry = self.entries;
        match Entry::decode(&self.frames.content()[self.last..self.at]) {
            Ok(Entry::End(end)) if end.entries == entry => {}
            Ok(Entry::End(End { entries, .. })) => {
                let misplaced = Misplaced::Count { claimed: entries };
                self.damage(Cause::Misplaced { entry, misplaced });
                return Ok(false);
            }
            // The caller reads it again, and says what is wrong.
            Ok(_) | Err(_) => return Ok(true),
        }
        if self.at < self.frames.content().len() || !self.frames.is_at_end()? {
            self.damage(Cause::BehindEnd);
        } else {
            self.tail = Some(Tail::Sealed);
        }
        Ok(true)
    }

    /// Moves to the next CBOR item; `false` at the end.
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
        // The content is what was written, so the heads suffice to find the entry's end. The form is
        // checked when the entry is decoded, or compared with bytes in deterministic form.
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

    /// The current record is what was written, and still no good.
    pub(crate) fn damage(&mut self, cause: Cause) {
        let len = (self.frames.content().len() + crate::frame::FRAME_LEN) as u64;
        self.tail = Some(Tail::Damaged(Damage {
            record: self.frames.records().saturating_sub(1),
            offset: self.frames.offset().saturating_sub(len),
            len,
            cause,
        }));
    }
}

impl std::fmt::Display for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Tail::Sealed => f.write_str("complete"),
            Tail::Open => f.write_str("stops at the end of a record, without an end of its own"),
            Tail::Torn {
                record,
                offset,
                len,
            } => write!(
                f,
                "torn: record {record} at byte {offset} stops after {len} bytes; \
                 everything before it is good"
            ),
            Tail::Damaged(damage) => damage.fmt(f),
        }
    }
}
