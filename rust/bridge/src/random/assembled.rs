//! Images assembled at random: a graph of messages between roles, the roles' automata derived from
//! it, and for each a program that walks the automaton, with other instructions in between.

use antiphon_machine::*;

use super::values;
use crate::coins::Coins;
use crate::hand::build::{self, op, sort};

/// A global state: one role sends one of several labels to another.
struct Scene {
    from: usize,
    to: usize,
    branches: Vec<SceneBranch>,
    /// Whether the label is also sent to the third role, if there is one.
    copied: bool,
}

#[derive(Clone, Copy)]
struct SceneBranch {
    label: LabelId,
    sort: SortId,
    /// The index of the next scene; the end is one past the last.
    next: usize,
}

/// An image that verifies, by construction.
pub(super) fn image(coins: &mut Coins) -> CodeImage {
    let roles = 2 + coins.below(2);
    let scenes = scenes(roles, coins);
    let mut image = build::image(vec![]);
    image.name = "assembled".to_owned();
    // A child that every role may spawn: it issues an effect and halts.
    let child = vec![
        build::set(1, 3u64),
        build::invoke(op::SOON, &[1], 1, Some(3)),
        build::YIELD,
        build::HALT,
    ];
    for role in 0..roles {
        let name = char::from(b'A' + role as u8).to_string();
        let automaton = automaton(&scenes, roles, role);
        let writer = ProgramWriter {
            image: &mut image,
            coins,
            code: Vec::new(),
            blocks: Vec::new(),
            child: roles as u16,
        };
        let code = writer.write(&automaton);
        let (role, program) = build::role(&name, REGISTERS, code, automaton.states);
        image.programs.push(program);
        image.roles.push(role);
    }
    build::with_child(image, 2, child)
}

/// Registers of a role's program: the channel, a payload, a selector, and three that are free.
const REGISTERS: u8 = 6;
const VAL: u8 = 1;
const SELECTOR: u8 = 2;

/// The sorts of messages.
const SORTS: [SortId; 10] = [
    sort::UNIT,
    sort::BOOL,
    sort::NAT,
    sort::INT,
    sort::TEXT,
    sort::BYTES,
    sort::NATS,
    sort::MAYBE,
    sort::DEEP,
    sort::FOREIGN,
];

fn scenes(roles: usize, coins: &mut Coins) -> Vec<Scene> {
    let count = 1 + coins.below(4);
    let scene = |at: usize, coins: &mut Coins| {
        let from = coins.below(roles);
        let to = (from + 1 + coins.below(roles - 1)) % roles;
        let width = 1 + coins.below(3);
        let mut is_plain = width == 1;
        let mut line = |n: usize, coins: &mut Coins| {
            // The last branch goes forward, so that the end is reachable; others may go back.
            let back = n + 1 < width && coins.once_in(2);
            is_plain &= !back;
            let ahead = at + 1 + coins.below(count - at);
            SceneBranch {
                label: LabelId(n as u16),
                sort: SORTS[coins.below(SORTS.len())],
                next: if back { coins.below(at + 1) } else { ahead },
            }
        };
        let branches = (0..width).map(|n| line(n, coins)).collect();
        Scene {
            from,
            to,
            branches,
            copied: !is_plain || coins.once_in(2),
        }
    };
    (0..count).map(|at| scene(at, coins)).collect()
}

/// The meaning of a role's state: a scene that it takes part in, the end, or a label that it must
/// still send to the third role.
#[derive(Clone, Copy, PartialEq)]
enum Point {
    Scene(usize),
    Copy(usize, usize),
}

/// The automaton of a role, derived from the scenes.
fn automaton(scenes: &[Scene], roles: usize, role: usize) -> Automaton {
    // A scene without the role is skipped; it has one branch, which goes forward.
    let resolve = |mut at: usize| {
        while let Some(scene) = scenes.get(at) {
            if scene.from == role || scene.to == role || scene.copied {
                break;
            }
            at = scene
                .branches
                .first()
                .map_or(scenes.len(), |line| line.next);
        }
        Point::Scene(at)
    };
    let id = |role: usize| RoleId(role as u16);
    let mut points = vec![resolve(0)];
    let mut states = Vec::new();
    while let Some(point) = points.get(states.len()).copied() {
        let mut go = |label, sort, point: Point| {
            let found = points.iter().position(|known| *known == point);
            let row = found.unwrap_or_else(|| {
                points.push(point);
                points.len() - 1
            });
            build::go(label, sort, row as u32)
        };
        let at = match point {
            Point::Scene(at) | Point::Copy(at, _) => at,
        };
        let Some(scene) = scenes.get(at) else {
            states.push(State::End);
            continue;
        };
        let copies = roles == 3 && scene.copied && scene.from == role;
        let is_third = scene.from != role && scene.to != role;
        let branch = |(n, line): (usize, &SceneBranch)| {
            if copies {
                go(line.label, line.sort, Point::Copy(at, n))
            } else if is_third {
                go(line.label, sort::UNIT, resolve(line.next))
            } else {
                go(line.label, line.sort, resolve(line.next))
            }
        };
        states.push(match point {
            Point::Copy(_, n) => {
                let line = scene.branches[n];
                let third = id(3 - scene.from - scene.to);
                build::to(third, [go(line.label, sort::UNIT, resolve(line.next))])
            }
            Point::Scene(_) => {
                let branches = scene.branches.iter().enumerate().map(branch);
                if scene.from == role {
                    build::to(id(scene.to), branches)
                } else {
                    build::from(id(scene.from), branches)
                }
            }
        });
    }
    Automaton { states }
}

/// Stands for the position of a state's block while it is unknown: `BLOCK` plus the state's number.
const BLOCK: u32 = 1 << 24;

/// Writes a role's program: a block for each state of its automaton.
struct ProgramWriter<'a> {
    image: &'a mut CodeImage,
    coins: &'a mut Coins,
    code: Vec<Instruction>,
    /// Where each state's block starts.
    blocks: Vec<u32>,
    /// The program of a child that the role may spawn.
    child: u16,
}

impl ProgramWriter<'_> {
    fn write(mut self, automaton: &Automaton) -> Vec<Instruction> {
        for (row, state) in (0u32..).zip(&automaton.states) {
            self.blocks.push(self.here());
            for _ in 0..self.coins.below(3) {
                self.other_instruction();
            }
            match state {
                State::End if self.coins.once_in(12) => self.code.push(Instruction::Close),
                State::End => self.code.push(Instruction::Halt),
                State::Send { to, branches } => self.send(*to, row, branches),
                State::Recv { branches, .. } => self.receive(branches),
            }
        }
        let blocks = self.blocks;
        for instruction in &mut self.code {
            resolve(instruction, &blocks);
        }
        self.code
    }

    fn here(&self) -> u32 {
        self.code.len() as u32
    }

    fn send(&mut self, to: RoleId, row: u32, branches: &[Transition]) {
        if let [only] = branches {
            self.payload(only.sort, row);
            if self.coins.once_in(3) {
                self.code
                    .push(build::set(SELECTOR, u64::from(only.label.0)));
                return self.offer(only);
            }
            self.code.push(build::send(only.label, VAL));
            return self.code.push(build::jump(BLOCK + only.next.0));
        }
        let operation = self.decide(to, branches);
        let again = Some(BLOCK + row).filter(|_| self.coins.once_in(2));
        self.code
            .push(build::invoke(operation, &[], SELECTOR, again));
        let at = self.code.len();
        self.code.push(Instruction::Yield);
        let mut table = Vec::new();
        for branch in branches {
            table.push((u64::from(branch.label.0), self.here()));
            self.payload(branch.sort, row);
            self.offer(branch);
        }
        self.code[at] = build::branch(SELECTOR, &table);
    }

    fn offer(&mut self, branch: &Transition) {
        let arm = (branch.label, VAL, BLOCK + branch.next.0);
        self.code.push(build::offer(SELECTOR, &[arm]));
    }

    /// Adds an operation that decides among the labels, and returns its row.
    fn decide(&mut self, peer: RoleId, branches: &[Transition]) -> u16 {
        let labels: Vec<LabelId> = branches.iter().map(|branch| branch.label).collect();
        let row = self.image.operations.len() as u16;
        let result = SortId(self.image.sorts.len() as u16);
        self.image.sorts.push(Sort::Arm(labels.clone()));
        let class = Class::Decide { labels, peer };
        self.image.operations.push(Operation {
            budget: self.coins.once_in(4).then_some(7),
            retries: self.coins.below(2) as u8,
            ..build::operation(&format!("decide{row}"), class, &[], result)
        });
        row
    }

    /// Writes a payload to its register: a constant or the result of an operation. If the operation
    /// fails, the program may restart the block.
    fn payload(&mut self, sort: SortId, row: u32) {
        if self.coins.once_in(2) {
            let value = values::of_sort(sort, &self.image.sorts, self.coins);
            return self.code.push(build::set(VAL, value));
        }
        let again = Some(BLOCK + row).filter(|_| self.coins.once_in(2));
        self.code
            .push(build::invoke(op::GIVE + sort.0, &[], VAL, again));
    }

    fn receive(&mut self, branches: &[Transition]) {
        if let [only] = branches
            && self.coins.once_in(2)
        {
            self.code.push(build::receive(only.label, VAL));
            return self.finish(only);
        }
        let at = self.code.len();
        self.code.push(Instruction::Yield);
        let mut table = Vec::new();
        for branch in branches {
            table.push((branch.label, self.here()));
            self.finish(branch);
        }
        self.code[at] = build::choose(VAL, &table);
    }

    /// Ends a receive: sometimes an effect, then the jump to the next block.
    fn finish(&mut self, branch: &Transition) {
        if self.coins.once_in(3) {
            self.code.push(build::invoke(op::LOOK, &[], 4, None));
        }
        self.code.push(build::jump(BLOCK + branch.next.0));
    }

    /// An instruction that does not belong to the protocol.
    fn other_instruction(&mut self) {
        let coins = &mut *self.coins;
        match coins.below(9) {
            0 | 1 => self.code.push(Instruction::Yield),
            2 => {
                let sort = SORTS[coins.below(SORTS.len())];
                let value = values::of_sort(sort, &self.image.sorts, coins);
                self.code.push(build::set(3, value));
            }
            3 => self.code.push(build::mov(4, 3)),
            4 => {
                let on = coins.once_in(2);
                self.code.push(build::set(3, on));
                let next = self.here() + 1;
                self.code.push(build::branch(3, &[(0, next), (1, next)]));
            }
            5 if coins.once_in(2) => self.code.push(build::spawn(self.child, &[], 4)),
            n => {
                let number = coins.below(9) as u64;
                let operations = [op::DO, op::SOON, op::AGAIN, op::PROVE, op::PROVE_SOON];
                let operation = operations[coins.below(5)];
                let is_check = matches!(operation, op::PROVE | op::PROVE_SOON);
                self.code.push(build::set(3, number));
                let on_failure = (n != 6).then(|| self.here() + 1);
                self.code.push(if is_check {
                    build::check(operation, &[3], 4, 5, on_failure)
                } else {
                    build::invoke(operation, &[3], 4, on_failure)
                });
            }
        }
    }
}

/// Replaces the numbers of blocks by their positions.
fn resolve(instruction: &mut Instruction, blocks: &[u32]) {
    let place = |pc: &mut Pc| {
        if let Some(row) = pc.0.checked_sub(BLOCK) {
            pc.0 = blocks[row as usize];
        }
    };
    match instruction {
        Instruction::Jump { target } => place(target),
        Instruction::Offer { arms, .. } => arms.iter_mut().for_each(|arm| place(&mut arm.target)),
        Instruction::Invoke { on_failure, .. } | Instruction::Check { on_failure, .. } => {
            on_failure.iter_mut().for_each(place);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_verifies() {
        for seed in 0..400 {
            let image = image(&mut Coins::new(seed));
            if let Err(error) = image.clone().verify() {
                panic!("seed {seed}: {error}\n{image:#?}");
            }
        }
    }
}
