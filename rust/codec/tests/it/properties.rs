//! Properties of all items and of any input.

use antiphon_codec::{
    Decoder, Encoder, Item, Kind, Limits, decode_lenient, decode_strict, diagnostic, head_len,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A configuration that runs `cases` cases and does not store failures in a file.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Any item whose maps have no duplicate keys and the order that decoders return.
pub(crate) fn item() -> impl Strategy<Value = Item> {
    let number = prop_oneof![
        any::<u64>(),
        0u64..300,
        (0u32..64).prop_map(|shift| 1 << shift),
        (1u32..64).prop_map(|shift| (1 << shift) - 1),
    ];
    let float = prop_oneof![
        any::<f64>(),
        any::<f32>().prop_map(f64::from),
        (-70000i32..70000).prop_map(|whole| f64::from(whole) / 8.0),
        Just(f64::NAN),
    ];
    let leaf = prop_oneof![
        number.clone().prop_map(Item::Uint),
        number.clone().prop_map(Item::Nint),
        vec(any::<u8>(), 0..40).prop_map(Item::Bytes),
        ".{0,20}".prop_map(Item::Text),
        any::<bool>().prop_map(Item::Bool),
        Just(Item::Null),
        Just(Item::Undefined),
        prop_oneof![0u8..20, 32u8..].prop_map(Item::Simple),
        float.prop_map(Item::Float),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Item::Array),
            vec((inner.clone(), inner.clone()), 0..8).prop_map(unique),
            (prop_oneof![0u64..5, number.clone()], inner)
                .prop_map(|(tag, item)| Item::tagged(tag, item)),
        ]
    })
}

fn unique(pairs: Vec<(Item, Item)>) -> Item {
    let mut sorted: Vec<_> = pairs
        .into_iter()
        .map(|pair| (pair.0.encode(), pair))
        .collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted.dedup_by(|a, b| a.0 == b.0);
    Item::Map(sorted.into_iter().map(|(_, pair)| pair).collect())
}

/// A foreign encoder: writes the same items in other well-formed ways, selected by `choices`.
struct Foreign<'c> {
    out: Vec<u8>,
    choices: &'c [u8],
    next: usize,
}

impl Foreign<'_> {
    fn choose(&mut self, below: usize) -> usize {
        self.next += 1;
        usize::from(self.choices[self.next % self.choices.len()]) % below
    }

    /// A head in its shortest form or any longer one.
    fn head(&mut self, major: u8, argument: u64) {
        let shortest = [1, 2, 3, 5, 9]
            .iter()
            .position(|len| *len == head_len(argument))
            .unwrap();
        let form = shortest + self.choose(5 - shortest);
        let bytes = argument.to_be_bytes();
        match form {
            0 => self.out.push(major << 5 | bytes[7]),
            _ => {
                let width = 1 << (form - 1);
                self.out.push(major << 5 | (23 + form as u8));
                self.out.extend_from_slice(&bytes[8 - width..]);
            }
        }
    }

    fn string(&mut self, major: u8, content: &[u8], cut: usize) {
        if self.choose(2) == 0 {
            self.head(major, content.len() as u64);
            self.out.extend_from_slice(content);
            return;
        }
        self.out.push(major << 5 | 31);
        for chunk in [&content[..cut], &content[cut..]] {
            self.head(major, chunk.len() as u64);
            self.out.extend_from_slice(chunk);
        }
        self.out.push(0xff);
    }

    fn float(&mut self, value: f64) {
        let as_single = value as f32;
        if self.choose(2) == 0 && f64::from(as_single).to_bits() == value.to_bits() {
            self.out.push(0xfa);
            self.out.extend_from_slice(&as_single.to_be_bytes());
        } else {
            self.out.push(0xfb);
            self.out.extend_from_slice(&value.to_be_bytes());
        }
    }

    fn container<T>(&mut self, major: u8, content: &[T], mut each: impl FnMut(&mut Self, &T)) {
        let indefinite = self.choose(2) == 1;
        if indefinite {
            self.out.push(major << 5 | 31);
        } else {
            self.head(major, content.len() as u64);
        }
        let turn = if content.is_empty() || major == 4 {
            0
        } else {
            self.choose(content.len())
        };
        for element in content[turn..].iter().chain(&content[..turn]) {
            each(self, element);
        }
        if indefinite {
            self.out.push(0xff);
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Uint(value) => self.head(0, *value),
            Item::Nint(value) => self.head(1, *value),
            Item::Bytes(bytes) => {
                let cut = self.choose(bytes.len() + 1);
                self.string(2, bytes, cut);
            }
            Item::Text(text) => {
                let mut cut = self.choose(text.len() + 1);
                while !text.is_char_boundary(cut) {
                    cut -= 1;
                }
                self.string(3, text.as_bytes(), cut);
            }
            Item::Array(items) => self.container(4, items, |out, item| out.item(item)),
            Item::Map(pairs) => self.container(5, pairs, |out, (key, value)| {
                out.item(key);
                out.item(value);
            }),
            Item::Tag(tag, item) => {
                self.head(6, *tag);
                self.item(item);
            }
            Item::Float(value) => self.float(*value),
            Item::Bool(_) | Item::Null | Item::Undefined | Item::Simple(_) => {
                self.out.extend_from_slice(&item.encode());
            }
        }
    }
}

/// Writes an item through the cursor, call by call.
fn write(item: &Item, out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(out);
    match item {
        Item::Array(items) => {
            encoder.array(items.len());
            items.iter().for_each(|item| write(item, out));
        }
        Item::Map(pairs) => {
            encoder.map(pairs.len());
            for (key, value) in pairs {
                write(key, out);
                write(value, out);
            }
        }
        Item::Tag(tag, item) => {
            encoder.tag(*tag);
            write(item, out);
        }
        scalar => write_scalar(scalar, &mut encoder),
    }
}

fn write_scalar(item: &Item, encoder: &mut Encoder<'_>) {
    let _ = match item {
        Item::Uint(value) => encoder.uint(*value),
        Item::Nint(value) => encoder.nint(*value),
        Item::Bytes(value) => encoder.bytes(value),
        Item::Text(value) => encoder.text(value),
        Item::Bool(value) => encoder.bool(*value),
        Item::Null => encoder.null(),
        Item::Undefined => encoder.undefined(),
        Item::Float(value) => encoder.float(*value),
        Item::Simple(_) | Item::Array(_) | Item::Map(_) | Item::Tag(..) => {
            encoder.item(item).unwrap()
        }
    };
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn decoding_reverses_encoding(item in item()) {
        let bytes = item.encode();
        prop_assert_eq!(&decode_strict(&bytes, &Limits::default()).unwrap(), &item);
        prop_assert_eq!(&decode_lenient(&bytes, &Limits::default()).unwrap(), &item);
    }

    #[test]
    fn the_cursor_and_the_tree_encode_alike(item in item()) {
        let mut bytes = Vec::new();
        write(&item, &mut bytes);
        prop_assert_eq!(bytes, item.encode());
    }

    #[test]
    fn raw_skips_exactly_one_item(item in item(), after in item()) {
        let (first, second) = (item.encode(), after.encode());
        let sequence = [first.clone(), second.clone()].concat();
        let mut decoder = Decoder::new(&sequence, Limits::default());
        prop_assert_eq!(decoder.raw().unwrap(), &first[..]);
        prop_assert_eq!(decoder.kind().unwrap(), after.kind());
        prop_assert_eq!(decoder.item().unwrap(), after);
        decoder.finish().unwrap();
    }

    #[test]
    fn lenient_decoding_normalizes_foreign_encodings(
        item in item(),
        choices in vec(any::<u8>(), 1..64),
    ) {
        let mut foreign = Foreign { out: Vec::new(), choices: &choices, next: 0 };
        foreign.item(&item);
        let taken = decode_lenient(&foreign.out, &Limits::default()).unwrap();
        prop_assert_eq!(&taken, &item);
        let deterministic = foreign.out == item.encode();
        prop_assert_eq!(decode_strict(&foreign.out, &Limits::default()).is_ok(), deterministic);
    }

    #[test]
    fn encoding_sorts_the_pairs_of_a_map(item in item(), turn in any::<usize>()) {
        if let Item::Map(mut pairs) = item.clone() {
            let turn = turn % pairs.len().max(1);
            pairs.rotate_left(turn);
            prop_assert_eq!(Item::Map(pairs).encode(), item.encode());
        }
    }

    #[test]
    fn refuses_duplicate_keys(key in item(), a in item(), b in item()) {
        let twice = Item::Map(vec![(key.clone(), a), (key, b)]);
        prop_assert!(twice.try_encode().is_err());
    }

    #[test]
    fn diagnostic_notation_is_one_printable_line(item in item()) {
        let text = diagnostic(&item);
        prop_assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
    }

    #[test]
    fn refuses_every_proper_prefix(item in item()) {
        let bytes = item.encode();
        for len in 0..bytes.len() {
            let cut = &bytes[..len];
            prop_assert!(decode_strict(cut, &Limits::default()).is_err());
            prop_assert!(decode_lenient(cut, &Limits::default()).is_err());
        }
    }

    #[test]
    fn integers_keep_their_value(value in any::<i64>()) {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes).int(value);
        prop_assert_eq!(&bytes, &Item::from(value).encode());
        prop_assert_eq!(Item::from(value).as_int(), Some(value));
        prop_assert_eq!(Decoder::new(&bytes, Limits::default()).int().unwrap(), value);
    }

    #[test]
    fn floats_keep_their_bits(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        let bytes = Item::Float(value).encode();
        let mut decoder = Decoder::new(&bytes, Limits::default());
        prop_assert_eq!(decoder.kind().unwrap(), Kind::Float);
        let read = decoder.float().unwrap();
        prop_assert!(read.to_bits() == bits || (read.is_nan() && value.is_nan()));
    }
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn the_decoders_agree_on_any_input(bytes in vec(any::<u8>(), 0..24)) {
        decoders_agree(&bytes)?;
    }

    #[test]
    fn the_decoders_agree_after_a_byte_has_changed(
        item in item(), at in any::<prop::sample::Index>(), change in 1u8..,
    ) {
        let mut bytes = item.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        decoders_agree(&bytes)?;
        // The encoding is unique, so other bytes are never the same item.
        prop_assert_ne!(decode_strict(&bytes, &Limits::default()), Ok(item));
    }
}

fn decoders_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let limits = Limits::default();
    let strict = decode_strict(bytes, &limits);
    let lenient = decode_lenient(bytes, &limits);
    if let Ok(item) = &strict {
        prop_assert_eq!(&item.encode()[..], bytes);
        prop_assert_eq!(lenient.as_ref(), Ok(item));
    }
    if let Ok(item) = &lenient {
        let again = decode_strict(&item.encode(), &limits);
        prop_assert_eq!(again.as_ref(), Ok(item));
    }
    for error in [strict.err(), lenient.err()].into_iter().flatten() {
        prop_assert!(error.offset <= bytes.len());
    }
    Ok(())
}
