use core::fmt;

use crate::error::DecodeErrorKind;

/// The kind of an item, as its first byte determines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Integer from 0 to 2^64 - 1.
    Uint,
    /// Integer from -2^64 to -1.
    Nint,
    /// Byte string.
    Bytes,
    /// Text string.
    Text,
    /// Array.
    Array,
    /// Map.
    Map,
    /// Tag; the tagged item follows.
    Tag,
    /// `false` or `true`.
    Bool,
    /// `null`.
    Null,
    /// `undefined`.
    Undefined,
    /// Simple value other than those with a kind of their own.
    Simple,
    /// Float of 16, 32 or 64 bits.
    Float,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Uint => "unsigned integer",
            Kind::Nint => "negative integer",
            Kind::Bytes => "byte string",
            Kind::Text => "text string",
            Kind::Array => "array",
            Kind::Map => "map",
            Kind::Tag => "tag",
            Kind::Bool => "boolean",
            Kind::Null => "null",
            Kind::Undefined => "undefined",
            Kind::Simple => "simple value",
            Kind::Float => "float",
        })
    }
}

/// Length in bytes of the shortest head with this argument: 1, 2, 3, 5 or 9.
///
/// The argument is the value of an integer, the length of a string in bytes, the number of
/// elements of an array or pairs of a map, or a tag number. For example, a text of `n` bytes is
/// encoded in `head_len(n) + n` bytes.
#[inline]
#[must_use]
pub const fn head_len(argument: u64) -> usize {
    match argument {
        0..=0x17 => 1,
        0x18..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Initial byte of a break, which ends an item of indefinite length.
pub(crate) const BREAK: u8 = 0xff;

/// The kind of an item with this initial byte, or why no item starts with it.
#[inline]
pub(crate) const fn kind_of(initial: u8) -> Result<Kind, DecodeErrorKind> {
    let info = initial & 0x1f;
    let major = initial >> 5;
    // 28 to 30 are reserved for later versions of CBOR; 31 means "indefinite" for strings, arrays
    // and maps, "break" for major type 7, and nothing for integers and tags.
    if info > 27 {
        if initial == BREAK {
            return Err(DecodeErrorKind::BreakMisplaced);
        }
        if info != 31 || matches!(major, 0 | 1 | 6) {
            return Err(DecodeErrorKind::InitialReserved { initial });
        }
    }
    Ok(match major {
        0 => Kind::Uint,
        1 => Kind::Nint,
        2 => Kind::Bytes,
        3 => Kind::Text,
        4 => Kind::Array,
        5 => Kind::Map,
        6 => Kind::Tag,
        _ => match info {
            20 | 21 => Kind::Bool,
            22 => Kind::Null,
            23 => Kind::Undefined,
            25..=27 => Kind::Float,
            _ => Kind::Simple,
        },
    })
}

/// [`kind_of`] for every initial byte: every read of the cursor looks it up here first.
pub(crate) static KINDS: [Option<Kind>; 256] = {
    let mut kinds = [None; 256];
    let mut initial = 0;
    while initial < kinds.len() {
        if let Ok(kind) = kind_of(initial as u8) {
            kinds[initial] = Some(kind);
        }
        initial += 1;
    }
    kinds
};

/// Whether the initial byte announces an indefinite length. Only for kinds that can have one.
#[inline]
pub(crate) fn is_indefinite(initial: u8) -> bool {
    initial & 0x1f == 31
}

/// The argument n of the negative integer -1 - n.
#[inline]
pub(crate) fn nint_argument(value: minicbor::data::Int) -> u64 {
    (-1 - i128::from(value)) as u64
}

/// Tag of a byte string that is the integer n, in network order.
pub(crate) const TAG_BIGNUM: u64 = 2;
/// Tag of a byte string that is the integer -1 - n, in network order.
pub(crate) const TAG_BIGNUM_NEGATIVE: u64 = 3;

/// The digits of a bignum without leading zero bytes.
pub(crate) fn bignum_digits(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or(&[])
}

/// The value of bignum digits that fit into a plain integer.
pub(crate) fn bignum_argument(digits: &[u8]) -> Option<u64> {
    (digits.len() <= 8).then(|| {
        digits
            .iter()
            .fold(0, |sum, digit| sum << 8 | u64::from(*digit))
    })
}

/// Bytes of the argument that follow an initial byte.
pub(crate) const fn argument_width(initial: u8) -> usize {
    match initial & 0x1f {
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => 0,
    }
}
