//! Debian packages, unpacked into our own directory and not installed, so that the system stays
//! unchanged. apt verifies their signatures.

use std::fs;
use std::path::Path;
use std::process::Command;

use antiphon_build_support::process;

use crate::problem::Problem;

/// Unpacks a package into `place`, which is emptied first. With `dependencies`, also unpacks the
/// packages that it depends on and the system lacks.
pub(super) fn unpack(place: &Path, package: &str, dependencies: bool) -> Result<(), Problem> {
    if place.exists() {
        fs::remove_dir_all(place).map_err(Problem::file(place))?;
    }
    fs::create_dir_all(place).map_err(Problem::file(place))?;
    let mut get = Command::new("apt-get");
    get.current_dir(place);
    match dependencies {
        false => get.args(["download", package]),
        // Nothing is installed, so no lock is needed; taking it would require root.
        true => get
            .args(["install", "--download-only", "--yes"])
            .args(["--no-install-recommends", "-o", "Debug::NoLocking=1", "-o"])
            .arg(format!("Dir::Cache::archives={}", place.display()))
            .arg(package),
    };
    process::output(&mut get)?;
    for entry in fs::read_dir(place).map_err(Problem::file(place))? {
        let archive = entry.map_err(Problem::file(place))?.path();
        if archive.extension().is_some_and(|end| end == "deb") {
            process::output(Command::new("dpkg").arg("-x").arg(&archive).arg(place))?;
            fs::remove_file(&archive).map_err(Problem::file(&archive))?;
        }
    }
    Ok(())
}
