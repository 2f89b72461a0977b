//! Builds modules with npm's Lean: in the order of their imports, two at a time, and only modules
//! whose source, imports or Lean have changed.
//!
//! `target/lean/out` has Lean's output for each module and a file `.key` with the hash of its inputs,
//! which is written last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use antiphon_build_support::console::Console;

use crate::elaborate::{Elaborated, elaborate};
use crate::lock::Lock;
use crate::modules::{Module, Modules};
use crate::npm::Npm;
use crate::{Problem, Project};

/// How many processes run at a time: each takes some 3 GB of memory.
const PROCESSES_MAX: usize = 2;

/// How often the progress line is updated.
const TICK: Duration = Duration::from_millis(250);

/// How many of the slowest modules are listed.
const SLOWEST_SHOWN: usize = 5;

/// The extensions of the files of a built module: the key, and Lean's output.
const OUTPUTS: [&str; 5] = ["key", "olean", "olean.server", "olean.private", "ir"];

/// The result of a build, as names of modules.
#[derive(Debug, Default)]
pub struct Built {
    /// Modules that Lean has elaborated.
    pub elaborated: BTreeSet<String>,
    /// Modules that were up to date.
    pub cached: BTreeSet<String>,
    /// Modules with errors.
    pub failed: BTreeSet<String>,
    /// Not built, because a module that they import failed.
    pub unreached: BTreeSet<String>,
    /// The time of each elaborated module, if known.
    pub times: Vec<(Duration, String)>,
}

impl Built {
    /// Whether all modules are built.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.unreached.is_empty()
    }

    /// The counts, as one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let counts = [
            (&self.elaborated, "elaborated"),
            (&self.cached, "cached"),
            (&self.failed, "failed"),
            (&self.unreached, "not reached"),
        ];
        let total: usize = counts.iter().map(|(names, _)| names.len()).sum();
        let parts: Vec<String> = counts
            .iter()
            .map(|(names, what)| format!("{} {what}", names.len()))
            .collect();
        format!("{total} modules: {}", parts.join(", "))
    }

    /// A line with the slowest modules, the first to divide if a build takes too long. `None` if no
    /// module was elaborated.
    #[must_use]
    pub fn slowest(&self) -> Option<String> {
        let mut times = self.times.clone();
        times.sort();
        let slowest = times.iter().rev().take(SLOWEST_SHOWN);
        let shown = slowest.map(|(time, name)| format!("{name} {} s", time.as_secs()));
        let shown: Vec<String> = shown.collect();
        (!shown.is_empty()).then(|| format!("slowest: {}", shown.join(", ")))
    }
}

/// Deletes all built modules.
pub(crate) fn clean(project: &Project, console: &mut Console) -> Result<(), Problem> {
    let _lock = Lock::exclusive(&project.output, console)?;
    let out = project.out();
    if out.exists() {
        fs::remove_dir_all(&out).map_err(Problem::file(&out))?;
    }
    Ok(())
}

/// Builds the modules that are out of date. `order` lists them in the order of their imports. While
/// the returned lock is held, no other process changes the built modules.
pub(crate) fn build(
    project: &Project,
    npm: &Npm,
    modules: &Modules,
    order: &[&str],
    console: &mut Console,
) -> Result<(Built, Lock), Problem> {
    let job = Job::new(project, npm, modules, order);
    let lock = Lock::shared(&project.output, console)?;
    let fresh = job.fresh();
    if fresh.len() == order.len() {
        let built = Built {
            cached: fresh,
            ..Built::default()
        };
        return Ok((built, lock));
    }
    // Another process may have built some of them while this one waited for the lock.
    let lock = lock.into_exclusive(console)?;
    let built = job.run(console)?;
    Ok((built, lock.into_shared(console)?))
}

struct Job<'a> {
    npm: &'a Npm,
    sources: PathBuf,
    out: PathBuf,
    modules: Vec<(&'a str, &'a Module)>,
    keys: BTreeMap<&'a str, String>,
}

impl<'a> Job<'a> {
    fn new(project: &Project, npm: &'a Npm, modules: &'a Modules, order: &[&'a str]) -> Self {
        let with_module = |name: &&'a str| modules.get(name).map(|module| (*name, module));
        let modules: Vec<_> = order.iter().filter_map(with_module).collect();
        Self {
            npm,
            sources: project.sources.clone(),
            out: project.out(),
            keys: keys(npm.id(), &modules),
            modules,
        }
    }

    /// The modules that are up to date.
    fn fresh(&self) -> BTreeSet<String> {
        let fresh = self.modules.iter().filter(|(name, _)| {
            let key = fs::read_to_string(self.output(name, "key"));
            key.is_ok_and(|key| key == self.keys[name]) && self.output(name, "olean").is_file()
        });
        fresh.map(|(name, _)| (*name).to_owned()).collect()
    }

    fn output(&self, name: &str, extension: &str) -> PathBuf {
        let path = name.replace('.', "/");
        self.out.join(format!("{path}.{extension}"))
    }

    fn run(&self, console: &mut Console) -> Result<Built, Problem> {
        let mut built = Built {
            cached: self.fresh(),
            ..Built::default()
        };
        let is_old = |(name, _): &&(&str, &Module)| !built.cached.contains(*name);
        let mut waiting: Vec<_> = self.modules.iter().filter(is_old).collect();
        let total = waiting.len();
        let mut running: BTreeSet<&str> = BTreeSet::new();
        let (sender, ended) = channel();
        std::thread::scope(|scope| {
            loop {
                built.skip_unreachable(&mut waiting);
                while running.len() < PROCESSES_MAX {
                    let ready = waiting
                        .iter()
                        .position(|(_, module)| built.has_all(&module.imports));
                    let Some(at) = ready else { break };
                    let (name, module) = waiting.remove(at);
                    running.insert(name);
                    let sender: Sender<_> = sender.clone();
                    scope.spawn(move || {
                        let started = Instant::now();
                        let elaborated = self.elaborate(name, module);
                        sender.send((*name, started.elapsed(), elaborated))
                    });
                }
                if running.is_empty() {
                    return Ok(built);
                }
                let done = total - waiting.len() - running.len();
                let names: Vec<&str> = running.iter().copied().collect();
                console.note(format!("{done} of {total}, at {}", names.join(", ")));
                match ended.recv_timeout(TICK) {
                    Ok((name, time, elaborated)) => {
                        running.remove(name);
                        built.times.push((time, name.to_owned()));
                        built.record(name, elaborated?, console);
                    }
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
                }
                console.beat();
            }
        })
    }

    fn elaborate(&self, name: &str, module: &Module) -> Result<Elaborated, Problem> {
        for extension in OUTPUTS {
            let path = self.output(name, extension);
            if path.exists() {
                fs::remove_file(&path).map_err(Problem::file(&path))?;
            }
        }
        let olean = self.output(name, "olean");
        let place = olean.parent().unwrap_or(&self.out);
        fs::create_dir_all(place).map_err(Problem::file(place))?;
        let source = self.sources.join(&module.file);
        let mut command = checking(self.npm, &self.out, &self.sources);
        command.arg("-o").arg(&olean).arg(&source);
        let mut elaborated = elaborate(&mut command, &format!("lean/{}", module.file))?;
        // Lean has read the file itself, possibly after a change.
        let text = fs::read_to_string(&source).map_err(Problem::file(&source))?;
        if text != module.text {
            elaborated
                .failure
                .get_or_insert("the file changed during the build".to_owned());
        } else if elaborated.failure.is_none() && !olean.is_file() {
            elaborated.failure = Some("Lean wrote no .olean".to_owned());
        }
        if elaborated.failure.is_none() {
            let key = self.output(name, "key");
            fs::write(&key, &self.keys[name]).map_err(Problem::file(&key))?;
        }
        Ok(elaborated)
    }
}

/// A Lean that checks a file with warnings as errors and messages as JSON. It leaves files in its
/// working directory, so that is not the directory of the sources.
pub(crate) fn checking(npm: &Npm, out: &Path, sources: &Path) -> Command {
    let mut command = npm.lean(out);
    command
        .current_dir(out)
        .arg("--json")
        .arg("-DwarningAsError=true");
    command.arg("-R").arg(sources);
    command
}

impl Built {
    fn has_all(&self, imports: &BTreeSet<String>) -> bool {
        let has = |name| self.elaborated.contains(name) || self.cached.contains(name);
        imports.iter().all(has)
    }

    /// Removes modules from `waiting` whose imports failed.
    fn skip_unreachable(&mut self, waiting: &mut Vec<&(&str, &Module)>) {
        // The modules are in the order of imports, so one pass finds all.
        waiting.retain(|(name, module)| {
            let is_lost =
                |name: &String| self.failed.contains(name) || self.unreached.contains(name);
            let reachable = !module.imports.iter().any(is_lost);
            if !reachable {
                self.unreached.insert((*name).to_owned());
            }
            reachable
        });
    }

    fn record(&mut self, name: &str, elaborated: Elaborated, console: &mut Console) {
        let Elaborated { messages, failure } = elaborated;
        for message in messages {
            console.line(&format!("  {message}"));
        }
        if let Some(failure) = failure {
            console.line(&format!("  FAILED {name}: {failure}"));
            self.failed.insert(name.to_owned());
        } else {
            self.elaborated.insert(name.to_owned());
        }
    }
}

/// The hash of all inputs of each module's build. `modules` are in the order of imports.
fn keys<'a>(id: &str, modules: &[(&'a str, &Module)]) -> BTreeMap<&'a str, String> {
    let mut keys: BTreeMap<&str, String> = BTreeMap::new();
    for (name, module) in modules {
        let mut hasher = blake3::Hasher::new();
        let imported = module
            .imports
            .iter()
            .map(|import| keys[import.as_str()].as_str());
        let parts = [id, *name, module.text.as_str()]
            .into_iter()
            .chain(imported);
        for part in parts {
            // The length before each part keeps different lists of parts apart.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        keys.insert(name, hasher.finalize().to_hex().to_string());
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(text: &str, imports: &[&str]) -> Module {
        Module {
            file: String::new(),
            text: text.to_owned(),
            imports: imports.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn a_key_changes_with_source_imports_and_lean() {
        let (a, other) = (module("a", &[]), module("other", &[]));
        let (b, c) = (module("b", &["A"]), module("c", &[]));
        let of = |id, a| keys(id, &[("A", a), ("B", &b), ("C", &c)]);
        let before = of("lean", &a);
        assert_eq!(before, of("lean", &a));
        let after = of("lean", &other);
        assert_ne!(before["A"], after["A"]);
        assert_ne!(before["B"], after["B"]);
        assert_eq!(before["C"], after["C"]);
        assert_ne!(before["C"], of("lean, patched", &a)["C"]);
    }

    #[test]
    fn modules_that_import_a_failed_one_are_not_built_and_slow_ones_are_listed() {
        let modules = [module("", &["A"]), module("", &["B"]), module("", &[])];
        let listed = [("B", &modules[0]), ("C", &modules[1]), ("D", &modules[2])];
        let mut waiting = listed.iter().collect();
        let mut built = Built::default();
        assert_eq!(built.slowest(), None);
        for (seconds, name) in [(3, "E"), (30, "A")] {
            built
                .times
                .push((Duration::from_secs(seconds), name.to_owned()));
        }
        assert_eq!(built.slowest().as_deref(), Some("slowest: A 30 s, E 3 s"));
        built.failed.insert("A".to_owned());
        built.skip_unreachable(&mut waiting);
        assert_eq!(waiting.len(), 1);
        assert!(!built.is_complete());
        assert_eq!(
            built.summary(),
            "3 modules: 0 elaborated, 0 cached, 1 failed, 2 not reached"
        );
    }
}
