//! Operands: every reference of an instruction names a row that exists.

use super::*;
use crate::operand::Operand;

/// Checks that every operand of every instruction, reachable or not, names something that exists.
pub(super) fn check_operands(image: &CodeImage) -> Checked {
    for (n, program) in (0u16..).map(ProgramId).zip(&image.programs) {
        let place = Place::Program(n);
        at_most(place, "bytes of the name", program.name.len(), NAME_LEN_MAX)?;
        at_most(
            place,
            "registers",
            program.registers.into(),
            REGISTERS_MAX.into(),
        )?;
        at_most(place, "instructions", program.code.len(), CODE_LEN_MAX)?;
        if program.code.is_empty() {
            return refuse(
                place,
                Kind::Empty {
                    what: "instructions",
                },
            );
        }
        for (pc, instruction) in (0u32..).map(Pc).zip(&program.code) {
            Operands {
                image,
                program,
                place: Place::Instruction(n, pc),
            }
            .check(instruction)?;
        }
    }
    Ok(())
}

struct Operands<'a> {
    image: &'a CodeImage,
    program: &'a Program,
    place: Place,
}

impl Operands<'_> {
    fn check(&self, instruction: &Instruction) -> Checked {
        let operands = instruction.operands();
        operands
            .into_iter()
            .try_for_each(|o| self.check_operand(o))?;
        if let Instruction::Spawn { program, args, .. } = instruction {
            let count = usize::from(self.image.programs[program.index()].registers);
            at_most(self.place, "arguments", args.len(), count)?;
        }
        Ok(())
    }

    fn check_operand(&self, operand: Operand<'_>) -> Checked {
        match operand {
            Operand::Endpoint(register) | Operand::Read(register) | Operand::Write(register) => {
                self.registers(&[register])
            }
            Operand::Arguments(registers) => self.registers(registers),
            Operand::Label(label) => self.label(label),
            Operand::Operation(operation) => self.operation(operation),
            Operand::Program(program) => {
                let len = self.image.programs.len();
                row(self.place, "program", program.index(), len)
            }
            Operand::Constant(value) => {
                self.constant(value, 1)?;
                let len = usize::try_from(value.encoded_len()).unwrap_or(usize::MAX);
                at_most(self.place, "bytes of a constant", len, CONSTANT_LEN_MAX)
            }
            Operand::Target(target) => self.target(target),
            Operand::Failure(target) => target.map_or(Ok(()), |target| self.target(target)),
            Operand::Arms(arms) => {
                check_labels(self.image, self.place, arms.iter().map(|a| a.label))?;
                arms.iter().try_for_each(|arm| {
                    self.registers(&[arm.val])?;
                    self.target(arm.target)
                })
            }
            Operand::Labels(table) => {
                check_labels(self.image, self.place, table.iter().map(|row| row.0))?;
                table.iter().try_for_each(|row| self.target(row.1))
            }
            Operand::Numbers(table) => {
                at_most(self.place, "rows", table.len(), BRANCHES_MAX)?;
                distinct(self.place, table.iter().map(|r| r.0), |n| {
                    format!("number {n}")
                })?;
                table.iter().try_for_each(|row| self.target(row.1))
            }
        }
    }

    /// Checks that a constant contains only values that a program may make, and nests no deeper
    /// than a sort may.
    fn constant(&self, value: &Value, depth: u32) -> Checked {
        let (depth_max, what) = (SORT_DEPTH_MAX as usize, "levels of nesting");
        at_most(self.place, what, depth as usize, depth_max)?;
        match value {
            Value::Endpoint(_) | Value::Evidence(_) => {
                refuse(self.place, Kind::ForgedConstant(value.form()))
            }
            Value::List(items) | Value::Record(items) => items
                .iter()
                .try_for_each(|item| self.constant(item, depth + 1)),
            Value::Unit
            | Value::Bool(_)
            | Value::Nat(_)
            | Value::Int(_)
            | Value::Text(_)
            | Value::Bytes(_) => Ok(()),
        }
    }

    fn registers(&self, registers: &[Reg]) -> Checked {
        at_most(
            self.place,
            "arguments",
            registers.len(),
            REGISTERS_MAX.into(),
        )?;
        let len = usize::from(self.program.registers);
        registers
            .iter()
            .try_for_each(|r| row(self.place, "register", r.index(), len))
    }

    fn label(&self, label: LabelId) -> Checked {
        row(self.place, "label", label.index(), self.image.labels.len())
    }

    fn operation(&self, operation: OperationId) -> Checked {
        row(
            self.place,
            "operation",
            operation.index(),
            self.image.operations.len(),
        )
    }

    fn target(&self, target: Pc) -> Checked {
        row(
            self.place,
            "instruction",
            target.index(),
            self.program.code.len(),
        )
    }
}
