//! Verification of an image at load.
//!
//! Three passes: the tables (sizes, names, references), the automata, and the programs. A program is followed along
//! every path at once: at each instruction the verifier knows the state of the role's automaton and, for each
//! register, what is certain of its value. Paths that meet must agree on the state; registers keep what is certain on
//! all of them. So every send, receive and choice of a verified image agrees with its automaton, whatever the world
//! answers. Each instruction is visited at most a few times per register: linear in the code.

use std::collections::HashSet;

use crate::bounds::{
    BRANCHES_MAX, CODE_LEN_MAX, CONSTANT_LEN_MAX, IMAGE_LEN_MAX, NAME_LEN_MAX, REGISTERS_MAX,
    ROLES_MAX, SORT_DEPTH_MAX, SORTS_MAX, STATES_MAX, TABLE_LEN_MAX,
};
use crate::canonical::Canonical;
use crate::fault::Action;
use crate::ids::{EdgeId, LabelId, OperationId, Pc, ProgramId, Reg, RoleId, SortId, StateId};
use crate::image::{Arm, Class, CodeImage, Instruction, Program, Sort, State, Transition};
use crate::value::Value;

/// An image that has been checked, with what a step needs precomputed. Only this can be loaded.
#[derive(Clone, Debug)]
pub struct VerifiedImage {
    image: CodeImage,
    digest: [u8; 32],
    /// Sender and receiver of each edge, in the order of (sender, receiver).
    edges: Vec<(RoleId, RoleId)>,
    /// Per role, per state.
    points: Vec<Vec<Point>>,
}

/// A state of an automaton, as a step reads it.
#[derive(Clone, Debug)]
pub struct Point {
    /// What the role may do.
    pub action: Action,
    /// The other role.
    pub peer: RoleId,
    /// The edge between them, in the direction of the action.
    pub edge: EdgeId,
    /// The messages it may be done with.
    pub branches: Box<[Transition]>,
}

/// Why an image was refused: where, and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct VerifyError {
    /// Where in the image.
    pub place: Place,
    /// What is wrong.
    pub kind: VerifyErrorKind,
}

/// A place in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the row of the table of that name")]
pub enum Place {
    Image,
    Role(RoleId),
    Label(LabelId),
    Sort(SortId),
    Interface(u16),
    Operation(OperationId),
    State(RoleId, StateId),
    Program(ProgramId),
    Instruction(ProgramId, Pc),
}

/// What is wrong with an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyErrorKind {
    /// A table or list is longer than its bound.
    #[error("{what}: {len} is over the bound of {max}")]
    TooLong {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// A table or list must not be empty.
    #[error("{what}: at least one is needed")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// Two rows have the same name, or two branches the same label.
    #[error("{what} is there twice")]
    Twice {
        /// What.
        what: String,
    },
    /// A reference to a row that is not there.
    #[error("{what} {index} does not exist; there are {len}")]
    NoSuchRow {
        /// What is referred to.
        what: &'static str,
        /// Which row.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// A sort refers to itself or to a later one.
    #[error("refers to sort {got}, which does not come before it")]
    SortOrder {
        /// The sort referred to.
        got: SortId,
    },
    /// A state sends to, or receives from, its own role.
    #[error("the role speaks with itself")]
    SelfMessage,
    /// The programs are fewer than the roles.
    #[error("{roles} roles need as many programs, got {programs}")]
    ProgramPerRole {
        /// How many roles.
        roles: usize,
        /// How many programs.
        programs: usize,
    },
    /// Control runs off the end of a program.
    #[error("control leaves the program")]
    FallsOff,
    /// Two paths reach an instruction with the automaton in different states.
    #[error("reached in automaton state {0} and in state {1}")]
    PathsDisagree(StateId, StateId),
    /// The register does not hold the program's own endpoint on every path.
    #[error("register {0} does not hold the role's endpoint on every path")]
    NotEndpoint(Reg),
    /// The automaton does not admit the action.
    #[error("automaton state {state} admits `{got}`, the instruction would `{expected}`")]
    WrongAction {
        /// The state.
        state: StateId,
        /// What the instruction does.
        expected: Action,
        /// What the state admits.
        got: Action,
    },
    /// The automaton does not admit the label.
    #[error("automaton state {state} does not admit label {label}")]
    WrongLabel {
        /// The state.
        state: StateId,
        /// The label.
        label: LabelId,
    },
    /// The state admits a label that the instruction has no place for.
    #[error("label {label} may arrive in automaton state {state} and has no branch here")]
    Unhandled {
        /// The state.
        state: StateId,
        /// The label.
        label: LabelId,
    },
    /// A register may hold a value that is not of the sort.
    #[error("register {register} is not certain to hold a value of sort {sort}")]
    WrongSort {
        /// The register.
        register: Reg,
        /// The sort it must have.
        sort: SortId,
    },
    /// A selector or condition may hold a number that is not in the table, or the table has rows that it cannot hold.
    #[error(
        "register {register} is not certain to hold one of the numbers of the table, and all of them"
    )]
    NotTotal {
        /// The register.
        register: Reg,
    },
    /// The instruction does not fit the class or the arguments of its operation.
    #[error("the instruction does not fit operation {0}")]
    WrongOperation(OperationId),
    /// `Spawn` names a role's own program.
    #[error("program {0} belongs to a role and cannot be spawned")]
    SpawnsRole(ProgramId),
    /// The program ends before its role does.
    #[error("ends in automaton state {0}, which is not an end")]
    EndsEarly(StateId),
    /// A constant is an endpoint or evidence, which nobody can make.
    #[error("a constant of form {0} cannot be made")]
    ForgedConstant(crate::value::Form),
}

use VerifyErrorKind as Kind;

type Checked = Result<(), VerifyError>;

fn refuse<T>(place: Place, kind: Kind) -> Result<T, VerifyError> {
    Err(VerifyError { place, kind })
}

impl CodeImage {
    /// Checks everything about the image that a step relies on. Linear in its size.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn verify(self) -> Result<VerifiedImage, VerifyError> {
        check_tables(&self)?;
        check_automata(&self)?;
        check_operands(&self)?;
        check_paths(&self)?;
        // Whoever is given its bytes must be able to read them back.
        at_most(Place::Image, "bytes", self.to_bytes().len(), IMAGE_LEN_MAX)?;
        Ok(VerifiedImage::unchecked(self))
    }
}

impl VerifiedImage {
    /// Takes an image on trust.
    ///
    /// The machine stays total on it: what verification would have refused becomes a [`Fault`](crate::Fault) of the
    /// session when a step meets it. For testing exactly that, and for comparing it with the model.
    pub fn unchecked(image: CodeImage) -> VerifiedImage {
        let mut edges: Vec<(RoleId, RoleId)> = Vec::new();
        for (r, role) in (0..u16::MAX).map(RoleId).zip(&image.roles) {
            for state in &role.automaton.states {
                match state {
                    State::End => {}
                    State::Send { to, .. } => edges.push((r, *to)),
                    State::Recv { from, .. } => edges.push((*from, r)),
                }
            }
        }
        edges.sort_unstable();
        edges.dedup();
        // No verified image comes near. Of any other, the edges that have no number do not exist.
        edges.truncate(usize::from(u16::MAX));
        let edge = |from: RoleId, to: RoleId| {
            EdgeId(
                edges
                    .binary_search(&(from, to))
                    .map_or(u16::MAX, |n| n as u16),
            )
        };
        let points = (0..u16::MAX)
            .map(RoleId)
            .zip(&image.roles)
            .map(|(r, role)| {
                let point = |state: &State| match state {
                    State::End => Point {
                        action: Action::End,
                        peer: r,
                        edge: EdgeId(u16::MAX),
                        branches: Box::new([]),
                    },
                    State::Send { to, branches } => Point {
                        action: Action::Send,
                        peer: *to,
                        edge: edge(r, *to),
                        branches: branches.clone().into_boxed_slice(),
                    },
                    State::Recv { from, branches } => Point {
                        action: Action::Receive,
                        peer: *from,
                        edge: edge(*from, r),
                        branches: branches.clone().into_boxed_slice(),
                    },
                };
                role.automaton.states.iter().map(point).collect()
            });
        let points = points.collect();
        let digest = *blake3::hash(&image.to_bytes()).as_bytes();
        VerifiedImage {
            image,
            digest,
            edges,
            points,
        }
    }

    /// The image as data.
    pub fn image(&self) -> &CodeImage {
        &self.image
    }

    /// The BLAKE3 digest of the image's deterministic CBOR: its name in recordings.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Sender and receiver of each edge; an [`EdgeId`] is a position in it.
    pub fn edges(&self) -> &[(RoleId, RoleId)] {
        &self.edges
    }

    /// A state of a role's automaton.
    #[inline]
    pub fn point(&self, role: RoleId, state: StateId) -> Option<&Point> {
        self.points.get(role.index())?.get(state.index())
    }

    /// A role's name; empty for a role that the image does not have.
    pub fn role_name(&self, role: RoleId) -> &str {
        self.image.roles.get(role.index()).map_or("", |r| &r.name)
    }

    /// A label's name; empty for a label that the image does not have.
    pub fn label_name(&self, label: LabelId) -> &str {
        self.image
            .labels
            .get(label.index())
            .map_or("", String::as_str)
    }
}

fn at_most(place: Place, what: &'static str, len: usize, max: usize) -> Checked {
    if len > max {
        refuse(place, Kind::TooLong { what, len, max })
    } else {
        Ok(())
    }
}

fn row(place: Place, what: &'static str, index: usize, len: usize) -> Checked {
    if index < len {
        Ok(())
    } else {
        refuse(place, Kind::NoSuchRow { what, index, len })
    }
}

fn distinct<T: Copy + Eq + std::hash::Hash>(
    place: Place,
    items: impl Iterator<Item = T>,
    name: impl Fn(T) -> String,
) -> Checked {
    let mut seen = HashSet::new();
    for item in items {
        if !seen.insert(item) {
            return refuse(place, Kind::Twice { what: name(item) });
        }
    }
    Ok(())
}

fn check_tables(image: &CodeImage) -> Checked {
    let whole = Place::Image;
    if image.roles.is_empty() {
        return refuse(whole, Kind::Empty { what: "roles" });
    }
    at_most(whole, "roles", image.roles.len(), ROLES_MAX)?;
    at_most(whole, "labels", image.labels.len(), TABLE_LEN_MAX)?;
    at_most(whole, "sorts", image.sorts.len(), SORTS_MAX)?;
    at_most(whole, "interfaces", image.interfaces.len(), TABLE_LEN_MAX)?;
    at_most(whole, "operations", image.operations.len(), TABLE_LEN_MAX)?;
    at_most(whole, "programs", image.programs.len(), TABLE_LEN_MAX)?;
    if image.programs.len() < image.roles.len() {
        let (roles, programs) = (image.roles.len(), image.programs.len());
        return refuse(whole, Kind::ProgramPerRole { roles, programs });
    }
    at_most(whole, "bytes of the name", image.name.len(), NAME_LEN_MAX)?;
    let role_names = image.roles.iter().map(|r| r.name.as_str());
    for (n, name) in (0u16..).zip(role_names.clone()) {
        at_most(
            Place::Role(RoleId(n)),
            "bytes of the name",
            name.len(),
            NAME_LEN_MAX,
        )?;
    }
    distinct(whole, role_names, |name| format!("role `{name}`"))?;
    for (n, name) in (0u16..).zip(&image.labels) {
        at_most(
            Place::Label(LabelId(n)),
            "bytes of the name",
            name.len(),
            NAME_LEN_MAX,
        )?;
    }
    distinct(whole, image.labels.iter().map(String::as_str), |name| {
        format!("label `{name}`")
    })?;
    for (n, interface) in (0u16..).zip(&image.interfaces) {
        let len = interface.name.len();
        at_most(Place::Interface(n), "bytes of the name", len, NAME_LEN_MAX)?;
    }
    let interfaces = image.interfaces.iter().map(|i| i.name.as_str());
    distinct(whole, interfaces, |name| format!("interface `{name}`"))?;
    check_sorts(image)?;
    check_operations(image)
}

fn check_sorts(image: &CodeImage) -> Checked {
    let mut depths: Vec<u32> = Vec::with_capacity(image.sorts.len());
    for (n, sort) in (0u16..).zip(&image.sorts) {
        let place = Place::Sort(SortId(n));
        let depth_of = |inner: SortId| match depths.get(inner.index()) {
            Some(depth) => Ok(*depth),
            None => refuse(place, Kind::SortOrder { got: inner }),
        };
        let mut depth = 1;
        match sort {
            Sort::Unit | Sort::Bool | Sort::Nat | Sort::Int | Sort::Text | Sort::Bytes => {}
            Sort::List(inner) | Sort::Option(inner) => depth += depth_of(*inner)?,
            Sort::Record { name, fields } => {
                at_most(place, "bytes of the name", name.len(), NAME_LEN_MAX)?;
                at_most(place, "fields", fields.len(), BRANCHES_MAX)?;
                for (field, inner) in fields {
                    at_most(place, "bytes of a field's name", field.len(), NAME_LEN_MAX)?;
                    depth = depth.max(1 + depth_of(*inner)?);
                }
                let names = fields.iter().map(|f| f.0.as_str());
                distinct(place, names, |name| format!("field `{name}`"))?;
            }
            Sort::Enum { name, variants } => {
                at_most(place, "bytes of the name", name.len(), NAME_LEN_MAX)?;
                at_most(place, "variants", variants.len(), BRANCHES_MAX)?;
                for variant in variants {
                    at_most(place, "bytes of a variant", variant.len(), NAME_LEN_MAX)?;
                }
                let names = variants.iter().map(String::as_str);
                distinct(place, names, |name| format!("variant `{name}`"))?;
            }
            Sort::Foreign { name } => {
                at_most(place, "bytes of the name", name.len(), NAME_LEN_MAX)?;
            }
            Sort::Arm(labels) => check_labels(image, place, labels.iter().copied())?,
        }
        at_most(
            place,
            "levels of nesting",
            depth as usize,
            SORT_DEPTH_MAX as usize,
        )?;
        depths.push(depth);
    }
    Ok(())
}

fn check_labels(
    image: &CodeImage,
    place: Place,
    labels: impl ExactSizeIterator<Item = LabelId> + Clone,
) -> Checked {
    if labels.len() == 0 {
        return refuse(place, Kind::Empty { what: "labels" });
    }
    at_most(place, "labels", labels.len(), BRANCHES_MAX)?;
    for label in labels.clone() {
        row(place, "label", label.index(), image.labels.len())?;
    }
    distinct(place, labels, |label| format!("label {label}"))
}

fn check_operations(image: &CodeImage) -> Checked {
    for (n, operation) in (0u16..).zip(&image.operations) {
        let place = Place::Operation(OperationId(n));
        at_most(
            place,
            "bytes of the name",
            operation.name.len(),
            NAME_LEN_MAX,
        )?;
        row(
            place,
            "interface",
            operation.interface.into(),
            image.interfaces.len(),
        )?;
        at_most(
            place,
            "arguments",
            operation.args.len(),
            usize::from(REGISTERS_MAX),
        )?;
        for sort in operation.args.iter().chain([&operation.result]) {
            row(place, "sort", sort.index(), image.sorts.len())?;
        }
        match &operation.class {
            Class::Produce { label, peer } | Class::Deliver { label, peer } => {
                row(place, "label", label.index(), image.labels.len())?;
                row(place, "role", peer.index(), image.roles.len())?;
            }
            Class::Decide { labels, peer } => {
                check_labels(image, place, labels.iter().copied())?;
                row(place, "role", peer.index(), image.roles.len())?;
            }
            Class::Command | Class::Observe | Class::Check => {}
        }
    }
    Ok(())
}

fn check_automata(image: &CodeImage) -> Checked {
    for (r, role) in (0u16..).map(RoleId).zip(&image.roles) {
        let states = &role.automaton.states;
        if states.is_empty() {
            return refuse(Place::Role(r), Kind::Empty { what: "states" });
        }
        at_most(Place::Role(r), "states", states.len(), STATES_MAX)?;
        for (n, state) in (0u32..).zip(states) {
            let place = Place::State(r, StateId(n));
            let (peer, branches) = match state {
                State::End => continue,
                State::Send { to, branches } => (*to, branches),
                State::Recv { from, branches } => (*from, branches),
            };
            row(place, "role", peer.index(), image.roles.len())?;
            if peer == r {
                return refuse(place, Kind::SelfMessage);
            }
            check_labels(image, place, branches.iter().map(|t| t.label))?;
            for t in branches {
                row(place, "sort", t.sort.index(), image.sorts.len())?;
                row(place, "state", t.next.index(), states.len())?;
            }
        }
    }
    Ok(())
}

/// Every operand of every instruction, on a path or not, names something that is there.
fn check_operands(image: &CodeImage) -> Checked {
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

fn check_paths(image: &CodeImage) -> Checked {
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

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Image => write!(f, "image"),
            Place::Role(r) => write!(f, "role {r}"),
            Place::Label(l) => write!(f, "label {l}"),
            Place::Sort(s) => write!(f, "sort {s}"),
            Place::Interface(i) => write!(f, "interface {i}"),
            Place::Operation(o) => write!(f, "operation {o}"),
            Place::State(r, s) => write!(f, "role {r}, state {s}"),
            Place::Program(p) => write!(f, "program {p}"),
            Place::Instruction(p, pc) => write!(f, "program {p}, instruction {pc}"),
        }
    }
}
