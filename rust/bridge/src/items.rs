//! Reads a CBOR sequence one whole item at a time, and nothing beyond the item.
//!
//! The output of an oracle run has hundreds of megabytes, and its items have no length prefix, so
//! the end of an item is found from its heads. Whether an item is deterministic is left to its
//! decoder.

use std::io::{self, BufRead, Read};

/// The most bytes of an item: the output of a recorded session of a few thousand steps.
pub(crate) const ITEM_LEN_MAX: usize = 1 << 30;

/// Clears `item` and reads the next item into it. Returns `false` at the end of the sequence.
///
/// # Errors
/// When reading fails, the sequence ends within an item, or an item is of a form that no writer
/// here uses.
pub(crate) fn next_item(from: &mut impl BufRead, item: &mut Vec<u8>) -> io::Result<bool> {
    item.clear();
    if from.fill_buf()?.is_empty() {
        return Ok(false);
    }
    // The items that are left at this level and at the levels around it.
    let mut left: u64 = 1;
    while left > 0 {
        left -= 1;
        let (major, argument) = head(from, item)?;
        match major {
            0 | 1 | 7 => {}
            2 | 3 => content(from, item, argument)?,
            4 => left = add(left, argument)?,
            5 => left = add(add(left, argument)?, argument)?,
            _ => left = add(left, 1)?,
        }
    }
    Ok(true)
}

fn head(from: &mut impl BufRead, item: &mut Vec<u8>) -> io::Result<(u8, u64)> {
    let mut initial = [0];
    from.read_exact(&mut initial).map_err(cut_off)?;
    item.push(initial[0]);
    let (major, info) = (initial[0] >> 5, initial[0] & 31);
    let width = match info {
        0..=23 => return Ok((major, info.into())),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return Err(malformed("an item of indefinite length")),
    };
    let mut argument = [0; 8];
    let bytes = &mut argument[8 - width..];
    from.read_exact(bytes).map_err(cut_off)?;
    item.extend_from_slice(bytes);
    Ok((major, u64::from_be_bytes(argument)))
}

fn content(from: &mut impl BufRead, item: &mut Vec<u8>, len: u64) -> io::Result<()> {
    if len > (ITEM_LEN_MAX - item.len().min(ITEM_LEN_MAX)) as u64 {
        return Err(malformed("an item that is too long"));
    }
    let got = from.take(len).read_to_end(item)?;
    if got as u64 == len {
        return Ok(());
    }
    Err(cut_off(io::ErrorKind::UnexpectedEof.into()))
}

fn add(left: u64, more: u64) -> io::Result<u64> {
    let sum = left.checked_add(more);
    let sum = sum.filter(|sum| *sum <= ITEM_LEN_MAX as u64);
    sum.ok_or_else(|| malformed("an item of too many items"))
}

fn cut_off(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return io::Error::new(error.kind(), "the file ends within an item");
    }
    error
}

pub(crate) fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_read_to_its_end() {
        let items: [&[u8]; 6] = [
            &[0x18, 0x64],
            &[0x83, 1, 0x82, 0x20, 0xf6, 0x42, 7, 8],
            &[0x62, b'h', b'i'],
            &[0xa1, 1, 0x80],
            &[0xc1, 0x80],
            &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0],
        ];
        let bytes = items.concat();
        let mut from = &bytes[..];
        let mut item = Vec::new();
        for expected in items {
            assert!(next_item(&mut from, &mut item).expect("the item is whole"));
            assert_eq!(item, expected);
        }
        assert!(!next_item(&mut from, &mut item).expect("the end is not an error"));
    }

    #[test]
    fn malformed_items_are_refused() {
        for bytes in [
            &[0x82, 1][..],
            &[0x43, 1, 2],
            &[0x9f],
            &[0x19, 1],
            &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0x5b, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            let mut item = Vec::new();
            let error = next_item(&mut &bytes[..], &mut item);
            assert!(error.is_err(), "{bytes:02x?}");
        }
    }
}
