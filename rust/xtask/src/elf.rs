//! Whether a program is statically linked.

use std::fs;
use std::path::Path;

use crate::problem::Problem;

/// Fails for a dynamic program, which names its loader in a `PT_INTERP` program header.
pub(crate) fn check_static(path: &Path) -> Result<(), Problem> {
    let bytes = fs::read(path).map_err(Problem::file(path))?;
    match asks_for_loader(&bytes) {
        Some(false) => Ok(()),
        Some(true) => Err(Problem::Dynamic {
            path: path.to_owned(),
        }),
        None => Err(Problem::absent(
            path,
            "expected a 64-bit little-endian ELF program",
        )),
    }
}

/// Whether a 64-bit little-endian ELF file has a `PT_INTERP` header; `None` for any other file.
fn asks_for_loader(bytes: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let short = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let offset = u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?);
    let (size, count) = (usize::from(short(54)?), usize::from(short(56)?));
    let first = usize::try_from(offset).ok()?;
    for number in 0..count {
        let at = first.checked_add(size * number)?;
        let kind = bytes.get(at..at.checked_add(4)?)?;
        if u32::from_le_bytes(kind.try_into().ok()?) == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header with program headers of these kinds and no other content.
    fn elf(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32] = 64;
        bytes[54] = 4;
        bytes[56] = u8::try_from(kinds.len()).expect("few headers");
        bytes.extend(kinds.iter().flat_map(|kind| kind.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_loader_header_makes_a_program_dynamic() {
        assert_eq!(asks_for_loader(&elf(&[1, 2, 7])), Some(false));
        assert_eq!(asks_for_loader(&elf(&[1, 3, 7])), Some(true));
    }

    #[test]
    fn a_script_or_a_truncated_program_is_not_static() {
        assert_eq!(asks_for_loader(b"#!/bin/sh\n"), None);
        let cut = elf(&[1, 2]);
        assert_eq!(asks_for_loader(&cut[..cut.len() - 2]), None);
    }
}
