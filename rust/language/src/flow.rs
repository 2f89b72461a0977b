//! Reachability of statements: what follows a statement that never ends is unreachable.

use std::collections::BTreeSet;

use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::hir::{Kind, Protocol, Statement};

/// Reports unreachable statements, and marks their protocols as unsound.
pub(crate) fn check(protocols: &mut [Protocol], findings: &mut Findings) {
    let calls = Calls::new(protocols);
    let ends = ends(protocols, &calls);
    for index in 0..protocols.len() {
        let Some(protocol) = protocols.get(index) else {
            continue;
        };
        let mut walk = Walk {
            index,
            ends: &ends,
            calls: &calls,
            callers: None,
            findings: Vec::new(),
        };
        walk.block(&protocol.body);
        let found = walk.findings;
        if let (Some(protocol), false) = (protocols.get_mut(index), found.is_empty()) {
            protocol.sound = false;
        }
        findings.extend(found);
    }
}

/// The protocols that never end, so that nothing after a `do` of one is reachable.
pub(crate) fn endless(protocols: &[Protocol]) -> BTreeSet<usize> {
    let ends = ends(protocols, &Calls::new(protocols));
    (0..protocols.len()).filter(|index| !ends[*index]).collect()
}

/// The call graph of `do` statements.
pub(crate) struct Calls {
    /// For each protocol, the protocols it calls.
    pub(crate) callees: Vec<BTreeSet<usize>>,
    callers: Vec<BTreeSet<usize>>,
}

impl Calls {
    pub(crate) fn new(protocols: &[Protocol]) -> Calls {
        let mut callees = vec![BTreeSet::new(); protocols.len()];
        let mut callers = vec![BTreeSet::new(); protocols.len()];
        for (index, protocol) in protocols.iter().enumerate() {
            collect(&protocol.body, &mut callees[index]);
            for callee in &callees[index] {
                callers[*callee].insert(index);
            }
        }
        Calls { callees, callers }
    }

    /// A protocol and all its direct and indirect callers.
    fn with_callers(&self, index: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([index]);
        let mut pending = vec![index];
        while let Some(next) = pending.pop() {
            for caller in &self.callers[next] {
                if found.insert(*caller) {
                    pending.push(*caller);
                }
            }
        }
        found
    }
}

/// Recurses as deep as blocks nest.
fn collect(statements: &[Statement], callees: &mut BTreeSet<usize>) {
    for statement in statements {
        match &statement.kind {
            Kind::Do { protocol, .. } => {
                callees.insert(*protocol);
            }
            Kind::Choice { branches, .. } => {
                for branch in branches {
                    collect(&branch.statements, callees);
                }
            }
            Kind::Rec { body, .. } => collect(body, callees),
            Kind::Message { .. } | Kind::Continue { .. } | Kind::Local { .. } => {}
        }
    }
}

/// Which protocols can end. This is the least solution, so a protocol that always calls itself
/// again cannot.
fn ends(protocols: &[Protocol], calls: &Calls) -> Vec<bool> {
    let mut ends = vec![false; protocols.len()];
    let mut pending: Vec<usize> = (0..protocols.len()).collect();
    while let Some(index) = pending.pop() {
        if !ends[index] && all_fall_through(&protocols[index].body, &ends) {
            ends[index] = true;
            pending.extend(
                calls.callers[index]
                    .iter()
                    .copied()
                    .filter(|caller| !ends[*caller]),
            );
        }
    }
    ends
}

fn all_fall_through(statements: &[Statement], ends: &[bool]) -> bool {
    statements
        .iter()
        .all(|statement| falls_through(statement, ends))
}

/// Whether control can reach the end of a statement. A recursion ends only where its body ends
/// without `continue`.
fn falls_through(statement: &Statement, ends: &[bool]) -> bool {
    match &statement.kind {
        Kind::Continue { .. } => false,
        Kind::Do { protocol, .. } => ends[*protocol],
        Kind::Choice { branches, .. } => branches
            .iter()
            .any(|branch| all_fall_through(&branch.statements, ends)),
        Kind::Rec { body, .. } => all_fall_through(body, ends),
        Kind::Message { .. } | Kind::Local { .. } => true,
    }
}

struct Walk<'a> {
    index: usize,
    ends: &'a [bool],
    calls: &'a Calls,
    /// The protocol and all its callers, computed on first use.
    callers: Option<BTreeSet<usize>>,
    findings: Vec<Diagnostic>,
}

impl Walk<'_> {
    fn block(&mut self, statements: &[Statement]) {
        let stop = statements
            .iter()
            .position(|statement| !falls_through(statement, self.ends));
        let parts = stop.and_then(|stop| statements.split_at_checked(stop + 1));
        if let Some((upto, [first, rest @ ..])) = parts
            && let Some(stop) = upto.last()
            && !self.is_recursion(stop)
        {
            let span = first.span.to(rest.last().unwrap_or(first).span);
            let finding =
                Diagnostic::new(Code::Unreachable, span, "these statements are unreachable");
            self.findings
                .push(finding.related(stop.span, "the conversation never continues after this"));
        }
        for statement in statements {
            match &statement.kind {
                Kind::Choice { branches, .. } => {
                    for branch in branches {
                        self.block(&branch.statements);
                    }
                }
                Kind::Rec { body, .. } => self.block(body),
                Kind::Message { .. }
                | Kind::Continue { .. }
                | Kind::Do { .. }
                | Kind::Local { .. } => {}
            }
        }
    }

    /// Whether a statement leads back to this protocol. Then the error is another one: statements
    /// follow the recursive call. It is reported when the graph is built.
    fn is_recursion(&mut self, statement: &Statement) -> bool {
        let Kind::Do { protocol, .. } = &statement.kind else {
            return false;
        };
        let (calls, index) = (self.calls, self.index);
        self.callers
            .get_or_insert_with(|| calls.with_callers(index))
            .contains(protocol)
    }
}
