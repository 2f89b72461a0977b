//! `antiphon replay`.

use std::fs::File;
use std::io::Seek;
use std::path::PathBuf;

use antiphon_machine::threaded::{NativeThreadedDriver, Shared};
use antiphon_machine::{
    EffectRequest, FromFn, Job, On, Phase, ProtocolMachineKernel, Reply, Session, Status,
    VerifiedImage,
};
use antiphon_record::{
    Checkpoint, Divergence, Progress, RegisterSorts, Report, Tail, Verdict, describe, replay_twice,
};
use clap::Args;
use serde_json::{Value, json};

use crate::args::workers;
use crate::commands::compile::hex;
use crate::exit::Exit;
use crate::filter;
use crate::literal;
use crate::output::{BAD, GOOD, NAME, ODD, Voice};
use crate::problem::Problem;
use crate::telling::{exit_of, kind_of, warning};

/// Run a recording again, without the guest
///
/// The same machine takes the recorded inputs; what it asks is compared with what it asked then, its states with the
/// recorded digests. The result is `equal`, or the first difference with what led to it.
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
    /// Take every step as a wave, on so many threads, 1 to 1024; what comes of it is the same
    #[arg(long, value_name = "N", value_parser = workers())]
    threads: Option<u32>,
}

pub(crate) fn run(args: &Replay, voice: &Voice) -> Result<Exit, Problem> {
    let path = &args.file;
    let mut file = File::open(path).map_err(Problem::file("read", path))?;
    // A file can be read again when there is a divergence to explain; a pipe cannot.
    let is_plain = args.step.is_none() && args.threads.is_none();
    if is_plain && file.stream_position().is_ok() {
        let report = replay_twice(file).map_err(|error| Problem::recording(path, error))?;
        match voice.json {
            true => voice.document(&document(&report))?,
            false => voice.print(&summary(&report, voice))?,
        }
        warn(&report, voice);
        return Ok(exit(&report));
    }
    let mut replay =
        antiphon_record::Replay::open(file).map_err(|error| Problem::recording(path, error))?;
    if let Some(threads) = args.threads {
        replay = replay.in_waves(on_threads(threads)?);
    }
    let until = args.step.unwrap_or(u64::MAX);
    let progress = replay
        .run_to(until)
        .map_err(|error| Problem::recording(path, error))?;
    let report = replay.report();
    let state = args.step.is_some() && !matches!(report.verdict, Verdict::Diverged(_));
    if voice.json {
        let mut document = document(&report);
        if state {
            let is_there = replay.kernel().step_index() == until;
            document["at_step"] = json!(is_there && matches!(progress, Progress::AtStep));
            document["sessions_state"] = replay
                .kernel()
                .sessions()
                .iter()
                .map(|s| session_json(replay.kernel(), s))
                .collect();
        }
        voice.document(&document)?;
        return Ok(exit(&report));
    }
    voice.print(&summary(&report, voice))?;
    if state {
        let last = replay.kernel().step_index();
        let remark = match progress {
            Progress::Over => Some(format!("the recording ends at step {last}")),
            Progress::AtStep if last > until => Some(format!(
                "step {until} lies within a wave, which is taken whole: this is step {last}"
            )),
            Progress::AtStep => None,
        };
        if let Some(remark) = remark {
            voice.remark(ODD, "antiphon:", &remark);
        }
        for session in replay.kernel().sessions() {
            voice.print(&session_text(replay.kernel(), session, voice))?;
        }
    }
    warn(&report, voice);
    Ok(exit(&report))
}

/// Runs the jobs of waves on threads. Nobody is asked: the outcomes are in the recording.
fn on_threads(threads: u32) -> Result<impl Fn(&mut [Job<'_>]) + Send + Sync, Problem> {
    let driver = NativeThreadedDriver::try_with_workers(threads as usize)?;
    let later = || Shared(FromFn(|_: &EffectRequest<'_>| Reply::Later));
    Ok(move |jobs: &mut [Job<'_>]| driver.run_jobs(jobs, &mut later()))
}

/// Says to a person how the recording ends, when it does not end as it should.
fn warn(report: &Report, voice: &Voice) {
    let tail = report.tail.as_ref();
    if voice.json {
        return;
    }
    if let Some(warning) = tail.and_then(|tail| warning(tail, report.records)) {
        voice.remark(ODD, "antiphon:", &filter::lines(&warning));
    }
}

fn exit(report: &Report) -> Exit {
    match report.verdict {
        Verdict::Equal | Verdict::EqualUpTo { .. } => exit_of(report.tail.as_ref()),
        Verdict::Diverged(_) => Exit::No,
    }
}

fn summary(report: &Report, voice: &Voice) -> String {
    let (style, head) = match (&report.verdict, &report.tail) {
        (Verdict::Diverged(_), _) => (BAD, "diverged"),
        (Verdict::EqualUpTo { .. }, Some(Tail::Damaged(_))) => (BAD, "equal"),
        (Verdict::EqualUpTo { .. }, Some(Tail::Open | Tail::Torn { .. })) => (ODD, "equal"),
        (Verdict::EqualUpTo { .. }, Some(Tail::Sealed) | None) | (Verdict::Equal, _) => {
            (GOOD, "equal")
        }
    };
    let text = filter::lines(&report.to_string());
    let mut text = text.replacen(head, &voice.paint(style, head), 1) + "\n";
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

fn document(report: &Report) -> Value {
    let Report {
        records,
        entries,
        requests,
        inputs,
        checkpoints,
        sessions,
        ..
    } = report;
    let (verdict, up_to, divergence) = match &report.verdict {
        Verdict::Equal => ("equal", None, Value::Null),
        Verdict::EqualUpTo { step } => ("equal_up_to", Some(step), Value::Null),
        Verdict::Diverged(divergence) => ("diverged", None, divergence_json(divergence)),
    };
    let tail = report
        .tail
        .as_ref()
        .map(|tail| json!({ "kind": kind_of(tail), "text": tail.to_string() }));
    let Checkpoint {
        step,
        clock,
        state,
        trace,
    } = &report.last;
    json!({
        "verdict": verdict, "up_to_step": up_to, "divergence": divergence, "tail": tail,
        "records": records, "entries": entries, "requests": requests, "inputs": inputs,
        "checkpoints": checkpoints, "sessions": sessions, "steps": step, "clock": clock,
        "state": state.as_ref().map(hex), "trace": trace.as_ref().map(hex),
    })
}

pub(crate) fn divergence_json(divergence: &Divergence) -> Value {
    let site = divergence
        .instruction
        .as_ref()
        .map(|site| json!({ "program": site.program, "pc": site.pc.0, "text": site.text }));
    let recent = divergence
        .recent
        .iter()
        .map(|seen| json!({ "step": seen.event.stamp.step, "text": seen.text }));
    json!({
        "step": divergence.step,
        "entry": divergence.entry,
        "session": divergence.session.map(|session| session.0),
        "role": divergence.role,
        "instruction": site,
        "difference": divergence.difference.name(),
        "expected": divergence.expected,
        "got": divergence.got,
        "before": recent.collect::<Vec<_>>(),
    })
}

/// Characters of a value in a state.
const SHOWN: usize = 60;

/// A session's state as text.
fn session_text(kernel: &ProtocolMachineKernel, session: &Session, voice: &Voice) -> String {
    let image = kernel.image(session);
    let mut text = format!(
        "\nsession {} of {}, {}, at step {}, clock {}\n",
        session.id(),
        filter::line(&image.image().name),
        phase(session),
        kernel.step_index(),
        kernel.clock(),
    );
    for coroutine in session.coroutines() {
        let role = coroutine
            .role
            .map(|role| filter::line(image.role_name(role)));
        let role = role.unwrap_or_else(|| "spawned".to_owned());
        let state = coroutine
            .role
            .and_then(|role| session.endpoints().get(role.index()));
        let state = state.map_or(String::new(), |endpoint| {
            format!("state {}", endpoint.state)
        });
        let at = instruction(image, coroutine.program.index(), coroutine.pc.index());
        let status = status(coroutine.status, image);
        let role = voice.paint(NAME, &format!("{role:<12}"));
        text.push_str(&format!("  {role} {state:<10} {status:<28} {at}\n"));
        let sorts = RegisterSorts::of(image, coroutine.program);
        for (n, value) in coroutine.registers.iter().enumerate() {
            let shown = literal::show(value, sorts.sort(n, value), image.image(), SHOWN);
            text.push_str(&format!("    r{n:<3} {shown}\n"));
        }
    }
    for ((from, to), edge) in image.edges().iter().zip(session.edges()) {
        for parcel in edge.queue.iter() {
            let sort = describe::payload_sort(image, (*from, *to), parcel.label, &parcel.payload);
            let (from, to) = (image.role_name(*from), image.role_name(*to));
            let payload = literal::show(&parcel.payload, sort, image.image(), SHOWN);
            let label = image.label_name(parcel.label);
            let line = format!("{from} → {to} #{}: {label}", parcel.sequence);
            text.push_str(&format!(
                "  in flight    {} {payload}\n",
                filter::line(&line)
            ));
        }
    }
    text
}

fn session_json(kernel: &ProtocolMachineKernel, session: &Session) -> Value {
    let image = kernel.image(session);
    let code = Some(image.image());
    let coroutines = session.coroutines().iter().map(|coroutine| {
        let sorts = RegisterSorts::of(image, coroutine.program);
        let registers = coroutine.registers.iter().enumerate();
        let registers =
            registers.map(|(n, value)| literal::json(value, sorts.sort(n, value), code));
        let state = coroutine
            .role
            .and_then(|role| session.endpoints().get(role.index()));
        json!({
            "role": coroutine.role.map(|role| image.role_name(role)),
            "state": state.map(|endpoint| endpoint.state.0),
            "status": status(coroutine.status, image),
            "pc": coroutine.pc.0,
            "instruction": instruction(image, coroutine.program.index(), coroutine.pc.index()),
            "registers": registers.collect::<Vec<_>>(),
        })
    });
    let edges = image
        .edges()
        .iter()
        .zip(session.edges())
        .map(|((from, to), edge)| {
            let queue = edge.queue.iter().map(|parcel| {
                let (label, payload) = (parcel.label, &parcel.payload);
                let sort = describe::payload_sort(image, (*from, *to), label, payload);
                json!({
                    "label": image.label_name(label),
                    "number": parcel.sequence,
                    "payload": literal::json(payload, sort, code),
                })
            });
            json!({
                "from": image.role_name(*from), "to": image.role_name(*to), "sent": edge.sent,
                "queue": queue.collect::<Vec<_>>(),
            })
        });
    json!({
        "session": session.id().0, "phase": phase(session),
        "coroutines": coroutines.collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>(),
    })
}

fn phase(session: &Session) -> &'static str {
    match session.phase() {
        Phase::Active => "active",
        Phase::Terminal(end) => end.name(),
    }
}

/// What a coroutine does or waits for.
pub(crate) fn status(status: Status, image: &VerifiedImage) -> String {
    let edge = |id: antiphon_machine::EdgeId| match image.edges().get(id.index()) {
        Some((from, to)) => filter::line(&format!(
            "{} → {}",
            image.role_name(*from),
            image.role_name(*to)
        )),
        None => format!("edge {id}"),
    };
    match status {
        Status::Ready => "ready".to_owned(),
        Status::Halted => "done".to_owned(),
        Status::Faulted => "faulted".to_owned(),
        Status::Blocked(On::Empty(id)) => format!("waits for {}", edge(id)),
        Status::Blocked(On::Full(id)) => format!("waits for room, {}", edge(id)),
        Status::Blocked(On::Effect(number)) => format!("waits for effect {number}"),
    }
}

fn instruction(image: &VerifiedImage, program: usize, pc: usize) -> String {
    let program = image.image().programs.get(program);
    let instruction = program.and_then(|program| program.code.get(pc));
    let text = instruction
        .map(|code| describe::instruction(image, code))
        .unwrap_or_default();
    filter::line(&format!("{pc}: {text}"))
}
