//! Builds what a release consists of: a static `antiphon` that includes the page of `view`, a
//! static `antiphon-agent`, and their digests. The result is in `target/release-package/NAME`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use antiphon_build_support::console::Console;
use antiphon_build_support::process;
use sha2::{Digest, Sha256};

use crate::elf;
use crate::problem::Problem;
use crate::tree::Tree;
use crate::wasm;

/// The variable that makes the build of `antiphon` include the page's package.
const VIEWER_VARIABLE: &str = "ANTIPHON_VIEWER_PACKAGE";

/// The systems of a release: the name in the package, the target, and the flags that link it
/// statically. The first one must be installed; the others are built if they are.
const SYSTEMS: [System; 2] = [
    System {
        name: "x86_64-linux",
        triple: "x86_64-unknown-linux-gnu",
        flags: &["-Ctarget-feature=+crt-static"],
    },
    // rust-lld is part of the toolchain, so no linker of that system is needed.
    System {
        name: "aarch64-linux",
        triple: "aarch64-unknown-linux-musl",
        flags: &["-Ctarget-feature=+crt-static", "-Clinker=rust-lld"],
    },
];

const PROFILE: &str = "dist";

/// Each program with its Cargo package.
const PROGRAMS: [(&str, &str); 2] = [
    ("antiphon", "antiphon"),
    ("antiphon-agent", "antiphon-guest"),
];

/// The files of the source tree that a release contains.
const FILES: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// The list of digests, in the format that `sha256sum --check` reads.
const SUMS: &str = "SHA256SUMS";

struct System {
    name: &'static str,
    triple: &'static str,
    flags: &'static [&'static str],
}

/// Builds the release and lists its files with their sizes and digests.
pub(crate) fn build(tree: &Tree) -> Result<ExitCode, Problem> {
    let mut console = Console::stdout();
    console.begin("release", "the package for the browser");
    let viewer = wasm::build(tree, &mut console)?;
    console.finish();
    for (at, system) in SYSTEMS.iter().enumerate() {
        if at > 0 && !is_installed(system.triple) {
            let System { name, triple, .. } = system;
            println!("not built: {name}, because the target {triple} is not installed");
            continue;
        }
        let place = build_for(tree, system, &viewer, &mut console)?;
        println!("{}", place.display());
        print!("{}", list(&place)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the toolchain has the standard library of a target.
fn is_installed(triple: &str) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", triple]);
    let place = process::output(&mut rustc).unwrap_or_default();
    Path::new(place.trim()).is_dir()
}

/// Builds both programs for a system and collects the files. Returns the directory.
fn build_for(
    tree: &Tree,
    system: &System,
    viewer: &Path,
    console: &mut Console,
) -> Result<PathBuf, Problem> {
    let name = format!("antiphon-{}-{}", env!("CARGO_PKG_VERSION"), system.name);
    let place = tree.target.join("release-package").join(&name);
    if place.exists() {
        fs::remove_dir_all(&place).map_err(Problem::file(&place))?;
    }
    fs::create_dir_all(&place).map_err(Problem::file(&place))?;
    console.begin("release", &name);
    for (program, package) in PROGRAMS {
        let built = compile(tree, system, program, package, viewer, console)?;
        elf::check_static(&built)?;
        wasm::check_hidden(&built, &wasm::hidden(tree)?)?;
        copy(&built, &place.join(program))?;
    }
    console.finish();
    for file in FILES {
        copy(&tree.root.join(file), &place.join(file))?;
    }
    let sums = place.join(SUMS);
    fs::write(&sums, sums_of(&place)?).map_err(Problem::file(&sums))?;
    Ok(place)
}

fn compile(
    tree: &Tree,
    system: &System,
    program: &'static str,
    package: &str,
    viewer: &Path,
    console: &mut Console,
) -> Result<PathBuf, Problem> {
    // A separate target directory, because the flags would invalidate other builds.
    let place = tree.target.join("release-package/cargo");
    let mut command = tree.cargo("build");
    command.args(["--profile", PROFILE, "--package", package, "--bin", program]);
    command.args(["--target", system.triple]);
    command.arg("--target-dir").arg(&place);
    let mut flags: Vec<String> = system.flags.iter().map(|&flag| flag.to_owned()).collect();
    flags.extend(wasm::remap(&wasm::hidden(tree)?));
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    command.env_remove("RUSTFLAGS");
    command.env(VIEWER_VARIABLE, viewer);
    wasm::finish(tree, program, &mut command, console)?;
    Ok(place.join(system.triple).join(PROFILE).join(program))
}

fn copy(from: &Path, to: &Path) -> Result<(), Problem> {
    fs::copy(from, to).map_err(Problem::file(from))?;
    Ok(())
}

/// The names of the files of a directory, except the list of digests, in order.
fn files(place: &Path) -> Result<Vec<String>, Problem> {
    let entries = fs::read_dir(place).map_err(Problem::file(place))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: io::Result<Vec<String>> = names.collect();
    let mut names = names.map_err(Problem::file(place))?;
    names.retain(|name| name != SUMS);
    names.sort();
    Ok(names)
}

/// The lines of the list of digests.
fn sums_of(place: &Path) -> Result<String, Problem> {
    let mut sums = String::new();
    for name in files(place)? {
        let path = place.join(&name);
        let bytes = fs::read(&path).map_err(Problem::file(&path))?;
        let digest = Sha256::digest(&bytes);
        digest
            .iter()
            .for_each(|byte| sums += &format!("{byte:02x}"));
        sums += &format!("  {name}\n");
    }
    Ok(sums)
}

/// A line with size, name and digest for each file.
fn list(place: &Path) -> Result<String, Problem> {
    let mut lines = String::new();
    for line in sums_of(place)?.lines() {
        let Some((digest, name)) = line.split_once("  ") else {
            continue;
        };
        let path = place.join(name);
        let len = fs::metadata(&path).map_err(Problem::file(&path))?.len();
        lines += &format!("{len:>9}  {name:<15} sha256 {digest}\n");
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_listed_as_sha256sum_reads_them() {
        let place = std::env::temp_dir().join(format!("antiphon-sums-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("b"), "abc").unwrap();
        fs::write(place.join("a"), "").unwrap();
        fs::write(place.join(SUMS), "an old list").unwrap();
        let sums = sums_of(&place);
        fs::remove_dir_all(&place).unwrap();
        let expected = "\
            e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
            ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n";
        assert_eq!(sums.unwrap(), expected);
    }
}
