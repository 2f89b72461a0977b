//! Builds a protocol's graph from nested statements: `do` is inlined, and recursion becomes a back
//! edge.
//!
//! Statements are built from last to first, so the node that follows each one is known.

mod finish;
mod heads;

use std::collections::BTreeMap;

use antiphon_machine::RoleId;

use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::global::{CheckedProtocol, PayloadSource, VarId};
use crate::hir::{self, Kind, Role, Statement, VarIndex};
use crate::resolve::Resolved;
use crate::sorts::SortRef;
use crate::source::Span;

/// The most nodes of a protocol after inlining: as many as a role's automaton may have states.
pub const NODES_MAX: usize = 65_536;

/// How deep blocks and `do` may nest after inlining. Like the parser's depth bound, it bounds the
/// recursion of this pass.
pub const INLINE_DEPTH_MAX: u32 = 256;

/// The most nodes of all protocols of one run together. Building them takes seconds. Even the
/// longest text stays far below this unless its protocols inline each other repeatedly.
pub const NODES_OF_A_RUN_MAX: usize = 8 * NODES_MAX;

/// Builds one protocol. Returns `None` when its shape is wrong, which has then been reported.
/// `left` is the number of nodes that may still be added.
pub(crate) fn build(
    resolved: &Resolved,
    index: usize,
    left: &mut usize,
    findings: &mut Findings,
) -> Option<CheckedProtocol> {
    let protocol = resolved.protocols.get(index)?;
    let mut builder = Builder {
        resolved,
        root: protocol,
        nodes: vec![Node::End],
        vars: Vec::new(),
        memo: BTreeMap::new(),
        active: Vec::new(),
        depth: 0,
        left,
        findings,
    };
    let roles: Vec<RoleId> = (0..protocol.roles.len() as u16).map(RoleId).collect();
    let start = builder.inline(index, roles, END, protocol.span)?;
    let shape = heads::check(&mut builder, start)?;
    finish::finish(builder, shape)
}

/// The index of a node in the graph under construction.
type Id = usize;

/// The node at which every conversation ends.
const END: Id = 0;

/// The nodes of the graph before it is numbered.
#[derive(Debug)]
enum Node<'r> {
    /// A placeholder for the start of a recursion or of an inlined protocol, until its target is
    /// known.
    Hole {
        to: Option<Id>,
        span: Span,
    },
    Message {
        from: RoleId,
        to: RoleId,
        label: &'r str,
        payload: Payload,
        next: Id,
        span: Span,
    },
    Choice {
        at: RoleId,
        at_span: Span,
        branches: Vec<(Id, Span)>,
        span: Span,
    },
    Local {
        at: RoleId,
        action: Action<'r>,
        next: Id,
        span: Span,
    },
    End,
}

#[derive(Debug)]
struct Payload {
    sort: SortRef,
    source: PayloadSource,
    bind: Option<VarId>,
}

#[derive(Debug)]
struct Action<'r> {
    action: &'r hir::Action,
    /// The arguments that are names, by their position.
    vars: BTreeMap<usize, VarId>,
    bind: Option<VarId>,
}

/// A protocol that is being inlined.
struct Active {
    protocol: usize,
    roles: Vec<RoleId>,
    next: Id,
    hole: Id,
}

/// What a protocol's names refer to at the place where it is inlined.
struct Frame {
    protocol: usize,
    roles: Vec<RoleId>,
    vars: BTreeMap<VarIndex, VarId>,
    recs: BTreeMap<u32, Id>,
}

impl Frame {
    fn role(&self, role: Role) -> RoleId {
        self.roles
            .get(usize::from(role))
            .copied()
            .unwrap_or_default()
    }
}

struct Builder<'r, 'f> {
    resolved: &'r Resolved,
    root: &'r hir::Protocol,
    nodes: Vec<Node<'r>>,
    /// The bound names of all inlined protocols.
    vars: Vec<&'r hir::Var>,
    /// Inlined protocols by protocol, roles and continuation, which together determine the result.
    memo: BTreeMap<(usize, Vec<RoleId>, Id), Id>,
    active: Vec<Active>,
    depth: u32,
    left: &'f mut usize,
    findings: &'f mut Findings,
}

impl<'r> Builder<'r, '_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.findings.push(diagnostic);
    }

    fn role_name(&self, role: RoleId) -> &'r str {
        self.root
            .roles
            .get(role.index())
            .map_or("", |(name, _)| name)
    }

    fn add(&mut self, node: Node<'r>) -> Option<Id> {
        if self.nodes.len() >= NODES_MAX {
            self.too_large();
            return None;
        }
        let Some(left) = self.left.checked_sub(1) else {
            let message = format!(
                "the protocols up to `{}` have more than {NODES_OF_A_RUN_MAX} steps together",
                self.root.name
            );
            self.report(Diagnostic::new(Code::TooLarge, self.root.span, message));
            return None;
        };
        *self.left = left;
        self.nodes.push(node);
        Some(self.nodes.len() - 1)
    }

    fn too_large(&mut self) {
        let name = &self.root.name;
        let message = format!("`{name}` has more than {NODES_MAX} steps after inlining");
        self.report(Diagnostic::new(Code::TooLarge, self.root.span, message));
    }

    /// Inlines a protocol in place of a `do`, or as the root.
    fn inline(&mut self, protocol: usize, roles: Vec<RoleId>, next: Id, span: Span) -> Option<Id> {
        let key = (protocol, roles, next);
        if let Some(done) = self.memo.get(&key) {
            return Some(*done);
        }
        let (_, roles, _) = key;
        let body = self.resolved.protocols.get(protocol)?;
        let active = self
            .active
            .iter()
            .find(|a| a.protocol == protocol && a.roles == roles);
        if let Some(active) = active {
            if active.next == next {
                return Some(active.hole);
            }
            let message = format!(
                "`{}` calls itself here, but more statements follow the call",
                body.name
            );
            let finding = Diagnostic::new(Code::NotTail, span, message);
            self.report(finding.note(
                "a call that returns would need an unbounded stack; only tail calls are allowed",
            ));
            return None;
        }
        let hole = self.add(Node::Hole { to: None, span })?;
        self.active.push(Active {
            protocol,
            roles: roles.clone(),
            next,
            hole,
        });
        let mut frame = Frame {
            protocol,
            roles: roles.clone(),
            vars: BTreeMap::new(),
            recs: BTreeMap::new(),
        };
        let start = self.block(&body.body, next, &mut frame, span);
        self.active.pop();
        let start = start?;
        self.fill(hole, start);
        // A protocol without any step leaves no node. Otherwise each statement before it would get
        // a continuation of its own and be built again.
        let entry = if start == next { next } else { hole };
        self.memo.insert((protocol, roles, next), entry);
        Some(entry)
    }

    fn fill(&mut self, hole: Id, target: Id) {
        if let Some(Node::Hole { to, .. }) = self.nodes.get_mut(hole) {
            *to = Some(target);
        }
    }

    fn block(
        &mut self,
        statements: &'r [Statement],
        next: Id,
        frame: &mut Frame,
        span: Span,
    ) -> Option<Id> {
        self.depth += 1;
        if self.depth > INLINE_DEPTH_MAX {
            let message = format!("nested more than {INLINE_DEPTH_MAX} levels deep after inlining");
            self.report(Diagnostic::new(Code::TooDeepInlined, span, message));
            return None;
        }
        let mut next = Some(next);
        for statement in statements.iter().rev() {
            next = self.statement(statement, next?, frame);
        }
        self.depth -= 1;
        next
    }

    fn statement(&mut self, statement: &'r Statement, next: Id, frame: &mut Frame) -> Option<Id> {
        let span = statement.span;
        match &statement.kind {
            Kind::Message { .. } => self.message(&statement.kind, next, frame, span),
            Kind::Choice {
                at,
                at_span,
                branches,
            } => self.choice(*at, *at_span, branches, next, frame, span),
            Kind::Rec {
                rec,
                name_span,
                body,
            } => {
                let hole = self.add(Node::Hole {
                    to: None,
                    span: *name_span,
                })?;
                frame.recs.insert(*rec, hole);
                let start = self.block(body, next, frame, *name_span)?;
                self.fill(hole, start);
                Some(hole)
            }
            Kind::Continue { rec } => frame.recs.get(rec).copied(),
            Kind::Do { protocol, roles } => {
                let roles = roles.iter().map(|role| frame.role(*role)).collect();
                self.inline(*protocol, roles, next, span)
            }
            Kind::Local { at, action } => {
                let mut vars = BTreeMap::new();
                for (place, arg) in action.args.iter().enumerate() {
                    if let hir::Argument::Var(var) = arg {
                        vars.insert(place, self.var(frame, *var)?);
                    }
                }
                let bind = self.bind(frame, action.bind)?;
                let action = Action { action, vars, bind };
                self.add(Node::Local {
                    at: frame.role(*at),
                    action,
                    next,
                    span,
                })
            }
        }
    }

    fn choice(
        &mut self,
        at: Role,
        at_span: Span,
        branches: &'r [hir::Branch],
        next: Id,
        frame: &mut Frame,
        span: Span,
    ) -> Option<Id> {
        if let [branch] = branches {
            let message = "this choice has only one branch";
            self.report(Diagnostic::new(Code::LoneBranch, at_span, message));
            return self.block(&branch.statements, next, frame, branch.span);
        }
        let mut entries = Vec::new();
        let mut whole = true;
        for branch in branches {
            let Some(first) = branch.statements.first() else {
                let message = format!(
                    "this branch of `{}`'s choice is empty",
                    self.role_name(frame.role(at))
                );
                self.report(Diagnostic::new(Code::EmptyBranch, branch.span, message).help(
                    "start the branch with a message, so that the other roles learn of the choice",
                ));
                whole = false;
                continue;
            };
            // Build the remaining branches even when one is wrong, to report their errors too.
            match self.block(&branch.statements, next, frame, branch.span) {
                Some(entry) => entries.push((entry, first.span)),
                None => whole = false,
            }
        }
        let at = frame.role(at);
        whole.then(|| {
            self.add(Node::Choice {
                at,
                at_span,
                branches: entries,
                span,
            })
        })?
    }

    /// Builds a message as one node per receiver. Every node but the first takes the payload from
    /// the name that the first one binds.
    fn message(&mut self, kind: &'r Kind, next: Id, frame: &mut Frame, span: Span) -> Option<Id> {
        let Kind::Message {
            label,
            payload,
            from,
            to,
        } = kind
        else {
            return Some(next);
        };
        let sort = payload.sort;
        let first = match payload.source {
            hir::Source::Unit => PayloadSource::Unit,
            hir::Source::Host => PayloadSource::Host,
            hir::Source::Bound(var) => PayloadSource::Bound(self.var(frame, var)?),
        };
        let bind = self.bind(frame, payload.bind)?;
        let mut next = next;
        for (place, receiver) in to.iter().enumerate().rev() {
            let source = match bind {
                Some(var) if place > 0 => PayloadSource::Bound(var),
                Some(_) | None => first,
            };
            let payload = Payload { sort, source, bind };
            let (from, to) = (frame.role(*from), frame.role(*receiver));
            next = self.add(Node::Message {
                from,
                to,
                label,
                payload,
                next,
                span,
            })?;
        }
        Some(next)
    }

    /// The variable of this inlining.
    fn var(&mut self, frame: &mut Frame, var: VarIndex) -> Option<VarId> {
        if let Some(id) = frame.vars.get(&var) {
            return Some(*id);
        }
        let declared = self
            .resolved
            .protocols
            .get(frame.protocol)?
            .vars
            .get(var as usize)?;
        let id = VarId(u32::try_from(self.vars.len()).ok()?);
        self.vars.push(declared);
        frame.vars.insert(var, id);
        Some(id)
    }

    /// Resolves an optional binding. The outer `None` means that the name does not exist, which
    /// resolving excludes.
    fn bind(&mut self, frame: &mut Frame, bind: Option<VarIndex>) -> Option<Option<VarId>> {
        match bind {
            Some(var) => self.var(frame, var).map(Some),
            None => Some(None),
        }
    }

    /// The node that a placeholder resolves to, or `None` for a cycle of placeholders.
    fn target(&self, id: Id) -> Option<Id> {
        let mut at = id;
        for _ in 0..self.nodes.len() {
            match self.nodes.get(at)? {
                Node::Hole { to, .. } => at = (*to)?,
                Node::Message { .. } | Node::Choice { .. } | Node::Local { .. } | Node::End => {
                    return Some(at);
                }
            }
        }
        None
    }
}
