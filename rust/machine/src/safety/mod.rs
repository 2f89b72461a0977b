//! Safety: checks that the roles of an image fit together, and admits images to machines.
//!
//! A *configuration* has the state of each role and the labels in the buffer of each edge. It is
//! *bad* if a role cannot receive its next message, if a message is buffered for a role that is
//! done, or if no role can take a step although some role is not done. A [`SafetyCertificate`]
//! lists all configurations that the roles of an image can reach with buffers of a given size. The
//! checker in this module explores nothing: it checks that the list has the start, that no step
//! leads out of it, and that it has no bad configuration. The exploration that makes certificates
//! is in the compiler.
//!
//! A certificate covers machines with buffers of exactly its own size. If no role waits for room in
//! any of its configurations, it covers all larger buffers, too. [`Coverage`] is the result.
//! [`admit`] compares it with the configuration of a machine:
//!
//! ```
//! use antiphon_machine::ProtocolMachineConfig;
//! use antiphon_machine::safety::{Evidence, SafetyCertificate, Way, admit};
//! # use antiphon_machine::safety::System;
//! # let image = antiphon_machine::sample::ping_pong(1);
//! # let system = System::of_image(&image, 2);
//! # let (mut rows, mut current) = (vec![system.start()], 0);
//! # while current < rows.len() {
//! #     for (step, next) in system.steps(&rows[current]).expect("it is safe") {
//! #         let row = system.successor(&rows[current], step, next);
//! #         if !rows.contains(&row) { rows.push(row); }
//! #     }
//! #     current += 1;
//! # }
//! # let bytes = SafetyCertificate::of(&system, rows.iter().map(|row| &row[..])).encode();
//!
//! let certificate = SafetyCertificate::decode(&bytes)?;
//! let config = ProtocolMachineConfig::default();
//! let admission = admit(&config, &image, Evidence::Certificate(&certificate))?;
//! assert_eq!(admission.way, Way::Room);
//! assert_eq!(admission.coverage.to_string(), "buffers of at least 2 messages");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The model in `lean/` has the same checker and the same rules of admission, and theorems about
//! them. The tests of the bridge compare the verdicts of both.

mod admission;
mod certificate;
mod system;

pub use admission::{Admission, AdmissionError, Evidence, Way, admit};
pub use certificate::{
    CERTIFICATE_LEN_MAX, CertificateError, Coverage, FullBuffer, NUMBERS_MAX, SafetyCertificate,
};
pub use system::{BadConfiguration, Move, NO_LABEL, RoleTurn, System, Waiting};
