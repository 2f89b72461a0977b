//! A sink that prints the rows of a run as they happen.

use std::io::Write;
use std::sync::Arc;

use antiphon_machine::{
    EffectRequest, Event, Ingress, ObsEvent, Refusal, Sink, Stamp, VerifiedImage,
};
use antiphon_record::Request;

use crate::lines;
use crate::output::{Output, write_document};
use crate::problem::Problem;
use crate::rows::{Kind, Row, Rows};

/// Prints the rows of a run of one image: as lines, or as JSON documents.
pub(crate) struct RowPrinter {
    output: Output,
    image: Arc<VerifiedImage>,
    rows: Rows,
    /// Whether all rows are printed, including those that only matter for details.
    all: bool,
    /// Whether there is more than one session.
    several: bool,
    clock: u64,
    problem: Option<Problem>,
}

impl RowPrinter {
    pub(crate) fn new(
        output: Output,
        image: &Arc<VerifiedImage>,
        all: bool,
        several: bool,
    ) -> RowPrinter {
        RowPrinter {
            output,
            image: Arc::clone(image),
            rows: Rows::default(),
            all: all || output.json,
            several,
            clock: 0,
            problem: None,
        }
    }

    /// Whether a row could not be printed. No more rows are printed then.
    pub(crate) fn has_failed(&self) -> bool {
        self.problem.is_some()
    }

    /// Takes the reason why a row could not be printed, if there is one.
    pub(crate) fn problem(&mut self) -> Option<Problem> {
        self.problem.take()
    }

    fn print(&mut self, row: &Row) {
        if self.problem.is_some() || !(self.all || row.kind.is_plain()) {
            return;
        }
        let printed = if self.output.json {
            let mut out = self.output.stdout();
            write_document(&mut out, &row.document(Some(&self.image)))
                .and_then(|()| out.flush().map_err(Problem::stdout))
        } else {
            let line = lines::line(row, Some(&self.image), &self.output, self.several);
            self.output.print(&line)
        };
        self.problem = printed.err();
    }
}

impl Sink for RowPrinter {
    fn event(&mut self, stamp: &Stamp, event: Event) {
        self.clock = stamp.clock;
        let seen = ObsEvent {
            stamp: *stamp,
            event,
        };
        if let Some(row) = self.rows.event(&seen, Some(&self.image)) {
            self.print(&row);
        }
    }

    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        let request = Request::of(step, request);
        let row = self.rows.request(&request, self.clock, Some(&self.image));
        self.print(&row);
    }

    fn ingress(&mut self, step: u64, input: &Ingress) {
        if let Some(row) = self.rows.input(step, self.clock, input) {
            self.print(&row);
        }
    }

    fn refused(&mut self, step: u64, refusal: &Refusal) {
        let row = Row {
            note: refusal.to_string(),
            ..Row::new(Kind::Refused, step, self.clock, None)
        };
        self.print(&row);
    }
}
