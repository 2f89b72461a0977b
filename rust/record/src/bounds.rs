//! The bounds of the format. A writer never passes them; a reader refuses what does.

use antiphon_codec::Limits;

/// First bytes of a recording: a name and the version of the format.
pub const MAGIC: [u8; 8] = *b"antirec\x01";

/// A record is closed when it holds this many bytes: enough for the hash to use the processor's
/// full width and for a write to cost little per entry, few enough that a crash loses little and a
/// reader's window stays small.
pub const RECORD_LEN: usize = 64 << 10;

/// The longest encoding of an entry that stands in a record whole; a longer one is split into
/// parts.
///
/// A record is closed at the latest when an entry brings it over [`RECORD_LEN`], so none is longer
/// than [`RECORD_LEN_MAX`].
pub const PART_LEN_MAX: usize = 60 << 10;

/// The longest content of a record: what a reader reads before it knows whether it is what was
/// written.
pub const RECORD_LEN_MAX: usize = RECORD_LEN + PART_LEN_MAX + 16;

/// The longest encoding of an entry, put together from its parts. The largest request of the
/// default configuration is 16 registers of 64 KiB, an image is at most 8 MiB.
pub const ENTRY_LEN_MAX: usize = 16 << 20;

/// What reading one entry may cost: its length, and a tree of at most 64 MiB.
pub(crate) const ENTRY_LIMITS: Limits = Limits {
    depth: 32,
    bytes_len: ENTRY_LEN_MAX,
    items: 2 << 20,
};
