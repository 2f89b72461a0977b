//! Compiles local automata with local code to a code image with one program per role.
//!
//! Register 0 of a program holds the role's endpoint. Each communication is compiled with the calls
//! to the role's host that it needs: `produce` asks for a payload that is not a bound name,
//! `decide` asks for a choice, and `deliver` passes on every received message.
//!
//! A choice is compiled to one `Offer` with all arms if no arm has actions or a request for a
//! payload before its message. Otherwise a `Branch` on the decision leads to each arm's code, which
//! ends with an `Offer` of only its own arm, so a payload is requested only when it will be sent. A
//! call that fails with `else label` sets the decision to that label and jumps to its arm.

use antiphon_machine::safety::SafetyCertificate;
use antiphon_machine::{CodeImage, LabelId, Program, Role, RoleId, Value};

use crate::automaton::{Action, LocalAutomaton, LocalBranch, LocalKind, Operand, Origin};
use crate::check::check;
use crate::diagnostic::{Diagnostic, Findings};
use crate::flat::{Op, Vreg};
use crate::global::{CheckedProtocol, VarId};
use crate::module::Modules;
use crate::project::{PLACES_MAX, project_all};
use crate::resources::{ResourceError, allocate, check_tables};
use crate::safety::{Limits, Safety, explore};

mod code;
mod tables;

use code::{Block, Code, Exit};
use tables::Tables;

/// The version that images carry. The language has no syntax for a protocol version yet.
const IMAGE_VERSION: u32 = 1;

/// A compiled protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The local automata; `automata[r]` is role `r`'s.
    pub automata: Vec<LocalAutomaton>,
    /// The image, not yet verified.
    pub image: CodeImage,
    /// The evidence that the roles are safe together. `None` when the exploration exceeded its
    /// budget.
    pub certificate: Option<SafetyCertificate>,
    /// Warnings about the accepted protocol.
    pub warnings: Vec<Diagnostic>,
}

/// The result of compiling a text.
#[derive(Clone, Debug)]
pub struct Compilation {
    /// The protocols of the root text that have no error, each with its compiled form.
    pub protocols: Vec<(CheckedProtocol, Compiled)>,
    /// All findings of all checks, in source order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks, projects, explores and compiles every protocol of the root text, and reports every
/// finding in one pass.
pub fn compile_all(modules: &Modules, limits: &Limits) -> Compilation {
    let checked = check(modules);
    let mut findings = Findings::default();
    findings.extend(checked.diagnostics);
    let mut protocols = vec![];
    let mut budget = Budget::of(limits);
    for protocol in checked.protocols {
        match compile_within(&protocol, limits, &mut budget) {
            Ok(compiled) => {
                findings.extend(compiled.warnings.iter().cloned());
                protocols.push((protocol, compiled));
            }
            Err(errors) => findings.extend(errors),
        }
    }
    Compilation {
        protocols,
        diagnostics: findings.into_sorted(),
    }
}

/// Projects, explores and compiles a checked protocol.
///
/// # Errors
/// The conflicts of projection of all roles, or else safety violations and everything that does not
/// fit into an image.
pub fn compile(protocol: &CheckedProtocol, limits: &Limits) -> Result<Compiled, Vec<Diagnostic>> {
    compile_within(protocol, limits, &mut Budget::of(limits))
}

/// The places that all projections of one text may visit together. The bound keeps the work to a
/// few seconds however many protocols the text has.
const PLACES_OF_A_TEXT: usize = 16 * PLACES_MAX;

/// How many protocols of one text may use the whole exploration budget.
const EXPLORATIONS_OF_A_TEXT: usize = 8;

/// The work left for a text.
struct Budget {
    places: usize,
    configurations: usize,
}

impl Budget {
    fn of(limits: &Limits) -> Budget {
        let configurations = limits.configurations.saturating_mul(EXPLORATIONS_OF_A_TEXT);
        Budget {
            places: PLACES_OF_A_TEXT,
            configurations,
        }
    }
}

fn compile_within(
    protocol: &CheckedProtocol,
    limits: &Limits,
    budget: &mut Budget,
) -> Result<Compiled, Vec<Diagnostic>> {
    let automata = project_all(protocol, &mut budget.places).map_err(|errors| {
        errors
            .iter()
            .map(|error| error.diagnostic(protocol))
            .collect::<Vec<_>>()
    })?;
    let configurations = limits.configurations.min(budget.configurations);
    let safety = explore(
        &automata,
        &Limits {
            configurations,
            ..*limits
        },
    );
    budget.configurations -= match &safety {
        Safety::Safe(certificate) => certificate.configurations().min(configurations),
        Safety::Unsafe(_) | Safety::Uncertified { .. } => configurations,
    };
    let (warnings, mut errors): (Vec<_>, Vec<_>) = safety
        .diagnostic(protocol)
        .into_iter()
        .partition(|diagnostic| !diagnostic.is_error());
    let certificate = match safety {
        Safety::Safe(certificate) => Some(certificate),
        Safety::Unsafe(_) | Safety::Uncertified { .. } => None,
    };
    match code_image(protocol, &automata) {
        Ok(image) if errors.is_empty() => Ok(Compiled {
            automata,
            image,
            certificate,
            warnings,
        }),
        Ok(_) => Err(errors),
        Err(resources) => {
            errors.extend(warnings);
            errors.extend(resources.iter().map(|error| error.diagnostic(protocol)));
            Err(errors)
        }
    }
}

/// Compiles a protocol's local automata to an image; `automata[r]` is role `r`'s.
///
/// # Errors
/// Everything that exceeds the bounds of an image or of its machine.
pub fn code_image(
    protocol: &CheckedProtocol,
    automata: &[LocalAutomaton],
) -> Result<CodeImage, Vec<ResourceError>> {
    let mut tables = Tables::new(protocol);
    let mut errors = vec![];
    let mut programs = vec![];
    let mut roles = vec![];
    for (role, automaton) in automata.iter().enumerate() {
        let name = protocol.role_name(RoleId(role as u16)).to_owned();
        match program(automaton, &mut tables) {
            Ok(program) => programs.push(Program {
                name: name.clone(),
                ..program
            }),
            Err(error) => errors.push(error),
        }
        roles.push(Role {
            name,
            automaton: automaton.machine(),
        });
    }
    let image = CodeImage {
        name: protocol.name().to_owned(),
        version: IMAGE_VERSION,
        roles,
        labels: protocol.labels().to_vec(),
        sorts: tables.sorts,
        interfaces: tables.interfaces,
        operations: tables.operations,
        programs,
    };
    errors.extend(check_tables(&image));
    if errors.is_empty() {
        Ok(image)
    } else {
        Err(errors)
    }
}

/// Compiles one role's program and allocates its registers.
fn program(automaton: &LocalAutomaton, tables: &mut Tables<'_>) -> Result<Program, ResourceError> {
    let mut attempt = |keep_unit| {
        let flat = Builder::new(automaton, tables, keep_unit).build().flatten();
        let (registers, code) = allocate(automaton.role, &flat)?;
        Ok(Program {
            name: String::new(),
            registers,
            code,
        })
    };
    // A unit value kept in a register of its own costs nothing at run time. If there are not enough
    // registers, it is set where it is sent instead.
    attempt(true).or_else(|_| attempt(false))
}

/// The block of a choice's arm, and its label.
struct ArmCode {
    label: LabelId,
    block: usize,
}

struct Builder<'a, 't, 'p> {
    automaton: &'a LocalAutomaton,
    tables: &'t mut Tables<'p>,
    code: Code,
    unit: Option<Vreg>,
}

impl<'a, 't, 'p> Builder<'a, 't, 'p> {
    fn new(
        automaton: &'a LocalAutomaton,
        tables: &'t mut Tables<'p>,
        keep_unit: bool,
    ) -> Builder<'a, 't, 'p> {
        let mut code = Code::new(automaton.states.len());
        let unit = keep_unit.then(|| code.fresh());
        Builder {
            automaton,
            tables,
            code,
            unit,
        }
    }

    /// Compiles every state; block `n` is the entry of state `n`.
    fn build(mut self) -> Code {
        for state in 0..self.automaton.states.len() {
            let block = self.state(state);
            self.code.blocks[state] = block;
        }
        self.code
    }

    fn state(&mut self, number: usize) -> Block {
        let state = &self.automaton.states[number];
        let mut ops = vec![];
        for action in &state.entry {
            // `else` is allowed only at the head of one of several branches, never here.
            self.call(action, None, &mut ops);
        }
        let exit = match &state.kind {
            LocalKind::End => Exit::Halt,
            LocalKind::Send { to, branches } => match &branches[..] {
                [only] => self.send(*to, only, &mut ops),
                _ => self.choose(*to, branches, &mut ops),
            },
            LocalKind::Recv { from, branches } => match &branches[..] {
                [only] => self.receive(*from, only, &mut ops),
                _ => self.await_choice(*from, branches),
            },
        };
        Block { ops, exit }
    }

    fn send(&mut self, to: RoleId, branch: &LocalBranch, ops: &mut Vec<Op>) -> Exit {
        let val = self.payload(to, branch, ops);
        ops.push(Op::Send {
            label: branch.label,
            val,
        });
        self.bind(branch, val, ops);
        Exit::Jump(branch.next.index())
    }

    fn receive(&mut self, from: RoleId, branch: &LocalBranch, ops: &mut Vec<Op>) -> Exit {
        let dst = match branch.binds.first() {
            Some(var) => self.code.var(*var),
            None => self.code.fresh(),
        };
        ops.push(Op::Receive {
            label: branch.label,
            dst,
        });
        self.deliver(from, branch, dst, ops);
        Exit::Jump(branch.next.index())
    }

    fn await_choice(&mut self, from: RoleId, branches: &[LocalBranch]) -> Exit {
        let dst = self.code.fresh();
        let mut table = vec![];
        for branch in branches {
            let mut ops = vec![];
            self.deliver(from, branch, dst, &mut ops);
            let block = self.code.block(Block {
                ops,
                exit: Exit::Jump(branch.next.index()),
            });
            table.push((branch.label, block));
        }
        Exit::Choose { dst, table }
    }

    /// Binds a received payload and passes it to the host.
    fn deliver(&mut self, from: RoleId, branch: &LocalBranch, dst: Vreg, ops: &mut Vec<Op>) {
        self.bind(branch, dst, ops);
        let operation = self.tables.deliver(branch.label, from, branch.sort);
        let args = if self.tables.is_unit(branch.sort) {
            vec![]
        } else {
            vec![dst]
        };
        let dst = self.code.fresh();
        ops.push(Op::Invoke {
            operation,
            args,
            dst,
            on_failure: None,
        });
    }

    fn choose(&mut self, to: RoleId, branches: &[LocalBranch], ops: &mut Vec<Op>) -> Exit {
        let selector = self.code.fresh();
        let labels = branches.iter().map(|branch| branch.label).collect();
        let operation = self.tables.decide(labels, to);
        ops.push(Op::Invoke {
            operation,
            args: vec![],
            dst: selector,
            on_failure: None,
        });
        let is_prepared = |branch: &LocalBranch| {
            let is_produced = branch.origin == Origin::Host && !self.tables.is_unit(branch.sort);
            branch.before.is_empty() && !is_produced
        };
        if branches.iter().all(is_prepared) {
            let mut arms = vec![];
            for branch in branches {
                let val = self.payload(to, branch, ops);
                arms.push((branch.label, val, self.after(branch, val)));
            }
            return Exit::Offer { selector, arms };
        }
        // Reserve the blocks before compiling them, because a failure in one arm may jump to
        // another.
        let arms: Vec<_> = branches
            .iter()
            .map(|branch| ArmCode {
                label: branch.label,
                block: self.code.reserve(),
            })
            .collect();
        for (branch, arm) in branches.iter().zip(&arms) {
            let mut ops = vec![];
            for action in &branch.before {
                self.call(action, Some((selector, &arms)), &mut ops);
            }
            let val = self.payload(to, branch, &mut ops);
            let target = self.after(branch, val);
            let exit = Exit::Offer {
                selector,
                arms: vec![(branch.label, val, target)],
            };
            self.code.blocks[arm.block] = Block { ops, exit };
        }
        let table = arms
            .iter()
            .map(|arm| (u64::from(arm.label.0), arm.block))
            .collect();
        Exit::Branch {
            cond: selector,
            table,
        }
    }

    /// The block after an arm of an `Offer`: binds the sent payload and continues.
    fn after(&mut self, branch: &LocalBranch, val: Vreg) -> usize {
        let mut ops = vec![];
        self.bind(branch, val, &mut ops);
        self.code.block(Block {
            ops,
            exit: Exit::Jump(branch.next.index()),
        })
    }

    fn payload(&mut self, to: RoleId, branch: &LocalBranch, ops: &mut Vec<Op>) -> Vreg {
        if let Origin::Var(var) = branch.origin {
            return self.code.var(var);
        }
        if self.tables.is_unit(branch.sort) {
            return self.unit.unwrap_or_else(|| self.set(Value::Unit, ops));
        }
        let dst = match branch.binds.first() {
            Some(var) => self.code.var(*var),
            None => self.code.fresh(),
        };
        let operation = self.tables.produce(branch.label, to, branch.sort);
        ops.push(Op::Invoke {
            operation,
            args: vec![],
            dst,
            on_failure: None,
        });
        dst
    }

    fn bind(&mut self, branch: &LocalBranch, src: Vreg, ops: &mut Vec<Op>) {
        for var in &branch.binds {
            let dst = self.code.var(*var);
            if dst != src {
                ops.push(Op::Move { dst, src });
            }
        }
    }

    fn set(&mut self, value: Value, ops: &mut Vec<Op>) -> Vreg {
        let dst = self.code.fresh();
        ops.push(Op::Set { dst, value });
        dst
    }

    /// Compiles a call. `choice` holds the decision register and the arms that a failure can
    /// select.
    fn call(&mut self, action: &Action, choice: Option<(Vreg, &[ArmCode])>, ops: &mut Vec<Op>) {
        let args = action
            .args
            .iter()
            .map(|arg| self.operand(arg, ops))
            .collect();
        let operation = self.tables.call(action.operation, action.within);
        let dst = self.result(action.bind);
        let on_failure = action
            .otherwise
            .zip(choice)
            .and_then(|(label, (selector, arms))| {
                let arm = arms.iter().find(|arm| arm.label == label)?;
                let value = Value::Nat(label.0.into());
                let ops = vec![Op::Set {
                    dst: selector,
                    value,
                }];
                Some(self.code.block(Block {
                    ops,
                    exit: Exit::Jump(arm.block),
                }))
            });
        if self.tables.is_check(operation) {
            let witness = self.code.fresh();
            ops.push(Op::Check {
                operation,
                args,
                dst,
                witness,
                on_failure,
            });
        } else {
            ops.push(Op::Invoke {
                operation,
                args,
                dst,
                on_failure,
            });
        }
    }

    fn result(&mut self, bind: Option<VarId>) -> Vreg {
        match bind {
            Some(var) => self.code.var(var),
            None => self.code.fresh(),
        }
    }

    fn operand(&mut self, operand: &Operand, ops: &mut Vec<Op>) -> Vreg {
        let value = match operand {
            Operand::Var(var) => return self.code.var(*var),
            Operand::Bool(b) => Value::Bool(*b),
            Operand::Nat(n) => Value::Nat(*n),
            Operand::Int(n) => Value::Int(*n),
            Operand::Text(text) => Value::text(text),
        };
        self.set(value, ops)
    }
}
