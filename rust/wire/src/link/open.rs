use std::collections::BTreeMap;

use crate::bounds::{LIST_LEN, LIST_LEN_MAX, WINDOW_MAX};
use crate::link::{StdStream, Violation};
use crate::message::{
    Empty, ExecRequest, GuestMessage, HostFollowUp, HostRequest, MessageKind, Stream,
};
use crate::result::{OpResult, OpValue};

/// The credit of a stream: how much may still be sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credit {
    /// This number of bytes.
    Bytes(u64),
    /// No limit: no flow control was requested.
    Unlimited,
}

impl Credit {
    fn initial(window: Option<u32>) -> Self {
        window.map_or(Self::Unlimited, |bytes| Self::Bytes(u64::from(bytes)))
    }

    /// How many of `wanted` bytes may be sent now.
    #[must_use]
    pub fn cap(self, wanted: usize) -> usize {
        match self {
            Self::Bytes(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX).min(wanted),
            Self::Unlimited => wanted,
        }
    }

    fn spend(&mut self, stream: StdStream, got: u64) -> Result<(), Violation> {
        match self {
            Self::Bytes(credit) if *credit < got => Err(Violation::CreditExceeded {
                stream,
                credit: *credit,
                got,
            }),
            Self::Bytes(credit) => {
                *credit -= got;
                Ok(())
            }
            Self::Unlimited => Ok(()),
        }
    }

    fn grant(&mut self, stream: StdStream, granted: u32) -> Result<(), Violation> {
        match self {
            Self::Bytes(credit) if *credit + u64::from(granted) > WINDOW_MAX => {
                Err(Violation::CreditOverflow {
                    stream,
                    credit: *credit,
                    granted,
                })
            }
            Self::Bytes(credit) => {
                *credit += u64::from(granted);
                Ok(())
            }
            Self::Unlimited => Ok(()),
        }
    }
}

/// An open request, in a list of open requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRequest {
    /// Its id.
    pub id: u32,
    /// Its type.
    pub request: MessageKind,
}

/// The state of an open request that decides which messages may follow on its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) request: MessageKind,
    /// Whether a violation was reported. Later messages are then ignored until the terminal
    /// message.
    pub(super) aborted: bool,
    expects: Expects,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expects {
    Exec(Streams),
    /// At most this number of bytes.
    Data(u32),
    /// At most this number of bytes reported as written.
    Written(usize),
    /// At most `max` entries, all after this name.
    Entries {
        max: u32,
        after: Option<String>,
    },
    /// This number of buffers.
    Buffers(usize),
    /// A result without a bound.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Streams {
    stdin: Stdin,
    stdin_credit: Credit,
    stdout_credit: Credit,
    stderr_credit: Credit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stdin {
    None,
    Open,
    Ended,
}

impl Streams {
    fn of(exec: &ExecRequest, stdin_window: Option<u32>) -> Self {
        Self {
            stdin: if exec.stdin == Some(true) {
                Stdin::Open
            } else {
                Stdin::None
            },
            stdin_credit: Credit::initial(stdin_window),
            stdout_credit: Credit::initial(exec.stdout_window),
            stderr_credit: Credit::initial(exec.stderr_window),
        }
    }

    fn credit(&mut self, stream: StdStream) -> &mut Credit {
        match stream {
            StdStream::Stdin => &mut self.stdin_credit,
            StdStream::Stdout => &mut self.stdout_credit,
            StdStream::Stderr => &mut self.stderr_credit,
        }
    }
}

impl From<Stream> for StdStream {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::Stdout,
            Stream::Stderr => Self::Stderr,
        }
    }
}

impl Open {
    /// The state of a request that was just sent or received.
    pub(super) fn of(request: &HostRequest, stdin_window: Option<u32>) -> Self {
        let expects = match request {
            HostRequest::ExecRequest(exec) => Expects::Exec(Streams::of(exec, stdin_window)),
            HostRequest::FsRead(read) => Expects::Data(read.len),
            HostRequest::FsReadFile(read) => Expects::Data(read.len.unwrap_or(u32::MAX)),
            HostRequest::FsWrite(write) => Expects::Written(write.data.len()),
            HostRequest::FsWriteFile(write) => Expects::Written(write.data.len()),
            HostRequest::FsList(list) => Expects::Entries {
                max: list.limit.map_or(LIST_LEN, std::num::NonZeroU32::get),
                after: list.after.clone(),
            },
            HostRequest::Syscall(call) => Expects::Buffers(call.bufs.len()),
            HostRequest::FsOpen(_)
            | HostRequest::FsSeek(_)
            | HostRequest::FsClose(_)
            | HostRequest::FsStat(_)
            | HostRequest::FsMkdir(_)
            | HostRequest::FsUnlink(_)
            | HostRequest::FsRename(_)
            | HostRequest::Ping(_) => Expects::Plain,
        };
        Self {
            request: request.kind(),
            aborted: false,
            expects,
        }
    }

    fn streams(&mut self, t: MessageKind) -> Result<&mut Streams, Violation> {
        let request = self.request;
        match &mut self.expects {
            Expects::Exec(streams) => Ok(streams),
            Expects::Data(_)
            | Expects::Written(_)
            | Expects::Entries { .. }
            | Expects::Buffers(_)
            | Expects::Plain => Err(Violation::WrongRequest { request, t }),
        }
    }

    /// The credit of a stream, if this is a command.
    pub(super) fn credit(&self, stream: StdStream) -> Option<Credit> {
        match self.expects {
            Expects::Exec(mut streams) => Some(*streams.credit(stream)),
            Expects::Data(_)
            | Expects::Written(_)
            | Expects::Entries { .. }
            | Expects::Buffers(_)
            | Expects::Plain => None,
        }
    }

    /// Output of the command.
    pub(super) fn output(&mut self, stream: Stream, len: usize) -> Result<(), Violation> {
        let stream = StdStream::from(stream);
        self.streams(MessageKind::ExecOutput)?
            .credit(stream)
            .spend(stream, wide(len))
    }

    /// Input for the command.
    pub(super) fn stdin(&mut self, len: usize, eof: bool) -> Result<(), Violation> {
        let streams = self.streams(MessageKind::StdinData)?;
        match streams.stdin {
            Stdin::None => return Err(Violation::NoStdin),
            Stdin::Ended => return Err(Violation::AfterEof),
            Stdin::Open => {}
        }
        streams.stdin_credit.spend(StdStream::Stdin, wide(len))?;
        if eof {
            streams.stdin = Stdin::Ended;
        }
        Ok(())
    }

    /// More credit for a stream. Returns its credit afterwards.
    pub(super) fn grant(
        &mut self,
        t: MessageKind,
        stream: StdStream,
        credit: u32,
    ) -> Result<Credit, Violation> {
        let total = self.streams(t)?.credit(stream);
        total.grant(stream, credit)?;
        Ok(*total)
    }

    /// A follow-up of the host. Returns the new credit after a grant.
    pub(super) fn follow_up(
        &mut self,
        message: &HostFollowUp,
    ) -> Result<Option<Credit>, Violation> {
        match message {
            HostFollowUp::StdinData(input) => {
                self.stdin(input.data.len(), input.eof == Some(true))?;
            }
            HostFollowUp::ExecWindow(window) => {
                let (t, stream) = (MessageKind::ExecWindow, StdStream::from(window.stream));
                return self.grant(t, stream, window.credit.get()).map(Some);
            }
            HostFollowUp::Signal(_) => drop(self.streams(MessageKind::Signal)?),
            HostFollowUp::Cancel(Empty {}) => self.cancel()?,
        }
        Ok(None)
    }

    /// A message of the agent for the request. A ping does not belong to a request.
    pub(super) fn reply(&mut self, message: &GuestMessage) -> Result<(), Violation> {
        let t = message.kind();
        match message {
            GuestMessage::ExecOutput(output) => self.output(output.stream, output.data.len()),
            GuestMessage::StdinWindow(window) => self
                .grant(t, StdStream::Stdin, window.credit.get())
                .map(drop),
            GuestMessage::OpResult(result) => self.end(t, Some(result)),
            GuestMessage::ExecResponse(_) | GuestMessage::Error(_) | GuestMessage::Pong(_) => {
                self.end(t, None)
            }
            GuestMessage::Ping(_) => Err(Violation::WrongRequest {
                request: self.request,
                t,
            }),
        }
    }

    fn cancel(&self) -> Result<(), Violation> {
        if self.request == MessageKind::Ping {
            let (request, t) = (self.request, MessageKind::Cancel);
            return Err(Violation::WrongRequest { request, t });
        }
        Ok(())
    }

    /// The terminal message of the request.
    pub(super) fn end(&self, t: MessageKind, result: Option<&OpResult>) -> Result<(), Violation> {
        let request = self.request;
        if !request.is_answered_by(t) {
            return Err(Violation::WrongAnswer { request, t });
        }
        let Some(result) = result else {
            return Ok(());
        };
        if result.op().request() != request {
            return Err(Violation::WrongOp {
                request,
                op: result.op(),
            });
        }
        match result {
            OpResult::Ok(value) => self.value(value),
            OpResult::Err { .. } => Ok(()),
        }
    }

    /// Checks a result against the bounds of the request.
    fn value(&self, value: &OpValue) -> Result<(), Violation> {
        match (&self.expects, value) {
            (Expects::Data(max), OpValue::FsRead(read) | OpValue::FsReadFile(read)) => {
                let got = read.data.len();
                if wide(got) > u64::from(*max) {
                    return Err(Violation::ReadTooLong { max: *max, got });
                }
            }
            (Expects::Written(max), OpValue::FsWrite(write) | OpValue::FsWriteFile(write)) => {
                let got = write.written;
                if u64::from(got) > wide(*max) {
                    return Err(Violation::WrittenTooLong { max: *max, got });
                }
            }
            (Expects::Entries { max, after }, OpValue::FsList(list)) => {
                let got = list.entries.len();
                if wide(got) > u64::from(*max).min(wide(LIST_LEN_MAX)) {
                    return Err(Violation::ListTooLong { max: *max, got });
                }
                let mut before = after.as_deref();
                for (index, entry) in list.entries.iter().enumerate() {
                    if before.is_some_and(|before| before >= entry.name.as_str()) {
                        return Err(Violation::ListUnsorted { index });
                    }
                    before = Some(&entry.name);
                }
            }
            (Expects::Buffers(expected), OpValue::Syscall(result)) => {
                let (expected, got) = (*expected, result.out_bufs.0.len());
                if expected != got {
                    return Err(Violation::BufferCount { expected, got });
                }
            }
            // The operation was compared with the request before; the other results have no bound.
            _ => {}
        }
        Ok(())
    }
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// The open ids of one side, and the greatest it has used.
///
/// Ids rise. So the greatest id is enough to know whether an id that is not open has ended or was
/// never used.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenIds {
    open: BTreeMap<u32, Open>,
    last: u32,
}

impl OpenIds {
    /// The next id; `None` if all were used.
    pub(super) fn next_id(&self) -> Option<u32> {
        self.last.checked_add(1)
    }

    /// Refuses an id of a request that is not greater than all earlier ids.
    pub(super) fn check_rising(&self, id: u32, t: MessageKind) -> Result<(), Violation> {
        if id <= self.last {
            return Err(Violation::IdNotRising { t, last: self.last });
        }
        Ok(())
    }

    /// Counts an id as used without opening it, because its request was answered at once.
    pub(super) fn use_up(&mut self, id: u32) {
        self.last = self.last.max(id);
    }

    pub(super) fn insert(&mut self, id: u32, open: Open) {
        self.use_up(id);
        self.open.insert(id, open);
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.open.remove(&id);
    }

    pub(super) fn find(&mut self, id: u32, t: MessageKind) -> Result<&mut Open, Violation> {
        let last = self.last;
        self.open.get_mut(&id).ok_or(if id <= last {
            Violation::AfterEnd { t }
        } else {
            Violation::NeverOpened { t }
        })
    }

    pub(super) fn peek(&self, id: u32) -> Option<&Open> {
        self.open.get(&id)
    }

    pub(super) fn was_used(&self, id: u32) -> bool {
        id <= self.last
    }

    /// The number of open pings, or of the other open requests.
    pub(super) fn count(&self, pings: bool) -> usize {
        self.open
            .values()
            .filter(|open| (open.request == MessageKind::Ping) == pings)
            .count()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = OpenRequest> + '_ {
        self.open
            .iter()
            .filter(|(_, open)| !open.aborted)
            .map(|(&id, open)| OpenRequest {
                id,
                request: open.request,
            })
    }

    /// Removes and returns the open requests.
    pub(super) fn drain(&mut self) -> Vec<OpenRequest> {
        let lost = self.iter().collect();
        self.open.clear();
        lost
    }
}
