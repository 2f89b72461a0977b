//! Records: the units in which a recording is written, framed and chained by digests.
//!
//! A record is written as `length (u32 BE) | check (4) | content | chain (32)`. The chain value is
//! the BLAKE3 digest of a tag, the preceding chain value, and the length, check and content of this
//! record. If a record is changed, dropped or moved, its own chain value or the next one does not
//! match. The check protects the length alone: a reader must detect a damaged length *before* it
//! can distinguish a damaged record from one that a crash truncated.

use std::io::{self, Read};

use crate::bounds::{MAGIC, RECORD_LEN_MAX};
use crate::tail::{Cause, Damage, Tail};

/// Precedes a record in the hashed bytes. Together with the chain value it fills the part of the
/// buffer before the frame, so that prefix and frame are hashed by one call.
const RECORD_TAG: [u8; 24] = *b"antiphon.recording.v1\0\0\0";
/// Precedes a length in the hashed bytes.
const LENGTH_TAG: [u8; 24] = *b"antiphon.rec-length.v1\0\0";

const CHAIN_LEN: usize = 32;
const PREFIX_LEN: usize = RECORD_TAG.len() + CHAIN_LEN;
const HEAD_LEN: usize = 8;
/// Bytes of a frame without its content.
pub(crate) const FRAME_LEN: usize = HEAD_LEN + CHAIN_LEN;

/// Offset of a record's content in the buffer from which the record is hashed and written.
pub(crate) const CONTENT_AT: usize = PREFIX_LEN + HEAD_LEN;

/// The running digest over all records so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain([u8; CHAIN_LEN]);

impl Chain {
    /// The chain before the first record.
    pub(crate) fn start() -> Chain {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&RECORD_TAG).update(&MAGIC);
        Chain(*hasher.finalize().as_bytes())
    }

    pub(crate) fn value(&self) -> [u8; CHAIN_LEN] {
        self.0
    }

    fn check(&self, len: u32) -> [u8; 4] {
        let mut bytes = [0; PREFIX_LEN + 4];
        bytes[..24].copy_from_slice(&LENGTH_TAG);
        bytes[24..PREFIX_LEN].copy_from_slice(&self.0);
        bytes[PREFIX_LEN..].copy_from_slice(&len.to_be_bytes());
        let digest = blake3::hash(&bytes);
        let mut check = [0; 4];
        check.copy_from_slice(&digest.as_bytes()[..4]);
        check
    }

    /// The chain value of the record whose head and content are in the buffer, from [`PREFIX_LEN`]
    /// on.
    fn next(&self, buffer: &mut [u8]) -> Chain {
        buffer[..24].copy_from_slice(&RECORD_TAG);
        buffer[24..PREFIX_LEN].copy_from_slice(&self.0);
        Chain(*blake3::hash(buffer).as_bytes())
    }
}

/// A buffer to which the content of a record is appended.
pub(crate) fn empty_record() -> Vec<u8> {
    let mut buffer = Vec::with_capacity(CONTENT_AT + RECORD_LEN_MAX + CHAIN_LEN);
    buffer.resize(CONTENT_AT, 0);
    buffer
}

/// Completes the frame around the content of `buffer`, advances the chain, and returns the bytes to
/// write.
pub(crate) fn seal<'b>(chain: &mut Chain, buffer: &'b mut Vec<u8>) -> &'b [u8] {
    let len = buffer.len() - CONTENT_AT;
    debug_assert!(len <= RECORD_LEN_MAX, "a record of {len} bytes");
    let len = len as u32;
    buffer[PREFIX_LEN..PREFIX_LEN + 4].copy_from_slice(&len.to_be_bytes());
    buffer[PREFIX_LEN + 4..CONTENT_AT].copy_from_slice(&chain.check(len));
    *chain = chain.next(buffer);
    buffer.extend_from_slice(&chain.0);
    &buffer[PREFIX_LEN..]
}

/// Reads records one by one. Hands out a record's content only after its digest has been checked.
#[derive(Clone, Debug)]
pub(crate) struct Frames<R> {
    from: R,
    chain: Chain,
    /// The current record, with room for the prefix.
    buffer: Vec<u8>,
    /// Number of intact records read.
    records: u64,
    /// Length in bytes of the medium up to the end of the last intact record.
    offset: u64,
}

impl<R: Read> Frames<R> {
    /// The magic bytes have already been read from `from`.
    pub(crate) fn new(from: R) -> Frames<R> {
        Frames {
            from,
            chain: Chain::start(),
            buffer: empty_record(),
            records: 0,
            offset: MAGIC.len() as u64,
        }
    }

    /// Reads the next record into the buffer. If there is none, returns how the recording ends.
    pub(crate) fn advance(&mut self) -> io::Result<Option<Tail>> {
        let mut head = [0; HEAD_LEN];
        let got = read_full(&mut self.from, &mut head)?;
        if got == 0 {
            return Ok(Some(Tail::Open));
        }
        if got < HEAD_LEN {
            return Ok(Some(self.torn(got)));
        }
        let [a, b, c, d, check @ ..] = head;
        let len = u32::from_be_bytes([a, b, c, d]);
        if self.chain.check(len) != check {
            return Ok(Some(self.damaged(HEAD_LEN, Cause::Length)));
        }
        let content = len as usize;
        if content > RECORD_LEN_MAX {
            let max = RECORD_LEN_MAX as u32;
            return Ok(Some(self.damaged(HEAD_LEN, Cause::TooLong { len, max })));
        }
        self.buffer.resize(CONTENT_AT + content + CHAIN_LEN, 0);
        self.buffer[PREFIX_LEN..CONTENT_AT].copy_from_slice(&head);
        let got = read_full(&mut self.from, &mut self.buffer[CONTENT_AT..])?;
        if got < content + CHAIN_LEN {
            return Ok(Some(self.torn(HEAD_LEN + got)));
        }
        let (hashed, chain) = self.buffer.split_at_mut(CONTENT_AT + content);
        let next = self.chain.next(hashed);
        if next.0 != *chain {
            return Ok(Some(self.damaged(content + FRAME_LEN, Cause::Chain)));
        }
        self.chain = next;
        self.buffer.truncate(CONTENT_AT + content);
        self.records += 1;
        self.offset += (content + FRAME_LEN) as u64;
        Ok(None)
    }

    /// The content of the current record.
    pub(crate) fn content(&self) -> &[u8] {
        &self.buffer[CONTENT_AT..]
    }

    /// Number of intact records read.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of the medium up to the end of the current record.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The chain value of the current record.
    pub(crate) fn chain(&self) -> [u8; CHAIN_LEN] {
        self.chain.value()
    }

    /// Whether the medium ends after the current record.
    pub(crate) fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(read_full(&mut self.from, &mut [0])? == 0)
    }

    fn torn(&self, len: usize) -> Tail {
        Tail::Torn {
            record: self.records,
            offset: self.offset,
            len: len as u64,
        }
    }

    fn damaged(&self, len: usize, cause: Cause) -> Tail {
        Tail::Damaged(Damage {
            record: self.records,
            offset: self.offset,
            len: len as u64,
            cause,
        })
    }
}

/// Reads until the buffer is full or the input ends; returns the number of bytes read.
pub(crate) fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match from.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
