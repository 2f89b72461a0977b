//! The checked global protocol: names resolved, `do` inlined, recursion an edge back.
//!
//! The checker makes it, projection reads it. The body is a graph: sequence is the `next` edge, and
//! what follows a choice or a recursion is one node that all branches share. Every node can be
//! reached from the start.

use antiphon_machine::{Interface, LabelId, Operation, OperationId, RoleId, Sort, SortId};

use crate::source::Span;

/// A protocol that passed the checks of names and shape. Only the checker makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedProtocol {
    pub(crate) name: String,
    pub(crate) roles: Vec<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) sorts: Vec<Sort>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) vars: Vec<Var>,
    pub(crate) body: Global,
    pub(crate) span: Span,
    pub(crate) role_spans: Vec<Span>,
}

impl CheckedProtocol {
    /// The protocol's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The roles' names, in the order of the protocol's head: `roles()[r]` is role `r`.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The labels' names, in the order in which the conversation first says them.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The sorts that payloads, arguments and results have. A sort refers only to sorts before it;
    /// `sorts()[0]` is `Unit`, and no two rows are equal.
    pub fn sorts(&self) -> &[Sort] {
        &self.sorts
    }

    /// The interfaces of [`operations`](Self::operations), without the implicit `host`.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// The operations that the protocol's local actions call: classes `Command`, `Observe` and
    /// `Check`.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The names that payloads and `let` bind. Each is bound at one place of the text; inlining a
    /// protocol twice makes two of each of its names.
    pub fn vars(&self) -> &[Var] {
        &self.vars
    }

    /// The conversation.
    pub fn body(&self) -> &Global {
        &self.body
    }

    /// Where the protocol's name is declared.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Where a role is declared.
    pub fn role_span(&self, role: RoleId) -> Span {
        self.role_spans
            .get(role.index())
            .copied()
            .unwrap_or(self.span)
    }

    /// The name of a role; empty for one that is not of this protocol.
    pub fn role_name(&self, role: RoleId) -> &str {
        self.roles.get(role.index()).map_or("", String::as_str)
    }

    /// The name of a label; empty for one that is not of this protocol.
    pub fn label_name(&self, label: LabelId) -> &str {
        self.labels.get(label.index()).map_or("", String::as_str)
    }
}

/// A bound name: a row of [`CheckedProtocol::vars`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarId(pub u32);

/// What a bound name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Var {
    /// The name as written; empty for a payload to several receivers that the text does not name.
    pub name: String,
    /// The sort of its value.
    pub sort: SortId,
    /// Where it is bound.
    pub span: Span,
}

/// A node of [`Global::nodes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The number as an index into the nodes.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The conversation as a graph. A cycle passes through at least one `Message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Where the conversation begins.
    pub start: NodeId,
}

impl Global {
    /// The node of that number.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// One message from one role to another one. A message to several receivers is several nodes,
    /// in their order; all but the first take the payload from a name that the first one binds, so
    /// every receiver gets the same.
    Message {
        /// The sender.
        from: RoleId,
        /// The receiver, never the sender.
        to: RoleId,
        /// The label.
        label: LabelId,
        /// What it carries.
        payload: Payload,
        /// What follows.
        next: NodeId,
        /// The statement.
        span: Span,
    },
    /// Internal choice of one role.
    Choice {
        /// Who chooses.
        at: RoleId,
        /// Two branches or more. Each begins with `Local` nodes of `at`, possibly none, and then a
        /// `Message` from `at`; these messages all have the same receiver and distinct labels.
        branches: Vec<NodeId>,
        /// The statement.
        span: Span,
    },
    /// One local action of one role.
    Local {
        /// Who acts.
        at: RoleId,
        /// What it does.
        action: Action,
        /// What follows.
        next: NodeId,
        /// The action.
        span: Span,
    },
    /// Nothing follows. The graph has at most one such node.
    End,
}

/// What a message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its sort: `Unit` when there is none, a record without a name when there are several.
    pub sort: SortId,
    /// Where the sender has it from.
    pub source: PayloadSource,
    /// The name that it is known by afterwards, at the sender and at the receiver.
    pub bind: Option<VarId>,
}

/// Where a payload comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadSource {
    /// There is none: the payload is `Unit`.
    Unit,
    /// The sender's host is asked for it (`produce`).
    Host,
    /// It is the value of a name that is bound at the sender on every path to here.
    Bound(VarId),
}

/// A local action: one call of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The operation: a row of [`CheckedProtocol::operations`]. Its class says whether it is a
    /// `Check`.
    pub operation: OperationId,
    /// The arguments, of the operation's argument sorts. Names are bound at the acting role on
    /// every path to here.
    pub args: Vec<Argument>,
    /// The name that the result is known by afterwards, at the acting role.
    pub bind: Option<VarId>,
    /// A budget for this call, in ticks, in place of the operation's own.
    pub within: Option<u64>,
    /// Where a failure goes: the label of a sibling branch of the choice that this action stands at
    /// the head of. The acting role then takes that branch, whatever its host had decided. `None`:
    /// a failure faults the session.
    pub otherwise: Option<LabelId>,
}

/// An argument of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The value of a bound name.
    Var(VarId),
    /// A truth value.
    Bool(bool),
    /// A whole number for an argument of sort `Nat`.
    Nat(u64),
    /// A whole number for an argument of sort `Int`.
    Int(i64),
    /// Text.
    Text(String),
}
