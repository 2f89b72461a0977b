//! `antiphon fmt`: formats protocol files.

use std::fs;
use std::path::{Path, PathBuf};

use antiphon_language::diagnostic::{Diagnostic, Json, render_all};
use antiphon_language::source::{Source, Sources};
use antiphon_language::{format, parse};
use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::output::{Output, WARNING};
use crate::problem::{Problem, UsageError};
use crate::replace;
use crate::text;

/// Format protocol files in place
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon fmt protocols/*.anti
  antiphon fmt --check protocols/*.anti
  antiphon fmt - < draft.anti")]
pub(crate) struct Fmt {
    /// Change nothing; list the files that would change, and exit with 1 if there are any
    #[arg(long)]
    check: bool,
    /// Protocol files; `-` formats standard input to standard output
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(args: &Fmt, output: &Output) -> Result<Exit, Problem> {
    if !args.check {
        args.files.iter().try_for_each(|path| check_place(path))?;
    }
    let mut exit = Exit::Done;
    for path in &args.files {
        let formatted = Formatted::read(path)?;
        match &formatted.text {
            Ok(text) => {
                let changed = **text != *formatted.source.text;
                if args.check && changed {
                    exit = Exit::No;
                }
                finish(path, text, changed, args, output)?;
            }
            Err(found) => {
                exit = Exit::No;
                refuse(&formatted.source, found, output)?;
            }
        }
    }
    Ok(exit)
}

/// Refuses a pipe or a device: the text would be read from it and written back to it.
fn check_place(path: &Path) -> Result<(), Problem> {
    let is_special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    if is_special && !text::is_stdin(path) {
        let path = path.to_owned();
        return Err(UsageError::FormatInPlace { path }.into());
    }
    Ok(())
}

/// A file and its formatted text, or the errors that prevent formatting.
struct Formatted {
    source: Source,
    text: Result<String, Vec<Diagnostic>>,
}

impl Formatted {
    fn read(path: &Path) -> Result<Formatted, Problem> {
        let source = match text::source(path)? {
            Ok(source) => source,
            Err((found, source)) => {
                return Ok(Formatted {
                    source,
                    text: Err(vec![found]),
                });
            }
        };
        let parsed = parse(antiphon_language::source::FileId(0), &source.text);
        let text = match format(&parsed.ast) {
            Some(text) => Ok(text),
            None => Err(parsed.diagnostics),
        };
        Ok(Formatted { source, text })
    }
}

fn finish(
    path: &Path,
    text: &str,
    changed: bool,
    args: &Fmt,
    output: &Output,
) -> Result<(), Problem> {
    let name = text::name(path);
    if !args.check && text::is_stdin(path) {
        return if output.json {
            output.document(&json!({ "file": name, "changed": changed, "text": text }))
        } else {
            output.print(text)
        };
    }
    if !args.check && changed {
        replace::write(path, text.as_bytes()).map_err(Problem::file("write", path))?;
    }
    if output.json {
        return output.document(&json!({ "file": name, "changed": changed }));
    }
    match (args.check, changed) {
        (true, true) => output.print(&format!(
            "{} {name}\n",
            output.paint(WARNING, "not formatted:")
        )),
        (false, true) => output.print(&format!("formatted: {name}\n")),
        (_, false) => Ok(()),
    }
}

fn refuse(source: &Source, found: &[Diagnostic], output: &Output) -> Result<(), Problem> {
    let mut sources = Sources::default();
    // The first file of an empty set always has room.
    let _ = sources.add(source.clone());
    if output.json {
        let found: Vec<Json<'_>> = found.iter().map(|d| Json::new(d, &sources)).collect();
        return output.document(&json!({ "file": &*source.name, "diagnostics": found }));
    }
    output.print(&render_all(found, &sources, output.diagnostics()))
}
