//! Gets what the tests need. What is there is kept; what is missing is fetched by the means that
//! this machine has; what cannot be had is said, with the reason.

use std::path::Path;
use std::process::Command;

use crate::problem::Problem;
use crate::progress::Progress;
use crate::report::Report;
use crate::tree::Tree;
use crate::{lean, run, vm, wasm};

/// Something the tests need.
struct Need {
    what: &'static str,
    /// Program and arguments that end well when it is there.
    probe: (&'static str, &'static [&'static str]),
    source: Source,
}

/// Where it comes from.
enum Source {
    /// A component of the Rust toolchain, by rustup.
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
        // A dynamic one answers too, but only the static package owns this path on Debian.
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

/// Useful, but no test of `cargo xtask test` needs it.
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
    let mut progress = Progress::start("setup", "getting what the tests need");
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
            println!("  have   {}", need.what);
            continue;
        }
        match need.source {
            Source::Component(name) => tell(need.what, component(name), &mut missing),
            Source::Debian(name) => packages.push((need.what, name)),
        }
    }
    if !packages.is_empty() {
        let names: Vec<&str> = packages.iter().map(|(_, name)| *name).collect();
        let what: Vec<&str> = packages.iter().map(|(what, _)| *what).collect();
        tell(&what.join(", "), install(&names), &mut missing);
    }
    match vm::qemu::fetch(tree) {
        Ok((version, true)) => println!("  have   {version}"),
        Ok((version, false)) => println!("  got    {version}"),
        Err(problem) => tell("QEMU for x86-64", Err(problem), &mut missing),
    }
    match vm::kernel::fetch(tree) {
        Ok(kernel) if kernel.cached => println!("  have   guest kernel {}", kernel.version),
        Ok(kernel) => println!("  got    guest kernel {}", kernel.version),
        Err(problem) => tell("guest kernel", Err(problem), &mut missing),
    }
    match wasm::set_up() {
        Ok((maker, true)) => println!("  have   WASM, {maker}"),
        Ok((maker, false)) => println!("  got    WASM, {maker}"),
        Err(problem) => tell("WASM", Err(problem), &mut missing),
    }
    match lean::set_up(tree, progress) {
        Ok((lane, true)) => println!("  have   Lean, {lane}"),
        Ok((lane, false)) => println!("  got    Lean, {lane}"),
        Err(problem) => tell("Lean", Err(problem), &mut missing),
    }
    for (program, use_of_it, arguments) in EXTRAS {
        if !run::works(program, arguments) {
            println!("  not here, and no test needs it: {program} ({use_of_it})");
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Problem::Missing { facts: missing })
    }
}

fn tell(what: &str, outcome: Result<(), Problem>, missing: &mut Vec<String>) {
    match outcome {
        Ok(()) => println!("  got    {what}"),
        Err(problem) => {
            println!("  failed {what}: {problem}");
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
        // Nothing that is there goes for it: a compiler of the machine's own least of all.
        command.args(["install", "--yes", "--no-install-recommends", "--no-remove"]);
        command
            .args(["-o", "DPkg::Lock::Timeout=300"])
            .args(packages);
        run::output(&mut command).map(drop)
    })
}

/// Package lists may be absent or older than the mirror: they are brought up to date when `get` fails without that, and it gets a
/// second chance.
pub(crate) fn with_lists<T>(get: impl Fn() -> Result<T, Problem>) -> Result<T, Problem> {
    get().or_else(|_| {
        run::output(as_root("apt-get").arg("update"))?;
        get()
    })
}

/// Through sudo when we are not root and there is one that does not ask.
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
