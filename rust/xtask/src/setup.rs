//! Installs what the tests need and is missing, by the means that the machine has. Reports what
//! could not be installed, with the reason.

use std::path::Path;
use std::process::Command;

use crate::problem::Problem;
use crate::progress::Progress;
use crate::report::Report;
use crate::tree::Tree;
use crate::{lean, run, vm, wasm};

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
pub(crate) fn lane(tree: &Tree) -> Report {
    let mut progress = Progress::start("setup", "installing what the tests need");
    let outcome = everything(tree, &mut progress);
    progress.finish();
    Report::of_check("setup", progress.elapsed(), outcome)
}

fn everything(tree: &Tree, progress: &mut Progress) -> Result<(), Problem> {
    let mut missing = Vec::new();
    let mut packages = Vec::new();
    for need in &NEEDS {
        let (program, arguments) = need.probe;
        if run::works(program, arguments) {
            println!("  found      {}", need.what);
            continue;
        }
        match need.source {
            Source::Component(name) => note(need.what, component(name), &mut missing),
            Source::Debian(name) => packages.push((need.what, name)),
        }
    }
    if !packages.is_empty() {
        let names: Vec<&str> = packages.iter().map(|(_, name)| *name).collect();
        let what: Vec<&str> = packages.iter().map(|(what, _)| *what).collect();
        note(&what.join(", "), install(&names), &mut missing);
    }
    match vm::qemu::fetch(tree) {
        Ok((version, true)) => println!("  found      {version}"),
        Ok((version, false)) => println!("  installed  {version}"),
        Err(problem) => note("QEMU for x86-64", Err(problem), &mut missing),
    }
    match vm::kernel::fetch(tree) {
        Ok(kernel) if kernel.cached => println!("  found      guest kernel {}", kernel.version),
        Ok(kernel) => println!("  installed  guest kernel {}", kernel.version),
        Err(problem) => note("guest kernel", Err(problem), &mut missing),
    }
    match wasm::set_up() {
        Ok((compiler, true)) => println!("  found      WASM, {compiler}"),
        Ok((compiler, false)) => println!("  installed  WASM, {compiler}"),
        Err(problem) => note("WASM", Err(problem), &mut missing),
    }
    match lean::set_up(tree, progress) {
        Ok((lane, true)) => println!("  found      Lean, {lane}"),
        Ok((lane, false)) => println!("  installed  Lean, {lane}"),
        Err(problem) => note("Lean", Err(problem), &mut missing),
    }
    for (program, purpose, arguments) in EXTRAS {
        if !run::works(program, arguments) {
            println!("  optional, not installed: {program} ({purpose})");
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Problem::Missing { names: missing })
    }
}

/// Prints the outcome of an installation, and adds it to `missing` if it failed.
fn note(what: &str, outcome: Result<(), Problem>, missing: &mut Vec<String>) {
    match outcome {
        Ok(()) => println!("  installed  {what}"),
        Err(problem) => {
            println!("  failed     {what}: {problem}");
            missing.push(what.to_owned());
        }
    }
}

fn component(name: &str) -> Result<(), Problem> {
    run::output(Command::new("rustup").args(["component", "add", name])).map(drop)
}

pub(crate) fn install(packages: &[&str]) -> Result<(), Problem> {
    with_lists(|| {
        let mut command = as_root("apt-get");
        // An installed package is never removed for it, least of all the machine's compiler.
        command.args(["install", "--yes", "--no-install-recommends", "--no-remove"]);
        command
            .args(["-o", "DPkg::Lock::Timeout=300"])
            .args(packages);
        run::output(&mut command).map(drop)
    })
}

/// Calls `fetch`, and once more after `apt-get update` if it fails: the package lists may be absent
/// or older than the mirror.
pub(crate) fn with_lists<T>(fetch: impl Fn() -> Result<T, Problem>) -> Result<T, Problem> {
    fetch().or_else(|_| {
        run::output(as_root("apt-get").arg("update"))?;
        fetch()
    })
}

/// A command that runs as root: by sudo, if we are not root and sudo exists.
fn as_root(program: &str) -> Command {
    let root = run::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
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
