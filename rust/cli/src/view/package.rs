//! Finds the package that replays in the browser.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checkout;
use crate::problem::{Problem, SystemError};

/// The environment variable that names the package's folder.
const VARIABLE: &str = "ANTIPHON_WASM";

const SCRIPT: &str = "antiphon.js";
const MODULE: &str = "antiphon_bg.wasm";

/// The package's script and module.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) script: String,
    pub(crate) module: Vec<u8>,
}

impl Package {
    /// Finds the package: in the folder named on the command line or in the environment, else the
    /// one included in the program, else beside the installed program, else in the checkout that
    /// the program was built in.
    pub(crate) fn find(named: Option<&Path>) -> Result<Package, Problem> {
        let named = named.map(Path::to_owned);
        if let Some(folder) = named.or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from)) {
            return if is_package(&folder) {
                Package::read(&folder)
            } else {
                Err(SystemError::NoSuchPackage { folder }.into())
            };
        }
        if let Some(included) = Package::included() {
            return Ok(included);
        }
        let installed = checkout::folders()?.nth(1);
        let installed = installed.map(|folder| folder.join("share/antiphon/wasm"));
        let built = checkout::folders()?.map(|folder| folder.join("rust/wasm/pkg"));
        match installed
            .into_iter()
            .chain(built)
            .find(|folder| is_package(folder))
        {
            Some(folder) => Package::read(&folder),
            None => Err(SystemError::NoPackage.into()),
        }
    }

    #[cfg(viewer_included)]
    fn included() -> Option<Package> {
        Some(Package {
            script: include_str!(env!("ANTIPHON_VIEWER_SCRIPT")).to_owned(),
            module: include_bytes!(env!("ANTIPHON_VIEWER_MODULE")).to_vec(),
        })
    }

    #[cfg(not(viewer_included))]
    fn included() -> Option<Package> {
        None
    }

    fn read(folder: &Path) -> Result<Package, Problem> {
        let (script, module) = (folder.join(SCRIPT), folder.join(MODULE));
        Ok(Package {
            script: fs::read_to_string(&script).map_err(Problem::file("read", &script))?,
            module: fs::read(&module).map_err(Problem::file("read", &module))?,
        })
    }
}

fn is_package(folder: &Path) -> bool {
    folder.join(SCRIPT).is_file() && folder.join(MODULE).is_file()
}
