//! Payloads by the names of their fields: read from a value, made for a sort.

use std::sync::Arc;

use antiphon_machine::{CodeImage, EffectRequest, Sort, SortId, Value, VerifiedImage};

use crate::literal::Literal;
use crate::streams::Piece;

/// The record that the request asks for, from the fields that there are values for; those that the record does not
/// have are left out.
pub(crate) fn record(
    request: &EffectRequest<'_>,
    given: Vec<(&str, Literal)>,
) -> Result<Value, String> {
    payload(given, request.result_sort(), request.image().image())
}

/// The same as a payload of that sort. One that is not a record is the first of the fields, alone: the one key that its
/// message requires.
pub(crate) fn payload(
    given: Vec<(&str, Literal)>,
    sort: SortId,
    image: &CodeImage,
) -> Result<Value, String> {
    let literal = match image.sorts.get(sort.index()) {
        Some(Sort::Record { fields, .. }) => {
            let known = |name: &str| fields.iter().any(|(field, _)| field == name);
            let given = given.into_iter().filter(|(name, _)| known(name));
            let given = given.map(|(name, literal)| (name.to_owned(), literal));
            Literal::Record(given.collect())
        }
        _ => {
            let first = given.into_iter().next();
            first
                .map(|(_, literal)| literal)
                .ok_or_else(|| "the protocol has no record for it".to_owned())?
        }
    };
    literal
        .value(sort, image)
        .map_err(|error| error.to_string())
}

/// A payload read by the names of its fields. What is not there, or of another sort, reads as nothing.
pub(crate) struct Fields<'r> {
    payload: &'r Value,
    sort: Option<&'r Sort>,
    image: &'r VerifiedImage,
}

impl<'r> Fields<'r> {
    /// What is delivered; nothing for a message without payload.
    pub(crate) fn of(request: &EffectRequest<'r>) -> Option<Fields<'r>> {
        let image = request.image();
        let sort = request.operation().args.first();
        let sort = sort.and_then(|sort| image.image().sorts.get(sort.index()));
        Some(Fields {
            payload: request.arg(0)?,
            sort,
            image,
        })
    }

    /// The field's value; the payload itself, when it is no record. Empty optional fields are not there.
    fn field(&self, name: &str) -> Option<(&Value, Option<&Sort>)> {
        let (value, sort) = match (self.payload, self.sort) {
            (Value::Record(values), Some(Sort::Record { fields, .. })) => {
                let row = fields.iter().position(|(field, _)| field == name)?;
                let sort = self.image.image().sorts.get(fields.get(row)?.1.index());
                (values.get(row)?, sort)
            }
            (value, sort) => (value, sort),
        };
        match (value, sort) {
            (Value::List(items), Some(Sort::Option(item))) => {
                Some((items.first()?, self.image.image().sorts.get(item.index())))
            }
            found => Some(found),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.field(name)?.0 {
            Value::Nat(n) => i64::try_from(*n).ok(),
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    pub(crate) fn truth(&self, name: &str) -> bool {
        matches!(self.field(name), Some((Value::Bool(true), _)))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        match self.field(name) {
            Some((Value::Text(text), _)) => text.to_string(),
            Some((Value::Nat(n), Some(Sort::Enum { variants, .. }))) => {
                variants.get(*n as usize).cloned().unwrap_or_default()
            }
            Some(_) | None => String::new(),
        }
    }

    pub(crate) fn bytes(&self, name: &str) -> Piece {
        match self.field(name) {
            Some((Value::Bytes(bytes), _)) => Arc::clone(bytes),
            Some(_) | None => Arc::default(),
        }
    }
}
