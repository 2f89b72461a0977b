//! Parity can fail: for every mutant of the kernel, a case of the suite diverges from the model.
#![allow(
    clippy::print_stdout,
    reason = "the test prints a table of mutants and the cases that kill them"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use antiphon_bridge::case::Case;
use antiphon_bridge::compare::{DivergenceKind, compare};
use antiphon_bridge::{hand, random, run, waves};
use antiphon_machine::mutant::{self, Mutant};

mod common;

use common::{Kept, ORACLE, oracle};

/// Stands for the place of a divergence when the mutant fails an assertion before the comparison.
const ASSERTION: &str = "the kernel's own assertion";

/// The model's output of each case. Where its digest is known and the right kernel's output has
/// that digest, they are the same bytes.
fn outputs(cases: &[Case]) -> Vec<Vec<u8>> {
    let mut kept = Kept::open(ORACLE);
    let mut outputs = Vec::new();
    let done = oracle().compare_known(cases, &mut kept.answers, |_, outs| {
        outputs.push(run::encode(outs));
    });
    let done = done.unwrap_or_else(|error| panic!("{error}"));
    kept.save();
    assert_eq!(outputs.len(), cases.len());
    assert_eq!(done.divergences, [], "the right kernel is the model");
    println!(
        "{} cases, {} of them compared with the model's known answers",
        done.cases, done.known
    );
    outputs
}

/// The first case on which the mutant with this number diverges from the model, and the place.
fn killer(number: u16, cases: &[Case], outputs: &[Vec<u8>]) -> Option<String> {
    cases.iter().zip(outputs).find_map(|(case, out)| {
        let compared = catch_unwind(AssertUnwindSafe(|| {
            mutant::with(number, || compare(case, out).1)
        }));
        let place = match compared {
            Ok(None) => return None,
            Ok(Some(DivergenceKind::Action {
                at, differences, ..
            })) => {
                let path = differences.first().map_or("", |first| &first.path);
                format!("action {at}, {path}")
            }
            Ok(Some(other)) => other.to_string(),
            Err(_) => ASSERTION.to_owned(),
        };
        Some(format!("`{}`: {place}", case.name))
    })
}

#[test]
fn every_mutant_diverges_from_the_model() {
    let mut cases = hand::cases();
    cases.extend(waves::cases());
    cases.extend((0..100).map(random::case));
    let outputs = outputs(&cases);
    assert_eq!(
        killer(0, &cases, &outputs),
        None,
        "the correct kernel agrees with the model"
    );
    // A mutant is active on its own thread only.
    let (low, high) = mutant::ALL.split_at(mutant::ALL.len() / 2);
    let of = |mutants: &'static [Mutant]| -> Vec<(&Mutant, Option<String>)> {
        let killer = |mutant: &'static Mutant| killer(mutant.number, &cases, &outputs);
        mutants
            .iter()
            .map(|mutant| (mutant, killer(mutant)))
            .collect()
    };
    let killed = thread::scope(|scope| {
        let high = scope.spawn(|| of(high));
        let mut killed = of(low);
        killed.extend(high.join().expect("the thread does not panic"));
        killed
    });
    for (Mutant { number, name, what }, killer) in &killed {
        let killer = killer.as_deref().unwrap_or("NO CASE");
        println!("{number:>3} {name:<24} {what}\n      {killer}");
    }
    let alive: Vec<&str> = killed
        .iter()
        .filter(|(_, killer)| killer.is_none())
        .map(|(mutant, _)| mutant.name)
        .collect();
    let asserted = killed.iter().filter(|(_, killer)| {
        let killer = killer.as_deref();
        killer.is_some_and(|killer| killer.ends_with(ASSERTION))
    });
    println!(
        "{} mutants, {} alive, {} of the others stopped by the kernel's own assertions",
        killed.len(),
        alive.len(),
        asserted.count()
    );
    assert!(killed.len() >= 24 && alive.is_empty(), "alive: {alive:?}");
}
