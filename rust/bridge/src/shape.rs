//! The shapes of outputs: names for the fields of an output's tree, to describe a difference.
//!
//! The machine's schema has the names. The comparison itself is of bytes and does not use shapes.
//! Where the bytes do not have the expected form, fields are named by their positions.

use std::sync::OnceLock;

use antiphon_codec::Item;
use antiphon_machine::schema::{self, Row};

/// The type of the output of one action.
pub(crate) const ACTION_OUT: &str = "ActionOut";

/// The types that only an output has: name, alternatives, and their fields with their types.
type Types = &'static [(&'static str, &'static [Alternative])];
type Alternative = (&'static str, &'static [(&'static str, &'static str)]);

const TYPES: Types = &[
    (
        ACTION_OUT,
        &[(
            STRUCTURE,
            &[
                ("result", "ActionResult"),
                ("events", "List(ObsEvent)"),
                ("request", "Option(Request)"),
                ("state", "Machine"),
            ],
        )],
    ),
    (
        "ActionResult",
        &[
            ("Stepped", &[("pick", "Pick"), ("step", "Step")]),
            ("Rested", &[("rest", "Rest")]),
            ("Taken", &[("taken", "Taken")]),
            ("Refused", &[("refusal", "Refusal")]),
            ("Round", &[("picks", "List(Pick)"), ("fell_back", "bool")]),
            ("NotReady", &[]),
            ("NoWidth", &[]),
        ],
    ),
    (
        "Request",
        &[(
            STRUCTURE,
            &[
                ("effect", "EffectId"),
                ("role", "Option(RoleId)"),
                ("operation", "OperationId"),
                ("deadline", "Option(u64)"),
                ("attempt", "u8"),
                ("args", "List(Value)"),
            ],
        )],
    ),
    (
        "Machine",
        &[(
            STRUCTURE,
            &[
                ("tag", "Text"),
                ("step_index", "u64"),
                ("clock", "u64"),
                ("ready", "List(Pick)"),
                ("sessions", "List(Session)"),
            ],
        )],
    ),
];

/// The name of the only row of a structure.
const STRUCTURE: &str = "mk";

fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let mut rows = schema::schema();
        for (type_name, alternatives) in TYPES {
            for (number, (name, fields)) in (0..).zip(*alternatives) {
                let fields = fields.iter();
                let fields = fields.map(|(field, of)| ((*field).to_owned(), (*of).to_owned()));
                rows.push(Row {
                    type_name: (*type_name).to_owned(),
                    number,
                    name: (*name).to_owned(),
                    fields: fields.collect(),
                });
            }
        }
        rows
    })
}

/// The meaning of an item.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A scalar, or an item without named fields.
    Plain,
    /// A structure with these fields and their types.
    Fields(&'static [(String, String)]),
    /// A list of items of this type.
    List(&'static str),
    /// One of several alternatives, by number.
    Alternatives(Vec<&'static Row>),
    /// One of a closed list of names.
    Names(Vec<&'static Row>),
}

impl Shape {
    /// The shape of a type.
    pub(crate) fn of(type_name: &'static str) -> Shape {
        let argument = |of: &str| type_name.strip_prefix(of)?.strip_suffix(')');
        if let Some(item) = argument("List(") {
            return Shape::List(item);
        }
        if let Some(inner) = argument("Option(") {
            return Shape::of(inner);
        }
        let of_type = |row: &&Row| row.type_name == type_name;
        let rows: Vec<&Row> = rows().iter().filter(of_type).collect();
        match &rows[..] {
            // Values have an encoding of their own, which `Item` prints well enough.
            [] => Shape::Plain,
            _ if type_name == "Value" => Shape::Plain,
            [only] if only.name == STRUCTURE => Shape::Fields(&only.fields),
            all if all.iter().all(|row| row.fields.is_empty()) => Shape::Names(rows),
            _ => Shape::Alternatives(rows),
        }
    }

    /// The name and shape of the item at this position of an array.
    pub(crate) fn at(&self, items: &[Item], position: usize) -> (String, Shape) {
        let named = |field: Option<&'static (String, String)>| match field {
            Some((name, of)) => (name.clone(), Shape::of(of)),
            None => (format!("[{position}]"), Shape::Plain),
        };
        match self {
            Shape::Plain | Shape::Names(_) => named(None),
            Shape::Fields(fields) => named(fields.get(position)),
            Shape::List(item) => {
                let name = item.strip_prefix("Obs").unwrap_or(item).to_lowercase();
                (format!("{name} {position}"), Shape::of(item))
            }
            Shape::Alternatives(_) if position == 0 => ("alternative".to_owned(), Shape::Plain),
            Shape::Alternatives(_) => named(
                self.alternative(items)
                    .and_then(|row| row.fields.get(position - 1)),
            ),
        }
    }

    fn alternative(&self, items: &[Item]) -> Option<&'static Row> {
        let Shape::Alternatives(all) = self else {
            return None;
        };
        all.get(usize::try_from(items.first()?.as_uint()?).ok()?)
            .copied()
    }

    /// Describes the item, with the names of its fields and of its alternative.
    pub(crate) fn describe(&self, item: &Item) -> String {
        let text = match (self, item) {
            (Shape::Alternatives(_), Item::Array(items)) => match self.alternative(items) {
                Some(row) if items.len() == 1 + row.fields.len() => {
                    match describe_fields(&row.fields, &items[1..]) {
                        fields if fields.is_empty() => row.name.clone(),
                        fields => format!("{} {{{fields}}}", row.name),
                    }
                }
                _ => item.to_string(),
            },
            (Shape::Fields(fields), Item::Array(items)) if items.len() == fields.len() => {
                format!("{{{}}}", describe_fields(fields, items))
            }
            (Shape::List(of), Item::Array(items)) => {
                let shape = Shape::of(of);
                let parts: Vec<_> = items.iter().map(|item| shape.describe(item)).collect();
                format!("[{}]", parts.join(", "))
            }
            (Shape::Names(rows), Item::Uint(n)) => {
                let row = usize::try_from(*n).ok().and_then(|n| rows.get(n));
                row.map_or_else(|| item.to_string(), |row| row.name.clone())
            }
            _ => item.to_string(),
        };
        match text.char_indices().nth(DESCRIPTION_LEN_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

fn describe_fields(fields: &'static [(String, String)], items: &[Item]) -> String {
    let parts = items.iter().zip(fields);
    let parts: Vec<_> = parts
        .map(|(item, (field, of))| format!("{field} {}", Shape::of(of).describe(item)))
        .collect();
    parts.join(", ")
}

/// The most characters of a description.
const DESCRIPTION_LEN_MAX: usize = 400;
