//! The rows of a recording, each with the image that its names are from.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use antiphon_machine::{ProtocolMachineKernel, SessionId, VerifiedImage};
use antiphon_record::rows::{Row, RowBuilder, RowKind};
use antiphon_record::{Tail, Verdict};

use crate::filter;
use crate::problem::Problem;
use crate::rows::NamedRow;

/// An iterator over the rows of a recording.
pub(crate) struct Timeline {
    moments: antiphon_record::Timeline<File>,
    rows: RowBuilder,
    path: std::path::PathBuf,
    /// The names of the guest's roles, as the rows show them.
    guest_roles: Vec<String>,
}

/// The name of the header's note that lists the guest's roles, separated by commas.
pub(crate) const GUEST_ROLES_NOTE: &str = "guest roles";

impl Timeline {
    pub(crate) fn open(path: &Path) -> Result<Timeline, Problem> {
        let file = File::open(path).map_err(Problem::file("read", path))?;
        let moments =
            antiphon_record::Timeline::open(file).map_err(|error| Problem::replay(path, error))?;
        let notes = moments.header().notes.iter();
        let noted = notes.filter(|(name, _)| name == GUEST_ROLES_NOTE);
        let guest_roles = noted
            .flat_map(|(_, roles)| roles.split(", "))
            .map(filter::line)
            .collect();
        Ok(Timeline {
            moments,
            rows: RowBuilder::default(),
            path: path.to_owned(),
            guest_roles,
        })
    }

    pub(crate) fn header(&self) -> &antiphon_record::Header {
        self.moments.header()
    }

    /// Returns the next row.
    pub(crate) fn next(&mut self) -> Result<Option<TimelineRow>, Problem> {
        loop {
            let Some(moment) = self.moments.next() else {
                return Ok(None);
            };
            let moment = moment.map_err(|error| Problem::replay(&self.path, error))?;
            let kernel = self.moments.kernel();
            if let Some(row) = self.rows.moment(moment, kernel) {
                let mut row = TimelineRow {
                    image: row.session.and_then(|session| image(kernel, session)),
                    row,
                    is_inside_guest: false,
                };
                if row.named().is_answer() {
                    continue;
                }
                row.is_inside_guest = self.is_inside_guest(row.named());
                return Ok(Some(row));
            }
        }
    }

    /// Whether the row is a message between two roles of the guest.
    fn is_inside_guest(&self, row: NamedRow<'_>) -> bool {
        let is_message = matches!(
            row.kind(),
            RowKind::Sent | RowKind::Offered | RowKind::Received | RowKind::Chose
        );
        let is_guest =
            |name: Option<String>| name.is_some_and(|name| self.guest_roles.contains(&name));
        let (from, to) = row.ends();
        is_message && !self.guest_roles.is_empty() && is_guest(from) && is_guest(to)
    }

    /// The number of records that were found intact.
    pub(crate) fn records(&self) -> u64 {
        self.moments.records()
    }

    /// Whether the replay behind the rows diverged from the recording.
    pub(crate) fn has_diverged(&self) -> bool {
        matches!(self.moments.report().verdict, Verdict::Diverged(_))
    }

    /// How the recording ends, once all rows were read.
    pub(crate) fn tail(&self) -> Option<&Tail> {
        self.moments.tail()
    }
}

/// A row of a recording.
#[derive(Debug)]
pub(crate) struct TimelineRow {
    pub(crate) row: Row,
    image: Option<Arc<VerifiedImage>>,
    is_inside_guest: bool,
}

impl TimelineRow {
    /// The image of the row's session.
    pub(crate) fn image(&self) -> Option<&VerifiedImage> {
        self.image.as_deref()
    }

    /// The row with its names.
    pub(crate) fn named(&self) -> NamedRow<'_> {
        NamedRow {
            row: &self.row,
            image: self.image(),
            is_inside_guest: self.is_inside_guest,
        }
    }
}

fn image(kernel: &ProtocolMachineKernel, session: SessionId) -> Option<Arc<VerifiedImage>> {
    kernel
        .session(session)
        .map(|session| Arc::clone(kernel.image(session)))
}
