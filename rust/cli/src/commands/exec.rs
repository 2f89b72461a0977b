//! `antiphon exec`: the main job.

use std::io;

use antiphon_guest::driver::{Binding, Driver, Guests};
use antiphon_guest::link::GuestLink;
use antiphon_guest::protocols::GUEST_EXEC;
use antiphon_language::NoModules;
use antiphon_language::source::Source;
use antiphon_machine::{
    EffectHandler, End, FailureKind, Phase, ProtocolMachineConfig, Rest, Sink, VerifiedImage,
};
use serde_json::json;
use signal_hook::consts::SIGPIPE;

use crate::args::Exec;
use crate::ends::Ends;
use crate::exit::Exit;
use crate::filter;
use crate::guest;
use crate::host::{Ending, Host, Job, OWNER};
use crate::interrupt::on_signal;
use crate::output::{BAD, Voice};
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
    // Before an agent is started and a recording begun: what cannot be bound is not run at all.
    Binding::named(&image, guest_roles(&image), guest_interfaces(&image)).map_err(Problem::Open)?;
    let link = guest::open(&args.guest.agent)?;
    let config = ProtocolMachineConfig::default();
    let recording = match &args.record {
        Some(path) => {
            let header = header(&config, &protocol.text, notes(args, &image));
            Some(Recording::create(path, args.overwrite, &header)?)
        }
        None => None,
    };
    let (keep, recorder) = recording.map(Recording::into_parts).unzip();
    let host = Host::new(job(args));
    let mut driver = Driver::new(config, host.clone(), (recorder, Ends::default()));
    host.reach(driver.remote());
    let ran = session(&image, args, voice, &host, &mut driver, link);

    let kernel = driver.kernel().clone();
    let (_, (recorder, ends)) = driver.close();
    host.finish();
    if let Some((keep, recorder)) = keep.zip(recorder) {
        keep.finish(recorder, &kernel)?;
    }
    let rest = ran?;
    let phase = kernel.sessions().first().map(|session| session.phase());
    let told = Told::of(args, &host, &ends, phase, &rest);
    told.tell(voice)
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
    let interrupted = host.clone();
    on_signal(move |signal| interrupted.interrupt(signal)).map_err(Problem::Threads)?;
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
        Some(path) => ProtocolFile::read(path)?,
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
    }
}

/// What a person who reads the recording should know, besides what is in it.
fn notes(args: &Exec, image: &VerifiedImage) -> Vec<(String, String)> {
    let agent = guest::text(&args.guest.agent);
    let roles: Vec<&str> = guest_roles(image).collect();
    vec![
        ("command".to_owned(), "exec".to_owned()),
        ("agent".to_owned(), agent),
        (GUEST_ROLES_NOTE.to_owned(), roles.join(", ")),
    ]
}

fn manners(args: &Exec, voice: &Voice) -> [Manner; 2] {
    let of = |terminal| match (voice.json, terminal && !args.raw) {
        (true, _) => Manner::Json,
        (false, true) => Manner::Filtered,
        (false, false) => Manner::Plain,
    };
    [of(voice.terminal), of(voice.terminal_stderr)]
}

/// How an `exec` ended.
struct Told {
    exit: Exit,
    reason: &'static str,
    signal: Option<u64>,
    /// What a person should be told; nothing when the guest has said it all.
    message: Option<String>,
}

impl Told {
    fn of(args: &Exec, host: &Host, ends: &Ends, phase: Option<Phase>, rest: &Rest) -> Told {
        if let Some((stream, kind)) = host.broken() {
            return Told::broken(stream, kind);
        }
        if let Some(signal) = host.interrupted() {
            return Told {
                exit: Exit::Guest(low(128 + i64::from(signal))),
                reason: "cancelled",
                signal: u64::try_from(signal).ok(),
                message: None,
            };
        }
        let closed = phase == Some(Phase::Terminal(End::Closed));
        match host.ending() {
            Some(Ending::Exit {
                timed_out: true, ..
            }) if closed => Told::deadline(args),
            Some(Ending::Exit { code, signal, .. }) if closed => Told {
                exit: Exit::Guest(low(code)),
                reason: if signal.is_some() {
                    "signalled"
                } else {
                    "exited"
                },
                signal,
                message: None,
            },
            Some(Ending::Refused { code, message }) if closed => {
                Told::refused(args, &code, &message)
            }
            Some(_) | None if ends.is(FailureKind::Timeout) => Told::deadline(args),
            Some(_) | None => {
                let reason = match rest {
                    Rest::Stuck(_) => "nobody can go on: the protocol waits for itself".to_owned(),
                    Rest::Done | Rest::Idle => ends.reason(),
                };
                Told::failed(Exit::Failed, format!("the session failed: {reason}"))
            }
        }
    }

    /// Whoever read the output is gone: as if the command had been ended by writing to a closed pipe.
    fn broken(stream: Stream, kind: io::ErrorKind) -> Told {
        if kind == io::ErrorKind::BrokenPipe {
            return Told {
                exit: Exit::Guest(low(128 + i64::from(SIGPIPE))),
                reason: "cancelled",
                signal: u64::try_from(SIGPIPE).ok(),
                message: None,
            };
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
            message: Some(message),
        }
    }

    fn tell(&self, voice: &Voice) -> Result<Exit, Problem> {
        let message = self.message.as_ref().map(|message| filter::lines(message));
        if let Some(message) = &message {
            voice.remark(BAD, "antiphon:", message);
        }
        if voice.json {
            voice.document(&json!({
                "event": "exit", "code": self.exit.code(), "reason": self.reason,
                "signal": self.signal, "message": message,
            }))?;
        }
        Ok(self.exit)
    }
}

/// The low byte of an exit code, which is all that a process can end with.
fn low(code: i64) -> u8 {
    code.to_le_bytes()[0]
}
