//! Payloads by field name: reading a value, and making one of a sort.

use std::sync::Arc;

use antiphon_machine::text::Literal;
use antiphon_machine::{CodeImage, EffectRequest, Sort, SortId, Value, VerifiedImage};

use crate::streams::Piece;

/// Makes the record that the request asks for. Given fields that the record does not have are left
/// out.
pub(crate) fn record(
    request: &EffectRequest<'_>,
    given: Vec<(&str, Literal)>,
) -> Result<Value, String> {
    payload(given, request.result_sort(), request.image().image())
}

/// Makes a payload of that sort. If the sort is not a record, the payload is the first given field:
/// the one key that the message requires.
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

/// A payload that is read by field name. A field that is missing or has another sort reads as
/// empty.
pub(crate) struct Fields<'r> {
    payload: &'r Value,
    sort: Option<&'r Sort>,
    image: &'r VerifiedImage,
}

impl<'r> Fields<'r> {
    /// The payload that the request delivers, or `None` for a message without payload.
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

    /// Returns the field's value. A payload that is not a record counts as its only field, under
    /// any name. An empty optional field reads as missing.
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

    pub(crate) fn boolean(&self, name: &str) -> bool {
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
