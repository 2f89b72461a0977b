//! Safety certificates: which buffers they cover, and whether they admit an image to a machine.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use antiphon_machine::safety::{
    Admission, AdmissionError, CERTIFICATE_LEN_MAX, Coverage, FullBuffer, SafetyCertificate,
};
use antiphon_machine::{ProtocolMachineConfig, RoleId, VerifiedImage};
use serde_json::{Value, json};

use crate::filter;
use crate::problem::{InputError, Problem};

/// A certificate that was read from a file.
pub(crate) struct CertificateFile {
    pub(crate) certificate: SafetyCertificate,
    pub(crate) bytes: Vec<u8>,
}

impl CertificateFile {
    /// Reads a certificate. Of a file that is too long, only one byte beyond the limit is read:
    /// that is enough to refuse it.
    pub(crate) fn read(path: &Path) -> Result<CertificateFile, Problem> {
        let mut bytes = Vec::new();
        let limit = CERTIFICATE_LEN_MAX as u64 + 1;
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(Problem::file("read", path))?;
        let certificate = SafetyCertificate::decode(&bytes);
        let certificate = certificate.map_err(|error| InputError::certificate(path, error))?;
        Ok(CertificateFile { certificate, bytes })
    }
}

/// The image is not proved safe on the machine that would run it.
#[derive(Debug, thiserror::Error)]
#[error("`{protocol}` is not proved safe on this machine: {reason}. {remedy}")]
pub(crate) struct NotAdmitted {
    protocol: String,
    reason: String,
    remedy: &'static str,
    facts: Value,
}

impl NotAdmitted {
    /// The protocol has no certificate.
    pub(crate) fn uncertified(protocol: &str, remedy: &'static str) -> NotAdmitted {
        NotAdmitted {
            protocol: filter::line(protocol),
            reason: "it is too large to explore, so it has no certificate".to_owned(),
            remedy,
            facts: json!({ "refused": "uncertified" }),
        }
    }

    fn new(image: &VerifiedImage, error: &AdmissionError, remedy: &'static str) -> NotAdmitted {
        let (reason, facts) = match error {
            AdmissionError::NoRoom {
                certified,
                configured,
                full,
            } => {
                let (role, peer) = ends(image, *full);
                let reason = format!(
                    "its certificate is for buffers of {certified} messages, and this machine's \
                     hold {configured}. In configuration {} of the certificate, `{role}` waits for \
                     room in its buffer to `{peer}`; with more room it could reach configurations \
                     that were not checked",
                    full.configuration
                );
                let facts = json!({
                    "refused": "no_room", "certified": certified, "configured": configured,
                    "full": full_document(image, *full),
                });
                (reason, facts)
            }
            AdmissionError::SmallerBuffers {
                certified,
                configured,
            } => {
                let reason = format!(
                    "its certificate is for buffers of {certified} messages, and this machine's \
                     hold only {configured}"
                );
                let facts = json!({
                    "refused": "smaller_buffers", "certified": certified, "configured": configured,
                });
                (reason, facts)
            }
            AdmissionError::Certificate(_) | AdmissionError::Refused(_) => {
                (error.to_string(), json!({ "refused": "certificate" }))
            }
        };
        NotAdmitted {
            protocol: filter::line(&image.image().name),
            reason,
            remedy,
            facts,
        }
    }

    /// The reason, for programs.
    pub(crate) fn facts(&self) -> &Value {
        &self.facts
    }
}

/// Refuses an image whose certificate, which was checked, does not cover a machine with this
/// configuration.
pub(crate) fn check_admission(
    config: &ProtocolMachineConfig,
    image: &VerifiedImage,
    coverage: Coverage,
    remedy: &'static str,
) -> Result<(), NotAdmitted> {
    match Admission::of(coverage, config.buffer_len_max) {
        Ok(_) => Ok(()),
        Err(error) => Err(NotAdmitted::new(image, &error, remedy)),
    }
}

/// The buffers that a machine has by default.
fn default_buffers() -> u32 {
    ProtocolMachineConfig::default().buffer_len_max
}

/// Describes the machines on which an image is safe: `safe with buffers of at least 2 messages; the
/// default of 64 is covered`.
pub(crate) fn describe(coverage: Coverage, image: &VerifiedImage) -> String {
    let default = default_buffers();
    let of_default = match Admission::of(coverage, default) {
        Ok(_) => "is covered".to_owned(),
        Err(AdmissionError::NoRoom { full, .. }) => {
            let (role, peer) = ends(image, full);
            format!("is not covered: `{role}` can fill its buffer to `{peer}`")
        }
        Err(
            AdmissionError::SmallerBuffers { .. }
            | AdmissionError::Certificate(_)
            | AdmissionError::Refused(_),
        ) => "is not covered".to_owned(),
    };
    format!("safe with {coverage}; the default of {default} {of_default}")
}

/// The same for programs.
pub(crate) fn document(coverage: Coverage, image: &VerifiedImage) -> Value {
    let default = default_buffers();
    let (larger, full) = match coverage {
        Coverage::AtLeast { .. } => (true, Value::Null),
        Coverage::Exactly { full, .. } => (false, full_document(image, full)),
    };
    json!({
        "bound": coverage.bound(), "larger": larger, "full": full,
        "default": default, "includes_default": coverage.covers(default),
    })
}

fn full_document(image: &VerifiedImage, full: FullBuffer) -> Value {
    let (role, peer) = ends(image, full);
    json!({ "configuration": full.configuration, "role": role, "peer": peer })
}

/// The names of the role that waits for room and of the role that it waits for.
fn ends(image: &VerifiedImage, full: FullBuffer) -> (String, String) {
    let name = |role: RoleId| {
        let role = image.image().roles.get(role.index());
        filter::line(role.map_or("?", |role| &role.name))
    };
    (name(full.waiting.role), name(full.waiting.peer))
}
