//! Prints the rows of a run as they happen.

use std::io::Write;

use antiphon_machine::VerifiedImage;
use antiphon_record::rows::{Row, RowObserver};

use crate::lines;
use crate::output::{Output, write_document};
use crate::problem::Problem;
use crate::rows::NamedRow;

/// Prints the rows of a run: as lines, or as JSON documents.
pub(crate) struct RowPrinter {
    output: Output,
    /// Whether all rows are printed, details included.
    all: bool,
    /// Whether there is more than one session.
    several: bool,
    problem: Option<Problem>,
}

impl RowPrinter {
    pub(crate) fn new(output: Output, all: bool, several: bool) -> RowPrinter {
        RowPrinter {
            output,
            all: all || output.json,
            several,
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

    fn print(&self, row: NamedRow<'_>) -> Result<(), Problem> {
        if !self.output.json {
            return self
                .output
                .print(&lines::line(row, &self.output, self.several));
        }
        let mut out = self.output.stdout();
        write_document(&mut out, &row.document())?;
        out.flush().map_err(Problem::stdout)
    }
}

impl RowObserver for RowPrinter {
    fn row(&mut self, row: Row, image: Option<&VerifiedImage>) {
        let row = NamedRow {
            row: &row,
            image,
            is_inside_guest: false,
        };
        let is_printed = !row.is_answer() && (self.all || !row.is_detail());
        if is_printed && self.problem.is_none() {
            self.problem = self.print(row).err();
        }
    }
}
