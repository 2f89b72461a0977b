//! What an observer sees. Observation never changes a run.

use std::sync::Arc;

use crate::effect::{EffectRequest, Failure};
use crate::fault::{Fault, Refusal};
use crate::ids::{CoroutineId, EdgeId, LabelId, OperationId, ProgramId, SessionId};
use crate::kernel::{Ingress, ProtocolMachineKernel, Rest};
use crate::value::Value;
use crate::verify::VerifiedImage;
use crate::wave::WavePick;

/// When and where an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The session.
    pub session: SessionId,
    /// The event's number within the session, from 0, without gaps.
    pub index: u64,
    /// The machine's step index: how many steps were taken before.
    pub step: u64,
    /// The logical clock, in ticks.
    pub clock: u64,
}

/// An event with its stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObsEvent {
    /// When and where.
    pub stamp: Stamp,
    /// What.
    pub event: Event,
}

/// What happened. The order within a session is fixed: see the crate's semantics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session began.
    Opened {
        /// The digest of its image.
        image: [u8; 32],
        /// Its owner.
        owner: Arc<str>,
    },
    /// A message was accepted into the buffer of its edge.
    Sent(Message),
    /// As `Sent`, by an internal choice.
    Offered(Message),
    /// A message was taken from the buffer of its edge.
    Received(Message),
    /// As `Received`, by an external choice.
    Chose(Message),
    /// An effect was issued.
    EffectIssued {
        /// Its number in the session.
        number: u64,
        /// Who asks.
        coroutine: CoroutineId,
        /// What is asked.
        operation: OperationId,
        /// How often it was asked before.
        attempt: u8,
        /// When it times out.
        deadline: Option<u64>,
    },
    /// An effect succeeded.
    EffectResolved {
        /// Its number.
        number: u64,
        /// Its result.
        result: Value,
    },
    /// An effect failed.
    EffectFailed {
        /// Its number.
        number: u64,
        /// How.
        failure: Failure,
    },
    /// An effect was outstanding when its session ended; its outcome will be refused.
    EffectInvalidated {
        /// Its number.
        number: u64,
    },
    /// A witness was issued.
    WitnessIssued {
        /// Its number in the session.
        witness: u64,
        /// The effect it is evidence of.
        number: u64,
    },
    /// A witness is no longer good.
    WitnessExpired {
        /// Its number.
        witness: u64,
    },
    /// An effect's budget has run out; `EffectFailed` with `timeout` follows.
    TimeoutIssued {
        /// The effect's number.
        number: u64,
        /// The witness of the timeout.
        witness: u64,
    },
    /// A cancellation began.
    CancellationRequested {
        /// Its witness.
        witness: u64,
    },
    /// A cancellation is complete.
    Cancelled {
        /// The same witness, consumed.
        witness: u64,
    },
    /// A failure became visible: a program took its failure branch, or a fault follows.
    FailureBranchEntered {
        /// Whose failure.
        coroutine: CoroutineId,
        /// What failed.
        cause: Fault,
    },
    /// A coroutine was started.
    Spawned {
        /// Its number.
        coroutine: CoroutineId,
        /// What it runs.
        program: ProgramId,
    },
    /// A coroutine came to its end.
    Halted {
        /// Which.
        coroutine: CoroutineId,
    },
    /// A coroutine faulted.
    Faulted {
        /// Which.
        coroutine: CoroutineId,
        /// Why.
        fault: Fault,
    },
    /// The protocol came to its end.
    Closed,
    /// The session ended; nothing of it changes any more but its epoch.
    SessionTerminal {
        /// How.
        end: End,
    },
    /// The session's epoch advanced: handles from before are stale.
    EpochAdvanced {
        /// The new epoch.
        epoch: u64,
    },
}

/// A message, as it passes into or out of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its edge: sender and receiver.
    pub edge: EdgeId,
    /// Its label.
    pub label: LabelId,
    /// Its number on the edge, from 0.
    pub sequence: u64,
    /// Its payload.
    pub payload: Value,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// By its protocol.
    Closed = 0,
    /// By `Cancel`.
    Cancelled = 1,
    /// By a fault.
    Faulted = 2,
}

/// An observer of a run.
///
/// Every method but `event` has an empty default. A sink is told and never asked: nothing it does reaches the run.
pub trait Sink {
    /// Whether events are wanted at all. Constant for the life of the sink; `false` lets the kernel build none.
    #[inline]
    fn wants_events(&self) -> bool {
        true
    }

    /// Whether [`stepped`](Self::stepped) is wanted after every single step. Constant for the life of the sink; `false`
    /// lets the machine take several before it says so.
    #[inline]
    fn wants_steps(&self) -> bool {
        true
    }

    /// Whether [`request`](Self::request) and [`ingress`](Self::ingress) are wanted. Constant for the life of the sink; `false`
    /// lets the machine take a handler's answer in where it was given, without a word.
    #[inline]
    fn wants_inputs(&self) -> bool {
        true
    }

    /// An event happened.
    fn event(&mut self, stamp: &Stamp, event: Event);

    /// An image was made known to the machine. Told before the first session of it is opened.
    #[inline]
    fn loaded(&mut self, image: &VerifiedImage) {
        let _ = image;
    }

    /// A wave was run: these picks, in this order, from this step index on; their events follow. Not told of steps that the
    /// policy picked one by one.
    #[inline]
    fn wave(&mut self, step: u64, picks: &[WavePick]) {
        let _ = (step, picks);
    }

    /// A request is about to be put to the handler.
    #[inline]
    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        let _ = (step, request);
    }

    /// An input is about to be taken, or refused.
    #[inline]
    fn ingress(&mut self, step: u64, input: &Ingress) {
        let _ = (step, input);
    }

    /// The input just announced was refused.
    #[inline]
    fn refused(&mut self, step: u64, refusal: &Refusal) {
        let _ = (step, refusal);
    }

    /// A step, and the input it brought with it, is done; or several, where [`wants_steps`](Self::wants_steps) allows.
    #[inline]
    fn stepped(&mut self, kernel: &ProtocolMachineKernel) {
        let _ = kernel;
    }

    /// No coroutine is ready: what happens next comes from outside.
    #[inline]
    fn rested(&mut self, kernel: &ProtocolMachineKernel, rest: &Rest) {
        let _ = (kernel, rest);
    }
}

/// No observer.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl Sink for NoSink {
    #[inline]
    fn wants_events(&self) -> bool {
        false
    }

    #[inline]
    fn wants_steps(&self) -> bool {
        false
    }

    #[inline]
    fn wants_inputs(&self) -> bool {
        false
    }

    #[inline]
    fn event(&mut self, _: &Stamp, _: Event) {}
}

/// Keeps every event, in order.
impl Sink for Vec<ObsEvent> {
    fn wants_steps(&self) -> bool {
        false
    }

    fn event(&mut self, stamp: &Stamp, event: Event) {
        self.push(ObsEvent {
            stamp: *stamp,
            event,
        });
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn wants_events(&self) -> bool {
        (**self).wants_events()
    }
    fn wants_steps(&self) -> bool {
        (**self).wants_steps()
    }
    fn wants_inputs(&self) -> bool {
        (**self).wants_inputs()
    }
    fn event(&mut self, stamp: &Stamp, event: Event) {
        (**self).event(stamp, event);
    }
    fn loaded(&mut self, image: &VerifiedImage) {
        (**self).loaded(image);
    }
    fn wave(&mut self, step: u64, picks: &[WavePick]) {
        (**self).wave(step, picks);
    }

    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        (**self).request(step, request);
    }
    fn ingress(&mut self, step: u64, input: &Ingress) {
        (**self).ingress(step, input);
    }
    fn refused(&mut self, step: u64, refusal: &Refusal) {
        (**self).refused(step, refusal);
    }
    fn stepped(&mut self, kernel: &ProtocolMachineKernel) {
        (**self).stepped(kernel);
    }
    fn rested(&mut self, kernel: &ProtocolMachineKernel, rest: &Rest) {
        (**self).rested(kernel, rest);
    }
}

/// Both observers, the first one first.
impl<A: Sink, B: Sink> Sink for (A, B) {
    fn wants_events(&self) -> bool {
        self.0.wants_events() || self.1.wants_events()
    }
    fn wants_steps(&self) -> bool {
        self.0.wants_steps() || self.1.wants_steps()
    }
    fn wants_inputs(&self) -> bool {
        self.0.wants_inputs() || self.1.wants_inputs()
    }
    fn event(&mut self, stamp: &Stamp, event: Event) {
        if !self.1.wants_events() {
            self.0.event(stamp, event);
            return;
        }
        if self.0.wants_events() {
            self.0.event(stamp, event.clone());
        }
        self.1.event(stamp, event);
    }
    fn loaded(&mut self, image: &VerifiedImage) {
        self.0.loaded(image);
        self.1.loaded(image);
    }
    fn wave(&mut self, step: u64, picks: &[WavePick]) {
        self.0.wave(step, picks);
        self.1.wave(step, picks);
    }

    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        self.0.request(step, request);
        self.1.request(step, request);
    }
    fn ingress(&mut self, step: u64, input: &Ingress) {
        self.0.ingress(step, input);
        self.1.ingress(step, input);
    }
    fn refused(&mut self, step: u64, refusal: &Refusal) {
        self.0.refused(step, refusal);
        self.1.refused(step, refusal);
    }
    fn stepped(&mut self, kernel: &ProtocolMachineKernel) {
        self.0.stepped(kernel);
        self.1.stepped(kernel);
    }
    fn rested(&mut self, kernel: &ProtocolMachineKernel, rest: &Rest) {
        self.0.rested(kernel, rest);
        self.1.rested(kernel, rest);
    }
}

/// An observer that may be absent.
impl<S: Sink> Sink for Option<S> {
    fn wants_events(&self) -> bool {
        self.as_ref().is_some_and(Sink::wants_events)
    }
    fn wants_steps(&self) -> bool {
        self.as_ref().is_some_and(Sink::wants_steps)
    }
    fn wants_inputs(&self) -> bool {
        self.as_ref().is_some_and(Sink::wants_inputs)
    }
    fn event(&mut self, stamp: &Stamp, event: Event) {
        if let Some(sink) = self {
            sink.event(stamp, event);
        }
    }
    fn loaded(&mut self, image: &VerifiedImage) {
        if let Some(sink) = self {
            sink.loaded(image);
        }
    }
    fn wave(&mut self, step: u64, picks: &[WavePick]) {
        if let Some(sink) = self {
            sink.wave(step, picks);
        }
    }

    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        if let Some(sink) = self {
            sink.request(step, request);
        }
    }
    fn ingress(&mut self, step: u64, input: &Ingress) {
        if let Some(sink) = self {
            sink.ingress(step, input);
        }
    }
    fn refused(&mut self, step: u64, refusal: &Refusal) {
        if let Some(sink) = self {
            sink.refused(step, refusal);
        }
    }
    fn stepped(&mut self, kernel: &ProtocolMachineKernel) {
        if let Some(sink) = self {
            sink.stepped(kernel);
        }
    }
    fn rested(&mut self, kernel: &ProtocolMachineKernel, rest: &Rest) {
        if let Some(sink) = self {
            sink.rested(kernel, rest);
        }
    }
}

impl End {
    /// The end's name in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            End::Closed => "closed",
            End::Cancelled => "cancelled",
            End::Faulted => "faulted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wants of events, of steps, of inputs, what it says.
    struct Wants([bool; 3]);

    impl Sink for Wants {
        fn wants_events(&self) -> bool {
            self.0[0]
        }
        fn wants_steps(&self) -> bool {
            self.0[1]
        }
        fn wants_inputs(&self) -> bool {
            self.0[2]
        }
        fn event(&mut self, _: &Stamp, _: Event) {}
    }

    fn wants(sink: impl Sink) -> [bool; 3] {
        [sink.wants_events(), sink.wants_steps(), sink.wants_inputs()]
    }

    /// Sinks that are made of sinks want what any part of them wants: else a recorder beside another observer would miss it.
    #[test]
    fn what_one_of_them_wants_is_wanted() {
        let each = [false, true];
        let all = each.map(|a| each.map(|b| each.map(|c| [a, b, c])));
        let all = all.as_flattened().as_flattened();
        for one in all {
            assert_eq!(wants(&mut Wants(*one)), *one);
            assert_eq!(wants(Some(Wants(*one))), *one);
            for other in all {
                let either = [0, 1, 2].map(|n| one[n] || other[n]);
                assert_eq!(wants((Wants(*one), Wants(*other))), either);
            }
        }
        assert_eq!(wants(None::<Wants>), [false; 3]);
        assert_eq!(wants(NoSink), [false; 3]);
        struct Silent;
        impl Sink for Silent {
            fn event(&mut self, _: &Stamp, _: Event) {}
        }
        assert_eq!(wants(Silent), [true; 3], "who says nothing misses nothing");
    }
}
