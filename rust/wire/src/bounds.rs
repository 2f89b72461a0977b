//! The bounds of the link, with their reasons, and the supported versions.

use std::fmt;

use antiphon_codec::Limits;

use crate::field::{FieldFault, FieldFaultKind, payloads};

/// The major version of the link that this crate prefers.
pub const PROTOCOL_VERSION: u32 = 1;

/// The minor version: the number of additions to [`PROTOCOL_VERSION`] that this crate knows. Every
/// new message type and every new optional field raises it. Each peer learns from it what the other
/// one may know.
pub const PROTOCOL_MINOR: u32 = 0;

/// How many older major versions are supported: version N works with N-1 and N-2.
pub const VERSION_WINDOW: u32 = 2;

/// The version in the envelope of `hello`, `hello_ok` and `hello_err`. It never changes, because
/// these are sent before the peers have agreed on a version.
pub const HANDSHAKE_VERSION: u32 = 1;

/// The id of messages that belong to the link as a whole and not to a request.
pub const LINK_ID: u32 = 0;

/// The longest frame body, in bytes, unless a peer offers less. Large enough for a listing of a
/// large directory, small enough that a thousand links cannot exhaust a machine's memory.
pub const FRAME_LEN_MAX: u32 = 4 << 20;

/// The least that a peer may offer as its longest frame body, in bytes: an `error` with its message
/// must fit.
pub const FRAME_LEN_MIN: u32 = 4096;

/// The most bytes that a frame has around the data of `exec_output`, `stdin_data`, `fs_write` and
/// similar messages: envelope, keys and heads, without paths.
pub const FRAME_OVERHEAD_LEN: u32 = 128;

/// The default length of a data chunk, in bytes: large enough that the cost of its frame is
/// negligible, small enough that another stream waits less than a millisecond.
pub const DATA_LEN: u32 = 64 << 10;

/// The default initial credit of a stream, in bytes: four chunks in flight keep a local pipe busy.
pub const WINDOW: u32 = 4 * DATA_LEN;

/// The most credit that a stream may have, in bytes. A grant beyond it is a violation, so that
/// credit fits 32 bits.
pub const WINDOW_MAX: u64 = u32::MAX as u64;

/// The default number of requests that may be open at once.
pub const IDS_MAX: u32 = 64;

/// The number of requests that may be open at once if a peer does not give one.
pub const IDS_MAX_UNSAID: u32 = 1;

/// How many pings a side may have open. One is enough to check that the peer lives; a few more
/// measure its latency.
pub const PINGS_MAX: usize = 16;

/// The longest message type, in bytes.
pub const TYPE_LEN_MAX: usize = 64;

/// The deepest nesting of a frame. The deepest message has six levels; the rest is room for
/// additions of later versions.
pub const FRAME_DEPTH_MAX: u32 = 16;

/// The most CBOR items in one frame: twice the number in 4,096 directory entries with all fields.
/// It bounds the memory of a decoded frame, which is several times the length of the frame.
pub const FRAME_ITEMS_MAX: usize = 65_536;

/// The most entries in one `fs_list` result.
pub const LIST_LEN_MAX: usize = 4096;

/// The most entries in one `fs_list` result if the request does not give a number.
pub const LIST_LEN: u32 = 1024;

/// The most arguments of a system call.
pub const SYSCALL_ARGS_MAX: usize = 6;

/// The most buffers of a system call: one for each argument.
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

/// The longest data chunk, in bytes, whose frame a peer with this bound accepts.
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
    /// The versions that this crate supports: [`PROTOCOL_VERSION`] and the [`VERSION_WINDOW`]
    /// before it.
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
