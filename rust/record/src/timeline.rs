//! A recording as a story: its entries and, between them, the events of its replay.

use std::collections::VecDeque;
use std::io::Read;

use antiphon_machine::{Event, ObsEvent, ProtocolMachineKernel, Sink, Stamp};

use crate::divergence::Divergence;
use crate::entry::{Entry, Header};
use crate::reader::Tail;
use crate::replay::{Played, Replay, ReplayError};
use crate::report::{Report, Verdict};

/// Something that a timeline tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The recording has this. Inputs and answers stand before the events that they cause,
    /// everything else behind the events that led to it.
    Entry {
        /// Which entry, from 0 for the header, which is not told.
        index: u64,
        /// What it says.
        entry: Entry,
    },
    /// The replayed machine did this.
    Event(ObsEvent),
    /// The replayed machine did something else than the recording says. Nothing follows.
    Diverged(Box<Divergence>),
}

/// Walks through a recording by replaying it, one step at a time and in constant memory.
///
/// An iterator; between two moments [`kernel`](Self::kernel) shows the machine and knows the names.
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
    fn event(&mut self, stamp: &Stamp, event: Event) {
        self.0.push_back(ObsEvent {
            stamp: *stamp,
            event,
        });
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

    /// How the recorded machine was set up.
    pub fn header(&self) -> &Header {
        self.replay.header()
    }

    /// The machine as it is now.
    pub fn kernel(&self) -> &ProtocolMachineKernel {
        self.replay.kernel()
    }

    /// How the recording ends; `None` before its end.
    pub fn tail(&self) -> Option<&Tail> {
        self.replay.reader().tail()
    }

    /// How many records proved to be what was written.
    pub fn records(&self) -> u64 {
        self.replay.reader().records()
    }

    /// What the replay has found so far. Linear in the state.
    pub fn report(&self) -> Report {
        self.replay.report()
    }

    /// One step, or one entry.
    fn turn(&mut self) -> Result<(), ReplayError> {
        let now = self.replay.kernel().step_index();
        match self.replay.play(now)? {
            Played::Held => {
                // When nobody can step, the entry is played once more, and its divergence found.
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
            if let Err(error) = self.turn() {
                self.is_over = true;
                return Some(Err(error));
            }
        }
    }
}
