//! The kinds of rows, and counts by kind.

use std::collections::BTreeMap;

use antiphon_machine::Event;

macro_rules! kinds {
    ($($name:ident $text:literal,)*) => {
        /// What happened in a row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum Kind { $($name,)* }

        impl Kind {
            pub(crate) const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }
        }
    };
}

kinds! {
    Opened "opened",
    Sent "sent",
    Offered "offered",
    Received "received",
    Chose "chose",
    EffectIssued "effect_issued",
    EffectResolved "effect_resolved",
    EffectFailed "effect_failed",
    EffectInvalidated "effect_invalidated",
    WitnessIssued "witness_issued",
    WitnessExpired "witness_expired",
    TimeoutIssued "timeout_issued",
    CancellationRequested "cancellation_requested",
    Cancelled "cancelled",
    FailureBranchEntered "failure_branch_entered",
    Spawned "spawned",
    Halted "halted",
    Faulted "faulted",
    Closed "closed",
    SessionTerminal "session_terminal",
    EpochAdvanced "epoch_advanced",
    Request "request",
    Input "input",
    Refused "refused",
}

impl Kind {
    /// The kind of an event's row.
    pub(crate) const fn of(event: &Event) -> Kind {
        match event {
            Event::Opened { .. } => Kind::Opened,
            Event::Sent(_) => Kind::Sent,
            Event::Offered(_) => Kind::Offered,
            Event::Received(_) => Kind::Received,
            Event::Chose(_) => Kind::Chose,
            Event::EffectIssued { .. } => Kind::EffectIssued,
            Event::EffectResolved { .. } => Kind::EffectResolved,
            Event::EffectFailed { .. } => Kind::EffectFailed,
            Event::EffectInvalidated { .. } => Kind::EffectInvalidated,
            Event::WitnessIssued { .. } => Kind::WitnessIssued,
            Event::WitnessExpired { .. } => Kind::WitnessExpired,
            Event::TimeoutIssued { .. } => Kind::TimeoutIssued,
            Event::CancellationRequested { .. } => Kind::CancellationRequested,
            Event::Cancelled { .. } => Kind::Cancelled,
            Event::FailureBranchEntered { .. } => Kind::FailureBranchEntered,
            Event::Spawned { .. } => Kind::Spawned,
            Event::Halted { .. } => Kind::Halted,
            Event::Faulted { .. } => Kind::Faulted,
            Event::Closed => Kind::Closed,
            Event::SessionTerminal { .. } => Kind::SessionTerminal,
            Event::EpochAdvanced { .. } => Kind::EpochAdvanced,
        }
    }

    /// Whether it is a failure or other problem.
    pub(crate) const fn is_problem(self) -> bool {
        match self {
            Kind::EffectFailed
            | Kind::EffectInvalidated
            | Kind::TimeoutIssued
            | Kind::CancellationRequested
            | Kind::Cancelled
            | Kind::FailureBranchEntered
            | Kind::Faulted
            | Kind::Refused => true,
            Kind::Opened
            | Kind::Sent
            | Kind::Offered
            | Kind::Received
            | Kind::Chose
            | Kind::EffectIssued
            | Kind::EffectResolved
            | Kind::WitnessIssued
            | Kind::WitnessExpired
            | Kind::Spawned
            | Kind::Halted
            | Kind::Closed
            | Kind::SessionTerminal
            | Kind::EpochAdvanced
            | Kind::Request
            | Kind::Input => false,
        }
    }
}

/// The number of rows of each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts([u64; Kind::ALL.len()]);

impl Counts {
    pub(crate) fn add(&mut self, kind: Kind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count += 1;
        }
    }

    pub(crate) fn of(&self, kind: Kind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or(0)
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The counts above 0, by name.
    pub(crate) fn by_name(&self) -> BTreeMap<&'static str, u64> {
        let counts = Kind::ALL.iter().map(|kind| (kind.name(), self.of(*kind)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}
