//! Resource checks: what a protocol needs from the machine, compared with the machine's bounds.

use antiphon_machine::{CodeImage, Instruction, LabelId, RoleId, Sort, StateId, bounds};

use crate::diagnostic::{Code, Diagnostic};
use crate::flat::FlatCode;
use crate::global::{CheckedProtocol, VarId};

mod registers;

/// A bound of an image or of the machine that a protocol exceeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceError {
    /// A role needs more registers than the machine has.
    Registers {
        /// The role.
        role: RoleId,
        /// The names that it has to keep at the same time, where most are live.
        names: Vec<VarId>,
        /// The number of registers needed there, including the endpoint's.
        needed: usize,
    },
    /// A program is too long.
    Code {
        /// The role.
        role: RoleId,
        /// The number of instructions.
        len: usize,
    },
    /// A table of the image is too long.
    Table {
        /// The table's name.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The maximum length.
        max: usize,
    },
    /// A state has too many branches.
    Branches {
        /// The role.
        role: RoleId,
        /// The state.
        state: StateId,
        /// The first label.
        label: LabelId,
        /// The number of branches.
        len: usize,
    },
    /// A sort has too many members or levels.
    Sort {
        /// The name; empty for a nameless sort.
        name: String,
        /// `members` or `levels`.
        what: &'static str,
        /// Their number.
        len: usize,
        /// The maximum.
        max: usize,
    },
}

impl ResourceError {
    /// The error as a diagnostic.
    pub fn diagnostic(&self, protocol: &CheckedProtocol) -> Diagnostic {
        let name = protocol.name();
        let role_name = |role: &RoleId| protocol.role_name(*role);
        match self {
            ResourceError::Registers {
                role,
                names,
                needed,
            } => {
                let message = format!(
                    "role `{}` has to keep {needed} values at once; the machine has {} registers",
                    role_name(role),
                    bounds::REGISTERS_MAX
                );
                let span = protocol.role_span(*role);
                let mut diagnostic = Diagnostic::new(Code::OutOfRegisters, span, message);
                for var in names
                    .iter()
                    .filter_map(|var| protocol.vars().get(var.0 as usize))
                {
                    let label = format!("`{}` is kept", var.name);
                    diagnostic = diagnostic.related(var.span, label);
                }
                diagnostic.note("the endpoint and a choice in progress take one register each")
            }
            ResourceError::Code { role, len } => {
                let max = bounds::CODE_LEN_MAX;
                let name = role_name(role);
                let message =
                    format!("role `{name}` needs {len} instructions; the maximum is {max}");
                Diagnostic::new(Code::CodeTooLong, protocol.role_span(*role), message)
            }
            ResourceError::Table { what, len, max } => {
                let message = format!("protocol `{name}` has {len} {what}; the maximum is {max}");
                Diagnostic::new(Code::TableTooLong, protocol.span(), message)
            }
            ResourceError::Branches {
                role,
                state: _,
                label,
                len,
            } => {
                let message = format!(
                    "role `{}` has a choice among {len} labels, the first `{}`; the maximum is {}",
                    role_name(role),
                    protocol.label_name(*label),
                    bounds::BRANCHES_MAX
                );
                Diagnostic::new(Code::TooManyBranches, protocol.role_span(*role), message)
            }
            ResourceError::Sort {
                name: sort,
                what,
                len,
                max,
            } => {
                let message = if sort.is_empty() {
                    format!("a sort of protocol `{name}` has {len} {what}; the maximum is {max}")
                } else {
                    format!("sort `{sort}` has {len} {what}; the maximum is {max}")
                };
                Diagnostic::new(Code::SortTooLarge, protocol.span(), message)
            }
        }
    }
}

/// Assigns one of the machine's registers to each virtual register, such that no two that are live
/// at the same time share one.
///
/// Returns the number of registers used and the code.
pub(crate) fn allocate(
    role: RoleId,
    flat: &FlatCode,
) -> Result<(u8, Vec<Instruction>), ResourceError> {
    if flat.code.len() > bounds::CODE_LEN_MAX {
        return Err(ResourceError::Code {
            role,
            len: flat.code.len(),
        });
    }
    registers::allocate(flat).map_err(|pressure| ResourceError::Registers {
        role,
        names: pressure.names,
        needed: pressure.needed,
    })
}

/// Everything in the image's tables that exceeds the machine's bounds.
pub(crate) fn check_tables(image: &CodeImage) -> Vec<ResourceError> {
    let mut errors = vec![];
    let mut at_most = |what, len, max| {
        if len > max {
            errors.push(ResourceError::Table { what, len, max });
        }
    };
    at_most("roles", image.roles.len(), bounds::ROLES_MAX);
    at_most("labels", image.labels.len(), bounds::TABLE_LEN_MAX);
    at_most("sorts", image.sorts.len(), bounds::SORTS_MAX);
    at_most("interfaces", image.interfaces.len(), bounds::TABLE_LEN_MAX);
    at_most("operations", image.operations.len(), bounds::TABLE_LEN_MAX);
    errors.extend(sorts(image));
    for (r, role) in image.roles.iter().enumerate() {
        for (s, state) in role.automaton.states.iter().enumerate() {
            let (antiphon_machine::State::Send { branches, .. }
            | antiphon_machine::State::Recv { branches, .. }) = state
            else {
                continue;
            };
            if let ([first, ..], true) = (&branches[..], branches.len() > bounds::BRANCHES_MAX) {
                let (role, state) = (RoleId(r as u16), StateId(s as u32));
                let (label, len) = (first.label, branches.len());
                errors.push(ResourceError::Branches {
                    role,
                    state,
                    label,
                    len,
                });
            }
        }
    }
    errors
}

fn sorts(image: &CodeImage) -> Vec<ResourceError> {
    let mut depths: Vec<usize> = vec![];
    let mut errors = vec![];
    for sort in &image.sorts {
        let depth = |inner: &antiphon_machine::SortId| depths.get(inner.index()).unwrap_or(&0) + 1;
        let (name, members, depth) = match sort {
            Sort::List(inner) | Sort::Option(inner) => ("", 0, depth(inner)),
            Sort::Record { name, fields } => {
                let deepest = fields.iter().map(|(_, inner)| depth(inner)).max();
                (name.as_str(), fields.len(), deepest.unwrap_or(1))
            }
            Sort::Enum { name, variants } => (name.as_str(), variants.len(), 1),
            Sort::Foreign { name } => (name.as_str(), 0, 1),
            Sort::Arm(labels) => ("", labels.len(), 1),
            Sort::Unit | Sort::Bool | Sort::Nat | Sort::Int | Sort::Text | Sort::Bytes => {
                ("", 0, 1)
            }
        };
        depths.push(depth);
        let deep = bounds::SORT_DEPTH_MAX as usize;
        let rows = [
            ("levels", depth, deep),
            ("members", members, bounds::BRANCHES_MAX),
        ];
        for (what, len, max) in rows.into_iter().filter(|(_, len, max)| len > max) {
            errors.push(ResourceError::Sort {
                name: name.to_owned(),
                what,
                len,
                max,
            });
        }
    }
    errors
}
