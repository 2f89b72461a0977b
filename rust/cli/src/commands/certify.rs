//! `antiphon certify`: checks a recording against the Lean model.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use antiphon_bridge::case::Case;
use antiphon_bridge::certify::{Figures, Judgement, Run, judge};
use antiphon_bridge::compare::DivergenceKind;
use antiphon_bridge::fixture::write_fixture;
use antiphon_bridge::oracle::OracleError;
use antiphon_bridge::recording::case_of_recording;
use antiphon_bridge::theorems;
use antiphon_machine::DeterminismMode;
use antiphon_record::{Reader, Report, Tail, Verdict, replay_twice};
use clap::Args;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::filter::{self, quoted};
use crate::hex::hex;
use crate::lean::{Lean, Spinner};
use crate::output::{ERROR, Output, SUCCESS};
use crate::problem::{InputError, LeanError, Problem, RecordingError, UsageError};
use crate::replace;
use crate::report;
use crate::same_file::is_same_file;

/// Check a recording against the Lean model
///
/// Replays the recording, runs it again in the Lean model, and compares results, events, requests
/// and the whole state after every step. With `--kernel` the recording becomes a theorem which says
/// that it is a run of the model, and Lean's kernel checks the theorem: neither an interpreter nor
/// a compiler has to be trusted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon certify demo.rec
  antiphon certify demo.rec --json
  antiphon certify demo.rec --kernel --output Demo.lean

Needs Lean: `cargo xtask setup` installs it for the checkout that this program was built in, and
ANTIPHON_LEAN names another program. Exit codes:
  1  the recording is not a run, or the kernel and the model disagree
  5  Lean was not found")]
pub(crate) struct Certify {
    /// The recording
    file: PathBuf,
    /// Have Lean's kernel check a theorem which says that the recording is a run of the model
    #[arg(long)]
    kernel: bool,
    /// Keep the theorem in this file, whether the check succeeds or not
    #[arg(long, short, value_name = "FILE.lean", requires = "kernel")]
    output: Option<PathBuf>,
    /// If kernel and model disagree, keep the case as FOLDER/NAME.cbor and, readable, as NAME.diag
    #[arg(long, value_name = "FOLDER/NAME")]
    fixture: Option<PathBuf>,
}

/// The longest recording in bytes. It is kept in memory. The compared data has its own bounds.
const RECORDING_LEN_MAX: u64 = 64 << 20;

pub(crate) fn run(args: &Certify, output: &Output) -> Result<Exit, Problem> {
    let bytes = read(&args.file)?;
    if let Some(output) = args
        .output
        .as_ref()
        .filter(|path| is_same_file(path, &args.file))
    {
        let path = output.clone();
        return Err(UsageError::OverRecording { path }.into());
    }
    let (replayed, case) = Replayed::read(&args.file, &bytes)?;
    if let Verdict::Diverged(divergence) = &replayed.report.verdict {
        if output.json {
            let document = json!({
                "verdict": "not a run", "divergence": report::divergence(divergence),
            });
            output.document(&document)?;
        } else {
            let head = output.paint(ERROR, "not a run");
            let text = filter::lines(&divergence.to_string());
            output.print(&format!("{head}: the recording {text}\n"))?;
        }
        return Ok(Exit::No);
    }
    let lean = Lean::find()?;
    let too_large = |error| RecordingError::TooLarge {
        path: args.file.clone(),
        error,
    };
    let run = Run::of(case).map_err(too_large)?;
    // The case was made from the recording's entries; the digest ties it to the recording.
    if replayed
        .report
        .last
        .state
        .is_some_and(|state| state != run.state_digest())
    {
        let path = args.file.clone();
        return Err(RecordingError::OtherRun { path }.into());
    }
    // The theorem is made before the model runs, so that a recording that is too large for it is
    // refused at once.
    let theorem = if args.kernel {
        Some(
            run.theorem(&theorem_header(&run.case().name, &replayed, run.figures()))
                .map_err(too_large)?,
        )
    } else {
        None
    };
    let certified = Candidate {
        replayed,
        lean,
        run,
    };
    certified.ask(args, theorem, output)
}

/// Reads the recording.
fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(RECORDING_LEN_MAX + 1).read_to_end(&mut bytes))
        .map_err(Problem::file("read", path))?;
    if bytes.len() as u64 > RECORDING_LEN_MAX {
        let (path, max) = (path.to_owned(), RECORDING_LEN_MAX);
        return Err(InputError::TooLong { path, max }.into());
    }
    Ok(bytes)
}

/// A complete recording and its replay.
struct Replayed {
    report: Report,
    mode: DeterminismMode,
    chain: [u8; 32],
}

impl Replayed {
    fn read(path: &Path, bytes: &[u8]) -> Result<(Replayed, Case), Problem> {
        let wrong = |error| Problem::replay(path, error);
        let mut reader = Reader::open(bytes).map_err(|error| wrong(error.into()))?;
        let mode = reader.header().config.determinism_mode;
        while reader
            .entry()
            .map_err(|error| wrong(error.into()))?
            .is_some()
        {}
        let incomplete = |tail: Tail| {
            let (path, tail) = (path.to_owned(), Box::new(tail));
            Problem::from(RecordingError::Incomplete { path, tail })
        };
        match reader.tail() {
            Some(Tail::Sealed) => {}
            Some(tail @ (Tail::Open | Tail::Torn { .. } | Tail::Damaged(_))) => {
                return Err(incomplete(tail.clone()));
            }
            None => return Err(incomplete(Tail::Open)),
        }
        if mode == DeterminismMode::Replay {
            let path = path.to_owned();
            return Err(RecordingError::OfAReplay { path }.into());
        }
        let chain = reader.chain();
        // The case is made before the replay, because it bounds the steps that the replay takes.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let case = case_of_recording(&name, bytes).map_err(|error| RecordingError::Case {
            path: path.to_owned(),
            error: Box::new(error),
        })?;
        let report = replay_twice(Cursor::new(bytes)).map_err(wrong)?;
        let replayed = Replayed {
            report,
            mode,
            chain,
        };
        Ok((replayed, case))
    }

    /// A warning about what the recording's determinism mode leaves open.
    fn mode_warning(&self) -> Option<&'static str> {
        match self.mode {
            DeterminismMode::Full | DeterminismMode::Replay => None,
            DeterminismMode::ModuloEffects => Some(
                "recorded modulo effects: it has no digests, so outcomes may have been edited \
                 where no later request shows it",
            ),
            DeterminismMode::ModuloCommutativity => Some(
                "recorded modulo commutativity: it has a digest for each session; the order of \
                 sessions is that of the recorded steps",
            ),
        }
    }
}

/// The header comment of a theorem.
fn theorem_header(name: &str, replayed: &Replayed, figures: &Figures) -> String {
    let Figures {
        steps,
        inputs,
        events,
        requests,
        ..
    } = figures;
    format!(
        "# The recording `{}` as a theorem\n\n\
         Written by `antiphon certify --kernel`. The recording's last chain value is\n`{}`. It has \
         {steps} steps, {inputs} inputs,\n{requests} requests and {events} events.\n",
        filter::line(name),
        hex(&replayed.chain),
    )
}

/// A recording that replays, ready for the model.
struct Candidate {
    replayed: Replayed,
    lean: Lean,
    run: Run,
}

impl Candidate {
    fn ask(
        &self,
        args: &Certify,
        theorem: Option<String>,
        output: &Output,
    ) -> Result<Exit, Problem> {
        let actions = self.run.case().actions.len();
        let spinner = Spinner::begin(output, format!("the model runs {actions} steps and inputs"));
        let found = self.run.compare(&self.lean.oracle);
        drop(spinner);
        if let Some(difference) = found? {
            return self.diverges(args, &difference, output);
        }
        let proof = match theorem {
            Some(text) => Some(self.prove(args, &text, output)?),
            None => None,
        };
        let is_good = !matches!(
            proof,
            Some(Proof {
                judgement: Judgement::NotProved,
                ..
            })
        );
        if output.json {
            output.document(&self.document(None, proof.as_ref()))?
        } else {
            output.print(&self.text(proof.as_ref(), output))?
        }
        self.warn(output);
        Ok(if is_good { Exit::Done } else { Exit::No })
    }

    /// Writes the theorem and has Lean's kernel check it.
    fn prove(&self, args: &Certify, text: &str, output: &Output) -> Result<Proof, Problem> {
        let folder = tempfile::tempdir().map_err(OracleError::from)?;
        let path = match &args.output {
            Some(path) => path.clone(),
            None => folder.path().join("Recorded.lean"),
        };
        replace::write(&path, text.as_bytes()).map_err(Problem::file("write", &path))?;
        let begun = Instant::now();
        let spinner = Spinner::begin(output, "Lean's kernel checks the theorem".to_owned());
        let judgement = judge(&self.lean.program, &path);
        drop(spinner);
        Ok(Proof {
            judgement: judgement?,
            file: args.output.clone(),
            took: begun.elapsed(),
        })
    }

    fn diverges(
        &self,
        args: &Certify,
        difference: &DivergenceKind,
        output: &Output,
    ) -> Result<Exit, Problem> {
        if output.json {
            output.document(&self.document(Some(difference), None))?;
        } else {
            let text = filter::lines(&difference.to_string());
            let head = output.paint(ERROR, "diverges");
            output.print(&format!("{head} from the model: {text}\n"))?;
        }
        match &args.fixture {
            Some(path) => {
                let path = self.keep(path)?;
                let path = quoted(path.display());
                let text = format!("the case is kept as the fixture {path}");
                output.warn(&text);
            }
            None => output.warn(
                "the kernel and the model disagree, so one of them is wrong; `--fixture \
                 fixtures/parity/regressions/NAME` keeps the case for the parity suite",
            ),
        }
        Ok(Exit::No)
    }

    /// Writes the case as a fixture of the parity suite.
    fn keep(&self, path: &Path) -> Result<PathBuf, Problem> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(write_fixture(folder, &name, self.run.case()).map_err(LeanError::Fixture)?)
    }

    fn warn(&self, output: &Output) {
        if let Some(warning) = self.replayed.mode_warning().filter(|_| !output.json) {
            output.warn(warning);
        }
    }

    fn text(&self, proof: Option<&Proof>, output: &Output) -> String {
        let Figures {
            steps,
            inputs,
            events,
            requests,
            bytes,
        } = self.run.figures();
        let head = output.paint(SUCCESS, "certified");
        let description = filter::line(&self.lean.description);
        let mut text = format!(
            "{head}: {steps} steps, {inputs} inputs, {requests} requests and {events} events are \
             those of the model\n{bytes} bytes compared, by Lean, {description}\n"
        );
        let Some(proof) = proof else {
            return text;
        };
        let seconds = proof.took.as_secs();
        match proof.judgement {
            Judgement::Checked => {
                text.push_str(&format!("theorem checked by Lean's kernel in {seconds} s"));
            }
            Judgement::NotProved => {
                let bad = output.paint(ERROR, "not proved");
                text = format!(
                    "{bad}: the model agrees when Lean's interpreter runs it, but Lean's kernel \
                     cannot confirm the theorem"
                );
            }
        }
        if let Some(file) = &proof.file {
            text.push_str(&format!(": {}", filter::line(&file.display().to_string())));
        }
        text.push('\n');
        text
    }

    fn document(&self, difference: Option<&DivergenceKind>, proof: Option<&Proof>) -> Value {
        let Figures {
            steps,
            inputs,
            events,
            requests,
            bytes,
        } = self.run.figures();
        let verdict = match (difference, proof.map(|proof| &proof.judgement)) {
            (Some(_), _) => "diverges",
            (None, Some(Judgement::NotProved)) => "not proved",
            (None, Some(Judgement::Checked) | None) => "certified",
        };
        json!({
            "verdict": verdict,
            "divergence": difference.map(difference_json),
            "steps": steps, "inputs": inputs, "requests": requests, "events": events,
            "bytes": bytes,
            "mode": mode_name(self.replayed.mode),
            "chain": hex(&self.replayed.chain),
            "lean": self.lean.description,
            "theorems": hex(&theorems::digest()),
            "kernel": proof.map(Proof::document),
        })
    }
}

fn mode_name(mode: DeterminismMode) -> &'static str {
    match mode {
        DeterminismMode::Full => "full",
        DeterminismMode::ModuloEffects => "modulo effects",
        DeterminismMode::ModuloCommutativity => "modulo commutativity",
        DeterminismMode::Replay => "replay",
    }
}

/// The first step on which kernel and model disagree.
fn difference_json(difference: &DivergenceKind) -> Value {
    match difference {
        DivergenceKind::Action {
            at,
            action,
            differences,
            more,
        } => {
            let fields = differences.iter().map(|field| {
                json!({ "field": field.path, "kernel": field.kernel, "model": field.model })
            });
            json!({
                "kind": "action", "at": at, "action": format!("{action:?}"),
                "fields": fields.collect::<Vec<_>>(), "more": more,
            })
        }
        DivergenceKind::Unread { .. }
        | DivergenceKind::Malformed { .. }
        | DivergenceKind::Length { .. } => {
            json!({ "kind": "output", "text": difference.to_string() })
        }
    }
}

/// The result of checking the theorem.
struct Proof {
    judgement: Judgement,
    /// The file in which the theorem is kept.
    file: Option<PathBuf>,
    took: Duration,
}

impl Proof {
    fn document(&self) -> Value {
        json!({
            "checked": self.judgement == Judgement::Checked,
            "file": self.file.as_ref().map(|file| file.display().to_string()),
            "seconds": self.took.as_secs_f64(),
        })
    }
}
