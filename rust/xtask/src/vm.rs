//! The virtual machine that tests talk to: Debian's cloud kernel under QEMU without hardware help,
//! an initramfs of busybox and the static agent, and one virtio-serial port, which is a Unix socket
//! here.
//!
//! Everything stands in `target/vm`: `kernel/` and, if the system has none, `qemu/` (fetched once), `cargo/` (the agent's own build),
//! `initrd`, and `boot`, the script that starts it all on a socket and a console file of the
//! caller's choice. The test is `rust/cli/tests/vm.rs`; it finds the directory by `ANTIPHON_VM`.

mod agent;
mod debian;
mod initrd;
pub(crate) mod kernel;
pub(crate) mod qemu;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::lanes::{self, Job};
use crate::problem::Problem;
use crate::progress::Progress;
use crate::report::Report;
use crate::run;
use crate::tree::Tree;

/// The test, which no other lane runs.
pub(crate) const TEST: &str = "vm";

/// Starts the machine. The arguments are the socket of the port and where the console goes.
const BOOT: &str = include_str!("vm/boot.sh");

/// The virtual machine's own test as a lane: what it needs is built, and it is told where that is.
pub(crate) fn lane(tree: &Tree) -> Report {
    let mut progress = Progress::start("vm", "building the guest: agent, initramfs");
    let built = build(tree, &mut progress);
    progress.finish();
    let place = match built {
        Ok(place) => place,
        Err(problem) => return Report::of_check("vm", progress.elapsed(), Err(problem)),
    };
    let mut command = lanes::cargo_test(tree, [TEST]);
    command.args(["--features", "antiphon/vm"]);
    // One machine at a time: software emulation takes a core for itself.
    command.args(["--", "--test-threads=1", "--nocapture"]);
    command.env("ANTIPHON_VM", place);
    let about = "tests against a real virtual machine";
    Job::new("vm", about).test(tree, &mut command).report()
}

/// Boots it for a person.
pub(crate) fn boot(tree: &Tree) -> Result<ExitCode, Problem> {
    let mut progress = Progress::start("vm", "building the guest: agent, initramfs");
    let place = build(tree, &mut progress)?;
    progress.finish();
    let port = place.join("port.sock");
    println!("port: serial:{}; ends with Ctrl-C", port.display());
    run::attached(Command::new(place.join("boot")).arg(port).arg("stdio"))
}

/// Builds all of it and gives the directory. Doing it again is cheap.
fn build(tree: &Tree, progress: &mut Progress) -> Result<PathBuf, Problem> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    if (os, arch) != ("linux", "x86_64") {
        return Err(Problem::Host { os, arch });
    }
    let place = tree.target.join("vm");
    qemu::fetch(tree)?;
    let kernel = kernel::fetch(tree)?;
    let agent = agent::build(tree, progress)?;
    initrd::build(&place.join("initrd"), &kernel, &agent)?;
    let link = place.join("vmlinuz");
    fs::copy(&kernel.image, &link).map_err(Problem::file(&link))?;
    let script = place.join("boot");
    fs::write(&script, BOOT).map_err(Problem::file(&script))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
        .map_err(Problem::file(&script))?;
    Ok(place)
}
