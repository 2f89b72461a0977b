//! The files of cases that the suite uses can be read. This does not need Lean.

use std::fs;
use std::path::Path;

use antiphon_bridge::fixture::read_fixtures;
use antiphon_bridge::recording::case_of_recording;
use antiphon_bridge::run::{ActionResult, Runner};
use antiphon_machine::{End, Phase};
use antiphon_record::{Verdict, replay};

fn parity() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity")
}

#[test]
fn regressions_can_be_read() {
    let cases = read_fixtures(&parity().join("regressions"));
    cases.unwrap_or_else(|error| panic!("{error}"));
}

/// Each recording of a guest session replays, and its case ends with the recorded digest.
#[test]
fn recordings_replay_and_convert_to_cases() {
    let mut names = Vec::new();
    for entry in fs::read_dir(parity().join("recordings")).expect("the folder exists") {
        let path = entry.expect("the file can be read").path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = fs::read(&path).expect("the file can be read");
        let report = replay(&bytes[..]).expect("the recording can be replayed");
        assert_eq!(report.verdict, Verdict::Equal, "{name}");
        let case =
            case_of_recording(&name, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut runner = Runner::new(&case);
        for action in &case.actions {
            let out = runner.act(action);
            assert!(
                !matches!(out.result, ActionResult::Rested(_)),
                "{name}: a turn that takes no step"
            );
        }
        assert_eq!(
            Some(runner.kernel().state_digest()),
            report.last.state,
            "{name}"
        );
        let is_over = |phase| {
            matches!(
                phase,
                Phase::Terminal(End::Closed | End::Cancelled | End::Faulted)
            )
        };
        assert!(
            runner
                .kernel()
                .sessions()
                .iter()
                .all(|session| is_over(session.phase()))
        );
        names.push(name);
    }
    names.sort();
    let expected = [
        "exec",
        "exec-input",
        "exec-not-found",
        "exec-signal",
        "files-from-guest",
        "files-missing",
        "files-to-guest",
    ];
    assert_eq!(names, expected);
}
