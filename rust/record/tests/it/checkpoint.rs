//! Checkpoint files: replays continue from them, and hostile ones are refused.

use std::fmt::Write;

use allocation_counter::measure;
use antiphon_machine::{DeterminismMode, ProtocolMachine, Rest, SchedulingPolicy, sample};
use antiphon_record::{
    CHECKPOINT_MAGIC, Checkpoint, CheckpointError, Comparison, Entry, Flush, Progress, Reader,
    Recorder, Replay, Report, Verdict, diff, replay,
};
use proptest::prelude::*;

use crate::replay::eventful;
use crate::runs::{Host, Later, edited, entries, header, recorded, small, small_of, written};

/// The recording with a checkpoint at every step.
fn with_checkpoints(bytes: &[u8]) -> Vec<u8> {
    let last = replay(bytes).expect("a valid recording").last.step;
    let mut replay = Replay::open(bytes).expect("a valid recording");
    let mut points = Vec::new();
    for step in 0..last {
        let _ = replay.run_to(step).expect("a valid recording");
        points.push(replay.report().last);
    }
    let mut points = points.into_iter().peekable();
    edited(bytes, |entries| {
        let mut denser = Vec::new();
        for entry in entries.drain(..) {
            let is_checkpoint = matches!(entry, Entry::Checkpoint(_));
            while let Some(point) = points.next_if(|point| precedes(point, &entry)) {
                denser.push(Entry::Checkpoint(point));
            }
            if !is_checkpoint {
                denser.push(entry);
            }
        }
        *entries = denser;
    })
}

/// Whether a checkpoint after all inputs at its step comes before the entry.
fn precedes(point: &Checkpoint, entry: &Entry) -> bool {
    match entry {
        Entry::Request(request) => point.step < request.step,
        Entry::Input { step, .. } => point.step < *step,
        Entry::Wave { step, .. } => point.step <= *step,
        Entry::End(_) => true,
        Entry::Header(_)
        | Entry::Image(_)
        | Entry::Answer(_)
        | Entry::Refused(_)
        | Entry::Checkpoint(_) => false,
    }
}

/// The checkpoint file at a step.
fn file(recording: &[u8], step: u64) -> Vec<u8> {
    let mut replay = Replay::open(recording).expect("a valid recording");
    replay
        .to_checkpoint(step)
        .expect("a checkpoint at the step")
}

fn continued(recording: &[u8], file: &[u8]) -> Result<Report, CheckpointError> {
    let replay = Replay::from_checkpoint(recording, file)?;
    Ok(replay.finish()?)
}

fn refusal(recording: &[u8], file: &[u8]) -> CheckpointError {
    match Replay::from_checkpoint(recording, file) {
        Err(error) => error,
        Ok(_) => panic!("the file was accepted"),
    }
}

#[test]
fn a_replay_continues_from_a_checkpoint_at_any_step() {
    for policy in SchedulingPolicy::ALL {
        let bytes = with_checkpoints(&eventful(policy).0);
        let whole = replay(&bytes[..]).expect("a valid recording");
        assert_eq!(whole.verdict, Verdict::Equal, "{policy:?}");
        for step in (0..whole.last.step).step_by(7) {
            let file = file(&bytes, step);
            let report = continued(&bytes, &file).expect("a valid checkpoint");
            assert_eq!(report.verdict, Verdict::Equal, "{policy:?}, step {step}");
            assert_eq!(report.from_step, Some(step));
            assert_eq!(report.last.state, whole.last.state);
            // A trace digest covers all events from the first one.
            assert_eq!(report.last.trace, None);
            assert_eq!(report.checkpoints, whole.checkpoints - step);
            assert!(report.entries < whole.entries && report.inputs <= whole.inputs);
            let line = format!("equal from step {step}; not checked before\n");
            assert!(report.to_string().starts_with(&line), "{report}");
        }
    }
}

#[test]
fn a_checkpoint_can_be_written_by_a_replay_that_continued_from_one() {
    let bytes = with_checkpoints(&small_of(3).0);
    let early = file(&bytes, 5);
    let mut replay = Replay::from_checkpoint(&bytes[..], &early).expect("a valid checkpoint");
    let late = replay.to_checkpoint(20).expect("a checkpoint at the step");
    assert_eq!(late, file(&bytes, 20));
    let mut replay = Replay::from_checkpoint(&bytes[..], &late).expect("a valid checkpoint");
    let error = replay.to_checkpoint(5).expect_err("it is in the past");
    let CheckpointError::Passed { step, now } = error else {
        panic!("{error}");
    };
    assert_eq!((step, now), (5, 20));
}

/// The recording has a checkpoint at the step, but the replay cannot go back to it.
#[test]
fn a_step_that_the_replay_has_reached_is_not_reported_as_missing() {
    let bytes = with_checkpoints(&small_of(3).0);
    let late = file(&bytes, 20);
    let mut continued = Replay::from_checkpoint(&bytes[..], &late).expect("a valid checkpoint");
    let mut run = Replay::open(&bytes[..]).expect("a valid recording");
    assert!(matches!(run.run_to(20), Ok(Progress::AtStep)));
    for replay in [&mut continued, &mut run] {
        let error = replay.to_checkpoint(20).expect_err("it is in the past");
        assert!(
            matches!(error, CheckpointError::Passed { step: 20, now: 20 }),
            "{error}"
        );
        let next = replay.to_checkpoint(21).expect("a later checkpoint");
        assert_eq!(next, file(&bytes, 21));
    }
}

#[test]
fn the_end_of_a_recording_is_not_a_checkpoint() {
    let bytes = edited(&with_checkpoints(&small()), |entries| {
        entries.retain(|entry| !matches!(entry, Entry::Checkpoint(point) if point.step > 20));
    });
    let last = replay(&bytes[..]).expect("a valid recording").last.step;
    let mut replay = Replay::open(&bytes[..]).expect("a valid recording");
    let error = replay.to_checkpoint(last).expect_err("no checkpoint");
    assert_eq!(
        error.to_string(),
        format!(
            "the recording has no checkpoint at step {last}, where it ends; the last one is at \
             step 20"
        )
    );
}

/// A recording that ends where the replay begins was compared in one state only.
#[test]
fn the_headline_says_from_where_to_where_a_cut_recording_was_compared() {
    let (header, all) = entries(&with_checkpoints(&small()));
    let at = |wanted: u64| {
        let is_it = |e: &Entry| matches!(e, Entry::Checkpoint(point) if point.step == wanted);
        all.iter().position(is_it).expect("a checkpoint") + 1
    };
    let mut headlines = Vec::new();
    for len in [at(12), at(13)] {
        // One byte of the next record.
        let mut cut = written(&header, &all[..len]);
        cut.push(0);
        let report = continued(&cut, &file(&cut, 12)).expect("a valid checkpoint");
        headlines.push(report.headline());
    }
    let empty = written(&header, &[]);
    headlines.push(replay(&empty[..]).expect("a header").headline());
    assert_eq!(
        headlines,
        [
            "equal at step 12, then the recording ends within a record; not checked before",
            "equal from step 12 up to step 13, then the recording ends within a record; not \
             checked before",
            "no step was compared, then the recording ends",
        ]
    );
}

#[test]
fn digests_with_the_same_beginning_are_shown_in_full() {
    let bytes = with_checkpoints(&small());
    let changed = edited(&bytes, |entries| {
        let point = |entry: &mut Entry| match entry {
            Entry::Checkpoint(point) if point.step == 12 => {
                point.state.as_mut().map(|d| d[31] ^= 1)
            }
            _ => None,
        };
        assert!(entries.iter_mut().find_map(point).is_some());
    });
    let report = replay(&changed[..]).expect("a valid recording");
    let Verdict::Diverged(found) = report.verdict else {
        panic!("{report}");
    };
    assert_ne!(found.expected, found.got);
    // Checkpoints are not compared entry by entry, but the digests of the end are.
    let changed = edited(&bytes, |entries| {
        if let Some(Entry::End(end)) = entries.last_mut() {
            end.last.state.as_mut().expect("it has digests")[31] ^= 1;
        }
    });
    let (mut left, mut right) = (reader(&bytes), reader(&changed));
    let Comparison::Parted { left, right, .. } =
        diff(&mut left, &mut right).expect("memory does not fail")
    else {
        panic!("they differ");
    };
    assert_ne!(left.to_string(), right.to_string());
}

fn reader(bytes: &[u8]) -> Reader<&[u8]> {
    Reader::open(bytes).expect("a valid recording")
}

#[test]
fn a_changed_recording_diverges_after_the_checkpoint() {
    let bytes = with_checkpoints(&small());
    // The chain covers everything before the checkpoint, so only what follows can be changed.
    let at = 12;
    let changed = edited(&bytes, |entries| {
        let later = |e: &Entry| matches!(e, Entry::Request(request) if request.step > at);
        let n = entries.iter().position(later).expect("a request");
        if let Entry::Request(request) = &mut entries[n] {
            request.attempt += 1;
        }
    });
    let report = continued(&changed, &file(&changed, at)).expect("a valid checkpoint");
    let Verdict::Diverged(divergence) = report.verdict else {
        panic!("{report}");
    };
    assert!(divergence.step > at);
}

#[test]
fn a_recording_that_is_cut_is_equal_between_two_steps() {
    let (header, mut all) = entries(&with_checkpoints(&small()));
    all.pop();
    let bytes = written(&header, &all);
    let report = continued(&bytes, &file(&bytes, 9)).expect("a valid checkpoint");
    let step = report.last.step;
    assert_eq!(report.verdict, Verdict::EqualUpTo { step });
    assert_eq!(
        report.headline(),
        format!("equal from step 9 up to step {step}, then the recording ends; not checked before")
    );
}

#[test]
fn traces_by_session_are_continued() {
    let header = header(DeterminismMode::ModuloCommutativity);
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let host = Later(Host::new(40), Vec::new());
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
    for _ in 0..3 {
        let opened = machine.load_choreography(&sample::ping_pong(1), "me");
        opened.expect("there is room");
    }
    while machine.run(u64::MAX) == Some(Rest::Idle) {
        for (effect, outcome) in std::mem::take(&mut machine.handler().1) {
            let input = antiphon_machine::Ingress::Outcome { effect, outcome };
            let _ = machine.ingress(input).expect("the effect is outstanding");
        }
    }
    let (kernel, _, recorder) = machine.into_parts();
    let bytes = recorder.finish(&kernel).expect("memory does not fail");
    let whole = replay(&bytes[..]).expect("a valid recording");
    let steps = entries(&bytes)
        .1
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Checkpoint(point) => Some(point.step),
            _ => None,
        });
    let steps: Vec<u64> = steps.collect();
    assert!(steps.len() > 5, "{steps:?}");
    for step in steps {
        let file = file(&bytes, step);
        let report = continued(&bytes, &file).expect("a valid checkpoint");
        assert_eq!(report.verdict, Verdict::Equal);
        assert_eq!(report.last, whole.last, "the traces, too");
        // The last 96 bytes are the traces of the three sessions.
        for at in file.len() - 97..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            refusal(&bytes, &changed);
        }
    }
}

#[test]
fn a_recording_without_digests_has_no_checkpoints() {
    let header = header(DeterminismMode::ModuloEffects);
    let (bytes, _) = recorded(&header, &sample::ping_pong(1), 1, Host::new(2));
    let mut replay = Replay::open(&bytes[..]).expect("a valid recording");
    let error = replay.to_checkpoint(0).expect_err("no digests");
    assert!(matches!(error, CheckpointError::NoDigests), "{error}");

    // A file for another recording with this header cannot help.
    let other = with_checkpoints(&small());
    let error = refusal(&bytes, &file(&other, 3));
    assert!(
        matches!(error, CheckpointError::OtherRecording { .. }),
        "{error}"
    );
}

/// A recording with checkpoints, and the file at a step with outstanding effects, ready coroutines
/// and messages on their way.
fn example() -> (Vec<u8>, Vec<u8>) {
    let bytes = with_checkpoints(&small());
    let file = file(&bytes, 12);
    (bytes, file)
}

#[test]
fn a_checkpoint_file_has_these_bytes() {
    let (_, file) = example();
    let mut text = String::new();
    for (n, row) in file.chunks(32).enumerate() {
        let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{:5}  {hex}", n * 32).expect("text does not fail");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_file_that_is_cut_or_extended_is_refused() {
    let (bytes, mut file) = example();
    for len in 0..file.len() {
        let error = refusal(&bytes, &file[..len]);
        let is_told = matches!(
            error,
            CheckpointError::NotACheckpoint { .. } | CheckpointError::Unreadable { .. }
        );
        assert!(is_told, "cut at {len}: {error}");
    }
    file.push(0);
    let error = refusal(&bytes, &file);
    assert!(
        matches!(error, CheckpointError::Unreadable { .. }),
        "{error}"
    );
}

#[test]
fn a_file_with_any_bit_changed_is_refused() {
    let (bytes, file) = example();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            refusal(&bytes, &changed);
        }
    }
}

#[test]
fn a_claimed_length_needs_no_memory() {
    let (bytes, file) = example();
    let whole = measure(|| drop(Replay::from_checkpoint(&bytes[..], &file))).bytes_max;
    for at in CHECKPOINT_MAGIC.len()..file.len() - 8 {
        let mut changed = file.clone();
        changed[at..at + 8].copy_from_slice(&[0xff; 8]);
        let used = measure(|| {
            refusal(&bytes, &changed);
        });
        // Sessions have coroutines, which have registers, which have bytes: at each of these four
        // levels the decoder reserves at most 1 MiB for a claimed length.
        let max = whole + (4 << 20);
        assert!(used.bytes_max <= max, "byte {at}: {}", used.bytes_max);
    }
}

#[test]
fn errors_name_the_place_the_expected_and_the_actual_value() {
    let (bytes, file) = example();
    let mut told = String::new();
    let mut tell = |what: &str, error: CheckpointError| {
        writeln!(told, "{what}:\n  {error}").expect("text does not fail");
    };
    tell("empty", refusal(&bytes, b""));
    tell("a recording", refusal(&bytes, &bytes));
    let mut other = file.clone();
    other[7] = 2;
    tell("another version", refusal(&bytes, &other));
    tell("cut", refusal(&bytes, &file[..200]));
    tell("extended", refusal(&bytes, &[&file[..], b"x"].concat()));

    let step = CHECKPOINT_MAGIC.len();
    let mut other = file.clone();
    other[step] += 1;
    tell("another step", refusal(&bytes, &other));
    let mut other = file.clone();
    other[step + 8] += 1;
    tell("another clock", refusal(&bytes, &other));
    let mut other = file.clone();
    other[step + 24] ^= 1;
    tell("another state digest", refusal(&bytes, &other));
    let mut other = file.clone();
    let len = other.len();
    // The last bytes are the last ready coroutine and the number of traces.
    other[len - 10] ^= 1;
    tell("another ready coroutine", refusal(&bytes, &other));
    let mut other = file.clone();
    other[len - 8] = 1;
    other.extend([0; 32]);
    tell("a trace", refusal(&bytes, &other));

    let tool = |entries: &mut Vec<Entry>| {
        entries.retain(|entry| !matches!(entry, Entry::Checkpoint(point) if point.step == 3));
    };
    tell("changed before", refusal(&edited(&bytes, tool), &file));
    let (header, all) = entries(&bytes);
    tell("ends before", refusal(&written(&header, &all[..4]), &file));
    let header = antiphon_record::Header {
        tool: "test 2".to_owned(),
        ..header
    };
    tell("another header", refusal(&written(&header, &all), &file));

    let missing = |step: u64, at: &[u64]| {
        let sparse = edited(&bytes, |entries| {
            entries.retain(|entry| match entry {
                Entry::Checkpoint(point) => at.contains(&point.step),
                _ => true,
            });
        });
        let mut replay = Replay::open(&sparse[..]).expect("a valid recording");
        replay.to_checkpoint(step).expect_err("no checkpoint")
    };
    tell("between two", missing(10, &[4, 20]));
    tell("before the first", missing(2, &[4, 20]));
    tell("after the last", missing(21, &[4, 20]));
    tell("of none", missing(21, &[]));
    insta::assert_snapshot!(told);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever follows an intact beginning, reading ends with an error and not with a panic.
    #[test]
    fn any_bytes_after_a_valid_beginning_are_refused(
        keep in 0usize..2000,
        tail in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (bytes, file) = example();
        let mut changed = file[..keep.min(file.len())].to_vec();
        changed.extend(tail);
        prop_assume!(changed != file);
        refusal(&bytes, &changed);
    }
}
