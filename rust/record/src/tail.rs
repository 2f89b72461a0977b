//! How a recording ends: complete, cut off, or damaged.

use std::fmt;

use antiphon_machine::ReadError;

use crate::bounds::ENTRY_LEN_MAX;

/// How a recording ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Complete: the last entry is an end, and no bytes follow it.
    Sealed,
    /// It ends after a record, without an end entry: the writer was stopped.
    Open,
    /// It ends within a record: the writer was stopped during a write. All records before it are
    /// intact.
    Torn {
        /// The record's number, from 0, which is the number of intact records.
        record: u64,
        /// Offset of that record in bytes.
        offset: u64,
        /// Bytes of that record which are present.
        len: u64,
    },
    /// A record has been changed. All records before it are intact; the bytes after it cannot be
    /// trusted.
    Damaged(Damage),
}

/// The damage of a recording, and its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {record} is damaged between byte {offset} and {}: {cause}", offset + len)]
pub struct Damage {
    /// The record's number, from 0, which is the number of intact records.
    pub record: u64,
    /// Offset of the first byte that can be damaged.
    pub offset: u64,
    /// Length in bytes of the range that can be damaged.
    pub len: u64,
    /// How it was detected.
    pub cause: Cause,
}

/// How damage was detected.
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
    /// The record's digest matches, but its content is not a sequence of entries.
    #[error("entry {entry} cannot be read: {error}")]
    Entry {
        /// The entry's number, from 0 for the header.
        entry: u64,
        /// The reason; its offset counts from the start of the entry.
        error: ReadError,
    },
    /// An entry is at a place where it is not allowed.
    #[error("entry {entry}: {misplaced}")]
    Misplaced {
        /// The entry's number, from 0 for the header.
        entry: u64,
        /// The violation.
        misplaced: Misplaced,
    },
    /// Bytes follow the end entry.
    #[error("bytes follow the end entry")]
    BehindEnd,
}

/// The violations of the order of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// A second header.
    #[error("a header that is not the first entry")]
    Header,
    /// A part announces another part, but another entry follows.
    #[error("the next part of the preceding entry was expected")]
    PartMissing,
    /// The joined parts are longer than [`ENTRY_LEN_MAX`].
    #[error("its parts are longer than the limit of {ENTRY_LEN_MAX}")]
    PartsTooLong,
    /// The joined parts are a part or an end, which no writer splits.
    #[error("its parts form a part or an end, which is never split")]
    PartOfPart,
    /// The number of entries in the end entry is wrong.
    #[error("the end entry counts {claimed} entries before it, which is wrong")]
    Count {
        /// The number in the end entry.
        claimed: u64,
    },
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tail::Sealed => f.write_str("complete"),
            Tail::Open => f.write_str("ends after a record, without an end entry"),
            Tail::Torn {
                record,
                offset,
                len,
            } => write!(
                f,
                "torn: record {record} at byte {offset} stops after {len} bytes; \
                 everything before it is intact"
            ),
            Tail::Damaged(damage) => damage.fmt(f),
        }
    }
}
