//! The sink of a replayed machine: digests its events, keeps the last ones, and forwards them.

use std::collections::BTreeMap;

use antiphon_machine::{
    EffectId, Event, Interest, ObsEvent, Observation, OperationId, ProtocolMachineKernel,
    SessionId, Sink, Stamp,
};

use crate::checks::Checks;
use crate::describe;
use crate::divergence::RecentEvent;

/// The number of events before a divergence that are kept.
const RECENT_MAX: usize = 16;

/// The sink of a replayed machine: keeps the digests and the last events, and forwards to the
/// caller's sink.
#[derive(Clone, Debug)]
pub(super) struct Observer<S> {
    pub(super) checks: Checks,
    /// The last events, at most [`RECENT_MAX`], each with the operation of the effect that it ends.
    recent: Vec<(ObsEvent, Option<OperationId>)>,
    /// The operations of outstanding effects.
    operations: BTreeMap<EffectId, OperationId>,
    /// Whether the last events are kept.
    pub(super) keeps_recent: bool,
    /// Position of the next event in `recent`.
    at: usize,
    pub(super) sink: S,
}

impl<S> Observer<S> {
    pub(super) fn new(checks: Checks, sink: S) -> Observer<S> {
        Observer {
            checks,
            recent: Vec::with_capacity(RECENT_MAX),
            operations: BTreeMap::new(),
            keeps_recent: true,
            at: 0,
            sink,
        }
    }

    /// The last events, in their order.
    pub(super) fn recent(&self, kernel: &ProtocolMachineKernel) -> Vec<RecentEvent> {
        let (newer, older) = self.recent.split_at(self.at);
        let recent = |(event, operation): &(ObsEvent, Option<OperationId>)| {
            let image = describe::image_of(kernel, event.stamp.session);
            RecentEvent {
                text: describe::event_of(image, event, *operation),
                event: event.clone(),
            }
        };
        older.iter().chain(newer).map(recent).collect()
    }

    /// Learns the operations of the effects that were outstanding at a checkpoint.
    pub(super) fn know_outstanding(&mut self, kernel: &ProtocolMachineKernel) {
        for session in kernel.sessions() {
            for effect in session.effects() {
                let (session, number) = (session.id(), effect.number);
                let effect_id = EffectId { session, number };
                self.operations.insert(effect_id, effect.operation);
            }
        }
    }

    /// Returns the operation of the effect that the event ends. Keeps the operations of outstanding
    /// effects; the machine bounds their number.
    fn operation(&mut self, session: SessionId, event: &Event) -> Option<OperationId> {
        let effect = |number: u64| EffectId { session, number };
        match event {
            Event::EffectIssued {
                number, operation, ..
            } => {
                self.operations.insert(effect(*number), *operation);
                None
            }
            Event::EffectResolved { number, .. }
            | Event::EffectFailed { number, .. }
            | Event::EffectInvalidated { number } => self.operations.remove(&effect(*number)),
            Event::Opened { .. }
            | Event::Sent(_)
            | Event::Offered(_)
            | Event::Received(_)
            | Event::Chose(_)
            | Event::WitnessIssued { .. }
            | Event::WitnessExpired { .. }
            | Event::TimeoutIssued { .. }
            | Event::CancellationRequested { .. }
            | Event::Cancelled { .. }
            | Event::FailureBranchEntered { .. }
            | Event::Spawned { .. }
            | Event::Halted { .. }
            | Event::Faulted { .. }
            | Event::Closed
            | Event::SessionTerminal { .. }
            | Event::EpochAdvanced { .. } => None,
        }
    }
}

impl<S: Sink> Sink for Observer<S> {
    #[inline]
    fn interest(&self) -> Interest {
        Interest {
            events: self.keeps_recent || !self.checks.is_off() || self.sink.interest().events,
            ..Interest::ALL
        }
    }

    #[inline]
    fn observe(&mut self, observation: Observation<'_>) {
        match observation {
            Observation::Event { stamp, event } => {
                if self.sink.interest().events {
                    self.sink.observe(observation);
                }
                self.event(stamp, event);
            }
            Observation::Input { .. } | Observation::Refused { .. } => {
                self.sink.observe(observation);
            }
            // The player reports these itself, when they have been compared.
            Observation::Loaded(_)
            | Observation::Wave { .. }
            | Observation::Request { .. }
            | Observation::Stepped(_)
            | Observation::Rested(..) => {}
        }
    }
}

impl<S: Sink> Observer<S> {
    #[inline]
    fn event(&mut self, stamp: &Stamp, event: &Event) {
        self.checks.event(stamp, event);
        if !self.keeps_recent {
            return;
        }
        let operation = self.operation(stamp.session, event);
        let event = ObsEvent {
            stamp: *stamp,
            event: event.clone(),
        };
        let event = (event, operation);
        match self.recent.get_mut(self.at) {
            Some(place) => *place = event,
            None => self.recent.push(event),
        }
        self.at = (self.at + 1) % RECENT_MAX;
    }
}
