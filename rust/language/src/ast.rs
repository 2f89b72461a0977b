//! The syntax tree of a source text, as parsed, before names are resolved.
//!
//! A tree records source positions ([`At`]) and comments, but these do not affect equality: two
//! trees are equal when their declarations are equal.

use std::sync::Arc;

use crate::source::{FileId, Span};

/// A source position. All positions compare equal, so trees compare by content alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct At(pub Span);

impl PartialEq for At {
    fn eq(&self, _: &At) -> bool {
        true
    }
}

impl Eq for At {}

/// A parsed source text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ast {
    /// The declarations, in source order.
    pub items: Vec<Item>,
    /// Whether declarations are missing because of syntax errors.
    pub damaged: bool,
    /// The text and comments, which the formatter needs.
    pub trivia: Trivia,
}

impl Ast {
    /// Whether the tree represents the whole text: no part is missing because of a syntax error or
    /// because it is not supported.
    pub fn is_whole(&self) -> bool {
        !self.damaged && !self.protocols().any(|p| p.damaged)
    }

    /// The protocols, in source order.
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

/// The text itself and its comments. All trivia compare equal.
#[derive(Clone, Debug, Default)]
pub struct Trivia {
    /// The file the text came from.
    pub file: FileId,
    /// The text; empty for a tree that was not parsed.
    pub text: Arc<str>,
    /// The comments, in source order.
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
    /// The name's text.
    pub text: String,
    /// The position.
    pub at: At,
}

/// A name qualified by modules: `a.b.C`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The segments, at least one.
    pub segments: Vec<Name>,
}

impl Path {
    /// The span of the whole path.
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
    /// The declaration's span.
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

/// A module's declaration of its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The name.
    pub name: Path,
    /// The position.
    pub at: At,
}

/// An import of another module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The imported module's name.
    pub module: Path,
    /// The name that `as` gives the module in this file.
    pub alias: Option<Name>,
    /// The position.
    pub at: At,
}

/// A type or message signature declared in another language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Whether it is a type or a signature.
    pub kind: ForeignKind,
    /// The other language.
    pub language: Name,
    /// The name in the other language.
    pub external: String,
    /// The file or package that declares it there.
    pub from: String,
    /// The name in this language.
    pub name: Name,
    /// The position.
    pub at: At,
}

/// The two kinds of foreign declaration.
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
    /// The name.
    pub name: Name,
    /// The fields, in order.
    pub fields: Vec<Field>,
    /// The position.
    pub at: At,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name.
    pub name: Name,
    /// The sort.
    pub sort: SortTerm,
}

/// An enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enum {
    /// The name.
    pub name: Name,
    /// The variants, in order.
    pub variants: Vec<Name>,
    /// The position.
    pub at: At,
}

/// A sort as written in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortTerm {
    /// The form.
    pub kind: SortKind,
    /// The position.
    pub at: At,
}

/// The forms of a sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortKind {
    /// A built-in or declared sort.
    Named(Path),
    /// `[S]`
    List(Box<SortTerm>),
    /// `S?`
    Option(Box<SortTerm>),
}

/// An effect interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The name.
    pub name: Name,
    /// The version; 1 when none is written.
    pub version: u32,
    /// The operations.
    pub operations: Vec<Operation>,
    /// The position.
    pub at: At,
}

/// An operation of an effect interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The authority class.
    pub class: OperationClass,
    /// The name.
    pub name: Name,
    /// The parameters.
    pub params: Vec<Param>,
    /// The result's sort; `Unit` when none is written.
    pub result: Option<SortTerm>,
    /// The time budget.
    pub within: Option<Duration>,
    /// The number of retries.
    pub retry: Option<u8>,
    /// The position.
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
    /// The keyword that declares this class.
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
    /// The name.
    pub name: Option<Name>,
    /// The sort. In a message a single word may also be a bound name.
    pub sort: SortTerm,
}

/// A duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration {
    /// The number of units.
    pub amount: u64,
    /// The unit.
    pub unit: Unit,
    /// The position.
    pub at: At,
}

impl Duration {
    /// The duration in ticks of one millisecond. The parser rejects durations that overflow.
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
    /// The suffix in source text.
    pub const fn suffix(self) -> &'static str {
        match self {
            Unit::Millisecond => "ms",
            Unit::Second => "s",
            Unit::Minute => "m",
            Unit::Hour => "h",
        }
    }

    /// The unit's length in ticks of one millisecond.
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
    /// Whether it is `aux`: other protocols call it by `do`, and it is not compiled by itself.
    pub aux: bool,
    /// The name.
    pub name: Name,
    /// The roles.
    pub roles: Vec<Name>,
    /// The `uses` clauses: which role may call which interface.
    pub uses: Vec<Use>,
    /// The statements.
    pub body: Block,
    /// Whether parts of the body are missing because of syntax errors or because they are not
    /// supported.
    pub damaged: bool,
    /// The position.
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

/// A sequence of statements in braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The statements, in order.
    pub statements: Vec<Statement>,
    /// The span of the braces and everything between them.
    pub at: At,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The form.
    pub kind: StatementKind,
    /// The position.
    pub at: At,
}

/// The forms of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// `label(payload, …) from A to B, C;`
    Message(Message),
    /// `choice at A { … } or { … }`
    Choice {
        /// The role that chooses.
        role: Name,
        /// The branches, at least one.
        branches: Vec<Block>,
    },
    /// `rec X { … }`
    Rec {
        /// The recursion's name.
        name: Name,
        /// The repeated statements.
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
        /// The roles that play the protocol's roles.
        roles: Vec<Name>,
    },
    /// `at A { … }`
    Local {
        /// The role that acts.
        role: Name,
        /// The actions.
        actions: Vec<Action>,
        /// The span of the braces and everything between them.
        block: At,
    },
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The label, or the name of a signature.
    pub label: Name,
    /// The payloads; `None` when the parentheses are missing too.
    pub payloads: Option<Vec<Param>>,
    /// The sender.
    pub from: Name,
    /// The receivers, at least one.
    pub to: Vec<Name>,
}

/// A local action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The name that is bound to the result.
    pub bind: Option<Name>,
    /// Whether the action is written with `check`.
    pub check: bool,
    /// The interface.
    pub interface: Path,
    /// The operation.
    pub operation: Name,
    /// The arguments.
    pub args: Vec<Argument>,
    /// A time budget that overrides the operation's own.
    pub within: Option<Duration>,
    /// The label of the branch to take when the operation fails.
    pub otherwise: Option<Name>,
    /// The position.
    pub at: At,
}

/// An argument of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A bound name.
    Name(Name),
    /// `true` or `false`.
    Bool(bool, At),
    /// An integer, negative with a minus sign.
    Number(i128, At),
    /// Quoted text: any characters except quotes, backslashes and line ends.
    Text(String, At),
}

impl Argument {
    /// The argument's span.
    pub fn span(&self) -> Span {
        match self {
            Argument::Name(name) => name.at.0,
            Argument::Bool(_, at) | Argument::Number(_, at) | Argument::Text(_, at) => at.0,
        }
    }
}
