use core::convert::Infallible;

use half::f16;

use crate::error::EncodeError;
use crate::item::Item;
use crate::limits::DEPTH_MAX;

/// Appends deterministic CBOR to a buffer, without a tree and without allocation of its own.
///
/// Every call writes the shortest form of one head and its content. The caller has two duties that
/// no single call can check: the announced number of items has to follow [`Encoder::array`] and
/// [`Encoder::map`], and the keys of a map have to be distinct and in the order of their encoded
/// bytes. Text keys sort by length first, then by letters. A test that decodes the result with
/// [`decode_strict`](crate::decode_strict) finds violations of both.
///
/// ```
/// use antiphon_codec::Encoder;
///
/// let mut bytes = Vec::new();
/// Encoder::new(&mut bytes).map(2).text("id").uint(7).text("name").text("ping");
/// assert_eq!(bytes, b"\xa2\x62id\x07\x64name\x64ping");
/// ```
#[derive(Debug)]
pub struct Encoder<'v> {
    inner: minicbor::Encoder<&'v mut Vec<u8>>,
}

impl<'v> Encoder<'v> {
    /// An encoder that appends to `bytes`.
    #[inline]
    pub fn new(bytes: &'v mut Vec<u8>) -> Self {
        Encoder {
            inner: minicbor::Encoder::new(bytes),
        }
    }

    /// An integer from 0 to 2^64 - 1.
    #[inline]
    pub fn uint(&mut self, value: u64) -> &mut Self {
        if !self.short(0x00, value) {
            written(self.inner.u64(value));
        }
        self
    }

    /// An integer from -2^63 to 2^63 - 1.
    #[inline]
    pub fn int(&mut self, value: i64) -> &mut Self {
        written(self.inner.i64(value));
        self
    }

    /// The integer -1 - `value`, from -2^64 to -1.
    #[inline]
    pub fn nint(&mut self, value: u64) -> &mut Self {
        // The library's own integer covers exactly this range, so the conversion always succeeds.
        if let Ok(value) = minicbor::data::Int::try_from(-1 - i128::from(value)) {
            written(self.inner.int(value));
        }
        self
    }

    /// A byte string.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        written(self.inner.bytes(value));
        self
    }

    /// A text string.
    #[inline]
    pub fn text(&mut self, value: &str) -> &mut Self {
        written(self.inner.str(value));
        self
    }

    /// Begins an array of `len` items.
    #[inline]
    pub fn array(&mut self, len: usize) -> &mut Self {
        if !self.short(0x80, len as u64) {
            written(self.inner.array(len as u64));
        }
        self
    }

    /// Begins a map of `len` pairs.
    #[inline]
    pub fn map(&mut self, len: usize) -> &mut Self {
        written(self.inner.map(len as u64));
        self
    }

    /// A tag; the tagged item follows.
    #[inline]
    pub fn tag(&mut self, tag: u64) -> &mut Self {
        written(self.inner.tag(minicbor::data::Tag::new(tag)));
        self
    }

    /// `false` or `true`.
    #[inline]
    pub fn bool(&mut self, value: bool) -> &mut Self {
        written(self.inner.bool(value));
        self
    }

    /// `null`.
    #[inline]
    pub fn null(&mut self) -> &mut Self {
        written(self.inner.null());
        self
    }

    /// `undefined`.
    #[inline]
    pub fn undefined(&mut self) -> &mut Self {
        written(self.inner.undefined());
        self
    }

    /// A float in the shortest of 16, 32 and 64 bits that keeps its value; every not-a-number as
    /// `f97e00`.
    pub fn float(&mut self, value: f64) -> &mut Self {
        match float_width(value) {
            FloatWidth::Half if value.is_nan() => written(self.inner.f16(f32::NAN)),
            FloatWidth::Half => written(self.inner.f16(value as f32)),
            FloatWidth::Single => written(self.inner.f32(value as f32)),
            FloatWidth::Double => written(self.inner.f64(value)),
        }
        self
    }

    /// A whole tree. Writes nothing when the tree has no deterministic encoding.
    ///
    /// # Errors
    ///
    /// As [`Item::try_encode`].
    pub fn item(&mut self, item: &Item) -> Result<&mut Self, EncodeError> {
        let out = self.inner.writer_mut();
        let start = out.len();
        if let Err(error) = item.encode_into(out, DEPTH_MAX) {
            out.truncate(start);
            return Err(error);
        }
        Ok(self)
    }

    /// Bytes that are the deterministic encoding of whole items already.
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.inner.writer_mut().extend_from_slice(encoded);
        self
    }

    /// Writes a head of one byte, if its argument fits. Most heads are that short, and a library
    /// call for each head was the largest cost of encoding events.
    #[inline]
    fn short(&mut self, major: u8, argument: u64) -> bool {
        let fits = argument <= 0x17;
        if fits {
            self.inner.writer_mut().push(major | argument as u8);
        }
        fits
    }

    /// A simple value. [`Item::encode_into`] has checked that it exists and has no other kind.
    pub(crate) fn simple(&mut self, value: u8) -> &mut Self {
        written(self.inner.simple(value));
        self
    }
}

/// The forms of a float, by the length of the whole item in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FloatWidth {
    Half = 3,
    Single = 5,
    Double = 9,
}

/// The shortest form that keeps the value. Infinities and every not-a-number fit into 16 bits.
pub(crate) fn float_width(value: f64) -> FloatWidth {
    if value.is_nan() || f16::from_f64(value).to_f64() == value {
        FloatWidth::Half
    } else if f64::from(value as f32) == value {
        FloatWidth::Single
    } else {
        FloatWidth::Double
    }
}

/// A write into a `Vec` cannot fail, so the library's result needs no handling.
#[inline]
fn written<T>(result: Result<T, minicbor::encode::Error<Infallible>>) {
    debug_assert!(result.is_ok(), "a Vec refused a write");
}
