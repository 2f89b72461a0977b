//! Paths: the certain facts about each register on every path through a program.

use super::*;

/// The most that is certain about a register.
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

/// The facts that are certain when control reaches an instruction.
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
    /// Joins the frame into that of `pc`, and queues `pc` for a visit if its frame changed.
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

    /// Checks the instruction at `pc`, and joins its frames into those of the next instructions.
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
        let next = at.next();
        match &image.programs[program.index()].code[pc.index()] {
            Instruction::Send { chan, label, val } => {
                let t = at.check_send(*chan, *label, *val)?;
                self.flow(program, next, frame.in_state(t.next))
            }
            Instruction::Offer {
                chan,
                selector,
                arms,
            } => self.visit_offer(&at, *chan, *selector, arms),
            Instruction::Receive { chan, label, dst } => {
                self.visit_receive(&at, *chan, *label, *dst)
            }
            Instruction::Choose { chan, dst, table } => self.visit_choose(&at, *chan, *dst, table),
            Instruction::Invoke {
                operation,
                args,
                dst,
                on_failure,
            } => self.visit_request(&at, *operation, args, *dst, None, *on_failure),
            Instruction::Check {
                operation,
                args,
                dst,
                witness,
                on_failure,
            } => self.visit_request(&at, *operation, args, *dst, Some(*witness), *on_failure),
            Instruction::Spawn {
                program: child,
                args,
                dst,
            } => self.visit_spawn(&at, *child, args, *dst),
            Instruction::Set { dst, value } => {
                let known = Known::Exactly(value.clone());
                self.flow(program, next, frame.with(*dst, known))
            }
            Instruction::Move { dst, src } => {
                let known = frame.registers[src.index()].clone();
                self.flow(program, next, frame.with(*dst, known))
            }
            Instruction::Jump { target } => self.flow(program, *target, frame),
            Instruction::Branch { cond, table } => {
                for (number, target) in at.possible_rows(*cond, table)? {
                    let known = at.known_after(*cond, number);
                    self.flow(program, target, frame.clone().with(*cond, known))?;
                }
                Ok(())
            }
            Instruction::Yield => self.flow(program, next, frame),
            Instruction::Close | Instruction::Halt => at.check_end(),
        }
    }

    fn visit_offer(&mut self, at: &At<'_>, chan: Reg, selector: Reg, arms: &[Arm]) -> Checked {
        for arm in at.possible_arms(selector, arms)? {
            let t = at.check_send(chan, arm.label, arm.val)?;
            let known = at.known_after(selector, arm.label.0.into());
            let frame = at.frame.in_state(t.next).with(selector, known);
            self.flow(at.program, arm.target, frame)?;
        }
        Ok(())
    }

    fn visit_receive(&mut self, at: &At<'_>, chan: Reg, label: LabelId, dst: Reg) -> Checked {
        let (state, branches) = at.state_of(chan, Action::Receive)?;
        if let Some(other) = branches.iter().find(|t| t.label != label) {
            return at.refuse(Kind::Unhandled {
                state,
                label: other.label,
            });
        }
        for t in branches {
            let frame = at.frame.in_state(t.next).with(dst, Known::Of(t.sort));
            self.flow(at.program, at.next(), frame)?;
        }
        Ok(())
    }

    fn visit_choose(
        &mut self,
        at: &At<'_>,
        chan: Reg,
        dst: Reg,
        table: &[(LabelId, Pc)],
    ) -> Checked {
        let (state, branches) = at.state_of(chan, Action::Receive)?;
        let admitted = |label| branches.iter().any(|t| t.label == label);
        if let Some(&(label, _)) = table.iter().find(|row| !admitted(row.0)) {
            return at.refuse(Kind::WrongLabel { state, label });
        }
        for t in branches {
            let label = t.label;
            let Some(row) = table.iter().find(|row| row.0 == label) else {
                return at.refuse(Kind::Unhandled { state, label });
            };
            let frame = at.frame.in_state(t.next).with(dst, Known::Of(t.sort));
            self.flow(at.program, row.1, frame)?;
        }
        Ok(())
    }

    /// `Check` has a witness, `Invoke` has none.
    fn visit_request(
        &mut self,
        at: &At<'_>,
        operation: OperationId,
        args: &[Reg],
        dst: Reg,
        witness: Option<Reg>,
        on_failure: Option<Pc>,
    ) -> Checked {
        let result = at.check_request(operation, args, witness.is_some())?;
        let mut done = at.frame.clone().with(dst, Known::Of(result));
        if let Some(witness) = witness {
            done = done.with(witness, Known::Evidence);
        }
        self.flow(at.program, at.next(), done)?;
        let failed = at.frame.clone().with(dst, Known::FailureCode);
        on_failure.map_or(Ok(()), |target| self.flow(at.program, target, failed))
    }

    fn visit_spawn(&mut self, at: &At<'_>, child: ProgramId, args: &[Reg], dst: Reg) -> Checked {
        if child.index() < self.image.roles.len() {
            return at.refuse(Kind::SpawnsRole(child));
        }
        let count = usize::from(self.image.programs[child.index()].registers);
        let mut registers = vec![Known::Exactly(Value::Unit); count];
        for (slot, arg) in registers.iter_mut().zip(args) {
            // Only the holder may use an endpoint, so a copy is of no use to the child.
            *slot = match &at.frame.registers[arg.index()] {
                Known::Endpoint => Known::Nothing,
                known => known.clone(),
            };
        }
        let state = None;
        self.flow(child, Pc(0), Frame { state, registers })?;
        let frame = at.frame.clone().with(dst, Known::Nat);
        self.flow(at.program, at.next(), frame)
    }
}

/// An instruction with the frame in which control reaches it.
struct At<'a> {
    image: &'a CodeImage,
    program: ProgramId,
    pc: Pc,
    frame: &'a Frame,
}

impl<'a> At<'a> {
    /// The instruction after this one.
    fn next(&self) -> Pc {
        Pc(self.pc.0 + 1)
    }

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

    fn check_send(&self, chan: Reg, label: LabelId, val: Reg) -> Result<Transition, VerifyError> {
        let (state, branches) = self.state_of(chan, Action::Send)?;
        let Some(t) = branches.iter().find(|t| t.label == label) else {
            return self.refuse(Kind::WrongLabel { state, label });
        };
        self.check_sort(val, t.sort)?;
        Ok(*t)
    }

    fn check_sort(&self, register: Reg, sort: SortId) -> Checked {
        if self.frame.registers[register.index()].is_of(sort, &self.image.sorts) {
            Ok(())
        } else {
            self.refuse(Kind::WrongSort { register, sort })
        }
    }

    fn check_request(
        &self,
        id: OperationId,
        args: &[Reg],
        check: bool,
    ) -> Result<SortId, VerifyError> {
        let operation = &self.image.operations[id.index()];
        let is_check = matches!(operation.class, Class::Check);
        if is_check != check || operation.args.len() != args.len() {
            return self.refuse(Kind::WrongOperation(id));
        }
        for (arg, sort) in args.iter().zip(&operation.args) {
            self.check_sort(*arg, *sort)?;
        }
        Ok(operation.result)
    }

    /// The arms, if they match the numbers that the selector can hold. Every arm of an `Offer` must
    /// be possible: an unreachable arm would make a choice look as if it had more branches than it
    /// has.
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

    /// The rows that the condition can select. Every number that the condition can hold must have a
    /// row.
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

    /// What a register holds after a branch on this number: a `Bool` if the number came from one.
    fn known_after(&self, register: Reg, number: u64) -> Known {
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

    fn check_end(&self) -> Checked {
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
    fn in_state(&self, state: StateId) -> Frame {
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

    /// The facts that are certain if either holds. The result is `self` or strictly less certain,
    /// so the visits end.
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

/// Whether every value of sort `a` is of sort `b`.
fn included(a: SortId, b: SortId, sorts: &[Sort]) -> bool {
    Inclusion {
        sorts,
        seen: HashSet::new(),
    }
    .holds(a, b)
}

/// Compares two sorts. Sorts may share their parts, so a sort written out as a tree can be
/// exponentially larger than the table. A pair that was found to be included is therefore not
/// compared again, and a pair that was not ends the comparison. Linear in the pairs met; the
/// recursion is as deep as the sorts.
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
