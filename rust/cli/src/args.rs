//! What can be said on the command line. The comments here are the help.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use antiphon_machine::SchedulingPolicy;
use antiphon_machine::bounds::WAVE_STEPS_MAX;
use antiphon_machine::threaded::WORKERS_MAX;
use clap::builder::RangedI64ValueParser;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Run a command in a guest under a protocol, record the session, replay it without the guest.
#[derive(Debug, Parser)]
#[command(
    name = "antiphon",
    version,
    styles = STYLES,
    max_term_width = 100,
    infer_subcommands = false,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = exit::TABLE
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) style: StyleArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How every command speaks.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct StyleArgs {
    /// Speak JSON on standard output, one document per line
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    pub(crate) color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Exec(Exec),
    Cp(Cp),
    Replay(Replay),
    Show(Show),
    View(View),
    Diff(Diff),
    Certify(Certify),
    Check(Check),
    Project(Project),
    Compile(Compile),
    Fmt(Fmt),
    Run(Run),
    Agent(Agent),
    Completions(Completions),
    Man(Man),
}

/// Run a command in the guest
///
/// The guest's standard input, output and error are those of this command, live. The exit code is the guest
/// command's own, or 128 + N when signal N ended it. INT (Ctrl-C), TERM, HUP, QUIT, USR1, USR2 and WINCH are forwarded
/// to the guest command. The second signal that asks for an end cancels it, the third ends this program at once.
///
/// Standard input is read from the start, as `ssh` does: in a loop such as `while read line; do antiphon exec ...` the
/// command takes the input of the loop, unless `-n` is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon exec -- uname -a
  antiphon exec --record demo.rec -- sh -c 'echo out; echo err >&2; exit 3'
  tar c . | antiphon exec --agent unix:/run/guest.sock --cwd /srv -- tar x
  antiphon exec --deadline 2.5 --env LANG=C -- ./slow-test

Exit codes of its own, beside the guest command's:
  124  the deadline passed
  125  the session failed: no agent, agent lost, protocol broken, recording not written
  126  the command was found but could not be run
  127  the command was not found")]
pub(crate) struct Exec {
    #[command(flatten)]
    pub(crate) guest: GuestArgs,
    #[command(flatten)]
    pub(crate) recording: RecordArgs,
    /// The protocol of the session, in place of the shipped `guest_exec.anti`
    #[arg(long, value_name = "FILE")]
    pub(crate) protocol: Option<PathBuf>,
    /// Kill the command after SECONDS
    #[arg(long, value_name = "SECONDS")]
    pub(crate) deadline: Option<Seconds>,
    /// Cancel the command if it still runs SECONDS after a forwarded INT, TERM, HUP or QUIT
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub(crate) kill_after: Seconds,
    /// Do not read standard input; the command's is empty
    #[arg(long, short = 'n')]
    pub(crate) no_stdin: bool,
    /// Set a variable of the command's environment; may be repeated
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE")]
    pub(crate) env: Vec<Variable>,
    /// The command's working directory in the guest
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) cwd: Option<String>,
    /// Pass the guest's bytes to a terminal as they are, escape sequences included
    #[arg(long)]
    pub(crate) raw: bool,
    /// The command and its arguments; options of `exec` come before it
    #[arg(required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<String>,
}

/// Copy a file to or from the guest
///
/// Exactly one of SOURCE and TARGET begins with `guest:`. A target that is a directory, or ends with `/`, gets the
/// source's name. The file is written beside the target and renamed over it when it is whole: the target is the old
/// file or the whole new one. Only where the target is a symbolic link in the guest is the file that it leads to written
/// in place. A source that changes while it is copied is an error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon cp ./model.bin guest:/var/lib/model.bin
  antiphon cp --agent unix:/run/guest.sock guest:/var/log/messages .")]
pub(crate) struct Cp {
    #[command(flatten)]
    pub(crate) guest: GuestArgs,
    #[command(flatten)]
    pub(crate) recording: RecordArgs,
    /// What to copy
    #[arg(value_name = "SOURCE")]
    pub(crate) source: Place,
    /// Where to
    #[arg(value_name = "TARGET")]
    pub(crate) target: Place,
}

/// Where the guest is.
#[derive(Clone, Debug, Args)]
pub(crate) struct GuestArgs {
    /// Where the agent is: `stdio` starts one here, `unix:PATH` and `serial:PATH` connect to one
    #[arg(long, value_name = "AGENT", default_value = "stdio")]
    pub(crate) agent: AgentPlace,
    /// Report the guest as lost when it has not answered a ping for SECONDS; `off`: never [default: 60, on a serial line 15]
    #[arg(long, value_name = "SECONDS|off")]
    pub(crate) silence: Option<Silence>,
}

/// Whether and where a recording is written.
#[derive(Clone, Debug, Args)]
pub(crate) struct RecordArgs {
    /// Record in this new file
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Replace the recording if it is there
    #[arg(long, requires = "record")]
    pub(crate) overwrite: bool,
    /// End the run when the recording cannot be written any more
    #[arg(long, requires = "record")]
    pub(crate) record_required: bool,
}

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
    pub(crate) file: PathBuf,
    /// Stop before this step and show the state there
    #[arg(long, value_name = "N")]
    pub(crate) step: Option<u64>,
    /// Take every step as a wave, on so many threads, 1 to 1024; what comes of it is the same
    #[arg(long, value_name = "N", value_parser = workers())]
    pub(crate) threads: Option<u32>,
}

/// Show what a recording holds
///
/// A timeline for people, unless another form is asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon show demo.rec
  antiphon show demo.rec --mermaid
  antiphon show demo.rec --json | jq 'select(.event == \"sent\")'")]
pub(crate) struct Show {
    /// The recording
    pub(crate) file: PathBuf,
    /// A sequence diagram for Mermaid
    #[arg(long, conflicts_with = "json")]
    pub(crate) mermaid: bool,
    /// Tell everything, and not only messages, calls and failures
    #[arg(long, conflicts_with_all = ["mermaid", "json"])]
    pub(crate) all: bool,
    /// Removed: `antiphon view` writes the page
    #[arg(long, hide = true)]
    pub(crate) html: bool,
}

/// Replay a recording in the browser
///
/// Serves a page on this machine that runs the recording again, with the same machine, and shows it step by step: forth
/// and back, each role's automaton, effects and payloads. Its address has a secret in it; Ctrl-C ends the server. With
/// `--out` the page is one file, which needs no server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon view demo.rec
  antiphon view demo.rec --no-open --port 8080
  antiphon view demo.rec --out demo.html")]
pub(crate) struct View {
    /// The recording
    pub(crate) file: PathBuf,
    /// Write one self-contained page to this file instead
    #[arg(long, value_name = "PAGE", conflicts_with_all = ["no_open", "port"])]
    pub(crate) out: Option<PathBuf>,
    /// Only say the address, and open no browser
    #[arg(long)]
    pub(crate) no_open: bool,
    /// The port to serve on; any free one without
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) port: u16,
    /// The folder of the package that replays in the browser, which `cargo xtask wasm` builds
    #[arg(long, value_name = "FOLDER")]
    pub(crate) package: Option<PathBuf>,
}

/// Compare two recordings
///
/// Both are replayed side by side, and their conversations are compared: of each session, in the order of opening, the
/// messages from each role to each other one with label and payload, the calls of each role with arguments and results,
/// and how the session ended. The first difference is shown with its session, its place, the path of the field that
/// differs, a few equal messages before it, and both values cut around it.
///
/// Time is ignored: the clock, steps, deadlines, checkpoints, and how messages of different roles interleave. How a
/// stream is cut into pieces is ignored, too: consecutive `exec_output` messages are one run of bytes for each
/// `stream`, consecutive `stdin_data` messages are one. Refused inputs are not compared.
///
/// Input that only one recording has, sent after the point at which the command of the other one ended (`detach`), is
/// not compared, nor is its `stdin_eof`: how much is sent by then depends on timing.
///
/// Headers that differ (tool, configuration, notes) are reported as notes, not as a difference.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon diff yesterday.rec today.rec
  antiphon diff yesterday.rec today.rec --time
  antiphon diff yesterday.rec today.rec --exact

Exit codes:
  0    they are equal, and both are whole
  1    they differ, or one does not replay
  3    equal up to where a recording ends too early
  4    equal up to where a recording is damaged
  125  not decided: one recording runs more than 64 MiB ahead of the other")]
pub(crate) struct Diff {
    /// One recording
    pub(crate) left: PathBuf,
    /// The other
    pub(crate) right: PathBuf,
    /// Compare entry by entry, with time, steps and pieces as they are
    #[arg(long, conflicts_with = "time")]
    pub(crate) exact: bool,
    /// Compare the clock of each message, too, and each advance of the clock
    #[arg(long)]
    pub(crate) time: bool,
}

/// Hold a recording against the Lean model
///
/// The recording is replayed here, and the Lean model does its run again: results, events, requests and the whole state
/// of every step are compared. With `--kernel` the recording becomes a theorem, which says that it is a run of the model, and
/// Lean's kernel checks it: no interpreter and no compiler is trusted for it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon certify demo.rec
  antiphon certify demo.rec --json
  antiphon certify demo.rec --kernel --output Demo.lean

Needs Lean: `cargo xtask setup` gets it for the checkout that this program was built in, and
ANTIPHON_LEAN names a program to use in its place. Exit codes:
  1  the recording is not a run, or the kernel and the model do not agree
  5  there is no Lean to ask")]
pub(crate) struct Certify {
    /// The recording
    pub(crate) file: PathBuf,
    /// Have Lean's kernel check a theorem which says that the recording is a run of the model
    #[arg(long)]
    pub(crate) kernel: bool,
    /// Keep the theorem in this file, whether it checks or not
    #[arg(long, short, value_name = "FILE.lean", requires = "kernel")]
    pub(crate) output: Option<PathBuf>,
    /// When kernel and model do not agree, keep the case as FOLDER/NAME.cbor, and NAME.diag for people
    #[arg(long, value_name = "FOLDER/NAME")]
    pub(crate) fixture: Option<PathBuf>,
}

/// Check protocols: names, shape, projection, safety, bounds
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon check protocols/*.anti
  antiphon check two_buyer.anti --json
  antiphon compile two_buyer.anti -o two_buyer.img --certificate two_buyer.cert
  antiphon check two_buyer.img --certificate two_buyer.cert --lean")]
pub(crate) struct Check {
    /// Protocol files; `-` is standard input. With `--certificate`, one image
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The safety certificate of an image: is it one, of this image? Needs no source and explores nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// Have the model's checker hold it too, of which it is proved that what it accepts is safe. Needs Lean
    #[arg(long, requires = "certificate")]
    pub(crate) lean: bool,
}

/// Show what one role may say and hear
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon project two_buyer.scr --role Seller
  antiphon project two_buyer.scr --role Seller --dot | dot -Tsvg > seller.svg
  antiphon project two_buyer.scr --mermaid")]
pub(crate) struct Project {
    /// The protocol file; `-` is standard input
    pub(crate) file: PathBuf,
    /// The protocol of the file, when it has several
    #[arg(long, value_name = "NAME")]
    pub(crate) protocol: Option<String>,
    /// The role; without one, all of them
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// As a Graphviz graph
    #[arg(long, conflicts_with = "mermaid")]
    pub(crate) dot: bool,
    /// As a Mermaid state diagram; without a role, the protocol as a sequence diagram
    #[arg(long)]
    pub(crate) mermaid: bool,
}

/// Compile a protocol to an image
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon compile two_buyer.scr --disassemble
  antiphon compile two_buyer.scr --output two_buyer.image")]
pub(crate) struct Compile {
    /// The protocol file, `-` for standard input, or an image
    pub(crate) file: PathBuf,
    /// The protocol of the file, when it has several
    #[arg(long, value_name = "NAME")]
    pub(crate) protocol: Option<String>,
    /// Print the programs as text
    #[arg(long)]
    pub(crate) disassemble: bool,
    /// Write the image, as deterministic CBOR, to this file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write the safety certificate to this file; `check` holds the image against it
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
}

/// Format protocol files in place
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon fmt protocols/*.anti
  antiphon fmt --check protocols/*.anti
  antiphon fmt - < draft.anti")]
pub(crate) struct Fmt {
    /// Change nothing; say which files would change, and end with 1 if any would
    #[arg(long)]
    pub(crate) check: bool,
    /// Protocol files; `-` formats standard input to standard output
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// Run a protocol here, with outcomes from a script or from you
///
/// Whatever the protocol asks of the hosts of its roles is answered by the script, or, without one, by lines that
/// you type. `docs/cli.md` has the form of the script.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon run two_buyer.scr --script happy.script
  antiphon run two_buyer.scr --script happy.script --policy round-robin --record happy.rec
  antiphon run two_buyer.scr --script happy.script --sessions 100 --threads 4 --explain
  antiphon run two_buyer.scr")]
pub(crate) struct Run {
    /// The protocol file
    pub(crate) file: PathBuf,
    /// The protocol of the file, when it has several
    #[arg(long, value_name = "NAME")]
    pub(crate) protocol: Option<String>,
    /// The script; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// Which role steps next
    #[arg(long, default_value = "cooperative", value_parser = policy_parser())]
    pub(crate) policy: SchedulingPolicy,
    /// The priority of a role under the policy `priority`, 0 to 255; may be repeated
    #[arg(long = "priority", value_name = "ROLE=N")]
    pub(crate) priorities: Vec<Priority>,
    #[command(flatten)]
    pub(crate) recording: RecordArgs,
    /// Tell everything, and not only messages, calls and failures
    #[arg(long)]
    pub(crate) all: bool,
    /// End the run after so many steps
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    pub(crate) steps_max: u64,
    /// Open so many sessions, 1 to 65536, each with a copy of the script of its own
    #[arg(
        long,
        value_name = "K",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(SESSIONS_MAX)),
        help_heading = THREADS
    )]
    pub(crate) sessions: u32,
    /// Run the sessions in waves, on so many threads, 1 to 1024
    #[arg(long, value_name = "N", value_parser = workers(), help_heading = THREADS)]
    pub(crate) threads: Option<u32>,
    /// Step at most so many sessions in a wave [default: 4096]
    #[arg(
        long,
        value_name = "W",
        requires = "threads",
        value_parser = in_wave(),
        help_heading = THREADS
    )]
    pub(crate) width: Option<u32>,
    /// Step a session at most so many times in a wave [default: 256]
    #[arg(
        long,
        value_name = "Q",
        requires = "threads",
        value_parser = in_wave(),
        help_heading = THREADS
    )]
    pub(crate) quantum: Option<u32>,
    /// Tell at the end what the waves were, and why they were no wider
    #[arg(long, requires = "threads", help_heading = THREADS)]
    pub(crate) explain: bool,
}

/// Sessions of a run: what is told of more of them nobody reads.
const SESSIONS_MAX: u32 = 1 << 16;

const THREADS: &str = "Sessions and threads";

/// Be the agent: carry out what a host asks
///
/// The same as the program `antiphon-agent`. Serves hosts until SIGTERM ends it in good order: its commands are ended and
/// its socket is removed. With `--stdio` it serves one host and ends with it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon agent --unix /run/guest.sock
  antiphon agent --serial /dev/vport0p1")]
pub(crate) struct Agent {
    /// Serve the host at standard input and output (the default)
    #[arg(long, conflicts_with_all = ["unix", "serial"])]
    pub(crate) stdio: bool,
    /// Listen on a Unix socket
    #[arg(long, value_name = "PATH", conflicts_with = "serial")]
    pub(crate) unix: Option<PathBuf>,
    /// Serve the host at a virtio-serial port or another character device
    #[arg(long, value_name = "PATH")]
    pub(crate) serial: Option<PathBuf>,
    /// Hosts that the socket takes at once; one more is refused as `busy` [default: 16]
    #[arg(long, value_name = "N", requires = "unix")]
    pub(crate) hosts_max: Option<NonZeroUsize>,
}

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon completions bash > ~/.local/share/bash-completion/completions/antiphon
  antiphon completions zsh > ~/.zfunc/_antiphon")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Print the manual page
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon man > ~/.local/share/man/man1/antiphon.1
  antiphon man exec | man -l -")]
pub(crate) struct Man {
    /// The command whose page to print; without one, the page of `antiphon`
    pub(crate) command: Option<String>,
}

/// Where an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentPlace {
    /// This program, started as a child.
    Stdio,
    /// A Unix socket that it, or a virtual machine's port, listens on.
    Unix(PathBuf),
    /// A character device.
    Serial(PathBuf),
}

/// A path here or in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Here.
    Here(PathBuf),
    /// In the guest.
    Guest(String),
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds {
    pub(crate) milliseconds: u64,
}

/// How long a guest may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// For ever.
    Off,
    /// That long.
    After(Seconds),
}

/// A variable of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// The priority of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Priority {
    pub(crate) role: String,
    pub(crate) priority: u8,
}

/// Why a word cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordError {
    #[error("expected `stdio`, `unix:PATH` or `serial:PATH`")]
    Agent,
    #[error("a path must follow `{0}`")]
    NoPath(&'static str),
    #[error("expected a number of seconds from 0.001 to {max}, such as `2.5`")]
    Seconds { max: u64 },
    #[error("expected NAME=VALUE with a name that is not empty")]
    Variable,
    #[error("expected ROLE=N with N from 0 to 255")]
    Priority,
}

impl FromStr for AgentPlace {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        let path = |prefix: &'static str| match word.strip_prefix(prefix) {
            Some("") => Some(Err(WordError::NoPath(prefix))),
            Some(path) => Some(Ok(PathBuf::from(path))),
            None => None,
        };
        match (word, path("unix:"), path("serial:")) {
            ("stdio", ..) => Ok(AgentPlace::Stdio),
            (_, Some(path), _) => path.map(AgentPlace::Unix),
            (_, _, Some(path)) => path.map(AgentPlace::Serial),
            (_, None, None) => Err(WordError::Agent),
        }
    }
}

impl FromStr for Place {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        match word.strip_prefix("guest:") {
            Some("") => Err(WordError::NoPath("guest:")),
            Some(path) => Ok(Place::Guest(path.to_owned())),
            None => Ok(Place::Here(PathBuf::from(word))),
        }
    }
}

impl Seconds {
    /// Some 49 days: the guest link counts milliseconds in 32 bits.
    const MAX: u64 = u32::MAX as u64 / 1000;
}

impl FromStr for Silence {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        match word {
            "off" => Ok(Silence::Off),
            word => Ok(Silence::After(word.parse()?)),
        }
    }
}

impl FromStr for Seconds {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        let outside = WordError::Seconds { max: Seconds::MAX };
        let seconds: f64 = word
            .parse()
            .map_err(|_| WordError::Seconds { max: Seconds::MAX })?;
        if !(0.001..=Seconds::MAX as f64).contains(&seconds) {
            return Err(outside);
        }
        Ok(Seconds {
            milliseconds: (seconds * 1000.0).round() as u64,
        })
    }
}

impl FromStr for Variable {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Variable {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            Some(_) | None => Err(WordError::Variable),
        }
    }
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

/// A number of threads.
fn workers() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=WORKERS_MAX as i64)
}

/// A number of sessions of a wave, or of steps of each.
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_waves_that_help_tells_of_are_those_of_the_driver() {
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

    #[test]
    fn places_of_agents() {
        let parse = |word: &str| word.parse::<AgentPlace>();
        assert_eq!(parse("stdio"), Ok(AgentPlace::Stdio));
        assert_eq!(
            parse("unix:/a:b"),
            Ok(AgentPlace::Unix(PathBuf::from("/a:b")))
        );
        assert_eq!(
            parse("serial:/dev/x"),
            Ok(AgentPlace::Serial(PathBuf::from("/dev/x")))
        );
        assert_eq!(parse("unix:"), Err(WordError::NoPath("unix:")));
        assert_eq!(parse("tcp:1.2.3.4"), Err(WordError::Agent));
    }

    #[test]
    fn seconds_are_positive_and_bounded() {
        let parse = |word: &str| word.parse::<Seconds>().map(|s| s.milliseconds).ok();
        assert_eq!(parse("2.5"), Some(2500));
        assert_eq!(parse("0.001"), Some(1));
        for wrong in ["0", "-1", "NaN", "inf", "1e300", "", "1s"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
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
