//! The inputs of builds whose results are cached.

use std::path::{Path, PathBuf};
use std::process::Command;

use antiphon_build_support::cache::KeyBuilder;
use antiphon_build_support::process;

use crate::problem::Problem;
use crate::tree::Tree;

/// Directories of a crate that are not inputs of its library and programs.
const OTHER_DIRECTORIES: [&str; 4] = ["benches", "examples", "target", "tests"];

/// The prefixes of the environment variables that change what cargo builds.
const VARIABLES: [&str; 6] = [
    "CARGO_BUILD_",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "RUSTC",
    "RUSTFLAGS",
];

/// Starts the key of a build with cargo: compiler, linker, configuration and locked dependencies.
/// The caller adds the sources and the arguments.
pub(crate) fn of_cargo(tree: &Tree, name: &str) -> Result<KeyBuilder, Problem> {
    let mut rustc = Command::new("rustc");
    let mut key = KeyBuilder::new(name)
        .input("rustc", process::output(rustc.arg("-vV"))?)
        .file("Cargo.lock", &tree.root.join("Cargo.lock"))?
        .file("Cargo.toml", &tree.root.join("Cargo.toml"))?
        .file("config", &tree.root.join(".cargo/config.toml"))?;
    // A missing `cc` is not an error here; the build itself reports it.
    for program in ["cc", "ldd"] {
        let version = process::output(Command::new(program).arg("--version"));
        key = key.input(program, version.unwrap_or_default());
    }
    let mut variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| VARIABLES.iter().any(|start| name.starts_with(start)))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect();
    variables.sort();
    for (name, value) in variables {
        key = key.input(&name, value);
    }
    let home = cargo_home();
    for name in ["config.toml", "config"] {
        let path = home.as_ref().map(|home| home.join(name));
        if let Some(path) = path.filter(|path| path.is_file()) {
            key = key.file(name, &path)?;
        }
    }
    Ok(key)
}

/// The directory in which cargo keeps the registry.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")))
}

/// Adds the sources of a crate of the workspace and of the crates of the workspace that it links.
pub(crate) fn with_crate(
    tree: &Tree,
    mut key: KeyBuilder,
    name: &str,
) -> Result<KeyBuilder, Problem> {
    let linked = tree.closure(name);
    let is_needed = |package: &str| package == name || linked.contains(package);
    for package in tree.packages.iter().filter(|p| is_needed(&p.name)) {
        let place = package.manifest.parent().unwrap_or(&tree.root);
        let entries = std::fs::read_dir(place).map_err(Problem::file(place))?;
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let below = path.file_name().unwrap_or_default().to_string_lossy();
            let label = format!("{}/{below}", package.name);
            if path.is_file() {
                key = key.file(&label, &path)?;
            } else if !OTHER_DIRECTORIES.contains(&&*below) {
                key = key.directory(&label, &path)?;
            }
        }
    }
    Ok(key)
}

/// The key of a package of this Debian release. Any version of the package within a release will
/// do, so an update of the package does not change the key.
pub(crate) fn of_debian(package: &str) -> KeyBuilder {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    KeyBuilder::new("debian 1")
        .input("release", release)
        .input("architecture", std::env::consts::ARCH)
        .input("package", package)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use antiphon_build_support::cache::Cache;

    use super::*;
    use crate::tree::Package;

    /// A checkout of the crates `a`, which links `b`, and `c`.
    fn checkout(root: &Path) -> Tree {
        let write = |path: &str| {
            let path = root.join(path);
            let parent = path.parent().expect("it is below the root");
            fs::create_dir_all(parent).expect("it can be created");
            fs::write(path, "").expect("it can be written");
        };
        for file in ["Cargo.lock", "Cargo.toml", ".cargo/config.toml"] {
            write(file);
        }
        let packages = ["a", "b", "c"].map(|name| {
            for file in ["Cargo.toml", "src/lib.rs", "tests/t.rs"] {
                write(&format!("{name}/{file}"));
            }
            Package {
                name: name.to_owned(),
                manifest: root.join(name).join("Cargo.toml"),
                ..Package::default()
            }
        });
        let linked = [("a".to_owned(), ["b".to_owned()].into())];
        Tree {
            root: root.to_owned(),
            target: root.join("target"),
            cache: Cache::at(root.join("cache"), 0, 0),
            kept: crate::parity::Kept::Nothing,
            packages: packages.into(),
            links: BTreeMap::from(linked),
        }
    }

    #[test]
    fn the_key_of_a_build_depends_on_the_sources_it_links_and_on_locked_versions() {
        let root = std::env::temp_dir().join(format!("xtask-inputs-{}", std::process::id()));
        let tree = checkout(&root);
        let key = || {
            let key = of_cargo(&tree, "test 1").expect("the files can be read");
            let key = with_crate(&tree, key, "a").expect("the files can be read");
            key.finish()
        };
        let mut last = key();
        assert_eq!(last, key());
        for (path, counts) in [
            ("a/src/lib.rs", true),
            ("b/src/lib.rs", true),
            ("b/Cargo.toml", true),
            ("Cargo.lock", true),
            ("Cargo.toml", true),
            ("b/tests/t.rs", false),
            ("c/src/lib.rs", false),
        ] {
            fs::write(root.join(path), "changed").expect("it can be written");
            let next = key();
            assert_eq!(next != last, counts, "{path}");
            last = next;
        }
        fs::remove_dir_all(&root).expect("it exists");
    }
}
