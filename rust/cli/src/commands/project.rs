//! `antiphon project`: shows the local automata of a protocol's roles.

use std::path::PathBuf;

use antiphon_language::automaton::{LocalAutomaton, Names};
use antiphon_language::export::{dot, sequence_diagram, state_diagram};
use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::output::Output;
use crate::problem::{Problem, UsageError};
use crate::protocol::{Protocol, ProtocolFile};

/// Show the messages that each role may send and receive
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon project two_buyer.anti --role Shop
  antiphon project two_buyer.anti --role Shop --dot | dot -Tsvg > shop.svg
  antiphon project two_buyer.anti --mermaid")]
pub(crate) struct Project {
    /// The protocol file; `-` is standard input
    file: PathBuf,
    /// The protocol, if the file has several
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// The role; all roles if omitted
    #[arg(long)]
    role: Option<String>,
    /// Print a Graphviz graph
    #[arg(long, conflicts_with = "mermaid")]
    dot: bool,
    /// Print a Mermaid state diagram; without `--role`, a sequence diagram of the protocol
    #[arg(long)]
    mermaid: bool,
}

pub(crate) fn run(args: &Project, output: &Output) -> Result<Exit, Problem> {
    let protocol = ProtocolFile::read(&args.file)?.protocol(args.protocol.as_deref())?;
    let names = Names::of(&protocol.checked);
    let automata = automata(&protocol, args.role.as_deref())?;
    let picture = |automaton: &LocalAutomaton| match (args.dot, args.mermaid) {
        (true, _) => dot(automaton, &names),
        (false, true) => state_diagram(automaton, &names),
        (false, false) => automaton.text(&names),
    };
    if output.json {
        for automaton in automata {
            output.document(&json!({
                "protocol": protocol.checked.name(),
                "role": names.role(automaton.role),
                "states": automaton.states.len(),
                "text": picture(automaton),
            }))?;
        }
        return Ok(Exit::Done);
    }
    if args.mermaid && args.role.is_none() {
        output.print(&sequence_diagram(&protocol.checked))?;
        return Ok(Exit::Done);
    }
    let pictures: Vec<String> = automata.into_iter().map(picture).collect();
    output.print(&pictures.join("\n"))?;
    Ok(Exit::Done)
}

/// Returns the automaton of one role, or all of them.
fn automata<'p>(
    protocol: &'p Protocol,
    role: Option<&str>,
) -> Result<Vec<&'p LocalAutomaton>, Problem> {
    let all = &protocol.compiled.automata;
    let Some(wanted) = role else {
        return Ok(all.iter().collect());
    };
    let roles = protocol.checked.roles();
    let found = roles
        .iter()
        .position(|role| role == wanted)
        .and_then(|row| all.get(row));
    found
        .map(|automaton| vec![automaton])
        .ok_or_else(|| UsageError::no_such_role(protocol.checked.name(), roles, wanted).into())
}
