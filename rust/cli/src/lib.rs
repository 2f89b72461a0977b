//! The command `antiphon`, as a library with one function: the only crate with arguments, a terminal and files.
//!
//! To embed the machine in a program of your own, use the crates below this one; the README shows how, and its
//! example is compiled and run as a test of this crate.

mod args;
mod checkout;
mod cli;
mod commands;
mod copier;
mod diagram;
mod exit;
mod explain;
mod fields;
mod filter;
mod guest;
mod hex;
mod host;
mod image;
mod interactive;
mod interrupt;
mod last_failure;
mod lean;
mod lines;
mod literal;
mod output;
mod overflow;
mod problem;
mod protocol;
mod recording;
mod replace;
mod report;
mod row_printer;
mod rows;
mod same_file;
mod script;
mod standard;
mod state;
mod streams;
mod tail;
mod text;
mod timeline;
mod view;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use signal_hook::consts::SIGXFSZ;

use cli::Cli;
use commands::Command;
use exit::Exit;
use output::Output;
use problem::Problem;
use recording::Recorded;

/// Runs the command line of this process and says how it ended. `docs/cli.md` has the exit codes.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    // A write beyond the limit for files then fails and is reported; the signal alone would end the program. It has a
    // handler and is not ignored, because the programs that we start would inherit that. If it cannot have one, only
    // this case is worse.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    let output = Output::new(cli.style);
    let exit = match cli.command.run(&output) {
        Ok(exit) => exit,
        Err(problem) => report(&problem, &cli.command, &output),
    };
    ExitCode::from(exit.code())
}

/// Says what went wrong: to the person on standard error, to the program on standard output.
fn report(problem: &Problem, command: &Command, output: &Output) -> Exit {
    let exit = match (command, problem.exit()) {
        // A session that never was: 1 would be taken for the guest command's own code.
        (Command::Exec(_), Exit::No) => Exit::Failed,
        (_, exit) => exit,
    };
    if exit == Exit::Done {
        return exit;
    }
    let recorded = Recorded::of(problem);
    output.failure(&filter::lines(&problem.to_string()), exit, recorded);
    exit
}

/// Reports why a command line is not understood, or prints the help or the version that it asks for. `--json` may be in
/// it, though it does not fit the rest.
fn usage(error: &clap::Error) -> ExitCode {
    output::print_usage(error);
    let code = u8::try_from(error.exit_code()).unwrap_or(u8::MAX);
    let mut args = std::env::args_os().skip(1).take_while(|arg| arg != "--");
    if error.use_stderr() && args.any(|arg| arg == "--json") {
        let text = filter::lines(&error.to_string());
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        let document = serde_json::json!({ "error": text, "code": code });
        let _ = output::document(&document);
    }
    ExitCode::from(code)
}

/// The README's example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
