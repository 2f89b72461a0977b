//! Checks everything a release depends on, from scratch: proofs, corpus, parity, replays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use antiphon_build_support::console::Console;
use antiphon_build_support::{self as support, process};

use crate::lanes::{self, Job};
use crate::lean;
use crate::parity;
use crate::problem::Problem;
use crate::report::{Report, Tally};
use crate::tree::Tree;

/// A driver of the machine on which recordings are replayed.
struct Driver {
    name: &'static str,
    /// The options that make `antiphon replay` use it.
    options: &'static [&'static str],
}

const DRIVERS: [Driver; 2] = [
    Driver {
        name: "cooperative",
        options: &[],
    },
    Driver {
        name: "threaded",
        options: &["--threads", "2"],
    },
];

/// A part of conformance.
struct Part {
    name: &'static str,
    run: fn(&Tree, &mut Console) -> Vec<Report>,
}

const PARTS: [Part; 3] = [
    Part {
        name: "lean",
        run: |tree, console| vec![lean::lane(tree, true, console)],
    },
    Part {
        name: "parity",
        run: |tree, console| {
            parity::lane(tree, &parity::Parts::all(parity::Kept::Nothing), console)
        },
    },
    Part {
        name: "replay",
        run: |tree, console| vec![replay(tree, console)],
    },
];

/// The names of the parts, for the command line.
pub(crate) fn names() -> Vec<&'static str> {
    PARTS.iter().map(|part| part.name).collect()
}

/// Runs the named parts, or all if none is named, and prints which parts were not requested.
pub(crate) fn run(tree: &Tree, requested: &[String]) -> Vec<Report> {
    let is_requested =
        |part: &&Part| requested.is_empty() || requested.iter().any(|name| name == part.name);
    let mut console = Console::stdout();
    let mut reports = Vec::new();
    for part in PARTS.iter().filter(is_requested) {
        let part_reports = (part.run)(tree, &mut console);
        for report in &part_reports {
            report.print(&mut |line| console.line(line));
        }
        reports.extend(part_reports);
    }
    let others: Vec<&str> = PARTS
        .iter()
        .filter(|part| !is_requested(part))
        .map(|p| p.name)
        .collect();
    if !others.is_empty() {
        println!(
            "\nincomplete, not a release check: {} not requested",
            others.join(", ")
        );
    }
    reports
}

/// Replays every recording among the fixtures on every driver, with the command-line program.
fn replay(tree: &Tree, console: &mut Console) -> Report {
    let about = "building the command-line program";
    let mut build = lanes::cargo_build_program(tree, "antiphon");
    let built = Job::new("replay", about).check(tree, console, &mut build);
    if built.failed() {
        return built;
    }
    console.begin("replay", "every recording on every driver");
    let names = DRIVERS.map(|driver| driver.name).join(", ");
    let mut details = vec![format!("drivers in this checkout: {names}")];
    let mut tally = Tally::default();
    let program = tree.target.join("debug/antiphon");
    let outcome = recordings(&tree.root.join("fixtures")).map(|recordings| {
        for recording in &recordings {
            let shown = recording.strip_prefix(&tree.root).unwrap_or(recording);
            let mut first = None;
            for driver in &DRIVERS {
                let mut replay = Command::new(&program);
                replay.arg("replay").args(driver.options).arg(recording);
                let (passed, result) = compare(process::output(&mut replay), &mut first);
                if passed {
                    tally.passed += 1;
                } else {
                    tally.failed += 1;
                }
                details.push(format!("{}: {}: {result}", driver.name, shown.display()));
            }
        }
    });
    console.finish();
    Report::of_tests("replay", console.elapsed(), tally, outcome)
        .with_details(details)
        .after(&built)
}

/// Compares the output of a replay, which includes digests, with that of the first driver. Returns
/// whether the replay passed, and a line that describes it.
fn compare(
    replayed: Result<String, support::Problem>,
    first: &mut Option<String>,
) -> (bool, String) {
    let output = match replayed {
        Ok(output) => output,
        Err(problem) => return (false, problem.to_string()),
    };
    let expected = first.get_or_insert_with(|| output.clone());
    if output != *expected {
        return (false, format!("expected\n{expected}got\n{output}"));
    }
    (true, output.lines().next().unwrap_or_default().to_owned())
}

/// All recordings below a directory, sorted.
fn recordings(place: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).map_err(Problem::file(place))? {
        let path = entry.map_err(Problem::file(place))?.path();
        if path.is_dir() {
            found.extend(recordings(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rec") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_with_another_result_fails() {
        let output = |state: &str| Ok(format!("equal: 3 steps\nstate  {state}\n"));
        let mut first = None;
        let equal = (true, "equal: 3 steps".to_owned());
        assert_eq!(compare(output("ab"), &mut first), equal);
        assert_eq!(compare(output("ab"), &mut first), equal);
        let (passed, result) = compare(output("cd"), &mut first);
        assert!(!passed && result.contains("state  cd"), "{result}");
        let failed = compare(
            Err(support::Problem::absent(Path::new("a.rec"), "record it")),
            &mut first,
        );
        assert!(!failed.0, "{failed:?}");
    }
}
