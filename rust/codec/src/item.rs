use core::fmt;

use crate::encode::Encoder;
use crate::error::EncodeError;
use crate::head::{Kind, TAG_BIGNUM, TAG_BIGNUM_NEGATIVE, bignum_argument, bignum_digits};
use crate::limits::DEPTH_MAX;
use crate::order::{encoded_order, is_flat};

/// One CBOR data item as a tree.
///
/// Decoders return maps that are sorted by encoded key and have no duplicates. A tree built by hand
/// can have any order; [`Item::try_encode`] reports why it has no encoding. Equality is that of the
/// encodings: all not-a-numbers are equal, 0.0 and -0.0 are not.
#[derive(Clone, Debug)]
pub enum Item {
    /// Integer from 0 to 2^64 - 1.
    Uint(u64),
    /// The integer -1 - n, from -2^64 to -1.
    Nint(u64),
    /// Byte string.
    Bytes(Vec<u8>),
    /// Text string.
    Text(String),
    /// Array.
    Array(Vec<Item>),
    /// Map: pairs of key and value.
    Map(Vec<(Item, Item)>),
    /// Tag number and the tagged item.
    Tag(u64, Box<Item>),
    /// `false` or `true`.
    Bool(bool),
    /// `null`.
    Null,
    /// `undefined`.
    Undefined,
    /// Simple value, 0 to 19 or 32 to 255. The values 20 to 23 have other variants of this type and
    /// are encoded like those; 24 to 31 do not exist.
    Simple(u8),
    /// Float; written in the shortest of the three forms that keeps its value.
    Float(f64),
}

impl Item {
    /// An array of values that convert to items.
    pub fn array<I: Into<Item>>(items: impl IntoIterator<Item = I>) -> Item {
        Item::Array(items.into_iter().map(Into::into).collect())
    }

    /// A map of pairs, in any order; encoding sorts it.
    pub fn map<K: Into<Item>, V: Into<Item>>(pairs: impl IntoIterator<Item = (K, V)>) -> Item {
        Item::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    /// An item with a tag in front. A bignum (tag 2 or 3) gets its shortest form, which is a plain
    /// integer when it fits into one.
    #[must_use]
    pub fn tagged(tag: u64, item: Item) -> Item {
        let (TAG_BIGNUM | TAG_BIGNUM_NEGATIVE, Item::Bytes(bytes)) = (tag, &item) else {
            return Item::Tag(tag, Box::new(item));
        };
        let digits = bignum_digits(bytes);
        match bignum_argument(digits) {
            Some(value) if tag == TAG_BIGNUM => Item::Uint(value),
            Some(value) => Item::Nint(value),
            None if digits.len() == bytes.len() => Item::Tag(tag, Box::new(item)),
            None => Item::Tag(tag, Box::new(Item::Bytes(digits.to_vec()))),
        }
    }

    /// The deterministic bytes of this item.
    ///
    /// # Panics
    ///
    /// When the item has no deterministic encoding: it was built by hand and contains a map with a
    /// duplicate key, a reserved simple value, or nesting over [`DEPTH_MAX`]. Never for an item
    /// that a decoder returned. Use [`Item::try_encode`] where keys come from outside.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self.try_encode() {
            Ok(bytes) => bytes,
            Err(error) => panic!("item without a deterministic encoding: {error}"),
        }
    }

    /// The deterministic bytes of this item.
    ///
    /// Takes the time to sort the encoded keys of each map.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] has a variant for each reason for which [`Item::encode`] panics.
    pub fn try_encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::new();
        self.encode_into(&mut bytes, DEPTH_MAX)?;
        Ok(bytes)
    }

    /// Appends the deterministic bytes; `depth` more levels may be entered.
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>, depth: u32) -> Result<(), EncodeError> {
        let mut encoder = Encoder::new(out);
        match self {
            Item::Uint(value) => encoder.uint(*value),
            Item::Nint(value) => encoder.nint(*value),
            Item::Bytes(value) => encoder.bytes(value),
            Item::Text(value) => encoder.text(value),
            Item::Array(items) => return encode_array(items, out, enter(depth)?),
            Item::Map(pairs) => return encode_map(pairs, out, enter(depth)?),
            Item::Tag(tag, item) => return encode_tag(*tag, item, out, enter(depth)?),
            Item::Bool(value) => encoder.bool(*value),
            Item::Null | Item::Simple(22) => encoder.null(),
            Item::Undefined | Item::Simple(23) => encoder.undefined(),
            Item::Simple(20) => encoder.bool(false),
            Item::Simple(21) => encoder.bool(true),
            Item::Simple(value @ 24..=31) => {
                return Err(EncodeError::SimpleReserved { value: *value });
            }
            Item::Simple(value) => encoder.simple(*value),
            Item::Float(value) => encoder.float(*value),
        };
        Ok(())
    }

    /// The kind of this item.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Item::Uint(_) => Kind::Uint,
            Item::Nint(_) => Kind::Nint,
            Item::Bytes(_) => Kind::Bytes,
            Item::Text(_) => Kind::Text,
            Item::Array(_) => Kind::Array,
            Item::Map(_) => Kind::Map,
            Item::Tag(..) => Kind::Tag,
            Item::Bool(_) => Kind::Bool,
            Item::Null => Kind::Null,
            Item::Undefined => Kind::Undefined,
            Item::Simple(_) => Kind::Simple,
            Item::Float(_) => Kind::Float,
        }
    }

    /// The value of a text key, if this is a map that contains the key. Linear in the pairs.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Item> {
        self.as_map()?
            .iter()
            .find(|(key, _)| key.as_text() == Some(name))
            .map(|(_, value)| value)
    }

    /// The value of an integer from 0 to 2^64 - 1.
    #[must_use]
    pub fn as_uint(&self) -> Option<u64> {
        if let Item::Uint(value) = self {
            Some(*value)
        } else {
            None
        }
    }

    /// The value of an integer from -2^63 to 2^63 - 1.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Item::Uint(value) => i64::try_from(*value).ok(),
            Item::Nint(value) => i64::try_from(*value).ok().map(|value| -1 - value),
            _ => None,
        }
    }

    /// The content of a byte string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Item::Bytes(value) = self {
            Some(value)
        } else {
            None
        }
    }

    /// The content of a text string.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Item::Text(value) = self {
            Some(value)
        } else {
            None
        }
    }

    /// The elements of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Item]> {
        if let Item::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }

    /// The pairs of a map.
    #[must_use]
    pub fn as_map(&self) -> Option<&[(Item, Item)]> {
        if let Item::Map(pairs) = self {
            Some(pairs)
        } else {
            None
        }
    }

    /// The value of a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Item::Bool(value) = self {
            Some(*value)
        } else {
            None
        }
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Item::Null)
    }
}

/// The levels that are left within one more container.
fn enter(depth: u32) -> Result<u32, EncodeError> {
    depth
        .checked_sub(1)
        .ok_or(EncodeError::TooDeep { limit: DEPTH_MAX })
}

fn encode_array(items: &[Item], out: &mut Vec<u8>, depth: u32) -> Result<(), EncodeError> {
    Encoder::new(out).array(items.len());
    items
        .iter()
        .try_for_each(|item| item.encode_into(out, depth))
}

/// Encodes a tag; a bignum gets its shortest form, as in [`Item::tagged`].
fn encode_tag(tag: u64, item: &Item, out: &mut Vec<u8>, depth: u32) -> Result<(), EncodeError> {
    if let (TAG_BIGNUM | TAG_BIGNUM_NEGATIVE, Item::Bytes(bytes)) = (tag, item) {
        let digits = bignum_digits(bytes);
        let mut encoder = Encoder::new(out);
        match bignum_argument(digits) {
            Some(value) if tag == TAG_BIGNUM => encoder.uint(value),
            Some(value) => encoder.nint(value),
            None => encoder.tag(tag).bytes(digits),
        };
        return Ok(());
    }
    Encoder::new(out).tag(tag);
    item.encode_into(out, depth)
}

/// Encodes a map whose pairs can be in any order.
fn encode_map(pairs: &[(Item, Item)], out: &mut Vec<u8>, depth: u32) -> Result<(), EncodeError> {
    let is_sorted = |pair: &[(Item, Item)]| match pair {
        [a, b] => encoded_order(&a.0, &b.0).is_lt(),
        _ => false,
    };
    let is_flat = pairs.iter().all(|(key, _)| is_flat(key));
    if is_flat && pairs.windows(2).all(is_sorted) {
        Encoder::new(out).map(pairs.len());
        for (key, value) in pairs {
            key.encode_into(out, depth)?;
            value.encode_into(out, depth)?;
        }
        return Ok(());
    }
    encode_map_unsorted(pairs, out, depth)
}

/// Sorts by the encoded keys, because a key built by hand can contain unsorted maps itself.
fn encode_map_unsorted(
    pairs: &[(Item, Item)],
    out: &mut Vec<u8>,
    depth: u32,
) -> Result<(), EncodeError> {
    let mut keyed = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let mut bytes = Vec::new();
        key.encode_into(&mut bytes, depth)?;
        keyed.push((bytes, key, value));
    }
    keyed.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    Encoder::new(out).map(keyed.len());
    let mut previous: Option<&[u8]> = None;
    for (bytes, key, value) in &keyed {
        if previous == Some(bytes) {
            return Err(EncodeError::DuplicateKey {
                key: crate::diagnostic(key),
            });
        }
        out.extend_from_slice(bytes);
        value.encode_into(out, depth)?;
        previous = Some(bytes);
    }
    Ok(())
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        match (self, other) {
            (Item::Uint(a), Item::Uint(b)) | (Item::Nint(a), Item::Nint(b)) => a == b,
            (Item::Bytes(a), Item::Bytes(b)) => a == b,
            (Item::Text(a), Item::Text(b)) => a == b,
            (Item::Array(a), Item::Array(b)) => a == b,
            (Item::Map(a), Item::Map(b)) => a == b,
            (Item::Tag(a, x), Item::Tag(b, y)) => a == b && x == y,
            (Item::Bool(a), Item::Bool(b)) => a == b,
            (Item::Null, Item::Null) | (Item::Undefined, Item::Undefined) => true,
            (Item::Simple(a), Item::Simple(b)) => a == b,
            // Compares bits because -0.0 and 0.0 differ; all not-a-numbers have the same encoding.
            (Item::Float(a), Item::Float(b)) => {
                a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
            }
            _ => false,
        }
    }
}

impl Eq for Item {}

/// Diagnostic notation, see [`diagnostic`](crate::diagnostic).
impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::diag::write(self, f)
    }
}

impl From<u64> for Item {
    fn from(value: u64) -> Item {
        Item::Uint(value)
    }
}

impl From<u32> for Item {
    fn from(value: u32) -> Item {
        Item::Uint(value.into())
    }
}

impl From<u16> for Item {
    fn from(value: u16) -> Item {
        Item::Uint(value.into())
    }
}

impl From<i64> for Item {
    fn from(value: i64) -> Item {
        match u64::try_from(value) {
            Ok(value) => Item::Uint(value),
            // -1 - value is the bitwise complement, and not negative here.
            Err(_) => Item::Nint(!value as u64),
        }
    }
}

impl From<i32> for Item {
    fn from(value: i32) -> Item {
        Item::from(i64::from(value))
    }
}

impl From<bool> for Item {
    fn from(value: bool) -> Item {
        Item::Bool(value)
    }
}

impl From<f64> for Item {
    fn from(value: f64) -> Item {
        Item::Float(value)
    }
}

impl From<&str> for Item {
    fn from(value: &str) -> Item {
        Item::Text(value.to_owned())
    }
}

impl From<String> for Item {
    fn from(value: String) -> Item {
        Item::Text(value)
    }
}

impl From<&[u8]> for Item {
    fn from(value: &[u8]) -> Item {
        Item::Bytes(value.to_vec())
    }
}

impl From<Vec<u8>> for Item {
    fn from(value: Vec<u8>) -> Item {
        Item::Bytes(value)
    }
}

impl From<Vec<Item>> for Item {
    fn from(value: Vec<Item>) -> Item {
        Item::Array(value)
    }
}
