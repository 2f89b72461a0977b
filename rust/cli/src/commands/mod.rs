//! The commands. Each module has the arguments of its command and runs it.

mod agent;
mod certify;
mod check;
mod compile;
mod completions;
mod cp;
mod diff;
mod exec;
mod fmt;
mod man;
mod project;
mod replay;
mod run;
mod show;
mod view;

use clap::Subcommand;

use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;

/// A command with its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Exec(exec::Exec),
    Cp(cp::Cp),
    Replay(replay::Replay),
    Show(show::Show),
    View(view::View),
    Diff(diff::Diff),
    Certify(certify::Certify),
    Check(check::Check),
    Project(project::Project),
    Compile(compile::Compile),
    Fmt(fmt::Fmt),
    Run(run::Run),
    Agent(agent::Agent),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Runs the command. `line` builds the whole command line, which `completions` and `man`
    /// describe.
    pub(crate) fn run(
        &self,
        output: &Output,
        line: fn() -> clap::Command,
    ) -> Result<Exit, Problem> {
        match self {
            Command::Exec(args) => exec::run(args, output),
            Command::Cp(args) => cp::run(args, output),
            Command::Replay(args) => replay::run(args, output),
            Command::Show(args) => show::run(args, output),
            Command::View(args) => view::run(args, output),
            Command::Diff(args) => diff::run(args, output),
            Command::Certify(args) => certify::run(args, output),
            Command::Check(args) => check::run(args, output),
            Command::Project(args) => project::run(args, output),
            Command::Compile(args) => compile::run(args, output),
            Command::Fmt(args) => fmt::run(args, output),
            Command::Run(args) => run::run(args, output),
            Command::Agent(args) => agent::run(args),
            Command::Completions(args) => completions::run(args, line(), output),
            Command::Man(args) => man::run(args, line(), output),
        }
    }
}
