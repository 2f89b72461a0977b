//! The corpus file: a text that names the format, then each case as a byte string.

use std::io::{self, BufRead, Write};

use antiphon_codec::{Decoder, Encoder};

use crate::case::{CASE_LIMITS, Case, CaseError};
use crate::items::next_item;

/// The text at the start of a corpus file.
pub const CORPUS_TAG: &str = "antiphon.corpus.v1";

/// Why a corpus cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// Reading failed, or the file ends within an item.
    #[error("reading the corpus failed: {0}")]
    Io(#[from] io::Error),
    /// The file does not start with [`CORPUS_TAG`].
    #[error("not a corpus: it does not start with `{CORPUS_TAG}`")]
    NotACorpus,
    /// An item is not a byte string.
    #[error("case {index} of the corpus is not a byte string")]
    NotBytes {
        /// The case's index, from 0.
        index: u64,
    },
    /// A case cannot be read.
    #[error("case {index} of the corpus: {error}")]
    Case {
        /// The case's index, from 0.
        index: u64,
        /// The cause.
        error: CaseError,
    },
}

/// Writes a corpus, case by case.
#[derive(Debug)]
pub struct CorpusWriter<W> {
    to: W,
    scratch: Vec<u8>,
}

impl<W: Write> CorpusWriter<W> {
    /// Starts a corpus file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn create(mut to: W) -> io::Result<CorpusWriter<W>> {
        let mut scratch = Vec::new();
        Encoder::new(&mut scratch).text(CORPUS_TAG);
        to.write_all(&scratch)?;
        Ok(CorpusWriter { to, scratch })
    }

    /// Adds a case.
    ///
    /// # Errors
    /// When writing fails.
    pub fn case(&mut self, case: &Case) -> io::Result<()> {
        self.raw(&case.to_bytes())
    }

    /// Adds an encoded case, valid or not.
    ///
    /// # Errors
    /// When writing fails.
    pub fn raw(&mut self, case: &[u8]) -> io::Result<()> {
        self.scratch.clear();
        Encoder::new(&mut self.scratch).bytes(case);
        self.to.write_all(&self.scratch)
    }

    /// Ends the corpus, and returns the writer.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }
}

/// Reads a corpus, case by case.
#[derive(Debug)]
pub struct CorpusReader<R> {
    from: R,
    item: Vec<u8>,
    index: u64,
}

impl<R: BufRead> CorpusReader<R> {
    /// Opens a corpus file.
    ///
    /// # Errors
    /// When reading fails, or the file does not start with [`CORPUS_TAG`].
    pub fn open(mut from: R) -> Result<CorpusReader<R>, CorpusError> {
        let mut item = Vec::new();
        next_item(&mut from, &mut item)?;
        if Decoder::new(&item, CASE_LIMITS).text() != Ok(CORPUS_TAG) {
            return Err(CorpusError::NotACorpus);
        }
        Ok(CorpusReader {
            from,
            item,
            index: 0,
        })
    }

    /// The next case's bytes; `None` at the end.
    ///
    /// # Errors
    /// When reading fails, or the next item is not a byte string.
    pub fn raw(&mut self) -> Result<Option<&[u8]>, CorpusError> {
        if !next_item(&mut self.from, &mut self.item)? {
            return Ok(None);
        }
        let index = self.index;
        self.index += 1;
        match Decoder::new(&self.item, CASE_LIMITS).bytes() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) => Err(CorpusError::NotBytes { index }),
        }
    }

    /// The next case; `None` at the end.
    ///
    /// # Errors
    /// As [`raw`](Self::raw), and when the case cannot be read.
    pub fn case(&mut self) -> Result<Option<Case>, CorpusError> {
        let index = self.index;
        let Some(bytes) = self.raw()? else {
            return Ok(None);
        };
        let case = Case::from_bytes(bytes);
        case.map(Some)
            .map_err(|error| CorpusError::Case { index, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_machine::{ProtocolMachineConfig, sample};

    #[test]
    fn a_corpus_is_read_back() {
        let image = || sample::ping_pong(1).image().clone();
        let mut writer = CorpusWriter::create(Vec::new()).expect("memory");
        for name in ["one", "two"] {
            let case = Case::new(name, [image()], ProtocolMachineConfig::default());
            writer.case(&case).expect("memory");
        }
        let bytes = writer.finish().expect("memory");
        let mut reader = CorpusReader::open(&bytes[..]).expect("a corpus");
        for name in ["one", "two"] {
            let case = reader.case().expect("sound").expect("there");
            assert_eq!(case.name, name);
        }
        assert!(reader.case().expect("an end").is_none());

        let cut = CorpusReader::open(&bytes[..bytes.len() - 1]).map(|mut reader| {
            reader.case().expect("the first is whole");
            reader.case().expect_err("the second is not").to_string()
        });
        let expected = "reading the corpus failed: the file ends within an item";
        assert_eq!(cut.expect("a corpus"), expected);
    }

    #[test]
    fn a_file_that_is_not_a_corpus_is_refused() {
        assert!(CorpusReader::open(&b"\x63abc"[..]).is_err());
        assert!(CorpusReader::open(&b""[..]).is_err());
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes)
            .text(CORPUS_TAG)
            .uint(7)
            .bytes(&[0x80]);
        let mut reader = CorpusReader::open(&bytes[..]).expect("a corpus");
        let error = reader.case().expect_err("a number is not a case");
        assert_eq!(
            error.to_string(),
            "case 0 of the corpus is not a byte string"
        );
        let error = reader.case().expect_err("an empty array is not a case");
        let expected = "case 1 of the corpus: not a case: at byte 0: Case has 4 fields, got 0";
        assert_eq!(error.to_string(), expected);
    }
}
