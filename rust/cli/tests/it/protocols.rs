//! Tests `check`, `project`, `compile` and `fmt`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::common::{TestDir, end};

#[test]
fn check_reports_valid_protocols() {
    let dir = TestDir::new();
    insta::assert_snapshot!(dir.run_ok(&["check", "two_buyer.anti", "calls.anti"]));
    insta::assert_snapshot!(dir.run_ok(&["check", "two_buyer.anti", "--json"]));
}

#[test]
fn check_reports_errors_with_their_place() {
    let dir = TestDir::new();
    dir.write(
        "wrong.anti",
        "global protocol P(role A, role B) {\n  hi() from A to C;\n}\n",
    );
    let output = dir.run(&["check", "wrong.anti", "two_buyer.anti"]);
    assert_eq!(output.code, Some(1));
    insta::assert_snapshot!(output.stdout);
    assert!(output.stderr.is_empty(), "{output:?}");

    let output = dir.run(&["check", "--json", "wrong.anti"]);
    assert_eq!(output.code, Some(1));
    let document: serde_json::Value = serde_json::from_str(&output.stdout).expect("one document");
    assert_eq!(document["ok"], false);
    assert_eq!(document["diagnostics"][0]["place"]["line"], 2);

    let output = dir.run_with(&["check", "-"], b"global protocol \xff");
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.contains("<stdin>"), "{output:?}");
}

#[test]
fn a_missing_file_fails_the_command() {
    let dir = TestDir::new();
    for command in ["check", "fmt", "compile", "project", "show", "replay"] {
        let output = dir.run(&[command, "nowhere"]);
        assert_eq!(output.code, Some(125), "{command}: {output:?}");
        assert!(
            output
                .stderr
                .starts_with("antiphon: cannot read `nowhere`: "),
            "{output:?}"
        );
    }
    let output = dir.run(&["check", "--json", "nowhere"]);
    let document: serde_json::Value = serde_json::from_str(&output.stdout).expect("one document");
    assert_eq!(document["code"], 125);
}

#[test]
fn a_module_is_found_beside_the_file_that_imports_it() {
    let dir = TestDir::new();
    std::fs::create_dir(dir.path("lib")).expect("the directory is writable");
    dir.write(
        "lib/greet.anti",
        "module lib.greet;\naux global protocol Greet(role A, role B) {\n  hi() from A to B;\n}\n",
    );
    dir.write(
        "main.anti",
        "module main;\nimport lib.greet as g;\nglobal protocol Main(role A, role B) {\n  do \
         g.Greet(A, B);\n}\n",
    );
    let output = dir.run(&["check", "main.anti"]);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn project_shows_automata_in_three_forms() {
    let dir = TestDir::new();
    let bob = ["project", "two_buyer.anti", "--role", "Bob"];
    insta::assert_snapshot!("project_text", dir.run_ok(&bob));
    insta::assert_snapshot!("project_dot", dir.run_ok(&[&bob[..], &["--dot"]].concat()));
    insta::assert_snapshot!(
        "project_mermaid",
        dir.run_ok(&[&bob[..], &["--mermaid"]].concat())
    );
    insta::assert_snapshot!(
        "project_sequence",
        dir.run_ok(&["project", "two_buyer.anti", "--mermaid"])
    );
    let output = dir.run(&["project", "two_buyer.anti", "--role", "Bo"]);
    assert_eq!(output.code, Some(2));
    insta::assert_snapshot!(output.stderr);
}

#[test]
fn compile_lists_writes_and_reads_images() {
    let dir = TestDir::new();
    insta::assert_snapshot!(
        "disassembly",
        dir.run_ok(&["compile", "calls.anti", "--disassemble"])
    );
    let first = dir.run_ok(&["compile", "calls.anti", "--output", "calls.image"]);
    assert_eq!(
        first,
        dir.run_ok(&["compile", "calls.image"]),
        "an image says what its text says"
    );

    let mut bytes = dir.read("calls.image");
    let last = bytes.len() - 1;
    bytes.truncate(last);
    dir.write("cut.image", &bytes);
    let output = dir.run(&["compile", "cut.image"]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("`cut.image` is not an image"),
        "{output:?}"
    );
}

#[test]
fn one_protocol_of_several_must_be_named() {
    let dir = TestDir::new();
    let two = "global protocol P(role A, role B) { hi() from A to B; }\n\
               global protocol Q(role A, role B) { ho() from A to B; }\n";
    dir.write("two.anti", two);
    let output = dir.run(&["compile", "two.anti"]);
    assert_eq!(output.code, Some(2));
    insta::assert_snapshot!(output.stderr);
    assert!(
        dir.run_ok(&["compile", "two.anti", "--protocol", "Q"])
            .starts_with("Q version")
    );
    assert_eq!(
        dir.run(&["compile", "two.anti", "--protocol", "R"]).code,
        Some(2)
    );
}

#[test]
fn fmt_formats_once_and_keeps_what_it_cannot_read() {
    let dir = TestDir::new();
    let ugly = "global protocol P(role A,role B){hi()from A to B;// keep me\n}";
    dir.write("ugly.anti", ugly);
    let output = dir.run(&["fmt", "--check", "ugly.anti"]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(1), "not formatted: ugly.anti\n")
    );
    assert_eq!(
        dir.read("ugly.anti"),
        ugly.as_bytes(),
        "--check changes nothing"
    );

    assert_eq!(dir.run_ok(&["fmt", "ugly.anti"]), "formatted: ugly.anti\n");
    insta::assert_snapshot!(String::from_utf8_lossy(&dir.read("ugly.anti")));
    assert_eq!(dir.run_ok(&["fmt", "ugly.anti"]), "");
    assert_eq!(dir.run_ok(&["fmt", "--check", "ugly.anti"]), "");
    let output = dir.run_with(&["fmt", "-"], ugly.as_bytes());
    assert_eq!(output.stdout.as_bytes(), dir.read("ugly.anti"));

    dir.write("broken.anti", "global protocol {");
    let output = dir.run(&["fmt", "broken.anti"]);
    assert_eq!(output.code, Some(1));
    assert_eq!(dir.read("broken.anti"), b"global protocol {");
}

#[cfg(unix)]
#[test]
fn fmt_keeps_links_and_permissions() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = TestDir::new();
    dir.write(
        "real.anti",
        "global protocol P(role A,role B){hi()from A to B;}",
    );
    let permissions = Permissions::from_mode(0o640);
    std::fs::set_permissions(dir.path("real.anti"), permissions).expect("it is ours");
    symlink("real.anti", dir.path("link.anti")).expect("the directory is writable");
    dir.run_ok(&["fmt", "link.anti"]);
    let link = std::fs::symlink_metadata(dir.path("link.anti")).expect("it is there");
    assert!(link.file_type().is_symlink());
    let real = std::fs::metadata(dir.path("real.anti")).expect("it is there");
    assert_eq!(real.permissions().mode() & 0o777, 0o640);
}

#[test]
fn only_terminals_get_colours() {
    let dir = TestDir::new();
    let plain = dir.run_ok(&["check", "two_buyer.anti"]);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let coloured = dir.run_ok(&["check", "two_buyer.anti", "--color", "always"]);
    assert!(coloured.contains('\u{1b}'), "{coloured:?}");
    let output = dir.run(&["check", "nowhere", "--color", "never"]);
    assert!(!output.stderr.contains('\u{1b}'), "{output:?}");
}

/// With `--lean` the model's checker runs, too. A program in place of Lean gives the verdicts here;
/// the bridge's tests check that the model's verdicts equal ours.
#[test]
fn lean_runs_the_models_checker_on_a_certificate() {
    let dir = TestDir::new();
    let image = ["--output", "book.image", "--certificate", "book.safe"];
    dir.run_ok(&[&["compile", "two_buyer.anti"], &image[..]].concat());
    let check = |says: &str, more: &[&str]| {
        let lean = format!("#!/bin/sh\nprintf '{says}\\ncomplete\\n' > \"$3\"\n");
        dir.write("lean", lean);
        let lean = dir.path("lean");
        std::fs::set_permissions(&lean, Permissions::from_mode(0o755)).expect("it is ours");
        let check = [
            "check",
            "book.image",
            "--certificate",
            "book.safe",
            "--lean",
        ];
        let mut command = dir.command(&[&check, more].concat());
        end(command
            .env("ANTIPHON_LEAN", lean)
            .spawn()
            .expect("it starts"))
    };
    let buffers = |bound, more| {
        format!(
            "accepted for buffers of at least {bound}; admission with one less: smaller, equal: \
             same bound, one more: {more}"
        )
    };
    let output = check(&buffers(2, "room"), &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let [ours, _, model] = output.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("{output:?}");
    };
    assert!(ours.starts_with("ok book.image: "), "{output:?}");
    assert!(
        model.starts_with("model: accepted, by Lean, "),
        "{output:?}"
    );

    // A model that accepts it for other buffers, or admits it to other machines, disagrees.
    for other in [buffers(1, "room"), buffers(2, "no room")] {
        let output = check(&other, &[]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            output.stdout.contains(&format!("model: {other}, by")),
            "{output:?}"
        );
    }

    let refused = "refused: the certificate lacks the start";
    let output = check(refused, &["--json"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let document: serde_json::Value = serde_json::from_str(&output.stdout).expect("one document");
    assert_eq!(document["model"], refused);
    assert_eq!(check("accepted", &[]).code, Some(125));
    let twice = format!("{0}\\n{0}", buffers(2, "room"));
    assert_eq!(check(&twice, &[]).code, Some(125));

    let output = dir.run(&["check", "book.image", "--lean"]);
    assert_eq!(output.code, Some(2), "{output:?}");
}

/// An image and its certificate suffice to check that the image is safe. A changed or foreign
/// certificate is refused.
#[test]
fn a_certificate_is_valid_only_for_its_image() {
    let dir = TestDir::new();
    let image = ["--output", "book.image", "--certificate", "book.safe"];
    dir.run_ok(&[&["compile", "two_buyer.anti"], &image[..]].concat());
    let check = ["check", "book.image", "--certificate", "book.safe"];
    assert_eq!(
        dir.run_ok(&check),
        "ok book.image: TwoBuyer, safe in all 18 configurations of its certificate\n   \
         safe with buffers of at least 2 messages; the default of 64 is covered\n"
    );

    let mut bytes = dir.read("book.safe");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    dir.write("bent.safe", &bytes);
    let output = dir.run(&["check", "book.image", "--certificate", "bent.safe"]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("`bent.safe` does not show"),
        "{}",
        output.stderr
    );

    dir.run_ok(&["compile", "calls.anti", "--output", "calls.image"]);
    let output = dir.run(&["check", "calls.image", "--certificate", "book.safe"]);
    assert_eq!(output.code, Some(1));
    let output = dir.run(&["check", "two_buyer.anti", "--certificate", "book.safe"]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("is not an image"),
        "{}",
        output.stderr
    );
    let output = dir.run(&["check", "a", "b", "--certificate", "book.safe"]);
    assert_eq!(output.code, Some(2));
}

#[test]
fn compile_never_overwrites_its_input() {
    let dir = TestDir::new();
    let source = dir.read("calls.anti");
    for flag in ["--output", "--certificate"] {
        let output = dir.run(&["compile", "calls.anti", flag, "./calls.anti"]);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert_eq!(dir.read("calls.anti"), source);
    }
}
