//! Tests recordings that the command itself or another process would destroy.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use crate::common::{self, Agent, ProgramOutput, TestDir, end, next_line};

const RUN: [&str; 4] = ["run", "two_buyer.anti", "--script", "happy.script"];

fn documents(output: &ProgramOutput) -> Vec<serde_json::Value> {
    let lines = output.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("each line is a document"))
        .collect()
}

/// Records a command that waits for a line, calls `change`, and lets the command end.
fn changed_while_recorded(
    dir: &TestDir,
    name: &str,
    change: impl FnOnce(&TestDir),
) -> ProgramOutput {
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
    let mut child = dir.start(&args);
    assert!(next_line(&mut child).contains("output"));
    change(dir);
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"go\n").expect("it reads");
    drop(stdin);
    end(child)
}

fn expect_lost(output: &ProgramOutput, name: &str, how: &str) {
    assert_eq!(output.code, Some(125), "{output:?}");
    let message = format!("`{name}` was {how} while it was recorded");
    assert!(output.stderr.contains(&message), "{output:?}");
    let documents = documents(output);
    let failed = documents.iter().find(|d| d["event"] == "recording_failed");
    let failed = failed.expect("it is reported");
    assert_eq!(failed["path"], name);
    assert!(
        failed["message"]
            .as_str()
            .is_some_and(|text| text.contains(&message))
    );
    assert_eq!(
        documents.last().expect("there is one")["reason"],
        "recording_failed"
    );
}

#[test]
fn a_recording_that_is_replaced_is_reported() {
    let dir = TestDir::new();
    let replace = |dir: &TestDir| {
        dir.write("other", "precious");
        fs::rename(dir.path("other"), dir.path("a.rec")).expect("it can be renamed");
    };
    let output = changed_while_recorded(&dir, "a.rec", replace);
    expect_lost(&output, "a.rec", "replaced by another file");
    assert_eq!(dir.read("a.rec"), b"precious");

    let output = changed_while_recorded(&dir, "b.rec", |dir| {
        fs::remove_file(dir.path("b.rec")).expect("it is ours");
    });
    expect_lost(&output, "b.rec", "removed");

    // A link may be replaced, too.
    symlink("c.rec", dir.path("link")).expect("it can be linked");
    let output = changed_while_recorded(&dir, "link", |dir| {
        fs::remove_file(dir.path("link")).expect("it is ours");
        symlink("a.rec", dir.path("link")).expect("it can be linked");
    });
    expect_lost(&output, "link", "replaced by another file");
}

/// A link to the same file is not another file.
#[test]
fn a_recording_that_is_linked_is_not_lost() {
    let dir = TestDir::new();
    let output = changed_while_recorded(&dir, "a.rec", |dir| {
        fs::rename(dir.path("a.rec"), dir.path("b.rec")).expect("it can be renamed");
        symlink("b.rec", dir.path("a.rec")).expect("it can be linked");
    });
    assert_eq!(output.code, Some(3), "{output:?}");
    dir.run_ok(&["replay", "a.rec"]);
}

#[test]
fn a_copy_that_replaces_its_recording_reports_that() {
    let dir = TestDir::new();
    dir.write("sent", "new");
    let there = format!("guest:{}", dir.path("both").display());
    for flags in [&[][..], &["--overwrite", "--record-required"]] {
        let cp = ["cp", "--json", "--record", "both", "sent", &there];
        let output = dir.run(&[&cp[..], flags].concat());
        assert_eq!(output.code, Some(125), "{output:?}");
        let message = "`both` was replaced by another file while it was recorded";
        assert!(output.stderr.contains(message), "{output:?}");
        let documents = documents(&output);
        assert_eq!(documents[0]["event"], "recording_failed", "{documents:?}");
        let last = documents.last().expect("there is one");
        assert_eq!(last["recording"], "failed", "{last}");
        assert_eq!(dir.read("both"), b"new");
    }
}

/// Command lines, each with the file that it would record in and also uses.
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
fn recording_over_a_file_of_the_command_is_refused() {
    let dir = TestDir::new();
    dir.write("own.anti", antiphon_guest::protocols::GUEST_EXEC);
    dir.write("sent", "precious");
    dir.write("kept", "old");
    fs::create_dir(dir.path("dir")).expect("it is writable");
    fs::create_dir(dir.path("shared")).expect("it is writable");
    let parts = "record Part { n: Nat }\n";
    dir.write("shared/parts.anti", parts);
    let source =
        "import shared.parts;\n\nglobal protocol P(role A, role B) {\n  hi() from A to B;\n}\n";
    dir.write("imports.anti", source);
    let before: Vec<_> = dir.names();
    for (name, args) in OWN {
        let (command, rest) = args.split_first().expect("a command");
        let content = fs::read(dir.path(name)).ok();
        for alias in [false, true] {
            let recorded = if alias {
                format!("./dir/../{name}")
            } else {
                name.to_owned()
            };
            for flags in [&["--record"][..], &["--overwrite", "--record"]] {
                let args = [&[*command], flags, &[recorded.as_str()], rest].concat();
                let output = dir.run(&args);
                assert_eq!(output.code, Some(2), "{args:?}: {output:?}");
                let message =
                    format!("`{recorded}` is a file that the command itself reads or writes");
                assert!(output.stderr.contains(&message), "{args:?}: {output:?}");
                assert_eq!(fs::read(dir.path(name)).ok(), content, "{args:?}");
                assert_eq!(dir.names(), before, "{args:?}");
            }
        }
    }
    // Hard and symbolic links lead to the same file.
    fs::hard_link(dir.path("sent"), dir.path("hard")).expect("it can be linked");
    symlink("sent", dir.path("soft")).expect("it can be linked");
    for name in ["hard", "soft"] {
        let args = ["cp", "--overwrite", "--record", name, "sent", "guest:there"];
        let output = dir.run(&args);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert_eq!(dir.read("sent"), b"precious");
    }
    // Other files are not refused.
    dir.run_ok(&[&RUN[..], &["--record", "a.rec"]].concat());
}

/// A recording renamed over the file of standard output or error would hide what is written there.
#[test]
fn recording_over_a_standard_stream_is_refused() {
    let dir = TestDir::new();
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
            let mut command = common::under(&dir, first, args);
            let output = end(command.spawn().expect("there is a shell"));
            assert_eq!(output.code, Some(2), "{first} {args:?}: {output:?}");
            let message = format!("`{name}` is a file that the command itself reads or writes");
            let err = fs::read(dir.path("err")).unwrap_or_default();
            let err = [output.stderr.as_bytes(), &err].concat();
            assert!(
                String::from_utf8_lossy(&err).contains(&message),
                "{output:?}"
            );
        }
    }
    let left = dir.names().into_iter().find(|name| name.starts_with('.'));
    assert_eq!(left, None);
}

/// A copy that ends because its recording failed.
#[test]
fn the_last_document_of_a_copy_names_the_recording() {
    let dir = TestDir::new();
    let agent = Agent::start(&dir);
    dir.write("sent", vec![7; 300_000]);
    let target = format!("guest:{}", dir.path("there").display());
    let flags = ["--json", "--record", "a.rec", "--record-required"];
    let args = [&agent.cp("sent", &target)[..], &flags].concat();
    let mut command = common::under(&dir, "ulimit -f 64", &args);
    let output = end(command.spawn().expect("there is a shell"));
    assert_eq!(output.code, Some(125), "{output:?}");
    let documents = documents(&output);
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

/// The reader of standard output is gone before the failure is reported.
#[test]
fn a_failed_recording_is_not_hidden_by_a_closed_output() {
    let dir = TestDir::new();
    let args = [&RUN[..], &["--sessions", "500", "--record", "a.rec"]].concat();
    let mut command = common::under(&dir, "ulimit -f 8", &args);
    let mut child = command.spawn().expect("there is a shell");
    let _ = next_line(&mut child);
    drop(child.stdout.take());
    let output = end(child);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output.stderr.contains("cannot record in `a.rec`"),
        "{output:?}"
    );
}
