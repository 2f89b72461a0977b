//! The lanes of `cargo xtask test`. Lanes that fail quickly come first.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use antiphon_build_support::console::Console;
use antiphon_build_support::{self as support, process};

use crate::dependencies::{self, Seeded};
use crate::libtest::{LibTest, Target};
use crate::problem::Problem;
use crate::report::{Report, Tally};
use crate::runner::{self, Load, Stdout, Task};
use crate::tree::Tree;
use crate::{lean, parity, setup, tidy, vm, wasm};

/// A build of the whole workspace from scratch on two slow cores takes some minutes. A lane that
/// takes longer than this is considered hung.
pub(crate) const LANE_DEADLINE: Duration = Duration::from_secs(20 * 60);

/// How many lines of a failed lane's output are printed; the log has the whole output.
const SHOWN_MAX: usize = 400;

/// The test target that compares the wire's schema, goldens and code. The table has a separate
/// line for it, so that the run fails if the target is renamed or removed.
const SCHEMA_TARGET: &str = "schema (tests/schema.rs)";

/// The test target that runs Lean for minutes on recordings of the command-line program.
const CERTIFY: &str = "certify";

/// The lanes that compile no Rust.
const COMPILE_NOTHING: [&str; 5] = ["setup", "tidy", "downloads", "fmt", "lean"];

/// A lane. Some lanes give several reports.
struct Lane {
    name: &'static str,
    load: Load,
    after: &'static [&'static str],
    needs: &'static [&'static str],
    run: fn(&Tree, &mut Console) -> Vec<Report>,
}

impl Lane {
    /// A lane that uses the cores.
    const fn new(name: &'static str, run: fn(&Tree, &mut Console) -> Vec<Report>) -> Self {
        Self {
            name,
            load: Load::Cores,
            after: &[],
            needs: &[],
            run,
        }
    }

    /// The lane mostly waits, so it may run beside one that uses the cores.
    const fn waiting(mut self) -> Self {
        self.load = Load::Waiting;
        self
    }

    /// The lane runs Lean, so it may run beside one that uses the cores.
    const fn lean(mut self) -> Self {
        self.load = Load::Lean;
        self
    }

    /// These lanes run first, if they are requested.
    const fn after(mut self, lanes: &'static [&'static str]) -> Self {
        self.after = lanes;
        self
    }

    /// These lanes run first, also if they are not requested, and must pass.
    const fn needs(mut self, lanes: &'static [&'static str]) -> Self {
        self.needs = lanes;
        self
    }
}

/// The lanes in the order in which they start if nothing else orders them.
const LANES: [Lane; 15] = [
    Lane::new("setup", |_, console| vec![setup::lane(console)]).waiting(),
    Lane::new("tidy", |tree, console| vec![tidy::lane(tree, console)]),
    Lane::new("downloads", |tree, console| {
        vec![setup::downloads(tree, console)]
    })
    .waiting()
    .after(&["setup"]),
    Lane::new("fmt", |tree, console| vec![fmt(tree, console)]).after(&["setup"]),
    Lane::new("clippy", |tree, console| {
        vec![clippy(tree, console), lean_native(tree, console)]
    })
    .after(&["setup"]),
    Lane::new("lean", |tree, console| {
        vec![lean::lane(tree, false, console)]
    })
    .lean()
    .after(&["setup", "downloads"]),
    // Tests have deadlines, so they do not run beside a download.
    Lane::new("tests", tests).after(&["setup", "downloads"]),
    Lane::new("doctests", |tree, console| vec![doctests(tree, console)]).after(&["setup"]),
    Lane::new("docs", |tree, console| vec![docs(tree, console)]).after(&["setup"]),
    Lane::new("wasm", |tree, console| vec![wasm::lane(tree, console)]).after(&["setup"]),
    Lane::new("browsers", wasm::browsers)
        .waiting()
        .needs(&["wasm"]),
    Lane::new("guest", |tree, console| vec![vm::guest(tree, console)])
        .after(&["setup", "downloads"]),
    Lane::new("vm", |tree, console| vec![vm::lane(tree, console)])
        .waiting()
        .needs(&["guest"]),
    // After `tests`, because of the deadlines, and because both compile in the same directory.
    Lane::new("parity", |tree, console| {
        parity::lane(tree, &parity::Parts::all(tree.kept), console)
    })
    .lean()
    .after(&["lean", "tests"]),
    // After `wasm` and `vm` too, because cargo may replace the program that these tests start.
    Lane::new("certify", |tree, console| vec![certify(tree, console)])
        .lean()
        .after(&["lean", "tests", "wasm", "vm"]),
];

/// The names of the lanes, for the command line.
pub(crate) fn names() -> Vec<&'static str> {
    LANES.iter().map(|lane| lane.name).collect()
}

/// The lanes with these names and the lanes that they need, in order; all lanes if no name is
/// given.
fn select(requested: &[String]) -> Vec<&'static Lane> {
    let is_requested = |lane: &Lane| {
        let depends = |other: &Lane| other.needs.contains(&lane.name);
        let named = |lane: &Lane| requested.iter().any(|name| name == lane.name);
        // A needed lane needs no other one; see the tests.
        requested.is_empty() || named(lane) || LANES.iter().any(|l| named(l) && depends(l))
    };
    LANES.iter().filter(|lane| is_requested(lane)).collect()
}

/// Runs the named lanes, or all if none is named, and prints which lanes were not requested.
pub(crate) fn run(tree: &Tree, requested: &[String]) -> Vec<Report> {
    let lanes = select(requested);
    let seeded = seed(tree, &lanes);
    let reports = if let [lane] = lanes[..] {
        // The output of a single lane is printed at once.
        let mut console = Console::stdout();
        let reports = (lane.run)(tree, &mut console);
        for report in &reports {
            report.print(&mut |line| console.line(line));
        }
        reports
    } else {
        let tasks = lanes.iter().map(|lane| Task {
            name: lane.name,
            load: lane.load,
            after: lane.after,
            needs: lane.needs,
            run: Box::new(|console| (lane.run)(tree, console)),
        });
        runner::run(tasks.collect(), &mut Stdout::new())
    };
    let is_selected = |name: &&str| lanes.iter().any(|lane| lane.name == *name);
    let others: Vec<&str> = names().into_iter().filter(|n| !is_selected(n)).collect();
    if !others.is_empty() {
        println!("\nnot requested: {}", others.join(", "));
    } else if !reports.iter().any(Report::failed) {
        // Only a complete run has compiled all dependencies.
        let mut console = Console::stdout();
        if let Err(problem) = seeded.store(tree, &mut console) {
            console.line(&format!(
                "cannot store the compiled dependencies: {problem}"
            ));
        }
    }
    reports
}

/// Copies compiled dependencies from the cache, if a lane compiles and the cache may be used. A run
/// without them compiles them.
fn seed(tree: &Tree, lanes: &[&Lane]) -> Seeded {
    let compiles = |lane: &&Lane| !COMPILE_NOTHING.contains(&lane.name);
    if tree.kept == parity::Kept::Nothing || !lanes.iter().any(compiles) {
        return Seeded::default();
    }
    let mut console = Console::stdout();
    dependencies::seed(tree, &mut console).unwrap_or_else(|problem| {
        console.line(&format!("cannot use the compiled dependencies: {problem}"));
        Seeded::default()
    })
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

/// Runs clippy on the package that links the compiled model, which is outside the workspace. This
/// checks its types only, because set-up installs no Lean that can be linked.
fn lean_native(tree: &Tree, console: &mut Console) -> Report {
    let mut command = tree.cargo("clippy");
    command.args(["--manifest-path", "rust/lean-native/Cargo.toml", "--locked"]);
    command
        .arg("--target-dir")
        .arg(tree.target.join("lean-native"));
    command.args(["--all-targets", "--", "-D", "warnings"]);
    // With this variable, the build script of `lean-sys` does not look for a Lean.
    command.env("DOCS_RS", "1");
    let about = "types of the package that links a native Lean";
    Job::new("lean-native", about).check(tree, console, &mut command)
}

/// Runs all tests except those of other lanes. The bridge's integration tests run Lean for minutes,
/// so they have the lane `parity`, and those of `antiphon certify` have the lane `certify`. Cargo
/// builds the programs that tests start, `antiphon` and `antiphon-agent`, before any test runs.
fn tests(tree: &Tree, console: &mut Console) -> Vec<Report> {
    let other_lanes: BTreeSet<&str> = parity::targets(tree).chain([vm::TEST, CERTIFY]).collect();
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

/// Runs the tests of `antiphon certify`; fails if Lean is not installed. Runs one test at a time,
/// because a process of npm's Lean takes up to 3 GB.
fn certify(tree: &Tree, console: &mut Console) -> Report {
    if let Err(problem) = lean::ready(tree, console) {
        return Report::of_check("certify", Duration::ZERO, Err(problem));
    }
    let mut command = cargo_test(tree, [CERTIFY]);
    tree.kept.apply_to_lean(tree, &mut command, console);
    command.args(["--", "--test-threads=1"]);
    let about = "theorems of recordings, checked by Lean";
    let ran = Job::new("certify", about).test(tree, console, &mut command);
    ran.report()
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

    /// Prints the output while the tests run, because the output has the figures for which the lane
    /// is run. The output of other jobs is printed only if they fail.
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
        // The log and the code that counts tests need lines without colours.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(requested: &[&str]) -> Vec<&'static str> {
        let requested: Vec<String> = requested.iter().map(|name| (*name).to_owned()).collect();
        select(&requested).iter().map(|lane| lane.name).collect()
    }

    #[test]
    fn a_requested_lane_brings_the_lanes_it_needs() {
        assert_eq!(selected(&["vm"]), ["guest", "vm"]);
        assert_eq!(selected(&["browsers", "fmt"]), ["fmt", "wasm", "browsers"]);
        assert_eq!(selected(&["parity"]), ["parity"]);
        assert_eq!(selected(&[]), names());
    }

    #[test]
    fn lanes_that_compile_nothing_are_lanes() {
        let names = names();
        assert!(COMPILE_NOTHING.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn lanes_name_only_lanes_that_come_before_them() {
        for (position, lane) in LANES.iter().enumerate() {
            for name in lane.after.iter().chain(lane.needs) {
                let before = LANES.iter().take(position).find(|l| l.name == *name);
                let before = before.unwrap_or_else(|| panic!("{} names {name}", lane.name));
                assert!(!lane.needs.contains(name) || before.needs.is_empty());
            }
        }
    }
}
