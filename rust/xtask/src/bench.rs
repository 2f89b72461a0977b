//! Benchmarks against other runtimes: `rust/bench`, a separate workspace, so that the other
//! runtimes do not enter the project's lock file.

use std::process::{Command, ExitCode};

use antiphon_build_support::process;

use crate::problem::Problem;
use crate::tree::Tree;

/// The page that has the tables; a complete run rewrites them.
const PAGE: &str = "docs/performance.md";

/// Measures everything, prints the tables and writes them into the page. Arguments can restrict it.
pub(crate) fn peers(tree: &Tree, arguments: &[String]) -> Result<ExitCode, Problem> {
    let page = tree.root.join(PAGE);
    let mut words = vec!["run".to_owned()];
    // The page has complete tables only, so a partial run does not write it.
    let part = ["--only", "--no-counts", "--page"];
    if !arguments
        .iter()
        .any(|word| part.iter().any(|flag| word.starts_with(flag)))
    {
        words.extend(["--page".to_owned(), page.display().to_string()]);
    }
    words.extend_from_slice(arguments);
    bench(tree, &words)
}

/// Measures the ratios and fails if one is below its floor.
pub(crate) fn check(tree: &Tree, arguments: &[String]) -> Result<ExitCode, Problem> {
    let mut words = vec!["check".to_owned()];
    words.extend_from_slice(arguments);
    bench(tree, &words)
}

/// Runs the unit tests of the bench itself.
pub(crate) fn test(tree: &Tree) -> Result<ExitCode, Problem> {
    Ok(process::attached(
        cargo(tree, "test")?.args(["--release", "--locked"]),
    )?)
}

/// Builds both programs, because the one that runs starts the other, whose heap is counted.
fn bench(tree: &Tree, words: &[String]) -> Result<ExitCode, Problem> {
    let built = process::attached(cargo(tree, "build")?.args(["--release", "--locked", "--bins"]))?;
    if built != ExitCode::SUCCESS {
        return Ok(built);
    }
    let mut command = cargo(tree, "run")?;
    command.args([
        "--release",
        "--locked",
        "--quiet",
        "--bin",
        "antiphon-bench",
        "--",
    ]);
    command.args(words).arg("--root").arg(&tree.root);
    Ok(process::attached(&mut command)?)
}

fn cargo(tree: &Tree, name: &str) -> Result<Command, Problem> {
    let place = tree.root.join("rust/bench");
    if !place.is_dir() {
        return Err(Problem::absent(
            &place,
            "this checkout has no benchmarks against other runtimes",
        ));
    }
    let mut command = tree.cargo(name);
    command.current_dir(place);
    Ok(command)
}
