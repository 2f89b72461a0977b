//! Valid images with random changes to instructions, automata and tables, so that steps meet
//! conditions that verification excludes.

use antiphon_machine::*;

use super::values;
use crate::coins::Coins;

/// Changes an image in one to four places.
pub(super) fn alter(image: &mut CodeImage, coins: &mut Coins) {
    for _ in 0..1 + coins.below(4) {
        match coins.below(8) {
            0..=3 => alter_code(image, coins),
            4 | 5 => alter_automaton(image, coins),
            6 => alter_operation(image, coins),
            _ => alter_table(image, coins),
        }
    }
}

fn alter_code(image: &mut CodeImage, coins: &mut Coins) {
    let row = coins.below(image.programs.len());
    let new = instruction(image, coins);
    let Some(program) = image.programs.get_mut(row) else {
        return;
    };
    let at = coins.below(program.code.len());
    match program.code.get_mut(at) {
        Some(place) if coins.below(5) > 0 => *place = new,
        _ => program.code.insert(at, new),
    }
}

fn alter_automaton(image: &mut CodeImage, coins: &mut Coins) {
    let row = coins.below(image.roles.len());
    let Some(role) = image.roles.get_mut(row) else {
        return;
    };
    let states = &mut role.automaton.states;
    let at = coins.below(states.len());
    let next = StateId(coins.below(states.len() + 1) as u32);
    let (label, sort, peer) = (label(coins), SortId(coins.below(14) as u16), role_id(coins));
    match states.get_mut(at) {
        None => states.push(State::End),
        Some(state) if coins.once_in(6) => *state = State::End,
        Some(State::End) => {
            let branches = vec![Transition { label, sort, next }];
            states[at] = State::Send { to: peer, branches };
        }
        Some(State::Send { to, branches } | State::Recv { from: to, branches }) => {
            match coins.below(4) {
                0 => *to = peer,
                1 => branches.push(Transition { label, sort, next }),
                _ => {
                    let at = coins.below(branches.len());
                    if let Some(branch) = branches.get_mut(at) {
                        match coins.below(3) {
                            0 => branch.label = label,
                            1 => branch.sort = sort,
                            _ => branch.next = next,
                        }
                    }
                }
            }
        }
    }
}

fn alter_operation(image: &mut CodeImage, coins: &mut Coins) {
    let row = coins.below(image.operations.len());
    let sort = SortId(coins.below(14) as u16);
    let Some(operation) = image.operations.get_mut(row) else {
        return;
    };
    match coins.below(4) {
        0 => operation.class = Class::Check,
        1 => operation.result = sort,
        2 => operation.args.push(sort),
        _ => operation.class = Class::Command,
    }
}

fn alter_table(image: &mut CodeImage, coins: &mut Coins) {
    match coins.below(4) {
        0 => {
            image.programs.pop();
        }
        1 => {
            image.operations.pop();
        }
        2 => {
            image.sorts.pop();
        }
        _ => {
            let row = coins.below(image.programs.len());
            if let Some(program) = image.programs.get_mut(row) {
                program.registers = coins.below(4) as u8;
            }
        }
    }
}

fn label(coins: &mut Coins) -> LabelId {
    LabelId(coins.below(5) as u16)
}

fn role_id(coins: &mut Coins) -> RoleId {
    RoleId(coins.below(5) as u16)
}

fn reg(coins: &mut Coins) -> Reg {
    Reg(coins.below(7) as u8)
}

fn regs(coins: &mut Coins) -> Vec<Reg> {
    (0..coins.below(3)).map(|_| reg(coins)).collect()
}

fn pc(coins: &mut Coins) -> Pc {
    Pc(coins.below(24) as u32)
}

/// The operands of a random instruction.
struct Operands<'c> {
    coins: &'c mut Coins,
    programs: usize,
    chan: Reg,
    val: Reg,
    dst: Reg,
    on_failure: Option<Pc>,
    operation: OperationId,
    has_written: bool,
}

impl OperandSource for Operands<'_> {
    fn endpoint(&mut self) -> Reg {
        self.chan
    }
    fn read(&mut self) -> Reg {
        self.val
    }
    fn write(&mut self) -> Reg {
        if std::mem::replace(&mut self.has_written, true) {
            self.val
        } else {
            self.dst
        }
    }
    fn arguments(&mut self) -> Vec<Reg> {
        regs(self.coins)
    }
    fn label(&mut self) -> LabelId {
        label(self.coins)
    }
    fn operation(&mut self) -> OperationId {
        self.operation
    }
    fn program(&mut self) -> ProgramId {
        ProgramId(self.coins.below(self.programs + 1) as u16)
    }
    fn constant(&mut self) -> Value {
        values::any(self.coins, 2)
    }
    fn target(&mut self) -> Pc {
        pc(self.coins)
    }
    fn failure(&mut self) -> Option<Pc> {
        self.on_failure
    }
    fn arms(&mut self) -> Vec<Arm> {
        let arm = |coins: &mut Coins| Arm {
            label: label(coins),
            val: reg(coins),
            target: pc(coins),
        };
        (0..self.coins.below(3)).map(|_| arm(self.coins)).collect()
    }
    fn labels(&mut self) -> Vec<(LabelId, Pc)> {
        let row = |coins: &mut Coins| (label(coins), pc(coins));
        (0..self.coins.below(3)).map(|_| row(self.coins)).collect()
    }
    fn numbers(&mut self) -> Vec<(u64, Pc)> {
        let row = |coins: &mut Coins| (coins.below(3) as u64, pc(coins));
        (0..self.coins.below(3)).map(|_| row(self.coins)).collect()
    }
}

fn instruction(image: &CodeImage, coins: &mut Coins) -> Instruction {
    let chan = Reg(if coins.below(5) > 0 { 0 } else { 3 });
    let (val, dst) = (reg(coins), reg(coins));
    let on_failure = coins.once_in(2).then(|| pc(coins));
    let operation = OperationId(coins.below(image.operations.len() + 1) as u16);
    let number = coins.below(Instruction::NAMES.len());
    let mut operands = Operands {
        coins,
        programs: image.programs.len(),
        chan,
        val,
        dst,
        on_failure,
        operation,
        has_written: false,
    };
    Instruction::from_operands(number, &mut operands).unwrap_or(Instruction::Halt)
}
