//! Runs the model as a process, which reads a corpus file and writes an output file.

use std::env;
use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, ScopedJoinHandle};

use crate::answers::{Answers, Digest, case_digest, output_digest};
use crate::case::Case;
use crate::certificates::{Claim, Verdict, read_verdicts, write_claims};
use crate::compare::{CompareError, Comparison};
use crate::corpus::CorpusWriter;
use crate::items::{read_items, write_strings};
use crate::output::OutputReader;
use crate::run::{self, ActionOut};
use crate::verification::{self, write_images};

/// The environment variable that names a program to run Lean files, in place of the one that
/// `cargo xtask setup` installs.
pub const LEAN_VARIABLE: &str = "ANTIPHON_LEAN";

/// The Lean file of the oracle, relative to the model's folder.
const ORACLE_FILE: &str = "Runtime/Oracle.lean";

/// The Lean file that writes the model's schema.
const SCHEMA_FILE: &str = "Runtime/Schema.lean";

/// The Lean file that judges certificates.
const CERTIFICATE_FILE: &str = "Runtime/Certificate.lean";

/// The Lean file that verifies images.
const VERIFICATION_FILE: &str = "Runtime/Verification.lean";

/// The Lean file that replays recordings, and the texts at the start of its input and output.
const REPLAY: (&str, &str, &str) = (
    "Runtime/Replay.lean",
    "antiphon.recordings.v1",
    "antiphon.replays.v1",
);

/// The Lean file that splits streams into frames, and the texts at the start of its input and
/// output.
const FRAMES: (&str, &str, &str) = (
    "Runtime/Frames.lean",
    "antiphon.streams.v1",
    "antiphon.frames.v1",
);

/// The most actions for one process, unless a single case has more. A process's memory grows with
/// its input and output.
pub const ACTIONS_PER_PROCESS: usize = 250_000;

/// From this number of actions on, a second process is worth its start, which takes about ten
/// seconds of two processors.
const ACTIONS_FOR_TWO: usize = 50_000;

/// Processes at a time. Each takes up to 3 GB.
const PROCESSES: usize = 2;

/// The most characters of a failed process's output that a message shows.
const OUTPUT_SHOWN_MAX: usize = 4_000;

/// A way to run the model.
#[derive(Clone, Debug)]
pub struct Oracle {
    program: PathBuf,
}

/// Why the model could not be run.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// Lean was not set up.
    #[error(
        "there is no Lean to run: {} does not exist; run `cargo xtask setup`",
        program.display()
    )]
    Missing {
        /// The missing program.
        program: PathBuf,
    },
    /// The process cannot be started.
    #[error("{} cannot be started: {error}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The process failed.
    #[error("the oracle failed ({status}): {output}")]
    Failed {
        /// The exit status.
        status: ExitStatus,
        /// The last part of its output.
        output: String,
    },
    /// A file for the model cannot be written or read.
    #[error("a file for the oracle cannot be written or read: {0}")]
    Io(#[from] io::Error),
    /// The model did not judge every claim, or did not verify every image.
    #[error("the model judged {got} of {claims} claims or images")]
    Verdicts {
        /// The claims that it was given.
        claims: usize,
        /// The claims that it judged.
        got: usize,
    },
    /// The model did not answer every byte string.
    #[error("the model answered {got} of {strings} byte strings")]
    Items {
        /// The byte strings that it was given.
        strings: usize,
        /// The items that it wrote.
        got: usize,
    },
    /// The model gave another answer to a case than the one that is known.
    #[error(
        "the model's answer to the case with digest {case} differs from the one in the cache; \
         `cargo xtask cache --clear` removes it, and one of the two is wrong"
    )]
    TwoAnswers {
        /// The digest of the case.
        case: String,
    },
    /// The model's output cannot be compared.
    #[error(transparent)]
    Compare(#[from] CompareError),
}

impl Oracle {
    /// The model that [`LEAN_VARIABLE`] names, or else the one installed in this target folder.
    ///
    /// # Errors
    /// When the program does not exist.
    pub fn find(target: &Path) -> Result<Oracle, OracleError> {
        let named = env::var_os(LEAN_VARIABLE).map(PathBuf::from);
        Oracle::new(named.unwrap_or_else(|| target.join("lean").join("run")))
    }

    /// The model as run by this program. Its arguments are a Lean file and the paths of input and
    /// output.
    ///
    /// # Errors
    /// When the program does not exist.
    pub fn new(program: PathBuf) -> Result<Oracle, OracleError> {
        if program.is_file() {
            return Ok(Oracle { program });
        }
        Err(OracleError::Missing { program })
    }

    /// Runs the model on a corpus file. [`OutputReader`] checks that
    /// the output is complete.
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

    /// The model's verdict on each claim.
    ///
    /// # Errors
    /// When the process cannot be started, fails, or does not judge every claim.
    pub fn judge(&self, claims: &[Claim]) -> Result<Vec<Verdict>, OracleError> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        let (input, output) = (folder.join("claims"), folder.join("verdicts"));
        write_claims(BufWriter::new(File::create(&input)?), claims)?;
        self.start(CERTIFICATE_FILE, &[&input, &output])?;
        let verdicts = read_verdicts(BufReader::new(File::open(&output)?))?;
        if verdicts.len() == claims.len() {
            return Ok(verdicts);
        }
        Err(OracleError::Verdicts {
            claims: claims.len(),
            got: verdicts.len(),
        })
    }

    /// The model's verdict on each image, which is given by its canonical bytes.
    ///
    /// # Errors
    /// When the process cannot be started, fails, or does not verify every image.
    pub fn verify(&self, images: &[&[u8]]) -> Result<Vec<String>, OracleError> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        let (input, output) = (folder.join("images"), folder.join("verdicts"));
        let file = BufWriter::new(File::create(&input)?);
        write_images(file, images.iter().copied())?;
        self.start(VERIFICATION_FILE, &[&input, &output])?;
        let verdicts = verification::read_verdicts(BufReader::new(File::open(&output)?))?;
        if verdicts.len() == images.len() {
            return Ok(verdicts);
        }
        Err(OracleError::Verdicts {
            claims: images.len(),
            got: verdicts.len(),
        })
    }

    /// The model's replay of each recording, which [`Replayable::to_bytes`] returned: an array of
    /// the entries with which the model records the run again, without checkpoints, and then of
    /// what each action shows. For a recording that the model refuses, an array of one text.
    ///
    /// # Errors
    /// When the process cannot be started, fails, or does not replay every recording.
    ///
    /// [`Replayable::to_bytes`]: crate::replays::Replayable::to_bytes
    pub fn replay(&self, recordings: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, OracleError> {
        self.each(REPLAY, recordings)
    }

    /// The frames into which the model splits each stream.
    ///
    /// # Errors
    /// When the process cannot be started, fails, or does not split every stream.
    pub fn split(&self, streams: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, OracleError> {
        self.each(FRAMES, streams)
    }

    /// Runs a Lean file that writes an item for each byte string of its input.
    fn each(
        &self,
        (file, input_tag, output_tag): (&str, &str, &str),
        strings: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, OracleError> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        let (input, output) = (folder.join("input"), folder.join("output"));
        write_strings(BufWriter::new(File::create(&input)?), input_tag, strings)?;
        self.start(file, &[&input, &output])?;
        let items = read_items(BufReader::new(File::open(&output)?), output_tag)?;
        if items.len() == strings.len() {
            return Ok(items);
        }
        Err(OracleError::Items {
            strings: strings.len(),
            got: items.len(),
        })
    }

    /// Runs one of the model's Lean files with these paths as arguments.
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
        let output = [done.stderr, done.stdout].concat();
        let output = String::from_utf8_lossy(&output);
        let start = output
            .char_indices()
            .rev()
            .nth(OUTPUT_SHOWN_MAX)
            .map_or(0, |(at, _)| at);
        Err(OracleError::Failed {
            status: done.status,
            output: output[start..].trim().to_owned(),
        })
    }

    /// Runs the cases on the model, in a process for each portion and two processes at a time, and
    /// compares them with the kernel. `observe` is called with each case and the kernel's output,
    /// in order.
    ///
    /// # Errors
    /// When the model cannot be run, or its output cannot be compared. A divergence is a result,
    /// not an error.
    pub fn compare(
        &self,
        cases: &[Case],
        observe: impl FnMut(&Case, &[ActionOut]),
    ) -> Result<Comparison, OracleError> {
        self.compare_known(cases, &mut Answers::unknown(), observe)
    }

    /// As [`compare`](Self::compare), but runs only the cases on the model for which
    /// [`Answers::must_ask`] says so, and adds its answers after each complete run.
    ///
    /// # Errors
    /// As [`compare`](Self::compare), and when the model's answer is another one than is known.
    pub fn compare_known(
        &self,
        cases: &[Case],
        answers: &mut Answers,
        mut observe: impl FnMut(&Case, &[ActionOut]),
    ) -> Result<Comparison, OracleError> {
        let must_ask = |case: &Case, digest: &Digest| {
            let kernel = || output_digest(&run::encode(&run::run(case)));
            answers.must_ask(digest, kernel)
        };
        let digests: Vec<Digest> = cases.iter().map(case_digest).collect();
        let asked: Vec<bool> = cases
            .iter()
            .zip(&digests)
            .map(|(c, d)| must_ask(c, d))
            .collect();
        let to_ask: Vec<&Case> = cases
            .iter()
            .zip(&asked)
            .filter(|(_, a)| **a)
            .map(|(c, _)| c)
            .collect();
        let folder = tempfile::tempdir()?;
        let mut done = Comparison::default();
        let mut at = 0;
        for chunk in portions(&to_ask).chunks(PROCESSES) {
            for (portion, output) in chunk.iter().zip(self.run_chunk(chunk, folder.path())) {
                let model = BufReader::with_capacity(1 << 16, File::open(output?)?);
                let mut model = OutputReader::open(model).map_err(CompareError::from)?;
                let mut fresh = Vec::with_capacity(portion.len());
                while fresh.len() < portion.len() {
                    if asked[at] {
                        let answer = done.compare_next(&cases[at], &mut model, &mut observe)?;
                        fresh.push((digests[at], answer));
                    } else {
                        done.accept(&cases[at], &mut observe);
                    }
                    at += 1;
                }
                if model.case().map_err(CompareError::from)?.is_some() {
                    let expected = portion.len() as u64;
                    return Err(CompareError::TooMany { expected }.into());
                }
                // Only now is it known that the run was complete.
                for (case, answer) in fresh {
                    if !answers.add(case, answer) {
                        let case = blake3::Hash::from_bytes(case).to_hex().to_string();
                        return Err(OracleError::TwoAnswers { case });
                    }
                }
            }
        }
        cases[at..]
            .iter()
            .for_each(|case| done.accept(case, &mut observe));
        Ok(done)
    }

    /// Runs each portion in a process of its own, all at the same time. Returns the paths of the
    /// outputs.
    fn run_chunk(&self, chunk: &[&[&Case]], folder: &Path) -> Vec<Result<PathBuf, OracleError>> {
        thread::scope(|scope| {
            let run = |(at, portion)| {
                let output = folder.join(format!("output{at}"));
                scope.spawn(move || self.run_portion(portion, output))
            };
            let running: Vec<_> = chunk.iter().copied().enumerate().map(run).collect();
            let join = |process: ScopedJoinHandle<'_, _>| match process.join() {
                Ok(output) => output,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            running.into_iter().map(join).collect()
        })
    }

    /// Runs the cases in one process, and returns the path of its output.
    fn run_portion(&self, cases: &[&Case], output: PathBuf) -> Result<PathBuf, OracleError> {
        let corpus = output.with_extension("corpus");
        write_corpus(&corpus, cases.iter().copied())?;
        self.run(&corpus, &output)?;
        Ok(output)
    }

    /// Whether the two sides differ on a case, for shrinking. A model that cannot be run does not
    /// count as a difference.
    pub fn diverges(&self, case: &Case) -> bool {
        let compared = self.compare(std::slice::from_ref(case), |_, _| {});
        compared.is_ok_and(|done| !done.divergences.is_empty())
    }
}

/// Divides the cases into a portion for each process, with about the same number of actions each.
fn portions<'a>(mut cases: &'a [&'a Case]) -> Vec<&'a [&'a Case]> {
    let actions: usize = cases.iter().map(|case| case.actions.len()).sum();
    let least = if actions < ACTIONS_FOR_TWO { 1 } else { 2 };
    let processes = actions.div_ceil(ACTIONS_PER_PROCESS).max(least);
    let share = actions.div_ceil(processes).max(1);
    let mut portions = Vec::new();
    while !cases.is_empty() {
        let mut actions = 0;
        // A case with more actions than a share gets a process of its own.
        let is_full = |case: &&Case| {
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
    fn a_missing_lean_is_reported_with_the_setup_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let error =
            Oracle::new(folder.path().join("lean/run")).expect_err("the program does not exist");
        let error = error.to_string();
        assert!(error.starts_with("there is no Lean to run: "), "{error}");
        assert!(
            error.ends_with("lean/run does not exist; run `cargo xtask setup`"),
            "{error}"
        );
    }

    #[test]
    fn a_failing_process_is_reported() {
        let oracle = Oracle::new(PathBuf::from("/bin/false")).expect("every Unix system has it");
        let error = oracle.compare(&[crate::random::case(0)], |_, _| {});
        let error = error.expect_err("it fails").to_string();
        assert!(
            error.starts_with("the oracle failed (exit status: 1)"),
            "{error}"
        );
        // A process that succeeds without writing an output is an error too.
        let oracle = Oracle::new(PathBuf::from("/bin/true")).expect("every Unix system has it");
        assert!(
            oracle
                .compare(&[crate::random::case(0)], |_, _| {})
                .is_err()
        );
    }
}
