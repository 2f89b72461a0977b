//! Parity: the Lean model and the kernel run the same cases, and every byte is compared. The
//! bridge's tests do the work; this module selects them and prints their figures.

use std::process::Command;
use std::time::Duration;

use antiphon_build_support::console::Console;

use crate::lanes::{self, Job};
use crate::lean;
use crate::report::Report;
use crate::tree::Tree;

/// The crate that has the tests.
pub(crate) const PACKAGE: &str = "antiphon-bridge";

/// The test targets of the types and of the mutated kernels. All other targets are the suite.
const TYPES: &str = "types";
const MUTANTS: &str = "mutants";

/// The test target that compares the generated corpus with the committed digests. It has a separate
/// line in the table, because `conformance` lists it by name.
const CORPUS_TARGET: &str = "corpus (tests/corpus.rs)";

/// The variable that sets the number of random cases, and its value for a long run.
const LONG_CASES: (&str, &str) = ("ANTIPHON_PARITY_RANDOM", "20000");

/// Longer than a whole CI run may take: a suite that needs more time than this hangs.
const SUITE_DEADLINE: Duration = Duration::from_secs(45 * 60);

/// A long run has ten times the random cases, which take most of the time of a run.
const LONG_DEADLINE: Duration = Duration::from_secs(4 * 60 * 60);

/// A process of npm's Lean takes up to 3 GB, and one test runs up to two of them at a time.
const ONE_TEST_AT_A_TIME: &str = "--test-threads=1";

/// The parts of parity to run.
pub(crate) struct Parts {
    /// The types of both sides, compared with the registry of deviations.
    pub(crate) types: bool,
    /// The corpus, one step at a time and in waves, and the mutated kernels.
    pub(crate) suite: bool,
    /// Ten times as many random cases.
    pub(crate) long: bool,
}

impl Parts {
    pub(crate) const ALL: Self = Self {
        types: true,
        suite: true,
        long: false,
    };
}

/// Runs the parts and returns a report for each. Without a Lean it returns one failed report.
pub(crate) fn lane(tree: &Tree, parts: &Parts, console: &mut Console) -> Vec<Report> {
    match lean::ready(tree, console) {
        Ok(lean) => console.line(&format!("Lean lane: {lean}")),
        Err(problem) => return vec![Report::of_check("parity", Duration::ZERO, Err(problem))],
    }
    let mut reports = Vec::new();
    if parts.types {
        reports.push(types(tree, console));
    }
    if parts.suite {
        reports.extend(suite(tree, parts.long, console));
        reports.push(mutants(tree, console));
    }
    reports
}

fn types(tree: &Tree, console: &mut Console) -> Report {
    let mut command = lanes::cargo_test(tree, [TYPES]);
    let about = "the kernel's types against the model's";
    Job::new("types", about)
        .streaming()
        .test(tree, console, streaming(&mut command))
        .report()
}

/// The suite is compiled without the feature `mutants`, so it compares the kernel that is shipped.
fn suite(tree: &Tree, long: bool, console: &mut Console) -> [Report; 2] {
    let targets = targets(tree).filter(|name| ![TYPES, MUTANTS].contains(name));
    let mut command = lanes::cargo_test(tree, targets);
    let about = "the kernel against the model, case by case";
    let mut job = Job::new("suite", about).streaming().within(SUITE_DEADLINE);
    if long {
        let (variable, cases) = LONG_CASES;
        command.env(variable, cases);
        job = job.within(LONG_DEADLINE);
    }
    let mut ran = job.test(tree, console, streaming(&mut command));
    let corpus = ran.take("corpus", CORPUS_TARGET);
    [ran.report(), corpus]
}

/// Runs the machine's and the suite's tests of mutated kernels: a test must detect each mutant.
fn mutants(tree: &Tree, console: &mut Console) -> Report {
    let features = format!("{PACKAGE}/mutants,antiphon-machine/mutants");
    let mut command = lanes::cargo_test(tree, [MUTANTS]);
    command.args(["--features", &features]);
    let about = "mutated kernels, each of which a case must detect";
    Job::new("mutants", about)
        .streaming()
        .test(tree, console, streaming(&mut command))
        .report()
}

/// Makes the tests print their output while they run.
fn streaming(command: &mut Command) -> &mut Command {
    command.args(["--", "--nocapture", ONE_TEST_AT_A_TIME])
}

/// The integration test targets of the bridge. A new target belongs to the suite.
pub(crate) fn targets(tree: &Tree) -> impl Iterator<Item = &str> {
    let bridge = tree
        .packages
        .iter()
        .filter(|package| package.name == PACKAGE);
    bridge.flat_map(|package| package.tests.iter().map(String::as_str))
}
