use crate::decode::{
    claimed_fits, input_fits, simple_is_assignable, take_items, text_error, truncated,
};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::head::{BREAK, Kind, is_indefinite, kind_of, nint_argument};
use crate::item::Item;
use crate::limits::Limits;
use crate::order::encoded_order;

/// Decodes an input that is one item in any well-formed encoding.
///
/// For input from peers with another encoder: heads and floats can be longer than necessary,
/// lengths can be indefinite, and keys can be in any order. The function refuses input that is not
/// well-formed, bytes after the item, text that is not UTF-8, and a map with the same key twice,
/// even if the two are encoded differently. The result is the one that
/// [`decode_strict`](crate::decode_strict) returns for the deterministic encoding of the item. That
/// encoding is longer than the input only where a plain integer was written as a bignum.
///
/// Time is linear in the input, apart from sorting the keys of each map; memory is bounded by
/// `limits`.
///
/// # Errors
///
/// The first fault of the input in reading order; see [`DecodeErrorKind`].
pub fn decode_lenient(bytes: &[u8], limits: &Limits) -> Result<Item, DecodeError> {
    input_fits(bytes, limits)?;
    let inner = minicbor::Decoder::new(bytes);
    let mut reader = Lenient {
        inner,
        limits,
        items_left: limits.items,
    };
    reader.items_left = take_items(0, 1, reader.items_left, limits)?;
    let item = reader.item(limits.depth_effective())?;
    let offset = reader.inner.position();
    if offset < bytes.len() {
        let left = bytes.len() - offset;
        return Err(DecodeError::at(offset, DecodeErrorKind::Trailing { left }));
    }
    Ok(item)
}

struct Lenient<'b, 'l> {
    inner: minicbor::Decoder<'b>,
    limits: &'l Limits,
    items_left: usize,
}

impl Lenient<'_, '_> {
    /// Reads one item, which `claim` or `claim_one` has counted already; `depth` more levels may be
    /// entered.
    fn item(&mut self, depth: u32) -> Result<Item, DecodeError> {
        let start = self.inner.position();
        let initial = self.peek()?;
        let kind = kind_of(initial).map_err(|kind| DecodeError::at(start, kind))?;
        let indefinite = is_indefinite(initial);
        match kind {
            Kind::Uint => self
                .inner
                .u64()
                .map(Item::Uint)
                .map_err(|_| self.truncated(start)),
            Kind::Nint => match self.inner.int() {
                Ok(value) => Ok(Item::Nint(nint_argument(value))),
                Err(_) => Err(self.truncated(start)),
            },
            Kind::Bytes if indefinite => self.byte_chunks(),
            Kind::Bytes => self.bytes().map(|bytes| Item::Bytes(bytes.to_vec())),
            Kind::Text if indefinite => self.text_chunks(),
            Kind::Text => self.text().map(|text| Item::Text(text.to_owned())),
            Kind::Array => self.array(start, indefinite, self.inside(start, depth)?),
            Kind::Map => self.map(start, indefinite, self.inside(start, depth)?),
            Kind::Tag => {
                let inside = self.inside(start, depth)?;
                let tag = self
                    .inner
                    .tag()
                    .map_err(|_| self.truncated(start))?
                    .as_u64();
                self.items_left = take_items(start, 1, self.items_left, self.limits)?;
                Ok(Item::tagged(tag, self.item(inside)?))
            }
            Kind::Bool => self
                .inner
                .bool()
                .map(Item::Bool)
                .map_err(|_| self.truncated(start)),
            Kind::Null => {
                self.inner.null().map_err(|_| self.truncated(start))?;
                Ok(Item::Null)
            }
            Kind::Undefined => {
                self.inner.undefined().map_err(|_| self.truncated(start))?;
                Ok(Item::Undefined)
            }
            Kind::Simple => {
                let value = self.inner.simple().map_err(|_| self.truncated(start))?;
                simple_is_assignable(start, self.inner.position(), value)?;
                Ok(Item::Simple(value))
            }
            Kind::Float => self
                .inner
                .f64()
                .map(Item::Float)
                .map_err(|_| self.truncated(start)),
        }
    }

    fn array(&mut self, start: usize, indefinite: bool, depth: u32) -> Result<Item, DecodeError> {
        let len = self
            .inner
            .array()
            .map_err(|_| self.truncated(start))?
            .unwrap_or(0);
        let len = self.claim(start, len)?;
        let mut items = Vec::with_capacity(len);
        if indefinite {
            while !self.take_break()? {
                self.claim_one()?;
                items.push(self.item(depth)?);
            }
        } else {
            for _ in 0..len {
                items.push(self.item(depth)?);
            }
        }
        Ok(Item::Array(items))
    }

    fn map(&mut self, start: usize, indefinite: bool, depth: u32) -> Result<Item, DecodeError> {
        let len = self
            .inner
            .map()
            .map_err(|_| self.truncated(start))?
            .unwrap_or(0);
        let len = self.claim(start, len.saturating_mul(2))? / 2;
        let mut pairs = Vec::with_capacity(len);
        if indefinite {
            while !self.take_break()? {
                let key = self.inner.position();
                self.claim_one()?;
                let item = self.item(depth)?;
                if self.peek()? == BREAK {
                    let offset = self.inner.position();
                    return Err(DecodeError::at(offset, DecodeErrorKind::ValueMissing));
                }
                self.claim_one()?;
                pairs.push((key, item, self.item(depth)?));
            }
        } else {
            for _ in 0..len {
                pairs.push((self.inner.position(), self.item(depth)?, self.item(depth)?));
            }
        }
        sorted(pairs)
    }

    fn bytes(&mut self) -> Result<&[u8], DecodeError> {
        let start = self.inner.position();
        match self.inner.bytes() {
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(truncated(self.inner.input(), start)),
        }
    }

    fn text(&mut self) -> Result<&str, DecodeError> {
        let start = self.inner.position();
        match self.inner.str() {
            Ok(text) => Ok(text),
            Err(error) => Err(text_error(&self.inner, start, &error)),
        }
    }

    fn byte_chunks(&mut self) -> Result<Item, DecodeError> {
        self.inner.set_position(self.inner.position() + 1);
        let mut joined = Vec::new();
        while !self.take_break()? {
            self.chunk_is(Kind::Bytes)?;
            joined.extend_from_slice(self.bytes()?);
        }
        Ok(Item::Bytes(joined))
    }

    /// Each chunk by itself must be UTF-8: RFC 8949 section 3.2.3.
    fn text_chunks(&mut self) -> Result<Item, DecodeError> {
        self.inner.set_position(self.inner.position() + 1);
        let mut joined = String::new();
        while !self.take_break()? {
            self.chunk_is(Kind::Text)?;
            joined.push_str(self.text()?);
        }
        Ok(Item::Text(joined))
    }

    /// Checks that the next item is a definite string of this kind.
    fn chunk_is(&self, expected: Kind) -> Result<(), DecodeError> {
        let offset = self.inner.position();
        let initial = self.peek()?;
        let got = kind_of(initial).map_err(|kind| DecodeError::at(offset, kind))?;
        if got != expected {
            let kind = DecodeErrorKind::ChunkMismatch { expected, got };
            return Err(DecodeError::at(offset, kind));
        }
        if is_indefinite(initial) {
            return Err(DecodeError::at(
                offset,
                DecodeErrorKind::Indefinite { kind: got },
            ));
        }
        Ok(())
    }

    /// Reads the break that ends an item of indefinite length, if it is next.
    fn take_break(&mut self) -> Result<bool, DecodeError> {
        let is_break = self.peek()? == BREAK;
        if is_break {
            self.inner.set_position(self.inner.position() + 1);
        }
        Ok(is_break)
    }

    fn peek(&self) -> Result<u8, DecodeError> {
        let start = self.inner.position();
        self.inner
            .input()
            .get(start)
            .copied()
            .ok_or_else(|| self.truncated(start))
    }

    /// Claims the items that a head announces, after a check that the input can contain them.
    fn claim(&mut self, start: usize, items: u64) -> Result<usize, DecodeError> {
        let claimed = claimed_fits(self.inner.input(), start, self.inner.position(), items)?;
        self.items_left = take_items(start, items, self.items_left, self.limits)?;
        Ok(claimed as usize)
    }

    /// Claims one more item of a container of indefinite length.
    fn claim_one(&mut self) -> Result<(), DecodeError> {
        let start = self.inner.position();
        self.items_left = take_items(start, 1, self.items_left, self.limits)?;
        Ok(())
    }

    /// The levels that are left within a container at `start`.
    fn inside(&self, start: usize, depth: u32) -> Result<u32, DecodeError> {
        let limit = self.limits.depth_effective();
        depth
            .checked_sub(1)
            .ok_or(DecodeError::at(start, DecodeErrorKind::TooDeep { limit }))
    }

    fn truncated(&self, start: usize) -> DecodeError {
        truncated(self.inner.input(), start)
    }
}

/// Puts pairs into deterministic order. Keys are compared by their deterministic encodings, so `01`
/// and `1801` are the same key.
fn sorted(mut pairs: Vec<(usize, Item, Item)>) -> Result<Item, DecodeError> {
    // Equal keys by offset, so that the error is about the second one in the input.
    pairs.sort_by(|a, b| encoded_order(&a.1, &b.1).then(a.0.cmp(&b.0)));
    for pair in pairs.windows(2) {
        if let [(first, key, _), (offset, other, _)] = pair
            && encoded_order(key, other).is_eq()
        {
            let kind = DecodeErrorKind::DuplicateKey { first: *first };
            return Err(DecodeError::at(*offset, kind));
        }
    }
    Ok(Item::Map(
        pairs
            .into_iter()
            .map(|(_, key, value)| (key, value))
            .collect(),
    ))
}
