//! The output file: a text that names the format, an item for each case, and a text that marks the
//! end.

use std::io::{self, BufRead, Write};

use antiphon_codec::{Decoder, Encoder, Kind};

use crate::case::CASE_LIMITS;
use crate::items::{malformed, next_item};

/// The text at the start of an output file.
pub const OUTPUT_TAG: &str = "antiphon.output.v1";

/// The text at the end of an output file. Without it, the writer was interrupted.
pub const COMPLETE: &str = "complete";

/// Limits on reading the output of one case, which is one item.
pub(crate) const OUTPUT_LIMITS: antiphon_codec::Limits = antiphon_codec::Limits {
    bytes_len: crate::items::ITEM_LEN_MAX,
    items: 1 << 28,
    ..CASE_LIMITS
};

/// Writes an output file, case by case.
#[derive(Debug)]
pub struct OutputWriter<W> {
    to: W,
}

impl<W: Write> OutputWriter<W> {
    /// Starts an output file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn create(mut to: W) -> io::Result<OutputWriter<W>> {
        to.write_all(&text(OUTPUT_TAG))?;
        Ok(OutputWriter { to })
    }

    /// Adds a case's output: one item.
    ///
    /// # Errors
    /// When writing fails.
    pub fn case(&mut self, out: &[u8]) -> io::Result<()> {
        self.to.write_all(out)
    }

    /// Marks the output as complete, and returns the writer.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&text(COMPLETE))?;
        self.to.flush()?;
        Ok(self.to)
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes).text(text);
    bytes
}

/// Reads an output file, case by case.
#[derive(Debug)]
pub struct OutputReader<R> {
    from: R,
    item: Vec<u8>,
    is_complete: bool,
}

impl<R: BufRead> OutputReader<R> {
    /// Opens an output file.
    ///
    /// # Errors
    /// When reading fails, or the file does not start with [`OUTPUT_TAG`].
    pub fn open(mut from: R) -> io::Result<OutputReader<R>> {
        let mut item = Vec::new();
        next_item(&mut from, &mut item)?;
        if item != text(OUTPUT_TAG) {
            let error = format!("not an output: it does not start with `{OUTPUT_TAG}`");
            return Err(malformed(&error));
        }
        Ok(OutputReader {
            from,
            item,
            is_complete: false,
        })
    }

    /// The next case's output; `None` at the end.
    ///
    /// # Errors
    /// When reading fails, the end mark is missing, or something follows it.
    pub fn case(&mut self) -> io::Result<Option<&[u8]>> {
        if self.is_complete {
            return Ok(None);
        }
        if !next_item(&mut self.from, &mut self.item)? {
            return Err(malformed(
                "the output is cut off: it does not end with `complete`",
            ));
        }
        if self.item != text(COMPLETE) {
            return Ok(Some(&self.item));
        }
        self.is_complete = true;
        if self.from.fill_buf()?.is_empty() {
            return Ok(None);
        }
        Err(malformed("the output goes on after `complete`"))
    }
}

/// The model's reason for refusing a case; `None` if `out` is the output of a run.
pub fn refusal(out: &[u8]) -> Option<String> {
    let mut from = Decoder::new(out, OUTPUT_LIMITS);
    if from.array() != Ok(1) || from.kind() != Ok(Kind::Text) {
        return None;
    }
    from.text().map(str::to_owned).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut writer = OutputWriter::create(Vec::new()).expect("memory");
        writer.case(&[0x80]).expect("memory");
        writer.case(&[0x81, 0x62, b'n', b'o']).expect("memory");
        writer.finish().expect("memory")
    }

    #[test]
    fn an_output_is_read_back() {
        let bytes = written();
        let mut reader = OutputReader::open(&bytes[..]).expect("an output");
        let first = reader.case().expect("whole").expect("there").to_vec();
        assert_eq!(first, [0x80]);
        assert_eq!(refusal(&first), None);
        let second = reader.case().expect("whole").expect("there");
        assert_eq!(refusal(second), Some("no".to_owned()));
        for _ in 0..2 {
            assert_eq!(reader.case().expect("complete"), None);
        }
    }

    #[test]
    fn a_cut_off_output_is_refused() {
        let whole = written();
        for len in 0..whole.len() {
            let read = OutputReader::open(&whole[..len]).and_then(|mut reader| {
                while reader.case()?.is_some() {}
                Ok(())
            });
            assert!(read.is_err(), "cut at {len}");
        }
        let longer = [&whole[..], &[0x80]].concat();
        let mut reader = OutputReader::open(&longer[..]).expect("an output");
        while let Ok(Some(_)) = reader.case() {}
        assert!(reader.case().is_ok(), "the error is returned once");
    }
}
