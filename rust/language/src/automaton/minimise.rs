//! Hopcroft's partition refinement: finds the equivalent states of an automaton.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_machine::{LabelId, RoleId, SortId};

use super::{Action, LocalKind, LocalState, Origin};
use crate::global::VarId;

/// Everything that distinguishes a state except its branches' targets. Branch order does not
/// matter.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Signature<'a> {
    entry: &'a [Action],
    direction: u8,
    peer: Option<RoleId>,
    branches: Vec<BranchSignature<'a>>,
}

/// Everything that distinguishes a branch except its target.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct BranchSignature<'a> {
    label: LabelId,
    sort: SortId,
    origin: Origin,
    binds: &'a [VarId],
    before: &'a [Action],
}

/// The class number of each state. Equivalent states have the same number.
pub(super) fn classes(states: &[LocalState]) -> Vec<u32> {
    let mut partition = Partition::by_signature(states);
    let before = predecessors(states);
    let mut waiting: BTreeSet<u32> = (0..partition.blocks.len() as u32).collect();
    while let Some(splitter) = waiting.pop_first() {
        // Copy the splitter's members: the splitter may itself be split while it is in use.
        let members = partition.blocks[splitter as usize].clone();
        let mut by_label: BTreeMap<LabelId, Vec<u32>> = BTreeMap::new();
        for member in members {
            for (label, source) in &before[member as usize] {
                by_label.entry(*label).or_default().push(*source);
            }
        }
        for sources in by_label.into_values() {
            partition.split(&sources, &mut waiting);
        }
    }
    partition.class
}

/// For each state, the labels and sources of the branches that lead to it.
fn predecessors(states: &[LocalState]) -> Vec<Vec<(LabelId, u32)>> {
    let mut before = vec![vec![]; states.len()];
    for (source, state) in states.iter().enumerate() {
        for branch in state.kind.branches() {
            before[branch.next.index()].push((branch.label, source as u32));
        }
    }
    before
}

struct Partition {
    blocks: Vec<BTreeSet<u32>>,
    class: Vec<u32>,
}

impl Partition {
    fn by_signature(states: &[LocalState]) -> Partition {
        let mut known: BTreeMap<Signature<'_>, u32> = BTreeMap::new();
        let mut partition = Partition {
            blocks: vec![],
            class: vec![],
        };
        for (index, state) in states.iter().enumerate() {
            let fresh = partition.blocks.len() as u32;
            let class = *known.entry(signature(state)).or_insert(fresh);
            if class == fresh {
                partition.blocks.push(BTreeSet::new());
            }
            partition.blocks[class as usize].insert(index as u32);
            partition.class.push(class);
        }
        partition
    }

    /// Splits every block into the states in `sources` and the rest.
    fn split(&mut self, sources: &[u32], waiting: &mut BTreeSet<u32>) {
        let mut touched: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for &source in sources {
            touched
                .entry(self.class[source as usize])
                .or_default()
                .insert(source);
        }
        for (class, inside) in touched {
            let fresh = self.blocks.len() as u32;
            let block = &mut self.blocks[class as usize];
            if inside.len() == block.len() {
                continue;
            }
            // Only the states that move are touched, so a chain of `n` equivalent states costs `O(n
            // log n)`.
            for member in &inside {
                block.remove(member);
                self.class[*member as usize] = fresh;
            }
            let smaller_is_fresh = inside.len() <= block.len();
            self.blocks.push(inside);
            // Hopcroft: for a block that is not waiting, queueing the smaller half is enough.
            if waiting.contains(&class) || smaller_is_fresh {
                waiting.insert(fresh);
            } else {
                waiting.insert(class);
            }
        }
    }
}

fn signature(state: &LocalState) -> Signature<'_> {
    let (direction, peer) = match state.kind {
        LocalKind::End => (0, None),
        LocalKind::Send { to, .. } => (1, Some(to)),
        LocalKind::Recv { from, .. } => (2, Some(from)),
    };
    let mut branches: Vec<_> = state
        .kind
        .branches()
        .iter()
        .map(|b| BranchSignature {
            label: b.label,
            sort: b.sort,
            origin: b.origin,
            binds: &b.binds,
            before: &b.before,
        })
        .collect();
    branches.sort_unstable();
    Signature {
        entry: &state.entry,
        direction,
        peer,
        branches,
    }
}
