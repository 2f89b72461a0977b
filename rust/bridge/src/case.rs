//! A case: images, a configuration, and what is done to a machine, one action after the other.
//!
//! Its bytes follow the rule of the machine's canonical bytes, and are the same for the kernel and for the model.

use std::sync::Arc;

use antiphon_codec::{Decoder, Encoder, Limits};
use antiphon_machine::{
    Canonical, CodeImage, Ingress, Pick, ProtocolMachineConfig, ReadError, ReadErrorKind,
    VerifiedImage, WaveCertificate,
};

/// What reading a case may cost. The depth is that of a constant in an instruction of an image; a corpus that the
/// generators make has cases of a few kilobytes, and a recording of a long session some megabytes.
pub const CASE_LIMITS: Limits = Limits {
    depth: 48,
    bytes_len: 64 << 20,
    items: 16 << 20,
};

/// One run, from nothing: what both sides execute.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is meant to show.
    pub name: String,
    /// The images that are loaded before the first action. They need not verify: that is how faults are reached.
    pub images: Vec<Arc<VerifiedImage>>,
    /// The machine's configuration.
    pub config: ProtocolMachineConfig,
    /// What is done, in order.
    pub actions: Vec<Action>,
}

/// Something that is done to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// One turn under the machine's policy.
    Turn,
    /// One input.
    Input(Ingress),
    /// One step of this coroutine if it is ready, whatever the policy would pick.
    Pick(Pick),
    /// A wave that each side plans: at most `width` picks, each stepped at most `quantum` times.
    Round {
        /// How many coroutines at most; 0 is refused.
        width: u32,
        /// How many steps of each at most.
        quantum: u32,
    },
    /// A wave that somebody planned: run if it checks, else one turn.
    Wave(WaveCertificate),
}

/// Why bytes are not a case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// They are not its canonical form.
    #[error("not a case: {0}")]
    Read(#[from] ReadError),
    /// An image goes by a name that is not its digest.
    #[error("case `{case}`: image {row} is not the one that its digest names")]
    Digest {
        /// The case's name.
        case: String,
        /// Which image.
        row: usize,
    },
}

impl Case {
    /// A case of these images.
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
    /// Where the bytes differ from the canonical form of any case, and when an image is not the one its digest names.
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
        let read = Case::from_bytes(&bytes).expect("it was written so");
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(read.actions, case.actions);
        assert_eq!(read.images[0].digest(), case.images[0].digest());
    }

    /// Whatever byte is changed: refused, or read as another case with exactly those bytes.
    #[test]
    fn a_changed_byte_is_seen() {
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
        let error = Case::from_bytes(&bytes).expect_err("something is behind it");
        assert!(
            error.to_string().starts_with("not a case: at byte"),
            "{error}"
        );
    }

    #[test]
    fn an_image_must_be_the_one_its_digest_names() {
        let case = case();
        let mut bytes = case.to_bytes();
        let digest = case.images[0].digest();
        let at = bytes
            .windows(32)
            .position(|w| w == digest)
            .expect("it is there");
        bytes[at] ^= 1;
        let error = Case::from_bytes(&bytes).expect_err("the digest is another");
        let expected = "case `all actions`: image 0 is not the one that its digest names";
        assert_eq!(error.to_string(), expected);
    }
}
