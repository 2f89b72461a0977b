//! Why a command could not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

use antiphon_bridge::certify::{JudgeError, TooLarge, brief};
use antiphon_bridge::fixture::FixtureError;
use antiphon_bridge::oracle::OracleError;
use antiphon_bridge::recording::RecordingError;
use antiphon_guest::link::LinkError;
use antiphon_guest::transport::TransportError;
use antiphon_language::global::CheckedProtocol;
use antiphon_language::safety::CertificateError;
use antiphon_machine::bounds::WAVE_STEPS_MAX;
use antiphon_machine::threaded::DriverError;
use antiphon_machine::{ReadError, Refusal, VerifyError};
use antiphon_record::{OpenError, RecordError, ReplayError, Tail};

use crate::exit::Exit;
use crate::host::Unfit;
use crate::script::ScriptError;
use crate::tail;

/// A reason with its facts. The message says what was tried and what came in the way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// Whoever read standard output has seen enough. Not an error.
    #[error("standard output was closed")]
    OutputClosed,
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    #[error("cannot {doing} `{}`: {source}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("`{}` is there already; `--overwrite` replaces it", path.display())]
    RecordingExists { path: PathBuf },
    #[error(
        "`{}` is being written by another process; wait for its end or record in another file",
        path.display()
    )]
    RecordingBusy { path: PathBuf },
    #[error("`{}` is longer than {max} bytes", path.display())]
    TooLong { path: PathBuf, max: u64 },
    #[error("`{}` is not UTF-8 text: byte {at} is no character", path.display())]
    NotText { path: PathBuf, at: usize },
    #[error(
        "`show --html` was removed; `antiphon view {} --out FILE` writes a page that replays the \
         recording",
        path.display()
    )]
    HtmlRemoved { path: PathBuf },
    #[error("there is no command `{got}`; there are {known}")]
    NoSuchCommand { got: String, known: String },
    /// The report has the excerpts; it is printed as it is.
    #[error("{report}antiphon: `{file}` has errors")]
    Unsound { file: String, report: String },
    #[error("`{file}` has no protocol")]
    NoProtocol { file: String },
    #[error("`{file}` has several protocols: name one with `--protocol`: {known}")]
    WhichProtocol { file: String, known: String },
    #[error("`{protocol}` has no role `{got}`; it has {known}")]
    NoSuchRole {
        protocol: String,
        got: String,
        known: String,
    },
    #[error("`{}` is not an image: {error}", path.display())]
    NotAnImage { path: PathBuf, error: ReadError },
    #[error("the image is refused: {error}")]
    Image { error: VerifyError },
    #[error("`{}` is not an image; only an image has a certificate", path.display())]
    NoImage { path: PathBuf },
    #[error("`{}` is what is compiled; write to another file", path.display())]
    OverInput { path: PathBuf },
    #[error("`{}` is the recording; write to another file", path.display())]
    OverRecording { path: PathBuf },
    #[error(
        "`{}` is a file that the command itself reads or writes; record in another file",
        path.display()
    )]
    RecordingOver { path: PathBuf },
    /// The recording failed, too, which was reported when it did.
    #[error("{0}")]
    Unrecorded(Box<Problem>),
    #[error("cannot read standard input: {reason}")]
    Input { reason: String },
    #[error("a certificate belongs to one image, got {got} files")]
    OneImage { got: usize },
    #[error("`{protocol}` is too large to explore: there is no certificate to write")]
    Uncertified { protocol: String },
    #[error("`{}` does not show that the image is safe: {error}", path.display())]
    Certificate {
        path: PathBuf,
        error: CertificateError,
    },
    /// One line per error, each with its place.
    #[error("{report}")]
    Script { report: String },
    #[error("{sessions} sessions need `--script`: only one can be typed")]
    TypedSessions { sessions: u32 },
    #[error(
        "a wave of {width} sessions with {quantum} steps each has more than {WAVE_STEPS_MAX} steps: lower `--width` or \
         `--quantum`"
    )]
    Wave { width: u32, quantum: u32 },
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error("cannot record in `{}`: {error}", path.display())]
    Record { path: PathBuf, error: RecordError },
    #[error("`{}`: {error}", path.display())]
    Recording {
        path: PathBuf,
        error: Box<ReplayError>,
    },
    #[error("`{}` is not certified, it is not whole: {tail}", path.display())]
    NotWhole { path: PathBuf, tail: Box<Tail> },
    #[error("`{}` says that it is of a replay, and those are not recorded", path.display())]
    OfAReplay { path: PathBuf },
    #[error("`{}` cannot be put to the model: {error}", path.display())]
    Case {
        path: PathBuf,
        error: Box<RecordingError>,
    },
    #[error(
        "`{}` is not certified: as a case it does not come to the state that it was recorded with, which is a \
         defect of this program",
        path.display()
    )]
    OtherRun { path: PathBuf },
    #[error("`{}` is too large: {error}", path.display())]
    TooLargeToCertify { path: PathBuf, error: TooLarge },
    #[error(
        "there is no Lean to ask: this program stands in no checkout where `cargo xtask setup` was run; do that in \
         one and use its program, or name a program in ANTIPHON_LEAN"
    )]
    NoLean,
    #[error("there is no Lean to ask: ANTIPHON_LEAN names `{}`, which is not there", program.display())]
    NoSuchLean { program: PathBuf },
    #[error(
        "the package that replays in the browser is not there: `cargo xtask wasm` builds it in a checkout; or name \
         its folder with `--package` or in ANTIPHON_WASM"
    )]
    NoPackage,
    #[error(
        "`{}` has no package that replays in the browser (`antiphon.js`, `antiphon_bg.wasm`); `cargo xtask wasm` \
         builds it",
        folder.display()
    )]
    NoSuchPackage { folder: PathBuf },
    #[error("`{}` is not a file", path.display())]
    NotAFile { path: PathBuf },
    #[error("cannot serve on port {port} of this machine: {source}")]
    Port { port: u16, source: io::Error },
    #[error("the system gives no random numbers: {0}")]
    Random(#[source] io::Error),
    #[error("{}", brief(&.0.to_string()))]
    Oracle(#[from] OracleError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
    #[error("the fixture is not kept: {0}")]
    Fixture(#[source] FixtureError),
    #[error("the machine refuses it: {0}")]
    Refused(Refusal),
    #[error(
        "one of the two must be in the guest, such as `guest:/etc/hostname`, and the other here"
    )]
    CopyWays,
    #[error("the copy failed: {reason}")]
    Copy { reason: String },
    #[error("{problem}; `guest:{part}` may be left behind")]
    PartLeft { problem: Box<Problem>, part: String },
    #[error("cannot find this program to start it as the agent: {0}")]
    NoProgram(#[source] io::Error),
    #[error("the process is out of resources: {0}")]
    Threads(#[source] io::Error),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("{0}")]
    Open(#[source] antiphon_guest::driver::OpenError),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error(transparent)]
    Agent(#[from] antiphon_guest::agent::AgentError),
}

impl Problem {
    /// A failure to do something with a file.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Problem {
        let path = path.to_owned();
        move |source| Problem::File {
            doing,
            path,
            source,
        }
    }

    /// A failure to write to standard output.
    pub(crate) fn stdout(error: io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Problem::OutputClosed,
            _ => Problem::Output(error),
        }
    }

    /// The same, of a command whose recording failed unless `is_recorded`.
    pub(crate) fn recorded(self, is_recorded: bool) -> Problem {
        match is_recorded {
            true => self,
            false => Problem::Unrecorded(Box::new(self)),
        }
    }

    /// Why a recording does not become a case.
    pub(crate) fn case(path: &Path) -> impl FnOnce(RecordingError) -> Problem {
        let path = path.to_owned();
        move |error| Problem::Case {
            path,
            error: Box::new(error),
        }
    }

    /// What is wrong with a script, one line each.
    pub(crate) fn script(errors: Vec<ScriptError>) -> Problem {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Problem::Script {
            report: lines.join("\n"),
        }
    }

    /// An input that should have been taken.
    pub(crate) fn refused(refusal: Refusal) -> Problem {
        Problem::Refused(refusal)
    }

    /// A role that the protocol does not have.
    pub(crate) fn no_such_role(protocol: &CheckedProtocol, got: &str) -> Problem {
        let known = protocol.roles().iter().map(|role| format!("`{role}`"));
        Problem::NoSuchRole {
            protocol: protocol.name().to_owned(),
            got: got.to_owned(),
            known: known.collect::<Vec<_>>().join(", "),
        }
    }

    /// The exit code that goes with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Problem::OutputClosed => Exit::Done,
            Problem::Unsound { .. }
            | Problem::NoProtocol { .. }
            | Problem::NotAnImage { .. }
            | Problem::Image { .. }
            | Problem::NoImage { .. }
            | Problem::Uncertified { .. }
            | Problem::Certificate { .. }
            | Problem::Script { .. } => Exit::No,
            Problem::HtmlRemoved { .. }
            | Problem::NoSuchCommand { .. }
            | Problem::WhichProtocol { .. }
            | Problem::NoSuchRole { .. }
            | Problem::OverInput { .. }
            | Problem::OverRecording { .. }
            | Problem::RecordingOver { .. }
            | Problem::OneImage { .. }
            | Problem::TypedSessions { .. }
            | Problem::Wave { .. }
            | Problem::CopyWays => Exit::Usage,
            Problem::NoLean | Problem::NoSuchLean { .. } => Exit::NoLean,
            Problem::PartLeft { problem, .. } => problem.exit(),
            Problem::OfAReplay { .. } => Exit::Damaged,
            Problem::NotWhole { tail, .. } => tail::exit(Some(tail)),
            Problem::Case { error, .. } => match &**error {
                RecordingError::Io(_) | RecordingError::TooLong { .. } => Exit::Failed,
                RecordingError::Open(_)
                | RecordingError::Image { .. }
                | RecordingError::Backwards { .. }
                | RecordingError::NoRequest { .. }
                | RecordingError::NotWhole { .. } => Exit::Damaged,
            },
            Problem::Output(_)
            | Problem::Input { .. }
            | Problem::Unrecorded(_)
            | Problem::NoPackage
            | Problem::NoSuchPackage { .. }
            | Problem::NotAFile { .. }
            | Problem::Port { .. }
            | Problem::Random(_)
            | Problem::TooLargeToCertify { .. }
            | Problem::OtherRun { .. }
            | Problem::Oracle(_)
            | Problem::Judge(_)
            | Problem::Fixture(_)
            | Problem::File { .. }
            | Problem::RecordingExists { .. }
            | Problem::RecordingBusy { .. }
            | Problem::TooLong { .. }
            | Problem::NotText { .. }
            | Problem::Record { .. }
            | Problem::Refused(_)
            | Problem::Driver(_)
            | Problem::Copy { .. }
            | Problem::NoProgram(_)
            | Problem::Threads(_)
            | Problem::Transport(_)
            | Problem::Link(_)
            | Problem::Open(_)
            | Problem::Unfit(_)
            | Problem::Agent(_) => Exit::Failed,
            Problem::Recording { error, .. } => match &**error {
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
            },
        }
    }
}
