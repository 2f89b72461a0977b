//! Test vectors from `fixtures/cbor`: bytes with their meaning, or the reason for refusing them.
//!
//! Each line is `bytes | lenient | strict`: the result of lenient decoding, in diagnostic notation
//! or as an error, and the result of strict decoding, `ok` or an error.

use std::fmt::Write as _;

use antiphon_codec::{Decoder, Limits, decode_lenient, decode_strict, diagnostic};

#[test]
fn examples_of_the_rfc() {
    let cases = check(include_str!(
        "../../../../fixtures/cbor/rfc8949-appendix-a.txt"
    ));
    assert_eq!(cases, 81, "RFC 8949 Appendix A has 81 examples");
}

#[test]
fn refuses_input_that_is_not_well_formed() {
    check(include_str!("../../../../fixtures/cbor/refused.txt"));
}

#[test]
fn strict_decoding_refuses_input_that_is_not_deterministic() {
    check(include_str!(
        "../../../../fixtures/cbor/not-deterministic.txt"
    ));
}

/// Compares every line with the results of the decoders; returns the number of lines.
fn check(fixture: &str) -> usize {
    let mut expected = String::new();
    let mut actual = String::new();
    let mut cases = 0;
    for line in fixture
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let bytes = unhex(line.split(" | ").next().unwrap_or_default());
        writeln!(expected, "{line}").unwrap();
        writeln!(actual, "{}", verdicts(&bytes)).unwrap();
        cases += 1;
    }
    assert!(expected == actual, "expected:\n{expected}\ngot:\n{actual}");
    cases
}

/// The line for these bytes. Also checks that the results of the decoders are consistent.
fn verdicts(bytes: &[u8]) -> String {
    let limits = Limits::default();
    let lenient = decode_lenient(bytes, &limits);
    let strict = decode_strict(bytes, &limits);
    // Skipping must return the same error as building a tree.
    let mut cursor = Decoder::new(bytes, limits);
    let passed = cursor.raw().and_then(|_| cursor.finish());
    assert_eq!(passed.as_ref().err(), strict.as_ref().err());

    if let Ok(item) = &strict {
        assert_eq!(
            item.encode(),
            bytes,
            "an item that was decoded strictly encodes to its input"
        );
        assert_eq!(
            Ok(item),
            lenient.as_ref(),
            "lenient decoding gives the same item as strict decoding"
        );
    }
    if let Ok(item) = &lenient {
        assert_eq!(decode_strict(&item.encode(), &limits).as_ref(), Ok(item));
    }
    let lenient = lenient.map_or_else(|error| error.to_string(), |item| diagnostic(&item));
    let strict = strict.map_or_else(|error| error.to_string(), |_| "ok".to_owned());
    format!("{} | {lenient} | {strict}", hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("a hex byte"))
        .collect()
}
