//! The canonical bytes of everything that is stored, hashed or compared.
//!
//! One rule for all types, so that it can be written a second time in the model: a structure is the array of its
//! fields in declared order; an alternative is an array that starts with the alternative's number; an absent option is
//! `null`; a table is an array. All of it in deterministic CBOR.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_codec::{DecodeError, DecodeErrorKind, Decoder, Encoder, Kind, Limits};
use smallvec::SmallVec;

use crate::bounds::{IMAGE_LEN_MAX, SORT_DEPTH_MAX};
use crate::config::{DeterminismMode, ProtocolMachineConfig, SchedulingPolicy};
use crate::effect::{Failure, FailureKind, Outcome};
use crate::event::{End, Event, Message, ObsEvent, Stamp};
use crate::fault::{Action, Fault, Refusal, Table};
use crate::ids::*;
use crate::image::*;
use crate::kernel::{Ingress, Rest, Taken, Wait};
use crate::queue::Pick;
use crate::schema::{self, Described, Row};
use crate::session::{
    Coroutine, Edge, Effect, Endpoint, On, Parcel, Phase, Session, Status, Witness, WitnessKind,
};
use crate::step::{Resumed, Step};
use crate::value::{Form, Value};
use crate::wave::{Key, WaveCertificate, WavePick};

/// A type with canonical bytes.
pub trait Canonical: Sized {
    /// Appends the canonical bytes.
    fn encode(&self, out: &mut Encoder<'_>);

    /// Reads what [`encode`](Self::encode) writes, and nothing else.
    ///
    /// # Errors
    /// Where and how the bytes differ from the canonical form of any value of the type.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError>;

    /// The canonical bytes alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(&mut Encoder::new(&mut bytes));
        bytes
    }

    /// Reads the whole input as one value.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); also when bytes are left over or the limits are passed.
    fn from_bytes(bytes: &[u8], limits: Limits) -> Result<Self, ReadError> {
        let mut from = Decoder::new(bytes, limits);
        let value = Self::decode(&mut from)?;
        from.finish()?;
        Ok(value)
    }
}

/// Why bytes are not the canonical form of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {kind}")]
pub struct ReadError {
    /// Where, from the start of the input.
    pub offset: usize,
    /// What is wrong there.
    pub kind: ReadErrorKind,
}

/// What is wrong with the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadErrorKind {
    /// It is not deterministic CBOR, or not of the kind expected.
    #[error("{0}")]
    Cbor(DecodeErrorKind),
    /// An array has the wrong length.
    #[error("{what} has {expected} fields, got {got}")]
    Length {
        /// The type.
        what: &'static str,
        /// How many fields it has.
        expected: usize,
        /// How many are there.
        got: usize,
    },
    /// No alternative has this number.
    #[error("{what} has no alternative {got}")]
    Alternative {
        /// The type.
        what: &'static str,
        /// The number.
        got: u64,
    },
    /// A number is too large for its type.
    #[error("{what} is at most {max}, got {got}")]
    Range {
        /// The type.
        what: &'static str,
        /// The largest it can be.
        max: u64,
        /// What is there.
        got: u64,
    },
}

impl From<DecodeError> for ReadError {
    fn from(error: DecodeError) -> ReadError {
        ReadError {
            offset: error.offset,
            kind: ReadErrorKind::Cbor(error.kind),
        }
    }
}

fn fields(from: &mut Decoder<'_>, what: &'static str, expected: usize) -> Result<(), ReadError> {
    let offset = from.position();
    let got = from.array()?;
    if got == expected {
        return Ok(());
    }
    Err(ReadError {
        offset,
        kind: ReadErrorKind::Length {
            what,
            expected,
            got,
        },
    })
}

fn range(from: &mut Decoder<'_>, what: &'static str, max: u64) -> Result<u64, ReadError> {
    let offset = from.position();
    let got = from.uint()?;
    if got <= max {
        return Ok(got);
    }
    Err(ReadError {
        offset,
        kind: ReadErrorKind::Range { what, max, got },
    })
}

macro_rules! numbers {
    ($($name:ident)*) => {$(
        impl Canonical for $name {
            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) {
                out.uint(u64::from(*self));
            }
            fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
                Ok(range(from, stringify!($name), u64::from($name::MAX))? as $name)
            }
        }
    )*};
}

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Canonical for $name {
            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) {
                self.0.encode(out);
            }
            fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
                Ok($name(Canonical::decode(from)?))
            }
        }
    )*};
}

/// A structure: the array of its fields.
macro_rules! structure {
    ($name:ident { $($field:ident),* }) => {
        impl Canonical for $name {
            fn encode(&self, out: &mut Encoder<'_>) {
                out.array([$(stringify!($field)),*].len());
                $(self.$field.encode(out);)*
            }
            fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
                fields(from, stringify!($name), [$(stringify!($field)),*].len())?;
                Ok($name { $($field: Canonical::decode(from)?),* })
            }
        }

        impl Described for $name {
            fn type_name() -> String {
                stringify!($name).to_owned()
            }
            fn rows() -> Vec<Row> {
                let fields = vec![$(schema::field(stringify!($field), |s: &$name| &s.$field)),*];
                vec![schema::row(stringify!($name), 0, "mk", fields)]
            }
        }
    };
}

/// An alternative: the array of its number and its fields.
macro_rules! alternatives {
    ($name:ident { $($number:literal = $variant:ident $({ $($field:ident),* })? $(( $($item:ident),* ))?,)* }) => {
        impl Canonical for $name {
            fn encode(&self, out: &mut Encoder<'_>) {
                match self {$(
                    $name::$variant $({ $($field),* })? $(( $($item),* ))? => {
                        let len = [stringify!($variant) $($(, stringify!($field))*)? $($(, stringify!($item))*)?].len();
                        out.array(len).uint($number);
                        $($($field.encode(out);)*)?
                        $($($item.encode(out);)*)?
                    }
                )*}
            }
            fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
                let offset = from.position();
                let got = from.array()?;
                if got == 0 {
                    let kind = ReadErrorKind::Length { what: stringify!($name), expected: 1, got };
                    return Err(ReadError { offset, kind });
                }
                match from.uint()? {
                    $($number => {
                        let expected = [stringify!($variant) $($(, stringify!($field))*)? $($(, stringify!($item))*)?].len();
                        if got != expected {
                            let what = concat!(stringify!($name), "::", stringify!($variant));
                            let kind = ReadErrorKind::Length { what, expected, got };
                            return Err(ReadError { offset, kind });
                        }
                        $($(let $field = Canonical::decode(from)?;)*)?
                        $($(let $item = Canonical::decode(from)?;)*)?
                        Ok($name::$variant $({ $($field),* })? $(( $($item),* ))?)
                    })*
                    got => {
                        let kind = ReadErrorKind::Alternative { what: stringify!($name), got };
                        Err(ReadError { offset, kind })
                    }
                }
            }
        }

        impl Described for $name {
            fn type_name() -> String {
                stringify!($name).to_owned()
            }
            fn rows() -> Vec<Row> {
                vec![$({
                    let fields = vec![
                        $($(schema::part(stringify!($field), |v: &$name| match v {
                            $name::$variant { $field, .. } => Some($field),
                            _ => None,
                        }),)*)?
                        $($(schema::part(stringify!($item), |v: &$name| match v {
                            $name::$variant($item) => Some($item),
                            _ => None,
                        }),)*)?
                    ];
                    schema::row(stringify!($name), $number, stringify!($variant), fields)
                }),*]
            }
        }
    };
}

numbers! { u8 u16 u32 u64 }
ids! {
    RoleId LabelId SortId EdgeId OperationId ProgramId StateId Pc Reg SessionId CoroutineId
}
structure!(EffectId { session, number });

structure!(CodeImage {
    name,
    version,
    roles,
    labels,
    sorts,
    interfaces,
    operations,
    programs
});
structure!(Role { name, automaton });
structure!(Automaton { states });
alternatives!(State {
    0 = End,
    1 = Send { to, branches },
    2 = Recv { from, branches },
});
structure!(Transition { label, sort, next });
alternatives!(Sort {
    0 = Unit,
    1 = Bool,
    2 = Nat,
    3 = Int,
    4 = Text,
    5 = Bytes,
    6 = List(item),
    7 = Option(item),
    8 = Record { name, fields },
    9 = Enum { name, variants },
    10 = Foreign { name },
    11 = Arm(labels),
});
structure!(Interface { name, version });
structure!(Operation {
    interface,
    name,
    class,
    args,
    result,
    budget,
    retries
});
alternatives!(Class {
    0 = Produce { label, peer },
    1 = Decide { labels, peer },
    2 = Deliver { label, peer },
    3 = Command,
    4 = Observe,
    5 = Check,
});
structure!(Program {
    name,
    registers,
    code
});
alternatives!(Instruction {
    0 = Send { chan, label, val },
    1 = Receive { chan, label, dst },
    2 = Offer { chan, selector, arms },
    3 = Choose { chan, dst, table },
    4 = Invoke { operation, args, dst, on_failure },
    5 = Check { operation, args, dst, witness, on_failure },
    6 = Spawn { program, args, dst },
    7 = Set { dst, value },
    8 = Move { dst, src },
    9 = Jump { target },
    10 = Branch { cond, table },
    11 = Yield,
    12 = Close,
    13 = Halt,
});
structure!(Arm { label, val, target });

alternatives!(Outcome {
    0 = Success(value),
    1 = Failure(failure),
});
structure!(Failure { kind, detail });
alternatives!(Ingress {
    0 = Open { image, owner },
    1 = Outcome { effect, outcome },
    2 = AdvanceClock { ticks },
    3 = Cancel { session, owner },
});

structure!(Stamp {
    session,
    index,
    step,
    clock
});
structure!(ObsEvent { stamp, event });
structure!(Message {
    edge,
    label,
    sequence,
    payload
});
alternatives!(Event {
    0 = Opened { image, owner },
    1 = Sent(message),
    2 = Offered(message),
    3 = Received(message),
    4 = Chose(message),
    5 = EffectIssued { number, coroutine, operation, attempt, deadline },
    6 = EffectResolved { number, result },
    7 = EffectFailed { number, failure },
    8 = EffectInvalidated { number },
    9 = WitnessIssued { witness, number },
    10 = WitnessExpired { witness },
    11 = TimeoutIssued { number, witness },
    12 = CancellationRequested { witness },
    13 = Cancelled { witness },
    14 = FailureBranchEntered { coroutine, cause },
    15 = Spawned { coroutine, program },
    16 = Halted { coroutine },
    17 = Faulted { coroutine, fault },
    18 = Closed,
    19 = SessionTerminal { end },
    20 = EpochAdvanced { epoch },
});
alternatives!(Fault {
    0 = OutOfRegisters { register, count },
    1 = PcOutOfBounds { pc, len },
    2 = NoSuchRow { table, index },
    3 = NotAnEndpoint { register, got },
    4 = NotHolder { role, holder },
    5 = WrongState { role, state, expected, got },
    6 = WrongLabel { role, state, got },
    7 = WrongSort { expected, got },
    8 = PayloadTooLarge { len, max },
    9 = UnexpectedMessage { edge, got },
    10 = SelectorOutside { got },
    11 = NoSuchBranch { got },
    12 = NotANumber { got },
    13 = WrongOperation,
    14 = CoroutineBound { max },
    15 = EffectFailed { number, kind },
    16 = EndpointOpen { role, state },
    17 = EdgeNotEmpty { edge, len },
});
alternatives!(Refusal {
    0 = NoSuchSession { session },
    1 = SessionEnded { session },
    2 = Late { effect },
    3 = NeverIssued { effect },
    4 = NotOwner { session },
    5 = NoSuchImage,
    6 = SessionBound { max },
    7 = OwnerTooLong { len, max },
    8 = ClockOverflow { ticks },
});
structure!(ProtocolMachineConfig {
    policy,
    priorities,
    buffer_len_max,
    payload_len_max,
    coroutines_max,
    sessions_max,
    witnesses_max,
    witness_ttl,
    effect_budget,
    determinism_mode
});

structure!(Endpoint { holder, state });
structure!(Coroutine {
    program,
    role,
    priority,
    status,
    pc,
    registers
});
alternatives!(Status {
    0 = Ready,
    1 = Blocked(on),
    2 = Halted,
    3 = Faulted,
});
alternatives!(On {
    0 = Empty(edge),
    1 = Full(edge),
    2 = Effect(number),
});
structure!(Parcel {
    payload,
    sequence,
    label
});
structure!(Effect {
    number,
    deadline,
    operation,
    coroutine,
    attempt
});
structure!(Witness {
    number,
    expires,
    effect,
    kind
});
alternatives!(Phase {
    0 = Active,
    1 = Terminal(end),
});

structure!(Pick { session, coroutine });
structure!(WaveCertificate {
    step_index,
    queue,
    picks
});
structure!(WavePick {
    pick,
    lane,
    quantum,
    footprint
});
alternatives!(Key {
    0 = Ledger { session },
    1 = Coroutine { session, coroutine },
    2 = Endpoint { session, role },
    3 = Edge { session, edge },
});
alternatives!(Step {
    0 = Ran,
    1 = Yielded,
    2 = Blocked(on),
    3 = Effect(effect),
    4 = Halted,
    5 = Faulted(fault),
});
alternatives!(Resumed {
    0 = Ready(coroutine),
    1 = Reissued(effect),
    2 = Faulted(fault),
});
alternatives!(Taken {
    0 = Opened(session),
    1 = Resumed(resumed),
    2 = Advanced { expired },
    3 = Cancelled,
});
alternatives!(Rest {
    0 = Idle,
    1 = Done,
    2 = Stuck(waits),
});
structure!(Wait {
    pick,
    role,
    on,
    server
});

/// Closed lists of names, by their position.
macro_rules! list {
    ($name:ident { $($variant:ident),* }) => {
        impl Canonical for $name {
            fn encode(&self, out: &mut Encoder<'_>) {
                out.uint(*self as u64);
            }
            fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
                const ALL: &[$name] = &[$($name::$variant),*];
                let offset = from.position();
                let got = from.uint()?;
                let found = usize::try_from(got).ok().and_then(|n| ALL.get(n));
                found.copied().ok_or(ReadError {
                    offset,
                    kind: ReadErrorKind::Alternative { what: stringify!($name), got },
                })
            }
        }

        impl Described for $name {
            fn type_name() -> String {
                stringify!($name).to_owned()
            }
            fn rows() -> Vec<Row> {
                let names = (0..).zip([$(stringify!($variant)),*]);
                names.map(|(n, name)| schema::row(stringify!($name), n, name, Vec::new())).collect()
            }
        }
    };
}

list!(FailureKind {
    Denied,
    Timeout,
    Cancelled,
    Unavailable,
    InvalidInput,
    StaleAuthority,
    ContractViolation,
    Lost,
    Busy,
    Internal
});
list!(SchedulingPolicy {
    Cooperative,
    RoundRobin,
    Priority,
    ProgressAware
});
list!(DeterminismMode {
    Full,
    ModuloEffects,
    ModuloCommutativity,
    Replay
});
list!(End {
    Closed,
    Cancelled,
    Faulted
});
list!(WitnessKind { Check, Timeout });
list!(Action { End, Send, Receive });
list!(Table {
    Programs,
    Operations,
    Roles,
    States,
    Edges
});
list!(Form {
    Unit,
    Bool,
    Nat,
    Int,
    Text,
    Bytes,
    List,
    Record,
    Endpoint,
    Evidence
});

impl Canonical for String {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.text(self);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        Ok(from.text()?.to_owned())
    }
}

/// A failure's detail or an owner's name. Whether it is too long is for whoever takes it to say, so that a recording of
/// the refusal can be read; the decoder's limits bound the memory.
impl Canonical for Arc<str> {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.text(self);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        Ok(Arc::from(from.text()?))
    }
}

/// A digest.
impl Canonical for [u8; 32] {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.bytes(self);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        let offset = from.position();
        let bytes = from.bytes()?;
        bytes.try_into().map_err(|_| ReadError {
            offset,
            kind: ReadErrorKind::Length {
                what: "digest",
                expected: 32,
                got: bytes.len(),
            },
        })
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(self.len());
        for item in self {
            item.encode(out);
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        let len = from.array()?;
        // No reservation by a claimed length: `T` can be much larger than its shortest encoding.
        let mut items = Vec::new();
        for _ in 0..len {
            items.push(T::decode(from)?);
        }
        Ok(items)
    }
}

impl<A: smallvec::Array> Canonical for SmallVec<A>
where
    A::Item: Canonical,
{
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(self.len());
        for item in self {
            item.encode(out);
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        Ok(Vec::decode(from)?.into())
    }
}

/// `null`, or the value; for types whose own form is never `null`.
impl<T: Canonical> Canonical for Option<T> {
    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) {
        match self {
            Some(value) => value.encode(out),
            None => {
                out.null();
            }
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        if from.kind()? == Kind::Null {
            from.null()?;
            return Ok(None);
        }
        Ok(Some(T::decode(from)?))
    }
}

impl<A: Canonical, B: Canonical> Canonical for (A, B) {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(2);
        self.0.encode(out);
        self.1.encode(out);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        fields(from, "pair", 2)?;
        Ok((A::decode(from)?, B::decode(from)?))
    }
}

/// A map of names: an array of pairs in the order of the names.
impl Canonical for BTreeMap<String, u8> {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(self.len());
        for (name, number) in self {
            out.array(2).text(name).uint(u64::from(*number));
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        let mut map = BTreeMap::new();
        for _ in 0..from.array()? {
            let offset = from.position();
            let (name, number) = <(String, u8)>::decode(from)?;
            if map.last_key_value().is_some_and(|(last, _)| *last >= name) {
                let kind = ReadErrorKind::Cbor(DecodeErrorKind::KeysUnsorted { previous: offset });
                return Err(ReadError { offset, kind });
            }
            map.insert(name, number);
        }
        Ok(map)
    }
}

/// Numbers of the alternatives of a value that are arrays.
const INT: u64 = 0;
const LIST: u64 = 1;
const RECORD: u64 = 2;
const ENDPOINT: u64 = 3;
const EVIDENCE: u64 = 4;

/// Unit is `null`; truth values, natural numbers, text and bytes are themselves; the others are arrays that start with
/// their number: `[0, i]`, `[1, items…]`, `[2, fields…]`, `[3, role]`, `[4, evidence]`.
impl Canonical for Value {
    fn encode(&self, out: &mut Encoder<'_>) {
        match self {
            Value::Unit => out.null(),
            Value::Bool(b) => out.bool(*b),
            Value::Nat(n) => out.uint(*n),
            Value::Int(i) => out.array(2).uint(INT).int(*i),
            Value::Text(text) => out.text(text),
            Value::Bytes(bytes) => out.bytes(bytes),
            Value::List(items) => {
                out.array(items.len() + 1).uint(LIST);
                items.iter().for_each(|item| item.encode(out));
                out
            }
            Value::Record(items) => {
                out.array(items.len() + 1).uint(RECORD);
                items.iter().for_each(|item| item.encode(out));
                out
            }
            Value::Endpoint(role) => out.array(2).uint(ENDPOINT).uint(role.0.into()),
            Value::Evidence(number) => out.array(2).uint(EVIDENCE).uint(*number),
        };
    }

    /// Recursion is bounded by the decoder's depth limit.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        match from.kind()? {
            Kind::Null => Ok(from.null().map(|()| Value::Unit)?),
            Kind::Bool => Ok(Value::Bool(from.bool()?)),
            Kind::Text => Ok(Value::text(from.text()?)),
            Kind::Bytes => Ok(Value::bytes(from.bytes()?)),
            Kind::Array => decode_compound(from),
            _ => Ok(Value::Nat(from.uint()?)),
        }
    }
}

fn decode_compound(from: &mut Decoder<'_>) -> Result<Value, ReadError> {
    let offset = from.position();
    let len = from.array()?;
    let wrong = |expected| ReadError {
        offset,
        kind: ReadErrorKind::Length {
            what: "Value",
            expected,
            got: len,
        },
    };
    if len == 0 {
        return Err(wrong(1));
    }
    let number = from.uint()?;
    match number {
        LIST | RECORD => {
            let mut items = Vec::new();
            for _ in 1..len {
                items.push(Value::decode(from)?);
            }
            Ok(if number == LIST {
                Value::list(items)
            } else {
                Value::record(items)
            })
        }
        INT | ENDPOINT | EVIDENCE if len != 2 => Err(wrong(2)),
        INT => Ok(Value::Int(from.int()?)),
        ENDPOINT => Ok(Value::Endpoint(RoleId::decode(from)?)),
        EVIDENCE => Ok(Value::Evidence(from.uint()?)),
        got => Err(ReadError {
            offset,
            kind: ReadErrorKind::Alternative { what: "Value", got },
        }),
    }
}

impl Value {
    /// Bytes of the canonical encoding, without making it. Constant time but for lists and records.
    #[inline(always)]
    pub fn encoded_len(&self) -> u64 {
        match self {
            Value::Unit | Value::Bool(_) => 1,
            _ => self.encoded_len_of_more(),
        }
    }

    fn encoded_len_of_more(&self) -> u64 {
        let head = |n: u64| antiphon_codec::head_len(n) as u64;
        match self {
            Value::Unit | Value::Bool(_) => 1,
            Value::Nat(n) => head(*n),
            Value::Int(i) => 2 + head(if *i < 0 { !*i as u64 } else { *i as u64 }),
            Value::Text(text) => head(text.len() as u64) + text.len() as u64,
            Value::Bytes(bytes) => head(bytes.len() as u64) + bytes.len() as u64,
            Value::List(items) | Value::Record(items) => {
                let inner: u64 = items.iter().map(Value::encoded_len).sum();
                head(items.len() as u64 + 1) + 1 + inner
            }
            Value::Endpoint(role) => 2 + head(role.0.into()),
            Value::Evidence(number) => 2 + head(*number),
        }
    }
}

/// An edge's counter of received messages is what is sent less what is buffered, and is not stored twice.
impl Canonical for Edge {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(2).uint(self.sent).array(self.queue.len());
        self.queue.iter().for_each(|parcel| parcel.encode(out));
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, ReadError> {
        fields(from, "Edge", 2)?;
        let sent = u64::decode(from)?;
        Ok(Edge {
            sent,
            queue: Vec::decode(from)?.into_iter().collect(),
        })
    }
}

/// The whole state of a session; its image by digest.
pub(crate) fn encode_session(session: &Session, image: &[u8; 32], out: &mut Encoder<'_>) {
    out.array(14);
    session.id.encode(out);
    image.encode(out);
    session.phase.encode(out);
    session.live.encode(out);
    session.epoch.encode(out);
    session.events.encode(out);
    session.effects_issued.encode(out);
    session.witnesses_issued.encode(out);
    session.endpoints.encode(out);
    session.coroutines.encode(out);
    session.edges.encode(out);
    session.effects.encode(out);
    out.array(session.witnesses.len());
    session
        .witnesses
        .iter()
        .for_each(|witness| witness.encode(out));
    session.owner.encode(out);
}

impl CodeImage {
    /// What reading an image may cost: its length, and the depth of a constant inside an instruction.
    pub const LIMITS: Limits = Limits {
        depth: SORT_DEPTH_MAX + 8,
        bytes_len: IMAGE_LEN_MAX,
        items: 4 << 20,
    };
}
