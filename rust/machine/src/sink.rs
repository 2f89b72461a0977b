//! Observers of a run.

use crate::effect::EffectRequest;
use crate::event::{Event, ObsEvent, Stamp};
use crate::fault::Refusal;
use crate::input::{Ingress, Rest};
// The kernel is passed to a sink as a whole: recorders and checks read any part of it. So `kernel`
// and `sink` name each other, in the types of arguments only.
use crate::kernel::ProtocolMachineKernel;
use crate::verify::VerifiedImage;
use crate::wave::WavePick;

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
