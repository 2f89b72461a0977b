//! The safety check: explores the roles' automata together, with bounded buffers.
//!
//! [`System`] in the machine's crate defines configurations and the steps between them. They are
//! visited breadth first, so the trace to the first violation is a shortest one. The result is a
//! [`SafetyCertificate`], which the machine's crate checks without exploring.

use std::collections::HashMap;
use std::sync::Arc;

use antiphon_machine::safety::{
    BadConfiguration, Move, NUMBERS_MAX, SafetyCertificate, System, Waiting,
};
use antiphon_machine::{Automaton, LabelId, RoleId, StateId};

use crate::automaton::LocalAutomaton;

mod diagnose;
mod progress;

/// How many configurations are visited by default. Visiting them takes a few seconds, and a
/// protocol that a person can understand has far fewer.
pub const CONFIGURATIONS: usize = 200_000;

/// The steps between configurations that are stored for the progress check: 128 MiB.
const EDGES_MAX: usize = 8 << 20;

/// Bounds of the exploration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The initial capacity of a buffer, in messages. With two, a sender can run ahead and queue
    /// behind itself. What happens only with larger buffers is not explored: the certificate covers
    /// them only if no role ever waits for room.
    pub buffer: u8,
    /// The maximum capacity of a buffer. A violation in which a full buffer is involved is checked
    /// again with twice the capacity, up to this.
    pub buffer_max: u8,
    /// The maximum number of configurations to visit.
    pub configurations: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            buffer: 2,
            buffer_max: 4,
            configurations: CONFIGURATIONS,
        }
    }
}

/// The result of the exploration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Every configuration was visited and none is a violation.
    Safe(SafetyCertificate),
    /// A violation is reachable.
    Unsafe(Violation),
    /// The budget ran out first. No violation was found, but safety is not certified.
    Uncertified {
        /// The number of configurations visited.
        visited: usize,
        /// The capacity of a buffer, in messages.
        buffer: u8,
    },
}

/// A violation and a trace that leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The kind of violation.
    pub kind: ViolationKind,
    /// A shortest trace from the start.
    pub trace: Vec<Move>,
}

/// The kinds of violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// The trace ends in a bad configuration.
    Bad(BadConfiguration),
    /// Whatever happens next, a role that is not done never moves again.
    NoProgress {
        /// The role and what it waits for.
        waiting: Waiting,
    },
    /// Whatever happens next, a message is never read.
    NeverReceived {
        /// The sender.
        from: RoleId,
        /// The receiver.
        to: RoleId,
        /// The message's label.
        label: LabelId,
    },
}

/// Explores the automata together; `automata[r]` is role `r`'s. All must be well formed.
///
/// Time and memory are linear in the number of configurations visited, which is at most
/// [`Limits::configurations`].
pub fn explore(automata: &[LocalAutomaton], limits: &Limits) -> Safety {
    let automata: Vec<Automaton> = automata.iter().map(LocalAutomaton::machine).collect();
    let mut buffer = limits.buffer.max(1);
    loop {
        let system = System::new(&automata, buffer);
        let mut exploration = Exploration::new(&system);
        let (safety, for_room) = exploration.run(limits.configurations);
        let wider = buffer.saturating_mul(2);
        if !for_room || wider > limits.buffer_max {
            return safety;
        }
        buffer = wider;
    }
}

/// A configuration, as a row that [`System`] describes.
type Configuration = Arc<[u16]>;

/// A step between two configurations, by their indices.
#[derive(Clone, Copy)]
struct Edge {
    from: u32,
    to: u32,
    step: Move,
}

struct Exploration<'s> {
    system: &'s System<'s>,
    rows: Vec<Configuration>,
    numbers: HashMap<Configuration, u32>,
    edges: Vec<Edge>,
    /// For each row, the edge that reached it first; none for the start.
    first: Vec<Option<u32>>,
}

impl<'s> Exploration<'s> {
    fn new(system: &'s System<'s>) -> Exploration<'s> {
        let numbers = HashMap::new();
        let (rows, edges, first) = (vec![], vec![], vec![]);
        let mut exploration = Exploration {
            system,
            rows,
            numbers,
            edges,
            first,
        };
        exploration.number(system.start().into(), None);
        exploration
    }

    /// The index of a configuration. A new one is added to the queue.
    fn number(&mut self, row: Configuration, edge: Option<u32>) -> u32 {
        let fresh = self.rows.len() as u32;
        let number = *self.numbers.entry(row.clone()).or_insert(fresh);
        if number == fresh {
            self.rows.push(row);
            self.first.push(edge);
        }
        number
    }

    /// Runs the exploration. Returns its result, and whether a full buffer may be the reason for a
    /// violation.
    fn run(&mut self, configurations: usize) -> (Safety, bool) {
        let mut current = 0;
        while current < self.rows.len() {
            if self.rows.len() > configurations || self.is_large() {
                let buffer = self.system.buffer();
                return (
                    Safety::Uncertified {
                        visited: current,
                        buffer,
                    },
                    false,
                );
            }
            match self.system.steps(&self.rows[current]) {
                Ok(steps) => self.follow(current, steps),
                Err(bad) => return self.violation(current, ViolationKind::Bad(bad)),
            }
            current += 1;
        }
        match progress::check(self.system, &self.rows, &self.edges) {
            Some((row, kind)) => self.violation(row, kind),
            None => {
                let rows = self.rows.iter().map(|row| &row[..]);
                (
                    Safety::Safe(SafetyCertificate::of(self.system, rows)),
                    false,
                )
            }
        }
    }

    /// Whether the memory for an exploration is used up, independent of the budget of
    /// configurations.
    fn is_large(&self) -> bool {
        let width = self.rows.first().map_or(0, |row| row.len());
        self.rows.len() * width > NUMBERS_MAX || self.edges.len() > EDGES_MAX
    }

    fn follow(&mut self, current: usize, steps: Vec<(Move, StateId)>) {
        for (step, next) in steps {
            let row = self
                .system
                .successor(&self.rows[current], step, next)
                .into();
            let edge = self.edges.len() as u32;
            let to = self.number(row, Some(edge));
            self.edges.push(Edge {
                from: current as u32,
                to,
                step,
            });
        }
    }

    fn violation(&self, row: usize, kind: ViolationKind) -> (Safety, bool) {
        let for_room = self.system.waits_for_room(&self.rows[row]).is_some();
        let mut trace = vec![];
        let mut current = row;
        while let Some(edge) = self.first[current] {
            let edge = self.edges[edge as usize];
            trace.push(edge.step);
            current = edge.from as usize;
        }
        trace.reverse();
        (Safety::Unsafe(Violation { kind, trace }), for_room)
    }
}

#[cfg(test)]
mod tests;
