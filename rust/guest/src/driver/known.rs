//! The origins of the values in a role's registers: whether a value came in a frame of the guest.

use antiphon_machine::{LabelId, OperationId, Pc, Reg, RoleId, StateId};

/// The most instructions that one value may come from, on different paths. It bounds the work at
/// joins; a value with more origins is refused.
const ORIGINS_MAX: usize = 8;

/// The origin of a register's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// A frame, taken by the last execution of one of these instructions.
    Frame { from: Vec<Pc>, is_sent: bool },
    /// The guest's decision, taken from a frame by the last execution of this instruction, and the
    /// first `produce` since then. It is not certain if a failed call has replaced the label on
    /// some path.
    Decision {
        at: Pc,
        asked: Option<OperationId>,
        is_certain: bool,
    },
    /// Not a frame.
    Other(Source),
}

/// The origin of a value that did not come in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Constant,
    Received,
    FailureCode,
    /// A `produce` or `decide` for a message to a role of the guest.
    Inside,
    /// An operation of an interface that is not bound to the guest.
    Operation(OperationId),
    /// A decision that was used.
    Used,
    /// Different sources on different paths, or an older execution of the same instruction.
    Mixed,
}

/// A message whose copies may still be sent to further receivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copying {
    pub(super) label: LabelId,
    /// Where its payload came from; empty for an arm without payload.
    pub(super) from: Vec<Pc>,
    pub(super) to: Vec<RoleId>,
}

/// The origins of all registers before an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The state of the role's automaton; `None` if paths disagree, in an image that was not
    /// verified.
    pub(super) state: Option<StateId>,
    pub(super) registers: Vec<Held>,
    pub(super) copying: Option<Copying>,
}

impl Known {
    pub(super) fn get(&self, register: Reg) -> &Held {
        const NONE: &Held = &Held::Other(Source::Constant);
        self.registers.get(register.index()).unwrap_or(NONE)
    }

    pub(super) fn set(&mut self, register: Reg, held: Held) {
        if let Some(place) = self.registers.get_mut(register.index()) {
            *place = held;
        }
    }

    /// Marks the values of these origins as sent, in every register that has a copy.
    pub(super) fn mark_sent(&mut self, sent: &[Pc]) {
        for held in &mut self.registers {
            if let Held::Frame { from, is_sent } = held
                && from.iter().any(|pc| sent.contains(pc))
            {
                *is_sent = true;
            }
        }
    }

    /// Marks a decision as used, in every register that has a copy.
    pub(super) fn mark_used(&mut self, selector: Reg) {
        let Held::Decision { at, .. } = *self.get(selector) else {
            return;
        };
        for held in &mut self.registers {
            if matches!(held, Held::Decision { at: other, .. } if *other == at) {
                *held = Held::Other(Source::Used);
            }
        }
    }

    /// Drops the origins of an instruction that is about to be executed again.
    pub(super) fn forget(&mut self, pc: Pc) {
        for held in &mut self.registers {
            let is_old = match held {
                Held::Frame { from, .. } => from.contains(&pc),
                Held::Decision { at, .. } => *at == pc,
                Held::Other(_) => false,
            };
            if is_old {
                *held = Held::Other(Source::Mixed);
            }
        }
    }

    /// Records the request of a payload: the first one after a decision may be for its label.
    pub(super) fn note_asked(&mut self, operation: OperationId) {
        for held in &mut self.registers {
            if let Held::Decision { asked, .. } = held {
                asked.get_or_insert(operation);
            }
        }
    }

    /// Keeps the knowledge that holds on both paths. Returns whether it is less than before.
    pub(super) fn join(&mut self, other: Known) -> bool {
        let before = self.clone();
        if self.state != other.state {
            self.state = None;
        }
        if self.copying != other.copying {
            self.copying = None;
        }
        for (mine, other) in self.registers.iter_mut().zip(other.registers) {
            mine.join(other);
        }
        *self != before
    }
}

impl Held {
    fn join(&mut self, other: Held) {
        if *self == other {
            return;
        }
        match (&mut *self, other) {
            (
                Held::Frame { from, is_sent },
                Held::Frame {
                    from: others,
                    is_sent: other_sent,
                },
            ) => {
                from.extend(others);
                from.sort_unstable();
                from.dedup();
                *is_sent |= other_sent;
                if from.len() > ORIGINS_MAX {
                    *self = Held::Other(Source::Mixed);
                }
            }
            (
                Held::Decision {
                    at,
                    asked,
                    is_certain,
                },
                Held::Decision {
                    at: other_at,
                    asked: other_asked,
                    ..
                },
            ) if (*at, *asked) == (other_at, other_asked) => *is_certain = false,
            (Held::Decision { is_certain, .. }, Held::Other(source)) if source != Source::Mixed => {
                *is_certain = false;
            }
            (Held::Other(source), Held::Decision { at, asked, .. }) if *source != Source::Mixed => {
                *self = Held::Decision {
                    at,
                    asked,
                    is_certain: false,
                };
            }
            (
                Held::Frame { .. } | Held::Decision { .. } | Held::Other(_),
                Held::Frame { .. } | Held::Decision { .. } | Held::Other(_),
            ) => *self = Held::Other(Source::Mixed),
        }
    }
}
