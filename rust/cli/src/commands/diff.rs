//! `antiphon diff`: compares two recordings.

use std::fs::File;
use std::path::{Path, PathBuf};

use antiphon_record::{
    CompareError, CompareOptions, Compared, Comparison, Extent, Likeness, Parting, Place, Reader,
    ReplayError, Side, Tail, compare, diff,
};
use clap::Args;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::filter::{self, quoted};
use crate::output::{Output, WARNING};
use crate::problem::Problem;
use crate::tail;

/// Compare two recordings
///
/// Both are replayed side by side and their conversations are compared: for each session, in the
/// order of opening, the messages from each role to each other role with label and payload, the
/// calls of each role with arguments and results, and how the session ended. The first difference
/// is shown with its session, its place, the path of the field that differs, a few equal messages
/// before it, and an excerpt of both values.
///
/// Time is ignored: the clock, steps, deadlines, checkpoints, and how messages of different roles
/// interleave. How a stream is split into pieces is ignored, too: consecutive `exec_output`
/// messages count as one run of bytes for each `stream`, and consecutive `stdin_data` messages as
/// one. Refused inputs are not compared.
///
/// Input that only one recording has, sent after the command of the other one had ended (`detach`),
/// is not compared, nor is its `stdin_eof`: how much is sent by then depends on timing.
///
/// Differences between headers (tool, configuration, notes) are reported as notes and do not count.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon diff yesterday.rec today.rec
  antiphon diff yesterday.rec today.rec --time
  antiphon diff yesterday.rec today.rec --exact

Exit codes:
  0    the recordings are equal and complete
  1    they differ, or one does not replay
  3    equal up to where a recording ends early
  4    equal up to where a recording is damaged
  125  not decided: one recording runs more than 64 MiB ahead of the other")]
pub(crate) struct Diff {
    /// One recording
    left: PathBuf,
    /// The other
    right: PathBuf,
    /// Compare entry by entry, including time, steps and pieces
    #[arg(long, conflicts_with = "time")]
    exact: bool,
    /// Also compare the clock of each message and each advance of the clock
    #[arg(long)]
    time: bool,
}

pub(crate) fn run(args: &Diff, output: &Output) -> Result<Exit, Problem> {
    if args.exact {
        entries(args, output)
    } else {
        conversations(args, output)
    }
}

fn name(path: &Path) -> String {
    filter::line(&path.display().to_string())
}

/// Compares messages and calls.
fn conversations(args: &Diff, output: &Output) -> Result<Exit, Problem> {
    let open = |path: &Path| File::open(path).map_err(Problem::file("read", path));
    let options = CompareOptions {
        time: args.time,
        ..CompareOptions::default()
    };
    let compared = compare(open(&args.left)?, open(&args.right)?, &options);
    let compared = compared.map_err(|error| match error {
        CompareError::Left(error) => Problem::replay(&args.left, error),
        CompareError::Right(error) => Problem::replay(&args.right, error),
    })?;
    let names = [name(&args.left), name(&args.right)];
    if output.json {
        output.document(&document(&compared, &names))?;
    } else {
        let [left, right] = names.each_ref().map(quoted);
        let text = filter::lines(&compared.text(&left, &right));
        output.print(&format!("{text}\n"))?;
        for note in &compared.notes {
            output.note(WARNING, "antiphon: note:", &filter::line(note));
        }
    }
    let ends = [&compared.left, &compared.right];
    for (path, extent) in [&args.left, &args.right].into_iter().zip(ends) {
        warn(path, extent.tail.as_ref(), extent.records, output);
    }
    Ok(match &compared.likeness {
        Likeness::Equal => Exit::Done,
        Likeness::EqualUpTo if ends.iter().any(|extent| extent.divergence.is_some()) => Exit::No,
        Likeness::EqualUpTo => worse_exit(ends.map(|extent| tail::exit(extent.tail.as_ref()))),
        Likeness::Protocols { .. } | Likeness::Different(_) => Exit::No,
        Likeness::Undecided { .. } => Exit::Failed,
    })
}

/// Compares entry by entry.
fn entries(args: &Diff, output: &Output) -> Result<Exit, Problem> {
    let (mut left, mut right) = (open(&args.left)?, open(&args.right)?);
    let comparison = diff(&mut left, &mut right).map_err(Problem::file("read", &args.left))?;
    if output.json {
        output.document(&entries_json(&comparison))?;
    } else {
        let text = filter::lines(&comparison.to_string());
        let cut = describe_cut(&comparison, [&args.left, &args.right]);
        output.print(&format!("{}\n", cut.unwrap_or(text)))?;
    }
    for (path, reader) in [(&args.left, &left), (&args.right, &right)] {
        warn(path, reader.tail(), reader.records(), output);
    }
    Ok(match comparison {
        Comparison::Equal { .. } => Exit::Done,
        Comparison::EqualUpTo { .. } => {
            worse_exit([tail::exit(left.tail()), tail::exit(right.tail())])
        }
        Comparison::Header { .. } | Comparison::Parted { .. } => Exit::No,
    })
}

fn open(path: &Path) -> Result<Reader<File>, Problem> {
    let file = File::open(path).map_err(Problem::file("read", path))?;
    Reader::open(file).map_err(|error| Problem::replay(path, ReplayError::Open(error)))
}

/// Prints a warning about an incomplete recording.
fn warn(path: &Path, tail: Option<&Tail>, records: u64, output: &Output) {
    if output.json {
        return;
    }
    if let Some(warning) = tail.and_then(|tail| tail::warning(tail, records)) {
        let text = format!("{}: {}", quoted(name(path)), filter::lines(&warning));
        output.warn(&text);
    }
}

/// Returns the worse of two exit codes: damaged, then incomplete.
fn worse_exit(exits: [Exit; 2]) -> Exit {
    match exits {
        [Exit::Damaged, _] | [_, Exit::Damaged] => Exit::Damaged,
        [Exit::Cut, _] | [_, Exit::Cut] => Exit::Cut,
        [exit, _] => exit,
    }
}

/// Describes how far the entries were compared, if a recording is incomplete.
fn describe_cut(comparison: &Comparison, paths: [&Path; 2]) -> Option<String> {
    let Comparison::EqualUpTo {
        entries,
        left,
        right,
    } = comparison
    else {
        return None;
    };
    let ends = [left, right].into_iter().zip(paths);
    let ends = ends.filter_map(|(tail, path)| {
        let why = match tail.as_ref()? {
            Tail::Sealed => return None,
            Tail::Damaged(_) => "is damaged",
            Tail::Torn { .. } => "ends within a record",
            Tail::Open => "ends",
        };
        Some(format!("{} {why}", quoted(name(path))))
    });
    let ends = ends.collect::<Vec<_>>().join(" and ");
    Some(format!("equal up to entry {entries}, where {ends}"))
}

fn extent_json(extent: &Extent, name: &str) -> Value {
    json!({
        "file": name, "step": extent.step, "tail": extent.tail.as_ref().map(tail::json),
        "divergence": extent.divergence, "has_rest": extent.has_rest,
    })
}

fn document(compared: &Compared, names: &[String; 2]) -> Value {
    let mut document = match &compared.likeness {
        Likeness::Equal => json!({ "result": "equal" }),
        Likeness::EqualUpTo => json!({ "result": "equal_up_to" }),
        Likeness::Protocols {
            session,
            left,
            right,
        } => json!({
            "result": "different protocols", "session": session, "left": left, "right": right,
        }),
        Likeness::Different(parting) => parting_json(parting),
        Likeness::Undecided { lookahead_max } => {
            json!({ "result": "undecided", "lookahead_max": lookahead_max })
        }
    };
    let [left, right] = names;
    document["messages"] = json!(compared.messages);
    document["calls"] = json!(compared.calls);
    document["sessions"] = json!(compared.sessions);
    document["notes"] = json!(compared.notes);
    document["read"] = json!([
        extent_json(&compared.left, left),
        extent_json(&compared.right, right)
    ]);
    document
}

fn parting_json(parting: &Parting) -> Value {
    let Parting {
        session,
        place,
        name,
        path,
        offset,
        before,
        left,
        right,
    } = parting;
    let mut document = json!({
        "result": "different", "session": session, "path": path, "offset": offset,
        "before": before, "left": left, "right": right,
    });
    match place {
        Place::Edge {
            from,
            to,
            left,
            right,
        } => {
            document["place"] = json!("messages");
            document["from"] = json!(from);
            document["to"] = json!(to);
            document["numbers"] = json!([left, right]);
            document["label"] = json!(name);
        }
        Place::Calls { role, calls } => {
            document["place"] = json!("calls");
            document["role"] = json!(role);
            document["after_calls"] = json!(calls);
            document["operation"] = json!(name);
        }
        Place::Session => document["place"] = json!("session"),
        Place::Clock => document["place"] = json!("clock"),
    }
    document
}

fn entries_json(comparison: &Comparison) -> Value {
    match comparison {
        Comparison::Equal { entries } => json!({ "result": "equal", "entries": entries }),
        Comparison::EqualUpTo {
            entries,
            left,
            right,
        } => json!({
            "result": "equal_up_to", "entries": entries,
            "left": left.as_ref().map(tail::json), "right": right.as_ref().map(tail::json),
        }),
        Comparison::Header { fields } => {
            let fields = fields
                .iter()
                .map(|(name, left, right)| json!({ "name": name, "left": left, "right": right }));
            json!({ "result": "headers differ", "fields": fields.collect::<Vec<_>>() })
        }
        Comparison::Parted {
            equal,
            before,
            left,
            right,
        } => json!({
            "result": "different", "equal": equal, "before": before,
            "left": side_json(left), "right": side_json(right),
        }),
    }
}

fn side_json(side: &Side) -> Value {
    match side {
        Side::Entry { index, text, .. } => json!({ "entry": index, "text": text }),
        Side::Over(tail) => json!({ "over": tail.to_string() }),
    }
}
