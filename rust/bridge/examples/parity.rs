//! Parity by hand: writes corpora and the kernel's output, and shows how two outputs differ.
//!
//! ```text
//! parity corpus hand|scope|waves|random COUNT FILE   writes at most COUNT cases as a corpus file
//! parity kernel CORPUS OUTPUT                        writes the kernel's output
//! parity compare CORPUS OUTPUT                       compares the model's output with the kernel's
//! parity fixture CORPUS OUTPUT NAME TARGET           shrinks the first divergence to a fixture
//! parity figures CORPUS                              shows the size and the coverage of a corpus
//! ```
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a command-line tool"
)]

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::process::ExitCode;

use antiphon_bridge::case::Case;
use antiphon_bridge::compare::Comparison;
use antiphon_bridge::corpus::CorpusReader;
use antiphon_bridge::coverage::Coverage;
use antiphon_bridge::fixture::write_fixture;
use antiphon_bridge::oracle::{Oracle, write_corpus};
use antiphon_bridge::output::OutputWriter;
use antiphon_bridge::scope::Part;
use antiphon_bridge::shrink::shrink;
use antiphon_bridge::{hand, random, run, waves};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match act(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn act(args: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    match args {
        ["corpus", kind, count, file] => {
            let count = count.parse()?;
            let cases: Vec<Case> = match *kind {
                "hand" => hand::cases(),
                "waves" => waves::cases(),
                "scope" => Part::ALL.into_iter().flat_map(Part::cases).collect(),
                "random" => (0..count).map(random::case).collect(),
                _ => return Err("the kind of corpus is hand, scope, waves or random".into()),
            };
            let cases = &cases[..cases.len().min(count as usize)];
            write_corpus(Path::new(file), cases)?;
            println!("{} cases", cases.len());
        }
        ["kernel", corpus, output] => {
            let cases = read(corpus)?;
            let mut writer = OutputWriter::create(BufWriter::new(File::create(output)?))?;
            for case in &cases {
                writer.case(&run::encode(&run::run(case)))?;
            }
            writer.finish()?;
        }
        ["compare", corpus, output] => {
            let done = compare(&read(corpus)?, output)?;
            return Ok(report(&done));
        }
        ["fixture", corpus, output, name, target] => {
            let cases = read(corpus)?;
            let done = compare(&cases, output)?;
            let Some(first) = done.divergences.first() else {
                return Err("the outputs have no divergence".into());
            };
            let oracle = Oracle::find(Path::new(target))?;
            let case = &cases[usize::try_from(first.index)?];
            let small = shrink(case, 60, |case| oracle.diverges(case));
            let folder =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity/regressions");
            println!("{}", write_fixture(&folder, name, &small)?.display());
        }
        ["figures", corpus] => {
            let (mut actions, mut bytes, mut most) = (0, 0, 0);
            let mut coverage = Coverage::default();
            let cases = read(corpus)?;
            for case in &cases {
                let outs = run::run(case);
                let len = run::encode(&outs).len();
                actions += outs.len();
                bytes += len;
                most = most.max(len);
                coverage.add(case, &outs);
            }
            println!("{coverage}");
            println!(
                "{} cases, {actions} actions, {bytes} bytes of output, {most} at most",
                cases.len()
            );
        }
        _ => return Err("the command is corpus, kernel, compare, fixture or figures".into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn read(corpus: &str) -> Result<Vec<Case>, Box<dyn Error>> {
    let mut reader = CorpusReader::open(BufReader::new(File::open(corpus)?))?;
    let mut cases = Vec::new();
    while let Some(case) = reader.case()? {
        cases.push(case);
    }
    Ok(cases)
}

fn compare(cases: &[Case], output: &str) -> Result<Comparison, Box<dyn Error>> {
    let model = BufReader::new(File::open(output)?);
    Ok(Comparison::run(cases, model, |_, _| {})?)
}

fn report(done: &Comparison) -> ExitCode {
    for divergence in done.divergences.iter().take(10) {
        println!("{divergence}\n");
    }
    let Comparison {
        cases,
        actions,
        bytes,
        known: _,
        divergences,
    } = done;
    let count = divergences.len();
    println!("{cases} cases, {actions} actions, {bytes} bytes compared: {count} diverge");
    ExitCode::from(u8::from(count > 0))
}
