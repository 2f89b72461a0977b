//! Tests that an option which would have no effect is refused, with the reason and the way out.

use crate::common::TestDir;

#[test]
fn options_without_an_effect_are_refused() {
    let dir = TestDir::new();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    dir.run_ok(&[&run[..], &["--record", "a.rec"]].concat());
    dir.run_ok(&["compile", "two_buyer.anti", "--output", "a.image"]);
    let priority = [&run[..], &["--priority", "Shop=1"]].concat();
    let other = [&priority[..], &["--policy", "round-robin"]].concat();
    let all = [&["--json"], &run[..], &["--all"]].concat();
    for (args, expected) in [
        (
            &priority[..],
            "policy `cooperative`; add `--policy priority`",
        ),
        (&other, "policy `round-robin`; add `--policy priority`"),
        (&all, "`--all` has no effect with `--json`"),
        (
            &["--json", "show", "a.rec", "--all"],
            "`--all` has no effect with `--json`",
        ),
        (
            &["--json", "show", "a.rec", "--mermaid"],
            "`--mermaid` has no effect with `--json`",
        ),
        (
            &["exec", "--raw", "--json", "--", "true"],
            "`--raw` has no effect with `--json`",
        ),
        (
            &["man", "--json"],
            "`man` prints no JSON; leave `--json` out",
        ),
        (
            &["--json", "completions", "bash"],
            "`completions` prints no JSON; leave `--json` out",
        ),
        (
            &["compile", "a.image", "--protocol", "X"],
            "`--protocol` has no effect; leave it out",
        ),
        (
            &["compile", "a.image", "--certificate", "c"],
            "a certificate is made when a protocol",
        ),
    ] {
        let output = dir.run(args);
        assert_eq!(output.code, Some(2), "{args:?}: {output:?}");
        assert!(output.stderr.contains(expected), "{args:?}: {output:?}");
    }
    dir.run_ok(&[&priority[..], &["--policy", "priority"]].concat());
}

#[test]
fn an_empty_word_is_shown_as_two_quotes() {
    let dir = TestDir::new();
    let run = ["run", "two_buyer.anti", "--script", "happy.script"];
    dir.run_ok(&[&run[..], &["--record", "a.rec"]].concat());
    for (args, expected) in [
        (&["man", ""][..], "there is no command \"\"; "),
        (
            &["project", "two_buyer.anti", "--role", ""],
            "has no role \"\"; ",
        ),
        (
            &["replay", "a.rec", "--to-checkpoint", "", "x"],
            "got \"\" as the step",
        ),
        (&["cp", "", "guest:/tmp/x"], "cannot read \"\": "),
        (&["exec", "--", ""], "the guest did not run \"\": "),
    ] {
        let output = dir.run(args);
        assert!(output.stderr.contains(expected), "{args:?}: {output:?}");
        assert!(!output.stderr.contains("``"), "{args:?}: {output:?}");
    }
}
