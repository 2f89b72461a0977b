//! The operands of instructions, by their roles.

use crate::ids::{LabelId, OperationId, Pc, ProgramId, Reg};
use crate::image::Arm;
use crate::value::Value;

/// An operand of an instruction. The table of instructions gives each operand its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand<'i> {
    /// A register that holds the endpoint of a message.
    Endpoint(Reg),
    /// A register that is read.
    Read(Reg),
    /// A register that is written.
    Write(Reg),
    /// The registers that hold the arguments of a request or of a new coroutine.
    Arguments(&'i [Reg]),
    /// The label of a message.
    Label(LabelId),
    /// The requested operation.
    Operation(OperationId),
    /// The program of a new coroutine.
    Program(ProgramId),
    /// A constant.
    Constant(&'i Value),
    /// The address of the next instruction.
    Target(Pc),
    /// The address of the next instruction after a failure, if there is one.
    Failure(Option<Pc>),
    /// The arms of an internal choice.
    Arms(&'i [Arm]),
    /// The labels of an external choice, with the addresses of the next instructions.
    Labels(&'i [(LabelId, Pc)]),
    /// The numbers of a branch, with the addresses of the next instructions.
    Numbers(&'i [(u64, Pc)]),
}

/// The operand for a role in the table of instructions, and a reference to the field.
macro_rules! operand {
    (endpoint $field:ident) => {
        Operand::Endpoint(*$field)
    };
    (read $field:ident) => {
        Operand::Read(*$field)
    };
    (write $field:ident) => {
        Operand::Write(*$field)
    };
    (arguments $field:ident) => {
        Operand::Arguments($field)
    };
    (label $field:ident) => {
        Operand::Label(*$field)
    };
    (operation $field:ident) => {
        Operand::Operation(*$field)
    };
    (program $field:ident) => {
        Operand::Program(*$field)
    };
    (constant $field:ident) => {
        Operand::Constant($field)
    };
    (target $field:ident) => {
        Operand::Target(*$field)
    };
    (failure $field:ident) => {
        Operand::Failure(*$field)
    };
    (arms $field:ident) => {
        Operand::Arms($field)
    };
    (labels $field:ident) => {
        Operand::Labels($field)
    };
    (numbers $field:ident) => {
        Operand::Numbers($field)
    };
}

/// The operands of a new instruction: a method for each role.
/// [`Instruction::from_operands`](crate::Instruction::from_operands) calls them, once for each
/// operand and in the operands' order.
#[cfg(feature = "build")]
#[expect(missing_docs, reason = "`Operand` documents the roles")]
pub trait OperandSource {
    fn endpoint(&mut self) -> Reg;
    fn read(&mut self) -> Reg;
    fn write(&mut self) -> Reg;
    fn arguments(&mut self) -> Vec<Reg>;
    fn label(&mut self) -> LabelId;
    fn operation(&mut self) -> OperationId;
    fn program(&mut self) -> ProgramId;
    fn constant(&mut self) -> Value;
    fn target(&mut self) -> Pc;
    fn failure(&mut self) -> Option<Pc>;
    fn arms(&mut self) -> Vec<Arm>;
    fn labels(&mut self) -> Vec<(LabelId, Pc)>;
    fn numbers(&mut self) -> Vec<(u64, Pc)>;
}
