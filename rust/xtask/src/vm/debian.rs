//! Debian packages that are unpacked into a directory of ours and not installed: nothing of the machine changes, and nothing of it
//! has to go for them. apt checks their signature chain.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::problem::Problem;
use crate::run;

/// Unpacks the package into `place`, after what was there is gone; with `dependencies`, also what it needs and the system lacks.
pub(super) fn unpack(place: &Path, package: &str, dependencies: bool) -> Result<(), Problem> {
    if place.exists() {
        fs::remove_dir_all(place).map_err(Problem::file(place))?;
    }
    fs::create_dir_all(place).map_err(Problem::file(place))?;
    let mut get = Command::new("apt-get");
    get.current_dir(place);
    match dependencies {
        false => get.args(["download", package]),
        // Without a lock, since nothing is installed; so nobody need be root for it.
        true => get
            .args(["install", "--download-only", "--yes"])
            .args(["--no-install-recommends", "-o", "Debug::NoLocking=1", "-o"])
            .arg(format!("Dir::Cache::archives={}", place.display()))
            .arg(package),
    };
    run::output(&mut get)?;
    for entry in fs::read_dir(place).map_err(Problem::file(place))? {
        let archive = entry.map_err(Problem::file(place))?.path();
        if archive.extension().is_some_and(|end| end == "deb") {
            run::output(Command::new("dpkg").arg("-x").arg(&archive).arg(place))?;
            fs::remove_file(&archive).map_err(Problem::file(&archive))?;
        }
    }
    Ok(())
}
