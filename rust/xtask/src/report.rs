//! What lanes come to, and how it is told.

use std::ops::Add;
use std::process::ExitCode;
use std::time::Duration;

use crate::problem::Problem;

/// Counts of one lane or of one test binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// What one lane came to.
pub(crate) struct Report {
    name: &'static str,
    tally: Tally,
    /// How many checks came to an end, well or not.
    ran: u64,
    elapsed: Duration,
    /// Lines that say what ran.
    details: Vec<String>,
    problem: Option<String>,
}

impl Report {
    /// A lane that is one check.
    pub(crate) fn of_check(
        name: &'static str,
        elapsed: Duration,
        outcome: Result<(), Problem>,
    ) -> Self {
        let tally = match outcome {
            Ok(()) => Tally {
                passed: 1,
                ..Tally::default()
            },
            Err(_) => Tally {
                failed: 1,
                ..Tally::default()
            },
        };
        Self::of_tests(name, elapsed, tally, outcome)
    }

    /// A lane of many tests. What ran nothing, left something out, or ended badly without a failed
    /// test counts as one failure: a lane cannot come out green by doing less.
    pub(crate) fn of_tests(
        name: &'static str,
        elapsed: Duration,
        mut tally: Tally,
        outcome: Result<(), Problem>,
    ) -> Self {
        let ran = tally.passed + tally.failed;
        let problem = outcome
            .err()
            .map(|problem| problem.to_string())
            .or_else(|| match tally {
                Tally {
                    passed: 0,
                    failed: 0,
                    skipped: 0,
                } => Some("no test ran".to_owned()),
                Tally { skipped: 1.., .. } => Some(format!("{} not run", tally.skipped)),
                Tally { failed: 1.., .. } => Some(format!("{} failed", tally.failed)),
                Tally { .. } => None,
            });
        if problem.is_some() && tally.failed == 0 {
            tally.failed = 1;
        }
        Self {
            name,
            tally,
            ran,
            elapsed,
            details: Vec::new(),
            problem,
        }
    }

    /// Says what ran, below the lane's own line.
    pub(crate) fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// Adds the time of what had to be done first.
    pub(crate) fn after(mut self, first: &Self) -> Self {
        self.elapsed += first.elapsed;
        self
    }

    pub(crate) fn failed(&self) -> bool {
        self.problem.is_some()
    }

    /// Tells of the lane as soon as it has ended.
    pub(crate) fn tell(&self) {
        for line in &self.details {
            println!("  {line}");
        }
        let Tally {
            passed,
            failed,
            skipped,
        } = self.tally;
        let verdict = if self.problem.is_none() {
            "ok"
        } else {
            "FAILED"
        };
        let time = seconds(self.elapsed);
        println!(
            "{}: {verdict}, {} ran, {passed} passed, {failed} failed, {skipped} skipped, {time}",
            self.name, self.ran
        );
        if let Some(problem) = &self.problem {
            println!("  {}", problem.replace('\n', "\n  "));
        }
    }
}

/// The table of all lanes and the closing line; the exit code says the same.
pub(crate) fn conclude(reports: &[Report]) -> ExitCode {
    println!("\n{}", table(reports));
    let total = reports
        .iter()
        .fold(Tally::default(), |sum, report| sum + report.tally);
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed == 0 && total.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Tells of one lane that runs by itself, and concludes.
pub(crate) fn alone(report: Report) -> ExitCode {
    report.tell();
    conclude(&[report])
}

fn table(reports: &[Report]) -> String {
    let mut text = format!(
        "{:<10} {:<6} {:>8} {:>8} {:>8} {:>9}\n",
        "lane", "result", "passed", "failed", "skipped", "time"
    );
    for report in reports {
        let result = if report.problem.is_none() {
            "ok"
        } else {
            "FAILED"
        };
        let Tally {
            passed,
            failed,
            skipped,
        } = report.tally;
        let time = seconds(report.elapsed);
        text += &format!(
            "{:<10} {result:<6} {passed:>8} {failed:>8} {skipped:>8} {time:>9}\n",
            report.name
        );
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(passed: u64, failed: u64, skipped: u64) -> Report {
        let tally = Tally {
            passed,
            failed,
            skipped,
        };
        Report::of_tests("lane", Duration::ZERO, tally, Ok(()))
    }

    fn crashed(passed: u64, failed: u64) -> Report {
        let tally = Tally {
            passed,
            failed,
            skipped: 0,
        };
        let problem = Problem::Missing {
            facts: vec!["the rest".to_owned()],
        };
        Report::of_tests("lane", Duration::ZERO, tally, Err(problem))
    }

    #[test]
    fn a_lane_that_ran_nothing_fails() {
        let report = tests(0, 0, 0);
        assert_eq!(report.problem.as_deref(), Some("no test ran"));
        assert_eq!(report.tally.failed, 1);
    }

    #[test]
    fn a_lane_that_left_something_out_fails() {
        let report = tests(7, 0, 2);
        assert_eq!(report.problem.as_deref(), Some("2 not run"));
        assert_eq!(
            report.tally,
            Tally {
                passed: 7,
                failed: 1,
                skipped: 2
            }
        );
    }

    #[test]
    fn a_lane_that_crashed_between_tests_fails() {
        assert_eq!(crashed(7, 0).tally.failed, 1);
        assert_eq!(crashed(7, 3).tally.failed, 3);
    }

    #[test]
    fn a_lane_whose_tests_pass_is_green() {
        let report = tests(7, 0, 0);
        assert!(report.problem.is_none());
        assert_eq!(
            report.tally,
            Tally {
                passed: 7,
                failed: 0,
                skipped: 0
            }
        );
    }

    #[test]
    fn the_table_has_one_line_a_lane() {
        let reports = [tests(12, 0, 0), tests(3, 1, 0)];
        let expected = "\
lane       result   passed   failed  skipped      time
lane       ok           12        0        0     0.0 s
lane       FAILED        3        1        0     0.0 s
";
        assert_eq!(table(&reports), expected);
    }

    #[test]
    fn nothing_at_all_is_not_success() {
        assert_eq!(conclude(&[]), ExitCode::FAILURE);
        assert_eq!(conclude(&[tests(1, 0, 0)]), ExitCode::SUCCESS);
        assert_eq!(conclude(&[tests(1, 1, 0)]), ExitCode::FAILURE);
    }
}
