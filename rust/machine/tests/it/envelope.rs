//! How two runs of the same sessions may differ: a pair of runs for each class of difference.

use std::sync::Arc;

use crate::common::*;
use antiphon_machine::*;

/// The log of a machine with two sessions, where each yields and issues one effect. It is
/// stepped by the schedule, changed by `change`, and then run until it rests.
fn run(schedule: &[u32], change: impl FnOnce(&mut ProtocolMachineKernel, &mut RunLog)) -> RunLog {
    let image = solo(vec![set(R1, 5u64), YIELD, act(R1, R2), HALT]);
    let image = Arc::new(image.verify().expect("sound"));
    let mut kernel = ProtocolMachineKernel::new(ProtocolMachineConfig::default());
    let mut log = RunLog::default();
    kernel.load(&image);
    for _ in 0..2 {
        let open = Ingress::Open {
            image: *image.digest(),
            owner: Arc::from("me"),
        };
        kernel.ingress(open, &mut log).expect("room");
    }
    for session in schedule {
        let pick = Pick {
            session: SessionId(*session),
            coroutine: CoroutineId(0),
        };
        let _ = kernel
            .step_pick(pick, &mut log)
            .expect("the coroutine is ready");
    }
    change(&mut kernel, &mut log);
    while let Turn::Stepped { .. } = kernel.step(&mut log) {}
    log.close(&kernel);
    log
}

fn input(kernel: &mut ProtocolMachineKernel, log: &mut RunLog, input: Ingress) {
    // The input is part of the run even if it is refused.
    let _ = kernel.ingress(input, log);
}

fn answer(session: u32, outcome: Outcome) -> Ingress {
    let effect = EffectId {
        session: SessionId(session),
        number: 0,
    };
    Ingress::Outcome { effect, outcome }
}

fn diff(a: &RunLog, b: &RunLog) -> EnvelopeDiff {
    let (there, back) = (EnvelopeDiff::between(a, b), EnvelopeDiff::between(b, a));
    assert_eq!(there, back);
    there
}

fn outside(a: &RunLog, b: &RunLog) -> Outside {
    match diff(a, b) {
        EnvelopeDiff::Outside(outside) => outside,
        within => panic!("{within}"),
    }
}

#[test]
fn the_same_run_is_equal() {
    let (a, b) = (run(&[0, 1, 0], |_, _| {}), run(&[0, 1, 0], |_, _| {}));
    assert_eq!(diff(&a, &b), EnvelopeDiff::Equal);
    assert_eq!(diff(&a, &b).to_string(), "equal");
}

#[test]
fn another_interleaving_is_within_the_envelope() {
    let a = run(&[0, 0, 0, 1, 1, 1], |_, _| {});
    let b = run(&[0, 1, 1, 0, 1, 0], |_, _| {});
    assert_eq!(diff(&a, &b), EnvelopeDiff::Reordered);
    assert!(diff(&a, &b).is_within());
}

#[test]
fn another_event_is_outside_the_envelope() {
    let to_rest = [0, 0, 0, 1, 1, 1];
    let says = |value: u64| {
        run(&to_rest, |kernel, log| {
            input(kernel, log, answer(1, Outcome::success(value)));
        })
    };
    // The input differs, and inputs are compared first.
    let differ = outside(&says(1), &says(2));
    let session = SessionId(1);
    assert_eq!(differ, Outside::Inputs { session, at: 0 });
    // The inputs are the same, and an event of the session differs.
    let a = run(&to_rest, |_, _| {});
    let mut b = a.clone();
    let stamp = Stamp {
        session,
        index: 2,
        step: 6,
        clock: 0,
    };
    b.observe(Observation::Event {
        stamp: &stamp,
        event: &Event::Closed,
    });
    assert_eq!(outside(&a, &b), Outside::Trace { session, at: 2 });
    let text = diff(&a, &b).to_string();
    assert_eq!(text, "outside the envelope: event 2 of session 1 differs");
}

#[test]
fn an_event_at_another_time_is_outside_the_envelope() {
    let at = |first: bool| {
        run(&[0, 0], |kernel, log| {
            let tick = Ingress::AdvanceClock { ticks: 1 };
            if first {
                input(kernel, log, tick.clone());
            }
            while let Turn::Stepped { .. } = kernel.step(log) {}
            if !first {
                input(kernel, log, tick);
            }
        })
    };
    let session = SessionId(0);
    assert_eq!(
        outside(&at(true), &at(false)),
        Outside::Trace { session, at: 1 }
    );
}

/// A clock tick has no session, and neither does a refused opening.
#[test]
fn inputs_of_no_session_are_compared() {
    let with = |inputs: Vec<Ingress>| {
        run(&[], |kernel, log| {
            while let Turn::Stepped { .. } = kernel.step(log) {}
            inputs.into_iter().for_each(|next| input(kernel, log, next));
        })
    };
    let tick = |ticks| Ingress::AdvanceClock { ticks };
    let open = Ingress::Open {
        image: [9; 32],
        owner: Arc::from(""),
    };
    let nothing = with(vec![]);
    // The two openings come first.
    assert_eq!(
        outside(&nothing, &with(vec![open])),
        Outside::Apart { at: 2 }
    );
    let (once, twice) = (with(vec![tick(2)]), with(vec![tick(1), tick(1)]));
    assert_eq!(outside(&once, &twice), Outside::Apart { at: 2 });
    let refused = with(vec![answer(9, Outcome::done())]);
    let session = SessionId(9);
    assert_eq!(
        outside(&nothing, &refused),
        Outside::Inputs { session, at: 0 }
    );
}

/// The events and inputs are the same, and only the final state, which closes the log, differs.
#[test]
fn another_final_state_is_outside_the_envelope() {
    let a = run(&[0, 0, 0, 1, 1, 1], |_, _| {});
    let mut b = run(&[0, 0, 0, 1, 1, 1], |_, _| {});
    let mut kernel = ProtocolMachineKernel::new(ProtocolMachineConfig::default());
    b.close(&kernel);
    let session = SessionId(0);
    assert_eq!(outside(&a, &b), Outside::Missing { session });
    // First the sessions are in another state, then the clock differs.
    let image = Arc::new(image(vec![silent()]).verify().expect("sound"));
    kernel.load(&image);
    for _ in 0..2 {
        let open = Ingress::Open {
            image: *image.digest(),
            owner: Arc::from("me"),
        };
        kernel.ingress(open, &mut NoSink).expect("room");
    }
    b.close(&kernel);
    assert_eq!(outside(&a, &b), Outside::State { session });
    let c = b.clone();
    kernel
        .ingress(Ingress::AdvanceClock { ticks: 1 }, &mut NoSink)
        .expect("the clock does not overflow");
    b.close(&kernel);
    assert_eq!(outside(&b, &c), Outside::Clock);
}
