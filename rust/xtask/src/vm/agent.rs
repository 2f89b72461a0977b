//! The agent, statically linked, because the guest has no libraries.

use std::fs;
use std::path::{Path, PathBuf};

use antiphon_build_support::cache::Entry;
use antiphon_build_support::console::Console;
use antiphon_build_support::{self as support, process};

use crate::elf::check_static;
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
