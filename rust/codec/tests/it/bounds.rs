//! The bounds on the cost of a decode, and the errors of the cursors.

use allocation_counter::measure;
use antiphon_codec::{
    DEPTH_MAX, DecodeErrorKind, Decoder, EncodeError, Encoder, Item, Kind, Limits, decode_lenient,
    decode_strict, head_len,
};

/// Checks that both decoders refuse the input, for the same reason.
#[track_caller]
fn refused(bytes: &[u8], limits: &Limits, offset: usize, kind: DecodeErrorKind) {
    for result in [decode_strict(bytes, limits), decode_lenient(bytes, limits)] {
        let error = result.expect_err("over a limit");
        assert_eq!((error.offset, error.kind), (offset, kind));
    }
}

#[track_caller]
fn taken(bytes: &[u8], limits: &Limits) {
    decode_strict(bytes, limits).expect("within the limits");
    decode_lenient(bytes, limits).expect("within the limits");
}

fn nest(depth: u32, around: &[u8]) -> Vec<u8> {
    [vec![0x81; depth as usize], around.to_vec()].concat()
}

#[test]
fn length_is_bounded() {
    let limits = Limits {
        bytes_len: 3,
        ..Limits::default()
    };
    taken(b"\x62ab", &limits);
    refused(
        b"\x63abc",
        &limits,
        0,
        DecodeErrorKind::InputTooLong { limit: 3, got: 4 },
    );
}

#[test]
fn depth_is_bounded() {
    let limits = Limits {
        depth: 2,
        ..Limits::default()
    };
    taken(&nest(2, b"\x00"), &limits);
    refused(
        &nest(3, b"\x00"),
        &limits,
        2,
        DecodeErrorKind::TooDeep { limit: 2 },
    );
    // An empty container is a level too, in any kind of container.
    refused(
        &nest(2, b"\x80"),
        &limits,
        2,
        DecodeErrorKind::TooDeep { limit: 2 },
    );
    refused(
        b"\x81\xa1\x00\xc1\x00",
        &limits,
        3,
        DecodeErrorKind::TooDeep { limit: 2 },
    );
    let scalars = Limits {
        depth: 0,
        ..Limits::default()
    };
    taken(b"\x00", &scalars);
    refused(
        b"\xc1\x00",
        &scalars,
        0,
        DecodeErrorKind::TooDeep { limit: 0 },
    );
}

#[test]
fn no_limit_raises_the_maximum_depth() {
    let limits = Limits {
        depth: u32::MAX,
        ..Limits::default()
    };
    taken(&nest(DEPTH_MAX, b"\x00"), &limits);
    let over = DecodeErrorKind::TooDeep { limit: DEPTH_MAX };
    // A million levels take no more of the stack than one level too many.
    for depth in [DEPTH_MAX + 1, 1_000_000] {
        refused(&nest(depth, b"\x00"), &limits, DEPTH_MAX as usize, over);
    }
    let indefinite = vec![0x9f; 1_000_000];
    assert_eq!(
        decode_lenient(&indefinite, &limits)
            .expect_err("too deep")
            .kind,
        over
    );
}

#[test]
fn items_are_bounded() {
    let limits = Limits {
        items: 4,
        ..Limits::default()
    };
    taken(b"\x83\x00\x00\x00", &limits);
    taken(b"\xa1\x00\x81\x00", &limits);
    let over = |left, claimed| DecodeErrorKind::TooManyItems {
        limit: 4,
        left,
        claimed,
    };
    refused(b"\x84\x00\x00\x00\x00", &limits, 0, over(3, 4));
    refused(b"\xa1\x00\x82\x00\x00", &limits, 2, over(1, 2));
    refused(b"\xc1\xc1\xc1\xc1\x00", &limits, 3, over(0, 1));
    // Items of an indefinite container are counted one by one.
    let error = decode_lenient(b"\x9f\x00\x00\x00\x00\xff", &limits).expect_err("four and one");
    assert_eq!((error.offset, error.kind), (4, over(0, 1)));
    let error = decode_lenient(b"\xbf\x00\x00\x01\x01\xff", &limits).expect_err("four and one");
    assert_eq!((error.offset, error.kind), (4, over(0, 1)));
}

#[test]
fn items_of_a_sequence_share_one_budget() {
    let limits = Limits {
        items: 2,
        ..Limits::default()
    };
    let mut decoder = Decoder::new(b"\x01\x02\x03", limits);
    assert_eq!((decoder.uint(), decoder.uint()), (Ok(1), Ok(2)));
    let error = decoder.uint().expect_err("the third");
    assert_eq!(
        error.kind,
        DecodeErrorKind::TooManyItems {
            limit: 2,
            left: 0,
            claimed: 1
        }
    );
}

#[test]
fn a_claimed_length_allocates_nothing() {
    // Nine bytes each that claim 2^60 bytes, items or pairs.
    for major in [2u8, 3, 4, 5] {
        let mut claim = vec![major << 5 | 27];
        claim.extend_from_slice(&(1u64 << 60).to_be_bytes());
        let info = measure(|| {
            assert!(decode_strict(&claim, &Limits::default()).is_err());
            assert!(decode_lenient(&claim, &Limits::default()).is_err());
        });
        assert_eq!(info.bytes_total, 0, "major type {major}");
    }
}

#[test]
fn nested_claims_allocate_within_the_limits() {
    // Each of 31 nested arrays claims all bytes after it as items: 31 times the input in total.
    let len = 1 << 20;
    let mut bytes = Vec::new();
    for level in 0..31 {
        let rest = u32::try_from(len - 5 * (level + 1)).expect("a megabyte");
        bytes.push(0x9a);
        bytes.extend_from_slice(&rest.to_be_bytes());
    }
    bytes.resize(len, 0);
    let limits = Limits {
        items: 1 << 20,
        ..Limits::default()
    };
    let bound = (limits.items * 2 * size_of::<Item>()) as u64;
    let info = measure(|| {
        assert!(decode_strict(&bytes, &limits).is_err());
    });
    assert!(
        info.bytes_max <= bound,
        "{} bytes for a bound of {bound}",
        info.bytes_max
    );
    let info = measure(|| {
        assert!(decode_lenient(&bytes, &limits).is_err());
    });
    assert!(
        info.bytes_max <= bound,
        "{} bytes for a bound of {bound}",
        info.bytes_max
    );
}

#[test]
fn cursors_do_not_allocate() {
    let mut bytes = Vec::with_capacity(256);
    let info = measure(|| {
        let mut encoder = Encoder::new(&mut bytes);
        encoder
            .map(2)
            .text("id")
            .uint(1 << 40)
            .text("path")
            .array(3)
            .int(-5)
            .bytes(b"x");
        encoder.tag(1).float(0.1);
        let mut decoder = Decoder::new(&bytes, Limits::default());
        assert_eq!(decoder.map(), Ok(2));
        assert_eq!(decoder.text(), Ok("id"));
        assert_eq!(decoder.uint(), Ok(1 << 40));
        assert_eq!(decoder.text(), Ok("path"));
        assert_eq!(decoder.array(), Ok(3));
        assert_eq!(decoder.int(), Ok(-5));
        assert_eq!(decoder.bytes(), Ok(&b"x"[..]));
        assert_eq!(decoder.tag(), Ok(1));
        assert_eq!(decoder.float(), Ok(0.1));
        assert_eq!(decoder.finish(), Ok(()));
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn head_len_is_the_length_of_the_encoded_head() {
    for (argument, len) in [
        (0, 1),
        (23, 1),
        (24, 2),
        (255, 2),
        (256, 3),
        (65535, 3),
        (65536, 5),
    ] {
        assert_eq!(
            (head_len(argument), Item::Uint(argument).encode().len()),
            (len, len)
        );
    }
    assert_eq!(
        (
            head_len(u32::MAX.into()),
            head_len(1 << 32),
            head_len(u64::MAX)
        ),
        (5, 9, 9)
    );
}

#[test]
fn reports_the_expected_and_the_actual_kind() {
    type Read = fn(&mut Decoder<'_>) -> Option<DecodeErrorKind>;
    let reads: [(Kind, Read); 12] = [
        (Kind::Uint, |decoder| {
            decoder.uint().err().map(|error| error.kind)
        }),
        (Kind::Nint, |decoder| {
            decoder.nint().err().map(|error| error.kind)
        }),
        (Kind::Bytes, |decoder| {
            decoder.bytes().err().map(|error| error.kind)
        }),
        (Kind::Text, |decoder| {
            decoder.text().err().map(|error| error.kind)
        }),
        (Kind::Array, |decoder| {
            decoder.array().err().map(|error| error.kind)
        }),
        (Kind::Map, |decoder| {
            decoder.map().err().map(|error| error.kind)
        }),
        (Kind::Tag, |decoder| {
            decoder.tag().err().map(|error| error.kind)
        }),
        (Kind::Bool, |decoder| {
            decoder.bool().err().map(|error| error.kind)
        }),
        (Kind::Null, |decoder| {
            decoder.null().err().map(|error| error.kind)
        }),
        (Kind::Undefined, |decoder| {
            decoder.undefined().err().map(|error| error.kind)
        }),
        (Kind::Simple, |decoder| {
            decoder.simple().err().map(|error| error.kind)
        }),
        (Kind::Float, |decoder| {
            decoder.float().err().map(|error| error.kind)
        }),
    ];
    let inputs: [(Kind, &[u8]); 12] = [
        (Kind::Uint, b"\x07"),
        (Kind::Nint, b"\x20"),
        (Kind::Bytes, b"\x40"),
        (Kind::Text, b"\x60"),
        (Kind::Array, b"\x80"),
        (Kind::Map, b"\xa0"),
        (Kind::Tag, b"\xc1\x00"),
        (Kind::Bool, b"\xf4"),
        (Kind::Null, b"\xf6"),
        (Kind::Undefined, b"\xf7"),
        (Kind::Simple, b"\xf0"),
        (Kind::Float, b"\xf9\x3c\x00"),
    ];
    for (expected, read) in reads {
        for (got, bytes) in inputs {
            let mut decoder = Decoder::new(bytes, Limits::default());
            let error = read(&mut decoder);
            let wrong = DecodeErrorKind::KindMismatch { expected, got };
            assert_eq!(error, (expected != got).then_some(wrong));
        }
    }
}

#[test]
fn int_refuses_integers_beyond_64_bits() {
    let int = |item: Item| Decoder::new(&item.encode(), Limits::default()).int();
    assert_eq!(int(Item::Uint(i64::MAX as u64)), Ok(i64::MAX));
    assert_eq!(int(Item::Nint(i64::MAX as u64)), Ok(i64::MIN));
    for over in [Item::Uint(1 << 63), Item::Nint(1 << 63)] {
        assert_eq!(over.as_int(), None);
        assert_eq!(
            int(over).expect_err("too large").kind,
            DecodeErrorKind::IntOutOfRange
        );
    }
    let text = int(Item::from("7")).expect_err("a text");
    let expected = DecodeErrorKind::KindMismatch {
        expected: Kind::Uint,
        got: Kind::Text,
    };
    assert_eq!(text.kind, expected);
}

#[test]
fn finish_refuses_unread_items() {
    let mut decoder = Decoder::new(b"\x83\x01\x02\x03", Limits::default());
    assert_eq!(decoder.array(), Ok(3));
    assert_eq!(decoder.uint(), Ok(1));
    let error = decoder.clone().finish().expect_err("two to come");
    assert_eq!(
        (error.offset, error.kind),
        (2, DecodeErrorKind::Unfinished { left: 2 })
    );
    assert_eq!((decoder.uint(), decoder.is_at_end()), (Ok(2), false));
    assert_eq!((decoder.uint(), decoder.is_at_end()), (Ok(3), true));
    assert_eq!(decoder.finish(), Ok(()));

    let decoder = Decoder::new(b"\x01", Limits::default());
    let error = decoder.finish().expect_err("nothing read");
    assert_eq!(
        (error.offset, error.kind),
        (0, DecodeErrorKind::Trailing { left: 1 })
    );
}

#[test]
fn map_keys_are_checked_as_they_are_read() {
    // The keys are maps: the keys within each must be sorted, and so must their encodings.
    let mut decoder = Decoder::new(b"\xa2\xa1\x02\x00\x00\xa1\x01\x00\x00", Limits::default());
    assert_eq!((decoder.map(), decoder.map()), (Ok(2), Ok(1)));
    assert_eq!(
        (decoder.uint(), decoder.uint(), decoder.uint()),
        (Ok(2), Ok(0), Ok(0))
    );
    assert_eq!((decoder.map(), decoder.uint()), (Ok(1), Ok(1)));
    let error = decoder
        .uint()
        .expect_err("ends a key that sorts before the first");
    assert_eq!(
        (error.offset, error.kind),
        (5, DecodeErrorKind::KeysUnsorted { previous: 1 })
    );
}

#[test]
fn try_encode_reports_trees_without_an_encoding() {
    let twice = Item::map([("b", 1u64), ("a", 2), ("b", 3)]);
    let key = r#""b""#.to_owned();
    assert_eq!(twice.try_encode(), Err(EncodeError::DuplicateKey { key }));
    // Keys that are maps, and equal once these are sorted.
    let inner = |pairs: [(u64, u64); 2]| Item::map(pairs);
    let twice = Item::map([
        (inner([(1, 0), (2, 0)]), 1u64),
        (inner([(2, 0), (1, 0)]), 2),
    ]);
    assert!(matches!(
        twice.try_encode(),
        Err(EncodeError::DuplicateKey { .. })
    ));
    for value in 24..32 {
        let reserved = Item::Simple(value).try_encode();
        assert_eq!(reserved, Err(EncodeError::SimpleReserved { value }));
    }
    let deep = (0..DEPTH_MAX).fold(Item::Null, |item, _| Item::array([item]));
    assert!(deep.try_encode().is_ok());
    let deeper = Item::array([deep]).try_encode();
    assert_eq!(deeper, Err(EncodeError::TooDeep { limit: DEPTH_MAX }));
}

#[test]
fn a_refused_tree_leaves_the_buffer_unchanged() {
    let mut bytes = vec![0x00];
    let twice = Item::array([Item::Null, Item::map([("a", 1u64), ("a", 2)])]);
    assert!(Encoder::new(&mut bytes).item(&twice).is_err());
    assert_eq!(bytes, [0x00]);
}

#[test]
fn named_simple_values_encode_like_their_variants() {
    let named = [
        Item::Bool(false),
        Item::Bool(true),
        Item::Null,
        Item::Undefined,
    ];
    for (value, item) in (20..).zip(named) {
        assert_eq!(Item::Simple(value).encode(), item.encode());
    }
}

#[test]
fn floats_are_equal_if_their_encodings_are() {
    let quiet = Item::Float(f64::NAN);
    let signed = Item::Float(-f64::NAN);
    assert_eq!((quiet.encode(), &quiet), (signed.encode(), &signed));
    assert_ne!(Item::Float(0.0), Item::Float(-0.0));
    assert_ne!(Item::Float(1.0), Item::Uint(1));
}

#[test]
fn field_returns_the_value_of_a_text_key() {
    let item = Item::map([("a", Item::from(1u64)), ("b", Item::Null)]);
    assert_eq!(item.field("a").and_then(Item::as_uint), Some(1));
    assert!(item.field("b").is_some_and(Item::is_null));
    assert_eq!(item.field("c"), None);
    assert_eq!(Item::from("a").field("a"), None);
}
