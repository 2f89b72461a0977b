//! Deterministic CBOR, in which Antiphon encodes everything that it hashes, sends or records.
//!
//! CBOR (RFC 8949) is a binary format with the data model of JSON plus byte strings. An *item* is
//! one value; its *head* is the first byte or bytes, with the item's type and its length or number.
//!
//! This crate writes everything in the core deterministic form of RFC 8949 section 4.2.1: shortest
//! heads, shortest floats, definite lengths, map keys sorted by their encoded bytes. Two values are
//! equal exactly when their bytes are, so a digest over bytes is a digest over meaning.
//!
//! There are three interfaces:
//!
//! - [`Item`] is a tree, for messages and fixtures: [`Item::encode`], [`decode_strict`],
//!   [`decode_lenient`], [`diagnostic`].
//! - [`Encoder`] and [`Decoder`] are cursors that build no tree and allocate nothing, for state,
//!   images and recordings.
//! - [`scan`] finds where encoded items end, without decoding them.
//!
//! [`decode_strict`] and [`Decoder`] refuse every byte string that the encoder would not have
//! written. [`decode_lenient`] accepts any well-formed CBOR from a foreign peer and returns an item
//! whose encoding is deterministic. All three take [`Limits`]. None allocates memory for an element
//! before it has checked that the input has enough bytes and that the limits allow the element.
//!
//! ```
//! use antiphon_codec::{decode_lenient, decode_strict, diagnostic, DecodeErrorKind, Item, Limits};
//!
//! let hello = Item::map([("v", Item::from(1u64)), ("t", Item::from("hello"))]);
//! let bytes = hello.encode();
//! // Encoding sorts the keys by their bytes.
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
pub mod scan;

pub use decode::{Decoder, decode_strict};
pub use diag::diagnostic;
pub use encode::Encoder;
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use head::{Kind, head_len};
pub use item::Item;
pub use lenient::decode_lenient;
pub use limits::{DEPTH_MAX, Limits};
