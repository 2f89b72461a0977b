//! Policies order steps and change nothing else. Under contention the four give four schedules.

use crate::common::*;
use antiphon_machine::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A sends B three messages over a buffer of one; C and D only yield, three times each.
fn contention() -> CodeImage {
    let thrice = |instruction: Instruction| vec![instruction; 3].into_iter().chain([HALT]);
    let after_set = |instruction| {
        let code = [set(R1, 1u64)].into_iter().chain(thrice(instruction));
        code.collect::<Vec<_>>()
    };
    let idler = alone(after_set(YIELD));
    // B blocks before A has sent anything.
    let receiver = thrice(receive(X, R1)).collect();
    image(vec![
        (after_set(send(X, R1)), times(3, to_b)),
        (receiver, times(3, from_a)),
        idler.clone(),
        idler,
    ])
}

/// The schedule as the letters of the roles that step, with `.` after a step that blocked; and the
/// digest of the session at its end.
fn schedule(policy: SchedulingPolicy) -> (String, [u8; 32]) {
    let config = ProtocolMachineConfig {
        policy,
        buffer_len_max: 1,
        priorities: BTreeMap::from([("D".to_owned(), 9), ("B".to_owned(), 5)]),
        ..ProtocolMachineConfig::default()
    };
    let mut machine = opened(contention().verify().unwrap().image().clone(), config);
    let mut picks = String::new();
    while let Turn::Stepped { pick, step } = machine.turn() {
        picks.push(char::from(b'A' + pick.coroutine.0 as u8));
        if let Step::Blocked(_) = step {
            picks.push('.');
        }
    }
    sound(&mut machine);
    assert_eq!(rest(&mut machine), Rest::Done);
    let digest = machine.kernel().session_digest(SessionId(0)).unwrap();
    (picks, digest)
}

#[test]
fn the_four_policies_give_four_schedules() {
    let mut table = String::new();
    let mut ends = Vec::new();
    let mut schedules = Vec::new();
    for policy in SchedulingPolicy::ALL {
        let (picks, digest) = schedule(policy);
        writeln!(table, "{:<15} {picks}", policy.name()).unwrap();
        ends.push(digest);
        schedules.push(picks);
    }
    insta::assert_snapshot!(table);
    schedules.sort();
    schedules.dedup();
    assert_eq!(schedules.len(), 4, "each policy has a schedule of its own");
    // The sessions end the same: a policy orders steps, it does not change them.
    assert!(ends.iter().all(|end| *end == ends[0]));
}

#[test]
fn round_robin_picks_each_ready_coroutine_once_a_round() {
    let config = ProtocolMachineConfig {
        policy: SchedulingPolicy::RoundRobin,
        ..ProtocolMachineConfig::default()
    };
    let spin = || alone(vec![set(R1, 1u64), jump(0)]);
    let mut machine = opened(image((0..5).map(|_| spin()).collect()), config);
    let mut last = [0u64; 5];
    for step in 1..500 {
        let Turn::Stepped { pick, .. } = machine.turn() else {
            panic!("every coroutine loops for ever")
        };
        assert!(
            step - last[pick.coroutine.index()] <= 5,
            "{pick:?} waited too long"
        );
        last[pick.coroutine.index()] = step;
    }
}

#[test]
fn fixed_priority_starves_lower_priorities() {
    let config = ProtocolMachineConfig {
        policy: SchedulingPolicy::Priority,
        priorities: BTreeMap::from([("B".to_owned(), 1)]),
        ..ProtocolMachineConfig::default()
    };
    let spin = || alone(vec![set(R1, 1u64), jump(0)]);
    let mut machine = opened(image(vec![spin(), spin()]), config);
    for _ in 0..200 {
        let Turn::Stepped { pick, .. } = machine.turn() else {
            panic!("every coroutine loops for ever")
        };
        assert_eq!(pick.coroutine, CoroutineId(1));
    }
}

/// Under every policy, the ready queue holds each ready coroutine once, while many sessions begin
/// and end over thousands of turns; `rest` checks it after each.
#[test]
fn the_ready_queue_stays_sound_over_many_sessions() {
    for policy in SchedulingPolicy::ALL {
        let config = ProtocolMachineConfig {
            policy,
            buffer_len_max: 1,
            ..Default::default()
        };
        let mut machine = opened(contention(), config);
        let image = std::sync::Arc::new(VerifiedImage::unchecked(contention()));
        for _ in 0..8 {
            machine.load_choreography(&image, "owner").unwrap();
        }
        assert_eq!(rest(&mut machine), Rest::Done);
        let ends: Vec<_> = machine
            .kernel()
            .sessions()
            .iter()
            .map(|s| s.phase())
            .collect();
        assert_eq!(ends, vec![Phase::Terminal(End::Closed); 9]);
    }
}
