//! The inputs of builds whose results are cached.

use std::path::Path;
use std::process::Command;

use antiphon_build_support::cache::KeyBuilder;
use antiphon_build_support::process;

use crate::problem::Problem;
use crate::tree::Tree;

/// Directories of a crate that are no inputs of its library and programs.
const OTHER_DIRECTORIES: [&str; 4] = ["benches", "examples", "target", "tests"];

/// How the names of variables start that change what cargo builds.
const VARIABLES: [&str; 4] = ["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "RUSTC"];

/// Starts the key of a build with cargo: compiler, linker, configuration and locked dependencies.
/// The caller adds the sources and the arguments.
pub(crate) fn of_cargo(tree: &Tree, name: &str) -> Result<KeyBuilder, Problem> {
    let mut rustc = Command::new("rustc");
    let mut key = KeyBuilder::new(name)
        .input("rustc", process::output(rustc.arg("-vV"))?)
        .file("Cargo.lock", &tree.root.join("Cargo.lock"))?
        .file("Cargo.toml", &tree.root.join("Cargo.toml"))?
        .file("config", &tree.root.join(".cargo/config.toml"))?;
    // A machine without `cc` needs none here: the build itself reports what it lacks.
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
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    for name in ["config.toml", "config"] {
        let path = home.as_ref().map(|home| home.join(name));
        if let Some(path) = path.filter(|path| path.is_file()) {
            key = key.file(name, &path)?;
        }
    }
    Ok(key)
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

/// The key of packages of this Debian release. Within a release any version of them will do, so an
/// update of the package does not change the key.
pub(crate) fn of_debian(package: &str) -> KeyBuilder {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    KeyBuilder::new("debian 1")
        .input("release", release)
        .input("architecture", std::env::consts::ARCH)
        .input("package", package)
}
