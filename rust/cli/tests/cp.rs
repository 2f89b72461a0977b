//! `cp` against the agent that it starts itself, and against others.

mod common;

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use common::{Agent, PATIENCE, Place, Told, end, signal, wait};

/// Bytes of a file whose copy takes longer than a test needs to stop it.
const LARGE: u64 = 64 << 20;

/// A path of the directory as one in the guest.
fn guest(place: &Place, name: &str) -> String {
    format!("guest:{}", place.path(name).display())
}

/// Waits for a part of a copy with something in it, in a directory whose other files have other names.
fn part(place: &Place, prefix: &str, copying: &mut Child) -> PathBuf {
    let begun = Instant::now();
    loop {
        let name = place
            .names()
            .into_iter()
            .find(|name| name.starts_with(prefix));
        let part = name.map(|name| place.path(&name));
        if let Some(part) = part.filter(|part| len(part) > 0) {
            return part;
        }
        if begun.elapsed() > PATIENCE {
            // It would write for ever.
            let _ = copying.kill();
            panic!("nothing is copied");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}

/// A large file without content on the disk.
fn large(place: &Place, name: &str) -> fs::File {
    let file = fs::File::create(place.path(name)).expect("it is writable");
    file.set_len(LARGE).expect("it can be sparse");
    file
}

#[test]
fn files_go_there_and_back() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..300_007u32).map(|i| (i % 251) as u8).collect();
    place.write("sent", &bytes);
    fs::create_dir(place.path("there")).expect("the directory is writable");
    let guest = |name: &str| format!("guest:{}", place.path(name).display());

    // Into a directory, under a name, and an empty file.
    place.good(&["cp", "--record", "cp.rec", "sent", &guest("there")]);
    assert!(place.read("there/sent") == bytes);
    place.good(&["cp", &guest("there/sent"), "back"]);
    assert!(place.read("back") == bytes);
    place.write("empty", "");
    place.good(&["cp", "empty", &guest("there/")]);
    assert_eq!(place.read("there/empty"), b"");
    place.good(&["cp", &guest("there/empty"), "back"]);
    assert_eq!(place.read("back"), b"", "what was there is replaced");
    place.good(&["replay", "cp.rec"]);

    let document = place.good(&["cp", "--json", "sent", &guest("there/x")]);
    let document: serde_json::Value = serde_json::from_str(&document).expect("one document");
    assert_eq!(document["copied"], 300_007);
}

#[test]
fn a_copy_that_fails_says_where_and_leaves_nothing() {
    let place = Place::new();
    place.write("sent", "x");
    for (source, target, code, said) in [
        ("guest:/no/such", "back", 125, "No such file"),
        ("sent", "guest:/no/such", 125, "No such file"),
        ("nowhere", "guest:there", 125, "cannot read `nowhere`"),
        ("sent", "back", 2, "expected exactly one path in the guest"),
        ("guest:/tmp", "back", 125, "directory"),
    ] {
        let told = place.run(&["cp", source, target]);
        assert_eq!(told.code, Some(code), "{source} {target}: {told:?}");
        assert!(told.stderr.contains(said), "{source} {target}: {told:?}");
        assert!(!place.path("back").exists());
    }
}

#[test]
fn a_copy_has_the_permissions_of_its_source() {
    let place = Place::new();
    place.write("tool", "#!/bin/sh\n");
    fs::set_permissions(place.path("tool"), fs::Permissions::from_mode(0o750)).expect("ours");
    let there = format!("guest:{}", place.path("there").display());
    place.good(&["cp", "tool", &there]);
    place.good(&["cp", &there, "back"]);
    for name in ["there", "back"] {
        let mode = fs::metadata(place.path(name))
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o750, "{name}");
    }
}

/// A copy never replaces a device, a pipe or a link, and never empties its own source.
#[test]
fn a_copy_spares_pipes_links_and_itself() {
    let place = Place::new();
    place.write("sent", "precious");
    place.write("kept", "old");
    let guest = |name: &str| format!("guest:{}", place.path(name).display());
    symlink(place.path("kept"), place.path("link")).expect("it can be linked");
    fs::hard_link(place.path("sent"), place.path("twin")).expect("it can be linked");

    place.good(&["cp", &guest("sent"), "link"]);
    assert!(place.path("link").is_symlink());
    assert_eq!(place.read("kept"), b"precious");

    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).expect("it binds");
    let told = place.run(&["cp", &guest("sent"), "socket"]);
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("is not a regular file"), "{told:?}");

    for itself in ["sent", "twin"] {
        let told = place.run(&["cp", "sent", &guest(itself)]);
        assert_eq!(told.code, Some(125), "{told:?}");
        assert!(told.stderr.contains("are the same file"), "{told:?}");
        assert_eq!(place.read("sent"), b"precious");
    }
}

#[test]
fn an_interrupted_copy_leaves_the_target_and_no_part() {
    let place = Place::new();
    place.write("there", "old");
    let before = place.names();
    let target = guest(&place, "there");
    let mut child = place.start(&["cp", "--record", "c.rec", "/dev/zero", &target]);
    part(&place, ".there.antiphon-", &mut child);
    signal(&child, "INT");
    let told = end(child);
    assert_eq!(told.code, Some(130), "{told:?}");
    assert_eq!(told.stderr, "antiphon: the copy was interrupted\n");
    assert_eq!(place.read("there"), b"old");
    let mut names = place.names();
    names.retain(|name| name != "c.rec");
    assert_eq!(names, before);
    assert!(place.good(&["show", "c.rec"]).contains("ended: cancelled"));
    place.good(&["replay", "c.rec"]);
}

#[test]
fn an_interrupted_copy_from_the_guest_leaves_the_target_and_no_part() {
    let place = Place::new();
    place.write("there", "old");
    let before = place.names();
    let mut child = place.start(&["cp", "guest:/dev/zero", "there"]);
    part(&place, ".antiphon-", &mut child);
    signal(&child, "INT");
    let told = end(child);
    assert_eq!(told.code, Some(130), "{told:?}");
    assert_eq!(place.read("there"), b"old");
    assert_eq!(place.names(), before);
}

/// A pipe that has nothing to read does not hold up the end.
#[test]
fn a_copy_that_waits_for_its_source_can_be_interrupted() {
    let place = Place::new();
    place.write("there", "old");
    let before = place.names();
    let mut child = place.start(&["cp", "/dev/stdin", &guest(&place, "there")]);
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"piece").expect("it reads");
    part(&place, ".there.antiphon-", &mut child);
    signal(&child, "TERM");
    let told = end(child);
    assert_eq!(told.code, Some(143), "{told:?}");
    assert_eq!(place.read("there"), b"old");
    assert_eq!(place.names(), before);
    drop(stdin);
}

#[test]
fn an_existing_target_keeps_its_content_until_the_end() {
    let place = Place::new();
    place.write("there", "old");
    let mode = fs::Permissions::from_mode(0o666);
    fs::set_permissions(place.path("there"), mode).expect("ours");
    let agent = Agent::start(&place);
    large(&place, "sent");
    let mode = fs::Permissions::from_mode(0o711);
    fs::set_permissions(place.path("sent"), mode).expect("ours");
    let mut open = fs::File::open(place.path("there")).expect("it is there");
    let mut child = place.start(&agent.cp("sent", &guest(&place, "there")));
    part(&place, ".there.antiphon-", &mut child);
    assert_eq!(place.read("there"), b"old");
    let told = end(child);
    assert_eq!(told.code, Some(0), "{told:?}");
    let about = fs::metadata(place.path("there")).expect("it is there");
    assert_eq!(about.len(), LARGE);
    assert_eq!(about.permissions().mode() & 0o777, 0o711);
    let mut kept = Vec::new();
    open.read_to_end(&mut kept).expect("it can be read");
    assert_eq!(kept, b"old");
    assert!(!place.names().iter().any(|name| name.contains(".antiphon-")));
}

/// A change of a source while it is copied, and its length afterwards.
type Change = (fn(&mut fs::File), u64);

const CHANGES: [Change; 2] = [
    (|file| file.set_len(LARGE + 1).expect("ours"), LARGE + 1),
    (|file| file.set_len(1).expect("ours"), 1),
];

/// Runs a copy whose agent is stopped as soon as there is a part, changes the source, and lets it go on.
fn changed_while_copied(
    place: &Place,
    source: &str,
    target: &str,
    prefix: &str,
    change: fn(&mut fs::File),
) -> Told {
    let agent = Agent::start(place);
    let mut file = large(place, "sent");
    let mut child = place.start(&agent.cp(source, target));
    part(place, prefix, &mut child);
    signal(&agent.child, "STOP");
    change(&mut file);
    signal(&agent.child, "CONT");
    end(child)
}

#[test]
fn a_source_that_changes_while_it_is_copied_is_an_error() {
    for (change, after) in CHANGES {
        let place = Place::new();
        place.write("there", "old");
        place.write("agent.sock", "");
        fs::remove_file(place.path("agent.sock")).expect("ours");
        let (here, there) = (guest(&place, "sent"), guest(&place, "there"));
        for (source, target, prefix) in [
            ("sent", there.as_str(), ".there.antiphon-"),
            (&here, "there", ".antiphon-"),
        ] {
            let told = changed_while_copied(&place, source, target, prefix, change);
            assert_eq!(told.code, Some(125), "{told:?}");
            let said = format!("had {LARGE} bytes and has {after}");
            assert!(told.stderr.contains(&said), "{told:?}");
            assert_eq!(place.read("there"), b"old");
            let left = place.names().into_iter().find(|n| n.contains(".antiphon-"));
            assert_eq!(left, None);
            fs::remove_file(place.path("agent.sock")).expect("ours");
        }
    }
}

#[test]
fn a_source_that_is_rewritten_while_it_is_copied_is_an_error() {
    let place = Place::new();
    place.write("there", "old");
    let anew: fn(&mut fs::File) = |file| {
        file.seek(SeekFrom::Start(LARGE / 2)).expect("ours");
        file.write_all(b"other").expect("ours");
    };
    let target = guest(&place, "there");
    let told = changed_while_copied(&place, "sent", &target, ".there.antiphon-", anew);
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(
        told.stderr.contains("`sent` changed while it was copied"),
        "{told:?}"
    );
    assert_eq!(place.read("there"), b"old");
}

/// Files of `/proc` say that they are empty.
#[test]
fn a_file_that_does_not_say_its_length_is_copied_as_far_as_it_goes() {
    let place = Place::new();
    place.good(&["cp", "guest:/proc/version", "out"]);
    let version = fs::read("/proc/version").expect("it is there");
    assert_eq!(place.read("out"), version);
    place.good(&["cp", "/proc/version", &guest(&place, "in")]);
    assert_eq!(place.read("in"), version);
}

#[test]
fn a_lost_agent_leaves_the_target() {
    let place = Place::new();
    place.write("there", "old");
    let mut agent = Agent::start(&place);
    let mut child = place.start(&agent.cp("/dev/zero", &guest(&place, "there")));
    let part = part(&place, ".there.antiphon-", &mut child);
    agent.child.kill().expect("it is ours");
    wait(&mut agent.child);
    let told = end(child);
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("lost"), "{told:?}");
    let said = format!("`guest:{}` may be left behind", part.display());
    assert!(told.stderr.contains(&said), "{told:?}");
    assert_eq!(place.read("there"), b"old");
}

/// The removal of the part is bounded in time.
#[test]
fn an_interrupted_copy_to_a_guest_that_hangs_ends() {
    let place = Place::new();
    place.write("there", "old");
    let agent = Agent::start(&place);
    let mut child = place.start(&agent.cp("/dev/zero", &guest(&place, "there")));
    part(&place, ".there.antiphon-", &mut child);
    signal(&agent.child, "STOP");
    thread::sleep(Duration::from_millis(100));
    signal(&child, "INT");
    let begun = Instant::now();
    let told = end(child);
    assert!(begun.elapsed() < Duration::from_secs(30), "it waits");
    assert_eq!(told.code, Some(130), "{told:?}");
    assert!(told.stderr.contains("may be left behind"), "{told:?}");
    assert_eq!(place.read("there"), b"old");
}

#[test]
fn a_file_is_not_copied_onto_itself_through_any_agent() {
    let place = Place::new();
    place.write("sent", "precious");
    fs::hard_link(place.path("sent"), place.path("twin")).expect("it can be linked");
    symlink("sent", place.path("link")).expect("it can be linked");
    let agent = Agent::start(&place);
    let before = place.names();
    for itself in ["sent", "twin", "link"] {
        for target in [guest(&place, itself), format!("guest:{itself}")] {
            let told = place.run(&agent.cp("sent", &target));
            assert_eq!(told.code, Some(125), "{target}: {told:?}");
            assert!(told.stderr.contains("are the same file"), "{told:?}");
            assert_eq!(place.read("sent"), b"precious", "{target}");
            assert_eq!(place.names(), before, "{target}");
        }
    }
    let told = place.run(&agent.cp("sent", "guest:."));
    assert_eq!(told.code, Some(125), "{told:?}");
    place.good(&agent.cp("sent", "guest:other"));
    assert_eq!(place.read("other"), b"precious");
}

#[test]
fn a_link_in_the_guest_stays_a_link() {
    let place = Place::new();
    place.write("sent", "new");
    place.write("kept", "older and longer");
    for (link, leads_to) in [("link", "kept"), ("dangling", "made")] {
        symlink(leads_to, place.path(link)).expect("it can be linked");
        place.good(&["cp", "sent", &guest(&place, link)]);
        assert!(place.path(link).is_symlink(), "{link}");
        assert_eq!(place.read(leads_to), b"new", "{link}");
    }
    assert!(!place.names().iter().any(|name| name.contains(".antiphon-")));
}

/// The devices are reached by links, so that no wrong rename can take the place of one.
#[test]
fn devices_and_pipes_in_the_guest_are_written_as_they_are() {
    let place = Place::new();
    place.write("sent", "new");
    symlink("/dev/null", place.path("null")).expect("it can be linked");
    symlink("/dev/full", place.path("full")).expect("it can be linked");
    place.good(&["cp", "sent", &guest(&place, "null")]);
    let told = place.run(&["cp", "sent", &guest(&place, "full")]);
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("No space left"), "{told:?}");
    assert!(place.path("null").is_symlink() && place.path("full").is_symlink());

    let pipe = place.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo starts").success());
    let mut options = fs::OpenOptions::new();
    let nonblock = 0o4000;
    let reader = options.read(true).custom_flags(nonblock).open(&pipe);
    let mut reader = reader.expect("it can be opened");
    place.good(&["cp", "sent", &guest(&place, "pipe")]);
    let mut read = [0; 8];
    let len = reader.read(&mut read).expect("it was written");
    assert_eq!(&read[..len], b"new");
    let about = fs::metadata(&pipe).expect("it is there");
    assert!(about.file_type().is_fifo());

    // And from there.
    let mut options = fs::OpenOptions::new();
    let both = options.read(true).write(true).open(&pipe);
    let mut writer = both.expect("it can be opened");
    writer.write_all(b"piped").expect("there is room");
    let told = place.run(&["cp", &guest(&place, "pipe"), "out"]);
    // The writer is still there, so the end of the pipe is not known.
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(!told.stderr.contains("Illegal seek"), "{told:?}");
}

#[test]
fn a_full_disk_in_the_guest_is_reported_and_leaves_the_target() {
    let place = Place::new();
    place.write("there", "old");
    place.write("sent", vec![7; 300_000]);
    let agent = Agent::under(&place, "ulimit -f 64");
    let before = place.names();
    let told = place.run(&agent.cp("sent", &guest(&place, "there")));
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("File too large"), "{told:?}");
    assert_eq!(place.read("there"), b"old");
    assert_eq!(place.names(), before);
}

#[test]
fn a_directory_in_the_guest_is_not_replaced() {
    let place = Place::new();
    place.write("sent", "new");
    fs::create_dir_all(place.path("there/sent")).expect("it is writable");
    let told = place.run(&["cp", "sent", &guest(&place, "there")]);
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("is a directory"), "{told:?}");
}
