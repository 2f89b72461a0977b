//! What is in scope at a place of a protocol: bound names and who knows them, and recursions.

use std::collections::BTreeMap;

use crate::hir::VarIndex;
use crate::source::Span;

/// Roles as a set of bits.
pub(super) type Mask = u64;

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Binding {
    /// A value of its own.
    Var(VarIndex),
    /// One of several payloads of a message: it has a name for people only.
    Part(Span),
}

/// The names in scope. No two are equal, so leaving a block is forgetting what it added.
#[derive(Debug, Default)]
pub(super) struct Scope {
    names: BTreeMap<String, Binding>,
    /// Names in the order of their binding.
    order: Vec<String>,
    /// Which roles know each var, by its index.
    known: Vec<Mask>,
    /// What `known` was before each change, to go back.
    changes: Vec<(VarIndex, Mask)>,
    /// Places of names that were in scope once, to explain why one is not.
    left: BTreeMap<String, Span>,
}

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    names: usize,
    changes: usize,
}

impl Scope {
    pub(super) fn find(&self, name: &str) -> Option<Binding> {
        self.names.get(name).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Where a name was bound that is out of scope now.
    pub(super) fn left(&self, name: &str) -> Option<Span> {
        self.left.get(name).copied()
    }

    pub(super) fn bind(&mut self, name: &str, binding: Binding) {
        self.names.insert(name.into(), binding);
        self.order.push(name.into());
    }

    /// Who knows a var.
    pub(super) fn known(&self, var: VarIndex) -> Mask {
        self.known.get(var as usize).copied().unwrap_or(0)
    }

    /// Lets some roles know a var from here on.
    pub(super) fn learn(&mut self, var: VarIndex, roles: Mask) {
        let index = var as usize;
        if self.known.len() <= index {
            self.known.resize(index + 1, 0);
        }
        if let Some(known) = self.known.get_mut(index) {
            self.changes.push((var, *known));
            *known |= roles;
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            names: self.order.len(),
            changes: self.changes.len(),
        }
    }

    /// Forgets the names that a block bound; `span_of` tells where that was.
    pub(super) fn forget(&mut self, mark: Mark, span_of: impl Fn(Binding) -> Span) {
        for name in self.order.drain(mark.names..) {
            if let Some(binding) = self.names.remove(&name) {
                self.left.insert(name, span_of(binding));
            }
        }
    }

    /// Takes back what roles learned since the mark, and gives it.
    pub(super) fn unlearn(&mut self, mark: Mark) -> BTreeMap<VarIndex, Mask> {
        let mut learned = BTreeMap::new();
        for (var, before) in self.changes.drain(mark.changes..).rev() {
            if let Some(known) = self.known.get_mut(var as usize) {
                learned.entry(var).or_insert(*known);
                *known = before;
            }
        }
        learned
    }

    /// Lets roles know what they learned in every one of some branches.
    pub(super) fn learn_common(&mut self, branches: Vec<BTreeMap<VarIndex, Mask>>) {
        let mut branches = branches.into_iter();
        let Some(mut common) = branches.next() else {
            return;
        };
        // What one branch does not teach is dropped at once, so the work is that of reading them.
        for learned in branches {
            common.retain(|var, mask| {
                let known = self.known(*var);
                *mask &= learned.get(var).copied().unwrap_or(known);
                *mask & !known != 0
            });
        }
        for (var, mask) in common {
            self.learn(var, mask);
        }
    }
}
