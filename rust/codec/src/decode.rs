use crate::encode::float_width;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::head::{
    KINDS, Kind, TAG_BIGNUM, TAG_BIGNUM_NEGATIVE, argument_width, bignum_digits, head_len,
    is_indefinite, kind_of, nint_argument,
};
use crate::item::Item;
use crate::limits::{DEPTH_MAX, Limits};
use crate::scan::Head;

/// Decodes an input that is one item in the deterministic form of RFC 8949 section 4.2.1. Encoding
/// the item again returns the same bytes.
///
/// Time and memory are linear in the input and bounded by `limits`.
///
/// # Errors
///
/// The first fault of the input in reading order; see [`DecodeErrorKind`].
pub fn decode_strict(bytes: &[u8], limits: &Limits) -> Result<Item, DecodeError> {
    let mut decoder = Decoder::new(bytes, *limits);
    let item = decoder.item()?;
    decoder.finish()?;
    Ok(item)
}

/// Strict cursor over deterministic CBOR, without a tree and without allocation.
///
/// The caller asks for the kind of item it expects; if the next item is of another kind, the error
/// names both kinds. The cursor keeps track of every open array, map and tag. It checks the order
/// of map keys and enforces the limits on depth and items, and [`Decoder::finish`] fails if an
/// array, map or tag was not read to its end. An input can be a sequence of several items.
///
/// After an error the position is undefined, so the cursor should be dropped.
///
/// ```
/// use antiphon_codec::{Decoder, Limits};
///
/// let mut decoder = Decoder::new(b"\xa2\x62id\x07\x64name\x64ping", Limits::default());
/// assert_eq!(decoder.map()?, 2);
/// assert_eq!(decoder.text()?, "id");
/// assert_eq!(decoder.uint()?, 7);
/// assert_eq!(decoder.text()?, "name");
/// assert_eq!(decoder.text()?, "ping");
/// decoder.finish()?;
/// # Ok::<(), antiphon_codec::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<'b> {
    inner: minicbor::Decoder<'b>,
    limits: Limits,
    /// Items of [`Limits::items`] that no head has claimed yet.
    items_left: usize,
    /// Number of entries of `open` in use.
    depth: usize,
    /// Offset of the content of the last bignum tag: this byte string must have no shorter form.
    bignum: Option<usize>,
    open: [Open; DEPTH_MAX as usize],
}

/// An array, map or tag that has been entered but not read to its end.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Items not yet read; keys and values each count. If odd in a map, a value is next.
    left: u32,
    /// Offset of the current pair of a map, and so of its key. [`NO_PAIR`] in an array or a tag.
    pair: u32,
    /// Range of the preceding key; empty before the first pair. No key is empty.
    key_start: u32,
    key_end: u32,
}

/// Not the offset of any pair: inputs are shorter.
const NO_PAIR: u32 = u32::MAX;

const CLOSED: Open = Open {
    left: 0,
    pair: NO_PAIR,
    key_start: 0,
    key_end: 0,
};

impl<'b> Decoder<'b> {
    /// A cursor at the start of `bytes`.
    ///
    /// The first read refuses an input that is longer than [`Limits::bytes_len`].
    #[inline]
    #[must_use]
    pub fn new(bytes: &'b [u8], limits: Limits) -> Self {
        Decoder {
            inner: minicbor::Decoder::new(bytes),
            limits,
            items_left: limits.items,
            depth: 0,
            bignum: None,
            open: [CLOSED; DEPTH_MAX as usize],
        }
    }

    /// The number of bytes read so far.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.inner.position()
    }

    /// Whether the whole input has been read.
    #[inline]
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.position() == self.inner.input().len()
    }

    /// The kind of the next item. Does not read it.
    ///
    /// # Errors
    ///
    /// At the end of the input, and when the next byte is not the start of an item.
    #[inline]
    pub fn kind(&self) -> Result<Kind, DecodeError> {
        let start = self.position();
        kind_of(self.initial(start)?).map_err(|kind| DecodeError::at(start, kind))
    }

    /// Reads an integer from 0 to 2^64 - 1.
    ///
    /// # Errors
    ///
    /// Like every other read: when the next item is of another kind or not in deterministic form,
    /// when the input ends, or when a limit is exceeded.
    #[inline]
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        let start = self.begin(Kind::Uint)?;
        let value = self.inner.u64().map_err(|_| self.truncated(start))?;
        self.head_is_shortest(start, self.position(), value)?;
        self.end(start)?;
        Ok(value)
    }

    /// Reads the integer -1 - n and returns n.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    #[inline]
    pub fn nint(&mut self) -> Result<u64, DecodeError> {
        let start = self.begin(Kind::Nint)?;
        let value = nint_argument(self.inner.int().map_err(|_| self.truncated(start))?);
        self.head_is_shortest(start, self.position(), value)?;
        self.end(start)?;
        Ok(value)
    }

    /// Reads an integer from -2^63 to 2^63 - 1.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`]; also when the integer is out of this range.
    #[inline]
    pub fn int(&mut self) -> Result<i64, DecodeError> {
        let start = self.position();
        let (value, is_negative) = match self.kind()? {
            Kind::Nint => (self.nint()?, true),
            _ => (self.uint()?, false),
        };
        let value = i64::try_from(value)
            .map_err(|_| DecodeError::at(start, DecodeErrorKind::IntOutOfRange))?;
        Ok(if is_negative { -1 - value } else { value })
    }

    /// Reads a byte string, borrowed from the input.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    #[inline]
    pub fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        let start = self.begin_definite(Kind::Bytes)?;
        let value = self.inner.bytes().map_err(|_| self.truncated(start))?;
        self.head_is_shortest(start, self.position() - value.len(), value.len() as u64)?;
        if self.bignum == Some(start) {
            bignum_is_shortest(start, value)?;
        }
        self.end(start)?;
        Ok(value)
    }

    /// Reads a text string, borrowed from the input.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`]; also when it is not UTF-8.
    #[inline]
    pub fn text(&mut self) -> Result<&'b str, DecodeError> {
        let start = self.begin_definite(Kind::Text)?;
        let value = self
            .inner
            .str()
            .map_err(|error| text_error(&self.inner, start, &error))?;
        self.head_is_shortest(start, self.position() - value.len(), value.len() as u64)?;
        self.end(start)?;
        Ok(value)
    }

    /// Enters an array and returns the number of its items, which follow.
    ///
    /// The number is at most that of the bytes left and of the items that [`Limits::items`] still
    /// allows, so it is safe to reserve memory for.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    #[inline]
    pub fn array(&mut self) -> Result<usize, DecodeError> {
        let start = self.begin_definite(Kind::Array)?;
        let len = self
            .inner
            .array()
            .map_err(|_| self.truncated(start))?
            .unwrap_or(0);
        self.head_is_shortest(start, self.position(), len)?;
        let items = self.enter(start, len, NO_PAIR)?;
        Ok(items as usize)
    }

    /// Enters a map and returns the number of its pairs of key and value, which follow.
    ///
    /// The order of the keys is checked as they are read. The number is bounded like that of
    /// [`Decoder::array`].
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`]; [`DecodeErrorKind::KeysUnsorted`] and
    /// [`DecodeErrorKind::DuplicateKey`] are returned by the read that ends the key.
    #[inline]
    pub fn map(&mut self) -> Result<usize, DecodeError> {
        let start = self.begin_definite(Kind::Map)?;
        let len = self
            .inner
            .map()
            .map_err(|_| self.truncated(start))?
            .unwrap_or(0);
        self.head_is_shortest(start, self.position(), len)?;
        let pair = self.position() as u32;
        let items = self.enter(start, len.saturating_mul(2), pair)?;
        Ok((items / 2) as usize)
    }

    /// Reads a tag number; the tagged item follows.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    #[inline]
    pub fn tag(&mut self) -> Result<u64, DecodeError> {
        let start = self.begin(Kind::Tag)?;
        let tag = self
            .inner
            .tag()
            .map_err(|_| self.truncated(start))?
            .as_u64();
        self.head_is_shortest(start, self.position(), tag)?;
        self.enter(start, 1, NO_PAIR)?;
        if matches!(tag, TAG_BIGNUM | TAG_BIGNUM_NEGATIVE) {
            self.bignum = Some(self.position());
        }
        Ok(tag)
    }

    /// Reads `false` or `true`.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let start = self.begin(Kind::Bool)?;
        let value = self.inner.bool().map_err(|_| self.truncated(start))?;
        self.end(start)?;
        Ok(value)
    }

    /// Reads `null`.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    #[inline]
    pub fn null(&mut self) -> Result<(), DecodeError> {
        let start = self.begin(Kind::Null)?;
        self.inner.null().map_err(|_| self.truncated(start))?;
        self.end(start)
    }

    /// Reads `undefined`.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    pub fn undefined(&mut self) -> Result<(), DecodeError> {
        let start = self.begin(Kind::Undefined)?;
        self.inner.undefined().map_err(|_| self.truncated(start))?;
        self.end(start)
    }

    /// Reads a simple value that has no kind of its own: 0 to 19 or 32 to 255.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    pub fn simple(&mut self) -> Result<u8, DecodeError> {
        let start = self.begin(Kind::Simple)?;
        let value = self.inner.simple().map_err(|_| self.truncated(start))?;
        simple_is_assignable(start, self.position(), value)?;
        self.end(start)?;
        Ok(value)
    }

    /// Reads a float.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    pub fn float(&mut self) -> Result<f64, DecodeError> {
        let start = self.begin(Kind::Float)?;
        let value = self.inner.f64().map_err(|_| self.truncated(start))?;
        let got = self.position() - start;
        if value.is_nan() {
            let canonical = [0xf9, 0x7e, 0x00];
            if self.inner.input().get(start..self.position()) != Some(&canonical[..]) {
                return Err(DecodeError::at(start, DecodeErrorKind::NanNotCanonical));
            }
        } else if got != float_width(value) as usize {
            let shortest = float_width(value) as usize;
            let kind = DecodeErrorKind::FloatNotShortest { got, shortest };
            return Err(DecodeError::at(start, kind));
        }
        self.end(start)?;
        Ok(value)
    }

    /// Reads the next item of any kind, with all its content, as a tree.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    pub fn item(&mut self) -> Result<Item, DecodeError> {
        // Recursion is bounded: each level has an entry in `open`.
        Ok(match self.kind()? {
            Kind::Uint => Item::Uint(self.uint()?),
            Kind::Nint => Item::Nint(self.nint()?),
            Kind::Bytes => Item::Bytes(self.bytes()?.to_vec()),
            Kind::Text => Item::Text(self.text()?.to_owned()),
            Kind::Array => {
                let len = self.array()?;
                let mut items = Vec::with_capacity(len);
                for _ in 0..len {
                    items.push(self.item()?);
                }
                Item::Array(items)
            }
            Kind::Map => {
                let len = self.map()?;
                let mut pairs = Vec::with_capacity(len);
                for _ in 0..len {
                    pairs.push((self.item()?, self.item()?));
                }
                Item::Map(pairs)
            }
            Kind::Tag => Item::Tag(self.tag()?, Box::new(self.item()?)),
            Kind::Bool => Item::Bool(self.bool()?),
            Kind::Null => {
                self.null()?;
                Item::Null
            }
            Kind::Undefined => {
                self.undefined()?;
                Item::Undefined
            }
            Kind::Simple => Item::Simple(self.simple()?),
            Kind::Float => Item::Float(self.float()?),
        })
    }

    /// Skips the next item with all its content and returns its bytes. They are checked as strictly
    /// as by the other reads.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    pub fn raw(&mut self) -> Result<&'b [u8], DecodeError> {
        let start = self.position();
        let depth = self.depth;
        loop {
            match self.kind()? {
                Kind::Uint => drop(self.uint()?),
                Kind::Nint => drop(self.nint()?),
                Kind::Bytes => drop(self.bytes()?),
                Kind::Text => drop(self.text()?),
                Kind::Array => drop(self.array()?),
                Kind::Map => drop(self.map()?),
                Kind::Tag => drop(self.tag()?),
                Kind::Bool => drop(self.bool()?),
                Kind::Null => self.null()?,
                Kind::Undefined => self.undefined()?,
                Kind::Simple => drop(self.simple()?),
                Kind::Float => drop(self.float()?),
            }
            // Less than the depth at the start if this item was the last one of its container.
            if self.depth <= depth {
                break;
            }
        }
        Ok(self
            .inner
            .input()
            .get(start..self.position())
            .unwrap_or(&[]))
    }

    /// Checks that the whole input has been read.
    ///
    /// # Errors
    ///
    /// When an array, map or tag has not been read to its end, or when bytes are left.
    #[inline]
    pub fn finish(&self) -> Result<(), DecodeError> {
        let offset = self.position();
        if let Some(open) = self.depth.checked_sub(1).and_then(|top| self.open.get(top)) {
            let left = open.left as usize;
            return Err(DecodeError::at(
                offset,
                DecodeErrorKind::Unfinished { left },
            ));
        }
        let left = self.inner.input().len() - offset;
        if left > 0 {
            return Err(DecodeError::at(offset, DecodeErrorKind::Trailing { left }));
        }
        Ok(())
    }

    /// The first byte of the item at `start`.
    #[inline]
    fn initial(&self, start: usize) -> Result<u8, DecodeError> {
        let input = self.inner.input();
        match input.get(start) {
            Some(initial) => Ok(*initial),
            None => Err(truncated(input, start)),
        }
    }

    #[cold]
    fn truncated(&self, start: usize) -> DecodeError {
        truncated(self.inner.input(), start)
    }

    /// Checks that an item of this kind is next and that the limits allow it; returns its offset.
    #[inline]
    fn begin(&mut self, expected: Kind) -> Result<usize, DecodeError> {
        let start = self.position();
        if KINDS.get(usize::from(self.initial(start)?)) != Some(&Some(expected)) {
            return Err(self.mismatch(start, expected));
        }
        // The head of a container has already claimed its items.
        if self.depth == 0 {
            self.begin_outermost(start)?;
        }
        Ok(start)
    }

    #[cold]
    fn mismatch(&self, start: usize, expected: Kind) -> DecodeError {
        match self.kind() {
            Ok(got) => {
                let kind = DecodeErrorKind::KindMismatch { expected, got };
                DecodeError::at(start, kind)
            }
            Err(error) => error,
        }
    }

    /// As [`Decoder::begin`], for the kinds that can be of indefinite length.
    #[inline]
    fn begin_definite(&mut self, expected: Kind) -> Result<usize, DecodeError> {
        let start = self.begin(expected)?;
        if is_indefinite(self.initial(start)?) {
            let kind = DecodeErrorKind::Indefinite { kind: expected };
            return Err(DecodeError::at(start, kind));
        }
        Ok(start)
    }

    /// The checks for an item that is not part of another one.
    fn begin_outermost(&mut self, start: usize) -> Result<(), DecodeError> {
        input_fits(self.inner.input(), &self.limits)?;
        self.items_left = take_items(start, 1, self.items_left, &self.limits)?;
        Ok(())
    }

    #[inline]
    fn head_is_shortest(&self, start: usize, end: usize, arg: u64) -> Result<(), DecodeError> {
        let (got, shortest) = (end - start, head_len(arg));
        if got == shortest {
            return Ok(());
        }
        Err(DecodeError::at(
            start,
            DecodeErrorKind::HeadNotShortest { got, shortest },
        ))
    }

    /// Opens a container with this number of items, after a check that the input can contain them.
    #[inline]
    fn enter(&mut self, start: usize, items: u64, pair: u32) -> Result<u32, DecodeError> {
        let position = self.position();
        let left = claimed_fits(self.inner.input(), start, position, items)?;
        self.items_left = take_items(start, items, self.items_left, &self.limits)?;
        let limit = self.limits.depth_effective();
        if self.depth >= limit as usize {
            return Err(DecodeError::at(start, DecodeErrorKind::TooDeep { limit }));
        }
        if left == 0 {
            self.end(start)?;
        } else if let Some(open) = self.open.get_mut(self.depth) {
            *open = Open {
                left,
                pair,
                ..CLOSED
            };
            self.depth += 1;
        }
        Ok(left)
    }

    /// Counts the item that just ended, and closes every container that ends with it.
    #[inline]
    fn end(&mut self, start: usize) -> Result<(), DecodeError> {
        debug_assert!(start < self.position(), "an item has at least one byte");
        while let Some(top) = self.depth.checked_sub(1) {
            let position = self.position() as u32;
            let Some(open) = self.open.get_mut(top) else {
                break;
            };
            debug_assert!(open.left > 0, "an open container has items to come");
            open.left -= 1;
            if open.pair != NO_PAIR {
                if open.left % 2 == 0 {
                    open.pair = position;
                } else {
                    let previous = (open.key_start, open.key_end);
                    (open.key_start, open.key_end) = (open.pair, position);
                    let current = (open.pair, position);
                    return keys_ascend(self.inner.input(), previous, current);
                }
            }
            if open.left > 0 {
                break;
            }
            self.depth = top;
        }
        Ok(())
    }
}

/// Checks that a map key may follow the preceding one; both are ranges of the input.
#[inline]
fn keys_ascend(input: &[u8], previous: (u32, u32), current: (u32, u32)) -> Result<(), DecodeError> {
    let bytes = |(start, end): (u32, u32)| input.get(start as usize..end as usize).unwrap_or(&[]);
    let kind = match bytes(previous).cmp(bytes(current)) {
        core::cmp::Ordering::Less => return Ok(()),
        core::cmp::Ordering::Equal => DecodeErrorKind::DuplicateKey {
            first: previous.0 as usize,
        },
        core::cmp::Ordering::Greater => DecodeErrorKind::KeysUnsorted {
            previous: previous.0 as usize,
        },
    };
    Err(DecodeError::at(current.0 as usize, kind))
}

/// Refuses a bignum that has a shorter form: RFC 8949 section 3.4.3.
fn bignum_is_shortest(start: usize, bytes: &[u8]) -> Result<(), DecodeError> {
    let (got, shortest) = (bytes.len(), bignum_digits(bytes).len());
    if got == shortest && shortest > 8 {
        return Ok(());
    }
    let kind = DecodeErrorKind::BignumNotShortest { got, shortest };
    Err(DecodeError::at(start, kind))
}

/// Refuses an input that is too long, before any byte is read.
pub(crate) fn input_fits(input: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    let limit = limits.bytes_len_effective();
    if input.len() <= limit {
        return Ok(());
    }
    let kind = DecodeErrorKind::InputTooLong {
        limit,
        got: input.len(),
    };
    Err(DecodeError::at(0, kind))
}

/// Refuses a head that claims more items than bytes are left: an item has at least one byte.
#[inline]
pub(crate) fn claimed_fits(
    input: &[u8],
    start: usize,
    position: usize,
    items: u64,
) -> Result<u32, DecodeError> {
    let left = input.len() - position;
    match u32::try_from(items) {
        Ok(claimed) if claimed as usize <= left => Ok(claimed),
        _ => {
            let needed = items.saturating_add((position - start) as u64);
            let kind = DecodeErrorKind::Truncated {
                needed,
                left: input.len() - start,
            };
            Err(DecodeError::at(start, kind))
        }
    }
}

/// Subtracts the claimed items from those that the limit still allows.
#[inline]
pub(crate) fn take_items(
    start: usize,
    claimed: u64,
    left: usize,
    limits: &Limits,
) -> Result<usize, DecodeError> {
    match usize::try_from(claimed)
        .ok()
        .and_then(|claimed| left.checked_sub(claimed))
    {
        Some(rest) => Ok(rest),
        None => {
            let kind = DecodeErrorKind::TooManyItems {
                limit: limits.items,
                left,
                claimed,
            };
            Err(DecodeError::at(start, kind))
        }
    }
}

/// Refuses a simple value that is written in two bytes although it is below 32: RFC 8949 calls
/// this not well-formed, so that `f8 14` cannot be another `false`.
pub(crate) fn simple_is_assignable(start: usize, end: usize, value: u8) -> Result<(), DecodeError> {
    if end - start == 2 && value < 32 {
        return Err(DecodeError::at(
            start,
            DecodeErrorKind::SimpleReserved { value },
        ));
    }
    Ok(())
}

/// The error for an item at `start` that does not fit into the rest of the input.
///
/// The CBOR library reports only that the input ended, so the lengths are found here.
#[cold]
pub(crate) fn truncated(input: &[u8], start: usize) -> DecodeError {
    let rest = input.get(start..).unwrap_or(&[]);
    let needed = match (rest.first(), Head::read(rest)) {
        (None, _) => 1,
        (Some(initial), None) => 1 + argument_width(*initial) as u64,
        (Some(_), Some((head, len))) => head.content_len().saturating_add(len as u64),
    };
    let left = rest.len();
    DecodeError::at(start, DecodeErrorKind::Truncated { needed, left })
}

/// The error for a text at `start` that the CBOR library refused: truncated, or not UTF-8.
#[cold]
pub(crate) fn text_error(
    inner: &minicbor::Decoder<'_>,
    start: usize,
    error: &minicbor::decode::Error,
) -> DecodeError {
    if error.is_end_of_input() {
        return truncated(inner.input(), start);
    }
    // The library has already passed the content; it starts after the head.
    let input = inner.input();
    let width = input
        .get(start)
        .map_or(0, |initial| argument_width(*initial));
    let content = input
        .get(start + 1 + width..inner.position())
        .unwrap_or(&[]);
    let valid = core::str::from_utf8(content).map_or_else(|e| e.valid_up_to(), str::len);
    DecodeError::at(start, DecodeErrorKind::Utf8 { valid })
}
