//! Operands: every reference of an instruction names a row that exists.

use super::*;

/// Every operand of every instruction, on a path or not, names something that is there.
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
        match instruction {
            Instruction::Send { chan, label, val } => {
                self.registers(&[*chan, *val])?;
                self.label(*label)
            }
            Instruction::Receive { chan, label, dst } => {
                self.registers(&[*chan, *dst])?;
                self.label(*label)
            }
            Instruction::Offer {
                chan,
                selector,
                arms,
            } => {
                self.registers(&[*chan, *selector])?;
                check_labels(self.image, self.place, arms.iter().map(|a| a.label))?;
                arms.iter().try_for_each(|arm| {
                    self.registers(&[arm.val])?;
                    self.target(arm.target)
                })
            }
            Instruction::Choose { chan, dst, table } => {
                self.registers(&[*chan, *dst])?;
                check_labels(self.image, self.place, table.iter().map(|row| row.0))?;
                table.iter().try_for_each(|row| self.target(row.1))
            }
            Instruction::Invoke {
                operation,
                args,
                dst,
                on_failure,
            } => {
                self.operation(*operation)?;
                self.registers(args)?;
                self.registers(&[*dst])?;
                on_failure.map_or(Ok(()), |target| self.target(target))
            }
            Instruction::Check {
                operation,
                args,
                dst,
                witness,
                on_failure,
            } => {
                self.operation(*operation)?;
                self.registers(args)?;
                self.registers(&[*dst, *witness])?;
                on_failure.map_or(Ok(()), |target| self.target(target))
            }
            Instruction::Spawn { program, args, dst } => {
                let programs = &self.image.programs;
                row(self.place, "program", program.index(), programs.len())?;
                self.registers(args)?;
                self.registers(&[*dst])?;
                let count = usize::from(programs[program.index()].registers);
                at_most(self.place, "arguments", args.len(), count)
            }
            Instruction::Set { dst, value } => {
                self.registers(&[*dst])?;
                self.constant(value, 1)?;
                let len = usize::try_from(value.encoded_len()).unwrap_or(usize::MAX);
                at_most(self.place, "bytes of a constant", len, CONSTANT_LEN_MAX)
            }
            Instruction::Move { dst, src } => self.registers(&[*dst, *src]),
            Instruction::Jump { target } => self.target(*target),
            Instruction::Branch { cond, table } => {
                self.registers(&[*cond])?;
                at_most(self.place, "rows", table.len(), BRANCHES_MAX)?;
                distinct(self.place, table.iter().map(|r| r.0), |n| {
                    format!("number {n}")
                })?;
                table.iter().try_for_each(|row| self.target(row.1))
            }
            Instruction::Yield | Instruction::Close | Instruction::Halt => Ok(()),
        }
    }

    /// A constant is made of what anybody can make, and is no deeper than a value of some sort can be.
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
