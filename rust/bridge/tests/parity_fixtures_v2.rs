//! Waves: the model, the kernel and the threaded driver run the same rounds. The first test fails
//! if Lean is not installed.
#![allow(clippy::print_stdout, reason = "a successful run prints its figures")]

use std::collections::BTreeSet;

use antiphon_bridge::case::Case;
use antiphon_bridge::run::{self, ActionOut, ActionResult};
use antiphon_bridge::waves::{self, Envelope, envelope, log_of};
use antiphon_machine::threaded::{NativeThreadedDriver, Shared};
use antiphon_machine::{EffectRequest, EnvelopeDiff, FromFn, Reply};

mod common;

use common::Suite;

/// The most sessions of a wave, and the numbers of threads that run it.
const WIDTHS: [u32; 3] = [2, 4, 8];

/// The number of runs of each case.
const TIMES: usize = 20;

/// Runs the case with every wave on this driver's threads. Its handler answers later; the answers
/// are inputs of the case.
fn threaded(case: &Case, driver: &NativeThreadedDriver) -> Vec<ActionOut> {
    let mut later = Shared(FromFn(|_: &EffectRequest<'_>| Reply::Later));
    run::run_by(case, |jobs| driver.run_jobs(jobs, &mut later))
}

/// The model plans, checks and runs waves; so does the kernel, on one thread and on several. Every
/// byte is equal: plans, refusals, events, and the whole state after every action. Each session's
/// run is the same as when the sessions run step by step.
#[test]
fn envelope_bounded_parity_holds_for_n_gt_1() {
    let made = (0..120u64).filter_map(|seed| {
        let width = WIDTHS[seed as usize % WIDTHS.len()];
        let sessions = 2 + (seed % 4) as usize * width as usize / 2;
        envelope(seed, sessions, width, 1 + (seed / 3 % 3) as u32)
    });
    let made: Vec<Envelope> = made.collect();
    assert!(made.len() >= 60, "only {} runs come to rest", made.len());
    let (rounds, canonical): (Vec<Case>, Vec<Case>) = made
        .into_iter()
        .map(|envelope| (envelope.rounds, envelope.canonical))
        .unzip();
    let drivers = WIDTHS.map(|workers| {
        let workers = workers as usize;
        NativeThreadedDriver::try_with_workers(workers).expect("threads")
    });
    let mut suite = Suite::default();
    let in_rounds = 0..rounds.len();
    suite.part("envelope, in rounds", rounds);
    suite.part("envelope at n = 1", canonical.clone());
    suite.part("waves", waves::cases());
    let (mut in_waves, mut widest, mut runs) = (Vec::new(), 0, 0);
    suite.run(|number, case, outs| {
        for driver in &drivers {
            let name = &case.name;
            assert!(
                threaded(case, driver) == outs,
                "`{name}` on {} threads",
                driver.workers()
            );
            runs += 1;
        }
        if !in_rounds.contains(&number) {
            return;
        }
        for out in outs {
            if let ActionResult::Round(wave) = &out.result {
                let name = &case.name;
                assert!(!wave.fell_back, "`{name}`: a planned wave checks");
                let sessions: BTreeSet<_> = wave.picks.iter().map(|pick| pick.session).collect();
                widest = widest.max(sessions.len());
            }
        }
        in_waves.push(log_of(case, outs));
    });
    assert!(widest >= 6, "waves step several sessions: {widest}");
    let coverage = suite.finish();
    let findings = coverage.wave_findings();
    assert!(findings.is_empty(), "{}", findings.join("\n"));

    let (mut events, mut reordered) = (0, 0);
    for (case, waves) in canonical.iter().zip(in_waves) {
        let steps = log_of(case, &run::run(case));
        let diff = EnvelopeDiff::between(&steps, &waves);
        assert!(diff.is_within(), "`{}`: {diff}", case.name);
        reordered += usize::from(diff == EnvelopeDiff::Reordered);
        events += steps.events().len();
    }
    assert!(reordered > 40, "waves reorder: {reordered}");
    println!("{runs} runs on {WIDTHS:?} threads are the model's, byte for byte");
    println!(
        "{events} events of sessions are the same in waves of up to {widest}; \
         {reordered} runs have another order"
    );
}

/// Neither the number of threads nor their timing changes the output.
#[test]
fn repeated_runs_on_threads_give_the_same_output() {
    let driver = NativeThreadedDriver::try_with_workers(4).expect("threads");
    let cases = (0..30u64).filter_map(|seed| envelope(seed, 12, 12, 2));
    let cases: Vec<Case> = cases
        .map(|envelope| envelope.rounds)
        .chain(waves::cases())
        .collect();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for case in &cases {
        let once = run::encode(&run::run(case));
        let digest = blake3::hash(&once);
        for n in 0..TIMES {
            let again = run::encode(&threaded(case, &driver));
            assert_eq!(blake3::hash(&again), digest, "`{}`, run {n}", case.name);
        }
    }
    println!("{} cases, {TIMES} times each: one digest", cases.len());
}
