//! The bounds of the formats of recordings and checkpoint files. A writer never exceeds them; a
//! reader refuses a file that does.

use antiphon_codec::Limits;

/// First bytes of a recording: a name and the version of the format.
pub const MAGIC: [u8; 8] = *b"antirec\x01";

/// A record is closed when it has this many bytes. That is enough for the hash to use the
/// processor's full width, and for a write to cost little per entry. It is small enough that a
/// crash loses little and a reader needs little memory.
pub const RECORD_LEN: usize = 64 << 10;

/// The longest encoding in bytes of an entry that is written in one piece; a longer one is split
/// into parts.
///
/// A record is closed at the latest when an entry brings it over [`RECORD_LEN`], so none is longer
/// than [`RECORD_LEN_MAX`].
pub const PART_LEN_MAX: usize = 60 << 10;

/// The longest content of a record in bytes. A reader must read the whole content to check its
/// digest.
pub const RECORD_LEN_MAX: usize = RECORD_LEN + PART_LEN_MAX + 16;

/// The longest encoding of an entry in bytes, joined from its parts. The largest request of the
/// default configuration has 16 registers of 64 KiB; an image has at most 8 MiB.
pub const ENTRY_LEN_MAX: usize = 16 << 20;

/// The limits of decoding one entry: its length, and a tree of at most 64 MiB.
pub(crate) const ENTRY_LIMITS: Limits = Limits {
    depth: 32,
    bytes_len: ENTRY_LEN_MAX,
    items: 2 << 20,
};

/// First bytes of a checkpoint file: a name and the version of the format.
pub const CHECKPOINT_MAGIC: [u8; 8] = *b"antickp\x01";

/// The longest checkpoint file in bytes. It has room for some hundred thousand idle sessions, and
/// bounds the memory of reading one to a few times this length.
pub const CHECKPOINT_LEN_MAX: usize = 64 << 20;
