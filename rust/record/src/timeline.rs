//! The timeline of a recording: its entries and, between them, the events of its replay.

use std::collections::VecDeque;
use std::io::Read;

use antiphon_machine::{ObsEvent, Observation, ProtocolMachineKernel, Sink};

use crate::divergence::Divergence;
use crate::entry::{Entry, Header};
use crate::error::ReplayError;
use crate::replay::{Played, Replay};
use crate::report::{Report, Verdict};
use crate::tail::Tail;

/// An element of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// An entry of the recording. Inputs and answers precede the events that they cause; all other
    /// entries follow the events that led to them.
    Entry {
        /// The entry's number. The header, which has the number 0, is not part of the timeline.
        index: u64,
        /// The entry.
        entry: Entry,
    },
    /// An event of the replayed machine.
    Event(ObsEvent),
    /// The replay differs from the recording. Nothing follows.
    Diverged(Box<Divergence>),
}

/// Iterates over the entries and events of a recording, which it replays step by step in constant
/// memory.
///
/// Between two elements [`kernel`](Self::kernel) returns the state of the machine, with the images
/// that have the names.
#[derive(Debug)]
pub struct Timeline<R> {
    replay: Replay<R, Buffer>,
    next: VecDeque<Moment>,
    is_over: bool,
}

/// The events of one step or one input.
#[derive(Debug, Default)]
struct Buffer(VecDeque<ObsEvent>);

impl Sink for Buffer {
    fn observe(&mut self, observation: Observation<'_>) {
        if let Observation::Event { stamp, event } = observation {
            self.0.push_back(ObsEvent {
                stamp: *stamp,
                event: event.clone(),
            });
        }
    }
}

impl<R: Read> Timeline<R> {
    /// Opens a recording.
    ///
    /// # Errors
    /// As [`Reader::open`](crate::Reader::open).
    pub fn open(from: R) -> Result<Timeline<R>, ReplayError> {
        Ok(Timeline {
            replay: Replay::with_sink(from, Buffer::default())?,
            next: VecDeque::new(),
            is_over: false,
        })
    }

    /// The setup of the recorded machine.
    pub fn header(&self) -> &Header {
        self.replay.header()
    }

    /// The machine in its current state.
    pub fn kernel(&self) -> &ProtocolMachineKernel {
        self.replay.kernel()
    }

    /// How the recording ends; `None` before its end.
    pub fn tail(&self) -> Option<&Tail> {
        self.replay.reader().tail()
    }

    /// Number of intact records read so far.
    pub fn records(&self) -> u64 {
        self.replay.reader().records()
    }

    /// The result of the replay so far. Linear in the state.
    pub fn report(&self) -> Report {
        self.replay.report()
    }

    /// Replays one step or one entry.
    fn advance(&mut self) -> Result<(), ReplayError> {
        let now = self.replay.kernel().step_index();
        match self.replay.play(now)? {
            Played::Held => {
                // If no coroutine can step, playing the entry without a limit finds the divergence.
                if !self.replay.step() {
                    self.play(u64::MAX)?;
                }
                self.events();
            }
            Played::Entry => self.entry(),
            Played::Over => self.over(),
        }
        Ok(())
    }

    fn play(&mut self, until: u64) -> Result<(), ReplayError> {
        match self.replay.play(until)? {
            Played::Entry => self.entry(),
            Played::Held | Played::Over => self.over(),
        }
        Ok(())
    }

    fn entry(&mut self) {
        if let Some(entry) = self.replay.current() {
            let index = self.replay.reader().entries() - 1;
            self.next.push_back(Moment::Entry { index, entry });
        }
        self.events();
    }

    fn events(&mut self) {
        let events = self.replay.sink().0.drain(..);
        self.next.extend(events.map(Moment::Event));
    }

    fn over(&mut self) {
        self.events();
        self.is_over = true;
        if let Some(Verdict::Diverged(divergence)) = self.replay.verdict() {
            let divergence = divergence.clone();
            self.next.push_back(Moment::Diverged(divergence));
        }
    }
}

impl<R: Read> Iterator for Timeline<R> {
    type Item = Result<Moment, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(moment) = self.next.pop_front() {
                return Some(Ok(moment));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.advance() {
                self.is_over = true;
                return Some(Err(error));
            }
        }
    }
}
