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
use crate::output::Voice;
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
    /// Runs the command.
    pub(crate) fn run(&self, voice: &Voice) -> Result<Exit, Problem> {
        match self {
            Command::Exec(args) => exec::run(args, voice),
            Command::Cp(args) => cp::run(args, voice),
            Command::Replay(args) => replay::run(args, voice),
            Command::Show(args) => show::run(args, voice),
            Command::View(args) => view::run(args, voice),
            Command::Diff(args) => diff::run(args, voice),
            Command::Certify(args) => certify::run(args, voice),
            Command::Check(args) => check::run(args, voice),
            Command::Project(args) => project::run(args, voice),
            Command::Compile(args) => compile::run(args, voice),
            Command::Fmt(args) => fmt::run(args, voice),
            Command::Run(args) => run::run(args, voice),
            Command::Agent(args) => agent::run(args),
            Command::Completions(args) => completions::run(args, voice),
            Command::Man(args) => man::run(args, voice),
        }
    }
}
