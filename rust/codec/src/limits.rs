/// Deepest nesting of arrays, maps and tags that anything in this crate reads or writes.
///
/// 64 is many times what any format of Antiphon needs. It is fixed because trees are dropped,
/// compared and encoded by recursion: 64 frames fit any thread's stack.
pub const DEPTH_MAX: u32 = 64;

/// Bounds on the cost of one decode, fixed before the first byte is read.
///
/// Together they bound memory: a tree takes at most `items` times the size of two
/// [`Item`](crate::Item)s plus `bytes_len`, for any input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of arrays, maps and tags; a scalar has depth 0. Larger values than
    /// [`DEPTH_MAX`] have the same effect as [`DEPTH_MAX`].
    pub depth: u32,
    /// Longest input in bytes. Larger values than 4 GiB - 2 have the same effect as 4 GiB - 2.
    pub bytes_len: usize,
    /// Largest number of items in one input: every scalar, array, map, tag, key and value is one.
    pub items: usize,
}

impl Limits {
    /// Default of [`Limits::depth`]: a frame of the guest link nests 6 deep, so half of
    /// [`DEPTH_MAX`] leaves room and keeps hostile nesting cheap.
    pub const DEPTH_DEFAULT: u32 = 32;
    /// Default of [`Limits::bytes_len`]: the largest frame of the guest link, 4 MiB.
    pub const BYTES_LEN_DEFAULT: usize = 4 << 20;
    /// Default of [`Limits::items`]: a directory listing of 25,000 entries of 10 items, and a
    /// tree of at most 16 MiB.
    pub const ITEMS_DEFAULT: usize = 1 << 18;

    /// The depth that is enforced, never above [`DEPTH_MAX`].
    pub(crate) fn depth_effective(&self) -> u32 {
        self.depth.min(DEPTH_MAX)
    }

    /// The length that is enforced: offsets within an input are kept in 32 bits, and the largest
    /// offset marks the absence of one.
    pub(crate) fn bytes_len_effective(&self) -> usize {
        self.bytes_len.min(u32::MAX as usize - 1)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            depth: Limits::DEPTH_DEFAULT,
            bytes_len: Limits::BYTES_LEN_DEFAULT,
            items: Limits::ITEMS_DEFAULT,
        }
    }
}
