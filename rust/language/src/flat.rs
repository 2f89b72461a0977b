//! Flat code: a role's program over virtual registers, between compilation and register allocation.

use std::collections::BTreeMap;

use antiphon_machine::{LabelId, OperationId, Value};

use crate::global::VarId;

/// A virtual register. [`Vreg::ENDPOINT`] holds the role's endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Vreg(pub(crate) u32);

impl Vreg {
    /// The register that holds the endpoint when a program starts.
    pub(crate) const ENDPOINT: Vreg = Vreg(0);
}

/// An instruction that continues with the next one unless it fails. The target of a failure is a
/// block number before the code is laid out, and a position afterwards.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
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

impl Op {
    /// The registers it reads, without the endpoint, which is always live.
    fn uses(&self) -> Vec<Vreg> {
        match self {
            Op::Send { val, .. } => vec![*val],
            Op::Invoke { args, .. } | Op::Check { args, .. } => args.clone(),
            Op::Move { src, .. } => vec![*src],
            Op::Receive { .. } | Op::Set { .. } => vec![],
        }
    }

    /// The registers it writes.
    fn defs(&self) -> Vec<Vreg> {
        match self {
            Op::Receive { dst, .. }
            | Op::Invoke { dst, .. }
            | Op::Set { dst, .. }
            | Op::Move { dst, .. } => vec![*dst],
            Op::Check { dst, witness, .. } => vec![*dst, *witness],
            Op::Send { .. } => vec![],
        }
    }

    /// Where it continues if it fails.
    pub(crate) fn on_failure(&self) -> Option<usize> {
        match self {
            Op::Invoke { on_failure, .. } | Op::Check { on_failure, .. } => *on_failure,
            Op::Send { .. } | Op::Receive { .. } | Op::Set { .. } | Op::Move { .. } => None,
        }
    }
}

/// An instruction of the flat code: the machine's instruction over virtual registers. Targets are
/// positions in the code.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FlatOp {
    Op(Op),
    Offer {
        selector: Vreg,
        arms: Vec<(LabelId, Vreg, usize)>,
    },
    Choose {
        dst: Vreg,
        table: Vec<(LabelId, usize)>,
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

impl FlatOp {
    /// The registers it reads, without the endpoint, which is always live.
    pub(crate) fn uses(&self) -> Vec<Vreg> {
        match self {
            FlatOp::Op(op) => op.uses(),
            FlatOp::Offer { selector, arms } => std::iter::once(*selector)
                .chain(arms.iter().map(|arm| arm.1))
                .collect(),
            FlatOp::Branch { cond, .. } => vec![*cond],
            FlatOp::Choose { .. } | FlatOp::Jump { .. } | FlatOp::Halt => vec![],
        }
    }

    /// The registers it writes.
    pub(crate) fn defs(&self) -> Vec<Vreg> {
        match self {
            FlatOp::Op(op) => op.defs(),
            FlatOp::Choose { dst, .. } => vec![*dst],
            FlatOp::Offer { .. } | FlatOp::Jump { .. } | FlatOp::Branch { .. } | FlatOp::Halt => {
                vec![]
            }
        }
    }

    /// The positions that control can reach from position `at`.
    pub(crate) fn successors(&self, at: usize) -> Vec<usize> {
        match self {
            FlatOp::Op(op) => std::iter::once(at + 1).chain(op.on_failure()).collect(),
            FlatOp::Offer { arms, .. } => arms.iter().map(|arm| arm.2).collect(),
            FlatOp::Choose { table, .. } => table.iter().map(|row| row.1).collect(),
            FlatOp::Branch { table, .. } => table.iter().map(|row| row.1).collect(),
            FlatOp::Jump { target } => vec![*target],
            FlatOp::Halt => vec![],
        }
    }
}

/// Flat code with the registers of its bound names.
pub(crate) struct FlatCode {
    pub(crate) code: Vec<FlatOp>,
    /// The number of registers used.
    pub(crate) registers: u32,
    /// The register of each bound name.
    pub(crate) vars: BTreeMap<VarId, Vreg>,
}
