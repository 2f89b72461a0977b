//! Exact bytes of items, which test the encoder without a decoder.

use antiphon_codec::{Encoder, Item};

#[track_caller]
fn pinned(item: &Item, bytes: &str) {
    let hex: String = item
        .encode()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, bytes, "{item}");
}

#[test]
fn scalars() {
    pinned(&Item::from(1_000_000u32), "1a000f4240");
    pinned(&Item::from(u64::MAX), "1bffffffffffffffff");
    pinned(&Item::from(-500i32), "3901f3");
    pinned(&Item::from(i64::MIN), "3b7fffffffffffffff");
    pinned(&Item::Nint(u64::MAX), "3bffffffffffffffff");
    pinned(&Item::from(&b"\x00\xff"[..]), "4200ff");
    pinned(&Item::from("水"), "63e6b0b4");
    pinned(&Item::from(false), "f4");
    pinned(&Item::from(true), "f5");
    pinned(&Item::Null, "f6");
    pinned(&Item::Undefined, "f7");
    pinned(&Item::Simple(19), "f3");
    pinned(&Item::Simple(32), "f820");
    pinned(&Item::from(-4.0), "f9c400");
    pinned(&Item::from(100_000.0), "fa47c35000");
    pinned(&Item::from(1.1), "fb3ff199999999999a");
    pinned(&Item::from(f64::NAN), "f97e00");
}

#[test]
fn containers() {
    pinned(&Item::array([1u64, 2, 3]), "83010203");
    pinned(&Item::map([("b", 2u64), ("a", 1)]), "a2616101616202");
    pinned(
        &Item::tagged(1, Item::from(1_363_896_240u64)),
        "c11a514b67b0",
    );
    // Ten bytes with a leading zero, and a value that fits into a plain integer.
    let bignum = |digits: &[u8]| Item::Tag(2, Box::new(Item::from(digits)));
    pinned(
        &bignum(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        "c249010000000000000000",
    );
    pinned(&bignum(&[0, 5]), "05");
}

#[test]
fn cursor() {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes)
        .array(12)
        .uint(24)
        .int(-25)
        .nint(0)
        .bytes(&[7; 24])
        .text("é")
        .map(1)
        .uint(1)
        .tag(32)
        .text("")
        .bool(true)
        .null()
        .undefined()
        .float(0.5)
        .raw(&[0x80])
        .array(0);
    let sevens = "07".repeat(24);
    let expected = format!("8c18183818205818{sevens}62c3a9a101d82060f5f6f7f9380080") + "80";
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
    antiphon_codec::decode_strict(&bytes, &antiphon_codec::Limits::default())
        .expect("twelve items");
}
