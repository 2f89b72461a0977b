//! Parses the output of `cargo test`: which targets ran, and how many of their tests passed, failed
//! and did not run.

use std::fmt;

use crate::report::Tally;

#[derive(Default)]
pub(crate) struct LibTest {
    pub(crate) tally: Tally,
    pub(crate) targets: Vec<Target>,
    /// The lines to print if the lane fails: all but those of passed tests and compiled crates.
    pub(crate) shown: Vec<String>,
    current: String,
}

/// One test binary, or the doctests of one crate.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) tally: Tally,
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            passed,
            failed,
            skipped,
        } = self.tally;
        write!(out, "{passed:>6} passed")?;
        if failed > 0 {
            write!(out, ", {failed} failed")?;
        }
        if skipped > 0 {
            write!(out, ", {skipped} not run")?;
        }
        write!(out, "  {}", self.name)
    }
}

impl LibTest {
    /// Parses one line of output. Returns a progress note if the line starts or ends a step.
    pub(crate) fn line(&mut self, line: &str) -> Option<String> {
        let trimmed = line.trim_start();
        if let Some(tally) = result_line(trimmed) {
            self.tally = self.tally + tally;
            self.targets.push(Target {
                name: self.current.clone(),
                tally,
            });
            return Some(format!(
                "{} passed, after {}",
                self.tally.passed, self.current
            ));
        }
        if let Some(name) = target_line(trimmed) {
            self.current = name;
            return Some(format!("{} passed, in {}", self.tally.passed, self.current));
        }
        if ["Compiling ", "Checking ", "Documenting ", "Finished "]
            .iter()
            .any(|verb| trimmed.starts_with(verb))
        {
            return Some(trimmed.to_owned());
        }
        // After a test's own output, its `ok` is on a separate line.
        let passed = trimmed.starts_with("test ") && trimmed.ends_with("... ok") || line == "ok";
        let heading = trimmed.starts_with("running ") && trimmed.contains(" test");
        let blank_again = trimmed.is_empty() && self.shown.last().is_none_or(String::is_empty);
        if !passed && !heading && !blank_again {
            self.shown.push(line.to_owned());
        }
        None
    }
}

impl LibTest {
    /// Removes a target from the counts and returns its own; zeros if it did not run.
    pub(crate) fn take(&mut self, name: &str) -> Tally {
        let (taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.targets)
            .into_iter()
            .partition(|t| t.name == name);
        self.targets = left;
        self.tally = sum(&self.targets);
        sum(&taken)
    }
}

fn sum(targets: &[Target]) -> Tally {
    targets
        .iter()
        .fold(Tally::default(), |sum, target| sum + target.tally)
}

/// `Running unittests src/lib.rs (target/debug/deps/antiphon_codec-0123)` and `Doc-tests
/// antiphon_codec`.
fn target_line(line: &str) -> Option<String> {
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name} (documentation)"));
    }
    let (source, binary) = line.strip_prefix("Running ")?.split_once(" (")?;
    let source = source.strip_prefix("unittests ").unwrap_or(source);
    let binary = binary.strip_suffix(')')?.rsplit('/').next()?;
    let name = binary.rsplit_once('-').map_or(binary, |(name, _hash)| name);
    Some(format!("{name} ({source})"))
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
/// `measured` counts benches that ran. `ignored` and `filtered out` both count tests that did not
/// run.
fn result_line(line: &str) -> Option<Tally> {
    let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut tally = Tally::default();
    for count in counts.split("; ") {
        let Some((number, what)) = count.split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match what {
            "passed" | "measured" => tally.passed += number,
            "failed" => tally.failed += number,
            "ignored" | "filtered out" => tally.skipped += number,
            _ => {}
        }
    }
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
   Compiling antiphon-codec v0.1.0 (rust/codec)
     Running unittests src/lib.rs (target/debug/deps/antiphon_codec-93a0b5c2)

running 4 tests
test item::round_trip ... printed by the test
ok
test item::depth ... FAILED
test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.01s
     Running tests/rfc8949.rs (target/debug/deps/rfc8949-1b)
test result: ok. 82 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests antiphon_codec
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
error: 1 target failed";

    #[test]
    fn counts_the_tests_of_every_target_and_those_that_did_not_run() {
        let mut reading = LibTest::default();
        for line in OUTPUT.lines() {
            reading.line(line);
        }
        assert_eq!(
            reading.tally,
            Tally {
                passed: 86,
                failed: 1,
                skipped: 5
            }
        );
        let targets: Vec<_> = reading
            .targets
            .iter()
            .map(|t| (t.name.as_str(), t.tally.passed))
            .collect();
        assert_eq!(
            targets,
            [
                ("antiphon_codec (src/lib.rs)", 1),
                ("rfc8949 (tests/rfc8949.rs)", 82),
                ("antiphon_codec (documentation)", 3),
            ]
        );
        assert_eq!(
            reading.shown,
            [
                "test item::round_trip ... printed by the test",
                "test item::depth ... FAILED",
                "error: 1 target failed"
            ]
        );
    }

    #[test]
    fn a_line_that_only_resembles_a_result_is_not_counted() {
        let mut reading = LibTest::default();
        reading.line("my test result: ok. 9 passed; 0 failed");
        reading.line("test result: unreadable");
        assert_eq!(reading.tally, Tally::default());
        assert!(reading.targets.is_empty());
    }
}
