//! Antiphon's build tasks. `cargo xtask test` is the whole of it: it gets what the tests need and
//! runs every lane; the other commands are its parts, and what a person runs while working.
//!
//! Few dependencies on purpose: this is compiled before anything else can run.
#![expect(
    clippy::print_stdout,
    reason = "a build tool talks on its standard output"
)]

mod conformance;
mod lanes;
mod lean;
mod libtest;
mod parity;
mod problem;
mod progress;
mod report;
mod run;
mod setup;
mod tidy;
mod tree;
mod vm;
mod wasm;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

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
    /// Get what the tests need and run every lane, or only the lanes named
    Test {
        /// Lanes to run; all of them when none is named
        #[arg(value_parser = lanes::names())]
        lanes: Vec<String>,
    },
    /// Get what the tests need: what is there is kept, what cannot be had is said
    Setup,
    /// Build and boot the virtual machine, and run its test
    Vm {
        /// Only boot it, with its console here and its port on target/vm/port.sock
        #[arg(long)]
        boot: bool,
    },
    /// Build the package for browsers and Node, rust/wasm/pkg
    Wasm {
        /// Run its tests too, in Node and in Chromium
        #[arg(long)]
        test: bool,
    },
    /// Build the Lean model and its proofs, look for refused words, compare the list of theorems
    Lean(LeanArguments),
    /// Have the model and the kernel run the same cases and compare every byte; all parts of it
    /// when none is named
    Parity(ParityArguments),
    /// What a release stands on, from nothing: proofs, axioms, theorems, corpus, parity, replays
    Conformance {
        /// Parts to run; a release needs all of them, as when none is named
        #[arg(value_parser = conformance::names())]
        parts: Vec<String>,
    },
    /// Check the structure of the workspace
    Tidy,
    /// Rewrite snapshots and goldens from what the code does now
    Bless {
        /// Passed on to `cargo test`, to bless less than everything (`-p antiphon-wire`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the benches
    Bench {
        /// Passed on to `cargo bench` (`-p antiphon-machine -- ping`)
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
    /// Build only these modules and what they import, by name or path, and check nothing else
    modules: Vec<String>,
    /// Build all of it again
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
    /// Write the list of theorems, lean/theorems.json
    #[arg(long, exclusive = true)]
    inventory: bool,
    /// Compare the list of theorems with the proofs
    #[arg(long, exclusive = true)]
    check_inventory: bool,
}

#[derive(Args)]
struct ParityArguments {
    /// The types of both sides, against the registry of deviations
    #[arg(long)]
    types: bool,
    /// The corpus, at n = 1 and in waves, and the kernels that are wrong on purpose
    #[arg(long)]
    suite: bool,
    /// Both
    #[arg(long)]
    all: bool,
    /// 20,000 random cases, which takes an hour or more
    #[arg(long)]
    long: bool,
}

impl ParityArguments {
    fn wanted(&self) -> parity::Wanted {
        let all = self.all || !(self.types || self.suite);
        parity::Wanted {
            types: all || self.types,
            suite: all || self.suite,
            long: self.long,
        }
    }
}

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(code) => code,
        Err(problem) => {
            println!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<ExitCode, Problem> {
    let tree = Tree::locate()?;
    match task {
        Task::Test { lanes } => Ok(report::conclude(&lanes::run(&tree, &lanes))),
        Task::Setup => Ok(report::alone(setup::lane(&tree))),
        Task::Vm { boot: false } => Ok(report::alone(vm::lane(&tree))),
        Task::Vm { boot: true } => vm::boot(&tree),
        Task::Wasm { test: false } => wasm::package(&tree),
        Task::Wasm { test: true } => {
            let reports = wasm::lane(&tree);
            reports.iter().for_each(report::Report::tell);
            Ok(report::conclude(&reports))
        }
        Task::Lean(arguments) => lean(&tree, &arguments),
        Task::Parity(arguments) => {
            let reports = parity::lane(&tree, &arguments.wanted());
            reports.iter().for_each(report::Report::tell);
            Ok(report::conclude(&reports))
        }
        Task::Conformance { parts } => Ok(report::conclude(&conformance::run(&tree, &parts))),
        Task::Tidy => Ok(report::alone(tidy::lane(&tree))),
        Task::Bless { arguments } => bless(&tree, &arguments),
        Task::Bench { arguments } => bench(&tree, &arguments),
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
        lean::some(tree, modules, *from_scratch)
    } else {
        Ok(report::alone(lean::lane(tree, *from_scratch)))
    }
}

/// One switch for every kind of golden: insta reads the first variable, tests that write files of
/// their own read the second.
fn bless(tree: &Tree, arguments: &[String]) -> Result<ExitCode, Problem> {
    let blessing = |packages: &[&str], arguments: &[String]| {
        let mut command = tree.cargo("test");
        command.env("INSTA_UPDATE", "always").env("BLESS", "1");
        command.arg("--no-fail-fast").args(packages);
        run::attached(command.args(arguments))
    };
    if arguments.iter().any(|a| a == "-p" || a == "--package") {
        return blessing(&[], arguments);
    }
    let most = blessing(&["--workspace", "--exclude", parity::PACKAGE], arguments)?;
    // Most tests of the bridge have Lean run for minutes and have no golden.
    let rest = blessing(
        &["--package", parity::PACKAGE, "--test", "corpus"],
        arguments,
    )?;
    Ok(if most == ExitCode::SUCCESS {
        rest
    } else {
        most
    })
}

fn bench(tree: &Tree, arguments: &[String]) -> Result<ExitCode, Problem> {
    let mut command = tree.cargo("bench");
    if !arguments.iter().any(|a| a == "-p" || a == "--package") {
        command.args(["--workspace", "--benches"]);
    }
    run::attached(command.args(arguments))
}

fn fuzz(tree: &Tree, target: &str, runs: u64) -> Result<ExitCode, Problem> {
    let place = tree.root.join("rust/fuzz");
    if !place.is_dir() {
        return Err(Problem::absent(&place, "this checkout has no fuzz targets"));
    }
    // Through rustup's own cargo: the one that runs this program is bound to its toolchain.
    let mut command = Command::new("cargo");
    command
        .current_dir(&tree.root)
        .env_remove("RUSTUP_TOOLCHAIN");
    command.args(["+nightly", "fuzz", "run", "--fuzz-dir", "rust/fuzz", target]);
    // New inputs go to the first directory; the second is kept in the repository and only read.
    let corpus = place.join("corpus").join(target);
    std::fs::create_dir_all(&corpus).map_err(Problem::file(&corpus))?;
    command.args(
        [corpus, place.join("seeds").join(target)]
            .iter()
            .filter(|path| path.is_dir()),
    );
    command.arg("--");
    command.arg(format!("-runs={runs}"));
    run::attached(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parity_without_flags_is_all_of_it() {
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
            let wanted = arguments.wanted();
            assert_eq!((wanted.types, wanted.suite), (types, suite), "{flags:?}");
            assert_eq!(wanted.long, flags.contains(&"--long"), "{flags:?}");
        }
    }
}
