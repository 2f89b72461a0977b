//! Sorts: interns written sorts, and builds the table in which each sort appears once, after the
//! sorts it contains.

use std::collections::BTreeMap;

use antiphon_machine::bounds::SORT_DEPTH_MAX;
use antiphon_machine::{Sort, SortId};

/// An index into [`Sorts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortRef(u32);

/// The structure of a sort. Equal shapes are the same sort.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    Unit,
    Bool,
    Nat,
    Int,
    Text,
    Bytes,
    List(SortRef),
    Option(SortRef),
    Record {
        name: String,
        fields: Vec<(String, SortRef)>,
    },
    Enum {
        name: String,
        variants: Vec<String>,
    },
    Foreign {
        name: String,
    },
}

/// All sorts of one run.
#[derive(Debug, Default)]
pub(crate) struct Sorts {
    /// Each sort with its depth; a sort that contains no other has depth 1.
    rows: Vec<(Shape, u32)>,
    index: BTreeMap<Shape, SortRef>,
}

impl Sorts {
    /// Interns a sort. Returns `None` when it would nest deeper than the machine's values may.
    pub(crate) fn intern(&mut self, shape: Shape) -> Option<SortRef> {
        if let Some(found) = self.index.get(&shape) {
            return Some(*found);
        }
        let inner = match &shape {
            Shape::List(item) | Shape::Option(item) => self.depth(*item),
            Shape::Record { fields, .. } => fields
                .iter()
                .map(|(_, sort)| self.depth(*sort))
                .max()
                .unwrap_or(0),
            Shape::Unit | Shape::Bool | Shape::Nat | Shape::Int | Shape::Text | Shape::Bytes => 0,
            Shape::Enum { .. } | Shape::Foreign { .. } => 0,
        };
        if inner >= SORT_DEPTH_MAX {
            return None;
        }
        let row = SortRef(u32::try_from(self.rows.len()).ok()?);
        self.rows.push((shape.clone(), inner + 1));
        self.index.insert(shape, row);
        Some(row)
    }

    fn depth(&self, row: SortRef) -> u32 {
        self.rows.get(row.0 as usize).map_or(0, |(_, depth)| *depth)
    }

    pub(crate) fn shape(&self, row: SortRef) -> &Shape {
        self.rows
            .get(row.0 as usize)
            .map_or(&Shape::Unit, |(shape, _)| shape)
    }

    /// The sort as written, for diagnostics. `machine::text` prints the machine's sorts; these have
    /// no table of an image yet.
    pub(crate) fn show(&self, row: SortRef) -> String {
        match self.shape(row) {
            Shape::Unit => "Unit".into(),
            Shape::Bool => "Bool".into(),
            Shape::Nat => "Nat".into(),
            Shape::Int => "Int".into(),
            Shape::Text => "Text".into(),
            Shape::Bytes => "Bytes".into(),
            Shape::List(item) => format!("[{}]", self.show(*item)),
            Shape::Option(item) => format!("{}?", self.show(*item)),
            Shape::Record { name, .. } | Shape::Enum { name, .. } | Shape::Foreign { name } => {
                name.clone()
            }
        }
    }
}

/// The sorts of one protocol, in the order of their first use, each after the sorts it contains.
/// `Unit` is the first.
#[derive(Debug)]
pub(crate) struct SortTable {
    pub(crate) rows: Vec<Sort>,
    ids: BTreeMap<SortRef, SortId>,
    /// Whether the table ran out of ids.
    pub(crate) full: bool,
}

impl SortTable {
    pub(crate) fn new() -> SortTable {
        SortTable {
            rows: vec![Sort::Unit],
            ids: BTreeMap::new(),
            full: false,
        }
    }

    /// The id of a sort in this table. Recurses at most [`SORT_DEPTH_MAX`] deep.
    pub(crate) fn id(&mut self, row: SortRef, sorts: &Sorts) -> SortId {
        if let Some(id) = self.ids.get(&row) {
            return *id;
        }
        let sort = match sorts.shape(row) {
            Shape::Unit => return SortId(0),
            Shape::Bool => Sort::Bool,
            Shape::Nat => Sort::Nat,
            Shape::Int => Sort::Int,
            Shape::Text => Sort::Text,
            Shape::Bytes => Sort::Bytes,
            Shape::List(item) => Sort::List(self.id(*item, sorts)),
            Shape::Option(item) => Sort::Option(self.id(*item, sorts)),
            Shape::Record { name, fields } => {
                let fields = fields
                    .iter()
                    .map(|(field, sort)| (field.clone(), self.id(*sort, sorts)));
                Sort::Record {
                    name: name.clone(),
                    fields: fields.collect(),
                }
            }
            Shape::Enum { name, variants } => Sort::Enum {
                name: name.clone(),
                variants: variants.clone(),
            },
            Shape::Foreign { name } => Sort::Foreign { name: name.clone() },
        };
        let Ok(next) = u16::try_from(self.rows.len()) else {
            self.full = true;
            return SortId(0);
        };
        self.rows.push(sort);
        self.ids.insert(row, SortId(next));
        SortId(next)
    }
}
