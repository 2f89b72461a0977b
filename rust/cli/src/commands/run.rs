//! `antiphon run`: any protocol, with the world played by a script or by the user.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use antiphon_machine::{
    EffectHandler, EffectRequest, End, Ingress, Phase, ProtocolMachine, ProtocolMachineConfig,
    ProtocolMachineKernel, Reply, Rest, SessionId, Status, Turn, Wait,
};
use serde_json::json;

use crate::args::Run;
use crate::commands::replay::status;
use crate::exit::Exit;
use crate::filter;
use crate::interrupt::on_signal;
use crate::output::{BAD, GOOD, Voice};
use crate::problem::Problem;
use crate::protocol::{Protocol, ProtocolFile};
use crate::recording::{Recording, header};
use crate::script::{Script, Scripted};
use crate::text;
use crate::typed::Typed;
use crate::watcher::Watcher;

/// The longest script in bytes.
const SCRIPT_LEN_MAX: u64 = 16 << 20;

/// Who opens the session, and may cancel it.
const OWNER: &str = "antiphon run";

type Machine = ProtocolMachine<Hosts, (Option<antiphon_record::Recorder<std::fs::File>>, Watcher)>;

pub(crate) fn run(args: &Run, voice: &Voice) -> Result<Exit, Problem> {
    let protocol = ProtocolFile::read(&args.file)?.protocol(args.protocol.as_deref())?;
    let image = protocol.image()?;
    let hosts = match &args.script {
        None => Hosts::Typed(Typed::default()),
        Some(path) => {
            let script = text::plain(path, SCRIPT_LEN_MAX)?;
            let script = Script::parse(&text::name(path), &script, &image);
            Hosts::Scripted(Scripted::new(script.map_err(Problem::script)?))
        }
    };
    let config = config(args, &protocol)?;
    let recording = match &args.record {
        None => None,
        Some(path) => {
            let notes = vec![("command".to_owned(), "run".to_owned())];
            let header = header(&config, &protocol.text, notes);
            Some(Recording::create(path, args.overwrite, &header)?)
        }
    };
    let (keep, recorder) = recording.map(Recording::into_parts).unzip();
    let sink = (recorder, Watcher::new(*voice, &image, args.all));
    let mut machine = ProtocolMachine::with_sink(config, hosts, sink);
    let session = machine
        .load_choreography(&image, OWNER)
        .map_err(Problem::refused)?;

    let signal = watch(args.script.is_some())?;
    let stop = drive(&mut machine, args.steps_max, &signal);
    if !matches!(stop, Stop::Ended) {
        call_off(&mut machine, session);
    }
    let (kernel, hosts, (recorder, mut watcher)) = machine.into_parts();
    if let Some((keep, recorder)) = keep.zip(recorder) {
        keep.finish(recorder, &kernel)?;
    }
    if let Some(problem) = watcher.problem() {
        return Err(problem);
    }
    conclude(&kernel, session, &stop, &hosts, voice)
}

/// The signal that came, or 0. Who is asked for a line cannot be left in the middle of it: there a signal ends
/// everything at once.
fn watch(scripted: bool) -> Result<Arc<AtomicI32>, Problem> {
    let signal = Arc::new(AtomicI32::new(0));
    let came = Arc::clone(&signal);
    let first = move |number| {
        came.store(number, Ordering::Relaxed);
        scripted
    };
    on_signal(first).map_err(Problem::Threads)?;
    Ok(signal)
}

/// Says how the run ended.
fn conclude(
    kernel: &ProtocolMachineKernel,
    session: SessionId,
    stop: &Stop,
    hosts: &Hosts,
    voice: &Voice,
) -> Result<Exit, Problem> {
    let phase = kernel.session(session).map(|session| session.phase());
    let closed = phase == Some(Phase::Terminal(End::Closed));
    let remarks = remarks(stop, hosts, closed);
    for remark in &remarks {
        voice.remark(BAD, "antiphon:", remark);
    }
    let good = remarks.is_empty() && closed;
    if voice.json {
        let end = match phase {
            Some(Phase::Terminal(end)) => end.name(),
            Some(Phase::Active) | None => "active",
        };
        voice.document(&json!({
            "event": "summary", "ok": good, "end": end, "steps": kernel.step_index(),
            "clock": kernel.clock(), "remarks": remarks,
        }))?;
    } else if good {
        voice.remark(GOOD, "ok", &format!("{} steps", kernel.step_index()));
    }
    Ok(match stop {
        Stop::Signal(signal) => Exit::Guest(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        Stop::Ended if good => Exit::Done,
        Stop::Ended
        | Stop::Over
        | Stop::Waiting
        | Stop::Stuck(_)
        | Stop::StepsMax(_)
        | Stop::Unseen => Exit::No,
    })
}

/// Whoever answers for all roles.
#[derive(Debug)]
enum Hosts {
    Scripted(Scripted),
    Typed(Typed),
}

impl EffectHandler for Hosts {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        match self {
            Hosts::Scripted(scripted) => scripted.handle(request),
            Hosts::Typed(typed) => typed.handle(request),
        }
    }
}

impl Hosts {
    /// Whether no more answers are to be had.
    fn is_over(&self) -> bool {
        match self {
            Hosts::Scripted(scripted) => scripted.astray().is_some(),
            Hosts::Typed(typed) => typed.is_gone(),
        }
    }
}

/// Why a run stopped.
enum Stop {
    /// Every session has ended.
    Ended,
    /// The hosts answer no more.
    Over,
    /// What is asked is never answered, and has no budget that could end it.
    Waiting,
    Stuck(Vec<String>),
    StepsMax(u64),
    /// Nobody looks any more.
    Unseen,
    /// This signal came.
    Signal(i32),
}

/// Steps until the run stops. `signal` holds the signal that came, or 0.
fn drive(machine: &mut Machine, steps_max: u64, signal: &AtomicI32) -> Stop {
    while machine.kernel().step_index() < steps_max {
        let turn = machine.turn();
        match signal.load(Ordering::Relaxed) {
            0 => {}
            signal => return Stop::Signal(signal),
        }
        if machine.handler().is_over() {
            return Stop::Over;
        }
        if machine.sink().1.is_over() {
            return Stop::Unseen;
        }
        match turn {
            Turn::Stepped { .. } => {}
            Turn::Rest(Rest::Done) => return Stop::Ended,
            Turn::Rest(Rest::Stuck(waits)) => {
                return Stop::Stuck(waits.iter().map(|wait| stuck(machine, wait)).collect());
            }
            // What was answered `later` is never answered: time passes until its budget has run out.
            Turn::Rest(Rest::Idle) => {
                let kernel = machine.kernel();
                let Some(deadline) = kernel.next_deadline() else {
                    return Stop::Waiting;
                };
                let ticks = deadline.saturating_sub(kernel.clock());
                if machine.ingress(Ingress::AdvanceClock { ticks }).is_err() {
                    return Stop::Waiting;
                }
            }
        }
    }
    Stop::StepsMax(steps_max)
}

fn call_off(machine: &mut Machine, session: SessionId) {
    // Refused only when the session has ended by itself, and then there is nothing to call off.
    let _ = machine.ingress(Ingress::Cancel {
        session,
        owner: OWNER.into(),
    });
}

fn stuck(machine: &Machine, wait: &Wait) -> String {
    let kernel = machine.kernel();
    let image = kernel
        .session(wait.pick.session)
        .map(|session| kernel.image(session));
    let Some(image) = image else {
        return "somebody waits and nobody can help it".to_owned();
    };
    let who = wait.role.map_or("", |role| image.role_name(role));
    let status = status(Status::Blocked(wait.on), image);
    filter::line(&format!("{who} {status}, and nobody can help it"))
}

/// What has to be said about how the run ended.
fn remarks(stop: &Stop, hosts: &Hosts, closed: bool) -> Vec<String> {
    match (stop, hosts) {
        (Stop::Over, Hosts::Scripted(scripted)) => {
            scripted.astray().iter().map(ToString::to_string).collect()
        }
        (Stop::Over, Hosts::Typed(_)) => vec!["the input has ended before the protocol".to_owned()],
        (Stop::Waiting, _) => {
            vec!["what is asked is never answered, and may take any time".to_owned()]
        }
        (Stop::Stuck(waits), _) => waits.clone(),
        (Stop::StepsMax(max), _) => vec![format!("the run was ended after {max} steps")],
        (Stop::Ended, Hosts::Scripted(scripted)) if closed => scripted
            .script()
            .unused()
            .iter()
            .map(ToString::to_string)
            .collect(),
        (Stop::Signal(_), _) => vec!["the run was called off".to_owned()],
        (Stop::Ended | Stop::Unseen, _) => Vec::new(),
    }
}

fn config(args: &Run, protocol: &Protocol) -> Result<ProtocolMachineConfig, Problem> {
    let mut config = ProtocolMachineConfig {
        policy: args.policy,
        ..Default::default()
    };
    let roles = protocol.checked.roles();
    for wanted in &args.priorities {
        if !roles.contains(&wanted.role) {
            return Err(Problem::no_such_role(&protocol.checked, &wanted.role));
        }
        config
            .priorities
            .insert(wanted.role.clone(), wanted.priority);
    }
    Ok(config)
}
