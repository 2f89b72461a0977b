//! Recordings that the command itself or another process would destroy.

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use common::{Agent, Place, Told, end, next_line};

const RUN: [&str; 4] = ["run", "two_buyer.anti", "--script", "happy.script"];

fn documents(told: &Told) -> Vec<serde_json::Value> {
    let lines = told.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("each line is a document"))
        .collect()
}

/// Records a command that waits for a line, has `change` done to the directory, and ends the command.
fn changed_while_recorded(place: &Place, name: &str, change: impl FnOnce(&Place)) -> Told {
    let script = "echo started; read line; exit 3";
    let args = [
        "exec",
        "--json",
        "--overwrite",
        "--record",
        name,
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut child = place.start(&args);
    assert!(next_line(&mut child).contains("output"));
    change(place);
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"go\n").expect("it reads");
    drop(stdin);
    end(child)
}

fn expect_lost(told: &Told, name: &str, how: &str) {
    assert_eq!(told.code, Some(125), "{told:?}");
    let said = format!("`{name}` was {how} while it was recorded");
    assert!(told.stderr.contains(&said), "{told:?}");
    let documents = documents(told);
    let failed = documents.iter().find(|d| d["event"] == "recording_failed");
    let failed = failed.expect("it is reported");
    assert_eq!(failed["path"], name);
    assert!(
        failed["message"]
            .as_str()
            .is_some_and(|text| text.contains(&said))
    );
    assert_eq!(
        documents.last().expect("there is one")["reason"],
        "recording_failed"
    );
}

#[test]
fn a_recording_that_is_replaced_is_reported() {
    let place = Place::new();
    let replace = |place: &Place| {
        place.write("other", "precious");
        fs::rename(place.path("other"), place.path("a.rec")).expect("it can be renamed");
    };
    let told = changed_while_recorded(&place, "a.rec", replace);
    expect_lost(&told, "a.rec", "replaced by another file");
    assert_eq!(place.read("a.rec"), b"precious");

    let told = changed_while_recorded(&place, "b.rec", |place| {
        fs::remove_file(place.path("b.rec")).expect("it is ours");
    });
    expect_lost(&told, "b.rec", "removed");

    // A link may be moved, too.
    symlink("c.rec", place.path("link")).expect("it can be linked");
    let told = changed_while_recorded(&place, "link", |place| {
        fs::remove_file(place.path("link")).expect("it is ours");
        symlink("a.rec", place.path("link")).expect("it can be linked");
    });
    expect_lost(&told, "link", "replaced by another file");
}

/// A link to the same file does not count as another file.
#[test]
fn a_recording_that_is_linked_is_not_lost() {
    let place = Place::new();
    let told = changed_while_recorded(&place, "a.rec", |place| {
        fs::rename(place.path("a.rec"), place.path("b.rec")).expect("it can be renamed");
        symlink("b.rec", place.path("a.rec")).expect("it can be linked");
    });
    assert_eq!(told.code, Some(3), "{told:?}");
    place.good(&["replay", "a.rec"]);
}

#[test]
fn a_copy_that_replaces_its_recording_says_so() {
    let place = Place::new();
    place.write("sent", "new");
    let there = format!("guest:{}", place.path("both").display());
    for flags in [&[][..], &["--overwrite", "--record-required"]] {
        let cp = ["cp", "--json", "--record", "both", "sent", &there];
        let told = place.run(&[&cp[..], flags].concat());
        assert_eq!(told.code, Some(125), "{told:?}");
        let said = "`both` was replaced by another file while it was recorded";
        assert!(told.stderr.contains(said), "{told:?}");
        let documents = documents(&told);
        assert_eq!(documents[0]["event"], "recording_failed", "{documents:?}");
        let last = documents.last().expect("there is one");
        assert_eq!(last["recording"], "failed", "{last}");
        assert_eq!(place.read("both"), b"new");
    }
}

/// Each command line, with the name that it records in and also uses.
const OWN: [(&str, &[&str]); 9] = [
    (
        "two_buyer.anti",
        &["run", "two_buyer.anti", "--script", "happy.script"],
    ),
    (
        "happy.script",
        &["run", "two_buyer.anti", "--script", "happy.script"],
    ),
    ("shared/parts.anti", &["run", "imports.anti"]),
    (
        "own.anti",
        &["exec", "--protocol", "own.anti", "--", "true"],
    ),
    ("sent", &["cp", "sent", "guest:there"]),
    ("sent", &["cp", "guest:sent", "there"]),
    ("kept", &["cp", "guest:sent", "kept"]),
    ("fresh", &["cp", "guest:sent", "fresh"]),
    ("dir/sent", &["cp", "guest:sent", "dir"]),
];

#[test]
fn a_recording_in_a_file_of_the_command_is_refused() {
    let place = Place::new();
    place.write("own.anti", antiphon_guest::protocols::GUEST_EXEC);
    place.write("sent", "precious");
    place.write("kept", "old");
    fs::create_dir(place.path("dir")).expect("it is writable");
    fs::create_dir(place.path("shared")).expect("it is writable");
    let parts = "record Part { n: Nat }\n";
    place.write("shared/parts.anti", parts);
    let source =
        "import shared.parts;\n\nglobal protocol P(role A, role B) {\n  hi() from A to B;\n}\n";
    place.write("imports.anti", source);
    let before: Vec<_> = place.names();
    for (name, args) in OWN {
        let (command, rest) = args.split_first().expect("a command");
        let content = fs::read(place.path(name)).ok();
        for alias in [false, true] {
            let recorded = match alias {
                false => name.to_owned(),
                true => format!("./dir/../{name}"),
            };
            for flags in [&["--record"][..], &["--overwrite", "--record"]] {
                let args = [&[*command], flags, &[recorded.as_str()], rest].concat();
                let told = place.run(&args);
                assert_eq!(told.code, Some(2), "{args:?}: {told:?}");
                let said =
                    format!("`{recorded}` is a file that the command itself reads or writes");
                assert!(told.stderr.contains(&said), "{args:?}: {told:?}");
                assert_eq!(fs::read(place.path(name)).ok(), content, "{args:?}");
                assert_eq!(place.names(), before, "{args:?}");
            }
        }
    }
    // Hard and symbolic links are the same file.
    fs::hard_link(place.path("sent"), place.path("hard")).expect("it can be linked");
    symlink("sent", place.path("soft")).expect("it can be linked");
    for name in ["hard", "soft"] {
        let args = ["cp", "--overwrite", "--record", name, "sent", "guest:there"];
        let told = place.run(&args);
        assert_eq!(told.code, Some(2), "{told:?}");
        assert_eq!(place.read("sent"), b"precious");
    }
    // Other files are not refused.
    place.good(&[&RUN[..], &["--record", "a.rec"]].concat());
}

/// A recording renamed over the file that standard output or error goes to would hide what is written there.
#[test]
fn a_recording_in_the_file_of_a_standard_stream_is_refused() {
    let place = Place::new();
    for (first, name) in [
        ("exec >out", "out"),
        ("exec 2>>err", "./err"),
        ("exec >out", "/dev/stdout"),
    ] {
        let exec = [
            "exec",
            "--overwrite",
            "--record",
            name,
            "--",
            "echo",
            "precious",
        ];
        for args in [
            &exec[..],
            &[&RUN[..], &["--overwrite", "--record", name]].concat(),
        ] {
            let mut command = common::under(&place, first, args);
            let told = end(command.spawn().expect("there is a shell"));
            assert_eq!(told.code, Some(2), "{first} {args:?}: {told:?}");
            let said = format!("`{name}` is a file that the command itself reads or writes");
            let err = fs::read(place.path("err")).unwrap_or_default();
            let err = [told.stderr.as_bytes(), &err].concat();
            assert!(String::from_utf8_lossy(&err).contains(&said), "{told:?}");
        }
    }
    let left = place.names().into_iter().find(|name| name.starts_with('.'));
    assert_eq!(left, None);
}

/// A copy ends because its recording failed.
#[test]
fn the_last_document_of_a_copy_names_the_recording() {
    let place = Place::new();
    let agent = Agent::start(&place);
    place.write("sent", vec![7; 300_000]);
    let target = format!("guest:{}", place.path("there").display());
    let flags = ["--json", "--record", "a.rec", "--record-required"];
    let args = [&agent.cp("sent", &target)[..], &flags].concat();
    let mut command = common::under(&place, "ulimit -f 64", &args);
    let told = end(command.spawn().expect("there is a shell"));
    assert_eq!(told.code, Some(125), "{told:?}");
    let documents = documents(&told);
    assert_eq!(documents[0]["event"], "recording_failed", "{documents:?}");
    let last = documents.last().expect("there is one");
    assert_eq!(last["recording"], "failed", "{last}");
    assert_eq!(last["code"], 125, "{last}");
    let error = last["error"].as_str().expect("a text");
    assert_eq!(
        error,
        "the copy failed: it was ended because its recording failed"
    );
}

/// The reader of standard output has gone away before the failure is reported.
#[test]
fn a_failed_recording_is_not_hidden_by_a_closed_output() {
    let place = Place::new();
    let args = [&RUN[..], &["--sessions", "500", "--record", "a.rec"]].concat();
    let mut command = common::under(&place, "ulimit -f 8", &args);
    let mut child = command.spawn().expect("there is a shell");
    let _ = next_line(&mut child);
    drop(child.stdout.take());
    let told = end(child);
    assert_eq!(told.code, Some(125), "{told:?}");
    assert!(told.stderr.contains("cannot record in `a.rec`"), "{told:?}");
}
