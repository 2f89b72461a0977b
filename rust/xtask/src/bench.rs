//! Side by side with others: `rust/bench`, a workspace of its own, so that what is compared with does not enter the
//! project's lock file.

use std::process::{Command, ExitCode};

use crate::problem::Problem;
use crate::run;
use crate::tree::Tree;

/// The page whose marked part a whole run writes.
const PAGE: &str = "docs/performance.md";

/// Measures everything, prints the tables and writes them into the page; with arguments what they say.
pub(crate) fn peers(tree: &Tree, arguments: &[String]) -> Result<ExitCode, Problem> {
    let page = tree.root.join(PAGE);
    let mut words = vec!["run".to_owned()];
    // A part of the contests, or without the counts, is not what the page says it is.
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

/// Measures what the ratios need and fails for each that is below its floor.
pub(crate) fn check(tree: &Tree, arguments: &[String]) -> Result<ExitCode, Problem> {
    let mut words = vec!["check".to_owned()];
    words.extend_from_slice(arguments);
    bench(tree, &words)
}

/// Its own unit tests: of tables, floors and what else is pure in it.
pub(crate) fn test(tree: &Tree) -> Result<ExitCode, Problem> {
    run::attached(cargo(tree, "test")?.args(["--release", "--locked"]))
}

/// Both programs are built: the one that is run starts the other, whose heap counts.
fn bench(tree: &Tree, words: &[String]) -> Result<ExitCode, Problem> {
    let built = run::attached(cargo(tree, "build")?.args(["--release", "--locked", "--bins"]))?;
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
    run::attached(&mut command)
}

fn cargo(tree: &Tree, name: &str) -> Result<Command, Problem> {
    let place = tree.root.join("rust/bench");
    if !place.is_dir() {
        return Err(Problem::absent(
            &place,
            "this checkout has nothing to compare with",
        ));
    }
    let mut command = tree.cargo(name);
    command.current_dir(place);
    Ok(command)
}
