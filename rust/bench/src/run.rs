//! A full run: every measurement in a process of its own, each once per round.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::contest::Contest;
use crate::one::{self, Measured};
use crate::report::{Report, Row};
use crate::sides::Side;
use crate::{callgrind, wasm};

/// The extent of the measurements.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The number of rounds.
    pub rounds: u32,
    /// The duration of one measurement, in milliseconds.
    pub time: u64,
    /// Whether instructions and memory are counted too.
    pub counts: bool,
    /// The root folder of the repository, for the program that Node runs.
    pub root: PathBuf,
}

/// Why a side was not measured.
enum Failed {
    /// It does not take part in the contest; with the reason.
    Absent(String),
    /// It should take part and failed.
    Broken(String),
}

/// Measures each row of the plan once per round, so that a temporary slowdown of the computer
/// affects one figure of each side and not all figures of one side.
///
/// # Errors
/// When a side that takes part fails to measure.
pub fn run(plan: &[(Contest, Side)], extent: &Extent) -> Result<Report, String> {
    let mut report = Report {
        about: about(extent),
        rows: plan
            .iter()
            .map(|(contest, side)| Row::new(contest, *side))
            .collect(),
    };
    for round in 1..=extent.rounds {
        let what = format!("round {round} of {}", extent.rounds);
        each(plan, &mut report, &what, |row, contest| {
            turn(row, contest, extent)
        })?;
    }
    if extent.counts {
        each(plan, &mut report, "counting", |row, contest| {
            count(row, contest, extent)
        })?;
    }
    Ok(report)
}

/// Goes through the plan, and prints each contest's title.
fn each(
    plan: &[(Contest, Side)],
    report: &mut Report,
    what: &str,
    mut measure: impl FnMut(&mut Row, &Contest) -> Result<(), String>,
) -> Result<(), String> {
    let mut at = None;
    for (row, (contest, _)) in report.rows.iter_mut().zip(plan) {
        if at.replace(contest) != Some(contest) {
            eprintln!("{what}: {}", contest.title());
        }
        measure(row, contest)?;
    }
    Ok(())
}

/// Measures one side once.
fn turn(row: &mut Row, contest: &Contest, extent: &Extent) -> Result<(), String> {
    if row.absent.is_some() {
        return Ok(());
    }
    let measured = match row.side {
        Side::Wasm => wasm::measure(contest, &extent.root).map_err(Failed::Absent),
        side => one("antiphon-bench", contest, side, extent.time),
    };
    match measured {
        Ok(measured) if measured.messages > 0 => {
            row.rounds
                .push(measured.nanos as f64 / measured.messages as f64);
            row.note = measured.note;
            Ok(())
        }
        Ok(_) => Err(format!(
            "{contest}: `{}` exchanged nothing",
            row.side.name()
        )),
        Err(Failed::Absent(why)) => {
            row.absent = Some(why);
            Ok(())
        }
        Err(Failed::Broken(why)) => Err(format!("{contest}: `{}`: {why}", row.side.name())),
    }
}

/// Counts instructions and memory of one side.
fn count(row: &mut Row, contest: &Contest, extent: &Extent) -> Result<(), String> {
    // Node has a heap of its own, and callgrind cannot analyse it.
    if row.absent.is_some() || row.side == Side::Wasm {
        return Ok(());
    }
    let short = extent.time.min(50);
    match one("antiphon-bench-counted", contest, row.side, short) {
        Ok(measured) => {
            let allocations = measured.allocations.unwrap_or_default();
            row.allocations = Some(allocations as f64 / measured.messages.max(1) as f64);
            row.session_bytes = measured.session_bytes.filter(|_| contest.sessions > 1);
        }
        Err(Failed::Absent(why) | Failed::Broken(why)) => {
            return Err(format!("{contest}: `{}`, counted: {why}", row.side.name()));
        }
    }
    if contest.steps.is_none() {
        row.instructions = callgrind::instructions(&program("antiphon-bench")?, contest, row.side)?;
    }
    Ok(())
}

/// Measures one side in a process of its own.
fn one(name: &str, contest: &Contest, side: Side, time: u64) -> Result<Measured, Failed> {
    let program = program(name).map_err(Failed::Broken)?;
    let mut command = Command::new(&program);
    command.args([
        "one",
        &contest.to_string(),
        &side.name(),
        "--time",
        &time.to_string(),
    ]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failed::Broken(format!("{}: {error}", program.display())))?;
    let stderr = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0) => serde_json::from_slice(&output.stdout)
            .map_err(|error| Failed::Broken(format!("unreadable: {error}"))),
        Some(one::ABSENT) => Err(Failed::Absent(stderr())),
        _ => Err(Failed::Broken(format!("{}: {}", output.status, stderr()))),
    }
}

/// The path of a program that was built with this one.
fn program(name: &str) -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = this.with_file_name(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(format!(
            "`{name}` is not built: `cargo build --release` in rust/bench"
        )),
    }
}

/// The environment of the run: date, computer, compiler and versions.
fn about(extent: &Extent) -> BTreeMap<String, String> {
    let mut about = versions(include_str!("../Cargo.lock"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let date = now.split('T').next().unwrap_or_default().to_owned();
    let kind = match processor(Path::new("/proc/cpuinfo")) {
        Some(name) => format!("{cores} cores ({name}), {}", std::env::consts::OS),
        None => format!("{cores} cores, {}", std::env::consts::OS),
    };
    let compiler = Command::new("rustc").arg("--version").output();
    let compiler = compiler
        .ok()
        .map(|output| output.stdout)
        .unwrap_or_default();
    let compiler = String::from_utf8_lossy(&compiler);
    let compiler: Vec<&str> = compiler.split_whitespace().take(2).collect();
    about.insert("date".to_owned(), date);
    about.insert("machine".to_owned(), kind);
    about.insert("compiler".to_owned(), compiler.join(" "));
    about.insert("rounds".to_owned(), extent.rounds.to_string());
    about.insert("load".to_owned(), load());
    about
}

/// The load average of the last minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .filter(|load| !load.is_empty())
        .unwrap_or("unknown")
        .to_owned()
}

fn processor(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The versions of the crates that Antiphon is compared with.
fn versions(lock: &str) -> BTreeMap<String, String> {
    let table: toml::Table = toml::from_str(lock).unwrap_or_default();
    let packages = table.get("package").and_then(toml::Value::as_array);
    let rows = packages.into_iter().flatten().filter_map(|package| {
        let name = package.get("name")?.as_str()?;
        let version = package.get("version")?.as_str()?;
        let wanted = ["telltale-machine", "tokio", "crossbeam-channel"];
        wanted
            .contains(&name)
            .then(|| (name.to_owned(), version.to_owned()))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_has_the_versions() {
        let versions = versions(include_str!("../Cargo.lock"));
        assert_eq!(versions.len(), 3, "{versions:?}");
        assert_eq!(versions["telltale-machine"], "22.0.0");
    }
}
