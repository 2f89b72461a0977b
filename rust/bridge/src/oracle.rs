//! The model as a process: it reads a corpus file and writes an output file.

use std::env;
use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, ScopedJoinHandle};

use crate::case::Case;
use crate::certificates::{Claim, read_verdicts, write_claims};
use crate::compare::{CompareError, Comparison};
use crate::corpus::CorpusWriter;
use crate::run::ActionOut;

/// Names a program that runs a Lean file, instead of the one that set-up has made.
pub const LEAN_VARIABLE: &str = "ANTIPHON_LEAN";

/// The oracle's file, as the program that runs it knows it.
const ORACLE_FILE: &str = "Runtime/Oracle.lean";

/// The file of the program that writes the model's schema.
const SCHEMA_FILE: &str = "Runtime/Schema.lean";

/// The file of the program that judges certificates.
const CERTIFICATE_FILE: &str = "Runtime/Certificate.lean";

/// Actions of the cases of one process at most. Its memory grows with what it has read and written.
pub const ACTIONS_PER_PROCESS: usize = 250_000;

/// Actions from which on a second process is worth its start, which takes some ten seconds of two processors.
const ACTIONS_FOR_TWO: usize = 50_000;

/// Processes at a time: each takes up to 3 GB.
const PROCESSES: usize = 2;

/// Characters of what a failed process said that are told.
const SAID_MAX: usize = 4_000;

/// A way to run the model.
#[derive(Clone, Debug)]
pub struct Oracle {
    program: PathBuf,
}

/// Why the model could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// Lean was not set up.
    #[error("there is no Lean to run: {} does not exist; run `cargo xtask setup`", program.display())]
    Missing {
        /// Where it should be.
        program: PathBuf,
    },
    /// The process cannot be started.
    #[error("{} cannot be started: {error}", program.display())]
    Start {
        /// Which program.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The process failed.
    #[error("the oracle failed ({status}): {said}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// A file for it cannot be written or read.
    #[error("files for the oracle: {0}")]
    Io(#[from] io::Error),
    /// It did not judge every claim.
    #[error("the model was given {claims} claims and judged {got}")]
    Verdicts {
        /// How many it was given.
        claims: usize,
        /// How many it judged.
        got: usize,
    },
    /// What it wrote cannot be compared.
    #[error(transparent)]
    Compare(#[from] CompareError),
}

impl Oracle {
    /// The model that was set up in this target folder, or the one that the environment names.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(target: &Path) -> Result<Oracle, OracleError> {
        let named = env::var_os(LEAN_VARIABLE).map(PathBuf::from);
        Oracle::new(named.unwrap_or_else(|| target.join("lean").join("run")))
    }

    /// The model as this program runs it: it is given the oracle's file, a corpus and where to put the output.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn new(program: PathBuf) -> Result<Oracle, OracleError> {
        if program.is_file() {
            return Ok(Oracle { program });
        }
        Err(OracleError::Missing { program })
    }

    /// Runs the model on a corpus file. That its output is whole is for whoever reads it to check.
    ///
    /// # Errors
    /// When the process cannot be started, or fails.
    pub fn run(&self, corpus: &Path, output: &Path) -> Result<(), OracleError> {
        self.start(ORACLE_FILE, &[corpus, output])
    }

    /// The model's schema, as [`types::compare`](crate::types::compare) takes it.
    ///
    /// # Errors
    /// When the process cannot be started, or fails.
    pub fn schema(&self) -> Result<String, OracleError> {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("schema");
        self.start(SCHEMA_FILE, &[&output])?;
        Ok(std::fs::read_to_string(output)?)
    }

    /// What the model says of each claim: `accepted`, or `refused` and why.
    ///
    /// # Errors
    /// When the process cannot be started, fails, or does not judge every claim.
    pub fn judge(&self, claims: &[Claim]) -> Result<Vec<String>, OracleError> {
        let folder = tempfile::tempdir()?;
        let (asked, said) = (folder.path().join("claims"), folder.path().join("verdicts"));
        write_claims(BufWriter::new(File::create(&asked)?), claims)?;
        self.start(CERTIFICATE_FILE, &[&asked, &said])?;
        let verdicts = read_verdicts(BufReader::new(File::open(&said)?))?;
        if verdicts.len() == claims.len() {
            return Ok(verdicts);
        }
        Err(OracleError::Verdicts {
            claims: claims.len(),
            got: verdicts.len(),
        })
    }

    /// Runs one of the model's programs with paths for arguments.
    fn start(&self, file: &str, paths: &[&Path]) -> Result<(), OracleError> {
        let mut command = Command::new(&self.program);
        command.arg(file);
        for path in paths {
            command.arg(std::path::absolute(path)?);
        }
        let done = command.stdin(Stdio::null()).output();
        let done = done.map_err(|error| OracleError::Start {
            program: self.program.clone(),
            error,
        })?;
        if done.status.success() {
            return Ok(());
        }
        let said = [done.stderr, done.stdout].concat();
        let said = String::from_utf8_lossy(&said);
        let start = said
            .char_indices()
            .rev()
            .nth(SAID_MAX)
            .map_or(0, |(at, _)| at);
        Err(OracleError::Failed {
            status: done.status,
            said: said[start..].trim().to_owned(),
        })
    }

    /// Has the model run the cases, in a process for every portion and two at a time, and compares. `seen` is shown each
    /// case and what the kernel did, in order.
    ///
    /// # Errors
    /// When the model cannot be asked, or its output cannot be compared. A divergence is a result.
    pub fn compare(
        &self,
        cases: &[Case],
        mut seen: impl FnMut(&Case, &[ActionOut]),
    ) -> Result<Comparison, OracleError> {
        let folder = tempfile::tempdir()?;
        let mut done = Comparison::default();
        for some in portions(cases).chunks(PROCESSES) {
            let ran = thread::scope(|scope| {
                let run = |(at, portion)| {
                    let output = folder.path().join(format!("output{at}"));
                    scope.spawn(move || self.answer(portion, output))
                };
                let running: Vec<_> = some.iter().copied().enumerate().map(run).collect();
                let join = |process: ScopedJoinHandle<'_, _>| match process.join() {
                    Ok(output) => output,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                running.into_iter().map(join).collect::<Vec<_>>()
            });
            for (portion, output) in some.iter().copied().zip(ran) {
                let model = BufReader::with_capacity(1 << 16, File::open(output?)?);
                done.add(Comparison::run(portion, model, &mut seen)?);
            }
        }
        Ok(done)
    }

    /// Has one process run the cases, and gives back where its output is.
    fn answer(&self, cases: &[Case], output: PathBuf) -> Result<PathBuf, OracleError> {
        let corpus = output.with_extension("corpus");
        write_corpus(&corpus, cases)?;
        self.run(&corpus, &output)?;
        Ok(output)
    }

    /// Whether the two sides do not agree on a case: what shrinking asks. That the model cannot be asked is no
    /// difference.
    pub fn diverges(&self, case: &Case) -> bool {
        let compared = self.compare(std::slice::from_ref(case), |_, _| {});
        compared.is_ok_and(|done| !done.divergences.is_empty())
    }
}

/// The cases in the portions that a process takes each, of about as many actions.
fn portions(mut cases: &[Case]) -> Vec<&[Case]> {
    let actions: usize = cases.iter().map(|case| case.actions.len()).sum();
    let least = if actions < ACTIONS_FOR_TWO { 1 } else { 2 };
    let processes = actions.div_ceil(ACTIONS_PER_PROCESS).max(least);
    let share = actions.div_ceil(processes).max(1);
    let mut portions = Vec::new();
    while !cases.is_empty() {
        let mut actions = 0;
        // A case that is too large for any process gets one of its own.
        let is_full = |case: &Case| {
            let full = actions >= share;
            actions += case.actions.len();
            full
        };
        let len = cases.iter().position(is_full).unwrap_or(cases.len());
        let (portion, rest) = cases.split_at(len);
        portions.push(portion);
        cases = rest;
    }
    portions
}

/// Writes a corpus file.
///
/// # Errors
/// When it cannot be written.
pub fn write_corpus<'c>(path: &Path, cases: impl IntoIterator<Item = &'c Case>) -> io::Result<()> {
    let mut writer = CorpusWriter::create(BufWriter::new(File::create(path)?))?;
    for case in cases {
        writer.case(case)?;
    }
    writer.finish().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_lean_it_is_said_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Oracle::new(folder.path().join("lean/run")).expect_err("there is none");
        let told = error.to_string();
        assert!(told.starts_with("there is no Lean to run: "), "{told}");
        assert!(
            told.ends_with("lean/run does not exist; run `cargo xtask setup`"),
            "{told}"
        );
    }

    #[test]
    fn a_process_that_fails_is_told() {
        let oracle = Oracle::new(PathBuf::from("/bin/false")).expect("every system has it");
        let error = oracle.compare(&[crate::random::case(0)], |_, _| {});
        let told = error.expect_err("it fails").to_string();
        assert!(
            told.starts_with("the oracle failed (exit status: 1)"),
            "{told}"
        );
        // One that does nothing and says that all is well has still written nothing.
        let oracle = Oracle::new(PathBuf::from("/bin/true")).expect("every system has it");
        assert!(
            oracle
                .compare(&[crate::random::case(0)], |_, _| {})
                .is_err()
        );
    }
}
