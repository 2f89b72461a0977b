//! `antiphon show`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use antiphon_machine::VerifiedImage;
use clap::Args;
use serde_json::json;

use crate::diagram::Diagram;
use crate::exit::Exit;
use crate::filter;
use crate::image::role_names;
use crate::lines;
use crate::output::{ODD, STRONG, Voice, write_document};
use crate::problem::{Problem, UsageError};
use crate::rows::Row;
use crate::tail;
use crate::timeline::Telling;

/// Show what a recording holds
///
/// A timeline for people, unless another form is asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon show demo.rec
  antiphon show demo.rec --mermaid
  antiphon show demo.rec --json | jq 'select(.event == \"sent\")'")]
pub(crate) struct Show {
    /// The recording
    file: PathBuf,
    /// A sequence diagram for Mermaid
    #[arg(long, conflicts_with = "json")]
    mermaid: bool,
    /// Tell everything, and not only messages, calls and failures
    #[arg(long, conflicts_with_all = ["mermaid", "json"])]
    all: bool,
    /// Removed: `antiphon view` writes the page
    #[arg(long, hide = true)]
    html: bool,
}

pub(crate) fn run(args: &Show, voice: &Voice) -> Result<Exit, Problem> {
    if args.html {
        let path = args.file.clone();
        return Err(UsageError::HtmlRemoved { path }.into());
    }
    let mut telling = Telling::open(&args.file)?;
    if voice.json {
        documents(&mut telling, voice)?;
    } else if args.mermaid {
        diagram(&mut telling, voice)?;
    } else {
        print_lines(&mut telling, args, voice)?;
    }
    let tail = telling.tail().cloned();
    if let Some(warning) = tail
        .as_ref()
        .and_then(|tail| tail::warning(tail, telling.records()))
    {
        voice.remark(ODD, "antiphon:", &filter::lines(&warning));
    }
    Ok(if telling.has_diverged() {
        Exit::No
    } else {
        tail::exit(tail.as_ref())
    })
}

fn print_lines(telling: &mut Telling, args: &Show, voice: &Voice) -> Result<(), Problem> {
    let mut out = voice.stdout();
    let name = filter::line(&args.file.display().to_string());
    let mut head = format!(
        "{}  recorded by {}\n",
        voice.paint(STRONG, &name),
        tool(telling)
    );
    for (name, text) in &telling.header().notes {
        head.push_str(&format!(
            "  {}: {}\n",
            filter::line(name),
            filter::line(text)
        ));
    }
    head.push('\n');
    head.push_str(&lines::head(voice));
    out.write_all(head.as_bytes()).map_err(Problem::stdout)?;
    // A line waits for the next one: sessions are opened one after another, and the first is numbered where there is a second.
    let mut held: Option<(Row, Option<Arc<VerifiedImage>>)> = None;
    let mut has_others = false;
    loop {
        let next = telling.next();
        if let Ok(Some((row, _))) = &next {
            if !args.all && !row.kind.is_plain() {
                continue;
            }
            has_others |= row.session > Some(0);
        }
        if let Some((row, image)) = held.take() {
            let line = lines::line(&row, image.as_deref(), voice, has_others);
            out.write_all(line.as_bytes()).map_err(Problem::stdout)?;
        }
        held = next?;
        if held.is_none() {
            break;
        }
    }
    if let Some(text) = telling.tail().and_then(tail::note) {
        let text = filter::line(&text);
        out.write_all(format!("                 …  {text}\n").as_bytes())
            .map_err(Problem::stdout)?;
    }
    out.flush().map_err(Problem::stdout)
}

fn documents(telling: &mut Telling, voice: &Voice) -> Result<(), Problem> {
    let mut out = voice.stdout();
    let header = json!({
        "event": "header", "tool": telling.header().tool, "source": telling.header().source,
        "policy": telling.header().config.policy.name(),
        "notes": telling.header().notes.iter().cloned().collect::<BTreeMap<_, _>>(),
    });
    write_document(&mut out, &header)?;
    while let Some((row, image)) = telling.next()? {
        write_document(&mut out, &row.document(image.as_deref()))?;
    }
    if let Some(mut tail) = telling.tail().map(tail::json) {
        tail["event"] = json!("tail");
        write_document(&mut out, &tail)?;
    }
    out.flush().map_err(Problem::stdout)
}

/// The diagram has the roles of the first session; messages and calls of others are counted at its end.
fn diagram(telling: &mut Telling, voice: &Voice) -> Result<(), Problem> {
    let mut out = voice.stdout();
    let mut write = |text: &str| out.write_all(text.as_bytes()).map_err(Problem::stdout);
    let mut begun: Option<(Diagram, Vec<String>)> = None;
    while let Some((row, image)) = telling.next()? {
        if begun.is_none() {
            let names = image.as_deref().map(role_names).unwrap_or_default();
            if names.is_empty() {
                continue;
            }
            let (diagram, head) = Diagram::begin(names.iter().map(String::as_str));
            write(&head)?;
            begun = Some((diagram, names));
        }
        if let Some((diagram, names)) = &mut begun {
            let number = |name: &str| names.iter().position(|known| known == name);
            if let Some(line) = diagram.row(&row, image.as_deref(), number) {
                write(&line)?;
            }
        }
    }
    let cut = telling.tail().and_then(tail::note);
    match begun {
        Some((diagram, _)) => write(&diagram.end(cut.as_deref()))?,
        // A note needs a participant to be over.
        None => {
            let roles = cut.iter().map(|_| "no session");
            let (diagram, head) = Diagram::begin(roles);
            write(&head)?;
            write(&diagram.end(cut.as_deref()))?;
        }
    }
    out.flush().map_err(Problem::stdout)
}

fn tool(telling: &Telling) -> String {
    filter::line(&telling.header().tool)
}
