//! Compares the model's output with the kernel's, byte for byte, and describes the differences.

use std::io::{self, BufRead};

use antiphon_codec::{Item, decode_strict};

use crate::answers::{Digest, output_digest};
use crate::case::{Action, Case};
use crate::output::{self, OUTPUT_LIMITS, OutputReader};
use crate::run::{self, ActionOut};
use crate::shape::{ACTION_OUT, Shape};

/// The most fields of an action that a divergence lists; further ones are only counted.
const DIFFERENCES_MAX: usize = 24;

/// A case on which the two sides differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The case's index in the corpus, from 0.
    pub index: u64,
    /// The case's name.
    pub case: String,
    /// The difference.
    pub kind: DivergenceKind,
}

/// How two outputs of a case differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DivergenceKind {
    /// The model could not read the case.
    Unread {
        /// The model's reason.
        why: String,
    },
    /// An output does not have the form of a list of actions.
    Malformed {
        /// The reason.
        why: String,
    },
    /// The numbers of actions differ.
    Length {
        /// The actions of the kernel.
        kernel: usize,
        /// The actions of the model.
        model: usize,
    },
    /// An action has different outputs.
    Action {
        /// The action's index, from 0.
        at: usize,
        /// The action.
        action: Box<Action>,
        /// The fields that differ, in their order.
        differences: Vec<Difference>,
        /// The number of further differences.
        more: usize,
    },
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path to the field.
    pub path: String,
    /// The kernel's value.
    pub kernel: String,
    /// The model's value.
    pub model: String,
}

/// The result of comparing a corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Cases compared.
    pub cases: u64,
    /// Actions compared; for each, all events and the whole state.
    pub actions: u64,
    /// Bytes compared.
    pub bytes: u64,
    /// Cases among them that were compared with the digest of a known answer of the model.
    pub known: u64,
    /// The cases on which the two sides differ.
    pub divergences: Vec<Divergence>,
}

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The model's output cannot be read.
    #[error("reading the model's output failed: {0}")]
    Io(#[from] io::Error),
    /// The model's output ends before the corpus does.
    #[error("the model wrote {got} cases, the corpus has more")]
    TooFew {
        /// The cases that the model wrote.
        got: u64,
    },
    /// The model's output continues after the end of the corpus.
    #[error("the model wrote more than the {expected} cases of the corpus")]
    TooMany {
        /// The cases of the corpus.
        expected: u64,
    },
}

impl Comparison {
    /// Runs every case on the kernel and compares the result with the model's output. `observe` is
    /// called with each case and the kernel's output, for counting.
    ///
    /// # Errors
    /// When the model's output cannot be read to its end, or has another number of cases.
    pub fn run<'c, R: BufRead>(
        cases: impl IntoIterator<Item = &'c Case>,
        model: R,
        mut observe: impl FnMut(&Case, &[ActionOut]),
    ) -> Result<Comparison, CompareError> {
        let mut model = OutputReader::open(model)?;
        let mut done = Comparison::default();
        for case in cases {
            done.compare_next(case, &mut model, &mut observe)?;
        }
        match model.case()? {
            None => Ok(done),
            Some(_) => Err(CompareError::TooMany {
                expected: done.cases,
            }),
        }
    }

    /// Compares a case with the next item of the model's output, and returns the item's digest.
    pub(crate) fn compare_next<R: BufRead>(
        &mut self,
        case: &Case,
        model: &mut OutputReader<R>,
        observe: &mut impl FnMut(&Case, &[ActionOut]),
    ) -> Result<Digest, CompareError> {
        let got = self.cases;
        let out = model.case()?.ok_or(CompareError::TooFew { got })?;
        let (outs, kind) = compare(case, out);
        observe(case, &outs);
        self.bytes += out.len() as u64;
        self.actions += outs.len() as u64;
        if let Some(kind) = kind {
            self.divergences.push(Divergence {
                index: got,
                case: case.name.clone(),
                kind,
            });
        }
        self.cases += 1;
        Ok(output_digest(out))
    }

    /// Counts a case whose output by the kernel has the digest of the model's known answer.
    pub(crate) fn accept(&mut self, case: &Case, observe: &mut impl FnMut(&Case, &[ActionOut])) {
        let outs = run::run(case);
        observe(case, &outs);
        self.bytes += run::encode(&outs).len() as u64;
        self.actions += outs.len() as u64;
        self.cases += 1;
        self.known += 1;
    }

    /// Adds the result of another part of the corpus.
    pub fn add(&mut self, other: Comparison) {
        let before = self.cases;
        self.cases += other.cases;
        self.actions += other.actions;
        self.bytes += other.bytes;
        self.known += other.known;
        let moved = other.divergences.into_iter().map(|mut divergence| {
            divergence.index += before;
            divergence
        });
        self.divergences.extend(moved);
    }
}

/// Runs a case on the kernel and compares the result with the model's output.
pub fn compare(case: &Case, model: &[u8]) -> (Vec<ActionOut>, Option<DivergenceKind>) {
    let outs = run::run(case);
    let kernel = run::encode(&outs);
    if kernel == model {
        return (outs, None);
    }
    let kind = explain(case, &kernel, model);
    (outs, Some(kind))
}

/// The first difference between two different outputs of a case.
fn explain(case: &Case, kernel: &[u8], model: &[u8]) -> DivergenceKind {
    if let Some(why) = output::refusal(model) {
        return DivergenceKind::Unread { why };
    }
    let read = |bytes, side: &str| match decode_strict(bytes, &OUTPUT_LIMITS) {
        Ok(Item::Array(items)) => Ok(items),
        Ok(_) => Err(format!("the {side}'s output is not a list of actions")),
        Err(error) => Err(format!("the {side}'s output: {error}")),
    };
    let (kernel, model) = match (read(kernel, "kernel"), read(model, "model")) {
        (Ok(kernel), Ok(model)) => (kernel, model),
        (Err(why), _) | (_, Err(why)) => return DivergenceKind::Malformed { why },
    };
    for (at, (ours, theirs)) in kernel.iter().zip(&model).enumerate() {
        if ours == theirs {
            continue;
        }
        let mut differences = Differences::default();
        differences.find(&Shape::of(ACTION_OUT), String::new(), ours, theirs);
        let action = case.actions.get(at).cloned().unwrap_or(Action::Turn);
        return DivergenceKind::Action {
            at,
            action: Box::new(action),
            differences: differences.listed,
            more: differences.more,
        };
    }
    DivergenceKind::Length {
        kernel: kernel.len(),
        model: model.len(),
    }
}

/// The differences between two items.
#[derive(Default)]
struct Differences {
    /// At most [`DIFFERENCES_MAX`].
    listed: Vec<Difference>,
    more: usize,
}

impl Differences {
    fn find(&mut self, shape: &Shape, path: String, kernel: &Item, model: &Item) {
        if kernel == model {
            return;
        }
        let (Item::Array(ours), Item::Array(theirs)) = (kernel, model) else {
            return self.add(path, shape.describe(kernel), shape.describe(model));
        };
        // Different alternatives, and arrays of different lengths that are not lists, are compared
        // as a whole.
        let other = matches!(shape, Shape::Alternatives(_)) && ours.first() != theirs.first();
        let is_list = matches!(shape, Shape::List(..));
        if other || (!is_list && ours.len() != theirs.len()) {
            return self.add(path, shape.describe(kernel), shape.describe(model));
        }
        let both = ours.len().min(theirs.len());
        let name = |n| {
            let longer = if n < ours.len() { ours } else { theirs };
            let (name, shape) = shape.at(longer, n);
            let dot = if path.is_empty() { "" } else { " · " };
            (format!("{path}{dot}{name}"), shape)
        };
        for n in 0..both {
            let (path, shape) = name(n);
            self.find(&shape, path, &ours[n], &theirs[n]);
        }
        for n in both..ours.len().max(theirs.len()) {
            let (path, shape) = name(n);
            let describe = |items: &[Item]| {
                let item = items.get(n);
                item.map_or_else(|| "(nothing)".to_owned(), |item| shape.describe(item))
            };
            self.add(path, describe(ours), describe(theirs));
        }
    }

    fn add(&mut self, path: String, kernel: String, model: String) {
        if self.listed.len() == DIFFERENCES_MAX {
            self.more += 1;
            return;
        }
        self.listed.push(Difference {
            path,
            kernel,
            model,
        });
    }
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "case {} `{}`: {}", self.index, self.case, self.kind)
    }
}

impl std::fmt::Display for DivergenceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DivergenceKind::Unread { why } => write!(f, "the model cannot read it: {why}"),
            DivergenceKind::Malformed { why } => f.write_str(why),
            DivergenceKind::Length { kernel, model } => {
                write!(f, "the kernel did {kernel} actions, the model {model}")
            }
            DivergenceKind::Action {
                at,
                action,
                differences,
                more,
            } => {
                write!(f, "action {at}, {action:?}")?;
                for Difference {
                    path,
                    kernel,
                    model,
                } in differences
                {
                    write!(f, "\n  {path}\n    kernel: {kernel}\n    model:  {model}")?;
                }
                match more {
                    0 => Ok(()),
                    _ => write!(f, "\n  and {more} more"),
                }
            }
        }
    }
}
