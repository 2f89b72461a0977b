//! Tests the help, the manual pages and errors of the command line.

use crate::common::TestDir;

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
fn the_help_of_every_command() {
    let dir = TestDir::new();
    insta::assert_snapshot!("help", dir.run_ok(&["--help"]));
    for command in COMMANDS {
        insta::assert_snapshot!(format!("help_{command}"), dir.run_ok(&[command, "--help"]));
    }
}

#[test]
fn every_command_has_an_example_and_a_manual_page() {
    let dir = TestDir::new();
    for command in COMMANDS {
        assert!(
            dir.run_ok(&[command, "--help"]).contains("Examples:"),
            "{command}"
        );
        let page = dir.run_ok(&["man", command]);
        assert!(
            page.contains(&format!(".TH antiphon-{command} 1")),
            "{command}: {page}"
        );
        assert!(page.contains("Examples:"), "{command}: {page}");
    }
    assert!(dir.run_ok(&["man"]).contains(".TH antiphon 1"));
    let output = dir.run(&["man", "dance"]);
    assert_eq!(output.code, Some(2));
    assert!(
        output
            .stderr
            .starts_with("antiphon: there is no command `dance`; the commands are `exec`"),
        "{output:?}"
    );
}

#[test]
fn completions_for_every_shell_name_every_command() {
    let dir = TestDir::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = dir.run_ok(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn a_wrong_command_line_ends_with_two() {
    let dir = TestDir::new();
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
        let output = dir.run(args);
        assert_eq!(output.code, Some(2), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn the_removed_page_of_show_names_its_successor() {
    let dir = TestDir::new();
    let output = dir.run(&["show", "a.rec", "--html"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let successor = "`antiphon view a.rec --out FILE`";
    assert!(output.stderr.contains(successor), "{output:?}");
    assert!(!dir.run_ok(&["show", "--help"]).contains("--html"));
}
