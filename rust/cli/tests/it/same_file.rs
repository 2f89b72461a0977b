//! Tests copies whose source and target may be the same file, and the modes of copies.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Agent, PATIENCE, ProgramOutput, TestDir, end, signal, under};

fn guest(dir: &TestDir, name: &str) -> String {
    format!("guest:{}", dir.path(name).display())
}

fn expect_failure(output: &ProgramOutput, message: &str) {
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains(message), "{output:?}");
}

/// This agent has another working directory than the command, so its temporary files are not
/// visible here.
#[test]
fn a_link_in_the_guest_that_may_lead_to_the_source_is_refused() {
    let dir = TestDir::new();
    dir.write("sent", "precious");
    fs::create_dir(dir.path("inner")).expect("it is writable");
    symlink("../sent", dir.path("inner/link")).expect("it can be linked");
    symlink("../older", dir.path("inner/other")).expect("it can be linked");
    let agent = Agent::under(&dir, "cd inner");
    let output = dir.run(&agent.cp("sent", "guest:link"));
    expect_failure(&output, "`sent` and `guest:link` may be the same file");
    assert!(output.stderr.contains("remove the link"), "{output:?}");
    assert_eq!(dir.read("sent"), b"precious");
    assert!(dir.path("inner/link").is_symlink());

    // Another length, or no file: not the same file.
    dir.write("older", "another length");
    dir.run_ok(&agent.cp("sent", "guest:other"));
    assert_eq!(dir.read("older"), b"precious");
    fs::remove_file(dir.path("older")).expect("it is ours");
    dir.run_ok(&agent.cp("sent", "guest:other"));
    assert_eq!(dir.read("older"), b"precious");
    // The copy is newer than its source, so it may be written again.
    let now = fs::File::options().write(true).open(dir.path("older"));
    let later = std::time::SystemTime::now() + Duration::from_secs(1);
    now.and_then(|file| file.set_modified(later))
        .expect("it is ours");
    dir.run_ok(&agent.cp("sent", "guest:other"));
}

#[test]
fn a_file_of_the_guest_is_not_copied_onto_itself() {
    let dir = TestDir::new();
    dir.write("sent", "precious");
    fs::hard_link(dir.path("sent"), dir.path("twin")).expect("it can be linked");
    symlink("sent", dir.path("link")).expect("it can be linked");
    fs::create_dir(dir.path("dir")).expect("it is writable");
    fs::hard_link(dir.path("sent"), dir.path("dir/sent")).expect("it can be linked");
    let before = dir.names();
    for target in ["sent", "twin", "link", "dir"] {
        let output = dir.run(&["cp", &guest(&dir, "sent"), target]);
        expect_failure(&output, "are the same file");
        assert_eq!(dir.names(), before, "{target}");
        let same = fs::metadata(dir.path("twin")).expect("it is there");
        assert_eq!(same.permissions().mode() & 0o777, 0o644);
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&same), 3, "{target}");
    }
    // A file with the same content is not the same file.
    dir.write("other", "precious");
    dir.run_ok(&["cp", &guest(&dir, "sent"), "other"]);
}

fn mode(dir: &TestDir, name: &str) -> u32 {
    let about = fs::metadata(dir.path(name)).expect("it is there");
    about.permissions().mode() & 0o777
}

#[test]
fn a_copy_from_the_guest_has_the_mode_that_the_umask_allows() {
    let dir = TestDir::new();
    for (sent, umask, got) in [
        (0o777, "027", 0o750),
        (0o666, "077", 0o600),
        (0o751, "0", 0o751),
        (0o444, "022", 0o444),
    ] {
        dir.write("sent", "new");
        let agent = Agent::start(&dir);
        fs::set_permissions(dir.path("sent"), Permissions::from_mode(sent)).expect("ours");
        let source = guest(&dir, "sent");
        for old in [None, Some(0o604)] {
            let _ = fs::remove_file(dir.path("back"));
            if let Some(old) = old {
                dir.write("back", "old");
                fs::set_permissions(dir.path("back"), Permissions::from_mode(old)).expect("ours");
            }
            let mut command = under(&dir, &format!("umask {umask}"), &agent.cp(&source, "back"));
            let output = end(command.spawn().expect("there is a shell"));
            assert_eq!(output.code, Some(0), "{output:?}");
            assert_eq!(mode(&dir, "back"), got, "{sent:o} {umask} {old:?}");
        }
        drop(agent);
        fs::remove_file(dir.path("sent")).expect("it is ours");
        let _ = fs::remove_file(dir.path("agent.sock"));
    }
}

#[test]
fn every_ending_signal_removes_the_temporary_file() {
    for (name, code) in [("QUIT", 131), ("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let dir = TestDir::new();
        let before = dir.names();
        let target = guest(&dir, "there");
        for (source, target, prefix) in [
            ("/dev/zero", target.as_str(), ".there.antiphon-"),
            ("guest:/dev/zero", "there", ".antiphon-"),
        ] {
            let child = dir.start(&["cp", "--json", source, target]);
            let begun = Instant::now();
            while !dir.names().iter().any(|name| name.starts_with(prefix)) {
                assert!(begun.elapsed() < PATIENCE, "nothing is copied");
                thread::sleep(Duration::from_millis(1));
            }
            signal(&child, name);
            let output = end(child);
            assert_eq!(output.code, Some(code), "{name}: {output:?}");
            assert_eq!(dir.names(), before, "{name}");
            let document: serde_json::Value =
                serde_json::from_str(&output.stdout).expect("one document");
            assert_eq!(document["code"], code, "{document}");
            assert_eq!(document["error"], "the copy was interrupted");
        }
    }
}
