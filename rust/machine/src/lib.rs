//! The protocol machine.
pub mod bounds;
pub mod effect;
pub mod ids;
pub mod image;
pub mod value;
pub mod verify;

pub use effect::{EffectHandler, EffectRequest, Failure, FailureKind, Outcome, Reply};
pub use ids::*;
pub use image::*;
pub use value::{Form, Value};
pub use verify::VerifiedImage;
