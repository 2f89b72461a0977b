//! The virtual machine of the tests: Debian's cloud kernel under QEMU with software emulation, an
//! initramfs of busybox and the static agent, and one virtio-serial port, which is a Unix socket on
//! the host.
//!
//! All files are in `target/vm`: `vmlinuz`, `initrd`, `qemu/` if the system has no QEMU, `cargo/`
//! (the build of the agent), and `boot`, the script that starts the machine with a given socket and
//! console file. Kernel, QEMU and agent are taken from the cache if they are there. The test is
//! `rust/cli/tests/vm.rs`, which finds the directory by `ANTIPHON_VM`.

mod agent;
mod debian;
mod initrd;
pub(crate) mod kernel;
pub(crate) mod qemu;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use antiphon_build_support::console::Console;
use antiphon_build_support::process;

use crate::lanes::{self, Job};
use crate::problem::Problem;
use crate::report::Report;
use crate::tree::Tree;

/// The test target; only this lane runs it.
pub(crate) const TEST: &str = "vm";

const ABOUT: &str = "building the guest: agent, initramfs";

/// The script that starts the machine. Its arguments are the socket of the port and the console.
const BOOT: &str = include_str!("vm/boot.sh");

/// Builds the guest (kernel, agent, initramfs, and the script that boots them) and its test.
pub(crate) fn guest(tree: &Tree, console: &mut Console) -> Report {
    console.begin("guest", ABOUT);
    let built = build(tree, console);
    console.finish();
    let built = Report::of_check("guest", console.elapsed(), built.map(drop));
    if built.failed() {
        return built;
    }
    // The lane `vm` runs beside lanes that compile, so its test is compiled here.
    let about = "building the virtual machine's test";
    let mut command = test(tree);
    let compiled = Job::new("guest", about).check(tree, console, command.arg("--no-run"));
    compiled.after(&built)
}

fn test(tree: &Tree) -> Command {
    let mut command = lanes::cargo_test(tree, [TEST]);
    command.args(["--features", "antiphon/vm"]);
    command
}

/// Runs the virtual machine's test. The guest must be built.
pub(crate) fn lane(tree: &Tree, console: &mut Console) -> Report {
    let mut command = test(tree);
    // One machine at a time: software emulation uses a whole core.
    command.args(["--", "--test-threads=1", "--nocapture"]);
    command.env("ANTIPHON_VM", place(tree));
    let about = "tests against a real virtual machine";
    Job::new("vm", about)
        .test(tree, console, &mut command)
        .report()
}

/// The directory of the machine.
fn place(tree: &Tree) -> PathBuf {
    tree.target.join("vm")
}

/// Boots the machine for interactive use.
pub(crate) fn boot(tree: &Tree) -> Result<ExitCode, Problem> {
    let mut console = Console::stdout();
    console.begin("vm", ABOUT);
    let place = build(tree, &mut console)?;
    console.finish();
    let port = place.join("port.sock");
    println!("port: serial:{}; stop with Ctrl-C", port.display());
    let mut boot = Command::new(place.join("boot"));
    Ok(process::attached(boot.arg(port).arg("stdio"))?)
}

/// Builds all parts and returns their directory. A second call is cheap.
fn build(tree: &Tree, console: &mut Console) -> Result<PathBuf, Problem> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    if (os, arch) != ("linux", "x86_64") {
        return Err(Problem::Host { os, arch });
    }
    let place = place(tree);
    qemu::fetch(tree, console)?;
    let kernel = kernel::fetch(tree, console)?;
    let agent = agent::build(tree, console)?;
    let program = agent.path().join(agent::PROGRAM);
    fs::create_dir_all(&place).map_err(Problem::file(&place))?;
    initrd::build(&place.join("initrd"), &kernel.parts, &program)?;
    let link = place.join("vmlinuz");
    fs::copy(&kernel.parts.image, &link).map_err(Problem::file(&link))?;
    let script = place.join("boot");
    fs::write(&script, BOOT).map_err(Problem::file(&script))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
        .map_err(Problem::file(&script))?;
    Ok(place)
}
