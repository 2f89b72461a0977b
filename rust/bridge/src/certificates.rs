//! Safety certificates: compares the machine's checker with the model's, which is proved sound.
//!
//! A [`Claim`] is the bytes of an image and of its certificate. [`Claim::verdict`] returns the
//! verdict of the machine's checker, and [`Oracle::judge`](crate::oracle::Oracle::judge) that of
//! the model's. Equal verdicts have equal texts. The verdict on an accepted claim has the buffers
//! that the certificate covers, and to which machines it admits the image.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::str::FromStr;

use antiphon_codec::{Encoder, Limits};
use antiphon_language::automaton::LocalAutomaton;
use antiphon_language::safety::{self, Safety, explore};
use antiphon_machine::bounds::IMAGE_LEN_MAX;
use antiphon_machine::safety::{
    Admission, AdmissionError, CertificateError, Coverage, SafetyCertificate, Way,
};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The image is safe on machines with these buffers.
    Accepted(Covered),
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

/// The buffers that a certificate covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The smallest size of buffers that is covered.
    pub bound: u32,
    /// The first configuration, counted from 0, in which a role waits for room, and the first such
    /// role there. `None` if all larger buffers are covered.
    pub full: Option<(usize, u16)>,
    /// Whether machines with buffers of `bound - 1`, `bound` and `bound + 1` messages admit the
    /// image.
    pub admitted: [Admitted; 3],
}

/// Whether a machine admits an image with a certificate that the checker accepts, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Yes: its buffers have the certificate's size.
    SameBound,
    /// Yes: its buffers are larger, and no role waits for room.
    Room,
    /// No: its buffers are smaller.
    Smaller,
    /// No: its buffers are larger, and a role waits for room.
    NoRoom,
}

impl Admitted {
    const ALL: [Admitted; 4] = [
        Admitted::SameBound,
        Admitted::Room,
        Admitted::Smaller,
        Admitted::NoRoom,
    ];

    /// Whether the machine's rules admit the image to a machine with these buffers. `None` for a
    /// refusal that does not depend on the buffers, which [`Admission::of`] never returns.
    fn of(coverage: Coverage, buffer_len_max: u32) -> Option<Admitted> {
        match Admission::of(coverage, buffer_len_max) {
            Ok(admission) => Some(match admission.way {
                Way::SameBound => Admitted::SameBound,
                Way::Room => Admitted::Room,
            }),
            Err(AdmissionError::SmallerBuffers { .. }) => Some(Admitted::Smaller),
            Err(AdmissionError::NoRoom { .. }) => Some(Admitted::NoRoom),
            Err(AdmissionError::Certificate(_) | AdmissionError::Refused(_)) => None,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Admitted::SameBound => "same bound",
            Admitted::Room => "room",
            Admitted::Smaller => "smaller",
            Admitted::NoRoom => "no room",
        }
    }

    fn parse(text: &str) -> Option<Admitted> {
        Admitted::ALL
            .into_iter()
            .find(|admitted| admitted.text() == text)
    }
}

impl Covered {
    /// What the machine's checker found. `None` if the rules of admission fail, which
    /// [`Admission::of`] excludes.
    pub fn of(coverage: Coverage) -> Option<Covered> {
        let bound = coverage.bound();
        let full = match coverage {
            Coverage::Exactly { full, .. } => Some((full.configuration, full.waiting.role.0)),
            Coverage::AtLeast { .. } => None,
        };
        let at = |buffer_len_max| Admitted::of(coverage, buffer_len_max);
        Some(Covered {
            bound,
            full,
            admitted: [at(bound.saturating_sub(1))?, at(bound)?, at(bound + 1)?],
        })
    }

    /// Reads the text of [`Verdict::Accepted`].
    fn parse(text: &str) -> Option<Covered> {
        let text = text.strip_prefix("accepted for buffers of ")?;
        let (buffers, admitted) = text.split_once("; admission with one less: ")?;
        let (bound, full) = match buffers.strip_prefix("at least ") {
            Some(bound) => (bound, None),
            None => {
                let (bound, full) = buffers.split_once(": role ")?;
                let (role, index) = full.split_once(" waits for room in configuration ")?;
                (bound, Some((index.parse().ok()?, role.parse().ok()?)))
            }
        };
        let (less, admitted) = admitted.split_once(", equal: ")?;
        let (equal, more) = admitted.split_once(", one more: ")?;
        Some(Covered {
            bound: bound.parse().ok()?,
            full,
            admitted: [
                Admitted::parse(less)?,
                Admitted::parse(equal)?,
                Admitted::parse(more)?,
            ],
        })
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = self.bound;
        match self.full {
            Some((index, role)) => write!(
                f,
                "buffers of {bound}: role {role} waits for room in configuration {index}"
            )?,
            None => write!(f, "buffers of at least {bound}")?,
        }
        let [less, equal, more] = self.admitted.map(Admitted::text);
        write!(
            f,
            "; admission with one less: {less}, equal: {equal}, one more: {more}"
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accepted(covered) => write!(f, "accepted for {covered}"),
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

/// A line that is not the text of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a verdict, got `{got}`")]
pub struct UnknownVerdict {
    /// The line.
    pub got: String,
}

impl FromStr for Verdict {
    type Err = UnknownVerdict;

    /// Reads the text that [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Verdict, UnknownVerdict> {
        let mut parts = text.split(|c: char| !c.is_ascii_digit());
        let digits = parts.find(|part| !part.is_empty());
        let n = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let all = [
            Verdict::NoImage,
            Verdict::NoCertificate,
            Verdict::Foreign(n),
            Verdict::NoStart,
            Verdict::Bad(n),
            Verdict::Leak(n),
        ];
        let accepted = Covered::parse(text).map(Verdict::Accepted);
        let mut all = all.into_iter().chain(accepted);
        let found = all.find(|verdict| verdict.to_string() == text);
        found.ok_or_else(|| UnknownVerdict {
            got: text.to_owned(),
        })
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

    /// The verdict of the machine's checker. `None` if the image does not verify: this checker
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
        let checked = certificate.and_then(|certificate| certificate.check(&image));
        Some(match checked {
            Ok(coverage) => Verdict::Accepted(Covered::of(coverage)?),
            Err(
                CertificateError::Decode(_)
                | CertificateError::Malformed { .. }
                | CertificateError::Format { .. }
                | CertificateError::TooLarge { .. },
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
/// When reading fails, a line is not a verdict, or the file's last line is missing.
pub fn read_verdicts(from: impl BufRead) -> io::Result<Vec<Verdict>> {
    let mut lines = from.lines().collect::<io::Result<Vec<_>>>()?;
    if lines.pop().is_none_or(|last| last != VERDICTS_END) {
        let error = format!("the verdicts do not end with `{VERDICTS_END}`");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
    }
    let verdicts = lines.iter().map(|line| line.parse());
    verdicts
        .collect::<Result<_, UnknownVerdict>>()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
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
        let accepted = good.verdict().expect("it verifies");
        assert_eq!(
            accepted.to_string(),
            "accepted for buffers of at least 2; admission with one less: smaller, equal: same \
             bound, one more: room"
        );
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
    fn verdicts_are_read_as_they_are_printed() {
        let room = Covered {
            bound: 2,
            full: None,
            admitted: [Admitted::Smaller, Admitted::SameBound, Admitted::Room],
        };
        let full = Covered {
            bound: 255,
            full: Some((17, 3)),
            admitted: [Admitted::Smaller, Admitted::SameBound, Admitted::NoRoom],
        };
        let verdicts = vec![
            Verdict::Accepted(room),
            Verdict::Accepted(full),
            Verdict::NoImage,
            Verdict::NoCertificate,
            Verdict::Foreign(0),
            Verdict::NoStart,
            Verdict::Bad(17),
            Verdict::Leak(usize::MAX),
        ];
        let lines: String = verdicts.iter().map(|line| format!("{line}\n")).collect();
        let read = read_verdicts(format!("{lines}complete\n").as_bytes());
        assert_eq!(read.expect("a complete file"), verdicts);
        let read = read_verdicts(&b"refused: x\ncomplete\n"[..]);
        let error = read.expect_err("not a verdict").to_string();
        assert_eq!(error, "expected a verdict, got `refused: x`");
    }

    #[test]
    fn cut_off_verdicts_are_refused() {
        for cut in [&b""[..], b"accepted\n", b"accepted\ncompl"] {
            let error = read_verdicts(cut).expect_err("cut off").to_string();
            assert_eq!(error, "the verdicts do not end with `complete`");
        }
    }
}
