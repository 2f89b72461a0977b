//! Runs lanes in three slots: one for a lane that uses the cores, one for a lane that runs Lean,
//! and one for a lane that mostly waits for a download or for another program. A lane's output is
//! kept and printed when the lane ends, so that the outputs of two lanes do not mix.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use antiphon_build_support::console::{Console, Status, clock};

use crate::report::Report;

/// What a lane needs most of the time it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// All cores: the lane compiles, or runs tests that do.
    Cores,
    /// One core and up to 6 GB of memory: the lane runs Lean, a process at a time or two. Such
    /// lanes run one after the other because of the memory.
    Lean,
    /// Little: the lane waits for a download, a virtual machine or a browser.
    Waiting,
}

/// The function of a lane, which prints on its console and returns at least one report.
pub(crate) type Run<'a> = Box<dyn FnOnce(&mut Console) -> Vec<Report> + Send + 'a>;

/// A lane to run.
pub(crate) struct Task<'a> {
    pub(crate) name: &'static str,
    pub(crate) load: Load,
    /// Lanes that run before this one, if they run at all.
    pub(crate) after: &'static [&'static str],
    /// Lanes whose results this one uses: it fails without running if one of them fails.
    pub(crate) needs: &'static [&'static str],
    pub(crate) run: Run<'a>,
}

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(250);

/// The time between two progress lines if the output is not a terminal.
const BEAT: Duration = Duration::from_secs(30);

/// Where the runner prints.
pub(crate) trait Screen {
    /// Prints a line.
    fn line(&mut self, text: &str);

    /// Shows what runs now: for each lane its time and its present step.
    fn progress(&mut self, lanes: &[String]);
}

/// A lane that runs now.
struct Running {
    name: &'static str,
    started: Instant,
    status: Status,
}

/// A lane that has ended.
struct Ended {
    load: Load,
    position: usize,
    name: &'static str,
    lines: Vec<String>,
    reports: Vec<Report>,
}

/// Runs the lanes and returns their reports in the order of the lanes. When a slot is free, the
/// first lane of the list that can run in it is started.
pub(crate) fn run(tasks: Vec<Task<'_>>, screen: &mut impl Screen) -> Vec<Report> {
    let mut waiting: Vec<(usize, Task<'_>)> = tasks.into_iter().enumerate().collect();
    let mut running: BTreeMap<Load, Running> = BTreeMap::new();
    let mut failed: Vec<&'static str> = Vec::new();
    let mut reports: BTreeMap<usize, Vec<Report>> = BTreeMap::new();
    let (sender, ended) = channel();
    std::thread::scope(|scope| {
        loop {
            for load in [Load::Cores, Load::Lean, Load::Waiting] {
                if running.contains_key(&load) {
                    continue;
                }
                while let Some((position, task)) = take_ready(&mut waiting, load, &running) {
                    let missing = task.needs.iter().find(|name| failed.contains(name));
                    if let Some(missing) = missing {
                        let report = not_run(task.name, missing);
                        report.print(&mut |text| screen.line(text));
                        failed.push(task.name);
                        reports.insert(position, vec![report]);
                        continue;
                    }
                    screen.line(&format!("{}: started", task.name));
                    running.insert(load, start(scope, position, task, sender.clone()));
                    break;
                }
            }
            if running.is_empty() {
                break;
            }
            match ended.recv_timeout(TICK) {
                Ok(ended) => {
                    let Ended { load, position, .. } = ended;
                    running.remove(&load);
                    let (lane, lane_failed) = show(ended, screen);
                    failed.extend(lane_failed);
                    reports.insert(position, lane);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            let shown: Vec<String> = running.values().map(Running::shown).collect();
            screen.progress(&shown);
        }
    });
    for (position, task) in waiting {
        let why = "it did not run: it and other lanes wait for each other";
        let report = Report::failed_check(task.name, Duration::ZERO, why);
        report.print(&mut |text| screen.line(text));
        reports.insert(position, vec![report]);
    }
    reports.into_values().flatten().collect()
}

/// Removes the first lane of this load that need not wait for another one.
fn take_ready<'a>(
    waiting: &mut Vec<(usize, Task<'a>)>,
    load: Load,
    running: &BTreeMap<Load, Running>,
) -> Option<(usize, Task<'a>)> {
    let is_pending = |name: &&'static str| {
        waiting.iter().any(|(_, task)| task.name == *name)
            || running.values().any(|lane| lane.name == *name)
    };
    let ready = waiting.iter().position(|(_, task)| {
        let mut before = task.after.iter().chain(task.needs);
        task.load == load && !before.any(is_pending)
    })?;
    Some(waiting.remove(ready))
}

fn start<'scope, 'a: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    position: usize,
    task: Task<'a>,
    sender: Sender<Ended>,
) -> Running {
    let Task {
        name, load, run, ..
    } = task;
    let started = Instant::now();
    let status = Status::default();
    let mut console = Console::buffered(status.clone());
    scope.spawn(move || {
        // A panic must not end the other lanes, nor leave the runner waiting.
        let reports = catch_unwind(AssertUnwindSafe(|| run(&mut console)));
        let reports = reports
            .unwrap_or_else(|_| vec![Report::failed_check(name, started.elapsed(), "it panicked")]);
        let lines = console.take_lines();
        // The runner receives until all lanes have ended.
        let _ = sender.send(Ended {
            load,
            position,
            name,
            lines,
            reports,
        });
    });
    Running {
        name,
        started,
        status,
    }
}

/// Prints the output and the reports of a lane. Also returns its name if it failed.
fn show(ended: Ended, screen: &mut impl Screen) -> (Vec<Report>, Option<&'static str>) {
    let Ended {
        name,
        lines,
        mut reports,
        ..
    } = ended;
    if reports.is_empty() {
        let report = Report::failed_check(name, Duration::ZERO, "it ran nothing");
        reports.push(report);
    }
    screen.line("");
    lines.iter().for_each(|line| screen.line(line));
    for report in &reports {
        report.print(&mut |text| screen.line(text));
    }
    let has_failed = reports.iter().any(Report::failed);
    (reports, has_failed.then_some(name))
}

fn not_run(name: &'static str, missing: &str) -> Report {
    let why = format!("it did not run: the lane `{missing}` failed");
    Report::failed_check(name, Duration::ZERO, &why)
}

impl Running {
    fn shown(&self) -> String {
        let (name, status) = (self.name, self.status.get());
        // Most lanes have a single step with their own name.
        let step = status.strip_prefix(name).map_or(&*status, str::trim_start);
        format!("{name} {} {step}", clock(self.started.elapsed()))
    }
}

/// Standard output.
pub(crate) struct Stdout {
    console: Console,
    is_terminal: bool,
    last_beat: Instant,
}

impl Stdout {
    pub(crate) fn new() -> Self {
        Self {
            console: Console::stdout(),
            is_terminal: std::io::IsTerminal::is_terminal(&std::io::stdout()),
            last_beat: Instant::now(),
        }
    }
}

impl Screen for Stdout {
    fn line(&mut self, text: &str) {
        self.console.line(text);
    }

    fn progress(&mut self, lanes: &[String]) {
        if self.is_terminal {
            antiphon_build_support::console::rewrite(&lanes.join(" | "));
        } else if self.last_beat.elapsed() >= BEAT {
            self.last_beat = Instant::now();
            for lane in lanes {
                self.console.line(&format!("  … {lane}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A screen that keeps the lines.
    #[derive(Default)]
    struct Lines(Vec<String>);

    impl Screen for Lines {
        fn line(&mut self, text: &str) {
            self.0.push(text.to_owned());
        }

        fn progress(&mut self, _: &[String]) {}
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    fn task<'a>(
        name: &'static str,
        load: Load,
        run: impl FnOnce(&mut Console) -> Vec<Report> + Send + 'a,
    ) -> Task<'a> {
        Task {
            name,
            load,
            after: &[],
            needs: &[],
            run: Box::new(run),
        }
    }

    fn passed(name: &'static str) -> Vec<Report> {
        vec![Report::of_check(name, Duration::ZERO, Ok(()))]
    }

    fn names(reports: &[Report]) -> Vec<&str> {
        reports.iter().map(Report::name).collect()
    }

    #[test]
    fn lanes_of_different_loads_run_together() {
        let barrier = std::sync::Barrier::new(3);
        let loads = [("a", Load::Cores), ("b", Load::Lean), ("c", Load::Waiting)];
        let tasks = loads.map(|(name, load)| {
            let barrier = &barrier;
            task(name, load, move |_| {
                // It returns only if all three wait for it.
                barrier.wait();
                passed(name)
            })
        });
        let reports = run(tasks.into(), &mut Lines::default());
        assert_eq!(names(&reports), ["a", "b", "c"]);
        assert!(!reports.iter().any(Report::failed));
    }

    #[test]
    fn a_waiting_lane_runs_beside_a_compiling_one_and_outputs_do_not_mix() {
        let (to_second, from_first) = channel();
        let (to_first, from_second) = channel();
        let first = task("first", Load::Cores, move |console| {
            console.line("first one");
            to_second.send(()).expect("the other lane waits");
            from_second.recv_timeout(PATIENCE).expect("both run");
            console.line("first two");
            passed("first")
        });
        let second = task("second", Load::Waiting, move |console| {
            console.line("second one");
            from_first.recv_timeout(PATIENCE).expect("both run");
            console.line("second two");
            to_first.send(()).expect("the other lane waits");
            passed("second")
        });
        let mut lines = Lines::default();
        let reports = run(vec![first, second], &mut lines);
        assert_eq!(names(&reports), ["first", "second"]);
        assert!(!reports.iter().any(Report::failed));
        let at = |text: &str| lines.0.iter().position(|line| line == text);
        for lane in ["first", "second"] {
            let one = at(&format!("{lane} one")).expect("it is printed");
            assert_eq!(at(&format!("{lane} two")), Some(one + 1));
        }
    }

    #[test]
    fn a_running_lane_is_shown_with_its_time_and_its_step() {
        let lane = Running {
            name: "wasm",
            started: Instant::now(),
            status: Status::default(),
        };
        let mut console = Console::buffered(lane.status.clone());
        console.begin("wasm", "building");
        assert_eq!(lane.shown(), "wasm 0:00 building");
        console.begin("node", "testing");
        assert_eq!(lane.shown(), "wasm 0:00 node testing");
    }

    #[test]
    fn two_lanes_of_one_load_never_run_together() {
        let running = AtomicUsize::new(0);
        let tasks = ["a", "b", "c"].map(|name| {
            let running = &running;
            task(name, Load::Cores, move |_| {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                std::thread::sleep(Duration::from_millis(5));
                running.fetch_sub(1, Ordering::SeqCst);
                passed(name)
            })
        });
        let reports = run(tasks.into(), &mut Lines::default());
        assert_eq!(names(&reports), ["a", "b", "c"]);
        assert!(!reports.iter().any(Report::failed));
    }

    #[test]
    fn a_lane_starts_after_those_it_follows() {
        let done = AtomicUsize::new(0);
        let first = task("first", Load::Waiting, |_| {
            std::thread::sleep(Duration::from_millis(20));
            done.fetch_add(1, Ordering::SeqCst);
            passed("first")
        });
        let second = Task {
            after: &["first", "not requested"],
            ..task("second", Load::Cores, |_| {
                assert_eq!(done.load(Ordering::SeqCst), 1);
                passed("second")
            })
        };
        let reports = run(vec![second, first], &mut Lines::default());
        assert_eq!(names(&reports), ["second", "first"]);
        assert!(!reports.iter().any(Report::failed));
    }

    #[test]
    fn a_lane_whose_needs_failed_fails_without_running() {
        let first = task("first", Load::Cores, |_| {
            vec![Report::failed_check("first", Duration::ZERO, "no")]
        });
        let second = Task {
            needs: &["first"],
            ..task("second", Load::Waiting, |_| panic!("it must not run"))
        };
        let third = Task {
            needs: &["second"],
            ..task("third", Load::Waiting, |_| panic!("it must not run"))
        };
        let reports = run(vec![first, second, third], &mut Lines::default());
        assert_eq!(names(&reports), ["first", "second", "third"]);
        assert!(reports.iter().all(Report::failed));
    }

    #[test]
    fn lanes_that_wait_for_each_other_fail() {
        let tasks = [("a", &["b"]), ("b", &["a"])].map(|(name, after)| Task {
            after,
            ..task(name, Load::Cores, |_| panic!("it must not run"))
        });
        let reports = run(tasks.into(), &mut Lines::default());
        assert_eq!(names(&reports), ["a", "b"]);
        assert!(reports.iter().all(Report::failed));
    }

    #[test]
    fn a_lane_without_a_report_and_one_that_panics_fail() {
        let silent = task("silent", Load::Cores, |_| Vec::new());
        let broken = task("broken", Load::Cores, |_| panic!("for the test"));
        let last = task("last", Load::Cores, |_| passed("last"));
        let reports = run(vec![silent, broken, last], &mut Lines::default());
        let results: Vec<bool> = reports.iter().map(Report::failed).collect();
        assert_eq!(results, [true, true, false]);
    }
}
