//! Compilation: from local automata with local code to a code image with one program per role.
//!
//! Register 0 of a program holds the role's endpoint. Around each communication stands what the
//! role's host has to do with it: a payload that is no bound name is asked from it (`produce`), a
//! choice is asked from it (`decide`), and every received message is told to it (`deliver`).
//!
//! A choice none of whose arms has anything to do before its message is one `Offer` of all arms.
//! Otherwise a `Branch` on the decision leads to each arm's code, which ends with an `Offer` of its
//! own arm: so a payload is asked for only when it is known to be sent. A call that fails with
//! `else label` makes that label the decision and goes to its arm.

use antiphon_machine::{CodeImage, LabelId, Program, Role, RoleId, Value};

use crate::automaton::{Action, LocalAutomaton, LocalBranch, LocalKind, Operand, Origin};
use crate::check::check;
use crate::diagnostic::{Diagnostic, Findings};
use crate::global::{CheckedProtocol, VarId};
use crate::module::Modules;
use crate::project::{PLACES_MAX, project_all_within};
use crate::resources::{ResourceError, allocate, check_tables};
use crate::safety::{Limits, Safety, SafetyCertificate, explore};

mod code;
mod tables;

pub(crate) use code::{Flat, FlatCode, Vreg};

use code::{Block, Code, Exit, Op};
use tables::Tables;

/// The version that images carry: the language has no way to number a protocol yet.
const IMAGE_VERSION: u32 = 1;

/// A protocol with all that is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The local automata; `automata[r]` is role `r`'s.
    pub automata: Vec<LocalAutomaton>,
    /// The image, not verified yet.
    pub image: CodeImage,
    /// The evidence that the roles are safe together; nothing when the exploration ran out of its
    /// budget.
    pub certificate: Option<SafetyCertificate>,
    /// What is worth saying although the protocol is accepted.
    pub warnings: Vec<Diagnostic>,
}

/// What became of a text.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The protocols of the text that was asked for in which nothing is wrong, with all that is
    /// made of them.
    pub protocols: Vec<(CheckedProtocol, Compiled)>,
    /// All findings of all checks, in the order of the texts.
    pub diagnostics: Vec<Diagnostic>,
}

/// The whole way: checks names and shape, projects, explores and compiles every protocol of the
/// text that was asked for, and gives every finding in one go.
pub fn compile_all(modules: &Modules, limits: &Limits) -> Whole {
    let checked = check(modules);
    let mut findings = Findings::default();
    findings.extend(checked.diagnostics);
    let mut protocols = vec![];
    let mut work = Work::of(limits);
    for protocol in checked.protocols {
        match compile_within(&protocol, limits, &mut work) {
            Ok(compiled) => {
                findings.extend(compiled.warnings.iter().cloned());
                protocols.push((protocol, compiled));
            }
            Err(errors) => findings.extend(errors),
        }
    }
    Whole {
        protocols,
        diagnostics: findings.into_sorted(),
    }
}

/// Projects, explores and compiles a checked protocol.
///
/// # Errors
/// What is wrong with it: conflicts of projection, of all roles; or else what makes it unsafe and
/// what does not fit into an image.
pub fn compile(protocol: &CheckedProtocol, limits: &Limits) -> Result<Compiled, Vec<Diagnostic>> {
    compile_within(protocol, limits, &mut Work::of(limits))
}

/// Places that the projections of one text look at, all together: a few seconds, however many
/// protocols it has.
const PLACES_OF_A_TEXT: usize = 16 * PLACES_MAX;

/// How many protocols of one text may use up the whole budget of an exploration.
const EXPLORATIONS_OF_A_TEXT: usize = 8;

/// The work that is left for a text.
struct Work {
    places: usize,
    configurations: usize,
}

impl Work {
    fn of(limits: &Limits) -> Work {
        let configurations = limits.configurations.saturating_mul(EXPLORATIONS_OF_A_TEXT);
        Work {
            places: PLACES_OF_A_TEXT,
            configurations,
        }
    }
}

fn compile_within(
    protocol: &CheckedProtocol,
    limits: &Limits,
    work: &mut Work,
) -> Result<Compiled, Vec<Diagnostic>> {
    let automata = project_all_within(protocol, &mut work.places).map_err(|errors| {
        errors
            .iter()
            .map(|error| error.diagnostic(protocol))
            .collect::<Vec<_>>()
    })?;
    let configurations = limits.configurations.min(work.configurations);
    let safety = explore(
        &automata,
        &Limits {
            configurations,
            ..*limits
        },
    );
    work.configurations -= match &safety {
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

/// The image of a protocol whose local automata are given; `automata[r]` is role `r`'s.
///
/// # Errors
/// Everything that does not fit into an image or its machine.
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

/// A role's program, registers allocated.
fn program(automaton: &LocalAutomaton, tables: &mut Tables<'_>) -> Result<Program, ResourceError> {
    let mut attempt = |unit_stays| {
        let flat = Builder::new(automaton, tables, unit_stays).build().flat();
        let (registers, code) = allocate(automaton.role, &flat)?;
        Ok(Program {
            name: String::new(),
            registers,
            code,
        })
    };
    // Unit in a register of its own costs nothing at run time; when registers are short it is set
    // where it is sent.
    attempt(true).or_else(|_| attempt(false))
}

/// Where an arm of a choice begins, and what it decides.
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
        unit_stays: bool,
    ) -> Builder<'a, 't, 'p> {
        let mut code = Code::new(automaton.states.len());
        let unit = unit_stays.then(|| code.fresh());
        Builder {
            automaton,
            tables,
            code,
            unit,
        }
    }

    /// Block `n` is where state `n` begins.
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
            // `else` stands only at the head of one of several branches, never here.
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

    /// Binds what was received and tells it to the host.
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
        let prepared = |branch: &LocalBranch| {
            let produced = branch.origin == Origin::Host && !self.tables.is_unit(branch.sort);
            branch.before.is_empty() && !produced
        };
        if branches.iter().all(prepared) {
            let mut arms = vec![];
            for branch in branches {
                let val = self.payload(to, branch, ops);
                arms.push((branch.label, val, self.after(branch, val)));
            }
            return Exit::Offer { selector, arms };
        }
        // The blocks are numbered before they are filled: a failure in one arm may lead to another
        // one.
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

    /// The block behind an arm of an `Offer`: binds what was sent and goes on.
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

    /// Calls an operation; `choice` is the decision and the arms that a failure can turn to.
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
