//! Code in basic blocks over virtual registers, and its layout as flat code with threaded jumps.

use std::collections::BTreeMap;

use antiphon_machine::LabelId;

use crate::flat::{FlatCode, FlatOp, Op, Vreg};
use crate::global::VarId;

/// The largest table of an exit that is copied in place of a jump to it. Copying larger tables
/// would make images grow.
const COPIED_ROWS_MAX: usize = 8;

/// How a block ends. Targets are block numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Exit {
    Halt,
    Jump(usize),
    Offer {
        selector: Vreg,
        arms: Vec<(LabelId, Vreg, usize)>,
    },
    Choose {
        dst: Vreg,
        table: Vec<(LabelId, usize)>,
    },
    Branch {
        cond: Vreg,
        table: Vec<(u64, usize)>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) ops: Vec<Op>,
    pub(super) exit: Exit,
}

/// A program in blocks. It starts at block 0.
pub(super) struct Code {
    pub(super) blocks: Vec<Block>,
    registers: u32,
    vars: BTreeMap<VarId, Vreg>,
}

impl Code {
    /// Creates code with `states` reserved blocks.
    pub(super) fn new(states: usize) -> Code {
        let mut code = Code {
            blocks: vec![],
            registers: 1,
            vars: BTreeMap::new(),
        };
        for _ in 0..states {
            code.reserve();
        }
        code
    }

    pub(super) fn fresh(&mut self) -> Vreg {
        self.registers += 1;
        Vreg(self.registers - 1)
    }

    pub(super) fn var(&mut self, var: VarId) -> Vreg {
        if let Some(known) = self.vars.get(&var) {
            return *known;
        }
        let fresh = self.fresh();
        self.vars.insert(var, fresh);
        fresh
    }

    pub(super) fn block(&mut self, block: Block) -> usize {
        self.blocks.push(block);
        self.blocks.len() - 1
    }

    /// Adds an empty block to be filled later.
    pub(super) fn reserve(&mut self) -> usize {
        self.block(Block {
            ops: vec![],
            exit: Exit::Halt,
        })
    }

    /// Lays the blocks out in chains, each block before its jump target where possible. Empty and
    /// unreachable blocks are left out.
    pub(super) fn flatten(self) -> FlatCode {
        let thread: Vec<usize> = (0..self.blocks.len())
            .map(|block| self.final_target(block))
            .collect();
        let order = self.order(&thread);
        let mut begin = vec![0; self.blocks.len()];
        let mut length = 0;
        for (index, block) in order.iter().enumerate() {
            begin[*block] = length;
            let falls = self.falls_through_to(*block, order.get(index + 1), &thread);
            length += self.blocks[*block].ops.len() + usize::from(!falls);
        }
        let mut code = Vec::with_capacity(length);
        let at = |block: usize| begin[thread[block]];
        for (index, block) in order.iter().enumerate() {
            let falls = self.falls_through_to(*block, order.get(index + 1), &thread);
            let Block { ops, exit } = &self.blocks[*block];
            code.extend(ops.iter().map(|op| flat_op(op, at)));
            if !falls {
                code.push(flat_exit(self.effective_exit(exit, &thread), at));
            }
        }
        debug_assert_eq!(code.len(), length);
        FlatCode {
            code,
            registers: self.registers,
            vars: self.vars,
        }
    }

    /// The block that a jump to `block` finally reaches, following empty blocks. A cycle of empty
    /// blocks ends within itself.
    fn final_target(&self, mut block: usize) -> usize {
        for _ in 0..self.blocks.len() {
            match &self.blocks[block] {
                Block {
                    ops,
                    exit: Exit::Jump(target),
                } if ops.is_empty() => block = *target,
                _ => break,
            }
        }
        block
    }

    /// The exit to emit. A jump to a block that consists only of an exit is replaced by a copy of
    /// that exit, which saves a step in every iteration.
    fn effective_exit<'c>(&'c self, exit: &'c Exit, thread: &[usize]) -> &'c Exit {
        let Exit::Jump(target) = exit else {
            return exit;
        };
        let Block { ops, exit: there } = &self.blocks[thread[*target]];
        let rows = match there {
            Exit::Halt => 0,
            Exit::Jump(_) => return exit,
            Exit::Offer { arms, .. } => arms.len(),
            Exit::Choose { table, .. } => table.len(),
            Exit::Branch { table, .. } => table.len(),
        };
        if ops.is_empty() && rows <= COPIED_ROWS_MAX {
            there
        } else {
            exit
        }
    }

    fn falls_through_to(&self, block: usize, next: Option<&usize>, thread: &[usize]) -> bool {
        matches!(self.blocks[block].exit, Exit::Jump(target) if Some(&thread[target]) == next)
    }

    fn order(&self, thread: &[usize]) -> Vec<usize> {
        let mut placed = vec![false; self.blocks.len()];
        let mut order = vec![];
        let mut waiting = vec![thread[0]];
        while let Some(block) = waiting.pop() {
            if std::mem::replace(&mut placed[block], true) {
                continue;
            }
            order.push(block);
            // The block pushed last is placed next: the jump's target, or the first arm.
            for target in self.blocks[block].targets().into_iter().rev() {
                waiting.push(thread[target]);
            }
        }
        order
    }
}

impl Block {
    /// The blocks that control can reach from this block, the continuation first.
    fn targets(&self) -> Vec<usize> {
        let mut targets = match &self.exit {
            Exit::Halt => vec![],
            Exit::Jump(target) => vec![*target],
            Exit::Offer { arms, .. } => arms.iter().map(|arm| arm.2).collect(),
            Exit::Choose { table, .. } => table.iter().map(|row| row.1).collect(),
            Exit::Branch { table, .. } => table.iter().map(|row| row.1).collect(),
        };
        for op in &self.ops {
            targets.extend(op.on_failure());
        }
        targets
    }
}

/// The instruction as flat code. `at` is the position of a block.
fn flat_op(op: &Op, at: impl Fn(usize) -> usize) -> FlatOp {
    let mut op = op.clone();
    match &mut op {
        Op::Invoke { on_failure, .. } | Op::Check { on_failure, .. } => {
            *on_failure = on_failure.map(at);
        }
        Op::Send { .. } | Op::Receive { .. } | Op::Set { .. } | Op::Move { .. } => {}
    }
    FlatOp::Op(op)
}

fn flat_exit(exit: &Exit, at: impl Fn(usize) -> usize) -> FlatOp {
    match exit {
        Exit::Halt => FlatOp::Halt,
        Exit::Jump(target) => FlatOp::Jump {
            target: at(*target),
        },
        Exit::Offer { selector, arms } => {
            let arms = arms
                .iter()
                .map(|(label, val, target)| (*label, *val, at(*target)));
            FlatOp::Offer {
                selector: *selector,
                arms: arms.collect(),
            }
        }
        Exit::Choose { dst, table } => {
            let table = table.iter().map(|(label, target)| (*label, at(*target)));
            FlatOp::Choose {
                dst: *dst,
                table: table.collect(),
            }
        }
        Exit::Branch { cond, table } => {
            let table = table.iter().map(|(number, target)| (*number, at(*target)));
            FlatOp::Branch {
                cond: *cond,
                table: table.collect(),
            }
        }
    }
}
