//! The kernel against the model. Each test runs the model in its own processes, and fails if Lean
//! is not installed.
#![allow(clippy::print_stdout, reason = "a successful run prints its figures")]

use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_bridge::answers::{case_digest, output_digest};
use antiphon_bridge::case::{Action, Case};
use antiphon_bridge::compare::{Comparison, DivergenceKind};
use antiphon_bridge::oracle::write_corpus;
use antiphon_bridge::scope::Part;
use antiphon_bridge::{hand, random, run};
use antiphon_machine::Ingress;

mod common;

use common::{Kept, ORACLE, RANDOM_CASES, Suite, oracle, recordings, regressions};

/// The environment variable with the number of random cases; a long run sets it to more.
const RANDOM_VARIABLE: &str = "ANTIPHON_PARITY_RANDOM";

/// The most random cases in memory at a time.
const RANDOM_PORTION: u64 = 2_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn random_range() -> Range<u64> {
    let count = match std::env::var(RANDOM_VARIABLE) {
        Ok(count) => count.parse().expect("a number of cases"),
        Err(_) => RANDOM_CASES,
    };
    0..count
}

#[test]
fn canonical_parity_is_exact_at_concurrency_one() {
    let mut suite = Suite::default();
    let hand = hand::cases();
    assert!(hand.len() >= 300, "too few hand-written cases");
    suite.part("hand-meant", hand);
    let regressions = regressions(&root());
    if !regressions.is_empty() {
        suite.part("regressions", regressions);
    }
    let recordings = recordings(&root());
    assert!(recordings.len() >= 8, "too few recordings");
    suite.part("recordings", recordings);
    for part in Part::ALL {
        suite.part(&format!("small scope, {part:?}"), part.cases());
    }
    let Range { mut start, end } = random_range();
    while start < end {
        let portion = start..end.min(start + RANDOM_PORTION);
        start = portion.end;
        let cases = portion.clone().map(random::case).collect();
        suite.part(&format!("random, seeds {portion:?}"), cases);
        suite.run(|_, _, _| {});
    }
    let coverage = suite.finish();
    println!("{coverage}");
    let findings = coverage.findings();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// A case is changed only in the file that the model reads. Exactly this case diverges, at the
/// changed field; the other cases of the same run do not.
#[test]
fn a_tampered_case_is_the_only_one_that_diverges() {
    let clean: Vec<Case> = (0..40)
        .map(random::case)
        .chain(hand::cases().into_iter().take(40))
        .collect();
    let at = 17;
    let mut tampered = clean.clone();
    let open = tampered[at]
        .actions
        .iter_mut()
        .find_map(|action| match action {
            Action::Input(Ingress::Open { owner, .. }) => Some(owner),
            _ => None,
        });
    *open.expect("every case opens a session") = Arc::from("somebody else");

    let folder = tempfile::tempdir().expect("a folder");
    let (corpus, output) = (folder.path().join("corpus"), folder.path().join("output"));
    write_corpus(&corpus, clean.iter().chain(&tampered)).expect("the file can be written");
    oracle()
        .run(&corpus, &output)
        .unwrap_or_else(|error| panic!("{error}"));
    let model = BufReader::new(File::open(&output).expect("the file exists"));
    let done = Comparison::run(clean.iter().chain(&clean), model, |_, _| {});
    let done = done.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(done.cases, 2 * clean.len() as u64);
    let indices: Vec<u64> = done
        .divergences
        .iter()
        .map(|divergence| divergence.index)
        .collect();
    assert_eq!(indices, [(clean.len() + at) as u64]);
    let DivergenceKind::Action { differences, .. } = &done.divergences[0].kind else {
        panic!("{}", done.divergences[0]);
    };
    let paths: Vec<&str> = differences
        .iter()
        .map(|difference| difference.path.as_str())
        .collect();
    let owner = [
        "events · event 0 · event · owner",
        "state · sessions · session 0 · owner",
    ];
    assert_eq!(paths, owner, "{}", done.divergences[0]);

    // With the known answers, the model is run for the tampered case and no other one outside the
    // shard, and for each case whose output by the kernel is not the model's.
    let mut kept = Kept::open(ORACLE);
    let compared = oracle().compare_known(&clean, &mut kept.answers, |_, _| {});
    compared.unwrap_or_else(|error| panic!("{error}"));
    kept.save();
    for (n, case) in tampered.iter().enumerate() {
        let digest = case_digest(case);
        let kernel = || output_digest(&run::encode(&run::run(case)));
        let must_ask = kept.answers.must_ask(&digest, kernel);
        assert_eq!(
            must_ask,
            n == at || kept.is_in_shard(&digest),
            "{}",
            case.name
        );
        assert!(kept.answers.must_ask(&digest, || [0; 32]), "{}", case.name);
    }
}

/// The model refuses bytes that are not a case, and still runs the other cases.
#[test]
fn the_model_refuses_malformed_cases() {
    let good = random::case(1);
    let folder = tempfile::tempdir().expect("a folder");
    let (corpus, output) = (folder.path().join("corpus"), folder.path().join("output"));
    let mut bytes = good.to_bytes();
    let last = bytes.len() - 1;
    bytes.truncate(last);
    let file = File::create(&corpus).expect("the file can be created");
    let mut writer =
        antiphon_bridge::corpus::CorpusWriter::create(file).expect("the file can be written");
    writer.case(&good).expect("the file can be written");
    writer.raw(&bytes).expect("the file can be written");
    writer.raw(&[0x80]).expect("the file can be written");
    writer.case(&good).expect("the file can be written");
    writer.finish().expect("the file can be written");
    oracle()
        .run(&corpus, &output)
        .unwrap_or_else(|error| panic!("{error}"));
    let model = BufReader::new(File::open(&output).expect("the file exists"));
    let done = Comparison::run([&good; 4], model, |_, _| {});
    let done = done.unwrap_or_else(|error| panic!("{error}"));
    let indices: Vec<u64> = done
        .divergences
        .iter()
        .map(|divergence| divergence.index)
        .collect();
    assert_eq!(indices, [1, 2]);
    for divergence in &done.divergences {
        assert!(
            matches!(divergence.kind, DivergenceKind::Unread { .. }),
            "{divergence}"
        );
    }
}
