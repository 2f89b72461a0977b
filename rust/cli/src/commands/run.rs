//! `antiphon run`: runs a protocol, with a script or the user in place of its hosts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use antiphon_machine::SchedulingPolicy;
use antiphon_machine::bounds::WAVE_STEPS_MAX;
use antiphon_machine::threaded::{
    Handlers, NativeThreadedDriver, PerLane, QUANTUM, ThreadedProtocolMachine, WIDTH, WaveReport,
};
use antiphon_machine::{
    EffectHandler, EffectRequest, End, Ingress, KernelMachine, On, Phase, ProtocolMachineConfig,
    ProtocolMachineKernel, Reply, Rest, Round, SessionId, Status, Turn, VerifiedImage, Wait,
};
use clap::Args;
use clap::builder::RangedI64ValueParser;
use serde_json::json;

use crate::args::{RecordArgs, WordError, workers};
use crate::exit::Exit;
use crate::explain;
use crate::filter;
use crate::interactive::Interactive;
use crate::interrupt::on_signal;
use crate::output::{Output, REPORT_TIMEOUT, SUCCESS, with_timeout};
use crate::problem::{InputError, Problem, SystemError, UsageError};
use crate::protocol::{Protocol, ProtocolFile};
use crate::recording::{Recorded, Recording, header};
use crate::row_printer::RowPrinter;
use crate::script::{Script, Scripted};
use crate::state::status;
use crate::text;

/// Run a protocol here, with answers from a script or from you
///
/// A script answers every request to the hosts of the protocol's roles. Without a script you type
/// the answers. `docs/cli.md` describes the syntax of scripts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon run two_buyer.anti --script happy.script
  antiphon run two_buyer.anti --script happy.script --policy round-robin --record happy.rec
  antiphon run two_buyer.anti --script happy.script --sessions 100 --threads 4 --explain
  antiphon run two_buyer.anti")]
pub(crate) struct Run {
    /// The protocol file
    file: PathBuf,
    /// The protocol, if the file has several
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// The script; `-` is standard input
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// The policy that chooses the role that steps next
    #[arg(long, default_value = "cooperative", value_parser = policy_parser())]
    policy: SchedulingPolicy,
    /// The priority of a role under the policy `priority`, 0 to 255; may be repeated
    #[arg(long = "priority", value_name = "ROLE=N")]
    priorities: Vec<Priority>,
    #[command(flatten)]
    recording: RecordArgs,
    /// Print every event, not only messages, calls and failures
    #[arg(long)]
    all: bool,
    /// Stop the run after N steps
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    steps_max: u64,
    /// Open K sessions, 1 to 65536, each with its own copy of the script
    #[arg(
        long,
        value_name = "K",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(SESSIONS_MAX)),
        help_heading = THREADS
    )]
    sessions: u32,
    /// Run the sessions in waves on N threads, 1 to 1024
    #[arg(long, value_name = "N", value_parser = workers(), help_heading = THREADS)]
    threads: Option<u32>,
    /// Step at most W sessions in a wave [default: 4096]
    #[arg(
        long,
        value_name = "W",
        requires = "threads",
        value_parser = in_wave(),
        help_heading = THREADS
    )]
    width: Option<u32>,
    /// Step each session at most Q times in a wave [default: 256]
    #[arg(
        long,
        value_name = "Q",
        requires = "threads",
        value_parser = in_wave(),
        help_heading = THREADS
    )]
    quantum: Option<u32>,
    /// Print statistics of the waves at the end, and why they were no wider
    #[arg(long, requires = "threads", help_heading = THREADS)]
    explain: bool,
}

/// The most sessions of a run: the output of more would be unreadable.
const SESSIONS_MAX: u32 = 1 << 16;

const THREADS: &str = "Sessions and threads";

/// The priority of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Priority {
    pub(crate) role: String,
    pub(crate) priority: u8,
}

impl FromStr for Priority {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        let (role, number) = word.split_once('=').ok_or(WordError::Priority)?;
        let priority = number.parse().map_err(|_| WordError::Priority)?;
        Ok(Priority {
            role: role.to_owned(),
            priority,
        })
    }
}

/// Parses a number of sessions in a wave, or of steps of each.
fn in_wave() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=WAVE_STEPS_MAX as i64)
}

fn policy_parser() -> impl clap::builder::TypedValueParser<Value = SchedulingPolicy> {
    use clap::builder::TypedValueParser;
    let names = SchedulingPolicy::ALL.map(SchedulingPolicy::name);
    clap::builder::PossibleValuesParser::new(names).map(|name| {
        let policy = SchedulingPolicy::ALL
            .into_iter()
            .find(|policy| policy.name() == name);
        policy.unwrap_or(SchedulingPolicy::Cooperative)
    })
}

/// The longest script in bytes.
const SCRIPT_LEN_MAX: u64 = 16 << 20;

/// The most remarks that are printed; JSON has all of them.
const REMARKS_MAX: usize = 20;

/// The owner of the sessions.
const OWNER: &str = "antiphon run";

/// One lane for each session, so that each session has its own hosts.
type Machine = ThreadedProtocolMachine<PerLane<Hosts>, (Option<Recording>, RowPrinter)>;

pub(crate) fn run(args: &Run, output: &Output) -> Result<Exit, Problem> {
    let limits = WaveLimits::of(args)?;
    let file = ProtocolFile::read(&args.file)?.refuse_recording_over(&args.recording)?;
    Recording::refuse_recording_over(&args.recording, args.script.as_deref())?;
    let protocol = file.protocol(args.protocol.as_deref())?;
    let image = protocol.image()?;
    let hosts = hosts(args, &image)?;
    let config = config(args, &protocol)?;
    let driver = NativeThreadedDriver::try_with_workers(limits.workers)?;
    let notes = vec![("command".to_owned(), "run".to_owned())];
    let header = || header(&config, &protocol.text, notes);
    let recording = Recording::begin(&args.recording, header, output)?;
    let printer = RowPrinter::new(*output, &image, args.all, args.sessions > 1);
    let machine = Machine::with_driver(config, hosts, (recording, printer), driver);
    let mut machine = machine.with_wave(limits.width, limits.quantum);
    let stop = drive_sessions(&mut machine, &image, args, &limits);
    let report = machine.report();
    let (kernel, hosts, (recording, mut printer)) = machine.into_parts();
    let recorded = Recorded::end(recording, &kernel);
    let stop = recorded.result(stop)?;
    let unreadable = hosts.iter().find_map(Hosts::unreadable);
    if let Some(problem) = printer.problem().or(unreadable) {
        return recorded.result(Err(problem));
    }
    let summary = Summary::of(&kernel, &stop, &hosts);
    let exit = match stop {
        Stop::Signal(signal) => Exit::Guest(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        Stop::Ended if summary.is_good => Exit::Done,
        Stop::Ended
        | Stop::HostsEnded
        | Stop::Spinner(_)
        | Stop::Deadlock(_)
        | Stop::StepsMax(_)
        | Stop::OutputFailed
        | Stop::RecordingFailed => Exit::No,
    };
    let exit = recorded.exit(exit);
    let (output, explain) = (*output, args.explain);
    let print = move || summary.print(recorded, explain.then_some(&report), &output);
    match stop {
        // The readers of the standard streams may have stopped reading.
        Stop::Signal(_) => with_timeout(REPORT_TIMEOUT, move || drop(print())),
        Stop::Ended
        | Stop::HostsEnded
        | Stop::Spinner(_)
        | Stop::Deadlock(_)
        | Stop::StepsMax(_)
        | Stop::OutputFailed
        | Stop::RecordingFailed => recorded.result(print())?,
    }
    Ok(exit)
}

/// Opens the sessions and steps them until the run stops, then cancels those that are still active.
fn drive_sessions(
    machine: &mut Machine,
    image: &Arc<VerifiedImage>,
    args: &Run,
    limits: &WaveLimits,
) -> Result<Stop, Problem> {
    for _ in 0..args.sessions {
        machine.load_choreography(image, OWNER)?;
    }
    let signal = watch(args.script.is_some())?;
    let stop = drive(machine, limits, args.steps_max, &signal);
    cancel_active(machine);
    Ok(stop)
}

/// How many sessions step in a wave, how often, and on how many threads.
struct WaveLimits {
    workers: usize,
    width: u32,
    quantum: u32,
}

impl WaveLimits {
    /// Without `--threads` a round is one step. A default is lowered to make room for the other,
    /// given value.
    fn of(args: &Run) -> Result<WaveLimits, Problem> {
        let Some(threads) = args.threads else {
            return Ok(WaveLimits {
                workers: 1,
                width: 1,
                quantum: 1,
            });
        };
        let steps_max = WAVE_STEPS_MAX as u32;
        let (width, quantum) = match (args.width, args.quantum) {
            (None, None) => (WIDTH, QUANTUM),
            (Some(width), None) => (width, QUANTUM.min(steps_max / width)),
            (None, Some(quantum)) => (WIDTH.min(steps_max / quantum), quantum),
            (Some(width), Some(quantum)) => (width, quantum),
        };
        if u64::from(width) * u64::from(quantum) > WAVE_STEPS_MAX {
            return Err(UsageError::Wave { width, quantum }.into());
        }
        Ok(WaveLimits {
            workers: threads as usize,
            width,
            quantum,
        })
    }

    /// Returns the width of a round that takes at most `left` steps; 0 if `left` is 0.
    fn width(&self, left: u64) -> usize {
        let fitting = (left / u64::from(self.quantum)).max(left.min(1));
        fitting.min(u64::from(self.width)) as usize
    }
}

/// Makes the hosts of every session.
fn hosts(args: &Run, image: &VerifiedImage) -> Result<PerLane<Hosts>, Problem> {
    let sessions = args.sessions;
    let Some(path) = &args.script else {
        return match sessions {
            1 => Ok(PerLane::new(Hosts::Interactive(Interactive::default()), [])),
            sessions => Err(UsageError::InteractiveSessions { sessions }.into()),
        };
    };
    let script = text::plain(path, SCRIPT_LEN_MAX)?;
    let script = Script::parse(&text::name(path), &script, image).map_err(InputError::script)?;
    let scripted = || Hosts::Scripted(Scripted::new(script.clone()));
    Ok(PerLane::new(scripted(), (1..sessions).map(|_| scripted())))
}

/// Watches for signals. The result holds the signal that arrived, or 0. While an answer is being
/// typed, a signal ends the process at once, because reading a line cannot be interrupted.
fn watch(scripted: bool) -> Result<Arc<AtomicI32>, Problem> {
    let signal = Arc::new(AtomicI32::new(0));
    let came = Arc::clone(&signal);
    let first = move |number| {
        came.store(number, Ordering::Relaxed);
        scripted
    };
    on_signal(first).map_err(SystemError::Threads)?;
    Ok(signal)
}

/// The hosts of all roles of a session.
#[derive(Debug)]
enum Hosts {
    Scripted(Scripted),
    Interactive(Interactive),
}

impl EffectHandler for Hosts {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        match self {
            Hosts::Scripted(scripted) => scripted.handle(request),
            Hosts::Interactive(interactive) => interactive.handle(request),
        }
    }
}

impl Hosts {
    /// Whether there are no more answers.
    fn has_ended(&self) -> bool {
        match self {
            Hosts::Scripted(scripted) => scripted.mismatch().is_some(),
            Hosts::Interactive(interactive) => interactive.has_ended(),
        }
    }

    /// Why answers cannot be read, if they cannot.
    fn unreadable(&self) -> Option<Problem> {
        match self {
            Hosts::Scripted(_) => None,
            Hosts::Interactive(interactive) => interactive.error().map(|error| {
                let reason = error.to_string();
                InputError::StandardInput { reason }.into()
            }),
        }
    }

    /// Reports where the run left the script or the input; for a closed session, also the unused
    /// lines.
    fn remarks(&self, is_closed: bool) -> Vec<String> {
        match self {
            Hosts::Interactive(interactive) if interactive.has_ended() => {
                vec!["the input ended before the protocol".to_owned()]
            }
            Hosts::Interactive(_) => Vec::new(),
            Hosts::Scripted(scripted) => match scripted.mismatch() {
                Some(mismatch) => vec![mismatch.to_string()],
                None if is_closed => {
                    let unused = scripted.script().unused();
                    unused.iter().map(ToString::to_string).collect()
                }
                None => Vec::new(),
            },
        }
    }
}

/// Why a run stopped.
enum Stop {
    /// Every session has ended.
    Ended,
    /// The hosts of all sessions have ended.
    HostsEnded,
    /// These sessions wait for answers that never come, with no budget that ends the wait.
    Spinner(Vec<SessionId>),
    Deadlock(Vec<(SessionId, String)>),
    StepsMax(u64),
    /// The output cannot be written any more.
    OutputFailed,
    /// A required recording failed.
    RecordingFailed,
    /// This signal arrived.
    Signal(i32),
}

/// Steps the sessions until the run stops. `signal` holds the signal that arrived, or 0.
fn drive(machine: &mut Machine, limits: &WaveLimits, steps_max: u64, signal: &AtomicI32) -> Stop {
    let mut ended = 0;
    loop {
        let left = steps_max.saturating_sub(machine.kernel().step_index());
        // A round of width 0 is refused: no step is left.
        let Ok(round) = machine.kernel_step_round(limits.width(left)) else {
            return Stop::StepsMax(steps_max);
        };
        match signal.load(Ordering::Relaxed) {
            0 => {}
            signal => return Stop::Signal(signal),
        }
        ended += cancel_ended(machine, &round);
        if ended == machine.kernel().sessions().len() {
            return Stop::HostsEnded;
        }
        let (recording, printer) = machine.sink();
        if recording.as_ref().is_some_and(Recording::must_stop) {
            return Stop::RecordingFailed;
        }
        if printer.has_failed() {
            return Stop::OutputFailed;
        }
        match round {
            Round::Wave { .. } | Round::Turn(Turn::Stepped { .. }) => {}
            Round::Turn(Turn::Rest(Rest::Done)) => return Stop::Ended,
            Round::Turn(Turn::Rest(Rest::Stuck(waits))) => {
                let stuck = |wait| stuck(machine.kernel(), wait);
                return Stop::Deadlock(waits.iter().map(stuck).collect());
            }
            // An effect that was answered `later` stays outstanding until its budget has passed.
            Round::Turn(Turn::Rest(Rest::Idle)) => {
                let kernel = machine.kernel();
                let Some(deadline) = kernel.next_deadline() else {
                    return Stop::Spinner(active(kernel));
                };
                let ticks = deadline.saturating_sub(kernel.clock());
                if machine.ingress(Ingress::AdvanceClock { ticks }).is_err() {
                    return Stop::Spinner(active(machine.kernel()));
                }
            }
        }
    }
}

/// Cancels the sessions whose hosts have ended in this round; the others continue. Returns their
/// number.
fn cancel_ended(machine: &mut Machine, round: &Round) -> usize {
    let astray: Vec<SessionId> = match round {
        Round::Turn(Turn::Rest(_)) => Vec::new(),
        Round::Turn(Turn::Stepped { pick, .. }) => {
            let host = machine.handlers().lane(pick.session.index());
            host.has_ended()
                .then_some(pick.session)
                .into_iter()
                .collect()
        }
        Round::Wave { .. } => {
            let active = active(machine.kernel());
            let hosts = machine.handlers();
            let has_ended = |session: &SessionId| hosts.lane(session.index()).has_ended();
            active.into_iter().filter(has_ended).collect()
        }
    };
    for session in &astray {
        cancel(machine, *session);
    }
    astray.len()
}

/// Returns the sessions that have not ended.
fn active(kernel: &ProtocolMachineKernel) -> Vec<SessionId> {
    let sessions = kernel.sessions().iter();
    let active = sessions.filter(|session| session.phase() == Phase::Active);
    active.map(|session| session.id()).collect()
}

/// Cancels the sessions that have not ended.
fn cancel_active(machine: &mut Machine) {
    for session in active(machine.kernel()) {
        cancel(machine, session);
    }
}

fn cancel(machine: &mut Machine, session: SessionId) {
    // This fails only if the session has ended by itself.
    let _ = machine.ingress(Ingress::Cancel {
        session,
        owner: OWNER.into(),
    });
}

fn stuck(kernel: &ProtocolMachineKernel, wait: &Wait) -> (SessionId, String) {
    let session = wait.pick.session;
    let image = kernel.session(session).map(|session| kernel.image(session));
    let Some(image) = image else {
        return (session, "deadlock".to_owned());
    };
    let who = wait.role.map_or("", |role| image.role_name(role));
    let status = status(Status::Blocked(wait.on), image);
    let text = match wait.on {
        On::Empty(_) => format!("deadlock: {who} {status}, and no role can send that message"),
        On::Full(_) => format!("deadlock: {who} {status}, and no role can receive a message"),
        On::Effect(_) => format!("deadlock: {who} {status}"),
    };
    (session, filter::line(&text))
}

/// How a run ended.
struct Summary {
    steps: u64,
    clock: u64,
    sessions: usize,
    remarks: Vec<String>,
    /// The number of sessions by their end.
    ends: BTreeMap<&'static str, usize>,
    /// The first end that is not `closed`, or `closed`.
    end: &'static str,
    is_good: bool,
}

impl Summary {
    fn of(kernel: &ProtocolMachineKernel, stop: &Stop, hosts: &PerLane<Hosts>) -> Summary {
        let (mut ends, mut end) = (BTreeMap::new(), End::Closed.name());
        for session in kernel.sessions() {
            let name = match session.phase() {
                Phase::Terminal(end) => end.name(),
                Phase::Active => "active",
            };
            *ends.entry(name).or_default() += 1;
            if end == End::Closed.name() {
                end = name;
            }
        }
        let remarks = remarks(stop, kernel, hosts);
        Summary {
            steps: kernel.step_index(),
            clock: kernel.clock(),
            sessions: kernel.sessions().len(),
            is_good: remarks.is_empty() && end == End::Closed.name(),
            remarks,
            ends,
            end,
        }
    }

    fn print(
        &self,
        recorded: Recorded,
        explained: Option<&WaveReport>,
        output: &Output,
    ) -> Result<(), Problem> {
        if let Some(report) = explained.filter(|_| !output.json) {
            output.print(&explain::table(report))?;
        }
        for remark in self.remarks.iter().take(REMARKS_MAX) {
            output.error(remark);
        }
        if let Some(more @ 1..) = self.remarks.len().checked_sub(REMARKS_MAX) {
            let ends = self.ends.iter();
            let ends = ends.map(|(end, count)| format!("{count} {end}"));
            let ends = ends.collect::<Vec<_>>().join(", ");
            output.error(&format!("and {more} more; sessions {ends}"));
        }
        let steps = self.steps;
        if output.json {
            let mut document = json!({
                "event": "summary", "ok": self.is_good, "end": self.end, "ends": self.ends,
                "steps": steps, "clock": self.clock, "remarks": self.remarks,
            });
            recorded.mark(&mut document);
            if let Some(report) = explained {
                document["explain"] = explain::document(report);
            }
            output.document(&document)?;
        } else if self.is_good {
            let text = match self.sessions {
                1 => format!("{steps} steps"),
                sessions => format!("{sessions} sessions, {steps} steps"),
            };
            output.note(SUCCESS, "ok", &text);
        }
        Ok(())
    }
}

/// Returns the remarks on how the run ended: first on sessions, numbered if there are several, then
/// on the run.
fn remarks(stop: &Stop, kernel: &ProtocolMachineKernel, hosts: &PerLane<Hosts>) -> Vec<String> {
    let several = kernel.sessions().len() > 1;
    let of_session = |session: SessionId, remark: &str| match several {
        true => format!("session {}: {remark}", session.0),
        false => remark.to_owned(),
    };
    // An interrupted run may have used the remaining lines, so they are not reported.
    let is_whole = !matches!(
        stop,
        Stop::StepsMax(_) | Stop::OutputFailed | Stop::RecordingFailed | Stop::Signal(_)
    );
    let mut remarks = Vec::new();
    for (session, hosts) in kernel.sessions().iter().zip(hosts.iter()) {
        let is_closed = session.phase() == Phase::Terminal(End::Closed);
        let found = hosts.remarks(is_closed && is_whole);
        remarks.extend(found.iter().map(|remark| of_session(session.id(), remark)));
    }
    match stop {
        Stop::Spinner(sessions) => {
            let remark = "waits for an answer that never comes, and no budget ends the wait";
            remarks.extend(sessions.iter().map(|session| of_session(*session, remark)));
        }
        Stop::Deadlock(waits) => {
            remarks.extend(
                waits
                    .iter()
                    .map(|(session, remark)| of_session(*session, remark)),
            );
        }
        Stop::StepsMax(max) => remarks.push(format!("the run was stopped after {max} steps")),
        Stop::Signal(_) => remarks.push("the run was interrupted".to_owned()),
        Stop::RecordingFailed => remarks.push(
            "the run was stopped: its recording \
             failed"
                .to_owned(),
        ),
        Stop::Ended | Stop::HostsEnded | Stop::OutputFailed => {}
    }
    remarks
}

fn config(args: &Run, protocol: &Protocol) -> Result<ProtocolMachineConfig, Problem> {
    let mut config = ProtocolMachineConfig {
        policy: args.policy,
        ..Default::default()
    };
    let roles = protocol.checked.roles();
    for wanted in &args.priorities {
        if !roles.contains(&wanted.role) {
            return Err(UsageError::no_such_role(&protocol.checked, &wanted.role).into());
        }
        config
            .priorities
            .insert(wanted.role.clone(), wanted.priority);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::cli::Cli;

    #[test]
    fn the_help_states_the_wave_limits_of_the_driver() {
        use antiphon_machine::threaded::{QUANTUM, WIDTH};
        let command = Cli::command();
        let run = command.find_subcommand("run").expect("it is there");
        for (name, default) in [("width", WIDTH), ("quantum", QUANTUM)] {
            let said = run.get_arguments().find(|arg| arg.get_id() == name);
            let said = said.and_then(|arg| arg.get_help()).expect("it has help");
            let end = format!("[default: {default}]");
            assert!(said.to_string().ends_with(&end), "--{name}: {said}");
        }
    }
}
