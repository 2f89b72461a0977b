//! The automata of all roles together, with bounded buffers.

use std::collections::BTreeMap;

use crate::ids::{LabelId, RoleId, StateId};
use crate::image::{Automaton, State, Transition};
use crate::verify::VerifiedImage;

/// Marks an empty place of a buffer in a configuration. No label has this number.
pub const NO_LABEL: u16 = u16::MAX;

/// A bad configuration: what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadConfiguration {
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

/// What a role can do in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleTurn {
    /// Nothing: it has reached the end of its automaton.
    Done,
    /// It is blocked.
    Waits(Waiting),
    /// It can take one of these steps, each with the state that follows.
    Moves(Vec<(Move, StateId)>),
    /// It cannot receive its next message.
    Bad(BadConfiguration),
}

/// The automata of all roles together, with buffers of a given size.
///
/// A configuration is a row of numbers: the state of each role, then for each edge the labels in
/// its buffer, oldest first, padded with [`NO_LABEL`]. A full buffer blocks its sender, as in the
/// machine, so the number of configurations is finite. Local actions and payloads are ignored: a
/// local action leads to the next message or to a fault of the whole session.
#[derive(Debug)]
pub struct System<'a> {
    automata: Vec<&'a Automaton>,
    /// The pairs of roles that communicate, and the offset of their buffer in a row.
    edges: BTreeMap<(RoleId, RoleId), usize>,
    buffer: u8,
}

impl<'a> System<'a> {
    /// The system of these automata; the first one is role 0's. Buffers of size 0 count as 1,
    /// because no role could ever send.
    ///
    /// The automata must be well formed, as those of a verified image are: every state and every
    /// role that they refer to exists.
    pub fn new(automata: impl IntoIterator<Item = &'a Automaton>, buffer: u8) -> System<'a> {
        let automata: Vec<_> = automata.into_iter().collect();
        let mut edges = BTreeMap::new();
        for (role, automaton) in (0..).map(RoleId).zip(&automata) {
            for state in &automaton.states {
                match state {
                    State::End => {}
                    State::Send { to, .. } => drop(edges.insert((role, *to), 0)),
                    State::Recv { from, .. } => drop(edges.insert((*from, role), 0)),
                }
            }
        }
        let buffer = buffer.max(1);
        for (index, offset) in edges.values_mut().enumerate() {
            *offset = automata.len() + index * usize::from(buffer);
        }
        System {
            automata,
            edges,
            buffer,
        }
    }

    /// The system of an image's roles.
    pub fn of_image(image: &'a VerifiedImage, buffer: u8) -> System<'a> {
        let roles = image.image().roles.iter();
        System::new(roles.map(|role| &role.automaton), buffer)
    }

    /// The size of a buffer, in messages.
    pub fn buffer(&self) -> u8 {
        self.buffer
    }

    /// The roles.
    pub fn roles(&self) -> impl Iterator<Item = RoleId> + use<> {
        (0..self.automata.len() as u16).map(RoleId)
    }

    /// Sender and receiver of each edge, in ascending order.
    pub fn edges(&self) -> impl Iterator<Item = (RoleId, RoleId)> {
        self.edges.keys().copied()
    }

    /// The length of a row.
    pub fn width(&self) -> usize {
        self.automata.len() + self.edges.len() * usize::from(self.buffer)
    }

    /// The start: every role in state 0, every buffer empty.
    pub fn start(&self) -> Vec<u16> {
        let mut row = vec![NO_LABEL; self.width()];
        row[..self.automata.len()].fill(0);
        row
    }

    /// Whether a row is a configuration: it has the right length, its states exist, and its buffers
    /// have no gap.
    pub fn is_configuration(&self, row: &[u16]) -> bool {
        let roles = self.automata.len();
        row.len() == self.width()
            && self
                .automata
                .iter()
                .zip(row)
                .all(|(automaton, state)| usize::from(*state) < automaton.states.len())
            && row[roles..]
                .chunks(usize::from(self.buffer))
                .all(|queue| queue.is_sorted_by_key(|label| *label == NO_LABEL))
    }

    /// The state of a role in a configuration.
    pub fn state(&self, row: &[u16], role: RoleId) -> &'a State {
        &self.automata[role.index()].states[usize::from(row[role.index()])]
    }

    /// The places of an edge's buffer in a configuration.
    pub fn queue<'r>(&self, row: &'r [u16], edge: (RoleId, RoleId)) -> &'r [u16] {
        let offset = self.edges[&edge];
        &row[offset..offset + usize::from(self.buffer)]
    }

    /// What a role can do in a configuration.
    pub fn turn(&self, row: &[u16], role: RoleId) -> RoleTurn {
        match self.state(row, role) {
            State::End => RoleTurn::Done,
            State::Send { to, branches } => self.send(row, role, *to, branches),
            State::Recv { from, branches } => self.receive(row, role, *from, branches),
        }
    }

    fn send(&self, row: &[u16], role: RoleId, to: RoleId, branches: &[Transition]) -> RoleTurn {
        if self.queue(row, (role, to)).last() != Some(&NO_LABEL) {
            return RoleTurn::Waits(Waiting {
                role,
                peer: to,
                for_room: true,
            });
        }
        let send = |branch: &Transition| Move {
            role,
            sends: true,
            peer: to,
            label: branch.label,
        };
        RoleTurn::Moves(branches.iter().map(|b| (send(b), b.next)).collect())
    }

    fn receive(
        &self,
        row: &[u16],
        role: RoleId,
        from: RoleId,
        branches: &[Transition],
    ) -> RoleTurn {
        let oldest = self.queue(row, (from, role))[0];
        if oldest == NO_LABEL {
            return RoleTurn::Waits(Waiting {
                role,
                peer: from,
                for_room: false,
            });
        }
        let got = LabelId(oldest);
        match branches.iter().find(|branch| branch.label == got) {
            Some(branch) => {
                let receive = Move {
                    role,
                    sends: false,
                    peer: from,
                    label: got,
                };
                RoleTurn::Moves(vec![(receive, branch.next)])
            }
            None => RoleTurn::Bad(BadConfiguration::Reception {
                role,
                from,
                got,
                expected: branches.iter().map(|branch| branch.label).collect(),
            }),
        }
    }

    /// The configuration after a step that [`steps`](Self::steps) lists for this one.
    pub fn successor(&self, row: &[u16], step: Move, next: StateId) -> Vec<u16> {
        let mut row = row.to_vec();
        row[step.role.index()] = next.0 as u16;
        let edge = if step.sends {
            (step.role, step.peer)
        } else {
            (step.peer, step.role)
        };
        let offset = self.edges[&edge];
        let queue = &mut row[offset..offset + usize::from(self.buffer)];
        if step.sends {
            let free = queue.iter().position(|label| *label == NO_LABEL);
            debug_assert!(free.is_some(), "a full buffer admits no send");
            queue[free.unwrap_or(0)] = step.label.0;
        } else {
            queue.copy_within(1.., 0);
            queue[usize::from(self.buffer) - 1] = NO_LABEL;
        }
        row
    }

    /// The steps from a configuration, each with the state that follows.
    ///
    /// # Errors
    /// The configuration is bad.
    pub fn steps(&self, row: &[u16]) -> Result<Vec<(Move, StateId)>, BadConfiguration> {
        let mut steps = vec![];
        let mut waiting = vec![];
        for role in self.roles() {
            match self.turn(row, role) {
                RoleTurn::Done => {}
                RoleTurn::Waits(wait) => waiting.push(wait),
                RoleTurn::Moves(moves) => steps.extend(moves),
                RoleTurn::Bad(bad) => return Err(bad),
            }
        }
        for (from, to) in self.edges() {
            let oldest = self.queue(row, (from, to))[0];
            if oldest != NO_LABEL && *self.state(row, to) == State::End {
                return Err(BadConfiguration::Orphan {
                    from,
                    to,
                    label: LabelId(oldest),
                });
            }
        }
        if steps.is_empty() && !waiting.is_empty() {
            return Err(BadConfiguration::Deadlock { waiting });
        }
        Ok(steps)
    }

    /// The first role that is about to send into a full buffer.
    pub fn waits_for_room(&self, row: &[u16]) -> Option<Waiting> {
        self.roles().find_map(|role| match self.turn(row, role) {
            RoleTurn::Waits(waiting) => Some(waiting).filter(|waiting| waiting.for_room),
            RoleTurn::Done | RoleTurn::Moves(_) | RoleTurn::Bad(_) => None,
        })
    }
}
