//! Builds modules with `lake`, which has its own cache and orders the modules itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use std::time::Duration;

use antiphon_build_support::console::Console;
use antiphon_build_support::{self as support, process};

use crate::build::Built;
use crate::{Problem, Project};

/// A build of all modules on two slow cores takes a quarter of an hour. A build that takes longer
/// than this is considered hung.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// The file that is also a program of the lake package, and the program's name.
const PROGRAM: (&str, &str) = ("Runtime/Oracle.lean", "oracle");

/// Builds these modules. `lean/lakefile.toml` makes warnings errors.
pub(crate) fn build(
    project: &Project,
    order: &[&str],
    from_scratch: bool,
    console: &mut Console,
) -> Result<Built, Problem> {
    if from_scratch {
        process::output(&mut lake(project, "clean"))?;
    }
    let mut command = lake(project, "build");
    // The prefix `+` marks the name of a module, not of a target.
    command.args(order.iter().map(|name| format!("+{name}")));
    let log = project.log("lean-lake.log");
    let mut lines = Vec::new();
    let watch = |console: &mut Console, line: &str| {
        lines.push(line.to_owned());
        console.note(line.trim().to_owned());
    };
    let status = process::watched(&mut command, DEADLINE, &log, console, watch)?;
    let built = read(order, &lines);
    if !built.failed.is_empty() {
        for line in &lines {
            console.line(&format!("  | {line}"));
        }
    } else if !status.success() {
        return Err(support::Problem::Exit { status, log }.into());
    }
    Ok(built)
}

/// `lake` in the directory of this project's package.
pub(crate) fn lake(project: &Project, task: &str) -> Command {
    let mut command = Command::new("lake");
    command
        .current_dir(&project.sources)
        .args(["--no-ansi", task]);
    command
}

/// A Lean that checks a file with warnings as errors.
pub(crate) fn checking(project: &Project, file: &Path) -> Command {
    let mut command = lake(project, "env");
    let options = [
        "-DwarningAsError=true",
        "-DautoImplicit=false",
        "-DrelaxedAutoImplicit=false",
    ];
    command.arg("lean").args(options).arg(file);
    command
}

/// The command that runs the `main` of a file whose imports are built: the package's own program if
/// the file is one, otherwise the interpreter.
pub(crate) fn program(project: &Project, file: &Path) -> Result<Command, Problem> {
    let sources = &project.sources;
    let (source, name) = PROGRAM;
    if file == sources.join(source) {
        process::output(lake(project, "build").arg(name))?;
        let mut command = Command::new(sources.join(".lake/build/bin").join(name));
        command.current_dir(sources);
        return Ok(command);
    }
    let mut command = lake(project, "env");
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
