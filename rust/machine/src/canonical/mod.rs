//! The canonical bytes of everything that is stored, hashed or compared.
//!
//! One rule covers all types, so that the model can implement it a second time: a structure is the
//! array of its fields in declared order; an alternative is an array that starts with the
//! alternative's number; an absent option is `null`; a table is an array. All are deterministic
//! CBOR.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_codec::{DecodeError, DecodeErrorKind, Decoder, Encoder, Kind, Limits};
use smallvec::SmallVec;

use crate::described::{self, Described, Row};
use crate::ids::*;

/// A type with canonical bytes.
pub trait Canonical: Sized {
    /// Appends the canonical bytes.
    fn encode(&self, out: &mut Encoder<'_>);

    /// Reads exactly what [`encode`](Self::encode) writes.
    ///
    /// # Errors
    /// Where and how the bytes differ from the canonical form of any value of the type.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError>;

    /// The canonical bytes alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(&mut Encoder::new(&mut bytes));
        bytes
    }

    /// Reads the whole input as one value.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); also when bytes are left over or a limit is exceeded.
    fn from_bytes(bytes: &[u8], limits: Limits) -> Result<Self, ReadError> {
        let mut from = Decoder::new(bytes, limits);
        let value = Self::decode(&mut from)?;
        from.finish()?;
        Ok(value)
    }
}

/// Why bytes are not the canonical form of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {kind}")]
pub struct ReadError {
    /// Where, from the start of the input.
    pub offset: usize,
    /// The error.
    pub kind: ReadErrorKind,
}

/// How bytes differ from the canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadErrorKind {
    /// The bytes are not deterministic CBOR, or not of the expected kind.
    #[error("{0}")]
    Cbor(DecodeErrorKind),
    /// An array has the wrong length.
    #[error("{what} has {expected} fields, got {got}")]
    Length {
        /// The type.
        what: &'static str,
        /// How many fields the type has.
        expected: usize,
        /// How many fields the bytes have.
        got: usize,
    },
    /// No alternative has this number.
    #[error("{what} has no alternative {got}")]
    Alternative {
        /// The type.
        what: &'static str,
        /// The number in the bytes.
        got: u64,
    },
    /// A number is too large for its type.
    #[error("{what} is at most {max}, got {got}")]
    Range {
        /// The type.
        what: &'static str,
        /// The largest number of the type.
        max: u64,
        /// The number in the bytes.
        got: u64,
    },
}

impl From<DecodeError> for ReadError {
    fn from(error: DecodeError) -> ReadError {
        ReadError {
            offset: error.offset,
            kind: ReadErrorKind::Cbor(error.kind),
        }
    }
}

fn fields(from: &mut Decoder<'_>, what: &'static str, expected: usize) -> Result<(), ReadError> {
    let offset = from.position();
    let got = from.array()?;
    if got == expected {
        return Ok(());
    }
    Err(ReadError {
        offset,
        kind: ReadErrorKind::Length {
            what,
            expected,
            got,
        },
    })
}

fn range(from: &mut Decoder<'_>, what: &'static str, max: u64) -> Result<u64, ReadError> {
    let offset = from.position();
    let got = from.uint()?;
    if got <= max {
        return Ok(got);
    }
    Err(ReadError {
        offset,
        kind: ReadErrorKind::Range { what, max, got },
    })
}

macro_rules! numbers {
    ($($name:ident)*) => {$(
        impl Canonical for $name {
            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) {
                out.uint(u64::from(*self));
            }
            fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
                Ok(range(from, stringify!($name), u64::from($name::MAX))? as $name)
            }
        }
    )*};
}

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Canonical for $name {
            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) {
                self.0.encode(out);
            }
            fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
                Ok($name(Canonical::decode(from)?))
            }
        }
    )*};
}

/// A structure: the array of its fields.
macro_rules! structure {
    ($name:ident { $($field:ident),* }) => {
        impl Canonical for $name {
            fn encode(&self, out: &mut Encoder<'_>) {
                out.array([$(stringify!($field)),*].len());
                $(self.$field.encode(out);)*
            }
            fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
                fields(from, stringify!($name), [$(stringify!($field)),*].len())?;
                Ok($name { $($field: Canonical::decode(from)?),* })
            }
        }

        impl Described for $name {
            fn type_name() -> String {
                stringify!($name).to_owned()
            }
            fn rows() -> Vec<Row> {
                let fields = vec![$(described::field(stringify!($field), |s: &$name| &s.$field)),*];
                vec![described::row(stringify!($name), 0, "mk", fields)]
            }
        }
    };
}

/// An alternative: the array of its number and its fields.
macro_rules! alternatives {
    ($name:ident {$(
        $number:literal = $variant:ident $({ $($field:ident),* })? $(( $($item:ident),* ))?,
    )*}) => {
        impl Canonical for $name {
            fn encode(&self, out: &mut Encoder<'_>) {
                match self {$(
                    $name::$variant $({ $($field),* })? $(( $($item),* ))? => {
                        let len = [
                            stringify!($variant)
                            $($(, stringify!($field))*)?
                            $($(, stringify!($item))*)?
                        ].len();
                        out.array(len).uint($number);
                        $($($field.encode(out);)*)?
                        $($($item.encode(out);)*)?
                    }
                )*}
            }
            fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
                let offset = from.position();
                let got = from.array()?;
                if got == 0 {
                    let kind = ReadErrorKind::Length { what: stringify!($name), expected: 1, got };
                    return Err(ReadError { offset, kind });
                }
                match from.uint()? {
                    $($number => {
                        let expected = [
                            stringify!($variant)
                            $($(, stringify!($field))*)?
                            $($(, stringify!($item))*)?
                        ].len();
                        if got != expected {
                            let what = concat!(stringify!($name), "::", stringify!($variant));
                            let kind = ReadErrorKind::Length { what, expected, got };
                            return Err(ReadError { offset, kind });
                        }
                        $($(let $field = Canonical::decode(from)?;)*)?
                        $($(let $item = Canonical::decode(from)?;)*)?
                        Ok($name::$variant $({ $($field),* })? $(( $($item),* ))?)
                    })*
                    got => {
                        let kind = ReadErrorKind::Alternative { what: stringify!($name), got };
                        Err(ReadError { offset, kind })
                    }
                }
            }
        }

        impl Described for $name {
            fn type_name() -> String {
                stringify!($name).to_owned()
            }
            fn rows() -> Vec<Row> {
                vec![$({
                    let fields = vec![
                        $($(described::part(stringify!($field), |v: &$name| match v {
                            $name::$variant { $field, .. } => Some($field),
                            _ => None,
                        }),)*)?
                        $($(described::part(stringify!($item), |v: &$name| match v {
                            $name::$variant($item) => Some($item),
                            _ => None,
                        }),)*)?
                    ];
                    described::row(stringify!($name), $number, stringify!($variant), fields)
                }),*]
            }
        }
    };
}

/// Closed lists of names, encoded by position.
macro_rules! list {
    ($name:ident { $($variant:ident),* }) => {
        impl Canonical for $name {
            fn encode(&self, out: &mut Encoder<'_>) {
                out.uint(*self as u64);
            }
            fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
                const ALL: &[$name] = &[$($name::$variant),*];
                let offset = from.position();
                let got = from.uint()?;
                let found = usize::try_from(got).ok().and_then(|n| ALL.get(n));
                found.copied().ok_or(ReadError {
                    offset,
                    kind: ReadErrorKind::Alternative { what: stringify!($name), got },
                })
            }
        }

        impl Described for $name {
            fn type_name() -> String {
                stringify!($name).to_owned()
            }
            fn rows() -> Vec<Row> {
                let names = (0..).zip([$(stringify!($variant)),*]);
                let row = |(n, name)| described::row(stringify!($name), n, name, Vec::new());
                names.map(row).collect()
            }
        }
    };
}

#[macro_use]
mod tables;
mod image;
pub(crate) mod state;

numbers! { u8 u16 u32 u64 }
ids! {
    RoleId LabelId SortId EdgeId OperationId ProgramId StateId Pc Reg SessionId CoroutineId
}

impl Canonical for String {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.text(self);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        Ok(from.text()?.to_owned())
    }
}

/// A failure's detail or an owner's name. The decoder does not check its length, so that a
/// recording can contain an input that was refused for it; the decoder's limits bound the memory.
impl Canonical for Arc<str> {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.text(self);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        Ok(Arc::from(from.text()?))
    }
}

/// A digest.
impl Canonical for [u8; 32] {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.bytes(self);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        let offset = from.position();
        let bytes = from.bytes()?;
        bytes.try_into().map_err(|_| ReadError {
            offset,
            kind: ReadErrorKind::Length {
                what: "digest",
                expected: 32,
                got: bytes.len(),
            },
        })
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(self.len());
        for item in self {
            item.encode(out);
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        let len = from.array()?;
        // A claimed length does not reserve memory: `T` can be much larger than its shortest
        // encoding.
        let mut items = Vec::new();
        for _ in 0..len {
            items.push(T::decode(from)?);
        }
        Ok(items)
    }
}

impl<A: smallvec::Array> Canonical for SmallVec<A>
where
    A::Item: Canonical,
{
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(self.len());
        for item in self {
            item.encode(out);
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        Ok(Vec::decode(from)?.into())
    }
}

/// `null`, or the value. For types whose own encoding is never `null`.
impl<T: Canonical> Canonical for Option<T> {
    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) {
        match self {
            Some(value) => value.encode(out),
            None => {
                out.null();
            }
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        if from.kind()? == Kind::Null {
            from.null()?;
            return Ok(None);
        }
        Ok(Some(T::decode(from)?))
    }
}

impl<A: Canonical, B: Canonical> Canonical for (A, B) {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(2);
        self.0.encode(out);
        self.1.encode(out);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        fields(from, "pair", 2)?;
        Ok((A::decode(from)?, B::decode(from)?))
    }
}
