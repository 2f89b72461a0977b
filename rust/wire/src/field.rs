//! The encoding of typed values as fields, and the errors of fields that do not decode.

use std::fmt;
use std::num::NonZeroU32;

use antiphon_codec::{Encoder, Item};

/// The shape of a value on the wire, as its CBOR head shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// An unsigned or negative integer.
    Int,
    /// A byte string.
    Bytes,
    /// A text string.
    Text,
    /// An array.
    Array,
    /// A map.
    Map,
    /// `true` or `false`.
    Bool,
    /// `null`. No field of this protocol has it: an absent field is left out.
    Null,
    /// A floating-point number. No field of this protocol has one.
    Float,
    /// A tag, `undefined`, or another simple value. No field of this protocol has one.
    Other,
}

impl Shape {
    /// The shape of `item`.
    #[must_use]
    pub fn of(item: &Item) -> Self {
        match item {
            Item::Uint(_) | Item::Nint(_) => Self::Int,
            Item::Bytes(_) => Self::Bytes,
            Item::Text(_) => Self::Text,
            Item::Array(_) => Self::Array,
            Item::Map(_) => Self::Map,
            Item::Bool(_) => Self::Bool,
            Item::Null => Self::Null,
            Item::Float(_) => Self::Float,
            Item::Tag(..) | Item::Undefined | Item::Simple(_) => Self::Other,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "an integer",
            Self::Bytes => "a byte string",
            Self::Text => "a text",
            Self::Array => "an array",
            Self::Map => "a map",
            Self::Bool => "a boolean",
            Self::Null => "null",
            Self::Float => "a float",
            Self::Other => "a tag or a simple value",
        })
    }
}

/// One field of a payload in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// The key in the map.
    pub key: &'static str,
    /// Whether the key may be left out.
    pub optional: bool,
    /// The shape of its value.
    pub shape: Shape,
}

/// The error of a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldFaultKind {
    /// A required key is missing.
    #[error("is missing")]
    Missing,
    /// The shape of the value is not that of the schema.
    #[error("must be {expected}, got {got}")]
    Shape {
        /// The shape in the schema.
        expected: Shape,
        /// The value received.
        got: Shape,
    },
    /// An integer is outside its range.
    #[error("must be between {min} and {max}, got {got}")]
    Range {
        /// The least value allowed.
        min: i128,
        /// The greatest value allowed.
        max: i128,
        /// The value received.
        got: i128,
    },
    /// A name is not in the closed list of this field.
    #[error("must be one of {}, got `{got}`", known.join(", "))]
    Name {
        /// The whole list.
        known: &'static [&'static str],
        /// The name received, truncated to [`NAME_SHOWN_LEN_MAX`] characters and without control
        /// characters.
        got: String,
    },
    /// More elements, or more bytes, than the schema allows.
    #[error("must have a length of at most {max}, got {got}")]
    TooMany {
        /// The greatest number allowed.
        max: usize,
        /// The value received.
        got: usize,
    },
    /// A byte string has the wrong length.
    #[error("must have {expected} bytes, got {got}")]
    Length {
        /// The length it must have.
        expected: usize,
        /// The length it has.
        got: usize,
    },
    /// Bits, or a combination of bits, without a meaning.
    #[error("has bits {got:#b} that mean nothing here, known are {known:#b}")]
    Bits {
        /// The bits that have a meaning.
        known: u32,
        /// The value received.
        got: u32,
    },
    /// The lower end of a range is above its upper end.
    #[error("must not be above {max}, got {min}")]
    Inverted {
        /// The lower end received.
        min: u32,
        /// The upper end received.
        max: u32,
    },
}

/// The most characters of a peer's name in an error. Long enough for every name of the protocol,
/// short enough that a hostile peer cannot flood a log.
pub const NAME_SHOWN_LEN_MAX: usize = 48;

/// A field of a message that violates the schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{path}` {kind}")]
pub struct FieldFault {
    /// The path to the field: keys and element numbers from the payload down, joined by dots.
    pub path: String,
    /// The error.
    pub kind: FieldFaultKind,
}

impl FieldFault {
    pub(crate) fn here(kind: FieldFaultKind) -> Self {
        Self {
            path: String::new(),
            kind,
        }
    }

    pub(crate) fn at(path: &str, kind: FieldFaultKind) -> Self {
        Self {
            path: path.to_owned(),
            kind,
        }
    }

    pub(crate) fn shape(expected: Shape, got: &Item) -> Self {
        Self::here(FieldFaultKind::Shape {
            expected,
            got: Shape::of(got),
        })
    }

    pub(crate) fn under(mut self, outer: impl fmt::Display) -> Self {
        self.path = if self.path.is_empty() {
            outer.to_string()
        } else {
            format!("{outer}.{}", self.path)
        };
        self
    }
}

/// `name` in a form that is safe in an error: bounded, and without control characters.
pub(crate) fn shown(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control())
        .take(NAME_SHOWN_LEN_MAX)
        .collect()
}

/// A value with a fixed encoding.
///
/// `write` encodes it directly into a frame, `into_item` makes a tree for generic access to a
/// message. Both give the same data, and `read` is the inverse of `into_item`.
pub(crate) trait Field: Sized {
    const SHAPE: Shape;
    const OPTIONAL: bool = false;

    /// Whether the key is written.
    fn present(&self) -> bool {
        true
    }

    /// The value of an absent key; `None` if the key is required.
    fn absent() -> Option<Self> {
        None
    }

    fn write(&self, out: &mut Encoder<'_>);
    fn into_item(self) -> Item;
    fn read(item: Item) -> Result<Self, FieldFault>;

    /// Refuses a value that the Rust type allows and the schema does not.
    fn check(&self) -> Result<(), FieldFault> {
        Ok(())
    }
}

impl<T: Field> Field for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const OPTIONAL: bool = true;

    fn present(&self) -> bool {
        self.is_some()
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn write(&self, out: &mut Encoder<'_>) {
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn into_item(self) -> Item {
        self.map_or(Item::Null, T::into_item)
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        T::read(item).map(Some)
    }

    fn check(&self) -> Result<(), FieldFault> {
        self.as_ref().map_or(Ok(()), T::check)
    }
}

/// Reads an integer of any CBOR width.
fn read_int(item: &Item) -> Result<i128, FieldFault> {
    match item {
        Item::Uint(n) => Ok(i128::from(*n)),
        Item::Nint(n) => Ok(-1 - i128::from(*n)),
        other => Err(FieldFault::shape(Shape::Int, other)),
    }
}

/// Reads an integer that must lie in `min..=max`.
pub(crate) fn read_between(item: &Item, min: i128, max: i128) -> Result<i128, FieldFault> {
    let got = read_int(item)?;
    if got < min || got > max {
        return Err(FieldFault::here(FieldFaultKind::Range { min, max, got }));
    }
    Ok(got)
}

macro_rules! unsigned_fields {
    ($($int:ty),*) => {$(
        impl Field for $int {
            const SHAPE: Shape = Shape::Int;

            fn write(&self, out: &mut Encoder<'_>) {
                out.uint(u64::from(*self));
            }

            fn into_item(self) -> Item {
                Item::Uint(u64::from(self))
            }

            fn read(item: Item) -> Result<Self, FieldFault> {
                let (min, max) = (i128::from(<$int>::MIN), i128::from(<$int>::MAX));
                let got = read_between(&item, min, max)?;
                Self::try_from(got)
                    .map_err(|_| FieldFault::here(FieldFaultKind::Range { min, max, got }))
            }
        }
    )*};
}

macro_rules! signed_fields {
    ($($int:ty),*) => {$(
        impl Field for $int {
            const SHAPE: Shape = Shape::Int;

            fn write(&self, out: &mut Encoder<'_>) {
                out.int(i64::from(*self));
            }

            fn into_item(self) -> Item {
                Item::from(i64::from(self))
            }

            fn read(item: Item) -> Result<Self, FieldFault> {
                let (min, max) = (i128::from(<$int>::MIN), i128::from(<$int>::MAX));
                let got = read_between(&item, min, max)?;
                Self::try_from(got)
                    .map_err(|_| FieldFault::here(FieldFaultKind::Range { min, max, got }))
            }
        }
    )*};
}

unsigned_fields!(u32, u64);
signed_fields!(i32, i64);

impl Field for NonZeroU32 {
    const SHAPE: Shape = Shape::Int;

    fn write(&self, out: &mut Encoder<'_>) {
        out.uint(u64::from(self.get()));
    }

    fn into_item(self) -> Item {
        Item::Uint(u64::from(self.get()))
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        let (min, max) = (1, i128::from(u32::MAX));
        let got = read_between(&item, min, max)?;
        u32::try_from(got)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| FieldFault::here(FieldFaultKind::Range { min, max, got }))
    }
}

impl Field for bool {
    const SHAPE: Shape = Shape::Bool;

    fn write(&self, out: &mut Encoder<'_>) {
        out.bool(*self);
    }

    fn into_item(self) -> Item {
        Item::Bool(self)
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        match item {
            Item::Bool(value) => Ok(value),
            other => Err(FieldFault::shape(Shape::Bool, &other)),
        }
    }
}

impl Field for String {
    const SHAPE: Shape = Shape::Text;

    fn write(&self, out: &mut Encoder<'_>) {
        out.text(self);
    }

    fn into_item(self) -> Item {
        Item::Text(self)
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        match item {
            Item::Text(value) => Ok(value),
            other => Err(FieldFault::shape(Shape::Text, &other)),
        }
    }
}

impl Field for Vec<u8> {
    const SHAPE: Shape = Shape::Bytes;

    fn write(&self, out: &mut Encoder<'_>) {
        out.bytes(self);
    }

    fn into_item(self) -> Item {
        Item::Bytes(self)
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        match item {
            Item::Bytes(value) => Ok(value),
            other => Err(FieldFault::shape(Shape::Bytes, &other)),
        }
    }
}

impl<T: Field> Field for Vec<T> {
    const SHAPE: Shape = Shape::Array;

    fn write(&self, out: &mut Encoder<'_>) {
        out.array(self.len());
        for element in self {
            element.write(out);
        }
    }

    fn into_item(self) -> Item {
        Item::Array(self.into_iter().map(T::into_item).collect())
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        match item {
            Item::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| T::read(item).map_err(|fault| fault.under(index)))
                .collect(),
            other => Err(FieldFault::shape(Shape::Array, &other)),
        }
    }

    fn check(&self) -> Result<(), FieldFault> {
        self.iter()
            .enumerate()
            .try_for_each(|(index, element)| element.check().map_err(|fault| fault.under(index)))
    }
}

/// The entries of a received map, taken out by key. Entries with unknown keys are ignored.
pub(crate) struct Entries(Vec<(Item, Item)>);

impl Entries {
    pub(crate) fn of(item: Item) -> Result<Self, FieldFault> {
        match item {
            Item::Map(entries) => Ok(Self(entries)),
            other => Err(FieldFault::shape(Shape::Map, &other)),
        }
    }

    pub(crate) fn take_item(&mut self, key: &'static str) -> Option<Item> {
        let index = self
            .0
            .iter()
            .position(|(k, _)| matches!(k, Item::Text(k) if k == key))?;
        Some(self.0.swap_remove(index).1)
    }

    pub(crate) fn take<T: Field>(&mut self, key: &'static str) -> Result<T, FieldFault> {
        match self.take_item(key) {
            Some(item) => T::read(item).map_err(|fault| fault.under(key)),
            None => T::absent().ok_or_else(|| FieldFault::at(key, FieldFaultKind::Missing)),
        }
    }
}

/// Whether `keys` are in the order of their CBOR encodings: shorter first, then bytewise.
///
/// The tables below are checked with it at compile time. So the fields in declared order are the
/// deterministic encoding.
pub(crate) const fn in_wire_order(keys: &[&str]) -> bool {
    let mut index = 1;
    while index < keys.len() {
        if !before(keys[index - 1].as_bytes(), keys[index].as_bytes()) {
            return false;
        }
        index += 1;
    }
    true
}

const fn before(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return left.len() < right.len();
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return left[index] < right[index];
        }
        index += 1;
    }
    false
}

/// Declares payload structs: fields in wire order, each key the field's name.
macro_rules! payloads {
    ($(
        $(#[$doc:meta])*
        pub struct $name:ident $(where $check:path)? {
            $( $(#[$field_doc:meta])* pub $field:ident : $ty:ty, )*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $ty, )*
        }

        impl $name {
            /// The fields of this map, in wire order.
            pub const FIELDS: &'static [$crate::field::FieldSpec] = &[
                $( $crate::field::FieldSpec {
                    key: stringify!($field),
                    optional: <$ty as $crate::field::Field>::OPTIONAL,
                    shape: <$ty as $crate::field::Field>::SHAPE,
                }, )*
            ];
        }

        const _: () = assert!(
            $crate::field::in_wire_order(&[$(stringify!($field)),*]),
            "fields must stand in the order of their encoded keys",
        );

        impl $crate::field::Field for $name {
            const SHAPE: $crate::field::Shape = $crate::field::Shape::Map;

            fn write(&self, out: &mut antiphon_codec::Encoder<'_>) {
                let len = 0usize $( + usize::from($crate::field::Field::present(&self.$field)) )*;
                out.map(len);
                $(
                    if $crate::field::Field::present(&self.$field) {
                        out.text(stringify!($field));
                        $crate::field::Field::write(&self.$field, out);
                    }
                )*
            }

            fn into_item(self) -> antiphon_codec::Item {
                #[allow(unused_mut, reason = "a payload may have no fields")]
                let mut entries = Vec::with_capacity(Self::FIELDS.len());
                $(
                    if $crate::field::Field::present(&self.$field) {
                        entries.push((
                            antiphon_codec::Item::Text(stringify!($field).to_owned()),
                            $crate::field::Field::into_item(self.$field),
                        ));
                    }
                )*
                antiphon_codec::Item::Map(entries)
            }

            fn read(item: antiphon_codec::Item) -> Result<Self, $crate::field::FieldFault> {
                #[allow(unused_mut, unused_variables, reason = "a payload may have no fields")]
                let mut entries = $crate::field::Entries::of(item)?;
                let value = Self { $( $field: entries.take(stringify!($field))?, )* };
                $( $check(&value)?; )?
                Ok(value)
            }

            fn check(&self) -> Result<(), $crate::field::FieldFault> {
                $(
                    $crate::field::Field::check(&self.$field)
                        .map_err(|fault| fault.under(stringify!($field)))?;
                )*
                $( $check(self)?; )?
                Ok(())
            }
        }
    )*};
}

/// Declares a closed list of names.
macro_rules! names {
    ($(
        $(#[$doc:meta])*
        pub enum $name:ident {
            $( $(#[$variant_doc:meta])* $variant:ident = $text:literal, )*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )*
        }

        impl $name {
            /// Every variant, in declared order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The wire names of [`Self::ALL`].
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            /// The name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )*
                }
            }

            /// The variant with this name on the wire.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $text => Some(Self::$variant), )*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl $crate::field::Field for $name {
            const SHAPE: $crate::field::Shape = $crate::field::Shape::Text;

            fn write(&self, out: &mut antiphon_codec::Encoder<'_>) {
                out.text(self.name());
            }

            fn into_item(self) -> antiphon_codec::Item {
                antiphon_codec::Item::Text(self.name().to_owned())
            }

            fn read(item: antiphon_codec::Item) -> Result<Self, $crate::field::FieldFault> {
                let text = <String as $crate::field::Field>::read(item)?;
                Self::from_name(&text).ok_or_else(|| {
                    $crate::field::FieldFault::here($crate::field::FieldFaultKind::Name {
                        known: Self::NAMES,
                        got: $crate::field::shown(&text),
                    })
                })
            }
        }
    )*};
}

pub(crate) use {names, payloads};
