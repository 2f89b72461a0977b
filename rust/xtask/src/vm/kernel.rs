//! The guest's kernel: the package that Debian's cloud kernel package depends on, unpacked and not
//! installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use antiphon_build_support::cache::Entry;
use antiphon_build_support::console::Console;
use antiphon_build_support::{self as support, process};

use super::debian;
use crate::problem::Problem;
use crate::tree::Tree;
use crate::{inputs, setup};

/// The kind of the cache entry.
const KIND: &str = "guest-kernel";

/// The package whose only dependency is the current kernel.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// The modules that the port needs, each after its dependencies.
const MODULES: [&str; 6] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_console",
];

/// The kernel, in an entry of the cache.
pub(crate) struct Kernel {
    pub(crate) parts: Parts,
    /// Whether it was in the cache.
    pub(crate) cached: bool,
    _entry: Entry,
}

/// The parts of a kernel.
pub(crate) struct Parts {
    /// The name of its package.
    pub(crate) version: String,
    pub(crate) image: PathBuf,
    /// The module files in loading order, without modules that are built into the kernel.
    pub(crate) modules: Vec<PathBuf>,
}

/// Returns the kernel from the cache, and fetches it first if it is not there.
pub(crate) fn fetch(tree: &Tree, console: &mut Console) -> Result<Kernel, Problem> {
    let key = inputs::of_debian(META_PACKAGE).finish();
    let unpack = |content: &Path, _: &mut Console| {
        let package = setup::with_lists(|| {
            let package = current()?;
            debian::unpack(content, &package, false)?;
            Ok(package)
        })?;
        let mark = content.join("package");
        fs::write(&mark, package).map_err(Problem::file(&mark))
    };
    let (entry, cached) = tree.cache.get_or_put(KIND, &key, console, unpack)?;
    let parts = unpacked(entry.path())?;
    Ok(Kernel {
        parts,
        cached,
        _entry: entry,
    })
}

/// The name of the current kernel's package.
fn current() -> Result<String, Problem> {
    let depends = process::output(Command::new("apt-cache").args(["depends", META_PACKAGE]))?;
    let package = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"));
    Ok(package
        .ok_or(support::Problem::Output {
            command: "apt-cache depends",
            expected: "the name of a kernel package",
        })?
        .to_owned())
}

/// Finds the parts of an unpacked kernel. Fails if one is missing.
fn unpacked(place: &Path) -> Result<Parts, Problem> {
    let mark = place.join("package");
    let version = fs::read_to_string(&mark).map_err(Problem::file(&mark))?;
    let image = only(&place.join("boot"), |name| name.starts_with("vmlinuz-"))?;
    // Packages for systems where `/lib` is a link to `/usr/lib` contain the latter path.
    let tops = [place.join("lib/modules"), place.join("usr/lib/modules")];
    let top = tops.iter().find(|top| top.is_dir()).unwrap_or(&tops[0]);
    let release = only(top, |_| true)?;
    let index = release.join("modules.builtin");
    let built_in = fs::read_to_string(&index).map_err(Problem::file(&index))?;
    let mut modules = Vec::new();
    for name in MODULES {
        let path = format!("/{name}.ko");
        if built_in.lines().any(|line| line.ends_with(&path)) {
            continue;
        }
        let files = [format!("{name}.ko"), format!("{name}.ko.xz")];
        let kernel = release.join("kernel");
        let found = find(&kernel, &files)?;
        modules.push(found.ok_or_else(|| {
            Problem::absent(
                &kernel.join(&files[0]),
                "the kernel package has no such module",
            )
        })?);
    }
    Ok(Parts {
        version,
        image,
        modules,
    })
}

/// The first file with one of these names below a directory.
fn find(place: &Path, names: &[String]) -> Result<Option<PathBuf>, Problem> {
    for entry in fs::read_dir(place).map_err(Problem::file(place))? {
        let path = entry.map_err(Problem::file(place))?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, names)? {
                return Ok(Some(found));
            }
        } else if names.iter().any(|name| path.ends_with(name)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The only entry whose name is accepted. Fails if there are none or several.
fn only(place: &Path, accept: impl Fn(&str) -> bool) -> Result<PathBuf, Problem> {
    let entries = fs::read_dir(place).map_err(Problem::file(place))?;
    let mut found = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(&accept))
        .map(|entry| entry.path());
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        _ => Err(Problem::absent(
            place,
            "expected exactly one file of the kernel package in it",
        )),
    }
}
