//! Local automata: one per role, produced by projection, explored by the safety check and read by
//! the compiler.
//!
//! A local automaton is the machine's [`Automaton`](antiphon_machine::Automaton) with the role's
//! local code attached: the operations the role performs before it sends, and where payloads come
//! from and go to. State `n` here is state `n` of the machine's automaton.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_machine::{LabelId, OperationId, RoleId, SortId, StateId, bounds};

use crate::global::{self, Argument, VarId};

mod minimise;
mod text;

pub use text::{Names, TextError, TextErrorKind};
pub(crate) use text::{action_text, branch_text};

/// A role's local session type with its local code: deterministic, minimal, and numbered in
/// breadth-first order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAutomaton {
    /// The role.
    pub role: RoleId,
    /// The states; a session starts in state 0.
    pub states: Vec<LocalState>,
}

/// A state: the local actions performed on entry, then one communication.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalState {
    /// Operations performed, in order, each time the state is entered.
    pub entry: Vec<Action>,
    /// The communication that follows.
    pub kind: LocalKind,
}

/// A state's communication.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalKind {
    /// The role is done.
    End,
    /// Send one of the branches to `to`.
    Send {
        /// The receiver.
        to: RoleId,
        /// The branches, at least one, with distinct labels.
        branches: Vec<LocalBranch>,
    },
    /// Receive one of the branches from `from`.
    Recv {
        /// The sender.
        from: RoleId,
        /// The branches, at least one, with distinct labels.
        branches: Vec<LocalBranch>,
    },
}

/// One message that a state admits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalBranch {
    /// The message's label.
    pub label: LabelId,
    /// The sort of its payload.
    pub sort: SortId,
    /// Where the sender takes the payload from; always [`Origin::Host`] in a receive.
    pub origin: Origin,
    /// The names that this role binds to the payload, in ascending order.
    pub binds: Vec<VarId>,
    /// The operations a sender performs after choosing this branch and before sending.
    pub before: Vec<Action>,
    /// The state that follows.
    pub next: StateId,
}

/// Where the payload of a message that the role sends comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The role's host produces it. The host is not asked for a payload of sort unit.
    Host,
    /// The value of a name bound at this role.
    Var(VarId),
}

/// A call of an operation by the role itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Action {
    /// The operation.
    pub operation: OperationId,
    /// The arguments, in order.
    pub args: Vec<Operand>,
    /// The name bound to the result.
    pub bind: Option<VarId>,
    /// A time budget in ticks that overrides the operation's own.
    pub within: Option<u64>,
    /// The label of the branch that the role takes instead when the call fails. `None`: a failure
    /// faults the session.
    pub otherwise: Option<LabelId>,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operand {
    /// The value of a bound name.
    Var(VarId),
    /// A boolean.
    Bool(bool),
    /// An integer of sort `Nat`.
    Nat(u64),
    /// An integer of sort `Int`.
    Int(i64),
    /// Text.
    Text(String),
}

impl From<&global::Action> for Action {
    fn from(action: &global::Action) -> Action {
        Action {
            operation: action.operation,
            args: action.args.iter().map(Operand::from).collect(),
            bind: action.bind,
            within: action.within,
            otherwise: action.otherwise,
        }
    }
}

impl From<&Argument> for Operand {
    fn from(argument: &Argument) -> Operand {
        match argument {
            Argument::Var(var) => Operand::Var(*var),
            Argument::Bool(b) => Operand::Bool(*b),
            Argument::Nat(n) => Operand::Nat(*n),
            Argument::Int(n) => Operand::Int(*n),
            Argument::Text(text) => Operand::Text(text.clone()),
        }
    }
}

impl LocalAutomaton {
    /// The machine's automaton: the same states without the local code.
    pub fn machine(&self) -> antiphon_machine::Automaton {
        let states = self
            .states
            .iter()
            .map(|state| state.kind.machine())
            .collect();
        antiphon_machine::Automaton { states }
    }

    /// Builds an automaton without local code from a machine's automaton.
    /// [`LocalAutomaton::machine`] converts it back.
    pub fn of_machine(role: RoleId, automaton: &antiphon_machine::Automaton) -> LocalAutomaton {
        let branch = |t: &antiphon_machine::Transition| LocalBranch {
            label: t.label,
            sort: t.sort,
            origin: Origin::Host,
            binds: vec![],
            before: vec![],
            next: t.next,
        };
        let kind = |state: &antiphon_machine::State| match state {
            antiphon_machine::State::End => LocalKind::End,
            antiphon_machine::State::Send { to, branches } => LocalKind::Send {
                to: *to,
                branches: branches.iter().map(branch).collect(),
            },
            antiphon_machine::State::Recv { from, branches } => LocalKind::Recv {
                from: *from,
                branches: branches.iter().map(branch).collect(),
            },
        };
        let states = automaton.states.iter().map(|state| LocalState {
            entry: vec![],
            kind: kind(state),
        });
        LocalAutomaton {
            role,
            states: states.collect(),
        }
    }

    /// The equivalent automaton with the fewest states, numbered in breadth-first order from the
    /// start with branches in their order. Unreachable states are dropped. `O(n log n)` in the
    /// number of branches.
    #[must_use]
    pub fn minimal(&self) -> LocalAutomaton {
        let class = minimise::classes(&self.states);
        let mut number: BTreeMap<u32, StateId> = BTreeMap::new();
        let mut queue = vec![];
        let mut visit = |old: usize, queue: &mut Vec<usize>| -> StateId {
            let fresh = StateId(number.len() as u32);
            *number.entry(class[old]).or_insert_with(|| {
                queue.push(old);
                fresh
            })
        };
        if !self.states.is_empty() {
            visit(0, &mut queue);
        }
        let mut states = vec![];
        while let Some(&old) = queue.get(states.len()) {
            let mut state = self.states[old].clone();
            for branch in state.kind.branches_mut() {
                branch.next = visit(branch.next.index(), &mut queue);
            }
            states.push(state);
        }
        debug_assert!(states.len() <= self.states.len());
        LocalAutomaton {
            role: self.role,
            states,
        }
    }

    /// Drops names that the role binds and never reads. They would cost registers and keep
    /// equivalent states apart.
    pub(crate) fn forget_unread(&mut self) {
        let mut read = BTreeSet::new();
        for state in &self.states {
            let branches = state.kind.branches();
            let before = branches.iter().flat_map(|branch| &branch.before);
            for operand in state
                .entry
                .iter()
                .chain(before)
                .flat_map(|action| &action.args)
            {
                if let Operand::Var(var) = operand {
                    read.insert(*var);
                }
            }
            read.extend(branches.iter().filter_map(|branch| match branch.origin {
                Origin::Var(var) => Some(var),
                Origin::Host => None,
            }));
        }
        let unread = |action: &mut Action| action.bind = action.bind.filter(|v| read.contains(v));
        for state in &mut self.states {
            state.entry.iter_mut().for_each(unread);
            for branch in state.kind.branches_mut() {
                branch.before.iter_mut().for_each(unread);
                // The name that a payload is sent from is bound to that value already.
                let origin = branch.origin;
                branch
                    .binds
                    .retain(|v| read.contains(v) && origin != Origin::Var(*v));
            }
        }
    }

    /// Whether the machine accepts the automaton: it is not empty, its indices are in range, the
    /// labels of each state are distinct, and it is within the machine's bounds.
    pub fn is_well_formed(&self) -> bool {
        let len = self.states.len();
        (1..=bounds::STATES_MAX).contains(&len)
            && self.states.iter().all(|state| match &state.kind {
                LocalKind::End => true,
                LocalKind::Send { branches, .. } | LocalKind::Recv { branches, .. } => {
                    let mut labels: Vec<_> = branches.iter().map(|b| b.label).collect();
                    labels.sort_unstable();
                    labels.dedup();
                    (1..=bounds::BRANCHES_MAX).contains(&branches.len())
                        && labels.len() == branches.len()
                        && branches.iter().all(|b| b.next.index() < len)
                }
            })
    }
}

impl LocalKind {
    /// The branches; none at an end.
    pub fn branches(&self) -> &[LocalBranch] {
        match self {
            LocalKind::End => &[],
            LocalKind::Send { branches, .. } | LocalKind::Recv { branches, .. } => branches,
        }
    }

    pub(crate) fn branches_mut(&mut self) -> &mut [LocalBranch] {
        match self {
            LocalKind::End => &mut [],
            LocalKind::Send { branches, .. } | LocalKind::Recv { branches, .. } => branches,
        }
    }

    fn machine(&self) -> antiphon_machine::State {
        let plain = |branches: &[LocalBranch]| {
            let transition = |b: &LocalBranch| antiphon_machine::Transition {
                label: b.label,
                sort: b.sort,
                next: b.next,
            };
            branches.iter().map(transition).collect()
        };
        match self {
            LocalKind::End => antiphon_machine::State::End,
            LocalKind::Send { to, branches } => antiphon_machine::State::Send {
                to: *to,
                branches: plain(branches),
            },
            LocalKind::Recv { from, branches } => antiphon_machine::State::Recv {
                from: *from,
                branches: plain(branches),
            },
        }
    }
}

#[cfg(test)]
mod tests;
