//! A sink that keeps the last failure, to explain how a session ended.

use antiphon_machine::{Event, Failure, FailureKind, Fault, Observation, Sink};

/// The last failure and the last fault of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastFailure {
    pub(crate) failure: Option<Failure>,
    pub(crate) fault: Option<Fault>,
}

impl Sink for LastFailure {
    fn observe(&mut self, observation: Observation<'_>) {
        let Observation::Event { event, .. } = observation else {
            return;
        };
        match event {
            Event::EffectFailed { failure, .. } => self.failure = Some(failure.clone()),
            Event::Faulted { fault, .. } => self.fault = Some(*fault),
            Event::Opened { .. }
            | Event::Sent(_)
            | Event::Offered(_)
            | Event::Received(_)
            | Event::Chose(_)
            | Event::EffectIssued { .. }
            | Event::EffectResolved { .. }
            | Event::EffectInvalidated { .. }
            | Event::WitnessIssued { .. }
            | Event::WitnessExpired { .. }
            | Event::TimeoutIssued { .. }
            | Event::CancellationRequested { .. }
            | Event::Cancelled { .. }
            | Event::FailureBranchEntered { .. }
            | Event::Spawned { .. }
            | Event::Halted { .. }
            | Event::Closed
            | Event::SessionTerminal { .. }
            | Event::EpochAdvanced { .. } => {}
        }
    }
}

impl LastFailure {
    /// Whether the last failure was of this kind.
    pub(crate) fn is(&self, kind: FailureKind) -> bool {
        self.failure
            .as_ref()
            .is_some_and(|failure| failure.kind == kind)
    }

    /// Why a session faulted: the failure that the protocol does not handle, or else the fault
    /// itself.
    pub(crate) fn reason(&self) -> String {
        match (&self.fault, &self.failure) {
            (Some(Fault::EffectFailed { .. }) | None, Some(failure)) => {
                let colon = if failure.detail.is_empty() { "" } else { ": " };
                format!("{}{colon}{}", failure.kind, failure.detail)
            }
            (Some(fault), _) => fault.to_string(),
            (None, None) => "it ended without a reason".to_owned(),
        }
    }
}
