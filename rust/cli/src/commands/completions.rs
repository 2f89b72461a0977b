//! `antiphon completions`: prints completions for a shell.

use clap::{Args, Command};

use crate::exit::Exit;
use crate::output::Output;
use crate::problem::{Problem, UsageError};

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon completions bash > ~/.local/share/bash-completion/completions/antiphon
  antiphon completions zsh > ~/.zfunc/_antiphon")]
pub(crate) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the completions of this command line.
pub(crate) fn run(args: &Completions, mut line: Command, output: &Output) -> Result<Exit, Problem> {
    if output.json {
        return Err(UsageError::NoJson {
            command: "completions",
        }
        .into());
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut line, "antiphon", &mut script);
    output.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
