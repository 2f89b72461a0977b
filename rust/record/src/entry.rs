//! Entries: what a recording says, one after the other.
//!
//! Each is a deterministic CBOR array that starts with its number. Images, values, inputs,
//! outcomes, refusals and the configuration are in the machine's canonical bytes.

use std::sync::Arc;

use antiphon_codec::{Decoder, Encoder, Kind};
use antiphon_machine::bounds::WAVE_STEPS_MAX;
use antiphon_machine::{
    Canonical, EffectId, EffectRequest, Failure, Ingress, OperationId, Outcome, Pick,
    ProtocolMachineConfig, ReadError, ReadErrorKind, Refusal, RoleId, Value,
};

use crate::bounds::ENTRY_LIMITS;

/// Something that a recording says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// How the machine was set up; the first entry, and no other one.
    Header(Header),
    /// The canonical bytes of an image, before the first session of it is opened.
    Image(Vec<u8>),
    /// A request that was put to the handler.
    Request(Request),
    /// The handler answered the request before at once: the outcome was taken at the same step.
    Answer(Outcome),
    /// An input, recorded before it was taken.
    Input {
        /// How many steps were taken before.
        step: u64,
        /// What came in.
        input: Ingress,
    },
    /// The input (or answer) before was refused.
    Refused(Refusal),
    /// What the machine had come to.
    Checkpoint(Checkpoint),
    /// Sessions stepped together: who began in each, and how many steps it could take at most.
    Wave {
        /// How many steps were taken before.
        step: u64,
        /// The picks, in the order in which their steps became part of the machine.
        picks: Vec<(Pick, u32)>,
    },
    /// The recording was ended by its writer.
    End(End),
}

/// How the recorded machine was set up, and what a reader may want to know besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Who wrote it: name and version of a tool.
    pub tool: String,
    /// The machine's configuration.
    pub config: ProtocolMachineConfig,
    /// The text of the protocol, if there is one.
    pub source: Option<String>,
    /// Anything that a person reading the recording should know, as names and texts. Replay ignores
    /// them.
    pub notes: Vec<(String, String)>,
}

/// A request, as the handler saw it. Names are in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How many steps were taken before, the asking one included.
    pub step: u64,
    /// The effect, and so the session.
    pub effect: EffectId,
    /// The asking role; `None` for a spawned coroutine.
    pub role: Option<RoleId>,
    /// What was asked.
    pub operation: OperationId,
    /// How often it was asked before.
    pub attempt: u8,
    /// When it times out, in ticks.
    pub deadline: Option<u64>,
    /// The arguments.
    pub args: Vec<Value>,
}

/// The digests of a run up to a step. Which they are is for the determinism mode to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many steps were taken.
    pub step: u64,
    /// The logical clock, in ticks.
    pub clock: u64,
    /// The digest of the state; `None` where the mode asks for none.
    pub state: Option<[u8; 32]>,
    /// The digest of the trace; `None` where the mode asks for none.
    pub trace: Option<[u8; 32]>,
}

/// How a recording ends that was ended, not cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What the machine was doing.
    pub stop: Stop,
    /// What it had come to.
    pub last: Checkpoint,
    /// How many entries stand before this one.
    pub entries: u64,
}

/// What a machine was doing when its recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stop {
    /// It could have gone on by itself.
    Running = 0,
    /// The world owed outcomes.
    Idle = 1,
    /// Every session had ended.
    Done = 2,
    /// Sessions were left that no outcome could help.
    Stuck = 3,
}

/// The numbers of the entries.
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
    /// Appends the entry's bytes.
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

    /// Reads the bytes of one entry.
    ///
    /// # Errors
    /// Where they differ from what a writer writes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Entry, ReadError> {
        let mut from = Decoder::new(bytes, ENTRY_LIMITS);
        let len = from.array()?;
        let offset = from.position();
        let entry = match from.uint()? {
            number::HEADER => Header::decode(len, &mut from).map(Entry::Header),
            number::IMAGE => {
                fields("image", 2, len)?;
                Ok(Entry::Image(from.bytes()?.to_vec()))
            }
            number::REQUEST => Request::decode(len, &mut from).map(Entry::Request),
            number::ANSWER => {
                fields("answer", 2, len)?;
                decode_outcome(&mut from).map(Entry::Answer)
            }
            number::INPUT => {
                fields("input", 3, len)?;
                let step = from.uint()?;
                let input = decode_ingress(&mut from)?;
                Ok(Entry::Input { step, input })
            }
            number::REFUSED => {
                fields("refused", 2, len)?;
                Refusal::decode(&mut from).map(Entry::Refused)
            }
            number::CHECKPOINT => {
                fields("checkpoint", 5, len)?;
                Checkpoint::decode(&mut from).map(Entry::Checkpoint)
            }
            number::END => End::decode(len, &mut from).map(Entry::End),
            number::WAVE => {
                fields("wave", 3, len)?;
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

    fn decode(len: usize, from: &mut Decoder<'_>) -> Result<Header, ReadError> {
        fields("header", 5, len)?;
        Ok(Header {
            tool: Canonical::decode(from)?,
            config: Canonical::decode(from)?,
            source: Canonical::decode(from)?,
            notes: Canonical::decode(from)?,
        })
    }
}

impl Request {
    /// The request that is about to be put to the handler.
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

    fn decode(len: usize, from: &mut Decoder<'_>) -> Result<Request, ReadError> {
        fields("request", 9, len)?;
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

/// The bytes of a live request, straight from the registers.
///
/// Everything but the arguments goes through an array on the stack: ten appends to a vector, each
/// with its own check for room, were half the cost of recording a request.
#[inline]
pub(crate) fn encode_request(step: u64, request: &EffectRequest<'_>, out: &mut Encoder<'_>) {
    let mut head = Head::new(9, number::REQUEST);
    let effect = request.effect();
    head.uint(step);
    head.uint(effect.session.0.into());
    head.uint(effect.number);
    head.option(request.role().map(|role| role.0.into()));
    head.uint(request.operation_id().0.into());
    head.uint(request.attempt().into());
    head.option(request.deadline());
    let args = request.args_len();
    if args <= 0x17 {
        head.byte(0x80 | args as u8);
        out.raw(head.bytes());
    } else {
        out.raw(head.bytes()).array(args);
    }
    request.args().for_each(|arg| arg.encode(out));
}

/// The head of an entry: numbers and nothing else.
struct Head {
    bytes: [u8; Head::LEN_MAX],
    len: usize,
}

impl Head {
    /// Two bytes, at most seven numbers of nine, and one byte.
    const LEN_MAX: usize = 2 + 7 * 9 + 1;

    #[inline]
    fn new(len: u8, number: u64) -> Head {
        let mut head = Head {
            bytes: [0; Head::LEN_MAX],
            len: 0,
        };
        head.byte(0x80 | len);
        head.byte(number as u8);
        head
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// A number in its shortest form.
    #[inline]
    fn uint(&mut self, n: u64) {
        match n {
            0..=0x17 => self.byte(n as u8),
            0x18..=0xff => {
                self.byte(0x18);
                self.byte(n as u8);
            }
            0x100..=0xffff => self.wide(0x19, &(n as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.wide(0x1a, &(n as u32).to_be_bytes()),
            _ => self.wide(0x1b, &n.to_be_bytes()),
        }
    }

    #[inline]
    fn wide(&mut self, initial: u8, bytes: &[u8]) {
        self.byte(initial);
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    #[inline]
    fn option(&mut self, n: Option<u64>) {
        match n {
            Some(n) => self.uint(n),
            None => self.byte(0xf6),
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[inline]
pub(crate) fn encode_answer(outcome: &Outcome, out: &mut Encoder<'_>) {
    const DONE: [u8; 5] = [0x82, number::ANSWER as u8, 0x82, 0, 0xf6];
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

/// The picks of a wave, no more than a machine runs at a time.
fn decode_picks(from: &mut Decoder<'_>) -> Result<Vec<(Pick, u32)>, ReadError> {
    let offset = from.position();
    let mut picks = Vec::new();
    let mut steps: u64 = 0;
    for _ in 0..from.array()? {
        fields("pick", 3, from.array()?)?;
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

/// A part of an entry that is too long for one record, and whether another part follows.
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

    fn decode(len: usize, from: &mut Decoder<'_>) -> Result<End, ReadError> {
        fields("end", 7, len)?;
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

/// An outcome. Unlike the canonical reading this takes a detail of any length: what a handler says
/// is recorded as it is, and the machine, not the recording, has to judge it.
pub(crate) fn decode_outcome(from: &mut Decoder<'_>) -> Result<Outcome, ReadError> {
    let len = from.array()?;
    let offset = from.position();
    match from.uint()? {
        0 => {
            fields("success", 2, len)?;
            Ok(Outcome::Success(Canonical::decode(from)?))
        }
        1 => {
            fields("failure", 2, len)?;
            fields("failure", 2, from.array()?)?;
            let kind = Canonical::decode(from)?;
            let detail = Arc::from(from.text()?);
            Ok(Outcome::Failure(Failure { kind, detail }))
        }
        got => Err(alternative(offset, "outcome", got)),
    }
}

/// An input; as [`decode_outcome`], an owner's name may have any length.
fn decode_ingress(from: &mut Decoder<'_>) -> Result<Ingress, ReadError> {
    let len = from.array()?;
    let offset = from.position();
    match from.uint()? {
        0 => {
            fields("open", 3, len)?;
            let image = Canonical::decode(from)?;
            let owner = Arc::from(from.text()?);
            Ok(Ingress::Open { image, owner })
        }
        1 => {
            fields("outcome", 3, len)?;
            let effect = Canonical::decode(from)?;
            let outcome = decode_outcome(from)?;
            Ok(Ingress::Outcome { effect, outcome })
        }
        2 => {
            fields("advance", 2, len)?;
            let ticks = from.uint()?;
            Ok(Ingress::AdvanceClock { ticks })
        }
        3 => {
            fields("cancel", 3, len)?;
            let session = Canonical::decode(from)?;
            let owner = Arc::from(from.text()?);
            Ok(Ingress::Cancel { session, owner })
        }
        got => Err(alternative(offset, "input", got)),
    }
}

/// A part: whether more follow, and its bytes. `None`: the entry is not a part.
pub(crate) fn decode_part(bytes: &[u8]) -> Result<Option<(bool, &[u8])>, ReadError> {
    let mut from = Decoder::new(bytes, ENTRY_LIMITS);
    let len = from.array()?;
    if from.kind()? != Kind::Uint || from.uint()? != number::PART {
        return Ok(None);
    }
    fields("part", 3, len)?;
    Ok(Some((from.bool()?, from.bytes()?)))
}

fn fields(what: &'static str, expected: usize, got: usize) -> Result<(), ReadError> {
    if got == expected {
        return Ok(());
    }
    Err(ReadError {
        offset: 0,
        kind: ReadErrorKind::Length {
            what,
            expected,
            got,
        },
    })
}

fn alternative(offset: usize, what: &'static str, got: u64) -> ReadError {
    ReadError {
        offset,
        kind: ReadErrorKind::Alternative { what, got },
    }
}
