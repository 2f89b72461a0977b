//! The generated corpus is the same on every machine. `fixtures/parity/corpus.json` has a digest of
//! each part, so a change to a generator, or to the kernel that generators run, fails here and
//! names the parts that changed. `BLESS=1` writes the file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use antiphon_bridge::case::Case;
use antiphon_bridge::corpus::CorpusWriter;
use antiphon_bridge::scope::Part;
use antiphon_bridge::{hand, random, waves};

/// The random cases of every run of the suite.
const RANDOM_CASES: u64 = 2_000;

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity/corpus.json")
}

/// One line of the file: how many cases a part has, and the digest of its corpus file.
fn row(part: &str, cases: impl IntoIterator<Item = Case>) -> String {
    let mut writer = CorpusWriter::create(blake3::Hasher::new()).expect("memory");
    let (mut count, mut actions) = (0_u64, 0);
    for case in cases {
        count += 1;
        actions += case.actions.len();
        writer.case(&case).expect("memory");
    }
    assert!(count > 0, "{part}: no cases");
    let digest = writer.finish().expect("memory").finalize();
    format!(
        "  {{\"part\": \"{part}\", \"cases\": {count}, \"actions\": {actions}, \
         \"blake3\": \"{digest}\"}}"
    )
}

#[test]
fn the_corpus_matches_its_digests() {
    let mut rows = vec![row("hand-meant", hand::cases())];
    for part in Part::ALL {
        rows.push(row(&format!("small scope, {part:?}"), part.cases()));
    }
    rows.push(row("waves", waves::cases()));
    rows.push(row("random", (0..RANDOM_CASES).map(random::case)));
    let made = format!("[\n{}\n]\n", rows.join(",\n"));
    if std::env::var_os("BLESS").is_some() {
        return fs::write(kept(), made).expect("the file can be written");
    }
    let kept = fs::read_to_string(kept()).expect("`BLESS=1` writes it");
    let mut differences = String::new();
    for (sign, ours, theirs) in [("kept", &kept, &made), ("made", &made, &kept)] {
        let alone = ours
            .lines()
            .filter(|line| !theirs.lines().any(|other| other == *line));
        alone.for_each(|line| writeln!(differences, "{sign}: {line}").expect("memory"));
    }
    assert!(
        kept == made,
        "the corpus changed; `cargo xtask bless` accepts it\n{differences}"
    );
}
