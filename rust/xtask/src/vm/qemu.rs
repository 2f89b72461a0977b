//! The emulator: the system's QEMU, or Debian's, unpacked into `target/vm`. It is not installed,
//! because that could remove tools of another QEMU release from the system.

use std::fs;
use std::path::Path;
use std::process::Command;

use antiphon_build_support::process;

use super::debian;
use crate::problem::Problem;
use crate::setup;
use crate::tree::Tree;

const PROGRAM: &str = "qemu-system-x86_64";

/// Returns its version, and whether it was present before: on the path, or in `target/vm/qemu`.
pub(crate) fn fetch(tree: &Tree) -> Result<(String, bool), Problem> {
    if let Ok(version) = version(Command::new(PROGRAM)) {
        return Ok((version, true));
    }
    let place = tree.target.join("vm/qemu");
    // Written last: a directory without it is incomplete.
    let mark = place.join("version");
    if mark.exists()
        && let Ok(version) = version(unpacked(&place))
    {
        return Ok((version, true));
    }
    setup::with_lists(|| debian::unpack(&place, "qemu-system-x86", true))?;
    let version = version(unpacked(&place))?;
    fs::write(&mark, &version).map_err(Problem::file(&mark))?;
    Ok((version, false))
}

fn version(mut qemu: Command) -> Result<String, Problem> {
    let text = process::output(qemu.arg("--version"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The unpacked QEMU, started as `boot.sh` starts it.
fn unpacked(place: &Path) -> Command {
    let libraries = ["usr/lib", "lib"].map(|lib| place.join(lib).join("x86_64-linux-gnu"));
    let mut command = Command::new(place.join("usr/bin").join(PROGRAM));
    let libraries = libraries.map(|library| library.display().to_string());
    command.env("LD_LIBRARY_PATH", libraries.join(":"));
    command
}
