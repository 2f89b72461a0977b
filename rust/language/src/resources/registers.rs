//! Register allocation: liveness, interference and greedy colouring.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_machine::{Arm, Instruction, LabelId, Pc, Reg, bounds};

use crate::flat::{FlatCode, FlatOp, Op, Vreg};
use crate::global::VarId;

/// The registers available for anything except the endpoint.
const FREE: usize = bounds::REGISTERS_MAX as usize - 1;

/// A point of the code where too many registers are live.
pub(super) struct Pressure {
    /// The bound names among them.
    pub(super) names: Vec<VarId>,
    /// The number of registers needed, including the endpoint's.
    pub(super) needed: usize,
}

/// Allocates registers. Returns the number used and the machine's code.
pub(super) fn allocate(flat: &FlatCode) -> Result<(u8, Vec<Instruction>), Pressure> {
    let live = Live::of(flat)?;
    let colours = colour(flat, &live)?;
    let used = colours.iter().copied().max().unwrap_or(0) + 1;
    let reg = |register: Vreg| Reg(colours[register.0 as usize]);
    // A move between registers that were coalesced does nothing and is dropped. Jumps to it go to
    // the next instruction.
    let idle =
        |op: &FlatOp| matches!(op, FlatOp::Op(Op::Move { dst, src }) if reg(*dst) == reg(*src));
    let mut position = Vec::with_capacity(flat.code.len());
    let mut next = 0;
    for op in &flat.code {
        position.push(next);
        next += u32::from(!idle(op));
    }
    let pc = |target: usize| Pc(position[target]);
    let kept = flat.code.iter().filter(|op| !idle(op));
    Ok((used, kept.map(|op| instruction(op, reg, pc)).collect()))
}

/// The registers that are live before and after each instruction: at most [`FREE`], so the size is
/// linear in the code.
struct Live {
    before: Vec<Vec<Vreg>>,
    after: Vec<Vec<Vreg>>,
}

impl Live {
    fn of(flat: &FlatCode) -> Result<Live, Pressure> {
        let len = flat.code.len();
        let mut predecessors = vec![vec![]; len];
        for (at, op) in flat.code.iter().enumerate() {
            for next in op.successors(at) {
                predecessors[next].push(at);
            }
        }
        let mut live = Live {
            before: vec![vec![]; len],
            after: vec![vec![]; len],
        };
        for (at, op) in flat.code.iter().enumerate() {
            for register in op.uses() {
                live.backwards(flat, &predecessors, at, register)?;
            }
        }
        Ok(live)
    }

    /// Marks a register as live from a use back to its definitions.
    fn backwards(
        &mut self,
        flat: &FlatCode,
        predecessors: &[Vec<usize>],
        used_at: usize,
        register: Vreg,
    ) -> Result<(), Pressure> {
        let mut waiting = vec![used_at];
        while let Some(at) = waiting.pop() {
            if self.before[at].contains(&register) {
                continue;
            }
            self.before[at].push(register);
            check_pressure(flat, &self.before[at])?;
            for &earlier in &predecessors[at] {
                if !self.after[earlier].contains(&register) {
                    self.after[earlier].push(register);
                    check_pressure(flat, &self.after[earlier])?;
                }
                if !flat.code[earlier].defs().contains(&register) {
                    waiting.push(earlier);
                }
            }
        }
        Ok(())
    }
}

fn check_pressure(flat: &FlatCode, live: &[Vreg]) -> Result<(), Pressure> {
    if live.len() <= FREE {
        Ok(())
    } else {
        Err(pressure(flat, live))
    }
}

fn pressure(flat: &FlatCode, live: &[Vreg]) -> Pressure {
    let names = flat
        .vars
        .iter()
        .filter(|(_, register)| live.contains(register));
    Pressure {
        names: names.map(|(var, _)| *var).collect(),
        needed: live.len() + 1,
    }
}

/// The point with the most occupied registers: those that are read later, and those written there.
fn highest_pressure(flat: &FlatCode, live: &Live) -> Pressure {
    let occupied = flat.code.iter().zip(&live.after).map(|(op, after)| {
        let mut occupied = after.clone();
        occupied.extend(op.defs());
        occupied.sort_unstable();
        occupied.dedup();
        occupied
    });
    let most = occupied.max_by_key(Vec::len).unwrap_or_default();
    let found = pressure(flat, &most);
    // When the greedy colouring needs more registers than any single point does, report one more
    // than the machine has.
    Pressure {
        needed: found.needed.max(usize::from(bounds::REGISTERS_MAX) + 1),
        ..found
    }
}

/// Assigns a register number to each virtual register, in the order of first definition: the number
/// of the other side of a move when it is free, else the lowest free one.
fn colour(flat: &FlatCode, live: &Live) -> Result<Vec<u8>, Pressure> {
    let count = flat.registers as usize;
    let mut interference: Vec<BTreeSet<Vreg>> = vec![BTreeSet::new(); count];
    let mut moves: BTreeMap<Vreg, Vec<Vreg>> = BTreeMap::new();
    let mut interfere = |one: Vreg, two: Vreg| {
        if one != two {
            interference[one.0 as usize].insert(two);
            interference[two.0 as usize].insert(one);
        }
    };
    // Registers that are live on entry hold unit initially, each in a register of its own.
    let mut order: Vec<Vreg> = live.before.first().cloned().unwrap_or_default();
    for (index, one) in order.iter().enumerate() {
        order[..index].iter().for_each(|two| interfere(*one, *two));
    }
    for (op, after) in flat.code.iter().zip(&live.after) {
        let defs = op.defs();
        for &def in &defs {
            order.push(def);
            let copied =
                |other: &Vreg| matches!(op, FlatOp::Op(Op::Move { src, .. }) if src == other);
            after
                .iter()
                .filter(|other| !copied(other))
                .for_each(|other| interfere(def, *other));
            defs.iter().for_each(|other| interfere(def, *other));
        }
        if let FlatOp::Op(Op::Move { dst, src }) = op {
            moves.entry(*dst).or_default().push(*src);
            moves.entry(*src).or_default().push(*dst);
        }
    }
    let mut colours = vec![0; count];
    for register in order {
        if colours[register.0 as usize] != 0 {
            continue;
        }
        let others = &interference[register.0 as usize];
        let is_taken = |c: &u8| others.iter().any(|other| colours[other.0 as usize] == *c);
        let partners = moves.get(&register).into_iter().flatten();
        let preferred = partners
            .map(|other| colours[other.0 as usize])
            .filter(|c| *c != 0);
        let all = 1..bounds::REGISTERS_MAX;
        let Some(free) = preferred.chain(all).find(|c| !is_taken(c)) else {
            return Err(highest_pressure(flat, live));
        };
        colours[register.0 as usize] = free;
    }
    debug_assert_eq!(colours[Vreg::ENDPOINT.0 as usize], 0);
    Ok(colours)
}

fn instruction(op: &FlatOp, reg: impl Fn(Vreg) -> Reg, pc: impl Fn(usize) -> Pc) -> Instruction {
    let chan = reg(Vreg::ENDPOINT);
    let regs = |all: &[Vreg]| all.iter().map(|register| reg(*register)).collect();
    match op {
        FlatOp::Op(Op::Send { label, val }) => Instruction::Send {
            chan,
            label: *label,
            val: reg(*val),
        },
        FlatOp::Op(Op::Receive { label, dst }) => Instruction::Receive {
            chan,
            label: *label,
            dst: reg(*dst),
        },
        FlatOp::Offer { selector, arms } => Instruction::Offer {
            chan,
            selector: reg(*selector),
            arms: arms.iter().map(|arm| offer_arm(arm, &reg, &pc)).collect(),
        },
        FlatOp::Choose { dst, table } => Instruction::Choose {
            chan,
            dst: reg(*dst),
            table: jump_table(table, pc),
        },
        FlatOp::Op(Op::Invoke {
            operation,
            args,
            dst,
            on_failure,
        }) => Instruction::Invoke {
            operation: *operation,
            args: regs(args),
            dst: reg(*dst),
            on_failure: on_failure.map(pc),
        },
        FlatOp::Op(Op::Check {
            operation,
            args,
            dst,
            witness,
            on_failure,
        }) => Instruction::Check {
            operation: *operation,
            args: regs(args),
            dst: reg(*dst),
            witness: reg(*witness),
            on_failure: on_failure.map(pc),
        },
        FlatOp::Op(Op::Set { dst, value }) => Instruction::Set {
            dst: reg(*dst),
            value: value.clone(),
        },
        FlatOp::Op(Op::Move { dst, src }) => Instruction::Move {
            dst: reg(*dst),
            src: reg(*src),
        },
        FlatOp::Jump { target } => Instruction::Jump {
            target: pc(*target),
        },
        FlatOp::Branch { cond, table } => Instruction::Branch {
            cond: reg(*cond),
            table: jump_table(table, pc),
        },
        FlatOp::Halt => Instruction::Halt,
    }
}

fn offer_arm(
    (label, val, target): &(LabelId, Vreg, usize),
    reg: impl Fn(Vreg) -> Reg,
    pc: impl Fn(usize) -> Pc,
) -> Arm {
    Arm {
        label: *label,
        val: reg(*val),
        target: pc(*target),
    }
}

fn jump_table<K: Copy>(table: &[(K, usize)], pc: impl Fn(usize) -> Pc) -> Vec<(K, Pc)> {
    table
        .iter()
        .map(|(key, target)| (*key, pc(*target)))
        .collect()
}
