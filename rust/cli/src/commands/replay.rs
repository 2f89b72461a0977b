//! `antiphon replay`: replays a recording and compares.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use antiphon_machine::threaded::{NativeThreadedDriver, Shared};
use antiphon_machine::{EffectRequest, FromFn, Job, Reply};
use antiphon_record::{
    CHECKPOINT_LEN_MAX, CHECKPOINT_MAGIC, CheckpointError, Progress, Report, Tail, Verdict,
    replay_twice,
};
use clap::{ArgAction, Args};
use serde_json::json;

use crate::args::workers;
use crate::exit::Exit;
use crate::filter::{self, quoted};
use crate::hex::hex;
use crate::output::{ERROR, Output, SUCCESS, WARNING};
use crate::problem::{Problem, RecordingError, UsageError};
use crate::replace;
use crate::report;
use crate::same_file::is_same_file;
use crate::state;
use crate::tail;

/// Replay a recording, without the guest
///
/// Runs the machine again with the recorded inputs, and compares its requests and its state digests
/// with the recorded ones. The result is `equal`, or the first difference with the events before
/// it.
///
/// `--to-checkpoint` writes the machine's state to a file, from which `--from-checkpoint`
/// continues: a part at the end of a long recording is then replayed without the part before it.
/// The file is accepted only if its state has the digest that the recording has at that step.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon replay demo.rec
  antiphon replay demo.rec --step 12
  antiphon replay demo.rec --threads 4
  antiphon replay demo.rec --to-checkpoint 65536 demo.ckpt
  antiphon replay demo.rec --from-checkpoint demo.ckpt
  antiphon replay demo.rec --json")]
pub(crate) struct Replay {
    /// The recording
    file: PathBuf,
    /// Stop before this step and show the state there
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    /// Replay in waves on N threads, 1 to 1024; the result is the same
    #[arg(long, value_name = "N", value_parser = workers())]
    threads: Option<u32>,
    /// Continue from the state in this checkpoint file; the part before it is not replayed
    #[arg(long, value_name = "FILE")]
    from_checkpoint: Option<PathBuf>,
    /// Replay up to the recording's checkpoint at step N, and write the state there to FILE
    #[arg(
        long,
        num_args = 2,
        value_names = ["N", "FILE"],
        action = ArgAction::Set,
        conflicts_with = "step"
    )]
    to_checkpoint: Option<Vec<OsString>>,
}

pub(crate) fn run(args: &Replay, output: &Output) -> Result<Exit, Problem> {
    let path = &args.file;
    let mut file = File::open(path).map_err(Problem::file("read", path))?;
    // To explain a divergence, the file is read twice; a pipe cannot be.
    let is_whole = args.step.is_none() && args.to_checkpoint.is_none();
    let is_plain = is_whole && args.threads.is_none() && args.from_checkpoint.is_none();
    if is_plain && file.stream_position().is_ok() {
        let report = replay_twice(file).map_err(|error| Problem::replay(path, error))?;
        if output.json {
            output.document(&report::json(&report))?
        } else {
            output.print(&summary(&report, output))?
        }
        warn(&report, output);
        return Ok(exit(&report));
    }
    let mut replay = open(args, file)?;
    if let Some(threads) = args.threads {
        replay = replay.in_waves(on_threads(threads)?);
    }
    if let Some(values) = &args.to_checkpoint {
        return write_checkpoint(&mut replay, path, values, output);
    }
    let until = args.step.unwrap_or(u64::MAX);
    let progress = replay
        .run_to(until)
        .map_err(|error| Problem::replay(path, error))?;
    let report = replay.report();
    let shows_state = args.step.is_some() && !matches!(report.verdict, Verdict::Diverged(_));
    if output.json {
        let mut document = report::json(&report);
        if shows_state {
            let is_there = replay.kernel().step_index() == until;
            document["at_step"] = json!(is_there && matches!(progress, Progress::AtStep));
            document["sessions_state"] = replay
                .kernel()
                .sessions()
                .iter()
                .map(|s| state::document(replay.kernel(), s))
                .collect();
        }
        output.document(&document)?;
        return Ok(exit(&report));
    }
    output.print(&summary(&report, output))?;
    if shows_state {
        let last = replay.kernel().step_index();
        let remark = match progress {
            Progress::Over => Some(format!("the recording ends at step {last}")),
            Progress::AtStep if last > until => Some(format!(
                "step {until} is inside a wave, which is never split: this is step {last}"
            )),
            Progress::AtStep => None,
        };
        if let Some(remark) = remark {
            output.warn(&remark);
        }
        for session in replay.kernel().sessions() {
            output.print(&state::text(replay.kernel(), session, output))?;
        }
    }
    warn(&report, output);
    Ok(exit(&report))
}

/// Opens the recording at its first entry or at the checkpoint that the command line names.
fn open(args: &Replay, file: File) -> Result<antiphon_record::Replay<File>, Problem> {
    let path = &args.file;
    let Some(checkpoint) = &args.from_checkpoint else {
        let opened = antiphon_record::Replay::open(file);
        return opened.map_err(|error| Problem::replay(path, error));
    };
    let failed = |error| Problem::file("read", checkpoint)(error);
    // One byte more than is allowed, so that a longer file is refused for its length.
    let len_max = CHECKPOINT_LEN_MAX as u64 + 1;
    let mut bytes = Vec::new();
    let content = File::open(checkpoint).map_err(failed)?;
    content
        .take(len_max)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let replay = antiphon_record::Replay::from_checkpoint(file, &bytes)
        .map_err(|error| Problem::checkpoint(path, checkpoint, error))?;
    let from = replay.kernel().step_index();
    match args.step {
        Some(step) if step < from => Err(UsageError::StepNotReplayed { step, from }.into()),
        Some(_) | None => Ok(replay),
    }
}

/// Replays up to a checkpoint of the recording and writes a checkpoint file.
fn write_checkpoint(
    replay: &mut antiphon_record::Replay<File>,
    path: &Path,
    values: &[OsString],
    output: &Output,
) -> Result<Exit, Problem> {
    let (step, out) = checkpoint_target(values)?;
    check_target(path, out)?;
    let bytes = match replay.to_checkpoint(step) {
        Ok(bytes) => bytes,
        Err(CheckpointError::Diverged { .. }) => {
            let report = replay.report();
            if output.json {
                output.document(&report::json(&report))?
            } else {
                output.print(&summary(&report, output))?
            }
            output.warn(&format!(
                "{} was not written, because the replay differs before step {step}",
                quoted(out.display())
            ));
            return Ok(exit(&report));
        }
        Err(error) => {
            warn(&replay.report(), output);
            return Err(Problem::checkpoint(path, out, error));
        }
    };
    replace::write_private(out, &bytes).map_err(Problem::file("write", out))?;
    let report = replay.report();
    if output.json {
        let mut document = report::json(&report);
        let file = filter::line(&out.display().to_string());
        document["checkpoint"] = json!({ "file": file, "step": step, "bytes": bytes.len() });
        output.document(&document)?;
    } else {
        output.print(&summary(&report, output))?;
        let line = format!("wrote `{}`, {} bytes\n", out.display(), bytes.len());
        output.print(&filter::lines(&line))?;
    }
    Ok(exit(&report))
}

/// The step and the file of `--to-checkpoint`.
fn checkpoint_target(values: &[OsString]) -> Result<(u64, &Path), Problem> {
    let [step, file] = values else {
        let got = format!("{} values", values.len());
        return Err(UsageError::CheckpointStep { got }.into());
    };
    let word = step.to_string_lossy();
    match word.parse() {
        Ok(step) => Ok((step, Path::new(file))),
        Err(_) => {
            let got = quoted(word);
            Err(UsageError::CheckpointStep { got }.into())
        }
    }
}

/// Refuses to replace the recording, or any other file that is not a checkpoint.
fn check_target(recording: &Path, out: &Path) -> Result<(), Problem> {
    let path = out.to_owned();
    if is_same_file(recording, out) {
        return Err(UsageError::OverRecording { path }.into());
    }
    // Examined before it is opened, because opening a pipe blocks until it has a writer.
    if fs::metadata(out).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(RecordingError::NotReplaced { path }.into());
    }
    let Ok(mut file) = File::open(out) else {
        // There is none, or writing it fails with the reason.
        return Ok(());
    };
    let mut start = [0; CHECKPOINT_MAGIC.len() - 1];
    let is_checkpoint = file.read_exact(&mut start).is_ok() && CHECKPOINT_MAGIC.starts_with(&start);
    if is_checkpoint {
        Ok(())
    } else {
        Err(RecordingError::NotReplaced { path }.into())
    }
}

/// Runs the jobs of waves on threads. The handlers answer nothing, because the outcomes are in the
/// recording.
fn on_threads(threads: u32) -> Result<impl Fn(&mut [Job<'_>]) + Send + Sync, Problem> {
    let driver = NativeThreadedDriver::try_with_workers(threads as usize)?;
    let later = || Shared(FromFn(|_: &EffectRequest<'_>| Reply::Later));
    Ok(move |jobs: &mut [Job<'_>]| driver.run_jobs(jobs, &mut later()))
}

/// Prints a warning if the recording is incomplete.
fn warn(report: &Report, output: &Output) {
    let tail = report.tail.as_ref();
    if output.json {
        return;
    }
    if let Some(warning) = tail.and_then(|tail| tail::warning(tail, report.records)) {
        output.warn(&filter::lines(&warning));
    }
}

fn exit(report: &Report) -> Exit {
    match report.verdict {
        Verdict::Equal | Verdict::EqualUpTo { .. } => tail::exit(report.tail.as_ref()),
        Verdict::Diverged(_) => Exit::No,
    }
}

/// How the report begins if the recording ends before its first step.
const NO_STEP: &str = "no step was compared";

fn summary(report: &Report, output: &Output) -> String {
    let (style, head) = match (&report.verdict, &report.tail) {
        (Verdict::Diverged(_), _) => (ERROR, "diverged"),
        (Verdict::EqualUpTo { .. }, Some(Tail::Damaged(_))) => (ERROR, "equal"),
        (Verdict::EqualUpTo { .. }, Some(Tail::Open | Tail::Torn { .. })) => (WARNING, "equal"),
        (Verdict::EqualUpTo { .. }, Some(Tail::Sealed) | None) | (Verdict::Equal, _) => {
            (SUCCESS, "equal")
        }
    };
    let text = filter::lines(&report.to_string());
    let head = if text.starts_with(head) {
        head
    } else {
        NO_STEP
    };
    let mut text = text.replacen(head, &output.paint(style, head), 1) + "\n";
    if matches!(report.verdict, Verdict::Diverged(_)) {
        return text;
    }
    for (name, digest) in [("state", report.last.state), ("trace", report.last.trace)] {
        if let Some(digest) = digest {
            text.push_str(&format!("{name}  {}\n", hex(&digest)));
        }
    }
    text
}
