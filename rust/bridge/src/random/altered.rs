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

fn instruction(image: &CodeImage, coins: &mut Coins) -> Instruction {
    let operations = image.operations.len() + 1;
    let chan = Reg(if coins.below(5) > 0 { 0 } else { 3 });
    let (val, dst) = (reg(coins), reg(coins));
    let on_failure = coins.once_in(2).then(|| pc(coins));
    let operation = OperationId(coins.below(operations) as u16);
    match coins.below(14) {
        0 => Instruction::Send {
            chan,
            label: label(coins),
            val,
        },
        1 => Instruction::Receive {
            chan,
            label: label(coins),
            dst,
        },
        2 => {
            let arms = 0..coins.below(3);
            let arm = |_| Arm {
                label: label(coins),
                val: reg(coins),
                target: pc(coins),
            };
            let arms = arms.map(arm).collect();
            Instruction::Offer {
                chan,
                selector: val,
                arms,
            }
        }
        3 => {
            let rows = 0..coins.below(3);
            let table = rows.map(|_| (label(coins), pc(coins))).collect();
            Instruction::Choose { chan, dst, table }
        }
        4 => Instruction::Invoke {
            operation,
            args: regs(coins),
            dst,
            on_failure,
        },
        5 => Instruction::Check {
            operation,
            args: regs(coins),
            dst,
            witness: val,
            on_failure,
        },
        6 => Instruction::Spawn {
            program: ProgramId(coins.below(image.programs.len() + 1) as u16),
            args: regs(coins),
            dst,
        },
        7 => Instruction::Set {
            dst,
            value: values::any(coins, 2),
        },
        8 => Instruction::Move { dst, src: val },
        9 => Instruction::Jump { target: pc(coins) },
        10 => {
            let rows = 0..coins.below(3);
            let table = rows.map(|_| (coins.below(3) as u64, pc(coins))).collect();
            Instruction::Branch { cond: val, table }
        }
        11 => Instruction::Yield,
        12 => Instruction::Close,
        _ => Instruction::Halt,
    }
}
