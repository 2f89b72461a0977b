//! Parity: the Lean model and the kernel run the same file, and every byte is compared. The tests
//! of the bridge do it; this says which of them, and lets their figures through.

use std::process::Command;
use std::time::Duration;

use crate::lanes::{self, Job};
use crate::lean;
use crate::report::Report;
use crate::tree::Tree;

/// The crate whose tests these are.
pub(crate) const PACKAGE: &str = "antiphon-bridge";

/// Its test of the schemas, and of the kernels that are wrong on purpose; all others are the suite.
const TYPES: &str = "types";
const MUTANTS: &str = "mutants";

/// Its test of the generated corpus against the digests that are kept. It has a line of its own in
/// the table, because `conformance` asks for it by name.
const CORPUS_TARGET: &str = "corpus (tests/corpus.rs)";

/// Random cases of a long run, and how the tests are told.
const LONG_CASES: (&str, &str) = ("ANTIPHON_PARITY_RANDOM", "20000");

/// More than the whole of CI may take: what is slower than this hangs.
const SUITE_DEADLINE: Duration = Duration::from_secs(45 * 60);

/// A long run has ten times the random cases, which are the most part of a run.
const LONG_DEADLINE: Duration = Duration::from_secs(4 * 60 * 60);

/// A process of npm's Lean takes up to 3 GB, and a test has up to two of them at a time.
const AT_ONCE: &str = "--test-threads=1";

/// Which parts of parity are wanted.
pub(crate) struct Wanted {
    /// The types of both sides, against the registry of deviations.
    pub(crate) types: bool,
    /// The corpus, one step at a time and in waves, and the kernels that are wrong on purpose.
    pub(crate) suite: bool,
    /// Many more random cases.
    pub(crate) long: bool,
}

impl Wanted {
    pub(crate) const ALL: Self = Self {
        types: true,
        suite: true,
        long: false,
    };
}

/// The parts wanted, each a report; without a Lean, one that says so.
pub(crate) fn lane(tree: &Tree, wanted: &Wanted) -> Vec<Report> {
    match lean::ready(tree) {
        Ok(lean) => println!("Lean lane: {lean}"),
        Err(problem) => return vec![Report::of_check("parity", Duration::ZERO, Err(problem))],
    }
    let mut reports = Vec::new();
    if wanted.types {
        reports.push(types(tree));
    }
    if wanted.suite {
        reports.extend(suite(tree, wanted.long));
        reports.push(mutants(tree));
    }
    reports
}

fn types(tree: &Tree) -> Report {
    let mut command = lanes::cargo_test(tree, [TYPES]);
    let about = "the kernel's types against the model's";
    Job::new("types", about)
        .talking()
        .test(tree, talking(&mut command))
        .report()
}

/// Without the feature `mutants`: the kernel that is compared is the one that is shipped.
fn suite(tree: &Tree, long: bool) -> [Report; 2] {
    let targets = targets(tree).filter(|name| ![TYPES, MUTANTS].contains(name));
    let mut command = lanes::cargo_test(tree, targets);
    let about = "the kernel against the model, case by case";
    let mut job = Job::new("suite", about).talking().within(SUITE_DEADLINE);
    if long {
        let (variable, cases) = LONG_CASES;
        command.env(variable, cases);
        job = job.within(LONG_DEADLINE);
    }
    let mut ran = job.test(tree, talking(&mut command));
    let corpus = ran.take("corpus", CORPUS_TARGET);
    [ran.report(), corpus]
}

/// The machine's own tests of its wrong kernels and the suite's: each is to be told from the right
/// one.
fn mutants(tree: &Tree) -> Report {
    let features = format!("{PACKAGE}/mutants,antiphon-machine/mutants");
    let mut command = lanes::cargo_test(tree, [MUTANTS]);
    command.args(["--features", &features]);
    let about = "kernels that are wrong on purpose";
    Job::new("mutants", about)
        .talking()
        .test(tree, talking(&mut command))
        .report()
}

/// Has the tests say what they find while they find it.
fn talking(command: &mut Command) -> &mut Command {
    command.args(["--", "--nocapture", AT_ONCE])
}

/// The tests of the crate, the slow ones: one that is new is of the suite.
pub(crate) fn targets(tree: &Tree) -> impl Iterator<Item = &str> {
    let bridge = tree
        .packages
        .iter()
        .filter(|package| package.name == PACKAGE);
    bridge.flat_map(|package| package.tests.iter().map(String::as_str))
}
