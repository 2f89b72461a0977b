//! Checks the width of lines in source files. rustfmt formats only Rust sources, and breaks neither
//! their comments nor their strings.

use std::fs;
use std::path::{Path, PathBuf};

use crate::problem::Problem;

/// The bound on the columns of a line, as in `rustfmt.toml`.
const COLUMNS_MAX: usize = 100;

/// The extensions of the files that are checked. Prose, data and recorded output are not. Lean
/// sources are not covered yet.
const EXTENSIONS: [&str; 7] = ["css", "html", "js", "mjs", "rs", "toml", "ts"];

/// Directories that are not checked: build output, test data, and dependencies.
const SKIPPED: [&str; 8] = [
    ".git",
    ".lake",
    ".tools",
    "corpus",
    "fixtures",
    "node_modules",
    "pkg",
    "target",
];

/// How many files are listed; further ones are only counted.
const FINDINGS_MAX: usize = 40;

/// Lists the files below `root` with lines that are too wide, each with the first such line. A line
/// with a URL may be of any width.
pub(crate) fn findings(root: &Path) -> Result<Vec<String>, Problem> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut findings = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        let mut lines = wide(&text);
        let Some((line, columns)) = lines.next() else {
            continue;
        };
        let finding = format!("{shown}:{line}: {columns} columns, expected at most {COLUMNS_MAX}");
        findings.push(match lines.count() {
            0 => finding,
            more => format!("{finding}; further lines in this file: {more}"),
        });
    }
    let more = findings.len().saturating_sub(FINDINGS_MAX);
    if more > 0 {
        findings.truncate(FINDINGS_MAX);
        findings.push(format!("further files: {more}"));
    }
    Ok(findings)
}

/// The numbers, from 1, and widths of lines that are too wide.
fn wide(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let lines = text.lines().zip(1..);
    lines.filter_map(|(line, number)| {
        let columns = line.chars().count();
        (columns > COLUMNS_MAX && !line.contains("://")).then_some((number, columns))
    })
}

/// Adds the files below `place` with a checked extension to `files`.
fn collect(place: &Path, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    for entry in fs::read_dir(place).map_err(Problem::file(place))? {
        let entry = entry.map_err(Problem::file(place))?;
        let (path, name) = (entry.path(), entry.file_name());
        // Links are not followed, so the walk ends.
        let kind = entry.file_type().map_err(Problem::file(&path))?;
        if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
            collect(&path, files)?;
        } else if kind.is_file() {
            let extension = path.extension().unwrap_or_default();
            if EXTENSIONS.iter().any(|checked| extension == *checked) {
                files.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_bound_are_found_and_urls_are_allowed() {
        let (fits, wide_line) = ("é".repeat(100), "é".repeat(101));
        let url = format!("// https://example.org/{}", "x".repeat(100));
        let text = format!("{fits}\n{wide_line}\n{url}\n// {fits}\n");
        let found: Vec<_> = wide(&text).collect();
        assert_eq!(found, [(2, 101), (4, 103)]);
    }

    #[test]
    fn only_source_files_outside_of_build_output_are_checked() {
        let root = std::env::temp_dir().join(format!("xtask-width-{}", std::process::id()));
        let line = "x".repeat(101);
        for path in [
            "src/a.rs",
            "src/b.md",
            "target/c.rs",
            "fixtures/d.rs",
            "e.mjs",
        ] {
            let path = root.join(path);
            let place = path.parent().expect("it is below the root");
            fs::create_dir_all(place).expect("it can be created");
            let text = format!("{line}\nx\n{line}\n");
            fs::write(&path, &text[usize::from(path.ends_with("e.mjs")) * 102..])
                .expect("it can be written");
        }
        let found = findings(&root);
        fs::remove_dir_all(&root).expect("it exists");
        assert_eq!(
            found.expect("it can be read"),
            [
                "e.mjs:2: 101 columns, expected at most 100",
                "src/a.rs:1: 101 columns, expected at most 100; further lines in this file: 1"
            ]
        );
    }
}
