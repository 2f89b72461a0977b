//! The guest's file system: busybox, the agent, the kernel modules and the init script.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use antiphon_build_support::{self as support, process};

use crate::problem::Problem;
use crate::vm::kernel::Parts;

const INIT: &str = include_str!("init.sh");

/// Writes the archive uncompressed, because decompressing it would take longer than loading it.
pub(crate) fn build(archive: &Path, kernel: &Parts, agent: &Path) -> Result<(), Problem> {
    let stage = archive.with_extension("d");
    if stage.exists() {
        fs::remove_dir_all(&stage).map_err(Problem::file(&stage))?;
    }
    let mut files = vec![
        ("init".to_owned(), INIT.as_bytes().to_vec(), 0o755),
        ("bin/busybox".to_owned(), read(&busybox()?)?, 0o755),
        ("bin/antiphon-agent".to_owned(), read(agent)?, 0o755),
    ];
    let mut order = String::new();
    for module in &kernel.modules {
        let name = module
            .with_extension("")
            .file_stem()
            .unwrap_or_default()
            .to_owned();
        let name = format!("{}.ko", name.to_string_lossy().trim_end_matches(".ko"));
        order = order + &name + "\n";
        files.push((format!("modules/{name}"), module_bytes(module)?, 0o644));
    }
    files.push(("modules/order".to_owned(), order.into_bytes(), 0o644));

    let mut list = String::from(".\nbin\nmodules\n");
    for (name, bytes, mode) in &files {
        let path = stage.join(name);
        let directory = path.parent().unwrap_or(&stage);
        fs::create_dir_all(directory).map_err(Problem::file(directory))?;
        fs::write(&path, bytes).map_err(Problem::file(&path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode))
            .map_err(Problem::file(&path))?;
        list = list + name + "\n";
    }
    pack(&stage, &list, archive)
}

/// Runs `cpio` with the only format that the kernel reads, and root as the owner of all files.
fn pack(stage: &Path, list: &str, archive: &Path) -> Result<(), Problem> {
    let file = fs::File::create(archive).map_err(Problem::file(archive))?;
    let start = |source| support::Problem::Start {
        program: "cpio".to_owned(),
        source,
    };
    let mut child = Command::new("cpio")
        .args([
            "--create",
            "--format=newc",
            "--owner=0:0",
            "--reproducible",
            "--quiet",
        ])
        .current_dir(stage)
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .map_err(start)?;
    // `take` closes the pipe after writing, so that cpio sees the end of the list.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(list.as_bytes()).map_err(start)?;
    }
    let status = child.wait().map_err(start)?;
    if status.success() {
        return Ok(());
    }
    Err(support::Problem::Failed {
        command: "cpio --create".to_owned(),
        status,
        output: String::new(),
    }
    .into())
}

/// The program of Debian's static package; another busybox may be dynamically linked.
fn busybox() -> Result<PathBuf, Problem> {
    let list = process::output(Command::new("dpkg-query").args(["--listfiles", "busybox-static"]))?;
    let program = list
        .lines()
        .map(PathBuf::from)
        .find(|path| path.ends_with("bin/busybox"));
    Ok(program.ok_or(support::Problem::Output {
        command: "dpkg-query --listfiles",
        expected: "bin/busybox",
    })?)
}

/// Reads a module and decompresses it if needed: busybox cannot load compressed modules.
fn module_bytes(path: &Path) -> Result<Vec<u8>, Problem> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return read(path);
    }
    let mut command = Command::new("xz");
    let output = command
        .args(["--decompress", "--stdout"])
        .arg(path)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| support::Problem::Start {
            program: "xz".to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let command = format!("xz --decompress {}", path.display());
    Err(support::Problem::Failed {
        command,
        status: output.status,
        output: String::new(),
    }
    .into())
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    fs::read(path).map_err(Problem::file(path))
}
