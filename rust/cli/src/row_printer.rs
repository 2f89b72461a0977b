//! A sink that tells a run while it happens.

use std::io::Write;
use std::sync::Arc;

use antiphon_machine::{
    EffectRequest, Event, Ingress, ObsEvent, Refusal, Sink, Stamp, VerifiedImage,
};
use antiphon_record::Request;

use crate::lines;
use crate::output::{Voice, write_document};
use crate::problem::Problem;
use crate::rows::{Kind, Row, Story};

/// Tells the rows of a run of one image: as lines, or as JSON documents.
pub(crate) struct Watcher {
    voice: Voice,
    image: Arc<VerifiedImage>,
    story: Story,
    /// Whether everything is told, and not only what a person wants to see.
    all: bool,
    /// Whether there is more than one session.
    several: bool,
    clock: u64,
    problem: Option<Problem>,
}

impl Watcher {
    pub(crate) fn new(
        voice: Voice,
        image: &Arc<VerifiedImage>,
        all: bool,
        several: bool,
    ) -> Watcher {
        Watcher {
            voice,
            image: Arc::clone(image),
            story: Story::default(),
            all: all || voice.json,
            several,
            clock: 0,
            problem: None,
        }
    }

    /// Whether nothing more is told.
    pub(crate) fn is_over(&self) -> bool {
        self.problem.is_some()
    }

    /// Why nothing more is told, if that is so.
    pub(crate) fn problem(&mut self) -> Option<Problem> {
        self.problem.take()
    }

    fn tell(&mut self, row: &Row) {
        if self.problem.is_some() || !(self.all || row.kind.is_plain()) {
            return;
        }
        let told = if self.voice.json {
            let mut out = self.voice.stdout();
            write_document(&mut out, &row.document(Some(&self.image)))
                .and_then(|()| out.flush().map_err(Problem::stdout))
        } else {
            let line = lines::line(row, Some(&self.image), &self.voice, self.several);
            self.voice.print(&line)
        };
        self.problem = told.err();
    }
}

impl Sink for Watcher {
    fn event(&mut self, stamp: &Stamp, event: Event) {
        self.clock = stamp.clock;
        let seen = ObsEvent {
            stamp: *stamp,
            event,
        };
        if let Some(row) = self.story.event(&seen, Some(&self.image)) {
            self.tell(&row);
        }
    }

    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        let request = Request::of(step, request);
        let row = self.story.request(&request, self.clock, Some(&self.image));
        self.tell(&row);
    }

    fn ingress(&mut self, step: u64, input: &Ingress) {
        if let Some(row) = self.story.input(step, self.clock, input) {
            self.tell(&row);
        }
    }

    fn refused(&mut self, step: u64, refusal: &Refusal) {
        let row = Row {
            note: refusal.to_string(),
            ..Row::new(Kind::Refused, step, self.clock, None)
        };
        self.tell(&row);
    }
}
