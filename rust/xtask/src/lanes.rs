//! The lanes of `cargo xtask test`, in the order in which they run: lanes that fail quickly come
//! first.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use antiphon_build_support::console::Console;
use antiphon_build_support::{self as support, process};

use crate::libtest::{LibTest, Target};
use crate::problem::Problem;
use crate::report::{Report, Tally};
use crate::tree::Tree;
use crate::{lean, parity, setup, tidy, vm, wasm};

/// A build of the whole workspace from scratch on two slow cores takes some minutes. A lane that
/// needs more time than this hangs.
pub(crate) const LANE_DEADLINE: Duration = Duration::from_secs(20 * 60);

/// How many lines of a failed lane's output are printed; the log has the whole output.
const SHOWN_MAX: usize = 400;

/// The test target that compares the wire's schema, goldens and code. The table has a separate
/// line for it, so that the run fails if the target is renamed or removed.
const SCHEMA_TARGET: &str = "schema (tests/schema.rs)";

/// A lane. Some lanes give several reports.
struct Lane {
    name: &'static str,
    run: fn(&Tree, &mut Console) -> Vec<Report>,
}

const LANES: [Lane; 11] = [
    Lane {
        name: "setup",
        run: |tree, console| vec![setup::lane(tree, console)],
    },
    Lane {
        name: "tidy",
        run: |tree, console| vec![tidy::lane(tree, console)],
    },
    Lane {
        name: "fmt",
        run: |tree, console| vec![fmt(tree, console)],
    },
    Lane {
        name: "clippy",
        run: |tree, console| vec![clippy(tree, console)],
    },
    Lane {
        name: "tests",
        run: tests,
    },
    Lane {
        name: "doctests",
        run: |tree, console| vec![doctests(tree, console)],
    },
    Lane {
        name: "docs",
        run: |tree, console| vec![docs(tree, console)],
    },
    Lane {
        name: "lean",
        run: |tree, console| vec![lean::lane(tree, false, console)],
    },
    Lane {
        name: "parity",
        run: |tree, console| parity::lane(tree, &parity::Parts::ALL, console),
    },
    Lane {
        name: "wasm",
        run: wasm::lane,
    },
    Lane {
        name: "vm",
        run: |tree, console| vec![vm::lane(tree, console)],
    },
];

/// The names of the lanes, for the command line.
pub(crate) fn names() -> Vec<&'static str> {
    LANES.iter().map(|lane| lane.name).collect()
}

/// Runs the named lanes, or all if none is named, and prints which lanes were not requested.
pub(crate) fn run(tree: &Tree, requested: &[String]) -> Vec<Report> {
    let mut console = Console::stdout();
    let mut reports = Vec::new();
    let mut others = Vec::new();
    for lane in &LANES {
        if requested.is_empty() || requested.iter().any(|name| name == lane.name) {
            let lane_reports = (lane.run)(tree, &mut console);
            for report in &lane_reports {
                report.print(&mut console);
            }
            reports.extend(lane_reports);
        } else {
            others.push(lane.name);
        }
    }
    if !others.is_empty() {
        println!("\nnot requested: {}", others.join(", "));
    }
    reports
}

fn fmt(tree: &Tree, console: &mut Console) -> Report {
    let mut command = tree.cargo("fmt");
    command.args(["--all", "--check", "--", "--color=never"]);
    Job::new("fmt", "formatting of every file").check(tree, console, &mut command)
}

/// Runs clippy with all features, so that it also reads code that only the virtual machine's tests
/// compile.
fn clippy(tree: &Tree, console: &mut Console) -> Report {
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
    Job::new("clippy", about).check(tree, console, &mut command)
}

/// Runs all tests but those of other lanes. The bridge's integration tests run Lean for minutes and
/// are the lane `parity`. Cargo builds the programs that tests start, `antiphon` and
/// `antiphon-agent`, before any test runs.
fn tests(tree: &Tree, console: &mut Console) -> Vec<Report> {
    let other_lanes: BTreeSet<&str> = parity::targets(tree).chain([vm::TEST]).collect();
    let targets = tree.packages.iter().flat_map(|package| &package.tests);
    let targets = targets
        .map(String::as_str)
        .filter(|name| !other_lanes.contains(name));
    let mut command = cargo_test(tree, targets.collect::<BTreeSet<_>>());
    command.args(["--lib", "--bins", "--examples"]);
    let about = "unit tests of every crate, integration tests of every crate but the bridge";
    let mut ran = Job::new("tests", about).test(tree, console, &mut command);
    let schema = ran.take("schema", SCHEMA_TARGET);
    vec![ran.report(), schema]
}

/// `cargo test` of these integration tests, in any crate.
///
/// It always names the whole workspace. The features of a dependency depend on which packages are
/// selected, so another selection would compile half of the dependencies again.
pub(crate) fn cargo_test<'a>(tree: &Tree, tests: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = tree.cargo("test");
    command.args(["--workspace", "--no-fail-fast"]);
    command.args(tests.into_iter().flat_map(|test| ["--test", test]));
    command
}

/// Builds a program of the workspace with the features that tests have: see [`cargo_test`].
pub(crate) fn cargo_build_program(tree: &Tree, name: &str) -> Command {
    let mut command = tree.cargo("build");
    // Examples may use dev-dependencies, so cargo selects the same features as for tests.
    command.args(["--workspace", "--bin", name, "--examples"]);
    command
}

fn doctests(tree: &Tree, console: &mut Console) -> Report {
    let mut command = tree.cargo("test");
    command.args(["--workspace", "--no-fail-fast", "--doc"]);
    let about = "examples in the documentation of every crate";
    Job::new("doctests", about)
        .test(tree, console, &mut command)
        .report()
}

fn docs(tree: &Tree, console: &mut Console) -> Report {
    let mut command = tree.cargo("doc");
    command.args(["--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    let about = "documentation of every crate, warnings are errors";
    Job::new("docs", about).check(tree, console, &mut command)
}

/// A program that a lane runs.
pub(crate) struct Job<'a> {
    /// The name of the lane and of its log.
    name: &'static str,
    about: &'a str,
    deadline: Duration,
    streams: bool,
}

impl<'a> Job<'a> {
    pub(crate) fn new(name: &'static str, about: &'a str) -> Self {
        Self {
            name,
            about,
            deadline: LANE_DEADLINE,
            streams: false,
        }
    }

    /// Prints the tests' output while they run, because the output has the figures the lane is run
    /// for. The output of other jobs is printed only if they fail.
    pub(crate) fn streaming(mut self) -> Self {
        self.streams = true;
        self
    }

    pub(crate) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs the program as one check, which passes if the program exits with success.
    pub(crate) fn check(
        &self,
        tree: &Tree,
        console: &mut Console,
        command: &mut Command,
    ) -> Report {
        let ran = self.watch(tree, console, command);
        Report::of_check(self.name, ran.elapsed, ran.outcome)
    }

    /// Runs `cargo test` and counts its tests.
    pub(crate) fn test(&self, tree: &Tree, console: &mut Console, command: &mut Command) -> Ran {
        // Goldens are compared and never written, whatever the caller's environment asks for.
        command
            .env("INSTA_UPDATE", "no")
            .env_remove("INSTA_FORCE_PASS")
            .env_remove("BLESS");
        self.watch(tree, console, command)
    }

    /// Runs a program until it exits, and prints the part of its output that matters.
    fn watch(&self, tree: &Tree, console: &mut Console, command: &mut Command) -> Ran {
        let name = self.name;
        let log = tree.target.join("xtask").join(format!("{name}.log"));
        // The log and the counter need plain lines.
        command
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_PROGRESS_WHEN", "never");
        console.begin(name, self.about);
        let mut reading = LibTest::default();
        let ended = process::watched(command, self.deadline, &log, console, |console, line| {
            let shown = reading.shown.len();
            let note = reading.line(line);
            if self.streams && reading.shown.len() > shown && !line.trim().is_empty() {
                console.line(&format!("  | {line}"));
            }
            if let Some(note) = note {
                console.note(note);
            }
        });
        console.finish();
        let outcome = match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(support::Problem::Exit { status, log }.into()),
            Err(problem) => Err(problem.into()),
        };
        if outcome.is_err() && !self.streams {
            let hidden = reading.shown.len().saturating_sub(SHOWN_MAX);
            for line in reading.shown.iter().skip(hidden) {
                console.line(&format!("  | {line}"));
            }
        }
        Ran {
            name,
            elapsed: console.elapsed(),
            reading,
            outcome,
        }
    }
}

/// The result of a program of a lane, with the counts read from its output.
pub(crate) struct Ran {
    name: &'static str,
    elapsed: Duration,
    reading: LibTest,
    outcome: Result<(), Problem>,
}

impl Ran {
    /// Moves one target into a report of its own, which fails if the target did not run.
    pub(crate) fn take(&mut self, name: &'static str, target: &str) -> Report {
        let tally = self.reading.take(target);
        if self.reading.tally.failed == 0 && tally.failed > 0 {
            // The program failed only because of this target.
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
