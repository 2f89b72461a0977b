//! Frames: encoding and decoding a message with its envelope.

use antiphon_codec::{DecodeError, Encoder, Item, decode_lenient};

use crate::bounds::{FRAME_LEN_MAX, HANDSHAKE_VERSION, TYPE_LEN_MAX, VersionRange, frame_limits};
use crate::field::{Entries, FieldFault, FieldFaultKind, Shape};
use crate::message::{
    ErrorCode, ErrorReply, FrameLen, Message, MessageKind, MessageRole, Stream, Typed, UnknownType,
};

/// The length of the header before each frame body, in bytes: the length of the body, big-endian.
pub const HEADER_LEN: usize = 4;

/// A message with its version and its request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The major version of the payload's encoding.
    pub v: u32,
    /// The id of the request it belongs to; [`LINK_ID`](crate::LINK_ID) for the link itself.
    pub id: u32,
    /// The message: its type and its payload.
    pub message: Message,
}

/// Why a message cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The frame would be longer than the peer accepts.
    #[error("the frame body is {len} bytes, the peer takes {max}; send the data in parts")]
    TooLong {
        /// The length of the body.
        len: usize,
        /// The longest body that the peer accepts.
        max: u32,
    },
    /// The payload violates the schema.
    #[error("`{t}`: {fault}")]
    Payload {
        /// The message type.
        t: MessageKind,
        /// The error.
        fault: FieldFault,
    },
}

impl Envelope {
    /// A message in the version that this crate prefers. A message of the handshake is in
    /// [`HANDSHAKE_VERSION`].
    #[must_use]
    pub fn new(id: u32, message: Message) -> Self {
        Self {
            v: version_of(&message, crate::bounds::PROTOCOL_VERSION),
            id,
            message,
        }
    }

    /// Appends the frame to `out`: length, envelope, payload. Takes time linear in the frame's
    /// length and copies data once, from the message to `out`.
    ///
    /// # Errors
    /// If the body is longer than `len_max`, or the payload violates the schema. `out` is then
    /// unchanged.
    pub fn encode(&self, out: &mut Vec<u8>, len_max: FrameLen) -> Result<(), EncodeError> {
        if let (Some(t), Err(fault)) = (self.message.kind(), self.message.check()) {
            return Err(EncodeError::Payload { t, fault });
        }
        encode_with(
            out,
            self.v,
            self.id,
            self.message.name(),
            len_max,
            |encoder| {
                self.message.write_payload(encoder);
            },
        )
    }

    /// The frame in a new buffer, under the default bound.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn to_frame(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.encode(&mut out, FrameLen::DEFAULT)?;
        Ok(out)
    }

    /// Decodes a frame body, the bytes after the length.
    ///
    /// Any well-formed CBOR is accepted, unknown keys are ignored, and an unknown type becomes
    /// [`Message::Unknown`]. Takes time linear in the length of `body` times the number of fields
    /// of the message; memory is bounded by the number of items in a frame.
    ///
    /// # Errors
    /// Any [`FrameError`] but `TooLong` and `Cut`.
    pub fn decode(body: &[u8], versions: VersionRange) -> Result<Self, FrameError> {
        let len_max = u32::try_from(body.len())
            .unwrap_or(FRAME_LEN_MAX)
            .min(FRAME_LEN_MAX);
        let item = decode_lenient(body, &frame_limits(len_max)).map_err(FrameError::Malformed)?;
        Self::from_item(item, versions)
    }

    fn from_item(item: Item, versions: VersionRange) -> Result<Self, FrameError> {
        let mut entries =
            Entries::of(item).map_err(|fault| FrameError::Envelope(fault.under("body")))?;
        let v: u32 = entries.take("v").map_err(FrameError::Envelope)?;
        let id: u32 = entries.take("id").map_err(FrameError::Envelope)?;
        let t: String = entries.take("t").map_err(FrameError::Envelope)?;
        if t.len() > TYPE_LEN_MAX {
            let kind = FieldFaultKind::TooMany {
                max: TYPE_LEN_MAX,
                got: t.len(),
            };
            return Err(FrameError::Envelope(FieldFault::at("t", kind)));
        }
        let kind = MessageKind::from_name(&t);
        let handshake = kind.is_some_and(|kind| kind.role() == MessageRole::Handshake);
        let understood = if handshake {
            v == HANDSHAKE_VERSION
        } else {
            versions.contains(v)
        };
        if !understood {
            return Err(FrameError::Version {
                id,
                got: v,
                supported: versions,
            });
        }
        let payload = entries
            .take_item("p")
            .ok_or_else(|| FrameError::Envelope(FieldFault::at("p", FieldFaultKind::Missing)))?;
        if Shape::of(&payload) != Shape::Map {
            let fault = FieldFault::shape(Shape::Map, &payload).under("p");
            return Err(FrameError::Envelope(fault));
        }
        let message = match kind {
            Some(kind) => Message::from_payload(kind, payload)
                .map_err(|fault| FrameError::Payload { id, t: kind, fault })?,
            None => Message::Unknown(UnknownType { t }),
        };
        Ok(Self { v, id, message })
    }
}

/// The version in the envelope of `message` on a link with the version `agreed`.
pub(crate) fn version_of(message: &Message, agreed: u32) -> u32 {
    match message.kind().map(MessageKind::role) {
        Some(MessageRole::Handshake) => HANDSHAKE_VERSION,
        Some(MessageRole::Request | MessageRole::OneWay | MessageRole::Terminal) | None => agreed,
    }
}

/// Appends the frame of a message whose type is known, as [`Envelope::encode`] does.
pub(crate) fn encode_typed(
    out: &mut Vec<u8>,
    v: u32,
    id: u32,
    message: &impl Typed,
    len_max: FrameLen,
) -> Result<(), EncodeError> {
    let t = message.kind();
    message
        .check()
        .map_err(|fault| EncodeError::Payload { t, fault })?;
    encode_with(out, v, id, t.name(), len_max, |encoder| {
        message.write_payload(encoder);
    })
}

/// Appends an `exec_output` frame without an intermediate copy of `data`.
///
/// # Errors
/// If the body is longer than `len_max`. `out` is then unchanged.
pub fn encode_exec_output(
    out: &mut Vec<u8>,
    v: u32,
    id: u32,
    stream: Stream,
    data: &[u8],
    len_max: FrameLen,
) -> Result<(), EncodeError> {
    encode_with(
        out,
        v,
        id,
        MessageKind::ExecOutput.name(),
        len_max,
        |encoder| {
            encoder
                .map(2)
                .text("data")
                .bytes(data)
                .text("stream")
                .text(stream.name());
        },
    )
}

/// Appends a `stdin_data` frame without an intermediate copy of `data`. `eof` is written only when
/// standard input ends here.
///
/// # Errors
/// If the body is longer than `len_max`. `out` is then unchanged.
pub fn encode_stdin_data(
    out: &mut Vec<u8>,
    v: u32,
    id: u32,
    data: &[u8],
    eof: bool,
    len_max: FrameLen,
) -> Result<(), EncodeError> {
    encode_with(
        out,
        v,
        id,
        MessageKind::StdinData.name(),
        len_max,
        |encoder| {
            encoder.map(1 + usize::from(eof));
            if eof {
                encoder.text("eof").bool(true);
            }
            encoder.text("data").bytes(data);
        },
    )
}

fn encode_with(
    out: &mut Vec<u8>,
    v: u32,
    id: u32,
    t: &str,
    len_max: FrameLen,
    payload: impl FnOnce(&mut Encoder<'_>),
) -> Result<(), EncodeError> {
    put_body(out, len_max, |encoder| {
        encoder.map(4).text("p");
        payload(encoder);
        encoder
            .text("t")
            .text(t)
            .text("v")
            .uint(u64::from(v))
            .text("id")
            .uint(u64::from(id));
    })
}

/// Appends a length and the body that `write` writes, or nothing if the body is too long.
pub(crate) fn put_body(
    out: &mut Vec<u8>,
    len_max: FrameLen,
    write: impl FnOnce(&mut Encoder<'_>),
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    write(&mut Encoder::new(out));
    let len = out.len() - start - HEADER_LEN;
    match u32::try_from(len) {
        Ok(short) if short <= len_max.bytes() => {
            out[start..start + HEADER_LEN].copy_from_slice(&short.to_be_bytes());
            Ok(())
        }
        Ok(_) | Err(_) => {
            out.truncate(start);
            Err(EncodeError::TooLong {
                len,
                max: len_max.bytes(),
            })
        }
    }
}

/// An error in the bytes of a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The announced length of a frame is above the bound. Nothing was allocated for it.
    #[error("a frame of {len} bytes was announced, at most {max} are allowed")]
    TooLong {
        /// The announced length.
        len: u32,
        /// The bound.
        max: u32,
    },
    /// The body is not one well-formed CBOR item.
    #[error("a frame body is not well-formed: {0}")]
    Malformed(DecodeError),
    /// The body is not a map with `v`, `t`, `id` and `p` of the right shapes.
    #[error("an envelope is not as it must be: {0}")]
    Envelope(FieldFault),
    /// The envelope has a version that is not supported on this link.
    #[error("version {got} is not spoken on this link, only {supported}")]
    Version {
        /// The id in the envelope.
        id: u32,
        /// The version in the envelope.
        got: u32,
        /// The supported versions.
        supported: VersionRange,
    },
    /// The payload violates the schema.
    #[error("`{t}` with id {id} is not as the schema has it: {fault}")]
    Payload {
        /// The id in the envelope.
        id: u32,
        /// The message type.
        t: MessageKind,
        /// The error.
        fault: FieldFault,
    },
    /// The bytes end in the middle of a frame.
    #[error("the stream ended in a frame: {held} bytes came, {needed} were needed")]
    Cut {
        /// The bytes of this frame that were received, header included.
        held: usize,
        /// The bytes that were needed: those of the header, or of the whole frame.
        needed: usize,
    },
}

impl FrameError {
    /// Whether the link cannot continue, because it is not known where the next frame begins or
    /// which request the frame belongs to.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::TooLong { .. } | Self::Malformed(_) | Self::Envelope(_) | Self::Cut { .. } => {
                true
            }
            Self::Version { .. } | Self::Payload { .. } => false,
        }
    }

    /// The id in the envelope, if it was decoded.
    #[must_use]
    pub const fn id(&self) -> Option<u32> {
        match self {
            Self::Version { id, .. } | Self::Payload { id, .. } => Some(*id),
            Self::TooLong { .. } | Self::Malformed(_) | Self::Envelope(_) | Self::Cut { .. } => {
                None
            }
        }
    }

    /// The `error` that reports this to the peer.
    #[must_use]
    pub fn reply(&self) -> ErrorReply {
        let (code, supported) = match self {
            Self::TooLong { .. } => (ErrorCode::TooLarge, None),
            Self::Malformed(_) | Self::Envelope(_) | Self::Payload { .. } | Self::Cut { .. } => {
                (ErrorCode::InvalidRequest, None)
            }
            Self::Version { supported, .. } => (ErrorCode::UnsupportedVersion, Some(*supported)),
        };
        ErrorReply {
            code,
            message: self.to_string(),
            supported,
        }
    }
}

/// Turns received bytes, in pieces of any size, into messages.
///
/// Push received bytes, take messages until there are none, then push more:
///
/// ```
/// use antiphon_wire::{Deframer, Empty, Envelope, Message};
///
/// let frame = Envelope::new(7, Message::Ping(Empty {})).to_frame()?;
/// let mut deframer = Deframer::default();
/// let mut got = Vec::new();
/// for byte in &frame {
///     deframer.push(&[*byte]);
///     while let Some(envelope) = deframer.next()? {
///         got.push(envelope);
///     }
/// }
/// deframer.finish()?;
/// assert_eq!(got, [Envelope::new(7, Message::Ping(Empty {}))]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It holds at most one unfinished frame and the bytes pushed since the last message was taken. A
/// frame longer than the bound is refused when its length is read. Memory grows with the bytes
/// received, never with the announced length. Work is linear in the number of bytes pushed,
/// whatever the size of the pieces.
///
/// After a fatal error ([`FrameError::is_fatal`]) every call returns the same error. After another
/// error the next frame follows.
#[derive(Clone, Debug, Default)]
pub struct Deframer {
    bodies: Bodies,
    versions: VersionRange,
}

impl Deframer {
    /// Accepts frames whose body has at most `len_max` bytes, in one of `versions`.
    #[must_use]
    pub const fn new(len_max: FrameLen, versions: VersionRange) -> Self {
        Self {
            bodies: Bodies::new(len_max),
            versions,
        }
    }

    /// Accepts only these versions from the next frame on, as after a handshake.
    pub fn set_versions(&mut self, versions: VersionRange) {
        self.versions = versions;
    }

    /// Appends received bytes. After a fatal error they are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bodies.push(bytes);
    }

    /// The next message; `None` until more bytes are pushed.
    ///
    /// # Errors
    /// The error of the next frame.
    #[expect(
        clippy::should_implement_trait,
        reason = "an end that is no end is no iterator"
    )]
    pub fn next(&mut self) -> Result<Option<Envelope>, FrameError> {
        let versions = self.versions;
        self.bodies.next_with(
            |body| Envelope::decode(body, versions),
            FrameError::is_fatal,
        )
    }

    /// Checks the end of the stream: no more bytes will be pushed.
    ///
    /// # Errors
    /// The earlier fatal error, or [`FrameError::Cut`] if an unfinished frame is held. The end
    /// between two frames is not an error.
    pub fn finish(&self) -> Result<(), FrameError> {
        self.bodies.finish()
    }

    /// The number of bytes held: those of frames that were not taken yet.
    #[must_use]
    pub fn held_len(&self) -> usize {
        self.bodies.held_len()
    }

    /// The capacity of the buffer that holds them, in bytes. For owners of many links, who account
    /// for their memory.
    #[must_use]
    pub fn reserved_len(&self) -> usize {
        self.bodies.held.capacity()
    }
}

/// Splits received bytes into frame bodies, whatever their content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bodies {
    held: Vec<u8>,
    /// Where the first frame that was not taken begins in `held`.
    start: usize,
    len_max: FrameLen,
    poison: Option<FrameError>,
}

impl Bodies {
    const fn new(len_max: FrameLen) -> Self {
        Self {
            held: Vec::new(),
            start: 0,
            len_max,
            poison: None,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.poison.is_some() {
            return;
        }
        // Bytes are moved only if at least as many are dropped, so the work is linear over all
        // pushes.
        if self.start > 0 && self.start >= self.held.len() - self.start {
            self.held.drain(..self.start);
            self.start = 0;
        }
        self.held.extend_from_slice(bytes);
    }

    /// Takes the next body and decodes it. An error of `decode` that `is_fatal` is kept for all
    /// later calls.
    pub(crate) fn next_with<T>(
        &mut self,
        decode: impl FnOnce(&[u8]) -> Result<T, FrameError>,
        is_fatal: impl FnOnce(&FrameError) -> bool,
    ) -> Result<Option<T>, FrameError> {
        if let Some(error) = &self.poison {
            return Err(error.clone());
        }
        let Some(len) = self.announced().map_err(|error| self.poisoned(error))? else {
            return Ok(None);
        };
        let Some(body) = self.unread().get(HEADER_LEN..HEADER_LEN + len) else {
            return Ok(None);
        };
        let decoded = decode(body);
        self.start += HEADER_LEN + len;
        if self.start == self.held.len() {
            self.empty();
        }
        match decoded {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_fatal(&error) => Err(self.poisoned(error)),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn finish(&self) -> Result<(), FrameError> {
        if let Some(error) = &self.poison {
            return Err(error.clone());
        }
        let held = self.held_len();
        match self.announced()? {
            None if held == 0 => Ok(()),
            None => Err(FrameError::Cut {
                held,
                needed: HEADER_LEN,
            }),
            Some(len) => Err(FrameError::Cut {
                held,
                needed: HEADER_LEN + len,
            }),
        }
    }

    fn held_len(&self) -> usize {
        self.held.len() - self.start
    }

    fn unread(&self) -> &[u8] {
        self.held.get(self.start..).unwrap_or_default()
    }

    /// The length of the next frame body, once its four bytes have been received.
    fn announced(&self) -> Result<Option<usize>, FrameError> {
        let Some((header, _)) = self.unread().split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let (len, max) = (u32::from_be_bytes(*header), self.len_max.bytes());
        if len > max {
            return Err(FrameError::TooLong { len, max });
        }
        // At most 4 MiB, so the conversion cannot fail.
        Ok(usize::try_from(len).ok())
    }

    /// Empties the buffer. After a burst it gives memory back down to [`KEPT_LEN`].
    fn empty(&mut self) {
        self.held.clear();
        self.held.shrink_to(KEPT_LEN);
        self.start = 0;
    }

    fn poisoned(&mut self, error: FrameError) -> FrameError {
        self.held = Vec::new();
        self.start = 0;
        self.poison = Some(error.clone());
        error
    }
}

/// The capacity that a deframer keeps while it holds nothing, in bytes: a few chunks, so that a
/// stream of chunks does not allocate, and no more, so that a thousand idle links are cheap.
const KEPT_LEN: usize = 256 << 10;
