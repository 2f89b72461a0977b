//! The kernel against the model. Each test has the model run its cases in processes of its own; without a Lean to run,
//! every one fails.
#![allow(
    clippy::print_stdout,
    reason = "the figures are the point of a run that succeeds"
)]

use std::fs::{self, File};
use std::io::BufReader;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_bridge::case::{Action, Case};
use antiphon_bridge::compare::{Comparison, DivergenceKind};
use antiphon_bridge::fixture::read_fixtures;
use antiphon_bridge::oracle::write_corpus;
use antiphon_bridge::recording::case_of_recording;
use antiphon_bridge::scope::Part;
use antiphon_bridge::{hand, random};
use antiphon_machine::Ingress;

mod common;

use common::{Suite, oracle};

/// How many random cases there are; the long lane asks for more.
const RANDOM_VARIABLE: &str = "ANTIPHON_PARITY_RANDOM";
const RANDOM_CASES: u64 = 2_000;

/// Random cases that are in memory at a time.
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

/// Recordings of real sessions, the protocol's own sample and sessions with a guest.
fn recordings() -> Vec<Case> {
    let mut paths = vec![root().join("fixtures/recordings/v1/ping-pong.rec")];
    let folder = fs::read_dir(root().join("fixtures/parity/recordings")).expect("it is there");
    paths.extend(folder.map(|entry| entry.expect("it can be read").path()));
    paths.sort();
    let case = |path: &PathBuf| {
        let bytes = fs::read(path).expect("it can be read");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        case_of_recording(&name, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    paths.iter().map(case).collect()
}

#[test]
fn canonical_parity_is_exact_at_concurrency_one() {
    let mut suite = Suite::default();
    let hand = hand::cases();
    assert!(hand.len() >= 300, "hand-meant cases are no longer many");
    suite.part("hand-meant", hand);
    let regressions = read_fixtures(&root().join("fixtures/parity/regressions"));
    let regressions = regressions.unwrap_or_else(|error| panic!("{error}"));
    // None is a good state to be in.
    if !regressions.is_empty() {
        suite.part("regressions", regressions);
    }
    let recordings = recordings();
    assert!(
        recordings.len() >= 8,
        "the recordings of the guest are there"
    );
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

/// A case is changed in the file that the model reads, and in no other place: exactly that one diverges, where it was
/// changed; the others, in the same run, do not.
#[test]
fn a_tampered_corpus_gives_exactly_one_divergence_a_clean_one_none_in_the_same_run() {
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
    write_corpus(&corpus, clean.iter().chain(&tampered)).expect("it is written");
    oracle()
        .run(&corpus, &output)
        .unwrap_or_else(|error| panic!("{error}"));
    let model = BufReader::new(File::open(&output).expect("it is there"));
    let done = Comparison::run(clean.iter().chain(&clean), model, |_, _| {});
    let done = done.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(done.cases, 2 * clean.len() as u64);
    let found: Vec<u64> = done
        .divergences
        .iter()
        .map(|divergence| divergence.index)
        .collect();
    assert_eq!(found, [(clean.len() + at) as u64]);
    let DivergenceKind::Action { differences, .. } = &done.divergences[0].kind else {
        panic!("{}", done.divergences[0]);
    };
    let paths: Vec<&str> = differences
        .iter()
        .map(|found| found.path.as_str())
        .collect();
    let owner = [
        "events · event 0 · event · owner",
        "state · sessions · session 0 · owner",
    ];
    assert_eq!(paths, owner, "{}", done.divergences[0]);
}

/// A case that is none is refused by the model, and the others are run all the same.
#[test]
fn the_model_refuses_what_is_no_case() {
    let good = random::case(1);
    let folder = tempfile::tempdir().expect("a folder");
    let (corpus, output) = (folder.path().join("corpus"), folder.path().join("output"));
    let mut bytes = good.to_bytes();
    let last = bytes.len() - 1;
    bytes.truncate(last);
    let file = File::create(&corpus).expect("it is created");
    let mut writer = antiphon_bridge::corpus::CorpusWriter::create(file).expect("it is written");
    writer.case(&good).expect("it is written");
    writer.raw(&bytes).expect("it is written");
    writer.raw(&[0x80]).expect("it is written");
    writer.case(&good).expect("it is written");
    writer.finish().expect("it is written");
    oracle()
        .run(&corpus, &output)
        .unwrap_or_else(|error| panic!("{error}"));
    let model = BufReader::new(File::open(&output).expect("it is there"));
    let done = Comparison::run([&good; 4], model, |_, _| {});
    let done = done.unwrap_or_else(|error| panic!("{error}"));
    let found: Vec<u64> = done
        .divergences
        .iter()
        .map(|divergence| divergence.index)
        .collect();
    assert_eq!(found, [1, 2]);
    for divergence in &done.divergences {
        assert!(
            matches!(divergence.kind, DivergenceKind::Unread { .. }),
            "{divergence}"
        );
    }
}
