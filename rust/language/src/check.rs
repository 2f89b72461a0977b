//! From modules to checked protocols.

use std::collections::BTreeSet;

use crate::build::{NODES_OF_A_RUN_MAX, build};
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::flow::{self, Calls};
use crate::global::CheckedProtocol;
use crate::hir::Protocol;
use crate::module::Modules;
use crate::resolve::{Resolved, resolve};

/// What the checks of names and shape say about some modules.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The protocols of the text that was asked for, without `aux` ones and those in which
    /// something is wrong, in the order of the text.
    pub protocols: Vec<CheckedProtocol>,
    /// All findings, those of reading too, in the order of the texts.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks names and shape of everything in the modules, and gives every finding in one go.
///
/// Declarations that were lost to errors of syntax would be missed everywhere, so a text with such
/// errors is looked at no further; a protocol that lost statements is looked at as far as what is
/// left makes sense.
pub fn check(modules: &Modules) -> Checked {
    let mut findings = Findings::default();
    findings.extend(modules.diagnostics.iter().cloned());
    if modules.modules.iter().any(|module| module.ast.damaged) {
        return Checked {
            protocols: Vec::new(),
            diagnostics: findings.into_sorted(),
        };
    }
    let mut resolved = resolve_all(modules, &mut findings);
    flow::check(&mut resolved.protocols, &mut findings);
    let calls = Calls::new(&resolved.protocols);
    let order = callees_first(&calls);
    let mut built: Vec<Option<CheckedProtocol>> = vec![None; resolved.protocols.len()];
    let mut left = NODES_OF_A_RUN_MAX;
    for index in order {
        let whole = calls.callees[index]
            .iter()
            .all(|callee| resolved.protocols[*callee].sound);
        if whole && resolved.protocols[index].sound {
            let checked = build(&resolved, index, &mut left, &mut findings);
            resolved.protocols[index].sound = checked.is_some();
            built[index] = checked;
        } else {
            resolved.protocols[index].sound = false;
        }
    }
    report_unused(&resolved, &calls, &mut findings);
    if findings.errors() > 0 {
        // What is not used may be used where something is wrong.
        findings.retain(|code| !matches!(code, Code::UnusedRole | Code::UnusedUse));
        findings.retain(|code| !matches!(code, Code::UnusedRecursion | Code::UnusedProtocol));
    }
    let asked = |protocol: &Protocol| protocol.module == 0 && !protocol.aux && protocol.sound;
    let protocols = resolved.protocols.iter().zip(built);
    let protocols = protocols
        .filter(|(p, _)| asked(p))
        .filter_map(|(_, checked)| checked)
        .collect();
    Checked {
        protocols,
        diagnostics: findings.into_sorted(),
    }
}

/// Resolves all names. Who knows a name after a choice depends on which branches come that far, and
/// so on which protocols end, which is only known once they are resolved: where that may matter, they
/// are resolved again.
fn resolve_all(modules: &Modules, findings: &mut Findings) -> Resolved {
    let before = findings.clone();
    let resolved = resolve(modules, &BTreeSet::new(), findings);
    let endless = flow::endless(&resolved.protocols);
    if endless.is_empty() || !findings.has(Code::NameNotKnownHere) {
        return resolved;
    }
    *findings = before;
    resolve(modules, &endless, findings)
}

/// The protocols, each behind those it does as far as recursion allows: what is wrong in one is
/// then reported with its own names, not with those of whoever does it.
fn callees_first(calls: &Calls) -> Vec<usize> {
    let mut order = Vec::new();
    let mut entered = BTreeSet::new();
    for root in 0..calls.callees.len() {
        let mut pending = vec![(root, false)];
        while let Some((index, done)) = pending.pop() {
            if done {
                order.push(index);
            } else if entered.insert(index) {
                pending.push((index, true));
                pending.extend(calls.callees[index].iter().map(|callee| (*callee, false)));
            }
        }
    }
    order
}

/// Reports auxiliary protocols of the text that was asked for which none of its protocols does. One
/// that only does itself counts as not done.
fn report_unused(resolved: &Resolved, calls: &Calls, findings: &mut Findings) {
    let mut done: BTreeSet<usize> = BTreeSet::new();
    for (index, callees) in calls.callees.iter().enumerate() {
        done.extend(callees.iter().filter(|callee| **callee != index));
    }
    // A text of auxiliary protocols only is there for others to import.
    let library = resolved
        .protocols
        .iter()
        .all(|protocol| protocol.aux || protocol.module != 0);
    for (index, protocol) in resolved.protocols.iter().enumerate() {
        if protocol.module == 0 && protocol.aux && !done.contains(&index) && !library {
            let message = format!("no protocol does `{}`", protocol.name);
            findings.push(Diagnostic::new(
                Code::UnusedProtocol,
                protocol.span,
                message,
            ));
        }
    }
}
