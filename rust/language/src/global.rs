//! The checked global protocol: names are resolved, `do` is inlined, and recursion is a back edge.
//!
//! The checker produces it and projection consumes it. The body is a graph: sequence is the `next`
//! edge, and the node that follows a choice or a recursion is shared by all branches. Every node is
//! reachable from the start.

use antiphon_machine::{Interface, LabelId, Operation, OperationId, RoleId, Sort, SortId};

use crate::source::Span;

/// A protocol that passed the checks of names and shape. Only the checker creates one.
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

    /// The labels' names, in the order of their first use in the conversation.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The sorts of payloads, arguments and results. A sort refers only to earlier sorts;
    /// `sorts()[0]` is `Unit`, and all rows are distinct.
    pub fn sorts(&self) -> &[Sort] {
        &self.sorts
    }

    /// The interfaces of [`operations`](Self::operations), without the predefined `host`.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// The operations that the protocol's local actions call: classes `Command`, `Observe` and
    /// `Check`.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The names bound by payloads and `let`. Each is bound at one place of the text; a protocol
    /// that is inlined twice has two variables for each of its names.
    pub fn vars(&self) -> &[Var] {
        &self.vars
    }

    /// The conversation.
    pub fn body(&self) -> &Global {
        &self.body
    }

    /// The span of the protocol's name.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The span of a role's declaration.
    pub fn role_span(&self, role: RoleId) -> Span {
        self.role_spans
            .get(role.index())
            .copied()
            .unwrap_or(self.span)
    }

    /// A role's name; empty for a role of another protocol.
    pub fn role_name(&self, role: RoleId) -> &str {
        self.roles.get(role.index()).map_or("", String::as_str)
    }

    /// A label's name; empty for a label of another protocol.
    pub fn label_name(&self, label: LabelId) -> &str {
        self.labels.get(label.index()).map_or("", String::as_str)
    }
}

/// A bound name: a row of [`CheckedProtocol::vars`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarId(pub u32);

/// A bound name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Var {
    /// The name as written. Empty for a payload to several receivers that has no name in the text.
    pub name: String,
    /// The sort of the value.
    pub sort: SortId,
    /// Where the name is bound.
    pub span: Span,
}

/// A node of [`Global::nodes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The id as an index into the nodes.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The conversation as a graph. Every cycle contains at least one `Message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The first node.
    pub start: NodeId,
}

impl Global {
    /// The node with that id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }
}

/// A step of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// One message from one role to another. A message to several receivers becomes several nodes,
    /// in their order. All but the first take the payload from a name that the first one binds, so
    /// every receiver gets the same value.
    Message {
        /// The sender.
        from: RoleId,
        /// The receiver, which is never the sender.
        to: RoleId,
        /// The label.
        label: LabelId,
        /// The payload.
        payload: Payload,
        /// The next node.
        next: NodeId,
        /// The statement's span.
        span: Span,
    },
    /// An internal choice of one role.
    Choice {
        /// The role that chooses.
        at: RoleId,
        /// At least two branches. Each begins with `Local` nodes of `at`, possibly none, followed
        /// by a `Message` from `at`. These messages all have the same receiver and distinct labels.
        branches: Vec<NodeId>,
        /// The statement's span.
        span: Span,
    },
    /// A local action of one role.
    Local {
        /// The role that acts.
        at: RoleId,
        /// The action.
        action: Action,
        /// The next node.
        next: NodeId,
        /// The action's span.
        span: Span,
    },
    /// The end. The graph has at most one such node.
    End,
}

/// The payload of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its sort: `Unit` for no payload, a record without a name for several.
    pub sort: SortId,
    /// Where the sender takes it from.
    pub source: PayloadSource,
    /// The name that sender and receiver bind to it.
    pub bind: Option<VarId>,
}

/// Where a payload comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadSource {
    /// There is no payload: its value is `Unit`.
    Unit,
    /// The sender's host produces it (`produce`).
    Host,
    /// The value of a name that is bound at the sender on every path to this message.
    Bound(VarId),
}

/// A local action: one call of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The operation, a row of [`CheckedProtocol::operations`]. Its class tells whether it is a
    /// `Check`.
    pub operation: OperationId,
    /// The arguments, of the operation's argument sorts. Names are bound at the acting role on
    /// every path to this action.
    pub args: Vec<Argument>,
    /// The name that the acting role binds to the result.
    pub bind: Option<VarId>,
    /// A time budget for this call, in ticks, that overrides the operation's own.
    pub within: Option<u64>,
    /// The label of the sibling branch that a failure selects, for an action at the head of a
    /// branch. The acting role then takes that branch, whatever its host had decided. `None`: a
    /// failure faults the session.
    pub otherwise: Option<LabelId>,
}

/// An argument of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The value of a bound name.
    Var(VarId),
    /// A boolean.
    Bool(bool),
    /// An integer for an argument of sort `Nat`.
    Nat(u64),
    /// An integer for an argument of sort `Int`.
    Int(i64),
    /// Text.
    Text(String),
}
