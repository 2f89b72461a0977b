//! The names and recursions in scope at a point of a protocol, and the roles that know each name.

use std::collections::BTreeMap;

use crate::hir::VarIndex;
use crate::source::Span;

/// A set of roles, one bit each.
pub(super) type Mask = u64;

/// What a name refers to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Binding {
    /// A value.
    Var(VarIndex),
    /// One of several payloads of a message. Its name cannot be used later.
    Part(Span),
}

/// The names in scope. They are distinct, so leaving a block means removing the names that it
/// added.
#[derive(Debug, Default)]
pub(super) struct Scope {
    names: BTreeMap<String, Binding>,
    /// The names in the order of their binding.
    order: Vec<String>,
    /// The roles that know each variable, by its index.
    known: Vec<Mask>,
    /// The previous values of `known`, for undoing changes.
    changes: Vec<(VarIndex, Mask)>,
    /// The spans of names that have gone out of scope, for error messages.
    ended: BTreeMap<String, Span>,
}

/// A state of the scope to return to.
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

    /// Where a name that is now out of scope was bound.
    pub(super) fn out_of_scope(&self, name: &str) -> Option<Span> {
        self.ended.get(name).copied()
    }

    pub(super) fn bind(&mut self, name: &str, binding: Binding) {
        self.names.insert(name.into(), binding);
        self.order.push(name.into());
    }

    /// The roles that know a variable.
    pub(super) fn known(&self, var: VarIndex) -> Mask {
        self.known.get(var as usize).copied().unwrap_or(0)
    }

    /// Records that some roles know a variable from here on.
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

    /// Removes the names that a block bound. `span_of` returns where a name was bound.
    pub(super) fn forget(&mut self, mark: Mark, span_of: impl Fn(Binding) -> Span) {
        for name in self.order.drain(mark.names..) {
            if let Some(binding) = self.names.remove(&name) {
                self.ended.insert(name, span_of(binding));
            }
        }
    }

    /// Undoes what roles learned since the mark, and returns it.
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

    /// Records what roles learned in every one of the branches.
    pub(super) fn learn_common(&mut self, branches: Vec<BTreeMap<VarIndex, Mask>>) {
        let mut branches = branches.into_iter();
        let Some(mut common) = branches.next() else {
            return;
        };
        // A variable that is not learned in one branch is dropped at once, so that the work is
        // linear in the branches' sizes.
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
