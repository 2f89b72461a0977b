//! What the program says about itself.

mod common;

use common::Place;

const COMMANDS: [&str; 15] = [
    "exec",
    "cp",
    "replay",
    "show",
    "view",
    "diff",
    "certify",
    "check",
    "project",
    "compile",
    "fmt",
    "run",
    "agent",
    "completions",
    "man",
];

#[test]
fn help_of_everything() {
    let place = Place::new();
    insta::assert_snapshot!("help", place.good(&["--help"]));
    for command in COMMANDS {
        insta::assert_snapshot!(format!("help_{command}"), place.good(&[command, "--help"]));
    }
}

#[test]
fn every_command_has_an_example_and_a_manual_page() {
    let place = Place::new();
    for command in COMMANDS {
        assert!(
            place.good(&[command, "--help"]).contains("Examples:"),
            "{command}"
        );
        let page = place.good(&["man", command]);
        assert!(
            page.contains(&format!(".TH antiphon-{command} 1")),
            "{command}: {page}"
        );
        assert!(page.contains("Examples:"), "{command}: {page}");
    }
    assert!(place.good(&["man"]).contains(".TH antiphon 1"));
    let told = place.run(&["man", "dance"]);
    assert_eq!(told.code, Some(2));
    assert!(
        told.stderr
            .starts_with("antiphon: there is no command `dance`; the commands are `exec`"),
        "{told:?}"
    );
}

#[test]
fn completions_for_every_shell_name_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.good(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn a_wrong_command_line_ends_with_two() {
    let place = Place::new();
    for args in [
        &["dance"][..],
        &[],
        &["exec"],
        &["exec", "--deadline", "0", "--", "true"],
        &["exec", "--agent", "tcp:1", "--", "true"],
        &["exec", "--overwrite", "--", "true"],
        &["exec", "--env", "=x", "--", "true"],
        &["show", "x", "--all", "--mermaid"],
        &["run", "two_buyer.anti", "--policy", "fair"],
    ] {
        let told = place.run(args);
        assert_eq!(told.code, Some(2), "{args:?}: {told:?}");
        assert!(told.stdout.is_empty(), "{told:?}");
    }
}

#[test]
fn the_removed_page_of_show_names_its_successor() {
    let place = Place::new();
    let told = place.run(&["show", "a.rec", "--html"]);
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.stdout.is_empty(), "{told:?}");
    let successor = "`antiphon view a.rec --out FILE`";
    assert!(told.stderr.contains(successor), "{told:?}");
    assert!(!place.good(&["show", "--help"]).contains("--html"));
}
