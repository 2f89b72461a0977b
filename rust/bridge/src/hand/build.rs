//! The image builder, with the sorts and operations that every image of the corpus has.

pub(crate) use antiphon_machine::build::*;
use antiphon_machine::{
    Class, CodeImage, LabelId, Operation, SortId, State, Transition, Value, build,
};

pub(crate) const X: LabelId = LabelId(0);
pub(crate) const Y: LabelId = LabelId(1);
pub(crate) const Z: LabelId = LabelId(2);

/// The sorts of every image made here, one of each kind.
pub(crate) mod sort {
    use antiphon_machine::build::names;
    use antiphon_machine::{LabelId, Sort, SortId};

    pub(crate) const UNIT: SortId = SortId(0);
    pub(crate) const BOOL: SortId = SortId(1);
    pub(crate) const NAT: SortId = SortId(2);
    pub(crate) const INT: SortId = SortId(3);
    pub(crate) const TEXT: SortId = SortId(4);
    pub(crate) const BYTES: SortId = SortId(5);
    pub(crate) const NATS: SortId = SortId(6);
    pub(crate) const MAYBE: SortId = SortId(7);
    pub(crate) const PAIR: SortId = SortId(8);
    pub(crate) const COLOUR: SortId = SortId(9);
    pub(crate) const FOREIGN: SortId = SortId(10);
    pub(crate) const ARM: SortId = SortId(11);
    pub(crate) const DEEP: SortId = SortId(12);
    /// A sort that no table here has.
    pub(crate) const NONE: SortId = SortId(99);
    /// The number of sorts.
    pub(crate) const COUNT: u16 = 13;

    pub(crate) fn table() -> Vec<Sort> {
        let field = |name: &str, sort| (name.to_owned(), sort);
        vec![
            Sort::Unit,
            Sort::Bool,
            Sort::Nat,
            Sort::Int,
            Sort::Text,
            Sort::Bytes,
            Sort::List(NAT),
            Sort::Option(TEXT),
            Sort::Record {
                name: "Pair".to_owned(),
                fields: vec![field("left", NAT), field("right", BOOL)],
            },
            Sort::Enum {
                name: "Colour".to_owned(),
                variants: names(["red", "green", "blue"]),
            },
            Sort::Foreign {
                name: "Blob".to_owned(),
            },
            Sort::Arm(vec![LabelId(0), LabelId(2)]),
            Sort::List(PAIR),
        ]
    }
}
use sort::NAT;

/// The rows of the operations in every image made here.
pub(crate) mod op {
    /// `do(nat) -> nat`, a command.
    pub(crate) const DO: u16 = 0;
    /// `prove(nat) -> nat`, a check.
    pub(crate) const PROVE: u16 = 1;
    /// As `do`, with a budget of 10 ticks.
    pub(crate) const SOON: u16 = 2;
    /// As `do`, with two retries.
    pub(crate) const AGAIN: u16 = 3;
    /// As `prove`, with a budget of 5 and one retry.
    pub(crate) const PROVE_SOON: u16 = 4;
    /// `look() -> unit`, an observation.
    pub(crate) const LOOK: u16 = 5;
    /// The first of the operations that return a value of a given sort; they are in the order of
    /// the sorts.
    pub(crate) const GIVE: u16 = 6;
}

/// An image of roles A, B, … and labels x, y, z.
pub(crate) fn image(parts: Vec<Part>) -> CodeImage {
    let one = |name, class| operation(name, class, &[NAT], NAT);
    let mut operations = vec![
        one("do", Class::Command),
        one("prove", Class::Check),
        Operation {
            budget: Some(10),
            ..one("soon", Class::Command)
        },
        Operation {
            retries: 2,
            ..one("again", Class::Command)
        },
        Operation {
            budget: Some(5),
            retries: 1,
            ..one("prove_soon", Class::Check)
        },
        operation("look", Class::Observe, &[], sort::UNIT),
    ];
    let give = |row| operation(&format!("give{row}"), Class::Observe, &[], SortId(row));
    operations.extend((0..sort::COUNT).map(give));
    CodeImage {
        labels: names(["x", "y", "z"]),
        sorts: sort::table(),
        interfaces: vec![interface("world")],
        operations,
        ..build::image("hand", lettered(4, parts))
    }
}

/// The states for `count` messages x with a nat, then the end.
pub(crate) fn times(count: u32, state: impl Fn(Vec<Transition>) -> State) -> Vec<State> {
    repeated(count, X, NAT, state)
}

/// Values of every form, with the edges of each range.
pub(crate) fn values() -> Vec<(&'static str, Value)> {
    let nat = Value::Nat;
    vec![
        ("unit", Value::Unit),
        ("false", Value::Bool(false)),
        ("true", Value::Bool(true)),
        ("nat 0", nat(0)),
        ("nat 1", nat(1)),
        ("nat 23", nat(23)),
        ("nat 24", nat(24)),
        ("nat 256", nat(256)),
        ("nat 65536", nat(65_536)),
        ("nat 2^32", nat(1 << 32)),
        ("nat max", nat(u64::MAX)),
        ("int 0", Value::Int(0)),
        ("int -1", Value::Int(-1)),
        ("int -25", Value::Int(-25)),
        ("int min", Value::Int(i64::MIN)),
        ("int max", Value::Int(i64::MAX)),
        ("text empty", Value::text("")),
        ("text", Value::text("größe 水 𐅑")),
        ("text 24", Value::text("abcdefghijklmnopqrstuvwx")),
        ("bytes empty", Value::bytes(b"")),
        ("bytes 23", Value::bytes(&[7; 23])),
        ("bytes 24", Value::bytes(&[7; 24])),
        ("bytes 256", Value::bytes(&[7; 256])),
        ("list empty", Value::list(vec![])),
        ("list", Value::list(vec![nat(1), nat(2)])),
        ("list of text", Value::list(vec![Value::text("a")])),
        ("list 23", Value::list(vec![nat(0); 23])),
        ("record empty", Value::record(vec![])),
        ("pair", Value::record(vec![nat(1), Value::Bool(true)])),
        (
            "pair turned",
            Value::record(vec![Value::Bool(true), nat(1)]),
        ),
        (
            "pairs",
            Value::list(vec![Value::record(vec![nat(9), Value::Bool(false)])]),
        ),
        (
            "nested",
            Value::list(vec![Value::list(vec![Value::list(vec![Value::Unit])])]),
        ),
        ("endpoint", Value::Endpoint(B)),
        ("evidence", Value::Evidence(3)),
    ]
}
