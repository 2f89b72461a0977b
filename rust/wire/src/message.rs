//! Every message of the link, each with its typed payload.
//!
//! A message is declared once, in the tables of this file. From them are generated its struct, its
//! encoder and decoder, its generic view, its role, and the list that is compared with the schema.

use std::num::NonZeroU32;

use antiphon_codec::{Encoder, Item};

use crate::bounds::{IDS_MAX_UNSAID, VersionRange};
use crate::field::{
    Field, FieldFault, FieldFaultKind, FieldSpec, Shape, names, payloads, read_between,
};
use crate::file::{
    FsClose, FsList, FsMkdir, FsOpen, FsRead, FsReadFile, FsRename, FsSeek, FsStat, FsUnlink,
    FsWrite, FsWriteFile,
};
use crate::result::{OpResult, Syscall};

/// The side that sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Only the host sends it.
    HostToGuest,
    /// Only the guest sends it.
    GuestToHost,
    /// Both sides send it.
    Both,
}

/// The effect of a message on its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageRole {
    /// Belongs to the handshake, on id 0, before all other messages.
    Handshake,
    /// Opens its id. Exactly one terminal message ends it.
    Request,
    /// Belongs to an open id, which stays open.
    OneWay,
    /// Ends its id.
    Terminal,
}

macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $variant:ident($payload:ty) = $name:literal, $role:ident, $direction:ident
            $(, answer: $answer:ident)? $(, feature: $feature:ident)?;
    )*) => {
        /// The type of a message, without its payload.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MessageKind {
            $( $(#[$doc])* $variant, )*
        }

        impl MessageKind {
            /// Every message type, in the order of the tables.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in the envelope's `t`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $name, )*
                }
            }

            /// The message type with this name; `None` for an unknown name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $name => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// The effect of a message of this type on its id.
            #[must_use]
            pub const fn role(self) -> MessageRole {
                match self {
                    $( Self::$variant => MessageRole::$role, )*
                }
            }

            /// The side that sends a message of this type.
            #[must_use]
            pub const fn direction(self) -> Direction {
                match self {
                    $( Self::$variant => Direction::$direction, )*
                }
            }

            /// The terminal message that answers a request of this type. `error` answers any
            /// request. `None` for a message that is not a request.
            #[must_use]
            pub const fn answer(self) -> Option<Self> {
                match self {
                    $( Self::$variant => optional!($(Self::$answer)?), )*
                }
            }

            /// The feature that must be agreed before a request of this type is sent; `None` if
            /// none is needed.
            #[must_use]
            pub const fn feature(self) -> Option<Feature> {
                match self {
                    $( Self::$variant => optional!($(Feature::$feature)?), )*
                }
            }

            /// The fields of the payload, in wire order.
            #[must_use]
            pub const fn fields(self) -> &'static [FieldSpec] {
                match self {
                    $( Self::$variant => <$payload>::FIELDS, )*
                }
            }
        }

        /// A message of the link.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Message {
            $( $(#[$doc])* $variant($payload), )*
            /// A message of a type that this version does not know. Its payload is dropped.
            Unknown(UnknownType),
        }

        impl Message {
            /// The type; `None` for an unknown one.
            #[must_use]
            pub const fn kind(&self) -> Option<MessageKind> {
                match self {
                    $( Self::$variant(_) => Some(MessageKind::$variant), )*
                    Self::Unknown(_) => None,
                }
            }

            /// Makes a message of a type from the tree of its payload. Unknown keys are ignored.
            ///
            /// # Errors
            /// The first field that violates the schema.
            pub fn from_payload(kind: MessageKind, payload: Item) -> Result<Self, FieldFault> {
                Ok(match kind {
                    $( MessageKind::$variant => {
                        Self::$variant(<$payload as Field>::read(payload)?)
                    } )*
                })
            }

            /// The payload as a tree; an empty map for an unknown type. Data is moved and not
            /// copied.
            #[must_use]
            pub fn into_payload(self) -> Item {
                match self {
                    $( Self::$variant(payload) => payload.into_item(), )*
                    Self::Unknown(_) => Item::Map(Vec::new()),
                }
            }

            /// Refuses a payload that the Rust type allows and the schema does not.
            ///
            /// # Errors
            /// The first such field.
            pub fn check(&self) -> Result<(), FieldFault> {
                match self {
                    $( Self::$variant(payload) => Field::check(payload), )*
                    Self::Unknown(_) => Ok(()),
                }
            }

            pub(crate) fn write_payload(&self, out: &mut Encoder<'_>) {
                match self {
                    $( Self::$variant(payload) => payload.write(out), )*
                    Self::Unknown(_) => {
                        out.map(0);
                    }
                }
            }
        }

        narrow! {
            requests {} follow_ups {} from_guest {}
            rows { $( { $(#[$doc])* $variant($payload) } $role $direction; )* }
        }
    };
}

/// `Some` of the argument, or `None` without one.
macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

/// Sorts the rows of the table by role and direction into the enums of messages that one side
/// handles. Each step takes one row.
macro_rules! narrow {
    (
        requests { $($request:tt)* } follow_ups { $($follow_up:tt)* } from_guest { $($guest:tt)* }
        rows {}
    ) => {
        narrowed! {
            /// A request that a host can send. A guest can send `ping`, too; each link answers it
            /// by itself.
            pub enum HostRequest { $($request)* }
        }
        narrowed! {
            /// A message that a host sends on the id of an open request.
            pub enum HostFollowUp { $($follow_up)* }
        }
        narrowed! {
            /// A message that a guest sends after the handshake.
            pub enum GuestMessage { $($guest)* }
        }
    };
    (
        requests { $($request:tt)* } follow_ups { $($follow_up:tt)* } from_guest { $($guest:tt)* }
        rows { $row:tt Handshake $direction:ident; $($rest:tt)* }
    ) => {
        narrow! {
            requests { $($request)* } follow_ups { $($follow_up)* } from_guest { $($guest)* }
            rows { $($rest)* }
        }
    };
    (
        requests { $($request:tt)* } follow_ups { $($follow_up:tt)* } from_guest { $($guest:tt)* }
        rows { $row:tt Request HostToGuest; $($rest:tt)* }
    ) => {
        narrow! {
            requests { $($request)* $row } follow_ups { $($follow_up)* } from_guest { $($guest)* }
            rows { $($rest)* }
        }
    };
    (
        requests { $($request:tt)* } follow_ups { $($follow_up:tt)* } from_guest { $($guest:tt)* }
        rows { $row:tt Request Both; $($rest:tt)* }
    ) => {
        narrow! {
            requests { $($request)* $row } follow_ups { $($follow_up)* }
            from_guest { $($guest)* $row }
            rows { $($rest)* }
        }
    };
    (
        requests { $($request:tt)* } follow_ups { $($follow_up:tt)* } from_guest { $($guest:tt)* }
        rows { $row:tt OneWay HostToGuest; $($rest:tt)* }
    ) => {
        narrow! {
            requests { $($request)* } follow_ups { $($follow_up)* $row } from_guest { $($guest)* }
            rows { $($rest)* }
        }
    };
    // One-way messages of the guest, and terminal messages. A host also sends two of the latter:
    // `pong` to a ping of the guest, and `error` to close the link.
    (
        requests { $($request:tt)* } follow_ups { $($follow_up:tt)* } from_guest { $($guest:tt)* }
        rows { $row:tt $role:ident $direction:ident; $($rest:tt)* }
    ) => {
        narrow! {
            requests { $($request)* } follow_ups { $($follow_up)* } from_guest { $($guest)* $row }
            rows { $($rest)* }
        }
    };
}

/// A message whose type is known.
pub(crate) trait Typed {
    /// Its type.
    fn kind(&self) -> MessageKind;
    /// Refuses a payload that the Rust type allows and the schema does not.
    fn check(&self) -> Result<(), FieldFault>;
    /// Writes its payload.
    fn write_payload(&self, out: &mut Encoder<'_>);
}

/// Declares an enum of some of the messages.
macro_rules! narrowed {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $( { $(#[$variant_doc:meta])* $variant:ident($payload:ty) } )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant($payload), )*
        }

        impl $name {
            /// The type.
            #[must_use]
            pub const fn kind(&self) -> MessageKind {
                match self {
                    $( Self::$variant(_) => MessageKind::$variant, )*
                }
            }
        }

        impl Typed for $name {
            fn kind(&self) -> MessageKind {
                self.kind()
            }

            fn check(&self) -> Result<(), FieldFault> {
                match self {
                    $( Self::$variant(payload) => Field::check(payload), )*
                }
            }

            fn write_payload(&self, out: &mut Encoder<'_>) {
                match self {
                    $( Self::$variant(payload) => payload.write(out), )*
                }
            }
        }

        impl TryFrom<Message> for $name {
            /// The given message, if it is not one of these.
            type Error = Message;

            fn try_from(message: Message) -> Result<Self, Message> {
                match message {
                    $( Message::$variant(payload) => Ok(Self::$variant(payload)), )*
                    other => Err(other),
                }
            }
        }

        impl From<$name> for Message {
            fn from(message: $name) -> Message {
                match message {
                    $( $name::$variant(payload) => Message::$variant(payload), )*
                }
            }
        }
    };
}

messages! {
    /// The host offers its versions and features.
    Hello(Hello) = "hello", Handshake, HostToGuest;
    /// The guest accepts the highest common version.
    HelloOk(HelloOk) = "hello_ok", Handshake, GuestToHost;
    /// The guest supports none of the versions. It closes the link.
    HelloErr(HelloErr) = "hello_err", Handshake, GuestToHost;

    /// Run a command.
    ExecRequest(ExecRequest) = "exec_request", Request, HostToGuest,
        answer: ExecResponse, feature: Exec;
    /// Bytes that the command wrote.
    ExecOutput(ExecOutput) = "exec_output", OneWay, GuestToHost;
    /// Bytes for the command to read.
    StdinData(StdinData) = "stdin_data", OneWay, HostToGuest;
    /// More credit for an output stream.
    ExecWindow(ExecWindow) = "exec_window", OneWay, HostToGuest;
    /// More credit for standard input.
    StdinWindow(StdinWindow) = "stdin_window", OneWay, GuestToHost;
    /// Send a signal to the command.
    Signal(Signal) = "signal", OneWay, HostToGuest;
    /// The command ended.
    ExecResponse(ExecResponse) = "exec_response", Terminal, GuestToHost;

    /// Open a file.
    FsOpen(FsOpen) = "fs_open", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Read from an open file.
    FsRead(FsRead) = "fs_read", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Write to an open file.
    FsWrite(FsWrite) = "fs_write", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Move the cursor of an open file.
    FsSeek(FsSeek) = "fs_seek", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Close an open file.
    FsClose(FsClose) = "fs_close", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Describe what a path names.
    FsStat(FsStat) = "fs_stat", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Read a part of a file by its path.
    FsReadFile(FsReadFile) = "fs_read_file", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Write a part of a file by its path.
    FsWriteFile(FsWriteFile) = "fs_write_file", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// List a directory, one page at a time.
    FsList(FsList) = "fs_list", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Make a directory.
    FsMkdir(FsMkdir) = "fs_mkdir", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Remove a file or an empty directory.
    FsUnlink(FsUnlink) = "fs_unlink", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Rename a file or a directory.
    FsRename(FsRename) = "fs_rename", Request, HostToGuest,
        answer: OpResult, feature: Files;
    /// Make a system call.
    Syscall(Syscall) = "syscall", Request, HostToGuest,
        answer: OpResult, feature: Syscall;
    /// The result of a file request or a system call.
    OpResult(OpResult) = "op_result", Terminal, GuestToHost;

    /// Ask whether the peer is alive.
    Ping(Empty) = "ping", Request, Both, answer: Pong;
    /// Answer a ping.
    Pong(Empty) = "pong", Terminal, Both;
    /// End a request early. Its terminal message still follows.
    Cancel(Empty) = "cancel", OneWay, HostToGuest;
    /// The request was not carried out, or, on id 0, the link ends.
    Error(ErrorReply) = "error", Terminal, Both;
}

impl MessageKind {
    /// Whether a terminal message of type `terminal` may end a request of this type. `error` may
    /// end any request.
    #[must_use]
    pub fn is_answered_by(self, terminal: Self) -> bool {
        self.answer()
            .is_some_and(|answer| terminal == answer || terminal == Self::Error)
    }
}

impl std::fmt::Display for MessageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Message {
    /// The name in the envelope's `t`, for an unknown type as received.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown(unknown) => &unknown.t,
            known => known.kind().map_or("", MessageKind::name),
        }
    }
}

/// A message type that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownType {
    /// The name as received, at most [`TYPE_LEN_MAX`](crate::TYPE_LEN_MAX) bytes.
    pub t: String,
}

names! {
    /// A family of requests that a peer knows or serves. Unknown names are ignored in a handshake,
    /// so that a newer peer can offer more.
    pub enum Feature {
        /// `exec_request` and its follow-up messages.
        Exec = "exec",
        /// The `fs_*` requests.
        Files = "files",
        /// `syscall`.
        Syscall = "syscall",
    }

    /// Why the two sides have no version in common.
    pub enum HelloErrCode {
        /// The newest version of the host is older than the oldest of the guest.
        TooOld = "protocol-version-too-old",
        /// The oldest version of the host is newer than the newest of the guest.
        TooNew = "protocol-version-too-new",
    }

    /// An output stream of a command.
    pub enum Stream {
        /// Standard output.
        Stdout = "stdout",
        /// Standard error.
        Stderr = "stderr",
    }

    /// Why a request was not carried out, or why the link ends.
    pub enum ErrorCode {
        /// The message violates the schema, or is not allowed now.
        InvalidRequest = "invalid_request",
        /// The message type or the feature is not served here.
        Unsupported = "unsupported",
        /// The version in the envelope is not the agreed one; `supported` has the agreed one.
        UnsupportedVersion = "unsupported_version",
        /// No request is open under this id.
        UnknownId = "unknown_id",
        /// The agreed number of requests is open already.
        Busy = "busy",
        /// The answer, or the data, is longer than the agreed frame.
        TooLarge = "too_large",
        /// The guest does not have the permission.
        Denied = "denied",
        /// The command was not found.
        NotFound = "not_found",
        /// The command was found and could not be started.
        SpawnFailed = "spawn_failed",
        /// The request was cancelled before it had an effect to report.
        Cancelled = "cancelled",
        /// The deadline passed before it had an effect to report.
        TimedOut = "timed_out",
        /// The guest is shutting down.
        ShuttingDown = "shutting_down",
        /// The guest failed internally.
        Internal = "internal",
    }
}

/// A set of features that a peer offers, of those that this version knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    bits: u32,
}

impl Features {
    /// All features that this version knows.
    #[must_use]
    pub fn all() -> Self {
        Self::of(Feature::ALL.iter().copied())
    }

    /// The given features.
    pub fn of(features: impl IntoIterator<Item = Feature>) -> Self {
        let bits = features
            .into_iter()
            .fold(0, |bits, feature| bits | bit(feature));
        Self { bits }
    }

    /// Whether `feature` is offered.
    #[must_use]
    pub const fn contains(self, feature: Feature) -> bool {
        self.bits & bit(feature) != 0
    }

    /// The features that both offer.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self {
            bits: self.bits & other.bits,
        }
    }

    /// The features, in declared order.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL
            .iter()
            .copied()
            .filter(move |feature| self.contains(*feature))
    }
}

/// The bit of a feature in the set. It is not sent: on the wire a feature is its name.
const fn bit(feature: Feature) -> u32 {
    1 << feature as u32
}

impl Field for Features {
    const SHAPE: Shape = Shape::Array;

    fn write(&self, out: &mut Encoder<'_>) {
        out.array(self.iter().count());
        self.iter().for_each(|feature| feature.write(out));
    }

    fn into_item(self) -> Item {
        Item::Array(self.iter().map(Feature::into_item).collect())
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        let names = <Vec<String> as Field>::read(item)?;
        Ok(Self::of(
            names.iter().filter_map(|name| Feature::from_name(name)),
        ))
    }
}

/// A POSIX signal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signo(i32);

impl Signo {
    /// The least signal number.
    pub const MIN: i32 = 1;
    /// The greatest signal number, real-time signals included.
    pub const MAX: i32 = 64;
    /// The signal that ends a process and that the process cannot catch or ignore.
    pub const KILL: Self = Self(9);
    /// The signal that an interrupt from the keyboard sends.
    pub const INT: Self = Self(2);
    /// The signal that asks a process to end.
    pub const TERM: Self = Self(15);

    /// The signal with this number; `None` outside of the range.
    #[must_use]
    pub fn new(signo: i32) -> Option<Self> {
        (Self::MIN..=Self::MAX)
            .contains(&signo)
            .then_some(Self(signo))
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl Field for Signo {
    const SHAPE: Shape = Shape::Int;

    fn write(&self, out: &mut Encoder<'_>) {
        self.0.write(out);
    }

    fn into_item(self) -> Item {
        self.0.into_item()
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        let (min, max) = (i128::from(Self::MIN), i128::from(Self::MAX));
        let got = read_between(&item, min, max)?;
        i32::try_from(got)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| FieldFault::here(FieldFaultKind::Range { min, max, got }))
    }
}

payloads! {
    /// The payload of a message that has no fields.
    pub struct Empty {}

    /// The host's offer.
    pub struct Hello where offers_in_order {
        /// The newest addition to `protocol_version` that the host knows; absent: 0.
        pub minor: Option<u32>,
        /// The most requests that the host will have open at once; absent: [`IDS_MAX_UNSAID`].
        pub ids_max: Option<NonZeroU32>,
        /// The features that the host knows.
        pub features: Features,
        /// The oldest major version that the host supports.
        pub min_version: u32,
        /// The longest frame body that the host accepts, in bytes; absent:
        /// [`FRAME_LEN_MAX`](crate::FRAME_LEN_MAX).
        pub frame_len_max: Option<FrameLen>,
        /// The newest major version that the host supports, at least `min_version`.
        pub protocol_version: u32,
    }

    /// The guest's answer, with what both sides use from now on.
    pub struct HelloOk {
        /// The newest addition to `protocol_version` that the guest knows; absent: 0.
        pub minor: Option<u32>,
        /// The most requests that the guest accepts at once; absent: [`IDS_MAX_UNSAID`].
        pub ids_max: Option<NonZeroU32>,
        /// The guest's operating system, for people.
        pub guest_os: String,
        /// The initial credit of every standard input, in bytes; absent: no flow control there.
        pub stdin_window: Option<u32>,
        /// The agent's own version, for people.
        pub agent_version: String,
        /// The longest frame body that the guest accepts, in bytes; absent:
        /// [`FRAME_LEN_MAX`](crate::FRAME_LEN_MAX).
        pub frame_len_max: Option<FrameLen>,
        /// The features that the guest serves.
        pub agent_features: Features,
        /// The version of every later frame: the highest in both ranges.
        pub protocol_version: u32,
    }

    /// The guest's refusal.
    pub struct HelloErr {
        /// Which side is too old.
        pub code: HelloErrCode,
        /// The reason, for people.
        pub message: String,
        /// The range that the host offered, as the guest received it.
        pub offered: VersionRange,
        /// The range that the guest supports.
        pub supported: VersionRange,
    }

    /// A command to run, without a shell.
    pub struct ExecRequest {
        /// The command: a path, or a name that the guest looks up in its own `PATH`.
        pub cmd: String,
        /// The working directory; absent: the agent's own.
        pub cwd: Option<String>,
        /// Additions to the agent's environment, `KEY=VALUE` each; absent: none.
        pub env: Option<Vec<String>>,
        /// The arguments, starting with the command's own name; absent: `cmd` alone.
        pub argv: Option<Vec<String>>,
        /// Whether `stdin_data` follows; absent or false: standard input is empty.
        pub stdin: Option<bool>,
        /// How long the command may run, in milliseconds; absent: without limit.
        pub deadline_ms: Option<NonZeroU32>,
        /// The initial credit of standard error, in bytes; absent: no flow control there.
        pub stderr_window: Option<u32>,
        /// The initial credit of standard output, in bytes; absent: no flow control there.
        pub stdout_window: Option<u32>,
    }

    /// Bytes that the command wrote.
    pub struct ExecOutput {
        /// The bytes, which the link never interprets.
        pub data: Vec<u8>,
        /// The stream that it wrote to.
        pub stream: Stream,
    }

    /// Bytes for the command to read.
    pub struct StdinData {
        /// Whether standard input ends after `data`; absent: no.
        pub eof: Option<bool>,
        /// The bytes; may be empty, to send only the end.
        pub data: Vec<u8>,
    }

    /// More credit for an output stream.
    pub struct ExecWindow {
        /// How many more bytes the guest may send.
        pub credit: NonZeroU32,
        /// The stream.
        pub stream: Stream,
    }

    /// More credit for standard input.
    pub struct StdinWindow {
        /// How many more bytes the host may send.
        pub credit: NonZeroU32,
    }

    /// A signal for the process group of the command.
    pub struct Signal {
        /// The signal.
        pub signo: Signo,
    }

    /// How the command ended.
    pub struct ExecResponse {
        /// The signal that ended it; absent: it exited.
        pub signal: Option<Signo>,
        /// Its exit code; 128 + `signal` if a signal ended it.
        pub exit_code: i32,
        /// Whether the agent ended it because its deadline passed; absent: no.
        pub timed_out: Option<bool>,
    }

    /// Why a request was not carried out, or, on id 0, why the link ends.
    pub struct ErrorReply {
        /// The reason.
        pub code: ErrorCode,
        /// The reason, for people.
        pub message: String,
        /// The versions that the sender supports; only with `unsupported_version`.
        pub supported: Option<VersionRange>,
    }
}

fn offers_in_order(hello: &Hello) -> Result<(), FieldFault> {
    let (min, max) = (hello.min_version, hello.protocol_version);
    if min > max {
        return Err(FieldFault::at(
            "min_version",
            FieldFaultKind::Inverted { min, max },
        ));
    }
    Ok(())
}

impl Hello {
    /// The offered range of versions.
    #[must_use]
    pub const fn versions(&self) -> VersionRange {
        VersionRange {
            min: self.min_version,
            max: self.protocol_version,
        }
    }

    /// The most requests that the host will have open at once.
    #[must_use]
    pub fn ids_max(&self) -> u32 {
        self.ids_max.map_or(IDS_MAX_UNSAID, NonZeroU32::get)
    }
}

impl HelloOk {
    /// The most requests that the guest accepts at once.
    #[must_use]
    pub fn ids_max(&self) -> u32 {
        self.ids_max.map_or(IDS_MAX_UNSAID, NonZeroU32::get)
    }
}

impl ExecRequest {
    /// A request with the command alone: no arguments, no input, no deadline, no flow control.
    #[must_use]
    pub const fn new(cmd: String) -> Self {
        Self {
            cmd,
            cwd: None,
            env: None,
            argv: None,
            stdin: None,
            deadline_ms: None,
            stderr_window: None,
            stdout_window: None,
        }
    }
}

impl ErrorReply {
    /// An error without a version range.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            supported: None,
        }
    }
}

/// The longest frame body that a peer accepts, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameLen(u32);

impl FrameLen {
    /// The length that applies if a peer does not give one.
    pub const DEFAULT: Self = Self(crate::bounds::FRAME_LEN_MAX);

    /// The given length, if it is between [`FRAME_LEN_MIN`](crate::FRAME_LEN_MIN) and
    /// [`FRAME_LEN_MAX`](crate::FRAME_LEN_MAX).
    #[must_use]
    pub fn new(len: u32) -> Option<Self> {
        (crate::bounds::FRAME_LEN_MIN..=crate::bounds::FRAME_LEN_MAX)
            .contains(&len)
            .then_some(Self(len))
    }

    /// The length in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl Default for FrameLen {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Field for FrameLen {
    const SHAPE: Shape = Shape::Int;

    fn write(&self, out: &mut Encoder<'_>) {
        self.0.write(out);
    }

    fn into_item(self) -> Item {
        self.0.into_item()
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        let min = i128::from(crate::bounds::FRAME_LEN_MIN);
        let max = i128::from(crate::bounds::FRAME_LEN_MAX);
        let got = read_between(&item, min, max)?;
        u32::try_from(got)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| FieldFault::here(FieldFaultKind::Range { min, max, got }))
    }
}
