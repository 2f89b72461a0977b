//! `antiphon show`: shows the contents of a recording.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use antiphon_machine::SessionId;
use clap::Args;
use serde_json::json;

use crate::diagram::Diagram;
use crate::exit::Exit;
use crate::filter;
use crate::image::role_names;
use crate::lines;
use crate::output::{HEADING, Output, write_document};
use crate::problem::{Problem, UsageError};
use crate::tail;
use crate::timeline::{Timeline, TimelineRow};

/// The version of the documents of `--json`. It grows when one of their keys or an event's name is
/// renamed or removed.
const VERSION: u32 = 1;

/// Show the contents of a recording
///
/// Prints a timeline, unless another form is chosen.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon show demo.rec
  antiphon show demo.rec --mermaid
  antiphon show demo.rec --json | jq 'select(.event == \"sent\")'")]
pub(crate) struct Show {
    /// The recording
    file: PathBuf,
    /// Print a Mermaid sequence diagram
    #[arg(long, conflicts_with = "json")]
    mermaid: bool,
    /// Print every event, not only messages, calls and failures
    #[arg(long, conflicts_with_all = ["mermaid", "json"])]
    all: bool,
    /// Removed: `antiphon view` writes the page
    #[arg(long, hide = true)]
    html: bool,
}

pub(crate) fn run(args: &Show, output: &Output) -> Result<Exit, Problem> {
    if args.html {
        let path = args.file.clone();
        return Err(UsageError::HtmlRemoved { path }.into());
    }
    UsageError::check_json(output, "--mermaid", args.mermaid)?;
    UsageError::check_json(output, "--all", args.all)?;
    let mut timeline = Timeline::open(&args.file)?;
    if output.json {
        documents(&mut timeline, output)?;
    } else if args.mermaid {
        diagram(&mut timeline, output)?;
    } else {
        print_lines(&mut timeline, args, output)?;
    }
    let tail = timeline.tail().cloned();
    if let Some(warning) = tail
        .as_ref()
        .and_then(|tail| tail::warning(tail, timeline.records()))
    {
        output.warn(&filter::lines(&warning));
    }
    Ok(if timeline.has_diverged() {
        Exit::No
    } else {
        tail::exit(tail.as_ref())
    })
}

fn print_lines(timeline: &mut Timeline, args: &Show, output: &Output) -> Result<(), Problem> {
    let mut out = output.stdout();
    let name = filter::line(&args.file.display().to_string());
    let mut head = format!(
        "{}  recorded by {}\n",
        output.paint(HEADING, &name),
        tool(timeline)
    );
    for (name, text) in &timeline.header().notes {
        head.push_str(&format!(
            "  {}: {}\n",
            filter::line(name),
            filter::line(text)
        ));
    }
    head.push('\n');
    head.push_str(&lines::head(output));
    out.write_all(head.as_bytes()).map_err(Problem::stdout)?;
    // Each line is held until the next one is known: session 0 is numbered only if there is another
    // session, and sessions are opened one after another.
    let mut held: Option<TimelineRow> = None;
    let mut has_others = false;
    loop {
        let next = timeline.next();
        if let Ok(Some(row)) = &next {
            if !args.all && row.named().is_detail() {
                continue;
            }
            has_others |= row.row.session > Some(SessionId(0));
        }
        if let Some(row) = held.take() {
            let line = lines::line(row.named(), output, has_others);
            out.write_all(line.as_bytes()).map_err(Problem::stdout)?;
        }
        held = next?;
        if held.is_none() {
            break;
        }
    }
    if let Some(text) = timeline.tail().and_then(tail::note) {
        let text = filter::line(&text);
        out.write_all(format!("                 …  {text}\n").as_bytes())
            .map_err(Problem::stdout)?;
    }
    out.flush().map_err(Problem::stdout)
}

fn documents(timeline: &mut Timeline, output: &Output) -> Result<(), Problem> {
    let mut out = output.stdout();
    let header = json!({
        "event": "header", "version": VERSION,
        "tool": timeline.header().tool, "source": timeline.header().source,
        "policy": timeline.header().config.policy.name(),
        "notes": timeline.header().notes.iter().cloned().collect::<BTreeMap<_, _>>(),
    });
    write_document(&mut out, &header)?;
    while let Some(row) = timeline.next()? {
        write_document(&mut out, &row.named().document())?;
    }
    if let Some(mut tail) = timeline.tail().map(tail::json) {
        tail["event"] = json!("tail");
        write_document(&mut out, &tail)?;
    }
    out.flush().map_err(Problem::stdout)
}

/// The diagram has the roles of the first session; messages and calls of other roles are counted at
/// its end.
fn diagram(timeline: &mut Timeline, output: &Output) -> Result<(), Problem> {
    let mut out = output.stdout();
    let mut write = |text: &str| out.write_all(text.as_bytes()).map_err(Problem::stdout);
    let mut begun: Option<(Diagram, Vec<String>)> = None;
    while let Some(row) = timeline.next()? {
        if begun.is_none() {
            let names = row.image().map(role_names).unwrap_or_default();
            if names.is_empty() {
                continue;
            }
            let (diagram, head) = Diagram::begin(names.iter().map(String::as_str));
            write(&head)?;
            begun = Some((diagram, names));
        }
        if let Some((diagram, names)) = &mut begun {
            let number = |name: &str| names.iter().position(|known| known == name);
            if let Some(line) = diagram.row(row.named(), number) {
                write(&line)?;
            }
        }
    }
    let cut = timeline.tail().and_then(tail::note);
    match begun {
        Some((diagram, _)) => write(&diagram.end(cut.as_deref()))?,
        // A note needs a participant.
        None => {
            let roles = cut.iter().map(|_| "no session");
            let (diagram, head) = Diagram::begin(roles);
            write(&head)?;
            write(&diagram.end(cut.as_deref()))?;
        }
    }
    out.flush().map_err(Problem::stdout)
}

fn tool(timeline: &Timeline) -> String {
    filter::line(&timeline.header().tool)
}
