//! Helpers of the tests that run the model.

#![allow(
    clippy::print_stdout,
    dead_code,
    reason = "a successful run prints its figures; each test uses a part of this module"
)]

pub(crate) mod project;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use antiphon_bridge::answers::{Answers, Digest, Shard};
use antiphon_bridge::case::Case;
use antiphon_bridge::compare::Divergence;
use antiphon_bridge::coverage::Coverage;
use antiphon_bridge::fixture::read_fixtures;
use antiphon_bridge::oracle::Oracle;
use antiphon_bridge::output::OUTPUT_TAG;
use antiphon_bridge::recording::case_of_recording;
use antiphon_bridge::run::ActionOut;
use antiphon_build_support::cache::{Cache, Key, KeyBuilder, Table};
use antiphon_build_support::console::Console;

/// The random cases of every run of the suite.
pub(crate) const RANDOM_CASES: u64 = 2_000;

/// The cases that once differed. There may be none.
pub(crate) fn regressions(root: &Path) -> Vec<Case> {
    let cases = read_fixtures(&root.join("fixtures/parity/regressions"));
    cases.unwrap_or_else(|error| panic!("{error}"))
}

/// The cases of recorded sessions: one of a sample protocol, and those with a guest.
pub(crate) fn recordings(root: &Path) -> Vec<Case> {
    let mut paths = vec![root.join("fixtures/recordings/v1/ping-pong.rec")];
    let folder = fs::read_dir(root.join("fixtures/parity/recordings")).expect("the folder exists");
    paths.extend(folder.map(|entry| entry.expect("the file can be read").path()));
    paths.sort();
    let case = |path: &PathBuf| {
        let bytes = fs::read(path).expect("the file can be read");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        case_of_recording(&name, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    paths.iter().map(case).collect()
}

/// The program that runs the model. It is in the target folder, which is found from the path of the
/// test's own program.
pub(crate) fn oracle() -> Oracle {
    let program = std::env::current_exe().expect("a test program has a path");
    let target = program
        .ancestors()
        .nth(3)
        .expect("the test program is in target/debug/deps");
    Oracle::find(target).unwrap_or_else(|error| panic!("{error}"))
}

/// Parts of the suite. They are run together because a process of the model is slow to start; the
/// results are printed for each part.
#[derive(Default)]
pub(crate) struct Suite {
    parts: Vec<(String, usize)>,
    cases: Vec<Case>,
    coverage: Coverage,
    diverging: usize,
}

impl Suite {
    pub(crate) fn part(&mut self, name: &str, cases: Vec<Case>) {
        assert!(!cases.is_empty(), "{name}: no cases");
        self.parts.push((name.to_owned(), cases.len()));
        self.cases.extend(cases);
    }

    /// Runs the parts added so far. `observe` is called with each case's number, the case, and the
    /// kernel's output.
    pub(crate) fn run(&mut self, mut observe: impl FnMut(usize, &Case, &[ActionOut])) {
        let start = Instant::now();
        let (mut actions, mut states) = (Vec::new(), 0);
        let coverage = &mut self.coverage;
        let mut kept = Kept::open(ORACLE);
        let done = oracle().compare_known(&self.cases, &mut kept.answers, |case, outs| {
            coverage.add(case, outs);
            observe(actions.len(), case, outs);
            actions.push(outs.len());
            states += outs.iter().map(|out| out.state.len()).sum::<usize>();
        });
        let done = done.unwrap_or_else(|error| panic!("{error}"));
        kept.save();
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(
            done.cases,
            self.cases.len() as u64,
            "every case is compared"
        );

        let mut first = 0;
        for (name, len) in self.parts.drain(..) {
            let part = first..first + len;
            let index = part.start as u64..part.end as u64;
            let is_in_part = |d: &&Divergence| index.contains(&d.index);
            println!(
                "{name}: {len} cases, {} actions, {} diverge",
                actions[part].iter().sum::<usize>(),
                done.divergences.iter().filter(is_in_part).count(),
            );
            first += len;
        }
        for divergence in done.divergences.iter().take(5) {
            println!("{divergence}\n");
        }
        let asked = done.cases - done.known;
        println!(
            "{asked} cases run on the model, {} compared with its known answers",
            done.known
        );
        println!(
            "together: {} cases, {} actions, {} bytes compared, {states} of them states; \
             {seconds:.1} s with the model's start, {:.0} cases a minute, {:.0} steps a second",
            done.cases,
            done.actions,
            done.bytes,
            done.cases as f64 * 60.0 / seconds,
            done.actions as f64 / seconds,
        );
        self.diverging += done.divergences.len();
        self.cases.clear();
    }

    /// Fails if any case diverged; there is no list of known divergences.
    pub(crate) fn finish(self) -> Coverage {
        assert!(self.parts.is_empty(), "every part was run");
        let diverge = self.diverging;
        assert_eq!(
            diverge, 0,
            "{diverge} cases diverge; the first are printed above"
        );
        self.coverage
    }
}

/// The model's programs whose answers are kept: the variable that `cargo xtask` sets to the digest
/// of the program's text with its imports, of Lean and of its patches. Without it no answer is
/// kept.
pub(crate) const ORACLE: &str = "ANTIPHON_ORACLE_DIGEST";
pub(crate) const CERTIFICATE: &str = "ANTIPHON_CERTIFICATE_DIGEST";
pub(crate) const VERIFICATION: &str = "ANTIPHON_VERIFICATION_DIGEST";

/// Set by `cargo xtask`: the number of the shard whose cases the model is asked again.
const SHARD_VARIABLE: &str = "ANTIPHON_ORACLE_SHARD";

/// The kind of the cache entries that have the answers.
const KIND: &str = "model-answers";

/// The model's answers in the cache.
pub(crate) struct Kept {
    pub(crate) answers: Answers,
    shard: Option<Shard>,
    entry: Option<(Cache, Key)>,
}

impl Kept {
    /// The known answers of a program, named by its variable.
    pub(crate) fn open(program: &str) -> Kept {
        let Ok(program) = std::env::var(program) else {
            let answers = Answers::unknown();
            return Kept {
                answers,
                shard: None,
                entry: None,
            };
        };
        let shard = std::env::var(SHARD_VARIABLE).expect("a shard is set beside the digest");
        let shard = shard.parse().ok().and_then(Shard::new).expect("a shard");
        let key = KeyBuilder::new("model-answers 1")
            .input("program", program)
            .input("format", OUTPUT_TAG)
            .finish();
        let cache = Cache::locate(&PathBuf::from("target/cache"));
        let cache = cache.unwrap_or_else(|problem| panic!("{problem}"));
        let table = Table::load(&cache, KIND, &key, &mut Console::stdout());
        let table = table.unwrap_or_else(|problem| panic!("{problem}"));
        Kept {
            answers: Answers::known(table.rows(), shard),
            shard: Some(shard),
            entry: Some((cache, key)),
        }
    }

    /// Whether the model is run for this case although its answer is known.
    pub(crate) fn is_in_shard(&self, case: &Digest) -> bool {
        self.shard.is_some_and(|shard| shard.contains(case))
    }

    /// Stores the answers that a run has added.
    pub(crate) fn save(&self) {
        let Some((cache, key)) = &self.entry else {
            return;
        };
        let mut table = Table::default();
        for (case, answer) in self.answers.added() {
            table
                .insert(*case, *answer)
                .unwrap_or_else(|problem| panic!("{problem}"));
        }
        if table.is_empty() {
            return;
        }
        table
            .save(cache, KIND, key, &mut Console::stdout())
            .unwrap_or_else(|problem| panic!("{problem}"));
    }
}
