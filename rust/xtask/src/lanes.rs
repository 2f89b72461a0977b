//! The lanes of `cargo xtask test`, in the order in which they run: what is quick to fail comes
//! first.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::libtest::{LibTest, Target};
use crate::problem::Problem;
use crate::progress::{self, Progress};
use crate::report::{Report, Tally};
use crate::tree::Tree;
use crate::{lean, parity, run, setup, tidy, vm, wasm};

/// A whole build of the workspace from nothing on two slow cores takes some minutes; a lane that
/// needs more than this hangs.
pub(crate) const LANE_DEADLINE: Duration = Duration::from_secs(20 * 60);

/// Lines of a failed lane's output that are shown; the log has all of them.
const SHOWN_MAX: usize = 400;

/// The target that compares the wire's schema, goldens and code. It has a line of its own in the
/// table: were it renamed or lost among the others, nobody would miss it.
const SCHEMA_TARGET: &str = "schema (tests/schema.rs)";

/// One lane; some come to more than one report.
struct Lane {
    name: &'static str,
    run: fn(&Tree) -> Vec<Report>,
}

const LANES: [Lane; 11] = [
    Lane {
        name: "setup",
        run: |tree| vec![setup::lane(tree)],
    },
    Lane {
        name: "tidy",
        run: |tree| vec![tidy::lane(tree)],
    },
    Lane {
        name: "fmt",
        run: |tree| vec![fmt(tree)],
    },
    Lane {
        name: "clippy",
        run: |tree| vec![clippy(tree)],
    },
    Lane {
        name: "tests",
        run: tests,
    },
    Lane {
        name: "doctests",
        run: |tree| vec![doctests(tree)],
    },
    Lane {
        name: "docs",
        run: |tree| vec![docs(tree)],
    },
    Lane {
        name: "lean",
        run: |tree| vec![lean::lane(tree, false)],
    },
    Lane {
        name: "parity",
        run: |tree| parity::lane(tree, &parity::Wanted::ALL),
    },
    Lane {
        name: "wasm",
        run: wasm::lane,
    },
    Lane {
        name: "vm",
        run: |tree| vec![vm::lane(tree)],
    },
];

/// Names of the lanes, for the command line.
pub(crate) fn names() -> Vec<&'static str> {
    LANES.iter().map(|lane| lane.name).collect()
}

/// Runs the lanes named, or all; says which were not asked for.
pub(crate) fn run(tree: &Tree, wanted: &[String]) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut left_out = Vec::new();
    for lane in &LANES {
        if wanted.is_empty() || wanted.iter().any(|name| name == lane.name) {
            let of_lane = (lane.run)(tree);
            of_lane.iter().for_each(Report::tell);
            reports.extend(of_lane);
        } else {
            left_out.push(lane.name);
        }
    }
    if !left_out.is_empty() {
        println!("\nnot asked for: {}", left_out.join(", "));
    }
    reports
}

fn fmt(tree: &Tree) -> Report {
    let mut command = tree.cargo("fmt");
    command.args(["--all", "--check", "--", "--color=never"]);
    Job::new("fmt", "formatting of every file").check(tree, &mut command)
}

/// All features, so that what is compiled only for the virtual machine is read too.
fn clippy(tree: &Tree) -> Report {
    let mut command = tree.cargo("clippy");
    command.args([
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ]);
    let about = "lints of every target, warnings are errors";
    Job::new("clippy", about).check(tree, &mut command)
}

/// The integration tests of the bridge have Lean run for minutes; they are the lane `parity`. The programs that the others
/// start, `antiphon` and `antiphon-agent`, cargo builds before any test runs.
fn tests(tree: &Tree) -> Vec<Report> {
    let elsewhere: BTreeSet<&str> = parity::targets(tree).chain([vm::TEST]).collect();
    let here = tree.packages.iter().flat_map(|package| &package.tests);
    let here = here
        .map(String::as_str)
        .filter(|name| !elsewhere.contains(name));
    let mut command = cargo_test(tree, here.collect::<BTreeSet<_>>());
    command.args(["--lib", "--bins", "--examples"]);
    let about = "unit tests of every crate, integration tests of every crate but the bridge";
    let mut ran = Job::new("tests", about).test(tree, &mut command);
    let schema = ran.take("schema", SCHEMA_TARGET);
    vec![ran.report(), schema]
}

/// `cargo test` of these integration tests, whatever crate has them.
///
/// Always of the whole workspace: which features a dependency is compiled with goes by the packages that are asked for,
/// and every other choice of packages compiles half of them once more.
pub(crate) fn cargo_test<'a>(tree: &Tree, tests: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = tree.cargo("test");
    command.args(["--workspace", "--no-fail-fast"]);
    command.args(tests.into_iter().flat_map(|test| ["--test", test]));
    command
}

/// Builds a program of the workspace, with the features that tests have: see [`cargo_test`].
pub(crate) fn cargo_build_program(tree: &Tree, name: &str) -> Command {
    let mut command = tree.cargo("build");
    // The examples are what makes it so: they may use what only tests depend on.
    command.args(["--workspace", "--bin", name, "--examples"]);
    command
}

fn doctests(tree: &Tree) -> Report {
    let mut command = tree.cargo("test");
    command.args(["--workspace", "--no-fail-fast", "--doc"]);
    let about = "examples in the documentation of every crate";
    Job::new("doctests", about)
        .test(tree, &mut command)
        .report()
}

fn docs(tree: &Tree) -> Report {
    let mut command = tree.cargo("doc");
    command.args(["--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    let about = "documentation of every crate, warnings are errors";
    Job::new("docs", about).check(tree, &mut command)
}

/// A program that a lane runs.
pub(crate) struct Job<'a> {
    /// The lane; its log has this name.
    name: &'static str,
    about: &'a str,
    deadline: Duration,
    talks: bool,
}

impl<'a> Job<'a> {
    pub(crate) fn new(name: &'static str, about: &'a str) -> Self {
        Self {
            name,
            about,
            deadline: LANE_DEADLINE,
            talks: false,
        }
    }

    /// What its tests say is shown as it comes: the figures are what it is run for. Others are
    /// heard only when they fail.
    pub(crate) fn talking(mut self) -> Self {
        self.talks = true;
        self
    }

    pub(crate) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it as one check: well when it ends well.
    pub(crate) fn check(&self, tree: &Tree, command: &mut Command) -> Report {
        let ran = self.watch(tree, command);
        Report::of_check(self.name, ran.elapsed, ran.outcome)
    }

    /// Runs a `cargo test`, whose tests are counted.
    pub(crate) fn test(&self, tree: &Tree, command: &mut Command) -> Ran {
        // Goldens are compared, never written, whatever the environment of the caller says.
        command
            .env("INSTA_UPDATE", "no")
            .env_remove("INSTA_FORCE_PASS")
            .env_remove("BLESS");
        self.watch(tree, command)
    }

    /// Runs a program to its end, and shows what is to be shown of what it says.
    fn watch(&self, tree: &Tree, command: &mut Command) -> Ran {
        let name = self.name;
        let log = tree.target.join("xtask").join(format!("{name}.log"));
        // The log and the counting want plain lines.
        command
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_PROGRESS_WHEN", "never");
        let mut progress = Progress::start(name, self.about);
        let mut reading = LibTest::default();
        let ended = run::watched(command, self.deadline, &log, &mut progress, |line| {
            let kept = reading.kept.len();
            let note = reading.line(line);
            if self.talks && reading.kept.len() > kept && !line.trim().is_empty() {
                progress::clear_line();
                println!("  | {line}");
            }
            note
        });
        progress.finish();
        let outcome = match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Problem::Lane { status, log }),
            Err(problem) => Err(problem),
        };
        if outcome.is_err() && !self.talks {
            let hidden = reading.kept.len().saturating_sub(SHOWN_MAX);
            for line in reading.kept.iter().skip(hidden) {
                println!("  | {line}");
            }
        }
        Ran {
            name,
            elapsed: progress.elapsed(),
            reading,
            outcome,
        }
    }
}

/// A `cargo test` that has ended, and what was read of it.
pub(crate) struct Ran {
    name: &'static str,
    elapsed: Duration,
    reading: LibTest,
    outcome: Result<(), Problem>,
}

impl Ran {
    /// Takes one target out, to be a line of its own in the table; it fails there when it did not
    /// run.
    pub(crate) fn take(&mut self, name: &'static str, target: &str) -> Report {
        let tally = self.reading.take(target);
        if self.reading.tally.failed == 0 && tally.failed > 0 {
            // The program ended badly for this target's sake alone.
            self.outcome = Ok(());
        }
        Report::of_tests(name, Duration::ZERO, tally, Ok(()))
    }

    pub(crate) fn report(self) -> Report {
        let ran_something = self
            .reading
            .targets
            .iter()
            .filter(|t| t.tally != Tally::default());
        let details = ran_something.map(Target::to_string).collect();
        Report::of_tests(self.name, self.elapsed, self.reading.tally, self.outcome)
            .with_details(details)
    }
}
