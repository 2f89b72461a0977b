//! Everything that a release stands on, done from nothing: proofs, corpus, parity, replays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lanes::{self, Job};
use crate::lean;
use crate::parity;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::report::{Report, Tally};
use crate::run;
use crate::tree::Tree;

/// A driver of the machine that a recording is replayed on.
struct Driver {
    name: &'static str,
    /// What has `antiphon replay` take it.
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
    run: fn(&Tree) -> Vec<Report>,
}

const PARTS: [Part; 3] = [
    Part {
        name: "lean",
        run: |tree| vec![lean::lane(tree, true)],
    },
    Part {
        name: "parity",
        run: |tree| parity::lane(tree, &parity::Wanted::ALL),
    },
    Part {
        name: "replay",
        run: |tree| vec![replay(tree)],
    },
];

/// Names of the parts, for the command line.
pub(crate) fn names() -> Vec<&'static str> {
    PARTS.iter().map(|part| part.name).collect()
}

/// Runs the parts named, or all, as a release asks for; says which were not asked for.
pub(crate) fn run(tree: &Tree, wanted: &[String]) -> Vec<Report> {
    let is_wanted = |part: &&Part| wanted.is_empty() || wanted.iter().any(|name| name == part.name);
    let mut reports = Vec::new();
    for part in PARTS.iter().filter(is_wanted) {
        let of_part = (part.run)(tree);
        of_part.iter().for_each(Report::tell);
        reports.extend(of_part);
    }
    let left_out: Vec<&str> = PARTS
        .iter()
        .filter(|part| !is_wanted(part))
        .map(|p| p.name)
        .collect();
    if !left_out.is_empty() {
        println!("\nno conformance: {} not asked for", left_out.join(", "));
    }
    reports
}

/// Every recording among the fixtures, replayed on every driver by the program itself.
fn replay(tree: &Tree) -> Report {
    let about = "the program that replays";
    let mut build = lanes::cargo_build_program(tree, "antiphon");
    let built = Job::new("replay", about).check(tree, &mut build);
    if built.failed() {
        return built;
    }
    let progress = Progress::start("replay", "every recording on every driver");
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
                let (passed, said) = verdict(run::output(&mut replay), &mut first);
                match passed {
                    true => tally.passed += 1,
                    false => tally.failed += 1,
                }
                details.push(format!("{}: {}: {said}", driver.name, shown.display()));
            }
        }
    });
    progress.finish();
    Report::of_tests("replay", progress.elapsed(), tally, outcome)
        .with_details(details)
        .after(&built)
}

/// Whether a recording replays on a driver, and to what the first driver came to, digests included.
fn verdict(replayed: Result<String, Problem>, first: &mut Option<String>) -> (bool, String) {
    let said = match replayed {
        Ok(said) => said,
        Err(problem) => return (false, problem.to_string()),
    };
    let expected = first.get_or_insert_with(|| said.clone());
    if said != *expected {
        return (false, format!("got\n{said}and not\n{expected}"));
    }
    (true, said.lines().next().unwrap_or_default().to_owned())
}

/// All recordings below a folder, in order.
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
    fn drivers_come_to_the_same() {
        let said = |state: &str| Ok(format!("equal: 3 steps\nstate  {state}\n"));
        let mut first = None;
        let equal = (true, "equal: 3 steps".to_owned());
        assert_eq!(verdict(said("ab"), &mut first), equal);
        assert_eq!(verdict(said("ab"), &mut first), equal);
        let (passed, told) = verdict(said("cd"), &mut first);
        assert!(!passed && told.contains("state  cd"), "{told}");
        let failed = verdict(
            Err(Problem::Missing {
                facts: vec!["x".to_owned()],
            }),
            &mut first,
        );
        assert!(!failed.0, "{failed:?}");
    }
}
