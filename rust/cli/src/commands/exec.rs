//! `antiphon exec`: runs a command in the guest.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use antiphon_guest::driver::{Binding, Driver, Guests};
use antiphon_guest::link::GuestLink;
use antiphon_guest::protocols::GUEST_EXEC;
use antiphon_language::NoModules;
use antiphon_language::source::Source;
use antiphon_machine::{
    EffectHandler, End, FailureKind, Phase, ProtocolMachineConfig, Rest, Sink, VerifiedImage,
};
use clap::Args;
use serde_json::json;
use signal_hook::consts::{SIGPIPE, SIGWINCH};

use crate::args::{ArgumentError, GuestArgs, RecordArgs, Seconds};
use crate::exit::Exit;
use crate::filter::{self, quoted};
use crate::guest;
use crate::host::support::UnsupportedProtocol;
use crate::host::{CommandEnd, FORWARDED, Host, Job, OWNER, forwards};
use crate::interrupt::on_signals;
use crate::last_failure::LastFailure;
use crate::output::{self, Output, REPORT_TIMEOUT};
use crate::problem::{InputError, Problem, SystemError, UsageError};
use crate::protocol::{Protocol, ProtocolFile};
use crate::recording::{Recording, header};
use crate::safety::{NotAdmitted, check_admission};
use crate::streams::{OutputFormat, Stream};
use crate::timeline::GUEST_ROLES_NOTE;

/// Run a command in the guest
///
/// Connects the guest command's standard input, output and error to this command's, live. The exit
/// code is the guest command's own, or 128 + N if signal N ended it. INT (Ctrl-C), TERM, HUP, QUIT,
/// USR1, USR2 and WINCH are forwarded to the guest command. The second signal that asks for an end
/// cancels it, the third ends this program at once.
///
/// Standard input is read from the start, as `ssh` does: in a loop such as `while read line; do
/// antiphon exec ...` the command reads the input of the loop, unless `-n` is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon exec -- uname -a
  antiphon exec --record demo.rec -- sh -c 'echo out; echo err >&2; exit 3'
  tar c . | antiphon exec --agent unix:/run/guest.sock --cwd /srv -- tar x
  antiphon exec --deadline 2.5 --env LANG=C -- ./slow-test

Exit codes of its own, in addition to the guest command's:
  124  the deadline passed
  125  the session failed: no agent, agent lost, protocol broken, recording not written; or
       `--require-safe` refused the protocol
  126  the command was found but could not be run
  127  the command was not found")]
pub(crate) struct Exec {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    recording: RecordArgs,
    /// The protocol of the session, instead of the shipped `guest_exec.anti`
    #[arg(long, value_name = "FILE")]
    protocol: Option<PathBuf>,
    /// Refuse to run unless the protocol is proved safe on this machine, with its size of buffers
    #[arg(long)]
    require_safe: bool,
    /// Kill the command after SECONDS
    #[arg(long, value_name = "SECONDS")]
    deadline: Option<Seconds>,
    /// Cancel the command if it is still running SECONDS after a forwarded INT, TERM, HUP or QUIT
    /// [default: 10]
    #[arg(long, value_name = "SECONDS")]
    kill_after: Option<Seconds>,
    /// Do not read standard input; the command's input is empty
    #[arg(long, short = 'n')]
    no_stdin: bool,
    /// Set an environment variable of the command; may be repeated
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE")]
    env: Vec<Variable>,
    /// The command's working directory in the guest
    #[arg(long, value_name = "DIRECTORY")]
    cwd: Option<String>,
    /// Pass the guest's bytes to a terminal unchanged, escape sequences included
    #[arg(long)]
    raw: bool,
    /// The command and its arguments. Options of `exec` come before it
    #[arg(required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Variable {
    type Err = ArgumentError;

    fn from_str(word: &str) -> Result<Self, ArgumentError> {
        match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Variable {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            Some(_) | None => Err(ArgumentError::Variable),
        }
    }
}

/// The roles that are bound to the guest, as the shipped protocol names them.
const GUEST_ROLES: [&str; 2] = ["Agent", "Sink"];

/// The default of `--kill-after`.
const KILL_AFTER: Duration = Duration::from_secs(10);

/// The name of the shipped protocol in diagnostics.
const SHIPPED: &str = "guest_exec.anti";

pub(crate) fn run(args: &Exec, output: &Output) -> Result<Exit, Problem> {
    UsageError::check_json(output, "--raw", args.raw)?;
    let protocol = protocol(args)?;
    let image = protocol.image()?;
    if args.kill_after.is_some() && !forwards(&image) {
        let protocol = protocol.checked.name().to_owned();
        return Err(UnsupportedProtocol::NoSignal { protocol }.into());
    }
    let config = ProtocolMachineConfig::default();
    // Checked before an agent is started and a recording is created.
    if args.require_safe {
        check_safety(&protocol, &config, &image)?;
    }
    let host = Host::new(job(args), &image, &GUEST_ROLES)?;
    Binding::named(&image, guest_roles(&image), guest_interfaces(&image))?;
    let link = guest::open(&args.guest)?;
    let header = || header(&config, Some(&protocol.text), notes(args, &image));
    let mut recording = Recording::begin(&args.recording, header, output)?;
    if let Some(recording) = &mut recording {
        let host = host.clone();
        recording.on_failure(move || host.end_unrecorded());
    }
    let mut driver = Driver::new(config, host.clone(), (recording, LastFailure::default()));
    host.set_remote(driver.remote());
    let ran = session(&image, args, output, &host, &mut driver, link);

    let kernel = driver.kernel().clone();
    let (_, (recording, last_failure), links) = driver.into_parts();
    // The recording ends first; the output may still have to wait for its reader.
    let recorded = Recording::end(recording, &kernel);
    let unwritten = host.finish();
    links.into_iter().for_each(GuestLink::close);
    let rest = recorded.result(ran)?;
    let phase = kernel.sessions().first().map(|session| session.phase());
    let mut ending = Ending::of(args, &host, &last_failure, phase, &rest, &unwritten);
    ending.guest_code = guest_code(&host);
    if !recorded.is_whole() {
        ending = ending.unrecorded();
    }
    let reported = ending.report(output, host.is_ending(), &unwritten);
    recorded.result(reported)
}

/// Opens the session and runs it to its end.
fn session<A: EffectHandler, S: Sink>(
    image: &std::sync::Arc<VerifiedImage>,
    args: &Exec,
    output: &Output,
    host: &Host,
    driver: &mut Driver<A, S>,
    link: GuestLink,
) -> Result<Rest, Problem> {
    let guest = driver.add_guest(link);
    let guests = Guests::new()
        .roles(guest, guest_roles(image))
        .interfaces(guest, guest_interfaces(image));
    host.connect(formats(args, output))
        .map_err(SystemError::Threads)?;
    let session = driver.open(image, OWNER, &guests)?;
    host.opened(session);
    // Under a protocol without `signal` every forwarded signal cancels the command, and a resized
    // window must not.
    let forwards = forwards(image);
    let signals = FORWARDED
        .into_iter()
        .filter(|signal| forwards || *signal != SIGWINCH);
    let signalled = host.clone();
    on_signals(signals, move |signal| signalled.signal(signal)).map_err(SystemError::Threads)?;
    Ok(driver.run())
}

/// The roles of the protocol that are bound to the guest.
fn guest_roles(image: &VerifiedImage) -> impl Iterator<Item = &'static str> {
    let has = |name: &str| image.image().roles.iter().any(|role| role.name == name);
    GUEST_ROLES.into_iter().filter(move |name| has(name))
}

/// The interfaces that are bound to the guest: all except `host`, through which hosts are asked.
fn guest_interfaces(image: &VerifiedImage) -> impl Iterator<Item = &str> {
    let names = image.image().interfaces.iter();
    let names = names.map(|interface| interface.name.as_str());
    names.filter(|name| *name != "host")
}

/// Refuses a protocol that is not proved safe on this machine.
fn check_safety(
    protocol: &Protocol,
    config: &ProtocolMachineConfig,
    image: &VerifiedImage,
) -> Result<(), Problem> {
    let coverage = protocol.coverage(image)?;
    coverage
        .ok_or_else(|| NotAdmitted::uncertified(protocol.checked.name(), REMEDY))
        .and_then(|coverage| check_admission(config, image, coverage, REMEDY))
        .map_err(InputError::NotAdmitted)?;
    Ok(())
}

/// What to do with a protocol that is not admitted.
const REMEDY: &str = "Leave out `--require-safe` to run it without this proof";

fn protocol(args: &Exec) -> Result<Protocol, Problem> {
    let file = match &args.protocol {
        Some(path) => ProtocolFile::read(path)?.check_recording(&args.recording)?,
        None => ProtocolFile::of(Source::new(SHIPPED, GUEST_EXEC), &NoModules),
    };
    file.protocol(None)
}

fn job(args: &Exec) -> Job {
    Job {
        command: args.command.clone(),
        env: args
            .env
            .iter()
            .map(|v| format!("{}={}", v.name, v.value))
            .collect(),
        cwd: args.cwd.clone(),
        deadline_ms: args.deadline.map(|deadline| deadline.milliseconds),
        reads_input: !args.no_stdin,
        kill_after: args.kill_after.map_or(KILL_AFTER, |kill_after| {
            Duration::from_millis(kill_after.milliseconds)
        }),
    }
}

/// The notes in the recording's header.
fn notes(args: &Exec, image: &VerifiedImage) -> Vec<(String, String)> {
    let mut notes = vec![("command".to_owned(), "exec".to_owned())];
    notes.extend(guest::notes(&args.guest));
    let roles: Vec<&str> = guest_roles(image).collect();
    notes.push((GUEST_ROLES_NOTE.to_owned(), roles.join(", ")));
    notes
}

fn formats(args: &Exec, output: &Output) -> [OutputFormat; 2] {
    let of = |terminal| match (output.json, terminal && !args.raw) {
        (true, _) => OutputFormat::Json,
        (false, true) => OutputFormat::Filtered,
        (false, false) => OutputFormat::Plain,
    };
    [of(output.terminal), of(output.terminal_stderr)]
}

/// The exit code of the guest command, or `None` if it did not run or a signal ended it.
fn guest_code(host: &Host) -> Option<i64> {
    match host.command_end() {
        Some(CommandEnd::Exit {
            code, signal: None, ..
        }) => Some(code),
        Some(CommandEnd::Exit { .. } | CommandEnd::Refused { .. }) | None => None,
    }
}

/// How an `exec` ended.
struct Ending {
    exit: Exit,
    reason: &'static str,
    signal: Option<u64>,
    /// The exit code of the guest command, if it has one; `exit` is this program's.
    guest_code: Option<i64>,
    /// A message for standard error; `None` if the guest's own output is enough.
    message: Option<String>,
}

impl Ending {
    fn of(
        args: &Exec,
        host: &Host,
        last_failure: &LastFailure,
        phase: Option<Phase>,
        rest: &Rest,
        unwritten: &[Stream],
    ) -> Ending {
        if let Some(why) = host.unreadable() {
            let reason = format!("cannot read standard input: {why}");
            return Ending::failed(Exit::Failed, reason);
        }
        if let Some((stream, kind)) = host.broken() {
            return Ending::broken(stream, kind);
        }
        if let Some(signal) = host.cancelled_for() {
            return Ending::cancelled(signal, None);
        }
        if host.has_input_left() {
            let reason = "standard input has more than the protocol carries: the rest was not \
                          sent, so the command did not get all of its input";
            return Ending::failed(Exit::Failed, reason.to_owned());
        }
        let closed = phase == Some(Phase::Terminal(End::Closed));
        let command_end = host.command_end().filter(|_| closed);
        if let Some(signal) = host.end_signal() {
            // The command was asked to end, but the guest or the reader of its output prevents
            // that.
            if command_end.is_none() {
                let message = format!("{}: the command may still run", last_failure.reason());
                return Ending::cancelled(signal, Some(message));
            }
            if !unwritten.is_empty() {
                return Ending::cancelled(signal, None);
            }
        }
        match command_end {
            Some(CommandEnd::Exit {
                timed_out: true, ..
            }) if args.deadline.is_none() => {
                let reason = "the guest reports that a deadline has passed, and none was set";
                Ending::failed(Exit::Failed, reason.to_owned())
            }
            Some(CommandEnd::Exit {
                timed_out: true, ..
            }) => Ending::deadline(args),
            Some(CommandEnd::Exit { code, signal, .. }) => Ending::exited(code, signal),
            Some(CommandEnd::Refused { code, message }) => Ending::refused(args, &code, &message),
            None if last_failure.is(FailureKind::Timeout) => Ending::deadline(args),
            None => {
                let reason = match rest {
                    Rest::Stuck(_) => "deadlock: every role waits for another one".to_owned(),
                    Rest::Done | Rest::Idle => last_failure.reason(),
                };
                Ending::failed(Exit::Failed, format!("the session failed: {reason}"))
            }
        }
    }

    fn exited(code: i64, signal: Option<u64>) -> Ending {
        // The guest's system may use another code for a signal; the signal decides.
        let of_signal = signal.and_then(|signal| i64::try_from(signal).ok());
        let code = of_signal.map_or(code, |signal| 128 + signal);
        let reason = match signal {
            Some(_) => "signalled",
            None => "exited",
        };
        let message = (u8::try_from(code).is_err()).then(|| {
            format!(
                "the guest's exit code is {code}, which is outside 0 to 255; the exit code here is \
                 255"
            )
        });
        Ending {
            exit: Exit::Guest(exit_code(code)),
            reason,
            signal,
            guest_code: None,
            message,
        }
    }

    /// The command was ended by a signal to this process.
    fn cancelled(signal: i32, message: Option<String>) -> Ending {
        Ending {
            exit: Exit::Guest(exit_code(128 + i64::from(signal))),
            reason: "cancelled",
            signal: u64::try_from(signal).ok(),
            guest_code: None,
            message,
        }
    }

    /// The reader of the output is gone: reported as if SIGPIPE had ended the command.
    fn broken(stream: Stream, kind: io::ErrorKind) -> Ending {
        if kind == io::ErrorKind::BrokenPipe {
            return Ending::cancelled(SIGPIPE, None);
        }
        Ending::failed(
            Exit::Failed,
            format!("cannot write to {}: {kind}", stream.name()),
        )
    }

    fn deadline(args: &Exec) -> Ending {
        let message = match args.deadline {
            Some(deadline) => {
                let seconds = deadline.milliseconds as f64 / 1000.0;
                format!("the command was ended: its deadline of {seconds} s has passed")
            }
            None => "the guest did not answer in time".to_owned(),
        };
        let exit = Exit::Deadline;
        Ending {
            exit,
            reason: "deadline",
            signal: None,
            guest_code: None,
            message: Some(message),
        }
    }

    fn refused(args: &Exec, code: &str, message: &str) -> Ending {
        let exit = match code {
            "not_found" => Exit::NotFound,
            "spawn_failed" | "denied" => Exit::NotRunnable,
            "timed_out" => return Ending::deadline(args),
            _ => Exit::Failed,
        };
        let command = args.command.first().map_or("", String::as_str);
        Ending::failed(
            exit,
            format!(
                "the guest did not run {}: {code}: {message}",
                quoted(command)
            ),
        )
    }

    fn failed(exit: Exit, message: String) -> Ending {
        Ending {
            exit,
            reason: "failed",
            signal: None,
            guest_code: None,
            message: Some(message),
        }
    }

    /// The same ending with a failed recording, which was reported when it failed.
    fn unrecorded(self) -> Ending {
        let ended = self
            .guest_code
            .map(|code| format!("the recording failed; the guest command ended with code {code}"));
        Ending {
            exit: Exit::Failed,
            reason: "recording_failed",
            message: self.message.or(ended),
            ..self
        }
    }

    /// Reports the ending. Once the command was asked to end, the report has a time limit, and
    /// nothing is written to a stream that is not read. The exit code does not depend on the reader
    /// of the report.
    fn report(
        self,
        output: &Output,
        is_ending: bool,
        unwritten: &[Stream],
    ) -> Result<Exit, Problem> {
        let exit = self.exit;
        let message = self.message.as_ref().map(|message| filter::lines(message));
        let document = json!({
            "event": "exit", "code": exit.code(), "reason": self.reason,
            "signal": self.signal, "guest_code": self.guest_code, "message": message,
        });
        let (output, message) = (
            *output,
            message.filter(|_| !unwritten.contains(&Stream::Stderr)),
        );
        let has_document = output.json && unwritten.is_empty();
        let report = move || {
            if let Some(message) = message {
                output.error(&message);
            }
            if has_document {
                output.document(&document)
            } else {
                Ok(())
            }
        };
        if is_ending {
            output::with_timeout(REPORT_TIMEOUT, move || drop(report()));
            return Ok(exit);
        }
        match report() {
            Ok(()) | Err(Problem::OutputClosed) => Ok(exit),
            Err(problem) => Err(problem),
        }
    }
}

/// Converts a guest command's exit code to this process's. Codes that do not fit a byte become 255,
/// so that only 0 means success.
fn exit_code(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_outside_a_byte_becomes_success() {
        let codes = [
            0,
            1,
            255,
            256,
            65_536,
            -1,
            -256,
            i64::MIN,
            i64::MAX,
            0xC000_0005,
        ];
        let bytes = codes.map(exit_code);
        assert_eq!(bytes, [0, 1, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(Ending::exited(0, Some(9)).exit, Exit::Guest(137));
        assert!(Ending::exited(256, None).message.is_some());
        assert!(Ending::exited(255, None).message.is_none());
    }

    #[test]
    fn variables_need_a_name() {
        let parse = |word: &str| word.parse::<Variable>().map(|v| (v.name, v.value)).ok();
        assert_eq!(parse("A=b=c"), Some(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(parse("A="), Some(("A".to_owned(), String::new())));
        assert_eq!(parse("=b"), None);
        assert_eq!(parse("A"), None);
    }
}
