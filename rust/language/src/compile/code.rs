//! Code over any number of registers, in blocks; and laid out flat, jumps threaded.

use std::collections::BTreeMap;

use antiphon_machine::{LabelId, OperationId, Value};

use crate::global::VarId;

/// Rows of an exit that is copied to where control would jump to it: more would make images grow.
const COPIED_ROWS_MAX: usize = 8;

/// A register before allocation; [`Vreg::ENDPOINT`] is the role's endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Vreg(pub(crate) u32);

impl Vreg {
    /// The register that every program starts with.
    pub(crate) const ENDPOINT: Vreg = Vreg(0);
}

/// An instruction that goes on with the next one, unless it fails.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Op {
    Send {
        label: LabelId,
        val: Vreg,
    },
    Receive {
        label: LabelId,
        dst: Vreg,
    },
    Invoke {
        operation: OperationId,
        args: Vec<Vreg>,
        dst: Vreg,
        on_failure: Option<usize>,
    },
    Check {
        operation: OperationId,
        args: Vec<Vreg>,
        dst: Vreg,
        witness: Vreg,
        on_failure: Option<usize>,
    },
    Set {
        dst: Vreg,
        value: Value,
    },
    Move {
        dst: Vreg,
        src: Vreg,
    },
}

/// How a block ends; targets are blocks.
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

/// A program in blocks; it starts at block 0.
pub(super) struct Code {
    pub(super) blocks: Vec<Block>,
    registers: u32,
    vars: BTreeMap<VarId, Vreg>,
}

/// An instruction of the flat code: the machine's, over registers before allocation. Targets are
/// positions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Flat {
    Send {
        label: LabelId,
        val: Vreg,
    },
    Receive {
        label: LabelId,
        dst: Vreg,
    },
    Offer {
        selector: Vreg,
        arms: Vec<(LabelId, Vreg, usize)>,
    },
    Choose {
        dst: Vreg,
        table: Vec<(LabelId, usize)>,
    },
    Invoke {
        operation: OperationId,
        args: Vec<Vreg>,
        dst: Vreg,
        on_failure: Option<usize>,
    },
    Check {
        operation: OperationId,
        args: Vec<Vreg>,
        dst: Vreg,
        witness: Vreg,
        on_failure: Option<usize>,
    },
    Set {
        dst: Vreg,
        value: Value,
    },
    Move {
        dst: Vreg,
        src: Vreg,
    },
    Jump {
        target: usize,
    },
    Branch {
        cond: Vreg,
        table: Vec<(u64, usize)>,
    },
    Halt,
}

/// Flat code and which names its registers hold.
pub(crate) struct FlatCode {
    pub(crate) code: Vec<Flat>,
    /// How many registers it uses.
    pub(crate) registers: u32,
    /// The register of each bound name.
    pub(crate) vars: BTreeMap<VarId, Vreg>,
}

impl Code {
    /// Code whose first `states` blocks are to be filled.
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

    /// A block that is filled later.
    pub(super) fn reserve(&mut self) -> usize {
        self.block(Block {
            ops: vec![],
            exit: Exit::Halt,
        })
    }

    /// Lays the blocks out in chains, each block before the one that it jumps to where it can be,
    /// and leaves out what is empty or cannot be reached.
    pub(super) fn flat(self) -> FlatCode {
        let thread: Vec<usize> = (0..self.blocks.len())
            .map(|block| self.threaded(block))
            .collect();
        let order = self.order(&thread);
        let mut begin = vec![0; self.blocks.len()];
        let mut length = 0;
        for (index, block) in order.iter().enumerate() {
            begin[*block] = length;
            let falls = self.falls_into(*block, order.get(index + 1), &thread);
            length += self.blocks[*block].ops.len() + usize::from(!falls);
        }
        let mut code = Vec::with_capacity(length);
        let at = |block: usize| begin[thread[block]];
        for (index, block) in order.iter().enumerate() {
            let falls = self.falls_into(*block, order.get(index + 1), &thread);
            let Block { ops, exit } = &self.blocks[*block];
            code.extend(ops.iter().map(|op| flat_op(op, at)));
            if !falls {
                code.push(flat_exit(self.taken(exit, &thread), at));
            }
        }
        debug_assert_eq!(code.len(), length);
        FlatCode {
            code,
            registers: self.registers,
            vars: self.vars,
        }
    }

    /// Where a jump to the block comes to in the end. Each empty block leads on; a ring of them
    /// leads nowhere else.
    fn threaded(&self, mut block: usize) -> usize {
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

    /// The exit itself, or in place of a jump to nothing but an exit a copy of that one: a step
    /// less in every round.
    fn taken<'c>(&'c self, exit: &'c Exit, thread: &[usize]) -> &'c Exit {
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

    fn falls_into(&self, block: usize, next: Option<&usize>, thread: &[usize]) -> bool {
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
            // What is pushed last comes next: the jump's target, or the first arm.
            for target in self.blocks[block].targets().into_iter().rev() {
                waiting.push(thread[target]);
            }
        }
        order
    }
}

impl Block {
    /// Where control goes from the block, the continuation first.
    fn targets(&self) -> Vec<usize> {
        let mut targets = match &self.exit {
            Exit::Halt => vec![],
            Exit::Jump(target) => vec![*target],
            Exit::Offer { arms, .. } => arms.iter().map(|arm| arm.2).collect(),
            Exit::Choose { table, .. } => table.iter().map(|row| row.1).collect(),
            Exit::Branch { table, .. } => table.iter().map(|row| row.1).collect(),
        };
        for op in &self.ops {
            match op {
                Op::Invoke { on_failure, .. } | Op::Check { on_failure, .. } => {
                    targets.extend(*on_failure);
                }
                Op::Send { .. } | Op::Receive { .. } | Op::Set { .. } | Op::Move { .. } => {}
            }
        }
        targets
    }
}

fn flat_op(op: &Op, at: impl Fn(usize) -> usize) -> Flat {
    match op.clone() {
        Op::Send { label, val } => Flat::Send { label, val },
        Op::Receive { label, dst } => Flat::Receive { label, dst },
        Op::Invoke {
            operation,
            args,
            dst,
            on_failure,
        } => Flat::Invoke {
            operation,
            args,
            dst,
            on_failure: on_failure.map(at),
        },
        Op::Check {
            operation,
            args,
            dst,
            witness,
            on_failure,
        } => Flat::Check {
            operation,
            args,
            dst,
            witness,
            on_failure: on_failure.map(at),
        },
        Op::Set { dst, value } => Flat::Set { dst, value },
        Op::Move { dst, src } => Flat::Move { dst, src },
    }
}

fn flat_exit(exit: &Exit, at: impl Fn(usize) -> usize) -> Flat {
    match exit {
        Exit::Halt => Flat::Halt,
        Exit::Jump(target) => Flat::Jump {
            target: at(*target),
        },
        Exit::Offer { selector, arms } => {
            let arms = arms
                .iter()
                .map(|(label, val, target)| (*label, *val, at(*target)));
            Flat::Offer {
                selector: *selector,
                arms: arms.collect(),
            }
        }
        Exit::Choose { dst, table } => {
            let table = table.iter().map(|(label, target)| (*label, at(*target)));
            Flat::Choose {
                dst: *dst,
                table: table.collect(),
            }
        }
        Exit::Branch { cond, table } => {
            let table = table.iter().map(|(number, target)| (*number, at(*target)));
            Flat::Branch {
                cond: *cond,
                table: table.collect(),
            }
        }
    }
}

impl Flat {
    /// The registers it reads. The endpoint is not among them: it is always there.
    pub(crate) fn uses(&self) -> Vec<Vreg> {
        match self {
            Flat::Send { val, .. } => vec![*val],
            Flat::Offer { selector, arms } => std::iter::once(*selector)
                .chain(arms.iter().map(|arm| arm.1))
                .collect(),
            Flat::Invoke { args, .. } | Flat::Check { args, .. } => args.clone(),
            Flat::Move { src, .. } => vec![*src],
            Flat::Branch { cond, .. } => vec![*cond],
            Flat::Receive { .. }
            | Flat::Choose { .. }
            | Flat::Set { .. }
            | Flat::Jump { .. }
            | Flat::Halt => vec![],
        }
    }

    /// The registers it writes.
    pub(crate) fn defs(&self) -> Vec<Vreg> {
        match self {
            Flat::Receive { dst, .. }
            | Flat::Choose { dst, .. }
            | Flat::Invoke { dst, .. }
            | Flat::Set { dst, .. }
            | Flat::Move { dst, .. } => vec![*dst],
            Flat::Check { dst, witness, .. } => vec![*dst, *witness],
            Flat::Send { .. }
            | Flat::Offer { .. }
            | Flat::Jump { .. }
            | Flat::Branch { .. }
            | Flat::Halt => vec![],
        }
    }

    /// Where control can go from position `at`.
    pub(crate) fn successors(&self, at: usize) -> Vec<usize> {
        match self {
            Flat::Send { .. } | Flat::Receive { .. } | Flat::Set { .. } | Flat::Move { .. } => {
                vec![at + 1]
            }
            Flat::Invoke { on_failure, .. } | Flat::Check { on_failure, .. } => {
                std::iter::once(at + 1).chain(*on_failure).collect()
            }
            Flat::Offer { arms, .. } => arms.iter().map(|arm| arm.2).collect(),
            Flat::Choose { table, .. } => table.iter().map(|row| row.1).collect(),
            Flat::Branch { table, .. } => table.iter().map(|row| row.1).collect(),
            Flat::Jump { target } => vec![*target],
            Flat::Halt => vec![],
        }
    }
}
