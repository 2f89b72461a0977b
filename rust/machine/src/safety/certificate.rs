//! Safety certificates: the configurations that an image can reach, which can be checked without
//! exploring again.

use std::cmp::Ordering;
use std::fmt;

use antiphon_codec::{DecodeError, Decoder, Encoder};

use super::system::{BadConfiguration, System, Waiting};
use crate::verify::VerifiedImage;

/// The version of the byte format.
const FORMAT: u64 = 1;

/// The maximum length of a certificate, in bytes. It fits the compiler's default budget of
/// configurations for a protocol with twenty roles.
pub const CERTIFICATE_LEN_MAX: usize = 64 << 20;

/// The numbers that all configurations of a certificate may have together: 128 MiB. The compiler's
/// exploration has the same bound. It is needed in addition to [`CERTIFICATE_LEN_MAX`] because a
/// row of any length takes a few bytes if it differs from the previous one in its last number only.
pub const NUMBERS_MAX: usize = 64 << 20;

/// All configurations that the roles of an image can reach with buffers of a given size.
///
/// The list is evidence of safety because three properties are easy to check: it contains the
/// start, no step leads out of it, and none of its configurations is bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafetyCertificate {
    buffer_bound: u8,
    /// The length of a row.
    width: usize,
    /// The number of rows.
    count: usize,
    /// The rows one after another, in ascending order, so that equal sets have equal bytes.
    numbers: Vec<u16>,
}

/// The sizes of buffers that a certificate covers. With these, a machine's sessions of the image
/// reach no configurations but those of the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Buffers of exactly this many messages. With larger buffers, further configurations can be
    /// reached.
    Exactly {
        /// The number of messages.
        bound: u32,
        /// The first configuration in which a role waits for room.
        full: FullBuffer,
    },
    /// Buffers of at least this many messages: no role waits for room in any configuration, so
    /// larger buffers make no difference.
    AtLeast {
        /// The number of messages.
        bound: u32,
    },
}

/// A configuration of a certificate in which a role waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullBuffer {
    /// The index of the configuration, from 0.
    pub configuration: usize,
    /// The first role that waits for room there.
    pub waiting: Waiting,
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
    /// The configurations would take too much memory.
    #[error(
        "the certificate is too large: {count} configurations of {width} numbers are more than \
         {NUMBERS_MAX} numbers"
    )]
    TooLarge {
        /// The number of configurations.
        count: u64,
        /// The length of a configuration.
        width: u64,
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
    /// A step leads to a configuration outside the list.
    #[error("a step leads from configuration {index} out of the certificate")]
    Open {
        /// The index of the configuration that the step starts from, from 0.
        index: usize,
    },
    /// A configuration is bad.
    #[error("configuration {index} of the certificate is unsafe")]
    Bad {
        /// The index of the configuration, from 0.
        index: usize,
        /// What is wrong with it.
        bad: BadConfiguration,
    },
}

impl Coverage {
    /// The smallest size of buffers that is covered, in messages. Smaller buffers are not: roles
    /// may wait for room that they have in the certificate.
    pub fn bound(self) -> u32 {
        match self {
            Coverage::Exactly { bound, .. } | Coverage::AtLeast { bound } => bound,
        }
    }

    /// Whether buffers of this many messages are covered.
    pub fn covers(self, buffer_len_max: u32) -> bool {
        match self {
            Coverage::Exactly { bound, .. } => bound == buffer_len_max,
            Coverage::AtLeast { bound } => bound <= buffer_len_max,
        }
    }
}

impl fmt::Display for Coverage {
    /// Writes `buffers of 2 messages` or `buffers of at least 2 messages`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = match self {
            Coverage::Exactly { .. } => "",
            Coverage::AtLeast { .. } => "at least ",
        };
        let bound = self.bound();
        let plural = if bound == 1 { "" } else { "s" };
        write!(f, "buffers of {least}{bound} message{plural}")
    }
}

impl SafetyCertificate {
    /// A certificate with these configurations of a system, in any order. Rows of another length
    /// than the system's are left out; nothing else is checked.
    pub fn of<'r>(
        system: &System<'_>,
        rows: impl IntoIterator<Item = &'r [u16]>,
    ) -> SafetyCertificate {
        let width = system.width();
        let mut rows: Vec<&[u16]> = rows.into_iter().collect();
        rows.retain(|row| row.len() == width);
        rows.sort_unstable();
        rows.dedup();
        SafetyCertificate {
            buffer_bound: system.buffer(),
            width,
            count: rows.len(),
            numbers: rows.concat(),
        }
    }

    /// The size of a buffer, in messages, with which the configurations were explored.
    pub fn buffer_bound(&self) -> u8 {
        self.buffer_bound
    }

    /// The number of configurations.
    pub fn configurations(&self) -> usize {
        self.count
    }

    /// The configurations in ascending order, as rows that [`System`] describes.
    pub fn rows(&self) -> impl Iterator<Item = &[u16]> {
        (0..self.count).map(|index| self.row(index))
    }

    fn row(&self, index: usize) -> &[u16] {
        let begin = index * self.width;
        &self.numbers[begin..begin + self.width]
    }

    /// Whether a configuration is in the list.
    fn contains(&self, row: &[u16]) -> bool {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.row(middle).cmp(row) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return true,
                Ordering::Greater => high = middle,
            }
        }
        false
    }

    /// Checks the certificate against the automata of an image: it contains the start, no step
    /// leads out of it, and it has no bad configuration. Returns for which buffers it holds. An
    /// image and its certificate are enough to establish safety; the source is not needed.
    ///
    /// Progress is not a property of single configurations and is not checked. `O(n log n)` in the
    /// number of configurations.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(&self, image: &VerifiedImage) -> Result<Coverage, CertificateError> {
        self.check_system(&System::of_image(image, self.buffer_bound))
    }

    /// As [`check`](Self::check), for automata without an image.
    ///
    /// # Errors
    /// The first check that fails. A system with other buffers than the certificate's has no
    /// configuration of this length, except if no roles communicate.
    pub fn check_system(&self, system: &System<'_>) -> Result<Coverage, CertificateError> {
        let foreign = |row: &[u16]| !system.is_configuration(row);
        if let Some(index) = self.rows().position(foreign) {
            return Err(CertificateError::Foreign { index });
        }
        if !self.contains(&system.start()) {
            return Err(CertificateError::NoStart);
        }
        let mut full = None;
        for (configuration, row) in self.rows().enumerate() {
            let index = configuration;
            let bad = |bad| CertificateError::Bad { index, bad };
            for (step, next) in system.steps(row).map_err(bad)? {
                if !self.contains(&system.successor(row, step, next)) {
                    return Err(CertificateError::Open { index });
                }
            }
            full = full.or_else(|| {
                let waiting = system.waits_for_room(row)?;
                Some(FullBuffer {
                    configuration,
                    waiting,
                })
            });
        }
        let bound = u32::from(system.buffer());
        Ok(match full {
            Some(full) => Coverage::Exactly { bound, full },
            None => Coverage::AtLeast { bound },
        })
    }

    /// Encodes the certificate as deterministic CBOR: `[format, buffer size, row length, rows,
    /// bytes]`. Each row is written as the length of the prefix it shares with the previous row,
    /// followed by its remaining numbers, each plus one, in LEB128.
    pub fn encode(&self) -> Vec<u8> {
        let mut rows = vec![];
        let mut before: &[u16] = &[];
        for row in self.rows() {
            let shared = shared(before, row);
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
            .uint(self.width as u64)
            .uint(self.count as u64)
            .bytes(&rows);
        bytes
    }

    /// Decodes the format that [`SafetyCertificate::encode`] writes, and only that. Takes memory
    /// for at most [`NUMBERS_MAX`] numbers, and less for short input that is refused.
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
        let buffer_bound = u8::try_from(decoder.uint()?).map_err(|_| malformed)?;
        let (width, count) = (decoder.uint()?, decoder.uint()?);
        let rows = decoder.bytes()?;
        decoder.finish()?;
        let too_large = CertificateError::TooLarge { count, width };
        let is_bounded = |numbers: &u64| *numbers <= NUMBERS_MAX as u64;
        if count.checked_mul(width).filter(is_bounded).is_none() {
            return Err(too_large);
        }
        // Either may be huge if the other is 0, and then the rows below are refused or are empty.
        let width = usize::try_from(width).map_err(|_| too_large.clone())?;
        let count = usize::try_from(count).map_err(|_| too_large)?;
        let numbers = read_rows(rows, width, count)?;
        Ok(SafetyCertificate {
            buffer_bound,
            width,
            count,
            numbers,
        })
    }
}

/// The length of the prefix that two rows share.
fn shared(before: &[u16], row: &[u16]) -> usize {
    before.iter().zip(row).take_while(|(a, b)| a == b).count()
}

/// Reads `count` rows of `width` numbers. Rows must be strictly ascending, and each must share the
/// longest possible prefix with the previous one.
fn read_rows(mut bytes: &[u8], width: usize, count: usize) -> Result<Vec<u16>, CertificateError> {
    let mut numbers: Vec<u16> = vec![];
    for index in 0..count {
        let malformed = || CertificateError::Malformed { index };
        let before = numbers.len().saturating_sub(width);
        let begin = numbers.len();
        let prefix = read_number(&mut bytes).and_then(|n| usize::try_from(n).ok());
        let prefix = prefix.filter(|n| *n <= begin - before);
        let prefix = prefix.ok_or_else(malformed)?;
        numbers.extend_from_within(before..before + prefix);
        for _ in prefix..width {
            let number = read_number(&mut bytes).and_then(|n| u16::try_from(n).ok());
            numbers.push(number.ok_or_else(malformed)?.wrapping_sub(1));
        }
        let (before, row) = (&numbers[before..begin], &numbers[begin..]);
        let ascends = index == 0 || before < row;
        if shared(before, row) != prefix || !ascends {
            return Err(malformed());
        }
    }
    if bytes.is_empty() {
        Ok(numbers)
    } else {
        Err(CertificateError::Malformed { index: count })
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
