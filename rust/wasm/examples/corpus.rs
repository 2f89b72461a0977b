//! Writes the corpus and the native kernel's results for the tests of the WASM module:
//! `corpus FOLDER`.
//!
//! `PART.corpus` are corpus files (`docs/parity.md`). `PART.expected` has a line for each case: the
//! digest of its output, and its name. `corpus.json` lists the parts, and the results of native
//! replays of the recordings among the fixtures. Each part must have the digest that
//! `fixtures/parity/corpus.json` records.
#![expect(clippy::print_stdout, reason = "the tool prints its results")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use antiphon_bridge::case::Case;
use antiphon_bridge::corpus::CorpusWriter;
use antiphon_bridge::recording::case_of_recording;
use antiphon_bridge::scope::Part;
use antiphon_bridge::{hand, random, waves};
use antiphon_machine::{Canonical, sample};
use antiphon_record::{Verdict, replay};
use serde_json::{Value, json};

/// The number of random cases in the recorded corpus.
const RANDOM_CASES: u64 = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: corpus FOLDER")?;
    let folder = PathBuf::from(folder);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let kept = fs::read_to_string(fixtures.join("parity/corpus.json"))?;
    let kept: Value = serde_json::from_str(&kept)?;
    let mut parts = vec![("hand-meant".to_owned(), hand::cases())];
    for part in Part::ALL {
        parts.push((format!("small scope, {part:?}"), part.cases()));
    }
    parts.push(("waves".to_owned(), waves::cases()));
    let random = (0..RANDOM_CASES).map(random::case).collect();
    parts.push(("random".to_owned(), random));
    let mut names = Vec::new();
    for (name, cases) in &parts {
        let digest = write(&folder, name, cases)?;
        let rows = kept.as_array().ok_or("not a list")?;
        let row = rows.iter().find(|row| row["part"] == **name);
        if row.ok_or("a part is not recorded")?["blake3"] != digest {
            return Err(format!("`{name}` differs from the recorded part").into());
        }
        names.push(name.clone());
    }
    let (cases, found) = recordings(&fixtures)?;
    write(&folder, "recordings", &cases)?;
    names.push("recordings".to_owned());
    // For the benchmark: two roles that exchange messages without calling their hosts.
    let bare = sample::bare_ping_pong().image().to_bytes();
    fs::write(folder.join("bare.image"), bare)?;
    let list = json!({ "parts": names, "recordings": found });
    fs::write(folder.join("corpus.json"), format!("{list:#}\n"))?;
    Ok(())
}

/// Writes a part. Returns the digest of its corpus file.
fn write(folder: &Path, name: &str, cases: &[Case]) -> Result<String, Box<dyn Error>> {
    let mut writer = CorpusWriter::create(Vec::new())?;
    let mut lines = String::new();
    for case in cases {
        writer.case(case)?;
        lines += &antiphon_wasm::line(case);
        lines.push('\n');
    }
    let bytes = writer.finish()?;
    println!("{name}: {} cases, {} bytes", cases.len(), bytes.len());
    let digest = blake3::hash(&bytes).to_hex().to_string();
    fs::write(folder.join(format!("{name}.corpus")), bytes)?;
    fs::write(folder.join(format!("{name}.expected")), lines)?;
    Ok(digest)
}

/// The recordings as cases, and the results of their native replays.
fn recordings(fixtures: &Path) -> Result<(Vec<Case>, Vec<Value>), Box<dyn Error>> {
    let (mut cases, mut found) = (Vec::new(), Vec::new());
    for folder in ["parity/recordings", "recordings/v1"] {
        let mut paths = Vec::new();
        for entry in fs::read_dir(fixtures.join(folder))? {
            paths.push(entry?.path());
        }
        paths.sort();
        for path in paths {
            let bytes = fs::read(&path)?;
            let name = path.file_name().ok_or("no name")?.to_string_lossy();
            cases.push(case_of_recording(&name, &bytes)?);
            let report = replay(&bytes[..])?;
            let hex = |digest: &[u8; 32]| blake3::Hash::from(*digest).to_hex().to_string();
            found.push(json!({
                "path": format!("fixtures/{folder}/{name}"),
                "equal": report.verdict == Verdict::Equal,
                "steps": report.last.step,
                "entries": report.entries,
                "requests": report.requests,
                "inputs": report.inputs,
                "sessions": report.sessions,
                "state": report.last.state.as_ref().map(hex),
                "trace": report.last.trace.as_ref().map(hex),
            }));
        }
    }
    Ok((cases, found))
}
