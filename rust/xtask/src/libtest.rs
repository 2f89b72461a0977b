//! Reads what `cargo test` prints: which targets ran, and how many of their tests passed, failed
//! and were left out.

use std::fmt;

use crate::report::Tally;

#[derive(Default)]
pub(crate) struct LibTest {
    pub(crate) tally: Tally,
    pub(crate) targets: Vec<Target>,
    /// What is worth showing when the lane fails: all but the lines of passed tests and compiled
    /// crates.
    pub(crate) kept: Vec<String>,
    current: String,
}

/// One test binary, or the doc tests of one crate.
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
    /// Takes one line of output; answers with what is being done now, when the line says it.
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
        // A test that said something has its `ok` on a line of its own.
        let passed = trimmed.starts_with("test ") && trimmed.ends_with("... ok") || line == "ok";
        let heading = trimmed.starts_with("running ") && trimmed.contains(" test");
        let blank_again = trimmed.is_empty() && self.kept.last().is_none_or(String::is_empty);
        if !passed && !heading && !blank_again {
            self.kept.push(line.to_owned());
        }
        None
    }
}

impl LibTest {
    /// Takes a target out of the count, to be told of by itself; zeros when it did not run.
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
/// Measured means a bench that ran; ignored and filtered out both mean that a test did not.
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
test item::round_trip ... said by the test
ok
test item::depth ... FAILED
test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.01s
     Running tests/rfc8949.rs (target/debug/deps/rfc8949-1b)
test result: ok. 82 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests antiphon_codec
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
error: 1 target failed";

    #[test]
    fn counts_every_target_and_what_did_not_run() {
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
            reading.kept,
            [
                "test item::round_trip ... said by the test",
                "test item::depth ... FAILED",
                "error: 1 target failed"
            ]
        );
    }

    #[test]
    fn a_test_that_prints_a_result_like_line_is_not_a_result() {
        let mut reading = LibTest::default();
        reading.line("my test result: ok. 9 passed; 0 failed");
        reading.line("test result: unreadable");
        assert_eq!(reading.tally, Tally::default());
        assert!(reading.targets.is_empty());
    }
}
