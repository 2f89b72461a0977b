//! Mutants: deliberate errors that are applied to a copy of the crates. The suite must detect each
//! one, which shows that it would detect such an error. The crates themselves have none.

mod copy;
mod edits;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use antiphon_build_support as support;
use antiphon_build_support::console::Console;
use serde::Deserialize;

use crate::lanes::Job;
use crate::lean;
use crate::parity::{self, Kept};
use crate::problem::Problem;
use crate::report::{Report, Tally};
use crate::tree::{self, Tree};
use copy::Copy;
pub(crate) use edits::EditProblem;
use edits::{Edits, Mutant};

/// The program that runs the cases, an example of the bridge.
const PROGRAM: &str = "mutants";

/// The variable that names the program which runs Lean files.
const LEAN_VARIABLE: &str = "ANTIPHON_LEAN";

/// The settings that are off in the comparison: the shipped kernel does not have these checks.
const ASSERTIONS: [&str; 2] = ["debug-assertions", "overflow-checks"];

/// The width of the first column of the table that has the name of a case.
const CASE_WIDTH: usize = 44;

/// The result of a run that is not the expected one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MutantProblem {
    #[error(
        "without an active mutant, the copy is not the shipped kernel: expected `{shipped}`, got \
         `{copy}`; one of the edits in `{}` changes more than its mutants",
        edits::DIRECTORY
    )]
    Differs { shipped: String, copy: String },
    #[error("no case was run")]
    NoCases,
    #[error(
        "no comparison detects {}: add a case to `rust/bridge/src/hand` that shows the error, or \
         remove the mutant if it is not an error",
        names.join(", ")
    )]
    Alive { names: Vec<String> },
}

/// The case that kills a mutant.
#[derive(Debug, Deserialize)]
struct Kill {
    case: String,
    /// The first difference, or the message of the assertion.
    place: String,
}

/// For each mutant, in the order of their numbers, the first case that kills it.
type Kills = Vec<Option<Kill>>;

/// `cargo xtask mutants`: [`lane`] by itself.
pub(crate) fn alone(tree: &Tree, kept: Kept, console: &mut Console) -> Vec<Report> {
    match lean::ready(tree, console) {
        Ok(lean) => console.line(&format!("Lean lane: {lean}")),
        Err(problem) => return vec![Report::of_check("mutants", Duration::ZERO, Err(problem))],
    }
    lane(tree, kept, console)
}

/// Checks that the copy without an active mutant is the shipped kernel, and that a case detects
/// each mutant. Needs a Lean that is ready.
pub(crate) fn lane(tree: &Tree, kept: Kept, console: &mut Console) -> Vec<Report> {
    let started = Instant::now();
    let written = Edits::load(&tree.root).and_then(|edits| {
        let copy = Copy::write(tree, &edits)?;
        Ok((edits, copy))
    });
    match written {
        Ok((edits, copy)) => {
            let run = Run { tree, copy: &copy };
            vec![
                run.same_bytes(console),
                run.kills(&edits.mutants, kept, console),
            ]
        }
        Err(problem) => vec![Report::of_check("mutants", started.elapsed(), Err(problem))],
    }
}

/// The copy of a checkout, and what is run in it.
struct Run<'a> {
    tree: &'a Tree,
    copy: &'a Copy,
}

impl Run<'_> {
    /// Runs every case of the suite on the shipped kernel and on the copy without a mutant, and
    /// compares the digests of the outputs.
    fn same_bytes(&self, console: &mut Console) -> Report {
        let (shipped, copied) = (self.report("shipped.txt"), self.report("copy.txt"));
        let mut build = self.tree.cargo("build");
        // The same selection as for tests, so that their builds are used: see `lanes::cargo_test`.
        build.args(["--workspace", "--example", PROGRAM]);
        let mut here = Command::new(self.tree.target.join("debug/examples").join(PROGRAM));
        let arguments = |command: &mut Command, report: &Path| {
            command.arg("digests").arg(report).arg(&self.tree.root);
        };
        arguments(&mut here, &shipped);
        let mut there = self.cargo(false);
        arguments(&mut there, &copied);
        let mut elapsed = Duration::ZERO;
        for (name, about, command) in [
            ("copy-build", "building the shipped kernel", &mut build),
            ("copy-shipped", "the suite on the shipped kernel", &mut here),
            ("copy", "the suite on the copy without a mutant", &mut there),
        ] {
            let report = Job::new(name, about).check(self.tree, console, command);
            if report.failed() {
                return report;
            }
            elapsed += report.elapsed();
        }
        let compared = read(&shipped).and_then(|shipped| {
            let copied = read(&copied)?;
            Ok(same_lines(&shipped, &copied)?)
        });
        let details = compared.as_ref().map(|cases| {
            vec![format!(
                "{cases} cases, the shipped kernel's bytes from the copy"
            )]
        });
        let details = details.unwrap_or_default();
        Report::of_check("copy", elapsed, compared.map(drop)).with_details(details)
    }

    /// Runs the mutants twice: compared with the model and without assertions, and with assertions.
    /// Only the comparison has to detect each mutant.
    fn kills(&self, mutants: &[Mutant], kept: Kept, console: &mut Console) -> Report {
        let count = mutants.len();
        let (compared, asserted) = (self.report("compared.json"), self.report("asserted.json"));
        let mut compare = self.cargo(false);
        compare.arg("compare").arg(&compared).arg(count.to_string());
        if let Err(problem) = kept.apply(self.tree, &mut compare, console) {
            return Report::of_check("mutants", Duration::ZERO, Err(problem));
        }
        let mut assert = self.cargo(true);
        assert.arg("assert").arg(&asserted).arg(count.to_string());
        let mut elapsed = Duration::ZERO;
        for (name, about, command) in [
            ("mutants", "mutants, compared with the model", &mut compare),
            (
                "mutants-assert",
                "mutants with the kernel's assertions",
                &mut assert,
            ),
        ] {
            let report = Job::new(name, about)
                .streaming()
                .check(self.tree, console, command);
            if report.failed() {
                return report;
            }
            elapsed += report.elapsed();
        }
        let both = kills_of(&compared, count)
            .and_then(|compared| Ok((compared, kills_of(&asserted, count)?)));
        match both {
            Ok((compared, asserted)) => judged(mutants, &compared, &asserted, elapsed),
            Err(problem) => Report::of_check("mutants", elapsed, Err(problem)),
        }
    }

    /// The path of a report.
    fn report(&self, name: &str) -> PathBuf {
        self.tree.target.join("mutants").join(name)
    }

    /// The program in the copy, with or without the kernel's assertions.
    fn cargo(&self, assertions: bool) -> Command {
        let mut command = tree::cargo_at(&self.copy.root, "run");
        // Not the target directory of the checkout: cargo identifies a crate by its path below the
        // workspace, which is the same in the copy.
        let target = self.tree.target.join("mutants/build");
        command.arg("--target-dir").arg(target);
        // The lock file has the versions of all crates, which the checkout's build has downloaded.
        command.args([
            "--offline",
            "--package",
            parity::PACKAGE,
            "--example",
            PROGRAM,
        ]);
        // Only the copied crates are compiled without assertions, so libraries are compiled once.
        for package in self.copy.packages.iter().filter(|_| !assertions) {
            for setting in ASSERTIONS {
                let config = format!("profile.dev.package.{package}.{setting}=false");
                command.args(["--config", &config]);
            }
        }
        if std::env::var_os(LEAN_VARIABLE).is_none() {
            command.env(LEAN_VARIABLE, self.tree.target.join("lean/run"));
        }
        command.arg("--");
        command
    }
}

fn read(path: &Path) -> Result<String, Problem> {
    fs::read_to_string(path).map_err(Problem::file(path))
}

/// Compares the reports of two kernels, and returns their number of lines.
fn same_lines(shipped: &str, copy: &str) -> Result<usize, MutantProblem> {
    let (mut expected, mut got) = (shipped.lines(), copy.lines());
    let mut count = 0;
    loop {
        match (expected.next(), got.next()) {
            (None, None) if count == 0 => return Err(MutantProblem::NoCases),
            (None, None) => return Ok(count),
            (shipped, copy) if shipped == copy => count += 1,
            (shipped, copy) => {
                let or_end = |line: Option<&str>| line.unwrap_or("no further case").to_owned();
                return Err(MutantProblem::Differs {
                    shipped: or_end(shipped),
                    copy: or_end(copy),
                });
            }
        }
    }
}

/// Reads the program's report on this number of mutants.
fn kills_of(path: &Path, count: usize) -> Result<Kills, Problem> {
    let kills = serde_json::from_str::<Kills>(&read(path)?).ok();
    let kills = kills.filter(|kills| kills.len() == count);
    let unreadable = support::Problem::Output {
        command: "mutants",
        expected: "a JSON array with an element for each mutant",
    };
    kills.ok_or_else(|| unreadable.into())
}

/// The report on all mutants: each must be killed by comparison.
fn judged(mutants: &[Mutant], compared: &Kills, asserted: &Kills, elapsed: Duration) -> Report {
    let mut tally = Tally::default();
    let mut alive = Vec::new();
    for (Mutant { name, what, .. }, kill) in mutants.iter().zip(compared) {
        if kill.is_some() {
            tally.passed += 1;
        } else {
            tally.failed += 1;
            alive.push(format!("`{name}` ({what})"));
        }
    }
    let outcome = match alive.is_empty() {
        true => Ok(()),
        false => Err(MutantProblem::Alive { names: alive }.into()),
    };
    let details = table(mutants, compared, asserted);
    Report::of_tests("mutants", elapsed, tally, outcome).with_details(details)
}

/// A line for each mutant with the first case that kills it in each of the two runs, and a line
/// with the totals.
fn table(mutants: &[Mutant], compared: &Kills, asserted: &Kills) -> Vec<String> {
    let row = |number: &str, mutant: &str, comparison: &str, assertion: &str| {
        let line = format!("{number:>3} {mutant:<26} {comparison:<CASE_WIDTH$} {assertion}");
        line.trim_end().to_owned()
    };
    let heading = row(
        "",
        "mutant",
        "killed by comparison",
        "killed by an assertion",
    );
    let mut lines = vec![heading];
    for ((mutant, compared), asserted) in mutants.iter().zip(compared).zip(asserted) {
        let comparison = compared
            .as_ref()
            .map_or("NO CASE".to_owned(), |k| cut(&k.case));
        let assertion = asserted.as_ref().map_or("-", |kill| &kill.place);
        let number = mutant.number.to_string();
        lines.push(row(&number, &mutant.name, &comparison, assertion));
    }
    let count = |kills: &Kills| kills.iter().flatten().count();
    lines.push(format!(
        "{} mutants, {} killed by comparison, {} killed by an assertion",
        mutants.len(),
        count(compared),
        count(asserted)
    ));
    lines
}

/// The text, shortened to the width of its column.
fn cut(text: &str) -> String {
    match text.char_indices().nth(CASE_WIDTH) {
        None => text.to_owned(),
        Some(_) => text.chars().take(CASE_WIDTH - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutants() -> Vec<Mutant> {
        let mutant = |(number, name): (u16, &str)| Mutant {
            number,
            name: name.to_owned(),
            what: "an error".to_owned(),
        };
        [(1, "BUFFER_SHORT"), (2, "LATE_COUNTS")].map(mutant).into()
    }

    fn kill(case: &str, place: &str) -> Option<Kill> {
        Some(Kill {
            case: case.to_owned(),
            place: place.to_owned(),
        })
    }

    /// The lines of the report, in which the first one is that of the table's heading.
    fn lines(compared: Kills, asserted: Kills) -> (bool, Vec<String>) {
        let report = judged(&mutants(), &compared, &asserted, Duration::ZERO);
        let mut lines = Vec::new();
        report.print(&mut |line| lines.push(line.to_owned()));
        (report.failed(), lines)
    }

    #[test]
    fn the_table_has_a_column_for_comparison_and_one_for_assertions() {
        let long = "a case with a name that is longer than the column is wide";
        let compared = vec![
            kill("full, RoundRobin", "action 3, state"),
            kill(long, "events"),
        ];
        let asserted = vec![kill("full, Priority", "invariant 1 does not hold"), None];
        let expected =
            "      mutant                     killed by comparison                         \
                        killed by an assertion
    1 BUFFER_SHORT               full, RoundRobin                             \
                        invariant 1 does not hold
    2 LATE_COUNTS                a case with a name that is longer than the … -
  2 mutants, 2 killed by comparison, 1 killed by an assertion
mutants: ok, 2 ran, 2 passed, 0 failed, 0 skipped, 0.0 s";
        let (failed, lines) = lines(compared, asserted);
        assert!(!failed);
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn a_mutant_that_only_an_assertion_kills_is_alive() {
        let killed = || kill("full", "invariant 1 does not hold");
        let (failed, lines) = lines(vec![None, killed()], vec![killed(), killed()]);
        assert!(failed);
        assert!(lines[1].contains("NO CASE"), "{lines:#?}");
        assert_eq!(
            lines[3..],
            [
                "  2 mutants, 1 killed by comparison, 2 killed by an assertion",
                "mutants: FAILED, 2 ran, 1 passed, 1 failed, 0 skipped, 0.0 s",
                "  no comparison detects `BUFFER_SHORT` (an error): add a case to \
                 `rust/bridge/src/hand` that shows the error, or remove the mutant if it is not an \
                 error",
            ]
        );
    }

    #[test]
    fn the_first_case_with_another_digest_is_named() {
        let message = |shipped: &str, copy: &str| match same_lines(shipped, copy) {
            Ok(count) => count.to_string(),
            Err(problem) => problem.to_string(),
        };
        assert_eq!(
            message("1 waves: a\n2 waves: b\n", "1 waves: a\n2 waves: b\n"),
            "2"
        );
        assert_eq!(
            message("1 waves: a\n2 waves: b\n", "1 waves: a\n3 waves: b\n"),
            "without an active mutant, the copy is not the shipped kernel: expected `2 waves: b`, \
             got `3 waves: b`; one of the edits in `rust/mutants` changes more than its mutants"
        );
        assert!(message("1 waves: a\n", "").contains("got `no further case`"));
        assert_eq!(message("", ""), "no case was run");
    }

    #[test]
    fn a_report_on_another_number_of_mutants_is_refused() {
        let name = format!("xtask-mutants-{}-report", std::process::id());
        let path = std::env::temp_dir().join(name);
        let text = r#"[null, {"case": "full", "place": "action 3, state"}]"#;
        fs::write(&path, text).expect("it can be written");
        let kills = kills_of(&path, 2).expect("a report on two mutants");
        assert!(kills[0].is_none() && kills[1].as_ref().is_some_and(|kill| kill.case == "full"));
        assert!(kills_of(&path, 3).is_err());
        fs::remove_file(&path).expect("it exists");
    }
}
