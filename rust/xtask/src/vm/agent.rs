//! The agent, statically linked, because the guest has no libraries.

use std::fs;
use std::path::{Path, PathBuf};

use antiphon_build_support::cache::Entry;
use antiphon_build_support::console::Console;
use antiphon_build_support::{self as support, process};

use crate::inputs;
use crate::lanes::LANE_DEADLINE;
use crate::problem::Problem;
use crate::tree::Tree;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const FLAGS: &str = "-C target-feature=+crt-static";
const PACKAGE: &str = "antiphon-guest";

/// The name of the program.
pub(super) const PROGRAM: &str = "antiphon-agent";

/// The kind of the cache entry.
const KIND: &str = "guest-agent";

/// Returns the agent from the cache, and builds it first if it is not there.
pub(crate) fn build(tree: &Tree, console: &mut Console) -> Result<Entry, Problem> {
    let key = inputs::of_cargo(tree, "guest-agent 1")?
        .input("triple", TRIPLE)
        .input("flags", FLAGS);
    let key = inputs::with_crate(tree, key, PACKAGE)?.finish();
    let build = |content: &Path, console: &mut Console| {
        let agent = compile(tree, console)?;
        let target = content.join(PROGRAM);
        fs::copy(&agent, &target).map_err(Problem::file(&target))?;
        Ok::<(), Problem>(())
    };
    let (entry, _) = tree.cache.get_or_put(KIND, &key, console, build)?;
    Ok(entry)
}

/// Builds the agent in a separate target directory, because its flags would invalidate other
/// builds.
fn compile(tree: &Tree, console: &mut Console) -> Result<PathBuf, Problem> {
    let place = tree.target.join("vm/cargo");
    let mut command = tree.cargo("build");
    command.args(["--release", "--package", PACKAGE, "--bin", PROGRAM]);
    command
        .args(["--target", TRIPLE])
        .arg("--target-dir")
        .arg(&place);
    command
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", FLAGS);
    let log = tree.target.join("xtask/vm-agent.log");
    let mut output = String::new();
    let watch = |console: &mut Console, line: &str| {
        output.push_str(line);
        output.push('\n');
        console.note(format!("building the agent: {}", line.trim()));
    };
    let status = process::watched(&mut command, LANE_DEADLINE, &log, console, watch)?;
    if !status.success() {
        let command = "cargo build --bin antiphon-agent".to_owned();
        return Err(support::Problem::Failed {
            command,
            status,
            output,
        }
        .into());
    }
    let agent = place.join(TRIPLE).join("release").join(PROGRAM);
    check_static(&agent)?;
    Ok(agent)
}

/// A dynamic program names its loader in a `PT_INTERP` program header.
fn check_static(path: &Path) -> Result<(), Problem> {
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
