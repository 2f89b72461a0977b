//! Scanning encoded items by their heads, without decoding their content.
//!
//! A *head* is the start of every CBOR item: its major type and its argument. Heads are enough to
//! find where an item ends. A format that already knows its bytes to be intact, such as a
//! recording with a checksum, can therefore cut a sequence into items before it decodes any.
//!
//! Scanning accepts more than [`Decoder`](crate::Decoder) does: heads that are longer than
//! necessary, unsorted map keys, text that is not UTF-8, any nesting depth. It refuses items of
//! indefinite length and reserved initial bytes, which no encoder of this crate writes. Every
//! function is total: it takes any bytes, allocates nothing and reads each byte at most once.
//!
//! ```
//! use antiphon_codec::scan::{self, Head, Major};
//!
//! // An array of an integer and a text, followed by the next item of a sequence.
//! let bytes = b"\x82\x18\x64\x62hi\x07";
//! assert_eq!(scan::skip(bytes), Some(6));
//! assert_eq!(scan::uint_at(bytes, 1), Some(100));
//! let (head, len) = Head::read(bytes).expect("a whole head");
//! assert_eq!((head.major, head.argument, len), (Major::Array, 2, 1));
//! ```

use crate::head::{argument_width, head_len};

/// Major type of an item: the three highest bits of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Major {
    /// Integer from 0 to 2^64 - 1.
    Uint = 0,
    /// Integer from -2^64 to -1.
    Nint = 1,
    /// Byte string.
    Bytes = 2,
    /// Text string.
    Text = 3,
    /// Array.
    Array = 4,
    /// Map.
    Map = 5,
    /// Tag; the tagged item follows.
    Tag = 6,
    /// `false`, `true`, `null`, `undefined`, other simple values and floats.
    Simple = 7,
}

impl Major {
    /// The major type of the item that starts with this byte.
    #[inline]
    #[must_use]
    pub const fn of(initial: u8) -> Major {
        match initial >> 5 {
            0 => Major::Uint,
            1 => Major::Nint,
            2 => Major::Bytes,
            3 => Major::Text,
            4 => Major::Array,
            5 => Major::Map,
            6 => Major::Tag,
            _ => Major::Simple,
        }
    }

    /// The head of one byte with this argument, which must be at most 23; bits beyond the lowest
    /// five are ignored. For constants that contain the fixed start of an item.
    #[inline]
    #[must_use]
    pub const fn short(self, argument: u8) -> u8 {
        (self as u8) << 5 | argument & 0x1f
    }
}

/// Argument of the simple value `null`.
pub const NULL: u64 = 22;

/// The head of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    /// The major type.
    pub major: Major,
    /// The value of an integer (n for the integer -1 - n), the length of a string in bytes, the
    /// number of items of an array or of pairs of a map, the tag number, the simple value, or the
    /// bits of a float.
    pub argument: u64,
}

impl Head {
    /// Length in bytes of the longest head.
    pub const LEN_MAX: usize = 9;

    /// Length in bytes of the head that starts with this byte: 1, 2, 3, 5 or 9. `None` for an item
    /// of indefinite length, a break, or a reserved initial byte.
    #[inline]
    #[must_use]
    pub const fn len_of(initial: u8) -> Option<usize> {
        match initial & 0x1f {
            28.. => None,
            _ => Some(1 + argument_width(initial)),
        }
    }

    /// Reads the head at the start of the input and returns it with its length in bytes.
    ///
    /// `None` when the input ends within the head or starts with a byte that
    /// [`Head::len_of`] refuses.
    #[inline]
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Head, usize)> {
        let (initial, rest) = bytes.split_first()?;
        let len = Head::len_of(*initial)?;
        let argument = match len {
            1 => u64::from(initial & 0x1f),
            _ => {
                let argument = rest.get(..len - 1)?;
                argument.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
            }
        };
        let major = Major::of(*initial);
        Some((Head { major, argument }, len))
    }

    /// The head in its shortest form: an array that starts with its bytes, and its length.
    #[inline]
    #[must_use]
    pub const fn write(self) -> ([u8; Head::LEN_MAX], usize) {
        let [a, b, c, d, e, f, g, h] = self.argument.to_be_bytes();
        let Head { major, argument } = self;
        let len = head_len(argument);
        let bytes = match len {
            1 => [major.short(h), 0, 0, 0, 0, 0, 0, 0, 0],
            2 => [major.short(24), h, 0, 0, 0, 0, 0, 0, 0],
            3 => [major.short(25), g, h, 0, 0, 0, 0, 0, 0],
            5 => [major.short(26), e, f, g, h, 0, 0, 0, 0],
            _ => [major.short(27), a, b, c, d, e, f, g, h],
        };
        (bytes, len)
    }

    /// Bytes of content directly after the head: the length of a string, 0 for any other item.
    #[inline]
    #[must_use]
    pub const fn content_len(self) -> u64 {
        match self.major {
            Major::Bytes | Major::Text => self.argument,
            Major::Uint | Major::Nint | Major::Array | Major::Map | Major::Tag | Major::Simple => 0,
        }
    }

    /// Items that belong to this one and follow its head: elements, keys and values, or the tagged
    /// item. At most `u64::MAX`, which stands for every larger number.
    #[inline]
    #[must_use]
    pub const fn children(self) -> u64 {
        match self.major {
            Major::Array => self.argument,
            Major::Map => self.argument.saturating_mul(2),
            Major::Tag => 1,
            Major::Uint | Major::Nint | Major::Bytes | Major::Text | Major::Simple => 0,
        }
    }
}

/// Length in bytes of the item at the start of the input, its content included.
///
/// `None` when the input ends before the item does, or the item or its content contains a head that
/// [`Head::read`] refuses. Linear in the length that is returned; no recursion.
#[must_use]
pub fn skip(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    // Items that still have to be passed, at every level of nesting together.
    let mut pending = 1_u64;
    while pending > 0 {
        pending -= 1;
        let rest = bytes.get(at..)?;
        // Small integers and `null` are the most frequent items, and have one byte.
        if let Some(0x00..=0x17 | 0xf6) = rest.first() {
            at += 1;
            continue;
        }
        let (head, len) = Head::read(rest)?;
        at += len;
        let left = bytes.len() - at;
        let content_len = usize::try_from(head.content_len()).ok()?;
        if content_len > left {
            return None;
        }
        at += content_len;
        // Every item takes a byte at least, so a larger claim cannot be true. This also bounds the
        // sum.
        pending = pending.checked_add(head.children())?;
        if pending > (left - content_len) as u64 {
            return None;
        }
    }
    Some(at)
}

/// The integer from 0 to 2^64 - 1 whose head is at this offset. `None` when the offset has the head
/// of another item, or no whole head.
#[inline]
#[must_use]
pub fn uint_at(bytes: &[u8], offset: usize) -> Option<u64> {
    match Head::read(bytes.get(offset..)?)? {
        (
            Head {
                major: Major::Uint,
                argument,
            },
            _,
        ) => Some(argument),
        _ => None,
    }
}

/// A fixed number of heads, one after the other, on the stack.
///
/// For the part of an item that consists of heads only. Appending each head to a `Vec` checks the
/// capacity every time; this type collects the heads, and the caller appends them together.
#[derive(Clone, Copy, Debug)]
pub struct Heads<const MAX: usize> {
    bytes: [[u8; Head::LEN_MAX]; MAX],
    len: usize,
}

impl<const MAX: usize> Heads<MAX> {
    /// No heads yet.
    #[inline]
    #[must_use]
    pub const fn new() -> Heads<MAX> {
        Heads {
            bytes: [[0; Head::LEN_MAX]; MAX],
            len: 0,
        }
    }

    /// Appends a head in its shortest form.
    ///
    /// # Panics
    /// When fewer than [`Head::LEN_MAX`] bytes are left, which takes more than `MAX` heads.
    #[inline]
    pub fn push(&mut self, major: Major, argument: u64) -> &mut Self {
        let (head, len) = Head { major, argument }.write();
        // All nine bytes are copied: a copy of constant length is cheaper than one of `len` bytes.
        // The next head overwrites the rest.
        let end = self.len + Head::LEN_MAX;
        self.bytes.as_flattened_mut()[self.len..end].copy_from_slice(&head);
        self.len += len;
        self
    }

    /// Appends an integer from 0 to 2^64 - 1.
    ///
    /// # Panics
    /// As [`Heads::push`].
    #[inline]
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.push(Major::Uint, value)
    }

    /// Appends an integer, or `null` for `None`.
    ///
    /// # Panics
    /// As [`Heads::push`].
    #[inline]
    pub fn option(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.push(Major::Uint, value),
            None => self.push(Major::Simple, NULL),
        }
    }

    /// The bytes of the heads.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes.as_flattened()[..self.len]
    }
}

impl<const MAX: usize> Default for Heads<MAX> {
    fn default() -> Self {
        Heads::new()
    }
}
