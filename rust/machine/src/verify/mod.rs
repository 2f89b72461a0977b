//! Verification of an image at load.
//!
//! Three passes check the tables (sizes, names, references), the automata, and the programs. The
//! last one follows each program along all paths at once. At each instruction it knows the state of
//! the role's automaton, and for each register what is certain about its value. Paths that meet
//! must agree on the state; a register keeps what is certain on all of them. Every send, receive
//! and choice of a verified image therefore agrees with its automaton, whatever the outcomes of
//! effects. Each instruction is visited at most a few times per register, so the time is linear in
//! the code.

// The passes return this module's errors, so they import from their parent.
mod operands;
mod paths;
mod tables;

use operands::check_operands;
use paths::check_paths;
use tables::{check_automata, check_labels, check_tables, distinct};

use std::collections::HashSet;

use crate::bounds::{
    BRANCHES_MAX, CODE_LEN_MAX, CONSTANT_LEN_MAX, IMAGE_LEN_MAX, NAME_LEN_MAX, REGISTERS_MAX,
    ROLES_MAX, SORT_DEPTH_MAX, SORTS_MAX, STATES_MAX, TABLE_LEN_MAX,
};
use crate::canonical::Canonical;
use crate::fault::{Action, Fault, Table};
use crate::ids::{EdgeId, LabelId, OperationId, Pc, ProgramId, Reg, RoleId, SortId, StateId};
use crate::image::{Arm, Class, CodeImage, Instruction, Program, Sort, State, Transition};
use crate::value::Value;

/// A checked image, with precomputed tables for steps. Only this can be loaded.
#[derive(Clone, Debug)]
pub struct VerifiedImage {
    image: CodeImage,
    digest: [u8; 32],
    /// Sender and receiver of each edge, in the order of (sender, receiver).
    edges: Vec<(RoleId, RoleId)>,
    /// The points of each role, by state.
    points: Vec<Vec<Point>>,
}

/// A state of an automaton, in the form that a step reads.
#[derive(Clone, Debug)]
pub struct Point {
    /// What the role may do.
    pub action: Action,
    /// The other role.
    pub peer: RoleId,
    /// The edge between them, in the direction of the action.
    pub edge: EdgeId,
    /// The messages that the state admits.
    pub branches: Box<[Transition]>,
}

/// Why an image was refused: the place and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct VerifyError {
    /// The place in the image.
    pub place: Place,
    /// The reason.
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

/// Why an image was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyErrorKind {
    /// A table or list is longer than its bound.
    #[error("{what}: {len} is over the bound of {max}")]
    TooLong {
        /// The unit of the count.
        what: &'static str,
        /// How many there are.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// A table or list must not be empty.
    #[error("{what}: at least one is needed")]
    Empty {
        /// The list that is empty.
        what: &'static str,
    },
    /// Two rows have the same name, or two branches have the same label.
    #[error("{what} occurs twice")]
    Twice {
        /// The row or label that occurs twice.
        what: String,
    },
    /// A reference to a row that does not exist.
    #[error("{what} {index} does not exist; there are {len}")]
    NoSuchRow {
        /// The kind of row.
        what: &'static str,
        /// The row's index.
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
    #[error("the role communicates with itself")]
    SelfMessage,
    /// There are fewer programs than roles.
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
        /// The action of the instruction.
        expected: Action,
        /// The action that the state admits.
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
    /// The state admits a label for which the instruction has no branch.
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
    /// A selector or condition may hold a number that is not in the table, or the table has a row
    /// for a number that it cannot hold.
    #[error(
        "register {register} is not certain to hold one of the numbers of the table, and all of \
         them"
    )]
    NotTotal {
        /// The register.
        register: Reg,
    },
    /// The instruction does not match the class or the arguments of its operation.
    #[error("the instruction does not fit operation {0}")]
    WrongOperation(OperationId),
    /// `Spawn` names a role's own program.
    #[error("program {0} belongs to a role and cannot be spawned")]
    SpawnsRole(ProgramId),
    /// The program ends before its role is at an end state.
    #[error("ends in automaton state {0}, which is not an end")]
    EndsEarly(StateId),
    /// A constant is an endpoint or evidence, which only the machine can make.
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
    /// The first error found, with its place.
    pub fn verify(self) -> Result<VerifiedImage, VerifyError> {
        check_tables(&self)?;
        check_automata(&self)?;
        check_operands(&self)?;
        check_paths(&self)?;
        // The encoded image must fit the limit of its readers.
        at_most(Place::Image, "bytes", self.to_bytes().len(), IMAGE_LEN_MAX)?;
        Ok(VerifiedImage::unchecked(self))
    }
}

impl VerifiedImage {
    /// The instruction at an address of a program.
    ///
    /// # Errors
    /// The fault of a step there, if the address does not exist.
    #[inline]
    pub(crate) fn instruction(&self, program: ProgramId, pc: Pc) -> Result<&Instruction, Fault> {
        let code = &self
            .image
            .programs
            .get(program.index())
            .ok_or(Fault::NoSuchRow {
                table: Table::Programs,
                index: program.0.into(),
            })?
            .code;
        code.get(pc.index()).ok_or(Fault::PcOutOfBounds {
            pc,
            len: code.len() as u32,
        })
    }

    /// Accepts an image without checking it.
    ///
    /// The machine stays total on it: what verification would have refused faults the session when
    /// a step meets it ([`Fault`]). For tests of exactly that, and for comparison with the model.
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
        // A verified image has far fewer edges. In an unverified one, edges beyond the 16-bit ids
        // are ignored.
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

    /// The BLAKE3 digest of the image's deterministic CBOR, by which recordings name it.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Sender and receiver of each edge, indexed by [`EdgeId`].
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
