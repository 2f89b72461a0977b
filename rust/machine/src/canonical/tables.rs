//! Tables of alternatives: what is known about each row is written once, and the enum, its numbers,
//! its canonical bytes and its schema are derived from the row.

/// Defines an enum whose alternatives are the rows of a table:
///
/// ```text
/// number = Name (column, …) { field: @role type, … };
/// ```
///
/// Only operands of instructions have a role. A row may have one unnamed field instead,
/// `= field: type`, or none. The columns differ from table to table, and `table!` itself does not
/// read them: it calls the macro that is named after `with` with all rows, to derive the rest.
macro_rules! table {
    (
        $(#[$attr:meta])*
        pub enum $name:ident with $columns:ident {$(
            $(#[$doc:meta])*
            $number:literal = $variant:ident $column:tt
                $({ $($(#[$field_doc:meta])* $field:ident: $(@$role:ident)? $of:ty),* $(,)? })?
                $(= $item:ident: $item_of:ty)?;
        )*}
    ) => {
        $(#[$attr])*
        pub enum $name {$(
            $(#[$doc])*
            $variant $({ $($(#[$field_doc])* $field: $of),* })? $(($item_of))?,
        )*}

        impl $name {
            /// The names of the alternatives, in the order of their numbers.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($variant)),*];

            /// The number in canonical bytes.
            pub const fn number(&self) -> usize {
                match self {$($name::$variant { .. } => $number,)*}
            }
        }

        const _: () = {
            let numbers: &[usize] = &[$($number),*];
            let mut n = 0;
            while n < numbers.len() {
                assert!(numbers[n] == n, "the rows are in the order of their numbers, from 0");
                n += 1;
            }
        };

        const _: () = {
            use antiphon_codec::{Decoder, Encoder};

            use crate::canonical::{Canonical, ReadError, ReadErrorKind};
            use crate::described::{self, Described, Row};

            alternatives!($name {$(
                $number = $variant $({ $($field),* })? $(($item))?,
            )*});
        };

        $columns! { $name {$(
            $number $variant $column $({ $($field: $($role)? $of),* })? $(($item: $item_of))?;
        )*} }
    };
}
