//! Safety certificates: compares the compiler's checker with the model's, which is proved sound.
//!
//! A [`Claim`] is the bytes of an image and of its certificate. [`Claim::verdict`] returns the
//! verdict of the compiler's checker, and [`Oracle::judge`](crate::oracle::Oracle::judge) that of
//! the model's. Equal verdicts have equal texts.

use std::fmt;
use std::io::{self, BufRead, Write};

use antiphon_codec::{Encoder, Limits};
use antiphon_language::automaton::LocalAutomaton;
use antiphon_language::safety::{self, CertificateError, Safety, SafetyCertificate, explore};
use antiphon_machine::bounds::IMAGE_LEN_MAX;
use antiphon_machine::{Canonical, CodeImage, RoleId, VerifiedImage};

/// The text at the start of a file of claims.
pub const CLAIMS_TAG: &str = "antiphon.claims.v1";

/// The last line of a file of verdicts.
const VERDICTS_END: &str = "complete";

/// The claim that an image is safe, with the certificate as evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The image's bytes.
    pub image: Vec<u8>,
    /// The certificate's bytes.
    pub certificate: Vec<u8>,
}

/// A checker's verdict on a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The image is safe.
    Accepted,
    /// The image's bytes cannot be read as an image.
    NoImage,
    /// The certificate's bytes cannot be read as a certificate.
    NoCertificate,
    /// This configuration, counted from 0, does not belong to the image's automata.
    Foreign(usize),
    /// The start configuration is missing.
    NoStart,
    /// This configuration, counted from 0, is unsafe.
    Bad(usize),
    /// A step leads from this configuration, counted from 0, to one that is not in the certificate.
    Leak(usize),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accepted => f.write_str("accepted"),
            Verdict::NoImage => f.write_str("refused: these bytes are no image"),
            Verdict::NoCertificate => f.write_str("refused: these bytes are no certificate"),
            Verdict::Foreign(n) => {
                write!(f, "refused: configuration {n} is not one of these automata")
            }
            Verdict::NoStart => f.write_str("refused: the certificate lacks the start"),
            Verdict::Bad(n) => {
                write!(f, "refused: configuration {n} of the certificate is unsafe")
            }
            Verdict::Leak(n) => write!(
                f,
                "refused: a step leads from configuration {n} out of the certificate"
            ),
        }
    }
}

impl Claim {
    /// A claim with this certificate as evidence for the image.
    pub fn new(image: &CodeImage, certificate: &SafetyCertificate) -> Claim {
        Claim {
            image: image.to_bytes(),
            certificate: certificate.encode(),
        }
    }

    /// The verdict of the compiler's checker. `None` if the image does not verify: this checker
    /// needs a verified image, while the model's judges any.
    pub fn verdict(&self) -> Option<Verdict> {
        let limits = Limits {
            bytes_len: IMAGE_LEN_MAX,
            items: IMAGE_LEN_MAX,
            ..Limits::default()
        };
        let Ok(image) = CodeImage::from_bytes(&self.image, limits) else {
            return Some(Verdict::NoImage);
        };
        let image = image.verify().ok()?;
        let certificate = SafetyCertificate::decode(&self.certificate);
        let checked = certificate.and_then(|certificate| certificate.check_image(&image));
        Some(match checked {
            Ok(()) => Verdict::Accepted,
            Err(
                CertificateError::Decode(_)
                | CertificateError::Malformed { .. }
                | CertificateError::Format { .. },
            ) => Verdict::NoCertificate,
            Err(CertificateError::Foreign { index }) => Verdict::Foreign(index),
            Err(CertificateError::NoStart) => Verdict::NoStart,
            Err(CertificateError::Bad { index, .. }) => Verdict::Bad(index),
            Err(CertificateError::Open { index }) => Verdict::Leak(index),
        })
    }
}

/// Explores the roles of an image. Returns the certificate if they are safe and have at most the
/// configurations that `limits` allows.
pub fn certify(image: &VerifiedImage, limits: &safety::Limits) -> Option<SafetyCertificate> {
    let roles = (0u16..).map(RoleId).zip(&image.image().roles);
    let automata: Vec<_> = roles
        .map(|(role, data)| LocalAutomaton::of_machine(role, &data.automaton))
        .collect();
    match explore(&automata, limits) {
        Safety::Safe(certificate) => Some(certificate),
        Safety::Unsafe(_) | Safety::Uncertified { .. } => None,
    }
}

/// Writes a file of claims.
///
/// # Errors
/// When writing fails.
pub fn write_claims<'c>(
    mut to: impl Write,
    claims: impl IntoIterator<Item = &'c Claim>,
) -> io::Result<()> {
    let mut scratch = Vec::new();
    Encoder::new(&mut scratch).text(CLAIMS_TAG);
    to.write_all(&scratch)?;
    for claim in claims {
        scratch.clear();
        let mut encoder = Encoder::new(&mut scratch);
        encoder.bytes(&claim.image).bytes(&claim.certificate);
        to.write_all(&scratch)?;
    }
    to.flush()
}

/// Reads a file of verdicts: a line for each claim, in the claims' order.
///
/// # Errors
/// When reading fails, or the file's last line is missing.
pub fn read_verdicts(from: impl BufRead) -> io::Result<Vec<String>> {
    let mut lines = from.lines().collect::<io::Result<Vec<_>>>()?;
    if lines.pop().is_none_or(|last| last != VERDICTS_END) {
        let error = format!("the verdicts do not end with `{VERDICTS_END}`");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_machine::sample;

    fn claim() -> Claim {
        let image = sample::ping_pong(1);
        let certificate = certify(&image, &safety::Limits::default()).expect("the sample is safe");
        Claim::new(image.image(), &certificate)
    }

    #[test]
    fn a_sample_is_accepted_and_cut_off_bytes_are_refused() {
        let good = claim();
        assert_eq!(good.verdict(), Some(Verdict::Accepted));
        let mut cut = good.clone();
        cut.certificate.pop();
        assert_eq!(cut.verdict(), Some(Verdict::NoCertificate));
        let mut cut = good;
        cut.image.pop();
        assert_eq!(cut.verdict(), Some(Verdict::NoImage));
    }

    #[test]
    fn a_claim_is_two_byte_strings_after_the_tag() {
        let claim = Claim {
            image: vec![1, 2],
            certificate: vec![3],
        };
        let mut bytes = Vec::new();
        write_claims(&mut bytes, [&claim, &claim]).expect("memory");
        let tail = bytes
            .strip_prefix(b"\x72antiphon.claims.v1")
            .expect("the tag");
        assert_eq!(tail, b"\x42\x01\x02\x41\x03\x42\x01\x02\x41\x03");
    }

    #[test]
    fn cut_off_verdicts_are_refused() {
        let read = read_verdicts(&b"accepted\nrefused: x\ncomplete\n"[..]);
        assert_eq!(read.expect("whole"), ["accepted", "refused: x"]);
        for cut in [&b""[..], b"accepted\n", b"accepted\ncompl"] {
            let error = read_verdicts(cut).expect_err("cut off").to_string();
            assert_eq!(error, "the verdicts do not end with `complete`");
        }
    }
}
