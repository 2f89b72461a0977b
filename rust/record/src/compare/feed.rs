//! The items of a recording that are compared, in the order of its replay.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use antiphon_machine::{
    Class, CoroutineId, EdgeId, EffectId, End, Event, FailureKind, Fault, Ingress, LabelId,
    Message, ObsEvent, OperationId, SessionId, Sort, SortId, Value, VerifiedImage,
};

use crate::describe;
use crate::entry::{Entry, Request};
use crate::error::ReplayError;
use crate::timeline::{Moment, Timeline};

/// A sequence of items whose order is compared. Items of different tracks have no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Track {
    /// The session; `u32::MAX` for the clock, which belongs to no session.
    pub(super) session: u32,
    pub(super) kind: TrackKind,
}

/// The tracks of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TrackKind {
    /// Its start and its end.
    Life,
    /// The messages from one role to another.
    Edge(EdgeId),
    /// The calls of a role, or of a spawned coroutine.
    Calls(CoroutineId),
    /// The advances of the clock.
    Clock,
}

/// An item that is compared.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) clock: u64,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Opened(Arc<VerifiedImage>),
    Ended(End),
    Message(Sent),
    /// A message that is a piece of a stream.
    Piece(Piece),
    Called {
        operation: OperationId,
        args: Vec<Value>,
    },
    Answered {
        operation: OperationId,
        result: Value,
    },
    Failed {
        operation: OperationId,
        kind: FailureKind,
        detail: Arc<str>,
    },
    Faulted(Fault),
    Ticks(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) number: u64,
    pub(super) label: LabelId,
    pub(super) payload: Value,
    pub(super) sort: Option<SortId>,
}

#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) sent: Sent,
    pub(super) clock: u64,
    /// The variant of the stream; `None` for an edge with one stream.
    pub(super) stream: Option<u64>,
    pub(super) bytes: Arc<Box<[u8]>>,
    /// Number of bytes already compared.
    pub(super) at: usize,
}

impl Item {
    /// The approximate memory that it takes, in bytes.
    pub(super) fn weight(&self) -> u64 {
        const ITEM: u64 = 128;
        let held = match &self.content {
            Content::Message(sent) => sent.payload.encoded_len(),
            Content::Piece(piece) => piece.bytes.len() as u64,
            Content::Called { args, .. } => args.iter().map(Value::encoded_len).sum(),
            Content::Answered { result, .. } => result.encoded_len(),
            Content::Failed { detail, .. } => detail.len() as u64,
            Content::Opened(_) | Content::Ended(_) | Content::Faulted(_) | Content::Ticks(_) => 0,
        };
        ITEM + held
    }
}

/// Reads the items of a recording.
#[derive(Debug)]
pub(super) struct Feed<R> {
    pub(super) timeline: Timeline<R>,
    /// The outstanding effects of the replayed machine, whose number it bounds.
    asked: BTreeMap<EffectId, (CoroutineId, OperationId)>,
    has_time: bool,
    /// Describes the divergence, if the replay diverged.
    pub(super) divergence: Option<String>,
}

impl<R: Read> Feed<R> {
    pub(super) fn open(from: R, has_time: bool) -> Result<Feed<R>, ReplayError> {
        Ok(Feed {
            timeline: Timeline::open(from)?,
            asked: BTreeMap::new(),
            has_time,
            divergence: None,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<(Track, Item)>, ReplayError> {
        while let Some(moment) = self.timeline.next() {
            let found = match moment? {
                Moment::Event(event) => self.event(&event),
                Moment::Entry { entry, .. } => self.entry(entry),
                Moment::Diverged(divergence) => {
                    let step = divergence.step;
                    let name = divergence.difference.name();
                    self.divergence = Some(format!("diverges at step {step}: {name}"));
                    None
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn entry(&mut self, entry: Entry) -> Option<(Track, Item)> {
        match entry {
            Entry::Request(request) => self.called(request),
            Entry::Input {
                input: Ingress::AdvanceClock { ticks },
                ..
            } if self.has_time => {
                let (session, kind) = (u32::MAX, TrackKind::Clock);
                let clock = self.timeline.kernel().clock();
                let content = Content::Ticks(ticks);
                Some((Track { session, kind }, Item { clock, content }))
            }
            Entry::Header(_)
            | Entry::Image(_)
            | Entry::Answer(_)
            | Entry::Input { .. }
            | Entry::Refused(_)
            | Entry::Checkpoint(_)
            | Entry::Wave { .. }
            | Entry::End(_) => None,
        }
    }

    /// The call that a request makes. A request to a host is not a call, because it is about a
    /// message, which is an item itself.
    fn called(&mut self, request: Request) -> Option<(Track, Item)> {
        let image = describe::image_of(self.timeline.kernel(), request.effect.session);
        let row = describe::operation_row(image, request.operation)?;
        match row.class {
            Class::Produce { .. } | Class::Deliver { .. } | Class::Decide { .. } => return None,
            Class::Command | Class::Observe | Class::Check => {}
        }
        let (coroutine, _) = *self.asked.get(&request.effect)?;
        let content = Content::Called {
            operation: request.operation,
            args: request.args,
        };
        let clock = self.timeline.kernel().clock();
        Some((
            calls(request.effect.session, coroutine),
            Item { clock, content },
        ))
    }

    fn event(&mut self, event: &ObsEvent) -> Option<(Track, Item)> {
        let session = event.stamp.session;
        let effect = |number: u64| EffectId { session, number };
        let life = Track {
            session: session.0,
            kind: TrackKind::Life,
        };
        let (track, content) = match &event.event {
            Event::Opened { .. } => {
                let kernel = self.timeline.kernel();
                let image = kernel.image(kernel.session(session)?);
                (life, Content::Opened(Arc::clone(image)))
            }
            Event::SessionTerminal { end } => (life, Content::Ended(*end)),
            Event::Sent(message) | Event::Offered(message) => {
                let track = Track {
                    session: session.0,
                    kind: TrackKind::Edge(message.edge),
                };
                let image = describe::image_of(self.timeline.kernel(), session);
                (track, sent(image, message, event.stamp.clock))
            }
            Event::EffectIssued {
                number,
                coroutine,
                operation,
                ..
            } => {
                self.asked.insert(effect(*number), (*coroutine, *operation));
                return None;
            }
            Event::EffectResolved { number, result } => {
                self.answered(effect(*number), result.clone())?
            }
            Event::EffectFailed { number, failure } => {
                let (coroutine, operation) = self.asked.remove(&effect(*number))?;
                let content = Content::Failed {
                    operation,
                    kind: failure.kind,
                    detail: failure.detail.clone(),
                };
                (calls(session, coroutine), content)
            }
            Event::EffectInvalidated { number } => {
                self.asked.remove(&effect(*number));
                return None;
            }
            Event::Faulted { coroutine, fault } => {
                (calls(session, *coroutine), Content::Faulted(*fault))
            }
            Event::Received(_)
            | Event::Chose(_)
            | Event::WitnessIssued { .. }
            | Event::WitnessExpired { .. }
            | Event::TimeoutIssued { .. }
            | Event::CancellationRequested { .. }
            | Event::Cancelled { .. }
            | Event::FailureBranchEntered { .. }
            | Event::Spawned { .. }
            | Event::Halted { .. }
            | Event::Closed
            | Event::EpochAdvanced { .. } => return None,
        };
        let clock = event.stamp.clock;
        Some((track, Item { clock, content }))
    }
}

impl<R: Read> Feed<R> {
    /// The result of a call. The answer of a host is not one, because it is about a message.
    fn answered(&mut self, effect: EffectId, result: Value) -> Option<(Track, Content)> {
        let (coroutine, operation) = self.asked.remove(&effect)?;
        let image = describe::image_of(self.timeline.kernel(), effect.session);
        let row = describe::operation_row(image, operation)?;
        match row.class {
            Class::Produce { .. } | Class::Deliver { .. } | Class::Decide { .. } => return None,
            Class::Command | Class::Observe | Class::Check => {}
        }
        let content = Content::Answered { operation, result };
        Some((calls(effect.session, coroutine), content))
    }
}

fn calls(session: SessionId, coroutine: CoroutineId) -> Track {
    Track {
        session: session.0,
        kind: TrackKind::Calls(coroutine),
    }
}

/// A message, or a piece of a stream: an `exec_output` with a variant `stream` and bytes `data`, or
/// a `stdin_data` of bytes.
fn sent(image: Option<&VerifiedImage>, message: &Message, clock: u64) -> Content {
    let sent = Sent {
        number: message.sequence,
        label: message.label,
        payload: message.payload.clone(),
        sort: image.and_then(|image| describe::message_sort(image, message)),
    };
    let found = image.and_then(|image| stream(image, &sent));
    match found {
        Some((stream, bytes)) => Content::Piece(Piece {
            sent,
            clock,
            stream,
            bytes,
            at: 0,
        }),
        None => Content::Message(sent),
    }
}

/// The variant of a stream, if an edge has several streams, and the bytes of a piece.
type Stream = (Option<u64>, Arc<Box<[u8]>>);

fn stream(image: &VerifiedImage, sent: &Sent) -> Option<Stream> {
    match (image.label_name(sent.label), &sent.payload) {
        ("stdin_data", Value::Bytes(bytes)) => Some((None, Arc::clone(bytes))),
        ("exec_output", Value::Record(values)) => {
            let Sort::Record { fields, .. } = image.image().sorts.get(sent.sort?.index())? else {
                return None;
            };
            let names = [fields.first()?.0.as_str(), fields.get(1)?.0.as_str()];
            match (names, &values[..]) {
                (["stream", "data"], [Value::Nat(stream), Value::Bytes(bytes)]) => {
                    Some((Some(*stream), Arc::clone(bytes)))
                }
                _ => None,
            }
        }
        _ => None,
    }
}
