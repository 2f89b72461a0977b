//! The results of lanes, and how they are printed.

use std::ops::Add;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use antiphon_build_support::console::Console;

use crate::problem::Problem;

/// The counts of one lane or of one test binary.
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

/// The result of one lane.
pub(crate) struct Report {
    name: &'static str,
    tally: Tally,
    /// How many checks ran to their end, passed or failed.
    ran: u64,
    elapsed: Duration,
    /// Lines that list what ran.
    details: Vec<String>,
    problem: Option<String>,
}

impl Report {
    /// The report of a lane with a single check.
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

    /// The report of a lane with many tests. A lane that ran no test, skipped one, or failed
    /// outside a test counts as one failure, so that a lane cannot pass by doing less.
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
                Tally { skipped: 1.., .. } => Some(format!("{} did not run", tally.skipped)),
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

    /// The report of a lane that did not run to its end.
    pub(crate) fn failed_check(name: &'static str, elapsed: Duration, problem: &str) -> Self {
        let tally = Tally {
            failed: 1,
            ..Tally::default()
        };
        Self {
            name,
            tally,
            ran: 0,
            elapsed,
            details: Vec::new(),
            problem: Some(problem.to_owned()),
        }
    }

    #[cfg(test)]
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Adds lines that list what ran, printed before the lane's own line.
    pub(crate) fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// The time that the lane took.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Adds the time of a preparatory step.
    pub(crate) fn after(mut self, first: &Self) -> Self {
        self.elapsed += first.elapsed;
        self
    }

    pub(crate) fn failed(&self) -> bool {
        self.problem.is_some()
    }

    /// Prints the details and the result of the lane.
    pub(crate) fn print(&self, line: &mut dyn FnMut(&str)) {
        for detail in &self.details {
            line(&format!("  {detail}"));
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
        line(&format!(
            "{}: {verdict}, {} ran, {passed} passed, {failed} failed, {skipped} skipped, {time}",
            self.name, self.ran
        ));
        if let Some(problem) = &self.problem {
            line(&format!("  {}", problem.replace('\n', "\n  ")));
        }
    }
}

/// Prints the table of all lanes, the time since `started` and the closing line. The exit code is
/// success if all passed.
pub(crate) fn conclude(reports: &[Report], started: Instant) -> ExitCode {
    println!("\n{}", table(reports, started.elapsed()));
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

/// Prints the reports of a lane that runs by itself, and the table.
pub(crate) fn conclude_lane(
    reports: &[Report],
    started: Instant,
    console: &mut Console,
) -> ExitCode {
    for report in reports {
        report.print(&mut |line| console.line(line));
    }
    conclude(reports, started)
}

fn table(reports: &[Report], total: Duration) -> String {
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
    // Lanes run at the same time, so this is not the sum of their times.
    text += &format!("{:<44} {:>9}\n", "total", seconds(total));
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
            names: vec!["the rest".to_owned()],
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
    fn a_lane_that_skipped_a_test_fails() {
        let report = tests(7, 0, 2);
        assert_eq!(report.problem.as_deref(), Some("2 did not run"));
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
    fn a_lane_that_fails_outside_a_test_fails() {
        assert_eq!(crashed(7, 0).tally.failed, 1);
        assert_eq!(crashed(7, 3).tally.failed, 3);
    }

    #[test]
    fn a_lane_whose_tests_pass_passes() {
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
    fn the_table_has_a_line_per_lane() {
        let reports = [tests(12, 0, 0), tests(3, 1, 0)];
        let expected = "\
lane       result   passed   failed  skipped      time
lane       ok           12        0        0     0.0 s
lane       FAILED        3        1        0     0.0 s
total                                           61.0 s
";
        assert_eq!(table(&reports, Duration::from_secs(61)), expected);
    }

    #[test]
    fn a_run_without_lanes_fails() {
        let now = Instant::now();
        assert_eq!(conclude(&[], now), ExitCode::FAILURE);
        assert_eq!(conclude(&[tests(1, 0, 0)], now), ExitCode::SUCCESS);
        assert_eq!(conclude(&[tests(1, 1, 0)], now), ExitCode::FAILURE);
    }
}
