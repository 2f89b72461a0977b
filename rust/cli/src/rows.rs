//! Rows with the names of their session's image, as timelines, JSON documents and diagrams show
//! them.

use antiphon_machine::text::Printer;
use antiphon_machine::{Ingress, RoleId, VerifiedImage};
use antiphon_record::rows::{Row, RowKind, Source};
use serde_json::{Map, json};

use crate::json;

/// A row with the image that its names are from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedRow<'r> {
    pub(crate) row: &'r Row,
    /// The image of the row's session. `None` if the row concerns no session.
    pub(crate) image: Option<&'r VerifiedImage>,
    /// Whether it is a message between two roles of the guest, which no frame carried.
    pub(crate) is_inside_guest: bool,
}

impl<'r> NamedRow<'r> {
    pub(crate) fn kind(&self) -> RowKind {
        self.row.kind
    }

    /// Whether it is printed only with `--all`.
    pub(crate) fn is_detail(&self) -> bool {
        self.row.is_detail(self.image)
    }

    /// Whether it is a call of an operation of an interface.
    pub(crate) fn is_call(&self) -> bool {
        self.kind() == RowKind::Request && !self.row.is_of_host(self.image)
    }

    fn printer(&self) -> Printer<'r> {
        Printer::of(self.image.map(VerifiedImage::image))
    }

    fn name(&self, role: Option<RoleId>) -> Option<String> {
        role.map(|role| self.printer().role(role))
    }

    /// The name of the role that acts.
    pub(crate) fn role(&self) -> Option<String> {
        self.name(self.row.role)
    }

    /// The names of a message's sender and receiver.
    pub(crate) fn ends(&self) -> (Option<String>, Option<String>) {
        let (role, peer) = (self.name(self.row.role), self.name(self.row.peer));
        if self.is_receipt() {
            (peer, role)
        } else {
            (role, peer)
        }
    }

    /// Whether it is a message that leaves its buffer.
    pub(crate) fn is_receipt(&self) -> bool {
        matches!(self.kind(), RowKind::Received | RowKind::Chose)
    }

    /// The input that it reports.
    fn input(&self) -> Option<&'r Ingress> {
        match &self.row.source {
            Source::Input(input) => Some(input),
            Source::Event(_)
            | Source::Request(_)
            | Source::Refused(_)
            | Source::Checkpoint(_)
            | Source::Diverged(_) => None,
        }
    }

    /// The ticks of an advance of the clock.
    pub(crate) fn ticks(&self) -> Option<u64> {
        match self.input()? {
            Ingress::AdvanceClock { ticks } => Some(*ticks),
            Ingress::Open { .. } | Ingress::Outcome { .. } | Ingress::Cancel { .. } => None,
        }
    }

    /// Whether it is the answer to a request. It is not shown: a recording has no input for an
    /// immediate answer, and the event that ends the effect reports each answer.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self.input(), Some(Ingress::Outcome { .. }))
    }

    pub(crate) fn subject(&self) -> String {
        self.row.subject(self.image)
    }

    pub(crate) fn note(&self) -> String {
        self.row.note(self.image)
    }

    /// Returns the values on one line, each cut at about `width` characters.
    pub(crate) fn values(&self, width: usize) -> String {
        let printer = self.printer().with_width(width);
        let values = self.row.values(self.image).into_iter();
        let values = values.map(|(value, sort)| printer.value(value, sort));
        values.collect::<Vec<_>>().join(", ")
    }

    /// Returns the row as a JSON object with uncut values.
    pub(crate) fn document(&self) -> Map<String, serde_json::Value> {
        let mut object = Map::new();
        let mut put = |key: &str, value: serde_json::Value| {
            object.insert(key.to_owned(), value);
        };
        put("event", json!(self.kind().name()));
        put("step", json!(self.row.step));
        put("clock", json!(self.row.clock));
        if let Some(session) = self.row.session {
            put("session", json!(session.0));
        }
        for (key, role) in [("role", self.row.role), ("peer", self.row.peer)] {
            if let Some(name) = self.name(role) {
                put(key, json!(name));
            }
        }
        for (key, text) in [("subject", self.subject()), ("note", self.note())] {
            if !text.is_empty() {
                put(key, json!(text));
            }
        }
        if let Some(number) = self.row.number {
            put("number", json!(number));
        }
        if let Some(ticks) = self.ticks() {
            put("ticks", json!(ticks));
        }
        let values = self.row.values(self.image);
        if !values.is_empty() {
            let image = self.image.map(VerifiedImage::image);
            let values = values.into_iter();
            let values = values.map(|(value, sort)| json::value(value, sort, image));
            put("values", values.collect());
        }
        if self.is_inside_guest {
            put("inside_guest", json!(true));
        }
        object
    }
}
