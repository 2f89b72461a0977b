//! The entries of a recording.
//!
//! An entry is a deterministic CBOR array that starts with the number of its kind. Images, values,
//! inputs, outcomes, refusals and the configuration are in the machine's canonical bytes.

use antiphon_codec::scan::{self, Head, Heads, Major};
use antiphon_codec::{Decoder, Encoder, Kind};
use antiphon_machine::bounds::WAVE_STEPS_MAX;
use antiphon_machine::{
    Canonical, EffectId, EffectRequest, Ingress, OperationId, Outcome, Pick, ProtocolMachineConfig,
    ReadError, ReadErrorKind, Refusal, RoleId, Value,
};

use crate::bounds::ENTRY_LIMITS;

/// An entry of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The machine's setup. It is the first entry, and only the first entry.
    Header(Header),
    /// The canonical bytes of an image. Precedes the first session of the image.
    Image(Vec<u8>),
    /// A request to the handler.
    Request(Request),
    /// The outcome of the preceding request, which the handler returned at once, at the same step.
    Answer(Outcome),
    /// An input, recorded before the machine accepted or refused it.
    Input {
        /// Number of steps before it.
        step: u64,
        /// The input.
        input: Ingress,
    },
    /// The machine refused the preceding input or answer.
    Refused(Refusal),
    /// Digests of the run up to this point.
    Checkpoint(Checkpoint),
    /// A wave: sessions that stepped together.
    Wave {
        /// Number of steps before it.
        step: u64,
        /// The coroutine picked in each session and the largest number of steps for it, in the
        /// order in which their steps were committed.
        picks: Vec<(Pick, u32)>,
    },
    /// The end of the recording, written by a writer that finished it.
    End(End),
}

/// The setup of the recorded machine, and notes for readers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Name and version of the tool that wrote the recording.
    pub tool: String,
    /// The machine's configuration.
    pub config: ProtocolMachineConfig,
    /// The text of the protocol, if there is one.
    pub source: Option<String>,
    /// Names and texts for people who read the recording. Replay ignores them.
    pub notes: Vec<(String, String)>,
}

/// A request to the handler. Its numbers have names in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Number of steps taken, including the step that issued the request.
    pub step: u64,
    /// The effect, which names the session.
    pub effect: EffectId,
    /// The role that issued it; `None` for a spawned coroutine.
    pub role: Option<RoleId>,
    /// The requested operation.
    pub operation: OperationId,
    /// Number of earlier requests of the same effect.
    pub attempt: u8,
    /// The tick of the logical clock at which it times out.
    pub deadline: Option<u64>,
    /// The arguments.
    pub args: Vec<Value>,
}

/// The digests of a run up to a step. The determinism mode selects them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of steps.
    pub step: u64,
    /// The logical clock, in ticks.
    pub clock: u64,
    /// The digest of the state; `None` if the mode has none.
    pub state: Option<[u8; 32]>,
    /// The digest of the trace; `None` if the mode has none.
    pub trace: Option<[u8; 32]>,
}

/// The end of a finished recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The state in which the machine was left.
    pub stop: Stop,
    /// The digests of the whole run.
    pub last: Checkpoint,
    /// Number of entries before this one.
    pub entries: u64,
}

/// The state in which a machine was left at the end of its recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stop {
    /// It could continue without an input.
    Running = 0,
    /// No coroutine was ready, and outcomes of requests were outstanding.
    Idle = 1,
    /// Every session had ended.
    Done = 2,
    /// Sessions had not ended, but no coroutine was ready and no outcome was outstanding.
    Stuck = 3,
}

/// The numbers of the kinds of entries.
pub(crate) mod number {
    pub(crate) const HEADER: u64 = 0;
    pub(crate) const IMAGE: u64 = 1;
    pub(crate) const REQUEST: u64 = 2;
    pub(crate) const ANSWER: u64 = 3;
    pub(crate) const INPUT: u64 = 4;
    pub(crate) const REFUSED: u64 = 5;
    pub(crate) const CHECKPOINT: u64 = 6;
    pub(crate) const PART: u64 = 7;
    pub(crate) const END: u64 = 8;
    pub(crate) const WAVE: u64 = 9;
}

impl Entry {
    /// The bytes of the entry, as they are in a recording.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(&mut Encoder::new(&mut bytes));
        bytes
    }

    /// Appends the bytes of the entry.
    pub(crate) fn encode(&self, out: &mut Encoder<'_>) {
        match self {
            Entry::Header(header) => header.encode(out),
            Entry::Image(bytes) => encode_image(bytes, out),
            Entry::Request(request) => request.encode(out),
            Entry::Answer(outcome) => encode_answer(outcome, out),
            Entry::Input { step, input } => encode_input(*step, input, out),
            Entry::Refused(refusal) => encode_refused(refusal, out),
            Entry::Checkpoint(checkpoint) => checkpoint.encode(out),
            Entry::End(end) => end.encode(out),
            Entry::Wave { step, picks } => encode_wave(*step, picks.iter().copied(), out),
        }
    }

    /// Decodes the bytes of one entry.
    ///
    /// # Errors
    /// When they are not an entry in the form that a writer produces.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Entry, ReadError> {
        let mut from = Decoder::new(bytes, ENTRY_LIMITS);
        let array = Array::read(&mut from)?;
        let offset = from.position();
        let entry = match from.uint()? {
            number::HEADER => {
                array.has_len("header", 5)?;
                Header::decode(&mut from).map(Entry::Header)
            }
            number::IMAGE => {
                array.has_len("image", 2)?;
                Ok(Entry::Image(from.bytes()?.to_vec()))
            }
            number::REQUEST => {
                array.has_len("request", 9)?;
                Request::decode(&mut from).map(Entry::Request)
            }
            number::ANSWER => {
                array.has_len("answer", 2)?;
                Outcome::decode(&mut from).map(Entry::Answer)
            }
            number::INPUT => {
                array.has_len("input", 3)?;
                let step = from.uint()?;
                let input = Ingress::decode(&mut from)?;
                Ok(Entry::Input { step, input })
            }
            number::REFUSED => {
                array.has_len("refused", 2)?;
                Refusal::decode(&mut from).map(Entry::Refused)
            }
            number::CHECKPOINT => {
                array.has_len("checkpoint", 5)?;
                Checkpoint::decode(&mut from).map(Entry::Checkpoint)
            }
            number::END => {
                array.has_len("end", 7)?;
                End::decode(&mut from).map(Entry::End)
            }
            number::WAVE => {
                array.has_len("wave", 3)?;
                let step = from.uint()?;
                let picks = decode_picks(&mut from)?;
                Ok(Entry::Wave { step, picks })
            }
            got => Err(alternative(offset, "entry", got)),
        }?;
        from.finish()?;
        Ok(entry)
    }
}

impl Header {
    pub(crate) fn encode(&self, out: &mut Encoder<'_>) {
        out.array(5).uint(number::HEADER).text(&self.tool);
        self.config.encode(out);
        self.source.encode(out);
        self.notes.encode(out);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Header, ReadError> {
        Ok(Header {
            tool: Canonical::decode(from)?,
            config: Canonical::decode(from)?,
            source: Canonical::decode(from)?,
            notes: Canonical::decode(from)?,
        })
    }
}

impl Request {
    /// Copies a request of the machine.
    pub fn of(step: u64, request: &EffectRequest<'_>) -> Request {
        Request {
            step,
            effect: request.effect(),
            role: request.role(),
            operation: request.operation_id(),
            attempt: request.attempt(),
            deadline: request.deadline(),
            args: request.args().cloned().collect(),
        }
    }

    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(9).uint(number::REQUEST).uint(self.step);
        out.uint(self.effect.session.0.into())
            .uint(self.effect.number);
        self.role.encode(out);
        self.operation.encode(out);
        out.uint(self.attempt.into());
        self.deadline.encode(out);
        self.args.encode(out);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Request, ReadError> {
        Ok(Request {
            step: Canonical::decode(from)?,
            effect: EffectId {
                session: Canonical::decode(from)?,
                number: Canonical::decode(from)?,
            },
            role: Canonical::decode(from)?,
            operation: Canonical::decode(from)?,
            attempt: Canonical::decode(from)?,
            deadline: Canonical::decode(from)?,
            args: Canonical::decode(from)?,
        })
    }
}

/// The bytes with which every request starts.
pub(crate) const REQUEST_START: [u8; 2] = [
    Major::Array.short(9),
    Major::Uint.short(number::REQUEST as u8),
];

/// The bytes with which every wave starts.
pub(crate) const WAVE_START: [u8; 2] =
    [Major::Array.short(3), Major::Uint.short(number::WAVE as u8)];

/// Offset of the step in a request and in a wave.
pub(crate) const STEP_AT: usize = 2;

/// The bytes before the value of an answer that succeeded.
const SUCCESS_START: [u8; 4] = [
    Major::Array.short(2),
    Major::Uint.short(number::ANSWER as u8),
    Major::Array.short(2),
    Major::Uint.short(0),
];

/// The bytes of an answer that succeeded without a value, the most frequent one.
const DONE: [u8; 5] = {
    let [a, b, c, d] = SUCCESS_START;
    [a, b, c, d, Major::Simple.short(scan::NULL as u8)]
};

/// Encodes a request of the machine, with arguments taken directly from the registers.
///
/// All heads before the arguments are collected on the stack. Ten appends to a vector, each with
/// its own check of the capacity, were half the cost of recording a request.
#[inline]
pub(crate) fn encode_request(step: u64, request: &EffectRequest<'_>, out: &mut Encoder<'_>) {
    let effect = request.effect();
    let mut heads: Heads<10> = Heads::new();
    heads
        .push(Major::Array, 9)
        .uint(number::REQUEST)
        .uint(step)
        .uint(effect.session.0.into())
        .uint(effect.number)
        .option(request.role().map(|role| role.0.into()))
        .uint(request.operation_id().0.into())
        .uint(request.attempt().into())
        .option(request.deadline())
        .push(Major::Array, request.args_len() as u64);
    out.raw(heads.as_bytes());
    request.args().for_each(|arg| arg.encode(out));
}

/// The answer at the start of the input and its length in bytes, if it is one of the frequent
/// ones: it succeeded, and its value is `()`, a number or bytes.
#[inline]
pub(crate) fn frequent_answer(bytes: &[u8]) -> Option<(Outcome, usize)> {
    let value = bytes.strip_prefix(&SUCCESS_START)?;
    let (head, head_len) = Head::read(value)?;
    if head.write().1 != head_len {
        // Not the shortest form, so the decoder refuses it.
        return None;
    }
    let (result, content_len) = match head.major {
        Major::Simple if head.argument == scan::NULL => (Value::Unit, 0),
        Major::Uint => (Value::Nat(head.argument), 0),
        Major::Bytes => {
            let len = usize::try_from(head.argument).ok()?;
            let content = value.get(head_len..)?.get(..len)?;
            (Value::bytes(content), len)
        }
        Major::Nint | Major::Text | Major::Array | Major::Map | Major::Tag | Major::Simple => {
            return None;
        }
    };
    let len = SUCCESS_START.len() + head_len + content_len;
    Some((Outcome::Success(result), len))
}

#[inline]
pub(crate) fn encode_answer(outcome: &Outcome, out: &mut Encoder<'_>) {
    if let Outcome::Success(Value::Unit) = outcome {
        out.raw(&DONE);
        return;
    }
    out.array(2).uint(number::ANSWER);
    outcome.encode(out);
}

pub(crate) fn encode_input(step: u64, input: &Ingress, out: &mut Encoder<'_>) {
    out.array(3).uint(number::INPUT).uint(step);
    input.encode(out);
}

pub(crate) fn encode_refused(refusal: &Refusal, out: &mut Encoder<'_>) {
    out.array(2).uint(number::REFUSED);
    refusal.encode(out);
}

pub(crate) fn encode_wave(
    step: u64,
    picks: impl ExactSizeIterator<Item = (Pick, u32)>,
    out: &mut Encoder<'_>,
) {
    out.array(3)
        .uint(number::WAVE)
        .uint(step)
        .array(picks.len());
    for (Pick { session, coroutine }, quantum) in picks {
        out.array(3).uint(session.0.into()).uint(coroutine.0.into());
        out.uint(quantum.into());
    }
}

/// Decodes the picks of a wave, which have at most as many steps as a machine takes in a wave.
fn decode_picks(from: &mut Decoder<'_>) -> Result<Vec<(Pick, u32)>, ReadError> {
    let offset = from.position();
    let mut picks = Vec::new();
    let mut steps: u64 = 0;
    for _ in 0..from.array()? {
        Array::read(from)?.has_len("pick", 3)?;
        let pick = Pick {
            session: Canonical::decode(from)?,
            coroutine: Canonical::decode(from)?,
        };
        let quantum = u32::decode(from)?;
        steps += u64::from(quantum);
        if steps > WAVE_STEPS_MAX {
            let (what, max, got) = ("the steps of a wave", WAVE_STEPS_MAX, steps);
            let kind = ReadErrorKind::Range { what, max, got };
            return Err(ReadError { offset, kind });
        }
        picks.push((pick, quantum));
    }
    Ok(picks)
}

pub(crate) fn encode_image(bytes: &[u8], out: &mut Encoder<'_>) {
    out.array(2).uint(number::IMAGE).bytes(bytes);
}

/// Encodes a part of an entry that is too long for one record; `more` if another part follows.
pub(crate) fn encode_part(more: bool, bytes: &[u8], out: &mut Encoder<'_>) {
    out.array(3).uint(number::PART).bool(more).bytes(bytes);
}

impl Checkpoint {
    pub(crate) fn encode(&self, out: &mut Encoder<'_>) {
        out.array(5).uint(number::CHECKPOINT);
        self.encode_fields(out);
    }

    fn encode_fields(&self, out: &mut Encoder<'_>) {
        out.uint(self.step).uint(self.clock);
        self.state.encode(out);
        self.trace.encode(out);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Checkpoint, ReadError> {
        Ok(Checkpoint {
            step: Canonical::decode(from)?,
            clock: Canonical::decode(from)?,
            state: Canonical::decode(from)?,
            trace: Canonical::decode(from)?,
        })
    }
}

impl End {
    pub(crate) fn encode(&self, out: &mut Encoder<'_>) {
        out.array(7).uint(number::END).uint(self.stop as u64);
        self.last.encode_fields(out);
        out.uint(self.entries);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<End, ReadError> {
        let offset = from.position();
        let stop = match from.uint()? {
            0 => Stop::Running,
            1 => Stop::Idle,
            2 => Stop::Done,
            3 => Stop::Stuck,
            got => return Err(alternative(offset, "stop", got)),
        };
        Ok(End {
            stop,
            last: Checkpoint::decode(from)?,
            entries: from.uint()?,
        })
    }
}

impl Stop {
    /// The stop's name.
    pub const fn name(self) -> &'static str {
        match self {
            Stop::Running => "running",
            Stop::Idle => "idle",
            Stop::Done => "done",
            Stop::Stuck => "stuck",
        }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Decodes a part: whether another part follows, and its bytes. `None` if the entry is not a part.
pub(crate) fn decode_part(bytes: &[u8]) -> Result<Option<(bool, &[u8])>, ReadError> {
    let mut from = Decoder::new(bytes, ENTRY_LIMITS);
    let array = Array::read(&mut from)?;
    if from.kind()? != Kind::Uint || from.uint()? != number::PART {
        return Ok(None);
    }
    array.has_len("part", 3)?;
    Ok(Some((from.bool()?, from.bytes()?)))
}

/// An array whose head has been read.
#[derive(Clone, Copy)]
struct Array {
    /// Offset of its head.
    offset: usize,
    len: usize,
}

impl Array {
    fn read(from: &mut Decoder<'_>) -> Result<Array, ReadError> {
        let offset = from.position();
        let len = from.array()?;
        Ok(Array { offset, len })
    }

    fn has_len(self, what: &'static str, expected: usize) -> Result<(), ReadError> {
        let Array { offset, len: got } = self;
        if got == expected {
            return Ok(());
        }
        let kind = ReadErrorKind::Length {
            what,
            expected,
            got,
        };
        Err(ReadError { offset, kind })
    }
}

fn alternative(offset: usize, what: &'static str, got: u64) -> ReadError {
    ReadError {
        offset,
        kind: ReadErrorKind::Alternative { what, got },
    }
}

#[cfg(test)]
mod tests {
    use antiphon_machine::FailureKind;

    use super::*;

    fn answer(outcome: &Outcome) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_answer(outcome, &mut Encoder::new(&mut bytes));
        bytes
    }

    #[test]
    fn a_frequent_answer_is_read_as_the_decoder_reads_it() {
        let numbers = [0, 1, 23, 24, 255, 256, 1 << 40, u64::MAX].map(Value::Nat);
        let bytes = [0, 1, 23, 24, 255, 256, 70_000].map(|len| Value::bytes(&vec![7; len]));
        for value in [Value::Unit].into_iter().chain(numbers).chain(bytes) {
            let outcome = Outcome::Success(value);
            let entry = answer(&outcome);
            assert_eq!(Entry::decode(&entry), Ok(Entry::Answer(outcome.clone())));
            let followed = [&entry[..], &[0x82]].concat();
            let found = frequent_answer(&followed);
            assert_eq!(found, Some((outcome, entry.len())));
            let cut = &entry[..entry.len() - 1];
            assert_eq!(frequent_answer(cut), None);
        }
    }

    #[test]
    fn any_other_answer_is_left_to_the_decoder() {
        let others = [
            Outcome::Success(Value::text("text")),
            Outcome::Success(Value::Int(1)),
            Outcome::Success(Value::Bool(true)),
            Outcome::Success(Value::list(vec![])),
            Outcome::failure(FailureKind::Denied, "no"),
        ];
        for outcome in others {
            assert_eq!(frequent_answer(&answer(&outcome)), None, "{outcome:?}");
        }
        // The number 5, and no bytes, in longer forms than the shortest.
        for value in [&[0x18, 5][..], &[0x58, 0], &[0xf8, 22]] {
            let entry = [&SUCCESS_START[..], value].concat();
            assert_eq!(frequent_answer(&entry), None, "{value:02x?}");
            assert!(Entry::decode(&entry).is_err(), "{value:02x?}");
        }
    }

    #[test]
    fn a_wrong_length_is_reported_with_the_offset_of_its_array() {
        let offset = |bytes: &[u8]| match Entry::decode(bytes) {
            Err(error) => error.offset,
            Ok(entry) => panic!("{entry:?}"),
        };
        // A wave with a step, one pick too short; an input of two fields.
        assert_eq!(offset(&[0x83, 9, 0x18, 100, 0x81, 0x82, 0, 0]), 5);
        assert_eq!(offset(&[0x82, 4, 0]), 0);
        // A failure without a detail, and an outcome of three fields.
        assert_eq!(offset(&[0x82, 3, 0x82, 1, 0x81, 0]), 4);
        assert_eq!(offset(&[0x82, 3, 0x83, 0, 0xf6, 0]), 2);
    }
}
