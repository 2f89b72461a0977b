//! Any recording: it is read, walked, replayed and compared without a panic, and a truncated or
//! changed recording is never taken as complete.
//!
//! The input is a file, or the content of records to which this target adds frames and chain, with
//! edits of its entries, so that mutation can get past the chain: `mode, count, count * (entry,
//! where, what), bytes`.
#![no_main]

#[path = "../edit.rs"]
mod edit;

use antiphon_codec::{Decoder, Limits};
use antiphon_record::bounds::MAGIC;
use antiphon_record::{Cause, Reader, Replay, Tail, Timeline, diff};
use libfuzzer_sys::fuzz_target;

/// The maximum number of steps of a replay. A recording may claim any number.
const STEPS_MAX: u64 = 400;
/// The maximum number of moments of a timeline that are read.
const MOMENTS_MAX: usize = 400;

fuzz_target!(|input: &[u8]| {
    let [mode, count, rest @ ..] = input else {
        return;
    };
    let (edits, bytes) = rest.split_at(rest.len().min(3 * usize::from(*count % 8)));
    if mode & 1 == 0 {
        exercise(bytes);
        return;
    }
    let whole = sealed(bytes, *mode);
    exercise(&whole);
    if let Some(edited) = edited(bytes, edits) {
        let edited = sealed(&edited, *mode);
        exercise(&edited);
        if let (Ok(mut left), Ok(mut right)) = (Reader::open(&whole[..]), Reader::open(&edited[..]))
        {
            let _ = diff(&mut left, &mut right);
        }
    }
    harmed(&whole, usize::from(*mode) * 31 + usize::from(*count) * 257);
});

/// Reads, walks and replays a file.
fn exercise(file: &[u8]) {
    let Ok(mut reader) = Reader::open(file) else {
        return;
    };
    while let Ok(Some(_)) = reader.entry() {}
    assert!(reader.tail().is_some(), "a recording that ends has a tail");
    assert!(reader.offset() <= file.len() as u64);
    if let Ok(timeline) = Timeline::open(file) {
        timeline.take(MOMENTS_MAX).for_each(drop);
    }
    if let Ok(mut replay) = Replay::open(file) {
        let _ = replay.run_to(STEPS_MAX);
        let _ = replay.report();
        replay
            .kernel()
            .check()
            .expect("every invariant of a state holds");
    }
}

/// A truncated recording must not be sealed; one with a changed bit must be damaged or torn.
/// Neither may return entries that were not written.
fn harmed(whole: &[u8], at: usize) {
    let Ok(mut reader) = Reader::open(whole) else {
        return;
    };
    let mut entries = Vec::new();
    while let Ok(Some(entry)) = reader.entry() {
        entries.push(entry);
    }
    if reader.tail() != Some(&Tail::Sealed) {
        return;
    }
    let at = at % whole.len();
    prefix_of(&whole[..at], &entries);
    let mut changed = whole.to_vec();
    changed[at] ^= 1 << (at % 8);
    prefix_of(&changed, &entries);
}

fn prefix_of(file: &[u8], entries: &[antiphon_record::Entry]) {
    let Ok(mut reader) = Reader::open(file) else {
        return;
    };
    let mut expected = entries.iter();
    while let Ok(Some(entry)) = reader.entry() {
        assert_eq!(
            Some(&entry),
            expected.next(),
            "the reader returned an entry that was not written"
        );
    }
    match reader.tail() {
        Some(Tail::Open | Tail::Torn { .. }) => {}
        Some(Tail::Damaged(damage)) => assert!(
            !matches!(damage.cause, Cause::Entry { .. }),
            "the chain must detect the change first: {damage}"
        ),
        tail => panic!("a truncated or changed recording has the tail {tail:?}"),
    }
}

/// The entries in sequence, with some changes; `None` when the bytes are not entries.
fn edited(bytes: &[u8], edits: &[u8]) -> Option<Vec<u8>> {
    if edits.is_empty() || bytes.len() > 1 << 14 {
        return None;
    }
    let mut decoder = Decoder::new(
        bytes,
        Limits {
            items: 1 << 12,
            ..Limits::default()
        },
    );
    let mut entries = Vec::new();
    while !decoder.is_at_end() {
        entries.push(decoder.item().ok()?);
    }
    let len = entries.len().max(1);
    for change in edits.chunks_exact(3) {
        let entry = entries.get_mut(usize::from(change[0]) % len)?;
        edit::edit(entry, change[1], change[2]);
    }
    let encoded: Result<Vec<_>, _> = entries.iter().map(|entry| entry.try_encode()).collect();
    Some(encoded.ok()?.concat())
}

/// A file with this content, in one record or, depending on `mode`, in two. Written from the
/// description of the format, which also tests that the description is sufficient.
fn sealed(content: &[u8], mode: u8) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    let mut chain = blake3::hash(&[&tag(b"antiphon.recording.v1")[..], &MAGIC].concat());
    let cut = if mode & 2 == 0 {
        content.len()
    } else {
        content.len() * usize::from(mode) / 256
    };
    let (first, second) = content.split_at(cut);
    for content in [first, second]
        .into_iter()
        .filter(|content| !content.is_empty())
    {
        let len = (content.len() as u32).to_be_bytes();
        let check = [&tag(b"antiphon.rec-length.v1")[..], chain.as_bytes(), &len].concat();
        let mut record = len.to_vec();
        record.extend_from_slice(&blake3::hash(&check).as_bytes()[..4]);
        record.extend_from_slice(content);
        let hashed = [
            &tag(b"antiphon.recording.v1")[..],
            chain.as_bytes(),
            &record,
        ]
        .concat();
        chain = blake3::hash(&hashed);
        file.extend_from_slice(&record);
        file.extend_from_slice(chain.as_bytes());
    }
    file
}

/// A tag, padded with zeros.
fn tag(name: &[u8]) -> [u8; 24] {
    let mut tag = [0; 24];
    tag[..name.len()].copy_from_slice(name);
    tag
}
