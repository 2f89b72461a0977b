use crate::encode::float_width;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::head::{
    KINDS, Kind, TAG_BIGNUM, TAG_BIGNUM_NEGATIVE, argument_width, bignum_digits, head_len,
    is_indefinite, kind_of, nint_argument, truncated,
};
use crate::item::Item;
use crate::limits::{DEPTH_MAX, Limits};

/// Reads one item that is the whole input and in the deterministic form of RFC 8949 section
/// 4.2.1, so that encoding it again gives the same bytes.
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
/// The caller says what it expects and gets it, or an error that names what is there. The cursor
/// itself keeps account of every array, map and tag that is open: it checks the order of map
/// keys as they pass, bounds depth and items, and [`Decoder::finish`] refuses when something is
/// left. Several items one after the other may be read from one input.
///
/// After an error the position is not defined and the cursor should be dropped.
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
    /// Items of [`Limits::items`] that no header has claimed yet.
    items_left: usize,
    /// How many of `open` are in use.
    depth: usize,
    /// Where the content of the last bignum tag starts: the form of that byte string matters.
    bignum: Option<usize>,
    open: [Open; DEPTH_MAX as usize],
}

/// An array, map or tag that has been entered and not read to its end.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Items to come; keys and values each count. Odd inside a map: a value is next.
    left: u32,
    /// Where the current pair of a map starts, which is where its key starts. [`NO_PAIR`] in an
    /// array or a tag.
    pair: u32,
    /// Bytes of the key before it; empty before the first, which no key is.
    key_start: u32,
    key_end: u32,
}

/// An offset that no pair has: inputs are not that long.
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
    /// An input over [`Limits::bytes_len`] is refused by the first read.
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

    /// Bytes read so far.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.inner.position()
    }

    /// Whether the input is read to its end.
    #[inline]
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.position() == self.inner.input().len()
    }

    /// The kind of the next item, which stays unread.
    ///
    /// # Errors
    ///
    /// At the end of the input, and for a first byte that begins no item.
    #[inline]
    pub fn kind(&self) -> Result<Kind, DecodeError> {
        let start = self.position();
        kind_of(self.initial(start)?).map_err(|kind| DecodeError::at(start, kind))
    }

    /// Reads an integer from 0 to 2^64 - 1.
    ///
    /// # Errors
    ///
    /// This and every other read: another kind is there, it is not in deterministic form, the
    /// input ends, or a limit is reached.
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

    /// Enters an array and returns its length; as many items follow.
    ///
    /// The length is at most the bytes that are left and the items that [`Limits::items`] still
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

    /// Enters a map and returns how many pairs of key and value follow.
    ///
    /// The order of the keys is checked as they are read; the length is as safe as that of
    /// [`Decoder::array`].
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`]; [`DecodeErrorKind::KeysUnsorted`] and
    /// [`DecodeErrorKind::DuplicateKey`] come from the read that ends the key.
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

    /// Reads a tag number; the item that it stands before follows.
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

    /// Reads the next item, whatever it is, with all its content, as a tree.
    ///
    /// # Errors
    ///
    /// As [`Decoder::uint`].
    pub fn item(&mut self) -> Result<Item, DecodeError> {
        // Recursion is bounded: each level below has an entry in `open`.
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

    /// Passes over the next item with all its content and returns its bytes, checked as strictly
    /// as if they had been read.
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
            // Back at, or with the end of the last item around it below, where it began.
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

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// When an array, map or tag is not read to its end, or when bytes are left.
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

    /// Checks that an item of this kind is next and that there is budget for it; its offset.
    #[inline]
    fn begin(&mut self, expected: Kind) -> Result<usize, DecodeError> {
        let start = self.position();
        if KINDS.get(usize::from(self.initial(start)?)) != Some(&Some(expected)) {
            return Err(self.mismatch(start, expected));
        }
        // Items inside of a container were paid for by its header.
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

    /// As [`Decoder::begin`], for the kinds that could be of indefinite length.
    #[inline]
    fn begin_definite(&mut self, expected: Kind) -> Result<usize, DecodeError> {
        let start = self.begin(expected)?;
        if is_indefinite(self.initial(start)?) {
            let kind = DecodeErrorKind::Indefinite { kind: expected };
            return Err(DecodeError::at(start, kind));
        }
        Ok(start)
    }

    /// What has to be checked once for each item that is in no other.
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

    /// Opens a container of so many items, after it is certain that they can be there.
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

    /// Accounts for the item that just ended, and for every container that ends with it.
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

/// Whether the key at `current` may follow the key at `previous`; both are start and end.
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

/// Refuses an input that is longer than allowed before anything of it is read.
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

/// Refuses a header that claims more items than there are bytes left: each has at least one.
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

/// What is left of the budget of items after `claimed` of them.
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

/// The error for a text at `start` that the library refused: cut off, or not UTF-8.
#[cold]
pub(crate) fn text_error(
    inner: &minicbor::Decoder<'_>,
    start: usize,
    error: &minicbor::decode::Error,
) -> DecodeError {
    if error.is_end_of_input() {
        return truncated(inner.input(), start);
    }
    // Cold path: the library has read over the content, whose start the head tells.
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
