use crate::Kind;

/// The reason and the place at which a decoder refused its input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {kind}")]
pub struct DecodeError {
    /// Offset in the input of the first byte of the faulty item.
    pub offset: usize,
    /// The fault.
    pub kind: DecodeErrorKind,
}

impl DecodeError {
    pub(crate) fn at(offset: usize, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { offset, kind }
    }
}

/// The faults of an input. Offsets are bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The whole input is longer than [`Limits::bytes_len`](crate::Limits::bytes_len).
    #[error("input of length {got} is over the limit of {limit}")]
    InputTooLong {
        /// The limit in bytes.
        limit: usize,
        /// Length of the input in bytes.
        got: usize,
    },
    /// The input ends inside an item, or its head claims more than is left of the input.
    #[error("input ends after {left} of at least {needed} bytes")]
    Truncated {
        /// Least possible length of the item in bytes.
        needed: u64,
        /// Bytes from the item's offset to the end of the input.
        left: usize,
    },
    /// Nesting is over [`Limits::depth`](crate::Limits::depth).
    #[error("nested deeper than the limit of {limit}")]
    TooDeep {
        /// The limit.
        limit: u32,
    },
    /// The input has, or claims, more items than [`Limits::items`](crate::Limits::items).
    #[error("{claimed} more items claimed, {left} left of the limit of {limit}")]
    TooManyItems {
        /// The limit for the whole input.
        limit: usize,
        /// Items still available at this point.
        left: usize,
        /// Items that this item needs.
        claimed: u64,
    },
    /// The next item is not of the kind that the caller asked for.
    #[error("expected {expected}, got {got}")]
    KindMismatch {
        /// The kind that was asked for.
        expected: Kind,
        /// The kind of the next item.
        got: Kind,
    },
    /// An integer does not fit into the signed 64 bits that were asked for.
    #[error("integer outside of -2^63 to 2^63 - 1")]
    IntOutOfRange,
    /// An integer or a length is written in more bytes than it needs.
    #[error("head of length {got}, the shortest is {shortest}")]
    HeadNotShortest {
        /// Bytes of the head, the initial byte included.
        got: usize,
        /// Bytes that the shortest head has.
        shortest: usize,
    },
    /// A float is written in more bytes than it needs.
    #[error("float of length {got}, the shortest is {shortest}")]
    FloatNotShortest {
        /// Bytes of the float, the initial byte included: 5 or 9.
        got: usize,
        /// Bytes that the shortest form has: 3 or 5.
        shortest: usize,
    },
    /// A not-a-number other than the one deterministic form `f97e00`.
    #[error("not-a-number other than f97e00")]
    NanNotCanonical,
    /// A bignum (tag 2 or 3) that fits into a plain integer, or starts with a zero byte.
    #[error("bignum of length {got} has a shorter form")]
    BignumNotShortest {
        /// Bytes of its byte string.
        got: usize,
        /// Bytes without leading zeros; up to 8 are a plain integer.
        shortest: usize,
    },
    /// A string, array or map of indefinite length where only definite ones are allowed.
    #[error("{kind} of indefinite length")]
    Indefinite {
        /// The kind of the item.
        kind: Kind,
    },
    /// A map key that sorts before the key that precedes it.
    #[error("map key sorts before the key at byte {previous}")]
    KeysUnsorted {
        /// Offset of the preceding key.
        previous: usize,
    },
    /// A map key that occurs twice.
    #[error("map key is the same as the one at byte {first}")]
    DuplicateKey {
        /// Offset of its first occurrence.
        first: usize,
    },
    /// A map of indefinite length that ends between a key and its value.
    #[error("map ends after a key without a value")]
    ValueMissing,
    /// A text string that is not UTF-8.
    #[error("text is not UTF-8 after its first {valid} bytes")]
    Utf8 {
        /// Length in bytes of the part before the first bad sequence.
        valid: usize,
    },
    /// A chunk of an indefinite string that is not a definite string of the same kind.
    #[error("expected a chunk of {expected}, got {got}")]
    ChunkMismatch {
        /// The kind of the string.
        expected: Kind,
        /// The kind of the chunk.
        got: Kind,
    },
    /// A break (`ff`) outside of an item of indefinite length.
    #[error("break outside of an item of indefinite length")]
    BreakMisplaced,
    /// An initial byte that RFC 8949 reserves or forbids.
    #[error("initial byte {initial:#04x} is not well-formed")]
    InitialReserved {
        /// The byte.
        initial: u8,
    },
    /// A simple value below 32 in two bytes: not well-formed.
    #[error("simple value {value} in two bytes")]
    SimpleReserved {
        /// The value, 0 to 31.
        value: u8,
    },
    /// Bytes after the item, which has to be the whole input.
    #[error("item ends here, {left} bytes before the input does")]
    Trailing {
        /// Number of bytes after it.
        left: usize,
    },
    /// [`Decoder::finish`](crate::Decoder::finish) was called within an array, map or tag.
    #[error("{left} items of the innermost array, map or tag not read")]
    Unfinished {
        /// Items not yet read of the innermost container.
        left: usize,
    },
}

/// Why an [`Item`](crate::Item) has no deterministic encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A map contains a key twice.
    #[error("map key `{key}` occurs twice")]
    DuplicateKey {
        /// The key in diagnostic notation.
        key: String,
    },
    /// A simple value from 24 to 31; these do not exist.
    #[error("simple value {value} does not exist")]
    SimpleReserved {
        /// The value.
        value: u8,
    },
    /// The item is nested deeper than [`DEPTH_MAX`](crate::DEPTH_MAX).
    #[error("nested deeper than the limit of {limit}")]
    TooDeep {
        /// The limit.
        limit: u32,
    },
}
