//! Scanning by heads, compared with the decoders.

use antiphon_codec::scan::{self, Head, Heads, Major};
use antiphon_codec::{
    DecodeError, DecodeErrorKind, Decoder, Encoder, Item, Limits, decode_lenient, decode_strict,
    head_len,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::properties::{config, item};

#[test]
fn skip_returns_the_length_of_the_first_item() {
    let items: [&[u8]; 8] = [
        &[0x07],
        &[0xf6],
        &[0x18, 0x64],
        &[0x83, 1, 0x82, 0x20, 0xf6, 0x42, 7, 8],
        &[0x62, b'h', b'i'],
        &[0xa1, 1, 0x80],
        &[0xc1, 0x80],
        &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0],
    ];
    for item in items {
        assert_eq!(scan::skip(item), Some(item.len()), "{item:02x?}");
        let followed = [item, &[0x01]].concat();
        assert_eq!(scan::skip(&followed), Some(item.len()), "{item:02x?}");
        for len in 0..item.len() {
            assert_eq!(scan::skip(&item[..len]), None, "{:02x?}", &item[..len]);
        }
    }
}

#[test]
fn skip_refuses_items_that_no_encoder_here_writes() {
    let refused: [&[u8]; 10] = [
        &[],
        &[0x82, 1],
        &[0x43, 1, 2],
        &[0x9f, 0xff],
        &[0x5f, 0xff],
        &[0xff],
        &[0x1c],
        &[0x19, 1],
        // Claims of 2^64 - 1 items, pairs and bytes.
        &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0xbb, 255, 255, 255, 255, 255, 255, 255, 255],
    ];
    for bytes in refused {
        assert_eq!(scan::skip(bytes), None, "{bytes:02x?}");
    }
    let bytes = [0x5b, 255, 255, 255, 255, 255, 255, 255, 255, 0];
    assert_eq!(scan::skip(&bytes), None);
}

#[test]
fn skip_takes_any_depth_without_recursion() {
    let deep = [vec![0x81; 1 << 20], vec![0x00]].concat();
    assert_eq!(scan::skip(&deep), Some(deep.len()));
    assert_eq!(scan::skip(&deep[..deep.len() - 1]), None);
}

#[test]
fn uint_at_reads_an_integer_at_an_offset() {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes)
        .array(3)
        .uint(7)
        .uint(1 << 40)
        .text("x");
    assert_eq!(scan::uint_at(&bytes, 1), Some(7));
    assert_eq!(scan::uint_at(&bytes, 2), Some(1 << 40));
    for offset in [0, 11, 12, 13, usize::MAX] {
        assert_eq!(scan::uint_at(&bytes, offset), None, "at {offset}");
    }
}

#[test]
fn heads_match_the_encoder() {
    let mut heads: Heads<6> = Heads::new();
    heads
        .push(Major::Array, 6)
        .uint(23)
        .uint(1000)
        .option(None)
        .option(Some(u64::MAX))
        .push(Major::Map, 70_000);
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes)
        .array(6)
        .uint(23)
        .uint(1000)
        .null()
        .uint(u64::MAX)
        .map(70_000);
    assert_eq!(heads.as_bytes(), bytes);
}

#[test]
fn heads_have_room_for_the_longest_ones() {
    let mut heads: Heads<2> = Heads::default();
    heads.uint(u64::MAX).uint(u64::MAX);
    assert_eq!(heads.as_bytes().len(), 2 * Head::LEN_MAX);
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn skip_agrees_with_the_decoder_on_every_item(item in item(), after in item()) {
        let (first, second) = (item.encode(), after.encode());
        let sequence = [first.clone(), second].concat();
        prop_assert_eq!(scan::skip(&sequence), Some(first.len()));
        for len in 0..first.len() {
            prop_assert_eq!(scan::skip(&first[..len]), None);
        }
    }

    #[test]
    fn heads_are_read_as_they_are_written(
        major in 0u8..8, argument in any::<u64>(), shift in 0u32..64,
    ) {
        let head = Head { major: Major::of(major << 5), argument: argument >> shift };
        let (bytes, len) = head.write();
        prop_assert_eq!(len, head_len(head.argument));
        prop_assert_eq!(Head::len_of(bytes[0]), Some(len));
        prop_assert_eq!(Head::read(&bytes), Some((head, len)));
        prop_assert_eq!(Head::read(&bytes[..len - 1]), None);
    }
}

proptest! {
    #![proptest_config(config(20_000))]

    /// An item that the strict decoder accepts is skipped; an item that is skipped is whole.
    #[test]
    fn skip_agrees_with_the_decoders_on_any_input(bytes in vec(any::<u8>(), 0..24)) {
        let limits = Limits::default();
        let skipped = scan::skip(&bytes);
        if let Ok(raw) = Decoder::new(&bytes, limits).raw() {
            prop_assert_eq!(skipped, Some(raw.len()));
        }
        let Some(len) = skipped else {
            return Ok(());
        };
        prop_assert!(len <= bytes.len());
        match decode_lenient(&bytes[..len], &limits) {
            Ok(item) => prop_assert_eq!(decode_strict(&item.encode(), &limits), Ok(item)),
            Err(DecodeError { kind, .. }) => {
                use DecodeErrorKind::{Trailing, Truncated};
                let is_length = matches!(kind, Truncated { .. } | Trailing { .. });
                prop_assert!(!is_length, "{}", kind);
            }
        }
        let head = Head::read(&bytes).map(|(head, _)| head.major);
        let is_uint = matches!(decode_lenient(&bytes[..len], &limits), Ok(Item::Uint(_)));
        prop_assert_eq!(head == Some(Major::Uint), is_uint && scan::uint_at(&bytes, 0).is_some());
    }
}
