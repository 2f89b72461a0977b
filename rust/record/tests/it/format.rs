//! The format against exact bytes. Bytes of a released version do not change: if this goes red, the
//! version is what has to change. `BLESS=1` writes the file anew.

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
fn a_recording_is_written_as_it_always_was() {
    let (bytes, _) = small_of(1);
    if std::env::var_os("BLESS").is_some() {
        let path = fixture();
        std::fs::create_dir_all(path.parent().expect("it is in a directory")).expect("writable");
        std::fs::write(path, &bytes).expect("writable");
    }
    let kept = std::fs::read(fixture()).expect("`BLESS=1` writes it");
    assert!(bytes == kept, "the bytes have changed:\n{}", dumped(&bytes));
}

#[test]
fn the_kept_recording_replays() {
    let kept = std::fs::read(fixture()).expect("`BLESS=1` writes it");
    let report = replay(&kept[..]).expect("it is sound");
    assert_eq!(
        (report.verdict, report.tail),
        (Verdict::Equal, Some(Tail::Sealed))
    );
}

#[test]
fn the_kept_recording_reads_like_this() {
    let kept = std::fs::read(fixture()).expect("`BLESS=1` writes it");
    insta::assert_snapshot!(dumped(&kept));
}

/// Every byte of a recording, taken apart with nothing but the description of the format at hand.
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
            let entry = decoder.raw().expect("it is deterministic");
            let item = decode_strict(entry, &Limits::default()).expect("it is deterministic");
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
