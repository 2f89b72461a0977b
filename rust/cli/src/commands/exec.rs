//! `antiphon exec`: the main job.

use std::io;
use std::time::Duration;

use antiphon_guest::driver::{Binding, Driver, Guests};
use antiphon_guest::link::GuestLink;
use antiphon_guest::protocols::GUEST_EXEC;
use antiphon_language::NoModules;
use antiphon_language::source::Source;
use antiphon_machine::{
    EffectHandler, End, FailureKind, Phase, ProtocolMachineConfig, Rest, Sink, VerifiedImage,
};
use serde_json::json;
use signal_hook::consts::{SIGPIPE, SIGWINCH};

use crate::args::Exec;
use crate::ends::Ends;
use crate::exit::Exit;
use crate::filter;
use crate::guest;
use crate::host::{Ending, FORWARDED, Host, Job, OWNER, forwards};
use crate::interrupt::on_signals;
use crate::output::{self, BAD, REPORTED_WITHIN, Voice};
use crate::problem::Problem;
use crate::protocol::{Protocol, ProtocolFile};
use crate::recording::{Recording, header};
use crate::streams::{Manner, Stream};
use crate::telling::GUEST_ROLES_NOTE;

/// The roles that are the guest's, by the names that the shipped protocol gives them.
const GUEST_ROLES: [&str; 2] = ["Agent", "Sink"];

/// The name of the shipped protocol in diagnostics.
const SHIPPED: &str = "guest_exec.anti";

pub(crate) fn run(args: &Exec, voice: &Voice) -> Result<Exit, Problem> {
    let protocol = protocol(args)?;
    let image = protocol.image()?;
    // Checked before an agent is started and a recording is created: nothing is run for a protocol that does not fit.
    let host = Host::new(job(args), &image, &GUEST_ROLES)?;
    Binding::named(&image, guest_roles(&image), guest_interfaces(&image)).map_err(Problem::Open)?;
    let link = guest::open(&args.guest)?;
    let config = ProtocolMachineConfig::default();
    let header = || header(&config, &protocol.text, notes(args, &image));
    let mut recording = Recording::begin(&args.recording, header, voice)?;
    if let Some(recording) = &mut recording {
        let host = host.clone();
        recording.stop_by(move || host.end_unrecorded());
    }
    let mut driver = Driver::new(config, host.clone(), (recording, Ends::default()));
    host.reach(driver.remote());
    let ran = session(&image, args, voice, &host, &mut driver, link);

    let kernel = driver.kernel().clone();
    let (_, (recording, ends), links) = driver.into_parts();
    // First the recording, which is whole now, and then what may have to be waited for.
    let is_recorded = recording.is_none_or(|recording| recording.finish(&kernel));
    let unwritten = host.finish();
    links.into_iter().for_each(GuestLink::close);
    let rest = ran.map_err(|problem| problem.recorded(is_recorded))?;
    let phase = kernel.sessions().first().map(|session| session.phase());
    let mut told = Told::of(args, &host, &ends, phase, &rest, &unwritten);
    told.guest_code = guest_code(&host);
    if !is_recorded {
        told = told.unrecorded();
    }
    let told = told.tell(voice, host.is_called_off(), &unwritten);
    told.map_err(|problem| problem.recorded(is_recorded))
}

/// Opens the session and runs it to its end.
fn session<A: EffectHandler, S: Sink>(
    image: &std::sync::Arc<VerifiedImage>,
    args: &Exec,
    voice: &Voice,
    host: &Host,
    driver: &mut Driver<A, S>,
    link: GuestLink,
) -> Result<Rest, Problem> {
    let guest = driver.add_guest(link);
    let guests = Guests::new()
        .roles(guest, guest_roles(image))
        .interfaces(guest, guest_interfaces(image));
    host.connect(manners(args, voice))
        .map_err(Problem::Threads)?;
    let session = driver.open(image, OWNER, &guests).map_err(Problem::Open)?;
    host.opened(session);
    // Where nothing can be forwarded, a window may change its size all the same.
    let forwards = forwards(image);
    let signals = FORWARDED
        .into_iter()
        .filter(|signal| forwards || *signal != SIGWINCH);
    let signalled = host.clone();
    on_signals(signals, move |signal| signalled.signal(signal)).map_err(Problem::Threads)?;
    Ok(driver.run())
}

/// The roles of the protocol that are the guest's.
fn guest_roles(image: &VerifiedImage) -> impl Iterator<Item = &'static str> {
    let has = |name: &str| image.image().roles.iter().any(|role| role.name == name);
    GUEST_ROLES.into_iter().filter(move |name| has(name))
}

/// Whatever operations the protocol names are the guest's; `host` is what the roles' hosts are asked through.
fn guest_interfaces(image: &VerifiedImage) -> impl Iterator<Item = &str> {
    let names = image.image().interfaces.iter();
    let names = names.map(|interface| interface.name.as_str());
    names.filter(|name| *name != "host")
}

fn protocol(args: &Exec) -> Result<Protocol, Problem> {
    let file = match &args.protocol {
        Some(path) => ProtocolFile::read(path)?.apart_from(&args.recording)?,
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
        kill_after: Duration::from_millis(args.kill_after.milliseconds),
    }
}

/// What a person who reads the recording should know, besides what is in it.
fn notes(args: &Exec, image: &VerifiedImage) -> Vec<(String, String)> {
    let mut notes = vec![("command".to_owned(), "exec".to_owned())];
    notes.extend(guest::notes(&args.guest));
    let roles: Vec<&str> = guest_roles(image).collect();
    notes.push((GUEST_ROLES_NOTE.to_owned(), roles.join(", ")));
    notes
}

fn manners(args: &Exec, voice: &Voice) -> [Manner; 2] {
    let of = |terminal| match (voice.json, terminal && !args.raw) {
        (true, _) => Manner::Json,
        (false, true) => Manner::Filtered,
        (false, false) => Manner::Plain,
    };
    [of(voice.terminal), of(voice.terminal_stderr)]
}

/// The code that the guest command ended with; none when it did not run or a signal ended it.
fn guest_code(host: &Host) -> Option<i64> {
    match host.ending() {
        Some(Ending::Exit {
            code, signal: None, ..
        }) => Some(code),
        Some(Ending::Exit { .. } | Ending::Refused { .. }) | None => None,
    }
}

/// How an `exec` ended.
struct Told {
    exit: Exit,
    reason: &'static str,
    signal: Option<u64>,
    /// The code that the guest command ended with, if one did; `exit` is this program's.
    guest_code: Option<i64>,
    /// A message for standard error; `None` when the guest's own output is enough.
    message: Option<String>,
}

impl Told {
    fn of(
        args: &Exec,
        host: &Host,
        ends: &Ends,
        phase: Option<Phase>,
        rest: &Rest,
        unwritten: &[Stream],
    ) -> Told {
        if let Some(why) = host.unreadable() {
            let reason = format!("cannot read standard input: {why}");
            return Told::failed(Exit::Failed, reason);
        }
        if let Some((stream, kind)) = host.broken() {
            return Told::broken(stream, kind);
        }
        if let Some(signal) = host.cancelled_for() {
            return Told::cancelled(signal, None);
        }
        if host.has_input_left() {
            let reason = "standard input has more than the protocol carries: the rest was not sent, so the command \
                          did not get all of its input";
            return Told::failed(Exit::Failed, reason.to_owned());
        }
        let closed = phase == Some(Phase::Terminal(End::Closed));
        let ending = host.ending().filter(|_| closed);
        if let Some(signal) = host.asked_to_end() {
            // It was asked to end, and neither the guest nor the reader of its output lets it.
            if ending.is_none() {
                let message = format!("{}: the command may still run", ends.reason());
                return Told::cancelled(signal, Some(message));
            }
            if !unwritten.is_empty() {
                return Told::cancelled(signal, None);
            }
        }
        match ending {
            Some(Ending::Exit {
                timed_out: true, ..
            }) if args.deadline.is_none() => {
                let reason = "the guest reports that a deadline has passed, and none was set";
                Told::failed(Exit::Failed, reason.to_owned())
            }
            Some(Ending::Exit {
                timed_out: true, ..
            }) => Told::deadline(args),
            Some(Ending::Exit { code, signal, .. }) => Told::exited(code, signal),
            Some(Ending::Refused { code, message }) => Told::refused(args, &code, &message),
            None if ends.is(FailureKind::Timeout) => Told::deadline(args),
            None => {
                let reason = match rest {
                    Rest::Stuck(_) => "no role can go on: the protocol waits for itself".to_owned(),
                    Rest::Done | Rest::Idle => ends.reason(),
                };
                Told::failed(Exit::Failed, format!("the session failed: {reason}"))
            }
        }
    }

    fn exited(code: i64, signal: Option<u64>) -> Told {
        // A guest of another system may have another code for a signal; the signal decides.
        let of_signal = signal.and_then(|signal| i64::try_from(signal).ok());
        let code = of_signal.map_or(code, |signal| 128 + signal);
        let reason = match signal {
            Some(_) => "signalled",
            None => "exited",
        };
        let message = (u8::try_from(code).is_err()).then(|| {
            format!(
                "the guest's exit code is {code}, which is outside 0 to 255; the exit code here is 255"
            )
        });
        Told {
            exit: Exit::Guest(exit_code(code)),
            reason,
            signal,
            guest_code: None,
            message,
        }
    }

    /// The command was ended because of a signal to this process.
    fn cancelled(signal: i32, message: Option<String>) -> Told {
        Told {
            exit: Exit::Guest(exit_code(128 + i64::from(signal))),
            reason: "cancelled",
            signal: u64::try_from(signal).ok(),
            guest_code: None,
            message,
        }
    }

    /// The reader of the output is gone: as if the command had been ended by writing to a closed pipe.
    fn broken(stream: Stream, kind: io::ErrorKind) -> Told {
        if kind == io::ErrorKind::BrokenPipe {
            return Told::cancelled(SIGPIPE, None);
        }
        Told::failed(
            Exit::Failed,
            format!("cannot write to {}: {kind}", stream.name()),
        )
    }

    fn deadline(args: &Exec) -> Told {
        let message = match args.deadline {
            Some(deadline) => {
                let seconds = deadline.milliseconds as f64 / 1000.0;
                format!("the command was ended: its deadline of {seconds} s has passed")
            }
            None => "the guest did not answer in time".to_owned(),
        };
        let exit = Exit::Deadline;
        Told {
            exit,
            reason: "deadline",
            signal: None,
            guest_code: None,
            message: Some(message),
        }
    }

    fn refused(args: &Exec, code: &str, message: &str) -> Told {
        let exit = match code {
            "not_found" => Exit::NotFound,
            "spawn_failed" | "denied" => Exit::NotRunnable,
            "timed_out" => return Told::deadline(args),
            _ => Exit::Failed,
        };
        let command = args.command.first().map_or("", String::as_str);
        Told::failed(
            exit,
            format!("the guest did not run `{command}`: {code}: {message}"),
        )
    }

    fn failed(exit: Exit, message: String) -> Told {
        Told {
            exit,
            reason: "failed",
            signal: None,
            guest_code: None,
            message: Some(message),
        }
    }

    /// The same, of a session whose recording failed, which was reported when it did.
    fn unrecorded(self) -> Told {
        let ended = self
            .guest_code
            .map(|code| format!("the recording failed; the guest command ended with code {code}"));
        Told {
            exit: Exit::Failed,
            reason: "recording_failed",
            message: self.message.or(ended),
            ..self
        }
    }

    /// Reports the end. Once the command was called off, readers that do not read are not waited for, and nothing is
    /// written to a stream that takes nothing. The exit code is that of the command, also when its reader is gone.
    fn tell(
        self,
        voice: &Voice,
        is_called_off: bool,
        unwritten: &[Stream],
    ) -> Result<Exit, Problem> {
        let exit = self.exit;
        let message = self.message.as_ref().map(|message| filter::lines(message));
        let document = json!({
            "event": "exit", "code": exit.code(), "reason": self.reason,
            "signal": self.signal, "guest_code": self.guest_code, "message": message,
        });
        let (voice, message) = (
            *voice,
            message.filter(|_| !unwritten.contains(&Stream::Stderr)),
        );
        let has_document = voice.json && unwritten.is_empty();
        let report = move || {
            if let Some(message) = message {
                voice.remark(BAD, "antiphon:", &message);
            }
            match has_document {
                true => voice.document(&document),
                false => Ok(()),
            }
        };
        if is_called_off {
            output::within(REPORTED_WITHIN, move || drop(report()));
            return Ok(exit);
        }
        match report() {
            Ok(()) | Err(Problem::OutputClosed) => Ok(exit),
            Err(problem) => Err(problem),
        }
    }
}

/// This process's exit code for a guest command's code. Codes that do not fit a byte become 255, so that only 0 means
/// success.
fn exit_code(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_of_another_system_becomes_success() {
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
        let ends = codes.map(exit_code);
        assert_eq!(ends, [0, 1, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(Told::exited(0, Some(9)).exit, Exit::Guest(137));
        assert!(Told::exited(256, None).message.is_some());
        assert!(Told::exited(255, None).message.is_none());
    }
}
