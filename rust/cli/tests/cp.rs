//! `cp` against the agent that it starts itself, and against others.

mod common;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, Place, signal, wait};

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
        ("sent", "back", 2, "one of the two must be in the guest"),
        ("guest:/tmp", "back", 125, "directory"),
    ] {
        let told = place.run(&["cp", source, target]);
        assert_eq!(told.code, Some(code), "{source} {target}: {told:?}");
        assert!(told.stderr.contains(said), "{source} {target}: {told:?}");
        assert!(!place.path("back").exists());
    }
}

#[cfg(unix)]
#[test]
fn a_copy_has_the_permissions_of_its_source() {
    use std::os::unix::fs::PermissionsExt;
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

#[test]
fn a_copy_that_is_called_off_ends_in_good_order() {
    let place = Place::new();
    let there = place.path("there");
    let guest = format!("guest:{}", there.display());
    let mut child = place.start(&["cp", "--record", "c.rec", "/dev/zero", &guest]);
    let begun = Instant::now();
    while fs::metadata(&there).map_or(0, |about| about.len()) == 0 {
        assert!(begun.elapsed() < PATIENCE, "nothing is copied");
        thread::sleep(Duration::from_millis(2));
    }
    signal(&child, "INT");
    let status = wait(&mut child).and_then(|status| status.code());
    assert_eq!(status, Some(130));
    assert!(place.good(&["show", "c.rec"]).contains("ended: cancelled"));
    place.good(&["replay", "c.rec"]);
}

/// A copy never takes the place of what is no regular file, nor empties what it is about to read.
#[test]
fn a_copy_spares_pipes_links_and_itself() {
    let place = Place::new();
    place.write("sent", "precious");
    place.write("kept", "old");
    let guest = |name: &str| format!("guest:{}", place.path(name).display());
    std::os::unix::fs::symlink(place.path("kept"), place.path("link")).expect("it can be linked");
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
