//! Checks modules and builds checked protocols.

use std::collections::BTreeSet;

use crate::build::{NODES_OF_A_RUN_MAX, build};
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::flow::{self, Calls};
use crate::global::CheckedProtocol;
use crate::hir::Protocol;
use crate::module::Modules;
use crate::resolve::{Resolved, resolve};

/// The result of checking names and shape.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The protocols of the root text that are not `aux` and have no error, in source order.
    pub protocols: Vec<CheckedProtocol>,
    /// All findings, including those of parsing, in source order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks names and shape of everything in the modules, and reports every finding in one pass.
///
/// A declaration that was lost to a syntax error would be reported missing everywhere, so modules
/// with such errors are not checked further. A protocol that lost statements is checked as far as
/// possible.
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
        let callees_sound = calls.callees[index]
            .iter()
            .all(|callee| resolved.protocols[*callee].sound);
        if callees_sound && resolved.protocols[index].sound {
            let checked = build(&resolved, index, &mut left, &mut findings);
            resolved.protocols[index].sound = checked.is_some();
            built[index] = checked;
        } else {
            resolved.protocols[index].sound = false;
        }
    }
    report_unused(&resolved, &calls, &mut findings);
    if findings.errors() > 0 {
        // An item that seems unused may be used in the part that has errors.
        findings.retain(|code| !matches!(code, Code::UnusedRole | Code::UnusedUse));
        findings.retain(|code| !matches!(code, Code::UnusedRecursion | Code::UnusedProtocol));
    }
    let is_requested =
        |protocol: &Protocol| protocol.module == 0 && !protocol.aux && protocol.sound;
    let protocols = resolved.protocols.iter().zip(built);
    let protocols = protocols
        .filter(|(p, _)| is_requested(p))
        .filter_map(|(_, checked)| checked)
        .collect();
    Checked {
        protocols,
        diagnostics: findings.into_sorted(),
    }
}

/// Resolves all names. Which roles know a name after a choice depends on which branches reach the
/// end of the choice, and so on which protocols can end. This is known only after names are
/// resolved, so names are resolved a second time where it may matter.
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

/// The protocols, callees before callers as far as recursion allows. An error in a protocol is then
/// reported with its own role names rather than with those of a caller.
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

/// Reports `aux` protocols of the root text that no other protocol uses. A protocol used only by
/// itself counts as unused.
fn report_unused(resolved: &Resolved, calls: &Calls, findings: &mut Findings) {
    let mut done: BTreeSet<usize> = BTreeSet::new();
    for (index, callees) in calls.callees.iter().enumerate() {
        done.extend(callees.iter().filter(|callee| **callee != index));
    }
    // A text with only `aux` protocols is a library to import.
    let library = resolved
        .protocols
        .iter()
        .all(|protocol| protocol.aux || protocol.module != 0);
    for (index, protocol) in resolved.protocols.iter().enumerate() {
        if protocol.module == 0 && protocol.aux && !done.contains(&index) && !library {
            let message = format!("no protocol uses `{}`", protocol.name);
            findings.push(Diagnostic::new(
                Code::UnusedProtocol,
                protocol.span,
                message,
            ));
        }
    }
}
