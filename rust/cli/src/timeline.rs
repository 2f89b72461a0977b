//! The rows of a recording, each with the image that its names are from.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use antiphon_machine::{ProtocolMachineKernel, SessionId, VerifiedImage};
use antiphon_record::{Entry, Moment, Tail, Verdict, describe};

use crate::filter;
use crate::problem::Problem;
use crate::rows::{Kind, Row, Rows};

/// An iterator over the rows of a recording.
pub(crate) struct Timeline {
    moments: antiphon_record::Timeline<File>,
    rows: Rows,
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
            rows: Rows::default(),
            path: path.to_owned(),
            guest_roles,
        })
    }

    pub(crate) fn header(&self) -> &antiphon_record::Header {
        self.moments.header()
    }

    /// Returns the next row and the image that its names are from.
    #[expect(
        clippy::type_complexity,
        reason = "a row, its image, or why there is none"
    )]
    pub(crate) fn next(&mut self) -> Result<Option<(Row, Option<Arc<VerifiedImage>>)>, Problem> {
        loop {
            let Some(moment) = self.moments.next() else {
                return Ok(None);
            };
            let moment = moment.map_err(|error| Problem::replay(&self.path, error))?;
            let kernel = self.moments.kernel();
            if let Some((mut row, session)) = row_of(&mut self.rows, &moment, kernel) {
                row.mark_inside(&self.guest_roles);
                return Ok(Some((
                    row,
                    session.and_then(|session| image(kernel, session)),
                )));
            }
        }
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

fn row_of(
    rows: &mut Rows,
    moment: &Moment,
    kernel: &ProtocolMachineKernel,
) -> Option<(Row, Option<SessionId>)> {
    let (step, clock) = (kernel.step_index(), kernel.clock());
    let other = |kind, note: String| Row {
        note: filter::line(&note),
        ..Row::new(kind, step, clock, None)
    };
    match moment {
        Moment::Event(event) => {
            let session = event.stamp.session;
            let row = rows.event(event, image(kernel, session).as_deref())?;
            Some((row, Some(session)))
        }
        Moment::Entry { entry, .. } => match entry {
            Entry::Request(request) => {
                let session = request.effect.session;
                let row = rows.request(request, clock, image(kernel, session).as_deref());
                Some((row, Some(session)))
            }
            Entry::Input { step, input } => rows.input(*step, clock, input).map(|row| (row, None)),
            Entry::Refused(refusal) => Some((other(Kind::Refused, refusal.to_string()), None)),
            Entry::Checkpoint(_) | Entry::End(_) => {
                Some((other(Kind::Checkpoint, describe::entry(None, entry)), None))
            }
            Entry::Header(_) | Entry::Image(_) | Entry::Answer(_) | Entry::Wave { .. } => None,
        },
        Moment::Diverged(divergence) => {
            let note = format!(
                "{}: expected {}, got {}",
                divergence.difference.name(),
                divergence.expected,
                divergence.got
            );
            Some((other(Kind::Diverged, note), divergence.session))
        }
    }
}

fn image(kernel: &ProtocolMachineKernel, session: SessionId) -> Option<Arc<VerifiedImage>> {
    kernel
        .session(session)
        .map(|session| Arc::clone(kernel.image(session)))
}
