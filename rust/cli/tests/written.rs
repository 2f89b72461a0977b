//! Files that the user keeps are written in one piece: a failure leaves the old one.

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::process::Command;
use std::thread;

use common::{Place, end, under};

/// No file can be written, as on a full disk.
const FULL: &str = "ulimit -f 0";

const WAYS: [(&str, &[&str]); 3] = [
    ("image", &["compile", "two_buyer.anti", "--output"]),
    ("safe", &["compile", "two_buyer.anti", "--certificate"]),
    ("page", &["view", "a.rec", "--package", "package", "--out"]),
];

/// A place with a recording and the package of the page.
fn place() -> Place {
    let place = Place::new();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    place.good(&[&run[..], &["--record", "a.rec"]].concat());
    fs::create_dir(place.path("package")).expect("it is writable");
    place.write("package/antiphon.js", "export {}");
    place.write("package/antiphon_bg.wasm", b"\0asm");
    place
}

#[test]
fn a_failure_leaves_the_old_file() {
    let place = place();
    for (name, args) in WAYS {
        place.write(name, "old");
        let before = place.names();
        let mut command = under(&place, FULL, &[args, &[name]].concat());
        let told = end(command.spawn().expect("there is a shell"));
        assert_eq!(told.code, Some(125), "{name}: {told:?}");
        let said = format!("cannot write `{name}`: File too large");
        assert!(told.stderr.contains(&said), "{told:?}");
        assert_eq!(place.read(name), b"old", "{name}");
        assert_eq!(place.names(), before, "{name}");
    }
    let source = "global protocol P(role A, role B) {  hi() from A to B; }";
    place.write("p.anti", source);
    let mut command = under(&place, FULL, &["fmt", "p.anti"]);
    let told = end(command.spawn().expect("there is a shell"));
    assert_eq!(told.code, Some(125), "{told:?}");
    assert_eq!(place.read("p.anti"), source.as_bytes());
}

#[test]
fn a_file_is_replaced_and_keeps_its_mode_and_its_links() {
    let place = place();
    for (name, args) in WAYS {
        place.write("old", "old");
        let mode = fs::Permissions::from_mode(0o604);
        fs::set_permissions(place.path("old"), mode).expect("it is ours");
        symlink("old", place.path(name)).expect("it can be linked");
        let mut open = fs::File::open(place.path("old")).expect("it is there");
        place.good(&[args, &[name]].concat());
        assert!(place.path(name).is_symlink(), "{name}");
        let about = fs::metadata(place.path("old")).expect("it is there");
        assert_eq!(about.permissions().mode() & 0o777, 0o604, "{name}");
        assert!(about.len() > 3, "{name}");
        let mut kept = String::new();
        open.read_to_string(&mut kept).expect("it is text");
        assert_eq!(kept, "old", "{name}: the old file was changed");
    }
}

#[test]
fn a_new_file_has_the_mode_that_the_umask_allows() {
    let place = place();
    for (name, args) in WAYS {
        let mut command = under(&place, "umask 027", &[args, &[name]].concat());
        let told = end(command.spawn().expect("there is a shell"));
        assert_eq!(told.code, Some(0), "{told:?}");
        let about = fs::metadata(place.path(name)).expect("it is there");
        assert_eq!(about.permissions().mode() & 0o777, 0o640, "{name}");
    }
}

/// Tested with a pipe: a failure with a device, run as root, would replace the device.
#[test]
fn a_pipe_is_written_as_it_is() {
    let place = place();
    let pipe = place.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo starts").success());
    for (name, args) in WAYS {
        let from = pipe.clone();
        let reader = thread::spawn(move || fs::read(from).expect("it can be read"));
        place.good(&[args, &["pipe"]].concat());
        place.good(&[args, &[name]].concat());
        let read = reader.join().expect("no panic in it");
        assert!(read == place.read(name), "{name}");
        let about = fs::metadata(&pipe).expect("it is there");
        assert!(about.file_type().is_fifo(), "{name}");
    }
}
