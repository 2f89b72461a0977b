//! Copies whose source and target may be one file, and the modes of what is copied.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;
use std::time::{Duration, Instant};

use common::{Agent, PATIENCE, Place, Told, end, signal, under};

fn guest(place: &Place, name: &str) -> String {
    format!("guest:{}", place.path(name).display())
}

fn expect_failure(told: &Told, said: &str) {
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains(said), "{told:?}");
}

/// The directory of such an agent is not the one of the command, so no part of a copy is seen here.
#[test]
fn a_link_in_the_guest_that_may_lead_to_the_source_is_refused() {
    let place = Place::new();
    place.write("sent", "precious");
    fs::create_dir(place.path("inner")).expect("it is writable");
    symlink("../sent", place.path("inner/link")).expect("it can be linked");
    symlink("../older", place.path("inner/other")).expect("it can be linked");
    let agent = Agent::under(&place, "cd inner");
    let told = place.run(&agent.cp("sent", "guest:link"));
    expect_failure(&told, "`sent` and `guest:link` may be the same file");
    assert!(told.stderr.contains("remove the link"), "{told:?}");
    assert_eq!(place.read("sent"), b"precious");
    assert!(place.path("inner/link").is_symlink());

    // Another length, and no file at all: they cannot be the same.
    place.write("older", "another length");
    place.good(&agent.cp("sent", "guest:other"));
    assert_eq!(place.read("older"), b"precious");
    fs::remove_file(place.path("older")).expect("it is ours");
    place.good(&agent.cp("sent", "guest:other"));
    assert_eq!(place.read("older"), b"precious");
    // The copy is newer than its source, so it can be written again.
    let now = fs::File::options().write(true).open(place.path("older"));
    let later = std::time::SystemTime::now() + Duration::from_secs(1);
    now.and_then(|file| file.set_modified(later))
        .expect("it is ours");
    place.good(&agent.cp("sent", "guest:other"));
}

#[test]
fn a_file_of_the_guest_is_not_copied_onto_itself() {
    let place = Place::new();
    place.write("sent", "precious");
    fs::hard_link(place.path("sent"), place.path("twin")).expect("it can be linked");
    symlink("sent", place.path("link")).expect("it can be linked");
    fs::create_dir(place.path("dir")).expect("it is writable");
    fs::hard_link(place.path("sent"), place.path("dir/sent")).expect("it can be linked");
    let before = place.names();
    for target in ["sent", "twin", "link", "dir"] {
        let told = place.run(&["cp", &guest(&place, "sent"), target]);
        expect_failure(&told, "are the same file");
        assert_eq!(place.names(), before, "{target}");
        let same = fs::metadata(place.path("twin")).expect("it is there");
        assert_eq!(same.permissions().mode() & 0o777, 0o644);
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&same), 3, "{target}");
    }
    // A file with the same content is not the same file.
    place.write("other", "precious");
    place.good(&["cp", &guest(&place, "sent"), "other"]);
}

fn mode(place: &Place, name: &str) -> u32 {
    let about = fs::metadata(place.path(name)).expect("it is there");
    about.permissions().mode() & 0o777
}

#[test]
fn a_copy_from_the_guest_has_the_mode_that_the_umask_allows() {
    let place = Place::new();
    for (sent, umask, got) in [
        (0o777, "027", 0o750),
        (0o666, "077", 0o600),
        (0o751, "0", 0o751),
        (0o444, "022", 0o444),
    ] {
        place.write("sent", "new");
        let agent = Agent::start(&place);
        fs::set_permissions(place.path("sent"), Permissions::from_mode(sent)).expect("ours");
        let source = guest(&place, "sent");
        for old in [None, Some(0o604)] {
            let _ = fs::remove_file(place.path("back"));
            if let Some(old) = old {
                place.write("back", "old");
                fs::set_permissions(place.path("back"), Permissions::from_mode(old)).expect("ours");
            }
            let mut command = under(
                &place,
                &format!("umask {umask}"),
                &agent.cp(&source, "back"),
            );
            let told = end(command.spawn().expect("there is a shell"));
            assert_eq!(told.code, Some(0), "{told:?}");
            assert_eq!(mode(&place, "back"), got, "{sent:o} {umask} {old:?}");
        }
        drop(agent);
        fs::remove_file(place.path("sent")).expect("it is ours");
        let _ = fs::remove_file(place.path("agent.sock"));
    }
}

#[test]
fn every_signal_that_ends_a_copy_removes_its_part() {
    for (name, code) in [("QUIT", 131), ("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let place = Place::new();
        let before = place.names();
        let target = guest(&place, "there");
        for (source, target, prefix) in [
            ("/dev/zero", target.as_str(), ".there.antiphon-"),
            ("guest:/dev/zero", "there", ".antiphon-"),
        ] {
            let child = place.start(&["cp", "--json", source, target]);
            let begun = Instant::now();
            while !place.names().iter().any(|name| name.starts_with(prefix)) {
                assert!(begun.elapsed() < PATIENCE, "nothing is copied");
                thread::sleep(Duration::from_millis(1));
            }
            signal(&child, name);
            let told = end(child);
            assert_eq!(told.code, Some(code), "{name}: {told:?}");
            assert_eq!(place.names(), before, "{name}");
            let document: serde_json::Value =
                serde_json::from_str(&told.stdout).expect("one document");
            assert_eq!(document["code"], code, "{document}");
            assert_eq!(document["error"], "the copy was interrupted");
        }
    }
}
