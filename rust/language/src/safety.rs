//! The safety check: explores the roles' automata together, with bounded buffers.
//!
//! A configuration consists of a state per role and a queue of labels per pair of communicating
//! roles. Configurations are visited breadth first, so the trace to the first violation is a
//! shortest one. A full buffer blocks its sender, as in the machine, so even a sender that never
//! stops has finitely many configurations.
//!
//! Local actions and payloads are ignored: a local action leads to the next message or to a fault
//! of the whole session.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use antiphon_machine::{LabelId, RoleId, StateId};

use crate::automaton::{LocalAutomaton, LocalKind};

mod certificate;
mod diagnose;
mod progress;

pub use certificate::{CERTIFICATE_LEN_MAX, CertificateError, SafetyCertificate};

/// How many configurations are visited by default. Visiting them takes a few seconds, and a
/// protocol that a person can understand has far fewer.
pub const CONFIGURATIONS: usize = 200_000;

/// The numbers that all configurations together may hold: 128 MiB. A protocol with few roles
/// exhausts its budget of configurations long before; one in which sixty-four roles all communicate
/// with each other has rows of thousands of numbers.
const NUMBERS_MAX: usize = 64 << 20;

/// The steps between configurations that are stored for the progress check: 128 MiB.
const EDGES_MAX: usize = 8 << 20;

/// Bounds of the exploration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The initial capacity of a buffer, in messages. With two, a sender can run ahead and queue
    /// behind itself; a violation that needs more than that also needs a message that is still
    /// unread.
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
    /// A role expects other labels than the next message's.
    Reception {
        /// The receiver.
        role: RoleId,
        /// The sender.
        from: RoleId,
        /// The next message's label.
        got: LabelId,
        /// The labels that the receiver expects.
        expected: Vec<LabelId>,
    },
    /// A message to a role that is done remains unread.
    Orphan {
        /// The sender.
        from: RoleId,
        /// The role that is done.
        to: RoleId,
        /// The message's label.
        label: LabelId,
    },
    /// No role can move, and not all are done.
    Deadlock {
        /// The roles that are not done.
        waiting: Vec<Waiting>,
    },
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

/// A blocked role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The role.
    pub role: RoleId,
    /// The role it waits for.
    pub peer: RoleId,
    /// Whether it waits for room in a buffer rather than for a message.
    pub for_room: bool,
}

/// A step of one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The role that moves.
    pub role: RoleId,
    /// Whether it sends or receives.
    pub sends: bool,
    /// The other role.
    pub peer: RoleId,
    /// The message's label.
    pub label: LabelId,
}

/// Explores the automata together; `automata[r]` is role `r`'s. All must be well formed.
///
/// Time and memory are linear in the number of configurations visited, which is at most
/// [`Limits::configurations`].
pub fn explore(automata: &[LocalAutomaton], limits: &Limits) -> Safety {
    let mut buffer = limits.buffer.max(1);
    loop {
        let system = System::new(automata, buffer);
        let mut exploration = Exploration::new(&system);
        let (safety, for_room) = exploration.run(limits.configurations);
        let wider = buffer.saturating_mul(2);
        if !for_room || wider > limits.buffer_max {
            return safety;
        }
        buffer = wider;
    }
}

/// A configuration as one row of numbers: the state of each role, then for each edge the labels in
/// its buffer, oldest first, padded with [`NONE`].
type Configuration = Arc<[u16]>;

/// Marks an empty slot of a buffer. No label has this number.
const NONE: u16 = u16::MAX;

/// The composed automata.
struct System<'a> {
    automata: &'a [LocalAutomaton],
    /// The pairs of roles that communicate, and the offset of their buffer in a row.
    edges: BTreeMap<(RoleId, RoleId), usize>,
    buffer: usize,
}

/// What a role can do in a configuration.
enum Turn {
    Done,
    Waits(Waiting),
    Moves(Vec<(Move, StateId)>),
    Bad(ViolationKind),
}

impl<'a> System<'a> {
    fn new(automata: &'a [LocalAutomaton], buffer: u8) -> System<'a> {
        let mut edges = BTreeMap::new();
        for (role, automaton) in automata.iter().enumerate() {
            let role = RoleId(role as u16);
            for state in &automaton.states {
                match state.kind {
                    LocalKind::End => {}
                    LocalKind::Send { to, .. } => drop(edges.insert((role, to), 0)),
                    LocalKind::Recv { from, .. } => drop(edges.insert((from, role), 0)),
                }
            }
        }
        let buffer = usize::from(buffer);
        for (index, offset) in edges.values_mut().enumerate() {
            *offset = automata.len() + index * buffer;
        }
        System {
            automata,
            edges,
            buffer,
        }
    }

    fn start(&self) -> Configuration {
        let mut row = vec![NONE; self.automata.len() + self.edges.len() * self.buffer];
        row[..self.automata.len()].fill(0);
        row.into()
    }

    /// Whether a decoded row is a configuration: it has the right length, its states exist, and its
    /// queues have no gap.
    fn is_configuration(&self, row: &[u16]) -> bool {
        let roles = self.automata.len();
        row.len() == roles + self.edges.len() * self.buffer
            && self
                .automata
                .iter()
                .zip(row)
                .all(|(a, state)| usize::from(*state) < a.states.len())
            && row[roles..]
                .chunks(self.buffer)
                .all(|queue| queue.is_sorted_by_key(|l| *l == NONE))
    }

    fn kind(&self, row: &[u16], role: RoleId) -> &'a LocalKind {
        &self.automata[role.index()].states[usize::from(row[role.index()])].kind
    }

    fn queue<'r>(&self, row: &'r [u16], edge: (RoleId, RoleId)) -> &'r [u16] {
        let offset = self.edges[&edge];
        &row[offset..offset + self.buffer]
    }

    fn roles(&self) -> impl Iterator<Item = RoleId> + use<> {
        (0..self.automata.len() as u16).map(RoleId)
    }

    fn turn(&self, row: &[u16], role: RoleId) -> Turn {
        match self.kind(row, role) {
            LocalKind::End => Turn::Done,
            LocalKind::Send { to, branches } => {
                if self.queue(row, (role, *to)).last() != Some(&NONE) {
                    return Turn::Waits(Waiting {
                        role,
                        peer: *to,
                        for_room: true,
                    });
                }
                let send = |label| Move {
                    role,
                    sends: true,
                    peer: *to,
                    label,
                };
                Turn::Moves(branches.iter().map(|b| (send(b.label), b.next)).collect())
            }
            LocalKind::Recv { from, branches } => {
                let oldest = self.queue(row, (*from, role))[0];
                if oldest == NONE {
                    return Turn::Waits(Waiting {
                        role,
                        peer: *from,
                        for_room: false,
                    });
                }
                let got = LabelId(oldest);
                match branches.iter().find(|branch| branch.label == got) {
                    Some(branch) => {
                        let receive = Move {
                            role,
                            sends: false,
                            peer: *from,
                            label: got,
                        };
                        Turn::Moves(vec![(receive, branch.next)])
                    }
                    None => Turn::Bad(ViolationKind::Reception {
                        role,
                        from: *from,
                        got,
                        expected: branches.iter().map(|branch| branch.label).collect(),
                    }),
                }
            }
        }
    }

    fn successor(&self, row: &[u16], step: Move, next: StateId) -> Configuration {
        let mut row = row.to_vec();
        row[step.role.index()] = next.0 as u16;
        let edge = if step.sends {
            (step.role, step.peer)
        } else {
            (step.peer, step.role)
        };
        let offset = self.edges[&edge];
        let queue = &mut row[offset..offset + self.buffer];
        if step.sends {
            let free = queue.iter().position(|label| *label == NONE);
            debug_assert!(free.is_some(), "a full buffer admits no send");
            queue[free.unwrap_or(0)] = step.label.0;
        } else {
            queue.copy_within(1.., 0);
            queue[self.buffer - 1] = NONE;
        }
        row.into()
    }

    /// The steps from a configuration, or its violation.
    fn steps(&self, row: &[u16]) -> Result<Vec<(Move, StateId)>, ViolationKind> {
        let mut steps = vec![];
        let mut waiting = vec![];
        for role in self.roles() {
            match self.turn(row, role) {
                Turn::Done => {}
                Turn::Waits(wait) => waiting.push(wait),
                Turn::Moves(moves) => steps.extend(moves),
                Turn::Bad(kind) => return Err(kind),
            }
        }
        for &(from, to) in self.edges.keys() {
            let oldest = self.queue(row, (from, to))[0];
            if oldest != NONE && *self.kind(row, to) == LocalKind::End {
                return Err(ViolationKind::Orphan {
                    from,
                    to,
                    label: LabelId(oldest),
                });
            }
        }
        if steps.is_empty() && !waiting.is_empty() {
            return Err(ViolationKind::Deadlock { waiting });
        }
        Ok(steps)
    }

    fn waits_for_room(&self, row: &[u16]) -> bool {
        self.roles().any(|role| match self.turn(row, role) {
            Turn::Waits(waiting) => waiting.for_room,
            Turn::Done | Turn::Moves(_) | Turn::Bad(_) => false,
        })
    }
}

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
        exploration.number(system.start(), None);
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
                let buffer = self.system.buffer as u8;
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
                Err(kind) => return self.violation(current, kind),
            }
            current += 1;
        }
        match progress::check(self.system, &self.rows, &self.edges) {
            Some((row, kind)) => self.violation(row, kind),
            None => (
                Safety::Safe(SafetyCertificate::of(self.system, &self.rows)),
                false,
            ),
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
            let row = self.system.successor(&self.rows[current], step, next);
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
        let for_room = self.system.waits_for_room(&self.rows[row]);
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
