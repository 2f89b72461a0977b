//! Observers of a run.

use crate::effect::EffectRequest;
use crate::event::{Event, ObsEvent, Stamp};
use crate::fault::Refusal;
use crate::input::{Ingress, Rest};
// A sink is given the whole kernel, because recorders and checks read any part of it. The modules
// `kernel` and `sink` therefore refer to each other, in argument types only.
use crate::kernel::ProtocolMachineKernel;
use crate::verify::VerifiedImage;
use crate::wave::WavePick;

/// An observer of a run: it is asked once what it wants, and notified by one call.
///
/// A sink observes only: nothing that it does changes the run.
///
/// ```
/// use antiphon_machine::{Interest, Observation, ProtocolMachine, Sink, sample};
/// # use antiphon_machine::{EffectRequest, FromFn, Outcome, Reply};
///
/// /// Counts events, and wants nothing else.
/// #[derive(Default)]
/// struct Count(u64);
///
/// impl Sink for Count {
///     fn interest(&self) -> Interest {
///         Interest::EVENTS
///     }
///
///     fn observe(&mut self, observation: Observation<'_>) {
///         self.0 += u64::from(matches!(observation, Observation::Event { .. }));
///     }
/// }
///
/// let host = FromFn(|_: &EffectRequest<'_>| Reply::Now(Outcome::done()));
/// let mut machine = ProtocolMachine::with_sink(Default::default(), host, Count::default());
/// machine.load_choreography(&sample::bare_ping_pong(), "me")?;
/// machine.run(100);
/// assert!(machine.sink().0 > 10);
/// # Ok::<(), antiphon_machine::Refusal>(())
/// ```
pub trait Sink {
    /// What the sink wants. Constant for the life of the sink.
    #[inline]
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    /// Something happened. A sink may also be notified of what it does not want.
    fn observe(&mut self, observation: Observation<'_>);
}

/// What a sink wants to be notified of. Every sink is notified of images, waves, refusals and
/// rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Events. Otherwise the kernel builds none.
    pub events: bool,
    /// [`Observation::Stepped`] after every single step. Otherwise one may cover several steps.
    pub steps: bool,
    /// Requests and inputs. Otherwise the machine may ask a handler and take its reply in without a
    /// notification.
    pub inputs: bool,
}

impl Interest {
    /// Everything.
    pub const ALL: Interest = Interest {
        events: true,
        steps: true,
        inputs: true,
    };

    /// Nothing.
    pub const NONE: Interest = Interest {
        events: false,
        steps: false,
        inputs: false,
    };

    /// Events only.
    pub const EVENTS: Interest = Interest {
        events: true,
        ..Interest::NONE
    };

    /// What at least one of the two wants.
    #[must_use]
    pub const fn or(self, other: Interest) -> Interest {
        Interest {
            events: self.events || other.events,
            steps: self.steps || other.steps,
            inputs: self.inputs || other.inputs,
        }
    }
}

/// What a sink is notified of. `step` is the machine's step index.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// An event happened.
    Event {
        /// Session, number, step and clock.
        stamp: &'a Stamp,
        /// The event.
        event: &'a Event,
    },
    /// The machine has loaded an image. Reported before the first session of it is opened.
    Loaded(&'a VerifiedImage),
    /// A wave was run: these picks, in this order, from this step index on; their events follow.
    /// Not reported for steps that the policy picked one by one.
    Wave {
        /// The index of the first step.
        step: u64,
        /// The picks.
        picks: &'a [WavePick],
    },
    /// The request will be put to the handler next.
    Request {
        /// The step index.
        step: u64,
        /// The request.
        request: &'a EffectRequest<'a>,
    },
    /// The input will be taken or refused next.
    Input {
        /// The step index.
        step: u64,
        /// The input.
        input: &'a Ingress,
    },
    /// The preceding input was refused.
    Refused {
        /// The step index.
        step: u64,
        /// The reason.
        refusal: &'a Refusal,
    },
    /// A step, and the input that it caused, is complete; or several steps, unless
    /// [`Interest::steps`] is set.
    Stepped(&'a ProtocolMachineKernel),
    /// No coroutine is ready, so the next change comes from outside.
    Rested(&'a ProtocolMachineKernel, &'a Rest),
}

/// A sink that observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl Sink for NoSink {
    #[inline]
    fn interest(&self) -> Interest {
        Interest::NONE
    }

    #[inline]
    fn observe(&mut self, _: Observation<'_>) {}
}

/// Keeps every event, in order.
impl Sink for Vec<ObsEvent> {
    fn interest(&self) -> Interest {
        Interest {
            inputs: true,
            ..Interest::EVENTS
        }
    }

    fn observe(&mut self, observation: Observation<'_>) {
        if let Observation::Event { stamp, event } = observation {
            self.push(ObsEvent {
                stamp: *stamp,
                event: event.clone(),
            });
        }
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    #[inline]
    fn interest(&self) -> Interest {
        (**self).interest()
    }

    #[inline]
    fn observe(&mut self, observation: Observation<'_>) {
        (**self).observe(observation);
    }
}

/// Both sinks, the first one first.
impl<A: Sink, B: Sink> Sink for (A, B) {
    #[inline]
    fn interest(&self) -> Interest {
        self.0.interest().or(self.1.interest())
    }

    #[inline]
    fn observe(&mut self, observation: Observation<'_>) {
        self.0.observe(observation);
        self.1.observe(observation);
    }
}

/// A sink that may be absent.
impl<S: Sink> Sink for Option<S> {
    #[inline]
    fn interest(&self) -> Interest {
        self.as_ref().map_or(Interest::NONE, Sink::interest)
    }

    #[inline]
    fn observe(&mut self, observation: Observation<'_>) {
        if let Some(sink) = self {
            sink.observe(observation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sink that wants this.
    struct Wants(Interest);

    impl Sink for Wants {
        fn interest(&self) -> Interest {
            self.0
        }
        fn observe(&mut self, _: Observation<'_>) {}
    }

    fn of(sink: impl Sink) -> Interest {
        sink.interest()
    }

    /// A composed sink wants what any of its parts wants. Otherwise a recorder next to another
    /// observer would miss it.
    #[test]
    fn a_composed_sink_wants_what_any_part_wants() {
        let each = [false, true];
        let all = each.map(|events| {
            each.map(|steps| {
                each.map(|inputs| Interest {
                    events,
                    steps,
                    inputs,
                })
            })
        });
        let all = all.as_flattened().as_flattened();
        for one in all {
            assert_eq!(of(&mut Wants(*one)), *one);
            assert_eq!(Some(Wants(*one)).interest(), *one);
            for other in all {
                let either = Interest {
                    events: one.events || other.events,
                    steps: one.steps || other.steps,
                    inputs: one.inputs || other.inputs,
                };
                assert_eq!((Wants(*one), Wants(*other)).interest(), either);
            }
        }
        assert_eq!(None::<Wants>.interest(), Interest::NONE);
        assert_eq!(NoSink.interest(), Interest::NONE);
        struct Default;
        impl Sink for Default {
            fn observe(&mut self, _: Observation<'_>) {}
        }
        assert_eq!(Default.interest(), Interest::ALL);
    }
}
