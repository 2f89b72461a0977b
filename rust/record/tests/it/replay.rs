//! Replaying recordings.

use std::io::Cursor;
use std::sync::Arc;

use antiphon_machine::{
    Class, DeterminismMode, EffectRequest, Event, Failure, FailureKind, FromFn, Ingress, ObsEvent,
    Outcome, ProtocolMachine, ProtocolMachineConfig, Reply, Rest, SchedulingPolicy, SessionId,
    SortId, Turn, Value, sample,
};
use antiphon_record::{
    Entry, Flush, Header, Progress, RecordError, Recorder, Replay, Tail, Verdict, replay,
    replay_twice,
};

use crate::runs::{Host, Later, entries, full, header, recorded, small_of};

#[test]
fn a_recording_replays_to_the_same_state() {
    for sessions in [1, 3] {
        let (bytes, kernel) = recorded(&full(), &sample::ping_pong(1), sessions, Host::new(5));
        let report = replay(&bytes[..]).expect("a valid recording");
        assert_eq!(report.verdict, Verdict::Equal);
        assert_eq!(report.tail, Some(Tail::Sealed));
        assert_eq!(report.last.state, Some(kernel.state_digest()));
        assert_eq!(report.last.step, kernel.step_index());
        assert_eq!(report.sessions, sessions as u64);
    }
}

#[test]
fn asynchronous_answers_replay() {
    let (bytes, kernel) = small_of(7);
    let report = replay(&bytes[..]).expect("a valid recording");
    assert_eq!(report.verdict, Verdict::Equal);
    assert_eq!(report.tail, Some(Tail::Sealed));
    assert_eq!(report.last.state, Some(kernel.state_digest()));
}

/// A run with slow, missing, wrong and late outcomes, and with cancelled sessions.
pub(crate) fn eventful(policy: SchedulingPolicy) -> (Vec<u8>, [u8; 32]) {
    let mut code = sample::ping_pong_image(1, SortId(1));
    for operation in &mut code.operations {
        operation.retries = 2;
    }
    let image = Arc::new(code.verify().expect("a valid image"));
    let header = Header {
        config: ProtocolMachineConfig {
            policy,
            effect_budget: Some(50),
            sessions_max: 4,
            ..Default::default()
        },
        ..full()
    };
    let mut asked = 0u64;
    let host = FromFn(|request: &EffectRequest<'_>| {
        asked += 1;
        match request.class() {
            _ if asked % 10 > 7 => Reply::Now(Outcome::failure(FailureKind::Unavailable, "busy")),
            _ if asked % 17 == 16 => Reply::Later,
            Class::Decide { .. } if asked > 200 => {
                Reply::Now(request.choose("stop").unwrap_or(Outcome::done()))
            }
            Class::Decide { .. } => Reply::Now(request.choose("ping").unwrap_or(Outcome::done())),
            Class::Produce { .. } if asked % 43 == 42 => Reply::Now(Outcome::success("no number")),
            Class::Produce { .. } => Reply::Now(Outcome::success(asked)),
            Class::Deliver { .. } | Class::Command | Class::Observe | Class::Check => {
                Reply::Now(Outcome::done())
            }
        }
    });
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
    for n in 0..5 {
        let opened = machine.load_choreography(&image, &format!("owner {n}"));
        assert_eq!(opened.is_ok(), n < 4, "there is room for four");
    }
    let cancel = |owner: &str| Ingress::Cancel {
        session: SessionId(2),
        owner: Arc::from(owner),
    };
    let _ = machine.run(200);
    assert!(machine.ingress(cancel("somebody else")).is_err());
    assert!(machine.ingress(cancel("owner 2")).is_ok());
    for _ in 0..20 {
        let _ = machine.run(1000);
        let _ = machine
            .ingress(Ingress::AdvanceClock { ticks: 30 })
            .expect("the clock advances");
        for session in 0..4 {
            let effect = antiphon_machine::EffectId {
                session: SessionId(session),
                number: 3,
            };
            let outcome = Outcome::done();
            let _ = machine.ingress(Ingress::Outcome { effect, outcome });
        }
    }
    let owner = "x".repeat(5000);
    assert!(machine.load_choreography(&image, &owner).is_err());
    let (kernel, _, recorder) = machine.into_parts();
    let state = kernel.state_digest();
    (
        recorder.finish(&kernel).expect("memory does not fail"),
        state,
    )
}

#[test]
fn refusals_retries_timeouts_faults_and_cancellations_replay() {
    for policy in SchedulingPolicy::ALL {
        let (bytes, state) = eventful(policy);
        let has = |what: fn(&Entry) -> bool| entries(&bytes).1.iter().any(what);
        assert!(has(|e| matches!(e, Entry::Refused(_))));
        assert!(has(|e| matches!(e, Entry::Request(r) if r.attempt == 2)));

        let mut watched = Replay::with_sink(&bytes[..], Vec::new()).expect("a valid recording");
        assert_eq!(
            watched.run_to(u64::MAX).expect("memory does not fail"),
            Progress::Over
        );
        let events = std::mem::take(watched.sink());
        let saw = |what: fn(&Event) -> bool| events.iter().any(|e: &ObsEvent| what(&e.event));
        assert!(saw(|e| matches!(e, Event::TimeoutIssued { .. })));
        assert!(saw(|e| matches!(e, Event::Cancelled { .. })));
        assert!(saw(|e| matches!(e, Event::Faulted { .. })));

        let report = replay(&bytes[..]).expect("a valid recording");
        assert_eq!(
            replay_twice(Cursor::new(&bytes)).expect("a valid recording"),
            report
        );
        assert_eq!(report.verdict, Verdict::Equal, "{policy:?}");
        assert_eq!(report.tail, Some(Tail::Sealed), "{policy:?}");
        assert_eq!(report.last.state, Some(state), "{policy:?}");
    }
}

#[test]
fn the_state_at_every_step_is_that_of_the_run() {
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), Host::new(3), recorder);
    for _ in 0..2 {
        let opened = machine.load_choreography(&sample::ping_pong(1), "me");
        opened.expect("there is room");
    }
    let mut states = vec![machine.kernel().state_digest()];
    while let Turn::Stepped { .. } = machine.turn() {
        states.push(machine.kernel().state_digest());
    }
    let (kernel, _, recorder) = machine.into_parts();
    let bytes = recorder.finish(&kernel).expect("memory does not fail");

    let mut walk = Replay::open(&bytes[..]).expect("a valid recording");
    assert_eq!(walk.header().tool, "test 1");
    let last = states.len() as u64 - 1;
    for (step, state) in (0..).zip(&states) {
        let progress = walk.run_to(step).expect("memory does not fail");
        let expected = if step == last {
            Progress::Over
        } else {
            Progress::AtStep
        };
        assert_eq!(progress, expected, "step {step}");
        assert_eq!(walk.kernel().step_index(), step);
        assert_eq!(walk.kernel().state_digest(), *state, "step {step}");
        assert_eq!(
            walk.kernel().config().determinism_mode,
            DeterminismMode::Replay
        );
    }
    assert_eq!(walk.report().tail, Some(Tail::Sealed));
}

#[test]
fn checkpoints_are_written_at_intervals_and_compared() {
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let recorder = recorder.checkpoint_every(2000);
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), Host::new(2000), recorder);
    let opened = machine.load_choreography(&sample::ping_pong(1), "me");
    opened.expect("there is room");
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
    let (kernel, _, recorder) = machine.into_parts();
    let bytes = recorder.finish(&kernel).expect("memory does not fail");

    let points = entries(&bytes)
        .1
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Checkpoint(point) => Some(point.step),
            _ => None,
        });
    let points: Vec<_> = points.collect();
    assert!(
        points.len() as u64 >= kernel.step_index() / 4000,
        "{points:?}"
    );
    assert!(
        points.is_sorted_by(|a, b| b - a >= 2000 || *b == kernel.step_index()),
        "{points:?}"
    );
    let report = replay(&bytes[..]).expect("a valid recording");
    assert_eq!(report.checkpoints, points.len() as u64 + 1);
    assert_eq!(report.verdict, Verdict::Equal);
}

#[test]
fn many_sessions_have_fewer_checkpoints() {
    // 2,000 sessions of a few hundred bytes and about 50 steps each. A digest of the whole state
    // takes as long as tens of thousands of steps, so there is none every 1,000 steps.
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let recorder = recorder.checkpoint_every(1000);
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), Host::new(2), recorder);
    for _ in 0..2000 {
        let opened = machine.load_choreography(&sample::ping_pong(1), "me");
        opened.expect("there is room");
    }
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
    let (kernel, _, recorder) = machine.into_parts();
    assert!(kernel.step_index() > 50_000);
    let bytes = recorder.finish(&kernel).expect("memory does not fail");
    let entries = entries(&bytes).1;
    let points = entries
        .iter()
        .filter(|e| matches!(e, Entry::Checkpoint(_)))
        .count();
    assert!(points <= 2, "{points} checkpoints");
}

#[test]
fn the_determinism_mode_selects_the_digests() {
    let run = |mode| {
        let (bytes, _) = recorded(&header(mode), &sample::ping_pong(1), 3, Host::new(5));
        let report = replay(&bytes[..]).expect("a valid recording");
        assert_eq!(report.verdict, Verdict::Equal, "{mode:?}");
        assert_eq!(report.tail, Some(Tail::Sealed), "{mode:?}");
        match entries(&bytes).1.pop() {
            Some(Entry::End(end)) => (end.last.state.is_some(), end.last.trace.is_some()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(run(DeterminismMode::Full), (true, true));
    assert_eq!(run(DeterminismMode::ModuloEffects), (false, false));
    assert_eq!(run(DeterminismMode::ModuloCommutativity), (true, true));

    let refused = Recorder::create(
        Vec::new(),
        &header(DeterminismMode::Replay),
        Flush::default(),
    );
    assert!(matches!(refused, Err(RecordError::Replaying)));
}

#[test]
fn modulo_commutativity_ignores_the_order_among_sessions() {
    // The same three sessions, interleaved and one after the other.
    let last = |mode, side_by_side: bool| {
        let header = header(mode);
        let recorder =
            Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
        let mut machine = ProtocolMachine::with_sink(header.config.clone(), Host::new(5), recorder);
        for _ in 0..3 {
            let opened = machine.load_choreography(&sample::ping_pong(1), "me");
            opened.expect("there is room");
            if !side_by_side {
                assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
            }
        }
        assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
        let (kernel, _, recorder) = machine.into_parts();
        let bytes = recorder.finish(&kernel).expect("memory does not fail");
        let report = replay(&bytes[..]).expect("a valid recording");
        assert_eq!(report.verdict, Verdict::Equal);
        report.last
    };
    let modulo = DeterminismMode::ModuloCommutativity;
    assert_eq!(last(modulo, true), last(modulo, false));
    let full = DeterminismMode::Full;
    assert_eq!(last(full, true).state, last(full, false).state);
    assert_ne!(last(full, true).trace, last(full, false).trace);
}

#[test]
fn a_large_payload_is_recorded_in_parts() {
    let mut header = full();
    header.config.payload_len_max = 2 << 20;
    let payload = |n: u64| Value::bytes(&vec![n as u8; 700_000 + n as usize]);
    let host = Host::of_bytes(3, payload);
    let (bytes, kernel) = recorded(&header, &sample::ping_pong_bytes(), 1, host);
    let report = replay(&bytes[..]).expect("a valid recording");
    assert_eq!(report.verdict, Verdict::Equal);
    assert_eq!(report.last.state, Some(kernel.state_digest()));
    assert!(
        report.records > 3 * 3 * 700_000 / (128 << 10),
        "{} records",
        report.records
    );
    // Each payload is the outcome of one `produce` and the argument of two `deliver`s.
    let found = entries(&bytes).1.into_iter().filter(|entry| match entry {
        Entry::Answer(outcome) => *outcome == Outcome::Success(payload(2)),
        Entry::Request(request) => request.args == [payload(2)],
        _ => false,
    });
    assert_eq!(found.count(), 3);
}

#[test]
fn an_entry_over_the_limit_stops_the_recording() {
    let mut header = full();
    header.config.payload_len_max = u32::MAX;
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let host = Host::of_bytes(1, |_| Value::bytes(&vec![0; 17 << 20]));
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
    let opened = machine.load_choreography(&sample::ping_pong_bytes(), "me");
    opened.expect("there is room");
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done), "the run goes on");
    let (kernel, _, recorder) = machine.into_parts();
    match recorder.finish(&kernel) {
        Err(RecordError::EntryTooLong { len, max }) => {
            assert_eq!(max, 16 << 20);
            assert!(len > 17 << 20);
        }
        other => panic!("{:?}", other.map(|bytes| bytes.len())),
    }
}

#[test]
fn opening_an_unrecorded_image_stops_the_recording() {
    let image = sample::ping_pong(1);
    let header = full();
    let mut recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let mut kernel = antiphon_machine::ProtocolMachineKernel::new(header.config.clone());
    kernel.load(&image);
    let open = Ingress::Open {
        image: *image.digest(),
        owner: Arc::from("me"),
    };
    let _ = kernel.ingress(open, &mut recorder).expect("there is room");
    let digest = *image.digest();
    match recorder.error() {
        Some(RecordError::ImageMissing { digest: missing }) => assert_eq!(*missing, digest),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_image_is_recorded_once() {
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), Host::new(1), recorder);
    for version in [1, 2, 1] {
        let opened = machine.load_choreography(&sample::ping_pong(version), "me");
        opened.expect("there is room");
    }
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
    let (kernel, _, recorder) = machine.into_parts();
    let bytes = recorder.finish(&kernel).expect("memory does not fail");
    let images = entries(&bytes)
        .1
        .iter()
        .filter(|e| matches!(e, Entry::Image(_)))
        .count();
    assert_eq!(images, 2);
    assert_eq!(
        replay(&bytes[..]).expect("a valid recording").verdict,
        Verdict::Equal
    );
}

#[test]
fn the_recording_of_an_unfinished_run_has_its_state() {
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let host = Later(Host::new(1), Vec::new());
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
    let opened = machine.load_choreography(&sample::ping_pong(1), "me");
    opened.expect("there is room");
    assert_eq!(machine.run(u64::MAX), Some(Rest::Idle));
    let (kernel, _, recorder) = machine.into_parts();
    let bytes = recorder.finish(&kernel).expect("memory does not fail");
    let Some(Entry::End(end)) = entries(&bytes).1.pop() else {
        panic!("an end is missing");
    };
    assert_eq!(end.stop, antiphon_record::Stop::Idle);
    let report = replay(&bytes[..]).expect("a valid recording");
    assert_eq!(
        (report.verdict, report.tail),
        (Verdict::Equal, Some(Tail::Sealed))
    );
}

/// The digests of the state after a run and after its replay, when the host answers the first
/// `produce` with this value, at once or later.
fn answered(value: &Value, at_once: bool) -> [[u8; 32]; 2] {
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let mut later = None;
    let host = FromFn(|request: &EffectRequest<'_>| match request.class() {
        Class::Decide { .. } => Reply::Now(request.choose("ping").unwrap_or(Outcome::done())),
        _ if at_once => Reply::Now(Outcome::Success(value.clone())),
        _ => {
            later = Some(request.effect());
            Reply::Later
        }
    });
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
    let opened = machine.load_choreography(&sample::ping_pong(1), "me");
    opened.expect("there is room");
    let rest = machine.run(u64::MAX);
    let (mut kernel, _, mut recorder) = machine.into_parts();
    if let Some(effect) = later {
        assert_eq!(rest, Some(Rest::Idle));
        let outcome = Outcome::Success(value.clone());
        let input = Ingress::Outcome { effect, outcome };
        let _ = kernel
            .ingress(input, &mut recorder)
            .expect("the effect is outstanding");
    }
    let bytes = recorder.finish(&kernel).expect("memory does not fail");
    let report = replay(&bytes[..]).expect("a valid recording");
    assert_eq!(report.tail, Some(Tail::Sealed));
    assert_eq!(report.verdict, Verdict::Equal);
    [
        kernel.state_digest(),
        report.last.state.expect("the mode is full"),
    ]
}

#[test]
fn any_outcome_of_a_handler_replays() {
    let nested = |depth| (0..depth).fold(Value::Unit, |inner, _| Value::list(vec![inner]));
    let record = (0..300).fold(Value::Nat(1), |inner, _| {
        Value::record(vec![Value::Unit, inner])
    });
    let wide = Value::list(vec![Value::Unit; 1 << 20]);
    let values = [
        nested(16),
        nested(20),
        nested(21),
        nested(64),
        nested(500),
        record,
        wide,
    ];
    for (n, value) in values.iter().enumerate() {
        for at_once in [true, false] {
            let [live, replayed] = answered(value, at_once);
            assert_eq!(live, replayed, "value {n}, at once: {at_once}");
        }
    }
}

#[test]
fn an_outcome_after_another_input_is_recorded_as_an_input() {
    // The outcome has the step of its request, but the clock was advanced in between.
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let host = Later(Host::new(0), Vec::new());
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
    let opened = machine.load_choreography(&sample::ping_pong(1), "me");
    opened.expect("there is room");
    assert_eq!(machine.run(1), None);
    let (effect, outcome) = machine.handler().1.remove(0);
    let _ = machine
        .ingress(Ingress::AdvanceClock { ticks: 1 })
        .expect("the clock advances");
    let _ = machine
        .ingress(Ingress::Outcome { effect, outcome })
        .expect("the effect is outstanding");
    let (kernel, _, recorder) = machine.into_parts();
    let bytes = recorder.finish(&kernel).expect("memory does not fail");
    let report = replay(&bytes[..]).expect("a valid recording");
    assert_eq!(report.verdict, Verdict::Equal);
    assert_eq!(report.last.state, Some(kernel.state_digest()));
    assert!(
        !entries(&bytes)
            .1
            .iter()
            .any(|e| matches!(e, Entry::Answer(_)))
    );
}

#[test]
fn a_failure_with_a_long_detail_replays() {
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let host = FromFn(|_: &EffectRequest<'_>| {
        Reply::Now(Outcome::Failure(Failure {
            kind: FailureKind::Lost,
            detail: Arc::from("so ".repeat(3000)),
        }))
    });
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
    let opened = machine.load_choreography(&sample::ping_pong(1), "me");
    opened.expect("there is room");
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
    let (kernel, _, recorder) = machine.into_parts();
    let bytes = recorder.finish(&kernel).expect("memory does not fail");
    let report = replay(&bytes[..]).expect("a valid recording");
    assert_eq!(
        (report.verdict, report.tail),
        (Verdict::Equal, Some(Tail::Sealed))
    );
}
