//! Checks `docs/language.md`: its examples compile and are formatted, and its table of diagnostic
//! codes matches the source. `BLESS=1` rewrites the table.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::common::Files;
use antiphon_language::compile_source;
use antiphon_language::diagnostic::{Code, Severity};
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{format, parse};

const BEGIN: &str =
    "<!-- codes: made from the table in the source by `cargo xtask bless`; edit that -->\n";
const END: &str = "<!-- end of codes -->\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/language.md")
}

#[test]
fn examples_are_valid_and_formatted() {
    let text = std::fs::read_to_string(page()).expect("the page is readable");
    let examples: Vec<&str> = text
        .split("```antiphon\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() >= 8, "only {} examples", examples.len());
    for example in examples {
        let source = Source::new("docs/language.md", example);
        let built = compile_source(source, &Files, &Limits::default())
            .unwrap_or_else(|report| panic!("{report}\nin\n{example}"));
        assert!(built.warnings.diagnostics.is_empty(), "{}", built.warnings);
        let printed = format(&parse(Default::default(), example).ast);
        assert_eq!(printed.as_deref(), Some(example));
    }
}

fn table() -> String {
    let mut table = String::from("| code | what is wrong | how to fix it |\n| --- | --- | --- |\n");
    for code in Code::ALL {
        let warning = match code.severity() {
            Severity::Error => "",
            Severity::Warning => " (warning)",
        };
        let cell = |text: &str| text.replace('|', "\\|");
        let (meaning, fix) = (cell(code.meaning()), cell(code.fix()));
        writeln!(table, "| {code}{warning} | {meaning} | {fix} |")
            .expect("writing to a string cannot fail");
    }
    table
}

#[test]
fn the_table_of_codes_matches_the_source() {
    let text = std::fs::read_to_string(page()).expect("the page is readable");
    let (before, rest) = text
        .split_once(BEGIN)
        .expect("the page has the opening mark");
    let (written, after) = rest.split_once(END).expect("the page has the closing mark");
    if std::env::var_os("BLESS").is_some() && written.trim() != table().trim() {
        // Another test may be reading the page, so it is replaced by renaming and never half
        // written.
        let page_text = std::format!("{before}{BEGIN}\n{}\n{END}{after}", table());
        let aside = page().with_extension("md.new");
        std::fs::write(&aside, page_text).expect("the new page is writable");
        std::fs::rename(aside, page()).expect("the page is replaceable");
    } else {
        assert_eq!(written.trim(), table().trim(), "BLESS=1 rewrites the table");
    }
}
