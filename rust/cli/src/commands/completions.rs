//! `antiphon completions`.

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::exit::Exit;
use crate::output::Voice;
use crate::problem::Problem;

pub(crate) fn run(args: &Completions, voice: &Voice) -> Result<Exit, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "antiphon", &mut script);
    voice.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
