//! A case: images, a configuration, and a list of actions to perform on a machine.
//!
//! Its bytes follow the rules of the machine's canonical bytes. The kernel and the model read the
//! same bytes.

use std::sync::Arc;

use antiphon_codec::{Decoder, Encoder, Limits};
use antiphon_machine::{
    Canonical, CodeImage, Ingress, Pick, ProtocolMachineConfig, ReadError, ReadErrorKind,
    VerifiedImage, WaveCertificate,
};

/// Limits on reading a case. The deepest part is a constant in an instruction of an image.
/// Generated cases have a few kilobytes; a recording of a long session has some megabytes.
pub const CASE_LIMITS: Limits = Limits {
    depth: 48,
    bytes_len: 64 << 20,
    items: 16 << 20,
};

/// One run from an empty machine, executed by both sides.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, which says what it shows.
    pub name: String,
    /// The images that are loaded before the first action. They may fail verification, because some
    /// faults occur only with invalid images.
    pub images: Vec<Arc<VerifiedImage>>,
    /// The machine's configuration.
    pub config: ProtocolMachineConfig,
    /// The actions, in order.
    pub actions: Vec<Action>,
}

/// An action on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// One turn under the machine's policy.
    Turn,
    /// One input.
    Input(Ingress),
    /// One step of this coroutine if it is ready, regardless of the policy's pick.
    Pick(Pick),
    /// A wave that each side plans: at most `width` picks, each stepped at most `quantum` times.
    Round {
        /// The most coroutines in the wave; 0 is refused.
        width: u32,
        /// The most steps of each coroutine.
        quantum: u32,
    },
    /// A wave with a given certificate. It is run if the certificate passes the check; otherwise
    /// one turn is taken.
    Wave(WaveCertificate),
}

/// Why bytes cannot be read as a case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// The bytes are not the canonical form of a case.
    #[error("not a case: {0}")]
    Read(#[from] ReadError),
    /// The digest that is given for an image is not the image's digest.
    #[error("case `{case}`: image {row} does not have the digest that is given for it")]
    Digest {
        /// The case's name.
        case: String,
        /// The image's index.
        row: usize,
    },
}

impl Case {
    /// A case with these images, and no actions yet.
    pub fn new(
        name: impl Into<String>,
        images: impl IntoIterator<Item = CodeImage>,
        config: ProtocolMachineConfig,
    ) -> Case {
        let unchecked = |image| Arc::new(VerifiedImage::unchecked(image));
        Case {
            name: name.into(),
            images: images.into_iter().map(unchecked).collect(),
            config,
            actions: Vec::new(),
        }
    }

    /// The case's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Encoder::new(&mut bytes);
        out.array(4).text(&self.name).array(self.images.len());
        for image in &self.images {
            out.array(2).bytes(image.digest());
            image.image().encode(&mut out);
        }
        self.config.encode(&mut out);
        self.actions.encode(&mut out);
        bytes
    }

    /// Reads a case.
    ///
    /// # Errors
    /// When the bytes are not the canonical form of a case, or an image does not have its digest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Case, CaseError> {
        let mut from = Decoder::new(bytes, CASE_LIMITS);
        fields(&mut from, "Case", 4)?;
        let name = String::decode(&mut from)?;
        let images = <Vec<([u8; 32], CodeImage)>>::decode(&mut from)?;
        let config = Canonical::decode(&mut from)?;
        let actions = Canonical::decode(&mut from)?;
        from.finish().map_err(ReadError::from)?;
        let mut loaded = Vec::with_capacity(images.len());
        for (row, (digest, image)) in images.into_iter().enumerate() {
            let image = VerifiedImage::unchecked(image);
            if *image.digest() != digest {
                return Err(CaseError::Digest { case: name, row });
            }
            loaded.push(Arc::new(image));
        }
        Ok(Case {
            name,
            images: loaded,
            config,
            actions,
        })
    }
}

fn fields(from: &mut Decoder<'_>, what: &'static str, expected: usize) -> Result<(), ReadError> {
    let offset = from.position();
    let got = from.array()?;
    if got == expected {
        return Ok(());
    }
    let kind = ReadErrorKind::Length {
        what,
        expected,
        got,
    };
    Err(ReadError { offset, kind })
}

impl Canonical for Action {
    fn encode(&self, out: &mut Encoder<'_>) {
        match self {
            Action::Turn => {
                out.array(1).uint(0);
            }
            Action::Input(input) => {
                out.array(2).uint(1);
                input.encode(out);
            }
            Action::Pick(pick) => {
                out.array(2).uint(2);
                pick.encode(out);
            }
            Action::Round { width, quantum } => {
                out.array(3).uint(3);
                width.encode(out);
                quantum.encode(out);
            }
            Action::Wave(certificate) => {
                out.array(2).uint(4);
                certificate.encode(out);
            }
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Action, ReadError> {
        let offset = from.position();
        let got = from.array()?;
        let expect = |expected| {
            if got == expected {
                return Ok(());
            }
            let kind = ReadErrorKind::Length {
                what: "Action",
                expected,
                got,
            };
            Err(ReadError { offset, kind })
        };
        if got == 0 {
            expect(1)?;
        }
        match from.uint()? {
            0 => expect(1).map(|()| Action::Turn),
            1 => {
                expect(2)?;
                Ok(Action::Input(Canonical::decode(from)?))
            }
            2 => {
                expect(2)?;
                Ok(Action::Pick(Canonical::decode(from)?))
            }
            3 => {
                expect(3)?;
                let width = Canonical::decode(from)?;
                let quantum = Canonical::decode(from)?;
                Ok(Action::Round { width, quantum })
            }
            4 => {
                expect(2)?;
                Ok(Action::Wave(Canonical::decode(from)?))
            }
            got => {
                let kind = ReadErrorKind::Alternative {
                    what: "Action",
                    got,
                };
                Err(ReadError { offset, kind })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_machine::{CoroutineId, Footprint, Key, SessionId, WavePick, sample};

    fn case() -> Case {
        let image = sample::ping_pong(1).image().clone();
        let mut case = Case::new("all actions", [image], ProtocolMachineConfig::default());
        let pick = Pick {
            session: SessionId(0),
            coroutine: CoroutineId(1),
        };
        let certificate = WaveCertificate {
            step_index: 1,
            queue: vec![pick],
            picks: vec![WavePick {
                pick,
                lane: 2,
                quantum: 3,
                footprint: Footprint::from_slice(&[Key::Ledger {
                    session: pick.session,
                }]),
            }],
        };
        case.actions = vec![
            Action::Turn,
            Action::Input(Ingress::AdvanceClock { ticks: 3 }),
            Action::Pick(pick),
            Action::Round {
                width: 2,
                quantum: 1,
            },
            Action::Wave(certificate),
        ];
        case
    }

    #[test]
    fn a_case_is_read_back() {
        let case = case();
        let bytes = case.to_bytes();
        let read = Case::from_bytes(&bytes).expect("the case is canonical");
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(read.actions, case.actions);
        assert_eq!(read.images[0].digest(), case.images[0].digest());
    }

    /// A case with a changed byte is refused, or is read as another case with exactly those bytes.
    #[test]
    fn a_changed_byte_is_detected() {
        let good = case().to_bytes();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            if let Ok(read) = Case::from_bytes(&bytes) {
                assert_eq!(read.to_bytes(), bytes, "at {at}");
            }
        }
        let mut bytes = good;
        bytes.push(0);
        let error = Case::from_bytes(&bytes).expect_err("a byte follows the case");
        assert!(
            error.to_string().starts_with("not a case: at byte"),
            "{error}"
        );
    }

    #[test]
    fn an_image_must_have_its_digest() {
        let case = case();
        let mut bytes = case.to_bytes();
        let digest = case.images[0].digest();
        let at = bytes
            .windows(32)
            .position(|w| w == digest)
            .expect("the case contains the digest");
        bytes[at] ^= 1;
        let error = Case::from_bytes(&bytes).expect_err("the digest differs");
        let expected = "case `all actions`: image 0 does not have the digest that is given for it";
        assert_eq!(error.to_string(), expected);
    }
}
