//! The sorts of registers' values, which are needed to print the values with names.
//!
//! An image does not declare the sorts of registers. The possible sorts of a register follow from
//! the instructions that write it: a message has the sort that the automaton gives its label, and a
//! result has the sort of its operation. A register can be reused for other sorts. A value
//! therefore has a known sort only if it is of exactly one of the possible sorts of its register.

use antiphon_machine::{
    CodeImage, Instruction, LabelId, ProgramId, Reg, SortId, State, Value, VerifiedImage,
};

/// The possible sorts of the registers of a program.
#[derive(Clone, Debug)]
pub struct RegisterSorts<'i> {
    image: &'i CodeImage,
    registers: Vec<Register>,
}

#[derive(Clone, Debug, Default)]
struct Register {
    /// The sorts of the values that are written to it.
    sorts: Vec<SortId>,
    /// Whether a number without a sort may be written to it: a constant, or the code of a failure.
    has_plain_numbers: bool,
}

impl<'i> RegisterSorts<'i> {
    /// Finds the sorts. Takes time linear in the program, for each link of the longest chain of
    /// copies between registers.
    pub fn of(image: &'i VerifiedImage, program: ProgramId) -> RegisterSorts<'i> {
        let image = image.image();
        let row = image.programs.get(program.index());
        let count = row.map_or(0, |row| usize::from(row.registers));
        let mut found = RegisterSorts {
            image,
            registers: vec![Register::default(); count],
        };
        let code = row.map_or(&[][..], |row| &row.code);
        for instruction in code {
            found.writes(program, instruction);
        }
        // The next round finds copies of copies.
        for _ in 0..count {
            let mut has_changed = false;
            for instruction in code {
                if let Instruction::Move { dst, src } = instruction {
                    has_changed |= found.copies(*dst, *src);
                }
            }
            if !has_changed {
                break;
            }
        }
        found
    }

    /// The sort of a value in a register; `None` if it is not known.
    pub fn sort(&self, register: usize, value: &Value) -> Option<SortId> {
        let row = self.registers.get(register)?;
        if row.has_plain_numbers && matches!(value, Value::Nat(_)) {
            return None;
        }
        let mut fitting = row.sorts.iter();
        let fits = |sort: &&SortId| value.is_of(**sort, &self.image.sorts);
        let first = fitting.find(fits)?;
        fitting.find(fits).is_none().then_some(*first)
    }

    fn writes(&mut self, program: ProgramId, instruction: &Instruction) {
        match instruction {
            Instruction::Receive { label, dst, .. } => self.receives(program, *dst, *label),
            Instruction::Choose { dst, table, .. } => {
                for (label, _) in table {
                    self.receives(program, *dst, *label);
                }
            }
            Instruction::Invoke {
                operation,
                dst,
                on_failure,
                ..
            }
            | Instruction::Check {
                operation,
                dst,
                on_failure,
                ..
            } => {
                let row = self.image.operations.get(operation.index());
                if let Some(row) = row {
                    self.may_hold(*dst, row.result);
                }
                if on_failure.is_some() {
                    self.may_hold_plain_numbers(*dst);
                }
            }
            Instruction::Set { dst, value } => {
                if matches!(value, Value::Nat(_)) {
                    self.may_hold_plain_numbers(*dst);
                }
            }
            // Copies are followed later. Any other instruction writes no value that has a sort.
            _ => {}
        }
    }

    /// The program of a role has the number of the role.
    fn receives(&mut self, program: ProgramId, dst: Reg, label: LabelId) {
        let role = self.image.roles.get(program.index());
        let states = role.map_or(&[][..], |role| &role.automaton.states);
        for state in states {
            let State::Recv { branches, .. } = state else {
                continue;
            };
            for branch in branches.iter().filter(|branch| branch.label == label) {
                self.may_hold(dst, branch.sort);
            }
        }
    }

    fn may_hold(&mut self, register: Reg, sort: SortId) {
        if let Some(row) = self.registers.get_mut(register.index())
            && !row.sorts.contains(&sort)
        {
            row.sorts.push(sort);
        }
    }

    fn may_hold_plain_numbers(&mut self, register: Reg) {
        if let Some(row) = self.registers.get_mut(register.index()) {
            row.has_plain_numbers = true;
        }
    }

    /// Adds the sorts of a copied register. Returns whether the destination has new ones.
    fn copies(&mut self, dst: Reg, src: Reg) -> bool {
        let Some(from) = self.registers.get(src.index()).cloned() else {
            return false;
        };
        let Some(to) = self.registers.get(dst.index()) else {
            return false;
        };
        let before = (to.sorts.len(), to.has_plain_numbers);
        for sort in from.sorts {
            self.may_hold(dst, sort);
        }
        if from.has_plain_numbers {
            self.may_hold_plain_numbers(dst);
        }
        let to = self.registers.get(dst.index());
        to.is_some_and(|to| before != (to.sorts.len(), to.has_plain_numbers))
    }
}
