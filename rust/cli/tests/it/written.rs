//! Tests files that the user keeps: they are written atomically, so that a failure leaves the old
//! file.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::process::Command;
use std::thread;

use crate::common::{TestDir, end, under};

/// Makes every write fail, as on a full disk.
const FULL: &str = "ulimit -f 0";

const WAYS: [(&str, &[&str]); 3] = [
    ("image", &["compile", "two_buyer.anti", "--output"]),
    ("safe", &["compile", "two_buyer.anti", "--certificate"]),
    ("page", &["view", "a.rec", "--package", "package", "--out"]),
];

/// A directory with a recording and the package of the page.
fn recorded() -> TestDir {
    let dir = TestDir::new();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    dir.run_ok(&[&run[..], &["--record", "a.rec"]].concat());
    fs::create_dir(dir.path("package")).expect("it is writable");
    dir.write("package/antiphon.js", "export {}");
    dir.write("package/antiphon_bg.wasm", b"\0asm");
    dir
}

#[test]
fn a_failure_keeps_the_old_file() {
    let dir = recorded();
    for (name, args) in WAYS {
        dir.write(name, "old");
        let before = dir.names();
        let mut command = under(&dir, FULL, &[args, &[name]].concat());
        let output = end(command.spawn().expect("there is a shell"));
        assert_eq!(output.code, Some(125), "{name}: {output:?}");
        let message = format!("cannot write `{name}`: File too large");
        assert!(output.stderr.contains(&message), "{output:?}");
        assert_eq!(dir.read(name), b"old", "{name}");
        assert_eq!(dir.names(), before, "{name}");
    }
    let source = "global protocol P(role A, role B) {  hi() from A to B; }";
    dir.write("p.anti", source);
    let mut command = under(&dir, FULL, &["fmt", "p.anti"]);
    let output = end(command.spawn().expect("there is a shell"));
    assert_eq!(output.code, Some(125), "{output:?}");
    assert_eq!(dir.read("p.anti"), source.as_bytes());
}

/// Files are written under a temporary name, which the user does not know.
#[test]
fn an_error_names_the_file_that_the_user_gave() {
    let dir = recorded();
    for (name, args) in WAYS {
        let output = dir.run(&[args, &["none/x"]].concat());
        assert_eq!(output.code, Some(125), "{name}: {output:?}");
        let reason = "No such file or directory (os error 2)";
        let message = format!("antiphon: cannot write `none/x`: {reason}\n");
        assert_eq!(output.stderr, message, "{name}");
    }
}

#[test]
fn a_file_is_replaced_and_keeps_its_mode_and_its_links() {
    let dir = recorded();
    for (name, args) in WAYS {
        dir.write("old", "old");
        let mode = fs::Permissions::from_mode(0o604);
        fs::set_permissions(dir.path("old"), mode).expect("it is ours");
        symlink("old", dir.path(name)).expect("it can be linked");
        let mut open = fs::File::open(dir.path("old")).expect("it is there");
        dir.run_ok(&[args, &[name]].concat());
        assert!(dir.path(name).is_symlink(), "{name}");
        let about = fs::metadata(dir.path("old")).expect("it is there");
        assert_eq!(about.permissions().mode() & 0o777, 0o604, "{name}");
        assert!(about.len() > 3, "{name}");
        let mut kept = String::new();
        open.read_to_string(&mut kept).expect("it is text");
        assert_eq!(kept, "old", "{name}: the old file was changed");
    }
}

#[test]
fn a_new_file_has_the_mode_that_the_umask_allows() {
    let dir = recorded();
    for (name, args) in WAYS {
        let mut command = under(&dir, "umask 027", &[args, &[name]].concat());
        let output = end(command.spawn().expect("there is a shell"));
        assert_eq!(output.code, Some(0), "{output:?}");
        let about = fs::metadata(dir.path(name)).expect("it is there");
        assert_eq!(about.permissions().mode() & 0o777, 0o640, "{name}");
    }
}

/// Tested with a pipe, because a failed test with a device, run as root, would replace the device.
#[test]
fn a_pipe_is_written_directly() {
    let dir = recorded();
    let pipe = dir.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo starts").success());
    for (name, args) in WAYS {
        let from = pipe.clone();
        let reader = thread::spawn(move || fs::read(from).expect("it can be read"));
        dir.run_ok(&[args, &["pipe"]].concat());
        dir.run_ok(&[args, &[name]].concat());
        let read = reader.join().expect("no panic in it");
        assert!(read == dir.read(name), "{name}");
        let about = fs::metadata(&pipe).expect("it is there");
        assert!(about.file_type().is_fifo(), "{name}");
    }
}
