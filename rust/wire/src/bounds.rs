//! Every number that bounds the link, with the reason for it, and the versions spoken.

use std::fmt;

use antiphon_codec::Limits;

use crate::field::{FieldFault, FieldFaultKind, payloads};

/// The major version of the link that this crate speaks by preference.
pub const PROTOCOL_VERSION: u32 = 1;

/// The additions to [`PROTOCOL_VERSION`] that this crate knows: raised by every new message type
/// and every new optional field, so that a peer can tell what the other may know.
pub const PROTOCOL_MINOR: u32 = 0;

/// How many majors back a peer is still understood: version N talks with N-1 and N-2.
pub const VERSION_WINDOW: u32 = 2;

/// The version in the envelope of `hello`, `hello_ok` and `hello_err`, for ever: who does not
/// know which version the peer speaks must still be able to ask.
pub const HANDSHAKE_VERSION: u32 = 1;

/// The id of what belongs to the link as a whole and to no request.
pub const LINK_ID: u32 = 0;

/// The longest frame body, unless a peer offers less. Large enough for a listing of a large
/// directory, small enough that a link of a thousand sessions cannot exhaust a machine.
pub const FRAME_LEN_MAX: u32 = 4 << 20;

/// The least that a peer may offer as its longest frame: below this an error with its message
/// would not fit.
pub const FRAME_LEN_MIN: u32 = 4096;

/// The bytes of a frame around the data of `exec_output`, `stdin_data`, `fs_write` and the like,
/// at most, paths aside: envelope, keys and heads.
pub const FRAME_OVERHEAD_LEN: u32 = 128;

/// The length of one data chunk by default: large enough that the frame around it costs nothing,
/// small enough that another stream waits for less than a millisecond.
pub const DATA_LEN: u32 = 64 << 10;

/// The initial credit of a stream by default: four chunks in flight keep a local pipe busy.
pub const WINDOW: u32 = 4 * DATA_LEN;

/// The most credit that a stream may hold. Beyond it a peer that grants without end is refused
/// rather than counted with wider numbers.
pub const WINDOW_MAX: u64 = u32::MAX as u64;

/// How many requests may be open at once by default.
pub const IDS_MAX: u32 = 64;

/// How many requests a peer may have open that does not say: one at a time.
pub const IDS_MAX_UNSAID: u32 = 1;

/// How many pings a side may have open. One is enough to see that a peer lives; a few more
/// measure its latency.
pub const PINGS_MAX: usize = 16;

/// The longest message type, in bytes.
pub const TYPE_LEN_MAX: usize = 64;

/// The deepest nesting of a frame: the deepest message has six levels, foreign additions may add
/// as much again.
pub const FRAME_DEPTH_MAX: u32 = 16;

/// The most CBOR items in one frame: 4,096 directory entries with all their fields, with room
/// for as much again. It bounds the memory of a decoded frame, which is several times its bytes.
pub const FRAME_ITEMS_MAX: usize = 65_536;

/// The most entries in one `fs_list` result.
pub const LIST_LEN_MAX: usize = 4096;

/// The entries in one `fs_list` result when the request does not say.
pub const LIST_LEN: u32 = 1024;

/// The arguments of a system call, at most.
pub const SYSCALL_ARGS_MAX: usize = 6;

/// The buffers of a system call, at most: one for each argument.
pub const SYSCALL_BUFS_MAX: usize = SYSCALL_ARGS_MAX;

/// The bounds under which a frame body is decoded.
#[must_use]
pub fn frame_limits(frame_len_max: u32) -> Limits {
    Limits {
        depth: FRAME_DEPTH_MAX,
        bytes_len: usize::try_from(frame_len_max).unwrap_or(usize::MAX),
        items: FRAME_ITEMS_MAX,
    }
}

/// The longest data chunk whose frame a peer with this bound accepts.
#[must_use]
pub fn data_len_max(frame_len_max: u32) -> u32 {
    frame_len_max.saturating_sub(FRAME_OVERHEAD_LEN)
}

payloads! {
    /// A range of major versions, both ends included.
    pub struct VersionRange where in_order {
        /// The newest.
        pub max: u32,
        /// The oldest.
        pub min: u32,
    }
}

fn in_order(range: &VersionRange) -> Result<(), FieldFault> {
    if range.min > range.max {
        let kind = FieldFaultKind::Inverted {
            min: range.min,
            max: range.max,
        };
        return Err(FieldFault::at("min", kind));
    }
    Ok(())
}

impl VersionRange {
    /// The versions this crate speaks: [`PROTOCOL_VERSION`] and the [`VERSION_WINDOW`] before it.
    pub const SUPPORTED: Self = Self {
        min: if PROTOCOL_VERSION > VERSION_WINDOW {
            PROTOCOL_VERSION - VERSION_WINDOW
        } else {
            1
        },
        max: PROTOCOL_VERSION,
    };

    /// Whether `version` is in the range.
    #[must_use]
    pub const fn contains(self, version: u32) -> bool {
        self.min <= version && version <= self.max
    }

    /// The highest version in both ranges.
    #[must_use]
    pub fn highest_common(self, other: Self) -> Option<u32> {
        let version = self.max.min(other.max);
        (self.contains(version) && other.contains(version)).then_some(version)
    }
}

impl Copy for VersionRange {}

impl Default for VersionRange {
    fn default() -> Self {
        Self::SUPPORTED
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{} to {}", self.min, self.max)
        }
    }
}
