//! Progress under fairness: a role that is not done can always still move, and a message that was
//! sent can still be read.
//!
//! On the finished graph, information flows backwards along the steps. Each configuration collects
//! which roles can still move and which edges can still be read in some continuation. In a fair
//! run, a step that stays possible forever is eventually taken.

use antiphon_machine::safety::{NO_LABEL, RoleTurn, System};
use antiphon_machine::{LabelId, State};

use super::{Configuration, Edge, ViolationKind};

/// The first configuration without progress, in breadth-first order, and its kind of violation.
pub(super) fn check(
    system: &System<'_>,
    rows: &[Configuration],
    edges: &[Edge],
) -> Option<(usize, ViolationKind)> {
    let back = Backwards::new(rows.len(), edges);
    let roles: Vec<_> = system.roles().collect();
    let mut first: Option<(usize, ViolationKind)> = None;
    for (chunk, some) in roles.chunks(64).enumerate() {
        let bit = |edge: &Edge| bit(edge.step.role.index(), chunk);
        let reach = back.reach(edges, bit);
        let stuck = |row: usize| {
            let role = some.iter().find(|role| {
                let ended = *system.state(&rows[row], **role) == State::End;
                !ended && reach[row] >> (role.index() % 64) & 1 == 0
            })?;
            match system.turn(&rows[row], *role) {
                RoleTurn::Waits(waiting) => Some(ViolationKind::NoProgress { waiting }),
                RoleTurn::Done | RoleTurn::Moves(_) | RoleTurn::Bad(_) => None,
            }
        };
        earlier(
            &mut first,
            (0..rows.len()).find_map(|row| Some((row, stuck(row)?))),
        );
    }
    let pairs: Vec<_> = system.edges().collect();
    for (chunk, some) in pairs.chunks(64).enumerate() {
        let bit = |edge: &Edge| {
            let pair = (edge.step.peer, edge.step.role);
            let index = pairs.binary_search(&pair).ok().filter(|_| !edge.step.sends);
            index.map_or(0, |index| bit(index, chunk))
        };
        let reach = back.reach(edges, bit);
        let unread = |row: usize| {
            let waits = |index: &usize| {
                let oldest = system.queue(&rows[row], some[*index])[0];
                oldest != NO_LABEL && reach[row] >> index & 1 == 0
            };
            let (from, to) = some[(0..some.len()).find(waits)?];
            let label = LabelId(system.queue(&rows[row], (from, to))[0]);
            Some(ViolationKind::NeverReceived { from, to, label })
        };
        earlier(
            &mut first,
            (0..rows.len()).find_map(|row| Some((row, unread(row)?))),
        );
    }
    first
}

/// The bit of an index within a chunk of 64; 0 for an index in another chunk.
fn bit(index: usize, chunk: usize) -> u64 {
    if index / 64 == chunk {
        1 << (index % 64)
    } else {
        0
    }
}

fn earlier(first: &mut Option<(usize, ViolationKind)>, found: Option<(usize, ViolationKind)>) {
    if let Some(found) = found
        && first.as_ref().is_none_or(|(row, _)| found.0 < *row)
    {
        *first = Some(found);
    }
}

/// The steps into each configuration.
struct Backwards {
    /// `into[begin[row]..begin[row + 1]]` are the edges that lead to `row`.
    begin: Vec<u32>,
    into: Vec<u32>,
}

impl Backwards {
    fn new(rows: usize, edges: &[Edge]) -> Backwards {
        let mut begin = vec![0; rows + 1];
        for edge in edges {
            begin[edge.to as usize + 1] += 1;
        }
        for row in 0..rows {
            begin[row + 1] += begin[row];
        }
        let mut free = begin.clone();
        let mut into = vec![0; edges.len()];
        for (number, edge) in edges.iter().enumerate() {
            let slot = &mut free[edge.to as usize];
            into[*slot as usize] = number as u32;
            *slot += 1;
        }
        Backwards { begin, into }
    }

    /// For each configuration, the bits of all steps that are still reachable from it. A
    /// configuration is processed again only when it gains a bit, so at most 64 times.
    fn reach(&self, edges: &[Edge], bit: impl Fn(&Edge) -> u64) -> Vec<u64> {
        let rows = self.begin.len() - 1;
        let mut reach = vec![0; rows];
        for edge in edges {
            reach[edge.from as usize] |= bit(edge);
        }
        let mut waiting: Vec<u32> = (0..rows as u32).collect();
        while let Some(row) = waiting.pop() {
            let row = row as usize;
            for edge in &self.into[self.begin[row] as usize..self.begin[row + 1] as usize] {
                let from = edges[*edge as usize].from;
                let gained = reach[from as usize] | reach[row];
                if gained != reach[from as usize] {
                    reach[from as usize] = gained;
                    waiting.push(from);
                }
            }
        }
        reach
    }
}
