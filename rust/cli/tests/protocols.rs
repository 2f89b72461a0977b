//! `check`, `project`, `compile`, `fmt`.

mod common;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use common::{Place, end};

#[test]
fn check_says_what_is_good() {
    let place = Place::new();
    insta::assert_snapshot!(place.good(&["check", "two_buyer.anti", "calls.anti"]));
    insta::assert_snapshot!(place.good(&["check", "two_buyer.anti", "--json"]));
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let place = Place::new();
    place.write(
        "wrong.anti",
        "global protocol P(role A, role B) {\n  hi() from A to C;\n}\n",
    );
    let told = place.run(&["check", "wrong.anti", "two_buyer.anti"]);
    assert_eq!(told.code, Some(1));
    insta::assert_snapshot!(told.stdout);
    assert!(told.stderr.is_empty(), "{told:?}");

    let told = place.run(&["check", "--json", "wrong.anti"]);
    assert_eq!(told.code, Some(1));
    let document: serde_json::Value = serde_json::from_str(&told.stdout).expect("one document");
    assert_eq!(document["ok"], false);
    assert_eq!(document["diagnostics"][0]["place"]["line"], 2);

    let told = place.run_with(&["check", "-"], b"global protocol \xff");
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.contains("<stdin>"), "{told:?}");
}

#[test]
fn a_file_that_is_not_there_is_another_matter() {
    let place = Place::new();
    for command in ["check", "fmt", "compile", "project", "show", "replay"] {
        let told = place.run(&[command, "nowhere"]);
        assert_eq!(told.code, Some(125), "{command}: {told:?}");
        assert!(
            told.stderr.starts_with("antiphon: cannot read `nowhere`: "),
            "{told:?}"
        );
    }
    let told = place.run(&["check", "--json", "nowhere"]);
    let document: serde_json::Value = serde_json::from_str(&told.stdout).expect("one document");
    assert_eq!(document["code"], 125);
}

#[test]
fn a_module_is_found_beside_the_file_that_imports_it() {
    let place = Place::new();
    std::fs::create_dir(place.path("lib")).expect("the directory is writable");
    place.write(
        "lib/greet.anti",
        "module lib.greet;\naux global protocol Greet(role A, role B) {\n  hi() from A to B;\n}\n",
    );
    place.write(
        "main.anti",
        "module main;\nimport lib.greet as g;\nglobal protocol Main(role A, role B) {\n  do g.Greet(A, B);\n}\n",
    );
    let told = place.run(&["check", "main.anti"]);
    assert_eq!(told.code, Some(0), "{told:?}");
}

#[test]
fn project_shows_automata_in_three_forms() {
    let place = Place::new();
    let bob = ["project", "two_buyer.anti", "--role", "Bob"];
    insta::assert_snapshot!("project_text", place.good(&bob));
    insta::assert_snapshot!("project_dot", place.good(&[&bob[..], &["--dot"]].concat()));
    insta::assert_snapshot!(
        "project_mermaid",
        place.good(&[&bob[..], &["--mermaid"]].concat())
    );
    insta::assert_snapshot!(
        "project_sequence",
        place.good(&["project", "two_buyer.anti", "--mermaid"])
    );
    let told = place.run(&["project", "two_buyer.anti", "--role", "Bo"]);
    assert_eq!(told.code, Some(2));
    insta::assert_snapshot!(told.stderr);
}

#[test]
fn compile_lists_writes_and_reads_images() {
    let place = Place::new();
    insta::assert_snapshot!(
        "disassembly",
        place.good(&["compile", "calls.anti", "--disassemble"])
    );
    let first = place.good(&["compile", "calls.anti", "--output", "calls.image"]);
    assert_eq!(
        first,
        place.good(&["compile", "calls.image"]),
        "an image says what its text says"
    );

    let mut bytes = place.read("calls.image");
    let last = bytes.len() - 1;
    bytes.truncate(last);
    place.write("cut.image", &bytes);
    let told = place.run(&["compile", "cut.image"]);
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr.contains("`cut.image` is not an image"),
        "{told:?}"
    );
}

#[test]
fn one_protocol_of_several_must_be_named() {
    let place = Place::new();
    let two = "global protocol P(role A, role B) { hi() from A to B; }\n\
               global protocol Q(role A, role B) { ho() from A to B; }\n";
    place.write("two.anti", two);
    let told = place.run(&["compile", "two.anti"]);
    assert_eq!(told.code, Some(2));
    insta::assert_snapshot!(told.stderr);
    assert!(
        place
            .good(&["compile", "two.anti", "--protocol", "Q"])
            .starts_with("Q version")
    );
    assert_eq!(
        place.run(&["compile", "two.anti", "--protocol", "R"]).code,
        Some(2)
    );
}

#[test]
fn fmt_formats_once_and_keeps_what_it_cannot_read() {
    let place = Place::new();
    let ugly = "global protocol P(role A,role B){hi()from A to B;// keep me\n}";
    place.write("ugly.anti", ugly);
    let told = place.run(&["fmt", "--check", "ugly.anti"]);
    assert_eq!(
        (told.code, told.stdout.as_str()),
        (Some(1), "not formatted: ugly.anti\n")
    );
    assert_eq!(
        place.read("ugly.anti"),
        ugly.as_bytes(),
        "--check changes nothing"
    );

    assert_eq!(place.good(&["fmt", "ugly.anti"]), "formatted: ugly.anti\n");
    insta::assert_snapshot!(String::from_utf8_lossy(&place.read("ugly.anti")));
    assert_eq!(place.good(&["fmt", "ugly.anti"]), "");
    assert_eq!(place.good(&["fmt", "--check", "ugly.anti"]), "");
    let told = place.run_with(&["fmt", "-"], ugly.as_bytes());
    assert_eq!(told.stdout.as_bytes(), place.read("ugly.anti"));

    place.write("broken.anti", "global protocol {");
    let told = place.run(&["fmt", "broken.anti"]);
    assert_eq!(told.code, Some(1));
    assert_eq!(place.read("broken.anti"), b"global protocol {");
}

#[cfg(unix)]
#[test]
fn fmt_keeps_links_and_permissions() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = Place::new();
    place.write(
        "real.anti",
        "global protocol P(role A,role B){hi()from A to B;}",
    );
    let permissions = Permissions::from_mode(0o640);
    std::fs::set_permissions(place.path("real.anti"), permissions).expect("it is ours");
    symlink("real.anti", place.path("link.anti")).expect("the directory is writable");
    place.good(&["fmt", "link.anti"]);
    let link = std::fs::symlink_metadata(place.path("link.anti")).expect("it is there");
    assert!(link.file_type().is_symlink());
    let real = std::fs::metadata(place.path("real.anti")).expect("it is there");
    assert_eq!(real.permissions().mode() & 0o777, 0o640);
}

#[test]
fn colours_are_for_terminals() {
    let place = Place::new();
    let plain = place.good(&["check", "two_buyer.anti"]);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let coloured = place.good(&["check", "two_buyer.anti", "--color", "always"]);
    assert!(coloured.contains('\u{1b}'), "{coloured:?}");
    let told = place.run(&["check", "nowhere", "--color", "never"]);
    assert!(!told.stderr.contains('\u{1b}'), "{told:?}");
}

/// With `--lean` the model's checker has a say too. A program in Lean's place gives the verdicts here; that the model's are
/// the same as ours is for the bridge's tests.
#[test]
fn the_models_checker_is_asked_about_a_certificate() {
    let place = Place::new();
    let image = ["--output", "book.image", "--certificate", "book.safe"];
    place.good(&[&["compile", "two_buyer.anti"], &image[..]].concat());
    let check = |says: &str, more: &[&str]| {
        let lean = format!("#!/bin/sh\nprintf '{says}\\ncomplete\\n' > \"$3\"\n");
        place.write("lean", lean);
        let lean = place.path("lean");
        std::fs::set_permissions(&lean, Permissions::from_mode(0o755)).expect("it is ours");
        let check = [
            "check",
            "book.image",
            "--certificate",
            "book.safe",
            "--lean",
        ];
        let mut command = place.command(&[&check, more].concat());
        end(command
            .env("ANTIPHON_LEAN", lean)
            .spawn()
            .expect("it starts"))
    };
    let told = check("accepted", &[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let (ours, model) = told.stdout.split_once('\n').expect("two lines");
    assert!(ours.starts_with("ok book.image: "), "{told:?}");
    assert!(model.starts_with("model: accepted, by Lean, "), "{told:?}");

    let refused = "refused: the certificate lacks the start";
    let told = check(refused, &["--json"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    let document: serde_json::Value = serde_json::from_str(&told.stdout).expect("one document");
    assert_eq!(document["model"], refused);
    assert_eq!(check("accepted\\naccepted", &[]).code, Some(125));

    let told = place.run(&["check", "book.image", "--lean"]);
    assert_eq!(told.code, Some(2), "{told:?}");
}

/// An image and its certificate are enough to know that it is safe; a changed or foreign certificate is refused.
#[test]
fn a_certificate_is_written_and_holds_for_its_image_alone() {
    let place = Place::new();
    let image = ["--output", "book.image", "--certificate", "book.safe"];
    place.good(&[&["compile", "two_buyer.anti"], &image[..]].concat());
    let check = ["check", "book.image", "--certificate", "book.safe"];
    assert_eq!(
        place.good(&check),
        "ok book.image: TwoBuyer, safe in all 18 configurations of its certificate\n"
    );

    let mut bytes = place.read("book.safe");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    place.write("bent.safe", &bytes);
    let told = place.run(&["check", "book.image", "--certificate", "bent.safe"]);
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr.contains("`bent.safe` does not show"),
        "{}",
        told.stderr
    );

    place.good(&["compile", "calls.anti", "--output", "calls.image"]);
    let told = place.run(&["check", "calls.image", "--certificate", "book.safe"]);
    assert_eq!(told.code, Some(1));
    let told = place.run(&["check", "two_buyer.anti", "--certificate", "book.safe"]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("is not an image"), "{}", told.stderr);
    let told = place.run(&["check", "a", "b", "--certificate", "book.safe"]);
    assert_eq!(told.code, Some(2));
}

#[test]
fn compile_never_writes_over_what_it_compiles() {
    let place = Place::new();
    let source = place.read("calls.anti");
    for flag in ["--output", "--certificate"] {
        let told = place.run(&["compile", "calls.anti", flag, "./calls.anti"]);
        assert_eq!(told.code, Some(2), "{told:?}");
        assert_eq!(place.read("calls.anti"), source);
    }
}
