//! Deterministic CBOR: the one byte format of Antiphon.
//!
//! Everything that is hashed, sent, recorded or compared is written by this crate in the core
//! deterministic form of RFC 8949 section 4.2.1: shortest heads, shortest floats, definite
//! lengths, map keys sorted by their encoded bytes. Two values are equal exactly when their bytes
//! are, so a digest over bytes is a digest over meaning.
//!
//! There are two ways in and two ways out:
//!
//! - [`Item`] is a tree, for messages and fixtures: [`Item::encode`], [`decode_strict`],
//!   [`decode_lenient`], [`diagnostic`].
//! - [`Encoder`] and [`Decoder`] are cursors without a tree and without allocation, for state,
//!   images and recordings.
//!
//! [`decode_strict`] and [`Decoder`] refuse every byte string that the encoder would not have
//! written. [`decode_lenient`] takes any well-formed CBOR of a foreign peer; what it returns
//! encodes again to the deterministic form. All of them take [`Limits`], and nothing is allocated
//! for an element before the bytes and the budget for it are known to be there.
//!
//! ```
//! use antiphon_codec::{decode_lenient, decode_strict, diagnostic, DecodeErrorKind, Item, Limits};
//!
//! let hello = Item::map([("v", Item::from(1u64)), ("t", Item::from("hello"))]);
//! let bytes = hello.encode();
//! // Keys are sorted by their bytes, whatever order they were given in.
//! assert_eq!(bytes, b"\xa2\x61t\x65hello\x61v\x01");
//! assert_eq!(decode_strict(&bytes, &Limits::default())?.field("v"), Some(&Item::Uint(1)));
//!
//! // The same map with a length that is not the shortest: well formed, not deterministic.
//! let foreign = b"\xb8\x02\x61t\x65hello\x61v\x01";
//! let refused = decode_strict(foreign, &Limits::default()).unwrap_err();
//! assert_eq!(refused.offset, 0);
//! assert_eq!(refused.kind, DecodeErrorKind::HeadNotShortest { got: 2, shortest: 1 });
//! let taken = decode_lenient(foreign, &Limits::default())?;
//! assert_eq!(taken.encode(), bytes);
//! assert_eq!(diagnostic(&taken), r#"{"t": "hello", "v": 1}"#);
//! # Ok::<(), antiphon_codec::DecodeError>(())
//! ```

mod decode;
mod diag;
mod encode;
mod error;
mod head;
mod item;
mod lenient;
mod limits;
mod order;

pub use decode::{Decoder, decode_strict};
pub use diag::diagnostic;
pub use encode::Encoder;
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use head::{Kind, head_len};
pub use item::Item;
pub use lenient::decode_lenient;
pub use limits::{DEPTH_MAX, Limits};
