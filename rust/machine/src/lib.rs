//! The protocol machine: session-typed protocols, stepped one semantic step at a time.
//!
//! A compiled protocol ([`CodeImage`]) is checked into a [`VerifiedImage`], which the
//! [`ProtocolMachineKernel`] runs. The kernel is the sole authority over the state of a run. The
//! [`ProtocolMachine`] drives a kernel; its documentation has an example. A run asks the outside
//! world through the [`EffectHandler`] only, and everything that enters it is an [`Ingress`]. The
//! same inputs at the same steps therefore give the same run, which is what makes recording and
//! replay exact.
//!
//! The crate uses no clock, randomness, environment or I/O, and no thread but those of the module
//! `threaded`, which the feature `threads` adds.

pub mod bounds;
mod buffer;
#[cfg(feature = "build")]
pub mod build;
#[cfg(not(feature = "build"))]
#[allow(dead_code, unreachable_pub, reason = "only `sample` uses it")]
mod build;
#[macro_use]
pub mod canonical;
#[macro_use]
mod operand;
mod config;
mod described;
mod digest;
mod effect;
mod envelope;
#[macro_use]
mod event;
#[macro_use]
mod fault;
mod ids;
#[macro_use]
mod image;
#[macro_use]
mod input;
pub mod invariants;
mod kernel;
mod machine;
mod outcome;
mod queue;
pub mod safety;
pub mod sample;
mod schedule;
pub mod schema;
mod session;
mod sink;
pub mod step;
pub mod text;
mod thin_deque;
#[cfg(feature = "threads")]
pub mod threaded;
mod value;
mod verify;
mod wave;

pub use buffer::{Buffer, Parcel};
pub use canonical::{Canonical, ReadError, ReadErrorKind};
pub use config::{DeterminismMode, ProtocolMachineConfig, SchedulingPolicy};
pub use digest::{MACHINE_TAG, SESSION_TAG, TRACE_TAG, TraceDigest};
pub use effect::{EffectHandler, EffectRequest, FromFn};
pub use envelope::{EnvelopeDiff, Outside, RunLog};
pub use event::{End, Event, Message, ObsEvent, Stamp};
pub use fault::{Action, Fault, Refusal, Table};
pub use ids::*;
pub use image::*;
pub use input::{Ingress, On, Rest, Resumed, Step, Stepped, Taken, Turn, Wait};
pub use kernel::{
    COUNTER_MAX, Job, KernelParts, Planned, ProtocolMachineKernel, RestoreError, SessionParts,
    WaveBuffers,
};
pub use machine::{KernelMachine, ProtocolMachine, Round, RoundError};
pub use operand::Operand;
#[cfg(feature = "build")]
pub use operand::OperandSource;
pub use outcome::{Failure, FailureKind, Outcome, Reply};
pub use session::{
    Coroutine, Edge, Effect, Endpoint, Phase, Session, Status, Witness, WitnessKind,
};
pub use sink::{Interest, NoSink, Observation, Sink};
pub use value::{Form, Value};
pub use verify::{Place, Point, VerifiedImage, VerifyError, VerifyErrorKind};
pub use wave::{Fallbacks, Footprint, Key, WaveCertificate, WavePick, WaveRefusal};
