//! `antiphon diff`.

use std::fs::File;
use std::path::Path;

use antiphon_record::{Comparison, Reader, ReplayError, Side, Tail, diff};
use serde_json::{Value, json};

use crate::args::Diff;
use crate::exit::Exit;
use crate::filter;
use crate::output::{ODD, Voice};
use crate::problem::Problem;
use crate::telling::warning;

pub(crate) fn run(args: &Diff, voice: &Voice) -> Result<Exit, Problem> {
    let (mut left, mut right) = (open(&args.left)?, open(&args.right)?);
    let comparison = diff(&mut left, &mut right).map_err(Problem::file("read", &args.left))?;
    if voice.json {
        voice.document(&document(&comparison))?;
    } else {
        voice.print(&format!("{}\n", filter::lines(&comparison.to_string())))?;
    }
    for (path, reader) in [(&args.left, &left), (&args.right, &right)] {
        let warning = reader
            .tail()
            .and_then(|tail| warning(tail, reader.records()));
        if let Some(warning) = warning {
            voice.remark(ODD, "antiphon:", &format!("{}: {warning}", path.display()));
        }
    }
    let damaged = [&left, &right]
        .iter()
        .any(|r| matches!(r.tail(), Some(Tail::Damaged(_))));
    Ok(match comparison {
        Comparison::Equal { .. } if damaged => Exit::Damaged,
        Comparison::Equal { .. } => Exit::Done,
        Comparison::Header { .. } | Comparison::Parted { .. } => Exit::No,
    })
}

fn open(path: &Path) -> Result<Reader<File>, Problem> {
    let file = File::open(path).map_err(Problem::file("read", path))?;
    Reader::open(file).map_err(|error| Problem::recording(path, ReplayError::Open(error)))
}

fn document(comparison: &Comparison) -> Value {
    match comparison {
        Comparison::Equal { entries } => json!({ "result": "equal", "entries": entries }),
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
            "result": "parted", "equal": equal, "before": before,
            "left": side(left), "right": side(right),
        }),
    }
}

fn side(side: &Side) -> Value {
    match side {
        Side::Entry { index, text, .. } => json!({ "entry": index, "text": text }),
        Side::Over(tail) => json!({ "over": tail.to_string() }),
    }
}
