//! Everything that a release stands on, done from nothing: proofs, corpus, parity, replays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lanes::Job;
use crate::lean;
use crate::parity;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::report::{Report, Tally};
use crate::run;
use crate::tree::Tree;

/// Drivers of the machine that a recording is replayed on; `antiphon replay` knows them by these
/// names.
const DRIVERS: [&str; 1] = ["cooperative"];

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
    let mut build = tree.cargo("build");
    let built = Job::new("replay", about).check(tree, build.args(["--package", "antiphon"]));
    if built.failed() {
        return built;
    }
    let progress = Progress::start("replay", "every recording on every driver");
    let mut details = vec![format!("drivers in this checkout: {}", DRIVERS.join(", "))];
    let mut tally = Tally::default();
    let outcome = recordings(&tree.root.join("fixtures")).map(|recordings| {
        for (driver, recording) in DRIVERS
            .iter()
            .flat_map(|driver| recordings.iter().map(move |path| (driver, path)))
        {
            let shown = recording.strip_prefix(&tree.root).unwrap_or(recording);
            let program = tree.target.join("debug/antiphon");
            let replayed = run::output(Command::new(program).arg("replay").arg(recording));
            let said = match replayed {
                Ok(said) => {
                    tally.passed += 1;
                    said.lines().next().unwrap_or_default().to_owned()
                }
                Err(problem) => {
                    tally.failed += 1;
                    problem.to_string()
                }
            };
            details.push(format!("{driver}: {}: {said}", shown.display()));
        }
    });
    progress.finish();
    Report::of_tests("replay", progress.elapsed(), tally, outcome)
        .with_details(details)
        .after(&built)
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
