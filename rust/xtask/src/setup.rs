//! Installs what the tests need and is missing, by the means that the machine has. Reports what
//! could not be installed, with the reason.

use std::path::Path;
use std::process::Command;

use antiphon_build_support::console::Console;
use antiphon_build_support::process;

use crate::problem::Problem;
use crate::report::Report;
use crate::tree::Tree;
use crate::{lean, vm, wasm};

/// A tool that the tests need.
struct Need {
    what: &'static str,
    /// A program with arguments that exits with success if the tool is installed.
    probe: (&'static str, &'static [&'static str]),
    source: Source,
}

/// How a tool is installed.
enum Source {
    /// A component of the Rust toolchain, installed by rustup.
    Component(&'static str),
    /// A Debian package.
    Debian(&'static str),
}

const NEEDS: [Need; 5] = [
    Need {
        what: "rustfmt",
        probe: ("cargo", &["fmt", "--version"]),
        source: Source::Component("rustfmt"),
    },
    Need {
        what: "clippy",
        probe: ("cargo", &["clippy", "--version"]),
        source: Source::Component("clippy"),
    },
    Need {
        what: "static busybox",
        // Running busybox is not enough: a dynamically linked one would answer too.
        probe: ("dpkg-query", &["--status", "busybox-static"]),
        source: Source::Debian("busybox-static"),
    },
    Need {
        what: "cpio",
        probe: ("cpio", &["--version"]),
        source: Source::Debian("cpio"),
    },
    Need {
        what: "Chromium",
        probe: ("chromium", &["--version"]),
        source: Source::Debian("chromium"),
    },
];

/// Tools that are useful but not needed by any lane of `cargo xtask test`.
const EXTRAS: [(&str, &str, &[&str]); 4] = [
    ("just", "shortcuts for the commands", &["--version"]),
    (
        "cargo-deny",
        "checks licences and advisories",
        &["--version"],
    ),
    (
        "cargo-fuzz",
        "runs the fuzz targets, with a nightly toolchain",
        &["--version"],
    ),
    (
        "rustup",
        "needed only to add missing components",
        &["--version"],
    ),
];

/// The set-up as a lane.
pub(crate) fn lane(tree: &Tree, console: &mut Console) -> Report {
    console.begin("setup", "installing what the tests need");
    let outcome = everything(tree, console);
    console.finish();
    Report::of_check("setup", console.elapsed(), outcome)
}

fn everything(tree: &Tree, console: &mut Console) -> Result<(), Problem> {
    let mut missing = Vec::new();
    let mut packages = Vec::new();
    for need in &NEEDS {
        let (program, arguments) = need.probe;
        if process::works(program, arguments) {
            console.line(&format!("  found      {}", need.what));
            continue;
        }
        match need.source {
            Source::Component(name) => note(need.what, component(name), &mut missing, console),
            Source::Debian(name) => packages.push((need.what, name)),
        }
    }
    if !packages.is_empty() {
        let names: Vec<&str> = packages.iter().map(|(_, name)| *name).collect();
        let what: Vec<&str> = packages.iter().map(|(what, _)| *what).collect();
        note(&what.join(", "), install(&names), &mut missing, console);
    }
    match vm::qemu::fetch(tree, console) {
        Ok((version, true)) => console.line(&format!("  found      {version}")),
        Ok((version, false)) => console.line(&format!("  installed  {version}")),
        Err(problem) => note("QEMU for x86-64", Err(problem), &mut missing, console),
    }
    match vm::kernel::fetch(tree, console) {
        Ok(kernel) if kernel.cached => console.line(&format!(
            "  found      guest kernel {}",
            kernel.parts.version
        )),
        Ok(kernel) => console.line(&format!(
            "  installed  guest kernel {}",
            kernel.parts.version
        )),
        Err(problem) => note("guest kernel", Err(problem), &mut missing, console),
    }
    match wasm::set_up() {
        Ok((compiler, true)) => console.line(&format!("  found      WASM, {compiler}")),
        Ok((compiler, false)) => console.line(&format!("  installed  WASM, {compiler}")),
        Err(problem) => note("WASM", Err(problem), &mut missing, console),
    }
    match lean::set_up(tree, console) {
        Ok((lane, true)) => console.line(&format!("  found      Lean, {lane}")),
        Ok((lane, false)) => console.line(&format!("  installed  Lean, {lane}")),
        Err(problem) => note("Lean", Err(problem), &mut missing, console),
    }
    for (program, purpose, arguments) in EXTRAS {
        if !process::works(program, arguments) {
            console.line(&format!("  optional, not installed: {program} ({purpose})"));
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Problem::Missing { names: missing })
    }
}

/// Prints the outcome of an installation, and adds it to `missing` if it failed.
fn note(
    what: &str,
    outcome: Result<(), Problem>,
    missing: &mut Vec<String>,
    console: &mut Console,
) {
    match outcome {
        Ok(()) => console.line(&format!("  installed  {what}")),
        Err(problem) => {
            console.line(&format!("  failed     {what}: {problem}"));
            missing.push(what.to_owned());
        }
    }
}

fn component(name: &str) -> Result<(), Problem> {
    process::output(Command::new("rustup").args(["component", "add", name]))?;
    Ok(())
}

pub(crate) fn install(packages: &[&str]) -> Result<(), Problem> {
    with_lists(|| {
        let mut command = as_root("apt-get");
        // An installed package is never removed for it, least of all the machine's compiler.
        command.args(["install", "--yes", "--no-install-recommends", "--no-remove"]);
        command
            .args(["-o", "DPkg::Lock::Timeout=300"])
            .args(packages);
        process::output(&mut command)?;
        Ok(())
    })
}

/// Calls `fetch`, and once more after `apt-get update` if it fails: the package lists may be absent
/// or older than the mirror.
pub(crate) fn with_lists<T>(fetch: impl Fn() -> Result<T, Problem>) -> Result<T, Problem> {
    fetch().or_else(|_| {
        process::output(as_root("apt-get").arg("update"))?;
        fetch()
    })
}

/// A command that runs as root: by sudo, if we are not root and sudo exists.
fn as_root(program: &str) -> Command {
    let root = process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = if !root && Path::new("/usr/bin/sudo").exists() {
        let mut command = Command::new("sudo");
        command.args([
            "--non-interactive",
            "DEBIAN_FRONTEND=noninteractive",
            program,
        ]);
        command
    } else {
        Command::new(program)
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
