//! The command `antiphon`, as a library with one function. This is the only crate that has
//! arguments and a terminal.
//!
//! To embed the machine in a program of your own, use the crates below this one. The README shows
//! how; its example is compiled and run as a test of this crate.

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
mod json;
mod last_failure;
mod lean;
mod lines;
mod output;
mod overflow;
mod problem;
mod protocol;
mod recorded;
mod recording;
mod replace;
mod report;
mod row_printer;
mod rows;
mod safety;
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

use clap::{CommandFactory, Parser};
use signal_hook::consts::SIGXFSZ;

use cli::Cli;
use commands::Command;
use exit::Exit;
use output::Output;
use problem::Problem;
use recorded::Recorded;

/// Runs the command line of this process and returns its exit code. `docs/cli.md` lists the codes.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    // With a handler, a write beyond the file size limit returns an error, which is reported; the
    // default action would end the process. The signal is not ignored, because programs started
    // from here would inherit that. If the handler cannot be installed, only this case is worse.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    let output = Output::new(cli.style);
    let exit = match cli.command.run(&output, Cli::command) {
        Ok(exit) => exit,
        Err(problem) => report(&problem, &cli.command, &output),
    };
    ExitCode::from(exit.code())
}

/// Reports the problem on standard error and, with `--json`, on standard output.
fn report(problem: &Problem, command: &Command, output: &Output) -> Exit {
    let exit = match (command, problem.exit()) {
        // No session was opened, and 1 would be mistaken for the guest command's own code.
        (Command::Exec(_), Exit::No) => Exit::Failed,
        (_, exit) => exit,
    };
    if exit == Exit::Done {
        return exit;
    }
    let (message, recorded) = (filter::lines(&problem.to_string()), Recorded::of(problem));
    match problem.admission() {
        Some(facts) => output.refusal(&message, exit, facts),
        None => output.failure(&message, exit, recorded),
    }
    exit
}

/// Reports an invalid command line, or prints the help or version that it asks for. `--json` is
/// looked for in the arguments because they could not be parsed.
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
