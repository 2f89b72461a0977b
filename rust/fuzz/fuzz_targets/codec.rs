//! Any bytes: decoding either fails, or encoding the result gives its deterministic form.
#![no_main]

use antiphon_codec::{Decoder, Limits, decode_lenient, decode_strict, diagnostic};
use libfuzzer_sys::fuzz_target;

/// Small limits, so that short inputs reach them too.
const LIMITS: Limits = Limits {
    depth: 8,
    bytes_len: 4096,
    items: 256,
};

fuzz_target!(|bytes: &[u8]| {
    let strict = decode_strict(bytes, &LIMITS);
    let lenient = decode_lenient(bytes, &LIMITS);

    let mut cursor = Decoder::new(bytes, LIMITS);
    let passed = cursor
        .raw()
        .map(<[u8]>::len)
        .and_then(|len| cursor.finish().map(|()| len));
    match (&strict, passed) {
        (Ok(_), Ok(len)) => assert_eq!(len, bytes.len()),
        (Err(error), Err(passed)) => assert_eq!(error, &passed),
        (strict, passed) => panic!("tree {strict:?}, cursor {passed:?}"),
    }

    if let Ok(item) = &strict {
        assert_eq!(
            item.encode(),
            bytes,
            "encoding a strictly decoded item gives its bytes"
        );
        assert_eq!(
            lenient.as_ref(),
            Ok(item),
            "strictly valid bytes are also leniently valid"
        );
    }
    if let Ok(item) = &lenient {
        let encoded = item.encode();
        // Only a bignum can become longer: one with 5 or 6 bytes becomes a plain integer of 9.
        let limits = Limits {
            bytes_len: 2 * LIMITS.bytes_len,
            ..LIMITS
        };
        assert_eq!(decode_strict(&encoded, &limits).as_ref(), Ok(item));
        assert!(diagnostic(item).chars().all(|c| !c.is_control()));
    }
    for error in [strict.err(), lenient.err()].into_iter().flatten() {
        assert!(error.offset <= bytes.len());
        assert!(!error.to_string().is_empty());
    }
});
