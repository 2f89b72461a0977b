//! The fixtures: every `fixtures/language/ok` file is accepted without findings, and every `err`
//! file produces exactly the report stored beside it. `BLESS=1` rewrites the reports.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::common::{Files, fixtures, read};
use antiphon_language::compile::compile_all;
use antiphon_language::diagnostic::{Code, Group, Style, render_all};
use antiphon_language::safety::Limits;
use antiphon_language::{Modules, format};

/// The protocol files of a folder, in the order of their numbers. All numbers are distinct.
fn numbered(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(fixtures().join(folder))
        .expect("the folder of fixtures exists")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "scr" || e == "anti"))
        .collect();
    files.sort();
    let mut numbers = BTreeSet::new();
    for file in &files {
        let stem = stem(file);
        let number = stem.split('_').next().unwrap_or_default().to_string();
        assert!(
            number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit()),
            "{stem}"
        );
        assert!(
            numbers.insert(number),
            "another fixture has the number of {stem}"
        );
    }
    files
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Compiles a file; returns its report and the codes of its findings.
fn report(path: &Path) -> (String, Vec<Code>) {
    let modules = Modules::load(read(path), &Files);
    let diagnostics = compile_all(&modules, &Limits::default()).diagnostics;
    let codes = diagnostics.iter().map(|d| d.code).collect();
    (
        render_all(&diagnostics, modules.sources(), Style::Plain),
        codes,
    )
}

/// The files in `err` with their reports and codes, computed once for all tests.
fn bad() -> &'static [(PathBuf, String, Vec<Code>)] {
    static BAD: OnceLock<Vec<(PathBuf, String, Vec<Code>)>> = OnceLock::new();
    BAD.get_or_init(|| {
        let files = numbered("err").into_iter();
        let reports = files.map(|file| {
            let (text, codes) = report(&file);
            (file, text, codes)
        });
        reports.collect()
    })
}

#[test]
fn accepts_every_ok_fixture() {
    let files = numbered("ok");
    assert!(!files.is_empty());
    for file in &files {
        let (text, _) = report(file);
        assert!(text.is_empty(), "{}\n{text}", file.display());
    }
}

#[test]
fn reports_for_err_fixtures_are_as_expected() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut expected_files = BTreeSet::new();
    let mut failures = String::new();
    for (file, text, codes) in bad() {
        assert!(!codes.is_empty(), "{} is accepted", file.display());
        let expected = file.with_extension("expected");
        if bless {
            fs::write(&expected, text).expect("the report is writable");
        }
        match fs::read_to_string(&expected) {
            Ok(want) if want == *text => {}
            Ok(want) => failures.push_str(&format!(
                "{}\nwant:\n{want}\ngot:\n{text}\n",
                file.display()
            )),
            Err(_) => failures.push_str(&format!(
                "{} has no expected report; BLESS=1 writes it\n",
                file.display()
            )),
        }
        expected_files.insert(expected);
    }
    for entry in fs::read_dir(fixtures().join("err")).expect("the folder exists") {
        let path = entry.expect("the folder can be listed").path();
        if path.extension().is_some_and(|e| e == "expected") && !expected_files.contains(&path) {
            failures.push_str(&format!("{} belongs to no fixture\n", path.display()));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Codes that no file can produce. Each has a test of its own.
const SHOWN_ELSEWHERE: [Code; 5] = [
    Code::SourceTooLong,
    Code::NotUtf8,
    Code::TooManyErrors,
    Code::TooManyModules,
    Code::TooManyProtocols,
];

#[test]
fn every_syntax_name_and_shape_code_has_a_fixture() {
    let shown: BTreeSet<Code> = bad()
        .iter()
        .flat_map(|(_, _, codes)| codes.clone())
        .collect();
    let ours = |code: &&Code| match code.group() {
        Group::Syntax | Group::Names | Group::Shape | Group::Unsupported => true,
        Group::Projection | Group::Safety | Group::Resources => false,
    };
    for code in Code::ALL.iter().filter(ours) {
        assert!(
            shown.contains(code) || SHOWN_ELSEWHERE.contains(code),
            "{code} has no fixture"
        );
        assert!(
            !(shown.contains(code) && SHOWN_ELSEWHERE.contains(code)),
            "{code} has a fixture"
        );
    }
}

#[test]
fn formatting_fixtures_is_lossless_and_idempotent() {
    for file in numbered("ok").into_iter().chain(numbered("err")) {
        let source = read(&file);
        let first = antiphon_language::parse(Default::default(), &source.text).ast;
        let Some(printed) = format(&first) else {
            continue;
        };
        let second = antiphon_language::parse(Default::default(), &printed).ast;
        assert_eq!(first, second, "{}\n{printed}", file.display());
        let again = format(&second).expect("printed text is complete");
        assert_eq!(printed, again, "{}", file.display());
        assert_eq!(
            crate::common::comments(&first),
            crate::common::comments(&second),
            "{}",
            file.display()
        );
    }
}
