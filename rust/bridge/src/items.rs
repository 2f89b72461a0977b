//! Reads the items of a CBOR sequence one by one, without reading beyond the end of each.
//!
//! The output of an oracle run has hundreds of megabytes, and no lengths before its items. So the
//! end of an item is found from the heads in it. The decoder checks later whether the item is
//! deterministic.

use std::io::{self, BufRead, Read, Write};

use antiphon_codec::Encoder;
use antiphon_codec::scan::Head;

/// Length in bytes of the longest item: the output of a recorded session of some thousand steps.
pub(crate) const ITEM_LEN_MAX: usize = 1 << 30;

/// Reads the next item into `item`, whose previous content is cleared. Returns `false` at the end
/// of the sequence.
///
/// # Errors
/// When reading fails, the sequence ends within an item, an item is longer than [`ITEM_LEN_MAX`],
/// or an item is of indefinite length, which no writer here produces.
pub(crate) fn next_item(from: &mut impl BufRead, item: &mut Vec<u8>) -> io::Result<bool> {
    item.clear();
    if from.fill_buf()?.is_empty() {
        return Ok(false);
    }
    // The items still to be read, at every level of nesting together.
    let mut pending: u64 = 1;
    while pending > 0 {
        pending -= 1;
        let head = read_head(from, item)?;
        if head.content_len() > 0 {
            read_content(from, item, head.content_len())?;
        }
        let sum = pending.checked_add(head.children());
        let sum = sum.filter(|sum| *sum <= ITEM_LEN_MAX as u64);
        pending = sum.ok_or_else(|| malformed("an item of too many items"))?;
    }
    Ok(true)
}

/// The text at the end of a file that the model has written completely.
const COMPLETE: &str = "complete";

/// Writes a file for a program of the model: a text that names the format, then byte strings.
///
/// # Errors
/// When writing fails.
pub(crate) fn write_strings(mut to: impl Write, tag: &str, strings: &[Vec<u8>]) -> io::Result<()> {
    let mut scratch = text(tag);
    to.write_all(&scratch)?;
    for string in strings {
        scratch.clear();
        Encoder::new(&mut scratch).bytes(string);
        to.write_all(&scratch)?;
    }
    to.flush()
}

/// Reads the output of a program of the model: a text that names the format, then items, then the
/// text `complete`.
///
/// # Errors
/// When reading fails, the file starts with another text, or it is cut off.
pub(crate) fn read_items(mut from: impl BufRead, tag: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut items = Vec::new();
    let mut item = Vec::new();
    while next_item(&mut from, &mut item)? {
        items.push(std::mem::take(&mut item));
    }
    if items.first() != Some(&text(tag)) {
        return Err(malformed("the output has another format"));
    }
    if items.len() < 2 || items.pop() != Some(text(COMPLETE)) {
        return Err(malformed("the output does not end with `complete`"));
    }
    items.remove(0);
    Ok(items)
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes).text(text);
    bytes
}

/// Reads a head and appends its bytes to `item`.
fn read_head(from: &mut impl BufRead, item: &mut Vec<u8>) -> io::Result<Head> {
    let indefinite = || malformed("an item of indefinite length");
    let mut bytes = [0; Head::LEN_MAX];
    from.read_exact(&mut bytes[..1]).map_err(cut_off)?;
    let len = Head::len_of(bytes[0]).ok_or_else(indefinite)?;
    from.read_exact(&mut bytes[1..len]).map_err(cut_off)?;
    item.extend_from_slice(&bytes[..len]);
    let head = Head::read(&bytes).ok_or_else(indefinite)?;
    Ok(head.0)
}

/// Appends the content of a string to `item`.
fn read_content(from: &mut impl BufRead, item: &mut Vec<u8>, len: u64) -> io::Result<()> {
    if len > (ITEM_LEN_MAX - item.len().min(ITEM_LEN_MAX)) as u64 {
        return Err(malformed("an item that is too long"));
    }
    if from.take(len).read_to_end(item)? as u64 == len {
        return Ok(());
    }
    Err(cut_off(io::ErrorKind::UnexpectedEof.into()))
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
    fn returns_the_items_one_by_one() {
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
            assert!(next_item(&mut from, &mut item).expect("a whole item"));
            assert_eq!(item, expected);
        }
        assert!(!next_item(&mut from, &mut item).expect("the end of the sequence"));
    }

    #[test]
    fn an_output_needs_its_tag_and_its_end() {
        let mut input = Vec::new();
        write_strings(&mut input, "in", &[vec![7]]).expect("memory");
        assert_eq!(input, b"\x62in\x41\x07");
        let whole = [&text("out")[..], &[1], &[0x81, 2], &text(COMPLETE)].concat();
        let items = read_items(&whole[..], "out").expect("a whole output");
        assert_eq!(items, [vec![1], vec![0x81, 2]]);
        assert!(read_items(&whole[..], "in").is_err(), "another format");
        for len in 0..whole.len() {
            assert!(read_items(&whole[..len], "out").is_err(), "cut at {len}");
        }
        let only_end = text(COMPLETE);
        assert!(read_items(&only_end[..], COMPLETE).is_err());
    }

    #[test]
    fn refuses_truncated_and_indefinite_items() {
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
