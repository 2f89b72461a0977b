//! Runs cases of the suite on mutants of the kernel. `cargo xtask mutants` builds this program in a
//! copy of the crates to which the mutants have been added, and reads its report. In the crates
//! themselves, activating a mutant changes nothing.
//!
//! ```text
//! mutants digests REPORT ROOT    for each case of the suite, the digest of the kernel's output;
//!                                ROOT is the checkout with the cases that are stored as files
//! mutants compare REPORT COUNT   for each mutant from 1 to COUNT, the first case whose output
//!                                differs from the model's
//! mutants assert REPORT COUNT    for each mutant, the first case that fails an assertion
//! ```
//!
//! A report of digests has a line for each case: digest, part of the suite, and name. The other
//! reports are a JSON array with an element for each mutant: `null`, or the case's name and the
//! place of the first difference or the assertion's message.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a command-line tool"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::any::Any;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use antiphon_bridge::answers::output_digest;
use antiphon_bridge::case::Case;
use antiphon_bridge::compare::{DivergenceKind, compare};
use antiphon_bridge::scope::Part;
use antiphon_bridge::{hand, random, run, waves};
use serde_json::{Value, json};

use common::{Kept, ORACLE, RANDOM_CASES, oracle, recordings, regressions};

/// The random cases that mutants are run on. The first ones find nearly everything that random
/// cases find.
const RANDOM_FOR_MUTANTS: u64 = 100;

/// The case that kills a mutant, and the place in it.
struct Kill {
    case: String,
    place: String,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match act(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn act(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let (report, text) = match args {
        ["digests", report, root] => (report, digests(Path::new(root))),
        ["compare", report, count] => (report, compared(count.parse()?)?),
        ["assert", report, count] => (report, asserted(count.parse()?)?),
        _ => {
            return Err("the command is digests, compare or assert; the source explains it".into());
        }
    };
    fs::write(report, text)?;
    Ok(())
}

/// The digest of the output of every case of the suite.
fn digests(root: &Path) -> String {
    let random = (0..RANDOM_CASES).map(random::case).collect();
    let mut parts = vec![
        ("hand-meant".to_owned(), hand::cases()),
        ("waves".to_owned(), waves::cases()),
        ("regressions".to_owned(), regressions(root)),
        ("recordings".to_owned(), recordings(root)),
        ("random".to_owned(), random),
    ];
    parts.extend(Part::ALL.map(|part| (format!("small scope, {part:?}"), part.cases())));
    let mut text = String::new();
    for (part, cases) in parts {
        let outputs = on_all_cores(cases.len(), |at| {
            output_digest(&run::encode(&run::run(&cases[at])))
        });
        for (case, digest) in cases.iter().zip(outputs) {
            let digest = blake3::Hash::from_bytes(digest);
            let name = &case.name;
            writeln!(text, "{digest} {part}: {name}").expect("writing to a string cannot fail");
        }
    }
    text
}

/// The cases that every mutant is run on until one of them kills it.
fn cases() -> Vec<Case> {
    let mut cases = hand::cases();
    cases.extend(waves::cases());
    cases.extend((0..RANDOM_FOR_MUTANTS).map(random::case));
    cases
}

/// For each mutant, the first case whose output differs from the model's. A mutant that panics is
/// not compared: the shipped kernel has no assertions that would find its error.
fn compared(count: u16) -> Result<String, Box<dyn Error>> {
    let cases = cases();
    let outputs = outputs(&cases)?;
    killed(count, |number| {
        cases.iter().zip(&outputs).find_map(|(case, output)| {
            let run = || antiphon_mutants::with(number, || compare(case, output).1);
            let kind = catch_unwind(AssertUnwindSafe(run)).ok()??;
            let place = match kind {
                DivergenceKind::Action {
                    at, differences, ..
                } => {
                    let path = differences.first().map_or("", |first| &first.path);
                    format!("action {at}, {path}")
                }
                other => other.to_string(),
            };
            let case = case.name.clone();
            Some(Kill { case, place })
        })
    })
}

/// The model's output of each case. If the kernel's output has the digest of the known answer, it
/// is the same bytes, and the model is not asked.
fn outputs(cases: &[Case]) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut kept = Kept::open(ORACLE);
    // The suite asks for the answers of the shard.
    kept.answers.clear_shard();
    let mut outputs = Vec::new();
    let done = oracle().compare_known(cases, &mut kept.answers, |_, outs| {
        outputs.push(run::encode(outs));
    })?;
    kept.save();
    println!(
        "{} cases, {} of them compared with the model's known answers",
        done.cases, done.known
    );
    match done.divergences.first() {
        None => Ok(outputs),
        Some(first) => Err(format!("without a mutant, the kernel differs: {first}").into()),
    }
}

/// For each mutant, the first case that fails an assertion of the kernel.
fn asserted(count: u16) -> Result<String, Box<dyn Error>> {
    let cases = cases();
    killed(count, |number| {
        cases.iter().find_map(|case| {
            let run = || antiphon_mutants::with(number, || run::run(case));
            let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
            let (case, place) = (case.name.clone(), message(&*panic));
            Some(Kill { case, place })
        })
    })
}

/// The first line of a panic's message.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let line = text.and_then(|text| text.lines().next());
    line.unwrap_or("a panic without a message").to_owned()
}

/// Runs `kill` for the kernel without a mutant, which nothing may kill, and for each mutant.
fn killed(count: u16, kill: impl Fn(u16) -> Option<Kill> + Sync) -> Result<String, Box<dyn Error>> {
    if let Some(Kill { case, place }) = kill(0) {
        return Err(format!("without a mutant, the kernel is killed by `{case}`: {place}").into());
    }
    // Mutants panic by the hundred; their messages are in the report.
    panic::set_hook(Box::new(|_| {}));
    let numbers: Vec<u16> = (1..=count).collect();
    let kills = on_all_cores(numbers.len(), |at| kill(numbers[at]));
    let row = |kill: &Option<Kill>| match kill {
        Some(Kill { case, place }) => json!({ "case": case, "place": place }),
        None => Value::Null,
    };
    Ok(kills.iter().map(row).collect::<Value>().to_string())
}

/// Calls `job` with each number below `count`, on a thread for each core, and returns the results
/// in the order of the numbers.
fn on_all_cores<T: Send>(count: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let taken = std::iter::from_fn(|| {
            let at = next.fetch_add(1, Ordering::Relaxed);
            (at < count).then(|| (at, job(at)))
        });
        taken.collect::<Vec<_>>()
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut results: Vec<(usize, T)> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = running.into_iter().map(|thread| thread.join());
        joined
            .flat_map(|results| results.unwrap_or_else(|panic| panic::resume_unwind(panic)))
            .collect()
    });
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
