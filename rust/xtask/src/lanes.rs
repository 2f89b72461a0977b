//! The lanes of `cargo xtask test`, in the order in which they run: what is quick to fail comes
//! first.

use std::process::Command;
use std::time::Duration;

use crate::libtest::{LibTest, Target};
use crate::problem::Problem;
use crate::progress::Progress;
use crate::report::{Report, Tally};
use crate::tree::Tree;
use crate::{lean, run, setup, tidy, vm};

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

const LANES: [Lane; 9] = [
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
        name: "lean",
        run: |tree| vec![lean::lane(tree, false)],
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
    check(tree, "fmt", "formatting of every file", &mut command)
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
    check(
        tree,
        "clippy",
        "lints of every target, warnings are errors",
        &mut command,
    )
}

/// The binaries are built first: tests start `antiphon` and `antiphon-agent` from the target
/// directory.
fn tests(tree: &Tree) -> Vec<Report> {
    let mut build = tree.cargo("build");
    build.args(["--workspace", "--bins"]);
    let built = check(
        tree,
        "tests",
        "building the binaries that tests start",
        &mut build,
    );
    if built.failed() {
        return vec![built];
    }
    let mut command = tree.cargo("test");
    command.args([
        "--workspace",
        "--no-fail-fast",
        "--lib",
        "--bins",
        "--tests",
        "--examples",
    ]);
    let about = "unit and integration tests of every crate";
    let mut ran = run_tests(tree, "tests", about, &mut command);
    let schema = ran.reading.take(SCHEMA_TARGET);
    if ran.reading.tally.failed == 0 && schema.failed > 0 {
        // The program ended badly for the schema's sake alone.
        ran.outcome = Ok(());
    }
    let schema = Report::of_tests("schema", Duration::ZERO, schema, Ok(()));
    vec![report_tests("tests", ran).after(&built), schema]
}

fn doctests(tree: &Tree) -> Report {
    let mut command = tree.cargo("test");
    command.args(["--workspace", "--no-fail-fast", "--doc"]);
    counted(
        tree,
        "doctests",
        "examples in the documentation of every crate",
        &mut command,
    )
}

fn docs(tree: &Tree) -> Report {
    let mut command = tree.cargo("doc");
    command.args(["--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    check(
        tree,
        "docs",
        "documentation of every crate, warnings are errors",
        &mut command,
    )
}

/// A program that is one check: well when it ends well.
fn check(tree: &Tree, name: &'static str, about: &str, command: &mut Command) -> Report {
    let ran = watch(tree, name, about, command);
    Report::of_check(name, ran.elapsed, ran.outcome)
}

/// A `cargo test`, whose tests are counted.
pub(crate) fn counted(
    tree: &Tree,
    name: &'static str,
    about: &str,
    command: &mut Command,
) -> Report {
    report_tests(name, run_tests(tree, name, about, command))
}

fn run_tests(tree: &Tree, name: &'static str, about: &str, command: &mut Command) -> Ran {
    // Goldens are compared, never written, whatever the environment of the caller says.
    command
        .env("INSTA_UPDATE", "no")
        .env_remove("INSTA_FORCE_PASS")
        .env_remove("BLESS");
    watch(tree, name, about, command)
}

fn report_tests(name: &'static str, ran: Ran) -> Report {
    let ran_something = ran
        .reading
        .targets
        .iter()
        .filter(|t| t.tally != Tally::default());
    let details = ran_something.map(Target::to_string).collect();
    Report::of_tests(name, ran.elapsed, ran.reading.tally, ran.outcome).with_details(details)
}

/// A lane's program that has ended.
struct Ran {
    elapsed: Duration,
    reading: LibTest,
    outcome: Result<(), Problem>,
}

/// Runs a lane's program to its end and, if it ended badly, shows what it said.
fn watch(tree: &Tree, name: &'static str, about: &str, command: &mut Command) -> Ran {
    let log = tree.target.join("xtask").join(format!("{name}.log"));
    // The log and the counting want plain lines.
    command
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never");
    let mut progress = Progress::start(name, about);
    let mut reading = LibTest::default();
    let ended = run::watched(command, LANE_DEADLINE, &log, &mut progress, |line| {
        reading.line(line)
    });
    progress.finish();
    let outcome = match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Problem::Lane { status, log }),
        Err(problem) => Err(problem),
    };
    if outcome.is_err() {
        let hidden = reading.kept.len().saturating_sub(SHOWN_MAX);
        for line in reading.kept.iter().skip(hidden) {
            println!("  | {line}");
        }
    }
    Ran {
        elapsed: progress.elapsed(),
        reading,
        outcome,
    }
}
