//! Comparing the messages and calls of two recordings.

use antiphon_machine::{
    DeterminismMode, FailureKind, Outcome, ProtocolMachine, SchedulingPolicy, Value, sample,
};
use antiphon_record::{
    CompareOptions, Compared, Entry, Extent, Flush, Likeness, Parting, Place, Recorder, Tail,
    compare,
};
use proptest::prelude::*;

use crate::runs::{Host, edited, full, header, recorded, small, small_of};

fn compared(a: &[u8], b: &[u8]) -> Compared {
    compare(a, b, &CompareOptions::default()).expect("two headers")
}

fn different(a: &[u8], b: &[u8]) -> Parting {
    match compared(a, b).likeness {
        Likeness::Different(parting) => *parting,
        other => panic!("a difference was expected, got {other:?}"),
    }
}

/// Sessions of ping-pong, scheduled by a policy.
fn of_policy(policy: SchedulingPolicy, sessions: usize) -> Vec<u8> {
    let mut header = full();
    header.config.policy = policy;
    recorded(&header, &sample::ping_pong(1), sessions, Host::new(3)).0
}

#[test]
fn the_order_of_steps_among_sessions_is_ignored() {
    let a = of_policy(SchedulingPolicy::Cooperative, 5);
    let b = of_policy(SchedulingPolicy::RoundRobin, 5);
    let found = compared(&a, &b);
    assert_eq!(found.likeness, Likeness::Equal);
    // Three pings, three pongs and a stop in each session.
    let counts = (found.messages, found.calls, found.sessions);
    assert_eq!(counts, (35, 0, 5));
    assert_eq!(
        found.notes,
        ["the configuration's policy differs: cooperative, round-robin"]
    );
    assert_eq!(
        found.text("a", "b"),
        "equal: 35 messages, 0 calls, 5 sessions"
    );
}

#[test]
fn a_different_payload_is_located() {
    let run = |payload| {
        let host = Host::of_bytes(3, payload);
        recorded(&full(), &sample::ping_pong_bytes(), 2, host).0
    };
    let a = run(|n| Value::bytes(&[n as u8; 1000]));
    let b = run(|n| {
        let mut bytes = vec![n as u8; 1000];
        bytes[n as usize * 100] += u8::from(n == 2);
        Value::bytes(&bytes)
    });
    let found = different(&a, &b);
    assert_eq!(found.session, Some(0));
    assert_eq!(found.offset, Some(200));
    assert_eq!(found.name, found.path);
    let Place::Edge {
        from,
        to,
        left,
        right,
    } = &found.place
    else {
        panic!("a message: {found:?}");
    };
    assert_eq!((from.as_str(), to.as_str()), ("Client", "Server"));
    assert_eq!((left, right), (&Some(1), &Some(1)));
    assert_eq!(found.before.len(), 1, "{found:?}");
    assert_ne!(found.left, found.right);
    assert!(found.right.contains("\\x02\\x03\\x02"), "{found}");
}

#[test]
fn a_missing_session_is_a_difference() {
    let run = |sessions| recorded(&full(), &sample::ping_pong(1), sessions, Host::new(1)).0;
    let found = different(&run(2), &run(3));
    assert_eq!((found.session, &found.place), (Some(2), &Place::Session));
    assert_eq!(found.left, "nothing more");
    assert_eq!(found.right, "opened PingPong");
}

#[test]
fn more_messages_are_a_difference() {
    let run = |pings| recorded(&full(), &sample::ping_pong(1), 1, Host::new(pings)).0;
    for (a, b) in [(2, 3), (3, 2)] {
        let found = different(&run(a), &run(b));
        assert!(matches!(found.place, Place::Edge { .. }), "{found}");
        let sides = [&found.left, &found.right];
        assert!(sides.iter().any(|side| side.starts_with("stop")), "{found}");
        assert!(sides.iter().any(|side| side.starts_with("ping")), "{found}");
    }
}

#[test]
fn a_truncated_recording_is_equal_up_to_its_end() {
    let whole = small();
    let head = 400.min(whole.len());
    for cut in (head..whole.len()).step_by(5) {
        for (left, right) in [(&whole[..], &whole[..cut]), (&whole[..cut], &whole[..])] {
            let Ok(found) = compare(left, right, &CompareOptions::default()) else {
                continue;
            };
            assert_eq!(found.likeness, Likeness::EqualUpTo, "cut at {cut}");
            let is_cut =
                |extent: &Extent| matches!(extent.tail, Some(Tail::Open | Tail::Torn { .. }));
            assert!(is_cut(&found.left) || is_cut(&found.right), "cut at {cut}");
            let text = found.text("a.rec", "b.rec");
            assert!(
                text.starts_with("equal up to step "),
                "cut at {cut}: {text}"
            );
        }
    }
}

#[test]
fn the_rest_of_the_longer_of_two_truncated_recordings_is_not_compared() {
    let (whole, _) = small_of(6);
    let (short, long) = (&whole[..whole.len() / 3], &whole[..2 * whole.len() / 3]);
    let found = compared(long, long);
    assert_eq!(found.likeness, Likeness::EqualUpTo);
    assert!(!found.left.has_rest && !found.right.has_rest, "{found:?}");
    let found = compared(short, long);
    assert_eq!(found.likeness, Likeness::EqualUpTo);
    assert!(!found.left.has_rest, "{found:?}");
    let text = found.text("short", "long");
    assert!(
        text.starts_with("equal up to step ") && text.contains(" of short, then "),
        "{text}"
    );
    assert!(
        found.left.step < 30,
        "no more is known than the shorter one has: {text}"
    );
}

#[test]
fn finds_a_difference_in_a_truncated_recording() {
    let (a, _) = recorded(&full(), &sample::ping_pong(1), 1, Host::new(2));
    let b = edited(&a, |entries| {
        let ping = Outcome::success(1u64);
        let is_ping = |entry: &Entry| matches!(entry, Entry::Answer(outcome) if *outcome == ping);
        let at = entries.iter().position(is_ping).expect("there is a ping");
        entries[at] = Entry::Answer(Outcome::success(9u64));
        let Some(Entry::Request(request)) = entries.get_mut(at + 1) else {
            panic!("the next entry is a request");
        };
        assert_eq!(request.args, [Value::Nat(1)]);
        request.args = vec![Value::Nat(9)];
        entries.truncate(at + 2);
    });
    let found = different(&a, &b);
    assert_eq!(
        (found.left.as_str(), found.right.as_str()),
        ("ping 1", "ping 9")
    );
}

#[test]
fn a_recording_is_compared_up_to_its_divergence() {
    let a = small_of(3).0;
    let b = edited(&a, |entries| {
        for entry in entries {
            if let Entry::Request(request) = entry
                && request.effect.number == 8
            {
                request.attempt = 1;
            }
        }
    });
    let found = compared(&a, &b);
    assert_eq!(found.likeness, Likeness::EqualUpTo);
    assert_eq!(found.left.divergence, None);
    let text = found.text("a.rec", "b.rec");
    assert!(
        text.contains("of b.rec, whose replay diverges at step "),
        "{text}"
    );
}

#[test]
fn stops_when_one_recording_is_too_far_ahead() {
    let run = |one_by_one: bool| {
        let header = full();
        let recorder =
            Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
        let host = Host::of_bytes(4, |n| Value::bytes(&[n as u8; 3000]));
        let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
        for _ in 0..20 {
            let opened = machine.load_choreography(&sample::ping_pong_bytes(), "me");
            opened.expect("there is room");
            if one_by_one {
                machine.run(u64::MAX);
            }
        }
        machine.run(u64::MAX);
        let (kernel, _, recorder) = machine.into_parts();
        recorder.finish(&kernel).expect("memory does not fail")
    };
    let (a, b) = (run(true), run(false));
    assert_eq!(compared(&a, &b).likeness, Likeness::Equal);
    let options = CompareOptions {
        lookahead_max: 20_000,
        ..CompareOptions::default()
    };
    let found = compare(&a[..], &b[..], &options).expect("two headers");
    let undecided = Likeness::Undecided {
        lookahead_max: 20_000,
    };
    assert_eq!(found.likeness, undecided);
    assert!(found.text("a", "b").starts_with("not decided: "));
    // When both advance alike, few bytes wait.
    let found = compare(&a[..], &a[..], &options).expect("two headers");
    assert_eq!(found.likeness, Likeness::Equal);
}

#[test]
fn different_protocols_are_reported() {
    let a = recorded(&full(), &sample::ping_pong(1), 1, Host::new(1)).0;
    let b = recorded(&full(), &sample::ping_pong_bytes(), 1, Host::new(1));
    // The hosts answer with numbers, which fail in the protocol of bytes; both sessions are opened.
    let found = compared(&a, &b.0);
    let Likeness::Protocols {
        session,
        left,
        right,
    } = found.likeness
    else {
        panic!("{found:?}");
    };
    assert_eq!(session, 0);
    assert_ne!(left, right);
}

#[test]
fn recordings_without_digests_are_compared() {
    let a = recorded(&full(), &sample::ping_pong(1), 2, Host::new(2)).0;
    let header = header(DeterminismMode::ModuloEffects);
    let b = recorded(&header, &sample::ping_pong(1), 2, Host::new(2)).0;
    let found = compared(&a, &b);
    assert_eq!(found.likeness, Likeness::Equal);
    assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
}

#[test]
fn a_failure_and_a_fault_are_compared() {
    let failing = |detail: &'static str| {
        let bytes = recorded(
            &header(DeterminismMode::ModuloEffects),
            &sample::ping_pong(1),
            1,
            Host::new(1),
        );
        edited(&bytes.0, |entries| {
            let ping = Outcome::success(1u64);
            let at = entries
                .iter()
                .position(|entry| matches!(entry, Entry::Answer(outcome) if *outcome == ping));
            let at = at.expect("the first ping");
            entries[at] = Entry::Answer(Outcome::failure(FailureKind::Denied, detail));
            entries.truncate(at + 1);
        })
    };
    let (a, b) = (failing("no"), failing("not today"));
    let found = compared(&a, &b);
    let Likeness::Different(parting) = found.likeness else {
        panic!("{found:?}");
    };
    let Place::Calls { role, .. } = &parting.place else {
        panic!("{parting}");
    };
    assert_eq!(role, "Client");
    assert!(
        parting.left.ends_with("failed: denied: \"no\""),
        "{parting}"
    );
    assert_eq!(compared(&a, &a).likeness, Likeness::EqualUpTo);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Also, only complete recordings are `Equal`.
    #[test]
    fn comparing_entries_in_any_order_never_panics(
        picks in prop::collection::vec(0usize..40, 0..40),
        other in prop::collection::vec(0usize..40, 0..40),
        cut in 0usize..3000,
        time: bool,
    ) {
        let bytes = small();
        let mixed = |picks: &[usize]| {
            edited(&bytes, |entries| {
                let all = std::mem::take(entries);
                // The first entries replay, so that there is something to compare.
                entries.extend(all.iter().take(cut % all.len()).cloned());
                entries.extend(picks.iter().map(|n| all[n % all.len()].clone()));
            })
        };
        let (left, right) = (mixed(&picks), mixed(&other));
        let right = &right[..right.len().min(cut)];
        let options = CompareOptions { time, ..CompareOptions::default() };
        let Ok(found) = compare(&left[..], right, &options) else {
            return Ok(());
        };
        let is_whole = |extent: &Extent| {
            extent.tail == Some(Tail::Sealed) && extent.divergence.is_none()
        };
        let is_equal = found.likeness == Likeness::Equal;
        prop_assert!(!is_equal || is_whole(&found.left) && is_whole(&found.right));
        if let Likeness::Different(parting) = &found.likeness {
            prop_assert_ne!(&parting.left, &parting.right);
        }
        prop_assert!(!found.text("a", "b").is_empty());
    }
}
