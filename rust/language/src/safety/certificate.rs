//! The explored set as evidence: anyone can check that it is closed without exploring.

use antiphon_codec::{DecodeError, Decoder, Encoder};
use antiphon_machine::{RoleId, VerifiedImage};

use super::{Configuration, System, ViolationKind};
use crate::automaton::LocalAutomaton;

/// The version of the byte format.
const FORMAT: u64 = 1;

/// Bytes of a certificate at most: the default budget of configurations of a protocol with twenty
/// roles.
pub const CERTIFICATE_LEN_MAX: usize = 64 << 20;

/// All configurations that a protocol can come to, with buffers of a given size.
///
/// It is evidence because it is easy to check: it holds the start, it is closed under every step,
/// and no configuration in it is bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafetyCertificate {
    buffer_bound: u8,
    /// Ascending, so that equal sets have equal bytes.
    pub(super) states: Vec<Configuration>,
}

/// Why a certificate does not prove the safety of some automata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are not of the format.
    #[error("the certificate does not decode: {0}")]
    Decode(#[from] DecodeError),
    /// The bytes decode, but not to what an encoder writes.
    #[error("the certificate is malformed at configuration {index}")]
    Malformed {
        /// Which one, from 0.
        index: usize,
    },
    /// The certificate is of another format.
    #[error("certificate format {got} is not known, expected {FORMAT}")]
    Format {
        /// Its number.
        got: u64,
    },
    /// A configuration has states or labels that the automata do not have.
    #[error("configuration {index} is not one of these automata")]
    Foreign {
        /// Which one, from 0.
        index: usize,
    },
    /// The start is missing.
    #[error("the certificate lacks the start")]
    NoStart,
    /// A step leads out of the set.
    #[error("a step leads from configuration {index} out of the certificate")]
    Open {
        /// Where the step begins, from 0.
        index: usize,
    },
    /// A configuration is bad.
    #[error("configuration {index} of the certificate is unsafe")]
    Bad {
        /// Which one, from 0.
        index: usize,
        /// What is bad about it.
        kind: ViolationKind,
    },
}

impl SafetyCertificate {
    pub(super) fn of(system: &System<'_>, rows: &[Configuration]) -> SafetyCertificate {
        let mut states = rows.to_vec();
        states.sort_unstable();
        SafetyCertificate {
            buffer_bound: system.buffer as u8,
            states,
        }
    }

    /// How many messages a buffer held.
    pub fn buffer_bound(&self) -> u8 {
        self.buffer_bound
    }

    /// How many configurations there are.
    pub fn configurations(&self) -> usize {
        self.states.len()
    }

    /// Checks the certificate against the automata: start inside, closed, nothing bad. Progress is
    /// not a property of single configurations and is not checked. `O(n log n)` in the
    /// configurations.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, automata: &[LocalAutomaton]) -> Result<(), CertificateError> {
        let system = System::new(automata, self.buffer_bound.max(1));
        let foreign = |row: &Configuration| !system.holds(row);
        if let Some(index) = self.states.iter().position(foreign) {
            return Err(CertificateError::Foreign { index });
        }
        if self.states.binary_search(&system.start()).is_err() {
            return Err(CertificateError::NoStart);
        }
        for (index, row) in self.states.iter().enumerate() {
            let bad = |kind| CertificateError::Bad { index, kind };
            for (step, next) in system.steps(row).map_err(bad)? {
                let after = system.after(row, step, next);
                if self.states.binary_search(&after).is_err() {
                    return Err(CertificateError::Open { index });
                }
            }
        }
        Ok(())
    }

    /// As [`SafetyCertificate::check`], against the automata of an image: whoever has an image and
    /// its certificate needs no source to know that it is safe.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check_image(&self, image: &VerifiedImage) -> Result<(), CertificateError> {
        let roles = (0u16..).map(RoleId).zip(&image.image().roles);
        let automata: Vec<_> = roles
            .map(|(role, data)| LocalAutomaton::of_machine(role, &data.automaton))
            .collect();
        self.check(&automata)
    }

    /// The certificate as deterministic CBOR: `[format, buffer bound, row length, rows, bytes]`.
    /// Each row is written as how many numbers it shares with the one before it and the rest of its
    /// numbers, each plus one, in LEB128.
    pub fn encode(&self) -> Vec<u8> {
        let mut rows = vec![];
        let mut before: &[u16] = &[];
        for row in &self.states {
            let shared = before
                .iter()
                .zip(&row[..])
                .take_while(|(a, b)| a == b)
                .count();
            write_number(&mut rows, shared as u64);
            for number in &row[shared..] {
                write_number(&mut rows, u64::from(number.wrapping_add(1)));
            }
            before = row;
        }
        let mut bytes = vec![];
        let mut encoder = Encoder::new(&mut bytes);
        encoder
            .array(5)
            .uint(FORMAT)
            .uint(u64::from(self.buffer_bound));
        encoder
            .uint(before.len() as u64)
            .uint(self.states.len() as u64)
            .bytes(&rows);
        bytes
    }

    /// Reads what [`SafetyCertificate::encode`] writes, and nothing else.
    ///
    /// # Errors
    /// Where the bytes are not of the format.
    pub fn decode(bytes: &[u8]) -> Result<SafetyCertificate, CertificateError> {
        let limits = antiphon_codec::Limits {
            bytes_len: CERTIFICATE_LEN_MAX,
            ..Default::default()
        };
        let mut decoder = Decoder::new(bytes, limits);
        let parts = decoder.array()?;
        let format = decoder.uint()?;
        if format != FORMAT || parts != 5 {
            return Err(CertificateError::Format { got: format });
        }
        let malformed = CertificateError::Malformed { index: 0 };
        let buffer_bound = u8::try_from(decoder.uint()?).map_err(|_| malformed.clone())?;
        let width = usize::try_from(decoder.uint()?).map_err(|_| malformed)?;
        let count = decoder.uint()?;
        let rows = decoder.bytes()?;
        decoder.finish()?;
        let states = read_rows(rows, width, count)?;
        Ok(SafetyCertificate {
            buffer_bound,
            states,
        })
    }
}

/// Reads `count` rows of `width` numbers, strictly ascending, each sharing as much as it can with
/// the one before.
fn read_rows(
    mut bytes: &[u8],
    width: usize,
    count: u64,
) -> Result<Vec<Configuration>, CertificateError> {
    let mut rows: Vec<Configuration> = vec![];
    while !bytes.is_empty() {
        let index = rows.len();
        let malformed = || CertificateError::Malformed { index };
        let before: &[u16] = rows.last().map_or(&[], |row| row);
        let shared = read_number(&mut bytes).ok_or_else(malformed)?;
        let shared = usize::try_from(shared).ok().filter(|n| *n <= before.len());
        let mut row = before[..shared.ok_or_else(malformed)?].to_vec();
        // Every number takes a byte at least, so a forged width cannot make a row longer than the
        // bytes.
        while row.len() < width {
            let number = read_number(&mut bytes).and_then(|n| u16::try_from(n).ok());
            row.push(number.ok_or_else(malformed)?.wrapping_sub(1));
        }
        let shares = before.iter().zip(&row).take_while(|(a, b)| a == b).count();
        let ascends = index == 0 || before < &row[..];
        if shared != Some(shares) || row.len() != width || !ascends {
            return Err(malformed());
        }
        rows.push(row.into());
    }
    if rows.len() as u64 == count {
        Ok(rows)
    } else {
        Err(CertificateError::Malformed { index: rows.len() })
    }
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads one number of at most three bytes, in its shortest form.
fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for position in 0..3 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return (*byte != 0 || position == 0).then_some(number);
        }
    }
    None
}
