//! The event stream: what observers of a run are told.
//!
//! A stream of events has the frames of the link, a length and a body, and another body: an
//! [`EventFrame`] in place of an [`Envelope`](crate::Envelope). It goes one way, so it has no
//! handshake; its version stands in every frame.

use antiphon_codec::{Encoder, Item, decode_lenient};

use crate::bounds::{FRAME_LEN_MAX, PROTOCOL_VERSION, VersionRange, frame_limits};
use crate::field::{Entries, Field, FieldFault, FieldFaultKind, FieldSpec, Shape, names, payloads};
use crate::frame::{Bodies, EncodeError, FrameError, put_body};
use crate::message::FrameLen;

names! {
    /// How a session ended.
    pub enum SessionOutcome {
        /// Every role came to its end.
        Closed = "closed",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// It was given up by its owner.
        Aborted = "aborted",
        /// A fault ended it.
        Faulted = "faulted",
    }

    /// Why an effect failed.
    pub enum FailureName {
        /// Not allowed.
        Denied = "denied",
        /// Its budget ran out.
        Timeout = "timeout",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Nobody could do it.
        Unavailable = "unavailable",
        /// Its arguments made no sense.
        InvalidInput = "invalid_input",
        /// The authority for it had run out.
        StaleAuthority = "stale_authority",
        /// Who did it broke the protocol.
        ContractViolation = "contract_violation",
        /// Who was to do it went away.
        Lost = "lost",
        /// Who was to do it had too much to do.
        Busy = "busy",
        /// A fault of who was to do it.
        Internal = "internal",
    }

    /// What kind of fault it was.
    pub enum FaultCode {
        /// A communication that the protocol does not allow.
        Protocol = "protocol",
        /// A message that the link does not allow.
        Link = "link",
        /// The guest went away.
        Lost = "lost",
        /// A bound was reached.
        Limit = "limit",
        /// The program of a role is at fault.
        Program = "program",
        /// A fault of the runtime itself.
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
        /// What it runs.
        pub image: ImageDigest,
        /// Its number.
        pub session: u32,
        /// The name of its protocol.
        pub protocol: String,
    }

    /// A session ended.
    pub struct SessionClosed {
        /// How.
        pub outcome: SessionOutcome,
        /// Its number.
        pub session: u32,
    }

    /// A session asks something of the world.
    pub struct EffectIssued {
        /// The role that asks.
        pub role: String,
        /// The number of the effect in its session.
        pub effect: u64,
        /// The session.
        pub session: u32,
        /// The interface it asks of.
        pub interface: String,
        /// The operation it asks for.
        pub operation: String,
    }

    /// The world answered.
    pub struct EffectResolved {
        /// The number of the effect in its session.
        pub effect: u64,
        /// Why it failed; absent: it did not.
        pub failure: Option<FailureName>,
        /// The session.
        pub session: u32,
    }

    /// How much a stream has carried so far.
    pub struct Chunks {
        /// How many bytes, from the start.
        pub bytes: u64,
        /// How many chunks, from the start.
        pub count: u64,
        /// The number of the effect in its session.
        pub effect: u64,
        /// The stream.
        pub stream: ChunkStream,
        /// The session.
        pub session: u32,
    }

    /// Something went wrong in a session.
    pub struct FaultSeen {
        /// What kind of fault.
        pub code: FaultCode,
        /// The effect during which it happened; absent: none.
        pub effect: Option<u64>,
        /// What happened, for people.
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

        /// Something that happened.
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
    /// A session asks something of the world.
    EffectIssued(EffectIssued) = "effect_issued";
    /// The world answered.
    EffectResolved(EffectResolved) = "effect_resolved";
    /// How much a stream has carried so far.
    Chunks(Chunks) = "chunks";
    /// Something went wrong in a session.
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
    /// An event and when it happened.
    pub struct EventFrame {
        /// The major version in which the event is to be understood.
        pub v: u32,
        /// When, in milliseconds since 1970-01-01 UTC by the clock of who tells it.
        pub ts: u64,
        /// Its number in this stream: from 0, one more each time. A gap is a loss.
        pub seq: u64,
        /// What happened.
        pub event: Event,
    }
}

impl EventFrame {
    /// An event in the version of this crate.
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
    /// When a name or a message is so long that the body exceeds
    /// [`FRAME_LEN_MAX`](crate::FRAME_LEN_MAX). `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_body(out, FrameLen::DEFAULT, |encoder| self.write(encoder))
    }

    /// Understands a frame body, the bytes after the length.
    ///
    /// # Errors
    /// Everything but [`FrameError::TooLong`] and [`FrameError::Cut`]. An event of an unknown
    /// kind is a fault of the field `event.kind`.
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

/// The version is looked at before the rest: a later one may have another rest.
fn version(item: &Item) -> Result<u32, FieldFault> {
    match item.field("v") {
        Some(v) => u32::read(v.clone()).map_err(|fault| fault.under("v")),
        None if Shape::of(item) == Shape::Map => Err(FieldFault::at("v", FieldFaultKind::Missing)),
        None => Err(FieldFault::shape(Shape::Map, item).under("body")),
    }
}

/// Bytes in at any split, events out. Bounded and linear as [`Deframer`](crate::Deframer) is.
#[derive(Clone, Debug, Default)]
pub struct EventDeframer {
    bodies: Bodies,
}

impl EventDeframer {
    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bodies.push(bytes);
    }

    /// The next event, or none until more bytes come.
    ///
    /// # Errors
    /// What is wrong with the next frame. A frame that is no event, or is in a version that is not
    /// spoken here, is passed over; one that is too long or is not well-formed ends the stream.
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

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// As [`Deframer::finish`](crate::Deframer::finish).
    pub fn finish(&self) -> Result<(), FrameError> {
        self.bodies.finish()
    }
}
