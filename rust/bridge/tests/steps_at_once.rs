//! Steps that are taken at once are the same steps: whoever runs a machine that nobody watches runs the one that is compared
//! with the model step by step.
#![allow(
    clippy::print_stdout,
    reason = "the figures are the point of a run that succeeds"
)]

use antiphon_bridge::case::{Action, Case};
use antiphon_bridge::run::{self, Runner};
use antiphon_bridge::scope::Part;
use antiphon_bridge::{hand, random};
use antiphon_machine::SchedulingPolicy;

/// Random cases, as many as the model is given.
const RANDOM_CASES: u64 = 2_000;

/// How many turns are at least taken together with the one before.
const TOGETHER_MIN: usize = 50_000;

/// How many turns a case gets at its end.
const TURNS_MORE: usize = 50;

/// The case as it is, and with the policy that keeps to who runs and more turns at its end.
fn both(case: Case) -> [Case; 2] {
    let mut kept = case.clone();
    kept.config.policy = SchedulingPolicy::Cooperative;
    kept.actions.extend((0..TURNS_MORE).map(|_| Action::Turn));
    [case, kept]
}

/// How many turns follow each other from here on.
fn turns(actions: &[Action]) -> usize {
    let turn = |action: &&Action| matches!(action, Action::Turn);
    actions.iter().take_while(turn).count()
}

/// Runs the case with its turns at once, and compares each time with what they come to one by one. Gives the number of
/// turns, and in how many goes they were taken.
fn compare(case: &Case) -> (usize, usize) {
    let outs = run::run(case);
    let mut runner = Runner::new(case);
    let (mut at, mut taken, mut goes) = (0, 0, 0);
    while let Some(action) = case.actions.get(at) {
        let (out, count) = match turns(&case.actions[at..]) {
            0 => (runner.act(action), 1),
            most => {
                let (out, steps) = runner.turns(most as u64);
                let count = (steps as usize).max(1);
                assert!(count <= most, "{}: more than were asked for", case.name);
                taken += count;
                goes += 1;
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
    (taken, goes)
}

#[test]
fn steps_at_once_are_steps_one_by_one_on_the_whole_corpus() {
    let scope = Part::ALL.into_iter().flat_map(Part::cases);
    let cases = hand::cases()
        .into_iter()
        .chain(scope)
        .chain((0..RANDOM_CASES).map(random::case))
        .flat_map(both);
    let (mut count, mut taken, mut goes) = (0, 0, 0);
    for case in cases {
        let (turns, at_once) = compare(&case);
        (count, taken, goes) = (count + 1, taken + turns, goes + at_once);
    }
    println!("{count} cases, {taken} turns in {goes} goes, byte for byte");
    assert!(goes + TOGETHER_MIN < taken, "{goes} goes for {taken} turns");
}
