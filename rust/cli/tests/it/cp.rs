//! Tests `cp` with the agent that it starts itself, and with others.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Agent, PATIENCE, ProgramOutput, TestDir, end, signal, wait};

/// Bytes of a file that takes longer to copy than a test needs to stop the copy.
const LARGE: u64 = 64 << 20;

/// The path of a file in the test's directory, as a path in the guest.
fn guest(dir: &TestDir, name: &str) -> String {
    format!("guest:{}", dir.path(name).display())
}

/// Waits for a non-empty temporary file of a copy. No other file has that prefix.
fn part(dir: &TestDir, prefix: &str, copying: &mut Child) -> PathBuf {
    let begun = Instant::now();
    loop {
        let name = dir
            .names()
            .into_iter()
            .find(|name| name.starts_with(prefix));
        let part = name.map(|name| dir.path(&name));
        if let Some(part) = part.filter(|part| len(part) > 0) {
            return part;
        }
        if begun.elapsed() > PATIENCE {
            // The copy would never end.
            let _ = copying.kill();
            panic!("nothing is copied");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}

/// Creates a large sparse file.
fn large(dir: &TestDir, name: &str) -> fs::File {
    let file = fs::File::create(dir.path(name)).expect("it is writable");
    file.set_len(LARGE).expect("it can be sparse");
    file
}

#[test]
fn files_are_copied_in_both_directions() {
    let dir = TestDir::new();
    let bytes: Vec<u8> = (0..300_007u32).map(|i| (i % 251) as u8).collect();
    dir.write("sent", &bytes);
    fs::create_dir(dir.path("there")).expect("the directory is writable");
    let guest = |name: &str| format!("guest:{}", dir.path(name).display());

    // Into a directory, under a given name, and an empty file.
    dir.run_ok(&["cp", "--record", "cp.rec", "sent", &guest("there")]);
    assert!(dir.read("there/sent") == bytes);
    dir.run_ok(&["cp", &guest("there/sent"), "back"]);
    assert!(dir.read("back") == bytes);
    dir.write("empty", "");
    dir.run_ok(&["cp", "empty", &guest("there/")]);
    assert_eq!(dir.read("there/empty"), b"");
    dir.run_ok(&["cp", &guest("there/empty"), "back"]);
    assert_eq!(dir.read("back"), b"", "what was there is replaced");
    dir.run_ok(&["replay", "cp.rec"]);

    let document = dir.run_ok(&["cp", "--json", "sent", &guest("there/x")]);
    let document: serde_json::Value = serde_json::from_str(&document).expect("one document");
    assert_eq!(document["copied"], 300_007);
}

#[test]
fn a_failed_copy_reports_why_and_leaves_nothing() {
    let dir = TestDir::new();
    dir.write("sent", "x");
    for (source, target, code, message) in [
        ("guest:/no/such", "back", 125, "No such file"),
        ("sent", "guest:/no/such", 125, "No such file"),
        ("nowhere", "guest:there", 125, "cannot read `nowhere`"),
        ("sent", "back", 2, "expected exactly one path in the guest"),
        ("guest:/tmp", "back", 125, "directory"),
    ] {
        let output = dir.run(&["cp", source, target]);
        assert_eq!(output.code, Some(code), "{source} {target}: {output:?}");
        assert!(
            output.stderr.contains(message),
            "{source} {target}: {output:?}"
        );
        assert!(!dir.path("back").exists());
    }
}

#[test]
fn a_copy_has_the_permissions_of_its_source() {
    let dir = TestDir::new();
    dir.write("tool", "#!/bin/sh\n");
    fs::set_permissions(dir.path("tool"), fs::Permissions::from_mode(0o750)).expect("ours");
    let there = format!("guest:{}", dir.path("there").display());
    dir.run_ok(&["cp", "tool", &there]);
    dir.run_ok(&["cp", &there, "back"]);
    for name in ["there", "back"] {
        let mode = fs::metadata(dir.path(name))
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o750, "{name}");
    }
}

/// A copy never replaces a device, a pipe or a link, and never empties its own source.
#[test]
fn a_copy_does_not_replace_pipes_links_or_its_source() {
    let dir = TestDir::new();
    dir.write("sent", "precious");
    dir.write("kept", "old");
    let guest = |name: &str| format!("guest:{}", dir.path(name).display());
    symlink(dir.path("kept"), dir.path("link")).expect("it can be linked");
    fs::hard_link(dir.path("sent"), dir.path("twin")).expect("it can be linked");

    dir.run_ok(&["cp", &guest("sent"), "link"]);
    assert!(dir.path("link").is_symlink());
    assert_eq!(dir.read("kept"), b"precious");

    let _socket = std::os::unix::net::UnixListener::bind(dir.path("socket")).expect("it binds");
    let output = dir.run(&["cp", &guest("sent"), "socket"]);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output.stderr.contains("is not a regular file"),
        "{output:?}"
    );

    for itself in ["sent", "twin"] {
        let output = dir.run(&["cp", "sent", &guest(itself)]);
        assert_eq!(output.code, Some(125), "{output:?}");
        assert!(output.stderr.contains("are the same file"), "{output:?}");
        assert_eq!(dir.read("sent"), b"precious");
    }
}

#[test]
fn an_interrupted_copy_keeps_the_target_and_cleans_up() {
    let dir = TestDir::new();
    dir.write("there", "old");
    let before = dir.names();
    let target = guest(&dir, "there");
    let mut child = dir.start(&["cp", "--record", "c.rec", "/dev/zero", &target]);
    part(&dir, ".there.antiphon-", &mut child);
    signal(&child, "INT");
    let output = end(child);
    assert_eq!(output.code, Some(130), "{output:?}");
    assert_eq!(output.stderr, "antiphon: the copy was interrupted\n");
    assert_eq!(dir.read("there"), b"old");
    let mut names = dir.names();
    names.retain(|name| name != "c.rec");
    assert_eq!(names, before);
    // The copier may notice the signal before the session is cancelled, and fail the read.
    let shown = dir.run_ok(&["show", "c.rec"]);
    let ends = ["ended: cancelled", "ended: faulted"];
    assert!(ends.iter().any(|end| shown.contains(end)), "{shown}");
    dir.run_ok(&["replay", "c.rec"]);
}

#[test]
fn an_interrupted_copy_from_the_guest_keeps_the_target_and_cleans_up() {
    let dir = TestDir::new();
    dir.write("there", "old");
    let before = dir.names();
    let mut child = dir.start(&["cp", "guest:/dev/zero", "there"]);
    part(&dir, ".antiphon-", &mut child);
    signal(&child, "INT");
    let output = end(child);
    assert_eq!(output.code, Some(130), "{output:?}");
    assert_eq!(dir.read("there"), b"old");
    assert_eq!(dir.names(), before);
}

/// A pipe without data does not delay the end.
#[test]
fn a_copy_that_waits_for_its_source_can_be_interrupted() {
    let dir = TestDir::new();
    dir.write("there", "old");
    let before = dir.names();
    let mut child = dir.start(&["cp", "/dev/stdin", &guest(&dir, "there")]);
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"piece").expect("it reads");
    part(&dir, ".there.antiphon-", &mut child);
    signal(&child, "TERM");
    let output = end(child);
    assert_eq!(output.code, Some(143), "{output:?}");
    assert_eq!(dir.read("there"), b"old");
    assert_eq!(dir.names(), before);
    drop(stdin);
}

#[test]
fn an_existing_target_keeps_its_content_until_the_end() {
    let dir = TestDir::new();
    dir.write("there", "old");
    let mode = fs::Permissions::from_mode(0o666);
    fs::set_permissions(dir.path("there"), mode).expect("ours");
    let agent = Agent::start(&dir);
    large(&dir, "sent");
    let mode = fs::Permissions::from_mode(0o711);
    fs::set_permissions(dir.path("sent"), mode).expect("ours");
    let mut open = fs::File::open(dir.path("there")).expect("it is there");
    let mut child = dir.start(&agent.cp("sent", &guest(&dir, "there")));
    part(&dir, ".there.antiphon-", &mut child);
    assert_eq!(dir.read("there"), b"old");
    let output = end(child);
    assert_eq!(output.code, Some(0), "{output:?}");
    let about = fs::metadata(dir.path("there")).expect("it is there");
    assert_eq!(about.len(), LARGE);
    assert_eq!(about.permissions().mode() & 0o777, 0o711);
    let mut kept = Vec::new();
    open.read_to_end(&mut kept).expect("it can be read");
    assert_eq!(kept, b"old");
    assert!(!dir.names().iter().any(|name| name.contains(".antiphon-")));
}

/// A change of a source during its copy, and its length afterwards.
type Change = (fn(&mut fs::File), u64);

const CHANGES: [Change; 2] = [
    (|file| file.set_len(LARGE + 1).expect("ours"), LARGE + 1),
    (|file| file.set_len(1).expect("ours"), 1),
];

/// Runs a copy, stops its agent once there is a temporary file, changes the source, and lets the
/// agent continue.
fn changed_while_copied(
    dir: &TestDir,
    source: &str,
    target: &str,
    prefix: &str,
    change: fn(&mut fs::File),
) -> ProgramOutput {
    let agent = Agent::start(dir);
    let mut file = large(dir, "sent");
    let mut child = dir.start(&agent.cp(source, target));
    part(dir, prefix, &mut child);
    signal(&agent.child, "STOP");
    change(&mut file);
    signal(&agent.child, "CONT");
    end(child)
}

#[test]
fn a_source_that_changes_while_it_is_copied_is_an_error() {
    for (change, after) in CHANGES {
        let dir = TestDir::new();
        dir.write("there", "old");
        dir.write("agent.sock", "");
        fs::remove_file(dir.path("agent.sock")).expect("ours");
        let (here, there) = (guest(&dir, "sent"), guest(&dir, "there"));
        for (source, target, prefix) in [
            ("sent", there.as_str(), ".there.antiphon-"),
            (&here, "there", ".antiphon-"),
        ] {
            let output = changed_while_copied(&dir, source, target, prefix, change);
            assert_eq!(output.code, Some(125), "{output:?}");
            let message = format!("had {LARGE} bytes and has {after}");
            assert!(output.stderr.contains(&message), "{output:?}");
            assert_eq!(dir.read("there"), b"old");
            let left = dir.names().into_iter().find(|n| n.contains(".antiphon-"));
            assert_eq!(left, None);
            fs::remove_file(dir.path("agent.sock")).expect("ours");
        }
    }
}

#[test]
fn a_source_that_is_rewritten_while_it_is_copied_is_an_error() {
    let dir = TestDir::new();
    dir.write("there", "old");
    let anew: fn(&mut fs::File) = |file| {
        file.seek(SeekFrom::Start(LARGE / 2)).expect("ours");
        file.write_all(b"other").expect("ours");
    };
    let target = guest(&dir, "there");
    let output = changed_while_copied(&dir, "sent", &target, ".there.antiphon-", anew);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output.stderr.contains("`sent` changed while it was copied"),
        "{output:?}"
    );
    assert_eq!(dir.read("there"), b"old");
}

/// Files in `/proc` report a length of 0.
#[test]
fn a_file_without_a_length_is_copied_to_its_end() {
    let dir = TestDir::new();
    dir.run_ok(&["cp", "guest:/proc/version", "out"]);
    let version = fs::read("/proc/version").expect("it is there");
    assert_eq!(dir.read("out"), version);
    dir.run_ok(&["cp", "/proc/version", &guest(&dir, "in")]);
    assert_eq!(dir.read("in"), version);
}

#[test]
fn a_lost_agent_keeps_the_target() {
    let dir = TestDir::new();
    dir.write("there", "old");
    let mut agent = Agent::start(&dir);
    let mut child = dir.start(&agent.cp("/dev/zero", &guest(&dir, "there")));
    let part = part(&dir, ".there.antiphon-", &mut child);
    agent.child.kill().expect("it is ours");
    wait(&mut agent.child);
    let output = end(child);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("lost"), "{output:?}");
    let message = format!("`guest:{}` may be left behind", part.display());
    assert!(output.stderr.contains(&message), "{output:?}");
    assert_eq!(dir.read("there"), b"old");
}

/// The removal of the temporary file has a time limit.
#[test]
fn an_interrupted_copy_to_a_guest_that_hangs_ends() {
    let dir = TestDir::new();
    dir.write("there", "old");
    let agent = Agent::start(&dir);
    let mut child = dir.start(&agent.cp("/dev/zero", &guest(&dir, "there")));
    part(&dir, ".there.antiphon-", &mut child);
    signal(&agent.child, "STOP");
    thread::sleep(Duration::from_millis(100));
    signal(&child, "INT");
    let begun = Instant::now();
    let output = end(child);
    assert!(begun.elapsed() < Duration::from_secs(30), "it waits");
    assert_eq!(output.code, Some(130), "{output:?}");
    assert!(output.stderr.contains("may be left behind"), "{output:?}");
    assert_eq!(dir.read("there"), b"old");
}

#[test]
fn a_file_is_not_copied_onto_itself_through_any_agent() {
    let dir = TestDir::new();
    dir.write("sent", "precious");
    fs::hard_link(dir.path("sent"), dir.path("twin")).expect("it can be linked");
    symlink("sent", dir.path("link")).expect("it can be linked");
    let agent = Agent::start(&dir);
    let before = dir.names();
    for itself in ["sent", "twin", "link"] {
        for target in [guest(&dir, itself), format!("guest:{itself}")] {
            let output = dir.run(&agent.cp("sent", &target));
            assert_eq!(output.code, Some(125), "{target}: {output:?}");
            assert!(output.stderr.contains("are the same file"), "{output:?}");
            assert_eq!(dir.read("sent"), b"precious", "{target}");
            assert_eq!(dir.names(), before, "{target}");
        }
    }
    let output = dir.run(&agent.cp("sent", "guest:."));
    assert_eq!(output.code, Some(125), "{output:?}");
    dir.run_ok(&agent.cp("sent", "guest:other"));
    assert_eq!(dir.read("other"), b"precious");
}

#[test]
fn a_link_in_the_guest_stays_a_link() {
    let dir = TestDir::new();
    dir.write("sent", "new");
    dir.write("kept", "older and longer");
    for (link, leads_to) in [("link", "kept"), ("dangling", "made")] {
        symlink(leads_to, dir.path(link)).expect("it can be linked");
        dir.run_ok(&["cp", "sent", &guest(&dir, link)]);
        assert!(dir.path(link).is_symlink(), "{link}");
        assert_eq!(dir.read(leads_to), b"new", "{link}");
    }
    assert!(!dir.names().iter().any(|name| name.contains(".antiphon-")));
}

/// The devices are reached through links, so that a wrong rename could not replace a device.
#[test]
fn devices_and_pipes_in_the_guest_are_written_directly() {
    let dir = TestDir::new();
    dir.write("sent", "new");
    symlink("/dev/null", dir.path("null")).expect("it can be linked");
    symlink("/dev/full", dir.path("full")).expect("it can be linked");
    dir.run_ok(&["cp", "sent", &guest(&dir, "null")]);
    let output = dir.run(&["cp", "sent", &guest(&dir, "full")]);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("No space left"), "{output:?}");
    assert!(dir.path("null").is_symlink() && dir.path("full").is_symlink());

    let pipe = dir.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo starts").success());
    let mut options = fs::OpenOptions::new();
    let nonblock = 0o4000;
    let reader = options.read(true).custom_flags(nonblock).open(&pipe);
    let mut reader = reader.expect("it can be opened");
    dir.run_ok(&["cp", "sent", &guest(&dir, "pipe")]);
    let mut read = [0; 8];
    let len = reader.read(&mut read).expect("it was written");
    assert_eq!(&read[..len], b"new");
    let about = fs::metadata(&pipe).expect("it is there");
    assert!(about.file_type().is_fifo());

    // And from the guest.
    let mut options = fs::OpenOptions::new();
    let both = options.read(true).write(true).open(&pipe);
    let mut writer = both.expect("it can be opened");
    writer.write_all(b"piped").expect("there is room");
    let output = dir.run(&["cp", &guest(&dir, "pipe"), "out"]);
    // The writer is still open, so the pipe has not ended.
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(!output.stderr.contains("Illegal seek"), "{output:?}");
}

#[test]
fn a_full_disk_in_the_guest_is_reported_and_keeps_the_target() {
    let dir = TestDir::new();
    dir.write("there", "old");
    dir.write("sent", vec![7; 300_000]);
    let agent = Agent::under(&dir, "ulimit -f 64");
    let before = dir.names();
    let output = dir.run(&agent.cp("sent", &guest(&dir, "there")));
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("File too large"), "{output:?}");
    assert_eq!(dir.read("there"), b"old");
    assert_eq!(dir.names(), before);
}

#[test]
fn a_directory_in_the_guest_is_not_replaced() {
    let dir = TestDir::new();
    dir.write("sent", "new");
    fs::create_dir_all(dir.path("there/sent")).expect("it is writable");
    let output = dir.run(&["cp", "sent", &guest(&dir, "there")]);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("is a directory"), "{output:?}");
}
