//! Admission of an image to machines with a given configuration.

use super::certificate::{CertificateError, Coverage, FullBuffer, SafetyCertificate};
use crate::config::ProtocolMachineConfig;
use crate::fault::Refusal;
use crate::verify::VerifiedImage;

/// Evidence that the roles of an image are safe together. It is untrusted: admission checks it.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'e> {
    /// A safety certificate of the image.
    Certificate(&'e SafetyCertificate),
}

/// The proof that a session of an image is never in a bad configuration on a machine with buffers
/// of the covered sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Why the machine's buffers are covered.
    pub way: Way,
    /// All sizes of buffers that the evidence covers.
    pub coverage: Coverage,
}

/// Why a machine's buffers are covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The configurations of the certificate were explored with buffers of the machine's size.
    SameBound,
    /// The machine's buffers are larger than the certificate's, but no role waits for room in any
    /// configuration of the certificate.
    Room,
}

impl Way {
    /// The name in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Way::SameBound => "same-bound",
            Way::Room => "room",
        }
    }
}

/// Why an image was not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// The certificate does not belong to the image, or does not show that it is safe.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The machine's buffers are smaller than the certificate's.
    #[error(
        "the certificate is for buffers of {certified} messages, and the machine's hold only \
         {configured}: set `buffer_len_max` to {certified}, or explore the protocol with buffers \
         of {configured}"
    )]
    SmallerBuffers {
        /// The size of the certificate's buffers, in messages.
        certified: u32,
        /// The size of the machine's buffers, in messages.
        configured: u32,
    },
    /// The machine's buffers are larger than the certificate's, and a role waits for room in a
    /// configuration of the certificate. With more room it may reach configurations that are not in
    /// the certificate.
    #[error(
        "the certificate is for buffers of {certified} messages, and the machine's hold \
         {configured}: with these, role {} can go on in configuration {} of the certificate, where \
         its buffer to role {} is full; set `buffer_len_max` to {certified}, or change the \
         protocol so that no role sends into a full buffer",
        full.waiting.role.0, full.configuration, full.waiting.peer.0
    )]
    NoRoom {
        /// The size of the certificate's buffers, in messages.
        certified: u32,
        /// The size of the machine's buffers, in messages.
        configured: u32,
        /// The first configuration in which a role waits for room.
        full: FullBuffer,
    },
    /// The image is admitted, but the machine refuses to open a session. [`admit`] never returns
    /// this.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Checks the evidence against the image, and whether it covers machines with this configuration.
///
/// The check takes time in `O(n log n)` for a certificate of n configurations, and memory for a few
/// configurations.
///
/// # Errors
/// The evidence does not hold, or it does not cover the configured buffers.
pub fn admit(
    config: &ProtocolMachineConfig,
    image: &VerifiedImage,
    evidence: Evidence<'_>,
) -> Result<Admission, AdmissionError> {
    let Evidence::Certificate(certificate) = evidence;
    Admission::of(certificate.check(image)?, config.buffer_len_max)
}

impl Admission {
    /// Whether a checked certificate covers a machine with buffers of this many messages.
    ///
    /// # Errors
    /// [`AdmissionError::SmallerBuffers`] or [`AdmissionError::NoRoom`].
    pub fn of(coverage: Coverage, buffer_len_max: u32) -> Result<Admission, AdmissionError> {
        let (certified, configured) = (coverage.bound(), buffer_len_max);
        if configured < certified {
            return Err(AdmissionError::SmallerBuffers {
                certified,
                configured,
            });
        }
        let way = match coverage {
            Coverage::Exactly { .. } | Coverage::AtLeast { .. } if certified == configured => {
                Way::SameBound
            }
            Coverage::AtLeast { .. } => Way::Room,
            Coverage::Exactly { full, .. } => {
                return Err(AdmissionError::NoRoom {
                    certified,
                    configured,
                    full,
                });
            }
        };
        Ok(Admission { way, coverage })
    }
}
