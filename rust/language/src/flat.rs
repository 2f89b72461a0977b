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

/// An instruction of the flat code: the machine's instruction over virtual registers. Targets are
/// positions in the code.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FlatOp {
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

impl FlatOp {
    /// The registers it reads, without the endpoint, which is always live.
    pub(crate) fn uses(&self) -> Vec<Vreg> {
        match self {
            FlatOp::Send { val, .. } => vec![*val],
            FlatOp::Offer { selector, arms } => std::iter::once(*selector)
                .chain(arms.iter().map(|arm| arm.1))
                .collect(),
            FlatOp::Invoke { args, .. } | FlatOp::Check { args, .. } => args.clone(),
            FlatOp::Move { src, .. } => vec![*src],
            FlatOp::Branch { cond, .. } => vec![*cond],
            FlatOp::Receive { .. }
            | FlatOp::Choose { .. }
            | FlatOp::Set { .. }
            | FlatOp::Jump { .. }
            | FlatOp::Halt => vec![],
        }
    }

    /// The registers it writes.
    pub(crate) fn defs(&self) -> Vec<Vreg> {
        match self {
            FlatOp::Receive { dst, .. }
            | FlatOp::Choose { dst, .. }
            | FlatOp::Invoke { dst, .. }
            | FlatOp::Set { dst, .. }
            | FlatOp::Move { dst, .. } => vec![*dst],
            FlatOp::Check { dst, witness, .. } => vec![*dst, *witness],
            FlatOp::Send { .. }
            | FlatOp::Offer { .. }
            | FlatOp::Jump { .. }
            | FlatOp::Branch { .. }
            | FlatOp::Halt => vec![],
        }
    }

    /// The positions that control can reach from position `at`.
    pub(crate) fn successors(&self, at: usize) -> Vec<usize> {
        match self {
            FlatOp::Send { .. }
            | FlatOp::Receive { .. }
            | FlatOp::Set { .. }
            | FlatOp::Move { .. } => {
                vec![at + 1]
            }
            FlatOp::Invoke { on_failure, .. } | FlatOp::Check { on_failure, .. } => {
                std::iter::once(at + 1).chain(*on_failure).collect()
            }
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
