//! Builds modules with `lake`, which has its own cache and orders the modules itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::lean::build::Built;
use crate::lean::toolchain;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::run;
use crate::tree::Tree;

/// The file that is also a program of the lake package, and the program's name.
const PROGRAM: (&str, &str) = ("Runtime/Oracle.lean", "oracle");

/// Builds these modules. `lean/lakefile.toml` makes warnings errors.
pub(crate) fn build(
    tree: &Tree,
    order: &[&str],
    from_scratch: bool,
    progress: &mut Progress,
) -> Result<Built, Problem> {
    if from_scratch {
        run::output(&mut lake(tree, "clean"))?;
    }
    let mut command = lake(tree, "build");
    // The prefix `+` marks the name of a module, not of a target.
    command.args(order.iter().map(|name| format!("+{name}")));
    let log = tree.target.join("xtask/lean-lake.log");
    let mut lines = Vec::new();
    let status = run::watched(
        &mut command,
        crate::lanes::LANE_DEADLINE,
        &log,
        progress,
        |line| {
            lines.push(line.to_owned());
            Some(line.trim().to_owned())
        },
    )?;
    let built = read(order, &lines);
    if !built.failed.is_empty() {
        progress.finish();
        lines.iter().for_each(|line| println!("  | {line}"));
    } else if !status.success() {
        return Err(Problem::Lane { status, log });
    }
    Ok(built)
}

/// `lake` in the directory of this project's package.
pub(crate) fn lake(tree: &Tree, task: &str) -> Command {
    let mut command = Command::new("lake");
    command
        .current_dir(toolchain::sources(tree))
        .args(["--no-ansi", task]);
    command
}

/// A Lean that checks a file with warnings as errors.
pub(crate) fn checking(tree: &Tree, file: &Path) -> Command {
    let mut command = lake(tree, "env");
    command.args(["lean", "-DwarningAsError=true"]).arg(file);
    command
}

/// The command that runs the `main` of a file whose imports are built: the package's own program if
/// the file is one, otherwise the interpreter.
pub(crate) fn program(tree: &Tree, file: &Path) -> Result<Command, Problem> {
    let sources = toolchain::sources(tree);
    let (source, name) = PROGRAM;
    if file == sources.join(source) {
        run::output(lake(tree, "build").arg(name))?;
        let mut command = Command::new(sources.join(".lake/build/bin").join(name));
        command.current_dir(&sources);
        return Ok(command);
    }
    let mut command = lake(tree, "env");
    command.args(["lean", "--run"]).arg(file);
    Ok(command)
}

/// Parses lake's output: `✔ [3/9] Built Runtime.A (1.2s)`, `✖ [4/9] Building Runtime.B`. It has no
/// line for modules that were up to date, nor for modules that import a failed one.
fn read(order: &[&str], lines: &[String]) -> Built {
    let mut built = Built::default();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words.iter().find(|word| order.contains(*word));
        let Some(name) = name else { continue };
        if line.starts_with('✖') {
            built.failed.insert((*name).to_owned());
        } else if words.contains(&"Built") {
            built.elaborated.insert((*name).to_owned());
        }
    }
    let silent: BTreeSet<String> = order
        .iter()
        .map(|name| (*name).to_owned())
        .filter(|name| !built.failed.contains(name) && !built.elaborated.contains(name))
        .collect();
    if built.failed.is_empty() {
        built.cached = silent;
    } else {
        built.unreached = silent;
    }
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_lake_is_parsed() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let good = lines("✔ [2/4] Built Runtime.A (1.2s)\nBuild completed successfully (4 jobs).");
        let built = read(&["Runtime.A", "Runtime.B"], &good);
        assert_eq!(
            built.summary(),
            "2 modules: 1 elaborated, 1 cached, 0 failed, 0 not reached"
        );
        let bad = lines("✔ [2/4] Built Runtime.A\n✖ [3/4] Building Runtime.B (2s)\nerror: x");
        let built = read(&["Runtime.A", "Runtime.B", "Runtime.C"], &bad);
        assert_eq!(
            built.summary(),
            "3 modules: 1 elaborated, 0 cached, 1 failed, 1 not reached"
        );
    }
}
