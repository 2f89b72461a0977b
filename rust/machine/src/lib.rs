//! The protocol machine: session-typed protocols, stepped one semantic step at a time.
//!
//! A compiled protocol ([`CodeImage`], checked into a [`VerifiedImage`]) is run by the [`ProtocolMachineKernel`], the
//! sole authority over what a run is. The [`ProtocolMachine`] drives it: see there for how. Everything the world does
//! to a run comes in through one door, the [`EffectHandler`], and everything that comes in is an [`Ingress`], so the
//! same inputs at the same steps give the same run: that is what makes recording and replay exact.
//!
//! The crate knows no clock, randomness, environment or I/O, and no thread but those of the module `threaded`, which the
//! feature `threads` adds.

pub mod bounds;
mod buffer;
pub mod canonical;
mod config;
mod digest;
mod effect;
mod envelope;
mod event;
mod fault;
mod ids;
mod image;
pub mod invariants;
mod kernel;
mod machine;
#[cfg(not(feature = "mutants"))]
mod mutant;
#[cfg(feature = "mutants")]
pub mod mutant;
mod queue;
pub mod sample;
mod schedule;
pub mod schema;
mod session;
pub mod step;
mod thin_deque;
#[cfg(feature = "threads")]
pub mod threaded;
mod value;
mod verify;
mod wave;

pub use buffer::Buffer;
pub use canonical::{Canonical, ReadError, ReadErrorKind};
pub use config::{DeterminismMode, ProtocolMachineConfig, SchedulingPolicy};
pub use digest::{MACHINE_TAG, SESSION_TAG, TRACE_TAG, TraceDigest};
pub use effect::{EffectHandler, EffectRequest, Failure, FailureKind, FromFn, Outcome, Reply};
pub use envelope::{EnvelopeDiff, Outside, RunLog};
pub use event::{End, Event, Message, NoSink, ObsEvent, Sink, Stamp};
pub use fault::{Action, Fault, Refusal, Table};
pub use ids::*;
pub use image::*;
pub use kernel::{
    COUNTER_MAX, Ingress, Job, KernelParts, Planned, ProtocolMachineKernel, Rest, RestoreError,
    SessionParts, Taken, Turn, Wait, WaveBuffers,
};
pub use machine::{KernelMachine, ProtocolMachine, Round, RoundError};
pub use queue::Pick;
pub use session::{
    Coroutine, Edge, Effect, Endpoint, On, Parcel, Phase, Session, Status, Witness, WitnessKind,
};
pub use step::{Resumed, Step, Stepped};
pub use value::{Form, Value};
pub use verify::{Place, Point, VerifiedImage, VerifyError, VerifyErrorKind};
pub use wave::{Footprint, Key, WaveCertificate, WavePick, WaveRefusal};
