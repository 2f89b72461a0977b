//! The bytes of images and values.

use super::*;
use crate::bounds::{IMAGE_LEN_MAX, SORT_DEPTH_MAX};
use crate::image::*;
use crate::value::{Form, Value};

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

structure!(Arm { label, val, target });

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

/// Numbers of the alternatives of a value that are arrays.
const INT: u64 = 0;
const LIST: u64 = 1;
const RECORD: u64 = 2;
const ENDPOINT: u64 = 3;
const EVIDENCE: u64 = 4;

/// Unit is `null`; truth values, natural numbers, text and bytes are themselves; the others are
/// arrays that start with their number: `[0, i]`, `[1, items…]`, `[2, fields…]`, `[3, role]`, `[4,
/// evidence]`.
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
    /// Length in bytes of the canonical encoding, computed without encoding. Constant time, except
    /// for lists and records.
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

impl CodeImage {
    /// The limits for reading an image: its length, and the depth of a constant inside an
    /// instruction.
    pub const LIMITS: Limits = Limits {
        depth: SORT_DEPTH_MAX + 8,
        bytes_len: IMAGE_LEN_MAX,
        items: 4 << 20,
    };
}
