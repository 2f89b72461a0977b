//! Antiphon's build tasks. `cargo xtask test` installs what the tests need and runs every lane.
//! The other commands run parts of that, or serve daily work.
//!
//! The crate has few dependencies on purpose: it is compiled before anything else can run.
#![expect(
    clippy::print_stdout,
    reason = "a build tool reports on its standard output"
)]

mod bench;
mod cache;
mod conformance;
mod dependencies;
mod elf;
mod inputs;
mod lanes;
mod lean;
mod libtest;
mod mutants;
mod parity;
mod problem;
mod release;
mod report;
mod runner;
mod setup;
mod tidy;
mod tree;
mod vm;
mod wasm;
mod width;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use antiphon_build_support::console::Console;
use antiphon_build_support::process;
use clap::{Args, Parser, Subcommand};

use crate::problem::Problem;
use crate::tree::Tree;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Antiphon's build tasks",
    disable_version_flag = true
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need and run every lane (group of checks), or run only the lanes
    /// named
    Test {
        /// Lanes to run (default: all)
        #[arg(value_parser = lanes::names())]
        lanes: Vec<String>,
        #[command(flatten)]
        kept: KeptArguments,
    },
    /// Install the missing tools that the tests need; list those that could not be installed
    Setup,
    /// Build and boot the virtual machine, and run its tests
    Vm {
        /// Only boot it, with its console on this terminal and its port at target/vm/port.sock
        #[arg(long)]
        boot: bool,
    },
    /// Build the package for browsers and Node, rust/wasm/pkg
    Wasm {
        /// Also run its tests, in Node and in Chromium
        #[arg(long)]
        test: bool,
    },
    /// Build the Lean model and its proofs, audit them and compare the list of theorems
    Lean(LeanArguments),
    /// Run the same cases on the model and on the kernel and compare every byte (default: all
    /// parts)
    Parity(ParityArguments),
    /// Apply deliberate errors to a copy of the crates; a case of the suite must detect each
    Mutants {
        /// Ask the model for every case, and use no answer in the cache
        #[arg(long)]
        full: bool,
    },
    /// Check everything a release depends on, from scratch: proofs, axioms, theorems, corpus,
    /// parity, replays
    Conformance {
        /// Parts to run (default: all, which a release needs)
        #[arg(value_parser = conformance::names())]
        parts: Vec<String>,
    },
    /// Build a release: static programs with the page of `view`, and their digests
    Release,
    /// Check the structure of the workspace and the width of lines
    Tidy,
    /// List the cache outside the checkout ($ANTIPHON_CACHE, else ~/.cache/antiphon)
    Cache {
        /// Remove all of its entries
        #[arg(long)]
        clear: bool,
    },
    /// Rewrite snapshots and goldens (the expected output of tests) from the code's present output
    Bless {
        /// Arguments for `cargo test`, to bless only a part (`-p antiphon-wire`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the benches
    Bench {
        /// Arguments for `cargo bench` (`-p antiphon-machine -- ping`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure against other runtimes, print the tables and write them into docs/performance.md
    BenchPeers {
        /// Arguments for the bench (`--rounds 9`, `--only ring`, `--no-counts`, `--json FILE`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure the ratios and fail if one is below its floor in rust/bench/floors.toml
    BenchCheck {
        /// Run the comparison's unit tests instead, which measure nothing
        #[arg(long, exclusive = true)]
        test: bool,
        /// Arguments for the bench (`--without wasm`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run one fuzz target (needs a nightly toolchain and cargo-fuzz)
    Fuzz {
        /// Name of the target
        target: String,
        /// Number of executions
        #[arg(long, default_value_t = 1_000_000)]
        runs: u64,
    },
}

#[derive(Args)]
struct LeanArguments {
    /// Build only these modules and their imports, by name or path, and check nothing else
    modules: Vec<String>,
    /// Rebuild every module
    #[arg(long)]
    from_scratch: bool,
    /// Run the `main` of a file, absolute or below lean/, with arguments
    #[arg(
        long,
        num_args = 1..,
        allow_hyphen_values = true,
        value_names = ["FILE", "ARGUMENT"],
        conflicts_with_all = ["modules", "from_scratch"]
    )]
    run: Vec<OsString>,
    /// Only check a file, absolute or below lean/
    #[arg(long, value_name = "FILE", exclusive = true)]
    check: Option<PathBuf>,
    /// Rewrite the list of theorems, lean/theorems.json
    #[arg(long, exclusive = true)]
    inventory: bool,
    /// Compare the list of theorems with the proofs
    #[arg(long, exclusive = true)]
    check_inventory: bool,
}

/// Which of the model's answers are taken from the cache. By default the model is asked only for
/// the cases of one shard, a sixteenth of all cases, which the commit selects.
#[derive(Args)]
struct KeptArguments {
    /// Ask the model for every case instead of using the answers in the cache
    #[arg(long, conflicts_with = "shard")]
    full: bool,
    /// Ask the model for the cases of this shard, 0 to 15, instead of the commit's
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(0..16))]
    shard: Option<u8>,
}

impl KeptArguments {
    fn kept(&self, tree: &Tree) -> parity::Kept {
        match self.shard {
            _ if self.full => parity::Kept::Nothing,
            Some(shard) => parity::Kept::AllBut(shard),
            None => parity::Kept::of_commit(tree),
        }
    }
}

#[derive(Args)]
struct ParityArguments {
    /// Compare the types of model and kernel; docs/deviations.md lists the allowed differences
    #[arg(long)]
    types: bool,
    /// Run the corpus, step by step and in waves, and the mutants
    #[arg(long)]
    suite: bool,
    /// Run --types and --suite (default)
    #[arg(long)]
    all: bool,
    /// Run 20,000 random cases, which takes an hour or more
    #[arg(long)]
    long: bool,
    #[command(flatten)]
    kept: KeptArguments,
}

impl ParityArguments {
    fn parts(&self, kept: parity::Kept) -> parity::Parts {
        let all = self.all || !(self.types || self.suite);
        parity::Parts {
            types: all || self.types,
            suite: all || self.suite,
            long: self.long,
            kept,
        }
    }
}

fn main() -> ExitCode {
    match run_task(Arguments::parse().task) {
        Ok(code) => code,
        Err(problem) => {
            println!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run_task(task: Task) -> Result<ExitCode, Problem> {
    let mut tree = Tree::locate()?;
    let console = &mut Console::stdout();
    let started = Instant::now();
    match task {
        Task::Test { lanes, kept } => {
            tree.kept = kept.kept(&tree);
            Ok(report::conclude(&lanes::run(&tree, &lanes), started))
        }
        Task::Setup => {
            let reports = [setup::lane(console), setup::downloads(&tree, console)];
            Ok(report::conclude_lane(&reports, started, console))
        }
        Task::Vm { boot: false } => {
            let mut reports = vec![vm::guest(&tree, console)];
            if !reports[0].failed() {
                reports.push(vm::lane(&tree, console));
            }
            Ok(report::conclude_lane(&reports, started, console))
        }
        Task::Vm { boot: true } => vm::boot(&tree),
        Task::Wasm { test: false } => wasm::package(&tree),
        Task::Wasm { test: true } => {
            let mut reports = vec![wasm::lane(&tree, console)];
            if !reports[0].failed() {
                reports.extend(wasm::browsers(&tree, console));
            }
            Ok(report::conclude_lane(&reports, started, console))
        }
        Task::Lean(arguments) => lean(&tree, &arguments),
        Task::Parity(arguments) => {
            let parts = arguments.parts(arguments.kept.kept(&tree));
            let reports = parity::lane(&tree, &parts, console);
            Ok(report::conclude_lane(&reports, started, console))
        }
        Task::Mutants { full } => {
            let shard = None;
            let kept = KeptArguments { full, shard }.kept(&tree);
            let reports = mutants::alone(&tree, kept, console);
            Ok(report::conclude_lane(&reports, started, console))
        }
        Task::Conformance { parts } => {
            let reports = conformance::run(&tree, &parts);
            Ok(report::conclude(&reports, started))
        }
        Task::Release => release::build(&tree),
        Task::Tidy => {
            let report = tidy::lane(&tree, console);
            Ok(report::conclude_lane(&[report], started, console))
        }
        Task::Cache { clear: false } => cache::list(&tree.cache),
        Task::Cache { clear: true } => cache::clear(&tree.cache),
        Task::Bless { arguments } => bless(&tree, &arguments),
        Task::Bench { arguments } => benches(&tree, &arguments),
        Task::BenchPeers { arguments } => bench::peers(&tree, &arguments),
        Task::BenchCheck { test: true, .. } => bench::test(&tree),
        Task::BenchCheck { arguments, .. } => bench::check(&tree, &arguments),
        Task::Fuzz { target, runs } => fuzz(&tree, &target, runs),
    }
}

fn lean(tree: &Tree, arguments: &LeanArguments) -> Result<ExitCode, Problem> {
    let LeanArguments {
        modules,
        from_scratch,
        run,
        check,
        inventory,
        check_inventory,
    } = arguments;
    if let Some(file) = check {
        lean::check(tree, file)
    } else if !run.is_empty() {
        lean::run(tree, run)
    } else if *inventory {
        lean::write_inventory(tree)
    } else if *check_inventory {
        lean::check_inventory(tree)
    } else if !modules.is_empty() {
        lean::build_named(tree, modules, *from_scratch)
    } else {
        let (started, console) = (Instant::now(), &mut Console::stdout());
        let report = lean::lane(tree, *from_scratch, console);
        Ok(report::conclude_lane(&[report], started, console))
    }
}

/// Rewrites every kind of golden: insta reads the first variable, tests that write their own files
/// read the second.
fn bless(tree: &Tree, arguments: &[String]) -> Result<ExitCode, Problem> {
    let bless_packages = |packages: &[&str], arguments: &[String]| {
        let mut command = tree.cargo("test");
        command.env("INSTA_UPDATE", "always").env("BLESS", "1");
        command.arg("--no-fail-fast").args(packages);
        process::attached(command.args(arguments))
    };
    if arguments.iter().any(|a| a == "-p" || a == "--package") {
        return Ok(bless_packages(&[], arguments)?);
    }
    let most = bless_packages(&["--workspace", "--exclude", parity::PACKAGE], arguments)?;
    // Most tests of the bridge run Lean for minutes and have no golden.
    let rest = bless_packages(
        &["--package", parity::PACKAGE, "--test", "corpus"],
        arguments,
    )?;
    Ok(if most == ExitCode::SUCCESS {
        rest
    } else {
        most
    })
}

fn benches(tree: &Tree, arguments: &[String]) -> Result<ExitCode, Problem> {
    let mut command = tree.cargo("bench");
    if !arguments.iter().any(|a| a == "-p" || a == "--package") {
        command.args(["--workspace", "--benches"]);
    }
    Ok(process::attached(command.args(arguments))?)
}

fn fuzz(tree: &Tree, target: &str, runs: u64) -> Result<ExitCode, Problem> {
    let place = tree.root.join("rust/fuzz");
    if !place.is_dir() {
        return Err(Problem::absent(&place, "this checkout has no fuzz targets"));
    }
    // Use rustup's cargo: the cargo that started this program is bound to its own toolchain.
    let mut command = Command::new("cargo");
    command
        .current_dir(&tree.root)
        .env_remove("RUSTUP_TOOLCHAIN");
    command.args(["+nightly", "fuzz", "run", "--fuzz-dir", "rust/fuzz", target]);
    // libFuzzer writes new inputs to the first directory. The second is in the repository and is
    // only read.
    let corpus = place.join("corpus").join(target);
    std::fs::create_dir_all(&corpus).map_err(Problem::file(&corpus))?;
    command.args(
        [corpus, place.join("seeds").join(target)]
            .iter()
            .filter(|path| path.is_dir()),
    );
    command.arg("--");
    command.arg(format!("-runs={runs}"));
    Ok(process::attached(&mut command)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parity_without_flags_runs_all_parts() {
        for (flags, types, suite) in [
            (&[][..], true, true),
            (&["--all"], true, true),
            (&["--types"], true, false),
            (&["--suite"], false, true),
            (&["--types", "--suite"], true, true),
            (&["--long"], true, true),
        ] {
            let words = ["xtask", "parity"].iter().chain(flags);
            let Ok(Task::Parity(arguments)) = Arguments::try_parse_from(words).map(|a| a.task)
            else {
                panic!("{flags:?}");
            };
            let parts = arguments.parts(parity::Kept::Nothing);
            assert_eq!((parts.types, parts.suite), (types, suite), "{flags:?}");
            assert_eq!(parts.long, flags.contains(&"--long"), "{flags:?}");
        }
    }
}
