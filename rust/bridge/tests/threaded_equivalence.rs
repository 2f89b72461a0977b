//! At concurrency 1 the threaded driver gives the same output as the cooperative machine, byte for
//! byte on every case of the corpus.
#![allow(clippy::print_stdout, reason = "a successful run prints its figures")]

use antiphon_bridge::case::{Action, Case};
use antiphon_bridge::run::{self, ActionOut, ActionResult};
use antiphon_bridge::scope::Part;
use antiphon_bridge::{hand, random};
use antiphon_machine::threaded::{NativeThreadedDriver, Shared};
use antiphon_machine::{EffectRequest, FromFn, Reply};

/// The random cases of every run of the suite.
const RANDOM_CASES: u64 = 2_000;

/// The case with every turn replaced by a round of one session and one step.
fn in_rounds(case: &Case) -> Case {
    let round = |action: &Action| match action {
        Action::Turn => Action::Round {
            width: 1,
            quantum: 1,
        },
        other => other.clone(),
    };
    Case {
        actions: case.actions.iter().map(round).collect(),
        ..case.clone()
    }
}

/// Whether a round of one step matches a turn: the same coroutine, events and state. A round does
/// not report the step's result.
fn same(turn: &ActionOut, round: &ActionOut) -> bool {
    let result = match (&turn.result, &round.result) {
        (ActionResult::Stepped(pick, _), ActionResult::Round(wave)) => {
            !wave.fell_back && wave.picks == [*pick]
        }
        (turn, round) => turn == round,
    };
    result && turn.events == round.events && turn.state == round.state
}

#[test]
fn a_round_of_one_step_equals_a_turn_on_the_whole_corpus() {
    let driver = NativeThreadedDriver::try_with_workers(4).expect("threads");
    let mut later = Shared(FromFn(|_: &EffectRequest<'_>| Reply::Later));
    let scope = Part::ALL.into_iter().flat_map(Part::cases);
    let random = (0..RANDOM_CASES).map(random::case);
    let cases = hand::cases().into_iter().chain(scope).chain(random);
    let (mut count, mut rounds) = (0, 0);
    for case in cases {
        let turns = run::run(&case);
        let threaded = run::run_by(&in_rounds(&case), |jobs| driver.run_jobs(jobs, &mut later));
        assert_eq!(turns.len(), threaded.len());
        for (at, (turn, round)) in turns.iter().zip(&threaded).enumerate() {
            assert!(
                same(turn, round),
                "`{}`, action {at}: {turn:?}\n{round:?}",
                case.name
            );
            rounds += usize::from(matches!(round.result, ActionResult::Round(_)));
        }
        count += 1;
    }
    assert!(
        count > 5_000 && rounds > 50_000,
        "{count} cases, {rounds} rounds"
    );
    println!("{count} cases, {rounds} rounds of one step are turns, byte for byte");
}
