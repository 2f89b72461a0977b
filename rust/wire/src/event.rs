//! The event stream, which reports to observers what happens in a run.
//!
//! Its frames are a length and a body, as on the link, but the body is an [`EventFrame`] and not an
//! [`Envelope`](crate::Envelope). The stream has one direction and so no handshake: every frame has
//! its version.

use antiphon_codec::{Encoder, Item, decode_lenient};

use crate::bounds::{FRAME_LEN_MAX, PROTOCOL_VERSION, VersionRange, frame_limits};
use crate::field::{Entries, Field, FieldFault, FieldFaultKind, FieldSpec, Shape, names, payloads};
use crate::frame::{Bodies, EncodeError, FrameError, put_body};
use crate::message::FrameLen;

names! {
    /// How a session ended.
    pub enum SessionOutcome {
        /// Every role reached its end.
        Closed = "closed",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Its owner aborted it.
        Aborted = "aborted",
        /// A fault ended it.
        Faulted = "faulted",
    }

    /// Why an effect failed.
    pub enum FailureName {
        /// Not allowed.
        Denied = "denied",
        /// Its time budget was used up.
        Timeout = "timeout",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// No handler could perform it.
        Unavailable = "unavailable",
        /// Its arguments were invalid.
        InvalidInput = "invalid_input",
        /// The authority for it had expired.
        StaleAuthority = "stale_authority",
        /// The handler violated its contract.
        ContractViolation = "contract_violation",
        /// The handler went away.
        Lost = "lost",
        /// The handler was overloaded.
        Busy = "busy",
        /// The handler failed internally.
        Internal = "internal",
    }

    /// What kind of fault it was.
    pub enum FaultCode {
        /// A message that the protocol does not allow.
        Protocol = "protocol",
        /// A message that the rules of the link do not allow.
        Link = "link",
        /// The guest went away.
        Lost = "lost",
        /// A bound was reached.
        Limit = "limit",
        /// The program of a role failed.
        Program = "program",
        /// The runtime itself failed.
        Internal = "internal",
    }

    /// A stream of a command.
    pub enum ChunkStream {
        /// Standard input.
        Stdin = "stdin",
        /// Standard output.
        Stdout = "stdout",
        /// Standard error.
        Stderr = "stderr",
    }
}

/// The BLAKE3 digest of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageDigest(pub [u8; 32]);

impl Field for ImageDigest {
    const SHAPE: Shape = Shape::Bytes;

    fn write(&self, out: &mut Encoder<'_>) {
        out.bytes(&self.0);
    }

    fn into_item(self) -> Item {
        Item::Bytes(self.0.to_vec())
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        let bytes = <Vec<u8> as Field>::read(item)?;
        let expected = 32;
        let got = bytes.len();
        <[u8; 32]>::try_from(bytes)
            .map(Self)
            .map_err(|_| FieldFault::here(FieldFaultKind::Length { expected, got }))
    }
}

payloads! {
    /// A session began.
    pub struct SessionOpened {
        /// The image that it runs.
        pub image: ImageDigest,
        /// The number of the session.
        pub session: u32,
        /// The name of its protocol.
        pub protocol: String,
    }

    /// A session ended.
    pub struct SessionClosed {
        /// How it ended.
        pub outcome: SessionOutcome,
        /// The number of the session.
        pub session: u32,
    }

    /// A session issued an effect.
    pub struct EffectIssued {
        /// The role that issued it.
        pub role: String,
        /// The number of the effect in its session.
        pub effect: u64,
        /// The session.
        pub session: u32,
        /// The interface of its operation.
        pub interface: String,
        /// The name of its operation.
        pub operation: String,
    }

    /// An effect was resolved.
    pub struct EffectResolved {
        /// The number of the effect in its session.
        pub effect: u64,
        /// Why it failed; absent: it succeeded.
        pub failure: Option<FailureName>,
        /// The session.
        pub session: u32,
    }

    /// How many bytes a stream has carried so far.
    pub struct Chunks {
        /// The number of bytes since the start.
        pub bytes: u64,
        /// The number of chunks since the start.
        pub count: u64,
        /// The number of the effect in its session.
        pub effect: u64,
        /// The stream.
        pub stream: ChunkStream,
        /// The session.
        pub session: u32,
    }

    /// A fault occurred in a session.
    pub struct FaultSeen {
        /// The kind of fault.
        pub code: FaultCode,
        /// The effect during which it occurred; absent: none.
        pub effect: Option<u64>,
        /// A description for people.
        pub message: String,
        /// The session.
        pub session: u32,
    }
}

macro_rules! events {
    ($( $(#[$doc:meta])* $variant:ident($payload:ty) = $name:literal; )*) => {
        names! {
            /// The type of an event.
            pub enum EventKind {
                $( $(#[$doc])* $variant = $name, )*
            }
        }

        impl EventKind {
            /// The fields of the event, in wire order.
            #[must_use]
            pub const fn fields(self) -> &'static [FieldSpec] {
                match self {
                    $( Self::$variant => <$payload>::FIELDS, )*
                }
            }
        }

        /// An event of a run.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event {
            $( $(#[$doc])* $variant($payload), )*
        }

        impl Event {
            /// The type.
            #[must_use]
            pub const fn kind(&self) -> EventKind {
                match self {
                    $( Self::$variant(_) => EventKind::$variant, )*
                }
            }

            fn write_value(&self, out: &mut Encoder<'_>) {
                match self {
                    $( Self::$variant(payload) => payload.write(out), )*
                }
            }

            fn into_value(self) -> Item {
                match self {
                    $( Self::$variant(payload) => payload.into_item(), )*
                }
            }

            fn from_value(kind: EventKind, value: Item) -> Result<Self, FieldFault> {
                Ok(match kind {
                    $( EventKind::$variant => Self::$variant(<$payload as Field>::read(value)?), )*
                })
            }
        }
    };
}

events! {
    /// A session began.
    SessionOpened(SessionOpened) = "session_opened";
    /// A session ended.
    SessionClosed(SessionClosed) = "session_closed";
    /// A session issued an effect.
    EffectIssued(EffectIssued) = "effect_issued";
    /// An effect was resolved.
    EffectResolved(EffectResolved) = "effect_resolved";
    /// How many bytes a stream has carried so far.
    Chunks(Chunks) = "chunks";
    /// A fault occurred in a session.
    Fault(FaultSeen) = "fault";
}

impl Field for Event {
    const SHAPE: Shape = Shape::Map;

    fn write(&self, out: &mut Encoder<'_>) {
        out.map(2).text("kind");
        self.kind().write(out);
        out.text("value");
        self.write_value(out);
    }

    fn into_item(self) -> Item {
        let kind = self.kind().into_item();
        Item::Map(vec![
            (Item::Text("kind".to_owned()), kind),
            (Item::Text("value".to_owned()), self.into_value()),
        ])
    }

    fn read(item: Item) -> Result<Self, FieldFault> {
        let mut entries = Entries::of(item)?;
        let kind: EventKind = entries.take("kind")?;
        let value = entries
            .take_item("value")
            .ok_or_else(|| FieldFault::at("value", FieldFaultKind::Missing))?;
        Self::from_value(kind, value).map_err(|fault| fault.under("value"))
    }
}

payloads! {
    /// An event with its time and its number.
    pub struct EventFrame {
        /// The major version of the event's encoding.
        pub v: u32,
        /// The time by the sender's clock, in milliseconds since 1970-01-01 UTC.
        pub ts: u64,
        /// Its number in this stream, counted from 0. A gap means that events were lost.
        pub seq: u64,
        /// The event.
        pub event: Event,
    }
}

impl EventFrame {
    /// Makes a frame of an event in the version of this crate.
    #[must_use]
    pub const fn new(seq: u64, ts: u64, event: Event) -> Self {
        Self {
            v: PROTOCOL_VERSION,
            ts,
            seq,
            event,
        }
    }

    /// Appends the frame to `out`: length and body.
    ///
    /// # Errors
    /// If names and messages are so long that the body exceeds
    /// [`FRAME_LEN_MAX`](crate::FRAME_LEN_MAX). `out` is then unchanged.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_body(out, FrameLen::DEFAULT, |encoder| self.write(encoder))
    }

    /// Decodes a frame body, the bytes after the length.
    ///
    /// # Errors
    /// Any [`FrameError`] but `TooLong` and `Cut`. An event of an unknown kind is a fault of the
    /// field `event.kind`.
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let item =
            decode_lenient(body, &frame_limits(FRAME_LEN_MAX)).map_err(FrameError::Malformed)?;
        let got = version(&item).map_err(FrameError::Envelope)?;
        let supported = VersionRange::SUPPORTED;
        if !supported.contains(got) {
            return Err(FrameError::Version {
                id: crate::LINK_ID,
                got,
                supported,
            });
        }
        Self::read(item).map_err(FrameError::Envelope)
    }
}

/// The version in a frame body. It is read first, because the rest may differ in a later version.
fn version(item: &Item) -> Result<u32, FieldFault> {
    match item.field("v") {
        Some(v) => u32::read(v.clone()).map_err(|fault| fault.under("v")),
        None if Shape::of(item) == Shape::Map => Err(FieldFault::at("v", FieldFaultKind::Missing)),
        None => Err(FieldFault::shape(Shape::Map, item).under("body")),
    }
}

/// Turns received bytes, in pieces of any size, into events. Its memory and work are bounded like
/// those of a [`Deframer`](crate::Deframer).
#[derive(Clone, Debug, Default)]
pub struct EventDeframer {
    bodies: Bodies,
}

impl EventDeframer {
    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bodies.push(bytes);
    }

    /// The next event; `None` until more bytes are pushed.
    ///
    /// # Errors
    /// The error of the next frame. A frame that is not an event, or has an unsupported version, is
    /// skipped; a frame that is too long or malformed ends the stream.
    #[expect(
        clippy::should_implement_trait,
        reason = "an end that is no end is no iterator"
    )]
    pub fn next(&mut self) -> Result<Option<EventFrame>, FrameError> {
        self.bodies
            .next_with(EventFrame::decode, |error| match error {
                FrameError::TooLong { .. } | FrameError::Malformed(_) | FrameError::Cut { .. } => {
                    true
                }
                FrameError::Envelope(_)
                | FrameError::Version { .. }
                | FrameError::Payload { .. } => false,
            })
    }

    /// Checks the end of the stream: no more bytes will be pushed.
    ///
    /// # Errors
    /// As [`Deframer::finish`](crate::Deframer::finish).
    pub fn finish(&self) -> Result<(), FrameError> {
        self.bodies.finish()
    }
}
