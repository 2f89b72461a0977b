//! Errors of commands, grouped by what is to blame. Each group determines its exit codes.

use std::io;
use std::path::{Path, PathBuf};

use antiphon_bridge::certify::{JudgeError, TooLarge, brief};
use antiphon_bridge::fixture::FixtureError;
use antiphon_bridge::oracle::OracleError;
use antiphon_bridge::recording::RecordingError as CaseError;
use antiphon_guest::agent::AgentError;
use antiphon_guest::driver::OpenError as SessionOpenError;
use antiphon_guest::transport::TransportError;
use antiphon_machine::bounds::WAVE_STEPS_MAX;
use antiphon_machine::safety::CertificateError;
use antiphon_machine::threaded::DriverError;
use antiphon_machine::{ReadError, Refusal, VerifyError};
use antiphon_record::{CheckpointError, OpenError, RecordError, ReplayError, Tail};

use crate::exit::Exit;
use crate::filter::{self, quoted};
use crate::host::support::UnsupportedProtocol;
use crate::last_failure::LastFailure;
use crate::output::Output;
use crate::safety::NotAdmitted;
use crate::script::ScriptError;
use crate::tail;

/// Why a command failed. The message says what was tried and why it failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The reader of standard output closed it. This is not an error.
    #[error("standard output was closed")]
    OutputClosed,
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error(transparent)]
    Lean(#[from] LeanError),
    #[error(transparent)]
    Guest(#[from] GuestError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    System(#[from] SystemError),
    /// The command's recording failed as well, and that was reported when it happened.
    #[error("{0}")]
    Unrecorded(Box<Problem>),
    /// A copy failed, and its temporary file in the guest could not be removed.
    #[error("{problem}; `guest:{file}` may be left behind")]
    LeftBehind { problem: Box<Problem>, file: String },
}

/// The command line does not fit the files that it names.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error(
        "`show --html` was removed; `antiphon view {} --out FILE` writes a page that replays the \
         recording",
        path.display()
    )]
    HtmlRemoved { path: PathBuf },
    #[error("there is no command {}; the commands are {known}", quoted(got))]
    NoSuchCommand { got: String, known: String },
    #[error("`{file}` has several protocols; choose one with `--protocol`: {known}")]
    WhichProtocol { file: String, known: String },
    #[error("`{protocol}` has no role {}; it has {known}", quoted(got))]
    NoSuchRole {
        protocol: String,
        got: String,
        known: String,
    },
    #[error("{} is the file that is compiled; write to another file", quoted(path.display()))]
    OverInput { path: PathBuf },
    #[error("{} is the recording; write to another file", quoted(path.display()))]
    OverRecording { path: PathBuf },
    #[error(
        "{} is a file that the command itself reads or writes; record in another file",
        quoted(path.display())
    )]
    RecordingOver { path: PathBuf },
    #[error("`--to-checkpoint` takes a step and a file, got {got} as the step")]
    CheckpointStep { got: String },
    #[error("{}: {error}", quoted(path.display()))]
    NoCheckpoint {
        path: PathBuf,
        error: Box<CheckpointError>,
    },
    #[error(
        "step {step} comes before the checkpoint; use a step from {from} on, or replay without \
         `--from-checkpoint`"
    )]
    StepNotReplayed { step: u64, from: u64 },
    #[error(
        "the replay continues from step {from}, so it cannot write the checkpoint at step {step}: \
         use a step after {from}, or replay without `--from-checkpoint`"
    )]
    CheckpointPassed { step: u64, from: u64 },
    #[error("`--priority` has no effect under the policy `{policy}`; add `--policy priority`")]
    Priority { policy: &'static str },
    #[error("`{option}` has no effect with `--json`; use only one of them")]
    WithJson { option: &'static str },
    #[error("`{command}` prints no JSON; leave `--json` out")]
    NoJson { command: &'static str },
    #[error(
        "{} is an image and has one protocol, so `--protocol` has no effect; leave it out",
        quoted(path.display())
    )]
    ProtocolOfImage { path: PathBuf },
    #[error(
        "{} is an image; a certificate is made when a protocol file is compiled, so give that file",
        quoted(path.display())
    )]
    CertificateOfImage { path: PathBuf },
    #[error(
        "{} is not a regular file, so it cannot be formatted in place; `--check` can read it, and \
         `-` formats standard input",
        quoted(path.display())
    )]
    FormatInPlace { path: PathBuf },
    #[error("a certificate belongs to one image, got {got} files")]
    OneImage { got: usize },
    #[error("{sessions} sessions need `--script`: answers can be typed for one session only")]
    InteractiveSessions { sessions: u32 },
    #[error(
        "a wave of {width} sessions with {quantum} steps each has more than {WAVE_STEPS_MAX} \
         steps: lower `--width` or `--quantum`"
    )]
    Wave { width: u32, quantum: u32 },
    #[error(
        "expected exactly one path in the guest, such as `guest:/etc/hostname`, and one path here"
    )]
    CopyDirection,
}

/// A file that the command reads is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// The report has the excerpts and is printed as it is.
    #[error("{report}antiphon: `{file}` has errors")]
    Unsound { file: String, report: String },
    #[error("`{file}` has no protocol")]
    NoProtocol { file: String },
    #[error("{} is not an image: {error}", quoted(path.display()))]
    NotAnImage { path: PathBuf, error: ReadError },
    #[error("the image is invalid: {0}")]
    InvalidImage(#[source] VerifyError),
    #[error("{} is not an image; only an image has a certificate", quoted(path.display()))]
    SourceForImage { path: PathBuf },
    #[error("`{protocol}` is too large to explore, so it has no certificate")]
    Uncertified { protocol: String },
    #[error("{} does not show that the image is safe: {error}", quoted(path.display()))]
    Certificate {
        path: PathBuf,
        error: CertificateError,
    },
    /// The compiler made this certificate itself.
    #[error(
        "the certificate that was made for `{protocol}` does not hold, which is a defect of this \
         program: {error}"
    )]
    OwnCertificate {
        protocol: String,
        error: CertificateError,
    },
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// One line per error, each with its location.
    #[error("{report}")]
    Script { report: String },
    #[error("{} is longer than {max} bytes", quoted(path.display()))]
    TooLong { path: PathBuf, max: u64 },
    #[error("{} is not UTF-8 text: byte {at} is invalid", quoted(path.display()))]
    NotText { path: PathBuf, at: usize },
    #[error("{} is not a file", quoted(path.display()))]
    NotAFile { path: PathBuf },
    #[error("cannot read standard input: {reason}")]
    StandardInput { reason: String },
}

/// A recording cannot be written, or cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    #[error("{} exists; `--overwrite` replaces it", quoted(path.display()))]
    Exists { path: PathBuf },
    #[error(
        "{} is being written by another process; wait for its end or record in another file",
        quoted(path.display())
    )]
    Busy { path: PathBuf },
    #[error("cannot record in {}: {error}", quoted(path.display()))]
    Write { path: PathBuf, error: RecordError },
    #[error("{}: {error}", quoted(path.display()))]
    Replay {
        path: PathBuf,
        error: Box<ReplayError>,
    },
    #[error("{}: {error}", quoted(path.display()))]
    Checkpoint {
        path: PathBuf,
        error: Box<CheckpointError>,
    },
    #[error("{} exists and is not a checkpoint; write to another file", quoted(path.display()))]
    NotReplaced { path: PathBuf },
    #[error("{} cannot be certified because it is incomplete: {tail}", quoted(path.display()))]
    Incomplete { path: PathBuf, tail: Box<Tail> },
    #[error("{} names the mode `replay`, in which nothing is recorded", quoted(path.display()))]
    OfAReplay { path: PathBuf },
    #[error("{} cannot be given to the model: {error}", quoted(path.display()))]
    Case {
        path: PathBuf,
        error: Box<CaseError>,
    },
    #[error(
        "{} cannot be certified: run as a case it ends in a state that differs from the recorded \
         one, which is a defect of this program",
        quoted(path.display())
    )]
    OtherRun { path: PathBuf },
    #[error("{} is too large: {error}", quoted(path.display()))]
    TooLarge { path: PathBuf, error: TooLarge },
}

/// Lean is missing or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeanError {
    #[error(
        "Lean was not found: this program is not in a checkout where `cargo xtask setup` was run; \
         run it in a checkout and use the program built there, or name a program in ANTIPHON_LEAN"
    )]
    NotFound,
    #[error(
        "Lean was not found: ANTIPHON_LEAN names {}, which does not exist",
        quoted(program.display())
    )]
    NoSuchProgram { program: PathBuf },
    #[error("{}", brief(&.0.to_string()))]
    Oracle(#[source] OracleError),
    #[error(transparent)]
    Judge(JudgeError),
    #[error("cannot write the fixture: {0}")]
    Fixture(#[source] FixtureError),
}

/// The session with the guest could not be opened, or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuestError {
    #[error("the copy failed: {0}")]
    Copy(#[from] CopyError),
    #[error("{0}")]
    Open(#[source] SessionOpenError),
    #[error(transparent)]
    Unsupported(UnsupportedProtocol),
}

/// Why a copy failed. Paths in the guest begin with `guest:`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("it was cancelled")]
    Cancelled,
    #[error("it was interrupted")]
    Interrupted,
    #[error("it was ended because its recording failed")]
    RecordingFailed,
    #[error("{}", filter::line(&.0.reason()))]
    Session(LastFailure),
    #[error("`{from}` and `{to}` are the same file")]
    SameFile { from: String, to: String },
    #[error(
        "`{from}` and `{to}` may be the same file: the target is a symbolic link, and the file \
         that it leads to has the length and the modification time of the source; name that file \
         as the target, or remove the link"
    )]
    MaybeSameFile { from: String, to: String },
    #[error("`{name}` changed while it was copied: it had {before} bytes and has {after}")]
    Changed {
        name: String,
        before: u64,
        after: u64,
    },
    #[error("`{name}` has a size of {size} bytes, but its content has {copied}")]
    OtherLength {
        name: String,
        size: u64,
        copied: u64,
    },
    #[error("{sent} bytes were sent, and the guest has {got}")]
    Truncated { sent: u64, got: u64 },
    #[error("`{target}` is a directory")]
    TargetIsDirectory { target: String },
    #[error("a temporary file of the copy cannot be removed")]
    ProbeLeft,
}

/// The agent cannot be reached or served, or the link to it failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Transport(TransportError),
    #[error(transparent)]
    Link(antiphon_guest::link::LinkError),
    #[error(transparent)]
    Agent(AgentError),
}

/// The system refused something, or something is not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemError {
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    #[error("cannot {doing} {}: {source}", quoted(path.display()))]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot find the path of this program: {0}")]
    NoProgram(#[source] io::Error),
    #[error("the process is out of resources: {0}")]
    Threads(#[source] io::Error),
    #[error(transparent)]
    Driver(DriverError),
    #[error("the system gives no random numbers: {0}")]
    Random(#[source] io::Error),
    #[error("cannot serve on port {port} of this machine: {source}")]
    Port { port: u16, source: io::Error },
    #[error(
        "the package that replays in the browser was not found: `cargo xtask wasm` builds it in a \
         checkout; or name its folder with `--package` or in ANTIPHON_WASM"
    )]
    NoPackage,
    #[error(
        "{} has no package that replays in the browser (`antiphon.js`, `antiphon_bg.wasm`); \
         `cargo xtask wasm` builds it",
        quoted(folder.display())
    )]
    NoSuchPackage { folder: PathBuf },
    #[error("the machine refused an input: {0}")]
    Refused(#[source] Refusal),
}

/// Converts an error of another crate by way of the group that it belongs to.
macro_rules! from {
    ($($error:ty => $group:ident::$variant:ident,)*) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Problem {
                $group::$variant(error).into()
            }
        }
    )*};
}

from! {
    VerifyError => InputError::InvalidImage,
    OracleError => LeanError::Oracle,
    JudgeError => LeanError::Judge,
    CopyError => GuestError::Copy,
    SessionOpenError => GuestError::Open,
    UnsupportedProtocol => GuestError::Unsupported,
    TransportError => LinkError::Transport,
    antiphon_guest::link::LinkError => LinkError::Link,
    AgentError => LinkError::Agent,
    DriverError => SystemError::Driver,
    Refusal => SystemError::Refused,
}

impl Problem {
    /// Returns a function that makes the error of a failed operation on a file.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Problem {
        let path = path.to_owned();
        move |source| {
            let error = SystemError::File {
                doing,
                path,
                source,
            };
            error.into()
        }
    }

    /// The error of a failed write to standard output.
    pub(crate) fn stdout(error: io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Problem::OutputClosed,
            _ => SystemError::Output(error).into(),
        }
    }

    /// The error of a recording that cannot be replayed.
    pub(crate) fn replay(path: &Path, error: ReplayError) -> Problem {
        let (path, error) = (path.to_owned(), Box::new(error));
        RecordingError::Replay { path, error }.into()
    }

    /// The error of a checkpoint file that cannot be written or used with a recording.
    pub(crate) fn checkpoint(recording: &Path, file: &Path, error: CheckpointError) -> Problem {
        match error {
            CheckpointError::Replay(error) => Problem::replay(recording, error),
            CheckpointError::Passed { step, now: from } => {
                UsageError::CheckpointPassed { step, from }.into()
            }
            error @ (CheckpointError::NoCheckpoint { .. } | CheckpointError::NoDigests) => {
                let (path, error) = (recording.to_owned(), Box::new(error));
                UsageError::NoCheckpoint { path, error }.into()
            }
            error => {
                let (path, error) = (file.to_owned(), Box::new(error));
                RecordingError::Checkpoint { path, error }.into()
            }
        }
    }

    /// Why the image was not admitted to the machine, if that is the problem.
    pub(crate) fn admission(&self) -> Option<&serde_json::Value> {
        match self {
            Problem::Input(InputError::NotAdmitted(refused)) => Some(refused.facts()),
            _ => None,
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Problem::OutputClosed => Exit::Done,
            Problem::Usage(_) => Exit::Usage,
            Problem::Input(error) => error.exit(),
            Problem::Recording(error) => error.exit(),
            Problem::Lean(error) => error.exit(),
            Problem::Guest(_) | Problem::Link(_) | Problem::System(_) | Problem::Unrecorded(_) => {
                Exit::Failed
            }
            Problem::LeftBehind { problem, .. } => problem.exit(),
        }
    }
}

impl UsageError {
    /// The error of a role that the protocol does not have.
    pub(crate) fn no_such_role<'r>(
        protocol: &str,
        roles: impl IntoIterator<Item = &'r String>,
        got: &str,
    ) -> UsageError {
        let known = roles.into_iter().map(|role| format!("`{role}`"));
        UsageError::NoSuchRole {
            protocol: protocol.to_owned(),
            got: got.to_owned(),
            known: known.collect::<Vec<_>>().join(", "),
        }
    }

    /// Refuses an option that has no effect with `--json`, if both are given. `--json` may come
    /// before the command, where the parser does not see the conflict.
    pub(crate) fn check_json(
        output: &Output,
        option: &'static str,
        is_given: bool,
    ) -> Result<(), UsageError> {
        if output.json && is_given {
            Err(UsageError::WithJson { option })
        } else {
            Ok(())
        }
    }
}

impl InputError {
    /// The error of a certificate file that cannot be read, or does not belong to the image.
    pub(crate) fn certificate(path: &Path, error: CertificateError) -> InputError {
        let path = path.to_owned();
        InputError::Certificate { path, error }
    }

    /// The errors of a script, one in each line.
    pub(crate) fn script(errors: Vec<ScriptError>) -> InputError {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        InputError::Script {
            report: lines.join("\n"),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            InputError::Unsound { .. }
            | InputError::NoProtocol { .. }
            | InputError::NotAnImage { .. }
            | InputError::InvalidImage(_)
            | InputError::SourceForImage { .. }
            | InputError::Uncertified { .. }
            | InputError::Certificate { .. }
            | InputError::NotAdmitted(_)
            | InputError::Script { .. } => Exit::No,
            InputError::OwnCertificate { .. }
            | InputError::TooLong { .. }
            | InputError::NotText { .. }
            | InputError::NotAFile { .. }
            | InputError::StandardInput { .. } => Exit::Failed,
        }
    }
}

impl RecordingError {
    fn exit(&self) -> Exit {
        match self {
            RecordingError::OfAReplay { .. } => Exit::Damaged,
            RecordingError::Incomplete { tail, .. } => tail::exit(Some(tail)),
            RecordingError::Replay { error, .. } => replay_exit(error),
            RecordingError::Case { error, .. } => case_exit(error),
            RecordingError::Checkpoint { error, .. } => checkpoint_exit(error),
            RecordingError::Exists { .. }
            | RecordingError::Busy { .. }
            | RecordingError::NotReplaced { .. }
            | RecordingError::Write { .. }
            | RecordingError::OtherRun { .. }
            | RecordingError::TooLarge { .. } => Exit::Failed,
        }
    }
}

fn replay_exit(error: &ReplayError) -> Exit {
    match error {
        ReplayError::Open(OpenError::NoHeader { .. }) => Exit::Cut,
        ReplayError::Io(_) | ReplayError::Open(OpenError::Io(_)) => Exit::Failed,
        ReplayError::Open(
            OpenError::NotARecording { .. }
            | OpenError::Version { .. }
            | OpenError::Damaged(_)
            | OpenError::HeaderMissing,
        )
        | ReplayError::Image { .. }
        | ReplayError::Unsound { .. } => Exit::Damaged,
    }
}

/// A refused checkpoint file does not mean that its recording is bad, unless the recording ends too
/// early.
fn checkpoint_exit(error: &CheckpointError) -> Exit {
    match error {
        CheckpointError::Ends { tail, .. } => match tail::exit(tail.as_ref().as_ref()) {
            Exit::Done => Exit::Failed,
            exit => exit,
        },
        CheckpointError::Replay(error) => replay_exit(error),
        CheckpointError::Diverged { .. } => Exit::No,
        CheckpointError::NoCheckpoint { .. }
        | CheckpointError::NoDigests
        | CheckpointError::Passed { .. } => Exit::Usage,
        CheckpointError::TooLong { .. }
        | CheckpointError::NotACheckpoint { .. }
        | CheckpointError::Version { .. }
        | CheckpointError::Unreadable { .. }
        | CheckpointError::Value { .. }
        | CheckpointError::Image { .. }
        | CheckpointError::Unsound { .. }
        | CheckpointError::State(_)
        | CheckpointError::OtherRecording { .. }
        | CheckpointError::OtherEntry { .. }
        | CheckpointError::Differs { .. } => Exit::Failed,
    }
}

fn case_exit(error: &CaseError) -> Exit {
    match error {
        CaseError::Io(_) | CaseError::TooLong { .. } => Exit::Failed,
        CaseError::Open(_)
        | CaseError::Image { .. }
        | CaseError::Backwards { .. }
        | CaseError::NoRequest { .. }
        | CaseError::NotWhole { .. } => Exit::Damaged,
    }
}

impl LeanError {
    fn exit(&self) -> Exit {
        match self {
            LeanError::NotFound | LeanError::NoSuchProgram { .. } => Exit::NoLean,
            LeanError::Oracle(_) | LeanError::Judge(_) | LeanError::Fixture(_) => Exit::Failed,
        }
    }
}
