//! Checks how recursions and branches begin, on the graph, where `do` and `continue` are already
//! resolved.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_machine::RoleId;

use super::{Builder, Id, NODES_MAX, Node};
use crate::diagnostic::{Code, Diagnostic, closest};
use crate::source::Span;

/// The placeholder of the protocol being built: the first node after [`END`](super::END).
const FIRST_HOLE: Id = 1;

/// A graph whose shape is valid, ready to be numbered.
pub(super) struct Shape {
    pub(super) start: Id,
    /// The branches of every choice. A branch that begins with a choice of the same role is
    /// replaced by the branches of that choice.
    pub(super) branches: BTreeMap<Id, Vec<(Id, Span)>>,
}

/// Checks guardedness and how the branches of choices begin.
pub(super) fn check(builder: &mut Builder<'_, '_>, start: Id) -> Option<Shape> {
    let before = builder.findings.errors();
    let start = guarded(builder, start)?;
    let mut branches = BTreeMap::new();
    let mut branches_count = 0;
    for id in 0..builder.nodes.len() {
        let Some(flat) = flatten(builder, id) else {
            continue;
        };
        branches_count += flat.len();
        if branches_count > 4 * NODES_MAX {
            builder.too_large();
            return None;
        }
        branches.insert(id, flat);
    }
    let shape = Shape { start, branches };
    let mut heads = Heads {
        builder,
        head_locals: BTreeSet::new(),
    };
    for (id, flat) in &shape.branches {
        heads.choice(*id, flat);
    }
    heads.misplaced(start);
    (builder.findings.errors() == before).then_some(shape)
}

/// Reports recursions that return to their start without a message, and returns the start node.
fn guarded(builder: &mut Builder<'_, '_>, start: Id) -> Option<Id> {
    let mut sound = true;
    let unguarded = |builder: &mut Builder<'_, '_>, span| {
        let message = "this recursion repeats without a message";
        builder.report(Diagnostic::new(Code::Unguarded, span, message));
    };
    let cycles = hole_cycles(builder);
    if !cycles.is_empty() {
        cycles.into_iter().for_each(|span| unguarded(builder, span));
        return None;
    }
    // A local action has one successor, so a walk that marks its own steps finds every cycle.
    let mut walked = vec![usize::MAX; builder.nodes.len()];
    for id in 0..builder.nodes.len() {
        let mut at = id;
        while let Node::Local { next, span, .. } = builder.nodes[at] {
            if walked[at] != usize::MAX {
                if walked[at] == id {
                    unguarded(builder, span);
                    sound = false;
                }
                break;
            }
            walked[at] = id;
            at = builder.target(next)?;
        }
    }
    sound.then(|| builder.target(start))?
}

/// Finds one span for every cycle of placeholders: the outermost recursion, or the recursive `do`.
/// Each placeholder has one successor, so a walk that marks its own steps finds every cycle in
/// linear time.
fn hole_cycles(builder: &Builder<'_, '_>) -> BTreeSet<Span> {
    let mut spans = BTreeSet::new();
    let mut walked = vec![usize::MAX; builder.nodes.len()];
    for id in 0..builder.nodes.len() {
        let mut path = Vec::new();
        let mut at = id;
        while let Node::Hole { to: Some(to), span } = builder.nodes[at] {
            if walked[at] != usize::MAX {
                let cycle = path.iter().position(|(hole, _)| *hole == at);
                let mut cycle = cycle.map_or(Vec::new(), |from| path.split_off(from));
                // The first placeholder is the protocol itself; the span of the recursive `do` is
                // more useful.
                cycle.sort_unstable();
                let inner = cycle
                    .iter()
                    .find(|(hole, _)| *hole != FIRST_HOLE)
                    .or(cycle.first());
                spans.extend(inner.map(|(_, span): &(Id, Span)| *span));
                break;
            }
            walked[at] = id;
            path.push((at, span));
            at = to;
        }
    }
    spans
}

/// The branches of a choice. A branch that is itself a choice of the same role is replaced by its
/// branches. Uses an explicit stack, because a chain of choices may be as long as there are
/// protocols.
fn flatten(builder: &mut Builder<'_, '_>, id: Id) -> Option<Vec<(Id, Span)>> {
    let Node::Choice { at, branches, .. } = &builder.nodes[id] else {
        return None;
    };
    let chooser = *at;
    let mut flat = Vec::new();
    let mut entered = BTreeSet::from([id]);
    let mut pending: Vec<(Id, Span)> = branches.iter().rev().copied().collect();
    while let Some((entry, span)) = pending.pop() {
        let entry = builder.target(entry)?;
        match &builder.nodes[entry] {
            Node::Choice { at, branches, .. } if *at == chooser => {
                if entered.insert(entry) {
                    pending.extend(branches.iter().rev().copied());
                } else {
                    let message = "this branch returns to its own choice without a message";
                    builder.report(Diagnostic::new(Code::Unguarded, span, message));
                }
            }
            _ => flat.push((entry, span)),
        }
    }
    Some(flat)
}

struct Heads<'b, 'r, 'f> {
    builder: &'b mut Builder<'r, 'f>,
    /// Actions with `else` at the head of a branch.
    head_locals: BTreeSet<Id>,
}

/// The beginning of a branch.
struct Head<'r> {
    label: &'r str,
    to: RoleId,
    span: Span,
    /// The labels that `else` names before the first message.
    otherwise: Vec<(&'r str, Span)>,
}

impl<'r> Heads<'_, 'r, '_> {
    fn choice(&mut self, id: Id, branches: &[(Id, Span)]) {
        let Node::Choice { at, at_span, .. } = self.builder.nodes[id] else {
            return;
        };
        let heads: Vec<Option<Head<'r>>> = branches
            .iter()
            .map(|(entry, span)| self.head(at, at_span, *entry, *span))
            .collect();
        // A branch without a head has been reported, and errors in the others may be consequences
        // of it.
        let Some(heads) = heads.into_iter().collect::<Option<Vec<_>>>() else {
            return;
        };
        self.receivers(at, &heads);
        let mut labels: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, head) in heads.iter().enumerate() {
            if let Some(first) = labels.get(head.label) {
                let message = format!("two branches begin with `{}`", head.label);
                let finding = Diagnostic::new(Code::BranchLabels, head.span, message);
                self.builder
                    .report(finding.related(heads[*first].span, "the other branch"));
            } else {
                labels.insert(head.label, place);
            }
        }
        self.otherwise(&heads, &labels);
    }

    /// Follows a branch to its first message.
    fn head(
        &mut self,
        chooser: RoleId,
        at_span: Span,
        entry: Id,
        branch: Span,
    ) -> Option<Head<'r>> {
        let who = self.builder.role_name(chooser);
        let mut otherwise = Vec::new();
        let mut id = entry;
        loop {
            match &self.builder.nodes[id] {
                Node::Message {
                    from,
                    to,
                    label,
                    span,
                    ..
                } if *from == chooser => {
                    return Some(Head {
                        label,
                        to: *to,
                        span: *span,
                        otherwise,
                    });
                }
                Node::Local {
                    at, action, next, ..
                } if *at == chooser => {
                    if let Some((label, span)) = &action.action.otherwise {
                        otherwise.push((label.as_str(), *span));
                        self.head_locals.insert(id);
                    }
                    id = self.builder.target(*next)?;
                }
                Node::Choice { at, span, .. } if *at == chooser => {
                    let message = format!(
                        "`{who}` performs local actions and then chooses again in one branch"
                    );
                    let finding = Diagnostic::new(Code::ActionBeforeChoice, branch, message);
                    self.builder
                        .report(finding.related(*span, "the inner choice"));
                    return None;
                }
                Node::Message { .. }
                | Node::Local { .. }
                | Node::Choice { .. }
                | Node::End
                | Node::Hole { .. } => break,
            }
        }
        let (span, what) = self.invalid_start(id);
        let message = format!("`{who}` chooses, but this branch begins with {what}");
        let mut finding = Diagnostic::new(Code::BranchStart, branch, message)
            .related(at_span, format!("`{who}` chooses here"));
        if let Some(span) = span.filter(|span| *span != branch) {
            finding = finding.related(span, what);
        }
        self.builder.report(finding);
        None
    }

    /// The invalid start of a branch as text, and its span.
    fn invalid_start(&self, id: Id) -> (Option<Span>, String) {
        let name = |role: &RoleId| self.builder.role_name(*role);
        match &self.builder.nodes[id] {
            Node::Message { from, span, .. } => {
                (Some(*span), format!("a message from `{}`", name(from)))
            }
            Node::Local { at, span, .. } => (Some(*span), format!("an action of `{}`", name(at))),
            Node::Choice { at, span, .. } => (Some(*span), format!("a choice of `{}`", name(at))),
            Node::End | Node::Hole { .. } => (None, "the end of the protocol".into()),
        }
    }

    /// Reports branches that begin with messages to different roles. A state of an automaton sends
    /// to one peer.
    fn receivers(&mut self, at: RoleId, heads: &[Head<'r>]) {
        let Some((first, rest)) = heads.split_first() else {
            return;
        };
        for head in rest.iter().filter(|head| head.to != first.to) {
            let who = self.builder.role_name(at);
            let (one, other) = (
                self.builder.role_name(first.to),
                self.builder.role_name(head.to),
            );
            let message = format!(
                "`{who}` announces its choice to `{one}` in one branch and to `{other}` in this one"
            );
            let finding = Diagnostic::new(Code::BranchReceivers, head.span, message)
                .label(format!("to `{other}`"))
                .related(first.span, format!("to `{one}`"))
                .help(format!(
                    "send to `{one}` first in every branch, then to `{other}`"
                ));
            self.builder.report(finding);
        }
    }

    /// Checks that every `else` leads to a sibling branch, and that none form a cycle.
    fn otherwise(&mut self, heads: &[Head<'r>], labels: &BTreeMap<&str, usize>) {
        let mut leads: Vec<Vec<(usize, Span)>> = Vec::new();
        for head in heads {
            let mut to = Vec::new();
            for (label, span) in &head.otherwise {
                if let Some(place) = labels.get(label) {
                    to.push((*place, *span));
                    continue;
                }
                let message = format!("no branch of this choice begins with `{label}`");
                let mut finding = Diagnostic::new(Code::UnknownElse, *span, message);
                if self.builder.findings.accepts(Code::UnknownElse)
                    && let Some(close) = closest(label, labels.keys().copied())
                {
                    finding = finding.help(format!("did you mean `{close}`?"));
                }
                self.builder.report(finding);
            }
            leads.push(to);
        }
        if let Some(span) = cycle(&leads) {
            let message = "this `else` leads back to its own branch";
            self.builder
                .report(Diagnostic::new(Code::ElseItself, span, message));
        }
    }

    /// Reports actions with `else` that are reachable other than by choosing their branch.
    fn misplaced(&mut self, start: Id) {
        let mut walked: BTreeSet<Id> = BTreeSet::new();
        let after_messages: Vec<Id> = self
            .builder
            .nodes
            .iter()
            .filter_map(|node| {
                if let Node::Message { next, .. } = node {
                    Some(*next)
                } else {
                    None
                }
            })
            .collect();
        for entry in after_messages.into_iter().chain([start]) {
            let mut at = self.builder.target(entry);
            while let Some(id) = at.filter(|id| walked.insert(*id)) {
                let Node::Local { action, next, .. } = &self.builder.nodes[id] else {
                    break;
                };
                let next = *next;
                if let Some((_, span)) = &action.action.otherwise {
                    let message = "`else` is only allowed before the first message of a branch";
                    let mut finding = Diagnostic::new(Code::MisplacedElse, *span, message);
                    if self.head_locals.contains(&id) {
                        finding = finding
                            .note("this action is also reachable without choosing its branch");
                    }
                    self.builder.report(finding);
                }
                at = self.builder.target(next);
            }
        }
    }
}

/// The span of an `else` that is part of a cycle, if there is one.
fn cycle(leads: &[Vec<(usize, Span)>]) -> Option<Span> {
    let mut open: Vec<usize> = leads.iter().map(Vec::len).collect();
    // Repeatedly remove branches without outgoing edges; what remains contains a cycle.
    let mut sources: Vec<Vec<usize>> = vec![Vec::new(); leads.len()];
    for (from, to) in leads.iter().enumerate() {
        for (place, _) in to {
            sources[*place].push(from);
        }
    }
    let mut done: Vec<usize> = (0..leads.len()).filter(|place| open[*place] == 0).collect();
    while let Some(place) = done.pop() {
        for from in std::mem::take(&mut sources[place]) {
            open[from] -= 1;
            if open[from] == 0 {
                done.push(from);
            }
        }
    }
    let stuck = open.iter().position(|open| *open > 0)?;
    leads[stuck]
        .iter()
        .find(|(place, _)| open[*place] > 0)
        .map(|(_, span)| *span)
}
