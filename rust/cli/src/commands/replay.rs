//! `antiphon replay`: replays a recording and compares.

use std::fs::File;
use std::io::Seek;
use std::path::PathBuf;

use antiphon_machine::threaded::{NativeThreadedDriver, Shared};
use antiphon_machine::{EffectRequest, FromFn, Job, Reply};
use antiphon_record::{Progress, Report, Tail, Verdict, replay_twice};
use clap::Args;
use serde_json::json;

use crate::args::workers;
use crate::exit::Exit;
use crate::filter;
use crate::hex::hex;
use crate::output::{ERROR, Output, SUCCESS, WARNING};
use crate::problem::Problem;
use crate::report;
use crate::state;
use crate::tail;

/// Replay a recording, without the guest
///
/// Gives the recorded inputs to the same machine, and compares its requests and its state digests
/// with the recorded ones. The result is `equal`, or the first difference with the events before
/// it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon replay demo.rec
  antiphon replay demo.rec --step 12
  antiphon replay demo.rec --threads 4
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
}

pub(crate) fn run(args: &Replay, output: &Output) -> Result<Exit, Problem> {
    let path = &args.file;
    let mut file = File::open(path).map_err(Problem::file("read", path))?;
    // To explain a divergence, the file is read twice; a pipe cannot be.
    let is_plain = args.step.is_none() && args.threads.is_none();
    if is_plain && file.stream_position().is_ok() {
        let report = replay_twice(file).map_err(|error| Problem::replay(path, error))?;
        match output.json {
            true => output.document(&report::json(&report))?,
            false => output.print(&summary(&report, output))?,
        }
        warn(&report, output);
        return Ok(exit(&report));
    }
    let mut replay =
        antiphon_record::Replay::open(file).map_err(|error| Problem::replay(path, error))?;
    if let Some(threads) = args.threads {
        replay = replay.in_waves(on_threads(threads)?);
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
