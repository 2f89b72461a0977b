//! Numbers the graph: nodes, labels, sorts, operations and names, in the order in which the
//! conversation reaches them.

use std::collections::BTreeMap;

use antiphon_machine::{Interface, LabelId, Operation, OperationId, RoleId};

use super::heads::Shape;
use super::{Action, Builder, Id, Node, Payload};
use crate::diagnostic::{Code, Diagnostic};
use crate::global::{self, Argument, CheckedProtocol, Global, NodeId, PayloadSource, Var, VarId};
use crate::hir;
use crate::sorts::SortTable;

/// Builds the checked protocol, and reports roles that take no part in it.
pub(super) fn finish(builder: Builder<'_, '_>, shape: Shape) -> Option<CheckedProtocol> {
    let mut numbers = Numbers {
        builder: &builder,
        shape: &shape,
        ids: BTreeMap::new(),
        order: Vec::new(),
        labels: BTreeMap::new(),
        label_names: Vec::new(),
        sorts: SortTable::new(),
        interfaces: BTreeMap::new(),
        interface_rows: Vec::new(),
        operations: BTreeMap::new(),
        operation_rows: Vec::new(),
        vars: BTreeMap::new(),
        var_rows: Vec::new(),
        present: 0,
    };
    numbers.number();
    let nodes: Option<Vec<global::Node>> = numbers
        .order
        .clone()
        .into_iter()
        .map(|id| numbers.node(id))
        .collect();
    let full = numbers.sorts.full;
    let protocol = nodes.filter(|_| !full).map(|nodes| CheckedProtocol {
        name: builder.root.name.clone(),
        roles: builder
            .root
            .roles
            .iter()
            .map(|(name, _)| name.clone())
            .collect(),
        labels: numbers.label_names,
        sorts: numbers.sorts.rows,
        interfaces: numbers.interface_rows,
        operations: numbers.operation_rows,
        vars: numbers.var_rows,
        body: Global {
            nodes,
            start: NodeId(0),
        },
        span: builder.root.span,
        role_spans: builder.root.roles.iter().map(|(_, span)| *span).collect(),
    });
    let present = numbers.present;
    let mut builder = builder;
    for (role, (name, span)) in builder.root.roles.iter().enumerate() {
        if present & 1 << role == 0 {
            let message = format!("the role `{name}` takes no part in `{}`", builder.root.name);
            builder.report(Diagnostic::new(Code::UnusedRole, *span, message));
        }
    }
    if protocol.is_none() {
        builder.too_large();
    }
    protocol
}

struct Numbers<'b, 'r, 'f> {
    builder: &'b Builder<'r, 'f>,
    shape: &'b Shape,
    ids: BTreeMap<Id, NodeId>,
    order: Vec<Id>,
    labels: BTreeMap<&'r str, LabelId>,
    label_names: Vec<String>,
    sorts: SortTable,
    interfaces: BTreeMap<usize, u16>,
    interface_rows: Vec<Interface>,
    operations: BTreeMap<(usize, usize), OperationId>,
    operation_rows: Vec<Operation>,
    vars: BTreeMap<VarId, VarId>,
    var_rows: Vec<Var>,
    /// The roles that take part, as a bit set.
    present: u64,
}

impl<'r> Numbers<'_, 'r, '_> {
    /// Numbers the reachable nodes, each before its successors, with branches in their order.
    fn number(&mut self) {
        let mut pending = vec![self.shape.start];
        while let Some(id) = pending.pop() {
            let Some(id) = self.builder.target(id) else {
                continue;
            };
            if self.ids.contains_key(&id) {
                continue;
            }
            self.ids.insert(id, NodeId(self.order.len() as u32));
            self.order.push(id);
            match &self.builder.nodes[id] {
                Node::Message { next, .. } | Node::Local { next, .. } => pending.push(*next),
                Node::Choice { .. } => {
                    let branches = self.shape.branches.get(&id).into_iter().flatten();
                    pending.extend(branches.rev().map(|(entry, _)| *entry));
                }
                Node::End | Node::Hole { .. } => {}
            }
        }
    }

    fn id(&self, id: Id) -> Option<NodeId> {
        self.ids.get(&self.builder.target(id)?).copied()
    }

    /// The finished node, or `None` when a table is full.
    fn node(&mut self, id: Id) -> Option<global::Node> {
        let builder = self.builder;
        Some(match &builder.nodes[id] {
            Node::Message {
                from,
                to,
                label,
                payload,
                next,
                span,
            } => {
                self.mark_present(*from);
                self.mark_present(*to);
                let label = self.label(label)?;
                let payload = self.payload(payload);
                let next = self.id(*next)?;
                global::Node::Message {
                    from: *from,
                    to: *to,
                    label,
                    payload,
                    next,
                    span: *span,
                }
            }
            Node::Choice { at, span, .. } => {
                let branches = self.shape.branches.get(&id)?;
                let branches = branches
                    .iter()
                    .map(|(entry, _)| self.id(*entry))
                    .collect::<Option<_>>()?;
                global::Node::Choice {
                    at: *at,
                    branches,
                    span: *span,
                }
            }
            Node::Local {
                at,
                action,
                next,
                span,
            } => {
                self.mark_present(*at);
                let action = self.action(action)?;
                let next = self.id(*next)?;
                global::Node::Local {
                    at: *at,
                    action,
                    next,
                    span: *span,
                }
            }
            Node::End | Node::Hole { .. } => global::Node::End,
        })
    }

    fn mark_present(&mut self, role: RoleId) {
        self.present |= 1 << role.index();
    }

    fn label(&mut self, name: &'r str) -> Option<LabelId> {
        if let Some(id) = self.labels.get(name) {
            return Some(*id);
        }
        let id = LabelId(u16::try_from(self.label_names.len()).ok()?);
        self.labels.insert(name, id);
        self.label_names.push(name.into());
        Some(id)
    }

    fn payload(&mut self, payload: &Payload) -> global::Payload {
        global::Payload {
            sort: self.sorts.id(payload.sort, &self.builder.resolved.sorts),
            source: match payload.source {
                PayloadSource::Unit => PayloadSource::Unit,
                PayloadSource::Host => PayloadSource::Host,
                PayloadSource::Bound(var) => PayloadSource::Bound(self.var(var)),
            },
            bind: payload.bind.map(|var| self.var(var)),
        }
    }

    fn var(&mut self, var: VarId) -> VarId {
        if let Some(id) = self.vars.get(&var) {
            return *id;
        }
        let id = VarId(self.var_rows.len() as u32);
        self.vars.insert(var, id);
        if let Some(declared) = self.builder.vars.get(var.0 as usize) {
            let sort = self.sorts.id(declared.sort, &self.builder.resolved.sorts);
            let (name, span) = (declared.name.clone(), declared.span);
            self.var_rows.push(Var { name, sort, span });
        }
        id
    }

    fn action(&mut self, action: &Action<'r>) -> Option<global::Action> {
        let written = action.action;
        let operation = self.operation(written.interface, written.operation)?;
        let mut args = Vec::new();
        for (place, arg) in written.args.iter().enumerate() {
            args.push(match arg {
                hir::Argument::Var(_) => Argument::Var(self.var(*action.vars.get(&place)?)),
                hir::Argument::Bool(value) => Argument::Bool(*value),
                hir::Argument::Nat(value) => Argument::Nat(*value),
                hir::Argument::Int(value) => Argument::Int(*value),
                hir::Argument::Text(value) => Argument::Text(value.clone()),
            });
        }
        let otherwise = match &written.otherwise {
            Some((label, _)) => Some(self.label(label)?),
            None => None,
        };
        let bind = action.bind.map(|var| self.var(var));
        Some(global::Action {
            operation,
            args,
            bind,
            within: written.within,
            otherwise,
        })
    }

    fn operation(&mut self, interface: usize, operation: usize) -> Option<OperationId> {
        if let Some(id) = self.operations.get(&(interface, operation)) {
            return Some(*id);
        }
        let resolved = self.builder.resolved;
        let declared = resolved
            .interfaces
            .get(interface)?
            .operations
            .get(operation)?;
        let mut args = Vec::new();
        for param in &declared.params {
            args.push(self.sorts.id((*param)?, &resolved.sorts));
        }
        let row = Operation {
            interface: self.interface(interface)?,
            name: declared.name.clone(),
            class: declared.class.clone(),
            args,
            result: self.sorts.id(declared.result?, &resolved.sorts),
            budget: declared.budget,
            retries: declared.retries,
        };
        let id = OperationId(u16::try_from(self.operation_rows.len()).ok()?);
        self.operations.insert((interface, operation), id);
        self.operation_rows.push(row);
        Some(id)
    }

    fn interface(&mut self, interface: usize) -> Option<u16> {
        if let Some(row) = self.interfaces.get(&interface) {
            return Some(*row);
        }
        let declared = self.builder.resolved.interfaces.get(interface)?;
        let row = u16::try_from(self.interface_rows.len()).ok()?;
        self.interfaces.insert(interface, row);
        let (name, version) = (declared.name.clone(), declared.version);
        self.interface_rows.push(Interface { name, version });
        Some(row)
    }
}
