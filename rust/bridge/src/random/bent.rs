//! Images with random changes for verification: those of [`altered`](super::altered), and changes
//! of the tables that a step does not read.

use antiphon_machine::*;

use super::altered::alter;
use crate::coins::Coins;

/// The image with random changes, which depend on the seed alone. Most changed images are refused.
pub fn bent(image: &CodeImage, seed: u64) -> CodeImage {
    let mut image = image.clone();
    let coins = &mut Coins::new(seed);
    match coins.below(3) {
        0 => alter(&mut image, coins),
        1 => bend_code(&mut image, coins),
        _ => bend_table(&mut image, coins),
    }
    image
}

/// Changes an operand of one instruction, or exchanges two instructions.
fn bend_code(image: &mut CodeImage, coins: &mut Coins) {
    let row = coins.below(image.programs.len());
    let Some(program) = image.programs.get_mut(row) else {
        return;
    };
    let len = program.code.len();
    let (at, other) = (coins.below(len), coins.below(len));
    let target = Pc(coins.below(len + 1) as u32);
    let reg = Reg(coins.below(usize::from(program.registers) + 1) as u8);
    let small = coins.below(4);
    if coins.once_in(8) && len > 0 {
        program.code.swap(at, other);
        return;
    }
    let Some(instruction) = program.code.get_mut(at) else {
        return;
    };
    match instruction {
        Instruction::Send { label, val, .. } => match small {
            0 => label.0 = label.0.wrapping_add(1),
            _ => *val = reg,
        },
        Instruction::Receive { label, dst, .. } => match small {
            0 => label.0 = label.0.wrapping_add(1),
            _ => *dst = reg,
        },
        Instruction::Offer { selector, arms, .. } => bend_arms(selector, arms, reg, target, small),
        Instruction::Choose { table, .. } => bend_rows(table, target, small),
        Instruction::Invoke {
            args,
            dst,
            on_failure,
            ..
        } => match small {
            0 => args.push(reg),
            1 => *dst = reg,
            2 => *on_failure = Some(target),
            _ => *on_failure = None,
        },
        Instruction::Check {
            args,
            witness,
            on_failure,
            ..
        } => match small {
            0 => args.push(reg),
            1 => *witness = reg,
            _ => *on_failure = Some(target),
        },
        Instruction::Spawn { program, args, .. } => match small {
            0 => program.0 = 0,
            1 => args.push(Reg(0)),
            _ => program.0 = program.0.wrapping_add(1),
        },
        Instruction::Set { dst, value } => match small {
            0 => *dst = reg,
            1 => *value = Value::Endpoint(RoleId(0)),
            _ => *value = Value::Nat(small as u64),
        },
        Instruction::Move { src, dst } => match small {
            0 => *src = Reg(0),
            1 => *src = reg,
            _ => *dst = reg,
        },
        Instruction::Jump { target: old } => *old = target,
        Instruction::Branch { table, .. } => bend_rows(table, target, small),
        Instruction::Yield => *instruction = Instruction::Halt,
        Instruction::Close | Instruction::Halt => *instruction = Instruction::Yield,
    }
}

fn bend_arms(selector: &mut Reg, arms: &mut Vec<Arm>, reg: Reg, target: Pc, way: usize) {
    match (way, arms.first_mut()) {
        (0, _) | (_, None) => *selector = reg,
        (1, Some(arm)) => arm.target = target,
        (2, Some(arm)) => arm.label.0 = arm.label.0.wrapping_add(1),
        (_, Some(_)) => {
            arms.pop();
        }
    }
}

fn bend_rows<T: Clone>(rows: &mut Vec<(T, Pc)>, target: Pc, way: usize) {
    match (way, rows.first().cloned()) {
        (_, None) => {}
        (0, Some(row)) => rows.push(row),
        (1 | 2, Some(_)) => rows[0].1 = target,
        (_, Some(_)) => {
            rows.pop();
        }
    }
}

/// Changes a table: its names, its references, or its length.
fn bend_table(image: &mut CodeImage, coins: &mut Coins) {
    let row = coins.below(image.sorts.len());
    let sort = SortId(coins.below(image.sorts.len() + 1) as u16);
    match coins.below(12) {
        0 => repeat(&mut image.labels),
        1 => repeat(&mut image.interfaces),
        2 => repeat(&mut image.roles),
        3 => {
            image.labels.pop();
        }
        4 => image.roles.truncate(image.roles.len() / 2),
        5 => bend_sort(image.sorts.get_mut(row), sort),
        6 => image.sorts.truncate(row),
        7 => {
            if let Some(program) = image.programs.last_mut() {
                program.code.pop();
            }
        }
        8 => bend_states(image, coins),
        9 => {
            if let Some(operation) = image.operations.last_mut() {
                operation.interface = image.interfaces.len() as u16;
            }
        }
        10 => {
            if let Some(operation) = image.operations.first_mut() {
                operation.result = sort;
            }
        }
        _ => {
            if let Some(operation) = image.operations.last_mut() {
                operation.args.push(sort);
            }
        }
    }
}

/// Adds the first row once more, so that its name occurs twice.
fn repeat<T: Clone>(rows: &mut Vec<T>) {
    rows.extend(rows.first().cloned());
}

fn bend_sort(place: Option<&mut Sort>, to: SortId) {
    match place {
        Some(Sort::List(inner) | Sort::Option(inner)) => *inner = to,
        Some(Sort::Record { fields, .. }) => repeat(fields),
        Some(Sort::Enum { variants, .. }) => repeat(variants),
        Some(Sort::Arm(labels)) => {
            labels.pop();
        }
        Some(place) => *place = Sort::List(to),
        None => {}
    }
}

fn bend_states(image: &mut CodeImage, coins: &mut Coins) {
    let row = coins.below(image.roles.len());
    let Some(role) = image.roles.get_mut(row) else {
        return;
    };
    let states = &mut role.automaton.states;
    let at = coins.below(states.len());
    match states.get_mut(at) {
        Some(
            State::Send { to: peer, branches }
            | State::Recv {
                from: peer,
                branches,
            },
        ) => match coins.below(4) {
            0 => *peer = RoleId(row as u16),
            1 => branches.clear(),
            2 => repeat(branches),
            _ => {
                branches.pop();
            }
        },
        Some(State::End) | None => states.clear(),
    }
}
