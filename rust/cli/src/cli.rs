//! The command line as a whole. The doc comments of the arguments are the help text.

use clap::Parser;
use clap::builder::styling::{AnsiColor, Styles};

use crate::args::StyleArgs;
use crate::commands::Command;
use crate::exit;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Run a command in a guest under a protocol, record the session, replay it without the guest.
#[derive(Debug, Parser)]
#[command(
    name = "antiphon",
    version,
    styles = STYLES,
    max_term_width = 100,
    infer_subcommands = false,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = exit::TABLE
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) style: StyleArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
