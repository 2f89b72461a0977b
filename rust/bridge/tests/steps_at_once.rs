//! Turns taken in one call give the same result as turns taken one by one. So a machine that runs
//! many steps in a call is the machine that is compared with the model step by step.
#![allow(clippy::print_stdout, reason = "a successful run prints its figures")]

use antiphon_bridge::case::{Action, Case};
use antiphon_bridge::run::{self, Runner};
use antiphon_bridge::scope::Part;
use antiphon_bridge::{hand, random};
use antiphon_machine::SchedulingPolicy;

/// The random cases of every run of the suite.
const RANDOM_CASES: u64 = 2_000;

/// The least number of turns that must share a call with the turn before.
const TOGETHER_MIN: usize = 50_000;

/// The turns that are added at the end of a case.
const TURNS_MORE: usize = 50;

/// The case, and a variant with more turns under the cooperative policy, which keeps to the running
/// coroutine.
fn both(case: Case) -> [Case; 2] {
    let mut kept = case.clone();
    kept.config.policy = SchedulingPolicy::Cooperative;
    kept.actions.extend((0..TURNS_MORE).map(|_| Action::Turn));
    [case, kept]
}

/// The number of turns at the start of the actions.
fn turns(actions: &[Action]) -> usize {
    let turn = |action: &&Action| matches!(action, Action::Turn);
    actions.iter().take_while(turn).count()
}

/// Runs the case with adjacent turns in one call, and compares each call with the turns one by one.
/// Returns the number of turns and the number of calls.
fn compare(case: &Case) -> (usize, usize) {
    let outs = run::run(case);
    let mut runner = Runner::new(case);
    let (mut at, mut taken, mut calls) = (0, 0, 0);
    while let Some(action) = case.actions.get(at) {
        let (out, count) = match turns(&case.actions[at..]) {
            0 => (runner.act(action), 1),
            most => {
                let (out, steps) = runner.turns(most as u64);
                let count = (steps as usize).max(1);
                assert!(count <= most, "{}: more turns than requested", case.name);
                taken += count;
                calls += 1;
                (out, count)
            }
        };
        let each = &outs[at..at + count];
        let (last, name) = (&each[count - 1], &case.name);
        let events: Vec<_> = each.iter().flat_map(|out| out.events.clone()).collect();
        assert_eq!(out.events, events, "{name}: events up to {at} + {count}");
        assert_eq!(out.result, last.result, "{name}: result at {at} + {count}");
        assert_eq!(
            out.request, last.request,
            "{name}: request at {at} + {count}"
        );
        assert!(out.state == last.state, "{name}: state at {at} + {count}");
        at += count;
    }
    (taken, calls)
}

#[test]
fn turns_in_one_call_equal_single_turns_on_the_whole_corpus() {
    let scope = Part::ALL.into_iter().flat_map(Part::cases);
    let cases = hand::cases()
        .into_iter()
        .chain(scope)
        .chain((0..RANDOM_CASES).map(random::case))
        .flat_map(both);
    let (mut count, mut taken, mut calls) = (0, 0, 0);
    for case in cases {
        let (turns, batches) = compare(&case);
        (count, taken, calls) = (count + 1, taken + turns, calls + batches);
    }
    println!("{count} cases, {taken} turns in {calls} calls, byte for byte");
    assert!(
        calls + TOGETHER_MIN < taken,
        "{calls} calls for {taken} turns"
    );
}
