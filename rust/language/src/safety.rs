//! Safety: the roles' automata together, explored with bounded buffers.
//!
//! A configuration is a state per role and a queue of labels per pair of roles that speak. From the
//! start the configurations are visited breadth first, so the way to the first bad one is a
//! shortest one. A full buffer makes its sender wait: that is how the machine behaves, and why a
//! sender without end has finitely many configurations.
//!
//! Local actions and payloads play no part: they end in the next message or in a fault of the whole
//! session.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use antiphon_machine::{LabelId, RoleId, StateId};

use crate::automaton::{LocalAutomaton, LocalKind};

mod certificate;
mod diagnose;
mod progress;

pub use certificate::{CERTIFICATE_LEN_MAX, CertificateError, SafetyCertificate};

/// How many configurations are visited by default: some seconds of work, and far more than a
/// protocol has that a person can follow.
pub const CONFIGURATIONS: usize = 200_000;

/// Numbers in all configurations together: 128 MiB. A protocol of few roles comes to its budget of
/// configurations long before; one in which sixty-four roles all speak with each other has rows of
/// thousands.
const NUMBERS_MAX: usize = 64 << 20;

/// Steps between configurations that are kept for the question of progress: 128 MiB.
const EDGES_MAX: usize = 8 << 20;

/// How far to explore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages that a buffer holds at first. Two let a sender run ahead and queue behind itself;
    /// whatever goes wrong only further ahead needs a message that is still unread.
    pub buffer: u8,
    /// Messages that a buffer holds at most: what goes wrong because a buffer is full is looked at
    /// again with twice the room, up to this.
    pub buffer_max: u8,
    /// Configurations to visit at most.
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

/// What the exploration found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Every configuration was visited, none is bad.
    Safe(SafetyCertificate),
    /// A bad one can be reached.
    Unsafe(Violation),
    /// The budget ran out before: nothing bad was found, nothing is certified.
    Uncertified {
        /// How many configurations were visited.
        visited: usize,
        /// How many messages a buffer held.
        buffer: u8,
    },
}

/// A way to a bad configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is bad about it.
    pub kind: ViolationKind,
    /// A shortest way to it from the start.
    pub trace: Vec<Move>,
}

/// What is bad about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// A role waits for other labels than the one that comes next.
    Reception {
        /// Who waits.
        role: RoleId,
        /// For whose message.
        from: RoleId,
        /// What comes.
        got: LabelId,
        /// What it can take.
        expected: Vec<LabelId>,
    },
    /// A role is done, a message to it is not read.
    Orphan {
        /// Who sent it.
        from: RoleId,
        /// Who is done.
        to: RoleId,
        /// The message.
        label: LabelId,
    },
    /// Nobody can do anything, and not everybody is done.
    Deadlock {
        /// Those who are not done.
        waiting: Vec<Waiting>,
    },
    /// Whatever happens next, a role that is not done will not have its turn.
    NoProgress {
        /// The role and what it waits for.
        waiting: Waiting,
    },
    /// Whatever happens next, a message will not be read.
    NeverReceived {
        /// Who sent it.
        from: RoleId,
        /// Who does not read it.
        to: RoleId,
        /// The message.
        label: LabelId,
    },
}

/// A role that cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The role.
    pub role: RoleId,
    /// The role it waits for.
    pub peer: RoleId,
    /// Whether it waits for room in a buffer rather than for a message.
    pub for_room: bool,
}

/// One thing that a role does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Who does it.
    pub role: RoleId,
    /// Whether it sends or receives.
    pub sends: bool,
    /// The other role.
    pub peer: RoleId,
    /// The message.
    pub label: LabelId,
}

/// Explores the automata together; `automata[r]` is role `r`'s, all of them well formed.
///
/// Time and memory are linear in the configurations visited, at most [`Limits::configurations`] of
/// them.
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

/// A configuration, laid out as one row of numbers: the state of each role, then for each edge
/// `buffer` labels, the oldest first and [`NONE`] behind the last.
type Configuration = Arc<[u16]>;

/// Stands where a buffer holds no label; no label has this number.
const NONE: u16 = u16::MAX;

/// The automata composed.
struct System<'a> {
    automata: &'a [LocalAutomaton],
    /// Which pairs of roles speak, and where their buffer lies in a row.
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

    /// Whether a row from elsewhere is a configuration: the right length, states that exist, no gap
    /// in a queue.
    fn holds(&self, row: &[u16]) -> bool {
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

    fn after(&self, row: &[u16], step: Move, next: StateId) -> Configuration {
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

    /// The steps from a configuration, or what is bad about it.
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

/// A step between two configurations, by their numbers.
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
    /// For each row the edge that first led to it; the start has none.
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

    /// The number of a configuration, and its place in the queue when it is new.
    fn number(&mut self, row: Configuration, edge: Option<u32>) -> u32 {
        let fresh = self.rows.len() as u32;
        let number = *self.numbers.entry(row.clone()).or_insert(fresh);
        if number == fresh {
            self.rows.push(row);
            self.first.push(edge);
        }
        number
    }

    /// What is found, and whether a full buffer may be the reason for it.
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

    /// Whether the memory for an exploration is used up, however few the configurations are.
    fn is_large(&self) -> bool {
        let width = self.rows.first().map_or(0, |row| row.len());
        self.rows.len() * width > NUMBERS_MAX || self.edges.len() > EDGES_MAX
    }

    fn follow(&mut self, current: usize, steps: Vec<(Move, StateId)>) {
        for (step, next) in steps {
            let row = self.system.after(&self.rows[current], step, next);
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
