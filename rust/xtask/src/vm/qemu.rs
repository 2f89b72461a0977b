//! The emulator: the system's QEMU, or Debian's, unpacked into `target/vm`. It is not installed,
//! because that could remove tools of another QEMU release from the system.

use std::fs;
use std::path::Path;
use std::process::Command;

use antiphon_build_support::console::Console;
use antiphon_build_support::process;

use super::debian;
use crate::problem::Problem;
use crate::tree::Tree;
use crate::{inputs, setup};

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";

/// The kind of the cache entry.
const KIND: &str = "qemu";

/// Returns its version, and whether it was present before: on the path, in `target/vm/qemu`, or in
/// the cache.
pub(crate) fn fetch(tree: &Tree, console: &mut Console) -> Result<(String, bool), Problem> {
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
    let key = inputs::of_debian(PACKAGE).finish();
    let unpack = |content: &Path, _: &mut Console| {
        setup::with_lists(|| debian::unpack(content, PACKAGE, true))
    };
    let (entry, cached) = tree.cache.get_or_put(KIND, &key, console, unpack)?;
    if place.exists() {
        fs::remove_dir_all(&place).map_err(Problem::file(&place))?;
    }
    entry.copy_to(&place)?;
    let version = version(unpacked(&place))?;
    fs::write(&mark, &version).map_err(Problem::file(&mark))?;
    Ok((version, cached))
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
