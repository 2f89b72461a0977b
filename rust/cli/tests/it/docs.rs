//! Runs the console sessions of the README and the guide and compares their output.
//!
//! In a block marked `console`, a line that begins with `$ ` is a shell command, and the following
//! lines are its standard output and error. `...` within a line matches any text in the line; a
//! line `...` matches any lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{TestDir, end};

#[test]
fn the_sessions_of_the_readme_are_accurate() {
    check("README.md");
}

#[test]
fn the_sessions_of_the_guide_are_accurate() {
    check("docs/getting-started.md");
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name);
    let text = fs::read_to_string(path).expect("the document is there");
    let dir = TestDir::new();
    let sessions = sessions(&text);
    assert!(!sessions.is_empty(), "{name} shows no session");
    for (line, command, expected) in sessions {
        let got = run(&dir, &command);
        assert!(
            matches(
                &expected.iter().map(String::as_str).collect::<Vec<_>>(),
                &got
            ),
            "{name}:{line}: `{command}` prints\n{got}\nand the document shows\n{}",
            expected.join("\n")
        );
    }
}

/// Returns the line number, command and expected output of every command in the text.
fn sessions(text: &str) -> Vec<(usize, String, Vec<String>)> {
    let mut found: Vec<(usize, String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        match (inside, line.strip_prefix("```")) {
            (_, Some(kind)) => inside = !inside && kind == "console",
            (true, None) => match line.strip_prefix("$ ") {
                Some(command) => found.push((number + 1, command.to_owned(), Vec::new())),
                None => {
                    let (_, _, output) = found.last_mut().expect("a session begins with `$ `");
                    output.push(line.to_owned());
                }
            },
            (false, None) => {}
        }
    }
    found
}

fn run(dir: &TestDir, command: &str) -> String {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_antiphon"));
    let directory = program.parent().expect("it is in a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let child = Command::new("sh")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .current_dir(dir.path("."))
        .env("PATH", format!("{}:{path}", directory.display()))
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is a shell");
    end(child).stdout
}

/// Whether the lines match, ignoring blank lines at the end.
fn matches(expected: &[&str], got: &str) -> bool {
    let got: Vec<&str> = got.trim_end().lines().collect();
    lines_match(expected, &got)
}

fn lines_match(expected: &[&str], got: &[&str]) -> bool {
    match (expected.split_first(), got.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), _) => {
            (0..=got.len()).any(|skipped| lines_match(rest, &got[skipped..]))
        }
        (Some((&"", [])), None) => true,
        (Some((expected, rest)), Some((line, left))) => {
            line_matches(expected, line) && lines_match(rest, left)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn line_matches(expected: &str, got: &str) -> bool {
    match expected.split_once("...") {
        None => expected.trim_end() == got.trim_end(),
        Some((before, after)) => got.strip_prefix(before).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.any(|at| line_matches(after, &rest[at..]))
        }),
    }
}

#[test]
fn an_inaccurate_session_is_detected() {
    assert!(matches(&["a ... c", "...", "z"], "a b c\nx\ny\nz\n"));
    assert!(!matches(&["a ... c"], "a b d\n"));
    assert!(!matches(&["a"], "a\nb\n"));
    assert!(!matches(&["a", "b"], "a\n"));
    let text = "```console\n$ echo a\na\n$ true\n```\n```sh\n$ no\n```\n";
    let found = sessions(text);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], (2, "echo a".to_owned(), vec!["a".to_owned()]));
}
