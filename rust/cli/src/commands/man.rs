//! `antiphon man`: prints a manual page.

use clap::{Args, Command};

use crate::exit::Exit;
use crate::output::Output;
use crate::problem::{Problem, UsageError};

/// Print the manual page
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon man > ~/.local/share/man/man1/antiphon.1
  antiphon man exec | man -l -")]
pub(crate) struct Man {
    /// The command; without one, the page of `antiphon` is printed
    command: Option<String>,
}

/// Prints the manual page of this command line, or of one of its commands.
pub(crate) fn run(args: &Man, mut line: Command, output: &Output) -> Result<Exit, Problem> {
    if output.json {
        return Err(UsageError::NoJson { command: "man" }.into());
    }
    line.build();
    let page = match &args.command {
        None => line,
        Some(name) => {
            let Some(command) = line.find_subcommand(name) else {
                let known = line
                    .get_subcommands()
                    .map(|c| format!("`{}`", c.get_name()));
                let known = known.collect::<Vec<_>>().join(", ");
                let got = name.clone();
                return Err(UsageError::NoSuchCommand { got, known }.into());
            };
            command.clone()
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(Problem::stdout)?;
    output.print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}
