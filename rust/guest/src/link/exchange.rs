//! The exchange of one session with the guest: its open request, the frames received for it, and
//! the effect that waits for a frame.

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon_codec::Item;
use antiphon_machine::{EffectId, FailureKind, LabelId, Outcome, RoleId, Sort, SortId, Value};
use antiphon_wire::{ErrorReply, ExecOutput, Message, MessageKind, Stream, Terminal};

use super::convert;

/// The most bytes of output in one payload. With the record around it, it stays within the
/// machine's bound of a payload.
pub(crate) const PIECE_LEN_MAX: usize = 32 << 10;

/// The number of waiting frames from which on output is appended to the last frame of its stream.
/// The guest then writes faster than its session reads, and frames of single bytes would take far
/// more memory than their data.
const FRAMES_MAX: usize = 64;

/// The memory of a frame without its data, in the count of buffered bytes.
const FRAME_COST: usize = 64;

/// A received frame that was not taken yet.
#[derive(Debug)]
pub(crate) enum Frame {
    /// Output. The bytes before `start` were taken.
    Output {
        stream: Stream,
        data: Vec<u8>,
        start: usize,
    },
    /// The end of the request.
    End {
        kind: MessageKind,
        payload: Item,
        error: Option<ErrorReply>,
        len: usize,
    },
}

/// A label that the guest may choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch<N> {
    pub(crate) label: LabelId,
    pub(crate) name: N,
    /// Whether the role requests the payload next. If not, the choice alone takes the frame.
    pub(crate) has_payload: bool,
}

impl Branch<&str> {
    pub(crate) fn into_owned(self) -> Branch<Box<str>> {
        Branch {
            label: self.label,
            name: self.name.into(),
            has_payload: self.has_payload,
        }
    }
}

/// The frame that a role waits for.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// A frame with any of these labels, which is the guest's choice.
    Decide {
        role: RoleId,
        branches: Vec<Branch<Box<str>>>,
    },
    /// The payload of a frame with this label, as a value of this sort.
    Produce {
        label: Box<str>,
        sort: SortId,
        sorts: Arc<[Sort]>,
    },
}

/// Input that waits for credit.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) effect: EffectId,
    /// The bytes, shared with the value that the protocol sent.
    pub(crate) data: Value,
    /// The number of bytes that were sent.
    pub(crate) start: usize,
    pub(crate) eof: bool,
}

/// Why a session receives no more frames.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FailureKind,
    pub(crate) detail: Arc<str>,
}

/// The exchange of one session.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// The open request.
    pub(crate) open: Option<u32>,
    /// Whether a request was ever made.
    pub(crate) started: bool,
    /// Whether the open request has standard input.
    pub(crate) has_stdin: bool,
    /// The frames that were not taken yet. Bounded by the credit of the streams: see `FRAMES_MAX`.
    pub(crate) inbox: VecDeque<Frame>,
    /// The role that received the first frame's label as a choice and requests its payload next.
    /// Until then the frame stays in the inbox.
    pub(crate) chosen: Option<RoleId>,
    pub(crate) waiting: Option<(EffectId, Wanted)>,
    /// Input that waits for credit. Bounded by the number of roles, because each role waits for its
    /// write to end.
    pub(crate) writes: VecDeque<Write>,
    pub(crate) fault: Option<Fault>,
    /// The tick at which the host stops waiting for the end of the open request.
    pub(crate) deadline: Option<u64>,
    /// The tick at which the open request was cancelled.
    pub(crate) cancelled_at: Option<u64>,
    /// Whether a frame was taken since the last tick.
    pub(crate) has_taken: bool,
    /// The initial credit of each stream.
    pub(crate) windows: [u32; 2],
    /// Bytes taken whose credit was not returned yet.
    pub(crate) consumed: [u32; 2],
}

/// The result of looking for a wanted frame.
pub(crate) enum Served {
    /// The frame has not arrived yet.
    Later,
    /// The outcome of the effect, and the stream and the number of bytes that it took.
    Now {
        outcome: Outcome,
        taken: Option<(Stream, u32)>,
    },
    /// The first frame is not allowed by the protocol here.
    Violation { outcome: Outcome },
}

impl Fault {
    pub(crate) fn new(kind: FailureKind, detail: impl AsRef<str>) -> Fault {
        Fault {
            kind,
            detail: Arc::from(detail.as_ref()),
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::failure(self.kind, &self.detail)
    }
}

impl Frame {
    pub(crate) fn of(terminal: Terminal, len: usize) -> Frame {
        let error = match &terminal {
            Terminal::Error(reply) => Some(reply.clone()),
            Terminal::Exec(_) | Terminal::Op(_) | Terminal::Pong => None,
        };
        let (kind, payload) = match terminal {
            Terminal::Exec(end) => (
                MessageKind::ExecResponse,
                Message::ExecResponse(end).into_payload(),
            ),
            Terminal::Op(end) => (MessageKind::OpResult, Message::OpResult(end).into_payload()),
            Terminal::Error(end) => (MessageKind::Error, Message::Error(end).into_payload()),
            Terminal::Pong => (MessageKind::Pong, Item::Map(Vec::new())),
        };
        Frame::End {
            kind,
            payload,
            error,
            len,
        }
    }

    fn kind(&self) -> MessageKind {
        match self {
            Frame::Output { .. } => MessageKind::ExecOutput,
            Frame::End { kind, .. } => *kind,
        }
    }

    fn len(&self) -> usize {
        FRAME_COST
            + match self {
                Frame::Output { data, .. } => data.capacity(),
                Frame::End { len, .. } => *len,
            }
    }

    /// The stream and the number of bytes that are taken with the frame.
    fn taken(&self) -> Option<(Stream, u32)> {
        match self {
            Frame::Output {
                stream,
                data,
                start,
            } => {
                let len = data.len().saturating_sub(*start);
                Some((*stream, u32::try_from(len).unwrap_or(u32::MAX)))
            }
            Frame::End { .. } => None,
        }
    }

    fn into_payload(self) -> Item {
        match self {
            Frame::Output {
                stream,
                mut data,
                start,
            } => {
                data.drain(..start);
                Message::ExecOutput(ExecOutput { data, stream }).into_payload()
            }
            Frame::End { payload, .. } => payload,
        }
    }
}

impl Exchange {
    /// The number of bytes held for this session.
    pub(crate) fn buffered_len(&self) -> usize {
        let frames = self.inbox.iter().map(Frame::len);
        let writes = self
            .writes
            .iter()
            .map(|write| FRAME_COST + convert::bytes_of(&write.data).len());
        frames.chain(writes).sum()
    }

    /// Keeps output until an effect takes it. Empty output is dropped.
    pub(crate) fn on_output(&mut self, stream: Stream, mut data: Vec<u8>) {
        if data.is_empty() {
            return;
        }
        if self.inbox.len() >= FRAMES_MAX {
            // This loses the order between the two streams. The guest reads them from two pipes, so
            // their order was never certain.
            let last = self.inbox.iter_mut().rev().find_map(|frame| match frame {
                Frame::Output {
                    stream: of, data, ..
                } if *of == stream => Some(data),
                Frame::Output { .. } | Frame::End { .. } => None,
            });
            if let Some(last) = last.filter(|last| last.len() + data.len() <= PIECE_LEN_MAX) {
                last.append(&mut data);
                return;
            }
        }
        data.shrink_to_fit();
        self.inbox.push_back(Frame::Output {
            stream,
            data,
            start: 0,
        });
    }

    /// Ends the exchange. Frames that were not taken are dropped, except if the guest is lost.
    pub(crate) fn fail(&mut self, fault: &Fault) {
        if fault.kind != FailureKind::Lost {
            self.inbox.clear();
            self.chosen = None;
        }
        self.open = None;
        self.deadline = None;
        self.fault.get_or_insert_with(|| fault.clone());
    }

    /// Whether another role has received the first frame's label and its payload is still due.
    pub(crate) fn is_chosen_by_other(&self, role: RoleId) -> bool {
        self.chosen.is_some_and(|chosen| chosen != role)
    }

    /// Answers a waiting effect from the inbox.
    pub(crate) fn serve(&mut self, wanted: &Wanted) -> Served {
        match wanted {
            Wanted::Decide { role, branches } => self.decide(*role, branches),
            Wanted::Produce { label, sort, sorts } => self.produce(label, *sort, sorts),
        }
    }

    /// Answers a choice. If the role requests the payload next, that request takes the frame.
    /// Otherwise the choice takes it here.
    fn decide(&mut self, role: RoleId, branches: &[Branch<Box<str>>]) -> Served {
        self.drop_chosen();
        let Some(kind) = self.inbox.front().map(Frame::kind) else {
            return self.no_frame();
        };
        let name = kind.name();
        let Some(branch) = branches.iter().find(|branch| *branch.name == *name) else {
            let names: Vec<&str> = branches.iter().map(|branch| &*branch.name).collect();
            return self.wrong_frame(&names.join(", "));
        };
        let taken = if branch.has_payload {
            self.chosen = Some(role);
            None
        } else {
            self.take(usize::MAX).and_then(|frame| frame.taken())
        };
        Served::Now {
            outcome: Outcome::chosen(branch.label),
            taken,
        }
    }

    /// Drops a chosen frame whose payload was not requested, because a call in between has failed
    /// and the protocol took another path.
    fn drop_chosen(&mut self) {
        if self.chosen.take().is_none() {
            return;
        }
        if let Some((stream, len)) = self.take(PIECE_LEN_MAX).and_then(|frame| frame.taken()) {
            self.consume(stream, len);
        }
    }

    /// Records consumed bytes, whose credit must be returned.
    pub(crate) fn consume(&mut self, stream: Stream, len: u32) {
        let consumed = &mut self.consumed[index(stream)];
        *consumed = consumed.saturating_add(len);
    }

    /// Takes the credit of a stream that should be returned now. It is returned in quarters of the
    /// window: often enough that the guest does not wait, and seldom enough to be cheap.
    pub(crate) fn take_due_credit(&mut self, stream: Stream) -> u32 {
        let window = self.windows[index(stream)];
        let consumed = &mut self.consumed[index(stream)];
        if *consumed >= window / 4 {
            std::mem::take(consumed)
        } else {
            0
        }
    }

    fn produce(&mut self, label: &str, sort: SortId, sorts: &[Sort]) -> Served {
        self.chosen = None;
        match self.inbox.front().map(Frame::kind) {
            None => return self.no_frame(),
            Some(kind) if kind.name() == label => {}
            Some(_) => return self.wrong_frame(label),
        }
        // A payload without the data takes the whole frame. Otherwise each piece would repeat the
        // message.
        let len_max = if has_data(sort, sorts) {
            PIECE_LEN_MAX
        } else {
            usize::MAX
        };
        let Some(frame) = self.take(len_max) else {
            return self.no_frame();
        };
        let (kind, taken) = (frame.kind(), frame.taken());
        match convert::value(frame.into_payload(), kind.fields(), sort, sorts) {
            Ok(value) => Served::Now {
                outcome: Outcome::Success(value),
                taken,
            },
            Err(error) => violation(&format!("`{kind}` from the guest: {error}")),
        }
    }

    /// Takes the first frame, or at most `len_max` bytes of output.
    fn take(&mut self, len_max: usize) -> Option<Frame> {
        self.has_taken = true;
        if let Some(Frame::Output {
            stream,
            data,
            start,
        }) = self.inbox.front_mut()
            && data.len() - *start > len_max
        {
            let piece = data.get(*start..*start + len_max).unwrap_or_default();
            let (stream, data) = (*stream, piece.to_vec());
            *start += len_max;
            return Some(Frame::Output {
                stream,
                data,
                start: 0,
            });
        }
        self.inbox.pop_front()
    }

    fn no_frame(&self) -> Served {
        if let Some(fault) = &self.fault {
            return Served::Now {
                outcome: fault.outcome(),
                taken: None,
            };
        }
        if self.started && self.open.is_none() {
            return violation("the request has ended and nothing more comes from the guest");
        }
        Served::Later
    }

    /// The result if the first frame is not wanted.
    fn wrong_frame(&mut self, wanted: &str) -> Served {
        let frame = self.inbox.pop_front();
        if let Some(Frame::End {
            error: Some(reply), ..
        }) = &frame
        {
            // An `error` is a failure and not a violation, even if the protocol does not handle it.
            let outcome = refusal(reply);
            return Served::Now {
                outcome,
                taken: None,
            };
        }
        let got = frame.map_or("nothing", |frame| frame.kind().name());
        violation(&format!("expected {wanted} from the guest, got `{got}`"))
    }
}

/// The index of a stream in the arrays of credit.
fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// Whether a value of the sort has the output's data.
fn has_data(sort: SortId, sorts: &[Sort]) -> bool {
    match sorts.get(sort.index()) {
        Some(Sort::Record { fields, .. }) => fields.iter().any(|(name, _)| name == "data"),
        Some(_) | None => false,
    }
}

fn violation(detail: &str) -> Served {
    Served::Violation {
        outcome: Outcome::failure(FailureKind::ContractViolation, detail),
    }
}

/// The outcome for an `error` of the guest.
pub(crate) fn refusal(reply: &ErrorReply) -> Outcome {
    use antiphon_wire::ErrorCode;
    let kind = match reply.code {
        ErrorCode::InvalidRequest
        | ErrorCode::Unsupported
        | ErrorCode::TooLarge
        | ErrorCode::NotFound
        | ErrorCode::SpawnFailed => FailureKind::InvalidInput,
        ErrorCode::UnsupportedVersion | ErrorCode::UnknownId => FailureKind::ContractViolation,
        ErrorCode::Busy => FailureKind::Busy,
        ErrorCode::Denied => FailureKind::Denied,
        ErrorCode::Cancelled => FailureKind::Cancelled,
        ErrorCode::TimedOut => FailureKind::Timeout,
        ErrorCode::ShuttingDown => FailureKind::Unavailable,
        ErrorCode::Internal => FailureKind::Internal,
    };
    Outcome::failure(kind, &format!("{}: {}", reply.code.name(), reply.message))
}

/// The outcome of an effect that succeeded without a result.
pub(crate) fn done() -> Outcome {
    Outcome::Success(Value::Unit)
}
