//! Parity: the Lean model and the kernel run the same cases, and every byte is compared. The
//! bridge's tests do the work; this module selects them and prints their figures.

use std::process::Command;
use std::time::Duration;

use antiphon_build_support::cache::VARIABLE;
use antiphon_build_support::console::Console;
use antiphon_build_support::process;

use crate::lanes::{self, Job};
use crate::lean;
use crate::mutants;
use crate::problem::Problem;
use crate::report::Report;
use crate::tree::Tree;

/// The crate that has the tests.
pub(crate) const PACKAGE: &str = "antiphon-bridge";

/// The test target of the types. All other targets are the suite.
const TYPES: &str = "types";

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

/// The programs whose answers are kept, each with the variable that tells the tests its digest.
const PROGRAMS: [(&str, &str); 3] = [
    ("Runtime/Oracle.lean", "ANTIPHON_ORACLE_DIGEST"),
    ("Runtime/Certificate.lean", "ANTIPHON_CERTIFICATE_DIGEST"),
    ("Runtime/Verification.lean", "ANTIPHON_VERIFICATION_DIGEST"),
];

/// The variable that tells the tests the shard that is asked again.
const SHARD_VARIABLE: &str = "ANTIPHON_ORACLE_SHARD";

/// The number of shards: a run asks the model again for the cases of one of them.
const SHARDS: u8 = 16;

/// Which answers of the model a run may take from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// None: the model is asked for every case.
    Nothing,
    /// All but those of the cases in this shard.
    AllBut(u8),
}

impl Kept {
    /// The shard that the commit selects: sixteen commits ask for every case once, more or less.
    pub(crate) fn of_commit(tree: &Tree) -> Self {
        let mut git = Command::new("git");
        git.args(["rev-parse", "HEAD"]).current_dir(&tree.root);
        let commit = process::output(&mut git).unwrap_or_default();
        let digits = commit
            .get(..8)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        // Without a repository the first shard is as good as another.
        Self::AllBut(digits.map_or(0, |digits| (digits % u32::from(SHARDS)) as u8))
    }

    /// Lets the tests of a command take results of Lean from the cache, or not: see
    /// [`SHARD_VARIABLE`](antiphon_lean_driver::SHARD_VARIABLE).
    pub(crate) fn apply_to_lean(self, tree: &Tree, command: &mut Command, console: &mut Console) {
        command.env_remove(antiphon_lean_driver::SHARD_VARIABLE);
        if let Kept::AllBut(shard) = self {
            command.env(antiphon_lean_driver::SHARD_VARIABLE, shard.to_string());
            command.env(VARIABLE, tree.cache.root());
            console.line(&format!(
                "known results of Lean are used, but for shard {shard} of {SHARDS} \
                 (`--shard {shard}` repeats it, `--full` uses none)"
            ));
        }
    }

    /// Sets the variables that the tests read, and returns a line for the log.
    pub(crate) fn apply(
        self,
        tree: &Tree,
        command: &mut Command,
        console: &mut Console,
    ) -> Result<String, Problem> {
        let all = "the model is asked for every case";
        // The tests of cases keep digests of the model's answers instead.
        command.env_remove(antiphon_lean_driver::SHARD_VARIABLE);
        PROGRAMS.iter().for_each(|(_, variable)| {
            command.env_remove(variable);
        });
        let Kept::AllBut(shard) = self else {
            return Ok(all.to_owned());
        };
        for (file, variable) in PROGRAMS {
            let Some(digest) = lean::program_digest(tree, file, console)? else {
                return Ok(format!("{all}: a native Lean is fast enough"));
            };
            command.env(variable, digest);
        }
        command.env(SHARD_VARIABLE, shard.to_string());
        command.env(VARIABLE, tree.cache.root());
        Ok(format!(
            "known answers of the model are used, but for shard {shard} of {SHARDS} \
             (`cargo xtask parity --shard {shard}` repeats it, `--full` uses none)"
        ))
    }
}

/// The parts of parity to run.
pub(crate) struct Parts {
    /// The types of both sides, compared with the registry of deviations.
    pub(crate) types: bool,
    /// The corpus, one step at a time and in waves, and the mutants.
    pub(crate) suite: bool,
    /// Ten times as many random cases.
    pub(crate) long: bool,
    /// The answers of the model that may be taken from the cache.
    pub(crate) kept: Kept,
}

impl Parts {
    /// Everything, with these answers of the model.
    pub(crate) const fn all(kept: Kept) -> Self {
        Self {
            types: true,
            suite: true,
            long: false,
            kept,
        }
    }
}

/// Runs the parts and returns a report for each. Without a Lean it returns one failed report.
pub(crate) fn lane(tree: &Tree, parts: &Parts, console: &mut Console) -> Vec<Report> {
    match lean::ready(tree, console) {
        Ok(lean) => console.line(&format!("Lean lane: {lean}")),
        Err(problem) => return vec![Report::of_check("parity", Duration::ZERO, Err(problem))],
    }
    let mut reports = Vec::new();
    if parts.types {
        reports.push(types(tree, parts.kept, console));
    }
    if parts.suite {
        reports.extend(suite(tree, parts, console));
        reports.extend(mutants::lane(tree, parts.kept, console));
    }
    reports
}

fn types(tree: &Tree, kept: Kept, console: &mut Console) -> Report {
    let mut command = lanes::cargo_test(tree, [TYPES]);
    kept.apply_to_lean(tree, &mut command, console);
    let about = "the kernel's types against the model's";
    Job::new("types", about)
        .streaming()
        .test(tree, console, streaming(&mut command))
        .report()
}

fn suite(tree: &Tree, parts: &Parts, console: &mut Console) -> Vec<Report> {
    let targets = targets(tree).filter(|name| *name != TYPES);
    let mut command = lanes::cargo_test(tree, targets);
    match parts.kept.apply(tree, &mut command, console) {
        Ok(line) => console.line(&line),
        Err(problem) => return vec![Report::of_check("suite", Duration::ZERO, Err(problem))],
    }
    let about = "the kernel against the model, case by case";
    let mut job = Job::new("suite", about).streaming().within(SUITE_DEADLINE);
    if parts.long {
        let (variable, cases) = LONG_CASES;
        command.env(variable, cases);
        job = job.within(LONG_DEADLINE);
    }
    let mut ran = job.test(tree, console, streaming(&mut command));
    let corpus = ran.take("corpus", CORPUS_TARGET);
    vec![ran.report(), corpus]
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
