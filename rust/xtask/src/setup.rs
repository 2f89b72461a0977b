//! Installs the missing tools that the tests need, with rustup, apt or npm. Reports the tools that
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

/// Installs the tools of the Rust toolchain and of the system.
pub(crate) fn lane(console: &mut Console) -> Report {
    run(
        "setup",
        "installing the tools that the tests need",
        console,
        tools,
    )
}

/// Downloads Lean, and the parts of the virtual machine.
pub(crate) fn downloads(tree: &Tree, console: &mut Console) -> Report {
    let about = "downloading Lean and the guest";
    run("downloads", about, console, |missing, console| {
        fetch(tree, missing, console);
    })
}

fn run(
    name: &'static str,
    about: &str,
    console: &mut Console,
    install: impl FnOnce(&mut Vec<String>, &mut Console),
) -> Report {
    console.begin(name, about);
    let mut missing = Vec::new();
    install(&mut missing, console);
    console.finish();
    let outcome = if missing.is_empty() {
        Ok(())
    } else {
        Err(Problem::Missing { names: missing })
    };
    Report::of_check(name, console.elapsed(), outcome)
}

fn tools(missing: &mut Vec<String>, console: &mut Console) {
    let mut packages = Vec::new();
    for need in &NEEDS {
        let (program, arguments) = need.probe;
        if process::works(program, arguments) {
            console.line(&format!("  found      {}", need.what));
            continue;
        }
        match need.source {
            Source::Component(name) => note(need.what, component(name), missing, console),
            Source::Debian(name) => packages.push((need.what, name)),
        }
    }
    if !packages.is_empty() {
        let names: Vec<&str> = packages.iter().map(|(_, name)| *name).collect();
        let what: Vec<&str> = packages.iter().map(|(what, _)| *what).collect();
        note(&what.join(", "), install(&names), missing, console);
    }
    let wasm = wasm::set_up().map(|(compiler, found)| (format!("WASM, {compiler}"), found));
    note_found("WASM", wasm, missing, console);
    for (program, purpose, arguments) in EXTRAS {
        if !process::works(program, arguments) {
            console.line(&format!("  optional, not installed: {program} ({purpose})"));
        }
    }
}

fn fetch(tree: &Tree, missing: &mut Vec<String>, console: &mut Console) {
    let qemu = vm::qemu::fetch(tree, console);
    note_found("QEMU for x86-64", qemu, missing, console);
    let kernel = vm::kernel::fetch(tree, console);
    let kernel = kernel.map(|kernel| {
        let version = kernel.parts.version;
        (format!("guest kernel {version}"), kernel.cached)
    });
    note_found("guest kernel", kernel, missing, console);
    let lean = lean::set_up(tree, console);
    let lean = lean.map(|(which, found)| (format!("Lean, {which}"), found));
    note_found("Lean", lean, missing, console);
}

/// As [`note`], for a part that has a description and may have been present before.
fn note_found(
    what: &str,
    outcome: Result<(String, bool), Problem>,
    missing: &mut Vec<String>,
    console: &mut Console,
) {
    match outcome {
        Ok((what, true)) => console.line(&format!("  found      {what}")),
        Ok((what, false)) => note(&what, Ok(()), missing, console),
        Err(problem) => note(what, Err(problem), missing, console),
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
        // Installed packages, such as the machine's compiler, are never removed.
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

/// A command that runs as root: with sudo, if this process is not root and sudo exists.
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
