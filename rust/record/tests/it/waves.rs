//! Recordings of the threaded machine replayed on one thread, and recordings of the cooperative
//! machine replayed on many.

use std::sync::Arc;

use antiphon_machine::threaded::{NativeThreadedDriver, Shared, ThreadedProtocolMachine};
use antiphon_machine::{
    Class, EffectRequest, FailureKind, FromFn, Job, Outcome, Pick, ProtocolMachineKernel, Reply,
    Rest, SessionId, VerifiedImage, WaveRefusal, sample,
};
use antiphon_record::{
    Difference, Entry, Flush, Moment, Recorder, Replay, Tail, Timeline, Verdict, replay,
};

use crate::runs::{Host, edited, entries, full, recorded};

/// Answers depend only on the request; some come late.
fn host(request: &EffectRequest<'_>) -> Reply {
    let (session, number) = (request.effect().session.0, request.effect().number);
    Reply::Now(match request.class() {
        Class::Decide { labels, .. } => {
            Outcome::chosen(labels[usize::from(number > 6 + u64::from(session))])
        }
        Class::Produce { .. } if session % 3 == 2 => Outcome::failure(FailureKind::Busy, "not now"),
        Class::Produce { .. } => Outcome::success(number),
        _ => Outcome::done(),
    })
}

fn threaded(workers: usize, image: &Arc<VerifiedImage>) -> (Vec<u8>, ProtocolMachineKernel) {
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let recorder = recorder.checkpoint_every(8);
    let driver = NativeThreadedDriver::try_with_workers(workers).expect("threads");
    let handlers = Shared(FromFn(host));
    let config = header.config.clone();
    let machine = ThreadedProtocolMachine::with_driver(config, handlers, recorder, driver);
    let mut machine = machine.with_wave(4, 3);
    for _ in 0..6 {
        machine.load_choreography(image, "me").expect("room");
    }
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
    let (kernel, _, recorder) = machine.into_parts();
    (
        recorder.finish(&kernel).expect("memory does not fail"),
        kernel,
    )
}

/// Runs the jobs of a replay on threads.
fn on_threads(workers: usize) -> impl Fn(&mut [Job<'_>]) + Send + Sync {
    let driver = NativeThreadedDriver::try_with_workers(workers).expect("threads");
    move |jobs| {
        driver.run_jobs(
            jobs,
            &mut Shared(FromFn(|_: &EffectRequest<'_>| Reply::Later)),
        )
    }
}

#[test]
fn a_threaded_recording_replays_on_one_thread_to_the_same_digests() {
    let (bytes, kernel) = threaded(3, &sample::ping_pong(1));
    let report = replay(&bytes[..]).expect("a readable recording");
    assert_eq!(report.verdict, Verdict::Equal);
    assert_eq!(report.tail, Some(Tail::Sealed));
    assert_eq!(report.last.state, Some(kernel.state_digest()));
    assert!(report.checkpoints > 1, "{}", report.checkpoints);
    let waves = entries(&bytes).1;
    let waves = waves
        .iter()
        .filter(|entry| matches!(entry, Entry::Wave { .. }));
    assert!(waves.count() > 10);
}

#[test]
fn a_recording_does_not_depend_on_the_number_of_threads() {
    let (once, _) = threaded(1, &sample::ping_pong(1));
    for workers in [2, 4] {
        assert!(
            threaded(workers, &sample::ping_pong(1)).0 == once,
            "{workers}"
        );
    }
}

#[test]
fn a_cooperative_recording_replays_on_many_threads_to_the_same_digests() {
    let (bytes, kernel) = recorded(&full(), &sample::ping_pong(1), 5, Host::new(4));
    let replayed = Replay::open(&bytes[..]).expect("a recording");
    let report = replayed
        .in_waves(on_threads(3))
        .finish()
        .expect("a readable recording");
    assert_eq!(report, replay(&bytes[..]).expect("a readable recording"));
    assert_eq!(report.last.state, Some(kernel.state_digest()));
    let (bytes, _) = threaded(2, &sample::ping_pong(1));
    let replayed = Replay::open(&bytes[..]).expect("a recording");
    let report = replayed
        .in_waves(on_threads(3))
        .finish()
        .expect("a readable recording");
    assert_eq!(report, replay(&bytes[..]).expect("a readable recording"));
}

/// A request is repeated at once, before the other requests of its wave.
#[test]
fn repeated_requests_within_a_wave_replay_in_order() {
    let mut image = sample::ping_pong(1).image().clone();
    image.operations.iter_mut().for_each(|o| o.retries = 1);
    let image = Arc::new(image.verify().expect("a valid image"));
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let again = |request: &EffectRequest<'_>| match request.attempt() {
        0 => Reply::Now(Outcome::failure(FailureKind::Unavailable, "not yet")),
        _ => host(request),
    };
    let driver = NativeThreadedDriver::try_with_workers(2).expect("threads");
    let config = header.config.clone();
    let handlers = Shared(FromFn(again));
    let mut machine = ThreadedProtocolMachine::with_driver(config, handlers, recorder, driver);
    for _ in 0..3 {
        machine.load_choreography(&image, "me").expect("room");
    }
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
    let (kernel, _, recorder) = machine.into_parts();
    let bytes = recorder.finish(&kernel).expect("memory does not fail");
    let report = replay(&bytes[..]).expect("a readable recording");
    assert_eq!(report.verdict, Verdict::Equal);
    assert_eq!(report.last.state, Some(kernel.state_digest()));
}

/// A replay stops before a wave or after it, never within.
#[test]
fn a_wave_is_replayed_as_a_whole() {
    let (bytes, _) = threaded(2, &sample::ping_pong(1));
    let of_wave = |entry: &Entry| match entry {
        Entry::Wave { step, .. } => Some(*step),
        _ => None,
    };
    let starts: Vec<u64> = entries(&bytes).1.iter().filter_map(of_wave).collect();
    for pair in starts.windows(2) {
        let mut replayed = Replay::open(&bytes[..]).expect("a recording");
        let _ = replayed.run_to(pair[0]).expect("a readable recording");
        assert_eq!(replayed.kernel().step_index(), pair[0]);
        let _ = replayed.run_to(pair[0] + 1).expect("a readable recording");
        assert_eq!(replayed.kernel().step_index(), pair[1]);
    }
    let moments = Timeline::open(&bytes[..]).expect("a recording");
    let moments: Vec<Moment> = moments
        .map(|moment| moment.expect("a readable recording"))
        .collect();
    let is_event = |moment: &&Moment| matches!(moment, Moment::Event(_));
    assert!(moments.iter().filter(is_event).count() > 50);
    assert!(
        !moments
            .iter()
            .any(|moment| matches!(moment, Moment::Diverged(_)))
    );
}

fn first_wave(entries: &mut [Entry]) -> &mut Vec<(Pick, u32)> {
    let picks = entries.iter_mut().find_map(|entry| match entry {
        Entry::Wave { picks, .. } => Some(picks),
        _ => None,
    });
    picks.expect("there are waves")
}

/// Changes the picks of a wave in several ways: the replay reports the refusal of the machine.
#[test]
fn an_invalid_wave_is_reported() {
    let (bytes, _) = threaded(2, &sample::ping_pong(1));
    type Bend<'a> = &'a dyn Fn(&mut Vec<(Pick, u32)>);
    let refusal = |bend: Bend<'_>| {
        let bent = edited(&bytes, |entries| bend(first_wave(entries)));
        let report = replay(&bent[..]).expect("a readable recording");
        match report.verdict {
            Verdict::Diverged(divergence) => divergence.difference,
            Verdict::Equal | Verdict::EqualUpTo { .. } => panic!("it was bent"),
        }
    };
    let is = |difference: Difference, expected: fn(&WaveRefusal) -> bool| {
        let Difference::Wave(refusal) = difference else {
            panic!("{difference:?}");
        };
        assert!(expected(&refusal), "{refusal}");
    };
    is(refusal(&|picks| picks.clear()), |refusal| {
        matches!(refusal, WaveRefusal::NoPicks)
    });
    is(refusal(&|picks| picks.swap(0, 1)), |refusal| {
        matches!(refusal, WaveRefusal::FirstPick { .. })
    });
    is(refusal(&|picks| picks[1].1 = 0), |refusal| {
        matches!(refusal, WaveRefusal::NoQuantum { .. })
    });
    let other_session = refusal(&|picks| picks[1].0.session = SessionId(77));
    is(other_session, |refusal| {
        matches!(refusal, WaveRefusal::NotNext { .. })
    });
    is(refusal(&|picks| picks.push(picks[0])), |refusal| {
        matches!(refusal, WaveRefusal::SessionTwice { .. })
    });
    // A valid wave with fewer steps: a later entry differs.
    let fewer = refusal(&|picks| picks.truncate(1));
    assert!(!matches!(fewer, Difference::Wave(_)), "{fewer:?}");
    let shorter = edited(&bytes, |entries| {
        for entry in entries {
            if let Entry::Wave { picks, .. } = entry {
                picks.iter_mut().for_each(|(_, quantum)| *quantum = 1);
            }
        }
    });
    let report = replay(&shorter[..]).expect("a readable recording");
    assert!(report.verdict != Verdict::Equal);
}

/// A wave in a recording has no more steps than a machine takes in one.
#[test]
fn a_wave_of_too_many_steps_is_damage() {
    let (bytes, _) = threaded(2, &sample::ping_pong(1));
    let endless = edited(&bytes, |entries| first_wave(entries)[0].1 = u32::MAX);
    let report = replay(&endless[..]).expect("a readable recording");
    let Some(Tail::Damaged(damage)) = report.tail else {
        panic!("{:?}", report.tail);
    };
    let text = damage.to_string();
    assert!(
        text.contains("the steps of a wave is at most 1048576"),
        "{text}"
    );
}
