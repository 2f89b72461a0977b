//! The command line of the benchmarks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::contest::Contest;
use crate::one::{self, Length, Meter};
use crate::ratio::{self, Judged, Ratio};
use crate::report::Report;
use crate::run::{self, Extent};
use crate::sides::Side;
use crate::{page, table};

#[derive(Parser)]
#[command(
    name = "antiphon-bench",
    about = "Benchmarks of message exchanges, side by side",
    disable_version_flag = true
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure every side of every contest and print the tables
    Run {
        #[command(flatten)]
        extent: ExtentArguments,
        /// Skip instruction and memory counts, which take most of the time
        #[arg(long)]
        no_counts: bool,
        /// Run only the contests with these names; writes no page
        #[arg(long, conflicts_with = "page")]
        only: Vec<Contest>,
        /// Write the tables into this page, between its two marks
        #[arg(long)]
        page: Option<PathBuf>,
        /// Write all figures to this file as JSON
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Measure the sides that the ratios need; fails for each ratio below its floor
    Check {
        #[command(flatten)]
        extent: ExtentArguments,
        /// Skip ratios whose name starts with this (`--without wasm`)
        #[arg(long, value_name = "NAME")]
        without: Vec<String>,
    },
    /// Measure one side of one contest in this process
    One {
        /// ping-pong, told, ring, chosen, choice, working, sessions-N or steps-N
        contest: Contest,
        /// The side, such as `ours` or `tokio-multi`
        side: Side,
        /// The duration of the measurement, in milliseconds
        #[arg(long, default_value_t = 150)]
        time: u64,
        /// The exact number of messages, without warming up
        #[arg(long)]
        messages: Option<u64>,
    },
}

#[derive(Args)]
struct ExtentArguments {
    /// The number of rounds; each side is measured once per round
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// The duration of one measurement, in milliseconds
    #[arg(long, default_value_t = 150)]
    time: u64,
    /// The root folder of the repository
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

impl ExtentArguments {
    fn extent(self, counts: bool) -> Extent {
        Extent {
            rounds: self.rounds.max(1),
            time: self.time,
            counts,
            root: self.root,
        }
    }
}

/// Runs the program. `meter` reads the counting allocator, if this process has one.
pub fn main(meter: Option<Meter>) -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Run {
            extent,
            no_counts,
            only,
            page,
            json,
        } => run(
            &extent.extent(!no_counts),
            &only,
            page.as_deref(),
            json.as_deref(),
        ),
        Task::Check { extent, without } => check(&extent.extent(false), &without),
        Task::One {
            contest,
            side,
            time,
            messages,
        } => {
            let time = Length::Time(Duration::from_millis(time));
            return one(
                &contest,
                side,
                messages.map_or(time, Length::Messages),
                meter,
            );
        }
    };
    done.unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        ExitCode::FAILURE
    })
}

fn one(contest: &Contest, side: Side, length: Length, meter: Option<Meter>) -> ExitCode {
    match one::measure(contest, side, length, meter) {
        Ok(measured) => {
            println!("{}", serde_json::to_string(&measured).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(absent) => {
            eprintln!("{absent}");
            ExitCode::from(one::ABSENT as u8)
        }
    }
}

fn run(
    extent: &Extent,
    only: &[Contest],
    page: Option<&Path>,
    json: Option<&Path>,
) -> Result<ExitCode, String> {
    let mut plan = ratio::plan();
    plan.retain(|(contest, _)| only.is_empty() || only.contains(contest));
    let report = run::run(&plan, extent)?;
    let judged = judge(&report, &extent.root)?;
    let judged: Vec<Judged> = match only.is_empty() {
        true => judged,
        false => judged
            .into_iter()
            .filter(|judged| judged.value.is_ok())
            .collect(),
    };
    let mut text = page::method(&report.about);
    if extent.counts && !crate::callgrind::present() {
        text.push_str("Instructions are not counted: valgrind is not installed.\n\n");
    }
    text.push_str(&table::tables(&report, &judged));
    println!("{text}");
    if let Some(path) = json {
        let figures = serde_json::to_string_pretty(&report).unwrap_or_default();
        write(path, &figures)?;
    }
    if let Some(path) = page {
        let old = fs::read_to_string(path).map_err(|error| file_error(path, &error))?;
        let new = page::replace(&old, &text).map_err(|error| file_error(path, &error))?;
        write(path, &new)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(extent: &Extent, without: &[String]) -> Result<ExitCode, String> {
    let asked = |ratio: &Ratio| !without.iter().any(|name| ratio.name.starts_with(&**name));
    let needs: Vec<(Contest, Side)> = ratio::ratios()
        .iter()
        .filter(|ratio| asked(ratio))
        .flat_map(Ratio::needs)
        .collect();
    let mut plan = ratio::plan();
    plan.retain(|row| needs.contains(row));
    let report = run::run(&plan, extent)?;
    let load = report.about.get("load").cloned().unwrap_or_default();
    let mut judged = judge(&report, &extent.root)?;
    judged.retain(|judged| asked(&judged.ratio));
    println!("{}", table::ratios(&judged));
    let mut failed = 0;
    for judged in judged.iter().filter(|judged| !judged.holds()) {
        failed += 1;
        match &judged.value {
            Ok(value) => println!(
                "FAILED {}: {value:.3} is below its floor of {}",
                judged.ratio.name, judged.floor.floor
            ),
            Err(why) => println!("FAILED {}: {why}", judged.ratio.name),
        }
    }
    println!("{} ratios hold, {failed} failed", judged.len() - failed);
    if failed > 0 {
        println!(
            "the load was {load} before the run; sides with several threads are timed by the clock"
        );
    }
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn judge(report: &Report, root: &Path) -> Result<Vec<Judged>, String> {
    let path = root.join("rust/bench/floors.toml");
    let text = fs::read_to_string(&path).map_err(|error| file_error(&path, &error))?;
    ratio::judge(report, &text).map_err(|error| file_error(&path, &error))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| file_error(path, &error))
}

fn file_error(path: &Path, problem: &dyn std::fmt::Display) -> String {
    format!("{}: {problem}", path.display())
}
