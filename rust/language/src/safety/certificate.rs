//! Safety certificates: the explored set of configurations, which can be checked without exploring
//! again.

use antiphon_codec::{DecodeError, Decoder, Encoder};
use antiphon_machine::{RoleId, VerifiedImage};

use super::{Configuration, System, ViolationKind};
use crate::automaton::LocalAutomaton;

/// The version of the byte format.
const FORMAT: u64 = 1;

/// The maximum length of a certificate, in bytes. It fits the default budget of configurations of a
/// protocol with twenty roles.
pub const CERTIFICATE_LEN_MAX: usize = 64 << 20;

/// All configurations that a protocol can reach with buffers of a given capacity.
///
/// The set is evidence of safety because three properties are easy to check: it contains the start,
/// no step leads out of it, and it contains no violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafetyCertificate {
    buffer_bound: u8,
    /// In ascending order, so that equal sets have equal bytes.
    pub(super) states: Vec<Configuration>,
}

/// Why a certificate does not prove that some automata are safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are not valid CBOR of the expected form.
    #[error("the certificate does not decode: {0}")]
    Decode(#[from] DecodeError),
    /// The bytes decode, but not to something that the encoder writes.
    #[error("the certificate is malformed at configuration {index}")]
    Malformed {
        /// The index of the configuration, from 0.
        index: usize,
    },
    /// The certificate has another format version.
    #[error("unknown certificate format {got}, expected {FORMAT}")]
    Format {
        /// The format's number.
        got: u64,
    },
    /// A configuration has states or labels that the automata do not have.
    #[error("configuration {index} does not fit these automata")]
    Foreign {
        /// The index of the configuration, from 0.
        index: usize,
    },
    /// The start configuration is missing.
    #[error("the certificate does not contain the start configuration")]
    NoStart,
    /// A step leads to a configuration outside the set.
    #[error("a step leads from configuration {index} out of the certificate")]
    Open {
        /// The index of the configuration that the step starts from, from 0.
        index: usize,
    },
    /// A configuration is a violation.
    #[error("configuration {index} of the certificate is unsafe")]
    Bad {
        /// The index of the configuration, from 0.
        index: usize,
        /// The kind of violation.
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

    /// The capacity of a buffer, in messages.
    pub fn buffer_bound(&self) -> u8 {
        self.buffer_bound
    }

    /// The number of configurations.
    pub fn configurations(&self) -> usize {
        self.states.len()
    }

    /// Checks the certificate against the automata: it contains the start, no step leads out of it,
    /// and it has no violation. Progress is not a property of single configurations and is not
    /// checked. `O(n log n)` in the number of configurations.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(&self, automata: &[LocalAutomaton]) -> Result<(), CertificateError> {
        let system = System::new(automata, self.buffer_bound.max(1));
        let foreign = |row: &Configuration| !system.is_configuration(row);
        if let Some(index) = self.states.iter().position(foreign) {
            return Err(CertificateError::Foreign { index });
        }
        if self.states.binary_search(&system.start()).is_err() {
            return Err(CertificateError::NoStart);
        }
        for (index, row) in self.states.iter().enumerate() {
            let bad = |kind| CertificateError::Bad { index, kind };
            for (step, next) in system.steps(row).map_err(bad)? {
                let after = system.successor(row, step, next);
                if self.states.binary_search(&after).is_err() {
                    return Err(CertificateError::Open { index });
                }
            }
        }
        Ok(())
    }

    /// Like [`SafetyCertificate::check`], but against the automata of an image. An image and its
    /// certificate are enough to establish safety; the source is not needed.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check_image(&self, image: &VerifiedImage) -> Result<(), CertificateError> {
        let roles = (0u16..).map(RoleId).zip(&image.image().roles);
        let automata: Vec<_> = roles
            .map(|(role, data)| LocalAutomaton::of_machine(role, &data.automaton))
            .collect();
        self.check(&automata)
    }

    /// Encodes the certificate as deterministic CBOR: `[format, buffer capacity, row length, rows,
    /// bytes]`. Each row is written as the length of the prefix it shares with the previous row,
    /// followed by its remaining numbers, each plus one, in LEB128.
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

    /// Decodes the format that [`SafetyCertificate::encode`] writes, and only that.
    ///
    /// # Errors
    /// The first part of the bytes that does not have the format.
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

/// Reads `count` rows of `width` numbers. Rows must be strictly ascending, and each must share the
/// longest possible prefix with the previous one.
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
        // Every number takes at least one byte, so a forged width cannot make a row longer than the
        // input.
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

/// Reads a number of at most three bytes, which must have its shortest form.
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
