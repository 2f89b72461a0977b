//! Paths: what is known of each register on every way through a program.

use super::*;

/// What is certain of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// Exactly this value.
    Exactly(Value),
    /// Some value of this sort.
    Of(SortId),
    /// Some `Nat`.
    Nat,
    /// The code of a failure kind.
    FailureCode,
    /// The program's own endpoint.
    Endpoint,
    /// Evidence.
    Evidence,
    /// Nothing.
    Nothing,
}

/// What is certain when control reaches an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    /// The state of the role's automaton; `None` in a program that only `Spawn` starts.
    state: Option<StateId>,
    registers: Vec<Known>,
}

struct Paths<'a> {
    image: &'a CodeImage,
    frames: Vec<Vec<Option<Frame>>>,
    work: Vec<(ProgramId, Pc)>,
}

pub(super) fn check_paths(image: &CodeImage) -> Checked {
    let frames = image
        .programs
        .iter()
        .map(|p| vec![None; p.code.len()])
        .collect();
    let mut paths = Paths {
        image,
        frames,
        work: Vec::new(),
    };
    for role in 0..image.roles.len() {
        let program = ProgramId(role as u16);
        let count = usize::from(image.programs[role].registers);
        let mut registers = vec![Known::Exactly(Value::Unit); count];
        if let Some(first) = registers.first_mut() {
            *first = Known::Endpoint;
        }
        paths.flow(
            program,
            Pc(0),
            Frame {
                state: Some(StateId(0)),
                registers,
            },
        )?;
    }
    while let Some((program, pc)) = paths.work.pop() {
        paths.visit(program, pc)?;
    }
    Ok(())
}

impl Paths<'_> {
    /// Control reaches `pc` with this frame.
    fn flow(&mut self, program: ProgramId, pc: Pc, frame: Frame) -> Checked {
        let place = Place::Instruction(program, pc);
        let Some(slot) = self.frames[program.index()].get_mut(pc.index()) else {
            return refuse(Place::Program(program), Kind::FallsOff);
        };
        let Some(old) = slot else {
            *slot = Some(frame);
            self.work.push((program, pc));
            return Ok(());
        };
        if let (Some(a), Some(b)) = (old.state, frame.state)
            && a != b
        {
            return refuse(place, Kind::PathsDisagree(a, b));
        }
        let mut changed = false;
        for (mine, other) in old.registers.iter_mut().zip(frame.registers) {
            let met = mine.meet(other, &self.image.sorts);
            changed |= met != *mine;
            *mine = met;
        }
        if changed {
            self.work.push((program, pc));
        }
        Ok(())
    }

    fn visit(&mut self, program: ProgramId, pc: Pc) -> Checked {
        let Some(frame) = self.frames[program.index()][pc.index()].clone() else {
            return Ok(());
        };
        let image = self.image;
        let at = At {
            image,
            program,
            pc,
            frame: &frame,
        };
        let next = Pc(pc.0 + 1);
        match &image.programs[program.index()].code[pc.index()] {
            Instruction::Send { chan, label, val } => {
                let t = at.sends(*chan, *label, *val)?;
                self.flow(program, next, frame.moved(t.next))
            }
            Instruction::Offer {
                chan,
                selector,
                arms,
            } => {
                for arm in at.possible_arms(*selector, arms)? {
                    let t = at.sends(*chan, arm.label, arm.val)?;
                    let chosen = at.chosen(*selector, arm.label.0.into());
                    let frame = frame.moved(t.next).with(*selector, chosen);
                    self.flow(program, arm.target, frame)?;
                }
                Ok(())
            }
            Instruction::Receive { chan, label, dst } => {
                let (state, branches) = at.state_of(*chan, Action::Receive)?;
                if let Some(other) = branches.iter().find(|t| t.label != *label) {
                    return at.refuse(Kind::Unhandled {
                        state,
                        label: other.label,
                    });
                }
                for t in branches {
                    self.flow(
                        program,
                        next,
                        frame.moved(t.next).with(*dst, Known::Of(t.sort)),
                    )?;
                }
                Ok(())
            }
            Instruction::Choose { chan, dst, table } => {
                let (state, branches) = at.state_of(*chan, Action::Receive)?;
                if let Some(extra) = table
                    .iter()
                    .find(|row| branches.iter().all(|t| t.label != row.0))
                {
                    return at.refuse(Kind::WrongLabel {
                        state,
                        label: extra.0,
                    });
                }
                for t in branches {
                    let Some(row) = table.iter().find(|row| row.0 == t.label) else {
                        return at.refuse(Kind::Unhandled {
                            state,
                            label: t.label,
                        });
                    };
                    self.flow(
                        program,
                        row.1,
                        frame.moved(t.next).with(*dst, Known::Of(t.sort)),
                    )?;
                }
                Ok(())
            }
            Instruction::Invoke {
                operation,
                args,
                dst,
                on_failure,
            } => {
                let result = at.asks(*operation, args, false)?;
                let failed = frame.clone().with(*dst, Known::FailureCode);
                self.flow(program, next, frame.with(*dst, Known::Of(result)))?;
                on_failure.map_or(Ok(()), |target| self.flow(program, target, failed))
            }
            Instruction::Check {
                operation,
                args,
                dst,
                witness,
                on_failure,
            } => {
                let result = at.asks(*operation, args, true)?;
                let failed = frame.clone().with(*dst, Known::FailureCode);
                let done = frame
                    .with(*dst, Known::Of(result))
                    .with(*witness, Known::Evidence);
                self.flow(program, next, done)?;
                on_failure.map_or(Ok(()), |target| self.flow(program, target, failed))
            }
            Instruction::Spawn {
                program: child,
                args,
                dst,
            } => {
                if child.index() < image.roles.len() {
                    return at.refuse(Kind::SpawnsRole(*child));
                }
                let count = usize::from(image.programs[child.index()].registers);
                let mut registers = vec![Known::Exactly(Value::Unit); count];
                for (slot, arg) in registers.iter_mut().zip(args) {
                    // The endpoint stays with its holder; a copy is of no use to the child.
                    *slot = match &frame.registers[arg.index()] {
                        Known::Endpoint => Known::Nothing,
                        known => known.clone(),
                    };
                }
                self.flow(
                    *child,
                    Pc(0),
                    Frame {
                        state: None,
                        registers,
                    },
                )?;
                self.flow(program, next, frame.with(*dst, Known::Nat))
            }
            Instruction::Set { dst, value } => self.flow(
                program,
                next,
                frame.with(*dst, Known::Exactly(value.clone())),
            ),
            Instruction::Move { dst, src } => {
                let known = frame.registers[src.index()].clone();
                self.flow(program, next, frame.with(*dst, known))
            }
            Instruction::Jump { target } => self.flow(program, *target, frame),
            Instruction::Branch { cond, table } => {
                for (number, target) in at.possible_rows(*cond, table)? {
                    let known = at.chosen(*cond, number);
                    self.flow(program, target, frame.clone().with(*cond, known))?;
                }
                Ok(())
            }
            Instruction::Yield => self.flow(program, next, frame),
            Instruction::Close | Instruction::Halt => at.ends(),
        }
    }
}

/// An instruction under the magnifying glass.
struct At<'a> {
    image: &'a CodeImage,
    program: ProgramId,
    pc: Pc,
    frame: &'a Frame,
}

impl<'a> At<'a> {
    fn refuse<T>(&self, kind: Kind) -> Result<T, VerifyError> {
        refuse(Place::Instruction(self.program, self.pc), kind)
    }

    /// The automaton's state and branches, if it admits the action over the endpoint in `chan`.
    fn state_of(
        &self,
        chan: Reg,
        expected: Action,
    ) -> Result<(StateId, &'a [Transition]), VerifyError> {
        let state = match (&self.frame.registers[chan.index()], self.frame.state) {
            (Known::Endpoint, Some(state)) => state,
            _ => return self.refuse(Kind::NotEndpoint(chan)),
        };
        let automaton = &self.image.roles[self.program.index()].automaton;
        let (got, branches): (_, &[Transition]) = match &automaton.states[state.index()] {
            State::End => (Action::End, &[]),
            State::Send { branches, .. } => (Action::Send, branches),
            State::Recv { branches, .. } => (Action::Receive, branches),
        };
        if got != expected {
            return self.refuse(Kind::WrongAction {
                state,
                expected,
                got,
            });
        }
        Ok((state, branches))
    }

    fn sends(&self, chan: Reg, label: LabelId, val: Reg) -> Result<Transition, VerifyError> {
        let (state, branches) = self.state_of(chan, Action::Send)?;
        let Some(t) = branches.iter().find(|t| t.label == label) else {
            return self.refuse(Kind::WrongLabel { state, label });
        };
        self.certain(val, t.sort)?;
        Ok(*t)
    }

    fn certain(&self, register: Reg, sort: SortId) -> Checked {
        if self.frame.registers[register.index()].is_of(sort, &self.image.sorts) {
            Ok(())
        } else {
            self.refuse(Kind::WrongSort { register, sort })
        }
    }

    fn asks(&self, id: OperationId, args: &[Reg], check: bool) -> Result<SortId, VerifyError> {
        let operation = &self.image.operations[id.index()];
        let is_check = matches!(operation.class, Class::Check);
        if is_check != check || operation.args.len() != args.len() {
            return self.refuse(Kind::WrongOperation(id));
        }
        for (arg, sort) in args.iter().zip(&operation.args) {
            self.certain(*arg, *sort)?;
        }
        Ok(operation.result)
    }

    /// The arms that the selector can hold. All arms of an `Offer` must be possible: an arm that cannot be reached
    /// would make a choice of fewer branches look like one of more.
    fn possible_arms(&self, selector: Reg, arms: &[Arm]) -> Result<Vec<Arm>, VerifyError> {
        let numbers = self.numbers(selector);
        let covered = numbers.as_ref().is_some_and(|numbers| {
            numbers.len() == arms.len()
                && arms
                    .iter()
                    .all(|arm| numbers.contains(&u64::from(arm.label.0)))
        });
        if covered {
            Ok(arms.to_vec())
        } else {
            self.refuse(Kind::NotTotal { register: selector })
        }
    }

    /// The rows of a branch that the condition can hold; every number that it can hold must have one.
    fn possible_rows(&self, cond: Reg, table: &[(u64, Pc)]) -> Result<Vec<(u64, Pc)>, VerifyError> {
        let Some(numbers) = self.numbers(cond) else {
            return self.refuse(Kind::NotTotal { register: cond });
        };
        let rows = numbers
            .iter()
            .map(|n| table.iter().find(|row| row.0 == *n).copied());
        match rows.collect::<Option<Vec<_>>>() {
            Some(rows) => Ok(rows),
            None => self.refuse(Kind::NotTotal { register: cond }),
        }
    }

    /// The numbers that a register can hold, when they are few.
    fn numbers(&self, register: Reg) -> Option<Vec<u64>> {
        match &self.frame.registers[register.index()] {
            Known::Exactly(Value::Nat(n)) => Some(vec![*n]),
            Known::Exactly(Value::Bool(b)) => Some(vec![u64::from(*b)]),
            Known::FailureCode => Some((0..crate::FailureKind::ALL.len() as u64).collect()),
            Known::Of(sort) => match &self.image.sorts[sort.index()] {
                Sort::Bool => Some(vec![0, 1]),
                Sort::Enum { variants, .. } => Some((0..variants.len() as u64).collect()),
                Sort::Arm(labels) => Some(labels.iter().map(|l| l.0.into()).collect()),
                Sort::Unit
                | Sort::Nat
                | Sort::Int
                | Sort::Text
                | Sort::Bytes
                | Sort::List(_)
                | Sort::Option(_)
                | Sort::Record { .. }
                | Sort::Foreign { .. } => None,
            },
            Known::Exactly(_) | Known::Nat | Known::Endpoint | Known::Evidence | Known::Nothing => {
                None
            }
        }
    }

    /// What a register holds on the way that its number has chosen: still a `Bool` where that is what gave the number.
    fn chosen(&self, register: Reg, number: u64) -> Known {
        match &self.frame.registers[register.index()] {
            Known::Exactly(value) => Known::Exactly(value.clone()),
            Known::Of(sort) if self.image.sorts[sort.index()] == Sort::Bool => {
                Known::Exactly(Value::Bool(number == 1))
            }
            Known::Of(_)
            | Known::Nat
            | Known::FailureCode
            | Known::Endpoint
            | Known::Evidence
            | Known::Nothing => Known::Exactly(Value::Nat(number)),
        }
    }

    fn ends(&self) -> Checked {
        let Some(state) = self.frame.state else {
            return Ok(());
        };
        match self.image.roles[self.program.index()].automaton.states[state.index()] {
            State::End => Ok(()),
            State::Send { .. } | State::Recv { .. } => self.refuse(Kind::EndsEarly(state)),
        }
    }
}

impl Frame {
    fn moved(&self, state: StateId) -> Frame {
        Frame {
            state: Some(state),
            registers: self.registers.clone(),
        }
    }

    fn with(mut self, register: Reg, known: Known) -> Frame {
        self.registers[register.index()] = known;
        self
    }
}

impl Known {
    fn is_of(&self, sort: SortId, sorts: &[Sort]) -> bool {
        match self {
            Known::Exactly(value) => value.is_of(sort, sorts),
            Known::Of(own) => included(*own, sort, sorts),
            Known::Nat => sorts[sort.index()] == Sort::Nat,
            Known::FailureCode => match &sorts[sort.index()] {
                Sort::Nat => true,
                Sort::Enum { variants, .. } => variants.len() >= crate::FailureKind::ALL.len(),
                _ => false,
            },
            Known::Endpoint | Known::Evidence | Known::Nothing => false,
        }
    }

    /// What is certain when either may be the case. Each answer is `self`, or strictly less certain: so visits end.
    fn meet(&self, other: Known, sorts: &[Sort]) -> Known {
        if *self == other {
            return other;
        }
        if let Known::Of(sort) = *self
            && other.is_of(sort, sorts)
        {
            return Known::Of(sort);
        }
        if let Known::Of(sort) = other
            && matches!(self, Known::Exactly(_))
            && self.is_of(sort, sorts)
        {
            return Known::Of(sort);
        }
        match (self.is_nat(sorts), other.is_nat(sorts)) {
            (true, true) => Known::Nat,
            _ => Known::Nothing,
        }
    }

    fn is_nat(&self, sorts: &[Sort]) -> bool {
        match self {
            Known::Exactly(value) => matches!(value, Value::Nat(_)),
            Known::Of(sort) => {
                matches!(
                    sorts[sort.index()],
                    Sort::Nat | Sort::Enum { .. } | Sort::Arm(_)
                )
            }
            Known::Nat | Known::FailureCode => true,
            Known::Endpoint | Known::Evidence | Known::Nothing => false,
        }
    }
}

/// Whether every value of the one sort is of the other.
fn included(a: SortId, b: SortId, sorts: &[Sort]) -> bool {
    Inclusion {
        sorts,
        seen: HashSet::new(),
    }
    .holds(a, b)
}

/// A question about two sorts. Sorts may share their parts, so that the trees they stand for are exponentially larger
/// than the table: a pair that was found to be included is not looked at again, and one that was not ends the question.
/// Linear in the pairs met; the depth of the recursion is that of sorts.
struct Inclusion<'a> {
    sorts: &'a [Sort],
    seen: HashSet<(SortId, SortId)>,
}

impl Inclusion<'_> {
    fn holds(&mut self, a: SortId, b: SortId) -> bool {
        if a == b {
            return true;
        }
        let sorts = self.sorts;
        match (&sorts[a.index()], &sorts[b.index()]) {
            (Sort::List(x), Sort::List(y))
            | (Sort::Option(x), Sort::Option(y))
            | (Sort::Option(x), Sort::List(y)) => self.holds(*x, *y),
            (Sort::Record { fields: xs, .. }, Sort::Record { fields: ys, .. }) => {
                !self.seen.insert((a, b))
                    || (xs.len() == ys.len()
                        && xs.iter().zip(ys).all(|(x, y)| self.holds(x.1, y.1)))
            }
            (Sort::Enum { variants: xs, .. }, Sort::Enum { variants: ys, .. }) => {
                xs.len() <= ys.len()
            }
            (Sort::Enum { .. } | Sort::Arm(_), Sort::Nat) => true,
            (Sort::Arm(xs), Sort::Arm(ys)) => xs.iter().all(|x| ys.contains(x)),
            (Sort::Foreign { .. }, Sort::Bytes) | (Sort::Bytes, Sort::Foreign { .. }) => true,
            (Sort::Foreign { .. }, Sort::Foreign { .. }) => true,
            (x, y) => x == y,
        }
    }
}
