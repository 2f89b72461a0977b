//! The threaded machine: certificates that do not check, handlers that answer in place, later or
//! not at all, and the counters of its report.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::*;
use antiphon_machine::threaded::*;
use antiphon_machine::*;

/// An image with a choice, a payload and deliveries: every role issues effects all the time.
fn asking() -> Arc<VerifiedImage> {
    sample::ping_pong(1)
}

/// A handler whose answer depends on the request alone, so it is the same on every thread.
fn host(request: &EffectRequest<'_>) -> Reply {
    let (number, session) = (request.effect().number, request.effect().session.0);
    Reply::Now(match request.class() {
        Class::Decide { labels, .. } => {
            let stops = number > 20 + u64::from(session % 5);
            Outcome::chosen(labels[usize::from(stops)])
        }
        Class::Produce { .. } => Outcome::success(number),
        _ => Outcome::done(),
    })
}

fn machine<H: Handlers>(handlers: H, workers: usize) -> ThreadedProtocolMachine<H, RunLog> {
    let driver = NativeThreadedDriver::try_with_workers(workers).expect("threads");
    let config = ProtocolMachineConfig::default();
    ThreadedProtocolMachine::with_driver(config, handlers, RunLog::default(), driver)
}

fn log<H: Handlers>(machine: ThreadedProtocolMachine<H, RunLog>) -> RunLog {
    let (kernel, _, mut log) = machine.into_parts();
    log.close(&kernel);
    log
}

/// The log of the same sessions on the cooperative machine.
fn cooperative(sessions: usize) -> RunLog {
    let config = ProtocolMachineConfig::default();
    let mut machine = ProtocolMachine::with_sink(config, FromFn(host), RunLog::default());
    for _ in 0..sessions {
        machine.load_choreography(&asking(), "me").expect("room");
    }
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
    let (kernel, _, mut log) = machine.into_parts();
    log.close(&kernel);
    log
}

#[test]
fn each_session_has_the_same_run_in_waves_of_any_size() {
    let expected = cooperative(9);
    for (workers, width, quantum) in [(1, 9, 1), (2, 2, 1), (2, 9, 3), (4, 4, 64), (8, 100, 1000)] {
        let mut threaded = machine(Shared(FromFn(host)), workers).with_wave(width, quantum);
        for _ in 0..9 {
            threaded.load_choreography(&asking(), "me").expect("room");
        }
        assert_eq!(threaded.run(u64::MAX), Some(Rest::Done));
        let report = threaded.report();
        assert!(
            report.waves > 0 && report.picks > report.waves,
            "{report:?}"
        );
        assert_eq!(report.fallbacks, Fallbacks::default());
        assert_eq!(report.steps + report.turns, threaded.kernel().step_index());
        let diff = EnvelopeDiff::between(&expected, &log(threaded));
        assert_eq!(diff, EnvelopeDiff::Reordered, "{width} {quantum}");
    }
}

#[test]
fn at_concurrency_1_it_is_the_cooperative_machine() {
    let mut threaded = machine(Shared(FromFn(host)), 2);
    for _ in 0..5 {
        threaded.load_choreography(&asking(), "me").expect("room");
    }
    loop {
        let round = threaded.kernel_step_round(1).expect("a round");
        if let Round::Turn(Turn::Rest(rest)) = round {
            assert_eq!(rest, Rest::Done);
            break;
        }
    }
    let diff = EnvelopeDiff::between(&cooperative(5), &log(threaded));
    assert_eq!(diff, EnvelopeDiff::Equal);
}

#[test]
fn a_round_with_concurrency_0_is_refused() {
    let mut threaded = machine(Shared(FromFn(host)), 2);
    threaded.load_choreography(&asking(), "me").expect("room");
    let before = threaded.kernel().state_digest();
    assert_eq!(
        threaded.kernel_step_round(0),
        Err(RoundError::NoConcurrency)
    );
    assert_eq!(threaded.kernel().state_digest(), before);
}

#[test]
fn runs_do_not_depend_on_the_timing_of_threads() {
    let run = |workers| {
        let mut threaded = machine(Shared(FromFn(host)), workers).with_wave(64, 3);
        for _ in 0..32 {
            threaded.load_choreography(&asking(), "me").expect("room");
        }
        assert_eq!(threaded.run(u64::MAX), Some(Rest::Done));
        let state = threaded.kernel().state_digest();
        (state, log(threaded).events().to_vec())
    };
    let first = run(1);
    for n in 0..20 {
        assert!(run(1 + n % 4) == first, "run {n}");
    }
}

/// A handler with state: how often it was called.
#[derive(Clone, Default)]
struct Counting(u64);

impl EffectHandler for Counting {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        self.0 += 1;
        match request.class() {
            // The answer depends on every earlier request of the lane.
            Class::Produce { .. } => Reply::Now(Outcome::success(self.0)),
            _ => host(request),
        }
    }
}

#[test]
fn a_lane_gets_the_same_requests_on_any_number_of_threads() {
    let run = |workers| {
        let lanes = PerLane::new(Counting::default(), vec![Counting::default(); 2]);
        let mut threaded = machine(lanes, workers).with_wave(16, 2);
        for _ in 0..10 {
            threaded.load_choreography(&asking(), "me").expect("room");
        }
        assert_eq!(threaded.run(u64::MAX), Some(Rest::Done));
        let (kernel, lanes, log) = threaded.into_parts();
        let calls: Vec<u64> = lanes.iter().map(|lane| lane.0).collect();
        (kernel.state_digest(), calls, log.events().to_vec())
    };
    let first = run(1);
    assert!(first.1.iter().all(|calls| *calls > 0), "{:?}", first.1);
    for workers in [2, 3, 8] {
        assert!(run(workers) == first, "{workers}");
    }
}

#[test]
fn a_handler_that_panics_fails_its_effect_and_nothing_else() {
    let panics = |request: &EffectRequest<'_>| match request.effect().session.0 {
        3 if request.effect().number == 2 => panic!("on purpose"),
        _ => host(request),
    };
    let mut threaded = machine(Shared(FromFn(panics)), 2).with_wave(16, 4);
    for _ in 0..8 {
        threaded.load_choreography(&asking(), "me").expect("room");
    }
    assert_eq!(threaded.run(u64::MAX), Some(Rest::Done));
    assert_eq!(threaded.report().panics, 1);
    for session in threaded.kernel().sessions() {
        let expected = match session.id().0 {
            3 => End::Faulted,
            _ => End::Closed,
        };
        assert_eq!(session.phase(), Phase::Terminal(expected));
    }
    let log = log(threaded);
    let failed = log.events().iter().find_map(|seen| match &seen.event {
        Event::EffectFailed { failure, .. } => Some(failure),
        _ => None,
    });
    let failed = failed.expect("the failure is an event");
    assert_eq!(failed.kind, FailureKind::Internal);
    assert_eq!(&*failed.detail, "the handler panicked: on purpose");
    // A panic in a turn is contained as in a wave.
    let mut turns = machine(Shared(FromFn(|_: &EffectRequest<'_>| panic!("never"))), 2);
    turns.load_choreography(&asking(), "me").expect("room");
    while !matches!(
        turns.kernel_step_round(1),
        Ok(Round::Turn(Turn::Rest(Rest::Done)))
    ) {}
    assert_eq!(turns.report().panics, 1);
}

/// An effect that fails as `unavailable` is retried with the handler of the same lane.
#[test]
fn a_retry_goes_to_the_handler_of_its_lane() {
    #[derive(Clone, Default)]
    struct Busy(Vec<(u32, u8)>);
    impl EffectHandler for Busy {
        fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
            self.0.push((request.effect().session.0, request.attempt()));
            Reply::Now(match request.attempt() {
                0 | 1 => Outcome::failure(FailureKind::Unavailable, "not yet"),
                _ => Outcome::success(1u64),
            })
        }
    }
    let mut image = solo(vec![set(R1, 5u64), act(R1, R2), HALT]);
    image.operations[0].retries = 2;
    let image = Arc::new(image.verify().expect("sound"));
    let mut threaded = machine(PerLane::new(Busy::default(), [Busy::default()]), 2);
    for _ in 0..4 {
        threaded.load_choreography(&image, "me").expect("room");
    }
    assert_eq!(threaded.run(u64::MAX), Some(Rest::Done));
    let (_, lanes, _) = threaded.into_parts();
    let requests: Vec<_> = lanes.iter().map(|lane| lane.0.clone()).collect();
    let of = |a, b| vec![(a, 0), (b, 0), (a, 1), (a, 2), (b, 1), (b, 2)];
    assert_eq!(requests, [of(0, 2), of(1, 3)]);
}

/// Without a sink, answers are applied on the threads that received them; with one, they are
/// applied after the wave, one by one. Both give the same machine.
#[test]
fn a_machine_without_a_sink_runs_as_one_with_a_sink() {
    for policy in SchedulingPolicy::ALL {
        let config = || ProtocolMachineConfig {
            policy,
            witness_ttl: 20,
            ..Default::default()
        };
        let driver = |workers| NativeThreadedDriver::try_with_workers(workers).expect("threads");
        let handlers = || Shared(FromFn(moody));
        let mut watched = ThreadedProtocolMachine::with_driver(
            config(),
            handlers(),
            RunLog::default(),
            driver(1),
        )
        .with_wave(9, 5);
        let mut unwatched =
            ThreadedProtocolMachine::with_driver(config(), handlers(), NoSink, driver(3))
                .with_wave(9, 5);
        for _ in 0..16 {
            let image = asking_for_ever();
            watched.load_choreography(&image, "me").expect("room");
            unwatched.load_choreography(&image, "me").expect("room");
        }
        for round in 0..400 {
            assert_eq!(unwatched.run(1), watched.run(1), "{policy:?}, {round}");
            if round % 3 == 2 {
                // A postponed effect is answered, or the clock advances.
                let input = match watched.kernel().sessions().iter().find_map(|s| {
                    let number = s.effects().first()?.number;
                    Some(EffectId {
                        session: s.id(),
                        number,
                    })
                }) {
                    Some(effect) if round % 2 == 0 => Ingress::Outcome {
                        effect,
                        outcome: Outcome::success(7u64),
                    },
                    _ => Ingress::AdvanceClock { ticks: 1 },
                };
                let taken = watched.ingress(input.clone());
                assert_eq!(unwatched.ingress(input), taken, "{policy:?}, {round}");
            }
            agree(
                unwatched.kernel(),
                watched.kernel(),
                &format!("{policy:?}, {round}"),
            );
        }
        let events = watched.sink().events();
        let has = |what: fn(&Event) -> bool| events.iter().any(|event| what(&event.event));
        assert!(has(|e| matches!(e, Event::EffectIssued { attempt: 2, .. })));
        assert!(has(|e| matches!(e, Event::TimeoutIssued { .. })));
        assert!(has(|e| matches!(e, Event::WitnessExpired { .. })));
        assert!(has(|e| matches!(e, Event::Faulted { .. })));
        let ends = |s: &Session| s.phase() != Phase::Active;
        let ended = watched.kernel().sessions().iter().filter(|s| ends(s));
        assert!((1..16).contains(&ended.count()), "some end, some do not");
    }
}

/// The kernel expires a witness that was issued on a thread of a wave.
#[test]
fn a_witness_issued_in_a_wave_expires_without_a_sink() {
    let image = proving();
    let config = ProtocolMachineConfig {
        witness_ttl: 5,
        ..Default::default()
    };
    let proves = FromFn(proves);
    let mut machine = ThreadedProtocolMachine::with_workers(config, Shared(proves), 2);
    for _ in 0..4 {
        machine.load_choreography(&image, "me").expect("room");
    }
    assert_eq!(machine.run(u64::MAX), Some(Rest::Idle));
    for (ticks, left) in [(4, 4), (1, 0)] {
        let advanced = machine.ingress(Ingress::AdvanceClock { ticks });
        assert_eq!(advanced, Ok(Taken::Advanced { expired: 0 }));
        let sessions = machine.kernel().sessions().iter();
        assert_eq!(sessions.flat_map(Session::witnesses).count(), left);
    }
}

/// A sink that wants requests and outcomes, but no events.
#[derive(Default)]
struct Inputs {
    requests: Vec<EffectId>,
    outcomes: Vec<EffectId>,
}

impl Sink for Inputs {
    fn interest(&self) -> Interest {
        Interest {
            events: false,
            ..Interest::ALL
        }
    }

    fn observe(&mut self, observation: Observation<'_>) {
        match observation {
            Observation::Request { request, .. } => self.requests.push(request.effect()),
            Observation::Input {
                input: Ingress::Outcome { effect, .. },
                ..
            } => self.outcomes.push(*effect),
            _ => {}
        }
    }
}

/// A sink that wants no events is still notified of every request and every outcome.
#[test]
fn a_sink_that_wants_only_inputs_gets_all_of_them() {
    let driver = NativeThreadedDriver::try_with_workers(2).expect("threads");
    let sink = Inputs::default();
    let handlers = Shared(FromFn(host));
    let mut threaded = ThreadedProtocolMachine::with_driver(
        ProtocolMachineConfig::default(),
        handlers,
        sink,
        driver,
    );
    for _ in 0..9 {
        threaded.load_choreography(&asking(), "me").expect("room");
    }
    assert_eq!(threaded.run(u64::MAX), Some(Rest::Done));
    let (kernel, _, mut sink) = threaded.into_parts();
    let issued = kernel.sessions().iter().flat_map(|s| {
        let session = s.id();
        (0..s.effects_issued()).map(move |number| EffectId { session, number })
    });
    let issued: Vec<EffectId> = issued.collect();
    assert!(issued.len() > 9 * 20);
    sink.requests.sort_unstable();
    sink.outcomes.sort_unstable();
    assert_eq!(sink.requests, issued);
    assert_eq!(sink.outcomes, issued);
}

#[test]
fn answers_come_later_from_any_thread() {
    static REQUESTS: AtomicUsize = AtomicUsize::new(0);
    let inbox = Inbox::new();
    let remote = inbox.remote();
    let later = move |request: &EffectRequest<'_>| {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        let Reply::Now(outcome) = host(request) else {
            return Reply::Later;
        };
        let (effect, remote) = (request.effect(), remote.clone());
        std::thread::spawn(move || {
            remote
                .send(Ingress::Outcome { effect, outcome })
                .expect("the runtime is alive");
        });
        Reply::Later
    };
    let mut runtime = ThreadedGuestRuntime::new(machine(Shared(FromFn(later)), 2), inbox);
    for _ in 0..6 {
        runtime.load_choreography(&asking(), "me").expect("room");
    }
    assert_eq!(runtime.run(), Rest::Done);
    assert_eq!(runtime.refused(), 0);
    let issued = |s: &Session| usize::try_from(s.effects_issued()).expect("few");
    let issued: usize = runtime.kernel().sessions().iter().map(issued).sum();
    assert_eq!(REQUESTS.load(Ordering::Relaxed), issued);
    let diff = EnvelopeDiff::between(&cooperative(6), &log(runtime.into_machine()));
    // The answers come at other moments, but each session has the same run.
    assert_eq!(diff, EnvelopeDiff::Reordered);
}

#[test]
fn a_full_or_closed_inbox_returns_the_input() {
    let inbox = Inbox::new();
    let remote = inbox.remote();
    let tick = || Ingress::AdvanceClock { ticks: 1 };
    for _ in 0..INBOX_LEN_MAX {
        remote.try_send(tick()).expect("room");
    }
    assert_eq!(remote.try_send(tick()), Err(InboxError::Full(tick())));
    let mut runtime = ThreadedGuestRuntime::new(machine(Shared(FromFn(host)), 1), inbox);
    runtime.load_choreography(&asking(), "me").expect("room");
    assert_eq!(runtime.run(), Rest::Done);
    assert_eq!(runtime.kernel().clock(), INBOX_LEN_MAX as u64);
    // A refused input is only counted.
    let effect = EffectId {
        session: SessionId(7),
        number: 0,
    };
    let outcome = Outcome::done();
    remote
        .send(Ingress::Outcome { effect, outcome })
        .expect("the runtime is alive");
    assert_eq!(runtime.run(), Rest::Done);
    assert_eq!(runtime.refused(), 1);
    drop(runtime);
    assert_eq!(remote.send(tick()), Err(InboxError::Gone(tick())));
}

/// When every sender is gone, the runtime returns in place of waiting for ever.
#[test]
fn a_runtime_without_senders_returns_idle() {
    let machine = machine(Shared(FromFn(later)), 2);
    let mut runtime = ThreadedGuestRuntime::new(machine, Inbox::new());
    runtime.load_choreography(&asking(), "me").expect("room");
    assert_eq!(runtime.run(), Rest::Idle);
}

#[test]
fn a_driver_has_workers_within_bounds() {
    assert!(matches!(
        NativeThreadedDriver::try_with_workers(0),
        Err(DriverError::NoWorkers)
    ));
    let many = NativeThreadedDriver::try_with_workers(WORKERS_MAX + 1);
    let error = many.expect_err("too many").to_string();
    assert_eq!(error, "a driver has at most 1024 workers, got 1025");
    assert_eq!(NativeThreadedDriver::with_workers(0).workers(), 1);
    assert_eq!(NativeThreadedDriver::with_workers(3).workers(), 3);
}

/// Machines to forge certificates for: in the middle of a run, under every policy, some with an
/// ended session.
fn machines() -> Vec<(String, ProtocolMachineKernel)> {
    let mut machines = Vec::new();
    for policy in SchedulingPolicy::ALL {
        for steps in [0, 7, 31] {
            let config = ProtocolMachineConfig {
                policy,
                ..Default::default()
            };
            let mut machine = ProtocolMachine::new(config, FromFn(host));
            for n in 0..4 {
                let image = match n {
                    0 => image(vec![silent(), silent()]).verify().map(Arc::new),
                    _ => Ok(asking()),
                };
                let image = image.expect("sound");
                machine.load_choreography(&image, "me").expect("room");
            }
            let _ = machine.run(steps);
            let (kernel, _, _) = machine.into_parts();
            machines.push((format!("{policy:?} after {steps}"), kernel));
        }
    }
    machines
}

type Forgery = (&'static str, fn(&mut WaveCertificate));

/// Each entry makes a certificate invalid in its own way, under the name of the expected refusal.
const FORGERIES: [Forgery; 20] = [
    ("step", |c| c.step_index += 1),
    ("step", |c| c.step_index = u64::MAX),
    ("queue", |c| c.queue.clear()),
    ("queue", |c| c.queue.truncate(1)),
    ("queue", |c| c.queue.swap(0, 1)),
    ("queue", |c| c.queue.push(c.queue[0])),
    ("queue", |c| c.queue[1].session = SessionId(77)),
    ("no_picks", |c| c.picks.clear()),
    ("first_pick", |c| c.picks.swap(0, 1)),
    ("first_pick", |c| {
        c.picks.remove(0);
    }),
    ("first_pick", |c| {
        c.picks[0].pick.coroutine = CoroutineId(40);
    }),
    ("no_quantum", |c| c.picks[1].quantum = 0),
    ("not_next", |c| {
        c.picks[1].pick.session = SessionId(u32::MAX)
    }),
    ("not_next", |c| c.picks[1].pick.coroutine = CoroutineId(9)),
    ("footprint", |c| c.picks[1].footprint.clear()),
    ("footprint", |c| {
        let other = c.picks[0].footprint.clone();
        c.picks[1].footprint = other;
    }),
    ("footprint", |c| {
        c.picks[0].footprint.push(Key::Ledger {
            session: SessionId(1),
        });
    }),
    ("lane_twice", |c| c.picks[1].lane = c.picks[0].lane),
    ("session_twice", |c| {
        let mut again = c.picks[0].clone();
        again.lane = 99;
        c.picks.push(again);
    }),
    ("session_twice", |c| {
        let mut again = c.picks[1].clone();
        again.lane = u32::MAX;
        c.picks.insert(1, again);
    }),
];

#[test]
fn every_forged_certificate_is_refused_for_its_own_reason_and_changes_nothing() {
    let mut refused = Fallbacks::default();
    for (name, kernel) in machines() {
        let good = kernel.plan(8, 2);
        kernel.check_wave(&good).expect("a planned wave checks");
        assert!(good.picks.len() >= 2 && good.queue.len() >= 2, "{name}");
        for (reason, forge) in FORGERIES {
            let mut forged = good.clone();
            forge(&mut forged);
            let mut tried = kernel.clone();
            let mut buffers = WaveBuffers::default();
            let mut told = RunLog::default();
            let refusal = tried
                .wave(&forged, &mut buffers, &mut told, |_| {
                    panic!("it must not run")
                })
                .expect_err(reason);
            let mut counted = Fallbacks::default();
            counted.count(&refusal);
            for (field, count) in counted.by_name() {
                assert_eq!(count, u64::from(field == reason), "{name}: {refusal}");
            }
            refused.count(&refusal);
            assert_eq!(
                tried.state_bytes(),
                kernel.state_bytes(),
                "{name}: {reason}"
            );
            assert!(told.events().is_empty());
        }
    }
    let counts = refused.by_name();
    assert!(counts.iter().all(|(_, count)| *count >= 12), "{refused:?}");
}

/// A footprint with a key missing, repeated or replaced is refused.
#[test]
fn a_footprint_must_match_key_by_key() {
    let mut longest = 0;
    for (name, kernel) in machines() {
        let good = kernel.plan(8, 2);
        for (row, pick) in good.picks.iter().enumerate() {
            let named = &pick.footprint;
            assert_eq!(*named, kernel.footprint(pick.pick), "{name}");
            longest = longest.max(named.len());
            for (at, key) in named.iter().enumerate() {
                let mut without = named.clone();
                without.remove(at);
                let mut twice = named.clone();
                twice.insert(at, *key);
                let mut others = [named.clone(), named.clone()];
                let session = pick.pick.session;
                let edge = EdgeId(40);
                others[0][at] = Key::Edge { session, edge };
                others[1][at] = Key::Ledger {
                    session: SessionId(77),
                };
                for footprint in [without, twice].into_iter().chain(others) {
                    let mut forged = good.clone();
                    forged.picks[row].footprint = footprint;
                    let refused = Err(WaveRefusal::Footprint { row });
                    assert_eq!(kernel.check_wave(&forged), refused, "{name}, key {at}");
                }
            }
        }
    }
    assert_eq!(longest, 5, "a coroutine that sends may wake another");
}

/// The buffers of waves depend on no machine: used for other machines and policies, and after a
/// panic, they give the same result as new ones.
#[test]
fn buffers_are_used_for_any_machine() {
    let mut buffers = WaveBuffers::default();
    let machines = machines();
    // Forward and back, so that each kind of queue follows the other.
    for (name, kernel) in machines.iter().chain(machines.iter().rev()) {
        let wave = kernel.plan(3, 2);
        let mut panicked = kernel.clone();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            panicked.wave(&wave, &mut buffers, &mut NoSink, |_| panic!("by intent"))
        }));
        assert!(caught.is_err());
        assert_eq!(buffers.steps().count(), 0, "{name}: nobody has stepped");
        let run = |buffers: &mut WaveBuffers| {
            let mut kernel = kernel.clone();
            let taken = kernel.wave(&wave, buffers, &mut NoSink, |_| {});
            assert_eq!(taken.map(|n| n as usize), Ok(buffers.steps().count()));
            let steps: Vec<Pick> = buffers.steps().collect();
            let asked: Vec<EffectId> = buffers.asked().map(|(effect, _)| effect).collect();
            (kernel.state_bytes(), kernel.ready(), steps, asked)
        };
        assert_eq!(
            run(&mut buffers),
            run(&mut WaveBuffers::default()),
            "{name}"
        );
    }
}

/// A job that is answered before it is run keeps the answer, and is run once.
#[test]
fn an_answer_before_the_run_is_kept() {
    let mut machine = machine(Shared(FromFn(host)), 1);
    for _ in 0..3 {
        machine
            .load_choreography(&asking_for_ever(), "me")
            .expect("room");
    }
    let mut kernel = machine.kernel().clone();
    let wave = kernel.plan(3, 8);
    let mut buffers = WaveBuffers::default();
    let taken = kernel.wave(&wave, &mut buffers, &mut NoSink, |jobs| {
        for job in jobs {
            job.answer(Reply::Now(Outcome::success(1u64)));
            job.run();
        }
    });
    assert_eq!(taken, Ok(6));
    let said: Vec<Reply> = buffers.asked().map(|(_, reply)| reply).collect();
    assert_eq!(said, vec![Reply::Now(Outcome::success(1u64)); 3]);
}

/// A wave that does not check becomes one turn, and is counted under its reason.
#[test]
fn a_forged_certificate_becomes_one_turn_and_is_counted() {
    let mut threaded = machine(Shared(FromFn(host)), 2);
    let mut turns = ProtocolMachine::with_sink(Default::default(), FromFn(host), RunLog::default());
    for _ in 0..3 {
        threaded.load_choreography(&asking(), "me").expect("room");
        turns.load_choreography(&asking(), "me").expect("room");
    }
    for (n, (_, forge)) in FORGERIES.into_iter().enumerate() {
        let mut forged = threaded.kernel().plan(8, 2);
        forge(&mut forged);
        let round = threaded.round_with(&forged);
        assert_eq!(round, Round::Turn(turns.turn()), "{n}");
        assert_eq!(
            threaded.kernel().state_bytes(),
            turns.kernel().state_bytes(),
            "{n}"
        );
    }
    let report = threaded.report();
    let expected = Fallbacks {
        step: 2,
        queue: 5,
        no_picks: 1,
        first_pick: 3,
        no_quantum: 1,
        not_next: 2,
        footprint: 3,
        lane_twice: 1,
        session_twice: 2,
    };
    assert_eq!(report.fallbacks, expected);
    assert_eq!((report.waves, report.turns), (0, 20));
}

#[test]
fn a_coroutine_left_out_of_a_wave_is_counted_with_the_reason() {
    let mut threaded = machine(Shared(FromFn(host)), 1).with_wave(2, 1);
    for _ in 0..3 {
        threaded.load_choreography(&asking(), "me").expect("room");
    }
    let _ = threaded.run(1);
    let report = threaded.report();
    // There are three sessions of two roles. One role of each of the first two is planned; the
    // others of these two, and both of the third, are left out.
    assert_eq!((report.session_taken, report.width_reached), (2, 2));
    assert_eq!((report.waves, report.picks, report.steps), (1, 2, 2));
}

/// The kernel runs the jobs that no thread ran, so a wave is always complete.
#[test]
fn the_kernel_runs_the_jobs_that_no_thread_ran() {
    let kernel = || {
        let mut machine = ProtocolMachine::new(Default::default(), FromFn(host));
        for _ in 0..3 {
            machine.load_choreography(&asking(), "me").expect("room");
        }
        machine.into_parts().0
    };
    let run = |jobs: fn(&mut [Job<'_>])| {
        let mut kernel = kernel();
        let wave = kernel.plan(3, 4);
        let steps = kernel.wave(&wave, &mut WaveBuffers::default(), &mut NoSink, jobs);
        (steps, kernel.state_bytes())
    };
    let all = run(|jobs| jobs.iter_mut().rev().for_each(Job::run));
    assert_eq!(run(|_| {}), all);
    assert_eq!(run(|jobs| jobs[1].run()), all);
    assert_eq!(run(|jobs| (0..2).for_each(|_| jobs[0].run())), all);
}
