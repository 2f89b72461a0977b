//! Small scope: every protocol of a few states, under every schedule to a depth.
//!
//! An automaton is *numbered* if every state is reachable from state 0, and the states are in the
//! order in which a breadth-first walk visits them. All payloads are units. Programs only walk
//! their automata; in a state with two labels, the program alternates between them.
//!
//! Exactly these protocols are enumerated:
//!
//! - `pairs`: roles A and B with every pair of numbered automata of at most 2 states and one label,
//!   matching or not; buffers of 1 and 2; up to 8 steps.
//! - `choices`: role A with every numbered automaton of at most 2 states and two labels, B with its
//!   dual; a buffer of 1; up to 6 steps.
//! - `chains`: role A with every numbered automaton of 3 or 4 states and one label, B with its
//!   dual; a buffer of 1; up to 10 steps.
//! - `triples`: roles A, B and C, where each sends one message to another role, receives one, or
//!   ends; a buffer of 1; up to 6 steps.
//!
//! A schedule is a sequence of picks, each of a ready coroutine. All schedules up to the depth are
//! followed, but a schedule stops when its machine has the same bytes as that of an earlier
//! schedule: the bytes are the whole state with the step index, so both continue in the same way.
//! There is a case for each schedule that stops so, that cannot be continued, or that reaches the
//! depth, and each case ends with a turn of the policy. Protocols use the four policies in
//! rotation: here, a policy does not decide the picks, only where it requeues the coroutine that
//! stepped.

use std::collections::BTreeSet;

use antiphon_machine::*;

use crate::case::{Action, Case};
use crate::script::Script;

/// A part of the small scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described above")]
pub enum Part {
    Pairs,
    Choices,
    Chains,
    Triples,
}

impl Part {
    /// Every part.
    pub const ALL: [Part; 4] = [Part::Pairs, Part::Choices, Part::Chains, Part::Triples];

    /// The protocols of the part, each as the automata of its roles.
    pub fn protocols(self) -> Vec<Vec<Automaton>> {
        match self {
            Part::Pairs => {
                let all: Vec<_> = (1..=2).flat_map(|len| numbered(len, 1)).collect();
                let pair =
                    |a: &Automaton| all.iter().map(|b| vec![a.clone(), mirrored(b)]).collect();
                all.iter().flat_map(|a| -> Vec<_> { pair(a) }).collect()
            }
            Part::Choices => with_duals((1..=2).flat_map(|len| numbered(len, 2))),
            Part::Chains => with_duals((3..=4).flat_map(|len| numbered(len, 1))),
            Part::Triples => triples(),
        }
    }

    /// The buffer sizes, and the most steps of a schedule.
    fn bounds(self) -> (&'static [u32], usize) {
        match self {
            Part::Pairs => (&[1, 2], 8),
            Part::Choices => (&[1], 6),
            Part::Chains => (&[1], 10),
            Part::Triples => (&[1], 6),
        }
    }

    /// Every case of the part.
    pub fn cases(self) -> Vec<Case> {
        let (buffers, depth) = self.bounds();
        let mut cases = Vec::new();
        for (n, automata) in self.protocols().into_iter().enumerate() {
            let image = image(&automata);
            for (m, buffer_len_max) in buffers.iter().copied().enumerate() {
                let config = ProtocolMachineConfig {
                    policy: SchedulingPolicy::ALL[(n + m) % 4],
                    buffer_len_max,
                    ..ProtocolMachineConfig::default()
                };
                let name = format!("{self:?} {n}, buffer {buffer_len_max}");
                let mut script = Script::new(name, [image.clone()], config);
                script.open();
                let mut tree = Tree {
                    visited: BTreeSet::new(),
                    cases: &mut cases,
                };
                tree.follow(&script, depth);
            }
        }
        cases
    }
}

/// The schedules of a protocol.
struct Tree<'c> {
    /// The states that an earlier schedule has reached.
    visited: BTreeSet<Vec<u8>>,
    cases: &'c mut Vec<Case>,
}

impl Tree<'_> {
    fn follow(&mut self, script: &Script, depth: usize) {
        let kernel = script.runner().kernel();
        let ready = kernel.ready();
        if depth == 0 || ready.is_empty() || !self.visited.insert(kernel.state_bytes()) {
            let mut script = script.clone();
            script.turns(1);
            return self.cases.push(script.case());
        }
        for pick in ready {
            let mut script = script.clone();
            script.act(Action::Pick(pick));
            self.follow(&script, depth - 1);
        }
    }
}

/// Every numbered automaton with `len` states and at most `labels` labels, whose peer is role 1.
fn numbered(len: u32, labels: u16) -> Vec<Automaton> {
    let peer = RoleId(1);
    let mut options = vec![State::End];
    for branches in branches(len, labels) {
        options.push(State::Send {
            to: peer,
            branches: branches.clone(),
        });
        options.push(State::Recv {
            from: peer,
            branches,
        });
    }
    let mut all: Vec<Vec<State>> = vec![vec![]];
    for _ in 0..len {
        let longer = |states: &Vec<State>| {
            let longer = options
                .iter()
                .map(|state| [&states[..], std::slice::from_ref(state)].concat());
            longer.collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all.retain(|states| is_numbered(states));
    all.into_iter().map(|states| Automaton { states }).collect()
}

/// Every non-empty set of labels, with every choice of their next states.
fn branches(len: u32, labels: u16) -> Vec<Vec<Transition>> {
    let mut all: Vec<Vec<Transition>> = vec![vec![]];
    for label in 0..labels {
        let with = |branches: &Vec<Transition>| {
            let go = |next| {
                let next = Transition {
                    label: LabelId(label),
                    sort: SortId(0),
                    next: StateId(next),
                };
                [&branches[..], &[next]].concat()
            };
            let mut longer: Vec<_> = (0..len).map(go).collect();
            longer.push(branches.clone());
            longer
        };
        all = all.iter().flat_map(with).collect();
    }
    all.retain(|branches| !branches.is_empty());
    all
}

/// Whether a breadth-first walk from state 0 visits all states, in the order of their numbers.
fn is_numbered(states: &[State]) -> bool {
    let mut visited: Vec<u32> = vec![0];
    let mut at = 0;
    while let Some(state) = visited.get(at).and_then(|n| states.get(*n as usize)) {
        if let State::Send { branches, .. } | State::Recv { branches, .. } = state {
            for branch in branches {
                if !visited.contains(&branch.next.0) {
                    visited.push(branch.next.0);
                }
            }
        }
        at += 1;
    }
    visited.len() == states.len() && visited.is_sorted()
}

/// The automaton with role 0 as its peer.
fn mirrored(automaton: &Automaton) -> Automaton {
    let mut automaton = automaton.clone();
    for state in &mut automaton.states {
        if let State::Send { to: peer, .. } | State::Recv { from: peer, .. } = state {
            *peer = RoleId(0);
        }
    }
    automaton
}

fn with_duals(automata: impl Iterator<Item = Automaton>) -> Vec<Vec<Automaton>> {
    let dual = |automaton: &Automaton| {
        let states = automaton.states.iter().cloned().map(|state| match state {
            State::End => State::End,
            State::Send { branches, .. } => State::Recv {
                from: RoleId(0),
                branches,
            },
            State::Recv { branches, .. } => State::Send {
                to: RoleId(0),
                branches,
            },
        });
        Automaton {
            states: states.collect(),
        }
    };
    automata
        .map(|automaton| vec![automaton.clone(), dual(&automaton)])
        .collect()
}

fn triples() -> Vec<Vec<Automaton>> {
    let branches = || {
        vec![Transition {
            label: LabelId(0),
            sort: SortId(0),
            next: StateId(1),
        }]
    };
    let options = |role: u16| {
        let mut options = vec![vec![State::End]];
        for peer in (0..3).filter(|peer| *peer != role).map(RoleId) {
            let send = State::Send {
                to: peer,
                branches: branches(),
            };
            options.push(vec![send, State::End]);
            let receive = State::Recv {
                from: peer,
                branches: branches(),
            };
            options.push(vec![receive, State::End]);
        }
        options
            .into_iter()
            .map(|states| Automaton { states })
            .collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for a in options(0) {
        for b in options(1) {
            all.extend(
                options(2)
                    .into_iter()
                    .map(|c| vec![a.clone(), b.clone(), c]),
            );
        }
    }
    all
}

/// An image with a role for each automaton, and a program that walks it.
fn image(automata: &[Automaton]) -> CodeImage {
    let names = ["A", "B", "C"];
    let role = |(name, automaton): (&&str, &Automaton)| Role {
        name: (*name).to_owned(),
        automaton: automaton.clone(),
    };
    let program = |(name, automaton): (&&str, &Automaton)| Program {
        name: (*name).to_owned(),
        registers: 3,
        code: code(automaton),
    };
    CodeImage {
        name: "scope".to_owned(),
        version: 1,
        roles: names.iter().zip(automata).map(role).collect(),
        labels: ["x", "y"].map(str::to_owned).to_vec(),
        sorts: vec![Sort::Unit],
        interfaces: vec![],
        operations: vec![],
        programs: names.iter().zip(automata).map(program).collect(),
    }
}

const CHAN: Reg = Reg(0);
const VAL: Reg = Reg(1);
/// Holds the next label to send, if there are two.
const SELECTOR: Reg = Reg(2);

/// A block of code for each state. Jumps first hold the number of a state, and then the position of
/// its block.
fn code(automaton: &Automaton) -> Vec<Instruction> {
    let mut blocks = Vec::new();
    let chooses =
        |state: &State| matches!(state, State::Send { branches, .. } if branches.len() > 1);
    let mut code = Vec::new();
    if automaton.states.iter().any(chooses) {
        code.push(select(0));
    }
    for state in &automaton.states {
        blocks.push(code.len() as u32);
        let start = code.len() as u32;
        match state {
            State::End => code.push(Instruction::Halt),
            State::Send { branches, .. } => match &branches[..] {
                [only] => {
                    code.push(Instruction::Send {
                        chan: CHAN,
                        label: only.label,
                        val: VAL,
                    });
                    code.push(jump(only.next));
                }
                _ => {
                    let arm = |(n, branch): (u32, &Transition)| Arm {
                        label: branch.label,
                        val: VAL,
                        target: Pc(start + 1 + 2 * n),
                    };
                    code.push(Instruction::Offer {
                        chan: CHAN,
                        selector: SELECTOR,
                        arms: (0u32..).zip(branches).map(arm).collect(),
                    });
                    for branch in branches {
                        code.extend([select(1 - u64::from(branch.label.0)), jump(branch.next)]);
                    }
                }
            },
            State::Recv { branches, .. } => {
                let row = |(n, branch): (u32, &Transition)| (branch.label, Pc(start + 1 + n));
                let table = (0u32..).zip(branches).map(row).collect();
                match &branches[..] {
                    [only] => code.push(Instruction::Receive {
                        chan: CHAN,
                        label: only.label,
                        dst: VAL,
                    }),
                    _ => code.push(Instruction::Choose {
                        chan: CHAN,
                        dst: VAL,
                        table,
                    }),
                }
                code.extend(branches.iter().map(|branch| jump(branch.next)));
            }
        }
    }
    for instruction in &mut code {
        if let Instruction::Jump { target } = instruction {
            target.0 = blocks[target.index()];
        }
    }
    code
}

fn jump(next: StateId) -> Instruction {
    Instruction::Jump { target: Pc(next.0) }
}

fn select(label: u64) -> Instruction {
    Instruction::Set {
        dst: SELECTOR,
        value: Value::Nat(label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counts are pinned, so that a change to the enumeration is noticed.
    #[test]
    fn the_numbers_of_protocols_and_cases_are_pinned() {
        let counts = Part::ALL.map(|part| (part.protocols().len(), part.cases().len()));
        let expected = [(169, 7_606), (177, 3_644), (100, 5_644), (125, 5_706)];
        assert_eq!(counts, expected);
    }
}
