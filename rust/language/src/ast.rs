//! The syntax tree: what a text says, before anything is known about whether it makes sense.
//!
//! A tree keeps where things were written ([`At`]) and its comments, but neither is part of what it
//! says: two trees are equal when they say the same.

use std::sync::Arc;

use crate::source::{FileId, Span};

/// Where something was written. Any two are equal, so that trees compare by what they say.
#[derive(Clone, Copy, Debug, Default)]
pub struct At(pub Span);

impl PartialEq for At {
    fn eq(&self, _: &At) -> bool {
        true
    }
}

impl Eq for At {}

/// A source text as a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ast {
    /// The declarations in their order.
    pub items: Vec<Item>,
    /// Whether declarations were lost to errors of syntax.
    pub damaged: bool,
    /// What the formatter needs beyond what the text says.
    pub trivia: Trivia,
}

impl Ast {
    /// Whether the tree holds all that the text says: nothing was lost to errors or unsupported.
    pub fn is_whole(&self) -> bool {
        !self.damaged && !self.protocols().any(|p| p.damaged)
    }

    /// The protocols in their order.
    pub fn protocols(&self) -> impl Iterator<Item = &Protocol> {
        self.items.iter().filter_map(|item| match item {
            Item::Protocol(protocol) => Some(protocol),
            Item::Module(_)
            | Item::Import(_)
            | Item::Foreign(_)
            | Item::Record(_)
            | Item::Enum(_)
            | Item::Effect(_) => None,
        })
    }
}

/// The text itself and its comments. Any two are equal.
#[derive(Clone, Debug, Default)]
pub struct Trivia {
    /// Which text it is.
    pub file: FileId,
    /// The text; empty for a tree that was not parsed.
    pub text: Arc<str>,
    /// The comments in their order.
    pub comments: Vec<Span>,
}

impl PartialEq for Trivia {
    fn eq(&self, _: &Trivia) -> bool {
        true
    }
}

impl Eq for Trivia {}

/// A name as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The word.
    pub text: String,
    /// Where.
    pub at: At,
}

/// A name with the modules that lead to it: `a.b.C`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The words, at least one.
    pub segments: Vec<Name>,
}

impl Path {
    /// The whole path.
    pub fn span(&self) -> Span {
        match (self.segments.first(), self.segments.last()) {
            (Some(first), Some(last)) => first.at.0.to(last.at.0),
            (None, _) | (_, None) => Span::default(),
        }
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(&segment.text)?;
        }
        Ok(())
    }
}

/// A declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `module a.b;`
    Module(Module),
    /// `import a.b as c;`
    Import(Import),
    /// `type <l> "…" from "…" as T;` or `sig <l> "…" from "…" as T;`
    Foreign(Foreign),
    /// `record R { field: Sort, … }`
    Record(Record),
    /// `enum E { variant, … }`
    Enum(Enum),
    /// `effect I version 1 { … }`
    Effect(Effect),
    /// `global protocol P(role A, …) … { … }`
    Protocol(Protocol),
}

impl Item {
    /// Where the declaration is written.
    pub fn span(&self) -> Span {
        match self {
            Item::Module(item) => item.at.0,
            Item::Import(item) => item.at.0,
            Item::Foreign(item) => item.at.0,
            Item::Record(item) => item.at.0,
            Item::Enum(item) => item.at.0,
            Item::Effect(item) => item.at.0,
            Item::Protocol(item) => item.at.0,
        }
    }
}

/// The name that a module gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: Path,
    /// Where.
    pub at: At,
}

/// The use of another module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The other module's name.
    pub module: Path,
    /// What it is called here.
    pub alias: Option<Name>,
    /// Where.
    pub at: At,
}

/// A type or a message signature of another language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Which of the two.
    pub kind: ForeignKind,
    /// The other language.
    pub language: Name,
    /// Its name there.
    pub external: String,
    /// Where it comes from there.
    pub from: String,
    /// Its name here.
    pub name: Name,
    /// Where.
    pub at: At,
}

/// What a foreign declaration declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignKind {
    /// A payload sort.
    Type,
    /// A whole message: label and payload.
    Signature,
}

/// A record sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub name: Name,
    /// Its fields in order.
    pub fields: Vec<Field>,
    /// Where.
    pub at: At,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its sort.
    pub sort: SortTerm,
}

/// An enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enum {
    /// Its name.
    pub name: Name,
    /// Its variants in order.
    pub variants: Vec<Name>,
    /// Where.
    pub at: At,
}

/// A sort as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortTerm {
    /// What it says.
    pub kind: SortKind,
    /// Where.
    pub at: At,
}

/// The forms of a sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortKind {
    /// A built-in or declared one.
    Named(Path),
    /// `[S]`
    List(Box<SortTerm>),
    /// `S?`
    Option(Box<SortTerm>),
}

/// An interface of operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Its name.
    pub name: Name,
    /// Its version; 1 when none is written.
    pub version: u32,
    /// Its operations.
    pub operations: Vec<Operation>,
    /// Where.
    pub at: At,
}

/// An operation of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its authority class.
    pub class: OperationClass,
    /// Its name.
    pub name: Name,
    /// Its parameters.
    pub params: Vec<Param>,
    /// The sort of its result; `Unit` when none is written.
    pub result: Option<SortTerm>,
    /// How long it may take.
    pub within: Option<Duration>,
    /// How often it is asked again.
    pub retry: Option<u8>,
    /// Where.
    pub at: At,
}

/// The authority class of an operation as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationClass {
    /// `op`: a command.
    Command,
    /// `observe`: an observation.
    Observe,
    /// `check`: an authoritative read.
    Check,
}

impl OperationClass {
    /// The word that declares it.
    pub const fn keyword(self) -> &'static str {
        match self {
            OperationClass::Command => "op",
            OperationClass::Observe => "observe",
            OperationClass::Check => "check",
        }
    }
}

/// A parameter of an operation, or a payload of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: Option<Name>,
    /// Its sort. In a message a lone word may also be a bound name.
    pub sort: SortTerm,
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration {
    /// How many.
    pub amount: u64,
    /// Of what.
    pub unit: Unit,
    /// Where.
    pub at: At,
}

impl Duration {
    /// The length in ticks of one millisecond. The parser refuses what does not fit.
    pub const fn ticks(self) -> u64 {
        self.amount.saturating_mul(self.unit.ticks())
    }
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `ms`
    Millisecond,
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
}

impl Unit {
    /// The unit as written.
    pub const fn suffix(self) -> &'static str {
        match self {
            Unit::Millisecond => "ms",
            Unit::Second => "s",
            Unit::Minute => "m",
            Unit::Hour => "h",
        }
    }

    /// The unit in ticks of one millisecond.
    pub const fn ticks(self) -> u64 {
        match self {
            Unit::Millisecond => 1,
            Unit::Second => 1_000,
            Unit::Minute => 60_000,
            Unit::Hour => 3_600_000,
        }
    }
}

/// A global protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Whether it is only there for others to `do`.
    pub aux: bool,
    /// Its name.
    pub name: Name,
    /// Its roles.
    pub roles: Vec<Name>,
    /// Which role may call which interface.
    pub uses: Vec<Use>,
    /// What happens.
    pub body: Block,
    /// Whether parts of the body were lost to errors of syntax or are not supported.
    pub damaged: bool,
    /// Where.
    pub at: At,
}

/// `uses Interface at Role`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The interface.
    pub interface: Path,
    /// The role.
    pub role: Name,
}

/// Statements in braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The statements in order.
    pub statements: Vec<Statement>,
    /// The braces and all between.
    pub at: At,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it says.
    pub kind: StatementKind,
    /// Where.
    pub at: At,
}

/// The forms of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// `label(payload, …) from A to B, C;`
    Message(Message),
    /// `choice at A { … } or { … }`
    Choice {
        /// Who chooses.
        role: Name,
        /// The branches, at least one.
        branches: Vec<Block>,
    },
    /// `rec X { … }`
    Rec {
        /// The recursion's name.
        name: Name,
        /// What recurs.
        body: Block,
    },
    /// `continue X;`
    Continue {
        /// The recursion's name.
        name: Name,
    },
    /// `do P(A, B);`
    Do {
        /// The protocol.
        protocol: Path,
        /// The roles it is done with.
        roles: Vec<Name>,
    },
    /// `at A { … }`
    Local {
        /// Who acts.
        role: Name,
        /// What it does.
        actions: Vec<Action>,
        /// The braces and all between.
        block: At,
    },
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its label, or the name of a signature.
    pub label: Name,
    /// Its payloads; nothing when there are not even parentheses.
    pub payloads: Option<Vec<Param>>,
    /// The sender.
    pub from: Name,
    /// The receivers, at least one.
    pub to: Vec<Name>,
}

/// A local action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The name that takes the result.
    pub bind: Option<Name>,
    /// Whether `check` stands before the operation.
    pub check: bool,
    /// The interface.
    pub interface: Path,
    /// Its operation.
    pub operation: Name,
    /// The arguments.
    pub args: Vec<Argument>,
    /// A budget of its own.
    pub within: Option<Duration>,
    /// The label of the branch to take on failure.
    pub otherwise: Option<Name>,
    /// Where.
    pub at: At,
}

/// An argument of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A bound name.
    Name(Name),
    /// `true` or `false`.
    Bool(bool, At),
    /// A whole number, below zero with a minus sign.
    Number(i128, At),
    /// Text in quotes: any characters but quotes, backslashes and line ends.
    Text(String, At),
}

impl Argument {
    /// Where it is written.
    pub fn span(&self) -> Span {
        match self {
            Argument::Name(name) => name.at.0,
            Argument::Bool(_, at) | Argument::Number(_, at) | Argument::Text(_, at) => at.0,
        }
    }
}
