//! Tests the format with exact bytes. The bytes of a released version do not change: if these tests
//! fail, the change needs a new version of the format. `BLESS=1` writes the file again.

use std::fmt::Write;
use std::path::PathBuf;

use antiphon_codec::{Limits, decode_strict, diagnostic};
use antiphon_record::bounds::MAGIC;
use antiphon_record::{Tail, Verdict, replay};

use crate::runs::small_of;

fn fixture() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("../../fixtures/recordings/v1/ping-pong.rec")
}

#[test]
fn writing_reproduces_the_stored_recording() {
    let (bytes, _) = small_of(1);
    if std::env::var_os("BLESS").is_some() {
        let path = fixture();
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
        std::fs::write(path, &bytes).expect("writable");
    }
    let kept = std::fs::read(fixture()).expect("`BLESS=1` writes the file");
    assert!(bytes == kept, "the bytes have changed:\n{}", dumped(&bytes));
}

#[test]
fn the_stored_recording_replays() {
    let kept = std::fs::read(fixture()).expect("`BLESS=1` writes the file");
    let report = replay(&kept[..]).expect("a valid recording");
    assert_eq!(
        (report.verdict, report.tail),
        (Verdict::Equal, Some(Tail::Sealed))
    );
}

#[test]
fn the_stored_recording_has_these_bytes() {
    let kept = std::fs::read(fixture()).expect("`BLESS=1` writes the file");
    insta::assert_snapshot!(dumped(&kept));
}

/// All bytes of a recording by fields, found from the description of the format alone.
fn dumped(bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut text = format!("{} magic\n", hex(&bytes[..MAGIC.len()]));
    let mut rest = &bytes[MAGIC.len()..];
    while !rest.is_empty() {
        let len = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        let _ = writeln!(
            text,
            "{} length {len}\n{} check",
            hex(&rest[..4]),
            hex(&rest[4..8])
        );
        let (mut content, after) = rest[8..].split_at(len);
        while !content.is_empty() {
            let mut decoder = antiphon_codec::Decoder::new(content, Limits::default());
            let entry = decoder.raw().expect("deterministic CBOR");
            let item = decode_strict(entry, &Limits::default()).expect("deterministic CBOR");
            let shown = diagnostic(&item);
            let _ = match shown.char_indices().nth(200) {
                Some((end, _)) => writeln!(text, "  {}… ({} bytes)", &shown[..end], entry.len()),
                None => writeln!(text, "  {shown}"),
            };
            content = &content[entry.len()..];
        }
        let _ = writeln!(text, "{} chain", hex(&after[..32]));
        rest = &after[32..];
    }
    text
}
