//! Protocols with resolved names, still as nested statements: the form between the syntax tree and
//! the graph.

use antiphon_machine::Class;

use crate::sorts::SortRef;
use crate::source::Span;

/// A protocol of a module of the run.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) module: usize,
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) aux: bool,
    /// Names and spans, in the order of the head; at most 64, so that a mask of 64 bits holds them.
    pub(crate) roles: Vec<(String, Span)>,
    pub(crate) vars: Vec<Var>,
    pub(crate) body: Vec<Statement>,
    /// Whether no statement was lost and no error was found so far, so that its shape can be
    /// checked.
    pub(crate) sound: bool,
}

/// A bound name.
#[derive(Debug)]
pub(crate) struct Var {
    pub(crate) name: String,
    pub(crate) sort: SortRef,
    pub(crate) span: Span,
}

/// A role of a protocol, by its position in the head.
pub(crate) type Role = u8;

/// An index into [`Protocol::vars`].
pub(crate) type VarIndex = u32;

#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Message {
        label: String,
        payload: Payload,
        from: Role,
        to: Vec<Role>,
    },
    Choice {
        at: Role,
        at_span: Span,
        branches: Vec<Branch>,
    },
    Rec {
        rec: u32,
        name_span: Span,
        body: Vec<Statement>,
    },
    Continue {
        rec: u32,
    },
    Do {
        protocol: usize,
        roles: Vec<Role>,
    },
    Local {
        at: Role,
        action: Action,
    },
}

#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) statements: Vec<Statement>,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Payload {
    pub(crate) sort: SortRef,
    pub(crate) source: Source,
    pub(crate) bind: Option<VarIndex>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Unit,
    Host,
    Bound(VarIndex),
}

#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) interface: usize,
    pub(crate) operation: usize,
    pub(crate) args: Vec<Argument>,
    pub(crate) bind: Option<VarIndex>,
    pub(crate) within: Option<u64>,
    pub(crate) otherwise: Option<(String, Span)>,
}

#[derive(Debug)]
pub(crate) enum Argument {
    Var(VarIndex),
    Bool(bool),
    Nat(u64),
    Int(i64),
    Text(String),
}

/// An effect interface of a module of the run.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) operations: Vec<Operation>,
}

/// An operation of an interface. A sort that could not be resolved is `None`; the error has been
/// reported.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) class: Class,
    pub(crate) params: Vec<Option<SortRef>>,
    pub(crate) result: Option<SortRef>,
    pub(crate) budget: Option<u64>,
    pub(crate) retries: u8,
}
