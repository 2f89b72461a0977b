//! Truncated, changed, reordered and forged recordings: the reader finds the intact part and
//! reports the damage.

use std::io::Read;
use std::slice;

use antiphon_machine::{EffectId, Observation, SessionId, Sink, Value};
use antiphon_record::bounds::MAGIC;
use antiphon_record::{
    Cause, Damage, Entry, Flush, OpenError, Reader, RecordError, Recorder, Tail, Verdict, Writer,
    replay,
};
use proptest::prelude::*;

use crate::runs::{edited, entries, full, small, small_of, written};

/// The end of each record of an intact recording, and the number of entries up to there.
fn ends(bytes: &[u8]) -> Vec<(u64, usize)> {
    let mut reader = Reader::open(bytes).expect("a valid recording");
    let mut ends = vec![(reader.offset(), 0)];
    let mut read = 0;
    while reader.entry().expect("memory does not fail").is_some() {
        read += 1;
        if ends.last().is_some_and(|last| last.0 < reader.offset()) {
            ends.push((reader.offset(), read));
        } else if let Some(last) = ends.last_mut() {
            last.1 = read;
        }
    }
    assert_eq!(reader.tail(), Some(&Tail::Sealed));
    ends
}

#[test]
fn a_recording_truncated_at_any_byte_is_intact_up_to_its_last_record() {
    let bytes = small();
    let all = entries(&bytes).1;
    let ends = ends(&bytes);
    assert!(
        ends.len() > 10,
        "{} records are too few to tell",
        ends.len()
    );
    let first = ends[0].0 as usize;

    for cut in 0..bytes.len() {
        let part = &bytes[..cut];
        if cut < first {
            match Reader::open(part) {
                Err(OpenError::NoHeader { len }) => assert_eq!(len, cut as u64),
                other => panic!("cut at {cut}: {other:?}"),
            }
            continue;
        }
        let good = ends
            .iter()
            .rposition(|end| end.0 <= cut as u64)
            .expect("the first record ends before the cut");
        let (offset, read) = ends[good];
        let tail = if offset == cut as u64 {
            Tail::Open
        } else {
            Tail::Torn {
                record: good as u64 + 1,
                offset,
                len: cut as u64 - offset,
            }
        };
        assert_eq!(entries(part).1, all[..read], "cut at {cut}");
        let report = replay(part).expect("a header");
        let step = report.last.step;
        assert_eq!(report.verdict, Verdict::EqualUpTo { step }, "cut at {cut}");
        let headline = format!("equal up to step {step}, then the recording ends");
        assert!(
            report.to_string().starts_with(&headline),
            "cut at {cut}: {report}"
        );
        assert_eq!(report.tail, Some(tail), "cut at {cut}");
        assert_eq!(report.records, good as u64 + 1, "cut at {cut}");
        assert_eq!(report.entries, read as u64 + 1, "cut at {cut}");
    }
}

#[test]
fn any_changed_byte_is_detected_and_located() {
    let bytes = small();
    let ends = ends(&bytes);
    for at in 0..bytes.len() {
        // The lowest bit, the highest bit, all bits: each changes lengths in another way.
        for flip in [0x01, 0x80, 0xff] {
            let mut flipped = bytes.clone();
            flipped[at] ^= flip;
            match replay(&flipped[..]) {
                Ok(report) => {
                    let Some(Tail::Damaged(damage)) = report.tail.clone() else {
                        panic!("{flip:#04x} at {at}: {:?}", report.tail);
                    };
                    assert_located(&damage, at, &ends);
                    let step = report.last.step;
                    let verdict = Verdict::EqualUpTo { step };
                    assert_eq!(report.verdict, verdict, "{flip:#04x} at {at}");
                    let headline = format!("equal up to step {step}, then damaged: ");
                    assert!(report.to_string().starts_with(&headline), "{report}");
                    assert_eq!(report.records, damage.record, "{flip:#04x} at {at}");
                }
                Err(antiphon_record::ReplayError::Open(error)) => match error {
                    OpenError::NotARecording { offset, .. } => assert_eq!(offset, at),
                    OpenError::Version { .. } => assert_eq!(at, MAGIC.len() - 1),
                    OpenError::Damaged(damage) => assert_located(&damage, at, &ends),
                    other => panic!("{flip:#04x} at {at}: {other}"),
                },
                Err(other) => panic!("{flip:#04x} at {at}: {other}"),
            }
        }
    }
}

/// Checks that the byte is in the reported record and range.
fn assert_located(damage: &Damage, at: usize, ends: &[(u64, usize)]) {
    let at = at as u64;
    let record = ends
        .iter()
        .position(|end| at < end.0)
        .expect("the byte is in the file");
    assert_eq!(damage.record, record as u64, "byte {at}: {damage}");
    let range = damage.offset..damage.offset + damage.len;
    assert!(range.contains(&at), "byte {at}: {damage}");
    assert!(
        matches!(damage.cause, Cause::Length | Cause::Chain),
        "{damage}"
    );
}

#[test]
fn removed_repeated_and_swapped_records_are_detected() {
    let bytes = small();
    let ends = ends(&bytes);
    let record = |n: usize| &bytes[ends[n - 1].0 as usize..ends[n].0 as usize];
    let start = ends[0].0 as usize;
    let rest = &bytes[ends[3].0 as usize..];
    let parts: [&[&[u8]]; 3] = [
        &[record(1), record(3)],
        &[record(1), record(1), record(2), record(3)],
        &[record(2), record(1), record(3)],
    ];
    for (part, good) in parts.into_iter().zip([2, 2, 1]) {
        let forged = [&bytes[..start], &part.concat(), rest].concat();
        let report = replay(&forged[..]).expect("a header");
        assert_eq!(report.records, good);
        assert!(
            matches!(report.tail, Some(Tail::Damaged(Damage { record, .. })) if record == good),
            "{:?}",
            report.tail
        );
    }
}

#[test]
fn bytes_after_the_end_are_damage() {
    let sound = small();
    let last = ends(&sound).len() as u64 - 1;
    for more in [&b"x"[..], &sound] {
        let bytes = [&sound[..], more].concat();
        let report = replay(&bytes[..]).expect("a header");
        let Some(Tail::Damaged(damage)) = report.tail else {
            panic!("{:?}", report.tail);
        };
        assert_eq!((damage.record, damage.cause), (last, Cause::BehindEnd));
    }
}

#[test]
fn a_second_header_and_a_wrong_count_are_reported() {
    let (header, all) = entries(&small());
    let with = |entries: &[Entry]| {
        let mut writer = Writer::create(Vec::new(), &header).expect("memory does not fail");
        for entry in entries {
            writer.entry(entry).expect("memory does not fail");
        }
        writer.finish().expect("memory does not fail")
    };
    let mut doubled = all.clone();
    doubled.insert(1, Entry::Header(header.clone()));
    let mut miscounted = all.clone();
    let Some(Entry::End(end)) = miscounted.last_mut() else {
        panic!("an end is missing");
    };
    end.entries += 1;
    for (bytes, expected) in [
        (
            with(&doubled),
            "entry 2: a header that is not the first entry",
        ),
        (with(&miscounted), "the end entry counts"),
    ] {
        let tail = replay(&bytes[..]).expect("a header").tail;
        let text = tail.as_ref().map(Tail::to_string).unwrap_or_default();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn dropping_a_recorder_writes_its_last_record() {
    let mut kept = Vec::new();
    {
        let mut recorder =
            Recorder::create(&mut kept, &full(), Flush::default()).expect("memory does not fail");
        let input = antiphon_machine::Ingress::AdvanceClock { ticks: 5 };
        recorder.observe(Observation::Input {
            step: 0,
            input: &input,
        });
    }
    let report = replay(&kept[..]).expect("a header");
    assert_eq!((report.inputs, report.last.clock), (1, 5));
    assert_eq!(report.tail, Some(Tail::Open));
}

/// A medium with room for a number of bytes.
struct Full(Vec<u8>, usize);

impl std::io::Write for &mut Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let len = bytes.len().min(self.1 - self.0.len());
        if len == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(&bytes[..len]);
        Ok(len)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl antiphon_record::Store for &mut Full {
    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_stops_the_recording_and_not_the_run() {
    use antiphon_machine::{Ingress, Sink};
    let mut disk = Full(Vec::new(), 611);
    let mut recorder = Recorder::create(&mut disk, &full(), Flush::default()).expect("room");
    for ticks in 0..200 {
        let input = &Ingress::AdvanceClock { ticks };
        recorder.observe(Observation::Input { step: 0, input });
        if ticks % 10 == 9 {
            recorder.flush();
        }
    }
    assert!(recorder.error().is_some());
    assert!(recorder.abandon().is_err());
    let report = replay(&disk.0[..]).expect("a header");
    assert_eq!(report.verdict, Verdict::EqualUpTo { step: 0 });
    assert!(
        matches!(report.tail, Some(Tail::Torn { .. })),
        "{:?}",
        report.tail
    );
    assert!(report.inputs >= 10, "{} inputs", report.inputs);
}

#[test]
fn an_entry_over_the_limit_stops_the_writer_and_keeps_earlier_entries() {
    let mut kept = Vec::new();
    let mut writer = Writer::create(&mut kept, &full()).expect("memory does not fail");
    let input = antiphon_machine::Ingress::AdvanceClock { ticks: 5 };
    let entry = Entry::Input { step: 0, input };
    writer.entry(&entry).expect("memory does not fail");
    let long = Entry::Image(vec![0; 17 << 20]);
    assert!(matches!(
        writer.entry(&long),
        Err(RecordError::EntryTooLong { .. })
    ));
    assert!(matches!(writer.entry(&entry), Err(RecordError::Stopped)));
    drop(writer);
    assert_eq!(entries(&kept).1, slice::from_ref(&entry));

    let mut kept = Vec::new();
    let mut writer = Writer::create(&mut kept, &full()).expect("memory does not fail");
    writer.entry(&entry).expect("memory does not fail");
    let many = Value::list(vec![Value::Unit; 3 << 20]);
    let rich = Entry::Answer(antiphon_machine::Outcome::Success(many));
    assert!(matches!(
        writer.entry(&rich),
        Err(RecordError::EntryTooRich { .. })
    ));
    drop(writer);
    assert_eq!(entries(&kept).1, [entry]);
}

/// A medium that fails once, after half a write, and then works again.
struct Hiccup(Vec<u8>, usize);

impl std::io::Write for &mut Hiccup {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1 += 1;
        match self.1 {
            3 => {
                self.0.extend_from_slice(&bytes[..bytes.len() / 2]);
                Ok(bytes.len() / 2)
            }
            4 => Err(std::io::ErrorKind::TimedOut.into()),
            _ => {
                self.0.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl antiphon_record::Store for &mut Hiccup {
    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_is_written_after_a_failed_write() {
    let mut medium = Hiccup(Vec::new(), 0);
    let mut writer = Writer::create(&mut medium, &full()).expect("the first write succeeds");
    writer.flush().expect("the second write succeeds");
    let input = antiphon_machine::Ingress::AdvanceClock { ticks: 5 };
    writer
        .entry(&Entry::Input { step: 0, input })
        .expect("memory does not fail");
    assert!(matches!(writer.flush(), Err(RecordError::Io(_))));
    drop(writer);
    let mut reader = Reader::open(&medium.0[..]).expect("a header");
    assert_eq!(reader.entry().expect("memory does not fail"), None);
    assert!(
        matches!(reader.tail(), Some(Tail::Torn { record: 1, .. })),
        "{:?}",
        reader.tail()
    );
}

/// Counts the writes and syncs of a recorder.
#[derive(Default)]
struct Watched {
    writes: usize,
    syncs: usize,
}

impl std::io::Write for &mut Watched {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.writes += 1;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl antiphon_record::Store for &mut Watched {
    fn sync(&mut self) -> std::io::Result<()> {
        self.syncs += 1;
        Ok(())
    }
}

#[test]
fn the_flush_policy_decides_when_the_medium_is_written_and_synced() {
    let watched = |at_rest, sync| {
        let mut medium = Watched::default();
        let flush = Flush { at_rest, sync };
        let mut recorder =
            Recorder::create(&mut medium, &full(), flush).expect("the sink does not fail");
        let kernel = antiphon_machine::ProtocolMachineKernel::new(full().config);
        for _ in 0..5 {
            let input = antiphon_machine::Ingress::AdvanceClock { ticks: 1 };
            recorder.observe(Observation::Input {
                step: 0,
                input: &input,
            });
            let rest = antiphon_machine::Rest::Done;
            recorder.observe(Observation::Rested(&kernel, &rest));
        }
        recorder.finish(&kernel).expect("the sink does not fail");
        (medium.writes, medium.syncs)
    };
    // The magic bytes, a record at each rest, a record for the end; a sync at the end.
    assert_eq!(watched(true, false), (1 + 5 + 1, 1));
    assert_eq!(watched(true, true), (1 + 5 + 1, 5 + 1 + 1));
    assert_eq!(watched(false, false), (1 + 1, 1));
    assert_eq!(watched(false, true), (1 + 1, 1 + 1));
}

/// Returns the bytes in pieces of one to seven bytes.
struct Dribble<'b>(&'b [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 % 7 + 1;
        let len = self.1.min(buffer.len()).min(self.0.len());
        buffer[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

#[test]
fn the_sizes_of_reads_do_not_change_the_result() {
    let bytes = small();
    let whole = replay(&bytes[..]).expect("a valid recording");
    assert_eq!(
        replay(Dribble(&bytes, 0)).expect("a valid recording"),
        whole
    );
}

#[test]
fn a_request_with_extreme_numbers_is_a_divergence() {
    use antiphon_record::Request;
    let (header, mut all) = entries(&small_of(1).0);
    all.insert(
        2,
        Entry::Request(Request {
            step: u64::MAX,
            effect: EffectId {
                session: SessionId(u32::MAX),
                number: u64::MAX,
            },
            role: None,
            operation: antiphon_machine::OperationId(u16::MAX),
            attempt: u8::MAX,
            deadline: Some(u64::MAX),
            args: Vec::new(),
        }),
    );
    let report = replay(&written(&header, &all)[..]).expect("a header");
    assert!(matches!(report.verdict, Verdict::Diverged(_)), "{report:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn reading_any_bytes_after_the_magic_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [&MAGIC[..], &bytes].concat();
        prop_assert!(Reader::open(&bytes[..]).is_err());
    }

    /// The chain of the records is valid.
    #[test]
    fn replaying_entries_in_any_order_never_panics(
        picks in prop::collection::vec(0usize..40, 0..60),
    ) {
        let bytes = small();
        let mixed = edited(&bytes, |entries| {
            let all = std::mem::take(entries);
            entries.extend(picks.iter().map(|n| all[n % all.len()].clone()));
        });
        let report = replay(&mixed[..]).expect("a header");
        let is_sealed = report.tail == Some(Tail::Sealed);
        prop_assert!(is_sealed || report.verdict != Verdict::Equal);
        let is_partial = matches!(report.verdict, Verdict::EqualUpTo { .. });
        prop_assert!(!(is_sealed && is_partial));
    }

    /// Changes bytes of entries at random; the chain of the records is valid.
    #[test]
    fn replaying_changed_content_never_panics(
        flips in prop::collection::vec((0usize..4096, any::<u8>()), 1..8),
    ) {
        let bytes = small_of(1).0;
        let forged = reforged(&bytes, &flips);
        if let Ok(mut reader) = Reader::open(&forged[..]) {
            while reader.entry().expect("memory does not fail").is_some() {}
            prop_assert!(reader.tail().is_some());
        }
        let _ = antiphon_record::Replay::open(&forged[..]).map(|mut r| r.run_to(10_000));
    }
}

/// Changes the content of records and computes their chain again, as an attacker who knows the
/// format can.
fn reforged(bytes: &[u8], flips: &[(usize, u8)]) -> Vec<u8> {
    let ends = ends(bytes);
    let mut contents = Vec::new();
    let mut start = MAGIC.len();
    for (end, _) in ends {
        let end = end as usize;
        contents.push(bytes[start + 8..end - 32].to_vec());
        start = end;
    }
    for (n, (at, byte)) in flips.iter().enumerate() {
        let row = (at + n) % contents.len();
        let content = &mut contents[row];
        let at = at % content.len();
        content[at] = *byte;
    }
    sealed(&contents)
}

/// A second implementation of the format of records, written from its description.
fn sealed(contents: &[Vec<u8>]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let mut chain =
        *blake3::hash(&[&b"antiphon.recording.v1\0\0\0"[..], &MAGIC].concat()).as_bytes();
    for content in contents {
        let (record, next) = sealed_record(&chain, content);
        out.extend_from_slice(&record);
        chain = next;
    }
    out
}

/// A record after one with this chain value, and its own chain value.
pub(crate) fn sealed_record(chain: &[u8; 32], content: &[u8]) -> (Vec<u8>, [u8; 32]) {
    let len = (content.len() as u32).to_be_bytes();
    let check = blake3::hash(&[&b"antiphon.rec-length.v1\0\0"[..], chain, &len].concat());
    let check = &check.as_bytes()[..4];
    let hashed = [
        &b"antiphon.recording.v1\0\0\0"[..],
        chain,
        &len,
        check,
        content,
    ]
    .concat();
    let chain = *blake3::hash(&hashed).as_bytes();
    ([&len[..], check, content, &chain].concat(), chain)
}

#[test]
fn the_second_implementation_of_the_format_agrees() {
    let bytes = small();
    assert_eq!(reforged(&bytes, &[]), bytes);
}
